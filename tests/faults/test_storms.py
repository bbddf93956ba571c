"""The short form of the storms: leases are a fifth of what they are, and all blow side by side."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from faults import contrast, outage
from faults.harbour import Result, Size
from faults.storms import COLUMNS, POINTS, STORMS, TAKEN, is_possible, run, table

SHORT = [storm for storm in STORMS.values() if storm.short]
SIZE = Size(reminders=120, window=5, times=2, pace=0.2)
AT_ONCE = 4


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[Result]]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {storm.name: pool.submit(run, storm, SIZE, 1) for storm in SHORT if is_possible(storm)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [storm.name for storm in SHORT])
def test_nothing_is_lost_and_nobody_gets_two_texts_or_anothers(runs: dict[str, Future[Result]], name: str) -> None:
    if not is_possible(STORMS[name]):
        pytest.skip("only root can give a store a small disk")
    result = runs.pop(name).result() if name in runs else run(STORMS[name], SIZE, 1)  # a second try is one
    assert result.whole, str(result)
    assert result.happened > 0
    assert result.unknown <= result.in_flight
    doubtful = STORMS[name].kind == "neither"
    assert bool(result.unknown) == doubtful  # who can be asked leaves nobody in doubt
    assert set(result.notes["states"]) <= {"sent", "unknown", "rejected"}


@pytest.mark.timeout(300)
def test_after_an_outage_what_has_expired_is_not_sent_and_the_provider_is_not_run_down() -> None:
    result = outage.run(count=400, rate=100, seed=1, workers=1)
    assert result.whole, str(result)
    assert result.expired > 100
    assert result.texts == 400 - result.expired - result.late


@pytest.mark.timeout(300)
def test_at_a_provider_whose_rate_nobody_knows_due_times_are_the_order() -> None:
    result = outage.run(count=300, rate=30, seed=2, workers=1, provider="untold")
    assert result.whole, str(result)
    assert result.texts == 300 - result.expired - result.late
    assert result.order > 0.9
    assert 0 < result.refused < 30


def test_every_point_is_met_by_some_storm() -> None:
    assert {point for storm in STORMS.values() for point in storm.worker} == set(POINTS)
    assert {point for storm in STORMS.values() for point in storm.scheduler} == set(TAKEN)


def test_a_table_has_a_line_for_each_storm() -> None:
    lines = table([Result("one", 2000, happened=6, lost=1), Result("another", 1)]).splitlines()
    assert {line.count("|") for line in lines} == {len(COLUMNS.split(", ")) + 1}
    assert lines[2].startswith("| one | 2,000 | 6 | 1 |")
    assert not Result("one", 1, lost=1).whole


@pytest.mark.timeout(300)
@pytest.mark.skipif(not contrast.PEERS.exists(), reason="make bench makes .venv-peers")
def test_the_tutorials_way_keeps_what_a_killed_worker_had_fetched_from_all_others() -> None:
    result = contrast.run(Size(60, 4, 1), 1, patience=5, named=False)
    assert result.lost[5] > 0
