from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import known
import practice
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known import NOW

from reminder_worker.client import Appointment, Client
from reminder_worker.encoding import to_text
from reminder_worker.errors import Reason, Refused, StoreUnavailable
from reminder_worker.job import State
from reminder_worker.keys import new_worker
from reminder_worker.ledger import Answer
from reminder_worker.opening import WorkerKeys, load_signers, open_envelope, open_pointer
from reminder_worker.plan import Cells, Grid, Lead, QuietHours, slots
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import ENVELOPE_BYTES, PublicKeys, kid, seal_pointer, week

PARIS = ZoneInfo("Europe/Paris")
WHEN = NOW + timedelta(days=3)
RECORD = practice.fields(time="2026-11-28T10:30:00+01:00[Europe/Paris]")
POINTER = to_text(seal_pointer(known.public(), "clinic", "contact:token-1", "fr"))
READY = {"reference": "A-1", "time": RECORD["time"], "location": RECORD["location"], "pointer": POINTER}
CANARY = "CANARY"


def make(**options) -> Client:
    """Return a platform that seals and has no ledger."""
    leads = options.pop("leads", [Lead.parse("24h")])
    return Client(None, known.platform(), known.public(), leads=leads, **options)


def seal(record: dict, now: datetime = NOW, **options):
    return make(**options).seal(Appointment.parse(record), now)


def opened(entry):
    return open_envelope(known.worker(), known.signers(), entry.envelope, entry_id=entry.id)


def refusal(record: dict, now: datetime = NOW, **options) -> tuple[Reason, str]:
    with pytest.raises(Refused) as raised:
        seal(record, now, **options)
    assert raised.value.__cause__ is None
    return raised.value.reason, raised.value.field


# What is read.


def test_a_record_is_read_with_its_own_zone():
    appointment = Appointment.parse(RECORD | {"leads": ["2h", "24h"]})
    assert appointment.time == datetime(2026, 11, 28, 10, 30, tzinfo=PARIS)
    assert appointment.time.tzinfo == PARIS
    assert appointment.leads == (Lead.parse("2h"), Lead.parse("24h"))
    assert (appointment.phone, appointment.pointer) == (RECORD["phone"], None)


def test_an_appointment_shows_nothing_of_itself():
    shown = repr(Appointment.parse(RECORD | {"leads": ["2h"]}))
    assert shown == "Appointment(leads=(Lead(length=datetime.timedelta(seconds=7200)),))"


@pytest.mark.parametrize("field", ["reference", "time", "location", "phone", "language"])
def test_a_missing_field_is_named(field):
    assert refusal({name: value for name, value in RECORD.items() if name != field}) == (Reason.MISSING_FIELD, field)


@pytest.mark.parametrize("field", ["reason", "name", "practitioner", "speciality", "uri", "Phone"])
@pytest.mark.parametrize("record", [RECORD, READY], ids=["phone", "pointer"])
def test_there_is_no_field_for_anything_else(record, field):
    assert refusal(record | {field: CANARY}) == (Reason.UNKNOWN_FIELD, field)


@pytest.mark.parametrize("field", ["phone", "language"])
def test_a_pointer_leaves_no_room_for_what_is_in_it(field):
    assert refusal(READY | {field: RECORD[field]}) == (Reason.UNKNOWN_FIELD, field)


@pytest.mark.parametrize("name", [f"diagnosis: {CANARY}", f"{CANARY} ", f"+33{CANARY}", f"{CANARY} 12345", ""])
def test_a_field_s_name_that_may_be_data_is_not_repeated(name):
    with pytest.raises(Refused) as raised:
        Appointment.parse(RECORD | {name: 1})
    assert (raised.value.reason, raised.value.field) == (Reason.UNKNOWN_FIELD, "a field")
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("value", [None, 1, True, [], {}, ["x"]], ids=repr)
@pytest.mark.parametrize("field", ["reference", "time", "location", "phone", "language", "pointer"])
def test_what_is_no_text_is_refused_by_its_field(field, value):
    record = READY if field == "pointer" else RECORD
    assert refusal(record | {field: value})[1] == field


@pytest.mark.parametrize("value", [[], "24h", {}, 24, ["24"], [24], [None], ["24h", ""], ["31d"], ["0h"]], ids=repr)
def test_leads_that_are_none_are_refused(value):
    assert refusal(RECORD | {"leads": value}) == (Reason.LEAD_INVALID, "leads")


def test_too_many_leads_are_refused():
    assert seal(RECORD | {"leads": [f"{hours}h" for hours in range(1, 9)]})
    assert refusal(RECORD | {"leads": [f"{hours}h" for hours in range(1, 10)]}) == (Reason.LEAD_INVALID, "leads")


