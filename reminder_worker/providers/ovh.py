"""OVHcloud SMS: signed JSON to ``POST /sms/{service}/jobs``; receipts name only OVH's own id for a text.

OVH cannot deduplicate. An Ambiguous text can be found by its tag, a hash of the reference, in OVH's list of sent
texts; a text that still waits is in another list, and nothing says when it appears here, so absence proves nothing.
OVH signs none of its calls: receipts and replies prove themselves by the token in the URL that OVH was given.
The whole text and number stay in OVH's history for 6 months (12 in its export) unless ``forget`` deletes them.

Signatures carry the time of our own clock: /auth/time would be a second call that can fail or hang, production does
not start with a wrong clock, and a request that a frozen process sends late should be refused for its age.
"""

import hashlib
import json
import logging
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
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
)
from reminder_worker.webhooks import WebhookRequest, check_token, forged, malformed

VALIDITY_LIMIT = 2880  # minutes; OVH's own default

# From OVH's codes to ours, for answers that refuse (4xx): "errorCode" of the API itself, "class" of a service behind
# it, and the one sentence that states a sender's limit. What is not here is judged by its status.
CODES: Mapping[str, Reason] = {
    "INVALID_SIGNATURE": Reason.MISCONFIGURED,  # comes with status 400
    "INVALID_KEY": Reason.MISCONFIGURED,
    "INVALID_CREDENTIAL": Reason.MISCONFIGURED,  # the consumer key is not valid, or no longer
    "NOT_CREDENTIAL": Reason.MISCONFIGURED,
    "NOT_GRANTED_CALL": Reason.MISCONFIGURED,  # the key may not do this
    "Client::NotFound": Reason.MISCONFIGURED,  # no such service
    "cannot send contact information with shortcode": Reason.NOT_SENT,  # another sender or provider can
}
EXPIRED = 460  # the status for an SMS account that has expired

# What OVH's "ptt" says about a text; the published list is not complete.
UNDELIVERED: Mapping[str, Reason] = {
    **dict.fromkeys(("5", "20", "21", "25", "27", "39", "73", "76", "202"), Reason.CARRIER_FAILED),  # or the handset
    "8": Reason.VALIDITY_OVER,
    "23": Reason.NUMBER_REFUSED,  # wrong, or barred for good
    **dict.fromkeys(("24", "26", "74"), Reason.UNREACHABLE),  # absent, full or busy, roaming
    **dict.fromkeys(("28", "29", "33"), Reason.CONTENT_REFUSED),  # spam, not permitted, a parental lock
}
STATES: Mapping[str, State | None] = {
    **dict.fromkeys(("1", "2", "3"), State.SENT),  # tried again, or taken by the operator
    "4": State.DELIVERED,
    "6": None,  # the operator does not say
    **dict.fromkeys(UNDELIVERED, State.UNDELIVERED),
}
# The coarse state beside it, in the parameter "description": used if the ptt is not in the list.
COARSE: Mapping[str, State] = {
    **dict.fromkeys(("0", "4", "8"), State.SENT),  # pending, waiting, buffered
    "1": State.DELIVERED,
    **dict.fromkeys(("2", "16"), State.UNDELIVERED),
}

_LOG = logging.getLogger(__name__)


class _Report(msgspec.Struct, rename="camel"):
    """What became of the receivers of a job; the numbers in it are counted and never read."""

    ids: list[Annotated[int, msgspec.Meta(ge=1)]]
    valid_receivers: list[Any] = []
    invalid_receivers: list[Any] = []


class _Refusal(msgspec.Struct, rename={"error_code": "errorCode", "kind": "class"}):
    error_code: str = ""
    kind: str = ""
    message: str = ""


class _Settings(Table):
    service: str = Field(
        pattern=r"^[A-Za-z0-9-]{3,64}$", title="3 to 64 letters, digits and -", description="the SMS account"
    )
    application_key: str = Field(
        pattern=r"^[!-~]{1,128}$",
        title="one word",
        description="of an API token with unlimited validity and the rights `POST /sms/{service}/jobs`, `GET` and "
        "`DELETE /sms/{service}/outgoing*` for this account, and no more",
    )
    application_secret_file: Path = Field(description="that token's secret; only the worker reads it")
    consumer_key_file: Path = Field(description="its consumer key; only the worker reads it")
    sender: str | None = Field(
        default=None,
        alias="from",
        pattern=r"^(?:[A-Za-z0-9 ]{3,11}|\+?[0-9]{3,15})$",
        title="name or number",
        description="a validated sender of at most 11 letters and digits; this or `sender_for_response`",
    )
    sender_for_response: bool = Field(
        default=False,
        description="`true`: a short number that changes, for France only, which people can answer for 48 hours",
    )
    webhook_token_file: Path | None = Field(
        default=None, description="one word that you make up; without it neither receipts nor replies are accepted"
    )
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        default="https://eu.api.ovh.com/1.0", description="where its API is; `https://ca.api.ovh.com/1.0` for Canada"
    )

    @model_validator(mode="after")
    def _one_sender(self) -> Self:
        if (self.sender is None) != self.sender_for_response:
            raise ValueError("set either from or sender_for_response = true")
        return self


