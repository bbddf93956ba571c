"""A provider's side of the wire for tests: a real HTTP or HTTPS server on 127.0.0.1 that can be told how to fail.

with Peer() as peer:
    peer.answer = lambda request: Response(201, b'{"id": "1"}')
    peer.hang_after_accepting()  # applies to the next request; the one after that is answered again
"""

import json
import socket
import ssl
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # by name in lower case
    body: bytes = field(repr=False)

    @property
    def query(self) -> dict[str, str]:
        """Return the parameters of the URL."""
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        """Return the fields of a body that is a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        """Return a body that is JSON."""
        return json.loads(self.body)

    @property
    def words(self) -> str:
        """Return everything in the request, a form or JSON also decoded, for tests that search it."""
        try:
            document = json.dumps(self.json, ensure_ascii=False)
        except ValueError:
            document = " ".join(self.form.values()) if b"=" in self.body else ""
        return " ".join([self.path, *self.query.values(), *self.headers.values(), self.body.decode(), document])


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; its head is written as HTTP/1.1."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @classmethod
    def of(cls, document: object, status: int = 200, **headers: str) -> "Response":
        """Return an answer in JSON; ``Retry_After`` becomes ``Retry-After``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps(document).encode(), {"Content-Type": "application/json", **named})


Fault = Callable[["Handler", Request], None]


class Peer:
    """A server; ``requests`` holds what arrived, ``accepted`` what was accepted, both in order."""

    def __init__(self, *, certificate: Path | None = None) -> None:
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.connections = 0
        self.mistakes: list[str] = []
        self.answer: Callable[[Request, int], Response] = lambda _, number: Response.of({"id": str(number)})
        self.look: Callable[[Request], Response | None] = lambda _: None  # answers before anything is accepted
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._faults: deque[Fault] = deque()
        self._server = _Server(self, certificate)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Stop, leaving no thread and no socket, and fail if the test's own code did."""
        self.closing.set()
        self._server.shutdown()
        self.hang_up_idle()
        self._server.server_close()
        self._thread.join()
        assert not self.mistakes, self.mistakes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self, request: Request) -> Response:
        """Accept, with the response of ``answer``."""
        with self.lock:
            self.accepted.append(request)
            number = len(self.accepted)
        return self.answer(request, number)

    def arrived(self, request: Request) -> None:
        """Look at a request before it is answered: for a peer that knows its provider's rules."""

    # What happens to the next requests (each call plans one more, ``times`` plans several)

    def plan(self, fault: Fault, times: int = 1) -> None:
        """Let ``fault`` answer the next requests."""
        with self.lock:
            self._faults.extend([fault] * times)

    def respond(self, response: Response, *, accept: bool = False, times: int = 1) -> None:
        """Answer with anything at all, having accepted the text or not."""

        def fault(handler: "Handler", request: Request) -> None:
            if accept:
                self.accept(request)
            handler.reply(response)

        self.plan(fault, times)

    def hang_before_accepting(self) -> None:
        """Take the request in, and never answer."""
        self.plan(lambda handler, _: handler.hang())

    def hang_after_accepting(self) -> None:
        """Accept, and never say so."""

        def fault(handler: "Handler", request: Request) -> None:
            self.accept(request)
            handler.hang()

        self.plan(fault)

    def drip(self, every: float | None = None, *, head: bool = False) -> None:
        """Accept, and send the answer (with ``head``, its head too) byte by byte; by default over a second or more."""

        def fault(handler: "Handler", request: Request) -> None:
            whole = _wire(self.accept(request))
            start = 0 if head else whole.index(b"\r\n\r\n") + 4
            pause = max(0.05, 1 / max(1, len(whole) - start)) if every is None else every
            handler.wfile.write(whole[:start])
            for position in range(start, len(whole)):
                if self.closing.wait(pause):
                    break
                handler.wfile.write(whole[position : position + 1])

        self.plan(fault)

    def reset_mid_reply(self) -> None:
        """Accept, and break the connection in the middle of the answer."""
        self._break_off(0.5, reset=True)

    def cut(self) -> None:
        """Accept, and close without an answer."""
        self._break_off(0)

    def truncate(self) -> None:
        """Accept, and close just before the answer's last byte."""
        self._break_off(1)

    def hang_up_idle(self) -> None:
        """Close every connection, as load balancers do with idle ones."""
        self._server.hang_up()

    def take(self) -> Fault | None:
        """Return the fault planned for a request that has just arrived."""
        with self.lock:
            return self._faults.popleft() if self._faults else None

    def _break_off(self, share: float, *, reset: bool = False) -> None:
        def fault(handler: "Handler", request: Request) -> None:
            whole = _wire(self.accept(request))
            handler.wfile.write(whole[: int((len(whole) - 1) * share)])
            handler.hang_up(reset=reset)

        self.plan(fault)


def _wire(response: Response) -> bytes:
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {response.status} Answer\r\n{head}\r\n".encode() + response.body


class Handler(BaseHTTPRequestHandler):
    """One connection of a peer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def handle_any(self) -> None:
        """Read a request and answer it, as planned or as the peer usually does."""
        peer = self.server.peer
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        request = Request(self.command, self.path, headers, body)
        with peer.lock:
            peer.requests.append(request)
        peer.arrived(request)
        fault = peer.take()
        if fault is not None:
            fault(self, request)
        else:
            self.reply(peer.look(request) or peer.accept(request))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the names that http.server calls

    def reply(self, response: Response) -> None:
        """Send an answer."""
        self.wfile.write(_wire(response))

    def hang(self, most: float = 5.0) -> None:
        """Stay silent until the peer closes, or for so many seconds: a call without a deadline must fail, not hang."""
        self.server.peer.closing.wait(most)
        self.close_connection = True

    def hang_up(self, *, reset: bool) -> None:
        """End the connection, politely or not."""
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, peer: Peer, certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.peer = peer
        self._open: set[socket.socket] = set()
        self._tls = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:  # the handshake waits for the first read, in the connection's own thread
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self.peer.lock:
            self.peer.connections += 1
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self.peer.lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        with self.peer.lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's names
        """Clients that hang up are part of the tests; a mistake in a test's own code is not."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.peer.mistakes.append(repr(error))
