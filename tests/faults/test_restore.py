"""The short form of ``make faults``: a rehearsal of docs/backup.md, and what would happen without it."""

import pytest

from faults.restore import run


@pytest.mark.timeout(300)
def test_after_a_restore_nothing_is_lost_and_nothing_is_texted_twice() -> None:
    result = run(reminders=200, mode="quarantine", way="rdb", window=45)
    assert (result.lost, result.twice) == (0, 0), result
    assert result.before < result.until < 200, result
    assert result.sent_already >= result.until - result.before, result  # these would have gone out again
    assert result.held < 200, result


@pytest.mark.timeout(300)
def test_without_it_texts_go_out_twice() -> None:
    result = run(reminders=200, mode="blind", way="aof", window=20)
    assert 2 * result.twice > result.until - result.before > 0, result  # attempts that were open then, it finds
