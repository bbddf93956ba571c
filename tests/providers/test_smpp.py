import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlsplit

import fake_smsc
import pytest
import trustme
from aiosmpplib.codec import GSM7BitCodec
from fake_smsc import PASSWORD, Node, Smsc, Submitted
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker import keys, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import (
    Ambiguous,
    Misconfigured,
    NotSent,
    Reason,
    Refused,
    SettingsError,
    Throttled,
)
from reminder_worker.inbox import Inbox
from reminder_worker.job import State
from reminder_worker.logs import Formatter
from reminder_worker.providers import Line, Receipt, Reply, Role, Sent, load
from reminder_worker.providers.smpp import CODES, STATES, Smpp
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.segments import EXTENSION, GSM, Encoding, measure
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.outcomes import Office
from reminder_worker.testing.peer import Response
from reminder_worker.testing.promises import BODY, NUMBER, failure, leaks, send, text
from reminder_worker.webhooks import WebhookRequest
from reminder_worker.wire.link import Link
from reminder_worker.wire.shortmessages import encode, read_delivery

SPAN = 0.8  # seconds that a call gets
LATE = 2.5  # seconds by which it may be late on a busy machine
LONG = "Rappel : rendez-vous demain à 14 h 30, 27 rue des Archives [entrée B] " * 5 + "€"
WIDE = "Нагадування: завтра, 14:30, вул. Архівна 27 👍 " * 5
TEMPORARY, PERMANENT, SYSTEM = 0x64, 0x65, 0x08


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    running = fake_smsc.start()
    yield running
    running.close()


@pytest.fixture
def smsc(node: Node) -> Iterator[Smsc]:
    with node.smsc() as one:
        yield one


def settings(url: str, folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "password").write_text(PASSWORD)
    return {
        "type": "smpp",
        "host": "127.0.0.1",
        "port": urlsplit(url).port,
        "tls": False,
        "system_id": "clinic",
        "password_file": str(folder / "password"),
        "from": "+33700000001",
        **changes,
    }


Build = Callable[..., Smpp]


@pytest.fixture
def build(smsc: Smsc, tmp_path: Path) -> Iterator[Build]:
    with contextlib.ExitStack() as opened:

        def make(url: str = smsc.url, **changes: Any) -> Smpp:
            provider = load("carrier", settings(url, tmp_path, **changes))
            assert isinstance(provider, Smpp)
            opened.callback(provider.close)
            return provider

        yield make


@pytest.fixture
def smpp(build: Build) -> Smpp:
    return build()


class TestSmpp(ProviderContract):
    """The promises that are not about HTTP, kept over a real SMPP connection."""

    plug_in = "smpp"
    speaks_http = False
    hears_replies = False  # not by webhooks: see below
    refusals: ClassVar = {f"{code:#04x}": (Response(code), reason) for code, reason in CODES.items()}
    unknown_refusal = Response(0x0467)  # of a vendor's own range

    @pytest.fixture
    def peer(self, node: Node) -> Iterator[Smsc]:  # type: ignore[override]
        with node.smsc() as one:
            yield one

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        return settings(url if urlsplit(url).port else "smpp://127.0.0.1:1", folder)

    def message_id(self, number: int) -> str:
        return f"id-{number}"

    def validity(self, request: Submitted) -> timedelta | None:  # type: ignore[override]
        return relative(request.validity_period)


def relative(period: str) -> timedelta:
    """Read the relative form of SMPP (7.1.1): YYMMDDhhmmsstnnR."""
    assert len(period) == 16
    assert period.endswith("000R")
    years, months, days, hours, minutes, seconds = (int(period[place : place + 2]) for place in range(0, 12, 2))
    assert (years, months) == (0, 0), "how long is a month?"
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


# What is sent


def test_a_text_is_a_submit_sm_that_says_all_it_has_to(smsc: Smsc, smpp: Smpp) -> None:
    assert send(smpp) == Sent("id-1", 1)
    (request,) = smsc.requests
    expected = {
        "message": BODY,
        "udh": [],
        "service_type": "",
        "source_addr": "33700000001",
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "destination_addr": NUMBER[1:],
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "esm_class": 0,
        "protocol_id": 0,
        "priority_flag": 0,
        "schedule_delivery_time": "",
        "validity_period": "000000020000000R",
        "registered_delivery": 1,
        "replace_if_present_flag": 0,
        "data_coding": 0,
        "sm_default_msg_id": 0,
    }
    assert request.fields.items() >= expected.items()
    bind = smsc.wait("bind")
    assert (bind["system_id"], bind["password"], bind["interface_version"]) == ("clinic", PASSWORD, 0x34)


def test_settings_reach_the_pdu(smsc: Smsc, build: Build) -> None:
    send(build(service_type="CMT", system_type="ESME", destination_ton=0, destination_npi=0))
    (request,) = smsc.requests
    assert (request.service_type, request.dest_addr_ton, request.dest_addr_npi) == ("CMT", 0, 0)
    assert smsc.wait("bind")["system_type"] == "ESME"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"from": "+447700900123"}, ("447700900123", 1, 1)),
        ({"from": "36180"}, ("36180", 0, 0)),
        ({"from": "Praxis-5"}, ("Praxis-5", 5, 0)),
        ({"from": "36180", "source_ton": 3, "source_npi": 9}, ("36180", 3, 9)),
        ({"from": "Praxis", "source_ton": 0}, ("Praxis", 0, 0)),
    ],
)
def test_a_sender_is_told_as_what_it_is(
    smsc: Smsc, build: Build, changes: dict[str, Any], expected: tuple[str, int, int]
) -> None:
    provider = build(**changes)
    assert provider.sender == changes["from"]
    send(provider)
    (request,) = smsc.requests
    assert (request.source_addr, request.source_addr_ton, request.source_addr_npi) == expected


