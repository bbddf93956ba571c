"""A booking platform with its own keys, beside the ledger: it signs and seals here, and adds the result."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from reminder_worker import job, sealing
from reminder_worker.client.appointment import Appointment, uri_of
from reminder_worker.encoding import Body
from reminder_worker.errors import Refused
from reminder_worker.ledger import Answer, Entry, Reminder
from reminder_worker.places import Places
from reminder_worker.plan import Cells, Grid, Lead, QuietHours, plan
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys


@lru_cache(256)
def _texts(leads: tuple[Lead, ...]) -> tuple[str, ...]:
    """Write leads as the format wants them, longest first; if clocks change, a shorter lead may fall due earlier."""
    return tuple(map(str, sorted(set(leads), reverse=True)))


class Client:
    """One booking platform beside its ledger; safe to use from many threads."""

    def __init__(
        self,
        schedule: Schedule,
        platform: PlatformKeys,
        worker: PublicKeys,
        *,
        leads: Sequence[Lead],
        quiet_hours: QuietHours | None = None,
        due_grid: Grid | None = None,
        countries: Collection[str] = (),
        places: Places | None = None,
    ) -> None:
        self._schedule = schedule
        self._platform = platform
        self._worker = worker
        self._leads = tuple(leads)
        self._quiet = quiet_hours
        self._grid = due_grid
        self._countries = countries
        self._places = places or Places()

    def seal(self, appointment: Appointment, now: datetime | None = None) -> Entry:
        """Plan, sign and seal one appointment. Raises Refused."""
        now = now or datetime.now(UTC)
        place = self._places.check(appointment.location)
        id_ = sealing.make_id(self._platform, appointment.reference)
        wanted, cells = appointment.leads or self._leads, Cells.of(self._grid, id_)
        every, left = plan(appointment.time, wanted, self._quiet, now, cells)
        ahead = {slot.lead: slot.due for slot in left}
        pointer, uri, language = self._point(appointment)
        when, leads = job.to_time(appointment.time), _texts(wanted)
        body = Body(when, place, pointer, leads, int(now.timestamp()))
        tag = sealing.content_tag(self._platform, id_, body, uri=uri, language=language)
        envelope = sealing.seal_envelope(self._worker, self._platform, id_, body, max(ahead.values()))
        # Every lead keeps its number, even one that has passed: which leads are left changes with time.
        return Entry(id_, tag, envelope, tuple(ahead.get(slot.lead) for slot in every))

    def check_place(self, location: str) -> None:
        """Check that an appointment with this place would be accepted. Raises Refused."""
        self._places.check(location)

    def _point(self, appointment: Appointment) -> tuple[bytes, str, str]:
        """Return the pointer and, if it was sealed here, what it was sealed from."""
        if appointment.pointer is not None:
            return sealing.pointer_from_text(self._worker, appointment.pointer), "", ""
        uri, language = uri_of(appointment, self._countries)
        return sealing.seal_pointer(self._worker, self._platform.name, uri, language), uri, language

    def add(self, appointments: Iterable[Appointment]) -> list[Answer | Refused]:
        """Add appointments, or move those that changed; answers in their order, refusals among them.

        Raises StoreUnavailable; adding the same again is always safe.
        """
        sealed = [self._try(appointment) for appointment in appointments]
        answers = iter(self._schedule.add([entry for entry in sealed if isinstance(entry, Entry)]))
        return [next(answers) if isinstance(entry, Entry) else entry for entry in sealed]

    def _try(self, appointment: Appointment) -> Entry | Refused:
        try:
            return self.seal(appointment)
        except Refused as refusal:
            return refusal

    def cancel(self, reference: str) -> Answer:
        """Take an appointment back. Raises Refused for a reference that cannot be one, StoreUnavailable."""
        return self._schedule.cancel(sealing.make_id(self._platform, reference))

    def show(self, reference: str) -> list[Reminder]:
        """Return what became of each lead; empty if nothing is known. Raises Refused, StoreUnavailable."""
        return self._schedule.show(sealing.make_id(self._platform, reference))
