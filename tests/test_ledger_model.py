"""The scripts against a plain model: whatever is called, in whatever order, once or twice, both agree."""

import hashlib
import os
import struct
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from clock import START, Clock, script
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from model import Model, Row
from redis.exceptions import NoScriptError

from reminder_worker import clocks, store
from reminder_worker.acts import Who
from reminder_worker.clocks import milliseconds
from reminder_worker.decisions import Answer as Answered
from reminder_worker.decisions import Decision, Waiting, decide, waiting
from reminder_worker.errors import Reason
from reminder_worker.eventqueue import GIVEN_UP, LEASE, TOLD, Event, EventQueue
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import CLAIM_LEASE, Answer, Claim, Entry, Intent, OpenAttempt, Outcome, Wake, name_of
from reminder_worker.lines import Command, Lines
from reminder_worker.schedule import KEEP_DEAD, MOST_CLAIMS, WAKE_LEASE, Schedule

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))  # how many to try at random; 0: the same few each time
LIMITS = settings(
    max_examples=EXAMPLES or 80,
    stateful_step_count=50,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

IDS = [bytes([first]) * 16 for first in (0, 1, 2)]
RETENTION = timedelta(days=3650)  # Redis forgets by its own clock, which stands still beside ours
INTENT_LEASE = timedelta(seconds=15)
FINAL = {"sent", "delivered", "undelivered", "failed", "expired", "cancelled", "suppressed", "unknown", "rejected"}
ACCEPTED = {State.SENT, State.DELIVERED, State.UNDELIVERED}
SET_OF = {
    "scheduled": "due",
    "queued": "live",
    "claimed": "live",
    "sending": "open",
    "dead": "dead",
    "unknown": "unknown",
}

PROVIDERS = st.sampled_from(["outbox", "twilio"])
OUTCOMES = st.sampled_from(
    [
        Outcome.sent("SM1"),
        Outcome.sent("SM1", forget=True),
        Outcome.closed(Reason.NOT_SENT),
        Outcome.retry(Reason.THROTTLED, timedelta(seconds=10)),
        Outcome.hold(Reason.NOT_CONFIRMED, timedelta(seconds=5)),
        Outcome.hold(Reason.RATE_LIMITED, timedelta(seconds=5)),
        Outcome.final(State.FAILED, Reason.LANDLINE, FailureClass.PERMANENT),
        Outcome.final(State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY),
        Outcome.final(State.REJECTED, Reason.DAMAGED, FailureClass.PERMANENT),
        Outcome.final(State.CANCELLED, Reason.CONTACT_GONE, FailureClass.PERMANENT),
        Outcome.final(State.SUPPRESSED, Reason.OPTED_OUT, FailureClass.PERMANENT),
        Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL),
        Outcome.final(State.UNKNOWN, Reason.RESTORED, FailureClass.TECHNICAL),
    ]
)


def any_is_ahead(dues: list[int | None]) -> bool:
    """Tell whether there is anything to hand in."""
    return any(due is not None for due in dues)


SPANS = st.sampled_from([0.001, 1, 10, 20, 60, 900, 3600, 8 * 86_400])
IN_A_WHILE = st.sampled_from([-60, 0, 0, 20, 3600])  # seconds from now
DUES = st.lists(IN_A_WHILE | st.none(), min_size=1, max_size=2).filter(
    any_is_ahead
)  # of each lead; None: it has passed
FEW = st.sampled_from([9, 9, 9, 1, 0])
TWICE = st.booleans()
TICKETS = st.sampled_from([b"ticket", b"ticket", b""])  # platforms that want to be told, and others


class Repeating:
    """Says a script call twice when told to, as redis-py does when the first reply is lost."""

    def __init__(self, client: store.Client) -> None:
        self._lines = Lines(client)
        self.twice = False
        self.lost: Any = None  # the reply that nobody saw
        self.calls: list[tuple[Any, ...]] = []  # as EVALSHA has them

    def ask(self, key: bytes, *commands: Command) -> list[Any]:
        replies = self._lines.ask(key, *commands)
        ((name, script, *words),) = commands
        if not isinstance(replies[0], NoScriptError):  # else it is said again, with its text
            digest = script if name == "EVALSHA" else hashlib.sha1(script.encode()).hexdigest()
            self.calls.append((digest, *words))
            if self.twice:
                self.lost, replies = replies[0], self._lines.ask(key, *commands)
        return replies


