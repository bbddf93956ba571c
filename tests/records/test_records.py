"""What all readers share: the count of what was left behind, what is said once for all, the loader."""

import io
from zoneinfo import ZoneInfo

import pytest

from reminder_worker import records
from reminder_worker.errors import Refused
from reminder_worker.records import MOST_NAMES, Defaults, Format, Left, language_tag

PARIS = Defaults(zone=ZoneInfo("Europe/Paris"))


def counted(*names: object, inside: str = "") -> str:
    left = Left()
    for name in names:
        left.count(name, inside=inside)
    return str(left)


def test_names_are_counted_in_alphabetical_order_and_others_last():
    assert counted("others2", "comment", "Zoë", "comment", "a b") == "comment 2, others2 1, others 2"
    assert counted("comment", "a b", inside="Appointment") == "Appointment.comment 1, others 1"
    assert counted() == ""


@pytest.mark.parametrize("name", ["Anna Schäfer", "+33612345678", "born1984", "x" * 41, "", None, 7, "a\nb", "é"])
def test_a_name_that_is_no_plain_word_is_not_repeated(name):
    assert counted(name) == "others 1"


def test_more_names_than_can_be_read_are_not_told_apart():
    left = Left()
    for number in range(3 * MOST_NAMES):
        left.count(f"x{number}")
    left.count("x0")
    assert len(str(left).split(", ")) == MOST_NAMES + 1
    assert str(left).startswith("x0 2, ")
    assert str(left).endswith(f", others {2 * MOST_NAMES}")


@pytest.mark.parametrize("name", Format)
def test_every_format_has_a_reader(name):
    reader = records.read(name, io.BytesIO())
    assert list(reader) == []
    assert (str(reader.left), reader.done) == ("", 0)


def test_what_is_said_once_fills_what_is_missing_and_nothing_else():
    said = Defaults(location="12 rue des Lilas", language="fr")
    assert said.fill({"phone": "1"}) == {"phone": "1", "location": "12 rue des Lilas", "language": "fr"}
    assert said.fill({"location": "x", "language": "de"}) == {"location": "x", "language": "de"}
    assert said.fill({"location": "x", "pointer": "y"}) == {"location": "x", "pointer": "y"}
    assert Defaults().fill({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("phone", "filled"),
    [
        ("06 12 34 56 78", "+33612345678"),
        ("+49 151 23456789", "+4915123456789"),
        ("0033612345678", "+33612345678"),
        ("CANARY", "CANARY"),
        ("06 12 34 56 78 ext. 5", "06 12 34 56 78 ext. 5"),
        (7, 7),
    ],
)
def test_a_number_written_without_its_country_gets_one(phone, filled):
    assert Defaults(country="FR").fill({"phone": phone}) == {"phone": filled}


@pytest.mark.parametrize(
    ("time", "filled"),
    [
        ("2027-03-15T13:30:00Z", "2027-03-15T14:30:00+01:00[Europe/Paris]"),
        ("2027-07-15T13:30:00.5+00:00", "2027-07-15T15:30:00+02:00[Europe/Paris]"),
        ("2027-03-15T14:30:00+01:00[Europe/London]", "2027-03-15T14:30:00+01:00[Europe/London]"),
    ],
)
def test_a_time_that_names_no_zone_gets_one(time, filled):
    assert PARIS.fill({"time": time}) == {"time": filled}


@pytest.mark.parametrize("time", ["CANARY", "2027-03-15T14:30:00", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z"])
def test_a_time_that_has_no_clock_there_is_refused(time):
    with pytest.raises(Refused, match=r"^time: ") as raised:
        PARIS.fill({"time": time})
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    ("tag", "short"),
    [
        ("fr", "fr"),
        ("fr_FR", "fr-FR"),
        ("zh-Hans-CN", "zh-Hans"),
        (" de ", "de"),
        ("qaa-a-b-c-d-e", "qaa-a-b"),
        ("", ""),
    ],
)
def test_of_a_language_tag_as_much_is_taken_as_there_is_room_for(tag, short):
    assert language_tag(tag) == short
