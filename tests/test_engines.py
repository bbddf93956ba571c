"""Stores of several servers: the ledger's own tests on each, servers that are killed, slots that are moved."""

import os
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self

import engines
import pytest

from reminder_worker import broker as queue
from reminder_worker import durability, redisqueue, store, topology
from reminder_worker.doctor import check_store
from reminder_worker.errors import StoreUnavailable
from reminder_worker.ledger import Answer, Claim, Durability, Entry, Intent, Outcome, Wake
from reminder_worker.schedule import Schedule

HERE = Path(__file__).parent
SHARDS = 5  # of which each of three masters has one at least
LEASE = timedelta(seconds=15)
ENGINES = pytest.mark.parametrize("name", engines.NAMES)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, engines.Engine]]:
    """One of each, for tests that leave it whole."""
    with (
        engines.start("sentinel", tmp_path_factory.mktemp("sentinel")) as watched,
        engines.start("cluster", tmp_path_factory.mktemp("cluster")) as cluster,
    ):
        yield {"sentinel": watched, "cluster": cluster}


@pytest.fixture
def engine(running: dict[str, engines.Engine], name: str) -> engines.Engine:
    return running[name]


@pytest.fixture
def schedule(engine: engines.Engine) -> Iterator[Schedule]:
    """An empty ledger of several shards, whose writes a replica has."""
    with store.connect(engine.url) as client:
        client.flushall()
        yield Schedule(client, shards=SHARDS, durability=Durability.REPLICA)


def entries(number: int, first: int = 0) -> list[Entry]:
    now = datetime.now(UTC) - timedelta(seconds=1)
    return [
        Entry(bytes([one % 256]) + one.to_bytes(15, "big"), b"t" * 12, b"e" * 40, (now,))
        for one in range(first, first + number)
    ]


def claim(schedule: Schedule, shard: int) -> Claim:
    found = schedule.claim(schedule.take(shard, most=1, capacity=9999).wakes[0])
    assert isinstance(found, Claim)
    return found


