"""The process that providers call: receipts and replies. It sees numbers in passing and keeps none.

It holds the providers' webhook secrets and the worker's public keys: no job can be opened here, and no text sent
(but with Twilio's token, which also signs). What a provider calls is verified against the public URL of the
settings, never against what a Host header says.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Mapping

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from reminder_worker import doctor, logs, providers, store
from reminder_worker.errors import Reason, Refused, ReminderError, SettingsError, StoreUnavailable
from reminder_worker.inbox import Inbox
from reminder_worker.providers import Provider, Receipt, Reply, Role
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.settings import Settings
from reminder_worker.webhooks import WebhookRequest

BODY_LIMIT = 64 * 1024  # bytes
BODY_SECONDS = 5.0  # for all of it to arrive
BEAT_EVERY = 5.0  # seconds
LATER = {"Retry-After": "10"}  # seconds
AT_ONCE = 200  # calls under way; more are told to come back

log = logging.getLogger(__name__)

Parse = Callable[[Provider, WebhookRequest], Receipt | Reply]


class Hooks:
    """The web application; ``callbacks`` are the public base URLs, by provider."""

    def __init__(
        self, schedule: Schedule, inbox: Inbox, carriers: Mapping[str, Provider], callbacks: Mapping[str, str]
    ) -> None:
        self._schedule = schedule
        self._inbox = inbox
        self._carriers = carriers
        self._callbacks = callbacks
        self._under_way = 0
        self._name = f"hooks/{os.getpid()}-{secrets.token_hex(3)}"

    def app(self) -> Starlette:
        """Return the ASGI application."""
        calls = ["GET", "POST"]  # some providers report by GET
        application = Starlette(
            routes=[
                Route("/v1/receipts/{provider}/{attempt}", self.receipt, methods=calls),
                Route("/v1/receipts/{provider}", self.receipt, methods=calls),
                Route("/v1/replies/{provider}", self.reply, methods=calls),
                Route("/livez", self.live, methods=["GET"]),
                Route("/readyz", self.ready, methods=["GET"]),
            ],
            lifespan=self._life,
        )
        application.router.redirect_slashes = False  # it would lead to http://, and to what a Host header says
        return application

    async def receipt(self, request: Request) -> Response:
        """Take a receipt."""
        return await self._hear(request, lambda provider, call: provider.parse_receipt(call))

    async def reply(self, request: Request) -> Response:
        """Take a reply."""
        return await self._hear(request, lambda provider, call: provider.parse_reply(call))

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Say that the process answers."""
        return Response()

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Say whether receipts can be written down."""
        try:
            await run_in_threadpool(self._schedule.now)
        except StoreUnavailable:
            return problem(503, "store_away", "the store does not answer")
        return Response()

    async def _hear(self, request: Request, parse: Parse) -> Response:
        """Verify a call, read it, and write down what it says before it is answered."""
        provider = self._carriers.get(request.path_params["provider"])
        if provider is None:
            return problem(404, "unknown_provider", "no such provider is set up here")
        if self._under_way >= AT_ONCE:
            return problem(503, "busy", "too many calls at once", **LATER)
        self._under_way += 1
        try:
            return await self._take(provider, request, parse)
        finally:
            self._under_way -= 1

    async def _take(self, provider: Provider, request: Request, parse: Parse) -> Response:
        body = await _body(request)
        if body is None:
            return problem(413, "too_large", f"the body is larger than {BODY_LIMIT} bytes, or came too slowly")
        call = self._call(provider, request, body)
        try:
            await run_in_threadpool(lambda: self._inbox.take(provider, parse(provider, call)))
        except Refused as error:
            log.warning("webhook_refused", extra={"provider": provider.name, "reason": error.reason})
            forged = error.reason is Reason.SIGNATURE_INVALID
            return problem(403 if forged else 400, error.reason, str(error))
        except StoreUnavailable:
            log.warning("store_away")
            return problem(503, "store_away", "the store does not answer", **LATER)
        except ReminderError as error:  # what a signature is verified with could not be fetched, say
            log.warning("webhook_not_verified", extra={"provider": provider.name, "reason": error.reason})
            return problem(503, error.reason, "this cannot be verified now", **LATER)
        return Response()  # also for what changes nothing: the provider must not call again

    def _call(self, provider: Provider, request: Request, body: bytes) -> WebhookRequest:
        """Restore the call as the provider made it: to the public URL, whatever proxies made of it."""
        query = request.scope["query_string"].decode("latin-1")
        path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1").partition("?")[0]
        url = f"{self._callbacks[provider.name]}{path}{'?' * bool(query)}{query}"
        headers = {name.lower(): value for name, value in request.headers.items()}
        return WebhookRequest(request.method, url, headers, body, request.path_params.get("attempt", ""))

    @contextlib.asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:  # noqa: ARG002 - Starlette's shape
        beating = asyncio.create_task(self._beat())
        log.info("hooks_started")
        yield
        beating.cancel()
        log.info("hooks_stopped")

    async def _beat(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                await run_in_threadpool(self._schedule.beat, self._name)
            await asyncio.sleep(BEAT_EVERY)


class _Impatient(H11Protocol):
    """Parts from whoever says nothing, or not all of what it asks for: uvicorn itself would wait for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(BODY_SECONDS, lambda: None if self.cycle else transport.close())


async def _body(request: Request) -> bytes | None:
    """Read a body; None for one that is too large, or comes too slowly."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return bytes(body)


def problem(status: int, kind: str, detail: str, **headers: str) -> Response:
    """Return an error as RFC 9457 has it; ``detail`` names a field and never a value."""
    document = {"type": f"urn:reminder-worker:{kind}", "title": kind, "status": status, "detail": detail}
    return JSONResponse(document, status, headers=headers, media_type="application/problem+json")


def build(chosen: Settings, schedule: Schedule) -> Starlette:
    """Load what this process may hold. Raises SettingsError."""
    tables = chosen.provider_tables()
    callbacks = {
        name: str(table["callback_url"]).rstrip("/") for name, table in tables.items() if "callback_url" in table
    }
    if not callbacks:
        raise SettingsError(
            "hooks_url: say under which URL providers reach this process, such as https://hooks.example"
        )
    carriers = {name: providers.load(name, tables[name], Role.HEAR) for name in callbacks}
    inbox = Inbox(schedule, PublicKeys.load(chosen.keys / "worker.pub.json"))
    return Hooks(schedule, inbox, carriers, callbacks).app()


def run(chosen: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; what is under way is finished. Raises SettingsError."""
    logs.set_up()
    client = store.connect(store.resolve_url(chosen.store_url))
    doctor.warn(doctor.require(chosen, doctor.check_store(client)))
    serving = server(build(chosen, Schedule.of(chosen, client)), host, port)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it is done: that is no failure
        signal.signal(number, lambda *_: None)
    serving.run()


def server(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """Return a server that says nothing of who called what: paths hold the attempts' secrets."""
    logging.getLogger("uvicorn.access").disabled = True
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        http=_Impatient,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=20,
        h11_max_incomplete_event_size=16 * 1024,
    )
    return uvicorn.Server(config)
