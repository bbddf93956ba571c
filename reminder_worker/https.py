"""One HTTP call within one deadline: no retry, no redirect, no proxy, no decompression, a bounded answer.

Whether a request may have left decides what a failure means: before its first byte it is NotSent, from
then on Ambiguous. Nothing that passes here is logged, kept, or part of an error.

The limit: looking up a host's name (getaddrinfo) cannot be cut short, so a hanging name server holds a
thread until the system's resolver gives up. The deadline is checked again afterwards: nothing leaves late.
"""

import http.client
import ipaddress
import selectors
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from reminder_worker.addresses import is_public
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
        self._tls = _tls() if self._url.scheme == "https" else None
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
            connection.endheaders(body)
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


def _tls() -> ssl.SSLContext:
    """Verify name and certificate against the system's authorities (``SSL_CERT_FILE`` is honoured by OpenSSL).

    Not ``create_default_context``: it writes session keys to a file where the environment asks for that.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.sslsocket_class = _TLSSocket
    return context


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _Socket(socket.socket):
    """A socket whose every wait ends at one deadline, however slowly the other side drips."""

    deadline = 0.0

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_left(self.deadline))
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(_left(self.deadline))
        super().sendall(*args)


class _TLSSocket(ssl.SSLSocket):
    """The same over TLS; OpenSSL may wait several times for one piece, within the time-out set here."""

    deadline = 0.0

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_left(self.deadline))
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self.settimeout(_left(self.deadline))
        return super().send(*args)


class _Connection(http.client.HTTPConnection):
    """One connection, opened explicitly: it never reconnects by itself."""

    auto_open = 0
    idle_since = 0.0
    sock: Any  # a _Socket or _TLSSocket, once it is open

    def __init__(self, url: SplitResult, tls: ssl.SSLContext | None, *, public_only: bool) -> None:
        self.default_port = http.client.HTTPS_PORT if tls else http.client.HTTP_PORT
        super().__init__(url.hostname or "", url.port)
        self._tls = tls
        self._public_only = public_only

    def begin(self, deadline: float) -> None:
        """Open, unless it is open, and let everything that follows end at ``deadline``."""
        if self.sock is None:
            self.sock = self._open(deadline)
        _left(deadline)
        self.sock.deadline = deadline

    def _open(self, deadline: float) -> socket.socket:
        plain = _reach(self.host, self.port, deadline, public_only=self._public_only)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(_left(deadline))  # the handshake as a whole keeps to it
            return self._tls.wrap_socket(plain, server_hostname=self.host) if self._tls else plain
        except BaseException:
            plain.close()
            raise

    def is_fresh(self) -> bool:
        """Say whether the connection can be used again; an idle one has nothing to read unless it was closed."""
        if time.monotonic() - self.idle_since > IDLE_LIMIT:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            return not selector.select(0)


def _reach(host: str, port: int, deadline: float, *, public_only: bool) -> _Socket:
    """Connect to the first address that answers; each gets a fair share of the time left."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # once: what is checked is what is connected to
    if public_only:
        addresses = [one for one in addresses if is_public(str(one[4][0]))]
        if not addresses:
            raise NotSent(Reason.ADDRESS_PRIVATE, left=False)
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        candidate = _Socket(family, kind, protocol)
        try:
            candidate.settimeout(_left(deadline) / (len(addresses) - position))
            candidate.connect(address)
        except OSError:
            candidate.close()
        else:
            return candidate
    raise ConnectionError


def _close_all(idle: "deque[_Connection]") -> None:
    while idle:
        idle.pop().close()
