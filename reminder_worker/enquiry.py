"""What became of a number's reminders, for support: asked on the worker's machine, with its pepper, one at a time.

Answered from tags that are stored anyway: the opt-out list, and which reminders a phone was sent on a day, veiled. A
number stays in memory only while it is looked up; no numbers can be listed, since none is stored. A reminder that still
waits to be sent cannot be found: its number is sealed, and a worker opens it when it goes out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from reminder_worker import acts, numbers
from reminder_worker.clocks import moment
from reminder_worker.errors import Reason, Refused
from reminder_worker.ledger import ID_BYTES, Reminder
from reminder_worker.optouts import DAYS, EVERYBODY, Tags, sent_to, words
from reminder_worker.schedule import Schedule
from reminder_worker.store import answered

PACE_MS = 1_000  # between two questions, whoever asks them: a person's pace
GONE = "gone"  # the appointment has moved since, or this is not kept any more


@dataclass(frozen=True, slots=True)
class Trace:
    """One reminder that was about to be sent to the number."""

    day: date  # in UTC
    state: str  # a State, or gone
    reason: str | None
    provider: str | None
    asked: datetime | None  # when the provider was last called
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a number's reminders; it does not hold the number."""

    opted_out: datetime | None  # since when
    traces: tuple[Trace, ...]  # newest first
    days: int = DAYS  # how far back this looks

    @property
    def result(self) -> str:
        """Return in a word what kind of answer this is: all that is noted of a question."""
        if self.opted_out is not None:
            return "opted_out"
        return "reminders" if self.traces else "nothing"


def ask(schedule: Schedule, tags: Tags, platforms: Iterable[str], text: str, who: acts.Who) -> Found:
    """Return what became of a number's reminders, and note who asked. Raises Refused, StoreUnavailable.

    Refused if it is not a number, or if anyone asked within the last second; then nothing was looked up.
    """
    phone = numbers.normalise(text.strip())
    with answered():
        if not schedule.client.set(schedule.prefix(0) + b"find", b"1", nx=True, px=PACE_MS):
            raise Refused(Reason.RATE_LIMITED, "number", "one a second may be asked about: try again in a moment")
        since = _opted_out(schedule, {tags.optout(scope, phone) for scope in (EVERYBODY, *platforms)})
        found = Found(since, tuple(_traces(schedule, tags, phone)))
    acts.note(schedule, "find", found.result, who)  # an answer that cannot be noted is not given
    return found


def _opted_out(schedule: Schedule, wanted: set[bytes]) -> datetime | None:
    """Go through the opt-out list here, where nobody sees which entry was looked for."""
    since: dict[bytes, datetime] = {}
    for name, word in words(schedule):
        if word[b"tag"] not in wanted:
            continue
        if word[b"on"] == b"1":
            since[word[b"tag"]] = moment(int(name.partition(b"-")[0]))
        else:
            since.pop(word[b"tag"], None)
    return min(since.values(), default=None)


def _traces(schedule: Schedule, tags: Tags, phone: str) -> Iterator[Trace]:
    """Yield each reminder once, by the last day on which it was about to be sent."""
    seen: set[tuple[bytes, bytes]] = set()
    for day, member, version in sent_to(schedule, tags, phone, schedule.now()):
        if (member, version) not in seen:
            seen.add((member, version))
            yield _trace(schedule, day, member, version)


def _trace(schedule: Schedule, day: date, member: bytes, version: bytes) -> Trace:
    names = ("version", "state", "reason", "provider", "asked", "ended")
    values = schedule.client.hmget(schedule.prefix(schedule.shard_of(member)) + b"r:" + member, names)
    row = {name.encode(): value for name, value in zip(names, values, strict=True) if value is not None}
    if row.get(b"version") != version:
        return Trace(day, GONE, None, None, None, None)
    known = Reminder.of(member[ID_BYTES], None, row)
    return Trace(day, known.state, known.reason, known.provider, known.asked, known.ended)
