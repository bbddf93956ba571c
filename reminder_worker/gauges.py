"""How things stand: read from the ledger, the store and the public keys at the moment of a scrape.

The values are the same whichever process reads them, so of two schedulers' the larger counts (``max``), never the sum.
Only what counts is read: whoever asks sees no id, and neither phones nor places are in any of it. Blind: opens no key.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reminder_worker import status
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.metrics import LABELS, PROCESSES
from reminder_worker.schedule import Schedule
from reminder_worker.store import answered

ALIVE = 20.0  # seconds: a process that is silent for longer has missed three heartbeats
OPEN = {"open", "half-open"}
WEEK, MONDAY = 604_800, 345_600  # seconds; when week 0 begins

log = logging.getLogger(__name__)

Reader = Callable[[], Iterable[Metric]]


class Gauges(Collector):
    """Asks each of its readers anew; one that fails leaves out its series, and costs the others nothing."""

    def __init__(self, *readers: Reader) -> None:
        self._readers = readers

    def collect(self) -> Iterator[Metric]:
        """Yield everything that can be read now."""
        away = False
        for reader in self._readers:
            try:
                yield from list(reader())
            except StoreUnavailable:
                away = True
            except Exception as error:  # noqa: BLE001 - it may quote data, and some series are better than none
                log.error("gauges_failed", extra={"error": type(error).__name__})  # noqa: TRY400
        yield gauge("store_up", "Whether the store answers", not away)


def gauge(name: str, what: str, value: float | None) -> GaugeMetricFamily:
    """Return a gauge of one number, or of none if ``value`` is None."""
    found = GaugeMetricFamily(f"reminder_{name}", what)
    if value is not None:
        found.add_metric([], float(value))
    return found


def gauges(name: str, what: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    """Return a gauge with one number for each value of a label."""
    found = GaugeMetricFamily(f"reminder_{name}", what, labels=[label])
    for value, number in values.items():
        found.add_metric([value], float(number))
    return found


def ledger(schedule: Schedule) -> Iterator[Metric]:
    """Return what is pending, how the rest ended, who is alive, and how the store is. Raises StoreUnavailable."""
    now = status.read(schedule)
    yield gauge("scheduled", "Reminders that wait for their time", now.scheduled)
    yield gauge("overdue", "Of these, how many are due", now.overdue)
    yield gauge("overdue_seconds", "How long the oldest of them has been due", now.overdue_seconds)
    yield gauge("queued", "Reminders that wait for a worker, or are in its hands", now.queued)
    yield gauge("sending", "Attempts that are under way, or in doubt", now.sending)
    yield gauge("dead_letters", "Reminders that wait for a person's decision", now.dead_letters)
    yield gauge("replies_waiting", "People's answers that wait for a worker", now.replies_waiting)
    yield gauge("replies_unread", "People's answers that did not open, set aside", now.replies_unread)
    ended = {state: float(now.ended.get(state, 0)) for state in sorted(LABELS["state"])}
    yield gauges("ended", "Reminders that ended, within the retention", "state", ended)
    alive = [name.partition("/")[0] for name, silent in now.processes.items() if silent < ALIVE]
    up = {kind: float(alive.count(kind)) for kind in PROCESSES}
    yield gauges("process_up", "Processes whose heart beats", "process", up)
    yield from _open_questions(schedule, now.now)
    if now.store is not None:
        yield from _store(now.store)


def _open_questions(schedule: Schedule, now: datetime) -> Iterator[Metric]:
    """Return what waits for a person or for a platform, and for how long."""
    dead = unsure = 0.0
    unknown = events = dropped = 0
    with answered():
        for shard in range(schedule.shards):
            prefix = schedule.prefix(shard)
            dead = max(dead, _oldest(schedule, prefix + b"dead", now))
            unsure = max(unsure, _oldest(schedule, prefix + b"unknown", now))
            unknown += schedule.client.zcard(prefix + b"unknown")
            events += schedule.client.zcard(prefix + b"events")
            dropped += int(schedule.client.get(prefix + b"events.dropped") or 0)
    yield gauge("unknown", "Reminders of which nobody could find out whether they were sent", unknown)
    yield gauge("unknown_oldest_seconds", "How long the oldest of them has been so", unsure)
    yield gauge("dead_letter_oldest_seconds", "How long the oldest dead letter has waited", dead)
    yield gauge("events_waiting", "Events that platforms have not taken yet", events)
    yield gauge("events_dropped", "Events that were given up, or not wanted", dropped)


def _oldest(schedule: Schedule, key: bytes, now: datetime) -> float:
    """Return for how many seconds the oldest entry of a list has been in it."""
    first = schedule.client.zrange(key, 0, 0, withscores=True)
    return max(0.0, now.timestamp() - float(first[0][1]) / 1000) if first else 0.0


def _store(said: status.Store) -> Iterator[Metric]:
    """Return what the store reports about itself."""
    yield gauge("store_memory_bytes", "Memory that the store uses", said.memory_bytes)
    yield gauge("store_memory_limit_bytes", "Memory that it may use; 0: no limit", said.memory_limit_bytes)
    yield gauge("store_durable", "Whether it keeps an append-only file and can write it", said.durable)
    yield gauge("store_evicts", "Whether it drops keys when it is full", said.evicts)


def clock(schedule: Schedule) -> Iterator[Metric]:
    """Return how far this machine's clock is ahead of the store's. Raises StoreUnavailable."""
    before = datetime.now(UTC)
    told = schedule.now()
    middle = before + (datetime.now(UTC) - before) / 2
    yield gauge("clock_skew_seconds", "This machine's clock less the store's", (middle - told).total_seconds())


def circuits(schedule: Schedule, providers: Collection[str]) -> Iterator[Metric]:
    """Return which providers are left alone for now. Raises StoreUnavailable."""
    words = status.circuits(schedule, providers)
    still = {name: float(word in OPEN) for name, word in words.items()}
    slow = {name: float(word in {"throttled", "slowed"}) for name, word in words.items()}
    yield gauges("circuit_open", "Whether a provider is not asked, or only on trial", "provider", still)
    yield gauges("provider_slowed", "Whether a provider asked us to slow down", "provider", slow)


def epoch(schedule: Schedule) -> Iterator[Metric]:
    """Return how far the ratchets have got. Raises StoreUnavailable."""
    _, furthest = schedule.run("epoch", 0, "")
    behind = (datetime.now(UTC).timestamp() - MONDAY) // WEEK - furthest if furthest >= 0 else None
    yield gauge("key_epoch", "The week that the worker's ratchet has got to", None if behind is None else furthest)
    yield gauge("key_epoch_lag", "Weeks from there to now: 1 is as it should be", behind)


def published(load: Callable[[], Any]) -> Iterator[Metric]:
    """Return for how much longer platforms can seal to the published keys; ``load`` reads them."""
    try:
        last = max(load().envelopes, default=-1)
    except (SettingsError, OSError):
        last = -1
    left = (last + 1) * WEEK + MONDAY - datetime.now(UTC).timestamp()
    yield gauge(
        "published_keys_seconds", "Until the published keys end; 0: they ended, or cannot be read", max(0, left)
    )
