"""What stands between a text and a provider: opt-outs, daily caps, circuit, rate and cost, shared by all workers.

One script checks all of it (``lua/admit.lua``, which lists the keys) on the store's clock; a second learns how the
call went, and is needed only if something is not as it should be.

A text that has to wait for a rate is given a turn: a time of its own, one behind the other. A text that waits for a
provider that throttles, or is away, joins its crowd and is called (``crowd.py``): nobody knows when that will be.
"""

import logging
import math
import secrets
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from reminder_worker import metrics
from reminder_worker.clocks import milliseconds
from reminder_worker.crowd import Crowd
from reminder_worker.errors import Misconfigured, NotSent, Reason, Rejected, Throttled
from reminder_worker.ledger import Claim, OpenAttempt
from reminder_worker.optouts import OptOuts, Tags
from reminder_worker.providers import Limits, Provider
from reminder_worker.schedule import Schedule

DEFAULT_PAUSE = 2.0  # seconds, if a provider says "too many" but not for how long

MOST_STOPS = 500  # in one answer of admit.lua

log = logging.getLogger(__name__)


class Result(StrEnum):
    """How a call went, as far as the next ones are concerned."""

    OK = "ok"  # the provider works, whatever it said
    FAILED = "failed"
    MISCONFIGURED = "misconfigured"
    DOUBTED = "doubted"
    THROTTLED = "throttled"
    RELEASED = "released"  # there was no call after all


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a text is for, and which platform it comes from, as Redis may see them today."""

    platform_cap: int | None
    phone_tag: bytes
    platform_tag: bytes
    reminder_tag: bytes
    mark: bytes  # which reminder it is, for the worker that reads an answer to it
    comes_back: bool = False  # for the turn that it was given
    called: str = ""  # the provider that it waited for, which has room now
    is_open: bool = False  # it may be out already: it waits behind no other


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a provider may be called; ``refusal`` says why not, ``wait`` for how long (or until its turn comes)."""

    provider: str
    refusal: Reason | None
    wait: timedelta = timedelta()
    takes: timedelta = timedelta()  # until all that wait for this provider have been called, at its pace
    crowd: int = 0  # how many wait
    call: bytes = b""
    cost: int = 0
    day: int = 0  # which the cost was reserved on
    _: KW_ONLY
    watched: bool = False  # success is to be reported as well


class Gate:
    """The limits of all providers, platforms and phones; safe to use from many threads."""

    def __init__(
        self,
        schedule: Schedule,
        tags: Tags,
        optouts: OptOuts,
        *,
        limits: Mapping[str, Limits],
        platform_caps: Mapping[str, int | None],
        phone_cap: int,
    ) -> None:
        self._schedule = schedule
        self._crowd = Crowd(schedule)
        self._tags = tags
        self._optouts = optouts
        self._limits = limits
        self._platform_caps = platform_caps
        self._phone_cap = phone_cap

    def recipient(self, claim: Claim | OpenAttempt, platform: str, phone: str) -> Recipient:
        """Compute the tags that stand for a person and a platform on this day."""
        day = claim.now.date()
        reminder = f"{claim.wake.member.hex()} {claim.wake.version}"
        return Recipient(
            self._platform_caps.get(platform),
            self._tags.today(day, "phone", phone),
            self._tags.today(day, "platform", platform),
            self._tags.today(day, "reminder", reminder)[:8],
            self._tags.hide(day, phone, b"%b%d" % (claim.wake.member, claim.wake.version)),
            comes_back=isinstance(claim, Claim) and claim.comes_back,
            called=claim.called if isinstance(claim, Claim) else "",
            is_open=isinstance(claim, OpenAttempt),
        )

    def admit(self, provider: Provider, whom: Recipient, segments: int, *, wants_turn: bool = False) -> Admission:
        """Reserve one call; if it must wait and ``wants_turn`` it gets a turn. Raises StoreUnavailable."""
        limits, call = self._limits[provider.name], secrets.token_bytes(8)
        cost = round(limits.price * segments * 1e6)
        verdict, wait, crowd, takes, day, watched, warn, *stops = self._schedule.run(
            "admit",
            0,
            self._optouts.cursor,
            provider.name,
            call,
            *(
                _gap(limits.rate),
                self._tags.sender(provider.sender),
                _gap(limits.sender_rate if provider.sender else None),
            ),
            *(cost, -1 if limits.daily_spend is None else round(limits.daily_spend * 1e6)),
            *(whom.platform_tag, -1 if whom.platform_cap is None else whom.platform_cap),
            *(whom.phone_tag, self._phone_cap),
            *(whom.reminder_tag, whom.mark, _comes(whom, provider), int(wants_turn)),
        )
        self._optouts.follow(stops)
        if len(stops) == MOST_STOPS * 3:  # there are more: no provider is called before all are known
            self._optouts.catch_up()
        if warn:
            log.warning("spending_nears_its_cap", extra={"provider": provider.name})
        refusal = None if verdict == b"ok" else Reason(verdict.decode())
        if refusal is not None and not wants_turn:  # else it was counted when it asked how long the wait would be
            metrics.count(metrics.WAITS, provider=provider.name, reason=refusal)
        spans = timedelta(milliseconds=wait), timedelta(milliseconds=takes)
        return Admission(provider.name, refusal, *spans, crowd, call, cost, day, watched=bool(watched))

    def join_crowd(self, provider: str, claim: Claim, due: datetime) -> None:
        """Let a reminder that is back in the schedule wait for a provider. Raises StoreUnavailable."""
        self._crowd.join(provider, claim.wake.member, due)

    def call_crowd(self, provider: str) -> None:
        """Call reminders that wait for a provider, if there is room. Raises StoreUnavailable."""
        self._crowd.call(provider)

    def report(self, admission: Admission, error: BaseException | None) -> None:
        """Report how a call went; no error means that the provider accepted. Raises StoreUnavailable."""
        result = _result(error)
        unspent = admission.cost if isinstance(error, NotSent | Misconfigured) else 0
        if result is Result.OK and not admission.watched and not unspent:
            return
        pause = error.retry_after if isinstance(error, Throttled) else None
        self._report(admission, result, unspent, DEFAULT_PAUSE if pause is None else pause)

    def release(self, admission: Admission) -> None:
        """Give back a call that was not made. Raises StoreUnavailable."""
        self._report(admission, Result.RELEASED, admission.cost, 0)

    def _report(self, admission: Admission, result: Result, unspent: int, pause: float) -> None:
        wait = milliseconds(timedelta(seconds=pause))
        words = admission.provider, admission.call, result, wait, unspent, admission.day
        if self._schedule.run("report", 0, *words):
            log.error("circuit_opened", extra={"provider": admission.provider, "reason": result})
        if admission.crowd:
            self._crowd.call(admission.provider)


def _result(error: BaseException | None) -> Result:
    match error:
        case None | Rejected():
            return Result.OK
        case Throttled():
            return Result.THROTTLED
        case NotSent():  # an answer is a sign of life: perhaps only this destination is not served
            return Result.OK if error.left else Result.FAILED
        case Misconfigured():
            return Result.MISCONFIGURED
        case _:
            return Result.DOUBTED


def _comes(whom: Recipient, provider: Provider) -> str:
    """Return what a text comes for, in the words of admit.lua."""
    if whom.is_open or whom.called == provider.name:
        return "called"
    return "turn" if whom.comes_back else "new"


def _gap(rate: float | None) -> int:
    """Turn texts a second into microseconds between them; 0 if there is no limit."""
    return 0 if rate is None else math.ceil(1e6 / rate)  # rounded down, it would let one too many pass now and then
