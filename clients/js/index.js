// Seals pointers, hands in reminders and verifies events, in browsers and Node; index.d.ts says how.
// A number, a place, a time, a text or a reference never enters an error or the console.
import sodium from "libsodium-wrappers";

const FORMS = {
  platform: /^[a-z0-9-]{1,20}$/,
  uri: /^(tel:\+[1-9][0-9]{4,14}|contact:[A-Za-z0-9._~-]{1,64})$/,
  language: /^(?=.{2,8}$)[A-Za-z]{2,3}(-[A-Za-z0-9]{2,4})*$/,
};
const RECORD = ["time", "location", "pointer", "leads"];
const WORD = /^[a-z][\w.[\]-]{0,63}$/i; // a reason or a field; nothing else of an answer is repeated
const LONGEST_WAIT = 30; // seconds; who is told to wait for longer decides by themselves
const TOLERANCE = 300; // seconds between signing and verifying, either way

export class ReminderError extends Error {
  name = "ReminderError";

  constructor(status, reason, field = null, retryAfter = null) {
    super(field ? `${field}: ${reason}` : reason);
    Object.assign(this, { status, reason, field, retryAfter });
  }
}

const refusal = (reason, field) => new ReminderError(0, reason, field);
const word = (text, otherwise = null) => (typeof text === "string" && WORD.test(text) ? text : otherwise);

function newest(publicKeys) {
  const key = publicKeys?.version === 1 ? publicKeys.pointer?.at?.(-1) : null;
  if (!/^[\w-]{11}$/.test(key?.kid) || !/^[\w-]{43}$/.test(key.key)) throw refusal("keys_invalid", "publicKeys");
  return key;
}

export const pointerKey = (publicKeys) => newest(publicKeys).key;

function pae(...parts) {
  const bytes = [parts.length];
  for (const part of parts) {
    const data = new TextEncoder().encode(part);
    bytes.push(data.length & 0xff, data.length >> 8, ...data);
  }
  return Uint8Array.from(bytes);
}

export async function sealPointer(publicKeys, platform, uri, language) {
  const { kid, key } = newest(publicKeys);
  for (const [name, value] of Object.entries({ platform, uri, language })) {
    if (typeof value !== "string" || !FORMS[name].test(value)) throw refusal("pointer_invalid", name);
  }
  const content = pae("reminder-worker/pointer/v1", platform, uri, language);
  if (content.length > 95) throw refusal("pointer_invalid", "uri"); // the contact token is too long
  await sodium.ready;
  const base64url = sodium.base64_variants.URLSAFE_NO_PADDING;
  try {
    const box = sodium.crypto_box_seal(sodium.pad(content, 96), sodium.from_base64(key, base64url));
    return sodium.to_base64(Uint8Array.of(1, ...sodium.from_base64(kid, base64url), ...box), base64url);
  } catch {
    throw refusal("keys_invalid", "publicKeys");
  }
}

function checked(record, names) {
  for (const name of Object.keys(record)) {
    if (!names.includes(name)) throw refusal("unknown_field", word(name)); // it does not leave this machine
  }
  // A Date would travel in UTC, and the text would name that hour.
  if (typeof record.time !== "string") throw refusal("time_invalid", "time");
  return record;
}

function path(reference) {
  // A lone surrogate cannot be encoded; dots alone would be taken for a folder on the way.
  if (typeof reference !== "string" || !/^(?!\.{1,2}$)\P{Cs}+$/u.test(reference)) {
    throw refusal("reference_invalid", "reference");
  }
  return `reminders/${encodeURIComponent(reference)}`;
}

function fill(body) {
  const data = new TextEncoder().encode(JSON.stringify(body));
  let size = 512; // TLS hides no length
  while (size < data.length || size < 512 * body.reminders?.length) size *= 2;
  return JSON.stringify(body) + " ".repeat(size - data.length);
}

export class Client {
  #to;

  constructor({ url, key, pin, tries = 5, timeout = 10_000 }) {
    const safe = /^(https:\/\/|http:\/\/(localhost|127\.0\.0\.1|\[::1\])([:/]|$))/;
    if (!safe.test(url)) throw refusal("url_invalid", "url");
    this.#to = { url: url.replace(/\/*$/, "/v1/"), key, pin, tries, timeout };
  }

  async put(reference, record) {
    return this.#call("PUT", path(reference), checked(record, RECORD));
  }

  async get(reference) {
    return this.#call("GET", path(reference));
  }

  async cancel(reference) {
    return this.#call("DELETE", path(reference));
  }

  async batch(records) {
    const reminders = records.map((record) => checked(record, ["reference", ...RECORD]));
    return (await this.#call("POST", "reminders:batch", { reminders })).results;
  }

  async keys() {
    const keys = await this.#call("GET", "keys");
    const { pin } = this.#to;
    if (pin && ![pin].flat().includes(pointerKey(keys))) throw refusal("key_not_pinned", "publicKeys");
    return keys;
  }

  // Whatever is asked twice has the effect of once, so a lost answer is asked for again.
  async #call(method, path, body) {
    for (let attempt = 1; ; attempt++) {
      const { answer, error } = await this.#ask(method, path, body);
      if (!error) return answer;
      const { status, reason, retryAfter } = error;
      const passing = [0, 429, 502, 503, 504].includes(status) || (status === 409 && reason === "in_flight");
      if (!passing || attempt >= this.#to.tries || retryAfter > LONGEST_WAIT) throw error;
      const seconds = (retryAfter ?? 0.2 * 2 ** attempt) * (1 + Math.random() / 4);
      await new Promise((done) => setTimeout(done, seconds * 1000));
    }
  }

  async #ask(method, path, body) {
    const { url, key, timeout } = this.#to;
    const headers = body ? { "content-type": "application/json" } : {};
    if (key) headers.authorization = `Bearer ${key}`;
    const options = { method, headers, body: body && fill(body), redirect: "error", credentials: "omit" };
    let response, answer;
    try {
      response = await fetch(url + path, { ...options, signal: AbortSignal.timeout(timeout) });
      answer = await response.json();
    } catch {
      if (!response || response.ok) return { error: refusal("no_answer") }; // whose own words may hold the URL
    }
    if (response.ok) return { answer };
    const { status } = response;
    const retryAfter = Number(response.headers.get("retry-after")) || null;
    return { error: new ReminderError(status, word(answer?.title, `http_${status}`), word(answer?.field), retryAfter) };
  }
}

const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

export async function verifyEvent(secret, headers, body, now = Date.now()) {
  try {
    const header = (name) => new Headers(headers).get(`webhook-${name}`);
    const [id, time, shown] = ["id", "timestamp", "signature"].map(header);
    const text = typeof body === "string" ? body : new TextDecoder().decode(body);
    const hmac = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", bytes(secret.replace("whsec_", "")), hmac, false, ["verify"]);
    const signed = new TextEncoder().encode(`${id}.${time}.${text}`);
    for (const [, signature] of shown.matchAll(/\bv1,(\S+)/g)) {
      const genuine = await crypto.subtle.verify("HMAC", key, bytes(signature), signed);
      if (genuine && Math.abs(now / 1000 - time) <= TOLERANCE) return JSON.parse(text);
    }
  } catch {} // nothing that could be verified
  throw refusal("signature_invalid", "signature");
}
