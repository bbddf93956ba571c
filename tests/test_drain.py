"""What is under way when a process is told to end: finished, and the rest given back; within the time of its unit."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from desk import Desk, new_key
from fake_twilio import FakeTwilio
from test_end_to_end import Installation, here, line, twilio

from reminder_worker import keys, status, store
from reminder_worker.ledger import Entry
from reminder_worker.ports import free_port
from reminder_worker.redisqueue import NAMES, NAMESPACE
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.testing.peer import Handler, Request

__all__ = ["here", "twilio"]  # fixtures
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
Told = Callable[[subprocess.Popen[bytes]], None]


def one(process: "subprocess.Popen[bytes]") -> None:
    """Tell the process alone, as systemd does (KillMode=mixed), and a container's init."""
    process.send_signal(signal.SIGTERM)


def all_of_them(process: "subprocess.Popen[bytes]") -> None:
    """Tell its children as well, as honcho does, and hosts that stop all processes of a container at once."""
    os.killpg(process.pid, signal.SIGTERM)


def twice(process: "subprocess.Popen[bytes]") -> None:
    """Tell it again while it ends, as somebody without patience does."""
    process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)


def hung_up(process: "subprocess.Popen[bytes]") -> None:
    """Tell all of them that their terminal is gone, as it does itself."""
    os.killpg(process.pid, signal.SIGHUP)


