"""Infobip: sends JSON under a message id of ours, and reads its status and error codes through tables.

The message id is the attempt's reference. Infobip refuses one that it has seen, so an Ambiguous text may be sent
again with the same one; how long Infobip remembers it is not documented, so only for an hour. A 200 is no acceptance
by itself: it may hold a refusal. Infobip's logs and reports are not asked: nothing says that a text is in them at
once, and a report is handed out only once. Receipts prove themselves by their URL, replies by a token in theirs.
Infobip's own words never leave this module: they hold the number.
"""

import json
import logging
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Struct, field
from pydantic import AfterValidator, Field

from reminder_worker import answers
from reminder_worker.errors import Reason
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
from reminder_worker.webhooks import WebhookRequest, check_path, check_token, forged, malformed

VALIDITY_LIMIT = 48 * 3600  # seconds; Infobip shortens what is longer, and waits that long by default
REMEMBERS = timedelta(hours=1)  # a message id; not documented, so much less than the 48 hours of its logs

# How far a text has come, by the group of its status.
GROUPS: Mapping[str, State] = {
    **dict.fromkeys(("ACCEPTED", "PENDING"), State.SENT),
    "DELIVERED": State.DELIVERED,
    **dict.fromkeys(("UNDELIVERABLE", "EXPIRED", "REJECTED"), State.UNDELIVERED),
}
DUPLICATE = 23  # of a second request with the same message id; about the first it says only that there was one
# Statuses that mean less than their group: only at the operator; nothing about the first; the operator never said.
STATES: Mapping[int, State | None] = {2: State.SENT, DUPLICATE: None, 29: None}

# Why a text was refused, by status. What is not here is Ambiguous in an answer.
STATUSES: Mapping[int, Reason] = {
    **dict.fromkeys((8, 52), Reason.NUMBER_REFUSED),  # prefix or length of no network; invalid
    **dict.fromkeys((10, 14), Reason.OPTED_OUT),  # "do not disturb"; on a blocklist, the operator's or the account's
    25: Reason.CONTENT_REFUSED,  # too long
    # Another provider may: not covered; trial account; no route; system error; not sent; fraud; refused by platform
    **dict.fromkeys((6, 18, 19, 21, 31, 87, 100), Reason.NOT_SENT),
    20: Reason.THROTTLED,  # too many to this number within an hour
    **dict.fromkeys((11, 12, 13, 17), Reason.MISCONFIGURED),  # sender unknown; credit; sender blocked; credit expired
}
# Codes of refused requests (4xx) whose HTTP status does not say it: "cannot be processed".
CODES: Mapping[str, Reason] = {"E400": Reason.NOT_SENT}

# Why a text did not arrive, by the error of its receipt; what is in no table is "carrier_failed".
FAILURES: Mapping[int, Reason] = {
    # Unknown, illegal, or deactivated subscriber; a contract, or a destination, without texts
    **dict.fromkeys((1, 9, 11, 568, 629, 3041), Reason.NUMBER_REFUSED),
    **dict.fromkeys((573, 603, 2050, 2052), Reason.OPTED_OUT),  # had the sender blocked; STOP; two blocklists
    **dict.fromkeys((561, 607), Reason.CONTENT_REFUSED),  # blocked by the operator; spam
    **dict.fromkeys((6, 8, 27, 31, 256, 628), Reason.UNREACHABLE),  # absent, roaming, busy, memory full
    **dict.fromkeys((811, 4098, 4100, 4101), Reason.VALIDITY_OVER),
    4099: Reason.MISCONFIGURED,  # the account's monthly limit
}
_EXPIRED = 15  # status; it means validity_over if no error says otherwise
_PERSONAL = frozenset({Reason.NUMBER_REFUSED, Reason.OPTED_OUT})  # believed only if the error is permanent
_FINALITY = (None, State.SENT, State.UNDELIVERED, State.DELIVERED)  # the last of these in several reports counts

_LOG = logging.getLogger(__name__)
T = TypeVar("T")


class _Status(Struct):
    group: str = field(name="groupName")
    id: int


class _Details(Struct):
    count: int | None = field(name="messageCount", default=None)


class _Error(Struct):
    id: int = 0
    permanent: bool | None = None


class _Message(Struct):  # of an answer, or of a receipt
    name: str = field(name="messageId")
    status: _Status
    details: _Details | None = None
    error: _Error | None = None


class _Answer(Struct):
    messages: list[_Message] = []
    code: str = field(name="errorCode", default="")  # of a request that was refused as a whole


class _Incoming(Struct):
    sender: str = field(name="from")
    name: str | None = field(name="messageId", default=None)
    text: str | None = None


class _Push(Struct, Generic[T]):
    results: list[T]


class _Settings(Table):
    api_key_file: Path = Field(
        description="an API key; the scope `sms:message:send` is enough; only the worker reads it"
    )
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        description="your account's own address; Infobip shows it beside the API key"
    )
    sender: str = Field(
        alias="from", min_length=3, max_length=16, description="the sender: a name (3 to 11 characters) or a number"
    )
    webhook_token_file: Path | None = Field(
        default=None,
        description="a word that you choose; it proves replies. Only `hooks` reads it. Without it no reply is accepted",
    )


