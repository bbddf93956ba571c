"""What a proof, a receipt or a refusal does to a row of the ledger, seen in Redis itself."""

from datetime import timedelta
from typing import Any

import pytest
from clock import START, Clock
from scripted import PHONE, Office, Scripted

from reminder_worker import store
from reminder_worker.contacts import Contact
from reminder_worker.delivery import Order
from reminder_worker.drafting import Draft
from reminder_worker.errors import Ambiguous, NotSent, Reason, Rejected
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import HEAD_BYTES, Claim, Entry, Head, Intent, OpenAttempt, Outcome
from reminder_worker.providers import Receipt, Sent, Text
from reminder_worker.receipts import FORGET_BATCH
from reminder_worker.schedule import Schedule

ID = b"\0" + bytes(range(1, 16))
MEMBER = ID + b"\0"
ROW = b"rw:{0}:r:" + MEMBER
LEASE = timedelta(seconds=9)


def claimed(schedule: Schedule, clock: Clock, *later: timedelta) -> Claim:
    schedule.add([Entry(ID, b"1" * 12, b"sealed", (clock.now, *(clock.now + span for span in later)))])
    claim = schedule.claim(schedule.take(0, capacity=9).wakes[0])
    assert isinstance(claim, Claim)
    return claim


def two_attempts(schedule: Schedule, clock: Clock) -> Claim:
    """Close an attempt at "a", whose proof comes late, and leave one at "b" in doubt."""
    claim = claimed(schedule, clock)
    assert schedule.intend(claim, "a", "ref-a", lease=LEASE) is Intent.OK
    schedule.settle(claim.wake, Outcome.closed(Reason.NOT_SENT), token=claim.token, reference="ref-a")
    assert schedule.intend(claim, "b", "ref-b", lease=LEASE) is Intent.OK
    return claim


def receive(schedule: Schedule, ref: str, by: str, state: str, message: str = "") -> int:
    taken: int = schedule.run("receipt", 0, MEMBER, ref, by, state, "", "", message, -1, schedule.keep_ms)
    return taken


def counts(client: store.Client) -> dict[bytes, bytes]:
    found = [client.hgetall(key) for key in client.scan_iter(b"*:n:[0-9]*")]
    return {name: count for fields in found for name, count in fields.items() if count != b"0"}


def test_a_proof_of_an_earlier_attempt_names_its_provider_everywhere(schedule: Schedule, clock: Clock) -> None:
    claim = two_attempts(schedule, clock)
    assert schedule.settle(claim.wake, Outcome.sent("id-a"), reference="ref-a")
    assert schedule.show(ID)[0].provider == "a"
    assert counts(schedule.client) == {b"sent|a": b"1"}
    row = schedule.client.hgetall(ROW)
    assert (row[b"ref"], row[b"@ref-b"]) == (b"ref-a", b"b")
    assert b"@ref-a" not in row
    assert receive(schedule, "ref-a", "a", "delivered") == 1
    assert counts(schedule.client) == {b"delivered|a": b"1"}


def test_an_empty_reference_proves_nothing(schedule: Schedule, clock: Clock) -> None:
    claimed(schedule, clock)
    schedule.client.hset(ROW, b"@", b"x")
    assert receive(schedule, "", "", "sent") == 0


def test_undelivered_of_an_earlier_attempt_does_not_end_the_one_in_doubt(schedule: Schedule, clock: Clock) -> None:
    two_attempts(schedule, clock)
    assert receive(schedule, "ref-a", "a", "undelivered") == 0
    assert schedule.show(ID)[0].state is State.SENDING


def test_the_first_name_of_a_text_stays(schedule: Schedule, clock: Clock) -> None:
    claim = two_attempts(schedule, clock)
    schedule.settle(claim.wake, Outcome.sent("first", forget=True), reference="ref-b")
    receive(schedule, "ref-b", "b", "delivered", "second")
    assert schedule.client.hget(ROW, "message") == b"first"


def test_a_correction_leaves_the_other_leads_alone(schedule: Schedule, clock: Clock) -> None:
    claim = claimed(schedule, clock, timedelta(hours=1))
    schedule.intend(claim, "a", "ref-a", lease=LEASE)
    schedule.settle(claim.wake, Outcome.sent("x"), reference="ref-a")
    receive(schedule, "ref-a", "a", "delivered")
    whole = schedule.client.get(b"rw:{0}:a:" + ID)
    assert (Head.of(whole).left, whole[HEAD_BYTES:]) == (0b10, b"sealed")


