"""What becomes of reminders whose contact their platform resolves when the text goes out."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from booking import Booking
from canaries import found, in_folder, in_records, in_store
from clock import Clock
from scripted import Keys, Practice, Scripted

from reminder_worker import sealing, store
from reminder_worker.audit.writings import phone_writings, writings
from reminder_worker.contacts import http
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Ambiguous, Reason
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import CLAIM_LEASE, Answer
from reminder_worker.reconciling import PATIENCE
from reminder_worker.schedule import Schedule
from reminder_worker.testing.peer import Request, Response

PHONE, OTHER_PHONE, TOKEN = "+33612349377", "+447911123411", "tok-Zq81.K3~"
Open = Callable[..., Practice]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def booking() -> Iterator[Booking]:
    with Booking() as running:
        running.people[TOKEN] = {"phone": PHONE}
        yield running


@pytest.fixture
def provider() -> Scripted:
    return Scripted(finds_by_reference=True)


@pytest.fixture
def open_practice(schedule: Schedule, clock: Clock, keys: Keys, booking: Booking, tmp_path: Path) -> Open:
    """Open a practice whose platform has a resolver."""

    def make(*carriers: Scripted, **platform: Any) -> Practice:
        return Practice(schedule, clock, keys, *carriers, platform=booking.settings(tmp_path) | platform)

    return make


@pytest.fixture
def practice(open_practice: Open, provider: Scripted) -> Practice:
    return open_practice(provider)


def add(practice: Practice, token: str = TOKEN, **changes: Any) -> None:
    pointer = sealing.seal_pointer(practice.keys.public, "clinic", f"contact:{token}", "fr")
    practice.add(phone=None, language=None, pointer=sealing.pointer_to_text(pointer), **changes)


def ending(practice: Practice, lead: int = 0) -> tuple[State, str | None, str | None]:
    shown = practice.show(lead)
    return shown.state, shown.reason, shown.failure_class


def due_in(practice: Practice) -> float:
    """Say in how many seconds a reminder is looked at again."""
    due = practice.show().due
    assert due is not None
    return (due - practice.clock.now).total_seconds()


# Answers


def test_a_text_goes_to_the_number_that_the_platform_has_now(
    practice: Practice, provider: Scripted, booking: Booking
) -> None:
    add(practice)
    booking.people[TOKEN] = {"phone": OTHER_PHONE, "language": "en-GB"}
    practice.work()
    (text,) = provider.texts
    assert (text.to, text.body.partition(":")[0], practice.show().state) == (OTHER_PHONE, "Reminder", State.SENT)
    assert booking.tokens == [TOKEN]


def test_without_an_answered_language_it_is_the_pointers(practice: Practice, provider: Scripted) -> None:
    add(practice)
    practice.work()
    assert provider.texts[0].body.startswith("Rappel")


def test_a_number_in_the_pointer_needs_no_resolver(
    practice: Practice, provider: Scripted, booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, run = [], Schedule.run
    monkeypatch.setattr(Schedule, "run", lambda self, name, *rest: scripts.append(name) or run(self, name, *rest))
    practice.add()
    practice.work()
    assert practice.show().state is State.SENT
    assert "circuit" not in scripts
    assert not booking.requests


@pytest.mark.parametrize("status", [404, 410])
def test_a_contact_that_is_gone_cancels_the_reminder(
    practice: Practice, provider: Scripted, booking: Booking, status: int
) -> None:
    add(practice)
    booking.status = status
    practice.work()
    assert ending(practice) == (State.CANCELLED, Reason.CONTACT_GONE, FailureClass.PERMANENT)
    booking.status = None
    practice.forward(hours=2)
    assert (provider.texts, len(booking.requests)) == ([], 1)


def test_each_reminder_of_an_appointment_is_asked_for(practice: Practice, provider: Scripted, booking: Booking) -> None:
    add(practice, time=practice.clock.now + timedelta(hours=3), leads=["2h", "1h"])
    booking.gone.add(TOKEN)
    practice.forward(hours=1)
    booking.gone.clear()
    practice.forward(hours=1)
    assert [practice.show(lead).state for lead in (0, 1)] == [State.CANCELLED, State.SENT]
    assert booking.tokens == [TOKEN] * 2


@pytest.mark.parametrize(
    ("phone", "reason"),
    [
        ("0612349377", Reason.NUMBER_INVALID),
        ("+33639980042", Reason.NUMBER_INVALID),
        ("+33899123456", Reason.NUMBER_PREMIUM),
        (OTHER_PHONE, Reason.COUNTRY_NOT_ALLOWED),
    ],
)
def test_a_number_that_may_not_be_texted_fails(
    open_practice: Open, provider: Scripted, booking: Booking, phone: str, reason: Reason
) -> None:
    practice = open_practice(provider, countries=["FR"])
    booking.people[TOKEN] = {"phone": phone}
    add(practice)
    practice.work()
    assert ending(practice) == (State.FAILED, reason, FailureClass.PERMANENT)
    assert not provider.texts


def test_who_said_stop_is_not_texted_whatever_the_token(practice: Practice, provider: Scripted) -> None:
    practice.office.optouts.stop(PHONE)
    add(practice)
    practice.work()
    assert ending(practice) == (State.SUPPRESSED, Reason.OPTED_OUT, FailureClass.PERMANENT)
    assert not provider.texts


# A resolver that does not answer as it should


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (500, Reason.RESOLVER_AWAY),
        (429, Reason.THROTTLED),
        (401, Reason.RESOLVER_REFUSED),
        (302, Reason.RESOLVER_REFUSED),
    ],
)
def test_who_does_not_answer_is_asked_again_later(
    practice: Practice, provider: Scripted, booking: Booking, status: int, reason: Reason
) -> None:
    add(practice)
    booking.status = status
    practice.work()
    assert ending(practice)[:2] == (State.SCHEDULED, reason)
    assert 5 <= due_in(practice) <= 10
    practice.forward(seconds=10)
    assert 10 <= due_in(practice) <= 20  # longer each time
    booking.status = None
    practice.forward(seconds=20)
    shown = practice.show()
    assert (shown.state, shown.attempts, len(provider.texts)) == (State.SENT, 1, 1)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("said", "kept"), [("120", 120), ("86400", 900)])
def test_it_is_asked_again_when_it_said_within_reason(
    practice: Practice, booking: Booking, status: int, said: str, kept: float
) -> None:
    add(practice)
    booking.status, booking.headers = status, {"Retry_After": said}
    practice.work()
    assert due_in(practice) == kept


def test_a_reminder_whose_resolver_stays_away_expires(practice: Practice, provider: Scripted, booking: Booking) -> None:
    add(practice)
    booking.status = 500
    while practice.show().state is State.SCHEDULED:  # a step too far, and it would be too late to ask
        practice.forward(seconds=due_in(practice))
    assert ending(practice) == (State.EXPIRED, Reason.RESOLVER_AWAY, FailureClass.TEMPORARY)
    booking.status = None
    practice.forward(hours=1)
    assert not provider.texts


def test_while_the_circuit_is_open_nothing_is_asked_and_nothing_is_a_try(
    practice: Practice, provider: Scripted, booking: Booking
) -> None:
    for number in range(8):
        add(practice, reference=f"A-{number}")
    booking.status = 500
    practice.work()
    assert len(booking.requests) == 5
    shown = [practice.show(reference=f"A-{number}") for number in range(8)]
    assert [one.reason for one in shown].count(Reason.CIRCUIT_OPEN) == 3
    assert {one.state for one in shown} == {State.SCHEDULED}
    held = next(one for one in shown if one.reason == Reason.CIRCUIT_OPEN)
    assert held.due is not None
    assert 30 <= (held.due - practice.clock.now).total_seconds() <= 37
    store = practice.schedule.client
    tries = [store.hget(key, b"tries") for key in store.scan_iter(b"rw:*r:*")]
    assert (tries.count(b"1"), tries.count(None)) == (5, 3)


def test_a_platform_without_a_resolver_is_for_an_operator_to_mend(
    open_practice: Open, provider: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    practice = open_practice(provider, resolver_url=None, resolver_secret_file=None)
    add(practice)
    practice.work()
    assert ending(practice)[:2] == (State.SCHEDULED, Reason.RESOLVER_MISSING)
    assert ("ERROR", "resolver_missing") in [(record.levelname, record.message) for record in caplog.records]
    open_practice(provider).forward(seconds=10)
    assert practice.show().state is State.SENT


def test_a_resolver_in_our_own_network_is_not_asked_unless_the_settings_say_so(
    open_practice: Open, provider: Scripted, booking: Booking
) -> None:
    url = booking.url.replace("http:", "https:")
    practice = open_practice(provider, resolver_url=url, resolver_private=False)
    add(practice)
    practice.work()
    assert ending(practice)[:2] == (State.SCHEDULED, Reason.ADDRESS_PRIVATE)
    assert booking.connections == 0
    meant = open_practice(provider, resolver_url=url)
    meant.forward(seconds=10)
    assert (practice.show().reason, booking.connections) == (Reason.RESOLVER_AWAY, 1)  # it speaks no TLS


# A resolver that is slow: whatever happens meanwhile holds


def meanwhile(booking: Booking, happens: Callable[[], object]) -> None:
    """Let something happen after a resolver was asked and before it answers."""
    answer = booking.look

    def look(request: Request) -> Response | None:
        booking.look = answer
        happens()
        return answer(request)

    booking.look = look


def test_two_workers_send_one_text_where_the_lease_ended_while_one_of_them_waited(
    practice: Practice, open_practice: Open, provider: Scripted, booking: Booking
) -> None:
    other = open_practice(provider)
    add(practice)
    meanwhile(booking, lambda: other.forward(seconds=CLAIM_LEASE.total_seconds() + 1))
    practice.work()
    assert len(booking.requests) == 2
    assert (len(provider.texts), practice.show().attempts, practice.show().state) == (1, 1, State.SENT)


def test_the_lease_outlasts_the_longest_answer() -> None:
    assert timedelta(seconds=2 * http.DEADLINE) < CLAIM_LEASE


def test_a_reminder_that_is_cancelled_while_the_resolver_is_asked_is_not_sent(
    practice: Practice, provider: Scripted, booking: Booking
) -> None:
    add(practice)
    meanwhile(booking, lambda: practice.client.cancel("A-1007"))
    practice.work()
    assert (practice.show().state, provider.texts) == (State.CANCELLED, [])


def test_a_reminder_that_expires_while_the_resolver_is_asked_is_not_sent(
    practice: Practice, provider: Scripted, booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = 0.0
    monkeypatch.setattr("reminder_worker.delivery.boot_time", lambda: late)
    monkeypatch.setattr("reminder_worker.schedule.boot_time", lambda: late)

    def pass_by() -> None:
        nonlocal late
        late = 8000.0

    add(practice)
    meanwhile(booking, pass_by)
    practice.work()
    assert (ending(practice)[:2], provider.texts) == ((State.EXPIRED, Reason.TOO_LATE), [])


def test_who_says_stop_while_the_resolver_is_asked_is_not_texted(
    practice: Practice, open_practice: Open, provider: Scripted, booking: Booking
) -> None:
    other = open_practice(provider)
    add(practice)
    meanwhile(booking, lambda: other.office.optouts.stop(PHONE))
    practice.work()
    assert (practice.show().state, provider.texts) == (State.SUPPRESSED, [])


# An attempt in doubt


def leave_in_doubt(practice: Practice) -> None:
    add(practice, time=practice.clock.now + timedelta(days=3), leads=["72h"])
    practice.work()
    assert practice.show().state is State.SENDING


def test_an_attempt_in_doubt_waits_for_a_resolver_that_is_away(open_practice: Open, booking: Booking) -> None:
    provider = Scripted(Ambiguous(), deduplicates=True, receipt_carries_reference=False)
    practice = open_practice(provider)
    leave_in_doubt(practice)
    booking.status = 500
    practice.forward(minutes=20)
    assert (practice.show().state, len(provider.texts)) == (State.SENDING, 1)
    booking.status = None
    practice.forward(minutes=5)
    first, second = provider.texts
    assert (practice.show().state, first.reference, first.to) == (State.SENT, second.reference, second.to)


def test_a_search_waits_for_a_resolver_that_is_away(open_practice: Open, booking: Booking) -> None:
    provider = Scripted(Ambiguous(), searches=True, receipt_carries_reference=False)
    practice = open_practice(provider)
    leave_in_doubt(practice)
    booking.status = 500
    practice.forward(hours=1)
    assert (practice.show().state, provider.looks) == (State.SENDING, [])
    booking.status = None
    practice.forward(minutes=10)
    assert provider.looks == [PHONE]
    assert practice.show().state is State.UNKNOWN  # it was searched for, late, and not found


def test_an_attempt_does_not_stay_in_doubt_because_its_resolver_never_comes_back(
    open_practice: Open, booking: Booking
) -> None:
    provider = Scripted(Ambiguous(), deduplicates=True, receipt_carries_reference=False)
    practice = open_practice(provider)
    leave_in_doubt(practice)
    booking.status = 500
    practice.forward(seconds=PATIENCE.total_seconds())
    assert (practice.show().state, len(provider.texts)) == (State.UNKNOWN, 1)


def test_where_the_provider_knows_nobody_is_asked_who_it_was(open_practice: Open, booking: Booking) -> None:
    provider = Scripted(Ambiguous(), finds_by_reference=True)
    practice = open_practice(provider)
    leave_in_doubt(practice)
    practice.forward(seconds=20)
    assert (len(provider.looks), len(booking.requests)) == (1, 1)


@pytest.mark.parametrize("change", ["gone", "stop"])
def test_an_attempt_in_doubt_is_not_sent_again_to_who_does_not_want_it_any_more(
    open_practice: Open, booking: Booking, change: str
) -> None:
    provider = Scripted(Ambiguous(), deduplicates=True, receipt_carries_reference=False)
    practice = open_practice(provider)
    leave_in_doubt(practice)
    if change == "gone":
        booking.gone.add(TOKEN)
    else:
        other = open_practice(provider)
        meanwhile(booking, lambda: other.office.optouts.stop(PHONE))
    practice.forward(minutes=20)
    assert (practice.show().state, len(provider.texts)) == (State.UNKNOWN, 1)


def test_one_look_asks_the_resolver_once(open_practice: Open, booking: Booking) -> None:
    provider = Scripted(Ambiguous(), Ambiguous(), deduplicates=True, searches=True)
    practice = open_practice(provider)
    leave_in_doubt(practice)
    practice.forward(seconds=20)
    assert (len(provider.texts), provider.looks, len(booking.requests)) == (2, [PHONE], 2)


# Many of them


def test_a_thousand_reminders_outlive_a_resolver_that_is_down(
    practice: Practice, provider: Scripted, booking: Booking
) -> None:
    entries = []
    for number in range(1000):
        booking.people[f"tok-{number}"] = {"phone": f"+3361234{number:04}"}
        pointer = sealing.seal_pointer(practice.keys.public, "clinic", f"contact:tok-{number}", "fr")
        text = sealing.pointer_to_text(pointer)
        entries.append(practice.seal(reference=f"A-{number}", phone=None, language=None, pointer=text))
    assert set(practice.schedule.add(entries)) == {Answer.ADDED}
    booking.status = 500
    practice.work()
    for _ in range(20):
        practice.forward(seconds=30)
    assert len(booking.requests) <= 5 + 20
    booking.status = None
    for _ in range(60):
        practice.forward(seconds=30)
    assert sorted(text.to for text in provider.texts) == [f"+3361234{number:04}" for number in range(1000)]
    assert {practice.schedule.show(entry.id)[0].state for entry in entries} == {State.SENT}


# What is left behind


@pytest.mark.parametrize("status", [None, 404, 401, 500])
def test_neither_token_nor_number_is_left_anywhere(
    practice: Practice,
    booking: Booking,
    server: EmbeddedServer,
    client: store.Client,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    status: int | None,
) -> None:
    client.config_set("slowlog-log-slower-than", 0)
    client.slowlog_reset()
    caplog.set_level(logging.DEBUG)
    try:
        add(practice)
        booking.status = status
        practice.work()
    finally:
        client.config_set("slowlog-log-slower-than", 10_000)
    secrets = {"token": writings(TOKEN), "phone": phone_writings(PHONE)}
    secrets = {name: {form for form in forms if len(form) >= 5} for name, forms in secrets.items()}
    places = [*in_store(server.url()), *in_folder(server.folder), *in_records(caplog.records), *in_folder(tmp_path)]
    assert len(places) > 10
    assert found(places, secrets) == set()


# A slow resolver beside others


def test_a_slow_resolver_does_not_take_all_threads(
    practice: Practice, open_practice: Open, booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While as many calls as may be are under way, the next reminder goes back to the schedule; that is no try."""
    monkeypatch.setattr(http, "AT_ONCE", 0)
    full = open_practice(Scripted())
    add(full)
    full.work()
    assert ending(full)[:2] == (State.SCHEDULED, Reason.RESOLVER_BUSY)
    assert (booking.tokens, full.show().attempts) == ([], 0)
    assert 1.0 <= due_in(full) <= 1.3
    practice.forward(seconds=2)
    assert ending(practice)[0] is State.SENT


def test_room_is_given_back_however_a_call_ends(practice: Practice, booking: Booking, provider: Scripted) -> None:
    booking.people.clear()
    for number in range(3 * http.AT_ONCE):
        add(practice, reference=f"B-{number}")
        practice.work()
    assert len(booking.tokens) == 3 * http.AT_ONCE
