"""What is taken from one FHIR R4 resource, and what is left behind.

A resource is split into its elements as bytes; only those that are taken are decoded, the others are counted by
their names. So only the JSON parser passes over a reason, a service type or a comment; nothing else touches it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import msgspec

from reminder_worker.errors import Reason, Refused
from reminder_worker.records import Left, language_tag

T = TypeVar("T")
Elements = dict[str, msgspec.Raw]

REMINDED = frozenset({"booked", "pending"})
TAKEN_BACK = frozenset(
    {"proposed", "arrived", "fulfilled", "cancelled", "noshow", "entered-in-error", "checked-in", "waitlist"}
)
_APPOINTMENT = {"resourceType", "id", "identifier", "status", "start", "participant", "contained"}
_PATIENT = {"resourceType", "id", "telecom", "communication", "deceasedBoolean", "deceasedDateTime"}
_LOCATION = {"resourceType", "id", "name", "address"}
_TELECOM = {"system", "value", "use", "rank", "period"}
_NEVER = frozenset({"old", "work"})  # somebody else may answer a phone at work
_LAST = 2**31  # a rank behind all others
_DAY = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_SCHEME = re.compile("(?:tel|sms):", re.IGNORECASE)
_LONGEST = 200  # characters of anything that is kept


@dataclass(frozen=True, slots=True)
class Person:
    """How to reach a patient, and whether they have died."""

    phone: str = field(repr=False)
    language: str = field(repr=False)
    deceased: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True)
class Visit:
    """What is taken from an Appointment; ``contained`` holds the resources inside it, by reference."""

    reference: str = field(repr=False)
    status: str = field(repr=False)
    start: str = field(repr=False)
    patients: tuple[str, ...] = field(repr=False)
    places: tuple[str, ...] = field(repr=False)
    contained: dict[str, Person | str] = field(default_factory=dict, repr=False)


def decode(raw: bytes | msgspec.Raw | None, kind: type[T]) -> T | None:
    """Decode JSON of this kind; None for anything else."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def text(raw: msgspec.Raw | None) -> str:
    """Decode a text that is short enough to be what it should be; else an empty one."""
    found = decode(raw, str) or ""
    return found if len(found) <= _LONGEST else ""


def kind_of(elements: Elements) -> str:
    """Return the resource's type."""
    return text(elements.get("resourceType"))


def _split(raw: msgspec.Raw | None, taken: set[str], inside: str, left: Left) -> Elements:
    """Split an object into its elements, and count those that are not taken."""
    elements = decode(raw, Elements) or {}
    count_left(elements, taken, inside, left)
    return elements


def _each(raw: msgspec.Raw | None, taken: set[str], inside: str, left: Left) -> list[Elements]:
    """Split every object of a list."""
    return [_split(one, taken, inside, left) for one in decode(raw, list[msgspec.Raw]) or []]


def count_left(names: Iterable[str], taken: set[str], inside: str, left: Left) -> None:
    """Count the elements that are not taken."""
    for name in names:
        if name not in taken:
            left.count(name, inside=inside)


def _check(elements: Elements) -> None:
    """Refuse what may reverse the meaning of the rest, as the standard requires."""
    for name in ("modifierExtension", "implicitRules"):
        if name in elements:
            raise Refused(Reason.MALFORMED, name, "may change what the resource says, and is not understood here")


def visit(elements: Elements, left: Left, today: date) -> Visit:
    """Take what a reminder needs from an Appointment. Raises Refused."""
    count_left(elements, _APPOINTMENT, "Appointment", left)
    status = text(elements.get("status"))
    if status not in REMINDED | TAKEN_BACK:
        raise Refused(Reason.MALFORMED, "status", "is none of an Appointment's")
    _check(elements)
    patients, places = [], []
    for one in _each(elements.get("participant"), {"actor"}, "Appointment.participant", left):
        actor = _split(one.get("actor"), {"reference", "type"}, "Appointment.participant.actor", left)
        reference, kind = text(actor.get("reference")), text(actor.get("type"))
        if kind in {"", "Patient"} and _may_be(reference, "Patient"):
            patients.append(reference)
        if kind in {"", "Location"} and _may_be(reference, "Location"):
            places.append(reference)
    contained = _contained(elements.get("contained"), left, today)
    start = text(elements.get("start"))
    return Visit(_reference(elements, left), status, start, tuple(patients), tuple(places), contained)