@contextlib.contextmanager
def started(here: Installation, *words: str, nohup: bool = False) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a process in a group of its own."""
    before = ["nohup"] * nohup
    with (here.folder / "log.jsonl").open("ab") as log:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "reminder_worker.cli", *words],
            cwd=here.folder, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for what other processes bring about."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return answer


def slow(twilio: FakeTwilio, seconds: float, times: int) -> None:
    """Let each call take so long."""

    def fault(handler: Handler, request: Request) -> None:
        twilio.closing.wait(seconds)
        handler.reply(twilio.accept(request))

    twilio.plan(fault, times)


def fetched(here: Installation) -> int:
    """Say how many wake-ups are with a worker, or were left there."""
    with contextlib.closing(store.connect(here.server.url(1))) as client:
        return sum(client.scard(key) for key in client.scan_iter(f"{NAMESPACE}:__acks__.*"))


def waiting(here: Installation) -> int:
    """Say how many wake-ups wait for a worker."""
    with contextlib.closing(store.connect(here.server.url(1))) as client:
        return int(client.llen(NAMES))


@pytest.mark.parametrize("tell", [one, all_of_them, twice, hung_up])
def test_a_worker_finishes_its_calls_whoever_is_told(here: Installation, twilio: FakeTwilio, tell: Told) -> None:
    slow(twilio, 4.0, 3)
    here.hand_in(*map(line, range(3)))
    with started(here, "scheduler"), started(here, "worker") as worker:
        until(lambda: len(twilio.requests) == 3)
        began = time.monotonic()
        tell(worker)
        assert worker.wait(60) == 0
        assert time.monotonic() - began < 20
    assert here.states() == {"sent": 3}


def test_a_worker_that_was_told_to_ignore_it_outlives_its_terminal(here: Installation, twilio: FakeTwilio) -> None:
    slow(twilio, 1.0, 3)
    here.hand_in(*map(line, range(3)))
    with started(here, "scheduler", nohup=True) as scheduler, started(here, "worker", nohup=True) as worker:
        until(lambda: len(twilio.requests) == 3)
        hung_up(scheduler)
        hung_up(worker)
        here.hand_in(*map(line, range(3, 6)))
        here.wait_for({"sent": 6})
        for process in (worker, scheduler):
            one(process)
            assert process.wait(60) == 0


def test_what_a_worker_had_fetched_is_another_s_at_once(here: Installation, twilio: FakeTwilio) -> None:
    slow(twilio, 1.0, 40)
    schedule = Schedule(store.connect(here.server.url()))
    with contextlib.closing(schedule.client), started(here, "scheduler"):
        with started(here, "worker", "--threads", "2") as worker:
            until(lambda: b'"worker_started"' in (here.folder / "log.jsonl").read_bytes())
            here.hand_in(*map(line, range(12)))
            until(lambda: fetched(here) >= 4 and not status.read(schedule).scheduled)
            one(worker)
            assert worker.wait(60) == 0
        done = len(twilio.accepted)
        assert 0 < done < 12
        assert fetched(here) == 0
        assert waiting(here) == 12 - done
        with started(here, "worker", "--threads", "12"):
            here.wait_for({"sent": 12})
    assert b'"swept"' not in (here.folder / "log.jsonl").read_bytes()  # nothing was lost, to be woken again


def test_a_worker_that_ends_leaves_what_comes_to_others(here: Installation, twilio: FakeTwilio) -> None:
    slow(twilio, 8.0, 1)
    here.hand_in(line(0))
    with started(here, "scheduler"), started(here, "worker") as worker:
        until(lambda: len(twilio.requests) == 1)
        one(worker)
        until(lambda: b'"worker_stopping"' in (here.folder / "log.jsonl").read_bytes())
        here.hand_in(line(1))
        until(lambda: waiting(here) == 1)
        assert not twilio.accepted  # it is still about the first
        assert worker.wait(60) == 0
        assert here.states() == {"sent": 1, "queued": 1}


def test_a_scheduler_wakes_all_that_it_took_and_takes_no_more(here: Installation, twilio: FakeTwilio) -> None:
    schedule = Schedule(store.connect(here.server.url()))
    due = datetime.now(UTC) - timedelta(minutes=1)
    for start in range(0, 20_000, 500):  # a queue without a limit would take them all within seconds
        ids = [number.to_bytes(16, "little") for number in range(start, start + 500)]
        schedule.add([Entry(id_, b"t" * 12, b"envelope", (due,)) for id_ in ids])
    with started(here, "scheduler") as scheduler:
        until(lambda: waiting(here))
        began = time.monotonic()
        one(scheduler)
        assert scheduler.wait(60) == 0
        assert time.monotonic() - began < 12
    now = status.read(schedule)
    assert now.scheduled + now.queued == 20_000
    assert now.scheduled
    assert waiting(here) == now.queued  # each that is leased has its wake-up
    schedule.client.close()


def test_a_scheduler_ends_well_with_its_terminal(here: Installation) -> None:
    with started(here, "scheduler") as scheduler:
        until(lambda: b"scheduler_started" in (here.folder / "log.jsonl").read_bytes())
        until(lambda: alive(here))
        hung_up(scheduler)
        assert scheduler.wait(60) == 0
    assert not alive(here)  # who ends in order says so


def alive(here: Installation) -> list[bytes]:
    with store.connect(here.server.url()) as client:
        found: list[bytes] = client.zrange("rw:{0}:processes", 0, -1)
        return found


@pytest.fixture
def gateway(here: Installation) -> tuple[str, int]:
    """Let the installation take calls; return an API key, and a port."""
    settings = here.folder / "reminder-worker.toml"
    text = settings.read_text().replace("keys/clinic.pub", "keys/gateway.pub")
    settings.write_text('hooks_url = "https://hooks.example"\n' + text)
    keys.new_gateway(here.folder / "keys")
    return new_key(here.folder / "keys"), free_port()


def is_up(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def test_web_answers_what_is_under_way_and_keeps_what_it_answered(here: Installation, gateway: tuple[str, int]) -> None:
    key, port = gateway
    public = PublicKeys.load(here.folder / "keys" / "worker.pub.json")
    answers: list[tuple[str, int]] = []
    unanswered: list[str] = []

    def hand_in(client: int) -> None:
        desk = Desk(port, key, public)
        for number in range(100_000):
            reference = f"A-{client}-{number}"
            try:
                answers.append((reference, desk.put(reference, **fields).status))
            except (OSError, http.client.HTTPException):
                unanswered.append(reference)
                return

    with started(here, "web", "--port", str(port)) as web:
        until(lambda: is_up(port))
        fields = Desk(port, key, public).fields()
        clients = [threading.Thread(target=hand_in, args=(client,)) for client in range(4)]
        for client in clients:
            client.start()
        until(lambda: len(answers) > 50)
        began = time.monotonic()
        one(web)
        assert web.wait(60) == 0
        assert time.monotonic() - began < 19
        for client in clients:
            client.join(30)
    assert {code for _, code in answers} == {201}
    assert len(unanswered) == 4  # each the one call that came too late
    with started(here, "web", "--port", str(port)):
        until(lambda: is_up(port))
        desk = Desk(port, key, public)
        assert {desk.get(reference).status for reference, _ in answers} == {200}


@pytest.mark.parametrize("tell", [one, hung_up])
@pytest.mark.parametrize("kind", ["web", "hooks"])
def test_a_call_that_has_begun_is_answered_and_no_other(
    here: Installation, gateway: tuple[str, int], kind: str, tell: Told
) -> None:
    key, port = gateway
    line = {"web": "PUT /v1/reminders/A-1", "hooks": f"POST /v1/receipts/twilio/{'a' * 39}"}[kind]
    said = "Host: x", f"Authorization: Bearer {key}", "Content-Type: application/json", "Content-Length: 10"
    head = "\r\n".join([f"{line} HTTP/1.1", *said, "Expect: 100-continue", "", "12345"])
    with started(here, kind, "--port", str(port)) as process:
        until(lambda: is_up(port))
        with socket.create_connection(("127.0.0.1", port), timeout=20) as begun:
            begun.sendall(head.encode())
            assert begun.recv(100).startswith(b"HTTP/1.1 100")  # it has begun to read
            tell(process)
            until(lambda: not is_up(port), 15)
            begun.sendall(b"67890")
            answer = http.client.HTTPResponse(begun)
            answer.begin()
            assert answer.status in {400, 422}  # it was read to its end
            assert json.loads(answer.read())["type"].startswith("urn:reminder-worker:")
        assert process.wait(60) == 0
