"""Gateways that only settings describe: two imaginary ones of different shapes keep the contract."""

import hashlib
import hmac
import json
import time
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker.errors import Ambiguous, NotSent, Reason, Refused, ReminderError, SettingsError
from reminder_worker.job import State
from reminder_worker.logs import Formatter
from reminder_worker.providers import Provider, Receipt, Role, Sent, load, receipt_url
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.testing.reports import forgeries
from reminder_worker.webhooks import WebhookRequest
from reminder_worker.wire.gateway import at, fill, word

DOCS = Path(__file__).parents[2] / "docs/providers/http.md"
KEY, TOKEN, HOOK_KEY, HOOK_TOKEN = "bearer-key", "account-key", "hook-key", "hook-token"
RECEIPTS, REPLIES = "https://hooks.example/v1/receipts/acme", "https://hooks.example/v1/replies/acme"


def provided(table: Mapping[str, Any], role: Role = Role.SEND) -> Provider:
    return load("acme", {"type": "http", **table}, role)


def refused_settings(table: Mapping[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        provided(table)
    assert caught.value.__context__ is None
    return str(caught.value)


# A gateway that speaks JSON: bearer key, idempotency key, a look-up, and signed receipts that repeat our reference


def problem(code: str, status: int = 422) -> Response:
    return Response.of({"error": {"code": code, "detail": f"{NUMBER}: {BODY}"}}, status)


def signed(url: str, document: object, key: str = HOOK_KEY) -> WebhookRequest:
    body = json.dumps(document).encode()
    signature = hmac.new(key.encode(), body, "sha256").hexdigest()
    headers = {"content-type": "application/json; charset=utf-8", "x-beacon-signature": f"sha256={signature}"}
    return WebhookRequest("POST", url, headers, body)


class TestJsonGateway(ProviderContract):
    names_replies = False
    plug_in = "http"
    refusals: ClassVar = {
        "number": (problem("invalid_recipient"), Reason.NUMBER_REFUSED),
        "landline": (problem("landline"), Reason.LANDLINE),
        "opted out": (problem("blocked"), Reason.OPTED_OUT),
        "content": (problem("spam"), Reason.CONTENT_REFUSED),
        "country": (problem("no_route"), Reason.NOT_SENT),
        "too fast": (problem("slow_down"), Reason.THROTTLED),
        "sender": (problem("bad_sender"), Reason.MISCONFIGURED),
        "credentials": (problem("whatever", 401), Reason.MISCONFIGURED),
        "a status that is in the table": (Response(413, b"<html>"), Reason.CONTENT_REFUSED),
        "an error in an acceptance": (problem("invalid_recipient", 202), Reason.NUMBER_REFUSED),
    }
    unknown_refusal = problem("never_heard_of")
    duplicate = problem("duplicate_key", 409)
    receipts: ClassVar = {
        "buffered": (State.SENT, None),
        "delivered": (State.DELIVERED, None),
        "failed": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "failed absent": (State.UNDELIVERED, Reason.UNREACHABLE),
        "failed 404": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "failed who-knows": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "abducted": (None, None),
    }

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        for name, content in {"key": KEY, "hook": HOOK_KEY}.items():
            (folder / name).write_text(content + "\n")
        return {
            "url": f"{url}/v2/messages?dry={{reference}}",
            "headers": {"Authorization": "Bearer {key}", "Idempotency-Key": "{reference}"},
            "body": {
                "messages": [{"to": {"number": "{to}"}, "text": "{text}", "from": "{sender}", "long": True}],
                "ttl": "{valid_seconds}",
                "label": "ref {reference} {{x}}",
                "parts": 3,
            },
            "secrets": {"key": str(folder / "key")},
            "from": "Clinic",
            "accepted": [202],
            "id": "messages.0.id",
            "error": "error.code",
            "errors": {
                "invalid_recipient": "number_refused",
                "landline": "landline",
                "blocked": "opted_out",
                "spam": "content_refused",
                "413": "content_refused",
                "no_route": "not_sent",
                "slow_down": "throttled",
                "bad_sender": "misconfigured",
                "duplicate_key": "duplicate",
            },
            "deduplicates_hours": 24,
            "find": {
                "url": f"{url}/v2/messages?client_ref={{reference}}",
                "items": "data.list",
                "reference": "client.ref",
                "id": "id",
                "after_minutes": 2,
            },
            "receipts": {
                "status": "event.status",
                "states": {"buffered": "sent", "delivered": "delivered", "failed": "undelivered"},
                "id": "message.id",
                "reference": "message.ref",
                "error": "event.code",
                "reasons": {"absent": "unreachable", "404": "number_refused"},
            },
            "replies": {"sender": "message.from", "text": "message.text"},
            "signature": {"header": "X-Beacon-Signature", "prefix": "sha256=", "key_file": str(folder / "hook")},
        }

    def yes(self, request: Request, number: int) -> Response:
        return Response.of({"messages": [{"id": self.message_id(number), "to": NUMBER}], "error": None}, 202)

    def message_id(self, number: int) -> str:
        return f"b-{number}"

    def validity(self, request: Request) -> timedelta:
        return timedelta(seconds=request.json["ttl"])

    def found(self, request: Request, reference: str) -> Response:
        other = {"id": "b-9", "client": {"ref": "another"}, "text": BODY}
        return Response.of({"data": {"list": [other, {"id": "b-1", "client": {"ref": reference}}]}})

    def absent(self, request: Request) -> Response:
        return Response.of({"data": {"list": []}})

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        status, _, code = word.partition(" ")
        event = {"status": status, "code": int(code) if code.isdigit() else code or None}
        return signed(url, {"event": event, "message": {"id": message_id, "ref": url.rpartition("/")[2], "to": NUMBER}})

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return signed(url, {"message": {"from": sender, "text": text}})

    # The signature covers the body alone, and all that is read is in it: the address is no part of what is proved.

    def test_a_forged_receipt_is_refused(self, hearer: Provider) -> None:
        for name, forged in forgeries(self._receipt(hearer, "delivered")):
            if name != "for another address":
                self._is_refused(hearer, forged, name)

    def test_a_forged_reply_is_refused(self, hearer: Provider) -> None:
        for name, forged in forgeries(self._reply("STOP")):
            if name != "for another address":
                with pytest.raises(Refused) as caught:
                    hearer.parse_reply(forged)
                assert caught.value.reason == Reason.SIGNATURE_INVALID, name

    def test_a_signed_call_is_read_from_its_body_only(self, hearer: Provider) -> None:
        genuine = self._receipt(hearer, "delivered")
        query = urlencode({"message.id": "b-2", "message.ref": "x", "event.status": "failed"})
        for method in ("GET", "POST"):
            receipt = hearer.parse_receipt(replace(genuine, url=f"{genuine.url}?{query}", method=method))
            assert receipt == Receipt(REFERENCE, State.DELIVERED, "b-1")

    @pytest.mark.parametrize("gone", ["id", "ref"])
    def test_a_receipt_that_names_no_text_is_refused(self, hearer: Provider, gone: str) -> None:
        message = {"id": "b-1", "ref": REFERENCE}
        del message[gone]
        with pytest.raises(Refused) as caught:
            hearer.parse_receipt(signed(RECEIPTS, {"event": {"status": "delivered"}, "message": message}))
        assert caught.value.reason == Reason.MALFORMED

    def test_a_signature_in_another_form(self, peer: Peer, tmp_path: Path) -> None:
        table = self.table(peer.url, tmp_path)
        changes = {"algorithm": "sha512", "encoding": "base64", "prefix": ""}
        hearer = provided({**table, "signature": table["signature"] | changes}, Role.HEAR)
        genuine = self._reply("STOP")
        digest = hmac.new(HOOK_KEY.encode(), genuine.body, "sha512").digest()
        import base64  # noqa: PLC0415 for this one

        headers = {**genuine.headers, "x-beacon-signature": base64.b64encode(digest).decode()}
        assert hearer.parse_reply(replace(genuine, headers=headers)).text == "STOP"
        with pytest.raises(Refused):
            hearer.parse_reply(genuine)

    # What is sent

    def test_a_request_says_what_is_meant(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        (request,) = peer.accepted
        assert (request.method, request.path) == ("POST", f"/v2/messages?dry={REFERENCE}")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["idempotency-key"] == REFERENCE
        assert request.headers["content-type"] == "application/json"
        assert request.json == {
            "messages": [{"to": {"number": NUMBER}, "text": BODY, "from": "Clinic", "long": True}],
            "ttl": 7200,
            "label": f"ref {REFERENCE} {{x}}",
            "parts": 3,
        }

    @pytest.mark.parametrize(
        "body", ['", "to": "+1', "{to} {key} {0} {{", "\\", "\n\r\t\0", "موعدكم", "👍", "%s %(to)s", "&to=+1;"]
    )
    def test_a_text_stays_in_its_place(self, provider: Provider, peer: Peer, body: str) -> None:
        send(provider, text(body=body))
        said = peer.accepted[0].json
        assert said["messages"] == [{"to": {"number": NUMBER}, "text": body, "from": "Clinic", "long": True}]

    def test_a_text_that_has_no_time_left_is_not_sent(self, provider: Provider, peer: Peer) -> None:
        assert type(failure(provider, text(valid_for=timedelta(seconds=0.9)))) is NotSent
        assert not peer.requests

    def test_validity_is_never_longer_than_the_gateway_takes(self, peer: Peer, tmp_path: Path) -> None:
        send(provided({**self.table(peer.url, tmp_path), "validity_limit": 600}))
        assert peer.accepted[0].json["ttl"] == 600

    def test_a_secret_stays_in_its_place_of_the_address(self, peer: Peer, tmp_path: Path) -> None:
        table = self.table(peer.url, tmp_path)
        (tmp_path / "key").write_text("a/b?c=d&e#%")
        send(provided({**table, "url": f"{peer.url}/{{key}}/send?key={{key}}&v=1"}))
        (request,) = peer.accepted
        assert request.path.startswith("/a%2Fb%3Fc%3Dd%26e%23%25/send?")
        assert request.query == {"key": "a/b?c=d&e#%", "v": "1"}

    def test_the_timeout_of_the_settings_ends_a_call_before_the_deadline(self, peer: Peer, tmp_path: Path) -> None:
        provider = provided({**self.table(peer.url, tmp_path), "timeout": 0.8})
        peer.hang_after_accepting()
        began = time.monotonic()
        assert type(failure(provider, seconds=60)) is Ambiguous
        assert time.monotonic() - began < 4

    # What its answers mean

    @pytest.mark.parametrize(
        "answer",
        [
            Response.of({"messages": [{"id": "b-1"}], "error": {"code": "never_heard_of"}}, 202),
            Response.of({"messages": [{"id": "b-1"}]}, 200),
            Response.of({"messages": [{"id": None}]}, 202),
            Response.of({"messages": [{"id": True}]}, 202),
            Response.of({"messages": [{"id": "x" * 129}]}, 202),
            Response.of({"messages": []}, 202),
            problem("invalid_recipient", 500),
            problem("duplicate_key", 500),
        ],
        ids=["id and error", "another 2xx", "null", "true", "long", "nobody", "500", "duplicate 500"],
    )
    def test_what_the_tables_do_not_say_is_in_doubt(self, provider: Provider, peer: Peer, answer: Response) -> None:
        peer.respond(answer)
        assert type(failure(provider)) is Ambiguous

    def test_a_duplicate_may_have_no_id(self, provider: Provider, peer: Peer) -> None:
        peer.respond(self.duplicate)
        assert send(provider) == Sent("", 1)
        peer.respond(Response.of({"error": {"code": "duplicate_key"}, "messages": [{"id": "b-1"}]}, 409))
        assert send(provider) == Sent("b-1", 1)

    def test_an_operator_is_told_codes_of_the_table_only(
        self, provider: Provider, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for answer, code in ((problem("bad_sender"), "bad_sender"), (problem(NUMBER), "unknown")):
            caplog.clear()
            peer.respond(answer)
            failure(provider)
            line = json.loads(Formatter().format(caplog.records[0]))
            assert (line["event"], line["provider"], line["code"]) == ("provider_answer", "acme", code)
            assert not leaks(json.dumps(line))

    # Looking for a text

    @pytest.mark.parametrize(
        "answer",
        [
            Response.of({"data": {"list": [{"id": "b-9", "client": {"ref": "another"}}]}}),
            Response.of({"data": {"list": [{"client": {"ref": REFERENCE}}]}}),
            Response.of({"data": {}}),
            Response.of({"data": {"list": {}}}),
            Response.of({"data": {"list": []}}, 206),
            Response(200, b"<html>"),
            Response.of({"error": "no such page"}, 404),
            Response.of({}, 401),
        ],
    )
    def test_what_is_no_clear_answer_does_not_mean_absent(
        self, provider: Provider, peer: Peer, answer: Response
    ) -> None:
        peer.look = lambda _: answer
        with pytest.raises(ReminderError):
            provider.find(REFERENCE)

    def test_a_look_up_of_one_text(self, peer: Peer, tmp_path: Path) -> None:
        table = self.table(peer.url, tmp_path)
        find = {"url": f"{peer.url}/v2/by-ref/{{reference}}", "reference": "ref", "id": "id"}
        provider = provided({**table, "find": find})
        peer.look = lambda _: Response.of({"ref": REFERENCE, "id": 77})
        assert provider.find(REFERENCE) == Sent("77", 1)
        assert peer.requests[0].path == f"/v2/by-ref/{REFERENCE}"
        assert peer.requests[0].headers["authorization"] == f"Bearer {KEY}"
        peer.look = lambda _: Response.of({"message": "not found"}, 404)
        assert provider.find(REFERENCE) is None
        for other in ({"ref": "another", "id": 77}, {"ref": REFERENCE}, {}):
            peer.look = lambda _, other=other: Response.of(other)
            with pytest.raises(ReminderError):
                provider.find(REFERENCE)

    def test_it_promises_what_its_settings_say(self, provider: Provider) -> None:
        can = provider.capabilities
        assert (can.deduplicates, can.deduplicates_within) == (True, timedelta(hours=24))
        assert (can.finds_by_reference, can.settles_within) == (True, timedelta(minutes=2))
        assert (can.receipt_carries_reference, can.receipts_by_id, can.validity) == (True, False, True)
        assert not any([can.redacts, can.forgets, can.searches])
        assert provider.sender == "Clinic"

    def test_one_that_only_deduplicates_is_asked_for_as_long_as_others(self, tmp_path: Path) -> None:
        alone = {"find": None, "receipts": None}
        can = provided({**self.table("http://127.0.0.1:1", tmp_path), **alone}).capabilities
        assert (can.deduplicates, can.settles_within) == (True, timedelta(minutes=10))

    # Settings

    def test_each_process_reads_only_its_own_secrets(self, tmp_path: Path) -> None:
        table = self.table("http://127.0.0.1:1", tmp_path)
        provided({**table, "signature": {**table["signature"], "key_file": "/nowhere"}}, Role.SEND)
        provided({**table, "secrets": {"key": "/nowhere"}}, Role.HEAR)
        assert refused_settings({**table, "secrets": {"key": "/nowhere"}}).startswith("providers.acme.secrets.key: ")

    @pytest.mark.parametrize(
        ("changes", "setting"),
        [
            ({"url": "http://gate.example/send", "find": None}, "url: "),
            ({"url": "https://gate.example", "find": None}, "url: "),
            ({"url": "https://{key}.example/send", "find": None}, "url: "),
            ({"url": "https://user:pass@gate.example/send", "find": None}, "url: "),
            ({"url": "https://gate.example/send#{key}", "find": None}, "url: "),
            ({"url": "https://gate.example/send?to={to}", "find": None}, "url: holds"),
            ({"url": "https://gate.example/a b", "find": None}, "url: "),
            ({"url": "https://user:hunter2/x@gate.example/send", "find": None}, "url: must be a URL such as"),
            ({"url": "https://user:hunter2\u2100@gate.example/send", "find": None}, "url: must be a URL such as"),
            ({"headers": {"X-To": "{to}"}}, "headers: holds"),
            ({"headers": {"X-Text": "{text}"}}, "headers: holds"),
            ({"headers": {"Bad Name": "x"}}, "headers"),
            ({"headers": {"X-A": "a\r\nX-B: b"}}, "headers.X-A"),
            ({"body": {"to": "{phone}", "r": "{reference}"}}, "body: holds"),
            ({"body": {"to": "{to!r}", "r": "{reference}"}}, "a placeholder is"),
            ({"body": {"to": "{to:>9}", "r": "{reference}"}}, "a placeholder is"),
            ({"body": {"to": "{to.real}", "r": "{reference}"}}, "a placeholder is"),
            ({"body": {"to": "{to[0]}", "r": "{reference}"}}, "a placeholder is"),
            ({"body": {"to": "{}", "r": "{reference}"}}, "a placeholder is"),
            ({"body": {"to": "{to", "r": "{reference}"}}, "expected '}'"),
            ({"body_as": "form"}, "body: a form"),
            ({"body_as": "xml"}, "body_as: "),
            ({"id": "messages..id"}, "id: "),
            ({"errors": {"E1": "rejected"}}, "errors.E1: "),
            ({"errors": {"E1": "ambiguous"}}, "errors.E1: "),
            ({"accepted": [404]}, "accepted"),
            ({"secrets": {"to": "x"}}, "secrets: "),
            ({"secrets": {"reference": "x"}}, "secrets: "),
            ({"find": {"url": "https://other.example/{reference}", "reference": "r", "id": "i"}}, "find.url: "),
            ({"find": {"url": "{url}/all", "reference": "r", "id": "i"}}, "find.url: "),
            ({"receipts": {"status": "s", "states": {"x": "failed"}}}, "receipts.states.x: "),
            ({"receipts": {"status": "s", "states": {}}}, "receipts: must name"),
            ({"signature": None}, "signature: set it"),
            ({"signature": {"header": "X", "key_file": "k", "algorithm": "md5"}}, "signature.algorithm: "),
            ({"token": "hunter2"}, "token: "),
        ],
    )
    def test_a_wrong_setting_is_named_and_not_shown(
        self, tmp_path: Path, changes: dict[str, Any], setting: str
    ) -> None:
        url = "http://127.0.0.1:1"
        changed = json.loads(json.dumps(changes).replace("{url}", url))
        said = refused_settings({**self.table(url, tmp_path), **changed})
        assert said.startswith((f"providers.acme.{setting}", f"providers.acme: {setting}"))
        assert "hunter2" not in said
        assert "example" not in said.replace("https://api.example.com", "")

    def test_promises_need_a_reference_that_travels(self, tmp_path: Path) -> None:
        table = deepcopy(self.table("http://127.0.0.1:1", tmp_path))
        table |= {"url": "http://127.0.0.1:1/send", "headers": {"Authorization": "Bearer {key}"}}
        table["body"] = {"to": "{to}", "text": "{text}"}
        none = {"deduplicates_hours": 0, "find": None, "receipts": None}
        for name in none:
            said = refused_settings({**table, **none, name: table[name]})
            assert "must hold {reference}" in said, name
        del table["receipts"]["reference"]
        provider = provided({**table, **none, "receipts": table["receipts"]})
        assert provider.capabilities.receipts_by_id


# A gateway that speaks queries: keys in fields, errors in answers of 200, and unsigned receipts by GET


def code(number: int) -> Response:
    return Response.of({"status": number, "note": f"{NUMBER}: {BODY}"})


class TestQueryGateway(ProviderContract):
    names_replies = False
    plug_in = "http"
    text_in_url = True
    signs = False
    refusals: ClassVar = {
        "number": (code(6), Reason.NUMBER_REFUSED),
        "opted out": (code(7), Reason.OPTED_OUT),
        "credentials": (code(4), Reason.MISCONFIGURED),
        "country": (code(29), Reason.NOT_SENT),
        "too fast": (code(1), Reason.THROTTLED),
    }
    unknown_refusal = code(99)
    receipts: ClassVar = {
        "ACCEPTD": (State.SENT, None),
        "DELIVRD": (State.DELIVERED, None),
        "UNDELIV": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "EXPIRED": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "MOON": (None, None),
    }
    way: ClassVar = {"method": "GET", "body_as": "query"}

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "account").write_text(TOKEN)
        (folder / "hook").write_text(HOOK_TOKEN)
        return {
            "url": f"{url}/gw/send",
            **self.way,
            "body": {
                "apikey": "{account}",
                "dest": "00{to_digits}",
                "msg": "{text}",
                "dcs": "{encoding}",
                "ttl": "{valid_minutes}",
                "until": "{valid_until}",
                "dlr": "{receipt_url}",
            },
            "encodings": {"gsm7": 0, "ucs2": 8},
            "secrets": {"account": str(folder / "account")},
            "accepted": [200],
            "id": "msgid",
            "error": "status",
            "errors": {
                "0": "accepted",
                "1": "throttled",
                "4": "misconfigured",
                "6": "number_refused",
                "7": "opted_out",
                "29": "not_sent",
            },
            "receipts": {
                "status": "stat",
                "states": {
                    "ACCEPTD": "sent",
                    "DELIVRD": "delivered",
                    "UNDELIV": "undelivered",
                    "EXPIRED": "undelivered",
                },
                "id": "msg.id",
                "error": "stat",
                "reasons": {"EXPIRED": "validity_over"},
            },
            "replies": {"sender": "msisdn", "text": "content"},
            "callback_url": "https://hooks.example",
            "webhook_token_file": str(folder / "hook"),
        }

    def said(self, request: Request) -> dict[str, str]:
        assert request.body == b""
        return request.query

    def yes(self, request: Request, number: int) -> Response:
        return Response.of({"status": 0, "msgid": 4_000_000_000_000 + number})

    def message_id(self, number: int) -> str:
        return str(4_000_000_000_000 + number)

    def validity(self, request: Request) -> timedelta:
        return timedelta(minutes=int(self.said(request)["ttl"]))

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        query = urlencode({"msg.id": message_id, "stat": word, "dest": NUMBER})
        return WebhookRequest("GET", f"{url}?{query}", {}, b"", url.rpartition("/")[2])

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        query = urlencode({"token": HOOK_TOKEN, "msisdn": sender[1:], "content": text}, quote_via=quote)
        return WebhookRequest("GET", f"{url}?{query}", {}, b"")

    def test_a_request_says_what_is_meant(self, provider: Provider, peer: Peer) -> None:
        before = datetime.now(UTC)
        send(provider)
        (request,) = peer.accepted
        said = self.said(request)
        until = datetime.fromisoformat(said.pop("until"))
        assert timedelta(seconds=-1) <= until - before - timedelta(hours=2) <= timedelta(seconds=10)
        assert said == {
            "apikey": TOKEN,
            "dest": "00" + NUMBER[1:],
            "msg": BODY,
            "dcs": "0",
            "ttl": "120",
            "dlr": receipt_url("https://hooks.example", "acme", REFERENCE),
        }

    @pytest.mark.parametrize("body", ["&dest=0044", "a=b&c;d#e?f", "+ %2B %", "{account}", "\r\nX-A: b", "так", "👍"])
    def test_a_text_stays_in_its_place(self, provider: Provider, peer: Peer, body: str) -> None:
        send(provider, text(body=body))
        (request,) = peer.accepted
        assert self.said(request)["msg"] == body
        assert self.said(request)["dest"] == "00" + NUMBER[1:]
        names = [name for name, _ in parse_qsl(request.body.decode() or urlsplit(request.path).query)]
        assert len(names) == len(set(names)) == 7

    def test_the_alphabet_is_said_in_the_gateways_words(self, provider: Provider, peer: Peer) -> None:
        send(provider, text(body="Прийом"))
        assert self.said(peer.accepted[0])["dcs"] == "8"

    def test_a_text_of_less_use_than_a_minute_is_not_sent(self, provider: Provider, peer: Peer) -> None:
        assert type(failure(provider, text(valid_for=timedelta(seconds=59)))) is NotSent
        assert not peer.requests

    def test_a_receipt_needs_its_parts(self, hearer: Provider) -> None:
        for query in ("stat=DELIVRD", "msg.id=1", "msg.id=&stat=DELIVRD", "msg.id=1&stat="):
            request = WebhookRequest("GET", f"{RECEIPTS}/{REFERENCE}?{query}", {}, b"", REFERENCE)
            with pytest.raises(Refused) as caught:
                hearer.parse_receipt(request)
            assert caught.value.reason == Reason.MALFORMED, query

    @pytest.mark.parametrize("shown", [NUMBER, NUMBER[1:], "00" + NUMBER[1:]])
    def test_a_sender_is_a_full_number_however_it_is_written(self, hearer: Provider, shown: str) -> None:
        assert hearer.parse_reply(self.reply(REPLIES, "+" + shown, "STOP")).sender == NUMBER

    @pytest.mark.parametrize("shown", ["0612340015", "36105", "Clinic", "", "+33 6", "1" * 16])
    def test_a_sender_that_is_no_full_number_is_refused(self, hearer: Provider, shown: str) -> None:
        with pytest.raises(Refused):
            hearer.parse_reply(self.reply(REPLIES, "+" + shown, "STOP"))


class TestFormGateway(TestQueryGateway):
    """The same gateway by forms, and with one address for all receipts, which name its own id only."""

    text_in_url = False
    way: ClassVar = {"body_as": "form"}

    def said(self, request: Request) -> dict[str, str]:
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        return request.form

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        table = super().table(url, folder)
        table["body"]["dlr"] = "yes"
        return table

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        form = urlencode({"msg.id": message_id, "stat": word})
        return WebhookRequest("POST", f"{url}?token={HOOK_TOKEN}", {}, form.encode())

    # An unsigned receipt by id proves itself by the token, not by a reference in its path: there is none.
    def test_a_forged_receipt_is_refused(self, hearer: Provider) -> None:
        genuine = self.receipt(RECEIPTS, "1", "DELIVRD")
        for query in ("", "?token=", "?token=wrong", f"?token={HOOK_TOKEN}x"):
            self._is_refused(hearer, replace(genuine, url=RECEIPTS + query), query)

    def test_a_request_says_what_is_meant(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        assert peer.accepted[0].form["dlr"] == "yes"
        assert provider.capabilities.receipts_by_id
        assert not provider.capabilities.receipt_carries_reference

    def test_a_receipt_needs_its_parts(self, hearer: Provider) -> None:
        for form in (b"stat=DELIVRD", b"msg.id=1"):
            with pytest.raises(Refused):
                hearer.parse_receipt(WebhookRequest("POST", f"{RECEIPTS}?token={HOOK_TOKEN}", {}, form))


# What has to prove itself


@pytest.mark.parametrize("gateway", [TestQueryGateway(), TestFormGateway()])
def test_replies_and_receipts_without_a_proof_are_no_setting(tmp_path: Path, gateway: TestQueryGateway) -> None:
    table = gateway.table("http://127.0.0.1:1", tmp_path)
    del table["webhook_token_file"]
    assert "webhook_token_file" in refused_settings(table)


def test_a_receipt_by_path_needs_no_token_and_a_reply_does(tmp_path: Path) -> None:
    gateway = TestQueryGateway()
    table = gateway.table("http://127.0.0.1:1", tmp_path)
    del table["webhook_token_file"], table["replies"]
    hearer = provided(table, Role.HEAR)
    assert hearer.parse_receipt(gateway.receipt(f"{RECEIPTS}/{REFERENCE}", "1", "DELIVRD")).reference == REFERENCE
    with pytest.raises(Refused):
        hearer.parse_reply(gateway.reply(REPLIES, NUMBER, "STOP"))


@pytest.mark.parametrize("body", [b'{"state": "DELIVRD"}', b' {"state": "DELIVRD"}', b"state=DELIVRD"])
def test_a_receipt_is_read_whatever_it_calls_itself(tmp_path: Path, body: bytes) -> None:
    gateway = TestQueryGateway()
    table = gateway.table("http://127.0.0.1:1", tmp_path)
    table["receipts"] = {"status": "state", "states": {"DELIVRD": "delivered"}}
    hearer = provided(table, Role.HEAR)
    call = WebhookRequest("POST", RECEIPTS, {}, body, REFERENCE)
    assert hearer.parse_receipt(call) == Receipt(REFERENCE, State.DELIVERED)


@pytest.mark.parametrize("gone", ["callback_url", "receipts"])
def test_a_receipt_url_needs_a_place_and_a_meaning(tmp_path: Path, gone: str) -> None:
    table = TestQueryGateway().table("http://127.0.0.1:1", tmp_path)
    del table[gone]
    assert "receipt_url" in refused_settings(table)


@pytest.mark.parametrize("gateway", [TestJsonGateway(), TestFormGateway()])
def test_a_process_without_the_webhook_secrets_believes_nothing(tmp_path: Path, gateway: ProviderContract) -> None:
    sender = provided(gateway.table("http://127.0.0.1:1", tmp_path), Role.SEND)
    empty = hmac.new(b"", b"{}", "sha256").hexdigest()
    headers = {"content-type": "application/json", "x-beacon-signature": f"sha256={empty}"}
    for url in (RECEIPTS, f"{RECEIPTS}?token="):
        with pytest.raises(Refused) as caught:
            sender.parse_receipt(WebhookRequest("POST", url, headers, b"{}"))
        assert caught.value.reason == Reason.SIGNATURE_INVALID


# Templates and paths


@given(st.text(), st.text())
def test_any_value_stays_in_its_place(number: str, body: str) -> None:
    shape = {"a": ["{to}", {"b": "{text}!"}], "c": "{{to}}", "d": 1, "e": None}
    filled = fill(shape, {"to": number, "text": body})
    assert filled == {"a": [number, {"b": f"{body}!"}], "c": "{to}", "d": 1, "e": None}


@given(
    st.recursive(st.none() | st.booleans() | st.text(), lambda part: st.lists(part) | st.dictionaries(st.text(), part))
)
def test_a_path_never_fails(document: Any) -> None:
    for path in ("a", "a.b", "0", "0.a.1", "9999", "-1"):
        at(document, path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.0.b", 1),
        ("a.1", None),
        ("a.-1", None),
        ("a.x", None),
        ("a.0.b.c", None),
        ("x.y", "dots"),
        ("x", None),
        (None, None),
    ],
)
def test_a_path_finds_what_it_names(path: str | None, value: Any) -> None:
    assert at({"a": [{"b": 1}], "x.y": "dots"}, path) == value


@pytest.mark.parametrize(
    ("value", "read"),
    [("a b", "a b"), (7, "7"), (0, "0"), (True, ""), (None, ""), (1.5, ""), ({}, ""), ("x" * 129, ""), ("é", "")],
)
def test_a_word_is_short_and_plain(value: Any, read: str) -> None:
    assert word(value) == read


# The documentation


@pytest.fixture
def example(tmp_path: Path) -> dict[str, Any]:
    """The complete example of the page, with its secrets in files."""
    page = DOCS.read_text("utf-8")
    whole = page.split("```toml\n")[1].split("```")[0]
    (table,) = tomllib.loads(whole)["providers"].values()
    for setting in (table["secrets"], table["signature"]):
        for name, path in setting.items():
            if str(path).startswith("secrets/"):
                (tmp_path / name).write_text(f"{name}-secret")
                setting[name] = str(tmp_path / name)
    return table


def test_the_example_of_the_documentation_works(example: dict[str, Any]) -> None:
    with Peer() as peer:
        host = "https://api.lantern.example"
        moved = json.loads(json.dumps(example).replace(host, peer.url)) | {"callback_url": "https://hooks.example"}
        provider = load("lantern", moved)
        peer.answer = lambda request, number: Response.of({"message": {"id": f"m{number}"}}, 202)
        assert send(provider) == Sent("m1", 1)
        said = peer.accepted[0].words
        assert all(part in said for part in (NUMBER, BODY, REFERENCE, "token-secret"))
        peer.respond(Response.of({"error": {"code": "landline"}}, 422))
        assert failure(provider).reason == Reason.LANDLINE
        hearer = load("lantern", moved, Role.HEAR)
        body = json.dumps({"id": "m1", "status": "failed", "error": "absent"}).encode()
        signature = hmac.new(b"key_file-secret", body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-lantern-signature": signature}
        receipt = WebhookRequest("POST", f"{RECEIPTS}/{REFERENCE}", headers, body, REFERENCE)
        assert hearer.parse_receipt(receipt) == Receipt(REFERENCE, State.UNDELIVERED, "m1", Reason.UNREACHABLE)
        provider.close()
