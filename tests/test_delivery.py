"""One attempt after another, against a provider that answers as told and a real ledger."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st
from scripted import PHONE, Office, Scripted

from reminder_worker import delivery, metrics, sending, store
from reminder_worker.clocks import boot_time
from reminder_worker.contacts import Contact
from reminder_worker.delivery import FRESH, LEASE, Delivery, Order
from reminder_worker.drafting import Draft
from reminder_worker.errors import (
    Ambiguous,
    Misconfigured,
    NotSent,
    Reason,
    Rejected,
    ReminderError,
    StoreUnavailable,
    Throttled,
)
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Claim, Durability, Entry, Intent, OpenAttempt, Reminder, Wake
from reminder_worker.optouts import OptOuts
from reminder_worker.postponing import FIRST_DELAY, LONGEST_DELAY, LONGEST_HOLD, backoff
from reminder_worker.providers import Sent, Text
from reminder_worker.reconciling import PATIENCE
from reminder_worker.schedule import Schedule
from reminder_worker.sending import CALL
from reminder_worker.tables import Route

ID = b"\0" + bytes(range(1, 16))
CONTACT = Contact(PHONE, "fr")
DRAFT = Draft("Rappel", 1, "0123456789abcdef")
USEFUL = timedelta(hours=1)
SETTLES = timedelta(minutes=10)


def order(expires: datetime) -> Order:
    return Order("clinic", CONTACT, DRAFT, expires)


class Desk:
    """One appointment, and deliveries that differ in their providers."""

    def __init__(self, schedule: Schedule, clock: Clock) -> None:
        self.schedule, self.clock = schedule, clock
        self.delivery: Delivery
        self.expires: datetime

    def add(self, content: int = 1) -> None:
        """Add an appointment whose reminder is due now."""
        self.schedule.add([Entry(ID, bytes([content]) * 12, b"sealed", (self.clock.now,))])

    def claim(self) -> Claim:
        claim = self.schedule.claim(self.schedule.take(0, capacity=10).wakes[0])
        assert isinstance(claim, Claim)
        return claim

    def deliver(self, *providers: Scripted, useful: timedelta = USEFUL, routes: Any = (), **options: Any) -> Claim:
        """Add an appointment and deliver its reminder."""
        self.add()
        self.expires = self.clock.now + useful
        claim = self.claim()
        self.make(*providers, routes=routes, **options).deliver(claim, self.order)
        return claim

    def again(self) -> None:
        """Claim and deliver what is due now, once more."""
        self.delivery.deliver(self.claim(), self.order)

    @property
    def order(self) -> Order:
        return order(self.expires)

    def make(self, *providers: Scripted, **options: Any) -> Delivery:
        self.office = Office(self.schedule, *providers, **options)
        self.delivery = self.office.delivery
        return self.delivery

    def look(self, **span: float) -> None:
        """Let time pass, and look after what is open then."""
        self.clock.forward(**span)
        for wake in self.schedule.sweep(0):
            attempt = self.schedule.claim(wake)
            assert isinstance(attempt, OpenAttempt)
            self.look_at(attempt)

    def look_at(self, attempt: OpenAttempt, *, useful: bool = True) -> None:
        self.office.reconciling.look(attempt, lambda _: self.order if useful else None)

    def show(self) -> Reminder:
        return self.schedule.show(ID)[0]

    def ending(self) -> tuple[State, str | None, str | None]:
        """Return state, reason and whose fault it was."""
        shown = self.show()
        return shown.state, shown.reason, shown.failure_class

    def wait(self) -> timedelta:
        """Return how long the reminder waits for its next try."""
        due = self.show().due
        assert due
        return due - self.clock.now


@pytest.fixture
def desk(schedule: Schedule, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(sending, "PAUSE", 0.0)
    return Desk(schedule, clock)


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Let this machine stand still, frozen, for so many seconds."""
    frozen = 0.0

    def freeze(seconds: float) -> None:
        nonlocal frozen
        frozen += seconds

    for module in (delivery, sending):
        monkeypatch.setattr(module, "boot_time", lambda: boot_time() + frozen)
    return freeze


# What a provider answers, and what is written down.


def test_an_accepted_text_is_sent(desk: Desk) -> None:
    first, second = Scripted(Sent("SM1", 2), name="first"), Scripted(name="second")
    desk.deliver(first, second)
    assert desk.ending() == (State.SENT, None, None)
    assert (desk.show().provider, desk.show().attempts) == ("first", 1)
    assert not second.texts


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (Reason.NUMBER_REFUSED, State.FAILED),
        (Reason.LANDLINE, State.FAILED),
        (Reason.CONTENT_REFUSED, State.FAILED),
        (Reason.OPTED_OUT, State.SUPPRESSED),
    ],
)
def test_a_refusal_is_final_whoever_carries_it(desk: Desk, reason: Reason, state: State) -> None:
    first, second = Scripted(Rejected(reason), name="first"), Scripted(name="second")
    desk.deliver(first, second)
    assert desk.ending() == (state, reason, FailureClass.PERMANENT)
    assert (len(first.texts), len(second.texts)) == (1, 0)


