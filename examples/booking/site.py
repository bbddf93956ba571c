"""The booking platform: pages, a small API, a database. It stores what it cannot read.

Name and reason come sealed to the practice, the number sealed to the reminder worker. The administrator of this process
sees which slot of which practice is taken, by an opaque id, and serves the pages: docs/end-to-end.md says what that
means.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import re
import time
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.booking import slots
from examples.booking.errands import Errands
from examples.booking.practices import token_hash
from examples.booking.register import Register, SlotTaken
from examples.booking.security import Headers
from reminder_worker import signatures
from reminder_worker.errors import Refused
from reminder_worker.serving import read_body

HERE = Path(__file__).parent
CLIENT = HERE.parents[1] / "clients/js/index.js"
VENDOR = HERE / "static/vendor"
BODY_LIMIT = 64 * 1024  # bytes
LOOK_EVERY = 0.3  # seconds, for errands
FORMS = {
    "practice": r"[a-z]{1,20}",
    "slot": r"[0-9T:+\[\]A-Za-z/_-]{20,60}",
    "card": r"[A-Za-z0-9_-]{1430}",  # 1,024 bytes in a sealed box: each card has the same length
    "pointer": r"[A-Za-z0-9_-]{204}",
}
ID = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)


class Site:
    def __init__(self, told):
        """``told`` is what the platform's operator set up: see installation.py."""
        self.practices = {practice["id"]: practice for practice in told["practices"]}
        self._token_hashes = told["token_hashes"]
        self._public_keys = Path("worker.pub.json").read_bytes()
        self._secret = signatures.Secret.load(Path("booking.whsec"))
        self._register = Register(Path("booking.db"))
        self._errands = Errands(
            self._register,
            {name: practice["place"] for name, practice in self.practices.items()},
            gateway=told["gateway"],
            api_key=Path("booking.apikey").read_text().strip(),
            pinned=told["pinned"]["key"],
        )
        shown = {"worker": told["pinned"], "practices": told["practices"], "watch": told["watch"]}
        self._pinned = f"// The keys that these pages seal to.\nexport default {json.dumps(shown, indent=2)};\n"

    def app(self):
        pages = {"/": "book", "/appointment": "appointment", "/practice": "practice"}
        appointment = "/api/appointments/{id}"
        return Starlette(
            routes=[
                *(Route(path, page(name)) for path, name in pages.items()),
                Route("/pinned.js", self.pinned),
                Route("/worker.pub.json", self.public_keys),
                Route("/js/{name}.js", script),
                Route("/api/practices/{practice}/slots", self.free),
                Route("/api/practices/{practice}/appointments", self.list),
                Route(appointment, self.book, methods=["PUT"]),
                Route(appointment, self.show, methods=["GET"]),
                Route(appointment, self.cancel, methods=["DELETE"]),
                Route(appointment + "/slot", self.move, methods=["PUT"]),
                Route("/reminder-events", self.hear, methods=["POST"]),
                Mount("/static", StaticFiles(directory=HERE / "static")),
            ],
            middleware=[Middleware(Headers)],
            lifespan=self.life,
        )

    @contextlib.asynccontextmanager
    async def life(self, _):
        task = asyncio.create_task(self._run_errands())
        yield
        task.cancel()

    async def _run_errands(self):
        while True:
            await run_in_threadpool(self._errands.run)
            await asyncio.sleep(LOOK_EVERY)

    def pinned(self, _):
        return Response(self._pinned, media_type="text/javascript")

    def public_keys(self, _):
        return Response(self._public_keys, media_type="application/json")

    def free(self, request):
        practice = self._practice(request.path_params["practice"])
        return JSONResponse(slots.free(practice["zone"], self._register.taken(practice["id"])))

    async def book(self, request):
        """Take a sealed booking; there is no field for a name, a reason or a number."""
        fields = await read(request, FORMS)
        self._offered(fields["practice"], fields["slot"])
        link_hash = token_hash(bearer(request))
        row = fields | {"id": id_of(request), "lead": slots.lead_for(fields["slot"]), "link_hash": link_hash}
        with taken_is_a_conflict():
            self._register.book(row)
        return JSONResponse({"id": row["id"]}, 201)

    def show(self, request):
        return JSONResponse(self._shown(self._allowed(request)))

    async def move(self, request):
        row = self._allowed(request)
        slot = (await read(request, {"slot": FORMS["slot"]}))["slot"]
        self._offered(row["practice"], slot)
        with taken_is_a_conflict():
            if not self._register.move(row["id"], slot, slots.lead_for(slot)):
                raise HTTPException(409, "cancelled")
        return JSONResponse(self._shown(self._register.find(row["id"])))

    def cancel(self, request):
        row = self._allowed(request)
        self._register.cancel(row["id"])
        return JSONResponse(self._shown(self._register.find(row["id"])))

    def list(self, request):
        """Give a practice what was sealed to it; only its key can open that."""
        practice = self._practice(request.path_params["practice"])
        self._check(request, self._token_hashes[practice["id"]])
        rows = self._register.of(practice["id"])
        return JSONResponse([self._shown(row) | {"card": row["card"]} for row in rows])

    async def hear(self, request):
        """Accept an event of the reminder worker's if its signature is good (docs/events.md)."""
        body = await body_of(request)
        try:
            signatures.verify(self._secret, request.headers, body, time.time())
        except Refused:
            raise HTTPException(401) from None
        self._register.hear(request.headers["webhook-id"], json.loads(body))
        return Response(status_code=204)

    def _shown(self, row):
        known = {name: row[name] for name in ("id", "practice", "slot", "answer")}
        state = {"cancelled": bool(row["cancelled"]), "told": row["told"] == row["version"]}
        return known | state | {"events": self._register.heard(row["id"])}

    def _practice(self, name):
        if name not in self.practices:
            raise HTTPException(404)
        return self.practices[name]

    def _offered(self, practice, slot):
        if slot not in slots.free(self._practice(practice)["zone"], ()):
            raise HTTPException(422, "slot")

    def _allowed(self, request):
        """Return an appointment to its patient, who has the link, and to its practice."""
        row = self._register.find(id_of(request))
        if row is None:
            raise HTTPException(404)
        self._check(request, row["link_hash"], self._token_hashes[row["practice"]])
        return row

    @staticmethod
    def _check(request, *hashes):
        shown = token_hash(bearer(request))
        if not any(hmac.compare_digest(shown, one) for one in hashes):
            raise HTTPException(403)


