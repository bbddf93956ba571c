"""The commands under ``locations``: what a person is shown and asked, what is signed, and what a phone shows then."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import practice
import pytest
from rich.console import Console

from reminder_worker import catalogue, cli, disclosure, keys, screen, settings
from reminder_worker.client.chosen import choose
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import Refused, SettingsError
from reminder_worker.gateway import GatewayKeys
from reminder_worker.reviewing import Desk
from reminder_worker.sealing import PlatformKeys

SETTINGS = """
[platforms.clinic]
verify_key = "keys/clinic.pub"
countries = ["FR"]
locations = "catalogue"
locations_file = "clinic.places"

[providers.outbox]
path = "outbox.jsonl"
"""
LILAS = "12 rue des Lilas"
BACK = "Clinique du Dos"
RULE = disclosure.find(BACK).rule
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("REMINDER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    practice.make_keys(tmp_path / "keys")
    (tmp_path / "reminder-worker.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command under ``locations``, with what somebody types."""
    monkeypatch.setattr(screen, "console", Console(width=300, highlight=False, markup=False, emoji=False))

    def run_one(*words: object, typed: str = "") -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["reminder-worker", "locations", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return SimpleNamespace(code=ended.value.code or 0, **capfd.readouterr()._asdict())

    return run_one


def kept(here: Path) -> dict[str, tuple[str, str]]:
    """Return who reviewed each place and although what, as whoever holds the public key reads it."""
    key = catalogue.verify_key(here / "keys" / "clinic.pub")
    known = catalogue.load(here / "clinic.places", "clinic", key)
    return {place.label: (place.reviewer, place.although) for place in known.places}


# Proposing.


def test_what_is_proposed_waits_for_review(run: Run, here: Path) -> None:
    done = run("add", LILAS, "4  rue Neuve ")
    assert (done.code, done.out) == (0, "2 added, 0 there already, 0 refused; 2 wait for review\n")
    assert kept(here) == {LILAS: ("", ""), "4 rue Neuve": ("", "")}
    assert (here / "clinic.places").stat().st_mode & 0o777 == 0o600


def test_a_file_of_labels_is_proposed_and_bad_lines_are_named(run: Run, here: Path) -> None:
    (here / "labels").write_text(f"{LILAS}\n\nwww.clinic.example\n{'y' * 71}\n{LILAS}\nEntrée oncologie\n")
    done = run("add", "--file", "labels")
    assert (done.code, done.out) == (1, "2 added, 1 there already, 2 refused; 2 wait for review\n")
    assert done.err.splitlines() == [
        "line 3: location_discloses: location: breaks link, which nobody can accept",
        "line 4: location_too_long: location: must not be longer than 70 characters",
    ]
    assert list(kept(here)) == [LILAS, "Entrée oncologie"]


def test_to_add_nothing_is_wrong_use(run: Run) -> None:
    assert (run("add").code, run("add", "--file", "none").code) == (2, 2)


# Reviewing.


def test_a_person_is_shown_each_place_with_the_lint_s_finding_and_says_yes_or_no(run: Run, here: Path) -> None:
    run("add", LILAS, BACK, "Hôpital Nord", "4 rue Neuve")
    done = run("review", "--by", "m.durand", typed="y\ny\nn\nperhaps\n\n")
    assert done.code == 0
    said = [line.strip() for line in done.out.splitlines() if line.strip()]
    assert said[0] == f"1 of 4: {LILAS}"
    assert said[1] == "the lint finds nothing"
    assert f"the lint: refuse, {RULE}" in done.out
    assert f"not accepted: location: is refused by {RULE}; leave it out, or accept it with --although" in done.out
    assert "the lint: warn, fr/C/hôpital" in done.out
    assert done.out.endswith("2 wait for review\n")
    assert kept(here) == {LILAS: ("m.durand", ""), BACK: ("", ""), "4 rue Neuve": ("", "")}


def test_a_review_that_is_broken_off_keeps_what_was_said(run: Run, here: Path) -> None:
    run("add", LILAS, "4 rue Neuve")
    for typed, wait in (("q\n", 2), ("y\n", 1)):  # the second time nobody answers any more
        assert run("review", "--by", "m.durand", typed=typed).out.endswith(f"{wait} wait for review\n")
    assert kept(here) == {LILAS: ("m.durand", ""), "4 rue Neuve": ("", "")}


def test_a_review_without_questions(run: Run, here: Path) -> None:
    run("add", LILAS, "4 rue Neuve", "5 rue Neuve")
    done = run("review", "--accept", LILAS, "--accept", "4 rue  Neuve", "--reject", "5 rue Neuve", "--by", "m.durand")
    assert (done.code, done.out) == (0, "2 accepted, 1 taken out; 0 wait for review\n")
    assert kept(here) == {LILAS: ("m.durand", ""), "4 rue Neuve": ("m.durand", "")}


def test_a_place_that_discloses_is_let_in_by_naming_the_rule_and_that_is_recorded(run: Run, here: Path) -> None:
    run("add", BACK)
    for words in ([], ["--although", "fr/B/another"]):
        done = run("review", "--accept", BACK, "--by", "m.durand", *words)
        assert (done.code, kept(here)) == (1, {BACK: ("", "")})
        assert RULE in done.err
        assert BACK not in done.err
    assert run("review", "--accept", BACK, "--although", RULE, "--by", "m.durand").code == 0
    assert kept(here) == {BACK: ("m.durand", RULE)}


def test_a_place_that_the_lint_of_today_refuses_is_asked_for_again(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", LILAS)
    run("review", "--accept", LILAS, "--by", "m.durand")
    today = disclosure.Finding("fr/B/lilas", disclosure.Severity.REFUSE)
    monkeypatch.setattr(disclosure, "discloses", lambda text: True)
    monkeypatch.setattr(disclosure, "find", lambda text: today)
    assert json.loads(run("list", "--json").out)[0]["state"] == "refused"
    assert run("review", "--although", today.rule, "--by", "m.durand", typed="y\n").out.endswith("0 wait for review\n")
    assert kept(here) == {LILAS: ("m.durand", "fr/B/lilas")}


def test_a_name_that_the_platform_denies_is_neither_proposed_nor_let_in(run: Run, here: Path) -> None:
    run("add", LILAS)
    denying = SETTINGS.replace("countries", 'deny = ["Lilas"]\ncountries')
    (here / "reminder-worker.toml").write_text(denying)
    for words in (["add", "3 rue des Lilas"], ["review", "--accept", LILAS, "--by", "m.durand"]):
        done = run(*words)
        assert done.code == 1
        assert "`deny`" in done.err + done.out
        assert "Lilas" not in done.err + done.out
    assert kept(here) == {LILAS: ("", "")}


def test_what_breaks_the_shape_is_not_let_in_although_it_was_proposed_elsewhere(run: Run, here: Path) -> None:
    signing = PlatformKeys.load(here / "keys" / "clinic.key").signing
    made = catalogue.Catalogue("clinic", 1, (catalogue.Place("www.clinic.example"),))
    catalogue.save(made, here / "clinic.places", signing)
    done = run("review", "--accept", "www.clinic.example", "--although", "link", "--by", "m.durand")
    assert (done.code, kept(here)) == (1, {"www.clinic.example": ("", "")})
    assert "breaks link, which nobody can accept" in done.err


@pytest.mark.parametrize("words", [["--accept", "4 rue Neuve"], ["--reject", "4 rue Neuve"]])
def test_a_place_that_is_not_there_is_wrong_use_and_not_repeated(run: Run, words: list[str]) -> None:
    run("add", LILAS)
    done = run("review", *words, "--by", "m.durand")
    assert done.code == 2
    assert "LABEL: is not in the catalogue" in done.err
    assert "Neuve" not in done.err


@pytest.mark.parametrize("name", ["m\tdurand", " x", "x" * 41, "x\ny"])
def test_who_reviewed_has_a_name(run: Run, here: Path, name: str) -> None:
    run("add", LILAS)
    assert run("review", "--accept", LILAS, "--by", name).code == 2
    assert kept(here) == {LILAS: ("", "")}


def test_who_reviewed_is_the_account_unless_somebody_else_is_named(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "desk2")
    run("add", LILAS)
    run("review", "--accept", LILAS)
    assert kept(here) == {LILAS: ("desk2", "")}


# Showing, taking out.


def test_all_places_are_listed_with_who_let_them_in(run: Run) -> None:
    run("add", LILAS, "4 rue Neuve")
    run("review", "--accept", LILAS, "--by", "m.durand")
    first, second = json.loads(run("list", "--json").out)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    assert first == {"label": LILAS, "reviewer": "m.durand", "date": day, "although": "", "state": "shown"}
    assert second == {"label": "4 rue Neuve", "reviewer": "", "date": "", "although": "", "state": "waiting"}
    shown = run("list").out
    assert all(word in shown for word in (LILAS, "m.durand", "waiting"))


def test_an_empty_catalogue_says_so(run: Run, here: Path) -> None:
    assert run("list").out == "no places\n"
    assert not (here / "clinic.places").exists()


def test_places_are_taken_out_all_or_none(run: Run, here: Path) -> None:
    run("add", LILAS, "4 rue Neuve")
    assert run("remove", LILAS, "5 rue Neuve").code == 2
    assert list(kept(here)) == [LILAS, "4 rue Neuve"]
    assert run("remove", LILAS).out == "1 taken out\n"
    assert list(kept(here)) == ["4 rue Neuve"]


def test_what_somebody_took_out_during_a_review_does_not_come_back(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", LILAS, "4 rue Neuve")

    def answer(*_: object) -> str:
        with contextlib.suppress(SettingsError):
            desk = Desk.open(settings.read(), "clinic")
            desk.remove(["4 rue Neuve"])
            desk.save()
        return "y"

    monkeypatch.setattr("builtins.input", answer)
    done = run("review", "--by", "m.durand")
    assert done.code == 2
    assert "was changed by somebody else meanwhile" in done.err
    assert kept(here) == {LILAS: ("", "")}


def test_each_change_is_newer_than_the_one_before(run: Run, here: Path) -> None:
    sequences = []
    for number in range(3):
        run("add", f"{number} rue Neuve")
        sequences.append(int((here / "clinic.places").read_text().splitlines()[2].removeprefix("sequence ")))
    assert sequences == sorted(set(sequences))


# Whose it is.


def test_a_catalogue_that_another_key_signed_is_not_added_to(run: Run, here: Path) -> None:
    keys.new_platform("other", here / "keys")
    stranger = PlatformKeys.load(here / "keys" / "other.key").signing
    catalogue.save(catalogue.Catalogue("clinic", 1, ()), here / "clinic.places", stranger)
    before = (here / "clinic.places").read_bytes()
    done = run("add", LILAS)
    assert (done.code, (here / "clinic.places").read_bytes()) == (2, before)
    assert "is damaged, or not signed by clinic" in done.err


def test_for_a_platform_without_keys_the_gateway_signs(run: Run, here: Path) -> None:
    (here / "keys" / "clinic.key").unlink()
    keys.new_gateway(here / "keys")
    run("add", LILAS)
    key = bytes(GatewayKeys.load(here / "keys").live.verify_key)
    assert key == catalogue.verify_key(here / "keys" / "gateway.pub")
    assert [place.label for place in catalogue.load(here / "clinic.places", "clinic", key).places] == [LILAS]


def test_a_platform_without_a_file_is_told_which_setting_to_write(run: Run, here: Path) -> None:
    (here / "reminder-worker.toml").write_text('[platforms.clinic]\nverify_key = "keys/clinic.pub"\n')
    done = run("list")
    assert done.code == 2
    assert "platforms.clinic.locations_file: say where the catalogue is kept" in done.err


def test_what_the_command_line_hands_in_is_looked_up(
    run: Run, here: Path, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", LILAS, "4 rue Neuve")
    run("review", "--accept", LILAS, "--by", "m.durand")
    monkeypatch.setenv("REMINDER_STORE_URL", server.url())
    client = choose(settings.read(), None)
    client.check_place(LILAS)
    with pytest.raises(Refused, match="is not on the list of reviewed places"):
        client.check_place("4 rue Neuve")


# From the review to the phone, by real processes.


class Installation:
    """Real processes in a folder, and what their outbox holds."""

    def __init__(self, folder: Path, server: EmbeddedServer) -> None:
        self.folder = folder
        self.environment = os.environ | {"REMINDER_STORE_URL": server.url()}

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "reminder_worker.cli", *words],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    @contextlib.contextmanager
    def processes(self) -> Iterator[None]:
        with (self.folder / "log").open("ab") as log:
            running = [
                subprocess.Popen(
                    [sys.executable, "-m", "reminder_worker.cli", name],
                    cwd=self.folder, env=self.environment, stdout=log, stderr=log,
                )
                for name in ("scheduler", "worker")
            ]  # fmt: skip
            try:
                yield
            finally:
                for process in running:
                    process.terminate()
                for process in running:
                    process.wait(60)

    def hand_in(self, reference: str) -> None:
        record = practice.fields(reference, location=LILAS, time=practice.ahead(hours=2), leads=["3h"])
        (self.folder / "a.jsonl").write_bytes(practice.lines(record))
        done = self.command("enqueue", "a.jsonl")
        assert done.stdout == "1 added\n", done.stderr

    def texts(self, number: int) -> list[str]:
        """Wait for so many texts."""
        outbox, until = self.folder / "outbox.jsonl", time.monotonic() + 90
        while True:
            lines = outbox.read_text().splitlines() if outbox.exists() else []
            if len(lines) >= number or time.monotonic() > until:
                return [json.loads(line)["text"] for line in lines]
            time.sleep(0.05)


def test_what_was_reviewed_reaches_the_phone_until_it_is_taken_out(here: Path, server: EmbeddedServer, client) -> None:
    installation = Installation(here, server)
    assert installation.command("locations", "add", LILAS).returncode == 0
    assert installation.command("locations", "review", "--accept", LILAS, "--by", "m.durand").returncode == 0
    with installation.processes():
        installation.hand_in("A-1")
        (first,) = installation.texts(1)
        assert LILAS in first
        signed = (here / "clinic.places").read_bytes()
        (here / "lint.toml").write_text(SETTINGS.replace('locations = "catalogue"', ""))
        for number, spoiled in enumerate((signed.replace(b"m.durand", b"n.durand"), b""), 2):
            (here / "clinic.places").write_bytes(spoiled)
            record = practice.fields(f"A-{number}", location=LILAS, time=practice.ahead(hours=2), leads=["3h"])
            (here / "a.jsonl").write_bytes(practice.lines(record))
            assert "catalogue_unusable" in installation.command("enqueue", "a.jsonl").stderr
            handed_in = installation.command("enqueue", "a.jsonl", "--config", "lint.toml")  # a client that looks away
            assert handed_in.stdout == "1 added\n"
            assert "Lilas" not in installation.texts(number)[-1]
    said = (here / "log").read_text()
    assert '"catalogue_unusable"' in said
    assert "Lilas" not in said