def test_a_refusal_in_a_plug_ins_own_words_is_in_doubt_and_tells_redis_no_number(desk: Desk) -> None:
    provider = Scripted()
    provider.during = lambda _: _raise_rejected(f"{PHONE} cannot be texted")
    desk.deliver(provider)
    assert (desk.show().state, desk.show().reason) == (State.SENDING, None)
    assert Rejected("landline", "said so").reason is Reason.LANDLINE  # type: ignore[arg-type]


def _raise_rejected(words: str) -> None:
    raise Rejected(words, "said the provider")  # type: ignore[arg-type]


def test_the_opt_out_list_is_told_before_a_refusal_ends_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OptOuts, "stop", Mock(side_effect=StoreUnavailable("away")))
    with pytest.raises(StoreUnavailable):
        desk.deliver(Scripted(Rejected(Reason.OPTED_OUT)))
    assert desk.show().state is State.SENDING  # somebody comes back, and says it then


DEFINITE = {
    "not sent": (NotSent(Reason.NOT_SENT), Reason.NOT_SENT, 1),
    "not connected": (NotSent(Reason.NOT_SENT, left=False), Reason.NOT_SENT, 2),  # a connection is tried twice
    "throttled": (Throttled(), Reason.THROTTLED, 1),
    "throttled for a while": (Throttled(20), Reason.THROTTLED, 1),
    "throttled for ever": (Throttled(float("inf")), Reason.THROTTLED, 1),
    "throttled for no number": (Throttled(float("nan")), Reason.THROTTLED, 1),
    "misconfigured": (Misconfigured(), Reason.MISCONFIGURED, 1),
}


@pytest.mark.parametrize(("error", "reason", "calls"), DEFINITE.values(), ids=DEFINITE)
def test_what_was_surely_not_sent_goes_to_the_next_provider(
    desk: Desk, error: ReminderError, reason: Reason, calls: int
) -> None:
    first, second = Scripted(*[error] * calls, name="first"), Scripted(name="second")
    desk.deliver(first, second)
    assert desk.show().state is State.SENT
    assert (desk.show().provider, desk.show().attempts) == ("second", 2)
    assert len(first.texts) == calls


@pytest.mark.parametrize(("error", "reason", "calls"), DEFINITE.values(), ids=DEFINITE)
def test_what_nobody_took_is_tried_again_later(desk: Desk, error: ReminderError, reason: Reason, calls: int) -> None:
    provider = Scripted(*[error] * calls)
    desk.deliver(provider)
    assert desk.ending() == (State.SCHEDULED, reason, None)
    assert timedelta() < desk.wait() <= max(FIRST_DELAY, timedelta(seconds=20))
    desk.clock.forward(seconds=20)
    desk.again()
    assert desk.show().state is State.SENT
    assert len({text.reference for text in provider.texts}) == 2
    assert len(provider.texts) == calls + 1


