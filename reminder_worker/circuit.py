"""The circuit between workers and a platform's resolver that is failing; all workers share it.

It works as a provider's does (``gate.py``); a healthy resolver costs one round trip. Redis sees it under a name that
changes every day and does not reveal whose resolver it is.
"""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reminder_worker.clocks import milliseconds
from reminder_worker.errors import Reason, Throttled
from reminder_worker.gate import DEFAULT_PAUSE, Result
from reminder_worker.optouts import Tags
from reminder_worker.schedule import Schedule

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Permit:
    """One call that may be made."""

    name: str
    call: bytes
    watched: bool  # success is to be reported as well


class Circuit:
    """The circuit of one platform's resolver; safe to use from many threads."""

    def __init__(self, schedule: Schedule, tags: Tags, platform: str) -> None:
        self._schedule = schedule
        self._tags = tags
        self._platform = platform
        self.what = f"platforms.{platform}.resolver_url"  # what an operator has to check, as the log names it

    def admit(self) -> Permit:
        """Ask for one call. Raises Throttled (circuit_open), which holds the time to wait, and StoreUnavailable."""
        name = "~" + self._tags.today(datetime.now(UTC).date(), "resolver", self._platform).hex()
        call = secrets.token_bytes(8)
        wait, watched = self._schedule.run("circuit", 0, name, call)
        if wait:
            raise Throttled(wait / 1000, Reason.CIRCUIT_OPEN)
        return Permit(name, call, watched=bool(watched))

    def report(self, permit: Permit, result: Result, pause: float | None = None) -> None:
        """Report how a call went; ``pause`` is the seconds during which nobody should ask. Raises StoreUnavailable."""
        if result is Result.OK and not permit.watched:
            return
        wait = milliseconds(timedelta(seconds=DEFAULT_PAUSE if pause is None else pause))
        if self._schedule.run("report", 0, permit.name, permit.call, result, wait, 0, 0):
            log.error("circuit_opened", extra={"setting": self.what, "reason": result})
