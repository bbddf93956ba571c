"""How a command acts for a booking platform: as the settings on its machine say."""

from typing import Any

from reminder_worker import store
from reminder_worker.apikeys import read_key
from reminder_worker.client.direct import Client
from reminder_worker.client.over_http import HttpClient
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.mistakes import named
from reminder_worker.places import Places
from reminder_worker.root import Published
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys
from reminder_worker.settings import Settings

PATIENCE = 20.0  # seconds: a person waits


def choose(chosen: Settings, platform: str | None) -> Client | HttpClient:
    """Return the client of a platform: through the gateway if the settings have its table, else beside the ledger.

    Raises SettingsError.
    """
    if chosen.gateway is not None:
        way = chosen.gateway
        with named("gateway.key_file"):
            key = read_key(way.key_file)
        options: dict[str, Any] = {"platform": way.platform, "root": way.root, "pinned": way.pinned}
        return HttpClient(way.url, key, countries=way.countries, patience=PATIENCE, **options)
    name, tenant = chosen.platform(platform)
    own, worker_s = keys_of(chosen, name), Published(chosen.keys, chosen.root).load()
    schedule = Schedule.of(chosen, store.connect(store.url_of(chosen)))
    schedule.agreement.check()
    return Client(
        schedule,
        own,
        worker_s,
        leads=tenant.leads,
        quiet_hours=tenant.quiet_hours,
        due_grid=tenant.due_grid,
        countries=tenant.countries,
        places=Places.of(name, tenant, bytes(own.signing.verify_key)),
    )


def keys_of(chosen: Settings, name: str) -> PlatformKeys:
    """Read a platform's own keys, or the gateway's if it has none. Raises SettingsError."""
    own = chosen.keys / f"{name}.key"
    if own.exists() or not (chosen.keys / "gateway.key").exists():
        return PlatformKeys.load(own)
    return GatewayKeys.load(chosen.keys).platform(name, Mode.LIVE)
