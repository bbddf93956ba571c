"""The worker: the only process that opens a job, and the only one that ever sees a phone number.

``remind`` is the whole product: claim, open, resolve, draft, deliver, settle.
"""

import logging
import os
import secrets
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain

import dramatiq

from reminder_worker import broker as queue
from reminder_worker import contacts, disclosure, doctor, job, logs, providers, settings, store
from reminder_worker.contacts import Contact
from reminder_worker.delivery import Delivery
from reminder_worker.drafting import Draft, Templates
from reminder_worker.errors import Reason, Refused, SettingsError, StoreUnavailable, Unopenable
from reminder_worker.job import FailureClass, Job, Level, State
from reminder_worker.ledger import Claim, OpenAttempt, Outcome, Wake
from reminder_worker.lifeline import end_with_parent
from reminder_worker.opening import Signer, WorkerKeys, load_signers, open_envelope, open_pointer
from reminder_worker.plan import EXPIRES_BEFORE, QUIET_GRACE, Lead, QuietHours, Slot, slots
from reminder_worker.routes import Routes
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Platform, Settings

EARLY = timedelta(seconds=5)  # between a platform's clock and the store's
BEAT_EVERY = 5.0  # seconds
WRONG_USE = 2  # exit code
FALLBACK_LANGUAGE = "en"  # better than no text, where a pointer asks for a language without a template

log = logging.getLogger(__name__)


