from pathlib import Path

import pytest

from reminder_worker import disclosure, pairs
from reminder_worker.disclosure import Severity, discloses, find
from reminder_worker.folding import GAP, fold, visible

DATA = Path(__file__).parent / "data"


def lines(name: str) -> list[str]:
    text = (DATA / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def book(text: str) -> pairs.Pairs:
    return pairs._read("xx", text)


def found(sections: str, text: str) -> str | None:
    return book(sections).find([fold(word) for word in visible(text).split()], ())


KNEE = "[part]\nknee hip hüfte\n[facility]\n+clinic +care+unit centre+for+ zentrum+\n[filler]\nand the\n"


@pytest.mark.parametrize(
    "text",
    [
        *("knee clinic", "hip and knee clinic", "old knee clinics", "knee care unit", "centre for the knee"),
        *("zentrum hüfte", "zentrum huefte", "kneeclinic", "hipsclinic", "12 hip clinic"),
    ],
)
def test_a_part_beside_a_facility_is_found_in_each_order(text: str) -> None:
    assert found(KNEE, text) is not None


@pytest.mark.parametrize(
    "text",
    [
        *("knee", "clinic", "knee street clinic", "clinic knee", "centre the knee", "kneel clinic", "hippo clinic"),
        *("knee care", "knee house", "kneeler", "centre for", "knee and", "hip and hip and hip"),
    ],
)
def test_a_part_without_its_facility_is_clean(text: str) -> None:
    assert found(KNEE, text) is None


def test_a_short_facility_is_a_whole_word() -> None:
    scans = "[part]\ngenou\n[facility]\nirm+\n[filler]\ndu\n"
    assert found(scans, "irm du genou") is not None
    assert found(scans, "irmandade du genou") is None


def test_the_part_is_named_with_its_language() -> None:
    assert found(KNEE, "the knee clinic") == "xx/part/knee"
    assert find("Clinique du genou").rule == "fr/part/genou"


def test_three_parts_in_a_row_need_no_facility() -> None:
    ears = "[part]\near nose throat\n[facility]\n+clinic\n[filler]\nand\n"
    assert found(ears, "ear nose and throat") == "xx/part/ear"
    assert found(ears, "ear and nose and ear") is None


def test_a_pair_does_not_reach_over_the_end_of_a_reading() -> None:
    assert book(KNEE).find([fold("knee"), GAP, fold("clinic")], ()) is None
    assert book(KNEE).find([GAP, fold("knee")], ()) is None


def test_a_spared_word_is_no_part() -> None:
    words = [fold("knee"), fold("clinic")]
    assert book(KNEE).find(words, {0}) is None
    assert not discloses("Sacred Heart Centre")


def test_a_language_that_does_not_join_words_finds_none_joined() -> None:
    assert found("[part]\ncou\n[facility]\nclinique+\n[filler]\nle\n", "couronne") is None


def test_every_language_with_parts_has_facilities_and_fillers() -> None:
    assert {one.language for one in pairs.load()} == {"de", "en", "es", "fr", "it", "nl", "pl", "pt"}
    for one in pairs.load():
        assert one.fillers, one.language
        assert one.before or one.behind, one.language
        assert not one.fillers & one.parts, one.language


@pytest.mark.parametrize(
    "label",
    [
        *("Knee clinic", "Hip & Knee Unit", "Ear, nose, throat", "Kniesprechstunde", "Schulter-Ellenbogen-Zentrum"),
        *("Zentrum für Hand und Fuß", "Unidad de hombro y codo", "Oído, nariz y garganta", "Centro ginocchio"),
        *("Ambulatorio del piede", "Institut de la main", "Consultation genou", "Consulta do joelho", "Rugpoli"),
        *("Polikliniek heup", "Poradnia chorób kolana", "Centrum Kręgosłupa"),
    ],
)
def test_parts_and_facilities_of_every_language_are_refused(label: str) -> None:
    assert discloses(label)


def test_what_practices_write_is_refused() -> None:
    """In-sample: the stems were extended with these labels at hand, so this says nothing about other labels."""
    assert [label for label in lines("telling_places.txt") if not discloses(label)] == []


def test_no_ordinary_place_is_refused() -> None:
    """In-sample as well: collected to be mistaken, and the stems mended until none was."""
    refused = {label: find(label).rule for label in lines("ordinary_places.txt") if discloses(label)}
    assert refused == {}


def test_the_names_of_rules_are_a_fixed_list() -> None:
    assert find("Wrist clinic") == disclosure.Finding("en/part/wrist", Severity.REFUSE)
    assert {"en/part/wrist", "fr/part/genou"} <= pairs.names()
