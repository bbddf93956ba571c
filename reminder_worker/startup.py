"""How a worker starts: what is checked, what is loaded, and the processes that it is made of.

The first process holds no key. The others are made from it, so that all share what they load in common: the program,
the words that no text may show, and what these find in the templates.
"""

import logging
import multiprocessing
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain

import dramatiq
from dramatiq import cli

from reminder_worker import broker as queue
from reminder_worker import disclosure, doctor, equipment, exporter, lint, logs, numbers, settings, store
from reminder_worker.affinity import keep_together
from reminder_worker.confinement import confine
from reminder_worker.drafting import Templates
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.findings import Finding
from reminder_worker.lifeline import apart, end_once, end_with_first, end_with_terminal
from reminder_worker.pulse import Pulse
from reminder_worker.root import Published
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings
from reminder_worker.worker import Worker

WRONG_USE = 2  # exit code
_UNTOLD = (
    "the store refuses to tell how far the ratchet had got, when a worker was last there, or who opted out; renew its "
    "users.acl, or see docs/keys.md and docs/backup.md"
)


def run(chosen: Settings, processes: int, threads: int) -> int:
    """Start a worker's processes and return their exit code once they have ended. Raises SettingsError."""
    logs.set_up(chosen.log_level, chosen.log_format)
    disclosure.load()
    numbers.load()
    with suppress(SettingsError):  # is reported below
        lint.check_templates(Templates.load(chosen.templates))
    url = store.url_of(chosen)
    apart(lambda: prepare(chosen, url))  # what is wrong is reported once, not by each process
    if sys.platform == "linux":  # where a later Python would have them made by a server, which has loaded nothing
        multiprocessing.set_start_method("fork", force=True)
    cli.HANDLED_SIGNALS.discard(signal.SIGHUP)  # dramatiq would take it as: start again, though the terminal is gone
    end_with_terminal()
    counts = "--processes", str(processes), "--threads", str(threads), "--skip-logging"
    words = cli.make_argument_parser().parse_args([f"{__name__}:setup", *counts])  # type: ignore[no-untyped-call]
    return int(cli.main(words))  # type: ignore[no-untyped-call]


def setup() -> None:
    """Set up the worker of one process: ``dramatiq reminder_worker.startup:setup``."""
    end_with_first()  # dramatiq's own processes would go on without it, and pile up with each restart
    end_once()
    confine()
    logs.set_up()  # before the settings are read: what is wrong with them, or with us, is logged like all else
    told, sys.stdout, sys.stderr = sys.stderr, logs.Unheard(), logs.Unheard()  # before a plug-in is loaded
    try:
        _set_up(settings.read())
    except SettingsError as error:  # dramatiq would print a traceback
        told.write(f"reminder-worker: error: {error}\n")
        sys.exit(WRONG_USE)


def _set_up(chosen: Settings) -> None:
    logs.set_up(chosen.log_level, chosen.log_format)
    url = store.url_of(chosen)
    worker, found = prepare(chosen, url)
    doctor.warn(found)
    keep_together()
    worker.listen(Published(chosen.keys, chosen.root).load)
    beside = [exporter.serve_worker] if chosen.metrics_listen is not None else []
    chores = worker.answer, worker.help, worker.forget
    pulse = Pulse(worker.beat, chores, worker.close, worker.leave, beside, look=worker.hanging.look)
    broker = queue.connect(store.queue_url_of(chosen, url), [pulse])

    def remind(id: str, lead: int, version: int) -> None:  # noqa: A002 - the message's own names
        worker.take(queue.read(id, lead, version))

    actor = dramatiq.actor(actor_name=queue.ACTOR, queue_name=queue.QUEUE, broker=broker)(remind)
    actor.logger.setLevel(logging.WARNING)  # named after our module, and as talkative as dramatiq's other loggers
    dramatiq.set_broker(broker)


def prepare(chosen: Settings, url: str) -> tuple[Worker, list[Finding]]:
    """Check everything and load what only a worker may hold. Raises SettingsError."""
    client = store.connect(url)
    checks = doctor.check_passwords(chosen), doctor.check_store(client), doctor.check_worker(chosen)
    found = doctor.require(chosen, chain(*checks))
    schedule = Schedule.of(chosen, client)
    parts = equipment.load(chosen, schedule)
    try:
        schedule.agreement.check()
        parts.epochs.check(datetime.now(UTC))
        parts.watermark.check()
        parts.optouts.check()
    except StoreUnavailable as error:  # it answered above: it refuses to tell this, or a part of it is away
        if chosen.production:
            raise SettingsError(_UNTOLD if error.refused else str(error)) from None
    return Worker(schedule, parts), found
