"""Logs: one JSON object a line, made only of our own event names and of fields on a list.

What other libraries log may hold a number or a text, and so may any exception: of those only where it happened
and of which kind it is are written.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

FIELDS = ("process", "provider", "state", "reason", "error", "count", "seconds", "database", "signal")
OURS = "reminder_worker"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class Formatter(logging.Formatter):
    """Write a record without anything that was not meant to be written."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        ours = record.name.partition(".")[0] == OURS
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.msg if ours and record.msg.isidentifier() else "library",
            "where": f"{record.module}:{record.lineno}",
            "pid": os.getpid(),
        }
        if ours:
            line |= {name: record.__dict__[name] for name in FIELDS if record.__dict__.get(name) is not None}
        else:
            line["logger"] = record.name
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, default=lambda value: type(value).__name__)


class _OneWrite(logging.Handler):
    """Write a line in one call, so that lines of several processes do not run together."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.write(sys.stderr.fileno(), f"{self.format(record)}\n".encode())
        except (OSError, ValueError):
            self.handleError(record)


def set_up(level: str = "info") -> None:
    """Make this the only way to log, for our own events and for everybody else's warnings."""
    logging.raiseExceptions = False  # its complaints would print the record's arguments
    handler = _OneWrite()
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(_LEVELS[level])
