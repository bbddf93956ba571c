"""OVHcloud: its codes, its signature, receipts that know its own name of a text only."""

import functools
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

import pytest

from reminder_worker.errors import Misconfigured, NotSent, Reason, Refused, ReminderError, SettingsError
from reminder_worker.job import State
from reminder_worker.logs import Formatter
from reminder_worker.providers import Provider, Role, Sent, load
from reminder_worker.providers.ovh import COARSE, CODES, STATES, UNDELIVERED
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.webhooks import WebhookRequest

SPECIFICATION = Path(__file__).parents[2] / "../shared/specs/ovh-sms.json"
SERVICE = "sms-ab12345-1"
SECRET, CONSUMER, TOKEN = "application-secret", "consumer-key", "webhook-token"
TAG = hashlib.blake2b(REFERENCE.encode(), digest_size=10).hexdigest()
SHORT_NUMBER = "cannot send contact information with shortcode"


def gateway(code: str, status: int = 403) -> Response:
    """Refuse as the API itself does."""
    return Response.of({"errorCode": code, "httpCode": f"{status} No", "message": f"{NUMBER}: {BODY}"}, status)


def service(kind: str, status: int = 400, message: str = f"{NUMBER} cannot get: {BODY}") -> Response:
    """Refuse as the SMS service behind it does."""
    return Response.of({"class": kind, "message": message}, status)


def report(ids: list[int], valid: list[str], invalid: list[str]) -> Response:
    return Response.of(
        {
            "ids": ids,
            "validReceivers": valid,
            "invalidReceivers": invalid,
            "totalCreditsRemoved": len(ids),
            "tag": TAG,
        }
    )


@functools.cache
def specification() -> Any:
    """OVH's own OpenAPI document, without the OAuth that is the other way to sign; None where it is not there."""
    if not SPECIFICATION.exists():
        return None
    from openapi_core import OpenAPI  # noqa: PLC0415 takes half a second

    document = json.loads(SPECIFICATION.read_text())
    for path in document["paths"].values():
        for operation in path.values():
            operation.pop("security", None)
    return OpenAPI.from_dict(document)


@dataclass
class Specified:
    """A request, as openapi-core wants to see it."""

    request: Request
    host_url: str = "https://eu.api.ovh.com"

    def __post_init__(self) -> None:
        from openapi_core.datatypes import RequestParameters  # noqa: PLC0415
        from werkzeug.datastructures import Headers, ImmutableMultiDict  # noqa: PLC0415

        self.method, self.path = self.request.method.lower(), urlsplit(self.request.path).path
        self.body = self.request.body or None
        self.content_type = self.request.headers.get("content-type", "")
        query = ImmutableMultiDict(self.request.query)
        self.parameters = RequestParameters(query=query, header=Headers(dict(self.request.headers)))


class FakeOvh(Peer):
    """OVH's side: every request has to be signed, and to keep to OVH's document; ``close`` fails where one did not."""

    def arrived(self, request: Request) -> None:
        shown, body = request.headers, request.body.decode()
        parts = [SECRET, CONSUMER, request.method, self.url + request.path, body, shown["x-ovh-timestamp"]]
        with self.lock:
            if shown["x-ovh-signature"] != "$1$" + hashlib.sha1("+".join(parts).encode()).hexdigest():
                self.mistakes.append("not signed")
            if abs(int(shown["x-ovh-timestamp"]) - time.time()) > 30:
                self.mistakes.append("not now")
            if (shown["x-ovh-application"], shown["x-ovh-consumer"]) != ("application-key", CONSUMER):
                self.mistakes.append("somebody else's keys")
            if specification() is not None:
                self.mistakes += map(repr, specification().iter_request_errors(Specified(request)))


