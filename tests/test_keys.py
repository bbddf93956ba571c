import json
import os
from datetime import timedelta

import pytest
from known import NOW

from reminder_worker import keys
from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import is_private
from reminder_worker.opening import WorkerKeys, load_pointer_key, load_signers, open_pointer
from reminder_worker.optouts import pepper_file
from reminder_worker.sealing import PlatformKeys, PublicKeys, kid, seal_pointer, week


def published(folder) -> PublicKeys:
    return PublicKeys.load(folder / "worker.pub.json")


def test_a_new_worker_has_private_files_in_a_private_folder(tmp_path):
    folder = tmp_path / "deep" / "keys"
    files = keys.new_worker(folder, NOW)
    assert [path.name for path in files] == [
        "worker.pointer.1.key",
        "worker.ratchet",
        "optouts.pepper",
        "worker.pub.json",
    ]
    assert is_private(folder)
    assert [is_private(path) for path in files] == [True, True, True, False]


def test_rotation_makes_the_key_of_the_opt_out_list_once(tmp_path):
    keys.new_worker(tmp_path, NOW)
    before = pepper_file(tmp_path).read_text()
    keys.rotate(tmp_path, NOW)
    assert pepper_file(tmp_path).read_text() == before
    pepper_file(tmp_path).unlink()
    keys.rotate(tmp_path, NOW)
    assert is_private(pepper_file(tmp_path))
    assert pepper_file(tmp_path).read_text() != before


def test_a_worker_s_keys_are_never_overwritten(tmp_path):
    files = keys.new_worker(tmp_path, NOW)
    before = [path.read_bytes() for path in files]
    with pytest.raises(SettingsError, match="never overwritten"):
        keys.new_worker(tmp_path, NOW)
    assert [path.read_bytes() for path in files] == before


def test_half_a_worker_s_keys_are_not_completed(tmp_path):
    pointer, ratchet, *_ = keys.new_worker(tmp_path, NOW)
    for gone, left in ((pointer, ratchet), (ratchet, pointer)):
        kept = gone.read_bytes()
        gone.unlink()
        with pytest.raises(SettingsError, match="never overwritten"):
            keys.new_worker(tmp_path, NOW)
        assert not gone.exists()
        assert left.exists()
        gone.write_bytes(kept)


def test_a_new_platform_signs_as_its_verify_file_says(tmp_path):
    private, public = keys.new_platform("clinic", tmp_path)
    loaded = PlatformKeys.load(private)
    assert loaded.name == "clinic"
    assert list(load_signers({"clinic": public})) == [kid(bytes(loaded.signing.verify_key))]
    assert [is_private(private), is_private(public)] == [True, False]


@pytest.mark.parametrize("ending", ["key", "pub"])
def test_a_platform_s_keys_are_never_overwritten(tmp_path, ending):
    private, public = keys.new_platform("clinic", tmp_path)
    gone, left = (public, private) if ending == "key" else (private, public)
    gone.unlink()
    before = left.read_bytes()
    with pytest.raises(SettingsError, match=rf"clinic\.{ending}.*never overwritten"):
        keys.new_platform("clinic", tmp_path)
    assert left.read_bytes() == before
    assert not gone.exists()


