"""What stands in the ledger now, in numbers only: the facts behind ``status``."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from redis.exceptions import RedisError

from reminder_worker.clocks import moment
from reminder_worker.schedule import Schedule, unavailable

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Status:
    """What stands in the ledger now, in numbers only."""

    now: datetime
    scheduled: int
    overdue: int
    overdue_seconds: float  # of the oldest one
    next_due: datetime | None
    queued: int
    sending: int
    dead_letters: int
    ended: dict[str, int]  # by state
    by_provider: dict[str, dict[str, int]]  # provider -> state -> how many
    processes: dict[str, float]  # process -> seconds since its last heartbeat
    circuits: dict[str, str] = field(default_factory=dict)  # provider -> closed, open, half-open, throttled or slowed
    replies_waiting: int = 0  # for a worker to act on
    replies_unread: int = 0  # set aside, for they do not open
    unknown: int = 0  # nobody could find out, and nobody has decided


@dataclass(frozen=True, slots=True)
class _Part:
    """The numbers of one shard."""

    scheduled: int
    overdue: int
    queued: int
    sending: int
    dead_letters: int
    unknown: int
    first_due: float | None
    ended: "Counter[str]"  # by "state|provider"


def read(schedule: Schedule, providers: Collection[str] = ()) -> Status:
    """Count what is pending, and what became of the rest within the retention. Raises StoreUnavailable."""
    try:
        seconds, micro = schedule.client.time()
        now = seconds * 1000 + micro // 1000
        parts = [_count(schedule, shard, now) for shard in range(schedule.shards)]
        beats = schedule.client.zrange(schedule.prefix(0) + b"processes", 0, -1, withscores=True)
        circuits = {name: _circuit(schedule, name, now) for name in providers}
        notes = [schedule.client.llen(schedule.prefix(0) + name) for name in (b"notes", b"notes.unread")]
    except RedisError as error:
        raise unavailable(error) from None
    first = min((part.first_due for part in parts if part.first_due is not None), default=None)
    states, providers = _group(sum((part.ended for part in parts), Counter()))
    return Status(
        now=moment(now),
        scheduled=sum(part.scheduled for part in parts),
        overdue=sum(part.overdue for part in parts),
        overdue_seconds=max(0.0, (now - first) / 1000) if first is not None else 0.0,
        next_due=None if first is None else moment(first),
        queued=sum(part.queued for part in parts),
        sending=sum(part.sending for part in parts),
        dead_letters=sum(part.dead_letters for part in parts),
        ended=states,
        by_provider=providers,
        processes={name.decode(): max(0.0, (now - at) / 1000) for name, at in beats},
        circuits=circuits,
        replies_waiting=notes[0],
        replies_unread=notes[1],
        unknown=sum(part.unknown for part in parts),
    )


def circuits(schedule: Schedule, providers: Collection[str]) -> dict[str, str]:
    """Say in one word how each provider is being used. Raises StoreUnavailable."""
    try:
        seconds, micro = schedule.client.time()
        return {name: _circuit(schedule, name, seconds * 1000 + micro // 1000) for name in providers}
    except RedisError as error:
        raise unavailable(error) from None


def _circuit(schedule: Schedule, provider: str, now: int) -> str:
    """Say in one word how a provider is being used (keys: ``lua/admit.lua``)."""
    names = "until", "paused", "slots"
    until, paused, slots = schedule.client.hmget(schedule.prefix(0) + b"c:" + provider.encode(), names)
    if until is not None:
        return "open" if now < int(until) else "half-open"
    if paused is not None and now < int(paused):
        return "throttled"
    return "closed" if slots is None else "slowed"


def _count(schedule: Schedule, shard: int, now: int) -> _Part:
    prefix = schedule.prefix(shard)
    today = now // _DAY_MS  # counters are kept by day: no scan of the keyspace is needed
    days = range(today - schedule.retention.days - 1, today + 1)
    with schedule.client.pipeline(transaction=False) as pipe:
        pipe.zcard(prefix + b"due").zcount(prefix + b"due", "-inf", now)
        pipe.zcard(prefix + b"live").zcard(prefix + b"open").zcard(prefix + b"dead")
        pipe.zcard(prefix + b"unknown")
        pipe.zrange(prefix + b"due", 0, 0, withscores=True)
        for day in days:
            pipe.hgetall(prefix + b"n:%d" % day)
        scheduled, overdue, queued, sending, dead, unknown, first, *counted = pipe.execute()
    ended: Counter[str] = Counter()
    for fields in counted:
        ended.update({name.decode(): int(number) for name, number in fields.items()})
    due = first[0][1] if first else None
    return _Part(scheduled, overdue, queued, sending, dead, unknown, due, ended)


def _group(ended: "Counter[str]") -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Split counts of ``state|provider`` into those by state and those by provider."""
    states: dict[str, int] = {}
    providers: dict[str, dict[str, int]] = {}
    for name, number in sorted(ended.items()):
        state, _, provider = name.partition("|")
        if number:
            states[state] = states.get(state, 0) + number
        if number and provider:
            providers.setdefault(provider, {})[state] = number
    return states, providers
