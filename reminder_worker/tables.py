"""The tables of ``reminder-worker.toml``: a booking platform, a route, and the way to a gateway.

Secrets are never here, only the paths of the files that hold them; an error names a setting and never its value.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from reminder_worker import disclosure, names
from reminder_worker.encoding import MAX_LEADS
from reminder_worker.errors import Refused
from reminder_worker.https import check_url
from reminder_worker.job import Level
from reminder_worker.mistakes import like
from reminder_worker.plan import Grid, Lead, QuietHours


def _leads(value: Any) -> Any:
    try:
        return [Lead.parse(text) for text in value] if isinstance(value, list) else value
    except Refused as error:
        raise ValueError(str(error).removeprefix("leads: ")) from None  # as pydantic names it, too


def _quiet(value: Any) -> Any:
    return value if value is None or isinstance(value, QuietHours) else QuietHours.parse(str(value))


def _grid(value: Any) -> Any:
    return value if value is None or isinstance(value, Grid) else Grid.parse(str(value))


def _keep_url(value: str) -> str:
    check_url(value)
    return value  # with its last slash: it is asked for as it is written


PublicKey = Annotated[
    str, like("[A-Za-z0-9_-]{43}", "a public key: 43 of A-Z, a-z, 0-9, _ and -"), Field(title="43 characters")
]
Url = Annotated[str, AfterValidator(_keep_url)]
Country = Annotated[str, like("[A-Z]{2}", "two capital letters such as FR")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


class Platform(_Table):
    """One booking platform."""

    verify_key: Path = Field(
        title="file",
        description="who may sign for the platform: `keys/NAME.pub` of `keys new platform`, or `keys/gateway.pub` "
        "if the platform calls over HTTP",
    )
    leads: Annotated[list[Lead], BeforeValidator(_leads)] = Field(
        default=[Lead.parse("24h")],
        min_length=1,
        max_length=MAX_LEADS,
        title='list, `["24h", "2h"]`',
        description="how long before an appointment its texts go out: `d`, `h`, `m`, `s`. Whole days count on the wall "
        "clock of the appointment's zone, the rest is elapsed time; up to 30 days",
        json_schema_extra={"default": '`["24h"]`'},
    )
    quiet_hours: Annotated[QuietHours | None, BeforeValidator(_quiet)] = Field(
        default=None,
        title="`21:00-08:00`",
        description="in the appointment's zone; a text that would fall in them moves to the minute before they begin",
    )
    due_grid: Annotated[Grid | None, BeforeValidator(_grid)] = Field(
        default=None,
        title="`15m`, `30m`, `1h` …",
        description="how coarse the due times are that Redis shows: an equal part of an hour. Texts go out earlier by "
        "up to a cell and a quarter; [traffic.md](traffic.md) says what each value hides. Client, `web` and worker "
        "need the same value; if they differ, the worker's counts",
        json_schema_extra={"default": "none; production wants one"},
    )
    level: Level = Field(
        default=Level.PLACE,
        description="what a text says: `time` (no place), `place`, `sender` (a neutral trade name in front)",
    )
    sender: Annotated[str, like(r"(?=.*\S)[^\0-\x1f\x7f-\x9f]+", "a name, in one line")] | None = Field(
        default=None, max_length=30, description="that neutral trade name; one that discloses is refused"
    )
    not_you: Annotated[str, like(r"reply|\+[1-9]\d{6,14}", "reply, or + and a number of 7 to 15 digits")] | None = (
        Field(
            default=None,
            title='`reply` or `"+…"`',
            description="for a person who gets a text by mistake: `reply` (answer STOP), or a neutral number to call",
        )
    )
    locations: Literal["lint", "catalogue"] = Field(
        default="lint",
        description="how places are checked: by the [lint](disclosure.md), or against a `catalogue` of reviewed places "
        "([locations.md](locations.md))",
    )
    locations_file: Path | None = Field(
        default=None,
        description="that catalogue, signed by the platform; on the machines of the worker, of `web` and of the "
        "platform. Needed with `catalogue`",
    )
    deny: list[str] = Field(
        default=[],
        max_length=1000,
        repr=False,
        title="list of names",
        description='names that tell too much, beside those that the lint knows: `["Villa Sonnenschein"]`; refused as '
        "whole words wherever a place holds them",
    )
    countries: list[Country] = Field(
        default=[],
        title='list, `["FR"]`',
        description="ISO 3166 codes of the countries whose numbers may be texted",
        json_schema_extra={"default": "all; production wants a list"},
    )
    daily_cap: int = Field(
        default=10_000,  # so that a stolen key is no fortune
        ge=1,
        le=10_000_000,
        description="how many of its reminders are sent in a day (UTC); any above that wait",
    )
    resolver_url: Url | None = Field(
        default=None,
        description="where the worker asks whom a `contact:` pointer stands for ([contacts.md](contacts.md)); `https`, "
        "requested exactly as written",
    )
    resolver_secret_file: Path | None = Field(
        default=None,
        description="what those requests are signed with: `whsec_…`, one a line; needed with `resolver_url`, for its "
        "owner only",
    )
    resolver_private: bool = Field(
        default=False,
        description="`true` if the resolver is in your own network or on this machine; otherwise the worker does not "
        "connect to such addresses",
    )
    events_url: Url | None = Field(
        default=None,
        description="where `web` tells the platform what became of its reminders ([events.md](events.md)); `https`, "
        "requested exactly as written",
    )
    events_secret_file: Path | None = Field(
        default=None,
        description="what events are signed with: `whsec_…`, one a line; `keys new events` makes one. Needed with "
        "`events_url`, for its owner only",
    )
    events_private: bool = Field(
        default=False,
        description="`true` if `events_url` is in your own network or on this machine; otherwise `web` does not "
        "connect to such addresses",
    )
    api_rate: int = Field(
        default=200,
        ge=1,
        le=100_000,
        description="reminders a second through the HTTP API, over all `web` processes; ten seconds' worth, and at "
        "least 500, may come at once. Each one in a batch counts. Cancelling and looking have rates of their own",
    )

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

    prefix: Annotated[str, like(r"\+\d*", "+ and the first digits of numbers, such as +33")] = Field(
        default="+",
        title='`"+33"`',
        description="which numbers; the longest prefix wins",
    )
    providers: list[str] = Field(min_length=1, title="list of names", description="which providers to ask, in order")
    weights: list[Annotated[int, Field(ge=0, le=1000)]] | None = Field(
        default=None,
        title="list, 0 to 1000",
        description="one for each provider: how often it comes first",
        json_schema_extra={"default": "the order counts"},
    )

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
    """How a platform's command line reaches the gateway, if it does not reach the store."""

    url: Annotated[str, AfterValidator(check_url)] = Field(description="the public address of `web`")
    key_file: Path = Field(description="what `keys new api` wrote")
    platform: Annotated[str, like("[a-z0-9-]{1,20}", "a name of a-z, 0-9 and -, up to 20")] = Field(
        title="name", description="what the operator calls you"
    )
    root: PublicKey | None = Field(
        default=None,
        description="the operator's root (`verify` in `root.pub`): the keys that `web` hands out must be signed by it; "
        "compare its fingerprint by voice. `root` or `pinned` is needed",
    )
    pinned: PublicKey | None = Field(
        default=None,
        description="the newest pointer key must be this one: the last `key` under `pointer` that `keys public` prints",
    )
    countries: list[Country] = Field(
        default=[],
        title='list, `["FR"]`',
        description="whose numbers may be sealed",
        json_schema_extra={"default": "all"},
    )

    @model_validator(mode="after")
    def _something_is_pinned(self) -> "Gateway":
        if self.root is None and self.pinned is None:
            raise ValueError("pin the worker's root, or its pointer key: root or pinned")
        return self
