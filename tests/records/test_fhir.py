import io
import json
import tracemalloc
from pathlib import Path

import pytest
from canaries import found as leaks
from canaries import in_exception, in_objects
from hypothesis import given
from hypothesis import strategies as st

from records.reading import FIELDS, Once, appointment, bundle, day, left, location, ndjson, only, patient, read, reader
from reminder_worker import records
from reminder_worker.audit.writings import writings
from reminder_worker.errors import Refused, SettingsError
from reminder_worker.records import Defaults, fhir

START = day().isoformat()
EXPECTED = FIELDS | {"time": START}
ALL = [appointment(), patient(), location()]

# Bundles and NDJSON.


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
@pytest.mark.parametrize("write", [bundle, ndjson], ids=["bundle", "ndjson"])
@pytest.mark.parametrize("stream", [io.BytesIO, Once], ids=["file", "standard input"])
def test_resources_may_come_in_any_order(order, write, stream):
    [(_, record)] = read("fhir", stream(write(*(ALL[place] for place in order))))
    assert record == EXPECTED


@pytest.mark.parametrize("kind", ["collection", "searchset", "transaction", "batch", "document", "history"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_bundle_may_be_of_any_kind_and_on_one_line(kind, indent):
    assert only("fhir", bundle(*ALL, kind=kind, indent=indent)) == EXPECTED
    assert only("fhir", b"\xef\xbb\xbf\n" + bundle(*ALL, kind=kind, indent=indent)) == EXPECTED


def test_records_are_named_by_line_or_entry():
    late = [appointment("Patient/none", id=str(number)) for number in range(2)]
    assert [place for place, _ in read("fhir", bundle(*ALL, *late))] == ["entry 1", "entry 4", "entry 5"]
    data = b"\n" + ndjson(*ALL) + b"\r\n" + ndjson(*late)
    assert [place for place, _ in read("fhir", data)] == ["line 2", "line 6", "line 7"]
    assert [place for place, _ in read("fhir", Once(data))] == ["line 2", "line 6", "line 7"]


def test_a_resource_may_stand_on_its_own():
    inside = appointment("#p", "#l", contained=[patient(), location()])
    for indent in (None, 2):
        assert only("fhir", json.dumps(inside, indent=indent).encode()) == EXPECTED


@pytest.mark.parametrize(
    "line", [b'{"resourceType":}', b"[]", b"CANARY", b'{"id":"CANARY"}', b'{"a":"\xff"}', b"{" * 9999]
)
def test_a_bad_line_is_refused_once_and_the_others_are_read(line):
    for stream in (io.BytesIO, Once):
        found = read("fhir", stream(ndjson(appointment(), line, patient(), location())))
        assert [place for place, _ in found] == ["line 1", "line 2"]
        assert found[0][1] == EXPECTED
        assert found[1][1].startswith("malformed: resource: ")
        assert "CANARY" not in found[1][1]


@pytest.mark.parametrize("document", [b"{", b'{\n"resourceType": "Bundle"', b"CANARY", b"<Bundle/>", b"\x00"])
def test_what_is_no_json_is_refused_as_a_whole(document):
    assert read("fhir", document) == [("entry 1", "malformed: resource: is not a JSON object")]


@pytest.mark.parametrize("entry", [None, 1, "CANARY", {}, [], [1], [{}], [{"resource": None}], [{"request": {}}]])
def test_an_odd_bundle_is_no_crash(entry):
    data = json.dumps({"resourceType": "Bundle", "entry": entry}).encode()
    assert not any(isinstance(record, dict) or "CANARY" in record for _, record in read("fhir", data))


def test_a_bundle_has_a_limit_and_is_not_read_beyond_it(monkeypatch):
    monkeypatch.setattr(fhir, "LONGEST_BUNDLE", 2**20)
    stream = io.BytesIO(bundle(*ALL, *[{"resource": {"resourceType": "Basic", "x": "y" * 1000}}] * 2000))
    assert read("fhir", stream) == [("line 1", "malformed: file: is longer than 1 MiB; export it as NDJSON")]
    assert stream.tell() == 2**20 + 1


def test_a_line_of_ndjson_has_a_limit(monkeypatch):
    monkeypatch.setattr(fhir, "LONGEST_LINE", 10_000)
    large = patient(photo=[{"data": "A" * 20_000}], id="large")
    found = read("fhir", ndjson(*ALL, large, appointment("Patient/large", id="b")))
    assert [place for place, _ in found] == ["line 1", "line 4", "line 5"]
    assert found[1][1] == "malformed: line: is longer than 10000 bytes"
    assert read("fhir", ndjson(patient(photo=[{"data": "A" * 5_000}]), appointment(), location())) == [
        ("line 2", EXPECTED)
    ]


# Folders.


def write(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        (folder / f"{name.replace('_', '.')}.ndjson").write_bytes(data)
    return folder


def test_the_parts_of_a_bulk_export_belong_together(tmp_path):
    folder = write(
        tmp_path,
        Appointment_1=ndjson(appointment(id="1")),
        Appointment_2=ndjson(b"CANARY", appointment("Patient/q", "Location/l", id="2")),
        Patient_1=ndjson(patient()),
        Patient_2=ndjson(patient(id="q", communication=None)),
        Location=ndjson(location()),
        Condition=b"CANARY, never opened",
    )
    assert read("fhir", folder) == [
        ("Appointment.1.ndjson line 1", EXPECTED | {"reference": "1"}),
        ("Appointment.2.ndjson line 1", "malformed: resource: is not a JSON object"),
        ("Appointment.2.ndjson line 2", {k: v for k, v in (EXPECTED | {"reference": "2"}).items() if k != "language"}),
    ]


def test_a_folder_without_appointments_is_wrong_use(tmp_path):
    with pytest.raises(SettingsError, match=r"^--format fhir: the folder has no Appointment\.ndjson$"):
        read("fhir", write(tmp_path, Patient=ndjson(patient())))


def test_progress_counts_bytes(tmp_path):
    write(tmp_path, Appointment=ndjson(appointment()), Patient=ndjson(patient()), Location=ndjson(location()))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    for source in (tmp_path, ndjson(*ALL), bundle(*ALL)):
        used = reader("fhir", source)
        assert used.done == 0
        assert list(used)
        assert used.done == (size if isinstance(source, Path) else len(source))


def test_memory_does_not_grow_with_the_appointments(tmp_path):
    write(tmp_path, Patient=ndjson(patient()), Location=ndjson(location()))
    long = [appointment(id=str(number), description="x" * 500, comment="y" * 500) for number in range(100)]

    def peak(times: int) -> int:
        write(tmp_path, Appointment=ndjson(*long) * times)
        (tmp_path / "all").write_bytes(b"".join(path.read_bytes() for path in sorted(tmp_path.glob("*.ndjson"))))
        tracemalloc.start()
        try:
            assert sum(isinstance(record, dict) for _, record in reader("fhir", tmp_path)) == 100 * times
            with (tmp_path / "all").open("rb") as stream:
                assert sum(isinstance(record, dict) for _, record in reader("fhir", stream)) == 100 * times
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # caches fill
    assert peak(40) < 1.2 * peak(4) + 50_000


# Which patient, which place.


def resolve(*resources, **changed):
    return only("fhir", bundle(appointment(**changed) if changed else appointment(), *resources))


ELSEWHERE = "https://ehr.example/fhir"
URN = "urn:uuid:0b5f6f0e-5d0f-4b1b-9f43-2a1c7d8e9f10"


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("Patient/p", ""),
        ("Patient/p/_history/3", ""),
        (f"{ELSEWHERE}/Patient/p", ""),
        (f"{ELSEWHERE}/Patient/p", f"{ELSEWHERE}/Patient/p"),
        (f"{ELSEWHERE}/Patient/p/_history/2", f"{ELSEWHERE}/Patient/p"),
        ("Patient/p", f"{ELSEWHERE}/Patient/p"),
        (URN, URN),
        ("Patient/p", URN),
    ],
)
def test_a_reference_leads_to_its_patient(reference, url):
    entry = {"resource": patient()} | ({"fullUrl": url} if url else {})
    assert only("fhir", bundle(appointment(reference, "Location/l"), entry, location())) == EXPECTED


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        (f"{ELSEWHERE}/Patient/p", "https://other.example/fhir/Patient/p"),
        (URN, f"{URN}0"),
        ("Patient/q", ""),
        ("Patient/", ""),
        ("#p", ""),
        ("Practitioner/p", ""),
        ("Location/l", ""),
        ("", ""),
    ],
)
def test_a_reference_leads_to_nobody_else(reference, url):
    entry = {"resource": patient()} | ({"fullUrl": url} if url else {})
    refused = only("fhir", bundle(appointment(reference, "Location/l"), entry, location()))
    assert refused == "missing_field: patient: is not in the file, or two have its name"


