// The patient's page. Name, reason and number never leave it but sealed.
import pinned from "/pinned.js";
import { call, element, find, slotChoices } from "./page.js";
import { newId, newSecret, sealCard, sealNumber } from "./sealing.js";
import { language, say, speak } from "./words.js";

const EXAMPLES = { "+33": "06 12 34 56 78", "+49": "0151 23456789" };
const form = find("#booking");
let offered = [];

const practice = () => pinned.practices.find(({ id }) => id === form.elements.practice.value);

for (const { id, name, place } of pinned.practices) {
  const input = element("input", { type: "radio", name: "practice", value: id, required: "" });
  find("#practices").append(
    element("label", { class: "choice" }, input, element("span", {}, name, element("small", {}, place))));
}
find("[name=practice]").checked = true;
find("#worker-key").textContent = pinned.worker.fingerprint;
find("#watch").href = pinned.watch;

function showSlots() {
  const chosen = form.elements.slot?.value;
  find("#slots").replaceChildren(...slotChoices(offered, language));
  for (const input of form.querySelectorAll("[name=slot]")) input.checked = input.value === chosen;
}

async function choosePractice() {
  find("#to-practice").textContent = say("sealedToPractice", { practice: practice().name });
  find("#practice-key").textContent = practice().fingerprint;
  hintNumber();
  const { id } = practice();
  const slots = await call("GET", `/api/practices/${id}/slots`);
  if (id !== practice().id) return; // somebody was faster than the answer
  offered = slots;
  showSlots();
}

// A number as people of the practice's country write it, or an international one; null for anything else.
function internationalNumber() {
  const written = find("#number").value.replace("(0)", "").replace(/[\s().\/-]/g, "");
  const number = written.replace(/^00/, "+").replace(/^0/, practice().calling_code);
  return /^\+[1-9][0-9]{6,14}$/.test(number) ? number : null;
}

function hintNumber() {
  const number = internationalNumber();
  const example = EXAMPLES[practice().calling_code];
  find("#number-hint").textContent = number ? say("numberGoes", { number }) : say("numberWrong", { example });
  find("#number").setCustomValidity(number ? "" : say("numberWrong", { example }));
}

async function book() {
  const [id, secret] = [newId(), newSecret()];
  const body = {
    practice: practice().id,
    slot: form.elements.slot.value,
    card: sealCard(practice(), id, find("#name").value, find("#reason").value),
    pointer: await sealNumber(internationalNumber(), language),
  };
  await call("PUT", `/api/appointments/${id}`, { token: secret, body });
  location.assign(`/appointment#${id}.${secret}`); // what stands behind # is not sent
}

function complain(error) {
  if (error.status === 409) choosePractice();
  if (error instanceof RangeError) return say("long");
  if (error.message === "another key") return say("otherKey");
  return say(error.status === 409 ? "taken" : "failed");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = find("button.main");
  [button.disabled, button.textContent, find("#said").textContent] = [true, say("sealing"), ""];
  try {
    await book();
  } catch (error) {
    find("#said").textContent = complain(error);
    [button.disabled, button.textContent] = [false, say("book")];
  }
});
find("#number").addEventListener("input", hintNumber);
find("#practices").addEventListener("change", choosePractice);
speak(choosePractice);
