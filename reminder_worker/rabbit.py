"""The queue on RabbitMQ: one quorum queue of wake-ups, and nothing that delays, repeats or keeps them.

A wake-up says only "look at this reminder" (``broker.py``), here as on Redis. What a dead worker had fetched comes back
by itself; a wake-up that nobody fetched within an hour is dropped, for its reminder has been woken again.
"""

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pika
from dramatiq import Message, Middleware
from dramatiq.brokers.rabbitmq import RabbitmqBroker, _RabbitmqConsumer
from dramatiq.errors import ConnectionClosed
from pika.exceptions import AMQPChannelError, AMQPConnectionError, AMQPError, StreamLostError

from reminder_worker import sockets, topology
from reminder_worker.errors import SettingsError

PORT, TLS_PORT = 5672, 5671
LONGEST_MS = 3_600_000  # the sweeper wakes again within 32 minutes, so one of its messages is always in the queue
HEARTBEAT, TIMEOUT = 30, 5.0  # seconds
LOOK = 0.002  # seconds between looks for confirmations: pika does not return earlier for one
BLOCKED = 5.0  # seconds to wait for a RabbitMQ that is out of memory or disk
NO_URL = "queue_url: write it as amqp://USER@HOST:PORT,HOST:PORT/VHOST, or amqps://…?ssl_ca_certs=FILE"

log = logging.getLogger(__name__)


def connect(url: str, middleware: Sequence[Middleware], is_wake: Callable[[bytes], bool]) -> "RabbitBroker":
    """Return the broker at ``url``; it connects when it is first used. Raises SettingsError for any other URL."""
    try:
        parameters = _parameters(url)
    except (ValueError, OSError):
        raise SettingsError(NO_URL) from None
    return RabbitBroker(parameters, middleware, is_wake)


def _parameters(url: str) -> list[dict[str, Any]]:
    """Read from a URL what pika wants to know about each server."""
    parts = topology.split(url)
    secure = parts.scheme == "amqps"
    user, _, servers = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    (file,) = query.pop("ssl_ca_certs", [None])
    if query or not user or (file and not secure):
        raise ValueError
    context = sockets.verifying(file) if secure else None
    shared = {
        "virtual_host": unquote(parts.path[1:]) or "/",
        "credentials": pika.PlainCredentials(unquote(name), unquote(password)),
        "heartbeat": HEARTBEAT,
        "socket_timeout": TIMEOUT,
        "stack_timeout": 2 * TIMEOUT,
        "blocked_connection_timeout": BLOCKED,
    }
    return [shared | _server(server, context) for server in servers.split(",")]


def _server(server: str, context: ssl.SSLContext | None) -> dict[str, Any]:
    parts = urlsplit(f"//{server}")
    if not parts.hostname:
        raise ValueError
    options = None if context is None else pika.SSLOptions(context, parts.hostname)
    return {"host": parts.hostname, "port": parts.port or (TLS_PORT if context else PORT), "ssl_options": options}


