"""Real processes from a line of JSON to Twilio's HTTP interface, with faults, and what is left of it after."""

import contextlib
import http.client
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import practice
import pytest
from fake_twilio import TOKEN, FakeTwilio
from twilio.request_validator import RequestValidator

from reminder_worker import status, store
from reminder_worker.client import Appointment, Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Answer
from reminder_worker.ports import free_port
from reminder_worker.schedule import Schedule

PARIS = ZoneInfo("Europe/Paris")
PLACE = "17 quai des Brumes, Lyon"
REASON = "canari-oncologie"


class Installation:
    """A folder with keys, settings and a store, and what an operator types there."""

    def __init__(self, folder: Path, server: EmbeddedServer, twilio: FakeTwilio) -> None:
        self.folder = folder
        self.server = server
        self.said: list[str] = []
        table = "\n".join(f"{name} = {json.dumps(value)}" for name, value in twilio.table(folder).items())
        (folder / "reminder-worker.toml").write_text(
            f"""
            store_url = "{server.url()}"
            allow_numbers = ["+336"]
            [platforms.clinic]
            verify_key = "keys/clinic.pub"
            countries = ["FR"]
            [providers.twilio]
            {table}
            [providers.outbox]
            path = "outbox.jsonl"
            """
        )

    def type(self, *words: str, ok: int = 0) -> str:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "reminder_worker.cli", *words],
            cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == ok, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def processes(self, *more: str) -> Iterator[None]:
        """Run what the Procfile names, and end it as a supervisor would; ``more``: one more of them."""
        with (self.folder / "log.jsonl").open("ab") as log:
            running = [
                subprocess.Popen(
                    [sys.executable, "-m", "reminder_worker.cli", *words], cwd=self.folder, stdout=log, stderr=log
                )
                for words in (["scheduler"], ["worker"], more)
                if words
            ]
            try:
                yield
            finally:
                for process in running:
                    process.terminate()
                assert {process.wait(60) for process in running} == {0}

    def hand_in(self, *lines: dict[str, Any]) -> None:
        """Hand appointments in as ``enqueue`` does, but in this process."""
        with self.platform() as platform:
            answers = platform.add([Appointment.parse(one) for one in lines])
        assert set(answers) == {Answer.ADDED}

    @contextlib.contextmanager
    def platform(self) -> Iterator[Client]:
        with contextlib.closing(store.connect(self.server.url())) as client:
            yield practice.make(Schedule(client), self.folder / "keys")

    def shown(self) -> dict[str, int]:
        """Say how things stand, as an operator is shown it."""
        return self._states(json.loads(self.type("status", "--json")))

    def states(self) -> dict[str, int]:
        """Say the same in this process."""
        with contextlib.closing(store.connect(self.server.url())) as client:
            return self._states(asdict(status.read(Schedule(client))))

    @staticmethod
    def _states(now: dict[str, Any]) -> dict[str, int]:
        return now["ended"] | {name: now[name] for name in ("scheduled", "queued", "sending") if now[name]}

    def beats(self) -> list[str]:
        """Say which processes live, as the store knows it."""
        with contextlib.closing(store.connect(self.server.url())) as client:
            return [name.decode() for name in client.zrange("rw:{0}:processes", 0, -1)]

    def wait_for(self, states: dict[str, int], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while (found := self.states()) != states and time.monotonic() < deadline:
            time.sleep(0.1)
        assert found == states


@pytest.fixture
def twilio() -> Iterator[FakeTwilio]:
    with FakeTwilio() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, twilio: FakeTwilio) -> Iterator[Installation]:
    with EmbeddedServer(tmp_path / "valkey") as server:
        installation = Installation(tmp_path, server, twilio)
        practice.make_keys(tmp_path / "keys")
        yield installation


def line(number: int, **changes: Any) -> dict[str, Any]:
    """An appointment in two days, whose text falls due in a moment."""
    local = datetime.now(PARIS).replace(microsecond=0) + timedelta(days=2, seconds=number)
    lead = int((local - datetime.now(UTC)).total_seconds()) - 1
    fields = {
        "reference": f"dossier-{number}",
        "time": f"{local.isoformat()}[Europe/Paris]",
        "location": PLACE,
        "phone": f"+3361234{number:04d}",
        "language": "fr",
        "leads": [f"{lead}s"],
    }
    return fields | changes


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))


def test_a_file_of_appointments_reaches_phones_through_faults_and_leaves_nothing(
    here: Installation, twilio: FakeTwilio
) -> None:
    lines = [line(number) for number in range(40)]
    bad = [line(98, reason=REASON), line(99, location="Service d'oncologie"), line(97, phone="+33123")]
    write(here.folder / "a.jsonl", lines + bad)
    twilio.refuse(21610)  # opted out: final
    twilio.refuse(21606)  # our sender: the outbox takes over
    twilio.throttle("60")  # so it does here
    twilio.cut()  # may have been accepted: nobody else is asked
    here.type("enqueue", "a.jsonl", ok=1)
    with here.processes():
        here.wait_for({"sent": 38, "suppressed": 1, "sending": 1})
        assert here.shown() == {"sent": 38, "suppressed": 1, "sending": 1}
        here.type("show", "dossier-0", "--json")
    outbox = [json.loads(text) for text in (here.folder / "outbox.jsonl").read_text().splitlines()]
    accepted = [message["To"] for message in twilio.messages] + [text["to"] for text in outbox]
    assert len(accepted) == len(set(accepted)) == 39  # the one in doubt among them: nobody was texted twice
    assert {message["Body"].count("17 quai des Brumes, Lyon") for message in twilio.messages} == {1}
    assert all(1 <= int(message["ValidityPeriod"]) <= 36_000 for message in twilio.messages)
    search(here, lines)


