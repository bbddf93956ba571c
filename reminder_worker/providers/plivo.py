"""Plivo: sends JSON, reads answers by status and a few known words, and receipts by error code.

Plivo cannot deduplicate and takes no reference of ours: an Ambiguous attempt is resolved by the receipt, whose URL
carries the reference, or stays unknown. It keeps neither text nor full number unless ``redact`` is off. It signs
its calls with the token that also sends, over URL, nonce and fields (V3). The older V2 leaves the fields out, and
is not accepted. Plivo's own words never leave this module: they hold the number.
"""

import base64
import json
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from msgspec import Struct, field
from pydantic import AfterValidator, Field, model_validator

from reminder_worker import answers
from reminder_worker.errors import NotSent, Reason, Refused
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
from reminder_worker.webhooks import WebhookRequest, check_hmac, check_path, forged, from_base64, malformed

EXPIRY_LEAST, EXPIRY_MOST = 5, 10_799  # seconds; Plivo waits three hours by default

# What a refusal (4xx) means. It has no codes, so it is read by its HTTP status ...
REFUSALS: Mapping[int, Reason] = {
    401: Reason.MISCONFIGURED,  # credentials
    403: Reason.NOT_SENT,  # the country is not enabled for this account; another provider may
    404: Reason.MISCONFIGURED,  # no such account
}
# ... or in these words, whatever their case. Everything else is judged by its status.
WORDS: Mapping[str, Reason] = {
    "insufficient credit": Reason.MISCONFIGURED,
    "this caller id is not allowed for outbound message": Reason.MISCONFIGURED,  # the sender
}
INVALID_NUMBER = "'{}' is not a valid phone number"  # also said about the sender, so it has to name the phone's

# What Plivo reports about a text.
STATUSES: Mapping[str, State] = {
    "queued": State.SENT,
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "read": State.DELIVERED,
    "undelivered": State.UNDELIVERED,
    "failed": State.UNDELIVERED,
    "rejected": State.UNDELIVERED,
}
# Why it did not arrive, by error code; what is not here is "carrier_failed".
FAILURES: Mapping[int, Reason] = {
    10: Reason.CONTENT_REFUSED,  # invalid message
    30: Reason.CONTENT_REFUSED,  # spam
    110: Reason.CONTENT_REFUSED,  # too long
    50: Reason.NUMBER_REFUSED,  # no number, no texts, or a landline
    70: Reason.NUMBER_REFUSED,  # permanently unavailable
    80: Reason.UNREACHABLE,
    200: Reason.OPTED_OUT,  # answered STOP
    420: Reason.VALIDITY_OVER,
    40: Reason.MISCONFIGURED,  # the sender
    450: Reason.MISCONFIGURED,  # the country is not enabled
    451: Reason.MISCONFIGURED,  # the account's own threshold for the country
    900: Reason.MISCONFIGURED,  # credit
    910: Reason.MISCONFIGURED,  # account disabled
}

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LOG = logging.getLogger(__name__)


class _Acceptance(Struct):
    names: list[str] = field(name="message_uuid")


class _Refusal(Struct):
    error: str = ""


class _Settings(Table):
    auth_id: str = Field(
        pattern=r"^[MS]A[0-9A-Za-z]{18}$",
        title="MA or SA, and 18 characters",
        description="the account (`MA…`) or subaccount (`SA…`)",
    )
    auth_token_file: Path = Field(description="its token; `hooks` needs it too: Plivo signs with it")
    sender: str | None = Field(
        default=None, alias="from", min_length=3, max_length=15, description="the sender; this or `powerpack_uuid`"
    )
    powerpack_uuid: str | None = Field(
        default=None, pattern=f"^{_UUID}$", title="a UUID", description="a Powerpack, which chooses the sender"
    )
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://api.plivo.com", description="where its API is"
    )
    redact: Literal["on-create", "off"] = Field(
        default="on-create", description="`on-create`: `log` is `false`; `off`: it is `true`"
    )

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        if (self.sender is None) == (self.powerpack_uuid is None):
            raise ValueError("set either from or powerpack_uuid")
        return self