@pytest.mark.parametrize("name", ["", "Clinic", "a" * 21, "../clinic", "a/b", "clinic\n"])
def test_a_name_that_is_no_platform_s_is_refused(tmp_path, name):
    with pytest.raises(SettingsError, match="platform: a name has"):
        keys.new_platform(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_the_wrong_kind_is_refused_by_name(tmp_path):
    pointer, *_ = keys.new_worker(tmp_path, NOW)
    with pytest.raises(SettingsError, match=r"worker\.pointer\.1\.key: is not a reminder-worker platform key"):
        PlatformKeys.load(pointer)


def test_public_keys_reach_from_last_week_over_a_year(tmp_path):
    keys.new_worker(tmp_path, NOW)
    later = NOW + timedelta(weeks=4)
    weeks = sorted(PublicKeys.from_json(keys.public(tmp_path, later)).envelopes)
    assert weeks == list(range(week(later) - 1, week(later) + 54))


def test_a_week_keeps_its_public_key(tmp_path):
    keys.new_worker(tmp_path, NOW)
    later = PublicKeys.from_json(keys.public(tmp_path, NOW + timedelta(weeks=4)))
    assert later.envelope_key(NOW + timedelta(weeks=9)) == published(tmp_path).envelope_key(NOW + timedelta(weeks=9))


def test_what_is_published_holds_nothing_private(tmp_path):
    pointer, ratchet, *_ = keys.new_worker(tmp_path, NOW)
    text = keys.public(tmp_path, NOW)
    assert set(json.loads(text)) == {"version", "pointer", "envelope"}
    for path in (pointer, ratchet):
        assert path.read_text().split()[-1] not in text


def test_rotation_adds_a_pointer_key_and_keeps_the_old_one(tmp_path):
    keys.new_worker(tmp_path, NOW)
    old = seal_pointer(published(tmp_path), "clinic", "tel:+33639981234", "fr")
    done = keys.rotate(tmp_path, NOW + timedelta(weeks=2))
    assert done.pointer_file.name == "worker.pointer.2.key"
    assert is_private(done.pointer_file)
    assert (done.pointer_keys, done.weeks_forgotten) == (2, 2)
    new = seal_pointer(published(tmp_path), "clinic", "tel:+33639981234", "fr")
    assert old[1:9] != new[1:9]
    worker = WorkerKeys.load(tmp_path)
    for pointer in (old, new):
        assert open_pointer(worker, "clinic", pointer).language == "fr"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to somebody else")
def test_what_root_makes_beside_a_workers_keys_is_that_workers(tmp_path):
    for file in keys.new_worker(tmp_path, NOW):
        os.chown(file, 10004, 10005)
    pepper_file(tmp_path).unlink()
    done = keys.rotate(tmp_path, NOW)
    (tmp_path / "worker.ratchet").unlink()
    ratchet, _ = keys.new_ratchet(tmp_path, NOW)
    made = [done.pointer_file, pepper_file(tmp_path), ratchet]
    assert [(file.stat().st_uid, file.stat().st_gid) for file in made] == [(10004, 10005)] * 3
    assert all(is_private(file) for file in made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is asked to give a file to somebody else")
def test_a_key_that_cannot_be_given_to_the_worker_is_not_made(tmp_path, monkeypatch):
    keys.new_worker(tmp_path, NOW)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(SettingsError, match="run this as that user"):
        keys.rotate(tmp_path, NOW)
    assert not (tmp_path / "worker.pointer.2.key").exists()


def refuse(*_: object) -> None:
    raise PermissionError


def test_the_tenth_pointer_key_is_the_newest(tmp_path):
    keys.new_worker(tmp_path, NOW)
    for _ in range(9):
        newest = keys.rotate(tmp_path, NOW)
    assert newest.pointer_file.name == "worker.pointer.10.key"
    assert len(published(tmp_path).pointers) == 10
    pointer = seal_pointer(published(tmp_path), "clinic", "tel:+33639981234", "fr")
    assert pointer[1:9] == kid(bytes(load_pointer_key(newest.pointer_file).public_key))


def test_a_wrong_clock_rotates_nothing(tmp_path):
    files = keys.new_worker(tmp_path, NOW)
    before = [path.read_bytes() for path in files]
    with pytest.raises(SettingsError, match="clock"):
        keys.rotate(tmp_path, NOW + timedelta(weeks=80))
    assert [path.read_bytes() for path in files] == before
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_a_ratchet_that_cannot_be_replaced_stops_the_rotation(tmp_path, monkeypatch):
    keys.new_worker(tmp_path, NOW)
    monkeypatch.setattr(keys, "save_ratchet", lambda *_: False)
    with pytest.raises(SettingsError, match="cannot be replaced"):
        keys.rotate(tmp_path, NOW)
    assert not (tmp_path / "worker.pointer.2.key").exists()


def test_nothing_is_printed(tmp_path, capfd):
    keys.new_worker(tmp_path, NOW)
    keys.new_platform("clinic", tmp_path)
    keys.rotate(tmp_path, NOW)
    assert capfd.readouterr() == ("", "")
