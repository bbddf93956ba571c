"""Twilio: sends through its SDK, over our own connections, and reads its codes through two tables.

Twilio cannot deduplicate, and finds no message by our reference: an Ambiguous attempt is resolved by the receipt,
whose URL carries the reference, or by a search, which counts only if it finds the text. Twilio's own words never
leave this module: they hold the number. The SDK's own HTTP client is not used: it waits without limit and keeps the
last number and text.
"""

import base64
import logging
import re
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode, urlsplit

from pydantic import AfterValidator, Field, model_validator
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import SIGNATURE_SETTINGS_HEADER, RequestValidator, get_signature_algorithm
from twilio.rest import Client

from reminder_worker import answers
from reminder_worker.errors import Ambiguous, NotSent, Reason, ReminderError
from reminder_worker.https import Site, check_url
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
from reminder_worker.webhooks import WebhookRequest, check_path, forged, malformed

VALIDITY_LIMIT = 36_000  # seconds; Twilio takes 1 to 36000, and the longest is its default
SEARCH_WINDOW = timedelta(minutes=2)  # around an attempt; a text from then may be taken for it

# Reasons whose codes come in receipts too: about the number, the text or the account.
FINAL = frozenset(
    {Reason.NUMBER_REFUSED, Reason.LANDLINE, Reason.OPTED_OUT, Reason.CONTENT_REFUSED, Reason.MISCONFIGURED}
)

# From Twilio's codes to ours, for answers that refuse (4xx). What is not here is judged by its status.
CODES: Mapping[int, Reason] = {
    # The number, whoever carries the text
    21211: Reason.NUMBER_REFUSED,  # invalid
    21217: Reason.NUMBER_REFUSED,  # invalid
    21265: Reason.NUMBER_REFUSED,  # a short code
    21266: Reason.NUMBER_REFUSED,  # our own sender
    21614: Reason.NUMBER_REFUSED,  # not a mobile number
    21635: Reason.LANDLINE,
    30006: Reason.LANDLINE,
    21610: Reason.OPTED_OUT,
    # The text
    21602: Reason.CONTENT_REFUSED,  # empty
    21617: Reason.CONTENT_REFUSED,  # longer than 1600 characters
    21658: Reason.CONTENT_REFUSED,  # a parameter is too long
    # This account or sender cannot reach this number; another provider may
    21408: Reason.NOT_SENT,  # region not enabled
    21608: Reason.NOT_SENT,  # a trial account, and a number that it has not verified
    21612: Reason.NOT_SENT,
    # Too many at once; documented as not processed
    20429: Reason.THROTTLED,
    21611: Reason.THROTTLED,  # the sender's queue is full
    30001: Reason.THROTTLED,  # the queue is full
    # The account
    10001: Reason.MISCONFIGURED,  # suspended
    20003: Reason.MISCONFIGURED,  # credentials
    20005: Reason.MISCONFIGURED,  # not active
    20006: Reason.MISCONFIGURED,  # access denied
    20404: Reason.MISCONFIGURED,  # no such account
    30002: Reason.MISCONFIGURED,  # suspended
    30029: Reason.MISCONFIGURED,  # no message redaction for ContentRetention
    30030: Reason.MISCONFIGURED,  # ... for AddressRetention
    # The sender
    21212: Reason.MISCONFIGURED,  # invalid
    21603: Reason.MISCONFIGURED,  # missing
    21606: Reason.MISCONFIGURED,  # cannot send texts
    21607: Reason.MISCONFIGURED,  # not the trial account's
    21659: Reason.MISCONFIGURED,  # not Twilio's
    21660: Reason.MISCONFIGURED,  # another account's
    21661: Reason.MISCONFIGURED,  # cannot send texts
    21703: Reason.MISCONFIGURED,  # a messaging service without senders
    21705: Reason.MISCONFIGURED,  # no such messaging service
    30032: Reason.MISCONFIGURED,  # toll-free, not verified
    30034: Reason.MISCONFIGURED,  # not registered (US)
    21609: Reason.MISCONFIGURED,  # Twilio does not accept this StatusCallback URL
    # The request may have been carried out
    20500: Reason.AMBIGUOUS,
    20503: Reason.AMBIGUOUS,
}

