"""AWS: End User Messaging SMS, or SNS, and the tables from their codes and events to ours.

Neither service deduplicates or finds a text again. End User Messaging echoes our reference in its events
(``Context``), which come through an SNS topic to one address for all texts; SNS by itself reports nothing. AWS's own
words never leave this module: they hold the number. ``amazon`` calls AWS; ``topics`` decides which of its calls to
believe.
"""

import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from pydantic import AfterValidator, Field, model_validator

from reminder_worker import answers
from reminder_worker.errors import Reason, ReminderError
from reminder_worker.https import check_url
from reminder_worker.job import State
from reminder_worker.providers import (
    Capabilities,
    Provider,
    Receipt,
    Reply,
    Role,
    Sent,
    Table,
    Text,
    read_secret,
    read_table,
)
from reminder_worker.webhooks import WebhookRequest, forged, malformed
from reminder_worker.wire.amazon import Amazon, Answered, host
from reminder_worker.wire.topics import Arn, Topic

LONGEST = 259_200  # seconds; TimeToLive is 5 to 259200; below that nothing is sent: the client refuses it

# From AWS's codes to ours, for answers that refuse (4xx); the ``Reason`` inside an exception counts before its name.
# What is not here is judged by its status. A number that AWS does not accept is NOT_SENT: others have reached such.
_CODES: Mapping[Reason, str] = {
    Reason.OPTED_OUT: "DESTINATION_PHONE_NUMBER_OPTED_OUT OptedOut",
    Reason.NUMBER_REFUSED: "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE",  # by the operator
    Reason.CONTENT_REFUSED: "MessageBody MAXIMUM_SIZE_EXCEEDED",
    # This account or sender cannot reach this number, or the request was not valid: certainly nothing was accepted.
    Reason.NOT_SENT: """
        ConflictException ValidationException InvalidParameter DestinationPhoneNumber
        COUNTRY_CODE_MISMATCH COUNTRY_NOT_ENABLED DESTINATION_COUNTRY_BLOCKED
        DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION DESTINATION_PHONE_NUMBER_NOT_VERIFIED
        INTERNATIONAL_SENDING_NOT_SUPPORTED INVALID_IDENTITY_FOR_DESTINATION_COUNTRY NO_ORIGINATION_IDENTITIES_FOUND
        PRICE_OVER_THRESHOLD SENDER_ID_NOT_REGISTERED SENDER_ID_NOT_SUPPORTED SENDER_ID_REQUIRES_REGISTRATION""",
    Reason.THROTTLED: "ThrottlingException Throttling Throttled KMSThrottling",
    Reason.MISCONFIGURED: """
        AccessDenied AccessDeniedException AuthorizationError NotAuthorized OptInRequired
        INSUFFICIENT_ACCOUNT_REPUTATION ACCOUNT_DISABLED CHANNEL_NOT_ENABLED
        ExpiredToken ExpiredTokenException IncompleteSignature InvalidClientTokenId InvalidSecurity
        InvalidSignatureException MissingAuthenticationToken MissingAuthenticationTokenException RequestExpired
        SignatureDoesNotMatch UnrecognizedClientException
        ServiceQuotaExceededException MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT
        ConfigurationSetName Context OriginationIdentity TimeToLive ParameterValueInvalid INVALID_ARN
        MESSAGE_TYPE_MISMATCH NUMBER_CAPABILITIES_MISMATCH PHONE_NUMBER_NOT_IN_REGISTRATION_REGION
        REGISTRATION_NOT_COMPLETE RESOURCE_NOT_ACCESSIBLE RESOURCE_NOT_ACTIVE ResourceNotFoundException
        KMSAccessDenied KMSDisabled KMSInvalidState KMSNotFound KMSOptInRequired""",
}
CODES: Mapping[str, Reason] = {code: reason for reason, codes in _CODES.items() for code in codes.split()}

