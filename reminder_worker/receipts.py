"""What providers report, entered in the ledger; and what they should no longer keep.

A receipt finds its reminder by the attempt's reference, which leads there by itself, or, through an index, by the
provider's own name for the text. It holds no number, and only its state and reason are kept. The provider's name, in
which a gateway may have put the number, is kept only if it is needed to have the text removed.
"""

import base64
import binascii
import hashlib
import logging
import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from reminder_worker import logs, metrics
from reminder_worker.clocks import milliseconds
from reminder_worker.errors import Reason
from reminder_worker.job import State
from reminder_worker.ledger import FORGET_AFTER, ID_BYTES, Leftover, Wake, failure_class, name_of
from reminder_worker.providers import Provider, Receipt
from reminder_worker.schedule import KNOWN, Schedule, proven

REFERENCE_LENGTH = 39  # characters
_REFERENCE_SECRET = 12  # bytes
FORGET_LEASE = timedelta(minutes=30)
FORGET_BATCH = 20
REPORTED = frozenset({State.SENT, State.DELIVERED, State.UNDELIVERED, None})

Heard = tuple[Provider, Receipt]
Call = tuple[int, tuple[Any, ...]]  # of a script: shard, arguments

log = logging.getLogger(__name__)


class Receipts:
    """The part of the ledger that providers report to; safe to use from many threads."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def take(self, provider: Provider, receipt: Receipt) -> bool:
        """Record a receipt; False if it belongs to no known attempt, or says nothing."""
        return self.take_all([(provider, receipt)])[0]

    def take_all(self, heard: Sequence[Heard]) -> list[bool]:
        """Record receipts in order; return for each whether it counts. Raises StoreUnavailable, TypeError."""
        for _, receipt in heard:
            _check(receipt)
        references = self._references(heard)
        members = [member_of(reference) for reference in references]
        calls, known = [], []
        for index, (provider, receipt) in enumerate(heard):
            member = members[index]
            if member is not None and receipt.state is not None:
                known.append(index)
                words = member, references[index], provider.name, *self._words(provider, receipt, receipt.state)
                calls.append((self._schedule.shard_of(member), words))
        done = dict(zip(known, self._schedule.run_all("receipt", calls), strict=True))
        return [_note(*one, members[index], done.get(index, 0)) for index, one in enumerate(heard)]

    def _words(self, provider: Provider, receipt: Receipt, state: State) -> tuple[Any, ...]:
        reason = receipt.reason if state is State.UNDELIVERED else None
        forgets = provider.capabilities.forgets
        forget = self._schedule.forget_ms(FORGET_AFTER if forgets else None)
        name = receipt.provider_message_id if forgets else ""
        spans = name, forget, self._schedule.keep_ms
        return state, reason or "", failure_class(reason) if reason else "", *spans

    def expect(self, provider: Provider, message_id: str, reference: str) -> list[Receipt]:
        """Remember which attempt the provider's name for a text belongs to; return receipts that came earlier."""
        (early,) = self._schedule.run_all("match", [self._match(provider, message_id, reference, b"")])
        shapes = [msgspec.msgpack.decode(receipt, type=_Early) for receipt in early]
        return [Receipt(reference, one.state, message_id, one.reason) for one in shapes]

    def _references(self, heard: Sequence[Heard]) -> list[str]:
        """Return the references of receipts, also of those that lack it; an early receipt is kept until it is known."""
        references, unnamed, calls = [receipt.reference for _, receipt in heard], [], []
        for index, (provider, receipt) in enumerate(heard):
            if not receipt.reference and receipt.provider_message_id and receipt.state is not None:
                early = msgspec.msgpack.encode(_Early(receipt.state, receipt.reason))
                unnamed.append(index)
                calls.append(self._match(provider, receipt.provider_message_id, "", early))
        for index, found in zip(unnamed, self._schedule.run_all("match", calls), strict=True):
            references[index] = found.decode("ascii", "replace") if found else ""
        return references

    def _match(self, provider: Provider, message_id: str, reference: str, receipt: bytes) -> Call:
        text = f"{provider.name}|{message_id}".encode()
        name = hashlib.blake2b(text, digest_size=16, person=b"rw-message").digest()
        return self._schedule.shard_of(name), (name, reference, receipt, self._schedule.keep_ms)

    def leftovers(self) -> Iterator[Leftover]:
        """Yield texts that their providers should remove now; each comes again until ``forgotten`` is called."""
        lease, days = milliseconds(FORGET_LEASE), self._schedule.retention.days
        for shard in range(self._schedule.shards):
            for name in self._schedule.run("forget", shard, FORGET_BATCH, lease, days):
                _, provider, message_id = name.decode().split("|", 2)
                yield Leftover(name, shard, provider, message_id)

    def forgotten(self, leftover: Leftover) -> None:
        """Record that a provider has removed a text."""
        self._schedule.run("forgotten", leftover.shard, leftover.name)


def _check(receipt: Receipt) -> None:
    """Refuse what is no receipt, as a plug-in may return: a provider's own words as the reason may hold the number."""
    reason: object = getattr(receipt, "reason", "")
    known = receipt.state in REPORTED and (reason is None or isinstance(reason, Reason))
    if not known or not isinstance(receipt.provider_message_id, str):
        raise TypeError("not what a receipt can say")


def _note(provider: Provider, receipt: Receipt, member: bytes | None, done: int) -> bool:
    """Log and count what became of a receipt; return whether it counts."""
    if member is None or receipt.state is None:
        log.debug("receipt_ignored", extra={"provider": provider.name, "state": receipt.state})
        return False
    with logs.about(name_of(member)):
        if not proven(done):
            log.debug("receipt_ignored", extra={"provider": provider.name, "state": receipt.state})
            return False
        metrics.count(metrics.RECEIPTS, provider=provider.name, state=receipt.state)
        if done != KNOWN:  # known: repeated, or already told by the provider's answer
            metrics.ended(receipt.state, provider.name)
        reason = receipt.reason if receipt.state is State.UNDELIVERED else None
        log.info("receipt", extra={"provider": provider.name, "state": receipt.state, "reason": reason})
    return True


class _Early(msgspec.Struct, array_like=True):
    state: State
    reason: Reason | None


def new_reference(wake: Wake) -> str:
    """Return an unguessable name for one attempt, which leads back to its reminder: 39 characters."""
    return base64.urlsafe_b64encode(wake.member + secrets.token_bytes(_REFERENCE_SECRET)).decode().rstrip("=")


def member_of(reference: str) -> bytes | None:
    """Return the reminder that an attempt's reference leads to; None if the reference is not ours."""
    if len(reference) != REFERENCE_LENGTH or not reference.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(reference + "=")
    except (binascii.Error, ValueError):
        return None
    return raw[: ID_BYTES + 1]