def test_no_leads_are_the_platform_s():
    twice = [Lead.parse("2h"), Lead.parse("48h")]
    for record in (RECORD, RECORD | {"leads": None}):
        assert seal(record, leads=twice).dues == (WHEN_IN_UTC - timedelta(hours=48), WHEN_IN_UTC - timedelta(hours=2))


WHEN_IN_UTC = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)

# Nothing is ever raised but Refused.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from([*RECORD, "pointer", "leads"]) | st.text(max_size=30)


@given(st.dictionaries(NAMES, JSON, max_size=3), st.sampled_from([RECORD, READY, {}]))
@settings(max_examples=300, deadline=None)
def test_whatever_a_record_holds_it_is_sealed_or_refused(changed, record):
    try:
        assert len(seal(record | changed).envelope) == ENVELOPE_BYTES
    except Refused as refused:
        field = refused.field
        assert field in {*RECORD, "pointer", "leads", "a field", *changed}


TEXTS = st.text(max_size=90) | st.sampled_from(["12 rue des Lilas", "+33612345678", "fr", "A-1", POINTER])
ODD = timezone(timedelta(hours=-9, minutes=-30))
ZONES = st.sampled_from([UTC, PARIS, ZoneInfo("Africa/Monrovia"), ODD])


@given(
    time=st.datetimes() | st.datetimes(min_value=datetime(2026, 11, 25), max_value=datetime(2027, 1, 1)),  # noqa: DTZ001
    zone=ZONES,
    location=TEXTS,
    phone=TEXTS,
    language=TEXTS,
    pointer=st.none() | TEXTS,
    leads=st.none() | st.lists(st.integers(1, 30 * 86_400).map(lambda n: Lead(timedelta(seconds=n))), max_size=10),
)
@settings(max_examples=200, deadline=None)
def test_whatever_an_appointment_says_it_is_sealed_or_refused(time, zone, leads, **texts):
    try:
        moment = time.replace(tzinfo=zone)
        moment.astimezone(UTC)
    except OverflowError:
        return
    try:
        appointment = Appointment(reference="A-1", time=moment, leads=leads and tuple(leads), **texts)
        assert len(make().seal(appointment, NOW).envelope) == ENVELOPE_BYTES
    except Refused as refused:
        field = refused.field
        assert field in {"time", "location", "phone", "language", "pointer", "leads"}


# What is sealed.


def test_what_is_sealed_opens_to_what_was_handed_in():
    entry = seal(RECORD | {"leads": ["24h", "2h"]})
    job = opened(entry)
    assert (job.platform, job.body.location, job.body.leads) == ("clinic", RECORD["location"], ("24h", "2h"))
    assert (job.body.time.seconds, job.body.time.zone) == (int(WHEN_IN_UTC.timestamp()), "Europe/Paris")
    address = open_pointer(known.worker(), "clinic", job.body.pointer)
    assert (address.uri, address.language) == ("tel:+33612345678", "fr")
    assert entry.dues == (WHEN_IN_UTC - timedelta(hours=24), WHEN_IN_UTC - timedelta(hours=2))


def test_an_envelope_belongs_to_the_week_in_which_its_last_text_falls_due():
    entry = seal(RECORD | {"time": "2026-12-11T10:30:00+01:00", "leads": ["10d", "2h"]})
    first, last = map(week, entry.dues)
    assert first < last
    assert entry.envelope[1:9] == kid(known.public().envelopes[last])


def test_a_ready_made_pointer_goes_in_as_it_is():
    address = open_pointer(known.worker(), "clinic", opened(seal(READY)).body.pointer)
    assert address.uri == "contact:token-1"


@pytest.mark.parametrize("pointer", ["", CANARY, POINTER[:-1], POINTER + "A", POINTER[:-1] + "=", "B" + POINTER[1:]])
def test_what_is_no_pointer_of_this_worker_is_refused(pointer):
    assert refusal(READY | {"pointer": pointer}) == (Reason.POINTER_INVALID, "pointer")


def test_every_envelope_is_sealed_afresh():
    first, second = seal(RECORD), seal(RECORD)
    assert first.envelope != second.envelope
    assert first.tag == second.tag
    assert first.id == second.id


def test_the_same_content_has_the_same_fingerprint_as_time_goes_by():
    record = RECORD | {"leads": ["48h", "2h"]}
    early, late = seal(record), seal(record, NOW + timedelta(days=2))
    assert None not in early.dues
    assert late.dues == (None, early.dues[1])  # each lead keeps its number
    assert early.tag == late.tag


