"""An installation as ``ops/systemd`` describes it: each process with its own files, settings, user of the store and,
where a test runs as root, with a user of its own that can read nothing else.

What a unit says is done without systemd: credentials are copied, ``%d`` and ``%S`` replaced, and the command is run.
"""

import contextlib
import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import desk
from fake_twilio import ACCOUNT, TOKEN, FakeTwilio
from guarded import Guarded
from office import SECRET, Receiver

from reminder_worker import keys
from reminder_worker.ops import operators
from reminder_worker.ports import free_port
from reminder_worker.settings import Settings, read

ROOT = Path(__file__).parents[1]
UNITS = ROOT / "ops" / "systemd"
KINDS = "web", "hooks", "scheduler", "worker", "ops"
OPERATOR = "ada", "correct horse battery"
FIRST_USER = 61_000  # nobody's on this machine
_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1

# What root does in namespaces of its own before it becomes somebody without rights: home folders are hidden, but for
# the interpreter, where that lies in one.
HIDE = """
base=$1 home=$2 aside=$3; shift 3
if [ "$home" ]; then
  mount --bind "$base" "$aside"
  mount -t tmpfs -o mode=755 none "$home"
  mkdir -p "$base"
  mount --bind "$aside" "$base"
fi
exec "$@"
"""


def unit(kind: str) -> list[tuple[str, str]]:
    """Return the lines of a unit, as name and value."""
    lines = (UNITS / f"reminder-worker-{kind}.service").read_text().splitlines()
    return [
        (name, value) for line in lines if "=" in line and line[0] not in "#;[" for name, value in [line.split("=", 1)]
    ]


def values(kind: str, name: str) -> list[str]:
    return [value for found, value in unit(kind) if found == name]


@cache
def can_separate() -> bool:
    """Tell whether processes can be given users and namespaces of their own here."""
    tools = all(map(shutil.which, ("unshare", "setpriv", "mount")))
    if sys.platform != "linux" or os.geteuid() != 0 or not tools:
        return False
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return tried.returncode == 0 and hidden_home(ROOT) is None


def hidden_home(path: Path) -> Path | None:
    """Return the first folder on the way that only its owner may enter."""
    return next((one for one in reversed(path.parents) if not one.stat().st_mode & 0o001), None)


