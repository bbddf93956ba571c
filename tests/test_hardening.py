"""The four processes as their units start them: own users, files and passwords, and a day's work with no more."""

import contextlib
import os
import re
import secrets
import stat
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import practice
import pytest
from desk import Desk
from estate import KINDS, OPERATOR, Estate, can_separate, soon
from fake_twilio import FakeTwilio
from guarded import USERS, Guarded, Monitor
from office import Receiver
from opspage import Browser
from test_acl import DIRECT
from test_end_to_end import call

from reminder_worker import acts, agreement, decisions, doctor, enquiry, redisqueue, status, stops, store
from reminder_worker import broker as queue
from reminder_worker.client import Appointment, Client
from reminder_worker.errors import SettingsError
from reminder_worker.eventqueue import EventQueue
from reminder_worker.ledger import Answer, Wake
from reminder_worker.notes import NOTE_BYTES, Notes
from reminder_worker.optouts import Tags
from reminder_worker.plan import Lead
from reminder_worker.quarantine import end, quarantine, wait_for_silence
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys
from reminder_worker.testing.peer import Response

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd's machines")


@pytest.fixture
def twilio() -> Iterator[FakeTwilio]:
    with FakeTwilio() as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def estate(twilio: FakeTwilio, receiver: Receiver) -> Iterator[Estate]:
    with tempfile.TemporaryDirectory() as name:  # other users may enter, which they may not where tests put their files
        folder = Path(name)
        folder.chmod(0o755)
        guarded = Guarded(folder)
        try:
            yield Estate(folder, guarded, twilio, receiver)
        finally:
            guarded.stop()


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for what other processes bring about."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
    return answer


def refused(estate: Estate) -> list[tuple[str, str, str]]:
    """Return what the store refused to anybody."""
    log = estate.store.admin.acl_log()
    return [(one["username"], one["context"], one["object"]) for one in log]


# Each with its own files only.

