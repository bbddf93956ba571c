import base64
import functools
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
import yaml
from fake_twilio import SpecifiedRequest
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from reminder_worker.errors import (
    Ambiguous,
    Misconfigured,
    NotSent,
    Reason,
    Refused,
    Rejected,
    ReminderError,
    SettingsError,
    Throttled,
)
from reminder_worker.job import State
from reminder_worker.logs import Formatter
from reminder_worker.providers import Receipt, Reply, Role, Sent, load
from reminder_worker.providers.messagebird import CODES, FAILURES, STATUSES, MessageBird
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, CLASSES, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.testing.reports import REPLIES
from reminder_worker.webhooks import WebhookRequest

SPECIFICATION = Path(__file__).parents[2] / "../shared/specs/messagebird-sms.yaml"
ACCESS_KEY, SIGNING_KEY = "an-access-key-for-tests", "a-signing-key-for-tests-of-32-bytes-or-more"
HEADER = "messagebird-signature-jwt"
RECEIPTS = f"https://hooks.example/v1/receipts/messagebird/{REFERENCE}"
PARAMETERS = frozenset({"originator", "recipients", "body", "type", "datacoding", "reference", "validity", "reportUrl"})
ID = "f28bbe526fc14974b3e7e663a6139b53"
ASKED = datetime(2026, 5, 20, 12, 50, 28, tzinfo=UTC)


# A MessageBird that holds what it is asked against its own document


@functools.cache
def specification() -> Any:
    """MessageBird's OpenAPI document; None where it does not lie beside the checkout."""
    if not SPECIFICATION.exists():
        return None
    from openapi_core import OpenAPI  # noqa: PLC0415 takes half a second

    return OpenAPI.from_dict(yaml.safe_load(SPECIFICATION.read_text()))


def violations(request: Request) -> list[str]:
    found: list[str] = []
    if request.method == "POST":
        found += [f"unexpected parameter {name}" for name in request.json.keys() - PARAMETERS]
        found += ["reference is too long"] * (len(request.json.get("reference", "")) > 128)
        found += ["no such datacoding"] * (request.json.get("datacoding") not in {"plain", "unicode"})
    if specification() is not None:
        headers = {name.title(): value for name, value in request.headers.items()}
        path = "/messages" + urlsplit(request.path).path  # the document says it twice: as server and as path
        method, host = request.method.lower(), "https://rest.messagebird.com"
        asked = SpecifiedRequest(path, headers, request.body, method, host)
        query = ImmutableMultiDict(parse_qsl(urlsplit(request.path).query))
        asked.parameters = RequestParameters(query=query, header=Headers(headers))
        found += [repr(error.__cause__ or error) for error in specification().iter_request_errors(asked)]
    return found


class FakeMessageBird(Peer):
    def arrived(self, request: Request) -> None:
        with self.lock:
            self.mistakes += violations(request)


def message(number: int = 1, **changes: Any) -> dict[str, Any]:
    name = f"{number:032x}"
    whole = {
        "id": name,
        "href": f"https://rest.messagebird.com/messages/{name}",
        "direction": "mt",
        "type": "sms",
        "originator": "Praxis",
        "body": BODY,
        "reference": REFERENCE,
        "validity": 7200,
        "gateway": 10,
        "typeDetails": {},
        "datacoding": "plain",
        "mclass": 1,
        "scheduledDatetime": None,
        "createdDatetime": "2022-07-01T16:16:51+00:00",
        "recipients": {
            "totalCount": 1,
            "totalSentCount": 1,
            "totalDeliveredCount": 0,
            "totalDeliveryFailedCount": 0,
            "items": [
                {
                    "recipient": int(NUMBER[1:]),
                    "status": "sent",
                    "statusDatetime": "2022-07-01T16:16:51+00:00",
                    "messagePartCount": 1,
                }
            ],
        },
    }
    return whole | changes


def refusal(code: object, parameter: str | None = None, http: int = 422, words: str = "") -> Response:
    fault = {"code": code, "description": f"{words} ({NUMBER}): {BODY}", "parameter": parameter}
    return Response.of({"errors": [fault]}, http)


NO_RECIPIENT = "no (correct) recipients found"
TRIAL = f"{NO_RECIPIENT}. Note: during your test period you can only send messages to your own number"


