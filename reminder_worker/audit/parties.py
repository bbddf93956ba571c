"""What each party of the matrix holds, and what passes through it, once the story has been played."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reminder_worker.audit.evidence import Piece, in_folder, keys_in, of_process, opened
from reminder_worker.audit.matrix import Party
from reminder_worker.audit.story import Story
from reminder_worker.opening import WorkerKeys
from reminder_worker.sealing import make_id

MONTH = timedelta(weeks=4)


class Holdings:
    """Collects the evidence of each party, once each."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._store = story.stored

    def of(self, party: Party) -> list[Piece]:
        """Return what a party holds and sees."""
        collectors: dict[Party, Callable[[], Iterator[Piece]]] = {
            Party.PLATFORM: self._platform,
            Party.WEB: self._web,
            Party.HOOKS: self._hooks,
            Party.SCHEDULER: self._scheduler,
            Party.STORE: self._operator,
            Party.BACKUP: self._backup,
            Party.MONTH: self._month,
            Party.LOGS: self._logs,
            Party.METRICS: self._metrics,
            Party.WORKER: self._worker,
            Party.NETWORK: self._network,
            Party.PROVIDER: self._provider,
            Party.SCREEN: self._screen,
        }
        return list(collectors[party]())

    def _platform(self) -> Iterator[Piece]:
        platform = self._story.platform
        yield Piece("what the platform hands in", b"\n".join(call.sent for call in platform.calls))
        yield Piece("what it is answered", b"\n".join(call.answered for call in platform.calls))
        yield Piece("the events that it is told", b"\n".join(one.wire for one in self._story.world.events))
        yield Piece("what its own server seals", b"\n".join(platform.own), kept=False)

    def _web(self) -> Iterator[Piece]:
        yield from self._process("web")
        calls = self._story.platform.calls
        yield Piece("requests", b"\n".join(call.sent for call in calls), kept=False)
        yield Piece("answers", b"\n".join(call.answered for call in calls), kept=False)
        keys = self._story.gateway
        known = (one.reference for one in self._story.people.values() if self._holds(make_id(keys, one.reference)))
        yield Piece("references that its key finds in the store", " ".join(known).encode())

    def _holds(self, id_: bytes) -> bool:
        return any(id_ in piece.content for piece in self._store)

    def _hooks(self) -> Iterator[Piece]:
        yield from self._process("hooks")
        yield Piece("webhooks", b"\n".join(call.sent for call in self._story.webhooks), kept=False)
        yield Piece("answers to them", b"\n".join(call.answered for call in self._story.webhooks), kept=False)

    def _scheduler(self) -> Iterator[Piece]:
        yield from self._process("scheduler")

    def _process(self, name: str) -> Iterator[Piece]:
        """Return a process's own files, the store as it can read it, its memory, and what its keys open."""
        here = self._story.here
        yield from in_folder(here.folder / name)
        yield from self._store
        yield from of_process(name, here.pids(name))
        yield from (Piece(f"memory of {name}", around, kept=False) for around in self._story.memory[name])
        yield from self._opened(keys_in(here.folder / name), f"opened with what {name} holds")

    def _opened(self, keys: set[bytes], what: str, *contents: bytes) -> Iterator[Piece]:
        held = b"\n".join(contents or [piece.content for piece in self._store])
        for public in self._story.published():
            yield from opened(held, public, keys, what)

    def _operator(self) -> Iterator[Piece]:
        yield from self._store
        yield from in_folder(self._story.here.server.folder)
        yield self._story.monitored
        yield Piece("replication stream", self._story.writes.heard)

    def _backup(self) -> Iterator[Piece]:
        for number, backup in enumerate(self._story.backups, 1):
            yield Piece(f"backup {number} of the store's files", backup)

    def _month(self) -> Iterator[Piece]:
        """Return the backups again, and what opens with all keys as they are a month later."""
        yield from self._backup()
        what = "backups, opened with the worker's keys of a month later"
        yield from self._opened(keys_a_month_later(self._story.here.keys), what, *self._story.backups)

    def _logs(self) -> Iterator[Piece]:
        here = self._story.here
        yield from in_folder(here.logs)
        yield Piece("log of the store", (here.server.folder / "valkey.log").read_bytes())
        yield from _records(b"\n".join(path.read_bytes() for path in sorted(here.ear.glob("*.records"))))
        lines = b"\n".join(path.read_bytes() for path in here.logs.glob("*.log"))
        stamps = re.findall(rb'"at": "([^"]+)"', lines)
        yield Piece("times of log lines", _seconds(datetime.fromisoformat(one.decode()).timestamp() for one in stamps))

    def _metrics(self) -> Iterator[Piece]:
        yield from (Piece("pages and status", page) for page in self._story.measured)
        yield from (Piece("memory of ops", around, kept=False) for around in self._story.memory["ops"])

    def _worker(self) -> Iterator[Piece]:
        yield from in_folder(self._story.here.folder / "worker")
        yield from self._store
        yield from self._opened(keys_in(self._story.here.keys), "opened with the worker's keys")
        yield Piece("texts while they are sent", b"\n".join(_texts(self._story)))

    def _network(self) -> Iterator[Piece]:
        yield Piece("between processes and store, without TLS", self._story.monitored.content)
        yield Piece("between store and replica, without TLS", self._story.writes.heard)
        yield Piece("times of calls to the provider", _seconds(one.at for one in self._story.world.texts))

    def _provider(self) -> Iterator[Piece]:
        for one in self._story.world.texts:
            yield Piece("requests to the provider", one.wire + "\n".join(one.form.values()).encode())
        yield Piece("what it reports itself", b"\n".join(call.sent for call in self._story.webhooks))
        yield Piece("times of texts", _seconds(one.at for one in self._story.world.texts))

    def _screen(self) -> Iterator[Piece]:
        yield from (Piece("texts", text) for text in _texts(self._story))
        yield Piece("times of texts", _seconds(one.at for one in self._story.world.texts))
        yield Piece("that it is there", b"delivered")


def keys_a_month_later(folder: Path) -> set[bytes]:
    """Return every key that the worker's folder will hold or yield in a month."""
    with tempfile.TemporaryDirectory() as name:
        later = Path(name) / "keys"
        shutil.copytree(folder, later)
        WorkerKeys.load(later).advance(datetime.now(UTC) + MONTH)
        return keys_in(later)


def _records(heard: bytes) -> Iterator[Piece]:
    """Return the records of each logger, by name; lines of a traceback belong to the record before."""
    logger, records = "", dict[str, list[bytes]]()
    for line in heard.split(b"\n"):
        if begin := re.match(rb"RECORD ([\w.]{1,60})", line):
            logger = begin[1].decode()
        records.setdefault(logger, []).append(line)
    return (Piece(f"records of {name}", b"\n".join(lines)) for name, lines in records.items())


def _texts(story: Story) -> list[bytes]:
    """Return what phones show."""
    return [one.form["Body"].encode() for one in story.world.texts if "Body" in one.form]


def _seconds(times: Iterator[float]) -> bytes:
    return " ".join(str(int(one)) for one in times).encode()
