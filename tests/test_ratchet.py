import pytest
from known import KEYS, NOW, h

from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import PRIVATE, create_file
from reminder_worker.ratchet import Ratchet, ratchet_file, save_ratchet, turn

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
