"""The folder in which a worker's processes count together: where it is, and where it cannot be."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from reminder_worker import sharing
from reminder_worker.errors import SettingsError
from reminder_worker.settings import Settings

COUNTING = Settings(metrics_listen="127.0.0.1:9464")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(sharing.SHARED, "")  # so that it is put back
    return tmp_path


def test_it_is_made_where_temporary_files_go_and_goes_again(place: Path) -> None:
    sharing.share(COUNTING)
    (made,) = place.iterdir()
    assert os.environ[sharing.SHARED] == str(made)
    assert made.stat().st_mode & 0o077 == 0
    sharing.unshare()
    assert list(place.iterdir()) == []


def test_none_is_made_where_nothing_is_counted(place: Path) -> None:
    sharing.share(Settings())
    assert list(place.iterdir()) == []


def test_a_disk_that_is_full_is_said_before_it_ends_anybody(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=sharing.ROOM - 1))
    with pytest.raises(SettingsError, match=r"^metrics_listen: needs a folder in which 16 MiB .*TMPDIR"):
        sharing.share(COUNTING)
    assert list(place.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(place / "none"))
    with pytest.raises(SettingsError, match=r"^metrics_listen: .*none, or set TMPDIR"):
        sharing.share(COUNTING)
