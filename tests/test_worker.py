"""The story of one reminder, told by a worker with real keys, real envelopes and a real ledger."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import dramatiq
import pytest
import time_machine
from clock import START, Clock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.public import PublicKey, SealedBox
from scripted import PARIS, PHONE, PLACE, REFERENCE, Keys, Practice, Scripted

from reminder_worker import broker as queue
from reminder_worker import keys as key_files
from reminder_worker import metrics, pulse, sealing, store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.encoding import Body, pad, pae, unpad, unpae
from reminder_worker.errors import Ambiguous, Reason, StoreUnavailable
from reminder_worker.job import FailureClass, Level, State, to_time
from reminder_worker.ledger import Answer, Entry, Wake
from reminder_worker.opening import WorkerKeys, open_envelope
from reminder_worker.plan import Cells, Grid, Lead, QuietHours, slots
from reminder_worker.providers import Sent
from reminder_worker.schedule import MOST_CLAIMS, WAKE_LEASE, Schedule

NIGHT = QuietHours.parse("21:00-08:00")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def provider() -> Scripted:
    return Scripted(finds_by_reference=True)


@pytest.fixture
def practice(schedule: Schedule, clock: Clock, keys: Keys, provider: Scripted) -> Practice:
    return Practice(schedule, clock, keys, provider)


@pytest.fixture
def practice_with(schedule: Schedule, clock: Clock, keys: Keys, provider: Scripted) -> Callable[..., Practice]:
    """Make a practice whose platform has other settings."""
    return lambda **platform: Practice(schedule, clock, keys, provider, platform=platform)


def ending(practice: Practice, lead: int = 0) -> tuple[State, str | None, str | None]:
    shown = practice.show(lead)
    return shown.state, shown.reason, shown.failure_class


# What a phone shows.

BOOKINGS = {
    "fr": ("+33612340016", "4 place de la Concorde, Paris", "Rappel", "lundi 1er mars"),
    "en-GB": ("+447911123411", "12 High Street, Leeds", "Reminder", "Monday 1 March"),
    "de": ("+4915123456019", "Lindenstraße 12, Mainz", "Termin", "März"),
    "uk": ("+380501234046", "вул. Липова 12, Львів", "Запис", "12:00"),
}


def test_each_text_reaches_its_phone_in_its_language(practice: Practice, provider: Scripted) -> None:
    for number, (language, (phone, place, *_)) in enumerate(BOOKINGS.items()):
        practice.add(reference=f"A-{number}", phone=phone, location=place, language=language)
    practice.work()
    bodies = {text.to: text.body for text in provider.texts}
    assert bodies.keys() == {phone for phone, *_ in BOOKINGS.values()}
    for phone, place, *words in BOOKINGS.values():
        assert all(word in bodies[phone] for word in (place, *words))
    assert {practice.show(reference=f"A-{number}").state for number in range(len(BOOKINGS))} == {State.SENT}


def test_the_text_tells_the_wall_clock_of_the_appointment(practice: Practice, provider: Scripted) -> None:
    practice.add(time=(START + timedelta(hours=2)).astimezone(ZoneInfo("America/Sao_Paulo")))
    practice.work()
    assert "08:00" in provider.texts[0].body


def test_a_pointer_made_elsewhere_is_opened_by_the_worker_alone(practice: Practice, provider: Scripted) -> None:
    pointer = sealing.seal_pointer(practice.keys.public, "clinic", "tel:+447911123411", "en")
    practice.add(phone=None, language=None, pointer=sealing.pointer_to_text(pointer))
    practice.work()
    assert provider.texts[0].to == "+447911123411"


def test_a_language_without_a_template_gets_english(practice: Practice, provider: Scripted) -> None:
    practice.add(language="zu")
    practice.work()
    assert provider.texts[0].body.startswith("Reminder: you have an appointment")


@pytest.mark.parametrize(
    ("platform", "shown", "hidden"),
    [
        ({"level": Level.TIME}, ["Rappel"], [PLACE, "Archives"]),
        ({"level": Level.PLACE}, ["Rappel", PLACE], []),
        ({"level": Level.SENDER, "sender": "Maison Verte"}, ["Maison Verte: ", PLACE], []),
        ({"not_you": "reply"}, [PLACE, "STOP"], []),
    ],
)
def test_a_text_tells_as_much_as_the_platform_chose(
    practice_with: Callable[..., Practice],
    provider: Scripted,
    platform: dict[str, Any],
    shown: list[str],
    hidden: list[str],
) -> None:
    practice = practice_with(**platform)
    practice.add()
    practice.work()
    body = provider.texts[0].body
    assert all(word in body for word in shown)
    assert not any(word in body for word in hidden)


# Envelopes that a platform's own client would not make.


def sealed(practice: Practice, *, signer: sealing.PlatformKeys | None = None, **changes: Any) -> Entry:
    """Seal a body past the client's checks."""
    entry_id = changes.pop("id_", sealing.make_id(practice.keys.clinic, REFERENCE))
    body = Body(
        time=to_time((START + timedelta(hours=2)).astimezone(PARIS)),
        location=changes.pop("location", PLACE),
        pointer=changes.pop("pointer", None) or pointer_to(practice, f"tel:{PHONE}"),
        leads=changes.pop("leads", ("2h",)),
        issued=int(START.timestamp()),
    )
    envelope = sealing.seal_envelope(practice.keys.public, signer or practice.keys.clinic, entry_id, body, START)
    return Entry(sealing.make_id(practice.keys.clinic, REFERENCE), b"t" * 12, envelope, (START,))


