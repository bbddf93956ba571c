"""What a platform knows about an appointment and a reminder needs; there is no field for a reason."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reminder_worker import job, numbers, sealing
from reminder_worker.errors import Reason, Refused
from reminder_worker.plan import Lead

_ALWAYS = frozenset({"reference", "time", "location"})
_ALLOWED = _ALWAYS | {"pointer", "phone", "language", "leads"}


@dataclass(frozen=True, slots=True)
class Appointment:
    """What a platform knows and a reminder needs: a pointer, or a phone and a language to seal one from."""

    reference: str = field(repr=False)
    time: datetime = field(repr=False)
    location: str = field(repr=False)
    pointer: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    language: str | None = field(default=None, repr=False)
    leads: tuple[Lead, ...] | None = None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Appointment":
        """Read a record. Raises Refused, which names the field and not its value."""
        contact = {"pointer"} if "pointer" in fields else {"phone", "language"}
        job.check_fields(
            fields, allowed=_ALLOWED - ({"phone", "language", "pointer"} - contact), required=_ALWAYS | contact
        )
        for name in contact | {"reference"}:
            if not isinstance(fields[name], str):
                raise Refused(Reason.MALFORMED, name, "must be a text")
        return cls(
            reference=fields["reference"],
            time=job.parse_time(fields["time"]),
            location=job.parse_location(fields["location"]),
            pointer=fields.get("pointer"),
            phone=fields.get("phone"),
            language=fields.get("language"),
            leads=_leads(fields.get("leads")),
        )


def _leads(value: object) -> tuple[Lead, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        raise Refused(Reason.LEAD_INVALID, "leads", 'must be a list such as ["24h", "2h"]')
    return tuple(Lead.parse(text) for text in value)


def uri_of(appointment: Appointment, countries: Collection[str]) -> tuple[str, str]:
    """Return what to seal a pointer from: URI and language. Raises Refused."""
    phone, language = appointment.phone or "", appointment.language or ""
    uri = f"tel:{numbers.normalise(phone, countries)}"
    if not sealing.is_address(uri, language):
        raise Refused(Reason.LANGUAGE_UNKNOWN, "language", "write a tag such as fr or pt-BR")
    return uri, language
