"""Replace every process by another version of itself while reminders are handed in and fall due, then go back again.

    python -m tests.faults.upgrade --reminders 2000 --seed 1
    python -m tests.faults.upgrade --old 1430101

The old version is a revision of this repository, unpacked beside it and run with the same libraries on the same
Valkey. One process after another is replaced, in an order drawn by lot, each told to end as an upgrade tells it; in
between old and new run side by side. Then everything is rolled back the same way. Count what was lost or doubled.
"""

import argparse
import contextlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reminder_worker import apikeys, keys, status, store
from reminder_worker.apikeys import Scope
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.gateway import Mode
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys, pointer_to_text, seal_pointer
from reminder_worker.testing.peer import Peer, Request

from .installation import Caller, Crew, Refusals, free_port
from .providers import PLACE, Carrier, Office, Twilio, answer

ROOT = Path(__file__).parents[2]
OLD = "1430101"  # before outcomes were counted by ten minutes, too
SETTINGS = """\
profile = "production"
store_url = "{store}"
keys = "{folder}/keys"
hooks_url = "https://hooks.example"
[platforms.clinic]
verify_key = "{folder}/keys/gateway.pub"
countries = ["FR"]
daily_cap = 1000000
api_rate = 1000
[providers.twilio]
account_sid = "AC00000000000000000000000000000000"
auth_token_file = "{folder}/token"
from = "+15005550006"
base_url = "{twilio}"
"""
PROCESSES = "scheduler", "worker", "worker", "web", "hooks"
PARTS = 2 * (len(PROCESSES) + 1)  # one is handed in before each is replaced, and one whenever all are
CLIENTS = 4
STARTS_IN, ENDS_IN, ALONE, PATIENCE = 60.0, 90.0, 30.0, 180.0  # seconds


