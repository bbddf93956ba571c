import base64
import functools
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from fake_twilio import SpecifiedRequest
from nacl.signing import SigningKey

from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Refused, Rejected, SettingsError
from reminder_worker.job import State
from reminder_worker.logs import Formatter
from reminder_worker.providers import Provider, Receipt, Reply, Role, Sent, load
from reminder_worker.providers import telnyx as module
from reminder_worker.providers.telnyx import ADDRESS_CODES, CODES, FAILURES, STATUSES, Telnyx
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, CLASSES, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.testing.reports import RECEIPTS, REPLIES
from reminder_worker.webhooks import WebhookRequest

SPECIFICATION = Path(__file__).parents[2] / "../shared/specs/telnyx-messages.json"
KEY = "KEY0123456789ABCDEF_secret"
SIGNER = SigningKey(b"telnyx tests, 32 bytes, no more.")
PUBLIC = base64.b64encode(bytes(SIGNER.verify_key)).decode()
SENDER = "+33700000001"
PROFILE = "4000eba1-a0c0-4563-9925-b25e842a7cb6"
STOP = "Blocked due to STOP message"
specified = pytest.mark.skipif(not SPECIFICATION.exists(), reason="Telnyx's document is not beside the checkout")


def message_id(number: int) -> str:
    return f"40385f64-5717-4562-b3fc-{number:012x}"


def resource(sent: dict[str, Any], number: int, status: str = "queued") -> dict[str, Any]:
    """What Telnyx says of a message, when it accepts it and when it reports of it."""
    return {
        "cc": [],
        "completed_at": None,
        "cost": {"amount": "0.0051", "currency": "USD"},
        "direction": "outbound",
        "encoding": "GSM-7" if sent["encoding"] == "auto" else "UTF-16",
        "errors": [],
        "from": {"carrier": "TELNYX LLC", "line_type": "VoIP", "phone_number": sent.get("from", SENDER)},
        "id": message_id(number),
        "media": [],
        "messaging_profile_id": sent.get("messaging_profile_id", PROFILE),
        "organization_id": "b448f9cc-a842-4784-98e9-03c1a5872950",
        "parts": 1,
        "received_at": "2026-11-25T18:10:02.574+00:00",
        "record_type": "message",
        "sent_at": None,
        "tags": [],
        "text": sent["text"],
        "to": [{"carrier": "ORANGE", "line_type": "Wireless", "phone_number": sent["to"], "status": status}],
        "type": "SMS",
        "valid_until": "2026-11-25T19:10:02.574+00:00",
        "webhook_failover_url": None,
        "webhook_url": sent.get("webhook_url"),
    }


def refusal(code: int | str, status: int = 400, title: str = "Refused", **more: Any) -> Response:
    """Answer as Telnyx does, with number and text in its words."""
    fault = {"code": str(code), "title": title, "detail": f"Messages cannot be sent to '{NUMBER}': {BODY}", **more}
    return Response.of({"errors": [fault]}, status)


def signed(url: str, event: object, when: float | None = None, signer: SigningKey = SIGNER) -> WebhookRequest:
    body = json.dumps(event, ensure_ascii=False).encode()
    stamp = str(int(time.time() if when is None else when))
    signature = base64.b64encode(signer.sign(f"{stamp}|".encode() + body).signature).decode()
    headers = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": stamp, "content-type": "application/json"}
    return WebhookRequest("POST", url, headers, body)


def report(url: str, number: int, status: str, *faults: dict[str, Any]) -> dict[str, Any]:
    payload = resource({"to": NUMBER, "text": BODY, "encoding": "auto", "webhook_url": url}, number, status)
    kind = "message.sent" if status in {"queued", "sending", "sent"} else "message.finalized"
    return event(kind, payload | {"errors": list(faults)}, url)


