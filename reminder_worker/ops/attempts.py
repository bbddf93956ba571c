"""Limit login attempts by name, by address and in total, because each attempt costs this machine time.

Counted in memory. Anyone who tries an operator's name keeps that operator out meanwhile, but ends no open session.
"""

import math
from collections.abc import Callable, Hashable

from reminder_worker.clocks import boot_time

MOST_KNOWN = 10_000  # names or addresses; all beyond these count as one
_REST = ()


class Turns:
    """Allow ``burst`` turns at once, then one every ``every`` seconds (GCRA); ``now`` counts seconds."""

    def __init__(self, burst: int, every: float, now: Callable[[], float] = boot_time) -> None:
        self._burst, self._every, self._now = burst, every, now
        self._spread: dict[Hashable, float] = {}  # when the turns so far will have been spread out evenly

    def wait(self, key: Hashable) -> float:
        """Return for how many seconds to wait; 0 if a turn is free now."""
        after = max(self._spread.get(self._known(key), 0.0), self._now()) + self._every
        return max(0.0, after - self._now() - self._burst * self._every)

    def take(self, key: Hashable) -> None:
        """Take a turn."""
        key = self._known(key)
        self._spread[key] = max(self._spread.get(key, 0.0), self._now()) + self._every

    def forget(self, key: Hashable) -> None:
        """Forget the turns of a key."""
        self._spread.pop(key, None)

    def _known(self, key: Hashable) -> Hashable:
        if key not in self._spread and len(self._spread) >= MOST_KNOWN:
            self._spread = {one: until for one, until in self._spread.items() if until > self._now()}
            return key if len(self._spread) < MOST_KNOWN else _REST
        return key


class Attempts:
    """The limits of logging in."""

    def __init__(self, now: Callable[[], float] = boot_time) -> None:
        self._names = Turns(5, 60.0, now)
        self._addresses = Turns(10, 30.0, now)
        self._all = Turns(20, 3.0, now)

    def one_more(self, name: str, address: str) -> int:
        """Take a turn and return 0, or take none and return for how many seconds to wait."""
        turns = (self._names, name), (self._addresses, address), (self._all, None)
        wait = max(kind.wait(key) for kind, key in turns)
        if wait > 0:
            return math.ceil(wait)
        for kind, key in turns:
            kind.take(key)
        return 0

    def succeeded(self, name: str) -> None:
        """Forget the attempts under this name: its owner has logged in."""
        self._names.forget(name)
