"""The places that a person reviewed for a platform, in a file that the platform signs (docs/format.md).

    reminder-worker places v1
    platform NAME
    sequence NUMBER
    signature Ed25519(PAE("reminder-worker/places/v1", platform, sequence, digest))
    label ⇥ reviewer ⇥ date ⇥ although                                                  one line for each place

    digest = BLAKE2b-32(PAE(label, reviewer, date, although) ‖ …, person="rw-places")

It holds places in clear: the worker, the gateway and the platform read it; hooks and scheduler never do.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from reminder_worker import disclosure, job
from reminder_worker.encoding import from_text, pae, to_text
from reminder_worker.errors import Refused, SettingsError
from reminder_worker.keyfiles import PRIVATE, Kind, is_kind, key_from_file, read_key_file, replace_file

MOST_LABELS = 10_000
MOST_BYTES = 8 * 1024 * 1024  # of a file; MOST_LABELS labels always fit
CONTEXT = b"reminder-worker/places/v1"
_SIGNATURE_BYTES = 64
_FIELDS = 4  # of a line
_HEAD = re.compile(
    rb"reminder-worker places v1\n"
    rb"platform ([a-z0-9-]{1,20})\n"
    rb"sequence ([1-9][0-9]{0,17})\n"
    rb"signature ([A-Za-z0-9_-]{86})\n"
)
_REVIEWER = re.compile(r"[^\W_][^\t\n\r]{0,39}")
_DATE = re.compile(r"2[0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """One label, and who accepted it; without a reviewer it waits for one and is not shown."""

    label: str = field(repr=False)
    reviewer: str = field(default="", repr=False)
    date: str = ""  # of the review, 2027-03-15
    although: str = ""  # the rule that the reviewer overruled

    def __post_init__(self) -> None:
        """Raise ValueError for a place that no catalogue may hold."""
        if not is_label(self.label) or (self.although and not may_be_accepted(self.although)):
            raise ValueError("no label, or no rule that may be overruled")
        if not self.reviewer:
            if self.date or self.although:
                raise ValueError("reviewed by nobody")
        elif not is_reviewer(self.reviewer) or not _DATE.fullmatch(self.date):
            raise ValueError("no reviewer, or no date")

    @property
    def refused_by(self) -> str | None:
        """Return the rule that keeps this label from being shown although it was reviewed, or None."""
        if not disclosure.discloses(self.label):
            return None
        found = disclosure.find(self.label)
        return found.rule if found is not None and found.rule != self.although else None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The places of one platform; ``sequence`` grows with each change, so that an older file can be recognised."""

    platform: str
    sequence: int
    places: tuple[Place, ...] = field(repr=False)

    def to_file(self, key: SigningKey) -> str:
        """Sign the catalogue, and return the text of its file."""
        rows = [_row(place) for place in self.places]
        signature = key.sign(signed_part(self.platform.encode(), self.sequence, rows)).signature
        head = (
            "reminder-worker places v1",
            f"platform {self.platform}",
            f"sequence {self.sequence}",
            f"signature {to_text(signature)}",
        )
        return "".join(f"{line}\n" for line in (*head, *(b"\t".join(row).decode() for row in rows)))

    @classmethod
    def parse(cls, data: bytes, platform: str, key: bytes) -> "Catalogue":
        """Read what ``to_file`` wrote; the signature is verified over the bytes as they came.

        Raises ValueError, which may hold data and must not be passed on.
        """
        head = _HEAD.match(data)
        if head is None or head[1] != platform.encode():
            raise ValueError("not this platform's")
        rows = [line.split(b"\t") for line in _lines(data[head.end() :])]
        if len(rows) > MOST_LABELS or any(len(row) != _FIELDS for row in rows):
            raise ValueError("too many labels, or fields")
        try:
            signed = signed_part(head[1], int(head[2]), rows)
            VerifyKey(key).verify(signed, from_text(head[3].decode(), _SIGNATURE_BYTES))
        except CryptoError:
            raise ValueError("not signed by this platform") from None
        places = tuple(Place(*(part.decode() for part in row)) for row in rows)
        if len({place.label for place in places}) < len(places):
            raise ValueError("a label twice")
        return cls(platform, int(head[2]), places)

    def changed(self, places: Iterable[Place], now: datetime) -> "Catalogue":
        """Return the next catalogue, with other places; one that is started afresh is newer too.

        Raises SettingsError for too many places.
        """
        after = replace(self, sequence=max(self.sequence + 1, int(now.timestamp())), places=tuple(places))
        if len(after.places) > MOST_LABELS:
            raise SettingsError(f"a catalogue holds at most {MOST_LABELS} places")
        return after


