"""An operator's page with something to show, as operators reach it: a real server, and a ledger in a state of a day."""

import contextlib
import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from reminder_worker.acts import Who, note
from reminder_worker.clocks import to_ms
from reminder_worker.ledger import Entry
from reminder_worker.ops import operators, process
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings
from reminder_worker.testing.outcomes import serving

NAME, PASSWORD = "ada", "correct horse battery"
PROVIDERS: dict[str, Any] = {"twilio": {"rate": 20}, "vonage": {}}
TEN = timedelta(minutes=10)


def settings(folder: Path, **table: Any) -> Settings:
    """Settings whose page one operator may open."""
    file = folder / operators.FILE
    if not file.exists():
        operators.enter(file, NAME, PASSWORD, datetime.now(UTC))
    return Settings(ops=table or {"operators": file}, providers=PROVIDERS)


@dataclass
class Browser:
    """Somebody who asks without a browser; ``cookie`` is what they were given."""

    port: int
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, form: dict[str, str] | None = None, method: str = "", **headers: str
    ) -> tuple[int, http.client.HTTPMessage, str]:
        """Ask for a page, or send a form as its own page does."""
        given = {"Cookie": self.cookie} | self.headers
        if form is not None:
            given |= {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as line:
            body = None if form is None else urlencode(form)
            method = method or ("GET" if form is None else "POST")
            line.request(method, path, body, {name: value for name, value in given.items() if value})
            answer = line.getresponse()
            said = answer.read().decode()
        if (cookie := answer.headers.get("Set-Cookie")) is not None:
            self.cookie = cookie.partition(";")[0]
        return answer.status, answer.headers, said

    def token(self, path: str = "/ops") -> str:
        """Return what the forms of this session carry."""
        (found,) = set(re.findall(r'name="token" value="(\w+)"', self.ask(path)[2]))
        return str(found)

    def log_in(self, name: str = NAME, password: str = PASSWORD, **headers: str) -> int:
        return self.ask("/ops/login", {"name": name, "password": password}, **headers)[0]


@contextlib.contextmanager
def opened(schedule: Schedule, folder: Path, **table: Any) -> Iterator[Browser]:
    """Serve the page."""
    with serving(process.build(settings(folder, **table), schedule)) as port:
        yield Browser(port)


# A state of a day.


def wait_as(schedule: Schedule, kind: str, number: int, *, ago: timedelta = timedelta(minutes=50)) -> bytes:
    """Have a reminder wait for a decision, with its envelope; return what stands for it."""
    id_ = bytes([number]) * 16
    member, prefix = id_ + b"\0", schedule.prefix(schedule.shard_of(id_))
    schedule.add([Entry(id_, bytes([number]) * 12, b"sealed", (datetime.now(UTC) + timedelta(days=1),))])
    since = to_ms(datetime.now(UTC) - ago)
    schedule.client.zrem(prefix + b"due", member)
    schedule.client.zadd(prefix + (b"dead" if kind == "dead_letter" else b"unknown"), {member: since})
    row: dict[str, Any] = {"state": "claimed", "reason": "poison", "tries": 1}
    if kind == "unknown":
        asked = since - 90_000
        row = {"state": "unknown", "reason": "ambiguous", "tries": 2, "provider": "twilio", "attempts": 1}
        row |= {"asked": asked, "ended": since}
    schedule.client.hset(prefix + b"r:" + member, mapping=row)
    return member


def ended(schedule: Schedule, ago: int, **counts: int) -> None:
    """Have reminders ended so many times ten minutes ago: ``sent__twilio=3``."""
    ten = to_ms(datetime.now(UTC)) // 600_000 - ago
    fields = {name.replace("__", "|"): count for name, count in counts.items() if count}
    for name, count in fields.items():
        schedule.client.hincrby(schedule.prefix(0) + b"n:t%d" % ten, name, count)


def due(schedule: Schedule, *minutes: float) -> None:
    """Have reminders that fall due in so many minutes."""
    now = datetime.now(UTC)
    entries = []
    for place, ahead in enumerate(minutes):
        id_ = (0x10000 + place).to_bytes(16, "big")[::-1]
        entries.append(Entry(id_, bytes(12), b"sealed", (now + timedelta(minutes=ahead),)))
    schedule.add(entries)


def a_day(schedule: Schedule) -> None:
    """Fill the ledger as a day does."""
    for kind in ("scheduler/812-3f9a1c", "worker/815-b2407e", "worker/816-0c81d4", "web/790-77ab30", "ops/840-91c2aa"):
        schedule.beat(kind)
    due(schedule, *(place * 60 / 4200 * (1.4 - (place % 7) / 10) for place in range(4200)))
    for ago in range(144):
        wave = abs(72 - ago) * 3 + (ago * 37) % 23
        ended(schedule, ago, delivered__twilio=wave, sent__twilio=9 + ago % 5, failed__twilio=(ago % 9 == 0) * 12)
        ended(schedule, ago, delivered__vonage=wave // 4, undelivered__vonage=ago % 4, unknown__vonage=(ago == 30) * 6)
        ended(schedule, ago, cancelled__=4, suppressed__=ago % 3)
    wait_as(schedule, "dead_letter", 7)
    for number in (31, 32, 33):
        wait_as(schedule, "unknown", number, ago=timedelta(hours=number - 29))
    for call in range(5):
        schedule.run("report", 0, "vonage", b"call-%d" % call, "failed", 30_000, 0, 0)
    note(schedule, "find", "reminders", Who("support", "grace"))
