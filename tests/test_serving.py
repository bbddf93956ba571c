"""Where a process is reached: said before it starts, and before anybody takes it for one that lives."""

import asyncio
import gc
import socket
import struct
import subprocess
import sys
import time
import weakref

import pytest
import uvicorn
from starlette.applications import Starlette
from uvicorn.server import ServerState

from reminder_worker import serving, store
from reminder_worker.connection import PATIENCE, Connection
from reminder_worker.errors import SettingsError
from reminder_worker.schedule import Schedule
from reminder_worker.serving import Process, listening


def test_a_port_in_use_and_an_address_of_others_are_refused_in_words() -> None:
    with listening("127.0.0.1", 0) as (taken,):
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match="port: is in use"), listening("127.0.0.1", port):
            pass
    with listening("127.0.0.1", port):
        pass
    for host in ("192.0.2.1", "nobody.invalid"):
        with pytest.raises(SettingsError, match="host: this machine has no such address"), listening(host, port):
            pass


def test_the_end_of_an_answer_does_not_wait_until_its_head_is_acknowledged() -> None:
    with listening("127.0.0.1", 0) as (entrance,), socket.create_connection(entrance.getsockname()):
        line, _ = entrance.accept()
        with line:
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("resets", [False, True])
def test_of_who_has_hung_up_nothing_is_kept(*, resets: bool) -> None:
    """A timer of a connection would keep it: thousands of them, where somebody calls again and again."""
    made: list[weakref.ref[Connection]] = []

    async def call(config: uvicorn.Config) -> None:
        def connection() -> Connection:
            one = Connection(config, ServerState(), {})
            made.append(weakref.ref(one))
            return one

        async with await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0) as entrance:
            for asked in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
                reader, writer = await asyncio.open_connection(*entrance.sockets[0].getsockname())
                writer.write(asked)
                if asked:
                    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
                if resets:  # with no farewell
                    line = writer.get_extra_info("socket")
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.close()
            until = time.monotonic() + PATIENCE / 2
            while any(one() for one in made) or not made[1:]:
                assert time.monotonic() < until
                await asyncio.sleep(0.05)
                gc.collect()

    config = serving.server(Starlette(), "127.0.0.1", 0).config
    config.load()
    asyncio.run(call(config))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_whoever_connects_is_heard(host: str) -> None:
    with listening(host, 0) as entrances:
        for entrance in entrances:
            with socket.create_connection(entrance.getsockname()[:2], timeout=5), entrance.accept()[0]:
                pass
    assert entrances


def test_a_name_is_listened_to_at_all_its_addresses_that_are_this_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def several(*_: object, **__: object) -> list[object]:
        kind = socket.AF_INET, socket.SOCK_STREAM, 6, ""
        return [(*kind, (host, 0)) for host in ("127.0.0.1", "192.0.2.1", "127.0.0.2")]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    with listening("several", 0) as entrances:
        assert [one.getsockname()[0] for one in entrances] == ["127.0.0.1", "127.0.0.2"]


def test_a_process_that_starts_without_a_store_says_so(caplog: pytest.LogCaptureFixture) -> None:
    app = Process("web", Schedule(store.connect("unix:///none.sock", retry=None))).app([])

    async def live() -> None:
        async with app.router.lifespan_context(app), asyncio.timeout(20):
            while "store_away" not in caplog.messages:  # noqa: ASYNC110 - another thread says it
                await asyncio.sleep(0.01)

    asyncio.run(live())


def test_a_process_that_can_open_no_more_files_says_so_in_few_lines() -> None:
    """asyncio tries again after a second, and says each time of as many as may wait that it cannot take them."""
    code = """
import resource, threading, time
from starlette.applications import Starlette
from reminder_worker import logs, serving
logs.set_up()
with serving.listening("127.0.0.1", 0) as entrances:
    print(entrances[0].getsockname()[1], flush=True)
    server = serving.server(Starlette(), "127.0.0.1", 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    threading.Timer(3, lambda: setattr(server, "should_exit", True)).start()
    server.run(sockets=entrances)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(40)]
        _, said = process.communicate(timeout=30)
        for one in silent:
            one.close()
    assert 0 < said.count('"logger": "asyncio"') < 2_000
