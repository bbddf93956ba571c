"""What a person decides about dead letters and unknowns, on a real server; the model has the rest."""

import threading
from datetime import timedelta

import pytest
from clock import START, Clock

from reminder_worker import acts, decisions, status, store, topology
from reminder_worker.acts import Who
from reminder_worker.decisions import Answer, Decision, Kind, Waiting, decide, waiting
from reminder_worker.errors import Reason
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Answer as Told
from reminder_worker.ledger import Claim, Entry, Outcome, Reminder, Wake
from reminder_worker.schedule import KEEP_DEAD, MOST_CLAIMS, Schedule

ALICE = Who("alice", "bob")
LEASE = timedelta(seconds=15)
ENVELOPE = b"sealed " * 60
UNKNOWN = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)


def id_of(number: int) -> bytes:
    return bytes([number]) * 16


def add(schedule: Schedule, number: int, *dues: timedelta, tag: int = 1, ticket: bytes = b"") -> Told:
    moments = tuple(START + due for due in dues or (timedelta(),))
    (answer,) = schedule.add([Entry(id_of(number), bytes([tag]) * 12, ENVELOPE, moments, ticket)])
    return answer


def claimed(schedule: Schedule) -> Claim:
    (wake,) = schedule.take(0, capacity=10).wakes
    claim = schedule.claim(wake)
    assert isinstance(claim, Claim)
    return claim


def dead_letter(schedule: Schedule, clock: Clock, number: int = 1, *dues: timedelta) -> Waiting:
    """Have a reminder's worker die again and again."""
    add(schedule, number, *dues)
    (wake,) = schedule.take(0, capacity=10).wakes
    for _ in range(MOST_CLAIMS):
        assert isinstance(schedule.claim(wake), Claim)
        clock.forward(minutes=1)
        schedule.sweep(0)
    (found,) = [one for one in waiting(schedule) if one.member == wake.member]
    return found


def unknown(schedule: Schedule, number: int = 1, *dues: timedelta) -> Waiting:
    """Have a provider leave a reminder in doubt for good."""
    add(schedule, number, *dues)
    claim = claimed(schedule)
    schedule.intend(claim, "twilio", f"ref-{number}", lease=LEASE)
    assert schedule.settle(claim.wake, UNKNOWN, reference=f"ref-{number}")
    (found,) = [one for one in waiting(schedule) if one.member == claim.wake.member]
    return found


def row(schedule: Schedule, one: Waiting) -> Reminder:
    return next(found for found in schedule.show(one.member[:16]) if found.lead == one.member[16])


def envelopes(schedule: Schedule) -> list[bytes]:
    prefix = schedule.prefix(0) + b"a:"
    return [key for key in schedule.client.scan_iter(prefix + b"*") if ENVELOPE in schedule.client.get(key)]


pytestmark = pytest.mark.usefixtures("clock")  # which stands still until a test moves it


# What is shown.


def test_nothing_waits_in_an_empty_ledger(schedule: Schedule) -> None:
    add(schedule, 1)
    assert waiting(schedule) == []


def test_a_dead_letter_and_an_unknown_wait_and_say_why(schedule: Schedule, clock: Clock) -> None:
    doubted = unknown(schedule, 2)
    dead = dead_letter(schedule, clock)
    assert waiting(schedule) == [doubted, dead]  # oldest first
    assert (dead.kind, dead.reason, dead.provider, dead.attempts, dead.asked) == (
        Kind.DEAD_LETTER, "poison", None, 0, None,
    )  # fmt: skip
    assert (doubted.kind, doubted.reason, doubted.provider, doubted.attempts) == (
        Kind.UNKNOWN, "ambiguous", "twilio", 1,
    )  # fmt: skip
    assert (doubted.since, doubted.asked) == (START, START)
    assert (dead.can_retry, doubted.can_retry) == (True, False)


def test_what_stands_for_it_in_the_store_is_in_no_repr(schedule: Schedule) -> None:
    found = unknown(schedule)
    assert "member" not in repr(found)
    assert found.name == "zyzyzyzyzyzy-0"


def test_names_are_letters_so_that_logs_keep_them_and_none_looks_like_a_phone() -> None:
    name = decisions.name_of(bytes(range(0x10, 0x20)) + b"\x07")
    assert name == "yzyyyxywyvyu-7"
    assert sum(map(str.isdigit, name)) == 1


def test_many_that_wait_in_several_shards_are_all_listed(client: store.Client) -> None:
    schedule = Schedule(client, shards=3)
    for number in range(7):
        shard, member = number % 3, bytes([number]) * 16 + b"\x00"
        schedule.client.zadd(schedule.prefix(shard) + b"dead", {member: 1000 + number})
        schedule.client.hset(schedule.prefix(shard) + b"r:" + member, mapping={"state": "failed", "reason": "poison"})
    assert [one.score for one in waiting(schedule)] == list(range(1000, 1007))


