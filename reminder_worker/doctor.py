"""What is wrong with an installation, why it matters and how to mend it; production refuses to start with it.

What a process may not hold is not looked at on its behalf: the scheduler's checks touch no key and no provider.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from reminder_worker import disclosure
from reminder_worker.errors import SettingsError
from reminder_worker.findings import Finding, Grade, check_private, try_to_load, unsafe
from reminder_worker.settings import Settings
from reminder_worker.signatures import Secret
from reminder_worker.store import Client
from reminder_worker.tables import Platform

MOST_SKEW = 30.0  # seconds between this machine's clock and the store's
OLDEST_SERVER = (7, 2)
API_KEY_ENDS_SOON = timedelta(days=30)
FEWEST_WEEKS = 13  # of public keys ahead

log = logging.getLogger(__name__)


def check_store(client: Client) -> Iterator[Finding]:
    """Look at what the store does with what it confirmed."""
    try:
        server, memory, persistence = client.info("server"), client.info("memory"), client.info("persistence")
        seconds, micro = client.time()
    except RedisError as error:
        yield unsafe(
            "store_away",
            f"the store does not answer ({type(error).__name__})",
            "nothing can be accepted or sent",
            "start it, and check store_url",
        )
        return
    yield from _check_server(server, memory, persistence)
    skew = abs(datetime.now(UTC).timestamp() - (seconds + micro / 1e6))
    if skew > MOST_SKEW:
        yield unsafe(
            "clocks_differ",
            f"this machine's clock and the store's are {skew:.0f} seconds apart",
            "reminders are planned by one and sent by the other",
            "run a time service (chrony, systemd-timesyncd) on both",
        )


def _check_server(server: dict[str, Any], memory: dict[str, Any], persistence: dict[str, Any]) -> Iterator[Finding]:
    version = server.get("valkey_version") or server.get("redis_version", "0.0")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
        yield unsafe("store_old", f"the store is version {version}", "scripts and WAITAOF need 7.2", "upgrade it")
    if not persistence.get("aof_enabled"):
        yield unsafe(
            "no_append_only_file",
            "the store keeps no append-only file",
            "accepted reminders are lost when it restarts",
            "set appendonly yes",
        )
    elif persistence.get("aof_last_write_status") != "ok":
        yield unsafe(
            "append_only_file_fails",
            "the store cannot write its append-only file",
            "new intents are lost",
            "free its disk",
        )
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield unsafe(
            "store_evicts",
            f"the store evicts keys ({policy})",
            "a full store would drop reminders silently",
            "set maxmemory-policy noeviction",
        )


def check_worker(settings: Settings) -> Iterator[Finding]:
    """Look at what only a worker holds: keys, platforms, templates, providers and their credentials."""
    from reminder_worker import drafting, providers  # noqa: PLC0415 - not for blind processes

    yield from _check_keys(settings.keys)
    for name, platform in settings.platforms.items():
        yield from _check_platform(name, platform)
    yield from try_to_load("templates", lambda: drafting.Templates.load(settings.templates))
    for name, table in settings.provider_tables().items():
        yield from try_to_load(
            f"providers.{name}", partial(providers.load, name, table), partial(_check_capabilities, name)
        )
        yield from _check_table(name, table)
    yield from _check_amounts(settings)


def _check_platform(name: str, platform: Platform) -> Iterator[Finding]:
    from reminder_worker import opening  # noqa: PLC0415 - not for blind processes

    where = f"platforms.{name}"
    yield from try_to_load(where, partial(opening.load_signers, {name: platform.verify_key}))
    if not platform.countries:
        yield unsafe(
            "no_countries",
            f"{where}.countries is empty",
            "stolen credentials could text the whole world at your cost",
            "list the countries whose numbers may be texted",
        )
    yield from _check_secret(f"{where}.resolver", platform.resolver_secret_file)


def _check_secret(where: str, path: Path | None) -> Iterator[Finding]:
    """Look at what we sign with, for one platform."""
    if path is not None:
        yield from check_private(f"{where}_secret_file: the file", path, "it lets them speak in your name")
        yield from try_to_load(f"{where}_url", partial(Secret.load, path))


def check_gateway(settings: Settings) -> Iterator[Finding]:
    """Look at what only the gateway holds: its keys, hashes of those that platforms call with, secrets of events."""
    from reminder_worker import apikeys, gateway  # noqa: PLC0415 - not for blind processes

    yield from check_private("the gateway's key", gateway.private_file(settings.keys), "it signs for all platforms")
    yield from try_to_load("the API keys", partial(apikeys.listed, settings.keys), _check_api_keys)
    for name, platform in settings.platforms.items():
        yield from _check_secret(f"platforms.{name}.events", platform.events_secret_file)


def _check_api_keys(keys: list[Any]) -> Iterator[Finding]:
    for key in keys:
        if key.expires < datetime.now(UTC) + API_KEY_ENDS_SOON:
            yield Finding(
                Grade.NOTE,
                "api_key_ends",
                f"the API key {key.name} of {key.platform} ends on {key.expires:%Y-%m-%d}",
                "its platform will be refused",
                "run reminder-worker keys new api, hand the new key over, then revoke the old one",
            )


def _check_keys(folder: Path) -> Iterator[Finding]:
    """Look at the keys and change nothing: what a wrong clock made them forget would never come back."""
    yield from try_to_load("the worker's keys", partial(_load_keys, folder))
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.name.endswith((".key", ".ratchet", ".pepper", ".apikey", ".whsec")):
            yield from check_private(str(path), path, "it opens or signs jobs")
    public = folder / "worker.pub.json"
    if public.is_file():
        yield from _check_public(public)


def _load_keys(folder: Path) -> None:
    from reminder_worker import opening, optouts, ratchet  # noqa: PLC0415 - not for blind processes

    opening.WorkerKeys.load(folder)
    optouts.Tags.load(folder)
    ratchet.turn(ratchet.Ratchet.load(folder), datetime.now(UTC))


def _check_public(path: Path) -> Iterator[Finding]:
    """Say early that the published keys run out: what is pending is not in danger."""
    from reminder_worker import sealing  # noqa: PLC0415 - not for blind processes

    try:
        last = max(sealing.PublicKeys.load(path).envelopes, default=0)
    except SettingsError as error:
        yield unsafe("unusable", str(error), "platforms cannot seal with it", "run reminder-worker keys rotate")
        return
    left = last - sealing.week(datetime.now(UTC))
    if left < FEWEST_WEEKS:
        yield Finding(
            Grade.NOTE,
            "keys_run_out",
            f"{path} ends in {left} weeks",
            "appointments after that are refused",
            "run reminder-worker keys rotate, and hand the file to the platforms",
        )


def _check_capabilities(name: str, provider: Any) -> Iterator[Finding]:
    """Say what a provider keeps, and what it cannot tell."""
    can = provider.capabilities
    if can.reaches_phones and not (can.redacts or can.forgets):
        yield Finding(
            Grade.NOTE,
            "provider_keeps_texts",
            f"providers.{name} keeps numbers and texts",
            "whoever reads its records learns who was reminded of what",
            "switch redaction on where it has any (docs/providers.md), or agree on how long it keeps them",
        )
    if can.reaches_phones and not (can.receipt_carries_reference or can.receipts_by_id):
        yield Finding(
            Grade.NOTE,
            "no_receipts",
            f"providers.{name} reports to nobody",
            "an attempt in doubt stays unknown, and nobody learns whether a text arrived",
            "set hooks_url, and run reminder-worker hooks behind it",
        )


def _check_table(name: str, table: dict[str, Any]) -> Iterator[Finding]:
    if table.get("type", name) == "outbox":
        yield unsafe(
            "outbox",
            f"providers.{name} writes numbers and texts into a file",
            "nobody would be reminded, and the file holds personal data",
            "use the outbox for development only",
        )
    sender = str(table.get("from", ""))
    if not sender.startswith("+") and disclosure.discloses(sender):
        yield unsafe(
            "sender_discloses",
            f"providers.{name}.from discloses a reason or a speciality",
            "it stands above every text",
            "register a neutral name",
        )
    yield from _check_files(f"providers.{name}", table)


def _check_files(where: str, table: Mapping[str, Any]) -> Iterator[Finding]:
    for setting, value in table.items():
        if setting.endswith("_file"):
            yield from check_private(
                f"{where}.{setting}: the file", Path(str(value)), "it lets them speak in your name"
            )


def _check_amounts(settings: Settings) -> Iterator[Finding]:
    if not settings.platforms:
        yield unsafe("no_platform", "there is no platform", "no job can be opened", "add a table [platforms.NAME]")
    if not settings.providers:
        yield unsafe("no_provider", "there is no provider", "nothing can be sent", "add a table [providers.twilio]")


def require(settings: Settings, findings: Iterator[Finding]) -> list[Finding]:
    """Return what was found; in production raise SettingsError for what is unsafe."""
    found = list(findings)
    unsafe = [f"{one.what}; {one.mend}" for one in found if one.grade is Grade.UNSAFE]
    if settings.production and unsafe:
        raise SettingsError("production would be unsafe: " + ". ".join(unsafe))
    return found


def warn(findings: Iterable[Finding]) -> None:
    """Log what production would not start with."""
    for one in findings:
        if one.grade is Grade.UNSAFE:
            log.warning("unsafe", extra={"reason": one.code})
