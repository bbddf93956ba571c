"""The parties outside: an SMS provider that repeats everything, a platform's resolver and its receiver of events.

One server on 127.0.0.1. It keeps each request and answer as it was on the wire; a phone shows the text in a request.
"""

import base64
import hashlib
import hmac
import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl

from reminder_worker.audit.people import NAME, REASON

ACCOUNT = "AC" + "5e" * 16
TOKEN = "a-token-of-the-audit-1f2e3d4c5b6a"  # noqa: S105 - of an account that does not exist
PUBLIC = "https://hooks.example"
SENDER_NUMBER = "+15005550006"
_MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer."""

    at: float  # seconds since 1970
    wire: bytes = field(repr=False)
    answer: bytes = field(repr=False)
    form: dict[str, str] = field(repr=False)


Answer = tuple[int, object]


class Counterparts:
    """The world outside; ``provider`` says, for each number, what happens to its next texts."""

    def __init__(self) -> None:
        self.provider: dict[str, list[Callable[[Request], Answer | None]]] = {}
        self.contacts: dict[str, dict[str, str]] = {}  # token -> the person it stands for
        self.texts: list[Exchange] = []
        self.questions: list[Exchange] = []  # to the resolver
        self.events: list[Exchange] = []
        self.hanging = threading.Event()  # a worker waits for an answer
        self.closing = threading.Event()
        self.names = map("SM{:032x}".format, itertools.count(1))
        handler = type("Handler", (Request,), {"world": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.address = "127.0.0.1", self._server.server_port
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def reminders(self) -> list[str]:
        """The texts about an appointment; anyone who replies to ask what this is gets the same text as everybody."""
        return [body for one in self.texts if re.search(r"\d:\d\d", body := one.form.get("Body", ""))]

    def attempt(self, phone: str) -> tuple[str, str]:
        """Return path and id of the last text to a number, to which a receipt refers."""
        last = [one for one in self.texts if one.form.get("To") == phone][-1]
        return last.form["StatusCallback"].removeprefix(PUBLIC), json.loads(last.answer).get("sid", "SM" + "0" * 32)


class _Server(ThreadingHTTPServer):
    """A server that does not report broken connections: the audit kills processes on purpose."""

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class Request(BaseHTTPRequestHandler):
    """One request."""

    world: Counterparts
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer any request, and keep both."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.form = dict(parse_qsl(body.decode("utf-8", "replace")))
        kept, given = self._answer(body)
        if given is None:
            self.close_connection = True
            answer = b""
        else:
            answer = json.dumps(given[1]).encode()
            self._write(given[0], answer)
        head = f"{self.requestline}\r\n{self.headers}".encode()
        kept.append(Exchange(time.time(), head + body, answer, self.form))

    do_GET = do_DELETE = do_POST  # noqa: N815 - as the library names them

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, body: bytes) -> tuple[list[Exchange], Answer | None]:
        world = self.world
        if self.path == "/events":
            return world.events, (204, {})
        if self.path == "/contacts":
            found = world.contacts.get(json.loads(body)["contact"])
            return world.questions, (200, found) if found else (404, {})
        if self.path == f"{_MESSAGES}.json" and self.command == "POST":
            planned = world.provider.get(self.form["To"])
            return world.texts, planned.pop(0)(self) if planned else accept(self)
        return world.texts, (204, {}) if self.command == "DELETE" else tell(self)

    def _write(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(0 if status == 204 else len(content)))  # noqa: PLR2004
        self.end_headers()
        if status != 204:  # noqa: PLR2004
            self.wfile.write(content)


# What the provider does with a text.


def accept(request: Request) -> Answer:
    """Accept a text, and repeat it."""
    form = request.form
    said = {"sid": next(request.world.names), "status": "queued", "to": form["To"], "body": form["Body"]}
    return 201, said | {"error_code": None, "error_message": None, "num_segments": "1", "account_sid": ACCOUNT}


def tell(request: Request, status: int = 404, code: int = 20404) -> Answer:
    """Refuse, with everything in the error message."""
    form = request.form
    words = f"{form.get('To')} ({NAME}, {REASON}) cannot be texted: {form.get('Body')}"
    return status, {"code": code, "message": words, "more_info": words, "status": status}


def refuse(request: Request) -> Answer:
    """Refuse because there is no such number."""
    return tell(request, 400, 21211)


def throttle(request: Request) -> Answer:
    """Refuse because there are too many requests."""
    return tell(request, 429, 20429)


def fail(request: Request) -> Answer:
    """Fail after the text may have gone."""
    return tell(request, 500, 20500)


def cut(_: Request) -> None:
    """Accept a text, and hang up."""


def hang(request: Request) -> None:
    """Accept a text, and do not answer until the audit ends."""
    request.world.hanging.set()
    request.world.closing.wait(60)


def chatter(request: Request) -> Answer:
    """Give an answer of an unexpected shape, with everything in it."""
    return 201, [{request.form["To"]: request.form["Body"]}, NAME, REASON]


def sign(path: str, form: dict[str, str]) -> str:
    """Sign a callback as Twilio does: HMAC-SHA1 over the URL and the sorted fields."""
    signed = f"{PUBLIC}{path}" + "".join(f"{name}{value}" for name, value in sorted(form.items()))
    return base64.b64encode(hmac.new(TOKEN.encode(), signed.encode(), hashlib.sha1).digest()).decode()