def pointer_to(practice: Practice, uri: str, platform: str = "clinic") -> bytes:
    return sealing.seal_pointer(practice.keys.public, platform, uri, "fr")


def flip(data: bytes, place: int) -> bytes:
    """Turn one bit of one byte."""
    turned = bytearray(data)
    turned[place] ^= 1
    return bytes(turned)


def with_envelope(entry: Entry, change: Callable[[bytes], bytes]) -> Entry:
    return replace(entry, envelope=change(entry.envelope))


def unsigned(practice: Practice) -> Entry:
    """Seal what nobody signed, in the name of a known signer."""
    body = Body(to_time(START + timedelta(hours=2)), PLACE, pointer_to(practice, f"tel:{PHONE}"), ("2h",), 0).encode()
    clinic, entry = practice.keys.clinic, practice.seal()
    signer = sealing.kid(bytes(clinic.signing.verify_key))
    content = pae(signer, b"clinic", entry.id, body, bytes(64))
    worker_key = practice.keys.public.envelope_key(START)
    return replace(entry, envelope=sealing.seal(worker_key, content, sealing.ENVELOPE_CONTENT))


def in_the_name_of_another(practice: Practice) -> Entry:
    return sealed(practice, signer=replace(practice.keys.other, name="clinic"))


def by_a_stranger(practice: Practice) -> Entry:
    stranger = replace(practice.keys.clinic, signing=sealing.SigningKey.generate())
    return sealed(practice, signer=stranger)


BAD: dict[str, tuple[Callable[[Practice], Entry], Reason]] = {
    "empty": (lambda it: with_envelope(it.seal(), lambda _: b""), Reason.VERSION_UNKNOWN),
    "truncated": (lambda it: with_envelope(it.seal(), lambda data: data[:-1]), Reason.DAMAGED),
    "longer": (lambda it: with_envelope(it.seal(), lambda data: data + b"\0"), Reason.DAMAGED),
    "of another version": (lambda it: with_envelope(it.seal(), lambda data: flip(data, 0)), Reason.VERSION_UNKNOWN),
    "for a key that is not ours": (lambda it: with_envelope(it.seal(), lambda data: flip(data, 1)), Reason.KEY_UNKNOWN),
    "a bit turned": (lambda it: with_envelope(it.seal(), lambda data: flip(data, 9)), Reason.DAMAGED),
    "the last bit turned": (lambda it: with_envelope(it.seal(), lambda data: flip(data, -1)), Reason.DAMAGED),
    "not signed": (unsigned, Reason.SIGNATURE_INVALID),
    "by an unknown signer": (by_a_stranger, Reason.SIGNER_UNKNOWN),
    "in another platform's name": (in_the_name_of_another, Reason.PLATFORM_MISMATCH),
    "replayed under another id": (lambda it: sealed(it, id_=bytes(16)), Reason.ID_MISMATCH),
    "with another platform's pointer": (
        lambda it: sealed(it, pointer=pointer_to(it, f"tel:{PHONE}", "other")),
        Reason.PLATFORM_MISMATCH,
    ),
    "with a damaged pointer": (
        lambda it: sealed(it, pointer=flip(pointer_to(it, f"tel:{PHONE}"), 60)),
        Reason.DAMAGED,
    ),
    "with a pointer to a key that is not ours": (
        lambda it: sealed(it, pointer=flip(pointer_to(it, f"tel:{PHONE}"), 1)),
        Reason.KEY_UNKNOWN,
    ),
}


MISSING = {Reason.KEY_UNKNOWN, Reason.SIGNER_UNKNOWN}  # it may be sound, and a key is not here


def be_asked_for_two_hours(practice: Practice) -> None:
    """Let a worker look at what it has no key for until it gives up, and see that this is not at once."""
    began = practice.clock.now
    while (shown := practice.show()).state == State.SCHEDULED:
        assert shown.due is not None
        practice.clock.set(shown.due)
        practice.work()
    assert timedelta(hours=1) < practice.clock.now - began < timedelta(hours=3)


@pytest.mark.parametrize(("make", "reason"), BAD.values(), ids=BAD)
def test_a_bad_envelope_is_rejected_and_nothing_is_sent(
    practice: Practice, provider: Scripted, make: Callable[[Practice], Entry], reason: Reason
) -> None:
    entry = make(practice)
    practice.schedule.add([entry])
    practice.work()
    if reason in MISSING:
        be_asked_for_two_hours(practice)
    (shown,) = practice.schedule.show(entry.id)
    assert (shown.state, shown.reason, shown.failure_class) == (State.REJECTED, reason, FailureClass.PERMANENT)
    assert shown.attempts == 0
    practice.forward(days=1)
    assert not provider.texts


