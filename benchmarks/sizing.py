"""What an installation needs for so many reminders a month, by the figures of docs/capacity.md and nothing else.

    python -m benchmarks.sizing          writes the tables that follow from the page's measured figures, and the plot

The measured figures are written there by ``python -m benchmarks.capacity``. All assumptions are the constants below.
"""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .plots import Scale, draw

PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"
PLOT = PAGE.with_suffix(".svg")
MONTHS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)  # reminders

DAYS = 30  # in a month
BOOKED = 30  # days that appointments are made ahead, on average
LEADS = (7, 1)  # days ahead: two texts for each appointment
RETENTION = 30  # days that an outcome is kept; its appointment is known for as long again
BUSIEST_HOUR = 0.08  # of a day's texts
FIRST_MINUTES, THEIR_SHARE = 5, 0.5  # of the busiest hour's
AT_ONCE = 0.1  # of a day's texts in one second, with due_grid = "1h" and quiet hours: docs/traffic.md
RECEIPTS = 2  # for each text
LOAD = 0.6  # of what was measured: the most that a process should have to do
SHARD_BYTES = 16e9  # more in one server takes long to load and to copy
MB, GB = 1e6, 1e9
MEASURED = re.compile(r"^\| (.+?) \| ([\d.,e+-]+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)

FIGURES = {  # what is measured: its name on the page, and its unit
    "one_20k": ("pending, one lead, of 20,000", "bytes"),
    "one_100k": ("pending, one lead, of 100,000", "bytes"),
    "two_20k": ("pending, two leads of an appointment, of 20,000", "bytes"),
    "two_100k": ("pending, two leads of an appointment, of 100,000", "bytes"),
    "ticket_20k": ("pending, one lead, platform told of events, of 20,000", "bytes"),
    "ticket_100k": ("pending, one lead, platform told of events, of 100,000", "bytes"),
    "row": ("ended reminder, until the retention is over", "bytes"),
    "head": ("ended appointment, 30 days longer", "bytes"),
    "optout": ("opt-out, in Redis", "bytes"),
    "optout_worker": ("opt-out, in each worker process", "bytes"),
    "wake": ("wake-up in the queue, at most 2,000 for each scheduler", "bytes"),
    "aof_add": ("append-only file, for an appointment with two leads", "bytes"),
    "aof_text": ("append-only file, for a text", "bytes"),
    "net_add": ("between Redis and the others, for an appointment with two leads", "bytes"),
    "net_text": ("between Redis and the others, for a text", "bytes"),
    "redis_add": ("CPU of Redis, for an appointment with two leads", "ms"),
    "redis_text": ("CPU of Redis, for a text", "ms"),
    "add": ("appointments signed, sealed and added in bulk, one process", "a second"),
    "put": ("`PUT`, one `web` process, 32 connections", "a second"),
    "put_p99": ("the slowest of a hundred of these", "ms"),
    "put_cpu": ("CPU of `web`, for a `PUT`", "ms"),
    "wakes": ("wake-ups, one scheduler", "a second"),
    "texts": ("texts, one worker process, 8 threads, a provider that answers at once", "a second"),
    "text_cpu": ("CPU of the worker, for a text", "ms"),
    "slow_texts": ("texts, one worker process, 32 threads, a provider that takes 100 ms", "a second"),
    "receipts": ("receipts, one `hooks` process, 32 connections", "a second"),
    "receipt_p99": ("the slowest of a hundred of these", "ms"),
    "receipt_cpu": ("CPU of `hooks`, for a receipt", "ms"),
    "memory_worker": ("memory of a worker process with 32 threads", "MB"),
    "memory_parent": ("memory of its parent", "MB"),
    "memory_scheduler": ("memory of a scheduler", "MB"),
    "memory_web": ("memory of a `web` process", "MB"),
    "memory_hooks": ("memory of a `hooks` process", "MB"),
}


@dataclass(frozen=True)
class Need:
    """What so many reminders a month need."""

    month: int
    pending: float  # reminders
    waiting: float  # bytes in Redis of what is pending
    ended: float  # bytes in Redis of what is over
    aof: float  # bytes a day
    minute: float  # texts in the busiest one
    workers: int
    web: int
    hooks: int
    schedulers: int
    shards: int
    network: float  # bits a second between Redis and the others, in that minute
    burst: float  # seconds until texts that fall due in one second are out

    @property
    def memory(self) -> float:
        """Bytes in Redis."""
        return self.waiting + self.ended


def assumptions() -> str:
    """Return the assumptions in words."""
    stays, leads = (" and ".join(map(str, days)) for days in ([BOOKED - lead for lead in LEADS], LEADS))
    return (
        f"Assumed: an appointment has {len(LEADS)} texts, {leads} days ahead, "
        f"and is made {BOOKED} days ahead on average,\n"
        f"so they are pending for {stays} days. Outcomes are kept for {RETENTION} days (`retention_days`). "
        f"{BUSIEST_HOUR:.0%} of a day's texts go out in its\n"
        f"busiest hour, and {THEIR_SHARE:.0%} of these in its first {FIRST_MINUTES} minutes. "
        "Appointments are handed in one by one, at the same pace. Each text\n"
        f"has {RECEIPTS} receipts. A process does at most {LOAD:.0%} of what was measured, "
        f"a server holds at most {size(SHARD_BYTES)}.\n"
    )


def need(month: int, figures: Mapping[str, float]) -> Need:
    """Compute what a month's reminders need; as many are pending as come in a day, times the days that they stay."""
    texts = month / DAYS
    appointments = texts / len(LEADS)
    pending = sum(appointments * (BOOKED - lead) for lead in LEADS)
    waiting = appointments * (BOOKED - min(LEADS)) * figures["two_100k"]
    ended = texts * RETENTION * figures["row"] + appointments * 2 * RETENTION * figures["head"]
    minute = texts * BUSIEST_HOUR * THEIR_SHARE / FIRST_MINUTES
    second, added = minute / 60, minute / 60 / len(LEADS)  # appointments come in at the pace of texts
    workers = processes(second, figures["slow_texts"])
    busy = (second * figures["redis_text"] + added * figures["redis_add"]) / 1000  # of one core
    return Need(
        month=month,
        pending=pending,
        waiting=waiting,
        ended=ended,
        aof=texts * figures["aof_text"] + appointments * figures["aof_add"],
        minute=minute,
        workers=workers,
        web=processes(added, figures["put"]),
        hooks=processes(second * RECEIPTS, figures["receipts"]),
        schedulers=processes(second, figures["wakes"]),
        shards=max(math.ceil(busy / LOAD), math.ceil((waiting + ended) / SHARD_BYTES)),
        network=8 * (second * figures["net_text"] + added * figures["net_add"]),
        burst=AT_ONCE * texts / (workers * figures["slow_texts"]),
    )


def processes(wanted: float, rate: float) -> int:
    """Return the fewest processes that do so much in a second, if each does at most its share of ``rate``."""
    return max(1, math.ceil(wanted / (rate * LOAD)))


def needs(figures: Mapping[str, float]) -> str:
    """Return the table of all sizes."""
    rows = [need(month, figures) for month in MONTHS]
    cells = {
        "reminders a month": [f"{row.month:,}" for row in rows],
        "pending": [short(row.pending) for row in rows],
        "Redis, pending": [size(row.waiting) for row in rows],
        "Redis, ended": [size(row.ended) for row in rows],
        "append-only file, a day": [size(row.aof) for row in rows],
        "texts in the busiest minute": [short(row.minute) for row in rows],
        "worker processes of 32 threads": [str(row.workers) for row in rows],
        "`web`, `hooks`, schedulers": [f"{row.web}, {row.hooks}, {row.schedulers}" for row in rows],
        "shards": [str(row.shards) for row in rows],
        "to and from Redis, busiest minute": [f"{short(row.network / 1e6)} Mbit/s" for row in rows],
        "10 % of a day due at once, out after": [f"{short(row.burst)} s" for row in rows],
    }
    lines = [f"| {name} | {' | '.join(values)} |" for name, values in cells.items()]
    return "\n".join([lines[0], "|---" * (len(MONTHS) + 1) + "|", *lines[1:]]) + "\n"


def short(number: float) -> str:
    """Write a number with two significant digits."""
    if number <= 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(number)))
    return f"{round(number, 1 - math.floor(math.log10(number))):,.{min(digits, 3)}f}"


