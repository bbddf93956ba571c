"""The schedule and the ledger in Redis: what is pending, and what became of each reminder.

The scripts in ``lua/`` make all changes of state (keys and state diagram: ``lua/ledger.lua``); this module calls
them. Nothing in Redis tells a number, a place or an appointment's time: it holds ids, due times, sealed envelopes.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self, TypeVar

from redis.exceptions import RedisError

from reminder_worker.agreement import Agreement
from reminder_worker.clocks import boot_time, milliseconds, moment
from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import (
    CLAIM_LEASE,
    HEAD_BYTES,
    Answer,
    Claim,
    Durability,
    Entry,
    Head,
    Intent,
    OpenAttempt,
    Outcome,
    Reminder,
    Taken,
    Wake,
    name_of,
)
from reminder_worker.lines import Command, Lines
from reminder_worker.scripts import run_before, run_each, script
from reminder_worker.settings import Settings
from reminder_worker.store import Client, answered, unavailable
from reminder_worker.topology import server_of

WAKE_LEASE = timedelta(seconds=30)  # a wake-up that nobody claims within this is lost; doubles each time
MOST_CLAIMS = 5  # a reminder whose worker died this often is a dead letter
KEEP_DEAD = timedelta(days=7)
CONFIRM_MS = 1_200  # how long an intent may wait for the disk; "everysec" takes up to a second
TWICE, KNOWN = 2, 3  # what scripts answer to a second proof: of another text, and of the same
DEAD = -1  # what sweep.lua returns instead of a version
BATCH = 250  # per script call: each blocks Redis for a millisecond or two
ADDED = 60  # the same for the script that adds, which does more for each

T = TypeVar("T")
log = logging.getLogger(__name__)


class Schedule:
    """One Redis (or Cluster) with the ledger of all appointments; safe to use from many threads."""

    def __init__(
        self,
        client: Client,
        *,
        shards: int = 1,
        retention: timedelta = timedelta(days=30),
        durability: Durability = Durability.NONE,
    ) -> None:
        self.client = client
        self._lines = Lines(client)
        self.shards = shards
        self.agreement = Agreement(client, shards)
        self.durability = durability
        self.retention = retention
        self.keep_ms = milliseconds(retention)
        self.seen = 0  # by the store's clock, ms: a store that was put back has forgotten it, and gives us no reminder

    @classmethod
    def of(cls, settings: Settings, client: Client) -> Self:
        """Return the schedule that the settings describe."""
        return cls(client, shards=settings.shards, retention=settings.retention, durability=settings.confirm)

    def prefix(self, shard: int) -> bytes:
        """Return what all keys of a shard begin with; the braces put them on one node of a Cluster."""
        return b"rw:{%d}:" % shard

    def shard_of(self, id_: bytes) -> int:
        """Return the shard that an id, or any name that is as good as random, belongs to."""
        return id_[0] % self.shards

    def run(self, name: str, shard: int, *arguments: Any) -> Any:
        """Run a script; redis-py tries again after a lost connection, and every script tolerates that."""
        return self._run_before(name, shard, arguments)[0]

    def _run_before(self, name: str, shard: int, arguments: Sequence[Any], *commands: Command) -> list[Any]:
        """Run a script, then commands right after it; return all answers."""
        prefix = self.prefix(shard)
        try:
            return run_before(partial(self._lines.ask, prefix), script(name), (prefix, *arguments), *commands)
        except RedisError as error:
            raise unavailable(error) from None

    def run_all(self, name: str, calls: Sequence[tuple[int, Sequence[Any]]]) -> list[Any]:
        """Run a script for each shard and arguments, one round trip a shard; return answers in the calls' order."""
        answers: dict[int, Any] = {}
        for shard in sorted({shard for shard, _ in calls}):
            mine = [index for index, (its, _) in enumerate(calls) if its == shard]
            answers.update(zip(mine, self._run_each(name, shard, [calls[index][1] for index in mine]), strict=True))
        return [answers[index] for index in range(len(calls))]

    def _run_each(self, name: str, shard: int, calls: Sequence[Sequence[Any]]) -> list[Any]:
        if len(calls) == 1:
            return [self.run(name, shard, *calls[0])]
        with answered(), server_of(self.client, self.prefix(shard)) as server:
            return run_each(server, script(name), self.prefix(shard), calls)

    def of_each_shard(self, work: Callable[[int], T]) -> list[T]:
        """Do something for each shard, even if one on another server is away. Raises StoreUnavailable in the end."""
        done, away = [], None
        for shard in range(self.shards):
            try:
                done.append(work(shard))
            except StoreUnavailable as error:
                away = error
        if away is not None:
            raise away
        return done

    # What a platform does.

    def add(self, entries: Sequence[Entry]) -> list[Answer]:
        """Add appointments, or move those whose content changed; return answers in the order of the entries.

        Raises SettingsError if other processes use the store with another number of shards, and StoreUnavailable.
        """
        self.agreement.make()
        batches: list[tuple[int, list[int]]] = []
        for shard in range(self.shards):
            mine = [index for index, entry in enumerate(entries) if self.shard_of(entry.id) == shard]
            batches += ((shard, mine[start : start + ADDED]) for start in range(0, len(mine), ADDED))
        calls = [(shard, [word for index in batch for word in entries[index].words()]) for shard, batch in batches]
        answers: dict[int, Answer] = {}
        for (_, batch), reply in zip(batches, self.run_all("add", calls), strict=True):
            answers.update(zip(batch, (Answer(word.decode()) for word in reply[::2]), strict=True))
        return [answers[index] for index in range(len(entries))]

    def cancel(self, id_: bytes) -> Answer:
        """Take an appointment back; ``cancelled`` means that nothing more will be sent."""
        return Answer(self.run("cancel", self.shard_of(id_), self.keep_ms, id_).decode())

    def show(self, id_: bytes) -> list[Reminder]:
        """Return what is known of each lead of an appointment; empty if nothing is, or not any more."""
        prefix = self.prefix(self.shard_of(id_))
        with answered():
            head = Head.of(self.client.getrange(prefix + b"a:" + id_, 0, HEAD_BYTES - 1))
            if head is None:
                return []
            with self.client.pipeline(transaction=False) as pipe:
                for lead in range(head.leads):
                    member = id_ + bytes([lead])
                    pipe.zscore(prefix + b"due", member).zscore(prefix + b"turns", member)
                    pipe.hgetall(prefix + b"r:" + member)
                replies = pipe.execute()
        dues = [turn if due is None else due for due, turn in zip(replies[::3], replies[1::3], strict=True)]
        known = zip(range(head.leads), dues, replies[2::3], strict=True)
        return [Reminder.of(lead, due, fields) for lead, due, fields in known if due is not None or fields]

    # What the scheduler does.

    def take(self, shard: int, *, most: int = BATCH, capacity: int) -> Taken:
        """Take what is due, as long as fewer than ``capacity`` wait for a worker."""
        now, waiting, next_due, *flat = self.run("take", shard, most, capacity, milliseconds(WAKE_LEASE))
        pause = None if next_due < 0 else timedelta(milliseconds=max(0, next_due - now))
        return Taken(_wakes(flat), waiting, pause)

    def sweep(self, shard: int, *, most: int = BATCH) -> list[Wake]:
        """Return what has to be woken again: lost wake-ups, dead workers, open attempts to look after."""
        leases = milliseconds(WAKE_LEASE), MOST_CLAIMS, self.keep_ms, milliseconds(KEEP_DEAD)
        found = _wakes(self.run("sweep", shard, most, *leases))
        for one in found:
            if one.version == DEAD:
                log.error("dead_letter", extra={"reminder": name_of(one.member)})
        return [one for one in found if one.version != DEAD]

    def beat(self, process: str) -> datetime:
        """Record that a process is alive; ``process`` is a kind and an opaque number. Return the store's time."""
        self.agreement.watch()
        return moment(self.run("beat", 0, process))

    def leave(self, process: str) -> None:
        """Record that a process ends in order, and did not fall silent. Raises StoreUnavailable."""
        self.run("beat", 0, process, "ended")

    def now(self) -> datetime:
        """Return the store's time."""
        with answered():
            seconds, micro = self.client.time()
        return datetime.fromtimestamp(seconds + micro / 1e6, UTC)

    # What a worker does.

    def claim(self, wake: Wake) -> Claim | OpenAttempt | None:
        """Claim a reminder; None for a wake-up that is duplicate, late or stale."""
        token, since = secrets.token_bytes(8), boot_time()
        lease = milliseconds(CLAIM_LEASE)
        kind, *rest = self.run("claim", self.shard_of(wake.id), wake.member, wake.version, token, lease, self.seen)
        if kind == b"claimed":
            now, tries, envelope, sent_until, comes_back, called = rest
            its = wake, token, moment(now), tries, envelope
            until, turn = moment(sent_until) if sent_until else None, bool(comes_back)
            return Claim(*its, since=since, sent_until=until, comes_back=turn, called=called.decode())
        if kind == b"look":
            now, provider, reference, asked, envelope = rest
            names = provider.decode(), reference.decode()
            return OpenAttempt(wake, moment(now), *names, moment(asked), envelope, since=since)
        if kind == b"back":
            log.error("store_put_back")
        return None

    def intend(self, claim: Claim, provider: str, reference: str, *, lease: timedelta, template: str = "") -> Intent:
        """Record that ``provider`` is about to be called, as durably as configured."""
        shard = self.shard_of(claim.wake.id)
        arguments = claim.wake.member, claim.token, provider, reference, milliseconds(lease), template
        if self.durability is Durability.NONE:
            return Intent(self.run("intend", shard, *arguments).decode())
        wait = "WAITAOF", 1, int(self.durability is Durability.REPLICA), CONFIRM_MS
        answer, reply = self._run_before("intend", shard, arguments, wait)
        local, replicas = (0, 0) if isinstance(reply, RedisError) else reply  # an error: the append-only file is off
        confirmed = local >= 1 and (replicas >= 1 or self.durability is Durability.LOCAL)
        intent = Intent(answer.decode())
        return Intent.NOT_CONFIRMED if intent is Intent.OK and not confirmed else intent

    def settle(self, wake: Wake, outcome: Outcome, *, token: bytes = b"", reference: str = "") -> bool:
        """Record what became of a claim (``token``) or an attempt (``reference``); False: too late to count."""
        words = outcome.kind, outcome.reason or "", outcome.failure_class or ""
        spans = milliseconds(outcome.delay), self.keep_ms, self.forget_ms(outcome.forget)
        name = "" if outcome.forget is None else outcome.provider_message_id  # a gateway may have put the number there
        known = *words, name, *spans
        return proven(self.run("settle", self.shard_of(wake.id), wake.member, token, reference, *known))

    def forget_ms(self, span: timedelta | None) -> int:
        """Return in how many ms a provider is to remove a text: while its row lasts; -1 if there is none to remove."""
        return -1 if span is None else milliseconds(min(span, self.retention / 2))


def proven(done: int) -> bool:
    """Tell whether a proof counts; one too many is reported, for no text can be taken back."""
    if done == TWICE:
        log.error("texted_twice")
    return bool(done)


def _wakes(flat: Sequence[Any]) -> list[Wake]:
    return [Wake.of(member, version) for member, version in zip(flat[::2], flat[1::2], strict=True)]
