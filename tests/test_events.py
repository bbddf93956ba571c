"""What platforms are told: at least once, only what is so, and nobody else."""

import asyncio
import base64
import itertools
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import desk
import practice
import pytest
from clock import START, Clock
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey
from office import SECRET, Office, Receiver
from standardwebhooks import Webhook

from reminder_worker import endpoint, keys, logs, store, web
from reminder_worker.clocks import to_ms
from reminder_worker.endpoint import BUSY, IN_A_ROW, LONGEST, OVER, SHORTEST, THREADS, delay
from reminder_worker.errors import Reason, StoreUnavailable
from reminder_worker.eventqueue import GIVEN_UP, LEASE, TOLD, Event
from reminder_worker.events import Dispatcher
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import HEAD_BYTES, Answer, Entry, Outcome
from reminder_worker.schedule import KEEP_DEAD, MOST_CLAIMS, Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.testing.peer import Peer, Request, Response

LANDLINE = Outcome.final(State.FAILED, Reason.LANDLINE, FailureClass.PERMANENT)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> GatewayKeys:
    folder = tmp_path_factory.mktemp("gateway")
    keys.new_gateway(folder)
    return GatewayKeys.load(folder)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as peer:
        yield peer


@pytest.fixture
def office(schedule: Schedule, clock: Clock, gateway: GatewayKeys, receiver: Receiver) -> Iterator[Office]:
    made = Office(schedule, clock, gateway, clinic=f"{receiver.url}/events")
    yield made
    made.dispatcher.stop()


def everything(client: store.Client) -> bytes:
    """Return all keys and values of the store."""
    return b"\n".join(part for key in client.scan_iter() for part in (key, client.dump(key)))


# What an event says.


def test_a_platform_is_told_what_became_of_a_reminder(office: Office, receiver: Receiver) -> None:
    office.hand_in("A-1")
    office.clock.forward(seconds=1.5)
    office.send()
    office.tell()
    [request] = receiver.accepted
    assert (request.method, request.path) == ("POST", "/events")
    assert request.headers["content-type"] == "application/json"
    message = request.json
    record = message["data"].pop("record")
    assert message == {
        "type": "reminder.sent",
        "timestamp": "2027-03-01T09:00:01.500Z",
        "data": {"reference": "A-1", "lead": 0, "state": "sent", "reason": None},
    }
    assert record.count(".") == 2
    assert office.waiting == 0


def test_the_record_is_signed_and_says_what_was_sent_when(office: Office, receiver: Receiver) -> None:
    office.hand_in("A-1", leads=2)
    office.clock.forward(seconds=1)
    office.send(lambda claim: LANDLINE if claim.wake.lead else Outcome.sent("SM1"))
    office.tell()
    header, payload, signature = receiver.accepted[0].json["data"]["record"].split(".")
    VerifyKey(bytes(office.keys.records.verify_key)).verify(f"{header}.{payload}".encode(), decode(signature))
    record = json.loads(decode(payload))
    assert record.pop("issued").startswith("2027-03-01T09:00:01.")
    once = {"due": "2027-03-01T09:00:00.000Z", "asked": "2027-03-01T09:00:01.000Z", "ended": "2027-03-01T09:00:01.000Z"}
    assert record == {
        "platform": "clinic",
        "test": False,
        "reference": "A-1",
        "reminders": [
            {"lead": 0, "state": "sent", **once, "template": "0123456789abcdef"},
            {"lead": 1, "state": "failed", **once, "template": "0123456789abcdef"},
        ],
    }


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED, State.SUPPRESSED, State.UNKNOWN, State.REJECTED])
def test_every_end_is_told_with_its_reason(office: Office, receiver: Receiver, state: State) -> None:
    office.hand_in("A-1")
    office.send(lambda _: Outcome.final(state, Reason.MALFORMED, FailureClass.PERMANENT))
    office.tell()
    data = receiver.accepted[0].json["data"]
    assert receiver.told == [("A-1", f"reminder.{state}")]
    assert (data["state"], data["reason"]) == (state, "malformed")