@pytest.mark.parametrize(
    ("valid_for", "expected"),
    [
        (timedelta(seconds=-5), timedelta(seconds=1)),
        (timedelta(milliseconds=300), timedelta(seconds=1)),
        (timedelta(seconds=59.9), timedelta(seconds=59)),
        (timedelta(days=6, hours=23, minutes=1), timedelta(days=6, hours=23, minutes=1)),
        (timedelta(days=40), timedelta(days=7)),
    ],
)
def test_a_text_always_expires(smsc: Smsc, smpp: Smpp, valid_for: timedelta, expected: timedelta) -> None:
    send(smpp, text(valid_for=valid_for))
    assert relative(smsc.requests[0].validity_period) == expected


def test_every_character_of_the_gsm_alphabet_arrives(smsc: Smsc, smpp: Smpp) -> None:
    for some in (sorted(GSM - EXTENSION), sorted(EXTENSION)):
        send(smpp, text(body="".join(some)))
        request = smsc.requests[-1]
        assert (request.message, request.data_coding) == ("".join(some), 0)


def test_the_codec_knows_just_the_gsm_alphabet() -> None:
    codec = GSM7BitCodec()

    def knows(character: str) -> bool:
        try:
            return bool(codec.decode(codec.encode(character)[0])[0] == character)
        except UnicodeEncodeError:
            return False

    assert {chr(code) for code in range(0x10000) if knows(chr(code))} == GSM
    assert all(len(codec.encode(character)[0]) == 1 + (character in EXTENSION) for character in GSM)


@pytest.mark.parametrize("body", ["Rappel à 14 h, rue de l'Œuvre", "Завтра, 14:30", "👍"])
def test_anything_else_travels_as_ucs_2(smsc: Smsc, smpp: Smpp, body: str) -> None:
    assert send(smpp, text(body=body)).segments == 1
    assert (smsc.requests[0].message, smsc.requests[0].data_coding) == (body, 8)


def test_an_smsc_whose_alphabet_is_latin_1_gets_latin_1(node: Node, smsc: Smsc, build: Build) -> None:
    provider = build(default_alphabet="latin1")
    smsc.tell("alphabet", value="LATIN1")
    try:
        send(provider, text(body="à 14 h @ Ärzte [B]"))
        send(provider, text(body="5 €"))
        plain, euro = smsc.requests
    finally:
        smsc.tell("alphabet", value="ASCII")
    assert (plain.message, plain.data_coding) == ("à 14 h @ Ärzte [B]", 0)
    assert (euro.message, euro.data_coding) == ("5 €", 8)


# Long texts


@pytest.mark.parametrize("body", [LONG, WIDE, "x" * 161, "€" * 81, "ж" * 71, "[" * 400], ids=lambda body: body[:5])
def test_a_long_text_arrives_whole_in_as_many_segments_as_we_counted(smsc: Smsc, smpp: Smpp, body: str) -> None:
    sent = send(smpp, text(body=body))
    requests = smsc.requests
    assert sent == Sent(f"id-{len(requests)}", len(requests)), "the last segment's name stands for the text"
    assert len(requests) == measure(body).count > 1
    assert "".join(request.message for request in requests) == body
    for request in requests:
        if request.data_coding == 8:
            assert len(request.message.encode("utf-16-be")) <= 134
        else:
            assert len(GSM7BitCodec().encode(request.message)[0]) <= 153
    (headers,) = {(request.udh[0][:6], request.esm_class) for request in requests}
    assert headers[1] == 0x40
    assert headers[0].startswith("0003")
    assert [request.udh[0][6:] for request in requests] == [
        f"{len(requests):02x}{place:02x}" for place in range(1, len(requests) + 1)
    ]
    assert [request.registered_delivery for request in requests] == [0] * (len(requests) - 1) + [1]
    assert len({request.validity_period for request in requests}) == 1


@given(
    st.text(st.sampled_from([*sorted(GSM), "ж", "👍"]), min_size=1, max_size=400), st.sampled_from(["gsm", "latin1"])
)
def test_any_text_is_cut_as_it_was_counted(body: str, alphabet: str) -> None:
    data_coding, segments = encode(body, alphabet)
    codec = GSM7BitCodec()
    head = 6 if len(segments) > 1 else 0
    whole = b"".join(segment[head:] for segment in segments)
    if data_coding == 8:
        assert whole.decode("utf-16-be") == body
        assert all(len(segment) <= 140 for segment in segments)
        assert all(segment[head:].decode("utf-16-be") for segment in segments)
    elif alphabet == "gsm":
        assert codec.decode(whole)[0] == body
        assert all(len(segment) - head <= (153 if head else 160) for segment in segments)
        assert not any(segment.endswith(b"\x1b") for segment in segments)
    else:
        assert whole.decode("latin-1") == body
    if alphabet == "gsm" or measure(body).encoding is Encoding.UCS2 or data_coding == 0:
        assert len(segments) == measure(body).count


