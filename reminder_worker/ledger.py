"""The ledger's vocabulary: what Redis stores for a reminder, and what may become of it; no I/O."""

import re
import struct
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Self

from reminder_worker.clocks import moment, to_ms
from reminder_worker.encoding import MAX_LEADS
from reminder_worker.errors import Reason
from reminder_worker.job import FailureClass, State

ID_BYTES = 16
HEAD_BYTES = 18  # of an appointment's value: lua/ledger.lua
FORGET_AFTER = timedelta(hours=72)  # without a final receipt; the last ones come about then
CLOSED = "closed"  # the kind of an outcome after which the claim goes on, with one provider fewer: not an end
HOLD = "hold"  # the kind of an outcome that sends a reminder back without a try
NOBODY = "none"  # in counts: instead of a provider, for a reminder that ended without one
CLAIM_LEASE = timedelta(seconds=20)  # from claim to intent, a matter of milliseconds

_NAMED = 6  # bytes of an id
_LETTERS = str.maketrans("0123456789abcdef", "zyxwvutsrqponmlk")  # a name of digits would look like a phone number


class Head(NamedTuple):
    """What precedes an appointment's ticket and envelope in its value: lua/ledger.lua."""

    version: int
    leads: int
    left: int  # one bit per lead that is not final
    tag: bytes
    ticket: int  # bytes

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        """Read the beginning of a value; return None if there is no appointment."""
        return None if len(value) < HEAD_BYTES else cls(*struct.unpack_from(">HBB12sH", value))


class Durability(StrEnum):
    """What must have happened to an intent before a provider is called."""

    NONE = "none"  # Redis has accepted it
    LOCAL = "local"  # it is on the server's disk (WAITAOF 1 0)
    REPLICA = "replica"  # and on a replica's disk (WAITAOF 1 1)


class Answer(StrEnum):
    """What a platform is told about an appointment that it handed in or cancelled."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    MOVED = "moved"
    IN_FLIGHT = "in_flight"  # a provider is being called: ask again shortly
    CANCELLED = "cancelled"
    ENDED = "ended"  # nothing was left to cancel
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Entry:
    """One sealed appointment on its way into the ledger."""

    id: bytes
    tag: bytes  # 12 bytes: 8 equal for equal content, though every sealing differs; 4 for equal but for the pointer
    envelope: bytes = field(repr=False)
    dues: tuple[datetime | None, ...] = field(repr=False)  # of each lead, as they go out; None: it has passed
    ticket: bytes = field(default=b"", repr=False)  # whose appointment it is, sealed to the gateway; none: no events

    def words(self) -> tuple[Any, ...]:
        """Write the entry for add.lua; all with tickets of the same length, or without, are equally long."""
        dues = (-1 if due is None else to_ms(due) for due in self.dues)
        written = "".join(f"{due:013d}" for due in dues).ljust(13 * MAX_LEADS, "0")
        return self.id, self.tag, self.ticket, self.envelope, len(self.dues), written


@dataclass(frozen=True, slots=True)
class Wake:
    """Look at this reminder: the whole content of a queue message."""

    id: bytes
    lead: int
    version: int

    @property
    def member(self) -> bytes:
        """What stands for the reminder in Redis: its id and its lead."""
        return self.id + bytes([self.lead])

    @classmethod
    def of(cls, member: bytes, version: int) -> "Wake":
        """Read what ``member`` returns."""
        return cls(member[:ID_BYTES], member[ID_BYTES], version)


NAME = re.compile(r"[k-z]{12}-[0-9]{1,3}", re.ASCII)


def name_of(member: bytes) -> str:
    """Name a reminder for people: letters made from its id, and the number of its lead."""
    return f"{member[:_NAMED].hex().translate(_LETTERS)}-{member[ID_BYTES]}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A reminder that is this worker's until the lease ends."""

    wake: Wake
    token: bytes = field(repr=False)
    now: datetime
    tries: int
    envelope: bytes = field(repr=False)
    _: KW_ONLY
    since: float = 0.0  # this machine's boot time before it was asked for; an unknown one counts as too old
    sent_until: datetime | None = None  # the store was put back then: if it was due by then, it may have been sent
    comes_back: bool = False  # for its turn at a provider
    called: str = ""  # the provider that it waited for, which has room now


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt whose worker is gone: it may or may not have been accepted."""

    wake: Wake
    now: datetime
    provider: str
    reference: str
    asked: datetime
    envelope: bytes = field(repr=False)
    since: float = 0.0  # as in a claim


@dataclass(frozen=True, slots=True)
class Leftover:
    """A text that is still stored at its provider, with number and words, and should be no longer."""

    name: bytes = field(repr=False)  # in the ledger
    shard: int
    provider: str
    message_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look at the schedule brought."""

    wakes: list[Wake]
    waiting: int  # due, and left where it is because the queue is full
    pause: timedelta | None  # until the next one falls due; None: nothing is scheduled


