"""Files that people can look at go through the real command: our examples, the page about them, HL7's own."""

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from canaries import found, in_store

from records.reading import bundle, day, ndjson
from reminder_worker import cli
from reminder_worker.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]
HL7 = ROOT / "tests" / "data" / "hl7"
PAGE = (ROOT / "docs" / "records.md").read_text()
COMMANDS = re.findall(r"^\$ reminder-worker (enqueue .*)\n((?:.+\n)+?)```", PAGE, re.MULTILINE)
FREE_TEXT = {"description", "comment", "patientInstruction", "display", "text", "div", "name", "reason", "practitioner"}


@pytest.fixture
def examples(shop: Path) -> Path:
    """The examples, with days of theirs moved to where they are ahead."""
    folder = shop / "examples"
    shutil.copytree(ROOT / "examples", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.rglob("*.*"):
        if path.is_file():
            path.write_text(re.sub(r"2027(-?)03\1(1[5-7])", _moved, path.read_text()))
    return folder


def _moved(match: re.Match[str]) -> str:
    sign = match[1]
    return f"{day(int(match[2]) + 10):%Y{sign}%m{sign}%d}"


@pytest.mark.parametrize(("command", "said"), COMMANDS)
def test_the_page_s_commands_say_what_it_shows(examples, run, command, said):
    done = run(*command.replace('"', "").split())
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(said)
    if "ics" in command:
        assert re.match(r"1 skipped, 5\d added\n", done.out)
    again = run(*command.split())
    assert "added" not in again.out
    assert "unchanged" in again.out


def test_the_page_shows_every_format_and_option():
    assert {re.search(r"--format (\w+)", command)[1] for command, _ in COMMANDS} == {"csv", "fhir", "ics"}
    options = {"--country", "--language", "--location", "--zone"}
    assert all(f"`{option} " in PAGE for option in options)


def texts(value: object, *, taking: bool = False) -> set[str]:
    """Return all that stands in free-text elements, and what codes are called."""
    if isinstance(value, dict):
        return {text for name, inner in value.items() for text in texts(inner, taking=name in FREE_TEXT)}
    if isinstance(value, list):
        return {text for inner in value for text in texts(inner, taking=taking)}
    return {value} if taking and isinstance(value, str) and len(value) > 4 else set()


@pytest.mark.parametrize("source", ["fhir-bundle.json", "fhir-bulk", "appointments.csv", "calendar.ics"])
def test_nothing_of_the_examples_reasons_is_anywhere(examples, run, server: EmbeddedServer, source):
    path = examples / source
    formats = {".csv": "csv", ".ics": "ics"}
    options = ["--zone", "Europe/Paris", "--country", "FR"]
    done = run("enqueue", path, "--format", formats.get(path.suffix, "fhir"), *options)
    assert done.code == 0
    planted = {
        "psychiatr",
        "oncolog",
        "VIH",
        "grossesse",
        "chemo",
        "Chimio",
        "sertraline",
        "angoisse",
        "fertilit",
        "Dubois",
    }
    planted |= {"scanner", "394593009", "367336001", "hôpital", "FIV", "Girard", "1984-11-30", "example.org"}
    whole = b"".join(one.read_bytes() for one in ([path] if path.is_file() else path.iterdir())).lower()
    hidden = {word: {word.encode(), word.lower().encode()} for word in planted if word.lower().encode() in whole}
    assert len(hidden) > 3
    places = [("output", done.out.encode()), ("errors", done.err.encode()), *in_store(server.url())]
    assert not found(places, hidden)


# HL7's own resources.


def hl7(name: str, **changes: str) -> dict:
    text = (HL7 / f"{name}.json").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return json.loads(text)


def ahead() -> list[dict]:
    """Return what HL7 published, with appointments some days ahead."""
    moved = f"{datetime.now(UTC) + timedelta(days=5):%Y-%m-%d}"
    return [
        hl7("Appointment-example", **{"2013-12-10T": f"{moved}T"}),
        hl7("Appointment-2docs", **{"2013-12-09T": f"{moved}T"}),
        hl7("Appointment-examplereq"),
        hl7("Patient-example"),
        hl7("Location-1"),
    ]


OPTIONS = ["--format", "fhir", "--zone", "Australia/Melbourne", "--country", "AU", "--language", "en"]


@pytest.fixture
def anywhere(shop: Path) -> Path:
    """A platform that texts to Australia as well."""
    settings = shop / "reminder-worker.toml"
    settings.write_text(settings.read_text().replace('["FR", "GB"]', '["AU"]'))
    return shop


@pytest.mark.parametrize("write", [bundle, ndjson], ids=["bundle", "ndjson"])
def test_what_hl7_published_is_read(anywhere, run, server: EmbeddedServer, write):
    resources = ahead()
    (anywhere / "hl7").write_bytes(write(*resources))
    done = run("enqueue", "hl7", *OPTIONS, "--location", "3 Mill Lane")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "2 added, 1 skipped"
    assert [run("show", name).code for name in ("example", "2docs", "examplereq")] == [0, 0, 1]
    hidden = {text: {text.encode()} for text in texts(resources) if text != "generated"}
    assert len(hidden) > 20
    said = re.sub(r"[A-Z][A-Za-z.]* \d+", "", done.out).encode()  # names of elements, and how many
    assert not found([("output", said), ("errors", done.err.encode()), *in_store(server.url())], hidden)


def test_hl7_s_appointment_without_a_place_needs_one(anywhere, run):
    (anywhere / "hl7").write_bytes(bundle(*ahead()))
    done = run("enqueue", "hl7", *OPTIONS)
    assert done.code == cli.REFUSED
    assert done.err == "entry 2: missing_field: location: is missing\n"


def test_hl7_s_patient_is_reached_by_the_mobile_that_is_not_old(anywhere, run):
    reached = hl7("Patient-example", **{"(03) 3410 5613": "(03) 34"})
    (anywhere / "hl7").write_bytes(bundle(ahead()[0], reached, hl7("Location-1")))
    done = run("enqueue", "hl7", *OPTIONS)
    # no other one is taken instead
    assert done.err == "entry 1: number_invalid: phone: there is no such number; check its digits\n"


def test_as_hl7_published_them_they_are_over(anywhere, run):
    (anywhere / "hl7").write_bytes(bundle(*(hl7(path.stem) for path in sorted(HL7.glob("*.json")))))
    assert run("enqueue", "hl7", *OPTIONS).out.splitlines()[0] == "2 past, 1 skipped"