def search(here: Installation, lines: list[dict[str, Any]]) -> None:
    """Look for every number, place, reason and time in all that an insider could hold."""
    canaries = {REASON, PLACE, "oncologie", "quai des Brumes"}
    for one in lines:
        moment = datetime.fromisoformat(one["time"].partition("[")[0])
        seconds = str(int(moment.timestamp()))
        canaries |= {one["phone"], one["phone"][1:], one["time"], one["reference"], f"{moment:%Y-%m-%dT%H:%M}", seconds}
    held = {"output": "".join(here.said).encode(), "log": (here.folder / "log.jsonl").read_bytes()}
    held |= {str(path): path.read_bytes() for path in here.server.folder.rglob("*") if path.is_file()}
    for database in (0, 1):
        with contextlib.closing(store.connect(here.server.url(database))) as client:
            held[f"database {database}"] = b"\n".join(
                part for key in client.scan_iter() for part in (key, client.dump(key))
            )
    assert held["log"]
    assert any(b"rw:{0}" in content for name, content in held.items() if "aof" in name)
    found = [(where, canary) for where, content in held.items() for canary in canaries if canary.encode() in content]
    assert not found


def test_a_reminder_that_was_cancelled_or_moved_is_not_sent_as_it_was(here: Installation, twilio: FakeTwilio) -> None:
    later = [line(1, leads=["47h"]), line(2, leads=["47h"])]
    write(here.folder / "a.jsonl", later)
    here.type("enqueue", "a.jsonl")
    assert here.type("cancel", "dossier-1") == "cancelled\n"
    write(here.folder / "b.jsonl", [line(2)])
    assert here.type("enqueue", "b.jsonl") == "1 moved\n"
    with here.processes():
        here.wait_for({"cancelled": 1, "sent": 1})
    assert [message["To"] for message in twilio.messages] == ["+33612340002"]


def test_a_scheduler_needs_no_key_and_no_provider(here: Installation) -> None:
    for path in (here.folder / "keys").iterdir():
        path.unlink()
    (here.folder / "token").unlink()
    with (here.folder / "log.jsonl").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "reminder_worker.cli", "scheduler"], cwd=here.folder, stdout=log, stderr=log
        )
        deadline = time.monotonic() + 60
        while not here.beats() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        assert process.wait(60) == 0
    assert b"scheduler_stopped" in (here.folder / "log.jsonl").read_bytes()


def test_sigterm_finishes_what_is_in_flight(here: Installation, twilio: FakeTwilio) -> None:
    twilio.drip(0.002)
    here.hand_in(line(1))
    with here.processes():
        deadline = time.monotonic() + 60
        while not twilio.requests and time.monotonic() < deadline:
            time.sleep(0.02)
    assert here.states() == {"sent": 1}
    assert os.path.getsize(here.folder / "log.jsonl")  # noqa: PTH202


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_worker_that_is_killed_leaves_no_process_behind(here: Installation) -> None:
    with (here.folder / "log.jsonl").open("wb") as log:
        parent = subprocess.Popen(
            [sys.executable, "-m", "reminder_worker.cli", "worker"], cwd=here.folder, stdout=log, stderr=log
        )
        deadline = time.monotonic() + 60
        while not here.beats() and time.monotonic() < deadline:
            time.sleep(0.1)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        parent.kill()
        parent.wait()
    assert children
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def call(port: int, path: str, form: dict[str, str]) -> int:
    """Call the hooks process as Twilio does, once it is up."""
    signature = RequestValidator(TOKEN).compute_signature(f"https://hooks.example{path}", form)
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", path, urlencode(form), headers)
            return connection.getresponse().status
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        finally:
            connection.close()


def test_receipts_and_replies_come_back_and_leave_nothing_behind(here: Installation, twilio: FakeTwilio) -> None:
    settings = here.folder / "reminder-worker.toml"
    settings.write_text('hooks_url = "https://hooks.example"\n' + settings.read_text())
    port = free_port()
    lines = [line(1), line(2), line(3)]
    write(here.folder / "a.jsonl", lines)
    twilio.cut()  # the first one is in doubt, until its receipt tells
    here.type("enqueue", "a.jsonl")
    with here.processes("hooks", "--port", str(port)):
        here.wait_for({"sent": 2, "sending": 1})
        for number, message in enumerate(twilio.messages):
            path = urlsplit(message["StatusCallback"]).path
            status = {"MessageSid": f"SM{number:032x}", "MessageStatus": "delivered", "To": message["To"]}
            assert call(port, path, status) == 200
        here.wait_for({"delivered": 3})
        said = {"+33612340001": f"oui, pour mon {REASON}", "+33612340002": f"STOP, plus de {REASON}"}
        for sender, text in said.items():
            form = {"MessageSid": f"SM{secrets.token_hex(16)}", "From": sender, "To": "+15005550006", "Body": text}
            assert call(port, "/v1/replies/twilio", form) == 200
        again = [line(4, phone="+33612340002"), line(5, phone="+33612340003")]
        deadline = time.monotonic() + 60
        with here.platform() as platform:
            while platform.show("dossier-1")[0].reply != "confirmed":
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert json.loads(here.type("show", "dossier-1", "--json"))[0]["reply"] == "confirmed"
        write(here.folder / "b.jsonl", again)
        here.type("enqueue", "b.jsonl")
        here.wait_for({"delivered": 3, "suppressed": 1, "sent": 1})
        assert here.shown() == {"delivered": 3, "suppressed": 1, "sent": 1}
    search(here, lines + again)
