"""What waits for a person's decision: dead letters, and reminders of which nobody could find out what became.

Whoever decides sees why a reminder waits and since when. No platform, phone, place or appointment's time gets here, so
none can be shown; a reminder has an opaque name, made from its id.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reminder_worker import acts
from reminder_worker.clocks import moment
from reminder_worker.errors import Reason
from reminder_worker.ledger import HEAD_BYTES, ID_BYTES, Head, name_of
from reminder_worker.schedule import BATCH, Schedule
from reminder_worker.store import answered

_FIELDS = ("state", "reason", "provider", "tries", "attempts", "due", "asked")
_NUMBER = re.compile(r"([0-9]{1,14})(\.[0-9]+)?", re.ASCII)


class Kind(StrEnum):
    """Why a reminder waits."""

    DEAD_LETTER = "dead_letter"  # surely not accepted: its workers died again and again
    UNKNOWN = "unknown"  # a provider may have accepted it


MEANING = {
    Kind.DEAD_LETTER: "no provider accepted it: it was claimed, and its worker died, five times.\n"
    "First see why workers die; then dead retry, as long as it can be of use, or dead drop.",
    Kind.UNKNOWN: "a provider was asked, did not say whether it accepted, and could not be asked again.\n"
    "Look for it at the provider by the time of asking; then dead resolve --as sent, or --as failed.",
}
_RESTORED = (
    "the store was put back from a backup, and what was sent since is not known in it: this one was due by then.\n"
    "Look for it at the provider from the time it was due; then dead resolve --as sent, dead drop, or dead retry\n"
    "--although-it-may-arrive-twice. A report of the provider's settles it by itself."
)


class Decision(StrEnum):
    """What is to become of a reminder."""

    RETRY = "retry"
    RESEND = "resend"  # retry, though it may have been accepted
    DROP = "drop"
    SENT = "sent"  # a person found out that it was accepted
    FAILED = "failed"  # a person found out that it was not


class Answer(StrEnum):
    """What came of a decision."""

    DONE = "done"
    SETTLED = "settled"  # it no longer waits, or waits anew
    GONE = "gone"  # its envelope was deleted: there is nothing to send
    IN_DOUBT = "in_doubt"
    CERTAIN = "certain"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One reminder that waits for a decision."""

    name: str
    kind: Kind
    reason: str
    since: datetime
    provider: str | None  # who was asked last
    tries: int  # how often it went back to the schedule
    attempts: int  # how often a provider was called
    due: datetime | None  # when it fell due
    asked: datetime | None  # when a provider was last called
    can_retry: bool  # its envelope is there
    member: bytes = field(repr=False)
    score: int = field(repr=False)  # since when, as Redis holds it: a reminder that waits anew is another case


def meaning(one: Waiting) -> str:
    """Return why a reminder waits, and what to do."""
    return _RESTORED if one.reason == Reason.RESTORED else MEANING[one.kind]


def waiting(schedule: Schedule, most: int = 0, *, name: str | None = None) -> list[Waiting]:
    """Return the reminders that wait, or those of one name, oldest first. Raises StoreUnavailable.

    ``most`` of each kind and shard, 0 for all. After a restore a whole day's may wait: only rows asked for are read.
    """
    with answered():
        found = [one for shard in range(schedule.shards) for one in _of_shard(schedule, shard, most, name)]
    return sorted(found, key=lambda one: (one.since, one.name))


def decide(schedule: Schedule, one: Waiting, decision: Decision, who: acts.Who) -> Answer:
    """Carry out a decision, once, and note who made it. Raises StoreUnavailable."""
    act, shard = secrets.token_bytes(8), schedule.shard_of(one.member)
    words = one.member, one.score, act, decision, schedule.keep_ms, one.name, who.user, who.sudo_user
    answer = Answer(schedule.run("decide", shard, *words).decode())
    if answer is Answer.DONE:
        acts.say(decision, one.kind, one.name, who)
    return answer


def _of_shard(schedule: Schedule, shard: int, most: int, name: str | None) -> Iterator[Waiting]:
    prefix = schedule.prefix(shard)
    for kind, key in ((Kind.DEAD_LETTER, b"dead"), (Kind.UNKNOWN, b"unknown")):
        held = schedule.client.zrange(prefix + key, 0, most - 1, withscores=True)
        held = [one for one in held if name in {None, name_of(one[0])}]
        for start in range(0, len(held), BATCH):
            batch = held[start : start + BATCH]
            with schedule.client.pipeline(transaction=False) as pipe:
                for member, _ in batch:
                    pipe.hmget(prefix + b"r:" + member, _FIELDS)
                    pipe.getrange(prefix + b"a:" + member[:ID_BYTES], 0, HEAD_BYTES - 1)
                replies = pipe.execute()
            for (member, score), values, head in zip(batch, replies[::2], replies[1::2], strict=True):
                if values[0] is not None:  # else its row is gone, and its entry in the list soon will be
                    texts = {
                        name: (value or b"").decode("utf-8", "replace")
                        for name, value in zip(_FIELDS, values, strict=True)
                    }
                    yield _waiting(kind, member, int(score), texts, Head.of(head))


def _waiting(kind: Kind, member: bytes, score: int, row: Mapping[str, str], head: Head | None) -> Waiting:
    return Waiting(
        name=name_of(member),
        kind=kind,
        reason=row["reason"],
        since=moment(score),
        provider=row["provider"] or None,
        tries=_whole(row["tries"]) or 0,
        attempts=_whole(row["attempts"]) or 0,
        due=None if (due := _whole(row["due"])) is None else moment(due),
        asked=None if (asked := _whole(row["asked"])) is None else moment(asked),
        can_retry=head is not None and head.left != 0,
        member=member,
        score=score,
    )


def _whole(text: str) -> int | None:
    """Read a number, or a time in milliseconds; a row that was tampered with must not hide all others."""
    number = _NUMBER.fullmatch(text)
    return int(number[1]) if number else None
