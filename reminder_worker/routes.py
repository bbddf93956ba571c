"""Which provider carries a text, and which is next when it surely did not."""

from collections.abc import Sequence

from reminder_worker.settings import Route


class Routes:
    """The order of providers for a destination; the longest prefix wins."""

    def __init__(self, routes: Sequence[Route], providers: Sequence[str]) -> None:
        self._routes = sorted(routes, key=lambda route: len(route.prefix), reverse=True)
        self._all = list(providers)

    def order(self, phone: str) -> list[str]:
        """Return the providers to try, in order; all of them where no route is set."""
        if not self._routes:
            return self._all
        return next((route.providers for route in self._routes if phone.startswith(route.prefix)), [])
