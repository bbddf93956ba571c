"""Find out what became of an attempt that was left in doubt, without texting anyone twice.

In this order: the same reference once more, if the provider takes it for one text; the provider's own word on our
reference; its receipt, which comes by itself and is waited for; a search, which counts only if it finds something. What
is still in doubt then is ``unknown``, and for an operator to judge.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from reminder_worker import endings
from reminder_worker.clocks import wall_time
from reminder_worker.contacts import Contact
from reminder_worker.delivery import Delivery, Order, time_until
from reminder_worker.errors import NotSent, Reason, Rejected
from reminder_worker.gate import Admission, Gate
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import OpenAttempt, Outcome
from reminder_worker.postponing import refused
from reminder_worker.providers import Provider, Sent, Text
from reminder_worker.schedule import Schedule
from reminder_worker.sending import Carriers, understood

PATIENCE = timedelta(hours=6)  # how long to keep trying a provider that cannot be asked

log = logging.getLogger(__name__)

Reopen = Callable[[OpenAttempt], Order | None]


class Reconciling:
    """Looks after open attempts; safe to use from many threads."""

    def __init__(
        self, schedule: Schedule, carriers: Carriers, gate: Gate, delivery: Delivery, *, resend_unknown: bool = False
    ) -> None:
        self._schedule = schedule
        self._carriers = carriers
        self._gate = gate
        self._delivery = delivery
        self._resend_unknown = resend_unknown

    def look(self, attempt: OpenAttempt, reopen: Reopen) -> None:
        """Find out what became of an attempt whose worker is gone; while in doubt, it stays as it is.

        ``reopen`` returns the text again, or None if it must not be sent any more; it raises NotSent if that cannot
        be known now. An attempt that might be settled once it can waits, as for a provider that does not answer.
        """
        provider = self._carriers.get(attempt.provider)
        order, away = self._reopened(attempt, provider, reopen)
        if provider is not None and order is not None and self._again(attempt, provider, order):
            return
        found, answered = self._find(attempt, provider, order)
        if provider is not None and found is not None:
            self._delivery.accepted(attempt.wake, provider, attempt.reference, found)
            log.info("attempt_resolved", extra={"provider": attempt.provider, "state": State.SENT})
            return
        since = min(attempt.now, wall_time()) - attempt.asked  # by the slower clock: one that jumped ahead ends no call
        if since < _patience(provider, answered=answered, away=away):
            return
        if answered or self._resend_unknown:
            self._settle(attempt, Outcome.retry(Reason.AMBIGUOUS, timedelta()))
        else:
            self._settle(attempt, Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL))

    def _reopened(self, attempt: OpenAttempt, provider: Provider | None, reopen: Reopen) -> tuple[Order | None, bool]:
        """Get the text of an attempt if its provider can use it; the second value means: not now, but later."""
        if provider is None or not (provider.capabilities.searches or _is_remembered(attempt, provider)):
            return None, False
        try:
            return reopen(attempt), False
        except NotSent:
            return None, True

    def _again(self, attempt: OpenAttempt, provider: Provider, order: Order) -> bool:
        """Send with the same reference if the provider deduplicates; return whether that settled the attempt.

        Only acceptance and a final refusal apply to the first call as well: any other answer is the second's alone, and
        so is a refusal if the first may have been to another phone.
        """
        text = _text(attempt, order)
        if not _is_remembered(attempt, provider) or text.valid_for <= timedelta():
            return False
        whom = self._gate.recipient(attempt, order.platform, text.to)
        admission = self._gate.admit(provider, whom, text.segments)
        if admission.refusal is not None:
            return False
        if admission.wait:
            time.sleep(admission.wait.total_seconds())
        return self._call(attempt, provider, order, admission)

    def _call(self, attempt: OpenAttempt, provider: Provider, order: Order, admission: Admission) -> bool:
        try:
            sent = self._carriers.send(provider, _text(attempt, order))
        except BaseException as error:  # noqa: BLE001 - whatever it was, the first call is still in doubt
            settled = isinstance(error, Rejected) and self._refused(attempt, order.contact, error.reason)
            if not settled:
                log.warning("attempt_open", extra={"provider": provider.name, "error": type(error).__name__})
            self._gate.report(admission, error)
            return settled
        self._delivery.accepted(attempt.wake, provider, attempt.reference, sent)
        log.info("attempt_resolved", extra={"provider": attempt.provider, "state": State.SENT})
        self._gate.report(admission, None)
        return True

    def _refused(self, attempt: OpenAttempt, contact: Contact, reason: Reason) -> bool:
        """Record a final refusal, unless the first call may have been to another phone; return whether it was done."""
        if reason is Reason.OPTED_OUT:
            self._delivery.opted_out(contact.phone)  # first: once this has ended, nothing comes back to it
        if not contact.may_change:
            self._settle(attempt, refused(reason))
        return not contact.may_change

    def _find(self, attempt: OpenAttempt, provider: Provider | None, order: Order | None) -> tuple[Sent | None, bool]:
        """Ask the provider; the second value tells whether it answered: if so, "not found" is proof in due time."""
        if provider is None:
            return None, False
        try:
            if provider.capabilities.finds_by_reference:
                found, answered = provider.find(attempt.reference), True
            elif provider.capabilities.searches and order is not None:
                found, answered = provider.search(_text(attempt, order), attempt.asked), False
            else:
                return None, False
            return None if found is None else understood(found), answered
        except BaseException as error:  # noqa: BLE001 - a plug-in's error is no answer, nor is its end
            log.warning("look_up_failed", extra={"provider": provider.name, "error": type(error).__name__})
        return None, False

    def _settle(self, attempt: OpenAttempt, outcome: Outcome) -> None:
        if self._schedule.settle(attempt.wake, outcome, reference=attempt.reference):
            endings.tell(outcome, attempt.provider)
            log.info("attempt_resolved", extra={"provider": attempt.provider, "state": outcome.kind})


def _text(attempt: OpenAttempt, order: Order) -> Text:
    """Write the text of an attempt once more."""
    useful = time_until(order.expires, attempt)
    return Text(order.contact.phone, order.draft.body, order.draft.segments, attempt.reference, useful)


def _is_remembered(attempt: OpenAttempt, provider: Provider) -> bool:
    """Tell whether the provider still takes the same reference for the same text."""
    can = provider.capabilities
    return can.deduplicates and attempt.now - attempt.asked < can.deduplicates_within


def _patience(provider: Provider | None, *, answered: bool, away: bool) -> timedelta:
    """Return how old an attempt must be before "not found", or no answer at all, decides it.

    ``away``: what is missing now is not the provider's answer but the text to ask it with.
    """
    if provider is None:  # another worker's settings may still name it
        return PATIENCE
    can = provider.capabilities
    settles = can.settles_within if can.settles else timedelta()
    asked_again = away or (can.settles and can.finds_by_reference)
    return max(settles, PATIENCE) if asked_again and not answered else settles
