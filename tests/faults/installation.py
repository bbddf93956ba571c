"""An installation whose platforms use the HTTP API: keys, settings, a Valkey, and real processes that can be killed."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from reminder_worker import apikeys, keys, store
from reminder_worker.apikeys import Scope
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.gateway import Mode
from reminder_worker.ports import free_port
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys, pointer_to_text, seal_pointer

PLACE = "12 rue des Lilas, Lyon"
SETTINGS = """\
store_url = "{store}"
keys = "{folder}/keys"
durability = "{durability}"
phone_daily_cap = 100
[providers.outbox]
path = "{folder}/outbox.jsonl"
"""
PLATFORM = """\
[platforms.{name}]
verify_key = "{folder}/keys/gateway.pub"
daily_cap = 10000000
api_rate = 100000
"""
WORKER = ["-m", "reminder_worker.cli", "worker", "--threads", "8"]
# Everything that anybody logs, as the libraries wrote it: more than the program itself would ever show.
TALKATIVE = """
import logging, sys, traceback
from pathlib import Path
from reminder_worker import logs, settings, web

class Everything(logging.Formatter):
    def format(self, record):
        said = f"{record.name} {record.getMessage()} {record.__dict__!r}"
        return said + (''.join(traceback.format_exception(*record.exc_info)) if record.exc_info else '')

def set_up(*_):
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Everything())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.DEBUG)
    logging.captureWarnings(True)

logs.set_up = set_up
web.run(settings.read(Path(sys.argv[1])), '127.0.0.1', int(sys.argv[2]))
"""
Refusals = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        """The body, where it is JSON."""
        return json.loads(self.body) if self.body else None


class Caller:
    """A platform's client with one connection, which is made anew where it broke; raises what broke it."""

    def __init__(self, port: int, key: str, timeout: float = 30.0) -> None:
        self._port, self._timeout = port, timeout
        self.key = key
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Said:
        """Call, and return the answer."""
        given = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"} | (headers or {})
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        try:
            self._connection.request(method, path, content, given)
            answer = self._connection.getresponse()
            said = Said(answer.status, answer.headers, answer.read())
        except BaseException:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return said

    def put(self, reference: str, fields: dict[str, Any]) -> Said:
        """Hand in one appointment."""
        return self.ask("PUT", path(reference), fields)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Installation:
    """Everything in one folder; ``web`` listens on ``port``."""

    def __init__(self, folder: Path, *platforms: str, durability: str = "none", talkative: bool = False) -> None:
        self.folder, self.platforms = folder, platforms or ("clinic",)
        self.server = EmbeddedServer(folder / "valkey")
        self._durability = durability
        self._talkative = talkative
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.port = free_port()

    def __enter__(self) -> Self:
        self.server.start()
        keys.new_worker(self.folder / "keys", datetime.now(UTC))
        keys.new_gateway(self.folder / "keys")
        self.keys = {name: self._key(name) for name in self.platforms}
        self.public = PublicKeys.load(self.folder / "keys" / "worker.pub.json")
        self.schedule = Schedule(store.connect(self.server.url()))
        words = {"folder": self.folder, "store": self.server.url(), "durability": self._durability}
        text = SETTINGS + "".join(PLATFORM.format(name=name, folder="{folder}") for name in self.platforms)
        self.config.write_text(text.format(**words))
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)
        self.schedule.client.close()
        self.server.stop()

    @property
    def config(self) -> Path:
        """The settings."""
        return self.folder / "reminder-worker.toml"

    @property
    def outbox(self) -> list[dict[str, Any]]:
        """What was texted."""
        file = self.folder / "outbox.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def log(self, name: str) -> bytes:
        """Return what a process wrote."""
        return (self.folder / f"{name}.log").read_bytes()

    def start(self, *names: str) -> None:
        """Start processes; ``web`` answers when this returns."""
        for name in names:
            self._start(name)
        if "web" in names:
            self.wait_for_web()

    def _start(self, name: str) -> None:
        web = ["-m", "reminder_worker.cli", "web", "--port", str(self.port)]
        if self._talkative:
            web = ["-c", TALKATIVE, str(self.config), str(self.port)]
        words = {"web": web, "worker": WORKER, "scheduler": ["-m", "reminder_worker.cli", "scheduler"]}[name]
        environment = os.environ | {"REMINDER_CONFIG": str(self.config)}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *words], env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait_for_web(self, seconds: float = 30.0) -> None:
        """Wait until it answers."""
        deadline, caller = time.monotonic() + seconds, self.caller()
        while True:
            try:
                if caller.ask("GET", "/livez").status == 200:
                    return caller.close()
            except Refusals:
                if time.monotonic() > deadline or self._running["web"].poll() is not None:
                    raise
                time.sleep(0.05)

    def kill(self, name: str) -> None:
        """Kill a process with all its children, without warning."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart_store(self) -> None:
        """Kill the store without warning, and start it on its files."""
        self.server.kill()
        self.server.start()

    def memory(self, name: str = "web") -> float:
        """Return how much memory a process holds, in MB."""
        lines = Path(f"/proc/{self._running[name].pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def caller(self, platform: str | None = None, **options: Any) -> Caller:
        """Return a platform's client."""
        return Caller(options.pop("port", self.port), self.keys[platform or self.platforms[0]], **options)

    def pointer(self, phone: str = "+33612345678", platform: str | None = None) -> str:
        """Seal a way to reach a phone."""
        return pointer_to_text(seal_pointer(self.public, platform or self.platforms[0], f"tel:{phone}", "fr"))

    def fields(self, **changed: Any) -> dict[str, Any]:
        """Return what is to be handed in."""
        return {"time": ahead(days=3), "location": PLACE, "pointer": self.pointer()} | changed

    def _key(self, platform: str) -> str:
        lasts, now = timedelta(days=1), datetime.now(UTC)
        options = {"mode": Mode.LIVE, "scopes": tuple(Scope), "lasts": lasts, "now": now}
        return apikeys.new(platform, self.folder / "keys", **options).read_text().strip()


