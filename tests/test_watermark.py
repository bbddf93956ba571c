"""A store that was put back is noticed by who has seen it later, at the start and at work; nobody texts meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backup import Backup
from clock import Clock
from scripted import Keys, Practice, Scripted

from reminder_worker import startup, store
from reminder_worker.acts import Who
from reminder_worker.clocks import to_ms
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import SettingsError
from reminder_worker.job import State
from reminder_worker.keyfiles import Kind, is_private, key_file
from reminder_worker.keys import new_worker
from reminder_worker.ledger import Claim
from reminder_worker.quarantine import quarantine
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Profile, Settings
from reminder_worker.watermark import Watermark

ALICE = Who("alice")
PUT_BACK = "the store is older than this worker remembers it"
Worker = Callable[..., "Machine"]


class Machine(Watermark):
    """What a worker does at each beat."""

    def beat(self) -> bool:
        known = self.rise()
        if known:
            self.keep()
        return known


@pytest.fixture
def worker(client: store.Client, clock: Clock, tmp_path: Path) -> Worker:
    """Return how to start a worker on this machine."""

    def start(shards: int = 1) -> Machine:
        found = Machine(Schedule(client, shards=shards), tmp_path)
        found.check()
        return found

    return start


def test_a_worker_starts_again_on_the_store_that_it_knows(worker: Worker, clock: Clock, tmp_path: Path) -> None:
    for _ in range(3):
        assert worker().beat()
        clock.forward(days=1)
    assert is_private(tmp_path / "worker.seen")


def test_a_worker_does_not_start_on_a_store_that_was_put_back(
    worker: Worker, client: store.Client, clock: Clock
) -> None:
    assert worker().beat()
    backup = Backup(client)
    clock.forward(minutes=10)
    assert worker().beat()
    backup.put_back()
    for _ in range(2):
        with pytest.raises(SettingsError, match=PUT_BACK):
            worker()
    quarantine(Schedule(client), ALICE)
    assert worker().beat()


@pytest.mark.parametrize("shards", [1, 3])
def test_nor_on_one_that_is_empty_in_one_of_its_shards(
    worker: Worker, client: store.Client, clock: Clock, shards: int
) -> None:
    assert worker(shards).beat()
    clock.forward(minutes=10)
    client.delete(f"rw:{{{shards - 1}}}:seen")
    with pytest.raises(SettingsError, match=PUT_BACK):
        worker(shards)


def test_what_a_crash_of_the_server_forgets_is_no_backup(worker: Worker, client: store.Client, clock: Clock) -> None:
    assert worker().beat()
    before = Backup(client)
    clock.forward(seconds=7)
    assert worker().beat()
    before.put_back()
    assert worker().beat()


def test_a_new_machine_knows_nothing_and_starts(worker: Worker, client: store.Client, clock: Clock) -> None:
    Watermark(Schedule(client), Path("none")).check()
    clock.forward(days=1)
    assert worker().beat()


def test_a_clock_that_is_set_back_is_no_backup(worker: Worker, clock: Clock) -> None:
    one, another = worker(), worker()
    assert one.beat()
    assert another.beat()
    clock.forward(hours=-1)
    assert one.beat()
    assert another.beat()
    assert worker().beat()


def test_a_damaged_file_is_named(worker: Worker, tmp_path: Path) -> None:
    for text in ("", "reminder-worker worker seen v1\nms -1\n", "reminder-worker worker seen v1\nms 1e9\n"):
        (tmp_path / "worker.seen").write_text(text)
        with pytest.raises(SettingsError, match=r"worker\.seen: is"):
            worker()


@pytest.mark.parametrize("profile", list(Profile))
def test_the_command_that_runs_a_worker_looks(
    server: EmbeddedServer, client: store.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: Profile
) -> None:
    new_worker(tmp_path, datetime.now(UTC))
    monkeypatch.setattr(startup.doctor, "require", lambda *_: [])
    chosen = Settings(keys=tmp_path, profile=profile)
    startup.prepare(chosen, server.url())
    (tmp_path / "worker.seen").write_text(key_file(Kind.SEEN, ms=str(to_ms(datetime.now(UTC) + timedelta(minutes=1)))))
    with pytest.raises(SettingsError, match=PUT_BACK):
        startup.prepare(chosen, server.url())


# At work.


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


def test_a_store_that_is_put_back_under_a_worker_gives_it_nothing(
    schedule: Schedule, clock: Clock, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    practice = Practice(schedule, clock, keys, provider := Scripted())
    practice.worker.beat("worker/1-a")
    practice.add()
    (stale,) = practice.take()
    backup = Backup(schedule.client)
    practice.worker.remind(stale)
    clock.forward(minutes=5)
    practice.worker.beat("worker/1-a")
    assert len(provider.texts) == 1
    backup.put_back()
    practice.worker.remind(stale)  # as it still stands in the queue
    practice.forward(minutes=1)
    assert (len(provider.texts), practice.show().state) == (1, State.QUEUED)
    assert "store_put_back" in caplog.messages
    caplog.clear()
    schedule.client.delete("rw:{0}:processes")
    practice.worker.beat("worker/1-a")  # which does not make the store young again, nor anybody believe that it works
    assert caplog.messages == ["store_put_back"]
    assert not schedule.client.exists("rw:{0}:processes")
    practice.forward(minutes=5)
    assert len(provider.texts) == 1
    quarantine(schedule, ALICE)
    practice.worker.beat("worker/1-a")
    practice.add(reference="new", time=clock.now + timedelta(hours=2, minutes=1))
    practice.forward(minutes=1)
    assert (len(provider.texts), practice.show(reference="new").state) == (2, State.SENT)


def test_an_open_attempt_of_a_store_that_was_put_back_is_not_looked_after(
    schedule: Schedule, clock: Clock, keys: Keys
) -> None:
    practice = Practice(schedule, clock, keys, Scripted())
    practice.add()
    (wake,) = practice.take()
    claim = schedule.claim(wake)
    assert isinstance(claim, Claim)
    schedule.intend(claim, "scripted", "ref", lease=timedelta(seconds=15))
    clock.forward(minutes=1)
    (look,) = schedule.sweep(0)
    schedule.seen = int(clock.now.timestamp() * 1000)
    assert schedule.claim(look) is None
    schedule.seen = 0
    assert schedule.claim(look) is not None
