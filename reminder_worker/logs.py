"""Logs: a line for each event, made only of our own words and of listed fields; JSON, or for people to read.

What other libraries log may hold a number or a text, and so may any exception: only where it happened and its kind
are written. What is left out is counted, and the line says so.
"""

import io
import json
import logging
import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType

from reminder_worker.vocabulary import EVENTS

FIELDS = (
    "reminder", "provider", "state", "reason", "error", "count", "status", "code", "setting", "act", "user",
    "sudo_user", "method", "route", "ms",
)  # fmt: skip
OURS = "reminder_worker"
WITHHELD = "withheld"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_WORD = re.compile(r"[A-Za-z0-9_./:{}-]{1,64}", re.ASCII)
_MOST_DIGITS = 6  # fewer than in a phone number or a date
_MORE_DIGITS = re.compile(f"(?:[^0-9]*[0-9]){{{_MOST_DIGITS + 1}}}")
_ALLOWED = frozenset(FIELDS)
_NOT_EXTRA = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}
_EVENT_WIDTH = max(map(len, EVENTS))
_STDERR = 2
_PATIENCE = 500  # milliseconds that the first line to find the pipe full waits for its reader

_reminder: ContextVar[str | None] = ContextVar("reminder", default=None)

log = logging.getLogger(__name__)


@contextmanager
def about(reminder: str) -> Iterator[None]:
    """Name the reminder, by its opaque name, in each line that is written inside this context."""
    token = _reminder.set(reminder)
    try:
        yield
    finally:
        _reminder.reset(token)


def shown(record: logging.LogRecord) -> tuple[dict[str, object], dict[str, int]]:
    """Return all of a record that may be written, and how many messages, fields and values may not.

    Only this function decides that, whatever a line looks like.
    """
    ours = record.name.partition(".")[0] == OURS
    line: dict[str, object] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": plain(record.levelname.lower()),
        "event": record.msg if ours and _is_event(record.msg) else "library",
        "where": f"{record.module}:{record.lineno}",
        "pid": os.getpid(),
    }
    lost = {"message": int(line["event"] == "library"), "field": 0}
    given: dict[str, object] = _given(record, lost) if ours else {"logger": record.name}
    if record.exc_info and record.exc_info[0] is not None:
        given["error"] = record.exc_info[0].__name__
        line["raised"] = raised(record.exc_info[2])
    # A setting names a platform, and no line tells whose reminder it is. None: it is about no reminder in particular.
    if "setting" not in given and getattr(record, "reminder", "") is not None:
        given = {"reminder": _reminder.get()} | given
    fields = {name: plain(value) for name, value in given.items() if value is not None}
    lost["value"] = sum(value == WITHHELD != given[name] for name, value in fields.items())
    total = sum(lost.values())
    return line | fields | ({WITHHELD: total} if total else {}), lost


def _given(record: logging.LogRecord, lost: dict[str, int]) -> dict[str, object]:
    """Return the fields of an event that are on the list."""
    extra = record.__dict__.keys() - _NOT_EXTRA
    lost["field"] = len(extra - _ALLOWED) + len(record.args or ())
    return {name: record.__dict__[name] for name in FIELDS if name in extra and record.__dict__[name] is not None}


def _is_event(message: object) -> bool:
    return isinstance(message, str) and message in EVENTS


def plain(value: object) -> object:
    """Return a single word, or a number too small to be a phone's, as it is; withhold the rest, which may be data."""
    if isinstance(value, int | float):
        return value if abs(value) < 10**_MOST_DIGITS else WITHHELD
    if isinstance(value, str) and _WORD.fullmatch(value) and not _MORE_DIGITS.match(value):
        return value
    return WITHHELD


