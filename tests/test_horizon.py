"""Reminders further ahead than keys are published: each way in says until when they are, and takes them later."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import practice
import pytest
import time_machine
from desk import Desk, make_keys, opened
from practice import ahead, fields, lines

from reminder_worker import enqueue, keys, records
from reminder_worker.client import Appointment, HttpClient
from reminder_worker.encoding import to_text
from reminder_worker.errors import Reason, Refused
from reminder_worker.ledger import Answer
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys

FAR = fields("A-9", time=ahead(weeks=60), leads=["24h"])
NEAR = fields("A-1", time=ahead(weeks=52), leads=["24h"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys")
    keys.new_platform(practice.NAME, tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def end(folder: Path) -> str:
    """What is said: the last day of the published keys, and no day of the appointment."""
    last = PublicKeys.load(folder / "worker.pub.json").last_day
    assert datetime.fromisoformat(last).replace(tzinfo=UTC) > datetime.now(UTC) + timedelta(weeks=52)
    assert last not in FAR["time"]
    return f"the published keys end on {last}; fetch them again, or hand it in once they reach it"


def tell(answer: Answer | Refused) -> tuple[Reason, str]:
    assert isinstance(answer, Refused)
    return answer.reason, str(answer)


def test_beside_the_ledger(schedule: Schedule, folder: Path, end: str) -> None:
    client = practice.make(schedule, folder)
    near, far = client.add([Appointment.parse(NEAR), Appointment.parse(FAR)])
    assert near is Answer.ADDED
    assert tell(far) == (Reason.TIME_TOO_FAR, f"time: {end}")
    assert client.show("A-9") == []


def test_it_is_taken_once_the_keys_reach_it(schedule: Schedule, folder: Path) -> None:
    later = datetime.now(UTC) + timedelta(weeks=10)
    (folder / "worker.pub.json").write_text(keys.public(folder, later))
    with time_machine.travel(later):
        assert practice.make(schedule, folder).add([Appointment.parse(FAR)]) == [Answer.ADDED]


@pytest.fixture
def desk(schedule: Schedule, folder: Path) -> Iterator[Desk]:
    with opened(schedule, folder) as one:
        yield one


@pytest.fixture
def caller(desk: Desk) -> HttpClient:
    pinned = to_text(desk.public.pointers[-1])
    return HttpClient(f"http://127.0.0.1:{desk.port}", desk.key, platform="clinic", pinned=pinned, patience=5)


def test_through_the_gateway(desk: Desk, caller: HttpClient, end: str) -> None:
    near, far = caller.add([Appointment.parse(NEAR), Appointment.parse(FAR)])
    assert near is Answer.ADDED
    assert tell(far) == (Reason.TIME_TOO_FAR, f"time: {end}")
    answer = desk.put("A-9", time=FAR["time"], leads=["24h"])
    assert (answer.status, answer.body["title"], answer.body["field"]) == (422, "time_too_far", "time")
    assert answer.body["detail"] == f"time: {end}"
    assert FAR["time"][:10] not in json.dumps(answer.body)


def test_as_lines_where_every_record_matters(caller: HttpClient, end: str, capfd: pytest.CaptureFixture[str]) -> None:
    counts = enqueue.run(caller, records.read("jsonl", io.BytesIO(lines(NEAR, FAR))))
    assert counts == {"added": 1, "refused": 1}
    assert capfd.readouterr().err == f"line 2: time_too_far: time: {end}\n"


CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
{}END:VCALENDAR
"""
EVENT = """\
BEGIN:VEVENT
UID:{0}
DTSTAMP:20260101T000000Z
DTSTART:{1:%Y%m%dT%H%M%SZ}
LOCATION:12 rue des Lilas
ATTENDEE;LANGUAGE=fr:tel:+33612345678
END:VEVENT
"""


@pytest.mark.parametrize("weeks", [53.5, 60])
def test_as_a_calendar_whose_next_export_brings_it_again(
    caller: HttpClient, capfd: pytest.CaptureFixture[str], weeks: float
) -> None:
    events = "".join(EVENT.format(*one) for one in (("near", at(52)), ("far", at(weeks))))
    text = CALENDAR.format(events).replace("\n", "\r\n").encode()
    said = enqueue.defaults("ics", location=None, language=None, country=None, zone="Europe/Paris")
    assert enqueue.run(caller, records.read("ics", io.BytesIO(text), said), said) == {"added": 1, "later": 1}
    assert capfd.readouterr().err == ""


def at(weeks: float) -> datetime:
    return datetime.now(UTC) + timedelta(weeks=weeks)
