"""One HTTP answer, read with llhttp: whole within its bounds, or not at all.

The standard library parses a head as it parses a mail's: that took a fifteenth of all that a text costs.
"""

from http import HTTPStatus
from http.client import HTTPMessage
from typing import Any

import httptools

HEAD_LIMIT = 64 * 1024  # bytes besides the body
_PIECE = 16 * 1024  # bytes that are read at once


class Reading:
    """One answer; llhttp hands what it finds to the methods that begin with ``on``."""

    def __init__(self, limit: int) -> None:
        self.status = 0
        self.headers = HTTPMessage()
        self.body = bytearray()
        self.is_whole = False
        self.keeps = False  # the connection stays open
        self._limit = limit
        self._in_head = True
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)  # an old gateway's lines

    def read(self, line: Any) -> None:
        """Read all of it. Raises OSError, ValueError, HttpParserError or HttpParserUpgrade."""
        piece, count, left = bytearray(_PIECE), 1, self._limit + HEAD_LIMIT
        while not self.is_whole:
            count = line.recv_into(piece)
            left -= count
            if left < 0 or (count == 0 and not self._ends_with_connection()):
                raise ValueError
            self.is_whole = count == 0 or self._feed(bytes(memoryview(piece)[:count]))

    def _feed(self, data: bytes) -> bool:
        """Have a piece parsed; tell whether the answer has ended with it."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self.is_whole:
                raise
            self.keeps = False  # something follows that nobody asked for
        return self.is_whole

    def _ends_with_connection(self) -> bool:
        measured = self.headers.get("Content-Length") or self.headers.get("Transfer-Encoding")
        return not self._in_head and measured is None

    # The parser calls these; whatever they raise becomes an HttpParserError.

    def on_message_begin(self) -> None:
        """Begin, unless an answer has already ended: nobody asked for another."""
        if self.is_whole:
            raise ValueError
        self.headers, self._in_head = HTTPMessage(), True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head."""
        if self._in_head:
            self.headers[name.decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """End the head."""
        self._in_head = False
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self.body += body
        if len(self.body) > self._limit:
            raise ValueError

    def on_message_complete(self) -> None:
        """End, unless it only announced that an answer is on its way."""
        self.is_whole = self.status >= HTTPStatus.OK
        self._in_head = not self.is_whole
        self.keeps = self.is_whole and self._parser.should_keep_alive()
