"""What is in the ledger now, in numbers only: the facts behind ``status``."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reminder_worker.clocks import moment
from reminder_worker.ledger import NOBODY
from reminder_worker.schedule import Schedule
from reminder_worker.store import answered
from reminder_worker.topology import told

_DAY_MS = 86_400_000
_TEN_MS = 600_000  # outcomes are counted by spans of this length, for a day (lua/ledger.lua)
_TENS = _DAY_MS // _TEN_MS
_CELL_MS, _CELLS = 300_000, 12  # for what falls due within an hour

Counts = dict[str, dict[str, int]]  # provider -> state -> how many


@dataclass(frozen=True, slots=True)
class Ended:
    """How many reminders ended in which way, within ten minutes."""

    since: datetime
    by: Counts

    @classmethod
    def of(cls, ten: int, counted: "Counter[str]") -> "Ended":
        """Read what was counted in the ten minutes with this number."""
        return cls(moment(ten * _TEN_MS), _by_provider(counted))


@dataclass(frozen=True, slots=True)
class Store:
    """What the store reports about itself."""

    memory_bytes: int
    memory_limit_bytes: int  # 0: none
    durable: bool  # it keeps an append-only file and can write it
    evicts: bool  # it drops keys when it is full

    @classmethod
    def of(cls, memory: dict[str, Any], disk: dict[str, Any]) -> "Store":
        """Read its answers to INFO."""
        return cls(
            memory_bytes=int(memory["used_memory"]),
            memory_limit_bytes=int(memory.get("maxmemory", 0)),
            durable=bool(disk.get("aof_enabled")) and disk.get("aof_last_write_status") == "ok",
            evicts=memory.get("maxmemory_policy", "noeviction") != "noeviction",
        )


@dataclass(frozen=True, slots=True)
class Status:
    """What is in the ledger now, in numbers only."""

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
    replies_unread: int = 0  # set aside, because they do not open
    unknown: int = 0  # their outcome could not be found out, and nobody has decided
    ahead: list[int] = field(default_factory=list)  # what falls due in each five minutes of the coming hour
    recent: list[Ended] = field(default_factory=list)  # each ten minutes of the last day, the current one last
    store: Store | None = None

    @property
    def last_hour(self) -> Counts:
        """How reminders ended within the last hour, to ten minutes."""
        return _sum(self.recent[-_TENS // 24 :])

    @property
    def last_day(self) -> Counts:
        """How reminders ended within the last day, to ten minutes."""
        return _sum(self.recent)


@dataclass(frozen=True, slots=True)
class _Part:
    """The numbers of one shard."""

    standing: "Counter[str]"  # by their names in Status
    first_due: float | None
    ahead: list[int]
    ended: "Counter[str]"  # by "state|provider"
    recent: "list[Counter[str]]"  # the same, by ten minutes


def read(schedule: Schedule, providers: Collection[str] = ()) -> Status:
    """Count what is pending, and what became of the rest within the retention. Raises StoreUnavailable."""
    with answered():
        now = _now(schedule)
        whole = _join([_count(schedule, shard, now) for shard in range(schedule.shards)])
        beats = schedule.client.zrange(schedule.prefix(0) + b"processes", 0, -1, withscores=True)
        notes = [schedule.client.llen(schedule.prefix(0) + name) for name in (b"notes", b"notes.unread")]
    ended = _by_provider(whole.ended)
    return Status(
        now=moment(now),
        scheduled=whole.standing["scheduled"],
        overdue=whole.standing["overdue"],
        overdue_seconds=0.0 if whole.first_due is None else max(0.0, (now - whole.first_due) / 1000),
        next_due=None if whole.first_due is None else moment(whole.first_due),
        queued=whole.standing["queued"],
        sending=whole.standing["sending"],
        dead_letters=whole.standing["dead_letters"],
        ended=_by_state(ended),
        by_provider={name: states for name, states in ended.items() if name != NOBODY},
        processes={name.decode("utf-8", "replace"): max(0.0, (now - at) / 1000) for name, at in beats},
        circuits=circuits(schedule, providers),
        replies_waiting=notes[0],
        replies_unread=notes[1],
        unknown=whole.standing["unknown"],
        ahead=whole.ahead,
        recent=list(map(Ended.of, _tens(now), whole.recent)),
        store=store(schedule),
    )


def store(schedule: Schedule) -> Store:
    """Return what the store reports about itself. Raises StoreUnavailable."""
    with answered():
        return Store.of(*told(schedule.client))


def circuits(schedule: Schedule, providers: Collection[str]) -> dict[str, str]:
    """Return in one word how each provider is being used. Raises StoreUnavailable."""
    with answered():
        now = _now(schedule)
        return {name: _circuit(schedule, name, now) for name in providers}


def _now(schedule: Schedule) -> int:
    seconds, micro = schedule.client.time()
    return int(seconds) * 1000 + int(micro) // 1000


def _circuit(schedule: Schedule, provider: str, now: int) -> str:
    """Return in one word how a provider is being used (keys: ``lua/admit.lua``)."""
    names = "until", "paused", "pace"
    until, paused, pace = schedule.client.hmget(schedule.prefix(0) + b"c:" + provider.encode(), names)
    if until is not None:
        return "open" if now < int(until) else "half-open"
    if paused is not None and now < int(paused):
        return "throttled"
    return "closed" if pace is None else "slowed"


def _count(schedule: Schedule, shard: int, now: int) -> _Part:
    prefix = schedule.prefix(shard)
    today = now // _DAY_MS  # counters are kept by day, and by ten minutes: no scan of the keyspace is needed
    days = range(today - schedule.retention.days - 1, today + 1)
    with schedule.client.pipeline(transaction=False) as pipe:
        pipe.zcard(prefix + b"live").zcard(prefix + b"open").zcard(prefix + b"dead")
        pipe.zcard(prefix + b"unknown")
        for day in days:
            pipe.hgetall(prefix + b"n:%d" % day)
        for ten in _tens(now):
            pipe.hgetall(prefix + b"n:t%d" % ten)
        queued, sending, dead, unknown, *rest = pipe.execute()
    ended, recent = rest[: len(days)], rest[len(days) :]
    scheduled, overdue, first, ahead = _waiting(schedule, prefix, now)
    standing = Counter(scheduled=scheduled, overdue=overdue, queued=queued, sending=sending)
    standing.update(dead_letters=dead, unknown=unknown)
    return _Part(standing, first, ahead, _total(map(_counts, ended)), [*map(_counts, recent)])


def _waiting(schedule: Schedule, prefix: bytes, now: int) -> tuple[int, int, float | None, list[int]]:
    """Return how many wait for their time or turn, how many are overdue, when the first is due, and what comes when."""
    with schedule.client.pipeline(transaction=False) as pipe:
        for key in (prefix + b"due", prefix + b"turns"):
            pipe.zcard(key).zcount(key, "-inf", now).zrange(key, 0, 0, withscores=True)
            for start in range(now, now + _CELLS * _CELL_MS, _CELL_MS):
                pipe.zcount(key, f"({start}", start + _CELL_MS)
        replies = pipe.execute()
    half = len(replies) // 2
    scheduled, overdue, firsts, *ahead = zip(replies[:half], replies[half:], strict=True)
    first = min((found[0][1] for found in firsts if found), default=None)
    return sum(scheduled), sum(overdue), first, list(map(sum, ahead))


def _join(parts: list[_Part]) -> _Part:
    """Add up the numbers of all shards."""
    return _Part(
        standing=_total(part.standing for part in parts),
        first_due=min((part.first_due for part in parts if part.first_due is not None), default=None),
        ahead=[sum(numbers) for numbers in zip(*(part.ahead for part in parts), strict=True)],
        ended=_total(part.ended for part in parts),
        recent=[_total(counted) for counted in zip(*(part.recent for part in parts), strict=True)],
    )


def _tens(now: int) -> range:
    """Return the numbers of the last day's spans of ten minutes; the current one last."""
    return range(now // _TEN_MS - _TENS + 1, now // _TEN_MS + 1)


def _counts(fields: dict[bytes, bytes]) -> "Counter[str]":
    return Counter({name.decode("utf-8", "replace"): int(number) for name, number in fields.items()})


def _total(parts: "Iterable[Counter[str]]") -> "Counter[str]":
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part)
    return found


def _by_provider(ended: "Counter[str]") -> Counts:
    """Split counts of ``state|provider`` by provider, and then by state."""
    found: Counts = {}
    for name, number in sorted(ended.items()):
        state, _, provider = name.partition("|")
        if number > 0:
            found.setdefault(provider or NOBODY, {})[state] = number
    return found


def _sum(parts: Iterable[Ended]) -> Counts:
    found: dict[str, Counter[str]] = {}
    for provider, states in (pair for part in parts for pair in part.by.items()):
        found.setdefault(provider, Counter()).update(states)
    return {provider: dict(states) for provider, states in found.items()}


def _by_state(providers: Counts) -> dict[str, int]:
    """Return how many ended in each state, whoever carried them."""
    found: Counter[str] = Counter()
    for states in providers.values():
        found.update(states)
    return dict(sorted(found.items()))