def test_two_patients_of_one_name_are_both_not_texted():
    other = patient(telecom=[{"system": "phone", "value": "+33612345679"}])
    refused = "missing_field: patient: is not in the file, or two have its name"
    assert resolve(patient(), other, location()) == refused
    assert resolve(patient(), other, patient(), location()) == refused
    assert resolve(patient(), patient(), location()) == EXPECTED


def test_an_appointment_of_two_patients_is_refused():
    other = patient(id="q", telecom=[{"system": "phone", "value": "+33612345679"}])
    actors = [{"actor": {"reference": f"Patient/{name}"}} for name in "pq"]
    assert resolve(patient(), other, participant=actors) == "missing_field: patient: is more than one"


def test_uuids_may_name_practitioners_as_well():
    actors = appointment(URN, f"{URN}1", f"{URN}2")
    entries = [
        {"fullUrl": URN, "resource": {"resourceType": "Practitioner", "telecom": patient()["telecom"]}},
        {"fullUrl": f"{URN}1", "resource": patient(id=None)},
        {"fullUrl": f"{URN}2", "resource": location(id=None)},
    ]
    assert only("fhir", bundle(actors, *entries)) == EXPECTED


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({}, "12 rue des Lilas, Lyon"),
        ({"name": "Oncologie"}, "12 rue des Lilas, Lyon"),
        (
            {"address": {"line": ["Building A", "Galapagosweg 91"], "city": "Den Burg"}},
            "Building A, Galapagosweg 91, Den Burg",
        ),
        ({"address": {"text": "12 rue des Lilas"}}, "12 rue des Lilas"),
        ({"address": {"city": "Lyon", "text": "CANARY"}}, "Lyon"),
        ({"address": {"country": "FR"}, "name": "Riverside House"}, "Riverside House"),
        ({"address": None, "name": "Riverside House"}, "Riverside House"),
        ({"address": None}, None),
        ({"address": [], "name": 1}, None),
    ],
)
def test_a_place_is_its_address_before_its_name(changes, place):
    assert resolve(patient(), location(**changes)).get("location") == place


