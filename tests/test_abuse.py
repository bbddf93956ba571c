"""The HTTP API in bad hands: whoever is healthy is answered, memory is bounded, and no trick lets anything through."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from faults.abuse import ABUSES, Abuser, Line, Trial, run
from faults.installation import Caller, Installation, path

from reminder_worker.api import BODY_LIMIT
from reminder_worker.connection import CRUMB, HEAD_LIMIT, MOST_CRUMBS, MOST_WAITING, PATIENCE
from reminder_worker.documents import MOST_VALUES

HOST = b"Host: reminders.example\r\n"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A real process, and two platforms."""
    with Installation(tmp_path_factory.mktemp("abuse"), "clinic", "thief") as one:
        one.start("web")
        yield one


@pytest.fixture
def caller(installation: Installation) -> Iterator[Caller]:
    one = installation.caller("clinic")
    yield one
    one.close()


@pytest.fixture
def abuser(installation: Installation) -> Abuser:
    return Abuser(installation, Trial("by hand"), time.monotonic() + 60)


@pytest.fixture
def auth(installation: Installation) -> bytes:
    return f"Authorization: Bearer {installation.keys['clinic']}\r\nContent-Type: application/json\r\n".encode()


def status(said: bytes) -> int:
    return int(said[9:12])


def problem(said: bytes) -> dict[str, Any]:
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    document = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
    assert document["field"]
    return document


def put(reference: bytes, head: bytes, body: bytes = b"") -> bytes:
    return b"PUT /v1/reminders/" + reference + b" HTTP/1.1\r\n" + HOST + head + body


def with_length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def drip(line: Line, data: Iterable[int]) -> None:
    for byte in data:
        line.send(bytes([byte]))
        time.sleep(0.5)


# What goes on while somebody else calls.


@pytest.mark.parametrize("most", [2, 500])
def test_healthy_clients_are_answered_and_memory_is_bounded_meanwhile(installation: Installation, most: int) -> None:
    names = ABUSES if most < 500 else ["silent connections", "slow bodies", "answers that are not taken"]
    trial = run(installation, names, 3, most)
    assert trial.failed == []
    assert trial.whole, trial
    assert not any(word.startswith("still open") for word in trial.answers)


def test_a_platform_that_fills_its_share_with_slow_bodies_keeps_no_other_one_out(
    installation: Installation, caller: Caller, abuser: Abuser
) -> None:
    lines = [abuser.connect() for _ in range(100)]
    for line in lines:
        line.sendall(b"PUT /v1/reminders/S-1 HTTP/1.1\r\n" + HOST + abuser.key + b"Content-Length: 9\r\n\r\n{")
    told = [status(abuser.hear(line)) for line in lines[64:]]
    assert set(told) == {503}
    thief = installation.caller("thief")
    said = thief.put("S-2", installation.fields())
    assert (said.status, said.document["title"]) == (503, "busy")
    assert caller.put("S-1", installation.fields()).status == 201
    assert {status(abuser.hear(line)) for line in lines[:64]} == {413}
    thief.close()  # it was silent meanwhile, and may have been parted from
    thief = installation.caller("thief")
    sealed = installation.pointer(platform="thief")
    assert thief.put("S-2", installation.fields(pointer=sealed)).status == 201
    thief.close()
    for line in lines:
        line.close()


def test_an_answer_that_is_never_taken_holds_its_connection_for_no_longer_than_five_seconds(abuser: Abuser) -> None:
    with abuser.connect(window=2048) as line:
        line.settimeout(0.2)
        call, began = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n", time.monotonic()
        hung_up = False
        while not hung_up and time.monotonic() - began < 15:
            try:
                line.sendall(call * 10)
            except TimeoutError:
                continue
            except ConnectionError:
                hung_up = True
        assert hung_up