def test_one_that_is_named_is_found_and_the_rows_of_all_others_are_not_read(schedule: Schedule) -> None:
    for number in range(20):
        member = bytes([number]) * 16 + b"\0"
        schedule.client.hset(b"rw:{0}:r:" + member, mapping={"state": "unknown"})
        schedule.client.zadd("rw:{0}:unknown", {member: 1000})
    wanted = waiting(schedule)[7]
    servers = topology.servers(schedule.client)
    for server in servers:
        server.config_resetstat()
    assert waiting(schedule, name=wanted.name) == [wanted]
    calls = [server.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"] for server in servers]
    assert sum(calls) == 1
    assert waiting(schedule, name="a-0") == []


@pytest.mark.parametrize(
    "spoiled", [{"tries": "x"}, {"attempts": "-1"}, {"due": "1e300"}, {"asked": "9" * 30}, {"reason": b"\xff"}]
)
def test_a_row_that_somebody_has_spoiled_hides_no_other(schedule: Schedule, spoiled: dict[str, str]) -> None:
    for number in (1, 2):
        member = bytes([number]) * 16 + b"\0"
        schedule.client.hset(b"rw:{0}:r:" + member, mapping={"state": "unknown"} | (spoiled if number == 1 else {}))
        schedule.client.zadd("rw:{0}:unknown", {member: 1000})
    assert len(waiting(schedule)) == 2


def test_a_process_of_no_readable_name_hides_no_number(schedule: Schedule) -> None:
    schedule.client.zadd("rw:{0}:processes", {b"hooks/\xff": 1})
    schedule.client.hset(f"rw:{{0}}:n:{int(schedule.now().timestamp()) // 86_400}", b"sent|\xff", 1)
    assert status.read(schedule).ended == {"sent": 1}


def test_what_is_left_of_one_whose_row_is_gone_is_not_listed(schedule: Schedule) -> None:
    one = unknown(schedule)
    schedule.client.delete(schedule.prefix(0) + b"r:" + one.member)
    assert waiting(schedule) == []
    assert decide(schedule, one, Decision.RESEND, ALICE) is Answer.SETTLED
    assert schedule.client.exists(schedule.prefix(0) + b"r:" + one.member) == 0


# Retry.


def test_a_dead_letter_that_is_retried_is_sent(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock)
    assert decide(schedule, one, Decision.RETRY, ALICE) is Answer.DONE
    assert waiting(schedule) == []
    assert row(schedule, one).state is State.SCHEDULED
    claim = claimed(schedule)
    assert claim.envelope == ENVELOPE
    schedule.intend(claim, "twilio", "ref", lease=LEASE)
    assert schedule.settle(claim.wake, Outcome.sent("SM1"), reference="ref")
    assert envelopes(schedule) == []


def test_nothing_of_its_old_end_or_of_its_dead_workers_is_left_of_a_retried_one(
    schedule: Schedule, clock: Clock
) -> None:
    doubted = unknown(schedule, 2, timedelta(), timedelta(days=1))
    dead = dead_letter(schedule, clock)
    for one, decision in ((dead, Decision.RETRY), (doubted, Decision.RESEND)):
        assert decide(schedule, one, decision, ALICE) is Answer.DONE
        left = schedule.client.hkeys(schedule.prefix(0) + b"r:" + one.member)
        assert not {b"token", b"wakes", b"claims", b"looks", b"ended", b"class"} & set(left)


def test_what_is_sent_again_can_be_taken_back(schedule: Schedule) -> None:
    one = unknown(schedule, 1, timedelta(), timedelta(hours=1))
    decide(schedule, one, Decision.RESEND, ALICE)
    assert schedule.cancel(one.member[:16]) is Told.CANCELLED
    assert row(schedule, one).state is State.CANCELLED
    assert schedule.take(0, capacity=10).wakes == []


def test_a_retried_one_whose_workers_die_again_waits_again_and_the_old_decision_is_none(
    schedule: Schedule, clock: Clock
) -> None:
    one = dead_letter(schedule, clock)
    decide(schedule, one, Decision.RETRY, ALICE)
    (wake,) = schedule.take(0, capacity=10).wakes
    for _ in range(MOST_CLAIMS):
        schedule.claim(wake)
        clock.forward(minutes=1)
        schedule.sweep(0)
    (again,) = waiting(schedule)
    assert (again.member, again.since > one.since) == (one.member, True)
    for decision in Decision:
        assert decide(schedule, one, decision, ALICE) is Answer.SETTLED
    assert waiting(schedule) == [again]


def test_a_worker_that_dies_with_a_retried_one_loses_nothing(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock)
    decide(schedule, one, Decision.RETRY, ALICE)
    dead = claimed(schedule)
    clock.forward(minutes=1)
    (wake,) = schedule.sweep(0)
    assert schedule.settle(dead.wake, Outcome.sent("SM1"), token=dead.token) is False
    assert isinstance(schedule.claim(wake), Claim)


def test_a_worker_that_was_thought_dead_cannot_go_on_with_what_was_retried(schedule: Schedule, clock: Clock) -> None:
    add(schedule, 1)
    (wake,) = schedule.take(0, capacity=10).wakes
    for _ in range(MOST_CLAIMS):
        slow = schedule.claim(wake)
        clock.forward(minutes=1)
        schedule.sweep(0)
    assert isinstance(slow, Claim)
    (one,) = waiting(schedule)
    decide(schedule, one, Decision.RETRY, ALICE)
    assert schedule.intend(slow, "twilio", "late", lease=LEASE) == "lost"
    assert schedule.settle(slow.wake, Outcome.closed(Reason.NOT_SENT), token=slow.token) is False


def test_what_is_unknown_is_retried_only_where_somebody_says_that_it_may_arrive_twice(schedule: Schedule) -> None:
    one = unknown(schedule, 1, timedelta(), timedelta(hours=1))
    assert one.can_retry
    assert decide(schedule, one, Decision.RETRY, ALICE) is Answer.IN_DOUBT
    assert waiting(schedule) == [one]
    assert decide(schedule, one, Decision.RESEND, ALICE) is Answer.DONE
    claim = claimed(schedule)
    assert claim.wake.member == one.member
    assert schedule.client.ttl(schedule.prefix(0) + b"r:" + one.member) == -1


def test_a_late_proof_of_what_was_sent_again_still_counts(schedule: Schedule) -> None:
    one = unknown(schedule, 1, timedelta(), timedelta(hours=1))
    decide(schedule, one, Decision.RESEND, ALICE)
    assert schedule.settle(Wake.of(one.member, 1), Outcome.sent("SM1"), reference="ref-1")
    assert row(schedule, one).state is State.SENT
    assert schedule.take(0, capacity=10).wakes == []  # so nothing goes out twice


def test_what_is_unknown_without_an_envelope_is_not_retried(schedule: Schedule) -> None:
    one = unknown(schedule)
    assert decide(schedule, one, Decision.RESEND, ALICE) is Answer.GONE
    assert waiting(schedule) == [one]


def test_two_who_decide_at_once_are_one_decision(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock)
    answers: list[Answer] = []
    start = threading.Barrier(4)

    def somebody(decision: Decision) -> None:
        start.wait()
        answers.append(decide(schedule, one, decision, ALICE))

    threads = [threading.Thread(target=somebody, args=(decision,)) for decision in (Decision.RETRY, Decision.DROP) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [Answer.DONE, Answer.SETTLED, Answer.SETTLED, Answer.SETTLED]
    assert len(acts.read(schedule)) == 1


def test_what_was_moved_meanwhile_is_left_alone(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock)
    assert add(schedule, 1, timedelta(hours=3), tag=2) is Told.MOVED
    for decision in Decision:
        assert decide(schedule, one, decision, ALICE) is Answer.SETTLED
    assert row(schedule, one).due == START + timedelta(hours=3)


@pytest.mark.parametrize("decision", list(Decision))
def test_what_was_taken_back_is_not_sent_by_any_decision(schedule: Schedule, clock: Clock, decision: Decision) -> None:
    one = dead_letter(schedule, clock)
    assert schedule.cancel(one.member[:16]) is Told.CANCELLED
    assert decide(schedule, one, decision, ALICE) is Answer.SETTLED
    assert row(schedule, one).state is State.CANCELLED
    assert schedule.take(0, capacity=10).wakes == []


def test_an_unknown_of_an_appointment_that_was_taken_back_is_not_sent_again(schedule: Schedule) -> None:
    one = unknown(schedule, 1, timedelta(), timedelta(hours=1))
    assert schedule.cancel(one.member[:16]) is Told.CANCELLED
    assert decide(schedule, one, Decision.RESEND, ALICE) is Answer.GONE
    assert schedule.take(0, capacity=10).wakes == []


def test_a_dead_letter_that_nobody_decides_about_ends_and_cannot_be_retried(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock)
    clock.set(one.since + KEEP_DEAD)
    schedule.sweep(0)
    assert decide(schedule, one, Decision.RETRY, ALICE) is Answer.SETTLED
    assert envelopes(schedule) == []


# Drop and resolve.


def test_what_is_dropped_has_failed_and_its_envelope_is_gone(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock)
    assert envelopes(schedule)
    assert decide(schedule, one, Decision.DROP, ALICE) is Answer.DONE
    ended = row(schedule, one)
    assert (ended.state, ended.reason, ended.failure_class) == (State.FAILED, Reason.DROPPED, FailureClass.TECHNICAL)
    assert envelopes(schedule) == []
    assert schedule.client.ttl(schedule.prefix(0) + b"r:" + one.member) > 0


def test_an_envelope_that_another_lead_needs_stays(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock, 1, timedelta(), timedelta(days=1))
    decide(schedule, one, Decision.DROP, ALICE)
    assert len(envelopes(schedule)) == 1


@pytest.mark.parametrize(
    ("decision", "state", "whose"),
    [(Decision.SENT, State.SENT, None), (Decision.FAILED, State.FAILED, FailureClass.TECHNICAL)],
)
def test_what_somebody_found_out_about_an_unknown_is_written_down(
    schedule: Schedule, decision: Decision, state: State, whose: FailureClass | None
) -> None:
    one = unknown(schedule)
    assert decide(schedule, one, decision, ALICE) is Answer.DONE
    ended = row(schedule, one)
    assert (ended.state, ended.reason, ended.failure_class) == (state, Reason.RESOLVED, whose)
    assert waiting(schedule) == []


@pytest.mark.parametrize("decision", [Decision.FAILED, Decision.DROP])
def test_a_provider_s_own_word_counts_more_than_an_operator_s(schedule: Schedule, decision: Decision) -> None:
    one = unknown(schedule)
    decide(schedule, one, decision, ALICE)
    assert schedule.settle(Wake.of(one.member, 1), Outcome.sent("SM1"), reference="ref-1")
    assert row(schedule, one).state is State.SENT


def test_there_is_nothing_to_find_out_about_a_dead_letter(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock)
    for decision in (Decision.SENT, Decision.FAILED):
        assert decide(schedule, one, decision, ALICE) is Answer.CERTAIN
    assert waiting(schedule) == [one]


def test_each_is_counted_once_whatever_was_decided_about_it(schedule: Schedule, clock: Clock) -> None:
    decide(schedule, dead_letter(schedule, clock, 3), Decision.DROP, ALICE)
    decide(schedule, unknown(schedule, 1), Decision.SENT, ALICE)
    decide(schedule, unknown(schedule, 2, timedelta(), timedelta(days=1)), Decision.RESEND, ALICE)
    counted: dict[bytes, int] = {}
    for key in schedule.client.scan_iter(schedule.prefix(0) + b"n:[0-9]*"):
        for name, number in schedule.client.hgetall(key).items():
            counted[name] = counted.get(name, 0) + int(number)
    assert {name: number for name, number in counted.items() if number} == {b"sent|twilio": 1, b"failed|": 1}


def test_platforms_are_told_of_what_was_decided(schedule: Schedule) -> None:
    add(schedule, 1, ticket=b"ticket")
    claim = claimed(schedule)
    schedule.intend(claim, "twilio", "ref", lease=LEASE)
    schedule.settle(claim.wake, UNKNOWN, reference="ref")
    (one,) = waiting(schedule)
    decide(schedule, one, Decision.FAILED, ALICE)
    told = [name[17:].split(b"|")[2:4] for name in schedule.client.zrange(schedule.prefix(0) + b"events", 0, -1)]
    assert sorted(told) == [[b"failed", b"resolved"], [b"unknown", b"ambiguous"]]


# What is noted.


def test_each_decision_leaves_one_line_and_a_refused_one_none(
    schedule: Schedule, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    dead, doubted = dead_letter(schedule, clock), unknown(schedule, 2)
    with caplog.at_level("INFO"):
        decide(schedule, dead, Decision.SENT, ALICE)
        decide(schedule, dead, Decision.DROP, ALICE)
        clock.forward(seconds=1)
        decide(schedule, doubted, Decision.SENT, Who("carol"))
    lines = [(act.what, act.result, act.reminder, act.user, act.sudo_user) for act in acts.read(schedule)]
    assert lines == [
        ("sent", "unknown", doubted.name, "carol", ""),
        ("drop", "dead_letter", dead.name, "alice", "bob"),
    ]
    logged = [(one.message, one.act, one.reminder, one.user) for one in caplog.records if one.message == "act"]
    assert logged == [("act", "drop", dead.name, "alice"), ("act", "sent", doubted.name, "carol")]


def test_a_decision_that_is_said_twice_is_one_and_so_is_its_line(schedule: Schedule, clock: Clock) -> None:
    one = dead_letter(schedule, clock)
    words = one.member, one.score, b"act", Decision.DROP, schedule.keep_ms, one.name, "alice", ""
    assert [schedule.run("decide", 0, *words) for _ in range(2)] == [b"done", b"done"]
    assert len(acts.read(schedule)) == 1
