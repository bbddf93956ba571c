"""Kill the processes that tell platforms of events, and the platform too; count what was lost, doubled or invented.

    python -m tests.faults.events --events 2000 --kills 12 --seed 1

Two real web processes, a real Valkey with its append-only file, and an endpoint that answers 500, loses answers, hangs
and dies. Reminders are brought to their ends by the ledger's own scripts, meanwhile.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from reminder_worker import keys
from reminder_worker.errors import Refused
from reminder_worker.eventqueue import EventQueue
from reminder_worker.gateway import GatewayKeys, Mode, Ticket
from reminder_worker.ledger import Answer, Claim, Entry, Outcome
from reminder_worker.sealing import make_id
from reminder_worker.signatures import Secret, verify

from .installation import Installation, free_port

PATIENCE = 400.0  # seconds
NAME = "Praxis-"  # what all references begin with
PROGRAM = """
import sys
from datetime import timedelta
from pathlib import Path
from reminder_worker import endpoint, eventqueue, settings, web
if {quick}:  # what a dead process held, and what was refused, comes again while a test waits
    eventqueue.LEASE, endpoint.LONGEST, endpoint.DEADLINE = timedelta(seconds=8), timedelta(seconds=5), 2.0
    endpoint.LONGEST_PAUSE = 2.0
