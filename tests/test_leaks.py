"""Whatever becomes of a reminder, nothing personal stands in the store, its files, logs, errors or reprs.

And when it has ended, nothing of the job is left at all, not even sealed.
"""

import gc
import hashlib
import io
import json
import logging
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from canaries import found, in_exception, in_folder, in_objects, in_records, in_store
from clock import START, Clock
from fake_twilio import FakeTwilio
from scripted import PARIS, Keys, Practice, appointment

from reminder_worker import broker as queue
from reminder_worker import enqueue, job, providers, pulse, records, redisqueue, store, worker
from reminder_worker.audit.writings import phone_writings, time_writings, windows, writings
from reminder_worker.client import Appointment
from reminder_worker.contacts import Contact
from reminder_worker.delivery import Order
from reminder_worker.drafting import Draft
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Refused, ReminderError
from reminder_worker.job import Job, State
from reminder_worker.ledger import Claim, Entry, OpenAttempt, Outcome, Reminder
from reminder_worker.notes import Note
from reminder_worker.opening import Address, OpenedJob, open_envelope, open_pointer
from reminder_worker.plan import EXPIRES_BEFORE, Slot
from reminder_worker.providers import Reply, Sent, Text
from reminder_worker.schedule import KEEP_DEAD, Schedule
from reminder_worker.testing.peer import Response
from reminder_worker.webhooks import WebhookRequest

