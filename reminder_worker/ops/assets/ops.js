// Keeps the operator's page up to date. Without it the page shows how things were when it was loaded.
//
// The server sends parts of the page that have changed, as it writes them itself; here they are laid over what is
// shown, node by node, so that focus, selection and scroll stay where they are.

const live = document.getElementById("live");
const news = document.getElementById("news");
const text = { on: "Live", lost: "Not live: trying again", over: "Not live: log in again", off: "Not live: reload the page" };
let source;

function show(state) {
  if (live.dataset.state === state) return;
  live.dataset.state = state;
  live.textContent = text[state];
}

function watch() {
  source?.close();
  source = new EventSource("/ops/events");
  source.addEventListener("facts", (event) => {
    const { parts, said } = JSON.parse(event.data);
    show("on");
    for (const [name, html] of Object.entries(parts)) refresh(name, html);
    if (said.length) news.textContent = said.join(" ");
  });
  source.addEventListener("over", () => {
    source.close();
    show("over");
  });
  source.addEventListener("error", () => show(source.readyState === EventSource.CLOSED ? "off" : "lost"));
}

function refresh(name, html) {
  const part = document.getElementById(name);
  if (!part) return location.reload(); // the store was away when this page was loaded
  const { body } = new DOMParser().parseFromString(`<body>\n${html}\n`, "text/html");
  const held = part.contains(document.activeElement) ? document.activeElement : null;
  layChildren(part, body);
  if (held && !held.isConnected) part.querySelector("[tabindex]")?.focus({ preventScroll: true });
}

function lay(shown, next) {
  if (shown.nodeType !== next.nodeType || shown.nodeName !== next.nodeName) return shown.replaceWith(next);
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.data !== next.data) shown.data = next.data;
    return;
  }
  for (const { name, value } of next.attributes) if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  for (const { name } of [...shown.attributes]) {
    if (name !== "open" && !next.hasAttribute(name)) shown.removeAttribute(name); // who opened a table keeps it open
  }
  layChildren(shown, next);
}

function layChildren(shown, next) {
  const wanted = new Set([...next.children].map(key));
  for (const child of [...shown.children]) if (key(child) && !wanted.has(key(child))) child.remove();
  const known = new Map([...shown.children].map((child) => [key(child), child]));
  let at = shown.firstChild;
  for (const child of [...next.childNodes]) {
    const same = key(child) ? known.get(key(child)) : key(at) ? null : at;
    if (!same) {
      shown.insertBefore(child, at);
    } else {
      if (same === at) at = at.nextSibling;
      else shown.insertBefore(same, at);
      lay(same, child);
    }
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

function key(node) {
  return node?.dataset?.key;
}

document.addEventListener("visibilitychange", () => (document.hidden ? source.close() : watch()));
document.getElementById("said")?.focus({ preventScroll: true });
watch();
