"""The process that booking platforms call over HTTP. It holds public keys, the gateway's own, and hashes of API keys.

With these it signs and seals; it can open neither a pointer nor a job, not even one that it stored itself.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import chain

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool

from reminder_worker import doctor, events, exporter, logs, reception, serving, store
from reminder_worker.api import Api
from reminder_worker.apikeys import ApiKeys
from reminder_worker.errors import StoreUnavailable
from reminder_worker.gateway import GatewayKeys
from reminder_worker.parting import ending
from reminder_worker.pressure import Pressure
from reminder_worker.reception import Reception
from reminder_worker.root import Published
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings


def build(chosen: Settings, schedule: Schedule) -> Starlette:
    """Load what this process may hold. Raises SettingsError."""
    api_keys, gateway = ApiKeys(chosen.keys), GatewayKeys.load(chosen.keys)
    reception.check(chosen.platforms, api_keys.platforms(datetime.now(UTC)), gateway)
    process = serving.Process("web", schedule)
    desk = Reception(schedule, gateway, Published(chosen.keys, chosen.root), chosen.platforms, process.name)
    dispatcher = events.Dispatcher(schedule, gateway, events.endpoints(chosen))
    api = Api(process, desk, api_keys, Pressure(schedule))
    if chosen.ops is None:
        return api.app(_telling(dispatcher))
    from reminder_worker.ops.site import Site  # noqa: PLC0415 - only if there is a page

    site = Site(chosen, chosen.ops, schedule)
    app = api.app(_telling(dispatcher), site.beside())
    app.router.routes.extend(site.routes)
    return ending(app, site.feed.end)


@asynccontextmanager
async def _telling(dispatcher: events.Dispatcher) -> AsyncIterator[None]:
    """Tell platforms what became of their reminders, for as long as the process serves."""
    dispatcher.start()
    try:
        yield
    finally:
        await run_in_threadpool(dispatcher.stop)


def run(chosen: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; what is under way is finished. Raises SettingsError."""
    logs.set_up(chosen.log_level, chosen.log_format)
    client = store.connect(store.url_of(chosen), **store.impatient())
    schedule = Schedule.of(chosen, client)
    app = build(chosen, schedule)
    with suppress(StoreUnavailable):  # then it is done before anything is added
        schedule.agreement.make()
    found = chain(doctor.check_passwords(chosen), doctor.check_store(client), doctor.check_gateway(chosen))
    doctor.warn(doctor.require(chosen, found))
    exporter.serve("web", chosen)
    serving.run(app, host, port, access_log=chosen.access_log)
