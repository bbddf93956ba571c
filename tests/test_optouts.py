"""The opt-out list, and the tags that stand for phones; each test is one promise of ``optouts.py``."""

import hashlib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted

from reminder_worker import store
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.gate import Gate
from reminder_worker.keyfiles import Kind, create_file, key_file
from reminder_worker.ledger import Claim, Wake
from reminder_worker.optouts import EVERYBODY, TAG_BYTES, OptOuts, Tags, pepper_file
from reminder_worker.providers import Limits
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import is_platform

PHONE, OTHER = "+33612340015", "+447400123456"
PEPPER = bytes(range(32))
TODAY = date(2027, 3, 1)
PLATFORMS = ["clinic", "salon"]
LOG = "rw:{0}:stops"


@pytest.fixture
def tags() -> Tags:
    return Tags(PEPPER)


@pytest.fixture
def optouts(schedule: Schedule, tags: Tags) -> OptOuts:
    return OptOuts(schedule, tags, PLATFORMS)


def elsewhere(optouts: OptOuts, tags: Tags) -> OptOuts:
    """Return the list as another worker, just started, knows it."""
    return OptOuts(optouts._schedule, tags, PLATFORMS)


def admitting(schedule: Schedule, optouts: OptOuts, tags: Tags, *, phone_cap: int = 10) -> Gate:
    return Gate(schedule, tags, optouts, limits={"scripted": Limits()}, platform_caps={}, phone_cap=phone_cap)


def admit(gate: Gate, clock: Clock) -> None:
    claim = Claim(Wake(bytes(16), 0, 1), b"token", clock.now, 0, b"sealed")
    gate.admit(Scripted(), gate.recipient(claim, "clinic", OTHER), 1)


# Tags.


def test_a_tag_is_the_same_for_the_same_and_differs_by_platform_phone_and_pepper(tags: Tags) -> None:
    assert tags.optout("clinic", PHONE) == Tags(PEPPER).optout("clinic", PHONE)
    found = {
        one.optout(platform, phone)
        for one in (tags, Tags(bytes(32)), Tags(PEPPER[::-1]))
        for platform in ("clinic", "salon", "")
        for phone in (PHONE, OTHER)
    }
    assert len(found) == 18
    assert {len(tag) for tag in found} == {TAG_BYTES}


def test_a_tag_of_today_differs_by_day_meaning_name_and_pepper(tags: Tags) -> None:
    assert tags.today(TODAY, "phone", PHONE) == Tags(PEPPER).today(TODAY, "phone", PHONE)
    found = {
        one.today(TODAY + timedelta(days=days), meaning, name)
        for one in (tags, Tags(bytes(32)))
        for days in range(400)
        for meaning in ("phone", "platform", "help")
        for name in (PHONE, OTHER)
    }
    assert len(found) == 2 * 400 * 3 * 2
    assert tags.optout("clinic", PHONE) not in found


def test_a_day_s_tags_stay_the_same_while_days_change(tags: Tags) -> None:
    days = [TODAY, TODAY, TODAY + timedelta(days=1), TODAY]  # a worker near midnight knows both
    first, again, tomorrow, back = (tags.today(day, "phone", PHONE) for day in days)
    assert first == again == back != tomorrow


def test_names_are_kept_apart(tags: Tags) -> None:
    assert tags.today(TODAY, "phone", "x") != tags.today(TODAY, "phonex")
    assert tags.today(TODAY, "phone", "x") != tags.today(TODAY, "phone", "x", "")


@given(st.text("+0123456789", max_size=16), st.text("abc-", max_size=20))
def test_no_tag_is_a_plain_hash(phone: str, platform: str) -> None:
    tags = {Tags(PEPPER).optout(platform, phone), Tags(PEPPER).today(TODAY, "phone", phone)}
    plain = [hashlib.blake2b(text.encode(), digest_size=TAG_BYTES).digest() for text in (phone, platform + phone)]
    assert not tags & {*plain, hashlib.sha256(phone.encode()).digest()[:TAG_BYTES]}


