"""AWS: End User Messaging against a peer that speaks by botocore's own model, SNS also against moto."""

import base64
import functools
import gzip
import hashlib
import hmac
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import botocore
import pytest
from botocore import parsers
from botocore.loaders import JSONFileLoader, Loader
from botocore.model import ServiceModel
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from moto.server import ThreadedMotoServer
from moto.sns.models import sns_backends

from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Refused, Rejected, SettingsError
from reminder_worker.job import State
from reminder_worker.logs import Formatter
from reminder_worker.providers import Provider, Receipt, Reply, Role, load
from reminder_worker.providers.aws import CODES, EVENTS, Aws
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import CLASSES, NUMBER, REFERENCE, failure, leaks, send, text
from reminder_worker.testing.reports import RECEIPTS, REPLIES
from reminder_worker.webhooks import WebhookRequest
from reminder_worker.wire.amazon import _session
from reminder_worker.wire.topics import Topic

REGION = "eu-west-1"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SENDER = "+33700000000"
EVENT_TOPIC = f"arn:aws:sns:{REGION}:123456789012:events"
REPLY_TOPIC = f"arn:aws:sns:{REGION}:123456789012:replies"
HOME = f"https://sns.{REGION}.amazonaws.com"
CERTIFICATE = "/SimpleNotificationService-01d088a6f77103d0fe307c0069e40ed6.pem"
CONFIRM = f"/?Action=ConfirmSubscription&TopicArn={EVENT_TOPIC}&Token=2336412f37"
ACCOUNT_RECEIPTS = RECEIPTS.rpartition("/")[0]  # AWS has one address for all texts


# AWS's side of the wire


def model(service: str) -> ServiceModel:
    folder = next((Path(botocore.__file__).parent / "data" / service).iterdir())
    return ServiceModel(json.loads(gzip.decompress((folder / "service-2.json.gz").read_bytes())), service)


VOICE, SNS = model("pinpoint-sms-voice-v2"), model("sns")
SEND_TEXT = VOICE.operation_model("SendTextMessage")
ENUMS = {
    word: name
    for name in VOICE.shape_names
    if name.endswith("ExceptionReason")
    for word in VOICE.shape_for(name).metadata["enum"]
}


def violations(shape: Any, value: Any, where: str = "") -> Iterator[str]:
    """Hold a value against botocore's model: names, types, lengths, limits, patterns and words."""
    if shape.type_name == "structure":
        yield from (f"{where}.{name} is missing" for name in shape.required_members if name not in value)
        yield from (f"{where}.{name} is unknown" for name in value if name not in shape.members)
        parts = [(shape.members[name], part, name) for name, part in value.items() if name in shape.members]
    elif shape.type_name == "map":
        parts = [pair for name, part in value.items() for pair in ((shape.key, name, "key"), (shape.value, part, name))]
    elif shape.type_name == "list":
        parts = [(shape.member, part, "[]") for part in value]
    else:
        parts = []
        yield from _faults(shape, value, where)
    for inner, part, name in parts:
        yield from violations(inner, part, f"{where}.{name}")


def _faults(shape: Any, value: Any, where: str) -> Iterator[str]:
    rules = shape.metadata
    if not isinstance(value, int if shape.type_name == "integer" else str):
        yield f"{where} is no {shape.type_name}"
        return
    size = value if isinstance(value, int) else len(value)
    if not rules.get("min", size) <= size <= rules.get("max", size):
        yield f"{where} is out of bounds"
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        yield f"{where} does not match {rules['pattern']}"
    if value not in rules.get("enum", [value]):
        yield f"{where} is none of {rules['enum']}"


def signature(request: Request, service: str) -> str:
    """Compute the signature (version 4) over what arrived."""
    shown = request.headers["authorization"]
    names = re.search(r"SignedHeaders=([a-z0-9;-]+)", shown)[1]  # type: ignore[index]
    headers = "".join(f"{name}:{request.headers[name]}\n" for name in names.split(";"))
    path, body = urlsplit(request.path).path, hashlib.sha256(request.body).hexdigest()
    canonical = f"{request.method}\n{path}\n\n{headers}\n{names}\n{body}"
    moment = request.headers["x-amz-date"]
    scope = f"{moment[:8]}/{REGION}/{service}/aws4_request"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    said = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.new(key, said.encode(), "sha256").hexdigest()


def refusal(code: str, status: int = 400, **more: Any) -> Response:
    """Answer as End User Messaging does, with the number in its words."""
    body = {"__type": code, "Message": f"{NUMBER} cannot be texted: Rappel", **more}
    return Response(status, json.dumps(body).encode(), {"Content-Type": "application/x-amz-json-1.0"})


def xml(inner: str, status: int = 200) -> Response:
    return Response(status, inner.encode(), {"Content-Type": "text/xml"})


def sns_refusal(code: str, status: int = 400) -> Response:
    words = f"Invalid parameter: PhoneNumber Reason: {NUMBER} is not valid to publish to"
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error>"
    space = 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"'
    return xml(f"<ErrorResponse {space}>{error}<RequestId>9dd01905</RequestId></ErrorResponse>", status)