def test_what_arrived_is_told_after_what_was_sent_and_a_correction_too(office: Office, receiver: Receiver) -> None:
    office.hand_in("A-1", "A-2")
    first, second = office.send()
    office.clock.forward(seconds=2)
    assert office.receipt(first, "delivered") == office.receipt(second, "undelivered") == 1
    assert office.receipt(first, "delivered") == 3  # the provider says it again
    office.tell()
    assert sorted(kind for _, kind in receiver.told) == [
        "reminder.delivered",
        "reminder.sent",
        "reminder.sent",
        "reminder.undelivered",
    ]


def test_a_person_s_answer_is_told_once_and_a_new_one_again(office: Office, receiver: Receiver) -> None:
    office.hand_in("A-1")
    [claim] = office.send()
    for word, number in (("confirmed", 1), ("confirmed", 1), ("confirmed", 2), ("cancel_requested", 3)):
        office.clock.forward(seconds=1)
        assert office.answer(claim, word, number) == 1
    assert office.answer(claim, "confirmed", 2) == 1  # an older one, read late
    office.tell()
    answers = [one.json for one in receiver.accepted if one.json["type"] != "reminder.sent"]
    assert {one["type"] for one in answers} == {"reminder.confirmed", "reminder.cancel_requested"}
    assert len(answers) == 2
    confirmed = next(one for one in answers if one["type"] == "reminder.confirmed")
    assert confirmed["timestamp"] == "2027-03-01T09:00:01.000Z"
    assert confirmed["data"].keys() == {"reference", "lead", "reply", "record"}
    assert confirmed["data"]["reply"] == "confirmed"


def test_who_takes_an_appointment_back_is_not_told_so_but_that_a_contact_is_gone(
    office: Office, receiver: Receiver
) -> None:
    office.hand_in("A-1", "A-2")
    assert office.schedule.cancel(office.id("A-1")) is Answer.CANCELLED
    office.send(lambda _: Outcome.final(State.CANCELLED, Reason.CONTACT_GONE, FailureClass.PERMANENT))
    office.tell()
    assert receiver.told == [("A-2", "reminder.cancelled")]


def test_a_dead_letter_is_told_when_nobody_decided(office: Office, receiver: Receiver) -> None:
    office.hand_in("A-1")
    [claim] = office.claim()
    for _ in range(MOST_CLAIMS):
        office.clock.forward(hours=3)
        for wake in office.schedule.sweep(0):
            office.schedule.claim(wake)
    assert office.waiting == 0
    office.clock.forward(seconds=KEEP_DEAD.total_seconds())
    office.schedule.sweep(0)
    office.tell()
    assert receiver.told == [("A-1", "reminder.failed")]
    assert claim.wake.lead == receiver.accepted[0].json["data"]["lead"]


def test_what_a_test_key_handed_in_is_marked(office: Office, receiver: Receiver) -> None:
    office.sent("A-1", mode=Mode.TEST)
    office.tell()
    data = receiver.accepted[0].json["data"]
    assert data["test"] is True
    assert json.loads(decode(data["record"].split(".")[1]))["test"] is True


def test_an_event_outlives_the_move_of_its_appointment(office: Office, receiver: Receiver) -> None:
    office.sent("A-1")
    entry_id = office.id("A-1")
    office.schedule.client.delete(b"rw:{0}:r:" + entry_id + b"\0")  # as a move does
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]
    assert receiver.accepted[0].json["data"]["record"] is None


def test_who_wants_no_events_leaves_none(office: Office, client: store.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(office.keys), "ticket", lambda *_: b"")
    office.hand_in("A-1")
    [claim] = office.send()
    office.answer(claim, "confirmed", 1)
    assert not client.exists("rw:{0}:events")
    assert client.strlen(b"rw:{0}:a:" + claim.wake.id) == HEAD_BYTES


