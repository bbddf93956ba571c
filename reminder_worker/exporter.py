"""Where Prometheus asks: on an address of its own, so that what is open to the world shows none of it.

Whoever reaches it learns how many reminders there are and how they end, nothing of anybody. A worker's series are
served by a process beside its own, which holds no key and adds up what they count; they share it in a folder that is
gone when the worker ends.
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

ONCE_MORE = 10.0  # seconds until a worker's address is tried again that was taken
PATIENCE = 1.0  # seconds for each reader: three of them and the rest within the shortest time that a scrape may take

log = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began: twice as many, for nobody


def serve(kind: str, chosen: Settings) -> None:
    """Answer Prometheus beside this process's work, where the settings say so; one that cannot still does its work."""
    if chosen.metrics_listen is not None:
        metrics.know_providers(chosen.providers)
        metrics.REGISTRY.register(Gauges(*_readers(kind, chosen, _impatient(chosen))))
        _listen(kind, chosen, metrics.REGISTRY)


def serve_worker() -> int:
    """Answer Prometheus for all processes of a worker, until it ends; dramatiq starts this beside them.

    It waits for SIGTERM, and leaves it to no handler: dramatiq's raises an exit, which is lost where it is raised while
    an object is cleared away.
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
    """Connect anew: who waits for a silent store as long as the work does answers nothing, not even that it is away."""
    client = store.connect(store.url_of(chosen), socket_timeout=PATIENCE, retry=store.retrying(0))
    return Schedule.of(chosen, client)


def _readers(kind: str, chosen: Settings, schedule: Schedule) -> list[Reader]:
    """Say what a process can tell: the scheduler alone may list what is due, the worker alone look at circuits."""
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
    except OSError as error:  # taken, say: texts go out all the same
        log.error("metrics_not_served", extra={"error": type(error).__name__})  # noqa: TRY400
        return False
    return True
