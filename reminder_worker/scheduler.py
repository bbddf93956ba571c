"""The scheduler: takes what falls due and wakes workers; any number may run at once.

It holds the store's URL and nothing else: it sees opaque ids and due times, and opens nothing.
"""

import logging
import os
import secrets
import signal
import threading
import time
from datetime import timedelta

from prometheus_client import Counter

from reminder_worker import broker as queue
from reminder_worker import metrics
from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import Wake
from reminder_worker.lifeline import end_with_terminal
from reminder_worker.schedule import Schedule

CAPACITY = 2_000  # wake-ups that may wait for a worker; more stay in the schedule
LONGEST_PAUSE = 0.5  # seconds: something nearer may be added at any time
SWEEP_EVERY = 1.0  # seconds
AWAY = 1.0  # seconds between looks at a store that does not answer

log = logging.getLogger(__name__)


class Scheduler:
    """Moves reminders from the schedule into the queue until it is told to stop."""

    def __init__(self, schedule: Schedule, broker: queue.Queue, *, capacity: int = CAPACITY) -> None:
        self._schedule = schedule
        self._broker = broker
        self._capacity = capacity
        self._stop = threading.Event()
        self._name = f"scheduler/{os.getpid()}-{secrets.token_hex(3)}"

    def stop(self) -> None:
        """End ``run`` after the current step."""
        self._stop.set()

    def run(self) -> None:
        """Take, wake and sweep until stopped; a store that is away is waited for."""
        log.info("scheduler_started")
        pause, next_sweep = 0.0, 0.0
        while not self._stop.wait(pause):
            try:
                if time.monotonic() >= next_sweep:
                    self.sweep()
                    next_sweep = time.monotonic() + SWEEP_EVERY
                pause = self.step().total_seconds()
            except StoreUnavailable:
                log.warning("store_away")
                pause = AWAY
        log.info("scheduler_stopped")

    def step(self) -> timedelta:
        """Take what is due and wake workers; return how long nothing more will fall due."""
        pauses = []
        for shard in range(self._schedule.shards):
            taken = self._schedule.take(shard, capacity=self._capacity)
            self._wake(taken.wakes, metrics.WOKEN)
            ready = taken.wakes and taken.waiting
            pauses.append(timedelta() if ready else taken.pause or timedelta(seconds=LONGEST_PAUSE))
            if taken.waiting and not taken.wakes:  # the queue is full: let workers drain it
                pauses[-1] = timedelta(milliseconds=20)
        return min(*pauses, timedelta(seconds=LONGEST_PAUSE))

    def sweep(self) -> None:
        """Wake again what was left behind, and show that this process lives."""
        self._schedule.beat(self._name)
        for shard in range(self._schedule.shards):
            wakes = self._schedule.sweep(shard)
            if wakes:
                log.info("swept", extra={"count": len(wakes)})
            self._wake(wakes, metrics.SWEPT)

    def _wake(self, wakes: list[Wake], counter: Counter) -> None:
        queue.wake(self._broker, wakes)
        counter.inc(len(wakes))


def run(schedule: Schedule, broker: queue.Queue) -> None:
    """Run one scheduler in this process until SIGTERM or SIGINT."""
    end_with_terminal()
    scheduler = Scheduler(schedule, broker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: scheduler.stop())
    scheduler.run()
