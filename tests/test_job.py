# Any input may be read or refused; each test checks both.
# ruff: noqa: PT017

import re
import string
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from reminder_worker.encoding import Time
from reminder_worker.errors import Reason, Refused
from reminder_worker.job import (
    LOCATION_LENGTH,
    FailureClass,
    Job,
    Level,
    State,
    check_fields,
    from_time,
    parse_location,
    parse_time,
    to_time,
)

LOCAL_ONLY = {"localtime", "Factory"}
ZONES = sorted(available_timezones() - LOCAL_ONLY)
PARIS = ZoneInfo("Europe/Paris")


def refusal(text):
    with pytest.raises(Refused) as caught:
        parse_time(text)
    assert caught.value.field == "time"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(
    ("text", "instant", "zone"),
    [
        ("2027-03-15T14:30:00+01:00", datetime(2027, 3, 15, 13, 30, tzinfo=UTC), None),
        ("2027-03-15t14:30:00z", datetime(2027, 3, 15, 14, 30, tzinfo=UTC), None),
        ("2027-03-15T14:30:00.123456789+01:00", datetime(2027, 3, 15, 13, 30, tzinfo=UTC), None),
        ("2027-03-15T14:30:00+01:00[Europe/Paris]", datetime(2027, 3, 15, 13, 30, tzinfo=UTC), "Europe/Paris"),
        ("2027-03-15T14:30:00+01:00[!Europe/Paris]", datetime(2027, 3, 15, 13, 30, tzinfo=UTC), "Europe/Paris"),
        ("2027-03-15T14:30:00Z[Europe/Paris]", datetime(2027, 3, 15, 14, 30, tzinfo=UTC), "Europe/Paris"),
        ("2027-03-15T14:30:00-00:00[Europe/Paris]", datetime(2027, 3, 15, 14, 30, tzinfo=UTC), "Europe/Paris"),
        ("2027-03-15T14:30:00+01:00[+01:00]", datetime(2027, 3, 15, 13, 30, tzinfo=UTC), None),
        ("2027-03-15T14:30:00+01:00[Europe/Paris][u-ca=hebrew]", datetime(2027, 3, 15, 13, 30, tzinfo=UTC), None),
        ("2027-03-15T14:30:00+01:00[u-ca=hebrew][_x=a-b]", datetime(2027, 3, 15, 13, 30, tzinfo=UTC), None),
        ("2027-10-31T02:30:00+02:00[Europe/Paris]", datetime(2027, 10, 31, 0, 30, tzinfo=UTC), None),
        ("2027-10-31T02:30:00+01:00[Europe/Paris]", datetime(2027, 10, 31, 1, 30, tzinfo=UTC), None),
        ("2027-03-15T14:30:00+14:00[Etc/GMT-14]", datetime(2027, 3, 15, 0, 30, tzinfo=UTC), "Etc/GMT-14"),
    ],
)
def test_a_time_with_an_offset_or_a_zone_is_read(text, instant, zone):
    read = parse_time(text)
    assert read == instant or read.astimezone(UTC) == instant  # times of a repeated hour equal nothing in other zones
    if zone is not None:
        assert read.tzinfo == ZoneInfo(zone)


