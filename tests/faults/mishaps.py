"""What goes wrong in an installation, how it is mended, and which alerts have to tell of it, and by when."""

import json
import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reminder_worker import decisions, keys
from reminder_worker.acts import Who
from reminder_worker.client import Appointment, Client
from reminder_worker.notes import Note, Notes
from reminder_worker.plan import EXPIRES_BEFORE, Lead
from reminder_worker.sealing import PlatformKeys, PublicKeys

from .prometheus import wait_for
from .station import BEHIND, Station

Act = Callable[[Station], Any]
SILENCE = 30.0  # seconds after which a process that is dead is known to be: its heart beats every five
DAY_MS = 86_400_000
FILL = 16 * 2**20  # bytes, so that a store of a few minutes has a size to speak of


@dataclass(frozen=True)
class Mishap:
    """One of them. ``alerts``: how many seconds it takes until that can be seen, beside the rule's own ``for``."""

    name: str
    alerts: dict[str, float]
    breaks: Act
    mends: Act
    clears: float | None = 60.0  # seconds from mending until no alert fires any more; None: longer than one waits
    companions: frozenset[str] = frozenset()
    lead: float = 90.0  # seconds of health before it, in the recording
    how: str = ""  # what was not waited for, but brought about
    step: int = 15  # seconds, in the recording


def _kill(name: str) -> Act:
    return lambda station: station.kill(name)


def _start(name: str) -> Act:
    return lambda station: station.start(name)


def _mute(station: Station) -> None:
    """Take the port at which the worker answers Prometheus; texts go out all the same."""
    station.kill("worker")
    wait_for(lambda: not station.scraped("worker"), 30, 0.2)
    station.taken = socket.create_server(("127.0.0.1", station.targets["worker"]))
    station.start("worker")


def _unmute(station: Station) -> None:
    assert station.taken is not None
    station.taken.close()
    station.restart("worker")


def _set(setting: str, value: str) -> Act:
    return lambda station: station.schedule.client.config_set(setting, value)


def _mood(mood: str) -> Act:
    return lambda station: setattr(station.carrier, "mood", mood)


def _signal(number: int) -> Act:
    return lambda station: os.kill(station.server.pid, number)


def _fill(station: Station) -> None:
    """Let the store use 78 % of what it may: at 80 % ``web`` takes nothing in."""
    client = station.schedule.client
    client.setrange("filler", FILL, b"x")  # so, none of it passes through the store's buffers, which count as well
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.78))


def _drain(station: Station) -> None:
    station.schedule.client.config_set("maxmemory", 0)
    station.schedule.client.delete("filler")


def _nobody_answers(station: Station) -> None:
    station.kill("worker")
    station.reply("+33612000001", "STOP")


def _poison(station: Station) -> None:
    """Have a reminder claimed five times already, each time by a worker that died: that takes minutes otherwise."""
    ledger, prefix = station.schedule.client, station.schedule.prefix(0)
    station.kill("worker")
    live = prefix + b"live"
    member = wait_for(lambda: ledger.zrange(live, 0, 0), 30, 0.05)[0]
    ledger.hset(prefix + b"r:" + member, mapping={"state": "claimed", "claims": 5, "token": "none"})
    ledger.zadd(live, {member: 0})
    wait_for(lambda: ledger.zcard(prefix + b"dead"), 30, 0.05)
    station.start("worker")


def _decide(decision: decisions.Decision) -> Act:
    def act(station: Station) -> None:
        for one in decisions.waiting(station.schedule):
            assert decisions.decide(station.schedule, one, decision, Who.here()) is decisions.Answer.DONE

    return act


def _unreadable(station: Station) -> None:
    """Leave an answer that is sealed to somebody else's keys."""
    with tempfile.TemporaryDirectory() as name:
        keys.new_worker(Path(name) / "keys", datetime.now(UTC))
        public = PublicKeys.load(Path(name) / "keys" / "worker.pub.json")
    note = Note("twilio", "+33612000002", "stop", "en").seal(public, datetime.now(UTC))
    Notes(station.schedule).leave(note)


