"""The store's users: each has what its process needs, and nothing else."""

import contextlib
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import engines
import grants
import pytest
import redis
from dramatiq import Message
from grants import ACL, Grant, needs
from guarded import USERS, Guarded

from reminder_worker import broker as queue
from reminder_worker import redisqueue, status, store
from reminder_worker.durability import confirm
from reminder_worker.ledger import Claim, Durability, Entry, Intent, Outcome, Wake
from reminder_worker.ports import free_port
from reminder_worker.schedule import Schedule

# What each process runs and asks for; how complete this is, test_hardening.py sees in a day's work.

SCRIPTS = {
    "web": "add cancel rate beat tell told",
    "hooks": "beat receipt match leave",
    "scheduler": "take sweep beat",
    "worker": """beat claim intend settle receipt match admit report next hurry ended circuit oldest note reply forget
        forgotten epoch seen stop leave""",
    "platform": "add cancel",
    "events": "retell",
    "operator": "beat epoch decide",
    "support": "act",
    "restore": "quarantine act",
}


def each(**keys: str) -> set[Grant]:
    """Write grants as key="commands"; __ stands for a dot, and a capital letter for the star behind it."""
    return {
        (command, f"{key.lower()}:*" if key.isupper() else key.replace("__", "."))
        for key, commands in keys.items()
        for command in commands.split()
    }


def bare(commands: str) -> set[Grant]:
    return {(command, "") for command in commands.split()}


SHOW = each(A="getrange", R="hgetall", due="zscore", turns="zscore")
EVERYBODY = bare("ping time client|setinfo") | each(shards="get")
ADDS = each(shards="set")
DIRECT = {
    "web": SHOW | ADDS | each(muted="smembers sadd") | bare("info waitaof"),
    "hooks": each(notes="llen") | bare("info"),
    "scheduler": ADDS
    | each(due="zcard", open="zcard", dead="zcard zrange", unknown="zcard zrange", N="hgetall")  # metrics
    | each(processes="zrange", events="zcard", events__dropped="get", notes="llen", notes__unread="llen")
    | each(due="zcount zrange", turns="zcard zcount zrange", live="zcard")
    | bare("info select")
    | {("rpush", redisqueue.NAMES), ("hset", redisqueue.MESSAGES)},
    "worker": each(L="lrange", H="set", Q="zrange", stops="xrange", notes="llen")
    | bare("info waitaof select script|load")
    | {
        (command, f"{redisqueue.NAMESPACE}:*")
        for command in (
            *("zadd", "zrangebyscore", "zrem", "rpush", "lpop", "blmove", "sadd", "srem", "smembers"),
            *("hexists", "hget", "hmget", "hdel", "del"),
        )
    },
    "platform": SHOW | ADDS,
    "events": each(A="mget", events="zcard", events__dropped="get", muted="smembers srem") | bare("scan dbsize"),
    "operator": each(processes="zrange", notes="llen", notes__unread="llen", C="hmget", N="hgetall")
    | each(due="zcard zcount zrange", turns="zcard zcount zrange")
    | each(live="zcard", open="zcard", dead="zcard zrange")
    | each(unknown="zcard zrange", A="getrange", R="hmget", acts="lrange")
    | bare("info"),
    "support": each(stops="xrange", L="lrange", R="hmget", find="set"),
    "restore": each(due="zcard", processes="zrange", seen="get", restored="del", stops="xrange xadd"),
}

# What no run of a script can get to: it is in a part that it shares with others.
NEVER = {
    ("cancel", "zadd", "unknown"),  # only settle ends as unknown
    ("receipt", "zadd", "unknown"),
    ("sweep", "zadd", "unknown"),
    ("decide", "zadd", "unknown"),  # nobody decides that nobody knows
    ("cancel", "zadd", "events"),  # who took it back knows that
}
HALVES = {
    "hooks": each(E="lrange", M="set"),  # of match: what an attempt does
    "operator": each(epochs="hset hdel"),  # of epoch: only a worker notes anything
}


