"""The routes of the operator's page: the page, its live events, and the decisions that can be made there.

The page shows what a decision means before it is made, and the record of it has the operator's name. No visitor
stays let in: each request is checked anew.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from reminder_worker import decisions
from reminder_worker.acts import Who
from reminder_worker.decisions import Waiting
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.ops import phrases, views
from reminder_worker.ops.entrances import Entrance, Forms, Passwords, Visitor, is_own
from reminder_worker.ops.feed import Feed
from reminder_worker.ops.login import UNREADABLE, read_form
from reminder_worker.ops.pages import HEADERS, Pages, elsewhere
from reminder_worker.problems import LATER
from reminder_worker.schedule import Schedule

MOST_STREAMS = 50
LIVE = HEADERS | {"X-Accel-Buffering": "no"}  # a proxy must not hold events back until there are more

log = logging.getLogger(__name__)

Handler = Callable[[Any, Request, Visitor], Awaitable[Response]]


def _let_in(handler: Handler) -> Callable[[Any, Request], Awaitable[Response]]:
    """Check first who it is."""

    @wraps(handler)
    async def asked(desk: "Desk", request: Request) -> Response:
        try:
            visitor = desk.entrance.visitor(request)
            return desk.turn_away(request) if visitor is None else await handler(desk, request, visitor)
        except StoreUnavailable as error:
            log.warning("store_away", extra={"reason": error.why})
            return desk.say(503, f"{phrases.STORE[error.why]}. It is not known whether anything was done: look again.")
        except SettingsError:
            log.exception("operators_unreadable")
            return desk.say(503, UNREADABLE)

    return asked


class Desk:
    """The page; ``user`` is the account that this process runs under."""

    def __init__(self, schedule: Schedule, feed: Feed, entrance: Entrance, forms: Forms, pages: Pages) -> None:
        self._schedule, self._feed, self._forms, self._pages = schedule, feed, forms, pages
        self.entrance = entrance
        self.user = Who.here().user

    @property
    def routes(self) -> list[BaseRoute]:
        """Return the routes of the page."""
        return [
            Route("/ops", self.show, methods=["GET"]),
            Route("/ops/events", self.events, methods=["GET"]),
            Route("/ops/decisions/{name}/{decision}", self.ask, methods=["GET"]),
            Route("/ops/decisions", self.decide, methods=["POST"]),
            Route("/ops/assets/{name}", self.asset, methods=["GET"]),
        ]

    def turn_away(self, request: Request) -> Response:
        """Answer someone who is not let in, with a way to log in if there is one."""
        if not isinstance(self.entrance, Passwords):
            return self.say(403, "The proxy in front of this page has to say who you are.")
        if request.url.path == "/ops/events":
            return Response(status_code=403, headers=HEADERS)
        return elsewhere("/ops/login")

    async def asset(self, request: Request) -> Response:
        """Return a file beside the page, to anyone: these disclose nothing."""
        return self._pages.asset(request.path_params["name"])

    @_let_in
    async def show(self, request: Request, visitor: Visitor) -> Response:
        """Show the current state."""
        self._use(visitor)
        shown = await self._feed.shown()
        said = phrases.said(request.query_params.get("answer", ""), request.query_params.get("decision", ""))
        return self._page("page", visitor, parts=shown.parts, said=said)

    @_let_in
    async def events(self, request: Request, visitor: Visitor) -> Response:  # noqa: ARG002 - as all others
        """Stream changes as they come. Watching does not prolong a session: an operator who has left is logged out."""
        if request.method == "HEAD":
            return Response(headers=LIVE, media_type="text/event-stream")
        if self._feed.watchers >= MOST_STREAMS:
            return Response(status_code=503, headers=HEADERS | LATER)
        told = self._feed.events(lambda: self._may_watch(request))
        return StreamingResponse(told, headers=LIVE, media_type="text/event-stream")

    @_let_in
    async def ask(self, request: Request, visitor: Visitor) -> Response:
        """Show one reminder that waits, and what a decision would mean."""
        self._use(visitor)
        one = await self._find(request.path_params["name"])
        if one is None:
            return elsewhere("/ops?answer=settled#said")
        chosen = [what for what in views.choices(one) if what == request.path_params["decision"]]
        if not chosen:
            return self.say(404, "There is no such decision.")
        return self._page("confirm", visitor, one=one, decision=chosen[0])

    @_let_in
    async def decide(self, request: Request, visitor: Visitor) -> Response:
        """Do what was decided, if the reminder still waits as it did when it was shown."""
        form = await read_form(request)
        if form is None or not is_own(request) or not self._forms.genuine(visitor, form.get("token", "")):
            return self.say(403, "This was not sent by the page itself. Nothing was done.")
        self._use(visitor)
        one = await self._find(form.get("name", ""))
        if one is None or form.get("score") != str(one.score):
            return elsewhere("/ops?answer=settled#said")
        chosen = [what for what in views.choices(one) if what == form.get("decision")]
        if not chosen:
            return self.say(404, "There is no such decision. Nothing was done.")
        who = Who(self.user, visitor.name)
        answer = await run_in_threadpool(decisions.decide, self._schedule, one, chosen[0], who)
        self._feed.expire()
        return elsewhere(f"/ops?answer={answer}&decision={chosen[0]}#said")

    def _may_watch(self, request: Request) -> bool:
        try:
            return self.entrance.visitor(request) is not None
        except SettingsError:
            return False

    async def _find(self, name: str) -> Waiting | None:
        """Return the reminder of this name; if two share it, None: they are settled elsewhere."""
        meant = await run_in_threadpool(decisions.waiting, self._schedule, name=name)
        return meant[0] if len(meant) == 1 else None

    def _use(self, visitor: Visitor) -> None:
        if visitor.session is not None and isinstance(self.entrance, Passwords):
            self.entrance.sessions.use(visitor.session)

    def _page(self, name: str, visitor: Visitor, **context: Any) -> Response:
        leaves = visitor.session is not None
        return self._pages.page(name, visitor=visitor.name, token=self._forms.token(visitor), leaves=leaves, **context)

    def say(self, status: int, said: str) -> Response:
        """Answer with a sentence."""
        return self._pages.page("said", status, said=said)
