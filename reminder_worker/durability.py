"""Whether what was written would survive: asked once for many writes, before anybody is told that they are safe."""

from redis.exceptions import RedisError

from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import Durability
from reminder_worker.schedule import CONFIRM_MS, Schedule, script, unavailable


def confirm(schedule: Schedule, process: str) -> None:
    """Wait until all that was written so far is as durable as configured. Raises StoreUnavailable.

    WAITAOF waits for its own connection's writes, and whatever was written before these is on the disk by then; so
    the heartbeat of ``process`` is written once more, and waited for.
    """
    if schedule.durability is Durability.NONE:
        return
    source, _ = script("beat")
    replicas_wanted = int(schedule.durability is Durability.REPLICA)
    for shard in range(schedule.shards):
        try:
            with schedule.client.pipeline(transaction=False) as pipe:
                pipe.eval(source, 1, schedule.prefix(shard), process)
                pipe.execute_command("WAITAOF", 1, replicas_wanted, CONFIRM_MS)
                _, (local, replicas) = pipe.execute()
        except RedisError as error:
            raise unavailable(error) from None
        if local < 1 or replicas < replicas_wanted:
            raise StoreUnavailable("the store did not confirm that this is on its disk; hand it in again")
