"""A job is a time, a location and a pointer, and nothing else; no I/O.

There is no field for a reason, a practitioner or a name, and anything that is not one of the three is refused.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from zoneinfo import ZoneInfo

from reminder_worker.encoding import Time
from reminder_worker.errors import Reason, Refused

LOCATION_LENGTH = 70  # characters; the one length of all envelopes is the harder limit
_UNTIDY_LENGTH = 1000  # characters before tidying: the time that NFC takes grows with the square of the length


class Level(StrEnum):
    """How much a text tells."""

    TIME = "time"  # an appointment, then
    PLACE = "place"  # ..., there
    SENDER = "sender"  # ..., and a neutral trade name in front


class State(StrEnum):
    """What is known of one reminder, and what may happen next."""

    SCHEDULED = "scheduled"  # waits until it is due, or until its next try
    QUEUED = "queued"  # due; a worker has been woken or has just begun
    SENDING = "sending"  # a provider is being asked; it may have accepted
    SENT = "sent"  # the provider accepted it; a receipt may follow
    DELIVERED = "delivered"  # the provider says: on the handset
    UNDELIVERED = "undelivered"  # the provider says: accepted, and not delivered
    FAILED = "failed"  # ended without a text; see reason
    EXPIRED = "expired"  # ended without a text: too late to be of use
    CANCELLED = "cancelled"  # the platform took it back before a provider was asked
    SUPPRESSED = "suppressed"  # the person said STOP
    UNKNOWN = "unknown"  # a provider may have accepted it, and nobody could find out
    REJECTED = "rejected"  # a forged, damaged or disclosing job: nothing was sent


class FailureClass(StrEnum):
    """Whose fault it is, and whether another day could go better."""

    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    TECHNICAL = "technical"


@dataclass(frozen=True, slots=True)
class Job:
    """One appointment, as far as a reminder needs to know it."""

    time: datetime = field(repr=False)  # aware; its tzinfo is the appointment's own zone
    location: str = field(repr=False)
    pointer: bytes = field(repr=False)


_TIME = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})[Tt](?P<clock>(?:[01]\d|2[0-3]):\d{2}:\d{2})(?:\.\d{1,9})?"
    r"(?P<offset>[Zz]|[+-]\d{2}:\d{2})"
    r"(?:\[!?(?P<zone>[A-Za-z._][A-Za-z0-9._+-]*(?:/[A-Za-z0-9._+-]+)*|[+-]\d{2}:\d{2})\])?"
    r"(?P<tags>(?:\[!?[a-z_][a-z0-9_-]*=[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\])*)",
    re.ASCII,
)


_LONGEST_TIME = 140  # characters; a zone name of hundreds of parts would be looked up in as deep a folder
_UNKNOWN_OFFSET = {"Z", "z", "-00:00"}  # of these only the instant counts beside a zone (RFC 9557, 2.2)
_NO_ZONES = ("posix/", "right/", "posixrules", "localtime", "Factory")  # specific to one machine, or not based on UTC


def parse_time(text: str) -> datetime:
    """Read RFC 3339 with an offset, or RFC 9557 with a zone; the result keeps the zone as its tzinfo.

    Raises Refused (time_invalid, zone_mismatch).
    """
    match = _TIME.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST_TIME else None
    if match is None or "[!" in match["tags"]:
        raise Refused(Reason.TIME_INVALID, "time", "write RFC 3339 with an offset, such as 2027-03-15T14:30:00+01:00")
    try:
        clock = datetime.fromisoformat(f"{match['date']}T{match['clock']}")
        moment = clock.replace(tzinfo=_offset(match["offset"]))
        moment.astimezone(UTC)  # the first and the last hours of the calendar have no instant
        return _in_zone(moment, match["zone"], unknown_offset=match["offset"] in _UNKNOWN_OFFSET)
    except (ValueError, OverflowError):
        raise Refused(Reason.TIME_INVALID, "time", "there is no such date, time or offset") from None


def _offset(text: str) -> timezone:
    """Turn ``+01:00`` or ``Z`` into a fixed zone."""
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    if hours > 23 or minutes > 59:  # noqa: PLR2004
        raise ValueError
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if text[0] == "-" else span)


def _in_zone(moment: datetime, name: str | None, *, unknown_offset: bool) -> datetime:
    """Give the moment its named zone, whose offset must agree with the given one if that is known."""
    if name is None:
        return moment
    zone = _offset(name) if name[0] in "+-" else _zone(name)
    local = moment.astimezone(zone)
    if not unknown_offset and local.utcoffset() != moment.utcoffset():
        raise Refused(Reason.ZONE_MISMATCH, "time", "the offset is not the zone's at that time")
    return local


def _zone(name: str) -> ZoneInfo:
    try:
        zone = None if name.startswith(_NO_ZONES) else ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # KeyError: ZoneInfoNotFoundError
        zone = None
    if zone is None:
        raise Refused(Reason.TIME_INVALID, "time", "there is no such time zone")
    return zone


def to_time(moment: datetime) -> Time:
    """Turn an aware time into what is signed. Raises Refused."""
    offset = moment.utcoffset() or timedelta()
    name = moment.tzinfo.key if isinstance(moment.tzinfo, ZoneInfo) else ""
    return Time(int(moment.timestamp()), int(offset.total_seconds()) // 60, name)


def from_time(signed: Time) -> datetime:
    """Turn what was signed into an aware time; its wall clock is the one that the platform signed.

    If this machine's zone data disagree with that wall clock, or lack the zone, the signed offset is kept.
    """
    fixed = datetime.fromtimestamp(signed.seconds, timezone(timedelta(minutes=signed.offset_minutes)))
    try:
        local = fixed.astimezone(ZoneInfo(signed.zone)) if signed.zone else fixed
    except (OSError, ValueError, KeyError):
        return fixed
    return local if local.utcoffset() == fixed.utcoffset() else fixed


def parse_location(text: str) -> str:
    """Tidy a label for a place: one line, NFC, single spaces. Raises Refused."""
    if not isinstance(text, str):
        raise Refused(Reason.LOCATION_INVALID, "location", "must be a text")
    if len(text) > _UNTIDY_LENGTH:
        raise _too_long()
    if any(unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"} for character in text):
        raise Refused(Reason.LOCATION_INVALID, "location", "must be one line without control characters")
    tidy = " ".join(unicodedata.normalize("NFC", text).split())
    if not any(unicodedata.category(character)[0] in "LNPS" for character in tidy):
        raise Refused(Reason.LOCATION_INVALID, "location", "must not be empty")
    if len(tidy) > LOCATION_LENGTH:
        raise _too_long()
    return tidy


def _too_long() -> Refused:
    return Refused(Reason.LOCATION_TOO_LONG, "location", f"must not be longer than {LOCATION_LENGTH} characters")


_NAME = re.compile(r"(?!.*\d{4})[A-Za-z_][A-Za-z0-9_.-]{0,39}", re.ASCII)  # no number, no date


def shown_name(name: object) -> str:
    """Return a field's name as an error may show it: a name that is not a plain word may be data."""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else "a field"


def check_fields(names: Iterable[object], *, allowed: frozenset[str], required: frozenset[str]) -> None:
    """Refuse fields that do not belong in a job, by name; one that is no plain word may be data and is not repeated."""
    present = set(names)
    for name in sorted(present - allowed, key=str):
        raise Refused(Reason.UNKNOWN_FIELD, shown_name(name), "a reminder has no such field; leave it out")
    for missing in sorted(required - present):
        raise Refused(Reason.MISSING_FIELD, missing, "is missing")
