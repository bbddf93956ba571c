"""iCalendar (RFC 5545): content lines are sorted by the name of their property, before anything is parsed.

Only properties on the lists below go on to the parser of events (``series.py``); of the others not even the
continuation lines are kept. A calendar's events wait for its end: a change to one of a series may stand anywhere.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from reminder_worker.errors import Reason, Refused
from reminder_worker.records import EXPORT, OTHERS, Defaults, Left, Record, series
from reminder_worker.records.lines import Lines

LONGEST = 16_384  # bytes taken of one property
LARGEST = 65_536  # bytes taken of one event, or of one definition of a zone
_EVENT = frozenset(
    {b"UID", b"DTSTART", b"RRULE", b"RDATE", b"EXDATE", b"RECURRENCE-ID", b"SEQUENCE", b"STATUS"}
    | {b"LOCATION", b"ATTENDEE"}
)
_CALENDAR = frozenset({b"METHOD", b"X-WR-TIMEZONE"})
_ZONE = frozenset({b"TZID", b"DTSTART", b"TZOFFSETFROM", b"TZOFFSETTO", b"RRULE", b"RDATE"})
_PROPERTY = re.compile(rb"([A-Za-z0-9-]+)[;:]")
_NOT_COUNTED = frozenset({b"BEGIN", b"END", b"TZNAME"})


@dataclass
class _Block:
    """What has been taken of one event or zone so far."""

    number: int
    end: int = 0  # where it ends in the file
    lines: list[bytes] = field(default_factory=list, repr=False)
    size: int = 0
    too_long: bool = False

    def add(self, line: bytes, *, goes_on: bool = False) -> None:
        """Keep a line, or the continuation of the last one."""
        self.size += len(line)
        if self.size > LARGEST or (goes_on and len(self.lines[-1]) + len(line) > LONGEST):
            self.too_long = True
        elif goes_on:
            self.lines[-1] += line
        else:
            self.lines.append(line)


@dataclass
class _Calendar:
    """One VCALENDAR: what it says about itself, its zones and its events."""

    method: str = ""
    zone: str = ""
    zones: list[_Block] = field(default_factory=list, repr=False)
    events: list[_Block] = field(default_factory=list, repr=False)


class Reader:
    """Reads a stream of calendars."""

    passes_over = EXPORT

    def __init__(self, source: BinaryIO, defaults: Defaults) -> None:
        self.left = Left()
        self.done = 0
        self._lines = Lines(source, LONGEST)
        self._zone = defaults.zone
        self._calendar = _Calendar()
        self._block: _Block | None = None  # the event or zone that lines belong to
        self._inside: list[bytes] = []  # components that began and have not ended
        self._taking = False  # whether continuation lines belong to a property that is taken
        self._calendars = 0
        self._events = 0

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        for number, line in self._lines:
            bare = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).rstrip(b"\r\n")
            if bare[:1] in {b" ", b"\t"}:
                self._go_on(bare[1:])
            elif bare:
                self._property(bare, cut=self._lines.is_cut(line))
                if not self._inside:
                    yield from self._expand()
        yield from self._expand()  # of a file that was cut off, what there is
        if self._lines.done and not self._calendars:
            yield "line 1", Refused(Reason.MALFORMED, "file", "holds no calendar")

    def _property(self, line: bytes, *, cut: bool) -> None:
        """Sort a line by the name of its property."""
        match = _PROPERTY.match(line)
        name = match[1].upper() if match else b""
        self._taking = False
        if name == b"BEGIN":
            self._begin(line[6:].strip().upper())
        elif name == b"END":
            self._end()
        elif self._block is not None and name in self._taken():
            self._block.add(line)
            self._block.too_long |= cut
            self._taking = True
        elif self._inside == [b"VCALENDAR"] and name in _CALENDAR:
            self._describe(name, line[match.end() :] if match else b"")
        elif name not in _NOT_COUNTED and self._counts():
            self.left.count(name.decode("ascii") or OTHERS)

    def _taken(self) -> frozenset[bytes]:
        """Return the properties that are taken here; inside an alarm, for example, none."""
        if self._inside == [b"VCALENDAR", b"VEVENT"]:
            return _EVENT
        return _ZONE if self._inside[:2] == [b"VCALENDAR", b"VTIMEZONE"] else frozenset()

    def _counts(self) -> bool:
        """Tell whether properties are counted here: inside a component that is left behind as a whole they are not."""
        return self._inside in ([b"VCALENDAR"], [b"VCALENDAR", b"VEVENT"])

    def _go_on(self, rest: bytes) -> None:
        if self._taking and self._block is not None:
            self._block.add(rest, goes_on=True)  # a line that was cut is still long enough to count as too long

    def _describe(self, name: bytes, value: bytes) -> None:
        text = value.decode("utf-8", "replace").strip()
        if name == b"METHOD":
            self._calendar.method = text.upper()
        else:
            self._calendar.zone = text

    def _begin(self, name: bytes) -> None:
        self._inside.append(name)
        if self._inside[:-1] == [b"VCALENDAR"]:
            if name == b"VEVENT":
                self._events += 1
                self._block = _Block(self._events)
                self._calendar.events.append(self._block)
            elif name == b"VTIMEZONE":
                self._block = _Block(0)
                self._calendar.zones.append(self._block)
            else:
                self.left.count(name.decode("ascii", "replace"))
        elif self._inside[:2] == [b"VCALENDAR", b"VTIMEZONE"] and self._block is not None:
            self._block.add(b"BEGIN:" + name)
        elif self._inside == [b"VCALENDAR"]:
            self._calendars += 1
        else:
            self.left.count(name.decode("ascii", "replace"))

    def _end(self) -> None:
        name = self._inside.pop() if self._inside else b""
        if self._inside[:2] == [b"VCALENDAR", b"VTIMEZONE"] and self._block is not None:
            self._block.add(b"END:" + name)
        elif self._inside == [b"VCALENDAR"] and self._block is not None:
            self._block.end = self._lines.done
            self._block = None

    def _expand(self) -> Iterator[tuple[str, Record]]:
        """Yield the records of a calendar, series by series."""
        calendar, self._calendar = self._calendar, _Calendar()
        zones = [zone.lines for zone in calendar.zones if not zone.too_long]
        expand = series.Expansion(zones, calendar.zone, self._zone, self.left, cancels=calendar.method == "CANCEL")
        groups: dict[bytes, list[series.Part]] = {}
        ends: dict[str, int] = {}
        for event in calendar.events:
            where = f"event {event.number}"
            ends[where] = event.end
            uid = next((line for line in event.lines if line[:4].upper().startswith((b"UID:", b"UID;"))), b"")
            if event.too_long:
                yield where, Refused(Reason.MALFORMED, "event", "is longer than one is")
            elif not uid:
                yield where, Refused(Reason.MISSING_FIELD, "UID", "is missing")
            else:
                groups.setdefault(uid, []).append((where, event.lines))
        for parts in groups.values():
            self.done = ends[parts[0][0]]
            yield from expand.expand(parts)
