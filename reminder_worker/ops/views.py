"""What the page says, in words and bars: each part as a template needs it, and nothing that only a number means.

Due times are only counts within five minutes here, and outcomes within ten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reminder_worker.decisions import Decision, Kind, Waiting
from reminder_worker.gauges import ALIVE
from reminder_worker.job import State
from reminder_worker.ledger import NOBODY
from reminder_worker.ops import phrases
from reminder_worker.ops.facts import Facts
from reminder_worker.ops.phrases import many, span

CELL = 5  # minutes
TEXTS = State.SENT, State.DELIVERED, State.UNDELIVERED  # what a provider accepted
GROUPS = {  # as the chart stacks them, from the bottom up
    "accepted": (State.SENT, State.DELIVERED),
    "in doubt": (State.UNKNOWN,),
    "failed": (State.FAILED, State.UNDELIVERED, State.EXPIRED, State.REJECTED),
    "not wanted": (State.CANCELLED, State.SUPPRESSED),
}
LOST = {
    "scheduler": "nothing is sent",
    "worker": "nothing is sent",
    "web": "platforms cannot hand in reminders",
    "hooks": "receipts and STOP replies are refused",
}
TALL = 100  # of a chart
CHOICES = {  # what may be decided, by what waits
    Kind.DEAD_LETTER: (Decision.RETRY, Decision.DROP),
    Kind.UNKNOWN: (Decision.SENT, Decision.FAILED, Decision.RESEND, Decision.DROP),
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle of a chart, measured from the top."""

    x: int
    y: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the reminders of one provider ended."""

    name: str
    bars: list[Bar]
    most: int  # within ten minutes
    rows: list[tuple[str, int, int]]  # state, within the last hour, within the last day


def parts(facts: Facts) -> dict[str, dict[str, Any]]:
    """Return what each part of the page needs, by the part's name."""
    now = facts.now
    return {
        "pending": {"now": now, "soon": sum(now.ahead)},
        "decide": {"rows": facts.waiting, "more": max(0, now.dead_letters + now.unknown - len(facts.waiting))},
        "ahead": {"bars": _columns(now.ahead), "cells": _cells(now.ahead), "most": max(now.ahead, default=0)},
        "outcomes": {"providers": _outcomes(facts)},
        "providers": {"rows": _providers(facts)},
        "processes": {"rows": _processes(facts)},
        "store": {"store": now.store},
        "acts": {"rows": facts.acts},
    }


def alerts(facts: Facts | None, *, away: str) -> list[str]:
    """Say what needs an operator now, the worst first; ``away`` is why the store is away, or empty."""
    nothing = ", and nothing is sent" if away == "away" else ""  # the store may refuse only this page
    said = [f"{phrases.STORE[away]}. What is shown may be out of date{nothing}."] if away else []
    if facts is None:
        return said
    now = facts.now
    said += [f"No {kind} process is running: {LOST[kind]}." for kind in facts.missing]
    if now.overdue and now.overdue_seconds > ALIVE:
        said.append(
            f"{many(now.overdue, 'reminder is', 'reminders are')} overdue, the oldest by {span(now.overdue_seconds)}."
        )
    said += [f"The circuit for {name} is open: it is not called for now." for name in sorted(facts.open)]
    if now.store is not None and not now.store.durable:
        said.append("The store keeps nothing on disk that would survive: all it holds is lost if its process ends.")
    if now.store is not None and now.store.evicts:
        said.append("The store drops reminders when it is full.")
    if now.dead_letters or now.unknown:
        count = now.dead_letters + now.unknown
        said.append(f"{many(count, 'reminder waits', 'reminders wait')} for a decision.")
    if now.replies_unread:
        said.append(f"{many(now.replies_unread, 'reply', 'replies')} could not be opened.")
    return said


def choices(one: Waiting) -> list[Decision]:
    """Return what can be decided about a reminder: one without an envelope cannot be sent."""
    found = CHOICES[one.kind]
    return [what for what in found if one.can_retry or what not in {Decision.RETRY, Decision.RESEND}]


def _cells(ahead: Sequence[int]) -> list[tuple[int, int, int]]:
    return [(number * CELL, (number + 1) * CELL, count) for number, count in enumerate(ahead)]


def _columns(counts: Sequence[int]) -> list[Bar]:
    most = max([1, *counts])
    tall = [round(TALL * count / most, 2) for count in counts]
    return [Bar(x, round(TALL - height, 2), height, "ahead") for x, height in enumerate(tall)]


def _outcomes(facts: Facts) -> list[Outcomes]:
    hour, day = facts.now.last_hour, facts.now.last_day
    names = sorted({*day, *(name for name in facts.now.circuits)} - {NOBODY}) + [NOBODY] * (NOBODY in day)
    return [_outcome(facts, name, hour.get(name, {}), day.get(name, {})) for name in names]


def _outcome(facts: Facts, name: str, hour: dict[str, int], day: dict[str, int]) -> Outcomes:
    stacks = [_stack(one.by.get(name, {})) for one in facts.now.recent]
    most = max((sum(stack.values()) for stack in stacks), default=0)
    bars = [bar for x, stack in enumerate(stacks) for bar in _stacked(x, stack, most)]
    rows = [(state.value, hour.get(state, 0), day.get(state, 0)) for state in State if day.get(state)]
    return Outcomes(name, bars, most, rows)


def _stack(states: dict[str, int]) -> dict[str, int]:
    """Add up what belongs together."""
    return {group: sum(states.get(state, 0) for state in members) for group, members in GROUPS.items()}


def _stacked(x: int, stack: dict[str, int], most: int) -> Iterable[Bar]:
    top = float(TALL)
    for group, count in stack.items():
        if count:
            height = TALL * count / most
            top -= height
            yield Bar(x, round(top, 2), round(height, 2), group.replace(" ", "-"))


def _providers(facts: Facts) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, word in facts.now.circuits.items():
        limit = facts.limits.get(name)
        rows.append((name, word, _rate(facts, name), "none set" if limit is None else f"{limit * 60:,.0f}"))
    return rows


def _rate(facts: Facts, name: str) -> str:
    """Say how many texts a minute a provider accepted in the last ten to twenty minutes."""
    last = facts.now.recent[-2:]
    if not last:
        return "0"
    minutes = (facts.now.now - last[0].since) / timedelta(minutes=1)
    count = sum(part.by.get(name, {}).get(state, 0) for part in last for state in TEXTS)
    rate = count / max(minutes, 1.0)
    return f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}"  # noqa: PLR2004 - two digits are enough


def _processes(facts: Facts) -> list[tuple[str, str, str, str]]:
    """Return kind, name, how long it has been silent, and how it is shown: bad if the alerts name its kind."""
    rows = []
    for name, silent in sorted(facts.now.processes.items()):
        kind, _, rest = name.partition("/")
        shown = "" if silent < ALIVE else "bad" if kind in facts.missing else "quiet"
        rows.append((kind, rest, span(silent), shown))
    return rows
