"""A Twilio that keeps state, speaks real HTTP on 127.0.0.1 and can be told how to fail.

Every request is checked against Twilio's own OpenAPI document where that lies beside the checkout, and
against the names of the parameters that we mean to send; ``close`` fails where one did not keep to them.

    with FakeTwilio() as twilio:
        twilio.refuse(21610)
        provider = Twilio("twilio", twilio.table(tmp_path))
"""

import base64
import functools
import json
import socket
import ssl
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

SPECIFICATION = Path(__file__).parents[1] / "../shared/specs/twilio-messages.json"
ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "a-token-for-tests"
SENDER = "+15005550006"
PARAMETERS = frozenset(
    {
        "To",
        "Body",
        "From",
        "MessagingServiceSid",
        "ValidityPeriod",
        "ContentRetention",
        "AddressRetention",
        "StatusCallback",
    }
)
MAGIC = {  # Twilio's documented test numbers
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}

Fault = Callable[["_Handler", dict[str, str]], None]


class FakeTwilio:
    """One account; ``messages`` holds what was accepted, with all its parameters, in order."""

    def __init__(self, *, certificate: Path | None = None) -> None:
        self.messages: list[dict[str, str]] = []
        self.requests = 0
        self.connections = 0
        self.violations: list[str] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._faults: deque[Fault] = deque()
        self._server = _Server(self, certificate)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def table(self, folder: Path, **changes: Any) -> dict[str, Any]:
        """The settings table of a provider that talks to this server."""
        token_file = folder / "token"
        token_file.write_text(TOKEN + "\n")
        table = {"account_sid": ACCOUNT, "auth_token_file": str(token_file), "from": SENDER, "base_url": self.url}
        return {**table, **changes}

    def close(self) -> None:
        """Stop, leaving no thread and no socket, and fail where a request broke Twilio's rules."""
        self.closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()
        assert not self.violations, self.violations

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What happens to the next request (each call plans for one more, ``times`` for several)

    def refuse(self, code: int, status: int = 400, times: int = 1) -> None:
        """Answer as Twilio does, with the number in its words."""
        self._plan(lambda handler, form: handler.refuse(status, code, form), times)

    def throttle(self, retry_after: str | None = None, times: int = 1) -> None:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        self._plan(lambda handler, form: handler.refuse(429, 20429, form, headers), times)

    def answer(self, status: int, body: bytes, *, accept: bool = False, **headers: str) -> None:
        """Answer with anything at all."""

        def fault(handler: "_Handler", form: dict[str, str]) -> None:
            if accept:
                self.accept(form)
            handler.reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})

        self._plan(fault)

    def fail_after_accepting(self, times: int = 1) -> None:
        def fault(handler: "_Handler", form: dict[str, str]) -> None:
            self.accept(form)
            handler.refuse(500, 20500, form)

        self._plan(fault, times)

    def hang_before_accepting(self) -> None:
        self._plan(lambda handler, form: handler.hang())

    def hang_after_accepting(self) -> None:
        def fault(handler: "_Handler", form: dict[str, str]) -> None:
            self.accept(form)
            handler.hang()

        self._plan(fault)

    def drip(self, every: float = 0.05, *, head: bool = False) -> None:
        """Accept, and send the answer (or, already, its head) one byte at a time."""

        def fault(handler: "_Handler", form: dict[str, str]) -> None:
            body = json.dumps(self.accept(form)).encode()
            whole = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            start = 0 if head else whole.index(b"\r\n\r\n") + 4
            handler.wfile.write(whole[:start])
            for position in range(start, len(whole)):
                if self.closing.wait(every):
                    break
                handler.wfile.write(whole[position : position + 1])

        self._plan(fault)

    def reset_mid_reply(self) -> None:
        self._break_off(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{", reset=True)

    def cut(self) -> None:
        """Accept, and close without an answer."""
        self._break_off(b"")

    def truncate(self) -> None:
        """Accept, and close in the middle of the answer."""
        self._break_off(b'HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{"sid": "SM' + b"0" * 32 + b'"}')

    def hang_up_idle(self) -> None:
        """Close every connection, as load balancers do with idle ones."""
        self._server.hang_up()

    # Inside

    def accept(self, form: dict[str, str]) -> dict[str, Any]:
        with self.lock:
            self.messages.append(form)
            return _resource(form, len(self.messages))

    def take(self) -> Fault | None:
        with self.lock:
            return self._faults.popleft() if self._faults else None

    def _plan(self, fault: Fault, times: int = 1) -> None:
        with self.lock:
            self._faults.extend([fault] * times)

    def _break_off(self, piece: bytes, *, reset: bool = False) -> None:
        def fault(handler: "_Handler", form: dict[str, str]) -> None:
            self.accept(form)
            handler.wfile.write(piece)
            handler.hang_up(reset=reset)

        self._plan(fault)


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, twilio: FakeTwilio, certificate: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.twilio = twilio
        self._open: set[socket.socket] = set()
        self._tls = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:  # the handshake waits for the first read, in the connection's own thread
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self.twilio.lock:
            self.twilio.connections += 1
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self.twilio.lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        with self.twilio.lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests; a mistake in this file is not."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.twilio.violations.append(repr(error))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        twilio = self.server.twilio
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        with twilio.lock:
            twilio.requests += 1
            twilio.violations += _violations(self, body, form)
        fault = twilio.take()
        if fault is not None:
            fault(self, form)
        elif self.headers["Authorization"] != _basic(ACCOUNT, TOKEN):
            self.refuse(401, 20003, form)
        elif self.path != f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json":
            self.refuse(404, 20404, form)
        elif form["To"] in MAGIC:
            self.refuse(400, MAGIC[form["To"]], form)
        else:
            self.reply(201, json.dumps(twilio.accept(form)).encode())

    def refuse(self, status: int, code: int, form: dict[str, str], headers: dict[str, str] | None = None) -> None:
        words = f"The number {form.get('To')} cannot be texted: {form.get('Body')}"
        link = f"https://www.twilio.com/docs/errors/{code}"
        problem = {"code": code, "message": words, "more_info": link, "status": status}
        self.reply(status, json.dumps(problem).encode(), headers)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang(self) -> None:
        self.server.twilio.closing.wait()
        self.close_connection = True

    def hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _resource(form: dict[str, str], number: int) -> dict[str, Any]:
    sid = f"SM{number:032x}"
    return {
        "account_sid": ACCOUNT,
        "api_version": "2010-04-01",
        "body": form["Body"],
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "date_sent": None,
        "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From"),
        "messaging_service_sid": form.get("MessagingServiceSid"),
        "num_media": "0",
        "num_segments": "0" if "MessagingServiceSid" in form else "1",
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": "accepted" if "MessagingServiceSid" in form else "queued",
        "subresource_uris": {"media": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}/Media.json"},
        "to": form["To"],
        "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json",
    }


# Twilio's rules


@functools.cache
def specification() -> Any:
    """Twilio's OpenAPI document; None where it does not lie beside the checkout."""
    if not SPECIFICATION.exists():
        return None
    from openapi_core import OpenAPI  # noqa: PLC0415 takes half a second

    return OpenAPI.from_dict(json.loads(SPECIFICATION.read_text()))


@dataclass
class SpecifiedRequest:
    """A request, as openapi-core wants to see it."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "post"
    host_url: str = "https://api.twilio.com"

    def __post_init__(self) -> None:
        from openapi_core.datatypes import RequestParameters  # noqa: PLC0415
        from werkzeug.datastructures import Headers, ImmutableMultiDict  # noqa: PLC0415

        self.content_type = self.headers.get("Content-Type", "")
        self.parameters = RequestParameters(query=ImmutableMultiDict(), header=Headers(self.headers))


def _violations(handler: _Handler, body: bytes, form: dict[str, str]) -> list[str]:
    found = [f"unexpected parameter {name}" for name in form.keys() - PARAMETERS]
    validity = form.get("ValidityPeriod", "1")
    if validity.isdigit() and not 1 <= int(validity) <= 36000:
        found.append("ValidityPeriod out of bounds")  # in the words of the document, not in its schema
    if specification() is not None:
        request = SpecifiedRequest(urlsplit(handler.path).path, dict(handler.headers.items()), body)
        found += [repr(error.__cause__ or error) for error in specification().iter_request_errors(request)]
    return found
