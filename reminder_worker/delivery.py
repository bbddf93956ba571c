"""One attempt after another: the intent is written before a provider is called, the outcome after.

Only a text that was surely not accepted goes on, to the next provider or to a later time. An attempt that may have
been accepted stays open in the ledger and is followed up from there (``reconciling.py``): never sent again blindly,
never given to another provider.
"""

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reminder_worker import endings, metrics
from reminder_worker.clocks import boot_time
from reminder_worker.contacts import Contact
from reminder_worker.drafting import Draft
from reminder_worker.errors import Misconfigured, NotSent, Reason, Rejected, Throttled
from reminder_worker.gate import Admission, Gate, Recipient
from reminder_worker.ledger import Claim, Intent, OpenAttempt, Outcome, Wake
from reminder_worker.optouts import OptOuts
from reminder_worker.postponing import WHOEVER_CARRIES_IT, Closed, awaited, expired, later, refused, waits_in_crowd
from reminder_worker.providers import Provider, Sent, Text
from reminder_worker.receipts import Receipts, new_reference
from reminder_worker.routes import Routes
from reminder_worker.schedule import Schedule
from reminder_worker.sending import Carriers

LEASE = timedelta(seconds=15)  # from intent to outcome; an open attempt older than this is followed up
FRESH = 1.5  # seconds: a worker that was frozen for longer since its intent does not send

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """One text to be delivered; in memory only while its reminder is handled."""

    platform: str = field(repr=False)
    contact: Contact = field(repr=False)
    draft: Draft = field(repr=False)
    expires: datetime = field(repr=False)
    # None: an open attempt is being followed up, and how late that is means nothing.
    due: datetime | None = field(default=None, repr=False)


