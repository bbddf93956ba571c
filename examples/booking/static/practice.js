// The practice's page: its key stays in this page's memory, and opens here what the platform cannot read.
import pinned from "/pinned.js";
import { byDay, call, element, find, pressedTwice, shown, slotOptions } from "./page.js";
import { isOf, keysOf, openCard, seedFromFile, seedFromPassphrase } from "./sealing.js";

const LANGUAGE = "en-GB";
let keys = null;
let last = "";

const practice = () => pinned.practices.find(({ id }) => id === find("#practice").value);
const tell = (text, isBad = false) => {
  find("#said").textContent = text;
  find("#said").className = isBad ? "warn" : "quiet";
};

for (const { id, name } of pinned.practices) {
  find("#practice").append(element("option", { value: id }, name));
}
find("#watch").href = pinned.watch;

function choosePractice() {
  const { fingerprint, opened_by: by, passes, memory } = practice();
  find("#fingerprint").textContent = fingerprint;
  find("#by-file").hidden = by !== "file";
  find("#by-passphrase").hidden = by !== "passphrase";
  const cost = `argon2id goes over ${memory / 2 ** 20} MiB ${passes} times: so does each guess of somebody else's.`;
  find("#cost").textContent = `Your key is computed from it, here. ${cost}`;
}

async function seed() {
  if (practice().opened_by === "file") return seedFromFile(await find("#file").files[0].text());
  tell("Computing the key …");
  await new Promise((painted) => setTimeout(painted, 50));
  return seedFromPassphrase(practice(), find("#passphrase").value);
}

async function open() {
  const began = performance.now();
  const found = keysOf(await seed());
  const seconds = ((performance.now() - began) / 1000).toFixed(2);
  if (!isOf(practice(), found)) throw new Error("another practice's");
  keys = found;
  find("#passphrase").value = find("#file").value = "";
  tell(practice().opened_by === "file" ? "" : `The key took ${seconds} seconds to compute on this device.`);
  find("#title").textContent = practice().name;
  [find("#opening").hidden, find("#opened").hidden] = [true, false];
  await look();
}

function lock() {
  keys.privateKey.fill(0);
  [keys, last] = [null, ""];
  find("#title").textContent = "For practices";
  find("#days").replaceChildren();
  [find("#opening").hidden, find("#opened").hidden] = [false, true];
  tell("Locked.");
}

function reminder({ cancelled, told, events }, zone) {
  const heard = events.map(({ type, at }) => `${type.replace(".", " ")}, ${shown(`${at}[${zone}]`, "seconds", LANGUAGE)}`);
  const first = cancelled ? "cancelled" : told ? "handed to the reminder service" : "being handed to the reminder service …";
  return [first, ...heard].join(" · ");
}

function visit(row, slots) {
  const { zone } = practice();
  const card = openCard(keys, row.id, row.card) ?? { name: "Cannot be opened", reason: "Not sealed to this key." };
  const heading = element("h3", {}, element("time", {}, shown(row.slot, "time", LANGUAGE)), card.name);
  const shownCard = [heading, element("p", { class: "reason" }, card.reason),
    element("p", { class: "quiet" }, reminder(row, zone))];
  if (row.cancelled) return element("article", { class: "visit off" }, ...shownCard);
  const select = element("select", { "aria-label": `Another time for ${card.name}` }, ...slotOptions(slots, LANGUAGE));
  const move = element("button", { type: "button" }, "Move");
  const cancel = element("button", { type: "button", class: "danger" }, "Cancel");
  const path = `/api/appointments/${row.id}`;
  move.addEventListener("click", () => change("PUT", `${path}/slot`, { slot: select.value }));
  pressedTwice(cancel, () => "Press again to cancel", () => change("DELETE", path));
  return element("article", { class: "visit" }, ...shownCard, element("div", { class: "row" }, select, move, cancel));
}

async function change(method, path, body) {
  try {
    await call(method, path, { token: keys.token, body });
    tell("");
  } catch (error) {
    tell(error.status === 409 ? "That time is taken." : "That did not work. Please try again.", true);
  }
  await look();
}

// Looks what there is; a list in which somebody is choosing is not taken from under their hands.
async function look(isAsked = true) {
  if (!keys || (!isAsked && find("#days select:focus, #days .asks"))) return;
  const path = `/api/practices/${practice().id}`;
  const rows = await call("GET", `${path}/appointments`, { token: keys.token });
  if (JSON.stringify(rows) === last || !keys) return;
  const slots = await call("GET", `${path}/slots`);
  if (!keys || (!isAsked && find("#days .asks"))) return;
  last = JSON.stringify(rows);
  const days = [...byDay(rows.map(({ slot }) => slot), LANGUAGE).keys()];
  const list = days.map((day) => element("section", { class: "sheet" }, element("h2", {}, day),
    ...rows.filter(({ slot }) => shown(slot, "day", LANGUAGE) === day).map((row) => visit(row, slots))));
  find("#days").replaceChildren(...(list.length ? list : [element("p", { class: "quiet" }, "No appointments yet.")]));
}

find("#opening").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await open();
  } catch {
    tell("That does not open this practice's list.", true);
  }
});
find("#practice").addEventListener("change", choosePractice);
find("#lock").addEventListener("click", lock);
choosePractice();
setInterval(() => look(false).catch(() => {}), 2000);
