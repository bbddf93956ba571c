"""Simulate a country's day from the figures of docs/capacity.md alone: what it takes to handle it, and at what cost.

    python -m benchmarks.country          writes the table of docs/scaling.md, and the plot

Texts fall due at full and quarter hours, all of them in the first second, and leave in that order as fast as the
installation can. So a peak is handled slowly, or quickly for more money. Nothing is random; all assumptions are the
constants below and those of ``sizing.py``.
"""

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from . import sizing
from .plots import Scale, draw
from .sizing import LEADS, LOAD, RECEIPTS, SHARD_BYTES, Need, filled, need, short, size

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
PLOT = PAGE.with_name("images") / "country.svg"
MONTH = 100_000_000  # reminders
FIRST_HOUR, HOURS = 7, (4, 6, 8, 8, 8, 8, 6, 6, 8, 8, 8, 8, 6, 5, 3)  # percent of a day's texts
QUARTERS = {0: 50, 15: 15, 30: 20, 45: 15}  # percent of an hour's texts, by the minute
TARGETS = (60, 300, 900)  # seconds within which 99 of 100 texts are out
SIZES = (3_000_000, 10_000_000, 30_000_000, MONTH)
WORKERS = (1, 3, 10, 30, 100)
COPIES = 3  # of all that Redis holds: room for one more while its file is written anew, and a replica
CORE, GIGABYTE, SEGMENT = 5.0, 2.0, 0.05  # euros: a core and memory for a month, a segment of a text
SPARE = 2  # of each kind of process at least, on two machines


@dataclass(frozen=True)
class Bearing:
    """What it takes to send a day's texts within a time."""

    seconds: float  # within which 99 of 100 are out
    rate: float  # texts a second
    workers: int
    schedulers: int
    web: int
    hooks: int
    shards: int
    cores: float  # busy in the peak
    memory: float  # bytes of all processes and copies

    @property
    def euros(self) -> float:
        """What machines cost in a month; cores are bought for the peak."""
        return self.cores / LOAD * CORE + self.memory / sizing.GB * GIGABYTE


def day(month: float) -> list[tuple[int, float]]:
    """Return when texts fall due, in seconds of the day, and how many."""
    texts = month / sizing.DAYS
    return [
        (3600 * hour + 60 * minute, texts * share / 100 * part / 100)
        for hour, share in enumerate(HOURS, FIRST_HOUR)
        for minute, part in QUARTERS.items()
    ]


def late(pulses: list[tuple[int, float]], rate: float, share: float = 0.99) -> float:
    """Return how late, in seconds, this share of texts is at most, if ``rate`` leave in a second."""
    waits: list[tuple[float, float]] = []  # how long, and how many wait so long
    backlog = 0.0
    for (at, count), (following, _) in pairwise([*pulses, (math.inf, 0)]):
        parts = 50
        waits += [((backlog + count * (part + 1) / parts) / rate, count / parts) for part in range(parts)]
        backlog = max(0.0, backlog + count - rate * (following - at))
    waits.sort()
    most, total = sum(count for _, count in waits) * share, 0.0
    for wait, count in waits:
        total += count
        if total >= most:
            return wait
    return 0.0


def rate_for(seconds: float, month: float) -> float:
    """Return the fewest texts a second with which 99 of 100 are out in time."""
    pulses = day(month)
    rates = range(1, math.ceil(month / sizing.DAYS))
    return rates[bisect.bisect_left(rates, True, key=lambda rate: late(pulses, rate) <= seconds)]


