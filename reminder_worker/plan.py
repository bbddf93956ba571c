"""When the texts of one appointment go out: leads, quiet hours, a grid, and until when each text is of use; no I/O.

Whole days of a lead count on the wall clock of the appointment's zone, the rest is elapsed time. Redis holds due times
in clear: on a grid they tell its operator, who may know the leads, which cell an appointment lies in and no more.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo

from reminder_worker.encoding import MAX_LEADS, SECONDS, lead_seconds
from reminder_worker.errors import Reason, Refused

EXPIRES_BEFORE = timedelta(minutes=15)  # a text later than this before the appointment is of no use
MAX_LEAD = timedelta(days=30)
QUIET_MARGIN = timedelta(minutes=1)  # how long before quiet hours a moved text goes out
QUIET_GRACE = timedelta(minutes=15)  # how far into quiet hours a late text is still sent
JITTER = 4  # the texts of a cell are spread over its length divided by this

_MILLISECOND, _MINUTE, _HOUR = timedelta(milliseconds=1), timedelta(minutes=1), timedelta(hours=1)
_CLOCK = r"((?:[01]\d|2[0-3]):[0-5]\d)"
_QUIET = re.compile(rf"{_CLOCK}-{_CLOCK}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Lead:
    """How long before the appointment a reminder goes out."""

    length: timedelta

    @classmethod
    def parse(cls, text: str) -> "Lead":
        """Read ``24h``, ``2h``, ``3d``, ``90m`` or ``45s``. Raises Refused (lead_invalid)."""
        length = timedelta(seconds=lead_seconds(text) if isinstance(text, str) else 0)
        if not timedelta() < length <= MAX_LEAD:
            raise Refused(Reason.LEAD_INVALID, "leads", f"write 24h, 2h or 3d, up to {MAX_LEAD.days}d")
        return cls(length)

    def __str__(self) -> str:
        seconds = int(self.length.total_seconds())
        unit = next(unit for unit in "hms" if seconds % SECONDS[unit] == 0)
        return f"{seconds // SECONDS[unit]}{unit}"

    def before(self, moment: datetime) -> datetime:
        """Return the instant this long before ``moment``; a wall-clock time in a DST gap moves past the gap."""
        rest = timedelta(seconds=self.length.seconds)
        wall = moment - timedelta(days=self.length.days)  # on the wall clock; of two equal times the first
        return past_gap(wall) - rest if self.length.days else moment.astimezone(UTC) - rest


def past_gap(wall: datetime) -> datetime:
    """Return the UTC instant of a wall-clock time, or of the first valid one after it."""
    instant = wall.astimezone(UTC)
    back = instant.astimezone(wall.tzinfo)
    if back.replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    # In a gap, fold=0 uses the offset before it, and so lands as far behind the gap as ``wall`` is into it.
    high = instant.replace(microsecond=0)  # zones change on whole seconds
    low = high - timedelta(hours=24)
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        after = middle.astimezone(wall.tzinfo).utcoffset() == back.utcoffset()
        low, high = (low, middle) if after else (middle, high)
    return high


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of the local day in which nobody is texted; they may span midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """Read ``21:00-08:00``. Raises ValueError."""
        match = _QUIET.fullmatch(text)
        if match is None:
            raise ValueError("write them as 21:00-08:00")
        hours = cls(time.fromisoformat(match[1]), time.fromisoformat(match[2]))
        if hours.start == hours.end:
            raise ValueError("quiet hours must leave some of the day")
        return hours

    def cover(self, local: datetime) -> bool:
        """Tell whether the local time lies in the quiet hours."""
        clock = local.time().replace(tzinfo=None)
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def before(self, local: datetime) -> datetime:
        """Return the last moment before the quiet hours that cover ``local``."""
        day = local.date() if local.time().replace(tzinfo=None) >= self.start else local.date() - timedelta(days=1)
        moment = past_gap(datetime.combine(day, self.start, local.tzinfo)) - QUIET_MARGIN
        moved = moment.astimezone(local.tzinfo)
        return self.before(moved) if self.cover(moved) else moment  # the clocks skipped the hour between

    def after(self, local: datetime) -> datetime:
        """Return the first moment after the quiet hours that cover ``local``."""
        day = local.date() if local.time().replace(tzinfo=None) < self.end else local.date() + timedelta(days=1)
        wall = datetime.combine(day, self.end, local.tzinfo)
        moment = past_gap(wall)
        if moment <= local:  # that hour comes twice, and this is the second time
            moment = wall.replace(fold=1).astimezone(UTC)
        moved = moment.astimezone(local.tzinfo)
        return self.after(moved) if self.cover(moved) else moment


@dataclass(frozen=True, slots=True)
class Grid:
    """How coarse due times are: cells on the wall clock of the appointment, each an equal part of an hour."""

    size: timedelta

    @classmethod
    def parse(cls, text: str) -> "Grid":
        """Read ``15m`` or ``1h``. Raises ValueError."""
        size = timedelta(seconds=lead_seconds(text))
        if not size or _HOUR % size or size % _MINUTE:
            raise ValueError("write a part of an hour in whole minutes: 5m, 10m, 15m, 30m or 1h")
        return cls(size)


@dataclass(frozen=True, slots=True)
class Cells:
    """The grid of one appointment: its due times follow from its cell, leads, quiet hours and id, and nothing else."""

    size: timedelta
    id: bytes

    @classmethod
    def of(cls, grid: Grid | None, entry_id: bytes) -> "Cells | None":
        """Return the grid as it applies to one appointment; None without a grid."""
        return None if grid is None else cls(grid.size, entry_id)

    def start(self, appointment: datetime) -> datetime:
        """Return where the appointment's cell begins on its wall clock; never after the appointment."""
        clock = timedelta(minutes=appointment.minute, seconds=appointment.second, microseconds=appointment.microsecond)
        wall = (appointment - clock % self.size).replace(fold=appointment.fold)  # arithmetic forgets which of two hours
        return past_gap(wall).astimezone(appointment.tzinfo)

    def spread(self, due: datetime, lead: Lead, quiet: QuietHours | None, zone: tzinfo | None) -> datetime:
        """Move a due time earlier by what follows from id and lead, so that a cell's texts go out spread over time."""
        name = self.id + int(lead.length.total_seconds()).to_bytes(4, "big")
        chance = int.from_bytes(hashlib.blake2b(name, digest_size=8, person=b"rw-jitter").digest(), "big")
        span = self.size // JITTER // _MILLISECOND
        moved = due - chance % span * _MILLISECOND
        local = moved.astimezone(zone)
        # Quiet hours cut in two by clocks that are put back may end after ``due``, which lies outside them.
        return min(quiet.after(local), due) if quiet and quiet.cover(local) else moved


