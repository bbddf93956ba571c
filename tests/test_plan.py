# Any input may be read or refused; each test checks both.
# ruff: noqa: PT017

import hashlib
import random
from datetime import UTC, datetime, time, timedelta, timezone
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reminder_worker.encoding import MAX_LEADS
from reminder_worker.errors import Reason, Refused
from reminder_worker.plan import (
    EXPIRES_BEFORE,
    JITTER,
    QUIET_MARGIN,
    Cells,
    Grid,
    Lead,
    QuietHours,
    Slot,
    past_gap,
    plan,
    slots,
)

PARIS = ZoneInfo("Europe/Paris")
APIA = ZoneInfo("Pacific/Apia")  # has no 30 December 2011
NIGHT = QuietHours.parse("21:00-08:00")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def ahead(*arguments):
    """Return what is left to plan."""
    every, left = plan(*arguments)
    assert {slot.lead for slot in left} <= {slot.lead for slot in every}
    return left


def leads(*texts):
    return [Lead.parse(text) for text in texts]


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def refusal(*arguments):
    with pytest.raises(Refused) as caught:
        ahead(*arguments)
    return caught.value.reason


@cache
def transitions(name, first=2024, last=2037):
    """Every change of offset in a zone, found without ``past_gap``: by the day, and then by halves."""
    zone = ZoneInfo(name)
    start, end, found = utc(first, 1, 1), utc(last, 12, 31), []
    while start < end:
        if start.astimezone(zone).utcoffset() != (start + DAY).astimezone(zone).utcoffset():
            low, high = start, start + DAY
            while high - low > SECOND:
                middle = (low + (high - low) / 2).replace(microsecond=0)
                same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        start += DAY
    return found


ZONES = sorted(available_timezones() - {"localtime", "Factory"})
CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 59]))
QUIET = st.none() | st.builds(QuietHours, CLOCKS, CLOCKS).filter(lambda hours: hours.start != hours.end)
LENGTHS = "24h 2h 48h 3d 7d 1h 26h 90m 30m 1410m 1425m 36h 720h 10m 45s 23h 12h"
LEADS = st.sampled_from([Lead.parse(text) for text in LENGTHS.split()])
SIZES = "1m 2m 3m 5m 6m 10m 12m 15m 20m 30m 60m 1h"
GRIDS = st.sampled_from([Grid.parse(text) for text in SIZES.split()])
CELLS = st.builds(Cells.of, GRIDS, st.binary(min_size=16, max_size=16))
BOISE = ZoneInfo("America/Boise")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its clocks change by half an hour
HOURLY = Cells(HOUR, bytes(16))
SOME_LEADS = st.lists(LEADS, min_size=1, max_size=MAX_LEADS)


@st.composite
def appointments(draw):
    """A whole minute within eight days of a change of clocks, or any minute where a zone has none."""
    name = draw(st.sampled_from(ZONES))
    changes = transitions(name) or [utc(2027, 3, 28, 1), utc(2031, 12, 31)]
    near = draw(st.sampled_from(changes)) + draw(st.integers(-2 * 1440, 8 * 1440)) * MINUTE
    return near.replace(second=0).astimezone(ZoneInfo(name))


def exists(wall, zone):
    """Tell whether a wall-clock time occurs: some offset of these days leads to it and back."""
    return bool(instants(wall, zone))


def instants(wall, zone):
    around = [(wall.replace(tzinfo=UTC) + hours * HOUR).astimezone(zone).utcoffset() for hours in range(-50, 51)]
    tries = {(wall - offset).replace(tzinfo=UTC) for offset in around}
    return sorted(moment for moment in tries if moment.astimezone(zone).replace(tzinfo=None) == wall)


def first_valid(wall, zone):
    """The slow way: minute by minute along the wall clock until one exists; then its first instant."""
    wall = wall.replace(tzinfo=None)
    while not exists(wall, zone):
        wall += MINUTE
    return instants(wall, zone)[0]