class TestOvh(ProviderContract):
    names_replies = False
    plug_in = "ovh"
    signs = False
    refusals: ClassVar = {
        "invalid number": (report([], [], [NUMBER]), Reason.NUMBER_REFUSED),
        "a text that a short number may not carry": (service("Client::BadRequest", 400, SHORT_NUMBER), Reason.NOT_SENT),
        "signature": (gateway("INVALID_SIGNATURE", 400), Reason.MISCONFIGURED),
        "credentials": (gateway("INVALID_CREDENTIAL"), Reason.MISCONFIGURED),
        "not granted": (gateway("NOT_GRANTED_CALL"), Reason.MISCONFIGURED),
        "unknown service": (service("Client::NotFound", 404), Reason.MISCONFIGURED),
        "account expired": (service("Client::Expired", 460), Reason.MISCONFIGURED),
    }
    unknown_refusal = service("Client::BadRequest", 400)
    busy = service("Client::TooManyRequests", 429)
    receipts: ClassVar = {
        "1": (State.SENT, None),
        "3": (State.SENT, None),
        "4": (State.DELIVERED, None),
        "8": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "23": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "24": (State.UNDELIVERED, Reason.UNREACHABLE),
        "28": (State.UNDELIVERED, Reason.CONTENT_REFUSED),
        "5": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "6": (None, None),
        "9999": (None, None),
    }

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        for name, content in {"secret": SECRET, "consumer": CONSUMER, "hooks": TOKEN}.items():
            (folder / name).write_text(content + "\n")
        return {
            "service": SERVICE,
            "application_key": "application-key",
            "application_secret_file": str(folder / "secret"),
            "consumer_key_file": str(folder / "consumer"),
            "webhook_token_file": str(folder / "hooks"),
            "from": "Clinic",
            "base_url": f"{url}/1.0",
        }

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with FakeOvh() as peer:
            peer.answer = self.yes
            yield peer

    def yes(self, request: Request, number: int) -> Response:
        if request.method == "DELETE":
            return Response(200, b"null")
        return report([26929924 + number], [NUMBER], [])

    def message_id(self, number: int) -> str:
        return str(26929924 + number)

    def validity(self, request: Request) -> timedelta:
        return timedelta(minutes=request.json["validityPeriod"])

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        given = {"id": message_id, "ptt": word, "date": "2026-11-25 09:00:00", "descriptionDlr": "x"}
        return WebhookRequest("GET", f"{url}?token={TOKEN}&{urlencode(given)}", {}, b"")

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        form = {"id": "1", "keyword": "ab12345", "message": text, "senderid": sender, "shortcode": "36105", "tag": TAG}
        return WebhookRequest("POST", f"{url}?token={TOKEN}", {}, urlencode(form).encode())

    # An unsigned receipt by id proves itself by the token, not by a reference in its path: there is none.
    def test_a_forged_receipt_is_refused(self, hearer: Provider) -> None:
        genuine = self._receipt(hearer, "4")
        for token in ("", "token=&", "token=wrong&", f"token={TOKEN}x&", f"token={TOKEN}&token={TOKEN}&"):
            self._is_refused(hearer, replace(genuine, url=genuine.url.replace(f"token={TOKEN}&", token)), token)

    # What is sent

    def test_a_job_says_what_is_meant(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        (request,) = peer.accepted
        assert (request.method, request.path) == ("POST", f"/1.0/sms/{SERVICE}/jobs")
        assert request.body.isascii()  # as OVH's own client writes and signs it
        assert request.json == {
            "receivers": [NUMBER],
            "message": BODY,
            "charset": "UTF-8",
            "noStopClause": True,
            "priority": "high",
            "validityPeriod": 120,
            "tag": TAG,
            "sender": "Clinic",
        }

    @pytest.mark.parametrize("body", ["Rendez-vous à 14 h", "موعدكم غدا", "Прийом завтра", "€ [x] 👍", 'a "b" \\ c\nd'])
    def test_any_alphabet_arrives_as_it_is(self, provider: Provider, peer: Peer, body: str) -> None:
        send(provider, text(body=body))
        assert peer.accepted[0].json["message"] == body
        assert "coding" not in peer.accepted[0].json  # deprecated: OVH takes it from the message

    def test_a_short_number_takes_replies(self, peer: Peer, tmp_path: Path) -> None:
        table = {**self.table(peer.url, tmp_path), "type": "ovh", "sender_for_response": True}
        del table["from"]
        provider = load("acme", table)
        send(provider)
        assert peer.accepted[0].json["senderForResponse"] is True
        assert "sender" not in peer.accepted[0].json
        assert provider.sender == SERVICE

    def test_a_tag_fits_and_does_not_show_the_reference(self, provider: Provider, peer: Peer) -> None:
        for end in "xy":
            send(provider, text(reference=REFERENCE[:-1] + end))
        tags = [request.json["tag"] for request in peer.accepted]
        assert len(set(tags)) == 2
        assert all(len(tag) == 20 and tag[:6] not in REFERENCE for tag in tags)

    @pytest.mark.parametrize(("seconds", "minutes"), [(60, 1), (119, 1), (3600, 60), (10**6, 2880)])
    def test_validity_is_whole_minutes_and_never_longer(
        self, provider: Provider, peer: Peer, seconds: int, minutes: int
    ) -> None:
        send(provider, text(valid_for=timedelta(seconds=seconds)))
        assert peer.accepted[0].json["validityPeriod"] == minutes

    @pytest.mark.parametrize("seconds", [59, 0, -5])
    def test_a_text_of_less_use_than_a_minute_is_not_sent(self, provider: Provider, peer: Peer, seconds: int) -> None:
        error = failure(provider, text(valid_for=timedelta(seconds=seconds)))
        assert (type(error), error.reason) == (NotSent, Reason.NOT_SENT)
        assert not peer.requests

    @pytest.mark.skipif(not SPECIFICATION.exists(), reason="OVH's OpenAPI document is not beside the checkout")
    @pytest.mark.parametrize("wrong", [{"message": None}, {"validityPeriod": "120"}, {"priority": "soon"}])
    def test_the_fake_notices_what_ovh_would_not_take(self, wrong: dict[str, Any]) -> None:
        job = {name: value for name, value in ({"message": BODY} | wrong).items() if value is not None}
        headers = {"content-type": "application/json"}
        request = Request("POST", f"/1.0/sms/{SERVICE}/jobs", headers, json.dumps(job).encode())
        assert len(list(specification().iter_request_errors(Specified(request)))) == 1

    @pytest.mark.skipif(not SPECIFICATION.exists(), reason="OVH's OpenAPI document is not beside the checkout")
    def test_the_fake_answers_as_ovh_specifies(self) -> None:
        from jsonschema import Draft7Validator  # noqa: PLC0415 comes with openapi-core

        schema = json.loads(SPECIFICATION.read_text())["components"]["schemas"]["sms.SmsSendingReport"]
        Draft7Validator({**schema, "additionalProperties": False}).validate(json.loads(report([1], ["+33"], []).body))

    # What its answers mean

    @pytest.mark.parametrize("code", CODES)
    def test_every_code_has_one_meaning(self, provider: Provider, peer: Peer, code: str) -> None:
        answers = {SHORT_NUMBER: service("Client::BadRequest", 400, code), "Client::NotFound": service(code, 404)}
        peer.respond(answers.get(code, gateway(code, 400)))
        assert failure(provider).reason == CODES[code]

    @pytest.mark.parametrize("code", CODES)
    def test_no_code_counts_where_the_server_failed(self, provider: Provider, peer: Peer, code: str) -> None:
        peer.respond(Response.of({"errorCode": code, "class": code, "message": code}, 500))
        assert failure(provider).reason == Reason.AMBIGUOUS

    @pytest.mark.parametrize(
        "answer",
        [
            report([1, 2], [NUMBER], []),
            report([1], [], [NUMBER]),
            report([], [NUMBER], [NUMBER]),
            report([], [NUMBER], []),
            report([], [], []),
            report([0], [NUMBER], []),
            Response.of({"invalidReceivers": [NUMBER]}),
        ],
        ids=["two", "both", "contradiction", "valid without id", "nobody", "no id", "ids missing"],
    )
    def test_a_report_that_says_both_or_nothing_is_in_doubt(
        self, provider: Provider, peer: Peer, answer: Response
    ) -> None:
        peer.respond(answer)
        assert failure(provider).reason == Reason.AMBIGUOUS

    def test_an_operator_is_told_the_code_and_nothing_else(
        self, provider: Provider, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for answer, code in ((gateway("INVALID_CREDENTIAL"), "INVALID_CREDENTIAL"), (gateway(BODY), "unknown")):
            caplog.clear()
            peer.respond(answer)
            assert type(failure(provider)) is Misconfigured
            line = json.loads(Formatter().format(caplog.records[0]))
            assert (line["event"], line["provider"], line["status"]) == ("provider_answer", "acme", 403)
            assert line["code"] == code
            assert not leaks(json.dumps(line))

    def test_the_timeout_of_the_settings_ends_a_call_before_the_deadline(self, peer: Peer, tmp_path: Path) -> None:
        provider = load("acme", {**self.table(peer.url, tmp_path), "type": "ovh", "timeout": 0.8})
        peer.hang_after_accepting()
        began = time.monotonic()
        assert failure(provider, seconds=60).reason == Reason.AMBIGUOUS
        assert time.monotonic() - began < 4

    # Looking for a text, and having it removed

    def test_a_search_goes_by_the_tag_and_shows_no_number(self, provider: Provider, peer: Peer) -> None:
        peer.look = lambda _: Response.of([26929925])
        assert provider.search(text(), datetime.now(UTC)) == Sent("26929925", 1)
        (request,) = peer.requests
        assert (request.method, request.path) == ("GET", f"/1.0/sms/{SERVICE}/outgoing?tag={TAG}")
        assert not leaks(request.words)

    @pytest.mark.parametrize(
        "answer",
        [Response.of([]), Response.of([1, 2]), Response.of({}), Response.of([1], 500), gateway("NOT_GRANTED_CALL")],
    )
    def test_a_search_only_counts_when_it_finds_one(self, provider: Provider, peer: Peer, answer: Response) -> None:
        peer.look = lambda _: answer
        assert provider.search(text(), datetime.now(UTC)) is None

    def test_a_search_that_does_not_arrive_finds_nothing(self, provider: Provider, peer: Peer) -> None:
        peer.cut()
        assert provider.search(text(), datetime.now(UTC)) is None

    def test_a_text_is_deleted_by_its_id_and_nothing_else_is(self, provider: Provider, peer: Peer) -> None:
        provider.forget("26929925")
        provider.forget("../senders/Clinic")
        provider.forget("")
        assert [(one.method, one.path) for one in peer.requests] == [
            ("DELETE", f"/1.0/sms/{SERVICE}/outgoing/26929925")
        ]

    def test_a_key_that_may_not_delete_is_a_misconfiguration(self, provider: Provider, peer: Peer) -> None:
        peer.look = lambda _: gateway("NOT_GRANTED_CALL")
        with pytest.raises(ReminderError) as caught:
            provider.forget("26929925")
        assert type(caught.value) is Misconfigured

    # What OVH calls us with

    def test_every_ptt_has_one_meaning(self, hearer: Provider) -> None:
        for ptt, state in STATES.items():
            receipt = hearer.parse_receipt(self.receipt("https://hooks.example/v1/receipts/acme", "7", ptt))
            assert (receipt.state, receipt.reason) == (state, UNDELIVERED.get(ptt))

    def test_an_unknown_ptt_is_read_by_the_coarse_state(self, hearer: Provider) -> None:
        for word, state in COARSE.items():
            given = self.receipt("https://hooks.example/v1/receipts/acme", "7", "9999")
            receipt = hearer.parse_receipt(replace(given, url=f"{given.url}&description={word}"))
            reason = Reason.CARRIER_FAILED if state is State.UNDELIVERED else None
            assert (receipt.state, receipt.reason) == (state, reason)

    def test_a_known_ptt_counts_for_more_than_the_coarse_state(self, hearer: Provider) -> None:
        for ptt in ("6", "4"):
            given = self.receipt("https://hooks.example/v1/receipts/acme", "7", ptt)
            assert hearer.parse_receipt(replace(given, url=f"{given.url}&description=2")).state == STATES[ptt]

    def test_a_basic_password_proves_a_receipt_too(self, hearer: Provider) -> None:
        genuine = self.receipt("https://hooks.example/v1/receipts/acme", "7", "4")
        bare = replace(genuine, url=genuine.url.replace(f"token={TOKEN}&", ""))
        basic = replace(bare, headers={"authorization": "Basic b3ZoOndlYmhvb2stdG9rZW4="})
        assert hearer.parse_receipt(basic).state is State.DELIVERED

    @pytest.mark.parametrize("name", ["", "12a", "²", "1" * 21])
    def test_a_receipt_needs_an_id(self, hearer: Provider, name: str) -> None:
        with pytest.raises(Refused) as caught:
            hearer.parse_receipt(self.receipt("https://hooks.example/v1/receipts/acme", name, "4"))
        assert caught.value.reason == Reason.MALFORMED

    @pytest.mark.parametrize("shown", [NUMBER, NUMBER[1:], "00" + NUMBER[1:]])
    def test_a_sender_is_a_full_number_however_it_is_written(self, hearer: Provider, shown: str) -> None:
        assert hearer.parse_reply(self.reply("https://hooks.example/v1/replies/acme", shown, "STOP")).sender == NUMBER

    @pytest.mark.parametrize("shown", ["0612340015", "36105", "", "Clinic", "+33 6", "+" + "1" * 16])
    def test_a_sender_that_is_no_full_number_is_refused(self, hearer: Provider, shown: str) -> None:
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(self.reply("https://hooks.example/v1/replies/acme", shown, "STOP"))
        assert caught.value.reason == Reason.MALFORMED

    def test_without_a_token_nothing_is_believed(self, tmp_path: Path) -> None:
        table = {**self.table("http://127.0.0.1:1", tmp_path), "type": "ovh"}
        del table["webhook_token_file"]
        provider = load("acme", table, Role.HEAR)
        assert not provider.capabilities.receipts_by_id
        for token in ("", "?token=", f"?token={TOKEN}"):
            url = f"https://hooks.example/v1/receipts/acme{token}"
            with pytest.raises(Refused):
                provider.parse_receipt(WebhookRequest("GET", url, {}, b""))
            with pytest.raises(Refused):
                provider.parse_reply(WebhookRequest("POST", url, {}, b"senderid=33612340015&message=STOP"))

    # Settings

    def test_each_process_reads_only_its_own_secrets(self, tmp_path: Path) -> None:
        table = {**self.table("http://127.0.0.1:1", tmp_path), "type": "ovh"}
        load("acme", {**table, "webhook_token_file": "/nowhere"}, Role.SEND)
        hearing = {"application_secret_file": "/nowhere", "consumer_key_file": "/nowhere"}
        load("acme", {**table, **hearing}, Role.HEAR)

    @pytest.mark.parametrize(
        ("changes", "setting"),
        [
            ({"service": "sms/../me"}, "service: "),
            ({"application_key": "two words"}, "application_key: "),
            ({"from": "Cabinet médical"}, "from: "),
            ({"from": "TwelveLetter"}, "from: "),
            ({"base_url": "http://ovh.example/1.0"}, "base_url: "),
            ({"sender_for_response": True}, "set either from or"),
            ({"from": None}, "set either from or"),
            ({"application_secret": "hunter2"}, "application_secret: "),
        ],
    )
    def test_a_wrong_setting_is_named_and_not_shown(
        self, tmp_path: Path, changes: dict[str, Any], setting: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            load("acme", {**self.table("http://127.0.0.1:1", tmp_path), "type": "ovh", **changes})
        assert setting in str(caught.value)
        assert not any(str(value) in str(caught.value) for value in changes.values() if isinstance(value, str))