class Delivery:
    """What a worker does with a text; safe to use from many threads."""

    def __init__(
        self,
        schedule: Schedule,
        carriers: Carriers,
        routes: Routes,
        gate: Gate,
        optouts: OptOuts,
        receipts: Receipts,
    ) -> None:
        self._schedule = schedule
        self._carriers = carriers
        self._routes = routes
        self._gate = gate
        self._optouts = optouts
        self._receipts = receipts

    def deliver(self, claim: Claim, order: Order) -> None:
        """Try the route's providers in order until one accepts, refuses for good or leaves it in doubt."""
        whom = self._gate.recipient(claim, order.platform, order.contact.phone)
        closed: list[Closed] = []
        for name in self._routes.order(order.contact.phone):
            answer = self._attempt(claim, order, whom, self._carriers[name])
            if answer is None:
                self._call_those_passed(closed)
                return
            closed.append(answer)
            if answer.reason in WHOEVER_CARRIES_IT:
                break
        self._postpone(claim, order, whom, closed)

    def _call_those_passed(self, closed: list[Closed]) -> None:
        """Call the reminders that wait for a provider in whose place another one was asked.

        Usually one of those called does this when it comes. If all of them are gone none would, and the provider would
        be left out.
        """
        for one in closed:
            if one.reason is Reason.THROTTLED and one.crowd:
                self._gate.call_crowd(one.provider)

    def _postpone(self, claim: Claim, order: Order, whom: Recipient, closed: list[Closed]) -> None:
        """Let a text that no provider takes now come back, or end it."""
        outcome = later(claim, closed, order.expires)
        waits_for = awaited(closed, outcome)
        if waits_for is not None and waits_for.reason is Reason.RATE_LIMITED:
            answer = self._attempt(claim, order, whom, self._carriers[waits_for.provider], wants_turn=True)
            if answer is None:
                self._call_those_passed(closed)
                return
            outcome = later(claim, [answer], order.expires)
            waits_for = awaited([answer], outcome)
        self._settle(claim, outcome)
        if waits_for is not None and waits_in_crowd(waits_for):  # now that it can be found in the schedule
            self._gate.join_crowd(waits_for.provider, claim, order.due or claim.now)

    def _attempt(
        self, claim: Claim, order: Order, whom: Recipient, provider: Provider, *, wants_turn: bool = False
    ) -> Closed | None:
        """Ask one provider, if that is allowed now; return why it did not accept, or None if nothing is left to try.

        With ``wants_turn`` a text that has to wait is given a turn, and has to come then: a turn for which none comes,
        because another provider made it needless or it is too late, holds up all texts behind it.
        """
        if not self._carriers.may_reach(provider, order.contact.phone):
            return Closed(Reason.NOT_ALLOWED_HERE)
        if time_until(order.expires, claim) <= timedelta():
            self._settle(claim, expired(Reason.TOO_LATE))
            return None
        admission = self._gate.admit(provider, whom, order.draft.segments, wants_turn=wants_turn)
        if admission.refusal is not None:
            crowd, takes = admission.crowd, admission.takes
            return Closed(
                admission.refusal, admission.wait, asked=False, provider=provider.name, crowd=crowd, takes=takes
            )
        if self._optouts.has(order.platform, order.contact.phone):  # said since this reminder was opened
            self._settle(claim, refused(Reason.OPTED_OUT))
            self._gate.release(admission)
            return None
        if admission.wait:  # even a sleep of no length gives the processor away
            time.sleep(admission.wait.total_seconds())
        return self._intend_and_call(claim, order, provider, admission)

    def _intend_and_call(self, claim: Claim, order: Order, provider: Provider, admission: Admission) -> Closed | None:
        """Record the intent, call the provider, and record the outcome."""
        reference, started = new_reference(claim.wake), boot_time()
        edition = order.draft.edition
        intent = self._schedule.intend(claim, provider.name, reference, lease=LEASE, template=edition)
        useful = time_until(order.expires, claim)
        if intent is Intent.LOST:
            self._gate.release(admission)
            return None
        if intent is Intent.NOT_CONFIRMED or boot_time() - started > FRESH or useful <= timedelta():
            self._settle(claim, Outcome.closed(Reason.NOT_CONFIRMED), provider.name, reference)
            self._gate.release(admission)
            return Closed(Reason.NOT_CONFIRMED)
        text = Text(order.contact.phone, order.draft.body, order.draft.segments, reference, useful)
        if order.due is not None:
            metrics.LATENESS.observe(-time_until(order.due, claim).total_seconds())
        return self._call(claim, provider, text, admission, started)

    def _settle(self, claim: Claim, outcome: Outcome, provider: str | None = None, reference: str = "") -> None:
        """Record what became of a claim."""
        if self._schedule.settle(claim.wake, outcome, token=claim.token, reference=reference):
            endings.tell(outcome, provider)

    def _call(
        self, claim: Claim, provider: Provider, text: Text, admission: Admission, started: float
    ) -> Closed | None:
        """Call the provider. If it may have accepted but did not say so, the attempt stays open."""
        try:
            sent = self._carriers.send(provider, text, since=started)
        except (Rejected, NotSent, Misconfigured) as error:
            closed = self._refused(claim, provider, text, error)
            self._gate.report(admission, error)
            return closed
        except BaseException as error:  # noqa: BLE001 - Ambiguous, or a plug-in's own: bytes may have left
            log.warning("attempt_open", extra={"provider": provider.name, "error": type(error).__name__})
            self._gate.report(admission, error)
            return None
        self.accepted(claim.wake, provider, text.reference, sent)
        self._gate.report(admission, None)
        return None

    def accepted(self, wake: Wake, provider: Provider, reference: str, sent: Sent) -> None:
        """Record that a provider accepted an attempt."""
        by_id = provider.capabilities.receipts_by_id
        early = self._receipts.expect(provider, sent.provider_message_id, reference) if by_id else ()
        outcome = Outcome.sent(sent.provider_message_id, forget=provider.capabilities.forgets)
        if self._schedule.settle(wake, outcome, reference=reference):
            endings.tell(outcome, provider.name)
        for receipt in early:
            self._receipts.take(provider, receipt)

    def opted_out(self, phone: str) -> None:
        """Put a phone on our opt-out list, since it is on its provider's. Raises StoreUnavailable."""
        self._optouts.stop(phone)

    def forget(self) -> None:
        """Have providers remove number and text once a text has arrived, or never will. Raises StoreUnavailable."""
        failed: set[str] = set()
        for leftover in self._receipts.leftovers():
            provider = self._carriers.get(leftover.provider)
            if provider is None or provider.name in failed:  # it is tried again later
                continue
            try:
                provider.forget(leftover.message_id)
            except BaseException as error:  # noqa: BLE001 - its words may hold the number
                failed.add(provider.name)
                log.warning("not_forgotten", extra={"provider": provider.name, "error": type(error).__name__})
            else:
                self._receipts.forgotten(leftover)

    def _refused(
        self, claim: Claim, provider: Provider, text: Text, error: Rejected | NotSent | Misconfigured
    ) -> Closed | None:
        """Record a refusal: final for the person, or a reason to go on."""
        final = isinstance(error, Rejected)
        outcome = refused(error.reason) if final else Outcome.closed(error.reason)
        log.debug("attempt", extra={"provider": provider.name, "state": outcome.kind, "reason": outcome.reason})
        if error.reason is Reason.OPTED_OUT:  # the provider's list knows more than ours: no other may text them
            self.opted_out(text.to)  # first: once the reminder has ended, nothing would do this again
        self._settle(claim, outcome, provider.name, text.reference)
        if isinstance(error, Misconfigured):
            log.error("provider_misconfigured", extra={"provider": provider.name})
        after = error.retry_after if isinstance(error, Throttled) else None
        return None if final else Closed(error.reason, timedelta(seconds=after or 0))


def time_until(moment: datetime, claim: Claim | OpenAttempt) -> timedelta:
    """Return how far off a moment is, by the store's clock at the claim and the time passed here since."""
    return moment - claim.now - timedelta(seconds=boot_time() - claim.since)
