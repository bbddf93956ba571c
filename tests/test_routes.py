import random
from collections import Counter
from itertools import permutations

import pytest

from reminder_worker.routes import Routes
from reminder_worker.tables import Route

FRANCE = Route(prefix="+33", providers=["twilio", "outbox"])
MOBILE = Route(prefix="+336", providers=["vonage"])
REST = Route(providers=["outbox"])


@pytest.mark.parametrize("routes", list(permutations([FRANCE, MOBILE, REST])))
def test_the_longest_prefix_wins_in_whatever_order_routes_are_written(routes):
    order = Routes(routes, ["outbox", "twilio", "vonage"]).order
    assert order("+33612345678") == ["vonage"]
    assert order("+33712345678") == ["twilio", "outbox"]
    assert order("+447400123456") == ["outbox"]


def test_of_two_routes_with_one_prefix_the_first_wins():
    routes = Routes([Route(prefix="+33", providers=["vonage"]), FRANCE], ["twilio", "vonage"])
    assert routes.order("+33612345678") == ["vonage"]


def test_without_routes_all_providers_are_tried_in_the_order_of_the_settings():
    assert Routes([], ["vonage", "outbox"]).order("+33612345678") == ["vonage", "outbox"]


def test_a_number_that_no_route_covers_goes_to_no_provider():
    assert Routes([FRANCE], ["twilio", "outbox"]).order("+447400123456") == []


# Weights.


@pytest.fixture
def seeded(monkeypatch):
    """Draw the same each time."""
    monkeypatch.setattr("reminder_worker.routes.random", random.Random(4))


def drawn(weights, providers=("a", "b", "c"), times=4000):
    """Count the orders that are drawn."""
    routes = Routes([Route(providers=list(providers), weights=weights)], providers)
    return Counter(tuple(routes.order("+33612345678")) for _ in range(times))


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("weights", [[1, 1, 1], [70, 20, 10], [1000, 1, 1], [3, 0, 1]])
def test_each_provider_comes_first_as_often_as_its_weight_says(weights):
    orders = drawn(weights)
    for provider, weight in zip("abc", weights, strict=True):
        share = sum(times for order, times in orders.items() if order[0] == provider) / 4000
        assert share == pytest.approx(weight / sum(weights), abs=0.03)  # four standard deviations


@pytest.mark.usefixtures("seeded")
def test_the_others_follow_as_they_are_listed():
    assert set(drawn([1, 1, 1])) == {("a", "b", "c"), ("b", "a", "c"), ("c", "a", "b")}


def test_a_provider_without_weight_is_there_for_when_the_others_fail():
    assert set(drawn([0, 1, 0], times=100)) == {("b", "a", "c")}


def test_with_weights_the_longest_prefix_still_wins():
    weighted = Route(prefix="+33", providers=["a", "b"], weights=[0, 1])
    order = Routes([Route(providers=["c"]), weighted], "abc").order
    assert [order(number) for number in ("+33612345678", "+447400123456")] == [["b", "a"], ["c"]]
    assert Routes([weighted], "abc").order("+447400123456") == []


@pytest.mark.usefixtures("seeded")
def test_a_draw_changes_nothing_for_the_next_one():
    route = Route(providers=["a", "b", "c"], weights=[1, 1, 1])
    routes = Routes([route], "abc")
    for _ in range(20):
        routes.order("+33612345678").clear()
    assert route.providers == ["a", "b", "c"]


def test_without_weights_the_order_is_as_listed():
    assert set(drawn(None, times=50)) == {("a", "b", "c")}
