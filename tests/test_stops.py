"""A copy of the opt-out list, kept apart: what a restored store has forgotten comes back, and what is newer stays."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy import Proxy

from reminder_worker import store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import SettingsError
from reminder_worker.optouts import EVERYBODY, PAGE, OptOuts, Tags
from reminder_worker.schedule import Schedule
from reminder_worker.stops import bring_back, export

PHONE, ANOTHER = "+33612340015", "+33612340016"
TAGS = Tags(bytes(range(32)))
KEY = "rw:{0}:stops"


def optouts(schedule: Schedule) -> OptOuts:
    found = OptOuts(schedule, TAGS, ["clinic"])
    found.catch_up()
    return found


def start_again(schedule: Schedule, phone: str) -> None:
    schedule.client.xadd(KEY, {"tag": TAGS.optout(EVERYBODY, phone), "on": "0"})


def test_who_said_stop_since_the_backup_is_known_again(schedule: Schedule) -> None:
    optouts(schedule).stop(PHONE)
    copy = list(export(schedule))
    schedule.client.delete(KEY)
    assert bring_back(schedule, copy) == 1
    assert optouts(schedule).has("clinic", PHONE)
    assert not optouts(schedule).has("clinic", ANOTHER)
    assert bring_back(schedule, copy) == 0


def test_who_said_start_after_the_export_is_not_stopped_again(schedule: Schedule) -> None:
    optouts(schedule).stop(PHONE)
    copy = list(export(schedule))
    start_again(schedule, PHONE)
    assert bring_back(schedule, copy) == 0
    assert not optouts(schedule).has("clinic", PHONE)


def test_a_start_that_the_backup_does_not_know_comes_back_too(schedule: Schedule) -> None:
    optouts(schedule).stop(PHONE)
    backup = schedule.client.dump(KEY)
    start_again(schedule, PHONE)
    copy = list(export(schedule))
    schedule.client.delete(KEY)
    schedule.client.restore(KEY, 0, backup)
    assert bring_back(schedule, copy) == 1
    assert not optouts(schedule).has("clinic", PHONE)


@pytest.mark.parametrize("known", [0, 1])
@pytest.mark.parametrize("words", ["101", "010"])
@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_copies_the_later_word_counts_in_whichever_order_they_come(
    schedule: Schedule, turn: int, words: str, known: int
) -> None:
    tag, copies = TAGS.optout(EVERYBODY, PHONE), []
    for number, on in enumerate(words, 1):
        schedule.client.xadd(KEY, {"tag": tag, "on": on}, id=f"{number}000-0")
        copies.append(list(export(schedule)))
    schedule.client.delete(KEY)
    if known:  # the store that was put back knows the first
        schedule.client.xadd(KEY, {"tag": tag, "on": words[0]}, id="1000-0")
    for copy in copies[1:][::turn]:
        bring_back(schedule, copy)
    assert list(export(schedule)) == copies[-1]
    assert optouts(schedule).has("clinic", PHONE) == (words[-1] == "1")


def test_what_comes_back_after_somebody_has_said_something_new_is_put_behind_it(schedule: Schedule) -> None:
    optouts(schedule).stop(PHONE)
    copy = list(export(schedule))
    schedule.client.delete(KEY)
    optouts(schedule).stop(ANOTHER)
    assert bring_back(schedule, copy) == 1
    assert optouts(schedule).has("clinic", PHONE)
    assert optouts(schedule).has("clinic", ANOTHER)


def start_then_stop(schedule: Schedule) -> list[list[str]]:
    """Return a copy that ends in START and a later one that ends in STOP, of a list that is lost then."""
    copies = []
    for number, on in enumerate("01", 1):
        schedule.client.xadd(KEY, {"tag": TAGS.optout(EVERYBODY, PHONE), "on": on}, id=f"{number}000-0")
        copies.append(list(export(schedule)))
    schedule.client.delete(KEY)
    return copies


def test_a_word_that_comes_back_late_does_not_outdo_a_later_copy_s(schedule: Schedule) -> None:
    copies = start_then_stop(schedule)
    optouts(schedule).stop(ANOTHER)
    assert [bring_back(schedule, copy) for copy in copies] == [1, 1]
    assert optouts(schedule).has("clinic", PHONE)
    assert copies[-1][-1] in export(schedule)


def test_a_word_whose_answer_was_lost_does_not_outdo_a_later_copy_s(
    server: EmbeddedServer, schedule: Schedule, tmp_path: Path
) -> None:
    copies = start_then_stop(schedule)
    with Proxy(server.socket, tmp_path / "p") as proxy, store.connect(proxy.url()) as unlucky:
        proxy.lose(b"XADD")
        bring_back(Schedule(unlucky), copies[0])
        assert proxy.lost == 1
    bring_back(schedule, copies[1])
    assert optouts(schedule).has("clinic", PHONE)
    assert list(export(schedule)) == copies[1]


def test_a_copy_holds_tags_and_no_number(schedule: Schedule) -> None:
    optouts(schedule).stop(PHONE)
    first, line = export(schedule)
    assert first == "reminder-worker opt-outs v1"
    assert re.fullmatch(rf"\d{{13}}-\d+ {TAGS.optout(EVERYBODY, PHONE).hex()} 1", line)
    assert PHONE[1:] not in line


def test_a_long_list_is_written_and_read_whole(schedule: Schedule) -> None:
    with schedule.client.pipeline() as pipe:
        for number in range(2 * PAGE + 1):
            pipe.xadd(KEY, {"tag": number.to_bytes(16, "big"), "on": "1"})
        pipe.execute()
    copy = list(export(schedule))
    assert len(copy) == 2 * PAGE + 2
    schedule.client.delete(KEY)
    assert bring_back(schedule, copy) == 2 * PAGE + 1
    assert [line.split()[1:] for line in export(schedule)][1:] == [line.split()[1:] for line in copy][1:]


@pytest.mark.parametrize(
    "line", ["", "1-1", "+33612345678", f"1-1 {'a' * 31} 1", f"1-1 {'a' * 32} 2", f"1-1 {'A' * 32} 1", "1-1 é 1"]
)
def test_a_damaged_copy_is_refused_whole_and_not_repeated(schedule: Schedule, line: str) -> None:
    good = ["reminder-worker opt-outs v1", f"1-1 {'a' * 32} 1"]
    with pytest.raises(SettingsError, match=r"FILE: line 3 is damaged; nothing was brought back") as error:
        bring_back(schedule, [*good, line])
    assert schedule.client.exists(KEY) == 0
    assert len(line) < 2 or line not in str(error.value)


@pytest.mark.parametrize("lines", [[], ["reminder-worker opt-outs v2"], ["1-1 x 1"]])
def test_what_is_no_copy_is_refused(schedule: Schedule, lines: list[str]) -> None:
    with pytest.raises(SettingsError, match="FILE: is not what optouts export wrote"):
        bring_back(schedule, lines)


@given(words=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12), cut=st.integers(0, 12))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_said_the_list_is_the_same_after_a_restore(
    schedule: Schedule, words: list[tuple[int, bool]], cut: int
) -> None:
    schedule.client.delete(KEY)

    def say(some: list[tuple[int, bool]]) -> None:
        for phone, on in some:
            schedule.client.xadd(KEY, {"tag": bytes([phone]) * 16, "on": b"1" if on else b"0"})

    say(words[:cut])
    backup = schedule.client.dump(KEY)
    say(words[cut:])
    copy, before = list(export(schedule)), optouts(schedule)._stopped
    schedule.client.delete(KEY)
    if backup is not None:
        schedule.client.restore(KEY, 0, backup)
    bring_back(schedule, copy)
    assert optouts(schedule)._stopped == before
