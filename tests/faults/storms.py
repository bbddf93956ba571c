"""Faults at chosen moments, each upon thousands of reminders: what was lost or texted twice, how soon all was well.

    python -m tests.faults.storms --reminders 2000 --seed 1
    python -m tests.faults.storms --only "worker killed" --at-once 1

Real processes, a real Valkey whose append-only file is synced at each write, and a provider over HTTP that counts. Each
text names a place that belongs to one number. What ends is started again, as a supervisor would; nothing else is done.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import weather
from .harbour import SYNCED, Harbour, Result, Size, hand_in

LEDGER, HTTP, SOCKETS = "reminder_worker.schedule", "reminder_worker.https", "reminder_worker.sockets"
POINTS = {  # of a worker's way: module, function, when
    "before the claim": (LEDGER, "Schedule.claim", "before"),
    "after the claim": (LEDGER, "Schedule.claim", "after"),
    "before the intent": (LEDGER, "Schedule.intend", "before"),
    "before the confirmation": ("redis.connection", "AbstractConnection.send_packed_command", "after", "WAITAOF"),
    "after the confirmation": (LEDGER, "Schedule.intend", "after"),
    "before the first byte": (SOCKETS, "Socket.sendall", "before"),
    "after the first byte": (SOCKETS, "Socket.sendall", "first byte"),
    "before the reply": (SOCKETS, "Socket.recv_into", "before"),
    "after the reply": (HTTP, "Site._exchange", "after"),
    "before the outcome": (LEDGER, "Schedule.settle", "before"),
    "after the outcome": (LEDGER, "Schedule.settle", "after"),
}
FROZEN = tuple(point for point in POINTS if point not in {"before the claim", "before the confirmation"})
TAKEN = {  # of a scheduler's
    "taken, not yet awake": ("reminder_worker.broker", "wake", "before"),
    "awake": ("reminder_worker.broker", "wake", "after"),
}


@dataclass(frozen=True)
class Storm:
    """One fault: at points of a process's way, or what blows while reminders fall due."""

    name: str
    blows: weather.Act | None = None
    worker: tuple[str, ...] = ()  # at which points, in turn
    scheduler: tuple[str, ...] = ()
    act: str = "kill"
    kind: str = "asked"  # of provider
    workers: tuple[dict[str, Any], ...] = ({},)  # whom besides, and what they are always told
    options: tuple[str, ...] = SYNCED
    line: bool = False
    short: bool = False  # it is part of the short form
    long: bool = False  # it takes too long for every day


TWO, THREE = ({},) * 2, ({},) * 3
DOUBTFUL = "after the confirmation", "after the first byte", "before the reply", "before the outcome"


def _storms() -> Iterator[Storm]:
    for point in POINTS:
        yield Storm(f"worker killed {point}", worker=(point,), workers=TWO)
    every = tuple(POINTS)
    yield Storm("worker killed at all these points", worker=every, workers=THREE, short=True)
    yield Storm("the same, provider deduplicates", worker=every, kind="deduplicates", workers=THREE)
    yield Storm("the same, provider does neither", worker=every, kind="neither", workers=THREE)
    yield Storm(
        "worker killed in doubt, provider does neither", worker=DOUBTFUL, kind="neither", workers=TWO, short=True
    )
    yield Storm("worker and scheduler killed at random", weather.killings, workers=TWO)
    yield Storm("scheduler killed, taken and not yet awake", scheduler=("taken, not yet awake",))
    yield Storm("scheduler killed before and after wake-ups", scheduler=tuple(TAKEN), short=True)
    yield Storm("store down 1 s", weather.down(1))
    yield Storm("store down 20 s", weather.down(20))
    yield Storm("store down 20 s, provider does neither", weather.down(20), kind="neither")
    yield Storm("store down 10 min", weather.down(600), long=True)
    yield Storm("store stalled 8 s", weather.stalled(8))
    yield Storm("store full", weather.full)
    yield Storm("disk full", weather.disk_full, options=("--appendfsync", "everysec"), short=True)
    yield Storm("answers of every script lost", weather.lost_answers, line=True)
    for point in FROZEN:
        yield Storm(f"worker frozen {point}", worker=(point,), act="stop", workers=TWO)
    yield Storm("workers frozen at random", weather.frozen, workers=TWO)
    for name, seconds in (("65 s", 65), ("an hour", 3600), ("a day", 86400)):
        clocks = ({}, {"clock": seconds}, {"clock": -seconds})
        yield Storm(f"clocks {name} fast and slow", weather.shifted, workers=clocks)
    yield Storm("bad messages and envelopes", weather.vandals)
    clocks, told = ({"clock": 3600}, {"clock": -65}), {"worker": every, "scheduler": tuple(TAKEN)}
    yield Storm("all of it, one after the other", weather.everything, **told, line=True, workers=clocks, short=True)


