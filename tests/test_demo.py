import contextlib
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import practice
import pytest

from reminder_worker import demo, disclosure, keys, numbers, sealing, settings, store
from reminder_worker.drafting import Templates
from reminder_worker.embedded import EmbeddedServer

EXAMPLES = demo._examples()
COLUMNS = "the booking platform knew", "the Redis operator saw", "the patient's phone showed"


# The examples.


def test_there_are_enough_examples_and_no_two_share_a_reference_or_a_phone():
    assert len(EXAMPLES) >= 40
    for field in ("reference", "phone"):
        assert len({line[field] for line in EXAMPLES}) == len(EXAMPLES)


def test_every_language_that_there_is_a_template_for_is_shown():
    templates = Templates.load()
    assert len(templates.languages) >= 12
    assert {line["language"].partition("-")[0] for line in EXAMPLES} >= set(templates.languages)
    assert all(templates.speaks(line["language"]) for line in EXAMPLES)


@pytest.mark.parametrize("line", EXAMPLES, ids=lambda line: line["reference"])
def test_an_example_is_one_that_a_platform_would_hand_in(line):
    assert disclosure.find(line["location"]) is None
    assert numbers.normalise(line["phone"]) == line["phone"]
    assert line["reason"].strip()
    assert line["name"].strip()
    assert demo._book(line, 0).appointment.location == line["location"]


def test_most_reasons_would_be_refused_as_a_place():
    assert sum(disclosure.discloses(line["reason"]) for line in EXAMPLES) > len(EXAMPLES) / 2


# The whole thing, once.


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> SimpleNamespace:
    """Run the demo as a person would, with settings around that are not its own."""
    place = tmp_path_factory.mktemp("d")
    (place / "reminder-worker.toml").write_text('profile = "production"\n')
    others = {"REMINDER_PROFILE": "production", "REMINDER_STORE_URL": "redis://127.0.0.1:1/0", "REMINDER_KEYS": "none"}
    environment = os.environ | others | {"TMPDIR": str(place), "COLUMNS": "600"}
    command = [sys.executable, "-m", "reminder_worker.cli", "demo", "--keep"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, timeout=100, check=False)
    [folder] = place.glob("reminder-worker-demo-*")
    return SimpleNamespace(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode(), folder=folder)


def rows(shown: SimpleNamespace) -> list[list[str]]:
    """Cut the table into its cells."""
    return [
        re.split(r" {2,}", line.strip(), maxsplit=2) for line in shown.out.splitlines() if re.match(r" *A-\d+ ", line)
    ]


def test_the_demo_ends_well_and_sends_everything(shown):
    assert (shown.code, shown.err) == (0, "")
    assert f"{len(EXAMPLES)} of {len(EXAMPLES)} reminders sent." in shown.out
    assert [row[0].split()[0] for row in rows(shown)] == [line["reference"] for line in EXAMPLES]
    assert all(row[1].endswith(", sent") for row in rows(shown))


def test_every_row_says_who_learned_what(shown):
    header = next(line for line in shown.out.splitlines() if COLUMNS[0] in line)
    assert re.split(r" {2,}", header.strip()) == list(COLUMNS)
    for line, (knew, saw, text) in zip(EXAMPLES, rows(shown), strict=True):
        assert knew.endswith(f"{line['location']}: {line['reason']}")
        assert line["name"] in knew
        assert re.fullmatch(r"[0-9a-f]{12}… due (\d\d:\d\d:\d\dZ|taken), \d+ bytes [0-9a-f]{16}…, sent", saw)
        assert text  # of those that are written from right to left the place has a line of its own


def test_a_reason_and_a_name_stand_in_the_first_column_only(shown):
    for line, (_, saw, text) in zip(EXAMPLES, rows(shown), strict=True):
        for secret in (line["reason"], line["name"], line["name"].split()[-1]):
            assert secret not in saw + text


def test_nothing_leaked_into_the_store(shown):
    assert "0 phone numbers, 0 places, 0 names, 0 reasons." in shown.out


def test_no_reason_and_no_name_is_in_any_file_and_a_number_only_in_the_outbox(shown):
    files = {path.name: path.read_bytes() for path in shown.folder.rglob("*") if path.is_file()}
    assert {"outbox.jsonl", "log.jsonl", "gateway.key", "reminder-worker.toml"} <= files.keys()
    for name, data in files.items():
        for line in EXAMPLES:
            assert line["reason"].encode() not in data
            assert line["name"].encode() not in data
            assert name == "outbox.jsonl" or line["phone"].removeprefix("+").encode() not in data
            assert name == "outbox.jsonl" or line["location"].encode() not in data


