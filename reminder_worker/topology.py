"""A store of several servers: a master that Sentinels look after, or a Cluster whose slots are spread over masters.

Or one server behind a name, where its operator may put another. For each of them the client is the same as for one
server, so no other module has to know. This one sees keys and values as they are stored, and opens nothing.

    redis+sentinel://USER@HOST:PORT,HOST:PORT/NAME/0     the Sentinels; NAME is what they call the master
    redis+cluster://USER@HOST:PORT,HOST:PORT             some of the Cluster's servers: they name the others

``rediss+…`` is the same over TLS, and what follows a question mark is as for one server.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import SplitResult, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.exceptions import AskError, MovedError, ReadOnlyError, RedisClusterException, RedisError, TryAgainError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

SENTINEL, CLUSTER = "+sentinel", "+cluster"
SENTINEL_PORT, PORT = 26379, 6379
SENTINEL_TIMEOUT = 1.0  # seconds: there are others to ask

Client = Any  # as in store.py
P = ParamSpec("P")
R = TypeVar("R")


def split(url: str) -> SplitResult:
    """Take apart a URL that may name several servers: for ``urlsplit`` only the first may be an IPv6 address.

    Raises ValueError.
    """
    scheme, slashes, rest = url.partition("//")
    path = re.sub("^[^/?#]*", "", rest)
    servers = rest.removesuffix(path)
    for server in servers.split(","):
        urlsplit(f"//{server}")
    return urlsplit(scheme + slashes + path)._replace(netloc=servers)


def several(url: str) -> bool:
    """Tell whether a URL is of a store of several servers."""
    return split(url).scheme.endswith((SENTINEL, CLUSTER))


def queue_url(url: str) -> str:
    """Return the URL of the queue on such a store: a master has a database to spare, a Cluster has only one."""
    parts = split(url)
    name = parts.path.strip("/").partition("/")[0]
    return url if parts.scheme.endswith(CLUSTER) else urlunsplit(parts._replace(path=f"/{name}/1"))


def connect(url: str, *, retry: Retry, **options: Any) -> Client:
    """Return a client of the store at such a URL. Raises ValueError if it is none, or RedisError."""
    parts = split(url)
    scheme, _, kind = parts.scheme.partition("+")
    user, _, servers = parts.netloc.rpartition("@")
    hosts = [_host(server, SENTINEL_PORT if kind == "sentinel" else PORT) for server in servers.split(",")]
    query = f"?{parts.query}" if parts.query else ""
    if kind == "sentinel":
        name, _, database = parts.path.strip("/").partition("/")
        if not name or not (database or "0").isdecimal():
            raise ValueError("the master's name, or a database's number, is missing")
        given = parse_url(f"{scheme}://{user}@sentinel/{database}{query}")
        return _master(name, hosts, options | given | {"retry": retry})
    if parts.path not in {"", "/", "/0"} or scheme not in {"redis", "rediss"}:
        raise ValueError("a Cluster has one database, and no sockets")
    nodes = [ClusterNode(*host) for host in hosts[1:]]
    first = f"{scheme}://{user}@{servers.split(',')[0]}{query}"
    return _reached(Cluster)(url=first, startup_nodes=nodes, retry=retry, connection_pool_class=_Pool, **options)


def _host(server: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{server}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return parts.hostname, parts.port or port


def _master(name: str, sentinels: list[tuple[str, int]], options: dict[str, Any]) -> Client:
    """Return a client that asks the Sentinels at each new connection which server is the master."""
    secure = issubclass(options.pop("connection_class", Connection), SSLConnection)
    known = {key: value for key, value in options.items() if key.startswith("ssl_")} | {"ssl": secure}
    theirs: dict[str, Any] = known | {"socket_timeout": SENTINEL_TIMEOUT, "retry": Retry(NoBackoff(), 0)}
    if user := options.pop("sentinel_user", None):
        theirs |= {"username": user, "password": options.get("password")}
    shared = {key: value for key, value in options.items() if key not in {"host", "port"}}
    return Sentinel(sentinels, sentinel_kwargs=theirs).master_for(name, ssl=secure, **shared)


def _reached(call: Callable[P, R]) -> Callable[P, R]:
    """Raise the error that one server would if no server of a Cluster answers: redis-py has another for that."""

    @wraps(call)
    def reach(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return call(*arguments, **options)
        except RedisClusterException:
            raise redis.ConnectionError("the Cluster could not be reached") from None

    return reach


class Cluster(RedisCluster):
    """A Cluster whose errors are those of one server, and which leaves a slot alone while its keys are being moved."""

    execute_command = _reached(RedisCluster.execute_command)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        """Return a pipeline; everything in ours is of one slot."""
        pipe = super().pipeline(transaction, shard_hint)
        pipe.execute = _reached(pipe.execute)
        return pipe


class _Unmoved:
    """What a Cluster's connections do besides the usual.

    While keys are moved one by one (MIGRATING), a script would find some of them here and some there, and write beside
    what is still to come: its own key, which never exists, is asked for at the new place from the first moment on. So
    no connection follows there. The slot waits until all of it has arrived.
    """

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        except MovedError:  # a kind of AskError, to redis-py: this slot has arrived
            raise
        except AskError:
            raise TryAgainError("the slot is on the move") from None


class _Plain(_Unmoved, Connection):
    pass


class _Secure(_Unmoved, SSLConnection):
    pass


class _Writable:
    """A connection that is given up if its server has become a replica: the master has the same name by now.

    Such a server keeps answering, so a process that stayed with it would be refused until it is started again.

    It connects once in each try of a call: redis-py would try as often as the call is tried, within each.
    """

    def connect_check_health(self, *arguments: Any, **options: Any) -> None:
        super().connect_check_health(*arguments, **options | {"retry_socket_connect": False})  # type: ignore[misc]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        except ReadOnlyError:
            self.disconnect()  # type: ignore[attr-defined]
            raise redis.ConnectionError("the server is a replica by now") from None


class _Named(_Writable, Connection):
    pass


class _NamedSecure(_Writable, SSLConnection):
    pass


def one(url: str, **options: Any) -> Client:
    """Return a client of one server, whichever its name leads to. Raises ValueError if the URL is none."""
    kinds = {"redis": _Named, "rediss": _NamedSecure}
    parts = urlsplit(url)
    kind = kinds.get(parts.scheme)  # a socket leads to the same server for ever
    if kind and not (parts.path.strip("/") or "0").isdecimal():
        raise ValueError("a database is a number")  # redis-py would take the first one
    return redis.Redis.from_url(url, **options | ({"connection_class": kind} if kind else {}))


class _Pool(ConnectionPool):
    def __init__(self, connection_class: type = Connection, **options: Any) -> None:
        kind = _Secure if issubclass(connection_class, SSLConnection) else _Plain
        super().__init__(connection_class=kind, **options)


def _is_cluster(client: Client) -> bool:
    return hasattr(client, "get_primaries")


def is_one(client: Client) -> bool:
    """Tell whether a new connection leads to the same server as the lost one did."""
    return not _is_cluster(client) and not isinstance(client.connection_pool, SentinelConnectionPool)


@contextmanager
def server_of(client: Client, key: bytes) -> Iterator[Client]:
    """Lend a client of the one server that has this key: waiting for the disk has to happen where the write did."""
    if not _is_cluster(client):
        yield client
        return
    try:
        yield client.get_redis_connection(client.get_node_from_key(key))
    except (RedisError, RedisClusterException):  # the master is gone, or the slot is
        _reached(client.nodes_manager.initialize)()
        raise redis.ConnectionError("the slot was not where it had been") from None


def servers(client: Client) -> list[Client]:
    """Return a client for each server that holds a part of the keys."""
    if not _is_cluster(client):
        return [client]
    return [client.get_redis_connection(node) for node in client.get_primaries()]


def told(client: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what INFO reports on memory and disk; of a Cluster, by the fullest server and the least durable one."""
    memories, disks = zip(*((one.info("memory"), one.info("persistence")) for one in servers(client)), strict=True)
    policies = {memory.get("maxmemory_policy", "noeviction") for memory in memories}
    evicts = min(policies, key="noeviction".__eq__)  # one that does, if there is one
    return max(memories, key=_fill) | {"maxmemory_policy": evicts}, min(disks, key=_durable)


def _fill(memory: dict[str, Any]) -> tuple[float, int]:
    return memory["used_memory"] / (memory.get("maxmemory", 0) or math.inf), memory["used_memory"]


def _durable(disk: dict[str, Any]) -> tuple[bool, bool]:
    return bool(disk.get("aof_enabled")), disk.get("aof_last_write_status") == "ok"
