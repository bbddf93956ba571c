"""What due times alone still disclose, without a grid and on grids of several sizes; prints figures, judges nothing.

    python benchmarks/due_times.py [--seed 1] [--weeks 6] [--batches]

Appointment books are made up: usual slots, opening hours, several doctors, some patients who come each week. Due times
are those that the program plans. Their reader here knows the leads, the quiet hours and how often an appointment
begins at which minute of a day: more than most readers would.
"""

import argparse
import math
import random
import statistics
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from reminder_worker.padding import UNIT, step
from reminder_worker.plan import Cells, Grid, Lead, QuietHours, slots

ZONE = ZoneInfo("Europe/Paris")
LEADS = [Lead.parse("24h"), Lead.parse("2h")]
QUIET = QuietHours.parse("21:00-08:00")
GRIDS = {"none": None, **{name: Grid.parse(name) for name in ("5m", "15m", "30m", "1h")}}
FIRST_DAY = date(2027, 1, 4)  # a Monday; clocks change in the twelfth week
HOURS = [((8, 0), (18, 0)), ((8, 30), (18, 30)), ((9, 0), (17, 0)), ((9, 0), (19, 0))]
LUNCH = range(12 * 60, 14 * 60)
LATENCY = 5.0  # seconds by which a text may be late and still counts as sent at its due time
LENGTHS = (10, 15, 20, 30)
DAY, WEEKDAYS = timedelta(days=1), 5
COMES_AGAIN = 0.05  # of all slots


@dataclass(frozen=True)
class Visit:
    """One appointment in a book."""

    practice: int
    patient: int
    when: datetime
    id: bytes


@dataclass(frozen=True)
class Seen:
    """An appointment, and when its two texts fall due, the day before and on the day."""

    visit: Visit
    dues: tuple[datetime, datetime]


Plans = Mapping[Grid | None, Sequence[Seen]]


