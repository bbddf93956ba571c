"""What a provider may carry and cost is a number that the store can count with, or refused when settings are read."""

import re
from pathlib import Path
from typing import Any

import pytest

from reminder_worker.errors import SettingsError
from reminder_worker.providers import Limits, load, read_table

INF = float("inf")


@pytest.mark.parametrize("name", ["rate", "sender_rate", "price", "daily_spend", "timeout"])
@pytest.mark.parametrize("value", [-1, -INF, INF, float("nan"), 1e308, 10**30, 10**400, "", "many", [], {}])
def test_what_is_no_amount_is_refused_by_name(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"^providers\.outbox\.{name}: must be ") as caught:
        load("outbox", {"path": tmp_path / "outbox", name: value})
    assert "308" not in str(caught.value)


@pytest.mark.parametrize("name", ["rate", "sender_rate", "timeout"])
@pytest.mark.parametrize("value", [0, 5e-324, 1e-300, 1e-9])
def test_what_is_next_to_nothing_would_hold_up_all_and_is_refused(name: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"^providers\.outbox\.{name}: must be greater than or equal"):
        load("outbox", {"path": tmp_path / "outbox", name: value})


@pytest.mark.parametrize("price", [None, 0, 5.01])
def test_a_cap_that_nothing_or_everything_reaches_is_refused(price: float | None) -> None:
    table = {"daily_spend": 5} | ({} if price is None else {"price": price})
    with pytest.raises(SettingsError, match=re.escape("providers.acme: daily_spend: needs a price")):
        read_table(Limits, "acme", table)


@pytest.mark.parametrize("price", [1e-6, 0.07, 5])
def test_a_cap_that_holds_one_segment_is_kept(price: float) -> None:
    assert read_table(Limits, "acme", {"daily_spend": 5, "price": price}).daily_spend == 5


@pytest.mark.parametrize("rate", [0.001, 0.5, 10_000])
def test_slow_and_fast_lines_are_kept(rate: float) -> None:
    assert read_table(Limits, "acme", {"rate": rate, "sender_rate": rate}).rate == rate
