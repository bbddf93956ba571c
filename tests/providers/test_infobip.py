"""Infobip: the promises of all providers, every request held against its OpenAPI document, and what is special here."""

import base64
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fake_twilio import SpecifiedRequest

from reminder_worker.errors import (
    Ambiguous,
    Misconfigured,
    NotSent,
    Reason,
    Refused,
    Rejected,
    SettingsError,
    Throttled,
)
from reminder_worker.job import State
from reminder_worker.providers import Receipt, Reply, Role, Sent, load
from reminder_worker.providers.infobip import FAILURES, GROUPS, STATES, STATUSES, VALIDITY_LIMIT, Infobip
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import BODY, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.webhooks import WebhookRequest

SPECIFICATION = Path(__file__).parents[2] / "../shared/specs/infobip-sms.json"
KEY = "a-key-for-tests"
TOKEN = "a-token-in-the-url"
RECEIPTS = f"https://hooks.example/v1/receipts/acme/{REFERENCE}"
REPLIES = f"https://hooks.example/v1/replies/acme?token={TOKEN}"
CLASSES = {
    Reason.MISCONFIGURED: Misconfigured,
    Reason.THROTTLED: Throttled,
    Reason.NOT_SENT: NotSent,
    Reason.AMBIGUOUS: Ambiguous,
}


def status(group: str, number: int, name: str = "SOME_STATUS") -> dict[str, Any]:
    words = {"description": f"{NUMBER} {BODY}", "action": f"Check {NUMBER[1:]}"}
    return {"groupId": 1, "groupName": group, "id": number, "name": name, **words}


def answered(group: str, number: int, name: str = REFERENCE, **details: Any) -> Response:
    """Return the answer to one text, as Infobip gives it for those that it takes and those that it does not."""
    message = {"messageId": name, "status": status(group, number), "destination": NUMBER[1:], **details}
    return Response.of({"bulkId": "2034072219640523072", "messages": [message]})


def refused(http: int, code: str) -> Response:
    violations = [{"property": "messages[0].destinations[0].to", "violation": f"{NUMBER} is wrong"}]
    words = {"description": f"Cannot process {BODY}", "action": "Check", "resources": []}
    return Response.of({"errorCode": code, **words, "violations": violations}, http)


def report(group: str, number: int, error: Mapping[str, Any] | None = None, name: str = REFERENCE) -> dict[str, Any]:
    no_error = {"groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR", "permanent": False}
    return {
        "bulkId": "2034072219640523072",
        "price": {"pricePerMessage": 0.01, "currency": "EUR"},
        "status": status(group, number),
        "error": dict(no_error if error is None else error),
        "messageId": name,
        "to": NUMBER[1:],
        "sender": "Clinic",
        "sentAt": "2026-11-09T16:00:00.000+0100",
        "doneAt": "2026-11-09T16:00:04.000+0100",
        "messageCount": 1,
    }


def push(url: str, *results: Mapping[str, Any], reference: str = "", **headers: str) -> WebhookRequest:
    document = {"results": results, "messageCount": len(results), "pendingMessageCount": 0}
    headers = {"content-type": "application/json", **headers}
    return WebhookRequest("POST", url, headers, json.dumps(document, ensure_ascii=False).encode(), reference)


def incoming(sender: str = NUMBER[1:], said: str = "STOP") -> dict[str, Any]:
    return {
        "messageId": "817790313235066447",
        "from": sender,
        "to": "447491163443",
        "text": said,
        "cleanText": "",  # the keyword is taken off
        "keyword": "STOP",
        "receivedAt": "2026-11-09T16:00:00.000+0000",
        "smsCount": 1,
        "price": {"pricePerMessage": 0, "currency": "EUR"},
    }


@functools.cache
def specification() -> Any:
    """Infobip's OpenAPI document; None where it does not lie beside the checkout."""
    if not SPECIFICATION.exists():
        return None
    from openapi_core import OpenAPI  # noqa: PLC0415 takes half a second

    return OpenAPI.from_dict({**json.loads(SPECIFICATION.read_text()), "servers": [{"url": "https://infobip.example"}]})


def violations(request: Request) -> list[str]:
    """Say what Infobip would not take; unknown fields too, which its document permits."""
    (message,) = request.json["messages"]
    known = {"sender", "destinations", "content", "options", "webhooks"}
    found = [f"unexpected {name}" for name in message.keys() - known]
    if specification() is not None:
        headers = {name.title(): value for name, value in request.headers.items()}
        asked = SpecifiedRequest(request.path, headers, request.body, host_url="https://infobip.example")
        found += [repr(error.__cause__ or error) for error in specification().iter_request_errors(asked)]
    return found


