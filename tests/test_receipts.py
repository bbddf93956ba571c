"""Receipts into the ledger, by our reference or by the provider's own name for a text; and what is to be forgotten."""

from datetime import timedelta
from typing import Any

import pytest
from clock import Clock
from scripted import Office, Scripted

from reminder_worker.contacts import Contact
from reminder_worker.delivery import Order, new_reference
from reminder_worker.drafting import Draft
from reminder_worker.errors import Ambiguous, Reason
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import FORGET_AFTER, Claim, Entry, Leftover, Outcome, Reminder, Wake
from reminder_worker.providers import Receipt, Reply, Sent
from reminder_worker.receipts import FORGET_LEASE, Receipts, member_of
from reminder_worker.schedule import Schedule
from reminder_worker.wire.link import Answer
from reminder_worker.wire.shortmessages import Report

ID = b"\2" + bytes(range(1, 16))


class Desk:
    """A reminder that went to a provider."""

    def __init__(self, schedule: Schedule, clock: Clock) -> None:
        self.schedule, self.clock = schedule, clock

    def send(self, provider: Scripted) -> None:
        self.provider, self.office = provider, Office(self.schedule, provider)
        self.schedule.add([Entry(ID, bytes(12), b"sealed", (self.clock.now,))])
        shard = self.schedule.shard_of(ID)
        claim = self.schedule.claim(self.schedule.take(shard, capacity=10).wakes[0])
        assert isinstance(claim, Claim)
        expires = self.clock.now + timedelta(hours=1)
        self.office.delivery.deliver(claim, Order("clinic", Contact("+33612340015", "fr"), Draft("x", 1), expires))

    def hear(
        self, state: State | None, *, reason: Reason | None = None, message: str = "id-1", named: bool = True
    ) -> bool:
        reference = self.provider.texts[0].reference if named else ""
        return self.office.receipts.take(self.provider, Receipt(reference, state, message, reason))

    def show(self) -> Reminder:
        return self.schedule.show(ID)[0]

    def forget(self, **span: float) -> list[str]:
        self.clock.forward(**span)
        self.office.delivery.forget()
        return self.provider.forgotten


@pytest.fixture(params=[1, 3])
def desk(request: pytest.FixtureRequest, schedule: Schedule, clock: Clock) -> Desk:
    return Desk(Schedule(schedule.client, shards=request.param), clock)


# By reference


@pytest.mark.parametrize(
    ("state", "reason"), [(State.UNDELIVERED, "no such subscriber: +33612340015"), (State.FAILED, None), ("lost", None)]
)
def test_what_no_receipt_can_say_is_not_written_down(desk: Desk, state: State, reason: Reason) -> None:
    desk.send(Scripted())
    with pytest.raises(TypeError):
        desk.hear(state, reason=reason)
    assert (desk.show().state, desk.show().reason) == (State.SENT, None)


def test_a_receipt_s_name_for_a_text_is_a_text(desk: Desk) -> None:
    desk.send(Scripted(forgets=True))
    with pytest.raises(TypeError):
        desk.hear(State.DELIVERED, message=b"\xff")  # type: ignore[arg-type]
    assert desk.hear(State.DELIVERED)


def test_a_text_is_delivered_when_its_provider_says_so(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1)))
    assert desk.hear(State.DELIVERED)
    assert desk.show().state is State.DELIVERED


@pytest.mark.parametrize(
    ("reason", "failure_class"),
    [
        (Reason.UNREACHABLE, FailureClass.TEMPORARY),
        (Reason.VALIDITY_OVER, FailureClass.TEMPORARY),
        (Reason.LANDLINE, FailureClass.PERMANENT),
        (Reason.CARRIER_FAILED, FailureClass.TECHNICAL),
    ],
)
def test_a_text_that_did_not_arrive_says_why_and_whose_fault_it_was(
    desk: Desk, reason: Reason, failure_class: FailureClass
) -> None:
    desk.send(Scripted(Sent("id-1", 1)))
    assert desk.hear(State.UNDELIVERED, reason=reason)
    shown = desk.show()
    assert (shown.state, shown.reason, shown.failure_class) == (State.UNDELIVERED, reason, failure_class)


def test_a_receipt_that_says_nothing_changes_nothing(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1)))
    assert not desk.hear(None)
    assert desk.show().state is State.SENT


