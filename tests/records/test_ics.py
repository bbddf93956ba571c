import io
import time
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from canaries import found as leaks
from canaries import in_exception, in_objects
from hypothesis import given
from hypothesis import strategies as st

from records.reading import FIELDS, PARIS, calendar, day, event, left, only, read, reader, stamp
from reminder_worker import records
from reminder_worker.audit.writings import writings
from reminder_worker.errors import Refused
from reminder_worker.records import Defaults, ics, rules, series

TIME = f"{day().isoformat()}[Europe/Paris]"
EXPECTED = FIELDS | {"reference": "u", "time": TIME}


def at(moment: datetime, zone: str = "Europe/Paris") -> str:
    return f";TZID={zone}:{stamp(moment)}"


def name(moment: datetime) -> str:
    """Write how an occurrence is known."""
    return f"u/{stamp(moment.astimezone(UTC))}Z"


def test_an_event_is_a_record():
    assert read("ics", calendar(event())) == [("event 1", EXPECTED)]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_lines_may_end_and_be_folded_anyhow(end):
    folded = event(f"LOCATION:12 rue{end}  des L{end}\tilas\\, Lyon", "DESCRIPTION:one", f"SUMMARY:two{end} LOCATION:x")
    assert only("ics", b"\xef\xbb\xbf" + calendar(folded, end=end)) == EXPECTED


def test_a_fold_may_part_a_letter():
    data = calendar(event("LOCATION:Königsallee 40")).replace("ö".encode(), b"\xc3\r\n \xb6")
    assert only("ics", data)["location"] == "Königsallee 40"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("12 rue des Lilas\\nLyon", "12 rue des Lilas, Lyon"),
        ("Riverside House\\, \\n\\n Bristol\\n", "Riverside House, Bristol"),
        ("a\\; b", "a; b"),
        ("\\n", None),
    ],
)
def test_a_place_is_put_on_one_line(text, place):
    assert only("ics", calendar(event(f"LOCATION:{text}"))).get("location") == place


# Clocks.


def test_a_zone_is_that_of_its_name_or_of_the_file():
    zone = [
        "BEGIN:VTIMEZONE", "TZID:Agenda", "BEGIN:STANDARD", "DTSTART:19701025T030000", "TZOFFSETFROM:+0200",
        "TZOFFSETTO:+0100", "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU", "END:STANDARD", "BEGIN:DAYLIGHT",
        "DTSTART:19700329T020000", "TZOFFSETFROM:+0100", "TZOFFSETTO:+0200", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
        "END:DAYLIGHT", "END:VTIMEZONE",
    ]  # fmt: skip
    ours = event(start=f"DTSTART{at(day(), 'Agenda')}")
    for blocks in ([zone, ours], [ours, zone]):
        assert only("ics", calendar(*blocks))["time"] == day().isoformat()
    for known in ("Romance Standard Time", "/freeassociation.sourceforge.net/Europe/Paris"):
        assert only("ics", calendar(event(start=f"DTSTART{at(day(), known)}")))["time"] == TIME
    refused = "time_invalid: DTSTART: is in a zone that the file does not define"
    assert only("ics", calendar(ours)) == refused


def test_a_zone_of_one_calendar_is_not_that_of_the_next():
    zone = "BEGIN:VTIMEZONE\nTZID:Ours\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:{0}\nTZOFFSETTO:{0}\n"
    data = b"".join(
        calendar(
            [*zone.format(offset).splitlines(), "END:STANDARD", "END:VTIMEZONE"],
            event(start=f"DTSTART{at(day(), 'Ours')}"),
        )
        for offset in ("+0500", "-0300")
    )
    assert [record["time"][-6:] for _, record in read("ics", data)] == ["+05:00", "-03:00"]