def book(number: int, chance: random.Random, weeks: int, length: int | None = None) -> Iterator[Visit]:
    """Fill a practice's book; one patient in twenty has the same slot each week."""
    opens, closes = (hour * 60 + minute for hour, minute in chance.choice(HOURS))
    length = length or chance.choice(LENGTHS)
    starts = [minute for minute in range(opens, closes, length) if minute not in LUNCH]
    for doctor in range(chance.randint(1, 4)):
        busy = chance.uniform(0.6, 0.95)
        weekly = {
            key: chance.getrandbits(60)
            for key in ((d, s) for d in range(WEEKDAYS) for s in starts)
            if chance.random() < COMES_AGAIN
        }
        for day in (FIRST_DAY + n * DAY for n in range(7 * weeks) if n % 7 < WEEKDAYS):
            for start in starts:
                regular = weekly.get((day.weekday(), start))
                if regular is None and chance.random() > busy:
                    continue
                when = datetime.combine(day, time(start // 60, start % 60), ZONE)
                patient = regular or chance.getrandbits(60)
                yield Visit(number * 10 + doctor, patient, when, chance.randbytes(16))


def books(seed: int, practices: int, weeks: int, length: int | None = None) -> list[Visit]:
    chance = random.Random(seed)
    return [visit for number in range(practices) for visit in book(number, chance, weeks, length)]


def see(visits: Iterable[Visit], grid: Grid | None) -> list[Seen]:
    """Plan as the program does."""
    planned = ((visit, slots(visit.when, LEADS, QUIET, Cells.of(grid, visit.id))) for visit in visits)
    return [Seen(visit, (first.due, second.due)) for visit, (first, second) in planned]


def minute(visit: Visit) -> int:
    return visit.when.hour * 60 + visit.when.minute


def told(visits: Sequence[Visit], grid: Grid | None) -> str:
    """Say how often the best guess at an appointment's time is right, and how many bits are left to guess."""
    often = Counter(map(minute, visits))
    width = 1 if grid is None else int(grid.size.total_seconds()) // 60
    by_cell: dict[int, list[int]] = defaultdict(list)
    for start, count in often.items():
        by_cell[start // width].append(count)
    right = sum(max(counts) for counts in by_cell.values()) / len(visits)
    parts = ((count, sum(counts)) for counts in by_cell.values() for count in counts)
    bits = -sum(count * math.log2(count / whole) for count, whole in parts) / len(visits)
    return f"{right:.0%}, {abs(bits):.1f}"


def check(visits: Sequence[Visit], grid: Grid) -> None:
    """Make sure that two appointments of one cell cannot be told apart, which ``told`` takes for granted."""
    for visit in visits[:500]:
        start = Cells(grid.size, visit.id).start(visit.when)
        other = Visit(visit.practice, visit.patient, start, visit.id)
        assert see([visit], grid)[0].dues == see([other], grid)[0].dues


def linked(plans: Plans, grid: Grid | None) -> str:
    """Return how often a reader of texts without ids finds the second text of an appointment by the first."""
    reach = timedelta(seconds=LATENCY) if grid is None else grid.size / 4 + timedelta(seconds=LATENCY)
    ordinary = [one for one in plans[grid] if one.dues[1] - one.dues[0] > timedelta(hours=20)]
    times = sorted(one.dues[1] for one in ordinary)
    odds = []
    for one in random.Random(0).sample(ordinary, min(2000, len(ordinary))):
        wanted = one.dues[0] + timedelta(hours=22)
        near = bisect_right(times, wanted + reach) - bisect_left(times, wanted - reach)
        odds.append(1 / near)
    return f"{statistics.mean(odds):.0%}"


def weekly(plans: Plans, grid: Grid | None) -> str:
    """Say how often an appointment at the same time a week later, picked by its due time, is the same person's."""
    cells: dict[datetime, list[Seen]] = defaultdict(list)
    for one in plans[grid]:
        start = one.visit.when if grid is None else Cells(grid.size, one.visit.id).start(one.visit.when)
        cells[start].append(one)
    odds = []
    for start, here in cells.items():
        later = cells.get(start + 7 * DAY, [])
        patients = Counter(one.visit.patient for one in later)
        odds += [patients[one.visit.patient] / len(later) for one in here if patients[one.visit.patient]]
    return f"{statistics.mean(odds):.0%}"


def earlier(plans: Plans, grid: Grid | None) -> str:
    """Say by how many minutes texts go out earlier: on average, and at most."""
    pairs = zip(plans[grid], plans[None], strict=True)
    spans = [
        (was - due) / timedelta(minutes=1)
        for one, other in pairs
        for due, was in zip(one.dues, other.dues, strict=True)
    ]
    return f"{statistics.mean(spans):.0f}, {max(spans):.0f}"


def busiest(plans: Plans, grid: Grid | None) -> str:
    """Say which share of a day's texts falls due within one and the same second of that day, on average."""
    days: dict[date, Counter[datetime]] = defaultdict(Counter)
    for due in (due for one in plans[grid] for due in one.dues):
        days[due.date()][due.replace(microsecond=0)] += 1
    return f"{statistics.mean(max(day.values()) / day.total() for day in days.values()):.1%}"


FIGURES = {
    "two texts of an appointment linked": linked,
    "same person a week later, picked": weekly,
    "earlier by min, at most": earlier,
    "of a day's texts in its busiest second": busiest,
}


def due_times(seed: int, weeks: int) -> Iterator[str]:
    yield f"| grid | {' | '.join(GRIDS)} |"
    yield "|---" * (len(GRIDS) + 1) + "|"
    alike = {f"slots of {length} min": books(seed, 1, weeks, length) for length in LENGTHS}
    one, many = books(seed, 1, weeks, 15), books(seed, 20, weeks)
    for grid in filter(None, GRIDS.values()):
        check(many, grid)
    for name, visits in {**alike, "20 practices": many}.items():
        yield row(f"time: guessed right, bits left: {name}", partial(told, visits))
    for name, visits in {"one practice": one, "20 practices": many}.items():
        seen = {grid: see(visits, grid) for grid in GRIDS.values()}
        for what, figure in FIGURES.items():
            yield row(f"{what}: {name}", partial(figure, seen))


def row(name: str, tell: Callable[[Grid | None], str]) -> str:
    return f"| {name} | {' | '.join(map(tell, GRIDS.values()))} |"


def padme(length: int) -> int:
    """Return the length to which Padmé (Nikitin and others, 2019) fills up."""
    exponent = max(length, 2).bit_length() - 1
    last = exponent - exponent.bit_length()
    return -(-length >> last) << last if last > 0 else length


def batches(seed: int) -> Iterator[str]:
    """Compare ways to fill up batches of one to 500 appointments; an item has about 340 to 410 bytes."""
    chance = random.Random(seed)
    sizes = [(count, sum(chance.randint(340, 410) for _ in range(count))) for count in range(1, 501) for _ in range(4)]
    ways: dict[str, Callable[[int, int], int]] = {
        "not at all": lambda _, size: size,
        "Padmé": lambda _, size: padme(size),
        "steps of two (what is done)": lambda count, size: step(max(size, UNIT * count)),
    }
    yield "| a batch is filled up | lengths | bits of 1 to 500 that are left | more bytes |"
    yield "|---|---|---|---|"
    for name, fill in ways.items():
        lengths: dict[int, Counter[int]] = defaultdict(Counter)
        for count, size in sizes:
            lengths[fill(count, size)][count] += 1
        left = sum(_bits(counts) * counts.total() for counts in lengths.values()) / len(sizes)
        more = sum(fill(*one) for one in sizes) / sum(size for _, size in sizes) - 1
        yield f"| {name} | {len(lengths)} | {left:.1f} | {more:.0%} |"


def _bits(counts: Counter[int]) -> float:
    whole = counts.total()
    return -sum(count / whole * math.log2(count / whole) for count in counts.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weeks", type=int, default=6)
    parser.add_argument("--batches", action="store_true", help="what filling up batches hides and costs")
    options = parser.parse_args()
    print(*(batches(options.seed) if options.batches else due_times(options.seed, options.weeks)), sep="\n")


if __name__ == "__main__":
    main()