@pytest.mark.parametrize(
    "text",
    [
        "2027-03-15T14:30:00+00:00[Europe/Paris]",  # +00:00 is known to be London's, unlike Z
        "2027-03-15T14:30:00+02:00[Europe/Paris]",
        "2027-03-28T02:30:00+01:00[Europe/Paris]",  # an hour that Paris does not have
        "2027-03-15T14:30:00+01:00[+02:00]",
        "2027-03-15T14:30:00+01:00[!Europe/London]",
    ],
)
def test_an_offset_and_a_zone_that_disagree_are_refused(text):
    assert refusal(text).reason is Reason.ZONE_MISMATCH


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2027-03-15",
        "2027-03-15T14:30:00",  # neither offset nor zone
        "2027-03-15T14:30:00[Europe/Paris]",
        "2027-03-15T14:30+01:00",
        "2027-03-15 14:30:00+01:00",
        "20270315T143000+0100",
        "2027-W11-1T14:30:00Z",
        "2027-02-29T14:30:00Z",
        "2027-13-01T14:30:00Z",
        "2027-03-15T24:00:00Z",
        "2027-03-15T14:60:00Z",
        "2027-03-15T23:59:60Z",  # a leap second has no place on a wall clock
        "2027-03-15T14:30:00+24:00",
        "2027-03-15T14:30:00+01:60",
        "2027-03-15T14:30:00+1:00",
        "2027-03-15T14:30:00.+01:00",
        "2027-03-15T14:30:00Z[Europe/Atlantis]",
        "2027-03-15T14:30:00Z[Europe]",
        "2027-03-15T14:30:00Z[/etc/passwd]",
        "2027-03-15T14:30:00Z[Europe/../Europe/Paris]",
        "2027-03-15T14:30:00Z[../../etc/passwd]",
        "2027-03-15T14:30:00Z[..]",
        "2027-03-15T14:30:00Z[]",
        "2027-03-15T14:30:00Z[tzdata.zi]",
        "2027-03-15T14:30:00Z[" + "a" * 300 + "]",
        "2027-03-15T14:30:00Z[right/Europe/Paris]",  # counts leap seconds
        "2027-03-15T14:30:00Z[posix/Europe/Paris]",
        "2027-03-15T14:30:00Z[posixrules]",
        "2027-03-15T14:30:00Z[localtime]",  # another zone on each machine
        "2027-03-15T14:30:00Z[Factory]",
        "2027-03-15T14:30:00Z[Europe/Paris",
        "2027-03-15T14:30:00Z[!u-ca=hebrew]",  # critical, and not understood
        "2027-03-15T14:30:00Z[Europe/Paris][!_x=1]",
        "2027-03-15T14:30:00Z[u-ca=]",
        "2027-03-15T14:30:00Z[Europe/Paris][Europe/Paris]",
        "2027-03-15T14:30:00Z\n",
        " 2027-03-15T14:30:00Z",
        "\uff12\uff10\uff12\uff17-03-15T14:30:00Z",  # digits of another script
        "0000-03-15T14:30:00Z",
        "0001-01-01T00:00:00+14:00",  # before the first instant there is
        "9999-12-31T23:59:59-12:00",
        "9999-12-31T23:59:59Z[Asia/Tokyo]",
        None,
        20270315,
        b"2027-03-15T14:30:00Z",
        datetime(2027, 3, 15, tzinfo=UTC),
    ],
)
def test_what_is_no_time_is_refused(text):
    assert refusal(text).reason is Reason.TIME_INVALID


@settings(deadline=None)
@given(
    instant=st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - made aware below
    zone=st.sampled_from(ZONES),
    shown=st.booleans(),
)
def test_a_written_time_is_read_back_as_the_same_instant_and_zone(instant, zone, shown):
    local = instant.replace(microsecond=0, tzinfo=UTC).astimezone(ZoneInfo(zone))
    offset = local.isoformat()[19:]
    assume(len(offset) == 6)  # RFC 3339 has no seconds in an offset
    if not shown:
        local, offset = local.astimezone(UTC), "Z"
    read = parse_time(f"{local.replace(tzinfo=None).isoformat()}{offset}[{zone}]")
    assert read.timestamp() == local.timestamp()
    assert read.tzinfo is ZoneInfo(zone)


@settings(deadline=None)
@given(
    clock=st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - made aware below
    minutes=st.integers(-1439, 1439),
)
def test_a_time_with_an_offset_keeps_its_wall_clock(clock, minutes):
    moment = clock.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    read = parse_time(moment.isoformat())
    assert (read, read.utcoffset()) == (moment, moment.utcoffset())
    assert read.replace(tzinfo=None) == moment.replace(tzinfo=None)


