"""What is fuzzed: a function for each thing that parses foreign bytes, by name, with seeds; and what a finding is.

A finding is an exception that is neither ours nor documented, more than a second of work, memory that grows without a
bound, or a planted value that an error, a ``repr``, a log line or an answer repeats.
"""

import atexit
import functools
import logging
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import time_machine
from known import NOW

from reminder_worker.errors import Refused, ReminderError, SettingsError
from reminder_worker.logs import Formatter

FOUND = Path(__file__).parents[1] / "data" / "fuzz"  # what once failed, by target
NUMBER, PLACE = "+33612987654", "Quittenweg 8b"  # planted in seeds, and by mutation anywhere; no plain words
PLANTED = (NUMBER[1:], PLACE, "33639981234", "33612340015")  # the last two are those of other tests
SLOW = 1.0  # seconds of work
MOST_MEMORY = 200 * 1024  # KiB by which one input may have this process grow
LONGEST = 20_000  # bytes of an input
DEEP = 30_000  # brackets in the seeds that are nested


class Finding(Exception):
    """Something that must not be; the message says what and shows no more than the kind of an error."""


@dataclass(frozen=True)
class Target:
    """One thing that is fuzzed. ``raises`` are documented beside our own errors; ``quotes``: they may hold data."""

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    raises: tuple[type[Exception], ...] = ()
    quotes: bool = False
    longest: int = LONGEST
    runs: int = 40  # of mutants in ``make test``


TARGETS: dict[str, Target] = {}


def target(
    name: str,
    seeds: Callable[[], Iterable[bytes]],
    *raises: type[Exception],
    quotes: bool = False,
    longest: int = LONGEST,
    runs: int = 40,
) -> Callable[[Callable[[bytes], object]], Callable[[bytes], object]]:
    """Register a function: what it returns is what may be shown, for example in a log."""

    def register(run: Callable[[bytes], object]) -> Callable[[bytes], object]:
        TARGETS[name] = Target(name, run, seeds, raises, quotes, longest, runs)
        return run

    return register


def corpus(one: Target) -> Iterator[bytes]:
    """Yield the seeds, and what once failed."""
    with time_machine.travel(NOW):
        yield from one.seeds()
    yield from (path.read_bytes() for path in sorted((FOUND / one.name).glob("*")))


def examine(one: Target, data: bytes) -> None:
    """Run a target with one input. Raises Finding."""
    data = data[: one.longest]
    lines: list[str] = []
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with time_machine.travel(NOW), _listening(lines):
        shown = _run(one, data)
    took = time.process_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if took > SLOW:
        raise Finding(f"{one.name}: worked for {took:.1f} s on {len(data)} bytes")
    if grown > MOST_MEMORY:
        raise Finding(f"{one.name}: grew by {grown >> 10} MiB on {len(data)} bytes")
    for what, text in ((shown and "an error or a repr", shown), *(("a log line", line) for line in lines)):
        if holds(text):
            raise Finding(f"{one.name}: {what} repeats a planted value")


def holds(text: str) -> bool:
    """Tell whether a text repeats what was planted."""
    return any(planted in text for planted in PLANTED)


def _run(one: Target, data: bytes) -> str:
    """Return what could be shown of the outcome."""
    try:
        return repr(one.run(data))
    except (ReminderError, SettingsError) as error:
        return "\n".join(_words(error))
    except Finding:
        raise
    except one.raises as error:
        return "" if one.quotes else "\n".join(_words(error))
    except Exception as error:
        raise Finding(f"{one.name}: {type(error).__name__}") from error


def _words(error: BaseException | None) -> Iterator[str]:
    """Yield all that a traceback would say."""
    while error is not None:
        yield f"{error!r} {error} {error.__notes__ if hasattr(error, '__notes__') else ''}"
        if isinstance(error, Refused):
            yield error.field
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


class _Ear(logging.Handler):
    """Writes down all that would be logged at the lowest level; of our own events also what would be withheld."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines, self._formatter = lines, Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        own = record.name.startswith("reminder_worker")
        self._lines.append(self._formatter.format(record) + (f" {record.getMessage()} {vars(record)}" if own else ""))


@contextmanager
def _listening(lines: list[str]) -> Iterator[None]:
    ear, root, ours = _Ear(lines), logging.getLogger(), logging.getLogger("reminder_worker")
    level, own = root.level, ours.level
    root.addHandler(ear)
    ours.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(ear)
        root.setLevel(level)
        ours.setLevel(own)


# What several targets need


@functools.cache
def folder(name: str) -> Path:
    """Return where files are that are read, for as long as this process lives."""
    made = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    atexit.register(shutil.rmtree, made)
    return made


def nested() -> Iterator[bytes]:
    """Yield JSON that is deep: parsers differ in how they say that it is too deep."""
    yield b"[" * DEEP
    yield b'{"a":' * (DEEP // 5)
    yield b'{"a":' + b"[" * 3_000 + b"]" * 3_000 + b"}"


def texts(*lines: str) -> Callable[[], list[bytes]]:
    """Return seeds from texts."""
    return lambda: [line.encode("utf-8", "surrogatepass") for line in lines]


def decoded(data: bytes) -> str:
    """Return any text; also half characters, which JSON may bring."""
    return data.decode("utf-8", "surrogateescape")


def attempt(run: Callable[..., Any], *arguments: Any) -> Any:
    """Go on where ours refuse; what they say is looked at where a target does that alone."""
    with suppress(ReminderError, SettingsError):
        return run(*arguments)
    return None
