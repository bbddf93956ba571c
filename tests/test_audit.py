"""The audit finds what it is there for: in the program as it stands nothing, and each of the leaks in ``leaks.py``.

Leaks that do not touch each other are planted together, and a few audits run side by side; one after the other, each in
a copy of its own, they are planted by ``python -m tests.faults.leaks``.
"""

import base64
import gzip
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import leaks
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaks import LEAKS, Leak

from reminder_worker import audit, keys
from reminder_worker.audit import parties, report, search
from reminder_worker.audit.case import Check
from reminder_worker.audit.counterparts import Counterparts
from reminder_worker.audit.evidence import Piece, flat, unescaped
from reminder_worker.audit.installation import Installation, wait_for
from reminder_worker.audit.matrix import DOCUMENTED, Cell, Fact, Grade, Party, cells
from reminder_worker.audit.people import REASON, Person, cast
from reminder_worker.audit.report import Result
from reminder_worker.audit.search import Search, forms
from reminder_worker.audit.writings import WINDOW, phone_writings, time_writings, unkeyed, windows, writings
from reminder_worker.embedded import server_program
from reminder_worker.errors import SettingsError

pytestmark = pytest.mark.timeout(1200)  # several audits, each of which starts a dozen processes

AT_ONCE = 2
CHECKS = {"equal_lengths", "messages", "middleware", "nothing_left", "sealed_afresh", "forward_secrecy", "keyed"}
CHECKS |= {"spans", "languages", "reprs", "log_lines", "answers", "secrets", "events", "replies", "tls", "connections"}
CHECKS |= {
    "masked",
    "doings",
    "command_lines",
    "files_written",
    "temporary_files",
    "key_files",
    "core_dumps",
    "crashes",
    "swap",
}


@dataclass(frozen=True)
class Outcome:
    """How an audit ended, and what it printed."""

    code: int
    said: str
    progress: str


def _run(folder: Path, planted: list[Leak]) -> Outcome:
    with leaks.audit(leaks.plant(folder, planted)) as process:
        said, progress = process.communicate(timeout=leaks.PATIENCE)
    return Outcome(process.returncode, said, progress)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Outcome]]]:
    """The audit of the program as it stands (""), and of a copy for each group of leaks, by the names of the leaks."""
    pytest.importorskip("twilio")
    try:
        server_program()
    except SettingsError:
        pytest.skip("there is no server to start")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = {"": pool.submit(_run, tmp_path_factory.mktemp("as-it-stands"), [])}
        for group in leaks.groups(LEAKS):
            begun |= dict.fromkeys(
                (one.name for one in group), pool.submit(_run, tmp_path_factory.mktemp("leaking"), group)
            )
        yield begun


# The program as it stands


@pytest.fixture
def as_it_stands(outcomes: dict[str, Future[Outcome]]) -> Outcome:
    """The audit of this program."""
    return outcomes[""].result()


def test_as_the_program_stands_everybody_learns_exactly_what_is_documented(as_it_stands: Outcome) -> None:
    document = json.loads(as_it_stands.said)
    found = {(cell["fact"], cell["party"]): cell["measured"] for cell in document["cells"]}
    assert found == {(fact.value, party.value): str(grade) for (fact, party), grade in DOCUMENTED.items()}
    assert [check["check"] for check in document["checks"] if not check["ok"]] == []
    assert document["ok"]
    assert as_it_stands.code == 0


def test_no_party_and_no_check_is_left_out(as_it_stands: Outcome) -> None:
    document = json.loads(as_it_stands.said)
    assert [(cell["fact"], cell["party"]) for cell in document["cells"]].count(("number", "web")) == 1
    assert len(document["cells"]) == len(list(cells())) == 130
    assert {check["check"] for check in document["checks"]} == CHECKS
    assert all(cell["looked_at"] for cell in document["cells"])


def test_where_something_is_found_a_cell_says_where(as_it_stands: Outcome) -> None:
    for cell in json.loads(as_it_stands.said)["cells"]:
        assert bool(cell["found_in"]) == (cell["measured"] != "never"), cell["check"]
        assert set(cell["found_in"]) <= set(cell["looked_at"])