NEARLY = st.from_regex(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
    r"(\[!?[A-Za-z0-9._+/-]{0,30}\])?(\[!?[a-z_]{1,5}=[A-Za-z0-9-]{1,9}\])*",
    fullmatch=True,
)
CUT = st.tuples(NEARLY, st.integers(0, 60), st.text(max_size=3)).map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :])
ANY = st.one_of(
    st.text(),
    st.text(alphabet=string.printable),
    NEARLY,
    CUT,
    st.none(),
    st.integers(),
    st.binary(),
    st.lists(st.text()),
)


@settings(deadline=None)
@given(ANY)
@example("9999-12-31T23:59:59-23:59")
@example("0001-01-01T00:00:00+23:59[+23:59]")
@example("2027-03-15T14:30:00Z[.a/b]")
@example("2027-03-15T14:30:00Z[a./b]")
@example("2027-03-15T14:30:00Z[__init__.py]")
def test_any_input_is_a_time_that_can_be_planned_with_or_is_refused_without_being_repeated(text):
    try:
        read = parse_time(text)
    except Refused as error:
        assert error.reason in {Reason.TIME_INVALID, Reason.ZONE_MISMATCH}
        assert str(error) in {
            "time: write RFC 3339 with an offset, such as 2027-03-15T14:30:00+01:00",
            "time: there is no such date, time or offset",
            "time: there is no such time zone",
            "time: the offset is not the zone's at that time",
        }
    else:
        assert read.utcoffset() is not None
        read.astimezone(UTC)


def test_a_signed_time_comes_back_with_its_wall_clock():
    moment = parse_time("2027-10-31T02:30:00+01:00[Europe/Paris]")
    back = from_time(to_time(moment))
    assert back.isoformat() == moment.isoformat() == "2027-10-31T02:30:00+01:00"
    assert back.tzinfo is PARIS
    assert to_time(moment) == Time(int(moment.timestamp()), 60, "Europe/Paris")


def test_a_time_without_a_zone_is_signed_with_its_offset_alone():
    signed = to_time(parse_time("2027-03-15T14:30:00-03:30"))
    assert (signed.offset_minutes, signed.zone) == (-210, "")
    assert from_time(signed).isoformat() == "2027-03-15T14:30:00-03:30"


@pytest.mark.parametrize(
    "signed",
    [
        Time(1805117400, 120, "Europe/Paris"),  # a platform whose zone data say +02:00 where ours say +01:00
        Time(1805117400, 120, "Europe/Atlantis"),  # a zone that our data lack
    ],
)
def test_the_signed_wall_clock_wins_over_this_machines_zone_data(signed):
    assert from_time(signed).isoformat() == "2027-03-15T15:30:00+02:00"


@settings(deadline=None)
@given(st.datetimes(datetime(1971, 1, 1), datetime(2105, 1, 1)), st.sampled_from(ZONES))  # noqa: DTZ001 - made aware below
def test_every_time_of_every_zone_survives_signing(instant, zone):
    local = instant.replace(microsecond=0, tzinfo=UTC).astimezone(ZoneInfo(zone))
    assume(local.utcoffset() % timedelta(minutes=1) == timedelta())
    back = from_time(to_time(local))
    assert (back.timestamp(), back.replace(tzinfo=None)) == (local.timestamp(), local.replace(tzinfo=None))


def test_a_time_before_1970_or_after_2106_cannot_be_signed():
    for text in ("1969-12-31T23:59:59Z", "2106-02-07T06:28:16Z"):
        with pytest.raises(Refused) as caught:
            to_time(parse_time(text))
        assert caught.value.reason is Reason.TIME_INVALID


def test_a_location_becomes_one_tidy_line():
    assert parse_location("  12  Rue de la Sante\u0301,\u00a0Paris ") == "12 Rue de la Santé, Paris"
    assert parse_location("x" * LOCATION_LENGTH) == "x" * LOCATION_LENGTH


