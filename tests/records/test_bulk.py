"""A bulk export with a reason in every element: through command, Valkey, scheduler and worker to the outbox."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from canaries import Place, found, in_folder, in_store

from records.reading import PARIS, calendar, event, ndjson, stamp
from reminder_worker.audit.search import Search
from reminder_worker.audit.writings import phone_writings, writings
from reminder_worker.embedded import EmbeddedServer

APPOINTMENTS, EVENTS, ROWS = 2_000, 100, 100
SEED = 20_221_110
SETTINGS = """
store_url = "{url}"
[platforms.clinic]
verify_key = "keys/clinic.pub"
leads = ["72h"]
countries = ["FR"]
[providers.outbox]
path = "outbox.jsonl"
"""

# Elements of FHIR R4 that a reader must pass over, by what they hold.
STRINGS = {
    "Appointment": ["description", "comment", "patientInstruction", "created", "language"],
    "Patient": ["birthDate", "gender", "language"],
    "Location": ["description", "mode", "status", "availabilityExceptions", "language"],
}
CONCEPTS = {
    "Appointment": [
        "cancelationReason",
        "serviceCategory[]",
        "serviceType[]",
        "specialty[]",
        "appointmentType",
        "reasonCode[]",
    ],
    "Patient": ["maritalStatus"],
    "Location": ["type[]", "physicalType"],
}
REFERENCES = {
    "Appointment": ["reasonReference[]", "supportingInformation[]", "slot[]", "basedOn[]"],
    "Patient": ["generalPractitioner[]", "managingOrganization"],
    "Location": ["managingOrganization", "partOf", "endpoint[]"],
}


class Export:
    """Made-up people, with a word that is found nowhere else planted in all that is not taken."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.planted: dict[str, str] = {}
        self.phones = [f"+3361234{number:04d}" for number in range(APPOINTMENTS)]
        self.start = (datetime.now(PARIS) + timedelta(hours=30)).replace(microsecond=0)

    def plant(self, name: str) -> str:
        """Return the word of this element; it looks like what people write there, and is unique."""
        return self.planted.setdefault(name, f"oncologie-{self.random.getrandbits(60):015x}")

    def moment(self, number: int) -> datetime:
        return self.start + timedelta(seconds=17 * number)

    def resource(self, kind: str, **elements: Any) -> dict[str, Any]:
        """Return a resource with reasons all around what is taken."""
        word = lambda name: self.plant(f"{kind}.{name}")  # noqa: E731 - short for what stands below thirty times
        full: dict[str, Any] = {
            "resourceType": kind,
            "meta": {"tag": [{"display": word("meta.tag")}], "source": f"urn:x:{word('meta.source')}"},
            "text": {"status": "generated", "div": f"<div>{word('text')}</div>"},
            "extension": [{"url": f"http://ehr.example/{word('extension.url')}", "valueString": word("extension")}],
            "identifier": [{"system": word("identifier.system"), "value": word("identifier")}],
            "_status": {"extension": [{"url": "x", "valueString": word("_status")}]},
        }
        for name in STRINGS[kind]:
            full[name] = word(name)
        for group in (CONCEPTS, REFERENCES):
            for name in group[kind]:
                bare = name.removesuffix("[]")
                one = self.concept(word, bare) if group is CONCEPTS else self.reference(word, bare)
                full[bare] = [one] if name.endswith("[]") else one
        return full | elements

    @staticmethod
    def concept(word: Any, name: str) -> dict[str, Any]:
        coding = {part: word(f"{name}.coding.{part}") for part in ("system", "version", "code", "display")}
        return {"coding": [coding], "text": word(f"{name}.text")}

    @staticmethod
    def reference(word: Any, name: str) -> dict[str, Any]:
        identifier = {"value": word(f"{name}.identifier")}
        return {"reference": f"Condition/{word(name)}", "display": word(f"{name}.display"), "identifier": identifier}

    def appointment(self, number: int) -> dict[str, Any]:
        word = lambda name: self.plant(f"Appointment.participant.{name}")  # noqa: E731
        actors = [f"Patient/p{number}", f"Practitioner/{word('practitioner')}", f"Location/l{number % 5}"]
        participants = [
            {
                "type": [self.concept(word, "type")],
                "actor": {"reference": one, "display": word("actor.display"), "identifier": {"value": word("actor")}},
                "status": word("status"),
                "required": word("required"),
                "period": {"start": word("period")},
            }
            for one in actors
        ]
        start = self.moment(number).isoformat()
        own = {
            "id": f"a{number}",
            "status": ["booked", "pending"][number % 2],
            "start": start,
            "participant": participants,
        }
        return self.resource("Appointment", **own)

    def patient(self, number: int) -> dict[str, Any]:
        word = lambda name: self.plant(f"Patient.{name}")  # noqa: E731
        mobile = {
            "system": "phone",
            "use": "mobile",
            "value": self.phones[number],
            "extension": [{"x": word("telecom")}],
        }
        return self.resource(
            "Patient",
            id=f"p{number}",
            name=[{"family": word("name.family"), "given": [word("name.given")], "text": word("name.text")}],
            address=[{"line": [word("address.line")], "city": word("address.city")}],
            contact=[{"name": {"family": word("contact")}, "telecom": [{"system": "phone", "value": "+33699000000"}]}],
            photo=[{"title": word("photo"), "data": word("photo.data")}],
            telecom=[{"system": "email", "value": f"{word('email')}@example.org"}, mobile],
            communication=[
                {"language": {"coding": [{"code": "fr", "display": word("language")}], "text": word("said")}}
            ],
        )

    def place(self, number: int) -> dict[str, Any]:
        word = lambda name: self.plant(f"Location.{name}")  # noqa: E731
        address = {
            "line": [f"{number + 1} quai des Brumes"],
            "city": "Lyon",
            "district": word("district"),
            "text": word("text2"),
        }
        hours = [{"openingTime": word("hours")}]
        return self.resource("Location", id=f"l{number}", name=word("name"), address=address, hoursOfOperation=hours)

    def folder(self, path: Path) -> Path:
        """Write the export, appointments in two parts."""
        path.mkdir()
        half = APPOINTMENTS // 2
        files = {
            "Patient": map(self.patient, range(APPOINTMENTS)),
            "Location": map(self.place, range(5)),
            "Appointment.1": map(self.appointment, range(half)),
            "Appointment.2": map(self.appointment, range(half, APPOINTMENTS)),
        }
        for name, resources in files.items():
            (path / f"{name}.ndjson").write_bytes(ndjson(*resources))
        return path

    def events(self) -> bytes:
        """Write a calendar with a reason in every property that is text."""
        names = ["SUMMARY", "DESCRIPTION", "CATEGORIES", "COMMENT", "RESOURCES", "CLASS", "X-MOTIF", "URL", "GEO"]
        texts = [f"{name}:{self.plant(f'ics.{name}')}" for name in names]
        texts += [f"ORGANIZER;CN={self.plant('ics.CN')}:mailto:{self.plant('ics.mail')}@example.org"]
        texts += [f"ATTENDEE;CN={self.plant('ics.CN2')}:mailto:{self.plant('ics.mail2')}@example.org"]
        alarm = ["BEGIN:VALARM", f"DESCRIPTION:{self.plant('ics.alarm')}", "TRIGGER:-PT1H", "END:VALARM"]
        head = [f"PRODID:{self.plant('ics.PRODID')}", f"X-WR-CALNAME:{self.plant('ics.name')}"]
        blocks = []
        for number in range(EVENTS):
            start = f"DTSTART;TZID=Europe/Paris:{stamp(self.moment(number))}"
            phone = f"ATTENDEE;LANGUAGE=fr;CN={self.plant('ics.CN3')}:tel:+3361235{number:04d}"
            self.phones.append(f"+3361235{number:04d}")
            blocks.append([*event(phone, *texts, uid=f"e{number}", start=start)[:-1], *alarm, "END:VEVENT"])
        return calendar(head, *blocks)

    def table(self) -> bytes:
        """Write rows with reasons in columns of their own."""
        names = ["name", "reason", "service", "birth date"]
        rows = [["reference", "time", "location", "phone", "language", *names]]
        for number in range(ROWS):
            self.phones.append(f"+3361236{number:04d}")
            own = [f"c{number}", self.moment(number).isoformat(), "3 place Bellecour, Lyon", self.phones[-1], "fr"]
            rows.append([*own, *(self.plant(f"csv.{name}") for name in names)])
        return "".join(";".join(row) + "\n" for row in rows).encode()


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "reminder_worker.cli", *words]
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[tuple[Path, EmbeddedServer]]:
    with EmbeddedServer(tmp_path / "valkey") as server:
        (tmp_path / "reminder-worker.toml").write_text(SETTINGS.format(url=server.url()))
        for words in (["worker", "keys"], ["platform", "clinic", "keys"]):
            assert command(tmp_path, "keys", "new", *words).returncode == 0
        yield tmp_path, server