# What SNS posts, signed with a certificate of ours


def certificate(key: Any, begins: int = -1, ends: int = 1) -> bytes:
    """Return a certificate, as PEM, that holds from and until so many days from now."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    span = made.not_valid_before(now + timedelta(days=begins)).not_valid_after(now + timedelta(days=ends))
    return span.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


PRIVATE = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
PEM = certificate(PRIVATE)
NOTIFIED = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")  # in the order of AWS's documentation
ABOUT = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


def envelope(topic: str, message: str, key: rsa.RSAPrivateKey = PRIVATE, **changes: Any) -> dict[str, Any]:
    whole = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": topic,
        "Message": message,
        "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "SignatureVersion": "1",
        "SigningCertURL": HOME + CERTIFICATE,
        "UnsubscribeURL": f"{HOME}/?Action=Unsubscribe",
        **changes,
    }
    names = NOTIFIED if whole["Type"] == "Notification" else ABOUT
    content = "".join(f"{name}\n{whole[name]}\n" for name in names if whole.get(name) is not None)
    algorithm = hashes.SHA256() if whole["SignatureVersion"] == "2" else hashes.SHA1()
    signed = key.sign(content.encode("utf-8", "replace"), padding.PKCS1v15(), algorithm)
    return whole | {"Signature": base64.b64encode(signed).decode()}


def post(url: str, whole: dict[str, Any]) -> WebhookRequest:
    return WebhookRequest("POST", url, {"content-type": "text/plain; charset=UTF-8"}, json.dumps(whole).encode())


def event(kind: str, message_id: str = "862a8790-60c0-4430-9b2b-658bdexample", **changes: Any) -> str:
    """Return an event as End User Messaging documents it."""
    whole = {
        "eventType": kind,
        "eventVersion": "1.0",
        "eventTimestamp": 1686975103470,
        "isFinal": True,
        "originationPhoneNumber": SENDER,
        "destinationPhoneNumber": NUMBER,
        "isInternationalSend": False,
        "messageId": message_id,
        "messageRequestTimestamp": 1686975103170,
        "messageEncoding": "GSM",
        "messageType": "TRANSACTIONAL",
        "messageStatus": kind.removeprefix("TEXT_"),
        "messageStatusDescription": f"Message to {NUMBER} has been accepted by phone carrier",
        "context": {"reference": REFERENCE},
        "totalMessageParts": 1,
        "totalMessagePrice": 0.09582,
        "totalCarrierFee": 0.0,
    }
    return json.dumps(whole | changes)


def incoming(sender: str, said: str) -> str:
    whole = {
        "originationNumber": sender,
        "destinationNumber": SENDER,
        "messageKeyword": "KEYWORD_123456789012",
        "messageBody": said,
        "inboundMessageId": "cae173d2-66b9-564c-8309-21f858e9fb84",
        "previousPublishedMessageId": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    }
    return json.dumps(whole)


class Home:
    """The SNS of the region, as far as it is asked for certificates and confirmations."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {CERTIFICATE: (200, PEM), CONFIRM: (200, b"<Confirmed/>")}

    def fetch(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        return self.answers.get(path, (404, b""))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home()
    monkeypatch.setattr(Topic, "fetch", lambda _, path: made.fetch(path))
    return made


@pytest.fixture(autouse=True, scope="module")
def _read_models_once() -> Iterator[None]:
    """Spare each of these tests a quarter of a second."""
    read = functools.cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


# The contract


class Contract(ProviderContract):
    """What both services have in common."""

    plug_in = "aws"
    service: ClassVar[str]

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        (folder / "key").write_text(SECRET)
        return {
            "service": self.service,
            "region": REGION,
            "access_key_id": KEY,
            "secret_access_key_file": str(folder / "key"),
            "from": SENDER,
            "replies_topic_arn": REPLY_TOPIC,
            "base_url": url,
        }

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        with Peer() as peer:
            peer.answer = self.yes
            peer.arrived = lambda request: peer.mistakes.extend(self.mistakes(request))  # type: ignore[method-assign]
            yield peer

    def mistakes(self, request: Request) -> Iterator[str]:
        if signature(request, self.service) not in request.headers["authorization"]:
            yield "the signature is not over what arrived"

    def message_id(self, number: int) -> str:
        return f"{number:08x}-60c0-4430-9b2b-658bdexample"

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        return post(url, envelope(REPLY_TOPIC, incoming(sender, text), SignatureVersion="2"))

    signs_address = False  # SNS signs the body, with the topic's name: a topic leads to one address only


class TestAwsSmsVoice(Contract):
    service = "sms-voice"
    refusals: ClassVar = {
        "opted out": (refusal("ConflictException", Reason="DESTINATION_PHONE_NUMBER_OPTED_OUT"), Reason.OPTED_OUT),
        "blocked number": (
            refusal("ConflictException", Reason="DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE"),
            Reason.NUMBER_REFUSED,
        ),
        "body": (
            refusal(
                "ValidationException", Reason="INVALID_PARAMETER", Fields=[{"Name": "MessageBody", "Message": NUMBER}]
            ),
            Reason.CONTENT_REFUSED,
        ),
        "number": (
            refusal(
                "ValidationException",
                Reason="INVALID_PARAMETER",
                Fields=[{"Name": "DestinationPhoneNumber", "Message": f"{NUMBER} is invalid"}],
            ),
            Reason.NOT_SENT,
        ),
        "country": (refusal("ValidationException", Reason="DESTINATION_COUNTRY_BLOCKED"), Reason.NOT_SENT),
        "no sender for the country": (
            refusal("ConflictException", Reason="NO_ORIGINATION_IDENTITIES_FOUND"),
            Reason.NOT_SENT,
        ),
        "sender": (
            refusal("ResourceNotFoundException", ResourceType="phone-number", ResourceId="phone-1"),
            Reason.MISCONFIGURED,
        ),
        "spend": (
            refusal("ServiceQuotaExceededException", Reason="MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
            Reason.MISCONFIGURED,
        ),
        "credentials": (refusal("UnrecognizedClientException"), Reason.MISCONFIGURED),
        "account": (refusal("AccessDeniedException", Reason="ACCOUNT_DISABLED"), Reason.MISCONFIGURED),
        "too many": (refusal("ThrottlingException"), Reason.THROTTLED),
        "internal": (refusal("InternalServerException", 500, RequestId="1"), Reason.AMBIGUOUS),
    }
    unknown_refusal = refusal("UnheardOfException")
    busy = refusal("ThrottlingException")
    receipts: ClassVar = {**EVENTS, "TEXT_ABDUCTED": (None, None), "RCS_READ": (None, None)}

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        return {**super().table(url, folder), "configuration_set": "reminders", "topic_arn": EVENT_TOPIC}

    def mistakes(self, request: Request) -> Iterator[str]:
        yield from super().mistakes(request)
        yield from violations(SEND_TEXT.input_shape, request.json)
        if request.headers["x-amz-target"] != "PinpointSMSVoiceV2.SendTextMessage":
            yield "another operation"

    def yes(self, request: Request, number: int) -> Response:
        return Response.of({"MessageId": self.message_id(number)})

    def validity(self, request: Request) -> timedelta:
        return timedelta(seconds=request.json["TimeToLive"])

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        # One address for all receipts of the account: the path names no attempt, the signed body does.
        base, _, reference = url.rpartition("/")
        return post(base, envelope(EVENT_TOPIC, event(word, message_id, context={"reference": reference})))

    def test_the_answers_of_this_fake_are_those_of_the_model(self) -> None:
        for response, _ in self.refusals.values():
            said = json.loads(response.body)
            shape = VOICE.shape_for_error_code(said.pop("__type"))
            assert shape is None or not list(violations(shape, said))
        parser = parsers.create_parser("json")
        answer = self.yes(Request("POST", "/", {}, b""), 1)
        read = parser.parse({"status_code": 200, "headers": {}, "body": answer.body}, SEND_TEXT.output_shape)
        assert read["MessageId"] == self.message_id(1)


class TestAwsSns(Contract):
    service = "sns"
    refusals: ClassVar = {
        "opted out": (sns_refusal("OptedOut"), Reason.OPTED_OUT),
        "number": (sns_refusal("InvalidParameter"), Reason.NOT_SENT),
        "sender": (sns_refusal("ParameterValueInvalid"), Reason.MISCONFIGURED),
        "not allowed": (sns_refusal("AuthorizationError", 403), Reason.MISCONFIGURED),
        "no permission": (sns_refusal("AccessDenied", 403), Reason.MISCONFIGURED),
        "credentials": (sns_refusal("InvalidClientTokenId", 403), Reason.MISCONFIGURED),
        "key": (sns_refusal("KMSDisabled"), Reason.MISCONFIGURED),
        "too many": (sns_refusal("Throttled", 429), Reason.THROTTLED),
        "too many by code": (sns_refusal("Throttling"), Reason.THROTTLED),
        "internal": (sns_refusal("InternalError", 500), Reason.AMBIGUOUS),
    }
    unknown_refusal = sns_refusal("UnheardOf")
    busy = sns_refusal("Throttled", 429)

    def yes(self, request: Request, number: int) -> Response:
        result = f"<PublishResult><MessageId>{self.message_id(number)}</MessageId></PublishResult>"
        about = "<ResponseMetadata><RequestId>d74b8436</RequestId></ResponseMetadata>"
        space = 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"'
        return xml(f"<PublishResponse {space}>{result}{about}</PublishResponse>")

    def test_sns_reports_nothing(self, provider: Provider, hearer: Provider) -> None:
        assert not provider.capabilities.receipt_carries_reference
        assert not provider.capabilities.validity
        with pytest.raises(Refused):
            hearer.parse_receipt(post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED"))))


# What is special


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as peer:
        peer.answer = lambda _, number: Response.of({"MessageId": f"{number:08x}-60c0-4430"})
        yield peer


def settings(url: str, folder: Path, **changes: Any) -> dict[str, Any]:
    table = TestAwsSmsVoice().table(url, folder) | changes
    return {name: value for name, value in table.items() if value is not None}


@pytest.fixture
def aws(peer: Peer, tmp_path: Path) -> Iterator[Aws]:
    provider = load("aws", settings(peer.url, tmp_path))
    assert isinstance(provider, Aws)
    yield provider
    provider.close()


@pytest.fixture
def hearer(tmp_path: Path) -> Provider:
    return load("aws", settings("http://127.0.0.1:1", tmp_path), Role.HEAR)


@pytest.mark.parametrize(("code", "reason"), CODES.items())
def test_every_known_code_has_one_meaning(peer: Peer, aws: Aws, code: str, reason: Reason) -> None:
    name = next((one for one in VOICE.error_shapes if code in _reasons(one)), None)
    if name is not None:
        peer.respond(refusal(name.name, Reason=code))
    elif code in SEND_TEXT.input_shape.members:
        peer.respond(refusal("ValidationException", Reason="INVALID_PARAMETER", Fields=[{"Name": code}]))
    else:
        peer.respond(refusal(code))
    error = failure(aws)
    assert (type(error), error.reason) == (CLASSES.get(reason, Rejected), reason)


def _reasons(shape: Any) -> list[str]:
    return shape.members["Reason"].metadata["enum"] if "Reason" in shape.members else []


def test_every_code_is_a_word_of_awss() -> None:
    errors = {
        shape.metadata.get("error", {}).get("code", shape.name) for shape in (*VOICE.error_shapes, *SNS.error_shapes)
    }
    common = {  # what any service of AWS may answer (its API references, "Common error types")
        "AccessDenied", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId",
        "InvalidSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
        "NotAuthorized", "OptInRequired", "RequestExpired", "SignatureDoesNotMatch", "Throttling",
        "UnrecognizedClientException",
    }  # fmt: skip
    assert set(CODES) <= errors | common | set(ENUMS) | set(SEND_TEXT.input_shape.members)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (refusal("ValidationException", Reason="NEVER_HEARD_OF"), NotSent),  # whatever it was: it was not valid
        (refusal("UnheardOf", 403), Misconfigured),
        (refusal("UnheardOf", 404), Ambiguous),
        (refusal("ConflictException", 500, Reason="DESTINATION_PHONE_NUMBER_OPTED_OUT"), Ambiguous),
        (refusal("com.amazonaws.sms#ConflictException", Reason="DESTINATION_PHONE_NUMBER_OPTED_OUT"), Rejected),
        (Response(401, b"<html>"), Misconfigured),
        (Response(307, b"", {"Location": "/elsewhere"}), Misconfigured),
        (Response(400, b"{}"), Ambiguous),
        (Response.of({"MessageId": NUMBER}), Ambiguous),
        (Response.of({"MessageId": 5}), Ambiguous),
    ],
)
def test_status_and_code_are_read_together(peer: Peer, aws: Aws, response: Response, expected: type[Exception]) -> None:
    peer.respond(response)
    assert type(failure(aws)) is expected
    assert len(peer.requests) == 1


def test_an_operator_is_told_the_code_and_nothing_else(peer: Peer, aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    quota = refusal("ServiceQuotaExceededException", Reason="MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT")
    for response in (quota, refusal("UnheardOf"), refusal(NUMBER)):
        peer.respond(response)
        failure(aws)
    lines = [json.loads(Formatter().format(record)) for record in caplog.records]
    assert [line["code"] for line in lines] == ["MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT", "UnheardOf", "unknown"]
    assert {(line["event"], line["provider"], line["status"]) for line in lines} == {("provider_answer", "aws", 400)}
    assert not leaks(json.dumps(lines))


def test_nothing_is_logged_even_where_botocore_is_told_to(
    peer: Peer, aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    send(aws)  # all its loggers are there now
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("botocore.")]:
        caplog.set_level(logging.DEBUG, logger=name)
    caplog.set_level(logging.DEBUG)
    send(aws)
    peer.respond(refusal("ValidationException", Reason="CANNOT_PARSE"))
    failure(aws)
    assert caplog.records == []


def test_a_text_says_what_we_mean(peer: Peer, aws: Aws) -> None:
    send(aws, text(body="Привет € 👍"))
    assert peer.accepted[0].json == {
        "DestinationPhoneNumber": NUMBER,
        "OriginationIdentity": SENDER,
        "MessageBody": "Привет € 👍",
        "MessageType": "TRANSACTIONAL",
        "TimeToLive": 7200,
        "Context": {"reference": REFERENCE},
        "ConfigurationSetName": "reminders",
    }
    assert peer.accepted[0].headers["user-agent"] == "reminder-worker"


@pytest.mark.parametrize(("valid_for", "seconds"), [(5, 5), (7200.9, 7200), (259_200, 259_200), (900_000, 259_200)])
def test_the_validity_is_never_longer_than_the_text_is_of_use(
    peer: Peer, aws: Aws, valid_for: float, seconds: int
) -> None:
    send(aws, text(valid_for=timedelta(seconds=valid_for)))
    assert peer.accepted[0].json["TimeToLive"] == seconds


def test_a_text_that_aws_would_try_for_too_long_is_not_sent(peer: Peer, aws: Aws) -> None:
    assert type(failure(aws, text(valid_for=timedelta(seconds=4.9)))) is NotSent
    assert not peer.requests


def test_each_header_is_sent_once(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def call(*_: Any, headers: dict[str, str], **__: Any) -> Any:
        sent.extend(name.lower() for name in headers)
        raise NotSent(Reason.NOT_SENT)

    monkeypatch.setattr(aws._amazon._site, "call", call)
    failure(aws)
    assert not {"host", "content-length", "transfer-encoding"} & set(sent)  # they are the connection's to say
    assert len(sent) == len(set(sent))


def test_what_the_client_refuses_by_itself_is_not_sent(peer: Peer, aws: Aws) -> None:
    assert type(failure(aws, text(body=""))) is NotSent
    assert not peer.requests


def test_an_error_leads_back_to_no_frame_that_holds_a_text(peer: Peer, aws: Aws) -> None:
    for fault in (peer.cut, lambda: peer.respond(refusal("ValidationException"))):
        fault()
        trace = failure(aws).__traceback__
        while trace is not None:
            assert "botocore" not in trace.tb_frame.f_code.co_filename
            trace = trace.tb_next


def test_threads_share_the_client_and_keep_their_deadlines(peer: Peer, aws: Aws) -> None:
    def one(number: int) -> str:
        if number % 4 == 0:
            return type(failure(aws, seconds=-1)).__name__
        return send(aws).provider_message_id

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(one, range(32)))
    assert outcomes.count("NotSent") == 8
    assert len(set(outcomes)) == 25
    assert len(peer.requests) == 24
    assert peer.connections <= 16  # a call that comes too late costs one


def test_a_thread_keeps_nothing_of_its_call(peer: Peer, aws: Aws) -> None:
    send(aws)
    peer.respond(refusal("ValidationException"))
    failure(aws)
    assert vars(aws._amazon._thread) == {}


def test_the_settings_of_the_aws_tools_change_nothing(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[default]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:1\n[profile other]\nmax_attempts = 9\n"
    )
    models = tmp_path / "models" / "pinpoint-sms-voice-v2" / "2099-01-01"
    models.mkdir(parents=True)
    (models / "service-2.json").write_text("{}")
    monkeypatch.setattr(Loader, "CUSTOMER_DATA_PATH", str(tmp_path / "models"))
    for name, value in {
        "AWS_PROFILE": "nowhere",
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(config),
        "AWS_ACCESS_KEY_ID": "AKIAELSEWHERE0000000",
        "AWS_SECRET_ACCESS_KEY": "elsewhere",
        "AWS_SESSION_TOKEN": "elsewhere",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_RETRY_MODE": "adaptive",
        "AWS_DEFAULTS_MODE": "auto",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_CA_BUNDLE": " ",
        "REQUESTS_CA_BUNDLE": " ",
        "AWS_DATA_PATH": str(tmp_path),
        "AWS_CSM_ENABLED": "true",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    provider = load("aws", settings(peer.url, tmp_path))
    send(provider)
    request = peer.requests[0]
    assert f"Credential={KEY}/" in request.headers["authorization"]
    assert signature(request, "sms-voice") in request.headers["authorization"]
    peer.respond(refusal("InternalServerException", 500))
    failure(provider)
    assert len(peer.requests) == 2


ROLE = {
    "role_name": "reminders",
    "access_key": "ASIAROLE000000000000",
    "secret_key": "role-secret",
    "token": "role-token",
    "expiry_time": "2099-01-01T00:00:00Z",
}


def test_without_a_key_the_role_of_the_machine_is_asked_until_it_is_there(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, str] = {}
    fetcher = "botocore.utils.InstanceMetadataFetcher.retrieve_iam_role_credentials"
    monkeypatch.setattr(fetcher, lambda _: dict(found))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAELSEWHERE0000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "elsewhere")
    provider = load("aws", settings(peer.url, tmp_path, access_key_id=None, secret_access_key_file=None))
    assert type(failure(provider)) is Misconfigured
    assert not peer.requests
    found.update(ROLE)
    send(provider)
    assert "Credential=ASIAROLE000000000000/" in peer.requests[0].headers["authorization"]
    assert peer.requests[0].headers["x-amz-security-token"] == "role-token"


def test_a_role_that_was_taken_away_needs_an_operator(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = {**ROLE, "expiry_time": soon}
    fetcher = "botocore.utils.InstanceMetadataFetcher.retrieve_iam_role_credentials"
    monkeypatch.setattr(fetcher, lambda _: dict(found))
    provider = load("aws", settings(peer.url, tmp_path, access_key_id=None, secret_access_key_file=None))
    assert isinstance(provider, Aws)
    provider._amazon.connect(None)
    found.clear()
    assert type(failure(provider)) is Misconfigured
    assert not peer.requests


def test_a_role_is_asked_for_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    machine = _session().get_component("credential_provider").providers[-1]
    assert machine._role_fetcher._disabled is False


def test_each_region_has_its_own_address(tmp_path: Path) -> None:
    assert (
        load("aws", settings("", tmp_path, base_url=None))._amazon._url == "https://sms-voice.eu-west-1.amazonaws.com"
    )  # type: ignore[attr-defined]
    china = {"service": "sns", "region": "cn-north-1", "configuration_set": None, "topic_arn": None, "base_url": None}
    assert load("aws", settings("", tmp_path, **china))._amazon._url == "https://sns.cn-north-1.amazonaws.com.cn"  # type: ignore[attr-defined]


def test_a_base_url_may_have_a_path(peer: Peer, tmp_path: Path) -> None:
    send(load("aws", settings(f"{peer.url}/aws", tmp_path)))
    assert peer.requests[0].path == "/aws/"


def test_hearing_needs_neither_a_key_nor_the_client(tmp_path: Path) -> None:
    table = settings("http://127.0.0.1:1", tmp_path)
    (tmp_path / "key").unlink()
    program = f"""
import sys
from reminder_worker.providers import Role, load
load("aws", {table!r}, Role.HEAR)
print(*[name for name in ("boto3", "botocore.session", "botocore.client") if name in sys.modules])
"""
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"region": "secret"}, ".region: "),
        ({"region": None}, ".region: "),
        ({"service": "secret"}, ".service: "),
        ({"access_key_id": "secret"}, ".access_key_id: "),
        ({"access_key_id": None}, ": set both access_key_id"),
        ({"secret_access_key_file": None}, ": set both access_key_id"),
        ({"secret_access_key_file": "/no/such/secret"}, ".secret_access_key_file: "),
        ({"secret_access_key": "secret"}, ".secret_access_key: "),
        ({"from": None}, ": set from"),
        ({"from": "sec ret"}, ".from: "),
        ({"configuration_set": "sec ret"}, ".configuration_set: "),
        ({"topic_arn": "arn:aws:sqs:eu-west-1:123456789012:secret"}, ".topic_arn: "),
        ({"replies_topic_arn": "secret"}, ".replies_topic_arn: "),
        ({"base_url": "http://aws.secret.example"}, ".base_url: "),
        ({"service": "sns"}, ": configuration_set and topic_arn need"),
        ({"service": "sns", "topic_arn": None}, ": configuration_set and topic_arn need"),
        ({"service": "sns", "configuration_set": None, "topic_arn": None, "from": "-secret"}, ": from must be"),
        ({"service": "sns", "configuration_set": None, "topic_arn": None, "from": "pool/secret"}, ": from must be"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load("aws", settings("http://127.0.0.1:1", tmp_path, **changes))
    assert str(caught.value).startswith(f"providers.aws{expected}")
    assert "secret" not in str(caught.value).replace("secret_access_key", "")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("missing", ["topic_arn", "configuration_set"])
def test_without_a_way_for_receipts_none_is_waited_for(tmp_path: Path, missing: str) -> None:
    can = load("aws", settings("http://127.0.0.1:1", tmp_path, **{missing: None})).capabilities
    assert (can.receipt_carries_reference, can.settles) == (False, False)


# What SNS brings


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [None, "", "Text Message Event"])
def test_both_versions_of_the_signature_are_believed(hearer: Provider, version: str, subject: str | None) -> None:
    whole = envelope(EVENT_TOPIC, event("TEXT_DELIVERED"), SignatureVersion=version, Subject=subject)
    expected = Receipt(REFERENCE, State.DELIVERED, "862a8790-60c0-4430-9b2b-658bdexample", None)
    assert hearer.parse_receipt(post(ACCOUNT_RECEIPTS, whole)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"TopicArn": EVENT_TOPIC.replace("123456789012", "210987654321")},  # genuine, of another customer of AWS
        {"TopicArn": REPLY_TOPIC},
        {"SigningCertURL": f"https://sns.{REGION}.amazonaws.com.evil.example{CERTIFICATE}"},
        {"SigningCertURL": f"https://evil.example{CERTIFICATE}"},
        {"SigningCertURL": f"https://sns.{REGION}.amazonaws.com@evil.example{CERTIFICATE}"},
        {"SigningCertURL": f"https://sns.{REGION}.amazonaws.com:8443{CERTIFICATE}"},
        {"SigningCertURL": f"https://sns.us-east-1.amazonaws.com{CERTIFICATE}"},  # another region's
        {"SigningCertURL": f"http://sns.{REGION}.amazonaws.com{CERTIFICATE}"},
        {"SigningCertURL": f"{HOME}/bucket/..{CERTIFICATE}"},
        {"SigningCertURL": f"{HOME}/other.pem"},
        {"SigningCertURL": f"{HOME}{CERTIFICATE}?x=1"},
        {"SigningCertURL": f"{HOME}{CERTIFICATE}\n"},
        {"SigningCertURL": CERTIFICATE},
        {"SigningCertURL": ""},
        {"SignatureVersion": "3"},
        {"Type": "Other"},
        {"Timestamp": "2020-01-01T00:00:00.000Z"},
        {"Timestamp": "2099-01-01T00:00:00.000Z"},
        {"Timestamp": "soon"},
        {"Timestamp": "0001-01-01T00:00:00+23:00"},
    ],
    ids=str,
)
def test_what_is_signed_otherwise_is_not_believed(hearer: Provider, home: Home, changes: dict[str, str]) -> None:
    home.answers["/other.pem"] = home.answers[f"{CERTIFICATE}?x=1"] = (200, PEM)
    with pytest.raises(Refused):
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED"), **changes)))
    assert not [path for path in home.asked if path != CERTIFICATE]


