"""Whatever is said is as long as anything else of its kind: who sees sizes and no content learns nothing by them."""

import contextlib
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, available_timezones

import pytest
from booking import SECRET, Booking
from desk import Desk, make_keys, opened
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from known import public
from nacl.signing import SigningKey
from practice import ahead

from reminder_worker import broker, sealing
from reminder_worker.client import Client, over_http
from reminder_worker.client.appointment import Appointment
from reminder_worker.contacts.http import LENGTH as QUESTION
from reminder_worker.contacts.http import ResolverSite
from reminder_worker.encoding import POINTER_BYTES
from reminder_worker.endpoint import LENGTH as EVENT
from reminder_worker.endpoint import Letter
from reminder_worker.errors import Reason, Refused
from reminder_worker.eventqueue import Event
from reminder_worker.gateway import GatewayKeys, Mode, Ticket
from reminder_worker.history import record_of
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Entry, Reminder, Wake
from reminder_worker.notes import NOTE_BYTES, Note
from reminder_worker.padding import UNIT, fill
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import ENVELOPE_BYTES, PlatformKeys, seal_pointer

CLINIC = PlatformKeys("clinic", SigningKey(bytes(range(32))), bytes(32))
NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)  # in the week of the known keys
ZONES = sorted(name for name in available_timezones() if name not in {"localtime", "Factory"})
PLACES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=40)
LANGUAGES = st.sampled_from(["fr", "en-GB", "pt-BR", "es-419", "zh-Hant", "yue"])
LEADS = st.lists(st.integers(1, 20), min_size=1, max_size=8, unique=True)
URIS = st.one_of(
    st.from_regex(r"tel:\+[1-9][0-9]{4,14}", fullmatch=True),
    st.from_regex(r"contact:[A-Za-z0-9._~-]{1,36}", fullmatch=True),
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """Anything that a platform may hand in, and that fits."""
    when = (NOW + timedelta(minutes=draw(st.integers(60 * 24, 60 * 24 * 20)))).astimezone(
        ZoneInfo(draw(st.sampled_from(ZONES)))
    )
    pointer = seal_pointer(public(), "clinic", draw(URIS), draw(LANGUAGES))
    return {
        "reference": draw(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40)),
        "time": f"{when.isoformat()}[{when.tzinfo}]",
        "location": draw(PLACES),
        "pointer": sealing.pointer_to_text(pointer),
        "leads": [f"{hours}h" for hours in draw(LEADS)],
    }


def sealed(record: dict[str, Any]) -> Entry:
    """Seal it as a platform does, where it fits and tells nothing."""
    client = Client(None, CLINIC, public(), leads=[])  # type: ignore[arg-type] - nothing is handed in
    try:
        return client.seal(Appointment.parse(record), NOW)
    except Refused as refusal:
        reject_for(refusal.reason)


def reject_for(reason: Reason) -> NoReturn:
    """Try another record; a reason that has nothing to do with its place, or a short day, is a mistake here."""
    if reason not in {Reason.LOCATION_TOO_LONG, Reason.LOCATION_INVALID, Reason.LOCATION_DISCLOSES}:
        pytest.fail(f"refused for {reason}")
    reject()


def on_the_wire(words: Any) -> int:
    """Count the bytes of a command as Redis is sent it."""
    texts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return sum(len(b"$%d\r\n%s\r\n" % (len(text), text)) for text in texts)


@cache
def one_add() -> int:
    entry = Entry(bytes(16), bytes(12), bytes(ENVELOPE_BYTES), (NOW,))
    return on_the_wire(entry.words())


@settings(max_examples=300)
@given(records())
def test_every_envelope_and_every_add_is_of_one_length(record):
    entry = sealed(record)
    assert len(entry.envelope) == ENVELOPE_BYTES
    assert on_the_wire(entry.words()) == one_add()


@given(URIS, LANGUAGES)
def test_every_pointer_is_of_one_length(uri, language):
    pointer = seal_pointer(public(), "clinic", uri, language)
    assert (len(pointer), len(sealing.pointer_to_text(pointer))) == (POINTER_BYTES, 204)


MEANINGS = st.sampled_from(["stop", "start", "help", "confirmed", "cancel_requested"])
PHONES = st.from_regex(r"\+[1-9][0-9]{4,14}", fullmatch=True)


@given(st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True), PHONES, MEANINGS, LANGUAGES)
def test_every_note_is_of_one_length(provider, phone, meaning, language):
    assert len(Note(provider, phone, meaning, language).seal(public(), NOW)) == NOTE_BYTES


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=40), st.sampled_from(Mode)
)
def test_every_ticket_of_an_ordinary_reference_is_of_one_length(reference, mode):
    gateway = GatewayKeys(*(SigningKey(bytes([number] * 32)) for number in range(3)), bytes(32))
    assert len(gateway.ticket(bytes(16), Ticket("clinic", mode, reference))) == 80


