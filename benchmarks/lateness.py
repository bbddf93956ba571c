"""Whether reminders far ahead delay due ones: lateness, memory and slow scripts, with ever more reminders pending.

    python -m benchmarks.lateness [--pending 1000 5000000] [--others 1000] [--a-second 200] [--write]

Real processes on a store that writes no file; the provider is a file. Lateness is the time from a text's due time to
its line. The first two seconds do not count: connections are made then. The peers do the same with number and text in
clear. Before anything falls due they have half a minute for what is far ahead, and after the last text a minute for
what is late.
"""

import argparse
import json
import math
import statistics
import struct
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Answer
from tests.faults.installation import percentile

from . import footprint, sizing
from .bursting import LEAD, Quick, running, wait_for
from .capacity import due_at
from .pages import show
from .peers import HERE, PEERS, Peer, environment
from .plots import Scale, draw

SETTLED = 5.0  # seconds, until processes hold what they hold
BEFORE = 2  # seconds of texts that do not count
READ, LAST = 30.0, 60.0  # seconds that others have: to read what is far ahead, and for what is late


@dataclass(frozen=True)
class Result:
    """What was measured with so many pending."""

    pending: int
    bytes_each: float
    late: list[float]  # seconds
    memory: dict[str, float]  # by process, MB
    slowest: float  # script or command, milliseconds
    slowest_name: str


def measure(pending: int, rate: int, seconds: int) -> Result:
    """Fill the schedule, and have texts fall due steadily."""
    with tempfile.TemporaryDirectory() as name, Quick(Path(name)) as plant:
        client, count = plant.client(), rate * (BEFORE + seconds)
        before = footprint.used(plant.schedule)
        footprint.fill(plant.schedule, pending, 1)
        each = (footprint.used(plant.schedule) - before) / pending
        plant.start("worker-8", "scheduler", "web")
        time.sleep(SETTLED)
        plant.schedule.client.config_set("slowlog-log-slower-than", 1000)
        plant.schedule.client.slowlog_reset()
        first = datetime.now(UTC) + timedelta(seconds=4 + count / 700)
        for start in range(0, count, 500):
            made = enumerate(due_at(first, start, min(count, start + 500)), start)
            dues = (replace(one, time=first + LEAD + timedelta(seconds=number / rate)) for number, one in made)
            assert set(client.add(dues)) == {Answer.ADDED}
        outbox = plant.folder / "outbox.jsonl"
        wait_for(lambda: outbox.exists() and outbox.read_bytes().count(b"\n") >= count)
        slow = plant.schedule.client.slowlog_get(128)
        worst = max(slow, key=lambda one: one["duration"], default={"duration": 0, "command": b"-"})
        pids = {"worker": plant.pid("worker-8"), "scheduler": plant.pid("scheduler"), "web": plant.pid("web")}
        memory = {kind: footprint.resident(pid) / sizing.MB for kind, pid in pids.items()}
        named = worst["command"].split(b" ")[0].decode()
        return Result(pending, each, lateness(outbox, first, rate), memory, worst["duration"] / 1000, named)


def lateness(outbox: Path, first: datetime, rate: int) -> list[float]:
    """Return how late each text that counts was, by the number within its phone number."""
    sent = [json.loads(line) for line in outbox.read_text().splitlines()]
    numbers = [int(one["to"].removeprefix("+33612")) for one in sent]
    assert len(set(numbers)) == len(numbers)
    came = [datetime.fromisoformat(one["at"]).timestamp() for one in sent]
    late = ((number, at - first.timestamp() - number / rate) for number, at in zip(numbers, came, strict=True))
    return [span for number, span in late if number >= rate * BEFORE]


@dataclass(frozen=True)
class Beside:
    """What was measured of a peer's way with so many pending."""

    late: list[float]  # seconds, of those that ran at all
    memory: float  # of its workers, MB


def of_peer(peer: Peer, pending: int, rate: int, seconds: int) -> Beside:
    """Do the same with a peer's way."""
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name, "store"), "--appendonly", "no") as server:
        late, count = Path(name, "late"), rate * (BEFORE + seconds)
        late.touch()
        peer.hand_in(server, "add", pending)
        settings = {"cwd": HERE, "env": environment(server, PEER_LATE=str(late))}
        with running(peer.work, Path(name), **settings) as pid:
            time.sleep(READ)
            said = peer.hand_in(server, "burst", count, str(8 + count / 700), str(rate))
            assert time.time() < said["due"], f"{peer.name}: adding took too long"
            while time.time() < said["due"] + count / rate + LAST and late.stat().st_size < 8 * count:
                time.sleep(0.2)
            memory = sum(map(footprint.resident, family(pid))) / sizing.MB
        found = [span for (span,) in struct.iter_unpack("d", late.read_bytes())]
        return Beside(found[rate * BEFORE :], memory)


