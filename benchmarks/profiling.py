"""Where the time of a worker goes, and what Redis does meanwhile: ten thousand texts that fall due at one moment.

    pip install py-spy; python -m benchmarks.profiling [--count 10000] [--write]      as root

py-spy samples the worker's threads two hundred times a second. Each sample of a thread counts for what it is in: the
nearest call of a library or of a part of ours. Only threads that compute count, not those that wait. Figures of Redis
are its own count of each command's time, and its SLOWLOG.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .bursting import Quick, hand_in, wait_for
from .pages import show

SPAN, RATE = 8, 200  # seconds, looks a second
FEW = 5.0  # microseconds for a text: what takes less of the store is not shown
PARTS = {  # what a frame's file is called: what that is
    "redis/": "redis-py: asking the store, and reading what it says",
    "dramatiq/": "dramatiq: fetching, handing to a thread, acknowledging",
    "reminder_worker/broker.py": "dramatiq: fetching, handing to a thread, acknowledging",
    "nacl/": "libsodium, through PyNaCl",
    "phonenumbers/": "phonenumbers",
    "babel/": "Babel",
    "prometheus_client/": "counting",
    "reminder_worker/metrics.py": "counting",
    "logging/": "writing the log",
    "reminder_worker/logs.py": "writing the log",
    "reminder_worker/providers/": "the provider",
    "reminder_worker/opening.py": "opening: formats and checks around libsodium",
    "reminder_worker/drafting.py": "drafting",
    "reminder_worker/": "the rest of ours",
}


def part_of(stack: Iterable[str]) -> str:
    """Return the part that a stack is in; its frames are ``function (file:line)``, the innermost last."""
    for frame in reversed(list(stack)):
        for file, part in PARTS.items():
            if f"({file}" in frame or f"/{file}" in frame:
                return part
    return "Python itself"


def shares(folded: str) -> dict[str, float]:
    """Return each part's share of what py-spy wrote: a line for each stack, its frames and how often it was seen."""
    seen: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        seen[part_of(stack.split(";"))] += int(count)
    return {part: count / seen.total() for part, count in seen.most_common()}


def commands(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]], texts: int) -> Iterator[str]:
    """Yield a row for each command of the store: how often for a text, and how long one takes."""
    none = {"calls": 0.0, "usec": 0.0}
    spent = {name: one["usec"] - before.get(name, none)["usec"] for name, one in after.items()}
    for name in sorted(spent, key=lambda name: -spent[name]):
        calls = after[name]["calls"] - before.get(name, none)["calls"]
        if spent[name] >= FEW * texts:
            yield f"| {name.removeprefix('cmdstat_').upper()} | {calls / texts:.2f} | {spent[name] / calls:.0f} |"


def look(pid: int, profile: Path) -> None:
    """Have py-spy sample a process for a while."""
    spy = ["py-spy", "record", "--gil", "--format", "raw", "--rate", str(RATE), "--duration", str(SPAN)]
    done = subprocess.run([*spy, "--output", profile, "--pid", str(pid)], check=False, capture_output=True)
    if done.returncode != 0:
        raise SystemExit("error: py-spy could not look; a worker lets nobody but root look into it")


def measure(count: int) -> str:
    """Have texts sent, sample meanwhile, and return what was seen."""
    with tempfile.TemporaryDirectory() as name, Quick(Path(name)) as plant:
        plant.start("worker-8", "scheduler")
        first = datetime.now(UTC) + timedelta(seconds=8 + count / 700)
        hand_in(plant, count, first)
        client, outbox, profile = plant.schedule.client, plant.folder / "outbox.jsonl", plant.folder / "profile"
        client.config_set("slowlog-log-slower-than", 1000)
        client.slowlog_reset()
        before = client.info("commandstats")
        wait_for(lambda: outbox.exists() and outbox.stat().st_size > 0)
        look(plant.pid("worker-8"), profile)
        wait_for(lambda: outbox.read_bytes().count(b"\n") >= count)
        found = shares(profile.read_text())
        rows = list(commands(before, client.info("commandstats"), count))
        slow = [entry["duration"] / 1000 for entry in client.slowlog_get(128)]
    said = f"{len(slow)}, the longest {max(slow):.1f} ms" if slow else "none"
    return "\n".join(
        [
            *("| a worker is in | of its time |", "|---|--:|"),
            *(f"| {part} | {share:.0%} |" for part, share in found.items() if share >= 0.005),  # noqa: PLR2004
            *("", "| the store's command | for a text | microseconds each |", "|---|--:|--:|", *rows),
            *("", f"Commands of the store that took more than a millisecond: {said}.", ""),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    chosen = parser.parse_args()
    if shutil.which("py-spy") is None:
        raise SystemExit("error: py-spy is not here: pip install py-spy")
    show("profiling", measure(chosen.count), 1, write=chosen.write)


if __name__ == "__main__":
    main()
