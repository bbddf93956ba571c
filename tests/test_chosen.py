"""Which way a command line hands in: through the gateway, with the gateway's keys, or with a platform's own."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from desk import Desk, make_keys, opened, settings
from practice import fields

from reminder_worker import cli, keys
from reminder_worker.client import Appointment, Client, HttpClient
from reminder_worker.client.chosen import choose
from reminder_worker.encoding import to_text
from reminder_worker.errors import SettingsError
from reminder_worker.ledger import Answer
from reminder_worker.schedule import Schedule
from reminder_worker.settings import read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def desk(schedule: Schedule, folder: Path) -> Iterator[Desk]:
    with opened(schedule, folder) as one:
        yield one


def config(desk: Desk, here: Path, **changed: str) -> Path:
    key = here / "clinic.apikey"
    key.write_text(f"{desk.key}\n")
    key.chmod(0o600)
    table = {
        "url": f"http://127.0.0.1:{desk.port}",
        "key_file": str(here / "clinic.apikey"),
        "platform": "clinic",
        "pinned": to_text(desk.public.pointers[-1]),
    } | changed
    path = here / "practice.toml"
    path.write_text("[gateway]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in table.items()))
    return path


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[object, str]:
    monkeypatch.setattr("sys.argv", ["reminder-worker", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return ended.value.code, said.out + said.err


def test_a_practice_hands_in_shows_and_takes_back_with_an_api_key_alone(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = str(config(desk, tmp_path))
    (tmp_path / "a.jsonl").write_text(json.dumps(fields("A-1")) + "\n" + json.dumps(fields("A-2", phone="+3312")))
    code, out = run(capsys, monkeypatch, "enqueue", str(tmp_path / "a.jsonl"), "--config", there)
    assert (code, out) == (
        1,
        "1 added, 1 refused\nline 2: number_invalid: phone: there is no such number; check its digits\n",
    )
    code, out = run(capsys, monkeypatch, "show", "A-1", "--json", "--config", there)
    assert (code, json.loads(out)[0]["state"]) == (0, "scheduled")
    assert run(capsys, monkeypatch, "cancel", "A-1", "--config", there) == (0, "cancelled\n")
    assert desk.get("A-1").body["reminders"][0]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"url": "http://reminders.example"}, "gateway.url: must begin with https://"),
        ({"pinned": "x"}, "gateway.pinned: "),
        ({"platform": "Clinic"}, "gateway.platform: "),
        ({"other": "x"}, "gateway.other: there is no such setting"),
    ],
)
def test_a_gateway_that_is_described_wrongly_is_said_so(
    desk: Desk, tmp_path: Path, changed: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(config(desk, tmp_path, **changed))
    assert str(refusal.value).startswith(complaint)


def test_a_file_that_holds_no_key_is_said_so(desk: Desk, tmp_path: Path) -> None:
    there = config(desk, tmp_path)
    (tmp_path / "clinic.apikey").write_text("secret-of-something-else")
    with pytest.raises(SettingsError, match=r"clinic\.apikey: should hold a key") as refusal:
        choose(read(there), None)
    assert "secret" not in str(refusal.value)


def test_a_key_that_others_can_read_is_not_used(desk: Desk, tmp_path: Path) -> None:
    there = config(desk, tmp_path)
    (tmp_path / "clinic.apikey").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        choose(read(there), None)


def test_what_needs_the_store_says_so_on_a_platform_s_machine(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run(capsys, monkeypatch, "status", "--config", str(config(desk, tmp_path)))
    assert code == 2
    assert "run this where the worker is" in said
    assert not (tmp_path / ".reminder-worker").exists()


def test_on_the_gateway_s_own_machine_its_keys_stand_for_a_platform_without_any(
    desk: Desk, schedule: Schedule, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reminder_worker.client.chosen.store.connect", lambda _: schedule.client)
    chosen = settings(folder)
    client = choose(chosen.model_copy(update={"store_url": "redis://127.0.0.1:1/0"}), "clinic")
    assert isinstance(client, Client)
    desk.put("A-1")
    assert client.show("A-1")[0].state == "scheduled"
    assert client.add([Appointment.parse(fields("A-2"))]) == [Answer.ADDED]
    assert desk.get("A-2").status == 200


def test_a_platform_s_own_keys_come_first(
    schedule: Schedule, folder: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reminder_worker.client.chosen.store.connect", lambda _: schedule.client)
    keys.new_platform("clinic", folder)
    client = choose(settings(folder).model_copy(update={"store_url": "redis://127.0.0.1:1/0"}), "clinic")
    desk.put("A-1")
    assert client.show("A-1") == []


def test_the_client_beside_the_ledger_plans_on_the_platform_s_grid(
    schedule: Schedule, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reminder_worker.client.chosen.store.connect", lambda _: schedule.client)
    coarse = settings(folder, due_grid="1h").model_copy(update={"store_url": "redis://127.0.0.1:1/0"})
    client = choose(coarse, "clinic")
    assert isinstance(client, Client)
    when = (datetime.now(UTC) + timedelta(days=3)).replace(minute=50)
    (due,) = client.seal(Appointment.parse(fields(time=when.isoformat(), leads=["24h"]))).dues
    assert due is not None
    assert due <= when - timedelta(hours=24, minutes=50)


def test_a_gateway_table_is_a_way_over_http(desk: Desk, tmp_path: Path) -> None:
    assert isinstance(choose(read(config(desk, tmp_path)), None), HttpClient)
