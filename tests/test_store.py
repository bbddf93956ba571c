"""Which server is spoken to, and how."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import redis
from redis.connection import parse_url
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from reminder_worker import embedded, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings


@pytest.mark.parametrize(
    ("store_url", "queue_url"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/1"),
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/1"),
        ("rediss://name:word@store.example:7000/3", "rediss://name:word@store.example:7000/1"),
        ("unix:///run/valkey.sock?db=0", "unix:///run/valkey.sock?db=1"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock?db=1"),
        ("rediss://w@h:6380/0?ssl_ca_certs=/ca.pem", "rediss://w@h:6380/1?ssl_ca_certs=/ca.pem"),
        ("rediss://w@h?ssl_ca_certs=/a&ssl_certfile=/b&db=2", "rediss://w@h/1?ssl_ca_certs=/a&ssl_certfile=/b"),
        ("unix://w@/run/v.sock?password=x", "unix://w@/run/v.sock?password=x&db=1"),
        ("unix://w@/run/v.sock?db=0&password=x", "unix://w@/run/v.sock?password=x&db=1"),
        ("redis://h:6379?db=2", "redis://h:6379/1"),
        ("redis://h:6379/0?%64b=2&socket_keepalive=yes", "redis://h:6379/1?socket_keepalive=yes"),
    ],
)
def test_the_queue_lives_in_a_database_of_its_own(store_url: str, queue_url: str) -> None:
    assert store.queue_url(None, store_url) == queue_url
    assert parse_url(queue_url)["db"] == 1
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
        assert not settings.get("health_check_interval")  # a PING with tries of its own, within each of these
        assert settings["client_name"] == "a-test"


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_server_that_cannot_be_reached_is_tried_once_in_each_try_of_a_call(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    client = store.connect(f"{scheme}://127.0.0.1:6379/0", retry=store.retrying(3))
    reach = Mock(side_effect=TimeoutError)
    monkeypatch.setattr(client.connection_pool.connection_class, "_connect", reach)
    with pytest.raises(StoreUnavailable):
        Schedule(client).run("beat", 0, "worker/1")
    assert reach.call_count == 4


# Passwords are in files.

PASSWORD = "p@ss:w/rd %?#é"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("redis://web@store.example:7000/3", "web"),
        ("redis://store.example", None),
        ("rediss://web@store.example/0?ssl_ca_certs=/a", "web"),
        ("redis://web@store.example?db=3&socket_keepalive=yes", "web"),
        ("unix://web@/run/valkey.sock?db=0", "web"),
        ("unix:///run/valkey.sock", None),
    ],
)
def test_a_password_comes_from_its_file(url: str, user: str | None, password: Path) -> None:
    settings = Settings(store_url=url, store_password_file=password)
    store_url = store.url_of(settings)
    for one, database in ((store_url, None), (store.queue_url_of(settings, store_url), 1)):
        read = parse_url(one)
        assert (read.pop("username", None) or None, read.pop("password")) == (user, PASSWORD)
        wanted = parse_url(url) | ({} if database is None else {"db": 1})
        wanted.pop("username", None)
        assert read == wanted


def test_a_queue_elsewhere_has_a_password_of_its_own_and_never_the_store_s(password: Path) -> None:
    settings = Settings(
        store_url="redis://a@one.example", store_password_file=password, queue_url="redis://b@two.example/4"
    )
    assert store.queue_url_of(settings, store.url_of(settings)) == "redis://b@two.example/4"
    own = settings.model_copy(update={"queue_password_file": password})
    read = parse_url(store.queue_url_of(own, store.url_of(own)))
    assert (read["username"], read["password"], read["host"], read["db"]) == ("b", PASSWORD, "two.example", 4)


@pytest.mark.parametrize("url", ["redis://a:hunter2@one.example", "redis://one.example?password=hunter2"])
def test_a_password_in_two_places_is_refused_and_not_shown(url: str, password: Path) -> None:
    for settings in (
        Settings(store_url=url, store_password_file=password),
        Settings(queue_url=url, queue_password_file=password),
    ):
        with pytest.raises(SettingsError, match="one of them may hold the password") as caught:
            store.queue_url_of(settings, "redis://x") if settings.queue_url else store.url_of(settings)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff", None])
def test_a_file_without_a_password_is_refused(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^store_password_file: .* should hold a password$"):
        store.url_of(Settings(store_url="redis://one.example", store_password_file=file))


def test_a_password_that_this_user_may_not_read_is_not_said_to_be_missing(
    password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SettingsError, match=r"^store_password_file: .* cannot be read; may this user read it\?$"):
        store.url_of(Settings(store_url="redis://one.example", store_password_file=password))


def test_a_password_without_a_url_leads_nowhere(password: Path) -> None:
    with pytest.raises(SettingsError, match=r"^store_password_file: needs a store_url$"):
        store.url_of(Settings(store_password_file=password))
    with pytest.raises(SettingsError, match=r"^queue_password_file: needs a queue_url$"):
        store.queue_url_of(Settings(queue_password_file=password), "redis://one.example")


@pytest.mark.parametrize("url", ["redis://[one/0", "redis://a@[/0"])
def test_what_is_no_url_is_refused_with_a_password_as_well(url: str, password: Path) -> None:
    with pytest.raises(SettingsError, match=r"^store_url, queue_url: "):
        store.url_of(Settings(store_url=url, store_password_file=password))


@pytest.mark.parametrize("url", ["redis://one.example/reminders", "rediss://one.example/-1", "redis://one.example/0/1"])
def test_a_database_that_is_no_number_is_not_taken_for_the_first_one(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^store_url, queue_url: write them as redis://USER@HOST:PORT/0"):
        store.connect(url)


def test_a_script_that_the_user_of_the_store_may_not_run_to_its_end_is_refused_too(
    server: EmbeddedServer, client: store.Client
) -> None:
    client.execute_command("ACL", "SETUSER", "older", "on", "nopass", "-@all", "+eval", "+set", "~rw:a")
    try:
        older = redis.Redis.from_url(f"{server.url()}&username=older&password=any")
        with older, pytest.raises(RedisError) as caught:
            older.eval("#!lua\nreturn redis.call('SET', 'rw:canary', '')", 0)
        found = store.unavailable(caught.value)
    finally:
        client.execute_command("ACL", "DELUSER", "older")
    assert found.refused
    assert "canary" not in str(found)


@pytest.mark.parametrize("kind", [AuthenticationError, NoPermissionError])
def test_a_store_that_refuses_is_not_called_away(kind: type[RedisError]) -> None:
    said = str(store.unavailable(kind("WRONGPASS secret")))
    assert said.startswith(f"the store refused us ({kind.__name__}); has this user its password")
    assert "secret" not in said


def test_production_has_a_store_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="store_url: is needed in production"):
        store.url_of(Settings(profile="production"))
    assert not list(tmp_path.iterdir())


def test_who_only_looks_makes_no_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="store_url: is not set, and there is no store in this folder"):
        store.existing_url_of(Settings())
    assert not list(tmp_path.iterdir())
    assert store.existing_url_of(Settings(store_url="redis://one.example")) == "redis://one.example"
