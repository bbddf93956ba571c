"""All processes of the example, each in a folder with only the files that it may have, as if on its own machine."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from examples.booking import practices
from examples.booking.errands import PLATFORM
from reminder_worker import apikeys, keys, lifeline
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.encoding import to_text
from reminder_worker.gateway import Mode
from reminder_worker.ports import free_port
from reminder_worker.root import fingerprint
from reminder_worker.sealing import PublicKeys

ROOT = Path(__file__).parents[2]
REMINDERS = "web", "hooks", "scheduler", "worker"  # reminder-worker's own processes
PATIENCE = 60.0  # seconds

_STORE = 'store_url = "{store}"\nmetrics_listen = "127.0.0.1:{metrics}"\n'
_PLATFORM = '[platforms.booking]\nverify_key = "keys/gateway.pub"\n'
_EVENTS = 'events_url = "{events}/reminder-events"\nevents_secret_file = "booking.whsec"\nevents_private = true\n'
_OUTBOX = '[providers.outbox]\npath = "{outbox}"\n'
SETTINGS = {
    "web": _STORE + _PLATFORM + _EVENTS,
    "hooks": 'hooks_url = "https://hooks.example"\n' + _STORE + _OUTBOX,
    "scheduler": _STORE,
    "worker": _STORE + _PLATFORM + _OUTBOX,
}


class Installation:
    """Keys, settings, a store and processes; everything ends, and is removed, with it."""

    def __init__(self, port=0, *, keep=False):
        self.folder = Path(tempfile.mkdtemp(prefix="booking-"))
        self.keep = keep
        self.server = EmbeddedServer(self.folder / "valkey", "--rdbcompression", "no")
        ports = [port or free_port(), port + 1 if port else free_port(), free_port(), free_port()]
        self.ports = dict(zip(("site", "watch", "web", "hooks"), ports, strict=True))
        self.addresses = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self.events = self.addresses["site"]  # where the platform learns what became of its reminders
        self.metrics = free_port(len(REMINDERS))
        self.outbox = self.folder / "provider" / "outbox.jsonl"
        self.running = {}

    def __enter__(self):
        try:
            for name in ("site", "watch", "practice", "provider", *REMINDERS):
                (self.folder / name).mkdir(mode=0o700)
            self._make_keys()
            self._write_settings()
            self.server.start()
            for name in ("site", "watch", *REMINDERS):
                self._start(name)
            self._wait("web", "/readyz")
            self._wait("site", "/")
            self._wait("watch", "/")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.running.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in self.running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
        self.server.stop()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, name):
        return self.folder / name / f"{name}.log"

    def died(self):
        """Return the processes that have ended although nobody asked them to."""
        return [name for name, process in self.running.items() if process.poll() is not None]

    def _make_keys(self):
        now = datetime.now(UTC)
        worker, web, site = (self.folder / name for name in ("worker", "web", "site"))
        keys.new_worker(worker / "keys", now)
        keys.new_gateway(web / "keys")
        lasts = timedelta(days=1)
        made = apikeys.new(PLATFORM, web / "keys", mode=Mode.LIVE, scopes=set(apikeys.Scope), lasts=lasts, now=now)
        made.rename(site / "booking.apikey")
        secret = keys.new_events(PLATFORM, web)
        shutil.copy(secret, site)
        shutil.copy(web / "keys/gateway.pub", worker / "keys")
        for folder in (web / "keys", self.folder / "hooks/keys", site):
            folder.mkdir(exist_ok=True)
            shutil.copy(worker / "keys/worker.pub.json", folder)
        self.practices, self.key_file, self.passphrase = practices.make(self.folder / "practice")

    def _write_settings(self):
        words = {"store": self.server.url(), "metrics": self.metrics, "outbox": self.outbox, "events": self.events}
        for name, text in SETTINGS.items():
            (self.folder / name / "reminder-worker.toml").write_text(text.format(**words))
        pointer_key = PublicKeys.load(self.folder / "site/worker.pub.json").pointers[-1]
        self.fingerprint = fingerprint(pointer_key)
        pinned = {"platform": PLATFORM, "key": to_text(pointer_key), "fingerprint": self.fingerprint}
        site = {"port": self.ports["site"], "gateway": self.addresses["web"], "watch": self.addresses["watch"]}
        (self.folder / "site/site.json").write_text(json.dumps(site | self.practices | {"pinned": pinned}))
        watch = {"port": self.ports["watch"], "folder": str(self.folder), "store": self.server.url()}
        watch |= {"site": self.addresses["site"], "outbox": str(self.outbox)}
        (self.folder / "watch/watch.json").write_text(json.dumps(watch))

    def _start(self, name):
        command = ["-m", "reminder_worker.cli", name] if name in REMINDERS else ["-m", f"examples.booking.{name}"]
        if name in ("web", "hooks"):
            command += ["--port", str(self.ports[name])]
        folder = self.folder / name
        own = {word: os.environ[word] for word in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if word in os.environ}
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(  # noqa: S603
                [sys.executable, *command],
                cwd=folder,
                env=own | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that Ctrl-C is this process's to answer, and a whole group can be ended
                preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509
            )

    def _wait(self, name, path):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self.died():
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}{path}"):
                return
            time.sleep(0.1)
        raise SystemExit(f"error: {name} did not start; its log says:\n{self.log(name).read_text()}")
