"""What becomes of a reminder when the provider reports: through the real hooks process, into a real ledger."""

import http.client
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette

from reminder_worker import keys, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Reason
from reminder_worker.hooks import Hooks
from reminder_worker.inbox import Inbox
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Claim, Entry, Outcome
from reminder_worker.providers import Provider, Role
from reminder_worker.receipts import Receipts, new_reference
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.serving import server
from reminder_worker.testing.case import Case
from reminder_worker.testing.promises import NUMBER, leaks
from reminder_worker.testing.reports import HOOKS, REPLIES, SAID
from reminder_worker.webhooks import WebhookRequest

ORDERS = 5  # in which receipts are shuffled
ID = bytes(range(16))


@dataclass
class Office:
    """A ledger with attempts at the provider, and the process that hears their receipts."""

    schedule: Schedule
    provider: Provider
    port: int

    def attempt(self, number: int = 0) -> tuple[Claim, str]:
        """Begin an attempt, as a worker does, and leave it open."""
        due = datetime.now(UTC) - timedelta(seconds=1)
        self.schedule.add([Entry(bytes([number]) + ID[1:], bytes([number]) * 12, b"sealed", (due,))])
        (wake,) = self.schedule.take(0, capacity=10_000).wakes
        claim = self.schedule.claim(wake)
        assert isinstance(claim, Claim)
        reference = new_reference(claim.wake)
        self.schedule.intend(claim, self.provider.name, reference, lease=timedelta(minutes=5))
        return claim, reference

    def accepted(self, claim: Claim, reference: str, message_id: str) -> None:
        """Record what the provider answered."""
        receipts, by_id = Receipts(self.schedule), self.provider.capabilities.receipts_by_id
        early = receipts.expect(self.provider, message_id, reference) if by_id else ()
        self.schedule.settle(claim.wake, Outcome.sent(message_id), reference=reference)
        for receipt in early:  # only now is there an outcome for them to add to
            receipts.take(self.provider, receipt)

    def url(self, reference: str) -> str:
        """Return the URL at which the provider reports an attempt."""
        base = f"{HOOKS}/v1/receipts/{self.provider.name}"
        return f"{base}/{reference}" if self.provider.capabilities.receipt_carries_reference else base

    def state(self, claim: Claim) -> State:
        """Return the state that the platform sees."""
        return self.schedule.show(claim.wake.id)[0].state

    def call(self, request: WebhookRequest) -> int:
        """Make a provider's call to the process itself; return the status."""
        parts = urlsplit(request.url)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(request.method, path, request.body, dict(request.headers))
            return connection.getresponse().status
        finally:
            connection.close()

    def stored(self) -> str:
        """Return everything stored in Redis, as text."""
        return " ".join(repr((key, self.schedule.client.dump(key))) for key in self.schedule.client.scan_iter())


@contextmanager
def serving(app: Starlette) -> Iterator[int]:
    """Serve in a thread, as the processes do; yield the port."""
    running = server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            thread.join(0.01)
            assert thread.is_alive()
        yield running.servers[0].sockets[0].getsockname()[1]
    finally:
        running.should_exit = True
        thread.join()


