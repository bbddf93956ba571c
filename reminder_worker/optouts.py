"""The opt-out list: keyed hashes of the numbers that said STOP, and the other tags that stand for a phone.

A hash without a key is as good as a number: trying all French mobile numbers takes two minutes. The key, called the
pepper, is a file of the worker's. A phone that says STOP is tagged once, for all platforms: the list does not tell
whose patient it was.

Redis holds the list as a log. Every worker follows it and looks numbers up in its own memory: a look-up in Redis
would show anyone who watches its commands the same name for the same person again and again. The log also names the
pepper that it is made with: a worker with another pepper would find nobody on the list, and text them all.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock

from reminder_worker import metrics
from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import Kind, key_from_file, read_key_file
from reminder_worker.ledger import ID_BYTES
from reminder_worker.schedule import Schedule
from reminder_worker.store import answered

TAG_BYTES = 16
DAYS = 8  # how long a record is kept of the reminders that a phone was sent (lua/admit.lua)
_SALT = 8
_MEMBER = ID_BYTES + 1
PAGE = 1000  # words of the log per read
Position = tuple[int, int]  # of a word in the log: when it was said, ms, and its number among those said then
EVERYBODY = "*"  # in place of a platform's name: no platform has this one
_BEGINNING = b"0-0"
NAMED = b"pepper"  # the field of a word that names the pepper and stands for no phone
_OTHER_PEPPER = (
    "optouts.pepper: is not the key that the store's opt-out list is made with, so people who said STOP would be "
    "texted; copy the file from another worker's machine, or from where keys are kept safe; if it is "
    "lost, see docs/backup.md"
)


class Tags:
    """The tags that stand for phones and platforms in Redis; anyone who has the pepper could try all numbers."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper
        self._today: tuple[date, bytes] = date.min, b""

    @classmethod
    def load(cls, folder: Path) -> "Tags":
        """Read the pepper. Raises SettingsError."""
        path = pepper_file(folder)
        (text,) = read_key_file(path, Kind.PEPPER, "pepper")
        return cls(key_from_file(path, text))

    def optout(self, scope: str, phone: str) -> bytes:
        """Name a phone on the opt-out list of a platform, or of everybody, for as long as the pepper is kept."""
        return self._hash(phone.encode(), _person(scope), self._pepper)

    def today(self, day: date, *names: str) -> bytes:
        """Name a phone or a platform for one day: without the pepper, the tags of two days cannot be linked."""
        return self._hash("\0".join(names).encode(), b"rw-today", self._daily(day))

    def own(self) -> bytes:
        """Name the pepper itself."""
        return self._hash(b"", b"rw-pepper", self._pepper)

    def sender(self, sender: str) -> str:
        """Name a sender: it is only an operator's number, but no number belongs in Redis."""
        return self._hash(sender.encode(), b"rw-sender", self._pepper).hex() if sender else ""

    def hide(self, day: date, phone: str, content: bytes) -> bytes:
        """Hide what a phone was sent on a day: only someone who knows both the phone and the pepper can read it."""
        salt = secrets.token_bytes(_SALT)
        return salt + self._veil(day, phone, salt, content)

    def show(self, day: date, phone: str, hidden: bytes) -> bytes:
        """Read what was hidden."""
        return self._veil(day, phone, hidden[:_SALT], hidden[_SALT:])

    def _veil(self, day: date, phone: str, salt: bytes, content: bytes) -> bytes:
        pad = hashlib.blake2b(salt + phone.encode(), key=self._daily(day), person=b"rw-last").digest()
        both = int.from_bytes(content, "big") ^ int.from_bytes(pad[: len(content)], "big")
        return both.to_bytes(len(content), "big")

    def _daily(self, day: date) -> bytes:
        """Return the key of a day; the last one is kept, because each text asks for it several times."""
        of, key = self._today
        if of != day:
            key = hashlib.blake2b(day.isoformat().encode(), key=self._pepper, digest_size=32, person=b"rw-day").digest()
            self._today = day, key
        return key

    @staticmethod
    def _hash(content: bytes, person: bytes, key: bytes) -> bytes:
        return hashlib.blake2b(content, digest_size=TAG_BYTES, key=key, person=person).digest()


@lru_cache(maxsize=1000)
def _person(scope: str) -> bytes:
    """Shorten a platform's name to the label that tells one use of a hash from another."""
    return hashlib.blake2b(scope.encode(), digest_size=16).digest()


def pepper_file(folder: Path) -> Path:
    """Return where the pepper is kept."""
    return folder / "optouts.pepper"


