import getpass
import os

import pytest

from reminder_worker import acts
from reminder_worker.acts import Act, Who
from reminder_worker.logs import plain
from reminder_worker.schedule import Schedule


def test_who_is_the_system_s_word_and_what_sudo_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "mallory")  # which the rest of the library believes
    assert getpass.getuser() == "mallory"
    monkeypatch.setenv("SUDO_USER", "alice")
    who = Who.here()
    assert who.user != "mallory"
    assert who.sudo_user == "alice"


def test_an_account_without_a_name_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert Who.here() == Who("uid-4000000", "")


def test_a_name_can_neither_add_a_field_nor_a_line(monkeypatch: pytest.MonkeyPatch, schedule: Schedule) -> None:
    monkeypatch.setenv("SUDO_USER", "alice|drop\n2|" + "x" * 100)
    who = Who.here()
    assert plain(who.sudo_user) == who.sudo_user
    acts.note(schedule, "find", "nothing", who)
    (act,) = acts.read(schedule)
    assert (act.what, act.user, act.sudo_user) == ("find", who.user, who.sudo_user)


def test_acts_of_all_shards_are_read_newest_first_and_what_is_none_is_left_out(client) -> None:
    schedule = Schedule(client, shards=3)
    lines = {0: [b"1000|find|nothing||alice|", b"noise", b"x|find|nothing||alice|"], 2: [b"3000|drop|unknown|k-0|bob|"]}
    for shard, some in lines.items():
        client.rpush(schedule.prefix(shard) + b"acts", *some)
    client.rpush(schedule.prefix(1) + b"acts", b"2000|sent|unknown|l-0|alice|carol")
    assert [act.what for act in acts.read(schedule)] == ["drop", "sent", "find"]


def test_a_line_that_is_no_text_is_no_act() -> None:
    assert Act.of(b"\xff|find|nothing||alice|") is None
    assert Act.of(b"1|find|\xff||alice|") is not None
    for when in (b"9" * 15, b"9" * 400, "\u0661".encode(), b"-1", b""):
        assert Act.of(when + b"|find|nothing||alice|") is None


def test_a_question_leaves_a_line_and_its_log_no_empty_field(schedule, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        acts.note(schedule, "find", "opted_out", Who("alice"))
    (record,) = caplog.records
    assert (record.message, record.act, record.state, record.user) == ("act", "find", "opted_out", "alice")
    assert not hasattr(record, "sudo_user")
    assert not hasattr(record, "reminder")


def test_only_the_newest_lines_are_kept(schedule: Schedule) -> None:
    key = schedule.prefix(0) + b"acts"
    for start in range(0, 10_200, 100):
        schedule.client.rpush(key, *(b"%d|find|nothing||alice|" % number for number in range(start, start + 100)))
    schedule.sweep(0)
    assert schedule.client.llen(key) == 10_000
    assert acts.read(schedule)[0].at.timestamp() == pytest.approx(10.199)
