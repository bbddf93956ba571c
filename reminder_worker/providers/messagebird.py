"""MessageBird (now Bird), the SMS API at rest.messagebird.com: JSON out, a table for the codes that come back.

MessageBird cannot deduplicate. An attempt in doubt is resolved by the receipt, whose URL and body carry the
reference, or by its list of texts to the number, which shows our reference but counts only if it finds the text.
MessageBird's own words never leave this module: they hold the number.

Its calls carry a JWT over the exact address and body, signed with a key that cannot send and good for about a minute.
"""

import hashlib
import hmac
import logging
import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import jwt
import msgspec
from pydantic import AfterValidator, Field

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
from reminder_worker.webhooks import WebhookRequest, check_path, forged, malformed

VALIDITY_LIMIT = timedelta(hours=48)  # as long as networks usually try; a limit of MessageBird's own was not found
SEARCH_BEFORE = timedelta(minutes=10)  # how far two clocks may differ; the reference decides
LEEWAY = timedelta(seconds=30)  # the same for a signature, which is good for about a minute
CLAIMS = ["iss", "nbf", "exp", "jti"]  # what a signature has to say

# From MessageBird's codes to ours, for answers that refuse (4xx). What is not here is judged by its status.
CODES: Mapping[int, Reason] = {
    2: Reason.MISCONFIGURED,  # access key
    20: Reason.MISCONFIGURED,  # nothing there: base_url
    25: Reason.MISCONFIGURED,  # credit
}
# 9 and 10: a parameter is missing or invalid; its name decides. One that is not here is Misconfigured: we wrote it.
PARAMETER_CODES = frozenset({9, 10})
PARAMETERS: Mapping[str | None, Reason] = {
    **dict.fromkeys(("recipient", "recipients"), Reason.NUMBER_REFUSED),
    "body": Reason.CONTENT_REFUSED,
    None: Reason.NOT_SENT,  # it does not say
}
_TRIAL = re.compile(r"\btest period\b", re.IGNORECASE)  # it reaches only the account's own number: another provider may

# What MessageBird reports about a text.
STATUSES: Mapping[str, State] = {
    **dict.fromkeys(("scheduled", "sent", "buffered"), State.SENT),
    "delivered": State.DELIVERED,
    **dict.fromkeys(("expired", "delivery_failed"), State.UNDELIVERED),
}
NO_WORD = "dlr not received"  # the network took it and never said more: it may have arrived
# Why it did not arrive: by statusErrorCode, then by statusReason, then by status; else "carrier_failed".
FAILURES: Mapping[str, Reason] = {
    **dict.fromkeys(("1", "5", "9", "10", "11", "12"), Reason.NUMBER_REFUSED),  # MessageBird's "unknown subscriber"
    "103": Reason.OPTED_OUT,
    "unknown subscriber": Reason.NUMBER_REFUSED,
    "unavailable subscriber": Reason.UNREACHABLE,
    "expired": Reason.VALIDITY_OVER,
}

_MESSAGE_ID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)
_LOG = logging.getLogger(__name__)


class _Fault(msgspec.Struct):
    code: int
    parameter: str | None = None
    description: str | None = None


class _Answer(msgspec.Struct):
    id: str = ""
    reference: str | None = None
    direction: str = "mt"  # mo: an incoming text
    items: list["_Answer"] = []
    errors: list[_Fault] = []


class _Inbound(msgspec.Struct):
    originator: str | int = ""
    body: str | None = None
    payload: str | None = None
    message: str | None = None


class _Settings(Table):
    access_key_file: Path = Field(description="the live access key; only the worker reads it")
    signing_key_file: Path = Field(
        description="the signing key of the dashboard's developer settings; only `hooks` reads it, and it cannot send"
    )
    sender: str = Field(
        alias="from",
        pattern=r"^(\+?[0-9]{3,15}|[0-9A-Za-z][0-9A-Za-z .-]{0,10})$",
        title="number or name, up to 11",
        description="the sender: a number, or a name of up to 11 letters where the country allows names",
    )
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://rest.messagebird.com", description="where its API is"
    )
    redact: Literal["after", "off"] = Field(
        default="after", description="`after`: each text is deleted after its final receipt"
    )


