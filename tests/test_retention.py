"""docs/retention.md: every key that ever stands in the store is there, and none lives longer than it says."""

import re
from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from clock import KEYS, Clock
from scripted import PHONE, Keys, Practice, Scripted

from reminder_worker import acts, enquiry, store
from reminder_worker.acts import Who
from reminder_worker.eventqueue import EventQueue
from reminder_worker.job import State
from reminder_worker.ledger import Entry
from reminder_worker.notes import NOTE_BYTES, Notes
from reminder_worker.providers import Receipt
from reminder_worker.quarantine import quarantine
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import week

PAGE = (Path(__file__).parents[1] / "docs" / "retention.md").read_text("utf-8")
RETENTION = timedelta(days=10)
LATER = b"later" + bytes(11)
LEFT = 3  # where a head says which reminders are not final
SPANS = {"second": 1, "seconds": 1, "minute": 60, "hour": 3600, "day": 86_400, "days": 86_400}


def limit(text: str) -> float | None:
    """Read until when at the latest a key ends by itself, in seconds; None where it goes on."""
    if text == "-":
        return None
    said = re.match(r"(?:(`retention_days`)(?: \+ (\d+) days)?|(\d+) (\w+))", text)
    assert said, text
    if said[1]:
        return RETENTION.total_seconds() + int(said[2] or 0) * 86_400
    return int(said[3]) * SPANS[said[4]]


def rows() -> Iterator[tuple[str, float | None]]:
    table = PAGE.partition("| key |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        keys, _, ends, _ = (cell.strip() for cell in line.strip("|").split("|"))
        for key in re.findall(r"`([^`]+)`", keys):
            yield key, limit(ends)


LIMITS = dict(rows())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def busy(client: store.Client, clock: Clock, keys: Keys) -> Schedule:
    """A store in which everything has happened that leaves a key behind."""
    schedule = Schedule(client, retention=RETENTION)
    provider = Scripted(receipts_by_id=True, forgets=True)
    limits = {"rate": 1, "price": 0.01, "daily_spend": 0.02}
    practice = Practice(schedule, clock, keys, provider, limits=limits)
    for reference in ("A-1", "A-2"):  # the second waits for its turn
        practice.add(reference=reference)
        practice.work()
    practice.office.receipts.expect(provider, "id-1", provider.texts[0].reference)
    practice.office.receipts.take(provider, Receipt("", State.DELIVERED, "id-of-tomorrow"))
    leave_behind(practice, schedule, clock)
    quarantine(schedule, Who("alice"))
    schedule.add([Entry(LATER, bytes(12), b"sealed", (clock.now + timedelta(days=500),))])
    return schedule


def leave_behind(practice: Practice, schedule: Schedule, clock: Clock) -> None:
    """Do by single calls what takes an installation a day."""
    today = int(clock.now.timestamp() // 86_400)
    for number in range(3):
        schedule.run("report", 0, "another", bytes([number]), "throttled", 1000, 0, today)
    for number in range(70):  # more than are called at once
        schedule.run("next", 0, "another", bytes([number]) * 17, 1)
    spread = "another", b"call", 1_000_000, "sender", 1_000_000, 9, 10, b"platform", 9, b"phone", 9, b"one", b"hidden"
    clock.forward(minutes=2)
    for _ in range(5):
        schedule.run("admit", 0, "0-0", *spread)
    schedule.run("rate", 0, b"tag", 1_000_000, 10, 1)
    schedule.client.set("rw:{0}:h:" + "x" * 16, 1, px=86_400_000)  # as answering.py does
    schedule.client.sadd("rw:{0}:muted", b"tag")  # as a platform that answered 410
    practice.office.optouts.stop("+33612340099")
    enquiry.ask(schedule, practice.office.tags, ["clinic"], PHONE, Who("alice"))
    acts.note(schedule, "find", "nothing", Who("alice"))
    for note in (b"x", b"y"):
        Notes(schedule).leave(note * NOTE_BYTES, note)
    schedule.run("note", 0, b"x" * NOTE_BYTES, "1")
    practice.worker.beat("worker/1-a")
    entry = Entry(bytes(16), bytes(12), b"sealed", (clock.now, clock.now), b"ticket")
    schedule.add([entry])
    event = EventQueue(schedule)
    for state in ("turns", "live", "open", "dead"):  # what is there is held at once, so it is left here
        schedule.client.zadd(f"rw:{{1}}:{state}", {bytes(17): 1})
    for wake in schedule.take(0, capacity=100).wakes:
        schedule.claim(wake)
    schedule.client.incr("rw:{0}:events.dropped")
    assert event.count()


def found(schedule: Schedule) -> dict[str, float | None]:
    """Return every key there is, but the clock, with how long it lives."""
    keys = [key for key in schedule.client.scan_iter(count=1000) if key not in KEYS]
    lives = {key: schedule.client.pttl(key) for key in keys}
    named = {re.sub(r"^rw:\{\d\}:", "", key.decode("latin-1")): ttl for key, ttl in lives.items()}
    return {name: None if ttl < 0 else ttl / 1000 for name, ttl in named.items()}


def row_of(name: str) -> str:
    (row,) = [row for row in LIMITS if fnmatchcase(name, row)]
    return row


def goes_on(schedule: Schedule, name: str, row: str) -> bool:
    """Tell whether a key may be without an end: what it is about has not ended, or an envelope is kept for a person."""
    key = b"rw:{0}:" + name.encode("latin-1")
    if row == "a:*":
        return schedule.client.getrange(key, LEFT, LEFT) != b"\0"
    return row == "r:*" and not schedule.client.hexists(key, "ended")


def test_no_key_is_missing_on_the_page_and_none_lives_longer_than_it_says(busy: Schedule) -> None:
    for name, lives in found(busy).items():
        row = row_of(name)
        most = LIMITS[row]
        if lives is None:
            assert most is None or goes_on(busy, name, row), row
        else:
            assert most is not None, f"{row} ends by itself"
            assert lives <= most, (row, lives, most)


def test_no_row_of_the_page_is_in_vain(busy: Schedule) -> None:
    assert {row_of(name) for name in found(busy)} == set(LIMITS)


def test_what_is_in_lists_goes_when_the_page_says_so(busy: Schedule, clock: Clock, keys: Keys) -> None:
    """Redis's own clock ends keys; what a script takes out of a list is played here, on the scripts' clock."""

    def left(*names: str) -> dict[str, int]:
        return {name: busy.client.zcard(f"rw:{{0}}:{name}") for name in names}

    clock.forward(days=8)
    busy.sweep(0)
    assert left("held", "dead") == {"held": 0, "dead": 0}
    assert [name for name in found(busy) if name.startswith("a:") and goes_on(busy, name, "a:*")] == [
        f"a:{LATER.decode('latin-1')}"
    ]  # fmt: skip
    clock.forward(days=3)
    busy.sweep(0)
    busy.beat("worker/2-b")
    assert left("unknown", "processes") == {"unknown": 0, "processes": 1}
    clock.forward(days=60 * 7)
    busy.run("epoch", 0, "another", week(clock.now))
    assert busy.client.hkeys("rw:{0}:epochs") == [b"another"]
    while busy.run("forget", 0, 20, 1000, RETENTION.days):
        pass
    assert left("forget") == {"forget": 0}
    for _ in range(10_001):
        busy.client.rpush("rw:{0}:acts", "line")
    busy.sweep(0)
    assert busy.client.llen("rw:{0}:acts") == 10_000
