"""What the offline root says of the worker's public keys: that they are genuine, and since when (docs/format.md).

    signed      = PAE("reminder-worker/public-keys/v1", issued, pointers, envelopes)
    fingerprint = base32(BLAKE2b-15(public key, person="rw-fingerprint")); of all keys: of what is signed, issued at 0

Whoever publishes the keys, such as a gateway, could publish other keys: a platform that pins the root seals to none but
those that the root signed. A private key is only ever passed in by the command line, on the root's own machine; no
process loads one.
"""

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from reminder_worker.encoding import WEEKS_AHEAD, from_text, pae
from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import KEY_BYTES
from reminder_worker.sealing import PublicKeys, Signature, kid, week

CONTEXT = b"reminder-worker/public-keys/v1"
LEAST_WEEKS = WEEKS_AHEAD - 1  # that a document must reach ahead when it is signed
CLOCK = timedelta(days=1)  # by which the root's clock may be ahead of a platform's
GROUP = 4  # characters of a fingerprint that are read out together


class Root:
    """The root that a platform pins; remembers the newest keys that it was shown."""

    def __init__(self, pinned: str) -> None:
        """Take the public key as ``root.pub`` has it. Raises SettingsError."""
        try:
            self._key = VerifyKey(from_text(pinned, KEY_BYTES))
        except ValueError:
            raise SettingsError("root: must be the 43 characters behind `verify` in root.pub") from None
        self._newest = 0

    def check(self, public: PublicKeys, now: datetime | None = None) -> PublicKeys:
        """Return public keys that this root signed, unless newer ones were shown before. Raises SettingsError."""
        now = now or datetime.now(UTC)
        said = public.signature
        if said is None or not self._is_signed(public, said):
            raise SettingsError("root: the public keys are not signed by the root that is pinned; seal nothing to them")
        if said.issued < self._newest:
            raise SettingsError("root: these public keys are older than those before; ask the worker's operator")
        if said.issued > (now + CLOCK).timestamp():
            raise SettingsError("root: the public keys were signed in the future; compare clocks, and sign them again")
        if max(public.envelopes, default=-1) < week(now):
            raise SettingsError("root: the weeks of these public keys are over; ask the worker's operator")
        self._newest = said.issued
        return public

    def _is_signed(self, public: PublicKeys, said: Signature) -> bool:
        try:
            self._key.verify(signed_part(public, said.issued), said.value)
        except (CryptoError, SettingsError):
            return False
        return True


class Published:
    """The worker's public keys in a folder, and the root that must have signed them, if one is set."""

    def __init__(self, folder: Path, pinned: str | None = None) -> None:
        self._path = folder / "worker.pub.json"
        self._root = None if pinned is None else Root(pinned)

    def load(self) -> PublicKeys:
        """Read them. Raises SettingsError, also if the root did not sign them."""
        public = PublicKeys.load(self._path)
        return public if self._root is None else self._root.check(public)


def sign(public: PublicKeys, key: SigningKey, now: datetime) -> PublicKeys:
    """Sign the public keys, as of now. Raises SettingsError for keys that would soon run out."""
    if max(public.envelopes, default=-1) < week(now) + LEAST_WEEKS:
        raise SettingsError(f"public keys: reach less than {LEAST_WEEKS} weeks ahead; make them anew on the worker")
    issued = int(now.timestamp())
    if public.signature is not None and public.signature.issued >= issued:
        raise SettingsError("public keys: are signed at a later time already; compare this machine's clock")
    return replace(public, signature=Signature(issued, key.sign(signed_part(public, issued)).signature))


def signed_part(public: PublicKeys, issued: int) -> bytes:
    """Return the bytes under the root's signature: every value of the document. Raises SettingsError."""
    pointers = b"".join(kid(key) + key for key in public.pointers)
    weeks = sorted(public.envelopes.items())
    envelopes = b"".join(number.to_bytes(4, "big") + kid(key) + key for number, key in weeks)
    try:
        return pae(CONTEXT, issued.to_bytes(4, "big"), pointers, envelopes)
    except OverflowError:
        raise SettingsError("public keys: are more than can be signed") from None


def fingerprint_of_all(public: PublicKeys) -> str:
    """Return the fingerprint of a whole document, signed or not: keys of single weeks could be swapped on the way.

    Raises SettingsError.
    """
    return fingerprint(signed_part(public, 0))


def fingerprint(key: bytes) -> str:
    """Return what two people compare by voice, to know that both have the same public key."""
    digest = hashlib.blake2b(key, digest_size=15, person=b"rw-fingerprint").digest()
    text = base64.b32encode(digest).decode().lower()
    return " ".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))