def test_a_zone_with_a_line_that_is_too_long_is_not_taken():
    zone = ["BEGIN:VTIMEZONE", "TZID:Long", "BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0500"]
    ours = event(start=f"DTSTART{at(day(), 'Long')}")
    for count, taken in ((100, True), (2_000, False)):
        days = "RDATE:19710101T000000" + "\r\n ,19710101T000000" * count  # cut anywhere, it would be readable
        lines = [*zone, "TZOFFSETTO:+0500", days, "END:STANDARD", "END:VTIMEZONE"]
        assert isinstance(only("ics", calendar(lines, ours)), dict) is taken


@pytest.mark.parametrize("rule", ["FREQ=SECONDLY", "FREQ=DAILY", "FREQ=YEARLY;BYHOUR=1,2", "FREQ=YEARLY;COUNT=9999999"])
def test_a_zone_whose_clocks_change_all_day_is_not_taken(rule):
    zone = ["BEGIN:VTIMEZONE", "TZID:Bomb", "BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0100"]
    zone += ["TZOFFSETTO:+0100", f"RRULE:{rule}", "END:STANDARD", "END:VTIMEZONE"]
    started = time.monotonic()
    assert "zone that the file does not define" in only(
        "ics", calendar(zone, event(start=f"DTSTART{at(day(), 'Bomb')}"))
    )
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("clock", "kind"), [("Z", "is in UTC"), ("", "floats")])
def test_a_time_without_a_place_on_earth_needs_a_zone(clock, kind):
    local = day().astimezone(UTC) if clock else day()
    data = calendar(event(start=f"DTSTART:{stamp(local)}{clock}"))
    assert only("ics", data) == EXPECTED
    assert only("ics", data, Defaults()) == f"time_invalid: DTSTART: {kind}; say with --zone which clock people read"
    own = calendar(["X-WR-TIMEZONE:Europe/Paris"], event(start=f"DTSTART:{stamp(local)}{clock}"))
    assert only("ics", own, Defaults()) == EXPECTED
    for known in ("UTC", "Etc/UTC"):
        assert only("ics", calendar(event(start=f"DTSTART{at(day().astimezone(UTC), known)}"))) == EXPECTED
    odd = calendar(["X-WR-TIMEZONE:CANARY"], event(start=f"DTSTART:{stamp(local)}{clock}"))
    assert only("ics", odd) == EXPECTED


def test_a_day_without_a_time_is_refused():
    assert only("ics", calendar(event(start=f"DTSTART;VALUE=DATE:{day():%Y%m%d}"))) == (
        "time_invalid: DTSTART: is a day without a time"
    )


@pytest.mark.parametrize("moment", [day(-1), day(-4000)])
def test_what_is_over_is_passed_over_whatever_else_is_wrong_with_it(moment):
    over = "time_past: DTSTART: is over"
    assert only("ics", calendar(event("ATTENDEE:", start=f"DTSTART{at(moment)}"))) == over
    assert only("ics", calendar(event(start=f"DTSTART;VALUE=DATE:{moment:%Y%m%d}"))) == over
    assert ics.Reader.passes_over["time_past"] == "past"


def test_what_is_too_far_comes_later():
    assert only("ics", calendar(event(start=f"DTSTART{at(day(400))}"))).startswith("time_too_far: DTSTART: ")
    assert ics.Reader.passes_over["time_too_far"] == "later"


# Whom to reach.


@pytest.mark.parametrize(
    ("line", "contact"),
    [
        ("ATTENDEE:tel:+33612345678", {"phone": "+33612345678"}),
        ("ATTENDEE;LANGUAGE=de;CN=CANARY:TEL:+33-6-12", {"phone": "+33-6-12", "language": "de"}),
        ('ATTENDEE;CN="CANARY: x";LANGUAGE=zh-Hans-CN:sms:+336;x=CANARY', {"phone": "+336", "language": "zh-Hans"}),
        ("ATTENDEE:mailto:CANARY@example.org", {}),
        ("CONTACT:tel:+33612345678", {}),
        ("ORGANIZER:tel:+33612345678", {}),
    ],
)
def test_a_phone_is_an_attendee_s(line, contact):
    lines = [line] if line.startswith("ATTENDEE") else [line, "ATTENDEE:"]
    found = only("ics", calendar(event(*lines)))
    assert {key: found[key] for key in ("phone", "language") if key in found} == contact


