"""What three weeks old backups of the store are worth to somebody who takes the worker's keys today.

The ratchet turns by weeks and the worker keeps last week's key, for texts that are tried again over the end of a week:
what was due last week and this week can still be opened, what was due before cannot. What is not due yet must be.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clock import Clock, script
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from reminder_worker import keys, store
from reminder_worker.client import Appointment, Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.encoding import from_text
from reminder_worker.errors import Unopenable
from reminder_worker.ledger import Answer, Claim, Outcome
from reminder_worker.opening import WorkerKeys, load_signers, open_envelope, open_pointer
from reminder_worker.plan import Lead
from reminder_worker.ratchet import Ratchet
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import ENVELOPE_BYTES, PlatformKeys, PublicKeys

THEN = datetime(2027, 3, 3, 9, tzinfo=UTC)  # a Wednesday
TODAY = THEN + timedelta(weeks=3)
BEFORE = [THEN + timedelta(days=days, hours=2) for days in (0, 1, 4, 5, 11)]  # to the end of the week before last
LATELY = [THEN + timedelta(days=days, hours=2) for days in (12, 18, 19, 20)]  # since then
AHEAD = [THEN + timedelta(days=days, hours=2) for days in (21, 23, 40, 300)]  # not due today
NUMBER = "+33612345678"


@dataclass(frozen=True)
class Months:
    """What a backup holder may have: the store and the key folder of both days."""

    then_rdb: Path
    then_keys: Path
    today_rdb: Path
    today_keys: Path
    sent: list[bytes]  # ids in the order of their due times


def name(due: datetime) -> str:
    return f"{due:%Y-%m-%d}"


class Installation:
    """One platform and one worker around a store, under a clock that a test moves."""

    def __init__(self, server: EmbeddedServer, client: store.Client, folder: Path) -> None:
        self.server, self.client, self.folder = server, client, folder
        self.clock = Clock(client)
        self.clock.set(THEN)
        keys.new_worker(folder, THEN)
        private, self.verify = keys.new_platform("clinic", folder.parent / "clinic")
        self.schedule = Schedule(client)
        public = PublicKeys.load(folder / "worker.pub.json")
        self.platform = Client(self.schedule, PlatformKeys.load(private), public, leads=[Lead.parse("2h")])
        self.keys = WorkerKeys.load(folder)

    def hand_in(self, dues: list[datetime]) -> None:
        for due in dues:
            when = (due + timedelta(hours=2)).isoformat()
            record = {"time": when, "location": f"Room of {name(due)}", "phone": NUMBER, "language": "fr"}
            entry = self.platform.seal(Appointment.parse({"reference": name(due), **record}), self.clock.now)
            assert self.schedule.add([entry]) == [Answer.ADDED]

    def live(self, until: datetime) -> list[bytes]:
        """Let days go by; what falls due is opened and sent by a worker. Return the ids of what was."""
        sent = []
        while self.clock.now < until:
            self.clock.forward(hours=12)
            self.keys.advance(self.clock.now)
            for wake in self.schedule.take(0, capacity=10).wakes:
                claim = self.schedule.claim(wake)
                assert isinstance(claim, Claim)
                open_envelope(self.keys, load_signers({"clinic": self.verify}), claim.envelope, entry_id=wake.id)
                self.schedule.intend(claim, "outbox", "ref", lease=timedelta(minutes=1))
                self.schedule.settle(wake, Outcome.sent("SM1"), token=claim.token, reference="ref")
                sent.append(wake.id)
        return sent

    def back_up(self, into: Path) -> tuple[Path, Path]:
        self.client.save()
        into.mkdir()
        return (
            Path(shutil.copy(self.server.folder / "dump.rdb", into / "dump.rdb")),
            Path(shutil.copytree(self.folder, into / "keys")),
        )


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    """Three weeks of a small practice."""
    folder = tmp_path_factory.mktemp("m")
    with pytest.MonkeyPatch.context() as patched, EmbeddedServer(folder / "s") as server:
        patched.setattr("reminder_worker.schedule.script", script)
        with contextlib.closing(store.connect(server.url())) as client:
            here = Installation(server, client, folder / "keys")
            here.hand_in([*BEFORE, *LATELY, *AHEAD])
            then = here.back_up(folder / "then")
            sent = here.live(TODAY)
            yield Months(*then, *here.back_up(folder / "today"), sent)


def envelopes(rdb: Path) -> dict[bytes, bytes]:
    """Read all envelopes out of a backup, by id, with a server of its own."""
    folder = rdb.parent / "reading"
    folder.mkdir(exist_ok=True)
    shutil.copy(rdb, folder / "dump.rdb")
    with (
        EmbeddedServer(folder, "--appendonly", "no") as server,
        contextlib.closing(store.connect(server.url())) as client,
    ):
        held = {key[-16:]: client.get(key) for key in client.keys("rw:{0}:a:*")}
    return {id_: value[-ENVELOPE_BYTES:] for id_, value in held.items() if len(value) > ENVELOPE_BYTES}


def opens(folder: Path, verify: Path, found: dict[bytes, bytes]) -> dict[str, str]:
    """Open with a key folder what opens; return the place, which names the day, and the number."""
    worker, signers, opened = WorkerKeys.load(folder), load_signers({"clinic": verify}), {}
    for id_, envelope in found.items():
        with contextlib.suppress(Unopenable):
            job = open_envelope(worker, signers, envelope, entry_id=id_)
            opened[job.body.location] = open_pointer(worker, "clinic", job.body.pointer).uri
    return opened


def all_of(*dues: list[datetime]) -> dict[str, str]:
    return {f"Room of {name(due)}": f"tel:{NUMBER}" for some in dues for due in some}


@pytest.fixture(scope="module")
def verify(months: Months) -> Path:
    return months.then_keys.parents[1] / "clinic" / "clinic.pub"


def test_the_backup_and_the_keys_of_that_day_open_everything(months: Months, verify: Path) -> None:
    """The control: all is there, and it opens."""
    assert opens(months.then_keys, verify, envelopes(months.then_rdb)) == all_of(BEFORE, LATELY, AHEAD)


def test_today_s_keys_open_nothing_in_it_that_was_due_before_last_week(months: Months, verify: Path) -> None:
    assert len(months.sent) == len(BEFORE) + len(LATELY)
    assert opens(months.today_keys, verify, envelopes(months.then_rdb)) == all_of(LATELY, AHEAD)


def test_three_more_weeks_close_what_was_still_open(months: Months, verify: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(months.today_keys, tmp_path / "keys")
    keys.forget(folder, TODAY + timedelta(weeks=1))
    assert opens(folder, verify, envelopes(months.then_rdb)) == all_of(LATELY[2:], AHEAD)
    keys.forget(folder, TODAY + timedelta(weeks=3))
    assert opens(folder, verify, envelopes(months.then_rdb)) == all_of(AHEAD[2:])


def test_today_s_keys_open_what_is_pending_today(months: Months, verify: Path) -> None:
    found = envelopes(months.today_rdb)
    assert not found.keys() & set(months.sent)
    assert opens(months.today_keys, verify, found) == all_of(AHEAD)


def secrets(folder: Path) -> set[bytes]:
    """Return whatever 32 bytes any file of a folder holds, between any two blanks."""
    found = set()
    for path in folder.iterdir():
        for word in path.read_text("ascii").replace('"', " ").split():
            with contextlib.suppress(ValueError):
                found.add(from_text(word, 32))
    return found


def boxes(folder: Path) -> Iterator[SealedBox[PrivateKey]]:
    """Take each of them for a private key, and for a state of the ratchet, with all that follow from it."""
    for secret in secrets(folder):
        yield SealedBox(PrivateKey(secret))
        state = Ratchet(1, secret)
        for number in range(1, 8):
            yield SealedBox(state.at(number).key())


def opened_by_anything(folder: Path, found: dict[bytes, bytes]) -> set[bytes]:
    opened = set()
    for box in boxes(folder):
        for id_, envelope in found.items():
            with contextlib.suppress(CryptoError):
                box.decrypt(envelope[9:])
                opened.add(id_)
    return opened


def test_no_bytes_of_any_file_in_today_s_folder_open_it_either(months: Months) -> None:
    """Whatever the program itself would make of them; what it sent is in the order in which it fell due."""
    found = {id_: envelope for id_, envelope in envelopes(months.then_rdb).items() if id_ in months.sent}
    assert opened_by_anything(months.then_keys, found) == set(months.sent)
    assert opened_by_anything(months.today_keys, found) == set(months.sent[len(BEFORE) :])
