"""One log line for each request: method, the route's template, status and duration; nothing of what was asked.

A path holds a reference or an attempt's secret, a query and a body hold more, and the caller may be a person: none of
these is logged. A path that no route takes has no template, and a method that HTTP does not know could be any word.
"""

import logging
import time
from http import HTTPMethod

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_ROUTE, OTHER = "none", "other"
FAULT = 500  # the status of a request that ends in an error of ours
LONGEST = 999_999  # milliseconds that a line reports: more digits could be a phone number

log = logging.getLogger(__name__)


class AccessLog:
    """Logs how each request was answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and log how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = FAULT, time.monotonic()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            took = min(round((time.monotonic() - began) * 1000), LONGEST)
            log.info("request", extra={"method": _method(scope), "route": _route(scope), "status": status, "ms": took})


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in set(HTTPMethod) else OTHER


def _route(scope: Scope) -> str:
    """Return the template of the route that matched, which Starlette leaves in the scope."""
    route = scope.get("route")
    return route.path_format if isinstance(route, Route) else NO_ROUTE