def test_what_came_an_hour_late_is_taken_and_after_that_it_is_a_replay(hearer: Provider) -> None:
    for minutes, fresh in ((65, True), (130, False), (-130, False)):
        moment = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
        request = post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED"), Timestamp=moment))
        if fresh:
            assert hearer.parse_receipt(request).state is State.DELIVERED
        else:
            with pytest.raises(Refused):
                hearer.parse_receipt(request)


def test_another_key_is_not_believed(hearer: Provider) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED"), OTHER)))
    assert caught.value.reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "pem",
    [
        certificate(PRIVATE, begins=-3, ends=-1),
        certificate(PRIVATE, begins=1, ends=3),
        certificate(ec.generate_private_key(ec.SECP256R1())),
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"<html>",
        b"",
    ],
    ids=["over", "not yet", "not RSA", "damaged", "HTML", "empty"],
)
def test_a_certificate_that_proves_nothing_is_refused(hearer: Provider, home: Home, pem: bytes) -> None:
    home.answers[CERTIFICATE] = (200, pem)
    with pytest.raises(Refused):
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED"))))


def test_a_certificate_is_fetched_once(hearer: Provider, home: Home) -> None:
    for _ in range(3):
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED"))))
    assert home.asked == [CERTIFICATE]


@pytest.mark.parametrize(("status", "expected"), [(500, NotSent), (503, NotSent), (302, NotSent), (404, Refused)])
def test_a_certificate_that_cannot_be_had_now_lets_sns_come_again(
    hearer: Provider, home: Home, status: int, expected: type[Exception]
) -> None:
    request = post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED")))
    home.answers[CERTIFICATE] = (status, b"")
    with pytest.raises(expected):
        hearer.parse_receipt(request)
    home.answers[CERTIFICATE] = (200, PEM)
    assert hearer.parse_receipt(request).state is State.DELIVERED


