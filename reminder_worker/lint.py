"""Checks labels and templates for what they disclose, and templates for their length."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

from reminder_worker import disclosure
from reminder_worker.drafting import Templates
from reminder_worker.errors import SettingsError
from reminder_worker.job import Level

TOO_LONG = "more_than_one_segment"
_SHAPES = frozenset({disclosure.ADDRESS_SIGN, disclosure.LINK, disclosure.LONG_NUMBER})  # a value may complete them


@dataclass(frozen=True, slots=True)
class Checked:
    """One text and the rule it breaks, if any; the text itself is not shown again."""

    line: int
    rule: str | None
    severity: str | None = None
    name: str = ""  # of a template's text


def run(texts: Iterable[str], locations: Path | None, templates: Path | None) -> Iterator[Checked]:
    """Check everything that was given, in order. Raises SettingsError for what cannot be read."""
    yield from _labels(texts)
    if locations is not None:
        yield from _labels(lines(locations, "--locations"))
    if templates is not None:
        yield from check_templates(Templates.load(templates))


def lines(path: Path, option: str) -> Iterator[str]:
    """Read one label a line; only a line feed ends one, because other breaks are what the lint has to find."""
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n").removesuffix("\r")
    except FileNotFoundError:
        raise SettingsError(f"{option}: there is no such file") from None
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{option}: cannot be read as UTF-8 text") from None


def _labels(labels: Iterable[str]) -> Iterator[Checked]:
    for line, label in enumerate(labels, 1):
        found = disclosure.find(label) if label.strip() else None
        yield Checked(line, found.rule if found else None, found.severity if found else None)


@lru_cache(maxsize=1)
def check_templates(templates: Templates) -> tuple[Checked, ...]:
    """Check the words of every language, what a phone shows of them, and that short texts fit one segment.

    The last result is remembered: processes that are forked after it do not read the same texts again.
    """
    return tuple(_templates(templates))


def _templates(templates: Templates) -> Iterator[Checked]:
    checks = [
        (f"{language} {name}", disclosure.find(words))
        for language in templates.languages
        for name, words in templates.words(language).items()
    ]
    for line, (name, found) in enumerate(checks, 1):
        yield Checked(line, found.rule if found else None, found.severity if found else None, name)
    for language, level in product(templates.languages, (Level.TIME, Level.PLACE)):
        shown = templates.preview(language, level)
        line += 1
        if shown["short"].segments > 1:
            yield Checked(line, TOO_LONG, "warn", f"{language} {level} short")
        for name in ("long", "short", "long, reply", "short, reply"):  # the others hold a number to call
            rule = disclosure.shape(shown[name].body)  # words have been reported already
            if rule in _SHAPES:
                yield Checked(line, rule, disclosure.Severity.REFUSE, f"{language} {level} {name}")