@pytest.mark.parametrize("code", [0x0B, 0x58, 0x0A, 0x45])
def test_a_long_text_that_is_refused_at_its_first_segment_was_not_sent(smsc: Smsc, smpp: Smpp, code: int) -> None:
    smsc.plan("refuse", status=code)
    assert failure(smpp, text(body=LONG)).reason is CODES[code]
    assert len(smsc.requests) == 1


@pytest.mark.parametrize(
    "plan", [{"what": "hang"}, {"what": "drop"}] + [{"what": "refuse", "status": c} for c in CODES]
)
def test_a_long_text_that_breaks_off_is_in_doubt_and_no_segment_is_sent_again(
    smsc: Smsc, smpp: Smpp, plan: dict[str, Any]
) -> None:
    smsc.plan("accept")
    smsc.plan(**plan)
    assert type(failure(smpp, text(body=LONG), seconds=SPAN)) is Ambiguous
    assert len(smsc.requests) == 2


# What is answered


def test_every_status_of_the_specification_has_one_meaning() -> None:
    assert {code for code, reason in CODES.items() if reason is Reason.NUMBER_REFUSED} == {0x0B}
    assert {code for code, reason in CODES.items() if reason is Reason.THROTTLED} == {0x14, 0x58}
    assert CODES[0x08] is CODES[0xFF] is Reason.AMBIGUOUS
    assert CODES[0x0E] is CODES[0x0A] is Reason.MISCONFIGURED
    assert 0x65 not in CODES


@pytest.mark.parametrize("code", [0x00000463, 0x000004FF, 0x65, 0xFFFFFFFF])
def test_a_status_that_nobody_knows_is_in_doubt_and_the_line_stays_up(smsc: Smsc, smpp: Smpp, code: int) -> None:
    smsc.plan("refuse", status=code)
    assert type(failure(smpp)) is Ambiguous
    assert send(smpp).segments == 1
    assert smsc.count("bind") == 1


def test_a_throttled_text_can_be_sent_at_once_again(smsc: Smsc, smpp: Smpp) -> None:
    for code in (0x58, 0x14):
        smsc.plan("refuse", status=code)
        error = failure(smpp)
        assert isinstance(error, Throttled)
        assert error.retry_after is None  # SMPP does not say when
    assert send(smpp) == Sent("id-1", 1)


def test_a_generic_nack_is_an_answer(smsc: Smsc, smpp: Smpp) -> None:
    smsc.plan("nack", status=0x03)
    assert type(failure(smpp)) is Misconfigured
    smsc.plan("nack", status=0x58)
    assert type(failure(smpp)) is Throttled
    smsc.plan("nack", status=0xFF)
    assert type(failure(smpp)) is Ambiguous


@pytest.mark.parametrize("name", ["", "has a space", "naïve", "x" * 65])
def test_an_acceptance_without_a_name_is_in_doubt(smsc: Smsc, smpp: Smpp, name: str) -> None:
    smsc.plan("accept", id=name)
    assert type(failure(smpp)) is Ambiguous
    assert len(smsc.requests) == 1


# What breaks


@pytest.mark.parametrize("fault", ["hang", "hang-after", "drop", "drop-after", "drop-mid", "garbage"])
def test_what_was_handed_over_and_not_answered_is_in_doubt(smsc: Smsc, smpp: Smpp, fault: str) -> None:
    send(smpp)
    smsc.plan(fault)
    began = time.monotonic()
    assert type(failure(smpp, seconds=SPAN)) is Ambiguous
    assert time.monotonic() - began < SPAN + LATE
    assert len(smsc.requests) == 2, "a text in doubt is not sent again"
    assert send(smpp).segments == 1, "the next text is not disturbed"
    assert smsc.count("bind") == (1 if fault.startswith("hang") else 2)


def test_a_connection_that_ends_is_noticed_before_the_deadline(smsc: Smsc, smpp: Smpp) -> None:
    send(smpp)
    smsc.plan("drop-after")
    began = time.monotonic()
    assert type(failure(smpp, seconds=8)) is Ambiguous
    assert time.monotonic() - began < 5


def test_an_answer_that_comes_late_is_nobodys(smsc: Smsc, smpp: Smpp) -> None:
    assert send(smpp) == Sent("id-1", 1)  # the line is up
    smsc.plan("late", ms=1500)
    assert type(failure(smpp, seconds=0.8)) is Ambiguous
    smsc.plan("late", ms=1500)
    assert send(smpp) == Sent("id-3", 1)  # while the second answer came
    assert send(smpp) == Sent("id-4", 1)


def test_the_timeout_of_the_settings_ends_a_call_before_the_deadline(smsc: Smsc, build: Build) -> None:
    provider = build(timeout=0.8)
    smsc.plan("hang")
    began = time.monotonic()
    assert type(failure(provider, seconds=60)) is Ambiguous
    assert time.monotonic() - began < 0.8 + LATE


def test_a_deadline_that_has_passed_sends_nothing(smsc: Smsc, smpp: Smpp) -> None:
    for _ in range(2):  # before the line is up, and after
        assert type(failure(smpp, seconds=-1)) is NotSent
        send(smpp)
    assert len(smsc.requests) == 2


def test_a_text_that_cannot_be_encoded_is_not_sent(smsc: Smsc, smpp: Smpp) -> None:
    assert type(failure(smpp, text(body="\ud800"))) is NotSent
    assert type(failure(smpp, text(body=""))) is NotSent
    assert type(failure(smpp, text(to="+3361234001500000000000"))) is NotSent
    assert not smsc.requests