def signed(
    url: str, body: bytes = b"", key: str = SIGNING_KEY, algorithm: str = "HS256", **changes: object
) -> WebhookRequest:
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": "MessageBird",
        "nbf": now,
        "exp": now + 60,
        "jti": "59a244dc-e9ad-4e23-9778-371faa238f72",
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
    }
    if body:
        claims["payload_hash"] = hashlib.sha256(body).hexdigest()
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    headers = {HEADER: jwt.encode(claims, key, algorithm)}
    method = "POST" if body else "GET"
    return WebhookRequest(method, url, headers, body, REFERENCE if "/receipts/" in url else "")


def report(status: str = "delivered", **changes: str) -> dict[str, str]:
    form = {
        "id": message()["id"],
        "reference": REFERENCE,
        "recipient": NUMBER[1:],
        "status": status,
        "statusDatetime": "2016-05-03T08:58:10+00:00",
        "price[amount]": "0.000",
        "price[currency]": "EUR",
        "mccmnc": "20810",
    }
    return form | changes


def inbound(said: str, sender: str = NUMBER[1:]) -> dict[str, Any]:
    return {
        "id": "b6aae1b5dfb2427a8f7ea6a717ba31a9",
        "message_id": "3b53c137369242138120d6b0b2122607",
        "recipient": "31970000000",
        "originator": sender,
        "body": said,
        "createdDatetime": "2023-07-27T00:49:29+00:00",
        "mms": False,
    }


# The contract


class TestMessageBird(ProviderContract):
    names_replies = False
    plug_in = "messagebird"
    refusals: ClassVar = {
        "wrong number": (refusal(9, "recipient", words=NO_RECIPIENT), Reason.NUMBER_REFUSED),
        "wrong number, said otherwise": (refusal(10, "recipients", words="is invalid"), Reason.NUMBER_REFUSED),
        "trial account": (refusal(9, "recipient", words=TRIAL), Reason.NOT_SENT),
        "text": (refusal(10, "body"), Reason.CONTENT_REFUSED),
        "sender": (refusal(9, "originator"), Reason.MISCONFIGURED),
        "access key": (refusal(2, "access_key", 401, "Request not allowed"), Reason.MISCONFIGURED),
        "credit": (refusal(25, None, 402), Reason.MISCONFIGURED),
        "something is missing": (refusal(9), Reason.NOT_SENT),
    }
    unknown_refusal = refusal(987, "recipient")
    busy = refusal(987, None, 429)
    receipts: ClassVar = {
        "scheduled": (State.SENT, None),
        "sent": (State.SENT, None),
        "buffered": (State.SENT, None),
        "delivered": (State.DELIVERED, None),
        "expired": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "expired/unavailable subscriber": (State.UNDELIVERED, Reason.UNREACHABLE),
        "expired/DLR not received": (None, None),
        "delivery_failed": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "delivery_failed/unknown_subscriber": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "delivery_failed/received network error/34": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "delivery_failed/something/1": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "delivery_failed/unknown subscriber/103": (State.UNDELIVERED, Reason.OPTED_OUT),
        "abducted": (None, None),
    }

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with FakeMessageBird() as peer:
            peer.answer = self.yes
            yield peer

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "access").write_text(ACCESS_KEY + "\n")
        (folder / "signing").write_text(SIGNING_KEY)
        return {
            "access_key_file": str(folder / "access"),
            "signing_key_file": str(folder / "signing"),
            "from": "Praxis",
            "base_url": url,
            "callback_url": "https://hooks.example",
        }

    def yes(self, request: Request, number: int) -> Response:
        if request.method == "DELETE":
            return Response(204)
        return Response.of(message(number), 201)

    def message_id(self, number: int) -> str:
        return message(number)["id"]

    def validity(self, request: Request) -> timedelta:
        return timedelta(seconds=request.json["validity"])

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        status, reason, code, *_ = (*word.split("/"), "", "")
        changes = {"statusReason": reason} if reason else {}
        changes |= {"statusErrorCode": code} if code else {}
        form = report(status, id=message_id, reference=url.rpartition("/")[2], **changes)
        return signed(f"{url}?{urlencode(form)}")

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return signed(url, json.dumps(inbound(text, sender.removeprefix("+"))).encode())


# What is sent


@pytest.fixture
def peer() -> Iterator[FakeMessageBird]:
    with FakeMessageBird() as peer:
        peer.answer = TestMessageBird().yes
        yield peer


