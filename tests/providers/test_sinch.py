import base64
import functools
import hmac
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from fake_twilio import SpecifiedRequest

from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Refused, Rejected, SettingsError
from reminder_worker.job import State
from reminder_worker.logs import Formatter
from reminder_worker.providers import Provider, Receipt, Reply, Role, Sent, load
from reminder_worker.providers.sinch import CODES, FAILURES, PARAMETERS, STALE, STATUSES, Sinch, _moment
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, CLASSES, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.testing.reports import RECEIPTS, REPLIES
from reminder_worker.webhooks import WebhookRequest

SPECIFICATION = Path(__file__).parents[2] / "../shared/specs/sinch-sms.yaml"
PLAN = "jd63jf88477ll123ab4567cd89012ef3"
TOKEN = "a-token-that-sends"
SECRET = "a-secret-that-signs"
HOOK_TOKEN = "a-token-for-replies"
SENDER = "+33700000001"
BATCHES = f"/xms/v1/{PLAN}/batches"
ASKED = datetime(2026, 11, 25, 9, 30, 0, 123_999, tzinfo=UTC)
specified = pytest.mark.skipif(not SPECIFICATION.exists(), reason="Sinch's document is not beside the checkout")


def batch_id(number: int) -> str:
    return f"01FC66621VHDBN119Z8P{number:06d}"


def batch(sent: dict[str, Any], number: int) -> dict[str, Any]:
    """What Sinch says of a batch; the numbers come back without their plus."""
    return {
        "id": batch_id(number),
        "from": sent["from"].removeprefix("+"),
        "to": [one.removeprefix("+") for one in sent["to"]],
        "type": "mt_text",
        "body": sent["body"],
        "client_reference": sent["client_reference"],
        "canceled": False,
        "created_at": "2026-11-25T09:30:00.542Z",
        "modified_at": "2026-11-25T09:30:00.542Z",
        "delivery_report": sent["delivery_report"],
        "expire_at": sent["expire_at"],
        "flash_message": False,
    }


def refusal(code: str, status: int = 400, words: str = "") -> Response:
    """Answer as Sinch does, with number and text in its words."""
    return Response.of({"code": code, "text": words or f"Cannot send to {NUMBER}: {BODY}"}, status)


def unreadable(parameter: str) -> Response:
    words = f"The format of parameter '{parameter}' is invalid; value '{NUMBER}' is not a valid MSISDN or group ID."
    return refusal("syntax_invalid_parameter_format", words=words)


def called(url: str, document: object, **headers: str) -> WebhookRequest:
    body = json.dumps(document, ensure_ascii=False).encode()
    return WebhookRequest("POST", url, {"content-type": "application/json", **headers}, body)


def signed(url: str, document: object, when: float | None = None, secret: str = SECRET) -> WebhookRequest:
    """Sign as Sinch does; its own SDK's example comes out the same."""
    request = called(url, document)
    stamp, nonce = str(int(time.time() if when is None else when)), "01JHFFHWYY7HSS4FWTMDTQEK8V"
    content = request.body + f".{nonce}.{stamp}".encode()
    headers = {
        "x-sinch-webhook-signature": base64.b64encode(hmac.digest(secret.encode(), content, "sha256")).decode(),
        "x-sinch-webhook-signature-algorithm": "HmacSHA256",
        "x-sinch-webhook-signature-nonce": nonce,
        "x-sinch-webhook-signature-timestamp": stamp,
    }
    return replace(request, headers={**request.headers, **headers})


def report(status: str, code: int, name: str = batch_id(1), **more: Any) -> dict[str, Any]:
    whole = {
        "type": "recipient_delivery_report_sms",
        "batch_id": name,
        "recipient": NUMBER[1:],
        "code": code,
        "status": status,
        "at": "2026-11-25T09:30:04.930Z",
        "operator_status_at": "2026-11-25T09:30:00Z",
        "client_reference": REFERENCE,
    }
    return {**whole, **more}


def incoming(sender: str, said: object, kind: str = "mo_text") -> dict[str, Any]:
    return {
        "type": kind,
        "id": "01FC66621VHDBN119Z8PMV1QPA",
        "from": sender,
        "to": SENDER[1:],
        "body": said,
        "operator_id": "20801",
        "received_at": "2026-11-25T09:40:00.000Z",
    }


# Sinch's own document


