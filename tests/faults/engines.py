"""Kill masters that have replicas, or RabbitMQ, while reminders fall due; count what was lost or doubled.

    python -m tests.faults.engines sentinel --reminders 2000 --kills 5 --seed 1
    python -m tests.faults.engines cluster --durability local
    python -m tests.faults.engines rabbitmq

Real processes: a master, two replicas and three Sentinels, or three masters and a replica of each, or a RabbitMQ beside
one Valkey; scheduler and workers run through it all and are never restarted. What was killed comes back on its files.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import engines

from reminder_worker import durability, keys, status, store
from reminder_worker.client import Appointment, Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import Durability
from reminder_worker.plan import Lead
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys

from . import kills
from .kills import Processes, Result

SHARDS = {"cluster": 5}  # one at least on each master
THREADS = "32"  # a replica says only about once a second what is on its disk, and each text waits for that


@dataclass(frozen=True)
class Place:
    """Where ledger and queue are, and how to kill a part of it."""

    url: str
    queue: str
    kill: Callable[[random.Random], None]


@contextlib.contextmanager
def place(name: str, folder: Path) -> Iterator[Place]:
    """Start servers."""
    if name != "rabbitmq":
        with engines.start(name, folder) as engine:
            yield Place(engine.url, "", lambda dice: engine.kill(dice.choice(engine.masters())))
        return
    with EmbeddedServer(folder / "valkey") as server, engines.Rabbit(folder / "mq") as rabbit:

        def kill(_: random.Random) -> None:
            rabbit.kill()
            rabbit.start()
            for _ in range(5):  # it has begun some time after it listens
                rabbit.elect()
                time.sleep(1)

        yield Place(server.url(), f'queue_url = "{rabbit.url}"\n', kill)


def run(name: str, *, reminders: int, deaths: int, seed: int, window: float, wanted: Durability) -> Result:
    """Run it once; ``window`` is in seconds, from the first due time to the last."""
    dice = random.Random(seed)
    kills.COMMANDS["worker"] = [*kills.COMMANDS["worker"][:4], "2", "--threads", THREADS]
    with tempfile.TemporaryDirectory() as temporary, place(name, Path(temporary)) as where:
        folder, shards = Path(temporary), SHARDS.get(name, 1)
        lines = f'{where.queue}durability = "{wanted}"\nshards = {shards}\n'
        with store.connect(where.url) as client:
            schedule = Schedule(client, shards=shards, durability=wanted)
            phones = prepare(folder, where.url, lines, schedule, reminders, window)
            began, processes = time.monotonic(), Processes(folder)
            try:
                for which in kills.COMMANDS:
                    processes.start(which)
                for _ in range(deaths):
                    time.sleep(dice.uniform(0.5, 1.5) * window / deaths)
                    where.kill(dice)
                pending = wait(schedule, reminders)
            finally:
                processes.stop()
            return count(folder, phones, pending, status.read(schedule).ended, deaths, time.monotonic() - began)


def count(folder: Path, phones: list[str], pending: int, ended: dict[str, int], deaths: int, spent: float) -> Result:
    """Compare what was handed in with what was texted."""
    texts = Counter(json.loads(line)["to"] for line in (folder / "outbox.jsonl").read_text().splitlines())
    unseen = len(phones) - len(set(phones) & set(texts)) - ended.get("unknown", 0)
    twice = sum(number > 1 for number in texts.values())
    return Result(len(phones), deaths, texts.total(), max(0, unseen), twice, ended, pending, spent)


def prepare(folder: Path, url: str, lines: str, schedule: Schedule, reminders: int, window: float) -> list[str]:
    """Make keys and settings, and hand in the appointments; all of it is as durable as is asked for."""
    keys.new_worker(folder / "keys", datetime.now(UTC))
    keys.new_platform("clinic", folder / "keys")
    text = kills.SETTINGS.format(store=url, folder=folder)
    (folder / "reminder-worker.toml").write_text(lines + text)
    platform = PlatformKeys.load(folder / "keys" / "clinic.key")
    client = Client(schedule, platform, PublicKeys.load(folder / "keys" / "worker.pub.json"), leads=[])
    phones = [f"+33612{number:06d}" for number in range(reminders)]
    first = datetime.now(UTC) + timedelta(seconds=5 + reminders / 2000, hours=30)
    for start in range(0, reminders, 500):
        with durability.confirm(schedule, "web/faults"):
            client.add([appointment(number, phones, first, window) for number in range(reminders)[start : start + 500]])
    return phones


def appointment(number: int, phones: list[str], first: datetime, window: float) -> Appointment:
    return Appointment(
        reference=f"A-{number}",
        time=first + timedelta(seconds=window * number / len(phones)),
        location="12 rue des Lilas, Lyon",
        phone=phones[number],
        language="fr",
        leads=(Lead.parse("30h"),),
    )


def wait(schedule: Schedule, reminders: int) -> int:
    """Wait until everything has ended; return how many have not."""
    deadline, ended = time.monotonic() + kills.PATIENCE, 0
    while time.monotonic() < deadline and ended < reminders:
        with contextlib.suppress(StoreUnavailable):
            ended = sum(status.read(schedule).ended.values())
        time.sleep(0.5)
    return reminders - ended


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["sentinel", "cluster", "rabbitmq"])
    parser.add_argument("--reminders", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window", type=float, default=60.0)
    parser.add_argument("--durability", type=Durability, default=None, help="local for RabbitMQ, else replica")
    chosen = parser.parse_args()
    wanted = chosen.durability or (Durability.LOCAL if chosen.engine == "rabbitmq" else Durability.REPLICA)
    counts = {"reminders": chosen.reminders, "deaths": chosen.kills, "window": chosen.window}
    result = run(chosen.engine, **counts, seed=chosen.seed, wanted=wanted)
    print(f"{chosen.engine}, {wanted}, seed {chosen.seed}: {result}")
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
