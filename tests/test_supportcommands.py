"""``reminder-worker find`` as support types it, in processes of its own: at a terminal, and with a pipe."""

import fcntl
import json
import os
import pty
import re
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import practice
import pytest
from rich.console import Console
from scripted import PHONE

from reminder_worker import acts, screen, supportcommands
from reminder_worker.enquiry import Found, Trace
from reminder_worker.errors import StoreUnavailable
from reminder_worker.optouts import EVERYBODY, Tags
from reminder_worker.schedule import Schedule

COMMAND = [sys.executable, "-m", "reminder_worker.cli", "find"]
PAGE = " ".join((Path(__file__).parents[1] / "docs" / "support.md").read_text("utf-8").split())


@pytest.fixture
def shop(tmp_path: Path, server, schedule: Schedule) -> dict[str, str]:
    """A worker's folder, whose one person has opted out; the variables that lead there."""
    practice.make_keys(tmp_path / "keys")
    schedule.client.xadd(
        schedule.prefix(0) + b"stops", {b"tag": Tags.load(tmp_path / "keys").optout(EVERYBODY, PHONE), b"on": b"1"}
    )
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    mine = strict | {name: value for name, value in os.environ.items() if not name.startswith("REMINDER_")}
    return mine | {"REMINDER_STORE_URL": server.url(), "REMINDER_KEYS": str(tmp_path / "keys")}


def find(shop: dict[str, str], stdin: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *words], input=stdin, env=shop, capture_output=True, timeout=60, check=False)


def test_a_number_may_be_piped_and_is_not_printed_back(shop: dict[str, str], schedule: Schedule) -> None:
    done = find(shop, f"{PHONE}\n+33612340099\n".encode())
    assert done.returncode == 0
    assert re.match(rb"opted out: since 20\S+ \S+Z\nno reminder was about to be sent in the last 8 days\n", done.stdout)
    assert PHONE[1:].encode() not in done.stdout + done.stderr
    assert json.loads(done.stderr)["state"] == "opted_out"
    assert [act.result for act in acts.read(schedule)] == ["opted_out"]


@pytest.mark.parametrize("stdin", [b"", b"\n", b"\xff\xfe\n", b"canary 0612345678\n"])
def test_what_is_no_number_is_refused_in_one_line(shop: dict[str, str], schedule: Schedule, stdin: bytes) -> None:
    done = find(shop, stdin)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert done.stderr.startswith(b"reminder-worker: error: phone: ")
    assert b"canary" not in done.stderr
    assert acts.read(schedule) == []


def test_a_number_cannot_be_an_argument(shop: dict[str, str]) -> None:
    done = find(shop, b"", PHONE)
    assert (done.returncode, done.stdout) == (2, b"")
    assert PHONE[1:].encode() not in done.stderr


def test_without_the_pepper_nothing_is_asked(shop: dict[str, str], schedule: Schedule) -> None:
    done = find(shop | {"REMINDER_KEYS": "none"}, PHONE.encode())
    assert (done.returncode, b"optouts.pepper" in done.stderr) == (2, True)
    assert schedule.client.exists(schedule.prefix(0) + b"find") == 0


def test_at_a_terminal_a_number_is_typed_unseen(shop: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        COMMAND,
        env=shop,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - nothing of ours is locked in it
    ) as process:
        os.close(theirs)
        shown = b""
        while b"hidden" not in shown:
            shown += os.read(ours, 1000)
        until = time.monotonic() + 60
        while termios.tcgetattr(ours)[3] & termios.ECHO and time.monotonic() < until:
            time.sleep(0.01)
        os.write(ours, f"{PHONE}\n".encode())
        shown += b"".join(iter(lambda: read(ours), b""))
    os.close(ours)
    assert process.returncode == 0
    assert b"opted out: since 20" in shown
    assert PHONE[1:].encode() not in shown


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1000)
    except OSError:  # the other end is closed
        return b""


def test_what_was_found_is_a_row_each_and_what_cannot_be_known_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "console", Console(width=300, highlight=False, markup=False, emoji=False))
    noon = datetime(2027, 3, 1, 12, tzinfo=UTC)
    screen.print_found(Found(None, (Trace(noon.date(), "undelivered", "unreachable", "twilio", noon, noon),)))
    shown = " ".join(capsys.readouterr().out.split())
    assert "opted out: no" in shown
    times = "2027-03-01 12:00:00Z 2027-03-01 12:00:00Z"
    assert f"2027-03-01 undelivered twilio {times} unreachable" in shown
    assert " ".join(screen.UNSEEN.split()) in shown
    for part in ("what still waits", "what ended before a provider was to be asked", "what test keys sent"):
        assert part in screen.UNSEEN
        assert part in PAGE


def test_a_store_that_hangs_is_asked_twice_and_given_up(tmp_path):
    """The first question tells, and what a command would ask next is not asked."""
    settings = tmp_path / "hangs.toml"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings.write_text(f'store_url = "redis://127.0.0.1:{mute.getsockname()[1]}/0"\n')
        with pytest.raises(StoreUnavailable):
            supportcommands.open_ledger(settings)
        assert len(list(waiting(mute))) == 2


def waiting(mute: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that nobody has answered."""
    mute.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            with mute.accept()[0] as connection:
                yield connection