def test_two_phones_are_one_too_many():
    data = calendar(event("ATTENDEE:tel:+33612345678", "ATTENDEE:mailto:a@b", "ATTENDEE:tel:+33612345679"))
    assert only("ics", data) == "malformed: ATTENDEE: more than one has a phone"
    same = calendar(event("ATTENDEE:tel:+33612345678", "ATTENDEE:tel:+33612345678"))
    assert only("ics", same)["phone"] == "+33612345678"


# Series.


def series_of(*lines: str, **more: str) -> list[tuple[str, object]]:
    return read("ics", calendar(event(*lines, **more)))


def test_a_series_is_repeated_up_to_the_last_keys():
    found = series_of("RRULE:FREQ=WEEKLY")
    assert found[0] == ("event 1", "cancelled u perhaps")
    moments = [datetime.fromisoformat(record["time"].partition("[")[0]) for _, record in found[1:]]
    assert len(moments) in {53, 52}
    assert moments[0] == day()
    assert max(moments) <= datetime.now(UTC) + series.HORIZON
    assert {moment.astimezone(PARIS).hour for moment in moments} == {10}
    assert {record["reference"] for _, record in found[1:]} == {name(moment) for moment in moments}
    assert {record["location"] for _, record in found[1:]} == {EXPECTED["location"]}


def test_of_an_old_series_only_what_is_ahead_is_read():
    found = series_of("RRULE:FREQ=DAILY;COUNT=1005", start=f"DTSTART{at(day(-1000))}")
    assert [record["time"][:10] for _, record in found[1:]] == [
        f"{day(ahead):%Y-%m-%d}" for ahead in range(0 if day(0) > datetime.now(UTC) else 1, 5)
    ]


@pytest.mark.parametrize("rule", ["COUNT=3", "UNTIL={end}"])
def test_a_series_ends_where_it_says(rule):
    until = f"{stamp(day(5).astimezone(UTC))}Z"
    found = series_of(f"RRULE:FREQ=DAILY;{rule.format(end=until)}")
    assert [record["reference"] for _, record in found[1:]] == [name(day(ahead)) for ahead in (3, 4, 5)]


def test_days_are_added_to_a_series_and_taken_out_of_it():
    found = series_of("RRULE:FREQ=DAILY;COUNT=2", f"RDATE{at(day(9))}", f"EXDATE{at(day(4))}")
    assert [record if isinstance(record, str) else record["reference"] for _, record in found] == [
        "cancelled u perhaps", name(day(3)), name(day(9)), f"cancelled {name(day(4))} perhaps",
    ]  # fmt: skip


def test_days_that_are_listed_are_a_series_without_a_rule():
    found = series_of(f"RDATE;TZID=Europe/Paris:{stamp(day(8))},{stamp(day(9))}")
    assert [record["reference"] for _, record in found[1:]] == [name(day(ahead)) for ahead in (3, 8, 9)]


@pytest.mark.parametrize("first", [True, False])
def test_one_of_a_series_may_be_moved_or_cancelled(first):
    whole = event("RRULE:FREQ=DAILY;COUNT=3")
    moved = event(f"RECURRENCE-ID{at(day(4))}", "LOCATION:3 Mill Lane", start=f"DTSTART{at(day(6))}")
    gone = event(f"RECURRENCE-ID{at(day(5))}", "STATUS:CANCELLED", start=f"DTSTART{at(day(5))}")
    found = read("ics", calendar(*([moved, gone, whole] if first else [whole, gone, moved])))
    shown = {
        record if isinstance(record, str) else (record["reference"], record["time"][:10], record["location"])
        for _, record in found
    }
    assert shown == {
        "cancelled u perhaps",
        (name(day(3)), f"{day(3):%Y-%m-%d}", EXPECTED["location"]),
        (name(day(4)), f"{day(6):%Y-%m-%d}", "3 Mill Lane"),
        f"cancelled {name(day(5))}",
    }


