"""Requests signed as in Standard Webhooks 1.0.0: a platform can verify what we ask it, and what we tell it.

A secret is shared with one platform and lies in a file; nothing of it enters an error, a log or a ``repr``.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from reminder_worker.errors import Reason, Refused, SettingsError

PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)
MOST_SECRETS = 4  # in one file, while a secret is being replaced
TOLERANCE = 300  # seconds between signing and verifying, either way

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)  # no dot: it separates what is signed
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Secret:
    """What one platform and we sign with; two keys while one replaces the other."""

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file with one secret a line. Raises SettingsError, which names the file and nothing in it."""
        try:
            return cls.parse(path.read_text("ascii"))
        except (OSError, ValueError):
            wanted = f"1 to {MOST_SECRETS} lines of {PREFIX} and base64 of 24 to 64 bytes"
            raise SettingsError(f"{path}: must be a readable file with {wanted}") from None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read secrets, one a line. Raises ValueError, which must not be passed on."""
        keys = tuple(map(_key, text.split()))
        if not 1 <= len(keys) <= MOST_SECRETS:
            raise ValueError("another number of secrets")
        return cls(keys)


def _key(word: str) -> bytes:
    if not word.startswith(PREFIX):
        raise ValueError("another kind of secret")
    key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    if len(key) not in SECRET_BYTES:
        raise ValueError("another length")
    return key


def sign(secret: Secret, id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a request; ``timestamp`` is when it is sent, in seconds since 1970."""
    content = _content(id_, str(timestamp), body)
    signatures = (base64.b64encode(_digest(key, content)).decode() for key in secret.keys)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def verify(secret: Secret, headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Accept a request signed with one of the secrets within five minutes; names of headers are in lower case.

    Raises Refused (signature_invalid). A caller that must not act twice remembers ``webhook-id`` for that long.
    """
    id_, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _SECONDS.fullmatch(timestamp) or abs(now - int(timestamp)) > TOLERANCE or not _ID.fullmatch(id_):
        raise _forged()
    content, genuine = _content(id_, timestamp, body), False
    for shown in _signatures(headers.get("webhook-signature", "")):
        for key in secret.keys:
            genuine |= hmac.compare_digest(_digest(key, content), shown)
    if not genuine:
        raise _forged()


def _signatures(header: str) -> list[bytes]:
    """Read the signatures of the one kind we know; others may stand beside them."""
    words = [word.removeprefix("v1,") for word in header.split(" ") if word.startswith("v1,")]
    try:
        return [base64.b64decode(word, validate=True) for word in words]
    except (binascii.Error, ValueError):
        raise _forged() from None


def _content(id_: str, timestamp: str, body: bytes) -> bytes:
    if not _ID.fullmatch(id_):
        raise ValueError("an id is made of letters, digits, - and _")
    return f"{id_}.{timestamp}.".encode() + body


def _digest(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)


def _forged() -> Refused:
    return Refused(Reason.SIGNATURE_INVALID, "signature", "is not made with this secret, or too long ago")
