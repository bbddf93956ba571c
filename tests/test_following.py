"""One reminder followed through the log, by its opaque name: from the first attempt to what an operator decided."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from queue import Queue
from typing import Any

import pytest
from clock import Clock
from scripted import PHONE, PLACE, REFERENCE, Keys, Practice, Scripted
from test_logs import written  # noqa: F401 - a fixture
from test_vocabulary import ALWAYS, table

from reminder_worker import decisions
from reminder_worker.acts import Who
from reminder_worker.decisions import Decision
from reminder_worker.endpoint import Courier, Letter
from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Rejected, Throttled
from reminder_worker.eventqueue import Event
from reminder_worker.inbox import Inbox
from reminder_worker.job import State
from reminder_worker.ledger import Entry, Wake, name_of
from reminder_worker.providers import Receipt, Reply
from reminder_worker.receipts import new_reference
from reminder_worker.schedule import MOST_CLAIMS, Schedule

TABLE = table()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


class Day:
    """A practice, what providers and people tell it, and the lines that it writes."""

    def __init__(self, practice: Practice, provider: Scripted, inbox: Inbox, read: Any) -> None:
        self.practice, self.provider, self.inbox, self._read = practice, provider, inbox, read

    def work(self, **span: float) -> None:
        """Do what there is to do, as the queue has it done: what fails is woken again."""
        self.practice.clock.forward(**span)
        for wake in self.practice.take():
            try:
                self.practice.worker.take(wake)
            except MemoryError:
                continue

    def lines(self) -> list[dict[str, Any]]:
        """Return what was written, which keeps to the table whatever it is."""
        found: list[dict[str, Any]] = self._read()
        for line in found:
            assert line.keys() - ALWAYS <= TABLE[line["event"]].fields
            assert "withheld" not in line
        return found

    def follow(self, entry: Entry, lead: int = 0) -> list[tuple[str, str | None]]:
        """Return the events of one reminder, each with its state; where one is worked on, no line leaves it out."""
        name = name_of(entry.id + bytes([lead]))
        for line in self.lines():
            if "reminder" in TABLE[line["event"]].fields and line["event"] != "receipt_ignored":
                assert "reminder" in line, line["event"]
        return [(line["event"], line.get("state")) for line in self.lines() if line.get("reminder") == name]


@pytest.fixture
def day(
    schedule: Schedule,
    clock: Clock,
    keys: Keys,
    written: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Day]:
    provider = Scripted()
    monkeypatch.setattr(schedule, "now", lambda: clock.now)
    practice = Practice(schedule, clock, keys, provider)
    found = Day(practice, provider, Inbox(schedule, lambda: keys.public), written)
    yield found
    text = json.dumps(found.lines(), ensure_ascii=False)
    for secret in (PHONE[1:], PLACE, REFERENCE, "clinic", *(one.reference for one in provider.texts)):
        assert secret not in text


def test_from_a_text_to_the_answer(day: Day) -> None:
    entry = day.practice.add()
    day.work()
    receipt = Receipt(day.provider.texts[0].reference, State.DELIVERED)
    assert day.inbox.take(day.provider, receipt)
    assert not day.inbox.take(day.provider, replace(receipt, reference=new_reference(Wake(entry.id, 0, 1))))
    assert not day.inbox.take(day.provider, replace(receipt, reference="of nobody"))
    day.inbox.take(day.provider, Reply(PHONE, "oui"))
    day.practice.answering.read_all(day.practice.clock.now)
    assert day.follow(entry) == [
        ("settled", "sent"),
        ("receipt", "delivered"),
        ("receipt_ignored", "delivered"),
        ("reply", "confirmed"),
    ]


def test_from_a_failure_over_a_later_try_to_a_refusal(day: Day) -> None:
    day.provider._answers.extend([Throttled(1.0), Misconfigured(), Rejected(Reason.LANDLINE)])
    entry = day.practice.add()
    for _ in range(3):
        day.work(minutes=5)
    assert day.follow(entry) == [
        ("attempt", "closed"),
        ("put_off", "retry"),
        ("attempt", "closed"),
        ("provider_misconfigured", None),
        ("put_off", "retry"),
        ("attempt", "failed"),
        ("settled", "failed"),
    ]


def test_an_attempt_in_doubt_until_it_is_unknown_and_somebody_decided(day: Day) -> None:
    day.provider._answers.append(Ambiguous())
    entry = day.practice.add()
    day.work()
    day.work(hours=7)
    (one,) = decisions.waiting(day.practice.schedule)
    decisions.decide(day.practice.schedule, one, Decision.SENT, Who("alice"))
    assert day.follow(entry) == [
        ("attempt_open", None),
        ("settled", "unknown"),
        ("attempt_resolved", "unknown"),
        ("act", "unknown"),
    ]


def test_a_reminder_over_which_workers_die_until_it_is_a_dead_letter(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    def poison(**_: object) -> None:
        raise MemoryError(PLACE)

    monkeypatch.setattr(day.practice.worker._parts.templates, "draft", poison)
    entry = day.practice.add()
    for _ in range(MOST_CLAIMS + 1):
        day.work(minutes=10)
    (one,) = decisions.waiting(day.practice.schedule)
    decisions.decide(day.practice.schedule, one, Decision.DROP, Who("alice"))
    assert day.follow(entry) == [("wake_failed", None)] * MOST_CLAIMS + [("dead_letter", None), ("act", "dead_letter")]
    first = day.lines()[0]
    assert first["error"] == "MemoryError"
    assert first["raised"].startswith("test_following:")


def test_who_said_stop_and_a_stop_names_no_reminder(day: Day) -> None:
    day.inbox.take(day.provider, Reply(PHONE, "STOP"))
    day.practice.answering.read_all(day.practice.clock.now)
    assert [line.get("reminder") for line in day.lines()] == [None, None]
    entry = day.practice.add()
    day.work()
    (line,) = [line for line in day.lines() if line["event"] == "settled"]
    assert (line["state"], line["reminder"]) == ("suppressed", name_of(entry.id + b"\0"))


def test_two_reminders_at_once_each_keep_their_name(day: Day) -> None:
    entries = [day.practice.add(reference=f"A-{number}") for number in range(2)]
    day.provider._answers.append(NotSent(Reason.NOT_SENT))
    day.work()
    day.work(minutes=1)
    ended = [[event for event in day.follow(entry) if event[0] == "settled"] for entry in entries]
    assert ended == [[("settled", "sent")]] * 2


def test_what_does_not_open_is_followed_too(day: Day) -> None:
    entry = Entry(bytes(range(16)), bytes(12), b"\x02" + bytes(400), (day.practice.clock.now - timedelta(seconds=1),))
    day.practice.schedule.add([entry])
    day.work()
    assert day.follow(entry) == [("settled", "rejected")]


def test_what_a_worker_has_no_key_for_is_followed_too(day: Day) -> None:
    entry = Entry(bytes(range(16)), bytes(12), b"\x01" + bytes(400), (day.practice.clock.now - timedelta(seconds=1),))
    day.practice.schedule.add([entry])
    day.work()
    assert day.follow(entry) == [("key_missing", None), ("put_off", "retry")]


def test_an_event_that_could_not_be_told_names_its_reminder(
    day: Day,
    written: Any,  # noqa: F811
) -> None:
    def fail(_: Letter) -> None:
        raise ValueError(PLACE)

    courier: Any = Courier.__new__(Courier)
    courier._waiting, courier._tell = Queue(), fail
    at = day.practice.clock.now
    courier._waiting.put(Letter(Event(bytes(range(16)) + b"\x02|rest", b"", "sent", None, at, at, at, 0.0), None))  # type: ignore[arg-type]
    courier._waiting.put(None)
    courier._run()
    (said,) = written()
    assert (said["event"], said["error"], said["reminder"]) == ("event_failed", "ValueError", "zzzyzxzwzvzu-2")