class Plivo(Provider):
    """One Plivo account or subaccount; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        self.name = name
        self.sender = settings.sender or settings.powerpack_uuid or ""
        receipts = settings.callback_url is not None
        self.capabilities = Capabilities(
            receipt_carries_reference=receipts,
            validity=True,
            redacts=settings.redact == "on-create",
        )
        self._settings = settings
        self._token = ""
        self._site = Site(settings.base_url)

    def prepare(self, role: Role) -> None:  # noqa: ARG002 - Plivo signs its calls with the token that also sends
        """Read the account's token."""
        self._token = read_secret(self.name, "auth_token_file", self._settings.auth_token_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Create one message, once; see ``Provider.send``."""
        if text.valid_for.total_seconds() < EXPIRY_LEAST:
            raise NotSent(Reason.NOT_SENT)  # Plivo cannot be told to give up so soon
        user = self._settings.auth_id
        credentials = base64.b64encode(f"{user}:{self._token}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        body, until = json.dumps(self._parameters(text)).encode(), time.monotonic() + self._settings.timeout
        path = f"/v1/Account/{user}/Message/"
        answer = self._site.call("POST", path, headers=headers, body=body, deadline=min(deadline, until))
        accepted = answers.read(answer.body, _Acceptance) if 200 <= answer.status < 300 else None  # noqa: PLR2004
        if accepted is not None and len(accepted.names) == 1 and _is_message(accepted.names[0]):
            return Sent(accepted.names[0], text.segments)
        raise answers.error(self._judge(answer, text.to), answer.headers.get("Retry-After"))

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a status callback."""
        fields = self._verified(request)
        name, status = fields.get("MessageUUID", ""), STATUSES.get(fields.get("Status", "").lower())
        if not _is_message(name):
            raise malformed()
        code = fields.get("ErrorCode", "")
        why = FAILURES.get(int(code) if re.fullmatch("[0-9]{1,4}", code, re.ASCII) else 0, Reason.CARRIER_FAILED)
        return Receipt(check_path(request), status, name, why if status is State.UNDELIVERED else None)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an incoming message."""
        fields = self._verified(request)
        sender = fields.get("From", "").removeprefix("+")
        if not re.fullmatch("[1-9][0-9]{4,14}", sender, re.ASCII):
            raise malformed()
        return Reply(f"+{sender}", fields.get("Text", ""), fields.get("MessageUUID", ""))

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _verified(self, request: WebhookRequest) -> dict[str, str]:
        """Return the fields of a call if one of its V3 signatures is the account's.

        One header is signed by the account or subaccount, one by the main account; each may list several signatures.
        """
        fields = request.query if request.method == "GET" else request.form()
        content = _signed(request, {} if request.method == "GET" else fields)
        headers = (request.headers.get(f"x-plivo-signature-{kind}v3", "") for kind in ("ma-", ""))
        shown = [one.strip() for header in headers for one in header.split(",")]
        if not any(_is_signed(self._token, content, one) for one in shown):
            raise forged()
        return fields

    def _parameters(self, text: Text) -> dict[str, Any]:
        """Return what is sent. Plivo itself chooses between GSM and Unicode, by the characters."""
        settings = self._settings
        parameters: dict[str, Any] = {
            "dst": text.to.removeprefix("+"),
            "text": text.body,
            "type": "sms",
            "message_expiry": min(int(text.valid_for.total_seconds()), EXPIRY_MOST),
            "log": "false" if settings.redact == "on-create" else "true",
        }
        if settings.sender is not None:
            parameters["src"] = settings.sender.removeprefix("+")
        else:
            parameters["powerpack_uuid"] = settings.powerpack_uuid
        if settings.callback_url is not None:
            parameters |= {"url": receipt_url(settings.callback_url, self.name, text.reference), "method": "POST"}
        return parameters

    def _judge(self, answer: Answer, number: str) -> Reason:
        """Read a refusal, and log what only an operator can fix."""
        said = (answers.read(answer.body, _Refusal) or _Refusal()).error.strip().rstrip(".").lower()
        known = WORDS.get(said, REFUSALS.get(answer.status))
        if said == INVALID_NUMBER.format(number.removeprefix("+")) and answer.status == 400:  # noqa: PLR2004
            known = Reason.NUMBER_REFUSED
        reason = answers.judge(answer.status, known)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            _LOG.warning("provider_answer", extra={"provider": self.name, "status": answer.status, "code": "unknown"})
        return reason


def _is_message(name: str) -> bool:
    return re.fullmatch(_UUID, name, re.ASCII) is not None


def _signed(request: WebhookRequest, fields: Mapping[str, str]) -> bytes:
    """Return what V3 signs: the URL with its query sorted and decoded, the fields sorted, and the nonce."""
    url, nonce = urlsplit(request.url), request.headers.get("x-plivo-signature-v3-nonce", "")
    query = "&".join(f"{name}={value}" for name, value in sorted(request.query.items()))
    mark = "?" if query or fields else ""
    point = "." if query and fields else ""
    body = "".join(f"{name}{value}" for name, value in sorted(fields.items()))
    return f"{url.scheme}://{url.netloc}{url.path}{mark}{query}{point}{body}.{nonce}".encode()


def _is_signed(token: str, content: bytes, signature: str) -> bool:
    try:
        check_hmac("sha256", token.encode(), content, from_base64(signature))
    except Refused:
        return False
    return True
