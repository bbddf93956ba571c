"""From an answer to an error; the providers' tests have the rest."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker import answers
from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Rejected, Throttled


@pytest.mark.parametrize(
    ("status", "known", "expected"),
    [
        (400, None, Reason.AMBIGUOUS),  # unknown: never a refusal
        (400, Reason.LANDLINE, Reason.LANDLINE),
        (401, None, Reason.MISCONFIGURED),
        (402, None, Reason.MISCONFIGURED),
        (403, None, Reason.MISCONFIGURED),
        (403, Reason.OPTED_OUT, Reason.OPTED_OUT),
        (404, None, Reason.AMBIGUOUS),
        (408, None, Reason.AMBIGUOUS),
        (429, None, Reason.THROTTLED),
        (429, Reason.OPTED_OUT, Reason.THROTTLED),
        (500, Reason.LANDLINE, Reason.AMBIGUOUS),  # a server's failure is no refusal, whatever code stands in it
        (503, Reason.THROTTLED, Reason.AMBIGUOUS),
        (301, None, Reason.MISCONFIGURED),
        (303, None, Reason.AMBIGUOUS),  # accepted, and the result is elsewhere
        (303, Reason.LANDLINE, Reason.AMBIGUOUS),
        (302, None, Reason.AMBIGUOUS),  # the older way to say so
        (304, None, Reason.MISCONFIGURED),
        (200, Reason.LANDLINE, Reason.AMBIGUOUS),
    ],
)
def test_only_a_refusal_with_a_known_code_is_one(status: int, known: Reason | None, expected: Reason) -> None:
    assert answers.judge(status, known) is expected


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.AMBIGUOUS, Ambiguous),
        (Reason.MISCONFIGURED, Misconfigured),
        (Reason.THROTTLED, Throttled),
        (Reason.NOT_SENT, NotSent),
        (Reason.NUMBER_REFUSED, Rejected),
        (Reason.OPTED_OUT, Rejected),
    ],
)
def test_each_reason_has_the_error_that_says_what_may_be_done_next(reason: Reason, kind: type[Exception]) -> None:
    error = answers.error(reason, "30")
    assert (type(error), error.reason) == (kind, reason)
    assert not isinstance(error, Throttled) or error.retry_after == 30


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("0", 1.0),
        ("1000000000", 900.0),
        ("9" * 5000, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 900.0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_clamped(header: str | None, expected: float | None) -> None:
    assert answers.seconds(header) == expected


def test_a_date_is_read_as_seconds_from_now() -> None:
    span = answers.seconds(format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True))
    assert span is not None
    assert 90 < span <= 100


@given(st.text(max_size=40))
def test_any_retry_after_is_bounded_or_nothing(header: str) -> None:
    span = answers.seconds(header)
    assert span is None or 1 <= span <= 900


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b'{"id": 5}'])
def test_what_has_another_shape_is_nothing(body: bytes) -> None:
    shape = msgspec.defstruct("Shape", [("id", str)])
    assert answers.read(body, shape) is None
    assert answers.read(b'{"id": "a", "more": 1}', shape).id == "a"
