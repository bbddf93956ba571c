"""An installation for storms: keys, settings, a store, a provider that counts, and processes whom somebody restarts."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from proxy import Proxy

from reminder_worker import keys, store
from reminder_worker.client import Appointment, Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.job import State
from reminder_worker.ledger import Answer, Reminder
from reminder_worker.plan import Lead
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys

from .carrier import Carrier
from .installation import is_under_way

SETTINGS = """\
store_url = "{store}"
keys = "{folder}/keys"
durability = "local"
phone_daily_cap = 100
allow_numbers = ["+336"]
"""
PLATFORM = '[platforms.{name}]\nverify_key = "{folder}/keys/{name}.pub"\ndaily_cap = 1000000\n'
COMMANDS = {
    "scheduler": ["-m", "reminder_worker.cli", "scheduler"],
    "worker": ["-m", "reminder_worker.cli", "worker", "--threads", "8"],
}
CALM = 2.0  # seconds
SYNCED = "--appendfsync", "always"
LEAD = Lead.parse("30h")
TEXTED = {State.SENT, State.UNKNOWN}  # how a reminder may end whose text a provider has
Told = Mapping[str, Any]  # for the saboteur


@dataclass
class Ship:
    """One command that is started again whenever it ends, each time told the next thing."""

    name: str  # of its command
    log: Path
    plans: deque[Told]
    always: Told
    process: subprocess.Popen[bytes] | None = None
    stopped: float = 0.0  # since when it stands still


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    reminders: int
    window: float  # seconds from the first due time to the last
    times: int  # how often a fault happens
    pace: float = 1.0  # of all leases


@dataclass
class Result:
    """What a run came to."""

    name: str
    reminders: int
    happened: int = 0  # how often the fault did
    lost: int = 0
    twice: int = 0
    strayed: int = 0  # texts at another's number
    unknown: int = 0
    unexplained: int = 0  # of these, how many were not with a provider when it happened
    in_flight: int = 0  # how many were, at most
    recovered: float = 0.0  # seconds from its end until all that had been due by then had ended
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Nothing lost, nobody texted twice or another's text, and what is unknown was in flight."""
        return not (self.lost or self.twice or self.strayed or self.unexplained)


