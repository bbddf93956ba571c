"""Who is logged in to the operator's page: in this process's memory only, and only by the hash of a random token.

A session ends half an hour after its operator last did anything, twelve hours after it began, or with the process.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from reminder_worker.clocks import boot_time

IDLE, LONGEST = 30 * 60.0, 12 * 3600.0  # seconds
MOST = 500  # at once; the oldest goes first
_TOKEN = 32  # bytes


@dataclass(slots=True)
class Session:
    """One operator's browser."""

    key: bytes  # the token's hash
    name: str
    made: object  # of the entry that the password belonged to: a new password makes a new entry
    begun: float
    used: float


class Sessions:
    """All sessions of this process; ``now`` counts seconds."""

    def __init__(self, now: Callable[[], float] = boot_time) -> None:
        self._now = now
        self._open: dict[bytes, Session] = {}

    def begin(self, name: str, made: object) -> str:
        """Begin a session, and return the token for the browser."""
        token, now = secrets.token_urlsafe(_TOKEN), self._now()
        self._open = {key: one for key, one in self._open.items() if self._lasts(one)}
        for key in [*self._open][: max(0, len(self._open) - MOST + 1)]:
            del self._open[key]
        key = _key(token)
        self._open[key] = Session(key, name, made, now, now)
        return token

    def find(self, token: str) -> Session | None:
        """Return the session of this token, if it still lasts."""
        session = self._open.get(_key(token))
        return session if session is not None and self._lasts(session) else None

    def use(self, session: Session) -> None:
        """Record that the operator did something."""
        session.used = self._now()

    def end(self, session: Session) -> None:
        """Forget a session."""
        self._open.pop(session.key, None)

    def _lasts(self, session: Session) -> bool:
        now = self._now()
        return now - session.used < IDLE and now - session.begun < LONGEST


def _key(token: str) -> bytes:
    return hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=16, person=b"rw-ops").digest()
