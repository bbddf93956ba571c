from itertools import permutations

import pytest

from reminder_worker.routes import Routes
from reminder_worker.settings import Route

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