class Stored:
    """Everything that stands in one shard, read without the code under test."""

    def __init__(self, client: store.Client, prefix: bytes) -> None:
        self.rows: dict[bytes, dict[str, str]] = {}
        self.heads: dict[bytes, tuple[int, int, int, bytes]] = {}
        self.tickets: dict[bytes, bytes] = {}
        self.envelopes: dict[bytes, bytes] = {}
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.sets: dict[str, dict[bytes, int]] = {
            name: {} for name in ("due", "turns", "live", "open", "dead", "unknown")
        }
        self.forget: dict[str, int] = {}
        self.held: dict[bytes, int] = {}
        self.events: dict[bytes, int] = {}
        self.lives_on: set[bytes] = set()  # rows and heads without an end of their own
        found = client.scan_iter(prefix + b"*", count=1000)
        keys = [key for key in found if not key.endswith((b".dropped", b":acts", b":restored", b":seen", b":shards"))]
        self.acts: list[bytes] = client.lrange(prefix + b"acts", 0, -1)
        with client.pipeline(transaction=False) as pipe:
            for key in keys:
                name = key.removeprefix(prefix)
                if name.startswith(b"a:"):
                    pipe.get(key)
                elif name[1:2] == b":":
                    pipe.hgetall(key)
                else:
                    pipe.zrange(key, 0, -1, withscores=True)
                pipe.pttl(key)
            replies = pipe.execute()
        for key, value, ttl in zip(keys, replies[::2], replies[1::2], strict=True):
            self._read(key.removeprefix(prefix), value, ttl)

    def _read(self, name: bytes, value: Any, ttl: int) -> None:
        kind, _, rest = name.partition(b":")
        if kind == b"a":
            *head, length = struct.unpack(">HBB12sH", value[:18])
            self.heads[rest], self.tickets[rest] = tuple(head), value[18 : 18 + length]
            self.envelopes[rest] = value[18 + length :]
        elif kind == b"r":
            self.rows[rest] = {field.decode(): text.decode("latin-1") for field, text in value.items()}
        elif kind == b"n":
            for field, count in value.items():
                state, provider = field.decode().split("|")
                self.counts[rest.decode(), state, provider] = int(count)
            assert ttl > 0
        elif name == b"forget":
            self.forget = {text.decode(): int(at) for text, at in value}
        elif name == b"held":
            self.held = {member: int(at) for member, at in value}
        elif name == b"events":
            self.events = {event: int(at) for event, at in value}
        else:
            self.sets[name.decode()] = {member: int(at) for member, at in value}
        if ttl < 0:
            self.lives_on.add(rest)

    def state(self, member: bytes) -> str:
        row = self.rows.get(member, {})
        if not row and member not in self.sets["due"]:
            return "passed"
        state = row.get("state", "scheduled")
        return "dead" if state == "failed" and "ended" not in row else state


