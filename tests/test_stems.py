import pytest

from reminder_worker import stems
from reminder_worker.folding import GAP, fold, visible
from reminder_worker.stems import Stem, Stems


def book(text: str) -> Stems:
    made = Stems()
    for stem in stems._read("xx", text):
        made.add(stem)
    return made


def hit(entry: str, text: str) -> bool:
    return bool(book(f"[A]\n{entry}\n").hits([fold(word) for word in text.split()]))


@pytest.mark.parametrize(
    ("entry", "yes", "no"),
    [
        ("onco", "oncology", "bronco"),
        ("=orl", "orl", "orleans"),
        ("*zahnarzt", "kinderzahnarztpraxis", "zahnrad"),
        ("ETS", "ETS", "Ets"),
        ("memory+clin", "the memory clinic", "memory lane clinic"),
        ("substance+", "substance misuse", "substance"),
        ("parkinson+=s", "parkinson s", "parkinson street"),
        ("=ward++stroke", "ward 7 stroke", "ward stroke"),
        ("gynäkolog", "gynaekologie", "gynokologie"),
        ("gynäkolog", "gynakologie", "gynokologie"),
        ("mental+health", "mentalhealth", "mental street"),
    ],
)
def test_each_way_to_write_an_entry_matches_what_it_says_and_no_more(entry: str, yes: str, no: str) -> None:
    assert hit(entry, yes)
    assert not hit(entry, no)


def test_a_phrase_does_not_reach_over_the_end_of_a_reading() -> None:
    words = [fold("memory"), GAP, fold("clinic")]
    assert book("[A]\nmemory+clin memory+\n").hits(words) == []


def test_a_hit_says_where_it_begins_and_by_which_entry() -> None:
    ((start, stem),) = book("# a comment\n[B]\ncardio\n").hits([fold("old"), fold("cardiology")])
    assert (start, stem.name, stem.tier) == (1, "xx/B/cardio", "B")


def every_stem() -> list[Stem]:
    return [stem for name, text in stems.texts() for stem in stems._read(name, text)]


def test_every_file_is_well_formed() -> None:
    for stem in every_stem():
        assert stem.tier in stems.TIERS, stem.name
        assert stem.parts[0].text, stem.name
        assert all(len(part.text) >= stems._INSIDE for part in stem.parts if part.inside), stem.name


def test_no_short_entry_matches_the_beginnings_of_other_words() -> None:
    """Two letters at the beginning of a word are in half of all places."""
    for stem in every_stem():
        alone = len(stem.parts) == 1 and not stem.parts[0].whole
        assert not alone or len(stem.parts[0].text) >= 3 or stem.parts[0].capitals, stem.name
        loose = len(stem.parts) > 1 and not any(part.text for part in stem.parts[1:]) and not stem.parts[0].whole
        assert not loose or len(stem.parts[0].text) >= 4, stem.name


@pytest.mark.parametrize("letter", [chr(code) for code in range(32, 127)])
def test_an_entry_in_ascii_is_read_as_any_other(letter: str) -> None:
    assert stems._part(f"a{letter}B").text == fold(visible(f"a{letter}B")).letters