def _may_be(reference: str, kind: str) -> bool:
    """Tell whether a reference may lead to this kind; one by UUID, or into the resource, does not say."""
    return reference.startswith(("#", "urn:")) or f"/{kind}/" in f"/{reference}"


def _reference(elements: Elements, left: Left) -> str:
    """Return the platform's name for the appointment: its id, or else its first identifier."""
    if name := text(elements.get("id")):
        count_left(("identifier",) if "identifier" in elements else (), set(), "Appointment", left)
        return name
    for one in _each(elements.get("identifier"), {"system", "value"}, "Appointment.identifier", left):
        if value := text(one.get("value")):
            return f"{system}|{value}" if (system := text(one.get("system"))) else value
    raise Refused(Reason.MISSING_FIELD, "id", "is missing, and so is an identifier")


def _contained(raw: msgspec.Raw | None, left: Left, today: date) -> dict[str, Person | str]:
    found: dict[str, Person | str] = {}
    for one in decode(raw, list[Elements]) or []:
        name = f"#{text(one.get('id'))}"
        if kind_of(one) == "Patient":
            found[name] = person(one, left, today)
        elif kind_of(one) == "Location":
            found[name] = place(one, left)
        else:
            left.count(kind_of(one))
    return found


def person(elements: Elements, left: Left, today: date) -> Person:
    """Take phone and language from a Patient. Raises Refused."""
    count_left(elements, _PATIENT, "Patient", left)
    _check(elements)
    deceased = "deceasedDateTime" in elements or decode(elements.get("deceasedBoolean"), bool) is True
    numbers = []
    for place_, one in enumerate(_each(elements.get("telecom"), _TELECOM, "Patient.telecom", left)):
        system, use, rank = text(one.get("system")), text(one.get("use")), decode(one.get("rank"), int)
        if system in {"phone", "sms"} and use not in _NEVER and _holds(one.get("period"), today):
            mobile = use == "mobile" or system == "sms"
            if value := _SCHEME.sub("", text(one.get("value")).strip()):
                numbers.append((not mobile, rank or _LAST, place_, value))
    return Person(min(numbers, default=("",))[-1], _language(elements.get("communication"), left), deceased)


def _holds(raw: msgspec.Raw | None, today: date) -> bool:
    """Tell whether a period covers a day; a date may be as short as a year."""
    period = decode(raw, Elements) or {}
    start, end = (_DAY.match(text(period.get(name))) for name in ("start", "end"))
    now = today.isoformat()
    return not (start and start[0] > now[: len(start[0])]) and not (end and end[0] < now[: len(end[0])])


def _language(raw: msgspec.Raw | None, left: Left) -> str:
    """Return the preferred language, or else the first one."""
    first = ""
    for one in _each(raw, {"language", "preferred"}, "Patient.communication", left):
        concept = decode(one.get("language"), Elements) or {}
        codes = (text(coding.get("code")) for coding in decode(concept.get("coding"), list[Elements]) or [])
        tag = language_tag(next(filter(None, codes), ""))
        if tag and decode(one.get("preferred"), bool) is True:
            return tag
        first = first or tag
    return first


def place(elements: Elements, left: Left) -> str:
    """Take a Location's address, or its name only if it has no address: the name may be a ward's."""
    count_left(elements, _LOCATION, "Location", left)
    _check(elements)
    address = _split(elements.get("address"), {"line", "city", "text"}, "Location.address", left)
    lines = [line for line in decode(address.get("line"), list[str]) or [] if line.strip()]
    city = text(address.get("city"))
    parts = [*lines, *([city] if city else [])] or [text(address.get("text"))]
    return ", ".join(filter(None, parts)) or text(elements.get("name"))
