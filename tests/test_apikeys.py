import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from reminder_worker import apikeys
from reminder_worker.apikeys import ApiKeys, Scope
from reminder_worker.errors import SettingsError
from reminder_worker.gateway import Mode
from reminder_worker.keyfiles import is_private

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ALL = frozenset(Scope)


def make(folder, platform="clinic", *, mode=Mode.LIVE, scopes=ALL, lasts=timedelta(days=365), now=NOW):
    path = apikeys.new(platform, folder, mode=mode, scopes=scopes, lasts=lasts, now=now)
    return path.read_text().strip()


def test_a_key_tells_platform_mode_and_scopes(tmp_path):
    key = make(tmp_path, scopes={Scope.ADD, Scope.READ}, mode=Mode.TEST)
    caller = ApiKeys(tmp_path).caller(key, NOW)
    assert (caller.platform, caller.mode, caller.scopes) == ("clinic", Mode.TEST, {Scope.ADD, Scope.READ})
    assert key.startswith("rwk_test_")
    assert "clinic" not in repr(caller)


def test_only_a_hash_is_kept_and_both_files_are_private(tmp_path):
    key = make(tmp_path)
    kept = apikeys.key_list(tmp_path)
    assert key.rpartition("_")[2] not in kept.read_text()
    assert all(is_private(path) for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key.replace("_live_", "_test_"),
        lambda key: key + "\n",
        lambda key: "é" * len(key),
        lambda key: f"rwk_live_{'a' * 8}_{'A' * 43}",
    ],
)
def test_what_is_no_key_of_ours_is_nobody(tmp_path, spoil):
    key = make(tmp_path)
    known = ApiKeys(tmp_path)
    assert known.caller(key, NOW) is not None
    assert known.caller(spoil(key), NOW) is None


def test_a_key_ends(tmp_path):
    key = make(tmp_path, lasts=timedelta(days=1))
    known = ApiKeys(tmp_path)
    assert known.caller(key, NOW + timedelta(hours=23, minutes=59)) is not None
    assert known.caller(key, NOW + timedelta(days=1)) is None


def test_two_keys_of_a_kind_are_live_at_once_and_no_third(tmp_path):
    first, second = make(tmp_path), make(tmp_path)
    with pytest.raises(SettingsError, match="has two live keys already"):
        make(tmp_path)
    make(tmp_path, mode=Mode.TEST)
    make(tmp_path, "other")
    known = ApiKeys(tmp_path)
    assert all(known.caller(key, NOW) for key in (first, second))
    assert known.platforms(NOW) == {"clinic", "other"}
    assert known.platforms(NOW + timedelta(days=400)) == set()


def test_a_key_that_has_ended_makes_room(tmp_path):
    make(tmp_path, lasts=timedelta(days=1))
    make(tmp_path, lasts=timedelta(days=1))
    key = make(tmp_path, now=NOW + timedelta(days=2))
    assert ApiKeys(tmp_path).caller(key, NOW + timedelta(days=2)) is not None


def test_a_revoked_key_is_refused_by_a_running_gateway(tmp_path):
    first, second = make(tmp_path), make(tmp_path)
    known = ApiKeys(tmp_path)
    apikeys.revoke(first.split("_")[2], tmp_path)
    known.refresh()
    assert known.caller(first, NOW) is None
    assert known.caller(second, NOW) is not None
    with pytest.raises(SettingsError, match="no such key"):
        apikeys.revoke("zzzzzzzz", tmp_path)


def test_keys_that_are_made_and_revoked_at_once_are_all_kept_or_gone(tmp_path):
    old = [make(tmp_path, f"old-{number}").split("_")[2] for number in range(4)]
    with ThreadPoolExecutor(8) as people:
        gone = [people.submit(apikeys.revoke, name, tmp_path) for name in old]
        made = [people.submit(make, tmp_path, f"new-{number}") for number in range(4)]
        assert [one.result() for one in gone] == [None] * 4
        assert all(one.result() for one in made)
    assert sorted(key.platform for key in apikeys.listed(tmp_path)) == [f"new-{number}" for number in range(4)]


def test_a_file_that_is_damaged_names_itself_and_keeps_what_was_known(tmp_path):
    key = make(tmp_path)
    known = ApiKeys(tmp_path)
    path = apikeys.key_list(tmp_path)
    for text in ("[", "{}", '[{"name": "x"}]', path.read_text().replace("Z", "")):
        path.write_text(text)
        os.utime(path, ns=(0, hash(text) % 10**9))
        with pytest.raises(SettingsError, match=r"api-keys\.json"):
            known.refresh()
    assert known.caller(key, NOW) is not None


def test_without_any_key_there_is_advice(tmp_path):
    with pytest.raises(SettingsError, match="keys new api"):
        ApiKeys(tmp_path)


@pytest.mark.parametrize("name", ["", "Clinic", "a" * 21, "../x"])
def test_a_platform_s_name_is_checked(tmp_path, name):
    with pytest.raises(SettingsError, match="platform"):
        make(tmp_path, name)
    assert list(tmp_path.iterdir()) == []