class TestInfobip(ProviderContract):
    plug_in = "infobip"
    names_by_reference = True
    signs = False
    refusals: ClassVar = {
        "invalid number": (answered("REJECTED", 52), Reason.NUMBER_REFUSED),
        "do not disturb": (answered("REJECTED", 10), Reason.OPTED_OUT),
        "too long": (answered("REJECTED", 25), Reason.CONTENT_REFUSED),
        "network": (answered("REJECTED", 6), Reason.NOT_SENT),
        "flooding": (answered("REJECTED", 20), Reason.THROTTLED),
        "credit": (answered("REJECTED", 12), Reason.MISCONFIGURED),
        "bad request": (refused(400, "E400"), Reason.NOT_SENT),
        "credentials": (refused(401, "E401"), Reason.MISCONFIGURED),
        "scope": (refused(403, "E403"), Reason.MISCONFIGURED),
    }
    unknown_refusal = refused(400, "E987")
    busy = refused(429, "E429")
    duplicate = answered("REJECTED", 23)
    receipts: ClassVar = {
        "PENDING 26": (State.SENT, None),
        "DELIVERED 2": (State.SENT, None),
        "DELIVERED 5": (State.DELIVERED, None),
        "UNDELIVERABLE 9 1 permanent": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "UNDELIVERABLE 9 1": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "UNDELIVERABLE 9 27": (State.UNDELIVERED, Reason.UNREACHABLE),
        "UNDELIVERABLE 9 603 permanent": (State.UNDELIVERED, Reason.OPTED_OUT),
        "UNDELIVERABLE 4 607 permanent": (State.UNDELIVERED, Reason.CONTENT_REFUSED),
        "UNDELIVERABLE 4": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "EXPIRED 15": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "EXPIRED 15 4101 permanent": (State.UNDELIVERED, Reason.VALIDITY_OVER),
        "EXPIRED 29": (None, None),
        "REJECTED 52": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
        "REJECTED 14": (State.UNDELIVERED, Reason.OPTED_OUT),
        "REJECTED 12": (State.UNDELIVERED, Reason.MISCONFIGURED),
        "REJECTED 6": (State.UNDELIVERED, Reason.CARRIER_FAILED),
        "REJECTED 23": (None, None),  # of a second request, and so nothing of the first
        "ABDUCTED 987": (None, None),
    }

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with Peer() as peer:
            peer.answer = self.yes
            peer.arrived = lambda request: peer.mistakes.extend(violations(request))  # type: ignore[method-assign]
            yield peer

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "key").write_text(KEY)
        (folder / "token").write_text(TOKEN)
        return {
            "api_key_file": str(folder / "key"),
            "webhook_token_file": str(folder / "token"),
            "from": "Clinic",
            "base_url": url,
            "callback_url": "https://hooks.example",
        }

    def yes(self, request: Request, number: int) -> Response:
        """Infobip calls a text what we call it: what ``message_id`` returns comes from the request."""
        name = request.json["messages"][0]["destinations"][0]["messageId"]
        vars(self).setdefault("names", {})[number] = name
        return answered("PENDING", 26, name, details={"messageCount": 1})

    def message_id(self, number: int) -> str:
        return str(vars(self).get("names", {}).get(number, REFERENCE))

    def validity(self, request: Request) -> timedelta:
        period = request.json["messages"][0]["options"]["validityPeriod"]
        assert period["timeUnit"] == "SECONDS"
        return timedelta(seconds=period["amount"])

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        group, number, *error = word.split()
        wrong = {"id": int(error[0]), "permanent": "permanent" in error} if error else None
        return push(url, report(group, int(number), wrong, message_id), reference=REFERENCE)

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return push(f"{url}?token={TOKEN}", incoming(sender[1:], text))


@pytest.fixture
def case() -> TestInfobip:
    return TestInfobip()


@pytest.fixture
def peer(case: TestInfobip) -> Iterator[Peer]:
    with Peer() as peer:
        peer.answer = case.yes
        peer.arrived = lambda request: peer.mistakes.extend(violations(request))  # type: ignore[method-assign]
        yield peer


@pytest.fixture
def infobip(case: TestInfobip, peer: Peer, tmp_path: Path) -> Iterator[Infobip]:
    provider = load("acme", {"type": "infobip", **case.table(peer.url, tmp_path)})
    assert isinstance(provider, Infobip)
    yield provider
    provider.close()


