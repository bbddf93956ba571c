import io
import json
import tracemalloc
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import practice
import pytest

from reminder_worker import enqueue, records, store
from reminder_worker.errors import Reason, Refused, SettingsError, StoreUnavailable
from reminder_worker.job import State
from reminder_worker.ledger import Answer, Reminder
from reminder_worker.records import Cancelled, PassedOver
from reminder_worker.schedule import Schedule


class Accepts:
    """A client that accepts everything, and cannot reach its store from some batch on."""

    def __init__(self, batches: float = float("inf")) -> None:
        self.batches = batches
        self.sizes: list[int] = []

    def add(self, appointments: list) -> list[Answer]:
        if len(self.sizes) >= self.batches:
            raise StoreUnavailable("the store did not answer (TimeoutError); is it running and not full?")
        self.sizes.append(len(appointments))
        return [Answer.ADDED] * len(appointments)


class Failing(Schedule):
    """A schedule whose store goes away after some calls."""

    calls = 0

    def add(self, entries):
        self.calls -= 1
        if self.calls < 0:
            raise StoreUnavailable("the store did not answer (ConnectionError); is it running and not full?")
        return super().add(entries)


@pytest.fixture
def clinic(schedule: Schedule, tmp_path: Path):
    return practice.make(schedule, tmp_path / "keys")


def run(client, *lines) -> Counter[str]:
    return enqueue.run(client, records.read("jsonl", io.BytesIO(practice.lines(*lines))))


def test_what_is_new_is_added_and_again_unchanged_and_changed_moved(clinic):
    a, b = practice.fields("A"), practice.fields("B")
    assert run(clinic, a, b) == {"added": 2}
    assert run(clinic, a, b) == {"unchanged": 2}
    assert run(clinic, a | {"location": "3 Mill Lane"}, b) == {"moved": 1, "unchanged": 1}


def test_a_reference_may_come_twice_in_one_file(clinic):
    a = practice.fields("A")
    assert run(clinic, a, a, a | {"language": "en"}) == {"added": 1, "unchanged": 1, "moved": 1}


def test_bad_lines_are_named_and_the_others_go_on(clinic, capsys):
    counts = run(
        clinic,
        practice.fields("A", phone="12"),
        b"",
        b"not json",
        practice.fields("B"),
        practice.fields("C", location="Fertility clinic"),
        practice.fields("D"),
    )
    assert counts == {"refused": 3, "added": 2}
    out, err = capsys.readouterr()
    assert out == ""
    assert sorted(line.split(": ")[:3] for line in err.splitlines()) == [
        ["line 1", "number_invalid", "phone"],
        ["line 3", "malformed", "line"],
        ["line 5", "location_discloses", "location"],
    ]


def test_what_is_being_sent_is_refused_for_now(clinic, schedule, capsys):
    record = practice.due_now()
    run(clinic, record)
    practice.send(schedule, finish=False)
    assert clinic.show("A-1")[0].state is State.SENDING
    assert run(clinic, record | {"language": "en"}, practice.fields("B")) == {"refused": 1, "added": 1}
    said = "line 1: in_flight: reference: is being sent; hand it in again shortly\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (250, [250]), (251, [250, 1]), (500, [250, 250])])
def test_lines_are_handed_in_by_batches(count, sizes):
    accepts = Accepts()
    record = practice.fields()
    assert run(accepts, *[record] * count)["added"] == count
    assert accepts.sizes == sizes


@pytest.mark.parametrize(("batches", "line"), [(0, 0), (1, 251), (2, 501)])
def test_a_store_that_goes_away_is_told_with_the_last_line_that_is_safe(batches, line):
    bad, good = b"[]", practice.fields()
    with pytest.raises(StoreUnavailable, match=rf"TimeoutError.* Stored up to line {line}; run it again") as raised:
        run(Accepts(batches), bad, *[good] * 600)
    assert raised.value.__suppress_context__


def test_running_again_after_the_store_went_away_adds_only_the_rest(client: store.Client, tmp_path, monkeypatch):
    monkeypatch.setattr(enqueue, "BATCH", 2)
    schedule = Failing(client)
    clinic = practice.make(schedule, tmp_path / "keys")
    five = [practice.fields(f"A-{number}") for number in range(5)]
    schedule.calls = 2
    with pytest.raises(StoreUnavailable, match="Stored up to line 4;"):
        run(clinic, *five)
    schedule.calls = 9
    assert run(clinic, *five) == {"unchanged": 4, "added": 1}


