"""JSON Lines, made for this program: nothing is left behind here, and an unknown field is refused by name."""

import codecs
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from reminder_worker.errors import Reason, Refused
from reminder_worker.records import ALL_MATTER, Defaults, Left, Record
from reminder_worker.records.lines import Lines


class Reader:
    """Reads any number of lines in constant memory; blank ones are passed over."""

    passes_over = ALL_MATTER

    def __init__(self, source: BinaryIO, _: Defaults) -> None:
        self.left = Left()
        self._lines = Lines(source)

    @property
    def done(self) -> int:
        """How many bytes have been read."""
        return self._lines.done

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        for number, line in self._lines:
            if self._lines.is_cut(line):
                yield f"line {number}", self._lines.too_long()
            elif line.strip():
                yield f"line {number}", _fields(line.removeprefix(codecs.BOM_UTF8))  # some editors write one


def _fields(line: bytes) -> dict[str, Any] | Refused:
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = None
    return fields if isinstance(fields, dict) else Refused(Reason.MALFORMED, "line", "is not a JSON object")
