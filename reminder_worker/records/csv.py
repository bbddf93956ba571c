"""CSV exports: columns with our names are taken, all others are left behind and counted.

The people who export cannot always choose the columns. The parser splits off the cells of columns that are not ours,
and nothing looks at them.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from reminder_worker.errors import Reason, Refused
from reminder_worker.records import ALL_MATTER, OTHERS, Defaults, Left, Record
from reminder_worker.records.lines import Lines

DELIMITERS = ",;\t"
COLUMNS = frozenset({"reference", "time", "location", "phone", "language", "leads", "pointer"})
_NEEDED = "reference", "time"  # the rest may be given once for all, or in one of two ways
_DAMAGE = re.compile("[\udc80-\udcff]")  # what bytes that are not UTF-8 become; no text of UTF-8 holds it
_DAMAGED_LINE = "\udcff\n"


class Reader:
    """Reads any number of rows in constant memory."""

    passes_over = ALL_MATTER

    def __init__(self, source: BinaryIO, _: Defaults) -> None:
        self.left = Left()
        self._lines = Lines(source)
        self._number = 0  # of the last line that was read

    @property
    def done(self) -> int:
        """How many bytes have been read."""
        return self._lines.done

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        texts = self._texts()
        first = next((text for text in texts if text.strip()), "")
        delimiter, columns = _columns(first)
        if not first:
            return
        if lacking := _lacking(columns):
            yield f"line {self._number}", lacking
            return
        rows = csv.reader(texts, delimiter=delimiter)
        while True:
            start = self._number + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error:
                yield f"line {start}", Refused(Reason.MALFORMED, "line", "is not a row of CSV")
                continue
            if any(row):
                yield f"line {start}", self._record(columns, row)

    def _texts(self) -> Iterator[str]:
        """Decode line by line, so that a damaged line spoils only itself."""
        for number, line in self._lines:
            self._number = number
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
            yield _DAMAGED_LINE if self._lines.is_cut(line) else text

    def _record(self, columns: Sequence[str], row: Sequence[str]) -> Record:
        if _DAMAGE.search("".join(row)):
            return Refused(Reason.MALFORMED, "line", "is not UTF-8, or too long")
        fields: dict[str, Any] = {}
        for name, cell in zip(columns, row, strict=False):
            if name not in COLUMNS:
                self.left.count(name)
            elif cell.strip():
                fields[name] = cell.split() if name == "leads" else cell.strip()
        if len(row) > len(columns):
            self.left.count(OTHERS, times=len(row) - len(columns))
        return fields


def _columns(header: str) -> tuple[str, list[str]]:
    """Find the delimiter that yields most of our columns, and the columns' names, ours in lower case."""
    best = max(DELIMITERS, key=lambda sign: len(COLUMNS & set(_names(header, sign))))
    return best, _names(header, best)


def _names(header: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([header], delimiter=delimiter), [])
    except csv.Error:
        row = []
    names = [name.strip() for name in row]
    return [name.lower() if name.lower() in COLUMNS else name for name in names]


def _lacking(columns: Sequence[str]) -> Refused | None:
    for name in _NEEDED:
        if name not in columns:
            return Refused(Reason.MISSING_FIELD, name, "the first line names no such column")
    for name in COLUMNS:
        if columns.count(name) > 1:
            return Refused(Reason.MALFORMED, name, "the first line names this column twice")
    return None