def incoming(url: str, sender: str, said: str | None) -> dict[str, Any]:
    whose = {"carrier": "Orange", "line_type": "Wireless", "phone_number": sender, "status": "received"}
    payload = resource({"to": SENDER, "text": said, "encoding": "auto", "webhook_url": url}, 7, "webhook_delivered") | {
        "from": whose
    }
    return event("message.received", payload | {"direction": "inbound", "autoresponse_type": None}, url)


def event(kind: str, payload: dict[str, Any], url: str) -> dict[str, Any]:
    data = {"event_type": kind, "id": "b301ed3f-1490-491f-995f-6e64e69674d4", "payload": payload}
    return {
        "data": data | {"occurred_at": "2026-11-25T18:10:03.000+00:00", "record_type": "event"},
        "meta": {"attempt": 1, "delivered_to": url},
    }


# Telnyx's own document


@functools.cache
def specification() -> Any:
    from openapi_core import OpenAPI  # noqa: PLC0415 takes half a second

    return OpenAPI.from_dict(json.loads(SPECIFICATION.read_text()))


@dataclass
class SpecifiedResponse:
    status_code: int
    data: bytes
    headers: ClassVar = {}
    content_type = "application/json"


def as_specified(request: Request) -> SpecifiedRequest:
    headers = {name.title(): value for name, value in request.headers.items()}
    whole = SpecifiedRequest(urlsplit(request.path).path, headers, request.body, request.method.lower())
    whole.host_url = "https://api.telnyx.com"
    return whole


class SpecifiedPeer(Peer):
    """A Telnyx that holds each request against Telnyx's own document."""

    def __init__(self) -> None:
        if SPECIFICATION.exists():
            specification()  # now, not within a request whose time is measured
        super().__init__()

    def arrived(self, request: Request) -> None:
        known = {
            "to",
            "text",
            "type",
            "encoding",
            "use_profile_webhooks",
            "from",
            "messaging_profile_id",
            "webhook_url",
        }
        found = [f"unexpected parameter {name}" for name in request.json.keys() - known]
        if SPECIFICATION.exists():
            errors = specification().iter_request_errors(as_specified(request))
            found += [repr(error.__cause__ or error) for error in errors]
        with self.lock:
            self.mistakes += found


