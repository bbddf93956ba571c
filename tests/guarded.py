"""A store that knows the users of ``ops/redis`` only, and one who administers it; and somebody who watches them."""

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self
from urllib.parse import quote

import redis
from grants import ACL, Grant

from reminder_worker import store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ports import free_port

USERS = sorted(path.stem for path in ACL.glob("*.acl"))


class Guarded:
    """A server on 127.0.0.1 that knows these users only, and one who administers it.

    ``passwords`` lie in ``secrets`` as ``ops/redis/join`` wants them.
    """

    def __init__(self, folder: Path) -> None:
        self.port, self.secrets = free_port(), folder / "secrets"
        self.passwords = {user: f"password of {user}" for user in USERS}
        self._file = folder / "users.acl"
        self._file.write_text("user default on nopass ~* &* +@all\n")
        options = "--port", str(self.port), "--aclfile", str(self._file), "--appendfsync", "always"
        self.server = EmbeddedServer(folder / "valkey", *options).start()
        self._load()
        self.admin = store.connect(self.url("admin", 0))

    def _load(self) -> None:
        self.secrets.mkdir()
        for user, password in self.passwords.items():
            (self.secrets / f"{user}.password").write_text(f"{password}\n")
        joined = subprocess.run([ACL / "join", self.secrets], capture_output=True, text=True, check=True).stdout
        self._file.write_text(f"{joined}user admin on >admin ~* &* +@all\n")
        self.passwords["admin"] = "admin"
        with contextlib.closing(redis.Redis.from_url(self.server.url())) as everybody:
            everybody.acl_load()

    def url(self, user: str, database: int = 0) -> str:
        return f"redis://{user}:{quote(self.passwords[user])}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        self.admin.close()
        self.server.stop()


class Monitor:
    """Watches which commands the store is given, and by whom; those of scripts too."""

    _LINE = re.compile(rb"[\d.]+ \[\d+ (\S+)\] (.*)", re.DOTALL)
    _WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
    _PAIRS = "client", "script"

    def __init__(self, store: Guarded) -> None:
        self._admin = store.admin
        self._line = redis.Connection("127.0.0.1", store.port, username="admin", password="admin", socket_timeout=None)
        self._said: list[tuple[bytes, str, str]] = []  # address, command, key
        self._users: dict[bytes, str] = {}
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._line.connect()
        self._line.send_command("MONITOR")
        self._line.read_response()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.disconnect()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _listen(self) -> None:
        caller = b""
        with contextlib.suppress(redis.ConnectionError, OSError):
            while True:
                match = self._LINE.match(self._line.read_response(disable_decoding=True))
                if match is None:
                    continue
                words = [word.decode("latin-1") for word in self._WORD.findall(match[2])]
                name = words[0].lower()
                caller = caller if match[1] == b"lua" else match[1]
                key = "" if len(words) == 1 else words[1]
                if name in self._PAIRS:
                    name, key = f"{name}|{key.lower()}", ""
                self._said.append((caller, name, key))

    def learn_who_is_who(self) -> None:
        """Ask who is connected: to be called while they are."""
        self._users |= {one["addr"].encode(): one["user"] for one in self._admin.client_list()}

    def unused(self, user: str, granted: Iterable[Grant]) -> set[Grant]:
        """Return what a user never did."""
        theirs = {(name, key.removeprefix("rw:{0}:")) for at, name, key in self._said if self._users.get(at) == user}
        return {
            (command, pattern)
            for command, pattern in granted
            if not any(name == command and (not pattern or fnmatchcase(key, pattern)) for name, key in theirs)
        }