def test_no_connection_is_not_sent(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert type(failure(build(f"smpp://127.0.0.1:{reserved.getsockname()[1]}"))) is NotSent

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert type(failure(build(host="smsc.example"))) is NotSent


@pytest.mark.parametrize(("closing", "held", "ready"), [(False, 0, True), (False, 1, False), (True, 0, False)])
def test_nothing_is_handed_to_a_connection_that_would_send_it_later(*, closing: bool, held: int, ready: bool) -> None:
    transport = SimpleNamespace(is_closing=lambda: closing, get_write_buffer_size=lambda: held)
    assert Link(None, SimpleNamespace(transport=transport)).is_ready() is ready  # type: ignore[arg-type]


def test_a_line_that_is_away_is_not_waited_for(build: Build) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        provider = build(f"smpp://127.0.0.1:{reserved.getsockname()[1]}")
        began = time.monotonic()
        for _ in range(5):
            assert type(failure(provider)) is NotSent
        assert time.monotonic() - began < 2


def test_an_smsc_that_hangs_up_again_and_again_is_not_waited_for(smsc: Smsc, smpp: Smpp) -> None:
    smsc.set(bounces=True)
    began = time.monotonic()
    for _ in range(5):
        assert type(failure(smpp)) in {NotSent, Ambiguous}
    assert time.monotonic() - began < 3
    smsc.set(bounces=False)
    send_when_up(smpp)


def test_an_smsc_that_does_not_answer_the_bind_gets_nothing(smsc: Smsc, build: Build) -> None:
    smsc.set(bindHangs=True)
    began = time.monotonic()
    assert type(failure(build(), seconds=SPAN)) is NotSent
    assert time.monotonic() - began < SPAN + LATE
    assert not smsc.requests


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Misconfigured) for status in (0x0D, 0x0E, 0x0F, 0x53)),
        *((status, NotSent) for status in (0x05, 0x08, 0x58, 0x0467)),
    ],
)
def test_a_bind_that_is_refused_sends_nothing(
    smsc: Smsc, smpp: Smpp, status: int, expected: type[NotSent], caplog: pytest.LogCaptureFixture
) -> None:
    smsc.set(bindStatus=status)
    assert type(failure(smpp)) is expected
    assert not smsc.requests
    record = next(record for record in caplog.records if record.msg == "bind_failed")
    assert f'"code": "0x{status:02x}"' in Formatter().format(record)


def test_a_bind_is_tried_again(smsc: Smsc, smpp: Smpp) -> None:
    smsc.set(bindStatus=0x0E)
    assert type(failure(smpp)) is Misconfigured
    smsc.set(bindStatus=0)
    send_when_up(smpp)
    assert len(smsc.accepted) == 1


def test_the_line_comes_back_when_the_smsc_does(smsc: Smsc, smpp: Smpp, caplog: pytest.LogCaptureFixture) -> None:
    send(smpp)
    smsc.close()
    eventually(lambda: "line_down" in caplog.text)
    assert type(failure(smpp)) is NotSent
    smsc.open(port=smsc.port)
    send_when_up(smpp)
    assert len(smsc.requests) == 2
    assert smsc.count("bind") == 2


def send_when_up(provider: Smpp) -> Sent:
    """Send; while there is no connection, try once more."""
    end = time.monotonic() + 60
    while True:
        try:
            return send(provider)
        except (NotSent, Misconfigured):
            assert time.monotonic() < end, "the line did not come back"
            threading.Event().wait(0.05)


def test_an_smsc_that_unbinds_is_answered_and_bound_again(smsc: Smsc, smpp: Smpp) -> None:
    send(smpp)
    smsc.tell("unbind")
    assert smsc.wait("unbound")["status"] == 0
    smsc.wait("bind", 2)
    assert send_when_up(smpp).segments == 1


def test_an_enquire_link_is_answered(smsc: Smsc, smpp: Smpp) -> None:
    send(smpp)
    smsc.tell("enquire")
    assert smsc.wait("enquired")["status"] == 0


def test_an_smsc_that_is_silent_is_asked_whether_it_is_there(smsc: Smsc, build: Build) -> None:
    provider = build(enquire_link=0.1)
    send(provider)
    smsc.wait("enquire_link", 2)
    assert send(provider).segments == 1
    assert smsc.count("bind") == 1


