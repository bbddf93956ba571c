/** The document of `GET /v1/keys`, and of `reminder-worker keys public`. */
export interface PublicKeys {
  version: number;
  pointer: { kid: string; key: string }[];
  envelope: { kid: string; key: string; week: number }[];
  /** What verifies the records of sent reminders; only over HTTP. */
  record?: { kid: string; key: string }[];
}

/** What a reminder needs, and all that it may hold: another field is refused before anything is sent. */
export interface Appointment {
  /** RFC 3339 or 9557, with the offset at the place: `2027-03-15T14:30:00+01:00[Europe/Paris]`. */
  time: string;
  location: string;
  /** What `sealPointer` returned. */
  pointer: string;
  /** How long before: `["24h", "2h"]`. Without it, what the operator set for this platform. */
  leads?: string[];
}

export interface Reminder {
  lead: number;
  state: string;
  due: string | null;
  ended: string | null;
  attempts: number;
  reason: string | null;
  failure_class: string | null;
  reply: string | null;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  field?: string;
}

/** What went wrong, without any value that was given. */
export class ReminderError extends Error {
  /** Of HTTP; 0 where nobody answered (`no_answer`) or nothing was asked. */
  readonly status: number;
  /** A stable code: `in_flight`, `pointer_invalid`, `unknown_field`, … */
  readonly reason: string;
  /** What to fix. */
  readonly field: string | null;
  /** Seconds, where the answer said so. */
  readonly retryAfter: number | null;
}

/**
 * Seals the way to reach somebody, for use by one platform: 204 characters.
 *
 * `uri` is `tel:` and a number in E.164, or `contact:` and a token which the platform resolves. The newest of
 * the public keys is sealed to; who can replace them reads the number, so take them from a place that you trust.
 */
export function sealPointer(publicKeys: PublicKeys, platform: string, uri: string, language: string): Promise<string>;

/** The key that is sealed to, in base64url: what to compare with the operator's, and to pin. */
export function pointerKey(publicKeys: PublicKeys): string;

/** One platform beside its reminder-worker. Whoever holds `key` can hand in and cancel: keep it out of browsers. */
export class Client {
  /**
   * `url` is https, or http on this machine. `key` may be absent where only `keys` is asked for. `pin` is one or
   * more values of `pointerKey`. A call is tried up to `tries` times, each for `timeout` milliseconds.
   */
  constructor(options: { url: string; key?: string; pin?: string | string[]; tries?: number; timeout?: number });
  /** Adds a reminder, or moves it; the same again changes nothing. */
  put(reference: string, appointment: Appointment): Promise<{ result: "added" | "unchanged" | "moved" }>;
  get(reference: string): Promise<{ reference: string; reminders: Reminder[]; record: string | null }>;
  /** Once it returns, no text will be sent. Errors: with `in_flight` one may arrive, with `ended` none was left. */
  cancel(reference: string): Promise<{ result: "cancelled" }>;
  /** Up to 500; one answer or problem each, in their order. */
  batch(
    appointments: (Appointment & { reference: string })[],
  ): Promise<({ status: number; result: string } | Problem)[]>;
  /** Fetches the public keys; `key_not_pinned` where the newest is not a pinned one. */
  keys(): Promise<PublicKeys>;
}

/**
 * Returns the event in a request that reminder-worker signed, as Standard Webhooks says; throws `signature_invalid`.
 *
 * `body` is the request's as it came, before any parsing. A request is good for five minutes: who must not act
 * twice on one remembers its `webhook-id` for that long.
 */
export function verifyEvent(
  secret: string,
  headers: Headers | Record<string, string>,
  body: string | Uint8Array,
  now?: number,
): Promise<unknown>;
