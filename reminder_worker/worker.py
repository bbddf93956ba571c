"""The worker: the only process that opens a job, and the only one that ever sees a phone number.

``remind`` is the whole product: claim, open, resolve, draft, deliver, settle.
"""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain

import dramatiq

from reminder_worker import broker as queue
from reminder_worker import disclosure, doctor, job, logs, providers, settings, store
from reminder_worker.answering import Answering
from reminder_worker.contacts import Contact, Contacts
from reminder_worker.delivery import Delivery, Order, postponed, refused
from reminder_worker.drafting import Draft, Templates
from reminder_worker.errors import NotSent, Reason, Refused, SettingsError, Unopenable
from reminder_worker.findings import Finding
from reminder_worker.gate import Gate
from reminder_worker.inbox import Inbox
from reminder_worker.job import FailureClass, Job, Level, State
from reminder_worker.ledger import Claim, OpenAttempt, Outcome, Wake
from reminder_worker.lifeline import end_with_parent
from reminder_worker.opening import Signer, WorkerKeys, load_signers, open_envelope, open_pointer
from reminder_worker.optouts import OptOuts, Tags
from reminder_worker.plan import Lead, Slot, slots
from reminder_worker.pulse import Pulse
from reminder_worker.receipts import Receipts
from reminder_worker.reconciling import Reconciling
from reminder_worker.routes import Routes
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.sending import Carriers
from reminder_worker.settings import Platform, Settings
from reminder_worker.timeliness import wrong_moment

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
        contacts: Contacts,
        templates: Templates,
        carriers: Carriers,
        delivery: Delivery,
        reconciling: Reconciling,
        answering: Answering,
    ) -> None:
        self.schedule = schedule
        self._keys = keys
        self._signers = signers
        self._platforms = platforms
        self._contacts = contacts
        self._templates = templates
        self.carriers = carriers
        self._delivery = delivery
        self._reconciling = reconciling
        self._answering = answering

    def remind(self, wake: Wake) -> None:
        """Tell the story of one reminder, from a wake-up to a text."""
        claim = self.schedule.claim(wake)
        if isinstance(claim, OpenAttempt):
            self._reconciling.look(claim, self._reopen)
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
        except NotSent as error:  # the platform could not be asked where it goes
            self._settle(claim, postponed(claim, error, slot.expires))
        else:
            self._delivery.deliver(claim, Order(name, contact, draft, slot.expires))

    def _reopen(self, attempt: OpenAttempt) -> Order | None:
        """Give the text of an attempt in doubt again; None where it must not be sent any more. Raises NotSent."""
        try:
            name, opened, slot = self._open(attempt)
            contact = self._resolve(name, opened, catch_up=True)
            wrong = wrong_moment(opened, slot, self._platforms[name].quiet_hours, attempt.now)
            expires = attempt.now if wrong else slot.expires  # in quiet hours it is looked for, and not sent
            return Order(name, contact, self._draft(name, opened, contact), expires)
        except (Unopenable, Refused):
            return None

    def _open(self, claim: Claim | OpenAttempt) -> tuple[str, Job, Slot]:
        """Open the envelope; when the lead may go out is told by the signed job, not by Redis. Raises Unopenable."""
        sealed = open_envelope(self._keys, self._signers, claim.envelope, entry_id=claim.wake.id)
        opened = Job(job.from_time(sealed.body.time), sealed.body.location, sealed.body.pointer)
        leads = [Lead.parse(text) for text in sealed.body.leads]
        planned = slots(opened.time, leads, self._platforms[sealed.platform].quiet_hours)
        if claim.wake.lead >= len(planned):
            raise Unopenable(Reason.MALFORMED)
        return sealed.platform, opened, planned[claim.wake.lead]

    def _resolve(self, platform: str, opened: Job, *, catch_up: bool = False) -> Contact:
        """Open the pointer and find the phone behind it, which wants texts. Raises Unopenable, Refused, NotSent."""
        address = open_pointer(self._keys, platform, opened.pointer)
        return self._contacts.find(platform, address.uri, address.language, catch_up=catch_up)

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
        self.schedule.settle(claim.wake, outcome, token=claim.token)
        log.info("settled", extra={"state": outcome.kind, "reason": outcome.reason})

    def beat(self, name: str) -> None:
        """Show that this process lives, and forget the keys of weeks that are over.

        What is forgotten never comes back, so the earlier of two clocks decides when a week is over.
        """
        now = min(self.schedule.beat(name), datetime.now(UTC))
        try:
            self._keys.advance(now)
        except SettingsError:
            log.error("keys_behind")  # noqa: TRY400 - there is nothing to trace

    def answer(self) -> None:
        """Do what people's answers ask for."""
        self._answering.read_all(self.schedule.now())

    def forget(self) -> None:
        """Have providers remove what they should not keep."""
        self._delivery.forget()


