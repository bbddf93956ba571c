"""What an operator sees who opens the page, logs in, watches, and opens each decision that waits."""

import http.client
import re
from contextlib import closing
from urllib.parse import urlencode

from reminder_worker.errors import SettingsError

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
LOGGED_IN = 303
EVENT = b"\n\n"


def visit(port: int, name: str, password: str) -> list[bytes]:
    """Return everything that the page shows and streams. Raises SettingsError if it shows nothing."""
    status, head, _ = _ask(port, "POST", "/ops/login", urlencode({"name": name, "password": password}), FORM)
    if status != LOGGED_IN:
        raise SettingsError("audit: the operator's page lets nobody in")
    cookie = {"Cookie": (head["Set-Cookie"] or "").partition(";")[0]}
    _, _, page = _ask(port, "GET", "/ops", headers=cookie)
    links = re.findall(rb'href="(/ops/decisions/[^"]+)"', page)
    if not links:
        raise SettingsError("audit: nothing waits on the operator's page")
    confirmed = [_ask(port, "GET", link.decode(), headers=cookie)[2] for link in links]
    return [page, _event(port, cookie), *confirmed]


def _ask(
    port: int, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as line:
        line.request(method, path, body, headers or {})
        answer = line.getresponse()
        return answer.status, answer.headers, str(answer.headers).encode() + answer.read()


def _event(port: int, cookie: dict[str, str]) -> bytes:
    """Return the first event, which holds the whole page."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as line:
        line.request("GET", "/ops/events", headers=cookie)
        answer, told = line.getresponse(), b""
        while EVENT not in told and (more := answer.readline()):
            told += more
        answer.close()
        return told
