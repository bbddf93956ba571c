"""An SMSC that nobody here wrote, npm's ``smpp`` in ``node/smsc.js``, seen from Python: it can be told how to fail.

``Smsc`` has what the contract of providers asks of a peer (``requests``, ``accepted``, ``respond``).
"""

import itertools
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reminder_worker.testing.peer import Response

NODE = Path(__file__).parent / "node"
MODULES = Path(os.environ.get("TEST_NODE_MODULES", NODE / "node_modules"))
PASSWORD = "hush-hsh"  # as long as the protocol lets it be


@dataclass(frozen=True)
class Submitted:
    """One submit_sm, as another implementation reads it."""

    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def words(self) -> str:
        return f"{self.message} {self.fields}"

    @property
    def body(self) -> str:
        return str({name: value for name, value in self.fields.items() if name not in {"sequence_number", "id"}})


class Node:
    """The process; one for all tests."""

    def __init__(self, node: str) -> None:
        self._process = subprocess.Popen(
            [node, NODE / "smsc.js", MODULES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._written = threading.Lock()
        self.seen = threading.Condition()
        self.by_name: dict[str, Smsc] = {}
        self._names = itertools.count()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def order(self, **what: Any) -> None:
        assert self._process.stdin is not None
        with self._written:
            self._process.stdin.write(f"{json.dumps(what)}\n")
            self._process.stdin.flush()

    @contextmanager
    def smsc(self, **options: Any) -> Iterator["Smsc"]:
        smsc = Smsc(self, f"smsc-{next(self._names)}", options)
        yield smsc
        smsc.close()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._reader.join(10)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            with self.seen:
                self.by_name[event.pop("smsc")].saw(event)
                self.seen.notify_all()


class Smsc:
    """One server in the process, on a port of its own."""

    def __init__(self, node: Node, name: str, options: dict[str, Any]) -> None:
        self._node, self._name = node, name
        self.events: list[dict[str, Any]] = []
        self._requests: list[Submitted] = []
        self._accepted: list[Submitted] = []
        node.by_name[name] = self
        self.open(**options)

    def open(self, **options: Any) -> None:
        """Listen; after ``close`` again, on the same port."""
        before = self._count("listening")
        self.tell("open", **options)
        self.wait("listening", before + 1)
        self.port = next(event for event in reversed(self.events) if event["event"] == "listening")["port"]
        self.url = f"smpp://127.0.0.1:{self.port}"

    def close(self) -> None:
        before = self._count("closed")
        self.tell("close")
        self.wait("closed", before + 1)

    def saw(self, event: dict[str, Any]) -> None:
        """Keep an event (in the reader's thread)."""
        if event["event"] == "submit":
            submitted = Submitted({name: value for name, value in event.items() if name != "event"})
            self._requests.append(submitted)
            if submitted.accepted:
                self._accepted.append(submitted)
            event = {"event": "submit"}
        self.events.append(event)

    def tell(self, do: str, **what: Any) -> None:
        self._node.order(do=do, smsc=self._name, **what)

    def set(self, **values: Any) -> None:
        self.tell("set", values=values)
        self.sync()

    def count(self, event: str) -> int:
        """Say how often an event has happened so far."""
        self.sync()
        return self._count(event)

    def _count(self, event: str) -> int:
        with self._node.seen:
            return sum(seen["event"] == event for seen in self.events)

    def wait(self, event: str, count: int = 1, seconds: float = 60) -> dict[str, Any]:
        """Wait until an event was seen so many times, and return the last."""
        end = time.monotonic() + seconds
        with self._node.seen:
            while sum(seen["event"] == event for seen in self.events) < count:
                assert self._node.seen.wait(end - time.monotonic()), f"no {event}: {self.events}"
            return next(seen for seen in reversed(self.events) if seen["event"] == event)

    def sync(self) -> None:
        """Wait until all that has happened so far has been seen."""
        before = self._count("synced")
        self.tell("sync")
        self.wait("synced", before + 1)

    # What the contract asks

    @property
    def requests(self) -> list[Submitted]:
        self.sync()
        return self._requests

    @property
    def accepted(self) -> list[Submitted]:
        self.sync()
        return self._accepted

    def respond(self, response: Response) -> None:
        """Refuse the next text with a command_status."""
        self.plan("refuse", status=response.status)

    def plan(self, what: str, **details: Any) -> None:
        """Say what happens to the next text that is not planned for; it stands when this returns."""
        self.tell("plan", what=what, **details)
        self.sync()

    # What it brings

    def deliver(self, tag: str, **what: Any) -> None:
        self.tell("deliver", tag=tag, **what)

    def answer(self, tag: str, seconds: float = 60) -> int:
        """Return the status with which a delivery was answered."""
        end = time.monotonic() + seconds
        with self._node.seen:
            while not (found := [seen for seen in self.events if seen.get("tag") == tag]):
                assert self._node.seen.wait(end - time.monotonic()), f"{tag} was not answered"
        assert found[-1]["command"] == "deliver_sm_resp"
        return int(found[-1]["status"])


def start() -> Node:
    """Start the process, or skip."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (MODULES / "smpp").exists():
        pytest.skip("npm's smpp is not installed: npm install in tests/node")
    return Node(node)
