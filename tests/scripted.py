"""A provider that answers as a test wrote down, and a practice around one worker, under a clock that stands still."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from clock import START, Clock

from reminder_worker import keys, providers
from reminder_worker.answering import Answering
from reminder_worker.client import Appointment, Client
from reminder_worker.contacts import Contacts
from reminder_worker.delivery import Delivery
from reminder_worker.drafting import Templates
from reminder_worker.epochs import Epochs
from reminder_worker.equipment import Equipment
from reminder_worker.gate import Gate
from reminder_worker.ledger import Answer, Entry, Reminder, Wake
from reminder_worker.opening import WorkerKeys, load_pointer_key, load_signers, pointer_files
from reminder_worker.optouts import OptOuts, Tags
from reminder_worker.plan import Grid, Lead
from reminder_worker.providers import Capabilities, Limits, Provider, Sent, Text
from reminder_worker.ratchet import Ratchet
from reminder_worker.receipts import Receipts
from reminder_worker.reconciling import Reconciling
from reminder_worker.rehearsal import OpenGate, Rehearsal
from reminder_worker.routes import Routes
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys
from reminder_worker.sending import Carriers
from reminder_worker.tables import Platform, Route
from reminder_worker.watermark import Watermark
from reminder_worker.worker import Worker

PARIS = ZoneInfo("Europe/Paris")
PHONE = "+33612340015"
PLACE = "27 rue des Archives, Paris"
REFERENCE = "A-1007"


class Scripted(Provider):
    """Answers call by call from its script, then accepts; ``find`` and ``search`` know what was accepted."""

    def __init__(self, *answers: Sent | Exception, name: str = "scripted", **capabilities: Any) -> None:
        self.name = name
        self.capabilities = Capabilities(**({"receipt_carries_reference": True} | capabilities))
        self.texts: list[Text] = []
        self.deadlines: list[float] = []
        self.accepted: dict[str, Sent] = {}
        self.looks: list[str] = []
        self.during: Callable[[Text], object] = lambda _: None
        self.silence: BaseException | None = None  # what ``find`` raises
        self.forgotten: list[str] = []
        self._answers = deque(answers)

    def send(self, text: Text, *, deadline: float) -> Sent:
        self.texts.append(text)
        self.deadlines.append(deadline)
        self.during(text)
        answer = self._answers.popleft() if self._answers else Sent(f"id-{len(self.texts)}", text.segments)
        if isinstance(answer, Exception):
            raise answer
        self.accepted[text.reference] = answer
        return answer

    def say(self, answer: Sent | Exception) -> None:
        """Add to what it answers."""
        self._answers.append(answer)

    def find(self, reference: str) -> Sent | None:
        self.looks.append(reference)
        if self.silence:
            raise self.silence
        return self.accepted.get(reference)

    def search(self, text: Text, asked: datetime) -> Sent | None:
        self.looks.append(text.to)
        if self.silence:
            raise self.silence
        return self.accepted.get(text.reference)

    def forget(self, provider_message_id: str) -> None:
        if self.silence:
            raise self.silence
        self.forgotten.append(provider_message_id)


class Office:
    """All that is around providers: limits, opt-outs, receipts, deliveries."""

    def __init__(
        self,
        schedule: Schedule,
        *carriers: providers.Provider,
        routes: Collection[Route] = (),
        allow: Collection[str] | None = None,
        resend: bool = False,
        limits: Mapping[str, Any] | None = None,
        platform_cap: int | None = None,
        phone_cap: int = 100,
    ) -> None:
        names = [carrier.name for carrier in carriers]
        self.tags = Tags(bytes(range(32)))
        self.optouts = OptOuts(schedule, self.tags, ["clinic", "other"])
        self.receipts = Receipts(schedule)
        self.carriers = Carriers(
            {providers.REHEARSAL: Rehearsal(), **dict(zip(names, carriers, strict=True))}, allow_numbers=allow
        )
        self.gate = Gate(
            schedule,
            self.tags,
            self.optouts,
            limits={name: Limits(**(limits or {})) for name in names},
            platform_caps={"clinic": platform_cap},
            phone_cap=phone_cap,
        )
        rest = Routes(list(routes), names), self.gate, self.optouts, self.receipts
        self.delivery = Delivery(schedule, self.carriers, *rest)
        open_to_all = Routes([], [providers.REHEARSAL]), OpenGate(), self.optouts, self.receipts
        self.rehearsal = Delivery(schedule, self.carriers, *open_to_all)
        self.reconciling = Reconciling(schedule, self.carriers, self.gate, self.delivery, resend_unknown=resend)


@dataclass(frozen=True)
class Keys:
    """The keys of one worker and of two platforms."""

    folder: Path
    clinic: PlatformKeys
    other: PlatformKeys
    public: PublicKeys

    @classmethod
    def make(cls, folder: Path) -> "Keys":
        keys.new_worker(folder, START)
        clinic, other = (PlatformKeys.load(keys.new_platform(name, folder)[0]) for name in ("clinic", "other"))
        return cls(folder, clinic, other, PublicKeys.load(folder / "worker.pub.json"))

    def private(self) -> WorkerKeys:
        """Return the worker's keys as they were made; what it forgets is not forgotten on disk."""
        return WorkerKeys([load_pointer_key(path) for path in pointer_files(self.folder)], Ratchet.load(self.folder))