def test_a_place_that_is_not_in_the_file_is_missing_and_its_display_not_taken():
    actors = [{"actor": {"reference": "Patient/p"}}, {"actor": {"reference": "Location/x", "display": "CANARY"}}]
    assert "location" not in resolve(patient(), participant=actors)


# Which phone, which language.


@pytest.mark.parametrize(
    ("points", "phone"),
    [
        ([], None),
        ([{"system": "email", "value": "a@b"}, {"system": "fax", "value": "1"}, {"value": "2"}], None),
        ([{"system": "phone", "value": "1"}], "1"),
        ([{"system": "sms", "value": "1"}], "1"),
        ([{"system": "phone", "value": "tel:+331"}], "+331"),
        ([{"system": "phone", "value": "1", "use": "home"}, {"system": "phone", "value": "2", "use": "mobile"}], "2"),
        ([{"system": "phone", "value": "1", "rank": 1}, {"system": "sms", "value": "2", "rank": 9}], "2"),
        ([{"system": "phone", "value": "1", "rank": 2}, {"system": "phone", "value": "2", "rank": 1}], "2"),
        ([{"system": "phone", "value": "1"}, {"system": "phone", "value": "2", "rank": 1}], "2"),
        ([{"system": "phone", "value": "1"}, {"system": "phone", "value": "2"}], "1"),
        ([{"system": "phone", "value": "1", "use": "old"}], None),
        ([{"system": "phone", "value": "1", "use": "work"}, {"system": "phone", "value": "2", "use": "temp"}], "2"),
        ([{"system": "phone", "value": "1", "use": "work", "rank": 1}], None),
        (
            [{"system": "phone", "value": " ", "use": "mobile"}, {"system": "sms"}, {"system": "phone", "value": "2"}],
            "2",
        ),
    ],
)
def test_a_mobile_comes_first_and_old_and_work_numbers_never(points, phone):
    assert resolve(patient(telecom=points), location()).get("phone") == phone


def test_what_is_too_long_to_be_a_phone_or_a_name_is_not_kept():
    point = {"system": "phone", "value": "1" * 201}
    assert "phone" not in resolve(patient(telecom=[point]), location())
    assert resolve(patient(), location(), id="a" * 201) == "missing_field: id: is missing, and so is an identifier"


