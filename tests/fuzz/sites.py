"""The HTTP API and the operator's page: each request through the whole application, without a store.

``{key}``, ``{pointer}``, ``{cookie}`` and ``{token}`` in an input stand for what opens a way further in.
"""

import asyncio
import atexit
import functools
import ipaddress
import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

import msgspec
import uvicorn
from desk import make_keys, new_key
from known import NOW
from starlette.applications import Starlette
from uvicorn.server import ServerState

from reminder_worker import connection, decisions, reception, serving
from reminder_worker.api import Api
from reminder_worker.apikeys import ApiKeys
from reminder_worker.decisions import Kind, Waiting
from reminder_worker.gateway import GatewayKeys
from reminder_worker.hooks import Hooks
from reminder_worker.job import State
from reminder_worker.ledger import Answer, Durability, Reminder
from reminder_worker.ops import operators
from reminder_worker.ops.attempts import Attempts
from reminder_worker.ops.desk import Desk
from reminder_worker.ops.entrances import COOKIE, Addresses, Forms, Passwords, Proxy
from reminder_worker.ops.facts import Facts
from reminder_worker.ops.feed import Feed
from reminder_worker.ops.login import Login
from reminder_worker.ops.operators import Operators
from reminder_worker.ops.pages import Pages
from reminder_worker.ops.sessions import Sessions
from reminder_worker.providers import Receipt, Reply, Role
from reminder_worker.root import Published
from reminder_worker.sealing import pointer_to_text, seal_pointer
from reminder_worker.status import Status
from reminder_worker.tables import Platform
from reminder_worker.testing.reports import HOOKS

from .calls import believed, calls, provider
from .targets import NUMBER, PLACE, Finding, folder, nested, target

FORM = "content-type: application/x-www-form-urlencoded\nsec-fetch-site: same-origin\ncookie: {cookie}"
KEYED = "authorization: Bearer {key}\ncontent-type: application/json"