@functools.cache
def document() -> Any:
    import yaml  # noqa: PLC0415 comes with openapi-core

    return yaml.safe_load(SPECIFICATION.read_text())


@functools.cache
def specification() -> Any:
    from openapi_core import OpenAPI  # noqa: PLC0415 takes half a second

    return OpenAPI.from_dict(document())


@dataclass
class SpecifiedResponse:
    status_code: int
    data: bytes
    headers: ClassVar = {}
    content_type = "application/json"


def as_specified(request: Request) -> SpecifiedRequest:
    headers = {name.title(): value for name, value in request.headers.items()}
    whole = SpecifiedRequest(urlsplit(request.path).path, headers, request.body, request.method.lower())
    whole.host_url = "https://us.sms.api.sinch.com"
    return whole


class SpecifiedPeer(Peer):
    """A Sinch that holds each request against Sinch's own document."""

    def __init__(self) -> None:
        if SPECIFICATION.exists():
            specification()  # now, not within a request whose time is measured
        super().__init__()

    def arrived(self, request: Request) -> None:
        found = []
        if request.method == "POST" and SPECIFICATION.exists():
            known = document()["components"]["schemas"]["sendBatchObject"]["properties"]
            found = [f"unexpected parameter {name}" for name in request.json.keys() - known.keys()]
        if SPECIFICATION.exists():
            errors = specification().iter_request_errors(as_specified(request))
            found += [repr(error.__cause__ or error) for error in errors]
        with self.lock:
            self.mistakes += found


class TestSinch(ProviderContract):
    """A service plan as it comes: what Sinch calls us with is not signed."""

    plug_in = "sinch"
    signs = False
    refusals: ClassVar = {
        "invalid number": (unreadable("to[0]"), Reason.NUMBER_REFUSED),
        "invalid sender": (unreadable("from"), Reason.MISCONFIGURED),
        "constraint": (refusal("syntax_constraint_violation"), Reason.NOT_SENT),
        "not JSON": (refusal("syntax_invalid_json"), Reason.NOT_SENT),
        "campaign": (refusal("unknown_campaign", 403), Reason.MISCONFIGURED),
        "credentials": (refusal("unauthorized", 401), Reason.MISCONFIGURED),
        "forbidden": (refusal("something_new", 403), Reason.MISCONFIGURED),
    }
    unknown_refusal = refusal("something_new")
    receipts: ClassVar = {
        "Queued 400": (State.SENT, None),
        "Dispatched 401": (State.SENT, None),
        "Delivered 0": (State.DELIVERED, None),
        "Unknown 0": (State.SENT, None),
        "Aborted 406": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "Aborted 412": (State.UNDELIVERED, Reason.MISCONFIGURED),
        "Aborted 403": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "Expired 0": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "Failed 27": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "Rejected 62": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "Deleted 34": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "Abducted 0": (None, None),
    }

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with SpecifiedPeer() as peer:
            peer.answer = self.yes
            yield peer

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "token").write_text(TOKEN + "\n")
        (folder / "hook").write_text(HOOK_TOKEN + "\n")
        return {
            "service_plan_id": PLAN,
            "token_file": str(folder / "token"),
            "webhook_token_file": str(folder / "hook"),
            "from": SENDER,
            "base_url": url,
            "callback_url": "https://hooks.example",
        }

    def yes(self, request: Request, number: int) -> Response:
        return Response.of(batch(request.json, number), 201)

    def message_id(self, number: int) -> str:
        return batch_id(number)

    def validity(self, request: Request) -> timedelta:
        return datetime.fromisoformat(request.json["expire_at"]) - datetime.now(UTC)

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        status, _, code = word.partition(" ")
        return called(url, report(status, int(code), message_id, client_reference=url.rpartition("/")[2]))

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return called(f"{url}?token={HOOK_TOKEN}", incoming(sender.removeprefix("+"), text))