def test_a_good_envelope_made_in_the_same_way_is_sent(practice: Practice, provider: Scripted) -> None:
    practice.schedule.add([sealed(practice)])
    practice.work()
    assert [text.to for text in provider.texts] == [PHONE]


def test_an_envelope_of_a_week_whose_key_is_forgotten_is_rejected(practice: Practice, provider: Scripted) -> None:
    practice.add()
    practice.private.advance(START + timedelta(weeks=2))
    practice.work()
    be_asked_for_two_hours(practice)
    assert ending(practice) == (State.REJECTED, Reason.KEY_UNKNOWN, FailureClass.PERMANENT)
    assert not provider.texts


def unopened() -> float:
    return metrics.REGISTRY.get_sample_value("reminder_rejected_total", {"reason": "key_unknown"}) or 0


def test_what_a_worker_has_no_keys_for_is_left_for_one_that_has(
    practice: Practice, provider: Scripted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody gave a new machine the keys of another installation: nothing is lost by it."""
    practice.add()
    worker, right = practice.worker, practice.worker._parts
    worker._parts = replace(right, keys=Keys.make(tmp_path / "keys").private())
    before = unopened()
    practice.work()
    assert unopened() == before + 1  # an alert reads it: nobody is to wait two hours for that
    assert ending(practice) == (State.SCHEDULED, Reason.KEY_UNKNOWN, None)
    assert [(one.message, one.reason) for one in caplog.records] == [("key_missing", "key_unknown")]
    worker._parts = right
    practice.forward(seconds=10)
    assert [text.to for text in provider.texts] == [PHONE]


def test_a_platform_whose_key_is_missing_at_one_worker_is_left_for_another(
    practice: Practice, provider: Scripted
) -> None:
    practice.add()
    worker, right = practice.worker, practice.worker._parts
    worker._parts = replace(right, signers={})
    practice.work()
    assert ending(practice) == (State.SCHEDULED, Reason.SIGNER_UNKNOWN, None)
    worker._parts = right
    practice.forward(seconds=10)
    assert [text.to for text in provider.texts] == [PHONE]


def test_a_platform_that_one_worker_s_settings_do_not_know_is_left_for_another(
    practice: Practice, provider: Scripted
) -> None:
    """It was added, and one process after another is started again; the gateway signs for all platforms."""
    practice.add()
    worker, right = practice.worker, practice.worker._parts
    signers = {name: replace(one, platforms=one.platforms - {"clinic"}) for name, one in right.signers.items()}
    worker._parts = replace(right, signers=signers)
    practice.work()
    assert ending(practice) == (State.SCHEDULED, Reason.PLATFORM_MISMATCH, None)
    worker._parts = right
    practice.forward(seconds=10)
    assert [text.to for text in provider.texts] == [PHONE]


def test_a_pointer_key_that_comes_after_what_is_sealed_to_it_is_not_too_late(
    practice: Practice, provider: Scripted, tmp_path: Path
) -> None:
    """Keys were rotated and published before every worker's machine had the new one."""
    here, elsewhere = (Path(shutil.copytree(practice.keys.folder, tmp_path / name)) for name in ("here", "elsewhere"))
    practice.worker._parts = replace(practice.worker._parts, keys=WorkerKeys.load(here))
    made = key_files.rotate(elsewhere, START)
    pointer = sealing.seal_pointer(sealing.PublicKeys.load(made.public_file), "clinic", f"tel:{PHONE}", "fr")
    practice.schedule.add([sealed(practice, pointer=pointer)])
    practice.work()
    assert ending(practice) == (State.SCHEDULED, Reason.KEY_UNKNOWN, None)
    shutil.copy(made.pointer_file, here)
    practice.forward(seconds=10)
    assert [text.to for text in provider.texts] == [PHONE]


def test_an_attempt_in_doubt_is_left_for_a_worker_that_can_open_it(
    schedule: Schedule, clock: Clock, keys: Keys
) -> None:
    provider = Scripted(Ambiguous(), deduplicates=True, receipt_carries_reference=False)
    practice = Practice(schedule, clock, keys, provider)
    practice.add()
    practice.work()
    worker, right = practice.worker, practice.worker._parts
    worker._parts = replace(right, signers={})
    practice.forward(minutes=20)
    assert (practice.show().state, len(provider.texts)) == (State.SENDING, 1)
    worker._parts = right
    practice.forward(minutes=20)
    first, second = provider.texts
    assert (practice.show().state, first.reference) == (State.SENT, second.reference)


def test_a_lead_that_the_job_does_not_have_is_rejected(
    practice: Practice, provider: Scripted, client: store.Client
) -> None:
    """Whoever can write to the store cannot make one appointment into many texts."""
    entry = practice.add()
    head = client.get(b"rw:{0}:a:" + entry.id)
    client.set(b"rw:{0}:a:" + entry.id, head[:2] + b"\x02\x03" + head[4:])
    client.zadd("rw:{0}:due", {entry.id + b"\1": 1})
    practice.work()
    assert ending(practice, 1)[:2] == (State.REJECTED, Reason.MALFORMED)
    assert len(provider.texts) == 1


def test_what_is_signed_is_bound_to_the_worker_it_was_sealed_for(
    practice: Practice, provider: Scripted, tmp_path: Path
) -> None:
    """Another worker that opened a job cannot seal it again for this one."""
    others = Keys.make(tmp_path / "keys")
    entry = practice.seal()
    body = open_envelope(practice.private, practice.worker._parts.signers, entry.envelope, entry_id=entry.id).body
    elsewhere = sealing.seal_envelope(others.public, practice.keys.clinic, entry.id, body, START)
    box = others.private().envelope_box(elsewhere[1:9])
    assert box is not None
    content = unpad(box.decrypt(elsewhere[9:]))
    assert len(unpae(content, 5)) == 5
    again = b"\1" + entry.envelope[1:9] + _resealed(practice, content)
    practice.schedule.add([replace(entry, envelope=again)])
    practice.work()
    assert ending(practice)[:2] == (State.REJECTED, Reason.SIGNATURE_INVALID)
    assert not provider.texts


def _resealed(practice: Practice, content: bytes) -> bytes:
    key = PublicKey(practice.keys.public.envelope_key(START))
    return SealedBox(key).encrypt(pad(content, sealing.ENVELOPE_CONTENT))


# The right moment.


def test_a_reminder_woken_early_by_somebody_else_waits_until_it_is_due(
    practice: Practice, provider: Scripted, client: store.Client
) -> None:
    entry = practice.add(time=(START + timedelta(hours=5)).astimezone(PARIS))
    client.zadd("rw:{0}:due", {entry.id + b"\0": 1})
    practice.work()
    assert not provider.texts
    assert ending(practice)[:2] == (State.SCHEDULED, Reason.TOO_EARLY)
    assert practice.show().due == START + timedelta(hours=3)
    practice.forward(hours=3)
    assert ending(practice)[0] is State.SENT
    assert len(provider.texts) == 1


def test_a_reminder_that_somebody_else_delayed_is_not_sent_too_late(
    practice: Practice, provider: Scripted, client: store.Client
) -> None:
    entry = practice.add()
    late = START + timedelta(hours=1, minutes=45)
    client.zadd("rw:{0}:due", {entry.id + b"\0": late.timestamp() * 1000})
    practice.forward(hours=1, minutes=45)
    assert ending(practice) == (State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)
    assert not provider.texts


@pytest.mark.parametrize("behind", [timedelta(minutes=11), timedelta(days=2)])
def test_a_clock_of_the_store_that_is_wrong_for_a_moment_ends_nothing(
    practice: Practice, provider: Scripted, monkeypatch: pytest.MonkeyPatch, behind: timedelta
) -> None:
    practice.add()
    right = practice.clock.now + timedelta(hours=1, minutes=50) - behind
    monkeypatch.setattr("reminder_worker.worker.wall_time", lambda: right)
    practice.forward(hours=1, minutes=50)
    assert ending(practice)[:2] == (State.SCHEDULED, Reason.TOO_EARLY)
    assert practice.show().due == max(START, right + timedelta(minutes=1))  # and not by the clock that is wrong
    practice.clock.set(START + timedelta(hours=1, minutes=51))
    monkeypatch.setattr("reminder_worker.worker.wall_time", lambda: practice.clock.now)
    practice.work()
    assert ending(practice)[:2] == (State.EXPIRED, Reason.TOO_LATE)  # which both say by now
    assert not provider.texts


def test_a_reminder_a_little_late_is_sent_with_what_is_left_of_its_use(practice: Practice, provider: Scripted) -> None:
    practice.add()
    practice.clock.forward(hours=1, minutes=44)
    practice.work()
    assert timedelta(seconds=30) < provider.texts[0].valid_for <= timedelta(minutes=1)


def test_of_two_reminders_the_late_one_gives_way_to_the_next(practice: Practice, provider: Scripted) -> None:
    practice.add(leads=["4h", "2h"], time=(START + timedelta(hours=5)).astimezone(PARIS))
    practice.forward(hours=3)
    assert ending(practice, 0) == (State.EXPIRED, Reason.SUPERSEDED, FailureClass.TEMPORARY)
    assert ending(practice, 1)[0] is State.SENT
    assert len(provider.texts) == 1


@pytest.mark.parametrize("hour", [2, 3])
def test_too_late_is_told_from_superseded_when_clocks_change(practice: Practice, hour: int) -> None:
    appointment = datetime(2027, 3, 28, hour + 1, 5, tzinfo=PARIS)  # the hour from 2 to 3 is skipped
    practice.add(time=appointment, leads=["1h"])
    practice.clock.set(appointment.astimezone(UTC) - timedelta(minutes=10))
    practice.work()
    assert ending(practice)[:2] == (State.EXPIRED, Reason.TOO_LATE)


def test_two_leads_bring_one_text_each(practice: Practice, provider: Scripted) -> None:
    practice.add(leads=["4h", "2h"], time=(START + timedelta(hours=5)).astimezone(PARIS))
    for _ in range(10):
        practice.forward(minutes=30)
    assert [practice.show(lead).state for lead in (0, 1)] == [State.SENT, State.SENT]
    assert len(provider.texts) == 2
    assert len({text.body for text in provider.texts}) == 1


def test_quiet_hours_hold_a_late_text_until_they_end(
    practice_with: Callable[..., Practice], provider: Scripted
) -> None:
    practice = practice_with(quiet_hours=NIGHT)
    practice.add(time=datetime(2027, 3, 2, 14, 0, tzinfo=PARIS), leads=["18h"])  # due at 20:00
    practice.clock.set(datetime(2027, 3, 1, 21, 30, tzinfo=PARIS))
    practice.work()
    assert not provider.texts
    assert ending(practice)[:2] == (State.SCHEDULED, Reason.QUIET_HOURS)
    assert practice.show().due == datetime(2027, 3, 2, 8, 0, tzinfo=PARIS)
    practice.clock.set(datetime(2027, 3, 2, 8, 0, tzinfo=PARIS))
    practice.work()
    assert ending(practice)[0] is State.SENT


def test_a_text_is_late_by_minutes_when_quiet_hours_begin_and_still_goes_out(
    practice_with: Callable[..., Practice], provider: Scripted
) -> None:
    practice = practice_with(quiet_hours=NIGHT)
    practice.add(time=datetime(2027, 3, 2, 14, 0, tzinfo=PARIS), leads=["18h"])
    practice.clock.set(datetime(2027, 3, 1, 21, 14, tzinfo=PARIS))
    practice.work()
    assert len(provider.texts) == 1


def test_a_text_that_is_of_no_use_after_quiet_hours_expires(
    practice_with: Callable[..., Practice], provider: Scripted
) -> None:
    practice = practice_with(quiet_hours=NIGHT)
    practice.add(time=datetime(2027, 3, 2, 8, 10, tzinfo=PARIS), leads=["12h"])  # due at 20:10
    practice.clock.set(datetime(2027, 3, 1, 22, 0, tzinfo=PARIS))
    practice.work()
    assert ending(practice) == (State.EXPIRED, Reason.TOO_LATE, FailureClass.TEMPORARY)
    assert not provider.texts


# On a grid.


def at(*parts: int) -> datetime:
    return datetime(2027, 3, *parts, tzinfo=PARIS)


def test_a_text_on_a_grid_goes_out_when_the_platform_planned_it(
    practice_with: Callable[..., Practice], provider: Scripted
) -> None:
    practice = practice_with(due_grid="1h")
    (due,) = practice.add(time=at(1, 14, 50), leads=["2h"]).dues
    assert at(1, 11, 45) < due <= at(1, 12)
    practice.clock.set(due)
    practice.work()
    assert ending(practice)[0] is State.SENT
    assert len(provider.texts) == 1


def test_whoever_can_wake_a_worker_makes_no_text_earlier_than_its_cell(
    practice_with: Callable[..., Practice], provider: Scripted
) -> None:
    practice = practice_with(due_grid="1h")
    entry = practice.add(time=at(1, 14, 50), leads=["2h"])
    practice.schedule.client.zadd("rw:{0}:due", {entry.id + b"\0": 0})
    practice.work()
    assert ending(practice)[:2] == (State.SCHEDULED, Reason.TOO_EARLY)
    assert [practice.show().due] == list(entry.dues)
    assert not provider.texts


@pytest.mark.parametrize(("own", "workers"), [("1h", None), ("1h", "15m"), ("1m", "1h"), ("15m", "1h")])
def test_where_grids_differ_the_workers_counts_and_each_text_still_goes_out_once(
    schedule: Schedule, clock: Clock, keys: Keys, provider: Scripted, own: str, workers: str | None
) -> None:
    practice = Practice(schedule, clock, keys, provider, platform={"due_grid": workers}, own_grid=own)
    entry = practice.add(time=at(1, 17, 50), leads=["5h", "2h"])
    grid = None if workers is None else Grid.parse(workers)
    planned = slots(at(1, 17, 50), [Lead.parse("5h"), Lead.parse("2h")], None, Cells.of(grid, entry.id))
    went_out = []
    while clock.now < at(1, 17):
        practice.forward(minutes=5)
        went_out += [clock.now] * (len(provider.texts) - len(went_out))
    assert [practice.show(lead).state for lead in (0, 1)] == [State.SENT, State.SENT]
    for moment, slot, due in zip(went_out, planned, entry.dues, strict=True):
        assert due is not None
        assert timedelta() <= moment - max(slot.due, due) <= timedelta(minutes=5)


# What must not reach a phone.


@pytest.mark.parametrize("place", ["Centre de cardiologie, Lyon", "Klinik für Psychiatrie", "Oncology, Ward 3"])
def test_a_place_that_discloses_and_got_this_far_is_left_out(
    practice: Practice, provider: Scripted, place: str
) -> None:
    practice.schedule.add([sealed(practice, location=place)])
    practice.work()
    assert ending(practice)[0] is State.SENT
    assert "Rappel" in provider.texts[0].body
    assert not any(word in provider.texts[0].body for word in re.findall(r"\w{4,}", place))


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("tel:+33639980042", Reason.NUMBER_INVALID),
        ("tel:+33899123456", Reason.NUMBER_PREMIUM),
        ("tel:+447911123411", Reason.COUNTRY_NOT_ALLOWED),
    ],
)
def test_a_number_that_may_not_be_texted_fails(
    practice_with: Callable[..., Practice], provider: Scripted, uri: str, reason: Reason
) -> None:
    practice = practice_with(countries=["FR"])
    practice.schedule.add([sealed(practice, pointer=pointer_to(practice, uri))])
    practice.work()
    assert ending(practice) == (State.FAILED, reason, FailureClass.PERMANENT)
    assert not provider.texts


