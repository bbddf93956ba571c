"""Tells platforms what became of their reminders, as Standard Webhooks; runs inside ``web``, in any number of them.

An event is told at least once: it is taken with a lease, and leaves the list only when its platform has confirmed it.
It holds reference, state, reason, time and a signed record; there is no number, no place and no text here.
"""

import logging
import threading
from collections.abc import Mapping
from datetime import timedelta

from reminder_worker.endpoint import Courier, Endpoint, Letter, delay
from reminder_worker.errors import StoreUnavailable
from reminder_worker.eventqueue import GIVEN_UP, Event, EventQueue
from reminder_worker.gateway import GatewayKeys
from reminder_worker.mistakes import named
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings
from reminder_worker.signatures import Secret

BATCH = 64
IDLE, AWAY = 0.5, 1.0  # seconds between looks at the list; and at a store that does not answer

log = logging.getLogger(__name__)


def endpoints(settings: Settings) -> dict[str, Endpoint]:
    """Return the endpoints of the platforms that want events. Raises SettingsError."""
    found = {}
    for name, platform in settings.platforms.items():
        if platform.events_url is not None and platform.events_secret_file is not None:
            with named(f"platforms.{name}.events_secret_file"):
                secret = Secret.load(platform.events_secret_file)
            found[name] = Endpoint(platform.events_url, secret, private=platform.events_private)
    return found


class Dispatcher:
    """Hands due events to the couriers of their platforms, until it is told to stop."""

    def __init__(self, schedule: Schedule, keys: GatewayKeys, endpoints: Mapping[str, Endpoint]) -> None:
        self._keys = keys
        self._queue = EventQueue(schedule)
        self.couriers = {name: Courier(name, endpoint, keys, self._queue) for name, endpoint in endpoints.items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin; do nothing if no platform wants events."""
        if self.couriers:
            self._thread.start()

    def stop(self) -> None:
        """End, and wait for the calls in progress."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * AWAY)
        for courier in self.couriers.values():
            courier.leave()
        for courier in self.couriers.values():  # side by side: each may take as long as a call
            courier.close()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = self.step()
            except StoreUnavailable as error:
                log.warning("store_away", extra={"reason": error.why})
                pause = AWAY
            except Exception as error:  # noqa: BLE001 - no mistake of ours may end this thread
                log.error("events_failed", extra={"error": type(error).__name__})  # noqa: TRY400
                pause = AWAY

    def step(self) -> float:
        """Hand out what is due; return for how many seconds nothing more needs to be done. Raises StoreUnavailable."""
        return min(IDLE, *self._queue.schedule.of_each_shard(self._step))

    def _step(self, shard: int) -> float:
        events, pause = self._queue.take(shard, most=BATCH)
        if events:
            muted = self._queue.muted()
            put = [(event, self._hand_out(event, muted)) for event in events]
            self._queue.settle([(event, outcome) for event, outcome in put if outcome is not None])
        return IDLE if pause is None else pause.total_seconds()

    def _hand_out(self, event: Event, muted: set[bytes]) -> timedelta | None:
        """Give an event to its platform's courier; return what becomes of it if that is already known.

        An event of a platform that this process does not know is kept: another process may know it.
        """
        ticket = self._keys.open_ticket(event.id, event.ticket)
        courier = self.couriers.get(ticket.platform) if ticket else None
        if ticket is None or courier is None:
            return delay(event)
        if courier.tag in muted:
            return GIVEN_UP
        return courier.put(Letter(event, ticket))
