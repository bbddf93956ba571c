"""Fuzz one target, or all of them one after another, with atheris (``make fuzz``).

    python -m tests.fuzz envelope --seconds 60
    python -m tests.fuzz --all --seconds 60 --jobs 2

What was found interesting is kept under ``.fuzz/<target>`` and used again. An input that fails is left there as well;
when what it found is mended, copy it to ``tests/data/fuzz/<target>``, where ``make test`` runs it again.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KEPT = Path(".fuzz")
HANGS = 20  # seconds after which an input is given up; what takes one second is a finding already
MOST_MEMORY = 2048  # MiB of a process
_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"cov: (\d+)")


def load() -> None:
    """Import all targets, and with them what they fuzz."""
    from . import calls, formats, lines, sites, words  # noqa: F401, PLC0415


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process; atheris ends it."""
    import atheris  # noqa: PLC0415 - where it is installed

    with atheris.instrument_imports(include=["reminder_worker", "icalendar", "aiosmpplib"]):
        load()
        from .mutation import TOKENS  # noqa: PLC0415
        from .targets import TARGETS, corpus, examine  # noqa: PLC0415

        one, own = TARGETS[name], KEPT / name
        seeds = [*corpus(one)]
        for seed in seeds:  # what is imported late is to be instrumented too
            examine(one, seed)
    (own / "corpus").mkdir(parents=True, exist_ok=True)
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
    folders = [str(own / "corpus"), str(own / "seeds")]
    atheris.Setup(
        [sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), *folders], lambda data: examine(one, data)
    )
    atheris.Fuzz()


def run(name: str, seconds: int) -> tuple[int, int, str]:
    """Fuzz one target in a process of its own; return executions, covered edges, and what was found."""
    command = [sys.executable, "-m", __spec__.parent, name, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    runs, covered = _RUNS.findall(done.stderr), _COVERED.findall(done.stderr)
    said = re.findall(r"^.*Finding: (.*)$", done.stderr + done.stdout, re.MULTILINE)
    found = said[-1] if said else "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["?"])[-1]
    return int(runs[-1]) if runs else 0, int(covered[-1]) if covered else 0, found


def run_all(seconds: int, jobs: int, names: Sequence[str]) -> int:
    """Fuzz targets, and print a row for each; return how many found something."""
    findings = 0
    print("| target | executions | edges | found |\n|---|---|---|---|", flush=True)
    with ThreadPoolExecutor(jobs) as pool:
        for name, (runs, covered, found) in zip(names, pool.map(lambda name: run(name, seconds), names), strict=True):
            findings += bool(found)
            print(f"| {name} | {runs:,} | {covered:,} | {found} |", flush=True)
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
    if len(given.names) == 1 and not given.all:
        fuzz(given.names[0], given.seconds)
        return 0
    load()
    from .targets import TARGETS  # noqa: PLC0415

    if given.list or not (given.all or given.names):
        print("\n".join(TARGETS))
        return 0
    return 1 if run_all(given.seconds, given.jobs, [*TARGETS] if given.all else given.names) else 0


if __name__ == "__main__":
    sys.exit(main())
