"""What to do after the store was put back from a backup: hold what may have been sent since for a person to decide.

The store cannot know what was sent after the backup was made. So everything that was due by now, or on its way, becomes
``unknown``, and is neither sent nor forgotten. This works blind: ids and due times are enough.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from reminder_worker import acts
from reminder_worker.clocks import moment
from reminder_worker.errors import SettingsError
from reminder_worker.schedule import BATCH, Schedule
from reminder_worker.store import answered

SENDERS = b"scheduler/", b"worker/"
SILENT = timedelta(seconds=20)  # a process that has not beaten for longer has missed three heartbeats


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What was held, and what was not."""

    until: datetime  # what was due by then is held
    newest_sign: datetime | None  # of life, in the store as it was put back: it knows nothing from about then on
    due: int
    queued: int
    sending: int
    dead_letters: int
    waiting: int  # due later: goes out as planned when the backup was made

    @property
    def held(self) -> int:
        """How many reminders a person has to decide about."""
        return self.due + self.queued + self.sending + self.dead_letters


def quarantine(schedule: Schedule, who: acts.Who) -> Quarantined:
    """Record who does it, hold what may have been sent already, and let workers start. Raises StoreUnavailable.

    Safe to repeat, also after it was cut short: workers start once all of it is done.
    """
    acts.note(schedule, "restore", "quarantined", who)  # first: a run that is cut short has changed something as well
    sign, until = newest_sign(schedule), 0
    due = queued = sending = dead = 0
    for shard in range(schedule.shards):
        batch = [1]
        while any(batch):
            until, *batch = schedule.run("quarantine", shard, BATCH, until, schedule.keep_ms)
            due, queued, sending, dead = due + batch[0], queued + batch[1], sending + batch[2], dead + batch[3]
    return Quarantined(moment(until), sign, due, queued, sending, dead, _waiting(schedule))


def end(schedule: Schedule, who: acts.Who) -> bool:
    """Treat what is handed in late as new again; False if it already is. Raises StoreUnavailable."""
    keys = [schedule.prefix(shard) + b"restored" for shard in range(schedule.shards)]
    with answered():
        known = [key for key in keys if schedule.client.get(key) is not None]
        if known:  # not by what DEL answers: repeated after a lost answer, it reports that there was nothing
            acts.note(schedule, "restore", "ended", who)
        for key in known:
            schedule.client.delete(key)
    return bool(known)


def wait_for_silence(schedule: Schedule, sleep: Callable[[float], object] = time.sleep) -> None:
    """Wait until no sender can be at work: the backup itself holds beats from just before it. Raises SettingsError."""
    first, began = _last_beat(schedule), schedule.now()
    while (last := _last_beat(schedule)) and schedule.now() - min(last, began) < SILENT:  # a clock may have been ahead
        if last != first:
            raise SettingsError("a worker or a scheduler is at work: stop all of them, and run this again")
        sleep(1.0)


def newest_sign(schedule: Schedule) -> datetime | None:
    """Return when a worker or a scheduler was last here, as far as this store knows: the backup's time, to seconds.

    Other processes may go on running, and have beaten in the store that was put back as well.
    """
    beat = _last_beat(schedule)
    with answered():
        seen = [schedule.client.get(schedule.prefix(shard) + b"seen") for shard in range(schedule.shards)]
    signs = [moment(float(at)) for at in filter(None, seen)]
    return max([*signs, beat] if beat else signs, default=None)


def _last_beat(schedule: Schedule) -> datetime | None:
    with answered():
        beats = schedule.client.zrange(schedule.prefix(0) + b"processes", 0, -1, withscores=True)
    return max((moment(at) for name, at in beats if name.startswith(SENDERS)), default=None)


def _waiting(schedule: Schedule) -> int:
    with answered():
        return sum(schedule.client.zcard(schedule.prefix(shard) + b"due") for shard in range(schedule.shards))
