"""What a provider promises about its answers, its look-ups and its memory."""

import contextlib
import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from reminder_worker.answers import RETRY_AFTER_LIMIT
from reminder_worker.errors import (
    Ambiguous,
    Misconfigured,
    NotSent,
    Reason,
    Rejected,
    ReminderError,
    Throttled,
)
from reminder_worker.providers import Provider, Sent, Text
from reminder_worker.testing.case import Case
from reminder_worker.testing.peer import Peer

NUMBER = "+33612340015"
BODY = "Rappel : rendez-vous demain à 14 h 30, 27 rue des Archives. STOP pour ne plus en recevoir."
REFERENCE = "QUJDREVGR0hJSktMTU5PUAD-_2FiY2RlZmdoaWo"  # shaped like any other
THREADS, TURNS = 8, 5
CLASSES = {
    Reason.AMBIGUOUS: Ambiguous,
    Reason.MISCONFIGURED: Misconfigured,
    Reason.THROTTLED: Throttled,
    Reason.NOT_SENT: NotSent,
}


def text(**changes: Any) -> Text:
    """Return a text; no part of it may be left behind anywhere."""
    whole = Text(to=NUMBER, body=BODY, segments=1, reference=REFERENCE, valid_for=timedelta(hours=2))
    return replace(whole, **changes)


def send(provider: Provider, one: Text | None = None, seconds: float = 5.0) -> Sent:
    """Send within so many seconds."""
    return provider.send(one or text(), deadline=time.monotonic() + seconds)


def failure(provider: Provider, one: Text | None = None, seconds: float = 5.0) -> ReminderError:
    """Send, and return the error, after checking that it holds nothing it must not."""
    with pytest.raises(ReminderError) as caught:
        send(provider, one, seconds)
    error = caught.value
    assert type(error).__module__ == "reminder_worker.errors", "an error that is not ours came through"
    assert error.__cause__ is None, "raise … from None"
    assert error.__context__ is None, "raise outside of the except block: the old error is still attached"
    assert not leaks(f"{error!r} {error} {vars(error)}")
    return error


def leaks(shown: str) -> list[str]:
    """Return the parts of the text that are shown."""
    secrets = (NUMBER, NUMBER[1:], NUMBER[3:], "Rappel", "Archives", "14 h 30")
    return [secret for secret in secrets if secret in shown]


