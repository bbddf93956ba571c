"""Settings: ``reminder-worker.toml``, overridden by ``REMINDER_…`` variables; unknown names are errors.

Secrets are never here, only the paths of the files that hold them. A provider's table is checked by the provider.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError as VariableError

from reminder_worker import mistakes
from reminder_worker.errors import SettingsError
from reminder_worker.ledger import Durability
from reminder_worker.options import Options, Profile
from reminder_worker.tables import Platform

DEFAULT_FILE = Path("reminder-worker.toml")
PREFIX = "REMINDER_"
_TABLES = ("platforms", "providers", "gateway", "ops")  # what variables can reach into
_LAST_PORT = 65_535
_PORTS = {"worker": 0, "scheduler": 1, "web": 2, "hooks": 3, "ops": 4}  # all five may share one file
CONFIG_VARIABLE = "REMINDER_CONFIG"  # which file; for processes that are not started by our own command line


class Settings(Options, BaseSettings):
    """All settings of the program, and what follows from them."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        toml_file=None,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let variables win over the file; read nothing else."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> "Settings":
        for number, route in enumerate(self.routes):
            if not self.providers.keys() >= set(route.providers):
                known = ", ".join(sorted(self.providers)) or "none; add a table [providers.NAME]"
                raise ValueError(f"routes.{number}.providers: name only providers that have a table: {known}")
        return self

    def provider_tables(self) -> dict[str, dict[str, Any]]:
        """Return the table of each provider, with what is set once for all of them."""
        common = {} if self.hooks_url is None else {"callback_url": self.hooks_url}
        return {name: common | table for name, table in self.providers.items()}

    def metrics_address(self, kind: str) -> tuple[str, int]:
        """Return where a kind of process shows its metrics, as host and port; ``metrics_listen`` is the worker's."""
        host, _, port = (self.metrics_listen or "").rpartition(":")
        return host.strip("[]"), int(port) + _PORTS[kind]

    @field_validator("metrics_listen")
    @classmethod
    def _has_ports_left(cls, value: str | None) -> str | None:
        if value is not None and int(value.rpartition(":")[2]) > _LAST_PORT - len(_PORTS) + 1:
            raise ValueError("leave room for five ports, one for each kind of process")
        return value

    @property
    def production(self) -> bool:
        """Tell whether real people may be reached."""
        return self.profile is Profile.PRODUCTION

    @property
    def retention(self) -> timedelta:
        """How long the outcome of a reminder is kept."""
        return timedelta(days=self.retention_days)

    @property
    def confirm(self) -> Durability:
        """What must have happened to an intent before a provider is called."""
        return self.durability or (Durability.LOCAL if self.production else Durability.NONE)

    def platform(self, name: str | None) -> tuple[str, Platform]:
        """Return a platform by name, or the only one there is."""
        if name is None and len(self.platforms) == 1:
            name = next(iter(self.platforms))
        if name is None or name not in self.platforms:
            known = ", ".join(sorted(self.platforms)) or "none; add a table [platforms.NAME]"
            raise SettingsError(f"--platform: name one of the platforms in the settings: {known}")
        return name, self.platforms[name]


def read(config: Path | None = None) -> Settings:
    """Read the settings from a file (by default ``$REMINDER_CONFIG``, else ``reminder-worker.toml``) and variables.

    Raises SettingsError, which names the setting and never its value.
    """
    path = config or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    if path is not None and not path.is_file():
        raise SettingsError(f"--config: there is no file {path}")
    _check_variables()

    class Here(Settings):
        model_config = SettingsConfigDict(toml_file=path or DEFAULT_FILE)

    try:
        return Here()
    except ValidationError as error:
        raise SettingsError(mistakes.told(error.errors(include_input=False, include_url=False), Settings)) from None
    except VariableError as error:
        name = re.search(r'field "(\w+)"', str(error))
        raise SettingsError(f"{PREFIX}{name[1].upper() if name else '…'}: must be written as JSON") from None
    except ValueError as error:  # neither TOML nor UTF-8; only the place in its message holds no value
        place = re.search(r" \(at line \d+, column \d+\)\Z", str(error))
        raise SettingsError(f"{path or DEFAULT_FILE}: is not TOML{place[0] if place else ''}") from None
    except RecursionError:
        raise SettingsError(f"{path or DEFAULT_FILE}: is not TOML, or nested too deeply") from None
    except OSError as error:
        raise SettingsError(f"{path or DEFAULT_FILE}: cannot be read ({type(error).__name__})") from None


def _check_variables() -> None:
    """Refuse a misspelt variable: pydantic-settings would ignore it."""
    for name in os.environ:
        setting, inside, _ = name.upper().removeprefix(PREFIX).lower().partition("__")
        known = _TABLES if inside else tuple(Settings.model_fields)
        if name.upper().startswith(PREFIX) and name != CONFIG_VARIABLE and setting not in known:
            there = [one.upper() for one in known]
            what = mistakes.unknown(setting.upper(), there, f"{PREFIX}{{}}{'__…' * bool(inside)}")
            raise SettingsError(f"{name}: {what}")
