"""Names that tell too much, as their platform knows: found as whole words in a row, however written; no I/O.

They are matched like the stems of the lint: without accents, capitals and hyphens; an umlaut also counts as two
letters.
"""

import unicodedata
from collections.abc import Iterable

from reminder_worker import folding, segments

FEWEST_LETTERS = 3  # a shorter name would match half of all places
_GLUED = 7  # from this many letters on, a name also counts when it is written as one word
_IN_FULL = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


class Names:
    """Some names, and whether a text holds one of them."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        rows = {tuple(_words(spelling)) for name in names for spelling in _spellings(name)}
        self._rows = {f" {' '.join(row)} " for row in rows}
        self._rows |= {f" {glued} " for row in rows if len(glued := "".join(row)) >= _GLUED}

    def are_in(self, text: str) -> bool:
        """Tell whether one of the names is in a text."""
        return bool(self._rows) and any(map(self._is_in, _spellings(text)))

    def _is_in(self, text: str) -> bool:
        words = _words(text)
        for reading in folding.other_readings(folding.chunks(folding.visible(text))):
            words += ("", folding.fold(reading).letters)  # the empty word: no name matches across it
        row = f" {' '.join(words)} "
        return any(name in row for name in self._rows)


def is_name(text: str) -> bool:
    """Tell whether a text has enough letters to be looked for."""
    return len("".join(_words(text))) >= FEWEST_LETTERS


def _spellings(text: str) -> set[str]:
    """Return a text as it is, and with its umlauts written out: people spell their names either way."""
    plain = unicodedata.normalize("NFC", segments.tidy(text))  # as it is sent
    return {plain, plain.translate(_IN_FULL)}


def _words(text: str) -> list[str]:
    chunks = folding.chunks(folding.visible(text))
    return [folding.fold(piece).letters for chunk in chunks for piece in chunk]
