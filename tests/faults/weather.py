"""What blows over an installation while reminders fall due; each returns whose envelopes it has spoilt."""

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from reminder_worker import keys, store
from reminder_worker.client import Client
from reminder_worker.ledger import HEAD_BYTES
from reminder_worker.scripts import script
from reminder_worker.sealing import PlatformKeys, make_id
from reminder_worker.testing.peer import Response

from .harbour import LEAD, Harbour, Size, appointment

Act = Callable[[Harbour, random.Random, Size], set[int]]
SCRIPTS = "claim", "admit", "intend", "settle", "take", "report"
RARE = "sweep", "beat", "seen", "epoch"  # once a second, or in five
RIVER = "{rw-queue}:reminders"  # where dramatiq keeps messages, and their names


def begun(harbour: Harbour, texts: int = 20) -> None:
    """Wait until texts go out."""
    deadline = time.monotonic() + 180
    while len(harbour.carrier.texts) < texts:
        assert time.monotonic() < deadline, "nothing goes out"
        time.sleep(0.02)


def killings(harbour: Harbour, dice: random.Random, size: Size) -> set[int]:
    """Kill workers, and now and then the scheduler."""
    begun(harbour)
    for number in range(size.times):
        harbour.sink(harbour.ships[0 if number % 4 == 3 else 1])
        time.sleep(dice.uniform(0.5, 1.5) * size.window / size.times)
    return set()


