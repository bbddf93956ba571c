"""What is under way when a process is told to end: finished, and the rest given back; within the time of its unit."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_twilio import FakeTwilio
from test_end_to_end import Installation, here, line, twilio, write

from reminder_worker import store
from reminder_worker.broker import NAMESPACE, QUEUE
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


@contextlib.contextmanager
def started(here: Installation, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a process in a group of its own."""
    with (here.folder / "log.jsonl").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "reminder_worker.cli", *words],
            cwd=here.folder, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def until(found: Callable[[], Any], seconds: float = 30) -> Any:
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
        return int(client.llen(f"{NAMESPACE}:{QUEUE}"))


@pytest.mark.parametrize("tell", [one, all_of_them, twice])
def test_a_worker_finishes_its_calls_whoever_is_told(here: Installation, twilio: FakeTwilio, tell: Told) -> None:
    slow(twilio, 4.0, 3)
    write(here.folder / "a.jsonl", [line(number) for number in range(3)])
    here.type("enqueue", "a.jsonl")
    with started(here, "scheduler"), started(here, "worker") as worker:
        until(lambda: len(twilio.requests) == 3)
        began = time.monotonic()
        tell(worker)
        assert worker.wait(20) == 0
        assert time.monotonic() - began < 8
    assert here.states() == {"sent": 3}


def test_what_a_worker_had_fetched_is_another_s_at_once(here: Installation, twilio: FakeTwilio) -> None:
    slow(twilio, 1.0, 40)
    write(here.folder / "a.jsonl", [line(number) for number in range(12)])
    here.type("enqueue", "a.jsonl")
    with started(here, "scheduler"):
        with started(here, "worker", "--threads", "2") as worker:
            until(lambda: fetched(here) >= 4)
            one(worker)
            assert worker.wait(20) == 0
        done = len(twilio.accepted)
        assert 0 < done < 12
        assert fetched(here) == 0
        assert waiting(here) == 12 - done
        with started(here, "worker", "--threads", "12"):
            began = time.monotonic()
            until(lambda: len(twilio.accepted) == 12)
            assert time.monotonic() - began < 15  # and not the half minute after which what is lost is woken again
            here.wait_for({"sent": 12})
    assert b'"swept"' not in Path(here.folder / "log.jsonl").read_bytes()
