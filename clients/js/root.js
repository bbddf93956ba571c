// Verifies that an offline root signed the public keys; root.d.ts says how. Apart from index.js: who pins the pointer
// key needs none of it.
import sodium from "libsodium-wrappers";
import { ReminderError } from "./index.js";

const CONTEXT = "reminder-worker/public-keys/v1";
const CLOCK = 86_400; // seconds by which the root's clock may be ahead
const WEEK = 604_800;
const MONDAY = 345_600; // where week 0 begins

const refusal = (reason) => new ReminderError(0, reason, "publicKeys");

function number(value) {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) throw refusal("keys_invalid");
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

function part(bytes) {
  if (bytes.length > 0xffff) throw refusal("keys_invalid");
  return [bytes.length & 0xff, bytes.length >> 8, ...bytes];
}

function decoded(text, length) {
  try {
    if (typeof text !== "string") throw null;
    const bytes = sodium.from_base64(text, sodium.base64_variants.URLSAFE_NO_PADDING);
    if (bytes.length === length) return bytes;
  } catch {}
  throw refusal("keys_invalid");
}

const named = ({ kid, key }) => [...decoded(kid, 8), ...decoded(key, 32)];

function signedPart({ pointer, envelope, root }) {
  const weeks = [...envelope].sort((a, b) => a.week - b.week);
  if (weeks.some(({ week }, at) => week === weeks[at + 1]?.week)) throw refusal("keys_invalid");
  const parts = [
    [...new TextEncoder().encode(CONTEXT)],
    number(root.issued),
    pointer.flatMap(named),
    weeks.flatMap((one) => [...number(one.week), ...named(one)]),
  ];
  return Uint8Array.from([parts.length, ...parts.flatMap(part)]);
}

export async function verifyKeys(publicKeys, root, { newest = 0, now = Date.now() } = {}) {
  await sodium.ready;
  const pinned = decoded(root, 32);
  if (publicKeys?.version !== 1 || !publicKeys.pointer?.length) throw refusal("keys_invalid");
  if (!publicKeys.root) throw refusal("keys_not_signed");
  const signature = decoded(publicKeys.root.signature, 64);
  let genuine = false;
  try {
    genuine = sodium.crypto_sign_verify_detached(signature, signedPart(publicKeys), pinned);
  } catch (error) {
    throw error instanceof ReminderError ? error : refusal("keys_invalid");
  }
  if (!genuine) throw refusal("keys_not_signed");
  const seconds = now / 1000;
  const { issued } = publicKeys.root;
  const last = Math.max(...publicKeys.envelope.map(({ week }) => week));
  if (issued < newest || issued > seconds + CLOCK || MONDAY + (last + 1) * WEEK <= seconds) {
    throw refusal("keys_outdated");
  }
  return publicKeys;
}
