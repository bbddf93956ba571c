"""All who use a store say the same number of shards, or do not begin."""

import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from clock import START, Clock
from redis.exceptions import NoPermissionError

from reminder_worker import scheduler as process
from reminder_worker import store
from reminder_worker.agreement import KEY, Agreement
from reminder_worker.doctor import check_shards
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.ledger import Entry
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings

ENTRY = Entry(bytes(16), bytes(12), b"sealed", (START + timedelta(days=3650),))


def test_whoever_comes_first_says_the_number(client: store.Client) -> None:
    Schedule(client, shards=4).add([ENTRY])
    assert client.get(KEY) == b"4"
    Schedule(client, shards=4).agreement.check()
    with pytest.raises(SettingsError, match=r"^shards: this store is used with 4, here it is 1; "):
        Schedule(client, shards=1).agreement.check()


def test_a_store_that_is_full_is_not_asked_to_write_what_it_has(client: store.Client) -> None:
    Agreement(client, 4).make()
    client.config_set("maxmemory", 1)
    try:
        Agreement(client, 4).make()
        with pytest.raises(StoreUnavailable):
            Agreement(client, 1).renew()
    finally:
        client.config_set("maxmemory", 0)


def test_nobody_hands_in_with_another_number(client: store.Client) -> None:
    Schedule(client, shards=1).agreement.make()
    with pytest.raises(SettingsError, match=r"^shards: "):
        Schedule(client, shards=4).add([ENTRY])
    assert client.keys("rw:*") == [KEY.encode()]


def test_who_runs_already_is_told_and_hands_in_nothing_more(
    client: store.Client, caplog: pytest.LogCaptureFixture
) -> None:
    schedule = Schedule(client)
    schedule.add([ENTRY])
    schedule.beat("web/1")
    assert not caplog.records
    client.set(KEY, 4)
    schedule.beat("web/1")
    assert [(record.message, record.levelno) for record in caplog.records] == [("shards_differ", logging.ERROR)]
    with pytest.raises(SettingsError, match=r"^shards: "):
        schedule.add([ENTRY])


def test_a_scheduler_begins_with_a_new_number_where_nothing_is_left(client: store.Client) -> None:
    Agreement(client, 4).make()
    Agreement(client, 1).renew()
    assert client.get(KEY) == b"1"


@pytest.mark.parametrize("key", ["due", "turns", "live", "open"])
@pytest.mark.parametrize(("shard", "old", "new"), [(3, 4, 1), (0, 1, 4), (2, 1, 4)])
def test_a_scheduler_does_not_while_something_waits(
    client: store.Client, key: str, shard: int, old: int, new: int
) -> None:
    Agreement(client, old).make()
    client.zadd(f"rw:{{{shard}}}:{key}", {bytes(17): 1})
    with pytest.raises(SettingsError, match=r"^shards: "):
        process.run(Schedule(client, shards=new), SimpleNamespace())
    assert int(client.get(KEY)) == old


def test_a_scheduler_does_not_while_others_live_who_said_the_old_number(client: store.Client) -> None:
    schedule = Schedule(client, shards=4)
    schedule.agreement.make()
    schedule.beat("web/1")
    with pytest.raises(SettingsError, match=r"^shards: "):
        Agreement(client, 1).renew()
    schedule.leave("web/1")
    Agreement(client, 1).renew()


def test_who_is_silent_for_a_minute_is_not_asked(client: store.Client, clock: Clock) -> None:
    seconds, _ = client.time()
    client.zadd("rw:{0}:processes", {"web/1": (seconds - 61) * 1000})
    Agreement(client, 4).make()
    Agreement(client, 1).renew()
    assert client.get(KEY) == b"1"


def test_doctor_names_it(client: store.Client) -> None:
    assert list(check_shards(Settings(shards=4), client)) == []
    Agreement(client, 4).make()
    assert list(check_shards(Settings(shards=4), client)) == []
    (finding,) = check_shards(Settings(shards=1), client)
    assert finding.what == "shards is 1, and the store is used with 4"


class Guarded:
    """A store whose users.acl knows nothing of this."""

    def get(self, _: str) -> Any:
        raise NoPermissionError

    def set(self, *_: Any, **__: Any) -> Any:
        raise NoPermissionError


def test_an_older_list_of_users_keeps_nobody_from_working() -> None:
    agreement = Agreement(Guarded(), 4)
    agreement.make()
    agreement.check()
    agreement.watch()


def test_a_store_that_is_away_says_so(client: store.Client) -> None:
    nowhere = store.connect("unix:///nowhere/at/all", retry=store.retrying(0))
    Agreement(nowhere, 1).check()  # it is asked again
    for ask in (Agreement(nowhere, 1).make, Agreement(nowhere, 1).watch, Agreement(nowhere, 1).renew):
        with pytest.raises(StoreUnavailable):
            ask()
