"""What all processes that answer HTTP have in common: limits, problems, heartbeat, and a server that keeps silent.

Nothing of a request is logged but what ``access.py`` makes of it: paths hold references and secrets, bodies hold more.
"""

import asyncio
import contextlib
import errno
import http
import logging
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from reminder_worker.access import AccessLog
from reminder_worker.background import running
from reminder_worker.connection import PATIENCE, Connection
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.lifeline import end_with_terminal
from reminder_worker.parting import Server
from reminder_worker.problems import LATER, problem
from reminder_worker.schedule import Schedule

BEAT_EVERY = 5.0  # seconds
BACKLOG = 64  # that wait to be accepted; if files run out, asyncio logs a line for each (2,048 by default)

_STARTED = {"web": "web_started", "hooks": "hooks_started", "ops": "ops_started"}
_STOPPED = {"web": "web_stopped", "hooks": "hooks_stopped", "ops": "ops_stopped"}

_NO_ADDRESS = "--host: this machine has no such address"
_WHY = {
    errno.EADDRINUSE: "--port: is in use; stop what listens there, or choose another",
    errno.EACCES: "--port: is not for this user; choose one from 1024 on",
}

log = logging.getLogger(__name__)


class Budget:
    """How many calls of one kind may be under way; one kind never uses up another's."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._under_way = 0

    @contextlib.contextmanager
    def one_more(self) -> Iterator[bool]:
        """Tell whether there is room for one more, and hold that room meanwhile."""
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
    """A process that answers HTTP: it beats, and reports whether it lives and whether it is of use."""

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
            with contextlib.suppress(StoreUnavailable):
                await run_in_threadpool(self._schedule.leave, self.name)  # when nothing beats any more

        application = Starlette(
            routes=[*routes, *own], lifespan=life, exception_handlers={HTTPException: _explain, Exception: _crash}
        )
        application.router.redirect_slashes = False  # it would lead to http://, and to whatever a Host header names
        return application

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Report that the process answers."""
        return Response()

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Report whether the store can be reached."""
        try:
            await run_in_threadpool(self._schedule.now)
        except StoreUnavailable:
            return problem(503, "store_away", "the store does not answer", **LATER)
        return Response()

    async def _beat(self) -> None:
        while True:
            try:
                await run_in_threadpool(self._schedule.beat, self.name)
            except StoreUnavailable as error:
                log.warning("store_away", extra={"reason": error.why})
            await asyncio.sleep(BEAT_EVERY)


async def _explain(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's shape
    """Answer a request that no route takes."""
    assert isinstance(error, HTTPException)
    known = error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED
    word, field = ("method_not_allowed", "method") if known else ("not_found", "path")
    return problem(error.status_code, word, "no such route; see /openapi.json", field, **dict(error.headers or {}))


async def _crash(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's shape
    """Answer after a fault of ours, without its message: that may hold data, and the log withholds it too."""
    return problem(500, "fault", "this is a fault of the program; the request may be repeated")


def run(app: Starlette, host: str, port: int, *, access_log: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; what is under way is finished."""
    if access_log:
        app.add_middleware(AccessLog)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it is done: that is no failure
        signal.signal(number, lambda *_: None)
    end_with_terminal()
    with listening(host, port) as entrances:
        server(app, host, port).run(sockets=entrances)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Open the sockets that a process listens on, before it reports its start. Raises SettingsError."""
    with contextlib.ExitStack() as opened:
        try:
            entrances = [opened.enter_context(one) for one in _entrances(host, port)]
        except OSError as error:
            raise SettingsError(_WHY.get(error.errno or 0, _NO_ADDRESS)) from None
        if not entrances:
            raise SettingsError(_NO_ADDRESS)
        yield entrances


def _entrances(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on all addresses of a name, such as localhost, that are this machine's."""
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            entrance = socket.create_server(address[:2], family=family)
            # Connections inherit it. asyncio does not set it, for such a socket does not say that it is TCP's; without
            # it the end of each answer would wait until its head was acknowledged: 40 ms.
            entrance.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield entrance
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise


def server(app: Starlette, host: str, port: int) -> Server:
    """Return a server that logs nothing of who called what."""
    logging.getLogger("uvicorn.access").disabled = True
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # the settings say whose headers are believed
        http=Connection,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=20,
    )
    return Server(config)
