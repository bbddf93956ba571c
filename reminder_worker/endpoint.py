"""The way to one platform that wants events: what is sent, with which signature, and how often.

A platform that hangs holds up no other: each has threads of its own, and is left alone for a while when calls fail.
"""

import contextlib
import json
import logging
import random
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, Full, Queue

from reminder_worker import answers, logs
from reminder_worker.clocks import wall_time
from reminder_worker.errors import Ambiguous, NotSent, StoreUnavailable
from reminder_worker.eventqueue import GIVEN_UP, TOLD, Event, EventQueue
from reminder_worker.gateway import GatewayKeys, Mode, Ticket
from reminder_worker.history import in_utc, record_of
from reminder_worker.https import Answer
from reminder_worker.ledger import name_of
from reminder_worker.padding import fill
from reminder_worker.platformsite import PlatformSite
from reminder_worker.signatures import Secret

LENGTH = 2048  # bytes of an event, at least
DEADLINE = 10.0  # seconds for a whole call
GONE = 410
SHORTEST, LONGEST, OVER = timedelta(seconds=5), timedelta(hours=4), timedelta(hours=24)  # between tries; in all
BUSY = timedelta(seconds=1)  # the shortest wait of an event for which there is no room
IN_A_ROW = 3  # failed calls before the platform is not called for a while
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0  # seconds
THREADS = 4  # for each platform
WAITING = 256  # events for each platform, in memory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a platform takes events, and what they are signed with."""

    url: str
    secret: Secret
    private: bool = False  # in a network of ours, or on this machine


@dataclass(frozen=True, slots=True)
class Letter:
    """An event, and whose appointment it is about."""

    event: Event
    ticket: Ticket = field(repr=False)

    def body(self, record: str | None) -> bytes:
        """Write what is sent, all but the signature; up to six leads, its length reveals nothing."""
        event, test = self.event, {"test": True} if self.ticket.mode is Mode.TEST else {}
        answered = event.what in {"confirmed", "cancel_requested"}
        data = {
            "reference": self.ticket.reference,
            "lead": event.lead,
            **({"reply": event.what} if answered else {"state": event.what, "reason": event.reason}),
            "record": record,
        }
        message = {"type": f"reminder.{event.what}", "timestamp": in_utc(event.at), "data": data | test}
        return fill(json.dumps(message).encode(), LENGTH)


def delay(event: Event, shortest: timedelta = SHORTEST) -> timedelta:
    """Return when to try again: after about as long as it has waited so far, so that no tries need counting."""
    age = event.age()
    if min(age, wall_time() - event.since) >= OVER:  # by the slower clock: one that jumped ahead gives nothing up
        return GIVEN_UP
    span = min(max(age, shortest), LONGEST) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
    return min(span, max(OVER - age, shortest))