def built(peer: Peer | None, folder: Path, role: Role = Role.SEND, **changes: Any) -> MessageBird:
    table = TestMessageBird().table(peer.url if peer else "http://127.0.0.1:1", folder) | changes
    provider = load("messagebird", {name: value for name, value in table.items() if value is not None}, role)
    assert isinstance(provider, MessageBird)
    return provider


@pytest.fixture
def messagebird(peer: FakeMessageBird, tmp_path: Path) -> Iterator[MessageBird]:
    provider = built(peer, tmp_path)
    yield provider
    provider.close()


@pytest.fixture
def hearer(tmp_path: Path) -> Iterator[MessageBird]:
    provider = built(None, tmp_path, Role.HEAR)
    yield provider
    provider.close()


def test_a_text_is_one_message(peer: FakeMessageBird, messagebird: MessageBird) -> None:
    assert send(messagebird) == Sent(f"{1:032x}", 1)
    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/messages")
    assert request.headers["authorization"] == f"AccessKey {ACCESS_KEY}"
    assert request.json == {
        "originator": "Praxis",
        "recipients": ["33612340015"],
        "body": BODY,
        "type": "sms",
        "datacoding": "plain",
        "reference": REFERENCE,
        "validity": 7200,
        "reportUrl": RECEIPTS,
    }


@pytest.mark.skipif(not SPECIFICATION.exists(), reason="MessageBird's OpenAPI document is not beside the checkout")
@pytest.mark.parametrize(
    "changes",
    [
        {"validity": "soon"},
        {"recipients": NUMBER},
        {"type": "letter"},
        {"datacoding": "gsm"},
        {"body": None},
        {"originator": 31970000000},
        {"refrence": "x"},
        {"reference": "x" * 129},
    ],
    ids=repr,
)
def test_the_fake_notices_what_messagebird_would_not_take(messagebird: MessageBird, changes: dict[str, Any]) -> None:
    document = {name: value for name, value in (messagebird._parameters(text()) | changes).items() if value is not None}
    headers = {"content-type": "application/json", "authorization": "AccessKey x"}
    assert violations(Request("POST", "/messages", headers, json.dumps(document).encode()))


@pytest.mark.skipif(not SPECIFICATION.exists(), reason="MessageBird's OpenAPI document is not beside the checkout")
def test_the_fake_answers_as_messagebird_specifies() -> None:
    post = yaml.safe_load(SPECIFICATION.read_text())["paths"]["/messages"]["post"]["responses"]
    example = post["201"]["content"]["application/json"]["examples"]["example-0"]["value"]
    assert message().keys() == example.keys()
    assert message()["recipients"]["items"][0].keys() == example["recipients"]["items"][0].keys()
    refused = post["422"]["content"]["application/json"]["example"]["errors"][0]
    assert json.loads(refusal(9).body)["errors"][0].keys() == refused.keys()
    assert "test period" in refused["description"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [("demain à 14 h 30, 5 €", "plain"), ("lundi 3 août", "unicode"), ("نعم", "unicode"), ("👍", "unicode")],
)
def test_a_text_arrives_as_it_is(peer: FakeMessageBird, messagebird: MessageBird, body: str, expected: str) -> None:
    send(messagebird, text(body=body))
    assert (peer.requests[0].json["datacoding"], peer.requests[0].json["body"]) == (expected, body)


@pytest.mark.parametrize(
    ("valid_for", "expected"),
    [
        (timedelta(seconds=-5), 1),
        (timedelta(milliseconds=300), 1),
        (timedelta(seconds=59.9), 59),
        (timedelta(hours=48), 172_800),
        (timedelta(days=30), 172_800),
    ],
)
def test_a_text_always_expires_at_messagebird(
    peer: FakeMessageBird, messagebird: MessageBird, valid_for: timedelta, expected: int
) -> None:
    send(messagebird, text(valid_for=valid_for))
    assert peer.requests[0].json["validity"] == expected


def test_a_text_that_cannot_be_encoded_is_not_sent(peer: FakeMessageBird, messagebird: MessageBird) -> None:
    assert type(failure(messagebird, text(body="\ud800"))) is NotSent
    assert not peer.requests


def test_without_hooks_no_receipt_is_asked_for(peer: FakeMessageBird, tmp_path: Path) -> None:
    provider = built(peer, tmp_path, callback_url=None)
    assert not provider.capabilities.receipt_carries_reference
    assert provider.capabilities.settles  # a search can still tell
    send(provider)
    assert "reportUrl" not in peer.requests[0].json
    provider.close()