class Lines(io.RawIOBase):
    """A file of any length that is nowhere."""

    def __init__(self, line: bytes, count: int) -> None:
        self._line = line
        self._left = count
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while len(self._rest) < len(buffer) and self._left:
            self._rest += self._line
            self._left -= 1
        part = self._rest[: len(buffer)]
        self._rest = self._rest[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def peak(line: bytes, count: int) -> int:
    """Return the most bytes that were in use at once."""
    stream = io.BufferedReader(Lines(line, count))
    tracemalloc.start()
    try:
        counts = enqueue.run(Accepts(), records.read("jsonl", stream))
        assert counts.total() == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("line", [practice.lines(practice.fields()), b'{"reference": 1}\n'], ids=["good", "bad"])
def test_memory_does_not_grow_with_the_file(line, monkeypatch):
    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=len, isatty=lambda: False))
    peak(line, 600)  # caches fill
    assert peak(line, 24_000) < 1.2 * peak(line, 6_000) + 50_000  # before, a later Python has yet to collect


def test_nothing_personal_reaches_the_store(clinic, client: store.Client):
    record = practice.fields("REFERENCE-7", leads=["24h", "2h"])
    run(clinic, record)
    held = b"".join(part for key in client.scan_iter() for part in (key, client.dump(key)))
    assert held
    for value in ("REFERENCE-7", record["location"], record["phone"].removeprefix("+"), record["time"]):
        assert value.encode() not in held


