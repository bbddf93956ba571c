import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.reading import left, only, read
from reminder_worker import records
from reminder_worker.errors import Refused
from reminder_worker.records.csv import COLUMNS
from reminder_worker.records.lines import LONGEST

HEADER = "reference,time,location,phone,language,leads"
ROW = "A-1,2027-03-15T14:30:00+01:00,12 rue des Lilas,+33612345678,fr,24h 2h"
FIELDS = {
    "reference": "A-1",
    "time": "2027-03-15T14:30:00+01:00",
    "location": "12 rue des Lilas",
    "phone": "+33612345678",
    "language": "fr",
    "leads": ["24h", "2h"],
}


def table(*rows: str, header: str = HEADER, sign: str = ",") -> bytes:
    return "".join(f"{row}\r\n" for row in (header, *rows)).replace(",", sign).encode()


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_rows_are_read_whatever_the_delimiter(sign, mark):
    assert read("csv", mark + table(ROW, "", ROW, sign=sign)) == [("line 2", FIELDS), ("line 4", FIELDS)]


def test_columns_are_known_by_name_whatever_their_order_and_case():
    assert only("csv", b" Phone ;TIME;Reference\n+336;t;A\n") == {"phone": "+336", "time": "t", "reference": "A"}


def test_other_columns_are_left_behind_and_counted_by_name():
    data = b"reference,time,reason,birth date,2027-03-15,Zo\xc3\xab\nA,t,CANARY,CANARY,CANARY,CANARY\nB,t,,,,\n"
    assert [fields for _, fields in read("csv", data)] == [{"reference": name, "time": "t"} for name in "AB"]
    assert left("csv", data) == "reason 2, others 6"


def test_cells_beyond_the_columns_are_left_behind():
    assert only("csv", b"reference,time\nA,t,CANARY,CANARY\n") == {"reference": "A", "time": "t"}
    assert left("csv", b"reference,time\nA,t,CANARY,CANARY\n") == "others 2"


def test_an_empty_cell_is_no_field_and_a_short_row_has_fewer():
    assert only("csv", table("A,t, ,+336")) == {"reference": "A", "time": "t", "phone": "+336"}


def test_a_pointer_stands_instead_of_phone_and_language():
    assert only("csv", b"reference;time;location;pointer\nA;t;x;abc\n")["pointer"] == "abc"


def test_a_row_may_go_over_lines_and_is_known_by_its_first():
    data = b'reference,time,reason\nA,t,"one\ntwo"\nB,t,x\n'
    assert [(place, fields["reference"]) for place, fields in read("csv", data)] == [("line 2", "A"), ("line 4", "B")]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("a,b", "missing_field: reference: the first line names no such column"),
        ("reference,b", "missing_field: time: the first line names no such column"),
        ("reference,time,Phone,phone", "malformed: phone: the first line names this column twice"),
    ],
)
def test_a_table_without_our_columns_is_refused_as_a_whole(header, message):
    assert read("csv", f"\n{header}\nCANARY,CANARY\n".encode()) == [("line 2", message)]


def test_bytes_that_are_not_utf_8_spoil_their_row_only():
    data = table("A,t,caf\xe9,+336").decode().encode("latin-1") + b"B,t,x,+336\r\n"
    assert [shown if isinstance(shown, str) else shown["reference"] for _, shown in read("csv", data)] == [
        "malformed: line: is not UTF-8, or too long",
        "B",
    ]


def test_a_long_line_spoils_its_row_only():
    data = table(f"A,t,{'x' * LONGEST * 3},+336", "B,t,x,+336")
    assert [place for place, shown in read("csv", data) if isinstance(shown, str)] == ["line 2"]
    assert len(read("csv", data)) == 2


def test_a_quote_that_never_ends_fills_no_memory():
    data = io.BytesIO(b'reference,time\n"' + b"CANARY\n" * 60_000)
    said = set()
    tracemalloc.start()
    try:
        said |= {str(one) for _, one in records.read("csv", data) if isinstance(one, Refused)}
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()
    assert said == {"line: is not a row of CSV"}


def test_an_empty_file_holds_nothing():
    assert read("csv", b"") == read("csv", b"\n\n") == []


@given(st.binary(max_size=200), st.sampled_from([b"", b"reference,time,location\n", b"reference;time\n"]))
def test_no_bytes_are_anything_but_records_and_refusals(data, header):
    for place, one in records.read("csv", io.BytesIO(header + data)):
        assert place.startswith("line ")
        assert isinstance(one, Refused) or set(one) <= COLUMNS


HEADER = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"'), min_size=1, max_size=9)


@given(st.lists(HEADER, max_size=6))
def test_no_header_is_repeated_unless_it_is_a_plain_word(names):
    header = ",".join(["reference", "time", *(f'"CANARY {name}."' for name in names)])  # else a blank is one
    used = records.read("csv", io.BytesIO(f"{header}\nA,t,{','.join('x' * len(names))}\n".encode()))
    list(used)
    assert "CANARY" not in str(used.left)
