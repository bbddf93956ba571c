"""What is wrong with an installation: where, why it matters and how to mend it; never a value or a secret."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TypeVar

from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import is_private

T = TypeVar("T")


class Grade(StrEnum):
    """How bad a finding is."""

    UNSAFE = "unsafe"  # production does not start with it
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend; holds no personal data and no secret."""

    grade: Grade
    code: str  # one word, for logs
    what: str
    why: str
    mend: str


unsafe = partial(Finding, Grade.UNSAFE)


def check_private(what: str, path: Path, why: str) -> Iterator[Finding]:
    """Check that other users cannot read a private file."""
    if path.is_file() and not is_private(path):
        yield unsafe("readable_by_others", f"{what} can be read by others", why, f"run: chmod 600 {path}")


def try_to_load(
    what: str, load: Callable[[], T], check: Callable[[T], Iterator[Finding]] = lambda _: iter(())
) -> Iterator[Finding]:
    """Load something and check it; report a failure to load as a finding."""
    try:
        loaded = load()
    except SettingsError as error:
        yield unsafe(
            "unusable",
            str(error),
            f"{what} cannot be used, and no process that needs this starts",
            "look at the setting or the file it names, and correct it",
        )
    else:
        yield from check(loaded)