# What End User Messaging reports about a text. SUCCESSFUL: the carrier took it; UNKNOWN: nothing more is known.
EVENTS: Mapping[str, tuple[State, Reason | None]] = {
    **dict.fromkeys(("TEXT_QUEUED", "TEXT_PENDING", "TEXT_SENT", "TEXT_SUCCESSFUL"), (State.SENT, None)),
    "TEXT_UNKNOWN": (State.SENT, None),
    "TEXT_DELIVERED": (State.DELIVERED, None),
    "TEXT_INVALID": (State.UNDELIVERED, Reason.NUMBER_REFUSED),
    "TEXT_BLOCKED": (State.UNDELIVERED, Reason.NUMBER_REFUSED),  # to this phone
    "TEXT_INVALID_MESSAGE": (State.UNDELIVERED, Reason.CONTENT_REFUSED),
    "TEXT_CARRIER_BLOCKED": (State.UNDELIVERED, Reason.CONTENT_REFUSED),
    "TEXT_SPAM": (State.UNDELIVERED, Reason.CONTENT_REFUSED),
    "TEXT_UNREACHABLE": (State.UNDELIVERED, Reason.UNREACHABLE),
    "TEXT_TTL_EXPIRED": (State.UNDELIVERED, Reason.VALIDITY_OVER),
    "TEXT_CARRIER_UNREACHABLE": (State.UNDELIVERED, Reason.CARRIER_FAILED),
    "TEXT_PROTECT_BLOCKED": (State.UNDELIVERED, Reason.CARRIER_FAILED),
}

_CLIENTS = {"sms-voice": "pinpoint-sms-voice-v2", "sns": "sns"}  # botocore's names
_SENDER = re.compile(r"\+?[0-9]{4,15}|(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9-]{0,9}[A-Za-z0-9])?", re.ASCII)  # of SNS
_NUMBER = re.compile(r"\+[1-9][0-9]{4,14}", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_MESSAGE_ID = re.compile(r"[A-Za-z0-9-]{8,64}", re.ASCII)
_LOG = logging.getLogger(__name__)


class _Settings(Table):
    service: Literal["sms-voice", "sns"] = Field(default="sms-voice", description="which of two services; see below")
    region: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", title="a region", description="the sender's region, such as `eu-west-1`"
    )
    access_key_id: str | None = Field(
        default=None,
        pattern=r"^[A-Z0-9]{16,128}$",
        title="16 to 128 capital letters and digits",
        description="a key of a user who may do `sms-voice:SendTextMessage` (or `sns:Publish`) and nothing else",
        json_schema_extra={"default": "the role of the container or machine"},
    )
    secret_access_key_file: Path | None = Field(
        default=None, description="its secret; only the worker reads it. Needed with `access_key_id`"
    )
    sender: str | None = Field(
        default=None,
        alias="from",
        pattern=r"^[A-Za-z0-9_:/+-]{1,256}$",
        title="up to 256 of letters, digits and _ : / + -",
        description="a number, its id or ARN, a sender ID, or a pool. With `sns`: a number or sender ID, or nothing",
    )
    configuration_set: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_:/-]{1,256}$",
        title="up to 256 of letters, digits and _ : / -",
        description="the set whose event destination is the topic",
    )
    topic_arn: Arn | None = Field(default=None, description="the SNS topic that events come through")
    replies_topic_arn: Arn | None = Field(default=None, description="a second topic, for incoming texts")
    base_url: Annotated[str, AfterValidator(check_url)] | None = Field(
        default=None,
        description="an address other than the region's",
        json_schema_extra={"default": "`https://sms-voice.<region>.amazonaws.com` or `https://sns.…`"},
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key_file is None):
            raise ValueError("set both access_key_id and secret_access_key_file, or neither for the machine's role")
        if self.service == "sms-voice" and self.sender is None:
            raise ValueError("set from, or the service sns")
        if self.service == "sns" and (self.configuration_set or self.topic_arn):
            raise ValueError("configuration_set and topic_arn need the service sms-voice: sns reports nothing")
        if self.service == "sns" and not _SENDER.fullmatch(self.sender or "0000"):
            raise ValueError("from must be a number of yours, or 1 to 11 letters and digits")
        return self


