"""The newest store time that a worker has seen, remembered beside its keys: a store that is older was put back.

A store that comes out of a backup takes for waiting what was sent since the backup was made. An operator who puts it
back at night and forgets ``restore --quarantine`` would text everybody a second time. So workers record in the store
when they were last there, and remember it too: if the store has forgotten, no worker claims anything until that
command was run.
"""

import logging
import re
from pathlib import Path

from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import PRIVATE, Kind, key_file, read_key_file, replace_file
from reminder_worker.schedule import Schedule

PUT_BACK = (
    "the store is older than this worker remembers it: it was put back from a backup, emptied, or replaced by a copy "
    "that lagged behind. What it holds as waiting may have been sent. Stop all workers and schedulers, then run "
    "reminder-worker restore --quarantine"
)

log = logging.getLogger(__name__)


class Watermark:
    """What one worker remembers; a file copied to another machine does no harm, for the store is the same."""

    def __init__(self, schedule: Schedule, folder: Path) -> None:
        self._schedule = schedule
        self._path = folder / "worker.seen"

    def check(self) -> None:
        """Refuse a store that has forgotten what is remembered here. Raises SettingsError, StoreUnavailable."""
        self._schedule.seen = self._read()
        if not self._reach():
            raise SettingsError(PUT_BACK)

    def rise(self) -> bool:
        """Record the present time in the store; False if it was put back. Raises StoreUnavailable."""
        known = self._reach()
        if not known:
            log.error("store_put_back")
        return known

    def keep(self) -> None:
        """Remember here what the store remembers by now. Raises OSError."""
        replace_file(self._path, key_file(Kind.SEEN, ms=str(self._schedule.seen)), PRIVATE)

    def _reach(self) -> bool:
        """Tell whether all shards remember; only then is a later time remembered here."""
        shards = range(self._schedule.shards)
        told = [self._schedule.run("seen", shard, self._schedule.seen) for shard in shards]
        if min(told) < 0:
            return False
        self._schedule.seen = min(told)
        return True

    def _read(self) -> int:
        if not self._path.exists():
            return 0
        (text,) = read_key_file(self._path, Kind.SEEN, "ms")
        if not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
            raise SettingsError(f"{self._path}: is damaged; delete it where the store was not put back from a backup")
        return int(text)
