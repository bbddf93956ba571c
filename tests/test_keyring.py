"""What the doctor says of public keys and the private ones beside them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reminder_worker import keys
from reminder_worker.doctor.keyring import check_keys
from reminder_worker.errors import Reason, Unopenable
from reminder_worker.opening import WorkerKeys, open_pointer
from reminder_worker.sealing import PublicKeys, seal_pointer


def codes(findings) -> list[str]:
    return [one.code for one in findings]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.new_worker(tmp_path / "keys", datetime.now(UTC))
    return tmp_path / "keys"


def test_keys_that_belong_together_are_found_well(folder: Path) -> None:
    assert codes(check_keys(folder)) == []
    keys.rotate(folder, datetime.now(UTC))
    keys.forget(folder, datetime.now(UTC) + timedelta(weeks=8))
    assert codes(check_keys(folder)) == []


def test_a_published_pointer_key_that_is_not_here_is_found(folder: Path) -> None:
    """It was made on another machine, and not brought here."""
    keys.rotate(folder, datetime.now(UTC)).pointer_file.unlink()
    (found,) = check_keys(folder)
    assert (found.code, found.grade) == ("keys_differ", "unsafe")


def test_published_weeks_of_another_ratchet_are_found(folder: Path) -> None:
    before = (folder / "worker.pub.json").read_bytes()
    (folder / "worker.ratchet").unlink()
    keys.new_ratchet(folder, datetime.now(UTC))
    assert codes(check_keys(folder)) == []
    (folder / "worker.pub.json").write_bytes(before)
    assert codes(check_keys(folder)) == ["keys_differ"]


def test_keys_that_were_published_while_the_worker_was_off_are_found_well(tmp_path: Path) -> None:
    """It turns when it starts, and only then opens the last of them."""
    now = datetime.now(UTC)
    keys.new_worker(tmp_path, now - timedelta(weeks=9))
    before = (tmp_path / "worker.ratchet").read_bytes()
    (tmp_path / "worker.pub.json").write_text(keys.public(tmp_path, now))
    assert codes(check_keys(tmp_path)) == []
    assert (tmp_path / "worker.ratchet").read_bytes() == before


def test_a_single_published_week_that_is_not_of_this_ratchet_is_found(folder: Path) -> None:
    path = folder / "worker.pub.json"
    public = PublicKeys.load(path)
    swapped = dict(public.envelopes) | {max(public.envelopes) - 20: bytes(range(32))}
    path.write_text(PublicKeys(public.pointers, swapped).to_json())
    assert codes(check_keys(folder)) == ["keys_differ"]


@pytest.mark.parametrize("name", ["worker.ratchet~", "worker.ratchet.bak", "#worker.ratchet#", "old.ratchet"])
def test_a_copy_of_the_ratchet_is_found(folder: Path, name: str) -> None:
    """Nothing turns it, so it opens what today's keys do not."""
    (folder / name).write_bytes((folder / "worker.ratchet").read_bytes())
    (folder / name).chmod(0o600)
    (found,) = check_keys(folder)
    assert (found.code, found.grade) == ("ratchet_copied", "unsafe")


def test_a_ratchet_that_is_being_replaced_is_no_copy(folder: Path) -> None:
    (folder / ".worker.ratchet.x1").write_bytes((folder / "worker.ratchet").read_bytes())
    assert codes(check_keys(folder)) == []


def test_keys_that_cannot_be_read_are_found_once(folder: Path) -> None:
    (folder / "worker.ratchet").unlink()
    assert codes(check_keys(folder)) == ["unusable"]


def test_a_pointer_key_that_was_taken_away_opens_nothing_and_is_published_no_more(folder: Path) -> None:
    """What is done about a stolen one."""
    public = folder / "worker.pub.json"
    old = seal_pointer(PublicKeys.load(public), "clinic", "tel:+33639981234", "fr")
    keys.rotate(folder, datetime.now(UTC))
    (folder / "worker.pointer.1.key").unlink()
    public.write_text(keys.public(folder, datetime.now(UTC)))
    worker, shown = WorkerKeys.load(folder), PublicKeys.load(public)
    assert len(shown.pointers) == 1
    assert codes(check_keys(folder)) == []
    with pytest.raises(Unopenable) as refused:
        open_pointer(worker, "clinic", old)
    assert refused.value.reason is Reason.KEY_UNKNOWN
    assert open_pointer(worker, "clinic", seal_pointer(shown, "clinic", "tel:+33639981234", "fr"))
    assert keys.rotate(folder, datetime.now(UTC)).pointer_file.name == "worker.pointer.3.key"
