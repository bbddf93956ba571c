"""Those that wait for a provider which says "too many", or is away: who fell due first comes first.

At which rate it takes texts nobody knows, so nobody can be given a turn. Whoever waits stands in a list on shard 0, and
is called out of the schedule when the provider may be (``lua/next.lua``). The schedule brings it back by itself too,
later: a list that is lost, or a worker that dies meanwhile, loses nobody.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from reminder_worker.clocks import to_ms
from reminder_worker.schedule import Schedule
from reminder_worker.store import answered

HERE = -1  # or gone: it is not waited for any more
ENDED = -2  # nor is it in the list

LOOKED_AT = 250  # of the first in the list, at once: each call keeps Redis from all else for less than a millisecond


class Crowd:
    """The crowds of all providers; safe to use from many threads."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def join(self, provider: str, member: bytes, due: datetime) -> None:
        """Let a reminder wait that is back in the schedule. Raises StoreUnavailable."""
        self._call(provider, member, to_ms(due))

    def arrived(self, provider: str, member: bytes) -> None:
        """Say that a reminder is here that was called. Raises StoreUnavailable."""
        self._call(provider, member, HERE)

    def call(self, provider: str) -> None:
        """Call those that there is room for. Raises StoreUnavailable."""
        self._call(provider)

    def _call(self, provider: str, *news: bytes | int) -> None:
        while called := self._schedule.run("next", 0, provider, *news):
            gone = self._hurry(provider, called)
            if not gone:
                return
            news = tuple(word for member in gone for word in (member, HERE))
            if len(gone) == len(called) / 2:  # so are many more, perhaps: one at a time would take long
                news += tuple(word for member in self._ended(provider) for word in (member, ENDED))

    def _hurry(self, provider: str, called: Sequence[Any]) -> list[bytes]:
        """Have reminders taken in time; return those that do not wait any more: they make room for others."""
        shards: dict[int, list[bytes | int]] = defaultdict(list)
        for member, wait in zip(called[::2], called[1::2], strict=True):
            shards[self._schedule.shard_of(member)] += [member, wait]
        calls = [(shard, (provider, *mine)) for shard, mine in shards.items()]
        return [member for gone in self._schedule.run_all("hurry", calls) for member in gone]

    def _ended(self, provider: str) -> list[bytes]:
        """Return those in front who have ended: another provider took them, or they were cancelled.

        Not those that are gone in another way: who is at a worker just now may be back before it is taken off the list.
        """
        key = self._schedule.prefix(0) + b"q:" + provider.encode()
        with answered():
            first = self._schedule.client.zrange(key, 0, LOOKED_AT - 1)
        shards: dict[int, list[bytes]] = defaultdict(list)
        for member in first:
            shards[self._schedule.shard_of(member)].append(member)
        return [member for ended in self._schedule.run_all("ended", list(shards.items())) for member in ended]
