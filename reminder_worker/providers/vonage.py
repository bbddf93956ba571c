"""Vonage (once Nexmo), the SMS API: one form to send, one table for the statuses in its answers.

Vonage answers with HTTP 200 whatever happened: what counts is the status of each part of the text. It cannot
deduplicate, and looking a text up later proves nothing: an attempt in doubt is resolved by the receipt, whose URL and
signed ``client-ref`` carry the reference. Vonage's own words never leave this module: they may hold the number.

Its webhooks carry ``sig``, a keyed hash of all parameters, and a signed time. The hash does not cover the address, so
a receipt counts only if its path and its signed ``client-ref`` name the same attempt.
"""

import base64
import logging
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
from pydantic import AfterValidator, Field

from reminder_worker import answers
from reminder_worker.errors import NotSent, Reason, SettingsError
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
from reminder_worker.webhooks import WebhookRequest, check_hmac, check_path, forged, from_hex, malformed

TTL_LIMITS = timedelta(seconds=20), timedelta(days=7)  # the shortest and the longest that Vonage agrees to try
CALLBACK_LIMIT = 100  # characters
STALE = 24 * 3600 + 300  # seconds; Vonage repeats a call for 24 hours, perhaps with the first call's time
EARLY = 300  # seconds by which its clock may be ahead of ours

# From Vonage's statuses to ours, for answers that refuse. What is not here is Ambiguous.
CODES: Mapping[str, Reason] = {
    **dict.fromkeys(("7", "33"), Reason.NUMBER_REFUSED),  # barred; no longer in use
    "12": Reason.CONTENT_REFUSED,  # too long
    "3": Reason.NOT_SENT,  # a parameter is invalid; it does not say which
    "6": Reason.NOT_SENT,  # cannot be processed, "for example" for its prefix: another provider may
    "22": Reason.NOT_SENT,  # network and country do not match
    "29": Reason.NOT_SENT,  # a trial account, and a number that it has not listed
    **dict.fromkeys(("1", "10"), Reason.THROTTLED),  # too many texts; too many connections
    **dict.fromkeys(("4", "8", "9", "11"), Reason.MISCONFIGURED),  # credentials, suspended, credit, not enabled
    **dict.fromkeys(("2", "14", "15", "23", "32"), Reason.MISCONFIGURED),  # missing, signature, sender, callback
    "5": Reason.AMBIGUOUS,  # an error inside Vonage: the text may have been accepted
}

# What Vonage reports about a text; "unknown" says nothing.
STATUSES: Mapping[str, State] = {
    **dict.fromkeys(("accepted", "buffered"), State.SENT),
    "delivered": State.DELIVERED,
    **dict.fromkeys(("expired", "failed", "rejected"), State.UNDELIVERED),
}
# Why it did not arrive (err-code); what is not here is "validity_over" if it expired, and else "carrier_failed".
FAILURES: Mapping[str, Reason] = {
    **dict.fromkeys(("2", "7"), Reason.UNREACHABLE),  # handset off; handset busy
    **dict.fromkeys(("3", "4", "13", "14"), Reason.NUMBER_REFUSED),  # gone; barred by its user; age; barred by carrier
    **dict.fromkeys(("6", "10"), Reason.CONTENT_REFUSED),  # taken for spam; a wrong parameter
    "9": Reason.OPTED_OUT,
}

_MESSAGE_ID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)
_LOG = logging.getLogger(__name__)


class _Part(msgspec.Struct):
    status: str
    message_id: str = msgspec.field(name="message-id", default="")


class _Answer(msgspec.Struct):
    messages: list[_Part]


