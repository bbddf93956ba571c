import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import fake_twilio
import pytest
from fake_twilio import ACCOUNT, SENDER, TOKEN, FakeTwilio
from twilio.request_validator import RequestValidator

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
from reminder_worker.providers import Sent, Text, load
from reminder_worker.providers import twilio as module
from reminder_worker.providers.twilio import CODES, Twilio
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Request, Response
from reminder_worker.testing.reports import REPLIES
from reminder_worker.webhooks import WebhookRequest

NUMBER = "+33612345678"
BODY = "Rappel : rendez-vous demain à 14 h 30, rue des Lilas. STOP pour ne plus en recevoir."
LATE = 2.5  # seconds by which something may be late on a busy machine
SERVICE = "MG" + "0" * 32
SID = "SM" + "0" * 32


def text(to: str = NUMBER, valid_for: timedelta = timedelta(hours=2), segments: int = 1) -> Text:
    return Text(to=to, body=BODY, segments=segments, reference="attempt-1", valid_for=valid_for)


@pytest.fixture
def server() -> Iterator[FakeTwilio]:
    with FakeTwilio() as fake:
        yield fake


@pytest.fixture
def twilio(server: FakeTwilio, tmp_path: Path) -> Iterator[Twilio]:
    provider = load("twilio", server.table(tmp_path))
    assert isinstance(provider, Twilio)
    yield provider
    provider.close()


def send(provider: Twilio, sent: Text | None = None, seconds: float = 5.0) -> Sent:
    return provider.send(sent or text(), deadline=time.monotonic() + seconds)


def failure(provider: Twilio, seconds: float = 5.0) -> ReminderError:
    """Send, and return what it raised, having looked for what must not be in it."""
    with pytest.raises(ReminderError) as caught:
        send(provider, seconds=seconds)
    assert type(caught.value).__module__ == "reminder_worker.errors"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.traceback[-1].name == "send"  # no frame of the SDK, whose variables hold the form
    assert not leaks(f"{caught.value!r} {caught.value} {vars(caught.value)}")
    return caught.value


def leaks(shown: str) -> list[str]:
    return [secret for secret in (NUMBER, NUMBER[1:], "Rappel", "Lilas", TOKEN) if secret in shown]


# What is sent


def test_a_text_is_accepted(server: FakeTwilio, twilio: Twilio) -> None:
    assert send(twilio) == Sent(f"SM{1:032x}", 1)
    assert server.messages == [
        {
            "To": NUMBER,
            "Body": BODY,
            "From": SENDER,
            "ValidityPeriod": "7200",
            "ContentRetention": "discard",
            "AddressRetention": "obfuscate",
        }
    ]


@pytest.mark.skipif(
    not fake_twilio.SPECIFICATION.exists(), reason="Twilio's OpenAPI document is not beside the checkout"
)
@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"ValidityPeriod": "soon"}, "integer"),
        ({"ContentRetention": "burn"}, "ContentRetention"),
        ({"AddressRetention": "burn"}, "AddressRetention"),
        ({"MessagingServiceSid": "MG1"}, "MessagingServiceSid"),
        ({"Bdy": "x"}, "Bdy"),
        ({"SmartEncoded": "true"}, "SmartEncoded"),
        ({"ValidityPeriod": "36001"}, "ValidityPeriod"),
        ({"To": None}, "To"),
    ],
)
def test_the_fake_notices_what_twilio_would_not_take(
    server: FakeTwilio, twilio: Twilio, monkeypatch: pytest.MonkeyPatch, form: dict[str, str | None], fault: str
) -> None:
    whole = module.urlencode

    def change(data: dict[str, str]) -> str:
        return whole({name: value for name, value in {**data, **form}.items() if value is not None})

    monkeypatch.setattr(module, "urlencode", change)
    server.refuse(20001)
    failure(twilio)
    (violation,) = server.mistakes
    assert fault in violation
    server.mistakes.clear()


