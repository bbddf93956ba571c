"""Kannel: the contract against our own server, and what the real one makes of it."""

import base64
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import pytest

from providers import kannel_gateway
from providers.kannel_gateway import LISTED, NOWHERE, PASSWORD, TOKEN, Gateway, Hooks, on_air, part_on_air
from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Refused, Rejected, SettingsError
from reminder_worker.job import State
from reminder_worker.providers import Provider, Receipt, Reply, Role, Sent, load
from reminder_worker.providers import kannel as module
from reminder_worker.segments import measure
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, CLASSES, NUMBER, REFERENCE, failure, send, text
from reminder_worker.webhooks import WebhookRequest

SENDER = "Clinic"
HEADERS = {"Server": "Kannel/1.4.5", "Connection": "Keep-Alive", "Content-type": "text/html", "Pragma": "no-cache"}
QUEUED = b"3: Queued for later delivery"


def said(words: str, status: int) -> Response:
    """Answer as smsbox does."""
    return Response(status, words.encode(), HEADERS)


def called(request: Request) -> WebhookRequest:
    """Return a call of Kannel's as the hooks process hands it on."""
    return WebhookRequest(
        request.method,
        f"https://hooks.example{request.path}",
        request.headers,
        request.body,
        urlsplit(request.path).path.rpartition("/")[2] if "/receipts/" in request.path else "",
    )


