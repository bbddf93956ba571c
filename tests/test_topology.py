"""URLs of stores of several servers; what stands behind them is tried in ``test_engines``."""

import contextlib
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import engines
import pytest
import redis
import trustme
from door import Door
from redis.connection import SSLConnection
from redis.exceptions import NoScriptError

from reminder_worker import store
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.lines import Lines, piped
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings


def test_sentinels_are_asked_for_a_master_by_name() -> None:
    with store.connect("redis+sentinel://worker:p%40ss@one.example,[::1]:26380/reminders/3") as client:
        pool = client.connection_pool
        hosts = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
        assert [(one["host"], one["port"]) for one in hosts] == [("one.example", 26379), ("::1", 26380)]
        assert not any(one.get("password") for one in hosts)
        read = pool.connection_kwargs
        assert (pool.service_name, read["username"], read["password"], read["db"]) == ("reminders", "worker", "p@ss", 3)
        assert read["retry"].get_retries() == 5


def test_sentinels_may_want_a_user_and_tls_too() -> None:
    url = "rediss+sentinel://worker:word@one.example/reminders?sentinel_user=sentinel&ssl_ca_certs=/a"
    with store.connect(url) as client:
        (sentinel,) = client.connection_pool.sentinel_manager.sentinels
        theirs = sentinel.connection_pool.connection_kwargs
        assert (theirs["username"], theirs["password"], theirs["ssl_ca_certs"]) == ("sentinel", "word", "/a")
        assert issubclass(sentinel.connection_pool.connection_class, SSLConnection)
        assert issubclass(client.connection_pool.connection_class, SSLConnection)
        assert client.connection_pool.connection_kwargs["ssl_ca_certs"] == "/a"


@pytest.mark.parametrize(
    ("url", "queue"),
    [
        ("redis+sentinel://a@one.example,two.example/reminders/0", "redis+sentinel://a@one.example,two.example/reminders/1"),
        ("redis+sentinel://one.example/reminders", "redis+sentinel://one.example/reminders/1"),
        ("redis+sentinel://one.example/reminders?db=2&ssl_ca_certs=/a", "redis+sentinel://one.example/reminders/1?ssl_ca_certs=/a"),
        ("rediss+cluster://a@one.example:1,two.example?ssl_ca_certs=/a", "rediss+cluster://a@one.example:1,two.example?ssl_ca_certs=/a"),
    ],
)  # fmt: skip
def test_the_queue_is_in_another_database_where_there_is_one(url: str, queue: str) -> None:
    assert store.queue_url(None, url) == queue
    assert store.queue_url("amqp://a@mq.example", url) == "amqp://a@mq.example"


def test_each_thread_keeps_one_connection(client: store.Client) -> None:
    lines = Lines(client)
    with ThreadPoolExecutor(1) as thread:
        here, there = names(lines), thread.submit(names, lines).result()
    assert len(here) == len(there) == 1
    assert here != there


def names(lines: Lines) -> set[int]:
    """Return the server's names of the connections over which something is said a few times."""
    return {lines.ask(b"", ("CLIENT", "ID"))[0] for _ in range(5)}