def test_json_is_all_that_is_printed_and_steps_are_told_beside_it(as_it_stands: Outcome) -> None:
    document = json.loads(as_it_stands.said)
    assert set(document) == {"ok", "seconds", "cells", "checks", "memory_not_looked_into"}
    assert set(document["checks"][0]) == {"check", "what", "ok", "found_in"}
    names = {"check", "fact", "party", "documented", "measured", "worse", "looked_at", "found_in"}
    assert {frozenset(cell) for cell in document["cells"]} == {frozenset(names)}
    assert len(as_it_stands.progress.splitlines()) == 9


def test_what_an_audit_says_holds_nothing_that_it_looked_for(as_it_stands: Outcome) -> None:
    wanted = forms(cast().values())
    wanted = {fact: wanted[fact] for fact in (Fact.NUMBER, Fact.PLACE, Fact.EXISTENCE, Fact.PRACTICE, Fact.REASON)}
    assert Search(wanted).facts((as_it_stands.said + as_it_stands.progress).encode()) == set()


# Planted leaks


@pytest.mark.parametrize("one", LEAKS, ids=lambda one: one.name)
def test_a_leak_is_found(one: Leak, outcomes: dict[str, Future[Outcome]]) -> None:
    outcome = outcomes[one.name].result()
    assert outcome.said, outcome.progress[-400:]
    assert leaks.ways(one, leaks.caught(outcome.said)), one.caught_by
    assert outcome.code == 1


@pytest.mark.parametrize("one", LEAKS, ids=lambda one: one.name)
def test_the_program_still_has_what_a_leak_replaces(one: Leak) -> None:
    """Told at once: an audit of a copy takes minutes."""
    for file, old, _ in one.edits:
        assert (leaks.ROOT / "reminder_worker" / file).read_text().count(old) == 1, (file, old)


def test_leaks_of_one_group_are_caught_by_different_names() -> None:
    for group in leaks.groups(LEAKS):
        names = [(one.name, way) for one in group for way in one.caught_by]
        mixed = [(mine, its) for mine, way in names for its, other in names if mine != its and way.startswith(other)]
        assert mixed == []


# The search


@pytest.fixture(scope="module")
def somebody() -> Person:
    """Somebody with an appointment."""
    person = Person("sent", 11)
    person.times(datetime(2027, 3, 4, 15, 37, tzinfo=UTC))
    return person


def test_every_way_to_write_a_fact_is_found(somebody: Person) -> None:
    for fact, ways in forms(
        [somebody], ["Rappel : vous avez rendez-vous le 5 mars à 17:48, 11 quai des Brumes"]
    ).items():
        looking = Search({fact: ways})
        for form in ways:
            assert looking.facts(b"\0\xff" + form + b"\xff\0") == {fact}