@pytest.mark.parametrize(
    ("text", "length"),
    [("24h", DAY), ("2h", 2 * HOUR), ("3d", 3 * DAY), ("90m", 90 * MINUTE), ("45s", 45 * SECOND), ("30d", 30 * DAY)],
)
def test_a_lead_is_read(text, length):
    assert Lead.parse(text).length == length


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0h",
        "24",
        "h",
        "-2h",
        "+2h",
        "1.5h",
        "31d",
        "721h",
        "2592001s",
        "24 h",
        "24H",
        "1w",
        "٢h",
        "2h\n",
        "9" * 50 + "h",
        None,
        24,
    ],
)
def test_what_is_no_lead_is_refused(text):
    with pytest.raises(Refused) as caught:
        Lead.parse(text)
    assert (caught.value.reason, caught.value.field) == (Reason.LEAD_INVALID, "leads")
    assert str(caught.value) == "leads: write 24h, 2h or 3d, up to 30d"


@settings(deadline=None)
@given(st.integers(1, 30 * 86400))
def test_a_lead_is_written_as_it_is_read(seconds):
    lead = Lead(timedelta(seconds=seconds))
    assert Lead.parse(str(lead)) == lead


@settings(deadline=None)
@given(st.one_of(st.text(), st.none(), st.integers(), st.binary(), st.from_regex(r"[0-9]{1,9}[dhmsw]")))
def test_any_input_is_a_lead_or_refused_without_being_repeated(text):
    try:
        assert timedelta() < Lead.parse(text).length <= 30 * DAY
    except Refused as error:
        assert str(error) == "leads: write 24h, 2h or 3d, up to 30d"


def test_a_whole_day_keeps_the_wall_clock_when_the_clocks_change():
    appointment = datetime(2027, 3, 28, 14, 30, tzinfo=PARIS)  # clocks went forward in the night
    assert Lead.parse("24h").before(appointment) == datetime(2027, 3, 27, 14, 30, tzinfo=PARIS)
    assert Lead.parse("24h").before(appointment) == appointment.astimezone(UTC) - 23 * HOUR


def test_hours_are_elapsed_time_when_the_clocks_change():
    appointment = datetime(2027, 3, 28, 4, 0, tzinfo=PARIS)
    assert Lead.parse("2h").before(appointment) == datetime(2027, 3, 28, 1, 0, tzinfo=PARIS)


def test_hours_beyond_whole_days_are_elapsed_time_before_them():
    appointment = datetime(2027, 3, 29, 4, 0, tzinfo=PARIS)
    assert Lead.parse("26h").before(appointment) == datetime(2027, 3, 28, 1, 0, tzinfo=PARIS)


def test_a_wall_clock_time_in_a_gap_moves_to_the_first_valid_instant_after_it():
    appointment = datetime(2027, 3, 29, 2, 30, tzinfo=PARIS)
    assert Lead.parse("24h").before(appointment) == utc(2027, 3, 28, 1)  # 03:00 in Paris


def test_an_ambiguous_wall_clock_time_is_the_first():
    for fold in (0, 1):
        appointment = datetime(2027, 11, 1, 2, 30, tzinfo=PARIS, fold=fold)
        assert Lead.parse("24h").before(appointment) == utc(2027, 10, 31, 0, 30)


def test_the_second_of_two_equal_hours_is_a_day_after_the_wall_clock_of_the_day_before():
    appointment = datetime(2027, 10, 31, 2, 30, tzinfo=PARIS, fold=1)
    assert Lead.parse("24h").before(appointment) == utc(2027, 10, 30, 0, 30)
    assert Lead.parse("2h").before(appointment) == utc(2027, 10, 30, 23, 30)


def test_a_day_that_a_zone_left_out_moves_to_the_first_instant_after_it():
    appointment = datetime(2011, 12, 31, 10, 0, tzinfo=APIA)
    assert Lead.parse("24h").before(appointment) == utc(2011, 12, 30, 10)  # midnight at the end of the day that was not
    assert Lead.parse("48h").before(appointment) == datetime(2011, 12, 29, 10, 0, tzinfo=APIA)


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Pacific/Apia", datetime(2011, 12, 30)), ("Pacific/Kwajalein", datetime(1993, 8, 21))],  # noqa: DTZ001 - made aware below
)
def test_every_minute_of_a_day_left_out_leads_to_the_next_midnight(zone, day):
    zone = ZoneInfo(zone)
    after = (day + DAY).replace(tzinfo=zone).astimezone(UTC)
    assert {past_gap((day + minute * MINUTE).replace(tzinfo=zone)) for minute in range(1440)} == {after}
    assert past_gap((day + DAY - SECOND).replace(tzinfo=zone)) == after
    assert past_gap((day - SECOND).replace(tzinfo=zone)) == after - SECOND


