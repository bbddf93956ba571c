import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker import records
from reminder_worker.errors import Reason, Refused
from reminder_worker.records.lines import LONGEST

WORDS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def read(data: bytes) -> list[tuple[int, object]]:
    """Read everything; a refusal becomes its message, and a place its number."""
    found = [(place.removeprefix("line "), one) for place, one in records.read("jsonl", io.BytesIO(data))]
    return [(int(number), str(one) if isinstance(one, Refused) else one) for number, one in found]


@given(st.lists(st.dictionaries(WORDS, VALUES, max_size=4), max_size=5))
def test_what_was_written_is_read(written):
    data = b"".join(json.dumps(record).encode() + b"\n" for record in written)
    assert read(data) == list(enumerate(written, 1))


@given(st.binary(max_size=300))
def test_no_bytes_are_anything_but_records_and_refusals(data):
    for place, one in records.read("jsonl", io.BytesIO(data)):
        assert 1 <= int(place.removeprefix("line ")) <= data.count(b"\n") + 1
        assert isinstance(one, dict) or one.reason is Reason.MALFORMED


def test_the_last_line_needs_no_end():
    assert read(b'{"a":1}\n{"b":2}') == [(1, {"a": 1}), (2, {"b": 2})]


@pytest.mark.parametrize("blank", [b"", b"\r", b"  \t", b"\x0c"])
def test_blank_lines_are_passed_over_and_counted(blank):
    assert read(blank + b'\n{"a":1}\n' + blank + b"\n") == [(2, {"a": 1})]


def test_lines_may_end_as_on_windows():
    assert read(b'{"a":1}\r\n{"b":2}\r\n') == [(1, {"a": 1}), (2, {"b": 2})]


def test_a_byte_order_mark_is_passed_over():
    assert read(b'\xef\xbb\xbf{"a":1}\n') == [(1, {"a": 1})]


def test_of_a_doubled_field_the_last_one_counts():
    assert read(b'{"a":1,"a":2}\n') == [(1, {"a": 2})]


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b'{"a":01}',
        b'"text"',
        b"1",
        b"null",
        b"{",
        b'{"a":1}{"b":2}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b"\xff\xfe{\x00}\x00",
        b'{"a":"\\ud800"}',
        b"\x00",
        b"[" * 16_000,
    ],
    ids=lambda line: repr(line[:12]),
)
def test_what_is_no_json_object_is_refused_and_the_next_line_is_read(line):
    assert read(line + b'\n{"b":2}\n') == [(1, "line: is not a JSON object"), (2, {"b": 2})]


def test_deep_nesting_harms_no_neighbour():
    nested = b'{"a":' * 2_500 + b"1" + b"}" * 2_500  # how deep is too deep differs between Pythons
    (first, _), second = read(nested + b'\n{"b":2}\n')
    assert (first, second) == (1, (2, {"b": 2}))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_may_be_as_long_as_it_says_and_no_longer(end):
    longest = b'{"a":"' + b"x" * (LONGEST - 8 - len(end.rstrip(b"\n"))) + b'"}'
    assert [number for number, one in read(longest + end) if isinstance(one, dict)] == [1]
    too_long = longest.replace(b"x", b"xx", 1)
    assert read(too_long + end) == [(1, "line: is longer than 16384 bytes")]


@pytest.mark.parametrize("excess", [1, 2, LONGEST, LONGEST + 1, 100_000])
def test_the_rest_of_a_long_line_is_no_line_of_its_own(excess):
    long = b'{"a":"' + b"x" * (LONGEST - 8 + excess) + b'"}'
    assert read(long + b'\n{"b":2}\n') == [(1, "line: is longer than 16384 bytes"), (2, {"b": 2})]
    assert read(b"[" * (LONGEST + excess)) == [(1, "line: is longer than 16384 bytes")]


def test_a_long_line_is_never_held_whole():
    asked = []

    class Endless(io.RawIOBase):
        def readline(self, size: int = -1) -> bytes:
            asked.append(size)
            return b"[" * size if len(asked) < 50 else b""

    assert [place for place, _ in records.read("jsonl", Endless())] == ["line 1"]
    assert 0 < min(asked) <= max(asked) <= LONGEST + 1


@pytest.mark.parametrize("line", [b'{"a":"CANARY', b'{"a":CANARY}', b'{"CANARY":"\xff"}', b'"CANARY"'])
def test_a_refusal_says_nothing_of_the_line(line):
    [(_, refusal)] = records.read("jsonl", io.BytesIO(line))
    assert isinstance(refusal, Refused)
    assert "CANARY" not in f"{refusal}{refusal!r}{refusal.__cause__!r}"


def test_nothing_is_left_behind():
    reader = records.read("jsonl", io.BytesIO(b'{"a":1,"reason":2}\n'))
    assert [fields for _, fields in reader] == [{"a": 1, "reason": 2}]
    assert str(reader.left) == ""
