"""What carries a text to a phone: the protocol, its value types, and the loader for built-ins and plug-ins.

A provider is one file: what it sends, what it reads, and its tables from the provider's words to ours.
A provider's own words never leave its module: they may hold the number.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, TypeVar, runtime_checkable
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from reminder_worker import mistakes, plugins
from reminder_worker.errors import Reason, SettingsError
from reminder_worker.https import check_url
from reminder_worker.job import State
from reminder_worker.webhooks import WebhookRequest, malformed

ENTRY_POINTS = "reminder_worker.providers"
REHEARSAL = "rehearsal"  # the provider of test keys' reminders; a table of that name would reach nobody


class Role(StrEnum):
    """What a process needs a provider for; it reads only the secrets of its role."""

    SEND = "send"  # the worker
    HEAR = "hear"  # the hooks process: receipts and replies


@dataclass(frozen=True, slots=True)
class Text:
    """One text to one phone; lives in memory for one attempt."""

    to: str = field(repr=False)  # E.164
    body: str = field(repr=False)
    segments: int
    reference: str = field(repr=False)  # unguessable, one per attempt: 39 characters of A-Z a-z 0-9 - _
    valid_for: timedelta = field(repr=False)  # the text is useless afterwards; this reveals the appointment's time


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider accepted the text."""

    provider_message_id: str = field(repr=False)  # a gateway may have put the number there
    segments: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider reports about a text; ``state`` is sent, delivered, undelivered, or None if it says nothing."""

    reference: str  # ours; empty if the provider reports only its own id for the text
    state: State | None
    provider_message_id: str = field(default="", repr=False)
    reason: Reason | None = None  # why it was not delivered


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person answered: classified in memory, then forgotten."""

    sender: str = field(repr=False)  # E.164
    text: str = field(repr=False)
    provider_message_id: str = field(default="", compare=False, repr=False)  # the same if sent again; empty: none


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can promise; the delivery protocol chooses by it.

    ``deduplicates``: within ``deduplicates_within`` of an attempt, sending again with its reference is safe.
    ``finds_by_reference``: ``find`` is authoritative once ``settles_within`` has passed since the
    attempt: what it does not find then was never accepted. A list that may lag for hours does not qualify.
    ``searches``: ``search`` may find a text by number and words; finding nothing proves nothing.
    ``receipt_carries_reference``: receipts name our reference, so they settle an attempt in doubt.
    ``receipts_by_id``: receipts name only the provider's message id, which a text in doubt does not have.
    ``fetches_to_verify``: reading a receipt may wait while it fetches what verifies the signature.
    ``validity``: takes ``valid_for``, never longer. ``reaches_phones``: if not, it may be given any number.
    ``redacts``: from the beginning keeps neither text nor full number. ``forgets``: ``forget`` removes them later.
    """

    deduplicates: bool = False
    finds_by_reference: bool = False
    searches: bool = False
    receipt_carries_reference: bool = False
    receipts_by_id: bool = False
    fetches_to_verify: bool = False
    validity: bool = False
    redacts: bool = False
    forgets: bool = False
    reaches_phones: bool = True
    deduplicates_within: timedelta = timedelta(hours=12)
    settles_within: timedelta = timedelta(minutes=10)

    @property
    def reports(self) -> bool:
        """Tell whether it sends receipts."""
        return self.receipt_carries_reference or self.receipts_by_id

    @property
    def settles(self) -> bool:
        """Tell whether anything could settle an attempt in doubt; if not, there is nothing to wait for."""
        return self.deduplicates or self.finds_by_reference or self.searches or self.receipt_carries_reference


class Provider(Protocol):
    """One way to carry a text; built once per process and called from many threads.

    Subclass it: leave a method for what a provider cannot do as it is here; it is never called.
    """

    name: str
    capabilities: Capabilities
    sender: str = ""  # the text's sender as the settings give it; counts for ``sender_rate``

    def prepare(self, role: Role) -> None:
        """Read the secrets that this role needs, and no others. Raises SettingsError."""

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Send within ``deadline`` (on ``time.monotonic``), in one try.

        Raises Rejected, NotSent, Throttled, Ambiguous or Misconfigured; an unknown answer is Ambiguous.
        If the provider refuses a reference because it was used before, the first text was accepted: return Sent.
        """
        ...

    def find(self, reference: str) -> Sent | None:
        """Look up an attempt by our own reference; only called if ``finds_by_reference``."""
        raise NotImplementedError

    def search(self, text: Text, asked: datetime) -> Sent | None:
        """Look for a text, sent from ``asked`` on, by number and words; only called if ``searches``."""
        raise NotImplementedError

    def forget(self, provider_message_id: str) -> None:
        """Have number and text removed; only called if ``forgets``. Raises an error if it has to be tried again.

        A text that no longer exists counts as forgotten.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections; the process is ending."""

    def parse_receipt(self, request: WebhookRequest) -> Receipt:  # noqa: ARG002
        """Verify that a receipt is genuine, then read it. Raises Refused (signature_invalid, malformed).

        Any other error of ours means that it cannot be verified now: the provider is told to call again.
        """
        raise malformed()

    def parse_reply(self, request: WebhookRequest) -> Reply:  # noqa: ARG002
        """Verify that a reply is genuine, then read it; an empty one says nothing. Raises like ``parse_receipt``."""
        raise malformed()


