"""A ratchet that was restored from a backup is refused where anything remembers that it had been further."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from clock import START, Clock

from reminder_worker import keys, startup, store
from reminder_worker.doctor import check_restored
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.epochs import Epochs, Mark, mark_file
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.keyfiles import is_private
from reminder_worker.opening import WorkerKeys
from reminder_worker.ratchet import Ratchet, ratchet_file
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import week
from reminder_worker.settings import Profile, Settings
from reminder_worker.worker import Worker

EPOCHS = "rw:{0}:epochs"
RESTORED = "older than one that was here before"
Machine = Callable[..., "Host"]


class Host:
    """One machine with a copy of the ratchet; it works for as long as a test says."""

    def __init__(self, schedule: Schedule, folder: Path, clock: Clock) -> None:
        self.schedule, self.folder, self.clock = schedule, folder, clock

    def start(self) -> "Host":
        """Start a worker. Raises SettingsError where it must not."""
        self.epochs = Epochs(self.schedule, self.folder)
        self.epochs.check(self.clock.now)
        self.keys = WorkerKeys.load(self.folder)
        return self

    def beat(self) -> None:
        self.keys.advance(self.clock.now)
        assert not self.keys.behind
        self.epochs.reach(self.keys.week)

    def work(self) -> "Host":
        self.start().beat()
        return self

    def backup(self, *names: str) -> dict[Path, bytes]:
        chosen = names or ("worker.ratchet", "worker.epoch")
        return {self.folder / name: (self.folder / name).read_bytes() for name in chosen}


def restore(backup: dict[Path, bytes]) -> None:
    for path, held in backup.items():
        path.write_bytes(held)


@pytest.fixture
def machine(schedule: Schedule, clock: Clock, tmp_path: Path) -> Machine:
    """Return how to set up a machine: with new keys, or with a copy of another's."""

    def make(name: str, of: Host | None = None) -> Host:
        folder = tmp_path / name
        if of is None:
            keys.new_worker(folder, clock.now)
        else:
            folder.mkdir(mode=0o700)
            for path in of.folder.glob("worker.*"):
                if path != mark_file(of.folder):
                    (folder / path.name).write_bytes(path.read_bytes())
        return Host(schedule, folder, clock)

    return make


def test_what_is_remembered_follows_the_ratchet(machine: Machine, clock: Clock, client: store.Client) -> None:
    one = machine("a").work()
    (name,) = client.hkeys(EPOCHS)
    assert Mark.load(one.folder) == Mark(name.decode(), week(START) - 1)
    assert is_private(mark_file(one.folder))
    clock.forward(weeks=2)
    one.beat()
    assert Mark.load(one.folder) == Mark(name.decode(), week(START) + 1)
    assert client.hgetall(EPOCHS) == {name: b"%d" % (week(START) + 1)}


KILLED_WHILE_IT_WRITES = """
import os, signal, sys
from pathlib import Path
from reminder_worker.epochs import Epochs
os.fdopen = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
Epochs(None, Path(sys.argv[1]))._mark(3000)
"""


def test_a_worker_that_is_killed_while_it_remembers_for_the_first_time_starts_again(machine: Machine) -> None:
    one = machine("a")
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_IT_WRITES, one.folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    one.work()


def test_a_worker_starts_again_at_any_time(machine: Machine, clock: Clock) -> None:
    one = machine("a").work()
    for weeks in (0, 1, 5, 40):
        clock.forward(weeks=weeks)
        one.work()


def test_a_machine_that_was_off_simply_turns(machine: Machine, clock: Clock) -> None:
    """Its file is behind what others have reached, and it never was any further itself."""
    one = machine("a").work()
    other = machine("b", one).work()
    for _ in range(5):
        clock.forward(weeks=1)
        one.beat()
    other.work()
    assert Ratchet.load(other.folder) == Ratchet.load(one.folder)


def test_a_restored_folder_is_refused_though_what_lies_beside_the_ratchet_was_restored_too(
    machine: Machine, clock: Clock
) -> None:
    one = machine("a").work()
    kept = one.backup()
    clock.forward(weeks=3)
    one.beat()
    restore(kept)
    with pytest.raises(SettingsError, match=RESTORED):
        one.start()


