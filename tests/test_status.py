from datetime import datetime, timedelta

import pytest
from clock import START, Clock

from reminder_worker import status, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Reason, StoreUnavailable
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Claim, Entry, Outcome
from reminder_worker.schedule import Schedule


class Stopped:
    """A store whose own clock stands where the scripts' clock stands."""

    def __init__(self, client: store.Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def time(self) -> tuple[int, int]:
        seconds = self._clock.now.timestamp()
        return int(seconds), round(seconds % 1 * 1e6)

    def __getattr__(self, name: str):
        return getattr(self._client, name)


@pytest.fixture(params=[1, 3])
def ledger(request, client: store.Client, clock: Clock) -> Schedule:
    return Schedule(Stopped(client, clock), shards=request.param)


def add(ledger: Schedule, number: int, *dues: datetime) -> None:
    ledger.add([Entry(bytes([number]) * 16, bytes([number]) * 12, b"envelope", dues)])


def claims(ledger: Schedule) -> list[Claim]:
    taken = [wake for shard in range(ledger.shards) for wake in ledger.take(shard, capacity=10).wakes]
    found = [ledger.claim(wake) for wake in sorted(taken, key=lambda wake: wake.id)]
    assert all(isinstance(one, Claim) for one in found)
    return found


def test_an_empty_ledger_has_nothing_to_show(ledger):
    now = status.read(ledger)
    assert now.now == START
    assert (now.scheduled, now.overdue, now.queued, now.sending, now.dead_letters) == (0, 0, 0, 0, 0)
    assert (now.overdue_seconds, now.next_due) == (0.0, None)
    assert (now.ended, now.by_provider, now.processes) == ({}, {}, {})


def test_what_waits_for_its_turn_at_a_provider_is_scheduled_and_then_overdue(ledger, clock):
    add(ledger, 1, START)
    add(ledger, 2, START + timedelta(hours=2))
    (claim,) = claims(ledger)
    ledger.settle(claim.wake, Outcome.hold(Reason.RATE_LIMITED, timedelta(minutes=7)), token=claim.token)
    now = status.read(ledger)
    assert (now.scheduled, now.overdue, now.queued) == (2, 0, 0)
    assert now.next_due == START + timedelta(minutes=7)
    assert now.ahead == [0, 1] + [0] * 10
    clock.forward(minutes=8)
    now = status.read(ledger)
    assert (now.scheduled, now.overdue, now.overdue_seconds) == (2, 1, 60.0)


def test_what_is_scheduled_and_overdue_is_counted(ledger, clock):
    add(ledger, 1, START + timedelta(minutes=10), START + timedelta(minutes=20))
    add(ledger, 2, START + timedelta(minutes=5))
    now = status.read(ledger)
    assert (now.scheduled, now.overdue, now.overdue_seconds) == (3, 0, 0.0)
    assert now.next_due == START + timedelta(minutes=5)
    clock.forward(minutes=12)
    now = status.read(ledger)
    assert (now.scheduled, now.overdue, now.overdue_seconds) == (3, 2, 420.0)


def test_what_is_due_is_overdue(ledger, clock):
    add(ledger, 1, START)
    assert status.read(ledger).overdue == 1


def test_a_reminder_is_counted_once_on_its_way(ledger):
    for number in (1, 2, 3):
        add(ledger, number, START)
    first, second, _ = claims(ledger)
    now = status.read(ledger)
    assert (now.scheduled, now.queued, now.sending) == (0, 3, 0)
    ledger.intend(first, "twilio", "r1", lease=timedelta(seconds=15))
    now = status.read(ledger)
    assert (now.queued, now.sending) == (2, 1)
    ledger.settle(first.wake, Outcome.sent("SM1"), token=first.token, reference="r1")
    late = Outcome.final(State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)
    ledger.settle(second.wake, late, token=second.token)
    now = status.read(ledger)
    assert (now.scheduled, now.queued, now.sending) == (0, 1, 0)
    assert now.ended == {"sent": 1, "expired": 1}
    assert now.by_provider == {"twilio": {"sent": 1}}


def test_what_several_providers_sent_is_added_up(ledger):
    for number in (1, 2, 3):
        add(ledger, number, START)
    for claim, provider in zip(claims(ledger), ("twilio", "twilio", "outbox"), strict=True):
        ledger.intend(claim, provider, "r", lease=timedelta(seconds=15))
        ledger.settle(claim.wake, Outcome.sent("SM1"), token=claim.token, reference="r")
    now = status.read(ledger)
    assert now.ended == {"sent": 3}
    assert now.by_provider == {"twilio": {"sent": 2}, "outbox": {"sent": 1}}


def test_what_ended_is_counted_for_as_long_as_it_is_kept(ledger, clock):
    for number in (1, 2):
        add(ledger, number, START + timedelta(hours=1))
        ledger.cancel(bytes([number]) * 16)
        clock.forward(days=1)
    assert status.read(ledger).ended == {"cancelled": 2}
    clock.set(START + timedelta(days=29))
    assert status.read(ledger).ended == {"cancelled": 2}
    clock.set(START + timedelta(days=60))
    assert status.read(ledger).ended == {}


def test_what_falls_due_within_an_hour_is_told_by_five_minutes(ledger):
    for number, minutes in enumerate((0, 1, 5, 6, 59, 60, 61), 1):
        add(ledger, number, START + timedelta(minutes=minutes))
    now = status.read(ledger)
    assert now.ahead == [2, 1, *[0] * 9, 2]
    assert now.overdue + sum(now.ahead) == now.scheduled - 1


def test_what_ended_lately_is_told_by_ten_minutes(ledger, clock):
    for number, minutes in enumerate((0, 0, 35, 24 * 60 - 20), 1):
        clock.forward(minutes=minutes)
        add(ledger, number, clock.now + timedelta(hours=1))
        ledger.cancel(bytes([number]) * 16)
    now = status.read(ledger)
    assert len(now.recent) == 144
    assert {part.since: part.by for part in now.recent if part.by} == {
        START + timedelta(minutes=30): {"none": {"cancelled": 1}},
        clock.now.replace(minute=clock.now.minute // 10 * 10, second=0, microsecond=0): {"none": {"cancelled": 1}},
    }
    assert now.last_hour == {"none": {"cancelled": 1}}
    assert now.last_day == {"none": {"cancelled": 2}}
    assert now.ended == {"cancelled": 4}


def test_a_correction_moves_what_was_counted_to_when_it_came(ledger, clock, client):
    add(ledger, 1, START)
    (claim,) = claims(ledger)
    ledger.intend(claim, "twilio", "r1", lease=timedelta(seconds=15))
    ledger.settle(claim.wake, Outcome.sent("SM1"), token=claim.token, reference="r1")
    clock.forward(minutes=20)
    member = claim.wake.id + bytes([claim.wake.lead])
    shard = ledger.shard_of(member)
    ledger.run("receipt", shard, member, "r1", "", "delivered", "", "", "", -1, ledger.keep_ms)
    assert status.read(ledger).last_hour == {"twilio": {"delivered": 1}}
    clock.forward(days=2)
    ledger.run("receipt", shard, member, "r1", "", "undelivered", "", "", "", -1, ledger.keep_ms)
    assert status.read(ledger).last_day == {}
    assert all(client.pttl(key) > 0 for key in client.scan_iter(b"*:n:t*"))


def test_the_store_says_how_it_is(ledger):
    said = status.read(ledger).store
    assert said.memory_bytes > 100_000
    assert (said.memory_limit_bytes, said.durable, said.evicts) == (0, True, False)


def test_what_waits_for_a_decision_is_counted(ledger):
    for number in (1, 2):
        add(ledger, number, START)
    doubted, _ = claims(ledger)
    ledger.intend(doubted, "twilio", "r1", lease=timedelta(seconds=15))
    nobody_knows = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
    ledger.settle(doubted.wake, nobody_knows, reference="r1")
    now = status.read(ledger)
    assert (now.unknown, now.dead_letters, now.ended) == (1, 0, {"unknown": 1})


def test_processes_show_when_they_were_last_alive(ledger, clock):
    ledger.beat("scheduler/1-a")
    clock.forward(seconds=7)
    ledger.beat("worker/2-b")
    clock.forward(seconds=2)
    assert status.read(ledger).processes == {"scheduler/1-a": 9.0, "worker/2-b": 2.0}


def test_a_store_that_is_away_is_said_without_its_words(tmp_path):
    with EmbeddedServer(tmp_path) as server:
        schedule = Schedule(store.connect(server.url(), retry=None))
        assert status.read(schedule).scheduled == 0
    with pytest.raises(StoreUnavailable, match=r"^the store did not answer \(ConnectionError\)") as raised:
        status.read(schedule)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("results", "seconds", "word"),
    [
        ([], 0, "closed"),
        (["failed"] * 4, 0, "closed"),
        (["failed"] * 5, 0, "open"),
        (["failed"] * 5, 31, "half-open"),
        (["throttled"], 0, "throttled"),
        (["throttled"], 31, "slowed"),
    ],
)
def test_a_provider_s_circuit_is_one_word(ledger, clock, results, seconds, word):
    for number, result in enumerate(results):
        ledger.run("report", 0, "twilio", b"call-%d" % number, result, 30_000, 0, 0)
    clock.forward(seconds=seconds)
    assert status.read(ledger, ["twilio", "outbox"]).circuits == {"twilio": word, "outbox": "closed"}


def test_replies_that_wait_or_do_not_open_are_counted(ledger):
    ledger.client.rpush(ledger.prefix(0) + b"notes", b"1", b"2")
    ledger.client.rpush(ledger.prefix(0) + b"notes.unread", b"3")
    now = status.read(ledger)
    assert (now.replies_waiting, now.replies_unread) == (2, 1)
