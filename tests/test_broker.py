"""What the queue carries, and what becomes of what does not belong there."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from typing import Any
from unittest.mock import Mock

import dramatiq
import pytest
import redis
from dramatiq import Message, Middleware, Worker
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker import broker as queue
from reminder_worker import redisqueue, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import Wake
from tests.engines import until

WAKES = st.builds(Wake, st.binary(min_size=16, max_size=16), st.integers(0, 7), st.integers(1, 65535))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
WAKE = Wake(bytes(range(16)), 1, 7)


def raw(**changes: Any) -> bytes:
    """Return a message as it stands in Redis, with some of its fields changed; ``...`` leaves one out."""
    fields = queue.write(WAKE).copy(options={"redis_message_id": "some-name"}).asdict() | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


KWARGS = queue.write(WAKE).kwargs
FOREIGN = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"x" * 1_000_000,
    b"gASVBQAAAAAAAABLAS4=",  # a pickle
    raw(actor_name="another"),
    raw(actor_name=None),
    raw(queue_name="another"),
    raw(queue_name=["reminders"]),
    raw(args=[1]),
    raw(args=None),
    raw(extra=1),
    raw(message_id=["unhashable"]),
    raw(message_id=None),
    raw(options=...),
    raw(options=None),
    raw(options=5),
    raw(options={}),
    raw(options=["redis_message_id"]),
    raw(options="redis_message_id"),
    raw(options={"redis_message_id": 5}),
    raw(options={"redis_message_id": "some-name", "eta": 4_000_000_000_000}),  # would wait in a worker's memory
    raw(options={"redis_message_id": "some-name", "on_success": "another"}),
    raw(kwargs=None),
    raw(kwargs=[]),
    raw(kwargs={}),
    raw(kwargs=KWARGS | {"more": 1}),
    raw(kwargs=KWARGS | {"id": 5}),
    raw(kwargs=KWARGS | {"id": None}),
    raw(kwargs=KWARGS | {"id": ""}),
    raw(kwargs=KWARGS | {"id": "A"}),
    raw(kwargs=KWARGS | {"id": "é" * 22}),
    raw(kwargs=KWARGS | {"id": "\ud800"}),
    raw(kwargs=KWARGS | {"id": KWARGS["id"] * 2}),
    raw(kwargs=KWARGS | {"lead": 8}),
    raw(kwargs=KWARGS | {"lead": -1}),
    raw(kwargs=KWARGS | {"lead": True}),
    raw(kwargs=KWARGS | {"lead": "1"}),
    raw(kwargs=KWARGS | {"version": 1.0}),
    raw(kwargs=KWARGS | {"version": None}),
    *(raw()[:length] for length in range(len(raw()))),
]


@pytest.fixture
def broker(
    server: EmbeddedServer, client: store.Client, monkeypatch: pytest.MonkeyPatch
) -> Iterator[redisqueue.WakeBroker]:
    """A broker of an empty queue, which waits for nothing."""
    monkeypatch.setattr(redisqueue, "WAIT", 0.001)
    connected = queue.connect(server.url(1), [])
    yield connected
    connected.close()
    connected.client.close()


@given(WAKES)
def test_what_is_written_is_read(wake: Wake) -> None:
    assert queue.read(**queue.write(wake).kwargs) == wake


def test_a_message_says_which_reminder_and_nothing_else() -> None:
    message = queue.write(WAKE)
    assert (message.args, message.options) == ((), {})
    assert message.kwargs == {"id": "AAECAwQFBgcICQoLDA0ODw", "lead": 1, "version": 7}


def test_what_enters_redis_is_the_message_and_a_name_for_it(broker: redisqueue.WakeBroker) -> None:
    queue.wake(broker, [WAKE])
    (stored,) = broker.client.hvals("{rw-queue}:reminders.msgs")
    fields = json.loads(stored)
    assert set(fields) == {
        *("queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"),
    }
    assert set(fields["options"]) == {"redis_message_id"}
    assert queue.is_wake(stored)


def test_the_middleware_is_exactly_what_was_given(server: EmbeddedServer) -> None:
    """None of dramatiq's own: they write exception texts into Redis, and cut calls whose answer has just come."""
    ours = Middleware()
    for given_ in ([], [ours]):
        connected = queue.connect(server.url(1), given_)
        assert connected.middleware == given_
        assert connected.actor_options == set()
        connected.client.close()


