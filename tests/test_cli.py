import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import practice
import pytest
import typer
from desk import new_key
from rich.console import Console

from reminder_worker import cli, enqueue, keys, screen, store, watching
from reminder_worker.drafting import Templates
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.job import Level
from reminder_worker.ledger import Entry
from reminder_worker.ops import operators
from reminder_worker.plan import Lead
from reminder_worker.ports import free_port
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys

CANARY = "CANARY"
SETTINGS = """
[platforms.clinic]
verify_key = "keys/clinic.pub"
countries = ["FR", "GB"]

[providers.outbox]
path = "outbox.jsonl"
"""
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with settings and nothing else; no variable of this machine counts."""
    for name in os.environ:
        if name.startswith("REMINDER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reminder-worker.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, and return its exit code and what it wrote."""
    monkeypatch.setattr(screen, "console", Console(width=300, highlight=False, markup=False, emoji=False))

    def run_one(*words: object, stdin: bytes = b"") -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["reminder-worker", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return SimpleNamespace(code=ended.value.code or 0, **capfd.readouterr()._asdict())

    return run_one


@pytest.fixture
def shop(here: Path, client: store.Client, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with keys and an empty store."""
    practice.make_keys(here / "keys")
    monkeypatch.setenv("REMINDER_STORE_URL", server.url())
    return here


@pytest.fixture
def away(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with keys, whose store does not answer."""
    practice.make_keys(here / "keys")
    monkeypatch.setenv("REMINDER_STORE_URL", f"unix://{here}/none.sock")
    monkeypatch.setattr(store, "Retry", lambda *_: None)
    return here


def one_line(done: SimpleNamespace) -> str:
    """Return the one line that an error is, without its beginning."""
    assert done.err.count("\n") == 1
    assert done.err.endswith("\n")
    assert done.err.startswith("reminder-worker: error: ")
    return done.err.removeprefix("reminder-worker: error: ").rstrip()


def commands(group: typer.core.TyperGroup, *path: str) -> Iterator[tuple[str, ...]]:
    """Go through all commands and groups."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


ALL = list(commands(typer.main.get_command(cli.app)))


# Help and wrong use.


def test_all_commands_are_there():
    names = {" ".join(path) for path in ALL}
    assert names >= {
        "keys new worker",
        "keys new platform",
        "keys public",
        "keys rotate",
        "demo",
        "worker",
        "scheduler",
    }
    assert names >= {"enqueue", "cancel", "show", "status", "lint", "preview", "doctor"}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_help_of_every_command_shows_an_example(run, path):
    done = run(*path, "--help")
    assert (done.code, done.err) == (0, "")
    example = " ".join(done.out.split()).partition("Example: " if path else "To see it work: ")[2]
    assert example.startswith(" ".join(["reminder-worker", *path]))


@pytest.mark.parametrize(
    "words",
    [
        ["frob"],
        ["--frob"],
        ["show"],
        ["show", "A-1", "B-2"],
        ["enqueue"],
        ["cancel", "--platform"],
        ["worker", "--processes", "x"],
        ["worker", "--threads", "0"],
        ["status", "--json=1"],
        ["keys", "new", "frob"],
        ["keys", "new", "platform", "clinic"],
        ["lint"],
        ["preview", "--level", "all"],
        ["status", "--config", "none.toml"],
        ["show", "A-1", "--platform", "none"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_line_and_ends_with_2(run, words):
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert one_line(done)


@pytest.mark.parametrize("words", [[], ["keys"], ["keys", "new"]], ids=" ".join)
def test_no_words_are_answered_with_all_the_help(run, words):
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: ")


@pytest.mark.parametrize(
    "words", [["show", "A-1", CANARY], ["worker", "--threads", CANARY], ["show", "A-1", "--platform", CANARY]]
)
def test_wrong_words_are_not_repeated(run, words):
    assert CANARY not in one_line(run(*words))


@pytest.mark.parametrize("words", [("doctor", "--config"), ("restore", "--end", "--config")])
def test_a_file_that_nobody_can_look_at_is_named_and_no_fault_of_the_program(run, shop, words):
    name = "n" * 5000  # longer than any file's
    done = run(*words, name)
    assert done.code == 2
    assert name in done.err
    assert "fault of the program" not in done.err


@pytest.mark.parametrize("file", [[], ["a"]])
def test_a_full_disk_is_said_and_no_fault_of_the_program(run, shop, monkeypatch, file):
    def refuse(*_):
        raise OSError(28, "No space left on device", *file)

    monkeypatch.setattr(keys, "new_worker", refuse)
    done = run("keys", "new", "worker", "other")
    assert (done.code, "a disk is full" in done.err, "fault of the program" in done.err) == (1, True, False)


def test_a_folder_that_this_user_may_not_enter_is_named(run, shop, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(shop / "keys"))

    monkeypatch.setattr(Path, "is_dir", refuse)
    done = run("doctor")
    may = "check its rights, and its folders'"
    assert (done.code, done.err) == (
        2,
        f"reminder-worker: error: {shop / 'keys'}: cannot be used (PermissionError); {may}\n",
    )


def test_a_fault_of_the_program_is_one_line_without_what_it_was_about(run, shop, monkeypatch):
    def broken(*_):
        raise ValueError(CANARY)

    monkeypatch.setattr("reminder_worker.status.read", broken)
    done = run("status")
    assert done.code == 1
    assert "ValueError at test_cli:" in one_line(done)
    assert CANARY not in done.err


def test_wrong_settings_are_named_and_their_values_are_not(run, here):
    (here / "reminder-worker.toml").write_text(f'keys = "keys"\nreason = "{CANARY}"\n')
    done = run("status")
    assert (done.code, one_line(done)) == (2, "reason: there is no such setting")


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://x", f"redis://:{CANARY}@127.0.0.1:x/0", f"redis://:{CANARY}@[::1/0", "redis://h:99999/0"],
)
@pytest.mark.parametrize("words", [["status"], ["show", "A-1"], ["doctor"]], ids=" ".join)
def test_a_store_s_url_that_is_none_is_wrong_use_and_not_repeated(run, shop, monkeypatch, url, words):
    monkeypatch.setenv("REMINDER_STORE_URL", url)
    done = run(*words)
    assert done.code == 2
    assert one_line(done).startswith("store_url, queue_url: ")
    assert CANARY not in done.err


@pytest.mark.parametrize("words", [["status"], ["show", "A-1"], ["cancel", "A-1"]], ids=" ".join)
def test_a_store_that_is_away_is_one_line_and_ends_with_1(run, away, words):
    done = run(*words)
    assert (done.code, done.out) == (1, "")
    assert one_line(done).startswith("the store did not answer (ConnectionError)")


@pytest.mark.parametrize(
    "words", [["status"], ["show", "A-1"], ["cancel", "A-1"], ["dead", "list"], ["enqueue", "a.jsonl"]], ids=" ".join
)
def test_another_number_of_shards_than_the_store_has_is_wrong_use(run, shop, schedule, monkeypatch, words):
    schedule.agreement.make()
    (shop / "a.jsonl").write_bytes(practice.lines(practice.fields("A")))
    monkeypatch.setenv("REMINDER_SHARDS", "4")
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert one_line(done).startswith("shards: this store is used with 1, here it is 4; ")


# Handing in, taking back, looking up.


def test_appointments_come_from_a_file_or_from_standard_input(run, shop):
    data = practice.lines(practice.fields("A"), practice.fields("B"))
    (shop / "a.jsonl").write_bytes(data)
    done = run("enqueue", "a.jsonl", "--platform", "clinic")
    assert (done.code, done.out, done.err) == (0, "2 added\n", "")
    done = run("enqueue", "-", stdin=data + practice.lines(practice.fields("C")))
    assert (done.code, done.out) == (0, "2 unchanged, 1 added\n")
    assert run("enqueue", "-").out == "nothing to do\n"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.jsonl", "there is no such file"),
        ("keys", "is a folder; only --format fhir reads one"),
        ("x" * 300, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_wrong_use(run, shop, name, why):
    done = run("enqueue", name)
    assert (done.code, one_line(done)) == (2, f"{name}: {why}")


@pytest.mark.parametrize("name", ["week.csv", "WEEK.ICS"])
def test_a_file_whose_name_tells_its_format_is_not_taken_for_another(run, shop, name):
    (shop / name).write_text(CANARY)
    done = run("enqueue", name)
    said = f"--format: say {name[-3:].lower()} for this file, or jsonl where that is what it holds"
    assert (done.code, one_line(done)) == (2, said)
    assert run("enqueue", name, "--format", "jsonl").err.startswith("line 1: malformed: ")


def test_no_server_is_started_for_a_platform_without_keys(run, here):
    assert run("show", "A-1").code == 2
    assert not (here / ".reminder-worker").exists()


def test_one_bad_line_ends_with_1_and_the_others_are_in(run, shop):
    done = run("enqueue", "-", stdin=practice.lines(practice.fields("A"), b"[]", practice.fields("B")))
    assert (done.code, done.out) == (1, "1 refused, 2 added\n")
    assert done.err == "line 2: malformed: line: is not a JSON object\n"
    assert run("show", "B").code == 0


def test_bytes_that_are_no_text_spoil_their_line_only(run, shop):
    bad = practice.lines(practice.fields()).replace(b"Lilas", b"\xff\xfe").strip()
    done = run("enqueue", "-", stdin=practice.lines(bad, b"[" * 100_000, practice.fields()))
    assert (done.code, done.out) == (1, "2 refused, 1 added\n")


WRONG = {
    "reference": f"{CANARY}\n",
    "time": CANARY,
    "location": f"{CANARY} fertility clinic",
    "phone": f"+33 {CANARY}",
    "language": f"{CANARY}-LANGUAGE",
    "leads": [CANARY],
}


@pytest.mark.parametrize("field", WRONG)
def test_a_refusal_names_the_field_and_nothing_of_its_value(run, shop, field):
    done = run("enqueue", "-", stdin=practice.lines(practice.fields(**{field: WRONG[field]})))
    assert done.code == 1
    assert done.err.startswith("line 1: ")
    assert f": {field}: " in done.err
    assert CANARY not in done.out + done.err


@pytest.mark.parametrize("field", ["reference", "time", "location", "phone", "language", "leads", "pointer"])
@pytest.mark.parametrize("value", [{CANARY: 1}, [[CANARY]], CANARY * 20], ids=["object", "list", "long"])
def test_no_value_of_any_field_is_repeated(run, shop, field, value):
    record = practice.fields(**{field: value}) if field != "pointer" else practice.fields(phone=None, language=None)
    if field == "pointer":
        record["pointer"] = value
    done = run("enqueue", "-", stdin=practice.lines(record))
    assert CANARY not in done.out + done.err
    assert done.out in {"1 refused\n", "1 added\n"}


@pytest.mark.parametrize("name", ["reason", "diagnosis", f"diagnosis: {CANARY}", f"{CANARY} {CANARY}", f"+336{CANARY}"])
def test_a_field_for_a_reason_is_refused_and_its_value_not_repeated(run, shop, name):
    done = run("enqueue", "-", stdin=practice.lines(practice.fields(**{name: CANARY})))
    shown = name if name.isalpha() else "a field"
    assert (done.code, done.out) == (1, "1 refused\n")
    assert done.err == f"line 1: unknown_field: {shown}: a reminder has no such field; leave it out\n"


def test_a_number_outside_the_platform_s_countries_is_refused(run, shop):
    done = run("enqueue", "-", stdin=practice.lines(practice.fields(phone="+4915123456789")))
    assert done.code == 1
    assert "country_not_allowed" in done.err


def test_nothing_of_a_good_line_is_printed(run, shop):
    record = practice.fields("REFERENCE-7")
    done = run("enqueue", "-", stdin=practice.lines(record))
    assert done.code == 0
    assert not any(str(value) in done.out + done.err for value in record.values() if value != "fr")


def test_other_formats_are_read_and_what_is_left_behind_is_counted(run, shop):
    time = practice.ahead(days=3)
    table = f"reference;time;reason;phone\nA;{time};{CANARY};06 12 34 56 78\nB;{time};{CANARY};{CANARY}\n".encode()
    options = ["--country", "FR", "--language", "fr", "--location", "3 Mill Lane", "--zone", "Europe/Paris"]
    done = run("enqueue", "-", "--format", "csv", *options, stdin=table)
    assert (done.code, done.out) == (1, "1 added, 1 refused\nleft behind: reason 2\n")
    assert done.err == "line 3: number_invalid: phone: write the number with + and its country code\n"
    assert run("show", "A").code == 0


@pytest.mark.parametrize("name", ["fhir", "csv", "ics", "jsonl"])
def test_a_folder_that_is_no_export_is_wrong_use(run, shop, name):
    done = run("enqueue", "keys", "--format", name)
    assert done.code == 2
    folder = "keys: is a folder; only --format fhir reads one"
    said = "--format fhir: the folder has no Appointment.ndjson" if name == "fhir" else folder
    assert one_line(done) == said


def test_an_unknown_format_is_wrong_use_and_not_repeated(run, shop):
    done = run("enqueue", "-", "--format", CANARY)
    assert (done.code, one_line(done)) == (2, "--format: jsonl, csv, fhir, ics")


def test_what_is_being_sent_can_be_neither_changed_nor_cancelled(run, shop, schedule):
    record = practice.due_now()
    run("enqueue", "-", stdin=practice.lines(record))
    practice.send(schedule, finish=False)
    done = run("enqueue", "-", stdin=practice.lines(record | {"language": "en"}))
    assert (done.code, done.out) == (1, "1 refused\n")
    assert done.err.startswith("line 1: in_flight: ")
    done = run("cancel", "A-1")
    assert (done.code, done.out) == (1, "in_flight\n")


def test_a_store_that_is_away_says_how_far_it_got_and_running_again_is_safe(run, shop, monkeypatch):
    data = practice.lines(*(practice.fields(f"A-{number}") for number in range(5)))
    monkeypatch.setattr(enqueue, "BATCH", 2)
    real, calls = Schedule.add, []

    def add(self, entries):
        calls.append(1)
        return real(Schedule(store.connect("unix:///none.sock", retry=None)) if len(calls) == 3 else self, entries)

    monkeypatch.setattr(Schedule, "add", add)
    done = run("enqueue", "-", stdin=data)
    assert done.code == 1
    assert one_line(done).endswith("Stored up to line 4; run it again, that is safe")
    assert run("enqueue", "-", stdin=data).out == "4 unchanged, 1 added\n"


def test_an_appointment_is_taken_back_once(run, shop):
    assert (run("cancel", "A-1").code, run("cancel", "A-1").out) == (1, "missing\n")
    run("enqueue", "-", stdin=practice.lines(practice.fields()))
    done = run("cancel", "A-1")
    assert (done.code, done.out, done.err) == (0, "cancelled\n", "")
    shown = json.loads(run("show", "A-1", "--json").out)
    assert [one["state"] for one in shown] == ["cancelled"]


def test_what_was_sent_cannot_be_taken_back(run, shop, schedule):
    run("enqueue", "-", stdin=practice.lines(practice.due_now()))
    practice.send(schedule)
    done = run("cancel", "A-1")
    assert (done.code, done.out) == (1, "ended\n")


def test_reminders_are_shown_as_a_table_or_as_json(run, shop):
    run("enqueue", "-", stdin=practice.lines(practice.fields(leads=["24h", "2h"])))
    done = run("show", "A-1")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("scheduled") == 2
    first, second = json.loads(run("show", "A-1", "--json").out)
    assert first["due"] < second["due"]
    assert {name: value for name, value in first.items() if name != "due"} == {
        "lead": 0,
        "state": "scheduled",
        "ended": None,
        "provider": None,
        "attempts": 0,
        "reason": None,
        "reply": None,
        "failure_class": None,
        "asked": None,
        "template": None,
    }


def test_an_unknown_reference_ends_with_1(run, shop):
    done = run("show", "nobody")
    assert (done.code, done.out, done.err) == (1, "missing\n", "")
    done = run("show", "nobody", "--json")
    assert (done.code, json.loads(done.out)) == (1, [])


def test_what_can_be_no_reference_is_refused(run, shop):
    for command in ("show", "cancel"):
        done = run(command, f"{CANARY}\n")
        assert done.code == 1
        assert one_line(done).startswith("reference: ")
        assert CANARY not in done.err


def test_missing_keys_are_wrong_use(run, shop):
    (shop / "keys" / "clinic.key").unlink()
    done = run("show", "A-1")
    assert done.code == 2
    assert one_line(done).startswith("keys/clinic.key: there is no such file")


def test_the_settings_may_lie_elsewhere(run, shop):
    (shop / "reminder-worker.toml").rename(shop / "other.toml")
    assert run("show", "A-1").code == 2
    assert run("show", "A-1", "--config", "other.toml").code == 1


# What stands in the ledger.

STATUS = {
    "now",
    "scheduled",
    "overdue",
    "overdue_seconds",
    "next_due",
    "queued",
    "sending",
    "dead_letters",
    "ended",
    "by_provider",
    "processes",
    "circuits",
    "replies_waiting",
    "replies_unread",
    "unknown",
    "ahead",
    "recent",
    "last_hour",
    "last_day",
    "store",
}


def test_status_as_json_is_documented_name_by_name():
    page = (Path(__file__).parents[1] / "docs" / "support.md").read_text("utf-8").partition("## `status --json`")[2]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", page, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)} == STATUS


def test_status_as_json_has_stable_names(run, shop, schedule):
    assert json.loads(run("status", "--json").out).keys() == STATUS
    run("enqueue", "-", stdin=practice.lines(practice.due_now(), practice.fields("B")))
    practice.send(schedule)
    now = json.loads(run("status", "--json").out)
    assert now.keys() == STATUS
    assert (now["scheduled"], now["sending"], now["ended"]) == (1, 0, {"sent": 1})
    whole = {
        "scheduled",
        "overdue",
        "queued",
        "sending",
        "dead_letters",
        "unknown",
        "replies_waiting",
        "replies_unread",
    }
    assert {type(now[name]) for name in whole} == {int}
    assert {type(now[name]) for name in ("ended", "by_provider", "processes", "circuits")} == {dict}
    assert [type(now[name]) for name in ("now", "next_due", "overdue_seconds")] == [str, str, float]
    assert now["circuits"] == {"outbox": "closed"}
    assert now["by_provider"] == now["last_hour"] == now["last_day"] == {"outbox": {"sent": 1}}
    assert [type(number) for number in now["ahead"]] == [int] * 12
    assert [part["by"] for part in now["recent"]] == [{"outbox": {"sent": 1}}]
    assert {name: type(value) for name, value in now["store"].items()} == {
        "memory_bytes": int,
        "memory_limit_bytes": int,
        "durable": bool,
        "evicts": bool,
    }


def test_status_is_a_table_for_people(run, shop):
    done = run("status")
    assert (done.code, done.err) == (0, "")
    assert "scheduled" in done.out
    assert "overdue" in done.out


def test_a_watched_status_ends_with_ctrl_c(run, shop, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", interrupted)
    done = run("status", "--watch")
    assert (done.code, done.err) == (130, "")


# Texts and labels.


def test_harmless_words_end_with_0_and_disclosing_ones_with_1(run):
    assert (run("lint", "12 rue des Lilas").code, run("lint", "HIV centre").code) == (0, 1)
    done = run("lint", "1 High Street", "Fertility clinic")
    assert done.code == 1
    assert "2" in done.out
    assert "Fertility" not in done.out
    assert "High Street" not in done.out


def test_labels_as_json_are_one_object_each(run, here):
    (here / "labels").write_text("1 High Street\n\nHIV centre\n2 Low\u2028Road\n", "utf-8")
    done = run("lint", "--locations", "labels", "--json")
    assert (done.code, done.err) == (1, "")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [one["line"] for one in found] == [1, 2, 3, 4]
    assert [one["rule"] is None for one in found] == [True, True, False, False]
    assert all(one.keys() == {"line", "rule"} for one in found)
    (here / "labels").write_text("1 High Street\n")
    done = run("lint", "--locations", "labels", "--json")
    assert (done.code, done.out) == (0, '{"line": 1, "rule": null}\n')


def test_the_shipped_templates_pass(run):
    done = run("lint", "--templates", Path(__file__).parents[1] / "templates")
    assert (done.code, done.out) == (0, "nothing found\n")


@pytest.mark.parametrize("words", [["--locations", "none"], ["--templates", "none"]], ids=" ".join)
def test_what_cannot_be_read_is_wrong_use(run, words):
    assert run("lint", *words).code == 2


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("language", [*Templates.load().languages, "pt-BR", "en-US"])
def test_every_language_has_a_preview_at_every_level(run, language, level):
    done = run("preview", "--language", language, "--level", level)
    assert (done.code, done.err) == (0, "")
    assert done.out.split()[:3] == [language, "segments", "text"]
    assert ("12 Station Road" in done.out) == (level is not Level.TIME)
    assert ("Studio Nord" in done.out) == (level is Level.SENDER)


def test_all_languages_are_previewed_at_once(run):
    done = run("preview")
    assert done.out.count("segments") == len(Templates.load().languages)


def test_a_language_without_a_template_is_refused(run):
    done = run("preview", "-l", f"xx-{CANARY}")
    assert (done.code, one_line(done)) == (1, "language: there is no template for it")


# Keys.


def test_keys_are_made_with_mode_0600_and_never_printed_nor_overwritten(run, here):
    first = run("keys", "new", "worker", "k")
    second = run("keys", "new", "platform", "clinic", "k")
    assert (first.code, second.code) == (0, 0)
    files = sorted((here / "k").iterdir())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    private = {"clinic.key", "optouts.pepper", "worker.pointer.1.key", "worker.ratchet"}
    assert {name for name, mode in modes.items() if mode == 0o600} == private
    assert set(modes) - private == {"clinic.pub", "worker.pub.json"}
    assert (first.out + second.out).split() == [word for name in WRITTEN for word in ("wrote", f"k/{name}")]
    before = [path.read_bytes() for path in files]
    for words in (["worker", "k"], ["platform", "clinic", "k"]):
        done = run("keys", "new", *words)
        assert (done.code, done.out) == (2, "")
        assert "never overwritten" in one_line(done)
    assert [path.read_bytes() for path in files] == before


WRITTEN = "worker.pointer.1.key", "worker.ratchet", "optouts.pepper", "worker.pub.json", "clinic.key", "clinic.pub"


def test_a_name_that_is_no_platform_s_is_refused_and_not_repeated(run, here):
    done = run("keys", "new", "platform", f"../{CANARY}", "k")
    assert done.code == 2
    assert CANARY not in one_line(done)
    assert not (here / "k").exists()


def test_public_keys_are_printed_as_platforms_read_them(run, here):
    run("keys", "new", "worker", "keys")
    for words in (["keys"], []):
        done = run("keys", "public", *words)
        assert (done.code, done.err) == (0, "")
        assert PublicKeys.from_json(done.out) == PublicKeys.load(here / "keys" / "worker.pub.json")


def test_keys_are_rotated_beside_the_old_ones(run, here):
    run("keys", "new", "worker", "keys")
    old = (here / "keys" / "worker.pointer.1.key").read_bytes()
    done = run("keys", "rotate")
    assert (done.code, done.err) == (0, "")
    assert "wrote keys/worker.pointer.2.key; 2 pointer keys are opened now" in done.out
    assert (here / "keys" / "worker.pointer.1.key").read_bytes() == old
    assert len(PublicKeys.from_json(run("keys", "public").out).pointers) == 2
    secrets = [line.split()[1] for path in here.glob("keys/*.key") for line in path.read_text().splitlines()[1:]]
    assert len(secrets) == 2
    assert not any(secret in done.out for secret in secrets)


@pytest.mark.parametrize("words", [["public"], ["rotate"]], ids=" ".join)
def test_keys_that_are_not_there_are_wrong_use(run, here, words):
    done = run("keys", *words, "none")
    assert (done.code, done.out) == (2, "")
    assert one_line(done).startswith("none")


# Safe and unsafe.


def test_the_doctor_s_exit_code_says_whether_production_would_be_safe(run, shop):
    done = run("doctor")
    assert done.code == 1
    assert done.out.count("UNSAFE: ") == done.out.count("  fix: ") == 1
    assert "providers.outbox" in done.out
    (shop / "token").write_text("0" * 32)
    (shop / "token").chmod(0o600)
    twilio = f'account_sid = "AC{"0" * 32}"\nauth_token_file = "token"\nfrom = "+15005550006"\n'
    twilio += 'callback_url = "https://hooks.example"\n'
    head = SETTINGS.partition("[providers")[0]
    (shop / "reminder-worker.toml").write_text(f"{head}[providers.twilio]\n{twilio}")
    done = run("doctor")
    assert (done.code, done.out) == (0, "nothing found: production would be safe to start\n")
    (shop / "keys" / "worker.ratchet").chmod(0o644)
    assert run("doctor").code == 1


def test_the_doctor_does_not_miss_what_a_process_must_not_have(run, shop):
    for path in (shop / "keys").glob("worker.[!p]*"):
        path.unlink()
    assert run("doctor").code == run("doctor", "--process", "worker").code == 1
    for process in ("hooks", "scheduler"):
        assert run("doctor", "--process", process).code == 0
    assert "gateway.key" in run("doctor", "--process", "web").out + run("doctor", "--process", "web").err
    done = run("doctor", "--process", "queue")
    assert (done.code, done.err) == (2, "reminder-worker: error: --process: web, hooks, scheduler, worker or ops\n")


def test_the_doctor_looks_at_a_store_that_is_away(run, away):
    done = run("doctor")
    assert (done.code, done.err) == (1, "")
    assert "UNSAFE: the store does not answer (ConnectionError)" in done.out


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A store without an append-only file."""
    with EmbeddedServer(tmp_path_factory.mktemp("f"), "--appendonly", "no") as running:
        yield running


def start(folder: Path, command: list[str], **variables: str) -> subprocess.Popen[str]:
    """Start a real process in ``folder``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REMINDER_")}
    words = [sys.executable, "-m", *command]
    environment |= {f"REMINDER_{name}": value for name, value in variables.items()}
    return subprocess.Popen(words, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True)


CLI = "reminder_worker.cli"


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_production_does_not_start_unsafe_and_says_in_one_line_what_to_mend(shop, forgetful, name):
    with start(shop, [CLI, name], PROFILE="production", STORE_URL=forgetful.url()) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    message = one_line(SimpleNamespace(err=err))
    assert "set appendonly yes" in message
    assert ("outbox" in message) == (name == "worker")  # the scheduler does not look at what it may not see


@pytest.mark.parametrize("name", ["scheduler", "worker", "web", "hooks", "ops"])
def test_no_process_starts_with_another_number_of_shards_than_the_store_has(shop, schedule, name):
    keys.new_gateway(shop / "keys")
    new_key(shop / "keys")
    operators.enter(shop / "keys" / operators.FILE, "ada", "a long password", datetime.now(UTC))
    text = SETTINGS.replace("clinic.pub", "gateway.pub") + '[ops]\noperators = "keys/operators.json"\n'
    (shop / "reminder-worker.toml").write_text(text)
    schedule.add([Entry(bytes(16), bytes(12), b"sealed", (datetime.now(UTC) + timedelta(days=1),))])
    port = [] if name in {"scheduler", "worker"} else ["--port", str(free_port())]
    with start(shop, [CLI, name, *port], SHARDS="4", STORE_URL=os.environ["REMINDER_STORE_URL"]) as process:
        try:
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith("reminder-worker: error: shards: this store is used with 1, here it is 4; ")


def test_a_worker_that_dramatiq_starts_does_not_start_unsafe_either(shop, forgetful):
    command = ["dramatiq", "reminder_worker.startup:setup", "--processes", "1", "--threads", "1", "--skip-logging"]
    with start(shop, command, PROFILE="production", STORE_URL=forgetful.url()) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "set appendonly yes" in err
    assert "Traceback" not in err


def test_a_worker_without_keys_is_wrong_use_in_development_too(shop):
    for path in (shop / "keys").iterdir():
        path.unlink()
    with start(shop, [CLI, "worker"], STORE_URL=os.environ["REMINDER_STORE_URL"]) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "reminder-worker keys new worker DIR" in one_line(SimpleNamespace(err=err))


@pytest.mark.parametrize(
    ("name", "warnings"), [("scheduler", ["no_append_only_file"]), ("worker", ["no_append_only_file", "outbox"])]
)
def test_development_starts_with_a_warning_and_ends_well(shop, forgetful, name, warnings):
    with start(shop, [CLI, name], STORE_URL=forgetful.url()) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(json.loads(line))
            if said[-1]["event"] == f"{name}_started":
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert [line["reason"] for line in said if line["event"] == "unsafe"] == warnings


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_a_process_logs_in_the_form_and_from_the_level_that_the_settings_say(shop, forgetful, name):
    def beats(client: store.Client) -> bool:
        return any(one.startswith(name.encode()) for one in client.zrange("rw:{0}:processes", 0, -1))

    with store.connect(forgetful.url()) as client:
        client.flushall()
        said = {"STORE_URL": forgetful.url(), "LOG_FORMAT": "console", "LOG_LEVEL": "warning"}
        with start(shop, [CLI, name], **said) as process:
            until(lambda: beats(client))
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "reason=no_append_only_file" in err
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} warning  \w+ ", line) for line in err.splitlines())


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_letters_shows_the_others(here, encoding):
    words = [sys.executable, "-m", "reminder_worker.cli", "preview"]
    done = subprocess.run(words, env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.decode(encoding)
    assert "Reminder" in said
    assert ("\N{ARABIC LETTER ALEF}" in said) is (encoding == "utf-8")


# What a command loads.


HELP = """
import sys
from reminder_worker import cli
sys.argv[1:] = ["--help"]
try:
    cli.main()
finally:
    print(*sys.modules)
"""
HEAVY = {"dramatiq", "nacl", "babel", "phonenumbers", "twilio", "redis", "pydantic", "msgspec", "rich"}


def test_help_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_an_interrupted_command_ends_with_130(run, shop, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(enqueue, "run", interrupted)
    done = run("enqueue", "-")
    assert (done.code, done.out, done.err) == (130, "", "")


def test_a_lead_of_the_settings_counts(run, shop):
    text = (shop / "reminder-worker.toml").read_text()
    (shop / "reminder-worker.toml").write_text(text.replace("countries", 'leads = ["48h", "2h"]\ncountries'))
    run("enqueue", "-", stdin=practice.lines(practice.fields()))
    assert len(json.loads(run("show", "A-1", "--json").out)) == len([Lead.parse("48h"), Lead.parse("2h")])


@pytest.mark.parametrize("name", ["operating", "support", "backup"])
def test_a_page_of_commands_says_how_they_find_their_settings(name):
    page = (Path(__file__).parents[1] / "docs" / f"{name}.md").read_text("utf-8")
    assert "`reminder-worker.toml` in the folder where they are typed" in page.replace("\n", " ")
    assert "--config" in page.split("\n## ")[0 if name != "backup" else 1]
    assert "export REMINDER_CONFIG=" in page
