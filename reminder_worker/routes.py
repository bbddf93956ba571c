"""Which provider carries a text, and which is next if that one certainly did not."""

import random
from collections.abc import Sequence

from reminder_worker.tables import Route


class Routes:
    """The order of providers for a destination; the longest prefix wins."""

    def __init__(self, routes: Sequence[Route], providers: Sequence[str]) -> None:
        self._routes = sorted(routes, key=lambda route: len(route.prefix), reverse=True)
        self._all = list(providers)

    def order(self, phone: str) -> list[str]:
        """Return the providers to try, in order; all of them if no route is set.

        If a route has weights, the first provider is drawn by them; the others follow as they are listed. An unhealthy
        provider is passed over when its turn comes: its circuit is open.
        """
        if not self._routes:
            return self._all
        route = next((route for route in self._routes if phone.startswith(route.prefix)), None)
        return [] if route is None else _drawn(route)


def _drawn(route: Route) -> list[str]:
    if route.weights is None:
        return route.providers
    (first,) = random.choices(route.providers, route.weights)  # noqa: S311 - which of several, not a secret
    return [first, *(name for name in route.providers if name != first)]