# The pepper.


def pepper(folder: Path, *, text: str | None = None, kind: Kind = Kind.PEPPER, name: str = "pepper") -> str:
    """Write a pepper file; return what must not be shown of it."""
    secret = text or "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"
    create_file(pepper_file(folder), key_file(kind, **{name: secret}), 0o600)
    return secret


def test_a_pepper_is_read_from_its_file(tmp_path: Path) -> None:
    pepper(tmp_path)
    assert Tags.load(tmp_path).optout("clinic", PHONE) == Tags.load(tmp_path).optout("clinic", PHONE)
    assert Tags.load(tmp_path).optout("clinic", PHONE) != Tags(PEPPER).optout("clinic", PHONE)


DAMAGED = {
    "cut short": {"text": "c2VjcmV0LXNlY3JldA"},
    "no text of a key": {"text": "secret!secret!secret!secret!secret!secret!!"},
    "another kind": {"kind": Kind.POINTER},
    "another field": {"name": "peper"},
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_pepper_is_named_and_not_shown(tmp_path: Path, damage: dict[str, str]) -> None:
    secret = pepper(tmp_path, **damage)
    with pytest.raises(SettingsError, match=r"optouts\.pepper") as caught:
        Tags.load(tmp_path)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_missing_pepper_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"optouts\.pepper: there is no such file; .* key of the opt-out list"):
        Tags.load(tmp_path)


def test_tags_do_not_show_their_pepper(tags: Tags) -> None:
    assert PEPPER.hex() not in repr(tags)
    assert repr(PEPPER)[2:10] not in repr(tags)


# The list.


def test_nobody_is_on_an_empty_list(optouts: OptOuts) -> None:
    optouts.catch_up()
    assert not optouts.has("clinic", PHONE)
    assert not optouts.stopped_by(PHONE)
    assert optouts.cursor == b"0-0"


def test_a_stop_counts_at_once_for_every_platform_and_nobody_else(optouts: OptOuts) -> None:
    optouts.stop(PHONE)
    assert all(optouts.has(platform, PHONE) for platform in PLATFORMS)
    assert optouts.stopped_by(PHONE)
    assert not optouts.stopped_by(OTHER)


def test_to_stop_twice_writes_once(optouts: OptOuts, tags: Tags, client: store.Client) -> None:
    for one in (optouts, optouts, elsewhere(optouts, tags)):
        one.stop(PHONE)
    assert client.xlen(LOG) == 1


def test_another_worker_knows_after_it_has_caught_up(optouts: OptOuts, tags: Tags) -> None:
    other = elsewhere(optouts, tags)
    optouts.stop(PHONE)
    assert not other.stopped_by(PHONE)
    other.catch_up()
    assert other.stopped_by(PHONE)
    assert other.cursor == optouts.cursor


@pytest.mark.parametrize("phone_cap", [10, 0], ids=["admitted", "refused"])
def test_another_worker_knows_when_it_next_asks_for_a_call(
    optouts: OptOuts, tags: Tags, schedule: Schedule, clock: Clock, phone_cap: int
) -> None:
    other = elsewhere(optouts, tags)
    gate = admitting(schedule, other, tags, phone_cap=phone_cap)
    optouts.stop(PHONE)
    admit(gate, clock)
    assert other.stopped_by(PHONE)
    assert other.cursor == optouts.cursor


def test_nobody_is_called_before_a_long_list_is_known_to_its_end(
    optouts: OptOuts, tags: Tags, schedule: Schedule, clock: Clock, client: store.Client
) -> None:
    with client.pipeline() as pipe:
        for number in range(1700):
            pipe.xadd(LOG, {b"tag": tags.optout("clinic", f"+336{number:08}"), b"on": b"1"})
        pipe.execute()
    admit(admitting(schedule, optouts, tags), clock)
    assert optouts.has("clinic", "+33600000499")
    assert optouts.has("clinic", "+33600001699")


