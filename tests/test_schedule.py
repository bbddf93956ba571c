"""What the schedule promises, sentence by sentence; ``test_ledger_model`` tries it in any order."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from clock import Clock
from proxy import Proxy

from reminder_worker import schedule as module
from reminder_worker import store, topology
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Reason, StoreUnavailable
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import (
    CLAIM_LEASE,
    HEAD_BYTES,
    Answer,
    Claim,
    Durability,
    Entry,
    Intent,
    OpenAttempt,
    Outcome,
    Wake,
)
from reminder_worker.schedule import KEEP_DEAD, MOST_CLAIMS, WAKE_LEASE, Schedule

ID = b"\0" + bytes(range(1, 16))
OTHER = b"\1" + bytes(range(1, 16))
ENVELOPE = b"sealed-sealed-sealed-sealed"
LEASE = timedelta(seconds=15)
SENT = Outcome.sent("SM-provider-id")
TOO_LATE = Outcome.final(State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)
NOT_SENT = Outcome.closed(Reason.NOT_SENT)
RETRY = Outcome.retry(Reason.NOT_SENT, LEASE)
NO_PHONE = Outcome.final(State.FAILED, Reason.LANDLINE, FailureClass.PERMANENT)


class Desk:
    """Short ways to bring a reminder into a state."""

    def __init__(self, schedule: Schedule, clock: Clock) -> None:
        self.schedule, self.clock = schedule, clock

    def add(self, *dues: float | None, id_: bytes = ID, content: int = 1) -> Answer:
        """Add an appointment whose reminders fall due so many seconds from now."""
        given = dues or (0,)
        moments = tuple(None if due is None else self.clock.now + timedelta(seconds=due) for due in given)
        return self.schedule.add([Entry(id_, bytes([content]) * 12, ENVELOPE, moments)])[0]

    def take(self, capacity: int = 100) -> list[Wake]:
        return self.schedule.take(0, capacity=capacity).wakes

    def claim(self) -> Claim:
        """Take and claim the next reminder."""
        claim = self.schedule.claim(self.take()[0])
        assert isinstance(claim, Claim)
        return claim

    def intend(self, claim: Claim, reference: str = "ref-1") -> Intent:
        return self.schedule.intend(claim, "twilio", reference, lease=LEASE)

    def open(self, reference: str = "ref-1") -> Claim:
        """Bring the next reminder to where its provider is being asked."""
        claim = self.claim()
        assert self.intend(claim, reference) is Intent.OK
        return claim

    def state(self, lead: int = 0, id_: bytes = ID) -> State:
        return self.schedule.show(id_)[lead].state


@pytest.fixture
def desk(schedule: Schedule, clock: Clock) -> Desk:
    return Desk(schedule, clock)


def dump(client: store.Client) -> dict[bytes, Any]:
    """Return all that stands in the database, without the random tokens."""
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    values = {key: readers[client.type(key)](key) for key in sorted(client.scan_iter("rw:*"))}
    for value in values.values():
        if isinstance(value, dict):
            value.pop(b"token", None)
    return values


# Adding, moving, cancelling.


def test_the_same_content_again_changes_nothing(desk: Desk, client: store.Client) -> None:
    assert desk.add(60) is Answer.ADDED
    before = dump(client)
    desk.clock.forward(seconds=1)
    assert desk.add(60) is Answer.UNCHANGED
    assert dump(client) == before


def test_the_same_content_is_known_again_after_its_text_went_out(desk: Desk) -> None:
    desk.add()
    desk.schedule.settle(desk.open().wake, SENT, reference="ref-1")
    assert desk.add() is Answer.UNCHANGED
    assert not desk.take()


def test_new_content_moves_the_appointment(desk: Desk) -> None:
    desk.add(0, 10)
    assert desk.add(60, content=2) is Answer.MOVED
    assert not desk.take()
    desk.clock.forward(seconds=60)
    assert desk.take() == [Wake(ID, 0, 2)]


def test_answers_come_in_the_order_of_the_entries_across_shards(client: store.Client, clock: Clock) -> None:
    schedule = Schedule(client, shards=3)
    ids = [bytes([first]) + bytes([rest]) * 15 for rest in range(5) for first in range(5)]
    entries = [Entry(id_, b"t" * 12, b"e", (clock.now,)) for id_ in ids]
    assert schedule.add(entries[::2]) == [Answer.ADDED] * 13
    assert schedule.add(entries) == [Answer.UNCHANGED, Answer.ADDED] * 12 + [Answer.UNCHANGED]
    moved = Entry(entries[0].id, b"u" * 12, b"e", (clock.now,))
    assert schedule.add([moved, moved]) == [Answer.MOVED, Answer.UNCHANGED]


def test_every_shard_keeps_its_keys_on_one_node(client: store.Client, clock: Clock) -> None:
    schedule = Schedule(client, shards=2)
    desk = Desk(schedule, clock)
    desk.add(id_=ID)
    desk.add(id_=OTHER)
    assert {key.partition(b":")[2][:3] for key in client.scan_iter("rw:*")} == {b"{0}", b"{1}"}
    assert [len(schedule.take(shard, capacity=9).wakes) for shard in range(2)] == [1, 1]


def test_nothing_moves_or_is_cancelled_while_a_provider_is_asked(desk: Desk) -> None:
    desk.add(0, 60)
    desk.open()
    assert desk.add(90, content=2) is Answer.IN_FLIGHT
    assert desk.schedule.cancel(ID) is Answer.IN_FLIGHT
    assert [desk.state(lead) for lead in (0, 1)] == [State.SENDING, State.SCHEDULED]


@pytest.mark.parametrize("word", ["claimed", "taken", "scheduled"])
def test_after_a_confirmed_cancel_nothing_is_sent(desk: Desk, word: str) -> None:
    desk.add()
    claim = desk.claim() if word == "claimed" else None
    wakes = desk.take() if word == "taken" else []
    assert desk.schedule.cancel(ID) is Answer.CANCELLED
    assert desk.schedule.cancel(ID) is Answer.CANCELLED
    assert claim is None or desk.intend(claim) is Intent.LOST
    assert [desk.schedule.claim(wake) for wake in wakes] == [None] * len(wakes)
    assert not desk.take()
    assert desk.state() is State.CANCELLED


def test_a_cancelled_appointment_may_be_added_again(desk: Desk) -> None:
    desk.add()
    desk.schedule.cancel(ID)
    assert desk.add() is Answer.MOVED
    assert desk.take() == [Wake(ID, 0, 2)]


def test_a_cancel_says_when_nothing_was_left_or_known(desk: Desk) -> None:
    assert desk.schedule.cancel(ID) is Answer.MISSING
    desk.add()
    desk.schedule.settle(desk.claim().wake, NO_PHONE, token=b"not the token")
    assert desk.schedule.cancel(ID) is Answer.CANCELLED
    desk.add(content=2)
    desk.schedule.settle(desk.open().wake, SENT, reference="ref-1")
    assert desk.schedule.cancel(ID) is Answer.ENDED
    assert desk.state() is State.SENT


def test_after_a_move_the_old_version_is_never_claimed_nor_sent(desk: Desk) -> None:
    desk.add(0, 0)
    old = desk.claim()
    assert desk.add(0, 0, content=2) is Answer.MOVED
    assert desk.intend(old) is Intent.LOST
    assert desk.schedule.claim(old.wake) is None
    assert len(desk.take()) == 2
    assert desk.schedule.claim(old.wake) is None
    assert desk.intend(old) is Intent.LOST
    assert not desk.schedule.settle(old.wake, TOO_LATE, token=old.token)
    assert desk.state() is State.QUEUED


def test_a_cancel_takes_back_what_is_left_and_leaves_what_was_sent(desk: Desk) -> None:
    desk.add(0, 60)
    desk.schedule.settle(desk.open().wake, SENT, reference="ref-1")
    assert desk.schedule.cancel(ID) is Answer.CANCELLED
    assert [desk.state(lead) for lead in (0, 1)] == [State.SENT, State.CANCELLED]


# Taking and waking.


def test_what_is_not_due_stays(desk: Desk) -> None:
    desk.add(5)
    taken = desk.schedule.take(0, capacity=10)
    assert (taken.wakes, taken.waiting, taken.pause) == ([], 0, timedelta(seconds=5))
    desk.clock.forward(seconds=4.999)
    assert not desk.take()
    desk.clock.forward(seconds=0.001)
    assert desk.take() == [Wake(ID, 0, 1)]
    assert desk.schedule.take(0, capacity=10).pause is None


def test_the_soonest_goes_first(desk: Desk) -> None:
    ids = [bytes([number]) * 16 for number in (7, 3, 9, 1)]
    for seconds, id_ in enumerate(ids):
        desk.add(seconds, id_=id_)
    desk.clock.forward(seconds=10)
    assert [[wake.id for wake in desk.schedule.take(0, most=1, capacity=10).wakes] for _ in ids] == [
        [id_] for id_ in ids
    ]


def test_who_was_given_a_turn_goes_before_what_was_due_for_longer(desk: Desk) -> None:
    desk.add()
    claim, other = desk.claim(), bytes(15) + b"\1"
    desk.add(-60, id_=other)
    turn = Outcome.hold(Reason.RATE_LIMITED, timedelta(seconds=5))
    desk.schedule.settle(claim.wake, turn, token=claim.token)
    assert desk.schedule.show(ID)[0].due == desk.clock.now + timedelta(seconds=5)
    desk.clock.forward(seconds=5)
    taken = desk.schedule.take(0, most=1, capacity=10)
    assert ([wake.id for wake in taken.wakes], taken.waiting) == ([ID], 1)
    again = desk.schedule.claim(taken.wakes[0])
    assert again.comes_back
    desk.schedule.settle(again.wake, turn, token=again.token)
    assert [wake.id for wake in desk.take()] == [other]
    assert desk.schedule.take(0, capacity=10).pause == timedelta(seconds=5)


def test_no_more_is_taken_than_the_queue_may_hold(desk: Desk) -> None:
    for number in range(5):
        desk.add(id_=bytes([number]) * 16)
    taken = desk.schedule.take(0, capacity=2)
    assert (len(taken.wakes), taken.waiting) == (2, 3)
    assert not desk.take(capacity=2)
    claim = desk.schedule.claim(taken.wakes[0])
    assert not desk.take(capacity=2)  # claimed still counts
    desk.schedule.settle(claim.wake, NO_PHONE, token=claim.token)
    assert len(desk.take(capacity=2)) == 1
    assert not desk.take(capacity=0)


def test_a_lost_wake_up_is_made_again_more_slowly_each_time(desk: Desk) -> None:
    desk.add()
    desk.take()
    waits = []
    for _ in range(9):
        waits.append(0)
        while not (wakes := desk.schedule.sweep(0)):
            desk.clock.forward(seconds=WAKE_LEASE.seconds)
            waits[-1] += 1
        assert wakes == [Wake(ID, 0, 1)]
        assert not desk.schedule.sweep(0)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 64, 64]


# Claiming.


def test_a_lease_of_a_clock_that_was_ahead_ends_when_it_is_put_back(desk: Desk) -> None:
    began, woken = desk.clock.now, 0
    desk.add(id_=OTHER)
    desk.open()
    desk.add()
    desk.take()  # and its wake-up is lost
    desk.clock.forward(days=3)
    desk.schedule.sweep(0)
    desk.clock.set(began)
    assert {wake.id for wake in desk.schedule.sweep(0)} == {ID, OTHER}
    for _ in range(60):
        desk.clock.forward(minutes=1)
        woken += len(desk.schedule.sweep(0))
    assert 15 < woken < 40  # ever more slowly, as usual


def test_a_doubled_wake_up_claims_once(desk: Desk) -> None:
    desk.add()
    (wake,) = desk.take()
    claim = desk.schedule.claim(wake)
    assert isinstance(claim, Claim)
    assert (claim.wake, claim.tries, claim.envelope, claim.now) == (wake, 0, ENVELOPE, desk.clock.now)
    assert desk.schedule.claim(wake) is None
    desk.intend(claim)
    assert desk.schedule.claim(wake) is None
    desk.schedule.settle(wake, SENT, reference="ref-1")
    assert desk.schedule.claim(wake) is None


def test_a_stale_or_invented_wake_up_claims_nothing(desk: Desk) -> None:
    desk.add()
    assert desk.schedule.claim(Wake(ID, 0, 1)) is None  # not taken yet
    desk.add(content=2)
    desk.take()
    for wake in (Wake(ID, 0, 1), Wake(ID, 0, 3), Wake(ID, 1, 2), Wake(OTHER, 0, 1)):
        assert desk.schedule.claim(wake) is None
    assert desk.schedule.claim(Wake(ID, 0, 2))


def test_a_wake_up_from_before_a_retry_claims_nothing_until_it_is_due_again(desk: Desk) -> None:
    desk.add()
    claim = desk.claim()
    desk.schedule.settle(claim.wake, RETRY, token=claim.token)
    assert desk.schedule.claim(claim.wake) is None
    desk.clock.forward(seconds=LEASE.seconds)
    assert desk.schedule.claim(claim.wake) is None
    assert desk.claim().wake == claim.wake


def test_a_worker_that_was_taken_over_cannot_go_on(desk: Desk) -> None:
    desk.add()
    slow = desk.claim()
    desk.clock.forward(seconds=CLAIM_LEASE.seconds)
    (wake,) = desk.schedule.sweep(0)
    assert desk.intend(slow) is Intent.LOST
    quick = desk.schedule.claim(wake)
    assert desk.intend(slow) is Intent.LOST
    assert not desk.schedule.settle(wake, NO_PHONE, token=slow.token)
    assert desk.intend(quick, "ref-2") is Intent.OK
    assert not desk.schedule.settle(wake, NO_PHONE, token=slow.token)
    assert desk.state() is State.SENDING


def test_a_reminder_whose_worker_dies_five_times_is_a_dead_letter(desk: Desk, client: store.Client) -> None:
    desk.add()
    wakes = desk.take()
    for _ in range(MOST_CLAIMS):
        assert desk.schedule.claim(wakes[0])
        desk.clock.forward(hours=3)
        wakes = desk.schedule.sweep(0)
    assert not wakes
    assert (desk.state(), desk.schedule.show(ID)[0].reason) == (State.FAILED, Reason.POISON)
    assert client.zcard("rw:{0}:dead") == 1
    assert client.get(b"rw:{0}:a:" + ID).endswith(ENVELOPE)  # a person may still decide to send it
    assert client.pttl(b"rw:{0}:a:" + ID) == client.pttl(b"rw:{0}:r:" + ID + b"\0") == -1

    desk.clock.forward(seconds=KEEP_DEAD.total_seconds() - 1)
    desk.schedule.sweep(0)
    assert client.zcard("rw:{0}:dead") == 1
    desk.clock.forward(seconds=1)
    desk.schedule.sweep(0)
    assert client.zcard("rw:{0}:dead") == 0
    assert (desk.state(), desk.schedule.show(ID)[0].ended) == (State.FAILED, desk.clock.now)
    assert client.strlen(b"rw:{0}:a:" + ID) == HEAD_BYTES


def test_a_retry_starts_the_count_of_dead_workers_anew(desk: Desk) -> None:
    desk.add()
    for _ in range(2 * MOST_CLAIMS):
        claim = desk.claim()
        assert desk.schedule.settle(claim.wake, Outcome.retry(Reason.THROTTLED, timedelta()), token=claim.token)
    assert desk.claim().tries == 2 * MOST_CLAIMS


def test_what_was_rejected_may_be_handed_in_again_as_it_is(desk: Desk) -> None:
    desk.add()
    claim = desk.claim()
    forged = Outcome.final(State.REJECTED, Reason.SIGNER_UNKNOWN, FailureClass.PERMANENT)
    assert desk.schedule.settle(claim.wake, forged, token=claim.token)
    assert desk.add() is Answer.MOVED
    assert desk.state() is State.SCHEDULED


def test_what_was_rejected_is_not_sent_again_where_the_last_text_went_out(desk: Desk) -> None:
    desk.add(0, 60)
    claim = desk.claim()
    forged = Outcome.final(State.REJECTED, Reason.SIGNER_UNKNOWN, FailureClass.PERMANENT)
    assert desk.schedule.settle(claim.wake, forged, token=claim.token)
    desk.clock.forward(seconds=60)
    assert desk.schedule.settle(desk.open().wake, SENT, reference="ref-1")
    assert desk.add(None, 0) is Answer.UNCHANGED
    assert not desk.take()


# Intent.


def test_a_claim_makes_one_attempt_at_a_time(desk: Desk) -> None:
    desk.add()
    claim = desk.open()
    assert desk.intend(claim, "ref-2") is Intent.LOST
    assert desk.schedule.settle(claim.wake, Outcome.closed(Reason.NOT_SENT), token=claim.token, reference="ref-1")
    assert desk.intend(claim, "ref-1") is Intent.LOST  # a repeat from before, long on its way
    assert desk.intend(claim, "ref-2") is Intent.OK
    assert desk.schedule.show(ID)[0].attempts == 2


def test_an_ended_intent_is_never_queued_again_only_looked_after(desk: Desk) -> None:
    desk.add()
    claim = desk.open()
    asked = desk.clock.now
    assert desk.schedule.claim(claim.wake) is None
    for wait in (LEASE, WAKE_LEASE, 2 * WAKE_LEASE, 4 * WAKE_LEASE, 8 * WAKE_LEASE):
        desk.clock.forward(seconds=wait.seconds - 0.001)
        assert not desk.schedule.sweep(0)
        desk.clock.forward(seconds=0.001)
        assert desk.schedule.sweep(0) == [claim.wake]
        assert not desk.take()
        found = desk.schedule.claim(claim.wake)
        assert isinstance(found, OpenAttempt)
        assert (found.wake, found.now, found.asked) == (claim.wake, desk.clock.now, asked)
        assert (found.provider, found.reference, found.envelope) == ("twilio", "ref-1", claim.envelope)
        assert desk.state() is State.SENDING


def test_only_who_holds_the_attempt_can_close_it(desk: Desk) -> None:
    desk.add()
    claim = desk.open()
    for outcome in (NO_PHONE, Outcome.closed(Reason.NOT_SENT), Outcome.retry(Reason.NOT_SENT, timedelta()), SENT):
        assert not desk.schedule.settle(claim.wake, outcome, token=claim.token)
        assert not desk.schedule.settle(claim.wake, outcome, token=claim.token, reference="ref-2")
    assert desk.state() is State.SENDING


# Outcomes.


def test_sent_is_taken_from_a_late_worker_whatever_was_noted_meanwhile(desk: Desk, client: store.Client) -> None:
    def unknown(claim: Claim) -> None:
        doubt = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
        assert desk.schedule.settle(claim.wake, doubt, reference="ref-1")
        assert client.zcard("rw:{0}:unknown") == 1

    def given_up(claim: Claim) -> None:
        assert desk.schedule.settle(claim.wake, NO_PHONE, reference="ref-1")

    def closed(claim: Claim) -> None:
        assert desk.schedule.settle(claim.wake, Outcome.closed(Reason.NOT_SENT), reference="ref-1")

    def scheduled(claim: Claim) -> None:
        assert desk.schedule.settle(claim.wake, Outcome.retry(Reason.AMBIGUOUS, timedelta()), reference="ref-1")

    def queued(claim: Claim) -> None:
        scheduled(claim)
        assert desk.take() == [claim.wake]

    def claimed(claim: Claim) -> None:
        scheduled(claim)
        assert desk.claim()

    def cancelled(claim: Claim) -> None:
        scheduled(claim)
        assert desk.schedule.cancel(ID) is Answer.CANCELLED

    for content, meanwhile in enumerate((unknown, given_up, closed, scheduled, queued, claimed, cancelled)):
        desk.add(content=content)
        claim = desk.open()
        meanwhile(claim)
        assert desk.schedule.settle(claim.wake, SENT, reference="ref-1"), meanwhile.__name__
        assert desk.state() is State.SENT
        assert not any(client.zcard(f"rw:{{0}}:{name}") for name in ("due", "live", "open", "dead", "unknown"))
        assert client.strlen(b"rw:{0}:a:" + ID) == HEAD_BYTES
    counts = client.hgetall(next(client.scan_iter("rw:{0}:n:[0-9]*")))
    assert {name: int(count) for name, count in counts.items() if count != b"0"} == {b"sent|twilio": content + 1}


def test_a_repeated_outcome_is_taken_as_said_before(desk: Desk) -> None:
    desk.add(0, 0)
    sent, failed = (desk.schedule.claim(wake) for wake in desk.take())
    desk.intend(sent)
    for _ in range(2):
        assert desk.schedule.settle(sent.wake, SENT, token=sent.token, reference="ref-1")
        assert desk.schedule.settle(failed.wake, NO_PHONE, token=failed.token)
        desk.clock.forward(days=1)
    ended = desk.clock.now - timedelta(days=2)
    assert [reminder.ended for reminder in desk.schedule.show(ID)] == [ended, ended]


def test_nothing_overwrites_sent(desk: Desk) -> None:
    desk.add()
    claim = desk.open()
    assert desk.schedule.settle(claim.wake, SENT, token=claim.token, reference="ref-1")
    doubt = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
    for outcome in (NO_PHONE, TOO_LATE, doubt, Outcome.closed(Reason.NOT_SENT), Outcome.retry(Reason.NOT_SENT, LEASE)):
        assert not desk.schedule.settle(claim.wake, outcome, token=claim.token, reference="ref-1")
    desk.clock.forward(days=1)
    assert not desk.schedule.sweep(0)
    assert not desk.take()
    assert desk.state() is State.SENT


def test_what_was_not_accepted_goes_back_to_the_schedule(desk: Desk) -> None:
    desk.add()
    claim = desk.claim()
    assert desk.schedule.settle(claim.wake, Outcome.hold(Reason.NOT_CONFIRMED, LEASE), token=claim.token)
    assert desk.state() is State.SCHEDULED
    assert not desk.take()
    desk.clock.forward(seconds=15)
    claim = desk.claim()
    assert claim.tries == 0  # a hold is no try
    desk.schedule.settle(claim.wake, Outcome.retry(Reason.THROTTLED, LEASE), token=claim.token)
    desk.clock.forward(seconds=15)
    assert desk.claim().tries == 1


def test_nothing_of_the_job_is_left_after_it_is_final(desk: Desk, client: store.Client) -> None:
    desk.add(0, 60)
    desk.schedule.settle(desk.open().wake, SENT, reference="ref-1")
    assert ENVELOPE in str(dump(client)).encode()  # the other reminder still needs it
    desk.clock.forward(seconds=60)
    claim = desk.claim()
    desk.schedule.settle(claim.wake, TOO_LATE, token=claim.token)
    left = dump(client)
    assert ENVELOPE not in str(left).encode()
    assert b"token" not in client.hgetall(b"rw:{0}:r:" + ID + b"\0")
    assert all(client.pttl(key) > 0 for key in left if key != b"rw:{0}:shards")
    assert [desk.state(lead) for lead in (0, 1)] == [State.SENT, State.EXPIRED]


def test_a_reminder_is_forgotten_after_the_retention(desk: Desk, client: store.Client) -> None:
    desk.add(0, 60)
    desk.schedule.settle(desk.open().wake, SENT, reference="ref-1")
    row = b"rw:{0}:r:" + ID + b"\0"
    assert 0 < client.pttl(row) <= desk.schedule.retention / timedelta(milliseconds=1)
    client.delete(row)  # as Redis does in its time
    assert [(reminder.lead, reminder.state) for reminder in desk.schedule.show(ID)] == [(1, State.SCHEDULED)]


def test_an_unknown_outcome_is_listed_for_as_long_as_it_is_kept(desk: Desk, client: store.Client) -> None:
    desk.add()
    doubt = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
    desk.schedule.settle(desk.open().wake, doubt, reference="ref-1")
    desk.clock.forward(seconds=desk.schedule.retention.total_seconds() - 1)
    desk.schedule.sweep(0)
    assert client.zcard("rw:{0}:unknown") == 1
    desk.clock.forward(seconds=1)
    desk.schedule.sweep(0)
    assert client.zcard("rw:{0}:unknown") == 0


def test_how_reminders_ended_is_counted_by_day_and_provider(desk: Desk, client: store.Client) -> None:
    for number in range(3):
        desk.add(id_=bytes([number]) * 16)
        claim = desk.open(f"ref-{number}")
        desk.schedule.settle(claim.wake, SENT if number else NO_PHONE, reference=f"ref-{number}")
    desk.add()
    desk.schedule.cancel(ID)
    (key,) = client.scan_iter("rw:{0}:n:[0-9]*")
    assert client.hgetall(key) == {b"sent|twilio": b"2", b"failed|twilio": b"1", b"cancelled|": b"1"}
    assert int(key.rpartition(b":")[2]) == desk.clock.now.timestamp() // 86_400


def test_an_unknown_appointment_shows_nothing(schedule: Schedule) -> None:
    assert schedule.show(ID) == []


def test_a_shown_reminder_tells_its_story(desk: Desk) -> None:
    desk.add(60)
    due = desk.clock.now + timedelta(seconds=60)
    (shown,) = desk.schedule.show(ID)
    assert (shown.state, shown.due, shown.ended, shown.attempts) == (State.SCHEDULED, due, None, 0)
    desk.clock.forward(seconds=61)
    desk.schedule.settle(desk.open().wake, NO_PHONE, reference="ref-1")
    (shown,) = desk.schedule.show(ID)
    assert (shown.state, shown.due, shown.ended) == (State.FAILED, due, desk.clock.now)
    assert (shown.provider, shown.attempts, shown.reason, shown.failure_class) == ("twilio", 1, "landline", "permanent")


def test_processes_are_seen_while_they_beat(desk: Desk, client: store.Client) -> None:
    desk.schedule.beat("worker/1")
    desk.clock.forward(minutes=59)
    desk.schedule.beat("worker/2")
    assert client.zrange("rw:{0}:processes", 0, -1) == [b"worker/1", b"worker/2"]
    desk.clock.forward(minutes=2)
    desk.schedule.beat("worker/2")
    assert client.zrange("rw:{0}:processes", 0, -1) == [b"worker/2"]
    desk.schedule.beat("worker/3")
    desk.schedule.leave("worker/2")
    assert client.zrange("rw:{0}:processes", 0, -1) == [b"worker/3"]


# Durability.


def configure(client: store.Client, name: str, value: str | int) -> None:
    for server in topology.servers(client):
        server.config_set(name, value)


def asked(client: store.Client, durability: Durability) -> Intent:
    """Bring one reminder up to its intent, on the server's own clock."""
    schedule = Schedule(client, durability=durability)
    soon = module.moment(int(client.time()[0]) * 1000)
    schedule.add([Entry(ID, b"t" * 12, ENVELOPE, (soon,))])
    claim = schedule.claim(schedule.take(0, capacity=1).wakes[0])
    assert isinstance(claim, Claim)
    return schedule.intend(claim, "twilio", "ref-1", lease=LEASE)


