"""A platform's resolver: what it is asked, what its answers mean, and what it can do to us."""

import base64
import json
import logging
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
import trustme
from booking import KEY, PATH, SECRET, WORD, Booking
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker import store
from reminder_worker.circuit import Circuit
from reminder_worker.contacts import Contact, http, resolve
from reminder_worker.contacts.http import ANSWER_LIMIT, Found, Resolver, ResolverSite, understand
from reminder_worker.errors import NotSent, Reason, Refused, Throttled
from reminder_worker.https import Answer
from reminder_worker.optouts import Tags
from reminder_worker.schedule import Schedule
from reminder_worker.signatures import verify
from reminder_worker.testing.peer import Peer, Response

PHONE, TOKEN = "+33612349377", "tok-Zq81.K3~"
GOOD = {"phone": PHONE, "language": "fr-CA"}


@pytest.fixture
def booking() -> Iterator[Booking]:
    with Booking() as running:
        running.people[TOKEN] = GOOD
        yield running


class Desk:
    """One worker's way to a resolver."""

    def __init__(self, schedule: Schedule, url: str, platform: str = "clinic") -> None:
        self.circuit = Circuit(schedule, Tags(bytes(range(32))), platform)
        self.resolver = Resolver(ResolverSite(url, SECRET, private=True), self.circuit)

    def find(self, token: str = TOKEN) -> Found:
        return self.resolver.find(token)

    def refusal(self, token: str = TOKEN) -> Reason:
        with pytest.raises((Refused, NotSent)) as caught:
            self.find(token)
        assert token not in str(caught.value)
        return caught.value.reason

    def wait(self) -> float | None:
        """Say how long the circuit keeps everybody away, in seconds."""
        with pytest.raises(Throttled) as caught:
            self.circuit.admit()
        assert caught.value.reason is Reason.CIRCUIT_OPEN
        return caught.value.retry_after


@pytest.fixture
def desk(schedule: Schedule, clock: Clock, booking: Booking) -> Desk:
    return Desk(schedule, booking.url + PATH)


# What is asked


def test_a_token_is_asked_for_by_a_signed_request_that_holds_nothing_else(desk: Desk, booking: Booking) -> None:
    found = desk.find()
    assert (found.phone, found.language) == (PHONE, "fr-CA")
    (request,) = booking.requests
    assert (request.method, request.path, request.json) == ("POST", PATH, {"contact": TOKEN})
    verify(SECRET, request.headers, request.body, time.time())
    assert request.headers.keys() == {
        "host",
        "accept-encoding",
        "content-type",
        "content-length",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }


def test_the_published_library_takes_the_request(desk: Desk, booking: Booking) -> None:
    standard = pytest.importorskip("standardwebhooks", reason="standardwebhooks is not installed")
    desk.find()
    (request,) = booking.requests
    assert standard.Webhook(WORD).verify(request.body, dict(request.headers)) == {"contact": TOKEN}


def test_no_two_requests_have_the_same_id(desk: Desk, booking: Booking) -> None:
    for _ in range(5):
        desk.find()
    assert len({request.headers["webhook-id"] for request in booking.requests}) == 5


def test_nothing_is_remembered_between_two_requests(desk: Desk, booking: Booking) -> None:
    booking.headers = {}
    desk.find()
    booking.people[TOKEN] = {"phone": "+33612340015"}
    assert desk.find() == Found("+33612340015")
    booking.people.clear()
    assert desk.refusal() is Reason.CONTACT_GONE
    assert len(booking.requests) == 3


def test_a_connection_is_kept_and_a_cookie_is_not(desk: Desk, booking: Booking) -> None:
    booking.respond(Response.of(GOOD, Set_Cookie="session=1"), times=3)
    for _ in range(3):
        desk.find()
    assert booking.connections == 1
    assert not any("cookie" in request.headers for request in booking.requests)


