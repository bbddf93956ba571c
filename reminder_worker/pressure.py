"""Whether the store has room: checked once a second, so that no request has to ask."""

import asyncio
import logging

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from reminder_worker.schedule import Schedule
from reminder_worker.topology import told

LOOK_EVERY = 1.0  # seconds
FULL = 0.8  # of the store's memory: above this nothing is added, so that what is there can still be worked off

log = logging.getLogger(__name__)


class Pressure:
    """Knows whether the store is nearly full."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.full = False

    async def run(self) -> None:
        """Look again and again, for as long as the process serves."""
        while True:
            await run_in_threadpool(self.look)
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Look once; a store that is away is left for those who need it to notice."""
        try:
            memory, _ = told(self._schedule.client)
        except RedisError:
            return
        most = memory.get("maxmemory", 0)
        before, self.full = self.full, bool(most) and memory["used_memory"] > FULL * most
        if self.full and not before:
            log.error("store_nearly_full")