def test_parts_of_a_second_in_a_gap_find_their_way_out():
    for micro in (1, 500_000, 999_999):
        for second in (0, 1):
            wall = datetime(2027, 3, 28, 2, 0, second, micro, tzinfo=PARIS)
            assert past_gap(wall) == utc(2027, 3, 28, 1)


@pytest.mark.parametrize(
    "name", [*random.Random(7).sample(ZONES, 40), "Australia/Lord_Howe", "Africa/Cairo", "Africa/Casablanca"]
)
def test_every_minute_around_every_change_of_clocks_is_the_first_valid_instant(name):
    zone = ZoneInfo(name)
    for change in transitions(name)[:6]:
        before = (change - SECOND).astimezone(zone).replace(tzinfo=None, fold=0) + SECOND
        for minutes in range(-130, 131, 5):
            wall = before + minutes * MINUTE
            assert past_gap(wall.replace(tzinfo=zone)) == first_valid(wall, zone)


@settings(max_examples=400, deadline=None)
@given(appointments(), SOME_LEADS, QUIET, st.none() | CELLS)
@example(datetime(2011, 12, 31, 10, tzinfo=APIA), leads("24h", "12h"), None, None)
@example(datetime(2011, 12, 31, 9, tzinfo=APIA), leads("24h", "2h"), NIGHT, None)
@example(datetime(2027, 3, 29, 1, 50, tzinfo=PARIS), leads("1470m", "24h", "1425m"), None, None)
@example(datetime(2027, 3, 28, 12, tzinfo=PARIS), leads("9h"), QuietHours.parse("03:00-02:00"), None)
@example(datetime(2027, 6, 2, 10, 5, tzinfo=PARIS), leads("2h"), NIGHT, HOURLY)
@example(datetime(2027, 6, 2, 10, 5, tzinfo=PARIS), leads("12h", "45s"), NIGHT, HOURLY)
@example(
    datetime(2036, 11, 2, 3, 9, tzinfo=ZoneInfo("America/Toronto")),
    leads("2h"),
    QuietHours.parse("01:30-04:30"),
    Cells(HOUR / 4, bytes(16)),
)
def test_slots_are_valid_ordered_before_the_appointment_and_wake_nobody(appointment, wanted, quiet, cells):
    instant, zone = appointment.astimezone(UTC), appointment.tzinfo
    all_slots = slots(appointment, wanted, quiet, cells)
    assert sorted(slot.lead for slot in all_slots) == sorted(set(wanted))
    useful = [slot for slot in all_slots if slot.due < slot.expires]
    for slot in all_slots:
        local = slot.due.astimezone(zone)
        assert slot.due.tzinfo is UTC
        assert local.astimezone(UTC) == slot.due
        assert slot.due < instant
        assert slot.expires <= instant - EXPIRES_BEFORE
        assert quiet is None or not quiet.cover(local)
        assert slot.due <= slot.lead.before(appointment)
    for earlier, later in pairwise(useful):
        assert earlier.due < earlier.expires <= later.due < later.expires


@settings(max_examples=300, deadline=None)
@given(appointments(), LEADS)
def test_whole_days_keep_the_wall_clock_and_hours_are_elapsed(appointment, lead):
    [slot] = slots(appointment, [lead], None)
    if lead.length < DAY:
        assert slot.due == appointment.astimezone(UTC) - lead.length
    else:
        wall = appointment.replace(tzinfo=None) - timedelta(days=lead.length.days)
        assert slot.due + timedelta(seconds=lead.length.seconds) == first_valid(wall, appointment.tzinfo)


@settings(max_examples=300, deadline=None)
@given(appointments(), QUIET.filter(bool))
def test_quiet_hours_move_a_text_to_just_before_they_begin(moment, quiet):
    if not quiet.cover(moment):
        later = (moment.astimezone(UTC) + HOUR).astimezone(moment.tzinfo)
        assert slots(later, leads("1h"), quiet)[0].due == moment.astimezone(UTC)
        return
    before = quiet.before(moment)
    local = before.astimezone(moment.tzinfo)
    assert before < moment.astimezone(UTC)
    assert not quiet.cover(local)
    assert quiet.cover((before + QUIET_MARGIN).astimezone(moment.tzinfo))


