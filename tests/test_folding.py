# ruff: noqa: RUF001 - letters that look alike are what is tested here
import pytest

from reminder_worker import folding


def readings(text: str) -> set[str]:
    chunks = folding.chunks(folding.visible(text))
    pieces = [piece for chunk in chunks for piece in chunk]
    return {folding.fold(piece).letters for piece in (*pieces, *folding.other_readings(chunks))}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("onco\u200blogy", "oncology"),
        ("onco\u00adlogy", "oncology"),
        ("on\u2066co\u2069logy", "oncology"),
        ("ＯＮＣＯ", "onco"),
        ("𝐎𝐧𝐜𝐨", "onco"),
        ("ⓞⓝⓒⓞ", "onco"),
        ("ʜɪᴠ", "hiv"),
        ("Gynécologie", "gynecologie"),
        ("fœtal", "foetal"),
        ("kreißsaal", "kreisssaal"),
        ("położna", "polozna"),
        ("DİYALİZ", "diyaliz"),
        ("kısırlık", "kisirlik"),
        ("H.I.V.", "hiv"),
        ("h i v", "hiv"),
        ("H. I. V.", "hiv"),
        ("Ser.D.", "serd"),
        ("gastro-entérologue", "gastroenterologue"),
        ("0ncology", "oncology"),
        ("c1inic", "clinic"),
        ("H1V", "hiv"),
        ("СМР", "cmp"),
        ("ΗΙΟ", "hio"),
        ("Київ", "киів"),
        ("الأورام", "اورام"),
        ("والأورام", "اورام"),
        ("أورامـــي", "اورامي"),
    ],
)
def test_a_word_is_read_however_it_is_written(text: str, word: str) -> None:
    assert word in readings(text)


def test_a_number_with_a_short_ending_stays_a_number() -> None:
    assert readings("1st 22bis 10A") == {"1st", "22bis", "10a"}


def test_a_british_postcode_stays_one_and_hides_nothing_else() -> None:
    assert "cbt" not in readings("Flat 3, CB7 5AA")
    assert "cbt" in readings("CB7 room")
    assert "hiv" in readings("H1V 5 AA")


@pytest.mark.parametrize("word", ["Нospital", "ΗIV", "оncology", "Օncology", "Ꮋiv"])
def test_one_word_in_two_alphabets_is_noticed(word: str) -> None:
    assert folding.mixes_scripts(word)


@pytest.mark.parametrize("word", ["Hospital", "Лікарня", "Νοσοκομείο", "Étage", "A棟", "第3", "σ5"])
def test_one_word_in_one_alphabet_is_left_alone(word: str) -> None:
    assert not folding.mixes_scripts(folding.visible(word))


def test_a_folded_word_does_not_show_itself() -> None:
    assert "oncology" not in repr(folding.fold("Oncology"))