web.run(settings.read(Path(sys.argv[1])), "127.0.0.1", int(sys.argv[2]))
"""
Fact = tuple[str, str]  # a reference, and what became of its reminder


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    facts: int
    kills: int
    requests: int
    lost: int
    invented: int
    doubled: int  # told once more, each after an answer that did not come through
    answers_lost: int
    named_twice: int  # two names for one fact
    forged: int
    pending: int
    dropped: int
    leaks: int
    seconds: float

    @property
    def whole(self) -> bool:
        """Nothing is lost, invented or left, and what is doubled tells so."""
        wrong = self.lost, self.invented, self.named_twice, self.forged, self.pending, self.dropped, self.leaks
        return not any(wrong)


class Endpoint:
    """A platform's receiver: what it does with a request is drawn by lot; it can die and come back."""

    def __init__(self, secret: Secret, seed: int) -> None:
        self.told: Counter[Fact] = Counter()
        self.names: dict[Fact, set[str]] = {}
        self.requests = self.forged = self.answers_lost = 0
        self._secret, self._dice, self._lock = secret, random.Random(seed), threading.Lock()
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/events"
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        handler = type("Handler", (_Handler,), {"endpoint": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def die(self) -> None:
        """Listen no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, headers: dict[str, str], body: bytes) -> str:
        """Choose what happens to a request, and remember what it tells where it is accepted."""
        with self._lock:
            self.requests += 1
            fate = self._dice.choices(FATES, WEIGHTS)[0] if self._server else "cut"
            if fate in {"yes", "lost"}:
                try:
                    verify(self._secret, headers, body, time.time())
                except Refused:
                    self.forged += 1
                message = json.loads(body)
                fact = message["data"]["reference"], message["type"]
                self.told[fact] += 1
                self.names.setdefault(fact, set()).add(headers["webhook-id"])
                self.answers_lost += fate == "lost"
            return fate


FATES = ["yes", "500", "503", "lost", "cut", "hang"]
WEIGHTS = [870, 40, 20, 40, 25, 5]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Those who send are killed in the middle of it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def do_POST(self) -> None:
        """Answer, or not."""
        length = int(self.headers["content-length"])
        body = self.rfile.read(length)
        if len(body) < length:  # who sent it was killed
            self.close_connection = True
            return
        fate = self.endpoint.take({name.lower(): value for name, value in self.headers.items()}, body)
        if fate == "hang":
            time.sleep(3)
        if fate in {"lost", "cut", "hang"}:
            self.close_connection = True
            return
        self.send_response({"yes": 204}.get(fate) or int(fate))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Webs:
    """The processes that tell; each in a group of its own."""

    def __init__(self, installation: Installation, *, quick: bool) -> None:
        self._installation, self._program = installation, PROGRAM.format(quick=quick)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = {"first": free_port(), "second": free_port()}

    def start(self, name: str) -> None:
        """Start one."""
        words = [sys.executable, "-c", self._program, str(self._installation.config), str(self._ports[name])]
        with (self._installation.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)

    def kill(self, name: str) -> None:
        """Kill one without warning."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End them."""
        for name in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)


def run(*, events: int, kills: int, seed: int, window: float, quick: bool = False) -> Result:
    """Run it once; ``window`` is how many seconds the reminders take to end."""
    with tempfile.TemporaryDirectory() as name, Installation(Path(name)) as installation:
        secret_file = keys.new_events("clinic", installation.folder / "keys")
        endpoint = Endpoint(Secret.load(secret_file), seed)
        with installation.config.open("a") as config:
            config.write(
                f'events_url = "{endpoint.url}"\nevents_secret_file = "{secret_file}"\nevents_private = true\n'
            )
        webs, began = Webs(installation, quick=quick), time.monotonic()
        facts: set[Fact] = set()
        ending = threading.Thread(target=end_all, args=(installation, events, window, facts))
        try:
            endpoint.start()
            for which in ("first", "second"):
                webs.start(which)
            ending.start()
            for which, pause in choose(kills, seed, window):
                time.sleep(pause)
                if which == "endpoint":
                    endpoint.die()
                    time.sleep(2)
                    endpoint.start()
                else:
                    webs.kill(which)
                    webs.start(which)
            ending.join()
            pending = wait(EventQueue(installation.schedule))
        finally:
            webs.stop()
            endpoint.die()
        written = b"".join(path.read_bytes() for path in installation.folder.glob("*.log"))
        dropped = EventQueue(installation.schedule).count()[1]
        told = set(endpoint.told)
        return Result(
            facts=len(facts),
            kills=kills,
            requests=endpoint.requests,
            lost=len(facts - told),
            invented=len(told - facts),
            doubled=endpoint.told.total() - len(told),
            answers_lost=endpoint.answers_lost,
            named_twice=sum(len(names) > 1 for names in endpoint.names.values()),
            forged=endpoint.forged,
            pending=pending,
            dropped=dropped,
            leaks=written.count(NAME.encode()),
            seconds=round(time.monotonic() - began, 1),
        )


def end_all(installation: Installation, events: int, window: float, facts: set[Fact]) -> None:
    """Hand in appointments and end their reminders, spread over the window; a third of them is reported on, too."""
    schedule, gateway = installation.schedule, GatewayKeys.load(installation.folder / "keys")
    count, part = events * 3 // 4, 25
    for start in range(0, count, part):
        references = [f"{NAME}{number}" for number in range(start, min(start + part, count))]
        names = {make_id(gateway.platform("clinic", Mode.LIVE), one): one for one in references}
        now = datetime.now(UTC)
        entries = [
            Entry(id_, b"twelve bytes", b"sealed", (now,), gateway.ticket(id_, Ticket("clinic", Mode.LIVE, one)))
            for id_, one in names.items()
        ]
        assert set(schedule.add(entries)) == {Answer.ADDED}
        left = set(names)
        while left:
            for wake in schedule.take(0, capacity=1000).wakes:
                claim = schedule.claim(wake)
                assert isinstance(claim, Claim)
                reference = f"ref-{claim.token.hex()}"
                schedule.intend(claim, "outbox", reference, lease=timedelta(minutes=1))
                schedule.settle(wake, Outcome.sent("SM1"), token=claim.token, reference=reference)
                facts.add((names[wake.id], "reminder.sent"))
                if wake.id[1] % 3 == 0:
                    words = wake.member, reference, "outbox", "delivered", "", "", "SM1", -1, schedule.keep_ms
                    schedule.run("receipt", 0, *words)
                    facts.add((names[wake.id], "reminder.delivered"))
                left.discard(wake.id)
        time.sleep(window * part / count)


def choose(kills: int, seed: int, window: float) -> Iterator[tuple[str, float]]:
    """Choose whom to kill and when: mostly those that tell, every third time the one that is told."""
    dice = random.Random(seed)
    order = ["first", "second", "endpoint"]
    for number in range(kills):
        yield order[number % 3], dice.uniform(0.5, 1.5) * window / kills


def wait(queue: EventQueue) -> int:
    """Wait until everything was told; return how much was not."""
    deadline = time.monotonic() + PATIENCE
    while (waiting := queue.count()[0]) and time.monotonic() < deadline:
        time.sleep(0.2)
    return waiting


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window", type=float, default=60.0)
    chosen = parser.parse_args()
    result = run(events=chosen.events, kills=chosen.kills, seed=chosen.seed, window=chosen.window)
    print(f"seed {chosen.seed}: {result}")
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
