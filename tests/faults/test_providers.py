"""The short form of the run through providers that lie."""

import pytest

from faults.providers import ACCEPTS, run


@pytest.mark.timeout(300)
def test_providers_that_lie_and_die_text_nobody_twice_and_lose_nothing() -> None:
    result = run(reminders=200, seed=3, window=6)
    assert (result.twice, result.lost, result.unexplained, result.leaks) == (0, 0, 0, [])
    assert result.whole
    assert sum(result.states.values()) == 200
    assert result.states["delivered"] > 100 > result.states["undelivered"] > 0  # receipts came through
    assert result.fates.keys() >= ACCEPTS  # and the faults happened
    assert 120 < result.texts < 200