@pytest.mark.parametrize("text", ["", "   ", "\u00a0\u2003", "\u2028", None, 7, b"Hall", ["Hall"]])
def test_a_location_that_is_empty_or_no_text_is_refused(text):
    with pytest.raises(Refused) as caught:
        parse_location(text)
    assert (caught.value.reason, caught.value.field) == (Reason.LOCATION_INVALID, "location")


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\ud800", "\ue000", "\uffff"])
def test_a_location_with_a_control_character_is_refused(character):
    with pytest.raises(Refused) as caught:
        parse_location(f"Hall{character}B")
    assert caught.value.reason is Reason.LOCATION_INVALID


def test_a_long_location_is_refused_and_not_cut():
    with pytest.raises(Refused) as caught:
        parse_location("x" * (LOCATION_LENGTH + 1))
    assert caught.value.reason is Reason.LOCATION_TOO_LONG


@settings(deadline=None)
@given(st.one_of(st.text(), st.none(), st.integers(), st.binary()))
def test_any_location_is_one_line_or_refused_without_being_repeated(text):
    try:
        tidy = parse_location(text)
    except Refused as error:
        assert str(error) in {
            "location: must be a text",
            "location: must be one line without control characters",
            "location: must not be empty",
            f"location: must not be longer than {LOCATION_LENGTH} characters",
        }
    else:
        assert 0 < len(tidy) <= LOCATION_LENGTH
        assert len(tidy.splitlines()) == 1
        assert parse_location(tidy) == tidy


def check(*names):
    check_fields(names, allowed=frozenset({"time", "location", "pointer"}), required=frozenset({"time", "location"}))


def test_a_field_for_a_reason_is_refused_by_name():
    with pytest.raises(Refused) as caught:
        check("time", "location", "reason")
    assert (caught.value.reason, caught.value.field) == (Reason.UNKNOWN_FIELD, "reason")


def test_an_unknown_field_is_named_before_a_missing_one():
    with pytest.raises(Refused) as caught:
        check("time", "speciality")
    assert caught.value.field == "speciality"


def test_a_missing_field_is_refused_by_name():
    with pytest.raises(Refused) as caught:
        check("time", "pointer")
    assert (caught.value.reason, caught.value.field) == (Reason.MISSING_FIELD, "location")


def test_all_allowed_fields_pass():
    check("time", "location")
    check("time", "location", "pointer")


@pytest.mark.parametrize(
    "name",
    [
        "+33612345678",
        "33612345678",
        "p33612345678",
        "2027-03-15",
        "Mme Dupont",
        "a" * 41,
        "clé",
        "",
        "x\n",
        33612345678,
        None,
        (),
    ],
)
def test_an_unknown_field_whose_name_may_be_data_is_not_repeated(name):
    with pytest.raises(Refused) as caught:
        check("time", "location", name)
    assert (caught.value.reason, caught.value.field) == (Reason.UNKNOWN_FIELD, "a field")
    assert str(caught.value) == "a field: a reminder has no such field; leave it out"


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(), st.integers(), st.none(), st.booleans())))
def test_any_fields_are_checked_or_refused(names):
    try:
        check(*names)
    except Refused as error:
        assert not re.search(r"\d{4}", str(error))
    else:
        assert {"time", "location"} <= set(names) <= {"time", "location", "pointer"}


def test_a_job_shows_nothing_of_itself():
    assert repr(Job(datetime(2027, 3, 15, tzinfo=UTC), "12 Rue de la Santé", b"pointer")) == "Job()"


def test_the_words_of_the_contract_do_not_change():
    assert [state.value for state in State] == [
        "scheduled",
        "queued",
        "sending",
        "sent",
        "delivered",
        "undelivered",
        "failed",
        "expired",
        "cancelled",
        "suppressed",
        "unknown",
        "rejected",
    ]
    assert [level.value for level in Level] == ["time", "place", "sender"]
    assert [failure.value for failure in FailureClass] == ["temporary", "permanent", "technical"]


@pytest.mark.parametrize("text", ["\u200b", "\u2066\u2069", " \u200d \u00a0", "\u0301"])
def test_a_location_that_nobody_can_see_is_refused(text):
    with pytest.raises(Refused) as caught:
        parse_location(text)
    assert caught.value.reason is Reason.LOCATION_INVALID
