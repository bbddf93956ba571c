import base64
import functools
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

import pytest
import yaml
from fake_twilio import SpecifiedRequest

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
from reminder_worker.providers import Reply, Role, Sent, load
from reminder_worker.providers.vonage import CODES, STALE, Vonage
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, CLASSES, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.testing.reports import REPLIES
from reminder_worker.webhooks import WebhookRequest

SPECIFICATION = Path(__file__).parents[2] / "../shared/specs/vonage-sms.yml"
KEY, SECRET, SIGNATURE_SECRET = "abcd1234", "an-api-secret", "a-signature-secret-for-tests"
BASIC = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
PARAMETERS = frozenset({"from", "to", "text", "type", "ttl", "client-ref", "status-report-req", "callback"})
RECEIPTS = f"https://hooks.example/v1/receipts/vonage/{REFERENCE}"


# A Vonage that holds what it is asked against its own document


@functools.cache
def specification() -> Any:
    """Vonage's OpenAPI document; None where it does not lie beside the checkout."""
    if not SPECIFICATION.exists():
        return None
    from openapi_core import OpenAPI  # noqa: PLC0415 takes half a second

    return OpenAPI.from_dict(yaml.safe_load(SPECIFICATION.read_text()))


def violations(request: Request) -> list[str]:
    path = urlsplit(request.path).path
    if path == "/v1/redact/transaction":  # another document, not here
        return []
    form = request.form
    found = [f"unexpected parameter {name}" for name in form.keys() - PARAMETERS]
    found += [name for name, limit in (("client-ref", 40), ("callback", 100)) if len(form.get(name, "")) > limit]
    if not form.get("to", "").isdigit():
        found.append("to is not in digits")
    if specification() is not None:
        headers = {name.title(): value for name, value in request.headers.items()}
        whole = request.body + b"&api_key=abcd1234"  # the document is of 2021: since then credentials are a header
        asked = SpecifiedRequest(path, headers, whole, host_url="https://rest.nexmo.com")
        found += [repr(error.__cause__ or error) for error in specification().iter_request_errors(asked)]
    return found


class FakeVonage(Peer):
    def arrived(self, request: Request) -> None:
        with self.lock:
            self.mistakes += violations(request)


def part(number: int = 1, **changes: Any) -> dict[str, Any]:
    whole = {
        "to": NUMBER[1:],
        "message-id": f"0A00000001{number:06X}",
        "status": "0",
        "remaining-balance": "3.14159265",
        "message-price": "0.03330000",
        "network": "20810",
    }
    return whole | changes


def said(*statuses: str, http: int = 200) -> Response:
    parts = [
        part(number) if status == "0" else {"to": NUMBER[1:], "status": status, "error-text": f"No: {NUMBER}, {BODY}"}
        for number, status in enumerate(statuses, 1)
    ]
    return Response.of({"message-count": str(len(parts)), "messages": parts}, http)


def sign(form: dict[str, str], secret: str = SIGNATURE_SECRET, method: str = "sha256") -> dict[str, str]:
    content = "".join(f"&{name}={form[name].replace('&', '_').replace('=', '_')}" for name in sorted(form))
    return form | {"sig": hmac.new(secret.encode(), content.encode(), method).hexdigest().upper()}


def stamp(later: int = 0) -> str:
    return str(int(time.time()) + later)


def receipt_form(status: str = "delivered", code: str = "0", **changes: str) -> dict[str, str]:
    form = {
        "msisdn": NUMBER[1:],
        "to": "AcmeInc",
        "network-code": "20810",
        "messageId": part()["message-id"],
        "price": "0.03330000",
        "status": status,
        "scts": "2001011400",
        "err-code": code,
        "api-key": KEY,
        "client-ref": REFERENCE,
        "message-timestamp": "2020-01-01 12:00:00",
        "timestamp": stamp(),
        "nonce": "ec11dd3e-1e7f-4db5-9467-82b02cd223b9",
    }
    return form | changes