def test_a_certificate_is_fetched_over_our_own_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    topic = Topic(EVENT_TOPIC, 0.2)
    asked: list[tuple[Any, ...]] = []

    def call(method: str, path: str, *, headers: dict[str, str], deadline: float) -> Any:
        asked.append((method, path, headers, deadline - time.monotonic() <= 0.2))
        return type("Answer", (), {"status": 200, "body": PEM})

    monkeypatch.setattr(topic._site, "call", call)
    assert topic.fetch(CERTIFICATE) == (200, PEM)
    assert asked == [("GET", CERTIFICATE, {}, True)]
    assert topic._site._url.geturl() == HOME


def confirmation(kind: str = "SubscriptionConfirmation", url: str = HOME + CONFIRM, topic: str = EVENT_TOPIC) -> Any:
    return envelope(topic, "You have chosen to subscribe", Type=kind, SubscribeURL=url, Token="2336412f37")


def test_a_subscription_is_confirmed_by_visiting_it(hearer: Provider, home: Home) -> None:
    assert hearer.parse_receipt(post(ACCOUNT_RECEIPTS, confirmation())) == Receipt("", None)
    assert home.asked == [CERTIFICATE, CONFIRM]


def test_a_subscription_to_replies_is_confirmed_and_is_a_reply_of_nobody(hearer: Provider, home: Home) -> None:
    path = CONFIRM.replace(EVENT_TOPIC, REPLY_TOPIC)
    home.answers[path] = (200, b"")
    assert hearer.parse_reply(post(REPLIES, confirmation(url=HOME + path, topic=REPLY_TOPIC))) == Reply("", "")
    assert home.asked == [CERTIFICATE, path]


