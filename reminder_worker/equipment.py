"""What one worker process works with, assembled from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from reminder_worker import metrics, providers
from reminder_worker.answering import Answering
from reminder_worker.contacts import Contacts
from reminder_worker.delivery import Delivery
from reminder_worker.drafting import Templates
from reminder_worker.epochs import Epochs
from reminder_worker.gate import Gate
from reminder_worker.opening import Signer, WorkerKeys, load_signers
from reminder_worker.optouts import OptOuts, Tags
from reminder_worker.receipts import Receipts
from reminder_worker.reconciling import Reconciling
from reminder_worker.rehearsal import OpenGate, Rehearsal
from reminder_worker.routes import Routes
from reminder_worker.schedule import Schedule
from reminder_worker.sending import Carriers
from reminder_worker.settings import Settings
from reminder_worker.tables import Platform
from reminder_worker.watermark import Watermark


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """The parts of a worker; all of them are safe to use from many threads."""

    keys: WorkerKeys
    signers: Mapping[bytes, Signer]
    platforms: Mapping[str, Platform]
    contacts: Contacts
    templates: Templates
    carriers: Carriers
    delivery: Delivery
    rehearsal: Delivery  # for jobs that a test key handed in
    reconciling: Reconciling
    answering: Answering
    optouts: OptOuts
    epochs: Epochs
    watermark: Watermark


def load(chosen: Settings, schedule: Schedule) -> Equipment:
    """Load what only a worker may hold. Raises SettingsError."""
    tables = chosen.provider_tables()
    found = {name: providers.load(name, table) for name, table in tables.items()}
    return assemble(chosen, schedule, WorkerKeys.load(chosen.keys), found)


def assemble(
    chosen: Settings, schedule: Schedule, keys: WorkerKeys, found: Mapping[str, providers.Provider]
) -> Equipment:
    """Assemble the equipment from keys and providers. Raises SettingsError."""
    _expect(found)
    tags, templates = Tags.load(chosen.keys), Templates.load(chosen.templates)
    optouts, receipts = OptOuts(schedule, tags, chosen.platforms), Receipts(schedule)
    carriers = Carriers(
        {**found, providers.REHEARSAL: Rehearsal()},  # type: ignore[abstract]  # the rest is as in Provider
        allow_numbers=None if chosen.production else chosen.allow_numbers,
    )
    gate = _gate(chosen, schedule, tags, optouts)
    countries = [platform.countries for platform in chosen.platforms.values()]
    delivery = Delivery(schedule, carriers, Routes(chosen.routes, list(found)), gate, optouts, receipts)
    return Equipment(
        keys=keys,
        signers=load_signers({name: platform.verify_key for name, platform in chosen.platforms.items()}),
        platforms=chosen.platforms,
        contacts=Contacts.load(schedule, tags, chosen.platforms, optouts),
        templates=templates,
        carriers=carriers,
        delivery=delivery,
        rehearsal=Delivery(schedule, carriers, Routes([], [providers.REHEARSAL]), OpenGate(), optouts, receipts),
        reconciling=Reconciling(schedule, carriers, gate, delivery, resend_unknown=chosen.on_unknown == "resend"),
        answering=Answering(schedule, keys, tags, optouts, carriers, templates, countries),
        optouts=optouts,
        epochs=Epochs(schedule, chosen.keys),
        watermark=Watermark(schedule, chosen.keys),
    )


def _expect(found: Mapping[str, providers.Provider]) -> None:
    """Let the worker's metric series begin at zero."""
    metrics.know_providers([providers.REHEARSAL])
    metrics.expect_calls(found)
    lines = [name for name, one in found.items() if isinstance(one, providers.Line)]  # the others report to hooks
    metrics.expect_receipts([name for name in lines if found[name].capabilities.reports])


def _gate(chosen: Settings, schedule: Schedule, tags: Tags, optouts: OptOuts) -> Gate:
    return Gate(
        schedule,
        tags,
        optouts,
        limits={name: providers.read_table(providers.Limits, name, table) for name, table in chosen.providers.items()},
        platform_caps={name: platform.daily_cap for name, platform in chosen.platforms.items()},
        phone_cap=chosen.phone_daily_cap,
    )