def test_a_refusal_reported_of_an_attempt_that_was_given_up_does_not_end_the_reminder(desk: Desk) -> None:
    desk.send(Scripted(Ambiguous()))
    claim = desk.show()
    assert claim.state is State.SENDING
    desk.office.reconciling._resend_unknown = True
    desk.clock.forward(hours=1)
    (wake,) = desk.schedule.sweep(desk.schedule.shard_of(ID))
    desk.office.reconciling.look(desk.schedule.claim(wake), lambda _: None)  # type: ignore[arg-type]
    assert desk.show().state is State.SCHEDULED
    assert not desk.hear(State.UNDELIVERED, reason=Reason.CARRIER_FAILED)
    assert desk.show().state is State.SCHEDULED


def test_only_the_provider_of_an_attempt_can_report_it(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1)))
    receipt = Receipt(desk.provider.texts[0].reference, State.DELIVERED)
    assert not desk.office.receipts.take(Scripted(name="other"), receipt)
    assert desk.show().state is State.SENT


@pytest.mark.parametrize(
    "change", [lambda r: r[:-1] + ("A" if r[-1] != "A" else "B"), lambda _: "", lambda _: "é" * 39]
)
def test_who_does_not_know_the_secret_changes_nothing(desk: Desk, change: object) -> None:
    desk.send(Scripted(Sent("id-1", 1)))
    assert callable(change)
    guess = change(desk.provider.texts[0].reference)
    assert not desk.office.receipts.take(desk.provider, Receipt(guess, State.DELIVERED))
    assert desk.show().state is State.SENT


def test_a_reference_leads_back_to_its_reminder_and_anything_else_nowhere() -> None:
    wake = Wake(ID, 3, 1)
    assert member_of(new_reference(wake)) == wake.member
    for other in ("", "a", "=" * 39, "é" * 39, new_reference(wake) + "A", new_reference(wake)[1:]):
        assert member_of(other) is None or other == "=" * 39


def test_moving_an_appointment_forgets_its_old_attempts(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1)))
    desk.schedule.add([Entry(ID, b"\1" * 12, b"sealed", (desk.clock.now,))])
    assert not desk.hear(State.DELIVERED)
    assert desk.show().state is State.SCHEDULED


@pytest.mark.parametrize("by_id", [False, True])
def test_receipts_that_come_together_are_answered_each_for_itself(desk: Desk, *, by_id: bool) -> None:
    provider = Scripted(receipts_by_id=by_id)
    office = Office(desk.schedule, provider)
    ids = [bytes([number]) * 16 for number in range(6)]
    desk.schedule.add([Entry(one, bytes(12), b"sealed", (desk.clock.now,)) for one in ids])
    expires = desk.clock.now + timedelta(hours=1)
    for shard in range(desk.schedule.shards):
        for wake in desk.schedule.take(shard, capacity=10).wakes:
            claim = desk.schedule.claim(wake)
            assert isinstance(claim, Claim)
            office.delivery.deliver(claim, Order("clinic", Contact("+33612340015", "fr"), Draft("x", 1), expires))
    texts = [(member_of(text.reference), text.reference, f"id-{at}") for at, text in enumerate(provider.texts, 1)]
    heard = [Receipt("" if by_id else ref, State.DELIVERED, name) for _, ref, name in sorted(texts)]
    heard[1] = Receipt("", None)
    heard[3] = Receipt("", State.DELIVERED, "of-nobody") if by_id else Receipt("A" * 39, State.DELIVERED)
    desk.schedule.client.script_flush()  # as after a failover
    assert office.receipts.take_all([(provider, one) for one in heard]) == [True, False, True, False, True, True]
    shown = [desk.schedule.show(one)[0].state for one in ids]
    assert shown == [State.SENT if place in {1, 3} else State.DELIVERED for place in range(6)]


def test_of_several_receipts_of_one_text_the_first_final_one_stays(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1)))
    states = State.SENT, State.UNDELIVERED, State.DELIVERED
    told = [Receipt(desk.provider.texts[0].reference, state, "id-1", Reason.UNREACHABLE) for state in states]
    assert desk.office.receipts.take_all([(desk.provider, one) for one in told]) == [True, True, True]
    assert (desk.show().state, desk.show().reason) == (State.UNDELIVERED, Reason.UNREACHABLE)


# By the provider's own name


def test_a_receipt_finds_its_text_by_the_provider_s_name(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1), receipts_by_id=True))
    assert desk.hear(State.DELIVERED, named=False)
    assert desk.show().state is State.DELIVERED


def test_a_receipt_that_comes_before_the_name_is_known_waits_for_it(desk: Desk) -> None:
    provider = Scripted(Sent("id-1", 1), receipts_by_id=True)
    heard = Receipt("", State.UNDELIVERED, "id-1", Reason.UNREACHABLE)
    provider.during = lambda _: Receipts(desk.schedule).take(provider, heard)
    desk.send(provider)
    shown = desk.show()
    assert (shown.state, shown.reason) == (State.UNDELIVERED, Reason.UNREACHABLE)