def family(pid: int) -> list[int]:
    """Return a process and all processes that it started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return [pid, *(one for child in children for one in family(child))]


def beside(ours: list[Result], others: dict[tuple[str, int], Beside], count: int) -> str:
    """Write a row for each way and number that is pending."""
    found = {("reminder_worker", one.pending): Beside(one.late, one.memory["worker"]) for one in ours} | others
    lines = ["| way | pending | out | late, median | 99 of 100 | workers |", "|---|--:|--:|--:|--:|--:|"]
    for (name, pending), seen in found.items():
        known = seen.late + [math.inf] * (count - len(seen.late))
        spans = " | ".join(_span(measure(known)) for measure in (statistics.median, _most))
        lines.append(f"| {name} | {pending:,} | {len(seen.late) / count:.0%} | {spans} | {seen.memory:.0f} MB |")
    return "\n".join(lines) + "\n"


def _span(seconds: float) -> str:
    return "not yet" if math.isinf(seconds) else f"{1000 * seconds:,.0f} ms"


def table(results: list[Result]) -> str:
    """Write a row for each."""
    lines = [
        "| pending | bytes each | late, median | 99 of 100 | the latest | worker, scheduler, web | slowest in Redis |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in results:
        spans = (statistics.median(one.late), _most(one.late), max(one.late))
        late = " | ".join(f"{1000 * span:.0f} ms" for span in spans)
        memory = ", ".join(f"{one.memory[kind]:.0f}" for kind in ("worker", "scheduler", "web"))
        slow = f"{one.slowest:.1f} ms ({one.slowest_name})" if one.slowest else "under 1 ms"
        lines.append(f"| {one.pending:,} | {one.bytes_each:.0f} | {late} | {memory} MB | {slow} |")
    ratio = _most(results[-1].late) / _most(results[0].late)
    lines += ["", f"Ninety-nine of a hundred: {ratio:.2f} times as late with the most pending as with the fewest."]
    return "\n".join(lines) + "\n"


def plots(results: list[Result]) -> dict[str, str]:
    """Draw lateness, bytes and memory over what is pending."""
    pending = Scale("pending", [10.0**power for power in range(3, 8)])
    late = Scale("late by", [10.0**power for power in range(-3, 1)], "{:g} s".format)
    each = Scale("bytes in Redis for each", [200 * part for part in range(6)], powers=False)
    memory = Scale("memory, MB", [20 * part for part in range(6)], powers=False)
    spans = (("the latest", max), ("99 of 100", _most), ("median", statistics.median))
    lates = {name: [(one.pending, measure(one.late)) for one in results] for name, measure in spans}
    sizes = {"one lead": [(one.pending, one.bytes_each) for one in results]}
    held = {kind: [(one.pending, one.memory[kind]) for one in results] for kind in results[0].memory}
    return {
        "lateness": draw("Lateness over how many are pending", pending, late, lates),
        "bytes": draw("Bytes in Redis for each that is pending", pending, each, sizes),
        "memory": draw("Memory of processes over how many are pending", pending, memory, held),
    }


def _most(late: list[float]) -> float:
    return percentile(late, 0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, nargs="+", default=[1_000, 100_000, 1_000_000, 5_000_000])
    parser.add_argument("--others", type=int, nargs="*", default=[1_000, 50_000], help="the same for others")
    parser.add_argument("--a-second", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    chosen = parser.parse_args()
    steady = chosen.a_second, chosen.seconds
    results = [measure(pending, *steady) for pending in chosen.pending]
    pairs = product([peer for peer in PEERS if peer.here], chosen.others)
    others = {(f"{peer.name}: {peer.how}", pending): of_peer(peer, pending, *steady) for peer, pending in pairs}
    found = f"{table(results)}\n{beside(results, others, math.prod(steady))}"
    show("lateness", found, 1, write=chosen.write, plots=plots(results))


if __name__ == "__main__":
    main()