class Ledger(RuleBasedStateMachine):
    """Calls the schedule and the model alike."""

    client: store.Client
    shards = 1

    wakes: Bundle[Wake] = Bundle("wakes")
    claims: Bundle[Claim] = Bundle("claims")
    attempts: Bundle[tuple[Claim, str]] = Bundle("attempts")
    events: Bundle[Event] = Bundle("events")

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.clock = Clock(self.client)
        self.sender = Repeating(self.client)
        self.schedule = Schedule(self.client, shards=self.shards, retention=RETENTION)
        self.schedule._lines = self.sender  # type: ignore[assignment]
        self.schedule.now = lambda: self.clock.now  # type: ignore[method-assign]
        self.queue = EventQueue(self.schedule)
        self.model = Model(
            clocks.to_ms(START),
            self.shards,
            lease=milliseconds(WAKE_LEASE),
            most_claims=MOST_CLAIMS,
            keep_dead=milliseconds(KEEP_DEAD),
        )
        self.past: list[tuple[tuple[Any, ...], Any]] = []
        self.withdrawn: set[tuple[bytes, int]] = set()  # versions that were moved, or that we said are cancelled
        self.accepted: set[tuple[bytes, int]] = set()  # reminders whose "sent" was taken
        self.attempt = 0
        self.seen: list[Waiting] = []  # what waited for a decision at some time

    def call(self, ours: Any, models: Any, *, twice: bool) -> tuple[Any, Any]:
        """Make a call, perhaps twice; a repeat leaves the model as it was unless it says so itself."""
        self.sender.twice = twice
        answer = ours()
        self.past.append((self.sender.calls[-1], models))
        expected = models()
        return answer, models() if twice else expected

    def row(self, member: bytes) -> Row | None:
        found = self.model.appointments.get(member[:16])
        return found.rows[member[16]] if found and member[16] < len(found.rows) else None

    # What a platform does.

    @initialize()
    def begin(self) -> None:
        for id_ in IDS:
            self.add(id_=id_, tag=1, dues=[0, 20], ticket=b"ticket" if id_[0] else b"", twice=False)

    @rule(id_=st.sampled_from(IDS), tag=st.sampled_from([1, 1, 1, 2, 3]), dues=DUES, ticket=TICKETS, twice=TWICE)
    def add(self, *, id_: bytes, tag: int, dues: list[int | None], ticket: bytes, twice: bool) -> None:
        before = self.model.appointments.get(id_)
        moments = tuple(None if due is None else self.clock.now + timedelta(seconds=due) for due in dues)
        but_for_the_pointer = min(tag, 2)  # 2 and 3 differ in nothing else
        entry = Entry(id_, bytes([tag]) * 8 + bytes([but_for_the_pointer]) * 4, b"envelope %d" % tag, moments, ticket)
        due_ms = [-1 if moment is None else clocks.to_ms(moment) for moment in moments]
        answer, expected = self.call(
            lambda: self.schedule.add([entry]),
            lambda: self.model.add(id_, entry.tag, entry.envelope, due_ms, ticket),
            twice=twice,
        )
        assert answer == [expected]
        if before and self.model.appointments[id_].version != before.version:
            self.withdrawn.add((id_, before.version))

    @rule(id_=st.sampled_from(IDS), twice=TWICE)
    def cancel(self, *, id_: bytes, twice: bool) -> None:
        answer, expected = self.call(lambda: self.schedule.cancel(id_), lambda: self.model.cancel(id_), twice=twice)
        assert answer == expected
        if answer is Answer.CANCELLED:
            self.withdrawn.add((id_, self.model.appointments[id_].version))

    # What a scheduler does.

    @rule(target=wakes, shard=st.integers(0, 2), most=FEW, capacity=FEW, twice=TWICE)
    def take(self, *, shard: int, most: int, capacity: int, twice: bool) -> Any:
        shard %= self.shards
        taken, expected = self.call(
            lambda: self.schedule.take(shard, most=most, capacity=capacity),
            lambda: self.model.take(shard, self.shards, most, capacity),
            twice=twice,
        )
        assert [(wake.member, wake.version) for wake in taken.wakes] == expected
        lost = self.sender.lost[3::2] if twice else []
        assert not {wake.member for wake in taken.wakes} & set(lost)  # a repeat takes others or none
        assert all(self.row(member).state == "queued" for member in lost)  # and the sweep finds those again
        return multiple(*taken.wakes)

    @rule(target=wakes, shard=st.integers(0, 2), most=FEW, twice=TWICE)
    def sweep(self, *, shard: int, most: int, twice: bool) -> Any:
        shard %= self.shards
        wakes, expected = self.call(
            lambda: self.schedule.sweep(shard, most=most),
            lambda: self.model.sweep(shard, self.shards, most),
            twice=twice,
        )
        assert [(wake.member, wake.version) for wake in wakes] == expected
        assert not {wake.member for wake in wakes} & set(self.sender.lost[::2] if twice else ())
        return multiple(*wakes)

    # What workers do, alive or long given up.

    @rule(target=claims, wake=wakes, stale=st.sampled_from([False, False, False, True]), twice=TWICE)
    def claim(self, *, wake: Wake, stale: bool, twice: bool) -> Any:
        wake = Wake(wake.id, wake.lead, wake.version - 1) if stale else wake
        self.sender.twice = twice
        found = self.schedule.claim(wake)
        token, row = self.sender.calls[-1][5], self.row(wake.member)

        def model() -> str:
            return self.model.claim(self.row(wake.member), wake.version, token, milliseconds(CLAIM_LEASE))

        self.past.append((self.sender.calls[-1], model))
        kind = model()
        if kind == "claimed":
            assert isinstance(found, Claim)
            assert (found.tries, found.envelope) == (row.tries, self.model.appointments[wake.id].envelope)
            until = self.model.sent_until(row)
            assert found.sent_until == (clocks.moment(until) if until else None)
            assert found.comes_back == (row.reason == "rate_limited")
            assert (wake.id, wake.version) not in self.withdrawn
            return found
        assert isinstance(found, OpenAttempt) if kind == "look" else found is None
        return multiple()

    @rule(target=attempts, claim=claims, provider=PROVIDERS, twice=TWICE)
    def intend(self, *, claim: Claim, provider: str, twice: bool) -> Any:
        self.attempt += 1
        ref = f"ref-{self.attempt}"
        member, lease = claim.wake.member, milliseconds(INTENT_LEASE)
        intent, expected = self.call(
            lambda: self.schedule.intend(claim, provider, ref, lease=INTENT_LEASE),
            lambda: self.model.intend(self.row(member), claim.token, provider, ref, lease),
            twice=twice,
        )
        assert intent == expected
        if intent is not Intent.OK:
            return multiple()
        assert (claim.wake.id, claim.wake.version) not in self.withdrawn
        return claim, ref

    @rule(target=attempts, provider=PROVIDERS)
    def all_that_is_due_reaches_a_provider(self, provider: str) -> Any:
        """Go the whole way of a healthy worker at once, so that what comes behind it is tried as often."""
        wakes = [self.take(shard=shard, most=4, capacity=9, twice=False).values for shard in range(self.shards)]
        claims = [self.claim(wake=wake, stale=False, twice=False) for some in wakes for wake in some]
        asked = [self.intend(claim=claim, provider=provider, twice=False) for claim in claims]
        return multiple(*asked)

    @rule(seconds=st.sampled_from([1, 5, 60]), twice=TWICE)
    def all_that_is_due_is_told_its_turn(self, *, seconds: int, twice: bool) -> None:
        """Hold it for a provider's rate: from then on it goes before what falls due."""
        taken = [self.take(shard=shard, most=4, capacity=9, twice=False).values for shard in range(self.shards)]
        for place, wake in enumerate(reversed([wake for some in taken for wake in some])):
            claim = self.claim(wake=wake, stale=False, twice=False)
            turn = Outcome.hold(Reason.RATE_LIMITED, timedelta(seconds=seconds * place))
            self.settle(wake, claim.token, "", turn, twice=twice)

    @rule(target=wakes, times=st.integers(1, MOST_CLAIMS), shard=st.integers(0, 2))
    def workers_die(self, times: int, shard: int) -> Any:
        """Claim all there is, several times, and never say a word again."""
        wakes = self.take(shard=shard, most=9, capacity=9, twice=False).values
        for _ in range(times):
            for wake in wakes:
                self.claim(wake=wake, stale=False, twice=False)
            self.the_next_thing_falls_due(times=2)
            wakes = self.sweep(shard=shard, most=9, twice=False).values
        return multiple(*wakes)

    @rule(attempt=attempts, outcome=OUTCOMES, with_token=st.booleans(), twice=TWICE)
    def settle_an_attempt(self, *, attempt: tuple[Claim, str], outcome: Outcome, with_token: bool, twice: bool) -> None:
        claim, ref = attempt
        taken = self.settle(claim.wake, claim.token if with_token else b"", ref, outcome, twice=twice)
        if outcome.kind == State.SENT and taken:
            self.accepted.add((claim.wake.member, claim.wake.version))

    @rule(claim=claims, outcome=OUTCOMES, twice=TWICE)
    def settle_a_claim(self, *, claim: Claim, outcome: Outcome, twice: bool) -> None:
        taken = self.settle(claim.wake, claim.token, "", outcome, twice=twice)
        assert not (taken and outcome.kind == State.SENT)  # without an attempt there is nothing to accept

    def settle(self, wake: Wake, token: bytes, ref: str, outcome: Outcome, *, twice: bool) -> bool:
        delay, reason = milliseconds(outcome.delay), outcome.reason or ""
        forget = self.schedule.forget_ms(outcome.forget)
        message = outcome.provider_message_id if outcome.forget is not None else ""  # a number may be in it
        taken, expected = self.call(
            lambda: self.schedule.settle(wake, outcome, token=token, reference=ref),
            lambda: self.model.settle(self.row(wake.member), token, ref, outcome.kind, reason, delay, message, forget),
            twice=twice,
        )
        assert taken == expected
        return taken

    # What providers report, soon or late, once or more often.

    @rule(
        attempt=attempts,
        state=st.sampled_from(["sent", "delivered", "undelivered"]),
        by=st.sampled_from(["", "outbox", "twilio"]),
        message=st.sampled_from(["", "SM1"]),
        forget=st.sampled_from([-1, 60_000]),
        twice=TWICE,
    )
    def a_receipt_comes(
        self, *, attempt: tuple[Claim, str], state: str, by: str, message: str, forget: int, twice: bool
    ) -> None:
        claim, ref = attempt
        member, shard = claim.wake.member, self.schedule.shard_of(claim.wake.id)
        words = member, ref, by, state, "", "", message, forget, self.schedule.keep_ms
        taken, expected = self.call(
            lambda: self.schedule.run("receipt", shard, *words),
            lambda: self.model.receipt(self.row(member), ref, by, state, message, forget),
            twice=twice,
        )
        assert taken == expected
        if taken:
            self.accepted.add((member, claim.wake.version))

    @rule(
        attempt=attempts,
        word=st.sampled_from(["confirmed", "cancel_requested"]),
        number=st.integers(1, 3),
        twice=TWICE,
    )
    def a_person_answers(self, *, attempt: tuple[Claim, str], word: str, number: int, twice: bool) -> None:
        wake = attempt[0].wake
        shard = self.schedule.shard_of(wake.id)
        taken, expected = self.call(
            lambda: self.schedule.run("reply", shard, wake.member, wake.version, word, number),
            lambda: self.model.reply(self.row(wake.member), wake.version, word, number),
            twice=twice,
        )
        assert taken == expected

    # What operators decide.

    @rule(
        which=st.integers(0, 9),
        late=st.sampled_from([False, False, False, True]),
        decision=st.sampled_from(list(Decision)),
        twice=TWICE,
    )
    def somebody_decides(self, *, which: int, late: bool, decision: Decision, twice: bool) -> None:
        """Decide about what waits, or about what waited when somebody looked."""
        self.seen += [one for one in waiting(self.schedule) if one not in self.seen]
        some = self.seen if late else waiting(self.schedule)
        if not some:
            return
        one = some[which % len(some)]
        self.sender.twice = twice
        answer = decide(self.schedule, one, decision, Who("alice", "bob"))
        call = self.sender.calls[-1]

        def model() -> str:
            return self.model.decide(self.row(one.member), one.score, call[5], decision)

        self.past.append((call, model))
        expected = model()
        assert answer == (model() if twice else expected)
        if answer is Answered.DONE and decision in {Decision.RETRY, Decision.RESEND}:
            version = self.model.appointments[one.member[:16]].version
            assert (one.member[:16], version) not in self.withdrawn  # what was taken back stays so

    @rule(target=wakes, decision=st.sampled_from([Decision.RETRY, Decision.DROP]), shard=st.integers(0, 2))
    def workers_die_until_somebody_decides(self, *, decision: Decision, shard: int) -> Any:
        wakes = self.workers_die(times=MOST_CLAIMS, shard=shard).values
        self.somebody_decides(which=0, late=False, decision=decision, twice=False)
        return multiple(*wakes)

    @rule(attempt=attempts, decision=st.sampled_from(list(Decision)), twice=TWICE)
    def nobody_finds_out_until_somebody_decides(
        self, *, attempt: tuple[Claim, str], decision: Decision, twice: bool
    ) -> None:
        claim, ref = attempt
        unknown = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
        self.settle(claim.wake, claim.token, ref, unknown, twice=False)
        self.somebody_decides(which=0, late=False, decision=decision, twice=twice)

    # What is done when the store was put back from a backup.

    @rule(shard=st.integers(0, 2), most=st.sampled_from([9, 9, 1]), ago=st.sampled_from([0, 0, 15]), twice=TWICE)
    def the_store_was_put_back(self, *, shard: int, most: int, ago: int, twice: bool) -> None:
        shard, until = shard % self.shards, self.model.now - 1000 * ago
        told, expected = self.call(
            lambda: self.schedule.run("quarantine", shard, most, until, self.schedule.keep_ms),
            lambda: self.model.quarantine(shard, self.shards, most, until),
            twice=False,
        )
        assert told == [until, *expected]
        if twice:
            self.client.evalsha(*self.sender.calls[-1])
            self.model.quarantine(shard, self.shards, most, until)

    # What their platforms are told.

    @rule(target=events, shard=st.integers(0, 2), most=FEW, twice=TWICE)
    def tell(self, *, shard: int, most: int, twice: bool) -> Any:
        shard %= self.shards
        (taken, _), expected = self.call(
            lambda: self.queue.take(shard, most=most),
            lambda: self.model.tell(shard, most, milliseconds(LEASE)),
            twice=twice,
        )
        assert [event.name for event in taken] == expected
        assert {event.ticket for event in taken} <= {b"ticket"}
        return multiple(*taken)

    @rule(
        event=events,
        outcome=st.sampled_from([TOLD, TOLD, GIVEN_UP, timedelta(), timedelta(seconds=20), timedelta(hours=4)]),
        twice=TWICE,
    )
    def an_event_was_told_or_not(self, *, event: Event, outcome: timedelta, twice: bool) -> None:
        self.call(
            lambda: self.queue.settle([(event, outcome)]),
            lambda: self.model.told(event.name, milliseconds(outcome)),
            twice=twice,
        )

    @rule(span=st.sampled_from([1, 60, 3600]), twice=TWICE)
    def all_is_told_again(self, *, span: int, twice: bool) -> None:
        self.sender.twice = twice
        list(self.queue.replay(timedelta(seconds=span)))
        self.model.retell(1000 * span)

    # What happens to all of them.

    @rule(span=SPANS)
    def time_passes(self, span: float) -> None:
        self.clock.forward(seconds=span)
        self.model.now = clocks.to_ms(self.clock.now)

    @rule(times=st.integers(1, 3))
    def the_next_thing_falls_due(self, times: int) -> None:
        """Move on to where a due time or a lease is over, one after the other."""
        rows = [row for found in self.model.appointments.values() for row in found.rows if row.open]
        ends = sorted({row.due if row.state == "scheduled" else row.until for row in rows} | {0})
        ahead = [end for end in ends if end > self.model.now][:times]
        if ahead:
            self.time_passes(span=(ahead[-1] - self.model.now) / 1000)

    @rule(which=st.integers(0, 1_000_000))
    def a_call_from_long_ago_arrives(self, which: int) -> None:
        if self.past:
            call, model = self.past[which % len(self.past)]
            versions = {id_: found.version for id_, found in self.model.appointments.items()}
            self.client.evalsha(*call)
            model()
            self.withdrawn |= {
                (id_, version) for id_, version in versions.items() if self.model.appointments[id_].version != version
            }

    # What always holds.

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        acts: list[bytes] = []
        counts: Counter[tuple[str, str, str]] = Counter()
        forget: dict[tuple[int, str], int] = {}
        held: dict[bytes, int] = {}
        events: dict[bytes, int] = {}
        for shard in range(self.shards):
            stored = Stored(self.client, self.schedule.prefix(shard))
            counts.update(stored.counts)
            held |= stored.held
            forget |= {(shard, name): at for name, at in stored.forget.items()}
            events |= stored.events
            acts += stored.acts
            self.check_sets(stored)
            self.check_appointments(stored, shard)
            for member, row in self.model.rows(shard, self.shards).items():
                check_row(stored, member, row)
        assert +counts == +self.model.counts
        assert Counter(line.split(b"|", 1)[1].decode() for line in acts) == Counter(
            {f"{what}|{of}|{name_of(member)}|alice|bob": n for (what, of, member), n in self.model.acts.items()}
        )
        assert forget == self.model.forget
        assert held == self.model.held
        assert events == self.model.events
        assert self.queue.count() == (len(events), self.model.dropped)

    def check_sets(self, stored: Stored) -> None:
        """Each reminder is in one state, and in the one set of that state."""
        members = {id_ + bytes([lead]) for id_, head in stored.heads.items() for lead in range(head[1])}
        assert set(stored.rows) <= members
        for member in members:
            place = SET_OF.get(stored.state(member))
            places = [name for name, held in stored.sets.items() if member in held]
            assert places == [place] * (place is not None) or (place, places) == ("due", ["turns"])
        assert {member for held in stored.sets.values() for member in held} <= members

    def check_appointments(self, stored: Stored, shard: int) -> None:
        """The envelope and the endless life of the head end with the last reminder; the ticket stays."""
        expected = {id_: found for id_, found in self.model.appointments.items() if id_[0] % self.shards == shard}
        assert set(stored.heads) == set(expected)
        for id_, (version, leads, left, tag) in stored.heads.items():
            found = expected[id_]
            bits = sum(2**lead for lead, row in enumerate(found.rows) if row.needs_envelope)
            assert (version, leads, left, tag) == (found.version, len(found.rows), bits, found.tag or bytes(12))
            assert stored.envelopes[id_] == (found.envelope if left else b"")
            assert stored.tickets[id_] == found.ticket
            assert (id_ in stored.lives_on) == bool(left)

    @invariant()
    def what_was_accepted_stays_sent_and_all_can_be_shown(self) -> None:
        for id_, found in self.model.appointments.items():
            shown = {reminder.lead: reminder.state for reminder in self.schedule.show(id_)}
            words = {"dead": "failed", "claimed": "queued"}
            known = {lead: row for lead, row in enumerate(found.rows) if row.state != "passed"}
            assert shown == {lead: words.get(row.state, row.state) for lead, row in known.items()}
            for lead, state in shown.items():
                assert (id_ + bytes([lead]), found.version) not in self.accepted or state in ACCEPTED


