import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import desk
import practice
import pytest
import time_machine

from reminder_worker import background, keys, pairs, serving, stems, web
from reminder_worker.apikeys import Caller, Scope
from reminder_worker.errors import SettingsError
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.ledger import Entry
from reminder_worker.plan import Cells, Lead, slots
from reminder_worker.reception import Reception
from reminder_worker.root import Published
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import pointer_to_text, seal_pointer


def test_keys_may_be_read_again_at_any_moment_of_a_call(schedule: Schedule, tmp_path: Path) -> None:
    desk.make_keys(tmp_path)
    reception = Reception(
        schedule, GatewayKeys.load(tmp_path), Published(tmp_path), desk.settings(tmp_path).platforms, "web/1"
    )

    class Interrupted(dict[Any, Any]):
        def __contains__(self, name: object) -> bool:
            found = super().__contains__(name)
            reception.refresh()  # as another thread may
            return found

    caller = Caller("clinic", Mode.LIVE, frozenset(Scope), datetime.now(UTC))
    pointer = pointer_to_text(seal_pointer(reception.public, "clinic", "tel:+33612345678", "fr"))
    fields = {"time": practice.ahead(days=3), "location": "12 rue des Lilas", "pointer": pointer}
    assert isinstance(reception.seal(caller, "A-1", fields), Entry)
    reception._clients = Interrupted(reception._clients)
    assert isinstance(reception.seal(caller, "A-1", fields), Entry)


def test_what_discloses_is_read_before_it_serves(schedule: Schedule, tmp_path: Path) -> None:
    desk.make_keys(tmp_path)
    for read in (stems.load, pairs.load):
        read.cache_clear()
    Reception(schedule, GatewayKeys.load(tmp_path), Published(tmp_path), desk.settings(tmp_path).platforms, "web/1")
    assert [read.cache_info().currsize for read in (stems.load, pairs.load)] == [1, 1]


def test_the_gateway_plans_on_the_platform_s_grid(schedule: Schedule, tmp_path: Path) -> None:
    desk.make_keys(tmp_path)
    platforms = desk.settings(tmp_path, due_grid="1h").platforms
    reception = Reception(schedule, GatewayKeys.load(tmp_path), Published(tmp_path), platforms, "web/1")
    caller = Caller("clinic", Mode.LIVE, frozenset(Scope), datetime.now(UTC))
    pointer = pointer_to_text(seal_pointer(reception.public, "clinic", "tel:+33612345678", "fr"))
    when = (datetime.now(UTC) + timedelta(days=3)).replace(minute=40, second=0, microsecond=0)
    fields = {"time": when.isoformat(), "location": "12 rue des Lilas", "pointer": pointer, "leads": ["24h"]}
    entry = reception.seal(caller, "A-1", fields)
    [slot] = slots(when, [Lead.parse("24h")], None, Cells.of(platforms["clinic"].due_grid, entry.id))
    assert entry.dues == (slot.due,)
    assert slot.due <= when - timedelta(hours=24, minutes=40)


def test_no_two_days_calls_of_a_platform_have_one_name_in_the_store(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.make_keys(tmp_path)
    platforms = desk.settings(tmp_path).platforms
    reception = Reception(schedule, GatewayKeys.load(tmp_path), Published(tmp_path), platforms, "web/1")
    caller = Caller("clinic", Mode.LIVE, frozenset(Scope), datetime.now(UTC))
    named: list[bytes] = []
    monkeypatch.setattr(schedule, "run", lambda _name, _shard, tag, *_: named.append(tag) or [0])

    async def ask() -> None:
        async with background.running(reception.turns.run):
            for day in (1, 1, 2):
                with time_machine.travel(datetime(2027, 3, day, 12, tzinfo=UTC), tick=False):
                    assert await reception.wait_for_turn(caller, "add", 1) == 0

    asyncio.run(ask())
    assert named[0] == named[1] != named[2]


def test_the_worker_s_keys_are_read_again_although_the_api_keys_cannot_be(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "BEAT_EVERY", 0.05)
    folder = tmp_path / "keys"
    desk.make_keys(folder)
    with desk.opened(schedule, folder) as one:
        (folder / "api-keys.json").write_text("[")
        (folder / "worker.pub.json").write_text(keys.public(folder, datetime.now(UTC) - timedelta(weeks=1)))
        wanted = json.loads((folder / "worker.pub.json").read_text())["envelope"]
        until = time.monotonic() + 60
        while one.ask("GET", "/v1/keys").body["envelope"] != wanted:
            assert time.monotonic() < until


def test_who_could_not_sign_what_it_takes_does_not_start(schedule: Schedule, tmp_path: Path) -> None:
    """Each reminder would be accepted, and rejected when it falls due."""
    desk.make_keys(tmp_path / "keys")
    keys.new_platform("clinic", tmp_path / "keys")
    keys.new_gateway(tmp_path / "elsewhere")
    desk.new_key(tmp_path / "keys")
    chosen = desk.settings(tmp_path / "keys")
    for wrong in (tmp_path / "keys" / "clinic.pub", tmp_path / "elsewhere" / "gateway.pub"):
        tenant = chosen.platforms["clinic"].model_copy(update={"verify_key": wrong})
        with pytest.raises(SettingsError, match=r"platforms\.clinic\.verify_key: name this gateway's"):
            web.build(chosen.model_copy(update={"platforms": {"clinic": tenant}}), schedule)
    absent = chosen.platforms["clinic"].model_copy(update={"verify_key": tmp_path / "on-the-worker-s-machine"})
    assert web.build(chosen.model_copy(update={"platforms": {"clinic": absent}}), schedule)
