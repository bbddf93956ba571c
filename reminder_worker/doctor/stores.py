"""Check how the store keeps what it confirmed, how far its clock is from ours, and where its passwords are kept."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError

from reminder_worker.agreement import Agreement
from reminder_worker.errors import StoreUnavailable
from reminder_worker.findings import Finding, Grade, check_private, unsafe
from reminder_worker.settings import Settings
from reminder_worker.store import Client, has_password, unavailable
from reminder_worker.topology import servers

MOST_SKEW = 30.0  # seconds between this machine's clock and the store's
OLDEST_SERVER = (7, 2)
_SECTIONS = "server", "memory", "persistence", "replication"


def check_passwords(settings: Settings) -> Iterator[Finding]:
    """Check where the passwords of store and queue are kept."""
    passwords = {
        "store": (settings.store_url, settings.store_password_file),
        "queue": (settings.queue_url, settings.queue_password_file),
    }
    for what, (url, file) in passwords.items():
        if has_password(url):
            yield unsafe(
                "password_in_url",
                f"{what}_url holds a password",
                "settings and variables are seen by more people than a secret should be",
                f"take it out, and name a file that holds it in {what}_password_file",
            )
        if url is not None and file is None and _is_open(url):
            yield Finding(
                Grade.NOTE,
                "no_password",
                f"there is no password for {what}_url",
                "if its server asks for none, anyone who reaches its port can add, end and delete reminders",
                f"give each process its own user (docs/hardening.md) and its password in {what}_password_file",
            )
        if file is not None:
            yield from check_private(f"{what}_password_file: the file", file, f"it opens the {what} to others")


def _is_open(url: str) -> bool:
    """Return whether a server is reached without a password or anything that may replace one."""
    return not has_password(url) and not url.startswith("unix:") and "ssl_certfile" not in url


def check_store(client: Client) -> Iterator[Finding]:
    """Check how each server of the store keeps what it confirmed, and its clock."""
    try:
        found = [(*map(server.info, _SECTIONS), server.time()) for server in servers(client)]
    except RedisError as error:
        yield unsafe(
            "store_away",
            f"the store {'refuses us' if unavailable(error).refused else 'does not answer'} ({type(error).__name__})",
            "nothing can be accepted or sent",
            "start it, and check store_url, its user and store_password_file",
        )
        return
    for server, memory, persistence, replication, (seconds, micro) in found:  # of a Cluster, each that holds a part
        yield from _check_server(server, memory, persistence)
        yield from _check_replication(replication)
        yield from _check_clock(seconds + micro / 1e6)


def check_shards(settings: Settings, client: Client) -> Iterator[Finding]:
    """Check that the store is used with as many shards as the settings say."""
    with suppress(StoreUnavailable):  # another check reports that
        if (told := Agreement(client, settings.shards).told()) != settings.shards:
            yield unsafe(
                "shards_differ",
                f"shards is {settings.shards}, and the store is used with {told}",
                "reminders are put where no process looks, or looked for where they are not",
                "set shards to the same for all processes and platforms; docs/scaling.md says how to change it",
            )


def _check_clock(told: float) -> Iterator[Finding]:
    skew = abs(datetime.now(UTC).timestamp() - told)
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


def _check_replication(replication: dict[str, Any]) -> Iterator[Finding]:
    """Check that a master that has lost its replicas stops taking writes: another may have taken over."""
    if replication.get("connected_slaves") and "min_slaves_good_slaves" not in replication:  # only if set
        yield Finding(
            Grade.NOTE,
            "no_min_replicas",
            "the store has replicas, but takes writes without them",
            "writes that it takes while cut off are lost once a replica takes over: texts may go out twice",
            "set min-replicas-to-write 1 and min-replicas-max-lag 10 on each server (docs/scaling.md)",
        )
