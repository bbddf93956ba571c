"""Reminders on which a thread hangs, for instance because a plug-in never returns from a call.

A thread cannot be ended. If all threads of a process hang it would live and do nothing, so it ends, and its supervisor
starts it again. Nothing else is in progress then, and what hangs is followed up like that of any worker that died.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE = 300  # looks, one a second: a reminder that keeps to its deadlines, with slow providers, takes about a minute
ENDED = 1  # exit code

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Reminder:
    name: str
    looks: int = 0  # that found it in progress; not seconds, since a process that was frozen had no time


class Hanging:
    """Which reminders are in progress, and for how long; safe to use from many threads."""

    def __init__(self) -> None:
        self._under_way: dict[int, _Reminder] = {}  # by thread

    @contextmanager
    def watched(self, name: str) -> Iterator[None]:
        """Watch this thread while it works on a reminder."""
        thread = threading.get_ident()
        self._under_way[thread] = _Reminder(name)
        try:
            yield
        finally:
            del self._under_way[thread]

    def look(self, threads: int) -> None:
        """Log what hangs; end the process if nothing else is in progress, on at least this many threads."""
        under_way = list(self._under_way.values())
        for one in under_way:
            one.looks += 1
            if one.looks == PATIENCE:
                log.error("wake_hangs", extra={"reminder": one.name})
        hang = sum(one.looks >= PATIENCE for one in under_way)
        if hang and hang >= max(threads, len(under_way)):
            log.critical("worker_hangs", extra={"count": hang})
            os._exit(ENDED)