def reply_form(said: str = "STOP", **changes: str) -> dict[str, str]:
    form = {
        "api-key": KEY,
        "msisdn": NUMBER[1:],
        "to": "447700900000",
        "messageId": "0A0000000123ABCD1",
        "text": said,
        "type": "text" if said.isascii() else "unicode",
        "keyword": said.partition(" ")[0].upper(),
        "message-timestamp": "2020-01-01 12:00:00",
        "timestamp": stamp(),
        "nonce": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    }
    return form | changes


def call(form: dict[str, str], url: str = RECEIPTS, way: str = "POST") -> WebhookRequest:
    """Make a call in one of the three ways that an account can choose."""
    reference = REFERENCE if "/receipts/" in url else ""
    if way == "GET":
        return WebhookRequest("GET", f"{url}?{urlencode(form)}", {}, b"", reference)
    if way == "POST-JSON":
        return WebhookRequest("POST", url, {"content-type": "application/json"}, json.dumps(form).encode(), reference)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return WebhookRequest("POST", url, headers, urlencode(form).encode(), reference)


WAYS = pytest.mark.parametrize("way", ["GET", "POST", "POST-JSON"])


# The contract


class TestVonage(ProviderContract):
    plug_in = "vonage"
    refusals: ClassVar = {
        "number barred": (said("7"), Reason.NUMBER_REFUSED),
        "number not in use": (said("33"), Reason.NUMBER_REFUSED),
        "too long": (said("12"), Reason.CONTENT_REFUSED),
        "no such prefix": (said("6"), Reason.NOT_SENT),
        "trial account": (said("29"), Reason.NOT_SENT),
        "throttled": (said("1"), Reason.THROTTLED),
        "credentials": (said("4"), Reason.MISCONFIGURED),
        "credit": (said("9"), Reason.MISCONFIGURED),
        "sender": (said("15"), Reason.MISCONFIGURED),
        "internal error": (said("5"), Reason.AMBIGUOUS),
    }
    unknown_refusal = said("98")
    busy = said("1")
    receipts: ClassVar = {
        "accepted 0": (State.SENT, None),
        "buffered 0": (State.SENT, None),
        "delivered 0": (State.DELIVERED, None),
        "expired 1": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "expired 2": (State.UNDELIVERED, Reason.UNREACHABLE),
        "failed 3": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "failed 6": (State.UNDELIVERED, Reason.CONTENT_REFUSED),
        "rejected 9": (State.UNDELIVERED, Reason.OPTED_OUT),
        "failed 99": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "failed 12345": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "unknown 1": (None, None),
        "abducted 1": (None, None),
    }

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with FakeVonage() as peer:
            peer.answer = self.yes
            yield peer

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "secret").write_text(SECRET + "\n")
        (folder / "signature").write_text(SIGNATURE_SECRET)
        return {
            "api_key": KEY,
            "api_secret_file": str(folder / "secret"),
            "signature_secret_file": str(folder / "signature"),
            "from": "+447700900000",
            "base_url": url,
            "redact_url": url,
            "callback_url": "https://hooks.example",
        }

    def yes(self, request: Request, number: int) -> Response:
        if request.path == "/v1/redact/transaction":
            return Response(204)
        return Response.of({"message-count": "1", "messages": [part(number)]})

    def message_id(self, number: int) -> str:
        return part(number)["message-id"]

    def validity(self, request: Request) -> timedelta:
        return timedelta(milliseconds=int(request.form["ttl"]))

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        status, _, code = word.partition(" ")
        form = receipt_form(status, code, messageId=message_id, **{"client-ref": url.rpartition("/")[2]})
        return call(sign(form), url)

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return call(sign(reply_form(text, msisdn=sender.removeprefix("+"))), url)

    signs_address = False  # only what is in the call can be told from a forgery


# What is sent


@pytest.fixture
def peer() -> Iterator[FakeVonage]:
    with FakeVonage() as peer:
        peer.answer = TestVonage().yes
        yield peer


