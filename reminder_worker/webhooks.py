"""What a provider calls us with: the request as it came, and the ways to tell that it is genuine.

Bodies hold numbers and people's words. Nothing of a request enters an error, which names a field and no more.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from reminder_worker.errors import Reason, Refused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One call from a provider; no part of it is shown in a ``repr``."""

    method: str
    url: str = field(repr=False)  # the public one that the provider was given, never one built from a Host header
    headers: Mapping[str, str] = field(repr=False)  # by name in lower case
    body: bytes = field(repr=False)
    reference: str = field(default="", repr=False)  # the attempt that a receipt's path names

    @property
    def query(self) -> dict[str, str]:
        """Return the parameters of the URL. Raises Refused (malformed) if one is there twice."""
        return _once(urlsplit(self.url).query)

    def form(self) -> dict[str, str]:
        """Read the body as a form. Raises Refused (malformed)."""
        try:
            return _once(self.body.decode())
        except UnicodeDecodeError:
            raise malformed() from None

    def json(self, shape: type[T]) -> T:
        """Read the body as JSON of this shape, a msgspec type. Raises Refused (malformed)."""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise malformed() from None


def _once(query: str) -> dict[str, str]:
    """Read a form in which each name is there once: a second value could differ from the one that was verified."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=200)
    except ValueError:
        raise malformed() from None
    if len(dict(pairs)) != len(pairs):
        raise malformed()
    return dict(pairs)


def malformed() -> Refused:
    """Return the error for a call that cannot be read."""
    return Refused(Reason.MALFORMED, "body", "is not what this provider sends")


def forged() -> Refused:
    """Return the error for a call that did not come from the provider."""
    return Refused(Reason.SIGNATURE_INVALID, "signature", "is not the provider's")


def check_hmac(algorithm: str, key: bytes, content: bytes, signature: bytes) -> None:
    """Compare a keyed hash in constant time. Raises Refused (signature_invalid)."""
    if not hmac.compare_digest(hmac.new(key, content, algorithm).digest(), signature):
        raise forged()


def check_token(request: WebhookRequest, token: str) -> None:
    """Let a provider that signs nothing prove itself: by ``?token=`` or by a basic password in the URL it was given.

    Raises Refused (signature_invalid).
    """
    shown = request.query.get("token") or _password(request.headers.get("authorization", ""))
    if not token or not hmac.compare_digest(shown.encode(), token.encode()):
        raise forged()


def check_path(request: WebhookRequest, named: str | None = None) -> str:
    """Return the attempt that the path names: by its secret an unsigned receipt proves itself.

    ``named`` has to be the same, if the body names an attempt too. Raises Refused (signature_invalid).
    """
    if not request.reference or named not in {None, request.reference}:
        raise forged()
    return request.reference


def from_base64(text: str) -> bytes:
    """Read a signature. Raises Refused (signature_invalid)."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise forged() from None


def from_hex(text: str) -> bytes:
    """Read a signature. Raises Refused (signature_invalid)."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise forged() from None


def _password(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