def down(seconds: float) -> Act:
    """Kill the store, and start it on its files after a while."""

    def act(harbour: Harbour, _: random.Random, size: Size) -> set[int]:
        begun(harbour, size.reminders // 6)
        harbour.server.kill()
        time.sleep(seconds)
        harbour.server.start()
        harbour.note()
        harbour.notes["happened"] = 1
        return set()

    return act


def stalled(seconds: float) -> Act:
    """Let the store stand still, with all connections to it open, for longer than its clients wait."""

    def act(harbour: Harbour, _: random.Random, size: Size) -> set[int]:
        begun(harbour, size.reminders // 6)
        os.kill(harbour.server.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(harbour.server.pid, signal.SIGCONT)
        harbour.note()
        harbour.notes["happened"] = 1
        return set()

    return act


def full(harbour: Harbour, _: random.Random, size: Size) -> set[int]:
    """Let the store have less memory than it uses."""
    client = harbour.schedule.client
    begun(harbour, size.reminders // 6)
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 2))
    time.sleep(size.window / 3)
    client.config_set("maxmemory", 0)
    harbour.note()
    harbour.notes["happened"] = 1
    return set()


@contextlib.contextmanager
def disk(folder: Path, *, small: bool) -> Iterator[Path]:
    """Give the store a disk of its own, where it is to be filled up."""
    if not small:
        yield folder
        return
    place = folder / "valkey"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(place)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def disk_full(harbour: Harbour, _: random.Random, size: Size) -> set[int]:
    """Leave no room for the append-only file, and make some later."""
    begun(harbour, size.reminders // 6)
    filler = harbour.server.folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536) if file.tell() < 2**27 - 2**20 else bytes(512))
    time.sleep(size.window / 3)
    with contextlib.closing(store.connect(harbour.server.url())) as client:
        harbour.notes["happened"] = int(client.info("persistence")["aof_last_write_status"] != "ok")
    filler.unlink()
    harbour.note()
    return set()


def lost_answers(harbour: Harbour, dice: random.Random, size: Size) -> set[int]:
    """Lose the answers of each script in turn, of wake-ups, and of what dramatiq asks."""
    assert harbour.line
    words = {name: script(name)[1].encode() for name in (*SCRIPTS, *(RARE if size.pace == 1 else ()))}
    words |= {"wake-ups": b"RPUSH", "fetches": b"fetch"}
    lost: Counter[str] = Counter()
    harbour.carrier.throttles = 3  # else nothing is reported
    begun(harbour)
    for _ in range(size.times):
        for name in dice.sample(sorted(words), len(words)):
            before, deadline = harbour.line.lost, time.monotonic() + (6 if name in RARE else 0.4)
            harbour.line.lose(words[name])
            while harbour.line.lost == before and time.monotonic() < deadline:
                time.sleep(0.005)
            lost[name] += harbour.line.lost > before
    harbour.line.lose(b"")
    harbour.note()
    harbour.notes |= {"answers lost": dict(lost), "happened": sum(lost.values())}
    return set()


def frozen(harbour: Harbour, dice: random.Random, size: Size) -> set[int]:
    """Let workers stand still, one after the other, for longer than their leases last."""
    begun(harbour)
    for number in range(min(size.times, 4)):
        ship = harbour.ships[1 + number % 2]
        assert ship.process is not None
        os.killpg(ship.process.pid, signal.SIGSTOP)
        time.sleep(dice.uniform(0.2, 1.2) * harbour.freeze)
    return set()


def shifted(harbour: Harbour, _: random.Random, size: Size) -> set[int]:
    """Let workers whose clocks differ share the work."""
    begun(harbour, size.reminders // 2)
    harbour.notes["happened"] = len(harbour.ships) - 2
    return set()


def vandals(harbour: Harbour, dice: random.Random, size: Size) -> set[int]:
    """Spoil envelopes, and throw all kinds of messages into the queue."""
    victims = _spoil(harbour, dice, size)
    begun(harbour)
    throwing(harbour, dice, size)
    harbour.notes["spoilt envelopes"] = len(victims)
    return victims


def throwing(harbour: Harbour, dice: random.Random, size: Size) -> set[int]:
    """Throw all kinds of messages into the queue."""
    with contextlib.closing(store.connect(harbour.server.url(1))) as queue:
        thrown = 0
        deadline = time.monotonic() + size.window * 0.7
        while time.monotonic() < deadline:
            good = list(queue.hgetall(f"{RIVER}.msgs").values())
            for message in _bad_messages(dice, good):
                name = dice.randbytes(8).hex()
                queue.hset(f"{RIVER}.msgs", name, message)
                queue.rpush(RIVER, name)
                thrown += 1
            queue.rpush(RIVER, b"a name without a message", dice.randbytes(200_000))
            time.sleep(0.1)
    harbour.notes["happened"] = thrown
    return set()


def unreliable(harbour: Harbour, dice: random.Random, size: Size) -> set[int]:
    """Let the provider accept and not say so, or not in full, die before that, throttle, and refuse for now."""
    begun(harbour)
    peer = harbour.carrier.peer
    faults: list[Callable[[], None]] = [peer.cut, peer.truncate, peer.reset_mid_reply]
    faults += [peer.hang_after_accepting, peer.hang_before_accepting]
    for status, accepts in ((500, True), (500, False), (503, False), (429, False)):
        faults.append(partial(peer.respond, Response.of({}, status, Retry_After="0"), accept=accepts))
    deadline, planned = time.monotonic() + size.window, 0
    while time.monotonic() < deadline:
        if len(peer._faults) < 2:
            dice.choice(faults)()
            planned += 1
        time.sleep(0.05)
    harbour.note()
    harbour.notes["happened"] = planned - len(peer._faults)
    peer._faults.clear()
    return set()


def everything(harbour: Harbour, dice: random.Random, size: Size) -> set[int]:
    """Let all that can be told apart afterwards blow one after the other, in an order drawn by lot."""
    each = Size(size.reminders // 8, size.window / 8, max(1, size.times // 3), size.pace)
    victims = _spoil(harbour, dice, size)
    every: list[Act] = [killings, down(1), stalled(6), full, lost_answers, frozen, throwing, unreliable]
    happened, order = 0, dict[str, int]()
    for act in dice.sample(every, len(every)):
        began = time.monotonic()
        act(harbour, dice, each)
        happened += harbour.notes.pop("happened", 0)
        order[act.__qualname__.partition(".")[0]] = round(time.monotonic() - began)
    harbour.notes["order"] = order
    harbour.notes["happened"] = happened + harbour.deaths + len(victims)
    return victims


def _bad_messages(dice: random.Random, good: list[bytes]) -> Iterator[bytes]:
    """Return what is no wake-up, is one of nobody, and what was one already."""
    yield dice.randbytes(dice.randrange(1, 400))
    yield b"[" * 5000 + b"]" * 5000
    yield b'{"queue_name": "reminders", "actor_name": "remind"}'
    yield b"x" * 1_000_000
    if good:
        one = dice.choice(good)
        yield one[: dice.randrange(len(one))]
        yield from (one, one)
        yield one.replace(b'"version":', b'"version":1')
        yield one.replace(b'"lead":0', b'"lead":7')
        yield one.replace(b'"lead":0', b'"lead":"0"')
        yield one.replace(b'"remind"', b'"forget"')


def _spoil(harbour: Harbour, dice: random.Random, size: Size) -> set[int]:
    """Cut off, fill up, mix up and forge the envelopes of what falls due last."""
    platform = PlatformKeys.load(harbour.folder / "keys" / "clinic.key")
    ledger, prefix = harbour.schedule.client, harbour.schedule.prefix(0) + b"a:"
    spoilt = set(range(size.reminders * 3 // 4, size.reminders - 1, max(2, size.reminders // 80)))
    with tempfile.TemporaryDirectory() as name:
        keys.new_platform("clinic", Path(name))
        stranger = PlatformKeys.load(Path(name) / "clinic.key")
    for turn, number in enumerate(sorted(spoilt)):
        key = prefix + make_id(platform, f"A-{number}")
        head, envelope = (whole := ledger.get(key))[:HEAD_BYTES], whole[HEAD_BYTES:]
        other = ledger.get(prefix + make_id(platform, f"A-{number + 1}"))[18:]
        place = dice.randrange(10, len(envelope))
        forged = _forge(harbour, stranger, number)
        kinds = envelope[:place], envelope + b"x" * 100_000, other, forged, b"", dice.randbytes(len(envelope))
        flipped = envelope[:place] + bytes([envelope[place] ^ 1]) + envelope[place + 1 :]
        ledger.set(key, head + (*kinds, flipped)[turn % 7])
    return spoilt


def _forge(harbour: Harbour, stranger: PlatformKeys, number: int) -> bytes:
    """Seal somebody's own number into another's appointment."""
    client = Client(harbour.schedule, stranger, harbour.public, leads=[LEAD])
    return client.seal(appointment(number, datetime.now(UTC) + timedelta(hours=31))).envelope