@pytest.mark.parametrize("durability", [Durability.NONE, Durability.LOCAL])
def test_an_intent_is_confirmed_by_the_disk_on_the_real_clock(client: store.Client, durability: Durability) -> None:
    assert asked(client, durability) is Intent.OK


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[store.Client]:
    """A server that keeps no append-only file."""
    with EmbeddedServer(tmp_path / "s", "--appendonly", "no") as server, store.connect(server.url()) as client:
        yield client


@pytest.mark.parametrize("durability", [Durability.LOCAL, Durability.REPLICA])
def test_an_intent_is_not_confirmed_where_nothing_is_kept(forgetful: store.Client, durability: Durability) -> None:
    assert asked(forgetful, durability) is Intent.NOT_CONFIRMED


@pytest.fixture
def lazy_disk(client: store.Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that leaves it to the system when to write its file to the disk."""
    monkeypatch.setattr(module, "CONFIRM_MS", 50)
    configure(client, "appendfsync", "no")
    yield
    configure(client, "appendfsync", "everysec")


@pytest.mark.usefixtures("lazy_disk")
def test_an_intent_is_not_confirmed_while_the_disk_is_behind(client: store.Client) -> None:
    assert asked(client, Durability.LOCAL) is Intent.NOT_CONFIRMED


@pytest.mark.usefixtures("lazy_disk")
def test_an_intent_said_twice_still_waits_for_the_disk(
    server: EmbeddedServer, client: store.Client, tmp_path: Path
) -> None:
    """The second time comes over a new connection, which has written nothing that WAITAOF would wait for."""
    with Proxy(server.socket, tmp_path / "p") as proxy, store.connect(proxy.url()) as unlucky:
        proxy.lose(b"WAITAOF")
        assert asked(unlucky, Durability.LOCAL) is Intent.NOT_CONFIRMED
        assert proxy.lost == 1


@pytest.mark.usefixtures("lazy_disk")
def test_an_intent_is_not_confirmed_without_the_replica_that_is_asked_for(client: store.Client) -> None:
    if topology.servers(client)[0].info("replication")["connected_slaves"]:
        pytest.skip("the replica is there")
    configure(client, "appendfsync", "always")
    assert asked(client, Durability.REPLICA) is Intent.NOT_CONFIRMED
    client.flushdb()
    assert asked(client, Durability.LOCAL) is Intent.OK


# Faults.


@pytest.fixture
def full(client: store.Client) -> Iterator[Callable[[], None]]:
    """A switch that fills the server up."""
    yield lambda: configure(client, "maxmemory", 1)
    configure(client, "maxmemory", 0)


def test_a_full_store_takes_nothing_new_and_finishes_what_it_has(
    desk: Desk, client: store.Client, full: Callable[[], None]
) -> None:
    desk.add(id_=ID)
    desk.add(60, id_=OTHER)
    before = dump(client)
    full()
    with pytest.raises(StoreUnavailable):
        desk.schedule.add([Entry(bytes([n]) * 16, b"t" * 12, ENVELOPE, (desk.clock.now,)) for n in range(50)])
    with pytest.raises(StoreUnavailable):
        desk.add(content=2)
    assert dump(client) == before
    claim = desk.open()
    assert desk.schedule.settle(claim.wake, SENT, token=claim.token, reference="ref-1")
    assert desk.schedule.cancel(OTHER) is Answer.CANCELLED
    assert desk.schedule.sweep(0) == []
    desk.schedule.beat("scheduler/1")
    assert (desk.state(), desk.state(id_=OTHER)) == (State.SENT, State.CANCELLED)


def test_scripts_are_sent_again_when_the_server_has_forgotten_them(desk: Desk, client: store.Client) -> None:
    desk.add()
    client.script_flush()
    wakes = desk.take()
    client.script_flush()
    claim = desk.schedule.claim(wakes[0])
    client.script_flush()
    assert desk.intend(claim) is Intent.OK
    client.script_flush()
    assert desk.schedule.settle(claim.wake, SENT, reference="ref-1")


def story(desk: Desk, before: Callable[[str], None]) -> None:
    """Call every script once with an outcome of each kind; nothing depends on an answer but the tokens."""
    schedule = desk.schedule
    before("add")
    schedule.add([Entry(bytes([n]) * 16, b"t" * 12, ENVELOPE, (desk.clock.now,)) for n in range(6)])
    before("take")
    schedule.take(0, capacity=5)
    wakes = [Wake(bytes([n]) * 16, 0, 1) for n in range(6)]
    before("claim")
    claims = [schedule.claim(wake) for wake in wakes[:4]]
    for number, (claim, outcome) in enumerate(zip(claims, (SENT, NO_PHONE, NOT_SENT, RETRY), strict=True)):
        before(f"intend {number}")
        assert desk.intend(claim, f"ref-{number}") is Intent.OK
        before(f"settle {number}")
        schedule.settle(claim.wake, outcome, token=claim.token, reference=f"ref-{number}")
    before("cancel")
    assert schedule.cancel(wakes[5].id) is Answer.CANCELLED
    desk.clock.forward(minutes=5)
    before("sweep")
    schedule.sweep(0)
    before("beat")
    schedule.beat("scheduler/1")


STEPS = ["add", "take", "claim", "cancel", "sweep", "beat"]
STEPS += [f"{word} {number}" for word in ("intend", "settle") for number in range(4)]


@pytest.mark.parametrize("step", STEPS)
def test_a_lost_reply_leaves_what_one_call_leaves(
    server: EmbeddedServer, client: store.Client, clock: Clock, tmp_path: Path, step: str
) -> None:
    story(Desk(Schedule(client), clock), lambda _: None)
    expected = dump(client)
    client.flushdb()
    clock = Clock(client)
    with Proxy(server.socket, tmp_path / "p") as proxy, store.connect(proxy.url()) as unlucky:
        story(Desk(Schedule(unlucky), clock), lambda name: proxy.lose(b"EVAL") if name == step else None)
        assert proxy.lost == 1
    assert dump(client) == expected


def test_the_error_of_a_store_that_is_away_repeats_no_argument(desk: Desk, client: store.Client) -> None:
    desk.add()
    client.set(b"rw:{0}:due", "secret-place")  # every script now fails inside, and Redis explains why
    errors = []
    for call in (
        lambda: desk.add(id_=OTHER),
        desk.take,
        lambda: desk.schedule.cancel(ID),
        lambda: desk.schedule.show(ID),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        errors.append(caught.value)
    for error in errors:
        assert str(error) == "the store did not answer (ResponseError); is it running and not full?"
        assert error.__cause__ is None
        assert error.__suppress_context__


def test_a_store_that_is_away_is_said_so(tmp_path: Path) -> None:
    with store.connect(f"unix://{tmp_path}/nobody", retry=None) as client:
        schedule = Schedule(client, durability=Durability.LOCAL)
        claim = Claim(Wake(ID, 0, 1), b"token", module.moment(0), 0, ENVELOPE, since=0.0)
        for call in (
            lambda: schedule.take(0, capacity=1),
            lambda: schedule.show(ID),
            lambda: schedule.intend(claim, "twilio", "ref-1", lease=LEASE),
        ):
            with pytest.raises(StoreUnavailable, match="ConnectionError"):
                call()


def test_many_are_added_by_scripts_of_a_few_each_and_answered_in_their_order(
    schedule: Schedule, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, run_all = [], schedule.run_all

    def watched(name: str, calls: Any) -> Any:
        told.extend(len(words[1::6]) for _, words in calls)
        return run_all(name, calls)

    monkeypatch.setattr(schedule, "run_all", watched)
    made = [Entry(number.to_bytes(16, "big"), bytes(12), b"sealed", (clock.now,)) for number in range(300)]
    schedule.add(made[::2])
    assert schedule.add(made) == [Answer.UNCHANGED, Answer.ADDED] * 150
    assert told == [60, 60, 30, 60, 60, 60, 60, 60]


def test_what_has_no_row_is_woken_no_more(desk: Desk) -> None:
    desk.schedule.client.zadd(desk.schedule.prefix(0) + b"open", {ID + b"\0": 1})
    assert desk.schedule.sweep(0) == []
    assert not desk.schedule.client.exists(desk.schedule.prefix(0) + b"open")


def test_a_retry_does_not_change_what_is_said_of_when_it_was_due(desk: Desk) -> None:
    desk.add()
    planned = desk.clock.now
    claim = desk.claim()
    desk.schedule.settle(claim.wake, RETRY, token=claim.token)
    desk.clock.forward(minutes=1)
    claim = desk.claim()
    assert desk.schedule.show(ID)[0].due == planned
    assert claim.tries == 1


def test_threads_that_have_ended_leave_connections_to_those_to_come(server: EmbeddedServer) -> None:
    """A hundred is what redis-py has for all together; an exporter has a thread for each time that it is asked."""
    with store.connect(server.url()) as client:
        schedule = Schedule(client)
        beats = []
        for number in range(150):
            thread = Thread(target=lambda name=f"web/{number}": beats.append(schedule.beat(name)))
            thread.start()
            thread.join()
        assert len(beats) == 150
        assert schedule.now()


def test_more_than_a_hundred_threads_are_served_at_once(server: EmbeddedServer) -> None:
    count, told = 130, []
    together = Barrier(count, timeout=30)
    with store.connect(server.url()) as client:
        schedule = Schedule(client)

        def ask() -> None:
            borrowed = client.connection_pool.get_connection()
            together.wait()
            client.connection_pool.release(borrowed)
            told.append(schedule.beat("web/1"))

        threads = [Thread(target=ask) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(told) == count