def test_the_same_name_at_two_providers_is_two_texts(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1), receipts_by_id=True))
    assert not desk.office.receipts.take(Scripted(name="other"), Receipt("", State.DELIVERED, "id-1"))
    assert desk.show().state is State.SENT


def test_a_name_is_not_kept_in_clear(desk: Desk) -> None:
    desk.send(Scripted(Sent("a-name-of-theirs", 1), receipts_by_id=True))
    assert not [key for key in desk.schedule.client.scan_iter() if b"a-name" in key]


def test_a_name_that_may_hold_the_number_is_kept_only_where_the_text_is_to_be_removed_by_it(desk: Desk) -> None:
    desk.send(Scripted(Sent("33612340015-1", 1)))
    assert desk.hear(State.DELIVERED, message="33612340015-1")
    (row,) = desk.schedule.client.scan_iter(match="rw:{*}:r:*")
    assert not [value for value in desk.schedule.client.hvals(row) if b"33612340015" in value]


# What providers should not keep


def test_number_and_words_are_removed_after_the_final_receipt(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1), forgets=True))
    assert desk.forget(hours=1) == []
    desk.hear(State.DELIVERED)
    assert desk.forget() == ["id-1"]
    desk.hear(State.DELIVERED)
    assert desk.forget(days=10) == ["id-1"]  # once


def test_without_a_receipt_they_are_removed_in_the_end(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1), forgets=True))
    assert desk.forget(seconds=FORGET_AFTER.total_seconds() - 1) == []
    assert desk.forget(seconds=1) == ["id-1"]


@pytest.mark.parametrize("error", [TimeoutError("+33612340015"), SystemExit("+33612340015"), GeneratorExit()])
def test_a_provider_that_does_not_remove_them_is_asked_again(desk: Desk, error: BaseException) -> None:
    """Also where it would end the thread that asks: nothing would be removed any more."""
    desk.send(Scripted(Sent("id-1", 1), forgets=True))
    desk.hear(State.DELIVERED)
    desk.provider.silence = error
    assert desk.forget() == []
    desk.provider.silence = None
    assert desk.forget(seconds=FORGET_LEASE.total_seconds() - 1) == []
    assert desk.forget(seconds=1) == ["id-1"]


@pytest.mark.parametrize("odd", [b"\xff", 7, ["id-0"]])
def test_a_name_that_is_no_text_holds_up_the_removal_of_no_other(desk: Desk, odd: Any) -> None:
    desk.send(Scripted(Sent(odd, 1), forgets=True))
    assert desk.show().state is State.SENT
    desk.hear(State.DELIVERED, message="")
    assert desk.forget() == [str(odd)]


def test_it_is_given_up_after_the_retention(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1), forgets=True))
    desk.provider.silence = TimeoutError()
    desk.forget(days=4)
    desk.provider.silence = None
    assert desk.forget(days=40) == []
    assert not [key for key in desk.schedule.client.scan_iter() if key.endswith(b"forget")]


def test_a_moved_appointment_s_text_is_removed_too(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1), forgets=True))
    desk.schedule.add([Entry(ID, b"\1" * 12, b"sealed", (desk.clock.now,))])
    assert desk.forget(seconds=FORGET_AFTER.total_seconds()) == ["id-1"]


def test_a_receipt_that_came_first_brings_the_name_that_is_needed(desk: Desk) -> None:
    provider = Scripted(Sent("id-1", 1), forgets=True)
    provider.during = lambda text: Receipts(desk.schedule).take(provider, Receipt(text.reference, State.DELIVERED))
    desk.send(provider)
    assert desk.show().state is State.DELIVERED
    assert desk.forget() == ["id-1"]


def test_what_a_provider_does_not_keep_is_not_on_the_list(desk: Desk) -> None:
    desk.send(Scripted(Sent("id-1", 1)))
    desk.hear(State.DELIVERED)
    assert desk.forget(days=10) == []


def test_the_name_that_a_provider_gave_a_text_is_in_no_repr() -> None:
    named = "33612340015-1"  # some gateways put the number there
    holders = [
        *(Sent(named, 1), Receipt("", State.SENT, named), Reply("", "", named), Outcome.sent(named)),
        *(Leftover(f"1|scripted|{named}".encode(), 0, "scripted", named), Answer(0, named), Report(named, named, "")),
    ]
    assert [holder for holder in holders if "612340015" in repr(holder)] == []


def test_when_a_reminder_falls_due_is_in_no_repr_of_what_is_handed_in(clock: Clock) -> None:
    assert "datetime" not in repr(Entry(ID, bytes(12), b"sealed", (clock.now,)))
