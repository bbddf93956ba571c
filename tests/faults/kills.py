"""Kill workers, schedulers and the store without warning while reminders fall due; count what was lost or doubled.

    python -m tests.faults.kills --reminders 20000 --kills 10 --seed 1
    python -m tests.faults.kills --reminders 5000 --kills 12 --store

Real processes, a real Valkey with its append-only file, and a provider that can be asked (the outbox).
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reminder_worker import keys, status, store
from reminder_worker.client import Appointment, Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Answer
from reminder_worker.plan import Lead
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys

SETTINGS = """\
store_url = "{store}"
keys = "{folder}/keys"
[platforms.clinic]
verify_key = "{folder}/keys/clinic.pub"
daily_cap = 1000000
[providers.outbox]
path = "{folder}/outbox.jsonl"
"""
PATIENCE = 240.0  # seconds
COMMANDS = {
    "scheduler": ["-m", "reminder_worker.cli", "scheduler"],
    "worker": ["-m", "reminder_worker.cli", "worker", "--processes", "2"],
}


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    reminders: int
    kills: int
    texts: int
    lost: int
    twice: int
    states: dict[str, int]
    pending: int
    seconds: float

    @property
    def whole(self) -> bool:
        """Nothing lost, nothing twice, and everything ended where it can be seen."""
        return not self.lost and not self.twice and not self.pending and sum(self.states.values()) == self.reminders


class Processes:
    """A scheduler and a worker, each in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start one, as an operator's supervisor would."""
        environment = os.environ | {"REMINDER_CONFIG": str(self._folder / "reminder-worker.toml")}
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *COMMANDS[name]], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self, name: str) -> None:
        """Kill one with all its children, without warning."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all of them."""
        for name in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)


def run(*, reminders: int, kills: int, seed: int, window: float, store_too: bool = False) -> Result:
    """Run it once; ``window`` is in seconds, from the first due time to the last."""
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name) / "valkey") as server:
        folder = Path(name)
        schedule, phones = prepare(folder, server, reminders, window)
        began = time.monotonic()
        processes = Processes(folder)
        try:
            for which in COMMANDS:
                processes.start(which)
            for which, pause in choose(kills, seed, window, store_too=store_too):
                time.sleep(pause)
                if which == "store":
                    server.kill()
                    server.start()
                else:
                    processes.kill(which)
                    processes.start(which)
            pending = wait(schedule, reminders)
        finally:
            processes.stop()
        texts = Counter(json.loads(line)["to"] for line in (folder / "outbox.jsonl").read_text().splitlines())
        ended = status.read(schedule).ended
        unseen = reminders - len(set(phones) & set(texts)) - ended.get("unknown", 0)
        twice = sum(count > 1 for count in texts.values())
        spent = time.monotonic() - began
        return Result(reminders, kills, texts.total(), max(0, unseen), twice, ended, pending, spent)


def prepare(folder: Path, server: EmbeddedServer, reminders: int, window: float) -> tuple[Schedule, list[str]]:
    """Make keys and settings, and hand in the appointments."""
    keys.new_worker(folder / "keys", datetime.now(UTC))
    keys.new_platform("clinic", folder / "keys")
    (folder / "reminder-worker.toml").write_text(SETTINGS.format(store=server.url(), folder=folder))
    schedule = Schedule(store.connect(server.url()))
    platform = PlatformKeys.load(folder / "keys" / "clinic.key")
    client = Client(schedule, platform, PublicKeys.load(folder / "keys" / "worker.pub.json"), leads=[])
    phones = [f"+33612{number:06d}" for number in range(reminders)]
    first = datetime.now(UTC) + timedelta(seconds=5 + reminders / 2000, hours=30)
    for start in range(0, reminders, 500):
        batch = [
            Appointment(
                reference=f"A-{number}",
                time=first + timedelta(seconds=window * number / reminders),
                location="12 rue des Lilas, Lyon",
                phone=phones[number],
                language="fr",
                leads=(Lead.parse("30h"),),
            )
            for number in range(start, min(start + 500, reminders))
        ]
        assert set(client.add(batch)) == {Answer.ADDED}
    return schedule, phones


def choose(kills: int, seed: int, window: float, *, store_too: bool = False) -> Iterator[tuple[str, float]]:
    """Choose what to kill and when: mostly workers, every fourth time the scheduler; the store in between."""
    dice = random.Random(seed)
    order = ["worker", "store", "worker", "scheduler"] if store_too else ["worker", "worker", "worker", "scheduler"]
    for number in range(kills):
        yield order[number % 4], dice.uniform(0.5, 1.5) * window / kills


def wait(schedule: Schedule, reminders: int) -> int:
    """Wait until everything has ended; return how many have not."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ended = sum(status.read(schedule).ended.values())
        if ended == reminders:
            return 0
        time.sleep(0.5)
    return reminders - ended


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reminders", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window", type=float, default=60.0)
    parser.add_argument("--store", action="store_true", help="kill the store as well")
    chosen = parser.parse_args()
    counts = {"reminders": chosen.reminders, "kills": chosen.kills}
    result = run(**counts, seed=chosen.seed, window=chosen.window, store_too=chosen.store)
    print(f"seed {chosen.seed}: {result}")
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