@settings(max_examples=300, deadline=None)
@given(appointments(), QUIET.filter(bool))
@example(datetime(2027, 10, 31, 2, 15, tzinfo=PARIS, fold=1), QuietHours.parse("21:00-02:30"))
@example(datetime(2011, 12, 29, 22, tzinfo=APIA), NIGHT)
def test_quiet_hours_end_where_they_no_longer_cover(moment, quiet):
    if not quiet.cover(moment):
        return
    after = quiet.after(moment)
    assert after > moment.astimezone(UTC)
    assert not quiet.cover(after.astimezone(moment.tzinfo))
    assert quiet.cover((after - MINUTE).astimezone(moment.tzinfo))


@pytest.mark.parametrize(
    ("text", "covered", "awake"),
    [
        ("21:00-08:00", ["21:00", "23:59", "00:00", "07:59"], ["20:59", "08:00", "12:00"]),
        ("00:00-08:00", ["00:00", "07:59"], ["08:00", "23:59"]),
        ("12:00-14:00", ["12:00", "13:59"], ["11:59", "14:00", "00:00"]),
        ("21:00-00:00", ["21:00", "23:59"], ["00:00", "20:59"]),
    ],
)
def test_quiet_hours_cover_from_their_start_until_before_their_end(text, covered, awake):
    hours = QuietHours.parse(text)
    for clock in covered + awake:
        local = datetime.combine(datetime(2027, 6, 1).date(), time.fromisoformat(clock), PARIS)  # noqa: DTZ001 - a date
        assert hours.cover(local) is (clock in covered)


@pytest.mark.parametrize(
    "text",
    ["", "-", "21:00", "21:00-", "-08:00", "21-08", "9:00-10:00", "21:00-24:00", "21:60-08:00", "21:00\u201308:00",
     "21:00+01:00-08:00", "T21:00-08:00", "21:00:00-08:00", "21:00-08:00\n", "21:00-21:00", "sleep-tight"],
)  # fmt: skip
def test_what_are_no_quiet_hours_is_refused_without_being_repeated(text):
    with pytest.raises(ValueError) as caught:
        QuietHours.parse(text)
    assert str(caught.value) in {"write them as 21:00-08:00", "quiet hours must leave some of the day"}


def test_a_text_in_the_night_goes_out_the_evening_before():
    [slot] = slots(datetime(2027, 6, 2, 7, 30, tzinfo=PARIS), leads("24h"), NIGHT)
    assert slot.due.astimezone(PARIS) == datetime(2027, 5, 31, 20, 59, tzinfo=PARIS)


def test_two_leads_moved_to_one_evening_are_one_text():
    planned = ahead(datetime(2027, 6, 2, 9, 0, tzinfo=PARIS), leads("12h", "2h"), NIGHT, LONG_AGO)
    assert [(str(slot.lead), slot.due.astimezone(PARIS).hour) for slot in planned] == [("2h", 20)]


def test_a_reminder_expires_a_quarter_of_an_hour_before_the_appointment_or_when_the_next_falls_due():
    appointment = utc(2027, 6, 2, 12)
    first, second = ahead(appointment, leads("2h", "24h"), None, LONG_AGO)
    assert (first.due, first.expires) == (appointment - DAY, appointment - 2 * HOUR)
    assert (second.due, second.expires) == (appointment - 2 * HOUR, appointment - timedelta(minutes=15))


def test_the_order_is_that_of_falling_due_when_a_short_day_turns_it_round():
    appointment = datetime(2027, 3, 29, 1, 50, tzinfo=PARIS)
    planned = ahead(appointment, leads("24h", "1425m"), None, LONG_AGO)
    dues = [slot.due for slot in planned]
    assert dues == sorted(dues)
    assert len(dues) == 2


