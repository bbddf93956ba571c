"""Records that platforms already have: the protocol of their readers, its value types, and the loader.

A reader takes what a reminder needs and leaves the rest behind: counted by name, decoded no further than the parser
has to, never kept, never in an error.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Protocol, cast
from zoneinfo import ZoneInfo

from reminder_worker import job, numbers
from reminder_worker.encoding import WEEKS_AHEAD
from reminder_worker.errors import Reason, Refused

MOST_NAMES = 200  # further names count as others: a file full of names would fill the memory
OTHERS = "others"
LONGEST_TAG = 8  # docs/format.md
HORIZON = timedelta(weeks=WEEKS_AHEAD)  # public keys are published no further ahead
LONG_AGO = timedelta(days=7)  # exports hold years of history, and each appointment that is passed over is looked up


class Format(StrEnum):
    """The formats of records; each is a module in this folder with a class ``Reader``."""

    JSONL = "jsonl"
    CSV = "csv"
    FHIR = "fhir"
    ICS = "ics"


# An export also holds appointments that are over or far ahead: they are counted, not refused.
EXPORT: Mapping[Reason, str] = MappingProxyType(
    {Reason.TIME_PAST: "past", Reason.NO_SLOT: "past", Reason.TIME_TOO_FAR: "later"}
)
ALL_MATTER: Mapping[Reason, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An appointment that will not take place: its reminders are cancelled."""

    reference: str = field(repr=False)
    perhaps: bool = False  # it may never have been handed in under this name, which is no fault


@dataclass(frozen=True, slots=True)
class PassedOver:
    """An appointment of which nobody can be reminded at this time; reminders still to come are for another time of it.

    One that was over ``LONG_AGO`` is a mere refusal: an earlier export has shown it.
    """

    reference: str = field(repr=False)
    why: Refused


Record = dict[str, Any] | Refused | Cancelled | PassedOver


class Left:
    """What was left behind: how many fields of each name."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, name: object, *, inside: str = "", times: int = 1) -> None:
        """Count a field; a name that is no plain word may itself be data and counts as others."""
        plain = name if isinstance(name, str) and job.shown_name(name) == name else None
        shown = f"{inside}.{plain}" if plain and inside else plain or OTHERS
        if shown not in self._counts and len(self._counts) >= MOST_NAMES:
            shown = OTHERS
        self._counts[shown] += times

    def __str__(self) -> str:
        named = sorted((name, times) for name, times in self._counts.items() if name != OTHERS)
        rest = [(OTHERS, self._counts[OTHERS])] if self._counts[OTHERS] else []
        return ", ".join(f"{name} {times}" for name, times in named + rest)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is given once, for records that do not say it themselves."""

    location: str | None = field(default=None, repr=False)
    language: str | None = None
    country: str | None = None  # of numbers written without one
    zone: ZoneInfo | None = None  # of times that name no zone: the clock that people read

    def fill(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields, with the missing ones filled in. Raises Refused."""
        filled = dict(fields)
        if self.location is not None:
            filled.setdefault("location", self.location)
        if self.language is not None and "pointer" not in fields:
            filled.setdefault("language", self.language)
        if self.country is not None and isinstance(fields.get("phone"), str):
            filled["phone"] = numbers.internationalise(fields["phone"], self.country)
        if self.zone is not None and isinstance(fields.get("time"), str) and "[" not in fields["time"]:
            filled["time"] = self._localise(fields["time"], self.zone)
        return filled

    @staticmethod
    def _localise(text: str, zone: ZoneInfo) -> str:
        try:
            return f"{job.parse_time(text).astimezone(zone).isoformat()}[{zone.key}]"
        except (ValueError, OverflowError):
            raise Refused(Reason.TIME_INVALID, "time", "there is no such date, time or offset") from None


def language_tag(text: str) -> str:
    """Return as much of a language tag as a pointer has room for."""
    tag = text.strip().replace("_", "-")
    while len(tag) > LONGEST_TAG and "-" in tag:
        tag = tag.rpartition("-")[0]
    return tag


class Reader(Protocol):
    """Reads one file, stream or folder, once."""

    left: Left
    done: int  # how many bytes have been dealt with
    passes_over: Mapping[Reason, str]  # reasons that are no fault in this format, and what each is counted as

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        """Yield each record's position with its fields, or with why they cannot be had."""


def read(name: str, source: BinaryIO | Path, defaults: Defaults | None = None) -> Reader:
    """Return a reader of this format; only FHIR comes as a folder. Raises SettingsError for an unusable folder."""
    module = import_module(f"{__name__}.{Format(name)}")
    return cast("Reader", module.Reader(source, defaults or Defaults()))
