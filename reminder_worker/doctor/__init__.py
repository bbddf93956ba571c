"""Find what is wrong with an installation, why it matters and how to mend it; production refuses what is unsafe.

No check reads what its process may not hold: the scheduler's checks touch no key and no provider.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

from reminder_worker.doctor.carriers import check_capabilities, check_files, check_table
from reminder_worker.doctor.keyring import check_keys, check_published, check_restored, check_secret
from reminder_worker.doctor.stores import check_passwords, check_shards, check_store
from reminder_worker.doctor.wording import check_names, check_places, check_texts
from reminder_worker.errors import SettingsError
from reminder_worker.findings import Finding, Grade, check_private, try_to_load, unsafe
from reminder_worker.ledger import Durability
from reminder_worker.settings import Settings
from reminder_worker.store import Client
from reminder_worker.tables import Platform

__all__ = [
    "check_gateway",
    "check_hooks",
    "check_passwords",
    "check_process",
    "check_published",
    "check_restored",
    "check_shards",
    "check_store",
    "check_worker",
    "require",
    "warn",
]

API_KEY_ENDS_SOON = timedelta(days=30)

log = logging.getLogger(__name__)


def check_process(settings: Settings, client: Client, process: str | None) -> Iterator[Finding]:
    """Check what a kind of process needs; without one, what a worker does, and the gateway if its key is here."""
    from reminder_worker import gateway  # noqa: PLC0415 - not for blind processes

    yield from chain(check_passwords(settings), check_store(client), check_shards(settings, client))
    if process in {None, "worker"}:
        yield from chain(check_worker(settings), check_restored(settings, client))
    if process == "web" or (process is None and gateway.private_file(settings.keys).exists()):
        yield from check_gateway(settings)
    if process == "web":
        yield from check_published(settings)
    if process == "hooks":
        yield from check_hooks(settings)


def check_worker(settings: Settings) -> Iterator[Finding]:
    """Check what only a worker holds: keys, platforms, templates, providers and their credentials."""
    from reminder_worker import drafting, providers  # noqa: PLC0415 - not for blind processes

    yield from check_keys(settings.keys)
    if settings.keys.is_dir():  # a folder that is not there has been found above
        yield from check_published(settings)
    for name, platform in settings.platforms.items():
        yield from _check_platform(name, platform)
        if settings.production and platform.due_grid is None:
            yield _no_grid(name)
        yield from check_places(name, platform)
    yield from try_to_load("templates", lambda: drafting.Templates.load(settings.templates), check_texts)
    for name, table in settings.provider_tables().items():
        yield from try_to_load(
            f"providers.{name}", partial(providers.load, name, table), partial(check_capabilities, name)
        )
        yield from check_table(name, table)
    yield from check_names(settings)
    yield from _check_amounts(settings)
    if settings.production and settings.durability is Durability.NONE:
        yield _waits_for_no_disk()
    if settings.production and settings.on_unknown == "resend":
        yield _resends()


def _check_platform(name: str, platform: Platform) -> Iterator[Finding]:
    from reminder_worker import numbers, opening  # noqa: PLC0415 - not for blind processes

    where = f"platforms.{name}"
    yield from try_to_load(where, partial(opening.load_signers, {name: platform.verify_key}))
    if not platform.countries:
        yield unsafe(
            "no_countries",
            f"{where}.countries is empty",
            "stolen credentials could text the whole world at your cost",
            "list the countries whose numbers may be texted",
        )
    for index, country in enumerate(platform.countries):
        if not numbers.has_numbers(country):
            yield _no_country(f"{where}.countries.{index}")
    yield from check_secret(f"{where}.resolver", platform.resolver_secret_file)


def _no_country(what: str) -> Finding:
    return Finding(
        Grade.NOTE,
        "no_country",
        f"{what} is not a country with phone numbers",
        "nobody there is texted: each such number is refused with country_not_allowed",
        "write its ISO 3166 code; that of the United Kingdom is GB",
    )


def _no_grid(name: str) -> Finding:
    return Finding(
        Grade.NOTE,
        "no_due_grid",
        f"platforms.{name}.due_grid is not set",
        "anyone who reads the store and knows the leads learns to the minute when an appointment is, but not whose",
        "choose one: docs/traffic.md says what each hides and how much earlier texts go out",
    )


def _waits_for_no_disk() -> Finding:
    return Finding(
        Grade.NOTE,
        "not_durable",
        'durability is "none"',
        "a store that loses its last second forgets that a provider was asked, and the person is texted twice",
        "take it out, and production waits for the store's disk; or choose replica",
    )


def _resends() -> Finding:
    return Finding(
        Grade.NOTE,
        "resends",
        'on_unknown is "resend"',
        "a text is sent again if nobody can tell whether it was accepted: the person may be texted twice",
        "take it out, and decide by hand what is unknown (docs/support.md)",
    )


def _check_amounts(settings: Settings) -> Iterator[Finding]:
    if not settings.platforms:
        yield unsafe(
            "no_platform",
            "there is no platform in the settings",
            "no job can be opened",
            "add a table [platforms.NAME]",
        )
    if not settings.providers:
        yield unsafe(
            "no_provider",
            "there is no provider in the settings",
            "nothing can be sent",
            "add a table such as [providers.twilio]",
        )


def check_hooks(settings: Settings) -> Iterator[Finding]:
    """Check what `hooks` holds: the keys that it seals to, and what providers sign with."""
    from reminder_worker import providers  # noqa: PLC0415 - not for blind processes

    yield from check_published(settings)
    for name, table in settings.provider_tables().items():
        if "callback_url" in table:
            load = partial(providers.load, name, table, providers.Role.HEAR)
            yield from try_to_load(f"providers.{name}", load)
            yield from check_files(f"providers.{name}", table)


def check_gateway(settings: Settings) -> Iterator[Finding]:
    """Check what only the gateway holds: its keys, the hashes of platforms' API keys, and the events' secrets."""
    from reminder_worker import apikeys, gateway  # noqa: PLC0415 - not for blind processes

    yield from check_private("the gateway's key", gateway.private_file(settings.keys), "it can sign for all platforms")
    yield from try_to_load("the API keys", partial(apikeys.listed, settings.keys), partial(_check_api_keys, settings))
    load = partial(gateway.GatewayKeys.load, settings.keys)
    yield from try_to_load("the gateway's key", load, partial(_served, settings))
    for name, platform in settings.platforms.items():
        yield from check_secret(f"platforms.{name}.events", platform.events_secret_file)


def _served(settings: Settings, own: Any) -> Iterator[Finding]:
    """Check the catalogues of platforms that the gateway signs for; those with their own keys do not call it."""
    for name, platform in settings.platforms.items():
        if not platform.verify_key.is_file() or own.signs_for(platform.verify_key):
            yield from check_places(name, platform, bytes(own.live.verify_key))


def _check_api_keys(settings: Settings, keys: list[Any]) -> Iterator[Finding]:
    for name in sorted({key.platform for key in keys if key.expires > datetime.now(UTC)} - settings.platforms.keys()):
        yield unsafe(
            "api_key_of_nobody",
            f"there is an API key for {name}, but no table [platforms.{name}]",
            "a running gateway refuses the key, and no gateway starts",
            f"add the table and start web again, or run reminder-worker keys revoke NAME {settings.keys}",
        )
    for key in keys:
        if key.expires < datetime.now(UTC) + API_KEY_ENDS_SOON:
            yield Finding(
                Grade.NOTE,
                "api_key_ends",
                f"the API key {key.name} of {key.platform} ends on {key.expires:%Y-%m-%d}",
                "from then on its platform is refused",
                "run reminder-worker keys new api, hand the new key over, then revoke the old one",
            )


def require(settings: Settings, findings: Iterator[Finding]) -> list[Finding]:
    """Return the findings; in production raise SettingsError if one is unsafe."""
    found = list(findings)
    dangers = [f"{one.what}; {one.mend}" for one in found if one.grade is Grade.UNSAFE]
    if settings.production and dangers:
        raise SettingsError("production would be unsafe: " + ". ".join(dangers))
    return found


def warn(findings: Iterable[Finding]) -> None:
    """Log what production would not start with."""
    for one in findings:
        if one.grade is Grade.UNSAFE:
            log.warning("unsafe", extra={"reason": one.code})
