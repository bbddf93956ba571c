"""What one reminder says: generic words, a date and a time, and at most a place and a neutral name.

The words are the same for every reason, practitioner and patient; none of these ever gets here.
They come from ``templates/<language>/reminder.txt``, dates and times from CLDR through Babel.

The first of these texts that fits one segment is taken, else the first with the fewest segments:

1. the long text, weekday and month in full;
2. the short text, weekday and month abbreviated;
3. the long, then the short one spelt plainly: letters outside the GSM alphabet lose their accents
   (``Kraków`` becomes ``Krakow``), where that brings the whole text into the alphabet.

Nothing is ever cut off. Curly quotes, dashes and unusual spaces are always made plain.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from functools import lru_cache
from pathlib import Path
from string import Formatter

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time

from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.job import Level
from reminder_worker.segments import measure, plain, tidy

REPLY = "reply"  # the ``not_you`` that asks for STOP; any other is a number to call

_SAMPLE_TIME = datetime(2027, 3, 16, 14, 30, tzinfo=UTC)
_SAMPLE_LOCATION = "12 Station Road"
_SAMPLE_NUMBER = "+15005550006"

_FIELDS = {
    "place": ("date", "time", "location", "not_you"),
    "time": ("date", "time", "not_you"),
    "not_you.reply": (),
    "not_you.call": ("number",),
}
_SECTIONS = {name + size: Counter(fields) for name, fields in _FIELDS.items() for size in ("", ".short")}
_HEADING = re.compile(r"\[(.*)\]")
_WORD = re.compile(r"[a-z_.]{1,30}")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_HOME = {"en": "en-GB"}  # CLDR's English without a region is American

_Parts = tuple[tuple[str, str | None], ...]  # literal text and the placeholder behind it


@dataclass(frozen=True, slots=True)
class Draft:
    """A text that is ready to send."""

    body: str = field(repr=False)
    segments: int


@dataclass(frozen=True, slots=True)
class _Language:
    """The checked texts of one file, by section and the kind of ``not_you`` sentence in them."""

    name: str
    texts: Mapping[tuple[str, str | None], _Parts]


class Templates:
    """The texts of all languages; built once, used from many threads."""

    def __init__(self, languages: Mapping[str, _Language]) -> None:
        self._languages = languages  # by tag in lower case

    @classmethod
    def load(cls, folder: Path | None = None) -> "Templates":
        """Read and check the shipped languages, and those of ``folder``, which win. Raises SettingsError."""
        files = _files(_shipped())
        if folder is not None:
            files |= _files(folder)
        return cls({tag: _read(path) for tag, path in files.items()})

    @property
    def languages(self) -> tuple[str, ...]:
        """Name the languages there are."""
        return tuple(sorted(language.name for language in self._languages.values()))

    def speaks(self, language: str) -> bool:
        """Tell whether there is a template for a BCP 47 tag."""
        tags = language.lower().split("-")
        return any("-".join(tags[:length]) in self._languages for length in range(len(tags), 0, -1))

    def draft(
        self,
        *,
        language: str,
        when: datetime,
        location: str,
        level: Level,
        sender: str | None = None,
        not_you: str | None = None,
    ) -> Draft:
        """Write the text of one reminder.

        ``language`` is a BCP 47 tag, shortened until there is a template for it. ``when`` is aware and in the
        appointment's own zone: its wall clock is printed. ``sender`` is the platform's neutral trade name, used
        at the level of that name only. ``not_you`` is ``REPLY``, a number to call (``+44…``), or None.

        Raises Refused (language_unknown), and SettingsError where ``not_you`` is none of these.
        """
        drafts = []
        long, short = self._write(
            language=language, when=when, location=location, level=level, sender=sender, not_you=not_you
        )
        for body in _spellings(long, short):
            drafts.append(Draft(body, measure(body).count))
            if drafts[-1].segments == 1:
                break
        return min(drafts, key=lambda draft: draft.segments)

    def preview(self, language: str, level: Level, *, sender: str | None = None) -> dict[str, Draft]:
        """Write every text of a level, by name, with a neutral place and time. Raises Refused (language_unknown)."""
        drafts = {}
        for name, not_you in (("", None), (", reply", REPLY), (", call", _SAMPLE_NUMBER)):
            bodies = self._write(
                language=language,
                when=_SAMPLE_TIME,
                location=_SAMPLE_LOCATION,
                level=level,
                sender=sender,
                not_you=not_you,
            )
            for size, body in zip(("long", "short"), bodies, strict=True):
                drafts[size + name] = Draft(body, measure(body).count)
        return drafts

    def words(self, language: str) -> dict[str, str]:
        """Give every text, by name, on one line and without its values: what a person wrote and a lint can judge."""
        return {
            f"{section} {kind or ''}".strip(): " ".join(" ".join(literal for literal, _ in parts).split())
            for (section, kind), parts in self._find(language).texts.items()
        }

    def _write(
        self, *, language: str, when: datetime, location: str, level: Level, sender: str | None, not_you: str | None
    ) -> tuple[str, str]:
        """Fill in the long and the short text."""
        found = self._find(language)
        locale = _locale(language, found.name)
        section = "time" if level is Level.TIME else "place"
        kind = _kind(not_you)
        start = _start(sender, locale) if sender and level is Level.SENDER else ""
        values = {"location": tidy(location), "time": _time(locale, when.hour, when.minute), "number": not_you or ""}
        long = _fill(found.texts[section, kind], values | {"date": _date(locale, when.date(), brief=False)})
        short = _fill(found.texts[section + ".short", kind], values | {"date": _date(locale, when.date(), brief=True)})
        return start + long, start + short

    def _find(self, tag: str) -> _Language:
        """Look up a language as RFC 4647 does: drop subtags from the end."""
        subtags = tag.lower().split("-")
        while subtags:
            if found := self._languages.get("-".join(subtags)):
                return found
            subtags.pop()
        raise Refused(Reason.LANGUAGE_UNKNOWN, "language", "there is no template for it")


def _kind(not_you: str | None) -> str | None:
    """Choose the sentence for somebody who got a text by mistake."""
    if not_you is None:
        return None
    if not_you == REPLY:
        return "reply"
    if _NUMBER.fullmatch(not_you):
        return "call"
    raise SettingsError("not_you: write reply, or a number to call such as +15005550006")


def _start(sender: str, locale: Locale) -> str:
    """Name the sender, on a line of its own where its letters would turn a text that runs from right to left."""
    return tidy(sender) + (":\n" if locale.text_direction == "rtl" else ": ")


def _fill(parts: _Parts, values: Mapping[str, str]) -> str:
    """Put the values in; a value that ends in a full stop brings that of the sentence along."""
    texts = [""]
    for literal, name in parts:
        texts.append(literal[1:] if literal[:1] == "." and texts[-1][-1:] == "." else literal)
        if name is not None:
            texts.append(values[name])
    return "".join(texts)


def _spellings(long: str, short: str) -> Iterator[str]:
    """Go through the texts in the order of the module's docstring."""
    yield long
    yield short
    for text in (long, short):
        if (spelt := plain(text)) is not None:
            yield spelt


