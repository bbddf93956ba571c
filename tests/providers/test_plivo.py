"""Plivo: the promises of all providers, its signature against vectors of its own SDK, and what is special here."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import pytest

from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Refused, Rejected, SettingsError
from reminder_worker.job import State
from reminder_worker.providers import Reply, Role, Sent, load
from reminder_worker.providers.plivo import FAILURES, STATUSES, WORDS, Plivo
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.webhooks import WebhookRequest

ACCOUNT = "MA0123456789ABCDEF01"
TOKEN = "a-token-for-tests"
POWERPACK = "5ec4c8c9-cd74-42b5-9e41-0d7670d6bb46"
RECEIPTS = f"https://hooks.example/v1/receipts/acme/{REFERENCE}"
REPLIES = "https://hooks.example/v1/replies/acme"
NONCE = "05429567804466091622"

# What Plivo's Python SDK (4.63.0) signs with this token and nonce.
VECTORS: tuple[tuple[str, str, dict[str, str], str], ...] = (
    (
        "POST",
        "https://hooks.example/v1/replies/plivo",
        {
            "From": "33612340015",
            "To": "15005550006",
            "Type": "sms",
            "Text": "Arrêtez & non = 100 %",
            "MessageUUID": "db3ce55a-7f1d-11e1-8ea7-1231380bc196",
        },
        "c4+0GclM4qCfIQhuXsE5p7yC44b9V/j/HK7tmdsnTG0=",
    ),
    (
        "POST",
        "https://hooks.example/v1/replies/plivo?b=2&a=x+1",
        {"From": "33612340015", "Text": ""},
        "+oxl4Un7MH8xDxKFGTTn/Wy2rVkYtiBiBmCZqNC0+9I=",
    ),
    (
        "GET",
        "https://hooks.example/v1/replies/plivo?Text=STOP+now&From=33612340015",
        {},
        "GIFY9PgzNkJLQEDwZczL8kR+2kEVVHCUWqJKHixACp8=",
    ),
)


def refused(http: int, words: str) -> Response:
    return Response.of({"api_id": "97ceeb52-58b6-11e1-86da-77300b68f8bb", "error": words}, http)


def signature(url: str, form: Mapping[str, str], nonce: str = NONCE, token: str = TOKEN) -> str:
    """Sign a POST whose URL has no query, as Plivo does."""
    fields = "?" * bool(form) + "".join(f"{name}{form[name]}" for name in sorted(form))
    digest = hmac.new(token.encode(), f"{url}{fields}.{nonce}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def signed(url: str, form: Mapping[str, str], **headers: str) -> WebhookRequest:
    shown = {"x-plivo-signature-ma-v3": signature(url, form), "x-plivo-signature-v3-nonce": NONCE}
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return WebhookRequest("POST", url, {**kind, **shown, **headers}, urlencode(form).encode(), REFERENCE)


def callback(status: str, code: str = "", name: str = f"db3ce55a-7f1d-11e1-8ea7-{1:012x}") -> dict[str, str]:
    form = {
        "MessageUUID": name,
        "ParentMessageUUID": name,
        "PartInfo": "1 of 1",
        "To": "33612340***",  # redacted
        "From": "15005550006",
        "Type": "sms",
        "Status": status,
        "Units": "1",
        "TotalRate": "0.00250",
        "TotalAmount": "0.00250",
        "MCC": "208",
        "MNC": "10",
        "Sequence": "2",
        "MessageTime": "2026-11-09 16:00:00.000000",
        "PowerpackUUID": "",
    }
    return form | ({"ErrorCode": code} if code else {})


def violations(request: Request) -> list[str]:
    """Say what would not be in Plivo's documentation: there is no OpenAPI document of its own."""
    shapes = {
        "src": str,
        "powerpack_uuid": str,
        "dst": str,
        "text": str,
        "type": str,
        "url": str,
        "method": str,
        "log": str,
        "message_expiry": int,
    }
    said = request.json
    found = [f"unexpected {name}" for name, value in said.items() if type(value) is not shapes.get(name)]
    found += ["src or powerpack_uuid"] * (("src" in said) == ("powerpack_uuid" in said))
    found += ["message_expiry"] * (not 5 <= said["message_expiry"] <= 10_799)
    return found + ["log"] * (said["log"] not in {"true", "false", "content_only", "number_only"})