@pytest.mark.parametrize("error", [Ambiguous(), RuntimeError(f"no route to {PHONE}"), TimeoutError(), KeyError(PHONE)])
def test_what_may_have_been_accepted_is_neither_sent_again_nor_given_to_anybody_else(
    desk: Desk, error: Exception
) -> None:
    first, second = Scripted(error, name="first"), Scripted(name="second")
    claim = desk.deliver(first, second)
    assert desk.show().state is State.SENDING
    desk.delivery.deliver(claim, desk.order)  # whoever tries: the attempt is open
    desk.look(seconds=LEASE.seconds)
    assert desk.show().state is State.SENDING
    desk.look(days=1)
    assert desk.ending() == (State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
    assert (len(first.texts), len(second.texts)) == (1, 0)


def test_a_worker_that_dies_during_the_call_leaves_an_open_attempt(desk: Desk) -> None:
    provider, then = Scripted(), []
    provider.during = lambda _: then.append(desk.show().state)
    desk.deliver(provider)
    assert then == [State.SENDING]  # what is in the store if it goes no further


def test_an_answer_that_cannot_be_written_down_leaves_an_open_attempt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> bool:
        raise StoreUnavailable

    provider = Scripted(finds_by_reference=True)
    with monkeypatch.context() as patch:
        patch.setattr(desk.schedule, "settle", away)
        with pytest.raises(StoreUnavailable):
            desk.deliver(provider)
    assert desk.show().state is State.SENDING
    desk.look(seconds=LEASE.seconds)
    assert desk.show().state is State.SENT
    assert len(provider.texts) == 1


def test_a_number_without_a_route_waits_for_an_operator(desk: Desk) -> None:
    provider = Scripted()
    desk.deliver(provider, routes=[Route(prefix="+44", providers=["scripted"])])
    assert desk.ending() == (State.SCHEDULED, Reason.MISCONFIGURED, None)
    assert not provider.texts


def test_providers_are_tried_in_the_order_of_the_route(desk: Desk) -> None:
    first, second = Scripted(name="first"), Scripted(Throttled(), name="second")
    desk.deliver(first, second, routes=[Route(prefix="+33", providers=["second", "first"])])
    assert (len(second.texts), len(first.texts)) == (1, 1)
    assert desk.show().provider == "first"


# The intent.


def test_the_intent_is_written_before_the_provider_is_called(desk: Desk, client: store.Client) -> None:
    seen: list[dict[bytes, bytes]] = []
    first, second = Scripted(Throttled(), name="first"), Scripted(name="second")
    for provider in (first, second):
        provider.during = lambda _: seen.append(client.hgetall(b"rw:{0}:r:" + ID + b"\0"))
    desk.deliver(first, second)
    texts = [*first.texts, *second.texts]
    assert [row[b"state"] for row in seen] == [b"sending"] * 2
    assert [row[b"provider"] for row in seen] == [b"first", b"second"]
    assert [row[b"ref"].decode() for row in seen] == [text.reference for text in texts]
    assert [row[b"attempts"] for row in seen] == [b"1", b"2"]
    assert {row[b"template"].decode() for row in seen} == {DRAFT.edition}
    assert len({text.reference for text in texts}) == 2


def test_an_attempt_is_closed_before_the_next_one_begins(desk: Desk) -> None:
    states: list[State] = []
    second = Scripted(name="second")
    intend = desk.schedule.intend

    def spy(*arguments: Any, **named: Any) -> Intent:
        states.append(desk.show().state)
        return intend(*arguments, **named)

    desk.schedule.intend = spy  # type: ignore[method-assign]
    desk.deliver(Scripted(Throttled(), name="first"), second)
    assert states == [State.QUEUED, State.QUEUED]


def test_an_intent_that_is_not_confirmed_sends_nothing_and_is_retried(desk: Desk, client: store.Client) -> None:
    desk.schedule = Schedule(client, durability=Durability.REPLICA)  # there is no replica
    provider = Scripted()
    desk.add()
    desk.make(provider).deliver(desk.claim(), order(desk.clock.now + USEFUL))
    assert not provider.texts
    assert desk.ending() == (State.SCHEDULED, Reason.NOT_CONFIRMED, None)
    assert timedelta() < desk.wait() <= FIRST_DELAY


def test_a_worker_frozen_between_intent_and_call_does_not_send(desk: Desk, boot: Callable[[float], None]) -> None:
    intend = desk.schedule.intend

    def slow(*arguments: Any, **named: Any) -> Intent:
        answer = intend(*arguments, **named)
        boot(FRESH + 0.1)
        return answer

    desk.schedule.intend = slow  # type: ignore[method-assign]
    provider = Scripted()
    desk.deliver(provider)
    assert not provider.texts
    assert desk.ending() == (State.SCHEDULED, Reason.NOT_CONFIRMED, None)


def test_a_worker_frozen_after_its_last_look_before_the_call_does_not_send(
    desk: Desk, boot: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> Text:
        boot(CALL.total_seconds())
        return Text(*arguments)

    monkeypatch.setattr(delivery, "Text", slow)
    provider = Scripted()
    desk.deliver(provider)
    assert not provider.texts
    assert desk.show().state is State.SCHEDULED


def test_the_deadline_of_a_call_counts_from_its_intent(desk: Desk, boot: Callable[[float], None]) -> None:
    intend, lasts = desk.schedule.intend, FRESH - 0.5

    def slow(*arguments: Any, **named: Any) -> Intent:
        boot(lasts)
        return intend(*arguments, **named)

    desk.schedule.intend = slow  # type: ignore[method-assign]
    provider = Scripted()
    desk.deliver(provider)
    assert provider.deadlines[0] <= time.monotonic() + CALL.total_seconds() - lasts


def test_a_worker_frozen_between_two_tries_does_not_send(desk: Desk, boot: Callable[[float], None]) -> None:
    provider = Scripted(NotSent(Reason.NOT_SENT, left=False))
    provider.during = lambda _: boot(CALL.total_seconds())
    desk.deliver(provider)
    assert len(provider.texts) == 1
    assert desk.show().state is State.SCHEDULED


def test_what_was_cancelled_after_the_claim_is_not_sent(desk: Desk) -> None:
    desk.add()
    claim, provider = desk.claim(), Scripted()
    desk.schedule.cancel(ID)
    desk.make(provider).deliver(claim, order(desk.clock.now + USEFUL))
    assert not provider.texts
    assert desk.show().state is State.CANCELLED


def test_what_was_moved_after_the_claim_is_not_sent(desk: Desk) -> None:
    desk.add()
    claim, provider = desk.claim(), Scripted()
    desk.add(content=2)
    desk.make(provider).deliver(claim, order(desk.clock.now + USEFUL))
    assert not provider.texts
    assert desk.show().state is State.SCHEDULED


def test_a_worker_whose_claim_was_taken_over_sends_nothing(desk: Desk) -> None:
    desk.add()
    frozen = desk.claim()
    desk.clock.forward(seconds=20)
    (wake,) = desk.schedule.sweep(0)
    claim = desk.schedule.claim(wake)
    assert isinstance(claim, Claim)
    provider = Scripted()
    expires = desk.clock.now + USEFUL
    desk.make(provider).deliver(frozen, order(expires))
    assert not provider.texts
    assert desk.show().state is State.QUEUED
    desk.delivery.deliver(claim, order(expires))
    assert len(provider.texts) == 1


def test_a_worker_whose_claim_was_taken_over_ends_nothing(desk: Desk) -> None:
    desk.add()
    frozen = desk.claim()
    desk.clock.forward(seconds=20)
    desk.schedule.claim(desk.schedule.sweep(0)[0])
    desk.make().deliver(frozen, order(desk.clock.now + USEFUL))  # no provider: it would wait for an operator
    assert desk.show().state is State.QUEUED


def test_what_was_cancelled_between_two_providers_goes_no_further(desk: Desk) -> None:
    first, second = Scripted(Throttled(), name="first"), Scripted(name="second")
    settle = desk.schedule.settle

    def then_cancel(*arguments: Any, **named: Any) -> bool:
        settled = settle(*arguments, **named)
        desk.schedule.cancel(ID)
        return settled

    desk.schedule.settle = then_cancel  # type: ignore[method-assign]
    desk.deliver(first, second)
    assert not second.texts
    assert desk.show().state is State.CANCELLED


def test_what_expired_after_the_claim_is_not_sent(desk: Desk, boot: Callable[[float], None]) -> None:
    desk.add()
    claim, provider = desk.claim(), Scripted()
    boot(10)
    desk.make(provider).deliver(claim, order(desk.clock.now + timedelta(seconds=10)))
    assert not provider.texts
    assert desk.show().attempts == 0
    assert desk.ending() == (State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)


def test_what_expires_between_two_providers_goes_no_further(desk: Desk, boot: Callable[[float], None]) -> None:
    first, second = Scripted(Throttled(), name="first"), Scripted(name="second")
    first.during = lambda _: boot(60)
    desk.deliver(first, second, useful=timedelta(seconds=60))
    assert not second.texts
    assert desk.ending() == (State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)


# How long a text is of use.


def test_the_provider_is_told_how_long_the_text_is_of_use(desk: Desk) -> None:
    provider = Scripted()
    desk.deliver(provider)
    assert USEFUL - timedelta(seconds=5) < provider.texts[0].valid_for <= USEFUL


def test_time_spent_since_the_claim_is_taken_off(desk: Desk, boot: Callable[[float], None]) -> None:
    first, second = Scripted(Throttled(), name="first"), Scripted(name="second")
    first.during = lambda _: boot(7)
    desk.add()
    claim = desk.claim()
    boot(30)  # between claim and intent
    desk.make(first, second).deliver(claim, order(desk.clock.now + USEFUL))
    assert first.texts[0].valid_for <= USEFUL - timedelta(seconds=30)
    assert second.texts[0].valid_for <= USEFUL - timedelta(seconds=37)


def test_what_expires_while_the_store_writes_the_intent_is_not_sent(desk: Desk, boot: Callable[[float], None]) -> None:
    desk.add()
    claim, provider = desk.claim(), Scripted()
    write = desk.schedule.intend

    def slowly(*arguments: Any, **options: Any) -> Intent:
        boot(1)  # not long enough to count as frozen
        return write(*arguments, **options)

    desk.schedule.intend = slowly  # type: ignore[method-assign]
    desk.make(provider).deliver(claim, order(desk.clock.now + timedelta(seconds=1)))
    assert not provider.texts
    assert desk.ending() == (State.EXPIRED, Reason.NOT_CONFIRMED, FailureClass.TEMPORARY)


def test_a_call_has_one_deadline_which_does_not_reach_past_the_texts_use(desk: Desk) -> None:
    began = time.monotonic()
    provider = Scripted(NotSent(Reason.NOT_SENT, left=False))
    desk.deliver(provider)
    assert provider.deadlines[0] == provider.deadlines[1]
    assert CALL.total_seconds() - 1 < provider.deadlines[0] - began < CALL.total_seconds() + 1


def test_the_deadline_of_a_call_is_nearer_when_the_text_soon_expires(desk: Desk) -> None:
    provider = Scripted()
    desk.deliver(provider, useful=timedelta(seconds=3))
    assert provider.deadlines[0] <= time.monotonic() + 3


def test_the_call_ends_before_the_attempt_is_looked_after() -> None:
    assert FRESH + CALL.total_seconds() < LEASE.total_seconds()


# Trying again later.


@given(st.integers(0, 10_000))
def test_delays_double_with_jitter_up_to_the_longest(tries: int) -> None:
    full = min(FIRST_DELAY.total_seconds() * 2.0 ** min(tries, 60), LONGEST_DELAY.total_seconds())
    assert full / 2 <= backoff(tries).total_seconds() <= full


def test_a_crowd_spreads_out() -> None:
    assert len({backoff(0) for _ in range(50)}) > 40


def test_each_try_waits_longer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _, high: high)
    desk.deliver(Scripted(*[Throttled()] * 4))
    waits = []
    for _ in range(3):
        waits.append(desk.wait())
        desk.clock.forward(seconds=desk.wait().total_seconds())
        desk.again()
    assert waits == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]


