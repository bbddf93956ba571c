"""Stores and queues of several servers, all real: a master with Sentinels, or behind a name, a Cluster, a RabbitMQ.

Everything lies in one folder and ends with the process that started it.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import redis
from door import Door, pass_on
from redis.crc import key_slot

from reminder_worker.embedded import server_program
from reminder_worker.lifeline import end_with_parent
from reminder_worker.ports import free_port

NAMES = "sentinel", "cluster"
MASTER = "reminders"
DOWN_MS = 600  # a server that is silent for so long is down
PATIENCE = 60.0  # seconds


def until(true: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until something is true; a server that is away says nothing."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError, OSError):
            if found := true():
                return found
        time.sleep(0.03)
    raise AssertionError("it did not become true")


class Server:
    """A Valkey on a port of its own; it may be killed and started again on its files."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        folder.mkdir(parents=True)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, socket_timeout=2, retry=None)

    def start(self) -> Self:
        """Start it, without waiting for it."""
        self._process = subprocess.Popen(
            [server_program(), *self._words()],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509
        )  # fmt: skip
        return self

    def _words(self) -> list[str]:
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile", "log"]
        here = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [*here, *kept, "--repl-diskless-sync-delay", "0", *self._options]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """Kill it without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it stand still, with all connections to it open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def is_master(self) -> bool:
        return self.runs and self.client.role()[0] == b"master"


class Watcher(Server):
    """A Sentinel."""

    def __init__(self, folder: Path, master: int, *options: str) -> None:
        super().__init__(folder)
        lines = [
            f"sentinel monitor {MASTER} 127.0.0.1 {master} 2",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_MS}",
            f"sentinel failover-timeout {MASTER} 4000",
            *options,
        ]
        (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def _words(self) -> list[str]:
        here = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--logfile", "log"]
        return ["sentinel.conf", "--sentinel", *here]


class Engine:
    """What both kinds of store have in common."""

    servers: list[Server]
    url: str

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        raise NotImplementedError

    def stop(self) -> None:
        for server in self.everything():
            server.kill()
            server.client.close()

    def everything(self) -> Sequence[Server]:
        return self.servers

    def masters(self) -> list[Server]:
        """Return the servers that may be written to now."""
        found = []
        for server in self.servers:
            with contextlib.suppress(redis.RedisError):
                if server.is_master():
                    found.append(server)
        return found

    def master_of(self, key: bytes) -> Server:
        """Return the server that may be written this key to."""
        return self.masters()[0]

    def kill(self, server: Server) -> None:
        """Kill a master without warning, and start it again when another has taken over."""
        others = set(self.masters()) - {server}
        server.kill()
        until(lambda: set(self.masters()) - others)
        server.start()
        until(lambda: server.client.role()[0] == b"slave")


class Watched(Engine):
    """A master, two replicas and three Sentinels."""

    def __init__(self, folder: Path, *options: str) -> None:
        first = Server(folder / "0", *options)
        following = "--replicaof", f"127.0.0.1 {first.port}"
        self.servers = [first, *(Server(folder / str(number), *options, *following) for number in (1, 2))]
        self.watchers = [Watcher(folder / f"sentinel-{number}", first.port) for number in range(3)]
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.watchers)
        self.url = f"redis+sentinel://{places}/{MASTER}/0"

    def everything(self) -> Sequence[Server]:
        return [*self.watchers, *self.servers]

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        until(lambda: len(self.servers[0].client.role()[2]) == 2)
        for watcher in self.watchers:
            watcher.start()
        until(lambda: all(self._sees_all(one) for one in self.watchers))
        return self

    @staticmethod
    def _sees_all(watcher: Server) -> bool:
        seen = watcher.client.sentinel_master(MASTER)
        return seen["num-other-sentinels"] == 2 and seen["num-slaves"] == 2


class Cluster(Engine):
    """Three masters, and a replica of each."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.servers = []
        for number in range(6):
            words = "--cluster-enabled", "yes", "--cluster-node-timeout", str(DOWN_MS)
            self.servers.append(Server(folder / str(number), *words, "--cluster-port", str(free_port()), *options))
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in self.servers[:2])

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        until(lambda: all(one.client.ping() for one in self.servers))
        first, names = self.servers[0], []
        for number, server in enumerate(self.servers):
            names.append(server.client.cluster("MYID").decode())
            with contextlib.suppress(redis.ResponseError):  # said again, where the answer was late
                server.client.cluster("SET-CONFIG-EPOCH", number + 1)
            assert int(server.client.cluster("INFO")["cluster_my_epoch"]) == number + 1
            bus = server.client.config_get("cluster-port")["cluster-port"]
            first.client.cluster("MEET", "127.0.0.1", server.port, bus) if number else None
        for number, server in enumerate(self.servers[:3]):
            server.client.cluster("ADDSLOTSRANGE", 5462 * number, min(5462 * number + 5461, 16383))
        until(lambda: all(len(self._nodes(one)) == 6 for one in self.servers))
        for server, master in zip(self.servers[3:], names, strict=False):
            until(lambda one=server, of=master: one.client.cluster("REPLICATE", of))
        until(lambda: all(self._whole(one) for one in self.servers))
        return self

    @staticmethod
    def _nodes(server: Server) -> Any:
        return server.client.cluster("NODES")

    def _whole(self, server: Server) -> bool:
        state = server.client.cluster("INFO")
        roles = [flags for node in self._nodes(server).values() for flags in node["flags"].split(",")]
        followed = not server.is_master() or len(server.client.role()[2]) == 1
        return state["cluster_state"] == "ok" and (roles.count("master"), roles.count("slave")) == (3, 3) and followed

    def master_of(self, key: bytes) -> Server:
        """Return the server that has this key's slot."""
        return next(server for server in self.masters() if self._has(server, key))

    def _has(self, server: Server, key: bytes) -> bool:
        return any(first <= key_slot(key) <= last for first, last in self._slots(server))

    @contextlib.contextmanager
    def moving(self, key: bytes) -> Iterator[tuple[Server, Server]]:
        """Mark a key's slot as one that is on the move, from its server to another; nothing moves yet."""
        slot, old = key_slot(key), self.master_of(key)
        new = next(server for server in self.masters() if server is not old)
        names = [server.client.cluster("MYID").decode() for server in (old, new)]
        new.client.cluster("SETSLOT", slot, "IMPORTING", names[0])
        old.client.cluster("SETSLOT", slot, "MIGRATING", names[1])
        yield old, new
        for server in (old, new):
            server.client.cluster("SETSLOT", slot, "STABLE")

    def move_key_by_key(self, key: bytes) -> tuple[Server, Server]:
        """Move a key's slot as every version can."""
        slot = key_slot(key)
        with self.moving(key) as (old, new):
            while keys := old.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):  # as bytes
                old.client.execute_command("MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "KEYS", *keys)
            name = new.client.cluster("MYID").decode()
            for server in (new, old, *self.masters()):
                server.client.cluster("SETSLOT", slot, "NODE", name)
        until(lambda: self.master_of(key) is new)
        return old, new

    def move_at_once(self, key: bytes) -> tuple[Server, Server]:
        """Move a key's slot as a whole."""
        slot, old = key_slot(key), self.master_of(key)
        new = next(server for server in self.masters() if server is not old)
        old.client.execute_command(
            "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", new.client.cluster("MYID")
        )
        until(lambda: self._has(new, key))  # for a moment it is nobody's
        return old, new

    def _slots(self, server: Server) -> list[tuple[int, int]]:
        mine = self._nodes(server)[f"127.0.0.1:{server.port}"]["slots"]
        return [(int(first), int(last[0] if last else first)) for first, *last in mine]


class Address(Door):
    """Where connections go to another server one day; those that are open stay with the server that they had."""

    def __init__(self, port: int) -> None:
        self.leads_to = port
        super().__init__()

    def serve(self, near: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self.leads_to)) as far:
            pass_on(near, far)


