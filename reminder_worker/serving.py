"""What every process that answers HTTP has in common: limits, problems, heartbeat, and a server that keeps silent.

Of a request nothing is logged but what ``access.py`` makes of it: paths hold references and secrets, bodies hold more.
"""

import asyncio
import contextlib
import http
import json
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from reminder_worker.access import AccessLog
from reminder_worker.background import running
from reminder_worker.errors import StoreUnavailable
from reminder_worker.parting import Server
from reminder_worker.schedule import Schedule

PATIENCE = 5.0  # seconds for a request's head or body to arrive, and for an answer to be taken
BEAT_EVERY = 5.0  # seconds
LATER = {"Retry-After": "10"}  # seconds
HEAD_LIMIT = 16 * 1024  # bytes
MOST_CRUMBS, CRUMB = 500, 64  # pieces of a body that may be of any length; bytes that more have to have on average
PROBLEM = "application/problem+json"

_STARTED = {"web": "web_started", "hooks": "hooks_started", "ops": "ops_started"}
_STOPPED = {"web": "web_stopped", "hooks": "hooks_stopped", "ops": "ops_stopped"}

log = logging.getLogger(__name__)


def problem_document(status: int, kind: str, detail: str, field: str | None = None) -> dict[str, object]:
    """Describe an error as RFC 9457 has it; ``detail`` names a field and never a value."""
    document: dict[str, object] = {"type": f"urn:reminder-worker:{kind}", "title": kind, "status": status}
    return document | {"detail": detail} | ({} if field is None else {"field": field})


def problem(status: int, kind: str, detail: str, field: str | None = None, **headers: str) -> Response:
    """Return an error as an answer."""
    content = json.dumps(problem_document(status, kind, detail, field)).encode()
    return Response(content, status, headers=headers, media_type=PROBLEM)


class Budget:
    """How many calls of one kind may be under way; one kind never takes another's."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._under_way = 0

    @contextlib.contextmanager
    def one_more(self) -> Iterator[bool]:
        """Tell whether there is room for one more, and hold it meanwhile."""
        if self._under_way >= self.most:
            yield False
            return
        self._under_way += 1
        try:
            yield True
        finally:
            self._under_way -= 1


async def read_body(request: Request, limit: int) -> bytes | None:
    """Read a body; None for one that is larger than ``limit`` bytes, or comes too slowly."""
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return bytes(body)


class Process:
    """A process that answers HTTP: it beats, and says whether it lives and whether it is of use."""

    def __init__(self, kind: str, schedule: Schedule) -> None:
        self.name = f"{kind}/{os.getpid()}-{secrets.token_hex(3)}"
        self._kind = kind
        self._schedule = schedule

    def app(self, routes: list[BaseRoute], *tasks: contextlib.AbstractAsyncContextManager[None]) -> Starlette:
        """Return the ASGI application; ``tasks`` run as long as it does."""
        own = [Route("/livez", self.live, methods=["GET"]), Route("/readyz", self.ready, methods=["GET"])]

        @contextlib.asynccontextmanager
        async def life(_: Starlette) -> AsyncIterator[None]:
            async with contextlib.AsyncExitStack() as stack:
                for task in (running(self._beat), *tasks):
                    await stack.enter_async_context(task)
                log.info(_STARTED[self._kind])
                yield
                log.info(_STOPPED[self._kind])

        application = Starlette(
            routes=[*routes, *own], lifespan=life, exception_handlers={HTTPException: _explain, Exception: _crash}
        )
        application.router.redirect_slashes = False  # it would lead to http://, and to what a Host header says
        return application

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Say that the process answers."""
        return Response()

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Say whether the store can be reached."""
        try:
            await run_in_threadpool(self._schedule.now)
        except StoreUnavailable:
            return problem(503, "store_away", "the store does not answer", **LATER)
        return Response()

    async def _beat(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                await run_in_threadpool(self._schedule.beat, self.name)
            await asyncio.sleep(BEAT_EVERY)


async def _explain(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's shape
    """Answer for what no route takes."""
    assert isinstance(error, HTTPException)
    known = error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED
    word, field = ("method_not_allowed", "method") if known else ("not_found", "path")
    return problem(error.status_code, word, "no such route; see /openapi.json", field, **dict(error.headers or {}))


async def _crash(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's shape
    """Answer for a fault of ours; what it says may hold data, and the log withholds it too."""
    return problem(500, "fault", "this is a fault of the program; the request may be repeated")


class Wary(h11.Connection):
    """Takes no body of two lengths, nor one in crumbs: reading a crumb holds everybody up as long as a whole body."""

    _pieces = _bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what came next. Raises RemoteProtocolError."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._bytes = 0
            if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                raise h11.RemoteProtocolError("two lengths")  # a proxy may have believed the other one
        elif isinstance(event, h11.Data):
            self._pieces, self._bytes = self._pieces + 1, self._bytes + len(event.data)
            if self._pieces > MOST_CRUMBS and self._bytes < self._pieces * CRUMB:
                raise h11.RemoteProtocolError("crumbs")
        return event


class Impatient(H11Protocol):
    """Parts from whoever says nothing, asks half, or does not take its answer: uvicorn would wait for each for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        super().connection_made(transport)
        self.conn = Wary(h11.SERVER, HEAD_LIMIT)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head that has begun; a body is read elsewhere, against a clock of its own."""
        super().data_received(data)
        if self._between_requests() and not self.transport.is_closing():
            self._expect_head()
        elif self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def on_response_complete(self) -> None:
        """Wait for an answer to be taken; closing would wait for it without end."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(PATIENCE, self._unless_taken)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words name no field
        """Answer for what is no HTTP, unless an answer has begun."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            content = json.dumps(problem_document(400, "malformed", "request: is not valid HTTP", "request")).encode()
            head = [(b"content-type", PROBLEM.encode()), (b"connection", b"close")]
            for event in (h11.Response(status_code=400, headers=head), h11.Data(data=content), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True  # what is under way has nobody left to answer to
        self.transport.close()
        if self.transport.get_write_buffer_size():  # else nothing is to keep what was sent in memory
            self.loop.call_later(PATIENCE, self._unless_taken)

    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.close)

    def _unless_taken(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()


def run(app: Starlette, host: str, port: int, *, access_log: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; what is under way is finished."""
    if access_log:
        app.add_middleware(AccessLog)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it is done: that is no failure
        signal.signal(number, lambda *_: None)
    server(app, host, port).run()


def server(app: Starlette, host: str, port: int) -> Server:
    """Return a server that says nothing of who called what."""
    logging.getLogger("uvicorn.access").disabled = True
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # whose headers are believed, the settings say
        http=Impatient,
        ws="none",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=20,
        h11_max_incomplete_event_size=HEAD_LIMIT,
    )
    return Server(config)