def test_an_smsc_that_does_not_say_that_it_is_there_is_left(
    smsc: Smsc, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reminder_worker.wire.link.PATIENCE", 0.2)
    smsc.set(deaf=True)
    provider = build(enquire_link=0.1)
    send(provider)
    smsc.wait("gone")
    smsc.wait("bind", 2)


def test_an_unknown_request_is_refused_and_the_line_stays_up(smsc: Smsc, smpp: Smpp) -> None:
    send(smpp)
    smsc.tell("raw", hex="00000010000001020000000000000007")  # alert_notification, without a body
    assert smsc.wait("nack")["status"] == 0x03
    assert send(smpp).segments == 1
    assert smsc.count("bind") == 1


def test_closing_unbinds(smsc: Smsc, build: Build) -> None:
    provider = build()
    send(provider)
    before = {thread.name for thread in threading.enumerate()}
    provider.close()
    assert "smpp" in before
    assert "smpp" not in {thread.name for thread in threading.enumerate()}
    smsc.wait("unbind")
    smsc.wait("gone")
    assert type(failure(provider)) is NotSent
    provider.close()
    assert len(smsc.requests) == 1


# Threads and processes


def test_nothing_is_connected_before_it_is_needed(smsc: Smsc, build: Build) -> None:
    provider = build()
    assert not [thread for thread in threading.enumerate() if thread.name == "smpp"]
    provider.close()
    assert smsc.count("bind") == 0


def test_two_threads_send_fifty_texts_each_over_one_line(smsc: Smsc, smpp: Smpp) -> None:
    bodies = [f"{place} {LONG if place % 10 == 0 else BODY}" for place in range(100)]
    with ThreadPoolExecutor(2) as threads:
        sent = list(threads.map(lambda body: send(smpp, text(body=body), seconds=30), bodies))
    requests = smsc.requests
    assert smsc.count("bind") == 1
    assert len({one.provider_message_id for one in sent}) == 100
    assert len(requests) == sum(one.segments for one in sent) == sum(measure(body).count for body in bodies)
    by_name = {request.id: request for request in requests}
    for body, one in zip(bodies, sent, strict=True):
        assert body.endswith(by_name[one.provider_message_id].message[-20:]), "each got its own answer"
    assert len({request.sequence_number for request in requests}) == len(requests)


def test_no_more_texts_than_the_window_wait_for_an_answer(smsc: Smsc, build: Build) -> None:
    provider = build(window=1)
    smsc.plan("late", ms=2500)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(send, provider)
        smsc.wait("submit")
        assert type(failure(provider, seconds=0.2)) is NotSent
        assert first.result().segments == 1
    assert len(smsc.requests) == 1


FORKING = """
import os, sys, json, time
from datetime import timedelta
from reminder_worker.providers import Text, load

def send(provider):
    text = Text(to="+33612340015", body="x", segments=1, reference="r" * 39, valid_for=timedelta(hours=1))
    return provider.send(text, deadline=time.monotonic() + 5).provider_message_id

provider = load("carrier", json.loads(sys.argv[1]))
if sys.argv[2] != "unused":
    send(provider)
child = os.fork()
if child == 0:
    if sys.argv[2] != "only closed":
        send(provider), send(provider)
    provider.close()
    sys.stderr.flush()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
send(provider)
provider.close()
"""


@pytest.mark.parametrize(("how", "texts", "binds"), [("unused", 3, 2), ("used", 4, 2), ("only closed", 2, 1)])
def test_a_provider_built_before_a_fork_sends_in_parent_and_child(
    smsc: Smsc, tmp_path: Path, how: str, texts: int, binds: int
) -> None:
    table = json.dumps(settings(smsc.url, tmp_path))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, table, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "line_not_encrypted\n")
    assert len(smsc.accepted) == texts
    assert smsc.count("bind") == smsc.count("unbind") == binds


# Receipts and replies


class Heard:
    """Who listens."""

    def __init__(self) -> None:
        self.all: list[Receipt | Reply] = []
        self.faults: list[Exception] = []

    def __call__(self, one: Receipt | Reply) -> None:
        if self.faults:
            raise self.faults.pop()
        self.all.append(one)


@pytest.fixture
def heard(smpp: Smpp, smsc: Smsc) -> Heard:
    return listen(smpp, smsc)


def listen(provider: Smpp, smsc: Smsc) -> Heard:
    heard = Heard()
    provider.listen(heard)
    smsc.wait("bind")
    smsc.sync()
    return heard


def receipt(smsc: Smsc, words: str, tag: str = "receipt", **fields: Any) -> int:
    pdu = {"esm_class": 4, "source_addr": NUMBER[1:], "source_addr_ton": 1, "destination_addr": "33700000001", **fields}
    smsc.deliver(tag, pdu=pdu, hex=words.encode("latin-1").hex())
    return smsc.answer(tag)


WORDS = "id:{name} sub:001 dlvrd:001 submit date:2611251330 done date:2611251331 stat:{stat} err:000 text:id:9 stat:X"
STATS = {
    "DELIVRD": (State.DELIVERED, None),
    "EXPIRED": (State.UNDELIVERED, Reason.VALIDITY_OVER),
    "DELETED": (State.UNDELIVERED, Reason.CARRIER_FAILED),
    "UNDELIV": (State.UNDELIVERED, Reason.CARRIER_FAILED),
    "REJECTD": (State.UNDELIVERED, Reason.CARRIER_FAILED),
    "REJECTED": (State.UNDELIVERED, Reason.CARRIER_FAILED),
    "ACCEPTD": (State.SENT, None),
    "ENROUTE": (State.SENT, None),
    "UNKNOWN": (None, None),
    "SKIPPED": (None, None),
}


@pytest.mark.parametrize("stat", STATS)
def test_every_receipt_has_its_meaning(smsc: Smsc, heard: Heard, stat: str) -> None:
    assert receipt(smsc, WORDS.format(name="0123-ab", stat=stat)) == 0
    state, reason = STATS[stat]
    assert heard.all == [Receipt("", state, "0123-ab", reason)]
    assert {word[:5] for word in STATS} >= STATES.keys()


@pytest.mark.parametrize(
    ("number", "stat"),
    [
        *enumerate(("ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"), 1),
        (0, "SKIPPED"),
        (9, "SKIPPED"),
        (255, "SKIPPED"),
    ],
)
def test_a_receipt_may_consist_of_optional_parameters(smsc: Smsc, heard: Heard, number: int, stat: str) -> None:
    assert receipt(smsc, "", receipted_message_id="id-7", message_state=number) == 0
    assert heard.all == [Receipt("", STATS[stat][0], "id-7", STATS[stat][1])]


