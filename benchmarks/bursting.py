"""Ten thousand texts that fall due at one moment: when each goes out, with the peers' ways and with ours.

    python -m benchmarks.bursting [--count 10000] [--rounds 3] [--write]

The provider answers at once, one worker process has eight threads (peers: as configured), the store writes no file,
and all run on the same cores. Ours opens, resolves, drafts, writes its intent, calls and settles each text; the peers
run a function that gets number and text in clear. The limit is an actor that does nothing and has no due time.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Answer
from tests.faults.installation import percentile

from .capacity import SOON, due_at
from .pages import show
from .peers import DRAMATIQ, PEERS, Peer, environment
from .plant import Plant
from .plots import Scale, draw

PATIENCE = 300.0  # seconds
LEAD = SOON.length
PEER = """
[providers.outbox]
path = "{folder}/outbox.jsonl"
"""
OURS, LIMIT = "reminder_worker", "dramatiq, an actor that does nothing"
KEPT = f"{LIMIT}, kept on one processor"  # as our workers keep themselves


@dataclass(frozen=True)
class Result:
    """When texts went out, in seconds after they were due."""

    late: list[float]

    @property
    def rate(self) -> float:
        """How many went out in a second, from the first to the last."""
        return len(self.late) / (max(self.late) - min(self.late))


class Quick(Plant):
    """An installation as durable as the peers: not at all. Its provider is a file."""

    def __enter__(self) -> Self:
        self.server = EmbeddedServer(self.folder / "valkey", "--appendonly", "no")
        super().__enter__()
        text, _, _ = self.config.read_text().partition("[providers.carrier]")
        text = text.replace('durability = "local"', 'durability = "none"')
        self.config.write_text(text + PEER.format(folder=self.folder))
        return self


@contextlib.contextmanager
def running(command: tuple[str, ...], place: Path, **settings: object) -> Iterator[int]:
    """Run workers, with all their children, until the block ends; yield the id of the first process."""
    with (place / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **settings)  # type: ignore[call-overload]
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def of_peer(peer: Peer, count: int, mode: str = "burst", **more: object) -> Result:
    """Add reminders and start workers that have them all before they are due, or a backlog of calls that do nothing."""
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name, "store"), "--appendonly", "no") as server:
        place, late = Path(name), Path(name, "late")
        settings = {"cwd": Path(__file__).parent / "peers", "env": environment(server, PEER_LATE=str(late)), **more}
        ahead = 8 + count / 700
        if mode == "burst":
            with running(peer.work, place, **settings):
                said = peer.hand_in(server, mode, count, str(ahead))
                assert time.time() < said["due"], f"{peer.name}: adding took too long"
                wait_for(lambda: late.exists() and late.stat().st_size >= 8 * count)
        else:
            peer.hand_in(server, mode, count)
            with running(peer.work, place, **settings):
                wait_for(lambda: late.exists() and late.stat().st_size >= 8 * count)
        return Result([found for (found,) in struct.iter_unpack("d", late.read_bytes()[: 8 * count])])


def of_ours(count: int) -> Result:
    """Hand in reminders that are due at one moment, with all processes running."""
    with tempfile.TemporaryDirectory() as name, Quick(Path(name)) as plant:
        plant.start("worker-8", "scheduler")
        first = datetime.now(UTC) + timedelta(seconds=8 + count / 700)
        hand_in(plant, count, first)
        outbox = plant.folder / "outbox.jsonl"
        wait_for(lambda: outbox.exists() and outbox.read_bytes().count(b"\n") >= count)
        sent = [json.loads(line) for line in outbox.read_text().splitlines()]
        assert len({one["to"] for one in sent}) == count == len(sent)
        return Result([datetime.fromisoformat(one["at"]).timestamp() - first.timestamp() for one in sent])


def hand_in(plant: Quick, count: int, first: datetime) -> None:
    """Hand in reminders that are all due at one moment, before that moment."""
    client = plant.client()
    for start in range(0, count, 500):
        made = due_at(first, start, min(count, start + 500))
        assert set(client.add([replace(one, time=first + LEAD) for one in made])) == {Answer.ADDED}
    assert datetime.now(UTC) < first, "adding took too long"


def wait_for(done: Callable[[], bool]) -> None:
    """Wait until it is true."""
    until = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > until:
            raise SystemExit("error: not all of them went out")
        time.sleep(0.2)


def table(rounds: list[dict[str, Result]]) -> str:
    """Write medians; ratios are of one round each."""
    lines = [
        "| way | late by, median s | 99 of 100 | the last one | a second | of the actor that does nothing |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in rounds[0]:
        results = [one[name] for one in rounds]
        spans = [
            statistics.median(measure(one.late) for one in results)
            for measure in (statistics.median, lambda late: percentile(late, 0.99), max)
        ]
        rate = statistics.median(one.rate for one in results)
        share = statistics.median(one[name].rate / one[LIMIT].rate for one in rounds) if LIMIT in rounds[0] else 0
        shown = ["-"] * 3 if name in {LIMIT, KEPT} else [f"{span:.2f}" for span in spans]
        lines.append(f"| {name} | {' | '.join(shown)} | {rate:,.0f} | {share:.2f} |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Result]) -> str:
    """Draw how many texts are out, over the seconds since they were due."""
    count = max(len(one.late) for one in results.values())
    since = Scale("seconds since they were due", [10.0**power for power in range(-1, 3)], "{:g}".format)
    out = Scale("texts out", [count * part / 5 for part in range(6)], powers=False)
    lines = {
        name.partition(":")[0]: _steps(sorted(one.late)) for name, one in results.items() if name not in {LIMIT, KEPT}
    }
    return draw("Texts out over the seconds since they were due", since, out, lines)


def _steps(late: list[float]) -> list[tuple[float, float]]:
    return [(late[number - 1], number) for number in range(1, len(late) + 1, max(1, len(late) // 100))]


def one_round(count: int) -> dict[str, Result]:
    """Measure each once; the limit right after ours, because the machine may be faster or slower by the end."""
    found = {OURS: of_ours(count)}
    limit = {LIMIT: of_peer(DRAMATIQ, count, "plain")} if DRAMATIQ.here else {}
    if limit and hasattr(os, "sched_setaffinity"):
        limit[KEPT] = of_peer(DRAMATIQ, count, "plain", preexec_fn=lambda: os.sched_setaffinity(0, {0}))
    return found | {f"{peer.name}: {peer.how}": of_peer(peer, count) for peer in PEERS if peer.here} | limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    chosen = parser.parse_args()
    rounds = [one_round(chosen.count) for _ in range(chosen.rounds)]
    show("bursting", table(rounds), chosen.rounds, write=chosen.write, plots={"bursting": plot(rounds[-1])})


if __name__ == "__main__":
    main()