@pytest.mark.parametrize(
    ("period", "holds"),
    [
        ({}, True),
        ({"start": "2014"}, True),
        ({"end": "2014"}, False),
        ({"end": "2014-03-02T10:00:00Z"}, False),
        ({"start": "2999-01"}, False),
        ({"start": f"{day(0):%Y}", "end": f"{day(0):%Y-%m}"}, True),
        ({"end": f"{day(-2):%Y-%m-%d}"}, False),
        ({"start": f"{day(2):%Y-%m-%d}"}, False),
        ({"start": 1, "end": "soon"}, True),
    ],
)
def test_a_number_counts_in_its_period(period, holds):
    point = {"system": "phone", "value": "1", "period": period}
    assert ("phone" in resolve(patient(telecom=[point]), location())) is holds


def language(code, **more):
    return {"language": {"coding": [{"code": code}]}} | more


@pytest.mark.parametrize(
    ("spoken", "tag"),
    [
        ([language("fr"), language("de")], "fr"),
        ([language("fr"), language("de", preferred=True)], "de"),
        ([language("fr-FR")], "fr-FR"),
        ([language("fr_CA")], "fr-CA"),
        ([language("zh-Hans-CN")], "zh-Hans"),
        ([{"language": {"text": "CANARY"}}, language("nl")], "nl"),
        ([{"language": {"coding": [{}, {"code": "it"}]}}], "it"),
        ([], None),
        ("CANARY", None),
    ],
)
def test_the_preferred_language_comes_first(spoken, tag):
    assert resolve(patient(communication=spoken), location()).get("language") == tag


# What becomes of it.


@pytest.mark.parametrize("status", ["booked", "pending"])
def test_what_is_booked_or_pending_is_reminded_of(status):
    assert resolve(patient(), location(), status=status) == EXPECTED


@pytest.mark.parametrize(
    "status", ["proposed", "arrived", "fulfilled", "cancelled", "noshow", "entered-in-error", "checked-in", "waitlist"]
)
def test_what_will_not_take_place_is_taken_back_whoever_it_was_for(status):
    for start in (None, START, "CANARY"):
        assert resolve(status=status, participant=None, start=start) == "cancelled a"
    assert resolve(status=status, start="2013-12-10T09:00:00Z") == "time_past: start: time_past"


@pytest.mark.parametrize("status", [None, "", "Booked", "CANARY", 1])
def test_an_unknown_status_is_refused(status):
    assert resolve(patient(), location(), status=status) == "malformed: status: is none of an Appointment's"