@pytest.mark.parametrize(
    ("words", "fields", "expected"),
    [
        ("id:7 stat:UNDELIV", {}, (State.UNDELIVERED, "7")),
        ("ID:7 STAT:delivrd", {}, (State.DELIVERED, "7")),
        ("stat:DELIVRD id:7", {}, (State.DELIVERED, "7")),
        ("id:7 sub:001 submitdate:261125133000 donedate:261125133100 stat:DELIVRD", {}, (State.DELIVERED, "7")),
        ("id:7", {}, (None, "7")),
        ("id:7 text:stat:DELIVRD", {}, (None, "7")),
        ("id:7 stat:UNDELIV", {"message_state": 2}, (State.DELIVERED, "7")),
        ("id:7 stat:DELIVRD", {"receipted_message_id": "0x7"}, (State.DELIVERED, "0x7")),
        ("id:7 stat:ENROUTE", {"esm_class": 0x20}, (State.SENT, "7")),  # intermediate
    ],
)
def test_receipts_come_in_many_forms(
    smsc: Smsc, heard: Heard, words: str, fields: dict[str, Any], expected: tuple[State | None, str]
) -> None:
    assert receipt(smsc, words, **fields) == 0
    (one,) = heard.all
    assert isinstance(one, Receipt)
    assert (one.state, one.provider_message_id) == expected


def test_a_receipt_in_the_payload_is_read(smsc: Smsc, heard: Heard) -> None:
    smsc.deliver("payload", pdu={"esm_class": 4, "source_addr": "1"}, payload=b"id:7 stat:DELIVRD".hex())
    assert smsc.answer("payload") == 0
    assert heard.all == [Receipt("", State.DELIVERED, "7")]


@pytest.mark.parametrize(
    ("form", "answered", "words", "fields"),
    [
        ("as-is", "0A1B", "0A1B", {}),
        ("hex", "0000A1B2", "41394", {}),
        ("hex", "a1b2", "0000041394", {}),
        ("hex", "a1b2", "99", {"receipted_message_id": "A1B2"}),
        ("decimal", "41394", "A1B2", {}),
        ("decimal", "0041394", "0000a1b2", {}),
        ("hex", "not-a-number", "not-a-number", {}),
    ],
)
def test_a_receipt_names_the_text_as_its_acceptance_did(
    smsc: Smsc, build: Build, form: str, answered: str, words: str, fields: dict[str, Any]
) -> None:
    provider = build(message_id=form)
    heard = listen(provider, smsc)
    smsc.plan("accept", id=answered)
    sent = send(provider)
    receipt(smsc, f"id:{words} stat:DELIVRD", **fields)
    assert heard.all == [Receipt("", State.DELIVERED, sent.provider_message_id)]


def test_a_receipt_may_come_before_the_acceptance(smsc: Smsc, smpp: Smpp, heard: Heard) -> None:
    smsc.plan("receipt-first", pdu={"esm_class": 4, "message_state": 2, "short_message": ""})
    sent = send(smpp)
    eventually(lambda: heard.all == [Receipt("", State.DELIVERED, sent.provider_message_id)])


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def test_a_receipt_over_the_line_comes_into_the_ledger_or_stays_with_the_smsc(
    smsc: Smsc, smpp: Smpp, tmp_path: Path
) -> None:
    keys.new_worker(tmp_path / "keys", datetime.now(UTC))
    with EmbeddedServer(tmp_path / "store") as server:
        client = store.connect(server.url())
        schedule = Schedule(client)
        inbox = Inbox(schedule, lambda: PublicKeys.load(tmp_path / "keys" / "worker.pub.json"))
        office = Office(schedule, smpp, port=0)
        smpp.listen(partial(inbox.take, smpp))
        for number, plan in enumerate(("accept", "receipt-first")):
            claim, reference = office.attempt(number)
            smsc.plan(plan, pdu={"esm_class": 4, "message_state": 2, "short_message": ""})
            name = send(smpp, text(reference=reference)).provider_message_id
            office.accepted(claim, reference, name)
            if plan == "accept":
                assert receipt(smsc, f"id:{name} stat:DELIVRD") == 0
            eventually(lambda claim=claim: office.state(claim) is State.DELIVERED)
        client.close()
    assert receipt(smsc, f"id:{name} stat:DELIVRD", "away") == TEMPORARY