def test_a_kept_folder_holds_each_text_once(shown):
    assert f"kept in {shown.folder}" in shown.out
    texts = [json.loads(line) for line in (shown.folder / "outbox.jsonl").read_text("utf-8").splitlines()]
    assert sorted(text["to"] for text in texts) == sorted(line["phone"] for line in EXAMPLES)
    assert {text["segments"] for text in texts} <= {1, 2}


def test_no_process_and_no_socket_is_left_behind(shown):
    if not Path("/proc/net/unix").exists():
        pytest.skip("there is no /proc here")
    name = shown.folder.name.encode()
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            commands += [(process / "cmdline").read_bytes(), (process / "environ").read_bytes()]
    assert commands
    assert not any(name in command for command in commands)
    assert name not in Path("/proc/net/unix").read_bytes()


# What becomes of it where something goes wrong.


@pytest.fixture
def idle(monkeypatch, tmp_path_factory) -> Path:
    """Let the demo play without a scheduler and a worker, and without patience."""
    place = tmp_path_factory.mktemp("i")
    monkeypatch.setattr(demo, "PROCESSES", ("web",))
    monkeypatch.setattr(demo, "DEADLINE", 0.0)
    monkeypatch.setattr(demo.tempfile, "tempdir", str(place))
    return place


@pytest.mark.parametrize("keep", [True, False])
def test_a_demo_that_sends_nothing_ends_badly(idle, capfd, keep):
    assert demo.run(keep=keep) == 1
    assert f"0 of {len(EXAMPLES)} reminders sent." in capfd.readouterr().out
    assert len(list(idle.glob("reminder-worker-demo-*"))) == keep


def test_a_folder_is_not_left_behind_when_the_demo_breaks(idle, monkeypatch):
    monkeypatch.setattr(demo, "_examples", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        demo.run(keep=False)
    assert list(idle.iterdir()) == []


def test_what_leaks_is_counted(idle, monkeypatch):
    bookings = [demo._book(line, number) for number, line in enumerate(EXAMPLES[:3])]
    found = []

    def play(folder: Path, server: EmbeddedServer) -> int:
        client = store.connect(server.url())
        client.set("opaque", "00ff")
        found.append(demo._search(client, folder / "other", bookings))
        numbers = {line["reference"]: line["phone"] for line in EXAMPLES[:3]}
        client.hset("x", mapping=numbers)  # alike, and so compressed where that is not switched off
        found.append(demo._search(client, folder / "other", bookings))
        client.set(EXAMPLES[2]["name"], 1)
        (folder / "deep").mkdir()
        (folder / "deep" / "log").write_text(f"({EXAMPLES[0]['reason']})", "utf-8")
        (folder / "dump").write_bytes(b"\0" + EXAMPLES[1]["location"].encode() + b"\xff")
        found.append(demo._search(client, folder, bookings))
        client.close()
        return 0

    monkeypatch.setattr(demo, "_play", play)
    assert demo.run(keep=False) == 0
    assert found == [
        "0 phone numbers, 0 places, 0 names, 0 reasons.",
        "3 phone numbers, 0 places, 0 names, 0 reasons.",
        "3 phone numbers, 1 places, 1 names, 1 reasons.",
    ]


def test_the_operator_s_column_holds_nothing_but_what_is_stored(schedule, tmp_path):
    folder = tmp_path / "keys"
    clinic = practice.make(schedule, folder, leads=[])
    booking = demo._book(EXAMPLES[0], 5)
    clinic.add([booking.appointment])
    id_ = sealing.make_id(sealing.PlatformKeys.load(folder / "clinic.key"), booking.appointment.reference)
    saw = demo._as_stored(schedule.client, id_)
    assert saw.startswith(id_.hex()[:12])
    assert re.search(r"due \d\d:\d\d:\d\dZ, \d+ bytes", saw)


def test_the_demo_s_own_settings_are_good_ones(tmp_path, monkeypatch):
    for name in os.environ:
        if name.startswith(settings.PREFIX):
            monkeypatch.delenv(name)
    keys.new_worker(tmp_path / "keys", datetime.now(UTC))
    path = tmp_path / "reminder-worker.toml"
    path.write_text(demo.SETTINGS.format(store="redis://127.0.0.1:1/0", folder=tmp_path))
    assert not settings.read(path).production
