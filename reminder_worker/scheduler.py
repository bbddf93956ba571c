"""The scheduler: takes what falls due and wakes workers; any number may run at once.

It holds the URLs of the store and the queue and nothing else: it sees opaque ids and due times, and opens nothing.
"""

import logging
import os
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue

from prometheus_client import Counter

from reminder_worker import broker as queue
from reminder_worker import metrics
from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import Wake
from reminder_worker.lifeline import end_with_terminal
from reminder_worker.schedule import Schedule

CAPACITY = 2_000  # wake-ups that may wait for a worker; more stay in the schedule
LONGEST_PAUSE = 0.1  # seconds: something due sooner may be added, or called, at any time
SWEEP_EVERY = 1.0  # seconds
AWAY = 1.0  # seconds between looks at a store that does not answer

log = logging.getLogger(__name__)


class Scheduler:
    """Moves reminders from the schedule into the queue until it is told to stop."""

    def __init__(self, schedule: Schedule, broker: queue.Queue, *, capacity: int = CAPACITY) -> None:
        self._schedule = schedule
        self._broker = broker
        self._capacity = capacity
        self._stopped: SimpleQueue[None] = SimpleQueue()
        self._unsent: list[Wake] = []  # the queue was away; their leases have begun
        self._name = f"scheduler/{os.getpid()}-{secrets.token_hex(3)}"

    def stop(self) -> None:
        """End ``run`` after the current step.

        A signal may find this very thread waiting for this: this kind of queue tolerates that, and an event might not.
        """
        self._stopped.put(None)

    def run(self) -> None:
        """Take, wake and sweep until stopped; wait for a store that is away or gives an unexpected answer."""
        log.info("scheduler_started")
        pause, next_sweep = 0.0, 0.0
        while not self._is_stopped_within(pause):
            pause = _tried(self.step)
            if time.monotonic() >= next_sweep:
                next_sweep = time.monotonic() + SWEEP_EVERY
                pause = max(pause, _tried(self.sweep))
        with suppress(StoreUnavailable):  # then it counts as one that fell silent
            self._schedule.leave(self._name)
        log.info("scheduler_stopped")

    def _is_stopped_within(self, seconds: float) -> bool:
        try:
            self._stopped.get(timeout=seconds)
        except Empty:
            return False
        return True

    def step(self) -> timedelta:
        """Take what is due and wake workers; return how long nothing more will fall due."""
        self._send(metrics.WOKEN)
        pauses = self._schedule.of_each_shard(self._take)
        return min(*pauses, timedelta(seconds=LONGEST_PAUSE))

    def _take(self, shard: int) -> timedelta:
        taken = self._schedule.take(shard, capacity=self._capacity)
        self._wake(taken.wakes, metrics.WOKEN)
        if taken.waiting:  # the queue is full: let workers drain it
            return timedelta() if taken.wakes else timedelta(milliseconds=20)
        return taken.pause or timedelta(seconds=LONGEST_PAUSE)

    def sweep(self) -> timedelta:
        """Show that this process lives, and wake again what was left behind; return that no pause is needed."""
        try:
            self._schedule.beat(self._name)
        finally:  # the heartbeat is kept in one shard, and others may answer
            self._send(metrics.SWEPT)
            self._schedule.of_each_shard(self._sweep)
        return timedelta()

    def _sweep(self, shard: int) -> None:
        wakes = self._schedule.sweep(shard)
        if wakes:
            log.info("swept", extra={"count": len(wakes)})
        self._wake(wakes, metrics.SWEPT)

    def _wake(self, wakes: list[Wake], counter: Counter) -> None:
        self._unsent += wakes
        self._send(counter)

    def _send(self, counter: Counter) -> None:
        """Put wake-ups into the queue, and keep those that it does not take: nothing else would wake them soon."""
        queue.wake(self._broker, self._unsent)
        counter.inc(len(self._unsent))
        self._unsent = []


def _tried(work: Callable[[], timedelta]) -> float:
    """Do ``work``, and return the seconds until the next step; what fails is tried again."""
    try:
        return work().total_seconds()
    except StoreUnavailable as error:
        log.warning("store_away", extra={"reason": error.why})
    except Exception:
        log.exception("step_failed")
    return AWAY


def run(schedule: Schedule, broker: queue.Queue) -> None:
    """Run one scheduler in this process until SIGTERM or SIGINT. Raises SettingsError."""
    end_with_terminal()
    with suppress(StoreUnavailable):  # it is asked with each heartbeat too
        schedule.agreement.renew()
    scheduler = Scheduler(schedule, broker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: scheduler.stop())
    scheduler.run()