REPLIES = [
    ("gsm", {"data_coding": 0}, GSM7BitCodec().encode("STOP às 5 €")[0], "STOP às 5 €"),
    ("gsm", {"data_coding": 0xF1}, b"STOP", "STOP"),
    ("gsm", {"data_coding": 1}, b"STOP", "STOP"),
    ("gsm", {"data_coding": 3}, "Arrêtez".encode("latin-1"), "Arrêtez"),
    ("latin1", {"data_coding": 0}, "Arrêtez".encode("latin-1"), "Arrêtez"),
    ("gsm", {"data_coding": 6}, "так".encode("iso8859-5"), "так"),
    ("gsm", {"data_coding": 8}, "نعم 👍".encode("utf-16-be"), "نعم 👍"),
    ("gsm", {"data_coding": 8}, b"\x00S\x00T\x00O\x00P\xd8", "STOP\ufffd"),
    ("gsm", {"data_coding": 0}, b"STOP\x1b", "STOP\xa0"),
    ("gsm", {"data_coding": 0, "esm_class": 0x40}, bytes.fromhex("0500030a0201") + b"STOP", "STOP"),
    (
        "gsm",
        {"data_coding": 8, "esm_class": 0x40},
        bytes.fromhex("060804000a0201") + "STOP".encode("utf-16-be"),
        "STOP",
    ),
    ("gsm", {"data_coding": 0, "esm_class": 0x40}, bytes.fromhex("0500030a0202") + b"start again", ""),  # "do not …"
    ("gsm", {"data_coding": 8, "esm_class": 0x40}, bytes.fromhex("060804000a0202") + b"\0S", ""),
    ("gsm", {"data_coding": 0, "esm_class": 0x40}, bytes.fromhex("0605040b8423f0") + b"STOP", "STOP"),
    ("gsm", {"data_coding": 0, "sar_segment_seqnum": 1}, b"STOP", "STOP"),
    ("gsm", {"data_coding": 0, "sar_segment_seqnum": 2}, b"start again", ""),
    ("gsm", {"data_coding": 0}, b"id:7 stat:DELIVRD", "id:7 stat:DELIVRD"),  # a person's words are no receipt
    ("gsm", {"data_coding": 0}, b"", ""),
]


@pytest.mark.parametrize(("alphabet", "fields", "raw", "expected"), REPLIES)
def test_a_reply_is_read_in_its_alphabet(
    smsc: Smsc, build: Build, alphabet: str, fields: dict[str, Any], raw: bytes, expected: str
) -> None:
    heard = listen(build(default_alphabet=alphabet), smsc)
    smsc.deliver("reply", pdu={"source_addr": NUMBER[1:], "source_addr_ton": 1, **fields}, hex=raw.hex())
    assert smsc.answer("reply") == 0
    assert heard.all == [Reply(NUMBER, expected)]


@pytest.mark.parametrize(
    ("sender", "kind", "expected"),
    [
        (NUMBER[1:], 1, NUMBER),
        (NUMBER, 1, NUMBER),
        (NUMBER[1:], 0, NUMBER),
        (f"00{NUMBER[1:]}", 0, NUMBER),
        ("0612340015", 2, None),  # whose country?
        ("612340015", 2, None),
        ("36180", 3, None),
        ("Praxis", 5, None),
        ("", 0, None),
    ],
)
def test_a_reply_has_a_whole_number_as_its_sender_or_is_nobodys(
    smsc: Smsc, heard: Heard, caplog: pytest.LogCaptureFixture, sender: str, kind: int, expected: str | None
) -> None:
    smsc.deliver("reply", pdu={"source_addr": sender, "source_addr_ton": kind}, hex=b"STOP".hex())
    assert smsc.answer("reply") == 0
    assert heard.all == ([Reply(expected, "STOP")] if expected else [])
    assert ("reply_unreadable" in caplog.text) == (expected is None)


