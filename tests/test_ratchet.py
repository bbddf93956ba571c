import threading
from datetime import timedelta

import pytest
from known import KEYS, NOW, h

from reminder_worker import keyfiles
from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import PRIVATE, create_file
from reminder_worker.ratchet import Ratchet, ratchet_file, save_ratchet, turn
from reminder_worker.sealing import week

FIRST = Ratchet(KEYS["ratchet"][0]["week"], h(KEYS["ratchet"][0]["state"]))


@pytest.mark.parametrize("entry", KEYS["ratchet"], ids=lambda entry: str(entry["week"]))
def test_states_and_keys_are_as_published(entry):
    ratchet = FIRST.at(entry["week"])
    assert ratchet.state == h(entry["state"])
    assert bytes(ratchet.key()) == h(entry["private"])
    assert bytes(ratchet.key().public_key) == h(entry["public"])


def test_it_does_not_turn_back():
    with pytest.raises(ValueError):
        FIRST.at(FIRST.week - 1)
    later = FIRST.at(FIRST.week + 9)
    assert turn(later, NOW) == later


def test_it_comes_back_from_its_file(tmp_path):
    create_file(ratchet_file(tmp_path), FIRST.to_file(), PRIVATE)
    assert Ratchet.load(tmp_path) == FIRST


def test_an_older_state_never_replaces_a_newer_one(tmp_path):
    newer = FIRST.at(FIRST.week + 2)
    create_file(ratchet_file(tmp_path), newer.to_file(), PRIVATE)
    assert save_ratchet(tmp_path, FIRST.at(FIRST.week + 1))
    assert Ratchet.load(tmp_path) == newer


@pytest.mark.parametrize("week", ["", "-1", "x", "٣", "1" * 9])
def test_a_damaged_file_is_named_and_not_shown(tmp_path, week):
    secret = FIRST.to_file().split()[-1]
    text = FIRST.to_file().replace(f"week {FIRST.week}", f"week {week}")
    ratchet_file(tmp_path).write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=r"worker\.ratchet") as caught:
        Ratchet.load(tmp_path)
    assert secret not in str(caught.value)


def test_what_the_file_held_is_overwritten_once_the_new_one_is_there(tmp_path):
    path = ratchet_file(tmp_path)
    create_file(path, FIRST.to_file(), PRIVATE)
    with path.open("rb") as old:
        assert save_ratchet(tmp_path, FIRST.at(FIRST.week + 2))
        assert set(old.read()) == {0}
        assert old.tell() == len(FIRST.to_file())
    assert Ratchet.load(tmp_path) == FIRST.at(FIRST.week + 2)


def test_a_power_cut_never_costs_the_key(tmp_path, monkeypatch):
    """Whatever is not done in the end, one of the two states is in the file."""
    create_file(ratchet_file(tmp_path), FIRST.to_file(), PRIVATE)

    def cut(*_):
        assert Ratchet.read(ratchet_file(tmp_path)) == FIRST.at(FIRST.week + 1)
        raise OSError

    monkeypatch.setattr(keyfiles, "_overwrite", cut)
    assert not save_ratchet(tmp_path, FIRST.at(FIRST.week + 1))
    assert Ratchet.load(tmp_path) == FIRST.at(FIRST.week + 1)


def test_what_a_killed_process_left_behind_goes_too(tmp_path):
    """It holds a state that becomes an old one as weeks pass."""
    create_file(ratchet_file(tmp_path), FIRST.to_file(), PRIVATE)
    leftover = tmp_path / ".worker.ratchet.abc"
    leftover.write_text(FIRST.to_file())
    with leftover.open("rb") as held:
        assert save_ratchet(tmp_path, FIRST)
        assert set(held.read()) == {0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker.ratchet"]


def test_nobody_reads_the_file_while_it_is_overwritten(tmp_path):
    """A reader waits for the folder's lock."""
    create_file(ratchet_file(tmp_path), FIRST.to_file(), PRIVATE)
    found = []
    reader = threading.Thread(target=lambda: found.append(Ratchet.load(tmp_path)))
    with keyfiles.alone(tmp_path):
        reader.start()
        reader.join(0.3)
        assert found == []
    reader.join(60)
    assert found == [FIRST]


@pytest.mark.parametrize("weeks", [0, 5, 52, 53])
def test_weeks_that_a_worker_was_off_for_are_skipped(weeks):
    turned = turn(FIRST, NOW + timedelta(weeks=weeks))
    assert turned == FIRST.at(week(NOW) - 1 + weeks)


@pytest.mark.parametrize("weeks", [54, 60, 500])
def test_more_than_a_year_is_skipped_by_nobody_but_a_person(weeks):
    """All keys that were published are over by then, or the clock is wrong."""
    with pytest.raises(SettingsError, match=r"clock is wrong.*keys new ratchet"):
        turn(FIRST, NOW + timedelta(weeks=weeks))
