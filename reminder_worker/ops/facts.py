"""What the page shows, read from the ledger: numbers, what waits for a decision, and what was done by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reminder_worker import acts, decisions, status
from reminder_worker.acts import Act
from reminder_worker.decisions import Waiting
from reminder_worker.gauges import ALIVE, OPEN
from reminder_worker.ops import phrases
from reminder_worker.schedule import Schedule
from reminder_worker.status import Status

MOST_ROWS, MOST_ACTS = 200, 20
NEEDED = "scheduler", "worker"  # without one of each nothing is sent
FRONTS = "web", "hooks"  # missed if one ran within the hour and did not end in order


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of things when the ledger was read."""

    now: Status
    waiting: list[Waiting]  # the oldest
    acts: list[Act]  # the newest
    limits: dict[str, float]  # provider -> texts a second at most, if the settings say so

    @property
    def open(self) -> set[str]:
        """The providers whose circuit is open or on trial."""
        return {name for name, word in self.now.circuits.items() if word in OPEN}

    @property
    def missing(self) -> list[str]:
        """The kinds of process that are needed and of which none has a heartbeat."""
        silent = {(name.partition("/")[0], silent < ALIVE) for name, silent in self.now.processes.items()}
        fallen = [kind for kind in FRONTS if (kind, False) in silent]
        return [kind for kind in (*NEEDED, *fallen) if (kind, True) not in silent]


def look(schedule: Schedule, providers: Mapping[str, Mapping[str, Any]]) -> Facts:
    """Read everything. Raises StoreUnavailable."""
    limits = {name: float(table["rate"]) for name, table in providers.items() if _is_rate(table.get("rate"))}
    return Facts(
        now=status.read(schedule, providers),
        waiting=decisions.waiting(schedule, MOST_ROWS)[:MOST_ROWS],
        acts=acts.read(schedule, MOST_ACTS)[:MOST_ACTS],
        limits=limits,
    )


def news(before: Facts | None, after: Facts | None, away: str = "") -> list[str]:
    """Return the news to announce to an operator; None is an unavailable store, and ``away`` says why."""
    if after is None:
        return [] if before is None else [f"{phrases.STORE[away]}."]
    if before is None:
        return ["The store answers again."]
    more = [
        (after.now.dead_letters - before.now.dead_letters, "dead letter"),
        (after.now.unknown - before.now.unknown, "reminder with an unknown outcome"),
    ]
    said = [f"{count} more {what if count == 1 else _many(what)}." for count, what in more if count > 0]
    said += [f"The circuit for {name} is open." for name in sorted(after.open - before.open)]
    said += [f"The circuit for {name} is closed again." for name in sorted(before.open - after.open)]
    return said + [f"No {kind} process is running." for kind in after.missing if kind not in before.missing]


def _many(what: str) -> str:
    first, space, rest = what.partition(" ")
    return f"{what}s" if first == "dead" else f"{first}s{space}{rest}"


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
