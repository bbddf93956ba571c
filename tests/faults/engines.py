"""Kill masters that have replicas, or RabbitMQ, while reminders fall due; count what was lost or doubled.

    python -m tests.faults.engines sentinel --reminders 2000 --kills 5 --seed 1
    python -m tests.faults.engines cluster --durability local
    python -m tests.faults.engines rabbitmq
    python -m tests.faults.engines address

Real processes: a master, two replicas and three Sentinels, or three masters and a replica of each, or a RabbitMQ beside
one Valkey; scheduler and workers run through it all and are never restarted. What was killed comes back on its files.
Behind an address nobody is killed: a replica takes over, and all connections stay with the server that they had.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import engines

from reminder_worker import durability, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Durability
from reminder_worker.schedule import Schedule

from . import kills
from .harbour import hand_in
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
    if name == "address":
        with engines.Named(folder) as named:
            yield Place(named.url, "", lambda _: named.fail_over())
        return
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
            platform = kills.prepare(folder, where.url, schedule, lines)
            with durability.confirm(schedule, "web/faults"):
                hand_in(platform, reminders, window)
            began, processes = time.monotonic(), Processes(folder)
            try:
                for which in kills.COMMANDS:
                    processes.start(which)
                for _ in range(deaths):
                    time.sleep(dice.uniform(0.5, 1.5) * window / deaths)
                    where.kill(dice)
                pending = kills.wait(schedule, reminders)
            finally:
                processes.stop()
            return kills.count(folder, schedule, reminders, deaths, pending, time.monotonic() - began)


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["sentinel", "cluster", "rabbitmq", "address"])
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