class Practice:
    """One platform, one worker and its providers around one ledger."""

    def __init__(
        self,
        schedule: Schedule,
        clock: Clock,
        made: Keys,
        *carriers: providers.Provider,
        routes: Collection[Route] = (),
        allow: Collection[str] | None = None,
        platform: Mapping[str, Any] | None = None,
        others: Mapping[str, Any] | None = None,
        own_grid: str | None = None,
        **limits: Any,
    ) -> None:
        self.schedule, self.clock, self.keys = schedule, clock, made
        chosen = Platform(verify_key=made.folder / "clinic.pub", **platform or {})
        other = Platform(verify_key=made.folder / "other.pub", **others or {})
        self.client = Client(
            schedule,
            made.clinic,
            made.public,
            leads=[Lead.parse("2h")],
            quiet_hours=chosen.quiet_hours,
            due_grid=chosen.due_grid if own_grid is None else Grid.parse(own_grid),
        )
        self.private = made.private()
        self.office = Office(schedule, *carriers, routes=routes, allow=allow, **limits)
        self.answering = Answering(
            schedule,
            self.private,
            self.office.tags,
            self.office.optouts,
            self.office.carriers,
            Templates.load(),
            [chosen.countries, other.countries],
        )
        parts = Equipment(
            keys=self.private,
            signers=load_signers({"clinic": chosen.verify_key, "other": other.verify_key}),
            platforms={"clinic": chosen, "other": other},
            contacts=Contacts.load(schedule, self.office.tags, {"clinic": chosen, "other": other}, self.office.optouts),
            templates=Templates.load(),
            carriers=self.office.carriers,
            delivery=self.office.delivery,
            rehearsal=self.office.rehearsal,
            reconciling=self.office.reconciling,
            answering=self.answering,
            optouts=self.office.optouts,
            epochs=Epochs(schedule, made.folder),
            watermark=Watermark(schedule, made.folder),
        )
        self.worker = Worker(schedule, parts)

    def seal(self, **changes: Any) -> Entry:
        """Seal an appointment in two hours, whose text is due now."""
        return self.client.seal(appointment(self.clock.now, **changes), self.clock.now)

    def add(self, **changes: Any) -> Entry:
        """Seal an appointment and put it into the ledger."""
        entry = self.seal(**changes)
        assert self.schedule.add([entry]) in ([Answer.ADDED], [Answer.MOVED])
        return entry

    def take(self) -> list[Wake]:
        """Return every wake-up that a scheduler would send out now."""
        return [*self.schedule.sweep(0), *self.schedule.take(0, capacity=1000).wakes]

    def work(self) -> None:
        """Let the scheduler and the worker do what there is to do now."""
        for wake in self.take():
            self.worker.remind(wake)

    def forward(self, **span: float) -> None:
        """Let time pass, and do what there is to do then."""
        self.clock.forward(**span)
        self.work()

    def show(self, lead: int = 0, reference: str = REFERENCE) -> Reminder:
        """Return what the platform is told of a reminder."""
        return self.client.show(reference)[lead]


def appointment(now: datetime, **changes: Any) -> Appointment:
    """Return an appointment in two hours."""
    fields = {
        "reference": REFERENCE,
        "time": (now + timedelta(hours=2)).astimezone(PARIS),
        "location": PLACE,
        "phone": PHONE,
        "language": "fr",
    }
    fields |= changes
    if isinstance(fields.get("leads"), list):
        fields["leads"] = tuple(map(Lead.parse, fields["leads"]))
    return Appointment(**fields)
