"""A short form of ``python -m tests.faults.engines``."""

import pytest

from reminder_worker.ledger import Durability

from .engines import run


@pytest.mark.parametrize("name", ["sentinel", "cluster", "address"])
def test_nothing_is_lost_or_doubled_when_another_server_takes_over_under_load(name: str) -> None:
    result = run(name, reminders=100, deaths=1, seed=1, window=6, wanted=Durability.REPLICA)
    assert result.whole, str(result)
