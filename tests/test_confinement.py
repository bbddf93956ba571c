"""What a process gives up when it starts, seen from outside: by its limits, its files, and who may attach to it."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import desk
import pytest

from reminder_worker.ports import free_port

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")

SETTINGS = (
    'store_url = "{url}"\nhooks_url = "https://hooks.example"\n[platforms.clinic]\nverify_key = "keys/clinic.pub"\n'
)
OUTBOX = '[providers.outbox]\npath = "outbox.jsonl"\n'


def child(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


CONFINED = "import os, resource, signal, sys\nfrom reminder_worker.confinement import confine\nconfine()\n"


def test_no_core_dump_is_written_and_files_are_for_their_owner(tmp_path: Path) -> None:
    code = f"{CONFINED}open(sys.argv[1], 'w').close()\nprint(resource.getrlimit(resource.RLIMIT_CORE))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "file"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 0)"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_no_session_keys_are_written_by_whoever_makes_a_context(tmp_path: Path) -> None:
    made = "import ssl\nprint(ssl.create_default_context().keylog_filename)"
    environment = os.environ | {"SSLKEYLOGFILE": str(tmp_path / "keys")}
    for confined, known in ((CONFINED, "None"), ("", str(tmp_path / "keys"))):
        words = [sys.executable, "-c", confined + made]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == known


@linux
def test_a_process_is_not_dumpable() -> None:
    assert child(f"{CONFINED}import ctypes\nprint(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))") == "0"  # PR_GET_DUMPABLE


@linux
def test_another_process_of_the_same_user_cannot_look_into_it() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody without rights")
    look = """
os.setuid(65534)
{confined}
target = os.getpid()
if os.fork() == 0:
    try:
        open(f"/proc/{{target}}/mem", "rb").close()
        print("seen", flush=True)
    except PermissionError:
        print("refused", flush=True)
    os._exit(0)
os.wait()
"""
    for confined, answer in (
        ("import ctypes; ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)", "seen"),
        ("confine()", "refused"),
    ):
        code = CONFINED.replace("confine()\n", "") + look.format(confined=confined)
        assert child(code) == answer


@linux
def test_a_command_that_waits_for_a_secret_dumps_no_core_either(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reminder_worker.cli", "keys", "new", "operator", "ada", tmp_path / "operators"]
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]

    def may_dump() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # which a shell has its background ignore

    limits, deadline = "", time.monotonic() + 20
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, preexec_fn=may_dump) as asking:  # noqa: PLW1509
        while not re.search(r"(?m)^Max core file size +0 +0 ", limits):
            assert time.monotonic() < deadline, "it may still dump core"
            limits = Path(f"/proc/{asking.pid}/limits").read_text()
            time.sleep(0.01)
        asking.send_signal(signal.SIGQUIT)  # Ctrl-\ at its question
        _, status = os.waitpid(asking.pid, 0)
    assert (os.WTERMSIG(status), os.WCOREDUMP(status)) == (signal.SIGQUIT, False)


@pytest.fixture
def running(tmp_path: Path, server, client) -> Iterator[Callable[..., int]]:
    """Start a process of ours, and return the id of it or of its newest child once it beats."""
    started: list[subprocess.Popen[bytes]] = []
    desk.make_keys(tmp_path / "keys", "clinic")
    (tmp_path / "reminder-worker.toml").write_text(
        SETTINGS.format(url=server.url()).replace("clinic.pub", "gateway.pub") + OUTBOX
    )

    def start(kind: str, *words: str) -> int:
        command = [sys.executable, "-m", *(words or ["reminder_worker.cli", kind])]
        with (tmp_path / "log").open("wb") as log:
            started.append(subprocess.Popen(command, cwd=tmp_path, stderr=log))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for name in client.zrange("rw:{0}:processes", 0, -1):
                if name.startswith(f"{kind}/".encode()):
                    return int(name.partition(b"/")[2].partition(b"-")[0])
            time.sleep(0.05)
        pytest.fail(f"{kind} did not start: {(tmp_path / 'log').read_text()}")

    yield start
    for process in started:
        process.terminate()
        process.wait(60)


@linux
@pytest.mark.parametrize("command", ["scheduler", "worker", "web", "hooks", "dramatiq reminder_worker.startup:setup"])
def test_every_process_is_confined_when_it_works(running: Callable[..., int], command: str) -> None:
    port = str(free_port())
    words = {
        "web": ["reminder_worker.cli", "web", "--port", port],
        "hooks": ["reminder_worker.cli", "hooks", "--port", port],
    }.get(command, command.split() if " " in command else [])
    pid = running("worker" if " " in command else command, *words)
    status = Path(f"/proc/{pid}/status").read_text()
    parent = re.search(r"(?m)^PPid:\t(\d+)$", status)
    assert parent
    for one in [str(pid)] + [parent[1]] * (command == "worker"):  # it has looked at the keys as well
        limits, status = (Path(f"/proc/{one}/{file}").read_text() for file in ("limits", "status"))
        assert re.search(r"(?m)^Max core file size +0 +0 ", limits)
        assert re.search(r"(?m)^Umask:\t0077$", status)
