"""The ledger's words: what stands in Redis for a reminder, and what may become of it; no I/O."""

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
HEAD_BYTES = 18  # of what stands for an appointment: lua/ledger.lua
FORGET_AFTER = timedelta(hours=72)  # without a receipt that is final; the last ones come about then
CLOSED = "closed"  # what an outcome is called after which the claim goes on, with one provider less: no end yet
HOLD = "hold"  # what one is called that sends a reminder back without a try
NOBODY = "none"  # in counts: who carried it, where it ended without a provider
CLAIM_LEASE = timedelta(seconds=20)  # from claim to intent, a matter of milliseconds

_NAMED = 6  # bytes of an id
_LETTERS = str.maketrans("0123456789abcdef", "zyxwvutsrqponmlk")  # a name of digits would look like a phone's


class Head(NamedTuple):
    """What stands in front of an appointment's ticket and envelope: lua/ledger.lua."""

    version: int
    leads: int
    left: int  # one bit per lead that is not final
    tag: bytes
    ticket: int  # bytes

    @classmethod
    def of(cls, value: bytes) -> Self | None:
        """Read the beginning of a value; None where there is no appointment."""
        return None if len(value) < HEAD_BYTES else cls(*struct.unpack_from(">HBB12sH", value))


class Durability(StrEnum):
    """What must have happened to an intent before a provider is called."""

    NONE = "none"  # Redis said yes
    LOCAL = "local"  # it is on the server's disk (WAITAOF 1 0)
    REPLICA = "replica"  # and on a replica's (WAITAOF 1 1)


class Answer(StrEnum):
    """What a platform is told about an appointment it handed in or took back."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    MOVED = "moved"
    IN_FLIGHT = "in_flight"  # a provider is being called: ask again shortly
    CANCELLED = "cancelled"
    ENDED = "ended"  # nothing was left to take back
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Entry:
    """One sealed appointment on its way into the ledger."""

    id: bytes
    tag: bytes  # 12 bytes: 8 equal for equal content, though every sealing differs; 4 for equal but for the pointer
    envelope: bytes = field(repr=False)
    dues: tuple[datetime | None, ...]  # of each lead, in the order in which they go out; None: it has passed
    ticket: bytes = field(default=b"", repr=False)  # whose appointment it is, sealed to the gateway; none: no events

    def words(self) -> tuple[Any, ...]:
        """Write it for add.lua; all that have a ticket of one length, or none, are equally long."""
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
        """What stands for the reminder in Redis."""
        return self.id + bytes([self.lead])

    @classmethod
    def of(cls, member: bytes, version: int) -> "Wake":
        """Read what stands for a reminder in Redis."""
        return cls(member[:ID_BYTES], member[ID_BYTES], version)


NAME = re.compile(r"[k-z]{12}-[0-9]{1,3}", re.ASCII)


def name_of(member: bytes) -> str:
    """Name a reminder for people: letters of its id, and which of the appointment's leads it is."""
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
    since: float = 0.0  # this machine's boot time before it was asked for; what is unknown counts as too old
    sent_until: datetime | None = None  # the store was put back then: where it was due by then it may have been sent
    comes_back: bool = False  # for its turn at a provider
    called: str = ""  # the provider that it waited for, and that has room now


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt whose worker is gone: it may or may not have been accepted."""

    wake: Wake
    now: datetime
    provider: str
    reference: str
    asked: datetime
    envelope: bytes = field(repr=False)
    since: float = 0.0  # as of a claim


@dataclass(frozen=True, slots=True)
class Leftover:
    """A text that lies at its provider, with number and words, and should not any more."""

    name: bytes  # in the ledger
    shard: int
    provider: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look at the schedule brought."""

    wakes: list[Wake]
    waiting: int  # due, and left where it is because the queue is full
    pause: timedelta | None  # until the next one falls due; None: nothing is scheduled


class Intent(StrEnum):
    """Whether a provider may be called now."""

    OK = "ok"
    LOST = "lost"  # cancelled, moved or taken over meanwhile
    NOT_CONFIRMED = "not_confirmed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a claim or an attempt ended; ``delay`` is for what goes back to the schedule."""

    kind: str  # a final State, or closed, retry, hold
    reason: Reason | None = None
    failure_class: FailureClass | None = None
    provider_message_id: str = ""
    delay: timedelta = timedelta()
    forget: timedelta | None = None  # when at the latest the provider should have number and words removed

    @classmethod
    def final(cls, state: State, reason: Reason, failure_class: FailureClass) -> "Outcome":
        """Say that it ended, without a text."""
        return cls(state.value, reason, failure_class)

    @classmethod
    def sent(cls, provider_message_id: str, *, forget: bool = False) -> "Outcome":
        """Say that the provider accepted it; ``forget`` where it keeps what has to be removed."""
        span = FORGET_AFTER if forget else None
        return cls(State.SENT.value, provider_message_id=provider_message_id, forget=span)

    @classmethod
    def closed(cls, reason: Reason) -> "Outcome":
        """Say that it was surely not accepted; the claim goes on, with another provider perhaps."""
        return cls(CLOSED, reason, delay=CLAIM_LEASE)

    @classmethod
    def retry(cls, reason: Reason, delay: timedelta) -> "Outcome":
        """Send it back to the schedule, and count one try more."""
        return cls("retry", reason, delay=delay)

    @classmethod
    def hold(cls, reason: Reason, delay: timedelta) -> "Outcome":
        """Send it back to the schedule, without having tried."""
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
        """Read what stands in Redis; ``due`` is from the schedule, where it waits there."""
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
    """Say whose fault it is that an accepted text did not arrive; the rest is the number's, or the text's."""
    if reason in _TEMPORARY:
        return FailureClass.TEMPORARY
    return FailureClass.TECHNICAL if reason in _TECHNICAL else FailureClass.PERMANENT