def test_a_restored_ratchet_is_refused_without_any_store(machine: Machine, clock: Clock, client: store.Client) -> None:
    one = machine("a").work()
    kept = one.backup("worker.ratchet")
    clock.forward(weeks=3)
    one.beat()
    restore(kept)
    client.flushall()
    clock.set(clock.now)
    with pytest.raises(SettingsError, match=RESTORED):
        one.start()


def test_a_ratchet_restored_where_nothing_lies_beside_it_is_known_by_what_others_reached(
    machine: Machine, clock: Clock
) -> None:
    """On a new machine, say, after the old one broke."""
    one = machine("a").work()
    kept = one.backup("worker.ratchet")
    clock.forward(weeks=3)
    one.beat()
    restore(kept)
    mark_file(one.folder).unlink()
    with pytest.raises(SettingsError, match=RESTORED):
        one.start()


def test_a_new_machine_may_have_a_copy_of_last_week(machine: Machine, clock: Clock) -> None:
    one = machine("a").work()
    new = machine("b", one)
    clock.forward(weeks=1)
    one.beat()
    new.work()


def test_what_a_person_turned_on_starts_again(machine: Machine, clock: Clock) -> None:
    one = machine("a").work()
    kept = one.backup()
    clock.forward(weeks=3)
    one.beat()
    turned = Ratchet.load(one.folder)
    restore(kept)
    assert keys.forget(one.folder, clock.now) == 3
    assert Ratchet.load(one.folder) == turned
    one.work()


def test_a_lost_ratchet_is_made_anew_and_starts(machine: Machine, clock: Clock) -> None:
    one = machine("a").work()
    clock.forward(weeks=60)
    with pytest.raises(SettingsError, match="keys new ratchet"):
        one.start().beat()
    before = [path.read_bytes() for path in one.folder.glob("worker.pointer.*")]
    ratchet_file(one.folder).unlink()
    keys.new_ratchet(one.folder, clock.now)
    one.work()
    assert [path.read_bytes() for path in one.folder.glob("worker.pointer.*")] == before


def test_a_ratchet_is_never_made_over_another(machine: Machine, tmp_path: Path) -> None:
    one = machine("a")
    before = ratchet_file(one.folder).read_bytes()
    with pytest.raises(SettingsError, match="never overwritten"):
        keys.new_ratchet(one.folder, START)
    assert ratchet_file(one.folder).read_bytes() == before
    with pytest.raises(SettingsError, match=r"holds no worker\.pointer\.1\.key"):
        keys.new_ratchet(tmp_path, START)
    assert not ratchet_file(tmp_path).exists()


def test_a_week_of_the_future_beside_the_ratchet_stops_nobody_for_good(machine: Machine, clock: Clock) -> None:
    """The clock was wrong once, say."""
    one = machine("a").work()
    mark_file(one.folder).write_text(Mark("0" * 16, year_3000()).to_file())
    one.start()
    clock.forward(weeks=1)
    with pytest.raises(SettingsError, match=RESTORED):
        one.start()
    keys.forget(one.folder, clock.now)
    one.start()


# Whoever can write to the store.


def forge(client: store.Client, number: int) -> None:
    for name in [*client.hkeys(EPOCHS), b"another"]:
        client.hset(EPOCHS, name, number)


def year_3000() -> int:
    return week(datetime(3000, 1, 1, tzinfo=UTC))


def test_a_forged_week_makes_no_worker_turn(machine: Machine, client: store.Client) -> None:
    one = machine("a").work()
    forge(client, year_3000())
    before = ratchet_file(one.folder).read_bytes()
    one.work()
    assert ratchet_file(one.folder).read_bytes() == before


def test_a_week_of_the_future_is_neither_believed_nor_kept(
    machine: Machine, clock: Clock, client: store.Client
) -> None:
    one = machine("a").work()
    forge(client, year_3000())
    clock.forward(weeks=1)
    one.work()
    assert set(client.hvals(EPOCHS)) == {b"%d" % week(START)}


