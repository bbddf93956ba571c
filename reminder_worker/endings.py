"""How reminders ended, for operators to watch: a count, and a line of the log. No number, place, time or text.

An ending is logged once. What goes back to the schedule, perhaps again and again, is logged at DEBUG.
"""

import logging

from reminder_worker import metrics
from reminder_worker.ledger import CLOSED, Outcome

log = logging.getLogger(__name__)


def tell(outcome: Outcome, provider: str | None = None) -> None:
    """Count and log the outcome that was recorded for a reminder."""
    metrics.ended(outcome.kind, provider)
    shown = {"state": outcome.kind, "reason": outcome.reason, "provider": provider}
    if outcome.kind in metrics.LABELS["state"]:
        log.info("settled", extra=shown)
    elif outcome.kind != CLOSED:
        log.debug("put_off", extra=shown)
