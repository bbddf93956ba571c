"""The Procfile under honcho, as somebody runs it who develops: all processes, one reminder, and no process left."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, make_keys, new_key
from estate import ROOT, soon
from test_containers import parse
from test_drain import until

from reminder_worker.ops import operators
from reminder_worker.ports import free_port
from reminder_worker.sealing import PublicKeys
from reminder_worker.store import EMBEDDED_FOLDER

PROCFILE = (ROOT / "Procfile").read_text()
LINES = dict(re.findall(r"(?m)^(\w+): (.*)$", PROCFILE))
KINDS = "web", "hooks", "scheduler", "worker", "ops"
PAGE = (ROOT / "docs" / "deploying.md").read_text()
needs_honcho = pytest.mark.skipif(sys.platform == "win32", reason="the lines are a shell's")


def filled(line: str, variables: dict[str, str]) -> list[str]:
    """Return what a shell makes of a line."""
    said = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True, env=variables
    )
    return said.stdout.splitlines()


def test_it_names_each_process_and_what_the_command_line_knows() -> None:
    assert tuple(LINES) == KINDS
    for kind, line in LINES.items():
        shell, program, *words = filled(line, {})
        assert (shell, program) == ("exec", "reminder-worker")  # no shell stands between it and who ends it
        assert parse(words) == kind


def test_web_listens_where_the_host_says_and_nowhere_else_unless_told() -> None:
    assert filled(LINES["web"], {})[3:] == ["--host", "127.0.0.1", "--port", "8080"]
    assert filled(LINES["web"], {"PORT": "5000"})[3:] == ["--host", "127.0.0.1", "--port", "5000"]
    assert filled(LINES["web"], {"PORT": "80", "LISTEN": "0.0.0.0"})[3:] == ["--host", "0.0.0.0", "--port", "80"]
    assert [kind for kind, line in LINES.items() if "$" in line] == ["web"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as the page describes it, with ports that are free."""
    (settings,) = re.findall(r"```toml\n(hooks_url.*?)```", PAGE, re.DOTALL)
    (tmp_path / "reminder-worker.toml").write_text(settings)
    ports = {"8081": str(free_port()), "8082": str(free_port())}
    (tmp_path / "Procfile").write_text(re.sub(r"808[12]", lambda found: ports[found[0]], PROCFILE))
    make_keys(tmp_path / "keys")
    operators.enter(tmp_path / "keys" / operators.FILE, "ada", "a long password", datetime.now(UTC))
    return tmp_path


@contextlib.contextmanager
def honcho(folder: Path, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """Run it as a developer's terminal would."""
    bin_ = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("REMINDER_", "PORT"))}
    environment |= {"PATH": f"{bin_}:{os.environ['PATH']}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "honcho", "start", "--port", str(port)],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for pid in {process.pid, *started_in(folder)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(60)


def started_in(folder: Path) -> set[int]:
    """Return the processes that work in a folder."""
    found = set()
    for one in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (one / "cwd").resolve() == folder.resolve() and (one / "stat").read_text().split()[2] != "Z":
                found.add(int(one.name))
    return found


def status(folder: Path) -> Any:
    """Ask as an operator would."""
    command = [sys.executable, "-m", "reminder_worker.cli", "status", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def beating(folder: Path) -> dict[str, int]:
    """Say how many of each kind live."""
    names = [name.partition("/")[0] for name, silent in status(folder)["processes"].items() if silent < 20]
    return {name: names.count(name) for name in names}


@needs_honcho
@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="who is left is told by /proc")
def test_everything_starts_sends_and_ends(folder: Path) -> None:
    port, key = free_port(), new_key(folder / "keys")
    with honcho(folder, port) as process:
        until((folder / EMBEDDED_FOLDER).exists, 60)  # what only looks makes no store
        until(lambda: beating(folder) == {"web": 1, "hooks": 1, "scheduler": 1, "worker": 2, "ops": 1}, 60)
        desk = Desk(port, key, PublicKeys.load(folder / "keys" / "worker.pub.json"))
        assert desk.put("A-1", **soon()).status == 201
        sent = until(lambda: (folder / "outbox.jsonl").exists() and (folder / "outbox.jsonl").read_text(), 60)
        assert [json.loads(line)["to"] for line in sent.splitlines()] == ["+33612345678"]
        until(lambda: status(folder)["ended"] == {"sent": 1})
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM  # honcho says so itself; what it ran ended well
        assert time.monotonic() - began < 30
        log = (folder / "log").read_text()
        stopped = dict(re.findall(r"(\w+)\.1 stopped \(rc=(-?\d+)\)", log))
        assert stopped == dict.fromkeys(KINDS, "0"), log
        assert "SIGKILL" not in log
        until(lambda: not started_in(folder), 60)  # the embedded store ends when nobody has used it for a while