@given(st.binary(min_size=16, max_size=16), st.integers(0, 7), st.integers(1, 65535))
def test_every_wake_up_is_of_one_length_and_is_understood(id_, lead, version):
    message = broker.write(Wake(id_, lead, version))
    assert len(message.encode()) == len(broker.write(Wake(bytes(16), 0, 1)).encode())
    assert broker.is_wake(message.copy(options={"redis_message_id": "some-name"}).encode())
    assert broker.read(**message.kwargs) == Wake(id_, lead, version)


def test_a_wake_up_of_an_earlier_version_is_understood():
    """It names itself shorter, or longer; a worker of before passes that over as well."""
    for name in ("2ce6b1c4-6fd1-4a4d-b1a1-0f4d1c5c9a52", "x"):
        message = broker.write(Wake(bytes(16), 1, 7)).copy(message_id=name, options={"redis_message_id": "some-name"})
        assert broker.is_wake(message.encode())


# Over HTTP: requests.


@given(st.binary(max_size=5000), st.integers(1, 500))
def test_a_body_is_filled_up_to_a_step_of_its_items_or_its_bytes(content, items):
    filled = fill(content, UNIT * items)
    assert filled.rstrip(b" ") == content.rstrip(b" ")
    assert len(filled) % UNIT == 0
    assert (len(filled) // UNIT).bit_count() == 1
    assert max(len(content), UNIT * items) <= len(filled) < 2 * max(len(content), UNIT * items, UNIT / 2)


@settings(max_examples=300)
@given(records())
def test_one_appointment_is_handed_in_with_one_length(record):
    """As the browser's and every other client writes it: compact or not, each character as itself."""
    sealed(record)
    fields = {name: record[name] for name in record if name != "reference"}
    for separators in ((",", ":"), (", ", ": ")):
        assert len(fill(json.dumps(fields, ensure_ascii=False, separators=separators).encode())) == UNIT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def desk(schedule: Schedule, folder: Path) -> Iterator[Desk]:
    with opened(schedule, folder, api_rate=100_000) as one:
        yield one


PLAIN = {"location": "12 rue des Lilas"}
VARIED = [
    PLAIN,
    {"location": "Ж" * 40},  # escaped it would be three times as long
    {"location": "x" * 50, "leads": ["24h"]},
    {"location": "1", "leads": [f"{hours}h" for hours in range(2, 10)]},
]


@pytest.mark.parametrize(("items", "size"), [(1, 512), (2, 1024), (3, 2048), (4, 2048), (5, 4096), (8, 4096)])
def test_a_batch_tells_in_which_step_it_is(desk: Desk, monkeypatch: pytest.MonkeyPatch, items: int, size: int) -> None:
    client = over_http.HttpClient(
        f"http://127.0.0.1:{desk.port}", desk.key, platform="clinic", pinned=sealing.to_text(desk.public.pointers[-1])
    )
    bodies: list[bytes] = []
    real = client._site.call

    def listen(*arguments: Any, **named: Any) -> Any:
        bodies.extend([named["body"]] if named.get("body") else [])
        return real(*arguments, **named)

    monkeypatch.setattr(client._site, "call", listen)
    for shift in range(2):
        one = [desk.fields(**VARIED[(shift + number) % 4]) | {"reference": f"A-{number}"} for number in range(items)]
        assert len(client.add([Appointment.parse(fields) for fields in one])) == items
    assert [len(body) for body in bodies] == [size, size]


def test_a_batch_of_the_longest_kind_stays_below_the_limit(desk: Desk) -> None:
    item = desk.fields(location="\u0416" * 20) | {"reference": "\u0416" * 200}
    items = [item | {"reference": f"{number:03d}{item['reference'][3:]}"} for number in range(500)]
    body = fill(json.dumps({"reminders": items}, ensure_ascii=False).encode(), UNIT * len(items))
    assert len(body) == 1024 * 1024 // 2
    answer = desk.ask("POST", "/v1/reminders:batch", body)
    assert answer.status == 200
    assert len(answer.body["results"]) == 500
    assert desk.ask("POST", "/v1/reminders:batch", body.ljust(1024 * 1024)).status == 200
    assert desk.ask("PUT", "/v1/reminders/A-1", fill(json.dumps(desk.fields()).encode(), 16 * 1024)).status == 201


# Over HTTP: answers.


def raw(desk: Desk, method: str, path: str, fields: Any = None, key: str | None = None) -> tuple[int, int]:
    """Ask, and count all the bytes that come back."""
    body = b"" if fields is None else json.dumps(fields).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key or desk.key}", "Connection: close"]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    with contextlib.closing(socket.create_connection(("127.0.0.1", desk.port), 10)) as line:
        line.sendall("\r\n".join(head).encode() + body)
        said = b""
        while chunk := line.recv(65536):
            said += chunk
    json.loads(said.partition(b"\r\n\r\n")[2])
    return int(said.split(b" ", 2)[1]), len(said)


