"""The short form of a slow test."""

import pytest

from faults.events import choose, run


@pytest.mark.timeout(300)
def test_every_event_arrives_while_those_who_tell_and_who_is_told_are_killed() -> None:
    result = run(events=300, kills=4, seed=7, window=6, quick=True)
    assert result.whole, str(result)
    assert result.facts > 250
    assert result.requests > result.facts  # there was something to survive


def test_a_seed_always_kills_the_same() -> None:
    assert list(choose(8, 1, 60.0)) == list(choose(8, 1, 60.0)) != list(choose(8, 2, 60.0))
