// What the pages share: asking the site, times as people read them, slots to choose from.
export async function call(method, path, { token, body } = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (!response.ok) throw Object.assign(new Error(`${method} was refused`), { status: response.status });
  return response.json();
}

export const find = (selector) => document.querySelector(selector);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// A button that cannot be taken back asks to be pressed again.
export function pressedTwice(button, question, act) {
  let label = null;
  const restore = () => {
    if (label !== null) [button.textContent, label] = [label, null];
    button.classList.remove("asks");
  };
  button.addEventListener("click", () => {
    if (label === null) {
      [label, button.textContent] = [button.textContent, question()];
      button.classList.add("asks");
      setTimeout(restore, 6000);
    } else {
      restore();
      act();
    }
  });
}

const SHAPES = {
  time: { hour: "2-digit", minute: "2-digit" },
  day: { weekday: "long", day: "numeric", month: "long" },
  short: { weekday: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  seconds: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
};

// A slot is a time with its zone, 2027-03-15T14:30:00+01:00[Europe/Paris]: shown as the clock on that wall shows it.
export function shown(slot, shape, language) {
  const [time, zone] = slot.split(/[[\]]/);
  return new Intl.DateTimeFormat(language, { ...SHAPES[shape], timeZone: zone }).format(new Date(time));
}

export function byDay(slots, language) {
  const days = new Map();
  for (const slot of slots) {
    const day = shown(slot, "day", language);
    days.set(day, [...(days.get(day) ?? []), slot]);
  }
  return days;
}

export function slotChoices(slots, language) {
  return [...byDay(slots, language)].map(([day, ofDay]) =>
    element("fieldset", { class: "plain" }, element("legend", {}, day), element("div", { class: "slots" },
      ...ofDay.map((slot) => element("label", { class: "choice" },
        element("input", { type: "radio", name: "slot", value: slot, required: "" }),
        element("span", {}, shown(slot, "time", language)))))));
}

export function slotOptions(slots, language) {
  return [...byDay(slots, language)].map(([day, ofDay]) => element("optgroup", { label: day },
    ...ofDay.map((slot) => element("option", { value: slot }, shown(slot, "short", language)))));
}