def test_a_confirmation_that_did_not_work_is_tried_again_by_sns(hearer: Provider, home: Home) -> None:
    home.answers[CONFIRM] = (500, b"")
    with pytest.raises(NotSent):
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, confirmation()))


def test_the_end_of_a_subscription_is_no_receipt_and_is_not_undone(hearer: Provider, home: Home) -> None:
    assert hearer.parse_receipt(post(ACCOUNT_RECEIPTS, confirmation("UnsubscribeConfirmation"))) == Receipt("", None)
    assert home.asked == [CERTIFICATE]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?Action=ConfirmSubscription&x=1",
        f"https://sns.{REGION}.amazonaws.com.evil.example/?Action=ConfirmSubscription&x=1",
        f"http://sns.{REGION}.amazonaws.com/?Action=ConfirmSubscription&x=1",
        f"{HOME}/?Action=DeleteTopic&TopicArn={EVENT_TOPIC}",
        None,
    ],
)
def test_nothing_else_is_visited(hearer: Provider, home: Home, url: str | None) -> None:
    with pytest.raises(Refused):
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, confirmation(url=url)))  # type: ignore[arg-type]
    assert home.asked == [CERTIFICATE]


def test_a_forged_subscription_is_not_visited(hearer: Provider, home: Home) -> None:
    whole = confirmation() | {"Token": "another"}
    with pytest.raises(Refused):
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, whole))
    assert home.asked == [CERTIFICATE]