def size(number: float) -> str:
    """Write a number of bytes."""
    return f"{short(number / GB)} GB" if number >= GB else f"{short(number / MB)} MB"


def measured(found: Mapping[str, Sequence[float]]) -> str:
    """Return the table of what was measured: the median of each figure, and its lowest and highest."""
    lines = ["| what | median | from | to | unit |", "|---|---|---|---|---|"]
    for key, (name, unit) in FIGURES.items():
        some = sorted(found[key])
        low, median, high = (figure(value) for value in (some[0], statistics.median(some), some[-1]))
        lines.append(f"| {name} | {median} | {low} | {high} | {unit} |")
    return "\n".join(lines) + "\n"


def figure(number: float) -> str:
    """Write a measured number: whole if it is large, else with three significant digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"  # noqa: PLR2004


def read(page: str) -> dict[str, float]:
    """Return the medians of the page. Raises SystemExit if its figures are not those measured."""
    rows = MEASURED.findall(block(page, "measured"))
    if [(name, unit) for name, _, unit in rows] != list(FIGURES.values()):
        raise SystemExit("error: docs/capacity.md does not hold the figures that are measured; run the benchmark")
    return {key: float(row[1].replace(",", "")) for key, row in zip(FIGURES, rows, strict=True)}


def block(page: str, name: str) -> str:
    """Return the text between the markers of a name."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", page, re.DOTALL)
    if found is None:
        raise SystemExit(f"error: docs/capacity.md has no <!-- {name} --> … <!-- end -->")
    return found[1]


