"""Wake-ups through a real RabbitMQ: what the queue carries, and what becomes of it when something fails."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import dramatiq
import engines
import pytest
from dramatiq import Worker
from test_broker import FOREIGN, KWARGS, WAKE

from reminder_worker import broker as queue
from reminder_worker import store
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.ledger import Wake

pika = pytest.importorskip("pika")
rabbit = pytest.importorskip("reminder_worker.rabbit")
HEARTBEAT = 2  # seconds
here = pytest.mark.skipif(not engines.has_rabbit(), reason="rabbitmq-server is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Rabbit]:
    with engines.Rabbit(tmp_path_factory.mktemp("rabbit") / "mq") as running:
        yield running


@pytest.fixture
def broker(server: engines.Rabbit) -> Iterator[dramatiq.Broker]:
    """A broker of an empty queue."""
    connected = queue.connect(server.url, [])
    engines.until(lambda: woken(connected, [WAKE]))
    connected.channel.queue_purge(queue.QUEUE)
    yield connected
    connected.close()


class Seen:
    """A worker that counts what it is woken for, and fails where it is told to."""

    def __init__(self, broker: dramatiq.Broker, *, fails: bool = False) -> None:
        self.wakes: Counter[Wake] = Counter()
        self.broker, self._changed, self._fails = broker, threading.Condition(), fails
        dramatiq.actor(actor_name=queue.ACTOR, queue_name=queue.QUEUE, broker=broker)(self._remind)
        self.worker = Worker(broker, worker_threads=2, worker_timeout=20)

    def __enter__(self) -> Self:
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()

    def _remind(self, **fields: Any) -> None:
        with self._changed:
            self.wakes[queue.read(**fields)] += 1
            self._changed.notify_all()
        if self._fails:
            raise ValueError

    def wait(self, number: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.wakes) >= number, 30)


FETCHES = """
import sys, time
from reminder_worker import broker as queue
consumer = queue.connect(sys.argv[1], []).consume(queue.QUEUE, prefetch=5, timeout=2000)
print(len([next(consumer) for _ in range(5)]), flush=True)
time.sleep(60)
"""


def left(server: engines.Rabbit) -> int:
    """Return how many messages wait."""
    other = queue.connect(server.url, [])
    try:
        return other.channel.queue_declare(queue.QUEUE, passive=True).method.message_count
    finally:
        other.close()


def is_gone(server: engines.Rabbit) -> bool:
    try:
        left(server)
    except pika.exceptions.ChannelClosedByBroker:
        return True
    return False


def wakes(number: int) -> list[Wake]:
    return [Wake(one.to_bytes(16, "big"), 0, 1) for one in range(number)]


@here
def test_what_is_published_is_the_message_alone_and_as_long_as_any_other(
    server: engines.Rabbit, broker: dramatiq.Broker
) -> None:
    queue.wake(broker, [WAKE, Wake(bytes(16), 0, 65535)])
    bodies = [broker.channel.basic_get(queue.QUEUE, auto_ack=True)[2] for _ in range(2)]
    fields = json.loads(bodies[0])
    assert (fields["kwargs"], fields["options"], fields["args"]) == (KWARGS, {}, [])
    assert len({len(body) for body in bodies}) == 1
    assert all(queue.is_wake(body, ()) and not queue.is_wake(body) for body in bodies)


@here
def test_there_is_one_quorum_queue_and_none_for_delays_or_dead_letters(broker: dramatiq.Broker) -> None:
    assert (broker.get_declared_queues(), broker.get_declared_delay_queues()) == ({queue.QUEUE}, set())
    for name in (f"{queue.QUEUE}.DQ", f"{queue.QUEUE}.XQ"):
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue"):
            broker.connection.channel().queue_declare(name, passive=True)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="x-queue-type"):
        broker.connection.channel().queue_declare(queue.QUEUE, durable=True)


@here
def test_a_thousand_are_confirmed_in_one_go(server: engines.Rabbit, broker: dramatiq.Broker) -> None:
    queue.wake(broker, wakes(1))  # connected
    began = time.monotonic()
    queue.wake(broker, wakes(1000))
    assert time.monotonic() - began < 5
    assert left(server) == 1001


@here
def test_every_wake_up_among_foreign_messages_is_delivered_and_they_are_gone(
    server: engines.Rabbit, broker: dramatiq.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = [data for data in FOREIGN if not queue.is_wake(data, ())]
    assert len(foreign) == len(FOREIGN) - 1  # here no queue adds a name of its own: it is not missed
    some, channel = wakes(len(foreign)), broker.connection.channel()
    for wake, data in zip(some, foreign, strict=True):
        channel.basic_publish("", queue.QUEUE, data)
        queue.wake(broker, [wake])
    with Seen(broker) as seen:
        seen.wait(len(some))
    assert seen.wakes == Counter(some)
    assert caplog.messages.count("message_dropped") == len(foreign)
    assert not any("onsumer encountered" in record.getMessage() for record in caplog.records)
    assert left(server) == 0


@here
def test_a_wake_up_whose_worker_fails_is_not_kept(server: engines.Rabbit, broker: dramatiq.Broker) -> None:
    logging.getLogger("dramatiq").setLevel(logging.CRITICAL + 1)
    queue.wake(broker, wakes(3))
    with Seen(broker, fails=True) as seen:
        seen.wait(3)
    logging.getLogger("dramatiq").setLevel(logging.NOTSET)
    assert set(seen.wakes.values()) == {1}
    assert left(server) == 0


@here
def test_what_a_dead_worker_had_fetched_comes_back(server: engines.Rabbit, broker: dramatiq.Broker) -> None:
    queue.wake(broker, wakes(5))
    with subprocess.Popen([sys.executable, "-c", FETCHES, server.url], stdout=subprocess.PIPE, text=True) as dead:
        assert dead.stdout
        assert dead.stdout.readline() == "5\n"
        assert left(server) == 0
        dead.kill()
    with Seen(broker) as seen:
        seen.wait(5)


@here
def test_a_queue_that_was_deleted_is_declared_again(server: engines.Rabbit, broker: dramatiq.Broker) -> None:
    queue.wake(broker, [WAKE])
    broker.channel.queue_delete(queue.QUEUE)
    engines.until(lambda: is_gone(server))
    queue.wake(broker, wakes(2))
    engines.until(lambda: not is_gone(server))
    assert left(server) == 2


@here
def test_heartbeats_are_answered_by_a_publisher_that_has_nothing_to_publish(
    server: engines.Rabbit, broker: dramatiq.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit, "HEARTBEAT", HEARTBEAT)
    broker = queue.connect(server.url, [])
    queue.wake(broker, wakes(2))
    first = broker.connection
    for _ in range(16):
        time.sleep(HEARTBEAT / 4)
        queue.wake(broker, [])
    queue.wake(broker, wakes(2))
    assert broker.connection is first
    assert left(server) == 4
    broker.close()


@here
def test_a_rabbitmq_that_does_not_answer_is_not_waited_for_for_ever(
    server: engines.Rabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbit, "TIMEOUT", 0.5)
    broker = queue.connect(server.url, [])
    for asked in (False, True):  # whether the queue is there
        assert engines.until(lambda: woken(broker, [WAKE]))
        broker.queues_pending |= {queue.QUEUE} if asked else set()
        began = time.monotonic()
        with server.frozen(), pytest.raises(StoreUnavailable, match=r"^the queue did not answer \("):
            queue.wake(broker, [WAKE])
        assert time.monotonic() - began < HEARTBEAT * 5
    assert engines.until(lambda: woken(broker, [WAKE]))
    broker.close()


@here
def test_a_rabbitmq_that_was_killed_is_connected_to_again_by_who_publishes_and_who_fetches(tmp_path: Path) -> None:
    """What waited there may be gone: the ledger's sweeper makes it again."""
    logging.getLogger("dramatiq").setLevel(logging.CRITICAL + 1)
    with engines.Rabbit(tmp_path / "mq") as server:
        broker = queue.connect(server.url, [])
        assert engines.until(lambda: woken(broker, wakes(3)))
        with Seen(broker) as seen:
            seen.wait(3)
            server.kill()
            with pytest.raises(StoreUnavailable, match=r"^the queue did not answer \(ConnectionClosed\)"):
                queue.wake(broker, wakes(4))
            server.start()
            engines.until(lambda: server.elect() and woken(broker, wakes(9)))
            seen.wait(9)
        broker.close()
    logging.getLogger("dramatiq").setLevel(logging.NOTSET)


