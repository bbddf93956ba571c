"""Kannel, the open-source gateway: your own smsbox, called over its HTTP interface with headers and a body.

Headers and a body, because whatever a URL holds ends up in logs: the usual ``GET /cgi-bin/sendsms?to=…&text=…`` is
never used, and replies are taken from a ``post-url`` only. Kannel's answer names no message, it deduplicates nothing
and cannot be asked: an Ambiguous attempt is resolved by a receipt, whose URL carries our reference. Kannel's own words
never leave this module, and a receipt is asked only for its type and the first word of its reason: the rest may quote
the text. What Kannel itself keeps and logs depends on its configuration: docs/providers/kannel.md.
"""

import logging
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

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
from reminder_worker.webhooks import WebhookRequest, check_path, check_token, forged, malformed

PATH = "/cgi-bin/sendsms"
CODINGS = {Encoding.GSM7: "0", Encoding.UCS2: "2"}
ALL_REPORTS = "31"  # 1 delivered, 2 not, 4 buffered by the SMSC, 8 accepted by it, 16 refused

# How bearerbox accepts, with status 202. smsbox's own "Sent." (immediate-sendsms-reply) comes before it has asked.
YES = frozenset({b"0: Accepted for delivery", b"3: Queued for later delivery"})

# How it refuses, with 4xx: it has no codes, only words. What is not here is judged by its status. 503 is Ambiguous: its
# words ("Temporal failure, try again later.") also stand for an answer of bearerbox that smsbox did not understand.
WORDS: Mapping[bytes, Reason] = {
    b"Authorization failed for sendsms": Reason.MISCONFIGURED,  # user, password, or our address
    b"Unknown request.": Reason.MISCONFIGURED,  # sendsms-url is not the usual one
    b"Sender missing and no global set, rejected": Reason.MISCONFIGURED,
    b"DLR-URL field misformed, rejected": Reason.MISCONFIGURED,
    b"Charset or body misformed, rejected": Reason.CONTENT_REFUSED,  # the text cannot be converted
    # This gateway has no route to this number; another provider may
    b"Not routable. Do not try again.": Reason.NOT_SENT,
    # Said both for a number on a list and, if sendsms-chars lacks "+", for any number: so it is not final
    b"Number(s) has/have been denied by white- and/or black-lists.": Reason.NOT_SENT,
}

# What it reports about a text: the type of a receipt, one bit of the mask.
STATUSES: Mapping[str, State] = {
    "1": State.DELIVERED,
    "2": State.UNDELIVERED,
    "4": State.SENT,
    "8": State.SENT,
    "16": State.UNDELIVERED,
}
# Why it did not arrive: how the first word of the reason begins. What is not here is "carrier_failed".
FAILURES: Mapping[str, Reason] = {
    "NACK/validity": Reason.VALIDITY_OVER,
    "NACK/0x0000000a/": Reason.MISCONFIGURED,  # SMPP: the sender is invalid
    "NACK/0x0000000b/": Reason.NUMBER_REFUSED,  # SMPP: the number is invalid
}
# "No SMSC" comes with (even before) the answer "Not routable": the text was never accepted, so this is no receipt.
NEVER_ACCEPTED = "NACK/no"

CHARSETS = frozenset(
    {"utf-8", "utf-16be", "windows-1252", "iso-8859-1"}
)  # of replies; the second is Kannel's for UCS-2

_LOG = logging.getLogger(__name__)


class _Settings(Table):
    base_url: Annotated[str, AfterValidator(check_url)] = Field(
        description="where smsbox takes texts; plain `http` on this machine only, else `sendsms-port-ssl = true`. "
        "`sendsms-url` stays Kannel's default"
    )
    username: str = Field(pattern=r"^[!-~]+$", title="one word", description="the `sendsms-user`")
    password_file: Path = Field(description="its password; only the worker reads it")
    sender: str = Field(
        alias="from",
        pattern=r"^[!-~]([ -~]*[!-~])?$",
        title="number or name, up to 16",
        max_length=16,
        description="the sender: a number, or letters (mostly up to 11) where the operator takes them",
    )
    smsc: str | None = Field(
        default=None,
        pattern=r"^[!-~]+$",
        title="one word",
        description="over which connection (`smsc-id`)",
        json_schema_extra={"default": "Kannel's own routing"},
    )
    webhook_token_file: Path | None = Field(
        default=None,
        description="one word of letters and digits that replies have to show; without it no reply is accepted",
    )