@lru_cache(maxsize=1024)
def _locale(tag: str, language: str) -> Locale:
    """Find the region's way with dates, else that of the template's language."""
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
def _date(locale: Locale, day: date, *, brief: bool) -> str:
    """Write weekday, day and month; no year, since no reminder goes out more than weeks ahead."""
    skeletons = locale.datetime_skeletons
    if brief:
        return _undotted(format_date(day, skeletons["MMMEd"].pattern, locale))
    pattern = skeletons.get("MMMMEd", skeletons["MMMEd"]).pattern
    wide = re.sub(r"'[^']*'|E+|c+|M{3,}", lambda part: _WIDE.get(part[0][0], part[0]), pattern)
    return tidy(format_date(day, wide, locale))


_WIDE = {"E": "EEEE", "c": "EEEE", "M": "MMMM"}


@lru_cache(maxsize=4096)
def _time(locale: Locale, hour: int, minute: int) -> str:
    return _undotted(format_time(time(hour, minute), "short", locale=locale))


def _undotted(text: str) -> str:
    """Drop commas and the full stops of abbreviations: they look like the end of a sentence."""
    return re.sub(r"(?<=[^\W\d])\.|[,،]", "", tidy(text))


def _shipped(package: Path = Path(__file__).parent) -> Path:
    """Find our own templates: inside an installed package, beside it in a checkout."""
    for folder in (package / "templates", package.parent / "templates"):
        if folder.is_dir():
            return folder
    raise SettingsError("templates: the shipped ones are missing; install the package again")


