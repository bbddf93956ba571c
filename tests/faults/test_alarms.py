"""How a run of faults is judged and written down; what was recorded is played in ``test_alerts.py``."""

import pytest

from faults.alarms import LAG, RULES, Found, lasts
from faults.mishaps import LANES
from faults.prometheus import notation


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.0, 0.0, 0.0, 1.0], "0x2 1"),
        ([None, None, 2.0, 2.0], "_x2 2x1"),
        ([1.0, None, None, None, 3.0], "1 stale _x2 3"),
        ([-0.004, -12.0041, 31_415_926.0, 12_345.0], "0 -12 3.142e+07 12345"),
        ([], ""),
    ],
)
def test_a_series_is_written_as_promtool_reads_it(values: list[float | None], words: str) -> None:
    assert notation(values) == words


TOLD = Found("", allowed={"A": 75.0}, fired={"A": 70.0}, resolved=10.0, clears=60.0)


def test_what_is_told_in_time_and_then_no_more_is_whole() -> None:
    assert TOLD.whole


@pytest.mark.parametrize(
    "changed",
    [
        {"fired": {}},
        {"fired": {"A": 80.0}},
        {"others": {"B": 1.0}},
        {"flapped": {"A"}},
        {"resolved": None},
        {"resolved": 60.0 + LAG + 5},
    ],
)
def test_what_is_told_late_twice_for_too_long_or_of_something_else_is_not(changed: dict[str, object]) -> None:
    assert not Found(**{**vars(TOLD), **changed}).whole


def test_how_long_a_rule_waits_is_read_from_it() -> None:
    assert (lasts("ReminderKeysBehind"), lasts("ReminderStoreDown"), lasts("ReminderRejected")) == (3600, 60, 0)


def test_every_alert_has_its_fault() -> None:
    assert {alert for mishaps in LANES.values() for one in mishaps for alert in one.alerts} == RULES.keys()