def test_a_topic_serves_one_purpose(hearer: Provider) -> None:
    with pytest.raises(Refused):
        hearer.parse_reply(post(REPLIES, envelope(EVENT_TOPIC, incoming(NUMBER, "STOP"))))
    with pytest.raises(Refused):
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, envelope(REPLY_TOPIC, event("TEXT_DELIVERED"))))


def test_a_receipt_for_one_attempt_says_nothing_of_another(hearer: Provider) -> None:
    request = post(RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED")))
    assert hearer.parse_receipt(replace(request, reference=REFERENCE)).state is State.DELIVERED
    with pytest.raises(Refused):
        hearer.parse_receipt(replace(request, reference=REFERENCE[:-1] + "x"))


@pytest.mark.parametrize("context", [{}, {"account": "bar"}, {"reference": ""}, {"reference": "not one of ours"}])
def test_an_event_of_another_program_says_nothing(hearer: Provider, context: dict[str, str]) -> None:
    request = post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, event("TEXT_DELIVERED", context=context)))
    assert hearer.parse_receipt(request) == Receipt("", None, "862a8790-60c0-4430-9b2b-658bdexample")


@pytest.mark.parametrize("message", ["", "{", "[]", "{}", "hello", '{"eventType": 5}', "\ud800", "[" * 60_000])
def test_a_genuine_message_that_is_no_event_is_malformed(hearer: Provider, message: str) -> None:
    with pytest.raises(Refused) as caught:
        hearer.parse_receipt(post(ACCOUNT_RECEIPTS, envelope(EVENT_TOPIC, message)))
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("sender", ["", "33612340015", "12345", "+33 6", "Clinic", "+0612340015"])
def test_a_reply_comes_from_a_number(hearer: Provider, sender: str) -> None:
    with pytest.raises(Refused):
        hearer.parse_reply(post(REPLIES, envelope(REPLY_TOPIC, incoming(sender, "STOP"))))