class Named(Engine):
    """A master and a replica behind one address, as those have it who rent a store."""

    def __init__(self, folder: Path, *options: str) -> None:
        first = Server(folder / "0", *options)
        self.servers = [first, Server(folder / "1", *options, "--replicaof", f"127.0.0.1 {first.port}")]
        self.address = Address(first.port)
        self.url = f"redis://127.0.0.1:{self.address.port}/0"

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        until(lambda: self._is_followed(self.servers[0]))
        return self

    @staticmethod
    def _is_followed(server: Server) -> bool:
        """Tell whether what is written there is on a replica's disk too."""
        return bool(server.client.set("followed", 1) and server.client.waitaof(1, 1, 1000)[1])

    def stop(self) -> None:
        self.address.close()
        super().stop()

    def fail_over(self) -> None:
        """Let the replica be master, with all that was written. No connection is closed: they lead to a replica now."""
        (old,) = self.masters()
        (new,) = set(self.servers) - {old}
        until(lambda: old.client.execute_command("FAILOVER", "TO", "127.0.0.1", new.port))
        until(lambda: new.is_master() and not old.is_master() and self._is_followed(new))
        self.address.leads_to = new.port


def start(name: str, folder: Path) -> Engine:
    """Return a store by its name, started with the ``with`` statement."""
    return {"sentinel": Watched, "cluster": Cluster, "address": Named}[name](folder)


RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on PATH becomes another user, in another folder


def has_rabbit() -> bool:
    return RABBIT.exists() and shutil.which("epmd") is not None


class Rabbit:
    """A RabbitMQ with one user; it may be killed and started again on its files."""

    def __init__(self, folder: Path, *lines: str) -> None:
        folder.mkdir(parents=True)
        self.folder, self.port = folder, free_port()
        self._register, between = free_port(), free_port()
        self.url = f"amqp://reminders:secret@127.0.0.1:{self.port}/"
        users = "default_user = reminders", "default_pass = secret"
        (folder / "rabbitmq.conf").write_text("\n".join((f"listeners.tcp.1 = 127.0.0.1:{self.port}", *users, *lines)))
        (folder / "plugins").write_text("[].")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._register),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"rabbit{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(between),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
        }
        self._said: Any = {"env": self._environment, "capture_output": True}
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._begin(["epmd", "-port", str(self._register), "-address", "127.0.0.1"])  # else one would stay behind
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        while self._processes:
            self.kill()

    def _begin(self, words: Sequence[str]) -> None:
        self._processes.append(
            subprocess.Popen(
                words, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=end_with_parent,  # noqa: PLW1509
            )
        )  # fmt: skip

    def start(self) -> Self:
        """Start it and wait until it listens."""
        self._begin([str(RABBIT)])
        until(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None)
        return self

    def elect(self) -> bool:
        """Do what an operator has to: a quorum queue of one server that was killed finds no leader by itself."""
        words = "-n", self._environment["RABBITMQ_NODENAME"], "eval", "ra:trigger_election('%2F_reminders')."
        command = [str(RABBIT.with_name("rabbitmqctl")), *words]
        return b"ok" in subprocess.run(command, **self._said, check=False).stdout

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it for a while, with all connections to it open."""
        os.killpg(self._processes[-1].pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._processes[-1].pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it without warning."""
        process = self._processes.pop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._processes:  # its name is free again only when the one that keeps names has noticed
            until(lambda: b"rabbit" not in subprocess.run(["epmd", "-names"], **self._said, check=False).stdout)
