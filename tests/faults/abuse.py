"""Abuse the HTTP API in every usual way, while a healthy client calls; print how it fares, and what memory it costs.

    python -m tests.faults.abuse --seconds 8

A real ``web`` process, a real Valkey and two platforms: one is healthy, the other's key is in the wrong hands.
"""

import argparse
import gzip
import json
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .installation import Crew, Installation, path, percentile

HOST = b"Host: reminders.example\r\n"
PUT = b"PUT /v1/reminders/A-1 HTTP/1.1\r\n" + HOST
POST = b"POST /v1/reminders:batch HTTP/1.1\r\n" + HOST
CALLS = 3  # of the healthy client before anything happens
MOST_GROWTH = 50.0  # MB
Line = socket.socket


@dataclass
class Trial:
    """How one way of abuse went."""

    name: str
    answers: Counter[str] = field(default_factory=Counter)  # what the abuser was told
    waits: list[float] = field(default_factory=list)  # seconds that healthy calls took
    memory: float = 0.0  # MB, at its largest
    failed: list[str] = field(default_factory=list)  # healthy calls that were not answered well
    growth: float = 0.0  # MB, at its largest

    def __str__(self) -> str:
        """Say it in one line."""
        told = ", ".join(f"{word} {count}" for word, count in sorted(self.answers.items()))
        times = f"{len(self.waits)} calls, p50 {1000 * percentile(self.waits, 0.5):.0f} ms"
        times += f", p99 {1000 * percentile(self.waits, 0.99):.0f} ms, failed {len(self.failed)}"
        return f"{self.name}: {times}; memory {self.growth:+.1f} MB; told: {told or 'nothing'}"

    @property
    def whole(self) -> bool:
        """Whoever is healthy was answered, and memory was bounded."""
        return bool(self.waits) and not self.failed and self.growth < MOST_GROWTH and not self.answers["500"]


class Abuser:
    """Somebody with another platform's key, and many connections."""

    def __init__(self, installation: Installation, trial: Trial, until: float) -> None:
        self._installation, self._trial = installation, trial
        self.until = until
        self.key = f"Authorization: Bearer {installation.keys['thief']}\r\nContent-Type: application/json\r\n".encode()

    @property
    def goes_on(self) -> bool:
        """Tell whether there is time left."""
        return time.monotonic() < self.until

    def connect(self, *, window: int | None = None) -> Line:
        """Open a connection; ``window``: take in no more than so many bytes at once."""
        line = socket.socket()
        if window is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        line.settimeout(15)
        line.connect(("127.0.0.1", self._installation.port))
        return line

    def ask(self, *parts: bytes) -> bytes:
        """Send, and note what is answered before the server hangs up."""
        with self.connect() as line:
            try:
                for part in parts:
                    line.sendall(part)
            except OSError:
                pass  # it has answered already
            return self.hear(line)

    def hear(self, line: Line) -> bytes:
        """Take in one answer, or the end of the connection."""
        said = b""
        try:
            while not _is_whole(said) and (part := line.recv(65536)):
                said += part
        except TimeoutError:
            self.note("still open after 15 s")
        except OSError:
            self.note("reset")
        self.note(said[9:12].decode() if said else "hung up")
        return said

    def note(self, word: str) -> None:
        """Count what was told."""
        self._trial.answers[word] += 1

    def rest(self, seconds: float) -> None:
        """Wait, but not longer than it goes on."""
        time.sleep(max(0.0, min(seconds, self.until - time.monotonic())))


def _is_whole(said: bytes) -> bool:
    head, found, body = said.partition(b"\r\n\r\n")
    length = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found) and (len(body) >= int(length[0]) if length else body.endswith(b"0\r\n\r\n"))


Abuse = Callable[[Abuser], None]
ABUSES: dict[str, tuple[int, Abuse]] = {}  # by name: by how many at once, and how