@pytest.mark.skipif(
    not fake_twilio.SPECIFICATION.exists(), reason="Twilio's OpenAPI document is not beside the checkout"
)
def test_the_fake_answers_as_twilio_specifies() -> None:
    document = json.loads(fake_twilio.SPECIFICATION.read_text())
    specified = document["components"]["schemas"]["api.v2010.account.message"]["properties"]
    answer = fake_twilio._resource({"To": NUMBER, "Body": BODY, "From": SENDER}, 1)
    assert answer.keys() <= specified.keys()
    assert re.fullmatch(specified["sid"]["pattern"], answer["sid"])


def test_a_messaging_service_chooses_the_sender(server: FakeTwilio, tmp_path: Path) -> None:
    table = server.table(tmp_path, messaging_service_sid=SERVICE)
    del table["from"]
    provider = load("twilio", table)
    assert send(provider, text(segments=2)).segments == 2  # Twilio has not counted yet: ours stands
    assert server.messages[0]["MessagingServiceSid"] == SERVICE
    assert "From" not in server.messages[0]
    provider.close()


def test_a_receipt_will_carry_the_reference(server: FakeTwilio, tmp_path: Path) -> None:
    table = server.table(tmp_path, type="twilio", callback_url="https://hooks.example/base/")
    provider = load("twilio-fr", table)
    assert isinstance(provider, Twilio)
    assert provider.name == "twilio-fr"
    assert provider.capabilities.receipt_carries_reference
    assert provider.capabilities.settles_within == timedelta(minutes=10)
    send(provider)
    assert server.messages[0]["StatusCallback"] == "https://hooks.example/base/v1/receipts/twilio-fr/attempt-1"
    provider.close()


def test_without_redaction_nothing_is_asked_of_twilio(server: FakeTwilio, tmp_path: Path) -> None:
    provider = load("twilio", server.table(tmp_path, redact="off"))
    assert not provider.capabilities.redacts
    send(provider)
    assert not server.messages[0].keys() & {"ContentRetention", "AddressRetention"}
    provider.close()


@pytest.mark.parametrize(
    ("valid_for", "expected"),
    [
        (timedelta(seconds=-5), "1"),
        (timedelta(milliseconds=300), "1"),
        (timedelta(seconds=59.9), "59"),
        (timedelta(hours=10), "36000"),
        (timedelta(days=3), "36000"),
    ],
)
def test_a_text_always_expires_at_twilio(
    server: FakeTwilio, twilio: Twilio, valid_for: timedelta, expected: str
) -> None:
    send(twilio, text(valid_for=valid_for))
    assert server.messages[0]["ValidityPeriod"] == expected


def test_what_twilio_can_do_is_said(twilio: Twilio) -> None:
    can = twilio.capabilities
    assert can.validity
    assert can.redacts
    assert can.reaches_phones
    assert not any((can.deduplicates, can.finds_by_reference, can.receipt_carries_reference))
    assert not can.settles  # no receipt will come: there is nothing to wait for


def test_a_look_up_by_reference_is_refused_rather_than_answered_with_nothing(twilio: Twilio) -> None:
    with pytest.raises(NotImplementedError):
        twilio.find("attempt-1")


# What is answered

EXPECTED = {
    Reason.AMBIGUOUS: Ambiguous,
    Reason.MISCONFIGURED: Misconfigured,
    Reason.THROTTLED: Throttled,
    Reason.NOT_SENT: NotSent,
}