def test_even_a_store_whose_clock_lies_holds_up_none_but_who_missed_a_turn(
    machine: Machine, clock: Clock, client: store.Client
) -> None:
    """And that one until a person turns its ratchet."""
    one = machine("a").work()
    now = clock.now + timedelta(weeks=1)
    clock.set(datetime(3000, 1, 8, tzinfo=UTC))  # the store's
    forge(client, year_3000())
    one.epochs.check(now - timedelta(weeks=1))
    with pytest.raises(SettingsError, match=RESTORED):
        one.epochs.check(now)
    keys.forget(one.folder, now)
    one.epochs.check(now)
    assert Ratchet.load(one.folder).week == week(START)


@pytest.mark.parametrize("value", [b"", b"x", b"-5", b"1e9", b"nan", b"0x7fffffff"])
def test_what_is_no_week_is_passed_over(machine: Machine, client: store.Client, value: bytes) -> None:
    one = machine("a").work()
    (name,) = client.hkeys(EPOCHS)
    client.hset(EPOCHS, mapping={name: value, b"another": value})
    one.work()
    assert client.hget(EPOCHS, name) == b"%d" % (week(START) - 1)
    assert client.hlen(EPOCHS) == 1


def test_machines_that_are_gone_are_forgotten_in_the_end(machine: Machine, clock: Clock, client: store.Client) -> None:
    gone = machine("a").work()
    one = machine("b", gone).work()
    for _ in range(3):
        clock.forward(weeks=30)
        one.beat()
    assert client.hlen(EPOCHS) == 1


def test_who_only_looks_writes_nothing(machine: Machine, clock: Clock, client: store.Client) -> None:
    one = machine("a").work()
    forge(client, year_3000())
    before = client.hgetall(EPOCHS)
    one.epochs.check(clock.now)
    Epochs(one.schedule, machine("b", one).folder).check(clock.now)
    assert client.hgetall(EPOCHS) == before


def test_an_older_week_replaces_no_newer_one(machine: Machine, clock: Clock, client: store.Client) -> None:
    one = machine("a").work()
    clock.forward(weeks=2)
    one.beat()
    before = client.hgetall(EPOCHS)
    one.epochs.reach(week(START) - 1)
    assert client.hgetall(EPOCHS) == before
    assert Mark.load(one.folder).week == week(START) + 1


# A damaged file, the doctor, a store that is away.


@pytest.mark.parametrize(
    "text", ["", "reminder-worker worker epoch v1\ncopy xyz\nweek 5\n", "reminder-worker worker epoch v1\ncopy 1\n"]
)
def test_a_damaged_file_is_named(machine: Machine, text: str) -> None:
    one = machine("a").work()
    mark_file(one.folder).write_text(text)
    with pytest.raises(SettingsError, match=r"worker\.epoch: is"):
        one.start()


def test_the_doctor_finds_a_restored_ratchet_with_the_store_or_without(
    machine: Machine, clock: Clock, client: store.Client, tmp_path: Path
) -> None:
    one = machine("a").work()
    chosen = Settings(keys=one.folder)
    kept = one.backup("worker.ratchet")
    clock.forward(weeks=3)
    with time_machine.travel(clock.now, tick=False):
        one.beat()
        away = store.connect(f"unix://{tmp_path}/none", retry=store.retrying(0))
        assert [*check_restored(chosen, client), *check_restored(chosen, away)] == []
        restore(kept)
        for where in (client, away):
            (found,) = check_restored(chosen, where)
            assert RESTORED in found.what
        mark_file(one.folder).unlink()
        assert len(list(check_restored(chosen, client))) == 1
        ratchet_file(one.folder).unlink()
        assert list(check_restored(chosen, client)) == []


def test_a_store_that_is_away_is_no_restored_ratchet(machine: Machine, clock: Clock, tmp_path: Path) -> None:
    one = machine("a").work()
    away = Schedule(store.connect(f"unix://{tmp_path}/none", retry=store.retrying(0)))
    with pytest.raises(StoreUnavailable):
        Epochs(away, one.folder).check(clock.now)


# The worker.


