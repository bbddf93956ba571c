"""Twilio: sends through its SDK, over our own connections, and reads its codes through one table.

Twilio cannot deduplicate, and finds no message by our reference: what is Ambiguous here is resolved by the
receipt alone, whose URL carries the reference. Nothing that Twilio says leaves this module: its words hold
the number. The SDK's own HTTP client is not used: it waits without end and keeps the last number and text.
"""

import base64
import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self
from urllib.parse import quote, urlencode, urlsplit

from pydantic import AfterValidator, Field, model_validator
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from reminder_worker.errors import (
    Ambiguous,
    Misconfigured,
    NotSent,
    Reason,
    Rejected,
    ReminderError,
    SettingsError,
    Throttled,
)
from reminder_worker.https import Site, check_url
from reminder_worker.providers import Capabilities, Sent, Table, Text, read_table

VALIDITY_LIMIT = 36_000  # seconds; Twilio takes 1 to 36000 and waits the longest where nothing is said
RETRY_AFTER_LIMIT = 900.0  # seconds

# From Twilio's codes to ours, for answers that refuse (4xx). What is not here is Ambiguous.
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
    21609: Reason.MISCONFIGURED,  # StatusCallback is no URL that Twilio takes
    # The request may have been carried out
    20500: Reason.AMBIGUOUS,
    20503: Reason.AMBIGUOUS,
}
_REDACTION_CODES = frozenset({30029, 30030})  # the way out: order redaction from Twilio, or set redact = "off"
_REFUSED_ACCOUNT = frozenset({401, 402, 403})  # by status alone: nothing is accepted without credentials or credit

_MESSAGE_ID = re.compile(r"(?:SM|MM)[0-9a-f]{32}", re.ASCII)
_LOG = logging.getLogger(__name__)


def _callback(url: str) -> str:
    if "_" in (urlsplit(url).hostname or ""):
        raise ValueError("must not hold an underscore in its host name (Twilio refuses it)")
    return url


class _Settings(Table):
    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    auth_token_file: Path
    sender: str | None = Field(default=None, alias="from", min_length=3, max_length=15)
    messaging_service_sid: str | None = Field(default=None, pattern=r"^MG[0-9a-fA-F]{32}$")
    base_url: Annotated[str, AfterValidator(check_url)] = "https://api.twilio.com"
    redact: Literal["off", "on-create"] = "on-create"
    callback_url: Annotated[str, AfterValidator(check_url), AfterValidator(_callback)] | None = None
    timeout: float = Field(default=10.0, gt=0, le=60)

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        if (self.sender is None) == (self.messaging_service_sid is None):
            raise ValueError("set either from or messaging_service_sid")
        return self


