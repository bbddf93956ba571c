"""Seal and sign: all that a booking platform needs, and nothing that opens a seal (docs/format.md).

    pointer  = 01 ‖ kid ‖ SealedBox(pad(PAE("reminder-worker/pointer/v1", platform, uri, language), 96))
    signed   = PAE("reminder-worker/job/v1", worker_pk, platform, id, body)
    envelope = 01 ‖ kid ‖ SealedBox(pad(PAE(signer_kid, platform, id, body, Ed25519(signed)), 368))
    id       = BLAKE2b-16(reference, key=index key, person="rw-id")

A private key that opens envelopes or pointers never enters this module.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import msgspec
from nacl.bindings import crypto_box_seal
from nacl.signing import SigningKey

from reminder_worker.encoding import POINTER_BYTES, Body, from_text, pad, pae, to_text
from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.keyfiles import KEY_BYTES, Kind, key_from_file, read_key_file

VERSION = b"\x01"
KID_BYTES = 8
POINTER_CONTENT = 96
ENVELOPE_CONTENT = 368
ENVELOPE_BYTES = 425
SIGNATURE_BYTES = 64
POINTER_CONTEXT = b"reminder-worker/pointer/v1"
JOB_CONTEXT = b"reminder-worker/job/v1"

_MONDAY = 345_600  # 1970-01-05T00:00Z, where week 0 begins
_WEEK = 604_800
_PLATFORM = re.compile(r"[a-z0-9-]{1,20}", re.ASCII)
_URI = re.compile(r"tel:\+[1-9][0-9]{4,14}|contact:[A-Za-z0-9._~-]{1,64}", re.ASCII)
_LANGUAGE = re.compile(r"(?=.{2,8}\Z)[A-Za-z]{2,3}(-[A-Za-z0-9]{2,4})*", re.ASCII)
_MAX_REFERENCE = 200


@dataclass(frozen=True, slots=True)
class Signature:
    """What an offline root says of public keys; ``root.py`` verifies it."""

    issued: int  # seconds since 1970: the later one counts
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The worker's public keys, as platforms hold them."""

    pointers: tuple[bytes, ...]  # newest last; all of them are still opened
    envelopes: Mapping[int, bytes] = field(repr=False)  # by week
    signature: Signature | None = None

    @classmethod
    def from_json(cls, text: str | bytes) -> "PublicKeys":
        """Read what ``to_json`` wrote. Raises SettingsError."""
        try:
            document = msgspec.json.decode(text, type=_Document)
            pointers = tuple(key.checked() for key in document.pointer)
            envelopes = {key.week: key.checked() for key in document.envelope}
            signature = document.root.checked() if document.root else None
        except (ValueError, msgspec.DecodeError, RecursionError):
            raise SettingsError("public keys: not the JSON that `reminder-worker keys public` prints") from None
        if document.version != 1 or not pointers or len(envelopes) < len(document.envelope):
            raise SettingsError("public keys: of an unknown version, without a pointer key, or with a week twice")
        return cls(pointers, envelopes, signature)

    @classmethod
    def load(cls, path: Path) -> "PublicKeys":
        """Read a file of public keys. Raises SettingsError."""
        try:
            return cls.from_json(path.read_bytes())
        except OSError:
            raise SettingsError(f"{path}: cannot be read; it should hold the worker's public keys") from None
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from None

    def to_json(self) -> str:
        """Write the document that platforms fetch."""
        pointers = [_Key(to_text(kid(key)), to_text(key)) for key in self.pointers]
        envelopes = [_WeekKey(to_text(kid(key)), to_text(key), week) for week, key in sorted(self.envelopes.items())]
        said = _Signature(self.signature.issued, to_text(self.signature.value)) if self.signature else None
        document = msgspec.json.encode(_Document(1, pointers, envelopes, said))
        return msgspec.json.format(document, indent=1).decode()

    def envelope_key(self, due: datetime) -> bytes:
        """Return the key of the week in which the last text of an appointment falls due. Raises Refused."""
        key = self.envelopes.get(week(due))
        if key is None:
            said = f"the published keys end on {self.last_day}; fetch them again, or hand it in once they reach it"
            raise Refused(Reason.TIME_TOO_FAR, "time", said)
        return key

    @property
    def last_day(self) -> str:
        """The last day for which there are envelope keys."""
        after = _MONDAY + (max(self.envelopes, default=-1) + 1) * _WEEK
        return f"{datetime.fromtimestamp(after - 1, UTC):%Y-%m-%d}"


_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]  # 4 bytes where it is signed


class _Key(msgspec.Struct, frozen=True):
    kid: str
    key: str

    def checked(self) -> bytes:
        key = from_text(self.key, KEY_BYTES)
        if self.kid != to_text(kid(key)):
            raise ValueError("kid and key disagree")
        return key


class _WeekKey(_Key, frozen=True):
    week: _Count


class _Signature(msgspec.Struct, frozen=True):
    issued: _Count
    signature: str

    def checked(self) -> Signature:
        return Signature(self.issued, from_text(self.signature, SIGNATURE_BYTES))


class _Document(msgspec.Struct, frozen=True, omit_defaults=True):
    version: int
    pointer: list[_Key]
    envelope: list[_WeekKey]
    root: _Signature | None = None


