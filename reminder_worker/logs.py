"""Logs: one JSON object a line, made only of our own event names and of fields on a list.

What other libraries log may hold a number or a text, and so may any exception: of those only where it happened
and of which kind it is are written.
"""

import json
import logging
import os
import re
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

FIELDS = ("provider", "state", "reason", "error", "count", "status", "code", "act", "user", "sudo_user", "reminder")
OURS = "reminder_worker"
WITHHELD = "withheld"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_EVENT = re.compile(r"[a-z][a-z_]{0,39}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_./:-]{1,64}", re.ASCII)
_MOST_DIGITS = 6  # fewer than a phone number or a date has

log = logging.getLogger(__name__)


class Formatter(logging.Formatter):
    """Write a record without anything that was not meant to be written."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        ours = record.name.partition(".")[0] == OURS
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.msg if ours and _is_event(record.msg) else "library",
            "where": f"{record.module}:{record.lineno}",
            "pid": os.getpid(),
        }
        if ours:
            line |= {name: plain(record.__dict__[name]) for name in FIELDS if record.__dict__.get(name) is not None}
        else:
            line["logger"] = plain(record.name)
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = plain(record.exc_info[0].__name__)
            line["raised"] = raised(record.exc_info[2])
        return json.dumps(line)


def _is_event(message: object) -> bool:
    return isinstance(message, str) and _EVENT.fullmatch(message) is not None


def plain(value: object) -> object:
    """Return a single word, or a number too small to be a phone's, as it is; anything else may be data."""
    if isinstance(value, int | float):
        return value if abs(value) < 10**_MOST_DIGITS else WITHHELD
    if isinstance(value, str) and _WORD.fullmatch(value) and sum(map(str.isdigit, value)) <= _MOST_DIGITS:
        return value
    return WITHHELD


def raised(trace: TracebackType | None) -> str:
    """Return the module and line that raised."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).stem}:{trace.tb_lineno}" if trace else "unknown"


class _OneWrite(logging.Handler):
    """Write a line in one call, so that lines of several processes do not run together.

    Not to the file descriptor: under ``dramatiq`` stderr is a pipe whose messages carry their length.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end a delivery
            self.handleError(record)


def set_up(level: str = "info") -> None:
    """Make this the only way to log, for our own events and for everybody else's warnings and crashes."""
    logging.raiseExceptions = False  # its complaints would print the record's arguments
    handler = _OneWrite()
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
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
