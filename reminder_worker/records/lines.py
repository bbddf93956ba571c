"""Lines of a stream, one by one; the rest of a line that is too long is thrown away, so memory has a limit."""

from collections.abc import Iterator
from typing import BinaryIO

from reminder_worker.errors import Reason, Refused

LONGEST = 16_384  # bytes of one line


class Lines:
    """Yields each line's number and bytes; one that was cut has more than ``longest`` bytes and no line end."""

    def __init__(self, stream: BinaryIO, longest: int = LONGEST) -> None:
        self.done = 0  # bytes
        self.longest = longest
        self._stream = stream

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        number = 0
        while line := self._stream.readline(self.longest + 1):
            number += 1
            self.done += len(line)
            if self.is_cut(line):
                self._skip_rest()
            yield number, line

    def is_cut(self, line: bytes) -> bool:
        """Tell whether a line was longer than allowed."""
        return len(line) > self.longest and not line.endswith(b"\n")

    def too_long(self) -> Refused:
        """Return the refusal for such a line."""
        return Refused(Reason.MALFORMED, "line", f"is longer than {self.longest} bytes")

    def _skip_rest(self) -> None:
        while part := self._stream.readline(self.longest):
            self.done += len(part)
            if part.endswith(b"\n"):
                return
