"""Schedulers: alone, in a crowd, dying, and in front of a store that is away."""

import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from clock import Clock
from dramatiq import Message

from reminder_worker import broker as queue
from reminder_worker import scheduler as module
from reminder_worker import store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import Claim, Entry, Outcome, Wake
from reminder_worker.schedule import WAKE_LEASE, Schedule
from reminder_worker.scheduler import Scheduler


class Recorder:
    """A queue that remembers what went in, and may break."""

    def __init__(self, *, breaks_after: int | None = None) -> None:
        self.wakes: Counter[Wake] = Counter()
        self.left = breaks_after
        self._lock = threading.Lock()

    def enqueue_all(self, messages: Iterable[Message[None]]) -> None:
        for message in messages:
            with self._lock:
                if self.left is not None:
                    if not self.left:
                        raise ConnectionError("somebody's place")
                    self.left -= 1
                self.wakes[queue.read(**message.kwargs)] += 1


def add(schedule: Schedule, many: int, due: datetime, first: int = 0) -> list[Wake]:
    """Add so many appointments with one reminder each."""
    ids = [number.to_bytes(16, "little") for number in range(first, first + many)]
    schedule.add([Entry(id_, b"t" * 12, b"envelope", (due,)) for id_ in ids])
    return [Wake(id_, 0, 1) for id_ in ids]


