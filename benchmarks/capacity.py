"""Measure in one run what reminders cost on this machine, and print it; --write puts it into docs/capacity.md.

    python -m benchmarks.capacity [--runs 5] [--quick] [--write]

Bytes are the difference in what Redis reports as used. Rates are those of real processes, as durable as in production:
an intent is on the disk before a provider is called. Callers, carrier, store and processes share the machine's cores.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from reminder_worker import broker
from reminder_worker.client import Appointment
from reminder_worker.embedded import server_program
from reminder_worker.ledger import Answer
from reminder_worker.plan import Lead
from reminder_worker.scheduler import Scheduler
from tests.faults.installation import PLACE, ahead, path, percentile

from . import footprint, sizing
from .load import Carrier, call, request
from .plant import Plant, spent

SOON = Lead.parse("30h")
CONNECTIONS, THREADS, SLOW = 32, 32, 0.1
TAIL, EDGE = 0.99, 0.1  # of a run, the share at each end that does not count for a worker's rate
PATIENCE = 180.0

Found = dict[str, list[float]]


def weigh(found: Found, *, large: int) -> None:
    """Measure bytes."""
    for name, leads, ticket in (("one", 1, 0), ("two", 2, 0), ("ticket", 1, footprint.TICKET)):
        found[f"{name}_20k"].append(footprint.pending(20_000, leads, ticket))
        found[f"{name}_100k"].append(footprint.pending(large, leads, ticket))
    for names, values in (
        (("row", "head"), footprint.ended(large // 5)),
        (("optout", "optout_worker"), footprint.opted_out(large)),
        (("wake",), (footprint.queued(),)),
    ):
        for name, value in zip(names, values, strict=True):
            found[name].append(value)


def hand_in(found: Found, count: int) -> None:
    """Measure a platform that signs and seals in bulk, and a scheduler that has only to wake reminders."""
    with tempfile.TemporaryDirectory() as folder, Plant(Path(folder)) as plant:
        client, when = plant.client(), datetime.now(UTC) + timedelta(days=20)
        appointments = [
            Appointment(f"A-{number}", when, PLACE, phone=f"+33612{number:06d}", language="fr")
            for number in range(count)
        ]
        client.add([Appointment("warm", when, PLACE, phone="+33612345678", language="fr")])
        before, began = plant.costs(), time.perf_counter()
        for start in range(0, count, 500):
            assert set(client.add(appointments[start : start + 500])) == {Answer.ADDED}
        found["add"].append(count / (time.perf_counter() - began))
        for name, value in zip(("aof_add", "net_add", "redis_add"), plant.since(before, count), strict=True):
            found[name].append(value)
        footprint.fill(plant.schedule, count, 1, ahead=timedelta(days=-2))
        scheduler = Scheduler(plant.schedule, broker.connect(plant.server.url(1), []), capacity=10**6)
        began = time.perf_counter()
        while plant.schedule.client.zcount(plant.schedule.prefix(0) + b"due", 0, time.time() * 1000):
            scheduler.step()
        found["wakes"].append(count / (time.perf_counter() - began))


def put(found: Found, count: int) -> None:
    """Measure ``web``."""
    with tempfile.TemporaryDirectory() as folder, Plant(Path(folder)) as plant:
        plant.start("web")
        fields = {"time": ahead(days=20), "location": PLACE, "pointer": plant.pointer()}
        key, body = plant.caller().key, json.dumps(fields).encode()
        calls = [request("PUT", path(f"A-{number}"), body, Authorization=f"Bearer {key}") for number in range(count)]
        call(plant.port, calls[: count // 5], CONNECTIONS)
        work = calls[count // 5 :]
        before = spent(plant.pid("web"))
        rate, took = call(plant.port, work, CONNECTIONS)
        found["put"].append(rate)
        found["put_cpu"].append((spent(plant.pid("web")) - before) / len(work))
        found["put_p99"].append(1000 * percentile(took, TAIL))
        found["memory_web"].append(footprint.resident(plant.pid("web")) / sizing.MB)


def deliver(found: Found, count: int, threads: int, delay: float) -> None:
    """Measure a worker, and ``hooks`` by the receipts of what the worker sent."""
    with Carrier(delay) as carrier, tempfile.TemporaryDirectory() as folder, Plant(Path(folder), carrier.port) as plant:
        worker = f"worker-{threads}"
        plant.start(worker, "scheduler", "hooks")
        first = datetime.now(UTC) + timedelta(seconds=8 + count / 800)
        client = plant.client()
        for start in range(0, count, 500):
            added = client.add(due_at(first, start, min(count, start + 500)))
            assert set(added) == {Answer.ADDED}
        pid, parent, scheduler = plant.pid(worker), plant.parent(worker), plant.pid("scheduler")
        if datetime.now(UTC) > first:
            raise SystemExit("error: handing in took longer than until the first is due; measure fewer")
        before, cpu = plant.costs(), spent(pid)
        wait_for(carrier, count)
        time.sleep(delay + 0.5)
        if delay:
            found["slow_texts"].append(rate_of(carrier))
            found["memory_worker"].append(footprint.resident(pid) / sizing.MB)
            found["memory_parent"].append(footprint.resident(parent) / sizing.MB)
            found["memory_scheduler"].append(footprint.resident(scheduler) / sizing.MB)
            return
        found["texts"].append(rate_of(carrier))
        found["text_cpu"].append((spent(pid) - cpu) / count)
        for name, value in zip(("aof_text", "net_text", "redis_text"), plant.since(before, count), strict=True):
            found[name].append(value)
        report(found, plant, carrier)


def report(found: Found, plant: Plant, carrier: Carrier) -> None:
    """Report every text as delivered."""
    body = json.dumps({"status": "delivered"}).encode()
    calls = [request("POST", urlsplit(url).path, body) for _, url in carrier.texts]
    before = spent(plant.pid("hooks"))
    rate, took = call(plant.hooks, calls, CONNECTIONS)
    found["receipts"].append(rate)
    found["receipt_cpu"].append((spent(plant.pid("hooks")) - before) / len(calls))
    found["receipt_p99"].append(1000 * percentile(took, TAIL))
    found["memory_hooks"].append(footprint.resident(plant.pid("hooks")) / sizing.MB)


def due_at(first: datetime, start: int, end: int) -> Iterator[Appointment]:
    """Yield appointments whose only text is due then, or has been for less than a second."""
    for number in range(start, end):
        when = first + timedelta(hours=30, milliseconds=number % 1000)
        yield Appointment(f"A-{number}", when, PLACE, phone=f"+33612{number:06d}", language="fr", leads=(SOON,))


def wait_for(carrier: Carrier, count: int) -> None:
    """Wait until the carrier has all texts."""
    until = time.monotonic() + PATIENCE
    while len(carrier.texts) < count:
        if time.monotonic() > until:
            raise SystemExit(f"error: of {count} texts {len(carrier.texts)} came in {PATIENCE:.0f} seconds")
        time.sleep(0.1)


def rate_of(carrier: Carrier) -> float:
    """Return the texts a second, without the first and the last tenth."""
    came = sorted(moment for moment, _ in carrier.texts)
    edge = int(len(came) * EDGE)
    return (len(came) - 2 * edge) / (came[-edge - 1] - came[edge])


def machine(runs: int) -> str:
    """Return the machine and the versions measured on, and how busy the machine was before."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    said = subprocess.run([server_program(), "--version"], capture_output=True, text=True, check=True).stdout
    names = ("dramatiq", "redis", "pynacl", "starlette", "uvicorn")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    server = re.search(r"(Valkey|Redis) server v=(\S+).* malloc=(\S+)", said)
    store = f"{server[1]} {server[2]} with {server[3]}" if server else said.strip()
    day = datetime.now(UTC).date()
    cores, python, busy = os.cpu_count(), platform.python_version(), os.getloadavg()[0]
    return (
        f"{day}: {cores} cores ({model}), Python {python}, {store}, {versions}; {runs} runs.\n"
        f"In the minute before, {busy:.1f} processes of others wanted these cores: "
        "with more than 0.2, rates are too low.\n"
    )


def measure(runs: int, *, quick: bool) -> Found:
    """Measure everything: bytes once, for they are the same each time; rates several times, one after another."""
    found: Found = defaultdict(list)
    count = 500 if quick else 4000
    weigh(found, large=20_000 if quick else 100_000)
    for number in range(runs):
        print(f"run {number + 1} of {runs}", file=sys.stderr)
        hand_in(found, count)
        put(found, 2 * count)
        deliver(found, count, 8, 0)
        deliver(found, count, THREADS, SLOW)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="see whether it runs; measures nothing worth having")
    parser.add_argument("--write", action="store_true", help="put it into docs/capacity.md, with what follows from it")
    chosen = parser.parse_args()
    where = machine(chosen.runs)
    table = sizing.measured(measure(chosen.runs, quick=chosen.quick))
    print(where, table, sep="\n")
    if chosen.write:
        page = sizing.filled(sizing.PAGE.read_text("utf-8"), "machine", where)
        sizing.write(sizing.filled(page, "measured", table))


if __name__ == "__main__":
    main()
