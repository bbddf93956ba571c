"""``reminder-worker restore`` and ``optouts``, as operators type them, in processes of their own."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from scripted import PHONE

from reminder_worker import acts, store
from reminder_worker.decisions import waiting
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Entry
from reminder_worker.optouts import EVERYBODY, OptOuts, Tags
from reminder_worker.schedule import Schedule

TAGS = Tags(bytes(range(32)))


class Shell:
    """Runs commands in an empty folder beside a store."""

    def __init__(self, folder: Path, url: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("REMINDER_")}
        self._folder, self._environment = folder, clean | {"REMINDER_STORE_URL": url, "COLUMNS": "200"}

    def __call__(self, *words: object, stdin: int = subprocess.DEVNULL) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "reminder_worker.cli", *map(str, words)]
        return subprocess.run(
            command, cwd=self._folder, env=self._environment, stdin=stdin,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, server: EmbeddedServer) -> Shell:
    return Shell(tmp_path, server.url())


def add(schedule: Schedule, number: int, due: timedelta) -> None:
    schedule.add([Entry(bytes([number]) * 16, bytes(12), b"sealed", (datetime.now(UTC) + due,))])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "then say --quarantine: what may have been sent is held for you to decide"),
        (("--quarantine", "--end"), "--quarantine, --end: one after the other"),
    ],
)
def test_what_it_is_for_is_explained_where_not_one_thing_is_said(run: Shell, words: tuple[str, ...], said: str) -> None:
    done = run("restore", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_where_nobody_can_be_asked_nothing_is_done(run: Shell, schedule: Schedule) -> None:
    add(schedule, 1, timedelta(hours=-1))
    done = run("restore", "--quarantine")
    assert (done.returncode, done.stdout) == (2, "")
    assert waiting(schedule) == []


@pytest.mark.parametrize("typed", [b"\x04", b"\n", b"no\n"])
def test_who_does_not_say_yes_has_not_agreed(run: Shell, schedule: Schedule, typed: bytes) -> None:
    add(schedule, 1, timedelta(hours=-1))
    ours, theirs = os.openpty()
    os.write(ours, typed)
    done = run("restore", "--quarantine", stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("All that is due, queued or being sent becomes unknown")
    assert done.stdout.endswith("nothing was done\n")
    assert waiting(schedule) == []


@pytest.mark.parametrize("words", [("restore", "--quarantine", "--yes"), ("restore", "--end"), ("optouts", "import")])
def test_what_was_done_is_logged_in_the_form_of_the_settings(
    run: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "reminder-worker.toml").write_text('log_format = "console"\n')
    (tmp_path / "copy").write_text(run("optouts", "export").stdout)
    run("restore", "--quarantine", "--yes")
    done = run(*words, *(["copy"] if "import" in words else []))
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert " act=" in done.stderr


def test_it_says_what_was_held_and_what_a_person_has_to_do(run: Shell, schedule: Schedule) -> None:
    add(schedule, 1, timedelta(hours=-1))
    add(schedule, 2, timedelta(hours=1))
    done = run("restore", "--quarantine", "--yes")
    assert done.returncode == 0
    assert "held, as unknown: 1 (1 due, 0 queued, 0 sending, 0 dead letters)" in done.stdout
    assert "wait for a later time, and go out then: 1\n" in done.stdout
    assert "Opt-outs since the backup are LOST here" in done.stdout
    assert json.loads(done.stderr)["act"] == "restore"
    assert [one.reason for one in waiting(schedule)] == ["restored"]
    resolved = run("dead", "resolve", "--reason", "restored", "--as", "sent", "--yes")
    assert resolved.stdout == "sent: 1 done, 0 refused\n"
    assert waiting(schedule) == []


def test_as_json_it_says_the_same(run: Shell, schedule: Schedule) -> None:
    schedule.run("seen", 0, 0)
    add(schedule, 1, timedelta(hours=-1))
    said = json.loads(run("restore", "--quarantine", "--yes", "--json").stdout)
    assert said.keys() == {
        *("until", "newest_sign", "due", "queued", "sending", "dead_letters", "waiting", "held")
    }  # fmt: skip
    assert (said["held"], said["due"], said["waiting"]) == (1, 1, 0)
    assert said["newest_sign"] < said["until"]


def test_while_a_worker_beats_it_is_refused(run: Shell, schedule: Schedule, client: store.Client) -> None:
    add(schedule, 1, timedelta(hours=-1))
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).timestamp() * 1000
    script = "redis.call('ZADD', KEYS[1], ARGV[1] + redis.call('TIME')[2], 'worker/1-a')"  # a beat at every look
    client.zadd("rw:{0}:processes", {"worker/1-a": tomorrow})
    with subprocess.Popen(
        [sys.executable, "-c", _BEATING, script, str(tomorrow), run._environment["REMINDER_STORE_URL"]],
        stdout=subprocess.PIPE,
    ) as beating:
        assert beating.stdout is not None
        assert beating.stdout.readline() == b"beats\n"
        done = run("restore", "--quarantine", "--yes")
        beating.terminate()
    assert done.returncode == 2
    assert done.stderr == (
        "reminder-worker: error: a worker or a scheduler is at work: stop all of them, and run this again\n"
    )
    assert waiting(schedule) == []


_BEATING = """
import sys, time, redis
client = redis.Redis.from_url(sys.argv[3])
while True:
    client.eval(sys.argv[1], 1, 'rw:{0}:processes', sys.argv[2])
    print('beats', flush=True)
    time.sleep(0.1)
"""


def test_the_end_is_said_once(run: Shell, schedule: Schedule) -> None:
    assert run("restore", "--quarantine", "--yes").returncode == 0
    assert schedule.client.pttl("rw:{0}:restored") > 0
    assert run("restore", "--end").stdout == "ended\n"
    assert run("restore", "--end").stdout == "nothing was held back\n"
    assert not schedule.client.exists("rw:{0}:restored")


def test_opt_outs_go_out_and_come_back(run: Shell, schedule: Schedule, tmp_path: Path) -> None:
    OptOuts(schedule, TAGS, []).check()
    OptOuts(schedule, TAGS, []).stop(PHONE)
    written = run("optouts", "export").stdout
    assert PHONE[1:] not in written
    assert len(written.splitlines()) == 2  # what it is, and one phone
    (tmp_path / "optouts.txt").write_text(written)
    schedule.client.delete("rw:{0}:stops")
    assert run("optouts", "import", "optouts.txt").stdout == "1 brought back\n"
    assert run("optouts", "import", "optouts.txt").stdout == "0 brought back\n"
    assert schedule.client.xrange("rw:{0}:stops")[0][1][b"tag"] == TAGS.optout(EVERYBODY, PHONE)
    assert [act.what for act in acts.read(schedule)] == ["optouts", "optouts"]


def test_what_is_no_copy_is_refused_in_one_line_that_repeats_nothing(run: Shell, tmp_path: Path) -> None:
    for content in (b"\xff", b"", b"reminder-worker opt-outs v1\n+33612345678 canary\n"):
        (tmp_path / "optouts.txt").write_bytes(content)
        done = run("optouts", "import", "optouts.txt")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "canary" not in done.stderr
    assert run("optouts", "import", "none").returncode == 2
