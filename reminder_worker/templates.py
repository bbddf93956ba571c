"""The files with the words: ``templates/<language>/reminder.txt``, read and checked before anything is sent."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from babel import UnknownLocaleError

from reminder_worker.dates import find_locale
from reminder_worker.errors import SettingsError
from reminder_worker.segments import tidy

_FIELDS = {
    "place": ("date", "time", "location", "not_you"),
    "time": ("date", "time", "not_you"),
    "not_you.reply": (),
    "not_you.call": ("number",),
}
HELP = "help"  # the answer to a person who asks what this number is
_SECTIONS = {name + size: Counter(fields) for name, fields in _FIELDS.items() for size in ("", ".short")} | {
    HELP: Counter[str]()
}
_NAMES_STOP = ("not_you.reply", "not_you.reply.short", HELP)
_HEADING = re.compile(r"\[(.*)\]")
_WORD = re.compile(r"[a-z_.]{1,30}")

Parts = tuple[tuple[str, str | None], ...]  # literal text and the placeholder after it


@dataclass(frozen=True, slots=True)
class Language:
    """The checked texts of one file, by section and the kind of ``not_you`` sentence in them."""

    name: str
    texts: Mapping[tuple[str, str | None], Parts]


def read_all(folder: Path | None) -> dict[str, Language]:
    """Read the shipped languages, and those of ``folder``, which win; by tag in lower case. Raises SettingsError."""
    files = _files(shipped())
    if folder is not None:
        files |= _files(folder)
    return {tag: _read(path) for tag, path in files.items()}


def shipped(package: Path = Path(__file__).parent) -> Path:
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


def _read(path: Path) -> Language:
    """Read and check one file; every error names the file and the section, never a text."""
    name = path.parent.name
    where = f"{name}/{path.name}"
    try:
        find_locale(name, name)
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
    for section in _NAMES_STOP:
        if "STOP" not in sections[section]:
            raise SettingsError(f"{where} [{section}]: must name the word STOP")
    return Language(name, _assemble(sections))


def _split(where: str, lines: list[str]) -> dict[str, str]:
    """Cut a file at its headings; empty lines and comments drop out, other lines stay lines."""
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


def _assemble(sections: Mapping[str, str]) -> dict[tuple[str, str | None], Parts]:
    """Put each ``not_you`` sentence into each text once, and the answer to HELP as it is."""
    texts: dict[tuple[str, str | None], Parts] = {(HELP, None): ((sections[HELP], None),)}
    for section in ("place", "time"):
        for size in ("", ".short"):
            for kind in (None, "reply", "call"):
                sentence = sections[f"not_you.{kind}{size}"] if kind else ""
                lines = sections[section + size].replace("{not_you}", sentence).split("\n")
                text = "\n".join(" ".join(line.split()) for line in lines if line.strip())
                texts[section + size, kind] = tuple((literal, name) for literal, name, _, _ in Formatter().parse(text))
    return texts