def test_equal_content_is_known_longer_than_its_outcome(schedule: Schedule, clock: Clock) -> None:
    claim = claimed(schedule, clock)
    outcome = Outcome.final(State.FAILED, Reason.LANDLINE, FailureClass.PERMANENT)
    schedule.settle(claim.wake, outcome, token=claim.token)
    row, head = schedule.client.pttl(ROW), schedule.client.pttl(b"rw:{0}:a:" + ID)
    assert head - row > 29 * 86_400_000


def test_an_attempt_that_was_closed_is_not_opened_again_under_its_name(schedule: Schedule, clock: Clock) -> None:
    claim = two_attempts(schedule, clock)
    schedule.settle(claim.wake, Outcome.closed(Reason.NOT_SENT), token=claim.token, reference="ref-b")
    assert schedule.intend(claim, "a", "ref-a", lease=LEASE) is Intent.LOST


def test_a_closed_attempt_is_not_looked_after(schedule: Schedule, clock: Clock) -> None:
    claim = two_attempts(schedule, clock)
    clock.forward(seconds=10)
    schedule.sweep(0)
    schedule.settle(claim.wake, Outcome.closed(Reason.NOT_SENT), token=claim.token, reference="ref-b")
    assert schedule.client.zcard(b"rw:{0}:open") == 0
    assert schedule.intend(claim, "c", "ref-c", lease=LEASE) is Intent.OK
    assert schedule.claim(claim.wake) is None  # no look at the next one before its own lease is over


def test_what_goes_back_to_the_schedule_begins_anew(schedule: Schedule, clock: Clock) -> None:
    claim = claimed(schedule, clock)
    for _ in range(9):  # more often than a dead letter needs
        schedule.settle(claim.wake, Outcome.hold(Reason.CIRCUIT_OPEN, timedelta()), token=claim.token)
        again = schedule.claim(schedule.take(0, capacity=9).wakes[0])
        assert isinstance(again, Claim)
        claim = again
    clock.forward(minutes=5)
    assert schedule.sweep(0)
    assert schedule.show(ID)[0].state is State.QUEUED


# The index by the provider's own name


def test_early_receipts_are_few_and_do_not_stay(schedule: Schedule) -> None:
    provider = Scripted(receipts_by_id=True)
    receipts = Office(schedule, provider).receipts
    for _ in range(20):
        receipts.take(provider, Receipt("", State.SENT, "x"))
    (early,) = schedule.client.scan_iter(b"*:e:*")
    assert schedule.client.llen(early) == 8
    assert 0 < schedule.client.pttl(early) <= 3_600_000
    receipts.expect(provider, "y", "ref")
    (attempt,) = schedule.client.scan_iter(b"*:m:*")
    assert 0 < schedule.client.pttl(attempt) <= schedule.keep_ms


def test_a_receipt_without_any_name_is_not_kept(schedule: Schedule) -> None:
    provider = Scripted(receipts_by_id=True)
    assert not Office(schedule, provider).receipts.take(provider, Receipt("", State.DELIVERED, ""))
    assert not [*schedule.client.scan_iter(b"*:e:*")]


# What is to be removed


def leftovers(schedule: Schedule, *names: bytes) -> None:
    day = START.timestamp() // 86_400
    schedule.client.zadd(b"rw:{0}:forget", {b"%d|scripted|%b" % (day, name): 0 for name in names})


def test_leftovers_come_in_batches(schedule: Schedule, clock: Clock) -> None:
    assert clock.now == START
    leftovers(schedule, *(b"%d" % number for number in range(FORGET_BATCH + 5)))
    assert len(list(Office(schedule, Scripted()).receipts.leftovers())) == FORGET_BATCH


def test_a_name_with_a_bar_is_given_back_whole(schedule: Schedule, clock: Clock) -> None:
    assert clock.now == START
    leftovers(schedule, b"a|b")
    provider = Scripted(forgets=True)
    Office(schedule, provider).delivery.forget()
    assert provider.forgotten == ["a|b"]


def test_a_provider_that_removes_nothing_now_is_not_asked_for_each_of_many(schedule: Schedule, clock: Clock) -> None:
    assert clock.now == START
    leftovers(schedule, b"a", b"b", b"c")
    provider = Scripted(forgets=True)
    calls: list[str] = []

    def hang(name: str) -> None:
        calls.append(name)
        raise TimeoutError

    provider.forget = hang  # type: ignore[method-assign]
    Office(schedule, provider).delivery.forget()
    assert len(calls) == 1


def deliver(schedule: Schedule, clock: Clock, *providers: Scripted, **options: Any) -> tuple[Office, Order]:
    office = Office(schedule, *providers, **options)
    order = Order("clinic", Contact(PHONE, "fr"), Draft("x", 1), clock.now + timedelta(days=2))
    office.delivery.deliver(claimed(schedule, clock), order)
    return office, order


