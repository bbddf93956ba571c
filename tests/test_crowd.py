"""Who waits for a provider that throttles, or is away: in which order they come, when, and who makes room."""

import itertools
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from clock import START, Clock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import Keys, Practice, Scripted

from reminder_worker import store
from reminder_worker.clocks import to_ms
from reminder_worker.crowd import ENDED, HERE, LOOKED_AT, Crowd
from reminder_worker.errors import NotSent, Reason, Throttled
from reminder_worker.job import State
from reminder_worker.ledger import Claim, Entry, OpenAttempt, Outcome, Wake
from reminder_worker.postponing import LONGEST_PATIENCE
from reminder_worker.providers import Sent, Text
from reminder_worker.schedule import Schedule
from reminder_worker.tables import Route

FAILED = NotSent(Reason.NOT_SENT, left=False)
TRIED = 10  # calls until its circuit opens: five, each made twice where no byte has left
AHEAD, MOST, COME = 500, 64, 5000  # ms, reminders, ms: as next.lua has it
OWN_CLOCK = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "deadline": None}


class Narrow(Scripted):
    """A provider that takes one text in so many seconds, by the clock of the test, and a few more at first."""

    def __init__(self, clock: Clock, every: float = 0.2, burst: int = 3) -> None:
        super().__init__()
        self.clock, self.every, self.burst = clock, timedelta(seconds=every), burst
        self.tokens, self.since = float(burst), clock.now
        self.took: list[tuple[datetime, str]] = []
        self.refused: list[str] = []
        self.away = False

    def send(self, text: Text, *, deadline: float) -> Sent:
        self.tokens = min(self.burst, self.tokens + (self.clock.now - self.since) / self.every)
        self.since = self.clock.now
        if self.away or self.tokens < 1:
            self.refused.append(text.to)
            raise FAILED if self.away else Throttled(1)
        self.tokens -= 1
        self.took.append((self.clock.now, text.to))
        return super().send(text, deadline=deadline)

    def order(self) -> list[int]:
        """Return which were taken, in that order, but for those that it had refused: they come back when they may."""
        return [int(phone[-2:]) for _, phone in self.took if phone not in self.refused]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def narrow(clock: Clock) -> Narrow:
    return Narrow(clock)


@pytest.fixture
def practice(schedule: Schedule, clock: Clock, keys: Keys, narrow: Narrow, monkeypatch: pytest.MonkeyPatch) -> Practice:
    one_clock(clock, monkeypatch)
    return Practice(schedule, clock, keys, narrow)


