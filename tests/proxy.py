"""A line to the server that breaks: the server does what it is told, and its answer never comes back."""

import contextlib
import selectors
import socket
import threading
from pathlib import Path
from typing import Self


class Proxy:
    """Passes everything on between a socket of its own and the server's; ``lose`` drops one answer and hangs up."""

    def __init__(self, server: Path, path: Path) -> None:
        self._server, self.path = server, path
        self._word: bytes | None = None
        self.lost = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def url(self) -> str:
        return f"unix://{self.path}"

    def lose(self, word: bytes) -> None:
        """Lose the answer to the next request that holds ``word``."""
        self._word = word

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        """Pass on until either side hangs up, or is away."""
        with (
            contextlib.suppress(OSError),
            near,
            socket.socket(socket.AF_UNIX) as far,
            selectors.DefaultSelector() as selector,
        ):
            far.connect(str(self._server))
            for one, other in ((near, far), (far, near)):
                selector.register(one, selectors.EVENT_READ, other)
            losing = False
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)
                    if key.fileobj is near and self._word and self._word in data:
                        self._word, losing = None, True
                    elif not data or (losing and key.fileobj is far):
                        self.lost += losing
                        return
                    key.data.sendall(data)