def test_the_timeout_of_the_settings_ends_a_call(peer: FakeMessageBird, tmp_path: Path) -> None:
    provider = built(peer, tmp_path, timeout=0.8)
    peer.hang_after_accepting()
    began = time.monotonic()
    assert type(failure(provider, seconds=60)) is Ambiguous
    assert time.monotonic() - began < 3
    provider.close()


def test_what_messagebird_can_do_is_said(messagebird: MessageBird, tmp_path: Path) -> None:
    can = messagebird.capabilities
    assert can.searches
    assert can.validity
    assert can.forgets
    assert not can.deduplicates | can.finds_by_reference | can.redacts | can.receipts_by_id
    assert not built(None, tmp_path, redact="off").capabilities.forgets


# What is answered


@pytest.mark.parametrize(("code", "reason"), CODES.items())
def test_every_known_code_has_one_meaning(
    peer: FakeMessageBird, messagebird: MessageBird, code: int, reason: Reason
) -> None:
    peer.respond(refusal(code))
    error = failure(messagebird)
    assert (type(error), error.reason) == (CLASSES.get(reason, Rejected), reason)
    assert len(peer.requests) == 1


def test_the_tables_say() -> None:
    assert CODES == {2: Reason.MISCONFIGURED, 20: Reason.MISCONFIGURED, 25: Reason.MISCONFIGURED}
    assert STATUSES.keys() == {"scheduled", "sent", "buffered", "delivered", "expired", "delivery_failed"}
    assert FAILURES["103"] is Reason.OPTED_OUT
    assert {FAILURES[code] for code in ("1", "5", "9", "10", "11", "12")} == {Reason.NUMBER_REFUSED}


@pytest.mark.parametrize(
    ("parameter", "words", "expected"),
    [
        ("recipient", NO_RECIPIENT, Rejected),
        ("recipients", NO_RECIPIENT, Rejected),
        ("recipient", TRIAL, NotSent),  # says something of the account, not of the person
        ("body", "", Rejected),
        ("originator", "", Misconfigured),
        ("reportUrl", "", Misconfigured),
        ("validity", "", Misconfigured),
        (None, "", NotSent),
    ],
)
@pytest.mark.parametrize("code", [9, 10])
def test_a_refused_parameter_is_judged_by_its_name(
    peer: FakeMessageBird,
    messagebird: MessageBird,
    code: int,
    parameter: str | None,
    words: str,
    expected: type[ReminderError],
) -> None:
    peer.respond(refusal(code, parameter, words=words))
    assert type(failure(messagebird)) is expected


@pytest.mark.parametrize(
    ("code", "http", "expected"),
    [
        (99, 400, Ambiguous),  # unknown: never Rejected
        (21, 400, Ambiguous),
        (99, 401, Misconfigured),
        (99, 402, Misconfigured),
        (99, 403, Misconfigured),
        (2, 429, Throttled),
        (25, 500, Ambiguous),  # a refusal by code does not count in a server's failure
        (25, 503, Ambiguous),
        (25, 200, Ambiguous),
        (25, 302, Ambiguous),
        (25, 307, Misconfigured),
        ("25", 422, Ambiguous),
        (None, 422, Ambiguous),
        (25.5, 422, Ambiguous),
        (int(NUMBER[1:]), 422, Ambiguous),
    ],
)
def test_http_and_code_are_read_together(
    peer: FakeMessageBird, messagebird: MessageBird, code: object, http: int, expected: type[ReminderError]
) -> None:
    peer.respond(refusal(code, None, http))
    assert type(failure(messagebird)) is expected


def test_refusals_that_differ_are_ambiguous(peer: FakeMessageBird, messagebird: MessageBird) -> None:
    faults = [{"code": 9, "description": "", "parameter": "recipient"}, {"code": 99, "description": "?"}]
    peer.respond(Response.of({"errors": faults}, 422))
    assert type(failure(messagebird)) is Ambiguous


@pytest.mark.parametrize("name", ["", "x", "0" * 65, ID + "\n", f"{ID}/..", None, 7])
def test_an_acceptance_without_a_name_is_ambiguous(
    peer: FakeMessageBird, messagebird: MessageBird, name: object
) -> None:
    peer.respond(Response.of(message(id=name), 201), accept=True)
    assert type(failure(messagebird)) is Ambiguous


