"""Show the audit's result: the disclosure matrix as a table, or everything as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from reminder_worker.audit.case import Check
from reminder_worker.audit.matrix import Cell, Fact, Party

WIDTH = 112  # of the table; a narrower terminal gets two tables
HALF = 7  # parties
MOST_SHOWN = 5  # places
HEADS = {
    Party.PLATFORM: "plat-\nform\nserver",
    Party.SCHEDULER: "sche-\nduler",
    Party.STORE: "Redis\noper-\nator",
    Party.BACKUP: "backup\ntoday",
    Party.MONTH: "a\nmonth\nlater",
    Party.LOGS: "log\nreader",
    Party.METRICS: "met-\nrics\nreader",
    Party.WORKER: "worker\nroot",
    Party.NETWORK: "net-\nwork\nobs.",
    Party.PROVIDER: "SMS\npro-\nvider",
    Party.SCREEN: "lock\nscreen",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What the audit measured."""

    cells: Sequence[Cell]
    checks: Sequence[Check]
    seconds: float
    hidden: Sequence[str] = ()  # processes whose memory could not be read

    @property
    def ok(self) -> bool:
        """Return whether nothing is worse than documented."""
        return not any(cell.worse for cell in self.cells) and all(check.ok for check in self.checks)


def as_document(result: Result) -> dict[str, Any]:
    """Return everything as a JSON document: where something was found, and never what."""
    cells = [
        {
            "check": cell.check,
            "fact": cell.fact.value,
            "party": cell.party.value,
            "documented": str(cell.documented),
            "measured": str(cell.measured),
            "worse": cell.worse,
            "looked_at": list(cell.looked_at),
            "found_in": list(cell.found_in),
        }
        for cell in result.cells
    ]
    checks = [
        {"check": check.name, "what": check.what, "ok": check.ok, "found_in": list(check.found)}
        for check in result.checks
    ]
    return {
        "ok": result.ok,
        "seconds": round(result.seconds, 1),
        "cells": cells,
        "checks": checks,
        "memory_not_looked_into": list(result.hidden),
    }


def show(result: Result) -> None:
    """Print the matrix, the checks, and what is amiss."""
    terminal = Console()
    narrow = terminal.is_terminal and terminal.width < WIDTH
    console = Console(highlight=False, width=terminal.width if narrow else max(terminal.width, WIDTH))
    parties = list(Party)
    for some in (parties[:HALF], parties[HALF:]) if narrow else (parties,):
        console.print(_matrix(result.cells, some))
    console.print("- never   ○ in passing, not kept   ● readable   ! more than docs/threat-model.md says\n")
    for check in result.checks:
        sign = "ok  " if not check.found else "note" if check.note else "LEAK"
        console.print(f"{sign} {check.name}: {check.what}{_places(check.found)}")
    for cell in result.cells:
        if cell.worse:
            console.print(f"LEAK {cell.check}: {cell.measured}, not {cell.documented}{_places(cell.found_in)}")
    for name in result.hidden:
        console.print(f"note memory of {name}: could not be looked into; run this as root to include it")
    console.print(f"\n{_sum(result)}.")


def _places(found: Sequence[str]) -> str:
    """Name the places where something was found, the first few of many."""
    more = f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return f" ({'; '.join(found[:MOST_SHOWN])}{more})" if found else ""


def _sum(result: Result) -> str:
    leaks = sum(cell.worse for cell in result.cells) + sum(not check.ok for check in result.checks)
    done = f"{len(result.cells)} cells and {len(result.checks)} checks in {result.seconds:.0f} seconds"
    return f"{done}: {'nobody learns more than documented' if result.ok else f'{leaks} LEAKS'}"


def _matrix(cells: Sequence[Cell], parties: Sequence[Party]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("who learns what\nof one reminder", min_width=17)
    for party in parties:
        table.add_column(HEADS.get(party, party.value), justify="center", vertical="bottom")
    known = {(cell.fact, cell.party): cell for cell in cells}
    for fact in Fact:
        table.add_row(fact.value, *(_sign(known[fact, party]) for party in parties))
    return table


def _sign(cell: Cell) -> str:
    return ("-", "○", "●")[cell.measured] + "!" * cell.worse