class Ovh(Provider):
    """One SMS account at OVHcloud; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        self.name = name
        self.sender = settings.sender or settings.service
        by_id = settings.webhook_token_file is not None
        self.capabilities = Capabilities(searches=True, receipts_by_id=by_id, validity=True, forgets=True)
        self._settings = settings
        self._application_secret = self._consumer_key = self._webhook_token = ""
        self._site = Site(settings.base_url)

    def prepare(self, role: Role) -> None:
        """Read the two keys that send, or the token that OVH's calls carry."""
        settings = self._settings
        if role is Role.SEND:
            secret, key = settings.application_secret_file, settings.consumer_key_file
            self._application_secret = read_secret(self.name, "application_secret_file", secret)
            self._consumer_key = read_secret(self.name, "consumer_key_file", key)
        elif settings.webhook_token_file is not None:
            self._webhook_token = read_secret(self.name, "webhook_token_file", settings.webhook_token_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Create one job for one receiver, once; see ``Provider.send``."""
        minutes = min(text.valid_for // timedelta(minutes=1), VALIDITY_LIMIT)
        if minutes < 1:  # OVH counts whole minutes, and even one would be too long
            raise NotSent(Reason.NOT_SENT)
        answer = self._call("POST", "/jobs", self._job(text, minutes), min(deadline, self._deadline()))
        report = answers.read(answer.body, _Report) if answer.status // 100 == 2 else None  # noqa: PLR2004
        if report is not None and len(report.ids) == 1 and not report.invalid_receivers:
            return Sent(str(report.ids[0]), text.segments)
        if report is not None and report.invalid_receivers and not report.ids and not report.valid_receivers:
            raise answers.error(Reason.NUMBER_REFUSED)
        raise self._judge(answer)

    def search(self, text: Text, asked: object) -> Sent | None:  # noqa: ARG002 - the tag names the attempt
        """Look for the tag of an attempt in OVH's list of sent texts; the query holds neither number nor words."""
        try:
            answer = self._call("GET", f"/outgoing?tag={_tag(text.reference)}", None, self._deadline())
        except ReminderError:
            return None
        ids = answers.read(answer.body, list[int]) if answer.status // 100 == 2 else None  # noqa: PLR2004
        return Sent(str(ids[0]), text.segments) if ids is not None and len(ids) == 1 else None

    def forget(self, provider_message_id: str) -> None:
        """Delete a text from OVH's history, with its number."""
        if not _is_id(provider_message_id):
            return
        answer = self._call("DELETE", f"/outgoing/{provider_message_id}", None, self._deadline())
        if answer.status // 100 != 2 and answer.status != 404:  # noqa: PLR2004
            raise self._judge(answer)

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a change of state: the parameters that OVH adds to the account's or the user's callback URL."""
        given = self._verified(request)
        ptt, name = given.get("ptt", ""), given.get("id", "")
        if not _is_id(name):
            raise malformed()
        state = STATES[ptt] if ptt in STATES else COARSE.get(given.get("description", ""))
        why = UNDELIVERED.get(ptt, Reason.CARRIER_FAILED) if state is State.UNDELIVERED else None
        return Receipt("", state, name, why)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read an answer to a text that was sent with ``sender_for_response``."""
        given = self._verified(request)
        sender = re.fullmatch(r"(?:\+|00)?([1-9][0-9]{6,14})", given.get("senderid", ""), re.ASCII)
        if sender is None or "message" not in given:
            raise malformed()
        return Reply(f"+{sender[1]}", given["message"])

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _verified(self, request: WebhookRequest) -> dict[str, str]:
        """Return the parameters of a call whose URL carries our token."""
        if not self._webhook_token:  # an empty token would match a missing one
            raise forged()
        check_token(request, self._webhook_token)
        return {**request.query, **(request.form() if request.method == "POST" else {})}

    def _job(self, text: Text, minutes: int) -> bytes:
        """Return what is sent; in ASCII, as OVH's own client writes and signs it.

        ``coding`` stays unset: OVH deprecates it and takes the alphabet from the message, so nothing is respelt.
        """
        sender = self._settings.sender
        job = {
            "receivers": [text.to],
            "message": text.body,
            "charset": "UTF-8",
            "noStopClause": True,  # not an advertisement: no uncounted STOP line, no waiting for Monday
            "priority": "high",
            "validityPeriod": minutes,
            "tag": _tag(text.reference),
            **({"senderForResponse": True} if sender is None else {"sender": sender}),
        }
        return json.dumps(job, separators=(",", ":")).encode()

    def _call(self, method: str, path: str, body: bytes | None, deadline: float) -> Answer:
        """Make a signed call below the SMS account's address."""
        path = f"/sms/{self._settings.service}{path}"
        moment = str(int(time.time()))
        keys = f"{self._application_secret}+{self._consumer_key}"
        signed = f"{keys}+{method}+{self._settings.base_url}{path}+{(body or b'').decode()}+{moment}"
        headers = {
            "Content-Type": "application/json",
            "X-Ovh-Application": self._settings.application_key,
            "X-Ovh-Consumer": self._consumer_key,
            "X-Ovh-Timestamp": moment,
            "X-Ovh-Signature": "$1$" + hashlib.sha1(signed.encode()).hexdigest(),  # noqa: S324 - OVH's scheme
        }
        return self._site.call(method, path, headers=headers, body=body, deadline=deadline)

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.timeout

    def _judge(self, answer: Answer) -> ReminderError:
        """Turn a refusal into one of our errors, and log what only an operator can fix."""
        said = answers.read(answer.body, _Refusal) or _Refusal()
        code = next((word for word in (said.error_code, said.kind, said.message) if word in CODES), None)
        known = Reason.MISCONFIGURED if answer.status == EXPIRED else None if code is None else CODES[code]
        reason = answers.judge(answer.status, known)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            shown = {"provider": self.name, "status": answer.status, "code": code or "unknown"}
            _LOG.warning("provider_answer", extra=shown)
        return answers.error(reason, answer.headers.get("Retry-After"))


def _tag(reference: str) -> str:
    """Name an attempt in the 20 characters that a tag may have; the reference cannot be read from it."""
    return hashlib.blake2b(reference.encode(), digest_size=10).hexdigest()


def _is_id(name: str) -> bool:
    return re.fullmatch(r"[0-9]{1,20}", name, re.ASCII) is not None
