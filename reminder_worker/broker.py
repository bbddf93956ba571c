"""The queue: dramatiq carries wake-ups, and a wake-up says only "look at this reminder".

A lost, doubled or late message changes nothing: the ledger is the truth. So dramatiq's own retries, delays,
results and limits are left out; they would keep messages in worker memory or write exception texts into Redis.
"""

import base64
import binascii
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import dramatiq
import msgspec
from dramatiq import DecodeError, Message, Middleware
from dramatiq.brokers.redis import RedisBroker
from redis.exceptions import ConnectionError, OutOfMemoryError, RedisError, TimeoutError  # noqa: A004 - Redis's

from reminder_worker import store
from reminder_worker.encoding import MAX_LEADS
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.ledger import ID_BYTES, Wake

if TYPE_CHECKING:  # it needs an extra
    from reminder_worker.rabbit import RabbitBroker

QUEUE = "reminders"
ACTOR = "remind"
NAMESPACE = "{rw-queue}"  # the braces keep all keys on one node of a Cluster
SILENT = 60.0  # seconds after which a worker counts as dead
UPKEEP_EVERY = 30.0
AWAY = 1.0  # seconds between tries to fetch from a queue that does not answer
_VERSION_DIGITS = 5  # of 65535
# A server that is full still takes what it is emptied with: else what waits there could never be sent.
FULL_TOO = b"#!lua flags=allow-oom\n"
PUT = b"""
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[i], ARGV[i + 1])
  redis.call('RPUSH', KEYS[1] .. ':' .. ARGV[1], ARGV[i])
end
"""

log = logging.getLogger(__name__)


class _Json(dramatiq.Encoder):
    """The JSON that dramatiq writes, by a quicker library: each message is read twice, here and by dramatiq."""

    def encode(self, data: dict[str, Any]) -> bytes:
        return msgspec.json.encode(data)

    def decode(self, data: bytes) -> Any:
        return msgspec.json.decode(data)


dramatiq.set_encoder(_Json())


def connect(queue_url: str, middleware: Sequence[Middleware]) -> "WakeBroker | RabbitBroker":
    """Return the broker at ``queue_url`` with exactly this middleware. Raises SettingsError, or StoreUnavailable."""
    if queue_url.startswith(("amqp:", "amqps:")):
        return _rabbit(queue_url, middleware)
    client = store.connect(queue_url)
    broker = WakeBroker(
        client=client,
        middleware=list(middleware),
        namespace=NAMESPACE,
        maintenance_chance=0,  # dramatiq's own asks Redis for all of its keys, and brings back what was woken again
    )
    broker.declare_queue(QUEUE)
    return broker


def _rabbit(queue_url: str, middleware: Sequence[Middleware]) -> "RabbitBroker":
    try:
        from reminder_worker import rabbit  # noqa: PLC0415 - an extra
    except ImportError:
        raise SettingsError("queue_url: amqp needs pip install 'reminder-worker[rabbitmq]'") from None
    broker = rabbit.connect(queue_url, middleware, partial(is_wake, options=()))
    broker.declare_queue(QUEUE)
    return broker


class Queue(Protocol):
    """Takes many messages at a time."""

    def enqueue_all(self, messages: Iterable[Message[None]]) -> None:
        """Publish them, and know that they are in the queue."""


