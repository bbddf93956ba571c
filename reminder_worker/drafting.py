"""What one reminder says: generic words, a date and a time, and at most a place and a neutral name.

The words are the same for every reason, practitioner and patient; none of these ever gets here.
They come from ``templates/<language>/reminder.txt``, dates and times from CLDR through Babel.

The first of these texts that fits one segment is taken, else the first with the fewest segments:

1. the long text, weekday and month in full;
2. the short text, weekday and month abbreviated;
3. the long, then the short text spelt plainly: letters outside the GSM alphabet lose their accents
   (``Kraków`` becomes ``Krakow``), if that brings the whole text into the alphabet.

Nothing is ever cut off. Curly quotes, dashes and unusual spaces are always replaced by plain ones.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from babel import Locale

from reminder_worker.dates import find_locale, write_date, write_time
from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.job import Level
from reminder_worker.segments import measure, plain, tidy
from reminder_worker.templates import HELP, Language, Parts, read_all

ENGLISH = "en"
REPLY = "reply"  # the ``not_you`` that asks for STOP; any other is a number to call

_SAMPLE_TIME = datetime(2027, 3, 16, 14, 30, tzinfo=UTC)
_SAMPLE_LOCATION = "12 Station Road"
_SAMPLE_NUMBER = "+15005550006"

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A text that is ready to send."""

    body: str = field(repr=False)
    segments: int
    edition: str = field(default="", compare=False)  # which set of templates it comes from


class Templates:
    """The texts of all languages; built once, used from many threads."""

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._languages = languages  # by tag in lower case
        self.edition = _edition(languages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Templates) and self.edition == other.edition

    def __hash__(self) -> int:
        return hash(self.edition)

    @classmethod
    def load(cls, folder: Path | None = None) -> "Templates":
        """Read and check the shipped languages, and those of ``folder``, which override them. Raises SettingsError."""
        return cls(read_all(folder))

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the names of all languages."""
        return tuple(sorted(language.name for language in self._languages.values()))

    def speaks(self, language: str) -> bool:
        """Return whether there is a template for a BCP 47 tag."""
        return self._look_up(language) is not None

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
        only at the level ``sender``. ``not_you`` is ``REPLY``, a number to call (``+44…``), or None.

        Raises Refused (language_unknown), and SettingsError if ``not_you`` is none of these.
        """
        texts = self._write(
            language=language, when=when, location=location, level=level, sender=sender, not_you=not_you
        )
        return _shortest(_spellings(texts), self.edition)

    def help(self, language: str) -> Draft:
        """Write the answer to a person who asks what this number is; in English if there is no template.

        It is the same for everyone: it names no place, no time and no sender.
        """
        found = self._look_up(language) or self._find(ENGLISH)
        return _shortest(_spellings([_fill(found.texts[HELP, None], {})]))

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
        """Return every text, by name, on one line and without its values: what a person wrote and a lint can judge."""
        return {
            f"{section} {kind or ''}".strip(): " ".join(" ".join(literal for literal, _ in parts).split())
            for (section, kind), parts in self._find(language).texts.items()
        }

    def _write(
        self, *, language: str, when: datetime, location: str, level: Level, sender: str | None, not_you: str | None
    ) -> Iterator[str]:
        """Yield the long text, and then the short one, which is seldom needed."""
        found = self._find(language)
        locale = find_locale(language, found.name)
        section = "time" if level is Level.TIME else "place"
        kind = _kind(not_you)
        start = _start(sender, locale) if sender and level is Level.SENDER else ""
        values = {
            "location": tidy(location),
            "time": write_time(locale, when.hour, when.minute),
            "number": not_you or "",
        }
        for name, brief in ((section, False), (f"{section}.short", True)):
            values["date"] = write_date(locale, when.date(), brief=brief)
            yield start + _fill(found.texts[name, kind], values)

    def _find(self, language: str) -> Language:
        found = self._look_up(language)
        if found is None:
            raise Refused(Reason.LANGUAGE_UNKNOWN, "language", "there is no template for it")
        return found

    def _look_up(self, language: str) -> Language | None:
        """Look up a language as RFC 4647 does: drop subtags from the end."""
        name = language.lower()
        while name and name not in self._languages:
            name = name.rpartition("-")[0]
        return self._languages.get(name)


def _edition(languages: Mapping[str, Language]) -> str:
    """Name the texts of all languages together: the name of one would reveal a person's language."""
    texts = [
        [tag, section, kind or "", parts]
        for tag, language in sorted(languages.items())
        for (section, kind), parts in sorted(language.texts.items(), key=str)
    ]
    return hashlib.blake2b(msgspec.json.encode(texts), digest_size=8, person=b"rw-templates").hexdigest()


def _shortest(bodies: Iterable[str], edition: str = "") -> Draft:
    """Take the first text that fits one segment, else the first with the fewest."""
    drafts = []
    for body in bodies:
        drafts.append(Draft(body, measure(body).count, edition))
        if drafts[-1].segments == 1:
            break
    return min(drafts, key=lambda draft: draft.segments)


def _kind(not_you: str | None) -> str | None:
    """Choose the sentence for a person who got the text by mistake."""
    if not_you is None:
        return None
    if not_you == REPLY:
        return "reply"
    if _NUMBER.fullmatch(not_you):
        return "call"
    raise SettingsError("not_you: write reply, or a number to call such as +15005550006")


def _start(sender: str, locale: Locale) -> str:
    """Name the sender, on a line of its own if the text runs from right to left, which its letters could turn round."""
    return tidy(sender) + (":\n" if locale.text_direction == "rtl" else ": ")


def _fill(parts: Parts, values: Mapping[str, str]) -> str:
    """Put the values in; a value that ends in a full stop replaces that of the sentence."""
    texts = [""]
    for literal, name in parts:
        texts.append(literal[1:] if literal[:1] == "." and texts[-1][-1:] == "." else literal)
        if name is not None:
            texts.append(values[name])
    return "".join(texts)


def _spellings(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts in the order of the module's docstring; each is written only when it is asked for."""
    written = []
    for text in texts:
        written.append(text)
        yield text
    for text in written:
        if (spelt := plain(text)) is not None:
            yield spelt
