"""Who is let in: an operator with a password and then a session, or one whom a proxy in front names.

Each decision is recorded with a name, so the name must be vouched for: by the file of passwords, or by a proxy whose
address is on the list. Never both: a header must not be accepted beside a password.
"""

import contextlib
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import IPvAnyNetwork
from starlette.requests import Request

from reminder_worker.ops.operators import Operators
from reminder_worker.ops.sessions import Session, Sessions

COOKIE = "__Host-reminder-ops"
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Visitor:
    """An operator, as this process knows one."""

    name: str
    key: bytes  # that forms are bound to
    session: Session | None = None


class Entrance(Protocol):
    """A way in."""

    def visitor(self, request: Request) -> Visitor | None:
        """Return who asks, or None. Raises SettingsError if the operators cannot be read."""


class Proxy:
    """A proxy in front that has authenticated the operator and names them in a header."""

    def __init__(self, header: str, addresses: "Addresses") -> None:
        self._header, self._addresses = header, addresses

    def visitor(self, request: Request) -> Visitor | None:
        """Believe the header if it occurs once and comes from the proxy."""
        names = request.headers.getlist(self._header)
        if len(names) != 1 or _NAME.fullmatch(names[0]) is None or not self._addresses.hold(_peer(request)):
            return None
        return Visitor(names[0].replace("@", "_"), f"proxy {names[0]}".encode())


class Passwords:
    """A session that a password has opened."""

    def __init__(self, operators: Operators, sessions: Sessions) -> None:
        self.operators, self.sessions = operators, sessions

    def visitor(self, request: Request) -> Visitor | None:
        """Return whose session it is, as long as the file has the same entry."""
        session = self.sessions.find(request.cookies.get(COOKIE, ""))
        if session is None:
            return None
        operator = self.operators.get(session.name)
        if operator is None or operator.salt != session.made:
            self.sessions.end(session)
            return None
        return Visitor(session.name, session.key, session)


class Addresses:
    """The addresses of proxies, as the settings have them."""

    def __init__(self, networks: Sequence[IPvAnyNetwork]) -> None:
        self._networks = networks

    def hold(self, address: str) -> bool:
        """Return whether an address is a proxy's."""
        try:
            known = ipaddress.ip_address(address)
        except ValueError:  # a Unix socket has none
            return False
        return any(known in network for network in self._networks)

    def caller(self, request: Request) -> str:
        """Return the caller's address: the peer's, or the one that a proxy names as the last before it."""
        peer = _peer(request)
        named = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
        return (_household(named) if self.hold(peer) else None) or _household(peer) or peer


class Forms:
    """Binds forms to the visitor who was shown them, so that no other site can send one."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def token(self, visitor: Visitor) -> str:
        """Return the token that this visitor's forms carry."""
        return hmac.new(self._secret, visitor.key, hashlib.sha256).hexdigest()

    def genuine(self, visitor: Visitor, token: str) -> bool:
        """Return whether this visitor was shown the form."""
        return hmac.compare_digest(self.token(visitor).encode(), token.encode())


def is_own(request: Request) -> bool:
    """Return whether our own page made the browser send this; older browsers only say where the page is from."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    with contextlib.suppress(ValueError):
        return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "-")
    return False


def _household(address: str) -> str | None:
    """Return the address to count by; for IPv6 its /64 network, in which one caller has as many as they like."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return None
    if known.version == 6:  # noqa: PLR2004 - the number of the protocol
        return str(known.ipv4_mapped or known.packed[:8].hex())
    return str(known)


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""
