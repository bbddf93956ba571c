"""Dates and times as a language writes them (CLDR, through Babel); plain enough for any phone."""

import re
from datetime import date, time
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time

from reminder_worker.segments import tidy

_HOME = {"en": "en-GB"}  # CLDR's English without a region is American
_WIDE = {"E": "EEEE", "c": "EEEE", "M": "MMMM"}


@lru_cache(maxsize=1024)
def find_locale(tag: str, language: str) -> Locale:
    """Return the locale of the tag's region, else that of the template's language."""
    subtags = tag.split("-")
    while len(subtags) > 1:
        try:
            found = Locale.parse("-".join(subtags), sep="-")
        except (ValueError, UnknownLocaleError):
            subtags.pop()
            continue
        return found
    return Locale.parse(_HOME.get(language.lower(), language), sep="-")


@lru_cache(maxsize=4096)
def write_date(locale: Locale, day: date, *, brief: bool) -> str:
    """Write weekday, day and month; no year, since no reminder goes out more than weeks ahead."""
    skeletons = locale.datetime_skeletons
    if brief:
        return _first(locale, _undotted(format_date(day, skeletons["MMMEd"].pattern, locale)))
    pattern = skeletons.get("MMMMEd", skeletons["MMMEd"]).pattern
    wide = re.sub(r"'[^']*'|E+|c+|M{3,}", lambda part: _WIDE.get(part[0][0], part[0]), pattern)
    return _first(locale, tidy(format_date(day, wide, locale)))


@lru_cache(maxsize=4096)
def write_time(locale: Locale, hour: int, minute: int) -> str:
    """Write hours and minutes."""
    return _undotted(format_time(time(hour, minute), "short", locale=locale))


def _first(locale: Locale, text: str) -> str:
    """Write the first of a month as French does, and CLDR does not: the day is the only number here."""
    return re.sub(r"\b1\b", "1er", text) if locale.language == "fr" else text


def _undotted(text: str) -> str:
    """Drop commas and the full stops of abbreviations: they look like the end of a sentence. ``p. m.`` is one word."""
    return re.sub(r"(?<=\b[^\W\d])\. (?=[^\W\d]\.)|(?<=[^\W\d])\.|[,،]", "", tidy(text))