def test_outside_production_the_whole_story_reaches_nobody_who_is_not_allowed(
    schedule: Schedule, clock: Clock, keys: Keys, provider: Scripted
) -> None:
    practice = Practice(schedule, clock, keys, provider, allow=["+15005550006"])
    practice.add()
    practice.work()
    assert ending(practice) == (State.FAILED, Reason.NOT_ALLOWED_HERE, FailureClass.TECHNICAL)
    assert not provider.texts


# Once, whatever is woken how often.


def test_a_moved_appointment_is_texted_at_its_new_time_only(practice: Practice, provider: Scripted) -> None:
    practice.add(time=(START + timedelta(hours=5)).astimezone(PARIS))
    practice.add(time=(START + timedelta(hours=8)).astimezone(PARIS))
    practice.forward(hours=3)
    assert not provider.texts
    practice.forward(hours=3)
    assert len(provider.texts) == 1
    assert "18:00" in provider.texts[0].body


def test_a_wake_up_from_before_a_move_does_nothing(practice: Practice, provider: Scripted) -> None:
    practice.add()
    stale = practice.take()
    practice.add(location="4 place de la Concorde, Paris")
    for wake in [*stale, *practice.take(), *stale]:
        practice.worker.remind(wake)
    assert ["Concorde" in text.body for text in provider.texts] == [True]


