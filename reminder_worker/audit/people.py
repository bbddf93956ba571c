"""The people of the audit: each has facts that occur nowhere else, so that a leak can be recognised."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from reminder_worker.audit.matrix import Fact
from reminder_worker.audit.writings import SHORTEST, phone_writings, time_writings, unkeyed, writings
from reminder_worker.plan import EXPIRES_BEFORE

PRACTICE = "zz-grauwacke"  # the platform's name in the settings
SENDER = "Haus Rotdorn"
NUMBERS = "+33612349"  # the beginning of all their numbers
REASON = "chimiothérapie, 3e cycle"
NAME = "Öyvind Quastenflosser"
REPLY = "Oui, je viendrai avec ma sœur Gwenaëlle"
ZONE = ZoneInfo("Europe/Paris")
PENDING = timedelta(days=9)  # until the reminders that are to wait


@dataclass(frozen=True)
class Person:
    """A person with an appointment; ``part`` says what happens to the reminder."""

    part: str
    number: int
    language: str = "fr-KM"
    street: str = "quai des Brumes, Étretat"
    leads: int = 1
    waits: bool = False  # until long after the audit
    numbers: str = NUMBERS
    seen: dict[str, datetime] = field(default_factory=dict)

    @property
    def phone(self) -> str:
        """Their number, E.164."""
        return f"{self.numbers}{37 * self.number:03d}"  # far apart, because process numbers follow each other

    @property
    def place(self) -> str:
        """Where they go."""
        return f"{self.number} {self.street}"

    @property
    def reference(self) -> str:
        """The platform's own name for the appointment."""
        return f"Patient/8675309-{self.number:02d}-ÉK{'/suite' * (self.leads - 1)}"

    @property
    def token(self) -> str:
        """The token for them in a pointer that the platform resolves."""
        return f"schlehe-{self.number}{'-und-weiter' * (self.number % 3)}"

    @cached_property
    def first_lead(self) -> timedelta:
        """How long before the appointment the first text goes out; different for each person."""
        return timedelta(hours=26 + self.leads, minutes=11, seconds=self.number)

    def times(self, due: datetime) -> tuple[str, list[str]]:
        """Return time and leads for a first text at ``due``, as a platform writes them."""
        moment = (due + self.first_lead).astimezone(ZONE).replace(microsecond=0)
        self.seen["time"], self.seen["due"] = moment, moment - self.first_lead
        seconds = [int(self.first_lead.total_seconds()) - 7_001 * later for later in range(self.leads)]
        return moment.isoformat(), [f"{each}s" for each in seconds]

    def facts(self) -> dict[Fact, set[bytes]]:
        """Return the forms that would give each fact away."""
        found = {
            Fact.NUMBER: phone_writings(self.phone) | unkeyed(self.phone) | unkeyed(f"tel:{self.phone}"),
            Fact.LANGUAGE: writings(self.language),
            Fact.PLACE: unkeyed(self.place).union(*map(writings, (self.place, *self.street.split(", ")))),
            Fact.REASON: writings(REASON) | writings("chimioth") | writings(NAME) | writings("Quastenflosser"),
            Fact.PRACTICE: writings(PRACTICE) | unkeyed(PRACTICE) | writings(SENDER),
            Fact.EXISTENCE: writings(self.reference) | unkeyed(self.reference) | writings(self.token),
            Fact.OUTCOME: {b"delivered", b"unknown", b"cancelled"},
        }
        found[Fact.NUMBER] |= writings(self.numbers[:8])  # the rest masked, as is often done
        found[Fact.EXISTENCE] |= found[Fact.NUMBER] | writings(self.reference[8:18])
        if "time" in self.seen:
            moment, due = self.seen["time"], int(self.seen["due"].timestamp())
            found[Fact.TIME] = time_writings(moment) | time_writings(moment - EXPIRES_BEFORE)
            found[Fact.TIME] |= writings(f"à {moment:%H:%M},")  # as the text has it
            found[Fact.DUE] = {str(due + late).encode() for late in range(5)}
            found[Fact.DUE] |= {f"{self.seen['due'].astimezone(UTC):%Y-%m-%dT%H:%M:%S}".encode()}
        return {fact: {form for form in forms if len(form) >= SHORTEST} for fact, forms in found.items()}


def cast() -> dict[str, Person]:
    """Return all people, by what happens to their reminder."""
    long = "rue de la Grande Traversée, Étretat"
    people = [
        Person("sent", 11),
        Person("platform seals", 12, language="de-LI", street="Brumesteig, Étretat"),
        Person("refused", 13),
        Person("doubtful", 14),
        Person("throttled", 15),
        Person("opted out", 16),
        Person("resolved", 17, language="pt-TL"),
        Person("pending", 18, waits=True),
        Person("far and long", 19, street=long, leads=4, waits=True),
        Person("killed", 20),
        Person("damaged", 21),
        Person("dead letter", 22),
        Person("cancelled", 23),
        Person("moved", 24),
        Person("rotated", 25),
        Person("misplaced", 26, numbers="+33698765", street="impasse du Silence, Étretat"),
        Person("unreadable", 27),
    ]
    return {person.part: person for person in people}


def in_any_memory(people: Iterable[Person]) -> set[bytes]:
    """Return how these people's facts begin, as Python keeps texts in memory."""
    times = {f"{person.seen['time']:%Y-%m-%dT%H:%M}" for person in people if "time" in person.seen}
    words = {NUMBERS, NUMBERS[3:], "quai des Brumes", "rue de la Grande Trav", "Brumesteig", "fr-KM", "pt-TL"}
    words |= {PRACTICE, "Quastenflosser", "8675309", "vous avez rendez-vous le"} | times
    return {word.encode(form) for word in words for form in ("utf-8", "utf-16-le")}