class TestTelnyx(ProviderContract):
    plug_in = "telnyx"
    refusals: ClassVar = {
        "invalid number": (refusal(40310, 422), Reason.NUMBER_REFUSED),
        "opted out": (refusal(40300, 400, STOP), Reason.OPTED_OUT),
        "opted out, as forbidden": (refusal(40300, 403, STOP), Reason.OPTED_OUT),
        "too long": (refusal(40302), Reason.CONTENT_REFUSED),
        "region": (refusal(40309), Reason.NOT_SENT),
        "queue full": (refusal(40318), Reason.THROTTLED),
        "credentials": (refusal(10009, 401), Reason.MISCONFIGURED),
        "spend limit": (refusal(40333, 403), Reason.MISCONFIGURED),
        "sender": (refusal(40305), Reason.MISCONFIGURED),
        "failed": (refusal(10007, 400), Reason.AMBIGUOUS),
    }
    unknown_refusal = refusal(49999, 422)
    busy = refusal(10011, 429)
    receipts: ClassVar = {
        "queued": (State.SENT, None),
        "sent": (State.SENT, None),
        "delivered": (State.DELIVERED, None),
        "delivery_unconfirmed": (State.SENT, None),
        "delivery_failed 40001": (State.UNDELIVERED, Reason.LANDLINE),
        "delivery_failed 40006": (State.UNDELIVERED, Reason.UNREACHABLE),
        "sending_failed 40014": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "delivery_failed 40300": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "delivery_failed 12": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "delivery_failed": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "expired": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "abducted": (None, None),
    }

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with SpecifiedPeer() as peer:
            peer.answer = self.yes
            yield peer

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "key").write_text(KEY + "\n")
        return {
            "api_key_file": str(folder / "key"),
            "public_key": PUBLIC,
            "from": SENDER,
            "base_url": url,
            "callback_url": "https://hooks.example",
        }

    def yes(self, request: Request, number: int) -> Response:
        return Response.of({"data": resource(request.json, number)})

    def message_id(self, number: int) -> str:
        return message_id(number)

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        status, _, code = word.partition(" ")
        faults = [{"code": code, "title": "Destination number unreachable", "detail": NUMBER}] if code else []
        return signed(url, report(url, int(message_id[-12:], 16), status, *faults))

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return signed(url, incoming(url, sender, text))

    # Telnyx signs time and body, not the address. Whose receipt it is stands in the signed body, so that another
    # address only matters where it names another attempt; and a reply is as genuine wherever it arrives.
    signs_address = False

    # What is sent

    def test_a_text_is_one_json_object(self, provider: Provider, peer: Peer) -> None:
        assert send(provider) == Sent(message_id(1), 1)
        (request,) = peer.requests
        assert (request.method, request.path) == ("POST", "/v2/messages")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.json == {
            "to": NUMBER,
            "text": BODY,
            "type": "SMS",
            "encoding": "auto",
            "use_profile_webhooks": False,
            "from": SENDER,
            "webhook_url": f"https://hooks.example/v1/receipts/acme/{REFERENCE}",
        }

    @pytest.mark.parametrize(
        ("body", "encoding"),
        [
            ("Termin um 9 Uhr, Größe € [A]", "auto"),  # all GSM: there is nothing to respell
            ("Wizyta jutro o 9, ul. Żelazna", "ucs2"),
            ("«Rappel» \u2013 demain", "ucs2"),  # what smart encoding would respell
            ("👍", "ucs2"),
        ],
    )
    def test_a_text_arrives_as_it_is(self, provider: Provider, peer: Peer, body: str, encoding: str) -> None:
        send(provider, text(body=body))
        assert (peer.requests[0].json["text"], peer.requests[0].json["encoding"]) == (body, encoding)

    def test_a_text_that_no_request_can_hold_is_not_sent(self, provider: Provider, peer: Peer) -> None:
        assert type(failure(provider, text(body="\ud800"))) is NotSent
        assert not peer.requests

    def test_telnyx_counts_the_segments_that_it_charges(self, provider: Provider, peer: Peer) -> None:
        peer.answer = lambda request, number: Response.of({"data": resource(request.json, number) | {"parts": 3}})
        assert send(provider).segments == 3
        peer.answer = lambda request, number: Response.of({"data": resource(request.json, number) | {"parts": None}})
        assert send(provider, text(segments=2)).segments == 2

    def test_what_telnyx_can_do_is_said(self, provider: Provider) -> None:
        can = provider.capabilities
        assert can.receipt_carries_reference
        assert can.settles_within == timedelta(minutes=10)
        assert not any((can.deduplicates, can.finds_by_reference, can.searches, can.validity, can.redacts, can.forgets))

    def test_without_a_callback_url_no_receipt_is_asked_for(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, callback_url=None):
            assert not provider.capabilities.receipt_carries_reference
            assert not provider.capabilities.settles
            send(provider)
        assert "webhook_url" not in peer.requests[0].json
        assert peer.requests[0].json["use_profile_webhooks"] is False

    def test_a_profile_chooses_the_sender(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, messaging_profile_id=PROFILE, **{"from": None}):
            assert provider.sender == PROFILE
            send(provider)
        assert peer.requests[0].json["messaging_profile_id"] == PROFILE
        assert "from" not in peer.requests[0].json

    def test_a_name_as_sender_goes_with_its_profile(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, messaging_profile_id=PROFILE, **{"from": "Praxis"}):
            assert provider.sender == "Praxis"
            send(provider)
        assert peer.requests[0].json["from"] == "Praxis"

    @specified
    def test_the_fake_answers_as_telnyx_specifies(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        request = as_specified(peer.requests[0])
        for answer in (self.yes(peer.requests[0], 1), *(response for response, _ in self.refusals.values())):
            said = SpecifiedResponse(answer.status, answer.body)
            assert not list(specification().iter_response_errors(request, said))

    @specified
    def test_a_request_that_telnyx_would_not_take_is_noticed(self, peer: Peer) -> None:
        assert isinstance(peer, SpecifiedPeer)
        bearer = {"authorization": "Bearer x", "content-type": "application/json"}
        for changes, fault in (({"encoding": "utf8"}, "utf8"), ({"type": "FAX"}, "FAX"), ({"txt": "x"}, "txt")):
            peer.arrived(Request("POST", "/v2/messages", bearer, json.dumps({"to": NUMBER, **changes}).encode()))
            assert fault in " ".join(peer.mistakes)
            peer.mistakes.clear()

    # What is answered

    @pytest.mark.parametrize(("code", "reason"), CODES.items())
    def test_every_known_code_has_one_meaning(self, provider: Provider, peer: Peer, code: int, reason: Reason) -> None:
        peer.respond(refusal(code))
        error = failure(provider)
        assert (type(error), error.reason) == (CLASSES.get(reason, Rejected), reason)

    @pytest.mark.parametrize("code", sorted(ADDRESS_CODES))
    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ({"pointer": "/to"}, Reason.NUMBER_REFUSED),
            ({"pointer": "/from"}, Reason.MISCONFIGURED),
            ({"pointer": "/cc"}, Reason.AMBIGUOUS),
            ({"pointer": None}, Reason.AMBIGUOUS),
            ({"pointer": ["/to"]}, Reason.AMBIGUOUS),
            ({}, Reason.AMBIGUOUS),
            (None, Reason.AMBIGUOUS),
        ],
    )
    def test_the_pointer_says_whose_address_is_wrong(
        self, provider: Provider, peer: Peer, code: int, source: object, reason: Reason
    ) -> None:
        peer.respond(refusal(code, 422, source=source))
        assert failure(provider).reason is reason

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (400, 40999, Ambiguous),
            (408, 10008, Ambiguous),
            (401, 99999, Misconfigured),
            (402, 99999, Misconfigured),
            (403, 99999, Misconfigured),
            (500, 40310, Ambiguous),  # a refusal by code does not count in a server's failure
            (503, 40318, Ambiguous),
            (200, 40310, Ambiguous),
            (422, "4031", Ambiguous),
            (422, NUMBER[1:], Ambiguous),
        ],
    )
    def test_status_and_code_are_read_together(
        self, provider: Provider, peer: Peer, status: int, code: int | str, expected: type[Exception]
    ) -> None:
        peer.respond(refusal(code, status))
        assert type(failure(provider)) is expected

    def test_a_code_may_come_as_a_number(self, provider: Provider, peer: Peer) -> None:
        peer.respond(Response.of({"errors": [{"code": 40310, "title": "x"}]}, 422))
        assert failure(provider).reason is Reason.NUMBER_REFUSED

    @pytest.mark.parametrize("name", ["40385f64", "", "40385f64-5717-4562-b3fc-000000000001\n", NUMBER])
    def test_an_acceptance_without_a_message_is_in_doubt(self, provider: Provider, peer: Peer, name: str) -> None:
        peer.respond(Response.of({"data": {"id": name, "parts": 1}}), accept=True)
        assert type(failure(provider)) is Ambiguous

    @pytest.mark.parametrize(("status", "expected"), [(500, Ambiguous), (307, Misconfigured), (400, Ambiguous)])
    def test_a_message_counts_only_in_an_acceptance(
        self, provider: Provider, peer: Peer, status: int, expected: type[Exception]
    ) -> None:
        sent = {"to": NUMBER, "text": BODY, "encoding": "auto"}
        peer.respond(Response.of({"data": resource(sent, 1)}, status))
        assert type(failure(provider)) is expected

    def test_an_operator_is_told_the_code_and_nothing_else(
        self, provider: Provider, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for code, status, shown in ((10009, 401, "10009"), (49999, 400, "49999"), (NUMBER[1:], 400, "unknown")):
            caplog.clear()
            peer.respond(refusal(code, status))
            failure(provider)
            line = json.loads(Formatter().format(caplog.records[0]))
            assert (line["event"], line["status"], line["code"]) == ("provider_answer", status, shown)
            assert not leaks(json.dumps(line))
        caplog.clear()
        caplog.set_level(logging.DEBUG)
        peer.respond(refusal(40310))
        failure(provider)
        assert not caplog.records

    # What is heard

    def test_an_opt_out_in_a_receipt_is_told_by_its_words(self, hearer: Provider) -> None:
        """Telnyx uses 40300 for "unreachable" too, so that the code alone does not suffice there."""
        stop = {"code": "40300", "title": STOP}
        request = replace(signed(RECEIPTS, report(RECEIPTS, 1, "delivery_failed", stop)), reference=REFERENCE)
        assert hearer.parse_receipt(request).reason is Reason.OPTED_OUT

    @pytest.mark.parametrize(("code", "reason"), FAILURES.items())
    def test_every_known_failure_has_one_meaning(self, hearer: Provider, code: int, reason: Reason) -> None:
        fault = {"code": str(code), "title": "x", "detail": NUMBER}
        request = signed(RECEIPTS, report(RECEIPTS, 1, "delivery_failed", fault))
        expected = Receipt(REFERENCE, State.UNDELIVERED, message_id(1), reason)
        assert hearer.parse_receipt(replace(request, reference=REFERENCE)) == expected

    @specified
    def test_every_status_of_the_document_is_known(self) -> None:
        schemas = json.loads(SPECIFICATION.read_text())["components"]["schemas"]
        words = schemas["OutboundMessagePayload"]["properties"]["to"]["items"]["properties"]["status"]["enum"]
        assert set(words) == set(STATUSES)

    @pytest.mark.parametrize("age", [-290, 0, 290])
    def test_a_receipt_signed_lately_is_taken(self, hearer: Provider, age: int) -> None:
        request = signed(RECEIPTS, report(RECEIPTS, 1, "delivered"), time.time() - age)
        assert hearer.parse_receipt(replace(request, reference=REFERENCE)).state is State.DELIVERED

    @pytest.mark.parametrize("age", [-10_000, -320, 320, 10_000, 1_700_000_000])
    def test_what_is_replayed_later_is_refused(self, hearer: Provider, age: int) -> None:
        when = time.time() - age
        receipt = signed(RECEIPTS, report(RECEIPTS, 1, "delivered"), when)
        self._is_refused(hearer, replace(receipt, reference=REFERENCE))
        with pytest.raises(Refused):
            hearer.parse_reply(signed(REPLIES, incoming(REPLIES, NUMBER, "STOP"), when))

    @pytest.mark.parametrize("stamp", ["", "soon", "1e9", "-1", " 1", "\u0661", "9" * 5000])
    def test_a_time_that_is_none_is_refused(self, hearer: Provider, stamp: str) -> None:
        body = json.dumps(report(RECEIPTS, 1, "delivered")).encode()
        signature = base64.b64encode(SIGNER.sign(f"{stamp}|".encode() + body).signature).decode()
        headers = {"telnyx-signature-ed25519": signature, "telnyx-timestamp": stamp}
        self._is_refused(hearer, WebhookRequest("POST", RECEIPTS, headers, body, REFERENCE))

    def test_a_signature_by_another_key_is_refused(self, hearer: Provider) -> None:
        other = SigningKey.generate()
        request = signed(RECEIPTS, report(RECEIPTS, 1, "delivered"), signer=other)
        self._is_refused(hearer, replace(request, reference=REFERENCE))

    def test_a_receipt_of_another_attempt_is_refused(self, hearer: Provider) -> None:
        """Genuine and signed, and sent by somebody to an attempt that it is not about."""
        url = RECEIPTS[:-1] + "x"
        self._is_refused(hearer, replace(signed(RECEIPTS, report(url, 1, "delivered")), reference=REFERENCE))
        nowhere = report(RECEIPTS, 1, "delivered")
        nowhere["data"]["payload"]["webhook_url"] = None
        self._is_refused(hearer, replace(signed(RECEIPTS, nowhere), reference=REFERENCE))

    def test_a_reply_is_no_receipt_and_a_receipt_no_reply(self, hearer: Provider) -> None:
        self._is_refused(hearer, replace(signed(RECEIPTS, incoming(RECEIPTS, NUMBER, "x")), reference=REFERENCE))
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(signed(REPLIES, report(REPLIES, 1, "delivered")))
        assert caught.value.reason is Reason.MALFORMED

    @pytest.mark.parametrize("people", [0, 2])
    def test_a_receipt_is_about_one_person(self, hearer: Provider, people: int) -> None:
        whole = report(RECEIPTS, 1, "delivered")
        whole["data"]["payload"]["to"] *= people
        self._is_refused(hearer, replace(signed(RECEIPTS, whole), reference=REFERENCE))

    @pytest.mark.parametrize("sender", ["12345", "+3361234****", "Orange", "", "+336 12", "+0612340015"])
    def test_a_reply_from_nobody_who_can_be_texted_is_refused(self, hearer: Provider, sender: str) -> None:
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(signed(REPLIES, incoming(REPLIES, sender, "STOP")))
        assert caught.value.reason is Reason.MALFORMED

    def test_a_picture_without_words_is_an_empty_reply(self, hearer: Provider) -> None:
        assert hearer.parse_reply(signed(REPLIES, incoming(REPLIES, NUMBER, None))) == Reply(NUMBER, "")

    def test_who_hears_cannot_send(self, hearer: Provider, tmp_path: Path) -> None:
        assert isinstance(hearer, Telnyx)
        assert KEY not in str(vars(hearer))
        absent = str(tmp_path / "absent")
        for provider in self.build("http://127.0.0.1:1", tmp_path, Role.HEAR, api_key_file=absent):
            assert provider.parse_reply(signed(REPLIES, incoming(REPLIES, NUMBER, "STOP"))) == Reply(NUMBER, "STOP")

    # Settings

    @pytest.mark.parametrize(
        ("changes", "setting"),
        [
            ({"from": None}, ""),  # and no profile
            ({"from": "Praxis"}, ""),  # a name, and no profile
            ({"from": "+33 7 secret"}, ".from"),
            ({"from": "secret secret secret"}, ".from"),
            ({"messaging_profile_id": "secret"}, ".messaging_profile_id"),
            ({"public_key": "secret"}, ".public_key"),
            ({"public_key": base64.b64encode(b"secret").decode()}, ".public_key"),
            ({"public_key": "é" * 44}, ".public_key"),
            ({"public_key": None}, ".public_key"),
            ({"base_url": "http://api.secret.example"}, ".base_url"),
            ({"api_key": "secret"}, ".api_key"),
            ({"timeout": 0}, ".timeout"),
        ],
    )
    def test_a_wrong_setting_is_named_and_not_shown(
        self, tmp_path: Path, changes: dict[str, Any], setting: str
    ) -> None:
        table = {**self.table("http://127.0.0.1:1", tmp_path), **changes}
        with pytest.raises(SettingsError) as caught:
            load("telnyx", table)
        assert str(caught.value).startswith(f"providers.telnyx{setting}: ")
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None

    def test_the_timeout_of_the_settings_ends_a_call(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, timeout=0.8):
            peer.hang_after_accepting()
            began = time.monotonic()
            assert type(failure(provider, seconds=60)) is Ambiguous
            assert time.monotonic() - began < 3


def test_the_window_is_that_of_telnyxs_own_libraries() -> None:
    assert module.STALE == 300