@pytest.mark.parametrize("death", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-01-01"}])
def test_the_dead_are_not_texted(death):
    assert resolve(patient(**death), location()) == "cancelled a"
    assert resolve(patient(deceasedBoolean=False), location()) == EXPECTED


@pytest.mark.parametrize("name", ["modifierExtension", "implicitRules"])
def test_what_may_turn_the_meaning_around_is_refused(name):
    for resources in ([appointment(**{name: []}), patient()], [appointment(), patient(**{name: []})]):
        found = read("fhir", bundle(*resources, location()))
        assert not any(isinstance(record, dict) for _, record in found)
        assert (
            f"malformed: {name}: may change what the resource says, and is not understood here" in dict(found).values()
        )


@pytest.mark.parametrize(
    ("names", "reference"),
    [
        ({"id": "a", "identifier": [{"value": "CANARY"}]}, "a"),
        ({"id": None, "identifier": [{"value": "7"}]}, "7"),
        ({"id": None, "identifier": [{"system": "s"}, {"system": "urn:s", "value": "7"}]}, "urn:s|7"),
    ],
)
def test_a_reference_is_the_id_else_the_first_identifier(names, reference):
    assert resolve(patient(), location(), **names) == EXPECTED | {"reference": reference}
    assert resolve(status="cancelled", **names) == f"cancelled {reference}"


def test_without_either_it_is_refused():
    assert resolve(patient(), id=None) == "missing_field: id: is missing, and so is an identifier"


@pytest.mark.parametrize("clock", ["Z", "+00:00"])
def test_a_time_in_utc_needs_a_zone(clock):
    data = bundle(appointment(start=f"{day():%Y-%m-%d}T09:00:00{clock}"), patient(), location())
    assert only("fhir", data, Defaults()).startswith("time_invalid: start: is in UTC; say with --zone")
    assert only("fhir", data)["time"].endswith(clock)


def test_what_is_over_is_told_apart_before_its_patient_is_looked_for():
    assert resolve(start="2013-12-10T09:00:00Z") == "time_past: start: is over"
    assert fhir.Reader.passes_over["time_past"] == "past"


@pytest.mark.parametrize("status", ["booked", "fulfilled"])
def test_what_was_over_lately_is_named_for_it_may_have_been_moved_there(status):
    for moment in (day(-1), day(-6)):
        [(_, record)] = reader("fhir", bundle(appointment(status=status, start=moment.isoformat())))
        assert (record.reference, record.why.reason) == ("a", "time_past")
    assert resolve(status=status, start=day(-8).isoformat()).startswith("time_past: start: ")


@pytest.mark.parametrize("start", [None, "", "2030-01", "CANARY", 1])
def test_a_start_that_is_no_instant_is_refused(start):
    assert resolve(patient(), location(), start=start).startswith("time_invalid: time: ")


# What is left behind.


def test_the_summary_names_elements_and_not_their_values():
    said = left(
        "fhir",
        bundle(
            appointment(description="CANARY", reasonCode=[{"text": "CANARY"}], comment="CANARY"),
            patient(name=[{"family": "CANARY"}], birthDate="1984-11-30"),
            location(name="CANARY", description="CANARY"),
            {"resourceType": "Condition", "code": {"text": "CANARY"}},
        ),
    )
    assert said == (
        "Appointment.comment 1, Appointment.description 1, Appointment.participant.status 2, Appointment.reasonCode 1, "
        "Bundle.type 1, Condition 1, Location.description 1, Patient.birthDate 1, Patient.name 1"
    )


def test_an_element_whose_name_may_be_data_is_one_of_the_others():
    odd = {"CANARY CANARY": 1, "+33612345678": 1, "born19841130": 1, "é": 1}
    assert left("fhir", bundle(appointment(participant=None, **odd), {"resourceType": "CANARY CANARY"})) == (
        "Bundle.type 1, others 5"
    )


def test_many_names_fill_no_memory():
    many = {f"x{number:03d}": 1 for number in range(500)}
    said = left("fhir", bundle(appointment(**many)))
    assert len(said.split(", ")) <= records.MOST_NAMES + 1
    assert int(said.rpartition("others ")[2]) > 300


CANARY = "CANARY 4111"
JSON = st.recursive(
    st.sampled_from([None, True, 0, -1, 1e300, CANARY, f"Patient/{CANARY}", "#", "urn:", "", "2030-01-01T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([CANARY, "id", "actor"]), inner),
    max_leaves=6,
)


def spots(value, path=()):
    """Return the way to every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from spots(inner, (*path, key))


WHOLE = json.loads(
    bundle(
        {"fullUrl": f"{ELSEWHERE}/Appointment/a", "resource": appointment("#p", contained=[patient(), location()])},
        appointment(id=None, identifier=[{"system": "s", "value": "v"}]),
        patient(
            communication=[language("fr", preferred=True)], telecom=[{"system": "sms", "value": "1", "period": {}}]
        ),
        location(address={"line": ["a"], "city": "b", "text": "c"}),
    )
)


@given(st.lists(st.tuples(st.sampled_from(list(spots(WHOLE))), JSON), min_size=1, max_size=4), st.booleans())
def test_no_resource_crashes_a_reader_or_is_repeated(changes, lines):
    whole = json.loads(json.dumps(WHOLE))
    for path, value in changes:
        spot = whole
        try:
            for key in path[:-1]:
                spot = spot[key]
            spot[path[-1]] = value
        except (LookupError, TypeError):
            continue  # another change has taken the place away
    entries = whole.get("entry") if isinstance(whole.get("entry"), list) else []
    data = ndjson(*(json.dumps(one.get("resource")).encode() if isinstance(one, dict) else b"1" for one in entries))
    used = reader("fhir", data if lines else json.dumps(whole).encode())
    for place, record in used:
        hidden = {"canary": writings(CANARY)}
        assert not leaks([("place", place.encode()), ("left", str(used.left).encode())], hidden)
        if isinstance(record, Refused):
            assert not leaks(in_exception(record), hidden)
        elif not isinstance(record, dict):
            assert not leaks(in_objects(record), hidden)


@given(st.binary(max_size=300))
def test_no_bytes_are_anything_but_records_and_refusals(data):
    assert all(isinstance(record, Refused) for _, record in reader("fhir", data))