def test_a_provider_that_asks_for_patience_gets_it(desk: Desk) -> None:
    desk.deliver(Scripted(Throttled(600)))
    assert desk.wait() == timedelta(seconds=600)


def test_the_most_patient_of_several_providers_counts(desk: Desk) -> None:
    desk.deliver(Scripted(Throttled(600), name="first"), Scripted(Throttled(40), name="second"))
    assert desk.wait() == timedelta(seconds=600)


@pytest.mark.parametrize(
    ("error", "useful"), [(Throttled(600), 600), (Throttled(), 5), (Misconfigured(), 5), (Throttled(600), 300)]
)
def test_a_try_that_would_come_too_late_ends_the_reminder_at_once(
    desk: Desk, error: ReminderError, useful: float
) -> None:
    desk.deliver(Scripted(error), useful=timedelta(seconds=useful))
    assert desk.ending() == (State.EXPIRED, error.reason, FailureClass.TEMPORARY)


def test_a_try_that_still_comes_in_time_is_made(desk: Desk) -> None:
    desk.deliver(Scripted(Throttled(600)), useful=timedelta(seconds=601))
    assert desk.show().state is State.SCHEDULED


# Only allowed numbers, outside production.

ALLOWED = ["+15005550006", PHONE[:6]]


@pytest.mark.parametrize("allow", [[], ["+15005550006"], [PHONE + "0"], [PHONE[1:]]])
def test_a_number_that_is_not_allowed_is_reached_by_no_real_provider(desk: Desk, allow: list[str]) -> None:
    first, second = Scripted(name="first"), Scripted(name="second")
    desk.deliver(first, second, allow=allow)
    assert not [*first.texts, *second.texts]
    assert desk.ending() == (State.FAILED, Reason.NOT_ALLOWED_HERE, FailureClass.TECHNICAL)
    assert desk.show().attempts == 0


