"""What a provider promises about second questions: the same text again, what became of it, its removal."""

import contextlib
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from reminder_worker.errors import ReminderError, SettingsError
from reminder_worker.providers import Provider, Role, Sent
from reminder_worker.testing.case import Case
from reminder_worker.testing.faults import LATE, SPAN, UNREADABLE
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import REFERENCE, send, text


def _always(answer: Response, _: Request) -> Response:
    return answer


class LookUps(Case):
    """Promises about references, look-ups and removal."""

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

    def test_a_look_up_that_cannot_be_read_is_no_answer(self, provider: Provider, peer: Peer) -> None:
        self._needs_find(provider)
        for status in (200, 302, 400):
            for body in UNREADABLE.values():
                answer = Response(status, body, {"Location": "/elsewhere"})
                peer.look = partial(_always, answer)
                before = len(peer.requests)
                with pytest.raises(ReminderError):
                    provider.find(REFERENCE)
                assert len(peer.requests) == before + 1, "one try, and no redirect"

    def test_a_look_up_ends_in_time(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, timeout=SPAN):
            self._needs_find(provider)
            peer.hang_before_accepting()
            began = time.monotonic()
            with pytest.raises(ReminderError):
                provider.find(REFERENCE)
            assert time.monotonic() - began < SPAN + LATE

    def test_a_search_that_cannot_be_read_finds_nothing(self, provider: Provider, peer: Peer) -> None:
        self._needs_search(provider)
        for status in (200, 302, 400, 500):
            for body in UNREADABLE.values():
                peer.look = partial(_always, Response(status, body, {"Location": "/elsewhere"}))
                before = len(peer.requests)
                with contextlib.suppress(ReminderError):
                    assert provider.search(text(), datetime.now(UTC)) is None, "what is found counts as accepted"
                assert len(peer.requests) == before + 1, "one try, and no redirect"

    def test_a_search_ends_in_time(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, timeout=SPAN):
            self._needs_search(provider)
            peer.hang_before_accepting()
            began = time.monotonic()
            with contextlib.suppress(ReminderError):
                assert provider.search(text(), datetime.now(UTC)) is None
            assert time.monotonic() - began < SPAN + LATE

    def test_without_hooks_no_receipt_is_asked_for(self, peer: Peer, tmp_path: Path) -> None:
        try:
            for provider in self.build(peer.url, tmp_path, Role.SEND, callback_url=None):
                can = provider.capabilities
                send(provider)
                assert "/v1/receipts/" not in peer.accepted[0].words
                if can.deduplicates or can.finds_by_reference:
                    assert REFERENCE in peer.accepted[0].words, "the reference is what it is known by"
        except SettingsError as error:
            assert "callback_url" in str(error) or "receipt_url" in str(error)  # noqa: PT017 - it may insist on receipts

    def _needs_find(self, provider: Provider) -> None:
        if not self.speaks_http or not provider.capabilities.finds_by_reference:
            pytest.skip("this provider cannot be asked")

    def _needs_search(self, provider: Provider) -> None:
        if not self.speaks_http or not provider.capabilities.searches:
            pytest.skip("this provider cannot be searched")
