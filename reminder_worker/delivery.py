"""One attempt after another: the intent is written before a provider is called, the outcome after.

Only what was surely not accepted goes on, to the next provider or to a later time. What may have been accepted
stays open in the ledger, and is looked after from there: never sent again blindly, never given to anybody else.
"""

import base64
import logging
import random
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from reminder_worker.contacts import Contact
from reminder_worker.drafting import Draft
from reminder_worker.errors import Misconfigured, NotSent, Reason, Rejected, Throttled
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Claim, Intent, OpenAttempt, Outcome, Wake
from reminder_worker.providers import Provider, Sent, Text
from reminder_worker.routes import Routes
from reminder_worker.schedule import Schedule, boot_time

CALL = timedelta(seconds=10)  # one total deadline for a provider's answer
LEASE = timedelta(seconds=15)  # from intent to outcome; an open attempt older than this is looked after
FRESH = 1.5  # seconds: a worker that was frozen for longer since its intent does not send
FIRST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(minutes=30)
PATIENCE = timedelta(hours=6)  # how long a provider that cannot be asked is asked again
_REFERENCE_SECRET = 12  # bytes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Closed:
    """An attempt that was surely not accepted."""

    reason: Reason
    retry_after: float | None = None


class Delivery:
    """What a worker knows about providers; safe to use from many threads."""

    def __init__(
        self,
        schedule: Schedule,
        providers: Mapping[str, Provider],
        routes: Routes,
        *,
        allow_numbers: Collection[str] | None,
        resend_unknown: bool = False,
    ) -> None:
        self._schedule = schedule
        self._providers = providers
        self._routes = routes
        self._allowed = None if allow_numbers is None else tuple(allow_numbers)
        self._resend_unknown = resend_unknown

    def deliver(self, claim: Claim, contact: Contact, draft: Draft, expires: datetime) -> None:
        """Try the route's providers in order until one accepts, refuses for good or leaves us in doubt."""
        closed: list[_Closed] = []
        for name in self._routes.order(contact.phone):
            answer = self._attempt(claim, self._providers[name], contact, draft, expires)
            if answer is None:
                return
            closed.append(answer)
        self._schedule.settle(claim.wake, self._later(claim, closed, expires), token=claim.token)

    def look(self, attempt: OpenAttempt) -> None:
        """Find out what became of an attempt whose worker is gone; in doubt it stays as it is."""
        provider = self._providers.get(attempt.provider)
        found, answered = self._find(provider, attempt.reference)
        if found is not None:
            outcome = Outcome.sent(found.provider_message_id, found.segments)
        elif attempt.now - attempt.asked < _patience(provider, answered=answered):
            return
        elif answered or self._resend_unknown:
            outcome = Outcome.retry(Reason.AMBIGUOUS, timedelta())
        else:
            outcome = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
        self._schedule.settle(attempt.wake, outcome, reference=attempt.reference)
        log.info("attempt_resolved", extra={"provider": attempt.provider, "state": outcome.kind})

    def _find(self, provider: Provider | None, reference: str) -> tuple[Sent | None, bool]:
        """Ask the provider; the second value tells whether it answered: "not found" is a proof then, in due time."""
        if provider is None or not provider.capabilities.finds_by_reference:
            return None, False
        try:
            return provider.find(reference), True
        except Exception as error:  # noqa: BLE001 - a plug-in's error is no answer
            log.warning("look_up_failed", extra={"provider": provider.name, "error": type(error).__name__})
            return None, False

    def _attempt(
        self, claim: Claim, provider: Provider, contact: Contact, draft: Draft, expires: datetime
    ) -> _Closed | None:
        """Make one attempt and write down its outcome; return why it was not accepted, or None when that was all."""
        if not self._may_reach(provider, contact.phone):
            return _Closed(Reason.NOT_ALLOWED_HERE)
        if _left(claim, expires) <= timedelta():
            self._schedule.settle(claim.wake, _expired(Reason.TOO_LATE), token=claim.token)
            return None
        reference, started = new_reference(claim.wake), boot_time()
        intent = self._schedule.intend(claim, provider.name, reference, lease=LEASE)
        if intent is Intent.LOST:
            return None
        left = _left(claim, expires)
        if intent is Intent.NOT_CONFIRMED or boot_time() - started > FRESH or left <= timedelta():
            outcome: Outcome | None = Outcome.closed(Reason.NOT_CONFIRMED)
            closed: _Closed | None = _Closed(Reason.NOT_CONFIRMED)
        else:
            outcome, closed = self._call(provider, Text(contact.phone, draft.body, draft.segments, reference, left))
        if outcome is not None:
            self._schedule.settle(claim.wake, outcome, token=claim.token, reference=reference)
            log.debug("attempt", extra={"provider": provider.name, "state": outcome.kind, "reason": outcome.reason})
        return closed

    def _call(self, provider: Provider, text: Text) -> tuple[Outcome | None, _Closed | None]:
        """Call the provider; no outcome at all means that it may have accepted."""
        try:
            sent = _connect_again(provider, text)
        except Rejected as error:
            return _refused(error.reason), None
        except NotSent as error:
            after = error.retry_after if isinstance(error, Throttled) else None
            return Outcome.closed(error.reason), _Closed(error.reason, after)
        except Misconfigured:
            log.error("provider_misconfigured", extra={"provider": provider.name})  # noqa: TRY400 - no provider's words
            return Outcome.closed(Reason.MISCONFIGURED), _Closed(Reason.MISCONFIGURED)
        except Exception as error:  # noqa: BLE001 - Ambiguous, or a plug-in's own error: bytes may have left
            log.warning("attempt_open", extra={"provider": provider.name, "error": type(error).__name__})
            return None, None
        return Outcome.sent(sent.provider_message_id, sent.segments), None

    def _may_reach(self, provider: Provider, phone: str) -> bool:
        """Outside production a real provider reaches only allowed numbers; this is the one place that sends."""
        return self._allowed is None or not provider.capabilities.reaches_phones or phone.startswith(self._allowed)

    def _later(self, claim: Claim, closed: list[_Closed], expires: datetime) -> Outcome:
        """Choose when to try again; what would come too late has ended."""
        if not closed:  # no route leads there: an operator can still mend the settings
            closed = [_Closed(Reason.MISCONFIGURED)]
        if all(one.reason is Reason.NOT_ALLOWED_HERE for one in closed):
            return Outcome.final(State.FAILED, Reason.NOT_ALLOWED_HERE, FailureClass.TECHNICAL)
        delay = max(backoff(claim.tries), *(timedelta(seconds=one.retry_after or 0) for one in closed))
        reason = next(one.reason for one in reversed(closed) if one.reason is not Reason.NOT_ALLOWED_HERE)
        return _expired(reason) if claim.now + delay >= expires else Outcome.retry(reason, delay)


