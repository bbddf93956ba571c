"""From what a person answered to what follows from it, through a sealed note."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from clock import START, Clock
from scripted import PARIS, PHONE, Keys, Practice, Scripted

from reminder_worker import opening, words
from reminder_worker.errors import Ambiguous, NotSent, Reason, Rejected, StoreUnavailable, Unopenable
from reminder_worker.inbox import Inbox
from reminder_worker.job import State
from reminder_worker.notes import MOST, NOTE_BYTES, Note, Notes
from reminder_worker.optouts import OptOuts, log_of
from reminder_worker.providers import Receipt, Reply
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys, seal

STRANGER = "+33612340099"


class Overheard(Scripted):
    """A provider whose replies come over the line that sends."""

    def listen(self, hear: Callable[[Receipt | Reply], object]) -> None:
        self.hear = hear


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def provider() -> Scripted:
    return Scripted()


@pytest.fixture
def practice(schedule: Schedule, clock: Clock, made: Keys, provider: Scripted) -> Practice:
    return Practice(schedule, clock, made, provider)


@pytest.fixture
def inbox(practice: Practice, made: Keys, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    monkeypatch.setattr(practice.schedule, "now", lambda: practice.clock.now)
    return Inbox(practice.schedule, lambda: made.public)


def say(practice: Practice, inbox: Inbox, provider: Scripted, *texts: str, sender: str = PHONE) -> None:
    """Let a person answer, and the worker read it."""
    for text in texts:
        inbox.take(provider, Reply(sender, text))
    practice.answering.read_all(practice.clock.now)
    practice.answering.help()


def test_a_worker_that_hears_a_line_follows_keys_that_are_published_anew(
    schedule: Schedule, clock: Clock, made: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Overheard()
    practice, published = Practice(schedule, clock, made, line), [replace(made.public, envelopes={1: bytes(32)})]
    monkeypatch.setattr(schedule, "now", lambda: clock.now)
    words.load.cache_clear()
    practice.worker.listen(lambda: published[-1])
    assert words.load.cache_info().currsize == 1  # before anybody says STOP
    with pytest.raises(StoreUnavailable):  # all its weeks are over
        line.hear(Reply(PHONE, "STOP"))
    published.append(made.public)
    practice.worker.beat("worker/1-a")
    line.hear(Reply(PHONE, "STOP"))
    practice.answering.read_all(clock.now)
    assert practice.office.optouts.has("clinic", PHONE)


def test_a_worker_whose_disk_is_full_follows_them_too(
    schedule: Schedule, clock: Clock, made: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError

    line = Overheard()
    practice, published = Practice(schedule, clock, made, line), [replace(made.public, envelopes={1: bytes(32)})]
    monkeypatch.setattr(schedule, "now", lambda: clock.now)
    monkeypatch.setattr(practice.worker._parts.watermark, "keep", full)
    practice.worker.listen(lambda: published[-1])
    published.append(made.public)
    with pytest.raises(OSError):
        practice.worker.beat("worker/1-a")
    line.hear(Reply(PHONE, "STOP"))
    practice.answering.read_all(clock.now)
    assert practice.office.optouts.has("clinic", PHONE)


# STOP and START


@pytest.mark.parametrize("text", ["STOP", "arrêtez de m'écrire svp", "Bitte keine SMS mehr", "توقف", "revoke"])
def test_who_says_stop_gets_no_more_texts(practice: Practice, inbox: Inbox, provider: Scripted, text: str) -> None:
    say(practice, inbox, provider, text)
    practice.add()
    practice.work()
    shown = practice.show()
    assert (shown.state, shown.reason) == (State.SUPPRESSED, Reason.OPTED_OUT)
    assert provider.texts == []


@pytest.fixture
def told(practice: Practice, inbox: Inbox, provider: Scripted) -> Callable[[str, str], bool]:
    """Tell a reply by its provider's name for it, and have it read; returns whether it was news."""

    def tell(text: str, name: str) -> bool:
        news = inbox.take(provider, Reply(PHONE, text, name))
        practice.answering.read_all(practice.clock.now)
        return news

    return tell


def test_a_stop_that_a_replica_lacks_when_it_takes_over_is_written_again(
    practice: Practice, inbox: Inbox, provider: Scripted
) -> None:
    log, notes, redis = log_of(practice.schedule), "rw:{0}:notes", practice.schedule.client
    say(practice, inbox, provider, "STOP", sender=STRANGER)
    inbox.take(provider, Reply(PHONE, "STOP"))
    note = redis.lindex(notes, 0)
    say(practice, inbox, provider)
    redis.xdel(log, *(name for name, _ in redis.xrevrange(log, count=1)))  # the note and what followed are one write
    redis.lpush(notes, note)
    say(practice, inbox, provider)
    another = OptOuts(practice.schedule, practice.office.tags, ["clinic"])
    another.catch_up()
    assert another.has("clinic", PHONE)
    assert another.has("clinic", STRANGER)


