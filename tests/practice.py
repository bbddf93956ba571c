"""A booking platform with keys of its own, and what it hands in."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reminder_worker import keys
from reminder_worker.client import Client
from reminder_worker.ledger import Claim, Outcome
from reminder_worker.plan import Lead
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys

NAME = "clinic"


def make_keys(folder: Path) -> None:
    keys.new_worker(folder, datetime.now(UTC))
    keys.new_platform(NAME, folder)


def make(schedule: Schedule, folder: Path, **options: Any) -> Client:
    """Return the platform whose keys lie in ``folder``, which are made where there are none."""
    if not folder.exists():
        make_keys(folder)
    public = PublicKeys.load(folder / "worker.pub.json")
    leads = options.pop("leads", [Lead.parse("24h")])
    return Client(schedule, PlatformKeys.load(folder / f"{NAME}.key"), public, leads=leads, **options)


def ahead(**span: float) -> str:
    """Write a time this far ahead."""
    return (datetime.now(UTC) + timedelta(**span)).isoformat(timespec="seconds")


def fields(reference: str = "A-1", **changed: Any) -> dict[str, Any]:
    """Return a good record, but for what is changed; None leaves a field out."""
    record = {
        "reference": reference,
        "time": ahead(days=3),
        "location": "12 rue des Lilas",
        "phone": "+33612345678",
        "language": "fr",
    }
    return {name: value for name, value in (record | changed).items() if value is not None}


def lines(*records: dict[str, Any] | bytes) -> bytes:
    """Write JSON Lines; bytes are lines as they are."""
    encoded = (record if isinstance(record, bytes) else json.dumps(record).encode() for record in records)
    return b"".join(line + b"\n" for line in encoded)


def due_now(reference: str = "A-1") -> dict[str, Any]:
    """Return a record whose reminder falls due at once."""
    return fields(reference, time=ahead(hours=2), leads=["3h"])


def send(schedule: Schedule, *, finish: bool = True) -> None:
    """Play scheduler and worker until a provider is asked, and until it accepts where ``finish``."""
    for wake in schedule.take(0, capacity=10).wakes:
        claim = schedule.claim(wake)
        assert isinstance(claim, Claim)
        schedule.intend(claim, "outbox", "ref-1", lease=timedelta(minutes=1))
        if finish:
            schedule.settle(wake, Outcome.sent("SM1"), token=claim.token, reference="ref-1")