@pytest.mark.parametrize(("code", "reason"), CODES.items())
def test_every_known_code_has_one_meaning(server: FakeTwilio, twilio: Twilio, code: int, reason: Reason) -> None:
    server.refuse(code)
    error = failure(twilio)
    assert type(error) is EXPECTED.get(reason, Rejected)
    assert error.reason is reason
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (21211, Reason.NUMBER_REFUSED),
        (21635, Reason.LANDLINE),
        (21610, Reason.OPTED_OUT),
        (21617, Reason.CONTENT_REFUSED),
        (21606, Reason.MISCONFIGURED),
        (30029, Reason.MISCONFIGURED),
        (30030, Reason.MISCONFIGURED),
        (20429, Reason.THROTTLED),
        (20500, Reason.AMBIGUOUS),
    ],
)
def test_the_table_says(code: int, reason: Reason) -> None:
    assert CODES[code] is reason


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 21999, Ambiguous),  # unknown: never Rejected
        (404, 99999, Ambiguous),
        (408, 20001, Ambiguous),
        (401, 20003, Misconfigured),
        (401, 99999, Misconfigured),
        (402, 99999, Misconfigured),
        (403, 99999, Misconfigured),
        (403, 21610, Rejected),
        (404, 20404, Misconfigured),
        (429, 99999, Throttled),
        (429, 21610, Throttled),
        (500, 21211, Ambiguous),  # a refusal by code does not count in a server's failure
        (503, 20429, Ambiguous),
        (504, 20003, Ambiguous),
    ],
)
def test_status_and_code_are_read_together(
    server: FakeTwilio, twilio: Twilio, status: int, code: int, expected: type[ReminderError]
) -> None:
    server.refuse(code, status)
    assert type(failure(twilio)) is expected
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", ["21211", 21211.5, [21211], {"a": 1}, None, True, int(NUMBER[1:])])
def test_a_code_that_is_none_is_unknown(
    server: FakeTwilio, twilio: Twilio, caplog: pytest.LogCaptureFixture, code: object
) -> None:
    server.respond(Response(400, json.dumps({"code": code, "message": NUMBER}).encode()))
    assert type(failure(twilio)) is Ambiguous
    assert not leaks(caplog.text)


def test_the_newer_form_of_problems_is_read(server: FakeTwilio, twilio: Twilio) -> None:
    problem = {"type": "https://t.example/21610", "title": NUMBER, "status": 200, "code": 21610, "detail": NUMBER}
    server.respond(Response(400, json.dumps(problem).encode()))
    error = failure(twilio)
    assert (type(error), error.reason) == (Rejected, Reason.OPTED_OUT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"x"',
        b"<html>ok</html>",
        b'{"sid": "SM1"}',
        b'{"sid": null}',
        b'{"sid": 5}',
        json.dumps({"sid": "AC" + "0" * 32}).encode(),
        json.dumps({"sid": SID + "\n"}).encode(),
        json.dumps({"sid": SID}).encode()[:-1],
        json.dumps({"sid": SID, "date_created": 7}).encode(),
        b"\xff\xfe",
        b"[" * 60_000,
        b"x" * 10_000_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_an_acceptance_that_cannot_be_read_is_ambiguous(server: FakeTwilio, twilio: Twilio, body: bytes) -> None:
    server.respond(Response(201, body), accept=True)
    assert type(failure(twilio)) is Ambiguous
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("name", ["SM" + "0" * 32, "MM" + "0" * 32, "SM" + "0Aa9" * 8])  # as Twilio specifies it
def test_an_acceptance_with_a_message_id_is_sent(server: FakeTwilio, twilio: Twilio, status: int, name: str) -> None:
    server.respond(Response(status, json.dumps({"sid": name, "num_segments": "3"}).encode()), accept=True)
    assert send(twilio) == Sent(name, 3)


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_is_not_followed(server: FakeTwilio, twilio: Twilio, status: int) -> None:
    server.respond(Response(status, b"", {"Location": f"{server.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"}))
    assert type(failure(twilio)) is Misconfigured
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        "fail_after_accepting",
        "reset_mid_reply",
        "cut",
        "truncate",
        "hang_before_accepting",
        "hang_after_accepting",
        "drip",
    ],
)
def test_what_twilio_may_have_accepted_is_ambiguous_and_never_tried_again(
    server: FakeTwilio, twilio: Twilio, fault: str
) -> None:
    getattr(server, fault)()
    begin = time.monotonic()
    assert type(failure(twilio, seconds=0.8)) is Ambiguous
    assert time.monotonic() - begin < 0.8 + LATE
    assert len(server.requests) == 1
    assert len(server.messages) == (fault != "hang_before_accepting")
    assert send(twilio).segments == 1  # and the next text is not disturbed


def test_the_timeout_of_the_settings_ends_a_call_before_the_deadline(server: FakeTwilio, tmp_path: Path) -> None:
    provider = load("twilio", server.table(tmp_path, timeout=0.8))
    server.hang_after_accepting()
    begin = time.monotonic()
    assert type(failure(provider, seconds=60)) is Ambiguous
    assert time.monotonic() - begin < 0.8 + LATE