@pytest.mark.parametrize("allow", [None, [PHONE], ALLOWED])
def test_an_allowed_number_is_reached(desk: Desk, allow: list[str] | None) -> None:
    provider = Scripted()
    desk.deliver(provider, allow=allow)
    assert [text.to for text in provider.texts] == [PHONE]


def test_a_provider_that_reaches_no_phone_takes_any_number(desk: Desk) -> None:
    real, outbox = Scripted(name="real"), Scripted(name="outbox", reaches_phones=False)
    desk.deliver(real, outbox, allow=[])
    assert (len(real.texts), len(outbox.texts)) == (0, 1)
    assert desk.show().provider == "outbox"


def test_a_number_that_is_not_allowed_here_is_still_tried_again_where_another_provider_may_take_it(desk: Desk) -> None:
    outbox = Scripted(Throttled(), name="outbox", reaches_phones=False)
    desk.deliver(outbox, Scripted(name="real"), allow=[])
    assert desk.ending() == (State.SCHEDULED, Reason.THROTTLED, None)


# Attempts that nobody knows the end of.


def lose_answer(desk: Desk, *, accepted: bool, **options: Any) -> Scripted:
    """Leave an attempt open that was, or was not, accepted."""
    provider = Scripted(Ambiguous(), settles_within=SETTLES, **options.pop("capabilities", {}))
    if accepted:
        provider.during = lambda text: provider.accepted.update({text.reference: Sent("SM7", 2)})
    desk.deliver(provider, **options)
    provider.during = lambda _: None
    return provider


