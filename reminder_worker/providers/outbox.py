"""A provider that reaches no phone: it appends each text to a file, for development, demonstrations and tests.

The file holds numbers and texts in clear (mode 0600); production refuses this provider.
Nothing is synced to disk: a text survives the death of a process, not of the machine.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from pydantic import Field

from reminder_worker.errors import NotSent, Reason, SettingsError
from reminder_worker.providers import Capabilities, Provider, Sent, Table, Text, read_table


class _Settings(Table):
    path: Path = Field(description="the file that texts are written to; created if missing (0600)")


class _Line(msgspec.Struct):
    """What ``find`` reads of a line; the number and the text are skipped."""

    reference: str
    segments: int


_DECODE = msgspec.json.Decoder(_Line).decode


class Outbox(Provider):
    """One JSON line per text; several processes may append to one file."""

    capabilities = Capabilities(finds_by_reference=True, reaches_phones=False, settles_within=timedelta(0))

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        self.name = name
        self._path = read_table(_Settings, name, table).path
        self._index = _Index(self._path)
        try:
            os.close(_open(self._path))
        except OSError:
            raise SettingsError(f"providers.{name}.path: this file cannot be written") from None

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Append the text with one write; a text that is not there in full was not sent."""
        if time.monotonic() >= deadline or not self._append(_line(text)):
            raise NotSent(Reason.NOT_SENT)
        return _sent(text.reference, text.segments)

    def find(self, reference: str) -> Sent | None:
        """Look up a text by its reference."""
        segments = self._index.segments(reference)
        return None if segments is None else _sent(reference, segments)

    def _append(self, line: bytes) -> bool:
        try:
            file = _open(self._path)
            try:
                whole = os.write(file, line) == len(line)
                if not whole:  # the disk is full: a torn line must not swallow the next one
                    os.write(file, b"\n")
                return whole
            finally:
                os.close(file)
        except OSError:
            return False


class _Index:
    """The references in the file; each look-up reads only what was appended since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = (0, 0)  # device and inode
        self._offset = 0
        self._segments: dict[str, int] = {}

    def segments(self, reference: str) -> int | None:
        with self._lock:
            self._catch_up()
            return self._segments.get(reference)

    def _catch_up(self) -> None:
        with os.fdopen(_open(self._path), "rb") as file:  # a file that was removed counts as empty
            status = os.fstat(file.fileno())
            if self._file != (status.st_dev, status.st_ino) or status.st_size < self._offset:
                self._file, self._offset, self._segments = (status.st_dev, status.st_ino), 0, {}
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):  # torn, or still being written: look again next time
                    return
                self._offset += len(line)
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            entry = _DECODE(line)
        except msgspec.DecodeError:  # torn by a crash or a full disk: such a text was never sent
            return
        self._segments[entry.reference] = entry.segments


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)


def _line(text: Text) -> bytes:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    entry = {"to": text.to, "text": text.body, "reference": text.reference, "segments": text.segments, "at": at}
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _sent(reference: str, segments: int) -> Sent:
    return Sent(provider_message_id=f"outbox-{reference}", segments=segments)
