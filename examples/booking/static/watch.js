// Shows what each party holds, as it comes; nothing is added, left out or marked.
import { call, element, find, shown } from "./page.js";

const LANGUAGE = "en-GB";
const PANELS = [
  ["database", "The platform's database", "SQLite: the appointment's row, and the events that it was told"],
  ["site", "The platform's server log", "its lines about this appointment"],
  ["store", "Redis", "the keys of this appointment: bytes as hexadecimal digits, and beside them as text"],
  ["worker", "The reminder worker's log", "its last lines, whatever they are about"],
  ["provider", "The SMS provider", "what it was given: here a file instead of a company"],
  ["phone", "The patient's phone", "what it would show, out of that file"],
];
const SEARCHED = { ...Object.fromEntries(PANELS), worker: "The logs of all four processes of the reminder worker" };

for (const [key, name, what] of PANELS) {
  const content = key === "phone"
    ? element("div", { class: "phone" }, element("div", { id: key }))
    : element("pre", { id: key, tabindex: "0", role: "region", "aria-label": name, class: key === "store" ? null : "wrap" });
  find("#panels").append(element("section", { class: "sheet" }, element("h2", {}, name), element("p", { class: "quiet" }, what), content));
}

const row = (record) => Object.entries(record).map(([name, value]) => `${name}: ${value}`).join("\n");
const log = ({ lines, more }) => [...(more ? [`(${more} earlier lines)`] : []), ...lines].join("\n");
const key = ({ key: name, kind, value }) => `${name}\n(${kind})\n${value}`;

function texts(held) {
  const stored = [...held.store.keys.map(key), `all ${held.store.all.length} keys:\n${held.store.all.join("\n")}`];
  return {
    database: [...held.database, ...held.events].map(row).join("\n\n"),
    site: log(held.site),
    store: stored.join("\n\n"),
    worker: log(held.worker),
    provider: held.provider.join("\n\n") || "(nothing yet)",
  };
}

function write(held) {
  for (const [name, text] of Object.entries(texts(held))) {
    if (find(`#${name}`).textContent !== text) find(`#${name}`).textContent = text;
  }
  find("#phone").replaceChildren(...held.phone.flatMap(({ text, at }) => [
    element("p", {}, text), element("small", {}, new Date(at).toLocaleTimeString(LANGUAGE))]));
  const [name, id] = held.names;
  find("#names").textContent = `In Redis it is ${id}, in the worker's log ${name}.`;
}

async function choices() {
  const rows = await call("GET", "/appointments");
  const wanted = find("#chosen").value || location.hash.slice(1);
  const known = [...find("#chosen").options].map(({ value }) => value).join();
  if (known === rows.map(({ id }) => id).join()) return;
  find("#chosen").replaceChildren(...rows.map(({ id, practice, slot }) => element("option", { value: id },
    `${id}: ${practice}, ${shown(slot, "day", LANGUAGE)}, ${shown(slot, "time", LANGUAGE)}`)));
  if (rows.some(({ id }) => id === wanted)) find("#chosen").value = wanted;
}

async function look() {
  await choices();
  const id = find("#chosen").value;
  if (!id) {
    find("#names").textContent = "Nobody has booked yet.";
    return;
  }
  const held = await call("GET", `/appointments/${id}`);
  if (id === find("#chosen").value) write(held);
}

async function search() {
  const response = await fetch("/search", { method: "POST", body: find("#text").value });
  const found = await response.json();
  find("#found").replaceChildren(...Object.entries(found).map(([party, places]) => element("li",
    { class: places ? "there" : null }, `${SEARCHED[party]}: ${places ? `found, in ${places} of its pieces` : "not there"}`)));
}

find("#searching").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
find("#chosen").addEventListener("change", look);
find("#home").href = await call("GET", "/site");
addEventListener("hashchange", () => location.reload());
const again = () => look().catch(() => {}).finally(() => setTimeout(again, 1000));
again();
