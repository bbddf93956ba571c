"""What stands between a text and a provider: circuit, rate, cost and caps, on a clock that stands still."""

import hashlib
import itertools
import logging
import math
import random
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import clock as clock_module
import pytest
from clock import START, Clock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy import Proxy
from scripted import Scripted

from reminder_worker import schedule as schedule_module
from reminder_worker import store
from reminder_worker.audit.evidence import value_of
from reminder_worker.clocks import to_ms
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Rejected, Throttled
from reminder_worker.gate import DEFAULT_PAUSE, Admission, Gate
from reminder_worker.ledger import Claim, OpenAttempt, Wake
from reminder_worker.optouts import OptOuts, Tags
from reminder_worker.providers import Limits
from reminder_worker.schedule import Schedule

PHONE, OTHER_PHONE, SENDER = "+33612340015", "+447400123456", "+33757000001"
PLATFORM, OTHER_PLATFORM = "clinic-of-hearts", "salon"
FAILED = NotSent(Reason.NOT_SENT, left=False)
OPENS_AFTER = {
    "failed": (FAILED, 5),
    "misconfigured": (Misconfigured(), 3),
    "doubted": (Ambiguous(), 10),
    "a plug-in's own error": (RuntimeError(PHONE), 10),
}
CALL = timedelta(seconds=20)  # after which a trial that nobody reported is given up
SOON = 250_000  # microseconds that a worker waits itself
DAY = timedelta(days=1)
OWN_CLOCK = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "deadline": None}


def id_of(number: int) -> bytes:
    return hashlib.blake2b(b"%d" % number, digest_size=16).digest()


class Office:
    """A gate for the providers "a" and "b", and short ways to ask it."""

    def __init__(self, schedule: Schedule, clock: Clock) -> None:
        self.schedule, self.clock = schedule, clock
        self.tags = Tags(bytes(range(32)))
        self.a, self.b = Scripted(name="a"), Scripted(name="b")
        self._reminders = itertools.count()
        self.gate = self.make()

    def make(
        self,
        *,
        schedule: Schedule | None = None,
        a: Mapping[str, Any] | None = None,
        b: Mapping[str, Any] | None = None,
        caps: Mapping[str, int] | None = None,
        phone_cap: int = 1_000_000,
    ) -> Gate:
        """Make another gate, as another process would, and use it from now on."""
        schedule = schedule or self.schedule
        self.gate = Gate(
            schedule,
            self.tags,
            OptOuts(schedule, self.tags, [PLATFORM, OTHER_PLATFORM]),
            limits={"a": Limits(**a or {}), "b": Limits(**b or {})},
            platform_caps=caps or {},
            phone_cap=phone_cap,
        )
        return self.gate

    def claim(self, number: int | None = None, version: int = 1, *, comes_back: bool = False) -> Claim:
        """Return a claim of a reminder; of one more where no number says which."""
        wake = Wake(id_of(next(self._reminders) if number is None else number), 0, version)
        return Claim(wake, b"token", self.clock.now, 0, b"sealed", comes_back=comes_back)

    def admit(
        self,
        provider: Scripted | None = None,
        *,
        claim: Claim | None = None,
        platform: str = PLATFORM,
        phone: str = PHONE,
        segments: int = 1,
        gate: Gate | None = None,
        wants_turn: bool = True,
    ) -> Admission:
        claim, gate = claim or self.claim(), gate or self.gate
        return gate.admit(provider or self.a, gate.recipient(claim, platform, phone), segments, wants_turn=wants_turn)

    def call(self, error: Exception | None = None, provider: Scripted | None = None) -> None:
        """Be admitted, make the call and say how it went."""
        admission = self.admit(provider)
        assert admission.refusal is None, admission.refusal
        self.gate.report(admission, error)

    def open(self, provider: Scripted | None = None) -> None:
        """Open a circuit that has not been open before."""
        for _ in range(5):
            self.call(FAILED, provider)

    def refusal(self, provider: Scripted | None = None) -> tuple[Reason | None, timedelta]:
        admission = self.admit(provider)
        return admission.refusal, admission.wait

    def circuit(self) -> dict[bytes, bytes]:
        return self.schedule.client.hgetall("rw:{0}:c:a")

    def spent(self) -> int | None:
        found = self.schedule.client.get(f"rw:{{0}}:s:a|{int(self.clock.now.timestamp()) // 86_400}")
        return None if found is None else int(found)


@pytest.fixture
def office(schedule: Schedule, clock: Clock) -> Office:
    return Office(schedule, clock)