def test_every_kind_of_event_for_texts_has_a_meaning() -> None:
    kinds = {word for word in VOICE.shape_for("EventType").metadata["enum"] if word.startswith("TEXT_")}
    assert set(EVENTS) == kinds - {"TEXT_ALL"}


# SNS as moto has it


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def sns(url: str, folder: Path, **changes: Any) -> Provider:
    plain = {"service": "sns", "configuration_set": None, "topic_arn": None}
    return load("aws", settings(url, folder, **plain, **changes))


def test_moto_takes_a_text(moto: str, tmp_path: Path) -> None:
    sent = send(sns(moto, tmp_path))
    kept = sns_backends["123456789012"][REGION].sms_messages[sent.provider_message_id]
    assert kept == (NUMBER, text().body)


@pytest.mark.parametrize(
    ("sender", "attributes"),
    [
        (SENDER, {"AWS.MM.SMS.OriginationNumber": SENDER}),
        ("12345", {"AWS.MM.SMS.OriginationNumber": "12345"}),
        ("Clinic-1", {"AWS.SNS.SMS.SenderID": "Clinic-1"}),
        (None, {}),
    ],
)
def test_sns_is_told_who_a_text_is_from(
    peer: Peer, tmp_path: Path, sender: str | None, attributes: dict[str, str]
) -> None:
    peer.answer = TestAwsSns().yes
    send(sns(peer.url, tmp_path, **{"from": sender}))
    form = peer.accepted[0].form
    entries = {name.rpartition(".")[0]: value for name, value in form.items() if name.endswith(".Name")}
    said = {name: form[f"{entry}.Value.StringValue"] for entry, name in entries.items()}
    assert said == {"AWS.SNS.SMS.SMSType": "Transactional", **attributes}
    assert form["Message"] == text().body


def test_moto_refuses_a_number_that_is_none(moto: str, tmp_path: Path) -> None:
    assert type(failure(sns(moto, tmp_path), text(to="+3361234abcd"))) is NotSent


def test_moto_has_a_list_of_those_who_opted_out_and_publishing_does_not_look_at_it(moto: str, tmp_path: Path) -> None:
    opted_out = sns_backends["123456789012"][REGION].opt_out_numbers[0]
    assert send(sns(moto, tmp_path), text(to=opted_out)).segments == 1


def test_its_receipts_are_read_in_a_thread_for_a_certificate_may_have_to_be_fetched(tmp_path):
    assert load("aws", settings("http://127.0.0.1:1", tmp_path)).capabilities.fetches_to_verify
