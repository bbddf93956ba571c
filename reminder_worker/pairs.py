"""Organs and illnesses that tell something only beside a facility: knee clinic, clinique du genou, Kniezentrum; no I/O.

On their own the same words are streets, pubs and surnames (Handstraße, Rue du Cœur), so `stems` cannot hold them. The
files in `stems/` list them per language: ``[part]`` whole words · ``[facility]`` beginnings of words, ``+clinic`` if
the part comes before it (in one word too: Kniezentrum), ``clinique+`` if it comes after · ``[filler]`` between the two
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from itertools import takewhile

from reminder_worker import stems
from reminder_worker.folding import Word

SECTIONS = ("part", "facility", "filler")
_LINKS = "(?:s|n|en|e)?"  # between the two halves of a German or Dutch word
_LIST = 3  # parts in a row that tell a speciality without a facility: nose, throat and ear
_SHORTEST = 3  # letters of a part that may begin a longer word; a facility this short must be a whole word


@dataclass(frozen=True, slots=True)
class Pairs:
    """What one language's file lists."""

    language: str
    parts: frozenset[str]
    fillers: frozenset[str]
    before: tuple[tuple[str, ...], ...]  # clinique du genou
    behind: tuple[tuple[str, ...], ...]  # knee clinic
    endings: re.Pattern[str]  # Knie|zentrum

    def find(self, words: list[Word], spared: Collection[int]) -> str | None:
        """Name the first part beside a facility, or return None."""
        for index, word in enumerate(words):
            if index in spared:
                continue
            if word.letters in self.parts:
                if self._led(words, index) or self._followed(words, index) or self._lists(words, index):
                    return self._name(word.letters)
            elif part := self._joined(word.letters):
                return self._name(part)
        return None

    def _name(self, part: str) -> str:
        return f"{self.language}/part/{part}"

    def _led(self, words: list[Word], index: int) -> bool:
        index -= 1
        while index >= 0 and self._passes(words[index]):
            index -= 1
        return any(_stands(facility, words, index + 1 - len(facility)) for facility in self.before)

    def _followed(self, words: list[Word], index: int) -> bool:
        index += 1
        while index < len(words) and self._passes(words[index]):
            index += 1
        return any(_stands(facility, words, index) for facility in self.behind)

    def _lists(self, words: list[Word], index: int) -> bool:
        run = takewhile(self._passes, words[index:])
        return len({word.letters for word in run} & self.parts) >= _LIST

    def _passes(self, word: Word) -> bool:
        return word.letters in self.fillers or word.letters in self.parts

    def _joined(self, letters: str) -> str | None:
        for end in range(_SHORTEST, len(letters) - _SHORTEST):
            if letters[:end] in self.parts and self.endings.match(letters, end):
                return letters[:end]
        return None


def find(words: list[Word], spared: Collection[int] = ()) -> str | None:
    """Name the first part beside a facility in any language, or return None; ``spared`` are words to leave out."""
    return next((name for pairs in load() if (name := pairs.find(words, spared))), None)


@cache
def load() -> tuple[Pairs, ...]:
    """Read all files once."""
    books = (_read(language, text) for language, text in stems.texts())
    return tuple(pairs for pairs in books if pairs.parts)


def names() -> set[str]:
    """Return every name that ``find`` can return."""
    return {f"{pairs.language}/part/{part}" for pairs in load() for part in pairs.parts}


def _read(language: str, text: str) -> Pairs:
    rows: dict[str, set[tuple[str, ...]]] = {section: set() for section in SECTIONS}
    for section, entry in stems.entries(text):
        if section in rows:
            rows[section].update(tuple(part.text for part in parts) for parts in stems.spellings(entry))
    behind = tuple(sorted(row[1:] for row in rows["facility"] if not row[0]))
    return Pairs(
        language=language,
        parts=frozenset(word for word, *_ in rows["part"]),
        fillers=frozenset(word for word, *_ in rows["filler"]),
        before=tuple(sorted(row[:-1] for row in rows["facility"] if row[0])),
        behind=behind,
        endings=re.compile(_LINKS + "(?:" + "|".join([row[0] for row in behind if len(row) == 1] or ["(?!)"]) + ")"),
    )


def _stands(facility: tuple[str, ...], words: list[Word], start: int) -> bool:
    if start < 0 or start + len(facility) > len(words):
        return False
    return all(_begins(words[start + offset].letters, stem) for offset, stem in enumerate(facility))


def _begins(letters: str, stem: str) -> bool:
    return letters.startswith(stem) if len(stem) > _SHORTEST else letters == stem  # irm is no Irmandade
