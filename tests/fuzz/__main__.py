"""Fuzz one target, or all of them one after another, with atheris (``make fuzz``).

    python -m tests.fuzz envelope --seconds 60
    python -m tests.fuzz --all --seconds 60 --jobs 2

What was found interesting is kept under ``.fuzz/<target>`` and used again. An input that fails is left there as well;
when what it found is mended, copy it to ``tests/data/fuzz/<target>``, where ``make test`` runs it again.
"""

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

KEPT = Path(".fuzz")
HANGS = 60  # seconds after which an input is given up; what takes one second is a finding already
MOST_MEMORY = 2048  # MiB of a process
_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"cov: (\d+)")


def load() -> None:
    """Import all targets, and with them what they fuzz."""
    from . import calls, formats, lines, sites, words  # noqa: F401, PLC0415


def known() -> list[str]:
    """Return the names of all targets that are loaded."""
    from .targets import TARGETS  # noqa: PLC0415

    return [*TARGETS]


def instrument() -> None:
    """Import all targets as atheris watches them; so is whatever is imported late."""
    import atheris  # noqa: PLC0415 - where it is installed

    atheris.instrument_imports(include=["reminder_worker", "icalendar", "aiosmpplib"]).__enter__()
    with contextlib.redirect_stderr(io.StringIO()):  # it says of each module that it does
        load()


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target; atheris ends the process."""
    import atheris  # noqa: PLC0415
    import time_machine  # noqa: PLC0415
    from known import NOW  # noqa: PLC0415

    from .mutation import TOKENS  # noqa: PLC0415
    from .targets import TARGETS, corpus, examine  # noqa: PLC0415

    one, own = TARGETS[name], KEPT / name
    own.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(own.resolve())  # atheris ends the process: nobody would clear up elsewhere
    seeds = [*corpus(one)]
    for seed in seeds:  # what is imported late is imported now
        with time_machine.travel(NOW), contextlib.suppress(Exception):
            one.run(seed)
    (own / "corpus").mkdir(exist_ok=True)
    (own / "seeds").mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        (own / "seeds" / f"{number:03d}").write_bytes(seed[: one.longest])
    words = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS if len(token) < 64)
    (own / "words").write_text("".join(f'"{word}"\n' for word in words if word))
    options = {
        "max_total_time": seconds,
        "timeout": HANGS,
        "rss_limit_mb": MOST_MEMORY,
        "max_len": one.longest,
        "dict": own / "words",
        "artifact_prefix": f"{own}/",
        "print_final_stats": 1,
    }
    arguments = [sys.argv[0], *(f"-{key}={value}" for key, value in options.items())]
    atheris.Setup([*arguments, str(own / "corpus"), str(own / "seeds")], lambda data: examine(one, data))
    atheris.Fuzz()


def begin(name: str, seconds: int) -> int:
    """Fuzz a target in a child of this process, which has imported everything; return the child."""
    child = os.fork()
    if child:
        return child
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    log = os.open(KEPT / name / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        fuzz(name, seconds)
    except BaseException:  # noqa: BLE001 - a seed's finding, say
        traceback.print_exc()
    os._exit(1)


def report(name: str, status: int) -> bool:
    """Print a target's row; tell whether something was found."""
    said = (KEPT / name / "log").read_text(errors="replace")
    runs, covered = _RUNS.findall(said), _COVERED.findall(said)
    findings = re.findall(r"^.*Finding: (.*)$", said, re.MULTILINE)
    found = findings[-1] if findings else "" if status == 0 else (said.strip().splitlines() or ["?"])[-1]
    print(f"| {name} | {int((runs or [0])[-1]):,} | {int((covered or [0])[-1]):,} | {found} |", flush=True)
    return bool(found)


def run_all(seconds: int, jobs: int, names: Sequence[str]) -> int:
    """Fuzz targets, and print a row for each; return how many found something."""
    waiting, running, findings = [*names], dict[int, str](), 0
    print("| target | executions | edges | found |\n|---|---|---|---|", flush=True)
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            running[begin(name, seconds)] = name
        child, status = os.wait()
        findings += report(running.pop(child), status)
    return findings


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="TARGET", help="which; see --list")
    parser.add_argument("--all", action="store_true", help="all of them, each in a process of its own")
    parser.add_argument("--list", action="store_true", help="print their names")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    given = parser.parse_args()
    if given.list or not (given.all or given.names):
        load()
        print("\n".join(known()))
        return 0
    instrument()
    if len(given.names) == 1 and not given.all:
        fuzz(given.names[0], given.seconds)
    return 1 if run_all(given.seconds, given.jobs, known() if given.all else given.names) else 0


if __name__ == "__main__":
    sys.exit(main())