def check_row(stored: Stored, member: bytes, row: Row) -> None:
    """A reminder stands in Redis as the model has it; a final one holds no token, and will be forgotten."""
    fields = stored.rows.get(member, {})
    assert stored.state(member) == row.state
    for name in ("tries", "attempts", "claims", "wakes", "looks"):
        assert int(fields.get(name, 0)) == getattr(row, name), name
    for name in ("provider", "ref", "reason"):
        assert fields.get(name, "") == getattr(row, name), name
    earlier = {name[1:]: provider for name, provider in fields.items() if name.startswith("@")}
    assert earlier == row.earlier
    assert fields.get("message", "") == row.message
    assert fields.get("reply", "") == row.reply
    assert fields.get("version") == (None if row.version is None else str(row.version))
    assert fields.get("ended") == (None if row.ended is None else str(row.ended))
    until = row.due if row.state == "scheduled" else row.ended if row.state == "unknown" else row.until
    if place := "turns" if row.turn else SET_OF.get(row.state):
        assert stored.sets[place][member] == until
    assert ("token" in fields) == (row.token is not None)
    if row.state in FINAL:
        assert row.token is None
    if fields:
        assert (member in stored.lives_on) == (row.state not in FINAL)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_scripts_do_what_the_model_does(client: store.Client, clock: Clock, shards: int) -> None:
    for name in (
        "add",
        "cancel",
        "take",
        "sweep",
        "claim",
        "intend",
        "settle",
        "receipt",
        "reply",
        "tell",
        "told",
        "retell",
        "decide",
        "quarantine",
    ):
        client.script_load(script(name)[0])  # so that a call is one call
    machine = type("Machine", (Ledger,), {"client": client, "shards": shards})
    run_state_machine_as_test(machine, settings=LIMITS)