def page(name):
    content = (HERE / f"pages/{name}.html").read_bytes()
    return lambda _: Response(content, media_type="text/html")


def script(request):
    """Serve the project's own client and libsodium; they import each other by package name, but browsers need paths."""
    paths = {"reminder-worker": CLIENT, **{path.stem: path for path in VENDOR.glob("*.mjs")}}
    if request.path_params["name"] not in paths:
        raise HTTPException(404)
    text = paths[request.path_params["name"]].read_text("utf-8")
    text = re.sub(r'from ?"(libsodium[a-z-]*)"', r'from "./\1.js"', text)
    return Response(text, media_type="text/javascript")


def id_of(request):
    if not ID.fullmatch(request.path_params["id"]):
        raise HTTPException(404)
    return request.path_params["id"]


def bearer(request):
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind != "Bearer" or not re.fullmatch(r"[A-Za-z0-9_-]{43}", token, re.ASCII):
        raise HTTPException(401)
    return token


async def body_of(request):
    """Read a body up to the limit; the length that the request claims is not trusted."""
    body = await read_body(request, BODY_LIMIT)
    if body is None:
        raise HTTPException(413)
    return body


async def read(request: Request, forms):
    """Read exactly these fields, each in its form; an error names the field and never its content."""
    body = await body_of(request)
    try:
        fields = json.loads(body)
    except ValueError:
        raise HTTPException(400) from None
    if not isinstance(fields, dict) or fields.keys() != forms.keys():
        raise HTTPException(422, "fields")
    for name, form in forms.items():
        if not isinstance(fields[name], str) or not re.fullmatch(form, fields[name], re.ASCII):
            raise HTTPException(422, name)
    return fields


@contextlib.contextmanager
def taken_is_a_conflict():
    try:
        yield
    except SlotTaken:
        raise HTTPException(409, "taken") from None


def main():
    told = json.loads(Path("site.json").read_bytes())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvicorn.run(Site(told).app(), host="127.0.0.1", port=told["port"], log_config=None, server_header=False)


if __name__ == "__main__":
    main()