class TestSinchThatSigns(TestSinch):
    """A service plan for which Sinch has set up HMAC authentication."""

    signs = True

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        table = super().table(url, folder)
        del table["webhook_token_file"]
        (folder / "hook").write_text(SECRET + "\n")
        return {**table, "webhook_secret_file": str(folder / "hook")}

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        status, _, code = word.partition(" ")
        return signed(url, report(status, int(code), message_id, client_reference=url.rpartition("/")[2]))

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return signed(url, incoming(sender.removeprefix("+"), text))

    # Sinch signs body, nonce and time, not the address. Whose receipt it is stands in the signed body, so that
    # another address only matters where it names another attempt; and a reply is as genuine wherever it arrives.
    signs_address = False

    @pytest.mark.parametrize("age", [0, -3600, 3600, 81_920])  # the last repetition comes 81,920 seconds later
    def test_a_call_that_sinch_repeats_is_taken(self, hearer: Provider, age: int) -> None:
        request = signed(RECEIPTS, report("Delivered", 0), time.time() - age)
        assert hearer.parse_receipt(replace(request, reference=REFERENCE)).state is State.DELIVERED

    @pytest.mark.parametrize("age", [-100_000, 100_000])
    def test_what_is_replayed_later_is_refused(self, hearer: Provider, age: int) -> None:
        assert abs(age) > STALE.total_seconds()
        when = time.time() - age
        self._is_refused(hearer, replace(signed(RECEIPTS, report("Delivered", 0), when), reference=REFERENCE))
        with pytest.raises(Refused):
            hearer.parse_reply(signed(REPLIES, incoming(NUMBER, "STOP"), when))

    def test_another_secret_or_algorithm_is_refused(self, hearer: Provider) -> None:
        genuine = replace(signed(RECEIPTS, report("Delivered", 0)), reference=REFERENCE)
        self._is_refused(hearer, replace(signed(RECEIPTS, report("Delivered", 0), secret="x"), reference=REFERENCE))
        for algorithm in ("", "none", "HmacSHA1", "hmacsha256"):
            headers = {**genuine.headers, "x-sinch-webhook-signature-algorithm": algorithm}
            self._is_refused(hearer, replace(genuine, headers=headers))

    def test_a_token_that_is_set_too_is_asked_for_too(self, tmp_path: Path) -> None:
        (tmp_path / "more").write_text(HOOK_TOKEN)
        for hearer in self.build("http://127.0.0.1:1", tmp_path, Role.HEAR, webhook_token_file=str(tmp_path / "more")):
            said = incoming(NUMBER[1:], "STOP")
            assert hearer.parse_reply(signed(f"{REPLIES}?token={HOOK_TOKEN}", said)) == Reply(NUMBER, "STOP")
            for half in (signed(REPLIES, said), called(f"{REPLIES}?token={HOOK_TOKEN}", said)):
                with pytest.raises(Refused):
                    hearer.parse_reply(half)


# What is special; the contract's fixtures serve here too.