def path(reference: str) -> str:
    """Return where an appointment is."""
    return f"/v1/reminders/{quote(reference, safe='')}"


def ahead(**span: float) -> str:
    """Write a time this far ahead."""
    return (datetime.now(UTC) + timedelta(**span)).isoformat(timespec="seconds")


def in_store(installation: Installation) -> Iterator[bytes]:
    """Return all that the store holds, and its files."""
    client = installation.schedule.client
    for key in client.scan_iter(count=1000):
        yield key
        yield client.dump(key) or b""
    for file in (installation.folder / "valkey").rglob("*"):
        if file.is_file():
            yield file.read_bytes()


def is_under_way(schedule: Schedule) -> bool:
    """Tell whether anything waits or is being sent: in one look, for reminders go from one of these to another."""
    with schedule.client.pipeline() as pipe:
        for name in (b"due", b"turns", b"live", b"open"):
            pipe.zcard(schedule.prefix(0) + name)
        return any(pipe.execute())


def percentile(numbers: list[float], share: float) -> float:
    """Return what so large a share of the numbers does not exceed."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


class Crew:
    """Threads that do the same until they are told to stop; what one of them raised is raised."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._mistakes: list[BaseException] = []

    def hire(self, work: Any, *arguments: Any) -> None:
        """Let one more begin."""
        thread = threading.Thread(target=self._run, args=(work, *arguments), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - it is raised where the crew is waited for
            self._mistakes.append(error)

    def join(self) -> None:
        """Wait until all are done."""
        for thread in self._threads:
            thread.join()
        if self._mistakes:
            raise self._mistakes[0]


def numbered(start: int = 0) -> Iterator[str]:
    """Return phone numbers, each once."""
    return (f"+33612{number:06d}" for number in itertools.count(start))