@pytest.mark.parametrize(("http", "expected"), [(500, Ambiguous), (400, Ambiguous), (307, Misconfigured)])
def test_a_message_in_a_failure_is_no_acceptance(
    peer: FakeMessageBird, messagebird: MessageBird, http: int, expected: type[ReminderError]
) -> None:
    peer.respond(Response.of(message(), http))
    assert type(failure(messagebird)) is expected


@pytest.mark.parametrize(
    ("answer", "http", "code"),
    [
        (refusal(25), 422, "25"),
        (refusal(2, "access_key", 401), 401, "2"),
        (refusal(99, None, 500), 500, "99"),
        (refusal(int(NUMBER[1:])), 422, "unknown"),
        (Response(422, b"<html>"), 422, "unknown"),
    ],
)
def test_an_operator_is_told_the_code_and_nothing_else(
    peer: FakeMessageBird,
    messagebird: MessageBird,
    caplog: pytest.LogCaptureFixture,
    answer: Response,
    http: int,
    code: str,
) -> None:
    peer.respond(answer)
    failure(messagebird)
    (record,) = caplog.records
    line = json.loads(Formatter().format(record))
    seen = (line["event"], line["provider"], line["status"], line["code"])
    assert seen == ("provider_answer", "messagebird", http, code)
    assert not leaks(json.dumps(line))


# What is looked up, and deleted


def listing(*messages: dict[str, Any]) -> Response:
    links = {"first": None, "previous": None, "next": None, "last": None}
    count = len(messages)
    return Response.of(
        {"offset": 0, "limit": 20, "count": count, "totalCount": count, "links": links, "items": messages}
    )


def test_a_search_finds_the_text_with_our_reference(peer: FakeMessageBird, messagebird: MessageBird) -> None:
    other = message(1, reference=REFERENCE[:-1] + "x")
    nobodys = message(2, reference=None)
    theirs = message(3, direction="mo")
    peer.respond(listing(other, nobodys, theirs, message(4), other))
    asked = ASKED.astimezone(timezone(timedelta(hours=2)))
    assert messagebird.search(text(), asked) == Sent(f"{4:032x}", 1)
    (request,) = peer.requests
    since = "2026-05-20T12:40:28+00:00"
    assert request.query == {"recipient": "33612340015", "direction": "mt", "from": since, "limit": "20"}


@pytest.mark.parametrize(
    "answer",
    [
        listing(),
        listing(message(1, reference="")),
        listing(message(1, id="../x")),
        replace(listing(message()), status=500),
        Response(200, b"<html>"),
        Response.of({"items": None}),
        refusal(2, "access_key", 401),
    ],
)
def test_a_search_that_finds_nothing_says_nothing(
    peer: FakeMessageBird, messagebird: MessageBird, answer: Response
) -> None:
    peer.respond(answer)
    assert messagebird.search(text(), ASKED) is None


def test_a_search_that_cannot_connect_finds_nothing(tmp_path: Path) -> None:
    assert built(None, tmp_path).search(text(), ASKED) is None


def test_a_message_is_deleted_by_its_name(peer: FakeMessageBird, messagebird: MessageBird) -> None:
    messagebird.forget(ID)
    assert [(request.method, request.path) for request in peer.requests] == [("DELETE", f"/messages/{ID}")]
    peer.look = lambda _: refusal(20, None, 404, "message not found")
    messagebird.forget(ID)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(2, "access_key", 401), Misconfigured),
        (refusal(99, None, 429), Throttled),
        (refusal(99, None, 422), Ambiguous),
        (Response(500), Ambiguous),
    ],
)
def test_what_is_not_deleted_is_an_error(
    peer: FakeMessageBird, messagebird: MessageBird, answer: Response, expected: type[ReminderError]
) -> None:
    peer.respond(answer)
    with pytest.raises(ReminderError) as caught:
        messagebird.forget(ID)
    assert type(caught.value) is expected


# What MessageBird calls with

VECTOR_KEY = "36efdd1aace2e26cd490f0d951138253bef2f7c6d34d18981da781555cc4cebb"
VECTOR = (  # the first one of webhook_signature_test_data.json in MessageBird's Python SDK
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTYyNTQ3OTIwMCwiZXhwIjoxNjI1NDc5MjYwLCJq"
    "dGkiOiI1OWEyNDRkYy1lOWFkLTRlMjMtOTc3OC0zNzFmYWEyMzhmNzIiLCJ1cmxfaGFzaCI6IjBmMTE1ZGIwNjJiN2MwZGQwMzBiMTY4NzhjOTlkZW"
    "E1YzM1NGI0OWRjMzdiMzhlYjg4NDYxNzljNzc4M2U5ZDcifQ.6Fp0rVOsRr1fj9S2GidXAfkmPVofKr8_RTffC6G6r2E"
)


