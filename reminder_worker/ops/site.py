"""The page, assembled from the settings: ``web`` serves it beside its API, and ``ops`` serves it alone."""

import contextlib
from functools import partial

from starlette.routing import BaseRoute

from reminder_worker.admission import Ops
from reminder_worker.background import running
from reminder_worker.mistakes import named
from reminder_worker.ops import facts
from reminder_worker.ops.desk import Desk
from reminder_worker.ops.entrances import Addresses, Entrance, Forms, Passwords, Proxy
from reminder_worker.ops.feed import Feed
from reminder_worker.ops.login import Login
from reminder_worker.ops.operators import Operators
from reminder_worker.ops.pages import Pages
from reminder_worker.ops.sessions import Sessions
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings


class Site:
    """The routes, and what runs beside them."""

    def __init__(self, chosen: Settings, table: Ops, schedule: Schedule) -> None:
        """Load the operators. Raises SettingsError."""
        pages, forms, addresses = Pages(), Forms(), Addresses(table.proxy_from)
        self.feed = Feed(partial(facts.look, schedule, chosen.providers), pages)
        entrance: Entrance
        self.routes: list[BaseRoute] = []
        if table.proxy_header is not None:
            entrance = Proxy(table.proxy_header, addresses)
        else:
            assert table.operators is not None
            with named("ops.operators"):
                entrance = Passwords(Operators(table.operators), Sessions())
            self.routes += Login(entrance, addresses, forms, pages).routes
        self.routes += Desk(schedule, self.feed, entrance, forms, pages).routes

    def beside(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Return what runs beside the requests."""
        return running(self.feed.run)
