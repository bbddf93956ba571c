"""The process that providers call: receipts and replies. It sees numbers in passing and keeps none.

It holds the providers' webhook secrets and the worker's public keys: no job can be opened here, and no text sent
(except with Twilio's token, which also signs). A provider's call is verified against the public URL of the settings,
never against a Host header.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from itertools import chain

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reminder_worker import doctor, exporter, logs, metrics, providers, serving, store, words
from reminder_worker.background import running
from reminder_worker.commits import Commits
from reminder_worker.errors import Reason, Refused, ReminderError, SettingsError, StoreUnavailable
from reminder_worker.inbox import Inbox
from reminder_worker.problems import LATER, problem
from reminder_worker.providers import Provider, Receipt, Role
from reminder_worker.root import Published
from reminder_worker.schedule import Schedule
from reminder_worker.serving import Budget
from reminder_worker.settings import Settings
from reminder_worker.webhooks import WebhookRequest

BODY_LIMIT = 64 * 1024  # bytes
RECEIPTS_AT_ONCE, REPLIES_AT_ONCE = 200, 50  # calls in progress; a flood of receipts must not hold up a STOP

log = logging.getLogger(__name__)

Take = Callable[[Provider, WebhookRequest], Awaitable[None]]


class Hooks:
    """The web application; ``callbacks`` are the public base URLs, by provider."""

    def __init__(
        self, schedule: Schedule, inbox: Inbox, carriers: Mapping[str, Provider], callbacks: Mapping[str, str]
    ) -> None:
        self._inbox = inbox
        self._carriers = carriers
        self._callbacks = callbacks
        self._process = serving.Process("hooks", schedule)
        self.receipts, self.replies = Budget(RECEIPTS_AT_ONCE), Budget(REPLIES_AT_ONCE)
        self.written: Commits[tuple[Provider, Receipt], bool] = Commits(inbox.take_all, most=RECEIPTS_AT_ONCE)

    def app(self) -> Starlette:
        """Return the ASGI application."""
        calls = ["GET", "POST"]  # some providers report by GET
        return self._process.app(
            [
                Route("/v1/receipts/{provider}/{attempt}", self.receipt, methods=calls),
                Route("/v1/receipts/{provider}", self.receipt, methods=calls),
                Route("/v1/replies/{provider}", self.reply, methods=calls),
            ],
            running(self.written.run),
            running(self._refresh),
        )

    async def receipt(self, request: Request) -> Response:
        """Take a receipt."""
        return await self._hear(request, self.receipts, self._take_receipt)

    async def reply(self, request: Request) -> Response:
        """Take a reply."""
        return await self._hear(request, self.replies, self._take_reply)

    async def _take_receipt(self, provider: Provider, call: WebhookRequest) -> None:
        if provider.capabilities.fetches_to_verify:
            receipt = await run_in_threadpool(provider.parse_receipt, call)
        else:
            receipt = provider.parse_receipt(call)
        await self.written.put([(provider, receipt)])

    async def _take_reply(self, provider: Provider, call: WebhookRequest) -> None:
        await run_in_threadpool(lambda: self._inbox.take(provider, provider.parse_reply(call)))

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(serving.BEAT_EVERY)
            await run_in_threadpool(self._inbox.refresh)

    async def _hear(self, request: Request, budget: Budget, take: Take) -> Response:
        """Verify a call, read it, and store what it says before answering it."""
        provider = self._carriers.get(request.path_params["provider"])
        if provider is None:
            return problem(404, "unknown_provider", "no such provider is set up here")
        with budget.one_more() as room:
            if not room:
                return problem(503, "busy", "too many calls at once", **LATER)
            return await self._answer(provider, request, take)

    async def _answer(self, provider: Provider, request: Request, take: Take) -> Response:
        body = await serving.read_body(request, BODY_LIMIT)
        if body is None:
            return problem(413, "too_large", f"the body is larger than {BODY_LIMIT} bytes, or came too slowly")
        call = self._call(provider, request, body)
        try:
            await take(provider, call)
        except Refused as error:
            log.warning("webhook_refused", extra={"provider": provider.name, "reason": error.reason})
            metrics.count(metrics.REFUSED_CALLS, provider=provider.name, reason=error.reason)
            forged = error.reason is Reason.SIGNATURE_INVALID
            return problem(403 if forged else 400, error.reason, str(error))
        except StoreUnavailable as error:
            log.warning("store_away", extra={"reason": error.why})
            return problem(503, "store_away", "the store does not answer", **LATER)
        except ReminderError as error:  # for instance, a key to verify a signature with could not be fetched
            log.warning("webhook_not_verified", extra={"provider": provider.name, "reason": error.reason})
            return problem(503, error.reason, "this cannot be verified now", **LATER)
        return Response()  # also if it changes nothing: the provider must not call again

    def _call(self, provider: Provider, request: Request, body: bytes) -> WebhookRequest:
        """Restore the call as the provider made it: to the public URL, whatever proxies have changed."""
        query = request.scope["query_string"].decode("latin-1")
        path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1").partition("?")[0]
        url = f"{self._callbacks[provider.name]}{path}{'?' * bool(query)}{query}"
        headers = {name.lower(): value for name, value in request.headers.items()}
        return WebhookRequest(request.method, url, headers, body, request.path_params.get("attempt", ""))


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
    metrics.expect_receipts([name for name, one in carriers.items() if one.capabilities.reports])
    words.load()  # not with the first reply: if the installation was replaced by then, a STOP would be refused
    inbox = Inbox(schedule, Published(chosen.keys, chosen.root).load)
    return Hooks(schedule, inbox, carriers, callbacks).app()


def run(chosen: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in progress. Raises SettingsError."""
    logs.set_up(chosen.log_level, chosen.log_format)
    client = store.connect(store.url_of(chosen))
    found = chain(doctor.check_passwords(chosen), doctor.check_store(client), doctor.check_hooks(chosen))
    doctor.warn(doctor.require(chosen, found))
    schedule = Schedule.of(chosen, client)
    schedule.agreement.check()
    app = build(chosen, schedule)
    exporter.serve("hooks", chosen)
    with redirect_stdout(logs.Unheard()), redirect_stderr(logs.Unheard()):  # a plug-in reads what providers send
        serving.run(app, host, port, access_log=chosen.access_log)
