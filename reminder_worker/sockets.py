"""Sockets, plain and over TLS, whose every wait ends at one deadline: how they are opened, and how they wait.

Between a look at the clock and the bytes that follow, a process may be frozen, and send when others have taken over. So
nothing is waited for in between, also not a thread's turn, as Python's own ``send`` does on a socket with a time-out.
"""

import os
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

from reminder_worker.addresses import is_public
from reminder_worker.errors import NotSent, Reason

LATE = 0.02  # seconds by which a wait may end after its deadline: setting it anew gives this thread's turn away


def verifying(authorities: str | None = None) -> ssl.SSLContext:
    """Verify name and certificate against the authorities in a file, or the system's (OpenSSL: ``SSL_CERT_FILE``).

    Not ``create_default_context``: it writes session keys to a file if the environment asks for that.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # some systems leave it to what OpenSSL can do
    if authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(authorities)
    return context


def verifying_in_time() -> ssl.SSLContext:
    """Return a context that verifies in the same way, and whose connections let every wait end at a deadline."""
    context = verifying()
    context.sslsocket_class = TLSSocket
    return context


def left(deadline: float) -> float:
    """Return the seconds until a deadline (on ``time.monotonic``). Raises TimeoutError if it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _hurry(line: "Socket | TLSSocket") -> None:
    """Let the next wait end at the deadline. Raises TimeoutError if that has passed."""
    seconds, now = left(line.deadline), line.gettimeout()
    if now is None or not seconds <= now <= seconds + LATE:
        line.settimeout(seconds)


class Socket(socket.socket):
    """A socket whose every wait ends at one deadline, however slowly the other side drips."""

    deadline = 0.0

    def recv_into(self, *args: Any) -> int:
        """Read what is there, or comes in time. Raises OSError."""
        _hurry(self)
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        """Send all of it. Raises OSError."""
        (content,), sent, number = args, 0, self.fileno()
        left(self.deadline)
        with suppress(BlockingIOError):
            sent = os.write(number, content)
        if sent < len(content):
            _hurry(self)
            super().sendall(memoryview(content)[sent:])


class TLSSocket(ssl.SSLSocket):
    """The same over TLS; OpenSSL may wait several times for one piece, within the time-out set here."""

    deadline = 0.0

    def recv_into(self, *args: Any) -> int:
        """Read what is there, or comes in time. Raises OSError."""
        _hurry(self)
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        """Send a piece of it. Raises OSError."""
        self.settimeout(0.0)
        left(self.deadline)
        with suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return super().send(*args)
        _hurry(self)
        return super().send(*args)


def connect(host: str, port: int, deadline: float, tls: ssl.SSLContext | None, *, public_only: bool) -> socket.socket:
    """Open a line that waits for nothing beyond the deadline. Raises OSError, and NotSent (address_private)."""
    plain = _reach(host, port, deadline, public_only=public_only)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(left(deadline))  # the handshake as a whole keeps to it
        return tls.wrap_socket(plain, server_hostname=host) if tls else plain
    except BaseException:
        plain.close()
        raise


def _reach(host: str, port: int, deadline: float, *, public_only: bool) -> Socket:
    """Connect to the first address that answers; each gets a fair share of the time left."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # once: what is checked is what is connected to
    if public_only:
        addresses = [one for one in addresses if is_public(str(one[4][0]))]
        if not addresses:
            raise NotSent(Reason.ADDRESS_PRIVATE, left=False)
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        candidate = Socket(family, kind, protocol)
        try:
            candidate.settimeout(left(deadline) / (len(addresses) - position))
            candidate.connect(address)
        except OSError:
            candidate.close()
        else:
            return candidate
    raise ConnectionError