def built(peer: Peer | None, folder: Path, role: Role = Role.SEND, **changes: Any) -> Vonage:
    table = TestVonage().table(peer.url if peer else "http://127.0.0.1:1", folder) | changes
    provider = load("vonage", {name: value for name, value in table.items() if value is not None}, role)
    assert isinstance(provider, Vonage)
    return provider


@pytest.fixture
def vonage(peer: FakeVonage, tmp_path: Path) -> Iterator[Vonage]:
    provider = built(peer, tmp_path)
    yield provider
    provider.close()


@pytest.fixture
def hearer(tmp_path: Path) -> Iterator[Vonage]:
    provider = built(None, tmp_path, Role.HEAR)
    yield provider
    provider.close()


def test_a_text_is_one_form(peer: FakeVonage, vonage: Vonage) -> None:
    assert send(vonage) == Sent("0A00000001000001", 1)
    (request,) = peer.requests
    assert (request.method, request.path, request.headers["authorization"]) == ("POST", "/sms/json", BASIC)
    assert request.form == {
        "from": "447700900000",
        "to": "33612340015",
        "text": BODY,
        "type": "text",
        "ttl": "7200000",
        "client-ref": REFERENCE,
        "status-report-req": "true",
        "callback": RECEIPTS,
    }


@pytest.mark.skipif(not SPECIFICATION.exists(), reason="Vonage's OpenAPI document is not beside the checkout")
@pytest.mark.parametrize(
    "changes",
    [
        {"ttl": "soon"},
        {"ttl": "19999"},
        {"type": "gsm"},
        {"to": "+33612340015x"},
        {"status-report-req": "perhaps"},
        {"txet": "x"},
        {"from": None},
        {"client-ref": "x" * 41},
        {"callback": "https://hooks.example/" + "x" * 80},
    ],
    ids=repr,
)
def test_the_fake_notices_what_vonage_would_not_take(vonage: Vonage, changes: dict[str, str | None]) -> None:
    form = {name: value for name, value in (vonage._parameters(text()) | changes).items() if value is not None}
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert violations(Request("POST", "/sms/json", headers, urlencode(form).encode()))


@pytest.mark.skipif(not SPECIFICATION.exists(), reason="Vonage's OpenAPI document is not beside the checkout")
def test_the_fake_answers_and_calls_as_vonage_specifies() -> None:
    schemas = yaml.safe_load(SPECIFICATION.read_text())["components"]["schemas"]
    assert part().keys() <= schemas["Message"]["properties"].keys()
    assert receipt_form().keys() <= schemas["DeliveryReceipt"]["properties"].keys()
    assert sign(receipt_form()).keys() <= schemas["DeliveryReceipt"]["properties"].keys()
    assert set(schemas["InboundMessage"]["required"]) <= reply_form().keys()
    assert reply_form().keys() <= schemas["InboundMessage"]["properties"].keys()


@pytest.mark.skipif(not SPECIFICATION.exists(), reason="Vonage's OpenAPI document is not beside the checkout")
def test_every_documented_status_has_a_meaning() -> None:
    assert yaml.safe_load(SPECIFICATION.read_text())["x-errors"].keys() == CODES.keys()


@pytest.mark.parametrize(
    ("body", "expected"),
    [("demain à 14 h 30, 5 €", "text"), ("lundi 3 août", "unicode"), ("نعم", "unicode"), ("👍", "unicode")],
)
def test_a_text_arrives_as_it_is(peer: FakeVonage, vonage: Vonage, body: str, expected: str) -> None:
    send(vonage, text(body=body))
    assert (peer.requests[0].form["type"], peer.requests[0].form["text"]) == (expected, body)


@pytest.mark.parametrize(
    ("valid_for", "expected"),
    [
        (timedelta(seconds=20), "20000"),
        (timedelta(seconds=59.9996), "59999"),
        (timedelta(days=7), "604800000"),
        (timedelta(days=30), "604800000"),
    ],
)
def test_a_text_always_expires_at_vonage(peer: FakeVonage, vonage: Vonage, valid_for: timedelta, expected: str) -> None:
    send(vonage, text(valid_for=valid_for))
    assert peer.requests[0].form["ttl"] == expected


