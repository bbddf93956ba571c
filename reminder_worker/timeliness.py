"""Whether a reminder may go out now: by the signed job and the store's clock, not by what Redis says; no I/O."""

from datetime import UTC, datetime, timedelta

from reminder_worker.errors import Reason
from reminder_worker.job import FailureClass, Job, State
from reminder_worker.ledger import Outcome
from reminder_worker.plan import EXPIRES_BEFORE, QUIET_GRACE, QuietHours, Slot

EARLY = timedelta(seconds=5)  # between a platform's clock and the store's
APART = timedelta(minutes=5)  # this machine's clock and the store's: any further, and one of them is wrong
LOOK_AGAIN = timedelta(minutes=1)  # at a reminder that has expired by one of them only


def may_be_out(slot: Slot, sent_until: datetime | None) -> Outcome | None:
    """Return what becomes of a reminder handed in after the store was put back, and perhaps sent before."""
    if sent_until is None or slot.due > sent_until:
        return None
    return Outcome.final(State.UNKNOWN, Reason.RESTORED, FailureClass.TECHNICAL)


def wrong_moment(opened: Job, slot: Slot, quiet: QuietHours | None, now: datetime, own: datetime) -> Outcome | None:
    """Return what becomes of a reminder that cannot go out now; None if it can.

    ``now`` is by the store's clock. Nothing ends for good by a clock that this machine's own contradicts: everything
    pending would be gone by the time that clock is set right.
    """
    if now >= slot.expires and own < slot.expires - APART:
        return Outcome.hold(Reason.TOO_EARLY, max(slot.due, own + LOOK_AGAIN) - now)  # by our clock: where it belongs
    if now >= slot.expires:
        last = slot.expires == opened.time.astimezone(UTC) - EXPIRES_BEFORE  # not on the wall clock
        reason = Reason.TOO_LATE if last else Reason.SUPERSEDED
        return Outcome.final(State.EXPIRED, reason, FailureClass.TEMPORARY)
    if now < slot.due - EARLY:  # whoever can write to Redis can wake a reminder early, and nothing more
        return Outcome.hold(Reason.TOO_EARLY, slot.due - now)
    local = now.astimezone(opened.time.tzinfo)
    if quiet and quiet.cover(local) and quiet.cover(local - QUIET_GRACE):
        awake = quiet.after(local)
        if awake >= slot.expires:
            return Outcome.final(State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)
        return Outcome.hold(Reason.QUIET_HOURS, awake - now)
    return None
