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
from reminder_worker.client import Appointment, Client
from reminder_worker.delivery import Delivery
from reminder_worker.drafting import Templates
from reminder_worker.ledger import Answer, Entry, Reminder, Wake
from reminder_worker.opening import WorkerKeys, load_pointer_key, load_signers, pointer_files
from reminder_worker.plan import Lead
from reminder_worker.providers import Capabilities, Sent, Text
from reminder_worker.ratchet import Ratchet
from reminder_worker.routes import Routes
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys
from reminder_worker.settings import Platform, Route
from reminder_worker.worker import Worker

PARIS = ZoneInfo("Europe/Paris")
PHONE = "+33612340015"
PLACE = "27 rue des Archives, Paris"
REFERENCE = "A-1007"


class Scripted:
    """Answers call by call from its script, then accepts; ``find`` knows what was accepted."""

    def __init__(self, *answers: Sent | Exception, name: str = "scripted", **capabilities: Any) -> None:
        self.name = name
        self.capabilities = Capabilities(**capabilities)
        self.texts: list[Text] = []
        self.deadlines: list[float] = []
        self.accepted: dict[str, Sent] = {}
        self.looks: list[str] = []
        self.during: Callable[[Text], object] = lambda _: None
        self.silence: Exception | None = None  # what ``find`` raises
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

    def find(self, reference: str) -> Sent | None:
        self.looks.append(reference)
        if self.silence:
            raise self.silence
        return self.accepted.get(reference)


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
    ) -> None:
        self.schedule, self.clock, self.keys = schedule, clock, made
        chosen = Platform(verify_key=made.folder / "clinic.pub", **platform or {})
        other = Platform(verify_key=made.folder / "other.pub")
        self.client = Client(
            schedule, made.clinic, made.public, leads=[Lead.parse("2h")], quiet_hours=chosen.quiet_hours
        )
        self.private = made.private()
        self.delivery = Delivery(
            schedule,
            {carrier.name: carrier for carrier in carriers},
            Routes(list(routes), [carrier.name for carrier in carriers]),
            allow_numbers=allow,
        )
        self.worker = Worker(
            schedule,
            self.private,
            load_signers({"clinic": chosen.verify_key, "other": other.verify_key}),
            {"clinic": chosen, "other": other},
            Templates.load(),
            self.delivery,
        )

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
