"""Events that wait in Redis until their platforms have taken them: what became of a reminder, what a person answered.

The scripts leave an event in the same step as the change it reports. Redis holds whose it is only as the appointment's
sealed ticket, never as a reference or a platform.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reminder_worker.clocks import milliseconds, moment, to_ms
from reminder_worker.encoding import to_text
from reminder_worker.job import State
from reminder_worker.ledger import HEAD_BYTES, ID_BYTES, Head
from reminder_worker.schedule import BATCH, Schedule
from reminder_worker.store import answered
from reminder_worker.topology import servers

LEASE = timedelta(seconds=60)
PAGE = 1000  # keys in each step of a scan of all rows
TOLD, GIVEN_UP = timedelta(milliseconds=-1), timedelta(milliseconds=-2)  # instead of a time until the next try

log = logging.getLogger(__name__)

_MEMBER = ID_BYTES + 1
_WORDS = "|".join([*State, "confirmed", "cancel_requested"])
_FACT = re.compile(rf"[0-9]{{1,5}}\|([0-9]{{1,14}})\|({_WORDS})\|([a-z_]{{0,40}})\|([0-9]{{1,14}})".encode())


@dataclass(frozen=True, slots=True)
class Event:
    """What a platform is to be told about one reminder."""

    name: bytes  # all of it, as it stands in Redis
    ticket: bytes = field(repr=False)
    what: str  # a final State, or confirmed, cancel_requested
    reason: str | None
    at: datetime  # when it became so
    now: datetime  # by the store's clock, when it was taken
    since: datetime  # when the event was left in the queue
    taken: float  # on this machine's clock

    @classmethod
    def of(cls, name: bytes, ticket: bytes, now: datetime, taken: float) -> "Event | None":
        """Read an event as Redis stores it; return None for what no script of ours has left there."""
        found = _FACT.fullmatch(name[_MEMBER:])
        if found is None:
            return None
        at, what, reason, since = (part.decode() for part in found.groups())
        return cls(name, ticket, what, reason or None, moment(int(at)), now, moment(int(since)), taken)

    @property
    def id(self) -> bytes:
        """The appointment's id in Redis."""
        return self.name[:ID_BYTES]

    @property
    def lead(self) -> int:
        """The number of the appointment's reminder that it is about."""
        return self.name[ID_BYTES]

    @property
    def message_id(self) -> str:
        """Name the event for its platform: the same at every try, another after a replay."""
        return "evt_" + to_text(hashlib.blake2b(self.name, digest_size=16, person=b"rw-event").digest())

    def clock(self) -> datetime:
        """Return the time now, by the store's clock and the time passed on this machine's since."""
        return self.now + timedelta(seconds=time.monotonic() - self.taken)

    def age(self) -> timedelta:
        """Return how long it has waited so far."""
        return self.clock() - self.since

    def held_for(self) -> float:
        """Return for how many more seconds this process alone holds it."""
        return LEASE.total_seconds() - (time.monotonic() - self.taken)


class EventQueue:
    """The events that platforms are still to be told; any number of processes may take from it."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def take(self, shard: int, *, most: int) -> tuple[list[Event], timedelta | None]:
        """Take the events that are due; return them, and how long until the next one is, None if none is left."""
        taken = time.monotonic()
        now, next_one, *flat = self.schedule.run("tell", shard, most, milliseconds(LEASE))
        pause = None if next_one < 0 else timedelta(milliseconds=max(0, next_one - now))
        events = []
        for name, ticket in zip(flat[::2], flat[1::2], strict=True):
            if event := Event.of(name, ticket, moment(now), taken):
                events.append(event)
            else:
                self.schedule.run("told", shard, name, milliseconds(GIVEN_UP))
        return events, pause

    def settle(self, outcomes: Sequence[tuple[Event, timedelta]]) -> None:
        """Record what became of events: TOLD, GIVEN_UP, or the time after which they are to be tried again."""
        for shard in range(self.schedule.shards):
            mine = [one for one in outcomes if self.schedule.shard_of(one[0].name) == shard]
            if mine:
                flat = [part for event, delay in mine for part in (event.name, milliseconds(delay))]
                self.schedule.run("told", shard, *flat)
        if dropped := sum(delay == GIVEN_UP for _, delay in outcomes):
            log.error("events_dropped", extra={"count": dropped, "reminder": None})

    def muted(self) -> set[bytes]:
        """Return which platforms not to tell, by the gateway's tags."""
        with answered():
            return set(self.schedule.client.smembers(self._muted))

    def mute(self, tag: bytes) -> None:
        """Tell a platform nothing more until it is unmuted."""
        with answered():
            self.schedule.client.sadd(self._muted, tag)

    def unmute(self, tag: bytes) -> bool:
        """Tell a platform again; return False if it was not muted."""
        with answered():
            return bool(self.schedule.client.srem(self._muted, tag))

    @property
    def _muted(self) -> bytes:
        return self.schedule.prefix(0) + b"muted"

    def count(self) -> tuple[int, int]:
        """Return how many events wait, and how many were given up since the store was set up."""
        waiting = dropped = 0
        for shard in range(self.schedule.shards):
            key = self.schedule.prefix(shard) + b"events"
            with answered():
                waiting += self.schedule.client.zcard(key)
                dropped += int(self.schedule.client.get(key + b".dropped") or 0)
        return waiting, dropped

    def keys(self) -> int:
        """Return how many keys ``replay`` has to look at."""
        with answered():
            return sum(int(server.dbsize()) for server in servers(self.schedule.client))

    def replay(
        self, span: timedelta, wanted: Callable[[bytes, bytes], bool] | None = None
    ) -> Iterator[tuple[int, int]]:
        """Leave an event for each reminder that ended or was answered within ``span``: its state now, not its history.

        ``wanted`` chooses by id and ticket. Yields how many keys were looked at, and how many events were left.
        """
        now = self.schedule.now()
        words = to_ms(now), to_ms(now - span)
        for keys in self._pages():
            members = [key.partition(b"}:r:")[2] for key in keys]
            events = 0
            for shard in {self.schedule.shard_of(member) for member in members}:
                mine = [member for member in members if self.schedule.shard_of(member) == shard]
                chosen = mine if wanted is None else self._choose(shard, mine, wanted)
                for start in range(0, len(chosen), BATCH):
                    events += self.schedule.run("retell", shard, *words, *chosen[start : start + BATCH])
            yield PAGE, events

    def _pages(self) -> Iterator[list[bytes]]:
        """Yield the keys of all reminders; SCAN lets other commands in between, and may return a key twice."""
        for server in servers(self.schedule.client):
            cursor = -1
            while cursor != 0:
                with answered():
                    cursor, keys = server.scan(max(cursor, 0), match=b"rw:{*}:r:*", count=PAGE)
                yield keys

    def _choose(self, shard: int, members: list[bytes], wanted: Callable[[bytes, bytes], bool]) -> list[bytes]:
        keys = [self.schedule.prefix(shard) + b"a:" + member[:ID_BYTES] for member in members]
        with answered():
            values = self.schedule.client.mget(keys)
        tickets = [_ticket(value or b"") for value in values]
        return [member for member, ticket in zip(members, tickets, strict=True) if wanted(member[:ID_BYTES], ticket)]


def _ticket(value: bytes) -> bytes:
    """Cut the ticket out of an appointment's value in Redis."""
    head = Head.of(value)
    return value[HEAD_BYTES : HEAD_BYTES + head.ticket] if head else b""
