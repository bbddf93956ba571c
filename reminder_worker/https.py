"""One HTTP call within one deadline: no retry, no redirect, no proxy, no decompression, a bounded answer.

Whether a request may have left decides what a failure means: before its first byte it is NotSent, from
then on Ambiguous. Nothing that passes here is logged, kept, or part of an error.

The limit: looking up a host's name (getaddrinfo) cannot be cut short, so a hanging name server holds a
thread until the system's resolver gives up. The deadline is checked again afterwards: nothing leaves late.
"""

import http.client
import ipaddress
import select
import ssl
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from reminder_worker import sockets
from reminder_worker.errors import Ambiguous, NotSent, Reason

ANSWER_LIMIT = 64 * 1024  # bytes
IDLE_LIMIT = 20.0  # seconds; below the idle time-out of usual load balancers, so that they seldom close first
KEPT_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, in full."""

    status: int
    headers: http.client.HTTPMessage = field(repr=False)
    body: bytes = field(repr=False)


class Site:
    """One base URL and its idle connections; safe to share between threads. ``public_only``: no network of ours."""

    def __init__(self, base_url: str, *, answer_limit: int = ANSWER_LIMIT, public_only: bool = False) -> None:
        self._url = urlsplit(check_url(base_url))
        self._answer_limit = answer_limit
        self._public_only = public_only
        self._tls = sockets.verifying() if self._url.scheme == "https" else None
        self._idle: deque[_Connection] = deque()
        self.close = weakref.finalize(self, _close_all, self._idle)

    def call(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None, deadline: float
    ) -> Answer:
        """Ask once and read the whole answer before ``deadline`` (on ``time.monotonic``).

        Raises NotSent or Ambiguous.
        """
        connection = self._prepare(method, path, headers, body, deadline)
        if connection is None:
            raise NotSent(Reason.NOT_SENT, left=False)
        answer = self._exchange(connection, body)
        if answer is None:
            raise Ambiguous
        return answer

    def _prepare(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, deadline: float
    ) -> "_Connection | None":
        """Connect and get a request ready; no byte of it leaves. None where that fails."""
        connection = self._take() or _Connection(self._url, self._tls, public_only=self._public_only)
        try:
            connection.begin(deadline)
            connection.putrequest(method, self._url.path.rstrip("/") + path)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
        except (OSError, ValueError, http.client.HTTPException):
            connection.close()
            return None
        return connection

    def _exchange(self, connection: "_Connection", body: bytes | None) -> Answer | None:
        """Let the request go and read the answer. None where no usable one came."""
        reusable = False
        try:
            connection.leave(body)
            with connection.getresponse() as response:
                content = response.read(self._answer_limit + 1)
                whole = not response.length and len(content) <= self._answer_limit and response.status >= http.client.OK
                reusable = whole and response.isclosed() and not response.will_close
        except Exception:  # noqa: BLE001 whatever went wrong: the request may have arrived
            return None
        finally:
            if reusable:
                self._put(connection)
            else:
                connection.close()
        return Answer(response.status, response.headers, content) if whole else None

    def _take(self) -> "_Connection | None":
        """Pick the connection used last that is still open."""
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
    """Accept a base URL whose traffic nobody can read on the way; raises ValueError, which does not repeat it."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL such as https://api.example.com")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, query or fragment")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError("must begin with https:// (plain http only to this machine)")
    if parts.port == 0 or not url.isascii() or any(character <= " " for character in url):
        raise ValueError("must be a URL of plain ASCII characters with a valid port")
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Connection(http.client.HTTPConnection):
    """One connection, opened explicitly: it never reconnects by itself."""

    auto_open = 0
    idle_since = 0.0
    sock: Any  # of ours, once it is open

    def __init__(self, url: SplitResult, tls: ssl.SSLContext | None, *, public_only: bool) -> None:
        self.default_port = http.client.HTTPS_PORT if tls else http.client.HTTP_PORT
        super().__init__(url.hostname or "", url.port)
        self._tls = tls
        self._public_only = public_only
        self._leaving = b""

    def begin(self, deadline: float) -> None:
        """Open, unless it is open, and let everything that follows end at ``deadline``."""
        if self.sock is None:
            self.sock = sockets.connect(self.host, self.port, deadline, self._tls, public_only=self._public_only)
        sockets.left(deadline)
        self.sock.deadline = deadline

    def send(self, data: Any) -> None:
        """Hold a part of a request back until ``leave``."""
        self._leaving += data

    def leave(self, body: bytes | None) -> None:
        """Let the request go, head and body in one: one packet, and one record of TLS."""
        self._leaving = b""
        self.endheaders(body)
        request, self._leaving = self._leaving, b""  # an idle connection keeps no text
        self.sock.sendall(request)

    def is_fresh(self) -> bool:
        """Say whether the connection can be used again; an idle one has nothing to read unless it was closed."""
        if time.monotonic() - self.idle_since > IDLE_LIMIT:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


def _close_all(idle: "deque[_Connection]") -> None:
    while idle:
        idle.pop().close()
