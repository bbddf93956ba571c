"""Connections to Redis or Valkey by URL.

A password comes from a file of its own, so that no settings, variable or command line holds it; from here on it is
only in memory, in a URL that nothing prints.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlunsplit

from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from reminder_worker import topology
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.settings import Settings

Client = Any  # redis-py types its answers for sync and async, bytes and str at once

SOCKET_TIMEOUT = 5.0  # seconds
MOST_CONNECTIONS = 2**31  # as many as there are threads: with the default, a hundred, those beyond would be refused
NO_URL = (
    "store_url, queue_url: write them as redis://USER@HOST:PORT/0, rediss://…, unix://USER@/PATH, "
    "redis+sentinel://USER@HOST:PORT,HOST:PORT/NAME/0 or redis+cluster://USER@HOST:PORT,HOST:PORT; "
    "queue_url may be amqp://USER@HOST:PORT/VHOST"
)
_REFUSED_IN_SCRIPT = "ACL failure in script"
EMBEDDED_FOLDER = Path(".reminder-worker")


def connect(url: str, **options: Any) -> Client:
    """Return a client whose calls are tried again after a lost connection: all our scripts tolerate that.

    Raises SettingsError for what is no URL of a store, and StoreUnavailable if no server of a Cluster answers.
    """
    settings: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT,
        "retry": retrying(5),
        "max_connections": MOST_CONNECTIONS,
    }
    try:
        if topology.several(url):
            return topology.connect(url, **settings | options)
        return topology.one(url, **settings | options)
    except (ValueError, TypeError):  # the latter for an unknown option
        raise SettingsError(NO_URL) from None
    except RedisError as error:
        raise unavailable(error) from None


def retrying(times: int) -> Retry:
    """Return the rule for how often a call is tried again after a lost connection."""
    return Retry(ExponentialWithJitterBackoff(base=0.02, cap=1.0), times)


def impatient() -> dict[str, Any]:
    """Return the options of a connection whose user must learn soon that the store is away."""
    return {"socket_timeout": 2.5, "retry": retrying(1)}


def resolve_url(url: str | None) -> str:
    """Return the store's URL; if none is set, that of the embedded server of this folder."""
    if url is not None:
        return url
    from reminder_worker import embedded  # noqa: PLC0415 - only development needs it

    return embedded.shared(EMBEDDED_FOLDER.absolute())


def url_of(settings: Settings) -> str:
    """Return the URL of the settings' store, with the password from its file. Raises SettingsError."""
    if settings.store_url is None and settings.store_password_file is not None:
        raise SettingsError("store_password_file: needs a store_url")
    if settings.store_url is None and settings.production:
        raise SettingsError("store_url: is needed in production; without it, all would be in a server of this folder")
    return _with_password(resolve_url(settings.store_url), "store", settings.store_password_file)


def existing_url_of(settings: Settings) -> str:
    """Return the URL of the settings' store for a command that must not create an empty one. Raises SettingsError."""
    if settings.store_url is None and not EMBEDDED_FOLDER.exists():
        raise SettingsError("store_url: is not set, and there is no store in this folder; give --config FILE")
    return url_of(settings)


def queue_url_of(settings: Settings, store: str) -> str:
    """Return the URL of the settings' queue; by default it is on the store's server, as the same user."""
    if settings.queue_url is None and settings.queue_password_file is not None:
        raise SettingsError("queue_password_file: needs a queue_url")
    return _with_password(queue_url(settings.queue_url, store), "queue", settings.queue_password_file)


def has_password(url: str | None) -> bool:
    """Tell whether a URL of the settings holds a password."""
    return url is not None and (_split(url).password is not None or "password=" in _split(url).query)


def _with_password(url: str, what: str, file: Path | None) -> str:
    if file is None:
        return url
    if has_password(url):
        raise SettingsError(f"{what}_url, {what}_password_file: one of them may hold the password")
    try:
        password = file.read_text("utf-8").strip()
    except PermissionError:
        raise SettingsError(f"{what}_password_file: {file} cannot be read; may this user read it?") from None
    except (OSError, ValueError):
        password = ""
    if not password:
        raise SettingsError(f"{what}_password_file: {file} should hold a password")
    parts = _split(url)
    user, _, server = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{server}"))


def _split(url: str) -> SplitResult:
    """Take a URL apart. Raises SettingsError."""
    try:
        return topology.split(url)
    except ValueError:
        raise SettingsError(NO_URL) from None


def queue_url(queue: str | None, store: str) -> str:
    """Return the queue's URL: by default the store's server, in a database of its own if there are several.

    What follows a question mark, such as certificates, holds for both, except ``db``, which would win over the path.
    """
    if queue is not None:
        return queue
    parts = _split(store)
    options = [one for one in parts.query.split("&") if one and unquote(one.partition("=")[0]) != "db"]
    if parts.scheme == "unix":  # by hand: without a user urlunsplit writes unix:/PATH
        return f"unix://{parts.netloc}{parts.path}?{'&'.join([*options, 'db=1'])}"
    parts = parts._replace(query="&".join(options))
    return topology.queue_url(urlunsplit(parts)) if topology.several(store) else urlunsplit(parts._replace(path="/1"))


@contextmanager
def answered() -> Iterator[None]:
    """Treat an error from Redis as a store that is away. Raises StoreUnavailable."""
    try:
        yield
    except RedisError as error:
        raise unavailable(error) from None


def unavailable(error: RedisError) -> StoreUnavailable:
    """Keep the kind of error and nothing of its text: Redis may quote arguments."""
    in_script = str(error).startswith(_REFUSED_IN_SCRIPT)  # which is a ResponseError like any other
    if in_script or isinstance(error, AuthenticationError | NoPermissionError):
        mend = "has this user its password in store_password_file, and the rights that ops/redis gives it?"
        return StoreUnavailable(f"the store refused us ({type(error).__name__}); {mend}", refused=True)
    return StoreUnavailable(f"the store did not answer ({type(error).__name__}); is it running and not full?")