HELD = {
    "web": {"store.password", "clinic.whsec", "gateway.key", "api-keys.json", "worker.pub.json", "gateway.pub"},
    "hooks": {"store.password", "twilio", "worker.pub.json"},
    "scheduler": {"store.password"},
    "worker": {
        *("store.password", "twilio", "worker.pointer.1.key", "worker.ratchet", "optouts.pepper"),
        *("worker.pub.json", "gateway.pub", "practice.pub"),
    },
    "ops": {"store.password", "operators.json"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_works_with_what_its_unit_gives_it_and_nothing_else(estate: Estate, kind: str) -> None:
    files = {path.name for path in (estate.folder / kind).rglob("*") if path.is_file()} - {f"{kind}.toml"}
    assert files <= HELD[kind] | {"worker.epoch"}
    assert files >= HELD[kind]
    with estate.running(kind) as started:
        until(lambda: kind in estate.beating())
        separated = can_separate()
        for file, content in {"limits": r"Max core file size\s+0\s+0", "status": r"(?m)^Umask:\s+0077$"}.items():
            assert re.search(content, Path(f"/proc/{started[kind].pid}/{file}").read_text())
        if separated:
            status = Path(f"/proc/{started[kind].pid}/status").read_text()
            assert re.search(rf"(?m)^Uid:\s+{estate.user(kind)}\s", status)
            assert re.search(r"(?m)^NoNewPrivs:\s+1$", status)
            assert re.findall(r"(?m)^Cap(?:Inh|Prm|Eff|Bnd|Amb):\s+(\d+)$", status) == ["0" * 16] * 5
    assert refused(estate) == []


SECRETS = {  # the glob of a file, and who may hold it
    "worker.pointer.*.key": {"worker"},
    "worker.ratchet": {"worker"},
    "optouts.pepper": {"worker"},
    "gateway.key": {"web"},
    "api-keys.json": {"web"},
    "operators.json": {"ops"},
    "clinic.whsec": {"web"},
    "twilio": {"worker", "hooks"},
    "practice.key": set(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_user_reads_what_another_process_holds(estate: Estate, kind: str) -> None:
    if not can_separate():
        pytest.skip("users of their own need root, unshare and setpriv")
    for name, holders in SECRETS.items():
        files = [path for path in estate.folder.rglob(name) if path.is_file()]
        assert {path.relative_to(estate.folder).parts[0] for path in files} - {"made"} == holders
        assert files
        for path in files:
            mine = path.is_relative_to(estate.folder / kind)
            assert (estate.run(kind, "cat", str(path)).returncode == 0) is mine
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.is_relative_to(estate.made)


def test_no_command_line_and_no_variable_holds_a_secret(estate: Estate) -> None:
    secrets = [path.read_text().split()[-1] for path in (estate.folder / "made").iterdir() if path.suffix != ".pub"]
    secrets += [*estate.store.passwords.values()]
    with estate.running(*KINDS):
        until(lambda: estate.beating() == set(KINDS))
        seen = [
            path.read_bytes()
            for pid in tree(os.getpid())
            for path in (Path(f"/proc/{pid}/cmdline"), Path(f"/proc/{pid}/environ"))
            if pid != os.getpid() and path.exists()
        ]
    assert len(seen) > 8
    assert not [secret for secret in secrets if secret != "admin" and any(secret.encode() in one for one in seen)]


def tree(pid: int) -> list[int]:
    """Return a process and all that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [pid, *(one for child in found for one in tree(child))]


@pytest.mark.parametrize("kind", KINDS)
def test_in_production_none_starts_with_a_password_in_its_url(estate: Estate, kind: str) -> None:
    file = estate.folder / kind / f"{kind}.toml"
    user = "operator" if kind == "ops" else kind
    file.write_text(file.read_text().replace(f"redis://{user}@", f"redis://{user}:hunter2@"))
    (estate.folder / kind / "credentials" / "store.password").unlink()
    process = estate.start(kind, REMINDER_STORE_PASSWORD_FILE=None)
    assert process.wait(60) == 2
    said = estate.log(kind).read_text().splitlines()[-1]
    assert said.startswith("reminder-worker: error: production would be unsafe: ")
    assert "store_url holds a password" in said
    assert "hunter2" not in said


# A day's work, after which the store has refused nothing, and nothing was granted in vain.


class Day:
    """What platforms, people, providers and operators do, each as the user that they are."""

    def __init__(self, estate: Estate, twilio: FakeTwilio) -> None:
        self.estate, self.twilio = estate, twilio
        self.public = PublicKeys.load(estate.made / "worker.pub.json")
        self.desk = Desk(estate.ports["web"], estate.api_key, self.public)
        self._clients: list[store.Client] = []

    def schedule(self, user: str, database: int = 0) -> Schedule:
        return Schedule(self.keep(store.connect(self.estate.store.url(user, database))))

    def keep(self, client: store.Client) -> store.Client:
        """Keep a connection to the end of the day, so that it can be told whose it was."""
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def hand_in(self, phone: str) -> None:
        """Hand in an appointment whose text goes out now; its reference is its phone."""
        answer = self.desk.put(phone, pointer=self.desk.pointer(f"tel:{phone}"), **soon())
        assert answer.status == 201, answer.body

    def becomes(self, phone: str, **wanted: str) -> None:
        def found() -> bool:
            (reminder,) = self.desk.get(phone).body["reminders"]
            return {name: reminder[name] for name in wanted} == wanted

        until(found)

    def receipts(self) -> None:
        """Have the provider report that everything has arrived."""
        for number, message in enumerate(self.twilio.messages):
            if "StatusCallback" in message:
                form = {"MessageSid": f"SM{number:032x}", "MessageStatus": "delivered", "To": message["To"]}
                assert call(self.estate.ports["hooks"], urlsplit(message["StatusCallback"]).path, form) == 200

    def reply(self, phone: str, words: str) -> None:
        form = {"MessageSid": f"SM{secrets.token_hex(16)}", "From": phone, "To": "+15005550006", "Body": words}
        assert call(self.estate.ports["hooks"], "/v1/replies/twilio", form) == 200


@pytest.fixture
def day(estate: Estate, twilio: FakeTwilio) -> Iterator[Day]:
    made = Day(estate, twilio)
    yield made
    made.close()


def test_in_a_day_nothing_is_refused_and_nothing_was_granted_in_vain(day: Day, receiver: Receiver) -> None:
    estate = day.estate
    with contextlib.ExitStack() as running:
        monitor = running.enter_context(Monitor(estate.store))
        running.enter_context(estate.running("web"))
        until(lambda: estate.beating() == {"web"})
        estate.store.admin.delete(agreement.KEY)  # whoever comes first writes it, so each of them does once
        running.enter_context(estate.running("hooks", "scheduler", "ops"))
        until(lambda: estate.beating() == {"web", "hooks", "scheduler", "ops"})
        day.hand_in("+33612340000")
        day.becomes("+33612340000", state="queued")  # the scheduler's is the first wake-up of all
        with estate.running("worker"):
            for part in (texts, answers, plans, a_platform_with_keys, operators, support, the_queue_after_a_crash):
                part(day)
            events(day, receiver)
            a_restore(day)
            monitor.learn_who_is_who()
            log = refused(estate)
    assert log == []
    assert {user: unused for user in USERS if (unused := monitor.unused(user, DIRECT[user]))} == {}


def texts(day: Day) -> None:
    """Texts that arrive, that a provider refuses, puts off or leaves in doubt."""
    for number in (1, 2):
        day.hand_in(f"+3361234000{number}")
    for number in range(3):
        day.becomes(f"+3361234000{number}", state="sent")
    day.twilio.refuse(21610)
    day.hand_in("+33612340004")
    day.becomes("+33612340004", state="suppressed")
    waited = {bytes([number]) * 17: number for number in range(1, 9)}  # for it, and were deleted meanwhile
    day.estate.store.admin.zadd("rw:{0}:q:twilio", waited)
    day.twilio.throttle("2")
    day.hand_in("+33612340005")
    day.becomes("+33612340005", state="scheduled", reason="throttled")
    day.hand_in("+33612340015")  # stands behind them
    for number in ("+33612340005", "+33612340015"):
        day.becomes(number, state="sent")
    day.twilio.cut()
    day.hand_in("+33612340006")
    until(lambda: day.twilio.messages[-1]["To"] == "+33612340006")  # written down as sending before it is asked
    day.becomes("+33612340006", state="sending")
    day.receipts()
    for number in (0, 1, 2, 5, 6):
        day.becomes(f"+3361234000{number}", state="delivered")


def answers(day: Day) -> None:
    """People say yes, no more, and what is this."""
    day.reply("+33612340001", "oui")
    day.becomes("+33612340001", reply="confirmed")
    day.reply("+33612340002", "STOP")
    sent = len(day.twilio.messages)
    day.reply("+33612340000", "aide")
    until(lambda: len(day.twilio.messages) > sent)


def plans(day: Day) -> None:
    """An appointment is made, moved and taken back."""
    assert day.desk.put("later").status == 201
    assert day.desk.put("later", time=practice.ahead(days=4)).status == 200
    assert day.desk.cancel("later").status == 200
    assert day.desk.batch({"reference": "many", **day.desk.fields()}).status == 200


def events(day: Day, receiver: Receiver) -> None:
    """A platform is told, wants no more, and is told again."""
    until(lambda: ("+33612340001", "reminder.confirmed") in receiver.told)
    receiver.respond(Response(410))
    day.hand_in("+33612340007")
    waiting = EventQueue(day.schedule("events"))
    (tag,) = until(waiting.muted)
    waiting.count()
    assert waiting.unmute(tag)
    assert waiting.keys()
    assert sum(left for _, left in waiting.replay(timedelta(hours=1), lambda *_: True)) > 0


def a_platform_with_keys(day: Day) -> None:
    """A platform beside the ledger hands in, looks, and takes back."""
    own = PlatformKeys.load(day.estate.made / "practice.key")
    client = Client(day.schedule("platform"), own, day.public, leads=[Lead.parse("24h")])
    appointments = [Appointment.parse(practice.fields()), Appointment.parse(practice.due_now("A-2"))]
    day.estate.store.admin.delete(agreement.KEY)
    assert client.add(appointments) == [Answer.ADDED] * 2
    assert client.cancel("A-1") is Answer.CANCELLED
    until(lambda: client.show("A-2")[0].state in {"sent", "expired"})


def operators(day: Day) -> None:
    """Somebody looks how things are."""
    schedule = day.schedule("operator")
    now = status.read(schedule, ["twilio"])
    assert set(KINDS) <= {name.partition("/")[0] for name in now.processes}
    assert list(doctor.check_store(schedule.client)) == []
    list(doctor.check_restored(day.estate.settings("worker"), schedule.client))
    shown = {kind: scrape(day.estate, kind) for kind in KINDS}
    assert "reminder_store_up 1.0" in shown["scheduler"]
    assert 'reminder_process_up{process="worker"} 2.0' in shown["scheduler"]
    assert 'reminder_outcomes_total{provider="twilio",state="sent"}' in shown["worker"]
    assert 'reminder_circuit_open{provider="twilio"} 0.0' in shown["worker"]
    assert 'reminder_handed_in_total{answer="added"}' in shown["web"]
    assert 'reminder_receipts_total{provider="twilio",state="delivered"}' in shown["hooks"]
    page = Browser(day.estate.ports["ops"])
    assert page.log_in(*OPERATOR) == 303
    assert "twilio" in page.ask("/ops")[2]
    admin, nobody = day.schedule("admin"), bytes(17)
    admin.client.zadd(admin.prefix(0) + b"dead", {nobody: 4e12})  # so that there is something to decide
    admin.client.hset(admin.prefix(0) + b"r:" + nobody, mapping={"state": "failed", "reason": "poison"})
    (one,) = decisions.waiting(schedule)
    assert one.member == nobody
    assert decisions.decide(schedule, one, decisions.Decision.DROP, acts.Who("bob", "carol")) == "done"


def support(day: Day) -> None:
    """Somebody calls and says their number."""
    chosen = day.estate.settings("worker")
    schedule, tags = day.schedule("support"), Tags.load(chosen.keys)
    found = enquiry.ask(schedule, tags, chosen.platforms, "+33612340000", acts.Who("alice"))
    assert [(one.state, one.provider) for one in found.traces] == [("delivered", "twilio")]
    done = [(one.what, one.result, one.user) for one in acts.read(day.schedule("operator"))]
    assert done == [("find", found.result, "alice"), ("drop", "dead_letter", "bob")]


def a_restore(day: Day) -> None:
    """The store was put back, for all that its operator knows, and so is the opt-out list."""
    schedule = day.schedule("restore")
    with pytest.raises(SettingsError, match="is at work"):
        wait_for_silence(schedule)
    assert quarantine(schedule, acts.Who("carol")).newest_sign is not None
    assert end(schedule, acts.Who("carol"))
    copy = list(stops.export(schedule))
    assert len(copy) > 1
    assert stops.bring_back(schedule, [*copy, f"9999999999999-0 {'0' * 32} 1"]) == 1


def scrape(estate: Estate, kind: str) -> str:
    _, port = estate.settings(kind).metrics_address(kind)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return str(answer.read().decode())


def the_queue_after_a_crash(day: Day) -> None:
    """A worker died and another was stopped, with messages in hand; somebody left what is none. A line left a note."""
    Notes(day.schedule("worker")).leave(os.urandom(NOTE_BYTES))
    admin, stopped = day.schedule("admin", 1).client, queue.connect(day.estate.store.url("worker", 1), [])
    day.keep(stopped.client)
    message = queue.write(Wake(bytes(16), 0, 1)).copy(options={"redis_message_id": "mine"}).encode()
    admin.zadd(redisqueue.BEATS, {"dead": 1})
    for worker, name, content in (("dead", "lost", b"x"), (stopped.broker_id, "mine", message)):
        admin.hset(redisqueue.MESSAGES, name, content)
        admin.sadd(f"{redisqueue.NAMESPACE}:__acks__.{worker}.reminders", name)
    admin.script_flush()  # as a store that was restarted
    stopped.do_fetch("aside", 1)
    stopped.do_requeue(queue.QUEUE, "mine")
    admin.hset(redisqueue.MESSAGES, "foreign", b"null")
    admin.rpush(redisqueue.NAMES, "foreign")
    until(lambda: not admin.exists(redisqueue.MESSAGES))