def one_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass but that of the test."""
    monkeypatch.setattr("reminder_worker.delivery.time.sleep", lambda seconds: clock.forward(seconds=seconds))
    for module in ("delivery", "schedule"):
        monkeypatch.setattr(f"reminder_worker.{module}.boot_time", lambda: clock.now.timestamp())  # noqa: PLW0108 - it moves on


def phone(number: int) -> str:
    return f"+336123400{number:02d}"


def overdue(practice: Practice, count: int) -> None:
    """Hand in what falls due minute by minute, in no order, and let all of it be overdue."""
    for number in random.Random(count).sample(range(count), count):
        time = practice.clock.now + timedelta(hours=2, minutes=number)
        practice.add(reference=f"A-{number}", phone=phone(number), time=time)
    practice.clock.forward(minutes=count)


def pass_time(practice: Practice, seconds: float) -> None:
    """Let the scheduler and the worker do what there is to do for so long."""
    until = practice.clock.now + timedelta(seconds=seconds)
    while practice.clock.now < until:
        practice.clock.forward(milliseconds=20)
        practice.work()


def states(practice: Practice, count: int) -> set[State]:
    return {practice.show(reference=f"A-{number}").state for number in range(count)}


def crowd(practice: Practice) -> int:
    return practice.schedule.client.zcard("rw:{0}:q:scripted")


def gaps(narrow: Narrow) -> list[float]:
    """Return the seconds between one text and the next."""
    return [(later - earlier).total_seconds() for (earlier, _), (later, _) in itertools.pairwise(narrow.took)]


def test_who_fell_due_first_comes_first_and_nobody_is_refused_often(practice: Practice, narrow: Narrow) -> None:
    overdue(practice, 60)
    pass_time(practice, 40)
    assert states(practice, 60) == {State.SENT}
    assert narrow.order() == sorted(narrow.order())
    assert len(narrow.order()) > 50
    assert practice.schedule.client.keys("rw:{0}:[bq]:*") == []


def test_most_of_what_the_provider_takes_is_used(practice: Practice, narrow: Narrow) -> None:
    overdue(practice, 90)
    pass_time(practice, 60)
    later = gaps(narrow)[30:80]  # it is known how fast is too fast, and those that were refused are not waited for
    assert sum(later) / len(later) < narrow.every.total_seconds() / 0.85


def test_nobody_comes_in_vain_while_a_provider_is_away(practice: Practice, narrow: Narrow) -> None:
    narrow.away = True
    overdue(practice, 30)
    pass_time(practice, 0.1)
    assert crowd(practice) == 24  # five were tried, and one is called for the moment when it may be tried again
    waits = sorted(
        (score - to_ms(practice.clock.now)) / 1000
        for _, score in practice.schedule.client.zrange("rw:{0}:due", 0, -1, withscores=True)
    )
    assert len(waits) == 29
    assert waits[0] > 4  # 5 and more, less the pauses between two calls of one attempt
    assert waits[4] <= 10
    assert waits[5] > 35
    assert waits[-1] <= 30 + LONGEST_PATIENCE.total_seconds()
    assert len(set(waits[5:])) == 24  # not all at once


def test_one_tries_a_provider_that_was_away_and_then_all_come_in_order(practice: Practice, narrow: Narrow) -> None:
    narrow.away = True
    overdue(practice, 40)
    pass_time(practice, 20)
    assert len(narrow.refused) == TRIED
    narrow.away = False
    pass_time(practice, 5)
    assert len(narrow.refused) == TRIED
    assert not narrow.took
    pass_time(practice, 35)
    assert states(practice, 40) == {State.SENT}
    assert narrow.order() == sorted(narrow.order())


def test_when_a_trial_succeeds_nobody_waits_for_one_that_was_called_in_case_it_would_not(
    practice: Practice, narrow: Narrow
) -> None:
    narrow.away = True
    overdue(practice, 40)
    pass_time(practice, 20)
    narrow.away = False
    client, now = practice.schedule.client, to_ms(practice.clock.now)
    client.zadd("rw:{0}:b:scripted", {b"x" * 17: now + 60_000})
    client.hdel("rw:{0}:c:scripted", "until")
    practice.office.gate.report(practice.office.gate.admit(narrow, recipient(practice), 1), None)
    pass_time(practice, 3)
    assert len(narrow.took) > 2


def recipient(practice: Practice) -> Any:
    """Return somebody who waits before nobody."""
    attempt = OpenAttempt(Wake(bytes(16), 0, 1), practice.clock.now, "scripted", "r", practice.clock.now, b"sealed")
    return practice.office.gate.recipient(attempt, "clinic", phone(98))


@pytest.mark.parametrize("name", ["turn", "new", "called"])
def test_a_provider_may_have_any_name(practice: Practice, name: str) -> None:
    entry = practice.add()
    member = entry.id + b"\0"
    practice.schedule.client.hset(b"rw:{0}:r:" + member, "called", name)
    (wake,) = practice.take()
    claim = practice.schedule.claim(wake)
    assert isinstance(claim, Claim)
    assert (claim.comes_back, claim.called) == (False, name)


def test_a_trial_that_fails_leaves_the_others_where_they_are(practice: Practice, narrow: Narrow) -> None:
    narrow.away = True
    overdue(practice, 40)
    pass_time(practice, 28)
    assert len(narrow.refused) == TRIED
    assert crowd(practice) == 39
    pass_time(practice, 5)
    assert len(narrow.refused) == TRIED + 2
    assert crowd(practice) == 38


def test_who_was_taken_back_makes_room_for_others(practice: Practice, narrow: Narrow) -> None:
    overdue(practice, 60)
    pass_time(practice, 3)
    waiting = [number for number in range(60) if practice.show(reference=f"A-{number}").state is State.SCHEDULED]
    assert len(waiting) > 40
    for number in waiting[10:40]:  # some of those before are called already
        practice.client.cancel(f"A-{number}")
    narrow.took.clear()
    pass_time(practice, 15)
    assert narrow.order() == [number for number in waiting[:10] + waiting[40:] if phone(number) not in narrow.refused]
    assert max(gaps(narrow)[:-3]) < 2  # a pause that it asked for; at the end those that it refused


def test_who_was_moved_meanwhile_is_not_texted_before_its_new_time(practice: Practice, narrow: Narrow) -> None:
    overdue(practice, 30)
    pass_time(practice, 3)
    later = practice.clock.now + timedelta(hours=3)
    practice.add(reference="A-25", phone=phone(25), time=later + timedelta(hours=2))
    pass_time(practice, 30)
    assert sorted(number for _, number in narrow.took) == [phone(number) for number in range(30) if number != 25]
    practice.clock.set(later)
    pass_time(practice, 1)
    assert narrow.took[-1][1] == phone(25)


def test_a_list_that_is_lost_loses_nobody(practice: Practice, narrow: Narrow) -> None:
    overdue(practice, 40)
    pass_time(practice, 3)
    assert crowd(practice) > 10
    client = practice.schedule.client
    client.delete(*client.keys("rw:{0}:[bcq]:*"))
    pass_time(practice, 40)
    assert states(practice, 40) == {State.SENT}
    assert len(narrow.took) == 40


def test_who_was_called_by_a_clock_that_was_ahead_is_not_waited_for(practice: Practice, narrow: Narrow) -> None:
    overdue(practice, 30)
    before = practice.clock.now
    practice.clock.forward(minutes=45)
    pass_time(practice, 2)
    assert crowd(practice) > 10
    practice.clock.set(before)
    narrow.since = before
    practice.add(reference="A-99", phone=phone(99), time=before + timedelta(hours=2))
    pass_time(practice, 20)
    assert practice.show(reference="A-99").state is State.SENT


def test_who_is_called_by_a_clock_that_is_days_ahead_comes_no_later_than_by_itself(
    schedule: Schedule, clock: Clock
) -> None:
    schedule.add([Entry(bytes(16), bytes(12), b"sealed", (clock.now,))])
    claim = schedule.claim(schedule.take(0, capacity=1).wakes[0])
    assert isinstance(claim, Claim)
    schedule.settle(claim.wake, Outcome.hold(Reason.THROTTLED, timedelta(seconds=10)), token=claim.token)
    before = clock.now
    clock.forward(days=3)
    assert not schedule.run("hurry", 0, "narrow", claim.wake.member, 100)
    clock.set(before + timedelta(seconds=10))
    assert schedule.take(0, capacity=1).wakes == [claim.wake]


def test_those_who_were_called_and_never_come_make_room_in_time(practice: Practice, narrow: Narrow) -> None:
    overdue(practice, 40)
    pass_time(practice, 2)
    practice.clock.forward(seconds=1)
    lost = [wake for wake in practice.take() if practice.schedule.claim(wake)]  # their worker has died
    assert lost
    narrow.took.clear()
    pass_time(practice, 15)
    assert len(narrow.took) > 15


def test_a_provider_is_used_again_where_all_who_waited_for_it_are_gone(
    schedule: Schedule, clock: Clock, keys: Keys, narrow: Narrow, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_clock(clock, monkeypatch)
    other = Narrow(clock, every=1.0, burst=1)
    other.name = "other"
    practice = Practice(schedule, clock, keys, narrow, other)
    overdue(practice, 30)
    pass_time(practice, 1)
    assert crowd(practice) > 10
    for number in range(30):
        practice.client.cancel(f"A-{number}")
    narrow.took.clear()
    for number in range(20):  # the other one has room for each of them
        practice.add(reference=f"B-{number}", phone=phone(number))
        pass_time(practice, 2)
    assert crowd(practice) == 0
    assert len(narrow.took) > 15


def test_who_is_carried_by_another_when_it_is_asked_again_calls_those_passed_too(
    schedule: Schedule, clock: Clock, keys: Keys, narrow: Narrow, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_clock(clock, monkeypatch)
    other = Scripted(name="other")
    routes = [Route(prefix="+33", providers=("scripted", "other"))]
    practice = Practice(schedule, clock, keys, narrow, other, routes=routes, limits={"rate": 1})
    gate, called = practice.office.gate, []
    admit = gate.admit

    def slowly(*asked: Any, wants_turn: bool = False) -> Any:
        clock.forward(seconds=int(wants_turn))  # meanwhile there is room at the other one
        return admit(*asked, wants_turn=wants_turn)

    monkeypatch.setattr(gate, "admit", slowly)
    monkeypatch.setattr(gate, "call_crowd", called.append)
    for number in range(2):
        schedule.client.hset("rw:{0}:c:scripted", mapping={"crowd": 5, "pace": 1_000_000})
        practice.add(reference=f"A-{number}", phone=phone(number))
        practice.work()
    assert len(other.texts) == 2
    assert called == ["scripted", "scripted"]


@pytest.mark.parametrize("shards", [1, 3])
def test_many_who_went_elsewhere_do_not_hold_up_who_looks_for_one_that_waits(
    client: store.Client, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, many = Schedule(client, shards=shards), 4 * LOOKED_AT
    members = [number.to_bytes(2) * 8 + b"\0" for number in range(many + 1)]
    client.zadd("rw:{0}:q:p", {member: due for due, member in enumerate(members)})
    for member in members[:-1]:
        client.hset(schedule.prefix(schedule.shard_of(member)) + b"r:" + member, mapping={"state": "sent", "ended": 1})
    last, now = schedule.prefix(schedule.shard_of(members[-1])), to_ms(schedule.now())
    client.zadd(last + b"due", {members[-1]: now + 60_000})
    client.hset("rw:{0}:c:p", "until", now + 30_000)  # one is called at a time
    calls = []
    run = schedule.run
    monkeypatch.setattr(schedule, "run", lambda name, *words: (calls.append(name), run(name, *words))[1])
    Crowd(schedule).call("p")
    assert client.zrange(last + b"turns", 0, -1) == [members[-1]]
    assert client.zcard("rw:{0}:q:p") == 0
    assert calls.count("next") <= 6


def test_who_is_at_a_worker_just_now_stays_in_the_list(client: store.Client) -> None:
    schedule, first, second = Schedule(client), bytes(17), b"\1" * 16 + b"\0"
    client.zadd("rw:{0}:q:p", {first: 1, second: 2})
    client.hset("rw:{0}:c:p", "until", to_ms(schedule.now()) + 30_000)
    client.hset(b"rw:{0}:r:" + first, mapping={"state": "sent", "ended": 1})
    client.hset(b"rw:{0}:r:" + second, "state", "claimed")
    assert Crowd(schedule)._ended("p") == [first]


def test_those_of_all_shards_are_called(client: store.Client, clock: Clock, keys: Keys, monkeypatch: Any) -> None:
    one_clock(clock, monkeypatch)
    schedule, narrow = Schedule(client, shards=3), Narrow(clock)
    practice = Practice(schedule, clock, keys, narrow)
    overdue(practice, 45)
    for _ in range(1500):
        clock.forward(milliseconds=20)
        taken = [schedule.take(shard, capacity=1000).wakes for shard in range(3)]
        for wake in itertools.chain.from_iterable(taken):
            practice.worker.remind(wake)
    assert states(practice, 45) == {State.SENT}
    later = narrow.order()[6:]  # whoever was looked at before the first refusal
    assert later == sorted(later)
    assert len(later) > 30


def test_who_is_new_goes_past_nobody(practice: Practice, narrow: Narrow) -> None:
    overdue(practice, 30)
    pass_time(practice, 3)
    practice.add(reference="A-99", phone=phone(99), time=practice.clock.now + timedelta(hours=2))
    pass_time(practice, 30)
    assert 99 in narrow.order()
    assert narrow.order() == sorted(narrow.order())


@pytest.mark.parametrize("away", [False, True])
def test_nobody_waits_in_a_crowd_who_is_sooner_up_elsewhere(
    schedule: Schedule, clock: Clock, keys: Keys, monkeypatch: pytest.MonkeyPatch, *, away: bool
) -> None:
    one_clock(clock, monkeypatch)
    narrow, other = Narrow(clock, every=1.0, burst=1), Scripted(name="other")
    narrow.away = away
    routes = [Route(prefix="+33", providers=("scripted", "other"))]
    practice = Practice(schedule, clock, keys, narrow, other, routes=routes, limits={"rate": 3})
    overdue(practice, 90)
    schedule.client.hset("rw:{0}:c:scripted", mapping={"pace": 1_100_000, "toofast": 1_000_000})
    pass_time(practice, 24)
    assert len(other.texts) > 50  # of 72, and one comes at a time here


# What next.lua promises, in plain Python.


class Model:
    """A crowd at a provider that may be called from ``first``, every ``gap`` ms."""

    def __init__(self) -> None:
        self.waits: dict[bytes, int] = {}
        self.expected: dict[bytes, float] = {}

    def call(self, now: int, first: int, gap: float, most: int, news: list[tuple[bytes, int]]) -> list[bytes | int]:
        for member, due in news:
            self.expected.pop(member, None)
            if due >= 0:
                self.waits[member] = due
            elif due == ENDED:
                self.waits.pop(member, None)
        self.expected = {member: until for member, until in self.expected.items() if until > now}
        called: list[bytes | int] = []
        at = max(now, first)
        at = max(at, *(until - COME + gap for until in self.expected.values() if until - COME <= at + AHEAD), 0)
        while len(self.expected) < most and self.waits:
            member = min(self.waits, key=lambda one: (self.waits[one], one))
            del self.waits[member]
            self.expected[member] = at + COME
            called += [member, int(at - now)]
            at += gap
        return called


members = st.integers(0, 30).map(lambda number: bytes([number]) * 17)
whats_new = st.integers(0, 50) | st.sampled_from([HERE, ENDED])
news = st.lists(st.tuples(members, whats_new), max_size=3, unique_by=lambda one: one[0])


@given(
    state=st.sampled_from(["well", "throttled", "paused", "open", "tried"]),
    pace=st.sampled_from([2_500, 40_000, 250_000, 2_000_000]),
    far=st.none() | st.integers(0, 60_000),
    steps=st.lists(st.tuples(st.integers(0, 4000), news), min_size=1, max_size=30),
)
@settings(**OWN_CLOCK, max_examples=60)  # type: ignore[arg-type]
def test_it_calls_as_its_model_does(
    schedule: Schedule,
    clock: Clock,
    state: str,
    pace: int,
    far: int | None,
    steps: list[tuple[int, list[tuple[bytes, int]]]],
) -> None:
    clock.set(START)
    schedule.client.delete(*(f"rw:{{0}}:{kind}:p" for kind in "bcq"))
    start, gap, most, first = to_ms(START), 1.0, MOST, 0
    if state in ("throttled", "paused"):
        gap, most = pace / 1000, max(1, AHEAD * 1000 // pace)
        first = start + 700 if state == "throttled" else start + 3000
        schedule.client.hset("rw:{0}:c:p", mapping={"pace": pace, "next": (start + 700) * 1000})
    if state == "paused":
        schedule.client.hset("rw:{0}:c:p", "paused", start + 3000)
    if state in ("open", "tried"):
        first, most = start + 5000, 1
        schedule.client.hset("rw:{0}:c:p", mapping={"until": start + (5000 if state == "open" else -1)})
    if state == "tried":
        schedule.client.hset("rw:{0}:c:p", mapping={"probe": start + 5000, "prober": "x"})
    model = Model()
    if far is not None:  # it was called while the provider was away
        model.expected[b"far"] = start + far + COME
        schedule.client.zadd("rw:{0}:b:p", {"far": start + far + COME})
    for span, its in steps:
        now = to_ms(clock.forward(milliseconds=span))
        found = schedule.run("next", 0, "p", *itertools.chain.from_iterable(its))
        assert found == model.call(now, first, gap, most, its)
        assert int(schedule.client.hget("rw:{0}:c:p", "crowd") or 0) == len(model.waits)
