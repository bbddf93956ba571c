import os
import re

import pytest

from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import (
    PRIVATE,
    PUBLIC,
    Kind,
    create_file,
    is_private,
    key_file,
    key_from_file,
    read_key_file,
    replace_file,
)


def test_fields_come_back(tmp_path):
    path = tmp_path / "a.key"
    create_file(path, key_file(Kind.POINTER, private="abc"), PRIVATE)
    assert path.read_text() == "reminder-worker worker pointer key v1\nprivate abc\n"
    assert read_key_file(path, Kind.POINTER, "private") == ["abc"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SECRET",
        key_file(Kind.RATCHET, private="SECRET"),
        key_file(Kind.POINTER, secret="SECRET"),
        key_file(Kind.POINTER, private="SECRET", more="SECRET"),
        key_file(Kind.POINTER, private="SECRET").replace("v1", "v2"),
        "reminder-worker worker pointer key v1\n",
        "SECRÉT",
    ],
)
def test_another_file_is_refused_by_name_and_kind_and_not_shown(tmp_path, text):
    path = tmp_path / "a.key"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=r"a\.key: .*worker pointer key") as caught:
        read_key_file(path, Kind.POINTER, "private")
    assert "SECR" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(SettingsError, match="should be a platform key"):
        read_key_file(tmp_path / name, Kind.PLATFORM, "name")


@pytest.mark.parametrize("text", ["A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "é"])
def test_a_damaged_key_is_named_and_not_shown(tmp_path, text):
    with pytest.raises(SettingsError, match=r"a\.key: is damaged$"):
        key_from_file(tmp_path / "a.key", text)


def test_a_file_is_never_created_over_another(tmp_path):
    path = tmp_path / "a.key"
    create_file(path, "first", PRIVATE)
    with pytest.raises(SettingsError, match="never overwritten"):
        create_file(path, "second", PRIVATE)
    assert path.read_text() == "first"


def test_a_file_that_cannot_be_created_is_named(tmp_path):
    with pytest.raises(SettingsError, match="cannot be written"):
        create_file(tmp_path / "missing" / "a.key", "x", PRIVATE)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_key_that_is_cut_short_is_removed_for_no_worker_starts_beside_half_of_one(tmp_path, monkeypatch, failure):
    def refuse(_):
        raise failure

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises((SettingsError, KeyboardInterrupt)) as caught:
        create_file(tmp_path / "a.key", "x", PRIVATE)
    if isinstance(failure, OSError):
        assert re.search(r"a\.key: cannot be written to its end, and was removed; is the disk full", str(caught.value))
    assert not list(tmp_path.iterdir())


def test_private_is_what_the_owner_alone_can_use(tmp_path):
    create_file(tmp_path / "private", "x", PRIVATE)
    replace_file(tmp_path / "public", "x", PUBLIC)
    assert is_private(tmp_path / "private")
    assert not is_private(tmp_path / "public")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_any_right_of_others_is_too_much(tmp_path, mode):
    path = tmp_path / "a.key"
    path.touch()
    path.chmod(mode)
    assert not is_private(path)


def test_a_credential_of_systemd_is_private_though_its_acl_shows_as_the_group_s(tmp_path, monkeypatch):
    (tmp_path / "credentials").mkdir()
    (tmp_path / "keys").mkdir()
    credential, link, elsewhere = (
        tmp_path / "credentials" / "gateway.key",
        tmp_path / "keys" / "gateway.key",
        tmp_path / "keys" / "other.key",
    )
    for path in (credential, elsewhere):
        path.touch()
        path.chmod(0o440)
    link.symlink_to(credential)
    assert not any(map(is_private, (credential, link, elsewhere)))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert [is_private(path) for path in (credential, link, elsewhere)] == [True, True, False]
    credential.chmod(0o444)
    assert not is_private(link)


def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a"
    replace_file(path, "old", PRIVATE)
    with pytest.raises(UnicodeEncodeError):
        replace_file(path, "\ud800", PRIVATE)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_replacement_narrows_the_mode(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o644)
    replace_file(path, "new", PRIVATE)
    assert path.read_text() == "new"
    assert is_private(path)