def raised(trace: TracebackType | None) -> str:
    """Return the module and line that raised an exception."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).stem}:{trace.tb_lineno}" if trace else "unknown"


def console(line: dict[str, object], *, coloured: bool = False) -> str:
    """Write a line for people: time (UTC), level, event, and the rest as it comes."""
    first = "at", "level", "event"
    at, level, event = (str(line[name]) for name in first)
    rest = " ".join(f"{name}={value}" for name, value in line.items() if name not in first)
    start = f"{at[11:23]} {level:<8} {event:<{_EVENT_WIDTH}}"
    return f"\033[{_COLOURS.get(level, '0')}m{start}\033[0m {rest}" if coloured else f"{start} {rest}"


def renderer(form: str | None = None) -> Callable[[dict[str, object]], str]:
    """Return what writes lines as ``json`` or for a ``console``, which is the default only on a terminal."""
    terminal = os.isatty(_STDERR)
    if (form or ("console" if terminal else "json")) == "json":
        return json.dumps
    return partial(console, coloured=terminal and not os.environ.get("NO_COLOR"))


class Formatter(logging.Formatter):
    """Formats a record without anything that may not be written."""

    def __init__(self, form: str | None = "json") -> None:
        super().__init__()
        self.render = renderer(form)

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        return self.render(shown(record)[0])


class _OneWrite(logging.Handler):
    """Writes a line in one call, so that lines of several processes do not run together.

    Not to ``sys.stderr``: under ``dramatiq`` that is a pipe to the first process, which would write each line again.
    """

    def __init__(self, render: Callable[[dict[str, object]], str]) -> None:
        super().__init__()
        self._render = render
        self._is_stuck = False
        self._is_cut = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line, lost = shown(record)
            took = self._write(f"{self._render(line)}\n".encode())
            _count(lost if took else {"line": 1})
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end a delivery
            self.handleError(record)

    def _write(self, line: bytes) -> bool:
        """Write a line at once, or soon, and return whether it was taken; after one that was not, none waits.

        The reader of a pipe may stand still: all threads would wait for it, and no text would go out. A disk that fills
        up takes half of a line, of this process or of one beside it: the next line begins with a line break.
        """
        way = select.poll()
        way.register(_STDERR, select.POLLOUT)
        self._is_stuck = not way.poll(0 if self._is_stuck else _PATIENCE)
        if self._is_stuck:
            return False
        whole = b"\n" + line if self._is_cut else line
        self._is_cut = True
        with suppress(OSError):  # the reader is gone, or a disk is full
            self._is_cut = os.write(_STDERR, whole) < len(whole)
        return not self._is_cut


def _count(lost: dict[str, int]) -> None:
    if any(lost.values()):
        from reminder_worker import metrics  # noqa: PLC0415 - commands with nothing to count start without it

        for what in filter(lost.get, lost):
            metrics.count(metrics.FIELDS_DROPPED, lost[what], what=what)


def hold_streams() -> None:
    """Open the standard streams that this process was started without (``2>&-``), before it opens anything else.

    Otherwise a connection to the store, or a file, would get a stream's number, and all log lines would go there.
    """
    for number in range(_STDERR + 1):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


class Unheard(io.TextIOBase):
    """Swallows what a plug-in prints, or a library that writes its own log: it may be a number. It is counted."""

    def write(self, text: str) -> int:
        """Take a text and write it nowhere."""
        _count({"print": int(not text.isspace())})
        return len(text)


def set_up(level: str = "info", form: str | None = None) -> None:
    """Make this the only way to log, for our own events and for the warnings and crashes of all other code.

    Call it before the settings are read, since lines come before that, and again with what the settings say.
    """
    logging.raiseExceptions = False  # its complaints would print the record's arguments
    root = logging.getLogger()
    root.handlers[:] = [_OneWrite(renderer(form))]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(_LEVELS[level])
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: log.critical("crashed", exc_info=(kind, error, trace))
    sys.unraisablehook = _report
    threading.excepthook = _report


def _report(crash: "sys.UnraisableHookArgs | threading.ExceptHookArgs") -> None:
    """Log what ended a thread or was raised where nobody can catch it."""
    error = crash.exc_value
    if error is not None and not isinstance(error, SystemExit):
        log.error("crashed", exc_info=(crash.exc_type, error, crash.exc_traceback))
