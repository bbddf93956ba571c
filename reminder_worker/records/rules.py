"""Which recurrence rules are expanded: appointments repeat at most once a day, and not for ever.

A rule of a few characters can keep a machine busy for years, or fill its memory; so each rule is first tried with a
limited number of steps, before a library expands it.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dateutil.rrule import rrulestr

from reminder_worker.errors import Reason, Refused

MOST_STEPS = 40_000  # a century of days
_AHEAD = 12  # the library looks a few occurrences further than asked
_FREQUENCIES = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})
_PARTS = frozenset(
    {"FREQ", "UNTIL", "COUNT", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"}
    | {"WKST", "BYHOUR", "BYMINUTE", "BYSECOND"}
)
_CLOCK = "BYHOUR", "BYMINUTE", "BYSECOND"
_ZONE_RULE = re.compile(
    rb"RRULE:FREQ=YEARLY(;(BYMONTH=\d{1,2}|BYDAY=[+-]?\d?[A-Z]{2}|BYMONTHDAY=[-\d,]{1,40}|UNTIL=[0-9TZ]{8,16}"
    rb"|INTERVAL=1|WKST=[A-Z]{2}))*",
    re.IGNORECASE,
)


class _TooMany(Exception):
    """The rule takes more steps than any appointment's would."""


class _Interval(int):
    """An interval that counts how often a rule steps by it, and gives up after too many."""

    steps = 0

    def _step(self) -> int:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise _TooMany
        return int(self)

    def __radd__(self, other: int) -> int:
        return other + self._step()

    def __mul__(self, other: int) -> int:
        return self._step() * other


def check(rule: Any, start: datetime, end: datetime) -> None:
    """Refuse a rule that repeats too often, or that takes too long to expand up to ``end``."""
    if rule is None:
        return
    if isinstance(rule, list):
        raise Refused(Reason.MALFORMED, "RRULE", "is there twice")
    if not isinstance(rule, dict):  # its VALUE says that it is a day, or something else
        raise Refused(Reason.MALFORMED, "RRULE", "is no rule")
    parts = {name.upper(): value if isinstance(value, list) else [value] for name, value in rule.items()}
    if not set(parts) <= _PARTS or str(parts.get("FREQ", [""])[0]).upper() not in _FREQUENCIES:
        raise Refused(Reason.MALFORMED, "RRULE", "repeats more often than daily, or in a way that is not known here")
    if any(len(parts.get(name, ())) > 1 for name in _CLOCK):
        raise Refused(Reason.MALFORMED, "RRULE", "repeats more than once a day")
    interval = int(parts.get("INTERVAL", [1])[0])
    if not _ends(rule, interval, start.replace(tzinfo=None), end.replace(tzinfo=None)):
        raise Refused(Reason.MALFORMED, "RRULE", "takes too long to expand: it began too long ago, or never repeats")


def _ends(rule: Any, interval: int, start: datetime, end: datetime) -> bool:
    """Tell whether the rule gets beyond ``end`` within the limit."""
    beyond = 0
    try:
        text = ";".join(one for one in rule.to_ical().decode().split(";") if not one.upper().startswith("UNTIL="))
        for count, moment in enumerate(rrulestr(text, dtstart=start).replace(interval=_Interval(interval))):
            beyond += moment > end
            if beyond > _AHEAD:
                return True
            if count > MOST_STEPS:
                return False
    except _TooMany:
        return False
    except Exception:  # noqa: BLE001 - the library's errors quote the rule
        return False
    return True


def is_harmless_zone(lines: Sequence[bytes]) -> bool:
    """Tell whether a zone's clocks change by rules of the usual kind."""
    return all(_ZONE_RULE.fullmatch(line) for line in lines if line[:5].upper() == b"RRULE")