@pytest.mark.parametrize("seconds", [19.9, 0, -5])
def test_what_would_be_tried_for_longer_than_it_is_of_use_is_not_sent(
    peer: FakeVonage, vonage: Vonage, seconds: float
) -> None:
    assert type(failure(vonage, text(valid_for=timedelta(seconds=seconds)))) is NotSent
    assert not peer.requests


def test_a_text_that_cannot_be_encoded_is_not_sent(peer: FakeVonage, vonage: Vonage) -> None:
    assert type(failure(vonage, text(body="\ud800"))) is NotSent
    assert not peer.requests


def test_without_hooks_no_receipt_is_asked_for(peer: FakeVonage, tmp_path: Path) -> None:
    provider = built(peer, tmp_path, callback_url=None)
    assert not provider.capabilities.receipt_carries_reference
    assert not provider.capabilities.settles
    send(provider)
    assert "callback" not in peer.requests[0].form
    assert peer.requests[0].form["status-report-req"] == "false"
    provider.close()


def test_the_timeout_of_the_settings_ends_a_call(peer: FakeVonage, tmp_path: Path) -> None:
    provider = built(peer, tmp_path, timeout=0.8)
    peer.hang_after_accepting()
    began = time.monotonic()
    assert type(failure(provider, seconds=60)) is Ambiguous
    assert time.monotonic() - began < 3
    provider.close()


# What is answered


@pytest.mark.parametrize(("code", "reason"), CODES.items())
def test_every_known_status_has_one_meaning(peer: FakeVonage, vonage: Vonage, code: str, reason: Reason) -> None:
    peer.respond(said(code))
    error = failure(vonage)
    assert (type(error), error.reason) == (CLASSES.get(reason, Rejected), reason)
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1", Reason.THROTTLED),
        ("3", Reason.NOT_SENT),
        ("5", Reason.AMBIGUOUS),
        ("6", Reason.NOT_SENT),
        ("7", Reason.NUMBER_REFUSED),
        ("12", Reason.CONTENT_REFUSED),
        ("14", Reason.MISCONFIGURED),
        ("33", Reason.NUMBER_REFUSED),
    ],
)
def test_the_table_says(code: str, reason: Reason) -> None:
    assert CODES[code] is reason


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("1", "1"), Throttled),
        (("7", "7", "7"), Rejected),
        (("2", "4"), Misconfigured),  # two words, one meaning
        (("0", "1"), Ambiguous),  # half of it is on its way: never to be sent again
        (("1", "0"), Ambiguous),
        (("0", "98"), Ambiguous),
        (("7", "1"), Ambiguous),
        (("7", "98"), Ambiguous),
        ((), Ambiguous),
    ],
)
def test_the_parts_of_a_text_are_judged_together(
    peer: FakeVonage, vonage: Vonage, statuses: tuple[str, ...], expected: type[ReminderError]
) -> None:
    peer.respond(said(*statuses))
    assert type(failure(vonage)) is expected


def test_a_long_text_has_the_names_of_all_its_parts(peer: FakeVonage, vonage: Vonage) -> None:
    peer.respond(said("0", "0"))
    sent = send(vonage, text(segments=2))
    assert sent == Sent("0A00000001000001,0A00000001000002", 2)
    vonage.forget(sent.provider_message_id)
    assert [request.json["id"] for request in peer.requests[1:]] == ["0A00000001000001", "0A00000001000002"]