@dataclass
class Result:
    """What a run came to."""

    old: str
    reminders: int
    seed: int
    replaced: int = 0
    alone: dict[str, int] = field(default_factory=dict)  # texts while all processes were of one version
    texts: int = 0
    twice: int = 0
    lost: int = 0
    amiss: int = 0  # refused by web for another reason than that it was just ending
    unheard: int = 0  # receipts that were answered with another status than 200
    told_apart: int = 0  # how many counts the two versions' status differ in
    codes: Counter[int] = field(default_factory=Counter)  # of processes that were told to end
    errors: Counter[str] = field(default_factory=Counter)  # events that were logged as an error
    states: dict[str, int] = field(default_factory=dict)
    again: int = 0  # calls that a platform had to repeat
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Everybody once, everything delivered and reported, and every process ended well."""
        wrong = self.twice, self.lost, self.amiss, self.unheard, self.told_apart, self.errors.total()
        ended = self.states == {"delivered": self.reminders} and self.codes.keys() == {0}
        return not any(wrong) and ended and self.replaced == 2 * len(PROCESSES) and all(self.alone.values())


class Calm(Carrier):
    """A provider that accepts everything and reports on it within a second."""

    def draw(self, phone: str, provider: str, request: Request) -> str:
        """Accept."""
        with self.lock:
            self.phones[phone] += 1
            when = time.monotonic() + self.dice.random() * self.late
            self.pending += [(when, "sent", provider, request), (when + 0.2, "delivered", provider, request)]
        return "accepted"


@dataclass
class Running:
    """A process, and the name under which the ledger knows it."""

    kind: str
    version: str
    process: "subprocess.Popen[bytes]"
    port: int


class Site(Office):
    """An installation of two versions, whose platform uses the HTTP API."""

    def __init__(self, folder: Path, server: EmbeddedServer, old: Path, result: Result) -> None:
        self.folder, self.server, self.result = folder, server, result
        self.trees = {"old": old, "new": ROOT}
        self.carrier = Calm(random.Random(result.seed), late=1.0)
        self.peers = {"twilio": (Peer(), Twilio())}
        answer("twilio", *self._provider())
        self.schedule = Schedule(store.connect(server.url()))
        self.phones = [f"+33612{number:06d}" for number in range(result.reminders)]
        self.key = self._make_keys()
        self.web = 0  # port
        self.dice, self.work = random.Random(result.seed), queue.Queue[tuple[str, float, float] | None]()
        self.running_: list[Running] = []

    def _provider(self) -> Any:
        peer, kind = self.peers["twilio"]
        return peer, self.carrier, kind

    def _make_keys(self) -> str:
        now, made = datetime.now(UTC), self.folder / "keys"
        keys.new_worker(made, now)
        keys.new_gateway(made)
        (self.folder / "token").write_text("a-token-for-tests")
        (self.folder / "token").chmod(0o600)
        text = SETTINGS.format(store=self.server.url(), folder=self.folder, twilio=self.peers["twilio"][0].url)
        (self.folder / "reminder-worker.toml").write_text(text)
        self.public = PublicKeys.load(made / "worker.pub.json")
        options = {"mode": Mode.LIVE, "scopes": tuple(Scope), "lasts": timedelta(days=1), "now": now}
        return apikeys.new("clinic", made, **options).read_text().strip()

    # Processes.

    def run_words(self, version: str, *words: str) -> tuple[list[str], dict[str, str]]:
        """Return a command of a version, and its variables."""
        variables = os.environ | {"PYTHONPATH": str(self.trees[version])}
        return [sys.executable, "-m", "reminder_worker.cli", *words], variables

    def start(self, kind: str, version: str) -> Running:
        """Start a process, and wait until its heart beats."""
        port = free_port() if kind in {"web", "hooks"} else 0
        words, variables = self.run_words(version, kind, *(["--port", str(port)] if port else []))
        known = self.beating(kind)
        with (self.folder / f"{version}.log").open("ab") as log:
            process = subprocess.Popen(
                words, env=variables, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        one = Running(kind, version, process, port)
        self.running_.append(one)
        deadline = time.monotonic() + STARTS_IN
        while not self.beating(kind) - known:
            assert process.poll() is None, f"the {version} {kind} did not start"
            assert time.monotonic() < deadline, f"the {version} {kind} does not beat"
            time.sleep(0.05)
        return one

    def beating(self, kind: str) -> set[str]:
        """Return the names of those that live."""
        return {name for name in status.read(self.schedule).processes if name.startswith(f"{kind}/")}

    def lead_to(self, one: Running) -> None:
        """Do as a proxy does: lead those who call to a process that answers."""
        if one.kind == "web":
            self.web = one.port
        if one.kind == "hooks":
            self.carrier.hooks = one.port

    def end(self, one: Running) -> None:
        """Tell a process to end, and wait for it."""
        one.process.send_signal(signal.SIGTERM)
        self.result.codes[one.process.wait(ENDS_IN)] += 1
        self.running_.remove(one)

    def replace(self, one: Running, version: str, *, first: bool) -> None:
        """Put another version in a process's place: ``first`` the new one starts, then the old one ends."""
        if not first:
            self.end(one)
        other = self.start(one.kind, version)
        self.lead_to(other)
        if first:
            self.end(one)
        self.result.replaced += 1

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Run all of the old version, and whoever reports on texts."""
        done = threading.Event()
        reporter = threading.Thread(target=self.report, args=(done,))
        try:
            for kind in PROCESSES:
                self.lead_to(self.start(kind, "old"))
            reporter.start()
            yield
        finally:
            done.set()
            if reporter.ident is not None:
                reporter.join()
            for one in self.running_:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait()
            for peer, _ in self.peers.values():
                peer.close()

    def status_of(self, version: str) -> dict[str, Any]:
        """Ask a version how things stand."""
        words, variables = self.run_words(version, "status", "--json")
        done = subprocess.run(words, env=variables, cwd=self.folder, capture_output=True, check=True, timeout=60)
        return dict(json.loads(done.stdout))

    # The platform.

    def hire(self) -> Crew:
        """Have platforms that hand in what they are offered."""
        crew = Crew()
        for _ in range(CLIENTS):
            crew.hire(self._hand_in)
        return crew

    def offer(self, phones: list[str], seconds: float) -> None:
        """Have these handed in over some seconds, each to fall due soon or some time later."""
        now = time.monotonic()
        for number, phone in enumerate(phones):
            at = now + seconds * number / len(phones)
            self.work.put((phone, at, self.dice.choice([3.0, 5.0, self.dice.uniform(5, 5 + 4 * seconds)])))

    def work_alone(self, phones: list[str], seconds: float) -> int:
        """Have these handed in while all processes are of one version; return how many are texted meanwhile."""
        before, deadline = self.carrier.phones.total(), time.monotonic() + seconds + ALONE
        self.offer(phones, seconds)
        while (texted := self.carrier.phones.total() - before) < len(phones) // 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        return texted

    def _hand_in(self) -> None:
        while (offered := self.work.get()) is not None:
            phone, at, ahead = offered
            time.sleep(max(0.0, at - time.monotonic()))
            when = datetime.now(UTC) + timedelta(hours=30, seconds=ahead)
            pointer = pointer_to_text(seal_pointer(self.public, "clinic", f"tel:{phone}", "fr"))
            fields = {"time": when.isoformat(timespec="seconds"), "location": PLACE, "pointer": pointer}
            self._until_answered(f"A-{phone[1:]}", fields | {"leads": ["30h"]})

    def _until_answered(self, reference: str, fields: dict[str, Any]) -> None:
        """Call as a platform does: again, where no answer came."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            caller = Caller(self.web, self.key)
            try:
                said = caller.put(reference, fields)
            except Refusals:
                self.result.again += 1
                time.sleep(0.05)
                continue
            finally:
                caller.close()
            if said.status == 503:  # as it says
                self.result.again += 1
                time.sleep(0.2)
                continue
            self.result.amiss += said.status not in {200, 201}
            return
        self.result.amiss += 1

    def wait_for_all(self) -> None:
        """Wait until everything has ended and all receipts are in."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            ended = status.read(self.schedule).ended
            if ended.get("delivered", 0) == len(self.phones) and not self.carrier.pending:
                return
            time.sleep(0.2)

    def judge(self) -> None:
        """Count what became of everything."""
        result, texts = self.result, self.carrier.phones
        result.texts, result.unheard = texts.total(), self.carrier.unheard.total()
        result.twice = sum(count > 1 for count in texts.values())
        result.lost = len(set(self.phones) - set(texts))
        result.states = status.read(self.schedule).ended
        old, new = (self.status_of(version) for version in ("old", "new"))
        pending = "scheduled", "queued", "sending", "dead_letters", "unknown", "ended", "by_provider"
        result.told_apart = sum(old[name] != new[name] for name in pending)
        for version in self.trees:
            for line in (self.folder / f"{version}.log").read_text().splitlines():
                said = json.loads(line) if line.startswith("{") else {"level": "error", "event": "no log line"}
                result.errors[said["event"]] += said["level"] in {"error", "critical"}
        result.errors = +result.errors


def unpack(revision: str, folder: Path) -> Path:
    """Unpack a revision of this repository. Raises CalledProcessError where it is not there."""
    command = ["git", "-C", str(ROOT), "archive", revision, "reminder_worker", "templates", "examples"]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    asked = [sys.executable, "-c", "import reminder_worker; print(reminder_worker.__file__)"]
    variables = os.environ | {"PYTHONPATH": str(folder)}
    told = subprocess.run(asked, env=variables, cwd=folder.parent, capture_output=True, text=True, check=True).stdout
    assert Path(told.strip()).is_relative_to(folder), "the old version would not be run"
    return folder


def run(*, reminders: int, seed: int, window: float, old: str = OLD) -> Result:
    """Run it once; ``window`` is for how many seconds is handed in, at the least."""
    result, dice, began = Result(old, reminders, seed), random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name) / "valkey") as server:
        folder = Path(name)
        site = Site(folder, server, unpack(old, folder / "old"), result)
        with site.open():
            crew, parts = site.hire(), [site.phones[start::PARTS] for start in range(PARTS)]
            pause = window / PARTS
            for version in ("new", "old"):
                for one in dice.sample(site.running_, len(site.running_)):
                    site.offer(parts.pop(), pause)
                    time.sleep(dice.uniform(0.2, 0.8) * pause)
                    site.replace(one, version, first=one.kind != "worker" or dice.random() < 0.5)
                result.alone[version] = site.work_alone(parts.pop(), pause)
            for _ in range(CLIENTS):
                site.work.put(None)
            crew.join()
            site.wait_for_all()
            site.judge()
            for one in [*site.running_]:
                site.end(one)
    result.seconds = round(time.monotonic() - began, 1)
    return result


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reminders", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window", type=float, default=90.0)
    parser.add_argument("--old", default=OLD, help="a revision of this repository")
    chosen = parser.parse_args()
    result = run(reminders=chosen.reminders, seed=chosen.seed, window=chosen.window, old=chosen.old)
    print(result)
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