class Estate:
    """Everything on one machine, in one folder; ``logs`` say what each process said."""

    def __init__(self, folder: Path, store: Guarded, twilio: FakeTwilio, receiver: Receiver) -> None:
        self.folder, self.store = folder, store
        self.ports = {"web": free_port(), "hooks": free_port(), "ops": free_port()}
        self.metrics = free_port(len(KINDS))  # the first of them
        self._replace = {
            "127.0.0.1:9464": f"127.0.0.1:{self.metrics}",
            "127.0.0.1:6379": f"127.0.0.1:{store.port}",
            "AC00000000000000000000000000000000": ACCOUNT,
            'from            = "+15005550006"': f'from = "+15005550006"\nbase_url = "{twilio.url}"',
            "https://booking.example/reminder-events": receiver.url,
            "events_secret_file": "events_private = true\nevents_secret_file",
        }
        self._made = folder / "made"
        keys.new_worker(self._made, datetime.now(UTC))
        keys.new_platform("practice", self._made)
        desk.keys.new_gateway(self._made)
        self.api_key = desk.new_key(self._made)
        (self._made / "clinic.whsec").write_text(SECRET)
        (self._made / "twilio").write_text(TOKEN)
        for kind in KINDS:
            self._furnish(kind)

    def _furnish(self, kind: str) -> None:
        """Give a process its credentials, its folder of keys and its settings, and nothing else."""
        home = self.folder / kind
        (home / "credentials").mkdir(parents=True)
        for line in values(kind, "LoadCredential"):
            name, _, source = line.partition(":")
            given = self.store.secrets if source.endswith(".password") else self._made
            shutil.copy(given / Path(source).name, home / "credentials" / name)
            (home / "credentials" / name).chmod(0o400)
        text = (UNITS / f"{kind}.toml").read_text()
        for folder in self._folders(text):
            Path(self._real(kind, folder)).mkdir(parents=True)
            for name in self._holdings(text):
                for file in self._made.glob(name):
                    shutil.copy(file, self._real(kind, folder))
        for old, new in self._replace.items():
            text = text.replace(old, new)
        if kind == "worker":
            text += f'\n[platforms.practice]\nverify_key = "{self._made}/practice.pub"\ncountries = ["FR"]\n'
            shutil.copy(self._made / "practice.pub", home)
            text = text.replace(f"{self._made}/practice.pub", f"{home}/practice.pub")
        if kind == "ops":
            operators.enter(home / operators.FILE, *OPERATOR, datetime.now(UTC))
        (home / f"{kind}.toml").write_text(self._real(kind, text))
        self._own(kind)

    @staticmethod
    def _folders(text: str) -> list[str]:
        return re.findall(r'^keys\s*= "(.*)"', text, re.MULTILINE)

    @staticmethod
    def _holdings(text: str) -> list[str]:
        """Return which keys lie in the folder: the settings' first line says it."""
        said = re.search(r"keys: (.*)\.$", text.split("\n", 1)[0])
        return said[1].split(", ") if said else ["worker.pub.json"]

    def _real(self, kind: str, text: str) -> str:
        """Write paths as they are here."""
        home = self.folder / kind
        for old, new in {
            f"/run/credentials/reminder-worker-{kind}.service": home / "credentials",
            "/var/lib/reminder-worker/": f"{self.folder}/",
            "/etc/reminder-worker/public": home / "public",
            "/etc/reminder-worker/": f"{home}/",
            "%d/": f"{home}/credentials/",
            "%S/reminder-worker/": f"{self.folder}/",
        }.items():
            text = text.replace(old, str(new))
        return text

    def _own(self, kind: str) -> None:
        for path in (self.folder / kind, *(self.folder / kind).rglob("*")):
            if can_separate():
                os.chown(path, self.user(kind), self.user(kind), follow_symlinks=False)
            if path.is_dir():
                path.chmod(0o700)

    @staticmethod
    def user(kind: str) -> int:
        return FIRST_USER + KINDS.index(kind)

    def command(self, kind: str, *words: str) -> list[str]:
        """Return a command as the unit's user runs it, separated where that can be."""
        if not can_separate():
            return [*words]
        base = Path(sys.base_prefix)
        aside = self.folder / "aside"
        aside.mkdir(exist_ok=True)
        home = hidden_home(base / "bin")
        user = str(self.user(kind))
        rights = "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"
        become = ["setpriv", "--reuid", user, "--regid", user, *rights]
        return ["unshare", "--mount", "sh", "-ec", HIDE, "sh", str(base), str(home or ""), str(aside), *become, *words]

    def environment(self, kind: str) -> dict[str, str]:
        said = dict(line.split("=", 1) for line in values(kind, "Environment"))
        path = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
        credentials = {"CREDENTIALS_DIRECTORY": str(self.folder / kind / "credentials")}
        return path | credentials | {name: self._real(kind, value) for name, value in said.items()}

    def run(self, kind: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run something as a unit's user, in its folder."""
        return subprocess.run(
            self.command(kind, *words), cwd=self.folder / kind, env=self.environment(kind),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self, kind: str, **changed: str | None) -> "subprocess.Popen[bytes]":
        """Start a process as its unit does, but for variables that are changed, or left out."""
        for line in values(kind, "ExecStartPre"):
            done = self.run(kind, *shlex.split(self._real(kind, line)))
            assert done.returncode == 0, done.stderr
        (line,) = values(kind, "ExecStart")
        words = shlex.split(self._real(kind, line))[1:]
        if kind in self.ports:
            words[words.index("--port") + 1] = str(self.ports[kind])
        command = self.command(kind, sys.executable, "-m", "reminder_worker.cli", *words)
        environment = {name: value for name, value in (self.environment(kind) | changed).items() if value is not None}
        with self.log(kind).open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder / kind, env=environment, stdout=log, stderr=log,
                preexec_fn=refuse_new_code,  # noqa: PLW1509
            )  # fmt: skip

    def log(self, kind: str) -> Path:
        return self.folder / f"{kind}.log"

    @contextlib.contextmanager
    def running(self, *kinds: str) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
        """Run some of the processes, and see them end as they should."""
        started = {kind: self.start(kind) for kind in kinds}
        try:
            yield started
        finally:
            for process in started.values():
                process.terminate()
            codes = {kind: process.wait(60) for kind, process in started.items()}
        assert set(codes.values()) == {0}, codes

    def beating(self) -> set[str]:
        """Say which processes live, as the store knows it."""
        names = self.store.admin.zrange("rw:{0}:processes", 0, -1)
        return {name.decode().partition("/")[0] for name in names}

    def settings(self, kind: str) -> Settings:
        return read(self.folder / kind / f"{kind}.toml")

    @property
    def made(self) -> Path:
        """Where all keys were made, on the operator's own machine."""
        return self._made


def refuse_new_code() -> None:
    """Do as MemoryDenyWriteExecute= does, where the kernel can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)


def soon() -> dict[str, object]:
    """Return time and leads of an appointment whose text falls due in a moment, at noon where it is."""
    now = datetime.now(UTC).replace(microsecond=0)
    when = now + timedelta(days=2)
    hours = 12 - now.hour
    sign = "-" if hours < 0 else "+"
    local = (when + timedelta(hours=hours)).replace(tzinfo=None)
    return {"time": f"{local.isoformat()}{sign}{abs(hours):02d}:00", "leads": [f"{2 * 86400 - 1}s"]}
