import type { PublicKeys } from "./index.js";

/** Public keys that a root has signed. */
export type SignedKeys = PublicKeys & { root: { issued: number; signature: string } };

/**
 * Returns the public keys where the root that you pinned has signed them; only then seal to them.
 *
 * `root` is what stands behind `verify` in the operator's `root.pub`. `newest` is the greatest `root.issued` that you have
 * taken before: an older document, with a key that has been withdrawn perhaps, is refused. Without it nobody can
 * tell that there is a newer one, until the weeks of the older are over. `now` is in milliseconds.
 *
 * Throws a `ReminderError`: `keys_not_signed` by this root, `keys_outdated` (older than `newest`, over, or signed more
 * than a day ahead of this clock), or `keys_invalid`.
 */
export function verifyKeys(
  publicKeys: unknown,
  root: string,
  options?: { newest?: number; now?: number },
): Promise<SignedKeys>;
