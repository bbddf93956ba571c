"""The reminders that wait for a provider that says "too many", or is away: those that fell due first come first.

Nobody knows at which rate it takes texts, so no reminder can be given a turn. Those that wait are in a list on shard 0,
and are called out of the schedule when the provider may be called (``lua/next.lua``). The schedule also brings each
back by itself, later: if the list is lost, or a worker dies meanwhile, no reminder is lost.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from reminder_worker.clocks import to_ms
from reminder_worker.schedule import Schedule
from reminder_worker.store import answered

HERE = -1  # it is here, or gone: it is not expected any more
ENDED = -2  # it has ended, and leaves the list as well

LOOKED_AT = 250  # at the front of the list, at once: each call blocks Redis for less than a millisecond


class Crowd:
    """The crowds of all providers; safe to use from many threads."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def join(self, provider: str, member: bytes, due: datetime) -> None:
        """Add a reminder that is back in the schedule to those that wait. Raises StoreUnavailable."""
        self._call(provider, member, to_ms(due))

    def arrived(self, provider: str, member: bytes) -> None:
        """Report that a called reminder has arrived. Raises StoreUnavailable."""
        self._call(provider, member, HERE)

    def call(self, provider: str) -> None:
        """Call as many reminders as there is room for. Raises StoreUnavailable."""
        self._call(provider)

    def _call(self, provider: str, *news: bytes | int) -> None:
        while called := self._schedule.run("next", 0, provider, *news):
            gone = self._hurry(provider, called)
            if not gone:
                return
            news = tuple(word for member in gone for word in (member, HERE))
            if len(gone) == len(called) / 2:  # many more may be gone: one at a time would take long
                news += tuple(word for member in self._ended(provider) for word in (member, ENDED))

    def _hurry(self, provider: str, called: Sequence[Any]) -> list[bytes]:
        """Have called reminders taken in time; return those that no longer wait, and so make room for others."""
        shards: dict[int, list[bytes | int]] = defaultdict(list)
        for member, wait in zip(called[::2], called[1::2], strict=True):
            shards[self._schedule.shard_of(member)] += [member, wait]
        calls = [(shard, (provider, *mine)) for shard, mine in shards.items()]
        return [member for gone in self._schedule.run_all("hurry", calls) for member in gone]

    def _ended(self, provider: str) -> list[bytes]:
        """Return those at the front that have ended: another provider took them, or they were cancelled.

        Leave out those that are gone in another way: one that a worker holds may be back before it could be taken off.
        """
        key = self._schedule.prefix(0) + b"q:" + provider.encode()
        with answered():
            first = self._schedule.client.zrange(key, 0, LOOKED_AT - 1)
        shards: dict[int, list[bytes]] = defaultdict(list)
        for member in first:
            shards[self._schedule.shard_of(member)].append(member)
        return [member for ended in self._schedule.run_all("ended", list(shards.items())) for member in ended]