class Aws(Provider):
    """One AWS account in one region; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        self.name = name
        self.sender = settings.sender or ""
        receipts = settings.configuration_set is not None and settings.topic_arn is not None
        self.capabilities = Capabilities(
            receipt_carries_reference=receipts,
            fetches_to_verify=True,
            validity=settings.service == "sms-voice",
        )
        self._settings = settings
        url = settings.base_url or f"https://{host(settings.service, settings.region)}"
        self._amazon = Amazon(_CLIENTS[settings.service], settings.region, url)
        self._receipts: Topic | None = None
        self._replies: Topic | None = None

    def prepare(self, role: Role) -> None:
        """Read the key that sends. AWS signs its calls to us with its own certificate, which takes no secret."""
        settings = self._settings
        if role is Role.HEAR:
            topics = [arn and Topic(arn, settings.timeout) for arn in (settings.topic_arn, settings.replies_topic_arn)]
            self._receipts, self._replies = (topic or None for topic in topics)
        elif settings.secret_access_key_file is not None:
            secret = read_secret(self.name, "secret_access_key_file", settings.secret_access_key_file)
            self._amazon.connect((settings.access_key_id or "", secret))

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Send one text, once; see ``Provider.send``."""
        settings = self._settings
        operation, parameters = (_publish if settings.service == "sns" else _send)(settings, text)
        answer = self._amazon.call(operation, parameters, min(deadline, time.monotonic() + settings.timeout))
        message_id = str(answer.content.get("MessageId", ""))
        if not _MESSAGE_ID.fullmatch(message_id):
            raise self._judge(answer)
        return Sent(message_id, text.segments)

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read an event, or confirm our subscription. The path names no attempt: the signed event does."""
        event = _heard(self._receipts, request, _Event)
        if event is None:
            return Receipt("", None)
        reference = event.context.get("reference", "")
        if request.reference not in {"", reference}:
            raise forged()
        message_id = event.message_id if _MESSAGE_ID.fullmatch(event.message_id) else ""
        if not _REFERENCE.fullmatch(reference):
            return Receipt("", None, message_id)  # from another program in this account
        state, reason = EVENTS.get(event.event_type, (None, None))
        return Receipt(reference, state, message_id, reason)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an incoming text, or confirm our subscription: that returns an empty reply from nobody."""
        incoming = _heard(self._replies, request, _Incoming)
        if incoming is None:
            return Reply("", "")
        if not _NUMBER.fullmatch(incoming.origination_number):
            raise malformed()
        return Reply(incoming.origination_number, incoming.message_body, incoming.inbound_message_id or "")

    def close(self) -> None:
        """Close the idle connections."""
        self._amazon.close()

    def _judge(self, answer: Answered) -> ReminderError:
        """Turn a refusal into one of our errors, and log what only an operator can fix."""
        code, known = _known(answer.content)
        reason = answers.judge(answer.status, known)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            _LOG.warning("provider_answer", extra={"provider": self.name, "status": answer.status, "code": code})
        return answers.error(reason, answer.retry_after)


def _send(settings: _Settings, text: Text) -> tuple[str, dict[str, Any]]:
    """Return the call to End User Messaging, which chooses GSM or Unicode by the text alone."""
    parameters: dict[str, Any] = {
        "DestinationPhoneNumber": text.to,
        "OriginationIdentity": settings.sender,
        "MessageBody": text.body,
        "MessageType": "TRANSACTIONAL",
        "TimeToLive": min(int(text.valid_for.total_seconds()), LONGEST),
        "Context": {"reference": text.reference},
    }
    if settings.configuration_set is not None:
        parameters["ConfigurationSetName"] = settings.configuration_set
    return "send_text_message", parameters


def _publish(settings: _Settings, text: Text) -> tuple[str, dict[str, Any]]:
    """Return the call to SNS."""
    said = {"AWS.SNS.SMS.SMSType": "Transactional"}
    if settings.sender is not None:
        number = settings.sender.removeprefix("+").isdigit()
        said["AWS.MM.SMS.OriginationNumber" if number else "AWS.SNS.SMS.SenderID"] = settings.sender
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in said.items()}
    return "publish", {"PhoneNumber": text.to, "Message": text.body, "MessageAttributes": attributes}


def _known(response: Mapping[str, Any]) -> tuple[str, Reason | None]:
    """Return the most exact word for a refusal that is in the table: its reason, the field at fault, or its name."""
    name = response.get("Error", {}).get("Code", "")
    words = [response.get("Reason"), *(fault.get("Name") for fault in response.get("Fields", ())), name]
    shown = name if re.fullmatch(r"[A-Za-z]{1,64}", str(name), re.ASCII) else "unknown"
    known = next((word for word in words if word in CODES), shown)
    return known, CODES.get(known)


class _Event(msgspec.Struct, rename="camel", frozen=True):
    event_type: str
    message_id: str = ""
    context: dict[str, str] = {}


class _Incoming(msgspec.Struct, rename="camel", frozen=True):
    origination_number: str
    message_body: str
    inbound_message_id: str | None = None


T = TypeVar("T")


def _heard(topic: Topic | None, request: WebhookRequest, shape: type[T]) -> T | None:
    """Return the content of a topic's message; None if it is about the subscription. Raises Refused."""
    if topic is None:
        raise malformed()
    message = topic.read(request)
    content = None if message is None else answers.read(message.encode(), shape)
    if message is not None and content is None:
        raise malformed()
    return content