def test_a_process_that_was_forked_off_has_a_connection_of_its_own(
    client: store.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(client)
    before = names(lines)
    monkeypatch.setattr("os.getpid", lambda: -1)
    after = names(lines)
    assert len(after) == 1
    assert after != before


def test_where_there_are_several_servers_connections_are_borrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with store.connect("redis+sentinel://one.example/reminders") as client:  # a lost one asks who is master only then
        monkeypatch.setattr(client, "execute_command", lambda *words: words)
        assert Lines(client).ask(b"", ("ECHO", "x")) == [("ECHO", "x")]


def test_errors_stand_among_the_answers(client: store.Client) -> None:
    for ask in (Lines(client).ask, lambda _, *commands: piped(client, *commands)):
        first, second, third = ask(b"", ("ECHO", b"a"), ("EVALSHA", "0" * 40, 0), ("ECHO", b"b"))
        assert (first, type(second), third) == (b"a", NoScriptError, b"b")


def test_what_is_said_is_said_again_where_the_connection_is_lost(client: store.Client) -> None:
    lines = Lines(client)
    (before,) = names(lines)
    client.client_kill_filter(_id=before)
    assert len(names(lines)) == 1
    assert names(lines) != {before}


def test_a_password_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss\n")
    url = "redis+sentinel://worker@one.example,two.example:1/reminders"
    settings = Settings(store_url=url, store_password_file=tmp_path / "password")
    assert store.url_of(settings) == "redis+sentinel://worker:p%40ss@one.example,two.example:1/reminders"
    assert store.has_password("redis+cluster://a:hunter2@one.example,two.example")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://one.example",
        "redis+sentinel://one.example,/reminders",
        "redis+sentinel:///reminders",
        "redis+sentinel://one.example:port/reminders",
        "redis+sentinel://one.example/reminders/nought",
        "redis+cluster://one.example/1",
        "redis+cluster://one.example:port",
        "redis+cluster://",
        "unix+cluster://one.example",
        "amqp://a@one.example",
    ],
)
def test_what_is_no_such_url_is_said_so(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^store_url, queue_url: write them as "):
        store.connect(url)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for this machine, and whose it is."""
    folder, ours = tmp_path_factory.mktemp("tls"), trustme.CA()
    ours.cert_pem.write_to_path(folder / "ca.pem")
    ours.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return folder


class Terminator(Door):
    """Speaks TLS on a port of its own, and plainly with a server: ours was built without it."""

    def __init__(self, authority: Path, server: int) -> None:
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority / "server.pem")
        super().__init__()

    def serve(self, plain: socket.socket) -> None:
        with (
            self._context.wrap_socket(plain, server_side=True) as near,
            socket.create_connection(("127.0.0.1", self._server)) as far,
        ):
            back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
            back.start()
            self._copy(near, far)
            far.shutdown(socket.SHUT_RDWR)
            back.join()

    @staticmethod
    def _copy(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)


@pytest.mark.parametrize("kind", ["", "+cluster"])
def test_over_tls_the_server_has_to_show_who_it_is(authority: Path, tmp_path: Path, kind: str) -> None:
    port = engines.free_port()
    with Terminator(authority, port) as line:
        announced = "--cluster-announce-port", str(line.port), "--cluster-port", str(engines.free_port())
        cluster = ("--cluster-enabled", "yes", *announced) if kind else ()
        server = engines.Server(tmp_path / "one", *cluster, port=port).start()
        try:
            engines.until(server.client.ping)
            if kind:
                server.client.cluster("ADDSLOTSRANGE", 0, 16383)
                engines.until(lambda: server.client.cluster("INFO")["cluster_state"] == "ok")
            url = f"rediss{kind}://127.0.0.1:{line.port}"
            with store.connect(f"{url}?ssl_ca_certs={authority / 'ca.pem'}") as client:
                assert Schedule(client).beat("worker/1")
            with pytest.raises((redis.ConnectionError, StoreUnavailable)):
                store.connect(url, retry=store.retrying(0)).ping()
        finally:
            server.kill()
            server.client.close()


@pytest.mark.parametrize(("scheme", "secure"), [("redis", False), ("rediss", True)])
def test_a_server_behind_a_name_is_left_where_it_has_become_a_replica(
    monkeypatch: pytest.MonkeyPatch, scheme: str, *, secure: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise redis.exceptions.ReadOnlyError("READONLY")

    monkeypatch.setattr(redis.connection.AbstractConnection, "read_response", refuse)
    with store.connect(f"{scheme}://store.example") as client:
        connection = client.connection_pool.make_connection()
        assert isinstance(connection, SSLConnection) is secure
        with pytest.raises(redis.ConnectionError, match="replica"):
            connection.read_response()
