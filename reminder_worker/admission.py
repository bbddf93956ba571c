"""Who may open the operator's page: the table ``[ops]`` of the settings."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, model_validator

from reminder_worker.mistakes import like


class Ops(BaseModel):
    """The operator's page: with passwords of its own, or behind a proxy that says who the operator is."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    operators: Path | None = Field(
        default=None,
        title="file",
        description="names and hashed passwords, as `keys new operator NAME FILE` writes them, for its owner only. "
        "`operators` or `proxy_header` is needed, never both",
    )
    proxy_header: Annotated[str, like("[A-Za-z0-9-]{1,64}", "the name of a header: letters, digits and -")] | None = (
        Field(
            default=None,
            title='`"X-Remote-User"`',
            description="the header in which a proxy says whom it has let in; it must remove it from clients' requests",
        )
    )
    proxy_from: list[IPvAnyNetwork] = Field(
        default=[],
        title='list, `["127.0.0.1"]`',
        description="addresses or networks of that proxy; needed with `proxy_header`. With `operators` they say whose "
        "`X-Forwarded-For` is believed, so that attempts to log in are counted for the client that makes them",
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> "Ops":
        if (self.operators is None) == (self.proxy_header is None):
            raise ValueError("say who may enter: operators or proxy_header, and not both")
        if self.proxy_header is not None and not self.proxy_from:
            raise ValueError("proxy_header needs proxy_from: anybody could send it")
        return self