class Kannel(Provider):
    """One user of one Kannel; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(_Settings, name, table)
        self.name = name
        self.sender = settings.sender
        receipts = settings.callback_url is not None
        self.capabilities = Capabilities(
            receipt_carries_reference=receipts,
            validity=True,
        )
        self._settings = settings
        self._password = ""
        self._token = ""
        self._site = Site(settings.base_url)

    def prepare(self, role: Role) -> None:
        """Read the password to send, or the token that replies have to show."""
        settings = self._settings
        if role is Role.SEND:
            self._password = read_secret(self.name, "password_file", settings.password_file)
        elif settings.webhook_token_file is not None:
            self._token = read_secret(self.name, "webhook_token_file", settings.webhook_token_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Hand one text to smsbox, which answers when bearerbox has it; see ``Provider.send``.

        Kannel gives no id, so a text goes by our own reference: both sides know it, from the receipt's URL.
        """
        minutes = text.valid_for // timedelta(minutes=1)
        if minutes < 1:  # Kannel counts in minutes, and one would be too long
            raise NotSent(Reason.NOT_SENT)
        answer = self._site.call(
            "POST",
            PATH,
            headers=self._headers(text, minutes),
            body=text.body.encode(),
            deadline=min(deadline, time.monotonic() + self._settings.timeout),
        )
        if answer.status == 202 and answer.body in YES:  # noqa: PLR2004
            return Sent(text.reference, text.segments)
        raise self._judge(answer)

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a call to a text's ``dlr-url``; the secret in its path is its proof."""
        reference, query = check_path(request), request.query
        if "type" not in query:
            raise malformed()
        state, why = STATUSES.get(query["type"]), query.get("why", "")
        if why == NEVER_ACCEPTED:
            state = None
        if state is not State.UNDELIVERED:
            return Receipt(reference, state)
        reasons = (reason for beginning, reason in FAILURES.items() if why.startswith(beginning))
        return Receipt(reference, state, reason=next(reasons, Reason.CARRIER_FAILED))

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read a call to an sms-service's ``post-url``; the token in that URL is its proof."""
        if not self._token:
            raise forged()
        check_token(request, self._token)
        number = re.fullmatch(r"(?:\+|00)?([1-9][0-9]{4,14})", request.headers.get("x-kannel-from", ""), re.ASCII)
        if number is None or request.method != "POST":
            raise malformed()
        return Reply(f"+{number[1]}", _decoded(request.body, request.headers.get("content-type", "")))

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _headers(self, text: Text, minutes: int) -> dict[str, str]:
        settings = self._settings
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-Kannel-Username": settings.username,
            "X-Kannel-Password": self._password,
            "X-Kannel-From": settings.sender,
            "X-Kannel-To": text.to,
            "X-Kannel-Coding": CODINGS[measure(text.body).encoding],
            "X-Kannel-Validity": str(minutes),
        }
        if settings.smsc is not None:
            headers["X-Kannel-SMSC"] = settings.smsc
        if settings.callback_url is not None:
            url = receipt_url(settings.callback_url, self.name, text.reference)
            headers["X-Kannel-DLR-Mask"] = ALL_REPORTS
            headers["X-Kannel-DLR-Url"] = f"{url.replace('%', '%%')}?type=%d&why=%k"  # Kannel fills in the % codes
        return headers

    def _judge(self, answer: Answer) -> ReminderError:
        """Turn a refusal into one of our errors, and log what only an operator can fix."""
        reason = answers.judge(answer.status, WORDS.get(answer.body))
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            _LOG.warning("provider_answer", extra={"provider": self.name, "status": answer.status})
        return answers.error(reason, answer.headers.get("Retry-After"))


def _decoded(body: bytes, content_type: str) -> str:
    """Read a reply's text. Raises Refused (malformed), also for binary data."""
    kind, _, parameter = content_type.partition(";")
    charset = parameter.strip().lower().removeprefix("charset=").strip('"') or "utf-8"
    if kind.strip().lower() != "text/plain" or charset not in CHARSETS:
        raise malformed()
    try:
        return body.decode(charset)
    except UnicodeDecodeError:
        raise malformed() from None
