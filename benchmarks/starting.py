"""How long a process takes to be ready, compared with Python alone.

python -m benchmarks.starting [--rounds 7] [--write]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .pages import show
from .plant import Plant, environment

PATIENCE = 30.0  # seconds


def took(folder: Path, config: Path, *words: str) -> float:
    """Return the seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, env=environment(config), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def until_said(plant: Plant, name: str, event: bytes) -> float:
    """Return the seconds until a process says that it has started."""
    began = time.perf_counter()
    plant._start(name)  # noqa: SLF001 - it waits for web only, and this is the wait that is measured
    while event not in plant.log(name):
        if time.perf_counter() - began > PATIENCE:
            sys.exit(f"error: {name} did not start: {plant.log(name).decode()}")
        time.sleep(0.005)
    spent = time.perf_counter() - began
    plant.kill(name)
    (plant.folder / f"{name}.log").unlink()
    return spent


def one_round() -> dict[str, float]:
    """Measure each once."""
    command = "-m", "reminder_worker.cli"
    with tempfile.TemporaryDirectory() as name, Plant(Path(name)) as plant:
        return {
            "python -c pass": took(plant.folder, plant.config, "-c", "pass"),
            "reminder-worker --help": took(plant.folder, plant.config, *command, "--help"),
            "reminder-worker status": took(plant.folder, plant.config, *command, "status"),
            "scheduler": until_said(plant, "scheduler", b"scheduler_started"),
            "web": until_said(plant, "web", b"web_started"),
            "worker": until_said(plant, "worker-8", b"worker_started"),
        }


def table(rounds: list[dict[str, float]]) -> str:
    """Write medians."""
    lines = ["| what | median, s | from, to |", "|---|--:|--:|"]
    for name in rounds[0]:
        spans = [one[name] for one in rounds]
        lines.append(f"| {name} | {statistics.median(spans):.2f} | {min(spans):.2f}, {max(spans):.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    chosen = parser.parse_args()
    one_round()  # files are in memory from here on
    show("starting", table([one_round() for _ in range(chosen.rounds)]), chosen.rounds, write=chosen.write)


if __name__ == "__main__":
    main()
