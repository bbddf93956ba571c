"""A test key plays everything through and reaches nobody: by the number, through gateway, worker and ledger."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from desk import Desk, make_keys, new_key, opened
from desk import settings as desk_settings
from practice import ahead

from reminder_worker import equipment, magic, providers, rehearsal, store
from reminder_worker.encoding import from_text
from reminder_worker.gate import Gate
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.job import State
from reminder_worker.ledger import HEAD_BYTES
from reminder_worker.opening import load_signers, open_envelope, open_pointer
from reminder_worker.providers import Text
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys, kid, make_id
from reminder_worker.settings import Settings
from reminder_worker.worker import Worker


class Stage:
    """A gateway, one worker with an outbox as its only provider, and a platform with a live and a test key."""

    def __init__(self, schedule: Schedule, folder: Path, live: Desk, test_key: str, **platform: object) -> None:
        self.schedule, self.folder, self.live = schedule, folder, live
        self.test = replace(live, key=test_key)
        self.outbox = folder.parent / "outbox.jsonl"
        chosen: Settings = desk_settings(folder, **platform).model_copy(
            update={"providers": {"outbox": {"path": str(self.outbox)}}}
        )
        self.parts = equipment.load(chosen, schedule)
        self.worker = Worker(schedule, self.parts)
        self.worker.listen(lambda: PublicKeys.load(folder / "worker.pub.json"))

    def work(self) -> None:
        for wake in self.schedule.take(0, capacity=100).wakes:
            self.worker.remind(wake)

    def play(self, desk: Desk, number: str, reference: str = "T-1") -> dict:
        """Hand in a reminder that is due at once, and let the worker see to it."""
        answer = desk.put(reference, pointer=desk.pointer(f"tel:{number}"), time=ahead(hours=2), leads=["3h"])
        assert answer.status == 201, answer.body
        self.work()
        shown = desk.get(reference).body["reminders"][0]
        for _ in range(200 * (desk is self.test and shown["state"] == State.SENT)):  # its receipt comes a little later
            shown = desk.get(reference).body["reminders"][0]
            if shown["state"] != State.SENT:
                break
        return shown


@pytest.fixture
def stage(client: store.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(rehearsal, "RECEIPT_AFTER", 0.0)
    make_keys(tmp_path / "keys")
    test_key, schedule = new_key(tmp_path / "keys", test=True), Schedule(client)
    with opened(schedule, tmp_path / "keys") as live:
        yield Stage(schedule, tmp_path / "keys", live, test_key)


@pytest.mark.parametrize(
    ("number", "state", "reason"),
    [
        (magic.DELIVERED, State.DELIVERED, None),
        ("+33612345678", State.DELIVERED, None),
        (magic.UNDELIVERED, State.UNDELIVERED, "unreachable"),
        (magic.REJECTED, State.FAILED, "number_refused"),
        (magic.THROTTLED, State.SCHEDULED, "throttled"),
        ("+33612", State.FAILED, "number_invalid"),
    ],
)
def test_a_number_plays_its_part_and_nobody_is_reached(stage: Stage, number: str, state: State, reason: str) -> None:
    shown = stage.play(stage.test, number)
    assert (shown["state"], shown["reason"]) == (state, reason)
    assert stage.outbox.read_text() == ""


def test_the_same_number_is_texted_for_real_with_a_live_key(stage: Stage) -> None:
    assert stage.play(stage.live, "+33612345678")["state"] == State.SENT
    assert stage.outbox.read_text().count("+33612345678") == 1


@pytest.mark.parametrize("number", sorted(magic.PARTS.values()))
def test_a_magic_number_has_no_magic_with_a_live_key(stage: Stage, number: str) -> None:
    assert stage.play(stage.live, number)["state"] == State.SENT
    assert stage.outbox.read_text().count(number) == 1


def test_a_magic_number_is_checked_as_any_other_with_a_live_key(stage: Stage) -> None:
    french = Stage(stage.schedule, stage.folder, stage.live, stage.test.key, countries=["FR"])
    shown = french.play(french.live, magic.DELIVERED)
    assert (shown["state"], shown["reason"]) == (State.FAILED, "country_not_allowed")
    assert french.play(french.test, magic.DELIVERED)["state"] == State.DELIVERED


def test_live_and_test_know_nothing_of_each_other(stage: Stage) -> None:
    assert stage.test.put("A-1").status == 201
    assert stage.live.get("A-1").status == 404
    assert stage.live.cancel("A-1").status == 404
    assert stage.live.put("A-1").status == 201
    assert stage.test.cancel("A-1").status == 200
    assert stage.live.get("A-1").body["reminders"][0]["state"] == State.SCHEDULED


def test_no_limit_is_used_up_and_none_stands_in_the_way(stage: Stage) -> None:
    for number in range(12):  # more than a phone gets in a day
        assert stage.play(stage.test, magic.DELIVERED, f"T-{number}")["state"] == State.DELIVERED
    for number in range(6):  # enough to pause a provider
        stage.play(stage.test, magic.THROTTLED, f"H-{number}")
    assert stage.play(stage.test, magic.DELIVERED, "last")["state"] == State.DELIVERED
    kinds = {key[len(b"rw:{0}:") :][:2] for key in stage.schedule.client.keys(b"rw:{0}:*")}
    assert not kinds & {b"p:", b"d:", b"l:", b"c:", b"s:"}


def test_nothing_of_a_gate_that_counts_is_left_in_one_that_stands_open() -> None:
    public = {name for name, what in vars(Gate).items() if callable(what) and not name.startswith("_")}
    assert public - vars(rehearsal.OpenGate).keys() == set()


def test_who_said_stop_is_left_alone_in_a_rehearsal_too(stage: Stage) -> None:
    stage.parts.delivery.opted_out("+33612345678")
    assert stage.play(stage.test, "+33612345678")["state"] == State.SUPPRESSED


def test_only_the_test_key_of_the_gateway_signs_rehearsals(stage: Stage) -> None:
    gateway = GatewayKeys.load(stage.folder)
    signers = load_signers({"clinic": stage.folder / "gateway.pub"})
    for desk, mode in ((stage.live, Mode.LIVE), (stage.test, Mode.TEST)):
        desk.put("A-1")
        id_ = make_id(gateway.platform("clinic", mode), "A-1")
        envelope = stage.schedule.client.get(b"rw:{0}:a:" + id_)[HEAD_BYTES:]
        assert open_envelope(stage.parts.keys, signers, envelope, entry_id=id_).test is (mode is Mode.TEST)
    assert [signers[kid(bytes(key.verify_key))].test for key in (gateway.live, gateway.test)] == [False, True]


def test_a_rehearsal_whose_worker_died_is_played_again(stage: Stage) -> None:
    stage.test.put("T-1", pointer=stage.test.pointer(f"tel:{magic.DELIVERED}"), time=ahead(hours=2), leads=["3h"])
    (wake,) = stage.schedule.take(0, capacity=1).wakes
    claim = stage.schedule.claim(wake)
    stage.schedule.intend(claim, providers.REHEARSAL, "r" * 39, lease=timedelta(0), template="x")
    for _ in range(2):
        for again in [*stage.schedule.sweep(0), *stage.schedule.take(0, capacity=1).wakes]:
            stage.worker.remind(again)
    assert stage.test.get("T-1").body["reminders"][0]["state"] in {State.SENT, State.DELIVERED}


def test_without_anybody_who_hears_a_rehearsal_is_sent_and_no_more() -> None:
    text = Text(magic.DELIVERED, "", 1, "r" * 39, timedelta(hours=1))
    assert rehearsal.Rehearsal().send(text, deadline=0).segments == 1


def test_the_gateway_hands_out_a_pointer_for_each_part(stage: Stage) -> None:
    pointers = stage.test.ask("GET", "/v1/test-pointers").body
    assert set(pointers) == set(magic.PARTS)
    opened_to = {
        part: open_pointer(stage.parts.keys, "clinic", from_text(text, 153)).uri for part, text in pointers.items()
    }
    assert opened_to == {part: f"tel:{number}" for part, number in magic.PARTS.items()}
    assert stage.test.ask("GET", "/v1/test-pointers", Authorization="").status == 401
