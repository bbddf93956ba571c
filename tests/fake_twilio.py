"""A Twilio that keeps state, speaks real HTTP on 127.0.0.1 and can be told how to fail.

Every request is checked against Twilio's own OpenAPI document where that lies beside the checkout, and
against the names of the parameters that we mean to send; ``close`` fails where one did not keep to them.

    with FakeTwilio() as twilio:
        twilio.refuse(21610)
        provider = load("twilio", twilio.table(tmp_path))
"""

import base64
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reminder_worker.testing.peer import Handler, Peer, Request, Response

SPECIFICATION = Path(__file__).parents[1] / "../shared/specs/twilio-messages.json"
ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "a-token-for-tests"
SENDER = "+15005550006"
PARAMETERS = frozenset(
    {
        "To",
        "Body",
        "From",
        "MessagingServiceSid",
        "ValidityPeriod",
        "ContentRetention",
        "AddressRetention",
        "StatusCallback",
    }
)
MAGIC = {  # Twilio's documented test numbers
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}


class FakeTwilio(Peer):
    """One account; ``messages`` holds what was accepted, with all its parameters, in order."""

    def __init__(self, *, certificate: Path | None = None) -> None:
        super().__init__(certificate=certificate)
        self.answer = lambda request, number: Response.of(_resource(request.form, number), 201)
        self.look = self._check

    @property
    def messages(self) -> list[dict[str, str]]:
        """Return the form of each text that was accepted."""
        return [request.form for request in self.accepted]

    def table(self, folder: Path, **changes: Any) -> dict[str, Any]:
        """The settings table of a provider that talks to this server."""
        token_file = folder / "token"
        token_file.write_text(TOKEN + "\n")
        table = {"account_sid": ACCOUNT, "auth_token_file": str(token_file), "from": SENDER, "base_url": self.url}
        return {**table, **changes}

    def refuse(self, code: int, status: int = 400, times: int = 1) -> None:
        """Answer as Twilio does, with the number in its words."""
        self.plan(lambda handler, request: handler.reply(refusal(status, code, request.form)), times)

    def throttle(self, retry_after: str | None = None, times: int = 1) -> None:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        self.plan(lambda handler, request: handler.reply(refusal(429, 20429, request.form, headers)), times)

    def fail_after_accepting(self, times: int = 1) -> None:
        def fault(handler: Handler, request: Request) -> None:
            self.accept(request)
            handler.reply(refusal(500, 20500, request.form))

        self.plan(fault, times)

    def _check(self, request: Request) -> Response | None:
        """Refuse what Twilio would refuse; None where it accepts."""
        if request.headers["authorization"] != _basic(ACCOUNT, TOKEN):
            return refusal(401, 20003, request.form)
        if request.method == "DELETE":
            return Response(204)
        if request.path != f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json":
            return refusal(404, 20404, request.form)
        code = MAGIC.get(request.form["To"])
        return refusal(400, code, request.form) if code else None

    def arrived(self, request: Request) -> None:
        """Hold every request against Twilio's rules."""
        if request.method == "POST":
            with self.lock:
                self.mistakes += violations(request)


def refusal(status: int, code: int, form: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    words = f"The number {form.get('To')} cannot be texted: {form.get('Body')}"
    problem = {"code": code, "message": words, "more_info": f"https://www.twilio.com/docs/errors/{code}"}
    whole = json.dumps(problem | {"status": status}).encode()
    return Response(status, whole, {"Content-Type": "application/json", **(headers or {})})


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _resource(form: dict[str, str], number: int) -> dict[str, Any]:
    sid = f"SM{number:032x}"
    return {
        "account_sid": ACCOUNT,
        "api_version": "2010-04-01",
        "body": form["Body"],
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "date_sent": None,
        "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From"),
        "messaging_service_sid": form.get("MessagingServiceSid"),
        "num_media": "0",
        "num_segments": "0" if "MessagingServiceSid" in form else "1",
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": "accepted" if "MessagingServiceSid" in form else "queued",
        "subresource_uris": {"media": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}/Media.json"},
        "to": form["To"],
        "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json",
    }


# Twilio's rules


@functools.cache
def specification() -> Any:
    """Twilio's OpenAPI document; None where it does not lie beside the checkout."""
    if not SPECIFICATION.exists():
        return None
    from openapi_core import OpenAPI  # noqa: PLC0415 takes half a second

    return OpenAPI.from_dict(json.loads(SPECIFICATION.read_text()))


@dataclass
class SpecifiedRequest:
    """A request, as openapi-core wants to see it."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "post"
    host_url: str = "https://api.twilio.com"

    def __post_init__(self) -> None:
        from openapi_core.datatypes import RequestParameters  # noqa: PLC0415
        from werkzeug.datastructures import Headers, ImmutableMultiDict  # noqa: PLC0415

        self.content_type = self.headers.get("Content-Type", "")
        self.parameters = RequestParameters(query=ImmutableMultiDict(), header=Headers(self.headers))


def violations(request: Request) -> list[str]:
    form = request.form
    found = [f"unexpected parameter {name}" for name in form.keys() - PARAMETERS]
    validity = form.get("ValidityPeriod", "1")
    if validity.isdigit() and not 1 <= int(validity) <= 36000:
        found.append("ValidityPeriod out of bounds")  # in the words of the document, not in its schema
    if specification() is not None:
        headers = {name.title(): value for name, value in request.headers.items()}
        specified = SpecifiedRequest(urlsplit(request.path).path, headers, request.body)
        found += [repr(error.__cause__ or error) for error in specification().iter_request_errors(specified)]
    return found