def is_possible(storm: Storm) -> bool:
    """Tell whether it can be tried here: only root can give a store a small disk to fill up."""
    return storm.blows is not weather.disk_full or (sys.platform == "linux" and os.geteuid() == 0)


STORMS = {storm.name: storm for storm in _storms()}


def run(storm: Storm, size: Size, seed: int) -> Result:
    """Let one storm blow over an installation of its own."""
    dice, began = random.Random(f"{seed} {storm.name}"), time.monotonic()
    result = Result(storm.name, size.reminders)
    with (
        tempfile.TemporaryDirectory() as name,
        weather.disk(Path(name), small=storm.blows is weather.disk_full) as folder,
        Harbour(folder, kind=storm.kind, pace=size.pace, options=storm.options, line=storm.line) as harbour,
    ):
        (client,) = harbour.found("clinic")
        hand_in(client, size.reminders, size.window, ahead=1)
        harbour.launch("scheduler", _plans(storm.scheduler, TAKEN, storm.act, size, dice))
        plans = _plans(storm.worker, POINTS, storm.act, size, dice)
        for number, always in enumerate(storm.workers):
            harbour.launch("worker", plans[number :: len(storm.workers)], **always)
        victims = storm.blows(harbour, dice, size) if storm.blows else set()
        harbour.wait()
        harbour.judge(result, client, victims)
    result.seconds = time.monotonic() - began
    return result


def _plans(names: tuple[str, ...], points: dict[str, Any], act: str, size: Size, dice: random.Random) -> list[Any]:
    """Say at which call of which function each life ends; who only stands still has one life."""
    lives, often = max(size.times, len(names)) if names else 0, 20 if points is POINTS else 1  # it takes many at once
    plans = []
    for number in range(lives if act == "kill" else min(1, lives)):
        module, function, when, *about = points[names[number % len(names)]]
        times = 1 if act == "kill" else size.times
        how = {"when": when, "nth": dice.randint(1, often), "times": times, "about": "".join(about)}
        plans.append({"act": act, "module": module, "name": function, "how": how})
    return plans


COLUMNS = "fault, reminders, times, lost, twice, another's text, unknown, in flight at most, recovered in s, run in s"


def table(results: list[Result]) -> str:
    """Write them for docs/faults.md."""
    lines = [COLUMNS.split(", "), ["---"] * 10]
    for one in results:
        counts = one.reminders, one.happened, one.lost, one.twice, one.strayed, one.unknown, one.in_flight
        lines.append([one.name, *(f"{count:,}" for count in counts), f"{one.recovered:.0f}", f"{one.seconds:.0f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def run_all(storms: list[Storm], size: Size, seed: int, at_once: int) -> list[Result]:
    """Run them, some at once: they wait more than they work."""

    def one(storm: Storm) -> Result:
        result = run(storm, size, seed)
        print(f"{'whole' if result.whole else 'BROKEN'} {result}", file=sys.stderr, flush=True)
        return result

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, storms))


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reminders", type=int, default=2000)
    parser.add_argument("--window", type=float, default=30.0, help="seconds from the first due time to the last")
    parser.add_argument("--times", type=int, default=6, help="how often a fault happens")
    parser.add_argument("--pace", type=float, default=1.0, help="how long leases are, of what they are")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--only", default="", help="those whose name holds this (a regular expression)")
    parser.add_argument("--long", action="store_true", help="those too that take ten minutes and more")
    chosen = parser.parse_args()
    wanted = [one for one in STORMS.values() if re.search(chosen.only, one.name) and (chosen.long or not one.long)]
    for one in wanted:
        if not is_possible(one):
            print(f"skipped: {one.name}: only root can give a store a small disk", file=sys.stderr)
    wanted = list(filter(is_possible, wanted))
    size = Size(chosen.reminders, chosen.window, chosen.times, chosen.pace)
    results = run_all(wanted, size, chosen.seed, chosen.at_once)
    print(f"seed {chosen.seed}\n{table(results)}")
    sys.exit(0 if all(one.whole for one in results) else 1)


if __name__ == "__main__":
    main()
