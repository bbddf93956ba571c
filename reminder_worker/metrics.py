"""What operators watch: how often things happened in this process, and how long they took. No number, place, time, id.

Labels take their values from fixed lists, and any other value is counted as ``other``: nothing written elsewhere
becomes the name of a series. No label names a platform: a practice may send so few reminders in an hour that their
count tells of a person, and no operator needs it.

These metrics belong to this process; the state of the ledger, which is the same for all, is in ``gauges.py``.
"""

from collections.abc import Collection, Iterable
from functools import cache
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from reminder_worker.errors import Reason
from reminder_worker.job import State
from reminder_worker.ledger import NOBODY

OTHER = "other"  # a value that is on no list
PROCESSES = "worker", "scheduler", "web", "hooks", "ops"
PENDING = {State.SCHEDULED, State.QUEUED, State.SENDING}
CALLED = State.SENT, State.FAILED, State.UNKNOWN  # what a worker records of a call
UNOPENABLE = (
    *(Reason.MALFORMED, Reason.VERSION_UNKNOWN, Reason.KEY_UNKNOWN, Reason.DAMAGED, Reason.SIGNER_UNKNOWN),
    *(Reason.SIGNATURE_INVALID, Reason.ID_MISMATCH, Reason.PLATFORM_MISMATCH, Reason.POINTER_INVALID),
)
LIMITS = (
    *(Reason.CIRCUIT_OPEN, Reason.RATE_LIMITED, Reason.THROTTLED),
    *(Reason.SPEND_CAPPED, Reason.PLATFORM_CAPPED, Reason.PHONE_CAPPED),
)
RESULTS = "accepted", "rejected", "not_sent", "throttled", "misconfigured", "ambiguous"
ANSWERS = "added", "unchanged", "moved", "in_flight", "cancelled", "ended", "missing"
DROPPED = "field", "value", "message", "line", "print"
TURN = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)  # seconds
CALL = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

LABELS: dict[str, frozenset[str]] = {
    "state": frozenset(set(State) - PENDING),
    "reason": frozenset(Reason),
    "result": frozenset(RESULTS),
    "answer": frozenset(ANSWERS),
    "process": frozenset(PROCESSES),
    "what": frozenset(DROPPED),
}
_providers: set[str] = {NOBODY}  # by their names in the settings

REGISTRY = CollectorRegistry()


def _counter(name: str, what: str, *labels: str) -> Counter:
    return Counter(f"reminder_{name}", what, labels, registry=REGISTRY)


OUTCOMES = _counter("outcomes", "Reminders that ended, as recorded by this process", "state", "provider")
ATTEMPTS = _counter("attempts", "Calls to a provider, by their result", "provider", "result")
SEGMENTS = _counter("segments", "Segments that a provider accepted", "provider")
WAITS = _counter("waits", "Texts that a limit of our own put off or refused", "provider", "reason")
REJECTED = _counter("rejected", "Jobs that did not open", "reason")
OPT_OUTS = _counter("opt_outs", "Phones that were put on the opt-out list")
RECEIPTS = _counter("receipts", "Receipts that counted", "provider", "state")
REFUSED_CALLS = _counter(
    "webhooks_refused", "Calls to hooks that were not believed, or not understood", "provider", "reason"
)
HANDED_IN = _counter("handed_in", "Appointments that platforms handed in or took back over HTTP", "answer")
WOKEN = _counter("woken", "Wake-ups for what fell due")
SWEPT = _counter("swept", "Wake-ups for what was left behind: lost wake-ups, dead workers, attempts in doubt")
FIELDS_DROPPED = _counter(
    "log_fields_dropped", "Log content that was dropped: it may be data, or nobody took the line", "what"
)
LATENESS = Histogram(
    "reminder_lateness_seconds", "From a text's due time to the call to its provider", buckets=TURN, registry=REGISTRY
)
PROVIDER_SECONDS = Histogram(
    "reminder_provider_seconds", "How long a call to a provider took", ["provider"], buckets=CALL, registry=REGISTRY
)


def know_providers(names: Iterable[str]) -> None:
    """Give these providers, which are those of the settings and no others, series of their own."""
    _providers.update(names)


def expect_calls(names: Collection[str]) -> None:
    """Start a worker's series at zero, before anything happens.

    Prometheus sees no rise in a series that starts with its first event, and alerts look for rises.
    """
    know_providers(names)
    _begin(ATTEMPTS, provider=names, result=RESULTS)
    _begin(WAITS, provider=names, reason=LIMITS)
    _begin(OUTCOMES, state=CALLED, provider=names)
    _begin(OUTCOMES, state=[State.EXPIRED], provider=[NOBODY])
    _begin(REJECTED, reason=UNOPENABLE)


def expect_receipts(names: Collection[str]) -> None:
    """Start series at zero for providers that report what becomes of a text: if no report comes, that shows too."""
    know_providers(names)
    _begin(RECEIPTS, provider=names, state=[State.SENT, State.DELIVERED, State.UNDELIVERED])


def _begin(counter: Counter, **labels: Iterable[str]) -> None:
    for values in product(*labels.values()):
        counter.labels(*values)


def known(label: str, value: str | None) -> str:
    """Return a value as it may appear in a label."""
    if label == "provider":
        value = value or NOBODY
        return value if value in _providers else OTHER
    return value if value in LABELS[label] else OTHER


def count(counter: Counter, amount: float = 1, **labels: str | None) -> None:
    """Count something that happened."""
    _series(counter, **{name: known(name, value) for name, value in labels.items()}).inc(amount)


def took(provider: str, seconds: float) -> None:
    """Record how long a provider took to answer."""
    _series(PROVIDER_SECONDS, provider=known("provider", provider)).observe(seconds)


@cache  # there are few: label values come from lists
def _series(metric: Counter | Histogram, **labels: str) -> Any:
    return metric.labels(**labels) if labels else metric


def ended(kind: str, provider: str | None) -> None:
    """Count an outcome that ends a reminder; closing one provider, or going back to the schedule, ends nothing."""
    if kind in LABELS["state"]:
        count(OUTCOMES, state=kind, provider=provider)
