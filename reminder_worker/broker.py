"""The queue: dramatiq carries wake-ups, and a wake-up says only "look at this reminder".

A lost, duplicate or late message changes nothing: the ledger is the truth. So dramatiq's own retries, delays,
results and limits are left out; they would keep messages in worker memory or write exception texts into Redis.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import dramatiq
import msgspec
from dramatiq import DecodeError, Message, Middleware

from reminder_worker import redisqueue
from reminder_worker.encoding import MAX_LEADS
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.ledger import ID_BYTES, Wake
from reminder_worker.redisqueue import WakeBroker

if TYPE_CHECKING:  # it needs an extra
    from reminder_worker.rabbit import RabbitBroker

QUEUE = redisqueue.QUEUE
ACTOR = "remind"
_VERSION_DIGITS = 5  # of 65535


class _Json(dramatiq.Encoder):
    """dramatiq's JSON from a faster library: each message is read twice, here and by dramatiq."""

    def encode(self, data: dict[str, Any]) -> bytes:
        return msgspec.json.encode(data)

    def decode(self, data: bytes) -> Any:
        return msgspec.json.decode(data)


dramatiq.set_encoder(_Json())


def connect(queue_url: str, middleware: Sequence[Middleware]) -> "WakeBroker | RabbitBroker":
    """Return the broker at ``queue_url`` with exactly this middleware. Raises SettingsError, or StoreUnavailable."""
    if queue_url.startswith(("amqp:", "amqps:")):
        return _rabbit(queue_url, middleware)
    broker = redisqueue.connect(queue_url, middleware, is_wake)
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
        """Publish messages; return only when they are in the queue."""


def is_wake(data: Any, options: Sequence[str] = ("redis_message_id",)) -> bool:
    """Return whether a raw message is one that our worker understands; ``options`` are those that its queue adds."""
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
    """Make the message that wakes a worker; it holds only an opaque id, a lead's number and a version.

    All messages have one length: the message id, which nothing reads, makes up for digits that a version lacks.
    """
    name = base64.urlsafe_b64encode(wake.id).decode().rstrip("=")
    fields = {"id": name, "lead": wake.lead, "version": wake.version}
    filled = f"{uuid4()}{'0' * (_VERSION_DIGITS - len(str(wake.version)))}"
    return Message(queue_name=QUEUE, actor_name=ACTOR, args=(), kwargs=fields, options={}, message_id=filled)


def read(id: str, lead: int, version: int) -> Wake:  # noqa: A002 - the message's own names
    """Read a message's fields. Raises ValueError or TypeError if they make no wake-up."""
    try:
        raw = base64.urlsafe_b64decode(id + "==")
    except binascii.Error:
        raise ValueError("id") from None
    if len(raw) != ID_BYTES or type(lead) is not int or type(version) is not int or not 0 <= lead < MAX_LEADS:
        raise ValueError("wake-up")
    return Wake(raw, lead, version)


def wake(broker: Queue, wakes: Iterable[Wake]) -> None:
    """Wake a worker for each reminder; a wake-up that is lost is sent again when its lease ends."""
    try:
        broker.enqueue_all(map(write, wakes))
    except Exception as error:  # noqa: BLE001 - each broker has errors of its own
        raise StoreUnavailable(f"the queue did not answer ({type(error).__name__}); is it running?") from None
