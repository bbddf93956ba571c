"""``contact:`` pointers: asks the platform at the last moment whom a token stands for, at the one URL in its settings.

docs/contacts.md is the contract. Token, number and language live in memory for one call: nothing is cached, and no part
of an answer enters a log or an error; those name the platform's setting.
"""

import logging
import secrets
from collections.abc import Mapping
from threading import BoundedSemaphore

import msgspec

from reminder_worker import answers
from reminder_worker.circuit import Circuit
from reminder_worker.documents import read_object
from reminder_worker.errors import Ambiguous, NotSent, Reason, Refused, Throttled
from reminder_worker.gate import Result
from reminder_worker.https import Answer
from reminder_worker.mistakes import named
from reminder_worker.optouts import Tags
from reminder_worker.platformsite import PlatformSite
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import is_address
from reminder_worker.signatures import Secret
from reminder_worker.tables import Platform

DEADLINE = 3.0  # seconds for the whole call
LENGTH = 128  # bytes of every question, padded with blanks to the longest token's: TLS does not hide lengths
ANSWER_LIMIT = 1024  # bytes
OK, TOO_MANY, FAULT = 200, 429, 500
GONE = frozenset({404, 410})
AT_ONCE = 4  # calls from one process to one resolver: a slow one must not take all threads from other platforms
BUSY = 1.0  # seconds until a call may be free

_MEND = frozenset({Reason.ADDRESS_PRIVATE, Reason.RESOLVER_REFUSED, Reason.RESOLVER_UNREADABLE})
_RESULTS = {  # what a failure means for the next calls; any other is a sign of life
    Reason.RESOLVER_AWAY: Result.FAILED,
    Reason.RESOLVER_REFUSED: Result.MISCONFIGURED,
    Reason.ADDRESS_PRIVATE: Result.MISCONFIGURED,
    Reason.THROTTLED: Result.THROTTLED,
}

log = logging.getLogger(__name__)


class Found(msgspec.Struct, frozen=True):
    """Whom a token stands for."""

    phone: str
    language: str | None = None

    def __repr__(self) -> str:
        """Show nothing of a person."""
        return "Found()"


class ResolverSite:
    """The way to one resolver: signed requests, bounded answers; safe to share between threads."""

    def __init__(self, url: str, secret: Secret, *, private: bool = False) -> None:
        self._site = PlatformSite(url, secret, answer_limit=ANSWER_LIMIT, private=private)
        self.close = self._site.close

    def ask(self, token: str) -> Answer:
        """Ask once whom a token stands for. Raises NotSent (resolver_away, address_private)."""
        body = msgspec.json.encode({"contact": token}).ljust(LENGTH)
        try:
            return self._site.post(secrets.token_urlsafe(16), body, within=DEADLINE)
        except (NotSent, Ambiguous) as error:  # asking twice does no harm
            private = error.reason is Reason.ADDRESS_PRIVATE
            raise NotSent(error.reason if private else Reason.RESOLVER_AWAY) from None


class Resolver:
    """One platform's resolver, behind its circuit; safe to use from many threads."""

    def __init__(self, site: ResolverSite, circuit: Circuit) -> None:
        self._site = site
        self._circuit = circuit
        self._room = BoundedSemaphore(AT_ONCE)

    def find(self, token: str) -> Found:
        """Ask whom a token stands for.

        Raises Refused (contact_gone), and NotSent if that is unknown for now; StoreUnavailable.
        """
        if not self._room.acquire(blocking=False):
            raise Throttled(BUSY, Reason.RESOLVER_BUSY)
        try:
            return self._ask(token)
        finally:
            self._room.release()

    def _ask(self, token: str) -> Found:
        permit, status = self._circuit.admit(), None
        try:
            answer = self._site.ask(token)
            status = answer.status
            found = understand(answer)
        except (Refused, NotSent) as error:
            pause = error.retry_after if isinstance(error, Throttled) else None
            self._circuit.report(permit, _RESULTS.get(error.reason, Result.OK), pause)
            if error.reason in _MEND:
                shown = {"setting": self._circuit.what, "reason": error.reason, "status": status}
                log.error("resolver_refused", extra=shown)  # noqa: TRY400 - there is nothing to trace
            raise
        self._circuit.report(permit, Result.OK)
        return found


def load(schedule: Schedule, tags: Tags, platforms: Mapping[str, Platform]) -> dict[str, Resolver]:
    """Prepare to ask the platforms that have a resolver. Raises SettingsError."""
    found = {}
    for name, platform in platforms.items():
        if platform.resolver_url is not None and platform.resolver_secret_file is not None:
            with named(f"platforms.{name}.resolver_secret_file"):
                secret = Secret.load(platform.resolver_secret_file)
            site = ResolverSite(platform.resolver_url, secret, private=platform.resolver_private)
            found[name] = Resolver(site, Circuit(schedule, tags, name))
    return found


def understand(answer: Answer) -> Found:
    """Return whom an answer names. Raises Refused (contact_gone), and NotSent whose reason says what is wrong."""
    if answer.status == OK:
        return _read(answer.body)
    if answer.status in GONE:
        raise Refused(Reason.CONTACT_GONE, "pointer", "the platform knows nobody behind it")
    after = answers.seconds(answer.headers.get("Retry-After"))
    if answer.status == TOO_MANY:
        raise Throttled(after)
    if answer.status >= FAULT:
        raise Throttled(after, Reason.RESOLVER_AWAY)
    raise NotSent(Reason.RESOLVER_REFUSED)


def _read(body: bytes) -> Found:
    """Read the one object; a language that no pointer could hold counts as none."""
    try:
        found = msgspec.convert(read_object(body), Found)
    except (Refused, msgspec.ValidationError, UnicodeEncodeError):  # the last for a name with half a character
        raise NotSent(Reason.RESOLVER_UNREADABLE) from None
    return found if is_address("contact:x", found.language or "") else Found(found.phone)