@given(st.binary() | JSON.map(json.dumps).map(str.encode))
def test_any_bytes_are_judged_without_an_error(data: bytes) -> None:
    assert queue.is_wake(data) is False


@given(st.sampled_from(sorted(queue.write(WAKE).asdict())), JSON)
def test_any_field_of_another_kind_is_judged_without_an_error(name: str, value: Any) -> None:
    assert queue.is_wake(raw(**{name: value})) in {True, False}


@given(st.sampled_from(["id", "lead", "version"]), JSON)
def test_what_is_judged_to_be_a_wake_up_can_be_read(name: str, value: Any) -> None:
    data = raw(kwargs=KWARGS | {name: value})
    if queue.is_wake(data):
        assert isinstance(queue.read(**Message.decode(data).kwargs), Wake)


def test_a_good_message_is_judged_good() -> None:
    assert queue.is_wake(raw())


@pytest.mark.parametrize("data", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_message_is_judged_foreign(data: bytes) -> None:
    assert not queue.is_wake(data)


def test_every_wake_up_among_foreign_messages_is_delivered_and_they_are_gone(
    broker: redisqueue.WakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    seen: Counter[Wake] = Counter()
    done = threading.Event()
    wakes = [Wake(number.to_bytes(16, "big"), 0, 1) for number in range(len(FOREIGN))]

    def remind(**fields: Any) -> None:
        seen[queue.read(**fields)] += 1
        if len(seen) == len(wakes):
            done.set()

    dramatiq.actor(actor_name=queue.ACTOR, queue_name=queue.QUEUE, broker=broker)(remind)
    for number, data in enumerate(FOREIGN):
        broker.client.hset("{rw-queue}:reminders.msgs", f"foreign-{number}", data)
        broker.client.rpush("{rw-queue}:reminders", f"foreign-{number}")
        queue.wake(broker, [wakes[number]])

    worker = Worker(broker, worker_threads=2, worker_timeout=20)
    worker.start()
    consumers = list(worker.consumers.values())
    assert len(consumers) == 1  # none for what is to be delayed
    assert done.wait(60)
    broker.join(queue.QUEUE, timeout=60_000, interval=10)
    assert all(consumer.is_alive() for consumer in consumers)
    worker.stop()

    assert seen == Counter(wakes)
    assert not any("onsumer encountered" in record.getMessage() for record in caplog.records)
    assert caplog.messages.count("message_dropped") == len(FOREIGN)
    assert {key.decode() for key in broker.client.scan_iter()} == {"{rw-queue}:__heartbeats__"}


def test_wake_ups_that_a_worker_has_begun_outlive_a_foreign_neighbour(broker: redisqueue.WakeBroker) -> None:
    queue.wake(broker, [WAKE])
    assert len(broker.do_fetch(queue.QUEUE, 8)) == 1
    broker.client.hset("{rw-queue}:reminders.msgs", "foreign", b"null")
    broker.client.rpush("{rw-queue}:reminders", "foreign")
    assert broker.do_fetch(queue.QUEUE, 8) == []
    assert broker.client.scard(f"{{rw-queue}}:__acks__.{broker.broker_id}.reminders") == 1
    assert broker.client.hlen("{rw-queue}:reminders.msgs") == 1


def test_what_a_dead_worker_had_fetched_is_brought_back(server: EmbeddedServer, broker: redisqueue.WakeBroker) -> None:
    dead, idle = (queue.connect(server.url(1), []) for _ in range(2))
    queue.wake(broker, [WAKE] * 3)
    broker.client.lpush("{rw-queue}:reminders", "a name whose message another has done")
    lost = dead.do_fetch(queue.QUEUE, 3)
    assert len(lost) == 2
    assert len(idle.do_fetch(queue.QUEUE, 8)) == 1
    broker.client.zadd("{rw-queue}:__heartbeats__", {dead.broker_id: (time.time() - redisqueue.SILENT - 1) * 1000})
    assert sorted(broker.do_fetch(queue.QUEUE, 8)) == sorted(lost)
    assert set(broker.client.zrange("{rw-queue}:__heartbeats__", 0, -1)) == {
        name.encode() for name in (broker.broker_id, idle.broker_id)
    }
    fetched = {broker.broker_id: 2, idle.broker_id: 1}
    assert {f"{{rw-queue}}:__acks__.{name}.reminders".encode(): count for name, count in fetched.items()} == {
        key: broker.client.scard(key) for key in broker.client.keys("{rw-queue}:__acks__*")
    }
    for one in (dead, idle):
        one.client.close()


def test_what_is_done_leaves_with_the_next_fetch_and_with_the_end(broker: redisqueue.WakeBroker) -> None:
    queue.wake(broker, [WAKE] * 3)
    first, second, third = (
        queue.Message.decode(data).options["redis_message_id"] for data in broker.do_fetch(queue.QUEUE, 8)
    )
    places = f"{{rw-queue}}:__acks__.{broker.broker_id}.reminders", "{rw-queue}:reminders.msgs"
    broker.do_ack(queue.QUEUE, first)
    broker.do_ack(queue.QUEUE, second)
    assert broker.do_fetch(queue.QUEUE, 8) == []
    assert broker.client.smembers(places[0]) == set(broker.client.hkeys(places[1])) == {third.encode()}
    broker.do_ack(queue.QUEUE, third)
    broker.close()
    assert not broker.client.exists(*places)


def test_what_is_done_is_not_forgotten_where_the_queue_refuses_to_forget_it(broker: redisqueue.WakeBroker) -> None:
    queue.wake(broker, [WAKE])
    (data,) = broker.do_fetch(queue.QUEUE, 8)
    broker.do_ack(queue.QUEUE, queue.Message.decode(data).options["redis_message_id"])
    acks, messages = redisqueue._fetched_by(broker.broker_id), redisqueue.MESSAGES
    broker.client.rename(acks, "aside")
    broker.client.set(acks, "no set")  # as little to be had as on a server that has become a replica
    with pytest.raises(redis.ResponseError):
        broker.do_fetch(queue.QUEUE, 8)
    broker.client.rename("aside", acks)
    broker._clear_done()
    assert not broker.client.exists(acks, messages)


def test_what_is_done_is_not_forgotten_where_the_queue_is_away(
    broker: redisqueue.WakeBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redisqueue, "AWAY", 0)
    queue.wake(broker, [WAKE])
    (data,) = broker.do_fetch(queue.QUEUE, 8)
    broker.do_ack(queue.QUEUE, queue.Message.decode(data).options["redis_message_id"])
    with monkeypatch.context() as away:
        away.setattr(broker.client, "pipeline", Mock(side_effect=redis.ConnectionError))
        assert broker.do_fetch(queue.QUEUE, 8) == []
        broker.close()
    assert caplog.messages == ["store_away"]  # in a word of ours
    broker._clear_done()
    assert not broker.client.exists("{rw-queue}:reminders.msgs")


def test_what_was_done_by_who_was_taken_for_dead_is_dropped_without_a_word(
    server: EmbeddedServer, broker: redisqueue.WakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    frozen = queue.connect(server.url(1), [])
    queue.wake(broker, [WAKE])
    (data,) = frozen.do_fetch(queue.QUEUE, 8)
    frozen.do_ack(queue.QUEUE, queue.Message.decode(data).options["redis_message_id"])
    broker.client.zadd("{rw-queue}:__heartbeats__", {frozen.broker_id: (time.time() - redisqueue.SILENT - 1) * 1000})
    broker._clear_up()
    frozen.close()
    assert broker.client.llen("{rw-queue}:reminders") == 1
    assert broker.do_fetch(queue.QUEUE, 8) == []
    assert not broker.client.exists(f"{{rw-queue}}:__acks__.{broker.broker_id}.reminders")
    assert "message_dropped" not in caplog.messages
    frozen.client.close()


def test_a_worker_with_nothing_to_do_waits_at_the_server_and_takes_what_comes_at_once(
    broker: redisqueue.WakeBroker, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redisqueue, "WAIT", 4)  # of the five seconds in which a server has to answer
    others = [broker, queue.connect(server.url(1), [])]
    with ThreadPoolExecutor() as threads:
        left = [threads.submit(_taken, one.consume(queue.QUEUE, 1)) for one in others]
        for number in range(2):
            until(partial(_wait_at_the_server, broker, len(left)))
            queue.wake(broker, [wake := Wake(number.to_bytes(16, "big"), 0, 1)])
            (done,), left = wait(left, timeout=30, return_when=FIRST_COMPLETED)
            assert queue.read(**done.result().kwargs) == wake
    others[1].client.close()


def _taken(consumer: Any) -> Any:
    return until(partial(next, consumer))


def _wait_at_the_server(broker: redisqueue.WakeBroker, count: int) -> bool:
    return sum(one["cmd"] == "blmove" for one in broker.client.client_list()) == count


@pytest.mark.usefixtures("client")  # the queue is empty
def test_a_worker_waits_for_less_than_its_url_lets_the_server_be_silent(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    hasty = queue.connect(f"{server.url(1)}&socket_timeout=0.5", [])
    hasty.client.set_retry(store.retrying(0))
    assert hasty.do_fetch(queue.QUEUE, 1) == []
    assert caplog.messages == []  # the store is there
    hasty.close()
    hasty.client.close()


def test_who_waits_leaves_what_comes_where_it_is(broker: redisqueue.WakeBroker) -> None:
    names = [f"{number}" for number in range(3)]
    broker.client.rpush(redisqueue.NAMES, *names)
    assert broker._comes()
    assert broker.client.lrange(redisqueue.NAMES, 0, -1) == [name.encode() for name in names]


def test_where_the_server_does_not_let_a_worker_wait_it_looks_again(
    broker: redisqueue.WakeBroker, server: EmbeddedServer
) -> None:
    broker.client.acl_setuser("early", enabled=True, nopass=True, keys="*", commands=["+@all", "-blmove"])
    refused = queue.connect(server.url(1).replace("unix://", "unix://early:@"), [])
    consumer = refused.consume(queue.QUEUE, 1, timeout=3_600_000)
    broker.client.config_resetstat()
    assert consumer.timeout == redisqueue.AGAIN_MS  # the longest that dramatiq waits between two looks
    assert next(consumer) is None
    queue.wake(broker, [WAKE])
    assert queue.read(**next(consumer).kwargs) == WAKE
    assert broker.client.info("commandstats")["cmdstat_blmove"]["rejected_calls"] == 1
    broker.client.acl_deluser("early")
    refused.client.close()


def test_nobody_asks_the_queue_for_all_of_its_keys(
    broker: redisqueue.WakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dramatiq.brokers.redis.random.randint", lambda least, _: least)  # its own upkeep is by chance
    broker._next_upkeep = math.inf  # a dead worker is there to be found
    broker.client.zadd("{rw-queue}:__heartbeats__", {"dead": 1})
    broker.client.config_resetstat()
    broker.do_fetch(queue.QUEUE, 8)
    assert "cmdstat_keys" not in broker.client.info("commandstats")


def test_a_queue_that_is_away_is_said_so_without_its_words(tmp_path: Any) -> None:
    broker = queue.connect(f"unix://{tmp_path}/nobody", [])
    broker.client.set_retry(None)
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"^the queue did not answer") as caught:
        queue.wake(broker, [WAKE])
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.__suppress_context__
    assert time.monotonic() - started < 15


def test_a_full_server_still_carries_wake_ups(server: EmbeddedServer) -> None:
    """Nothing else empties it: what waits there has to be woken, fetched and done."""
    line = queue.connect(server.url(1), [])
    most = line.client.config_get("maxmemory")["maxmemory"]
    line.client.config_set("maxmemory", int(line.client.info("memory")["used_memory"] / 2))
    try:
        with pytest.raises(redis.OutOfMemoryError):
            line.client.set("{rw-queue}:anything", 1)
        queue.wake(line, [WAKE])
        fetched = [Message.decode(one) for one in line.do_fetch(queue.QUEUE, 1)]
        assert [queue.read(**one.kwargs) for one in fetched] == [WAKE]
        line.do_ack(queue.QUEUE, fetched[0].options["redis_message_id"])
        assert line.do_fetch(queue.QUEUE, 1) == []
        assert not line.client.exists(redisqueue.MESSAGES)
    finally:
        line.client.config_set("maxmemory", most)
        line.close()
