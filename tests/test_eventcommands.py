import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from office import Office, Receiver
from standardwebhooks import Webhook

from reminder_worker import cli, eventcommands, keys
from reminder_worker.agreement import Agreement
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.keyfiles import is_private
from reminder_worker.signatures import Secret


@pytest.fixture
def receiver():
    with Receiver() as peer:
        yield peer


@pytest.fixture
def office(tmp_path, monkeypatch, server, schedule, receiver):
    """A gateway whose settings lie in the working folder, under the server's own clock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REMINDER_STORE_URL", server.url())
    (tmp_path / "reminder-worker.toml").write_text(
        '[platforms.clinic]\nverify_key = "keys/gateway.pub"\n[platforms.other]\nverify_key = "keys/gateway.pub"\n'
    )
    keys.new_gateway(tmp_path / "keys")
    urls = {"clinic": f"{receiver.url}/clinic", "other": f"{receiver.url}/other"}
    clock = SimpleNamespace(now=datetime.now(UTC) - timedelta(seconds=1))
    made = Office(schedule, clock, GatewayKeys.load(tmp_path / "keys"), **urls)
    yield made
    made.dispatcher.stop()


@pytest.fixture
def run(monkeypatch, capfd):
    def run_one(*words):
        monkeypatch.setattr(sys, "argv", ["reminder-worker", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return SimpleNamespace(code=ended.value.code or 0, **capfd.readouterr()._asdict())

    return run_one


def test_what_reminders_became_is_told_again_as_it_stands_now(office, receiver, run):
    office.hand_in("A-1", "A-2")
    claims = {claim.wake.id: claim for claim in office.send()}
    office.receipt(claims[office.id("A-1")], "delivered")
    office.answer(claims[office.id("A-2")], "confirmed", 1)
    office.hand_in("A-3")
    office.claim()
    office.tell()
    before, ids = Counter(receiver.told), set(receiver.ids)
    assert len(ids) == 4
    receiver.accepted.clear()
    done = run("events", "replay")
    assert (done.code, done.out, done.err) == (0, "events to be told again: 3\n", "")
    office.tell()
    assert Counter(receiver.told) == before - Counter([("A-1", "reminder.sent")])  # that is past, and one is under way
    assert not set(receiver.ids) & ids  # who passes over what it has seen does not pass over these
    delivered = next(one.json for one in receiver.accepted if one.json["type"] == "reminder.delivered")
    assert datetime.fromisoformat(delivered["timestamp"]) < datetime.now(UTC)


def test_one_platform_is_told_again_without_the_others(office, receiver, run):
    office.sent("A-1", "A-2")
    office.sent("A-1", platform="other")
    office.sent("A-3", mode=Mode.TEST)
    office.tell()
    receiver.accepted.clear()
    assert run("events", "replay", "--platform", "clinic").out == "events to be told again: 3\n"
    office.tell()
    assert {one.path for one in receiver.accepted} == {"/clinic"}
    assert sorted(name for name, _ in receiver.told) == ["A-1", "A-2", "A-3"]


def test_what_ended_before_is_left_alone(office, schedule, run):
    office.sent("A-1", "A-2")
    row = b"rw:{0}:r:" + office.id("A-1") + b"\0"
    schedule.client.hincrby(row, "ended", -2 * 3_600_000)
    assert run("events", "replay", "--since", "1h").out == "events to be told again: 1\n"
    assert run("events", "replay", "--since", "3h").out == "events to be told again: 2\n"


def test_all_shards_and_all_rows_are_gone_through(office, schedule, run, monkeypatch):
    monkeypatch.setenv("REMINDER_SHARDS", "3")
    schedule.shards, schedule.agreement = 3, Agreement(schedule.client, 3)
    office.sent(*(f"A-{number}" for number in range(150)))
    for shard in range(3):
        schedule.client.delete(b"rw:{%d}:events" % shard)
    monkeypatch.setattr("reminder_worker.eventqueue.PAGE", 10)
    monkeypatch.setattr("reminder_worker.eventqueue.BATCH", 4)
    assert run("events", "replay", "--platform", "clinic").out == "events to be told again: 150\n"
    assert office.waiting == 150


def test_dead_letters_and_appointments_without_a_ticket_are_not_told_again(office, schedule, run):
    office.sent("A-1")
    row = b"rw:{0}:r:" + office.id("A-1") + b"\0"
    schedule.client.hdel(row, "ended")
    assert run("events", "replay").out == "events to be told again: 0\n"
    schedule.client.hset(row, "ended", 10**13)
    schedule.client.delete(b"rw:{0}:a:" + office.id("A-1"))
    assert run("events", "replay").out == "events to be told again: 0\n"


@pytest.mark.parametrize("since", ["", "24", "1w", "-1h", "31d"])
def test_a_span_that_is_none_is_refused(office, run, since):
    done = run("events", "replay", "--since", since)
    assert (done.code, done.out) == (2, "")
    assert done.err == "reminder-worker: error: --since: write 90m, 24h or 7d, up to 30d\n"


@pytest.mark.parametrize("words", [("replay", "--platform", "clinc"), ("enable", "clinc")])
def test_a_platform_that_nobody_knows_is_refused(office, run, words):
    done = run("events", *words)
    assert (done.code, done.err) == (2, "reminder-worker: error: platform: name one of the platforms in the settings\n")


def test_who_is_muted_is_shown_and_told_again(office, run):
    office.sent("A-1", "A-2")
    assert run("events", "pending").out == "events that wait: 2, given up: 0\n"
    office.queue.mute(office.courier.tag)
    office.tell()
    done = run("events", "pending")
    assert done.out.splitlines()[0] == "events that wait: 0, given up: 2"
    assert "clinic answered 410 Gone" in done.out
    assert "other" not in done.out
    assert run("events", "enable", "clinic").out == "enabled\n"
    assert run("events", "enable", "clinic").out == "was enabled\n"
    assert office.queue.muted() == set()


def test_how_far_it_is_shows_on_a_terminal_only(office, run, monkeypatch):
    office.sent("A-1")
    monkeypatch.setattr(eventcommands.sys.stderr, "isatty", lambda: True)
    assert "looking at all reminders" in run("events", "replay").err


def test_a_store_that_is_away_is_one_line(office, run, monkeypatch):
    monkeypatch.setenv("REMINDER_STORE_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr("reminder_worker.store.SOCKET_TIMEOUT", 0.1)
    for words in (("replay",), ("pending",), ("enable", "clinic")):
        done = run("events", *words)
        assert done.code == 1
        assert re.fullmatch(r"reminder-worker: error: the store did not answer \(\w+\).*\n", done.err)


def test_a_secret_is_made_once_private_and_not_printed(office, run, tmp_path):
    done = run("keys", "new", "events", "clinic", "secrets")
    path = tmp_path / "secrets" / "clinic.whsec"
    secret = path.read_text()
    assert (done.code, is_private(path)) == (0, True)
    assert secret.strip()[6:] not in done.out + done.err
    assert len(Secret.load(path).keys[0]) == 32
    assert Webhook(secret.strip()).sign("evt_1", datetime.now(UTC), "{}").startswith("v1,")
    again = run("keys", "new", "events", "clinic", "secrets")
    assert again.code == 2
    assert "never overwritten" in again.err
    assert path.read_text() == secret
    assert run("keys", "new", "events", "No Name", "secrets").code == 2