def test_an_event_costs_the_store_two_commands_and_nobody_else_pays(
    office: Office, client: store.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commands() -> Counter[str]:
        client.config_resetstat()
        office.sent("A-1")
        spent = Counter({name: stats["calls"] for name, stats in client.info("commandstats").items()})
        client.flushdb()
        office.clock.set(office.clock.now)
        return spent

    commands()  # all scripts are known from now on
    told = commands()
    monkeypatch.setattr(type(office.keys), "ticket", lambda *_: b"")
    assert told - commands() == {"cmdstat_zadd": 1, "cmdstat_getrange": 1}


def test_handing_in_again_is_enough_to_be_told_from_then_on(office: Office, receiver: Receiver) -> None:
    office.hand_in("A-1")
    key = b"rw:{0}:a:" + office.id("A-1")
    whole = office.schedule.client.get(key)
    before = whole[: HEAD_BYTES - 2] + b"\0\0" + b"sealed"  # from before the platform wanted events
    office.schedule.client.set(key, before)
    office.hand_in("A-1")
    assert office.schedule.client.get(key) == whole
    office.send()
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]


# That it is told.


def test_what_was_refused_is_tried_again_under_the_same_name(office: Office, receiver: Receiver) -> None:
    office.sent("A-1")
    receiver.respond(Response(500))
    office.tell()
    assert office.waiting == 1
    office.tell()
    assert len(receiver.requests) == 1  # not at once
    office.later(seconds=10)
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert office.waiting == 0


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_only_a_2xx_is_a_yes_and_nothing_is_followed(office: Office, receiver: Receiver, status: int) -> None:
    with Peer() as elsewhere:
        receiver.respond(Response(status, headers={"Location": elsewhere.url}))
        office.sent("A-1")
        office.tell()
        assert not elsewhere.requests
    assert office.waiting == 1
    office.later(seconds=10)
    receiver.respond(Response(204), accept=True)
    office.tell()
    assert (office.waiting, office.dropped) == (0, 0)


def test_a_lost_answer_doubles_the_event_and_its_name_tells_so(office: Office, receiver: Receiver) -> None:
    office.sent("A-1")
    receiver.cut()
    office.tell()
    office.later(seconds=10)
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")] * 2
    assert len(set(receiver.ids)) == 1


def test_who_takes_an_event_and_dies_has_not_told_it(office: Office, receiver: Receiver) -> None:
    office.sent("A-1")
    taken, _ = office.queue.take(0, most=10)
    assert len(taken) == 1
    office.clock.forward(seconds=LEASE.total_seconds() - 0.001)
    office.tell()
    assert not receiver.requests
    office.clock.forward(seconds=0.001)
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]


def test_what_somebody_else_told_meanwhile_stays_told(office: Office) -> None:
    office.sent("A-1")
    [event], _ = office.queue.take(0, most=1)
    office.clock.forward(seconds=LEASE.total_seconds())
    [again], _ = office.queue.take(0, most=1)
    office.queue.settle([(again, TOLD)])
    office.queue.settle([(event, timedelta())])
    assert office.waiting == 0
    office.queue.settle([(event, GIVEN_UP)])
    assert office.dropped == 0


def test_an_event_is_told_although_its_appointment_was_moved_by_who_wants_none(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.sent("A-1")
    with monkeypatch.context() as patch:
        patch.setattr(type(office.keys), "ticket", lambda *_: b"")
        office.schedule.add([Entry(office.id("A-1"), b"other things", b"sealed", (office.clock.now,))])
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]


