"""Notes from the hooks process to the worker: that a person replied, and what the reply means.

The number is sealed to the worker's key of this week (docs/format.md), so the process that hears from providers keeps
nothing, and Redis shows nothing. What the person wrote is not in the note.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reminder_worker.encoding import pae
from reminder_worker.errors import StoreUnavailable
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys, seal
from reminder_worker.store import answered

NOTE_CONTEXT = b"reminder-worker/note/v1"
NOTE_CONTENT = 128
NOTE_BYTES = 1 + 8 + 48 + NOTE_CONTENT  # version, key id, sealed box
MOST = 100_000  # that may wait for a worker
REMEMBERED = 2 * 86_400  # seconds; a provider that got no answer repeats a reply for a day


@dataclass(frozen=True, slots=True)
class Note:
    """What a reply means, and whose it is; ``language`` is that of the reply."""

    provider: str
    phone: str = field(repr=False)
    meaning: str = field(repr=False)
    language: str = field(repr=False)

    def seal(self, public: PublicKeys, now: datetime) -> bytes:
        """Seal the note, so that only a worker can read it; all notes have one length. Raises Refused."""
        parts = self.provider, self.phone, self.meaning, self.language
        content = pae(NOTE_CONTEXT, *(part.encode() for part in parts))
        return seal(public.envelope_key(now), content, NOTE_CONTENT)


class Notes:
    """The waiting notes, oldest first; one step removes a note and records what follows from it."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._key = schedule.prefix(0) + b"notes"

    def leave(self, note: bytes, reply: bytes = b"") -> bool:
        """Leave a note for a worker; False if the same reply has already left one. Raises StoreUnavailable.

        It also raises if too many notes wait. ``reply`` identifies the reply, if anything does.
        """
        if self._call("llen", self._key) >= MOST:
            raise StoreUnavailable("too many replies wait for a worker; is one running?")
        return bool(self._schedule.run("leave", 0, note, reply, REMEMBERED))

    def first(self) -> tuple[bytes, int] | None:
        """Return the oldest note and its number in the order of arrival; None if no note waits."""
        found = self._schedule.run("oldest", 0)
        return None if found is None else (found[0], found[1])

    def done(self, note: bytes, changes: Iterable[bytes] = ()) -> bool:
        """Remove a note and record what follows for the opt-out list; False if another worker was faster."""
        return bool(self._schedule.run("note", 0, note, 0, *changes))

    def set_aside(self, note: bytes) -> None:
        """Set a note aside that cannot be read, and keep it where it blocks nothing."""
        self._schedule.run("note", 0, note, 1)

    def _call(self, name: str, *arguments: Any) -> Any:
        with answered():
            return getattr(self._schedule.client, name)(*arguments)
