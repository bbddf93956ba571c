"""A backup of a store in a test's memory: everything that stands in it but the time, and with when each key ends."""

from clock import KEYS

from reminder_worker import store


class Backup:
    """What the store held when this was made."""

    def __init__(self, client: store.Client) -> None:
        self._client = client
        self._held = {key: (client.dump(key), client.pttl(key)) for key in self._keys()}

    def put_back(self) -> None:
        """Make the store what it was."""
        for key in self._keys():
            self._client.delete(key)
        for key, (value, ttl) in self._held.items():
            self._client.restore(key, max(ttl, 0), value)

    def _keys(self) -> list[bytes]:
        return [key for key in self._client.scan_iter(count=1000) if key not in KEYS]
