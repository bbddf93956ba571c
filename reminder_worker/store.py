"""Connections to Redis or Valkey by URL."""

from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from reminder_worker.errors import SettingsError

Client = Any  # redis-py types its answers for sync and async, bytes and str at once

SOCKET_TIMEOUT = 5.0  # seconds
EMBEDDED_FOLDER = Path(".reminder-worker")


def connect(url: str, **options: Any) -> Client:
    """Return a client whose calls are tried again after a lost connection: all our scripts bear that.

    Raises SettingsError for what is no URL of a store.
    """
    settings: dict[str, Any] = {"socket_timeout": SOCKET_TIMEOUT, "retry": retrying(5), "health_check_interval": 30}
    try:
        return redis.Redis.from_url(url, **settings | options)
    except ValueError:
        raise SettingsError(
            "store_url, queue_url: write them as redis://HOST:PORT/0, rediss://… or unix:///PATH"
        ) from None


def retrying(times: int) -> Retry:
    """Say how often a call is tried again after a lost connection."""
    return Retry(ExponentialWithJitterBackoff(base=0.02, cap=1.0), times)


def resolve_url(url: str | None) -> str:
    """Return the store's URL; where none is set, that of the embedded server of this folder."""
    if url is not None:
        return url
    from reminder_worker import embedded  # noqa: PLC0415 - only development needs it

    return embedded.shared(EMBEDDED_FOLDER.absolute())


def queue_url(queue: str | None, store: str) -> str:
    """Return the queue's URL: by default the store's server, in a database of its own (dramatiq runs KEYS)."""
    if queue is not None:
        return queue
    if store.startswith("unix://"):
        return store.partition("?")[0] + "?db=1"
    scheme, _, rest = store.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/1"
