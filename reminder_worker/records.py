"""Records that a platform hands over as JSON Lines: read one by one, of any number, in constant memory."""

import codecs
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from reminder_worker.errors import Reason, Refused

LONGEST = 16_384  # bytes of one line


def read(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | Refused]]:
    """Yield each line's number with its fields, or with why it cannot be read; blank lines are passed over."""
    number = 0
    while line := stream.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST and not line.endswith(b"\n"):
            _skip_rest(stream)
            yield number, Refused(Reason.MALFORMED, "line", f"is longer than {LONGEST} bytes")
        elif line.strip():
            yield number, _fields(line.removeprefix(codecs.BOM_UTF8))  # some editors write one


def _skip_rest(stream: BinaryIO) -> None:
    while (part := stream.readline(LONGEST)) and not part.endswith(b"\n"):
        pass


def _fields(line: bytes) -> dict[str, Any] | Refused:
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = None
    return fields if isinstance(fields, dict) else Refused(Reason.MALFORMED, "line", "is not a JSON object")
