// What is sealed to whom, and opened by whom. Only this file and the project's own client touch keys.
import sodium from "/js/libsodium-wrappers.js";
import { pointerKey, sealPointer } from "/js/reminder-worker.js";
import pinned from "/pinned.js";

const CARD = 1024; // bytes: each card is of one length, whatever is written on it

await sodium.ready;
const variant = sodium.base64_variants.URLSAFE_NO_PADDING;
const toText = (bytes) => sodium.to_base64(bytes, variant);
const fromText = (text) => sodium.from_base64(text, variant);

export const newId = () => toText(sodium.randombytes_buf(16));
export const newSecret = () => toText(sodium.randombytes_buf(32));

// Seals name and reason to the practice, with the appointment's id: put beside another appointment, it is not shown.
export function sealCard(practice, id, name, reason) {
  const content = new TextEncoder().encode(JSON.stringify({ id, name, reason }));
  if (content.length >= CARD) throw new RangeError("too long");
  return toText(sodium.crypto_box_seal(sodium.pad(content, CARD), fromText(practice.key)));
}

export function openCard(keys, id, card) {
  try {
    const content = sodium.unpad(sodium.crypto_box_seal_open(fromText(card), keys.publicKey, keys.privateKey), CARD);
    const opened = JSON.parse(new TextDecoder().decode(content));
    return opened.id === id ? opened : null;
  } catch {
    return null;
  }
}

// Seals number and language to the reminder worker, whose key has to be the one that this page was delivered with.
export async function sealNumber(number, language) {
  const publicKeys = await (await fetch("/worker.pub.json")).json();
  if (pointerKey(publicKeys) !== pinned.worker.key) throw new Error("another key");
  return sealPointer(publicKeys, pinned.worker.platform, `tel:${number}`, language);
}

// From the practice's seed follow its key pair, and the token that it asks the platform with.
export function keysOf(seed) {
  const derive = (what) => sodium.crypto_generichash(32, `booking/${what}`, seed);
  const { publicKey, privateKey } = sodium.crypto_box_seed_keypair(derive("box"));
  return { publicKey, privateKey, token: toText(derive("token")) };
}

export const isOf = (practice, keys) => toText(keys.publicKey) === practice.key;

export function seedFromFile(text) {
  return fromText(JSON.parse(text).seed);
}

export function seedFromPassphrase(practice, passphrase) {
  const kind = sodium.crypto_pwhash_ALG_ARGON2ID13;
  return sodium.crypto_pwhash(32, passphrase, fromText(practice.salt), practice.passes, practice.memory, kind);
}
