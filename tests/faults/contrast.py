"""The same kills upon the tutorial's way: what of it is late, lost for now, and texted twice.

    python -m tests.faults.contrast --reminders 2000 --times 6 --patience 900

It needs .venv-peers, which ``make bench`` makes. Whoever kills, starts again: the same supervisor, the same provider.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .harbour import COMMANDS, Harbour, Size

PEERS = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
LOOKS = 10.0, 60.0, 120.0, 300.0, 600.0  # seconds after the last due time
DOUBTFUL = ("tutorial", "call", "before"), ("tutorial", "call", "after")
COMMANDS["tutorial"] = ["-m", "dramatiq", "tutorial", "--processes", "1", "--threads", "8"]


@dataclass
class Result:
    """What a run came to."""

    name: str
    reminders: int
    happened: int = 0
    lost: dict[float, int] = field(default_factory=dict)  # not texted, by seconds after the last due time
    twice: int = 0
    seconds: float = 0.0


def run(size: Size, seed: int, *, patience: float, named: bool) -> Result:
    """Kill at random, or right before and after the call; look until all are texted, or for ``patience`` seconds."""
    dice, began = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as name, Harbour(Path(name), kind="neither") as harbour:
        harbour.python, tutorial = str(PEERS), harbour.folder / "hands" / "tutorial.py"
        harbour.environment = {"PEER_URL": harbour.server.url(2), "CARRIER": harbour.carrier.peer.url}
        shutil.copy(Path(__file__).with_name("tutorial.py"), tutorial)
        words = [harbour.python, str(tutorial), str(size.reminders), str(size.window)]
        subprocess.run(words, env=os.environ | harbour.environment, check=True)
        plans = [_plan(DOUBTFUL[number % 2], dice) for number in range(size.times)] if named else []
        ship, last = harbour.launch("tutorial", plans), time.monotonic() + size.window
        for _ in range(0 if named else size.times):
            time.sleep(dice.uniform(0.5, 1.5) * size.window / size.times)
            harbour.sink(ship)
        result = Result("before and after the call" if named else "at random", size.reminders)
        result.lost = {after: _missing(harbour, size.reminders, last + after) for after in _looks(patience)}
        result.happened, result.seconds = harbour.deaths, time.monotonic() - began
        result.twice = sum(len(texts) > 1 for texts in harbour.carrier.by_number().values())
    return result


def _plan(point: tuple[str, str, str], dice: random.Random) -> dict[str, object]:
    module, function, when = point
    return {"act": "kill", "module": module, "name": function, "how": {"when": when, "nth": dice.randint(1, 20)}}


def _looks(patience: float) -> list[float]:
    return [*(after for after in LOOKS if after < patience), patience]


def _missing(harbour: Harbour, reminders: int, until: float) -> int:
    """Count who has not been texted by then; all at once where nobody is missing."""
    while (missing := reminders - len(harbour.carrier.by_number())) and time.monotonic() < until:
        time.sleep(0.2)
    return missing


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reminders", type=int, default=2000)
    parser.add_argument("--window", type=float, default=30.0)
    parser.add_argument("--times", type=int, default=6)
    parser.add_argument("--patience", type=float, default=120.0, help="seconds after the last due time")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    if not PEERS.exists():
        sys.exit("error: .venv-peers is not here; make bench makes it")
    size = Size(chosen.reminders, chosen.window, chosen.times)
    with ThreadPoolExecutor(2) as pool:
        options = {"seed": chosen.seed, "patience": chosen.patience}
        runs = [pool.submit(run, size, named=named, **options) for named in (False, True)]
    print(f"seed {chosen.seed}")
    for one in runs:
        print(one.result())


if __name__ == "__main__":
    main()
