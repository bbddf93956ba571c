"""What operators did by hand: who, what, to which reminder, and when. One line each, in the store and in the log.

A line is for those who supervise operators, so it names the account; it names a reminder by its opaque name only, and
holds nothing of a number that an operator asked about. Lines are only appended and read: the store's operator user
cannot delete one (``ops/redis/operator.acl``), but can push it out with ten thousand others, or write one in another
operator's name. The log's copy comes from the process itself.
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
_WHEN = re.compile(r"[0-9]{1,14}", re.ASCII)  # ms; a later time is not valid, and would hide all the other lines
_UNUSUAL = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Who:
    """An account of this machine, and the account that switched to it with sudo."""

    user: str
    sudo_user: str = ""

    @classmethod
    def here(cls) -> "Who":
        """Return whose process this is: the user as the system knows it, and the variable that sudo sets."""
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # an account without a name
            user = f"uid-{os.getuid()}"
        return cls(_tidy(user), _tidy(os.environ.get("SUDO_USER", "")))


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that an operator did."""

    at: datetime
    what: str  # retry, resend, drop, sent, failed; find, restore or optouts
    result: str  # what kind of reminder it was done to, or how it ended
    reminder: str  # its opaque name, or empty
    user: str
    sudo_user: str

    @classmethod
    def of(cls, line: bytes) -> "Act | None":
        """Read a line; return None if no script of ours can have left it."""
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
    """Record an act that changed nothing in the ledger; the others record themselves. Raises StoreUnavailable."""
    schedule.run("act", 0, what, result, who.user, who.sudo_user)
    say(what, result, "", who)


def say(what: str, result: str, reminder: str, who: Who) -> None:
    """Write the act into the log too."""
    named = {"act": what, "state": result, "reminder": reminder, "user": who.user, "sudo_user": who.sudo_user}
    log.info("act", extra={name: text for name, text in named.items() if text})


def _tidy(name: str) -> str:
    return _UNUSUAL.sub("_", name)[:_LONGEST_NAME]
