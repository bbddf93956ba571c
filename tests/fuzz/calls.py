"""What providers call us with and answer us, one target for each: calls as they come, and as if they had been signed.

A call is written as text: its kind, method and address, its headers, an empty line, its body. Each is read twice: as it
is, and with the outcome of the comparison overruled, which is made nevertheless.
"""

import base64
import functools
import hmac
import importlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from email.parser import Parser
from http.client import HTTPMessage
from typing import Any
from unittest.mock import patch

import twilio.request_validator
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from known import NOW
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from reminder_worker.errors import ReminderError
from reminder_worker.https import Answer, Site
from reminder_worker.providers import Provider, Receipt, Role, Sent, Text, load
from reminder_worker.testing.peer import Request, Response
from reminder_worker.testing.promises import REFERENCE
from reminder_worker.testing.reports import HOOKS, RECEIPTS, REPLIES
from reminder_worker.webhooks import WebhookRequest
from reminder_worker.wire.topics import Topic

from .targets import NUMBER, PLACE, folder, nested, target

CASES = {  # the contract's, whose table, receipts and replies are the seeds
    "twilio": "TestTwilio",
    "vonage": "TestVonage",
    "sinch": "TestSinch",
    "sinch-signed": "TestSinchThatSigns",
    "plivo": "TestPlivo",
    "telnyx": "TestTelnyx",
    "messagebird": "TestMessageBird",
    "infobip": "TestInfobip",
    "ovh": "TestOvh",
    "kannel": "TestKannel",
    "http": "TestJsonGateway",
    "http-query": "TestQueryGateway",
}
RECEIPT, REPLY = "receipt", "reply"
TEXT = Text(NUMBER, PLACE, 1, REFERENCE, timedelta(hours=2))
HOME, TOPICS = "https://sns.eu-west-1.amazonaws.com", "arn:aws:sns:eu-west-1:123456789012:{}"
CERTIFICATE = "/SimpleNotificationService-01d088a6f77103d0fe307c0069e40ed6.pem"


# A call as text


def written(kind: str, call: WebhookRequest) -> bytes:
    """Write a call down."""
    lines = [f"{kind} {call.method} {call.url.removeprefix(HOOKS)}", *(f"{k}: {v}" for k, v in call.headers.items())]
    return "\n".join(lines).encode("latin-1", "replace") + b"\n\n" + call.body


def read(data: bytes) -> tuple[str, WebhookRequest]:
    """Read what was written; whatever it is, it is a call."""
    head, _, body = data.partition(b"\n\n")
    first, *rest = head.decode("latin-1").split("\n")
    kind, method, address = [*first.split(" ", 2), "", ""][:3]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    path = "".join(one for one in address.partition("?")[0] if "!" <= one <= "~")
    _, mark, query = address.partition("?")
    reference = path.split("/", 4)[4] if path.startswith("/v1/receipts/") and path.count("/") > 3 else ""
    url = f"{HOOKS}/{path.lstrip('/')}{mark}{query}"
    return kind, WebhookRequest("GET" if method == "GET" else "POST", url, headers, body, reference)


# Comparisons that say yes


class _Key:
    """Stands for the key of a certificate of AWS's."""

    def verify(self, *_: object) -> None:
        """Say yes."""


RSAPublicKey.register(_Key)


class _Certificate:
    not_valid_before_utc = NOW - timedelta(days=1)
    not_valid_after_utc = NOW + timedelta(days=1)

    def public_key(self) -> _Key:
        return _Key()


def _yes(compare: Callable[..., object]) -> Callable[..., bool]:
    def compared(*arguments: Any) -> bool:
        compare(*arguments)
        return True

    return compared


def _verified(self: VerifyKey, *arguments: Any) -> bytes:
    with suppress(BadSignatureError):
        return VERIFY(self, *arguments)
    return b""


VERIFY = VerifyKey.verify


@contextmanager
def believed() -> Iterator[None]:
    """Have each signature be genuine."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(hmac, "compare_digest", _yes(hmac.compare_digest)))
        stack.enter_context(patch.object(twilio.request_validator, "compare", _yes(twilio.request_validator.compare)))
        stack.enter_context(patch.object(VerifyKey, "verify", _verified))
        yield


def hear(provider: Provider, data: bytes) -> object:
    """Read a call as it is, and believed. Raises what the second says."""
    kind, call = read(data)
    parse = provider.parse_receipt if kind == RECEIPT else provider.parse_reply
    with suppress(ReminderError):
        parse(call)
    with believed():
        heard = parse(call)
    if isinstance(heard, Receipt):  # names of texts, as their provider and our own URL have them, are nobody's
        return replace(heard, reference="", provider_message_id=""), call
    return heard, call


# Providers


@functools.cache
def case(name: str) -> Any:
    """Return the contract's case of a provider."""
    module = importlib.import_module(f"providers.test_{name.partition('-')[0]}")
    return getattr(module, CASES[name])()


@functools.cache
def provider(name: str, role: Role) -> Provider:
    """Return a provider as a process has it."""
    return load("acme", {"type": case(name).plug_in, **case(name).table("http://127.0.0.1:1", folder(name))}, role)


