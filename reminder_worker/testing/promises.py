"""What a provider promises of its answers, its look-ups and its memory."""

import gc
import logging
import time
from collections.abc import Iterator
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
    SettingsError,
    Throttled,
)
from reminder_worker.providers import Provider, Role, Sent, Text
from reminder_worker.testing.case import Case
from reminder_worker.testing.peer import Peer, Request, Response

NUMBER = "+33612340015"
BODY = "Rappel : rendez-vous demain à 14 h 30, 27 rue des Archives. STOP pour ne plus en recevoir."
REFERENCE = "QUJDREVGR0hJSktMTU5PUAD-_2FiY2RlZmdoaWo"  # shaped like any other
CLASSES = {
    Reason.AMBIGUOUS: Ambiguous,
    Reason.MISCONFIGURED: Misconfigured,
    Reason.THROTTLED: Throttled,
    Reason.NOT_SENT: NotSent,
}


def text(**changes: Any) -> Text:
    """Return a text; nothing of it may be left behind anywhere."""
    whole = Text(to=NUMBER, body=BODY, segments=1, reference=REFERENCE, valid_for=timedelta(hours=2))
    return replace(whole, **changes)


def send(provider: Provider, one: Text | None = None, seconds: float = 5.0) -> Sent:
    """Send within so many seconds."""
    return provider.send(one or text(), deadline=time.monotonic() + seconds)


def failure(provider: Provider, one: Text | None = None, seconds: float = 5.0) -> ReminderError:
    """Send, and return what that raised, having looked for what must not be in it."""
    with pytest.raises(ReminderError) as caught:
        send(provider, one, seconds)
    error = caught.value
    assert type(error).__module__ == "reminder_worker.errors", "an error of somebody else's came through"
    assert error.__cause__ is None, "raise … from None"
    assert error.__context__ is None, "raise outside of the except block: the old error still hangs on"
    assert not leaks(f"{error!r} {error} {vars(error)}")
    return error


def leaks(shown: str) -> list[str]:
    """Return which parts of the text are shown."""
    secrets = (NUMBER, NUMBER[1:], NUMBER[3:], "Rappel", "Archives", "14 h 30")
    return [secret for secret in secrets if secret in shown]


def secrets(folder: Path) -> list[str]:
    """Return what stands in the files that hold a provider's secrets."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [content for path in files if len(content := path.read_text(errors="replace").strip()) > 3]


def strings(thing: Any, seen: set[int]) -> Iterator[str]:
    """Yield every text that is reachable from an object, code and modules aside."""
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

    def test_the_reference_travels(self, provider: Provider, peer: Peer) -> None:
        can = provider.capabilities
        if not (can.deduplicates or can.finds_by_reference or can.receipt_carries_reference):
            pytest.skip("this provider knows no reference of ours")
        send(provider)
        assert REFERENCE in peer.accepted[0].words

    def test_a_reference_that_was_used_is_a_text_that_was_accepted(self, provider: Provider, peer: Peer) -> None:
        if not provider.capabilities.deduplicates:
            pytest.skip("this provider does not deduplicate")
        first = send(provider)
        if self.duplicate is not None:
            peer.respond(self.duplicate)
        else:
            peer.respond(self.yes(peer.accepted[0], 1))
        assert send(provider).segments == first.segments
        bodies = {request.body for request in peer.requests}
        assert len(bodies) == 1, "the second request must be the same as the first"

    def test_a_look_up_finds_what_was_accepted(self, provider: Provider, peer: Peer) -> None:
        if not provider.capabilities.finds_by_reference:
            pytest.skip("this provider cannot be asked")
        looks: list[Request] = []

        def found(request: Request) -> Response:
            looks.append(request)
            return self.found(request, REFERENCE)

        send(provider)
        peer.look = found
        assert provider.find(REFERENCE) == Sent(self.message_id(1), 1)
        assert REFERENCE in " ".join(request.words for request in looks)
        peer.look = self.absent
        assert provider.find(REFERENCE) is None
        peer.look = lambda _: Response.of({}, 500)
        with pytest.raises(ReminderError):  # no answer is not "not there"
            provider.find(REFERENCE)

    def test_number_and_text_can_be_removed(self, provider: Provider, peer: Peer) -> None:
        if not provider.capabilities.forgets:
            pytest.skip("this provider removes nothing on demand")
        name = send(provider).provider_message_id
        before = len(peer.requests)
        provider.forget(name)
        assert name in " ".join(request.words for request in peer.requests[before:])
        peer.look = lambda _: Response.of({}, 404)
        provider.forget(name)  # what is gone is forgotten
        peer.look = lambda _: Response.of({}, 500)
        with pytest.raises(ReminderError):
            provider.forget(name)

    def test_nothing_is_logged_of_a_text(
        self, provider: Provider, peer: Peer, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        caplog.set_level(logging.DEBUG)
        send(provider)
        for response, _ in self.refusals.values():
            peer.respond(response)
            failure(provider)
        shown = " ".join([caplog.text, *(str(vars(record)) for record in caplog.records)])
        assert not leaks(shown)
        assert not [secret for secret in secrets(tmp_path) if secret in shown]

    def test_nothing_is_kept_of_a_text(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        for response, _ in list(self.refusals.values())[:1]:
            peer.respond(response)
            failure(provider)
        for heard in (peer.requests, peer.accepted):
            heard.clear()
        assert not leaks(" ".join(strings(provider, set())))

    def test_a_secret_is_in_no_repr(self, provider: Provider, tmp_path: Path) -> None:
        held = vars(provider).values() if hasattr(provider, "__dict__") else ()
        shown = f"{provider!r} {' '.join(repr(part) for part in held if not isinstance(part, str))}"
        assert not [secret for secret in secrets(tmp_path) if secret in shown]

    def test_a_missing_secret_is_named(self, tmp_path: Path) -> None:
        table = self.table("http://127.0.0.1:1", tmp_path)
        files = [name for name, value in table.items() if name.endswith("_file") and Path(str(value)).is_file()]
        if not files:
            pytest.skip("this provider has no secret")
        for name in files:
            (tmp_path / "other").write_text("two words")
            with pytest.raises(SettingsError, match=rf"providers\.acme\.{name}: ") as caught:
                self._load_all(tmp_path, **{name: str(tmp_path / "other")})
            assert caught.value.__context__ is None

    def _needs_refusals(self) -> None:
        if not self.refuses:
            pytest.skip("this provider refuses nothing")

    def _load_all(self, folder: Path, **changes: str) -> None:
        for role in Role:
            for _ in self.build("http://127.0.0.1:1", folder, role, **changes):
                pass