FINDS = {"capabilities": {"finds_by_reference": True}}


def test_an_open_attempt_that_the_provider_finds_is_sent(desk: Desk, client: store.Client) -> None:
    provider = lose_answer(desk, accepted=True, capabilities={"finds_by_reference": True, "forgets": True})
    desk.look(seconds=LEASE.seconds)
    assert desk.ending() == (State.SENT, None, None)
    assert provider.looks == [provider.texts[0].reference]
    assert client.hget(b"rw:{0}:r:" + ID + b"\0", "message") == b"SM7"


def test_not_found_proves_nothing_before_the_provider_has_settled(desk: Desk) -> None:
    provider = lose_answer(desk, accepted=False, **FINDS)
    desk.look(seconds=LEASE.seconds)
    desk.look(seconds=SETTLES.seconds - LEASE.seconds - 1)
    assert desk.show().state is State.SENDING
    assert len(provider.looks) == 2


def test_not_found_in_due_time_is_tried_again_once(desk: Desk) -> None:
    provider = lose_answer(desk, accepted=False, **FINDS)
    desk.look(seconds=SETTLES.seconds)
    assert desk.ending()[:2] == (State.SCHEDULED, Reason.AMBIGUOUS)
    desk.look()
    desk.again()
    assert desk.show().state is State.SENT
    assert len({text.reference for text in provider.texts}) == len(provider.texts) == 2


