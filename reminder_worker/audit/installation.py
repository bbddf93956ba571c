"""A whole installation in one folder: each process has the files and settings that it may see, and no others."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self, TypeVar

from reminder_worker import apikeys, keys, lifeline
from reminder_worker.audit.counterparts import ACCOUNT, PUBLIC, SENDER_NUMBER, TOKEN, Counterparts
from reminder_worker.audit.people import NUMBERS, PRACTICE, SENDER
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import SettingsError
from reminder_worker.gateway import Mode
from reminder_worker.ops import operators
from reminder_worker.ports import free_port
from reminder_worker.settings import CONFIG_VARIABLE

PACKAGE = Path(__file__).parents[1]
PROCESSES = "web", "hooks", "scheduler", "worker", "ops"
OPERATOR = "ada", "a password of the audit"
PATIENCE = 150.0  # seconds: on a busy machine all of this takes long
ONCE_MORE = 5.0  # seconds until processes that have not looked are asked again
T = TypeVar("T")

_STORE = 'store_url = "{store}"\nmetrics_listen = "127.0.0.1:{metrics}"\n'
_TALKATIVE = 'log_level = "debug"\naccess_log = true\n'
_FOR_PEOPLE = 'log_format = "console"\n'
_PLATFORM = """\
[platforms.{practice}]
verify_key = "keys/gateway.pub"
countries = ["FR"]
sender = "{sender}"
"""
_PROVIDER = """\
[providers.twilio]
account_sid = "{account}"
auth_token_file = "twilio.token"
from = "{number}"
base_url = "{outside}"
"""
_EVENTS = """\
events_url = "{outside}/events"
events_secret_file = "events.whsec"
events_private = true
"""
_RESOLVER = """\
resolver_url = "{outside}/contacts"
resolver_secret_file = "resolver.whsec"
resolver_private = true
"""
_OPS = """\
[ops]
operators = "operators.json"
[providers.twilio]
rate = 10
"""
_HOOKS = 'hooks_url = "{public}"\n'
SETTINGS = {  # what each process is told
    "web": _STORE + _TALKATIVE + _PLATFORM + _EVENTS,
    "hooks": _STORE + _TALKATIVE + _FOR_PEOPLE + _HOOKS + _PROVIDER,
    "scheduler": _STORE,
    "ops": _STORE + _OPS,
    "desk": _STORE + _PLATFORM,  # a platform with its own keys, whose operator types commands
    "worker": _STORE + _TALKATIVE + _HOOKS + 'allow_numbers = ["{numbers}"]\n' + _PLATFORM + _RESOLVER + _PROVIDER,
}


class Installation:
    """Keys, settings, a store and processes; ``ear`` is the folder in which the processes record what they do."""

    def __init__(self, folder: Path, outside: Counterparts) -> None:
        self.folder = folder
        self.ear, self.logs, self.temporary = folder / "ear", folder / "logs", folder / "tmp"
        noting = "--slowlog-log-slower-than", "0", "--slowlog-max-len", "10000"
        self.server = EmbeddedServer(folder / "valkey", "--rdbcompression", "no", *noting)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("web", "hooks", "ops")}
        self.metrics = free_port(len(PROCESSES))
        self._outside = outside.url

    def __enter__(self) -> Self:
        self._mask = os.umask(0o022)  # the usual mask: private files have to be made private
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self) -> None:
        for path in (self.ear, self.logs, self.temporary, *(self.folder / name for name in SETTINGS)):
            path.mkdir(mode=0o700)
        shutil.copy(Path(__file__).parent / "ear.py", self.ear / "sitecustomize.py")
        self.server.start()
        self._make_keys()
        words = {"store": self.server.url(), "outside": self._outside, "account": ACCOUNT, "public": PUBLIC}
        words |= {
            "practice": PRACTICE,
            "sender": SENDER,
            "numbers": NUMBERS,
            "number": SENDER_NUMBER,
            "metrics": str(self.metrics),
        }
        for name, text in SETTINGS.items():
            (self.folder / name / "reminder-worker.toml").write_text(text.format(**words))

    def __exit__(self, *_: object) -> None:
        for name in list(self.running):
            self.stop(name, signal.SIGKILL)
        self.server.kill()
        os.umask(self._mask)

    @property
    def keys(self) -> Path:
        """The folder of the worker's keys."""
        return self.folder / "worker" / "keys"

    def _make_keys(self) -> None:
        now = datetime.now(UTC)
        keys.new_worker(self.keys, now)
        gateway = self.folder / "web" / "keys"
        keys.new_gateway(gateway)
        lasts = timedelta(days=1)
        made = apikeys.new(PRACTICE, gateway, mode=Mode.LIVE, scopes=set(apikeys.Scope), lasts=lasts, now=now)
        self.api_key = made.read_text().strip()
        made.unlink()
        shutil.copy(gateway / "gateway.pub", self.keys)
        keys.new_platform(PRACTICE, self.folder / "desk" / "keys")
        self.publish()
        for process, name in (("web", "events"), ("worker", "resolver")):
            keys.new_events(PRACTICE, self.folder).rename(self.folder / process / f"{name}.whsec")
        operators.enter(self.folder / "ops" / operators.FILE, *OPERATOR, now)
        for process in ("hooks", "worker"):
            token = self.folder / process / "twilio.token"
            token.write_text(TOKEN)
            token.chmod(0o600)

    def publish(self) -> None:
        """Hand the worker's public keys to the processes that seal to them."""
        for process in ("web", "hooks", "desk"):
            (self.folder / process / "keys").mkdir(exist_ok=True)
            shutil.copy(self.keys / "worker.pub.json", self.folder / process / "keys")

    def environment(self, name: str) -> dict[str, str]:
        """Return a process's environment; of our variables, only where its settings are."""
        own = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}}
        paths = os.pathsep.join(map(str, (self.ear, PACKAGE.parent)))
        own |= {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(self.temporary)}
        return own | {"AUDIT_EAR": str(self.ear), CONFIG_VARIABLE: str(self.folder / name / "reminder-worker.toml")}

    def start(self, *names: str) -> None:
        """Start processes as an operator would."""
        for name in names:
            words = [name, "--port", str(self.ports[name])] if name in self.ports else [name]
            with (self.logs / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", "reminder_worker.cli", *words],
                    cwd=self.folder / name,
                    env=self.environment(name),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509
                )

    def command(self, name: str, *words: str) -> bytes:
        """Run a command line in a process's folder, and return all that it prints."""
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "reminder_worker.cli", *words],
            cwd=self.folder / name,
            env=self.environment(name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """Stop a process with all its children; by SIGKILL without warning."""
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(30)

    def pids(self, name: str) -> list[int]:
        """Return a process and its children."""
        group = self.running[name].pid
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _group(pid) == group]  # noqa: PTH208

    def look(self, number: int, names: Sequence[str] = PROCESSES) -> None:
        """Have every process record how its objects print, and wait until all have."""
        began = time.monotonic()

        def all_did() -> bool | None:
            """Ask again those that were not listening yet; processes that have ended need not answer."""
            (self.ear / f"look{number}-{int((time.monotonic() - began) / ONCE_MORE)}").touch()
            did = {int(path.name.partition(".")[0]) for path in self.ear.glob(f"*.look{number}-*.done")}
            return did.issuperset(pid for name in names for pid in self.pids(name)) or None

        wait_for(all_did, "the processes do not answer")


def wait_for(look: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """Wait until ``look`` finds something, and return it. Raises SettingsError."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise SettingsError(f"audit: after {seconds:.0f} seconds {what}; run it again on a quieter machine")
        time.sleep(0.05)
    return found


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
