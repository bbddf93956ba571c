"""An installation whose processes are measured: keys, settings, a store that writes at once, a carrier of our own."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from reminder_worker import keys
from reminder_worker.client import Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.plan import Lead
from reminder_worker.sealing import PlatformKeys
from tests.faults.installation import Installation, free_port

from .footprint import resident

LEADS = Lead.parse("7d"), Lead.parse("1d")
SETTINGS = """\
store_url = "{store}"
keys = "{folder}/keys"
durability = "local"
hooks_url = "https://hooks.example"
allow_numbers = ["+336"]
[platforms.clinic]
verify_key = "{folder}/keys/gateway.pub"
api_rate = 100000
[platforms.bulk]
verify_key = "{folder}/keys/bulk.pub"
daily_cap = 10000000
[providers.carrier]
type = "http"
url = "http://127.0.0.1:{carrier}/messages"
id = "id"
[providers.carrier.body]
to = "{{to}}"
text = "{{text}}"
callback = "{{receipt_url}}"
[providers.carrier.receipts]
status = "status"
states = {{ delivered = "delivered" }}
"""


class Plant(Installation):
    """Keys, settings, a store that writes at once, and the processes that a measurement names."""

    def __init__(self, folder: Path, carrier: int = 1) -> None:
        super().__init__(folder)
        self.server = EmbeddedServer(folder / "valkey", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")
        self._carrier, self.hooks = carrier, free_port()

    def __enter__(self) -> Self:
        super().__enter__()
        keys.new_platform("bulk", self.folder / "keys")
        words = {"folder": self.folder, "store": self.server.url(), "carrier": self._carrier}
        self.config.write_text(SETTINGS.format(**words))
        return self

    def _start(self, name: str) -> None:
        kind, _, threads = name.partition("-")
        options = {"web": ["--port", str(self.port)], "hooks": ["--port", str(self.hooks)], "scheduler": []}
        words = [kind, *options.get(kind, ["--threads", threads])]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "reminder_worker.cli", *words],
                env=environment(self.config),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pid(self, name: str) -> int:
        """Return the process that does the work: for a worker, the parent's child."""
        process = self._running[name].pid
        if not name.startswith("worker"):
            return process
        while b"worker_started" not in self.log(name):  # before, its child is the check
            time.sleep(0.1)
        while not (children := Path(f"/proc/{process}/task/{process}/children").read_text().split()):
            time.sleep(0.1)
        return max(map(int, children), key=resident)

    def parent(self, name: str) -> int:
        """Return the process that was started."""
        return self._running[name].pid

    def client(self) -> Client:
        """Return a platform beside the ledger."""
        own = PlatformKeys.load(self.folder / "keys" / "bulk.key")
        return Client(self.schedule, own, self.public, leads=LEADS)

    def costs(self) -> tuple[float, float, float]:
        """Return bytes in the append-only file, bytes from and to the store, and its CPU milliseconds, so far."""
        info = self.schedule.client.info()
        traffic = info["total_net_input_bytes"] + info["total_net_output_bytes"]
        return info["aof_current_size"], traffic, 1000 * (info["used_cpu_user"] + info["used_cpu_sys"])

    def since(self, before: tuple[float, float, float], count: int) -> list[float]:
        """Return what each of so many has cost since."""
        return [(now - then) / count for now, then in zip(self.costs(), before, strict=True)]


def environment(config: Path) -> dict[str, str]:
    """Return the environment of a process; as in an installed program, its modules are compiled once and kept."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"REMINDER_CONFIG": str(config)}


def spent(pid: int) -> float:
    """Return the CPU time of a process, in milliseconds."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * 1000 / os.sysconf("SC_CLK_TCK")
