"""The operator's page in a process of its own: it reads the ledger, does what operators decide, and holds no key.

It needs the store's user ``operator`` and the names of providers; it knows nothing of platforms.
"""

from itertools import chain

from starlette.applications import Starlette

from reminder_worker import doctor, exporter, logs, serving, store
from reminder_worker.errors import SettingsError
from reminder_worker.ops.site import Site
from reminder_worker.parting import ending
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings


def build(chosen: Settings, schedule: Schedule) -> Starlette:
    """Load what this process may hold. Raises SettingsError."""
    if chosen.ops is None:
        raise SettingsError("ops: say who may open the page, with a table [ops]")
    site = Site(chosen, chosen.ops, schedule)
    return ending(serving.Process("ops", schedule).app(site.routes, site.beside()), site.feed.end)


def run(chosen: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, and finish what is under way. Raises SettingsError."""
    logs.set_up(chosen.log_level, chosen.log_format)
    client = store.connect(store.url_of(chosen), **store.impatient())
    schedule = Schedule.of(chosen, client)
    schedule.agreement.check()
    app = build(chosen, schedule)
    doctor.warn(doctor.require(chosen, chain(doctor.check_passwords(chosen), doctor.check_store(client))))
    exporter.serve("ops", chosen)
    serving.run(app, host, port, access_log=chosen.access_log)