@pytest.mark.parametrize("out", [day(-1), day(400)])
def test_one_of_a_series_that_was_moved_out_of_reach_is_taken_back(out):
    whole = event("RRULE:FREQ=DAILY;COUNT=2")
    moved = event(f"RECURRENCE-ID{at(day(4))}", start=f"DTSTART{at(out)}")
    found = [record for _, record in read("ics", calendar(whole, moved))]
    assert [found[0], found[2]] == ["cancelled u perhaps", f"cancelled {name(day(4))} perhaps"]
    assert found[1]["reference"] == name(day(3))
    back = event("SEQUENCE:2", f"RECURRENCE-ID{at(day(4))}", start=f"DTSTART{at(day(6))}")
    found = [record for _, record in read("ics", calendar(whole, moved, back))]
    assert [record["reference"] for record in found[1:]] == [name(day(3)), name(day(4))]


def test_an_event_that_was_moved_out_of_reach_is_named():
    for out, reason in ((day(-1), "time_past"), (day(-6), "time_past"), (day(400), "time_too_far")):
        [(_, record)] = reader("ics", calendar(event(start=f"DTSTART{at(out)}")))
        assert (record.reference, record.why.reason) == ("u", reason)
    [(_, record)] = reader("ics", calendar(event(start=f"DTSTART{at(day(-8))}")))
    assert record.reason == "time_past"


def test_a_change_may_come_without_its_series():
    found = read("ics", calendar(event(f"RECURRENCE-ID{at(day(4))}", start=f"DTSTART{at(day(6))}")))
    assert [record["reference"] for _, record in found] == [name(day(4))]


def test_a_series_without_a_zone_is_known_by_its_wall_clock():
    found = series_of("RRULE:FREQ=DAILY;COUNT=2", start=f"DTSTART:{stamp(day())}")
    assert [record["reference"] for _, record in found[1:]] == [f"u/{stamp(day(ahead))}" for ahead in (3, 4)]
    assert found[1][1]["time"] == TIME


def test_where_a_change_is_refused_the_whole_series_waits():
    whole = event("RRULE:FREQ=DAILY;COUNT=3")
    for change in (event("RECURRENCE-ID:CANARY"), event(f"RECURRENCE-ID;VALUE=DATE:{day():%Y%m%d}")):
        found = read("ics", calendar(whole, change, event(uid="other")))
        assert [place for place, record in found if isinstance(record, str)] == ["event 2", "event 1"]
        assert found[1][1] == "malformed: UID: another event of this one's series was refused"
        assert found[2][1]["reference"] == "other"


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        (["STATUS:CANCELLED"], {"cancelled u"}),
        (
            ["STATUS:cancelled", "RRULE:FREQ=DAILY;COUNT=2"],
            {"cancelled u perhaps", f"cancelled {name(day(3))}", f"cancelled {name(day(4))}"},
        ),
        ([f"RECURRENCE-ID{at(day())}", "STATUS:CANCELLED"], {f"cancelled {name(day())}"}),
    ],
)
def test_what_is_cancelled_is_taken_back(lines, outcome):
    assert {record for _, record in read("ics", calendar(event(*lines)))} == outcome
    by_method = [line for line in lines if not line.startswith("STATUS")]
    assert {record for _, record in read("ics", calendar(["METHOD:CANCEL"], event(*by_method)))} == outcome


@pytest.mark.parametrize("status", ["CONFIRMED", "TENTATIVE"])
def test_what_is_not_cancelled_is_reminded_of(status):
    assert only("ics", calendar(["METHOD:PUBLISH"], event(f"STATUS:{status}"))) == EXPECTED


