"""Events of one calendar: read, repeated as far ahead as keys are published, and turned into records.

Only the parts of an event that ``ics.py`` lets through reach this module. What the libraries say about a damaged
event may quote it, so none of that is passed on.
"""

import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import recurring_ical_events
from icalendar import Calendar, Event, Timezone
from icalendar.timezone import tzp

from reminder_worker import job
from reminder_worker.errors import Reason, Refused
from reminder_worker.records import EXPORT, HORIZON, LONG_AGO, Cancelled, Left, PassedOver, Record, language_tag, rules

_DAY = timedelta(days=1)
_UTC = "UTC", "Etc/UTC"

Part = tuple[str, list[bytes]]  # an event's position, and its lines


class Expansion:
    """Turns the events of one calendar into records; ``cancels`` if all of them are cancelled."""

    def __init__(
        self, zones: Sequence[list[bytes]], named: str, default: ZoneInfo | None, left: Left, *, cancels: bool
    ) -> None:
        self._zone = _find_zone(named) or default
        self._left = left
        self._cancels = cancels
        self._now = datetime.now(UTC)
        tzp.use_default()  # forget another calendar's zone of the same name
        for zone in filter(rules.is_harmless_zone, zones):
            _define(zone)

    def expand(self, parts: Sequence[Part]) -> Iterator[tuple[str, Record]]:
        """Yield the records of all events with one UID."""
        events: list[tuple[str, Any]] = []
        for where, lines in parts:
            event = None
            try:
                event = _parse(lines)
                events.append((where, self._checked(event)))
            except Refused as refusal:
                yield where, self._passed_over(event, refusal) if len(parts) == 1 else refusal
        if len(events) < len(parts):  # a refused event may cancel or move one of the others
            for where, _ in events:
                yield where, Refused(Reason.MALFORMED, "UID", "another event of this one's series was refused")
            return
        changes = [(where, event) for where, event in events if "RECURRENCE-ID" in event]
        wholes = [(where, event) for where, event in events if "RECURRENCE-ID" not in event]
        newest = max((_sequence(event) for _, event in wholes), default=0)
        current = [(where, event) for where, event in wholes if _sequence(event) == newest]
        for where, _ in current[1:]:
            yield where, Refused(Reason.REFERENCE_INVALID, "UID", "is another event's")
        where, event = (current or changes or [("", None)])[0]
        if current and not changes and "RRULE" not in event and "RDATE" not in event:
            yield where, self._record(event, str(event["UID"]), event["DTSTART"].dt)
        elif current or changes:
            yield from ((where, record) for record in self._series([*current[:1], *changes], whole=bool(current)))

    def _checked(self, event: Any) -> Any:
        """Refuse an event that nobody can be reminded of, or that would never end."""
        start = event["DTSTART"]
        if not isinstance(_moment(start), date):  # nor a datetime, which is also a date: a span, a time of day, a text
            raise Refused(Reason.TIME_INVALID, "DTSTART", "is no date")
        if not _repeats(event) and not self._is_ahead(start.dt):
            self._pass_over(start.dt)
        if not all(
            isinstance(_moment(event[name]), datetime) for name in ("DTSTART", "RECURRENCE-ID") if name in event
        ):
            raise Refused(Reason.TIME_INVALID, "DTSTART", "is a day without a time")
        if start.dt.tzinfo is None and "TZID" in start.params:
            raise Refused(Reason.TIME_INVALID, "DTSTART", "is in a zone that the file does not define")
        rules.check(event.get("RRULE"), start.dt, self._now + HORIZON + _DAY)
        for attendee in _each(event, "ATTENDEE"):
            if not _is_phone(attendee):
                self._left.count("ATTENDEE")
        return event

    def _series(self, events: Sequence[tuple[str, Any]], *, whole: bool) -> list[Record]:
        """Return the occurrences ahead; those that were taken out of the series are cancelled."""
        uid = str(events[0][1]["UID"])
        found: list[Record] = [Cancelled(uid, perhaps=True)] if whole else []  # handed in before it repeated
        calendar = Calendar()
        for _, event in events:
            calendar.add_component(event)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                query = recurring_ical_events.of(calendar)
                occurrences = query.between(self._now - _DAY, self._now + HORIZON + _DAY)
        except Exception:  # noqa: BLE001 - whatever a library raises for a damaged series
            return [Refused(Reason.MALFORMED, "RRULE", "cannot be expanded")]
        near = [one for one in occurrences if self._is_ahead(one["DTSTART"].dt)]
        found += [self._record(one, f"{uid}/{_name(one['RECURRENCE-ID'].dt)}", one["DTSTART"].dt) for one in near]
        excluded = (one.dt for some in _each(events[0][1], "EXDATE") for one in some.dts if whole)
        gone = [one for one in excluded if isinstance(one, date) and self._is_ahead(one)]  # a span is no date
        names = [f"{uid}/{_name(one)}" for one in [*gone, *self._moved_out_of_reach(events, near)]]
        return found + [Cancelled(name, perhaps=True) for name in names]

    def _moved_out_of_reach(self, events: Sequence[tuple[str, Any]], near: Sequence[Any]) -> list[date]:
        """Return which events of a series have a change that moved them to where nobody is reminded."""
        changes = [event for _, event in events if "RECURRENCE-ID" in event]
        moved = [one["RECURRENCE-ID"].dt for one in changes if not self._is_ahead(one["DTSTART"].dt)]
        kept = [_name(one["RECURRENCE-ID"].dt) for one in near]  # by a newer change
        return [one for one in moved if _name(one) not in kept and not self._is_long_ago(one)]

    def _is_ahead(self, moment: date) -> bool:
        return self._now < self._aware(moment) <= self._now + HORIZON

    def _is_long_ago(self, moment: date) -> bool:
        return self._now - self._aware(moment) > LONG_AGO

    def _aware(self, moment: date) -> datetime:
        """Return the instant; for a day, its last one."""
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time.max)
        return moment if moment.tzinfo else moment.replace(tzinfo=self._zone or UTC)

    def _passed_over(self, event: Any, refusal: Refused) -> Record:
        """Return what became of an event that was refused: it may have been moved to where it needs no further look."""
        if refusal.reason not in EXPORT or self._is_long_ago(event["DTSTART"].dt):
            return refusal
        return PassedOver(str(event["UID"]), refusal)

    def _pass_over(self, moment: date) -> None:
        """Refuse an event that needs no further look. Raises Refused."""
        if self._aware(moment) <= self._now:
            raise Refused(Reason.TIME_PAST, "DTSTART", "is over")
        message = "is further ahead than keys are published; a later export brings it"
        raise Refused(Reason.TIME_TOO_FAR, "DTSTART", message)

    def _record(self, event: Any, reference: str, start: datetime) -> Record:
        """Return the fields of one occurrence."""
        if self._cancels or str(event.get("STATUS", "")).upper() == "CANCELLED":
            return Cancelled(reference)
        phones = {str(one): one for one in _each(event, "ATTENDEE") if _is_phone(one)}
        if len(phones) > 1:
            return Refused(Reason.MALFORMED, "ATTENDEE", "more than one has a phone")
        try:
            fields = {"reference": reference, "time": self._time(start), "location": _location(event)}
        except Refused as refusal:
            return refusal
        for text, attendee in phones.items():
            fields["phone"] = text.partition(":")[2].partition(";")[0]
            fields["language"] = language_tag(str(attendee.params.get("LANGUAGE", "")))
        return {name: value for name, value in fields.items() if value}

    def _time(self, start: datetime) -> str:
        """Write the time in the clock that people read. Raises Refused if no zone says which one."""
        if start.tzinfo is None or start.tzinfo is UTC or getattr(start.tzinfo, "key", "") in _UTC:
            if self._zone is None:
                kind = "floats" if start.tzinfo is None else "is in UTC"
                raise Refused(Reason.TIME_INVALID, "DTSTART", f"{kind}; say with --zone which clock people read")
            start = start.replace(tzinfo=self._zone) if start.tzinfo is None else start.astimezone(self._zone)
        name = f"[{start.tzinfo.key}]" if isinstance(start.tzinfo, ZoneInfo) else ""
        return f"{start.isoformat(timespec='seconds')}{name}"