@pytest.mark.parametrize(
    ("http", "status", "expected"),
    [
        (500, "7", Ambiguous),  # a refusal does not count in a server's failure
        (503, "0", Ambiguous),
        (429, "98", Throttled),
        (401, "98", Misconfigured),
        (402, "98", Misconfigured),
        (400, "7", Rejected),
        (400, "0", Ambiguous),  # accepted, and a failure: who knows
        (302, "0", Ambiguous),
        (307, "0", Misconfigured),
    ],
)
def test_what_http_says_counts_too(
    peer: FakeVonage, vonage: Vonage, http: int, status: str, expected: type[ReminderError]
) -> None:
    peer.respond(said(status, http=http))
    assert type(failure(vonage)) is expected


@pytest.mark.parametrize("name", ["", "x", "0A00\n0001", "0A00,0001", "x" * 65, None, 7])
def test_an_acceptance_without_a_name_is_ambiguous(peer: FakeVonage, vonage: Vonage, name: object) -> None:
    peer.respond(Response.of({"messages": [part(**{"message-id": name})]}), accept=True)
    assert type(failure(vonage)) is Ambiguous


@pytest.mark.parametrize(("answer", "code"), [(said("4"), "4"), (said("0", "1"), "1"), (said(NUMBER), "unknown")])
def test_an_operator_is_told_the_status_and_nothing_else(
    peer: FakeVonage, vonage: Vonage, caplog: pytest.LogCaptureFixture, answer: Response, code: str
) -> None:
    peer.respond(answer)
    failure(vonage)
    (record,) = caplog.records
    line = json.loads(Formatter().format(record))
    assert (line["event"], line["provider"], line["status"], line["code"]) == ("provider_answer", "vonage", 200, code)
    assert not leaks(json.dumps(line))


# What is redacted


def test_redaction_is_asked_for_by_name(peer: FakeVonage, vonage: Vonage) -> None:
    vonage.forget("0A00000001000001")
    (request,) = peer.requests
    assert request.json == {"id": "0A00000001000001", "product": "sms", "type": "outbound"}
    assert request.headers["authorization"] == BASIC


def problem(name: str, status: int) -> Response:
    where = f"https://developer.nexmo.com/api-errors/redact#{name}"
    return Response.of({"type": where, "title": name, "detail": f"User of {NUMBER}", "instance": "bf0c"}, status)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem("premature-redaction", 403), Throttled),
        (problem("unprovisioned", 403), Misconfigured),
        (Response.of({"type": "UNAUTHORIZED", "error_title": "Unauthorized"}, 401), Misconfigured),
        (problem("rate-limit", 429), Throttled),
        (problem("invalid-json", 422), Ambiguous),
        (Response(403, b"<html>"), Misconfigured),
    ],
)
def test_what_is_not_redacted_yet_is_an_error(
    peer: FakeVonage, vonage: Vonage, answer: Response, expected: type[ReminderError]
) -> None:
    peer.respond(answer)
    with pytest.raises(ReminderError) as caught:
        vonage.forget("0A00000001000001")
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("redact", "redacts", "forgets"), [("after", False, True), ("account", True, False), ("off", False, False)]
)
def test_who_redacts_is_said(tmp_path: Path, redact: str, redacts: bool, forgets: bool) -> None:  # noqa: FBT001
    can = built(None, tmp_path, redact=redact).capabilities
    assert (can.redacts, can.forgets) == (redacts, forgets)
    assert not can.deduplicates | can.finds_by_reference | can.searches | can.receipts_by_id


# What Vonage calls with


def test_a_signature_is_the_one_of_the_documentation(hearer: Vonage) -> None:
    """Built by hand from the documented steps, so that a mistake here and in the test's helper cannot agree."""
    now = stamp()
    content = (
        f"&client-ref={REFERENCE}&err-code=0&messageId=0A00000001000001&note=a_b_c&status=delivered&timestamp={now}"
    )
    form = {
        "status": "delivered",
        "messageId": "0A00000001000001",
        "err-code": "0",
        "client-ref": REFERENCE,
        "timestamp": now,
        "note": "a&b=c",
        "sig": hmac.digest(SIGNATURE_SECRET.encode(), content.encode(), hashlib.sha256).hex(),
    }
    assert hearer.parse_receipt(call(form)).state is State.DELIVERED