def test_a_deadline_that_has_passed_sends_nothing(server: FakeTwilio, twilio: Twilio) -> None:
    assert type(failure(twilio, seconds=-1)) is NotSent
    assert len(server.requests) == 0


def test_a_text_that_cannot_be_encoded_is_not_sent(server: FakeTwilio, twilio: Twilio) -> None:
    with pytest.raises(NotSent) as caught:
        send(twilio, replace(text(), body="\ud800"))
    assert type(caught.value) is NotSent
    assert caught.value.__context__ is None
    assert len(server.requests) == 0


def test_nothing_of_a_call_counts_for_the_next(server: FakeTwilio, twilio: Twilio) -> None:
    send(twilio)
    with pytest.raises(NotSent):  # and not Ambiguous: of this one no byte has left
        send(twilio, replace(text(), body="\ud800"))
    assert len(server.requests) == 1


def test_a_connection_that_is_refused_is_not_sent(server: FakeTwilio, tmp_path: Path) -> None:
    assert type(failure(load("twilio", server.table(tmp_path, base_url="http://127.0.0.1:1")))) is NotSent


# What is not left behind


def test_threads_share_connections(server: FakeTwilio, twilio: Twilio) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = {sent.provider_message_id for sent in threads.map(lambda _: send(twilio), range(32))}
    assert len(ids) == len(server.requests) == len(server.messages) == 32
    assert server.connections <= 8