def test_a_list_of_any_length_is_caught_up_with(optouts: OptOuts, tags: Tags, client: store.Client) -> None:
    with client.pipeline() as pipe:
        for number in range(2500):
            pipe.xadd(LOG, {b"tag": tags.optout("salon", f"+336{number:08}"), b"on": b"1"})
        pipe.execute()
    optouts.catch_up()
    assert all(optouts.has("salon", f"+336{number:08}") for number in range(2500))


def test_who_is_up_to_date_is_told_nothing(
    optouts: OptOuts, tags: Tags, schedule: Schedule, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    optouts.stop(PHONE)
    told = []
    monkeypatch.setattr(optouts, "follow", told.append)
    admit(admitting(schedule, optouts, tags), clock)
    assert told == [[]]


def write(client: store.Client, tags: Tags, *changes: bool) -> None:
    for stopped in changes:
        client.xadd(LOG, {b"tag": tags.optout("clinic", PHONE), b"on": b"1" if stopped else b"0"})


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(0, 8))
def test_the_last_word_counts_wherever_the_list_was_cut(changes: list[bool], cut: int) -> None:
    tags = Tags(PEPPER)
    tag = tags.optout("clinic", PHONE)
    entries = [
        part
        for number, stopped in enumerate(changes, 9)  # 9-0 comes before 10-0, in numbers
        for part in (b"%d-0" % number, tag, b"1" if stopped else b"0")
    ]
    optouts = OptOuts(None, tags, PLATFORMS)  # type: ignore[arg-type]
    optouts.follow(entries[: cut * 3])
    optouts.follow(entries)  # another thread asked with an older cursor
    optouts.follow(entries[: cut * 3])
    assert optouts.has("clinic", PHONE) is changes[-1]
    assert optouts.cursor == b"%d-0" % (8 + len(changes))


def test_the_order_of_stop_and_start_is_kept(optouts: OptOuts, tags: Tags, client: store.Client) -> None:
    write(client, tags, True, False)
    optouts.catch_up()
    assert not optouts.has("clinic", PHONE)
    write(client, tags, False, True)
    optouts.catch_up()
    assert optouts.has("clinic", PHONE)


def test_the_list_survives_a_restart(optouts: OptOuts, tags: Tags) -> None:
    optouts.stop(PHONE)
    again = elsewhere(optouts, tags)
    again.catch_up()
    assert (again.stopped_by(PHONE), again.stopped_by(OTHER)) == (True, False)


def test_the_list_is_never_forgotten(optouts: OptOuts, client: store.Client) -> None:
    optouts.stop(PHONE)
    assert client.ttl(LOG) == -1


# Whose list it is.


def test_a_worker_with_another_pepper_is_refused(optouts: OptOuts, schedule: Schedule) -> None:
    """It would find nobody on the list, and text who said STOP."""
    optouts.check()
    optouts.stop(PHONE)
    with pytest.raises(SettingsError, match=r"optouts\.pepper: is not the key .* copy the file from") as caught:
        OptOuts(schedule, Tags(bytes(32)), PLATFORMS).check()
    assert PEPPER.hex() not in str(caught.value)
    optouts.check()


def test_a_list_names_its_pepper_once_and_nobody_is_on_it_by_that(
    optouts: OptOuts, tags: Tags, client: store.Client
) -> None:
    for one in (optouts, optouts, elsewhere(optouts, tags)):
        one.check()
        one.catch_up()
        assert not one._stopped
    assert client.xlen(LOG) == 1


def test_a_list_of_before_it_named_its_pepper_is_read_to_its_end_and_taken_over(
    optouts: OptOuts, tags: Tags, schedule: Schedule, client: store.Client
) -> None:
    with client.pipeline() as pipe:
        for number in range(2500):
            pipe.xadd(LOG, {b"tag": tags.optout("salon", f"+336{number:08}"), b"on": b"1"})
        pipe.execute()
    for _ in range(2):
        optouts.check()
    assert client.xlen(LOG) == 2501
    with pytest.raises(SettingsError):
        OptOuts(schedule, Tags(bytes(32)), PLATFORMS).check()