@ENGINES
def test_the_ledger_s_own_tests_hold_there_too(name: str) -> None:
    names = [HERE / f"test_{part}.py" for part in ("schedule", "status", "decisions", "acts")]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", "--engine", name]
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # each plug-in is a second of work
    done = subprocess.run(
        [*words, *map(str, names)], capture_output=True, text=True, check=False, cwd=HERE.parent, env=alone
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(done.stdout.rpartition(" passed")[0].rpartition("\n")[2].rpartition(" ")[2]) > 100


@ENGINES
def test_shards_are_spread_over_all_that_may_be_written_to(engine: engines.Engine, schedule: Schedule) -> None:
    assert schedule.add(entries(50)) == [Answer.ADDED] * 50
    assert all(server.client.dbsize() for server in engine.masters())


@ENGINES
def test_an_intent_waits_for_a_replica_s_disk_on_the_server_of_its_shard(schedule: Schedule, name: str) -> None:
    schedule.add(entries(50))
    for shard in range(SHARDS):
        assert schedule.intend(claim(schedule, shard), "outbox", f"ref-{shard}", lease=LEASE) is Intent.OK


@ENGINES
def test_an_intent_without_a_replica_is_not_confirmed(engine: engines.Engine, schedule: Schedule) -> None:
    schedule.add(entries(50))
    held = claim(schedule, 0)
    for server in set(engine.servers) - set(engine.masters()):
        server.freeze()
    try:
        assert schedule.intend(held, "outbox", "ref", lease=LEASE) is Intent.NOT_CONFIRMED
        with pytest.raises(StoreUnavailable, match="did not confirm"), durability.confirm(schedule, "web/1"):
            pass
    finally:
        for server in set(engine.servers) - set(engine.masters()):
            server.thaw()


@ENGINES
def test_what_was_written_is_confirmed_on_every_shard(schedule: Schedule, name: str) -> None:
    with durability.confirm(schedule, "web/1"):
        schedule.add(entries(50))


def test_who_is_connected_to_a_server_that_became_a_replica_goes_to_the_master(tmp_path: Path) -> None:
    """Behind one address, and with each kind of connection: a thread's own, a borrowed one, the queue's."""
    with engines.Named(tmp_path) as named, store.connect(named.url) as client:
        schedule = Schedule(client, durability=Durability.LOCAL)
        broker = queue.connect(store.queue_url(None, named.url), [])

        def everything(number: int) -> None:
            assert schedule.add(entries(1, number)) == [Answer.ADDED]
            assert schedule.intend(claim(schedule, 0), "outbox", f"ref-{number}", lease=LEASE) is Intent.OK
            queue.wake(broker, [Wake(bytes(16), 0, number)])
            assert len(broker.do_fetch(queue.QUEUE, 8)) == 1

        for number in (1, 2, 3):
            everything(number)
            named.fail_over()
        everything(4)
        broker.client.close()


@ENGINES
def test_wake_ups_go_through_it_as_well(engine: engines.Engine, schedule: Schedule) -> None:
    """On a Cluster in the one database there is, in one slot."""
    broker = queue.connect(store.queue_url(None, engine.url), [])
    wakes = [Wake(bytes(16), 0, number) for number in range(1, 9)]
    queue.wake(broker, wakes)
    fetched = [queue.Message.decode(data) for data in broker.do_fetch(queue.QUEUE, 8)]
    assert [queue.read(**message.kwargs) for message in fetched] == wakes
    broker.client.close()


@ENGINES
def test_the_doctor_looks_at_each_server_that_holds_a_part(engine: engines.Engine, schedule: Schedule) -> None:
    masters = engine.masters()
    assert [one.code for one in check_store(schedule.client)] == ["no_min_replicas"] * len(masters)
    for master in masters:
        master.client.config_set("min-replicas-to-write", 1)
    assert [one.code for one in check_store(schedule.client)] == []
    last = masters[-1]
    last.client.config_set("maxmemory-policy", "allkeys-lru")
    last.client.config_set("maxmemory", "100mb")
    try:
        assert [one.code for one in check_store(schedule.client)] == ["store_evicts"]
        memory, _ = topology.told(schedule.client)
        assert (memory["maxmemory_policy"], memory["maxmemory"]) == ("allkeys-lru", 100 * 2**20)
    finally:
        last.client.config_set("maxmemory-policy", "noeviction")
        last.client.config_set("maxmemory", 0)
        for master in masters:
            master.client.config_set("min-replicas-to-write", 0)


def test_a_cluster_without_a_server_that_answers_is_said_so() -> None:
    with pytest.raises(StoreUnavailable, match=r"^the store did not answer \("):
        store.connect("redis+cluster://127.0.0.1:1,127.0.0.1:2")


def test_sentinels_that_are_away_are_said_so() -> None:
    with store.connect("redis+sentinel://127.0.0.1:1,127.0.0.1:2/reminders/0", retry=store.retrying(1)) as client:
        with pytest.raises(StoreUnavailable):
            Schedule(client).now()
        assert [one.code for one in check_store(client)] == ["store_away"]


# Servers that are killed, and slots that move.


BATCH, THREADS = 20, 8


class Load:
    """Hands in, takes, claims and settles as fast as it can, and remembers what it was told."""

    def __init__(self, url: str) -> None:
        self.url, self.stopped = url, threading.Event()
        self.accepted: set[bytes] = set()
        self.texts: Counter[bytes] = Counter()
        self.away = 0
        works = [self._hand_in, *(partial(self._work_off, shard) for shard in range(SHARDS))]
        self.threads = [threading.Thread(target=self._keep_at, args=(work,)) for work in works]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def _keep_at(self, work: Callable[[Schedule, ThreadPoolExecutor, int], None]) -> None:
        with store.connect(self.url, retry=store.retrying(1)) as client, ThreadPoolExecutor(THREADS) as pool:
            schedule, number = Schedule(client, shards=SHARDS, durability=Durability.REPLICA), 0
            while not self.stopped.wait(0.02):
                try:
                    work(schedule, pool, number)
                except StoreUnavailable:
                    self.away += 1
                number += BATCH

    def _hand_in(self, schedule: Schedule, _: ThreadPoolExecutor, number: int) -> None:
        batch = entries(BATCH, number)
        with durability.confirm(schedule, "web/1"):
            schedule.add(batch)
        self.accepted |= {entry.id for entry in batch}

    def _work_off(self, shard: int, schedule: Schedule, pool: ThreadPoolExecutor, _: int) -> None:
        wakes = [*schedule.take(shard, most=THREADS, capacity=9999).wakes, *schedule.sweep(shard)]
        list(pool.map(partial(self._send, schedule), wakes))

    def _send(self, schedule: Schedule, wake: Wake) -> None:
        found, reference = schedule.claim(wake), secrets.token_hex(8)
        if isinstance(found, Claim) and schedule.intend(found, "outbox", reference, lease=LEASE) is Intent.OK:
            self.texts[wake.id] += 1
            schedule.settle(wake, Outcome.sent(reference), token=found.token, reference=reference)

    def more(self, number: int = 2 * BATCH) -> None:
        """Wait until so many more were accepted."""
        wanted = len(self.accepted) + number
        engines.until(lambda: len(self.accepted) >= wanted)

    def check(self, schedule: Schedule) -> None:
        """Nothing that was accepted is lost; nothing was sent twice."""
        assert {id_ for id_ in self.accepted if not schedule.show(id_)} == set()
        assert self.texts
        assert [count for count in self.texts.values() if count > 1] == []


@ENGINES
def test_a_master_that_is_killed_loses_nothing_and_nothing_is_sent_twice(name: str, tmp_path: Path) -> None:
    with engines.start(name, tmp_path) as engine, store.connect(engine.url) as client:
        schedule = Schedule(client, shards=SHARDS, durability=Durability.REPLICA)
        with Load(engine.url) as load:
            load.more()
            engine.kill(engine.master_of(schedule.prefix(0)))
            load.more()
        assert load.away
        load.check(schedule)


@ENGINES
def test_what_only_the_old_master_had_is_not_confirmed_by_the_new_one(name: str, tmp_path: Path) -> None:
    """The replica stands still while something is handed in, and takes over before anybody asks whether it is safe."""
    with engines.start(name, tmp_path) as engine, store.connect(engine.url) as client:
        schedule = Schedule(client, durability=Durability.LOCAL)
        with durability.confirm(schedule, "web/1"):
            schedule.add(entries(1))
        with pytest.raises(StoreUnavailable, match="did not confirm"), durability.confirm(schedule, "web/1"):
            hand_in_and_lose(engine, schedule)
        with durability.confirm(schedule, "web/1"):
            assert schedule.add(entries(1, 256)) == [Answer.ADDED]


def hand_in_and_lose(engine: engines.Engine, schedule: Schedule) -> None:
    before, master = engine.masters(), engine.master_of(schedule.prefix(0))
    others = set(engine.servers) - {master}
    for server in others:
        server.freeze()
    master.client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    schedule.add(entries(1, 256))
    master.kill()
    for server in others:
        server.thaw()
    lost = schedule.prefix(0) + b"a:" + entries(1, 256)[0].id
    engines.until(lambda: set(engine.masters()) - others == set() and len(engine.masters()) == len(before))
    engines.until(lambda: not schedule.client.exists(lost))


@pytest.mark.parametrize("way", ["move_at_once", "move_key_by_key"])
def test_a_slot_moves_to_another_server_under_load(way: str, tmp_path: Path) -> None:
    with engines.start("cluster", tmp_path) as cluster, store.connect(cluster.url) as client:
        schedule = Schedule(client, shards=SHARDS, durability=Durability.REPLICA)
        with Load(cluster.url) as load:
            load.more()
            old, new = getattr(cluster, way)(schedule.prefix(0))
            load.more()
        assert cluster.master_of(schedule.prefix(0)) is new is not old
        load.check(schedule)


def test_a_queue_whose_slot_has_moved_is_read_on(tmp_path: Path) -> None:
    with engines.start("cluster", tmp_path) as cluster:
        broker = queue.connect(store.queue_url(None, cluster.url), [])
        queue.wake(broker, [Wake(bytes(16), 0, number) for number in range(1, 9)])
        for data in broker.do_fetch(queue.QUEUE, 4):
            broker.do_ack(queue.QUEUE, queue.Message.decode(data).options["redis_message_id"])
        assert broker._comes()
        cluster.move_at_once(redisqueue.NAMESPACE.encode())
        assert broker._comes()
        assert len(broker.do_fetch(queue.QUEUE, 8)) == 4  # and what was done has left before
        assert broker.client.hlen(redisqueue.MESSAGES) == 4
        broker.client.close()


def test_a_slot_whose_keys_are_on_the_move_is_left_alone(tmp_path: Path) -> None:
    with engines.start("cluster", tmp_path) as cluster, store.connect(cluster.url) as client:
        schedule = Schedule(client)
        schedule.add(entries(10))
        with cluster.moving(schedule.prefix(0)) as (_, new):
            with pytest.raises(StoreUnavailable):
                schedule.add(entries(10, 20))
            with pytest.raises(StoreUnavailable):
                schedule.take(0, capacity=10)
            assert new.client.dbsize() == 0
        assert len(schedule.take(0, capacity=100).wakes) == 10