def test_of_two_processes_one_tells_each_event(office: Office, receiver: Receiver) -> None:
    other = office.another()
    office.sent(*(f"A-{number}" for number in range(200)))
    threads = [
        threading.Thread(target=lambda one=one: [one.step() for _ in range(4)]) for one in (office.dispatcher, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for dispatcher in (office.dispatcher, other):
        office.tell(dispatcher)
    other.stop()
    assert Counter(receiver.told) == {(f"A-{number}", "reminder.sent"): 1 for number in range(200)}
    assert len(set(receiver.ids)) == 200


def test_a_receiver_that_is_away_for_hours_gets_all_of_it(office: Office, receiver: Receiver) -> None:
    away = [True]
    receiver.look = lambda _: Response(503) if away[0] else None
    expected = Counter[tuple[str, str]]()
    for hour in range(20):
        office.sent(f"A-{hour}")
        expected[f"A-{hour}", "reminder.sent"] += 1
        for _ in range(12):
            office.later(minutes=5)
            office.tell()
        away[0] = hour < 14
    tries = Counter(request.headers["webhook-id"] for request in receiver.requests)
    for _ in range(60):
        office.later(minutes=5)
        office.tell()
    assert Counter(receiver.told) == expected
    assert (office.waiting, office.dropped) == (0, 0)
    assert max(tries.values()) <= 20


def test_after_an_outage_what_was_only_put_off_comes_soon(office: Office, receiver: Receiver) -> None:
    receiver.look = lambda _: Response(500)
    office.sent(*(f"A-{number}" for number in range(300)))
    for _ in range(24):
        for _ in range(5):  # a look takes 64
            office.tell()
        office.later(minutes=5)
    receiver.look = lambda _: None
    for _ in range(9):
        for _ in range(5):
            office.tell()
        office.later(minutes=5)
    assert len(receiver.accepted) > 180  # not only in the next two hours


def test_what_nobody_takes_within_a_day_is_given_up_counted_and_said(
    office: Office, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.look = lambda _: Response(500)
    office.sent("A-1")
    for _ in range(24 * 12 - 1):
        office.tell()
        office.later(minutes=5)
    assert (office.waiting, office.dropped) == (1, 0)
    for _ in range(12):
        office.later(minutes=5)
        office.tell()
    assert (office.waiting, office.dropped) == (0, 1)
    assert [(one.message, one.count) for one in caplog.records if one.levelno == logging.ERROR] == [  # type: ignore[attr-defined]
        ("events_dropped", 1)
    ]


def test_a_clock_of_the_store_that_is_days_ahead_for_a_moment_drops_and_delays_nothing(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.look = lambda _: Response(500)
    began = office.clock.now
    office.sent("A-1")
    with monkeypatch.context() as patch:
        patch.setattr("reminder_worker.endpoint.wall_time", lambda: began)
        office.later(days=3)
        office.sent("A-2")
        office.tell()
    receiver.look = lambda _: None
    office.clock.set(began)
    for _ in range(3):
        office.tell()
        office.later(minutes=1)
    assert sorted(receiver.told) == [("A-1", "reminder.sent"), ("A-2", "reminder.sent")]
    assert (office.waiting, office.dropped) == (0, 0)


def test_no_line_about_events_that_were_given_up_names_a_reminder(
    office: Office, receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.look = lambda _: Response(410)
    office.sent("A-1")
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(caplog.handler, "emit", lambda record: lines.append(logs.shown(record)[0]))
    office.tell()
    said = [line for line in lines if line["level"] == "error"]
    assert [line["event"] for line in said] == ["events_disabled", "events_dropped"]
    assert [line.get("reminder") for line in said] == [None, None]


def test_a_wait_that_was_asked_for_is_kept(office: Office, receiver: Receiver) -> None:
    office.sent("A-1")
    receiver.respond(Response(429, headers={"Retry-After": "120"}))
    office.tell()
    assert 100 < office.courier.paused <= 120
    [(_, at)] = office.schedule.client.zrange("rw:{0}:events", 0, -1, withscores=True)
    assert at >= to_ms(START + timedelta(seconds=100))
    office.sent("A-2")
    office.tell()
    assert len(receiver.requests) == 1


def test_a_platform_that_failed_is_left_alone_and_the_wait_grows(office: Office, receiver: Receiver) -> None:
    receiver.look = lambda _: Response(500)
    office.sent(*(f"A-{number}" for number in range(40)))
    office.tell()
    assert IN_A_ROW <= len(receiver.requests) < IN_A_ROW + THREADS
    assert 4 < office.courier.paused <= 5
    pauses = []
    for _ in range(6):
        office.later(hours=1)
        office.tell()
        pauses.append(round(office.courier.paused, 1))
    assert pauses == sorted(pauses)
    assert 59 < pauses[-1] <= 60
    assert pauses[0] < 11
    receiver.look = lambda _: None
    office.later(hours=1)
    for _ in range(5):
        office.later(hours=1)
        office.tell()
    assert office.courier._failures == 0
    assert office.waiting == 0


def test_one_that_hangs_holds_up_nobody_else(
    schedule: Schedule, clock: Clock, gateway: GatewayKeys, receiver: Receiver
) -> None:
    with Receiver() as hanging:
        for _ in range(3 * THREADS):
            hanging.hang_before_accepting()
        office = Office(schedule, clock, gateway, clinic=receiver.url, other=hanging.url)
        office.hand_in(*(f"B-{number}" for number in range(3 * THREADS)), platform="other")
        office.send()
        clock.forward(seconds=1)
        office.sent(*(f"A-{number}" for number in range(30)))
        office.dispatcher.step()
        office.courier._waiting.join()
        assert len(receiver.accepted) == 30
        assert not hanging.accepted
        hanging.closing.set()
        office.dispatcher.stop()
    assert office.waiting == 3 * THREADS


def test_the_deadline_of_a_call_is_kept(office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "DEADLINE", 0.3)
    receiver.drip(every=0.1, head=True)
    office.sent("A-1")
    began = time.monotonic()
    office.tell()
    assert 0.2 < time.monotonic() - began < 4
    assert office.waiting == 1


def test_a_call_that_fails_now_and_then_stops_nothing(office: Office, receiver: Receiver) -> None:
    turn = itertools.count()
    receiver.look = lambda _: Response(500) if next(turn) % 3 == 0 else None
    office.sent(*(f"A-{number}" for number in range(60)))
    office.tell()
    assert len(receiver.requests) == 60
    assert len(receiver.accepted) == 40


# Who does not want it any more.


def test_gone_ends_it_for_all_processes_until_somebody_wants_it_again(
    office: Office, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.respond(Response(410))
    office.sent("A-1")
    office.tell()
    office.sent("A-2")
    other = office.another()
    office.tell(other)
    assert len(receiver.requests) == 1
    assert (office.waiting, office.dropped) == (0, 2)
    assert "events_disabled" in caplog.messages
    assert office.queue.unmute(office.courier.tag)
    assert not office.queue.unmute(office.courier.tag)
    office.sent("A-3")
    office.tell(other)
    other.stop()
    assert receiver.told == [("A-3", "reminder.sent")]


def test_gone_takes_along_what_waits_in_memory(office: Office, receiver: Receiver) -> None:
    waiting = threading.Event()

    def gone(request: Request) -> Response:
        waiting.wait(30)
        return Response(410)

    receiver.look = gone
    office.sent(*(f"A-{number}" for number in range(50)))
    office.dispatcher.step()
    waiting.set()
    office.courier._waiting.join()
    assert len(receiver.requests) <= 2 * THREADS
    assert (office.waiting, office.dropped) == (0, 50)


def test_gone_takes_no_order_to_end_along(office: Office) -> None:
    office.courier._waiting.put(None)  # the process ends at the same time
    assert office.courier._drain() == []
    assert office.courier._waiting.get_nowait() is None


def test_only_the_platform_that_is_gone_is_muted(
    schedule: Schedule, clock: Clock, gateway: GatewayKeys, receiver: Receiver
) -> None:
    with Receiver() as gone:
        gone.look = lambda _: Response(410)
        office = Office(schedule, clock, gateway, clinic=receiver.url, other=gone.url)
        office.sent("B-1", platform="other")
        office.tell()
        office.sent("B-2", platform="other")
        office.sent("A-1")
        office.tell()
        assert receiver.told == [("A-1", "reminder.sent")]
        assert len(gone.requests) == 1
        office.dispatcher.stop()


def test_a_platform_that_this_process_does_not_know_yet_is_not_dropped(
    office: Office, receiver: Receiver, schedule: Schedule, clock: Clock
) -> None:
    older = Office(schedule, clock, office.keys, another="https://elsewhere.example")
    office.sent("A-1")
    older.tell()
    assert (office.waiting, office.dropped) == (1, 0)
    office.later(seconds=10)
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]


@pytest.mark.parametrize(
    "name",
    [
        b"short",
        bytes(17) + b"1|1|sent||1|",
        bytes(17) + b"1|1|nonsense||1",
        bytes(17) + b"1|x|sent||1",
        bytes(17) + b'1|1|sent|"A-1"|1',
    ],
)
def test_what_no_script_left_there_is_dropped(office: Office, receiver: Receiver, name: bytes) -> None:
    office.schedule.client.zadd("rw:{0}:events", {name: 1})
    office.sent("A-1")
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]
    assert (office.waiting, office.dropped) == (0, 1)


def test_a_ticket_of_another_appointment_tells_nobody_anything(office: Office, receiver: Receiver) -> None:
    office.hand_in("A-1")
    office.hand_in("B-1", platform="other")
    first, second = (b"rw:{0}:a:" + office.id(*who) for who in (("A-1",), ("B-1", "other")))
    mine, others = office.schedule.client.get(first), office.schedule.client.get(second)
    office.schedule.client.set(
        second, others[:HEAD_BYTES] + mine[HEAD_BYTES:][:80] + others[HEAD_BYTES + 80 :]
    )  # an intruder swaps them
    office.send()
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]
    assert office.waiting == 1


# What nobody learns.


def test_no_reference_and_no_platform_is_in_the_store_or_the_log(
    office: Office, receiver: Receiver, client: store.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.config_set("rdbcompression", "no")
    receiver.look = lambda _: Response(500)
    office.sent("Praxis-4711", "Praxis-4712")
    before = everything(client)
    office.tell()
    office.later(seconds=10)
    receiver.look = lambda _: Response(410)
    office.tell()
    seen = before + everything(client)
    for word in (b"Praxis", b"4711", b"clinic"):
        assert word not in seen
    lines = " ".join(f"{one.message} {one.__dict__}" for one in caplog.records)
    assert "events_disabled" in caplog.messages
    assert "Praxis" not in lines
    assert "471" not in repr(office.queue.take(0, most=9))


def test_an_event_and_its_letter_show_no_reference(office: Office) -> None:
    office.sent("A-1")
    [event], _ = office.queue.take(0, most=1)
    ticket = office.keys.open_ticket(event.id, event.ticket)
    assert ticket is not None
    assert "A-1" not in repr(endpoint.Letter(event, ticket))
    assert "whsec" not in repr(office.endpoints)


# The process.


def test_it_runs_until_it_is_stopped_and_leaves_the_rest_to_others(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def slowly(_: Request) -> None:
        arrived.set()
        go_on.wait(30)

    receiver.look = slowly
    office.sent(*(f"A-{number}" for number in range(20)))
    office.dispatcher.start()
    assert arrived.wait(30)
    while office.courier._waiting.qsize() != 20 - THREADS:  # each thread waits for its answer
        go_on.wait(0.01)
    assert not receiver.accepted
    stopping = threading.Thread(target=office.dispatcher.stop)
    stopping.start()
    while office.courier._waiting.qsize() > THREADS:  # it has emptied its list
        stopping.join(0.01)
    go_on.set()
    stopping.join()
    assert len(receiver.accepted) == THREADS
    assert not any(thread.is_alive() for thread in office.courier._threads)
    other = office.another()
    office.tell(other)  # at once: nothing has to wait for a lease
    other.stop()
    assert len(receiver.accepted) == 20
    assert office.waiting == 0


def test_platforms_that_hang_are_parted_from_side_by_side(
    schedule: Schedule, clock: Clock, gateway: GatewayKeys, receiver: Receiver
) -> None:
    arrived, go_on = threading.Semaphore(0), threading.Event()

    def slowly(_: Request) -> None:
        arrived.release()
        go_on.wait(30)

    receiver.look = slowly
    office = Office(schedule, clock, gateway, clinic=receiver.url, other=receiver.url)
    for platform in ("clinic", "other"):
        office.hand_in(*(f"A-{number}" for number in range(20)), platform=platform)
    office.send()
    office.dispatcher.start()
    for _ in range(2 * THREADS):
        assert arrived.acquire(timeout=30)
    stopping = threading.Thread(target=office.dispatcher.stop)
    stopping.start()
    while any(line._waiting.qsize() > THREADS for line in office.dispatcher.couriers.values()):  # both lists are empty
        stopping.join(0.01)
        assert stopping.is_alive()
    go_on.set()
    stopping.join()
    assert len(receiver.accepted) == 2 * THREADS


def test_a_store_that_is_away_is_waited_for(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("reminder_worker.events.AWAY", 0.01)
    taken, step = threading.Event(), office.dispatcher.step
    failures = [ValueError("a mistake of ours"), *[StoreUnavailable("away")] * 3]

    def flaky() -> float:
        if failures:
            raise failures.pop()
        pause = step()
        taken.set()
        return pause

    monkeypatch.setattr(office.dispatcher, "step", flaky)
    office.sent("A-1")
    office.dispatcher.start()
    assert taken.wait(30)
    office.courier._waiting.join()
    assert receiver.told == [("A-1", "reminder.sent")]
    assert caplog.messages.count("store_away") == 3
    assert caplog.messages.count("events_failed") == 1
    assert "a mistake" not in caplog.text


def test_a_store_that_goes_away_during_a_call_costs_a_doubled_event_and_no_thread(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.sent("A-1")
    settle = office.courier._queue.settle
    failures = [StoreUnavailable("away"), ValueError("a mistake of ours")]

    def flaky(outcomes: object) -> None:
        if outcomes and failures:
            raise failures.pop()
        settle(outcomes)  # type: ignore[arg-type]

    monkeypatch.setattr(office.courier._queue, "settle", flaky)
    for _ in range(3):
        office.tell()
        office.later(seconds=LEASE.total_seconds())
    assert len(receiver.accepted) == 3
    assert len(set(receiver.ids)) == 1
    assert office.waiting == 0
    assert all(thread.is_alive() for thread in office.courier._threads)


def test_what_waited_here_for_too_long_is_left_to_whoever_takes_it_next(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.sent("A-1")
    monkeypatch.setattr(Event, "held_for", lambda _: 14.0)
    office.tell()
    assert not receiver.requests
    monkeypatch.undo()
    monkeypatch.setattr("reminder_worker.schedule.script", __import__("clock").script)
    office.clock.forward(seconds=LEASE.total_seconds())
    office.tell()
    assert receiver.told == [("A-1", "reminder.sent")]


def test_a_burst_that_does_not_fit_into_memory_comes_again(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office.courier._waiting, "maxsize", 2)
    office.sent(*(f"A-{number}" for number in range(60)))
    for _ in range(200):
        office.tell()
        office.later(seconds=BUSY.total_seconds() / 2)
        if not office.waiting:
            break
    assert Counter(receiver.told) == {(f"A-{number}", "reminder.sent"): 1 for number in range(60)}


def test_events_of_all_shards_are_told(
    client: store.Client, clock: Clock, gateway: GatewayKeys, receiver: Receiver
) -> None:
    office = Office(Schedule(client, shards=3), clock, gateway, clinic=receiver.url)
    office.sent(*(f"A-{number}" for number in range(20)))
    assert len([key for key in client.scan_iter() if key.endswith(b":events")]) == 3
    office.tell()
    office.dispatcher.stop()
    assert len(receiver.accepted) == 20
    assert office.waiting == 0


def test_one_shard_that_is_away_does_not_hold_up_the_events_of_others(
    client: store.Client, clock: Clock, gateway: GatewayKeys, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Schedule(client, shards=3)
    office, run = Office(schedule, clock, gateway, clinic=f"{receiver.url}/events"), schedule.run
    references = [f"A-{number}" for number in range(20)]
    office.sent(*references)

    def without_the_second(name: str, shard: int, *words: Any) -> Any:
        if shard == 1:
            raise StoreUnavailable("away")
        return run(name, shard, *words)

    monkeypatch.setattr(schedule, "run", without_the_second)
    with pytest.raises(StoreUnavailable):
        office.dispatcher.step()
    office.courier._waiting.join()
    there = {one for one in references if schedule.shard_of(office.id(one)) != 1}
    assert {reference for reference, _ in receiver.told} == there
    office.dispatcher.stop()


def test_over_tls_to_whom_the_certificate_names(
    schedule: Schedule, clock: Clock, gateway: GatewayKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme = pytest.importorskip("trustme")
    authority, wrong = trustme.CA(), trustme.CA()
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for name, issuer in (("right", authority), ("wrong", wrong)):
        (tmp_path / name).write_bytes(issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    with Receiver(certificate=tmp_path / "right") as right, Receiver(certificate=tmp_path / "wrong") as impostor:
        office = Office(schedule, clock, gateway, clinic=right.url, other=impostor.url)
        office.sent("A-1")
        office.sent("B-1", platform="other")
        office.tell()
        office.dispatcher.stop()
        assert right.told == [("A-1", "reminder.sent")]
        assert not impostor.requests
    assert office.waiting == 1


def test_from_the_http_api_to_the_event_and_back(schedule: Schedule, receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "clinic.whsec").write_text(SECRET)
    desk.make_keys(tmp_path / "keys")
    key, public = desk.new_key(tmp_path / "keys"), PublicKeys.load(tmp_path / "keys" / "worker.pub.json")
    secret = tmp_path / "clinic.whsec"
    where = {"events_url": f"{receiver.url}/events/", "events_secret_file": secret, "events_private": True}
    chosen = desk.settings(tmp_path / "keys", **where)
    arrived = threading.Event()
    receiver.look = lambda _: arrived.set()  # type: ignore[func-returns-value]
    with desk.serving(web.build(chosen, schedule)) as port:
        platform = desk.Desk(port, key, public)
        assert platform.put("A/1 ü", time=practice.ahead(hours=2), leads=["3h"]).status == 201
        practice.send(schedule)
        assert arrived.wait(60)
        known = platform.get("A/1 ü").body
        published = platform.ask("GET", "/v1/keys").body["record"]
    [request] = receiver.accepted
    assert (request.path, request.json["type"]) == ("/events/", "reminder.sent")
    assert request.json["data"]["reference"] == "A/1 ü"
    header, payload, signature = request.json["data"]["record"].split(".")
    VerifyKey(decode(published[0]["key"])).verify(f"{header}.{payload}".encode(), decode(signature))
    assert json.loads(decode(payload))["reminders"][0]["state"] == known["reminders"][0]["state"] == "sent"


def test_a_name_that_leads_into_a_network_of_ours_is_not_connected_to(
    office: Office, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    public = endpoint.Endpoint(receiver.url, office.endpoints["clinic"].secret)
    dispatcher = Dispatcher(office.schedule, office.keys, {"clinic": public})
    office.sent("A-1")
    office.tell(dispatcher)
    dispatcher.stop()
    assert receiver.connections == 0
    assert office.waiting == 1
    assert [(one.setting, one.reason) for one in caplog.records] == [  # type: ignore[attr-defined]
        ("platforms.clinic.events_url", "address_private")
    ]


def test_platforms_are_told_no_more_where_what_serves_beside_it_fails(office: Office) -> None:
    async def story() -> None:
        async with web._telling(office.dispatcher):
            assert office.dispatcher._thread.is_alive()
            raise StoreUnavailable

    with pytest.raises(StoreUnavailable):
        asyncio.run(story())
    assert not office.dispatcher._thread.is_alive()


# When to try again.


def event(age: timedelta) -> Event:
    now = datetime.now(UTC)
    return Event(bytes(17), b"", "sent", None, now - age, now, now - age, time.monotonic())


@given(st.timedeltas(timedelta(), timedelta(days=3)))
def test_the_next_try_comes_after_about_as_long_as_it_waited_so_far(age: timedelta) -> None:
    span, slack = delay(event(age)), timedelta(seconds=1)
    if age >= OVER:
        assert span == GIVEN_UP
    else:
        assert SHORTEST * 0.8 <= span <= LONGEST * 1.2
        assert span <= max(1.2 * (age + slack), 1.2 * SHORTEST)
        assert age + span <= OVER + SHORTEST + slack


def test_tries_are_few_and_the_last_one_is_a_day_after_the_first() -> None:
    age, tries = timedelta(), 0
    while (span := delay(event(age))) != GIVEN_UP:
        age += span
        tries += 1
    assert 12 <= tries <= 26
    assert OVER - timedelta(seconds=1) <= age <= OVER + 2 * SHORTEST


def test_a_name_is_for_one_fact_of_one_reminder() -> None:
    names: list[Callable[[], bytes]] = [
        lambda: bytes(16) + b"\0" + b"1|1|sent||1",
        lambda: bytes(16) + b"\1" + b"1|1|sent||1",
        lambda: bytes(16) + b"\0" + b"1|1|sent||2",
        lambda: bytes(16) + b"\0" + b"2|1|sent||1",
    ]
    events = [Event.of(name(), b"", START, 0.0) for name in names]
    ids = {one.message_id for one in events if one}
    assert len(ids) == 4
    assert all(Webhook(SECRET).sign(one, START, "{}") for one in ids)
