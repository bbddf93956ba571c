import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker.names import Names, is_name


@pytest.mark.parametrize(
    "text",
    [
        "Villa Sonnenschein",
        "VILLA SONNENSCHEIN, 2. Stock",
        "Zur villa-sonnenschein 4",
        "Villasonnenschein",
        "Vílla Sonnenschéin",
        "Villa\u200b Sonnenschein",
        "An der \u02bcVilla Sonnenschein\u02bc",  # sent with plain apostrophes
    ],
)
def test_a_name_is_found_however_it_is_written(text: str) -> None:
    assert Names(["Villa Sonnenschein"]).are_in(text)


@pytest.mark.parametrize(
    "text",
    ["", "Villa", "Sonnenschein", "Villa am Sonnenschein", "Villa Sonnenscheingasse", "Sonnenschein Villa", "Avilla"],
)
def test_a_part_of_a_name_is_another_name(text: str) -> None:
    assert not Names(["Villa Sonnenschein"]).are_in(text)


@pytest.mark.parametrize("name", ["Haus Müller", "Haus Mueller"])
def test_an_umlaut_may_be_written_out(name: str) -> None:
    assert all(map(Names([name]).are_in, ["Haus Müller", "HAUS MU\u0308LLER", "haus mueller 3"]))
    assert not Names([name]).are_in("Haus Miller")


def test_a_name_does_not_reach_over_the_end_of_a_reading() -> None:
    assert not Names(["Anne Roux"]).are_in("4 rue Sainte-Anne")
    assert not Names(["rue roux"]).are_in("R.o.u.x rue")


def test_without_names_nothing_is_found() -> None:
    assert not Names().are_in("Villa Sonnenschein")


def test_a_name_has_letters_enough() -> None:
    assert not any(map(is_name, ["", "a", "- , -", "ab"]))
    assert all(map(is_name, ["bpa", "a 1 b"]))


@given(st.text(min_size=3, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_every_name_is_found_between_other_words(name: str, before: str, behind: str) -> None:
    if is_name(name):
        assert Names([name]).are_in(name)
        assert Names([name]).are_in(f"{before} {name} {behind}")
