"""What makes a process hurt itself: loaded as its ``sitecustomize``, told by ``$STORM`` what to do, and when.

At the n-th call of a function the whole group of processes is killed, or at each n-th call stopped, by itself: no
signal from outside meets that moment. It also shifts the clock, and shortens leases for runs that cannot wait so long.
"""

import importlib.machinery
import itertools
import json
import os
import signal
import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

TOLD: dict[str, Any] = json.loads(os.environ.get("STORM", "{}"))
SPANS = {  # what waits for somebody who died
    "reminder_worker.schedule": ["WAKE_LEASE", "CLAIM_LEASE"],
    "reminder_worker.delivery": ["LEASE"],
    "reminder_worker.postponing": ["FIRST_DELAY"],
}
FEW = {"reminder_worker.postponing": {"KEY_TRIES": 2}}  # else two hours, for what no worker has a key for
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def strike() -> None:
    """Do it to all processes of the group, this one included."""
    os.killpg(0, SIGNALS[TOLD["act"]])


def struck(call: Any, when: str, nth: int, times: int = 1, about: str = "") -> Any:
    """Return a function that does it at each n-th call; ``about``: only calls that are about that count."""
    numbers = itertools.count(1)

    def counted(*words: Any, **named: Any) -> Any:
        about_that = about.encode() in b" ".join(_pieces(words[1:])) if about else all(words[1:2])
        number = next(numbers) if about_that else 0
        now = number > 0 and number % nth == 0 and number <= nth * times
        if now and when == "first byte":
            socket.socket.send(words[0], words[1][:1])
        if now and when != "after":
            strike()
        answer = call(*words, **named)
        if now and when == "after":
            strike()
        return answer

    return counted


def _pieces(words: Any) -> list[bytes]:
    return [piece for word in words for piece in (word if isinstance(word, list | tuple) else [word])]


def tamper(module: Any) -> None:
    """Put it into a module that has just been loaded."""
    for name in SPANS.get(module.__name__, []):
        setattr(module, name, getattr(module, name) * TOLD.get("pace", 1.0))
    for name, tries in FEW.get(module.__name__, {}).items():
        setattr(module, name, tries)
    if module.__name__ == TOLD.get("module"):
        *inside, name = TOLD["name"].split(".")
        owner = getattr(module, inside[0]) if inside else module
        setattr(owner, name, struck(getattr(owner, name), **TOLD["how"]))


class Finder:
    """Finds modules as ever, and tampers with some once they are loaded."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name not in SPANS and name != TOLD.get("module"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def execute(module: Any) -> None:
                load(module)
                tamper(module)

            spec.loader.exec_module = execute  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
if TOLD.get("clock"):
    import time_machine

    time_machine.travel(datetime.now(UTC) + timedelta(seconds=TOLD["clock"])).start()