def secrets(folder: Path) -> list[str]:
    """Return the contents of the files that hold a provider's secrets."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [content for path in files if len(content := path.read_text(errors="replace").strip()) > 3]


def strings(thing: Any, seen: set[int]) -> Iterator[str]:
    """Yield every string that is reachable from an object, leaving out code and modules."""
    if id(thing) in seen or isinstance(thing, type) or type(thing).__name__ in {"module", "function", "method"}:
        return
    seen.add(id(thing))
    if isinstance(thing, str | bytes | bytearray):
        yield thing if isinstance(thing, str) else thing.decode(errors="replace")
    for next_one in gc.get_referents(thing):
        yield from strings(next_one, seen)


class Promises(Case):
    """Promises about answers, look-ups and memory."""

    def test_a_text_is_accepted(self, provider: Provider, peer: Peer) -> None:
        assert send(provider) == Sent(self.message_id(1), 1)
        assert len(peer.requests) == len(peer.accepted) == 1
        said = peer.accepted[0].words
        assert NUMBER[1:] in said
        assert BODY in said

    def test_two_texts_have_two_names(self, provider: Provider) -> None:
        names = [send(provider, text(reference=REFERENCE[:-1] + end)).provider_message_id for end in "xy"]
        assert names == [self.message_id(1), self.message_id(2)]

    def test_every_refusal_has_its_meaning(self, provider: Provider, peer: Peer) -> None:
        self._needs_refusals()
        for name, (response, reason) in self.refusals.items():
            before = len(peer.requests)
            peer.respond(response)
            error = failure(provider)
            assert (type(error), error.reason) == (CLASSES.get(reason, Rejected), reason), name
            assert len(peer.requests) == before + 1, f"{name}: one try"

    def test_the_refusals_cover_every_kind(self) -> None:
        self._needs_refusals()
        said = {reason for _, reason in self.refusals.values()}
        assert Reason.MISCONFIGURED in said, "how does it refuse wrong credentials?"
        assert said - CLASSES.keys(), "how does it refuse a number?"

    def test_a_refusal_that_nobody_knows_is_ambiguous(self, provider: Provider, peer: Peer) -> None:
        self._needs_refusals()
        peer.respond(self.unknown_refusal)
        assert type(failure(provider)) is Ambiguous

    @pytest.mark.parametrize(
        ("header", "low", "high"),
        [
            (None, None, None),
            ("30", 30, 30),
            ("0", 1, 1),
            ("1000000000", RETRY_AFTER_LIMIT, RETRY_AFTER_LIMIT),
            ("soon", None, None),
            (format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True), 1, 600),
            (format_datetime(datetime(2099, 1, 1, tzinfo=UTC), usegmt=True), RETRY_AFTER_LIMIT, RETRY_AFTER_LIMIT),
        ],
        ids=["none", "seconds", "zero", "1e9", "garbage", "date", "far date"],
    )
    def test_a_busy_provider_says_when_to_come_back(
        self, provider: Provider, peer: Peer, header: str | None, low: float | None, high: float | None
    ) -> None:
        if not self.speaks_http:
            pytest.skip("Retry-After is a header of HTTP")
        headers = {**self.busy.headers, **({} if header is None else {"Retry-After": header})}
        peer.respond(replace(self.busy, headers=headers))
        error = failure(provider)
        assert isinstance(error, Throttled)
        if low is None or high is None:
            assert error.retry_after is None
        else:
            assert error.retry_after is not None
            assert low <= error.retry_after <= high

    def test_a_text_is_not_delivered_when_it_is_of_no_use(self, provider: Provider, peer: Peer) -> None:
        if not provider.capabilities.validity:
            pytest.skip("this provider cannot be told")
        send(provider, text(valid_for=timedelta(hours=3)))
        send(provider, text(valid_for=timedelta(hours=1), reference=REFERENCE[:-1] + "x"))
        longer, shorter = (self.validity(request) for request in peer.accepted)
        assert longer is not None
        assert shorter is not None
        assert shorter <= timedelta(hours=1)
        assert shorter < longer <= timedelta(hours=3)

    def test_a_text_of_use_for_seconds_only_is_not_delivered_later(self, provider: Provider, peer: Peer) -> None:
        if not provider.capabilities.validity:
            pytest.skip("this provider cannot be told")
        short = timedelta(seconds=20)
        with contextlib.suppress(NotSent):  # if its unit is the minute, for example
            send(provider, text(valid_for=short))
        for request in peer.accepted:
            said = self.validity(request)
            assert said is not None
            assert timedelta() < said <= short

    def test_the_reference_travels(self, provider: Provider, peer: Peer) -> None:
        can = provider.capabilities
        if not (can.deduplicates or can.finds_by_reference or can.receipt_carries_reference):
            pytest.skip("this provider knows no reference of ours")
        send(provider)
        assert REFERENCE in peer.accepted[0].words

    def test_each_of_many_threads_sends_its_own_text(self, provider: Provider, peer: Peer) -> None:
        def one(number: int) -> None:
            for turn in range(TURNS):
                own = f"{number:02}-{turn:02}"
                send(provider, text(to=f"+336123400{number:02}", body=f"pour {own}", reference=own + "x" * 34), 20)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(one, range(THREADS)))
        said = [request.words for request in peer.accepted]
        for number in range(THREADS):
            mine = [words for words in said if f"336123400{number:02}" in words]
            assert sorted(
                turn for turn in range(TURNS) for words in mine if f"pour {number:02}-{turn:02}" in words
            ) == [*range(TURNS)]

    def _needs_refusals(self) -> None:
        if not self.refuses:
            pytest.skip("this provider refuses nothing")
