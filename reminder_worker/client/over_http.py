"""A booking platform that calls the gateway: it seals numbers here, so they never travel in clear.

Every call is safe to repeat, and is repeated: after a lost answer, when the gateway is busy, while its store is away.
"""

import http
import itertools
import json
import random
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay

from reminder_worker import sealing
from reminder_worker.client.appointment import Appointment, uri_of
from reminder_worker.encoding import to_text
from reminder_worker.errors import Ambiguous, NotSent, Reason, Refused, SettingsError, StoreUnavailable, Throttled
from reminder_worker.https import Answer as Said
from reminder_worker.https import Site
from reminder_worker.job import State
from reminder_worker.ledger import Answer, Reminder
from reminder_worker.padding import UNIT, fill
from reminder_worker.root import Root
from reminder_worker.sealing import PublicKeys

CALL = 15.0  # seconds for one answer
BATCH = 250  # appointments of one call
ANSWER_LIMIT = 512 * 1024  # bytes
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds
_ROUTE = "/v1/reminders"
_WORDS = {answer.value for answer in Answer}


class HttpClient:
    """One booking platform at a gateway; safe to use from many threads.

    Nothing is sealed to the keys that the gateway publishes unless they are as the operator told you: signed by
    ``root``, or with ``pinned`` as the newest pointer key. ``patience``: seconds for which a call is repeated.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        platform: str,
        pinned: str | None = None,
        root: str | None = None,
        countries: Collection[str] = (),
        patience: float = 120,
    ) -> None:
        if pinned is None and root is None:
            raise SettingsError("root, pinned: pin one of them, or whoever runs the gateway could read what is sealed")
        try:
            self._site = Site(url, answer_limit=ANSWER_LIMIT)
        except ValueError as error:  # it says what is wrong, and does not quote the URL
            raise SettingsError(f"url: {error}") from None
        self._key = key
        self._platform = platform
        self._pinned = pinned
        self._root = None if root is None else Root(root)
        self._countries = countries
        self._patience = patience
        self._is_ours = False

    def add(self, appointments: Iterable[Appointment]) -> list[Answer | Refused]:
        """Add appointments, or move those that changed; answers in their order, refusals among them.

        Raises StoreUnavailable when patience has ended, SettingsError for a key that is not accepted.
        """
        self._check_platform()
        public = self.public_keys()
        items = [self._item(public, one) for one in appointments]
        good = [item for item in items if isinstance(item, dict)]
        batches = (self._add(good[start : start + BATCH]) for start in range(0, len(good), BATCH))
        answers = itertools.chain.from_iterable(batches)
        return [item if isinstance(item, Refused) else next(answers) for item in items]

    def cancel(self, reference: str) -> Answer:
        """Take an appointment back: ``cancelled`` means that no text follows. Raises Refused and as ``add``."""
        _, document = self._call("DELETE", _path(reference))
        with _as_a_gateway_writes():
            answer = _answer(document)
        if isinstance(answer, Refused):
            raise answer
        return answer

    def show(self, reference: str) -> list[Reminder]:
        """Return what became of each lead; empty if nothing is known. Raises Refused and as ``add``."""
        said, document = self._call("GET", _path(reference))
        if said.status == http.HTTPStatus.NOT_FOUND:
            return []
        with _as_a_gateway_writes():
            if said.status != http.HTTPStatus.OK:
                raise _refusal(document)
            return [_reminder(lead) for lead in document["reminders"]]

    def public_keys(self) -> PublicKeys:
        """Fetch the worker's public keys; refuse keys that are not as pinned. Raises as ``add``."""
        said, document = self._call("GET", "/v1/keys")
        if said.status != http.HTTPStatus.OK:
            raise SettingsError("url: there is no gateway there")
        public = PublicKeys.from_json(json.dumps(document))
        if self._root is not None:
            self._root.check(public)
        if self._pinned is not None and to_text(public.pointers[-1]) != self._pinned:
            raise SettingsError("pinned: the gateway publishes another pointer key; ask the worker's operator")
        return public

    def _check_platform(self) -> None:
        """Refuse another platform's key: what is sealed for one platform opens for no other. Raises as ``add``."""
        if not self._is_ours:
            _, document = self._call("GET", "/v1/key")
            if document.get("platform") != self._platform:
                raise SettingsError("platform: the key is another platform's; write the name that it was made for")
            self._is_ours = True

    def _item(self, public: PublicKeys, appointment: Appointment) -> dict[str, Any] | Refused:
        """Write an appointment as the gateway takes it; its number is sealed."""
        try:
            pointer = appointment.pointer or self._seal(public, appointment)
        except Refused as refusal:
            return refusal
        item = {
            "reference": appointment.reference,
            "time": _time(appointment.time),
            "location": appointment.location,
            "pointer": pointer,
        }
        return item if appointment.leads is None else item | {"leads": [str(lead) for lead in appointment.leads]}

    def _seal(self, public: PublicKeys, appointment: Appointment) -> str:
        uri, language = uri_of(appointment, self._countries)
        return sealing.pointer_to_text(sealing.seal_pointer(public, self._platform, uri, language))

    def _add(self, items: Sequence[dict[str, Any]]) -> list[Answer | Refused]:
        text = json.dumps({"reminders": items}, ensure_ascii=False)  # else a place's length would reveal its alphabet
        content = text.encode(errors="backslashreplace")  # JSON's way: the gateway refuses half characters
        said, document = self._call("POST", f"{_ROUTE}:batch", fill(content, UNIT * len(items)))
        with _as_a_gateway_writes():
            if said.status != http.HTTPStatus.OK:
                raise _refusal(document)
            return [_answer(result) for _, result in zip(items, document["results"], strict=True)]

    def _call(self, method: str, path: str, body: bytes | None = None) -> tuple[Said, dict[str, Any]]:
        again = Retrying(
            retry=retry_if_exception_type((NotSent, Ambiguous)),
            wait=_pause,
            stop=stop_after_delay(self._patience),
            reraise=True,
        )
        try:
            return again(self._ask, method, path, body)
        except (NotSent, Ambiguous):
            raise StoreUnavailable("the gateway does not answer, or is too busy.") from None

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[Said, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        said = self._site.call(method, path, headers=headers, body=body, deadline=time.monotonic() + CALL)
        if said.status == http.HTTPStatus.TOO_MANY_REQUESTS or said.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Throttled(_seconds(said.headers.get("Retry-After", "")))
        if said.status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
            raise SettingsError("key: the gateway does not accept it for this; ask the worker's operator")
        try:
            document = json.loads(said.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise SettingsError("url: there is no gateway there")
        return said, document


@contextmanager
def _as_a_gateway_writes() -> Iterator[None]:
    """Raise one SettingsError for a document of any unexpected shape."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise SettingsError("url: there is no gateway there") from None


def _pause(state: RetryCallState) -> float:
    """Wait as long as the gateway says, else twice as long each time, with jitter to spread clients."""
    error = state.outcome.exception() if state.outcome else None
    told = error.retry_after if isinstance(error, Throttled) else None
    pause = min(FIRST_PAUSE * 2**state.attempt_number, LONGEST_PAUSE) if told is None else min(told, LONGEST_PAUSE)
    return pause * random.uniform(1.0, 1.3)  # noqa: S311 - jitter


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None  # noqa: PLR2004


def _path(reference: str) -> str:
    return f"{_ROUTE}/{quote(reference, safe='')}"


def _time(moment: datetime) -> str:
    zone = f"[{moment.tzinfo.key}]" if isinstance(moment.tzinfo, ZoneInfo) else ""
    return moment.isoformat(timespec="seconds") + zone


def _answer(result: Mapping[str, Any]) -> Answer | Refused:
    word = result.get("result", result.get("title"))
    return Answer(word) if word in _WORDS else _refusal(result)


def _refusal(problem: Mapping[str, Any]) -> Refused:
    """Turn a problem document into the error that the same refusal raises here."""
    title, field = problem.get("title"), str(problem.get("field", "body"))
    reason = Reason(title) if title in {one.value for one in Reason} else Reason.MALFORMED
    return Refused(reason, field, str(problem.get("detail", "")).removeprefix(f"{field}: "))


def _reminder(lead: Mapping[str, Any]) -> Reminder:
    due, ended = (lead[name] and datetime.fromisoformat(lead[name]) for name in ("due", "ended"))
    return Reminder(
        lead=lead["lead"],
        state=State(lead["state"]),
        due=due,
        ended=ended,
        provider=None,
        attempts=lead["attempts"],
        reason=lead["reason"],
        failure_class=lead["failure_class"],
        reply=lead["reply"],
    )
