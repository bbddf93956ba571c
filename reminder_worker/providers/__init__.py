"""What carries a text to a phone: the protocol, its value types, and the loader for built-ins and plug-ins.

A provider is one file: what it sends, what it reads, and one table from its codes to ours.
A provider's own words never leave its module: they may hold the number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from reminder_worker.errors import SettingsError

ENTRY_POINTS = "reminder_worker.providers"


@dataclass(frozen=True, slots=True)
class Text:
    """One text to one phone; lives in memory for one attempt."""

    to: str = field(repr=False)  # E.164
    body: str = field(repr=False)
    segments: int
    reference: str  # unguessable, one per attempt
    valid_for: timedelta  # useless after that


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider accepted the text."""

    provider_message_id: str
    segments: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can promise; the delivery protocol chooses by it.

    ``finds_by_reference``: ``find`` is authoritative once ``settles_within`` has passed since the
    attempt: what it does not find then was never accepted. A list that may lag for hours is not that.
    """

    deduplicates: bool = False
    finds_by_reference: bool = False
    receipt_carries_reference: bool = False
    validity: bool = False
    redacts: bool = False
    reaches_phones: bool = True
    settles_within: timedelta = timedelta(minutes=10)


class Provider(Protocol):
    """One way to carry a text; built once per process and called from many threads."""

    name: str
    capabilities: Capabilities

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Send within ``deadline`` (on ``time.monotonic``), one try.

        Raises Rejected, NotSent, Throttled, Ambiguous or Misconfigured; an unknown answer is Ambiguous.
        """
        ...

    def find(self, reference: str) -> Sent | None:
        """Look up an attempt by our own reference; only called where ``finds_by_reference``."""
        ...


def load(name: str, table: Mapping[str, Any]) -> Provider:
    """Build the provider ``name`` from its settings table.

    Raises SettingsError where no plug-in has that name, its package is missing or its table is wrong.
    """
    found = tuple(entry_points(group=ENTRY_POINTS, name=str(table.get("type", name))))
    if not found:
        known = ", ".join(sorted(entry_points(group=ENTRY_POINTS).names))
        raise SettingsError(f"providers.{name}: no such provider; there are: {known}")
    try:
        make = found[0].load()
    except ModuleNotFoundError as error:
        if str(error.name).startswith("reminder_worker"):
            raise  # ours to mend, not the operator's
        raise SettingsError(f"providers.{name}: run `pip install '{_package(found[0])}'`") from None
    provider: Provider = make(name, table)
    return provider


def _package(plug_in: EntryPoint) -> str:
    """Name what to install so that a plug-in has all it imports: its package, with the extra called like it."""
    if plug_in.dist is None:
        return plug_in.module.partition(".")[0]
    extras = plug_in.dist.metadata.get_all("Provides-Extra") or ()
    return f"{plug_in.dist.name}[{plug_in.name}]" if plug_in.name in extras else plug_in.dist.name


class Table(BaseModel):
    """The settings table of one provider; subclass it, and read it with ``read_table``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str = ""  # which plug-in, where the table's name is not the plug-in's


T = TypeVar("T", bound=Table)


def read_table(model: type[T], name: str, table: Mapping[str, Any]) -> T:
    """Check the table of the provider ``name``. Raises SettingsError, which names settings and shows no value."""
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        faults = [
            (".".join(str(part) for part in fault["loc"]), fault["msg"].removeprefix("Value error, "))
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    raise SettingsError("; ".join(f"providers.{name}{'.' * bool(where)}{where}: {what}" for where, what in faults))
