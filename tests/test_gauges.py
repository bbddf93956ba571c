"""How things stand, as who asks is told: from a real ledger, a real store and real keys."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from reminder_worker import gauges, keys, metrics, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Reason, SettingsError
from reminder_worker.gauges import Gauges
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Claim, Entry, Outcome
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys

# Every series, with its label: a new one is a decision about what operators may learn.
SERIES = {
    "scheduled": "", "overdue": "", "overdue_seconds": "", "queued": "", "sending": "", "dead_letters": "",
    "replies_waiting": "", "replies_unread": "", "ended": "state", "process_up": "process", "unknown": "",
    "unknown_oldest_seconds": "", "dead_letter_oldest_seconds": "", "events_waiting": "", "events_dropped": "",
    "store_memory_bytes": "", "store_memory_limit_bytes": "", "store_durable": "", "store_evicts": "", "store_up": "",
    "clock_skew_seconds": "", "circuit_open": "provider", "provider_slowed": "provider", "key_epoch": "",
    "key_epoch_lag": "", "published_keys_seconds": "",
}  # fmt: skip


def shown(*readers: gauges.Reader) -> dict[str, float]:
    """Return what a scrape shows, by name and label."""
    registry = CollectorRegistry()
    registry.register(Gauges(*readers))
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        assert family.documentation
        for sample in family.samples:
            found[" ".join([sample.name.removeprefix("reminder_"), *sample.labels.values()])] = sample.value
    return found


def add(schedule: Schedule, number: int, due: datetime) -> None:
    schedule.add([Entry(bytes([number]) * 16, bytes([number]) * 12, b"envelope", (due,))])


def claims(schedule: Schedule) -> list[Claim]:
    found = [schedule.claim(wake) for wake in schedule.take(0, capacity=100).wakes]
    assert all(isinstance(one, Claim) for one in found)
    return [one for one in found if isinstance(one, Claim)]


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    keys.new_worker(tmp_path, datetime.now(UTC))
    return tmp_path / "worker.pub.json"


def test_there_are_these_series_with_these_labels_and_no_others(schedule: Schedule, public: Path) -> None:
    schedule.run("epoch", 0, "0" * 16, 1)
    readers: Iterable[gauges.Reader] = (
        partial(gauges.ledger, schedule),
        partial(gauges.clock, schedule),
        partial(gauges.circuits, schedule, ["twilio"]),
        partial(gauges.epoch, schedule),
        partial(gauges.published, partial(PublicKeys.load, public)),
    )
    families = list(Gauges(*readers).collect())
    found = {
        one.name.removeprefix("reminder_"): ",".join(one.samples[0].labels) if one.samples else "" for one in families
    }
    assert found == SERIES
    for one in families:
        for sample in one.samples:
            for label, value in sample.labels.items():
                assert value in metrics.LABELS.get(label, {"twilio"})


def test_an_empty_ledger_shows_zeros(schedule: Schedule) -> None:
    now = shown(partial(gauges.ledger, schedule))
    assert now.pop("store_up") == now.pop("store_durable") == 1
    assert now.pop("store_memory_bytes") > 0
    assert set(now.values()) == {0.0}
    assert {f"process_up {kind}" for kind in metrics.PROCESSES} <= set(now)


def test_what_is_pending_and_how_the_rest_ended_is_counted(schedule: Schedule) -> None:
    for number in (1, 2, 3):
        add(schedule, number, ago(seconds=90))
    first, second, _ = claims(schedule)
    schedule.intend(first, "twilio", "r1", lease=timedelta(seconds=15))
    late = Outcome.final(State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)
    schedule.settle(second.wake, late, token=second.token)
    add(schedule, 4, ago(seconds=60))
    add(schedule, 5, ago(hours=-1))
    now = shown(partial(gauges.ledger, schedule))
    assert (now["scheduled"], now["overdue"], now["queued"], now["sending"]) == (2, 1, 1, 1)
    assert 59 < now["overdue_seconds"] < 70
    assert (now["ended expired"], now["ended sent"]) == (1, 0)


def test_what_nobody_could_find_out_is_counted_with_its_age(schedule: Schedule) -> None:
    add(schedule, 1, ago(seconds=1))
    (claim,) = claims(schedule)
    schedule.intend(claim, "twilio", "r1", lease=timedelta(seconds=15))
    unknown = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
    schedule.settle(claim.wake, unknown, reference="r1")
    schedule.client.zadd(schedule.prefix(0) + b"unknown", {claim.wake.member: (time.time() - 500) * 1000})
    schedule.client.zadd(schedule.prefix(0) + b"dead", {b"x" * 17: (time.time() - 700) * 1000})
    now = shown(partial(gauges.ledger, schedule))
    assert (now["unknown"], now["dead_letters"]) == (1, 1)
    assert 499 < now["unknown_oldest_seconds"] < 510
    assert 699 < now["dead_letter_oldest_seconds"] < 710


def test_a_process_is_up_while_its_heart_beats(schedule: Schedule) -> None:
    for name in ("worker/1-a", "worker/2-b", "web/3-c", "+33612345678/4"):
        schedule.beat(name)
    silent = (time.time() - gauges.ALIVE - 1) * 1000
    schedule.client.zadd(schedule.prefix(0) + b"processes", {"hooks/5-d": silent, "worker/6-e": silent})
    now = shown(partial(gauges.ledger, schedule))
    up = {name.partition(" ")[2]: value for name, value in now.items() if name.startswith("process_up")}
    assert up == {"worker": 2, "web": 1, "hooks": 0, "scheduler": 0, "ops": 0}


def test_the_store_says_how_full_and_how_durable_it_is(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path, "--maxmemory", "100mb") as server:
        schedule = Schedule(store.connect(server.url()))
        now = shown(partial(gauges.ledger, schedule))
        assert 0 < now["store_memory_bytes"] < now["store_memory_limit_bytes"] == 100 * 2**20
        assert (now["store_durable"], now["store_evicts"]) == (1, 0)
        schedule.client.config_set("appendonly", "no")
        schedule.client.config_set("maxmemory-policy", "allkeys-lru")
        now = shown(partial(gauges.ledger, schedule))
        assert (now["store_durable"], now["store_evicts"]) == (0, 1)


class Shifted(Schedule):
    """A store whose clock is elsewhere."""

    def now(self) -> datetime:
        return super().now() - timedelta(seconds=45)


def test_clocks_are_compared(schedule: Schedule) -> None:
    assert abs(shown(partial(gauges.clock, schedule))["clock_skew_seconds"]) < 1
    assert 44 < shown(partial(gauges.clock, Shifted(schedule.client)))["clock_skew_seconds"] < 46


@pytest.mark.parametrize(
    ("results", "still", "slow"), [([], 0, 0), (["failed"] * 5, 1, 0), (["throttled"], 0, 1), (["ok"], 0, 0)]
)
def test_a_circuit_is_open_or_not(schedule: Schedule, results: list[str], still: int, slow: int) -> None:
    for number, result in enumerate(results):
        schedule.run("report", 0, "twilio", b"call-%d" % number, result, 30_000, 0, 0)
    now = shown(partial(gauges.circuits, schedule, ["twilio", "outbox"]))
    assert (now["circuit_open twilio"], now["provider_slowed twilio"]) == (still, slow)
    assert (now["circuit_open outbox"], now["provider_slowed outbox"]) == (0, 0)


def test_how_far_the_ratchet_got_is_told_once_it_is_known(schedule: Schedule) -> None:
    assert "key_epoch" not in shown(partial(gauges.epoch, schedule))
    this_week = int((time.time() - 345_600) // 604_800)
    schedule.run("epoch", 0, "0" * 16, this_week - 1)
    now = shown(partial(gauges.epoch, schedule))
    assert (now["key_epoch"], now["key_epoch_lag"]) == (this_week - 1, 1)


def test_published_keys_run_to_the_end_of_their_last_week(public: Path) -> None:
    seconds = shown(partial(gauges.published, partial(PublicKeys.load, public)))["published_keys_seconds"]
    last = max(PublicKeys.load(public).envelopes)
    ends = datetime.fromtimestamp((last + 1) * 604_800 + 345_600, UTC)
    assert ends.weekday() == 0
    assert seconds == pytest.approx((ends - datetime.now(UTC)).total_seconds(), abs=60)


def raising(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize("error", [SettingsError("worker.pub.json: is damaged"), OSError("gone")])
def test_keys_that_cannot_be_read_are_over(error: Exception) -> None:
    assert shown(partial(gauges.published, partial(raising, error)))["published_keys_seconds"] == 0


def test_a_store_that_is_away_costs_its_own_series_only(tmp_path: Path, public: Path) -> None:
    away = Schedule(store.connect(f"unix://{tmp_path}/none.sock", retry=None))
    readers = [partial(one, away) for one in (gauges.ledger, gauges.clock, gauges.epoch)]
    now = shown(
        *readers,
        partial(gauges.circuits, away, ["twilio"]),
        partial(gauges.published, partial(PublicKeys.load, public)),
    )
    assert set(now) == {"store_up", "published_keys_seconds"}
    assert now["store_up"] == 0


def test_a_reader_that_fails_is_left_out_and_its_words_are_not_logged(
    schedule: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    now = shown(partial(raising, ValueError("+33612345678")), partial(gauges.clock, schedule))
    assert now["store_up"] == 1
    assert "clock_skew_seconds" in now
    assert [record.msg for record in caplog.records] == ["gauges_failed"]
    assert "+33612345678" not in str(vars(caplog.records[0]))
