"""The one-way ratchet behind the envelope keys: this week's state cannot open last month's envelopes.

state of week w + 1 = BLAKE2b-32(state of week w, person="rw-ratchet")
private key of week w = BLAKE2b-32(state of week w, person="rw-envelope")

Several processes on one machine share the file: a process that reads or replaces it holds the folder's lock.
"""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from nacl.public import PrivateKey

from reminder_worker.encoding import WEEKS_AHEAD, to_text
from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import (
    Kind,
    alone,
    key_file,
    key_from_file,
    overwrite_leftovers,
    read_key_file,
    replace_secret,
)
from reminder_worker.sealing import week

GRACE_WEEKS = 1  # for retries across the end of a week


@dataclass(frozen=True, slots=True)
class Ratchet:
    """The secret of one week; the next week's follows from it, the previous week's cannot be recovered from it."""

    week: int
    state: bytes = field(repr=False)

    def at(self, number: int) -> "Ratchet":
        """Return the ratchet of a later week. Raises ValueError for an earlier one."""
        if number < self.week:
            raise ValueError("the ratchet does not turn back")
        state = self.state
        for _ in range(self.week, number):
            state = hashlib.blake2b(state, digest_size=32, person=b"rw-ratchet").digest()
        return Ratchet(number, state)

    def key(self) -> PrivateKey:
        """Return the key that opens this week's envelopes."""
        return PrivateKey(hashlib.blake2b(self.state, digest_size=32, person=b"rw-envelope").digest())

    @classmethod
    def load(cls, folder: Path) -> "Ratchet":
        """Read the ratchet's file. Raises SettingsError."""
        try:
            with alone(folder):
                return cls.read(ratchet_file(folder))
        except OSError:
            raise SettingsError(f"{ratchet_file(folder)}: cannot be read; it should be a {Kind.RATCHET}") from None

    @classmethod
    def read(cls, path: Path) -> "Ratchet":
        """Read a ratchet's file while nobody replaces it. Raises SettingsError."""
        number, state = read_key_file(path, Kind.RATCHET, "week", "state")
        if not re.fullmatch(r"[1-9][0-9]{0,5}", number, re.ASCII):
            raise SettingsError(f"{path}: is damaged")
        return cls(int(number), key_from_file(path, state))

    def to_file(self) -> str:
        """Return what ``load`` reads."""
        return key_file(Kind.RATCHET, week=str(self.week), state=to_text(self.state))


def ratchet_file(folder: Path) -> Path:
    """Return where the ratchet is kept."""
    return folder / "worker.ratchet"


def turn(ratchet: Ratchet, now: datetime) -> Ratchet:
    """Turn the ratchet so far that only last week's envelopes and later ones can be opened.

    Raises SettingsError after a jump beyond all published keys: a wrong clock would destroy them all.
    """
    oldest = week(now) - GRACE_WEEKS
    if oldest > ratchet.week + WEEKS_AHEAD:
        raise SettingsError(
            "worker.ratchet: is more than a year old, or the clock is wrong; "
            "if the clock is right, delete it and run reminder-worker keys new ratchet"
        )
    return ratchet.at(max(oldest, ratchet.week))


def save_ratchet(folder: Path, ratchet: Ratchet) -> bool:
    """Replace the ratchet's file, unless another process got further; tell whether no older state is left in it.

    Its old content is overwritten, as far as the file system allows that. Another worker's ratchet stays as it is.
    """
    path = ratchet_file(folder)
    try:
        with alone(folder):
            overwrite_leftovers(path)
            held = Ratchet.read(path)
            if held.week >= ratchet.week:
                return True
            if held.at(ratchet.week) != ratchet:
                return False
            replace_secret(path, ratchet.to_file())
    except (OSError, SettingsError):
        return False
    return True
