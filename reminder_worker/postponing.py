"""What becomes of a text that no provider has accepted: another try, a turn at a provider, or its end."""

import random
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta

from reminder_worker.errors import NotSent, Reason, Throttled, Unopenable
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import HOLD, Claim, Outcome

FIRST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(minutes=30)
KEY_TRIES = 12  # about two hours: a key missing at one worker was forgotten, or a person sees to it
LONGEST_HOLD = timedelta(minutes=15)  # so that a cap that an operator raises is noticed
LONGEST_PATIENCE = timedelta(minutes=5)
WHOEVER_CARRIES_IT = frozenset({Reason.PLATFORM_CAPPED, Reason.PHONE_CAPPED})


@dataclass(frozen=True, slots=True)
class Closed:
    """A provider that certainly did not accept, or was not asked."""

    reason: Reason
    wait: timedelta = timedelta()
    _: KW_ONLY
    asked: bool = True  # False: a limit of our own, and waiting for it does not count as a try
    provider: str = ""
    crowd: int = 0  # how many wait for it
    takes: timedelta = timedelta()  # until all of them have been called, at its pace


def postponed(claim: Claim, error: NotSent, expires: datetime) -> Outcome:
    """Return what becomes of a reminder whose contact cannot be resolved now: a later time, as after any failure."""
    after = error.retry_after if isinstance(error, Throttled) else None
    asked = error.reason not in {Reason.CIRCUIT_OPEN, Reason.RESOLVER_BUSY}
    return later(claim, [Closed(error.reason, timedelta(seconds=after or 0), asked=asked)], expires)


def unopened(claim: Claim, error: Unopenable, expires: datetime | None) -> Outcome:
    """Return what becomes of a job that did not open: if a key is missing here, it is left for a worker that has it.

    ``expires`` is None if it is the envelope that did not open.
    """
    delay = backoff(claim.tries)
    in_time = expires is None or claim.now + delay < expires
    if error.lacks_key and claim.tries < KEY_TRIES and in_time:
        return Outcome.retry(error.reason, delay)
    return Outcome.final(State.REJECTED, error.reason, FailureClass.PERMANENT)


def later(claim: Claim, closed: list[Closed], expires: datetime) -> Outcome:
    """Choose when to try again; a reminder that would come too late has ended."""
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
    """Return the provider that a text waits for; None if it waits for something else, or for nothing."""
    waits = [one for one in closed if outcome.kind == HOLD and one.reason is outcome.reason]
    return min(waits, key=_expected, default=None)


def waits_in_crowd(closed: Closed) -> bool:
    """Tell whether a text that waits for this provider is called when there is room; others come back at a set time."""
    return bool(closed.provider) and closed.reason in {Reason.THROTTLED, Reason.CIRCUIT_OPEN}


def backoff(tries: int) -> timedelta:
    """Return how long to wait after this many tries: doubling, with jitter, so that a crowd spreads out."""
    longest = min(FIRST_DELAY * 2 ** min(tries, 20), LONGEST_DELAY)
    return timedelta(seconds=longest.total_seconds() * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


def _hold(closed: Closed) -> timedelta:
    """Return the least time to wait: until its turn if it has one, else a little apart from all others that wait."""
    if closed.reason is Reason.RATE_LIMITED:
        return closed.wait
    wait = min(closed.wait, LONGEST_HOLD)
    return wait if waits_in_crowd(closed) else wait * random.uniform(1.0, 1.2) + timedelta(milliseconds=50)  # noqa: S311 - jitter


def _expected(closed: Closed) -> timedelta:
    """Estimate the wait for a provider: nobody knows when one that is away comes back, nor who is called then."""
    return closed.wait + (_patience(closed.crowd) if closed.reason is Reason.CIRCUIT_OPEN else closed.takes)


def _patience(crowd: int) -> timedelta:
    """Return how long a text in a crowd waits before it comes uncalled: longer if more wait, so few come in vain."""
    return min(timedelta(seconds=10 + crowd / 2), LONGEST_PATIENCE)


def refused(reason: Reason) -> Outcome:
    """Return how a reminder ends that a provider refuses or the person does not want."""
    state = State.SUPPRESSED if reason is Reason.OPTED_OUT else State.FAILED
    return Outcome.final(state, reason, FailureClass.PERMANENT)


def expired(reason: Reason) -> Outcome:
    """Return the outcome of a reminder that expired unsent."""
    return Outcome.final(State.EXPIRED, reason, FailureClass.TEMPORARY)
