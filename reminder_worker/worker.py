"""The worker: the only process that opens a job, and so the only one that knows whom a text is for and what it says.

``remind`` is the whole product: claim, open, resolve, draft, deliver, settle.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from reminder_worker import endings, job, logs, magic, metrics, words
from reminder_worker.clocks import wall_time
from reminder_worker.contacts import Contact
from reminder_worker.crowd import Crowd
from reminder_worker.delivery import Order
from reminder_worker.drafting import Draft
from reminder_worker.equipment import Equipment
from reminder_worker.errors import NotSent, Reason, Refused, SettingsError, StoreUnavailable, Unopenable
from reminder_worker.hanging import Hanging
from reminder_worker.inbox import Inbox
from reminder_worker.job import FailureClass, Job, Level, State
from reminder_worker.ledger import Claim, OpenAttempt, Outcome, Wake, name_of
from reminder_worker.opening import OpenedJob, open_envelope, open_pointer
from reminder_worker.places import Places
from reminder_worker.plan import Cells, Lead, QuietHours, Slot, slots
from reminder_worker.postponing import backoff, postponed, refused, unopened
from reminder_worker.providers import Line
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.sharing import unshare
from reminder_worker.timeliness import may_be_out, wrong_moment

FURTHEST_APART = timedelta(days=1)  # of two clocks: while one is behind, keys are kept for longer
FALLBACK_LANGUAGE = "en"  # better than no text, if a pointer asks for a language without a template

log = logging.getLogger(__name__)


class Worker:
    """What one worker process holds; safe to use from many threads."""

    def __init__(self, schedule: Schedule, parts: Equipment) -> None:
        self._schedule = schedule
        self._crowd = Crowd(schedule)
        self._parts = parts
        self._places = {name: Places.of(name, tenant) for name, tenant in parts.platforms.items()}
        self._inbox: Inbox | None = None
        self.hanging = Hanging()

    def take(self, wake: Wake) -> None:
        """Do what a wake-up asks for; every log line meanwhile names the reminder."""
        name = name_of(wake.member)
        with logs.about(name), self.hanging.watched(name):
            try:
                self.remind(wake)
            except Exception:
                log.exception("wake_failed")
                raise

    def remind(self, wake: Wake) -> None:
        """Claim what a wake-up names, and do what there is to do."""
        claim = self._schedule.claim(wake)
        if isinstance(claim, OpenAttempt):
            self._parts.reconciling.look(claim, self._reopen)
        if isinstance(claim, Claim):
            try:
                if claim.called:
                    self._crowd.arrived(claim.called, wake.member)
                self._tell(claim)
            except StoreUnavailable:
                self._put_back(claim)
                raise

    def _put_back(self, claim: Claim) -> None:
        """Put a reminder back into the schedule if only the server of shard 0, where all limits are, is away.

        Otherwise its claims would end one after the other, as if workers died of it, and make it a dead letter.
        """
        if self._schedule.shard_of(claim.wake.id):
            with suppress(StoreUnavailable):
                self._settle(claim, Outcome.hold(Reason.NOT_CONFIRMED, backoff(claim.tries)))

    def _tell(self, claim: Claim) -> None:
        """Take one reminder from its claim to a text."""
        expires = None  # until it is open
        try:
            sealed, opened, slot = self._open(claim)
            expires = slot.expires
            wrong = wrong_moment(opened, slot, self._quiet_hours(sealed), claim.now, wall_time())
            if outcome := may_be_out(slot, claim.sent_until) or wrong:
                self._settle(claim, outcome)
                return
            contact = self._resolve(sealed)
            draft = self._draft(sealed, opened, contact)
        except Unopenable as error:
            metrics.count(metrics.REJECTED, reason=error.reason)
            if error.lacks_key:
                log.warning("key_missing", extra={"reason": error.reason})
            self._settle(claim, unopened(claim, error, expires))
        except Refused as error:
            self._settle(claim, ending(error))
        except NotSent as error:  # the platform could not be asked where it goes
            self._settle(claim, postponed(claim, error, slot.expires))
        else:
            delivery = self._parts.rehearsal if sealed.test else self._parts.delivery
            delivery.deliver(claim, Order(sealed.platform, contact, draft, slot.expires, slot.due))

    def _reopen(self, attempt: OpenAttempt) -> Order | None:
        """Return the text of an attempt in doubt again; None if it must not be sent any more. Raises NotSent."""
        try:
            sealed, opened, slot = self._open(attempt)
            contact = self._resolve(sealed, catch_up=True)
            wrong = wrong_moment(opened, slot, self._quiet_hours(sealed), attempt.now, wall_time())
            expires = attempt.now if wrong else slot.expires  # in quiet hours it is looked for, but not sent
            return Order(sealed.platform, contact, self._draft(sealed, opened, contact), expires)
        except Unopenable as error:
            if error.lacks_key:
                raise NotSent(error.reason) from None
            return None
        except Refused:
            return None

    def _open(self, claim: Claim | OpenAttempt) -> tuple[OpenedJob, Job, Slot]:
        """Open the envelope; the signed job, not Redis, tells when the lead may go out. Raises Unopenable."""
        sealed = open_envelope(self._parts.keys, self._parts.signers, claim.envelope, entry_id=claim.wake.id)
        opened = Job(job.from_time(sealed.body.time), sealed.body.location, sealed.body.pointer)
        leads = [Lead.parse(text) for text in sealed.body.leads]
        cells = Cells.of(self._parts.platforms[sealed.platform].due_grid, sealed.id)
        planned = slots(opened.time, leads, self._quiet_hours(sealed), cells)
        if claim.wake.lead >= len(planned):
            raise Unopenable(Reason.MALFORMED)
        return sealed, opened, planned[claim.wake.lead]

    def _quiet_hours(self, sealed: OpenedJob) -> QuietHours | None:
        return self._parts.platforms[sealed.platform].quiet_hours

    def _resolve(self, sealed: OpenedJob, *, catch_up: bool = False) -> Contact:
        """Open the pointer and find the phone behind it, if that wants texts. Raises Unopenable, Refused, NotSent."""
        address = open_pointer(self._parts.keys, sealed.platform, sealed.body.pointer)
        number = address.uri.removeprefix("tel:")
        if sealed.test and number in magic.PARTS.values():
            return Contact(number, address.language)
        return self._parts.contacts.find(sealed.platform, address.uri, address.language, catch_up=catch_up)

    def _draft(self, sealed: OpenedJob, opened: Job, contact: Contact) -> Draft:
        """Write the text; a place that may not be shown is left out."""
        tenant = self._parts.platforms[sealed.platform]
        level, place = self._place(sealed.platform, tenant.level, opened.location)
        language = contact.language if self._parts.templates.speaks(contact.language) else FALLBACK_LANGUAGE
        return self._parts.templates.draft(
            language=language,
            when=opened.time,
            location=place,
            level=level,
            sender=tenant.sender,
            not_you=tenant.not_you,
        )

    def _place(self, platform: str, level: Level, location: str) -> tuple[Level, str]:
        """Return how much a text may tell, and the place as it may be shown."""
        if level is Level.TIME:
            return level, ""
        try:
            return level, self._places[platform].check(location)
        except Refused as refusal:
            log.warning("place_withheld", extra={"reason": refusal.reason})
            return Level.TIME, ""

    def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Record how a claim ended before any provider was asked."""
        if self._schedule.settle(claim.wake, outcome, token=claim.token):
            endings.tell(outcome)

    def beat(self, name: str) -> None:
        """Show that this process lives, follow published keys, and forget the keys of weeks that are over.

        What is forgotten never comes back, so the earlier of two clocks decides when a week is over. If the store was
        put back, this process is given nothing, and does not beat, so that nobody takes it for one that works.
        """
        if not self._parts.watermark.rise():
            return
        told, own = self._schedule.beat(name), datetime.now(UTC)
        if abs(own - told) > FURTHEST_APART:
            log.error("clocks_differ")
        if self._inbox is not None:  # before anything that a full disk may end: people who say STOP must be heard
            self._inbox.refresh()
        keys = self._parts.keys
        try:
            keys.advance(min(told, own))
            if not keys.behind:  # what is remembered is how far the file has got
                self._parts.epochs.reach(keys.week)
        except (SettingsError, OSError):
            keys.behind = True
        if keys.behind:
            log.error("keys_behind")
        self._parts.watermark.keep()

    def listen(self, load: Callable[[], PublicKeys]) -> None:
        """Hear providers whose receipts come over the line that sends; ``load`` reads the keys to seal replies to."""
        self._inbox = Inbox(self._schedule, load)
        for provider in self._parts.carriers:
            if isinstance(provider, Line):
                words.load()  # as hooks does
                provider.listen(partial(self._inbox.take, provider))

    def close(self) -> None:
        """Close the providers, and remove the counters' files: their exporter may have ended too early to do so."""
        self._parts.carriers.close()
        unshare()

    def leave(self, name: str) -> None:
        """Record that this process ends in order."""
        with suppress(StoreUnavailable):
            self._schedule.leave(name)

    def answer(self) -> None:
        """Do what people's replies ask for."""
        self._parts.answering.read_all(self._schedule.now())

    def help(self) -> None:
        """Answer people who asked what this is."""
        self._parts.answering.help()

    def forget(self) -> None:
        """Have providers remove what they should not keep."""
        self._parts.delivery.forget()


def ending(error: Refused) -> Outcome:
    """Return how a reminder ends whose platform took it back, or whose phone may not be texted."""
    if error.reason is Reason.CONTACT_GONE:
        return Outcome.final(State.CANCELLED, error.reason, FailureClass.PERMANENT)
    return refused(error.reason)
