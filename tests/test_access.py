"""The log of requests: that it says how each was answered, and nothing of what was asked."""

import asyncio
import http.client
import json
import logging
import time
from contextlib import closing

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reminder_worker import access, logs
from reminder_worker.access import AccessLog
from reminder_worker.testing.outcomes import serving

REFERENCE, ATTEMPT, QUERY = "Reference-of-Dupont", "attempt-of-Dupont", "phone=33612345678&name=Dupont"


async def look(request: Request) -> Response:
    return Response(status_code=201 if request.path_params else 200)


async def fail(request: Request) -> Response:
    raise ValueError(request.url.path)


def application() -> Starlette:
    app = Starlette(
        routes=[
            Route("/livez", look),
            Route("/v1/reminders/{reference:path}", look, methods=["GET", "PUT"]),
            Route("/v1/receipts/{provider}/{attempt}", look, methods=["POST"]),
            Route("/fail/{reference}", fail),
        ]
    )
    app.add_middleware(AccessLog)
    return app


def ask(method: str, path: str) -> int:
    """Ask once, and wait until the server has ended: its line may come after its answer."""
    with (
        serving(application()) as port,
        closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection,
    ):
        connection.request(method, path, headers={"User-Agent": REFERENCE, "X-Forwarded-For": "192.0.2.77"})
        return connection.getresponse().status


def lines(caplog: pytest.LogCaptureFixture, form: str = "json") -> list[str]:
    said = [record for record in caplog.records if record.name == "reminder_worker.access"]
    return [logs.Formatter(form).format(record) for record in said]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/livez", ("GET", "/livez", 200)),
        ("PUT", f"/v1/reminders/{REFERENCE}?{QUERY}", ("PUT", "/v1/reminders/{reference}", 201)),
        ("POST", f"/v1/receipts/twilio/{ATTEMPT}", ("POST", "/v1/receipts/{provider}/{attempt}", 201)),
        ("DELETE", f"/v1/reminders/{REFERENCE}", ("DELETE", "/v1/reminders/{reference}", 405)),
        ("GET", f"/{REFERENCE}", ("GET", "none", 404)),
        ("PROPFIND", f"/v1/reminders/{REFERENCE}", ("other", "/v1/reminders/{reference}", 405)),
        ("GET", f"/fail/{REFERENCE}?{QUERY}", ("GET", "/fail/{reference}", 500)),
    ],
)
def test_a_request_is_a_line_with_its_route_and_without_what_was_asked(
    caplog: pytest.LogCaptureFixture, method: str, path: str, expected: tuple[str, str, int]
) -> None:
    caplog.set_level(logging.DEBUG, "reminder_worker")
    assert ask(method, path) == expected[2]
    (line,) = lines(caplog)
    (read,) = lines(caplog, "console")
    told = json.loads(line)
    assert (told["event"], told["method"], told["route"], told["status"]) == ("request", *expected)
    assert 0 <= told["ms"] < 10_000
    assert set(told) == {"at", "level", "event", "where", "pid", "method", "route", "status", "ms"}
    for shown in (line, read, *(repr(vars(record)) for record in caplog.records if record.name.endswith("access"))):
        assert "upont" not in shown.lower()
        assert "192.0.2.77" not in shown
        assert "127.0.0.1" not in shown


def test_a_method_that_http_does_not_know_is_refused_and_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert ask("DUPONT", f"/v1/reminders/{REFERENCE}") == 400
    assert "dupont" not in (caplog.text + " ".join(str(vars(record)) for record in caplog.records)).lower()


def test_who_leaves_before_the_answer_is_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    async def leave(*_: object) -> None:
        raise asyncio.CancelledError

    caplog.set_level(logging.INFO, "reminder_worker")
    scope = {"type": "http", "method": "GET", "path": f"/{REFERENCE}"}
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(AccessLog(leave)(scope, None, None))  # type: ignore[arg-type]
    (line,) = lines(caplog)
    assert json.loads(line)["status"] == 500


def test_how_long_a_live_page_was_open_is_withheld_from_no_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stay(*_: object) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: 3600.0)

    caplog.set_level(logging.INFO, "reminder_worker")
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    asyncio.run(AccessLog(stay)({"type": "http", "method": "GET", "path": "/"}, None, None))  # type: ignore[arg-type]
    (line,) = lines(caplog)
    assert json.loads(line)["ms"] == access.LONGEST
    assert logs.WITHHELD not in json.loads(line)


def test_what_is_no_request_is_let_through_without_a_line(caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    async def note(scope: dict, *_: object) -> None:
        seen.append(scope["type"])

    caplog.set_level(logging.INFO, "reminder_worker")
    asyncio.run(AccessLog(note)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert (seen, lines(caplog)) == (["lifespan"], [])
