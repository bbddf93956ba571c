"""Redis's clock in the hands of a test: the scripts read a key where they would ask the server for the time."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache

from reminder_worker import clocks, schedule, store

KEYS = [b"test:{%d}:now" % shard for shard in range(3)]  # beside each shard's own, on the same server of a Cluster
START = datetime(2027, 3, 1, 9, tzinfo=UTC)
BESIDE = "'test' .. string.sub(KEYS[1], 3) .. 'now'"  # of rw:{0}: it is test:{0}:now
READ_KEY = f"(function() local t = redis.call('GET', {BESIDE}) return {{math.floor(t / 1000), t % 1000 * 1000}} end)()"
real_script = schedule.script


@cache
def script(name: str) -> tuple[str, str]:
    """Stand in for ``schedule.script``: the same script, but for its clock."""
    source, _ = real_script(name)
    assert source.count("redis.call('TIME')") == 1
    source = source.replace("redis.call('TIME')", READ_KEY)
    return source, hashlib.sha1(source.encode()).hexdigest()


class Clock:
    """The time as all scripts see it; it stands still until a test moves it."""

    def __init__(self, client: store.Client) -> None:
        self._client = client
        self.set(START)

    def set(self, moment: datetime) -> None:
        self.now = moment
        with self._client.pipeline(transaction=False) as pipe:
            for key in KEYS:
                pipe.set(key, clocks.to_ms(moment))
            pipe.execute()

    def forward(self, **span: float) -> datetime:
        """Move on by what a timedelta takes, and return the new time."""
        self.set(self.now + timedelta(**span))
        return self.now