def _row(place: Place) -> list[bytes]:
    return [part.encode() for part in (place.label, place.reviewer, place.date, place.although)]


def _lines(data: bytes) -> list[bytes]:
    if data and not data.endswith(b"\n"):
        raise ValueError("cut off")
    return data.split(b"\n")[:-1]


def signed_part(platform: bytes, sequence: int, rows: Iterable[Sequence[bytes]]) -> bytes:
    """Return the bytes under a catalogue's signature."""
    places = b"".join(pae(*row) for row in rows)
    digest = hashlib.blake2b(places, digest_size=32, person=b"rw-places").digest()
    return pae(CONTEXT, platform, sequence.to_bytes(8, "big"), digest)


def is_label(text: str) -> bool:
    """Return whether this is a place as ``job.parse_location`` leaves it: NFC, single blanks, one line."""
    try:
        return job.parse_location(text) == text
    except Refused:
        return False


def is_reviewer(name: str) -> bool:
    """Return whether this can be the name of a label's reviewer."""
    return bool(_REVIEWER.fullmatch(name)) and name.isprintable()


def may_be_accepted(rule: str) -> bool:
    """Return whether a person may overrule this rule: words yes, shapes (links, long numbers, mixed letters) never."""
    return rule == disclosure.SPECIALITY_ENDING or bool(re.fullmatch(r"[^\s/]+(/\S+)+", rule))


def verify_key(path: Path) -> bytes:
    """Read the key that verifies a platform's catalogue: its own, or the gateway's if the gateway signs for it.

    Raises SettingsError.
    """
    if is_kind(path, Kind.GATEWAY_VERIFY):
        text, *_ = read_key_file(path, Kind.GATEWAY_VERIFY, "live", "test", "records")
    else:
        (text,) = read_key_file(path, Kind.VERIFY, "verify")
    return key_from_file(path, text)


def load(path: Path, platform: str, key: bytes) -> Catalogue:
    """Read and verify a file. Raises SettingsError, which names the file and nothing in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError:
        raise SettingsError(f"{path}: cannot be read; it should hold the places of {platform}") from None
    try:
        return Catalogue.parse(data, platform, key)
    except ValueError:
        raise SettingsError(f"{path}: is damaged, or not signed by {platform}") from None


def save(catalogue: Catalogue, path: Path, key: SigningKey) -> None:
    """Replace the file in one step; whoever could read it still can. Raises SettingsError."""
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else PRIVATE
        replace_file(path, catalogue.to_file(key), mode)
    except OSError:
        raise SettingsError(f"{path}: cannot be written") from None


class LiveCatalogue:
    """A catalogue as its file holds it now; safe to use from many threads.

    A file that is missing, forged or older than the one read before is no catalogue: nothing is looked up in it.
    """

    def __init__(self, path: Path, platform: str, key: Callable[[], bytes]) -> None:
        self._path = path
        self._platform = platform
        self._key = key
        self._lock = threading.Lock()
        self._read_at: tuple[int, int, int] | None = None
        self._newest = 0
        self._places: dict[str, Place] | SettingsError = {}

    def find(self, label: str) -> Place | None:
        """Return what is known of a label. Raises SettingsError if there is no catalogue to trust."""
        with self._lock:
            self._refresh()
            places = self._places
        if isinstance(places, SettingsError):
            raise SettingsError(str(places))
        return places.get(label)

    def _refresh(self) -> None:
        """Read the file if it has changed."""
        try:
            stat = self._path.stat()
            changed = stat.st_mtime_ns, stat.st_ino, stat.st_size
        except OSError:
            changed = None
        if changed is None or changed != self._read_at:
            self._read_at = changed
            self._places = self._load()

    def _load(self) -> dict[str, Place] | SettingsError:
        try:
            key = self._key()
        except SettingsError as error:
            self._read_at = None  # the key may exist the next time, and the file may not have changed by then
            return error
        try:
            catalogue = load(self._path, self._platform, key)
        except SettingsError as error:
            return error
        if catalogue.sequence < self._newest:
            return SettingsError(f"{self._path}: is older than the one that was here before")
        self._newest = catalogue.sequence
        return {place.label: place for place in catalogue.places}
