"""Which server is spoken to, and how."""

from pathlib import Path

import pytest

from reminder_worker import embedded, store


@pytest.mark.parametrize(
    ("store_url", "queue_url"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/1"),
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/1"),
        ("rediss://name:word@store.example:7000/3", "rediss://name:word@store.example:7000/1"),
        ("unix:///run/valkey.sock?db=0", "unix:///run/valkey.sock?db=1"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock?db=1"),
    ],
)
def test_the_queue_lives_in_a_database_of_its_own(store_url: str, queue_url: str) -> None:
    assert store.queue_url(None, store_url) == queue_url
    assert store.queue_url("redis://other.example/5", store_url) == "redis://other.example/5"


def test_a_store_url_is_used_as_it_is() -> None:
    assert store.resolve_url("redis://store.example/0") == "redis://store.example/0"


def test_without_a_store_url_all_processes_of_a_folder_share_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders: list[Path] = []
    monkeypatch.setattr(embedded, "shared", lambda folder: folders.append(folder) or "unix:///a.sock?db=0")
    monkeypatch.chdir(tmp_path)
    assert store.resolve_url(None) == "unix:///a.sock?db=0"
    assert folders == [tmp_path / ".reminder-worker"]


def test_a_client_tries_again_after_a_lost_connection_and_does_not_wait_forever() -> None:
    with store.connect("redis://store.example/0", client_name="a-test") as client:
        settings = client.connection_pool.connection_kwargs
        assert settings["retry"].get_retries() == 5
        assert settings["socket_timeout"] == store.SOCKET_TIMEOUT
        assert settings["client_name"] == "a-test"