def look(schedule: Schedule, office: Office, order: Order | None = None) -> None:
    for wake in schedule.sweep(0):
        attempt = schedule.claim(wake)
        assert isinstance(attempt, OpenAttempt)
        office.reconciling.look(attempt, lambda _: order)


def test_with_one_day_of_retention_a_text_is_removed_as_well(client: store.Client, clock: Clock) -> None:
    schedule = Schedule(client, retention=timedelta(days=1))
    clock.set(START.replace(hour=23))
    provider = Scripted(Sent("id-1", 1), forgets=True)
    office, _ = deliver(schedule, clock, provider)
    for _ in range(60):
        clock.forward(hours=1)
        office.delivery.forget()
    assert provider.forgotten == ["id-1"]


@pytest.mark.parametrize("state", [State.DELIVERED, State.UNDELIVERED])
def test_what_a_proof_is_worth_does_not_decide_what_is_removed(schedule: Schedule, clock: Clock, state: State) -> None:
    provider = Scripted(Ambiguous(), Sent("id-2", 1), forgets=True, settles_within=timedelta(minutes=1))
    office, order = deliver(schedule, clock, provider, resend=True)
    clock.forward(minutes=5)
    look(schedule, office)
    again = schedule.claim(schedule.take(0, capacity=9).wakes[0])
    assert isinstance(again, Claim)
    office.delivery.deliver(again, order)
    office.receipts.take(provider, Receipt(provider.texts[0].reference, state, "id-1"))  # one too many, or given up
    clock.forward(days=4)
    office.delivery.forget()
    assert sorted(provider.forgotten) == ["id-1", "id-2"]


# Providers that deduplicate


def test_an_answered_refusal_is_not_taken_for_acceptance_by_asking_twice(schedule: Schedule, clock: Clock) -> None:
    class Deduplicating(Scripted):
        def send(self, text: Text, *, deadline: float) -> Sent:
            again = text.reference in {one.reference for one in self.texts}
            self.texts.append(text)
            if again:
                return Sent(text.reference, 1)  # "I have seen this one"
            raise NotSent(Reason.NOT_SENT)

    deliver(schedule, clock, Deduplicating(deduplicates=True), Scripted(name="second"))
    assert schedule.show(ID)[0].provider == "second"


def test_an_opt_out_found_by_the_second_call_is_on_our_list(schedule: Schedule, clock: Clock) -> None:
    provider = Scripted(Ambiguous(), Rejected(Reason.OPTED_OUT), deduplicates=True)
    office, order = deliver(schedule, clock, provider)
    clock.forward(seconds=20)
    look(schedule, office, order)
    assert schedule.show(ID)[0].state is State.SUPPRESSED
    assert office.optouts.stopped_by(PHONE)


def test_asking_again_keeps_to_the_limits_too(schedule: Schedule, clock: Clock) -> None:
    provider = Scripted(*[Ambiguous()] * 20, deduplicates=True, settles_within=timedelta(hours=3))
    office = Office(schedule, provider)
    order = Order("clinic", Contact(PHONE, "fr"), Draft("x", 1), clock.now + timedelta(days=2))
    for number in range(10):
        schedule.add([Entry(bytes([0] * 15 + [number]), bytes(12), b"sealed", (clock.now,))])
    for wake in schedule.take(0, capacity=100).wakes:
        claim = schedule.claim(wake)
        assert isinstance(claim, Claim)
        office.delivery.deliver(claim, order)
    assert len(provider.texts) == 10  # so the circuit is open
    clock.forward(seconds=16)
    look(schedule, office, order)
    assert len(provider.texts) == 10


def test_an_attempt_that_was_surely_lost_counts_as_a_try(schedule: Schedule, clock: Clock) -> None:
    provider = Scripted(Ambiguous(), finds_by_reference=True, settles_within=timedelta(minutes=1))
    office, order = deliver(schedule, clock, provider)
    clock.forward(minutes=5)
    look(schedule, office, order)
    assert schedule.show(ID)[0].state is State.SCHEDULED
    assert schedule.client.hget(ROW, "tries") == b"1"


def test_a_reason_stands_beside_what_did_not_arrive_only(schedule: Schedule, clock: Clock) -> None:
    provider = Scripted(Sent("id-1", 1))
    office, _ = deliver(schedule, clock, provider)
    office.receipts.take(provider, Receipt(provider.texts[0].reference, State.DELIVERED, "", Reason.LANDLINE))
    shown = schedule.show(ID)[0]
    assert (shown.state, shown.reason, shown.failure_class) == (State.DELIVERED, None, None)