def test_a_passed_lead_is_left_out_while_a_later_one_is_ahead():
    appointment = utc(2027, 6, 2, 12)
    planned = ahead(appointment, leads("24h", "2h"), None, appointment - 3 * HOUR)
    assert [str(slot.lead) for slot in planned] == ["2h"]


def test_the_last_lead_goes_out_at_once_when_it_has_passed_and_is_of_use():
    appointment = utc(2027, 6, 2, 12)
    now = datetime(2027, 6, 2, 12, 30, tzinfo=timezone(HOUR))
    last = Slot(Lead.parse("2h"), appointment - 30 * MINUTE, appointment - EXPIRES_BEFORE)
    assert ahead(appointment, leads("24h", "2h"), None, now) == [last]
    assert ahead(appointment, leads("24h", "2h"), None, now)[0].due.tzinfo is UTC


def test_nobody_is_woken_by_a_lead_that_has_passed():
    appointment = datetime(2027, 6, 2, 8, 30, tzinfo=PARIS)
    assert refusal(appointment, leads("24h"), NIGHT, appointment - 2 * HOUR) is Reason.NO_SLOT
    assert ahead(appointment, leads("24h"), NIGHT, appointment - 20 * MINUTE)


def test_a_job_without_any_slot_left_is_refused():
    appointment = utc(2027, 6, 2, 12)
    assert refusal(appointment, leads("24h"), None, appointment - 15 * MINUTE) is Reason.NO_SLOT
    assert refusal(appointment, leads("10m"), None, appointment - DAY) is Reason.NO_SLOT
    assert ahead(appointment, leads("24h"), None, appointment - 15 * MINUTE - SECOND)


def test_an_appointment_that_is_over_is_refused():
    appointment = utc(2027, 6, 2, 12)
    assert refusal(appointment, leads("24h"), None, appointment) is Reason.TIME_PAST
    assert refusal(appointment, leads("24h"), None, appointment + DAY) is Reason.TIME_PAST


def test_the_second_of_two_equal_hours_is_not_over_in_the_first():
    now = datetime(2027, 10, 31, 2, 40, tzinfo=PARIS, fold=0)
    appointment = datetime(2027, 10, 31, 2, 30, tzinfo=PARIS, fold=1)  # 50 minutes later
    assert ahead(appointment, leads("24h"), None, now)


def test_the_number_of_leads_is_bounded():
    appointment = utc(2027, 6, 2, 12)
    many = [Lead(hours * HOUR) for hours in range(1, MAX_LEADS + 2)]
    assert refusal(appointment, [], None, LONG_AGO) is Reason.LEAD_INVALID
    assert refusal(appointment, many, None, LONG_AGO) is Reason.LEAD_INVALID
    assert len(ahead(appointment, many[1:], None, LONG_AGO)) == MAX_LEADS


@settings(max_examples=300, deadline=None)
@given(appointments(), SOME_LEADS, QUIET, st.integers(-60, 40 * 1440), st.none() | CELLS)
def test_what_is_planned_is_ahead_of_now_of_use_and_found_again_from_its_leads_alone(
    appointment, wanted, quiet, minutes, cells
):
    now = appointment.astimezone(UTC) - minutes * MINUTE
    try:
        planned = ahead(appointment, wanted, quiet, now, cells)
    except Refused as error:
        assert error.reason is (Reason.NO_SLOT if minutes > 0 else Reason.TIME_PAST)
        return
    again = slots(appointment, [slot.lead for slot in planned], quiet, cells)
    assert [(slot.lead, slot.expires) for slot in again] == [(slot.lead, slot.expires) for slot in planned]
    for slot, signed in zip(planned, again, strict=True):
        assert now <= slot.due < slot.expires
        assert slot.due == max(signed.due, now)
        assert quiet is None or not quiet.cover(slot.due.astimezone(appointment.tzinfo))


def test_a_slot_does_not_tell_the_appointments_time():
    [slot] = slots(utc(2027, 6, 2, 12), leads("24h"), None)
    assert "expires" not in repr(slot)


# On a grid.


@pytest.mark.parametrize(
    ("text", "minutes"), [("1m", 1), ("5m", 5), ("15m", 15), ("60m", 60), ("1h", 60), ("900s", 15)]
)
def test_a_grid_is_read(text, minutes):
    assert Grid.parse(text).size == minutes * MINUTE


