"""How fast reminders are added and what each takes in the store: ours, signed and sealed, and the peers', in clear.

    python -m benchmarks.adding [--count 10000] [--rounds 5] [--write]

One after another in each round, each in a process of its own on a store of its own that writes no file. The limit is
what libsodium needs for one signature and one sealed box; the peers put number and text into Redis in clear.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from nacl import bindings
from nacl.signing import SigningKey

from reminder_worker import keys, store
from reminder_worker.client import Appointment, Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Answer
from reminder_worker.plan import Lead
from reminder_worker.schedule import BATCH, Schedule
from reminder_worker.sealing import ENVELOPE_CONTENT, PlatformKeys, PublicKeys, pointer_to_text, seal_pointer

from .pages import show
from .peers import DRAMATIQ, PEERS
from .plots import Scale, draw

PARIS = ZoneInfo("Europe/Paris")
JOB_BYTES = 280  # what is signed of a job, about
SIZES = (1_000, 10_000, 100_000)
OURS, TWICE, LIMIT = "reminder_worker", "reminder_worker, two processes", "libsodium alone"


def appointments(public: PublicKeys, count: int, first: int = 0) -> list[Appointment]:
    """Make the appointments that a platform would hand in, with pointers that were sealed elsewhere."""
    pointer = pointer_to_text(seal_pointer(public, "clinic", "tel:+33612345678", "fr"))
    start = datetime.now(PARIS).replace(microsecond=0) + timedelta(days=31)
    return [
        Appointment(
            f"A-{number}",
            start + timedelta(minutes=15 * (number % 400)),
            f"{number % 200} rue des Lilas, Lyon",
            pointer,
        )
        for number in range(first, first + count)
    ]


def ours(count: int, folder: Path, url: str, first: int, begin: float) -> dict[str, float]:
    """Sign, seal and add, from a moment on."""
    public = PublicKeys.load(folder / "worker.pub.json")
    schedule = Schedule(store.connect(url))
    client = Client(schedule, PlatformKeys.load(folder / "clinic.key"), public, leads=[Lead.parse("24h")])
    made = appointments(public, count, first)
    client.add(appointments(public, 1, first=10**9 + first))  # scripts and lists of words are there
    time.sleep(max(0.0, begin - time.time()))
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, count, BATCH):
        assert set(client.add(made[start : start + BATCH])) == {Answer.ADDED}
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def limit(count: int) -> dict[str, float]:
    """Sign and seal bytes, and nothing else."""
    signing, job, content = SigningKey.generate(), os.urandom(JOB_BYTES), os.urandom(ENVELOPE_CONTENT)
    secret, (public, _) = bytes(signing) + bytes(signing.verify_key), bindings.crypto_box_keypair()
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        bindings.crypto_sign(job, secret)
        bindings.crypto_box_seal(content, public)
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def child(*words: str) -> "subprocess.Popen[str]":
    """Run one of the functions above in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "benchmarks.adding", "--child", *words], stdout=-1, text=True)


def told(process: "subprocess.Popen[str]") -> dict[str, float]:
    """Wait for it."""
    said, _ = process.communicate(timeout=600)
    found: dict[str, float] = json.loads(said)
    return found


def used(url: str) -> int:
    """Return the bytes that a store uses."""
    client = store.connect(url)
    found = int(client.info("memory")["used_memory"])
    client.close()
    return found


def one_round(count: int, folder: Path) -> dict[str, tuple[float, float, float]]:
    """Return for each way how many it added in a second, and CPU microseconds and bytes for each reminder."""
    found: dict[str, tuple[float, float, float]] = {}
    for peer in PEERS:
        if peer.here:
            with tempfile.TemporaryDirectory() as place, EmbeddedServer(Path(place), "--appendonly", "no") as server:
                before = used(server.url())
                said = peer.hand_in(server, "add", count)
                bytes_each = (used(server.url()) - before) / count
                found[peer.name] = count / said["seconds"], 1e6 * said["cpu"] / count, bytes_each
    for name, processes in ((OURS, 1), (TWICE, 2)):
        with tempfile.TemporaryDirectory() as place, EmbeddedServer(Path(place), "--appendonly", "no") as server:
            before, begin = used(server.url()), str(time.time() + 4)
            words = str(count), str(folder), server.url()
            running = [child(*words, str(number * count), begin) for number in range(processes)]
            parts = [told(process) for process in running]
            bytes_each = (used(server.url()) - before) / count / processes
            rate = processes * count / max(part["seconds"] for part in parts)
            found[name] = rate, 1e6 * sum(part["cpu"] for part in parts) / count / processes, bytes_each
    said = told(child(str(count)))
    found[LIMIT] = count / said["seconds"], 1e6 * said["cpu"] / count, 0.0
    return found


def table(rounds: list[dict[str, tuple[float, float, float]]]) -> str:
    """Write medians; ratios are of one round each."""
    lines = [
        "| way | added a second | from, to | times dramatiq | CPU of who adds, us | bytes in Redis |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in rounds[0]:
        rates, cpus, sizes = zip(*(one[name] for one in rounds), strict=True)
        against = [one[name][0] / one[DRAMATIQ.name][0] for one in rounds if DRAMATIQ.name in one]
        ratio = f"{statistics.median(against):.2f}" if against else "-"
        size = f"{statistics.median(sizes):.0f}" if name != LIMIT else "-"
        middle, least, most = statistics.median(rates), min(rates), max(rates)
        lines.append(
            f"| {name} | {middle:,.0f} | {least:,.0f}, {most:,.0f} | {ratio} | {statistics.median(cpus):.0f} | {size} |"
        )
    cost = statistics.median(one[OURS][1] / one[LIMIT][1] for one in rounds)
    both = statistics.median(one[TWICE][0] / one[OURS][0] for one in rounds)
    lines += [
        "",
        f"All of it takes {cost:.2f} times the CPU of libsodium alone; two processes add {both:.2f} times as many.",
    ]
    return "\n".join(lines) + "\n"


def plot(by_size: dict[int, dict[str, tuple[float, float, float]]]) -> str:
    """Draw how many are added in a second over how many are."""
    many = Scale("reminders handed in", [*by_size])
    rate = Scale("added in a second", [1_000, 3_000, 10_000, 30_000])
    names = [name for name in next(iter(by_size.values())) if name != LIMIT]
    lines = {name: [(size, found[name][0]) for size, found in by_size.items()] for name in names}
    return draw("Added in a second over how many are handed in", many, rate, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        count, *rest = chosen.child
        said = ours(int(count), Path(rest[0]), rest[1], int(rest[2]), float(rest[3])) if rest else limit(int(count))
        print(json.dumps(said))
        return
    with tempfile.TemporaryDirectory() as folder:
        keys.new_worker(Path(folder) / "keys", datetime.now(UTC))
        keys.new_platform("clinic", Path(folder) / "keys")
        rounds = [one_round(chosen.count, Path(folder) / "keys") for _ in range(chosen.rounds)]
        by_size = {size: one_round(size, Path(folder) / "keys") for size in SIZES if chosen.write}
    drawn = {"adding": plot(by_size)} if by_size else {}
    show("adding", table(rounds), chosen.rounds, write=chosen.write, plots=drawn)


if __name__ == "__main__":
    main()
