"""One client's connection: time limits for slow clients, size limits for greedy ones, a refusal for what is not HTTP.

llhttp reads the requests and uvicorn hands them on; either would wait without end, and take a head of any length. Two
servers on a request's way may disagree on where it ends, so a request that could be read in two ways is refused.
"""

import asyncio
import json

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from reminder_worker.problems import PROBLEM, problem_document

PATIENCE = 5.0  # seconds for a request's head or body to arrive, and for an answer to be taken
HEAD_LIMIT = 16 * 1024  # bytes
MOST_CRUMBS, CRUMB = 500, 64  # pieces of a body that may have any length; bytes on average, if there are more
MOST_WAITING = 100  # requests that may follow one that is not answered yet

_SAID = json.dumps(problem_document(400, "malformed", "request: is not valid HTTP", "request")).encode()
_MALFORMED = STATUS_LINE[400] + f"content-type: {PROBLEM}\r\ncontent-length: {len(_SAID)}\r\n".encode()
_MALFORMED += b"connection: close\r\n\r\n" + _SAID


class Connection(HttpToolsProtocol):
    """Drops a client that sends nothing, sends half a request, or does not take its answer."""

    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _fed = 0  # bytes since the last request ended
    _pieces = _bytes = 0  # of a body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head that has begun; a body is read elsewhere, against a clock of its own."""
        self._unset_keepalive_if_required()
        self._fed += len(data)
        try:
            self._read(data)
        except httptools.HttpParserError as error:
            if _is_fault(error):
                raise  # the connection ends without an answer: the client may repeat a sound request
            self._refuse()
        if self._between_requests() and not self.transport.is_closing():
            self._expect_head()
        else:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers: one that is still to go off would keep the whole connection in memory."""
        super().connection_lost(exc)
        self._expect_nothing()
        self._unset_keepalive_if_required()

    def _read(self, data: bytes) -> None:
        """Read requests. Nothing is upgraded: a request for it, such as from Java's client, is read without that."""
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as asked:  # the parser would not read its body
                data = self._head_without_upgrade() + data[asked.args[0] :]
        if self._in_head and self._fed > HEAD_LIMIT:
            raise httptools.HttpParserError("a long head")

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            raise httptools.HttpParserError("no proxy")
        self.parser = httptools.HttpRequestParser(self)
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version.encode(), b"".join(lines))

    # What the parser calls; what is raised here becomes an HttpParserError.

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head, self._pieces, self._bytes = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; ignore those that follow a body."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._in_head = False
        if self.parser.should_upgrade():  # it is read again, without the upgrade
            return
        if not self._is_plain() or len(self.pipeline) >= MOST_WAITING:
            raise httptools.HttpParserError("no HTTP that all understand in the same way")
        super().on_headers_complete()

    def _is_plain(self) -> bool:
        hosts = sum(name == b"host" for name, _ in self.headers)
        coded = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if self.parser.get_http_version() == "1.0":
            return hosts <= 1 and not coded and self.url.startswith(b"/")
        return hosts == 1 and coded in ([], [b"chunked"]) and self.url.startswith(b"/")

    def on_body(self, body: bytes) -> None:
        """Refuse a body in crumbs: each crumb costs as much as a whole body."""
        self._pieces, self._bytes = self._pieces + 1, self._bytes + len(body)
        if self._pieces > MOST_CRUMBS and self._bytes < self._pieces * CRUMB:
            raise httptools.HttpParserError("crumbs")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._fed = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Limit the wait until the answer is taken; closing would wait for that without end."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(PATIENCE, self._unless_taken)
        super().on_response_complete()

    def _refuse(self) -> None:
        """Answer what is not HTTP, unless another answer is due first."""
        cycle = self.cycle
        is_idle = cycle is None or (cycle.response_complete and not cycle.more_body)
        if is_idle or not (self.pipeline or cycle.response_started):
            self.transport.write(_MALFORMED)
        if cycle is not None:
            cycle.disconnected = True  # a request in progress has no client left to answer
        self.transport.close()
        if self.transport.get_write_buffer_size():  # otherwise no timer may keep what was sent in memory
            self.loop.call_later(PATIENCE, self._unless_taken)

    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.close)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _unless_taken(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()


def _is_fault(error: httptools.HttpParserError) -> bool:
    """Return whether something failed here, such as memory, and not the request: the parser reports both as errors."""
    if not isinstance(error, httptools.HttpParserCallbackError):
        return False
    return not isinstance(error.__context__, httptools.HttpParserError | ValueError)