@pytest.fixture
def hearer(case: TestInfobip, tmp_path: Path) -> Infobip:
    table = {"type": "infobip", **case.table("https://infobip.example", tmp_path)}
    provider = load("acme", table, Role.HEAR)
    assert isinstance(provider, Infobip)
    return provider


# What is sent


def test_a_text_is_sent_under_its_reference(infobip: Infobip, peer: Peer) -> None:
    send(infobip)
    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/sms/3/messages")
    assert request.headers["authorization"] == f"App {KEY}"
    assert request.json == {
        "messages": [
            {
                "sender": "Clinic",
                "destinations": [{"to": NUMBER[1:], "messageId": REFERENCE}],
                "content": {"text": BODY},
                "options": {"validityPeriod": {"amount": 7200, "timeUnit": "SECONDS"}},
                "webhooks": {"delivery": {"url": RECEIPTS}, "contentType": "application/json"},
            }
        ],
        "options": {"includeSmsCountInResponse": True},
    }


@pytest.mark.skipif(not SPECIFICATION.exists(), reason="Infobip's OpenAPI document is not beside the checkout")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"options": {"validityPeriod": {"amount": "soon"}}}, "integer"),
        ({"options": {"validityPeriod": {"amount": 1, "timeUnit": "DAYS"}}}, "DAYS"),
        ({"destinations": [{"to": "1", "messageId": "x" * 201}]}, "too long"),
        ({"destinations": None}, "array"),
        ({"validityPeriod": 5}, "validityPeriod"),
    ],
)
def test_what_infobip_would_not_take_is_noticed(
    peer: Peer, infobip: Infobip, change: dict[str, Any], fault: str
) -> None:
    send(infobip)
    whole = peer.requests[0].json
    whole["messages"][0] |= change
    assert fault in " ".join(violations(replace(peer.requests[0], body=json.dumps(whole).encode())))


@pytest.mark.parametrize("words", ["Rdv demain 14 h, à l'heure", "موعدك غدا", "👍", "€ [ ] ~"])
def test_a_text_arrives_as_it_is(infobip: Infobip, peer: Peer, words: str) -> None:
    send(infobip, text(body=words))
    assert peer.accepted[0].json["messages"][0]["content"] == {"text": words}  # no transliteration, no language


@pytest.mark.parametrize(
    ("valid_for", "seconds"),
    [
        (timedelta(seconds=-5), 1),
        (timedelta(seconds=59.9), 59),
        (timedelta(hours=48), VALIDITY_LIMIT),
        (timedelta(days=9), VALIDITY_LIMIT),
    ],
)
def test_a_text_always_expires(infobip: Infobip, peer: Peer, valid_for: timedelta, seconds: int) -> None:
    send(infobip, text(valid_for=valid_for))
    assert TestInfobip().validity(peer.accepted[0]) == timedelta(seconds=seconds)


def test_without_receipts_infobip_is_told_to_send_none(case: TestInfobip, peer: Peer, tmp_path: Path) -> None:
    table = {name: value for name, value in case.table(peer.url, tmp_path).items() if name != "callback_url"}
    provider = load("infobip", {**table, "from": "+447491163443"})
    send(provider)
    (message,) = peer.accepted[0].json["messages"]
    assert message["webhooks"]["delivery"] == {"notify": False}
    assert message["sender"] == "447491163443"
    assert not provider.capabilities.receipt_carries_reference
    assert provider.capabilities.settles  # a repetition can still tell


def test_what_infobip_can_do_is_said(infobip: Infobip) -> None:
    can = infobip.capabilities
    assert can.deduplicates
    assert can.validity
    assert can.receipt_carries_reference
    assert can.deduplicates_within <= timedelta(hours=1)
    assert not any((can.finds_by_reference, can.searches, can.redacts, can.forgets))


# What is answered


