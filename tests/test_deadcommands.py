"""``reminder-worker dead`` and ``acts``, as operators type them."""

import io
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import practice
import pytest
from rich.console import Console

from reminder_worker import cli, logs, screen
from reminder_worker.client import Appointment
from reminder_worker.decisions import Kind, Waiting, waiting
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Reason
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import Claim, Entry, Outcome
from reminder_worker.schedule import Schedule

Run = Callable[..., SimpleNamespace]
PAGE = (Path(__file__).parents[1] / "docs" / "support.md").read_text("utf-8")
UNKNOWN = Outcome.final(State.UNKNOWN, Reason.AMBIGUOUS, FailureClass.TECHNICAL)
RETRY_WHAT = "dead retry: name what to retry, or say --reason, or --all, which is for dead letters only"
END = "\x04"  # of what is typed: Ctrl-D
FIELDS = {"id", "kind", "reason", "since", "provider", "tries", "attempts", "due", "asked", "can_retry"}


@pytest.fixture
def logged() -> Iterator[None]:
    """Put back what a command makes of the logs."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    before = root.handlers[:], root.level, ours.level, logging.raiseExceptions
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    logging.captureWarnings(False)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    root.handlers[:], logging.raiseExceptions = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.fixture
def run(
    tmp_path: Path,
    server: EmbeddedServer,
    schedule: Schedule,
    logged: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run a command in this process, in an empty folder, beside an empty store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REMINDER_STORE_URL", server.url())
    monkeypatch.setattr(screen, "console", Console(width=300, highlight=False, markup=False, emoji=False))

    def run_one(*words: object, says: str | None = None) -> SimpleNamespace:
        """``says``: at a terminal, and what somebody answers there."""
        stdin = io.StringIO("" if says in {None, END} else f"{says}\n")
        monkeypatch.setattr(stdin, "isatty", lambda: says is not None)
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "argv", ["reminder-worker", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return SimpleNamespace(code=ended.value.code or 0, **capfd.readouterr()._asdict())

    return run_one


def dead_letter(schedule: Schedule, number: int = 1) -> Waiting:
    member = bytes([number]) * 16 + b"\x00"
    claimed(schedule, number)
    schedule.client.zrem(schedule.prefix(0) + b"live", member)
    schedule.client.zadd(schedule.prefix(0) + b"dead", {member: 1_800_000_000_000 + number})
    row = {"state": "failed", "reason": "poison", "class": "technical"}
    schedule.client.hset(schedule.prefix(0) + b"r:" + member, mapping=row)
    return of(schedule, member)


def unknown(schedule: Schedule, number: int = 2, *later: timedelta) -> Waiting:
    claim = claimed(schedule, number, *later)
    schedule.intend(claim, "twilio", f"ref-{number}", lease=timedelta(seconds=15))
    schedule.settle(claim.wake, UNKNOWN, reference=f"ref-{number}")
    return of(schedule, claim.wake.member)


def claimed(schedule: Schedule, number: int, *later: timedelta) -> Claim:
    dues = [schedule.now() - timedelta(seconds=1), *(schedule.now() + span for span in later)]
    schedule.add([Entry(bytes([number]) * 16, bytes([number]) * 12, b"envelope", tuple(dues))])
    (wake,) = schedule.take(0, capacity=10**6).wakes
    claim = schedule.claim(wake)
    assert isinstance(claim, Claim)
    return claim


def of(schedule: Schedule, member: bytes) -> Waiting:
    return next(one for one in waiting(schedule) if one.member == member)


def state(schedule: Schedule, one: Waiting) -> tuple[str, str | None]:
    found = schedule.show(one.member[:16])[0]
    return found.state, found.reason


# What is shown.


def test_what_waits_is_a_row_each_and_nothing_is_said_so(run: Run, schedule: Schedule) -> None:
    assert run("dead", "list").out == "nothing waits for a decision\n"
    dead, doubted = dead_letter(schedule), unknown(schedule)
    shown = [" ".join(line.split()) for line in run("dead", "list").out.splitlines()]
    assert any(re.fullmatch(rf"{dead.name} dead_letter poison 20\S+ \S+Z 0 yes", line) for line in shown)
    assert any(re.fullmatch(rf"{doubted.name} unknown ambiguous 20\S+ \S+Z twilio 0 no", line) for line in shown)


def test_as_json_each_has_stable_names_that_are_documented(run: Run, schedule: Schedule) -> None:
    dead_letter(schedule)
    doubted = unknown(schedule)
    found = json.loads(run("dead", "list", "--json").out)
    assert [set(one) for one in found] == [FIELDS, FIELDS]
    assert json.loads(run("dead", "show", doubted.name, "--json").out) in found
    assert set(re.findall(r"`([a-z_]+)`", PAGE.partition("With `--json`")[2].partition("- **`retry`**")[0])) >= FIELDS


def test_of_one_it_is_said_what_it_means_and_what_to_do(run: Run, schedule: Schedule) -> None:
    dead, doubted = dead_letter(schedule), unknown(schedule)
    assert "First see why workers die" in run("dead", "show", dead.name).out
    shown = run("dead", "show", doubted.name).out
    assert "calls to providers: 1, the last to twilio at 20" in shown
    assert "dead resolve --as sent" in shown


def test_what_stands_for_a_reminder_in_the_store_is_not_shown(run: Run, schedule: Schedule) -> None:
    dead = dead_letter(schedule)
    for words in (("list",), ("list", "--json"), ("show", dead.name), ("show", dead.name, "--json")):
        out = run("dead", *words).out
        assert dead.member.hex()[:12] not in out
        assert "member" not in out


# What is decided.


def test_a_dead_letter_goes_back_to_the_schedule(run: Run, schedule: Schedule) -> None:
    dead = dead_letter(schedule)
    done = run("dead", "retry", dead.name, "--yes")
    assert (done.code, done.out) == (0, "retry: 1 done, 0 refused\n")
    assert state(schedule, dead) == ("scheduled", None)


def test_all_are_dead_letters_and_nothing_that_is_unknown(run: Run, schedule: Schedule) -> None:
    dead = [dead_letter(schedule, number) for number in (1, 3)]
    doubted = unknown(schedule, 2, timedelta(days=1))
    assert run("dead", "retry", "--all", "--yes").out == "retry: 2 done, 0 refused\n"
    assert [state(schedule, one)[0] for one in dead] == ["scheduled", "scheduled"]
    assert waiting(schedule) == [doubted]
    nothing = "nothing of that waits; see reminder-worker dead list\n"  # though something else may, for another reason
    assert run("dead", "retry", "--all", "--yes").out == nothing
    assert run("dead", "drop", "--reason", "restord", "--yes").out == nothing


def test_what_is_unknown_needs_to_be_said_to_arrive_twice_perhaps(run: Run, schedule: Schedule) -> None:
    doubted = unknown(schedule, 2, timedelta(days=1))
    done = run("dead", "retry", doubted.name, "--yes")
    assert (done.code, done.out) == (1, "retry: 0 done, 1 refused\n")
    assert done.err == (
        f"{doubted.name}: a provider may have accepted it, so a second text may arrive: dead resolve it, or "
        "dead retry --although-it-may-arrive-twice\n"
    )
    assert run("dead", "retry", doubted.name, "--although-it-may-arrive-twice", "--yes").code == 0
    assert state(schedule, doubted) == ("scheduled", None)


def test_without_an_envelope_there_is_nothing_to_send(run: Run, schedule: Schedule) -> None:
    doubted = unknown(schedule)
    done = run("dead", "retry", doubted.name, "--although-it-may-arrive-twice", "--yes")
    assert (done.code, "its envelope was deleted" in done.err) == (1, True)


def test_one_is_dropped_and_one_resolved(run: Run, schedule: Schedule) -> None:
    dead, doubted = dead_letter(schedule), unknown(schedule)
    assert run("dead", "drop", dead.name, "--yes").code == 0
    assert run("dead", "resolve", doubted.name, "--as", "sent", "--yes").code == 0
    assert [state(schedule, one) for one in (dead, doubted)] == [("failed", "dropped"), ("sent", "resolved")]


def test_a_dead_letter_is_not_resolved_and_what_can_be_done_is(run: Run, schedule: Schedule) -> None:
    dead, doubted = dead_letter(schedule), unknown(schedule)
    done = run("dead", "resolve", dead.name, doubted.name, "--as", "failed", "--yes")
    assert (done.code, done.out) == (1, "failed: 1 done, 1 refused\n")
    assert "it was surely not accepted" in done.err
    assert waiting(schedule) == [dead]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("retry",), RETRY_WHAT),
        (("retry", "x-0", "--all"), RETRY_WHAT),
        (
            ("retry", "--all", "--although-it-may-arrive-twice"),
            RETRY_WHAT,
        ),
        (("retry", "x-0", "--reason", "poison"), RETRY_WHAT),
        (("drop",), "name what is meant, or say --reason; see reminder-worker dead list"),
        (("drop", "qpvuntsmwlqt-0"), "ID 1: does not wait; see reminder-worker dead list"),
        (
            ("drop", "+33612345678"),
            "ID 1: is no id, which is twelve letters, a hyphen and a number; see reminder-worker dead list",
        ),
        (
            ("show", "foo"),
            "ID 1: is no id, which is twelve letters, a hyphen and a number; see reminder-worker dead list",
        ),
        (("resolve", "x-0", "--as", "delivered"), "--as: sent or failed"),
    ],
)
def test_wrong_use_is_one_line_that_repeats_nothing(run: Run, words: tuple[str, ...], error: str) -> None:
    done = run("dead", *words)
    assert (done.code, done.out, done.err) == (2, "", f"reminder-worker: error: {error}\n")


def test_of_two_with_one_name_none_is_meant(run: Run, schedule: Schedule) -> None:
    for end in (1, 2):
        member = bytes(6) + bytes([end]) * 10 + b"\x00"
        schedule.client.zadd(schedule.prefix(0) + b"dead", {member: 1})
        schedule.client.hset(schedule.prefix(0) + b"r:" + member, mapping={"state": "failed", "reason": "poison"})
    done = run("dead", "drop", "zzzzzzzzzzzz-0", "--yes")
    assert (done.code, "two that wait" in done.err) == (2, True)
    assert len(waiting(schedule)) == 2


# Somebody is asked.


@pytest.mark.parametrize("answer", ["", "n", "no", "x"])
def test_nothing_is_done_that_nobody_agreed_to(run: Run, schedule: Schedule, answer: str) -> None:
    dead, doubted = dead_letter(schedule), unknown(schedule)
    for words in (("retry", dead.name), ("drop", dead.name), ("resolve", doubted.name, "--as", "sent")):
        done = run("dead", *words, says=answer)
        assert (done.code, done.out.endswith("Go on? [y/N] nothing was done\n")) == (1, True)
    assert len(waiting(schedule)) == 2
    assert json.loads(run("acts", "--json").out) == []


def test_who_ends_what_they_type_has_not_agreed(run: Run, schedule: Schedule) -> None:
    dead = dead_letter(schedule)
    done = run("dead", "drop", dead.name, says=END)
    assert (done.code, done.err) == (1, "")
    assert done.out.endswith("Go on? [y/N] \nnothing was done\n")
    assert waiting(schedule) == [dead]


def test_what_is_asked_names_what_it_is_about_and_a_yes_is_enough(run: Run, schedule: Schedule) -> None:
    for number in range(1, 14):
        dead_letter(schedule, number)
    done = run("dead", "retry", "--all", says="Y")
    assert done.out.startswith("retry: zyzyzyzyzyzy-0, ")
    assert "-0 and 3 more. Go on? [y/N] " in done.out
    assert done.out.endswith("retry: 13 done, 0 refused\n")


def test_where_nobody_can_be_asked_it_has_to_be_said_beforehand(run: Run, schedule: Schedule) -> None:
    dead = dead_letter(schedule)
    done = run("dead", "drop", dead.name)
    assert (done.code, done.err.startswith("reminder-worker: error: --yes: ")) == (2, True)
    assert waiting(schedule) == [dead]


# What is noted.


def test_what_was_done_is_listed_and_logged(run: Run, schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    assert run("acts").out == "nothing was done by hand\n"
    dead = dead_letter(schedule)
    (line,) = run("dead", "drop", dead.name, "--yes").err.splitlines()
    said = json.loads(line)
    assert [said[name] for name in ("event", "act", "state", "reminder", "sudo_user")] == [
        "act", "drop", Kind.DEAD_LETTER, dead.name, "alice",
    ]  # fmt: skip
    (act,) = json.loads(run("acts", "--json").out)
    assert act.keys() == {"at", "what", "result", "reminder", "user", "sudo_user"}
    assert (act["what"], act["reminder"], act["sudo_user"]) == ("drop", dead.name, "alice")
    assert re.search(rf"20\S+ \S+Z +drop +dead_letter +{dead.name} +\S+ +alice", run("acts").out)


def test_the_page_names_each_reason_that_can_wait_and_each_field_of_an_act() -> None:
    table = PAGE.partition("Two kinds wait:")[2].partition("```")[0]
    head, *rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", table, re.MULTILINE)
    assert [head, *rows] == [
        ("kind", "reason"),
        (Kind.DEAD_LETTER, Reason.POISON),
        (Kind.UNKNOWN, Reason.AMBIGUOUS),
        (Kind.UNKNOWN, Reason.RESTORED),
    ]
    words = set(re.findall(r"`([a-z_]+)`", PAGE.partition("## What was done by hand")[2]))
    assert {"at", "what", "result", "reminder", "user", "sudo_user"} <= words


def test_a_machine_that_reaches_a_gateway_only_says_so(run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("REMINDER_STORE_URL")
    (tmp_path / "reminder-worker.toml").write_text(
        '[gateway]\nurl = "https://gateway.example"\nkey_file = "clinic.apikey"\nplatform = "clinic"\n'
        'root = "' + "A" * 43 + '"\n'
    )
    for words in (("dead", "list"), ("acts",)):
        done = run(*words)
        assert (done.code, "this machine reaches a gateway only" in done.err) == (2, True)


def test_the_store_that_is_away_is_said_in_one_line(run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("REMINDER_STORE_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr("reminder_worker.store.Retry", lambda *_: None)
    done = run("dead", "list")
    assert (done.code, done.err.startswith("reminder-worker: error: the store did not answer")) == (1, True)


def test_nothing_of_a_real_appointment_is_shown(run: Run, schedule: Schedule) -> None:
    """The client's own way in, so that ids, tickets and envelopes are real."""
    client = practice.make(schedule, Path("keys"))
    record = practice.due_now()
    client.add([Appointment.parse(record)])
    practice.send(schedule, finish=False)
    (member,) = schedule.client.zrange(schedule.prefix(0) + b"open", 0, -1)
    (claim,) = [one for one in client.show("A-1") if one.state is State.SENDING]
    assert claim.attempts == 1
    schedule.run("settle", 0, member, b"", "ref-1", "unknown", "ambiguous", "technical", "", 0, 0, schedule.keep_ms, -1)
    out = run("dead", "list", "--json").out + run("dead", "list").out
    for fact in ("clinic", "A-1", "Lilas", "33612345678", record["time"][:16]):
        assert fact not in out