@pytest.fixture
def patient(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Keep for long what the server would forget after a second: its own clock goes on while a test's stands still."""

    def script(name: str) -> tuple[str, str]:
        source, _ = clock_module.script(name)
        assert name != "admit" or source.count("/ 1000) + 1000)") == 2
        source = source.replace("/ 1000) + 1000)", "/ 1000) + 3600000)")
        return source, hashlib.sha1(source.encode()).hexdigest()

    monkeypatch.setattr("reminder_worker.schedule.script", script)
    return clock


def dump(client: store.Client) -> dict[bytes, Any]:
    """Return all that stands in the database."""
    return {key: value_of(client, key, client.type(key)) for key in sorted(client.scan_iter())}


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


# The healthy path.


def test_a_healthy_provider_costs_one_script_and_no_report(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts: list[str] = []
    run = office.schedule.run
    monkeypatch.setattr(office.schedule, "run", lambda name, *rest: [scripts.append(name), run(name, *rest)][1])
    for answer in (None, Rejected(Reason.LANDLINE), None):
        office.call(answer)
    assert scripts == ["admit"] * 3
    assert not office.circuit()


def test_without_limits_everybody_goes_at_once(office: Office) -> None:
    admissions = [office.admit() for _ in range(50)]
    assert {(admission.refusal, admission.wait) for admission in admissions} == {(None, timedelta())}
    assert len({admission.call for admission in admissions}) == 50


def test_the_success_of_a_provider_that_is_not_well_is_reported(office: Office) -> None:
    office.call(FAILED)
    assert office.admit().watched
    office.call()
    assert not office.admit().watched


def test_a_call_that_was_not_made_is_reported_and_counts_as_nothing(office: Office) -> None:
    for _ in range(20):
        office.gate.release(office.admit())
    assert not office.circuit()


# The circuit.


@pytest.mark.parametrize(("error", "times"), OPENS_AFTER.values(), ids=OPENS_AFTER)
def test_a_circuit_opens_after_so_many_in_a_row_and_says_so_once(
    office: Office, caplog: pytest.LogCaptureFixture, error: Exception, times: int
) -> None:
    for _ in range(times - 1):
        office.call(error)
    assert not caplog.records
    office.call(error)
    assert office.refusal() == (Reason.CIRCUIT_OPEN, seconds(30))
    assert [(record.message, record.levelname) for record in caplog.records] == [("circuit_opened", "ERROR")]
    assert PHONE not in caplog.text


@pytest.mark.parametrize("success", [None, Rejected(Reason.NUMBER_REFUSED)], ids=["accepted", "rejected"])
@pytest.mark.parametrize(("error", "times"), OPENS_AFTER.values(), ids=OPENS_AFTER)
def test_a_success_in_between_begins_the_count_again(
    office: Office, error: Exception, times: int, success: Exception | None
) -> None:
    for answer in [*[error] * (times - 1), success] * 3:
        office.call(answer)
    assert not office.circuit()
    assert office.admit().refusal is None


def test_each_kind_of_failure_is_counted_by_itself(office: Office) -> None:
    for error, times in OPENS_AFTER.values():
        if not isinstance(error, RuntimeError):  # it is a doubt as well
            for _ in range(times - 1):
                office.call(error)
    assert office.admit().refusal is None


def test_an_open_circuit_refuses_with_the_time_that_is_left(office: Office) -> None:
    office.open()
    assert office.refusal() == (Reason.CIRCUIT_OPEN, seconds(30))
    office.clock.forward(seconds=29.999)
    assert office.refusal() == (Reason.CIRCUIT_OPEN, seconds(0.001))
    office.clock.forward(seconds=0.001)
    assert office.admit().refusal is None


def test_one_providers_circuit_does_not_touch_another(office: Office) -> None:
    office.open()
    assert office.admit(office.b).refusal is None


def test_when_many_ask_at_once_one_goes_on_trial(office: Office) -> None:
    office.open()
    office.clock.forward(seconds=30)
    claims, together = [office.claim() for _ in range(12)], Barrier(12)

    def ask(claim: Claim) -> Admission:
        together.wait()
        return office.admit(claim=claim)

    with ThreadPoolExecutor(12) as threads:
        admissions = list(threads.map(ask, claims))
    assert [one.refusal for one in admissions].count(None) == 1
    assert {one.wait for one in admissions if one.refusal is Reason.CIRCUIT_OPEN} == {CALL}


def test_a_trial_that_succeeds_closes_the_circuit(office: Office) -> None:
    office.open()
    office.clock.forward(seconds=30)
    office.call()
    assert [office.admit().refusal for _ in range(5)] == [None] * 5
    for _ in range(4):
        office.call(FAILED)
    assert office.admit().refusal is None


@pytest.mark.parametrize(("error", "times"), OPENS_AFTER.values(), ids=OPENS_AFTER)
def test_a_trial_that_fails_doubles_the_time_up_to_five_minutes(
    office: Office, caplog: pytest.LogCaptureFixture, error: Exception, times: int
) -> None:
    office.open()
    caplog.clear()
    waits = []
    for _ in range(12):
        _, wait = office.refusal()
        waits.append(wait.total_seconds())
        office.clock.forward(seconds=wait.total_seconds())
        office.call(error)
    assert waits == [30, 60, 120, 240] + [300] * 8
    assert not caplog.records  # it has been open all the time


def test_a_trial_whose_worker_died_is_free_again_when_its_lease_ends(office: Office) -> None:
    office.open()
    office.clock.forward(seconds=30)
    lost = office.admit()
    office.clock.forward(seconds=19.999)
    assert office.refusal() == (Reason.CIRCUIT_OPEN, seconds(0.001))
    office.clock.forward(seconds=0.001)
    second = office.admit()
    assert second.refusal is None
    office.gate.report(lost, None)  # late after all: another one is on trial
    assert office.refusal() == (Reason.CIRCUIT_OPEN, CALL)
    office.gate.report(second, FAILED)
    assert office.refusal() == (Reason.CIRCUIT_OPEN, seconds(60))


def test_a_trial_that_was_not_made_lets_the_next_one_try(office: Office) -> None:
    office.open()
    office.clock.forward(seconds=30)
    office.gate.release(office.admit())
    assert office.admit().refusal is None
    assert office.admit().refusal is Reason.CIRCUIT_OPEN


def test_a_trial_that_was_throttled_neither_closes_nor_opens(office: Office) -> None:
    office.open()
    office.clock.forward(seconds=30)
    office.call(Throttled(7))
    assert office.refusal() == (Reason.THROTTLED, seconds(7))
    office.clock.forward(seconds=7)
    assert office.admit().refusal is None
    assert office.admit().refusal is Reason.CIRCUIT_OPEN


@pytest.mark.parametrize("error", [FAILED, Misconfigured(), Ambiguous(), Throttled(50)])
def test_those_who_fail_together_count_once(office: Office, error: Exception) -> None:
    """A provider that goes down takes along all calls under way: each was admitted before the circuit opened."""
    together = [office.admit() for _ in range(8)]
    office.open()
    for admission in together:
        office.gate.report(admission, error)
    assert office.refusal() == (Reason.CIRCUIT_OPEN, seconds(30))
    office.clock.forward(seconds=30)
    assert office.admit().refusal is None


def test_a_success_that_began_before_the_circuit_opened_does_not_close_it(office: Office) -> None:
    office.call(FAILED)
    early = office.admit()
    assert early.watched
    for _ in range(4):
        office.call(FAILED)
    office.gate.report(early, None)
    assert office.refusal() == (Reason.CIRCUIT_OPEN, seconds(30))


@pytest.mark.parametrize("error", [None, FAILED])
def test_only_the_trial_itself_ends_the_trial(office: Office, error: Exception | None) -> None:
    office.call(FAILED)
    early, released = office.admit(), office.admit()
    for _ in range(4):
        office.call(FAILED)
    office.clock.forward(seconds=30)
    assert office.admit().refusal is None
    office.gate.report(early, error)
    office.gate.release(released)
    assert office.refusal() == (Reason.CIRCUIT_OPEN, CALL)


CHANCE = random.Random(7)
TURNS = list(itertools.accumulate(CHANCE.uniform(3, 40) for _ in range(400)))


def by_chance(_: Office, second: int) -> bool:
    """Work and fail in turns of 3 to 40 seconds."""
    return bool(bisect(TURNS, second) % 2)


def on_trial_only(office: Office, _: int) -> bool:
    """Work as long as nobody trusts it."""
    return b"until" in office.circuit()


@pytest.mark.parametrize("works", [by_chance, on_trial_only])
def test_a_provider_that_comes_and_goes_opens_its_circuit_less_and_less_often(
    office: Office, caplog: pytest.LogCaptureFixture, works: Callable[[Office, int], bool]
) -> None:
    opened = []
    for second in range(3600):
        for _ in range(6):
            admission = office.admit()
            if admission.refusal is not None:
                break
            office.gate.report(admission, None if works(office, second) else FAILED)
        opened += [second] * len(caplog.records)
        caplog.clear()
        office.clock.forward(seconds=1)
    pauses = [later - earlier for earlier, later in itertools.pairwise(opened)]
    assert 3 < len(opened) < 20
    assert all(pause >= least for pause, least in zip(pauses, [30, 60, 120, 240] + [300] * 20, strict=False))


def test_after_ten_calm_minutes_the_next_opening_is_a_first_one(office: Office) -> None:
    for calm, wait in ((600.0, 60), (600.001, 30)):
        office.schedule.client.delete("rw:{0}:c:a")
        office.open()
        office.clock.forward(seconds=30)
        office.call()
        office.clock.forward(seconds=calm)
        office.call()
        office.open()
        assert office.refusal() == (Reason.CIRCUIT_OPEN, seconds(wait))


def test_a_circuit_that_has_been_calm_is_forgotten(office: Office) -> None:
    office.open()
    office.clock.forward(seconds=30)
    office.call()
    office.clock.forward(minutes=11)
    office.call()
    assert not office.circuit()


@pytest.mark.parametrize("error", [FAILED, Misconfigured(), Ambiguous(), Throttled(1)])
def test_an_idle_circuit_is_forgotten_after_an_hour(office: Office, error: Exception) -> None:
    def left() -> float:
        return office.schedule.client.pttl("rw:{0}:c:a") / 3_600_000

    office.call(error)
    assert 0.9 < left() <= 1
    office.clock.forward(minutes=1)
    office.schedule.client.pexpire("rw:{0}:c:a", 1000_000)
    office.call(None)  # what happens there is remembered for an hour more, while there is anything
    assert left() > 0.9 or not office.circuit()


def test_a_trial_does_not_make_a_circuit_stay(office: Office) -> None:
    office.open()
    office.clock.forward(seconds=30)
    office.admit()
    assert 0 < office.schedule.client.pttl("rw:{0}:c:a") <= 3_600_000


# A provider that throttles.


@pytest.mark.parametrize(
    ("retry_after", "pause"), [(None, DEFAULT_PAUSE), (0.5, 0.5), (7, 7), (60, 60), (61, 60), (900, 60)]
)
def test_a_provider_that_throttles_is_left_alone_as_long_as_it_says_up_to_a_minute(
    office: Office, retry_after: float | None, pause: float
) -> None:
    office.call(Throttled(retry_after))
    assert office.refusal() == (Reason.THROTTLED, seconds(pause))
    office.clock.forward(seconds=pause - 0.001)
    assert office.refusal() == (Reason.THROTTLED, seconds(0.001))
    office.clock.forward(seconds=0.001)
    assert office.admit().refusal is None


def test_a_success_that_was_under_way_does_not_end_the_pause(office: Office) -> None:
    office.call(FAILED)
    early = office.admit()
    office.call(Throttled(7))
    office.gate.report(early, None)
    assert office.refusal() == (Reason.THROTTLED, seconds(7))


def test_throttling_is_no_failure(office: Office) -> None:
    for _ in range(20):
        office.call(Throttled(1))
        office.clock.forward(seconds=10)
    assert office.admit().refusal is None


def throttled(office: Office) -> Office:
    office.call(Throttled(1))
    office.clock.forward(seconds=1)
    return office


def pace(office: Office) -> float:
    """Return the seconds between calls."""
    return float(office.circuit()[b"pace"]) / 1e6


def at_its_pace(office: Office, until: Callable[[], bool]) -> timedelta:
    """Make calls that succeed, as soon as each may be made; return how long that took."""
    began = office.clock.now
    while not until():
        admission = office.admit()
        office.clock.forward(seconds=admission.wait.total_seconds())
        if admission.refusal is None:
            office.gate.report(admission, None)
    return office.clock.now - began


def took(office: Office, takes: Callable[[], bool], minutes: int) -> tuple[int, int]:
    """Call as soon as may be for so long; return how many were taken and refused in the second half."""
    counts, half = [0, 0], office.clock.now + timedelta(minutes=minutes / 2)
    while office.clock.now < half + timedelta(minutes=minutes / 2):
        admission = office.admit()
        office.clock.forward(seconds=max(admission.wait.total_seconds(), 0.01))
        if admission.refusal is None:
            taken = takes()
            office.gate.report(admission, None if taken else Throttled(1))
            counts[not taken] += office.clock.now > half
    return counts[0], counts[1]


def test_who_throttles_by_chance_is_not_called_ever_more_slowly(office: Office) -> None:
    chance = random.Random(1)
    taken, refused = took(office, lambda: chance.random() > 0.07, minutes=3)
    assert taken > 5 * 90  # five a second: pauses alone would leave about ten
    assert refused < taken / 8


@pytest.mark.parametrize("burst", [1.0, 5.0, 60.0])
def test_who_throttles_because_it_is_called_too_fast_is_slowed_down(office: Office, burst: float) -> None:
    tokens = [burst, office.clock.now.timestamp()]

    def takes() -> bool:
        now = office.clock.now.timestamp()
        tokens[:] = min(burst, tokens[0] + now - tokens[1]), now
        if tokens[0] < 1:
            return False
        tokens[0] -= 1
        return True

    taken, refused = took(office, takes, minutes=3)
    assert taken > 90 * 0.75  # one a second
    assert refused < taken / 10
    assert b"useless" not in office.circuit()


def test_that_slowing_down_was_useless_is_forgotten_when_its_time_is_over(office: Office) -> None:
    until = int(office.clock.now.timestamp() * 1000) + 1000
    office.schedule.client.hset("rw:{0}:c:a", "useless", until)
    office.call()
    assert b"useless" in office.circuit()
    office.clock.forward(seconds=2)
    office.call()
    assert not office.circuit()


def test_after_throttling_four_calls_a_second_are_made(office: Office) -> None:
    throttled(office)
    found = [office.admit() for _ in range(3)]
    assert [(one.refusal, one.wait) for one in found] == [
        (None, timedelta()), (None, seconds(0.25)), (Reason.THROTTLED, seconds(0.5)),
    ]  # fmt: skip
    office.clock.forward(seconds=0.25)
    assert office.admit().wait == seconds(0.25)
    office.clock.forward(seconds=10)
    assert office.admit().wait == timedelta()  # what was not used is not made up for
    assert office.admit().wait == seconds(0.25)


@pytest.mark.parametrize("error", [FAILED, Misconfigured(), Ambiguous()])
def test_a_failure_says_nothing_about_the_pace(office: Office, error: Exception) -> None:
    throttled(office)
    office.call(error)
    assert pace(office) == 0.25


def test_each_time_it_throttles_it_is_called_more_slowly(office: Office) -> None:
    paces = []
    for _ in range(30):
        office.clock.forward(seconds=20)
        office.call(Throttled(1))
        paces.append(pace(office))
    assert paces[:4] == [0.25, 0.5, 0.625, 0.78125]
    assert paces == sorted(paces)
    assert paces[-1] == 10


def test_calls_that_were_under_way_when_it_throttled_count_once(office: Office) -> None:
    calls = [office.admit() for _ in range(8)]
    for call in calls:
        office.gate.report(call, Throttled(1))
    assert pace(office) == 0.25


def test_a_pause_is_not_made_shorter_by_one_that_was_under_way(office: Office) -> None:
    early = office.admit()
    office.call(Throttled(7))
    office.gate.report(early, Throttled(1))
    assert office.refusal() == (Reason.THROTTLED, seconds(7))


def test_it_is_called_twice_as_often_each_second_until_nobody_counts(office: Office) -> None:
    throttled(office)
    assert at_its_pace(office, lambda: pace(office) <= 0.125) == pytest.approx(seconds(1), abs=seconds(0.2))
    assert at_its_pace(office, lambda: pace(office) <= 0.0625) == pytest.approx(seconds(1), abs=seconds(0.2))
    assert at_its_pace(office, lambda: not office.circuit()) < seconds(6)
    assert not office.admit().watched


def test_once_it_is_known_what_was_too_fast_it_takes_a_minute(office: Office) -> None:
    """Each time that it throttles nobody is called for a while: more is lost by that than by being a little slower."""
    throttled(office)
    at_its_pace(office, lambda: pace(office) <= 0.1)
    too_fast = pace(office)
    office.call(Throttled(1))
    office.clock.forward(seconds=1)
    assert pace(office) == 2 * too_fast
    assert at_its_pace(office, lambda: pace(office) <= too_fast) == pytest.approx(seconds(60), abs=seconds(1))


def test_where_it_was_not_too_fast_after_all_it_goes_on_as_before(office: Office) -> None:
    throttled(office)
    at_its_pace(office, lambda: pace(office) <= 0.1)
    too_fast = pace(office)
    office.call(Throttled(1))
    office.clock.forward(seconds=1)
    at_its_pace(office, lambda: pace(office) <= 0.79 * too_fast)
    half = pace(office) / 2
    assert at_its_pace(office, lambda: pace(office) <= half) == pytest.approx(seconds(1), abs=seconds(0.2))


def test_calls_at_a_pace_are_as_far_apart_as_the_rate_has_it_too(office: Office) -> None:
    office.make(a={"rate": 4.5})
    throttled(office)
    office.schedule.client.hset("rw:{0}:c:a", mapping={"pace": 50_000, "next": (to_ms(office.clock.now) + 200) * 1000})
    moments = [office.clock.now + office.admit().wait]
    office.clock.forward(seconds=0.2)
    moments.append(office.clock.now + office.admit().wait)
    assert [round((one - moments[0]).total_seconds(), 2) for one in moments] == [0, 0.22]


# Who waits.


def called(office: Office, provider: str) -> Claim:
    return replace(office.claim(), called=provider)


def test_while_others_wait_nobody_new_is_let_in(office: Office) -> None:
    throttled(office)
    office.schedule.client.hset("rw:{0}:c:a", "crowd", 7)
    admission = office.admit()
    assert (admission.refusal, admission.crowd) == (Reason.THROTTLED, 7)
    assert office.admit(claim=called(office, "b")).refusal is Reason.THROTTLED  # it waited for another
    assert office.admit(claim=called(office, "a")).refusal is None
    assert office.admit(office.b).refusal is None


def test_what_may_be_out_already_waits_behind_nobody(office: Office) -> None:
    throttled(office)
    office.schedule.client.hset("rw:{0}:c:a", "crowd", 7)
    attempt = OpenAttempt(Wake(id_of(1), 0, 1), office.clock.now, "a", "reference", office.clock.now, b"sealed")
    whom = office.gate.recipient(attempt, PLATFORM, PHONE)
    assert office.gate.admit(office.a, whom, 1).refusal is None


def test_the_call_of_one_who_waited_calls_the_next(office: Office) -> None:
    throttled(office)
    member = id_of(9) + b"\0"
    office.schedule.client.hset("rw:{0}:c:a", "crowd", 1)
    office.schedule.client.zadd("rw:{0}:q:a", {member: 1})
    office.schedule.client.zadd("rw:{0}:due", {member: to_ms(office.clock.now) + 60_000})
    office.gate.report(office.admit(claim=called(office, "a")), None)
    ((found, at),) = office.schedule.client.zrange("rw:{0}:turns", 0, -1, withscores=True)
    assert (found, at) == (member, pytest.approx(to_ms(office.clock.now) + 250, abs=60))


# How fast.


class Turns:
    """What admit.lua promises about time, in plain Python and microseconds."""

    def __init__(self) -> None:
        self.free: dict[str, int] = {}
        self.queue: dict[str, int] = {}  # of who is new: when the last of those that wait has its turn
        self.queue_again: dict[str, int] = {}

    def ask(self, now: int, gaps: Mapping[str, int], *, comes_back: bool) -> tuple[bool, int, str]:
        """Return whether it may go, when (or when to come back), and what it waits for."""
        queue = self.queue_again if comes_back else self.queue
        before = {} if comes_back else {name: self.queue.get(name, 0) for name in gaps}
        turns = {name: max(self.free.get(name, 0), before.get(name, 0)) for name in gaps}
        name, at = max(turns.items(), key=lambda pair: pair[1], default=("", 0))
        at = max(at, now)
        if at - now > SOON or any(last > now for last in before.values()):
            queue[name] = max(queue.get(name, 0), at) + gaps[name]
            return False, queue[name], name
        self.free.update({name: at + gap for name, gap in gaps.items()})
        return True, at, name


def crowded(turns: list[int], most: int) -> bool:
    """Tell whether any window of a second holds more than so many."""
    return any(later - earlier < 1_000_000 for earlier, later in zip(turns, turns[most:], strict=False))


RATES = st.one_of(st.none(), st.integers(1, 60), st.floats(0.3, 200, allow_nan=False), st.just(10_000))
STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from([0, 0, 0, 1, 7, 50, 249, 300, 2000]), st.booleans()), max_size=60
)


