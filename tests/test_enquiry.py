"""What support is told about a number, on a real server, from what a real worker left there."""

import json
import logging
import time
from datetime import date, timedelta

import pytest
from clock import START, Clock
from scripted import PHONE, Keys, Practice, Scripted

from reminder_worker import acts, enquiry
from reminder_worker.acts import Who
from reminder_worker.enquiry import Found
from reminder_worker.errors import Ambiguous, NotSent, Reason, Refused, StoreUnavailable
from reminder_worker.optouts import EVERYBODY, Tags, log_of
from reminder_worker.schedule import Schedule

ALICE = Who("alice")
STRANGER = "+33612340099"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def provider() -> Scripted:
    return Scripted()


@pytest.fixture
def practice(
    schedule: Schedule, clock: Clock, made: Keys, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> Practice:
    monkeypatch.setattr(schedule, "now", lambda: clock.now)
    return Practice(schedule, clock, made, provider)


def ask(practice: Practice, number: str = PHONE) -> Found:
    practice.schedule.client.delete(practice.schedule.prefix(0) + b"find")  # a second has passed
    return enquiry.ask(practice.schedule, practice.office.tags, ["clinic", "other"], number, ALICE)


def test_nothing_is_known_of_a_number_that_was_never_texted(practice: Practice) -> None:
    practice.add()
    practice.work()
    assert ask(practice, STRANGER) == Found(None, ())


def test_a_text_that_was_sent_is_found_with_its_day_and_provider(practice: Practice, provider: Scripted) -> None:
    practice.add()
    practice.work()
    practice.forward(days=3)
    found = ask(practice)
    (trace,) = found.traces
    assert (found.opted_out, found.result) == (None, "reminders")
    assert (trace.day, trace.state, trace.provider, trace.asked) == (date(2027, 3, 1), "sent", provider.name, START)


def test_however_a_number_is_written_it_is_the_same_one(practice: Practice) -> None:
    practice.add()
    practice.work()
    spaced = f" {PHONE[:3]} {PHONE[3]} {PHONE[4:8]} {PHONE[8:]}\n"
    assert len(ask(practice, spaced).traces) == 1


def test_several_tries_of_one_reminder_are_one_row_and_the_newest_comes_first(
    practice: Practice, provider: Scripted
) -> None:
    provider._answers.append(Ambiguous())
    practice.add()
    practice.work()
    practice.forward(days=1)
    practice.add(reference="A-2")
    practice.work()
    found = ask(practice)
    assert (found.traces[0].day.day, found.traces[0].state) == (2, "sent")
    assert len({trace.asked for trace in found.traces}) == len(found.traces) == 2


def test_a_reminder_that_was_tried_twice_is_one_row(practice: Practice, provider: Scripted) -> None:
    provider._answers.append(NotSent(Reason.NOT_SENT))
    practice.add()
    practice.work()
    practice.forward(minutes=5)
    assert practice.show().attempts == 2
    assert [trace.state for trace in ask(practice).traces] == ["sent"]


def test_what_a_moved_appointment_sent_before_is_not_taken_for_what_it_sends_now(practice: Practice) -> None:
    practice.add()
    practice.work()
    practice.add(location="2 rue Neuve, Lyon")
    practice.work()
    assert [trace.state for trace in ask(practice).traces] == ["sent", "gone"]


def test_what_still_waits_is_not_found(practice: Practice) -> None:
    practice.add(time=practice.clock.now + timedelta(days=5))
    practice.work()
    assert ask(practice).result == "nothing"


def test_what_is_older_than_eight_days_is_not_found(practice: Practice) -> None:
    practice.add()
    practice.work()
    practice.clock.forward(days=7)
    assert len(ask(practice).traces) == 1
    practice.clock.forward(days=1)
    assert ask(practice).traces == ()


def test_a_text_whose_appointment_has_moved_since_is_gone(practice: Practice) -> None:
    practice.add()
    practice.work()
    practice.add(time=practice.clock.now + timedelta(days=5))
    (trace,) = ask(practice).traces
    assert (trace.state, trace.provider, trace.asked) == ("gone", None, None)


def test_who_opted_out_is_said_to_and_since_when(practice: Practice) -> None:
    before = time.time()
    practice.office.optouts.stop(PHONE)
    found = ask(practice)
    assert found.opted_out is not None
    assert before - 1 < found.opted_out.timestamp() < time.time() + 1
    assert found.result == "opted_out"
    assert ask(practice, STRANGER).opted_out is None


def test_who_came_back_is_not_said_to_have_opted_out(practice: Practice) -> None:
    optouts = practice.office.optouts
    for stopped in (True, False, True, False):
        changes = optouts.changes(PHONE, stopped=stopped)
        practice.schedule.client.xadd(log_of(practice.schedule), {b"tag": changes[0], b"on": changes[1]})
    assert ask(practice).opted_out is None


def test_an_opt_out_of_one_platform_is_found_too_and_a_long_list_is_read_to_its_end(practice: Practice) -> None:
    schedule, tags = practice.schedule, practice.office.tags
    with schedule.client.pipeline() as pipe:
        for number in range(2500):
            pipe.xadd(log_of(schedule), {b"tag": tags.optout(EVERYBODY, f"+{number}"), b"on": b"1"})
        pipe.xadd(log_of(schedule), {b"tag": tags.optout("other", PHONE), b"on": b"1"})
        pipe.execute()
    assert ask(practice).opted_out is not None


def test_with_another_pepper_nothing_is_found(practice: Practice) -> None:
    practice.office.optouts.stop(PHONE)
    practice.add(reference="A-2")
    practice.work()
    found = enquiry.ask(practice.schedule, Tags(bytes(32)), ["clinic"], PHONE, ALICE)
    assert found == Found(None, ())


# A person's pace.


def test_a_second_question_within_a_second_looks_nothing_up(practice: Practice) -> None:
    ask(practice, STRANGER)
    with pytest.raises(Refused, match=r"^number: one a second") as refused:
        enquiry.ask(practice.schedule, practice.office.tags, [], PHONE, ALICE)
    assert refused.value.reason is Reason.RATE_LIMITED
    assert 0 < practice.schedule.client.pttl(practice.schedule.prefix(0) + b"find") <= 1000
    assert len(acts.read(practice.schedule)) == 1


@pytest.mark.parametrize("text", ["", "0612345678", "+331", "+33612345678 +33612345679", "canary@example.org"])
def test_what_is_no_number_is_refused_unrepeated_and_costs_no_turn(practice: Practice, text: str) -> None:
    with pytest.raises(Refused) as refused:
        ask(practice, text)
    assert text == "" or text not in str(refused.value)
    assert refused.value.__cause__ is None
    assert practice.schedule.client.exists(practice.schedule.prefix(0) + b"find") == 0


# What is left of a question.


def test_a_question_is_noted_without_the_number_and_leaves_nothing_else(
    practice: Practice, caplog: pytest.LogCaptureFixture
) -> None:
    practice.add()
    practice.work()
    client = practice.schedule.client
    before = {key: client.dump(key) for key in client.scan_iter()}
    with caplog.at_level(logging.DEBUG):
        ask(practice)
    after = {key: client.dump(key) for key in client.scan_iter()}
    assert after.keys() - before.keys() == {b"rw:{0}:acts", b"rw:{0}:find"}
    assert {key: after[key] for key in before} == before
    (line,) = client.lrange(b"rw:{0}:acts", 0, -1)
    assert line.split(b"|", 1)[1] == b"find|reminders||alice|"
    assert PHONE.lstrip("+") not in json.dumps([record.__dict__ for record in caplog.records], default=repr)


def test_no_answer_is_given_that_could_not_be_noted(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    practice.office.optouts.stop(PHONE)
    practice.schedule.client.set(b"rw:{0}:acts", b"not a list")
    with pytest.raises(StoreUnavailable):
        ask(practice)


def test_an_answer_names_no_number(practice: Practice) -> None:
    practice.add()
    practice.work()
    assert PHONE[1:] not in repr(ask(practice))
