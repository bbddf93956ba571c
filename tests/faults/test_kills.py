"""The short form of ``make faults``."""

import pytest

from faults.kills import choose, run


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_texted_twice_while_workers_scheduler_and_store_are_killed() -> None:
    result = run(reminders=600, kills=4, seed=7, window=8, store_too=True)
    assert result.whole, str(result)
    assert result.texts == 600


def test_a_seed_always_kills_the_same() -> None:
    assert list(choose(8, 1, 60.0)) == list(choose(8, 1, 60.0)) != list(choose(8, 2, 60.0))