def _connect_again(provider: Provider, text: Text) -> Sent:
    """Call the provider once; a call known not to have left this machine is made once more within the deadline."""
    span = min(CALL, text.valid_for).total_seconds()
    deadline, last = time.monotonic() + span, boot_time() + span

    def send() -> Sent:
        if boot_time() >= last:  # no longer of use, or frozen between two tries: the attempt may be somebody else's
            raise NotSent(Reason.TOO_LATE)
        return provider.send(text, deadline=deadline)

    again = Retrying(
        retry=retry_if_exception(lambda error: type(error) is NotSent and time.monotonic() + 1 < deadline),
        stop=stop_after_attempt(2),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    return again(send)


def _left(claim: Claim, expires: datetime) -> timedelta:
    """Say how long a text is still of use: by the store's clock at the claim, and what has passed here since."""
    return expires - claim.now - timedelta(seconds=boot_time() - claim.since)


def _patience(provider: Provider | None, *, answered: bool) -> timedelta:
    """Say how old an attempt must be before "not found", or no answer at all, decides it."""
    if provider is None:
        return timedelta()
    capable, settles = provider.capabilities.finds_by_reference, provider.capabilities.settles_within
    return max(settles, PATIENCE) if capable and not answered else settles


def backoff(tries: int) -> timedelta:
    """Return how long to wait after this many tries: doubling, with jitter, so that a crowd spreads out."""
    longest = min(FIRST_DELAY * 2 ** min(tries, 20), LONGEST_DELAY)
    return timedelta(seconds=longest.total_seconds() * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


def new_reference(wake: Wake) -> str:
    """Return an unguessable name for one attempt, which leads back to its reminder: 39 characters."""
    return base64.urlsafe_b64encode(wake.member + secrets.token_bytes(_REFERENCE_SECRET)).decode().rstrip("=")


def _refused(reason: Reason) -> Outcome:
    state = State.SUPPRESSED if reason is Reason.OPTED_OUT else State.FAILED
    return Outcome.final(state, reason, FailureClass.PERMANENT)


def _expired(reason: Reason) -> Outcome:
    return Outcome.final(State.EXPIRED, reason, FailureClass.TEMPORARY)