@dataclass(frozen=True, slots=True)
class Slot:
    """One reminder's time: not before ``due``, not at or after ``expires``; both in UTC."""

    lead: Lead
    due: datetime = field(repr=False)  # with its lead it tells the appointment's time
    expires: datetime = field(repr=False)  # tells the appointment's time


def slots(
    appointment: datetime, leads: Sequence[Lead], quiet: QuietHours | None, cells: Cells | None = None
) -> list[Slot]:
    """Return a slot per lead, in the order in which they fall due.

    That is the longest lead first, except on days that clocks made shorter and for leads closer together than the
    grid. A slot may be empty if quiet hours moved the next one onto it.
    """
    timed = _timed(appointment, leads, quiet, cells)
    last = appointment.astimezone(UTC) - EXPIRES_BEFORE
    ends = [*(due for due, _ in timed[1:]), last]
    return [Slot(Lead(-length), due, min(end, last)) for (due, length), end in zip(timed, ends, strict=True)]


def _timed(
    appointment: datetime, leads: Sequence[Lead], quiet: QuietHours | None, cells: Cells | None
) -> list[tuple[datetime, timedelta]]:
    """Return when each lead falls due, with its negated length, in order.

    Leads that quiet hours moved to one moment are spread together; otherwise each would go out as a text of its own.
    """
    awake = {lead: _awake(appointment, lead, quiet, cells) for lead in sorted(leads, reverse=True)}
    shortest = {moment: lead for lead, moment in awake.items()}
    if cells:
        zone = appointment.tzinfo
        awake = {lead: cells.spread(moment, shortest[moment], quiet, zone) for lead, moment in awake.items()}
    return sorted((due, -lead.length) for lead, due in awake.items())


def _awake(appointment: datetime, lead: Lead, quiet: QuietHours | None, cells: Cells | None) -> datetime:
    due = lead.before(cells.start(appointment) if cells else appointment)
    if cells:
        due = due.replace(second=0, microsecond=0)  # leads of seconds: not within the minute before quiet hours
    if quiet is None:
        return due
    local = due.astimezone(appointment.tzinfo)
    return quiet.before(local) if quiet.cover(local) else due


def plan(
    appointment: datetime,
    leads: Sequence[Lead],
    quiet: QuietHours | None,
    now: datetime,
    cells: Cells | None = None,
) -> tuple[list[Slot], list[Slot]]:
    """Return all slots, and those still ahead at ``now``.

    A lead that has passed is left out while a later one is ahead; if none is, the last one goes out at once, as long
    as it is of use and nobody is woken. Raises Refused (time_past, lead_invalid, no_slot).
    """
    if not 1 <= len(leads) <= MAX_LEADS:
        raise Refused(Reason.LEAD_INVALID, "leads", f"give 1 to {MAX_LEADS} leads")
    now = now.astimezone(UTC)  # two times of one zone would be compared by their wall clocks
    if appointment <= now:
        raise Refused(Reason.TIME_PAST, "time", "the appointment is over")
    every = slots(appointment, leads, quiet, cells)
    useful = [slot for slot in every if slot.due < slot.expires]
    ahead = [slot for slot in useful if slot.due > now]
    if ahead:
        return every, ahead
    awake = quiet is None or not quiet.cover(now.astimezone(appointment.tzinfo))
    if useful and now < useful[-1].expires and awake:
        return every, [Slot(useful[-1].lead, now, useful[-1].expires)]
    raise Refused(Reason.NO_SLOT, "time", "no time is left between now, quiet hours and the appointment")
