"""How many bytes Redis and the processes hold for what is pending, ended or on a list; see capacity.py."""

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reminder_worker import broker, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Claim, Entry, Outcome
from reminder_worker.optouts import OptOuts, Tags
from reminder_worker.schedule import Schedule

SEALED, TICKET = 425, 80  # bytes of an envelope and of a ticket: docs/traffic.md
LEASE = timedelta(seconds=20)
BATCH = 500


@contextlib.contextmanager
def empty() -> Iterator[tuple[Schedule, EmbeddedServer]]:
    """Start a separate server that holds the scripts and nothing else."""
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name)) as server:
        schedule = Schedule(store.connect(server.url()))
        fill(schedule, 1, 1)
        schedule.client.flushdb()
        yield schedule, server
        schedule.client.close()


def used(schedule: Schedule) -> int:
    """Return the bytes that the server uses, including its tables and what it reserves for clients."""
    return int(schedule.client.info("memory")["used_memory"])


def resident(pid: int | str = "self") -> int:
    """Return the bytes that a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


def fill(schedule: Schedule, count: int, leads: int, *, ticket: int = 0, ahead: timedelta = timedelta(days=20)) -> None:
    """Add appointments that are as long as real ones and fall due within a day from ``ahead`` on."""
    day, when = 86_400_000, datetime.now(UTC) + ahead
    for start in range(0, count, BATCH):
        dues = [when + timedelta(milliseconds=secrets.randbelow(day)) for _ in range(leads * min(BATCH, count - start))]
        schedule.add([_entry(tuple(dues[place : place + leads]), ticket) for place in range(0, len(dues), leads)])


def _entry(dues: tuple[datetime, ...], ticket: int) -> Entry:
    parts = (secrets.token_bytes(length) for length in (16, 12, SEALED, ticket))
    id_, tag, envelope, sealed = parts
    return Entry(id_, tag, envelope, dues, sealed)


def pending(count: int, leads: int, ticket: int = 0) -> float:
    """Return the bytes for each appointment, with its leads, when so many reminders are pending."""
    with empty() as (schedule, _):
        before = used(schedule)
        fill(schedule, count // leads, leads, ticket=ticket)
        return (used(schedule) - before) / (count // leads)


def ended(count: int = 20_000) -> tuple[float, float]:
    """Return the bytes for each reminder that was sent, and for what stays of each appointment with two of them."""
    with empty() as (schedule, _):
        before = used(schedule)
        fill(schedule, count // 2, 2, ahead=timedelta(days=-2))
        while wakes := schedule.take(0, capacity=10**6).wakes:
            for wake in wakes:
                claim, reference = schedule.claim(wake), secrets.token_urlsafe(29)
                assert isinstance(claim, Claim)
                schedule.intend(claim, "carrier", reference, lease=LEASE, template=secrets.token_hex(8))
                schedule.settle(wake, Outcome.sent(secrets.token_hex(16)), token=claim.token, reference=reference)
        whole = used(schedule)
        rows = list(schedule.client.scan_iter(match=schedule.prefix(0) + b"r:*", count=1000))
        assert len(rows) == count
        for start in range(0, count, BATCH):
            schedule.client.delete(*rows[start : start + BATCH])
        heads = used(schedule)
        return (whole - heads) / count, (heads - before) / (count // 2)


def opted_out(count: int = 100_000) -> tuple[float, float]:
    """Return the bytes for each person who said STOP, in Redis and in a worker."""
    with empty() as (schedule, _):
        before = used(schedule)
        for _ in range(count // BATCH):
            with schedule.client.pipeline(transaction=False) as pipe:
                for _ in range(BATCH):
                    pipe.xadd(schedule.prefix(0) + b"stops", {b"tag": secrets.token_bytes(16), b"on": b"1"})
                pipe.execute()
        stored = used(schedule) - before
        known, own = OptOuts(schedule, Tags(secrets.token_bytes(32)), ["clinic"]), resident()
        known.catch_up()
        return stored / count, (resident() - own) / count


def queued(count: int = 2_000) -> float:
    """Return the bytes for each wake-up that waits for a worker."""
    with empty() as (schedule, server):
        line = broker.connect(server.url(1), [])
        fill(schedule, count, 1, ahead=timedelta(days=-2))
        wakes = schedule.take(0, most=count, capacity=count).wakes
        assert len(wakes) == count
        before = used(schedule)
        broker.wake(line, wakes)
        return (used(schedule) - before) / count