def _forget_unread(station: Station) -> None:
    station.schedule.client.delete(station.schedule.prefix(0) + b"notes.unread")


def _shorten(station: Station) -> None:
    """Leave four weeks of the published keys."""
    file = station.folder / "keys" / "worker.pub.json"
    file.with_suffix(".whole").write_bytes(file.read_bytes())
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | {"envelope": document["envelope"][:4]}))


def _lengthen(station: Station) -> None:
    file = station.folder / "keys" / "worker.pub.json"
    file.with_suffix(".whole").replace(file)


def _doubt(station: Station, count: int = 4) -> None:
    """Have a gateway accept texts without a word, which reports nothing and cannot be asked."""
    station.carrier.moods["well"] = lambda request, fate, number: (
        ("accepted, no answer", None) if "messages" in request.path else station.carrier._well(request, fate, number)
    )
    station.hand_in(count, phones=BEHIND)


def _age(station: Station) -> None:
    """The same, and a day goes by at once."""
    _doubt(station, 1)
    ledger, key = station.schedule.client, station.schedule.prefix(0) + b"unknown"
    for member in wait_for(lambda: ledger.zrange(key, 0, -1), 120, 0.5):
        ledger.zincrby(key, -DAY_MS - 60_000, member)


def _resolve(station: Station) -> None:
    station.carrier.moods["well"] = station.carrier._well
    _decide(decisions.Decision.SENT)(station)


def _forge(station: Station) -> None:
    """Hand in eight reminders at the ledger that somebody has changed on the way."""
    with tempfile.TemporaryDirectory() as name:
        keys.new_platform("clinic", Path(name))
        platform = PlatformKeys.load(Path(name) / "clinic.key")
    told = {"time": datetime.now(UTC) + timedelta(hours=2, seconds=5), "location": "12 rue des Lilas", "language": "fr"}
    numbers = [f"+3361299{number:04d}" for number in range(8)]
    forged = [
        Appointment(reference=f"F-{secrets.token_hex(4)}", phone=phone, leads=(Lead.parse("2h"),), **told)
        for phone in numbers
    ]
    client, now = Client(station.schedule, platform, station.public, leads=[]), datetime.now(UTC)
    entries = [client.seal(one, now) for one in forged]
    station.schedule.add([replace(one, envelope=one.envelope[:-1] + bytes([one.envelope[-1] ^ 1])) for one in entries])


def _spend(most: float) -> Act:
    def act(station: Station) -> None:
        station.configure(spend=most)
        station.restart("worker")

    return act


def _crowd(station: Station) -> None:
    """Let very many fall due at once while the provider takes seconds for each."""
    station.carrier.mood = "slow"
    station.hand_in(5000, ahead=20)


def _fast(*, fast: bool) -> Act:
    return lambda station: station.restart("hooks", fast=fast)


def _long(station: Station) -> None:
    """Three at once that have to be waited for: no receipts, keys that are not forgotten, reminders that expire."""
    station.carrier.reporting = False
    ledger, epochs = station.schedule.client, station.schedule.prefix(0) + b"epochs"
    for name, week in ledger.hgetall(epochs).items():
        ledger.hset(epochs, name, int(week) - 1)
    time.sleep(120)
    station.carrier.shut()
    station.hand_in(40, lead=EXPIRES_BEFORE + timedelta(seconds=20), leads=["20m"], ahead=0)
    time.sleep(60)
    station.carrier.open()


def _advance(station: Station) -> None:
    ledger, epochs = station.schedule.client, station.schedule.prefix(0) + b"epochs"
    for name, week in ledger.hgetall(epochs).items():
        ledger.hset(epochs, name, int(week) + 1)
    station.carrier.reporting = True