class Infobip(Provider):
    """One Infobip account; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        self.name = name
        self.sender = settings.sender
        receipts = settings.callback_url is not None
        self.capabilities = Capabilities(
            deduplicates=True,
            receipt_carries_reference=receipts,
            validity=True,
            deduplicates_within=REMEMBERS,
        )
        self._settings = settings
        self._key = ""
        self._token = ""
        self._site = Site(settings.base_url)

    def prepare(self, role: Role) -> None:
        """Read the API key for sending, the token of replies for hearing."""
        if role is Role.SEND:
            self._key = read_secret(self.name, "api_key_file", self._settings.api_key_file)
        elif self._settings.webhook_token_file is not None:
            self._token = read_secret(self.name, "webhook_token_file", self._settings.webhook_token_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Create one message, once; see ``Provider.send``."""
        media = {"Content-Type": "application/json", "Accept": "application/json"}
        headers = {"Authorization": f"App {self._key}", **media}
        body, until = json.dumps(self._request(text)).encode(), time.monotonic() + self._settings.timeout
        answer = self._site.call("POST", "/sms/3/messages", headers=headers, body=body, deadline=min(deadline, until))
        message = _only_message(answer)
        if message is not None and GROUPS.get(message.status.group) in {State.SENT, State.DELIVERED}:
            return Sent(message.name, (message.details and message.details.count) or text.segments)
        if message is not None and _refused(message) == DUPLICATE:
            return Sent(text.reference, text.segments)  # the first one arrived, and only its answer was lost
        raise answers.error(self._judge(answer, message), answer.headers.get("Retry-After"))

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a delivery report. Its URL is for one text; of several reports at once, the most final counts."""
        reference = check_path(request)
        reports = request.json(_Push[_Message]).results
        if not reports:
            raise malformed()
        for report in reports:
            check_path(request, report.name)
        report = max(reports, key=lambda one: _FINALITY.index(_state(one)))
        state = _state(report)
        return Receipt(reference, state, report.name, _reason(report) if state is State.UNDELIVERED else None)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an incoming message: its whole text, since ``cleanText`` lacks the keyword, and so a STOP.

        Several in one call are refused, so that none is lost unseen: have Infobip send them one by one.
        """
        if not self._token:
            raise forged()
        check_token(request, self._token)
        results = request.json(_Push[_Incoming]).results
        if len(results) != 1 or not re.fullmatch(r"\+?[1-9][0-9]{4,14}", results[0].sender, re.ASCII):
            raise malformed()
        return Reply("+" + results[0].sender.removeprefix("+"), results[0].text or "", results[0].name or "")

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _request(self, text: Text) -> dict[str, Any]:
        """Return what is sent. Language and transliteration stay unset: they would change the text."""
        seconds = max(1, min(int(text.valid_for.total_seconds()), VALIDITY_LIMIT))
        message: dict[str, Any] = {
            "sender": self.sender.removeprefix("+"),
            "destinations": [{"to": text.to.removeprefix("+"), "messageId": text.reference}],
            "content": {"text": text.body},
            "options": {"validityPeriod": {"amount": seconds, "timeUnit": "SECONDS"}},
        }
        url = self._settings.callback_url
        delivery = {"notify": False} if url is None else {"url": receipt_url(url, self.name, text.reference)}
        message["webhooks"] = {"delivery": delivery, "contentType": "application/json"}
        return {"messages": [message], "options": {"includeSmsCountInResponse": True}}

    def _judge(self, answer: Answer, message: _Message | None) -> Reason:
        """Read a refusal, whichever way it came, and log what only an operator can fix."""
        if message is not None:
            code, reason = str(message.status.id), STATUSES.get(_refused(message), Reason.AMBIGUOUS)
        else:
            code = (answers.read(answer.body, _Answer) or _Answer()).code
            reason = answers.judge(answer.status, CODES.get(code))
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            shown = code if re.fullmatch(r"E?[0-9]{1,4}", code, re.ASCII) else "unknown"
            _LOG.warning("provider_answer", extra={"provider": self.name, "status": answer.status, "code": shown})
        return reason


def _only_message(answer: Answer) -> _Message | None:
    """Read the one message of an answer that is no error; None if there is no such thing."""
    accepted = answers.read(answer.body, _Answer) if 200 <= answer.status < 300 else None  # noqa: PLR2004
    return accepted.messages[0] if accepted is not None and len(accepted.messages) == 1 else None


def _refused(message: _Message) -> int:
    """Return the status of a text that was refused in the answer; 0 if its group is no refusal."""
    return message.status.id if GROUPS.get(message.status.group) is State.UNDELIVERED else 0


def _state(report: _Message) -> State | None:
    return STATES.get(report.status.id, GROUPS.get(report.status.group))


def _reason(report: _Message) -> Reason:
    """Return why a text did not arrive: by the error, or else by the status."""
    error = report.error or _Error()
    known = FAILURES.get(error.id)
    if known in _PERSONAL and not error.permanent:
        return Reason.CARRIER_FAILED
    if known is None and report.status.id == _EXPIRED:
        return Reason.VALIDITY_OVER
    known = known or STATUSES.get(report.status.id)
    return Reason.CARRIER_FAILED if known in {None, Reason.NOT_SENT, Reason.THROTTLED} else known
