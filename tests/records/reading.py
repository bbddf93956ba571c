"""What tests of readers share: read everything, and write FHIR and iCalendar."""

import io
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from reminder_worker import records
from reminder_worker.errors import Refused
from reminder_worker.records import Cancelled, Defaults, PassedOver, Reader

PARIS = ZoneInfo("Europe/Paris")
IN_PARIS = Defaults(zone=PARIS)
BEGAN = datetime.now(PARIS)  # once: midnight may pass while they run


class Once(io.RawIOBase):
    """A stream that cannot be read twice, as standard input."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> bytes:
        return self._data.readline(size)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


def reader(name: str, source: bytes | BinaryIO | Path, defaults: Defaults = IN_PARIS) -> Reader:
    return records.read(name, io.BytesIO(source) if isinstance(source, bytes) else source, defaults)


def shown(record: records.Record) -> Any:
    """Show a record as tests compare it."""
    if isinstance(record, PassedOver):
        return shown(record.why)
    if isinstance(record, Cancelled):
        return f"cancelled {record.reference}" + (" perhaps" if record.perhaps else "")
    return f"{record.reason}: {record}" if isinstance(record, Refused) else record


def read(name: str, source: bytes | BinaryIO | Path, defaults: Defaults = IN_PARIS) -> list[tuple[str, Any]]:
    return [(place, shown(record)) for place, record in reader(name, source, defaults)]


def only(name: str, source: bytes, defaults: Defaults = IN_PARIS) -> Any:
    """Return the one record."""
    [(_, record)] = read(name, source, defaults)
    return record


def left(name: str, source: bytes | Path) -> str:
    """Read everything and say what was left behind."""
    used = reader(name, source)
    assert list(used)
    return str(used.left)


def day(days: float = 3) -> datetime:
    """Return ten o'clock in Paris, some days ahead of the one on which the tests began."""
    return (BEGAN + timedelta(days=days)).replace(hour=10, minute=0, second=0, microsecond=0)


# FHIR


def ndjson(*resources: dict[str, Any] | bytes) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in resources)


def bundle(*resources: dict[str, Any], kind: str = "collection", indent: int | None = 1) -> bytes:
    """Write a Bundle; a resource with ``fullUrl`` is an entry as it is."""
    entries = [one if "fullUrl" in one or "resource" in one else {"resource": one} for one in resources]
    return json.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}, indent=indent).encode()


def appointment(*actors: str, **changed: Any) -> dict[str, Any]:
    found = actors or ("Patient/p", "Location/l")
    resource = {
        "resourceType": "Appointment",
        "id": "a",
        "status": "booked",
        "start": day().isoformat(),
        "participant": [{"actor": {"reference": one}, "status": "accepted"} for one in found],
    }
    return {name: value for name, value in (resource | changed).items() if value is not None}


def patient(**changed: Any) -> dict[str, Any]:
    resource = {
        "resourceType": "Patient",
        "id": "p",
        "telecom": [{"system": "phone", "value": "+33612345678", "use": "mobile"}],
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "fr"}]}}],
    }
    return {name: value for name, value in (resource | changed).items() if value is not None}


def location(**changed: Any) -> dict[str, Any]:
    resource = {"resourceType": "Location", "id": "l", "address": {"line": ["12 rue des Lilas"], "city": "Lyon"}}
    return {name: value for name, value in (resource | changed).items() if value is not None}


FIELDS = {"reference": "a", "location": "12 rue des Lilas, Lyon", "phone": "+33612345678", "language": "fr"}

# iCalendar


def stamp(moment: datetime) -> str:
    """Write the wall clock as iCalendar does."""
    return f"{moment:%Y%m%dT%H%M%S}"


def event(*lines: str, uid: str = "u", start: str | None = None) -> list[str]:
    begins = start if start is not None else f"DTSTART;TZID=Europe/Paris:{stamp(day())}"
    own = [f"UID:{uid}", begins, "LOCATION:12 rue des Lilas\\, Lyon", "ATTENDEE;LANGUAGE=fr:tel:+33612345678"]
    names = {line.partition(":")[0].partition(";")[0] for line in lines}
    kept = [line for line in own if line and line.partition(":")[0].partition(";")[0] not in names]
    return ["BEGIN:VEVENT", *kept, *(line for line in lines if not line.endswith(":")), "END:VEVENT"]


def calendar(*blocks: Iterable[str], end: str = "\r\n") -> bytes:
    lines = ["BEGIN:VCALENDAR", *(line for block in blocks for line in block), "END:VCALENDAR", ""]
    return end.join(lines).encode()
