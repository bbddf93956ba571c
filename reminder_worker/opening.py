"""Open envelopes and pointers, and forget the keys of past weeks; loaded by the worker alone.

Whatever is wrong with an envelope or a pointer, the error is Unopenable with a reason code and nothing else.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import VerifyKey

from reminder_worker.encoding import POINTER_BYTES, WEEKS_AHEAD, Body, unpad, unpae
from reminder_worker.errors import Reason, Refused, SettingsError, Unopenable
from reminder_worker.keyfiles import Kind, is_kind, key_from_file, read_key_file
from reminder_worker.mistakes import named
from reminder_worker.notes import NOTE_BYTES, NOTE_CONTEXT, Note
from reminder_worker.ratchet import GRACE_WEEKS, Ratchet, save_ratchet, turn
from reminder_worker.sealing import (
    ENVELOPE_BYTES,
    KID_BYTES,
    POINTER_CONTEXT,
    VERSION,
    is_address,
    kid,
    signed_part,
    week,
)

_SEALED = 1 + KID_BYTES  # where the sealed box begins
_POINTER_FILE = re.compile(r"worker\.pointer\.([1-9][0-9]{0,5})\.key", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpenedJob:
    """What a platform asked for, proven to come from it."""

    platform: str = field(repr=False)
    id: bytes
    body: Body = field(repr=False)
    test: bool = False  # no phone is to be reached


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach a contact."""

    uri: str = field(repr=False)  # "tel:+…" or "contact:…"
    language: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who may sign jobs, and for which platforms."""

    key: VerifyKey
    platforms: frozenset[str]
    test: bool = False  # its jobs are played through without any provider


class WorkerKeys:
    """The worker's private keys: pointer keys, and the envelope keys from last week on."""

    def __init__(self, pointers: Sequence[PrivateKey], ratchet: Ratchet, folder: Path | None = None) -> None:
        self._pointers = _boxes(pointers)
        self._ratchet = self._head = ratchet
        self._envelopes: dict[bytes, tuple[int, SealedBox[PrivateKey]]] = {}
        self._folder = folder
        self._lock = Lock()
        self.behind = False  # the ratchet's file still opens weeks that are over: it could not be replaced

    @classmethod
    def load(cls, folder: Path) -> "WorkerKeys":
        """Read the keys in a folder; nothing is forgotten before ``advance``. Raises SettingsError."""
        return cls(_load_pointers(folder), Ratchet.load(folder), folder)

    @property
    def week(self) -> int:
        """The oldest week whose envelopes can be opened."""
        return self._ratchet.week

    def advance(self, now: datetime) -> None:
        """Forget the keys of weeks that are over, here and on disk; cheap, and due at least once a week.

        What is forgotten never comes back: ``now`` must come from a clock that can be trusted.
        Raises SettingsError when it jumps ahead of all published keys.
        """
        if week(now) - GRACE_WEEKS <= self._ratchet.week and not self.behind:
            return
        with self._lock:
            self._ratchet = turn(self._ratchet, now)
            oldest = self._ratchet.week
            self._head = self._head.at(max(oldest, self._head.week))
            self._envelopes = {name: entry for name, entry in self._envelopes.items() if entry[0] >= oldest}
            self.behind = self._folder is not None and not save_ratchet(self._folder, self._ratchet)

    def pointer_box(self, name: bytes) -> SealedBox[PrivateKey] | None:
        """Return what opens pointers sealed to the key of this name, even if the key was made after the start."""
        if name not in self._pointers and self._folder is not None:
            with self._lock, suppress(SettingsError):
                self._pointers |= _boxes(_load_pointers(self._folder))
        return self._pointers.get(name)

    def envelope_box(self, name: bytes) -> SealedBox[PrivateKey] | None:
        """Return what opens envelopes sealed to the key of this name, deriving weeks until it turns up."""
        if name not in self._envelopes:
            with self._lock:
                self._derive(name)
        return self._envelopes.get(name, (0, None))[1]

    def _derive(self, name: bytes) -> None:
        while name not in self._envelopes and self._head.week <= self._ratchet.week + GRACE_WEEKS + WEEKS_AHEAD:
            key = self._head.key()
            self._envelopes[kid(bytes(key.public_key))] = self._head.week, SealedBox(key)
            self._head = self._head.at(self._head.week + 1)


def open_envelope(keys: WorkerKeys, signers: Mapping[bytes, Signer], envelope: bytes, *, entry_id: bytes) -> OpenedJob:
    """Open the envelope of a ledger entry and check who signed it. Raises Unopenable."""
    box = _box(envelope, keys.envelope_box(envelope[1:_SEALED]))
    content = _unseal(box, envelope, ENVELOPE_BYTES)
    signer_kid, platform, named_id, encoded, signature = _split(content, 5, Reason.MALFORMED)
    signer = signers.get(signer_kid)
    if signer is None:
        raise Unopenable(Reason.SIGNER_UNKNOWN)
    name = platform.decode("ascii", "replace")
    if name not in signer.platforms:
        known = any(name in one.platforms for one in signers.values())
        raise Unopenable(Reason.PLATFORM_MISMATCH, lacks_platform=not known)
    if not _is_signed(signer.key, signed_part(bytes(box), platform, named_id, encoded), signature):
        raise Unopenable(Reason.SIGNATURE_INVALID)
    if named_id != entry_id:
        raise Unopenable(Reason.ID_MISMATCH)
    body = _body(encoded)
    if body is None:
        raise Unopenable(Reason.MALFORMED)
    return OpenedJob(name, named_id, body, signer.test)


