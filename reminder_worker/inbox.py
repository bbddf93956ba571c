"""Passes on what providers and people tell us: receipts to the ledger, answers to the worker.

A reply is interpreted here, in memory; what goes on is its meaning in one word and the number, sealed.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence

from reminder_worker import replies
from reminder_worker.errors import Refused, SettingsError, StoreUnavailable
from reminder_worker.notes import Note, Notes
from reminder_worker.providers import Provider, Receipt, Reply
from reminder_worker.receipts import Receipts
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys

log = logging.getLogger(__name__)


class Inbox:
    """Takes receipts and replies of all providers; safe to use from many threads. ``load`` reads the public keys."""

    def __init__(self, schedule: Schedule, load: Callable[[], PublicKeys]) -> None:
        self._schedule = schedule
        self._load = load
        self._public = load()
        self._receipts = Receipts(schedule)
        self._notes = Notes(schedule)

    def refresh(self) -> None:
        """Follow newly published keys: otherwise a STOP would be sealed to a key that no worker opens, or to none.

        If they cannot be read now, the last ones stay.
        """
        try:
            self._public = self._load()
        except SettingsError:
            log.error("keys_unreadable")  # noqa: TRY400 - there is nothing to trace

    def take(self, provider: Provider, heard: Receipt | Reply) -> bool:
        """Take one in; return False if it changes nothing. Raises StoreUnavailable: then it must be sent again."""
        if isinstance(heard, Receipt):
            return self._receipts.take(provider, heard)
        return self._read(provider, heard)

    def take_all(self, receipts: Sequence[tuple[Provider, Receipt]]) -> list[bool]:
        """Take in receipts, all together; otherwise as ``take``."""
        return self._receipts.take_all(receipts)

    def _read(self, provider: Provider, reply: Reply) -> bool:
        """Interpret a reply, and leave a note for the worker if there is something to do."""
        reading = replies.read(reply.text)
        log.info("reply_heard", extra={"provider": provider.name, "state": reading.meaning})
        if reading.meaning is replies.Meaning.OTHER:
            return False
        note = Note(provider.name, reply.sender, reading.meaning, reading.language)
        try:
            sealed = note.seal(self._public, self._schedule.now())
        except Refused:
            log.error("keys_run_out")  # noqa: TRY400 - platforms cannot seal either: see doctor
            raise StoreUnavailable("no public key is published for this week") from None  # it must be sent again
        is_stop = reading.meaning is replies.Meaning.STOP  # always counts: none is lost because an old one had its name
        return self._notes.leave(sealed, b"" if is_stop else _mark(provider, reply))


def _mark(provider: Provider, reply: Reply) -> bytes:
    """Return a mark for a reply, which its provider may send again: an old START must not undo a later STOP.

    Empty if the provider has no name for it.
    """
    if not reply.provider_message_id:
        return b""
    name = f"{provider.name}\0{reply.provider_message_id}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(name, digest_size=16, person=b"rw-reply").digest()