# What Twilio reports about a text.
STATUSES: Mapping[str, State | None] = {
    "accepted": State.SENT,
    "scheduled": State.SENT,
    "queued": State.SENT,
    "sending": State.SENT,
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "read": State.DELIVERED,
    "undelivered": State.UNDELIVERED,
    "failed": State.UNDELIVERED,
    "canceled": State.UNDELIVERED,
}
# Why it did not arrive; what is in neither table is "carrier_failed".
FAILURES: Mapping[int, Reason] = {
    30003: Reason.UNREACHABLE,
    30004: Reason.CONTENT_REFUSED,  # blocked
    30005: Reason.NUMBER_REFUSED,  # unknown handset
    30007: Reason.CONTENT_REFUSED,  # filtered
    30036: Reason.VALIDITY_OVER,
    **{code: reason for code, reason in CODES.items() if reason in FINAL},
}
_REDACTION_CODES = frozenset({30029, 30030})  # order redaction from Twilio, or choose redact = "after" or "off"

_MESSAGE_ID = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}", re.ASCII)
_LOG = logging.getLogger(__name__)


def _callback(url: str) -> str:
    if "_" in (urlsplit(url).hostname or ""):
        raise ValueError("must not hold an underscore in its host name (Twilio refuses it)")
    return url


class _Settings(Table):
    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$", title="AC and 32 hex digits", description="the account")
    auth_token_file: Path = Field(description="its token; `hooks` needs it too: Twilio signs with it")
    sender: str | None = Field(
        default=None,
        alias="from",
        min_length=3,
        max_length=15,
        description="the sender; this or `messaging_service_sid`",
    )
    messaging_service_sid: str | None = Field(
        default=None, pattern=r"^MG[0-9a-fA-F]{32}$", title="MG and 32 hex digits", description="it chooses the sender"
    )
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://api.twilio.com", description="another region's; plain `http` only to this machine"
    )
    redact: Literal["on-create", "after", "off"] = Field(
        default="on-create", description="what Twilio keeps of number and text; see below"
    )
    callback_url: Annotated[str, AfterValidator(check_url), AfterValidator(_callback)] | None = Field(
        default=None,
        description="public base URL of `hooks`; without any there are no receipts, and a call that ends in doubt is "
        "`unknown` at once",
        json_schema_extra={"default": "`hooks_url`"},
    )

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        if (self.sender is None) == (self.messaging_service_sid is None):
            raise ValueError("set either from or messaging_service_sid")
        return self


