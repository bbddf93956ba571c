"""A port or socket that listens: each connection has a thread of its own, which passes on what comes."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Self

Goes = Callable[[bytes, socket.socket], bool]  # what comes, and from which end


class Door:
    """Listens until it is closed; what is done with a connection, ``serve`` says."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            self.serve(near)

    def serve(self, near: socket.socket) -> None:
        """Do something with a connection, which ends with that."""
        raise NotImplementedError


def pass_on(near: socket.socket, far: socket.socket, goes: Goes = lambda data, end: True) -> None:
    """Pass on what comes from either side, until one hangs up or ``goes`` says that the line breaks."""
    with selectors.DefaultSelector() as selector:
        for one, other in ((near, far), (far, near)):
            selector.register(one, selectors.EVENT_READ, other)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)
                if not goes(data, key.fileobj) or not data:
                    return
                key.data.sendall(data)