def test_progress_is_shown_on_a_terminal_only(monkeypatch, capsys, tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(practice.lines(*[practice.fields()] * 300))
    with path.open("rb") as stream:
        enqueue.run(Accepts(), records.read("jsonl", stream), size=path.stat().st_size)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with path.open("rb") as stream:
        enqueue.run(Accepts(), records.read("jsonl", stream), size=path.stat().st_size)
    out, err = capsys.readouterr()
    assert out == ""
    assert "━" in err
    assert record_free(err)


def record_free(text: str) -> bool:
    return not any(str(value) in text for value in practice.fields().values() if value != "fr")


def test_a_lead_of_a_line_wins_over_the_platform_s(clinic):
    run(clinic, practice.fields("A", leads=["48h", "2h"]), practice.fields("B"))
    assert [len(clinic.show(name)) for name in "AB"] == [2, 1]
    first, second = (one.due for one in clinic.show("A"))
    assert second - first == timedelta(hours=46)


def test_a_line_is_one_json_object_whatever_its_order(clinic):
    record = practice.fields()
    backwards = json.dumps(dict(reversed(record.items()))).encode()
    assert run(clinic, record, backwards) == {"added": 1, "unchanged": 1}


# What other formats bring.


class Reads:
    """A reader of what a test says."""

    left = records.Left()
    done = 0
    passes_over = records.EXPORT

    def __init__(self, *found: records.Record) -> None:
        self._found = found

    def __iter__(self):
        return ((f"entry {number}", one) for number, one in enumerate(self._found, 1))


def test_what_will_not_take_place_is_taken_back_in_the_order_of_the_file(clinic):
    a, b = practice.fields("A"), practice.fields("B")
    assert enqueue.run(clinic, Reads(a, b)) == {"added": 2}
    found = Reads(Cancelled("A"), a, b, Cancelled("B"))
    assert enqueue.run(clinic, found) == {"cancelled": 2, "moved": 1, "unchanged": 1}
    assert [clinic.show(name)[0].state for name in "AB"] == [State.SCHEDULED, State.CANCELLED]


def test_where_there_is_nothing_to_take_back_it_is_skipped(clinic, schedule):
    enqueue.run(clinic, Reads(practice.due_now("A")))
    practice.send(schedule)
    assert enqueue.run(clinic, Reads(Cancelled("A"), Cancelled("never"))) == {"skipped": 2}
    assert enqueue.run(clinic, Reads(Cancelled("never", perhaps=True))) == {}


def test_what_is_being_sent_is_not_taken_back(clinic, schedule, capsys):
    enqueue.run(clinic, Reads(practice.due_now()))
    practice.send(schedule, finish=False)
    assert enqueue.run(clinic, Reads(Cancelled("A-1"))) == {"refused": 1}
    said = "entry 1: in_flight: reference: is being sent; take it back again shortly\n"
    assert capsys.readouterr().err == said


def test_a_reference_that_cannot_be_one_is_refused_on_the_way_back(clinic, capsys):
    assert enqueue.run(clinic, Reads(Cancelled("CANARY\n"))) == {"refused": 1}
    assert capsys.readouterr().err.startswith("entry 1: reference_invalid: ")


def test_an_export_s_history_is_counted_and_nothing_said_of_it(clinic, capsys):
    over, far = practice.fields("A", time=practice.ahead(days=-9)), practice.fields("B", time=practice.ahead(days=900))
    near = practice.fields("C", time=practice.ahead(minutes=5))
    assert enqueue.run(clinic, Reads(over, far, near, practice.fields("D"))) == {"past": 2, "later": 1, "added": 1}
    assert capsys.readouterr() == ("", "")
    assert run(clinic, over, far, near) == {"refused": 3}


OVER = PassedOver("A", Refused(Reason.TIME_PAST, "start", "is over"))


def test_what_was_moved_out_of_reach_leaves_no_reminder_of_its_old_time(clinic, capsys):
    for out in (OVER, {"time": practice.ahead(minutes=5)}, {"time": practice.ahead(days=900)}):
        enqueue.run(clinic, Reads(practice.fields("A")))
        moved = out if out is OVER else practice.fields("A", **out)
        assert enqueue.run(clinic, Reads(moved)) == {"cancelled": 1}
        assert [one.state for one in clinic.show("A")] == [State.CANCELLED]
        assert "cancelled" not in enqueue.run(clinic, Reads(moved))
    assert capsys.readouterr() == ("", "")


def test_what_comes_last_of_an_appointment_counts(clinic):
    near = practice.fields("A", time=practice.ahead(minutes=5))
    assert enqueue.run(clinic, Reads(near, OVER, practice.fields("A"))) == {"past": 2, "added": 1}
    assert enqueue.run(clinic, Reads(near, practice.fields("A"))) == {"past": 1, "unchanged": 1}
    assert enqueue.run(clinic, Reads(practice.fields("A"), near)) == {"unchanged": 1, "cancelled": 1}
    assert enqueue.run(clinic, Reads(practice.fields("A"), OVER)) == {"moved": 1, "cancelled": 1}


def test_a_reminder_that_waits_for_morning_is_not_taken_for_one_of_another_time():
    late, tonight = datetime.now(UTC) - timedelta(hours=1), Refused(Reason.NO_SLOT, "time")
    waits = Reminder(0, State.SCHEDULED, late + timedelta(hours=9), None, None, 1, "not_sent", None)
    for reminder in (waits, replace(waits, reason=None, due=late), replace(waits, state=State.QUEUED, due=late)):
        assert not enqueue._is_outdated(reminder, tonight)
        assert enqueue._is_outdated(reminder, OVER.why)
    assert enqueue._is_outdated(replace(waits, reason=None), tonight)


def test_what_is_wrong_with_all_of_a_series_is_said_once(clinic, capsys):
    class Series(Reads):
        def __iter__(self):
            return (("event 1", one) for one in self._found)

    bad = [practice.fields(f"A/{number}", phone="12") for number in range(300)]
    assert enqueue.run(clinic, Series(*bad, practice.fields("B", location=None))) == {"refused": 301}
    said = capsys.readouterr().err.splitlines()
    assert len(said) <= 3
    assert {line.split(": ")[2] for line in said} == {"phone", "location"}


def test_a_store_that_goes_away_while_one_is_taken_back_is_told(clinic, monkeypatch):
    monkeypatch.setattr(clinic, "cancel", Accepts(0).add)
    with pytest.raises(StoreUnavailable, match=r"TimeoutError.* Stored up to entry 1; run it again, that is safe"):
        enqueue.run(clinic, Reads(practice.fields("A"), Cancelled("B")))
    assert clinic.show("A")


def test_what_is_said_once_fills_what_a_record_lacks(clinic):
    bare = practice.fields("A", phone="06 12 34 56 78", language=None, location=None)
    said = enqueue.defaults("csv", location="12 rue des Lilas", language="fr", country="FR", zone="Europe/Paris")
    assert enqueue.run(clinic, Reads(bare), said) == {"added": 1}
    assert run(clinic, bare) == {"refused": 1}


def test_a_place_that_is_said_once_is_refused_once(clinic, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(practice.lines(practice.fields("A", location=None)))
    said = enqueue.defaults("jsonl", location="Fertility clinic", language=None, country=None, zone=None)
    with pytest.raises(
        SettingsError, match=r"^--location: discloses a reason or a speciality; give the address$"
    ) as raised:
        enqueue.hand_in(clinic, tmp_path / "a.jsonl", "jsonl", said)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"name": "xml"}, "--format: jsonl, csv, fhir, ics"),
        ({"location": "CANARY\n"}, "--location: location: must be one line without control characters"),
        ({"language": "CANARY"}, "--language: write a tag such as fr or pt-BR"),
        ({"country": "fr"}, "--country: write two letters such as FR"),
        ({"country": "001"}, "--country: write two letters such as FR"),
        ({"zone": "CANARY"}, "--zone: time: there is no such time zone"),
        ({"zone": "+01:00"}, "--zone: write a name such as Europe/Paris"),
        ({"zone": "Europe/Paris][x"}, "--zone: time: write RFC 3339 with an offset, such as 2027-03-15T14:30:00+01:00"),
    ],
)
def test_what_is_said_once_is_checked_before_anything_is_read(said, message):
    nothing = dict.fromkeys(("location", "language", "country", "zone"))
    with pytest.raises(SettingsError) as raised:
        enqueue.defaults(**({"name": "fhir"} | nothing | said))
    assert str(raised.value) == message
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