def calls(name: str) -> Iterator[bytes]:
    """Yield receipts and replies of a provider."""
    one, carries = case(name), provider(name, Role.HEAR).capabilities.receipt_carries_reference
    url = RECEIPTS if carries else RECEIPTS.rpartition("/")[0]
    for word in one.receipts:
        yield written(RECEIPT, one.receipt(url, one.message_id(1), word))
    replies = [one.reply(REPLIES, NUMBER, said) for said in ("STOP", f"{PLACE} {NUMBER}")] if one.hears_replies else []
    for reply in replies:
        yield written(REPLY, reply)
    for reply in replies[:1]:
        head = written(REPLY, reply).partition(b"\n\n")[0]
        yield from (head + b"\n\n" + body for body in (b"", *nested()))
        deep = base64.urlsafe_b64encode(b"[" * 9_000)
        yield from (
            written(REPLY, WebhookRequest(reply.method, reply.url, {**reply.headers, name: deep.decode()}, reply.body))
            for name in reply.headers
        )
        yield written(REPLY, WebhookRequest(reply.method, reply.url, dict.fromkeys(reply.headers, "é"), reply.body))
        jwt = deep.decode().rstrip("=") + ".e30.AAAA"
        yield written(REPLY, WebhookRequest(reply.method, reply.url, dict.fromkeys(reply.headers, jwt), reply.body))


def answers(name: str) -> Iterator[bytes]:
    """Yield what a provider answers to a text."""
    one = case(name)
    asked = Request("POST", "/", {}, b"")
    good: list[Response] = []
    with suppress(Exception):
        good = [one.yes(asked, 1)]
    for response in (*good, *(answer for answer, _ in one.refusals.values()), one.unknown_refusal, one.busy):
        head = "\n".join(f"{key}: {value}" for key, value in response.headers.items())
        yield f"{response.status}\n{head}\n\n".encode() + response.body
    yield b"429\nRetry-After: Wed, 99 Nov 2026 99:00:00 GMT\n\n{}"
    yield from (b"200\nContent-Type: application/json\n\n" + body for body in nested())


def answer_of(data: bytes) -> Answer:
    """Read an answer that was written as text."""
    head, _, body = data.partition(b"\n\n")
    status, _, headers = head.partition(b"\n")
    number = int(status) if status.isdigit() and len(status) == 3 else 200
    return Answer(number, Parser(HTTPMessage).parsestr(headers.decode("latin-1")), body)


def send(name: str, data: bytes) -> object:
    """Send a text to a provider that answers this."""
    answer = answer_of(data)
    with patch.object(Site, "call", lambda *_, **__: answer):
        sent = provider(name, Role.SEND).send(TEXT, deadline=time.monotonic() + 60)
    assert isinstance(sent, Sent)
    return sent


for _name in CASES:
    target(f"call-{_name}", functools.partial(calls, _name))(
        functools.partial(lambda name, data: hear(provider(name, Role.HEAR), data), _name)
    )
    target(f"answer-{_name}", functools.partial(answers, _name))(functools.partial(send, _name))


# AWS, whose contract's case brings a whole AWS with it


def _notified(topic: str, message: str, **changes: object) -> WebhookRequest:
    whole = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPICS.format(topic),
        "Message": message,
        "Timestamp": f"{NOW:%Y-%m-%dT%H:%M:%S.000Z}",
        "SignatureVersion": "1",
        "SigningCertURL": HOME + CERTIFICATE,
        "Signature": "AAAA",
        **changes,
    }
    path = RECEIPTS.rpartition("/")[0] if topic == "events" else REPLIES
    return WebhookRequest("POST", path, {"content-type": "text/plain; charset=UTF-8"}, json.dumps(whole).encode())


def _of_aws() -> Iterator[bytes]:
    event = {"eventType": "TEXT_DELIVERED", "messageId": "862a8790-60c0", "context": {"reference": REFERENCE}}
    said = {"originationNumber": NUMBER, "messageBody": f"STOP {PLACE}", "messageKeyword": "STOP"}
    about = {
        "Type": "SubscriptionConfirmation",
        "Token": "2336",
        "SubscribeURL": f"{HOME}/?Action=ConfirmSubscription&a",
    }
    for change in ({}, {"SignatureVersion": "2"}, about, {"Timestamp": "0001-01-01T00:00:00+23:59"}):
        yield written(RECEIPT, _notified("events", json.dumps(event), **change))
        yield written(REPLY, _notified("replies", json.dumps(said), **change))
    yield from (written(REPLY, _notified("replies", body.decode())) for body in nested())
    yield from (b"reply POST /v1/replies/acme\n\n" + body for body in nested())


@functools.cache
def _aws() -> Provider:
    topics = {"topic_arn": TOPICS.format("events"), "replies_topic_arn": TOPICS.format("replies")}
    table = {"type": "aws", "region": "eu-west-1", "from": "+33700000000", "configuration_set": "reminders"}
    return load("acme", {**table, **topics}, Role.HEAR)


@target("call-aws", _of_aws)
def heard_of_aws(data: bytes) -> object:
    with patch.object(Topic, "fetch", lambda *_: (200, b"")):
        for topic in (_aws()._receipts, _aws()._replies):  # type: ignore[attr-defined]
            topic._certificates = {CERTIFICATE: _Certificate()}
        return hear(_aws(), data)