class Outcomes(Case):
    """Promises about what becomes of a reminder."""

    @pytest.fixture(scope="class")
    @classmethod
    def valkey(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
        """Run a store for all of these tests."""
        with EmbeddedServer(tmp_path_factory.mktemp("store")) as server:
            yield server

    @pytest.fixture
    def office(self, valkey: EmbeddedServer, tmp_path: Path) -> Iterator[Office]:
        """Return an empty ledger and a hooks process that knows this provider."""
        client = store.connect(valkey.url())
        client.flushall()
        schedule = Schedule(client)
        keys.new_worker(tmp_path / "keys", datetime.now(UTC))
        inbox = Inbox(schedule, lambda: PublicKeys.load(tmp_path / "keys" / "worker.pub.json"))
        (tmp_path / "secrets").mkdir()
        for provider in self.build("http://127.0.0.1:1", tmp_path / "secrets", Role.HEAR):
            hooks = Hooks(schedule, inbox, {provider.name: provider}, {provider.name: HOOKS})
            with serving(hooks.app()) as port:
                yield Office(schedule, provider, port)
        client.close()

    def test_receipts_in_any_order_and_number_come_to_the_same(self, office: Office) -> None:
        finals = self._final_words()
        before = [word for word, (state, _) in self.receipts.items() if state in {State.SENT, None}]
        for number in range(ORDERS):
            word = finals[number % len(finals)]
            claim, reference = office.attempt(number)
            message_id = self._name(reference, number + 1)
            office.accepted(claim, reference, message_id)
            calls = [self.receipt(office.url(reference), message_id, said) for said in [*before, word] * 3]
            random.Random(number).shuffle(calls)
            assert {office.call(call) for call in calls} == {200}
            assert office.state(claim) is self.receipts[word][0]

    def test_the_first_final_receipt_stays(self, office: Office) -> None:
        by_state = {self.receipts[word][0]: word for word in self._final_words()}
        if len(by_state) < 2:
            pytest.skip("this provider reports one end only")
        for number, (state, word) in enumerate(by_state.items()):
            claim, reference = office.attempt(number)
            message_id = self._name(reference, number + 1)
            office.accepted(claim, reference, message_id)
            for said in (word, *by_state.values()):
                office.call(self.receipt(office.url(reference), message_id, said))
            assert office.state(claim) is state

    def test_a_receipt_may_come_before_our_own_call_returns(self, office: Office) -> None:
        word = self._final_words()[0]
        claim, reference = office.attempt()
        office.call(self.receipt(office.url(reference), self._name(reference), word))
        office.accepted(claim, reference, self._name(reference))
        assert office.state(claim) is self.receipts[word][0]

    def test_a_late_receipt_tells_what_was_unknown(self, office: Office) -> None:
        if office.provider.capabilities.receipts_by_id:
            pytest.skip("an attempt whose answer was lost has no id that a receipt could name")
        word = self._final_words()[0]
        claim, reference = office.attempt()
        doubt = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
        office.schedule.settle(claim.wake, doubt, reference=reference)
        assert office.state(claim) is State.UNKNOWN
        office.call(self.receipt(office.url(reference), self._name(reference), word))
        assert office.state(claim) is self.receipts[word][0]

    def test_a_receipt_for_another_attempt_changes_nothing(self, office: Office) -> None:
        word = self._final_words()[0]
        claim, reference = office.attempt()
        office.accepted(claim, reference, self._name(reference))
        other = new_reference(claim.wake)  # the same reminder, with a secret that was never given out
        assert office.call(self.receipt(office.url(other), self._name(other, 2), word)) == 200
        if self.signs and office.provider.capabilities.receipt_carries_reference:
            stolen = self.receipt(office.url(other), self._name(other, 2), word)
            moved = WebhookRequest(stolen.method, office.url(reference), stolen.headers, stolen.body)
            assert office.call(moved) in {200, 400, 403}
        assert office.state(claim) is State.SENT

    def test_a_reply_leaves_a_sealed_note_and_no_word_of_it(self, office: Office) -> None:
        if not self.hears_replies:
            pytest.skip("this provider brings no replies")
        for said in SAID:
            assert office.call(self.reply(REPLIES, NUMBER, said)) == 200
        assert office.schedule.client.llen(office.schedule.prefix(0) + b"notes") >= 3
        assert not leaks(office.stored())
        assert "cardio" not in office.stored()

    def _name(self, reference: str, number: int = 1) -> str:
        """Return the provider's id for a text."""
        return reference if self.names_by_reference else self.message_id(number)

    def _final_words(self) -> list[str]:
        words = [word for word, (state, _) in self.receipts.items() if state in {State.DELIVERED, State.UNDELIVERED}]
        if not words:
            pytest.skip("this provider sends no receipts")
        return words
