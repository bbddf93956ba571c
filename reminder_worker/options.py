"""What can be set: what each is, means, and is where nobody sets it; docs/settings.md is made of these words.

Secrets are never here, only the paths of the files that hold them.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from reminder_worker.admission import Ops
from reminder_worker.https import check_url
from reminder_worker.ledger import Durability
from reminder_worker.mistakes import like
from reminder_worker.tables import Gateway, Platform, PublicKey, Route

_Address = Annotated[
    str, like(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[1-9]\d{0,4}", "HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464")
]
_Numbers = Annotated[str, like(r"\+[1-9][0-9]{0,14}", "+ and a number or its beginning, digits only")]
_Name = Annotated[str, like("[a-z0-9-]{1,20}", "a name of a-z, 0-9 and -, up to 20")]
_ProviderName = Annotated[str, like("[a-z0-9-]{1,32}", "a name of a-z, 0-9 and -, up to 32")]


class Profile(StrEnum):
    """``production`` refuses to start unsafe; ``dev`` warns, and reaches only ``allow_numbers``."""

    DEV = "dev"
    PRODUCTION = "production"


class Options(BaseModel):
    """The settings of the whole program; ``title`` is what a value is, in people's words."""

    profile: Profile = Field(
        default=Profile.DEV,
        description="`production` refuses to start with anything unsafe; `doctor` says what and why",
    )
    store_url: str | None = Field(
        default=None,
        repr=False,  # may hold a password
        description="Redis or Valkey 7.2 and later, with `appendonly yes` and `noeviction`; "
        "`redis+sentinel://…` and `redis+cluster://…` for several servers ([scaling.md](scaling.md))",
        json_schema_extra={"default": "an embedded Valkey; needed in production"},
    )
    store_password_file: Path | None = Field(
        default=None,
        description="the store's password; `store_url` names the user, `redis://web@127.0.0.1:6379/0`. A password in a "
        "URL is unsafe in production",
    )
    queue_url: str | None = Field(
        default=None,
        repr=False,
        description="where dramatiq keeps its wake-ups: Redis or Valkey again, or RabbitMQ, "
        "`amqp://worker@127.0.0.1:5672/` ([scaling.md](scaling.md))",
        json_schema_extra={"default": "the store's server and user, database 1; on a Cluster, its only database"},
    )
    queue_password_file: Path | None = Field(
        default=None,
        description="the queue's password; only with `queue_url`",
    )
    keys: Path = Field(default=Path("keys"), title="folder", description="where the files that `keys new` writes are")
    root: PublicKey | None = Field(
        default=None,
        description="the root's public key (`verify` in `root.pub`): `enqueue` beside the ledger, `web`, `hooks` and "
        "the worker's own lines to providers seal only to public keys that it signed ([keys.md](keys.md))",
    )
    templates: Path | None = Field(
        default=None,
        title="folder",
        description="languages in it take precedence over the shipped ones ([templates.md](templates.md))",
        json_schema_extra={"default": "the shipped ones"},
    )
    allow_numbers: list[_Numbers] = Field(
        default=[],
        repr=False,
        title='list of `"+…"`',
        description="numbers or prefixes that real providers may reach outside production",
    )
    durability: Durability | None = Field(
        default=None,
        description="what an intent must have reached before a provider is called, and a hand-in or a take-back before "
        "the HTTP API confirms it: `local` is the server's disk (`WAITAOF`), `replica` a replica's too",
        json_schema_extra={"default": "`local` in production, else `none`"},
    )
    retention_days: int = Field(default=30, ge=1, le=3660, description="how long the outcome of a reminder is kept")
    shards: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="how many parts the ledger has; more than one spreads it over a Cluster. Change it only when "
        "nothing is pending",
    )
    on_unknown: Literal["hold", "resend"] = Field(
        default="hold",
        description="what to do if an attempt may have been accepted and nothing can tell: `hold` it as `unknown`, or "
        "`resend` and risk a second text, soon if nothing can settle it (no receipts, no look-up)",
    )
    phone_daily_cap: int = Field(
        default=10, ge=1, le=100, description="how many reminders one phone gets in a day (UTC), over all platforms"
    )
    hooks_url: Annotated[str, AfterValidator(check_url)] | None = Field(
        default=None,
        description="public base URL (`https`) of the hooks process; a provider's table may have a `callback_url` of "
        "its own. Signatures are verified over this URL",
    )
    metrics_listen: _Address | None = Field(
        default=None,
        title="host:port",
        description="where Prometheus scrapes the worker, `127.0.0.1:9464`; the scheduler answers on the next port, "
        "then `web`, `hooks` and `ops`, so that all can share one file ([operating.md](operating.md))",
    )
    log_format: Literal["json", "console"] | None = Field(
        default=None,
        description="the form of the log: one JSON object a line, or lines for people to read ([operating.md]"
        "(operating.md#logs))",
        json_schema_extra={"default": "`console` on a terminal, else `json`"},
    )
    log_level: Literal["debug", "info", "warning"] = Field(
        default="info",
        description="the lowest level of our own events to log; for libraries it is always `warning`",
    )
    access_log: bool = Field(
        default=False,
        description="whether `web`, `hooks` and `ops` log each request: method, the route's template, status and "
        "milliseconds; never the path, the query or the caller",
    )
    platforms: dict[_Name, Platform] = Field(
        default={}, title="tables", description="one for each booking platform; its name has up to 20 of `a-z 0-9 -`"
    )
    providers: dict[_ProviderName, dict[str, Any]] = Field(
        default={}, title="tables", description="one for each provider; its name has up to 32 of `a-z 0-9 -`"
    )
    routes: list[Route] = Field(
        default=[],
        title="tables",
        description="which providers carry which texts",
        json_schema_extra={"default": "all providers, in order"},
    )
    ops: Ops | None = Field(default=None, title="table", description="who may open the operator's page")
    gateway: Gateway | None = Field(default=None, title="table", description="used on a platform's machine")