def test_the_newest_of_several_versions_counts():
    data = calendar(event("SEQUENCE:2", "LOCATION:new"), event("SEQUENCE:1", "LOCATION:old"), event("LOCATION:oldest"))
    assert [record["location"] for _, record in read("ics", data)] == ["new"]


def test_two_events_of_one_name_and_version_are_one_too_many():
    assert [
        record if isinstance(record, str) else record["location"]
        for _, record in read("ics", calendar(event("LOCATION:first"), event("LOCATION:second")))
    ] == ["reference_invalid: UID: is another event's", "first"]


# Rules that never end.

BOMBS = [
    "FREQ=SECONDLY",
    "FREQ=MINUTELY;COUNT=9",
    "FREQ=HOURLY;INTERVAL=24",
    "FREQ=DAILY;BYHOUR=1,2",
    "FREQ=YEARLY;BYSECOND=1,2,3",
    "FREQ=DAILY;BYEASTER=1",
    "FREQ=FORTNIGHTLY",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=WEEKLY;INTERVAL=1;BYMONTH=2;BYSETPOS=60",
    "FREQ=DAILY;INTERVAL=0",
    "FREQ=DAILY;INTERVAL=-1",
    "FREQ=DAILY;COUNT=CANARY",
    "FREQ=DAILY;UNTIL=CANARY",
    "CANARY",
    "",
]


@pytest.mark.parametrize("rule", BOMBS)
def test_a_rule_that_repeats_too_often_or_never_ends_is_refused_in_no_time(rule):
    tracemalloc.start()
    started = time.monotonic()
    try:
        found = read("ics", calendar(event(f"RRULE:{rule}", "X:"), event(uid="other")))
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 20
    assert found[-1] == ("event 2", EXPECTED | {"reference": "other"})
    if rule:
        assert [place for place, _ in found] == ["event 1", "event 2"]
        assert found[0][1].startswith("malformed: ")
        assert "CANARY" not in found[0][1]


@pytest.mark.parametrize("start", ["00010101T100000", "19000101T100000"])
@pytest.mark.parametrize("rule", ["FREQ=DAILY", "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU"])
def test_a_daily_series_of_centuries_is_refused(start, rule):
    refused = "malformed: RRULE: takes too long to expand: it began too long ago, or never repeats"
    assert series_of(f"RRULE:{rule}", start=f"DTSTART:{start}") == [("event 1", refused)]


def test_two_rules_are_one_too_many():
    assert series_of("RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY") == [("event 1", "malformed: RRULE: is there twice")]


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;INTERVAL=2;BYDAY=MO,TU,WE,TH,FR",
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,TH",
        "FREQ=MONTHLY;BYDAY=1FR",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        "FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,200",
        "FREQ=DAILY;BYHOUR=9;BYMINUTE=30",
    ],
)
def test_rules_of_the_standard_are_expanded(rule):
    found = series_of(f"RRULE:{rule}", start="DTSTART;TZID=Europe/Paris:20200106T090000")
    assert found[0] == ("event 1", "cancelled u perhaps")
    assert all(isinstance(record, dict) for _, record in found[1:])
    expected = "20200106" in rule or not rule.startswith("FREQ=YEARLY")
    assert bool(found[1:]) or not expected


