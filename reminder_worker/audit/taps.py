"""Listen in as it happens: what the store's operator sees of each command, and what the store sends to a replica."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

MONITOR = b"MONITOR\r\n"
REPLICA = b"PSYNC ? -1\r\n"  # first a whole dump, then every write as it happens


class Tap:
    """A connection to the store that sends one request and keeps all that comes back."""

    def __init__(self, path: Path, request: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(str(path))
        self._socket.sendall(request)
        self._heard = bytearray(self._socket.recv(65536))
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while piece := self._socket.recv(65536):
                self._heard += piece

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    @property
    def heard(self) -> bytes:
        """All that has come so far."""
        return bytes(self._heard)
