"""Platforms that pin the root, whichever way they come: without its signature nothing is sealed."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from desk import Desk, make_keys, opened, settings
from practice import fields

from reminder_worker import keys, sealing, serving
from reminder_worker.client import Appointment, HttpClient, Root
from reminder_worker.client.chosen import choose
from reminder_worker.encoding import to_text
from reminder_worker.errors import SettingsError
from reminder_worker.ledger import Answer
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.settings import Settings, read

ONE = Appointment.parse(fields("A-1"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys")
    keys.new_root(tmp_path / "root")
    keys.new_root(tmp_path / "other")
    return tmp_path / "keys"


@pytest.fixture
def root(folder: Path) -> str:
    """What platforms pin."""
    return (folder.parent / "root" / "root.pub").read_text().split()[-1]


def sign(folder: Path, by: str = "root", *, at: timedelta = timedelta(0)) -> PublicKeys:
    signed, _ = keys.sign(folder / "worker.pub.json", folder.parent / by / "root.key", datetime.now(UTC) + at)
    return signed


@pytest.fixture
def desk(schedule: Schedule, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(serving, "BEAT_EVERY", 0.05)
    with opened(schedule, folder) as one:
        yield one


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return what is sealed on the platform's side from now on."""
    seen: list[object] = []
    real = sealing.seal_pointer
    monkeypatch.setattr(sealing, "seal_pointer", lambda *parts: seen.append(parts) or real(*parts))
    return seen


def wait_for(desk: Desk, published: Callable[[dict], bool]) -> None:
    """Wait until the gateway has read its file again."""
    until = time.monotonic() + 60
    while not published(desk.ask("GET", "/v1/keys").body):
        assert time.monotonic() < until


def call(desk: Desk, **pins: str) -> HttpClient:
    return HttpClient(f"http://127.0.0.1:{desk.port}", desk.key, platform="clinic", patience=5, **pins)


def test_the_gateway_publishes_the_file_with_its_signature(desk: Desk, folder: Path) -> None:
    assert "root" not in desk.ask("GET", "/v1/keys").body
    sign(folder)
    wait_for(desk, lambda body: "root" in body)
    body = desk.ask("GET", "/v1/keys").body
    del body["record"]
    assert body == json.loads((folder / "worker.pub.json").read_text())


def test_keys_that_the_root_signed_are_sealed_to(desk: Desk, folder: Path, root: str, sealed: list[object]) -> None:
    sign(folder)
    wait_for(desk, lambda body: "root" in body)
    assert call(desk, root=root).add([ONE]) == [Answer.ADDED]
    assert len(sealed) == 1


@pytest.mark.parametrize("by", [None, "other"])
def test_nothing_is_sealed_without_the_root_s_signature(
    desk: Desk, folder: Path, root: str, sealed: list[object], by: str | None
) -> None:
    if by:
        sign(folder, by)
        wait_for(desk, lambda body: "root" in body)
    with pytest.raises(SettingsError, match="root: the public keys are not signed by the root"):
        call(desk, root=root).add([ONE])
    assert sealed == []
    assert desk.get("A-1").status == 404


def test_older_keys_are_refused_by_who_has_seen_newer_ones(
    desk: Desk, folder: Path, root: str, sealed: list[object]
) -> None:
    sign(folder, at=timedelta(days=-2))
    stolen = (folder / "worker.pub.json").read_bytes()
    (folder / "worker.pub.json").write_text(keys.public(folder, datetime.now(UTC)))
    newer = sign(folder).signature
    wait_for(desk, lambda body: body.get("root", {}).get("issued") == newer.issued)
    client = call(desk, root=root)
    assert client.add([ONE]) == [Answer.ADDED]
    (folder / "worker.pub.json").write_bytes(stolen)
    wait_for(desk, lambda body: body["root"]["issued"] < newer.issued)
    with pytest.raises(SettingsError, match="root: these public keys are older"):
        client.add([ONE])
    assert len(sealed) == 1
    assert call(desk, root=root).add([ONE])  # who starts anew cannot know


def test_root_and_pointer_key_may_both_be_pinned(desk: Desk, folder: Path, root: str) -> None:
    signed = sign(folder)
    wait_for(desk, lambda body: "root" in body)
    assert call(desk, root=root, pinned=to_text(signed.pointers[-1])).add([ONE])
    with pytest.raises(SettingsError, match=r"^pinned: "):
        call(desk, root=root, pinned=to_text(bytes(32))).add([ONE])


def test_something_has_to_be_pinned(desk: Desk) -> None:
    with pytest.raises(SettingsError, match=r"^root, pinned: pin one of them"):
        call(desk)


@pytest.mark.parametrize("text", ["", "x", "A" * 44])
def test_what_is_no_root_cannot_be_pinned(desk: Desk, text: str) -> None:
    with pytest.raises(SettingsError, match=r"^root: must be the 43 characters"):
        call(desk, root=text)


# As the settings say.


def config(desk: Desk, here: Path, **pins: str) -> Settings:
    key, path = here / "clinic.apikey", here / "practice.toml"
    key.write_text(desk.key)
    key.chmod(0o600)
    table = {"url": f"http://127.0.0.1:{desk.port}", "key_file": str(key), "platform": "clinic"} | pins
    path.write_text("[gateway]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in table.items()))
    return read(path)


def test_a_command_line_at_a_gateway_pins_the_root_of_its_settings(
    desk: Desk, folder: Path, root: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="not signed by the root"):
        choose(config(desk, tmp_path, root=root), None).add([ONE])
    sign(folder)
    wait_for(desk, lambda body: "root" in body)
    assert choose(config(desk, tmp_path, root=root), None).add([ONE]) == [Answer.ADDED]


def test_a_gateway_s_table_pins_something(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^gateway: pin the worker's root, or its pointer key"):
        config(desk, tmp_path)
    with pytest.raises(SettingsError, match=r"^gateway\.root: "):
        config(desk, tmp_path, root="x")


def test_a_command_line_beside_the_ledger_pins_the_root_of_its_settings(
    schedule: Schedule, folder: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reminder_worker.client.chosen.store.connect", lambda _: schedule.client)
    chosen = settings(folder).model_copy(update={"store_url": "redis://127.0.0.1:1/0", "root": root})
    with pytest.raises(SettingsError, match="not signed by the root"):
        choose(chosen, "clinic")
    sign(folder)
    assert choose(chosen, "clinic").add([ONE]) == [Answer.ADDED]


def test_a_platform_beside_the_ledger_checks_before_it_seals(folder: Path, root: str) -> None:
    """As the example in the client's own words does."""
    path = folder / "worker.pub.json"
    with pytest.raises(SettingsError, match="not signed by the root"):
        Root(root).check(PublicKeys.load(path))
    signed = sign(folder)
    assert Root(root).check(PublicKeys.load(path)) == signed