def test_every_answer_to_one_appointment_is_as_long_as_any_other(desk: Desk) -> None:
    one, path = desk.fields(), "/v1/reminders/A-1"
    asked = [
        ("PUT", path, one),
        ("PUT", path, one),
        ("PUT", path, one | {"location": "13 rue des Lilas"}),
        ("PUT", path, one | {"location": "Oncology ward"}),
        ("PUT", path, one | {"pointer": "x"}),
        ("PUT", path, one | {"reason": "x"}),
        ("PUT", path, one | {"time": ahead(days=-1)}),
        ("PUT", path, []),
        ("DELETE", path, None),
        ("DELETE", path, None),
        ("DELETE", "/v1/reminders/A-9", None),
    ]
    answers = [raw(desk, *each) for each in asked]
    answers += [raw(desk, "PUT", path, one, key="rwk_live_00000000_" + "k" * 43)]
    assert [status for status, _ in answers] == [201, 200, 200, 422, 422, 422, 422, 400, 200, 200, 404, 401]
    assert len({length for _, length in answers}) == 1


def test_what_became_of_appointments_is_told_with_one_length(desk: Desk) -> None:
    desk.put("A-1")
    desk.put("A-2", leads=[f"{hours}h" for hours in range(2, 10)])
    desk.put("A-3")
    desk.cancel("A-3")
    paths = [f"/v1/reminders/A-{number}" for number in (1, 2, 3, 9)]
    answers = [raw(desk, "GET", path) for path in paths]
    assert [status for status, _ in answers] == [200, 200, 200, 404]
    assert len({length for _, length in answers}) == 1


@pytest.mark.parametrize("items", [1, 5, 8])
def test_a_batch_s_answer_does_not_tell_what_was_new_and_what_was_refused(desk: Desk, items: int) -> None:
    good = [desk.fields() | {"reference": f"A-{number}"} for number in range(items)]
    bad = [one | {"pointer": "x"} for one in good]
    mixed = [*good[: items // 2], *bad[items // 2 :]]
    answers = [raw(desk, "POST", "/v1/reminders:batch", {"reminders": each}) for each in (good, good, bad, mixed)]
    assert [status for status, _ in answers] == [200] * 4
    assert len({length for _, length in answers}) == 1


# Events and questions.

STATES = st.sampled_from([*State, "confirmed", "cancel_requested"])
REASONS = st.sampled_from([None, *Reason])
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - with a zone


@st.composite
def reminders(draw: st.DrawFn) -> Reminder:
    due, ended, asked = (draw(st.none() | TIMES) for _ in range(3))
    told = draw(st.sampled_from(State)), due, ended, "twilio", draw(st.integers(0, 20))
    template = draw(st.sampled_from([None, "x" * 11]))
    return Reminder(draw(st.integers(0, 7)), *told, draw(REASONS), FailureClass.PERMANENT, None, asked, template)


@given(
    STATES,
    REASONS,
    TIMES,
    st.sampled_from(Mode),
    st.lists(reminders(), max_size=6),
    st.from_regex(r"[A-Z0-9-]{1,40}", fullmatch=True),
)
def test_every_event_is_of_one_length(what, reason, at, mode, known, reference):
    gateway = GatewayKeys(*(SigningKey(bytes([number] * 32)) for number in range(3)), bytes(32))
    ticket = Ticket("clinic", mode, reference)
    record = gateway.sign_record(record_of(ticket, known, at)) if known else None
    body = Letter(Event(bytes(17), b"", what, reason, at, at, at, 0.0), ticket).body(record)
    assert len(body) == EVENT
    assert json.loads(body)["data"]["reference"] == reference


def test_every_question_to_a_resolver_is_of_one_length() -> None:
    with Booking() as booking:
        site = ResolverSite(booking.url + "/contacts/", SECRET, private=True)
        for token in ("x", "tok-1", "~" * 64):
            site.ask(token)
        site.close()
    assert booking.tokens == ["x", "tok-1", "~" * 64]
    assert {len(request.body) for request in booking.requests} == {QUESTION}