class Twilio:
    """One Twilio account; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        self.name = name
        receipts = settings.callback_url is not None
        self.capabilities = Capabilities(
            receipt_carries_reference=receipts,
            validity=True,
            redacts=settings.redact == "on-create",
            settles_within=timedelta(minutes=10 if receipts else 0),  # without receipts there is nothing to wait for
        )
        self._settings = settings
        self._token = _read_token(name, settings.auth_token_file)
        self._site = Site(settings.base_url)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Create one message, once; see ``Provider.send``."""
        outcome = self._attempt(text, min(deadline, time.monotonic() + self._settings.timeout))
        if isinstance(outcome, Sent):
            return outcome
        raise outcome.with_traceback(None)  # here, so that no exception of the SDK hangs on to it

    def find(self, reference: str) -> NoReturn:
        """Refuse: Twilio knows no reference of ours, and absence from its list proves nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _attempt(self, text: Text, deadline: float) -> Sent | ReminderError:
        call = _Call(self._site, deadline)
        account = self._settings.account_sid
        try:
            client = Client(account, self._token, http_client=call)
            message = client.messages.create(**self._parameters(text))
        except ReminderError as error:
            return error
        except (TwilioRestException, TwilioServiceException) as error:
            return self._judge(call, error.code if isinstance(error.code, int) else None)
        except Exception:  # noqa: BLE001 an answer that the SDK cannot read: Twilio may have accepted
            return Ambiguous() if call.begun else NotSent(Reason.NOT_SENT)
        if not isinstance(message.sid, str) or not _MESSAGE_ID.fullmatch(message.sid):
            return Ambiguous()
        return Sent(message.sid, _segments(message.num_segments) or text.segments)

    def _parameters(self, text: Text) -> dict[str, Any]:
        """Say what is sent. SmartEncoded stays unset: it would change the text after its segments were counted."""
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
            parameters["status_callback"] = (
                f"{settings.callback_url}/v1/receipts/{quote(self.name, safe='')}/{quote(text.reference, safe='')}"
            )
        return parameters

    def _judge(self, call: "_Call", code: int | None) -> ReminderError:
        """Turn a refusal into one of our errors, and tell the operator what only an operator can mend."""
        reason = _reason(call.status, code)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            event = "redaction_missing" if code in _REDACTION_CODES else "twilio_answer"
            _LOG.warning(event, extra={"provider": self.name, "status": call.status, "code": _shown(code)})
        return _error(reason, call.retry_after)


class _Call(HttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's way to the network, for one request; keeps status and Retry-After, never what was sent."""

    def __init__(self, site: Site, deadline: float) -> None:
        super().__init__(_LOG, is_async=False)
        self._site = site
        self._deadline = deadline
        self.begun = False
        self.status = 0
        self.retry_after: str | None = None

    def request(self, method: str, uri: str, **details: Any) -> Response:
        """Make the request; the host is that of ``base_url``, whatever the SDK's environment says."""
        user, token = details["auth"]
        credentials = base64.b64encode(f"{user}:{token}".encode()).decode()
        headers = {**details["headers"], "Authorization": f"Basic {credentials}"}
        body = urlencode(details["data"]).encode()
        self.begun = True
        answer = self._site.call(method, urlsplit(uri).path, headers=headers, body=body, deadline=self._deadline)
        self.status = answer.status
        self.retry_after = answer.headers.get("Retry-After")
        return Response(answer.status, answer.body.decode(errors="replace"))


def _reason(status: int, code: int | None) -> Reason:
    """Read status and code together: only a refusal (4xx) says what was surely not done."""
    if 300 <= status < 400:  # noqa: PLR2004
        return Reason.MISCONFIGURED  # base_url leads elsewhere; nothing was followed
    if not 400 <= status < 500:  # noqa: PLR2004
        return Reason.AMBIGUOUS
    if status == 429:  # noqa: PLR2004
        return Reason.THROTTLED  # "never processed", whatever the code
    known = None if code is None else CODES.get(code)
    if known is None and status in _REFUSED_ACCOUNT:
        return Reason.MISCONFIGURED
    return known or Reason.AMBIGUOUS


def _error(reason: Reason, retry_after: str | None) -> ReminderError:
    match reason:
        case Reason.AMBIGUOUS:
            return Ambiguous()
        case Reason.MISCONFIGURED:
            return Misconfigured()
        case Reason.THROTTLED:
            return Throttled(_seconds(retry_after))
        case Reason.NOT_SENT:
            return NotSent(reason)
        case _:
            return Rejected(reason)


def _seconds(retry_after: str | None) -> float | None:
    """Read Retry-After, seconds or a date, as 1 to 900 seconds; None where it says neither."""
    value = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]{1,12}", value):
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return max(1.0, min(seconds, RETRY_AFTER_LIMIT))


def _segments(text: object) -> int:
    """Read Twilio's count; 0 where it has not counted yet (a messaging service chooses its sender later)."""
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,2}", text) else 0


def _shown(code: int | None) -> str:
    """Show a code only where it looks like one: a longer number could be anything."""
    return str(code) if code is not None and 10_000 <= code <= 99_999 else "unknown"  # noqa: PLR2004


def _read_token(name: str, path: Path) -> str:
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeError):
        token = ""
    if not re.fullmatch(r"[!-~]+", token):
        raise SettingsError(f"providers.{name}.auth_token_file: must be a readable file that holds the token alone")
    return token
