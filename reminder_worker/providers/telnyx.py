"""Telnyx: one JSON call for each text, and webhooks signed with a key that cannot send.

Telnyx does not deduplicate, and finds a message only by its own id: an Ambiguous attempt is resolved by the
receipt, whose URL carries the reference. The signature covers time and body, not the address; the body names the
address that the receipt was meant for, and that decides which attempt it is for. Telnyx's own words never leave this
module: they hold the number.
"""

import base64
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from pydantic import AfterValidator, Field, model_validator

from reminder_worker import answers
from reminder_worker.errors import NotSent, Reason, ReminderError
from reminder_worker.https import Answer, Site, check_url
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
    receipt_url,
)
from reminder_worker.segments import Encoding, measure
from reminder_worker.webhooks import WebhookRequest, check_path, forged, from_base64, malformed

STALE = 300  # seconds between signing and arriving, either way; what Telnyx's own libraries allow

# What an operator has to fix: settings (URL, parameter, resource, profile), credentials and rights, the key, the
# account (blocked, unverified, without funds), the sender, the profile (disabled, without destinations, spent).
_OPERATOR = (
    *(10003, 10004, 10005, 10006, 10009, 10010, 10038, 10039, 20001, 20002, 20003, 20006, 20008),
    *(20012, 20013, 20014, 20015, 20016, 20017, 20100, 40314, 40100, 40150, 40151, 40155, 40329, 40330),
    *(40305, 40306, 40307, 40315, 40320, 40321, 40323, 40325, 40311, 40312, 40313, 40331, 40333),
)
# From Telnyx's codes to ours, for answers that refuse (4xx). What is not here is judged by its status.
CODES: Mapping[int, Reason] = {
    # The number or the text, whoever carries it
    40300: Reason.OPTED_OUT,
    40310: Reason.NUMBER_REFUSED,
    # Too many segments, empty, prohibited, longer than recommended
    **dict.fromkeys((40302, 40316, 40322, 40328), Reason.CONTENT_REFUSED),
    # Sender and number do not match, region not enabled: another provider may. Not well-formed, so not carried out
    **dict.fromkeys((40301, 40309, 40319, 10015, 10027), Reason.NOT_SENT),
    # Too many requests, the queue is full
    **dict.fromkeys((10011, 40318), Reason.THROTTLED),
    **dict.fromkeys(_OPERATOR, Reason.MISCONFIGURED),
}
# An address is wrong, and only the pointer beside the code says which.
ADDRESS_CODES = frozenset({10001, 10002, 10016})
ADDRESSES: Mapping[str | None, Reason] = {"/to": Reason.NUMBER_REFUSED, "/from": Reason.MISCONFIGURED}

# What Telnyx reports about a text.
STATUSES: Mapping[str | None, State] = {
    # Unconfirmed: handed on, and the carrier never said more
    **dict.fromkeys(("queued", "sending", "sent", "delivery_unconfirmed"), State.SENT),
    "delivered": State.DELIVERED,
    **dict.fromkeys(("sending_failed", "delivery_failed", "expired"), State.UNDELIVERED),
}
# Why it did not arrive; what is not here is "carrier_failed". 40300 is not here: in receipts it may mean "unreachable".
FAILURES: Mapping[int, Reason] = {
    40001: Reason.LANDLINE,  # or not routable
    **dict.fromkeys((40012, 40310), Reason.NUMBER_REFUSED),
    40006: Reason.UNREACHABLE,
    **dict.fromkeys((40005, 40014), Reason.VALIDITY_OVER),
    **dict.fromkeys((40002, 40003, 40009, 40015, 40017, 40322), Reason.CONTENT_REFUSED),  # spam, or unreadable
    **dict.fromkeys((40010, 40013, 40019, 40329, 40330), Reason.MISCONFIGURED),  # the sender, or its registration
}

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_LOG = logging.getLogger(__name__)


class _Fault(msgspec.Struct):
    code: str | int = ""
    title: str | None = None
    source: dict[str, str | None] | None = None


class _Message(msgspec.Struct):
    id: str
    parts: int | None = None


class _Answer(msgspec.Struct):
    data: _Message | None = None
    errors: list[_Fault] = []


class _Address(msgspec.Struct):
    phone_number: str = ""
    status: str | None = None


class _Payload(msgspec.Struct):
    id: str
    sender: _Address | None = msgspec.field(name="from", default=None)
    to: list[_Address] = []
    text: str | None = None
    errors: list[_Fault] | None = None
    webhook_url: str | None = None


class _Data(msgspec.Struct):
    event_type: str
    payload: _Payload


class _Event(msgspec.Struct):
    data: _Data


def _public_key(text: str) -> str:
    try:
        VerifyKey(base64.b64decode(text, validate=True))
    except ValueError:
        raise ValueError("must be the account's public key as Telnyx shows it: 32 bytes in base64") from None
    return text


class _Settings(Table):
    api_key_file: Path = Field(description="the API key; only the worker reads it")
    public_key: Annotated[str, AfterValidator(_public_key)] = Field(
        description='from the portal, "Keys & Credentials": it verifies webhooks and is no secret'
    )
    sender: str | None = Field(
        default=None,
        alias="from",
        pattern=r"^(\+[0-9]{5,15}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11})$",
        title="`+` and a number, a short code, or a name, up to 11",
        description="the sender: a number, a short code, or a name of up to 11 letters and digits",
        json_schema_extra={"default": "the profile's number pool chooses"},
    )
    messaging_profile_id: str | None = Field(
        default=None, pattern=r"^[0-9a-fA-F-]{36}$", title="a UUID", description="needed for a name, and without `from`"
    )
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://api.telnyx.com", description="where its API is"
    )

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.messaging_profile_id is None and re.search("[A-Za-z]", self.sender or "sender"):
            raise ValueError("set from to a number, or messaging_profile_id (with or without from)")
        return self


