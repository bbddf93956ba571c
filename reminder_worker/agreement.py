"""How many shards a store has: an id's shard follows from that number, so all processes of one store must use the same.

A process with another number would put reminders where no scheduler looks, or look for them where they are not. So the
first process records the number, no other starts or hands in with a different one, and only a scheduler that finds
nothing waiting and no other process alive begins with a new one.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.store import unavailable

KEY = "rw:{0}:shards"
WAITING = "due", "turns", "live", "open"
ALIVE = 60  # seconds since a process was last heard of

log = logging.getLogger(__name__)


class Agreement:
    """The number that one process uses, and the one that the store holds; safe to use from many threads."""

    def __init__(self, client: Any, shards: int) -> None:
        self._client = client
        self._shards = shards
        self._made = False

    def told(self) -> int:
        """Return the recorded number; our own if there is none, or if an older users.acl keeps it from us.

        Raises StoreUnavailable.
        """
        return int(_ask(self._client.get) or self._shards)

    def check(self) -> None:
        """Refuse a store that is used with another number. Raises SettingsError.

        A store that is away is asked with each heartbeat, and before anything is added.
        """
        with suppress(StoreUnavailable):
            self.compare()

    def make(self) -> None:
        """Agree, once: record our number if there is none, else refuse. Raises SettingsError, StoreUnavailable."""
        if self._made:
            return
        if _ask(self._client.get) is None:
            _ask(self._client.set, self._shards, nx=True)
        self.compare()
        self._made = True

    def watch(self) -> None:
        """Log it if another number has come into force, and hand in nothing more. Raises StoreUnavailable."""
        if self.told() != self._shards:
            self._made = False
            log.error("shards_differ")

    def renew(self) -> None:
        """Agree as a scheduler does: with a new number if nothing waits and no process with the old one is alive.

        Raises SettingsError, StoreUnavailable.
        """
        if (told := self.told()) != self._shards and self._is_idle(max(told, self._shards)):
            _ask(self._client.set, self._shards)
        self.make()

    def compare(self) -> None:
        """Refuse a store that is used with another number. Raises SettingsError, StoreUnavailable."""
        if (told := self.told()) != self._shards:
            raise SettingsError(
                f"shards: this store is used with {told}, here it is {self._shards}; say the same everywhere "
                "(docs/scaling.md tells how to change it)"
            )

    def _is_idle(self, shards: int) -> bool:
        try:
            keys = (f"rw:{{{shard}}}:{name}" for shard in range(shards) for name in WAITING)
            waits = any(self._client.zcard(key) for key in keys)
            heard = self._client.zrange("rw:{0}:processes", -1, -1, withscores=True)
            now, _ = self._client.time()
        except RedisError:
            return False
        return not waits and not any(score / 1000 > now - ALIVE for _, score in heard)


def _ask(command: Callable[..., Any], *words: int, **options: bool) -> Any:
    """Send a command to the number's key; return None if we may not."""
    try:
        return command(KEY, *words, **options)
    except NoPermissionError:
        return None
    except RedisError as error:
        raise unavailable(error) from None
