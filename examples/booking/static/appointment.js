// The patient's own appointment: whoever has its address may move and cancel it. The secret in it is not sent in a path.
import pinned from "/pinned.js";
import { call, element, find, pressedTwice, shown, slotOptions } from "./page.js";
import { knows, language, say, speak } from "./words.js";

const [id, token] = location.hash.slice(1).split(".");
const path = `/api/appointments/${id}`;
let now = null;

function line(event, zone) {
  const time = shown(`${event.at}[${zone}]`, "seconds", language);
  return element("li", {}, say(knows(event.type) ? event.type : "other", { time, event: event.type }));
}

function steps(zone) {
  const heard = now.events.map((event) => line(event, zone));
  if (now.cancelled) return [...heard, element("li", {}, say(now.told ? "cancelledTold" : "cancelled"))];
  const handed = element("li", { class: now.told ? null : "ahead" }, say(now.told ? "booked" : "pending"));
  const waits = now.told && ["added", "moved"].includes(now.answer) && !isSaid();
  return [handed, ...heard, ...(waits ? [element("li", { class: "ahead" }, say("waiting"))] : [])];
}

// Whether the last thing that the reminder worker was told has been followed by an event.
let events = 0;
const isSaid = () => now.events.length > events;

function show() {
  if (!now) return;
  const { name, place, zone } = pinned.practices.find((practice) => practice.id === now.practice);
  find("#when").textContent = `${shown(now.slot, "day", language)}, ${shown(now.slot, "time", language)}`;
  find("#where").textContent = `${name}, ${place}`;
  find("#steps").replaceChildren(...steps(zone));
  find("#moving").hidden = now.cancelled;
  find("#appointment").hidden = false;
}

async function offer() {
  if (!now) return;
  const slots = await call("GET", `/api/practices/${now.practice}/slots`);
  find("#slot").replaceChildren(...slotOptions(slots, language));
}

async function look() {
  try {
    const said = await call("GET", path, { token });
    const changed = JSON.stringify(said) !== JSON.stringify(now);
    now = said;
    if (changed) show();
  } catch (error) {
    if (!now && error.status) find("#lost").hidden = false;
  }
}

async function change(...request) {
  find("#said").textContent = "";
  try {
    now = await call(...request);
    events = now.events.length;
    show();
  } catch (error) {
    find("#said").textContent = say(error.status === 409 ? "taken" : "failed");
  }
  await offer();
}

find("#moving").addEventListener("submit", (event) => {
  event.preventDefault();
  change("PUT", `${path}/slot`, { token, body: { slot: find("#slot").value } });
});
pressedTwice(find("#cancel"), () => say("sure"), () => change("DELETE", path, { token }));
find("#watch").href = `${pinned.watch}/#${id}`;
addEventListener("hashchange", () => location.reload());
await look();
speak(() => {
  show();
  offer();
});
setInterval(look, 1500);
