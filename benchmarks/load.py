"""The two sides that a measured process talks to: callers that never pause, and a carrier as slow as it is told to be.

Both run in the benchmark's own process and cost as little as Python allows, because the machine has few cores.
"""

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Self

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
END = b"\r\n\r\n"


class Caller(asyncio.Protocol):
    """One connection, which sends the next request once the last one is answered."""

    def __init__(self, requests: Iterator[bytes], took: list[float], done: "asyncio.Future[None]") -> None:
        self._requests, self._took, self._done = requests, took, done
        self._said, self._sent = b"", 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first one."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Send the next one after a whole answer; any error answer ends the measurement."""
        self._said += data
        head, end, body = self._said.partition(END)
        found = LENGTH.search(head)
        if end and len(body) >= (int(found[1]) if found else 0):
            if not head.startswith(b"HTTP/1.1 2"):
                self._done.set_exception(RuntimeError(head.split(b"\r\n")[0].decode()))
                return
            self._took.append(time.perf_counter() - self._sent)
            self._said = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the measurement if it was not over."""
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server hung up"))


def call(port: int, requests: Sequence[bytes], connections: int = 32) -> tuple[float, list[float]]:
    """Send requests over so many connections; return how many were answered in a second, and how long each took."""
    took: list[float] = []

    async def run() -> float:
        loop, waiting = asyncio.get_running_loop(), iter(requests)
        began, ends = time.perf_counter(), [loop.create_future() for _ in range(connections)]
        for end in ends:
            await loop.create_connection(lambda end=end: Caller(waiting, took, end), "127.0.0.1", port)
        await asyncio.gather(*ends)
        return time.perf_counter() - began

    spent = asyncio.run(run())
    return len(requests) / spent, took


def request(method: str, path: str, body: bytes, **headers: str) -> bytes:
    """Write a request."""
    fields = {"Host": "hooks.example", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + END + body


class Carrier:
    """A gateway that accepts every text after ``delay`` seconds; keeps when it came, and where to report it."""

    def __init__(self, delay: float) -> None:
        self.delay, self.port = delay, 0
        self.texts: list[tuple[float, str]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        make = self._loop.create_server(lambda: _Desk(self), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(make, self._loop).result()
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class _Desk(asyncio.Protocol):
    """One connection of the carrier's."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier, self._said = carrier, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._said += data
        head, end, body = self._said.partition(END)
        found = LENGTH.search(head)
        if end and found and len(body) >= int(found[1]):
            self._said = b""
            self._carrier.texts.append((time.perf_counter(), json.loads(body)["callback"]))
            name = f'{{"id": "M{len(self._carrier.texts):031d}"}}'.encode()
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d" % len(name) + END + name
            assert self._transport is not None
            if self._carrier.delay:
                asyncio.get_running_loop().call_later(self._carrier.delay, self._transport.write, answer)
            else:
                self._transport.write(answer)