@settings(max_examples=200, **OWN_CLOCK)
@given(STEPS, RATES, RATES, RATES)
def test_turns_are_what_a_plain_model_says_and_no_second_holds_too_many(
    schedule: Schedule,
    patient: Clock,
    steps: list[tuple[str, int, bool]],
    rate_a: float | None,
    rate_b: float | None,
    rate_both: float | None,
) -> None:
    schedule.client.flushdb()
    patient.set(START)
    office, model = Office(schedule, patient), Turns()
    office.a.sender = office.b.sender = SENDER
    office.make(a={"rate": rate_a, "sender_rate": rate_both}, b={"rate": rate_b, "sender_rate": rate_both})
    rates = {"a": rate_a, "b": rate_b, "both": rate_both}
    gaps = {name: math.ceil(1e6 / rate) for name, rate in rates.items() if rate is not None}
    gone: dict[str, list[int]] = {"a": [], "b": [], "both": []}
    told: dict[tuple[str, bool], list[int]] = {(name, again): [] for name in gone for again in (False, True)}
    for name, pause, again in steps:
        patient.forward(milliseconds=pause)
        now = round(patient.now.timestamp() * 1000) * 1000
        admission = office.admit(getattr(office, name), claim=office.claim(comes_back=again))
        its_gaps = {key: gap for key, gap in gaps.items() if key in (name, "both")}
        goes, at, queue = model.ask(now, its_gaps, comes_back=again)
        assert admission.refusal is (None if goes else Reason.RATE_LIMITED)
        assert admission.wait == timedelta(milliseconds=math.ceil((at - now) / 1000))
        for list_ in (gone[name], gone["both"]) if goes else (told[queue, again],):
            list_.append(at)
    for name, rate in rates.items():
        assert rate is None or not crowded(gone[name], math.ceil(rate))
        assert rate is None or gone[name] == sorted(set(gone[name]))
        assert told[name, False] == sorted(set(told[name, False]))
        assert told[name, True] == sorted(set(told[name, True]))