@WAYS
def test_a_call_is_read_however_it_comes(hearer: Vonage, way: str) -> None:
    receipt = hearer.parse_receipt(call(sign(receipt_form()), way=way))
    assert (receipt.reference, receipt.state) == (REFERENCE, State.DELIVERED)
    for words in ("STOP", "так & = é 👍", "a+b c%20d", ""):
        assert hearer.parse_reply(call(sign(reply_form(words)), REPLIES, way)) == Reply(NUMBER, words)


@WAYS
def test_a_call_that_was_changed_is_refused(hearer: Vonage, way: str) -> None:
    genuine = sign(receipt_form("failed", "9"))
    for form in (genuine | {"status": "delivered"}, genuine | {"more": "x"}, receipt_form(), genuine | {"sig": "zz"}):
        with pytest.raises(Refused) as caught:
            hearer.parse_receipt(call(form, way=way))
        assert caught.value.reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("sig", ["", "00", "zz", "0" * 64, "é" * 64])
def test_a_signature_that_is_none_is_refused(hearer: Vonage, sig: str) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_receipt(call(receipt_form() | {"sig": sig}))
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_another_secret_is_refused(hearer: Vonage) -> None:
    with pytest.raises(Refused):
        hearer.parse_reply(call(sign(reply_form(), SECRET), REPLIES))


def test_who_has_no_secret_believes_nobody(vonage: Vonage) -> None:
    with pytest.raises(Refused):
        vonage.parse_reply(call(sign(reply_form(), ""), REPLIES))


def test_the_method_is_the_one_of_the_settings(tmp_path: Path, hearer: Vonage) -> None:
    longer = built(None, tmp_path, Role.HEAR, signature_method="sha512")
    for method, accepts, refuses in (("sha256", hearer, longer), ("sha512", longer, hearer)):
        request = call(sign(reply_form(), method=method), REPLIES)
        assert accepts.parse_reply(request).sender == NUMBER
        with pytest.raises(Refused):
            refuses.parse_reply(request)


def test_plain_md5_is_refused(hearer: Vonage) -> None:
    content = "".join(f"&{name}={value}" for name, value in sorted(reply_form().items())) + SIGNATURE_SECRET
    form = reply_form() | {"sig": hashlib.md5(content.encode()).hexdigest()}
    with pytest.raises(Refused):
        hearer.parse_reply(call(form, REPLIES))


@pytest.mark.parametrize("later", [60 - STALE, 200])
def test_a_call_that_vonage_repeats_for_a_day_is_accepted(hearer: Vonage, later: int) -> None:
    assert hearer.parse_reply(call(sign(reply_form(timestamp=stamp(later))), REPLIES)).text == "STOP"


@pytest.mark.parametrize("later", [-STALE - 60, 400, None, "soon", "-1", "9" * 5000], ids=lambda later: str(later)[:9])
def test_a_call_of_another_time_is_refused(hearer: Vonage, later: int | str | None) -> None:
    when = stamp(later) if isinstance(later, int) else later or ""
    with pytest.raises(Refused) as caught:
        hearer.parse_reply(call(sign(reply_form(timestamp=when)), REPLIES))
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_receipt_counts_only_for_the_attempt_that_it_names(hearer: Vonage) -> None:
    other = REFERENCE[:-1] + "x"
    genuine = call(sign(receipt_form()))
    elsewhere = replace(genuine, url=RECEIPTS[: -len(REFERENCE)] + other, reference=other)
    nameless = {name: value for name, value in receipt_form().items() if name != "client-ref"}
    for request in (elsewhere, replace(genuine, reference=""), call(sign(nameless))):
        with pytest.raises(Refused) as caught:
            hearer.parse_receipt(request)
        assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_receipt_is_no_reply_and_a_reply_is_no_receipt(hearer: Vonage) -> None:
    with pytest.raises(Refused):
        hearer.parse_reply(call(sign(receipt_form()), REPLIES))
    with pytest.raises(Refused):
        hearer.parse_receipt(call(sign(reply_form())))


