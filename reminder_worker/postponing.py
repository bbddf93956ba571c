"""What becomes of a text that nobody has accepted: another try, a turn at a provider, or its end."""

import random
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta

from reminder_worker.errors import NotSent, Reason, Throttled, Unopenable
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import HOLD, Claim, Outcome

FIRST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(minutes=30)
KEY_TRIES = 12  # about two hours: what is missing at one worker was forgotten, or a person sees to it
LONGEST_HOLD = timedelta(minutes=15)  # so that a cap that an operator raises is noticed
LONGEST_PATIENCE = timedelta(minutes=5)
WHOEVER_CARRIES_IT = frozenset({Reason.PLATFORM_CAPPED, Reason.PHONE_CAPPED})


@dataclass(frozen=True, slots=True)
class Closed:
    """A provider that surely did not accept, or was not asked."""

    reason: Reason
    wait: timedelta = timedelta()
    _: KW_ONLY
    asked: bool = True  # False: a limit of our own, and waiting for it is no try
    provider: str = ""
    crowd: int = 0  # how many wait for it
    takes: timedelta = timedelta()  # until all of them have been called, at its pace


def postponed(claim: Claim, error: NotSent, expires: datetime) -> Outcome:
    """Say what becomes of a reminder whose contact cannot be told now: a later time, as after any failure."""
    after = error.retry_after if isinstance(error, Throttled) else None
    asked = error.reason not in {Reason.CIRCUIT_OPEN, Reason.RESOLVER_BUSY}
    return later(claim, [Closed(error.reason, timedelta(seconds=after or 0), asked=asked)], expires)


def unopened(claim: Claim, error: Unopenable, expires: datetime | None) -> Outcome:
    """Say what becomes of a job that did not open: where a key is missing here, it is left for whoever has it.

    ``expires`` is None where it is the envelope that did not open.
    """
    delay = backoff(claim.tries)
    in_time = expires is None or claim.now + delay < expires
    if error.lacks_key and claim.tries < KEY_TRIES and in_time:
        return Outcome.retry(error.reason, delay)
    return Outcome.final(State.REJECTED, error.reason, FailureClass.PERMANENT)


def later(claim: Claim, closed: list[Closed], expires: datetime) -> Outcome:
    """Choose when to try again; what would come too late has ended."""
    reachable = [one for one in closed if one.reason is not Reason.NOT_ALLOWED_HERE]
    if closed and not reachable:
        return Outcome.final(State.FAILED, Reason.NOT_ALLOWED_HERE, FailureClass.TECHNICAL)
    if not closed:  # no route leads there: an operator can still mend the settings
        reachable = [Closed(Reason.MISCONFIGURED)]
    last = reachable[-1].reason
    if last is Reason.PHONE_CAPPED:
        return Outcome.final(State.FAILED, last, FailureClass.TEMPORARY)
    tried = [one for one in reachable if one.asked]
    if tried:
        reason, delay = tried[-1].reason, max(backoff(claim.tries), *(one.wait for one in tried))
        outcome = Outcome.retry(reason, delay)
    else:
        soonest = min(reachable, key=_expected)
        reason, delay = soonest.reason, _hold(soonest)
        outcome = Outcome.hold(reason, delay + (_patience(soonest.crowd) if waits_in_crowd(soonest) else timedelta()))
    if claim.now + delay >= expires:  # ended here: a shorter wait would tell Redis when it expires
        return expired(reason)
    return outcome


def awaited(closed: Sequence[Closed], outcome: Outcome) -> Closed | None:
    """Return the provider that a text waits for; None where it waits for something else, or for nothing."""
    waits = [one for one in closed if outcome.kind == HOLD and one.reason is outcome.reason]
    return min(waits, key=_expected, default=None)


def waits_in_crowd(closed: Closed) -> bool:
    """Tell whether who waits for a provider is called when there is room; others come at a time."""
    return bool(closed.provider) and closed.reason in {Reason.THROTTLED, Reason.CIRCUIT_OPEN}


def backoff(tries: int) -> timedelta:
    """Return how long to wait after this many tries: doubling, with jitter, so that a crowd spreads out."""
    longest = min(FIRST_DELAY * 2 ** min(tries, 20), LONGEST_DELAY)
    return timedelta(seconds=longest.total_seconds() * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


def _hold(closed: Closed) -> timedelta:
    """Say how long it is at least: until the turn that there is, else a little apart from all others that wait."""
    if closed.reason is Reason.RATE_LIMITED:
        return closed.wait
    wait = min(closed.wait, LONGEST_HOLD)
    return wait if waits_in_crowd(closed) else wait * random.uniform(1.0, 1.2) + timedelta(milliseconds=50)  # noqa: S311 - jitter


def _expected(closed: Closed) -> timedelta:
    """Say how long it will be at a provider: when one that is away comes back nobody knows, nor who is called then."""
    return closed.wait + (_patience(closed.crowd) if closed.reason is Reason.CIRCUIT_OPEN else closed.takes)


def _patience(crowd: int) -> timedelta:
    """Say how long nobody comes by itself who is to be called: the longer, the more wait, so that few come in vain."""
    return min(timedelta(seconds=10 + crowd / 2), LONGEST_PATIENCE)


def refused(reason: Reason) -> Outcome:
    """Say how a reminder ends that a provider, or the person, does not want."""
    state = State.SUPPRESSED if reason is Reason.OPTED_OUT else State.FAILED
    return Outcome.final(state, reason, FailureClass.PERMANENT)


def expired(reason: Reason) -> Outcome:
    """Say that a reminder has come to its end unsent."""
    return Outcome.final(State.EXPIRED, reason, FailureClass.TEMPORARY)