def wanted(user: str) -> set[Grant]:
    """Return what a user has to be granted, but for the keys of scripts themselves."""
    scripts = {(name, *need) for name in SCRIPTS[user].split() for need in needs(name)}
    return (
        ({(command, key) for _, command, key in scripts - NEVER} - HALVES.get(user, set())) | DIRECT[user] | EVERYBODY
    )


def keys_of_scripts(user: str) -> set[Grant]:
    queue = {"worker": {("evalsha", "{rw-queue}")}, "scheduler": {("eval", "{rw-queue}")}}
    return {("eval", ""), ("evalsha", "")} | queue.get(user, set())


def test_there_is_a_file_for_each_user() -> None:
    assert set(USERS) == set(SCRIPTS) == set(DIRECT)


def test_every_script_is_somebody_s() -> None:
    known = {path.stem for path in grants.LUA.glob("*.lua")} - {"ledger"}
    assert known == {name for scripts in SCRIPTS.values() for name in scripts.split()}


@pytest.mark.parametrize("user", USERS)
def test_a_user_is_granted_exactly_what_its_process_needs(user: str) -> None:
    found = grants.grants(user)
    assert sorted(wanted(user) - found) == [], "missing"
    assert sorted(found - wanted(user) - keys_of_scripts(user)) == [], "too many"
    assert keys_of_scripts(user) <= found


@pytest.mark.parametrize("user", USERS)
def test_no_file_holds_a_password_or_grants_by_category(user: str) -> None:
    words = grants.rules(user).replace("(", " ").replace(")", " ").split()
    assert words[:6] == ["user", user, "reset", "on", "#SHA256", "-@all"]
    assert not [word for word in words[6:] if not word.startswith(("+", "~", "%R~", "%W~")) or word.startswith("+@")]


# On a real server.


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    running = Guarded(tmp_path_factory.mktemp("guarded"))
    yield running
    running.stop()


def may(guarded: Guarded, user: str, *words: str) -> bool:
    """Ask the server whether a user may say this."""
    return guarded.admin.execute_command("ACL", "DRYRUN", user, *words) == b"OK"