@pytest.fixture
def process(server: EmbeddedServer, clock: Clock, tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Return how to start a worker whose own clock is the store's."""
    folder = tmp_path / "keys"
    keys.new_worker(folder, clock.now)
    keys.new_platform("clinic", folder)
    chosen = Settings(
        keys=folder,
        platforms={"clinic": {"verify_key": folder / "clinic.pub", "countries": ["FR"]}},
        providers={"outbox": {"path": str(tmp_path / "outbox")}},
    )
    with time_machine.travel(clock.now, tick=False) as own:

        def start() -> Worker:
            own.move_to(clock.now)
            return startup.prepare(chosen, server.url())[0]

        yield start


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize(
    ("keys_of", "said"), [("rw:*", "the store did not answer"), ("queue:*", "how far the ratchet")]
)
def test_a_store_that_answers_and_does_not_tell_epochs_holds_up_production_alone(
    server: EmbeddedServer,
    client: store.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: Profile,
    keys_of: str,
    said: str,
) -> None:
    keys.new_worker(tmp_path, datetime.now(UTC))
    chosen = Settings(keys=tmp_path, profile=profile)
    monkeypatch.setattr(startup.doctor, "require", lambda *_: [])
    client.acl_setuser("early", enabled=True, nopass=True, keys=[keys_of], commands=["+@all"])
    client.set("rw:{0}:epochs", "no hash")  # as a part that is away would raise
    url = server.url().replace("unix://", "unix://early:@")
    if profile is Profile.PRODUCTION:
        with pytest.raises(SettingsError, match=said):
            startup.prepare(chosen, url)
    else:
        startup.prepare(chosen, url)
    client.acl_deluser("early")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.msg for record in caplog.records if record.levelname == "ERROR"]


def test_a_worker_does_not_start_with_a_restored_ratchet(
    process: Callable[[], Worker], clock: Clock, tmp_path: Path
) -> None:
    """Not even in development."""
    path = ratchet_file(tmp_path / "keys")
    process().beat("worker/1")
    kept = path.read_bytes()
    clock.forward(weeks=3)
    process().beat("worker/1")
    assert path.read_bytes() != kept
    path.write_bytes(kept)
    with pytest.raises(SettingsError, match=RESTORED):
        process()


def test_a_worker_remembers_what_its_file_has_got_to_and_not_what_it_could_not_write(
    process: Callable[[], Worker],
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else its own file would be taken for a restored one when it starts again."""
    process().beat("worker/1")
    clock.forward(weeks=2)
    started = process()
    with monkeypatch.context() as full:
        full.setattr("reminder_worker.ratchet.replace_secret", refuse)
        started.beat("worker/1")
        assert Mark.load(tmp_path / "keys").week == week(START) - 1
        process()
    assert said(caplog) == ["keys_behind"]
    started.beat("worker/1")
    assert Mark.load(tmp_path / "keys").week == week(START) + 1
    assert said(caplog) == ["keys_behind"]


def refuse(*_: object) -> None:
    raise PermissionError


def test_a_worker_whose_disk_is_full_says_so_and_goes_on(
    process: Callable[[], Worker], clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process().beat("worker/1")
    clock.forward(weeks=2)
    started = process()
    monkeypatch.setattr("reminder_worker.epochs.replace_file", refuse)
    started.beat("worker/1")
    assert said(caplog) == ["keys_behind"]


def test_a_worker_that_cannot_remember_says_so_and_goes_on(
    process: Callable[[], Worker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started = process()
    mark_file(tmp_path / "keys").mkdir()
    started.beat("worker/1")
    assert said(caplog) == ["keys_behind"]
    mark_file(tmp_path / "keys").rmdir()
    started.beat("worker/1")
    assert said(caplog) == ["keys_behind"]
    assert Mark.load(tmp_path / "keys")


@pytest.mark.parametrize("way", [-1, 1], ids=["the store's is behind", "the worker's is behind"])
def test_a_clock_that_is_a_day_behind_is_noticed_for_it_would_keep_keys_alive(
    process: Callable[[], Worker], clock: Clock, caplog: pytest.LogCaptureFixture, way: int
) -> None:
    started = process()
    clock.set(START + way * timedelta(hours=23))
    started.beat("worker/1")
    assert said(caplog) == []
    clock.set(START + way * timedelta(hours=25))
    started.beat("worker/1")
    assert said(caplog) == ["clocks_differ"]