def test_a_start_that_is_told_again_after_a_stop_takes_nothing_back(
    practice: Practice, told: Callable[[str, str], bool]
) -> None:
    assert [told(*reply) for reply in (("START", "1"), ("STOP", "2"), ("START", "1"))] == [True, True, False]
    assert practice.office.optouts.stopped_by(PHONE)
    assert told("START", "3")  # another one
    assert not practice.office.optouts.stopped_by(PHONE)


def test_a_stop_counts_whatever_its_name_is(practice: Practice, told: Callable[[str, str], bool]) -> None:
    assert all(told(text, name) for text, name in (("STOP", "1"), ("START", "2"), ("STOP", "1")))
    assert practice.office.optouts.stopped_by(PHONE)


def test_replies_without_a_name_are_each_heard(practice: Practice, told: Callable[[str, str], bool]) -> None:
    assert all(told(text, "") for text in ("STOP", "START", "STOP", "START"))
    assert not practice.office.optouts.stopped_by(PHONE)


def test_an_old_yes_that_is_told_again_is_no_newer_than_a_no(
    practice: Practice, told: Callable[[str, str], bool]
) -> None:
    practice.add()
    practice.work()
    assert [told(*reply) for reply in (("oui", "\ud800"), ("non", "2"), ("oui", "\ud800"))] == [True, True, False]
    assert practice.show().reply == "cancel_requested"


def test_two_providers_may_have_one_name_for_two_replies(
    practice: Practice, inbox: Inbox, provider: Scripted, told: Callable[[str, str], bool]
) -> None:
    provider.name = "one"
    assert told("START", "1")
    provider.name = "other"
    assert told("START", "1")


def test_a_reply_is_remembered_for_two_days(practice: Practice, told: Callable[[str, str], bool]) -> None:
    told("START", "1")
    (key,) = practice.schedule.client.keys("rw:{0}:t:*")
    assert 172_000 < practice.schedule.client.ttl(key) <= 172_800
    practice.schedule.client.delete(key)
    assert told("START", "1")