def test_who_takes_none_of_his_answers_is_parted_from_though_he_asks_nothing_more(abuser: Abuser) -> None:
    with abuser.connect(window=2048) as line:
        for _ in range(3):  # the kernel takes some megabytes for him
            line.sendall((b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * (MOST_WAITING // 2))
            time.sleep(0.5)
        time.sleep(PATIENCE + 1.5)
        line.send(b"\r\n")  # what the kernel still holds for him keeps an end from being seen before
        time.sleep(0.5)
        with pytest.raises(ConnectionError):
            line.send(b"\r\n")


def test_a_second_head_is_waited_for_no_longer_than_a_first_one(abuser: Abuser) -> None:
    with abuser.connect() as line:
        line.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert status(abuser.hear(line)) == 200
        began, head = time.monotonic(), b"GET /livez HTTP/1.1\r\nX-Long: in pieces"
        with pytest.raises(ConnectionError):
            drip(line, head)
        assert time.monotonic() - began > PATIENCE - 0.5


# What is no HTTP, or not the HTTP that everybody on the way would understand in the same way.


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Host: other.example\r\n\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 1e3\r\n\r\n",
        b"X-Long: " + b"a" * HEAD_LIMIT * 2,
        b"X-Line: a\r\n folded \x00\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(abuser: Abuser, auth: bytes, head: bytes) -> None:
    with abuser.connect() as line:
        line.sendall(put(b"T-1", auth + head))
        said = b""
        while part := line.recv(65536):
            said += part
    assert status(said) in {400, 501}
    assert said.count(b"HTTP/1.1 ") == 1
    assert problem(said)["title"] == "malformed"


@pytest.mark.parametrize(
    "head", [b"GET /livez HTTP/1.1\r\n\r\n", b"POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
)
def test_a_head_says_which_host_and_an_old_one_has_no_chunks(abuser: Abuser, head: bytes) -> None:
    assert problem(abuser.ask(head))["title"] == "malformed"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nf4240\r\n"]
)
def test_a_body_is_refused_as_soon_as_it_is_too_large(abuser: Abuser, auth: bytes, framing: bytes) -> None:
    began = time.monotonic()
    assert status(abuser.ask(put(b"L-1", auth + framing), b" " * (BODY_LIMIT + 1))) == 413
    assert time.monotonic() - began < PATIENCE  # who is too slow is told the same


def test_a_body_in_crumbs_is_refused_before_it_has_come_to_its_end(abuser: Abuser, auth: bytes) -> None:
    crumbs = b"1\r\n \r\n" * (MOST_CRUMBS + 1)
    assert status(abuser.ask(put(b"C-1", auth + b"Transfer-Encoding: chunked\r\n\r\n"), crumbs)) == 400
    assert status(abuser.ask(put(b"C-1", b"Transfer-Encoding: chunked\r\n\r\n", crumbs))) == 400  # before who it is
    pieces = (b"%x\r\n" % CRUMB + b" " * CRUMB + b"\r\n") * 200 + b"2\r\n{}\r\n0\r\n\r\n"
    said = abuser.ask(put(b"C-1", auth + b"Transfer-Encoding: chunked\r\n\r\n"), pieces)
    assert problem(said)["title"] == "missing_field"


def test_a_small_body_may_come_byte_by_byte(installation: Installation, abuser: Abuser, auth: bytes) -> None:
    body = json.dumps(installation.fields()).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    assert status(abuser.ask(put(b"C-2", auth + b"Transfer-Encoding: chunked\r\n\r\n"), chunks)) == 201


def test_a_refused_body_does_not_become_the_next_request(abuser: Abuser) -> None:
    inside = b"DELETE /v1/reminders/A-1 HTTP/1.1\r\n" + HOST + b"\r\n"
    with abuser.connect() as line:
        line.sendall(
            put(b"A-1", with_length(inside)) + b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        )
        said = b""
        while part := line.recv(65536):
            said += part
    assert [status(b"HTTP/1.1 " + part) for part in said.split(b"HTTP/1.1 ")[1:]] == [401, 200]


def test_pipelined_requests_are_answered_in_their_order(abuser: Abuser) -> None:
    with abuser.connect() as line:
        line.sendall(
            (b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET /none HTTP/1.1\r\n" + HOST + b"\r\n") * 20
            + b"GET /livez HTTP/1.1\r\nConnection: close\r\n"
            + HOST
            + b"\r\n"
        )
        said = b""
        while part := line.recv(65536):
            said += part
    assert [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404"] * 20 + [b"200"]


def test_of_many_requests_at_once_no_more_than_a_hundred_are_kept(abuser: Abuser) -> None:
    with abuser.connect() as line:
        line.sendall((b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n") * (MOST_WAITING + 2))
        said = b""
        while part := line.recv(65536):
            said += part
    assert said.count(b"HTTP/1.1 ") <= 1
    with abuser.connect() as line:
        line.sendall((b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n") * (MOST_WAITING + 1))
        while said.count(b"HTTP/1.1 200 ") <= MOST_WAITING:
            said += line.recv(65536)


def test_each_head_of_a_connection_has_the_whole_of_its_length(abuser: Abuser) -> None:
    call, rest = b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 9_000 + b"\r\n", HOST + b"\r\n"
    with abuser.connect() as line:
        for _ in range(3):
            line.sendall(call)
            time.sleep(0.05)
            line.sendall(rest)
            assert status(abuser.hear(line)) == 200


def test_a_body_that_was_refused_and_goes_on_is_answered_once(abuser: Abuser) -> None:
    with abuser.connect() as line:
        line.sendall(put(b"A-1", b"Transfer-Encoding: chunked\r\n\r\n"))
        assert status(abuser.hear(line)) == 401
        line.sendall(b"no chunk\r\n")
        assert line.recv(65536) == b""


def test_what_follows_a_body_is_no_part_of_the_head(abuser: Abuser, auth: bytes) -> None:
    chunks = b"2\r\n{}\r\n0\r\n" + auth + b"\r\n"
    assert status(abuser.ask(put(b"A-1", b"Transfer-Encoding: chunked\r\n\r\n", chunks))) == 401


def test_http_1_0_is_answered_and_hung_up_on(abuser: Abuser) -> None:
    with abuser.connect() as line:
        line.sendall(b"GET /v1/keys HTTP/1.0\r\n\r\n")
        said = b""
        while part := line.recv(65536):
            said += part
    assert status(said) == 200


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://other.example/v1/reminders/A-1 HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT other.example:443 HTTP/1.1",
        b"GET /v1/reminders:batch/../keys HTTP/1.1",
        b"GET //v1/keys HTTP/1.1",
        b"GET /v1/%72eminders/A-1 HTTP/1.1",
        b"GET /v1%2Freminders/A-1 HTTP/1.1",
        b"TRACE /v1/keys HTTP/1.1",
        b"PRI * HTTP/2.0",
    ],
)
def test_other_targets_and_methods_lead_nowhere(abuser: Abuser, auth: bytes, line: bytes) -> None:
    said = abuser.ask(line + b"\r\n" + HOST + auth + b"\r\n")
    assert status(said) in {400, 404, 405}
    assert problem(said)["field"] in {"path", "method", "request"}


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"TLS/1.0"])
def test_nothing_is_upgraded(abuser: Abuser, protocol: bytes) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\nSec-WebSocket-Version: 13\r\n"
    said = abuser.ask(
        b"GET /v1/keys HTTP/1.1\r\n" + HOST + upgrade + b"Sec-WebSocket-Key: " + b"A" * 22 + b"==\r\n\r\n"
    )
    assert status(said) == 200


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_who_asks_for_another_protocol_is_read_whole(
    installation: Installation, abuser: Abuser, auth: bytes, pause: float
) -> None:
    body = json.dumps(installation.fields()).encode()
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
    livez = b"GET /livez HTTP/1.1\r\n" + HOST + upgrade + b"\r\n"
    with abuser.connect() as line:
        line.sendall(put(b"U-%.1f" % pause, auth + upgrade + b"Content-Length: %d\r\n\r\n" % len(body)) + body[:5])
        time.sleep(pause)
        line.sendall(body[5:] + livez + livez)
        said = b""
        while said.count(b"HTTP/1.1 ") < 3:
            said += line.recv(65536)
    assert [status(b"HTTP/1.1 " + part) for part in said.split(b"HTTP/1.1 ")[1:]] == [201, 200, 200]


# What is in a path.


@pytest.mark.parametrize(
    "reference",
    [
        b"",
        b"a%00b",
        b"a%0Ab",
        b"%ff",
        b"%C0%AF",
        b"%ED%A0%80",
        b"%F5%80%80%80",
        b"50%",
        b"%zz",
        b"a?b",
        b"a%",
        b"A" * 201,
    ],
)
def test_references_that_are_none_are_refused_and_not_guessed(
    installation: Installation, abuser: Abuser, auth: bytes, reference: bytes
) -> None:
    body = json.dumps(installation.fields()).encode()
    for method in (b"PUT", b"GET", b"DELETE"):
        head = method + b" /v1/reminders/" + reference + b" HTTP/1.1\r\n" + HOST + auth
        said = abuser.ask(head + with_length(body if method == b"PUT" else b""))
        assert (status(said), problem(said)["title"], problem(said)["field"]) == (422, "reference_invalid", "reference")


def test_references_stay_as_they_are_and_apart(installation: Installation, caller: Caller) -> None:
    references = [
        "a/b",
        "a//b",
        "a/../b",
        "../b",
        "a%2Fb",
        "a b",
        "a+b",
        "ä",
        "a\u0308",
        "%00",
        "%zz",
        "a?b",
        "a#b",
        "/v1/keys",
    ]
    for reference in references:
        assert caller.put(reference, installation.fields()).status == 201, reference
    for reference in references:
        assert caller.ask("GET", path(reference)).document["reference"] == reference


def test_a_path_as_long_as_a_head_may_be_is_refused(abuser: Abuser, auth: bytes) -> None:
    said = abuser.ask(put(b"a" * (HEAD_LIMIT - 500), auth, with_length(b"{}")))
    assert status(said) in {400, 422}
    assert problem(said)


# What is in a body.


def good(installation: Installation) -> str:
    return json.dumps(installation.fields())[1:-1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-32"),
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b"{}{}",
        b"{" * 10_000,
        b"[" * 16_000,
        b'{"a":' * 3000,
    ],
)
def test_a_body_that_is_no_object_of_json_is_refused(abuser: Abuser, auth: bytes, body: bytes) -> None:
    said = abuser.ask(put(b"J-1", auth, with_length(body)))
    assert (status(said), problem(said)["title"], problem(said)["field"]) == (400, "malformed", "body")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ('"location": "12 rue des Roses"', "location"),
        ('"loc\\u0061tion": "12 rue des Roses"', "location"),
        ('"pointer": null', "pointer"),
        ('"leads": ["2h"], "leads": ["24h"]', "leads"),
    ],
)
def test_a_doubled_name_is_refused_and_neither_value_chosen(
    installation: Installation, caller: Caller, more: str, field: str
) -> None:
    said = caller.ask("PUT", path("D-1"), f"{{{good(installation)}, {more}}}".encode())
    assert (said.status, said.document["title"], said.document["field"]) == (400, "malformed", field)
    assert caller.ask("GET", path("D-1")).status == 404


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"location": "\ud800"}, "location"),
        ({"location": "a" + "\u0301\u0323" * 1000}, "location"),
        ({"location": 1e308}, "location"),
        ({"time": 10**400}, "time"),
        ({"time": "9999-12-31T23:59:59-23:59"}, "time"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "time"),
        ({"time": "2030-01-01T00:00:00Z[" + "A/" * 3000 + "A]"}, "time"),
        ({"time": "2030-01-01T00:00:00Z[../../etc/passwd]"}, "time"),
        ({"pointer": "ä" * 204}, "pointer"),
        ({"pointer": ["A" * 204]}, "pointer"),
        ({"leads": ["99999999d"]}, "leads"),
        ({"leads": {"24h": 1}}, "leads"),
        ({"leads": [["24h"]]}, "leads"),
        ({"leads": ["1h"] * 1000}, "leads"),
        ({"\ud800": 1}, "a field"),
        ({"": 1}, "a field"),
        ({"+33612345678": 1}, "a field"),
    ],
)
def test_values_that_cannot_be_are_refused_by_the_field_they_are_in(
    installation: Installation, caller: Caller, changed: dict[str, Any], field: str
) -> None:
    said = caller.put("V-1", installation.fields(**changed))
    assert said.status in {400, 422}
    assert said.document["field"] == field


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "text/plain"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Type", "application/jsonp"),
        ("Content-Type", ""),
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "identity, gzip"),
    ],
)
def test_what_is_not_plain_json_is_refused_unread(
    installation: Installation, caller: Caller, name: str, value: str
) -> None:
    said = caller.ask("PUT", path("M-1"), installation.fields(), {name: value})
    assert (said.status, said.document["field"]) == (415, "Content-Type")