@pytest.mark.parametrize("asked", [{}, {"try_again": "ESME_RSYSERR"}])
def test_what_was_not_heard_is_to_be_delivered_again(
    smsc: Smsc, build: Build, asked: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    heard = listen(build(**asked), smsc)
    heard.faults += [RuntimeError(NUMBER), LookupError()]
    for tag in ("first", "second"):
        assert receipt(smsc, "id:7 stat:DELIVRD", tag) == (SYSTEM if asked else TEMPORARY)
    assert receipt(smsc, "id:7 stat:DELIVRD", "third") == 0
    assert heard.all == [Receipt("", State.DELIVERED, "7")]
    assert "not_heard" in caplog.text
    assert not leaks(caplog.text)


def test_what_nobody_listens_to_stays_with_the_smsc(smsc: Smsc, smpp: Smpp) -> None:
    send(smpp)
    assert receipt(smsc, "id:id-1 stat:DELIVRD") == TEMPORARY


def test_a_delivery_is_answered_after_it_was_heard_and_keeps_nobody_waiting(smsc: Smsc, smpp: Smpp) -> None:
    go_on, seen = threading.Event(), threading.Event()

    def hear(_: Receipt | Reply) -> None:
        seen.set()
        assert go_on.wait(60)

    smpp.listen(hear)
    smsc.wait("bind")
    smsc.deliver("slow", pdu={"esm_class": 4, "message_state": 2, "receipted_message_id": "7"}, hex="")
    assert seen.wait(60)
    assert send(smpp) == Sent("id-1", 1)
    smsc.tell("enquire")
    smsc.wait("enquired")
    assert smsc.count("delivered") == 0, "not before hear has returned"
    go_on.set()
    assert smsc.answer("slow") == 0


def test_a_receipt_that_names_nothing_is_let_go(smsc: Smsc, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    for place, words in enumerate(["", "stat:DELIVRD", "id: stat:", "\xff\xfe", "id:" + "x" * 65]):
        assert receipt(smsc, words, f"odd-{place}") == 0
    assert not [one for one in heard.all if isinstance(one, Receipt) and one.provider_message_id != "stat:"]
    assert "receipt_unreadable" in caplog.text


def test_a_delivery_that_cannot_be_read_does_not_end_the_line(smsc: Smsc, smpp: Smpp, heard: Heard) -> None:
    smsc.tell("raw", hex="00000012000000050000000000000063" + "ffff")
    answered = smsc.wait("answered")
    assert (answered["number"], answered["status"]) == (0x63, PERMANENT)
    send(smpp)
    assert receipt(smsc, "id:7 stat:DELIVRD") == 0
    assert smsc.count("bind") == 1


@given(st.binary(max_size=80))
def test_any_delivery_is_read_or_refused(body: bytes) -> None:
    try:
        delivery = read_delivery(body)
    except (ValueError, IndexError):
        return
    assert isinstance(delivery.text("gsm"), str)
    assert isinstance(delivery.report("latin1").state, str)


def test_webhooks_are_not_how_this_provider_reports(smpp: Smpp) -> None:
    request = WebhookRequest("POST", "https://hooks.example/v1/receipts/carrier/x", {}, b"id:7 stat:DELIVRD", "x")
    for parse in (smpp.parse_receipt, smpp.parse_reply):
        with pytest.raises(Refused):
            parse(request)
    assert isinstance(smpp, Line)


# What is not left behind


def test_nothing_is_logged_of_what_is_delivered(
    smsc: Smsc, smpp: Smpp, heard: Heard, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    send(smpp, text(body=LONG))
    receipt(smsc, f"id:7 stat:UNDELIV text:{BODY[:20]}")
    smsc.deliver("reply", pdu={"source_addr": NUMBER[1:], "source_addr_ton": 2}, hex=BODY.encode("latin-1").hex())
    smsc.answer("reply")
    smsc.plan("drop")
    failure(smpp)
    smpp.close()
    out, err = capfd.readouterr()
    shown = " ".join([out, err, caplog.text, *(str(vars(record)) for record in caplog.records)])
    assert not leaks(shown)
    assert PASSWORD not in shown
    assert "7" in [one.provider_message_id for one in heard.all if isinstance(one, Receipt)]


def test_a_text_in_doubt_is_forgotten_when_its_time_is_over(smsc: Smsc, smpp: Smpp) -> None:
    send(smpp)  # the line is up
    smsc.plan("hang")
    failure(smpp, seconds=0.5)
    send(smpp)
    assert smpp._bind is not None
    session = smpp._bind.start()
    assert session is not None
    link = session._opening.result()
    assert isinstance(link, Link)
    assert not link._waiting


# Settings


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"host": "smpp://user@host"}, "host"),
        ({"port": 0}, "port"),
        ({"system_id": "x" * 16}, "system_id"),
        ({"from": "x" * 12}, "from"),
        ({"from": "+33 7 00"}, "from"),
        ({"service_type": "x" * 6}, "service_type"),
        ({"source_ton": 9}, "source_ton"),
        ({"default_alphabet": "utf-8"}, "default_alphabet"),
        ({"message_id": "octal"}, "message_id"),
        ({"window": 0}, "window"),
        ({"enquire_link": 0}, "enquire_link"),
        ({"password": PASSWORD}, "password"),
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(SettingsError, match=rf"providers\.carrier\.{fault}: ") as caught:
        load("carrier", settings("smpp://127.0.0.1:1", tmp_path, **changes))
    assert PASSWORD not in str(caught.value)


def test_a_password_that_the_protocol_has_no_room_for_is_named(tmp_path: Path) -> None:
    table = settings("smpp://127.0.0.1:1", tmp_path)
    (tmp_path / "password").write_text("x" * 9)
    with pytest.raises(SettingsError, match=r"providers\.carrier\.password_file: .* 8 characters"):
        load("carrier", table)


def test_the_hooks_process_does_not_read_the_password(tmp_path: Path) -> None:
    table = settings("smpp://127.0.0.1:1", tmp_path)
    (tmp_path / "password").unlink()
    provider = load("carrier", table, Role.HEAR)
    assert type(failure(provider)) is Misconfigured


# TLS


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def pem(certificate: trustme.LeafCert) -> dict[str, str]:
    return {
        "key": certificate.private_key_pem.bytes().decode(),
        "cert": "".join(blob.bytes().decode() for blob in certificate.cert_chain_pems),
    }


def test_a_line_is_encrypted_unless_somebody_said_otherwise(node: Node, authority: trustme.CA, tmp_path: Path) -> None:
    with node.smsc(**pem(authority.issue_cert("127.0.0.1"))) as secure:
        table = settings(secure.url, tmp_path)
        del table["tls"]
        provider = load("carrier", table)
        assert isinstance(provider, Smpp)
        heard = listen(provider, secure)
        assert send(provider, text(body=LONG)).segments == measure(LONG).count
        receipt(secure, "id:7 stat:DELIVRD")
        assert heard.all == [Receipt("", State.DELIVERED, "7")]
        secure.plan("drop-after")
        assert type(failure(provider)) is Ambiguous
        send_when_up(provider)
        provider.close()
        secure.wait("unbind")


@pytest.mark.parametrize("fault", ["expired", "self-signed", "another name"])
def test_a_certificate_that_proves_nothing_is_not_sent(
    node: Node, authority: trustme.CA, build: Build, fault: str
) -> None:
    signer = trustme.CA() if fault == "self-signed" else authority
    over = datetime(2020, 1, 1, tzinfo=UTC) if fault == "expired" else None
    name = "smsc.example" if fault == "another name" else "127.0.0.1"
    with node.smsc(**pem(signer.issue_cert(name, not_after=over))) as secure:
        assert type(failure(build(secure.url, tls=True))) is NotSent
        assert not secure.requests
        assert secure.count("bind") == 0, "the password did not leave"


def test_a_line_in_clear_is_warned_of(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    build()
    assert "line_not_encrypted" in caplog.text
    caplog.clear()
    build(tls=True)
    assert not caplog.text