class TestPlivo(ProviderContract):
    plug_in = "plivo"
    refusals: ClassVar = {
        "invalid number": (refused(400, f"'{NUMBER[1:]}' is not a valid phone number."), Reason.NUMBER_REFUSED),
        "region": (refused(403, f"Sending to {NUMBER} is not permitted"), Reason.NOT_SENT),
        "credentials": (Response(401, b"Could not verify your access level for that URL."), Reason.MISCONFIGURED),
        "account": (refused(404, "not found"), Reason.MISCONFIGURED),
        "credit": (refused(400, "Insufficient Credit"), Reason.MISCONFIGURED),
        "sender": (refused(400, "This caller ID is not allowed for outbound message."), Reason.MISCONFIGURED),
    }
    unknown_refusal = refused(400, f"{NUMBER} has been abducted")
    busy = refused(429, "rate limit exceeded")
    receipts: ClassVar = {
        "queued": (State.SENT, None),
        "sent": (State.SENT, None),
        "delivered 000": (State.DELIVERED, None),
        "undelivered 80": (State.UNDELIVERED, Reason.UNREACHABLE),
        "undelivered 50": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "undelivered 30": (State.UNDELIVERED, Reason.CONTENT_REFUSED),
        "failed 200": (State.UNDELIVERED, Reason.OPTED_OUT),
        "failed 420": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "failed 900": (State.UNDELIVERED, Reason.MISCONFIGURED),
        "undelivered 1000": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "rejected": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "abducted": (None, None),
    }

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with Peer() as peer:
            peer.answer = self.yes
            peer.arrived = lambda request: peer.mistakes.extend(violations(request))  # type: ignore[method-assign]
            yield peer

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "token").write_text(TOKEN)
        return {
            "auth_id": ACCOUNT,
            "auth_token_file": str(folder / "token"),
            "from": "+15005550006",
            "base_url": url,
            "callback_url": "https://hooks.example",
        }

    def yes(self, request: Request, number: int) -> Response:
        words = {"api_id": "948b53a2-3f08-11e7-b6f4-061564b78b75", "message": "message(s) queued"}
        return Response.of({**words, "message_uuid": [self.message_id(number)]}, 202)

    def message_id(self, number: int) -> str:
        return f"db3ce55a-7f1d-11e1-8ea7-{number:012x}"

    def validity(self, request: Request) -> timedelta:
        return timedelta(seconds=request.json["message_expiry"])

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        status, _, code = word.partition(" ")
        return signed(url, callback(status, code, message_id))

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return signed(url, {"From": sender[1:], "To": "15005550006", "Type": "sms", "Text": text, "MessageUUID": "1"})


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as peer:
        peer.answer = TestPlivo().yes
        peer.arrived = lambda request: peer.mistakes.extend(violations(request))  # type: ignore[method-assign]
        yield peer


@pytest.fixture
def table(peer: Peer, tmp_path: Path) -> dict[str, Any]:
    return {"type": "plivo", **TestPlivo().table(peer.url, tmp_path)}


@pytest.fixture
def plivo(table: dict[str, Any]) -> Iterator[Plivo]:
    provider = load("acme", table)
    assert isinstance(provider, Plivo)
    yield provider
    provider.close()


@pytest.fixture
def hearer(table: dict[str, Any]) -> Plivo:
    provider = load("acme", table, Role.HEAR)
    assert isinstance(provider, Plivo)
    return provider


# What is sent


