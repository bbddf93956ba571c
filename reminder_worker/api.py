"""The HTTP API for booking platforms (``openapi.json``): routes, limits and answers. It sees no phone number.

Every refusal is a problem document that names a field and never repeats a value.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reminder_worker import job, serving, verdicts
from reminder_worker.apikeys import ApiKeys, Caller, Scope
from reminder_worker.background import running
from reminder_worker.documents import read_object
from reminder_worker.encoding import to_text
from reminder_worker.errors import Reason, Refused, SettingsError, StoreUnavailable
from reminder_worker.ledger import Answer, Entry
from reminder_worker.pressure import Pressure
from reminder_worker.reception import Reception
from reminder_worker.sealing import kid
from reminder_worker.serving import Budget

BODY_LIMIT, BATCH_LIMIT = 16 * 1024, 1024 * 1024  # bytes
MOST_REMINDERS = 500  # of one batch
AT_ONCE = {"add": 256, "batch": 16, "cancel": 64, "read": 64}  # calls in progress, of all platforms
ANSWER = {"add": 512, "batch": 512, "cancel": 512, "read": 4096}  # bytes, the least; head included
ANSWER_OF_BATCH = 256  # bytes for each item: the longest refusal
SHARE = 4  # one platform may take a quarter of AT_ONCE
ROUTE = "/v1/reminders"

_NOT_ENCODED = re.compile(rb"/|%(?![0-9A-Fa-f]{2})")

log = logging.getLogger(__name__)


class _Whole(StringConvertor):
    """All the rest of a path, line breaks included: these are refused later, as what they are."""

    regex = r"[\s\S]*"


register_url_convertor("whole", _Whole())

Handler = Callable[[Request, Caller], Awaitable[Response]]


class Api:
    """The web application."""

    def __init__(self, process: serving.Process, reception: Reception, api_keys: ApiKeys, pressure: Pressure) -> None:
        self._process = process
        self._reception = reception
        self._keys = api_keys
        self._pressure = pressure
        self.budgets = {kind: Budget(most) for kind, most in AT_ONCE.items()}
        self._shares: dict[tuple[str, str], Budget] = {}
        self._openapi = (files("reminder_worker") / "openapi.json").read_bytes()

    def app(self, *tasks: contextlib.AbstractAsyncContextManager[None]) -> Starlette:
        """Return the ASGI application; ``tasks`` run for as long as it does."""
        one = ROUTE + "/{reference:whole}"
        desk = self._reception
        beside = (desk.turns.run, desk.added.run, desk.cancelled.run, self._pressure.run, self._refresh)
        return self._process.app(
            [
                Route(f"{ROUTE}:batch", self._for("batch", self.add_batch), methods=["POST"]),
                Route(one, self._by_method, methods=["GET", "PUT", "DELETE"]),
                Route("/v1/test-pointers", self._for("read", self.test_pointers), methods=["GET"]),
                Route("/v1/key", self.own_key, methods=["GET"]),
                Route("/v1/keys", self.public_keys, methods=["GET"]),
                Route("/openapi.json", self.openapi, methods=["GET"]),
            ],
            *map(running, beside),
            *tasks,
        )

    async def add(self, request: Request, caller: Caller) -> Response:
        """Add one appointment, or move it."""
        if self._pressure.full:
            return verdicts.store_full()
        fields = await _read(request, BODY_LIMIT)
        entry = self._reception.seal(caller, _reference(request), fields)
        (answer,) = await self._reception.add([entry])
        return verdicts.answer(answer)

    async def add_batch(self, request: Request, caller: Caller) -> Response:
        """Add or move up to 500 appointments; each gets its own answer."""
        if self._pressure.full:
            return verdicts.store_full()
        items = _items(await _read(request, BATCH_LIMIT))
        wait = await self._reception.wait_for_turn(caller, Scope.ADD, len(items))
        if wait:
            return verdicts.too_fast(wait)
        sealed = await run_in_threadpool(self._reception.seal_each, caller, items)
        answers = iter(await self._reception.add([one for one in sealed if isinstance(one, Entry)]))
        said = [next(answers) if isinstance(one, Entry) else one for one in sealed]
        results = verdicts.document({"results": [verdicts.of_batch(one) for one in said]})
        return verdicts.even(results, ANSWER_OF_BATCH * len(items))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Cancel an appointment."""
        return verdicts.answer(await self._reception.cancel(caller, _reference(request)))

    async def show(self, request: Request, caller: Caller) -> Response:
        """Return what became of an appointment."""
        reference = _reference(request)
        reminders = await self._reception.show(caller, reference)
        if not reminders:
            return verdicts.answer(Answer.MISSING)
        return verdicts.document(self._reception.tell(caller, reference, reminders))

    async def test_pointers(self, request: Request, caller: Caller) -> Response:  # noqa: ARG002 - as all others
        """Return pointers that reach nobody."""
        return verdicts.document(self._reception.test_pointers(caller))

    async def own_key(self, request: Request) -> Response:
        """Tell a caller what its key is for, and how long it is valid."""
        caller = self._keys.caller(_bearer(request), datetime.now(UTC))
        return verdicts.unauthorised() if caller is None else verdicts.key(caller)

    async def public_keys(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Return the keys that platforms seal to, and the one that verifies records."""
        key = bytes(self._reception.gateway.records.verify_key)
        document = json.loads(self._reception.public.to_json())
        answer = verdicts.document(document | {"record": [{"kid": to_text(kid(key)), "key": to_text(key)}]})
        answer.headers["Access-Control-Allow-Origin"] = "*"  # a page that seals may come from any origin
        return answer

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Return the OpenAPI description of this API."""
        return Response(self._openapi, media_type="application/json")

    async def _by_method(self, request: Request) -> Response:
        kind, handler = {"PUT": ("add", self.add), "DELETE": ("cancel", self.cancel)}.get(
            request.method, ("read", self.show)
        )
        return await self._for(kind, handler)(request)

    def _for(self, kind: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Let in those who may call, and answer every error in the same way."""
        scope = Scope.ADD if kind == "batch" else Scope(kind)

        async def handle(request: Request) -> Response:
            caller = self._keys.caller(_bearer(request), datetime.now(UTC))
            if caller is None:
                return verdicts.unauthorised()
            if not self._reception.knows(caller):
                return verdicts.no_table()
            if scope not in caller.scopes:
                return verdicts.forbidden(scope)
            with self.budgets[kind].one_more() as room, self._share(kind, caller).one_more() as own_room:
                if not room or not own_room:
                    return verdicts.busy()
                return await self._try(request, caller, kind, handler)

        async def answer(request: Request) -> Response:
            return verdicts.even(await handle(request), ANSWER[kind])

        return answer

    async def _try(self, request: Request, caller: Caller, kind: str, handler: Handler) -> Response:
        try:  # a batch is counted when it is known how large it is
            wait = 0 if kind == "batch" else await self._reception.wait_for_turn(caller, kind, 1)
            return verdicts.too_fast(wait) if wait else await handler(request, caller)
        except Refused as refusal:
            return verdicts.refusal(refusal)
        except StoreUnavailable as error:
            log.warning("store_away", extra={"reason": error.why})
            return verdicts.store_away()

    def _share(self, kind: str, caller: Caller) -> Budget:
        """Return one platform's share of a budget, so that its slow clients keep no other platform waiting."""
        return self._shares.setdefault((kind, caller.platform), Budget(self.budgets[kind].most // SHARE))

    async def _refresh(self) -> None:
        """Follow keys that are made, revoked or rotated; a file that cannot be read now is tried again."""
        while True:
            await asyncio.sleep(serving.BEAT_EVERY)
            for refresh in (self._keys.refresh, self._reception.refresh):
                try:
                    await run_in_threadpool(refresh)
                except SettingsError:
                    log.error("keys_unreadable")  # noqa: TRY400 - there is nothing to trace


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" else ""


def _reference(request: Request) -> str:
    """Read the reference from the raw path, so that two references never become one. Raises Refused."""
    path, start = request.scope["raw_path"], f"{ROUTE}/".encode()
    if not path.startswith(start):  # the route was spelt differently, so the reference cannot be cut out
        raise HTTPException(404)
    if request.scope["query_string"] or _NOT_ENCODED.search(path, len(start)):
        raise Refused(Reason.REFERENCE_INVALID, "reference", "must be percent-encoded: %3F for ?, %2F for /, %25 for %")
    try:
        return unquote_to_bytes(path.removeprefix(start)).decode()
    except UnicodeDecodeError:
        raise Refused(Reason.REFERENCE_INVALID, "reference", "must be UTF-8, percent-encoded") from None


async def _read(request: Request, limit: int) -> dict[str, Any]:
    """Read a JSON object. Raises Refused."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(Reason.MEDIA_TYPE, "Content-Type", "send application/json, not compressed")
    body = await serving.read_body(request, limit)
    if body is None:
        raise Refused(Reason.TOO_LARGE, "body", f"is larger than {limit} bytes, or came too slowly")
    return read_object(body)


def _items(fields: dict[str, Any]) -> list[object]:
    names = frozenset({"reminders"})
    job.check_fields(fields, allowed=names, required=names)
    items = fields["reminders"]
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_REMINDERS:
        raise Refused(Reason.MALFORMED, "reminders", f"must be a list of 1 to {MOST_REMINDERS}")
    return items
