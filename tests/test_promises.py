"""The guarantees of the whole protocol: honest workers that die anywhere, and a provider that remembers.

G1: every reminder ends in one visible final state. G2: at most one text of it is accepted. G3: none after it expired,
nor after a cancel that was confirmed.
"""

import os
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from clock import Clock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from reminder_worker import store
from reminder_worker.errors import Reason
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Answer, Claim, Entry, Intent, OpenAttempt, Outcome, Wake
from reminder_worker.schedule import Schedule

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
LIMITS = settings(
    max_examples=EXAMPLES or 50,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
IDS = [bytes([first]) * 16 for first in range(3)]
USEFUL = timedelta(hours=2)  # how long after it falls due a text is of use
PROOF = timedelta(minutes=10)  # after that, what the provider does not find was never accepted
ENDED = {State.SENT, State.FAILED, State.EXPIRED, State.CANCELLED}


class Practice(RuleBasedStateMachine):
    """A platform, schedulers, workers and a provider; each step of each may be the last that it does."""

    client: store.Client

    wakes: Bundle[Wake] = Bundle("wakes")
    claims: Bundle[Claim] = Bundle("claims")
    calls: Bundle[tuple[Claim, str]] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.clock = Clock(self.client)
        self.schedule = Schedule(self.client)
        self.accepted: dict[str, tuple[bytes, int]] = {}  # what the provider knows: reference, reminder and version
        self.last: dict[bytes, datetime] = {}  # when the reminders of an appointment expire
        self.cancelled: set[tuple[bytes, int]] = set()
        self.contents = self.attempts = 0

    @rule(id_=st.sampled_from(IDS), leads=st.integers(1, 2))
    def add(self, id_: bytes, leads: int) -> None:
        self.contents += 1
        dues = tuple(self.clock.now + timedelta(minutes=10 * (lead + 1)) for lead in range(leads))
        entry = Entry(id_, self.contents.to_bytes(12, "big"), b"envelope", dues)
        if self.schedule.add([entry]) != [Answer.IN_FLIGHT]:
            self.last[id_] = dues[-1] + USEFUL

    @rule(id_=st.sampled_from(IDS))
    def cancel(self, id_: bytes) -> None:
        if self.schedule.cancel(id_) is Answer.CANCELLED:
            self.cancelled.add((id_, self.version(id_)))

    def version(self, id_: bytes) -> int:
        return int.from_bytes(self.client.getrange(b"rw:{0}:a:" + id_, 0, 1), "big")

    @rule(target=wakes, lost=st.booleans())
    def take(self, *, lost: bool) -> Any:
        taken = self.schedule.take(0, capacity=5)
        return multiple() if lost else multiple(*taken.wakes)

    @rule(target=wakes, lost=st.booleans())
    def sweep(self, *, lost: bool) -> Any:
        wakes = self.schedule.sweep(0)
        return multiple() if lost else multiple(*wakes)

    @rule(target=claims, wake=wakes)
    def claim_or_look(self, wake: Wake) -> Any:
        found = self.schedule.claim(wake)
        if isinstance(found, OpenAttempt):
            self.look(found)
        return found if isinstance(found, Claim) else multiple()

    def look(self, attempt: OpenAttempt) -> None:
        if attempt.reference in self.accepted:
            outcome = Outcome.sent("SM1")
        elif attempt.now - attempt.asked >= PROOF:
            outcome = Outcome.retry(Reason.AMBIGUOUS, timedelta())
        else:
            return
        self.schedule.settle(attempt.wake, outcome, reference=attempt.reference)

    @rule(target=calls, claim=claims, accepts=st.booleans())
    def ask_the_provider(self, claim: Claim, *, accepts: bool) -> Any:
        self.attempts += 1
        wake, ref, last = claim.wake, f"ref-{self.attempts}", self.last[claim.wake.id]
        if self.clock.now >= last:
            late = Outcome.final(State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)
            self.schedule.settle(wake, late, token=claim.token)
            return multiple()
        if self.schedule.intend(claim, "fake", ref, lease=timedelta(seconds=15)) is not Intent.OK:
            return multiple()
        assert self.clock.now < last
        assert (wake.id, wake.version) not in self.cancelled
        if accepts:
            self.accepted[ref] = wake.member, wake.version
        return claim, ref

    @rule(call=calls)
    def hear_the_answer(self, call: tuple[Claim, str]) -> None:
        claim, ref = call
        outcome = Outcome.sent("SM1") if ref in self.accepted else Outcome.closed(Reason.NOT_SENT)
        self.schedule.settle(claim.wake, outcome, token=claim.token, reference=ref)

    @rule(claim=claims)
    def give_up_for_now(self, claim: Claim) -> None:
        outcome = Outcome.retry(Reason.NOT_SENT, timedelta(seconds=30))
        self.schedule.settle(claim.wake, outcome, token=claim.token)

    @rule(seconds=st.sampled_from([1, 15, 60, 600, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.clock.forward(seconds=seconds)

    @invariant()
    def nobody_is_texted_twice(self) -> None:
        assert max(Counter(self.accepted.values()).values(), default=0) <= 1

    def teardown(self) -> None:
        """Let one good scheduler and one good worker finish: everything ends, and the ledger knows the truth."""
        for _ in range(40):
            self.clock.forward(minutes=30)
            for wake in [*self.schedule.sweep(0), *self.schedule.take(0, capacity=5).wakes]:
                claim = self.claim_or_look(wake)
                if isinstance(claim, Claim):
                    call = self.ask_the_provider(claim, accepts=True)
                    if isinstance(call, tuple):
                        self.hear_the_answer(call)
        self.nobody_is_texted_twice()
        for id_ in self.last:
            for reminder in self.schedule.show(id_):
                assert reminder.state in ENDED
                texted = (id_ + bytes([reminder.lead]), self.version(id_)) in self.accepted.values()
                assert (reminder.state is State.SENT) == texted


def test_everything_ends_nobody_is_texted_twice_and_nothing_goes_too_late(client: store.Client, clock: Clock) -> None:
    run_state_machine_as_test(type("Machine", (Practice,), {"client": client}), settings=LIMITS)
