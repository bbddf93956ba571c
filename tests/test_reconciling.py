"""An attempt in doubt: what settles it, in which order, and what never does."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from clock import Clock
from scripted import PHONE, Office, Scripted

from reminder_worker.contacts import Contact
from reminder_worker.delivery import Order
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
from reminder_worker.job import State
from reminder_worker.ledger import Claim, Entry, OpenAttempt, Reminder, Wake
from reminder_worker.providers import Receipt, Sent
from reminder_worker.reconciling import PATIENCE
from reminder_worker.schedule import Schedule

ID = b"\0" + bytes(range(1, 16))
SETTLES = timedelta(minutes=10)
OPTED_OUT = Reason.OPTED_OUT


class Doubt:
    """One reminder whose provider did not say whether it accepted it."""

    def __init__(self, schedule: Schedule, clock: Clock) -> None:
        self.schedule, self.clock = schedule, clock

    def leave(self, provider: Scripted, **options: Any) -> None:
        self.provider, self.office = provider, Office(self.schedule, provider, **options)
        self.expires = self.clock.now + timedelta(days=2)
        self.schedule.add([Entry(ID, bytes(12), b"sealed", (self.clock.now,))])
        claim = self.schedule.claim(self.schedule.take(0, capacity=10).wakes[0])
        assert isinstance(claim, Claim)
        self.office.delivery.deliver(claim, self.order())
        assert self.show().state is State.SENDING

    contact = Contact(PHONE, "fr")

    def order(self) -> Order:
        return Order("clinic", self.contact, Draft("Rappel", 1), self.expires)

    def look(self, *, reopens: bool = True, **span: float) -> Reminder:
        """Let time pass and look after what is open; return what the platform sees then."""
        self.clock.forward(**span)
        for wake in self.schedule.sweep(0):
            attempt = self.schedule.claim(wake)
            assert isinstance(attempt, OpenAttempt)
            self.office.reconciling.look(attempt, lambda _: self.order() if reopens else None)
        return self.show()

    def show(self) -> Reminder:
        return self.schedule.show(ID)[0]

    @property
    def reference(self) -> str:
        return self.provider.texts[0].reference

    def hear(self, state: State, reference: str | None = None, reason: Reason | None = None) -> bool:
        return self.office.receipts.take(
            self.provider, Receipt(reference or self.reference, state, "carrier-1", reason)
        )


@pytest.fixture
def doubt(schedule: Schedule, clock: Clock) -> Doubt:
    return Doubt(schedule, clock)


# The same reference once more


def test_a_provider_that_deduplicates_is_sent_the_same_text_again(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), Sent("first", 1), deduplicates=True, settles_within=SETTLES))
    assert doubt.look(seconds=20).state is State.SENT
    first, second = doubt.provider.texts
    assert (first.to, first.body, first.reference) == (second.to, second.body, second.reference)
    assert second.valid_for < first.valid_for


def test_the_second_call_waits_for_its_turn_at_the_provider(doubt: Doubt, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("reminder_worker.reconciling.time.sleep", waits.append)
    doubt.leave(Scripted(Ambiguous(), Sent("first", 1), deduplicates=True), limits={"rate": 10})
    turn = doubt.clock.now + timedelta(seconds=20.2)
    doubt.schedule.client.set("rw:{0}:g:scripted", int(turn.timestamp() * 1e6))
    assert doubt.look(seconds=20).state is State.SENT
    assert waits == [pytest.approx(0.2, abs=0.002)]


@pytest.mark.parametrize("error", [Ambiguous(), NotSent(Reason.NOT_SENT), Throttled(5), Misconfigured(), KeyError()])
def test_any_other_answer_to_the_second_says_nothing_of_the_first(doubt: Doubt, error: ReminderError) -> None:
    doubt.leave(Scripted(Ambiguous(), *[error] * 6, deduplicates=True, settles_within=SETTLES))
    assert doubt.look(seconds=20).state is State.SENDING
    shown = doubt.look(seconds=SETTLES.seconds)
    assert (shown.state, shown.attempts) == (State.UNKNOWN, 1)


def test_a_final_refusal_of_the_second_holds_for_the_first(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), Rejected(Reason.LANDLINE), deduplicates=True))
    shown = doubt.look(seconds=20)
    assert (shown.state, shown.reason) == (State.FAILED, Reason.LANDLINE)


@pytest.mark.parametrize("reason", [Reason.LANDLINE, OPTED_OUT])
def test_a_refusal_says_nothing_of_a_first_call_that_may_have_been_to_another_phone(
    doubt: Doubt, reason: Reason
) -> None:
    doubt.contact = replace(doubt.contact, may_change=True)
    doubt.leave(Scripted(Ambiguous(), Rejected(reason), Sent("first", 1), deduplicates=True, settles_within=SETTLES))
    assert doubt.look(seconds=20).state is State.SENDING
    assert doubt.office.optouts.stopped_by(PHONE) is (reason is OPTED_OUT)
    assert doubt.look(minutes=1).state is State.SENT


@pytest.mark.parametrize("kind", ["asked", "neither"])
def test_a_clock_of_the_store_that_jumps_ahead_ends_no_call_that_is_under_way(
    doubt: Doubt, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    doubt.leave(Scripted(Ambiguous(), finds_by_reference=kind == "asked", settles_within=SETTLES))
    began = doubt.clock.now
    monkeypatch.setattr("reminder_worker.reconciling.wall_time", lambda: began + timedelta(seconds=20))
    assert doubt.look(hours=1).state is State.SENDING
    monkeypatch.setattr("reminder_worker.reconciling.wall_time", lambda: doubt.clock.now)
    assert doubt.look(minutes=10).state is not State.SENDING


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Sent("first", 1), State.SENT),
        (Rejected(Reason.LANDLINE), State.FAILED),
        (Rejected(OPTED_OUT), State.SUPPRESSED),
    ],
)
def test_what_is_known_is_written_down_before_the_gate_is_told(
    doubt: Doubt, monkeypatch: pytest.MonkeyPatch, answer: Any, state: State
) -> None:
    doubt.leave(Scripted(Ambiguous(), answer, deduplicates=True))
    monkeypatch.setattr(doubt.office.gate, "report", Mock(side_effect=StoreUnavailable("away")))
    with pytest.raises(StoreUnavailable):
        doubt.look(seconds=20)
    assert doubt.show().state is state


def test_the_opt_out_list_is_told_before_a_refusal_ends_it(doubt: Doubt, monkeypatch: pytest.MonkeyPatch) -> None:
    doubt.leave(Scripted(Ambiguous(), Rejected(OPTED_OUT), deduplicates=True))
    monkeypatch.setattr(doubt.office.optouts, "stop", Mock(side_effect=StoreUnavailable("away")))
    with pytest.raises(StoreUnavailable):
        doubt.look(seconds=20)
    assert doubt.show().state is State.SENDING  # somebody comes back, and says it then


def test_a_provider_that_has_forgotten_the_reference_is_not_sent_it_again(doubt: Doubt) -> None:
    window = timedelta(seconds=10)
    doubt.leave(Scripted(Ambiguous(), deduplicates=True, deduplicates_within=window, settles_within=SETTLES))
    assert doubt.look(seconds=20).state is State.SENDING
    assert len(doubt.provider.texts) == 1


@pytest.mark.parametrize("late", [False, True])
def test_what_must_not_be_sent_any_more_is_not_sent_again(doubt: Doubt, *, late: bool) -> None:
    doubt.leave(Scripted(Ambiguous(), deduplicates=True, settles_within=SETTLES))
    doubt.expires = doubt.clock.now if late else doubt.expires
    assert doubt.look(seconds=20, reopens=late).state is State.SENDING
    assert len(doubt.provider.texts) == 1


def test_outside_production_not_even_the_same_text_reaches_a_number_that_is_not_allowed(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), deduplicates=True, settles_within=SETTLES))
    doubt.office.carriers._allowed = ("+1",)
    assert doubt.look(seconds=20).state is State.SENDING
    assert len(doubt.provider.texts) == 1


# The provider's own word


def test_the_reference_is_tried_before_a_look_up(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), Sent("first", 1), deduplicates=True, finds_by_reference=True))
    assert doubt.look(seconds=20).state is State.SENT
    assert doubt.provider.looks == []


def test_a_search_that_finds_is_a_proof(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), searches=True, settles_within=SETTLES))
    doubt.provider.accepted[doubt.reference] = Sent("found", 1)
    assert doubt.look(seconds=20).state is State.SENT
    assert doubt.provider.looks == [PHONE]


def test_a_search_that_finds_nothing_is_none(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), searches=True, settles_within=SETTLES))
    assert doubt.look(seconds=20).state is State.SENDING
    shown = doubt.look(seconds=SETTLES.seconds)
    assert (shown.state, shown.attempts) == (State.UNKNOWN, 1)
    assert len(doubt.provider.texts) == 1


def test_a_search_needs_the_text_again(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), searches=True, settles_within=SETTLES))
    assert doubt.look(seconds=20, reopens=False).state is State.SENDING
    assert doubt.provider.looks == []


def test_a_provider_that_should_find_and_does_not_answer_is_asked_for_hours(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), finds_by_reference=True, settles_within=SETTLES))
    doubt.provider.silence = KeyError(PHONE)
    assert doubt.look(seconds=SETTLES.seconds * 2).state is State.SENDING
    assert doubt.look(seconds=PATIENCE.seconds).state is State.UNKNOWN


NONSENSE: dict[str, Any] = {"half a character": Sent("\ud800", 1), "nothing": Sent(None, 1), "a word": "id-1"}  # type: ignore[arg-type]
NONSENSE["the class"] = Sent


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("way", ["finds_by_reference", "searches", "deduplicates"])
def test_what_a_plug_in_finds_and_nobody_can_write_down_is_no_answer(doubt: Doubt, way: str, answer: Any) -> None:
    provider = Scripted(Ambiguous(), settles_within=SETTLES, **{way: True})
    doubt.leave(provider)
    provider.accepted[doubt.reference] = answer
    provider.say(answer)
    assert doubt.look(minutes=2).state is State.SENDING
    provider.say(answer)
    assert doubt.look(hours=7).state is State.UNKNOWN


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("way", ["finds_by_reference", "searches", "deduplicates"])
def test_a_plug_in_that_would_end_the_process_gives_no_answer(
    doubt: Doubt, way: str, error: type[BaseException]
) -> None:
    provider = Scripted(Ambiguous(), settles_within=SETTLES, **{way: True})
    doubt.leave(provider)
    provider.silence = error()
    provider.during = Mock(side_effect=error)
    assert doubt.look(minutes=2).state is State.SENDING
    assert doubt.look(hours=7).state is State.UNKNOWN


def test_what_a_receipt_tells_while_the_provider_is_asked_is_not_called_resolved_otherwise(
    doubt: Doubt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "reminder_worker")
    provider = Scripted(Ambiguous(), finds_by_reference=True, settles_within=SETTLES)
    doubt.leave(provider)
    provider.find = lambda _: doubt.hear(State.DELIVERED) and None  # type: ignore[method-assign]
    assert doubt.look(seconds=SETTLES.seconds).state is State.DELIVERED
    assert "attempt_resolved" not in [record.msg for record in caplog.records]


def test_a_provider_whose_table_has_gone_leaves_it_unknown(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), settles_within=SETTLES))
    del doubt.office.carriers._providers["scripted"]
    assert doubt.look(seconds=20).state is State.SENDING
    assert doubt.look(seconds=PATIENCE.seconds).state is State.UNKNOWN


def test_a_worker_without_the_provider_s_table_leaves_it_for_one_that_has_it(doubt: Doubt) -> None:
    """Settings are changed on one machine after the other."""
    doubt.leave(Scripted(Ambiguous(), Sent("first", 1), deduplicates=True), resend=True)
    carriers = doubt.office.carriers._providers
    provider = carriers.pop("scripted")
    assert doubt.look(minutes=20).state is State.SENDING
    carriers["scripted"] = provider
    assert doubt.look(minutes=20).state is State.SENT
    first, second = doubt.provider.texts
    assert first.reference == second.reference


# Receipts


@pytest.mark.parametrize("state", [State.SENT, State.DELIVERED, State.UNDELIVERED])
def test_a_receipt_settles_it_while_it_is_open(doubt: Doubt, state: State) -> None:
    doubt.leave(Scripted(Ambiguous(), receipt_carries_reference=True, settles_within=SETTLES))
    assert doubt.hear(state)
    assert doubt.show().state is state
    assert doubt.look(days=1).state is state
    assert len(doubt.provider.texts) == 1


def test_a_receipt_resolves_unknown_days_later(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), receipt_carries_reference=True, settles_within=SETTLES))
    assert doubt.look(seconds=SETTLES.seconds).state is State.UNKNOWN
    doubt.clock.forward(hours=72)
    assert doubt.hear(State.DELIVERED)
    assert doubt.show().state is State.DELIVERED


def test_a_receipt_cancels_a_text_that_was_to_be_sent_again(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), receipt_carries_reference=True, settles_within=SETTLES), resend=True)
    assert doubt.look(seconds=SETTLES.seconds).state is State.SCHEDULED
    assert doubt.hear(State.SENT)
    assert doubt.show().state is State.SENT
    assert not doubt.schedule.take(0, capacity=10).wakes
    assert len(doubt.provider.texts) == 1


def test_a_receipt_for_an_earlier_attempt_counts_as_much(doubt: Doubt, caplog: pytest.LogCaptureFixture) -> None:
    provider = Scripted(Ambiguous(), Ambiguous(), receipt_carries_reference=True, settles_within=SETTLES)
    doubt.leave(provider, resend=True)
    doubt.look(seconds=SETTLES.seconds)
    claim = doubt.schedule.claim(doubt.schedule.take(0, capacity=10).wakes[0])
    assert isinstance(claim, Claim)
    doubt.office.delivery.deliver(claim, doubt.order())
    assert doubt.show().attempts == 2
    assert doubt.hear(State.DELIVERED)  # the first one
    assert doubt.show().state is State.DELIVERED
    assert doubt.hear(State.DELIVERED, provider.texts[1].reference)
    assert [record.msg for record in caplog.records if record.levelname == "ERROR"] == ["texted_twice"]


def test_a_worker_that_is_about_to_send_again_is_stopped_by_a_receipt(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), receipt_carries_reference=True, settles_within=SETTLES), resend=True)
    doubt.look(seconds=SETTLES.seconds)
    claim = doubt.schedule.claim(doubt.schedule.take(0, capacity=10).wakes[0])
    assert isinstance(claim, Claim)
    doubt.hear(State.SENT)
    doubt.office.delivery.deliver(claim, doubt.order())
    assert len(doubt.provider.texts) == 1


def test_held_is_the_default_and_resend_an_operator_s_choice(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), settles_within=SETTLES), resend=True)
    assert doubt.look(seconds=SETTLES.seconds).state is State.SCHEDULED


def test_an_attempt_of_long_ago_is_looked_after_with_its_envelope(doubt: Doubt, clock: Clock) -> None:
    doubt.leave(Scripted(Ambiguous(), settles_within=SETTLES))
    clock.forward(seconds=20)
    (wake,) = doubt.schedule.sweep(0)
    attempt = doubt.schedule.claim(wake)
    assert isinstance(attempt, OpenAttempt)
    assert attempt.envelope == b"sealed"
    assert isinstance(attempt.asked, datetime)
    assert replace(attempt, wake=Wake(ID, 0, 1)) == attempt


def test_where_nothing_can_settle_it_nothing_is_waited_for(doubt: Doubt) -> None:
    doubt.leave(Scripted(Ambiguous(), receipt_carries_reference=False, receipts_by_id=True, settles_within=SETTLES))
    assert doubt.look(seconds=20).state is State.UNKNOWN
