import pytest

from reminder_worker import streets
from reminder_worker.disclosure import Severity, discloses, find
from reminder_worker.folding import fold


def named(text: str) -> set[str]:
    words = text.lower().split()
    return {words[place] for place in streets.named([fold(word) for word in words])}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("3 Hospice Lane", "hospice"),
        ("Hebammensteig 4", "hebammensteig"),
        ("Röntgen Straße", "röntgen"),
        ("Herzstraße 9", "herzstraße"),
        ("rue de la Maternité", "maternité"),
        ("rue Hazard", "hazard"),
        ("via della Maternità", "maternità"),
        ("place des Hospices", "hospices"),
        ("ulica Dziecięca", "dziecięca"),
        ("r da Maternidade", "maternidade"),
        ("estrada do Parto", "parto"),
    ],
)
def test_the_name_of_a_street_is_found(text: str, name: str) -> None:
    assert named(text) == {name}


@pytest.mark.parametrize(
    "text", ["via Oncology", "R Oncologia", "place Psychiatrie", "Therapieplatz 3", "Straße 4", "der weg"]
)
def test_what_may_be_the_way_to_a_department_is_no_street(text: str) -> None:
    assert named(text) <= {"der"}


@pytest.mark.parametrize("label", ["Rue des Hospices 3", "Röntgenstraße 4", "Hebammensteig", "Maternity Road"])
def test_a_street_with_such_a_name_is_a_warning(label: str) -> None:
    assert find(label).severity is Severity.WARN


def test_an_ending_of_a_speciality_in_the_name_of_a_street_is_no_refusal() -> None:
    assert discloses("Xylopsologie 3")
    assert not discloses("Rue de la Xylopsologie 3")


@pytest.mark.parametrize(
    "label",
    [
        *("12 rue de la Paix, Psychiatrie", "Psychiatrie, rue de la Paix", "Röntgenstraße 4, Onkologie"),
        *("Mill Lane, Oncology", "Entrance via Dermatology", "Knee clinic, Mill Lane", "Rue des Hospices, IVG"),
    ],
)
def test_a_street_hides_nothing_that_stands_beside_it(label: str) -> None:
    assert discloses(label)
