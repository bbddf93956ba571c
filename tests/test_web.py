"""The gateway as an operator starts it: one process, with no key of the worker's on the machine."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from desk import PHONE, PLACE, Desk, make_keys, new_key, path

from reminder_worker import store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ports import free_port
from reminder_worker.sealing import PublicKeys

NEEDED = "gateway.key", "api-keys.json", "worker.pub.json"


@dataclass
class Started:
    """The process, and a platform's way to it."""

    process: subprocess.Popen
    desk: Desk
    folder: Path

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        return code, (self.folder / "log").read_text()


@pytest.fixture
def started(
    request: pytest.FixtureRequest, server: EmbeddedServer, client: store.Client, tmp_path: Path
) -> Iterator[Started]:
    make_keys(tmp_path / "all")
    key = new_key(tmp_path / "all")
    (tmp_path / "keys").mkdir()
    for name in NEEDED:
        shutil.copy(tmp_path / "all" / name, tmp_path / "keys" / name)
    (tmp_path / "reminder-worker.toml").write_text(
        f'store_url = "{server.url()}"\n{getattr(request, "param", "")}'
        '[platforms.clinic]\nverify_key = "keys/gateway.pub"\n'
    )
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REMINDER_")}
    command = [sys.executable, "-m", "reminder_worker.cli", "web", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    desk = Desk(port, key, PublicKeys.load(tmp_path / "keys" / "worker.pub.json"))
    try:
        wait_until_ready(desk)
        yield Started(process, desk, tmp_path)
    finally:
        process.kill()
        process.wait()


def wait_until_ready(desk: Desk) -> None:
    def ready() -> bool:
        with contextlib.suppress(OSError):
            assert desk.ask("GET", "/readyz").status == 200
            return True
        return False

    wait_until(ready)


def wait_until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_it_works_with_no_private_key_of_the_worker_s_and_says_nothing_of_whom(
    started: Started, client: store.Client
) -> None:
    assert sorted(file.name for file in (started.folder / "keys").iterdir()) == sorted(NEEDED)
    assert started.desk.put("Reference-7").status == 201
    assert started.desk.get("Reference-7").status == 200
    wait_until(lambda: [name for name in client.zrange(b"rw:{0}:processes", 0, -1) if name.startswith(b"web/")])
    code, said = started.stop()
    assert code == 0
    assert {"web_started", "web_stopped"} <= {json.loads(line)["event"] for line in said.splitlines()}
    for secret in ("Reference-7", PLACE, PHONE, started.desk.key, "clinic"):
        assert secret not in said


@pytest.mark.parametrize(
    ("started", "form", "count"),
    [
        (f'access_log = {wanted}\nlog_format = "{form}"\n', form, 2 if wanted == "true" else 0)
        for form in ("json", "console")
        for wanted in ("true", "false")
    ],
    indirect=["started"],
)
def test_requests_are_logged_where_that_is_wanted_by_their_routes_alone(
    started: Started, form: str, count: int
) -> None:
    assert started.desk.put("Reference-7").status == 201
    assert started.desk.ask("GET", f"{path('Reference-7')}?q={PHONE}").status == 422
    assert started.desk.ask("GET", f"/{PHONE}").status == 404
    code, said = started.stop()
    assert code == 0
    for secret in ("Reference-7", PLACE, PHONE[1:], started.desk.key, "clinic", "127.0.0.1"):
        assert secret not in said
    asked = [line for line in said.splitlines() if "{reference}" in line]
    assert len(asked) == count
    assert {line.startswith("{") for line in said.splitlines()} == {form == "json"}


def test_when_it_is_told_to_stop_it_finishes_what_is_under_way(started: Started, client: store.Client) -> None:
    body = json.dumps(started.desk.fields()).encode()
    with socket.create_connection(("127.0.0.1", started.desk.port), timeout=20) as line:
        head = f"PUT {path('A-1')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {started.desk.key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        line.sendall(head.encode() + body[:9])
        assert line.recv(100).startswith(b"HTTP/1.1 100")  # it has begun to read
        wait_until(lambda: client.zcard("rw:{0}:processes"))
        started.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_closed(started.desk.port))
        line.sendall(body[9:])
        answer = http.client.HTTPResponse(line)
        answer.begin()
        assert (answer.status, json.loads(answer.read())) == (201, {"result": "added"})
    assert started.stop()[0] == 0
    assert not client.zcard("rw:{0}:processes")  # it said that it ends


def is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("gone", NEEDED)
def test_without_what_it_needs_it_says_so_in_one_line(started: Started, gone: str) -> None:
    (started.folder / "keys" / gone).unlink()
    command = [sys.executable, "-m", "reminder_worker.cli", "web", "--port", "1"]
    done = subprocess.run(command, cwd=started.folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("reminder-worker: error: ")
    assert gone in done.stderr.splitlines()[-1]
