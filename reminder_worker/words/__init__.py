"""Words by which a reply is understood, one file per language, and how they match; it keeps nothing of a reply.

A file holds sections; entries stand between commas or on lines of their own; a line with ``#`` is a comment.

- ``[stop]`` ``[start]`` ``[help]`` ``[confirm]`` ``[cancel]``: the reply is such words and courtesies, nothing else
- ``[stop alone]``: without courtesies, too
- ``[stop words]``: like ``[stop]``, and enough in a reply of four words, at its beginning, or as one of its sentences
- ``[stop phrases]`` and the like: anywhere in a reply
- ``[not stop]`` ``[not cancel]``: not looked at for stop words and phrases, or for phrases that cancel
- ``[not start]``: not looked at for start phrases; one that is only there asks for no more texts
- ``[unsure]``: with them nothing is confirmed · ``[courtesy]``: says nothing
- ``[messages]`` ``[appointment]``: stand for ``{messages}`` ``{appointment}`` in entries

``word`` · ``word*`` a beginning · ``this/that`` either, ``_`` for a space in one of them · ``...`` up to three words.
Case, accents and apostrophes do not matter; ``ä`` is ``ae`` too. No entry reaches over the end of a sentence.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from reminder_worker.errors import SettingsError
from reminder_worker.folding import fold, mixes_scripts, visible

ENGLISH = "en"
END = "|"  # of a sentence; no entry reaches over it
_NEEDED = {"stop", "stop words", "stop phrases", "not stop", "start", "start phrases", "help", "help phrases"} | {
    *("confirm", "confirm phrases", "cancel", "cancel phrases", "not cancel", "unsure", "courtesy"),
    *("not start", "messages", "appointment"),
}
_KNOWN = _NEEDED | {"stop alone"}
_GROUPS = {"{messages}": "messages", "{appointment}": "appointment"}
_WHOLE = {"stop", "stop words", "start", "help", "confirm", "cancel"}  # may be a whole reply, courtesies aside
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_SPELT = re.compile(r"(?<!\w)[^\W\d_](?:[\s.*_-]{1,3}[^\W\d_](?!\w)){2,}")  # S T O P
_PIECES = re.compile(
    r"[^\W_]+|(?<=\s)-(?=\s)|[.,;:!?()\[\]\"«»“”„¡¿،؛؟/–—\n\r]|[\u2190-\u2bff\U0001f000-\U0001faff]"  # noqa: RUF001
)
_LONG = re.compile(r"([^\W\d])\1{2,}")  # stooop
_CYRILLIC = str.maketrans("aceiopxy", "асеіорху")  # noqa: RUF001 - a Latin i in a Ukrainian word
_GAP = "..."
_GAP_WORDS = 3

Words = tuple[str, ...]


def row(text: str) -> list[str]:
    """Write a text as a row of folded words, with a bar where a sentence ends."""
    joined = _SPELT.sub(lambda run: re.sub(r"[\W_]", "", run[0]), visible(text))
    return [_word(piece) for piece in _PIECES.findall(joined)]


def _word(piece: str) -> str:
    if not piece.isalnum():
        return piece if piece >= "\u2190" else END
    letters = _LONG.sub(r"\1", fold(piece).letters)
    return letters.translate(_CYRILLIC) if mixes_scripts(letters) else letters


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a file: for each of its words what may stand there; an empty place is a gap."""

    language: str
    places: tuple[tuple[Words, ...], ...]

    def end(self, row: list[str], start: int, place: int = 0) -> int:
        """Return where the entry ends that begins at ``start``, or -1."""
        if place == len(self.places):
            return start
        if not self.places[place]:
            return next((end for at in _beyond(row, start) if (end := self.end(row, at, place + 1)) >= 0), -1)
        for words in self.places[place]:
            if _stands(words, row, start) and (end := self.end(row, start + len(words), place + 1)) >= 0:
                return end
        return -1


def _beyond(row: list[str], start: int) -> Iterator[int]:
    """Yield where a gap may end: after up to three words of the same sentence."""
    for at in range(start, min(start + _GAP_WORDS, len(row)) + 1):
        yield at
        if row[at : at + 1] == [END]:
            return


def _stands(words: Words, row: list[str], start: int) -> bool:
    """Tell whether words stand at one place of a row; the last may be the beginning of a word."""
    if start + len(words) > len(row):
        return False
    for offset, word in enumerate(words):
        there = row[start + offset]
        if there != word and not (word[-1] == "*" and there.startswith(word[:-1])):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Hit:
    """Where an entry was found, and its language."""

    start: int
    end: int
    language: str


