"""docs/capacity.md: what is said to follow from the measured figures does follow, and nothing else does."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import country, profiling, sizing  # noqa: E402 - beside the tests, not installed

PAGE = sizing.PAGE.read_text("utf-8")
ROUND = dict.fromkeys(sizing.FIGURES, 1.0) | {
    "two_100k": 700.0,
    "row": 300.0,
    "head": 225.0,
    "aof_add": 1000.0,
    "aof_text": 2000.0,
    "net_add": 1000.0,
    "net_text": 10_000.0,
    "redis_add": 0.1,
    "redis_text": 1.0,
    "put": 1000.0,
    "slow_texts": 200.0,
    "receipts": 1000.0,
    "wakes": 2000.0,
}


def test_the_table_and_the_plot_follow_from_the_measured_figures():
    figures = sizing.read(PAGE)
    assert sizing.block(PAGE, "needs") == sizing.needs(figures)
    assert sizing.block(PAGE, "assumed") == sizing.assumptions()
    assert sizing.PLOT.read_text("utf-8") == sizing.plot(figures)
    assert ET.fromstring(sizing.plot(figures)).tag.endswith("svg")


def test_a_figure_that_is_changed_by_hand_is_noticed():
    name = sizing.FIGURES["two_100k"][0]
    changed = PAGE.replace(f"| {name} | ", f"| {name} | 9")
    assert sizing.block(PAGE, "needs") != sizing.needs(sizing.read(changed))


def test_a_page_with_other_figures_is_refused():
    with pytest.raises(SystemExit, match="run the benchmark"):
        sizing.read(PAGE.replace(sizing.FIGURES["put"][0], "calls"))


def test_what_was_measured_is_read_as_it_is_written():
    found = {key: [2.0 * number, 1.0 * number, 3.0 * number] for number, key in enumerate(sizing.FIGURES, 1)}
    page = sizing.filled(PAGE, "measured", sizing.measured(found))
    assert sizing.read(page) == {key: 2.0 * number for number, key in enumerate(sizing.FIGURES, 1)}


def test_a_month_is_computed_as_the_page_says():
    need = sizing.need(3_000_000, ROUND)  # 100,000 texts a day, of 50,000 appointments
    assert need.pending == 50_000 * 23 + 50_000 * 29
    assert need.waiting == 50_000 * 29 * 700
    assert need.ended == 100_000 * 30 * 300 + 50_000 * 60 * 225
    assert need.minute == pytest.approx(800)  # 8,000 in the busiest hour, 4,000 in five minutes
    assert need.aof == 100_000 * 2000 + 50_000 * 1000
    assert (need.workers, need.web, need.hooks, need.schedulers, need.shards) == (1, 1, 1, 1, 1)
    assert need.burst == pytest.approx(10_000 / 200)
    assert need.network == pytest.approx(8 * (800 / 60 * 10_000 + 400 / 60 * 1000))


def test_processes_and_shards_are_as_many_as_bear_the_busiest_minute():
    need = sizing.need(100_000_000, ROUND)  # 444 texts a second then
    assert (need.workers, need.web, need.hooks, need.schedulers) == (4, 1, 2, 1)
    assert need.memory / 16e9 == pytest.approx(5.4, abs=0.01)
    assert need.shards == 6  # by memory; 47 % of a core would bear it
    assert all(sizing.need(small, ROUND).memory < sizing.need(10 * small, ROUND).memory for small in sizing.MONTHS[:-1])


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0"), (0.0042, "0.004"), (0.15, "0.15"), (8, "8.0"), (86_666.7, "87,000"), (999, "1,000")]
)
def test_numbers_have_two_digits_that_count(number, words):
    assert sizing.short(number) == words


# The country of docs/scaling.md.

COUNTRY = country.PAGE.read_text("utf-8")


def test_what_bears_a_country_follows_from_the_measured_figures():
    figures = sizing.read(PAGE)
    assert sizing.block(COUNTRY, "country") == country.table(figures)
    assert sizing.block(COUNTRY, "assumed") == country.assumptions()
    assert country.PLOT.read_text("utf-8") == country.plot(figures)


def test_a_day_holds_all_of_its_texts():
    assert sum(count for _, count in country.day(3_000_000)) == pytest.approx(100_000)
    assert max(count for _, count in country.day(3_000_000)) == pytest.approx(4_000)


def test_texts_leave_in_order_and_what_is_left_waits_for_the_next_second():
    assert country.late([(0, 100)], 10, share=1.0) == pytest.approx(10)
    assert country.late([(0, 100)], 10, share=0.5) == pytest.approx(5)
    assert country.late([(0, 100), (5, 10)], 10, share=1.0) == pytest.approx(10)  # 50 were left: six seconds
    assert country.late([(0, 100), (20, 200)], 10, share=1.0) == pytest.approx(20)


@pytest.mark.parametrize("seconds", country.TARGETS)
def test_what_bears_a_day_does_so_and_less_does_not(seconds):
    rate = country.rate_for(seconds, 3_000_000)
    assert country.late(country.day(3_000_000), rate) <= seconds < country.late(country.day(3_000_000), rate - 1)


def test_as_many_processes_as_bear_the_peak():
    bearing = country.bearing(60, 30_000_000, ROUND | {"text_cpu": 2.0, "receipt_cpu": 0.5, "put_cpu": 1.0})
    assert bearing.rate == pytest.approx(40_000 / 60, rel=0.02)  # of the busiest second, and some may be later
    assert (bearing.workers, bearing.schedulers, bearing.web, bearing.hooks) == (6, 2, 2, 3)
    assert bearing.cores == pytest.approx(bearing.rate * (1.0 + 2.0 + 2 * 0.5) / 1000, rel=0.1)
    assert bearing.shards == 2  # one core would not bear it


# Where a worker's time goes: docs/benchmarks.md.


def test_a_look_counts_for_the_nearest_part():
    ours = "run (threading.py:1);remind (reminder_worker/worker.py:9);run (reminder_worker/schedule.py:3)"
    folded = f"{ours};execute_command (redis/client.py:1);dumps (json/__init__.py:2) 3\n{ours} 1\n"
    assert profiling.shares(folded) == {profiling.PARTS["redis/"]: 0.75, profiling.PARTS["reminder_worker/"]: 0.25}


def test_a_command_counts_by_what_it_took_meanwhile():
    before = {"cmdstat_get": {"calls": 10, "usec": 100}}
    after = {"cmdstat_get": {"calls": 30, "usec": 300}, "cmdstat_evalsha": {"calls": 40, "usec": 2000}}
    assert list(profiling.commands(before, after, 10)) == ["| EVALSHA | 4.00 | 50 |", "| GET | 2.00 | 10 |"]
