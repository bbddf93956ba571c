"""How far the ratchet has got, remembered beside its file and in the store: an older file was restored from a backup.

A restored ratchet that is turned on is where it had been before, so it breaks nothing here. But the backup that it came
from opens what was sent since, and a person should know. No key is ever remembered, only the numbers of weeks.

The store is believed no further than this machine's clock goes: anyone who can write there can keep a worker that
missed a turn from starting until a person turns its ratchet (``keys turn``), but can never make a ratchet turn.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import PRIVATE, Kind, key_file, read_key_file, replace_file
from reminder_worker.ratchet import GRACE_WEEKS, Ratchet
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import week

NEVER = -1  # what the script answers if no week is known
_RESTORED = (
    "worker.ratchet: is older than one that was here before, so a backup holds it: destroy that backup, it opens "
    "what was sent since; then run reminder-worker keys turn, or take the file of another worker's machine"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What lies beside the ratchet: a random name for this copy of it, and how far it has got."""

    copy: str
    week: int

    @classmethod
    def load(cls, folder: Path) -> "Mark | None":
        """Read the mark; return None if this copy has not been used yet. Raises SettingsError."""
        path = mark_file(folder)
        if not path.exists():
            return None
        copy, number = read_key_file(path, Kind.EPOCH, "copy", "week")
        if not re.fullmatch(r"[0-9a-f]{16}", copy) or not re.fullmatch(r"[1-9][0-9]{0,5}", number, re.ASCII):
            raise SettingsError(f"{path}: is damaged; delete it")
        return cls(copy, int(number))

    def to_file(self) -> str:
        """Return what ``load`` reads."""
        return key_file(Kind.EPOCH, copy=self.copy, week=str(self.week))


def mark_file(folder: Path) -> Path:
    """Return the path of the file that remembers how far the ratchet beside it has got."""
    return folder / "worker.epoch"


def check_here(folder: Path, now: datetime) -> None:
    """Refuse a ratchet that is older than the mark beside it remembers. Raises SettingsError."""
    mark = Mark.load(folder)
    if mark is not None and Ratchet.load(folder).week < min(mark.week, week(now) - GRACE_WEEKS):
        raise SettingsError(_RESTORED)


class Epochs:
    """How far the workers of one store have got."""

    def __init__(self, schedule: Schedule, folder: Path) -> None:
        self._schedule = schedule
        self._folder = folder
        self._told = NEVER

    def check(self, now: datetime) -> None:
        """Refuse a ratchet that had already been further. Raises SettingsError, StoreUnavailable.

        A machine that was off for a while is behind what others have reached, and turns its ratchet. One that the store
        does not know has a copy, which must not be older than a copy in a backup may be.
        """
        check_here(self._folder, now)
        mark = Mark.load(self._folder)
        mine, furthest = self._schedule.run("epoch", 0, mark.copy if mark else "")
        least = mine if mine != NEVER else furthest - GRACE_WEEKS
        if Ratchet.load(self._folder).week < min(least, week(now) - GRACE_WEEKS):
            raise SettingsError(_RESTORED)

    def reach(self, number: int) -> None:
        """Remember that the ratchet's file has got to this week. Raises OSError, SettingsError, StoreUnavailable."""
        if number == self._told:
            return
        self._schedule.run("epoch", 0, self._mark(number).copy, number)
        self._told = number

    def _mark(self, number: int) -> Mark:
        mark = Mark.load(self._folder)
        if mark is None:
            mark = Mark(secrets.token_hex(8), NEVER)
        if mark.week < number:
            mark = Mark(mark.copy, number)
            replace_file(mark_file(self._folder), mark.to_file(), PRIVATE)  # a new one too: never half of it
        return mark