def test_a_cancelled_appointment_is_not_texted(practice: Practice, provider: Scripted) -> None:
    practice.add()
    wakes = practice.take()
    assert practice.client.cancel(REFERENCE) is Answer.CANCELLED
    for wake in wakes:
        practice.worker.remind(wake)
    assert not provider.texts


def test_wake_ups_for_nothing_do_nothing(practice: Practice, provider: Scripted) -> None:
    entry = practice.add()
    for wake in (Wake(bytes(16), 0, 1), Wake(entry.id, 0, 1), Wake(entry.id, 5, 1), Wake(entry.id, 0, 9)):
        practice.worker.remind(wake)
    assert not provider.texts
    assert ending(practice)[0] is State.SCHEDULED


def test_doubled_wake_ups_in_many_threads_bring_one_text(practice: Practice, provider: Scripted) -> None:
    practice.add()
    (wake,) = practice.take()
    together = threading.Barrier(8)

    def remind() -> None:
        together.wait()
        for _ in range(5):
            practice.worker.remind(wake)

    threads = [threading.Thread(target=remind) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(provider.texts) == 1
    assert practice.show().attempts == 1


def test_shuffled_and_doubled_wake_ups_bring_each_text_once(
    schedule: Schedule, client: store.Client, clock: Clock, keys: Keys
) -> None:
    provider = Scripted()
    practice = Practice(schedule, clock, keys, provider)
    phones = [f"+3361234{number:04}" for number in range(4)]
    entries = [practice.seal(reference=phone, phone=phone) for phone in phones]

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.permutations(list(range(len(phones))) * 3), st.integers(0, 3))
    def shuffled(order: list[int], swept: int) -> None:
        client.flushdb()
        clock.set(START)
        provider.texts.clear()
        schedule.add(entries)
        wakes = practice.take()
        for place, chosen in enumerate(order):
            if place == 3 * swept:  # leases end, and what is still waiting is woken again
                clock.forward(seconds=WAKE_LEASE.seconds)
                practice.work()
            practice.worker.remind(wakes[chosen])
        assert Counter(text.to for text in provider.texts) == dict.fromkeys(phones, 1)

    shuffled()