@pytest.mark.parametrize(
    ("at", "url", "reason"),
    [
        ("2021-07-05T10:00:00+00:00", "https://example.com/", Reason.MALFORMED),  # genuine, and no reply
        ("2021-07-05T10:01:29+00:00", "https://example.com/", Reason.MALFORMED),
        ("2021-07-05T10:01:31+00:00", "https://example.com/", Reason.SIGNATURE_INVALID),  # over
        ("2021-07-05T09:59:00+00:00", "https://example.com/", Reason.SIGNATURE_INVALID),  # not yet
        ("2021-07-05T10:00:00+00:00", "https://example.com/x", Reason.SIGNATURE_INVALID),
    ],
)
def test_a_signature_is_the_one_of_messagebirds_sdk(
    tmp_path: Path, time_machine: Any, at: str, url: str, reason: Reason
) -> None:
    (tmp_path / "vector").write_text(VECTOR_KEY)
    hearer = built(None, tmp_path, Role.HEAR, signing_key_file=str(tmp_path / "vector"))
    time_machine.move_to(at, tick=False)
    with pytest.raises(Refused) as caught:
        hearer.parse_reply(WebhookRequest("GET", url, {HEADER: VECTOR}, b""))
    assert caught.value.reason is reason


def is_refused(hearer: MessageBird, request: WebhookRequest, reason: Reason = Reason.SIGNATURE_INVALID) -> None:
    parse = hearer.parse_receipt if request.reference else hearer.parse_reply
    with pytest.raises(Refused) as caught:
        parse(request)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": int(time.time()) - 3600}, id="over"),
        pytest.param({"nbf": int(time.time()) + 3600}, id="not yet"),
        {"exp": None},
        {"nbf": None},
        {"iss": None},
        {"iss": "SomebodyElse"},
        {"jti": None},
        {"url_hash": None},
        {"url_hash": ""},
        {"url_hash": 7},
        {"url_hash": "0" * 64},
        {"payload_hash": None},
        {"payload_hash": "0" * 64},
        {"payload_hash": "é"},
    ],
    ids=repr,
)
def test_what_a_signature_says_is_held_against_the_call(hearer: MessageBird, changes: dict[str, object]) -> None:
    is_refused(hearer, signed(REPLIES, json.dumps(inbound("STOP")).encode(), **changes))


def test_a_body_that_was_added_or_taken_away_is_refused(hearer: MessageBird) -> None:
    body = json.dumps(inbound("STOP")).encode()
    is_refused(hearer, replace(signed(REPLIES), body=body))
    is_refused(hearer, replace(signed(REPLIES, body), body=b""))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", VECTOR])
def test_a_signature_that_is_none_is_refused(hearer: MessageBird, token: str) -> None:
    is_refused(hearer, replace(signed(REPLIES), headers={HEADER: token}))
    is_refused(hearer, replace(signed(REPLIES), headers={}))


def test_another_key_and_another_algorithm_are_refused(hearer: MessageBird) -> None:
    url = f"{RECEIPTS}?{urlencode(report())}"
    is_refused(hearer, signed(url, key=SIGNING_KEY + "x"))
    is_refused(hearer, signed(url, key=SIGNING_KEY * 2, algorithm="HS512"))
    is_refused(hearer, signed(url, key="", algorithm="none"))
    assert hearer.parse_receipt(signed(url)).state is State.DELIVERED


@pytest.mark.filterwarnings("ignore:The HMAC key is")
def test_who_has_no_key_believes_nobody(messagebird: MessageBird) -> None:
    now = int(time.time())
    claims = {"iss": "MessageBird", "nbf": now, "exp": now + 60, "jti": "1"}
    claims["url_hash"] = hashlib.sha256(f"{REPLIES}?originator=33612340015&body=STOP".encode()).hexdigest()
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    content = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(b"", content, "sha256")).rstrip(b"=")
    headers = {HEADER: (content + b"." + signature).decode()}
    is_refused(messagebird, WebhookRequest("GET", f"{REPLIES}?originator=33612340015&body=STOP", headers, b""))