def test_a_batch_of_more_values_than_a_batch_can_need_is_refused_at_once(caller: Caller) -> None:
    body = b'{"reminders":[' + b",".join([b"{}"] * (MOST_VALUES // 2 + 1)) + b"]}"
    began = time.monotonic()
    said = caller.ask("POST", "/v1/reminders:batch", body)
    assert (said.status, said.document["detail"]) == (400, "body: holds too many values")
    assert time.monotonic() - began < 5


def test_what_takes_time_with_the_square_of_its_length_is_not_begun(installation: Installation, caller: Caller) -> None:
    place, names = "a" + "\u0301\u0323" * 120_000, ",".join(f'"{number:x}":1' for number in range(9000))
    began = time.monotonic()
    item = installation.fields(location=place) | {"reference": "Q-1"}
    body = json.dumps({"reminders": [item]}, ensure_ascii=False).encode()
    (answer,) = caller.ask("POST", "/v1/reminders:batch", body).document["results"]
    assert (answer["status"], answer["title"]) == (422, "location_too_long")
    said = caller.ask("POST", "/v1/reminders:batch", f'{{{names},"2327":1}}'.encode())
    assert said.document["detail"] == "a field: is there twice"
    assert time.monotonic() - began < 5  # each took longer than that once


def test_a_head_that_was_malformed_says_no_word_of_it_in_the_log(installation: Installation, abuser: Abuser) -> None:
    abuser.ask(b"PUT /v1/reminders/Zvqxwkjh\x00 HTTP/1.1\r\nX: Zvqxwkjh\r\n\r\n")
    assert b"Zvqxwkjh" not in installation.log("web")


def test_no_abuse_was_a_fault_of_the_program(installation: Installation) -> None:
    events = [json.loads(line) for line in installation.log("web").splitlines()]
    assert [one for one in events if one["level"] in {"error", "critical"}] == []
