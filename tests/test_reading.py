"""One HTTP answer: what is whole, what is not, and whether its connection goes on."""

import http.client
import io
from collections.abc import Iterable

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker.reading import HEAD_LIMIT, Reading

LIMIT = 1000
SHORT = b"Content-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED = ValueError, httptools.HttpParserError, httptools.HttpParserUpgrade


class Line:
    """A connection over which these pieces come, and then its end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def recv_into(self, piece: bytearray) -> int:
        if not self._pieces:
            return 0
        come, rest = self._pieces[0][: len(piece)], self._pieces[0][len(piece) :]
        self._pieces[:1] = [rest] if rest else []
        piece[: len(come)] = come
        return len(come)


def read(*pieces: bytes) -> Reading:
    reading = Reading(LIMIT)
    reading.read(Line(pieces))
    assert reading.is_whole
    return reading


WHOLE: dict[str, tuple[bytes, int, bytes, bool]] = {
    "measured": (b"HTTP/1.1 201 Created\r\n" + SHORT, 201, b"ok", True),
    "without a reason": (b"HTTP/1.1 200\r\n" + SHORT, 200, b"ok", True),
    "without a body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "in chunks": (CHUNKED + b"1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", 200, b"ok", True),
    "in chunks with a trailer": (CHUNKED + b"2\r\nok\r\n0\r\nRetry-After: 9\r\n\r\n", 200, b"ok", True),
    "that ends with the connection": (b"HTTP/1.1 200 OK\r\n\r\nok", 200, b"ok", False),
    "and then the connection ends": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + SHORT, 200, b"ok", False),
    "of an older version": (b"HTTP/1.0 200 OK\r\n" + SHORT, 200, b"ok", False),
    "of an older version that keeps": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + SHORT, 200, b"ok", True),
    "after one that says to go on": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 OK\r\n" + SHORT, 201, b"ok", True),
    "after hints": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n" + SHORT, 200, b"ok", True),
    "with another behind it": (b"HTTP/1.1 200 OK\r\n" + SHORT + b"HTTP/1.1 500 No\r\n\r\n", 200, b"ok", False),
    "with anything behind it": (b"HTTP/1.1 200 OK\r\n" + SHORT + b"\0", 200, b"ok", False),
    "in lines of an old gateway": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, b"ok", True),
    "that is as long as may be": (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * LIMIT, 200, b"x" * LIMIT, False),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "status", "body", "keeps"), WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("drips", [False, True])
def test_an_answer_is_read(answer: bytes, status: int, body: bytes, *, keeps: bool, drips: bool) -> None:
    pieces = [answer[at : at + 1] for at in range(len(answer))] if drips else [answer]
    reading = read(*pieces)
    assert (reading.status, bytes(reading.body)) == (status, body)
    assert reading.headers.get("Retry-After") is None  # what follows a body is no part of the head
    if not drips:  # what has not come yet is seen before the connection is used again
        assert reading.keeps is keeps


def test_what_ends_with_its_connection_is_not_waited_for_there_again() -> None:
    assert not read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok").keeps


BROKEN = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-x\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
    "chunks cut short": CHUNKED + b"2\r\nok\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + SHORT,
    "a length and chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + SHORT,
    "a word for a length": b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "only hints": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "a long body": b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * (LIMIT + 1),
    "a long body without an end": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1),
    "a long head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * HEAD_LIMIT,
    "a line without an end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2 * HEAD_LIMIT,
    "crumbs": CHUNKED + b"1;%b\r\nx\r\n" % (b"y" * 200) * 900,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_or_not_all_of_one_is_none(answer: bytes) -> None:
    with pytest.raises(REFUSED):
        read(answer)


@given(st.binary(max_size=300), st.lists(st.integers(1, 60)), st.integers(200, 599), st.booleans())
def test_it_reads_what_the_standard_library_reads(body: bytes, cuts: list[int], status: int, chunked: bool) -> None:  # noqa: FBT001
    no_body = status in {204, 304}
    content = b"" if no_body else body
    if chunked and not no_body:
        halves = [part for part in (body[:100], body[100:]) if part]
        coded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in halves) + b"0\r\n\r\n"
        head = b"Transfer-Encoding: chunked\r\n"
    else:
        coded, head = content, b"" if no_body else b"Content-Length: %d\r\n" % len(body)
    answer = b"HTTP/1.1 %d Answer\r\nX-One: 1\r\nRetry-After:  7 \r\n%b\r\n%b" % (status, head, coded)
    pieces, rest = [], answer
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    mine = read(*pieces, rest)
    theirs = http.client.HTTPResponse(Made(answer))  # type: ignore[arg-type]
    theirs.begin()
    assert (mine.status, bytes(mine.body), mine.headers.items()) == (
        theirs.status,
        theirs.read(),
        theirs.headers.items(),
    )


class Made:
    """A socket as ``http.client`` wants it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._answer)


@given(st.binary(max_size=400))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n", CHUNKED):
        try:
            read(start + data)
        except REFUSED:
            continue
