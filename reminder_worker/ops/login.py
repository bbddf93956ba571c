"""Log in with name and password, and out again. No log holds what was typed: it may belong to the other field."""

import asyncio
import logging
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from reminder_worker.errors import SettingsError
from reminder_worker.ops import operators
from reminder_worker.ops.attempts import Attempts
from reminder_worker.ops.entrances import COOKIE, Addresses, Forms, Passwords, is_own
from reminder_worker.ops.pages import Pages, elsewhere
from reminder_worker.serving import read_body

FORM_LIMIT = 4096  # bytes
AT_ONCE = 2  # passwords that are checked: each takes 32 MiB
WRONG = "This name and password do not belong together."
UNREADABLE = "The file of operators cannot be read."
FLAGS = "Path=/; Secure; HttpOnly; SameSite=Strict"

log = logging.getLogger(__name__)


class Login:
    """The way in for operators who have a password."""

    def __init__(self, entrance: Passwords, addresses: Addresses, forms: Forms, pages: Pages) -> None:
        self._entrance, self._addresses, self._forms, self._pages = entrance, addresses, forms, pages
        self._attempts = Attempts()
        self._looking = asyncio.Semaphore(AT_ONCE)

    @property
    def routes(self) -> list[BaseRoute]:
        """Return the routes of logging in and out."""
        return [
            Route("/ops/login", self.show, methods=["GET"]),
            Route("/ops/login", self.log_in, methods=["POST"]),
            Route("/ops/logout", self.log_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's shape
        """Show the form."""
        return self._pages.page("login", said="")

    async def log_in(self, request: Request) -> Response:
        """Begin a session for an operator who knows the password."""
        form = await read_form(request)
        if not is_own(request) or form is None:
            return self._refuse(403, "This was not sent by the page itself. Try again.")
        name = form.get("name", "").strip().lower()
        known = name if operators.NAME.fullmatch(name) else ""  # anything that is not a name may be a password
        wait = self._attempts.one_more(known, self._addresses.caller(request))
        if wait:
            log.warning("login_limited", extra={"count": wait})
            return self._refuse(429, f"Too many tries. Wait for {wait} seconds.", wait)
        try:
            operator = self._entrance.operators.get(known)
        except SettingsError:
            log.exception("operators_unreadable")
            return self._refuse(503, UNREADABLE)
        async with self._looking:
            right = await run_in_threadpool(operators.opens, operator, form.get("password", ""))
        if operator is None or not right:
            log.warning("login_refused")
            return self._refuse(403, WRONG)
        self._attempts.succeeded(known)
        log.info("logged_in", extra={"sudo_user": known})
        answer = elsewhere("/ops")
        token = self._entrance.sessions.begin(known, operator.salt)
        answer.headers["Set-Cookie"] = f"{COOKIE}={token}; {FLAGS}"
        return answer

    async def log_out(self, request: Request) -> Response:
        """End a session."""
        form = await read_form(request)
        try:
            visitor = self._entrance.visitor(request)
        except SettingsError:
            log.exception("operators_unreadable")
            return self._refuse(503, UNREADABLE)
        genuine = visitor and form and is_own(request) and self._forms.genuine(visitor, form.get("token", ""))
        answer = elsewhere("/ops/login")
        if visitor and visitor.session and genuine:  # else another site could remove the cookie
            self._entrance.sessions.end(visitor.session)
            log.info("logged_out", extra={"sudo_user": visitor.name})
            answer.headers["Set-Cookie"] = f"{COOKIE}=; {FLAGS}; Max-Age=0"
        return answer

    def _refuse(self, status: int, said: str, wait: int = 0) -> Response:
        return self._pages.page("login", status, {"Retry-After": str(wait)} if wait else None, said=said)


async def read_form(request: Request) -> dict[str, str] | None:
    """Read a form; return None for anything else."""
    body = await read_body(request, FORM_LIMIT)
    try:
        return None if body is None else dict(parse_qsl(body.decode("ascii"), max_num_fields=10))
    except ValueError:
        return None