@dataclass(frozen=True, slots=True)
class PlatformKeys:
    """A booking platform's own keys: one signs its jobs, one makes its ids."""

    name: str
    signing: SigningKey = field(repr=False)
    index: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not is_platform(self.name):
            raise SettingsError("platform: a name has 1 to 20 of the characters a-z, 0-9 and -")

    @classmethod
    def load(cls, path: Path) -> "PlatformKeys":
        """Read a platform's key file. Raises SettingsError."""
        name, signing, index = read_key_file(path, Kind.PLATFORM, "name", "signing", "index")
        return cls(name, SigningKey(key_from_file(path, signing)), key_from_file(path, index))


def is_platform(name: str) -> bool:
    """Tell whether this can be the name of a platform."""
    return bool(_PLATFORM.fullmatch(name))


def is_address(uri: str, language: str) -> bool:
    """Tell whether a pointer may hold these."""
    return bool(_URI.fullmatch(uri) and _LANGUAGE.fullmatch(language))


@lru_cache(1024)
def kid(key: bytes) -> bytes:
    """Return the short name of a public key."""
    return hashlib.blake2b(key, digest_size=KID_BYTES, person=b"rw-kid").digest()


def week(moment: datetime) -> int:
    """Count the weeks since Monday, 5 January 1970, 00:00 UTC."""
    return (int(moment.timestamp()) - _MONDAY) // _WEEK


def make_id(platform: PlatformKeys, reference: str) -> bytes:
    """Turn a platform's own name for an appointment into what the store sees. Raises Refused."""
    broken = not reference.isprintable() and {"Cc", "Cs"} & set(map(unicodedata.category, reference))
    if broken or not 1 <= len(reference) <= _MAX_REFERENCE:
        raise Refused(Reason.REFERENCE_INVALID, "reference", f"write 1 to {_MAX_REFERENCE} characters on one line")
    return hashlib.blake2b(reference.encode(), digest_size=16, key=platform.index, person=b"rw-id").digest()


def content_tag(platform: PlatformKeys, entry_id: bytes, body: Body, *, uri: str = "", language: str = "") -> bytes:
    """Fingerprint a job, so that the ledger recognises the same content although every sealing differs.

    ``uri`` and ``language`` stand for a pointer that is sealed afresh each time; without them the pointer counts, and
    the last 4 of the 12 bytes, which cover all the rest, tell if nothing but the pointer was sealed anew.
    """
    contact = pae(uri.encode(), language.encode()) if uri else body.pointer
    when, where, leads = body.time.encode(), body.location.encode(), " ".join(body.leads).encode()
    whole, rest = pae(entry_id, when, where, contact, leads), pae(entry_id, when, where, leads)
    return _tag(platform, whole, 8) + _tag(platform, rest, 4)


def _tag(platform: PlatformKeys, content: bytes, size: int) -> bytes:
    return hashlib.blake2b(content, digest_size=size, key=platform.index, person=b"rw-tag").digest()


def seal_pointer(public: PublicKeys, platform: str, uri: str, language: str) -> bytes:
    """Seal the way to reach a contact, for use by one platform. Raises Refused."""
    if not is_platform(platform) or not is_address(uri, language):
        raise Refused(Reason.POINTER_INVALID, "pointer", "needs tel: or contact:, a language and a platform")
    content = pae(POINTER_CONTEXT, platform.encode(), uri.encode(), language.encode())
    if len(content) >= POINTER_CONTENT:
        raise Refused(Reason.POINTER_INVALID, "pointer", "does not fit; use a shorter contact token")
    return seal(public.pointers[-1], content, POINTER_CONTENT)


def pointer_from_text(public: PublicKeys, text: str) -> bytes:
    """Read a pointer as it travels in JSON; only the worker can tell whether it opens. Raises Refused."""
    try:
        pointer = from_text(text, POINTER_BYTES)
    except ValueError:
        raise Refused(Reason.POINTER_INVALID, "pointer", f"must be base64url of {POINTER_BYTES} bytes") from None
    if pointer[:1] != VERSION or pointer[1 : 1 + KID_BYTES] not in map(kid, public.pointers):
        raise Refused(Reason.POINTER_INVALID, "pointer", "is not sealed to a pointer key of this worker")
    return pointer


def pointer_to_text(pointer: bytes) -> str:
    """Write a pointer as it travels in JSON."""
    return to_text(pointer)


def seal_envelope(public: PublicKeys, platform: PlatformKeys, entry_id: bytes, body: Body, due: datetime) -> bytes:
    """Sign and seal a job whose last text falls due at ``due``. Raises Refused."""
    worker = public.envelope_key(due)
    name, encoded = platform.name.encode(), body.encode()
    signature = platform.signing.sign(signed_part(worker, name, entry_id, encoded)).signature
    content = pae(kid(bytes(platform.signing.verify_key)), name, entry_id, encoded, signature)
    if len(content) >= ENVELOPE_CONTENT:
        raise Refused(Reason.LOCATION_TOO_LONG, "location", "does not fit; shorten it or give fewer leads")
    return seal(worker, content, ENVELOPE_CONTENT)


def signed_part(worker: bytes, platform: bytes, entry_id: bytes, body: bytes) -> bytes:
    """Return the bytes under a job's signature."""
    return pae(JOB_CONTEXT, worker, platform, entry_id, body)


def seal(key: bytes, content: bytes, size: int) -> bytes:
    """Pad content and seal it to a public key, with the key's short name in front."""
    return VERSION + kid(key) + crypto_box_seal(pad(content, size), key)