# Damage and limits.


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        (["UID:"], "missing_field: UID: is missing"),
        (["UID:u", "UID:v"], "malformed: event: is not one of RFC 5545"),
        (["DTSTART:"], "missing_field: DTSTART: is missing, or there twice"),
        ([f"DTSTART{at(day())}", f"DTSTART{at(day())}"], "missing_field: DTSTART: is missing, or there twice"),
        (["DTSTART:CANARY"], "malformed: event: is not one of RFC 5545"),
        (["DTSTART;TZID=Europe/Paris:20270230T100000"], "malformed: event: is not one of RFC 5545"),
        (["RDATE:CANARY"], "malformed: event: is not one of RFC 5545"),
        (["EXDATE:CANARY"], "malformed: event: is not one of RFC 5545"),
        (["SEQUENCE:CANARY"], "malformed: event: is not one of RFC 5545"),
    ],
)
def test_a_damaged_event_is_refused_and_the_next_is_read(lines, refusal):
    found = read("ics", calendar(event(*lines), event(uid="other")))
    assert sorted(found, key=str) == [("event 1", refusal), ("event 2", EXPECTED | {"reference": "other"})]


def test_what_is_too_long_is_refused_and_never_held(monkeypatch):
    long = event("DESCRIPTION:" + "x" * 10**6, "ATTACH:" + "\r\n ".join(["y" * 70] * 10_000))
    assert only("ics", calendar(long)) == EXPECTED
    too_long = "malformed: event: is longer than one is"
    for place in ("x" * ics.LONGEST * 2, "\r\n ".join(["y" * 70] * 1_000)):
        found = read("ics", calendar(event(f"LOCATION:{place}"), event(uid="other")))
        assert [record if isinstance(record, str) else record["reference"] for _, record in found] == [
            too_long,
            "other",
        ]
    assert only("ics", calendar(event("LOCATION:x\r\n " + "y" * ics.LONGEST * 2))) == too_long
    many = [f"RDATE{at(day(5))}"] * 3_000
    assert only("ics", calendar(event(*many))) == too_long


def test_a_file_that_was_cut_off_holds_what_is_there():
    assert only("ics", calendar(event()).replace(b"END:VCALENDAR\r\n", b"")) == EXPECTED


@pytest.mark.parametrize(
    "data", [b"CANARY", b"\n", b"BEGIN:VCARD\nEND:VCARD\n", b'{"resourceType": "Bundle"}', b"END:VEVENT\n"]
)
def test_what_is_no_calendar_is_refused(data):
    assert read("ics", data) == [("line 1", "malformed: file: holds no calendar")]


def test_other_components_are_left_behind_as_a_whole():
    todo = ["BEGIN:VTODO", "UID:CANARY", "SUMMARY:CANARY", "BEGIN:VALARM", "END:VALARM", "END:VTODO"]
    alarm = ["BEGIN:VALARM", "UID:CANARY", "LOCATION:CANARY", "SUMMARY:x", "ATTENDEE:tel:+33699999999", "END:VALARM"]
    data = calendar(todo, [*event()[:-1], *alarm, "END:VEVENT"])
    assert only("ics", data) == EXPECTED
    assert left("ics", data) == "VALARM 2, VTODO 1"


def test_the_summary_names_properties_and_not_their_values():
    data = calendar(
        ["VERSION:2.0", "PRODID:CANARY"],
        event(
            "SUMMARY:CANARY",
            "DESCRIPTION:CANARY\r\n CANARY:x",
            "x-reason:CANARY",
            "X-+33612345678:1",
            "CANARY",
            "ATTENDEE:mailto:CANARY",
        ),
    )
    assert left("ics", data) == "ATTENDEE 1, DESCRIPTION 1, PRODID 1, SUMMARY 1, VERSION 1, X-REASON 1, others 2"


def test_progress_counts_bytes_up_to_the_event():
    data = calendar(event(), event(uid="other"))
    used = reader("ics", data)
    assert [used.done for _ in used] == [data.index(b"END:VEVENT") + 12, len(data) - len(b"END:VCALENDAR\r\n")]


