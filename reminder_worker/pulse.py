"""What a worker process does besides its reminders, every few seconds: show that it lives, and tidy up."""

import logging
import os
import secrets
import sys
import threading
from collections.abc import Callable, Sequence

import dramatiq

from reminder_worker.errors import StoreUnavailable
from reminder_worker.hanging import ENDED

BEAT_EVERY = 5.0  # seconds
CHORE_EVERY = 1.0

log = logging.getLogger(__name__)


class Pulse(dramatiq.Middleware):
    """Beats and does its chores while the process works; the only middleware there is."""

    def __init__(
        self,
        beat: Callable[[str], None],
        chores: Sequence[Callable[[], None]],
        close: Callable[[], None],
        leave: Callable[[str], object],
        beside: Sequence[Callable[[], int]] = (),
        *,
        look: Callable[[int], None],
    ) -> None:
        self._beat = beat
        self._chores = chores
        self._close = close
        self._leave = leave
        self._beside = beside
        self._look = look
        self._stop, self._over = threading.Event(), threading.Event()
        self._name = f"worker/{os.getpid()}-{secrets.token_hex(3)}"

    @property
    def forks(self) -> list[Callable[[], int]]:
        """What dramatiq runs in separate processes, once for all of its workers."""
        return [*self._beside]

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        """Start beating, and watching the threads of this process, before any of them works.

        dramatiq would only log that a thread could not be started, and text people whose STOP nobody reads.
        """
        try:
            threading.Thread(target=self._watch, args=(worker.worker_threads,), name="watch", daemon=True).start()
            self._start("pulse", lambda: self._beat(self._name), BEAT_EVERY)
            for chore in self._chores:  # each in a thread of its own: a provider that hangs must not hold up a STOP
                self._start("chore", chore, CHORE_EVERY)
        except RuntimeError:  # no more threads, or no memory for them
            log.critical("crashed", exc_info=True)
            sys.exit(ENDED)

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        """Tell that all threads work."""
        log.info("worker_started")

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        """Stop beating; dramatiq finishes what is in flight."""
        self._stop.set()
        log.info("worker_stopping")

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        """Close the providers and record that this process ends: everything in flight is finished."""
        self._over.set()
        self._close()
        self._leave(self._name)

    def _start(self, name: str, work: Callable[[], None], pause: float) -> None:
        threading.Thread(target=self._repeat, args=(work, pause), name=name, daemon=True).start()

    def _repeat(self, work: Callable[[], None], pause: float) -> None:
        while True:
            try:
                work()
            except StoreUnavailable as error:
                if error.refused:
                    log.warning("store_away", extra={"reason": error.why})
                else:
                    log.debug("store_away", extra={"reason": error.why})
            except BaseException:  # the next time may go better, and this thread must still be there for it
                log.exception("chore_failed")
            if self._stop.wait(pause):
                return

    def _watch(self, threads: int) -> None:
        """Watch the threads that work, also while dramatiq waits for them at the end: then only those that still do."""
        while not self._over.wait(CHORE_EVERY):
            self._look(0 if self._stop.is_set() else threads)