class OptOuts:
    """Who said STOP, as one worker process knows it; safe to use from many threads."""

    def __init__(self, schedule: Schedule, tags: Tags, platforms: Iterable[str]) -> None:
        self._schedule = schedule
        self._tags = tags
        self._scopes = (EVERYBODY, *platforms)
        self._stopped: set[bytes] = set()
        self._lock = Lock()
        self.cursor = _BEGINNING  # how far the log was followed

    def check(self) -> None:
        """Refuse a pepper that is not the list's; a list that names none yet names ours from now on.

        An earlier version reads that as a START that belongs to no phone. Raises SettingsError, StoreUnavailable.
        """
        named = self._named()
        if named is None:
            self._schedule.run("stop", 0, self._tags.own(), 0, NAMED, 1)
            named = self._named()  # another worker's, if that was faster
        if named != self._tags.own():
            raise SettingsError(_OTHER_PEPPER)

    def _named(self) -> bytes | None:
        """Return the tag that names the pepper in the log, the first if there are several; None if there is none."""
        return next((fields[b"tag"] for _, fields in words(self._schedule) if NAMED in fields), None)

    def has(self, platform: str, phone: str) -> bool:
        """Tell whether this person wants no texts from this platform."""
        return any(self._tags.optout(scope, phone) in self._stopped for scope in (platform, EVERYBODY))

    def stopped_by(self, phone: str) -> bool:
        """Tell whether this person has opted out of texts from at least one platform."""
        return any(self._tags.optout(scope, phone) in self._stopped for scope in self._scopes)

    def follow(self, entries: Sequence[bytes]) -> None:
        """Take in what is new in the log: cursor, tag, "1" or "0", and so on."""
        with self._lock:
            for cursor, tag, stopped in zip(entries[::3], entries[1::3], entries[2::3], strict=True):
                if position_of(cursor) > position_of(self.cursor):
                    self.cursor = cursor
                    (self._stopped.add if stopped == b"1" else self._stopped.discard)(tag)

    def catch_up(self) -> None:
        """Read the log to its end, and from its beginning if it has lost the last word that was read.

        A replica that takes over may lack the last words; they are written again. Raises StoreUnavailable.
        """
        if self._is_lost():
            self._read_anew()
        for cursor, fields in words(self._schedule, self.cursor):
            self.follow([cursor, fields[b"tag"], fields[b"on"]])

    def _is_lost(self) -> bool:
        with answered():
            here = self._schedule.client.xrange(log_of(self._schedule), min=self.cursor, max=self.cursor)
        return self.cursor != _BEGINNING and not here

    def _read_anew(self) -> None:
        with self._lock:
            anew = OptOuts(self._schedule, self._tags, ())
            anew.catch_up()
            self._stopped, self.cursor = anew._stopped, anew.cursor

    def changes(self, phone: str, *, stopped: bool) -> list[bytes]:
        """Return what has to be appended to the log: tag, "1" or "0", and so on. Raises StoreUnavailable.

        A STOP goes to the sender that all platforms share, so it holds for all of them, later ones too.
        """
        self.catch_up()
        if stopped:
            everybody = self._tags.optout(EVERYBODY, phone)
            return [] if everybody in self._stopped else [everybody, b"1"]
        tags = (self._tags.optout(scope, phone) for scope in self._scopes)
        return [part for tag in tags if tag in self._stopped for part in (tag, b"0")]

    def stop(self, phone: str) -> None:
        """Put a phone on the list at once, because its provider says so. Raises StoreUnavailable."""
        changes = self.changes(phone, stopped=True)
        for tag, on in zip(changes[::2], changes[1::2], strict=True):
            self._schedule.run("stop", 0, tag, on)
            metrics.count(metrics.OPT_OUTS)
        self.catch_up()


def log_of(schedule: Schedule) -> bytes:
    """Return the key of the log."""
    return schedule.prefix(0) + b"stops"


def words(schedule: Schedule, after: bytes = _BEGINNING) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """Yield each word of the log after ``after``, behind its name, to the end. Raises StoreUnavailable."""
    with answered():
        while page := schedule.client.xrange(log_of(schedule), min=b"(" + after, count=PAGE):
            yield from page
            after = page[-1][0]


def sent_to(schedule: Schedule, tags: Tags, phone: str, now: datetime) -> Iterator[tuple[date, bytes, bytes]]:
    """Yield the reminders that a phone was sent, newest first: day, member and version. Raises StoreUnavailable.

    One day at a time: days must not be linked.
    """
    for day in ((now - timedelta(days=ago)).date() for ago in range(DAYS)):
        with answered():
            marks = schedule.client.lrange(schedule.prefix(0) + b"l:" + tags.today(day, "phone", phone), 0, -1)
        for mark in [tags.show(day, phone, hidden) for hidden in marks]:
            yield day, mark[:_MEMBER], mark[_MEMBER:]


def position_of(name: bytes) -> Position:
    """Return the position of a word in the log, so that two can be compared."""
    ms, _, number = name.partition(b"-")
    return int(ms), int(number)