class Ledger:
    """Takes everything and keeps nothing."""

    shards = 1
    durability = Durability.NONE

    def add(self, entries: list[object]) -> list[Answer]:
        return [Answer.ADDED] * len(entries)

    def cancel(self, id_: bytes) -> Answer:
        return [Answer.CANCELLED, Answer.MISSING, Answer.IN_FLIGHT, Answer.ENDED][id_[0] % 4]

    def show(self, id_: bytes) -> list[Reminder]:
        return [Reminder(0, State.SENT, None, NOW, "twilio", 1, None, None)] * (id_[0] % 3)

    def run(self, name: str, shard: int, *words: object) -> list[int]:
        assert (name, shard) == ("rate", 0)
        return [0] * (len(words) // 4)

    def now(self) -> datetime:
        return NOW


# A request as text


def scope_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Read a request as llhttp and uvicorn would hand it on: visible ASCII in its target, whole fields in its head."""
    head, _, body = data.partition(b"\n\n")
    first, *rest = head.split(b"\n")
    method, _, target_ = first.partition(b" ")
    raw, _, query = bytes(one for one in target_ if 0x21 <= one <= 0x7E).partition(b"?")
    raw = b"/" + raw.lstrip(b"/")
    fields = [line.partition(b":") for line in rest]
    headers = [
        (bytes(one for one in name.lower() if 0x2D <= one <= 0x7A), bytes(one for one in value.strip() if one >= 0x20))
        for name, _, value in fields
    ]
    method = method if method in {b"GET", b"PUT", b"POST", b"DELETE", b"HEAD"} else b"POST"
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.decode(),
        "scheme": "http",
        "path": unquote(raw.decode()),
        "raw_path": raw,
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }, body


async def ask(app: Any, data: bytes) -> tuple[int, bytes]:
    """Return status and body of what an application answers; of a stream its beginning."""
    scope, body = scope_of(data)
    told, said = [{"type": "http.request", "body": body, "more_body": False}], []

    async def receive() -> dict[str, Any]:
        return told.pop() if told else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    async with asyncio.timeout(30):  # a machine with much other work is no finding
        await app(scope, receive, send)
    status = next((one["status"] for one in said if one["type"] == "http.response.start"), 0)
    return status, b"".join(one.get("body", b"") for one in said)


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    """Return the loop in which all applications live."""
    made = asyncio.new_event_loop()
    atexit.register(_end, made)
    return made


def _end(one: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(one)
    for task in tasks:
        task.cancel()
    if tasks:
        one.run_until_complete(asyncio.wait(tasks))
    one.close()


# The API


class Gateway:
    """The API, with what opens it."""

    def __init__(self) -> None:
        keys = folder("api") / "keys"
        make_keys(keys)
        self.key = new_key(keys)
        self.published = Published(keys)
        tenant = Platform(verify_key=keys / "gateway.pub", locations="lint")
        ledger: Any = Ledger()
        desk = reception.Reception(ledger, GatewayKeys.load(keys), self.published, {"clinic": tenant}, "web/1")
        tasks = (desk.turns.run, desk.added.run, desk.cancelled.run)
        self.running = [loop().create_task(run()) for run in tasks]
        room: Any = SimpleNamespace(full=False, run=None)
        api = Api(serving.Process("web", ledger), desk, ApiKeys(keys), room)
        self.app = api.app()
        self.pointer = pointer_to_text(seal_pointer(self.published.load(), "clinic", f"tel:{NUMBER}", "fr"))


@functools.cache
def gateway() -> Gateway:
    """Return the API."""
    return Gateway()


def to_api() -> Iterator[bytes]:
    fields = {"time": "2026-12-01T10:00:00+01:00", "location": "12 rue des Lilas", "pointer": "{pointer}"}
    bodies = [fields, fields | {"leads": ["24h", "2h"]}, fields | {NUMBER: PLACE}, fields | {"location": PLACE + "\n"}]
    bodies += [
        fields | {"pointer": NUMBER},
        fields | {"time": NUMBER},
        fields | {"leads": [NUMBER, {}]},
        fields | {"phone": NUMBER},
    ]
    for number, body in enumerate(bodies):
        yield f"PUT /v1/reminders/A-{number}\n{KEYED}\n\n{json.dumps(body)}".encode()
    items = [one | {"reference": f"A-{number}"} for number, one in enumerate(bodies)] + [1, {}, {"reference": NUMBER}]
    yield f"POST /v1/reminders:batch\n{KEYED}\n\n{json.dumps({'reminders': items})}".encode()
    for method in ("GET", "DELETE"):
        for reference in ("A-1", "%2F%3F%25", "%ff", ".", "a%0Ab", "%ED%A0%80", "x?y=1", NUMBER):
            yield f"{method} /v1/reminders/{reference}\n{KEYED}\n\n".encode()
    for path in ("/v1/key", "/v1/keys", "/openapi.json", "/v1/test-pointers", "/livez", "/readyz", "/v1/%72eminders/A"):
        yield f"GET {path}\n{KEYED}\n\n".encode()
    yield b"GET /v1/key\nauthorization: Bearer \xff\xe9\n\n"
    yield from (f"PUT /v1/reminders/A\n{KEYED}\n\n".encode() + body for body in nested())


@target("api", to_api)
def api(data: bytes) -> object:
    known = gateway()
    data = data.replace(b"{key}", known.key.encode()).replace(b"{pointer}", known.pointer.encode())
    status, said = loop().run_until_complete(ask(known.app, data))
    if status >= 500 and status != 503:
        raise Finding(f"api: answers {status}")
    batch = status == 200 and data.startswith(b"POST")
    return status, said.decode() if status >= 400 or batch else ""


# What providers call


class _Inbox:
    """Takes what was heard."""

    def take(self, _: object, heard: object) -> None:
        assert isinstance(heard, Reply)

    def take_all(self, heard: Sequence[tuple[object, object]]) -> list[bool]:
        assert all(isinstance(one, Receipt) for _, one in heard)
        return [True] * len(heard)


WRITING: list["asyncio.Task[None]"] = []  # what nobody holds may be forgotten


@functools.cache
def hooks() -> Starlette:
    """Return what providers call, with two of them."""
    ledger: Any = Ledger()
    inbox: Any = _Inbox()
    carriers = {name: provider(name, Role.HEAR) for name in ("twilio", "http-query")}
    for name, one in carriers.items():
        one.name = name
    known = Hooks(ledger, inbox, carriers, dict.fromkeys(carriers, HOOKS))
    WRITING.append(loop().create_task(known.written.run()))
    return known.app()


def to_hooks() -> Iterator[bytes]:
    for name in ("twilio", "http-query"):
        for data in calls(name):
            yield data.partition(b" ")[2].replace(b"/acme", b"/" + name.encode(), 1)
    yield b"GET /v1/receipts/twilio/%ff/..?a=%ff\n\n"
    yield f"POST /v1/replies/{NUMBER}\n\n{PLACE}".encode()


@target("hooks", to_hooks)
def heard(data: bytes) -> object:
    """Calls are believed here."""
    with believed():
        status, said = loop().run_until_complete(ask(hooks(), data))
    if status >= 500 and status != 503:
        raise Finding(f"hooks: answers {status}")
    return status, said.decode()


# Heads


def heads() -> Iterator[bytes]:
    yield b"PUT /v1/reminders/A HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    yield (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1;a=b\r\nx\r\n" * 600
        + b"0\r\nA: b\r\n\r\n"
    )
    yield b"GET / HTTP/1.0\nHost: a\n b\n\n"
    yield b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 3_000


class Line(asyncio.Transport):
    """The other end of a connection: keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told, self.closing = bytearray(), False

    def write(self, data: Any) -> None:
        self.told += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@target("http", heads)
def read_head(data: bytes) -> object:
    """What does not follow HTTP is answered with words of ours, and never as something else; nothing raises."""

    async def run() -> bytes:
        line, config = Line(), uvicorn.Config(_echo, log_config=None, lifespan="off", ws="none")
        one = connection.Connection(config, ServerState(), {}, asyncio.get_running_loop())
        one.connection_made(line)
        for start in range(0, len(data), 700):
            if not line.closing:
                one.data_received(data[start : start + 700])
                await asyncio.sleep(0)
        one.connection_lost(None)
        await asyncio.sleep(0)
        return bytes(line.told)

    told = asyncio.run(run())
    assert not told or told.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 ", b"HTTP/1.1 100 "))
    return told.decode("latin-1")


# The operator's page


class Page:
    """The page, with somebody who has logged in, and the one behind a proxy."""

    def __init__(self) -> None:
        file = folder("ops") / operators.FILE
        operators.enter(file, "ada", "correct horse battery", NOW)
        known = Operators(file)
        self.passwords = Passwords(known, Sessions())
        pages, forms = Pages(), Forms()
        status = Status(NOW, 1, 0, 0.0, None, 0, 0, 1, {}, {}, {})
        feed = Feed(lambda: Facts(status, [WAITING], [], {}), pages)
        proxies = Addresses([ipaddress.ip_network("127.0.0.0/8")])
        self.login = Login(self.passwords, proxies, forms, pages)
        ledger: Any = Ledger()
        desk = Desk(ledger, feed, self.passwords, forms, pages)
        self.forms = forms
        self.app = Starlette(routes=[*self.login.routes, *desk.routes])
        behind = Desk(ledger, feed, Proxy("x-remote-user", proxies), forms, pages)
        self.behind = Starlette(routes=behind.routes)

    def opened(self) -> tuple[str, str]:
        """Return cookie and token of a session that has just begun."""
        operator = self.passwords.operators.get("ada")
        assert operator is not None
        token = self.passwords.sessions.begin("ada", operator.salt)
        session = self.passwords.sessions.find(token)
        assert session is not None
        visitor: Any = SimpleNamespace(key=session.key)
        return f"{COOKIE}={token}", self.forms.token(visitor)


WAITING = Waiting(
    "abcdefgh", Kind.UNKNOWN, "ambiguous", NOW - timedelta(hours=1), "twilio", 1, 1, NOW, NOW, True, bytes(17), 7
)  # fmt: skip


@functools.cache
def page() -> Page:
    """Return the page."""
    return Page()


def to_page() -> Iterator[bytes]:
    yield f"POST /ops/login\n{FORM}\n\nname=ada&password=correct+horse+battery".encode()
    yield f"POST /ops/login\n{FORM}\n\nname={PLACE}&password={NUMBER}".encode()
    yield f"POST /ops/login\ncontent-type: text/plain\norigin: http://a\nhost: a\n\n{NUMBER}".encode()
    yield f"POST /ops/login\n{FORM}\nx-forwarded-for: ::1, fe80::1%eth0\n\nname=ada&password=x".encode()
    yield b"GET /ops\nx-remote-user: ada@example\n\n"
    yield f"GET /ops\nx-remote-user: {NUMBER}\n\n".encode()
    yield f"POST /ops/logout\n{FORM}\n\ntoken={{token}}".encode()
    for decision in ("sent", "failed", "resend", "drop", "retry", NUMBER):
        yield f"POST /ops/decisions\n{FORM}\n\ntoken={{token}}&name=abcdefgh&score=7&decision={decision}".encode()
        yield f"GET /ops/decisions/abcdefgh/{decision}\ncookie: {{cookie}}\n\n".encode()
    for path in ("", "?answer=settled", f"?answer={NUMBER}&decision={NUMBER}", "/events", "/login", "/assets/x"):
        yield f"GET /ops{path}\ncookie: {{cookie}}\n\n".encode()
    yield b'GET /ops\ncookie: a="' + b"\\" * 12_000 + b"\n\n"
    yield b"GET /ops\ncookie: " + COOKIE.encode() + b"=\xff\xe9; a\n\n"
    yield b"POST /ops/decisions\nsec-fetch-site: same-origin\ncookie: {cookie}\n\ntoken=%ff%ed%a0%80&name=&score="
    yield b"POST /ops/decisions\norigin: http://[\nhost: -\ncookie: {cookie}\n\ntoken={token}"


@target("page", to_page)
def operators_page(data: bytes) -> object:
    """Passwords are hashed cheaply here."""
    one = page()
    cookie, token = one.opened()
    one.login._attempts = Attempts()
    data = data.replace(b"{cookie}", cookie.encode()).replace(b"{token}", token.encode())
    quick = msgspec.structs.replace(operators.NOBODY, cost=2)
    with (
        patch.object(operators, "NOBODY", quick),
        patch.object(operators, "_hash", lambda *_: bytes(32)),
        patch.object(decisions, "waiting", lambda *_, **__: [WAITING]),
        patch.object(decisions, "decide", lambda *_: decisions.Answer.DONE),
    ):
        answers = [loop().run_until_complete(ask(app, data)) for app in (one.app, one.behind)]
    if any(status >= 500 and status != 503 for status, _ in answers):
        raise Finding("page: answers 5xx")
    return b"".join(said for _, said in answers).decode("utf-8", "replace")