class Section:
    """One section of all languages, found by the first word of its entries."""

    def __init__(self, entries: dict[tuple[tuple[Words, ...], ...], str]) -> None:
        self._starts: defaultdict[str, list[Entry]] = defaultdict(list)
        self._beginnings: defaultdict[str, list[Entry]] = defaultdict(list)
        for places, language in entries.items():
            for first in dict.fromkeys(words[0] for words in places[0]):
                index = self._beginnings if first.endswith("*") else self._starts
                index[first.removesuffix("*")].append(Entry(language, places))

    def hits(self, row: list[str]) -> Iterator[Hit]:
        """Yield what is found from the left to the right, the longest entry at each place."""
        at = 0
        while at < len(row):
            found = max(self._at(row, at), key=lambda hit: hit.end, default=None)
            if found:
                yield found
            at = found.end if found else at + 1

    def find(self, row: list[str]) -> Hit | None:
        """Find the first entry in a row."""
        return next(self.hits(row), None)

    def cut(self, row: list[str]) -> list[str]:
        """Put a bar in the place of every entry."""
        left = list(row)
        for hit in self.hits(row):
            left[hit.start : hit.end] = [END] * (hit.end - hit.start)
        return left

    def _at(self, row: list[str], at: int) -> Iterator[Hit]:
        near = list(self._starts.get(row[at], ()))
        for beginning, entries in self._beginnings.items():
            if row[at].startswith(beginning):
                near += entries
        for entry in near:
            if (end := entry.end(row, at)) > at:
                yield Hit(at, end, entry.language)


@cache
def load() -> dict[str, Section]:
    """Read and check all files once. Raises SettingsError."""
    entries: dict[str, dict[tuple[tuple[Words, ...], ...], str]] = {name: {} for name in _KNOWN - {*_GROUPS.values()}}
    for language, text in _texts():
        sections = read(language, text)
        for section, found in entries.items():
            for entry in sections.get(section, ()):
                for places in _spellings(language, entry, sections):
                    found.setdefault(places, language)
    entries["stop"] |= entries["stop words"]
    polite = dict.fromkeys(entries["courtesy"], "")
    whole = {f"only {section}": polite | entries[section] for section in _WHOLE}
    return {section: Section(found) for section, found in (entries | whole).items()}


def _texts() -> list[tuple[str, str]]:
    """Give every file with its language, English first: what two languages share counts as the first one's."""
    found = [file for file in files(__name__).iterdir() if file.name.endswith(".txt")]
    texts = [(file.name.removesuffix(".txt"), file.read_text(encoding="utf-8")) for file in found]
    return sorted(texts, key=lambda text: (text[0] != ENGLISH, text[0]))


def read(language: str, text: str) -> dict[str, list[str]]:
    """Cut one file into the entries of its sections. Raises SettingsError."""
    sections: dict[str, list[str]] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("["):
            section = line.strip("[] ")
            if section not in _KNOWN or section in sections:
                raise SettingsError(f"words/{language}.txt, line {number}: a section is unknown or there twice")
            sections[section] = []
        elif line.strip() and not line.startswith("#"):
            if not section:
                raise SettingsError(f"words/{language}.txt, line {number}: an entry stands before the first [section]")
            sections[section] += filter(None, map(str.strip, line.split(",")))
    if missing := sorted(section for section in _NEEDED if not sections.get(section)):
        raise SettingsError(f"words/{language}.txt: [{missing[0]}] is missing or empty")
    return sections


def _spellings(language: str, entry: str, sections: dict[str, list[str]]) -> Iterator[tuple[tuple[Words, ...], ...]]:
    """Give the places of an entry, with its umlauts as ä and as ae."""
    for form in dict.fromkeys((entry, entry.translate(_UMLAUTS))):
        places = [() if part == _GAP else tuple(_choices(part, sections)) for part in form.split()]
        if not places[0] or () in [words for place in places for words in place]:
            raise SettingsError(f"words/{language}.txt: an entry begins with a gap or holds what is no word")
        yield tuple(places)


def _choices(part: str, sections: dict[str, list[str]]) -> Iterator[Words]:
    """Give what may stand in one place, as it stands in a row; nothing where it is no word."""
    for one in part.split("/"):
        for words in sections[_GROUPS[one]] if one in _GROUPS else [one]:
            letters = row(words.removesuffix("*").replace("_", " "))
            if not letters or END in letters or "{" in words:
                yield ()
            elif words.endswith("*"):
                yield (*letters[:-1], letters[-1] + "*")
            else:
                yield tuple(letters)
