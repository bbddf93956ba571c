import inspect
import re
from enum import Enum

from reminder_worker import errors
from reminder_worker.errors import (
    Ambiguous,
    Misconfigured,
    NotSent,
    Reason,
    Refused,
    Rejected,
    ReminderError,
    Throttled,
)

CLASSES = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if one.__module__ == errors.__name__ and not issubclass(one, Enum)
]


def test_there_are_at_most_ten_errors_and_each_says_what_it_means():
    assert 1 < len(CLASSES) <= 10
    assert all(issubclass(one, Exception) and one.__doc__ for one in CLASSES)


def test_reason_codes_are_plain_words_and_each_is_there_once():
    values = [reason.value for reason in Reason]
    assert all(re.fullmatch(r"[a-z][a-z_]{2,39}", value) for value in values)
    assert len(values) == len(Reason.__members__)
    assert all(name.lower() == reason.value for name, reason in Reason.__members__.items())


def test_a_refusal_names_the_field_and_what_to_do():
    error = Refused(Reason.TIME_PAST, "time", "the appointment is over")
    assert (str(error), error.reason, error.field) == ("time: the appointment is over", Reason.TIME_PAST, "time")
    assert str(Refused(Reason.TIME_PAST, "time")) == "time: time_past"


def test_an_error_without_a_message_shows_its_code():
    assert str(ReminderError(Reason.DAMAGED)) == "damaged"
    assert str(Rejected(Reason.LANDLINE)) == "landline"


def test_being_throttled_is_not_having_sent():
    error = Throttled(retry_after=3.5)
    assert isinstance(error, NotSent)
    assert (error.reason, error.retry_after) == (Reason.THROTTLED, 3.5)
    assert Throttled().retry_after is None


def test_only_what_was_surely_not_accepted_may_be_tried_again():
    assert not issubclass(Ambiguous, NotSent)
    assert not issubclass(Rejected, NotSent)
    assert not issubclass(Misconfigured, NotSent)
    assert (Ambiguous().reason, Misconfigured().reason) == (Reason.AMBIGUOUS, Reason.MISCONFIGURED)
