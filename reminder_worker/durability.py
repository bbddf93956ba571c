"""Whether what was written would survive: checked once for many writes, before they are reported as safe."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from redis.exceptions import RedisError

from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import Durability
from reminder_worker.lines import piped
from reminder_worker.schedule import CONFIRM_MS, Schedule
from reminder_worker.scripts import run_before, script
from reminder_worker.store import answered, unavailable
from reminder_worker.topology import server_of


@contextmanager
def confirm(schedule: Schedule, process: str) -> Iterator[None]:
    """Leave the context once all that was written inside is as durable as configured. Raises StoreUnavailable.

    WAITAOF waits for its own connection's writes, and whatever was written before them is on the disk by then; so
    the heartbeat of ``process`` is written once more, and waited for. A replica that has taken over meanwhile would
    confirm the heartbeat although it never got the rest, so its history must be the one that was written to.
    """
    if schedule.durability is Durability.NONE:
        yield
        return
    shards = range(schedule.shards)
    before = [_history(schedule, shard) for shard in shards]
    yield
    for shard in shards:
        if _confirmed(schedule, shard, process) != before[shard]:
            raise StoreUnavailable("the store did not confirm that this is on its disk; hand it in again")


def _history(schedule: Schedule, shard: int) -> str:
    """Return which history of writes a shard's server continues; it changes with a failover or a restart."""
    with answered(), server_of(schedule.client, schedule.prefix(shard)) as server:
        return str(server.info("replication").get("master_replid"))


def _confirmed(schedule: Schedule, shard: int, process: str) -> str | None:
    """Wait for the disk of a shard's server; return its history, or None if it did not confirm."""
    replicas_wanted, prefix = int(schedule.durability is Durability.REPLICA), schedule.prefix(shard)
    commands = ("WAITAOF", 1, replicas_wanted, CONFIRM_MS), ("INFO", "replication")
    with answered(), server_of(schedule.client, prefix) as server:
        _, written, told = run_before(partial(piped, server), script("beat"), (prefix, process), *commands)
    for reply in (written, told):
        if isinstance(reply, RedisError):
            raise unavailable(reply) from None
    local, replicas = written
    return str(told.get("master_replid")) if local >= 1 and replicas >= replicas_wanted else None