def ending(error: Unopenable | Refused) -> Outcome:
    """Say how a reminder ends that cannot be opened, whose platform took it back, or whose phone may not be texted."""
    if isinstance(error, Unopenable):
        return Outcome.final(State.REJECTED, error.reason, FailureClass.PERMANENT)
    if error.reason is Reason.CONTACT_GONE:
        return Outcome.final(State.CANCELLED, error.reason, FailureClass.PERMANENT)
    return refused(error.reason)


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
    listen(chosen, worker)
    pulse = Pulse(worker.beat, [worker.answer, worker.forget], worker.carriers.close)
    broker = queue.connect(store.queue_url(chosen.queue_url, url), [pulse])

    def remind(id: str, lead: int, version: int) -> None:  # noqa: A002 - the message's own names
        worker.remind(queue.read(id, lead, version))

    dramatiq.actor(actor_name=queue.ACTOR, queue_name=queue.QUEUE, broker=broker)(remind)
    dramatiq.set_broker(broker)


def listen(chosen: Settings, worker: Worker) -> None:
    """Hear providers whose receipts come over the line that sends. Raises SettingsError."""
    lines = [provider for provider in worker.carriers if isinstance(provider, providers.Line)]
    if lines:
        inbox = Inbox(worker.schedule, PublicKeys.load(chosen.keys / "worker.pub.json"))
        for line in lines:
            line.listen(partial(inbox.take, line))


def prepare(chosen: Settings, url: str) -> tuple[Worker, list[Finding]]:
    """Check everything and load what only a worker may hold. Raises SettingsError."""
    client = store.connect(url)
    found = doctor.require(chosen, chain(doctor.check_store(client), doctor.check_worker(chosen)))
    return build(chosen, Schedule.of(chosen, client)), found


def build(chosen: Settings, schedule: Schedule) -> Worker:
    """Load what only a worker may hold. Raises SettingsError."""
    tables = chosen.provider_tables()
    return assemble(
        chosen,
        schedule,
        WorkerKeys.load(chosen.keys),
        {name: providers.load(name, table) for name, table in tables.items()},
    )


def assemble(chosen: Settings, schedule: Schedule, keys: WorkerKeys, found: Mapping[str, providers.Provider]) -> Worker:
    """Put a worker together from its keys and its providers. Raises SettingsError."""
    tags, templates = Tags.load(chosen.keys), Templates.load(chosen.templates)
    optouts, receipts = OptOuts(schedule, tags, chosen.platforms), Receipts(schedule)
    contacts = Contacts.load(schedule, tags, chosen.platforms, optouts)
    carriers = Carriers(found, allow_numbers=None if chosen.production else chosen.allow_numbers)
    gate = Gate(
        schedule,
        tags,
        optouts,
        limits={name: providers.read_table(providers.Limits, name, table) for name, table in chosen.providers.items()},
        platform_caps={name: platform.daily_cap for name, platform in chosen.platforms.items()},
        phone_cap=chosen.phone_daily_cap,
    )
    routes = Routes(chosen.routes, list(found))
    delivery = Delivery(schedule, carriers, routes, gate, optouts, receipts)
    signers = load_signers({name: platform.verify_key for name, platform in chosen.platforms.items()})
    reconciling = Reconciling(schedule, carriers, gate, delivery, resend_unknown=chosen.on_unknown == "resend")
    answering = Answering(schedule, keys, tags, optouts, carriers, templates)
    return Worker(
        schedule, keys, signers, chosen.platforms, contacts, templates, carriers, delivery, reconciling, answering
    )
