"""The queue on Redis: dramatiq's lists, with each wake-up fetched at once, and a clean-up after workers that died.

A wake-up says only "look at this reminder" (``broker.py``), here as on RabbitMQ.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any
from uuid import uuid4

import redis
from dramatiq import Consumer, Message, Middleware
from dramatiq.brokers.redis import RedisBroker
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from reminder_worker import store

QUEUE = "reminders"
NAMESPACE = "{rw-queue}"  # the braces keep all keys on one node of a Cluster
NAMES, MESSAGES = f"{NAMESPACE}:{QUEUE}", f"{NAMESPACE}:{QUEUE}.msgs"
BEATS = f"{NAMESPACE}:__heartbeats__"
SILENT = 60.0  # seconds after which a worker counts as dead
UPKEEP_EVERY = 30.0
AWAY = 1.0  # seconds between tries to fetch from a queue that does not answer
WAIT = 1.0  # seconds for which the server holds a call while there is no wake-up
AGAIN_MS = 20  # until the next look, if all threads have enough to do or the server does not let us wait
# A full server still runs the scripts that empty it: otherwise what waits there could never be sent.
FULL_TOO = b"#!lua flags=allow-oom\n"
PUT = b"""
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[i], ARGV[i + 1])
  redis.call('RPUSH', KEYS[1] .. ':' .. ARGV[1], ARGV[i])