def test_a_text_is_sent_redacted_and_with_its_receipt(plivo: Plivo, peer: Peer) -> None:
    assert send(plivo, text(segments=2)) == Sent(TestPlivo().message_id(1), 2)
    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", f"/v1/Account/{ACCOUNT}/Message/")
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"{ACCOUNT}:{TOKEN}"
    assert request.json == {
        "src": "15005550006",
        "dst": NUMBER[1:],
        "text": BODY,
        "type": "sms",
        "message_expiry": 7200,
        "log": "false",
        "url": RECEIPTS,
        "method": "POST",
    }


def test_a_powerpack_chooses_the_sender(table: dict[str, Any], peer: Peer) -> None:
    provider = load("acme", {**table, "from": None, "powerpack_uuid": POWERPACK})
    send(provider)
    assert provider.sender == peer.accepted[0].json["powerpack_uuid"] == POWERPACK
    assert "src" not in peer.accepted[0].json


def test_without_redaction_and_receipts_neither_is_promised(table: dict[str, Any], peer: Peer) -> None:
    provider = load("acme", {**table, "callback_url": None, "redact": "off"})
    send(provider)
    said, can = peer.accepted[0].json, provider.capabilities
    assert said["log"] == "true"
    assert not said.keys() & {"url", "method"}
    assert not any((can.redacts, can.receipt_carries_reference))
    assert not can.settles


@pytest.mark.parametrize("words", ["Rdv demain 14 h", "موعدك غدا", "👍", "€ [ ] ~"])
def test_a_text_arrives_as_it_is(plivo: Plivo, peer: Peer, words: str) -> None:
    send(plivo, text(body=words))
    assert peer.accepted[0].json["text"] == words


@pytest.mark.parametrize(("valid_for", "seconds"), [(5, 5), (59.9, 59), (10_799, 10_799), (10_800, 10_799)])
def test_a_text_always_expires(plivo: Plivo, peer: Peer, valid_for: float, seconds: int) -> None:
    send(plivo, text(valid_for=timedelta(seconds=valid_for)))
    assert peer.accepted[0].json["message_expiry"] == seconds


@pytest.mark.parametrize("valid_for", [4.9, 0, -5])
def test_a_text_that_plivo_could_not_give_up_in_time_is_not_sent(plivo: Plivo, peer: Peer, valid_for: float) -> None:
    assert type(failure(plivo, text(valid_for=timedelta(seconds=valid_for)))) is NotSent
    assert not peer.requests


def test_what_plivo_can_do_is_said(plivo: Plivo) -> None:
    can = plivo.capabilities
    assert can.validity
    assert can.redacts
    assert can.receipt_carries_reference
    assert not any((can.deduplicates, can.finds_by_reference, can.searches, can.forgets, can.receipts_by_id))


# What is answered


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (refused(400, f"'{NUMBER[1:]}' is not a valid phone number."), Rejected),
        (refused(400, "'15005550006' is not a valid phone number."), Ambiguous),  # the sender, or anybody
        (refused(422, f"'{NUMBER[1:]}' is not a valid phone number."), Ambiguous),
        (refused(500, f"'{NUMBER[1:]}' is not a valid phone number."), Ambiguous),
        (refused(400, "insufficient credit"), Misconfigured),
        (refused(402, "whatever"), Misconfigured),
        (refused(403, "insufficient credit"), Misconfigured),
        (refused(403, "whatever"), NotSent),
        (refused(405, "whatever"), Ambiguous),
        (refused(503, "Insufficient Credit"), Ambiguous),
        (Response.of({"error": {"text": NUMBER}}, 400), Ambiguous),
        (Response.of({"error": None}, 404), Misconfigured),
    ],
)
def test_status_and_words_are_read_together(
    plivo: Plivo, peer: Peer, response: Response, expected: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    peer.respond(response)
    assert type(failure(plivo)) is expected
    assert len(caplog.records) == (expected in {Ambiguous, Misconfigured})
    assert not leaks(str([vars(record) for record in caplog.records]))


@pytest.mark.parametrize(("words", "reason"), WORDS.items())
def test_known_words_have_one_meaning(plivo: Plivo, peer: Peer, words: str, reason: Reason) -> None:
    peer.respond(refused(400, words.title()))
    assert failure(plivo).reason is reason


@pytest.mark.parametrize(
    "names", [[], ["1"], [""], None, [None], "db3ce55a-7f1d-11e1-8ea7-1231380bc196", [TestPlivo().message_id(1)] * 2]
)
def test_an_acceptance_without_one_name_is_ambiguous(plivo: Plivo, peer: Peer, names: object) -> None:
    peer.respond(Response.of({"message": "message(s) queued", "message_uuid": names}, 202), accept=True)
    assert type(failure(plivo)) is Ambiguous


# Receipts


@pytest.mark.parametrize(("code", "reason"), FAILURES.items())
def test_every_known_error_has_one_meaning(hearer: Plivo, code: int, reason: Reason) -> None:
    receipt = hearer.parse_receipt(signed(RECEIPTS, callback("undelivered", str(code))))
    assert (receipt.state, receipt.reason) == (State.UNDELIVERED, reason)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (10, Reason.CONTENT_REFUSED),
        (40, Reason.MISCONFIGURED),
        (50, Reason.NUMBER_REFUSED),
        (70, Reason.NUMBER_REFUSED),
        (80, Reason.UNREACHABLE),
        (110, Reason.CONTENT_REFUSED),
        (200, Reason.OPTED_OUT),
        (420, Reason.VALIDITY_OVER),
        (450, Reason.MISCONFIGURED),
        (910, Reason.MISCONFIGURED),
    ],
)
def test_the_table_says(code: int, reason: Reason) -> None:
    assert FAILURES[code] is reason