def test_a_receipt_without_a_name_is_malformed(hearer: Vonage) -> None:
    for changes in ({"messageId": ""}, {"messageId": "x" * 65}, {"status": ""}):
        with pytest.raises(Refused) as caught:
            hearer.parse_receipt(call(sign(receipt_form(**changes))))
        assert caught.value.reason is Reason.MALFORMED


def test_only_the_first_part_of_a_long_reply_has_words(hearer: Vonage) -> None:
    long = {"concat": "true", "concat-ref": "1", "concat-total": "2"}
    first = call(sign(reply_form("STOP please, and …", **long, **{"concat-part": "1"})), REPLIES)
    second = call(sign(reply_form("stop by tomorrow", **long, **{"concat-part": "2"})), REPLIES)
    assert hearer.parse_reply(first) == Reply(NUMBER, "STOP please, and …")
    assert hearer.parse_reply(second) == Reply(NUMBER, "")


def test_true_is_signed_as_a_word(hearer: Vonage) -> None:
    form: dict[str, Any] = sign(reply_form("STOP", concat="true", **{"concat-part": "1"}))
    request = call(form | {"concat": True, "concat-part": 1}, REPLIES, "POST-JSON")
    assert hearer.parse_reply(request).text == "STOP"


def test_a_reply_of_bytes_has_no_words(hearer: Vonage) -> None:
    form = {name: value for name, value in reply_form().items() if name != "text"}
    binary = form | {"type": "binary", "data": "0011", "udh": "050003"}
    assert hearer.parse_reply(call(sign(binary), REPLIES)) == Reply(NUMBER, "")


@pytest.mark.parametrize("sender", ["", "AcmeInc", "+33612340015", "1234", "٣٣٦١٢٣٤", "0612340015", "0033612340015"])
def test_a_sender_that_is_no_number_is_malformed(hearer: Vonage, sender: str) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_reply(call(sign(reply_form(msisdn=sender)), REPLIES))
    assert caught.value.reason is Reason.MALFORMED


# Settings


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"api_key": "secret"}, "api_key"),
        ({"from": "A name too long"}, "from"),
        ({"from": "&secret"}, "from"),
        ({"base_url": "http://api.secret.example"}, "base_url"),
        ({"redact_url": "http://api.secret.example"}, "redact_url"),
        ({"redact": "secret"}, "redact"),
        ({"signature_method": "md5"}, "signature_method"),
        ({"callback_url": "http://hooks.secret.example"}, "callback_url"),
        ({"callback_url": "https://hooks.secret.example/" + "x" * 40}, "callback_url"),
        ({"api_secret": "secret"}, "api_secret"),
        ({"api_secret_file": "/no/such/secret"}, "api_secret_file"),
        ({"signature_secret_file": None}, "signature_secret_file"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(tmp_path: Path, changes: dict[str, Any], setting: str) -> None:
    with pytest.raises(SettingsError) as caught:
        built(None, tmp_path, **changes)
    assert str(caught.value).startswith(f"providers.vonage.{setting}: ")
    assert "secret." not in str(caught.value)
    assert "/no/such" not in str(caught.value)


def test_each_process_reads_its_own_secret_only(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    assert built(None, tmp_path, Role.SEND, signature_secret_file=missing)._key == ""
    assert built(None, tmp_path, Role.HEAR, api_secret_file=missing)._secret == ""
    with pytest.raises(SettingsError, match=r"^providers\.vonage\.signature_secret_file: "):
        built(None, tmp_path, Role.HEAR, signature_secret_file=missing)


def test_the_longest_callback_that_vonage_takes_is_taken(peer: FakeVonage, tmp_path: Path) -> None:
    room = 100 - len(RECEIPTS)
    provider = built(peer, tmp_path, callback_url="https://hooks.example/" + "x" * (room - 1))
    send(provider)
    assert len(peer.requests[0].form["callback"]) == 100
    provider.close()