LANES: dict[str, list[Mishap]] = {
    "processes": [
        Mishap("scheduler dead", {"ReminderSchedulerDown": 0}, _kill("scheduler"), _start("scheduler")),
        Mishap("web dead", {"ReminderFrontDown": SILENCE}, _kill("web"), _start("web")),
        Mishap("hooks dead", {"ReminderFrontDown": SILENCE}, _kill("hooks"), _start("hooks")),
        Mishap("worker dead", {"ReminderWorkerDown": SILENCE}, _kill("worker"), _start("worker")),
        Mishap("worker that nobody sees", {"ReminderWorkerUnseen": 20}, _mute, _unmute),
        Mishap(
            "a clock that is fast", {"ReminderClocksDiffer": 15}, _fast(fast=True), _fast(fast=False),
            how="the hooks process is told a time 12 s ahead",
        ),
        Mishap(
            "worker dead, and people answer", {"ReminderWorkerDown": SILENCE, "ReminderRepliesWait": 600},
            _nobody_answers, _start("worker"), clears=960, companions=frozenset({"ReminderLate"}),
        ),
    ],
    "store": [
        Mishap("store killed", {"ReminderStoreDown": 5}, lambda one: one.server.kill(), lambda one: one.server.start()),
        Mishap("store silent", {"ReminderStoreDown": 10}, _signal(signal.SIGSTOP), _signal(signal.SIGCONT)),
        Mishap("store nearly full", {"ReminderStoreNearlyFull": 5}, _fill, _drain),
        Mishap("append-only file off", {"ReminderStoreUnsafe": 5}, _set("appendonly", "no"), _set("appendonly", "yes")),
        Mishap(
            "store evicts", {"ReminderStoreUnsafe": 5},
            _set("maxmemory-policy", "allkeys-lru"), _set("maxmemory-policy", "noeviction"),
        ),
        Mishap(
            "a reminder over which workers die", {"ReminderDeadLetters": 20},
            _poison, _decide(decisions.Decision.DROP), how="its five claims are written into the ledger",
        ),
        Mishap("a reply that does not open", {"ReminderRepliesUnread": 10}, _unreadable, _forget_unread),
        Mishap("published keys run out", {"ReminderKeysRunOut": 5}, _shorten, _lengthen),
        Mishap("texts in doubt", {"ReminderUnknown": 90}, _doubt, _resolve),
        Mishap(
            "a text in doubt for a day", {"ReminderUnknownAges": 90}, _age, _resolve,
            how="its age is written into the ledger",
        ),
    ],
    "provider": [
        Mishap(
            "one call in four fails", {"ReminderProviderFails": 500}, _mood("one in four"), _mood("well"),
            clears=400, lead=300,
        ),
        Mishap(
            "provider cannot be reached", {"ReminderProviderDown": 30}, lambda one: one.carrier.shut(),
            lambda one: one.carrier.open(), clears=240,
        ),
        Mishap(
            "provider refuses our account", {"ReminderProviderMisconfigured": 15}, _mood("no account"), _mood("well"),
            clears=660, lead=300, companions=frozenset({"ReminderProviderDown"}),
        ),
    ],
    "limits": [
        Mishap("forged jobs", {"ReminderRejected": 20}, _forge, lambda _: None, clears=960),
        Mishap("spend cap", {"ReminderCapped": 30}, _spend(0.5), _spend(1e6), clears=720, lead=120),
    ],
    "backlog": [
        Mishap(
            "slow provider, very many at once", {"ReminderBacklog": 330, "ReminderLate": 400},
            _crowd, _mood("well"), clears=960,
        ),
    ],
    "patience": [
        Mishap(
            "no receipts, keys not forgotten, reminders that expire",
            {"ReminderExpired": 150, "ReminderKeysBehind": 15, "ReminderReceiptsLate": 3720},
            _long, _advance, clears=None, step=60,
            companions=frozenset({"ReminderUnknown"}), how="the ratchet is put back a week in the ledger",
        ),
    ],
}  # fmt: skip