def open_pointer(keys: WorkerKeys, platform: str, pointer: bytes) -> Address:
    """Open a pointer on behalf of the platform that signed the job. Raises Unopenable."""
    box = _box(pointer, keys.pointer_box(pointer[1:_SEALED]))
    content = _unseal(box, pointer, POINTER_BYTES)
    context, owner, uri, language = _split(content, 4, Reason.POINTER_INVALID)
    if context != POINTER_CONTEXT:
        raise Unopenable(Reason.POINTER_INVALID)
    if owner != platform.encode():
        raise Unopenable(Reason.PLATFORM_MISMATCH)
    address = Address(uri.decode("ascii", "replace"), language.decode("ascii", "replace"))
    if not is_address(address.uri, address.language):
        raise Unopenable(Reason.POINTER_INVALID)
    return address


def open_note(keys: WorkerKeys, note: bytes) -> Note:
    """Open a note that the hooks process left. Raises Unopenable."""
    box = _box(note, keys.envelope_box(note[1:_SEALED]))
    content = _unseal(box, note, NOTE_BYTES)
    context, *parts = _split(content, 5, Reason.MALFORMED)
    if context != NOTE_CONTEXT:
        raise Unopenable(Reason.MALFORMED)
    return Note(*(part.decode("utf-8", "replace") for part in parts))


def _box(sealed: bytes, box: SealedBox[PrivateKey] | None) -> SealedBox[PrivateKey]:
    if sealed[:1] != VERSION:
        raise Unopenable(Reason.VERSION_UNKNOWN)
    if box is None:
        raise Unopenable(Reason.KEY_UNKNOWN)
    return box


def _unseal(box: SealedBox[PrivateKey], sealed: bytes, length: int) -> bytes:
    content = None
    if len(sealed) == length:
        with suppress(CryptoError):
            content = box.decrypt(sealed[_SEALED:])
    if content is None:
        raise Unopenable(Reason.DAMAGED)
    return content


def _split(content: bytes, count: int, otherwise: Reason) -> list[bytes]:
    parts: list[bytes] = []
    with suppress(ValueError):
        parts = unpae(unpad(content), count)
    if not parts:
        raise Unopenable(otherwise)
    return parts


def _is_signed(key: VerifyKey, content: bytes, signature: bytes) -> bool:
    try:
        key.verify(content, signature)
    except CryptoError:
        return False
    return True


def _body(encoded: bytes) -> Body | None:
    try:
        return Body.decode(encoded)
    except (ValueError, Refused):
        return None


def load_signers(files: Mapping[str, Path]) -> dict[bytes, Signer]:
    """Read the verify key of each platform; one key may speak for several. Raises SettingsError."""
    signers: dict[bytes, Signer] = {}
    for platform, path in files.items():
        for key, test in named(f"platforms.{platform}.verify_key")(_verify_keys)(path):
            known = signers[kid(key)].platforms if kid(key) in signers else frozenset[str]()
            signers[kid(key)] = Signer(VerifyKey(key), known | {platform}, test)
    return signers


def _verify_keys(path: Path) -> list[tuple[bytes, bool]]:
    """Read the keys that may sign for a platform: its own, or the gateway's, whose second key signs tests."""
    if not is_kind(path, Kind.GATEWAY_VERIFY):
        (own,) = read_key_file(path, Kind.VERIFY, "verify")
        return [(key_from_file(path, own), False)]
    live, test, _ = read_key_file(path, Kind.GATEWAY_VERIFY, "live", "test", "records")
    return [(key_from_file(path, live), False), (key_from_file(path, test), True)]


def load_pointer_key(path: Path) -> PrivateKey:
    """Read a file with a private pointer key. Raises SettingsError."""
    (text,) = read_key_file(path, Kind.POINTER, "private")
    return PrivateKey(key_from_file(path, text))


def _load_pointers(folder: Path) -> list[PrivateKey]:
    return [load_pointer_key(path) for path in pointer_files(folder)]


def _boxes(pointers: Iterable[PrivateKey]) -> dict[bytes, SealedBox[PrivateKey]]:
    return {kid(bytes(key.public_key)): SealedBox(key) for key in pointers}


def pointer_files(folder: Path) -> list[Path]:
    """Return the files of the pointer keys, newest last. Raises SettingsError when there is none."""
    numbered = {int(match[1]): path for path in folder.glob("*.key") if (match := _POINTER_FILE.fullmatch(path.name))}
    if not numbered:
        raise SettingsError(f"{folder}: holds no worker.pointer.1.key; make keys: reminder-worker keys new worker DIR")
    return [numbered[number] for number in sorted(numbered)]
