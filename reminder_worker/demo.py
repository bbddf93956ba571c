"""The whole system on this machine: real processes, an embedded Valkey, and at the end a table of who learned what.

It plays the booking platform, which knows the reason for each visit and never passes it on.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from reminder_worker import apikeys, keys, settings, store
from reminder_worker.client import Appointment, HttpClient
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.encoding import to_text
from reminder_worker.errors import SettingsError
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.ledger import HEAD_BYTES
from reminder_worker.plan import Lead
from reminder_worker.ports import free_port
from reminder_worker.sealing import PublicKeys, make_id

PLATFORM = "practice"
PROCESSES = "web", "scheduler", "worker"
DEADLINE = 50.0  # seconds
SPREAD = 8  # seconds over which the texts fall due, after the first ones
SETTINGS = """\
store_url = "{store}"
keys = "{folder}/keys"

[platforms.practice]
verify_key = "{folder}/keys/gateway.pub"

[providers.outbox]
path = "{folder}/outbox.jsonl"
"""

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Booking:
    """What the platform knows about one appointment; only part of it is ever handed over."""

    appointment: Appointment
    name: str = field(repr=False)
    reason: str = field(repr=False)


def run(*, keep: bool) -> int:
    """Run the demo; return 0 when every text was sent."""
    folder = Path(tempfile.mkdtemp(prefix="reminder-worker-demo-"))
    try:
        with EmbeddedServer(folder / "valkey", "--rdbcompression", "no") as server:
            return _play(folder, server)
    finally:
        if keep:
            console.print(f"kept in {folder}: keys, settings, outbox.jsonl and the store's files")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _play(folder: Path, server: EmbeddedServer) -> int:
    key, port = _make_keys(folder / "keys"), free_port()
    config = folder / "reminder-worker.toml"
    config.write_text(SETTINGS.format(store=server.url(), folder=folder))
    platform = GatewayKeys.load(folder / "keys").platform(PLATFORM, Mode.LIVE)
    pinned = PublicKeys.load(folder / "keys" / "worker.pub.json").pointers[-1]
    redis = store.connect(server.url())
    client = HttpClient(f"http://127.0.0.1:{port}", key, platform=PLATFORM, pinned=to_text(pinned))
    with _processes(config, port):
        bookings = [_book(line, number) for number, line in enumerate(_examples())]
        client.add([booking.appointment for booking in bookings])
        stored = [_as_stored(redis, make_id(platform, one.appointment.reference)) for one in bookings]
        states = _wait(client, bookings)
    texts = _texts(folder / "outbox.jsonl")
    console.print(_table(bookings, stored, states, texts))
    leaks = _search(redis, server.folder, bookings)
    sent = sum(state == "sent" for state in states)
    console.print(
        f"{sent} of {len(bookings)} reminders sent. Searched all keys, values and files of the store: {leaks}"
    )
    return 0 if sent == len(bookings) else 1


def _make_keys(folder: Path) -> str:
    """Make the keys of an installation; return the API key with which the platform calls the gateway."""
    now = datetime.now(UTC)
    keys.new_worker(folder, now)
    keys.new_gateway(folder)
    lasts = timedelta(days=1)
    return (
        apikeys.new(PLATFORM, folder, mode=Mode.LIVE, scopes=set(apikeys.Scope), lasts=lasts, now=now)
        .read_text()
        .strip()
    )


def _examples() -> list[dict[str, Any]]:
    """Read the appointments, from the package or from a checkout."""
    here = Path(__file__).parent
    for folder in (here, here.parent):
        path = folder / "examples" / "appointments.jsonl"
        if path.is_file():
            return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    raise SettingsError("examples/appointments.jsonl: is missing from this installation")


def _book(line: Mapping[str, Any], number: int) -> Booking:
    """Turn a line of the examples into a booking whose text is due now or in a few seconds."""
    day = date.today() + timedelta(days=line["day"])  # noqa: DTZ011 - a day like any other
    zone = ZoneInfo(line["zone"])
    local = datetime.combine(day, clock.fromisoformat(line["at"]), zone)
    ahead = int((local - datetime.now(UTC)).total_seconds()) - number % SPREAD
    fields = {name: line[name] for name in ("reference", "location", "phone", "language")}
    times = {"time": f"{local.isoformat(timespec='seconds')}[{zone.key}]", "leads": [str(Lead.parse(f"{ahead}s"))]}
    return Booking(Appointment.parse(fields | times), line["name"], line["reason"])


@contextlib.contextmanager
def _processes(config: Path, port: int) -> Iterator[None]:
    """Run a gateway, a scheduler and a worker as an operator would."""
    command = [sys.executable, "-m", "reminder_worker.cli"]
    others = {name: value for name, value in os.environ.items() if not name.upper().startswith(settings.PREFIX)}
    environment = others | {settings.CONFIG_VARIABLE: str(config)}
    log = (config.parent / "log.jsonl").open("wb")
    running = [
        subprocess.Popen([*command, *words], env=environment, stdout=log, stderr=log)  # noqa: S603
        for words in (["web", "--port", str(port)] if name == "web" else [name] for name in PROCESSES)
    ]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)
        log.close()


def _as_stored(redis: store.Client, id_: bytes) -> str:
    """Return what an operator of the store sees of an appointment: an id, a due time and sealed bytes."""
    due = redis.zscore(b"rw:{0}:due", id_ + b"\0")
    value = redis.get(b"rw:{0}:a:" + id_)
    when = datetime.fromtimestamp(due / 1000, UTC).strftime("%H:%M:%SZ") if due else "taken"
    sealed = value[HEAD_BYTES + 9 :]  # behind the key's name
    return f"{id_.hex()[:12]}… due {when}, {len(value)} bytes {sealed[:8].hex()}…"


def _wait(client: HttpClient, bookings: Sequence[Booking]) -> list[str]:
    """Wait until every reminder is sent or time is up, with progress; return their states."""
    states = ["scheduled"] * len(bookings)
    deadline = time.monotonic() + DEADLINE
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("sending", total=len(bookings))
        while states.count("sent") < len(bookings) and time.monotonic() < deadline:
            time.sleep(0.5)
            states = [client.show(booking.appointment.reference)[0].state.value for booking in bookings]
            progress.update(task, completed=states.count("sent"))
    return states


def _texts(outbox: Path) -> dict[str, str]:
    """Return what each phone showed."""
    lines = outbox.read_text("utf-8").splitlines() if outbox.exists() else []
    return {text["to"]: text["text"] for text in map(json.loads, lines)}


def _table(
    bookings: Sequence[Booking], stored: Sequence[str], states: Sequence[str], texts: Mapping[str, str]
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("the booking platform knew", ratio=3)
    table.add_column("the Redis operator saw", ratio=3)
    table.add_column("the patient's phone showed", ratio=4)
    for booking, row, state in zip(bookings, stored, states, strict=True):
        known = booking.appointment
        table.add_row(
            f"{known.reference} {booking.name}, {known.time:%d %b %H:%M}, {known.location}: {booking.reason}",
            f"{row}, {state}",
            texts.get(known.phone or "", ""),
        )
    return table


def _search(redis: store.Client, folder: Path, bookings: Sequence[Booking]) -> str:
    """Look for everything personal in everything the store holds, in memory and on disk."""
    held = b"\n".join([*_values(redis), *(path.read_bytes() for path in folder.rglob("*") if path.is_file())])
    facts = {
        "phone numbers": [one.appointment.phone or "" for one in bookings],
        "places": [one.appointment.location for one in bookings],
        "names": [one.name for one in bookings],
        "reasons": [one.reason for one in bookings],
    }
    found = {kind: sum(fact.encode() in held for fact in all_) for kind, all_ in facts.items()}
    return ", ".join(f"{count} {kind}" for kind, count in found.items()) + "."


def _values(redis: store.Client) -> Iterator[bytes]:
    for key in redis.scan_iter(count=1000):
        yield key
        yield redis.dump(key)