def _parse(lines: Sequence[bytes]) -> Any:
    """Read an event; its properties may be of any of the library's types. Raises Refused."""
    text = b"\r\n".join([b"BEGIN:VEVENT", *lines, b"END:VEVENT", b""])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            event: Any = Event.from_ical(text.decode())
        twice = any(isinstance(event.get(name), list) for name in ("UID", "RECURRENCE-ID"))
        damaged = bool(event.errors) or not event.get("UID") or twice
    except Exception:  # noqa: BLE001 - the library's errors quote the line
        event, damaged = Event(), True
    if damaged:
        raise Refused(Reason.MALFORMED, "event", "is not one of RFC 5545")
    if "DTSTART" not in event or isinstance(event["DTSTART"], list):
        raise Refused(Reason.MISSING_FIELD, "DTSTART", "is missing, or there twice")
    return event


def _define(lines: Sequence[bytes]) -> None:
    """Register a zone that the file defines; one that cannot be read stays unknown."""
    text = b"\r\n".join([b"BEGIN:VTIMEZONE", *lines, b"END:VTIMEZONE", b""])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zone: Any = Timezone.from_ical(text.decode())
            tzp.cache_timezone_component(zone)
    except Exception:  # noqa: BLE001 - events in that zone are refused
        return


def _find_zone(name: str) -> ZoneInfo | None:
    """Find the zone that a calendar names for itself."""
    try:
        zone = job.parse_time(f"2000-01-01T00:00:00Z[{name}]").tzinfo if name else None
    except Refused:
        return None
    return zone if isinstance(zone, ZoneInfo) else None


def _repeats(event: Any) -> bool:
    return any(name in event for name in ("RRULE", "RDATE", "RECURRENCE-ID"))


def _each(event: Any, name: str) -> list[Any]:
    value = event.get(name, [])
    return value if isinstance(value, list) else [value]


def _is_phone(attendee: Any) -> bool:
    return str(attendee).lower().startswith(("tel:", "sms:"))


def _location(event: Any) -> str:
    """Return the place on one line."""
    text = next(iter(_each(event, "LOCATION")), "")
    return ", ".join(line.strip(" ,") for line in str(text).splitlines() if line.strip(" ,"))


def _moment(value: Any) -> object:
    """Return the moment that a property holds; its VALUE may declare something else."""
    return getattr(value, "dt", None)


def _sequence(event: Any) -> int:
    value = event.get("SEQUENCE", 0)
    return value if isinstance(value, int) else 0


def _name(moment: date) -> str:
    """Return the name of an occurrence within its series."""
    if isinstance(moment, datetime) and moment.tzinfo:
        return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return f"{moment:%Y%m%dT%H%M%S}"