PHONE = "+33612349377"
PLACE = "93 quai des Brumes, Étretat"
LANGUAGE = "fr-CA"
REFERENCE = "Patient/8675309-ÉK"
REASON = "chimiothérapie, 3e cycle"
APPOINTMENT = datetime(2027, 3, 4, 15, 37, tzinfo=PARIS)
LEAD = "78h"
BODY = "jeudi 4 mars"  # how the text begins to tell when
SECRETS = {
    "phone": phone_writings(PHONE),
    "place": writings(PLACE) | writings("quai des Brumes"),
    "language": writings(LANGUAGE),
    "reference": writings(REFERENCE) | writings("8675309"),
    "reason": writings(REASON) | writings("chimioth"),
    "time": time_writings(APPOINTMENT),
    "expiry": time_writings(APPOINTMENT - EXPIRES_BEFORE),  # the time follows from it
    "text": writings(BODY) | writings("Rappel : vous avez"),
}
# A digest or a number in eight bytes is looked for as well: what is short enough to turn up by chance is left out.
SECRETS = {name: {form for form in forms if len(form) >= 5} for name, forms in SECRETS.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server of this module's own, which notes every command as a slow one."""
    noting = "--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000"
    with EmbeddedServer(tmp_path_factory.mktemp("valkey"), *noting) as running:
        yield running


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def twilio() -> Iterator[FakeTwilio]:
    with FakeTwilio() as running:
        yield running


class _Keep(logging.Handler):
    """Keep every record as it is."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def log() -> Iterator[list[logging.LogRecord]]:
    """Everything that any logger says, at its most talkative."""
    root, keep = logging.getLogger(), _Keep()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(each, each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.setLevel(logging.DEBUG)
        each.propagate = True
    root.addHandler(keep)
    try:
        yield keep.records
    finally:
        root.removeHandler(keep)
        for each, level, propagate in before:
            each.setLevel(level)
            each.propagate = propagate


class Stage:
    """One appointment full of secrets, brought to an end by real processes' parts, and everything that was seen."""

    def __init__(self, practice: Practice, server: EmbeddedServer, log: list[logging.LogRecord], folder: Path) -> None:
        self.practice, self.server, self.log, self.folder = practice, server, log, folder
        self.errors: list[BaseException] = []
        self.entries: list[Entry] = []

    def add(self, **changes: Any) -> None:
        self.entries.append(self.practice.seal(**(secrets() | changes)))
        self.practice.schedule.add(self.entries[-1:])

    def work(self, **span: float) -> None:
        """Let time pass; then scheduler, queue and worker do what there is to do."""
        self.practice.clock.forward(**span)
        practice = self.practice
        work, close = practice.worker, practice.office.carriers.close
        beating = pulse.Pulse(work.beat, [work.answer], close, work.leave, look=work.hanging.look)
        broker = queue.connect(self.server.url(1), [beating])

        def remind(id: str, lead: int, version: int) -> None:  # noqa: A002
            self.practice.worker.take(queue.read(id, lead, version))

        dramatiq.actor(actor_name=queue.ACTOR, queue_name=queue.QUEUE, broker=broker)(remind)
        queue.wake(broker, self.practice.take())
        crew = dramatiq.Worker(broker, worker_threads=1, worker_timeout=10)
        crew.start()
        broker.join(queue.QUEUE, interval=10, timeout=60_000)
        crew.stop()
        broker.close()
        broker.client.close()  # dramatiq leaves that to its owner

    def show(self) -> Reminder:
        return self.practice.show(reference=REFERENCE)

    def leaks(self) -> set[tuple[str, str]]:
        """Search everything that was left anywhere, but for what a phone was to get."""
        places = [
            *in_store(self.server.url()),
            *in_folder(self.server.folder),
            *in_folder(self.folder),
            *in_records(self.log),
            *in_objects(self.show(), *self.entries),
        ]
        for error in self.errors:
            places += in_exception(error)
        return found(places, SECRETS)

    def remains(self) -> set[tuple[str, str]]:
        """Search the store and its files for any piece of what was sealed."""
        rewrite(self.server)
        with store.connect(self.server.url()) as client:
            client.slowlog_reset()
        sealed = {str(number): windows(entry.envelope) for number, entry in enumerate(self.entries)}
        return found([*in_store(self.server.url()), *in_folder(self.server.folder)], sealed)


def secrets() -> dict[str, Any]:
    return {
        "reference": REFERENCE,
        "time": APPOINTMENT,
        "location": PLACE,
        "phone": PHONE,
        "language": LANGUAGE,
        "leads": [LEAD],
    }


def rewrite(server: EmbeddedServer) -> None:
    """Have the server write its append-only file anew, from what it holds."""
    with store.connect(server.url()) as client:
        client.bgrewriteaof()
        deadline = time.monotonic() + 60
        while any(client.info("persistence")[f"aof_rewrite_{word}"] for word in ("in_progress", "scheduled")):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def stage(
    schedule: Schedule,
    client: store.Client,
    clock: Clock,
    keys: Keys,
    twilio: FakeTwilio,
    server: EmbeddedServer,
    log: list[logging.LogRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """A practice whose provider is Twilio, and where whatever is thrown is kept."""
    client.slowlog_reset()
    files = tmp_path / "files"
    files.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(files))
    monkeypatch.chdir(files)
    provider = providers.load("twilio", twilio.table(tmp_path))
    made = Stage(Practice(schedule, clock, keys, provider, platform={"countries": ["FR"]}), server, log, files)
    send, ending = provider.send, worker.ending

    def keep_send(text: Text, *, deadline: float) -> Sent:
        try:
            return send(text, deadline=deadline)
        except ReminderError as error:
            made.errors.append(error)
            raise

    def keep_ending(error: Any) -> Outcome:
        made.errors.append(error)
        return ending(error)

    monkeypatch.setattr(provider, "send", keep_send)
    monkeypatch.setattr(worker, "ending", keep_ending)
    return made


def everything() -> str:
    """Return the words of somebody who tells everything."""
    return f"{PHONE} {PLACE} {LANGUAGE} {REFERENCE} {APPOINTMENT.isoformat()} {BODY} {REASON}"


# How reminders end.

End = Callable[[Stage, FakeTwilio], None]


def sent(stage: Stage, twilio: FakeTwilio) -> None:
    stage.work()
    assert [message["To"] for message in twilio.messages] == [PHONE]
    assert BODY in twilio.messages[0]["Body"]
    assert PLACE in twilio.messages[0]["Body"]


def refused(stage: Stage, twilio: FakeTwilio) -> None:
    twilio.refuse(21211)  # with number and text in its words
    stage.work()


def opted_out(stage: Stage, twilio: FakeTwilio) -> None:
    twilio.refuse(21610)
    stage.work()


def throttled(stage: Stage, twilio: FakeTwilio) -> None:
    twilio.throttle("30")
    stage.work()
    stage.work(seconds=30)


def misconfigured(stage: Stage, twilio: FakeTwilio) -> None:
    twilio.refuse(20003, 401)
    stage.work()
    stage.work(days=4)


def doubtful(stage: Stage, twilio: FakeTwilio) -> None:
    twilio.fail_after_accepting()
    stage.work()
    stage.work(days=1)


def no_answer(stage: Stage, twilio: FakeTwilio) -> None:
    twilio.cut()
    stage.work()
    stage.work(days=1)


def unreadable_answer(stage: Stage, twilio: FakeTwilio) -> None:
    twilio.respond(Response(201, f'{{"sid": "{everything()}"'.encode()), accept=True)
    stage.work()
    stage.work(days=1)


def cancelled(stage: Stage, twilio: FakeTwilio) -> None:
    stage.practice.client.cancel(REFERENCE)
    stage.work()


def expired(stage: Stage, twilio: FakeTwilio) -> None:
    stage.work(hours=78)


def rejected(stage: Stage, twilio: FakeTwilio) -> None:
    key = b"rw:{0}:a:" + stage.entries[0].id
    with store.connect(stage.server.url()) as intruder:
        value = intruder.get(key)
        intruder.set(key, value[:100] + bytes([value[100] ^ 1]) + value[101:])
    stage.work()


def not_allowed(stage: Stage, twilio: FakeTwilio) -> None:
    stage.practice.office.carriers._allowed = ("+15005550006",)
    stage.work()


def country_not_allowed(stage: Stage, twilio: FakeTwilio) -> None:
    stage.practice.worker._parts.platforms["clinic"].countries[:] = ["GB"]
    stage.work()


def moved(stage: Stage, twilio: FakeTwilio) -> None:
    stage.add(location="93 quai des Brumes, Étretat (2)")
    stage.work()


def poisoned(stage: Stage, twilio: FakeTwilio) -> None:
    def draft(**known: Any) -> Draft:
        raise RuntimeError(everything(), known) from KeyError(PHONE)

    stage.practice.worker._parts.templates.draft = draft  # type: ignore[method-assign]
    for _ in range(10):
        stage.work(minutes=20)
    assert sum(record.exc_info is not None for record in stage.log) == 2 * 5  # each said by us, and by dramatiq
    stage.practice.clock.forward(seconds=KEEP_DEAD.total_seconds())
    stage.work()


def plug_in_raises(stage: Stage, twilio: FakeTwilio) -> None:
    def send(*_: object, **__: object) -> Sent:
        raise ValueError(everything()) from KeyError(PHONE)

    stage.practice.office.carriers["twilio"].send = send  # type: ignore[method-assign]
    stage.work()
    stage.work(days=1)


ENDINGS: dict[End, State] = {
    sent: State.SENT,
    refused: State.FAILED,
    opted_out: State.SUPPRESSED,
    throttled: State.SENT,
    misconfigured: State.EXPIRED,
    doubtful: State.UNKNOWN,
    no_answer: State.UNKNOWN,
    unreadable_answer: State.UNKNOWN,
    cancelled: State.CANCELLED,
    expired: State.EXPIRED,
    rejected: State.REJECTED,
    not_allowed: State.FAILED,
    country_not_allowed: State.FAILED,
    moved: State.SENT,
    poisoned: State.FAILED,
    plug_in_raises: State.UNKNOWN,
}


@pytest.mark.parametrize(("end", "state"), ENDINGS.items(), ids=[end.__name__ for end in ENDINGS])
def test_nothing_personal_is_found_anywhere_and_nothing_of_the_job_is_left(
    stage: Stage, twilio: FakeTwilio, end: End, state: State
) -> None:
    stage.add()
    assert stage.remains()  # sealed, as long as it waits
    end(stage, twilio)
    assert stage.show().state is state
    assert len(stage.log) > 5
    assert stage.leaks() == set()
    assert stage.remains() == set()


def test_while_it_waits_only_sealed_bytes_an_id_and_a_due_time_are_there(stage: Stage) -> None:
    stage.add()
    assert stage.leaks() == set()
    with store.connect(stage.server.url()) as client:
        keys = {key for key in client.scan_iter() if not key.startswith(b"test:")}
    assert keys == {b"rw:{0}:due", b"rw:{0}:a:" + stage.entries[0].id, b"rw:{0}:shards"}


# What a platform hands in wrongly.

BAD_RECORDS = [
    {"reason": REASON},
    {f"reason {PHONE}": 1},
    {REASON: REASON},
    {"location": f"Cancérologie, {PLACE}"},
    {"location": f"{PLACE}\n{REASON}"},
    {"location": PLACE * 5},
    {"time": APPOINTMENT.isoformat()[:-3]},
    {"time": f"{APPOINTMENT.isoformat()}[{PLACE}]"},
    {"time": "2027-03-04T15:37:00+02:00[Europe/Paris]"},
    {"phone": f"{PHONE}{PHONE[1:]}"},
    {"phone": f"{PHONE}7"},
    {"phone": PHONE[1:]},
    {"phone": [PHONE]},
    {"language": f"{LANGUAGE} {PHONE}"},
    {"reference": f"{REFERENCE}\n"},
    {"reference": {"reference": REFERENCE}},
    {"pointer": f"{PHONE} {PLACE}"},
    {"leads": [f"24h {PHONE}"]},
    {"leads": REASON},
]


def test_a_refusal_repeats_nothing_of_what_it_refuses(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"reference": REFERENCE, "time": APPOINTMENT.isoformat(), "location": PLACE, "phone": PHONE}
    good |= {"language": LANGUAGE, "leads": [LEAD]}
    lines = [json.dumps(good | bad).encode() for bad in BAD_RECORDS]
    lines += [
        f'{{"phone": "{PHONE}", {REASON}'.encode(),
        f'"{PHONE}"'.encode(),
        PLACE.encode() * 2000,
        b"\xff" + PHONE.encode(),
    ]
    refusals: list[BaseException] = []
    refuse = enqueue._Batch.refuse

    def keep(batch: Any, place: str, refusal: Refused) -> None:
        refusals.append(refusal)
        refuse(batch, place, refusal)

    monkeypatch.setattr(enqueue._Batch, "refuse", keep)
    reader = records.read("jsonl", io.BytesIO(b"\n".join(lines)), records.Defaults())
    counts = enqueue.run(stage.practice.client, reader)
    assert len(refusals) == len(lines)
    stage.errors += refusals
    assert counts == {"refused": len(lines)}
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == len(lines)
    assert found([("stderr", said.err.encode()), ("stdout", said.out.encode())], SECRETS) == set()
    stage.add()  # so that there is something to show
    assert stage.leaks() == set()


# What somebody else puts into the queue.


def test_messages_that_cannot_be_decoded_are_dropped_and_not_repeated(stage: Stage) -> None:
    broker = queue.connect(stage.server.url(1), [])
    wake = queue.write(queue.Wake(bytes(16), 0, 1))
    strange = [
        everything().encode(),
        json.dumps({"phone": PHONE}).encode(),
        wake.copy(args=(PHONE,)).encode(),
        wake.copy(kwargs={"id": PHONE, "lead": 0, "version": 1}).encode(),
        wake.copy(options={"traceback": everything()}).encode(),
        wake.copy(actor_name=PHONE).encode(),
        wake.copy(actor_name="forget").encode(),
    ]
    for number, data in enumerate(strange):
        broker.client.hset(redisqueue.MESSAGES, str(number), data)
        broker.client.rpush(redisqueue.NAMES, str(number))
    broker.close()
    broker.client.close()  # dramatiq leaves that to its owner
    stage.add()
    stage.work()
    assert stage.show().state is State.SENT
    rewrite(stage.server)
    with store.connect(stage.server.url()) as client:
        client.slowlog_reset()
    assert stage.leaks() == set()


# How objects show themselves.


def test_no_object_that_carries_something_personal_shows_it(stage: Stage) -> None:
    practice = stage.practice
    stage.add()
    entry = stage.entries[0]
    claim = practice.schedule.claim(practice.take()[0])
    assert isinstance(claim, Claim)
    opened = open_envelope(practice.private, practice.worker._parts.signers, entry.envelope, entry_id=entry.id)
    address = open_pointer(practice.private, "clinic", opened.body.pointer)
    moment = job.from_time(opened.body.time)
    asked = appointment(START, **secrets())
    shown = [
        entry,
        claim,
        opened,
        opened.body,
        opened.body.time,
        address,
        asked,
        Job(moment, PLACE, opened.body.pointer),
        Contact(PHONE, LANGUAGE),
        Draft(f"{BODY} {PLACE}", 1),
        Text(PHONE, f"{BODY} {PLACE}", 1, "an-attempt", timedelta(hours=1)),
        Slot(asked.leads[0], APPOINTMENT, APPOINTMENT),
        practice.keys.clinic,
        practice.private,
        practice.worker,
        practice.office.delivery,
        Order("clinic", Contact(PHONE, LANGUAGE), Draft(f"{BODY} {PLACE}", 1), APPOINTMENT, APPOINTMENT),
        Note("twilio", PHONE, "stop", LANGUAGE),
        Reply(PHONE, f"{BODY} {PLACE}"),
        WebhookRequest("POST", f"https://hooks.example/?to={PHONE}", {"from": PHONE}, f"{BODY} {PHONE}".encode()),
        OpenAttempt(claim.wake, START, "twilio", "an-attempt", START, entry.envelope),
        practice.client,
    ]
    expected = {Entry, Claim, OpenedJob, Address, Appointment, Job, Contact, Draft, Text, Note}
    assert expected <= set(map(type, shown))
    held = entry.envelope, opened.body.pointer, bytes(practice.keys.clinic.signing), practice.keys.clinic.index
    pieces = {repr(piece)[2:-1].encode() for data in held for piece in windows(data)}
    assert found(in_objects(entry.envelope), {"sealed": pieces})
    assert found(in_objects(*shown), SECRETS | {"sealed": pieces}) == set()


def carriers() -> list[object]:
    """Return everything in this process that carries something personal."""
    kinds = (Contact, Text, Draft, Job, Address, OpenedJob, Order, Note, Reply, WebhookRequest)
    return [one for one in gc.get_objects() if isinstance(one, kinds)]


def test_no_contact_and_no_text_outlives_its_reminder(stage: Stage, twilio: FakeTwilio) -> None:
    before = set(map(id, carriers()))
    twilio.refuse(21211)
    stage.add()
    stage.add(reference="another", location=f"{PLACE} (2)")
    stage.work()
    assert len(twilio.messages) == 1
    stage.errors.clear()
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # what others left open
        gc.collect()
    assert {type(one) for one in carriers() if id(one) not in before} == set()


# What a process says when everything goes wrong.

TALKATIVE = """\
import gc, logging, sys, threading, warnings
from reminder_worker import logs

words, form = sys.argv[1:]
logs.set_up("debug", form)
logging.getLogger().setLevel(logging.DEBUG)

class Last:
    def __del__(self):
        raise ValueError(words)

def fail():
    try:
        raise KeyError(words)
    except KeyError as error:
        raise RuntimeError(words) from error

thread = threading.Thread(target=fail, name=words)
thread.start()
thread.join()
Last()
gc.collect()
warnings.warn(words)
for name in ("reminder_worker.worker", "twilio.http_client", "dramatiq.worker", words):
    log = logging.getLogger(name)
    log.debug("sent %s", words)
    log.warning(words, extra={"provider": words, "state": words, "count": 33612349377})
    log.error("%d %d", words)
    try:
        fail()
    except RuntimeError:
        log.exception("failed")
fail()
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_process_in_which_everything_goes_wrong_says_nothing_personal(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", TALKATIVE, everything(), form], capture_output=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 4 + 4 * 4
    assert set(re.findall(rb'error(?:": "|=)(\w+)', done.stderr)) == {b"RuntimeError", b"ValueError"}
    assert found([("stderr", done.stderr), ("stdout", done.stdout)], SECRETS) == set()


# The search itself.

PLANTED = "+33698765432"
HIDDEN = {"planted": phone_writings(PLANTED)}


PLANTS: dict[str, Callable[[store.Client], Any]] = {
    "key in database 0": lambda it: it.set(f"of {PLANTED}", 1),
    "value in database 0": lambda it: it.set("a", f"to {PLANTED}."),
    "dump in database 0": lambda it: it.set("a", PLANTED),
    "file": lambda it: (it.set("a", PLANTED), it.delete("a")),
    "slow log": lambda it: it.execute_command("GET", PLANTED),
    "client list": lambda it: it.client_setname(PLANTED),
    "config get *": lambda it: it.config_set("proc-title-template", PLANTED),
}
KINDS: dict[str, Callable[[store.Client], Any]] = {
    "string": lambda it: it.set("a", PLANTED),
    "long string": lambda it: it.set("a", f"{PLANTED} " * 50),
    "field": lambda it: it.hset("a", PLANTED, 1),
    "hash": lambda it: it.hset("a", "b", PLANTED),
    "list": lambda it: it.rpush("a", PLANTED),
    "set": lambda it: it.sadd("a", PLANTED),
    "member": lambda it: it.zadd("a", {PLANTED: 1}),
    "score": lambda it: it.zadd("a", {"b": int(PLANTED[1:])}),
    "stream": lambda it: it.xadd("a", {"b": PLANTED}),
}


@pytest.fixture
def garden(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that is thrown away afterwards."""
    with EmbeddedServer(tmp_path / "v", "--slowlog-log-slower-than", "0") as running:
        yield running


def test_the_search_finds_what_stands_in_any_place_of_a_server(garden: EmbeddedServer) -> None:
    for where, plant in PLANTS.items():
        with store.connect(garden.url()) as client:
            client.flushall()
            client.slowlog_reset()
            before = {place for place, _ in found(in_store(garden.url()), HIDDEN)}
            plant(client)
            places = [*in_store(garden.url()), *in_folder(garden.folder)]
            after = {place for place, _ in found(places, HIDDEN)}
        assert any(place.startswith(where) for place in after - before), where


@pytest.mark.parametrize("database", [0, 1, 15])
def test_the_search_finds_what_stands_in_any_kind_of_value(server: EmbeddedServer, database: int) -> None:
    for kind, plant in KINDS.items():
        with store.connect(server.url(database)) as client:
            client.flushall()
            plant(client)
            held = client.type("a").decode()
        hits = found(in_store(server.url()), HIDDEN)
        assert (f"value in database {database} ({held})", "planted") in hits, kind
    with store.connect(server.url()) as client:
        client.flushall()


NOTATIONS = {
    "plain": f"to={PLANTED}",
    "national": "0698765432",
    "spaced": "06 98 76 54 32",
    "dotted": "06.98.76.54.32",
    "percent": "To=%2B33698765432&Body=",
    "base64": "eyJ0byI6ICIrMzM2OTg3NjU0MzIifQ==",  # {"to": "+33698765432"}
    "hex": "2b3333363938373635343332",
    "sha256": hashlib.sha256(PLANTED.encode()).hexdigest(),
    "utf-16": PLANTED.encode("utf-16-le").decode(),
}


@pytest.mark.parametrize("text", NOTATIONS.values(), ids=NOTATIONS)
def test_the_search_finds_a_number_in_any_notation(text: str) -> None:
    assert found([("here", text.encode())], HIDDEN) == {("here", "planted")}


@pytest.mark.parametrize(
    "text",
    [
        "2027-03-04T15:37:00+01:00",
        "2027-03-04 14:37:00Z",
        "20270304T1437",
        "1804171020",
        "1804171020000",
        "datetime.datetime(2027, 3, 4, 15, 37)",
        job.to_time(APPOINTMENT).encode().decode("latin-1"),
    ],
)
def test_the_search_finds_a_time_in_any_notation(text: str) -> None:
    assert found([("here", text.encode("latin-1"))], SECRETS) == {("here", "time")}


@pytest.mark.parametrize(
    "text", [PLACE, PLACE.upper(), json.dumps(PLACE), "93%20quai%20des%20Brumes", ascii(PLACE), REFERENCE, REASON, BODY]
)
def test_the_search_finds_words_in_any_writing(text: str) -> None:
    assert found([("here", text.encode())], SECRETS)


def test_the_search_finds_what_is_logged(log: list[logging.LogRecord]) -> None:
    logging.getLogger("some.library").debug("to %s", PLANTED)
    logging.getLogger("reminder_worker.worker").info("sent", extra={"secret": PLANTED})
    hits = found(in_records(log), HIDDEN)
    assert hits == {("record of some.library", "planted"), ("record of reminder_worker.worker", "planted")}


def test_the_search_finds_what_a_formatter_would_let_through(
    log: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canaries.Formatter", lambda _: logging.Formatter())
    logging.getLogger("some.library").debug("to %s", PLANTED)
    assert ("log line", "planted") in found(in_records(log), HIDDEN)


def direct() -> None:
    raise ValueError(PLANTED)


def chained() -> None:
    try:
        direct()
    except ValueError as error:
        raise RuntimeError from error


def on_the_way() -> None:
    try:
        direct()
    except ValueError:
        raise RuntimeError  # noqa: B904


def noted() -> None:
    error = RuntimeError()
    error.add_note(PLANTED)
    raise error


def cut_off() -> None:
    try:
        direct()
    except ValueError:
        raise RuntimeError from None


@pytest.mark.parametrize("fail", [direct, chained, on_the_way, noted])
def test_the_search_finds_what_an_exception_shows(fail: Callable[[], None]) -> None:
    with pytest.raises(Exception) as caught:
        fail()
    assert ("traceback", "planted") in found(in_exception(caught.value), HIDDEN)


def test_what_an_exception_cuts_off_is_not_shown() -> None:
    with pytest.raises(RuntimeError) as caught:
        cut_off()
    assert found(in_exception(caught.value), HIDDEN) == set()


def test_the_search_finds_what_an_object_shows() -> None:
    assert found(in_objects([PLANTED]), HIDDEN) == {("repr of list", "planted")}


def test_the_search_finds_names_and_contents_of_files(tmp_path: Path) -> None:
    (tmp_path / f"{PLANTED}.txt").touch()
    (tmp_path / "other").write_bytes(b"\0" + PLANTED.encode())
    assert {where for where, _ in found(in_folder(tmp_path), HIDDEN)} == {f"file {PLANTED}.txt", "file other"}


def test_the_search_finds_any_piece_of_what_was_sealed() -> None:
    sealed = bytes(range(200))
    pieces = {"sealed": windows(sealed)}
    assert found([("here", b"..." + sealed[-16:])], pieces)
    assert not found([("here", sealed[:15])], pieces)