def woken(broker: dramatiq.Broker, some: list[Wake]) -> bool:
    try:
        queue.wake(broker, some)
    except StoreUnavailable:  # it listens before it has begun
        return False
    return True


# Its URL.


def parameters(url: str) -> list[dict[str, Any]]:
    return rabbit.connect(url, [], queue.is_wake).parameters


def test_a_url_names_user_host_and_virtual_host() -> None:
    (read,) = parameters("amqp://scheduler:p%40ss%3A@mq.example/reminders")
    assert (read.host, read.port, read.virtual_host, read.ssl_options) == ("mq.example", 5672, "reminders", None)
    assert (read.credentials.username, read.credentials.password) == ("scheduler", "p@ss:")


def test_a_url_may_name_several_servers_and_wants_tls_where_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    read = parameters("amqps://a@one.example,[::1]:7001/%2Fa")
    assert [(one.host, one.port, one.virtual_host) for one in read] == [
        ("one.example", 5671, "/a"),
        ("::1", 7001, "/a"),
    ]
    for one in read:
        assert one.ssl_options.context.check_hostname
        assert one.ssl_options.context.keylog_filename is None
        assert one.ssl_options.server_hostname == one.host


@pytest.mark.parametrize(
    "url",
    [
        "amqp://mq.example",
        "amqp://a@",
        "amqp://a@one.example,",
        "amqp://a@mq.example:port",
        "amqp://a@[mq.example",
        "amqp://a@mq.example?heartbeat=0",
        "amqp://a@mq.example?ssl_ca_certs=/a",
        "amqps://a@mq.example?ssl_ca_certs=/there/is/no/such/file",
    ],
)
def test_what_is_no_such_url_is_said_so(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^queue_url: write it as amqp://"):
        queue.connect(url, [])


def test_its_password_comes_from_a_file(tmp_path: Path) -> None:
    from reminder_worker.settings import Settings  # noqa: PLC0415

    (tmp_path / "password").write_text("p@ss:w/rd\n")
    settings = Settings(queue_url="amqp://worker@mq.example/reminders", queue_password_file=tmp_path / "password")
    (read,) = parameters(store.queue_url_of(settings, "redis://store.example"))
    assert (read.credentials.username, read.credentials.password) == ("worker", "p@ss:w/rd")