def test_of_two_who_named_theirs_in_one_moment_the_first_one_counts(
    optouts: OptOuts, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = OptOuts(schedule, Tags(bytes(32)), PLATFORMS)
    look, looked = OptOuts._named, set[OptOuts]()

    def named(self: OptOuts) -> bytes | None:
        """See nothing the first time, as both do who look at once."""
        seen, _ = look(self) if self in looked else None, looked.add(self)
        return seen

    monkeypatch.setattr(OptOuts, "_named", named)
    optouts.check()
    for _ in range(2):
        with pytest.raises(SettingsError):
            other.check()
        optouts.check()


# What follows from an answer.


def test_a_stop_is_one_tag_for_all_platforms_and_later_ones_too(optouts: OptOuts, tags: Tags) -> None:
    assert optouts.changes(PHONE, stopped=True) == [tags.optout(EVERYBODY, PHONE), b"1"]
    optouts.stop(PHONE)
    assert all(optouts.has(name, PHONE) for name in (*PLATFORMS, "opened-next-year"))
    assert not any(optouts.has(name, OTHER) for name in PLATFORMS)


def test_where_nothing_changes_there_is_nothing_to_write(optouts: OptOuts) -> None:
    assert optouts.changes(PHONE, stopped=False) == []
    optouts.stop(PHONE)
    assert optouts.changes(PHONE, stopped=True) == []


def test_a_start_takes_back_what_stands_under_any_name(optouts: OptOuts, tags: Tags, client: store.Client) -> None:
    write(client, tags, True)  # of one platform alone
    assert optouts.changes(PHONE, stopped=True) == [tags.optout(EVERYBODY, PHONE), b"1"]
    optouts.stop(PHONE)
    expected = [tags.optout(EVERYBODY, PHONE), b"0", tags.optout("clinic", PHONE), b"0"]
    assert optouts.changes(PHONE, stopped=False) == expected


def test_no_platform_can_have_the_name_that_stands_for_all() -> None:
    assert not is_platform(EVERYBODY)


def test_what_changes_is_reckoned_from_the_end_of_the_list(optouts: OptOuts, tags: Tags) -> None:
    elsewhere(optouts, tags).stop(PHONE)
    assert optouts.changes(PHONE, stopped=True) == []


# Who learns what.


def test_no_number_and_no_plain_hash_of_one_is_in_the_store(optouts: OptOuts, client: store.Client) -> None:
    optouts.stop(PHONE)
    stored = b"".join(key for key in client.scan_iter()) + repr(client.xrange(LOG)).encode()
    for text in (PHONE, PHONE[1:], "0" + PHONE[3:], *(name + PHONE for name in PLATFORMS)):
        assert text.encode() not in stored
        for size in (8, 16, 20, 32, 64):
            for personal in (b"", b"rw-today", hashlib.blake2b(b"clinic", digest_size=16).digest()):
                plain = hashlib.blake2b(text.encode(), digest_size=size, person=personal).digest()
                assert repr(plain[:6])[2:-1].encode() not in stored
                assert plain.hex()[:12].encode() not in stored
    assert not [name for name in PLATFORMS if name.encode() in stored]


def test_two_platforms_lists_cannot_be_laid_side_by_side(tags: Tags) -> None:
    assert len({tags.optout(scope, phone) for scope in (*PLATFORMS, EVERYBODY) for phone in (PHONE, OTHER)}) == 6


@pytest.fixture
def away(tmp_path: Path) -> Iterator[OptOuts]:
    with store.connect(f"unix://{tmp_path}/nobody", retry=None) as client:
        yield OptOuts(Schedule(client), Tags(PEPPER), PLATFORMS)


def test_a_store_that_is_away_is_said_so_without_a_number(away: OptOuts) -> None:
    for call in (away.catch_up, lambda: away.stop(PHONE), away.check):
        with pytest.raises(StoreUnavailable, match="ConnectionError") as caught:
            call()
        assert caught.value.__suppress_context__
        assert PHONE not in str(caught.value)
