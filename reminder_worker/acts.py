"""What operators did by hand: who, what, to which reminder, and when. A line each, in the store and in the log.

A line is for those who look after operators, so it names the account; of a reminder it holds the opaque name only, and
of a number that somebody asked about nothing at all. Lines are appended and read: the operator's own user of the store
cannot take one away (``ops/redis/operator.acl``), but push it out with ten thousand others, or write one in somebody
else's name. What the log has was said by the process itself.
"""

import logging
import os
import pwd
import re
from dataclasses import dataclass
from datetime import datetime

from reminder_worker.clocks import moment
from reminder_worker.schedule import Schedule
from reminder_worker.store import answered

_PARTS = 6
_WHEN = re.compile(r"[0-9]{1,14}", re.ASCII)  # ms; what is further off is no time, and would hide all the others
_UNUSUAL = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Who:
    """An account of this machine, and the one that became it."""

    user: str
    sudo_user: str = ""

    @classmethod
    def here(cls) -> "Who":
        """Say whose process this is. The user is the system's word; the other is a variable that sudo sets."""
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # an account without a name
            user = f"uid-{os.getuid()}"
        return cls(_tidy(user), _tidy(os.environ.get("SUDO_USER", "")))


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that an operator did."""

    at: datetime
    what: str  # retry, resend, drop, sent, failed; or find
    result: str  # what it was done to; or what kind of answer there was
    reminder: str  # its opaque name, or empty
    user: str
    sudo_user: str

    @classmethod
    def of(cls, line: bytes) -> "Act | None":
        """Read a line; None for what no script of ours has left."""
        parts = line.decode("utf-8", "replace").split("|")
        if len(parts) != _PARTS or not _WHEN.fullmatch(parts[0]):
            return None
        return cls(moment(int(parts[0])), *parts[1:])


def read(schedule: Schedule, most: int = 0) -> list[Act]:
    """Return what operators did, newest first; ``most`` of each shard, 0 for all. Raises StoreUnavailable."""
    with answered():
        lines = [
            line
            for shard in range(schedule.shards)
            for line in schedule.client.lrange(schedule.prefix(shard) + b"acts", -most, -1)
        ]
    found = [act for line in lines if (act := Act.of(line)) is not None]
    return sorted(found, key=lambda act: act.at, reverse=True)


def note(schedule: Schedule, what: str, result: str, who: Who) -> None:
    """Leave a line of what changed nothing in the ledger: what does, leaves its own. Raises StoreUnavailable."""
    schedule.run("act", 0, what, result, who.user, who.sudo_user)
    say(what, result, "", who)


def say(what: str, result: str, reminder: str, who: Who) -> None:
    """Write it into the log too."""
    named = {"act": what, "state": result, "reminder": reminder, "user": who.user, "sudo_user": who.sudo_user}
    log.info("act", extra={name: text for name, text in named.items() if text})


def _tidy(name: str) -> str:
    return _UNUSUAL.sub("_", name)[:_LONGEST_NAME]
