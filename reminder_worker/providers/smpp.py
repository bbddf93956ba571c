"""SMPP 3.4: a line of your own to a carrier or aggregator; it carries texts, receipts and replies.

It can promise little: an SMSC neither deduplicates nor finds a text by our reference, and its receipts name only its
own id. So a text that was handed over and not answered stays in doubt. A long text goes out as linked segments, one
after the other: if the first is refused, nothing was sent; after that, all are accepted or the text is in doubt, and
no segment is ever sent again. The receipt of the last one stands for the text. No number or text is logged or kept.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from aiosmpplib.protocol import SubmitSm
from aiosmpplib.state import NPI, TON, PhoneNumber, SmppCommandStatus
from pydantic import Field

from reminder_worker import answers
from reminder_worker.errors import Reason, SettingsError
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
from reminder_worker.wire.link import Answer
from reminder_worker.wire.shortmessages import HAS_HEADER, UCS2, Delivery, encode
from reminder_worker.wire.smsc import BIND_REFUSED, Account, Bind

VALIDITY_LIMIT = timedelta(days=7)  # the relative form gives longer times in months
PASSWORD_LIMIT = 8  # characters

# From command_status to ours (SMPP 3.4, 5.1.3). What is not here, vendors' own codes included, is Ambiguous.
CODES: Mapping[int, Reason] = {
    0x0B: Reason.NUMBER_REFUSED,  # ESME_RINVDSTADR
    0x01: Reason.CONTENT_REFUSED,  # ESME_RINVMSGLEN
    # Too many at once
    0x14: Reason.THROTTLED,  # ESME_RMSGQFUL
    0x58: Reason.THROTTLED,  # ESME_RTHROTTLED
    # Documented as not done; another provider may
    0x04: Reason.NOT_SENT,  # ESME_RINVBNDSTS: no longer bound
    0x45: Reason.NOT_SENT,  # ESME_RSUBMITFAIL
    0x62: Reason.NOT_SENT,  # ESME_RINVEXPIRY: it does not accept this validity period
    # The account and its settings
    **dict.fromkeys(BIND_REFUSED, Reason.MISCONFIGURED),
    **dict.fromkeys((0x02, 0x03, 0x06, 0x07, 0x15, 0x43), Reason.MISCONFIGURED),  # a field that it does not accept
    **dict.fromkeys((0x0A, 0x48, 0x49), Reason.MISCONFIGURED),  # the sender, its TON, its NPI
    **dict.fromkeys((0x50, 0x51), Reason.MISCONFIGURED),  # the TON and NPI of numbers
    # It may have been done
    0x08: Reason.AMBIGUOUS,  # ESME_RSYSERR
    0xFF: Reason.AMBIGUOUS,  # ESME_RUNKNOWNERR
}
# What a receipt says, by the first five letters: some SMSCs write whole words (REJECTED).
STATES: Mapping[str, tuple[State | None, Reason | None]] = {
    "ENROU": (State.SENT, None),
    "ACCEP": (State.SENT, None),
    "DELIV": (State.DELIVERED, None),
    "EXPIR": (State.UNDELIVERED, Reason.VALIDITY_OVER),
    "DELET": (State.UNDELIVERED, Reason.CARRIER_FAILED),
    "UNDEL": (State.UNDELIVERED, Reason.CARRIER_FAILED),  # ``err`` says why, in each network's own numbers
    "REJEC": (State.UNDELIVERED, Reason.CARRIER_FAILED),
    "UNKNO": (None, None),
}
_NUMBER = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})", re.ASCII)
_MESSAGE_ID = re.compile(r"[!-~]{1,64}", re.ASCII)

_LOG = logging.getLogger(__name__)


class _Settings(Table):
    host: str = Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$", title="name or address", description="the SMSC")
    port: int = Field(default=2775, ge=1, le=65535, description="its port")
    tls: bool = Field(
        default=True,
        description="name and certificate are verified against the system's authorities. `false` for a tunnel that "
        "ends on this machine, or a network that nobody else can listen to",
    )
    system_id: str = Field(pattern=r"^[!-~]{1,15}$", title="one word, up to 15", description="the account")
    password_file: Path = Field(description="its password, at most 8 characters (the protocol's own limit)")
    system_type: str = Field(default="", pattern=r"^[ -~]{0,12}$", description="if the account has one")
    service_type: str = Field(default="", pattern=r"^[ -~]{0,5}$", description="if the SMSC wants one with a text")
    sender: str = Field(
        alias="from",
        pattern=r"^(\+?[0-9]{3,15}|[A-Za-z0-9 .&-]{1,11})$",
        title="number or name, up to 11",
        description="`+` and a number, a short code, or a name of at most 11 characters",
    )
    source_ton: TON | None = Field(
        default=None,
        title="whole number, 0 to 6",
        description="the sender's type of number",
        json_schema_extra={"default": "1 for a number with `+`, 0 for other digits, 5 for a name"},
    )
    source_npi: NPI | None = Field(
        default=None,
        title="whole number",
        description="the sender's numbering plan",
        json_schema_extra={"default": "1 for a number with `+`, else 0"},
    )
    destination_ton: TON = Field(
        default=TON.INTERNATIONAL, title="whole number, 0 to 6", description="the recipients' type of number"
    )
    destination_npi: NPI = Field(default=NPI.ISDN, title="whole number", description="the recipients' numbering plan")
    default_alphabet: Literal["gsm", "latin1"] = Field(
        default="gsm", description="what data_coding 0 means to this SMSC; `gsm`: one character per octet"
    )
    message_id: Literal["as-is", "hex", "decimal"] = Field(
        default="as-is",
        description="`hex`: its acceptances give a text's id in hexadecimal, its receipts in decimal; `decimal`: "
        "the other way round",
    )
    try_again: Literal["ESME_RX_T_APPN", "ESME_RSYSERR"] = Field(
        default="ESME_RX_T_APPN", description="the answer that makes the SMSC deliver again"
    )
    window: int = Field(default=10, ge=1, le=1000, description="requests that may wait for an answer at once")
    enquire_link: float = Field(
        default=30.0, gt=0, le=600, description="seconds of silence after which the SMSC is asked for a sign of life"
    )


class Smpp(Provider):
    """One account at one SMSC, one line per process; safe to share between threads."""

    capabilities = Capabilities(receipts_by_id=True, validity=True)

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        self.name = name
        self._settings = read_table(_Settings, name, table)
        self.sender = self._settings.sender
        self._source = _source(self._settings)
        self._bind: Bind | None = None
        self._hear: Callable[[Receipt | Reply], None] | None = None

    def prepare(self, role: Role) -> None:
        """Read the password in a process that sends; connect to nothing."""
        if role is not Role.SEND:
            return
        settings = self._settings
        password = read_secret(self.name, "password_file", settings.password_file)
        if len(password) > PASSWORD_LIMIT:
            raise SettingsError(f"providers.{self.name}.password_file: SMPP has room for {PASSWORD_LIMIT} characters")
        if not settings.tls:
            _LOG.warning("line_not_encrypted", extra={"provider": self.name})
        account = Account(
            name=self.name,
            host=settings.host,
            port=settings.port,
            tls=settings.tls,
            system_id=settings.system_id,
            password=password,
            system_type=settings.system_type,
            window=settings.window,
            idle=settings.enquire_link,
            try_again=SmppCommandStatus[settings.try_again],
        )
        self._bind = Bind(account, self._deliver)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Submit all segments, once; see ``Provider.send``."""
        outcome = self._attempt(text, min(deadline, time.monotonic() + self._settings.timeout))
        if isinstance(outcome, Sent):
            return outcome
        raise answers.error(outcome)

    def listen(self, hear: Callable[[Receipt | Reply], None]) -> None:
        """Bind, and hand over what arrives; the SMSC gets its answer when ``hear`` has returned."""
        self._hear = hear
        if self._bind is not None:
            self._bind.start()

    def close(self) -> None:
        """Unbind."""
        if self._bind is not None:
            self._bind.close()

    def _attempt(self, text: Text, deadline: float) -> Sent | Reason:
        try:
            data_coding, segments = encode(text.body, self._settings.default_alphabet)
            messages = [self._message(text, data_coding, segments, index) for index in range(len(segments))]
        except ValueError:
            return Reason.NOT_SENT  # half a character, or not a number: nothing that can be sent
        outcome: str | Reason = Reason.MISCONFIGURED
        for index, message in enumerate(messages):
            outcome = self._submit(message, deadline)
            if isinstance(outcome, Reason):
                return Reason.AMBIGUOUS if index else outcome  # the phone may show what has already left
        return outcome if isinstance(outcome, Reason) else Sent(outcome, len(messages))

    def _submit(self, message: SubmitSm, deadline: float) -> str | Reason:
        """Submit one segment; return the SMSC's id for it, or why there is none."""
        if self._bind is None:
            return Reason.MISCONFIGURED  # built for another role
        answer = self._bind.submit(message, deadline)
        if not isinstance(answer, Answer):
            return answer
        if answer.status == SmppCommandStatus.ESME_ROK:
            named = _MESSAGE_ID.fullmatch(answer.message_id)
            return self._id(answer.message_id, ours=True) if named else Reason.AMBIGUOUS
        reason = CODES.get(answer.status, Reason.AMBIGUOUS)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            code = f"0x{answer.status:02x}"
            _LOG.warning("provider_answer", extra={"provider": self.name, "code": code})
        return reason

    def _message(self, text: Text, data_coding: int, segments: list[bytes], index: int) -> SubmitSm:
        last = index == len(segments) - 1
        message = SubmitSm(
            short_message="-",  # replaced below by what is sent: aiosmpplib would encode it again
            source=self._source,
            destination=PhoneNumber(
                text.to.removeprefix("+"), self._settings.destination_ton, self._settings.destination_npi
            ),
            service_type=self._settings.service_type,
            esm_class=HAS_HEADER if len(segments) > 1 else 0,
            validity_period=max(timedelta(seconds=1), min(text.valid_for, VALIDITY_LIMIT)),
            registered_delivery=int(last),
            encoding="ucs2" if data_coding == UCS2 else None,
        )
        message.set_encoded_message(segments[index])
        return message

    def _deliver(self, delivery: Delivery) -> None:
        """Hand on what the SMSC brings. Raises if nobody took it."""
        found = self._receipt(delivery) if delivery.is_receipt else self._reply(delivery)
        if found is None:
            shown = {"provider": self.name}
            _LOG.warning("receipt_unreadable" if delivery.is_receipt else "reply_unreadable", extra=shown)
        elif self._hear is None:
            raise LookupError  # nobody listens yet
        else:
            self._hear(found)

    def _receipt(self, delivery: Delivery) -> Receipt | None:
        report = delivery.report(self._settings.default_alphabet)
        name = self._id(report.named or report.named_in_text, ours=bool(report.named))
        state, reason = STATES.get(report.state.upper()[:5], (None, None))
        return Receipt("", state, name, reason) if _MESSAGE_ID.fullmatch(name) else None

    def _reply(self, delivery: Delivery) -> Reply | None:
        """Read what a person wrote; None if the sender is not a whole number, which identifies nobody.

        Of a long text only the first segment is read: the next one begins anywhere, and may mean the opposite.
        """
        number = _NUMBER.fullmatch(delivery.sender)
        if number is None or delivery.sender_type not in {TON.UNKNOWN, TON.INTERNATIONAL}:
            return None
        return Reply(f"+{number[1]}", "" if delivery.segment > 1 else delivery.text(self._settings.default_alphabet))

    def _id(self, name: str, *, ours: bool) -> str:
        """Bring the SMSC's id for a text into one form; ``ours``: it has the form of the answer to our request."""
        if self._settings.message_id == "as-is":
            return name
        try:
            return str(int(name, 16 if ours == (self._settings.message_id == "hex") else 10))
        except ValueError:
            return name


def _source(settings: _Settings) -> PhoneNumber:
    """Return the sender in the form that the SMSC expects: a number, a short code, or a name."""
    sender = settings.sender
    if sender.startswith("+"):
        kind, plan = TON.INTERNATIONAL, NPI.ISDN
    elif sender.isdigit():
        kind, plan = TON.UNKNOWN, NPI.UNKNOWN
    else:
        kind, plan = TON.ALPHANUMERIC, NPI.UNKNOWN
    kind = kind if settings.source_ton is None else settings.source_ton
    plan = plan if settings.source_npi is None else settings.source_npi
    return PhoneNumber(sender.removeprefix("+"), kind, plan)
