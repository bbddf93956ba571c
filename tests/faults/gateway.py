"""Kill the web process and the store without warning while batches are handed in; look for what was answered.

    python -m tests.faults.gateway --rounds 20 --seed 1

A real Valkey with its append-only file, and answers that wait until it confirms (``durability = "local"``). Each round
ends with a kill, now of one, now of the other; then everything that was ever answered has to be there, and nothing
else but what was handed in.
"""

import argparse
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.sealing import make_id

from .installation import Crew, Installation, Refusals, ahead, path

CLIENTS, BATCH = 4, 40
LEADS = ["24h", "2h"]
KILLED = ("web", "store")


@dataclass
class Result:
    """What a run came to."""

    rounds: int
    seed: int
    offered: int = 0
    lost: int = 0  # batches whose answer did not come
    again: int = 0  # of their items: there already
    answers: Counter[str] = field(default_factory=Counter)
    missing: int = 0  # answered 2xx, and not there after a kill
    strange: int = 0  # there, and handed in by nobody
    amiss: int = 0  # at the end not there once, as it was handed in
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """All that was answered is there, each once, and nothing else."""
        amiss = self.missing or self.strange or self.amiss or self.answers["200 moved"]
        return not amiss and self.lost > 0 and self.offered > 0


class Round:
    """Clients that hand in batch after batch, until they are told to stop; a lost batch is handed in again."""

    def __init__(self, installation: Installation, result: Result, seed: int) -> None:
        self._installation, self._result = installation, result
        self._dice = random.Random(seed)
        self._numbers = itertools.count()
        self._pointer, self._when = installation.pointer(), ahead(days=9)
        self._lock = threading.Lock()
        self.offered: set[str] = set()
        self.answered: set[str] = set()
        keys = GatewayKeys.load(installation.folder / "keys").platform("clinic", Mode.LIVE)
        self._id = lambda reference: make_id(keys, reference)

    def go(self, over: threading.Event) -> None:
        """Be one client, for whom nothing may stay unanswered."""
        caller = self._installation.caller(timeout=20.0)
        while not over.is_set():
            batch = self._new()
            tries = 0
            while batch:
                batch = self._hand_in(caller, batch, tries)
                tries += 1
        caller.close()

    def _new(self) -> list[dict[str, Any]]:
        with self._lock:
            references = [f"A-{next(self._numbers)}" for _ in range(BATCH)]
            self.offered.update(references)
        same = {"time": self._when, "location": "12 rue des Lilas", "pointer": self._pointer, "leads": LEADS}
        return [{"reference": reference} | same for reference in references]

    def _hand_in(self, caller: Any, batch: list[dict[str, Any]], tries: int) -> list[dict[str, Any]]:
        """Hand in once; return what has to be handed in again."""
        try:
            said = caller.ask("POST", "/v1/reminders:batch", {"reminders": batch})
        except Refusals:
            self._result.lost += 1
            time.sleep(0.1)
            return batch
        if said.status != 200:
            self._note(f"{said.status} {said.document['title']}")
            time.sleep(0.1)
            return batch
        results = said.document["results"]
        with self._lock:
            for item, one in zip(batch, results, strict=True):
                self._note(f"{one['status']} {one.get('result') or one['title']}")
                self._result.again += bool(tries and one["status"] == 200)
                if one["status"] < 300:
                    self.answered.add(item["reference"])
        return [item for item, one in zip(batch, results, strict=True) if one["status"] >= 300]

    def _note(self, word: str) -> None:
        self._result.answers[word] += 1

    def look(self, answered: set[str]) -> None:
        """Compare what is there with what was answered, and with what was handed in."""
        there = self._there()
        with self._lock:
            offered = {self._id(one) for one in self.offered}
        self._result.missing += len({self._id(one) for one in answered} - there)
        self._result.strange += len(there - offered)

    def _there(self) -> set[bytes]:
        client = self._installation.schedule.client
        return {key.removeprefix(b"rw:{0}:a:") for key in client.scan_iter(b"rw:{0}:a:*", count=1000)}

    def finish(self) -> None:
        """Look at each, once all are answered."""
        client = self._installation.schedule.client
        self._result.offered = len(self.offered)
        self._result.amiss += len(self.offered ^ self.answered)
        due = client.zcard(b"rw:{0}:due")
        self._result.amiss += abs(due - len(LEADS) * len(self.offered))
        caller = self._installation.caller()
        for reference in self._dice.sample(sorted(self.offered), min(200, len(self.offered))):
            told = caller.ask("GET", path(reference)).document
            self._result.amiss += [one["state"] for one in told.get("reminders", [])] != ["scheduled"] * len(LEADS)
        caller.close()


def run(*, rounds: int, seed: int) -> Result:
    """Run it once."""
    result, dice, began = Result(rounds, seed), random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as name, Installation(Path(name), durability="local") as installation:
        installation.start("web")
        work, crew = Round(installation, result, seed), Crew()
        for _ in range(CLIENTS):
            crew.hire(work.go, crew.over)
        for killed in _choose(rounds):
            time.sleep(dice.uniform(0.7, 2.2))
            answered = set(work.answered)
            _kill(installation, killed)
            work.look(answered)
        crew.over.set()
        crew.join()
        work.look(work.answered)
        work.finish()
    result.seconds = time.monotonic() - began
    return result


def _choose(rounds: int) -> Iterator[str]:
    return itertools.islice(itertools.cycle(KILLED), rounds)


def _kill(installation: Installation, which: str) -> None:
    if which == "store":
        installation.restart_store()
    else:
        installation.kill("web")
        installation.start("web")


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    result = run(rounds=chosen.rounds, seed=chosen.seed)
    print(result)
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