@pytest.mark.parametrize(("url", "path"), [("", "/"), ("/", "/"), ("/a/b", "/a/b"), ("/a/b/", "/a/b/")])
def test_the_url_is_asked_for_as_it_is_written(booking: Booking, url: str, path: str) -> None:
    ResolverSite(booking.url + url, SECRET, private=True).ask(TOKEN)
    assert booking.requests[0].path == path


# What an answer means


ANSWERS = {
    204: Reason.RESOLVER_REFUSED,
    301: Reason.RESOLVER_REFUSED,
    307: Reason.RESOLVER_REFUSED,
    400: Reason.RESOLVER_REFUSED,
    401: Reason.RESOLVER_REFUSED,
    403: Reason.RESOLVER_REFUSED,
    404: Reason.CONTACT_GONE,
    405: Reason.RESOLVER_REFUSED,
    410: Reason.CONTACT_GONE,
    422: Reason.RESOLVER_REFUSED,
    429: Reason.THROTTLED,
    500: Reason.RESOLVER_AWAY,
    502: Reason.RESOLVER_AWAY,
    503: Reason.RESOLVER_AWAY,
    599: Reason.RESOLVER_AWAY,
}


@pytest.mark.parametrize(("status", "reason"), ANSWERS.items(), ids=ANSWERS)
def test_each_status_means_one_thing(desk: Desk, booking: Booking, status: int, reason: Reason) -> None:
    booking.respond(Response.of(GOOD, status))
    assert desk.refusal() is reason


@given(st.integers(200, 599), st.binary(max_size=40))
def test_whatever_is_answered_is_read_or_named_by_a_reason(status: int, body: bytes) -> None:
    headers: Any = {}
    try:
        understand(Answer(status, headers, body))
    except Refused as error:
        assert error.reason is Reason.CONTACT_GONE  # noqa: PT017
    except NotSent as error:
        assert str(error) == error.reason  # noqa: PT017


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30), ("0", 1), ("86400", 900), ("soon", None), (None, None), ("-5", None)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_it_may_say_when_to_come_back_within_reason(
    desk: Desk, booking: Booking, status: int, header: str | None, seconds: float | None
) -> None:
    headers = {} if header is None else {"Retry_After": header}
    booking.respond(Response.of({}, status, **headers))
    with pytest.raises(Throttled) as caught:
        desk.find()
    assert caught.value.retry_after == seconds


def test_a_redirect_is_not_followed(desk: Desk, booking: Booking) -> None:
    with Peer() as other:
        booking.respond(Response.of(GOOD, 307, Location=f"{other.url}/contacts"))
        assert desk.refusal() is Reason.RESOLVER_REFUSED
        assert not other.requests


