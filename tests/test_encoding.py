import contextlib
import string
from datetime import timedelta

import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st
from known import BAD, GOOD, body, h

from reminder_worker.encoding import Body, Time, from_text, pad, pae, to_text, unpad, unpae
from reminder_worker.errors import Reason, Refused
from reminder_worker.job import parse_location
from reminder_worker.plan import Lead

parts = st.lists(st.binary(max_size=40), max_size=6)


@pytest.mark.parametrize("entry", GOOD["pae"])
def test_parts_join_as_published(entry):
    joined = [h(part) for part in entry["parts"]]
    assert pae(*joined) == h(entry["encoded"])
    assert unpae(h(entry["encoded"]), len(joined)) == joined


@given(parts, parts)
def test_no_two_lists_of_parts_encode_alike(one, other):
    assume(one != other)
    assert pae(*one) != pae(*other)


@given(parts)
def test_joined_parts_come_apart(some):
    assert unpae(pae(*some), len(some)) == some


@given(st.binary(max_size=60), st.integers(0, 6))
def test_whatever_comes_apart_was_joined_in_the_only_way(data, count):
    with contextlib.suppress(ValueError):
        assert pae(*unpae(data, count)) == data


def test_a_part_whose_length_has_no_room_is_refused_and_not_cut():
    assert unpae(pae(bytes(2**16 - 1), b""), 2) == [bytes(2**16 - 1), b""]
    with pytest.raises(OverflowError):
        pae(b"", bytes(2**16))


@pytest.mark.parametrize("entry", BAD["pae"])
def test_wrongly_joined_parts_are_refused(entry):
    with pytest.raises(ValueError):
        unpae(h(entry["encoded"]), entry["count"])


@pytest.mark.parametrize("entry", GOOD["pad"])
def test_padding_is_as_published(entry):
    assert pad(h(entry["data"]), entry["size"]) == h(entry["padded"])
    assert unpad(h(entry["padded"])) == h(entry["data"])


@pytest.mark.parametrize("data", BAD["unpad"])
def test_wrong_padding_is_refused(data):
    with pytest.raises(ValueError):
        unpad(h(data))


def test_content_that_leaves_no_room_for_padding_is_refused():
    assert pad(b"abc", 4) == b"abc\x80"
    with pytest.raises(ValueError):
        pad(b"abcd", 4)


@given(st.binary(max_size=40))
def test_base64url_comes_back(data):
    assert from_text(to_text(data), len(data)) == data


@given(st.text(string.ascii_letters + "+/=-_ é\n", max_size=8), st.integers(0, 6))
def test_base64url_is_read_in_one_spelling_only(text, length):
    with contextlib.suppress(ValueError):
        assert to_text(from_text(text, length)) == text


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "QUE", "+w", "Q\n", 7, None])
def test_other_base64_is_refused(text):
    with pytest.raises(ValueError):
        from_text(text, 1)


@pytest.mark.parametrize("entry", GOOD["times"])
def test_times_are_as_published(entry):
    time = Time(entry["seconds"], entry["offset_minutes"], entry["zone"])
    assert time.encode() == h(entry["encoded"])
    assert Time.decode(h(entry["encoded"])) == time


@pytest.mark.parametrize(
    "fields", [(-1, 0, ""), (2**32, 0, ""), (0, 1440, ""), (0, -1440, ""), (0, 0, "a b"), (0, 0, "é"), (0, 0, "A" * 41)]
)
def test_a_time_that_does_not_fit_is_refused(fields):
    with pytest.raises(Refused) as caught:
        Time(*fields)
    assert (caught.value.reason, caught.value.field) == (Reason.TIME_INVALID, "time")


@pytest.mark.parametrize("entry", GOOD["envelopes"], ids=lambda entry: entry["name"])
def test_bodies_are_as_published(entry):
    assert body(entry).encode() == h(entry["body"])
    assert Body.decode(h(entry["body"])) == body(entry)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"location": ""}, Reason.LOCATION_INVALID, "location"),
        ({"location": "a\tb"}, Reason.LOCATION_INVALID, "location"),
        ({"location": "a\u0085b"}, Reason.LOCATION_INVALID, "location"),
        ({"location": "a\u2029b"}, Reason.LOCATION_INVALID, "location"),
        ({"location": "\u00a0"}, Reason.LOCATION_INVALID, "location"),
        ({"location": "\u200b"}, Reason.LOCATION_INVALID, "location"),
        ({"location": "\u0301"}, Reason.LOCATION_INVALID, "location"),
        ({"location": "e\u0301"}, Reason.LOCATION_INVALID, "location"),
        ({"location": "\ud800"}, Reason.LOCATION_INVALID, "location"),
        ({"pointer": "00"}, Reason.POINTER_INVALID, "pointer"),
        ({"leads": []}, Reason.LEAD_INVALID, "leads"),
        ({"leads": [f"{hours}h" for hours in range(9, 0, -1)]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["100000000s"]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["1w"]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["2h", "24h"]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["90m", "2h"]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["3h", "1h", "2h"]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["24h", "24h"]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["24h", "1d"]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["1h 2h"]}, Reason.LEAD_INVALID, "leads"),
        ({"leads": ["\u0661h"]}, Reason.LEAD_INVALID, "leads"),
        ({"issued": 2**32}, Reason.TIME_INVALID, "issued"),
        ({"issued": -1}, Reason.TIME_INVALID, "issued"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_field(change, reason, field):
    with pytest.raises(Refused) as caught:
        body(GOOD["envelopes"][0] | change)
    assert (caught.value.reason, caught.value.field) == (reason, field)


@given(st.text(max_size=20))
def test_a_tidied_location_fits_the_format(text):
    try:
        tidy = parse_location(text)
    except Refused:
        reject()
    assert body(GOOD["envelopes"][0] | {"location": tidy}).location == tidy


@given(st.sets(st.integers(1, 30 * 86_400), min_size=1, max_size=8))
def test_leads_fit_the_format_with_the_longest_first_and_in_no_other_order(lengths):
    leads = [str(Lead(timedelta(seconds=length))) for length in sorted(lengths, reverse=True)]
    assert body(GOOD["envelopes"][0] | {"leads": leads}).leads == tuple(leads)
    if len(leads) > 1:
        with pytest.raises(Refused):
            body(GOOD["envelopes"][0] | {"leads": leads[::-1]})


@given(st.binary(max_size=80))
def test_a_decoded_body_has_only_one_encoding(data):
    known = body(GOOD["envelopes"][0])
    for changed in (
        data,
        pae(data, b"x", known.pointer, b"1h", bytes(4)),
        pae(bytes(6), data, known.pointer, b"1h", bytes(4)),
    ):
        with contextlib.suppress(ValueError, Refused):
            assert Body.decode(changed).encode() == changed


def test_nothing_personal_is_in_a_repr():
    shown = repr(body(GOOD["envelopes"][0]))
    assert "Lilas" not in shown
    assert "Paris" not in shown
    assert "pointer" not in shown
    assert repr(Time(1, 2, "UTC")) == "Time()"