def _files(folder: Path) -> dict[str, Path]:
    files = {path.parent.name.lower(): path for path in sorted(folder.glob("*/reminder.txt"))}
    if not files:
        raise SettingsError("templates: there is no <language>/reminder.txt in that folder")
    return files


def _read(path: Path) -> _Language:
    """Read and check one file; every error names the file and the section, never a text."""
    name = path.parent.name
    where = f"{name}/{path.name}"
    try:
        _locale(name, name)
        lines = tidy(path.read_text("utf-8")).splitlines()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{where}: cannot be read as UTF-8 text") from None
    except (ValueError, UnknownLocaleError):
        raise SettingsError(f"{where}: the folder's name is no language whose dates are known") from None
    sections = _split(where, lines)
    for section, allowed in _SECTIONS.items():
        if section not in sections:
            raise SettingsError(f"{where}: [{section}] is missing")
        _check(f"{where} [{section}]", sections[section], allowed)
    for size in ("", ".short"):
        if "STOP" not in sections[f"not_you.reply{size}"]:
            raise SettingsError(f"{where} [not_you.reply{size}]: must name the word STOP")
    return _Language(name, _assemble(sections))


def _split(where: str, lines: list[str]) -> dict[str, str]:
    """Cut a file at its headings; empty lines and comments fall out, other lines stay lines."""
    sections: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, lines)):
        if line.startswith("#"):
            continue
        if heading := _HEADING.fullmatch(line):
            if heading[1] not in _SECTIONS or heading[1] in sections:
                shown = heading[1] if _WORD.fullmatch(heading[1]) else "a heading"
                raise SettingsError(f"{where}: [{shown}] is {'there twice' if heading[1] in sections else 'unknown'}")
            current = sections.setdefault(heading[1], [])
        elif not sections:
            raise SettingsError(f"{where}: a text stands before the first [heading]")
        else:
            current.append(line)
    return {section: "\n".join(texts) for section, texts in sections.items()}


def _check(where: str, text: str, allowed: Counter[str]) -> None:
    """Refuse any placeholder that is not exactly one of those allowed, once."""
    if not text:
        raise SettingsError(f"{where}: is empty")
    try:
        pieces = list(Formatter().parse(text))
    except ValueError:
        raise SettingsError(f"{where}: a brace has no partner") from None
    if any(spec or conversion for _, _, spec, conversion in pieces):
        raise SettingsError(f"{where}: write a placeholder as {{name}}, with nothing behind the name")
    if any(brace in literal for literal, *_ in pieces for brace in "{}"):
        raise SettingsError(f"{where}: braces may only stand around a placeholder")
    found = Counter(name for _, name, _, _ in pieces if name is not None)
    for name in (found - allowed) | (allowed - found):
        shown = f"{{{name}}}" if _WORD.fullmatch(name) else "a placeholder"
        problem = "is missing" if name not in found else "is there twice" if name in allowed else "is unknown here"
        raise SettingsError(f"{where}: {shown} {problem}")


def _assemble(sections: Mapping[str, str]) -> dict[tuple[str, str | None], _Parts]:
    """Put each ``not_you`` sentence into each text once, so that drafting only fills in values."""
    texts: dict[tuple[str, str | None], _Parts] = {}
    for section in ("place", "time"):
        for size in ("", ".short"):
            for kind in (None, "reply", "call"):
                sentence = sections[f"not_you.{kind}{size}"] if kind else ""
                lines = sections[section + size].replace("{not_you}", sentence).split("\n")
                text = "\n".join(" ".join(line.split()) for line in lines if line.strip())
                texts[section + size, kind] = tuple((literal, name) for literal, name, _, _ in Formatter().parse(text))
    return texts