UNREADABLE = {
    "nothing": b"",
    "a page": b"<html>+33612349377</html>",
    "a list": json.dumps([GOOD]).encode(),
    "a string": json.dumps(PHONE).encode(),
    "no phone": b"{}",
    "no phone by that name": json.dumps({"Phone": PHONE}).encode(),
    "a number as a number": b'{"phone": 33612349377}',
    "no number": b'{"phone": null}',
    "several numbers": json.dumps({"phone": [PHONE]}).encode(),
    "a language that is none": json.dumps({"phone": PHONE, "language": 5}).encode(),
    "two numbers": b'{"phone": "+33612349377", "phone": "+33612340015"}',
    "two numbers, one of them escaped": rb'{"phone": "+33612349377", "ph\u006fne": "+33612340015"}',
    "two objects": json.dumps(GOOD).encode() * 2,
    "half of it": json.dumps(GOOD).encode()[:-1],
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "no UTF-8": b'{"phone": "+33612349377\xff"}',
    "depths": b"[" * 1000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_for_somebody_to_mend(
    desk: Desk, booking: Booking, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    booking.respond(Response(200, body))
    assert desk.refusal() is Reason.RESOLVER_UNREADABLE
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "resolver_refused")
    assert record.__dict__["setting"] == "platforms.clinic.resolver_url"
    assert PHONE not in f"{record.__dict__}"


def test_other_fields_are_passed_over(desk: Desk, booking: Booking) -> None:
    booking.people[TOKEN] = GOOD | {"name": "Zoé", "reason": {"code": [1, 2]}}
    assert desk.find() == Found(PHONE, "fr-CA")


@pytest.mark.parametrize("language", ["", "f", "français", "fr_FR", "zh-Hant-TW", "../en", None])
def test_a_language_that_no_pointer_could_hold_leaves_the_pointers_own(
    desk: Desk, booking: Booking, language: str | None
) -> None:
    booking.people[TOKEN] = {"phone": PHONE, "language": language}
    assert resolve(f"contact:{TOKEN}", "de", ["FR"], desk.resolver) == Contact(PHONE, "de", may_change=True)


def test_a_language_wins_over_the_pointers_own(desk: Desk) -> None:
    assert resolve(f"contact:{TOKEN}", "de", ["FR"], desk.resolver) == Contact(PHONE, "fr-CA", may_change=True)


@pytest.mark.parametrize(
    ("phone", "reason"),
    [
        ("", Reason.NUMBER_INVALID),
        ("0612349377", Reason.NUMBER_INVALID),
        ("+33 6 12 34 93 77", Reason.NUMBER_INVALID),
        ("tel:+33612349377", Reason.NUMBER_INVALID),
        ("+33639980042", Reason.NUMBER_INVALID),
        ("+33899123456", Reason.NUMBER_PREMIUM),
        ("+447911123411", Reason.COUNTRY_NOT_ALLOWED),
    ],
)
def test_a_number_is_held_to_what_a_tel_pointer_is(desk: Desk, booking: Booking, phone: str, reason: Reason) -> None:
    booking.people[TOKEN] = {"phone": phone}
    with pytest.raises(Refused) as caught:
        resolve(f"contact:{TOKEN}", "de", ["FR"], desk.resolver)
    assert caught.value.reason is reason


def test_what_was_found_shows_nothing_of_itself() -> None:
    assert f"{Found(PHONE, 'fr')!r} {Found(PHONE, 'fr')}" == "Found() Found()"


# What it can do to us


LATE = 4.0  # seconds, also on a busy machine: who hangs, or drips a head, takes longer where nobody ends that


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a shorter time than in earnest."""
    monkeypatch.setattr(http, "DEADLINE", 1.0)


@pytest.mark.parametrize("fault", ["hang_before_accepting", "drip", "reset_mid_reply", "cut", "truncate"])
def test_a_fault_on_the_way_is_a_resolver_that_is_away(desk: Desk, booking: Booking, hurried: None, fault: str) -> None:
    booking.answer = lambda *_: Response.of(GOOD)
    getattr(booking, fault)()
    begin = time.monotonic()
    assert desk.refusal() is Reason.RESOLVER_AWAY
    assert time.monotonic() - begin < LATE
    assert desk.find().phone == PHONE


def test_a_head_that_drips_ends_at_the_deadline(desk: Desk, booking: Booking, hurried: None) -> None:
    booking.answer = lambda *_: Response.of(GOOD)
    booking.drip(head=True)
    begin = time.monotonic()
    assert desk.refusal() is Reason.RESOLVER_AWAY
    assert time.monotonic() - begin < LATE


def test_the_deadline_is_three_seconds() -> None:
    assert http.DEADLINE == 3.0


def test_an_answer_may_have_a_kibibyte_and_no_more(desk: Desk, booking: Booking) -> None:
    body = json.dumps(GOOD).encode()
    booking.respond(Response(200, body.ljust(ANSWER_LIMIT)))
    assert (desk.find().phone, ANSWER_LIMIT) == (PHONE, 1024)
    booking.respond(Response(200, body.ljust(ANSWER_LIMIT + 1)))
    assert desk.refusal() is Reason.RESOLVER_AWAY


def test_ten_megabytes_are_not_taken_in(desk: Desk, booking: Booking) -> None:
    booking.respond(Response(200, json.dumps(GOOD).encode().ljust(10_000_000)))
    begin = time.monotonic()
    assert desk.refusal() is Reason.RESOLVER_AWAY
    assert time.monotonic() - begin < LATE


def test_nobody_there_is_a_resolver_that_is_away(schedule: Schedule, clock: Clock) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert Desk(schedule, f"http://127.0.0.1:{reserved.getsockname()[1]}").refusal() is Reason.RESOLVER_AWAY


def test_a_resolver_in_our_own_network_is_not_asked_unless_that_is_meant(
    schedule: Schedule, clock: Clock, booking: Booking, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(schedule, booking.url)
    desk.resolver = Resolver(ResolverSite(booking.url, SECRET), desk.circuit)
    assert desk.refusal() is Reason.ADDRESS_PRIVATE
    assert booking.connections == 0
    assert [record.message for record in caplog.records] == ["resolver_refused"]
    assert [desk.refusal() for _ in range(3)][2] is Reason.CIRCUIT_OPEN


@pytest.mark.parametrize("fault", ["none", "another authority", "another name"])
def test_a_certificate_is_verified(
    schedule: Schedule, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    authority = trustme.CA()
    signer = trustme.CA() if fault == "another authority" else authority
    certificate = signer.issue_cert("other.example" if fault == "another name" else "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with Booking(certificate=tmp_path / "server.pem") as booking:
        booking.people[TOKEN] = GOOD
        desk = Desk(schedule, booking.url + PATH)
        if fault == "none":
            assert desk.find().phone == PHONE
        else:
            assert desk.refusal() is Reason.RESOLVER_AWAY
            assert not booking.requests


# The circuit


OPENS_AFTER = {500: 5, 401: 3, 302: 3, 400: 3}


@pytest.mark.parametrize(("status", "times"), OPENS_AFTER.items(), ids=OPENS_AFTER)
def test_who_fails_again_and_again_is_left_alone_for_a_while(
    desk: Desk, booking: Booking, clock: Clock, caplog: pytest.LogCaptureFixture, status: int, times: int
) -> None:
    booking.status = status
    for _ in range(times + 5):
        desk.refusal()
    assert len(booking.requests) == times
    assert desk.refusal() is Reason.CIRCUIT_OPEN
    assert desk.wait() == 30.0
    opened = [record for record in caplog.records if record.message == "circuit_opened"]
    assert [record.__dict__["setting"] for record in opened] == ["platforms.clinic.resolver_url"]


def test_one_call_finds_out_whether_it_is_back(desk: Desk, booking: Booking, clock: Clock) -> None:
    booking.status = 500
    for _ in range(5):
        desk.refusal()
    clock.forward(seconds=30)
    trial = desk.circuit.admit()
    assert 0 < (desk.wait() or 0) <= 10
    desk.circuit.report(trial, http.Result.FAILED)
    assert desk.wait() == 60.0  # longer each time
    clock.forward(seconds=60)
    booking.status = None
    assert desk.find().phone == PHONE
    assert desk.find().phone == PHONE


def test_a_trial_whose_worker_died_keeps_nobody_away_for_long(desk: Desk, booking: Booking, clock: Clock) -> None:
    booking.status = 500
    for _ in range(5):
        desk.refusal()
    booking.status = None
    clock.forward(seconds=30)
    desk.circuit.admit()
    clock.forward(seconds=10)
    assert desk.find().phone == PHONE


def test_no_resolver_is_left_alone_until_a_time_of_a_clock_that_was_ahead(
    desk: Desk, booking: Booking, clock: Clock
) -> None:
    before = clock.now
    clock.forward(days=1)
    booking.status = 500
    for _ in range(5):
        desk.refusal()
    booking.status = None
    assert desk.wait() == 30.0
    clock.set(before)
    assert desk.find().phone == PHONE


def test_asking_twice_for_the_same_call_gives_the_same_answer(
    desk: Desk, booking: Booking, clock: Clock, schedule: Schedule
) -> None:
    """redis-py says a script again where the connection was lost."""
    booking.status = 500
    for _ in range(5):
        desk.refusal()
    clock.forward(seconds=30)
    trial = desk.circuit.admit()
    assert schedule.run("circuit", 0, trial.name, trial.call) == [0, 1]
    assert schedule.run("circuit", 0, trial.name, b"another") != [0, 1]


@pytest.mark.parametrize("token", ["tok-none", "tok-gone", "tok-odd"])
def test_what_concerns_one_person_opens_no_circuit(desk: Desk, booking: Booking, token: str) -> None:
    booking.gone.add("tok-gone")
    booking.people["tok-odd"] = {"phone": None}
    for _ in range(20):
        desk.refusal(token)
    assert desk.find().phone == PHONE
    assert len(booking.requests) == 21


def test_failures_that_are_not_in_a_row_open_no_circuit(desk: Desk, booking: Booking) -> None:
    for _ in range(3):
        booking.respond(Response(500), times=4)
        for _ in range(4):
            desk.refusal()
        desk.find()
    assert len(booking.requests) == 15


@pytest.mark.parametrize(("header", "pause"), [("20", 20.0), ("600", 60.0), (None, 2.0)])
def test_who_is_asked_too_much_gets_a_pause_from_all(
    desk: Desk, booking: Booking, clock: Clock, header: str | None, pause: float
) -> None:
    booking.respond(Response.of({}, 429, **({"Retry_After": header} if header else {})))
    assert desk.refusal() is Reason.THROTTLED
    assert desk.wait() == pause
    clock.forward(seconds=pause)
    assert desk.find().phone == PHONE


def test_one_platforms_circuit_does_not_touch_anothers(desk: Desk, booking: Booking, schedule: Schedule) -> None:
    booking.status = 500
    for _ in range(5):
        desk.refusal()
    booking.status = None
    assert Desk(schedule, booking.url + PATH, "other").find().phone == PHONE


def test_workers_share_a_circuit(desk: Desk, booking: Booking, schedule: Schedule) -> None:
    booking.status = 500
    for _ in range(5):
        desk.refusal()
    assert Desk(schedule, booking.url + PATH).refusal() is Reason.CIRCUIT_OPEN


def test_a_resolver_that_is_well_costs_one_round_trip_and_leaves_nothing(
    desk: Desk, client: store.Client, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, run = [], Schedule.run

    def count(self: Schedule, name: str, *arguments: Any) -> Any:
        calls.append(name)
        return run(self, name, *arguments)

    monkeypatch.setattr(Schedule, "run", count)
    desk.find()
    assert calls == ["circuit"]
    assert client.keys(b"rw:*") == []


def test_the_store_is_not_told_whose_circuit_it_is_nor_that_two_days_have_the_same(
    desk: Desk, booking: Booking, client: store.Client
) -> None:
    booking.status = 500
    for day in (1, 2):
        with time_machine.travel(f"2027-03-0{day}T12:00:00Z", tick=True):
            desk.refusal()
    first, second = sorted(key for key in client.keys(b"rw:*") if b":c:" in key)
    assert first != second
    assert not [key for key in client.keys(b"*") if b"clinic" in key or TOKEN.encode() in key]


def test_a_circuit_that_nobody_needs_any_more_is_forgotten(desk: Desk, booking: Booking, client: store.Client) -> None:
    booking.status = 500
    desk.refusal()
    (key,) = (key for key in client.keys(b"rw:*") if b":c:" in key)
    assert 0 < client.pttl(key) <= timedelta(hours=1).total_seconds() * 1000


# What is left behind


def test_neither_token_nor_number_is_logged_or_stored(
    desk: Desk, booking: Booking, client: store.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk.find()
    for response in [Response.of(GOOD, 500), Response.of(GOOD, 401), Response(200, PHONE.encode())]:
        booking.respond(response)
        desk.refusal()
    secrets = (TOKEN, PHONE, PHONE[3:], base64.b64encode(KEY).decode())
    assert not [word for word in secrets if word in f"{[record.__dict__ for record in caplog.records]}"]
    stored = b"".join(key + (client.dump(key) or b"") for key in client.keys(b"*"))
    assert stored
    assert not [word for word in secrets if word.encode() in stored]