@pytest.mark.parametrize("text", ["", "15", "0m", "-15m", "7m", "45m", "61m", "90m", "2h", "1d", "30s", "90s", "15m\n"])
def test_what_is_no_equal_part_of_an_hour_is_no_grid(text):
    with pytest.raises(ValueError) as caught:
        Grid.parse(text)
    assert str(caught.value) == "write a part of an hour in whole minutes: 5m, 10m, 15m, 30m or 1h"


@st.composite
def neighbours(draw):
    """Two appointments of one cell, and that cell: the same hour of the same wall clock, the first or second time."""
    one, cells = draw(appointments()), draw(CELLS)
    start = cells.start(one).astimezone(UTC)
    span = max(one.astimezone(UTC) - start, MINUTE) // MINUTE
    other = (one.astimezone(UTC) - draw(st.integers(0, span)) * MINUTE).astimezone(one.tzinfo)
    return one, other, cells


@settings(max_examples=600, deadline=None)
@given(neighbours(), SOME_LEADS, QUIET)
@example(
    (utc(2024, 11, 3, 8).astimezone(BOISE), utc(2024, 11, 3, 7).astimezone(BOISE), HOURLY), leads("2h"), None
)  # both are at one o'clock
def test_appointments_of_one_cell_fall_due_at_the_same_times(pair, wanted, quiet):
    """So who knows cell, leads, quiet hours and id can tell no more of the appointment from when its texts are due."""
    one, other, cells = pair
    if cells.start(one).astimezone(UTC) != cells.start(other).astimezone(UTC):  # not on the wall clock
        return
    assert [slot.due for slot in slots(one, wanted, quiet, cells)] == [
        slot.due for slot in slots(other, wanted, quiet, cells)
    ]


@settings(max_examples=400, deadline=None)
@given(appointments(), st.builds(Cells, GRIDS.map(lambda grid: grid.size), st.binary(min_size=16, max_size=16)))
@example(datetime(2027, 4, 4, 1, 40, fold=1, tzinfo=LORD_HOWE), HOURLY)
@example(datetime(2027, 10, 3, 2, 40, tzinfo=LORD_HOWE), HOURLY)
@example(datetime(2027, 10, 3, 2, 31, tzinfo=LORD_HOWE), Cells(20 * MINUTE, bytes(16)))
@example(datetime(2027, 10, 31, 2, 40, fold=1, tzinfo=PARIS), HOURLY)
def test_a_cell_begins_on_the_wall_clock_and_not_after_its_appointment(appointment, cells):
    start = cells.start(appointment)
    instant = appointment.astimezone(UTC)
    assert start.astimezone(UTC) <= instant < start.astimezone(UTC) + 2 * cells.size + HOUR
    assert start.astimezone(UTC).astimezone(start.tzinfo).replace(tzinfo=None) == start.replace(tzinfo=None)
    assert cells.start(start).astimezone(UTC) == start.astimezone(UTC)
    wall = instant.astimezone(appointment.tzinfo).replace(tzinfo=None)
    cut = timedelta(minutes=wall.minute, seconds=wall.second) % cells.size
    if exists(wall - cut, appointment.tzinfo):
        assert start.replace(tzinfo=None) == wall - cut
        assert start.fold in {appointment.fold, 0}


def test_a_cell_begins_on_the_minute():
    assert HOURLY.start(utc(2027, 6, 2, 12, 59, 59, 999_999)) == utc(2027, 6, 2, 12)


def test_of_an_hour_that_comes_twice_each_has_cells_of_its_own():
    for fold, hour in ((0, 0), (1, 1)):
        appointment = datetime(2027, 10, 31, 2, 40, fold=fold, tzinfo=PARIS)
        assert HOURLY.start(appointment).astimezone(UTC) == utc(2027, 10, 31, hour)


@settings(max_examples=400, deadline=None)
@given(st.datetimes(datetime(2026, 1, 1), datetime(2036, 1, 1)), LEADS, CELLS)  # noqa: DTZ001 - made aware below
def test_a_text_is_early_by_less_than_a_cell_and_a_quarter(moment, lead, cells):
    appointment = moment.replace(microsecond=0, tzinfo=UTC)
    [exact], [coarse] = (slots(appointment, [lead], None, given) for given in (None, cells))
    assert timedelta() <= exact.due - coarse.due < cells.size + cells.size / JITTER + MINUTE
    assert cells.start(appointment) <= coarse.due + lead.length + cells.size / JITTER + MINUTE