class _Settings(Table):
    api_key: str = Field(pattern=r"^[0-9A-Za-z]{8}$", title="8 letters and digits", description="the account")
    api_secret_file: Path = Field(description="its secret; only the worker reads it")
    signature_secret_file: Path = Field(description="what Vonage signs its calls with; only `hooks` reads it")
    signature_method: Literal["sha256", "sha512"] = Field(
        default="sha256",
        description="HMAC, as chosen in the dashboard. The default there, MD5, is not accepted",
    )
    sender: str = Field(
        alias="from",
        pattern=r"^(\+?[0-9]{3,15}|[0-9A-Za-z][0-9A-Za-z .-]{0,10})$",
        title="number or name, up to 11",
        description="the sender: a number, or a name of up to 11 letters where the country allows names",
    )
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://rest.nexmo.com", description="the API that takes texts"
    )
    redact_url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://api.nexmo.com", description="the API that redacts them"
    )
    redact: Literal["after", "account", "off"] = Field(
        default="after",
        description="`after`: each text is redacted after its final receipt. `account`: you have Advanced Auto-redact, "
        "so nothing needs to be done",
    )


class Vonage(Provider):
    """One Vonage account; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        receipts = settings.callback_url
        if receipts is not None and len(receipt_url(receipts, name, "x" * 39)) > CALLBACK_LIMIT:
            raise SettingsError(f"providers.{name}.callback_url: is too long: Vonage takes {CALLBACK_LIMIT} characters")
        self.name = name
        self.sender = settings.sender
        self.capabilities = Capabilities(
            receipt_carries_reference=receipts is not None,
            validity=True,
            redacts=settings.redact == "account",
            forgets=settings.redact == "after",
        )
        self._settings = settings
        self._secret = self._key = ""
        self._site, self._redacting = Site(settings.base_url), Site(settings.redact_url)

    def prepare(self, role: Role) -> None:
        """Read the API secret to send, or the signature secret to hear."""
        if role is Role.SEND:
            self._secret = read_secret(self.name, "api_secret_file", self._settings.api_secret_file)
        else:
            self._key = read_secret(self.name, "signature_secret_file", self._settings.signature_secret_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Post one text, once; see ``Provider.send``."""
        answer = self._post(text, deadline)
        whole = answers.read(answer.body, _Answer)
        parts = whole.messages if whole is not None else []
        accepted = [part.message_id for part in parts if part.status == "0" and _MESSAGE_ID.fullmatch(part.message_id)]
        if 200 <= answer.status < 300 and accepted and len(accepted) == len(parts):  # noqa: PLR2004
            return Sent(",".join(accepted), len(parts))
        reason = _judge(answer.status, {part.status for part in parts})
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            code = next((part.status for part in parts if part.status in CODES), "unknown")
            _LOG.warning("provider_answer", extra={"provider": self.name, "status": answer.status, "code": code})
        raise answers.error(reason, answer.headers.get("Retry-After"))

    def forget(self, provider_message_id: str) -> None:
        """Have Vonage overwrite number and text of each part in its long-term records."""
        for part in provider_message_id.split(","):
            answer = self._ask_to_redact(part)
            if answer.status not in {200, 204, 404}:
                problem = answers.read(answer.body, dict[str, str]) or {}
                early = problem.get("type", "").endswith("#premature-redaction")  # its records take minutes
                reason = answers.judge(answer.status, Reason.THROTTLED if early else None)
                raise answers.error(reason, answer.headers.get("Retry-After"))

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a delivery receipt."""
        form = self._verified(request)
        reference = check_path(request, form.get("client-ref", ""))
        if urlsplit(request.url).path.rpartition("/")[2] != reference:
            raise forged()
        status, message_id = form.get("status", ""), form.get("messageId", "")
        if not status or not _MESSAGE_ID.fullmatch(message_id):
            raise malformed()
        state = STATUSES.get(status)
        otherwise = Reason.VALIDITY_OVER if status == "expired" else Reason.CARRIER_FAILED
        why = FAILURES.get(form.get("err-code", ""), otherwise)
        return Receipt(reference, state, message_id, why if state is State.UNDELIVERED else None)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an incoming message; a long one comes in parts, of which only the first part's words are read.

        Nothing is kept, so parts are not joined. People who want no more texts say so at the beginning; a later part
        begins at a random place, and its words could mean the opposite of what was written.
        """
        form = self._verified(request)
        sender, text = form.get("msisdn", ""), "" if form.get("type") == "binary" else form.get("text")
        if text is None or not re.fullmatch(r"[1-9][0-9]{4,14}", sender, re.ASCII):
            raise malformed()
        return Reply(f"+{sender}", text if form.get("concat-part", "1") == "1" else "", form.get("messageId", ""))

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()
        self._redacting.close()

    def _post(self, text: Text, deadline: float) -> Answer:
        """Ask Vonage to send. Raises NotSent for a text that cannot be encoded, or is of use for too short a time."""
        try:
            body = urlencode(self._parameters(text)).encode()
        except UnicodeEncodeError:  # a lone surrogate
            body = b""
        if not body or text.valid_for < TTL_LIMITS[0]:
            raise NotSent(Reason.NOT_SENT)
        ends = min(deadline, time.monotonic() + self._settings.timeout)
        headers = self._headers("application/x-www-form-urlencoded")
        return self._site.call("POST", "/sms/json", headers=headers, body=body, deadline=ends)

    def _parameters(self, text: Text) -> dict[str, str]:
        """Return what is sent; the wrong ``type`` would lose characters."""
        settings = self._settings
        parameters = {
            "from": settings.sender.removeprefix("+"),
            "to": text.to.removeprefix("+"),
            "text": text.body,
            "type": "text" if measure(text.body).encoding is Encoding.GSM7 else "unicode",
            "ttl": str(min(text.valid_for, TTL_LIMITS[1]) // timedelta(milliseconds=1)),
            "client-ref": text.reference,
            "status-report-req": "false" if settings.callback_url is None else "true",
        }
        if settings.callback_url is not None:
            parameters["callback"] = receipt_url(settings.callback_url, self.name, text.reference)
        return parameters

    def _ask_to_redact(self, message_id: str) -> Answer:
        body = msgspec.json.encode({"id": message_id, "product": "sms", "type": "outbound"})
        headers, ends = self._headers("application/json"), time.monotonic() + self._settings.timeout
        return self._redacting.call("POST", "/v1/redact/transaction", headers=headers, body=body, deadline=ends)

    def _headers(self, kind: str) -> dict[str, str]:
        credentials = base64.b64encode(f"{self._settings.api_key}:{self._secret}".encode()).decode()
        return {"Content-Type": kind, "Authorization": f"Basic {credentials}"}

    def _verified(self, request: WebhookRequest) -> dict[str, str]:
        """Return the parameters if their signature is Vonage's and recent."""
        form = _parameters_of(request)
        shown = from_hex(form.pop("sig", "")) if self._key else b""  # without a key anybody could sign
        signed = "".join(f"&{name}={re.sub('[&=]', '_', form[name])}" for name in sorted(form))
        check_hmac(self._settings.signature_method, self._key.encode(), signed.encode(), shown)
        stamp = form.get("timestamp", "")
        age = time.time() - int(stamp) if re.fullmatch("[0-9]{1,12}", stamp, re.ASCII) else float("inf")
        if not -EARLY <= age <= STALE:
            raise forged()
        return form


def _judge(status: int, statuses: set[str]) -> Reason:
    """Return what an answer that does not accept means; if parts fared differently, some may have been accepted."""
    reasons = {CODES.get(one) for one in statuses}
    known = reasons.pop() if len(reasons) == 1 else None
    if 200 <= status < 300:  # noqa: PLR2004 - Vonage refuses with 200
        return known or Reason.AMBIGUOUS
    return answers.judge(status, known)


def _parameters_of(request: WebhookRequest) -> dict[str, str]:
    """Read the parameters, however the account has them sent: GET, POST or POST-JSON."""
    if request.method == "GET":
        return request.query
    if not request.body.startswith(b"{"):
        return request.form()
    values = request.json(dict[str, str | int | bool])
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