def bearing(seconds: float, month: int, figures: Mapping[str, float]) -> Bearing:
    """Compute what it takes to have 99 of 100 of a month's texts out in time."""
    rate, usual = rate_for(seconds, month), need(month, figures)
    added = usual.minute / 60 / len(LEADS)
    redis = (rate * figures["redis_text"] + added * figures["redis_add"]) / 1000
    others = rate * figures["text_cpu"] + rate * RECEIPTS * figures["receipt_cpu"] + added * figures["put_cpu"]
    workers, schedulers = _processes(rate, figures["slow_texts"]), _processes(rate, figures["wakes"])
    hooks, web = _processes(rate * RECEIPTS, figures["receipts"]), max(SPARE, usual.web)
    memory = sum(
        many * figures[f"memory_{kind}"] * sizing.MB
        for kind, many in {"worker": workers, "scheduler": schedulers, "hooks": hooks, "web": web}.items()
    )
    shards = max(math.ceil(redis / LOAD), math.ceil(usual.memory / SHARD_BYTES))
    return Bearing(
        seconds, rate, workers, schedulers, web, hooks, shards, redis + others / 1000, memory + COPIES * usual.memory
    )


def _processes(wanted: float, rate: float) -> int:
    return max(SPARE, sizing.processes(wanted, rate))


def assumptions() -> str:
    """Return the assumptions in words, beyond those of docs/capacity.md."""
    hours, quarters = (", ".join(map(str, shares)) for shares in (HOURS, QUARTERS.values()))
    return (
        f"Assumed beyond that page: of a day's texts {hours} percent fall due in the hours from {FIRST_HOUR} o'clock,\n"
        f"of an hour's {quarters} percent at its quarters, all in one second. A core costs {CORE:.0f} euros a month,\n"
        f"a gigabyte of memory {GIGABYTE:.0f}, a segment of a text {SEGMENT * 100:.0f} cents: put in your own. Memory\n"
        f"of Redis is bought {COPIES} times (room for a copy while its file is written anew, and a replica), and\n"
        f"there are {SPARE} processes of each kind at least.\n"
    )


def table(figures: Mapping[str, float], month: int = MONTH) -> str:
    """Return the table of what the country takes."""
    usual, rows = need(month, figures), [bearing(seconds, month, figures) for seconds in TARGETS]
    busiest = max(count for _, count in day(month))
    cells = {
        "99 of 100 texts are out within": [f"{row.seconds:.0f} s" for row in rows],
        "texts a second": [short(row.rate) for row in rows],
        "worker processes of 32 threads": [str(row.workers) for row in rows],
        "schedulers, `web`, `hooks`": [f"{row.schedulers}, {row.web}, {row.hooks}" for row in rows],
        "shards": [str(row.shards) for row in rows],
        "cores that are busy in the peak": [short(row.cores) for row in rows],
        "memory, all of it": [size(row.memory) for row in rows],
        "euros a month for machines": [short(row.euros) for row in rows],
        "of these for a thousand texts": [f"{row.euros / month * 1000:.3f}" for row in rows],
    }
    lines = [f"| {name} | {' | '.join(values)} |" for name, values in cells.items()]
    return (
        f"{month / 1e6:,.0f} million reminders a month: {_pending(usual)}; {short(busiest)} texts fall due in the\n"
        f"day's busiest second. The texts themselves, of one segment: {month * SEGMENT / 1e6:,.1f} million euros.\n\n"
        + "\n".join([lines[0], "|---" * (len(TARGETS) + 1) + "|", *lines[1:]])
        + "\n"
    )


def _pending(usual: Need) -> str:
    return f"{short(usual.pending / 1e6)} million pending, {size(usual.memory)} in Redis"


def plot(figures: Mapping[str, float]) -> str:
    """Draw how late texts are over how many workers there are."""
    lines = {
        f"{month / 1e6:.0f} M": [
            (workers, late(day(month), workers * figures["slow_texts"] * LOAD)) for workers in range(1, WORKERS[-1] + 1)
        ]
        for month in SIZES
    }
    across = Scale("worker processes of 32 threads", WORKERS)
    down = Scale("99 of 100 texts are out within, s", [10.0**power for power in range(4)])
    return draw("How late a country's texts are over how many workers there are", across, down, lines)


def main() -> None:
    """Write the page and the plot."""
    figures = sizing.read(sizing.PAGE.read_text("utf-8"))
    page = PAGE.read_text("utf-8")
    PAGE.write_text(filled(filled(page, "assumed", assumptions()), "country", table(figures)), "utf-8")
    PLOT.write_text(plot(figures), "utf-8")


if __name__ == "__main__":
    main()