@pytest.mark.parametrize("rate", [3, 7, 13, 60])  # its seconds hold both their ends: not 4, whose texts meet them
def test_no_second_of_the_limits_packages_moving_window_holds_too_many(
    schedule: Schedule, patient: Clock, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    limits = pytest.importorskip("limits")
    office = Office(schedule, patient)
    office.make(a={"rate": rate})
    window = limits.strategies.MovingWindowRateLimiter(storage := limits.storage.MemoryStorage())
    for pause in [0, 0, 3, 0, 40, 0, 120, 0, 500] * 40:
        patient.forward(milliseconds=pause)
        if (admission := office.admit()).refusal is None:
            turn = int(schedule.client.get("rw:{0}:g:a")) / 1e6 - math.ceil(1e6 / rate) / 1e6
            assert patient.now.timestamp() <= turn + 1e-6
            assert turn <= patient.now.timestamp() + admission.wait.total_seconds() + 1e-6
            monkeypatch.setattr(limits.storage.memory, "time", SimpleNamespace(time=lambda turn=turn: turn))
            assert window.hit(limits.RateLimitItemPerSecond(rate), "a")
    storage.reset()


def test_whole_microseconds_between_texts_are_rounded_up(office: Office, client: store.Client) -> None:
    """Three texts a second with 333333 between them are four in some seconds."""
    office.make(a={"rate": 3})
    office.admit()
    assert int(client.get("rw:{0}:g:a")) == round(START.timestamp()) * 1_000_000 + 333_334


def test_whoever_is_next_soon_waits_and_the_others_come_back_one_after_the_other(
    office: Office, patient: Clock
) -> None:
    office.make(a={"rate": 10})
    answers = [office.refusal() for _ in range(6)]
    assert answers[:3] == [(None, seconds(0)), (None, seconds(0.1)), (None, seconds(0.2))]
    assert answers[3:] == [(Reason.RATE_LIMITED, seconds(wait)) for wait in (0.4, 0.5, 0.6)]


def test_nobody_new_goes_past_who_waits_for_a_turn(office: Office, patient: Clock) -> None:
    office.make(a={"rate": 10})
    assert [office.refusal()[1] for _ in range(4)] == [seconds(wait) for wait in (0, 0.1, 0.2, 0.4)]
    patient.forward(milliseconds=300)  # the provider is free, but somebody's turn is to come
    assert office.refusal() == (Reason.RATE_LIMITED, seconds(0.2))
    patient.forward(milliseconds=100)
    assert office.admit(claim=office.claim(comes_back=True)).refusal is None
    assert office.refusal() == (Reason.RATE_LIMITED, seconds(0.2))
    patient.forward(milliseconds=100)
    assert office.admit(claim=office.claim(comes_back=True)).refusal is None


def test_who_only_asks_is_told_the_turn_that_there_is_and_nobody_waits_for_it(office: Office, patient: Clock) -> None:
    office.make(a={"rate": 1})
    assert office.admit(wants_turn=False).refusal is None
    for _ in range(5):
        asked = office.admit(wants_turn=False)
        assert (asked.refusal, asked.wait) == (Reason.RATE_LIMITED, seconds(2))
    assert [office.refusal()[1] for _ in range(2)] == [seconds(2), seconds(3)]
    assert office.admit(wants_turn=False).wait == seconds(4)


def test_nobody_waits_for_turns_of_a_rate_that_was_raised(office: Office, patient: Clock) -> None:
    office.make(a={"rate": 1})
    assert [office.refusal()[1] for _ in range(4)] == [seconds(wait) for wait in (0, 2, 3, 4)]
    patient.forward(seconds=1)
    office.make(a={"rate": 10})
    assert [office.refusal() for _ in range(3)] == [(None, seconds(wait)) for wait in (0, 0.1, 0.2)]
    assert office.admit(claim=office.claim(comes_back=True)).refusal is Reason.RATE_LIMITED


@pytest.mark.parametrize("rate", [10, 0.01])
def test_nobody_waits_for_turns_of_a_clock_that_was_ahead(office: Office, patient: Clock, rate: float) -> None:
    office.make(a={"rate": rate})
    patient.forward(days=1)
    for _ in range(6):
        office.admit()
        office.admit(claim=office.claim(comes_back=True))
    patient.set(START)
    assert office.refusal() == (None, seconds(0))
    answers = [office.admit(claim=office.claim(comes_back=again)) for again in (False, True) * 3]
    assert max(one.wait for one in answers) <= seconds(5 / rate)


@pytest.mark.parametrize("error", [FAILED, Throttled(3600), Misconfigured(), Ambiguous()])
def test_no_provider_is_left_alone_until_a_time_of_a_clock_that_was_ahead(
    office: Office, patient: Clock, error: NotSent
) -> None:
    patient.forward(days=1)
    for _ in range(10):
        if (admission := office.admit()).refusal is None:
            office.gate.report(admission, error)
    assert office.admit().refusal is not None
    patient.set(START)
    office.call(error)  # one is a trial
    assert timedelta() < office.admit().wait <= timedelta(minutes=3)
    patient.forward(minutes=3)
    office.call()
    patient.forward(seconds=1)
    office.call()


def test_no_trial_keeps_others_away_until_a_time_of_a_clock_that_was_ahead(office: Office, patient: Clock) -> None:
    office.open()
    patient.forward(days=1)
    assert office.admit().refusal is None
    patient.set(START + seconds(30))
    assert office.admit().refusal is None
    assert office.admit().wait == CALL


def test_who_came_for_a_turn_and_finds_too_many_is_not_sent_behind_all_that_are_new(
    office: Office, patient: Clock
) -> None:
    office.make(a={"rate": 10})
    for _ in range(103):
        office.admit()
    patient.forward(seconds=5)
    again = [office.admit(claim=office.claim(comes_back=True)) for _ in range(5)]
    assert [one.refusal for one in again] == [None] * 3 + [Reason.RATE_LIMITED] * 2
    assert [one.wait for one in again[3:]] == [seconds(0.4), seconds(0.5)]


def test_all_processes_share_a_rate(office: Office, patient: Clock, server: EmbeddedServer) -> None:
    with store.connect(server.url()) as elsewhere:
        gates = [office.make(schedule=each, a={"rate": 10}) for each in (office.schedule, Schedule(elsewhere))]
        waits = [office.admit(gate=gate).wait for gate in (*gates, gates[0])]
    assert waits == [seconds(0), seconds(0.1), seconds(0.2)]


def test_two_providers_have_rates_of_their_own(office: Office, patient: Clock) -> None:
    office.make(a={"rate": 10}, b={"rate": 10})
    assert [office.admit(one).wait for one in (office.a, office.b, office.a)] == [seconds(0), seconds(0), seconds(0.1)]


def test_two_providers_with_one_sender_share_its_rate(office: Office, patient: Clock) -> None:
    office.make(a={"sender_rate": 10}, b={"sender_rate": 10})
    office.a.sender = office.b.sender = SENDER
    assert [office.admit(one).wait for one in (office.a, office.b, office.a)] == [seconds(n / 10) for n in range(3)]


@pytest.mark.parametrize("senders", [(SENDER, SENDER + "2"), ("", "")], ids=["two senders", "no sender"])
def test_what_does_not_share_a_sender_shares_no_rate(office: Office, patient: Clock, senders: tuple[str, str]) -> None:
    office.make(a={"sender_rate": 10}, b={"sender_rate": 10})
    office.a.sender, office.b.sender = senders
    assert [office.admit(one).wait for one in (office.a, office.b)] == [seconds(0)] * 2


@pytest.mark.parametrize(("rate", "sender_rate"), [(1, 2), (2, 1)])
def test_whoever_waits_comes_back_at_the_pace_of_the_slower_limit(
    office: Office, patient: Clock, rate: float, sender_rate: float
) -> None:
    office.make(a={"rate": rate, "sender_rate": sender_rate})
    office.a.sender = SENDER
    assert [office.admit().wait for _ in range(3)] == [seconds(0), seconds(2), seconds(3)]


def test_a_refusal_takes_no_turn(office: Office, patient: Clock) -> None:
    office.make(a={"rate": 2}, phone_cap=1)
    office.admit()
    assert [office.refusal() for _ in range(3)] == [(Reason.PHONE_CAPPED, seconds(0))] * 3
    assert office.admit(phone=OTHER_PHONE).wait == seconds(1)


# What it costs.


def test_price_times_segments_is_reserved(office: Office) -> None:
    office.make(a={"price": 0.0079})
    office.admit(segments=3)
    assert office.spent() == 23_700


GIVEN_BACK = {
    "accepted": (None, 80_000),
    "rejected": (Rejected(Reason.LANDLINE), 80_000),
    "in doubt": (Ambiguous(), 80_000),
    "a plug-in's own error": (KeyError(), 80_000),
    "not sent": (FAILED, 0),
    "throttled": (Throttled(), 0),
    "misconfigured": (Misconfigured(), 0),
}


@pytest.mark.parametrize(("error", "left"), GIVEN_BACK.values(), ids=GIVEN_BACK)
@pytest.mark.parametrize("well", [True, False])
def test_what_surely_was_not_sent_is_given_back(
    office: Office, error: Exception | None, left: int, *, well: bool
) -> None:
    office.make(a={"price": 0.08})
    if not well:
        office.call(FAILED)
    office.call(error)
    assert office.spent() == left


def test_a_call_that_was_not_made_is_given_back(office: Office) -> None:
    office.make(a={"price": 0.08})
    office.gate.release(office.admit())
    assert office.spent() == 0


def test_the_cap_is_reached_and_not_passed(office: Office) -> None:
    office.make(a={"price": 0.08, "daily_spend": 0.24})
    assert [office.admit().refusal for _ in range(4)] == [None, None, None, Reason.SPEND_CAPPED]
    assert office.spent() == 240_000


def test_what_costs_more_than_is_left_waits_until_the_day_ends(office: Office) -> None:
    office.make(a={"price": 0.08, "daily_spend": 0.2})
    office.admit(segments=2)
    office.clock.forward(hours=3)
    assert office.refusal() == (Reason.SPEND_CAPPED, timedelta(hours=12))
    office.clock.forward(hours=12)
    assert office.admit().refusal is None
    assert office.spent() == 80_000


def test_one_providers_cost_is_not_anothers(office: Office) -> None:
    office.make(a={"price": 0.1, "daily_spend": 0.1}, b={"price": 0.1, "daily_spend": 0.1})
    assert [office.admit(one).refusal for one in (office.a, office.b)] == [None, None]


def test_without_a_price_nothing_is_kept(office: Office) -> None:
    office.make(a={})
    office.admit()
    assert office.spent() is None


def test_what_is_given_back_after_midnight_belongs_to_the_day_before(office: Office) -> None:
    office.make(a={"price": 0.08})
    office.clock.set(START.replace(hour=23, minute=59, second=59))
    early, yesterday = office.admit(), office.spent()
    office.clock.forward(seconds=2)
    office.admit()
    office.gate.report(early, FAILED)
    assert (yesterday, office.spent()) == (80_000, 80_000)
    office.clock.forward(days=-1)
    assert office.spent() == 0


def test_what_is_given_back_too_late_leaves_no_key(office: Office, client: store.Client) -> None:
    office.make(a={"price": 0.08})
    admission = office.admit()
    client.delete(*client.scan_iter("rw:{0}:s:*"))
    office.gate.report(admission, FAILED)
    assert office.spent() is None


@pytest.mark.parametrize("again", [1, 2])
def test_at_eighty_per_cent_a_warning_is_given_once_a_day(
    office: Office, caplog: pytest.LogCaptureFixture, again: int
) -> None:
    caplog.set_level(logging.WARNING)
    gates = [office.make(a={"price": 0.1, "daily_spend": 1}) for _ in range(again)]
    for _ in range(2):
        for _ in range(7):
            office.admit()
        assert not caplog.messages
        office.admit(gate=gates[0])  # eight of ten
        assert caplog.messages == ["spending_nears_its_cap"]
        for number in range(2):
            office.admit(gate=gates[number % again])
        assert caplog.messages == ["spending_nears_its_cap"]
        caplog.clear()
        office.clock.forward(days=1)


@settings(max_examples=40, **OWN_CLOCK)
@given(st.lists(st.tuples(st.integers(1, 10_000_000), st.integers(1, 10), st.booleans()), max_size=12))
def test_cost_is_reckoned_exactly_to_the_millionth(
    schedule: Schedule, clock: Clock, texts: list[tuple[int, int, bool]]
) -> None:
    schedule.client.flushdb()
    clock.set(START)
    office, total = Office(schedule, clock), Decimal(0)
    for price, segments, released in texts:
        office.make(a={"price": float(Decimal(price) / 1_000_000)})
        admission = office.admit(segments=segments)
        if released:
            office.gate.release(admission)
        else:
            total += Decimal(price) * segments
    assert (office.spent() or 0) == total


# What a platform may send, and a phone get.


def test_a_phone_gets_so_many_reminders_a_day(office: Office) -> None:
    office.make(phone_cap=3)
    platforms = [PLATFORM, OTHER_PLATFORM, PLATFORM, PLATFORM]  # whoever sends them
    assert [office.admit(platform=one).refusal for one in platforms] == [None, None, None, Reason.PHONE_CAPPED]
    assert office.admit(phone=OTHER_PHONE).refusal is None


def test_a_platform_sends_so_many_reminders_a_day(office: Office) -> None:
    office.make(caps={PLATFORM: 3})
    answers = [office.admit(phone=f"+3361234001{n}").refusal for n in range(4)]
    assert answers == [None, None, None, Reason.PLATFORM_CAPPED]
    office.clock.forward(hours=5)
    assert office.refusal() == (Reason.PLATFORM_CAPPED, timedelta(hours=10))


def test_one_platforms_cap_does_not_touch_another(office: Office) -> None:
    office.make(caps={PLATFORM: 1, OTHER_PLATFORM: 2})
    asked = [PLATFORM, PLATFORM, OTHER_PLATFORM, OTHER_PLATFORM, OTHER_PLATFORM]
    full = Reason.PLATFORM_CAPPED
    assert [office.admit(platform=one).refusal for one in asked] == [None, full, None, None, full]


def test_a_platform_without_a_cap_has_none_and_one_with_zero_sends_nothing(office: Office) -> None:
    office.make(caps={OTHER_PLATFORM: 0})
    assert office.admit(platform=OTHER_PLATFORM).refusal is Reason.PLATFORM_CAPPED
    assert {office.admit().refusal for _ in range(30)} == {None}


def test_a_reminder_counts_once_however_often_it_is_tried(office: Office) -> None:
    office.make(caps={PLATFORM: 1}, phone_cap=1)
    claim = office.claim(1)
    for number in range(6):
        admission = office.admit((office.a, office.b)[number % 2], claim=claim)
        assert admission.refusal is None
        office.gate.report(admission, Throttled(0))
    assert office.admit().refusal is Reason.PHONE_CAPPED


def test_a_reminder_that_was_moved_is_another_one(office: Office) -> None:
    office.make(phone_cap=1)
    office.admit(claim=office.claim(1))
    assert office.admit(claim=office.claim(1, version=2)).refusal is Reason.PHONE_CAPPED


def test_two_leads_of_an_appointment_are_two_reminders(office: Office) -> None:
    office.make(phone_cap=1)
    first = office.claim(1)
    office.admit(claim=first)
    second = Claim(Wake(first.wake.id, 1, 1), b"token", office.clock.now, 0, b"sealed")
    assert office.admit(claim=second).refusal is Reason.PHONE_CAPPED


def test_what_is_refused_for_another_reason_does_not_count(office: Office) -> None:
    office.make(a={"price": 1, "daily_spend": 1}, caps={PLATFORM: 2}, phone_cap=2)
    answers = [office.admit(claim=office.claim(number)).refusal for number in range(5)]
    assert answers == [None, *[Reason.SPEND_CAPPED] * 4]
    assert office.admit(office.b).refusal is None


def test_the_next_day_is_a_new_day(office: Office, client: store.Client) -> None:
    office.make(caps={PLATFORM: 1}, phone_cap=1)
    claim = office.claim(1)
    before = office.gate.recipient(claim, PLATFORM, PHONE)
    office.admit(claim=claim)
    keys = set(client.scan_iter("rw:{0}:[pdl]:*"))
    office.clock.forward(hours=15)  # midnight
    claim = office.claim(1)
    after = office.gate.recipient(claim, PLATFORM, PHONE)
    for tag in ("phone_tag", "platform_tag", "reminder_tag"):
        assert getattr(before, tag) != getattr(after, tag)
    assert office.admit(claim=claim).refusal is None
    assert len(set(client.scan_iter("rw:{0}:[pdl]:*")) - keys) == 3


def test_what_counts_a_day_is_gone_at_its_end(office: Office, client: store.Client) -> None:
    office.make(a={"price": 1, "daily_spend": 1})
    office.admit()
    left = {key.split(b":")[2]: client.pttl(key) / 3_600_000 for key in client.scan_iter("rw:{0}:*")}
    assert left.keys() == set(b"p d l s w".split())
    assert left.pop(b"l") == pytest.approx(8 * 24, rel=0.01)
    assert list(left.values()) == pytest.approx([15] * 4, rel=0.01)


def test_all_that_is_kept_is_forgotten_some_time(office: Office, client: store.Client) -> None:
    everything(office)
    assert not [key for key in client.scan_iter("rw:*") if client.pttl(key) <= 0 and key != b"rw:{0}:stops"]


# Who learns what.


def everything(office: Office) -> None:
    """Leave each kind of key behind."""
    office.a.sender = SENDER
    office.make(a={"rate": 2, "sender_rate": 1, "price": 1, "daily_spend": 12}, caps={PLATFORM: 100})
    for claim in (office.claim(1), office.claim(1), office.claim(2)):
        office.admit(claim=claim)
    office.clock.forward(seconds=30)
    office.call(Throttled(1))
    office.clock.forward(seconds=1)
    office.schedule.client.zadd("rw:{0}:due", {id_of(9) + b"\0": 1})
    for number in (9, 10):  # one is called, and one waits
        office.schedule.run("next", 0, "a", id_of(number) + b"\0", 1)
    office.schedule.client.delete("rw:{0}:due")
    for _ in range(8):
        office.clock.forward(seconds=10)
        office.admit(claim=office.claim(3))
    office.clock.forward(seconds=1)
    for _ in range(5):
        office.clock.forward(seconds=21)
        office.call(FAILED)
    office.clock.forward(seconds=40)
    office.admit(claim=office.claim(4))


def test_nothing_names_a_person_a_platform_or_a_reminder(office: Office, client: store.Client) -> None:
    everything(office)
    stored = dump(client)
    kinds = {key.split(b":")[2] for key in stored if key not in clock_module.KEYS}
    assert kinds == set(b"p l d c b g q s w x".split())
    members = [id_of(number) + b"\0" for number in range(5)]
    text = repr(stored)
    clear = [number.lstrip("+") for number in (PHONE, SENDER)] + [PLATFORM]
    clear += [form for member in members for form in (repr(member[:16])[2:-1], member[:16].hex())]
    clear += [hashing(word.encode()).hexdigest()[:16] for hashing in HASHES for word in (PHONE, PHONE[1:], PLATFORM)]
    clear += [
        repr(hashing(word.encode()).digest()[:8])[2:-1] for hashing in HASHES for word in (PHONE, PHONE[1:], PLATFORM)
    ]
    assert not [word for word in clear if word in text]


HASHES = [
    hashlib.md5,
    hashlib.sha1,
    hashlib.sha256,
    hashlib.sha512,
    hashlib.blake2b,
    hashlib.blake2s,
    lambda word: hashlib.blake2b(word, digest_size=16),
]


def test_tags_need_the_pepper(office: Office) -> None:
    claim = office.claim(1)
    mine = office.gate.recipient(claim, PLATFORM, PHONE)
    office.tags = Tags(bytes(32))
    others = office.make().recipient(claim, PLATFORM, PHONE)
    assert not {mine.phone_tag, mine.platform_tag, mine.reminder_tag} & {
        others.phone_tag,
        others.platform_tag,
        others.reminder_tag,
    }


@pytest.mark.parametrize("shards", [1, 3])
def test_everything_stays_in_the_first_shards_slot(client: store.Client, clock: Clock, shards: int) -> None:
    everything(Office(Schedule(client, shards=shards), clock))
    assert {key[:7] for key in client.scan_iter() if key not in clock_module.KEYS} == {b"rw:{0}:"}


# A reply that was lost: redis-py says the same once more.


@pytest.fixture
def unlucky(
    server: EmbeddedServer, client: store.Client, patient: Clock, tmp_path: Path
) -> Iterator[tuple[Office, Proxy]]:
    """An office whose line to the store can break."""
    for name in ("admit", "report"):
        client.script_load(schedule_module.script(name)[0])  # or the answer that is lost says that it is unknown
    with Proxy(server.socket, tmp_path / "p") as proxy, store.connect(proxy.url()) as line:
        yield Office(Schedule(line), patient), proxy


WENT = {"accepted": None, "not sent": FAILED, "misconfigured": Misconfigured(), "in doubt": Ambiguous()}
WENT |= {"throttled": Throttled(5), "throttled again": Throttled(5)}


@pytest.mark.parametrize("before", [0, 2, 4, 5], ids="after {} failures".format)
@pytest.mark.parametrize("went", [*WENT, "released"])
def test_a_report_said_twice_counts_once(
    unlucky: tuple[Office, Proxy], client: store.Client, went: str, before: int
) -> None:
    """What differs: that the circuit opened is not logged when just that answer is lost."""
    line, proxy = unlucky[0].schedule.client, unlucky[1]

    def story(*, lose: bool) -> dict[bytes, Any]:
        client.flushdb()
        office = Office(Schedule(line), Clock(client))
        office.make(a={"price": 0.08})
        for _ in range(4 if went == "throttled again" else 0):
            office.call(Throttled(0))
            office.clock.forward(seconds=10)
        for _ in range(before):
            office.call(FAILED)
            office.clock.forward(seconds=1)
        office.clock.forward(minutes=1)
        other, admission = office.admit(), office.admit()  # of an open circuit, the first is on trial
        admission = other if admission.refusal else admission
        if lose:
            proxy.lose(b"EVAL")
        if went == "released":
            office.gate.release(admission)
        else:
            office.gate.report(admission, WENT[went])
        random = (b"rw:{0}:x:", b"rw:{0}:l:")
        return {key: value for key, value in dump(client).items() if not key.startswith(random)}

    once, twice = story(lose=False), story(lose=True)
    assert proxy.lost == 1 or (went == "accepted" and before == 0)  # nothing was said
    for stored in (once, twice):
        stored.get(b"rw:{0}:c:a", {}).pop(b"prober", None)  # random
    assert once == twice


def test_a_question_asked_twice_reserves_twice_and_counts_its_reminder_once(
    unlucky: tuple[Office, Proxy], client: store.Client
) -> None:
    """What differs is always less than the limit: a turn and the cost are lost, never given away."""
    office, proxy = unlucky
    office.make(a={"price": 0.08, "daily_spend": 10, "rate": 10}, caps={PLATFORM: 1}, phone_cap=1)
    proxy.lose(b"EVAL")
    admission = office.admit()
    assert proxy.lost == 1
    assert (admission.refusal, admission.wait) == (None, seconds(0.1))
    assert office.spent() == 160_000
    assert [client.get(key) for key in client.scan_iter("rw:{0}:d:*")] == [b"1"]
    assert [client.scard(key) for key in client.scan_iter("rw:{0}:p:*")] == [1]


def test_a_question_asked_twice_stays_on_trial(unlucky: tuple[Office, Proxy]) -> None:
    office, proxy = unlucky
    office.open()
    office.clock.forward(seconds=30)
    proxy.lose(b"EVAL")
    trial = office.admit()
    assert proxy.lost == 1
    assert trial.refusal is None
    office.gate.report(trial, None)
    assert office.admit().refusal is None


def test_a_question_asked_twice_takes_two_moments_and_may_be_refused_the_second(
    unlucky: tuple[Office, Proxy],
) -> None:
    office, proxy = unlucky
    throttled(office)
    for refusal, wait in ((None, 0.25), (Reason.THROTTLED, 0.5)):
        proxy.lose(b"EVAL")
        admission = office.admit()
        assert (admission.refusal, admission.wait) == (refusal, seconds(wait))
    assert proxy.lost == 2


def test_a_warning_whose_answer_was_lost_is_not_given(
    unlucky: tuple[Office, Proxy], caplog: pytest.LogCaptureFixture
) -> None:
    office, proxy = unlucky
    office.make(a={"price": 0.4, "daily_spend": 1})
    office.admit()
    proxy.lose(b"EVAL")
    assert office.admit().refusal is Reason.SPEND_CAPPED  # the first time it was reserved
    assert not caplog.messages


def test_one_destination_that_is_not_served_does_not_close_the_provider_for_the_others(office: Office) -> None:
    for _ in range(20):
        office.call(NotSent(Reason.NOT_SENT))  # an answer, not a connection that failed
    assert office.admit().refusal is None


def test_what_was_answered_with_a_refusal_is_not_spent(office: Office, client: store.Client) -> None:
    office.make(a={"price": 1})
    for error in (NotSent(Reason.NOT_SENT), FAILED, Misconfigured()):
        office.call(error)
    assert [client.get(key) for key in client.scan_iter(b"*:s:*")] == [b"0"]