class TestKannel(ProviderContract):
    names_replies = False
    plug_in = "kannel"
    names_by_reference = True
    signs = False
    refusals: ClassVar = {
        "credentials": (said("Authorization failed for sendsms", 403), Reason.MISCONFIGURED),
        "another URL": (said("Unknown request.", 404), Reason.MISCONFIGURED),
        "no sender": (said("Sender missing and no global set, rejected", 400), Reason.MISCONFIGURED),
        "not routable": (said("Not routable. Do not try again.", 403), Reason.NOT_SENT),
        "on a list": (said("Number(s) has/have been denied by white- and/or black-lists.", 400), Reason.NOT_SENT),
        "not convertible": (said("Charset or body misformed, rejected", 400), Reason.CONTENT_REFUSED),
    }
    unknown_refusal = said(f"{NUMBER} misformed, rejected: {BODY}", 400)
    receipts: ClassVar = {
        "8 ACK/": (State.SENT, None),
        "4": (State.SENT, None),
        "1 id:7bc1": (State.DELIVERED, None),
        "2 id:7bc1": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "16 NACK/Retries": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "16 NACK/validity": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "16 NACK/0x0000000a/Invalid": (State.UNDELIVERED, Reason.MISCONFIGURED),
        "16 NACK/0x0000000b/Invalid": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "16 NACK/0x00000045/Submit": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "16 NACK/no": (None, None),
        "32": (None, None),
        "soon": (None, None),
    }

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "password").write_text(PASSWORD)
        (folder / "hook-token").write_text(TOKEN + "\n")
        return {
            "base_url": url,
            "username": "reminders",
            "password_file": str(folder / "password"),
            "from": SENDER,
            "webhook_token_file": str(folder / "hook-token"),
            "callback_url": "https://hooks.example",
        }

    def yes(self, request: Request, number: int) -> Response:
        """Accept; Kannel names nothing, so the names are the references that came in."""
        self.names = {**getattr(self, "names", {}), number: reference_of(request)}
        return said("0: Accepted for delivery", 202)

    def message_id(self, number: int) -> str:
        return getattr(self, "names", {}).get(number, REFERENCE)

    def validity(self, request: Request) -> timedelta:
        return timedelta(minutes=int(request.headers["x-kannel-validity"]))

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        kind, _, why = word.partition(" ")
        return WebhookRequest(
            "GET", f"{url}?type={kind}&why={quote(why, safe='')}", {"user-agent": "Kannel/1.4.5"}, b""
        )

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        headers = {
            "content-type": 'text/plain; charset="UTF-8"',
            "x-kannel-from": sender,
            "x-kannel-to": "12345",
            "x-kannel-coding": "0",
            "authorization": "Basic " + base64.b64encode(f"kannel:{TOKEN}".encode()).decode(),
        }
        return WebhookRequest("POST", url, headers, text.encode())

    def test_nothing_of_a_text_stands_in_a_url(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        request = peer.requests[0]
        assert (request.method, request.path) == ("POST", "/cgi-bin/sendsms")
        assert request.headers["x-kannel-to"] == NUMBER
        assert request.headers["x-kannel-from"] == SENDER
        assert (request.headers["x-kannel-username"], request.headers["x-kannel-password"]) == ("reminders", PASSWORD)
        assert request.body == BODY.encode()
        assert request.headers["content-type"] == "text/plain; charset=UTF-8"

    def test_a_receipt_tells_type_and_first_word_and_goes_where_the_reference_is(
        self, provider: Provider, peer: Peer
    ) -> None:
        send(provider)
        expected = f"https://hooks.example/v1/receipts/acme/{REFERENCE}?type=%d&why=%k"
        assert peer.requests[0].headers["x-kannel-dlr-url"] == expected
        assert peer.requests[0].headers["x-kannel-dlr-mask"] == "31"

    def test_a_percent_sign_in_the_public_url_is_no_code_of_kannels(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, callback_url="https://hooks.example/a%20b"):
            send(provider)
            assert "/a%%20b/v1/" in peer.requests[-1].headers["x-kannel-dlr-url"]

    def test_without_a_public_url_no_receipt_is_ordered(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, callback_url=None):
            send(provider)
            assert not [name for name in peer.requests[0].headers if name.startswith("x-kannel-dlr")]
            assert not provider.capabilities.receipt_carries_reference
            assert not provider.capabilities.settles

    def test_a_connection_can_be_chosen(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, smsc="operator"):
            send(provider)
            assert peer.requests[0].headers["x-kannel-smsc"] == "operator"

    @pytest.mark.parametrize(("body", "coding"), [("{é} €", "0"), ("Łódź", "2"), ("نعم", "2"), ("👍", "2")])
    def test_the_alphabet_is_chosen_by_the_text(self, provider: Provider, peer: Peer, body: str, coding: str) -> None:
        send(provider, text(body=body))
        assert peer.requests[0].headers["x-kannel-coding"] == coding
        assert peer.requests[0].body == body.encode()

    @pytest.mark.parametrize(("seconds", "minutes"), [(60, "1"), (119, "1"), (3600, "60"), (172_800, "2880")])
    def test_validity_is_in_minutes_and_never_longer(
        self, provider: Provider, peer: Peer, seconds: int, minutes: str
    ) -> None:
        send(provider, text(valid_for=timedelta(seconds=seconds)))
        assert peer.requests[0].headers["x-kannel-validity"] == minutes

    def test_a_text_of_use_for_less_than_a_minute_is_not_sent(self, provider: Provider, peer: Peer) -> None:
        assert type(failure(provider, text(valid_for=timedelta(seconds=59)))) is NotSent
        assert not peer.requests

    def test_a_text_that_waits_in_kannel_is_accepted(self, provider: Provider, peer: Peer) -> None:
        peer.respond(said(QUEUED.decode(), 202))
        assert send(provider) == Sent(REFERENCE, 1)

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (202, "Sent."),  # immediate-sendsms-reply
            (200, "0: Accepted for delivery"),  # not Kannel
            (202, "0: Accepted for delivery\nOK"),
            (503, "Temporal failure, try again later."),
            (500, "Sending failed."),
            (400, "Validity field misformed, rejected"),
        ],
    )
    def test_what_is_no_clear_answer_is_in_doubt(self, provider: Provider, peer: Peer, status: int, words: str) -> None:
        peer.respond(said(words, status))
        assert type(failure(provider)) is Ambiguous

    @pytest.mark.parametrize("words", module.WORDS)
    def test_each_refusal_has_one_meaning(self, provider: Provider, peer: Peer, words: bytes) -> None:
        peer.respond(Response(400, words, HEADERS))
        error = failure(provider)
        assert (type(error), error.reason) == (CLASSES.get(module.WORDS[words], Rejected), module.WORDS[words])

    def test_an_operator_is_told_the_status_and_no_more(
        self, provider: Provider, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for response in (self.refusals["credentials"][0], self.refusals["on a list"][0], self.unknown_refusal):
            peer.respond(response)
            failure(provider)
        told = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [(record.message, record.status) for record in told] == [
            ("provider_answer", 403),
            ("provider_answer", 400),
        ]

    def test_each_role_reads_its_own_secret_only(self, tmp_path: Path) -> None:
        for role, other in ((Role.SEND, "hook-token"), (Role.HEAR, "password")):
            table = self.table("http://127.0.0.1:1", tmp_path)
            (tmp_path / other).unlink()
            load("kannel", table, role)

    @pytest.mark.parametrize(
        "change",
        [{"base_url": "http://gateway.example"}, {"username": "a b"}, {"from": "x\r\nX-Kannel-To: 1"}, {"from": ""}],
    )
    def test_a_wrong_setting_is_named(self, tmp_path: Path, change: dict[str, str]) -> None:
        with pytest.raises(SettingsError, match=rf"providers\.kannel\.{next(iter(change))}"):
            load("kannel", {**self.table("http://127.0.0.1:1", tmp_path), **change})

    def test_without_a_token_no_reply_is_believed(self, tmp_path: Path) -> None:
        for hearer in self.build("http://127.0.0.1:1", tmp_path, Role.HEAR, webhook_token_file=None):
            request = self.reply("https://hooks.example/v1/replies/acme?token=", NUMBER, "STOP")
            for headers in (request.headers, {**request.headers, "authorization": ""}):
                with pytest.raises(Refused) as caught:
                    hearer.parse_reply(replace(request, headers=headers))
                assert caught.value.reason is Reason.SIGNATURE_INVALID

    def test_a_receipt_of_no_type_is_refused(self, hearer: Provider) -> None:
        genuine = self.receipt("https://hooks.example/v1/receipts/acme/x", "", "1")
        with pytest.raises(Refused) as caught:
            hearer.parse_receipt(replace(genuine, url=genuine.url.replace("type", "tipe"), reference="x"))
        assert caught.value.reason is Reason.MALFORMED

    @pytest.mark.parametrize(
        ("content_type", "body", "expected"),
        [
            ('text/plain; charset="UTF-16BE"', "так 👍".encode("utf-16-be"), "так 👍"),
            ('text/plain; charset="UTF-8"', "proszę".encode(), "proszę"),
            ("text/plain; charset=WINDOWS-1252", "arrêtez €".encode("cp1252"), "arrêtez €"),
            ("text/plain; charset=ISO-8859-1", "arrêtez".encode("latin-1"), "arrêtez"),
            ("text/plain", "arrêtez".encode(), "arrêtez"),
            ('text/plain; charset="UTF-8"', b"\xff", None),
            ('text/plain; charset="UTF-16BE"', b"a", None),
            ("text/plain; charset=idna", b"a", None),
            ("application/octet-stream", b"STOP", None),
        ],
    )
    def test_a_reply_is_read_by_its_charset(
        self, hearer: Provider, content_type: str, body: bytes, expected: str | None
    ) -> None:
        request = self.reply("https://hooks.example/v1/replies/acme", NUMBER, "")
        request = replace(request, body=body, headers={**request.headers, "content-type": content_type})
        if expected is None:
            with pytest.raises(Refused) as caught:
                hearer.parse_reply(request)
            assert caught.value.reason is Reason.MALFORMED
            assert caught.value.__context__ is None or caught.value.__suppress_context__
        else:
            assert hearer.parse_reply(request).text == expected

    @pytest.mark.parametrize(
        ("shown", "number"),
        [("+33612340015", NUMBER), ("33612340015", NUMBER), ("0033612340015", NUMBER)]
        + [
            (odd, None)
            for odd in ("0612340015", "Clinic", "", "+", "+33612340015 ", "+3361234\u0660\u0660\u0661\u0665")
        ],
    )
    def test_who_replies_is_e164(self, hearer: Provider, shown: str, number: str | None) -> None:
        request = self.reply("https://hooks.example/v1/replies/acme", shown, "STOP")
        if number is None:
            with pytest.raises(Refused):
                hearer.parse_reply(request)
        else:
            assert hearer.parse_reply(request) == Reply(number, "STOP")

    def test_a_reply_in_a_url_is_refused(self, hearer: Provider) -> None:
        request = self.reply(f"https://hooks.example/v1/replies/acme?from={quote(NUMBER)}&text=STOP", NUMBER, "STOP")
        with pytest.raises(Refused):
            hearer.parse_reply(replace(request, method="GET"))


def reference_of(request: Request) -> str:
    return urlsplit(request.headers.get("x-kannel-dlr-url", "")).path.rpartition("/")[2]


@pytest.fixture(scope="module")
def hooks() -> Iterator[Hooks]:
    with Hooks() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, hooks: Hooks) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("kannel"), hooks) as running:
        yield running