class Worker:
    """What one worker process holds; safe to use from many threads."""

    def __init__(
        self,
        schedule: Schedule,
        keys: WorkerKeys,
        signers: Mapping[bytes, Signer],
        platforms: Mapping[str, Platform],
        templates: Templates,
        delivery: Delivery,
    ) -> None:
        self._schedule = schedule
        self._keys = keys
        self._signers = signers
        self._platforms = platforms
        self._templates = templates
        self._delivery = delivery

    def remind(self, wake: Wake) -> None:
        """Tell the story of one reminder, from a wake-up to a text."""
        claim = self._schedule.claim(wake)
        if isinstance(claim, OpenAttempt):
            self._delivery.look(claim)
        if not isinstance(claim, Claim):
            return
        try:
            name, opened, slot = self._open(claim)
            if outcome := wrong_moment(opened, slot, self._platforms[name].quiet_hours, claim.now):
                self._settle(claim, outcome)
                return
            contact = self._resolve(name, opened)
            draft = self._draft(name, opened, contact)
        except (Unopenable, Refused) as error:
            self._settle(claim, ending(error))
        else:
            self._delivery.deliver(claim, contact, draft, slot.expires)

    def _open(self, claim: Claim) -> tuple[str, Job, Slot]:
        """Open the envelope; when the lead may go out is told by the signed job, not by Redis. Raises Unopenable."""
        sealed = open_envelope(self._keys, self._signers, claim.envelope, entry_id=claim.wake.id)
        opened = Job(job.from_time(sealed.body.time), sealed.body.location, sealed.body.pointer)
        leads = [Lead.parse(text) for text in sealed.body.leads]
        planned = slots(opened.time, leads, self._platforms[sealed.platform].quiet_hours)
        if claim.wake.lead >= len(planned):
            raise Unopenable(Reason.MALFORMED)
        return sealed.platform, opened, planned[claim.wake.lead]

    def _resolve(self, platform: str, opened: Job) -> Contact:
        """Open the pointer and find the phone behind it. Raises Unopenable, Refused."""
        address = open_pointer(self._keys, platform, opened.pointer)
        return contacts.resolve(address.uri, address.language, self._platforms[platform].countries)

    def _draft(self, platform: str, opened: Job, contact: Contact) -> Draft:
        """Write the text; a place that discloses is left out."""
        tenant = self._platforms[platform]
        level = Level.TIME if disclosure.discloses(opened.location) else tenant.level
        language = contact.language if self._templates.speaks(contact.language) else FALLBACK_LANGUAGE
        return self._templates.draft(
            language=language,
            when=opened.time,
            location=opened.location,
            level=level,
            sender=tenant.sender,
            not_you=tenant.not_you,
        )

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Write down how a claim ended before any provider was asked."""
        self._schedule.settle(claim.wake, outcome, token=claim.token)
        log.info("settled", extra={"state": outcome.kind, "reason": outcome.reason})

    def beat(self, name: str) -> None:
        """Show that this process lives, and forget the keys of weeks that are over.

        What is forgotten never comes back, so the earlier of two clocks decides when a week is over.
        """
        now = min(self._schedule.beat(name), datetime.now(UTC))
        try:
            self._keys.advance(now)
        except SettingsError:
            log.error("keys_behind")  # noqa: TRY400 - there is nothing to trace


def wrong_moment(opened: Job, slot: Slot, quiet: QuietHours | None, now: datetime) -> Outcome | None:
    """Say what becomes of a reminder that cannot go out now; None where it can."""
    if now >= slot.expires:
        last = slot.expires == opened.time.astimezone(UTC) - EXPIRES_BEFORE  # not on the wall clock
        reason = Reason.TOO_LATE if last else Reason.SUPERSEDED
        return Outcome.final(State.EXPIRED, reason, FailureClass.TEMPORARY)
    if now < slot.due - EARLY:  # whoever can write to Redis can wake early, and nothing more
        return Outcome.hold(Reason.TOO_EARLY, slot.due - now)
    local = now.astimezone(opened.time.tzinfo)
    if quiet and quiet.cover(local) and quiet.cover(local - QUIET_GRACE):
        awake = quiet.after(local)
        if awake >= slot.expires:
            return Outcome.final(State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)
        return Outcome.hold(Reason.QUIET_HOURS, awake - now)
    return None


def ending(error: Unopenable | Refused) -> Outcome:
    """Say how a reminder ends that cannot be opened, or whose phone may not be texted."""
    state = State.REJECTED if isinstance(error, Unopenable) else State.FAILED
    return Outcome.final(state, error.reason, FailureClass.PERMANENT)


class Pulse(dramatiq.Middleware):
    """Beats while the process works; the only middleware there is."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._stop = threading.Event()
        self._name = f"worker/{os.getpid()}-{secrets.token_hex(3)}"

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        """Start beating."""
        log.info("worker_started")
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        """Stop beating; what is in flight is finished by dramatiq."""
        self._stop.set()
        log.info("worker_stopping")

    def _beat(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                self._worker.beat(self._name)
            if self._stop.wait(BEAT_EVERY):
                return


def setup() -> None:
    """Set up the worker of one process: ``dramatiq reminder_worker.worker:setup``."""
    end_with_parent()  # dramatiq's own processes would go on without it, and pile up with each restart
    logs.set_up()
    try:
        _set_up(settings.read())
    except SettingsError as error:  # dramatiq would print a traceback
        sys.stderr.write(f"reminder-worker: error: {error}\n")
        sys.exit(WRONG_USE)


def _set_up(chosen: Settings) -> None:
    url = store.resolve_url(chosen.store_url)
    worker, found = prepare(chosen, url)
    doctor.warn(found)
    broker = queue.connect(store.queue_url(chosen.queue_url, url), [Pulse(worker)])

    def remind(id: str, lead: int, version: int) -> None:  # noqa: A002 - the message's own names
        worker.remind(queue.read(id, lead, version))

    dramatiq.actor(actor_name=queue.ACTOR, queue_name=queue.QUEUE, broker=broker)(remind)
    dramatiq.set_broker(broker)


def prepare(chosen: Settings, url: str) -> tuple[Worker, list[doctor.Finding]]:
    """Check everything and load what only a worker may hold. Raises SettingsError."""
    client = store.connect(url)
    found = doctor.require(chosen, chain(doctor.check_store(client), doctor.check_worker(chosen)))
    return build(chosen, Schedule.of(chosen, client)), found


def build(chosen: Settings, schedule: Schedule) -> Worker:
    """Load what only a worker may hold. Raises SettingsError."""
    carriers = {name: providers.load(name, table) for name, table in chosen.providers.items()}
    delivery = Delivery(
        schedule,
        carriers,
        Routes(chosen.routes, list(carriers)),
        allow_numbers=None if chosen.production else chosen.allow_numbers,
        resend_unknown=chosen.on_unknown == "resend",
    )
    return Worker(
        schedule,
        WorkerKeys.load(chosen.keys),
        load_signers({name: platform.verify_key for name, platform in chosen.platforms.items()}),
        chosen.platforms,
        Templates.load(chosen.templates),
        delivery,
    )
