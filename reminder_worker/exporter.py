"""Serves metrics to Prometheus, on an address of its own, so that what is open to the world shows none of them.

Anyone who reaches it learns how many reminders there are and how they end, and nothing of any person. A worker's series
are served by a process beside its own, which holds no key and adds up what they count; they share the counts in a
folder that is gone when the worker ends.
"""

import logging
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from reminder_worker import gauges, logs, metrics, settings, store
from reminder_worker.confinement import confine
from reminder_worker.gauges import Gauges, Reader
from reminder_worker.lifeline import end_with_first
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings
from reminder_worker.sharing import SHARED, unshare

ONCE_MORE = 10.0  # seconds before a worker tries again an address that was taken
PATIENCE = 1.0  # seconds for each reader: three of them and the rest fit the shortest time that a scrape may take

log = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began: twice as many, and unused


def serve(kind: str, chosen: Settings) -> None:
    """Answer Prometheus beside this process's work, if the settings say so; if it cannot, the work still goes on."""
    if chosen.metrics_listen is not None:
        metrics.know_providers(chosen.providers)
        metrics.REGISTRY.register(Gauges(*_readers(kind, chosen, _impatient(chosen))))
        _listen(kind, chosen, metrics.REGISTRY)


def serve_worker() -> int:
    """Answer Prometheus for all processes of a worker, until it ends; dramatiq starts this beside them.

    It waits for SIGTERM and leaves it to no handler: dramatiq's raises an exit, which is lost if it is raised while an
    object is being finalised.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    end_with_first()
    confine()
    logs.set_up()
    try:
        chosen = settings.read()
        logs.set_up(chosen.log_level, chosen.log_format)
        schedule = _impatient(chosen)
        registry = CollectorRegistry()
        if SHARED in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it registers itself
        registry.register(Gauges(*_readers("worker", chosen, schedule)))
        threading.Thread(target=_listen_at_last, args=("worker", chosen, registry), daemon=True).start()
        signal.sigwait({signal.SIGTERM})
        return 0
    finally:
        unshare()


def _impatient(chosen: Settings) -> Schedule:
    """Connect anew: with the work's patience for a silent store, not even the store's absence would be reported."""
    client = store.connect(store.url_of(chosen), socket_timeout=PATIENCE, retry=store.retrying(0))
    return Schedule.of(chosen, client)


def _readers(kind: str, chosen: Settings, schedule: Schedule) -> list[Reader]:
    """Return what a process can read: only the scheduler may list what is due, only the worker may look at circuits."""
    readers: list[Reader] = [partial(gauges.clock, schedule)]
    if kind == "scheduler":
        return [*readers, partial(gauges.ledger, schedule)]
    if kind == "ops":
        return readers
    if kind == "worker":
        readers += [partial(gauges.circuits, schedule, [*chosen.providers]), partial(gauges.epoch, schedule)]
    return [*readers, partial(gauges.published, partial(_public, chosen.keys / "worker.pub.json"))]


def _public(path: Path) -> object:
    from reminder_worker.sealing import PublicKeys  # noqa: PLC0415 - not for blind processes

    return PublicKeys.load(path)


def _listen_at_last(kind: str, chosen: Settings, registry: CollectorRegistry) -> None:
    while not _listen(kind, chosen, registry):  # the worker before this one may be ending
        time.sleep(ONCE_MORE)


def _listen(kind: str, chosen: Settings, registry: CollectorRegistry) -> bool:
    host, port = chosen.metrics_address(kind)
    try:
        start_http_server(port, host, registry)
    except OSError as error:  # such as an address in use: texts still go out
        log.error("metrics_not_served", extra={"error": type(error).__name__})  # noqa: TRY400
        return False
    return True