@pytest.mark.parametrize(("number", "reason"), STATUSES.items())
def test_every_known_status_has_one_meaning(infobip: Infobip, peer: Peer, number: int, reason: Reason) -> None:
    peer.respond(answered("REJECTED", number))
    error = failure(infobip)
    assert (type(error), error.reason) == (CLASSES.get(reason, Rejected), reason)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (8, Reason.NUMBER_REFUSED),
        (10, Reason.OPTED_OUT),
        (11, Reason.MISCONFIGURED),
        (12, Reason.MISCONFIGURED),
        (14, Reason.OPTED_OUT),
        (18, Reason.NOT_SENT),
        (19, Reason.NOT_SENT),
        (20, Reason.THROTTLED),
        (21, Reason.NOT_SENT),
        (25, Reason.CONTENT_REFUSED),
        (52, Reason.NUMBER_REFUSED),
    ],
)
def test_the_table_says(number: int, reason: Reason) -> None:
    assert STATUSES[number] is reason
    assert 23 not in STATUSES


@pytest.mark.parametrize(
    "response",
    [
        answered("REJECTED", 987),
        answered("REJECTED", 24),
        answered("ABDUCTED", 52),  # a refusal by number counts in a group of refusals only
        answered("ABDUCTED", 23),
        answered("UNDELIVERABLE", 4),
        replace(answered("PENDING", 26), status=500),
        replace(answered("REJECTED", 52), status=503),
        Response.of({"messages": []}),
        Response.of({"messages": [{"status": status("PENDING", 26)}] * 2}),
        Response.of({"messages": [{"status": {"groupName": "PENDING", "id": 26}}]}),
        Response.of({"errorCode": "E400"}, 202),
        refused(404, "E404"),
        refused(409, NUMBER),
    ],
)
def test_an_answer_that_is_not_clear_is_ambiguous(
    infobip: Infobip, peer: Peer, response: Response, caplog: pytest.LogCaptureFixture
) -> None:
    peer.respond(response, accept=True)
    assert type(failure(infobip)) is Ambiguous
    assert not leaks(str([vars(record) for record in caplog.records]))


@pytest.mark.parametrize("details", [{"details": {"messageCount": 2}}, {}, {"details": None}, {"details": {}}])
def test_an_acceptance_counts_segments_or_leaves_ours(infobip: Infobip, peer: Peer, details: dict[str, Any]) -> None:
    peer.respond(answered("PENDING", 26, **details), accept=True)
    assert send(infobip, text(segments=3)) == Sent(REFERENCE, 2 if details.get("details") else 3)


def test_a_repeated_reference_is_an_accepted_text(infobip: Infobip, peer: Peer) -> None:
    peer.hang_after_accepting()
    assert type(failure(infobip, seconds=0.8)) is Ambiguous
    peer.respond(answered("REJECTED", 23))
    assert send(infobip, text(segments=2)) == Sent(REFERENCE, 2)
    assert len({request.body for request in peer.requests}) == 1


@pytest.mark.parametrize(("response", "code"), [(answered("REJECTED", 12), "12"), (refused(401, "E401"), "E401")])
def test_an_operator_is_told_the_code_and_nothing_else(
    infobip: Infobip, peer: Peer, caplog: pytest.LogCaptureFixture, response: Response, code: str
) -> None:
    peer.respond(response)
    failure(infobip)
    (record,) = caplog.records
    assert record.getMessage() == "provider_answer"
    assert (vars(record)["provider"], vars(record)["status"], vars(record)["code"]) == ("acme", response.status, code)
    assert not leaks(str(vars(record)))


# Receipts


@pytest.mark.parametrize(("number", "reason"), FAILURES.items())
def test_every_known_error_has_one_meaning(hearer: Infobip, number: int, reason: Reason) -> None:
    one = report("UNDELIVERABLE", 9, {"id": number, "permanent": True})
    assert hearer.parse_receipt(push(RECEIPTS, one, reference=REFERENCE)).reason is reason


def test_a_number_is_not_given_up_for_an_error_that_may_pass(hearer: Infobip) -> None:
    for number in (1, 9, 603, 2050):
        for flag in ({"permanent": False}, {"permanent": None}, {}):
            one = report("UNDELIVERABLE", 9, {"id": number, **flag})
            assert hearer.parse_receipt(push(RECEIPTS, one, reference=REFERENCE)).reason is Reason.CARRIER_FAILED


def test_no_status_of_a_second_request_changes_the_first() -> None:
    assert STATES[23] is None
    assert set(GROUPS.values()) == {State.SENT, State.DELIVERED, State.UNDELIVERED}


@pytest.mark.parametrize("final", [("DELIVERED", 5), ("REJECTED", 52)])
@pytest.mark.parametrize("turn", [1, -1])
def test_of_several_reports_of_one_text_the_final_one_counts(
    hearer: Infobip, final: tuple[str, int], turn: int
) -> None:
    reports = [report("PENDING", 7), report("REJECTED", 23), report(*final), report("DELIVERED", 2)][::turn]
    state = hearer.parse_receipt(push(RECEIPTS, *reports, reference=REFERENCE)).state
    assert state is GROUPS[final[0]]


