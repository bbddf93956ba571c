"""A line to the server that breaks: the server does what it is told, and its answer never comes back."""

import socket
from pathlib import Path

from door import Door, pass_on


class Proxy(Door):
    """Passes everything on between a socket of its own and the server's; ``lose`` drops one answer and hangs up."""

    def __init__(self, server: Path, path: Path) -> None:
        self._server, self.path = server, path
        self._word: bytes | None = None
        self.lost = 0
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        super().__init__(listener)

    def url(self) -> str:
        return f"unix://{self.path}"

    def lose(self, word: bytes) -> None:
        """Lose the answer to the next request that holds ``word``."""
        self._word = word

    def serve(self, near: socket.socket) -> None:
        losing = False

        def goes(data: bytes, end: socket.socket) -> bool:
            nonlocal losing
            if end is near and self._word and self._word in data:
                self._word, losing = None, True
            elif losing and (end is not near or not data):
                self.lost += 1
                return False
            return True

        with socket.socket(socket.AF_UNIX) as far:
            far.connect(str(self._server))
            pass_on(near, far, goes)
