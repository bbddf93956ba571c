"""The peers that the benchmarks compare with: each in an environment of its own, run as a process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reminder_worker.embedded import EmbeddedServer

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-peers" / "bin"


@dataclass(frozen=True)
class Peer:
    """Another way to have something done at a given time: how it is added, and which workers run it."""

    name: str
    add: tuple[str, ...]
    work: tuple[str, ...]
    how: str  # its workers, in words

    @property
    def here(self) -> bool:
        """Whether it is installed; ``make bench`` installs it."""
        return Path(self.add[0]).exists() and (self.add[0] != NODE or (HERE / "node_modules").is_dir())

    def hand_in(self, server: EmbeddedServer, mode: str, count: int, *more: str) -> dict[str, float]:
        """Add reminders in a separate process; return the seconds that it took."""
        command = [*self.add, mode, str(count), *more]
        done = subprocess.run(
            command, cwd=HERE, env=environment(server), capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode:
            sys.exit(f"error: {self.name}: {done.stderr[-2000:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def environment(server: EmbeddedServer, **more: str) -> Mapping[str, str]:
    """Say where the store is."""
    socket = str(server.socket)
    named = {
        "PEER_SOCKET": socket,
        "PEER_URL": f"unix://{socket}",
        "RQ_REDIS_URL": f"unix://{socket}",
        "PYTHONPATH": str(HERE),
        **more,
    }
    return os.environ | named | {"CELERY_URL": f"redis+socket://{socket}"}


NODE = next((f"{place}/node" for place in os.environ["PATH"].split(":") if Path(place, "node").exists()), "node")
DRAMATIQ = Peer(
    "dramatiq, delay",
    (str(PYTHON / "python"), "way_of_dramatiq.py"),
    (str(PYTHON / "python"), "-m", "dramatiq", "way_of_dramatiq", "--processes", "1", "--threads", "8"),
    "1 process, 8 threads",
)
PEERS = (
    DRAMATIQ,
    Peer(
        "Celery, eta",
        (str(PYTHON / "python"), "way_of_celery.py"),
        (str(PYTHON / "celery"), "-A", "way_of_celery", "worker", "--pool", "threads", "--concurrency", "8"),
        "1 process, 8 threads",
    ),
    Peer(
        "RQ, enqueue_at",
        (str(PYTHON / "python"), "way_of_rq.py"),
        (str(PYTHON / "rq"), "worker", "--with-scheduler", "--worker-class", "rq.worker.SimpleWorker"),
        "1 process that does not fork",
    ),
    Peer("BullMQ, addBulk", (NODE, "way_of_bullmq.mjs"), (NODE, "way_of_bullmq.mjs", "work"), "concurrency 50"),
)