@pytest.mark.parametrize("code", ["", "x", "99999", "-1", "٣٠", "20", "1000"])
def test_an_error_that_nobody_knows_failed_on_the_way(hearer: Plivo, code: str) -> None:
    assert hearer.parse_receipt(signed(RECEIPTS, callback("failed", code))).reason is Reason.CARRIER_FAILED


def test_a_delivered_text_has_no_reason(hearer: Plivo) -> None:
    assert hearer.parse_receipt(signed(RECEIPTS, callback("delivered", "50"))).reason is None
    assert STATUSES["delivered"] is State.DELIVERED


@pytest.mark.parametrize("name", ["", "1", "db3ce55a"])
def test_a_receipt_names_a_message(hearer: Plivo, name: str) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_receipt(signed(RECEIPTS, callback("sent", name=name)))
    assert caught.value.reason is Reason.MALFORMED


def test_a_receipt_for_no_attempt_is_refused(hearer: Plivo) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_receipt(replace(signed(RECEIPTS, callback("sent")), reference=""))
    assert caught.value.reason is Reason.SIGNATURE_INVALID


# The signature


@pytest.mark.parametrize(("method", "url", "form", "expected"), VECTORS)
def test_the_signature_is_that_of_plivos_sdk(
    hearer: Plivo, method: str, url: str, form: dict[str, str], expected: str
) -> None:
    headers = {"x-plivo-signature-v3": expected, "x-plivo-signature-v3-nonce": NONCE}
    request = WebhookRequest(method, url, headers, urlencode(form).encode())
    assert hearer.parse_reply(request) == Reply(NUMBER, form.get("Text", "STOP now"))
    for changed in (replace(request, url=url.replace("https", "http")), replace(request, url=url + "x")):
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(changed)
        assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_one_of_the_two_signatures_is_enough(hearer: Plivo) -> None:
    form = {"From": NUMBER[1:], "Text": "STOP"}
    mine, other = signature(REPLIES, form), signature(REPLIES, form, token="of-another-account")
    nonce = {"x-plivo-signature-v3-nonce": NONCE}
    for shown in (
        {"x-plivo-signature-v3": mine},
        {"x-plivo-signature-v3": mine, "x-plivo-signature-ma-v3": other},
        {"x-plivo-signature-v3": other, "x-plivo-signature-ma-v3": mine},
        {"x-plivo-signature-ma-v3": f"{other}, {mine}"},  # while a token is being changed
    ):
        request = replace(signed(REPLIES, form), headers={**shown, **nonce})
        assert hearer.parse_reply(request).text == "STOP"
    for shown in (
        {"x-plivo-signature-v3": other, "x-plivo-signature-ma-v3": f"{other},{other}"},
        {"x-plivo-signature-v3": ""},
        {"x-plivo-signature-v3": ","},
        {"x-plivo-signature-ma-v3": "not base64"},
        {},
    ):
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(replace(signed(REPLIES, form), headers={**shown, **nonce}))
        assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_signature_is_of_one_nonce(hearer: Plivo) -> None:
    with pytest.raises(Refused):
        hearer.parse_reply(signed(REPLIES, {"From": NUMBER[1:], "Text": "STOP"}, **{"x-plivo-signature-v3-nonce": "1"}))


