"""What a test key's reminders are played through: a provider that reaches nobody, behind gates that stand open.

Everything else is as for real: sealed, scheduled, opened, drafted, settled and reported. Nobody can mistake one for
the other: jobs for a rehearsal are signed with a key of their own.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from queue import SimpleQueue

from reminder_worker import magic
from reminder_worker.errors import Reason, Rejected, StoreUnavailable, Throttled
from reminder_worker.gate import Admission, Gate, Recipient
from reminder_worker.job import State
from reminder_worker.ledger import Claim, OpenAttempt
from reminder_worker.providers import REHEARSAL, Capabilities, Provider, Receipt, Reply, Sent, Text

RECEIPT_AFTER = 0.5  # seconds


class Rehearsal(Provider):
    """Accepts, refuses and reports by the number alone; keeps nothing."""

    name = REHEARSAL
    capabilities = Capabilities(
        finds_by_reference=True,  # it never knows an attempt, so one in doubt is played again
        receipt_carries_reference=True,
        reaches_phones=False,
        settles_within=timedelta(),
    )

    def __init__(self) -> None:
        self._later: SimpleQueue[tuple[float, Receipt]] = SimpleQueue()
        self._heard = False

    def listen(self, hear: Callable[[Receipt | Reply], object]) -> None:
        """Report to ``hear``."""
        self._heard = True
        threading.Thread(target=self._report, args=(hear,), name="rehearsal", daemon=True).start()

    def _report(self, hear: Callable[[Receipt | Reply], object]) -> None:
        """Report a little later; a receipt may be lost with the process, as happens for real."""
        while True:
            at, receipt = self._later.get()
            time.sleep(max(0.0, at - time.monotonic()))
            with suppress(StoreUnavailable):
                hear(receipt)

    def send(self, text: Text, *, deadline: float) -> Sent:  # noqa: ARG002 - it answers at once
        """Play the part that the number asks for."""
        if text.to == magic.REJECTED:
            raise Rejected(Reason.NUMBER_REFUSED)
        if text.to == magic.THROTTLED:
            raise Throttled(retry_after=1.0)
        receipt = Receipt(text.reference, State.DELIVERED)
        if text.to == magic.UNDELIVERED:
            receipt = Receipt(text.reference, State.UNDELIVERED, reason=Reason.UNREACHABLE)
        if self._heard:
            self._later.put((time.monotonic() + RECEIPT_AFTER, receipt))
        return Sent(text.reference, text.segments)

    def find(self, reference: str) -> Sent | None:  # noqa: ARG002 - as above
        """Find nothing."""
        return None


class OpenGate(Gate):
    """Lets everything through and counts nothing: a rehearsal must not use up real limits."""

    def __init__(self) -> None:
        """Stand open."""

    def recipient(self, claim: Claim | OpenAttempt, platform: str, phone: str) -> Recipient:  # noqa: ARG002
        """Name nobody."""
        return Recipient(None, b"", b"", b"", b"")

    def admit(
        self,
        provider: Provider,
        whom: Recipient,  # noqa: ARG002
        segments: int,  # noqa: ARG002
        *,
        wants_turn: bool = False,  # noqa: ARG002
    ) -> Admission:
        """Let it through."""
        return Admission(provider.name, None)

    def join_crowd(self, provider: str, claim: Claim, due: datetime) -> None:
        """Let nobody wait."""

    def call_crowd(self, provider: str) -> None:
        """Call nobody."""

    def report(self, admission: Admission, error: BaseException | None) -> None:
        """Learn nothing."""

    def release(self, admission: Admission) -> None:
        """Give nothing back."""
