"""A gateway as platforms see it: keys, settings, a real server in a thread, and calls to it."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from practice import ahead

from reminder_worker import apikeys, keys, web
from reminder_worker.apikeys import Scope
from reminder_worker.gateway import Mode
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys, pointer_to_text, seal_pointer
from reminder_worker.settings import Settings
from reminder_worker.tables import Platform
from reminder_worker.testing.outcomes import serving

PHONE = "+33612345678"
PLACE = "12 rue des Lilas"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: Any


@dataclass
class Desk:
    """One platform's way to a gateway."""

    port: int
    key: str
    public: PublicKeys
    platform: str = "clinic"
    connection: dict[str, http.client.HTTPConnection] = field(default_factory=dict)

    def pointer(self, uri: str = f"tel:{PHONE}", language: str = "fr") -> str:
        return pointer_to_text(seal_pointer(self.public, self.platform, uri, language))

    def fields(self, **changed: Any) -> dict[str, Any]:
        record = {"time": ahead(days=3), "location": PLACE, "pointer": self.pointer()}
        return {name: value for name, value in (record | changed).items() if value is not None}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        given = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, content, given)
            answer = connection.getresponse()
            said = answer.read()
        return Answer(answer.status, answer.headers, json.loads(said) if said else None)

    def put(self, reference: str, **changed: Any) -> Answer:
        return self.ask("PUT", path(reference), self.fields(**changed))

    def get(self, reference: str) -> Answer:
        return self.ask("GET", path(reference))

    def cancel(self, reference: str) -> Answer:
        return self.ask("DELETE", path(reference))

    def batch(self, *items: Any) -> Answer:
        return self.ask("POST", "/v1/reminders:batch", {"reminders": list(items)})


def path(reference: str) -> str:
    return f"/v1/reminders/{quote(reference, safe='')}"


def make_keys(folder: Path, *platforms: str) -> None:
    """Make all keys of an installation whose platforms use the gateway."""
    keys.new_worker(folder, datetime.now(UTC))
    keys.new_gateway(folder)
    for name in platforms:
        new_key(folder, name)


def new_key(folder: Path, platform: str = "clinic", *, test: bool = False, scopes: Any = tuple(Scope)) -> str:
    mode = Mode.TEST if test else Mode.LIVE
    made = apikeys.new(
        platform, folder, mode=mode, scopes=scopes, lasts=timedelta(days=1), now=datetime.now(UTC)
    ).read_text()
    return made.strip()


def settings(folder: Path, **changed: Any) -> Settings:
    tenant = Platform(verify_key=folder / "gateway.pub", **changed)
    return Settings(keys=folder, platforms={"clinic": tenant})


@contextlib.contextmanager
def opened(schedule: Schedule, folder: Path, **changed: Any) -> Iterator[Desk]:
    """Run a gateway with new keys, and yield a platform's way to it."""
    if not folder.exists():
        make_keys(folder)
    key = new_key(folder)
    with serving(web.build(settings(folder, **changed), schedule)) as port:
        yield Desk(port, key, PublicKeys.load(folder / "worker.pub.json"))