class Telnyx(Provider):
    """One Telnyx account; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        receipts = settings.callback_url is not None
        self.name = name
        self.sender = settings.sender or settings.messaging_profile_id or ""
        self.capabilities = Capabilities(
            receipt_carries_reference=receipts,
        )
        self._settings = settings
        self._signer = VerifyKey(base64.b64decode(settings.public_key))
        self._key = ""
        self._site = Site(settings.base_url)

    def prepare(self, role: Role) -> None:
        """Read the key that sends; hearing needs none."""
        if role is Role.SEND:
            self._key = read_secret(self.name, "api_key_file", self._settings.api_key_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Create one message, once; see ``Provider.send``."""
        body = self._written(text)
        if body is None:
            raise NotSent(Reason.NOT_SENT)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        limit = min(deadline, time.monotonic() + self._settings.timeout)
        answer = self._site.call("POST", "/v2/messages", headers=headers, body=body, deadline=limit)
        said = answers.read(answer.body, _Answer) or _Answer()
        if 200 <= answer.status < 300 and said.data is not None and _ID.fullmatch(said.data.id):  # noqa: PLR2004
            return Sent(said.data.id, said.data.parts or text.segments)
        raise self._judge(answer, said.errors)

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read what became of a text; the signed body says which address, and so which attempt, it is for."""
        event = self._verified(request)
        payload, ours = event.payload, event.event_type in {"message.sent", "message.finalized"}
        if not ours or not _ID.fullmatch(payload.id) or len(payload.to) != 1:
            raise malformed()
        reference = check_path(request, (payload.webhook_url or "").rpartition("/")[2])
        state = STATUSES.get(payload.to[0].status)
        return Receipt(reference, state, payload.id, _why(payload) if state is State.UNDELIVERED else None)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an incoming message."""
        event = self._verified(request)
        number = event.payload.sender.phone_number if event.payload.sender else ""
        if event.event_type != "message.received" or not re.fullmatch(r"\+[1-9][0-9]{4,14}", number, re.ASCII):
            raise malformed()
        return Reply(number, event.payload.text or "", event.payload.id)

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _written(self, text: Text) -> bytes | None:
        """Encode the request; None for a text that cannot be encoded."""
        settings = self._settings
        message = {
            "to": text.to,
            "text": text.body,
            "type": "SMS",
            # "auto" leaves a GSM text as it is; anything else it could respell, if the profile says so.
            "encoding": "auto" if measure(text.body).encoding is Encoding.GSM7 else "ucs2",
            "use_profile_webhooks": False,  # number and text go nowhere but to the receipt's own address
            "from": settings.sender,
            "messaging_profile_id": settings.messaging_profile_id,
            "webhook_url": settings.callback_url and receipt_url(settings.callback_url, self.name, text.reference),
        }
        try:
            return msgspec.json.encode({name: value for name, value in message.items() if value is not None})
        except UnicodeEncodeError:  # a lone surrogate
            return None

    def _judge(self, answer: Answer, faults: list[_Fault]) -> ReminderError:
        """Turn a refusal into one of our errors, and log what only an operator can fix."""
        code, fault = _first(faults)
        known = ADDRESSES.get((fault.source or {}).get("pointer")) if code in ADDRESS_CODES else CODES.get(code)
        reason = answers.judge(answer.status, known)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            shown = {"provider": self.name, "status": answer.status, "code": str(code or "unknown")}
            _LOG.warning("provider_answer", extra=shown)
        return answers.error(reason, answer.headers.get("Retry-After"))

    def _verified(self, request: WebhookRequest) -> _Data:
        """Return the event if time and body are signed with the account's key, and recently."""
        stamp = request.headers.get("telnyx-timestamp", "")
        signature = from_base64(request.headers.get("telnyx-signature-ed25519", ""))
        if not re.fullmatch(r"[0-9]{1,12}", stamp, re.ASCII) or abs(time.time() - int(stamp)) > STALE:
            raise forged()
        try:
            self._signer.verify(f"{stamp}|".encode() + request.body, signature)
        except (BadSignatureError, ValueError):  # ValueError: not the length of a signature
            raise forged() from None
        return request.json(_Event).data


def _first(faults: list[_Fault] | None) -> tuple[int, _Fault]:
    """Return the first fault's code, 0 if it does not look like one, and the fault."""
    fault = faults[0] if faults else _Fault()
    return int(fault.code) if re.fullmatch(r"[0-9]{5}", str(fault.code), re.ASCII) else 0, fault


def _why(payload: _Payload) -> Reason:
    """Return why a text did not arrive."""
    code, fault = _first(payload.errors)
    if code == 40300 and "STOP" in (fault.title or ""):  # noqa: PLR2004
        return Reason.OPTED_OUT
    given_up = payload.to[0].status == "expired"
    return FAILURES.get(code, Reason.VALIDITY_OVER if given_up else Reason.CARRIER_FAILED)