class Intent(StrEnum):
    """Whether a provider may be called now."""

    OK = "ok"
    LOST = "lost"  # cancelled, moved or taken over in the meantime
    NOT_CONFIRMED = "not_confirmed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a claim or an attempt ended; ``delay`` is for what goes back to the schedule."""

    kind: str  # a final State, or closed, retry, hold
    reason: Reason | None = None
    failure_class: FailureClass | None = None
    provider_message_id: str = field(default="", repr=False)
    delay: timedelta = timedelta()
    forget: timedelta | None = None  # after which the provider should remove number and words, at the latest

    @classmethod
    def final(cls, state: State, reason: Reason, failure_class: FailureClass) -> "Outcome":
        """Return the outcome of a reminder that ended without a text."""
        return cls(state.value, reason, failure_class)

    @classmethod
    def sent(cls, provider_message_id: str, *, forget: bool = False) -> "Outcome":
        """Return the outcome of a text that the provider accepted; ``forget`` if it keeps what must be removed."""
        span = FORGET_AFTER if forget else None
        return cls(State.SENT.value, provider_message_id=provider_message_id, forget=span)

    @classmethod
    def closed(cls, reason: Reason) -> "Outcome":
        """Return the outcome of a text surely not accepted; the claim goes on, perhaps with another provider."""
        return cls(CLOSED, reason, delay=CLAIM_LEASE)

    @classmethod
    def retry(cls, reason: Reason, delay: timedelta) -> "Outcome":
        """Return the outcome that sends a reminder back to the schedule and counts one more try."""
        return cls("retry", reason, delay=delay)

    @classmethod
    def hold(cls, reason: Reason, delay: timedelta) -> "Outcome":
        """Return the outcome that sends a reminder back to the schedule without counting a try."""
        return cls(HOLD, reason, delay=delay)


@dataclass(frozen=True, slots=True)
class Reminder:
    """What the ledger knows of one lead of an appointment."""

    lead: int
    state: State
    due: datetime | None
    ended: datetime | None
    provider: str | None
    attempts: int
    reason: str | None
    failure_class: str | None
    reply: str | None = None  # confirmed, or cancel_requested: what the person answered
    asked: datetime | None = None  # when a provider was last called
    template: str | None = None  # which set of templates was in force then

    @classmethod
    def of(cls, lead: int, due: float | None, fields: Mapping[bytes, bytes]) -> Self:
        """Read what Redis stores; ``due`` comes from the schedule, if the reminder waits there."""
        text = {name.decode(): value.decode("ascii", "replace") for name, value in fields.items() if name != b"token"}
        state = text.get("state", State.SCHEDULED)
        return cls(
            lead=lead,
            state=State.QUEUED if state == "claimed" else State(state),
            due=_moment(text.get("due") if due is None else due),
            ended=_moment(text.get("ended")),
            provider=text.get("provider"),
            attempts=int(text.get("attempts", 0)),
            reason=text.get("reason") or None,
            failure_class=text.get("class") or None,
            reply=text.get("reply"),
            asked=_moment(text.get("asked")),
            template=text.get("template") or None,
        )


def _moment(ms: float | str | None) -> datetime | None:
    return None if ms is None else moment(float(ms))


_TEMPORARY = frozenset({Reason.UNREACHABLE, Reason.VALIDITY_OVER})
_TECHNICAL = frozenset({Reason.CARRIER_FAILED, Reason.MISCONFIGURED})


def failure_class(reason: Reason) -> FailureClass:
    """Return whose fault it is that an accepted text did not arrive; any other reason is the number's or the text's."""
    if reason in _TEMPORARY:
        return FailureClass.TEMPORARY
    return FailureClass.TECHNICAL if reason in _TECHNICAL else FailureClass.PERMANENT
