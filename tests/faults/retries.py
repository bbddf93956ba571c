"""Many clients hand in the same appointments through a line that loses answers, and try again until they get one.

    python -m tests.faults.retries --clients 1000 --references 1000 --seed 1

Real web, scheduler and worker processes. What is texted is counted while it goes on: each appointment has one reminder
that falls due meanwhile and one that falls due later.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .installation import Crew, Installation, Refusals, ahead, numbered, path

LEADS = ["2h", "1h"]  # the first falls due while clients still hand in
LOSES = 0.25  # of all answers
EACH = 10  # references that each client hands in
PATIENCE = 120.0  # seconds


class LossyLine:
    """Passes on what clients say; loses answers by lot, and hangs up instead."""

    def __init__(self, port: int, dice: random.Random) -> None:
        self._to, self._dice = port, dice
        self.lost, self.port = 0, 0
        self._open = threading.Event()
        self._under_way: set[Any] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._open.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, backlog=2000)
        self.port = server.sockets[0].getsockname()[1]
        self._open.set()
        await self._over.wait()
        server.close()

    async def _pass_on(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._under_way.add(task := asyncio.current_task())  # asyncio itself would forget it
        task.add_done_callback(self._under_way.discard)
        far, to = await asyncio.open_connection("127.0.0.1", self._to)
        asking = asyncio.create_task(self._copy(near, to))
        try:
            while answer := await far.read(65536):
                if self._dice.random() < LOSES:
                    self.lost += 1
                    break
                back.write(answer)
                await back.drain()
        except (OSError, asyncio.CancelledError):
            pass  # one of them has hung up, or all is over
        finally:
            asking.cancel()
            back.close()
            to.close()

    async def _copy(self, near: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        try:
            while asked := await near.read(65536):
                to.write(asked)
                await to.drain()
        except OSError:
            pass
        finally:
            to.close()


@dataclass
class Result:
    """What a run came to."""

    clients: int
    references: int
    seed: int
    calls: int = 0
    lost: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    missing: int = 0  # references that are not there
    wrong: int = 0  # that have not one reminder for each lead that is to come, the first of all sent
    late: int = 0  # that were not taken before their first reminder would have been due, on a machine that slow
    texts: int = 0
    twice: int = 0
    seconds: float = 0.0
    due: float = field(default=0.0, repr=False)  # when the first reminders are, on ``time.monotonic``
    soon: set[str] = field(default_factory=set, repr=False)  # references that were answered 2xx before

    @property
    def whole(self) -> bool:
        """Each is there once, and was texted once."""
        amiss = self.missing or self.wrong or self.twice or self.answers["200 moved"]
        texts = self.references - self.late
        return not amiss and self.texts == texts and self.answers["201 added"] <= self.references


def run(*, clients: int, references: int, seed: int, each: int = EACH) -> Result:
    """Run it once."""
    result, began = Result(clients, references, seed), time.monotonic()
    with tempfile.TemporaryDirectory() as name, Installation(Path(name)) as installation:
        installation.start("web", "scheduler", "worker")
        ahead_by = 8 + clients * each / 150  # seconds: each is known before that, unless the machine is slow
        result.due = time.monotonic() + ahead_by
        jobs = _jobs(installation, references, seconds=ahead_by)
        names = list(jobs)
        crew, lock = Crew(), threading.Lock()
        with LossyLine(installation.port, random.Random(seed)) as line:
            for number in range(clients):
                dice = random.Random(f"{seed} {number}")
                mine = [names[(number * each + step) % references] for step in range(min(each, references))]
                dice.shuffle(mine)
                crew.hire(_hand_in, installation, line.port, {one: jobs[one] for one in mine}, dice, result, lock)
            crew.join()
            result.lost = line.lost
        _wait(installation, len(result.soon))
        _count(installation, jobs, result)
    result.seconds = time.monotonic() - began
    return result


def _jobs(installation: Installation, references: int, *, seconds: float) -> dict[str, dict[str, Any]]:
    phones, when = numbered(), ahead(hours=2, seconds=seconds)
    return {
        f"A-{number}": installation.fields(time=when, leads=LEADS, pointer=installation.pointer(next(phones)))
        for number in range(references)
    }


def _hand_in(
    installation: Installation,
    port: int,
    jobs: dict[str, dict[str, Any]],
    dice: random.Random,
    result: Result,
    lock: threading.Lock,
) -> None:
    """Be one client: each until it is answered 2xx."""
    caller = installation.caller(port=port)
    for reference, fields in jobs.items():
        while True:
            try:
                said = caller.put(reference, fields)
                word = f"{said.status} {said.document.get('result') or said.document['title']}"
            except Refusals:
                word = "lost"
            with lock:
                result.calls += 1
                result.answers[word] += 1
                if word.startswith("2") and time.monotonic() < result.due:
                    result.soon.add(reference)
            if word.startswith("2"):
                break
            time.sleep(dice.uniform(0.05, 0.5))
    caller.close()


def _wait(installation: Installation, texts: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(installation.outbox) < texts and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)  # for what may come on top of it


def _count(installation: Installation, jobs: dict[str, dict[str, Any]], result: Result) -> None:
    caller = installation.caller()
    for reference in jobs:
        said = caller.ask("GET", path(reference))
        if said.status != 200:
            result.missing += 1
            continue
        states = [one["state"] for one in said.document["reminders"]]
        late = states == ["scheduled"] and reference not in result.soon
        result.late += late
        result.wrong += not late and states != ["sent", "scheduled"]
    caller.close()
    texts = Counter(line["to"] for line in installation.outbox)
    result.texts, result.twice = texts.total(), sum(count > 1 for count in texts.values())


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--references", type=int, default=100)
    parser.add_argument("--each", type=int, default=EACH, help="references that each client hands in")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    result = run(clients=chosen.clients, references=chosen.references, seed=chosen.seed, each=chosen.each)
    print(result)
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