end
"""

log = logging.getLogger(__name__)


def connect(url: str, middleware: Sequence[Middleware], is_wake: Callable[[bytes | None], bool]) -> "WakeBroker":
    """Return the broker at ``url``. Raises SettingsError, or StoreUnavailable."""
    return WakeBroker(store.connect(url), middleware, is_wake)


class WakeBroker(RedisBroker):
    """A Redis broker that drops a message that is no wake-up, but none beside it, and cleans up after dead workers."""

    client: store.Client
    _next_upkeep = 0.0
    _ends = False

    def __init__(
        self, client: store.Client, middleware: Sequence[Middleware], is_wake: Callable[[bytes | None], bool]
    ) -> None:
        super().__init__(
            client=client,
            middleware=list(middleware),
            namespace=NAMESPACE,
            maintenance_chance=0,  # dramatiq's own asks Redis for all of its keys, and brings back what was woken again
        )
        self.is_wake = is_wake
        texts: dict[str, Any] = {name: script.script for name, script in self.scripts.items()}
        self.scripts = {name: self.client.register_script(FULL_TOO + text) for name, text in texts.items()}
        self._done: deque[str] = deque()
        # A URL may set a shorter time-out than ours, and a wait as long as that would look like a silent server.
        self._patience = (client.get_connection_kwargs().get("socket_timeout") or math.inf) / 2

    def declare_queue(self, queue_name: str) -> None:
        """Declare the queue, and no delay queue."""
        super().declare_queue(queue_name)
        self.delay_queues.clear()

    def emit_before(self, signal: str, *arguments: Any, **options: Any) -> None:
        """Note that the worker ends: dramatiq would keep fetching until its last call has been answered."""
        self._ends |= signal == "worker_shutdown"
        super().emit_before(signal, *arguments, **options)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = AGAIN_MS) -> Consumer:
        """Fetch what comes; while nothing does, dramatiq would look ever more rarely, in the end once a second."""
        return super().consume(queue_name, prefetch, min(timeout, AGAIN_MS))

    def enqueue_all(self, messages: Iterable[Message[None]]) -> None:
        """Write messages and their names where dramatiq's own script writes them, all in one round trip.

        If a retry does this twice, the names are there twice, and the second time their messages are gone.
        """
        copies = (message.copy(options={"redis_message_id": str(uuid4())}) for message in messages)
        named = {copy.options["redis_message_id"]: copy.encode() for copy in copies}
        if not named:
            return
        try:
            with self.client.pipeline(transaction=False) as pipe:
                pipe.hset(MESSAGES, mapping=named)
                pipe.rpush(NAMES, *named)
                pipe.execute()
        except OutOfMemoryError:
            self.client.eval(FULL_TOO + PUT, 1, NAMESPACE, QUEUE, *chain.from_iterable(named.items()))

    def do_ack(self, queue_name: str, name: str) -> None:  # noqa: ARG002 - there is one queue
        """Note that a message is done, so that its thread goes on at once; the next fetch deletes it."""
        self._done.append(name)

    def _clear_done(self) -> None:
        """Delete the messages that are done, in one round trip: a process that dies in between leaves none behind.

        If it was taken for dead, their names are in the queue again, and lead to nothing. Raises RedisError.
        """
        names: list[str] = []
        with suppress(IndexError):  # there are no more: another thread may take some too
            while True:
                names.append(self._done.popleft())
        if not names:
            return
        acks = _fetched_by(self.broker_id)
        try:
            with self.client.pipeline(transaction=False) as pipe:
                pipe.hdel(MESSAGES, *names).srem(acks, *names).execute()
        except RedisError:
            self._done.extend(names)
            raise

    def close(self) -> None:
        """Delete what is done, as the process ends; if the queue is away, other workers clean up later."""
        with suppress(RedisError):
            self._clear_done()
        super().close()

    def do_fetch(self, queue_name: str, count: int) -> list[bytes]:
        """Fetch messages; a queue that is away is logged in our own words and asked again a second later."""
        try:
            return self._fetch(queue_name, count)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            log.warning("store_away", extra={"reason": store.unavailable(error).why})
            time.sleep(AWAY)
            return []

    def _fetch(self, queue_name: str, count: int) -> list[bytes]:
        """Fetch messages, and drop what cannot be decoded: dramatiq would lose the whole batch with it."""
        self._clear_done()
        if time.monotonic() >= self._next_upkeep:
            self._next_upkeep = time.monotonic() + UPKEEP_EVERY
            with suppress(RedisError):  # a full server; one that is away fails the fetch as well
                self._clear_up()
        fetched = self._ask(queue_name, count)
        if not fetched and not self._ends and self._comes():
            fetched = self._ask(queue_name, count)
        good = list(filter(self.is_wake, fetched))
        if len(good) < len(fetched):
            self._drop()
        return good

    def _ask(self, queue_name: str, count: int) -> list[bytes]:
        """Take up to ``count`` messages; a process that ends asks for none, which shows that it lives."""
        messages: list[bytes] = self._dispatch("fetch")(queue_name, 0 if self._ends else count)
        return messages

    def _comes(self) -> bool:
        """Wait at the server until a wake-up comes, and leave it there: its name is moved to its own place."""
        try:
            return self.client.blmove(NAMES, NAMES, min(WAIT, self._patience), "LEFT", "LEFT") is not None
        except ResponseError:  # a server that is full, or has another master now; an older users.acl
            return False

    def _clear_up(self) -> None:
        """Bring back what dead workers had fetched. Each step may be done twice, or by two processes at once.

        The ledger wakes those reminders again as well, and sooner; but in a long backlog it does so ever more slowly.
        """
        for worker in self.client.zrangebyscore(BEATS, 0, (time.time() - SILENT) * 1000):
            acks = _fetched_by(worker.decode())
            names = [name for name in self.client.smembers(acks) if self.client.hexists(MESSAGES, name)]
            if names:
                self.client.rpush(NAMES, *names)
            self.client.delete(acks)
            self.client.zrem(BEATS, worker)

    def _drop(self) -> None:
        """Delete what this process fetched but cannot read, and what had already been done."""
        acks = _fetched_by(self.broker_id)
        for name in self.client.smembers(acks):
            data = self.client.hget(MESSAGES, name)
            if not self.is_wake(data):
                self.client.hdel(MESSAGES, name)
                self.client.srem(acks, name)
                if data is not None:
                    log.warning("message_dropped", extra={"reason": "undecodable"})


def _fetched_by(worker: str) -> str:
    """Return the key of what a worker has fetched."""
    return f"{NAMESPACE}:__acks__.{worker}.{QUEUE}"