def test_nobody_gets_in_without_a_password(guarded: Guarded) -> None:
    for url in (f"redis://127.0.0.1:{guarded.port}/0", f"redis://web:wrong@127.0.0.1:{guarded.port}/0"):
        with contextlib.closing(redis.Redis.from_url(url)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_on_a_full_server_the_scheduler_may_still_wake_and_the_worker_be_woken(guarded: Guarded) -> None:
    with contextlib.ExitStack() as stack:
        waking, woken = (queue.connect(guarded.url(user, 1), []) for user in ("scheduler", "worker"))
        for broker in (waking, woken):
            stack.callback(broker.client.close)
        stack.callback(guarded.admin.config_set, "maxmemory", 0)
        guarded.admin.config_set("maxmemory", 1)
        queue.wake(waking, [wake := Wake(bytes(16), 0, 1)])
        (message,) = map(Message.decode, woken.do_fetch(queue.QUEUE, 8))
        assert queue.read(**message.kwargs) == wake


def test_on_a_cluster_each_process_gets_what_it_needs_of_every_shard(tmp_path: Path) -> None:
    """One server with all slots: who may ask where a slot is, and what else, is the same with more of them."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for user in USERS:
        (secrets / f"{user}.password").write_text(user)
    joined = subprocess.run([ACL / "join", secrets, "cluster"], capture_output=True, text=True, check=True).stdout
    server = engines.Server(tmp_path / "one", "--cluster-enabled", "yes", "--cluster-port", str(free_port())).start()
    try:
        engines.until(server.client.ping)
        server.client.cluster("ADDSLOTSRANGE", 0, 16383)
        engines.until(lambda: server.client.cluster("INFO")["cluster_state"] == "ok")
        for _, user, *rules in map(str.split, joined.splitlines()[1:]):
            server.client.execute_command("ACL", "SETUSER", user, *rejoined(rules))
        with contextlib.ExitStack() as stack:
            work(*(stack.enter_context(as_user(server, user)) for user in ("web", "scheduler", "worker")))
        assert server.client.execute_command("ACL", "LOG") == []
    finally:
        server.kill()
        server.client.close()


def as_user(server: engines.Server, user: str) -> store.Client:
    return store.connect(f"redis+cluster://{user}:{user}@127.0.0.1:{server.port}")


def rejoined(words: list[str]) -> Iterator[str]:
    """Put selectors together again: each is one argument."""
    selector: list[str] = []
    for word in words:
        selector += [word]
        if selector[0].startswith("(") and not word.endswith(")"):
            continue
        yield " ".join(selector)
        selector = []


def work(web: store.Client, scheduler: store.Client, worker: store.Client) -> None:
    """Do on two shards what each of three processes does all day."""
    handed_in, waking, sending = (
        Schedule(client, shards=2, durability=Durability.LOCAL) for client in (web, scheduler, worker)
    )
    with confirm(handed_in, "web/1"):
        now = handed_in.now()
        handed_in.add([Entry(bytes([one]) * 16, b"t" * 12, b"e", (now,)) for one in range(2)])
    for shard in range(2):
        waking.beat("scheduler/1")
        (wake,) = waking.take(shard, capacity=9).wakes
        assert waking.sweep(shard) == []
        found = sending.claim(wake)
        assert isinstance(found, Claim)
        assert sending.intend(found, "outbox", "ref", lease=timedelta(seconds=9)) is Intent.OK
        assert sending.settle(wake, Outcome.sent("name"), token=found.token, reference="ref")
    assert [len(handed_in.show(bytes([one]) * 16)) for one in range(2)] == [1, 1]
    assert status.read(waking).ended == {"sent": 2}


@pytest.mark.parametrize("words", [[], ["no-such-folder"], ["empty"]])
def test_a_folder_without_passwords_makes_no_file_that_lets_nobody_in(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    said = subprocess.run([ACL / "join", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(("usage: ", "error: "))


def test_a_user_without_a_password_file_is_left_out(guarded: Guarded, tmp_path: Path) -> None:
    (tmp_path / "web.password").write_text("secret")
    joined = subprocess.run([ACL / "join", tmp_path], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[:2] for line in joined] == [["user", "default"], ["user", "web"]]
    assert "secret" not in joined[1]


@pytest.mark.parametrize("user", USERS)
def test_the_server_reads_of_a_file_what_we_read(guarded: Guarded, user: str) -> None:
    found = guarded.admin.execute_command("ACL", "GETUSER", user)
    facts = dict(zip(found[::2], found[1::2], strict=True)) if isinstance(found, list) else found
    assert set(facts[b"commands"].decode().split()) == {"-@all"} | {f"+{name}" for name, key in bare_of(user)}
    assert facts[b"keys"] == b""
    assert facts[b"channels"] == b""
    assert len(facts[b"selectors"]) == len({key for _, key in grants.grants(user) if key}) + 1


def bare_of(user: str) -> set[Grant]:
    return {(name, key) for name, key in grants.grants(user) if not key and name not in {"eval", "evalsha"}}


MARKS = {"R": "%R", "W": "%W", "RW": "", "": "%R"}  # how long something is may be asked by whoever may do either
FLAGS = {"access": "R", "insert": "W", "update": "W", "delete": "W"}


@pytest.mark.parametrize("user", USERS)
def test_a_key_that_is_only_read_or_only_written_is_granted_as_such(guarded: Guarded, user: str) -> None:
    selectors, _ = grants.selectors(grants.rules(user))
    for selector in selectors:
        names = [word[1:] for word in selector.split() if word.startswith("+")]
        needed = {right for name in names for right in rights(guarded, name)}
        (key,) = [word for word in selector.split() if "~" in word]
        assert key.partition("~")[0] == MARKS["".join(sorted(needed))], selector


def rights(guarded: Guarded, command: str) -> set[str]:
    """Return what the server says that a command does with its keys."""
    if command == "set":
        return {"W"}  # it reads where it is asked to: ours are not
    (facts,) = guarded.admin.execute_command("COMMAND", "INFO", command).values()
    flags = {flag.decode() for spec in facts["key_specifications"] for flag in spec[b"flags"]}
    return {FLAGS[flag] for flag in flags & FLAGS.keys()}


DANGEROUS = [
    *("KEYS *", "CONFIG GET *", "CONFIG SET maxmemory 1", "MONITOR", "DEBUG JMAP", "FLUSHALL", "FLUSHDB", "ACL LIST"),
    *("ACL WHOAMI", "SHUTDOWN", "SAVE", "BGSAVE", "REPLICAOF NO ONE", "CLIENT LIST", "CLIENT KILL x", "SLOWLOG GET"),
    *("MODULE LIST", "SUBSCRIBE x", "PUBLISH x y", "FUNCTION LIST", "SCRIPT FLUSH", "RANDOMKEY", "SWAPDB 0 1", "SYNC"),
    *("DUMP rw:{0}:due", "RESTORE rw:{0}:due 0 x", "RENAME rw:{0}:due rw:{0}:x", "OBJECT FREQ rw:{0}:due"),
    *(
        "MIGRATE h 1 rw:{0}:due 0 1",
        "SORT rw:{0}:due",
        "COPY rw:{0}:due x",
        "TYPE rw:{0}:due",
        "GET other",
        "SET other 1",
    ),
]


@pytest.mark.parametrize("user", USERS)
def test_what_is_dangerous_is_nobody_s(guarded: Guarded, user: str) -> None:
    assert [words for words in DANGEROUS if may(guarded, user, *words.split())] == []
    assert [words for words in ("SCAN 0", "DBSIZE") if may(guarded, user, *words.split())] == (
        ["SCAN 0", "DBSIZE"] if user == "events" else []
    )


# Each line of "Who holds what", as far as the store can keep it.

ACTS = "rw:{0}:acts"
PHONES = {  # what has to do with them
    "rw:{0}:stops": ["XRANGE", "-", "+"],
    "rw:{0}:notes": ["LRANGE", "0", "-1"],
    "rw:{0}:l:x": ["LRANGE", "0", "-1"],
    "rw:{0}:p:x": ["SMEMBERS"],
    "rw:{0}:h:x": ["GET"],
}
REFUSED = {
    "web": ["XADD rw:{0}:stops * tag x on 1", "LPUSH rw:{0}:notes x", "ZRANGE rw:{0}:due 0 -1",
            "RPUSH {rw-queue}:reminders x"],
    "hooks": ["ZRANGE rw:{0}:due 0 -1", "ZADD rw:{0}:due 1 x", "LPOP rw:{0}:notes", "XADD rw:{0}:stops * tag x on 1",
              "SMEMBERS rw:{0}:muted", "ZRANGE rw:{0}:events 0 -1", "RPUSH {rw-queue}:reminders x"],
    "scheduler": ["ZADD rw:{0}:due 1 x", "LPUSH rw:{0}:notes x", "ZRANGE rw:{0}:events 0 -1", "SMEMBERS rw:{0}:muted",
                  "LPOP {rw-queue}:reminders", "HGETALL {rw-queue}:reminders.msgs", "HGETALL rw:{0}:r:x"],
    "worker": ["ZRANGE rw:{0}:due 0 -1", "ZRANGE rw:{0}:events 0 -1", "SMEMBERS rw:{0}:muted", "GET rw:{0}:k:x"],
    "platform": ["ZRANGE rw:{0}:due 0 -1", "INFO", "LPUSH rw:{0}:notes x", "RPUSH {rw-queue}:reminders x",
                 "GET rw:{0}:k:x"],
    "events": ["SET rw:{0}:a:x x", "DEL rw:{0}:a:x", "ZRANGE rw:{0}:events 0 -1", "HSET rw:{0}:r:x state sent"],
    "operator": ["GET rw:{0}:a:x", "HGETALL rw:{0}:r:x", "ZADD rw:{0}:dead 1 x", "HSET rw:{0}:c:x until 1",
                 "DEL rw:{0}:r:x", "SET rw:{0}:find 1"],
    "restore": ["HGETALL rw:{0}:r:x", "SET rw:{0}:a:x y", "ZADD rw:{0}:due 1 x", "LPUSH rw:{0}:notes x",
                "LRANGE rw:{0}:l:x 0 -1", "LRANGE rw:{0}:acts 0 -1"],
    "support": ["HSET rw:{0}:r:x state sent", "GETRANGE rw:{0}:a:x 0 -1", "ZRANGE rw:{0}:due 0 -1",
                "XADD rw:{0}:stops * tag x on 1", "RPUSH rw:{0}:l:x y", "LRANGE rw:{0}:acts 0 -1"],
}  # fmt: skip


@pytest.mark.parametrize("user", USERS)
def test_another_process_s_keys_are_refused(guarded: Guarded, user: str) -> None:
    assert [words for words in REFUSED[user] if may(guarded, user, *words.split())] == []


@pytest.mark.parametrize("user", sorted(set(USERS) - {"worker"}))
def test_what_has_to_do_with_phones_is_the_worker_s_and_two_of_them_are_read_for_support(
    guarded: Guarded, user: str
) -> None:
    found = [key for key, (command, *rest) in PHONES.items() if may(guarded, user, command, key, *rest)]
    lists = {"support": ["rw:{0}:stops", "rw:{0}:l:x"], "restore": ["rw:{0}:stops"]}
    assert found == lists.get(user, [])
    assert may(guarded, "worker", "XRANGE", "rw:{0}:stops", "-", "+")


@pytest.mark.parametrize("user", USERS)
def test_no_user_takes_away_what_operators_did(guarded: Guarded, user: str) -> None:
    ways = ("DEL", "UNLINK", "LPOP", "RPOP", "LREM 0 x", "LSET 0 x", "SET x", "LPUSH x")
    cases = [(command, ACTS, *rest) for command, *rest in map(str.split, ways)]
    assert [case for case in cases if may(guarded, user, *case)] == []
    writes, cuts = (may(guarded, user, *words) for words in (("RPUSH", ACTS, "x"), ("LTRIM", ACTS, "0", "1")))
    assert (writes, cuts) == (user in {"operator", "support", "restore"}, user == "scheduler")


# Wider than the claim, because a script needs it; as docs/hardening.md says.

WIDER = {
    "web": ["GETRANGE rw:{0}:a:x 0 -1", "SET rw:{0}:a:x y", "HGETALL rw:{0}:r:x"],
    "hooks": ["GETRANGE rw:{0}:a:x 0 -1", "SET rw:{0}:a:x y", "HSET rw:{0}:r:x state sent"],
    "scheduler": ["GETRANGE rw:{0}:a:x 0 -1", "SET rw:{0}:a:x y", "HMGET rw:{0}:r:x provider ref"],
    "events": ["MGET rw:{0}:a:x", "SCAN 0"],
    "platform": ["GETRANGE rw:{0}:a:x 0 -1", "DEL rw:{0}:r:x"],
    "operator": ["GETRANGE rw:{0}:a:x 0 -1", "SET rw:{0}:a:x y", "HSET rw:{0}:r:x state sent", "ZADD rw:{0}:due 1 x"],
    "restore": ["GETRANGE rw:{0}:a:x 0 -1", "HSET rw:{0}:r:x state sent", "XADD rw:{0}:stops * tag x on 0"],
}


@pytest.mark.parametrize("user", sorted(WIDER))
def test_what_is_wider_than_the_claim_is_known(guarded: Guarded, user: str) -> None:
    assert [words for words in WIDER[user] if not may(guarded, user, *words.split())] == []


def test_a_script_of_somebody_s_own_can_do_no_more_than_its_user(guarded: Guarded) -> None:
    with contextlib.closing(store.connect(guarded.url("scheduler"))) as client:
        for script in ("return redis.call('LRANGE', 'rw:{0}:notes', 0, -1)", "return redis.call('KEYS', '*')"):
            with pytest.raises(redis.ResponseError, match=r"(?i)ACL failure|permission"):
                client.eval(script, 1, "rw:{0}:")