def test_a_provider_that_cannot_be_asked_leaves_the_attempt_unknown(desk: Desk) -> None:
    provider = lose_answer(desk, accepted=True)
    desk.look(seconds=SETTLES.seconds - 1)
    assert desk.show().state is State.SENDING
    desk.look(days=1)
    assert desk.ending() == (State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
    assert (len(provider.texts), provider.looks) == (1, [])


def test_who_prefers_two_texts_to_none_sends_again(desk: Desk) -> None:
    provider = lose_answer(desk, accepted=True, resend=True)
    desk.look(seconds=SETTLES.seconds - 1)
    assert desk.show().state is State.SENDING
    desk.look(days=1)
    desk.expires = desk.clock.now + USEFUL
    desk.again()
    assert desk.show().state is State.SENT
    assert len(provider.texts) == 2


def test_an_attempt_of_a_provider_that_left_the_settings_is_unknown(desk: Desk) -> None:
    lose_answer(desk, accepted=True, **FINDS)
    desk.make(Scripted(name="another", finds_by_reference=True))
    desk.look(seconds=LEASE.seconds)
    assert desk.show().state is State.SENDING  # another worker's settings may still name it
    desk.look(seconds=PATIENCE.seconds)
    assert desk.ending() == (State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)


@pytest.mark.parametrize("resend", [False, True])
def test_a_look_up_that_fails_is_no_answer(desk: Desk, *, resend: bool) -> None:
    provider = lose_answer(desk, accepted=True, resend=resend, **FINDS)
    provider.silence = RuntimeError(f"no record of {PHONE}")
    desk.look(seconds=SETTLES.seconds)
    desk.look(seconds=PATIENCE.seconds - SETTLES.seconds - 1)
    assert desk.show().state is State.SENDING
    assert len(provider.looks) == 2
    provider.silence = None
    desk.look(hours=2)
    assert desk.show().state is State.SENT
    assert len(provider.texts) == 1


def test_a_look_up_that_fails_for_hours_leaves_the_attempt_unknown(desk: Desk) -> None:
    provider = lose_answer(desk, accepted=True, **FINDS)
    provider.silence = TimeoutError()
    desk.look(seconds=PATIENCE.seconds)
    assert desk.ending() == (State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)


@pytest.mark.parametrize("accepted", [True, False])
def test_two_who_look_at_once_do_no_harm(desk: Desk, *, accepted: bool) -> None:
    provider = lose_answer(desk, accepted=accepted, **FINDS)
    desk.clock.forward(seconds=SETTLES.seconds)
    (wake,) = desk.schedule.sweep(0)
    looks = [desk.schedule.claim(wake) for _ in range(2)]
    assert isinstance(looks[0], OpenAttempt)
    desk.look_at(looks[0])
    if not accepted:
        desk.again()
    desk.look_at(looks[1])
    assert desk.show().state is State.SENT
    assert len(provider.texts) == (1 if accepted else 2)
    desk.clock.forward(days=1)
    assert not desk.schedule.take(0, capacity=10).wakes


def test_a_receipt_or_late_answer_still_counts_after_unknown(desk: Desk) -> None:
    provider = lose_answer(desk, accepted=True)
    desk.look(days=1)
    assert desk.show().state is State.UNKNOWN
    attempt = OpenAttempt(Wake(ID, 0, 1), desk.clock.now, "scripted", provider.texts[0].reference, desk.clock.now, b"")
    provider.capabilities = replace(provider.capabilities, finds_by_reference=True)
    desk.look_at(attempt)
    assert desk.show().state is State.SENT


def test_a_reference_is_unguessable_and_leads_back_to_its_reminder() -> None:
    wake = Wake(ID, 3, 1)
    references = {delivery.new_reference(wake) for _ in range(100)}
    assert len(references) == 100
    assert {len(reference) for reference in references} == {39}
    assert len({reference[:22] for reference in references}) == 1
    assert delivery.new_reference(replace(wake, lead=4)) not in references


def test_a_text_says_what_was_drafted_to_the_contacts_phone(desk: Desk) -> None:
    provider = Scripted()
    desk.deliver(provider)
    (text,) = provider.texts
    assert isinstance(text, Text)
    assert (text.to, text.body, text.segments) == (PHONE, DRAFT.body, DRAFT.segments)


# Limits of our own


def test_a_text_that_is_given_a_turn_comes_back_exactly_then(desk: Desk) -> None:
    provider = Scripted()
    desk.deliver(provider, limits={"rate": 0.1})
    assert desk.show().state is State.SENT
    for wait in (20, 30, 40):  # each later than the one before, though the clock stands still
        desk.schedule.add([Entry(ID, bytes([wait]) * 12, b"sealed", (desk.clock.now,))])
        desk.again()
        shown = desk.show()
        assert (shown.state, shown.reason, shown.attempts) == (State.SCHEDULED, Reason.RATE_LIMITED, 0)
        assert desk.wait() == timedelta(seconds=wait)
    desk.clock.forward(seconds=40)
    desk.again()
    assert desk.show().state is State.SENT


def one_more(desk: Desk, number: int) -> None:
    """Deliver another text, in the place of the one before."""
    desk.schedule.add([Entry(ID, bytes([number]) * 12, b"sealed", (desk.clock.now,))])
    desk.again()


def test_nobody_waits_for_turns_of_those_who_have_ended(desk: Desk) -> None:
    desk.deliver(Scripted(), limits={"rate": 0.1})
    desk.expires = desk.clock.now + timedelta(seconds=15)
    for number in range(2, 9):
        one_more(desk, number)
        assert desk.ending()[:2] == (State.EXPIRED, Reason.RATE_LIMITED)
    desk.expires = desk.clock.now + USEFUL
    one_more(desk, 9)
    assert desk.wait() == timedelta(seconds=20)


def test_nobody_waits_for_a_turn_at_a_provider_that_another_has_made_needless(desk: Desk) -> None:
    first, second = Scripted(name="first"), Scripted(name="second")
    desk.deliver(first, second, limits={"rate": 0.1})
    one_more(desk, 2)
    assert (len(first.texts), len(second.texts)) == (1, 1)
    desk.clock.forward(seconds=10)
    one_more(desk, 3)
    one_more(desk, 4)
    assert (len(first.texts), len(second.texts)) == (2, 2)


def test_who_is_given_a_turn_is_counted_once(desk: Desk) -> None:
    def waits() -> float:
        found = metrics.REGISTRY.get_sample_value("reminder_waits_total", labels)
        return found or 0

    labels = {"provider": metrics.known("provider", "scripted"), "reason": Reason.RATE_LIMITED}
    desk.deliver(Scripted(), limits={"rate": 0.1})
    before = waits()
    one_more(desk, 2)
    assert desk.show().reason == Reason.RATE_LIMITED
    assert waits() == before + 1


def test_two_providers_with_a_rate_carry_as_many_as_both_may(desk: Desk) -> None:
    desk.deliver(Scripted(name="first"), Scripted(name="second"), limits={"rate": 0.1})
    one_more(desk, 2)
    waits = []
    for number in range(3, 9):
        one_more(desk, number)
        waits.append(desk.wait().total_seconds())
    assert waits == [20, 20, 30, 30, 40, 40]


def test_waiting_for_a_limit_is_no_try(desk: Desk) -> None:
    provider = Scripted(NotSent(Reason.NOT_SENT))
    desk.deliver(provider, limits={"rate": 0.01})
    assert tries(desk) == b"1"
    desk.clock.forward(seconds=desk.wait().total_seconds())
    desk.again()
    assert desk.show().reason == Reason.RATE_LIMITED
    assert tries(desk) == b"1"


def tries(desk: Desk) -> Any:
    return desk.schedule.client.hget(desk.schedule.prefix(0) + b"r:" + ID + b"\0", "tries")


def test_an_open_circuit_lets_the_next_provider_carry_the_text(desk: Desk) -> None:
    first, second = Scripted(*[Misconfigured()] * 9, name="first"), Scripted(name="second")
    for number in range(5):
        desk.deliver(first, second) if not number else desk.again()
        assert desk.show().provider == "second"
        desk.schedule.add([Entry(ID, bytes([number + 50]) * 12, b"sealed", (desk.clock.now,))])
    assert len(first.texts) == 3
    assert len(second.texts) == 5


def test_a_phone_gets_no_more_than_its_share_of_a_day(desk: Desk) -> None:
    provider = Scripted()
    desk.deliver(provider, phone_cap=1)
    desk.schedule.add([Entry(ID, b"\7" * 12, b"sealed", (desk.clock.now,))])
    desk.again()
    assert desk.ending() == (State.FAILED, Reason.PHONE_CAPPED, FailureClass.TEMPORARY)
    assert len(provider.texts) == 1


def test_a_platform_over_its_share_waits_and_expires_if_nobody_raises_it(desk: Desk) -> None:
    first, second = Scripted(name="first"), Scripted(name="second")
    desk.deliver(first, second, platform_cap=1)
    desk.schedule.add([Entry(ID, b"\7" * 12, b"sealed", (desk.clock.now,))])
    desk.again()
    shown = desk.show()
    assert (shown.state, shown.reason) == (State.SCHEDULED, Reason.PLATFORM_CAPPED)
    assert desk.wait() <= LONGEST_HOLD * 1.3
    assert (len(first.texts), len(second.texts)) == (1, 0)
    desk.clock.forward(hours=2)
    desk.again()
    assert desk.ending() == (State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)


def test_what_was_reserved_and_not_used_is_given_back(desk: Desk) -> None:
    desk.deliver(Scripted(NotSent(Reason.NOT_SENT)), limits={"price": 1, "daily_spend": 5})
    day = int(desk.clock.now.timestamp()) // 86_400
    assert desk.schedule.client.get(desk.schedule.prefix(0) + b"s:scripted|%d" % day) == b"0"


def test_what_would_wait_beyond_its_use_ends_at_once_and_tells_redis_no_time(desk: Desk) -> None:
    desk.deliver(Scripted(), limits={"rate": 0.001})
    desk.schedule.add([Entry(ID, b"\7" * 12, b"sealed", (desk.clock.now,))])
    desk.expires = desk.clock.now + timedelta(minutes=10)
    desk.again()
    assert desk.ending() == (State.EXPIRED, Reason.RATE_LIMITED, FailureClass.TEMPORARY)
    assert not desk.schedule.client.exists(*(desk.schedule.prefix(0) + name for name in (b"due", b"turns")))


def test_a_plug_ins_own_error_leaves_the_attempt_in_doubt(desk: Desk) -> None:
    desk.deliver(Scripted(ValueError(PHONE)), Scripted(name="second"))  # type: ignore[arg-type]
    assert desk.show().state is State.SENDING


class Own(BaseException):
    """A plug-in's, which no handler of errors is for."""


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, Own])
def test_a_plug_in_that_would_end_the_process_is_in_doubt_as_well_and_its_circuit_opens(
    desk: Desk, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    provider = Scripted()
    provider.during = Mock(side_effect=error(PHONE))
    for number in range(11):
        desk.deliver(provider) if not number else desk.again()
        desk.schedule.client.delete(*desk.schedule.client.scan_iter(b"*:[ar]:*"))
        desk.schedule.add([Entry(ID, bytes([number + 50]) * 12, b"sealed", (desk.clock.now,))])
    assert len(provider.texts) == 10
    told = [record for record in caplog.records if record.message == "attempt_open"]
    assert [vars(record)["error"] for record in told] == [error.__name__] * 10


def test_what_ends_before_the_call_gives_its_place_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.schedule, "intend", lambda *_, **__: Intent.LOST)
    desk.deliver(Scripted(), limits={"price": 1})
    spent = [desk.schedule.client.get(key) for key in desk.schedule.client.scan_iter(b"*:s:*")]
    assert spent == [b"0"]


def test_ten_attempts_in_doubt_open_the_circuit(desk: Desk) -> None:
    provider = Scripted(*[Ambiguous()] * 20)
    for number in range(11):
        desk.deliver(provider) if not number else desk.again()
        desk.schedule.client.delete(*desk.schedule.client.scan_iter(b"*:[ar]:*"))
        desk.schedule.add([Entry(ID, bytes([number + 50]) * 12, b"sealed", (desk.clock.now,))])
    assert len(provider.texts) == 10