CANARY = "CANARY4111"
MOMENTS = ["20270101T100000", "20270101", "20270101T100000/PT1H", "99991231T235959Z", "00010101T000000Z", ",", ""]
RULES = ["FREQ=DAILY", f"FREQ=WEEKLY;UNTIL={CANARY}", "FREQ=YEARLY;BYDAY=53MO", "FREQ=DAILY;COUNT=3"]
TEXTS = [CANARY, f"20270101T{CANARY}", f"tel:{CANARY}", f"\\n{CANARY}\\", "1", "-1"]
NAMES = ["UID", "DTSTART", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "SEQUENCE", "STATUS", "LOCATION"]
NAMES += ["ATTENDEE", "SUMMARY", ""]
PARAMETERS = ["", ";TZID=Europe/Paris", f";TZID={CANARY}", ";VALUE=DATE", ";VALUE=PERIOD", f";{CANARY}", ";RANGE=X"]
PARAMETERS += [f';CN="{CANARY}', ";RANGE=THISANDFUTURE"]
FRAME = ["BEGIN:VEVENT", "END:VEVENT", "BEGIN:VALARM", "END:VALARM", "END:VCALENDAR", "METHOD:CANCEL"]
PROPERTIES = st.builds(
    "{}{}:{}".format, st.sampled_from(NAMES), st.sampled_from(PARAMETERS), st.sampled_from(MOMENTS + RULES + TEXTS)
)
LINES = PROPERTIES | st.sampled_from([*FRAME, f" {CANARY}", CANARY])


@given(st.lists(st.lists(LINES, max_size=6), max_size=3))
def test_no_lines_crash_a_reader_or_are_repeated(blocks):
    data = calendar(
        *(
            event(*lines) if number % 2 else ["BEGIN:VEVENT", "UID:u", *lines, "END:VEVENT"]
            for number, lines in enumerate(blocks)
        )
    )
    hidden = {"canary": writings(CANARY) - {CANARY.upper().encode()} | {CANARY.encode()}}
    used = reader("ics", data)
    for place, record in used:
        assert place.startswith(("event ", "line "))
        if isinstance(record, Refused):
            assert not leaks(in_exception(record), hidden)
        elif not isinstance(record, dict):
            assert not leaks(in_objects(record), hidden)


KINDS = [
    "BINARY",
    "BOOLEAN",
    "CAL-ADDRESS",
    "DATE",
    "DATE-TIME",
    "DURATION",
    "FLOAT",
    "INTEGER",
    "PERIOD",
    "RECUR",
    "TEXT",
]
KINDS += ["TIME", "URI", "UTC-OFFSET", "X"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_property_of_another_kind_than_it_should_be_ends_no_import(kind):
    values = [*MOMENTS, *RULES, *TEXTS, "PT1H", "100000", "+0100", "TRUE"]
    lines = [f"{property_};VALUE={kind}:{value}" for property_ in NAMES for value in values]
    for line in lines:
        for one in (
            event(line),
            ["BEGIN:VEVENT", "UID:u", line, "END:VEVENT"],
            event("RRULE:FREQ=DAILY;COUNT=3", line),
        ):
            found = list(reader("ics", calendar(one, event(uid="other"))))
            assert any(isinstance(record, dict) and record["reference"] == "other" for _, record in found)


@given(st.binary(max_size=300))
def test_no_bytes_are_anything_but_records_and_refusals(data):
    whole = b"BEGIN:VCALENDAR\nBEGIN:VEVENT\n" + data + b"\nEND:VEVENT\nEND:VCALENDAR\n"
    for document in (data, whole):
        assert all(isinstance(record, Refused) for _, record in records.read("ics", io.BytesIO(document)))


def test_the_limit_of_steps_is_a_century_of_days():
    start = datetime(1950, 1, 1)  # noqa: DTZ001 - rules are tried on the wall clock
    rule = series.Event.from_ical("BEGIN:VEVENT\r\nRRULE:FREQ=DAILY\r\nEND:VEVENT\r\n")["RRULE"]
    rules.check(rule, start, start + timedelta(days=36_500))
    with pytest.raises(Refused, match="takes too long"):
        rules.check(rule, start, start + timedelta(days=2 * 36_500))
