"""What follows from people's answers: STOP, START, HELP, yes and no. Runs in the worker, the only one that knows tags.

It never sees what a person wrote, only what it means (``replies.py``, ``notes.py``).
"""

import logging
import secrets
from collections import deque
from collections.abc import Collection
from datetime import datetime, timedelta

from reminder_worker import metrics, numbers
from reminder_worker.drafting import Templates
from reminder_worker.errors import Reason, Refused, ReminderError, Unopenable
from reminder_worker.ledger import name_of
from reminder_worker.notes import Note, Notes
from reminder_worker.opening import WorkerKeys, open_note
from reminder_worker.optouts import OptOuts, Tags, sent_to
from reminder_worker.providers import Text
from reminder_worker.replies import Meaning
from reminder_worker.schedule import Schedule
from reminder_worker.sending import Carriers
from reminder_worker.store import answered

ANSWER_VALID = timedelta(hours=1)
BATCH = 100  # notes at a time
_DAY = 86_400  # seconds

log = logging.getLogger(__name__)


class Answering:
    """Acts on notes, one worker at a time for each; safe to use from many threads.

    ``countries`` holds each platform's: where none of them may text, nobody gets an answer either.
    """

    def __init__(
        self,
        schedule: Schedule,
        keys: WorkerKeys,
        tags: Tags,
        optouts: OptOuts,
        carriers: Carriers,
        templates: Templates,
        countries: Collection[Collection[str]],
    ) -> None:
        self._schedule = schedule
        self._keys = keys
        self._tags = tags
        self._optouts = optouts
        self._carriers = carriers
        self._templates = templates
        self._countries = countries
        self._notes = Notes(schedule)
        self._asked: deque[Note] = deque()  # the people who sent HELP

    def read_all(self, now: datetime) -> None:
        """Act on the notes that wait, oldest first. Raises StoreUnavailable."""
        for _ in range(BATCH):
            found = self._notes.first()
            if found is None:
                return
            sealed, number = found
            try:
                note = open_note(self._keys, sealed)
            except Unopenable as error:
                log.error("note_unreadable", extra={"reason": error.reason})  # noqa: TRY400 - there is nothing to trace
                self._notes.set_aside(sealed)
            else:
                self._act(sealed, number, note, now)

    def _act(self, sealed: bytes, number: int, note: Note, now: datetime) -> None:
        """Do what a note asks for, once."""
        answered = None
        match note.meaning:
            case Meaning.STOP | Meaning.START:
                stopped = note.meaning == Meaning.STOP
                changes = self._optouts.changes(note.phone, stopped=stopped)
                done = self._notes.done(sealed, changes)
                if done and stopped and changes:
                    metrics.count(metrics.OPT_OUTS)
                self._optouts.catch_up()
            case Meaning.CONFIRM | Meaning.CANCEL:
                answered = self._mark(note, number, now)
                done = self._notes.done(sealed)
            case Meaning.HELP:
                done = self._notes.done(sealed)  # first: a lost answer does less harm than a second one
                self._optouts.catch_up()  # another worker may have read an earlier STOP
                if done and not self._optouts.stopped_by(note.phone) and self._first_today(note, now):
                    self._asked.append(note)
            case _:
                done = self._notes.done(sealed)
        if done:
            log.info("reply", extra={"provider": note.provider, "state": note.meaning, "reminder": answered})

    def help(self) -> None:
        """Answer those who sent HELP; apart from the rest, because a STOP must not wait for a provider."""
        while self._asked:
            self._optouts.catch_up()  # another worker may have read a STOP since
            note = self._asked.popleft()
            if not self._optouts.stopped_by(note.phone):
                self._help(note)

    def _mark(self, note: Note, number: int, now: datetime) -> str | None:
        """Record a yes or a no with the last reminder that this phone may have got; return its opaque name."""
        for _, member, version in sent_to(self._schedule, self._tags, note.phone, now):
            shard = self._schedule.shard_of(member)
            if self._schedule.run("reply", shard, member, version, note.meaning, number):
                return name_of(member)
        return None

    def _first_today(self, note: Note, now: datetime) -> bool:
        """Return whether this phone was not answered today: two machines must not talk to each other for ever."""
        key = self._schedule.prefix(0) + b"h:" + self._tags.today(now.date(), "help", note.phone)
        with answered():
            return bool(self._schedule.client.set(key, b"1", nx=True, ex=_DAY))

    def _help(self, note: Note) -> None:
        """Answer with one generic sentence, and try only once."""
        provider = self._carriers.get(note.provider)
        if provider is None:
            return
        draft = self._templates.help(note.language)
        reference = secrets.token_urlsafe(29)  # belongs to no reminder
        try:
            phone = self._textable(note.phone)
            self._carriers.send(provider, Text(phone, draft.body, draft.segments, reference, ANSWER_VALID))
        except ReminderError as error:
            if error.reason is Reason.OPTED_OUT:
                self._optouts.stop(note.phone)
            log.warning("help_not_sent", extra={"provider": provider.name, "reason": error.reason})
        except BaseException as error:  # noqa: BLE001 - a plug-in's own, that may end us; its words may hold the number
            log.warning("help_not_sent", extra={"provider": provider.name, "error": type(error).__name__})

    def _textable(self, phone: str) -> str:
        """Return a number that some platform may text: anyone can ask, also from one that is dear. Raises Refused."""
        refusal = Refused(Reason.COUNTRY_NOT_ALLOWED, "phone", "there is no platform that may text it")
        for allowed in self._countries:
            try:
                return numbers.normalise(phone, allowed)
            except Refused as error:
                refusal = error
        raise refusal
