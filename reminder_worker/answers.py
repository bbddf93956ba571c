"""Turns a provider's answer into one of our errors, by the rules that hold for every provider.

Only a refusal shows that something was surely not done, and only by a code or a status that is known. Everything else
may have been accepted. Nothing of an answer enters an error: a provider's words hold the number.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec

from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Rejected, ReminderError, Throttled

RETRY_AFTER_LIMIT = 900.0  # seconds
_SEE_OTHER = frozenset({302, 303})  # how a form that was accepted is answered: what came of it is at another address
_REFUSED_ACCOUNT = frozenset({401, 402, 403})  # by status alone: nothing is accepted without credentials or credit

T = TypeVar("T")


def judge(status: int, known: Reason | None) -> Reason:
    """Judge status and code together; ``known`` is the provider's own reading of the code."""
    if 300 <= status < 400 and status not in _SEE_OTHER:  # noqa: PLR2004
        return Reason.MISCONFIGURED  # the URL leads elsewhere, and no redirect is followed
    if not 400 <= status < 500:  # noqa: PLR2004
        return Reason.AMBIGUOUS
    if status == 429:  # noqa: PLR2004
        return Reason.THROTTLED
    if known is None and status in _REFUSED_ACCOUNT:
        return Reason.MISCONFIGURED
    return known or Reason.AMBIGUOUS


def error(reason: Reason, retry_after: str | None = None) -> ReminderError:
    """Return the error that says what may be done next; ``retry_after`` is the header as it came."""
    match reason:
        case Reason.AMBIGUOUS:
            return Ambiguous()
        case Reason.MISCONFIGURED:
            return Misconfigured()
        case Reason.THROTTLED:
            return Throttled(seconds(retry_after))
        case Reason.NOT_SENT:
            return NotSent(reason)
        case _:
            return Rejected(reason)


def seconds(retry_after: str | None) -> float | None:
    """Read Retry-After, seconds or a date, as 1 to 900 seconds; return None if it is neither."""
    value = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]{1,12}", value):
        span = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
            span = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return max(1.0, min(span, RETRY_AFTER_LIMIT))


def read(body: bytes, shape: type[T]) -> T | None:
    """Read JSON of this shape, a msgspec type; return None for anything else."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
