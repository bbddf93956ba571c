"""A store that knows the users of ``ops/redis`` only, and one who administers it."""

import contextlib
import socket
import subprocess
from pathlib import Path
from urllib.parse import quote

import redis
from grants import ACL

from reminder_worker import store
from reminder_worker.embedded import EmbeddedServer

USERS = sorted(path.stem for path in ACL.glob("*.acl"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return int(reserved.getsockname()[1])


class Guarded:
    """A server that knows these users only, and one who administers it."""

    """Listens on 127.0.0.1; ``passwords`` lie in ``secrets`` as ``ops/redis/join`` wants them."""

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
