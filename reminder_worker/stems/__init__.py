"""Word stems that tell a reason or a speciality, one file per language, and how they match.

Institutions whose name alone tells it stand in ``institutions/``, one file per country. All files count everywhere.

A file holds sections ``[A]`` (stigmatising) and ``[B]`` (speciality, examination), which refuse, ``[C]`` (generic,
ambiguous), which warns, and ``[spared]``: streets that truly hold the word, where a refusal becomes a warning. Entries:

``abc`` start of a word · ``=abc`` whole word · ``*abc`` anywhere in a word, four letters or more · ``ABC`` only where
the text has capitals too · ``a+b`` words in a row · ``a+`` followed by any word

Organs and illnesses that tell something only beside a facility stand in the same files; `pairs` reads those sections.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain

from reminder_worker.folding import Word, fold, visible

SPARED = "spared"
TIERS = ("A", "B", "C", SPARED)
INSTITUTIONS = "institutions"  # the folder of names that tell it all, one file per country
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_INSIDE = 4  # letters by which stems that match anywhere are found
_GLUED = 7  # letters from which on a phrase also counts when written as one word


@dataclass(frozen=True, slots=True)
class Part:
    """What one word of a text has to be."""

    text: str
    whole: bool = False
    inside: bool = False
    capitals: bool = False

    def fits(self, word: Word) -> bool:
        """Tell whether ``word`` is such a word."""
        if self.capitals and not word.capitals:
            return False
        if self.whole:
            return word.letters == self.text
        if self.inside:
            return self.text in word.letters
        return word.letters.startswith(self.text) and word.letters != ""


@dataclass(frozen=True, slots=True)
class Stem:
    """One entry of a file; ``name`` is ``language/tier/entry``."""

    name: str
    tier: str
    parts: tuple[Part, ...]

    def fits(self, words: list[Word], start: int) -> bool:
        """Tell whether the words from ``start`` on are what this entry says."""
        if start + len(self.parts) > len(words):
            return False
        for offset, part in enumerate(self.parts):  # noqa: SIM110 - all() takes twice as long here
            if not part.fits(words[start + offset]):
                return False
        return True


class Stems:
    """All entries, found by how their first word begins or by four letters that it holds."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._heads: set[str] = set()
        self._starts: defaultdict[str, list[Stem]] = defaultdict(list)
        self._insides: defaultdict[str, list[Stem]] = defaultdict(list)

    def add(self, stem: Stem) -> None:
        """Take in one entry."""
        self.names.add(stem.name)
        first = stem.parts[0]
        if first.inside:
            self._insides[first.text[:_INSIDE]].append(stem)
        else:
            self._starts[first.text].append(stem)
            self._heads.add(first.text[:3])

    def hits(self, words: list[Word]) -> list[tuple[int, Stem]]:
        """Return every entry that matches, with the number of the word where it begins."""
        row = " ".join(word.letters for word in words)
        fours = {row[begin : begin + _INSIDE] for begin in range(len(row))}
        near = chain.from_iterable(self._insides[four] for four in sorted(filter(self._insides.__contains__, fours)))
        inside = [stem for stem in near if stem.parts[0].text in row]
        found: list[tuple[int, Stem]] = []
        for start, word in enumerate(words):
            close = self._beginning(word.letters) + inside
            found += [(start, stem) for stem in close if stem.fits(words, start)]
        return found

    def _beginning(self, letters: str) -> list[Stem]:
        """Return the entries whose first word is a beginning of ``letters``."""
        if letters[:1] in self._heads or letters[:2] in self._heads or letters[:3] in self._heads:
            beginnings = (letters[:end] for end in range(1, len(letters) + 1))
            return [stem for beginning in beginnings for stem in self._starts.get(beginning, ())]
        return []


@cache
def load() -> Stems:
    """Read all files once."""
    stems = Stems()
    for name, text in texts():
        for stem in _read(name, text):
            stems.add(stem)
    return stems


def texts() -> Iterator[tuple[str, str]]:
    """Yield each file's name, ``fr`` or ``institutions/FR``, and what it holds."""
    for folder, prefix in ((files(__name__), ""), (files(__name__) / INSTITUTIONS, f"{INSTITUTIONS}/")):
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if file.name.endswith(".txt"):
                yield prefix + file.name.removesuffix(".txt"), file.read_text(encoding="utf-8")


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield the entries of a file's text, each with its section."""
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
        elif not line.startswith("#"):
            for entry in line.split():
                yield section, entry


def _read(language: str, text: str) -> Iterator[Stem]:
    for tier, entry in entries(text):
        if tier in TIERS:
            for parts in spellings(entry):
                yield Stem(f"{language}/{tier}/{entry}", tier, parts)


def spellings(entry: str) -> Iterator[tuple[Part, ...]]:
    """Yield an entry with its umlauts as ä and as ae, and a phrase as one word too."""
    for form in (entry,) if entry.isascii() else dict.fromkeys((entry, entry.translate(_UMLAUTS))):
        if "+" not in form:
            yield (_part(form),)
            continue
        parts = tuple(map(_part, form.split("+")))
        yield parts
        glued = "".join([part.text for part in parts])
        if len(glued) >= _GLUED and all(part.text and not part.inside for part in parts):
            yield (Part(glued, whole=parts[-1].whole),)


def _part(text: str) -> Part:
    letters = text.lstrip("=*")
    folded = letters.lower() if letters.isascii() else fold(visible(letters)).letters
    return Part(folded, text.startswith("="), text.startswith("*"), letters.isupper())