class Twilio(Provider):
    """One Twilio account; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        self.name = name
        self.sender = settings.sender or settings.messaging_service_sid or ""
        receipts = settings.callback_url is not None
        self.capabilities = Capabilities(
            searches=settings.redact == "off",  # Twilio must still hold the number and text to search for
            receipt_carries_reference=receipts,
            validity=True,
            redacts=settings.redact == "on-create",
            forgets=settings.redact == "after",
        )
        self._settings = settings
        self._token = ""
        self._site = Site(settings.base_url)

    def prepare(self, role: Role) -> None:  # noqa: ARG002 - Twilio signs its calls with the token that also sends
        """Read the account's token."""
        self._token = read_secret(self.name, "auth_token_file", self._settings.auth_token_file)
        self._call = _Call(self._site)
        self._client = Client(self._settings.account_sid, self._token, http_client=self._call)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Create one message, once; see ``Provider.send``."""
        outcome = self._attempt(text, min(deadline, self._deadline()))
        if isinstance(outcome, Sent):
            return outcome
        raise outcome.with_traceback(None)  # here, so that no exception of the SDK is attached to it

    def search(self, text: Text, asked: datetime) -> Sent | None:
        """Look through the texts to this number since ``asked`` for one with these words."""
        found = None
        try:
            self._call.begin(self._deadline())
            for message in self._client.messages.list(to=text.to, limit=50, page_size=50):
                near = message.date_created is not None and abs(message.date_created - asked) < SEARCH_WINDOW
                if near and message.body == text.body and _is_message(message.sid) and message.direction != "inbound":
                    found = Sent(message.sid, _segments(message.num_segments) or text.segments)
        except Exception:  # noqa: BLE001 - whatever it was, nothing was found, and the SDK's words hold the number
            return None
        return found

    def forget(self, provider_message_id: str) -> None:
        """Delete a message at Twilio, with its number and text."""
        outcome: ReminderError | None = None
        self._call.begin(self._deadline())
        try:
            self._client.messages(provider_message_id).delete()
        except Exception:  # noqa: BLE001 - the SDK's words may hold the number
            outcome = None if self._call.status == 404 else Ambiguous()  # noqa: PLR2004
        if outcome is not None:
            raise outcome

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a status callback."""
        form = self._verified(request)
        status = STATUSES.get(form.get("MessageStatus", ""))
        message_id = form.get("MessageSid", "")
        if not _is_message(message_id):
            raise malformed()
        code = form.get("ErrorCode", "")
        why = FAILURES.get(int(code) if re.fullmatch("[0-9]{5}", code, re.ASCII) else 0, Reason.CARRIER_FAILED)
        return Receipt(check_path(request), status, message_id, why if status is State.UNDELIVERED else None)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an incoming message."""
        form = self._verified(request)
        if not re.fullmatch(r"\+[1-9][0-9]{4,14}", form.get("From", ""), re.ASCII):
            raise malformed()
        return Reply(form["From"], form.get("Body", ""), form.get("MessageSid", ""))

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _verified(self, request: WebhookRequest) -> dict[str, str]:
        """Return the form if its signature over the public URL is Twilio's."""
        form, shown = request.form(), request.headers.get("x-twilio-signature", "")
        algorithm = get_signature_algorithm(request.headers.get(SIGNATURE_SETTINGS_HEADER.lower()))
        try:
            genuine = RequestValidator(self._token).validate(request.url, form, shown, algorithm)
        except Exception:  # noqa: BLE001 - it raises if something is missing
            genuine = False
        if not genuine or not shown:
            raise forged()
        return form

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.timeout

    def _attempt(self, text: Text, deadline: float) -> Sent | ReminderError:
        self._call.begin(deadline)
        try:
            message = self._client.messages.create(**self._parameters(text))
        except ReminderError as error:
            return error
        except (TwilioRestException, TwilioServiceException) as error:
            return self._judge(error.code if isinstance(error.code, int) else None)
        except Exception:  # noqa: BLE001 an answer that the SDK cannot read: Twilio may have accepted
            return Ambiguous() if self._call.begun else NotSent(Reason.NOT_SENT)
        if not _is_message(message.sid):
            return Ambiguous()
        return Sent(message.sid, _segments(message.num_segments) or text.segments)

    def _parameters(self, text: Text) -> dict[str, Any]:
        """Return what is sent. SmartEncoded stays unset: it would change the text after its segments were counted."""
        settings = self._settings
        parameters: dict[str, Any] = {
            "to": text.to,
            "body": text.body,
            "validity_period": max(1, min(int(text.valid_for.total_seconds()), VALIDITY_LIMIT)),
        }
        if settings.sender is not None:
            parameters["from_"] = settings.sender
        else:
            parameters["messaging_service_sid"] = settings.messaging_service_sid
        if settings.redact == "on-create":
            parameters |= {"content_retention": "discard", "address_retention": "obfuscate"}
        if settings.callback_url is not None:
            parameters["status_callback"] = receipt_url(settings.callback_url, self.name, text.reference)
        return parameters

    def _judge(self, code: int | None) -> ReminderError:
        """Turn a refusal into one of our errors, and log what only an operator can fix."""
        reason = answers.judge(self._call.status, None if code is None else CODES.get(code))
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            shown = {"provider": self.name, "status": self._call.status, "code": _shown(code)}
            _LOG.warning("redaction_missing" if code in _REDACTION_CODES else "provider_answer", extra=shown)
        return answers.error(reason, self._call.retry_after)


class _Call(HttpClient, threading.local):  # type: ignore[misc]  # the SDK has no types
    """The SDK's HTTP client: keeps status and Retry-After of each thread's last request, and nothing that was sent."""

    def __init__(self, site: Site) -> None:
        super().__init__(_LOG, is_async=False)
        self._site = site
        self.begin(0)

    def begin(self, deadline: float) -> None:
        """Forget the previous request; the next one ends at ``deadline``."""
        self._deadline = deadline
        self.begun = False
        self.status = 0
        self.retry_after: str | None = None

    def request(self, method: str, uri: str, **details: Any) -> Response:
        """Make the request, to the host of ``base_url`` whatever the SDK's environment says."""
        user, token = details["auth"]
        credentials = base64.b64encode(f"{user}:{token}".encode()).decode()
        headers = {**details["headers"], "Authorization": f"Basic {credentials}"}
        path = urlsplit(uri).path + (f"?{urlencode(details['params'])}" if details.get("params") else "")
        body = urlencode(details["data"]).encode() if details.get("data") else None
        self.begun = True
        answer = self._site.call(method, path, headers=headers, body=body, deadline=self._deadline)
        self.status = answer.status
        self.retry_after = answer.headers.get("Retry-After")
        return Response(answer.status, answer.body.decode(errors="replace"))


def _is_message(sid: object) -> bool:
    return isinstance(sid, str) and _MESSAGE_ID.fullmatch(sid) is not None


def _segments(text: object) -> int:
    """Read Twilio's count; 0 if it has not counted yet (a messaging service chooses its sender later)."""
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,2}", text) else 0


def _shown(code: int | None) -> str:
    """Show a code only if it looks like one: a longer number could be anything."""
    return str(code) if code is not None and 10_000 <= code <= 99_999 else "unknown"  # noqa: PLR2004
