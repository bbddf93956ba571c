"""The file of operators, and the command that writes it."""

import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reminder_worker.errors import SettingsError
from reminder_worker.findings import Grade
from reminder_worker.ops import operators
from reminder_worker.ops.operators import Operators
from reminder_worker.settings import Settings

NOW = datetime(2027, 3, 1, 9, tzinfo=UTC)
GOOD, OTHER = "correct horse battery", "battery horse correct"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / operators.FILE
    operators.enter(path, "ada", GOOD, NOW)
    return path


def command(folder: Path, *words: str, typed: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "reminder_worker.cli", "keys", "new", "operator", *words],
        cwd=folder, input="\n".join(typed) + "\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_password_opens_and_another_does_not(file: Path) -> None:
    ada = Operators(file).get("ada")
    assert operators.opens(ada, GOOD)
    assert not operators.opens(ada, GOOD + " ")
    assert not operators.opens(ada, "")


def test_one_password_typed_on_two_keyboards_is_one(file: Path) -> None:
    operators.enter(file, "eva", "mot de passe é à", NOW)
    assert operators.opens(Operators(file).get("eva"), "mot de passe e\u0301 a\u0300")


def test_nobody_has_no_password_and_takes_as_long(file: Path) -> None:
    ada = Operators(file).get("ada")

    def best(who: operators.Operator | None) -> float:
        times = []
        for _ in range(5):
            began = time.thread_time()  # of this thread alone, whatever else the machine does
            assert not operators.opens(who, "a wrong password")
            times.append(time.thread_time() - began)
        return min(times)

    assert 0.5 < best(None) / best(ada) < 2


def test_the_file_is_for_its_owner_and_holds_no_password(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    (entry,) = json.loads(file.read_text())
    assert entry.keys() == {"name", "cost", "salt", "hash", "made"}
    assert GOOD not in file.read_text()
    assert repr(Operators(file).get("ada")) == "Operator(name='ada')"


def test_a_file_that_others_can_read_is_refused(file: Path) -> None:
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="can be read by others"):
        Operators(file)


def test_the_doctor_looks_at_the_file(file: Path) -> None:
    chosen = Settings(ops={"operators": file})
    assert list(operators.check(chosen)) == list(operators.check(Settings())) == []
    file.chmod(0o644)
    (finding,) = operators.check(chosen)
    assert (finding.grade, "can be read by others" in finding.what) == (Grade.UNSAFE, True)


@pytest.mark.parametrize("content", ["", "[]]", '[{"name": "ada"}]', '{"ada": 1}'])
def test_a_file_that_is_something_else_is_refused(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(SettingsError, match="is not what reminder-worker keys new operator writes"):
        Operators(file)


def test_a_changed_file_is_read_again(file: Path) -> None:
    known = Operators(file)
    assert known.get("eva") is None
    operators.enter(file, "eva", OTHER, NOW)
    assert known.get("eva") is not None
    file.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        known.get("eva")


def test_the_command_asks_twice_and_tells_nothing(tmp_path: Path) -> None:
    done = command(tmp_path, "ada", "new/operators.json", typed=(GOOD, GOOD))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "wrote new/operators.json: it is let in\n"
    assert operators.opens(Operators(tmp_path / "new" / "operators.json").get("ada"), GOOD)


def test_a_folder_means_the_file_in_it(file: Path) -> None:
    assert command(file.parent, "eva", ".", typed=(OTHER, OTHER)).returncode == 0
    assert operators.opens(Operators(file).get("ada"), GOOD)
    assert operators.opens(Operators(file).get("eva"), OTHER)


def test_only_who_knows_a_password_changes_it(file: Path) -> None:
    refused = command(file.parent, "ada", ".", typed=(OTHER, OTHER, OTHER))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "only its owner changes it" in refused.stderr
    assert operators.opens(Operators(file).get("ada"), GOOD)
    assert command(file.parent, "ada", ".", typed=(GOOD, OTHER, OTHER)).returncode == 0
    assert operators.opens(Operators(file).get("ada"), OTHER)


def test_whoever_is_let_in_at_once_is_let_in(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(8)
    monkeypatch.setattr(operators, "_hash", lambda *_: bytes([together.wait() >= 0]) * 32)
    with ThreadPoolExecutor(8) as people:
        for one in [people.submit(operators.enter, file, f"one{number}", GOOD, NOW) for number in range(8)]:
            one.result()
    assert {one["name"] for one in json.loads(file.read_text())} == {"ada", *(f"one{number}" for number in range(8))}


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("ada", ("eleven char", "eleven char"), "password: has 12 to 256 characters"),
        ("ada", ("x" * 257, "x" * 257), "password: has 12 to 256 characters"),
        ("ada", (GOOD, OTHER), "password: the two are not the same"),
        ("ada", (), "password: has 12 to 256 characters"),
        ("Ada Lovelace", (GOOD, GOOD), "NAME: has 1 to 32 of the characters"),
        ("1ada", (GOOD, GOOD), "NAME: has 1 to 32 of the characters"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, typed: tuple[str, ...], said: str
) -> None:
    done = command(tmp_path, name, ".", typed=typed)
    assert done.returncode == 2
    assert re.match(rf"reminder-worker: error: {said}", done.stderr)
    assert list(tmp_path.iterdir()) == []