class Courier:
    """Brings letters to one platform, with threads of its own: one that hangs holds up no other."""

    def __init__(self, name: str, endpoint: Endpoint, keys: GatewayKeys, queue: EventQueue) -> None:
        self._site = PlatformSite(endpoint.url, endpoint.secret, private=endpoint.private)
        self._keys = keys
        self._queue = queue
        self._shown = f"platforms.{name}.events_url"  # as the log names it
        self.tag = keys.tag("muted", name)
        self._waiting: Queue[Letter | None] = Queue(WAITING)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._failures, self._paused_until = 0, 0.0

    @property
    def paused(self) -> float:
        """Return for how many more seconds the platform is not called."""
        return max(0.0, self._paused_until - time.monotonic())

    def put(self, letter: Letter) -> timedelta | None:
        """Hand in an event for delivery; return when to try again if it cannot be taken now."""
        if not self.paused:
            try:
                self._waiting.put_nowait(letter)
            except Full:
                return delay(letter.event, BUSY)
            self._start()
            return None
        return self._later(letter.event, tried=False)

    def _later(self, event: Event, *, tried: bool) -> timedelta:
        """Return when to try again, not before the pause is over; an event that was not itself tried comes sooner."""
        span = delay(event)
        return span if span == GIVEN_UP else max(span if tried else span / 4, timedelta(seconds=self.paused))

    def _start(self) -> None:
        while len(self._threads) < THREADS:
            self._threads.append(threading.Thread(target=self._run, name="events", daemon=True))
            self._threads[-1].start()

    def leave(self) -> None:
        """Begin nothing more, and leave the events that wait here to other processes."""
        rest = self._drain()
        for _ in self._threads:
            self._waiting.put(None)
        with contextlib.suppress(StoreUnavailable):  # they come again when their leases have ended
            self._queue.settle([(event, timedelta()) for event in rest])

    def close(self) -> None:
        """Wait for calls in progress, and close the connections."""
        for thread in self._threads:
            thread.join(DEADLINE + 1)
        self._site.close()

    def _drain(self) -> list[Event]:
        """Empty the queue in memory; return its events."""
        letters = []
        with contextlib.suppress(Empty):
            while True:
                letters.append(self._waiting.get_nowait())
                self._waiting.task_done()
        for _ in range(letters.count(None)):  # these end the threads
            self._waiting.put(None)
        return [letter.event for letter in letters if letter is not None]

    def _run(self) -> None:
        while (letter := self._waiting.get()) is not None:
            with logs.about(name_of(letter.event.name)):
                self._try(letter)

    def _try(self, letter: Letter) -> None:
        try:
            self._tell(letter)
        except StoreUnavailable as error:  # the event comes again when its lease has ended
            log.warning("store_away", extra={"reason": error.why})
        except Exception as error:  # noqa: BLE001 - one event must not end the thread
            log.error("event_failed", extra={"error": type(error).__name__})  # noqa: TRY400
        finally:
            self._waiting.task_done()

    def _tell(self, letter: Letter) -> None:
        """Deliver one event, and record what became of it."""
        event = letter.event
        if event.held_for() < 1.5 * DEADLINE:  # it waited here too long: another process may take it soon
            return
        if self.paused:
            self._queue.settle([(event, self._later(event, tried=False))])
            return
        answer = self._post(letter)
        status = answer.status if isinstance(answer, Answer) else None
        if status is not None and 200 <= status < 300:  # noqa: PLR2004
            self._failures = 0
            self._queue.settle([(event, TOLD)])
        elif status == GONE:
            self._queue.mute(self.tag)
            log.error("events_disabled", extra={"setting": self._shown})
            self._queue.settle([(one, GIVEN_UP) for one in (event, *self._drain())])
        else:
            self._failed(answer)
            self._queue.settle([(event, self._later(event, tried=True))])

    def _post(self, letter: Letter) -> Answer | NotSent | Ambiguous:
        """Send one request; return the answer, or why there is none. Raises StoreUnavailable."""
        event = letter.event
        known = self._queue.schedule.show(event.id)
        record = record_of(letter.ticket, known, event.clock())
        body = letter.body(self._keys.sign_record(record) if known else None)
        try:
            return self._site.post(event.message_id, body, within=DEADLINE)
        except (NotSent, Ambiguous) as error:
            return error

    def _failed(self, answer: Answer | NotSent | Ambiguous) -> None:
        """Pause the calls if several failed in a row, for longer each time, or if the platform asked for a pause."""
        why = {"status": answer.status} if isinstance(answer, Answer) else {"reason": answer.reason}
        log.warning("event_refused", extra={"setting": self._shown, **why})
        asked_for = answers.seconds(answer.headers.get("Retry-After")) if isinstance(answer, Answer) else None
        with self._lock:
            if self.paused:  # another thread's call has failed meanwhile
                return
            self._failures += 1
            times = self._failures - IN_A_ROW
            span = 0.0 if times < 0 else min(FIRST_PAUSE * 2 ** min(times, 20), LONGEST_PAUSE)
            self._paused_until = time.monotonic() + max(span, asked_for or 0)