class WakeBroker(RedisBroker):
    """A Redis broker whose neighbours survive a message that is no wake-up, and which clears up after dead workers."""

    client: store.Client
    _next_upkeep = 0.0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        texts: dict[str, Any] = {name: script.script for name, script in self.scripts.items()}
        self.scripts = {name: self.client.register_script(FULL_TOO + text) for name, text in texts.items()}
        self._done: deque[str] = deque()

    def enqueue_all(self, messages: Iterable[Message[None]]) -> None:
        """Write messages and their names where dramatiq's own script writes them, all in one round trip.

        Done twice by a retry, the names stand there twice, and the second time their messages are gone.
        """
        copies = (message.copy(options={"redis_message_id": str(uuid4())}) for message in messages)
        named = {copy.options["redis_message_id"]: copy.encode() for copy in copies}
        if not named:
            return
        try:
            with self.client.pipeline(transaction=False) as pipe:
                pipe.hset(f"{self.namespace}:{QUEUE}.msgs", mapping=named)
                pipe.rpush(f"{self.namespace}:{QUEUE}", *named)
                pipe.execute()
        except OutOfMemoryError:
            self.client.eval(FULL_TOO + PUT, 1, self.namespace, QUEUE, *chain.from_iterable(named.items()))

    def do_ack(self, queue_name: str, name: str) -> None:  # noqa: ARG002 - there is one queue
        """Note that a message is done: its thread goes on at once. What is done leaves with the next fetch."""
        self._done.append(name)

    def _clear_done(self) -> None:
        """Delete the messages that are done, in one round trip: a process that dies in between leaves none behind.

        Where it was taken for dead, their names stand in the queue again, and lead to nothing. Raises RedisError.
        """
        names: list[str] = []
        with suppress(IndexError):  # there are no more: another thread may take some too
            while True:
                names.append(self._done.popleft())
        if not names:
            return
        acks, messages = self._fetched_by(self.broker_id, QUEUE)
        try:
            with self.client.pipeline(transaction=False) as pipe:
                pipe.hdel(messages, *names).srem(acks, *names).execute()
        except RedisError:
            self._done.extend(names)
            raise

    def close(self) -> None:
        """Delete what is done; the process ends. Where the queue is away, others clear up later."""
        with suppress(RedisError):
            self._clear_done()
        super().close()

    def do_fetch(self, queue_name: str, *arguments: Any) -> list[bytes]:
        """Fetch messages; a queue that is away is asked again a second later, and said so in a word of ours."""
        try:
            return self._fetch(queue_name, *arguments)
        except (ConnectionError, TimeoutError) as error:
            if queue_name == QUEUE:  # dramatiq asks for one of late messages as well, of which there are none
                log.warning("store_away", extra={"reason": store.unavailable(error).why})
            time.sleep(AWAY)
            return []

    def _fetch(self, queue_name: str, *arguments: Any) -> list[bytes]:
        """Fetch messages; what cannot be decoded is dropped here: dramatiq would lose its batch with it."""
        self._clear_done()
        if time.monotonic() >= self._next_upkeep:
            self._next_upkeep = time.monotonic() + UPKEEP_EVERY
            with suppress(RedisError):  # a server that is full; one that is away says so to the fetch as well
                self._clear_up()
        fetched = self._dispatch("fetch")(queue_name, *arguments)
        good = list(filter(is_wake, fetched))
        if len(good) < len(fetched):
            self._drop(queue_name)
        return good

    def _clear_up(self) -> None:
        """Bring back what dead workers had fetched. Each step may be done twice, or by two at once.

        The ledger wakes it again as well, and sooner; but in a long backlog it does so more and more slowly.
        """
        beats = f"{self.namespace}:__heartbeats__"
        for worker in self.client.zrangebyscore(beats, 0, (time.time() - SILENT) * 1000):
            acks, messages = self._fetched_by(worker.decode(), QUEUE)
            names = [name for name in self.client.smembers(acks) if self.client.hexists(messages, name)]
            if names:
                self.client.rpush(f"{self.namespace}:{QUEUE}", *names)
            self.client.delete(acks)
            self.client.zrem(beats, worker)

    def _fetched_by(self, worker: str, queue_name: str) -> tuple[str, str]:
        """Return the keys of what a worker has fetched, and of the messages."""
        return f"{self.namespace}:__acks__.{worker}.{queue_name}", f"{self.namespace}:{queue_name}.msgs"

    def _drop(self, queue_name: str) -> None:
        """Delete what this process fetched and cannot read, or what had been done before."""
        acks, messages = self._fetched_by(self.broker_id, queue_name)
        for name in self.client.smembers(acks):
            data = self.client.hget(messages, name)
            if not is_wake(data):
                self.client.hdel(messages, name)
                self.client.srem(acks, name)
                if data is not None:
                    log.warning("message_dropped", extra={"reason": "undecodable"})


def is_wake(data: Any, options: Sequence[str] = ("redis_message_id",)) -> bool:
    """Tell whether a raw message is one that our worker understands; ``options`` are what its queue adds."""
    try:
        message = Message.decode(data)
        read(**message.kwargs)
        names = [message.message_id, *message.options.values()]
        added = tuple(message.options)
    except (DecodeError, TypeError, ValueError, AttributeError):
        return False
    ours = message.queue_name == QUEUE and message.actor_name == ACTOR and not message.args
    return ours and added == tuple(options) and all(isinstance(name, str) for name in names)


def write(wake: Wake) -> Message[None]:
    """Make the message that wakes a worker; nothing but an opaque id, a number and a version.

    All are of one length: the name of the message, which nobody reads, fills up what a version has too few digits for.
    """
    name = base64.urlsafe_b64encode(wake.id).decode().rstrip("=")
    fields = {"id": name, "lead": wake.lead, "version": wake.version}
    filled = f"{uuid4()}{'0' * (_VERSION_DIGITS - len(str(wake.version)))}"
    return Message(queue_name=QUEUE, actor_name=ACTOR, args=(), kwargs=fields, options={}, message_id=filled)


def read(id: str, lead: int, version: int) -> Wake:  # noqa: A002 - the message's own names
    """Read a message's fields. Raises ValueError or TypeError where they make no wake-up."""
    try:
        raw = base64.urlsafe_b64decode(id + "==")
    except binascii.Error:
        raise ValueError("id") from None
    if len(raw) != ID_BYTES or type(lead) is not int or type(version) is not int or not 0 <= lead < MAX_LEADS:
        raise ValueError("wake-up")
    return Wake(raw, lead, version)


def wake(broker: Queue, wakes: Iterable[Wake]) -> None:
    """Wake a worker for each; what is lost on the way is woken again when its lease ends."""
    try:
        broker.enqueue_all(map(write, wakes))
    except Exception as error:  # noqa: BLE001 - each broker has errors of its own
        raise StoreUnavailable(f"the queue did not answer ({type(error).__name__}); is it running?") from None
