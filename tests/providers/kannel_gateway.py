"""A real Kannel for tests: Debian's bearerbox and smsbox with the configuration that the documentation recommends.

In place of the mobile network there is Kannel's own ``fakesmsc``: it shows what would be sent over the air, and
sends what a person would. All processes end with this one, however it ends.
"""

import queue
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import unquote_to_bytes

from reminder_worker.lifeline import end_with_parent
from reminder_worker.ports import free_port
from reminder_worker.testing.peer import Peer, Request, Response

BEARERBOX, SMSBOX, FAKESMSC = map(Path, ("/usr/sbin/bearerbox", "/usr/sbin/smsbox", "/usr/lib/kannel/test/fakesmsc"))
MISSING = [str(program) for program in (BEARERBOX, SMSBOX, FAKESMSC) if not program.exists()]
RECOMMENDED = Path(__file__).parents[2] / "docs/providers/kannel.conf"
PASSWORD, TOKEN = "a-password-for-tests", "a-token-for-tests"
NOWHERE, LISTED = "+999", "+998"  # how a number begins that no SMSC takes, and one that is on a list
PATIENCE = 10.0  # seconds


class Hooks(Peer):
    """What Kannel calls: receipts and replies, in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: queue.Queue[Request] = queue.Queue()
        self.answer = lambda *_: Response(200, b"", {"Content-Type": "text/plain"})

    def arrived(self, request: Request) -> None:
        self.heard.put(request)

    def next(self) -> Request:
        """Wait for a call."""
        return self.heard.get(timeout=PATIENCE)


class Gateway:
    """One running Kannel; ``url`` is where it takes texts. Without a network, texts wait in it."""

    def __init__(self, folder: Path, hooks: Hooks, *, network: bool = True) -> None:
        self._folder = folder
        self._has_network = network
        self._person: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._air: queue.Queue[str] = queue.Queue()
        self._admin, smsbox, self._network, self._people, sendsms = (free_port() for _ in range(5))
        self.url = f"http://127.0.0.1:{sendsms}"
        self._config = folder / "kannel.conf"
        self._config.write_text(
            documented(
                core={"admin-port": self._admin, "smsbox-port": smsbox, "log-file": folder / "bearerbox.log"},
                smsbox={"sendsms-port": sendsms, "log-file": folder / "smsbox.log", "black-list-regex": r"^\+998"},
                user={"password": PASSWORD},
                service={"post-url": f"http://kannel:{TOKEN}@{hooks.url.removeprefix('http://')}/v1/replies/kannel"},
                others=[_network("network", self._network, NOWHERE), _network("people", self._people, "+")],
            )
        )

    def __enter__(self) -> Self:
        try:
            self._start(BEARERBOX, "-v", "3", self._config)
            self._until(lambda: "Status: running" in self._status())
            if self._has_network:
                self._join_network()
            self._start(SMSBOX, "-v", "3", self._config)
            self._until(lambda: "smsbox:" in self._status() and self._takes_texts())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait(PATIENCE)
        if self._reader is not None:
            self._reader.join(PATIENCE)

    def sent(self) -> str:
        """Wait for the next text that goes out to the network, and return it as fakesmsc prints it."""
        return self._air.get(timeout=PATIENCE)

    def reply(self, sender: str, text: str) -> None:
        """Let somebody send a text to us; who did so before has hung up."""
        if self._person is not None:
            self._person.kill()
        options = ["-v", "4", "-H", "127.0.0.1", "-r", str(self._people), "-m", "1"]
        self._person = self._start(FAKESMSC, *options, f"{sender} 12345 {text}")

    def logs(self) -> str:
        """Return all that Kannel has written down, on stderr and in its files."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    def _start(self, program: Path, *arguments: object, pipe: bool = False) -> "subprocess.Popen[bytes]":
        shown = self._folder / f"{program.name}-{len(self._processes)}.stderr.log"
        with shown.open("wb") as log:
            process = subprocess.Popen(
                [program, *map(str, arguments)],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.PIPE if pipe else log,
                preexec_fn=end_with_parent,  # noqa: PLW1509
            )
        self._processes.append(process)
        return process

    def _join_network(self) -> None:
        options = ["-v", "0", "-H", "127.0.0.1", "-r", str(self._network), "-m", "0", "nothing"]
        network = self._start(FAKESMSC, *options, pipe=True)
        self._reader = threading.Thread(target=self._listen, args=[network])
        self._reader.start()
        self._until(lambda: "(online" in self._status())

    def _listen(self, network: "subprocess.Popen[bytes]") -> None:
        """Put into the queue what arrives at the network; it ends with fakesmsc."""
        assert network.stderr is not None
        with network.stderr as lines:
            for line in lines:
                if found := re.search(rb"Got message \d+: <(.*)>$", line.rstrip(b"\n")):
                    self._air.put(found[1].decode())

    def _until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert all(process.poll() is None for process in self._processes), f"Kannel did not start: {self.logs()}"
            assert time.monotonic() < deadline, f"Kannel takes too long: {self.logs()}"
            time.sleep(0.02)

    def _status(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/status.txt?password=status") as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def _takes_texts(self) -> bool:
        try:
            urllib.request.urlopen(self.url).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return True
        except OSError:
            return False
        return True


def documented(
    *,
    core: dict[str, object],
    smsbox: dict[str, object],
    user: dict[str, object],
    service: dict[str, object],
    others: list[dict[str, object]],
) -> str:
    """Return the configuration of the documentation, with what has to be different on this machine."""
    changes = {"core": core, "smsbox": smsbox, "sendsms-user": user, "sms-service": service}
    parts = [part.splitlines() for part in RECOMMENDED.read_text().strip().split("\n\n") if not part.startswith("#")]
    groups = [dict(line.split(" = ", 1) for line in lines) for lines in parts]
    kept = [{**group, **changes[group["group"]]} for group in groups if group["group"] != "smsc"]
    whole = kept[:1] + others + kept[1:]
    return "\n\n".join("\n".join(f"{name} = {value}" for name, value in group.items()) for group in whole) + "\n"


def _network(name: str, port: int, not_to: str) -> dict[str, object]:
    group = {"group": "smsc", "smsc": "fake", "smsc-id": name, "port": port, "connect-allow-ip": "127.0.0.1"}
    return {**group, "denied-prefix": f'"{not_to}"'}


def on_air(line: str) -> str:
    """Read the text of a message as fakesmsc prints it: sender, number, kind, and the text in that kind's spelling."""
    kind, content = re.fullmatch(r".+? \+\d+ (text|ucs-2) (.*)", line).groups()  # type: ignore[union-attr]
    return content if kind == "text" else _octets(content).decode("utf-16-be")


def part_on_air(line: str) -> tuple[int, bytes]:
    """Read one part of a long text: its number, which ends the header, and its octets."""
    head, content = re.fullmatch(r".+? \+\d+ udh (\S+) data (.*)", line).groups()  # type: ignore[union-attr]
    return _octets(head)[-1], _octets(content)


def _octets(content: str) -> bytes:
    return unquote_to_bytes(content.replace("+", " "))
