"""A store that was put back from a backup: what may be out is not sent again without a person, nothing is lost."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from backup import Backup
from clock import Clock
from proxy import Proxy
from scripted import Keys, Practice, Scripted, appointment

from reminder_worker import acts, decisions, store
from reminder_worker.acts import Who
from reminder_worker.decisions import Answer, Decision, waiting
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Ambiguous, NotSent, Reason, SettingsError, StoreUnavailable
from reminder_worker.job import State
from reminder_worker.ledger import HEAD_BYTES, Claim, Entry, Outcome
from reminder_worker.ledger import Answer as Told
from reminder_worker.providers import Receipt
from reminder_worker.quarantine import Quarantined, end, newest_sign, quarantine, wait_for_silence
from reminder_worker.receipts import new_reference
from reminder_worker.schedule import BATCH, MOST_CLAIMS, Schedule

ALICE = Who("alice")
LEASE = timedelta(seconds=15)
HELD = (State.UNKNOWN, Reason.RESTORED)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def provider() -> Scripted:
    return Scripted(finds_by_reference=True)


@pytest.fixture
def practice(schedule: Schedule, clock: Clock, keys: Keys, provider: Scripted) -> Practice:
    return Practice(schedule, clock, keys, provider)


def ended(practice: Practice, reference: str = "A-1007") -> tuple[str, str | None]:
    shown = practice.show(reference=reference)
    return shown.state, shown.reason


def claimed(practice: Practice, reference: str = "A-1007") -> Claim:
    practice.add(reference=reference)
    (wake,) = practice.take()
    claim = practice.schedule.claim(wake)
    assert isinstance(claim, Claim)
    return claim


def counted(schedule: Schedule) -> dict[bytes, int]:
    """Return how many ended how, of the days that are kept."""
    found: dict[bytes, int] = {}
    for key in schedule.client.scan_iter(b"rw:{0}:n:*"):
        if key.rpartition(b":")[2].isdigit():
            for name, number in schedule.client.hgetall(key).items():
                found[name] = found.get(name, 0) + int(number)
    return {name: number for name, number in found.items() if number}


# What was sent since the backup.


def test_without_the_command_a_text_goes_out_a_second_time(practice: Practice, provider: Scripted) -> None:
    practice.add()
    backup = Backup(practice.schedule.client)
    practice.work()
    backup.put_back()
    practice.work()
    assert len(provider.texts) == 2  # which is why there is a command


def test_what_was_sent_since_the_backup_is_held_and_not_sent_again(practice: Practice, provider: Scripted) -> None:
    practice.add()
    backup = Backup(practice.schedule.client)
    practice.work()
    backup.put_back()
    done = quarantine(practice.schedule, ALICE)
    assert (done.due, done.held, done.waiting) == (1, 1, 0)
    for _ in range(3):
        practice.forward(minutes=5)
    assert len(provider.texts) == 1
    assert ended(practice) == HELD
    (one,) = waiting(practice.schedule)
    assert (one.reason, one.can_retry, one.due, one.asked) == (Reason.RESTORED, True, done.until, None)


def test_whatever_was_on_its_way_is_held_and_what_is_due_later_is_not(
    practice: Practice, provider: Scripted, clock: Clock
) -> None:
    schedule = practice.schedule
    for lead in range(MOST_CLAIMS):  # its workers died again and again
        if not lead:
            practice.add(reference="dead")
        for wake in practice.take():
            schedule.claim(wake)
        clock.forward(minutes=30)
    schedule.sweep(0)
    schedule.intend(claimed(practice, "sending"), "scripted", "ref", lease=LEASE)
    practice.add(reference="claimed")
    schedule.claim(schedule.take(0, capacity=10).wakes[0])
    practice.add(reference="queued")
    schedule.take(0, capacity=10)
    practice.add(reference="due")
    practice.add(reference="later", time=clock.now + timedelta(days=3))
    done = quarantine(schedule, ALICE)
    assert done == Quarantined(clock.now, None, due=1, queued=2, sending=1, dead_letters=1, waiting=1)
    assert {ended(practice, name) for name in ("dead", "sending", "claimed", "queued", "due")} == {HELD}
    assert practice.show(reference="later").state is State.SCHEDULED
    assert len(waiting(schedule)) == 5
    assert counted(schedule) == {b"unknown|": 4, b"unknown|scripted": 1}
    practice.forward(days=1)
    assert provider.texts == []
    practice.forward(days=1, hours=22)
    assert len(provider.texts) == 1  # the later one


def test_stale_wake_ups_in_the_queue_do_nothing(practice: Practice, provider: Scripted) -> None:
    practice.add()
    stale = practice.take()
    quarantine(practice.schedule, ALICE)
    for wake in stale * 2:
        practice.worker.remind(wake)
    assert provider.texts == []
    assert ended(practice) == HELD


def test_it_may_be_said_twice_and_is_noted_each_time(practice: Practice) -> None:
    practice.add()
    first, again = quarantine(practice.schedule, ALICE), quarantine(practice.schedule, ALICE)
    assert (first.held, again.held) == (1, 0)
    assert len(waiting(practice.schedule)) == 1
    assert counted(practice.schedule) == {b"unknown|": 1}
    done = [(act.what, act.result, act.user) for act in acts.read(practice.schedule)]
    assert done == [("restore", "quarantined", "alice")] * 2


def test_who_is_cut_short_when_all_is_held_is_noted(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    practice.add()
    schedule, run = practice.schedule, practice.schedule.run

    def cut_short(name: str, shard: int, *words: Any) -> Any:
        if schedule.client.exists("rw:{0}:seen"):  # workers may start from here on
            raise StoreUnavailable("cut short")
        return run(name, shard, *words)

    monkeypatch.setattr(schedule, "run", cut_short)
    with suppress(StoreUnavailable):
        quarantine(schedule, ALICE)
    assert schedule.client.exists("rw:{0}:seen")
    assert [act.result for act in acts.read(schedule)] == ["quarantined"]


@pytest.mark.parametrize("word", [b"DEL", b"EVAL"])
def test_who_ends_it_is_noted_where_an_answer_is_lost(
    server: EmbeddedServer, schedule: Schedule, clock: Clock, tmp_path: Path, word: bytes
) -> None:
    quarantine(schedule, ALICE)
    with Proxy(server.socket, tmp_path / "p") as proxy, store.connect(proxy.url()) as unlucky:
        proxy.lose(word)
        assert end(Schedule(unlucky), ALICE)
        assert proxy.lost == 1
    assert not schedule.client.exists("rw:{0}:restored")
    assert "ended" in [act.result for act in acts.read(schedule)]


def test_thousands_in_several_shards_are_all_held(client: store.Client, clock: Clock) -> None:
    schedule = Schedule(client, shards=3)
    ids = [number.to_bytes(2, "little") * 8 for number in range(3 * BATCH + 7)]
    schedule.add([Entry(id_, bytes(12), b"sealed", (clock.now,)) for id_ in ids])
    for shard in range(3):
        schedule.take(shard, most=100, capacity=100)
    done = quarantine(schedule, ALICE)
    assert (done.due, done.queued, done.held) == (len(ids) - 300, 300, len(ids))
    assert len(waiting(schedule)) == len(ids)
    assert all(schedule.take(shard, capacity=10).wakes == [] for shard in range(3))


def test_what_has_no_appointment_any_more_is_left_out(schedule: Schedule, clock: Clock) -> None:
    schedule.client.zadd("rw:{0}:due", {bytes(17): 1})
    assert quarantine(schedule, ALICE).held == 0
    assert waiting(schedule) == []
    assert schedule.client.zcard("rw:{0}:due") == 0


def test_a_whole_batch_without_appointments_hides_nothing_behind_it(schedule: Schedule, clock: Clock) -> None:
    schedule.add([Entry(bytes(16), bytes(12), b"sealed", (clock.now,))])
    schedule.client.zadd("rw:{0}:due", {bytes([1]) * 15 + bytes([number, 0]): 1 for number in range(BATCH)})
    assert quarantine(schedule, ALICE).due == 1
    assert schedule.client.exists("rw:{0}:seen")


# What becomes of what is held.


def test_a_person_may_send_it_after_all(practice: Practice, provider: Scripted) -> None:
    entry = practice.add()
    quarantine(practice.schedule, ALICE)
    (one,) = waiting(practice.schedule)
    assert decisions.decide(practice.schedule, one, Decision.RETRY, ALICE) is Answer.IN_DOUBT
    assert decisions.decide(practice.schedule, one, Decision.RESEND, ALICE) is Answer.DONE
    practice.work()
    assert len(provider.texts) == 1
    assert ended(practice) == (State.SENT, None)
    assert envelope(practice, entry) == b""
    assert counted(practice.schedule) == {b"sent|scripted": 1}


@pytest.mark.parametrize(("decision", "state"), [(Decision.SENT, "sent"), (Decision.DROP, "failed")])
def test_what_a_person_found_out_is_written_down_and_the_envelope_goes(
    practice: Practice, decision: Decision, state: str
) -> None:
    entry = practice.add()
    quarantine(practice.schedule, ALICE)
    (one,) = waiting(practice.schedule)
    assert envelope(practice, entry) == entry.envelope
    assert decisions.decide(practice.schedule, one, decision, ALICE) is Answer.DONE
    assert ended(practice)[0] == state
    assert envelope(practice, entry) == b""


def envelope(practice: Practice, entry: Entry) -> bytes:
    whole: bytes = practice.schedule.client.get(b"rw:{0}:a:" + entry.id)
    return whole[HEAD_BYTES:]


def test_after_a_week_the_envelope_goes_and_it_stays_unknown(practice: Practice, clock: Clock) -> None:
    entry = practice.add()
    quarantine(practice.schedule, ALICE)
    practice.forward(days=6, hours=23)
    assert envelope(practice, entry) == entry.envelope
    practice.forward(hours=1)
    assert envelope(practice, entry) == b""
    assert practice.schedule.client.pttl(b"rw:{0}:a:" + entry.id) > 0
    (one,) = waiting(practice.schedule)
    assert not one.can_retry
    assert ended(practice) == HELD
    assert practice.schedule.client.zcard("rw:{0}:held") == 0


def test_where_outcomes_are_kept_for_days_only_no_envelope_stays_for_ever(client: store.Client, clock: Clock) -> None:
    schedule = Schedule(client, retention=timedelta(days=2))
    ids = [bytes([number]) * 16 for number in range(5)]
    schedule.add([Entry(id_, bytes(12), b"sealed", (clock.now,)) for id_ in ids])
    assert quarantine(schedule, ALICE).held == 5
    clock.forward(days=2)
    for _ in range(3):  # fewer in one go than went at once
        schedule.sweep(0, most=2)
    assert [client.get(b"rw:{0}:a:" + id_)[HEAD_BYTES:] for id_ in ids] == [b""] * 5
    assert all(client.pttl(b"rw:{0}:a:" + id_) > 0 for id_ in ids)
    assert waiting(schedule) == []


def test_what_was_planned_anew_keeps_its_envelope_when_the_week_is_over(practice: Practice, clock: Clock) -> None:
    practice.add()
    quarantine(practice.schedule, ALICE)
    entry = practice.add(time=clock.now + timedelta(days=20))
    practice.forward(days=8)
    assert envelope(practice, entry) == entry.envelope
    assert practice.show().state is State.SCHEDULED


def test_another_lead_that_is_ahead_goes_out_as_planned(practice: Practice, provider: Scripted, clock: Clock) -> None:
    practice.add(time=clock.now + timedelta(hours=2, minutes=1), leads=["2h", "1h"])
    clock.forward(minutes=1)
    quarantine(practice.schedule, ALICE)
    practice.forward(hours=1)
    assert len(provider.texts) == 1
    assert [one.state for one in practice.client.show("A-1007")] == [State.UNKNOWN, State.SENT]


def test_a_platform_that_takes_it_back_ends_the_question_whether_to_send_it(
    practice: Practice, provider: Scripted
) -> None:
    entry = practice.add()
    quarantine(practice.schedule, ALICE)
    assert practice.client.cancel("A-1007") is Told.CANCELLED
    assert ended(practice) == HELD  # for it may have been sent
    (one,) = waiting(practice.schedule)
    assert envelope(practice, entry) == b""
    assert decisions.decide(practice.schedule, one, Decision.RESEND, ALICE) is Answer.GONE
    practice.work()
    assert provider.texts == []


def test_the_platform_is_told_once(schedule: Schedule, clock: Clock) -> None:
    schedule.add([Entry(bytes(16), bytes(12), b"sealed", (clock.now,), b"ticket")])
    quarantine(schedule, ALICE)
    clock.forward(days=8)
    schedule.sweep(0)
    events = schedule.client.zrange("rw:{0}:events", 0, -1)
    assert [event[17:].split(b"|")[2:4] for event in events] == [[b"unknown", b"restored"]]


# A provider's report of an attempt that the store does not know.


@pytest.mark.parametrize("state", [State.SENT, State.DELIVERED, State.UNDELIVERED])
def test_a_report_that_comes_after_the_restore_settles_what_was_held(
    practice: Practice, provider: Scripted, state: State
) -> None:
    practice.add()
    backup = Backup(practice.schedule.client)
    practice.work()
    backup.put_back()
    quarantine(practice.schedule, ALICE)
    receipt = Receipt(provider.texts[0].reference, state, "id-1", None)
    assert practice.office.receipts.take(provider, receipt)
    assert practice.office.receipts.take(provider, receipt)
    assert ended(practice)[0] == state
    assert practice.show().provider == "scripted"
    assert waiting(practice.schedule) == []
    assert counted(practice.schedule) == {f"{state}|scripted".encode(): 1}


def test_a_report_of_the_second_attempt_settles_what_was_held_at_the_first(
    practice: Practice, provider: Scripted, schedule: Schedule, clock: Clock, keys: Keys
) -> None:
    first, second = Scripted(NotSent(Reason.NOT_SENT), name="first"), Scripted(name="second")
    practice = Practice(schedule, clock, keys, first, second)
    backups: list[Backup] = []
    first.during = lambda _: backups.append(Backup(schedule.client))
    practice.add()
    practice.work()
    assert (len(first.texts), len(second.texts)) == (1, 1)
    backups[0].put_back()
    assert quarantine(schedule, ALICE).sending == 1
    assert practice.office.receipts.take(second, Receipt(second.texts[0].reference, State.DELIVERED, "id-2"))
    assert (ended(practice)[0], practice.show().provider) == (State.DELIVERED, "second")
    assert counted(schedule) == {b"delivered|second": 1}


def test_a_late_report_of_the_attempt_that_was_open_counts_too(
    practice: Practice, provider: Scripted, schedule: Schedule
) -> None:
    claim = claimed(practice)
    schedule.intend(claim, "scripted", reference := new_reference(claim.wake), lease=LEASE)
    quarantine(schedule, ALICE)
    assert practice.office.receipts.take(provider, Receipt(reference, State.DELIVERED, "id"))
    assert counted(schedule) == {b"delivered|scripted": 1}


def test_that_an_attempt_that_was_given_up_did_not_arrive_says_nothing_of_the_next(
    practice: Practice, provider: Scripted, schedule: Schedule
) -> None:
    claim = claimed(practice)
    first, second = new_reference(claim.wake), new_reference(claim.wake)
    schedule.intend(claim, "scripted", first, lease=LEASE)
    schedule.settle(claim.wake, Outcome.closed(Reason.NOT_SENT), token=claim.token, reference=first)
    schedule.intend(claim, "scripted", second, lease=LEASE)
    quarantine(schedule, ALICE)
    assert not practice.office.receipts.take(provider, Receipt(first, State.UNDELIVERED, "id"))
    assert ended(practice) == HELD


def test_a_report_of_an_unknown_attempt_settles_nothing_else(
    practice: Practice, provider: Scripted, schedule: Schedule, clock: Clock, keys: Keys
) -> None:
    practice = Practice(schedule, clock, keys, doubtful := Scripted(Ambiguous(), settles_within=timedelta(minutes=1)))
    practice.add()
    (wake,) = practice.take()
    stranger = Receipt(new_reference(wake), State.DELIVERED, "id")
    assert not practice.office.receipts.take(provider, stranger)
    practice.worker.remind(wake)
    assert not practice.office.receipts.take(doubtful, stranger)
    practice.forward(hours=1)
    assert ended(practice) == (State.UNKNOWN, Reason.AMBIGUOUS)
    assert not practice.office.receipts.take(doubtful, stranger)


# What is handed in after the restore, and had been before, for all that is known.


def test_what_the_store_has_lost_and_had_been_due_is_held_when_it_is_handed_in_again(
    practice: Practice, provider: Scripted, clock: Clock
) -> None:
    backup = Backup(practice.schedule.client)
    when = clock.now + timedelta(hours=2)
    practice.add(time=when)
    practice.work()
    backup.put_back()
    clock.forward(minutes=10)
    quarantine(practice.schedule, ALICE)
    clock.forward(minutes=10)
    practice.add(time=when)  # late now, so it would go out at once
    practice.work()
    assert len(provider.texts) == 1
    assert ended(practice) == HELD
    (one,) = waiting(practice.schedule)
    assert one.can_retry
    assert decisions.decide(practice.schedule, one, Decision.RESEND, ALICE) is Answer.DONE
    practice.work()
    assert len(provider.texts) == 2


def test_however_short_outcomes_are_kept_what_is_late_is_held_for_weeks(client: store.Client) -> None:
    quarantine(Schedule(client, retention=timedelta(days=1)), ALICE)
    assert client.pttl("rw:{0}:restored") > 59 * 86_400_000  # a lead may be of days, and a platform slow


def test_what_was_moved_since_the_backup_is_held_when_it_is_moved_again(
    practice: Practice, provider: Scripted, clock: Clock
) -> None:
    practice.add(time=clock.now + timedelta(days=2))
    backup = Backup(practice.schedule.client)
    sooner = clock.now + timedelta(hours=2)
    practice.add(time=sooner)
    practice.work()
    backup.put_back()
    quarantine(practice.schedule, ALICE)
    practice.forward(minutes=20)
    practice.add(time=sooner)
    practice.work()
    assert len(provider.texts) == 1
    assert ended(practice) == HELD


def test_what_falls_due_after_the_restore_goes_out_whenever_it_was_handed_in(
    practice: Practice, provider: Scripted, clock: Clock
) -> None:
    quarantine(practice.schedule, ALICE)
    practice.add(time=clock.now + timedelta(hours=2, minutes=1))
    practice.forward(minutes=1)
    assert ended(practice)[0] == State.SENT


def test_when_platforms_have_handed_in_again_what_is_late_is_new(
    practice: Practice, provider: Scripted, clock: Clock
) -> None:
    quarantine(practice.schedule, ALICE)
    assert end(practice.schedule, ALICE)
    assert not end(practice.schedule, ALICE)
    practice.add(time=clock.now + timedelta(hours=1))
    practice.work()
    assert ended(practice)[0] == State.SENT
    assert {act.result for act in acts.read(practice.schedule)} == {"ended", "quarantined"}


def test_what_waited_for_its_next_try_when_the_backup_was_made_goes_out(
    schedule: Schedule, clock: Clock, keys: Keys
) -> None:
    provider = Scripted(NotSent(Reason.NOT_SENT))
    practice = Practice(schedule, clock, keys, provider)
    practice.add()
    practice.work()
    assert practice.show().state is State.SCHEDULED
    assert quarantine(schedule, ALICE).held == 0
    practice.forward(minutes=20)
    assert ended(practice)[0] == State.SENT


# Whether anybody is at work.


@pytest.fixture
def sleeps(clock: Clock) -> Callable[[float], object]:
    return lambda seconds: clock.forward(seconds=seconds)


@pytest.fixture
def timed(schedule: Schedule, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    monkeypatch.setattr(schedule, "now", lambda: clock.now)
    return schedule


def test_whoever_beat_before_the_backup_is_waited_for(
    timed: Schedule, clock: Clock, sleeps: Callable[[float], object]
) -> None:
    timed.beat("worker/1-a")
    before = clock.now
    wait_for_silence(timed, sleeps)
    assert timedelta(seconds=20) <= clock.now - before <= timedelta(seconds=22)
    wait_for_silence(timed, pytest.fail)  # now there is nothing to wait for


def test_a_heartbeat_of_the_future_is_not_waited_for_without_end(
    timed: Schedule, clock: Clock, sleeps: Callable[[float], object]
) -> None:
    timed.client.zadd("rw:{0}:processes", {"worker/1-a": 4e12})
    before = clock.now
    wait_for_silence(timed, sleeps)
    assert clock.now - before <= timedelta(seconds=22)


@pytest.mark.parametrize("name", ["worker/1-a", "scheduler/2-b"])
def test_whoever_beats_meanwhile_is_at_work(timed: Schedule, sleeps: Callable[[float], object], name: str) -> None:
    timed.beat(name)

    def another(seconds: float) -> None:
        sleeps(seconds)
        timed.beat(name)

    with pytest.raises(SettingsError, match="is at work: stop all of them"):
        wait_for_silence(timed, another)


def test_web_and_hooks_may_go_on(timed: Schedule) -> None:
    timed.beat("web/1-a")
    timed.beat("hooks/1-a")
    wait_for_silence(timed, pytest.fail)


def test_when_the_backup_was_made_is_told_by_the_newest_sign_of_life(schedule: Schedule, clock: Clock) -> None:
    assert newest_sign(schedule) is None
    first = clock.now
    schedule.beat("worker/1-a")
    assert newest_sign(schedule) == first
    clock.forward(minutes=1)
    schedule.run("seen", 0, 0)
    assert newest_sign(schedule) == clock.now


@pytest.mark.parametrize("name", ["web/1-a", "hooks/1-a", "ops/1-a"])
def test_who_went_on_after_the_store_was_put_back_does_not_say_when_the_backup_was_made(
    schedule: Schedule, clock: Clock, name: str
) -> None:
    schedule.beat("worker/1-a")
    schedule.run("seen", 0, 0)
    made = clock.now
    clock.forward(hours=3)
    schedule.beat(name)
    assert newest_sign(schedule) == made


def test_an_attempt_that_is_looked_after_when_the_store_comes_back_is_not_sent_again(
    practice: Practice, schedule: Schedule, clock: Clock
) -> None:
    practice.add()
    (wake,) = practice.take()
    claim = schedule.claim(wake)
    assert isinstance(claim, Claim)
    schedule.intend(claim, "scripted", "ref", lease=LEASE)
    quarantine(schedule, ALICE)
    clock.forward(hours=1)
    assert schedule.sweep(0) == []
    assert schedule.settle(wake, Outcome.retry(Reason.AMBIGUOUS, timedelta()), reference="ref") is False
    assert ended(practice) == HELD


def test_who_hands_in_is_the_same_appointment(practice: Practice, clock: Clock) -> None:
    """What ``appointment`` makes is what these tests hand in again: equal content changes nothing."""
    practice.add()
    quarantine(practice.schedule, ALICE)
    assert practice.client.add([appointment(clock.now)]) == [Told.UNCHANGED]
    assert ended(practice) == HELD