def test_a_receipt_counts_only_for_the_attempt_that_it_names(hearer: MessageBird) -> None:
    other = REFERENCE[:-1] + "x"
    is_refused(hearer, signed(f"{RECEIPTS}?{urlencode(report(reference=other))}"))
    nameless = {name: value for name, value in report().items() if name != "reference"}
    is_refused(hearer, signed(f"{RECEIPTS}?{urlencode(nameless)}"))
    with pytest.raises(Refused):
        hearer.parse_receipt(replace(signed(f"{RECEIPTS}?{urlencode(report())}"), reference=""))


@pytest.mark.parametrize("changes", [{"id": ""}, {"id": "x" * 65}, {"status": ""}])
def test_a_receipt_without_a_name_is_malformed(hearer: MessageBird, changes: dict[str, str]) -> None:
    is_refused(hearer, signed(f"{RECEIPTS}?{urlencode(report() | changes)}"), Reason.MALFORMED)


@pytest.mark.parametrize("reason", ["DLR not received", "dlr_not_received"])
def test_no_word_from_the_network_is_no_failure(hearer: MessageBird, reason: str) -> None:
    url = f"{RECEIPTS}?{urlencode(report('expired', statusReason=reason))}"
    assert hearer.parse_receipt(signed(url)) == Receipt(REFERENCE, None, message()["id"])


def test_a_receipt_is_no_reply(hearer: MessageBird) -> None:
    is_refused(hearer, signed(f"{REPLIES}?{urlencode(report())}"), Reason.MALFORMED)


@pytest.mark.parametrize("words", ["STOP", "так & = é 👍", "a+b c%20d", ""])
@pytest.mark.parametrize("name", ["body", "payload", "message"])
def test_a_reply_is_read_however_it_comes(hearer: MessageBird, name: str, words: str) -> None:
    form = {"originator": NUMBER[1:], "recipient": "31970000000", name: words}
    for request in (
        signed(f"{REPLIES}?{urlencode(form)}"),
        signed(REPLIES, urlencode(form).encode()),
        signed(REPLIES, json.dumps(form).encode()),
        signed(REPLIES, json.dumps(form | {"originator": int(NUMBER[1:])}).encode()),
        signed(REPLIES, json.dumps(form | {"originator": NUMBER}).encode()),
    ):
        assert hearer.parse_reply(request) == Reply(NUMBER, words)


@pytest.mark.parametrize("sender", ["", "Praxis", "1234", "++33612340015", "٣٣٦١٢٣٤", "0612340015", "0033612340015"])
def test_a_sender_that_is_no_number_is_malformed(hearer: MessageBird, sender: str) -> None:
    is_refused(hearer, signed(REPLIES, json.dumps(inbound("STOP", sender)).encode()), Reason.MALFORMED)


@pytest.mark.parametrize("body", [b"{", b'{"originator": [1]}', b"\xff", b"a=1&a=2", b"{}"])
def test_a_reply_that_cannot_be_read_is_malformed(hearer: MessageBird, body: bytes) -> None:
    is_refused(hearer, signed(REPLIES, body), Reason.MALFORMED)


# Settings


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"from": "A name too long"}, "from"),
        ({"from": "&secret"}, "from"),
        ({"base_url": "http://api.secret.example"}, "base_url"),
        ({"redact": "secret"}, "redact"),
        ({"callback_url": "http://hooks.secret.example"}, "callback_url"),
        ({"access_key": "secret"}, "access_key"),
        ({"access_key_file": "/no/such/secret"}, "access_key_file"),
        ({"signing_key_file": None}, "signing_key_file"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(tmp_path: Path, changes: dict[str, Any], setting: str) -> None:
    with pytest.raises(SettingsError) as caught:
        built(None, tmp_path, **changes)
    assert str(caught.value).startswith(f"providers.messagebird.{setting}: ")
    assert "secret." not in str(caught.value)
    assert "/no/such" not in str(caught.value)


def test_each_process_reads_its_own_secret_only(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    assert built(None, tmp_path, Role.SEND, signing_key_file=missing)._key == ""
    assert built(None, tmp_path, Role.HEAR, access_key_file=missing)._access_key == ""
    with pytest.raises(SettingsError, match=r"^providers\.messagebird\.signing_key_file: "):
        built(None, tmp_path, Role.HEAR, signing_key_file=missing)
