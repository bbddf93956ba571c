"""Plant each leak alone into a copy of the package, and see the audit catch it.

    python -m tests.faults.leaks --only "the number in a log line" --jobs 2

It prints a line for each: by what it was caught, and after how many seconds. ``--json`` writes all that each was found
by, so that leaks which are to be planted together can be chosen.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ..leaks import LEAKS, PATIENCE, Leak, audit, caught, plant, ways  # noqa: TID252 - run as a module, and by pytest


def look(one: Leak, kept: dict[str, list[str]]) -> bool:
    """Plant one leak, print how it went, and tell whether it was caught."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rw-leak-") as name, audit(plant(Path(name), [one])) as process:
        said, complaints = process.communicate(timeout=PATIENCE)
    found = caught(said) if said else set()
    kept[one.name] = sorted(found)
    by = ways(one, found)
    verdict = f"caught by {by[0]}" if by else f"NOT CAUGHT (exit {process.returncode}; {complaints.strip()[-160:]})"
    sys.stdout.write(f"{one.name}: {verdict}, {time.monotonic() - began:.0f} s\n")
    sys.stdout.flush()
    return bool(by) and process.returncode == 1


def main(words: Sequence[str] | None = None) -> int:
    """Go through them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one leak, by its name")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(words)
    leaks = [one for one in LEAKS if chosen.only in {None, one.name}]
    if not leaks:
        parser.error("--only: there is no leak of this name")
    kept: dict[str, list[str]] = {}
    with ThreadPoolExecutor(chosen.jobs) as pool:
        done = list(pool.map(partial(look, kept=kept), leaks))
    if chosen.json:
        chosen.json.write_text(json.dumps(kept, indent=1))
    print(f"{sum(done)} of {len(leaks)} leaks were caught")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