def abuse(how_many: int) -> Callable[[Abuse], Abuse]:
    """Register a way of abuse."""

    def register(work: Abuse) -> Abuse:
        ABUSES[work.__name__.strip("_").replace("_", " ")] = how_many, work
        return work

    return register


@abuse(500)
def _silent_connections(one: Abuser) -> None:
    while one.goes_on:
        with one.connect() as line:
            one.hear(line)


@abuse(100)
def _slow_heads(one: Abuser) -> None:
    while one.goes_on:
        _drip(one, b"", b"GET /v1/keys HTTP/1.1\r\nX-Head: " + b"a" * 4096)


@abuse(100)
def _slow_second_heads(one: Abuser) -> None:
    while one.goes_on:
        _drip(one, b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /v1/keys HTTP/1.1\r\nX-Head: " + b"a" * 4096)


@abuse(200)
def _slow_bodies(one: Abuser) -> None:
    while one.goes_on:
        _drip(one, PUT + one.key + b"Content-Length: 10000\r\n\r\n", b"{" * 10000)


@abuse(40)
def _slow_batches(one: Abuser) -> None:
    while one.goes_on:
        _drip(one, POST + one.key + b"Content-Length: 900000\r\n\r\n", b"{" * 10000)


def _drip(one: Abuser, at_once: bytes, slowly: bytes) -> None:
    """Send a byte every tenth of a second, until an answer comes or the server hangs up."""
    with one.connect() as line:
        try:
            line.sendall(at_once)
            if at_once.startswith(b"GET"):
                one.hear(line)
            line.settimeout(0.1)
            for position in range(len(slowly)):
                line.sendall(slowly[position : position + 1])
                try:
                    said = line.recv(4096)
                except TimeoutError:
                    continue
                one.note(said[9:12].decode() if said else "hung up")
                return
        except OSError:
            one.note("reset")


@abuse(50)
def _answers_that_are_not_taken(one: Abuser) -> None:
    while one.goes_on:
        with one.connect(window=2048) as line:
            try:
                for _ in range(200):
                    line.sendall((b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * 10)
                    one.rest(0.1)
            except OSError:
                one.note("reset")


@abuse(4)
def _a_body_of_1_gb(one: Abuser) -> None:
    part, left = b" " * 1_000_000, 1000
    with one.connect() as line:
        try:
            line.sendall(PUT + one.key + b"Content-Length: 1000000000\r\n\r\n")
            while left and one.goes_on:
                line.sendall(part)
                left -= 1
        except OSError:
            pass  # it has answered already, and hung up
        one.hear(line)


@abuse(4)
def _a_chunked_body_of_1_gb(one: Abuser) -> None:
    part, left = b"f4240\r\n" + b" " * 1_000_000 + b"\r\n", 1000
    with one.connect() as line:
        try:
            line.sendall(POST + one.key + b"Transfer-Encoding: chunked\r\n\r\n")
            while left and one.goes_on:
                line.sendall(part)
                left -= 1
        except OSError:
            pass
        one.hear(line)


@abuse(8)
def _bodies_in_crumbs(one: Abuser) -> None:
    crumbs = b"1\r\n \r\n" * 40_000
    while one.goes_on:
        one.ask(PUT + b"Transfer-Encoding: chunked\r\n\r\n", *[crumbs] * 10)
        one.ask(PUT + one.key + b"Transfer-Encoding: chunked\r\n\r\n", *[crumbs] * 10)


@abuse(8)
def _head_floods(one: Abuser) -> None:
    while one.goes_on:
        one.ask(PUT, b"".join(b"X-%d: a\r\n" % number for number in range(20_000)))
        one.ask(PUT + b"Cookie: " + b"a" * 1_000_000)
        one.ask(b"GET /" + b"a" * 1_000_000)
        one.ask(PUT + b"".join(b"X-%d: a\r\n" % number for number in range(1000)) + b"\r\n")


@abuse(8)
def _json_bombs(one: Abuser) -> None:
    deep = [b"[" * 500_000, b'{"reminders":' * 70_000, b'{"reminders":[' + b"[" * 900_000]
    wide = [b'{"reminders":[' + b",".join([b"{}"] * 330_000) + b"]}", b'{"reminders":[' + b"9" * 1_000_000 + b"]}"]
    doubled = b"{" + b",".join(b'"%x":1' % number for number in range(80_000)) + b',"1387f":1}'
    while one.goes_on:
        for body in (*deep, *wide, doubled):
            one.ask(_with_length(POST + one.key, body))


@abuse(4)
def _places_that_take_long_to_tidy(one: Abuser) -> None:
    place = "a" + "\u0301\u0323" * 200_000
    item = {"reference": "A-1", "time": "2030-01-01T00:00:00Z", "location": place, "pointer": "A" * 204}
    body = json.dumps({"reminders": [item]}, ensure_ascii=False).encode()
    while one.goes_on:
        one.ask(_with_length(POST + one.key, body))


@abuse(4)
def _compressed_bombs(one: Abuser) -> None:
    body = gzip.compress(b"{" + b" " * 10_000_000, 9) * 50  # half a gigabyte, should anybody unpack it
    while one.goes_on:
        one.ask(_with_length(POST + one.key + b"Content-Encoding: gzip\r\n", body))


@abuse(20)
def _a_flood_of_good_calls(one: Abuser) -> None:
    call = b"GET /v1/reminders/A-1 HTTP/1.1\r\n" + HOST + one.key + b"\r\n"
    while one.goes_on:
        with one.connect() as line:
            for _ in range(100):
                line.sendall(call)
                one.hear(line)
                if not one.goes_on:
                    return


def _with_length(head: bytes, body: bytes) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def run(installation: Installation, names: Iterable[str], seconds: float, most: int = 1000) -> Trial:
    """Let some kinds of abuse go on for a while, each by ``most`` at once; the healthy client calls all the time."""
    trial, crew, until = Trial(", ".join(names)), Crew(), time.monotonic() + seconds
    before = trial.memory = installation.memory()
    for name in names:
        how_many, work = ABUSES[name]
        for _ in range(min(how_many, most)):
            crew.hire(work, Abuser(installation, trial, until))
    over = threading.Event()
    healthy = threading.Thread(target=_call, args=(installation, trial, over))
    healthy.start()
    try:
        crew.join()
    finally:
        over.set()
        healthy.join()
    trial.growth = trial.memory - before
    return trial


def _call(installation: Installation, trial: Trial, over: threading.Event) -> None:
    """Hand in, ask and take back, on one connection, until the abuse is over; at least a few times."""
    caller = installation.caller("clinic")
    for number, (method, fields, wanted) in enumerate(_calls(installation)):
        began = time.monotonic()
        try:
            status = caller.ask(method, path("A-1"), fields).status
        except OSError as error:
            trial.failed.append(type(error).__name__)
        else:
            trial.waits.append(time.monotonic() - began)
            if status not in wanted:
                trial.failed.append(f"{method} {status}")
        trial.memory = max(trial.memory, installation.memory())
        if over.wait(0.005) and number >= CALLS:
            break
    caller.close()


def _calls(installation: Installation) -> Iterator[tuple[str, dict[str, object] | None, set[int]]]:
    fields = installation.fields()
    while True:
        yield "PUT", fields, {200, 201}
        yield "GET", None, {200}
        yield "DELETE", None, {200}


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each kind of abuse")
    parser.add_argument("--only", choices=ABUSES)
    chosen = parser.parse_args()
    whole = True
    with tempfile.TemporaryDirectory() as name, Installation(Path(name), "clinic", "thief") as installation:
        installation.start("web")
        for abuse_name in [chosen.only] if chosen.only else ABUSES:
            trial = run(installation, [abuse_name], chosen.seconds)
            print(trial, flush=True)
            whole &= trial.whole
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
