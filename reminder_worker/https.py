"""One HTTP call within one deadline: no retry, no redirect, no proxy, no decompression, a bounded answer.

Whether a request may have left decides what a failure means: before its first byte it is NotSent, from
then on Ambiguous. Nothing that passes here is logged, kept, or part of an error.

The limit: looking up a host's name (getaddrinfo) cannot be cut short, so a hanging name server holds a
thread until the system's resolver gives up. The deadline is checked again afterwards: nothing leaves late.
"""

import ipaddress
import re
import select
import ssl
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPMessage
from typing import Any
from urllib.parse import SplitResult, urlsplit

from reminder_worker import sockets
from reminder_worker.errors import Ambiguous, NotSent, Reason
from reminder_worker.reading import Reading

ANSWER_LIMIT = 64 * 1024  # bytes
IDLE_LIMIT = 20.0  # seconds; below the idle time-out of usual load balancers, so that they seldom close first
KEPT_CONNECTIONS = 64
NO_URL = "must be a URL such as https://api.example.com"
_LINE = re.compile("[\t\x20-\x7e\x80-\xff]+")  # of a request's head: with a line break it would be two of them
_FIRST = re.compile("[!-~]+ [!-~]+ HTTP/1.1")
_NAME = re.compile("[!-9;-~]+")  # of a header: no colon, no space


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, in full."""

    status: int
    headers: HTTPMessage = field(repr=False)
    body: bytes = field(repr=False)


class Site:
    """One base URL and its idle connections; safe to share between threads. ``public_only``: no network of ours."""

    def __init__(self, base_url: str, *, answer_limit: int = ANSWER_LIMIT, public_only: bool = False) -> None:
        self._url = urlsplit(check_url(base_url))
        self._answer_limit = answer_limit
        self._public_only = public_only
        self._tls = sockets.verifying_in_time() if self._url.scheme == "https" else None
        self._idle: deque[_Connection] = deque()
        self.close = weakref.finalize(self, _close_all, self._idle)

    def call(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None, deadline: float
    ) -> Answer:
        """Ask once and read the whole answer before ``deadline`` (on ``time.monotonic``).

        Raises NotSent or Ambiguous.
        """
        connection, request = self._prepare(method, path, headers, body, deadline)
        if connection is None:
            raise NotSent(Reason.NOT_SENT, left=False)
        answer = self._exchange(connection, request)
        if answer is None:
            raise Ambiguous
        return answer

    def _prepare(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> tuple["_Connection | None", bytes]:
        """Connect and write a request, of which no byte leaves yet. Return no connection if that fails."""
        connection = self._take() or _Connection(self._url, self._tls, public_only=self._public_only)
        try:
            connection.begin(deadline)
            return connection, self._written(method, path, headers, body)
        except (OSError, ValueError):
            connection.close()
            return None, b""

    def _written(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """Write a request, head and body in one: one packet, and one record of TLS. Raises ValueError."""
        first = f"{method} {self._url.path.rstrip('/')}{path} HTTP/1.1"
        lines = [first, f"Host: {self._url.netloc}"]
        lines += ["Accept-Encoding: identity", *(f"{name}: {value}" for name, value in headers.items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if not (_FIRST.fullmatch(first) and all(map(_NAME.fullmatch, headers)) and all(map(_LINE.fullmatch, lines))):
            raise ValueError
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")

    def _exchange(self, connection: "_Connection", request: bytes) -> Answer | None:
        """Send the request and read the answer. Return None if no usable one came."""
        reading = Reading(self._answer_limit)
        try:
            connection.line.sendall(request)
            reading.read(connection.line)
        except Exception:  # noqa: BLE001 - whatever went wrong, the request may have arrived
            return None
        finally:
            if reading.is_whole and reading.keeps:
                self._put(connection)
            else:
                connection.close()
        return Answer(reading.status, reading.headers, bytes(reading.body))

    def _take(self) -> "_Connection | None":
        """Take the most recently used connection that is still open, if there is one."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.is_fresh():
                return connection
            connection.close()
        return None

    def _put(self, connection: "_Connection") -> None:
        connection.idle_since = time.monotonic()
        if len(self._idle) < KEPT_CONNECTIONS and self.close.alive:
            self._idle.append(connection)
        else:
            connection.close()


def check_url(url: str) -> str:
    """Accept a base URL whose traffic nobody can read on the way. Raises ValueError, which does not repeat it."""
    parts = split_url(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(NO_URL)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, query or fragment")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError("must begin with https:// (plain http only to this machine)")
    if parts.port == 0 or not url.isascii() or any(character <= " " for character in url):
        raise ValueError("must be a URL of plain ASCII characters with a valid port")
    return url.rstrip("/")


def split_url(url: str) -> SplitResult:
    """Split a URL and check its port. Raises ValueError in words of ours: urllib's repeat a part of the URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # an invalid port is noticed only here
    except ValueError:
        raise ValueError(NO_URL) from None
    return parts


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Connection:
    """One connection, opened explicitly; it never reconnects by itself."""

    idle_since = 0.0
    line: Any = None  # from ``sockets``, once it is open

    def __init__(self, url: SplitResult, tls: ssl.SSLContext | None, *, public_only: bool) -> None:
        self._host = url.hostname or ""
        self._port = url.port or (443 if tls else 80)
        self._tls = tls
        self._public_only = public_only

    def begin(self, deadline: float) -> None:
        """Open the connection, unless it is open, and let everything that follows end at ``deadline``."""
        if self.line is None:
            self.line = sockets.connect(self._host, self._port, deadline, self._tls, public_only=self._public_only)
        sockets.left(deadline)
        self.line.deadline = deadline

    def is_fresh(self) -> bool:
        """Return whether the connection can be used again; an idle one has nothing to read unless it was closed."""
        if time.monotonic() - self.idle_since > IDLE_LIMIT:
            return False
        poll = select.poll()
        poll.register(self.line, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close the connection, if it is open."""
        line, self.line = self.line, None
        if line is not None:
            line.close()


def _close_all(idle: "deque[_Connection]") -> None:
    while idle:
        idle.pop().close()