class MessageBird(Provider):
    """One MessageBird account; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        receipts = settings.callback_url is not None
        self.name = name
        self.sender = settings.sender
        self.capabilities = Capabilities(
            searches=True,
            receipt_carries_reference=receipts,
            validity=True,
            forgets=settings.redact == "after",
        )
        self._settings = settings
        self._access_key = self._key = ""
        self._site = Site(settings.base_url)

    def prepare(self, role: Role) -> None:
        """Read the access key to send, or the signing key to hear."""
        if role is Role.SEND:
            self._access_key = read_secret(self.name, "access_key_file", self._settings.access_key_file)
        else:
            self._key = read_secret(self.name, "signing_key_file", self._settings.signing_key_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Create one message, once; see ``Provider.send``."""
        try:
            body = msgspec.json.encode(self._parameters(text))
        except UnicodeEncodeError:  # a lone surrogate
            body = b""
        if not body:
            raise NotSent(Reason.NOT_SENT)
        answer = self._call("POST", "/messages", deadline, body)
        said = answers.read(answer.body, _Answer) or _Answer()
        if 200 <= answer.status < 300 and _MESSAGE_ID.fullmatch(said.id):  # noqa: PLR2004
            return Sent(said.id, text.segments)
        reasons = {_meaning(fault) for fault in said.errors}
        reason = answers.judge(answer.status, reasons.pop() if len(reasons) == 1 else None)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            code = next((str(fault.code) for fault in said.errors if 0 <= fault.code <= 999), "unknown")  # noqa: PLR2004
            _LOG.warning("provider_answer", extra={"provider": self.name, "status": answer.status, "code": code})
        raise answers.error(reason, answer.headers.get("Retry-After"))

    def search(self, text: Text, asked: datetime) -> Sent | None:
        """Look through the texts to this number since ``asked`` for the one with our reference."""
        since = (asked - SEARCH_BEFORE).astimezone(UTC).isoformat(timespec="seconds")
        query = {"recipient": text.to.removeprefix("+"), "direction": "mt", "from": since, "limit": "20"}
        try:
            answer = self._call("GET", f"/messages?{urlencode(query)}")
        except ReminderError:
            return None
        found = answers.read(answer.body, _Answer) if answer.status == 200 else None  # noqa: PLR2004
        for one in found.items if found else ():
            if one.reference == text.reference and one.direction == "mt" and _MESSAGE_ID.fullmatch(one.id):
                return Sent(one.id, text.segments)
        return None

    def forget(self, provider_message_id: str) -> None:
        """Delete a message at MessageBird."""
        answer = self._call("DELETE", f"/messages/{quote(provider_message_id, safe='')}")
        if answer.status not in {200, 204, 404}:
            raise answers.error(answers.judge(answer.status, None), answer.headers.get("Retry-After"))

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a status report."""
        self._verify(request)
        form = request.query
        reference = check_path(request, form.get("reference", ""))
        status, why = form.get("status", ""), form.get("statusReason", "").lower().replace("_", " ")
        if not status or not _MESSAGE_ID.fullmatch(form.get("id", "")):
            raise malformed()
        state = None if status == "expired" and why == NO_WORD else STATUSES.get(status)
        said = (FAILURES.get(word) for word in (form.get("statusErrorCode", ""), why, status))
        reason = next(filter(None, said), Reason.CARRIER_FAILED) if state is State.UNDELIVERED else None
        return Receipt(reference, state, form["id"], reason)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an incoming message: JSON, a form or a query, whose text has one of three names."""
        self._verify(request)
        if request.body.startswith(b"{"):
            said = request.json(_Inbound)
        else:
            said = msgspec.convert(request.form() if request.body else request.query, _Inbound)
        sender = str(said.originator).removeprefix("+")
        text = next((words for words in (said.body, said.payload, said.message) if words is not None), None)
        if text is None or not re.fullmatch(r"[1-9][0-9]{4,14}", sender, re.ASCII):
            raise malformed()
        return Reply(f"+{sender}", text)

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _call(self, method: str, path: str, deadline: float = math.inf, body: bytes | None = None) -> Answer:
        headers = {"Authorization": f"AccessKey {self._access_key}", "Content-Type": "application/json"}
        ends = min(deadline, time.monotonic() + self._settings.timeout)
        return self._site.call(method, path, headers=headers, body=body, deadline=ends)

    def _parameters(self, text: Text) -> dict[str, Any]:
        """Return what is sent; the wrong ``datacoding`` would lose characters."""
        gsm = measure(text.body).encoding is Encoding.GSM7
        parameters = {
            "originator": self._settings.sender,
            "recipients": [text.to.removeprefix("+")],
            "body": text.body,
            "type": "sms",
            "datacoding": "plain" if gsm else "unicode",
            "reference": text.reference,
            "validity": max(1, int(min(text.valid_for, VALIDITY_LIMIT).total_seconds())),
        }
        if self._settings.callback_url is not None:
            parameters["reportUrl"] = receipt_url(self._settings.callback_url, self.name, text.reference)
        return parameters

    def _verify(self, request: WebhookRequest) -> None:
        """Check that the call is MessageBird's, for this address, with this body, and recent."""
        token = request.headers.get("messagebird-signature-jwt", "")
        try:
            claims = jwt.decode(token, self._key, ["HS256"], {"require": CLAIMS}, issuer="MessageBird", leeway=LEEWAY)
        except jwt.PyJWTError:
            raise forged() from None
        payload = hashlib.sha256(request.body).hexdigest() if request.body else ""
        for named, seen in (("url_hash", hashlib.sha256(request.url.encode()).hexdigest()), ("payload_hash", payload)):
            if not hmac.compare_digest(str(claims.get(named) or "").encode(), seen.encode()):
                raise forged()


def _meaning(fault: _Fault) -> Reason | None:
    """Return what a code means; for a parameter, by the parameter's name."""
    if fault.code not in PARAMETER_CODES:
        return CODES.get(fault.code)
    if _TRIAL.search(fault.description or ""):
        return Reason.NOT_SENT
    return PARAMETERS.get(fault.parameter, Reason.MISCONFIGURED)
