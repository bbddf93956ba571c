"""Put a backup of the store back while reminders fall due, and count what was lost or texted twice.

    python -m tests.faults.restore --reminders 2000
    python -m tests.faults.restore --reminders 2000 --mode forgotten
    python -m tests.faults.restore --reminders 2000 --mode blind

``quarantine`` does what docs/backup.md says. ``forgotten`` puts the files back under running processes and says
nothing: workers have to notice. ``blind`` is how it would be without either: it shows that texts would go out twice.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reminder_worker import decisions, status, store
from reminder_worker.acts import Who
from reminder_worker.decisions import Decision
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.job import State
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, make_id

from .harbour import hand_in, phone
from .kills import COMMANDS, Processes, prepare

MODES = "quarantine", "forgotten", "blind"
WAYS = "rdb", "aof"
UNSEEN = 40.0  # seconds between backup and restore from which on workers have to notice: a crash forgets some, too
PATIENCE = 240.0


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    reminders: int
    before: int  # texts when the backup was made
    until: int  # texts when it was put back
    unnoticed: int  # texts that went out between the restore and the command, where it was forgotten
    held: int  # reminders that a person was asked about
    sent_already: int  # of these, how many had been sent
    lost: int  # neither texted nor held
    twice: int
    seconds: float


class Place:
    """An installation in a folder, its store, and a backup of that."""

    def __init__(self, folder: Path, way: str) -> None:
        self.folder, self._way = folder, way
        self.server = EmbeddedServer(folder / "valkey")
        self.processes = Processes(folder)

    def hand_in(self, reminders: int, window: float) -> None:
        """Make keys and settings, and hand in appointments whose reminders fall due from now on."""
        self.schedule = Schedule(store.connect(self.server.url()))
        self.client = prepare(self.folder, self.server.url(), self.schedule)
        platform = PlatformKeys.load(self.folder / "keys" / "clinic.key")
        self.phones = {f"A-{number}": phone(number) for number in range(reminders)}
        self.members = {make_id(platform, reference): number for reference, number in self.phones.items()}
        hand_in(self.client, reminders, window)

    def texts(self) -> Counter[str]:
        """Return how many texts each phone has got."""
        file = self.folder / "outbox.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return Counter(json.loads(line)["to"] for line in lines)

    def wait_for(self, texts: int) -> int:
        """Wait until so many have gone out."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.texts().total()) < texts:
            assert time.monotonic() < deadline, f"{found} of {texts} texts"
            time.sleep(0.1)
        return found

    def back_up(self) -> None:
        """Copy the store's files while it works, as docs/backup.md says."""
        client, kept = self.schedule.client, self.folder / "kept"
        if self._way == "rdb":
            before = client.lastsave()
            client.bgsave()
            while client.lastsave() == before and client.info("persistence")["rdb_bgsave_in_progress"]:
                time.sleep(0.02)
            kept.mkdir()
            shutil.copy(self.server.folder / "dump.rdb", kept)
        else:
            client.config_set("auto-aof-rewrite-percentage", 0)
            shutil.copytree(self.server.folder / "appendonlydir", kept / "appendonlydir")
            client.config_set("auto-aof-rewrite-percentage", 100)

    def put_back(self) -> None:
        """Stop the store, replace its files, and start it."""
        self.server.kill()
        shutil.rmtree(self.server.folder / "appendonlydir")
        if self._way == "rdb":  # a server that is to write an append-only file, and finds none, starts empty
            shutil.copy(self.folder / "kept" / "dump.rdb", self.server.folder)
            self.server = EmbeddedServer(self.server.folder, "--appendonly", "no").start()
            self.schedule.client.config_set("appendonly", "yes")
            while self.schedule.client.info("persistence")["aof_rewrite_in_progress"]:
                time.sleep(0.02)
        else:
            shutil.copytree(self.folder / "kept" / "appendonlydir", self.server.folder / "appendonlydir")
            self.server.start()

    def say(self, *words: str) -> Any:
        """Run a command of ours; return what it prints, as JSON."""
        environment = os.environ | {"REMINDER_CONFIG": str(self.folder / "reminder-worker.toml")}
        command = [sys.executable, "-m", "reminder_worker.cli", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def start(self) -> None:
        """Start scheduler and worker."""
        for name in COMMANDS:
            self.processes.start(name)

    def decide(self) -> tuple[int, int]:
        """Do what a person does: look at the provider for each that is held, and send what is not there."""
        sent, waits = self.texts(), decisions.waiting(self.schedule)
        known = 0
        for one in waits:
            was_sent = self.members[one.member[:16]] in sent
            known += was_sent
            decision = Decision.SENT if was_sent else Decision.RESEND
            answer = decisions.decide(self.schedule, one, decision, Who("somebody"))
            assert answer is decisions.Answer.DONE
        return len(waits), known

    def wait_for_the_end(self) -> None:
        """Wait until every reminder has ended."""
        deadline = time.monotonic() + PATIENCE
        while sum(status.read(self.schedule).ended.values()) < len(self.phones):
            assert time.monotonic() < deadline, status.read(self.schedule)
            time.sleep(0.2)


@contextlib.contextmanager
def place(way: str) -> Iterator[Place]:
    """Furnish an empty folder, and leave nothing running."""
    with tempfile.TemporaryDirectory() as name:
        found = Place(Path(name), way)
        found.server.start()
        try:
            yield found
        finally:
            found.processes.stop()
            found.server.stop()


def run(*, reminders: int, mode: str, way: str, window: float) -> Result:
    """Run it once; ``window`` is in seconds, from the first due time to the last."""
    with place(way) as here:
        here.hand_in(reminders, window)
        began = time.monotonic()
        here.start()
        here.wait_for(reminders // 6)
        here.back_up()
        before, made = here.texts().total(), time.monotonic()
        here.wait_for(before + reminders // 6)
        if mode == "forgotten":
            time.sleep(max(0.0, made + UNSEEN - time.monotonic()))
        unnoticed = _put_back(here, mode)
        until = here.texts().total() - unnoticed
        if mode == "blind":
            (here.folder / "keys" / "worker.seen").unlink()
        else:
            here.say("restore", "--quarantine", "--yes", "--json")
        here.start()
        here.wait_for_the_end()
        lost = _lost(here)
        held, known = here.decide()
        here.wait_for_the_end()
        texts = here.texts()
        twice = sum(count > 1 for count in texts.values())
        assert not set(here.phones.values()) - set(texts)
        return Result(reminders, before, until, unnoticed, held, known, lost, twice, time.monotonic() - began)


def _put_back(here: Place, mode: str) -> int:
    """Put the files back; return how many texts went out before anybody said anything."""
    if mode != "forgotten":
        here.processes.stop()
        here.put_back()
        return 0
    here.put_back()
    before = here.texts().total()
    time.sleep(12)  # two heartbeats, and many claims
    unnoticed = here.texts().total() - before
    here.processes.stop()
    return unnoticed


def _lost(here: Place) -> int:
    """Count what is neither texted nor waits for a person."""
    texts = here.texts()
    states = {reference: here.client.show(reference)[0].state for reference in here.phones}
    return sum(phone not in texts and states[name] is not State.UNKNOWN for name, phone in here.phones.items())


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reminders", type=int, default=2000)
    parser.add_argument("--mode", choices=MODES, default="quarantine")
    parser.add_argument("--way", choices=WAYS, default="rdb")
    parser.add_argument("--window", type=float, default=90.0)
    chosen = parser.parse_args()
    result = run(reminders=chosen.reminders, mode=chosen.mode, way=chosen.way, window=chosen.window)
    print(f"{chosen.mode}, {chosen.way}: {result}")
    whole = not result.lost and not result.unnoticed and not result.twice
    sys.exit(0 if whole != (chosen.mode == "blind") else 1)


if __name__ == "__main__":
    main()