def filled(page: str, name: str, words: str) -> str:
    """Return the page with new text between these markers."""
    old = block(page, name)
    return page.replace(f"<!-- {name} -->\n{old}<!-- end -->", f"<!-- {name} -->\n{words}<!-- end -->")


def plot(figures: Mapping[str, float]) -> str:
    """Draw memory in Redis over reminders a month."""
    rows = [need(month, figures) for month in MONTHS]
    lines = {
        "all of it": [(month, row.memory) for month, row in zip(MONTHS, rows, strict=True)],
        "ended": [(month, row.ended) for month, row in zip(MONTHS, rows, strict=True)],
        "pending": [(month, row.waiting) for month, row in zip(MONTHS, rows, strict=True)],
    }
    months = Scale("reminders a month", MONTHS, _power)
    memory = Scale("memory in Redis", [10.0**power for power in range(5, 13)], _bytes)
    return draw("Memory in Redis over reminders a month", months, memory, lines)


def _power(number: float) -> str:
    return f"{number / 1_000_000:,.0f} M" if number >= 1_000_000 else f"{number:,.0f}"  # noqa: PLR2004


def _bytes(number: float) -> str:
    unit = next(unit for unit in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)) if number >= unit[1])
    return f"{number / unit[1]:.0f} {unit[0]}"


def write(page: str) -> None:
    """Write the page, and what follows from it."""
    figures = read(page)
    PAGE.write_text(filled(filled(page, "assumed", assumptions()), "needs", needs(figures)), "utf-8")
    PLOT.write_text(plot(figures), "utf-8")


if __name__ == "__main__":
    write(PAGE.read_text("utf-8"))
