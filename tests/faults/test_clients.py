"""The short forms of the runs through lost answers, kills of the gateway, and changed minds."""

import pytest

from .gateway import run as kill
from .races import CANCELLED, MOVED
from .races import run as race
from .retries import run as retry


@pytest.mark.timeout(180)
def test_clients_that_try_again_after_lost_answers_cause_one_reminder_each() -> None:
    result = retry(clients=20, references=50, each=20, seed=3)
    assert result.whole, str(result)
    assert result.texts == 50
    assert result.lost > 50
    assert result.answers["200 unchanged"] > 200


@pytest.mark.timeout(180)
def test_what_was_answered_outlives_kills_of_web_and_store_during_batches() -> None:
    result = kill(rounds=4, seed=3)
    assert result.whole, str(result)
    assert result.answers["201 added"] >= 400
    assert result.again > 0  # an answer was lost, and its items were there


@pytest.mark.timeout(180)
def test_cancelled_means_no_text_and_moved_means_only_the_new_time() -> None:
    result = race(appointments=240, seed=3)
    assert result.whole, str(result)
    assert result.answers[CANCELLED] > 10 < result.answers[MOVED]
    assert result.answers["DELETE ended"] > 5  # and some came too late