def send(folder: Path, count: int) -> None:
    """Run scheduler and worker until everything has ended."""
    with (folder / "log.jsonl").open("wb") as log:
        call = [sys.executable, "-m", "reminder_worker.cli"]
        running = [
            subprocess.Popen([*call, name], cwd=folder, stdout=log, stderr=log) for name in ("scheduler", "worker")
        ]
        try:
            deadline = time.monotonic() + 150
            while time.monotonic() < deadline:
                ended = json.loads(command(folder, "status", "--json").stdout)["ended"]
                if ended == {"sent": count}:
                    return
                time.sleep(0.3)
            pytest.fail(f"not all was sent: {ended}")
        finally:
            for process in running:
                process.terminate()
            assert {process.wait(60) for process in running} == {0}


@pytest.mark.timeout(300)  # two thousand texts on a busy machine
def test_nothing_of_a_bulk_export_s_reasons_is_anywhere_after_sending(here: tuple[Path, EmbeddedServer]) -> None:
    folder, server = here
    export = Export()
    sources = folder / "sources"
    export.folder(sources)
    (sources / "calendar.ics").write_bytes(export.events())
    (sources / "table.csv").write_bytes(export.table())
    said = [
        command(folder, "enqueue", "sources", "--format", "fhir"),
        command(folder, "enqueue", "sources/calendar.ics", "--format", "ics"),
        command(folder, "enqueue", "sources/table.csv", "--format", "csv"),
    ]
    assert [one.returncode for one in said] == [0, 0, 0], said
    assert [one.stdout.splitlines()[0] for one in said] == [f"{n} added" for n in (APPOINTMENTS, EVENTS, ROWS)]
    assert len(export.planted) > 100
    before = list(in_store(server.url()))
    send(folder, APPOINTMENTS + EVENTS + ROWS)
    for path in sources.iterdir():
        path.unlink()
    outputs = [("output", (one.stdout + one.stderr).encode()) for one in said]
    after = [*outputs, *in_store(server.url()), *in_folder(folder)]
    assert any(where == "file outbox.jsonl" for where, _ in after)
    assert not planted(export, [*before, *after])
    personal = {phone: phone_writings(phone) for phone in export.random.sample(export.phones, 20)}
    personal["place"] = writings("quai des Brumes") | writings("Bellecour")
    looking = Search(personal)  # for thousands of writings: one by one they would take longer than all the rest
    everywhere = joined(place for place in [*before, *after] if place[0] != "file outbox.jsonl")
    assert not {where for where, content in everywhere if looking.facts(content)}
    assert looking.facts((folder / "outbox.jsonl").read_bytes()) == {*personal}
    texts = [json.loads(line) for line in (folder / "outbox.jsonl").read_text().splitlines()]
    assert sorted(text["to"] for text in texts) == sorted(export.phones)


def planted(export: Export, places: list[Place]) -> set[tuple[str, str]]:
    """Look for every word as it is, and for some of them in every usual writing."""
    every = {name: {word.encode(), word.upper().encode()} for name, word in export.planted.items()}
    some = {name: writings(export.planted[name]) for name in export.random.sample(sorted(export.planted), 25)}
    return found(joined(places), every | some)


def joined(places: Iterable[Place]) -> list[Place]:
    """Bring together what stands at places of one kind: many short searches take longer than few long ones."""
    together: dict[str, list[bytes]] = {}
    for where, content in places:
        together.setdefault(where, []).append(content)
    return [(where, b"\0".join(contents)) for where, contents in together.items()]