def test_a_number_may_be_written_differently():
    assert seal(RECORD).tag == seal(RECORD | {"phone": "+33 6 12 34 56 78"}).tag


@pytest.mark.parametrize(
    "changed",
    [
        {"time": "2026-11-28T10:31:00+01:00[Europe/Paris]"},
        {"time": "2026-11-28T10:30:00+01:00"},
        {"location": "13 rue des Lilas"},
        {"phone": "+33612345679"},
        {"language": "en"},
        {"leads": ["2h"]},
        {"leads": ["24h", "2h"]},
        {"reference": "A-2"},
    ],
    ids=str,
)
def test_other_content_has_another_fingerprint(changed):
    assert seal(RECORD).tag != seal(RECORD | changed).tag


def test_another_pointer_is_other_content():
    other = to_text(seal_pointer(known.public(), "clinic", "contact:token-1", "fr"))
    assert seal(READY).tag == seal(READY).tag
    assert seal(READY).tag != seal(READY | {"pointer": other}).tag


# What is refused.


@pytest.mark.parametrize("location", ["Fertility clinic", "HIV centre", "Cabinet d'oncologie", "see www.example.org"])
def test_a_place_that_discloses_is_refused(location):
    assert refusal(RECORD | {"location": location}) == (Reason.LOCATION_DISCLOSES, "location")


def test_only_numbers_of_the_platform_s_countries_are_taken():
    assert seal(RECORD, countries=["GB", "FR"])
    assert refusal(RECORD, countries=["GB"]) == (Reason.COUNTRY_NOT_ALLOWED, "phone")
    assert seal(READY, countries=["GB"])  # nobody but the worker knows what is in a pointer


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"phone": "+3361234567"}, (Reason.NUMBER_INVALID, "phone")),
        ({"phone": "0612345678"}, (Reason.NUMBER_INVALID, "phone")),
        ({"phone": "+33899123456"}, (Reason.NUMBER_PREMIUM, "phone")),
        ({"language": "french"}, (Reason.LANGUAGE_UNKNOWN, "language")),
        ({"language": ""}, (Reason.LANGUAGE_UNKNOWN, "language")),
        ({"reference": ""}, (Reason.REFERENCE_INVALID, "reference")),
        ({"reference": "A\nB"}, (Reason.REFERENCE_INVALID, "reference")),
        ({"reference": "x" * 201}, (Reason.REFERENCE_INVALID, "reference")),
        ({"location": " "}, (Reason.LOCATION_INVALID, "location")),
        ({"location": "x" * 81}, (Reason.LOCATION_TOO_LONG, "location")),
        ({"time": "2026-11-28T10:30:00"}, (Reason.TIME_INVALID, "time")),
        ({"time": "2026-11-28T10:30:00+02:00[Europe/Paris]"}, (Reason.ZONE_MISMATCH, "time")),
        ({"time": "2026-11-24T10:30:00+01:00"}, (Reason.TIME_PAST, "time")),
        ({"time": "2028-11-28T10:30:00+01:00"}, (Reason.TIME_TOO_FAR, "time")),
        ({"time": "2026-11-25T01:10:00+01:00"}, (Reason.NO_SLOT, "time")),
    ],
    ids=str,
)
def test_a_refusal_has_a_code_and_a_field(changed, answer):
    assert refusal(RECORD | changed) == answer


def test_a_lead_that_has_passed_is_left_out_and_the_last_one_goes_out_at_once():
    appointment = RECORD | {"leads": ["48h", "24h"]}
    late = WHEN_IN_UTC - timedelta(hours=30)
    assert seal(appointment, late).dues == (None, WHEN_IN_UTC - timedelta(hours=24))
    later = WHEN_IN_UTC - timedelta(hours=1)
    assert seal(appointment, later).dues == (None, later)


def test_quiet_hours_are_the_platform_s():
    quiet = QuietHours.parse("08:00-12:00")
    moved = datetime(2026, 11, 27, 7, 59, tzinfo=PARIS)
    assert seal(RECORD, quiet_hours=quiet).dues == (moved,)


def test_due_times_on_a_grid_are_those_of_the_id_and_handing_in_again_does_not_change_them():
    grid, appointment = Grid.parse("1h"), RECORD | {"leads": ["24h", "2h"]}
    once, again = (seal(appointment, due_grid=grid) for _ in range(2))
    planned = slots(WHEN_IN_UTC.astimezone(PARIS), [Lead.parse("24h"), Lead.parse("2h")], None, Cells.of(grid, once.id))
    assert once.dues == again.dues == tuple(slot.due for slot in planned)
    assert (once.id, once.tag) == (again.id, again.tag)
    assert once.dues != seal(appointment).dues