class Harbour:
    """Everything in one folder; ``pace`` shortens leases, ``line`` puts a line that breaks before the store."""

    def __init__(
        self,
        folder: Path,
        *,
        kind: str = "asked",
        pace: float = 1.0,
        options: Iterable[str] = SYNCED,
        line: bool = False,
    ) -> None:
        self.folder, self.pace = folder, pace
        self.server = EmbeddedServer(folder / "valkey", *options)
        self.carrier = Carrier(kind)
        self.line = Proxy(self.server.socket, folder / "line") if line else None
        self.ships: list[Ship] = []
        self.in_flight: set[bytes] = set()
        self.deaths = 0
        self.over = 0.0  # when the fault ended
        self.patience = 900.0  # wake-ups are made again more slowly each time
        self.python, self.environment = sys.executable, dict[str, str]()
        self.notes: dict[str, Any] = {}
        self.freeze = 60.0 * pace  # seconds that a process stands still: until others have taken over
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self.server.start()
        (self.folder / "hands").mkdir()
        shutil.copy(Path(__file__).with_name("saboteur.py"), self.folder / "hands" / "sitecustomize.py")
        keys.new_worker(self.folder / "keys", datetime.now(UTC))
        self.public = PublicKeys.load(self.folder / "keys" / "worker.pub.json")
        self.schedule = Schedule(store.connect(self.server.url()))
        self._keeper.start()
        if self.line:
            self.line.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._keeper.join()
        for ship in self.ships:
            self.sink(ship)
        if self.line:
            self.line.__exit__()
        self.schedule.client.close()
        self.server.kill()
        self.carrier.close()

    def found(self, *platforms: str, **limits: float) -> list[Client]:
        """Make keys and settings; return each platform's client."""
        for name in platforms:
            keys.new_platform(name, self.folder / "keys")
        url = self.line.url() if self.line else self.server.url()
        text = SETTINGS.format(store=url, folder=self.folder)
        text += "".join(PLATFORM.format(name=name, folder=self.folder) for name in platforms)
        text += self.carrier.table(max(0.25 * self.pace, 0.1), timeout=5.0 * self.pace, **limits)
        (self.folder / "reminder-worker.toml").write_text(text)
        loaded = [PlatformKeys.load(self.folder / "keys" / f"{name}.key") for name in platforms]
        return [Client(self.schedule, one, self.public, leads=[LEAD]) for one in loaded]

    def launch(self, name: str, plans: Iterable[Told] = (), **always: Any) -> Ship:
        """Start a command, and start it again whenever it ends."""
        log = self.folder / f"{name}-{len(self.ships)}.log"
        ship = Ship(name, log, deque(plans), {"pace": self.pace} | always)
        self._start(ship)
        self.ships.append(ship)
        return ship

    def _start(self, ship: Ship) -> None:
        told = ship.plans.popleft() if ship.plans else {}
        environment = os.environ | self.environment | {"REMINDER_CONFIG": str(self.folder / "reminder-worker.toml")}
        environment |= {"PYTHONPATH": str(self.folder / "hands"), "STORM": json.dumps({**ship.always, **told})}
        with ship.log.open("ab") as log:
            ship.process = subprocess.Popen(
                [self.python, *COMMANDS[ship.name]], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def _keep(self) -> None:
        """Do what a supervisor does: start again what has ended. What stands still for long enough goes on."""
        while not self._ending.wait(0.02):
            for ship in list(self.ships):
                assert ship.process is not None
                if ship.process.poll() is not None:
                    self.deaths += 1
                    self.note()
                    self._start(ship)
                elif ship.stopped and time.monotonic() - ship.stopped > self.freeze:
                    os.killpg(ship.process.pid, signal.SIGCONT)
                    ship.stopped, self.over = 0.0, time.time()
                elif not ship.stopped and stands_still(ship.process.pid):
                    ship.stopped = time.monotonic()
                    self.deaths += 1
                    self.note()

    def note(self) -> None:
        """Remember what is with a provider now: something has just happened."""
        self.over = time.time()
        with contextlib.suppress(Exception):  # the store may be what it has happened to
            self.in_flight.update(self.schedule.client.zrange(self.schedule.prefix(0) + b"open", 0, -1))

    def sink(self, ship: Ship) -> None:
        """End a command and all its children without warning."""
        assert ship.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ship.process.pid, signal.SIGKILL)
        ship.process.wait()

    def wait(self) -> None:
        """Wait until nothing is pending, and whoever stood still has had time to do what it was about to."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):
                standing = any(ship.stopped for ship in self.ships)
                if not is_under_way(self.schedule) and not standing and time.time() - self.over > CALM:
                    return
            time.sleep(0.1)

    def judge(self, result: Result, client: Client, victims: AbstractSet[int]) -> Result:
        """Compare what the ledger says with what the provider got; ``victims``: whose envelope somebody spoilt."""
        got = self.carrier.by_number()
        rows = {number: row_of(client, number) for number in range(result.reminders)}
        for number, row in rows.items():
            texts = got.get(phone(number), [])
            if number in victims:
                result.strayed += bool(texts) or row.state is not State.REJECTED
                continue
            lost = not texts and row.state is not State.UNKNOWN
            result.lost += lost or (bool(texts) and row.state not in TEXTED)
            result.twice += len(texts) > 1
            result.strayed += any(text.place != str(number) for text in texts)
            result.unknown += row.state is State.UNKNOWN
        result.twice += 0 if self.carrier.kind == "deduplicates" else self.carrier.again
        result.in_flight, result.happened = len(self.in_flight), self.notes.pop("happened", self.deaths)
        unknown = self.schedule.client.zrange(self.schedule.prefix(0) + b"unknown", 0, -1)
        result.unexplained = len(set(unknown) - self.in_flight)
        ends = [
            row.ended.timestamp() for row in rows.values() if row.ended and row.due and row.due.timestamp() < self.over
        ]
        result.recovered = max(0.0, max(ends, default=0.0) - self.over)
        result.notes |= self.notes | {
            "deaths": self.deaths,
            "states": dict(Counter(str(row.state) for row in rows.values())),
        }
        return result


def phone(number: int) -> str:
    """Return a number of its own for each appointment."""
    return f"+33612{number:06d}"


def appointment(number: int, when: datetime, leads: tuple[Lead, ...] = (LEAD,)) -> Appointment:
    """Return an appointment whose text tells whose it is."""
    place = f"{number} rue des Lilas, Lyon"
    return Appointment(f"A-{number}", when, place, phone=phone(number), language="fr", leads=leads)


def hand_in(client: Client, reminders: int, window: float, ahead: float = 5.0) -> None:
    """Hand in appointments whose reminders fall due within ``window`` seconds, the first in ``ahead`` or some more."""
    first = datetime.now(UTC) + timedelta(seconds=ahead + reminders / 2000) + LEAD.length
    for start in range(0, reminders, 500):
        numbers = range(start, min(start + 500, reminders))
        batch = [appointment(number, first + timedelta(seconds=window * number / reminders)) for number in numbers]
        assert set(client.add(batch)) == {Answer.ADDED}


def row_of(client: Client, number: int) -> Reminder:
    """Return what the ledger says."""
    (row,) = client.show(f"A-{number}")
    return row


def stands_still(pid: int) -> bool:
    """Tell whether a process was stopped."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False