class RabbitBroker(RabbitmqBroker):
    """dramatiq's broker without delay queues and dead letters; it publishes many messages at a time."""

    def __init__(
        self, parameters: list[dict[str, Any]], middleware: Sequence[Middleware], is_wake: Callable[[bytes], bool]
    ) -> None:
        super().__init__(parameters=parameters, middleware=list(middleware))
        self.is_wake = is_wake

    @property
    def consumer_class(self) -> type[_RabbitmqConsumer]:
        """The class that fetches."""
        return WakeConsumer

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:
        """Declare the queue, and no delay queue."""
        super().declare_queue(queue_name, ensure=ensure)
        self.delay_queues.clear()

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:  # noqa: ARG002
        return {"x-queue-type": "quorum", "x-message-ttl": LONGEST_MS}

    def _declare_dq_queue(self, queue_name: str) -> None:
        """Leave the delay queue out."""

    def _declare_xq_queue(self, queue_name: str) -> None:
        """Leave the dead letters out: the ledger wakes what failed again."""

    def _ensure_queue(self, canonical_queue_name: str) -> None:
        if canonical_queue_name in self.queues_pending:
            with self._in_time():
                self._declare_queue(canonical_queue_name)
            self.queues_pending.discard(canonical_queue_name)

    def enqueue_all(self, messages: Iterable[Message[Any]]) -> None:
        """Publish messages, and wait until RabbitMQ has confirmed all of them. Raises ConnectionClosed."""
        waiting = list(messages)
        try:
            self._publish(waiting)
        except ConnectionClosed:  # the line was silent for long, perhaps, or its server is gone: once more over another
            self.queues_pending |= self.queues
            self._publish(waiting)

    def _publish(self, messages: Sequence[Message[Any]]) -> None:
        with self._in_time():
            self.connection.process_data_events(0)  # heartbeats: nobody else reads them
            for name in {message.queue_name for message in messages}:
                self.declare_queue(name, ensure=True)
            for message in messages:
                self._confirms.publish(message.queue_name, message.encode())
            self._confirms.wait()

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Cut the connection if RabbitMQ does not answer: pika would wait for ever. Raises ConnectionClosed."""
        try:
            line = self.connection._impl  # noqa: SLF001
            timer = line._adapter_call_later(TIMEOUT, partial(line._terminate_stream, StreamLostError()))  # noqa: SLF001
            yield
            line._adapter_remove_timeout(timer)  # noqa: SLF001
        except (AMQPConnectionError, AMQPChannelError) as error:
            self._cut()
            raise ConnectionClosed(error) from None

    def _cut(self) -> None:
        """Drop this thread's connection without closing it in order, which might not be answered either."""
        mine = vars(self.state)
        self.channels.discard(mine.pop("channel", None))
        self.connections.discard(connection := mine.pop("connection", None))
        if connection is not None and connection.is_open:
            connection._impl._terminate_stream(StreamLostError())  # noqa: SLF001
            with suppress(AMQPError):
                while True:  # until it reports that the connection is closed
                    connection.process_data_events(LOOK)

    @property
    def _confirms(self) -> "Confirms":
        """The confirms of this thread's channel."""
        if getattr(self.state, "confirms", None) is None or self.state.confirms.channel is not self.channel:
            self.state.confirms = Confirms(self.channel)
        confirms: Confirms = self.state.confirms
        return confirms


class Confirms:
    """Publishes through a channel and counts what RabbitMQ confirms; pika would wait for each message separately."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self._published = 0
        self._waiting: set[int] = set()
        self._refused = False
        channel._impl.add_on_return_callback(self._returned)  # noqa: SLF001 - at once: pika would keep it for later
        channel._impl.confirm_delivery(self._confirmed)  # noqa: SLF001

    def publish(self, queue: str, body: bytes) -> None:
        """Send one message on its way."""
        self._published += 1
        self._waiting.add(self._published)
        properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
        self.channel.basic_publish("", queue, body, properties, mandatory=True)

    def wait(self) -> None:
        """Wait until all of them are confirmed. Raises AMQPChannelError if one is not."""
        deadline = time.monotonic() + TIMEOUT
        while self._waiting and not self._refused and time.monotonic() < deadline:
            self.channel.connection.process_data_events(LOOK)
        if self._waiting or self._refused:
            raise AMQPChannelError

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        self._refused |= isinstance(method, pika.spec.Basic.Nack)
        self._waiting.discard(method.delivery_tag)
        if method.multiple:
            self._waiting = {tag for tag in self._waiting if tag > method.delivery_tag}

    def _returned(self, *_: object) -> None:
        self._refused = True  # there is no such queue


class WakeConsumer(_RabbitmqConsumer):
    """Fetches messages, and drops any that is no wake-up."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.iterator = self._wakes(self.iterator)

    def _wakes(self, found: Iterable[Any]) -> Iterator[Any]:
        for method, properties, body in found:
            if method is None or self.broker.is_wake(body):
                yield method, properties, body
            else:
                self.channel.basic_nack(method.delivery_tag, requeue=False)
                log.warning("message_dropped", extra={"reason": "undecodable"})