def test_nothing_is_logged(server: FakeTwilio, twilio: Twilio, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("twilio", "twilio.http_client", "urllib3", "requests", "http.client"):
        caplog.set_level(logging.DEBUG, logger=name)
    send(twilio)
    server.refuse(21610)
    failure(twilio)
    assert caplog.records == []


@pytest.mark.parametrize(("code", "status"), [(20003, 401), (21606, 400), (99999, 400), (20500, 500), (30029, 400)])
def test_an_operator_is_told_the_code_and_nothing_else(
    server: FakeTwilio, twilio: Twilio, caplog: pytest.LogCaptureFixture, code: int, status: int
) -> None:
    server.refuse(code, status)
    failure(twilio)
    line = json.loads(Formatter().format(caplog.records[0]))
    assert len(caplog.records) == 1
    assert line["event"] == ("redaction_missing" if code == 30029 else "provider_answer")
    assert (line["provider"], line["status"], line["code"]) == ("twilio", status, str(code))
    assert not leaks(json.dumps(line))


def test_the_token_is_in_no_repr(twilio: Twilio) -> None:
    assert TOKEN not in f"{twilio!r} {twilio._site!r} {twilio._settings!r}"


def test_the_environment_of_the_sdk_changes_nothing(
    server: FakeTwilio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TWILIO_EDGE", "TWILIO_REGION", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
        monkeypatch.setenv(name, "elsewhere")
    provider = load("twilio", server.table(tmp_path))
    assert send(provider).segments == 1
    provider.close()


def test_no_thread_is_started(twilio: Twilio) -> None:
    names = {thread.name for thread in threading.enumerate()}
    send(twilio)
    assert all("process_request" in thread.name for thread in threading.enumerate() if thread.name not in names)


# Settings


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"account_sid": "AC-secret"}, "account_sid"),
        ({"from": 15005550006}, "from"),
        ({"from": "+150055500061234567"}, "from"),
        ({"messaging_service_sid": SERVICE}, None),  # and from
        ({"from": None}, None),  # and no service
        ({"base_url": "http://api.secret.example"}, "base_url"),
        ({"callback_url": "https://hooks_secret.example"}, "callback_url"),
        ({"callback_url": "http://hooks.secret.example"}, "callback_url"),
        ({"redact": "secret"}, "redact"),
        ({"timeout": 0}, "timeout"),
        ({"auth_token": "secret"}, "auth_token"),
        ({"auth_token_file": "/no/such/secret"}, "auth_token_file"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(
    server: FakeTwilio, tmp_path: Path, changes: dict[str, Any], setting: str | None
) -> None:
    with pytest.raises(SettingsError) as caught:
        load("twilio", server.table(tmp_path, **changes))
    expected = "providers.twilio: set either from or" if setting is None else f"providers.twilio.{setting}: "
    assert str(caught.value).startswith(expected)
    assert "secret" not in str(caught.value)
    assert "15005550006" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("content", ["", " \n", "two words", "à", "a\nb"])
def test_a_token_file_holds_a_token(server: FakeTwilio, tmp_path: Path, content: str) -> None:
    table = server.table(tmp_path)
    (tmp_path / "token").write_text(content)
    with pytest.raises(SettingsError, match=r"^providers\.twilio\.auth_token_file: ") as caught:
        load("twilio", table)
    assert caught.value.__context__ is None


def test_wrong_credentials_need_an_operator(server: FakeTwilio, tmp_path: Path) -> None:
    table = server.table(tmp_path)
    (tmp_path / "token").write_text("another-token")
    assert type(failure(load("twilio", table))) is Misconfigured
    assert server.messages == []


# The contract


def answered(code: int, status: int = 400) -> Response:
    return fake_twilio.refusal(status, code, {"To": NUMBER, "Body": BODY})


class TestTwilio(ProviderContract):
    plug_in = "twilio"
    refusals: ClassVar = {
        "invalid number": (answered(21211), Reason.NUMBER_REFUSED),
        "landline": (answered(21635), Reason.LANDLINE),
        "opted out": (answered(21610), Reason.OPTED_OUT),
        "too long": (answered(21617), Reason.CONTENT_REFUSED),
        "region": (answered(21408), Reason.NOT_SENT),
        "queue full": (answered(30001), Reason.THROTTLED),
        "credentials": (answered(20003, 401), Reason.MISCONFIGURED),
        "no redaction": (answered(30029), Reason.MISCONFIGURED),
    }
    unknown_refusal = answered(21999)
    busy = answered(20429, 429)
    receipts: ClassVar = {
        "queued": (State.SENT, None),
        "sent": (State.SENT, None),
        "delivered": (State.DELIVERED, None),
        "undelivered 30003": (State.UNDELIVERED, Reason.UNREACHABLE),
        "undelivered 30006": (State.UNDELIVERED, Reason.LANDLINE),
        "failed 21610": (State.UNDELIVERED, Reason.OPTED_OUT),
        "failed 30008": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "failed 12": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "abducted": (None, None),
    }
    redact = "on-create"

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "token").write_text(TOKEN)
        return {
            "account_sid": ACCOUNT,
            "auth_token_file": str(folder / "token"),
            "from": SENDER,
            "base_url": url,
            "callback_url": "https://hooks.example",
            "redact": self.redact,
        }

    def yes(self, request: Request, number: int) -> Response:
        if request.method == "DELETE":
            return Response(204)
        return Response.of(fake_twilio._resource(request.form, number), 201)

    def message_id(self, number: int) -> str:
        return f"SM{number:032x}"

    def validity(self, request: Request) -> timedelta:
        return timedelta(seconds=int(request.form["ValidityPeriod"]))

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        status, _, code = word.partition(" ")
        form = {"MessageSid": message_id, "MessageStatus": status, "To": NUMBER, "From": SENDER}
        return self.signed(url, form | ({"ErrorCode": code} if code else {}))

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return self.signed(url, {"MessageSid": "SM" + "1" * 32, "From": sender, "To": SENDER, "Body": text})

    def signed(self, url: str, form: dict[str, str]) -> WebhookRequest:
        signature = RequestValidator(TOKEN).compute_signature(url, form)
        return WebhookRequest("POST", url, {"x-twilio-signature": signature}, urlencode(form).encode())

    @pytest.mark.parametrize("sender", ["", "Clinic", "33612340015", "+123", "+0612340015", "+٣٣٦١٢٣٤٠٠١٥"])
    def test_a_reply_comes_from_an_international_number(self, hearer: Twilio, sender: str) -> None:
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(self.reply(REPLIES, sender, "STOP"))
        assert caught.value.reason is Reason.MALFORMED


class TestTwilioThatForgets(TestTwilio):
    redact = "after"