def test_a_signature_of_one_receipt_is_none_of_another(hearer: Plivo) -> None:
    genuine = signed(RECEIPTS, callback("delivered"))
    elsewhere = RECEIPTS[:-1] + "x"
    with pytest.raises(Refused) as caught:
        hearer.parse_receipt(replace(genuine, url=elsewhere, reference=elsewhere.rpartition("/")[2]))
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_the_older_signature_is_not_enough_because_it_leaves_the_fields_out(hearer: Plivo) -> None:
    digest = hmac.new(TOKEN.encode(), f"{REPLIES}{NONCE}".encode(), hashlib.sha256).digest()
    shown = {f"x-plivo-signature{kind}v2": base64.b64encode(digest).decode() for kind in ("-", "-ma-")}
    request = signed(REPLIES, {"From": NUMBER[1:], "Text": "STOP"})
    with pytest.raises(Refused) as caught:
        hearer.parse_reply(replace(request, headers={**shown, "x-plivo-signature-v2-nonce": NONCE}))
    assert caught.value.reason is Reason.SIGNATURE_INVALID


# Replies


@pytest.mark.parametrize(
    "sender", ["Clinic", "", "123", "33612340***", "٣٣٦١٢٣٤٠٠١٥", "++33612340015", "0612340015", "+0033612340015"]
)
def test_a_reply_comes_from_a_number(hearer: Plivo, sender: str) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_reply(signed(REPLIES, {"From": sender, "Text": "STOP"}))
    assert caught.value.reason is Reason.MALFORMED


def test_a_number_may_have_its_plus(hearer: Plivo) -> None:
    assert hearer.parse_reply(signed(REPLIES, {"From": NUMBER, "Text": "STOP"})) == Reply(NUMBER, "STOP")


# Settings


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"auth_id": "MA-secret"}, "auth_id"),
        ({"from": 15005550006}, "from"),
        ({"from": "+150055500061234567"}, "from"),
        ({"powerpack_uuid": POWERPACK}, None),  # and from
        ({"from": None}, None),  # and no powerpack
        ({"powerpack_uuid": "secret", "from": None}, "powerpack_uuid"),
        ({"base_url": "http://api.secret.example"}, "base_url"),
        ({"callback_url": "http://hooks.secret.example"}, "callback_url"),
        ({"redact": "secret"}, "redact"),
        ({"auth_token": "secret"}, "auth_token"),
        ({"auth_token_file": "/no/such/secret"}, "auth_token_file"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(
    table: dict[str, Any], changes: dict[str, Any], setting: str | None
) -> None:
    with pytest.raises(SettingsError) as caught:
        load("plivo", {**table, **changes})
    expected = "providers.plivo: set either from or" if setting is None else f"providers.plivo.{setting}: "
    assert str(caught.value).startswith(expected)
    assert "secret" not in str(caught.value)
    assert "15005550006" not in str(caught.value)


def test_a_change_of_the_request_would_be_noticed(plivo: Plivo, peer: Peer) -> None:
    send(plivo)
    request = peer.requests[0]
    for change in ({"log": False}, {"dest": "1"}, {"powerpack_uuid": POWERPACK}, {"message_expiry": 10_800}):
        assert violations(replace(request, body=json.dumps({**request.json, **change}).encode())), change
