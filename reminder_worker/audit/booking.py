"""The audit's booking platform: a server that hands in over HTTP and keeps what went over the wire.

Patients' devices seal the pointers; in one case the platform's own server does, through the client library.
"""

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reminder_worker.audit.people import NAME, PENDING, PRACTICE, REASON, Person
from reminder_worker.client import Appointment, HttpClient
from reminder_worker.encoding import to_text
from reminder_worker.sealing import PublicKeys, pointer_to_text, seal_pointer


@dataclass(frozen=True, slots=True)
class Call:
    """What went over the wire, and what came back."""

    status: int
    sent: bytes = field(repr=False)
    answered: bytes = field(repr=False)

    @property
    def method(self) -> str:
        """GET, PUT or DELETE."""
        return self.sent.partition(b" ")[0].decode()


class Platform:
    """One platform at the gateway on ``port``."""

    def __init__(self, port: int, key: str, public: Path) -> None:
        self.port, self._key, self._public = port, key, public
        self.calls: list[Call] = []
        self.pointers: list[str] = []
        self.refused: list[Call] = []
        self.own: list[bytes] = []  # what its server was given to seal

    def ask(self, method: str, path: str, body: bytes | None = None) -> Call:
        """Call the gateway."""
        head = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, head)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        sent = f"{method} {path}\n".encode() + (body or b"")
        return Call(answer.status, sent, f"{answer.headers}".encode() + said)

    def put(self, person: Person, due: datetime | None = None, *, uri: str = "", **more: Any) -> Call:
        """Hand in an appointment whose first text is due now, or long after the audit."""
        now = datetime.now(UTC)
        due = due or (now + PENDING if person.waits else now + timedelta(seconds=1))
        when, leads = person.times(due)
        self.pointers.append(self.seal(person, uri))
        fields = {"time": when, "location": person.place, "pointer": self.pointers[-1], "leads": leads} | more
        call = self.ask("PUT", _path(person), json.dumps(fields).encode())
        self.calls.append(call)
        return call

    def seal(self, person: Person, uri: str = "") -> str:
        """Do what a patient's device does."""
        public = PublicKeys.load(self._public)
        return pointer_to_text(seal_pointer(public, PRACTICE, uri or f"tel:{person.phone}", person.language))

    def put_itself(self, person: Person) -> None:
        """Hand in through the client library, which gets the number."""
        when, leads = person.times(datetime.now(UTC) + timedelta(seconds=1))
        record = {"reference": person.reference, "time": when, "location": person.place, "leads": leads}
        record |= {"phone": person.phone, "language": person.language}
        self.own.append(json.dumps(record).encode())
        pinned = to_text(PublicKeys.load(self._public).pointers[-1])
        client = HttpClient(f"http://127.0.0.1:{self.port}", self._key, platform=PRACTICE, pinned=pinned)
        client.add([Appointment.parse(record)])

    def blunder(self, person: Person) -> None:
        """Hand in forbidden content in every field; none of it may be kept or repeated."""
        when, leads = person.times(datetime.now(UTC) + PENDING)
        good = {"time": when, "location": person.place, "pointer": self.seal(person), "leads": leads}
        for bad in _blunders(person):
            self.refused.append(self.ask("PUT", _path(person), json.dumps(good | bad).encode()))
        self.refused.append(self.ask("PUT", _path(person), f'{{"reason": "{REASON} {person.phone}'.encode()))
        self.refused.append(self.ask("GET", f"/v1/{quote(REASON)}/{person.phone}?name={quote(NAME)}"))

    def state(self, person: Person) -> str | None:
        """Return the state of the first lead; None if nothing is known."""
        call = self.ask("GET", _path(person))
        self.calls.append(call)
        found = json.loads(call.answered.partition(b"\n\n")[2] or b"{}").get("reminders")
        return found[0]["state"] if found else None

    def cancel(self, person: Person) -> None:
        """Take an appointment back."""
        self.calls.append(self.ask("DELETE", _path(person)))


def _blunders(person: Person) -> Iterator[dict[str, Any]]:
    everything = f"{person.phone}, {NAME}: {REASON}"
    yield from ({"reason": REASON}, {everything: 1}, {"name": NAME, "phone": person.phone})
    yield from ({"location": f"{REASON}, {person.place}"}, {"location": f"{person.place} {person.phone}"})
    yield from ({"pointer": person.phone}, {"leads": [REASON]}, {"time": everything}, {"leads": {NAME: REASON}})


def _path(person: Person) -> str:
    return f"/v1/reminders/{quote(person.reference, safe='')}"


def refusal(call: Call) -> str:
    """Return the kind of a refusal, which says nothing about anybody."""
    found = re.search(rb'"title": *"(\w+)"', call.answered)
    return found[1].decode() if found else str(call.status)
