"""The commands for the root, the ratchet and fingerprints, as people type them."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import time_machine

from reminder_worker import cli
from reminder_worker.ratchet import Ratchet
from reminder_worker.root import Root, fingerprint, fingerprint_of_all
from reminder_worker.sealing import PublicKeys, week

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process and an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run_one(*words: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["reminder-worker", "keys", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return SimpleNamespace(code=ended.value.code or 0, **capfd.readouterr()._asdict())

    return run_one


@pytest.fixture
def made(run: Run, tmp_path: Path) -> Path:
    assert run("new", "worker", "keys").code == 0
    assert run("new", "root", "root").out == "wrote root/root.key\nwrote root/root.pub\n"
    return tmp_path


def test_the_root_signs_and_says_what_to_compare(run: Run, made: Path) -> None:
    done = run("sign", "keys/worker.pub.json", "--root", "root/root.key")
    assert (done.code, done.err) == (0, "")
    public = PublicKeys.load(made / "keys" / "worker.pub.json")
    shown = run("fingerprint", "root/root.pub").out
    assert done.out.splitlines() == [
        f"signed keys/worker.pub.json; it holds until {public.last_day}",
        shown.rstrip(),
        f"newest pointer key: {fingerprint(public.pointers[-1])}",
        f"all keys: {fingerprint_of_all(public)}",
    ]
    assert shown.startswith("root: ")
    assert Root((made / "root" / "root.pub").read_text().split()[-1]).check(public)
    assert (made / "root" / "root.key").read_text().split()[-1] not in done.out


def test_a_rotation_of_signed_keys_says_what_comes_next(run: Run, made: Path) -> None:
    assert "wrote keys/worker.pub.json: hand it to the platforms" in run("rotate", "keys").out
    run("sign", "keys/worker.pub.json", "--root", "root/root.key")
    out = run("rotate", "keys").out
    assert "wrote keys/worker.pub.new.json: have the root sign it, then put it in worker.pub.json's place" in out
    names = run("fingerprint", "keys/worker.pub.new.json").out
    assert [line.partition(" ")[0] for line in names.splitlines()] == ["pointer"] * 3 + ["all"]


def test_a_week_that_is_swapped_on_the_way_to_the_root_is_seen(run: Run, made: Path) -> None:
    before = run("fingerprint", "keys/worker.pub.json").out.splitlines()
    path = made / "keys" / "worker.pub.json"
    public = PublicKeys.load(path)
    path.write_text(PublicKeys(public.pointers, dict(public.envelopes) | {2_967: bytes(32)}).to_json())
    after = run("sign", "keys/worker.pub.json", "--root", "root/root.key").out.splitlines()
    assert before[0].partition(": ")[2] == after[2].partition(": ")[2]  # the pointer key is the same
    assert before[-1].startswith("all keys: ")
    assert before[-1] != after[-1]


def test_more_keys_than_can_be_signed_are_wrong_use(run: Run, made: Path) -> None:
    path = made / "keys" / "worker.pub.json"
    weeks = {week: bytes(32) for week in range(2_967, 4_500)}
    path.write_text(PublicKeys((bytes(32),), weeks).to_json())
    for words in (("sign", "keys/worker.pub.json", "--root", "root/root.key"), ("fingerprint", "keys/worker.pub.json")):
        done = run(*words)
        assert (done.code, done.out) == (2, "")
        assert "are more than can be signed" in done.err


def test_fingerprints_are_of_public_keys_only(run: Run, made: Path) -> None:
    for name in ("root/root.key", "keys/worker.ratchet", "keys/worker.pointer.1.key"):
        done = run("fingerprint", name)
        assert (done.code, done.out) == (2, "")
        assert (made / name).read_text().split()[-1] not in done.err


def test_the_ratchet_is_turned_by_hand(run: Run, made: Path) -> None:
    later = datetime.now(UTC) + timedelta(weeks=7)
    with time_machine.travel(later):
        assert run("turn", "keys").out == "forgot the envelope keys of 7 weeks\n"
        assert run("turn", "keys").out == "forgot the envelope keys of 0 weeks\n"
    assert Ratchet.load(made / "keys").week == week(later) - 1
    assert sorted(path.name for path in (made / "keys").glob("worker.pointer.*")) == ["worker.pointer.1.key"]


def test_what_is_over_a_year_old_is_made_anew_as_the_error_says(run: Run, made: Path) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(weeks=60)):
        done = run("turn", "keys")
        assert done.code == 2
        assert "delete it and run reminder-worker keys new ratchet" in done.err
        assert run("new", "ratchet", "keys").code == 2
        (made / "keys" / "worker.ratchet").unlink()
        assert run("new", "ratchet", "keys").out == "wrote keys/worker.ratchet\nwrote keys/worker.pub.json\n"
        assert run("turn", "keys").out == "forgot the envelope keys of 0 weeks\n"


def test_a_new_list_of_api_keys_is_said_where_it_was_made(run: Run) -> None:
    assert "wrote keys/api-keys.json: a new list of keys" in run("new", "api", "clinic", "keys").out
    assert "a new list" not in run("new", "api", "clinic", "keys").out
    assert "wrote kesy/api-keys.json: a new list of keys" in run("new", "api", "clinic", "kesy").out


def test_the_names_that_can_be_revoked_are_told(run: Run, tmp_path: Path) -> None:
    for words in (("clinic",), ("other", "--test")):
        run("new", "api", *words, "keys")
    files = {path.name.split(".")[0]: path for path in (tmp_path / "keys").glob("*.apikey")}
    key = files["clinic"].read_text().strip()
    done = run("revoke", key, "keys")  # a whole key: not to be repeated
    clinic, other = (files[name].name.split(".")[2] for name in ("clinic", "other"))
    assert (done.code, done.out) == (2, "")
    assert f"{clinic} (clinic, live), {other} (other, test)" in done.err
    assert key not in done.err
    assert run("revoke", clinic, "keys").out == "revoked\n"
    run("revoke", other, "keys")
    assert "there are: none" in run("revoke", other, "keys").err
