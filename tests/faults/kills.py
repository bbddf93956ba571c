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
from datetime import UTC, datetime
from pathlib import Path

from reminder_worker import keys, status, store
from reminder_worker.client import Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import StoreUnavailable
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys

from .harbour import hand_in, phone

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
    with (
        tempfile.TemporaryDirectory() as name,
        EmbeddedServer(Path(name) / "valkey") as server,
        store.connect(server.url()) as client,
    ):
        folder, schedule = Path(name), Schedule(client)
        hand_in(prepare(folder, server.url(), schedule), reminders, window)
        began, processes = time.monotonic(), Processes(folder)
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
        return count(folder, schedule, reminders, kills, pending, time.monotonic() - began)


def prepare(folder: Path, url: str, schedule: Schedule, lines: str = "") -> Client:
    """Make keys and settings, these ``lines`` first."""
    keys.new_worker(folder / "keys", datetime.now(UTC))
    keys.new_platform("clinic", folder / "keys")
    (folder / "reminder-worker.toml").write_text(lines + SETTINGS.format(store=url, folder=folder))
    platform = PlatformKeys.load(folder / "keys" / "clinic.key")
    return Client(schedule, platform, PublicKeys.load(folder / "keys" / "worker.pub.json"), leads=[])


def choose(kills: int, seed: int, window: float, *, store_too: bool = False) -> Iterator[tuple[str, float]]:
    """Choose what to kill and when: mostly workers, every fourth time the scheduler; the store in between."""
    dice = random.Random(seed)
    order = ["worker", "store", "worker", "scheduler"] if store_too else ["worker", "worker", "worker", "scheduler"]
    for number in range(kills):
        yield order[number % 4], dice.uniform(0.5, 1.5) * window / kills


def wait(schedule: Schedule, reminders: int) -> int:
    """Wait until everything has ended; return how many have not."""
    deadline, ended = time.monotonic() + PATIENCE, 0
    while time.monotonic() < deadline and ended < reminders:
        with contextlib.suppress(StoreUnavailable):
            ended = sum(status.read(schedule).ended.values())
        time.sleep(0.5)
    return reminders - ended


def count(folder: Path, schedule: Schedule, reminders: int, kills: int, pending: int, spent: float) -> Result:
    """Compare what was handed in with what was texted."""
    texts = Counter(json.loads(line)["to"] for line in (folder / "outbox.jsonl").read_text().splitlines())
    ended = status.read(schedule).ended
    unseen = sum(phone(number) not in texts for number in range(reminders)) - ended.get("unknown", 0)
    twice = sum(number > 1 for number in texts.values())
    return Result(reminders, kills, texts.total(), max(0, unseen), twice, ended, pending, spent)


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
