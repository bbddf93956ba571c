"""The tables of ``reminder-worker.toml``: a booking platform, a route, and the way to a gateway.

Secrets are never here, only the paths of the files that hold them; an error names a setting and never its value.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from reminder_worker import disclosure, names
from reminder_worker.errors import Refused
from reminder_worker.https import check_url
from reminder_worker.job import Level
from reminder_worker.plan import MAX_LEADS, Grid, Lead, QuietHours


def _leads(value: Any) -> Any:
    try:
        return [Lead.parse(text) for text in value] if isinstance(value, list) else value
    except Refused as error:
        raise ValueError(str(error)) from None


def _quiet(value: Any) -> Any:
    return value if value is None or isinstance(value, QuietHours) else QuietHours.parse(str(value))


def _grid(value: Any) -> Any:
    return value if value is None or isinstance(value, Grid) else Grid.parse(str(value))


def _keep_url(value: str) -> str:
    check_url(value)
    return value  # with its last slash: it is asked for as it is written


PublicKey = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{43}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


class Platform(_Table):
    """One booking platform."""

    verify_key: Path
    leads: Annotated[list[Lead], BeforeValidator(_leads), Field(min_length=1, max_length=MAX_LEADS)] = [
        Lead.parse("24h")
    ]
    quiet_hours: Annotated[QuietHours | None, BeforeValidator(_quiet)] = None
    due_grid: Annotated[Grid | None, BeforeValidator(_grid)] = None  # how coarsely Redis may know when
    level: Level = Level.PLACE
    sender: str | None = Field(default=None, max_length=30)  # a neutral trade name, for level "sender"
    not_you: Annotated[str, Field(pattern=r"^(reply|\+[1-9]\d{6,14})$")] | None = None  # STOP, or a number to call
    locations: Literal["lint", "catalogue"] = "lint"  # "catalogue": only what a person has reviewed
    locations_file: Path | None = None  # that catalogue, signed by the platform
    deny: list[str] = Field(default=[], max_length=1000, repr=False)  # names that tell too much, beside the lint's
    countries: list[Annotated[str, Field(pattern="^[A-Z]{2}$")]] = []
    daily_cap: int = Field(default=10_000, ge=1)  # texts a day, so that a stolen key is no fortune
    resolver_url: Annotated[str, AfterValidator(_keep_url)] | None = None  # where contact: pointers are resolved
    resolver_secret_file: Path | None = None
    resolver_private: bool = False  # it is in a network of ours, or on this machine
    events_url: Annotated[str, AfterValidator(_keep_url)] | None = None  # where it is told what became of reminders
    events_secret_file: Path | None = None
    events_private: bool = False  # as for the resolver
    api_rate: int = Field(default=200, ge=1, le=100_000)  # reminders a second through the HTTP API

    @field_validator("sender")
    @classmethod
    def _neutral(cls, value: str | None) -> str | None:
        if value is not None and disclosure.discloses(value):
            raise ValueError("discloses a reason or a speciality; choose a neutral name")
        return value

    @field_validator("deny")
    @classmethod
    def _long_enough(cls, value: list[str]) -> list[str]:
        if not all(map(names.is_name, value)):
            raise ValueError(f"a name has at least {names.FEWEST_LETTERS} letters: else it is in half of all places")
        return value

    @model_validator(mode="after")
    def _complete(self) -> "Platform":
        if self.level is Level.SENDER and not self.sender:
            raise ValueError('level "sender" needs a sender')
        if self.locations == "catalogue" and self.locations_file is None:
            raise ValueError('locations "catalogue" needs a locations_file')
        for name in ("resolver", "events"):
            if (getattr(self, f"{name}_url") is None) != (getattr(self, f"{name}_secret_file") is None):
                raise ValueError(f"{name}_url and {name}_secret_file need each other")
            if (getattr(self, f"{name}_url") or "").startswith("http:") and not getattr(self, f"{name}_private"):
                raise ValueError(f"{name}_url: one on this machine needs {name}_private = true")
        return self


class Route(_Table):
    """Which providers carry a text, in order, to numbers that begin with ``prefix``; the longest prefix wins."""

    prefix: str = Field(default="+", pattern=r"^\+\d*$")
    providers: list[str] = Field(min_length=1)
    weights: list[Annotated[int, Field(ge=0, le=1000)]] | None = None  # how often each comes first

    @field_validator("providers")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("name each provider once")
        return value

    @model_validator(mode="after")
    def _a_weight_each(self) -> "Route":
        if self.weights is not None and (len(self.weights) != len(self.providers) or not any(self.weights)):
            raise ValueError("weights: give one for each provider, and not only zeros")
        return self


class Gateway(_Table):
    """How the command line of a platform reaches the gateway, where it does not reach the store."""

    url: Annotated[str, AfterValidator(check_url)]
    key_file: Path  # what ``keys new api`` wrote
    platform: str = Field(pattern="^[a-z0-9-]{1,20}$")
    root: PublicKey | None = None  # the root that the operator told you: the keys must be signed by it
    pinned: PublicKey | None = None  # the pointer key that the operator told you: the newest must be that
    countries: list[Annotated[str, Field(pattern="^[A-Z]{2}$")]] = []

    @model_validator(mode="after")
    def _something_is_pinned(self) -> "Gateway":
        if self.root is None and self.pinned is None:
            raise ValueError("pin the worker's root, or its pointer key: root or pinned")
        return self
