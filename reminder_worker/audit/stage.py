"""The stage of the audit: real processes, a store that can be broken, and records of all that can be seen."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from urllib.parse import urlencode

from reminder_worker import store
from reminder_worker.audit import counterparts as outside
from reminder_worker.audit.booking import Call, Platform, refusal
from reminder_worker.audit.counterparts import Counterparts
from reminder_worker.audit.evidence import Piece, in_memory, in_store, unescaped
from reminder_worker.audit.installation import Installation, wait_for
from reminder_worker.audit.people import PRACTICE, Person, cast, in_any_memory
from reminder_worker.audit.taps import Tap
from reminder_worker.errors import SettingsError
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.sealing import ENVELOPE_BYTES, PublicKeys, make_id

BLIND = "web", "hooks", "scheduler", "ops"
LEASES = b"live", b"open"
BAD = 400  # the lowest status of a refusal


class Stage:
    """An installation, the world outside, and all that was seen of them and kept."""

    def __init__(self, here: Installation, world: Counterparts, commands: Tap, writes: Tap) -> None:
        self.here, self.world, self.commands, self.writes = here, world, commands, writes
        self.people = cast()
        public = here.folder / "web" / "keys" / "worker.pub.json"
        self.platform = Platform(here.ports["web"], here.api_key, public)
        self.public = PublicKeys.load(public)
        self.stored: list[Piece] = []
        self.last_store: list[Piece] = []
        self.backups: list[bytes] = []
        self.webhooks: list[Call] = []
        self.printed: list[Piece] = []
        self.measured: list[bytes] = []  # what metrics readers can fetch
        self.waiting: dict[str, bytes] = {}  # envelopes, as long as they wait
        self.ended: set[str] = set()
        self.memory: dict[str, list[bytes]] = {}
        self.hidden: set[str] = set()  # processes whose memory may not be read here
        self.gateway = GatewayKeys.load(here.folder / "web" / "keys").platform(PRACTICE, Mode.LIVE)

    @cached_property
    def client(self) -> store.Client:
        """A connection to the store, as its operator has it."""
        return store.connect(self.here.server.url())

    @cached_property
    def monitored(self) -> Piece:
        """What MONITOR showed; read it only at the end."""
        return Piece("MONITOR", unescaped(self.commands.heard), kept=False)

    def published(self) -> list[PublicKeys]:
        """Return the public keys sealed to: the first ones, and those since the rotation."""
        return [self.public, PublicKeys.load(self.here.keys / "worker.pub.json")]

    def id(self, person: Person) -> bytes:
        """Return the store's id of a person's appointment."""
        return make_id(self.gateway, person.reference)

    def put_by_token(self, part: str) -> None:
        """Have an appointment handed in, whose phone number the platform reveals only when it is due."""
        person = self.people[part]
        self.world.contacts[person.token] = {"phone": person.phone, "language": person.language}
        self.put(part, uri=f"contact:{person.token}")

    def put(self, part: str, due: datetime | None = None, **more: str) -> None:
        """Have the platform hand in a person's appointment, and keep what now waits for the worker."""
        person = self.people[part]
        call = self.platform.put(person, due, **more)
        if call.status >= BAD:
            raise SettingsError(f"audit: {part}: was refused ({refusal(call)})")
        self.waiting[part] = self.client.get(b"rw:{0}:a:" + self.id(person))

    def sealed(self, part: str) -> bytes:
        """Return the envelope of a person's appointment, as it waited."""
        return self.waiting[part][-ENVELOPE_BYTES:]

    def wait(self, part: str, state: str | None) -> None:
        """Wait until a reminder is in a state or, for None, until the provider has been asked to send it."""
        person = self.people[part]
        if state is None:
            wait_for(lambda: any(one.form.get("To") == person.phone for one in self.world.texts) or None, part)
            return
        wait_for(lambda: True if self.platform.state(person) == state else None, f"{part}: is not {state}")
        self.ended.add(part)

    def end_leases(self) -> None:
        """End all leases at once, as if hours had passed."""
        for name in LEASES:
            for member in self.client.zrange(b"rw:{0}:" + name, 0, -1):
                self.client.zadd(b"rw:{0}:" + name, {member: 1}, xx=True)

    def is_dead(self, person: Person) -> bool:
        """Return whether a reminder is a dead letter."""
        return self.client.zscore(b"rw:{0}:dead", self.id(person) + b"\0") is not None

    def wait_for_claim(self, person: Person) -> None:
        """Wait until a worker has claimed a reminder, or no worker will any more."""
        row = b"rw:{0}:r:" + self.id(person) + b"\0"
        before = int(self.client.hget(row, "claims") or 0)

        def look() -> bool | None:
            claims = int(self.client.hget(row, "claims") or 0)
            return True if claims > before or self.is_dead(person) else None

        wait_for(look, "nobody claims")

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Break the circuit's key in the store, so that a worker raises while it holds everything."""
        circuit = b"rw:{0}:c:twilio"
        self.client.delete(circuit)
        self.client.set(circuit, b"broken")
        try:
            yield
        finally:
            self.client.delete(circuit)

    def call_hooks(self, path: str, form: dict[str, str], signature: str = "") -> None:
        """Call hooks as the provider does."""
        head = {"Content-Type": "application/x-www-form-urlencoded"}
        head["X-Twilio-Signature"] = signature or outside.sign(path, form)
        body = urlencode(form).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.here.ports["hooks"], timeout=20)
        try:
            connection.request("POST", path, body, head)
            answer = connection.getresponse()
            self.webhooks.append(Call(answer.status, f"{path}\n".encode() + body, answer.read()))
        finally:
            connection.close()

    def reply(self, person: Person, words: str, signature: str = "") -> None:
        """Reply to a text."""
        form = {"MessageSid": next(self.world.names), "From": person.phone, "To": outside.SENDER_NUMBER, "Body": words}
        self.call_hooks("/v1/replies/twilio", form, signature)

    def keep_store(self) -> None:
        """Keep everything that the store holds now."""
        self.last_store = list(in_store(self.here.server.url()))
        self.stored += self.last_store

    def type(self, folder: str, *words: str) -> None:
        """Run a command, and keep what it prints."""
        self.printed.append(Piece(f"what {words[0]} prints", self.here.command(folder, *words)))

    def look_into_memory(self) -> None:
        """Keep what the memory of processes that hold no worker key shows about people."""
        stems = in_any_memory(self.people.values())
        for name in BLIND:
            for pid in self.here.pids(name):
                around = in_memory(pid, stems)
                self.memory.setdefault(name, []).append(around or b"")
                self.hidden |= {name} if around is None else set()

    def backup(self) -> None:
        """Keep what a backup taken now holds."""
        self.client.save()
        folder = self.here.server.folder
        self.backups.append(b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()))

    def wait_for_web(self) -> None:
        """Wait until all processes that answer HTTP do."""
        for port in self.here.ports.values():
            wait_for(lambda port=port: fetch(port, "/readyz") or None, "web and hooks do not start")  # type: ignore[misc]


def fetch(port: int, path: str) -> bytes:
    """Fetch a page; return nothing if there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return f"{answer.status} {answer.headers}".encode() + answer.read()
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()


def fetch_metrics(port: int) -> bytes | None:
    """Fetch a process's metrics; return None if it does not show them yet."""
    page = fetch(port, "/metrics")
    return page if b"# HELP reminder_" in page else None