def test_leads_closer_than_the_grid_are_numbered_as_they_fall_due():
    """As the worker counts them, which has to find the same one by its number."""
    turned = 0
    for number in range(40):
        record = RECORD | {"reference": f"A-{number}", "leads": ["24h", "1435m"]}
        entry = seal(record, due_grid=Grid.parse("1h"))
        far, near = (
            slots(WHEN_IN_UTC.astimezone(PARIS), [Lead.parse(one)], None, Cells.of(Grid.parse("1h"), entry.id))[0]
            for one in record["leads"]
        )
        turned += far.due > near.due
        assert list(entry.dues) == sorted([far.due, near.due])
    assert turned > 0


# The ledger behind it.


@pytest.fixture
def clinic(schedule: Schedule, tmp_path: Path) -> Client:
    return practice.make(schedule, tmp_path / "keys")


def appointments(*records: dict) -> list[Appointment]:
    return [Appointment.parse(record) for record in records]


def test_answers_come_in_the_order_of_the_appointments(clinic):
    first, second = practice.fields("A"), practice.fields("B")
    assert clinic.add(appointments(first)) == [Answer.ADDED]
    answers = clinic.add(
        appointments(first, practice.fields("C", phone="+1"), second, second | {"location": "3 Mill Lane"})
    )
    assert [str(getattr(one, "reason", one)) for one in answers] == ["unchanged", "number_invalid", "added", "moved"]
    assert clinic.add([]) == []


def test_what_is_cancelled_can_be_added_again(clinic):
    [appointment] = appointments(practice.fields())
    assert clinic.cancel("A-1") is Answer.MISSING
    clinic.add([appointment])
    assert clinic.cancel("A-1") is Answer.CANCELLED
    assert [one.state for one in clinic.show("A-1")] == [State.CANCELLED]
    assert clinic.add([appointment]) == [Answer.MOVED]
    assert [one.state for one in clinic.show("A-1")] == [State.SCHEDULED]


def test_what_was_sent_can_be_neither_cancelled_nor_sent_twice(clinic, schedule):
    [appointment] = appointments(practice.due_now())
    clinic.add([appointment])
    practice.send(schedule)
    assert clinic.cancel("A-1") is Answer.ENDED
    assert clinic.add([appointment]) == [Answer.UNCHANGED]
    assert [one.state for one in clinic.show("A-1")] == [State.SENT]


def test_an_unknown_reference_has_nothing_to_show(clinic):
    assert clinic.show("nobody's") == []


@pytest.mark.parametrize("reference", ["", "x" * 201, "A\0"])
def test_what_can_be_no_reference_is_refused_everywhere(clinic, reference):
    for ask in (clinic.show, clinic.cancel):
        with pytest.raises(Refused, match=r"^reference: "):
            ask(reference)


def test_two_platforms_never_share_an_appointment(schedule, tmp_path):
    one, other = practice.make(schedule, tmp_path / "a"), practice.make(schedule, tmp_path / "b")
    one.add(appointments(practice.fields()))
    assert other.show("A-1") == []
    assert other.cancel("A-1") is Answer.MISSING
    assert len(one.show("A-1")) == 1


def test_the_worker_opens_what_a_platform_with_fresh_keys_sealed(tmp_path):
    folder = tmp_path / "keys"
    clinic = practice.make(None, folder)
    entry = clinic.seal(Appointment.parse(practice.fields()))
    keys = WorkerKeys.load(folder)
    signers = load_signers({practice.NAME: folder / "clinic.pub"})
    assert open_envelope(keys, signers, entry.envelope, entry_id=entry.id).platform == "clinic"


def test_a_store_that_is_away_is_no_refusal(tmp_path):
    class Away:
        def add(self, entries):
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        practice.make(Away(), tmp_path / "keys").add(appointments(practice.fields()))


def test_leads_stand_longest_first_even_where_a_clock_change_turns_their_order(tmp_path):
    now = datetime(2027, 3, 26, 9, tzinfo=UTC)
    new_worker(tmp_path, now)
    public = PublicKeys.load(tmp_path / "worker.pub.json")
    record = RECORD | {"time": "2027-03-28T12:00:00+02:00[Europe/Paris]", "leads": ["1410m", "24h"]}
    entry = Client(None, known.platform(), public, leads=[]).seal(Appointment.parse(record), now)
    assert entry.dues == (datetime(2027, 3, 27, 10, 30, tzinfo=UTC), datetime(2027, 3, 27, 11, tzinfo=UTC))
    job = open_envelope(WorkerKeys.load(tmp_path), known.signers(), entry.envelope, entry_id=entry.id)
    assert job.body.leads == ("24h", "1410m")