def wait_until(found: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for what other threads bring about."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Crowd:
    """Schedulers that run, each in a thread of its own."""

    def __init__(self, *schedulers: Scheduler) -> None:
        self._schedulers = schedulers
        self.threads = [threading.Thread(target=scheduler.run) for scheduler in schedulers]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for scheduler in self._schedulers:
            scheduler.stop()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize(("crowd", "shards"), [(2, 1), (5, 1), (5, 3)])
def test_a_crowd_wakes_each_reminder_once(client: store.Client, clock: Clock, crowd: int, shards: int) -> None:
    schedule, recorder = Schedule(client, shards=shards), Recorder()
    wakes = add(schedule, 2000, clock.now)
    with Crowd(*(Scheduler(schedule, recorder, capacity=3000) for _ in range(crowd))):
        wait_until(lambda: len(recorder.wakes) == 2000)
    assert recorder.wakes == Counter(wakes)


def test_a_scheduler_that_dies_before_it_wakes_loses_nothing(schedule: Schedule, clock: Clock) -> None:
    wakes = add(schedule, 20, clock.now)
    dying, recorder = Scheduler(schedule, Recorder(breaks_after=3)), Recorder()
    with pytest.raises(StoreUnavailable) as caught:
        dying.step()
    assert "place" not in str(caught.value)
    other = Scheduler(schedule, recorder)
    clock.forward(seconds=WAKE_LEASE.seconds - 1)
    other.step()
    other.sweep()
    assert not recorder.wakes
    clock.forward(seconds=1)
    other.sweep()
    assert recorder.wakes == Counter(wakes)  # and those that were woken before are woken again: they claim once


def test_what_the_queue_did_not_take_is_woken_as_soon_as_it_is_back(schedule: Schedule, clock: Clock) -> None:
    wakes = add(schedule, 20, clock.now)
    recorder = Recorder(breaks_after=0)
    scheduler = Scheduler(schedule, recorder)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            scheduler.step()
    assert schedule.take(0, capacity=100).wakes == []
    recorder.left = None
    scheduler.step()
    assert recorder.wakes == Counter(wakes)


def test_one_shard_that_is_away_does_not_hold_up_the_others(
    client: store.Client, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, recorder = Schedule(client, shards=3), Recorder()
    wakes = add(schedule, 30, clock.now)
    run_script = Schedule.run

    def run(self: Schedule, name: str, shard: int, *arguments: Any) -> Any:
        if shard == 0:
            raise StoreUnavailable("away")
        return run_script(self, name, shard, *arguments)

    monkeypatch.setattr(Schedule, "run", run)
    scheduler = Scheduler(schedule, recorder)
    with pytest.raises(StoreUnavailable):
        scheduler.step()
    there = Counter(wake for wake in wakes if schedule.shard_of(wake.id))
    assert 0 < len(there) < 30
    assert recorder.wakes == there
    clock.forward(seconds=WAKE_LEASE.seconds)
    with pytest.raises(StoreUnavailable):
        scheduler.sweep()
    assert recorder.wakes == there + there


def test_no_more_is_woken_than_the_queue_may_hold(schedule: Schedule, clock: Clock) -> None:
    add(schedule, 10, clock.now)
    recorder = Recorder()
    scheduler = Scheduler(schedule, recorder, capacity=3)
    assert scheduler.step() == timedelta()
    assert timedelta() < scheduler.step() < timedelta(seconds=0.1)  # full: let workers drain it
    assert len(recorder.wakes) == 3
    claim = schedule.claim(next(iter(recorder.wakes)))
    assert isinstance(claim, Claim)
    schedule.settle(claim.wake, Outcome("expired"), token=claim.token)
    scheduler.step()
    assert len(recorder.wakes) == 4


def test_a_scheduler_sleeps_until_the_next_reminder_but_not_for_long(schedule: Schedule, clock: Clock) -> None:
    scheduler = Scheduler(schedule, Recorder())
    assert scheduler.step() == timedelta(seconds=module.LONGEST_PAUSE)
    add(schedule, 1, clock.now + timedelta(days=1))
    assert scheduler.step() == timedelta(seconds=module.LONGEST_PAUSE)
    add(schedule, 1, clock.now + timedelta(milliseconds=30), first=1)
    assert scheduler.step() == timedelta(milliseconds=30)


def test_a_sweep_shows_that_the_scheduler_lives(schedule: Schedule, client: store.Client, clock: Clock) -> None:
    Scheduler(schedule, Recorder()).sweep()
    ((name, at),) = client.zrange("rw:{0}:processes", 0, -1, withscores=True)
    assert name.startswith(b"scheduler/")
    assert at == clock.now.timestamp() * 1000


def test_stop_ends_a_sleeping_scheduler_at_once(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", 3600.0)
    asleep = threading.Event()
    scheduler = Scheduler(schedule, Recorder())
    step = scheduler.step

    def noted() -> timedelta:
        pause = step()
        asleep.set()
        return pause

    monkeypatch.setattr(scheduler, "step", noted)
    with Crowd(scheduler):
        assert asleep.wait(60)
        started = time.monotonic()
    assert time.monotonic() - started < 10


def test_a_scheduler_ends_while_the_store_is_away() -> None:
    scheduler = Scheduler(Schedule(store.connect("unix:///none.sock", retry=None)), Recorder())
    scheduler.stop()
    scheduler.run()


def test_sigterm_ends_the_process_after_the_current_step(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    monkeypatch.setattr(Scheduler, "step", lambda _: os.kill(os.getpid(), signal.SIGTERM) or timedelta(hours=1))
    try:
        module.run(schedule, Recorder())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_store_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AWAY", 0.05)
    recorder, long_ago = Recorder(), datetime(2027, 1, 1, tzinfo=UTC) - timedelta(days=3650)
    server = EmbeddedServer(tmp_path / "s")
    try:
        with server, store.connect(server.url()) as client:
            schedule = Schedule(client)
            with Crowd(Scheduler(schedule, recorder)), caplog.at_level(logging.WARNING):
                wakes = add(schedule, 1, long_ago)
                wait_until(lambda: recorder.wakes)
                later = datetime.now(UTC) + timedelta(seconds=0.5)
                wakes += add(schedule, 10, later, first=1)
                server.kill()
                wait_until(lambda: "store_away" in caplog.messages)
                server.start()
                wakes += add(schedule, 10, long_ago, first=11)
                wait_until(lambda: len(recorder.wakes) == 21)
        assert recorder.wakes == Counter(wakes)
    finally:
        server.stop()


def test_an_answer_that_nobody_expects_ends_no_scheduler(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AWAY", 0.05)
    recorder, sweep = Recorder(), Schedule.sweep
    monkeypatch.setattr(Schedule, "sweep", lambda *_: int("nobody expects this"))
    with Crowd(Scheduler(schedule, recorder)):
        wait_until(lambda: "step_failed" in caplog.messages)
        monkeypatch.setattr(Schedule, "sweep", sweep)
        wakes = add(schedule, 1, datetime(2020, 1, 1, tzinfo=UTC))
        wait_until(lambda: recorder.wakes)
    assert recorder.wakes == Counter(wakes)
