"""Sinch: one batch of one text for each attempt, over its SMS REST API.

Our reference travels twice: in the URL for receipts, and as the client reference, which Sinch repeats in receipts and
lists batches by. Sinch does not deduplicate, and no source says how soon a batch appears in that list: a batch found
there was accepted, and one not found proves nothing. Sinch signs its calls to us only if its staff have set that up;
otherwise a receipt proves itself by the secret in its path, a reply by a token.
Sinch's own words never leave this module: they hold the number.
"""

import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

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
from reminder_worker.webhooks import WebhookRequest, check_hmac, check_path, check_token, forged, from_base64, malformed

VALIDITY_LIMIT = timedelta(days=3)  # Sinch's maximum, and its default
SEARCH_MARGIN = timedelta(minutes=2)  # before an attempt: the clocks may differ
STALE = timedelta(hours=24)  # a call that fails is repeated for 22 h 45 min, perhaps with its first signature

# From Sinch's codes to ours, for answers that refuse (4xx). What is not here is judged by its status.
CODES: Mapping[str, Reason] = {
    "syntax_invalid_parameter_format": Reason.NOT_SENT,  # unless the words name one of PARAMETERS
    "syntax_invalid_json": Reason.NOT_SENT,
    "syntax_constraint_violation": Reason.NOT_SENT,
    "unknown_campaign": Reason.MISCONFIGURED,  # not the sender's
    "missing_callback_url": Reason.MISCONFIGURED,
}
# Which parameter Sinch could not read; the words beside the code say so.
PARAMETERS: Mapping[str, Reason] = {
    "to": Reason.NUMBER_REFUSED,
    "from": Reason.MISCONFIGURED,
    "callback_url": Reason.MISCONFIGURED,
}

# What Sinch reports about a text.
STATUSES: Mapping[str, State] = {
    # Unknown: handed on, but no readable delivery receipt came
    **dict.fromkeys(("Queued", "Dispatched", "Unknown"), State.SENT),
    "Delivered": State.DELIVERED,
    **dict.fromkeys(("Aborted", "Cancelled", "Rejected", "Deleted", "Failed", "Expired"), State.UNDELIVERED),
}
# Why it did not arrive; what is not here is "carrier_failed". Codes below 400 are those of many networks.
FAILURES: Mapping[int, Reason] = {
    405: Reason.CONTENT_REFUSED,  # a placeholder without a value
    406: Reason.VALIDITY_OVER,
    410: Reason.MISCONFIGURED,  # no sender for this destination
    411: Reason.CONTENT_REFUSED,  # more parts than allowed
    412: Reason.MISCONFIGURED,  # region not provisioned
    413: Reason.MISCONFIGURED,  # the account is blocked, or out of credit
}

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_NAMED = re.compile(r"parameter '([a-z_]+)", re.ASCII)
_LOG = logging.getLogger(__name__)


class _Batch(msgspec.Struct):
    id: str = ""
    client_reference: str | None = None


class _Batches(msgspec.Struct):
    batches: list[_Batch]


class _Refusal(msgspec.Struct):
    code: str = ""
    text: str = ""


class _Report(msgspec.Struct):
    type: str
    batch_id: str
    status: str
    code: int = 0
    client_reference: str | None = None


class _Inbound(msgspec.Struct):
    type: str
    sender: str = msgspec.field(name="from")
    id: str | None = None
    body: str = ""


class _Settings(Table):
    service_plan_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", title="up to 64 of letters, digits, _ and -", description="the service plan"
    )
    token_file: Path = Field(description="its API token; only the worker reads it")
    sender: str = Field(
        alias="from",
        pattern=r"^(\+?[0-9]{3,15}|[A-Za-z0-9 ]{1,11})$",
        title="number or name, up to 11",
        description="the sender: a number, a short code or a name of up to 11 letters and digits",
    )
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://eu.sms.api.sinch.com",
        description="the region of the service plan. A plan of another region is refused there",
    )
    webhook_secret_file: Path | None = Field(
        default=None,
        description="the secret of HMAC authentication, if Sinch has set that up; only `hooks` reads it",
    )
    webhook_token_file: Path | None = Field(
        default=None, description="a word of your own that proves a reply; only `hooks` reads it"
    )