def test_a_fact_that_lies_over_the_edge_of_a_block_is_found(somebody: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BLOCK", 64)
    looking = Search({Fact.PLACE: writings(somebody.place)})
    for start in range(130):
        assert looking.facts(b"." * start + somebody.place.encode() + b"." * 50) == {Fact.PLACE}


def test_nothing_is_found_where_nothing_is(somebody: Person) -> None:
    noise = random.Random(5).randbytes(1 << 20)
    ours = set(Fact) - {Fact.OUTCOME}
    assert Search(forms([somebody, *cast().values()])).facts(noise) & ours == set()
    assert Search(forms([somebody])).facts(b"") == set()


@pytest.mark.parametrize(
    "text",
    [
        hashlib.sha256(b"Patient/1").hexdigest(),
        hashlib.sha256(b"Patient/1").hexdigest()[:20].upper(),
        base64.b64encode(hashlib.sha1(b"Patient/1").digest()).decode(),
        hashlib.sha1(b"Patient/1").hexdigest()[:12],
        base64.urlsafe_b64encode(hashlib.md5(b"Patient/1").digest()).decode(),
        hashlib.sha512(b"Patient/1").digest()[:12].decode("latin-1"),
        "Patient%2F1",
        "UGF0aWVudC8x",
        b"Patient/1".hex(),
    ],
)
def test_a_hash_is_found_however_it_is_cut_and_written(text: str) -> None:
    assert Search({Fact.EXISTENCE: writings("Patient/1")}).facts(b"=" + text.encode("latin-1")) == {Fact.EXISTENCE}


@pytest.mark.parametrize("person", [b"", b"rw-id", b"rw-today", b"rw-tag"])
def test_a_hash_of_ours_without_its_key_is_found_and_with_it_is_not(person: bytes) -> None:
    looking = Search({Fact.EXISTENCE: unkeyed("A-1")})
    assert looking.facts(hashlib.blake2b(b"A-1", digest_size=16, person=person).digest()) == {Fact.EXISTENCE}
    assert looking.facts(hashlib.blake2b(b"A-1", digest_size=16, person=person, key=b"k").digest()) == set()


def test_a_number_and_a_time_are_found_as_they_are_packed() -> None:
    assert (33612349311).to_bytes(8, "big") in phone_writings("+33612349311")
    moment = datetime(2027, 3, 4, 15, 37, tzinfo=UTC)
    assert int(moment.timestamp()).to_bytes(8, "little") in time_writings(moment)


def test_any_piece_of_sealed_bytes_that_is_long_enough_is_known_again() -> None:
    sealed = random.Random(1).randbytes(425)
    assert len(windows(sealed)) == 425 - WINDOW + 1
    assert sealed[100 : 100 + WINDOW] in windows(sealed)
    assert windows(sealed[: WINDOW - 1]) == set()


def shown(content: bytes) -> bytes:
    """Write bytes as MONITOR does."""
    known = {9: rb"\t", 10: rb"\n", 13: rb"\r", 7: rb"\a", 8: rb"\b", 34: rb"\"", 92: rb"\\"}
    return b"".join(known.get(one) or (bytes([one]) if 32 <= one < 127 else rb"\x%02x" % one) for one in content)


@given(st.binary(max_size=60))
def test_what_monitor_shows_is_read_as_it_was_sent(content: bytes) -> None:
    assert unescaped(shown(content)) == content


@pytest.mark.parametrize("packed", [zlib.compress(b"a place"), gzip.compress(b"a place")], ids=["zlib", "gzip"])
def test_what_is_compressed_is_looked_into(packed: bytes) -> None:
    assert flat({b"field": [packed]}).endswith(b"\na place")
    assert flat(b"a place") == b"a place"


def test_a_cell_is_as_bad_as_the_worst_that_was_found() -> None:
    held = {
        Party.WEB: [Piece("a request", b"+33612349311", kept=False), Piece("a file", b"nothing")],
        Party.HOOKS: [Piece("a webhook", b"+33612349311", kept=False), Piece("a file", b"33612349311")],
    }
    looking = Search({Fact.NUMBER: phone_writings("+33612349311")})
    found = {
        cell.party: cell for cell in looking.measure(lambda party: held.get(party, [])) if cell.fact is Fact.NUMBER
    }
    assert {party: cell.measured for party, cell in found.items() if party in held} == {
        Party.WEB: Grade.PASSING,
        Party.HOOKS: Grade.READABLE,
    }
    assert found[Party.LOGS].measured is Grade.NEVER
    assert found[Party.HOOKS].found_in == ("a webhook", "a file")
    assert found[Party.WEB].looked_at == ("a request", "a file")


def test_records_are_told_apart_by_their_loggers() -> None:
    heard = b"RECORD a.b said {}\nTraceback\n  ValueError: 1\nRECORD c said\n"
    assert {piece.where: piece.content for piece in parties._records(heard)} == {
        "records of a.b": b"RECORD a.b said {}\nTraceback\n  ValueError: 1",
        "records of c": b"RECORD c said\n",
    }


# What is shown


def result(*, worse: Party | None = None, found: tuple[str, ...] = (), note: bool = False, hidden: str = "") -> Result:
    """Make up the result of an audit."""
    measured = {
        (fact, party): Grade.READABLE if party is worse and fact is Fact.NUMBER else DOCUMENTED[fact, party]
        for fact, party in cells()
    }
    made = [
        Cell(fact, party, grade, ("a file",), ("a file",) * bool(grade)) for (fact, party), grade in measured.items()
    ]
    return Result(made, [Check("reprs", "No object shows anything", found, note)], 12.3, [hidden] if hidden else [])


def printed(made: Result, capsys: pytest.CaptureFixture[str]) -> str:
    report.show(made)
    return capsys.readouterr().out


def test_a_clean_result_is_shown_as_a_table_with_every_party_and_fact(capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(result(), capsys)
    assert "130 cells and 1 checks in 12 seconds: nobody learns more than documented." in said
    assert "ok   reprs: No object shows anything\n" in said
    assert "LEAK" not in said
    assert all(fact.value.split()[0] in said for fact in Fact)
    assert "!" not in "".join(line for line in said.splitlines() if line.startswith(" number"))


def test_on_a_narrow_terminal_the_matrix_is_two_tables_and_no_line_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", "80")
    said = re.sub(r"\x1b\[[0-9;]*m", "", printed(result(), capsys))
    rows = [line for line in said.splitlines() if line.startswith(" number")]
    assert [len(re.findall("[-○●]", row)) for row in rows] == [7, 6]
    assert max(map(len, said.splitlines())) <= 80


def test_a_cell_that_is_worse_than_documented_is_marked_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    made = result(worse=Party.STORE)
    said = printed(made, capsys)
    assert "●!" in said
    assert "LEAK store.number: readable, not never (a file)" in said
    assert "1 LEAKS" in said
    document = report.as_document(made)
    assert not document["ok"]
    assert [cell["check"] for cell in document["cells"] if cell["worse"]] == ["store.number"]


def test_a_check_that_fails_says_where_and_of_many_places_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    made = result(found=tuple("abcdefg"))
    assert "LEAK reprs: No object shows anything (a; b; c; d; e; and 2 more)" in printed(made, capsys)
    assert report.as_document(made)["checks"][0]["found_in"] == list("abcdefg")


def test_a_note_is_shown_and_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    made = result(found=("/dev/sda2",), note=True)
    assert "note reprs" in printed(made, capsys)
    assert made.ok


def test_memory_that_may_not_be_looked_into_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "note memory of web: could not be looked into; run this as root" in printed(result(hidden="web"), capsys)


@pytest.mark.parametrize(("made", "code"), [(result(), 0), (result(worse=Party.LOGS), 1), (result(found=("a",)), 1)])
@pytest.mark.parametrize("as_json", [True, False])
def test_the_exit_code_tells_whether_anybody_learns_more(
    made: Result, code: int, as_json: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "measure", lambda _: made)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert audit.run(json=bool(as_json)) == code
    said = capsys.readouterr().out
    assert (json.loads(said)["ok"] == made.ok) if as_json else ("who learns what" in said)


# What is left behind


def test_an_audit_that_is_interrupted_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> Result:
        raise KeyboardInterrupt

    monkeypatch.setattr(audit, "measure", interrupt)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert audit.run(json=False) == audit.INTERRUPTED
    assert capsys.readouterr() == ("", "audit: interrupted; what it had started is ended and removed\n")


def test_without_a_library_to_play_a_provider_with_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="pip install twilio"):
        audit.run(json=False)


def test_what_is_waited_for_in_vain_says_what_to_do() -> None:
    with pytest.raises(SettingsError, match="after 0 seconds nobody answers; run it again on a quieter machine"):
        wait_for(lambda: None, "nobody answers", seconds=0)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name is short enough for a server's socket."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])  # the latter is heard as SIGTERM
def test_an_audit_that_is_ended_leaves_no_process_and_no_file(
    number: signal.Signals, tmp_path: Path, short: Path
) -> None:
    pytest.importorskip("twilio")
    folder = leaks.plant(tmp_path / "copy", [])
    temporary = short
    with leaks.audit(folder, TMPDIR=str(temporary)) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Hear"):  # everything runs
                break
        assert list(temporary.iterdir())
        process.send_signal(number)
        rest = process.communicate(timeout=60)[1]
    assert process.returncode == audit.INTERRUPTED
    assert rest == "audit: interrupted; what it had started is ended and removed\n"
    assert list(temporary.iterdir()) == []
    assert _of(temporary) == []


def _of(folder: Path) -> list[int]:
    """Return the processes that were started with a folder."""
    shown = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in shown.splitlines() if str(folder) in line]


def test_an_installation_that_cannot_be_built_leaves_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SettingsError(REASON)

    monkeypatch.setattr(keys, "new_gateway", fail)
    before = os.umask(0o077)
    try:
        with Counterparts() as world:
            here = Installation(tmp_path, world)
            with pytest.raises(SettingsError), here:
                pass
        assert os.umask(0o077) == 0o077
        assert here.server._process is None
    finally:
        os.umask(before)