def test_a_report_without_an_error_is_read(hearer: Infobip) -> None:
    bare = {"messageId": REFERENCE, "status": {"groupName": "DELIVERED", "id": 5}}
    for one in (bare, {**bare, "error": None}):
        expected = Receipt(REFERENCE, State.DELIVERED, REFERENCE, None)
        assert hearer.parse_receipt(push(RECEIPTS, one, reference=REFERENCE)) == expected


@pytest.mark.parametrize("place", [0, 1])
def test_a_report_of_another_text_is_refused(hearer: Infobip, place: int) -> None:
    reports = [report("DELIVERED", 5)]
    reports.insert(place, report("DELIVERED", 5, name="x" * 39))
    with pytest.raises(Refused) as caught:
        hearer.parse_receipt(push(RECEIPTS, *reports, reference=REFERENCE))
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_receipt_without_reports_is_none(hearer: Infobip) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_receipt(push(RECEIPTS, reference=REFERENCE))
    assert caught.value.reason is Reason.MALFORMED


# Replies


def test_a_keyword_stays_in_a_reply(hearer: Infobip) -> None:
    assert hearer.parse_reply(push(REPLIES, incoming())) == Reply(NUMBER, "STOP")


def test_a_reply_may_prove_itself_by_a_basic_password(hearer: Infobip) -> None:
    bare = push(REPLIES.partition("?")[0], incoming())
    right, wrong = (base64.b64encode(f"infobip:{word}".encode()).decode() for word in (TOKEN, "other"))
    genuine = replace(bare, headers={**bare.headers, "authorization": f"Basic {right}"})
    assert hearer.parse_reply(genuine).text == "STOP"
    with pytest.raises(Refused):
        hearer.parse_reply(replace(bare, headers={**bare.headers, "authorization": f"Basic {wrong}"}))


def test_several_replies_in_one_call_are_refused_rather_than_lost(hearer: Infobip) -> None:
    for results in ([], [incoming(), incoming(said="Yes")]):
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(push(REPLIES, *results))
        assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("sender", ["Clinic", "", "123", "33612340015x", "٣٣٦١٢٣٤٠٠١٥", "0612340015", "+0033612340015"])
def test_a_reply_comes_from_a_number(hearer: Infobip, sender: str) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_reply(push(REPLIES, incoming(sender)))
    assert caught.value.reason is Reason.MALFORMED


def test_without_a_token_no_reply_is_taken(case: TestInfobip, tmp_path: Path) -> None:
    table = case.table("https://infobip.example", tmp_path)
    del table["webhook_token_file"]
    provider = load("infobip", table, Role.HEAR)
    for url in (REPLIES, REPLIES.partition("?")[0], f"{REPLIES.partition('?')[0]}?token="):
        with pytest.raises(Refused) as caught:
            provider.parse_reply(push(url, incoming()))
        assert caught.value.reason is Reason.SIGNATURE_INVALID


# Settings


def test_each_role_reads_its_own_secret(case: TestInfobip, tmp_path: Path) -> None:
    table = case.table("https://infobip.example", tmp_path)
    (tmp_path / "token").unlink()
    load("infobip", table, Role.SEND)
    with pytest.raises(SettingsError, match=r"^providers\.infobip\.webhook_token_file: "):
        load("infobip", table, Role.HEAR)
    (tmp_path / "key").unlink()
    (tmp_path / "token").write_text(TOKEN)
    load("infobip", table, Role.HEAR)
    with pytest.raises(SettingsError, match=r"^providers\.infobip\.api_key_file: "):
        load("infobip", table, Role.SEND)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"from": None}, "from"),
        ({"from": 447491163443}, "from"),
        ({"from": "secret-secret-secret"}, "from"),
        ({"base_url": None}, "base_url"),
        ({"base_url": "http://api.secret.example"}, "base_url"),
        ({"callback_url": "http://hooks.secret.example"}, "callback_url"),
        ({"api_key": "secret"}, "api_key"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(
    case: TestInfobip, tmp_path: Path, changes: dict[str, Any], setting: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load("infobip", {**case.table("https://infobip.example", tmp_path), **changes})
    assert str(caught.value).startswith(f"providers.infobip.{setting}: ")
    assert "secret" not in str(caught.value)