class Sinch(Provider):
    """One Sinch service plan; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        receipts = settings.callback_url is not None
        self.name = name
        self.sender = settings.sender
        self.capabilities = Capabilities(
            searches=True,
            receipt_carries_reference=receipts,
            validity=True,
        )
        self._settings = settings
        self._token = self._webhook_secret = self._webhook_token = ""
        self._path = f"/xms/v1/{settings.service_plan_id}/batches"
        self._site = Site(settings.base_url)

    def prepare(self, role: Role) -> None:
        """Read the plan's token, or what proves that a call came from Sinch."""
        settings = self._settings
        if role is Role.SEND:
            self._token = read_secret(self.name, "token_file", settings.token_file)
            return
        if settings.webhook_secret_file is not None:
            self._webhook_secret = read_secret(self.name, "webhook_secret_file", settings.webhook_secret_file)
        if settings.webhook_token_file is not None:
            self._webhook_token = read_secret(self.name, "webhook_token_file", settings.webhook_token_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Create one batch, once; see ``Provider.send``."""
        body = self._written(text)
        if body is None:
            raise NotSent(Reason.NOT_SENT)
        answer = self._call("POST", self._path, body, deadline)
        batch = answers.read(answer.body, _Batch) or _Batch()
        if 200 <= answer.status < 300 and _ID.fullmatch(batch.id):  # noqa: PLR2004
            return Sent(batch.id, text.segments)
        raise self._judge(answer)

    def search(self, text: Text, asked: datetime) -> Sent | None:
        """Look for the batch with this text's reference; a list that does not name it proves nothing."""
        query = {"client_reference": text.reference, "start_date": _moment(asked - SEARCH_MARGIN)}
        try:
            answer = self._call("GET", f"{self._path}?{urlencode(query)}", None)
        except ReminderError:
            return None
        found = answers.read(answer.body, _Batches) if answer.status == 200 else None  # noqa: PLR2004
        for batch in found.batches if found else ():
            if batch.client_reference == text.reference and _ID.fullmatch(batch.id):
                return Sent(batch.id, text.segments)
        return None

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a recipient's delivery report; the reference that it repeats has to match the path's."""
        if self._webhook_secret:
            self._check_signature(request)
        report = request.json(_Report)
        if report.type != "recipient_delivery_report_sms" or not _ID.fullmatch(report.batch_id):
            raise malformed()
        reference, state = check_path(request, report.client_reference), STATUSES.get(report.status)
        late = Reason.VALIDITY_OVER if report.status == "Expired" else Reason.CARRIER_FAILED
        why = FAILURES.get(report.code, late) if state is State.UNDELIVERED else None
        return Receipt(reference, state, report.batch_id, why)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an incoming message."""
        if not (self._webhook_secret or self._webhook_token):
            raise forged()  # nothing could prove that it is genuine
        if self._webhook_secret:
            self._check_signature(request)
        if self._webhook_token:
            check_token(request, self._webhook_token)
        said = request.json(_Inbound)
        number = f"+{said.sender.removeprefix('+')}"
        if said.type != "mo_text" or not re.fullmatch(r"\+[1-9][0-9]{4,14}", number, re.ASCII):
            raise malformed()
        return Reply(number, said.body, said.id or "")

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _call(self, method: str, path: str, body: bytes | None, deadline: float = float("inf")) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        limit = min(deadline, time.monotonic() + self._settings.timeout)
        return self._site.call(method, path, headers=headers, body=body, deadline=limit)

    def _written(self, text: Text) -> bytes | None:
        """Encode the request; None for a text that cannot be encoded."""
        span = max(timedelta(seconds=1), min(text.valid_for, VALIDITY_LIMIT))
        batch: dict[str, object] = {
            "type": "mt_text",
            "from": self._settings.sender,
            "to": [text.to],
            "body": text.body,  # Sinch takes GSM where that holds every character, and Unicode otherwise
            "client_reference": text.reference,
            "expire_at": _moment(datetime.now(UTC) + span),
            "delivery_report": "none",
        }
        if self._settings.callback_url is not None:
            url = receipt_url(self._settings.callback_url, self.name, text.reference)
            batch |= {"delivery_report": "per_recipient", "callback_url": url}
        try:
            return msgspec.json.encode(batch)
        except UnicodeEncodeError:  # a lone surrogate
            return None

    def _judge(self, answer: Answer) -> ReminderError:
        """Turn a refusal into one of our errors, and log what only an operator can fix."""
        refusal = answers.read(answer.body, _Refusal) or _Refusal()
        known, named = CODES.get(refusal.code), _NAMED.search(refusal.text)
        if refusal.code == "syntax_invalid_parameter_format" and named is not None:
            known = PARAMETERS.get(named[1], known)
        reason = answers.judge(answer.status, known)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            code = refusal.code if refusal.code in CODES else "unknown"
            _LOG.warning("provider_answer", extra={"provider": self.name, "status": answer.status, "code": code})
        return answers.error(reason, answer.headers.get("Retry-After"))

    def _check_signature(self, request: WebhookRequest) -> None:
        """Check Sinch's signature over body, nonce and time. Raises Refused (signature_invalid)."""
        nonce, stamp, algorithm, signature = (
            request.headers.get(f"x-sinch-webhook-signature{part}", "")
            for part in ("-nonce", "-timestamp", "-algorithm", "")
        )
        if algorithm != "HmacSHA256" or not nonce or not re.fullmatch(r"[0-9]{1,12}", stamp, re.ASCII):
            raise forged()
        if abs(time.time() - int(stamp)) > STALE.total_seconds():
            raise forged()
        content = b".".join((request.body, nonce.encode(), stamp.encode()))
        check_hmac("sha256", self._webhook_secret.encode(), content, from_base64(signature))


def _moment(when: datetime) -> str:
    """Write a time as Sinch expects it: UTC, to the millisecond, and never rounded up."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