@pytest.mark.skipif(bool(kannel_gateway.MISSING), reason=f"needs Kannel: {', '.join(kannel_gateway.MISSING)}")
class TestRealKannel:
    """The same provider against bearerbox, smsbox and fakesmsc."""

    @pytest.fixture
    def table(self, gateway: Gateway, hooks: Hooks, tmp_path: Path) -> dict[str, Any]:
        return {**TestKannel().table(gateway.url, tmp_path), "callback_url": hooks.url}

    @pytest.fixture
    def provider(self, table: dict[str, Any]) -> Iterator[Provider]:
        provider = load("kannel", table)
        yield provider
        provider.close()  # type: ignore[attr-defined]

    @pytest.fixture
    def hearer(self, table: dict[str, Any]) -> Provider:
        return load("kannel", table, Role.HEAR)

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            ("Rappel : rendez-vous demain à 14 h 30. {[~]} €", "text"),
            ("Wizyta: środa 9:15, ul. Żółkiewskiego", "ucs-2"),
            ("تذكير: موعدك غدا الساعة 9", "ucs-2"),
            ("Rendez-vous demain 👍🏽", "ucs-2"),
            ("100 % + a&b=c%20 <x> \\ 'q'", "text"),
        ],
    )
    def test_a_text_arrives_as_it_is_and_its_receipts_come_back(
        self, provider: Provider, hearer: Provider, gateway: Gateway, hooks: Hooks, body: str, kind: str
    ) -> None:
        assert send(provider, text(body=body)) == Sent(REFERENCE, 1)
        line = gateway.sent()
        assert line.startswith(f"{SENDER} {NUMBER} {kind} ")
        assert on_air(line) == body
        receipts = {hearer.parse_receipt(called(hooks.next())) for _ in range(2)}
        assert receipts == {Receipt(REFERENCE, State.SENT), Receipt(REFERENCE, State.DELIVERED)}

    @pytest.mark.parametrize(("body", "charset"), [("Rappel : à 14 h. " * 12, "utf-8"), ("Żółw 👍 " * 20, "utf-16-be")])
    def test_a_long_text_arrives_whole(
        self, provider: Provider, gateway: Gateway, hooks: Hooks, body: str, charset: str
    ) -> None:
        segments = measure(body).count
        assert send(provider, text(body=body, segments=segments)).segments == segments > 1
        parts = dict(part_on_air(gateway.sent()) for _ in range(segments))
        assert b"".join(parts[number + 1] for number in range(segments)).decode(charset) == body
        for _ in range(2):
            hooks.next()

    def test_a_wrong_password_is_a_matter_for_the_operator(self, table: dict[str, Any]) -> None:
        Path(table["password_file"]).write_text("another")
        assert type(failure(load("kannel", table))) is Misconfigured

    def test_a_number_that_no_network_takes_is_free_for_another_provider(
        self, provider: Provider, hearer: Provider, hooks: Hooks
    ) -> None:
        error = failure(provider, text(to=f"{NOWHERE}612340015"))
        assert (type(error), error.reason) == (NotSent, Reason.NOT_SENT)
        assert hearer.parse_receipt(called(hooks.next())) == Receipt(REFERENCE, None)  # Kannel sends one all the same

    def test_a_number_on_a_list_of_kannels_is_not_sent(self, provider: Provider) -> None:
        error = failure(provider, text(to=f"{LISTED}612340015"))
        assert (type(error), error.reason) == (NotSent, Reason.NOT_SENT)

    @pytest.mark.parametrize("said", ["STOP", "Proszę  nie 👍", "yes & no = 100 %"])
    def test_a_reply_arrives_and_is_not_answered(
        self, provider: Provider, hearer: Provider, gateway: Gateway, hooks: Hooks, said: str
    ) -> None:
        gateway.reply("+48600123456", f"text {said}")
        request = hooks.next()
        assert hearer.parse_reply(called(request)) == Reply("+48600123456", said)
        assert request.path == "/v1/replies/kannel", "neither number nor text nor token in it"
        send(provider, text(body="the next text on air"))
        assert on_air(gateway.sent()) == "the next text on air"
        for _ in range(2):
            hooks.next()

    def test_nothing_is_written_down(self, provider: Provider, gateway: Gateway, hooks: Hooks) -> None:
        send(provider)
        gateway.sent()
        failure(provider, text(to=f"{NOWHERE}612340015"))
        failure(provider, text(to=f"{LISTED}612340015"))
        gateway.reply(NUMBER, "text Rappel Archives")
        for _ in range(4):
            hooks.next()
        logs = gateway.logs()
        assert not [
            secret for secret in (NUMBER[1:], "612340015", "Rappel", "Archives", PASSWORD, TOKEN) if secret in logs
        ]

    def test_a_text_waits_where_no_network_is_there(self, tmp_path: Path, hooks: Hooks) -> None:
        with Gateway(tmp_path, hooks, network=False) as alone:
            provider = load("kannel", TestKannel().table(alone.url, tmp_path))
            assert send(provider) == Sent(REFERENCE, 1)
            provider.close()  # type: ignore[attr-defined]