def test_a_store_that_is_full_still_hears_who_said_stop(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    client = practice.schedule.client
    most = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        say(practice, inbox, provider, "STOP")
        assert practice.office.optouts.stopped_by(PHONE)
    finally:
        client.config_set("maxmemory", most)


def test_stop_holds_for_this_person_only(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    say(practice, inbox, provider, "STOP", sender=STRANGER)
    practice.add()
    practice.work()
    assert practice.show().state is State.SENT


def test_stop_holds_for_every_platform_that_shares_the_sender(
    practice: Practice, inbox: Inbox, provider: Scripted
) -> None:
    say(practice, inbox, provider, "STOP")
    assert practice.office.optouts.has("clinic", PHONE)
    assert practice.office.optouts.has("other", PHONE)


def test_start_takes_it_back(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    say(practice, inbox, provider, "STOP", "START")
    practice.add()
    practice.work()
    assert practice.show().state is State.SENT


def test_the_order_of_answers_counts(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    say(practice, inbox, provider, "START", "STOP", "START", "STOP")
    assert practice.office.optouts.stopped_by(PHONE)


def test_a_stop_that_is_said_while_a_reminder_is_on_its_way_is_heard(
    practice: Practice, inbox: Inbox, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice.add()
    (wake,) = practice.take()
    draft = practice.worker._draft

    def slowly(*arguments: object) -> object:
        other = Practice(practice.schedule, practice.clock, practice.keys, provider)  # another worker process
        say(other, inbox, provider, "STOP")
        return draft(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(practice.worker, "_draft", slowly)
    practice.worker.remind(wake)
    assert practice.show().state is State.SUPPRESSED
    assert provider.texts == []


def test_whom_the_provider_lists_as_opted_out_is_on_our_list_too(practice: Practice, provider: Scripted) -> None:
    provider._answers.append(Rejected(Reason.OPTED_OUT))
    practice.add()
    practice.work()
    assert practice.show().state is State.SUPPRESSED
    practice.add(location="2 rue Neuve, Lyon")
    practice.work()
    assert practice.show().state is State.SUPPRESSED
    assert len(provider.texts) == 1


# Yes and no


@pytest.mark.parametrize(("text", "expected"), [("oui", "confirmed"), ("je ne peux pas venir", "cancel_requested")])
def test_a_yes_or_a_no_stands_beside_the_reminder_that_it_answers(
    practice: Practice, inbox: Inbox, provider: Scripted, text: str, expected: str
) -> None:
    practice.add()
    practice.work()
    practice.clock.forward(days=3)
    say(practice, inbox, provider, text)
    assert practice.show().reply == expected
    assert practice.show().state is State.SENT


def test_a_yes_of_nobody_we_texted_changes_nothing(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    practice.add()
    practice.work()
    say(practice, inbox, provider, "oui", sender=STRANGER)
    assert practice.show().reply is None


def test_a_yes_to_an_appointment_that_has_moved_since_changes_nothing(
    practice: Practice, inbox: Inbox, provider: Scripted
) -> None:
    practice.add()
    practice.work()
    practice.add(location="2 rue Neuve, Lyon")
    say(practice, inbox, provider, "oui")
    assert practice.show().reply is None


# HELP


def test_who_asks_for_help_gets_one_generic_answer_a_day(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    say(practice, inbox, provider, "AIDE", "AIDE", "HELP")
    (text,) = provider.texts
    assert text.to == PHONE
    assert "STOP" in text.body
    assert text.body == practice.worker._parts.templates.help("fr").body
    practice.clock.forward(days=1)
    say(practice, inbox, provider, "HELP")
    assert len(provider.texts) == 2


def test_a_stop_waits_for_no_answer_to_help_and_is_the_last_word(
    practice: Practice, inbox: Inbox, provider: Scripted
) -> None:
    for sender, text in ((STRANGER, "HELP"), (PHONE, "HELP"), (PHONE, "STOP")):
        inbox.take(provider, Reply(sender, text))
    practice.answering.read_all(practice.clock.now)
    assert practice.office.optouts.stopped_by(PHONE)
    assert provider.texts == []
    practice.answering.help()
    assert [text.to for text in provider.texts] == [STRANGER]


def test_who_said_stop_gets_no_answer_either(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    say(practice, inbox, provider, "STOP", "HELP")
    assert provider.texts == []


def test_outside_production_an_answer_reaches_allowed_numbers_only(
    schedule: Schedule, clock: Clock, made: Keys, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice = Practice(schedule, clock, made, provider, allow=["+1500"])
    monkeypatch.setattr(schedule, "now", lambda: clock.now)
    say(practice, Inbox(schedule, lambda: made.public), provider, "HELP")
    assert provider.texts == []


@pytest.mark.parametrize(
    ("sender", "reason"),
    [
        ("+881612345678", Reason.NUMBER_SATELLITE),
        ("+33899701234", Reason.NUMBER_PREMIUM),
        ("+22370123456", Reason.COUNTRY_NOT_ALLOWED),
        ("+33600", Reason.NUMBER_INVALID),
    ],
)
def test_who_asks_from_a_number_that_no_platform_may_text_gets_no_answer(
    schedule: Schedule,
    clock: Clock,
    made: Keys,
    provider: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sender: str,
    reason: Reason,
) -> None:
    practice = Practice(schedule, clock, made, provider, platform={"countries": ["FR"]}, others={"countries": ["GB"]})
    monkeypatch.setattr(schedule, "now", lambda: clock.now)
    inbox = Inbox(schedule, lambda: made.public)
    for asking in (sender, PHONE, "+447400123456"):
        say(practice, inbox, provider, "HELP", sender=asking)
    assert [text.to for text in provider.texts] == [PHONE, "+447400123456"]
    (refused,) = [record for record in caplog.records if record.message == "help_not_sent"]
    assert refused.reason == reason  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [KeyError(PHONE), SystemExit(PHONE)])
def test_an_answer_that_cannot_be_sent_is_no_loss(
    practice: Practice, inbox: Inbox, provider: Scripted, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def fail(_: object) -> None:
        raise error

    provider.during = fail
    say(practice, inbox, provider, "HELP")
    assert "help_not_sent" in caplog.messages
    say(practice, inbox, provider, "STOP")
    assert practice.office.optouts.stopped_by(PHONE)
    assert PHONE not in caplog.text + " ".join(str(vars(record)) for record in caplog.records)


# Notes


def test_anything_else_leaves_no_note(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    assert not inbox.take(provider, Reply(PHONE, "C'est pour ma cardiologie, merci de rappeler"))
    assert Notes(practice.schedule).first() is None


def test_notes_are_sealed_and_of_one_length(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    for sender, text in ((PHONE, "STOP"), ("+4366012345678901"[:13], "AIDE"), (PHONE, "oui merci beaucoup")):
        inbox.take(provider, Reply(sender, text))
    notes = practice.schedule.client.lrange(b"rw:{0}:notes", 0, -1)
    assert {len(note) for note in notes} == {NOTE_BYTES}
    assert not [note for note in notes if PHONE[4:].encode() in note or b"stop" in note]


def test_nothing_of_a_person_is_left_in_redis_or_in_the_logs(
    practice: Practice, inbox: Inbox, provider: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    practice.add()
    practice.work()
    say(practice, inbox, provider, "oui", "AIDE", "STOP pour ma cardiologie")
    client = practice.schedule.client
    stored = b" ".join(key + (client.dump(key) or b"") for key in client.scan_iter())
    logged = caplog.text + " ".join(str(vars(record)) for record in caplog.records)
    for secret in (PHONE, PHONE[1:], PHONE[4:], "cardio", "archives"):
        assert secret.encode() not in stored
        assert secret not in logged


def test_a_note_that_cannot_be_read_is_set_aside_and_blocks_nobody(
    practice: Practice, inbox: Inbox, provider: Scripted
) -> None:
    Notes(practice.schedule).leave(b"\1" + bytes(NOTE_BYTES - 1))
    say(practice, inbox, provider, "STOP")
    assert practice.office.optouts.stopped_by(PHONE)
    assert practice.schedule.client.llen(b"rw:{0}:notes.unread") == 1


def test_a_note_that_two_workers_read_is_done_once(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    inbox.take(provider, Reply(PHONE, "STOP"))
    notes = Notes(practice.schedule)
    found = notes.first()
    assert found is not None
    sealed, _ = found
    slow = practice.office.optouts.changes(PHONE, stopped=True)
    say(practice, inbox, provider, "START")  # the other one is through with both
    assert not notes.done(sealed, slow)
    practice.office.optouts.catch_up()
    assert not practice.office.optouts.stopped_by(PHONE)


def test_notes_outlast_a_week_s_end(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    inbox.take(provider, Reply(PHONE, "STOP"))
    practice.private.advance(START + timedelta(days=7))
    say(practice, inbox, provider)
    assert practice.office.optouts.stopped_by(PHONE)


def test_a_flood_of_replies_is_refused_before_it_fills_the_store(
    practice: Practice, inbox: Inbox, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST >= 10_000
    monkeypatch.setattr("reminder_worker.notes.MOST", 2)
    inbox.take(provider, Reply(PHONE, "STOP"))
    inbox.take(provider, Reply(PHONE, "STOP"))
    with pytest.raises(StoreUnavailable):
        inbox.take(provider, Reply(PHONE, "STOP"))


@pytest.mark.parametrize("damage", [lambda n: n[:-1], lambda n: n[:-1] + bytes([n[-1] ^ 1]), lambda n: b"\2" + n[1:]])
def test_a_damaged_note_does_not_open(practice: Practice, made: Keys, damage: object) -> None:
    note = Note("scripted", PHONE, "stop", "fr").seal(made.public, START)
    assert opening.open_note(practice.private, note) == Note("scripted", PHONE, "stop", "fr")
    assert callable(damage)
    with pytest.raises(Unopenable):
        opening.open_note(practice.private, damage(note))


def test_what_was_sealed_for_something_else_is_no_note(practice: Practice, made: Keys) -> None:
    other = seal(made.public.envelope_key(START), b"\5" + b"\1\0x" * 5, 128)
    with pytest.raises(Unopenable):
        opening.open_note(practice.private, other)


def test_the_hooks_process_needs_no_private_key(made: Keys, tmp_path: Path) -> None:
    (tmp_path / "worker.pub.json").write_text((made.folder / "worker.pub.json").read_text())
    assert Note("scripted", PHONE, "stop", "fr").seal(PublicKeys.load(tmp_path / "worker.pub.json"), START)


# Several workers


def another(practice: Practice, provider: Scripted) -> Practice:
    """Return another worker process of the same installation."""
    return Practice(practice.schedule, practice.clock, practice.keys, provider)


def test_no_help_follows_a_stop_that_another_worker_read(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    say(another(practice, provider), inbox, provider, "STOP")
    say(practice, inbox, provider, "HELP")
    assert provider.texts == []


def test_no_help_follows_a_stop_that_another_worker_reads_before_it_goes(
    practice: Practice, inbox: Inbox, provider: Scripted
) -> None:
    inbox.take(provider, Reply(PHONE, "HELP"))
    practice.answering.read_all(practice.clock.now)
    say(another(practice, provider), inbox, provider, "STOP")
    practice.answering.help()
    assert provider.texts == []


def test_two_workers_who_read_one_help_answer_once(
    practice: Practice, inbox: Inbox, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.take(provider, Reply(PHONE, "HELP"))
    found = practice.answering._notes.first()
    monkeypatch.setattr(practice.answering._notes, "first", iter([found, None]).__next__)
    say(another(practice, provider), inbox, provider)  # was faster
    practice.clock.forward(days=1)  # so that it is not the day that holds it up
    practice.answering.read_all(practice.clock.now)
    practice.answering.help()
    assert len(provider.texts) == 1


def test_the_mark_of_an_answered_help_goes(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    say(practice, inbox, provider, "HELP")
    (key,) = practice.schedule.client.scan_iter(b"*:h:*")
    assert 0 < practice.schedule.client.ttl(key) <= 86_400


def test_a_yes_belongs_to_the_text_that_arrived(practice: Practice, inbox: Inbox, provider: Scripted) -> None:
    practice.add(reference="A")
    practice.work()
    provider._answers += [NotSent(Reason.NOT_SENT)]
    practice.add(reference="B", time=practice.clock.now + timedelta(hours=2, seconds=1))
    practice.forward(seconds=1)
    assert practice.show(reference="B").state is State.SCHEDULED
    say(practice, inbox, provider, "oui")
    assert (practice.show(reference="A").reply, practice.show(reference="B").reply) == ("confirmed", None)


def test_a_yes_that_a_slow_worker_read_does_not_overwrite_a_later_no(
    practice: Practice, inbox: Inbox, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice.add()
    practice.work()
    inbox.take(provider, Reply(PHONE, "oui"))
    mark = practice.answering._mark

    def slowly(note: Note, number: int, now: datetime) -> None:
        monkeypatch.setattr(practice.answering, "_mark", mark)
        say(another(practice, provider), inbox, provider, "je ne peux pas venir")
        mark(note, number, now)

    monkeypatch.setattr(practice.answering, "_mark", slowly)
    practice.answering.read_all(practice.clock.now)
    assert practice.show().reply == "cancel_requested"


def test_two_days_of_a_phone_are_not_linked_by_what_is_stored(practice: Practice, provider: Scripted) -> None:
    moment = practice.clock.now.astimezone(PARIS) + timedelta(hours=24, seconds=1)
    practice.add(leads=["24h", "2h"], time=moment)
    practice.forward(seconds=1)
    practice.forward(hours=22)
    assert len(provider.texts) == 2
    client = practice.schedule.client
    marks = [value for key in client.scan_iter(b"*:l:*") for value in client.lrange(key, 0, -1)]
    ids = [key.rpartition(b":")[2][:16] for key in client.scan_iter(b"*:a:*")]
    assert len(marks) == 2
    assert not [mark for mark in marks for id_ in ids if id_[:8] in mark]
    assert not set(zip(*[iter(marks[0])] * 4, strict=False)) & set(zip(*[iter(marks[1])] * 4, strict=False))


def test_who_said_stop_meanwhile_is_not_sent_a_text_in_doubt_again(practice: Practice, provider: Scripted) -> None:
    provider._answers += [Ambiguous()]
    provider.capabilities = replace(provider.capabilities, deduplicates=True)
    practice.add()
    practice.work()
    another(practice, provider).office.optouts.stop(PHONE)
    practice.forward(seconds=20)
    assert len(provider.texts) == 1


def test_a_text_in_doubt_is_not_sent_again_in_quiet_hours(schedule: Schedule, clock: Clock, made: Keys) -> None:
    provider = Scripted(*[Ambiguous()] * 4, deduplicates=True, settles_within=timedelta(hours=3))
    practice = Practice(schedule, clock, made, provider, platform={"quiet_hours": "21:00-08:00"})
    clock.set(START.replace(hour=19, minute=58))  # 20:58 in Paris
    practice.add(time=clock.now.astimezone(PARIS) + timedelta(hours=12), leads=["12h"])
    practice.work()
    assert len(provider.texts) == 1
    practice.forward(hours=1)
    assert len(provider.texts) == 1


def test_a_reply_is_told_again_when_the_public_keys_have_run_out(
    practice: Practice, inbox: Inbox, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(practice.schedule, "now", lambda: START + timedelta(weeks=60))
    with pytest.raises(StoreUnavailable):
        inbox.take(provider, Reply(PHONE, "STOP"))
