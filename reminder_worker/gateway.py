"""The gateway's own keys: with them the HTTP API signs and names appointments for platforms that hold no keys.

    index  = BLAKE2b-32(PAE(mode, platform), key=gateway's index key, person="rw-index")
    ticket = SecretBox(BLAKE2b-32("", key=gateway's index key, person="rw-ticket"), nonce=id ‖ 00…,
                       pad(PAE(platform, mode, reference)))
    record = JWS of EdDSA: what became of an appointment, for the platform that asked for it

Nothing here opens a pointer or a job. From a ticket the gateway recognises an appointment when the ledger reports on
it; the nonce may be the id, because the id follows from the content.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.signing import SigningKey

from reminder_worker.encoding import pad, pae, to_text, unpad, unpae
from reminder_worker.keyfiles import KEY_BYTES, Kind, is_kind, key_from_file, read_key_file
from reminder_worker.sealing import PlatformKeys, kid, make_id

_SMALLEST = 64  # bytes of a ticket's padded content; twice, four times … that if a reference is long
RECORD_TYPE = "reminder-record+jws"


class Mode(StrEnum):
    """Whether people are reached: what a ``test`` key hands in runs through without any provider."""

    LIVE = "live"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whose appointment an id stands for."""

    platform: str = field(repr=False)
    mode: Mode
    reference: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewayKeys:
    """Signs for all platforms that use the HTTP API; a test key's jobs are signed by a separate key."""

    live: SigningKey = field(repr=False)
    test: SigningKey = field(repr=False)
    records: SigningKey = field(repr=False)
    index: bytes = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> "GatewayKeys":
        """Read the gateway's key file. Raises SettingsError."""
        path = private_file(folder)
        *signing, index = read_key_file(path, Kind.GATEWAY, "live", "test", "records", "index")
        live, test, records = (SigningKey(key_from_file(path, text)) for text in signing)
        return cls(live, test, records, key_from_file(path, index))

    def platform(self, name: str, mode: Mode) -> PlatformKeys:
        """Return the keys that stand for a platform and mode: each makes another appointment of the same reference."""
        signing = self.live if mode is Mode.LIVE else self.test
        return PlatformKeys(name, signing, self._derive(pae(mode.encode(), name.encode()), b"rw-index"))

    def signs_for(self, verify_key: Path) -> bool:
        """Return whether a worker opens what this gateway signs, given a platform's ``verify_key``."""
        if not is_kind(verify_key, Kind.GATEWAY_VERIFY):
            return False
        live, test, _ = read_key_file(verify_key, Kind.GATEWAY_VERIFY, "live", "test", "records")
        return [live, test] == [to_text(bytes(key.verify_key)) for key in (self.live, self.test)]

    def tag(self, kind: str, name: str) -> bytes:
        """Name something that belongs to a platform in Redis, such as its rate limit, without naming the platform."""
        return self._derive(pae(kind.encode(), name.encode()), b"rw-gateway-tag")[:16]

    def ticket(self, id_: bytes, ticket: Ticket) -> bytes:
        """Seal whose appointment an id stands for, so that only this gateway can open it."""
        content = pae(ticket.platform.encode(), ticket.mode.encode(), ticket.reference.encode())
        size = _SMALLEST
        while size <= len(content):
            size *= 2
        return self._box().encrypt(pad(content, size), _nonce(id_)).ciphertext

    def open_ticket(self, id_: bytes, sealed: bytes) -> Ticket | None:
        """Read a ticket; return None if it is not this gateway's, or belongs to another appointment."""
        try:
            parts = unpae(unpad(self._box().decrypt(sealed, _nonce(id_))), 3)
            platform, mode, reference = (part.decode() for part in parts)
            ticket = Ticket(platform, Mode(mode), reference)
        except (CryptoError, ValueError):
            return None
        return ticket if make_id(self.platform(platform, ticket.mode), reference) == id_ else None

    def sign_record(self, content: Any) -> str:
        """Sign a record as a compact JWS (RFC 7515, RFC 8037); ``GET /v1/keys`` returns the key to verify it."""
        header = {"alg": "EdDSA", "typ": RECORD_TYPE, "kid": to_text(kid(bytes(self.records.verify_key)))}
        signed = ".".join(to_text(msgspec.json.encode(part)) for part in (header, content))
        return f"{signed}.{to_text(self.records.sign(signed.encode()).signature)}"

    def _box(self) -> SecretBox:
        return SecretBox(self._derive(b"", b"rw-ticket"))

    def _derive(self, content: bytes, person: bytes) -> bytes:
        return hashlib.blake2b(content, digest_size=KEY_BYTES, key=self.index, person=person).digest()


def _nonce(id_: bytes) -> bytes:
    return id_.ljust(SecretBox.NONCE_SIZE, b"\0")


def private_file(folder: Path) -> Path:
    """Return the path of the gateway's key file."""
    return folder / "gateway.key"