class TestSinchInDetail:
    case = TestSinch()

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with SpecifiedPeer() as peer:
            peer.answer = self.case.yes
            yield peer

    @pytest.fixture
    def provider(self, peer: Peer, tmp_path: Path) -> Iterator[Provider]:
        yield from self.case.build(peer.url, tmp_path, Role.SEND)

    @pytest.fixture
    def hearer(self, tmp_path: Path) -> Iterator[Provider]:
        yield from self.case.build("http://127.0.0.1:1", tmp_path, Role.HEAR)

    # What is sent

    def test_a_text_is_one_batch_of_one(self, provider: Provider, peer: Peer) -> None:
        assert send(provider, text(segments=2)) == Sent(batch_id(1), 2)
        (request,) = peer.requests
        assert (request.method, request.path) == ("POST", BATCHES)
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        sent = request.json
        del sent["expire_at"]
        assert sent == {
            "type": "mt_text",
            "from": SENDER,
            "to": [NUMBER],
            "body": BODY,
            "client_reference": REFERENCE,
            "delivery_report": "per_recipient",
            "callback_url": f"https://hooks.example/v1/receipts/acme/{REFERENCE}",
        }

    @pytest.mark.parametrize("body", ["Größe € [A]", "Wizyta, ul. Żelazna", "نعم", "👍"])
    def test_a_text_arrives_as_it_is(self, provider: Provider, peer: Peer, body: str) -> None:
        send(provider, text(body=body))
        assert peer.requests[0].json["body"] == body

    @pytest.mark.parametrize(
        ("valid_for", "seconds"),
        [
            (timedelta(seconds=-5), 1),
            (timedelta(milliseconds=300), 1),
            (timedelta(hours=2), 7200),
            (timedelta(days=3), 259_200),
            (timedelta(days=9), 259_200),
        ],
    )
    def test_a_text_always_expires_at_sinch(
        self, provider: Provider, peer: Peer, valid_for: timedelta, seconds: int
    ) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        send(provider, text(valid_for=valid_for))
        expires = datetime.fromisoformat(peer.requests[0].json["expire_at"])
        assert before + timedelta(seconds=seconds) <= expires <= datetime.now(UTC) + timedelta(seconds=seconds)

    def test_a_moment_is_never_rounded_up(self) -> None:
        assert _moment(ASKED) == "2026-11-25T09:30:00.123Z"

    def test_a_text_that_no_request_can_hold_is_not_sent(self, provider: Provider, peer: Peer) -> None:
        assert type(failure(provider, text(body="\ud800"))) is NotSent
        assert not peer.requests

    def test_what_sinch_can_do_is_said(self, provider: Provider) -> None:
        can = provider.capabilities
        assert can.searches
        assert can.receipt_carries_reference
        assert can.validity
        assert can.settles_within == timedelta(minutes=10)
        assert not any((can.deduplicates, can.finds_by_reference, can.redacts, can.forgets))
        assert provider.sender == SENDER

    def test_without_a_callback_url_no_receipt_is_asked_for(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.case.build(peer.url, tmp_path, Role.SEND, callback_url=None):
            assert not provider.capabilities.receipt_carries_reference
            assert provider.capabilities.settles  # a search can still tell
            send(provider)
        assert peer.requests[0].json["delivery_report"] == "none"
        assert "callback_url" not in peer.requests[0].json

    @specified
    def test_the_fake_answers_as_sinch_specifies(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        request = as_specified(peer.requests[0])
        refused = [answer for answer, _ in TestSinch.refusals.values() if answer.status in {400, 403}]
        for answer in (self.case.yes(peer.requests[0], 1), *refused):
            said = SpecifiedResponse(answer.status, answer.body)
            assert not list(specification().iter_response_errors(request, said))

    @specified
    def test_a_request_that_sinch_would_not_take_is_noticed(self, peer: Peer) -> None:
        bearer = {"authorization": "Bearer x", "content-type": "application/json"}
        for changes, fault in (
            ({"to": []}, "MinItems|too short|non-empty"),
            ({"delivery_report": "all"}, "all"),
            ({"client_reference": "x" * 129}, "too long"),
            ({"txt": "x"}, "txt"),
        ):
            whole = {"to": [NUMBER], "body": BODY, **changes}
            peer.arrived(Request("POST", BATCHES, bearer, json.dumps(whole).encode()))
            assert any(word in " ".join(peer.mistakes) for word in fault.split("|")), peer.mistakes
            peer.mistakes.clear()

    # What is answered

    @pytest.mark.parametrize(("code", "reason"), CODES.items())
    def test_every_known_code_has_one_meaning(self, provider: Provider, peer: Peer, code: str, reason: Reason) -> None:
        peer.respond(refusal(code))
        error = failure(provider)
        assert (type(error), error.reason) == (CLASSES.get(reason, Rejected), reason)

    @pytest.mark.parametrize(("parameter", "reason"), [*PARAMETERS.items(), ("expire_at", Reason.NOT_SENT)])
    def test_the_words_say_which_parameter_is_wrong(
        self, provider: Provider, peer: Peer, parameter: str, reason: Reason
    ) -> None:
        peer.respond(unreadable(parameter))
        assert failure(provider).reason is reason

    def test_the_words_count_beside_their_code_only(self, provider: Provider, peer: Peer) -> None:
        peer.respond(refusal("something_new", words="The format of parameter 'to[0]' is invalid"))
        assert type(failure(provider)) is Ambiguous

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (refusal("x", 404), Ambiguous),
            (refusal("x", 408), Ambiguous),
            (refusal("x", 402), Misconfigured),
            (refusal("syntax_invalid_json", 500), Ambiguous),  # a refusal by code does not count there
            (refusal("syntax_invalid_json", 503), Ambiguous),
            (refusal("syntax_invalid_json", 201), Ambiguous),
            (Response(401, b""), Misconfigured),
            (Response.of({"code": 7, "text": NUMBER}, 400), Ambiguous),
            (Response.of({"id": batch_id(1)}, 500), Ambiguous),
            (Response.of({"id": batch_id(1)}, 302), Ambiguous),
            (Response.of({"id": batch_id(1)}, 307), Misconfigured),
            (Response.of({"id": batch_id(1) + "\n"}, 201), Ambiguous),
            (Response.of({"id": ""}, 201), Ambiguous),
        ],
    )
    def test_status_and_code_are_read_together(
        self, provider: Provider, peer: Peer, answer: Response, expected: type[Exception]
    ) -> None:
        peer.respond(answer)
        assert type(failure(provider)) is expected

    def test_an_operator_is_told_the_code_and_nothing_else(
        self, provider: Provider, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for code, status, shown in (("unknown_campaign", 403, "unknown_campaign"), (NUMBER, 400, "unknown")):
            caplog.clear()
            peer.respond(refusal(code, status))
            failure(provider)
            line = json.loads(Formatter().format(caplog.records[0]))
            assert (line["event"], line["status"], line["code"]) == ("provider_answer", status, shown)
            assert not leaks(json.dumps(line))
        caplog.clear()
        caplog.set_level(logging.DEBUG)
        peer.respond(unreadable("to[0]"))
        failure(provider)
        assert not caplog.records

    # What is looked for

    def test_a_search_finds_the_batch_with_our_reference(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        sent = peer.requests[0].json
        others = [batch({**sent, "client_reference": other}, 7) for other in ("x" * 39, "")]
        peer.look = lambda _: Response.of({"count": 3, "page": 0, "batches": [*others, batch(sent, 1)]})
        assert provider.search(text(segments=2), ASKED) == Sent(batch_id(1), 2)
        asked = peer.requests[1]
        assert (asked.method, urlsplit(asked.path).path) == ("GET", BATCHES)
        assert asked.query == {"client_reference": REFERENCE, "start_date": "2026-11-25T09:28:00.123Z"}
        assert not leaks(asked.words)  # nothing but the reference tells whose it is

    @pytest.mark.parametrize(
        "answer",
        [
            Response.of({"count": 0, "page": 0, "batches": []}),
            Response.of({"batches": [{"id": batch_id(7), "client_reference": "x" * 39}]}),
            Response.of({"batches": [{"id": batch_id(7)}]}),
            Response.of({"batches": [{"client_reference": REFERENCE}]}),
            Response.of({"batches": [{"id": batch_id(7), "client_reference": REFERENCE}]}, 500),
            Response(200, b"<html>"),
            refusal("unauthorized", 401),
        ],
    )
    def test_what_a_search_does_not_find_proves_nothing(self, provider: Provider, peer: Peer, answer: Response) -> None:
        peer.look = lambda _: answer
        assert provider.search(text(), ASKED) is None

    def test_a_search_that_breaks_off_finds_nothing(self, provider: Provider, peer: Peer) -> None:
        peer.plan(lambda handler, _: handler.hang_up(reset=True))
        assert provider.search(text(), ASKED) is None

    def test_a_look_up_that_would_have_to_be_a_proof_is_refused(self, provider: Provider) -> None:
        with pytest.raises(NotImplementedError):
            provider.find(REFERENCE)

    # What is heard

    @pytest.mark.parametrize(("code", "reason"), FAILURES.items())
    def test_every_known_failure_has_one_meaning(self, hearer: Provider, code: int, reason: Reason) -> None:
        request = replace(called(RECEIPTS, report("Aborted", code)), reference=REFERENCE)
        assert hearer.parse_receipt(request) == Receipt(REFERENCE, State.UNDELIVERED, batch_id(1), reason)

    @specified
    def test_every_status_of_the_document_is_known(self) -> None:
        schema = document()["components"]["schemas"]["retrieveDeliveryResponseObj"]["properties"]
        words = schema["statuses"]["items"]["properties"]["status"]["enum"]
        assert set(words) == set(STATUSES) - {"Cancelled"}  # which Sinch's libraries know besides

    def test_a_receipt_of_another_attempt_is_refused(self, hearer: Provider) -> None:
        other = called(RECEIPTS, report("Delivered", 0, client_reference="x" * 39))
        with pytest.raises(Refused) as caught:
            hearer.parse_receipt(replace(other, reference=REFERENCE))
        assert caught.value.reason is Reason.SIGNATURE_INVALID

    def test_a_receipt_that_repeats_no_reference_goes_by_its_path(self, hearer: Provider) -> None:
        request = replace(called(RECEIPTS, report("Delivered", 0, client_reference=None)), reference=REFERENCE)
        assert hearer.parse_receipt(request).reference == REFERENCE

    @pytest.mark.parametrize(
        "document",
        [
            report("Delivered", 0, type="delivery_report_sms"),
            report("Delivered", 0, type="recipient_delivery_report_mms"),
            report("Delivered", 0, batch_id=NUMBER),
            incoming(NUMBER, "STOP"),
        ],
    )
    def test_what_is_no_report_of_one_text_is_refused(self, hearer: Provider, document: dict[str, Any]) -> None:
        with pytest.raises(Refused) as caught:
            hearer.parse_receipt(replace(called(RECEIPTS, document), reference=REFERENCE))
        assert caught.value.reason is Reason.MALFORMED

    @pytest.mark.parametrize("sender", [NUMBER, NUMBER[1:]])
    def test_a_sender_has_its_plus(self, hearer: Provider, sender: str) -> None:
        request = called(f"{REPLIES}?token={HOOK_TOKEN}", incoming(sender, "STOP"))
        assert hearer.parse_reply(request) == Reply(NUMBER, "STOP")

    def test_a_token_may_come_as_a_basic_password(self, hearer: Provider) -> None:
        """Sinch offers basic authentication for its calls."""
        word = base64.b64encode(f"sinch:{HOOK_TOKEN}".encode()).decode()
        request = called(REPLIES, incoming(NUMBER, "STOP"), authorization=f"Basic {word}")
        assert hearer.parse_reply(request) == Reply(NUMBER, "STOP")

    @pytest.mark.parametrize(
        "document",
        [
            incoming("1234", "STOP"),
            incoming("Orange", "STOP"),
            incoming("", "STOP"),
            incoming("++33612345678", "STOP"),
            incoming("+0612345678", "STOP"),
            incoming(NUMBER, "U1RPUA==", "mo_binary"),
            incoming(NUMBER, {"message": "STOP", "media": []}, "mo_media"),
            report("Delivered", 0),
        ],
    )
    def test_what_is_no_text_from_a_phone_is_refused(self, hearer: Provider, document: dict[str, Any]) -> None:
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(called(f"{REPLIES}?token={HOOK_TOKEN}", document))
        assert caught.value.reason is Reason.MALFORMED

    @pytest.mark.parametrize("url", [REPLIES, f"{REPLIES}?token="])
    def test_without_any_secret_no_reply_is_believed(self, tmp_path: Path, url: str) -> None:
        for hearer in self.case.build("http://127.0.0.1:1", tmp_path, Role.HEAR, webhook_token_file=None):
            with pytest.raises(Refused) as caught:
                hearer.parse_reply(called(url, incoming(NUMBER, "STOP")))
            assert caught.value.reason is Reason.SIGNATURE_INVALID

    def test_each_process_reads_its_own_secrets_only(self, tmp_path: Path) -> None:
        absent = str(tmp_path / "absent")
        for hearer in self.case.build("http://127.0.0.1:1", tmp_path, Role.HEAR, token_file=absent):
            assert isinstance(hearer, Sinch)
            assert TOKEN not in str(vars(hearer))
        hooks = {"webhook_token_file": absent, "webhook_secret_file": absent}
        for provider in self.case.build("http://127.0.0.1:1", tmp_path, Role.SEND, **hooks):
            assert HOOK_TOKEN not in str(vars(provider))

    # Settings

    @pytest.mark.parametrize(
        ("changes", "setting"),
        [
            ({"service_plan_id": "secret/.."}, "service_plan_id"),
            ({"service_plan_id": None}, "service_plan_id"),
            ({"from": None}, "from"),
            ({"from": "secret secret secret"}, "from"),
            ({"base_url": "http://eu.secret.example"}, "base_url"),
            ({"callback_url": "http://hooks.secret.example"}, "callback_url"),
            ({"token": "secret"}, "token"),
            ({"token_file": "/no/such/secret"}, "token_file"),
            ({"timeout": 0}, "timeout"),
        ],
    )
    def test_a_wrong_setting_is_named_and_not_shown(
        self, tmp_path: Path, changes: dict[str, Any], setting: str
    ) -> None:
        table = {**self.case.table("http://127.0.0.1:1", tmp_path), **changes}
        with pytest.raises(SettingsError) as caught:
            load("sinch", table)
        assert str(caught.value).startswith(f"providers.sinch.{setting}: ")
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None

    def test_the_timeout_of_the_settings_ends_a_call(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.case.build(peer.url, tmp_path, Role.SEND, timeout=0.8):
            peer.hang_after_accepting()
            began = time.monotonic()
            assert type(failure(provider, seconds=60)) is Ambiguous
            assert time.monotonic() - began < 3
