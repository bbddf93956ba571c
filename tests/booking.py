"""A booking platform's resolver for tests: a real server that knows some people, and can be told how to fail."""

import base64
import time
from pathlib import Path
from typing import Any

from reminder_worker.errors import Refused
from reminder_worker.signatures import Secret, verify
from reminder_worker.testing.peer import Peer, Request, Response

KEY = bytes(range(32))
SECRET = Secret((KEY,))
WORD = f"whsec_{base64.b64encode(KEY).decode()}"
PATH = "/contacts/"


class Booking(Peer):
    """Answers whom a token stands for, to whoever signs; ``status`` is said instead of any answer."""

    def __init__(self, *, certificate: Path | None = None) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.gone: set[str] = set()
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        super().__init__(certificate=certificate)
        self.look = self._look

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return what the platform's table says of it."""
        file = folder / "resolver.secret"
        file.write_text(WORD)
        return {"resolver_url": self.url + PATH, "resolver_secret_file": file, "resolver_private": True}

    @property
    def tokens(self) -> list[str]:
        """Return what was asked for, in order."""
        return [request.json["contact"] for request in self.requests]

    def _look(self, request: Request) -> Response:
        try:
            verify(SECRET, request.headers, request.body, time.time())
        except Refused:
            return Response(401)
        token = request.json["contact"]
        if self.status is not None:
            return Response.of({}, self.status, **self.headers)
        if token in self.gone:
            return Response(410)
        return Response.of(self.people[token]) if token in self.people else Response(404)