@settings(max_examples=400, deadline=None)
@given(appointments(), LEADS, QUIET.filter(bool), CELLS)
def test_only_a_text_whose_cell_begins_in_quiet_hours_goes_out_before_them(appointment, lead, quiet, cells):
    [coarse] = slots(appointment, [lead], quiet, cells)
    begins = lead.before(cells.start(appointment)).replace(second=0)
    local = begins.astimezone(appointment.tzinfo)
    if quiet.cover(local):
        assert quiet.before(local) - cells.size / JITTER < coarse.due <= quiet.before(local) or (
            quiet.cover((quiet.before(local) - cells.size / JITTER).astimezone(appointment.tzinfo))
        )
    else:
        assert begins - cells.size / JITTER < coarse.due <= begins


def test_a_grid_moves_no_text_of_the_morning_to_the_evening_before():
    for number in range(50):
        cells = Cells(HOUR, number.to_bytes(16, "big"))
        [slot] = slots(datetime(2027, 6, 2, 10, 25, tzinfo=PARIS), leads("2h"), NIGHT, cells)
        assert slot.due == datetime(2027, 6, 2, 8, tzinfo=PARIS)


def test_leads_that_quiet_hours_move_to_one_evening_are_one_text_on_a_grid_too():
    appointment = datetime(2027, 6, 2, 9, 30, tzinfo=PARIS)
    for grid in (None, Grid.parse("5m"), Grid.parse("1h")):
        for number in range(20):
            cells = Cells.of(grid, number.to_bytes(16, "big"))
            planned = ahead(appointment, leads("24h", "12h", "2h"), NIGHT, appointment - 3 * DAY, cells)
            assert [str(slot.lead) for slot in planned] == ["24h", "2h"]


def test_texts_of_one_cell_are_spread_over_a_quarter_of_it_by_id_and_lead():
    appointment, begins = utc(2027, 6, 2, 12, 40), utc(2027, 6, 2, 10)
    grid = Grid.parse("1h")
    every = [slots(appointment, leads("2h"), None, Cells.of(grid, n.to_bytes(16, "big")))[0].due for n in range(2000)]
    shares = [
        sum(begins - (part + 1) * 3 * MINUTE < due <= begins - part * 3 * MINUTE for due in every) for part in range(5)
    ]
    assert sum(shares) == len(every)
    assert min(shares) > 300
    far, near = slots(appointment, leads("3h", "2h"), None, HOURLY)
    assert near.due - far.due != HOUR


def test_the_jitter_is_what_the_format_says():
    [slot] = slots(utc(2027, 6, 2, 12), leads("24h"), None, Cells(15 * MINUTE, bytes(range(16))))
    digest = hashlib.blake2b(bytes(range(16)) + bytes([0, 1, 81, 128]), digest_size=8, person=b"rw-jitter").digest()
    assert slot.due == utc(2027, 6, 1, 12) - int.from_bytes(digest, "big") % 225_000 * timedelta(milliseconds=1)


def test_what_has_fallen_due_on_the_grid_goes_out_at_once_when_it_is_the_last():
    appointment, cells = utc(2027, 6, 2, 12, 50), HOURLY
    now = appointment - 2 * HOUR - 20 * MINUTE  # the text would be ahead without a grid
    assert ahead(appointment, leads("24h", "2h"), None, now, cells) == [
        Slot(Lead.parse("2h"), now, appointment - EXPIRES_BEFORE)
    ]
    assert [
        str(slot.lead) for slot in ahead(appointment, leads("24h", "2h"), None, appointment - DAY - MINUTE, cells)
    ] == ["2h"]


def test_a_text_is_of_use_until_the_next_falls_due_on_the_grid_or_shortly_before_the_appointment():
    appointment = utc(2027, 6, 2, 12, 50)
    far, near = slots(appointment, leads("24h", "2h"), None, HOURLY)
    assert (far.expires, near.expires) == (near.due, appointment - EXPIRES_BEFORE)