# When something goes wrong in the middle.


def test_an_open_attempt_is_looked_after_by_the_next_wake_up(practice: Practice, provider: Scripted) -> None:
    provider._answers.append(Ambiguous())
    provider.during = lambda text: provider.accepted.update({text.reference: Sent("SM1", 1)})
    practice.add()
    practice.work()
    assert ending(practice)[0] is State.SENDING
    practice.forward(seconds=15)
    assert ending(practice)[0] is State.SENT
    assert len(provider.texts) == 1


def test_a_reminder_whose_worker_dies_again_and_again_becomes_a_dead_letter(
    practice: Practice, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(**_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(practice.worker._parts.templates, "draft", poison)
    practice.add(time=(START + timedelta(hours=12)).astimezone(PARIS), leads=["12h"])
    deaths = 0
    for _ in range(30):
        for wake in practice.take():
            deaths += 1
            with pytest.raises(MemoryError):
                practice.worker.remind(wake)
        practice.clock.forward(minutes=10)
    assert deaths == MOST_CLAIMS
    assert ending(practice) == (State.FAILED, Reason.POISON, FailureClass.TECHNICAL)
    assert not provider.texts


def test_where_only_the_limits_are_out_of_reach_no_reminder_becomes_a_dead_letter(
    client: store.Client, clock: Clock, keys: Keys, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Schedule(client, shards=2)
    practice, run = Practice(schedule, clock, keys, provider), schedule.run
    names = (f"A-{number}" for number in range(100))
    reference = next(name for name in names if schedule.shard_of(practice.seal(reference=name).id) == 1)
    practice.add(reference=reference)

    def work() -> None:
        clock.forward(seconds=5)
        for wake in [*schedule.sweep(1), *schedule.take(1, capacity=1).wakes]:
            with suppress(StoreUnavailable):
                practice.worker.remind(wake)

    def without_the_first(name: str, shard: int, *words: Any) -> Any:
        if shard == 0:
            raise StoreUnavailable("away")
        return run(name, shard, *words)

    with monkeypatch.context() as patch:
        patch.setattr(schedule, "run", without_the_first)
        for _ in range(100):
            work()
    for _ in range(3):
        work()
    assert practice.show(reference=reference).state is State.SENT


def test_a_worker_that_died_after_its_claim_is_replaced(practice: Practice, provider: Scripted) -> None:
    practice.add()
    (wake,) = practice.take()
    practice.schedule.claim(wake)  # and it dies
    practice.forward(seconds=20)
    assert ending(practice)[0] is State.SENT
    assert len(provider.texts) == 1


def test_a_beat_shows_the_process(practice: Practice, client: store.Client) -> None:
    practice.worker.beat("worker/7-abc")
    assert client.zrange("rw:{0}:processes", 0, -1) == [b"worker/7-abc"]


@pytest.mark.parametrize(("ours", "stores", "forgotten"), [(0, 0, False), (2, 0, False), (0, 2, False), (2, 2, True)])
def test_a_beat_forgets_a_week_that_is_over_by_both_clocks(
    practice: Practice, ours: int, stores: int, *, forgotten: bool
) -> None:
    practice.clock.set(START + timedelta(weeks=stores))
    with time_machine.travel(START + timedelta(weeks=ours), tick=False):
        practice.worker.beat("worker/1")
    name = sealing.kid(practice.keys.public.envelopes[sealing.week(START)])
    assert (practice.private.envelope_box(name) is None) == forgotten


# Under dramatiq.


@contextmanager
def running(practice: Practice, broker: dramatiq.Broker, threads: int = 4) -> Iterator[dramatiq.Worker]:
    """Run a dramatiq worker around the practice's."""

    def remind(id: str, lead: int, version: int) -> None:  # noqa: A002
        practice.worker.take(queue.read(id, lead, version))

    dramatiq.actor(actor_name=queue.ACTOR, queue_name=queue.QUEUE, broker=broker)(remind)
    crew = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=20)
    crew.start()
    try:
        yield crew
    finally:
        crew.stop()
        broker.close()
        broker.client.close()  # dramatiq leaves that to its owner


def until(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_wake_ups_travel_through_dramatiq_and_are_acknowledged(
    practice: Practice, provider: Scripted, server: EmbeddedServer, client: store.Client
) -> None:
    for number in range(20):
        practice.add(reference=str(number), phone=f"+336123400{number:02}")
    wakes = practice.take()
    work, close = practice.worker, practice.office.carriers.close
    broker = queue.connect(
        server.url(1), [pulse.Pulse(work.beat, [work.answer], close, work.leave, look=work.hanging.look)]
    )
    queue.wake(broker, [*wakes, *wakes])
    with running(practice, broker):
        broker.join(queue.QUEUE, interval=10, timeout=60_000)
        until(lambda: client.zcard("rw:{0}:processes"))
    assert not client.zcard("rw:{0}:processes")  # who ends in order says so
    assert Counter(text.to for text in provider.texts) == {f"+336123400{number:02}": 1 for number in range(20)}
    with store.connect(server.url(1)) as queued:
        names = {key.decode().rpartition("}")[2] for key in queued.scan_iter()}
    assert not {name for name in names if "heartbeats" not in name}


def test_a_reminder_that_raises_is_acknowledged_and_left_to_the_sweep(
    practice: Practice, provider: Scripted, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(**_: object) -> None:
        raise MemoryError

    practice.add()
    work, close = practice.worker, practice.office.carriers.close
    broker = queue.connect(
        server.url(1), [pulse.Pulse(work.beat, [work.answer], close, work.leave, look=work.hanging.look)]
    )
    with monkeypatch.context() as patch, running(practice, broker):
        patch.setattr(practice.worker._parts.templates, "draft", poison)
        queue.wake(broker, practice.take())
        broker.join(queue.QUEUE, interval=10, timeout=60_000)
    with store.connect(server.url(1)) as queued:
        assert not [key for key in queued.scan_iter() if b"heartbeats" not in key]
    practice.forward(seconds=20)
    assert ending(practice)[0] is State.SENT
    assert len(provider.texts) == 1


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (StoreUnavailable(), ("DEBUG", "store_away", "away")),
        (StoreUnavailable(refused=True), ("WARNING", "store_away", "refused")),
        (PermissionError(), ("ERROR", "chore_failed", None)),
    ],
)
def test_a_store_that_refuses_a_chore_is_not_passed_over(
    caplog: pytest.LogCaptureFixture, failure: Exception, said: tuple[str, str, str | None]
) -> None:
    def chore() -> None:
        beating._stop.set()
        raise failure

    caplog.set_level("DEBUG", "reminder_worker.pulse")
    beating = pulse.Pulse(lambda _: None, [], lambda: None, lambda _: None, look=lambda _: None)
    beating._repeat(chore, 0)
    (one,) = caplog.records
    assert (one.levelname, one.message, getattr(one, "reason", None)) == said
    assert bool(one.exc_info) is isinstance(failure, PermissionError)  # which tells where


def test_threads_are_watched_while_they_work_and_while_they_are_waited_for(
    practice: Practice, provider: Scripted, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "CHORE_EVERY", 0.001)
    looks: list[tuple[int, bool]] = []
    called, goes_on = threading.Event(), threading.Event()
    provider.during = lambda _: (called.set(), goes_on.wait(60))

    def look(threads: int) -> None:
        looks.append((threads, bool(practice.worker.hanging._under_way)))
        if looks[-1] == (0, True):  # it was told to end
            goes_on.set()

    practice.add()
    work, close = practice.worker, practice.office.carriers.close
    broker = queue.connect(server.url(1), [pulse.Pulse(work.beat, [], close, work.leave, look=look)])
    queue.wake(broker, practice.take())
    with running(practice, broker, threads=3):
        assert called.wait(60)
        until(lambda: (3, True) in looks)
    assert (0, True) in looks
    until(lambda: not any(thread.name == "watch" for thread in threading.enumerate()))


@pytest.mark.parametrize("error", [StoreUnavailable, MemoryError, SystemExit])
def test_the_pulse_goes_on_whatever_happens(
    practice: Practice, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    beats = []

    def beat(name: str) -> None:
        beats.append(name)
        if len(beats) < 3:
            raise error

    monkeypatch.setattr(pulse, "BEAT_EVERY", 0.001)
    monkeypatch.setattr(practice.worker, "beat", beat)
    work, close = practice.worker, practice.office.carriers.close
    beating = pulse.Pulse(work.beat, [work.answer], close, work.leave, look=work.hanging.look)
    beating.before_worker_boot(None, SimpleNamespace(worker_threads=1))  # type: ignore[arg-type]
    until(lambda: len(beats) > 5)
    beating.before_worker_shutdown(None, None)  # type: ignore[arg-type]
    until(lambda: not any(thread.name == "pulse" for thread in threading.enumerate()))
    assert len(set(beats)) == 1


def test_a_process_that_cannot_start_all_that_it_does_beside_reminders_texts_nobody(
    practice: Practice,
    provider: Scripted,
    server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "chore":
            raise RuntimeError("can't start new thread")
        starts(thread)

    practice.add()
    work, close = practice.worker, practice.office.carriers.close
    beating = pulse.Pulse(work.beat, [work.answer], close, work.leave, look=work.hanging.look)
    broker = queue.connect(server.url(1), [beating])
    queue.wake(broker, practice.take())
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(SystemExit), running(practice, broker):
        until(lambda: provider.texts)
    beating._over.set()
    beating._stop.set()
    until(lambda: not any(thread.name == "pulse" for thread in threading.enumerate()))
    assert not provider.texts
    assert [(one.levelname, one.message) for one in caplog.records if one.exc_info] == [("CRITICAL", "crashed")]
    broker.close()
    broker.client.close()


SET_UP = """\
import logging
import sys
from functools import partial

import dramatiq
from reminder_worker import startup

startup.setup()
broker = dramatiq.get_broker()
told = partial(print, file=sys.__stdout__)
told([type(one).__name__ for one in broker.middleware], sorted(broker.actors), sorted(broker.queues))
told(broker.get_actor("remind").logger.isEnabledFor(logging.INFO))
told([chore.__name__ for chore in broker.middleware[0]._chores], broker.middleware[0]._look.__qualname__)
"""


def test_a_worker_process_has_one_actor_one_queue_and_no_middleware_but_its_pulse(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    made = tmp_path / "keys"
    key_files.new_worker(made, datetime.now(UTC))
    key_files.new_platform("clinic", made)
    config = tmp_path / "settings.toml"
    config.write_text(
        f'store_url = "{server.url()}"\nkeys = "{made}"\n'
        f'[platforms.clinic]\nverify_key = "{made}/clinic.pub"\n[providers.outbox]\npath = "{tmp_path}/outbox"\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", SET_UP],
        env=os.environ | {"REMINDER_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=True,
    )
    parts, info, chores = done.stdout.splitlines()
    assert (parts, info) == ("['Pulse'] ['remind'] ['reminders']", "False")
    assert chores == "['answer', 'help', 'forget'] Hanging.look"