@runtime_checkable
class Line(Provider, Protocol):
    """A provider whose receipts and replies come over the connection that sends, and so to the worker."""

    def listen(self, hear: Callable[[Receipt | Reply], object]) -> None:
        """Open the line, and hand each receipt and each reply to ``hear``; if that raises, it was not taken."""


class Limits(BaseModel):
    """How much a provider may carry and cost, over all workers together."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    # Below about one text in a quarter of an hour, all others would wait until they are of no use.
    rate: float | None = Field(default=None, ge=0.001, le=10_000, description="texts a second, over all workers")
    sender_rate: float | None = Field(
        default=None, ge=0.001, le=10_000, description="the same, for each sender of texts"
    )
    price: float = Field(default=0, ge=0, le=10, description="what a segment costs, in your currency")
    daily_spend: float | None = Field(
        default=None, ge=0.01, le=10_000_000, description="what a day may cost; needs a `price`; the log warns at 80 %"
    )

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        """Refuse a cap that would never, or always, hold texts back."""
        if self.daily_spend is not None and not 0 < self.price <= self.daily_spend:
            raise ValueError("daily_spend: needs a price, of which it holds one segment's at least")
        return self


class Table(Limits):
    """The settings that every provider takes."""  # subclass it with what yours needs, and read it with read_table

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str = Field(default="", title="name", description="which provider it is, if the table has another name")
    callback_url: Annotated[str, AfterValidator(check_url)] | None = Field(
        default=None,
        description="public base URL of `hooks`, where receipts are requested; without one, none come",
        json_schema_extra={"default": "`hooks_url`"},
    )
    timeout: float = Field(default=10.0, ge=0.1, le=60, description="seconds for a whole call, at most")


def load(name: str, table: Mapping[str, Any], role: Role = Role.SEND) -> Provider:
    """Build the provider ``name`` from its settings table, with the secrets that ``role`` needs.

    Raises SettingsError if no plug-in has that name or two have, if its package is missing or does not work, or if
    its table or a secret is wrong.
    """
    if name == REHEARSAL:
        raise SettingsError(f"providers.{name}: choose another name, and say with type which provider it is")
    plug_in = plugins.find(ENTRY_POINTS, f"providers.{name}", str(table.get("type", name)))
    with plugins.told(plug_in, f"providers.{name}"):
        provider: Provider = plug_in.load()(name, table)
        provider.prepare(role)
        if provider.name != name or not plugins.fits(provider.capabilities, Capabilities):
            raise TypeError  # blamed on its package, like any other error of its own
    return provider


T = TypeVar("T", bound=Limits)


def read_table(model: type[T], name: str, table: Mapping[str, Any]) -> T:
    """Check the table of the provider ``name``. Raises SettingsError, which names settings and shows no value."""
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    raise SettingsError(mistakes.told(faults, model, f"providers.{name}"))


def read_secret(name: str, setting: str, path: Path) -> str:
    """Read a file that holds one secret of the provider ``name`` and nothing else. Raises SettingsError."""
    try:
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeError):
        secret = ""
    if not re.fullmatch(r"[!-~]+", secret):
        raise SettingsError(f"providers.{name}.{setting}: must be a readable file with one word and nothing else")
    return secret


def receipt_url(callback_url: str, name: str, reference: str) -> str:
    """Return where a provider reports what became of an attempt; its last part is the attempt's secret."""
    return f"{callback_url}/v1/receipts/{quote(name, safe='')}/{quote(reference, safe='')}"
