"""Words that tell why somebody has an appointment: a safety net for everything that reaches a phone or an operator.

It knows word stems (``stems/*.txt``), so it can never prove a place harmless. A finding names a rule, never the text.

A stem file holds sections ``[A]`` and ``[B]`` (refuse), ``[C]`` (warn) and ``[spared]`` (streets that truly hold the
word: a refusal becomes a warning). Its entries: ``abc`` start of a word, ``=abc`` whole word, ``*abc`` inside a word,
``ABC`` only where the text has capitals too, ``a+b`` words in a row, ``a+`` followed by any word.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from itertools import chain, groupby, pairwise


class Severity(StrEnum):
    """What follows from a finding."""

    REFUSE = "refuse"  # tells a reason or a speciality: must not reach a phone
    WARN = "warn"  # ambiguous or generic: a person should look


@dataclass(frozen=True, slots=True)
class Finding:
    """One hit; ``rule`` comes from a fixed list and is safe to log."""

    rule: str
    severity: Severity


@lru_cache(maxsize=1024)
def discloses(text: str) -> bool:
    """Tell whether ``text`` must not be shown.

    Danger: the last 1,024 different places stay in this process's memory, beside nothing that says whose they were.
    """
    found = find(text)
    return found is not None and found.severity is Severity.REFUSE


def find(text: str) -> Finding | None:
    """Return the most severe finding of any language, or None."""
    plain = _visible(text)
    shape = _shape(text, plain)
    if shape:
        return Finding(shape, Severity.REFUSE)
    chunks = [re.findall(r"[^\W_]+", chunk) for chunk in plain.split()]
    pieces = [piece for chunk in chunks for piece in chunk]
    if not plain.isascii() and any(map(_mixes_scripts, pieces)):
        return Finding(MIXED_SCRIPT, Severity.REFUSE)
    words = [_fold(piece) for piece in pieces]
    if any(re.fullmatch(_SPECIALITY, word.letters, re.VERBOSE) for word in words):
        return Finding(SPECIALITY_ENDING, Severity.REFUSE)
    for other in dict.fromkeys(_other_readings(chunks, pieces)):
        words += (_GAP, _fold(other))
    return _worst(words)


# --- what is wrong whatever the words are

CONTROL_CHARACTER = "control_character"
ADDRESS_SIGN = "address_sign"
LINK = "link"
LONG_NUMBER = "long_number"
MIXED_SCRIPT = "mixed_script"
SPECIALITY_ENDING = "speciality_ending"
SHAPES = (CONTROL_CHARACTER, ADDRESS_SIGN, LINK, LONG_NUMBER, MIXED_SCRIPT, SPECIALITY_ENDING)

_OVERRIDES = "\u202d\u202e"  # make a phone show another order of letters than the one checked here
_LINK = (
    r"(?i)://|\bwww\.|\w\.[a-z]{2,}/\w"
    r"|\w\.(?:com|org|net|info|app|dev|health|clinic|eu|fr|uk|ch|be)\b(?!\.)"
    r"|\w{3}\.(?:de|es|it|nl|pl|pt|io|me|ly|co)(?=[?:;,)]|\s*$)"  # "Avda.de la Paz" is a street
)
_NUMBER = r"\d{7}|(?:\+|\b0|\(0)(?:[ ./()-]{0,2}\d){8}"  # the second: a phone number written in groups


def _shape(text: str, plain: str) -> str | None:
    if not text.isprintable() and any(map(_is_control, text)):
        return CONTROL_CHARACTER
    if "@" in plain:
        return ADDRESS_SIGN
    if re.search(_LINK, plain):
        return LINK
    return LONG_NUMBER if re.search(_NUMBER, plain) else None


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Co", "Cs", "Zl", "Zp"} or char in _OVERRIDES


_ALPHABETS = (
    r"[A-Za-z\u00c0-\u02af\u1d00-\u1dbf\u1e00-\u1eff]",  # Latin
    r"[\u0370-\u03ff\u1f00-\u1fff]",  # Greek
    r"[\u0400-\u052f\u1c80-\u1c8f\ua640-\ua69f]",  # Cyrillic
    r"[\u0530-\u058f]",  # Armenian
    r"[\u13a0-\u13ff\uab70-\uabbf]",  # Cherokee
)


def _mixes_scripts(piece: str) -> bool:
    """Tell whether one word takes letters from two alphabets that look alike."""
    return not piece.isascii() and sum(bool(re.search(letters, piece)) for letters in _ALPHABETS) > 1


# Words for a branch of medicine that no list names; the first group takes out sciences and everyday words.
_SPECIALITY = r"""
    (?! \w*(?: techn | soci | sozi | anthrop | arch[aeoi]+ | arque | meteor | astr | ide | myth | mit | chron | kron | phil | fil
             | ethn | etn | gemm | [ck]rimin | [ck]lim[ai]t? | muse | eg[iy]pt | agypt | aegypt | etym | herpet | ornit[h]?
             | method | metod | termin | musi[ck] | [ck]osm | morph | morf | h[iy]dr | [vw][uo]l[ck]an | seism | sism | speleo? | spelae
             | numer | futur | entom | graph | graf | glaci | dendr | limn | paleont | palaont | palaeont | epistem
             | phras | fras | polit | sc?ient | ecclesi | ekklesi | escat | eschat | cr[iy]pt | krypt | pomp? | agr | aer ) [ou]?olog )
    (?! (?: micr | nan | agr | neo )?o? (?: bi | ge | the? | te | ec | ek | oek | ok | zo | ap | ont | typ | tip | top | phon | fon | sin | oen | en
             | on | or | pr | mon | hom | anth | ant | tr | turk | islam | japan | i[ck]on | t[hc]h?ol | myc ) olog )
    (?! micros[ck]op | mikros[ck]op | spe[ck]tros[ck]op | strobos[ck]op | [ck]aleidos[ck]op )
    \w{2,}
    (?: olog(?: y | ies? | ien | ias? | i | a | as | o | os | ues? | ist\w* | in | innen | en | isch\w* | ic | ical | ic[oa]s?
              | ici | iche | iques? | iczn\w* | iya )
      | oloji\w* | oloog | oloogi\w*
      | iatr(?: y | ie | ia | i | es? | as? | os? | ics? | ic[oa] | iques? | isch\w* | yczn\w* )
      | heilkunde | geneeskunde | [ck]hirurg\w* | surgery | e[ck]tom(?: y | ie | ia | i )
      | os[ck]op(?: y | ie | ia | i )
      | th?erap(?: y | ies? | ien | ia | i | eut\w* | ist\w* )
    )
"""


# --- a text as its reader sees it

_FILLERS = "\u115f\u1160\u3164\uffa0\u0640"  # blank letters; the Arabic stretcher
_LOOKALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝ" "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγιηκνορτυχω" "օոսՕՍ",
    "ABESIJKMHOPCTYXaesijopcyxhdqw" "ABEZHIKMNOPTYXayinkvoptuxw" "onuOU",
)
_LETTERS = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "æ": "ae", "œ": "oe", "ɡ": "g", "ɑ": "a"}
    | dict(zip("ʙɢʜɪʟɴᴏʀʏᴀᴄᴅᴇᴊᴋᴍᴘᴛᴜᴠᴡᴢ", "bghilnoryacdejkmptuvwz", strict=True))
    | {"ة": "ه", "ى": "ي"}
)
_DIGITS = (str.maketrans("0134578", "oieastb"), str.maketrans("0134578", "oleastb"))
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


@dataclass(frozen=True, slots=True)
class _Word:
    letters: str = field(repr=False)
    capitals: bool


_GAP = _Word("", capitals=False)  # no phrase reaches over it


def _visible(text: str) -> str:
    """Take out what a reader does not see: accents, zero-width and direction marks, styled letters."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text)
    return "".join(c for c in apart if unicodedata.category(c) not in {"Mn", "Me", "Cf"} and c not in _FILLERS)


def _fold(piece: str) -> _Word:
    if piece.isascii():
        return _Word(piece.lower(), piece.isupper())
    letters = piece.casefold().translate(_LETTERS)
    if "\u0620" <= letters[0] <= "\u064a":
        letters = re.sub(r"^(?:[وف]?[بك]?ال|لل)(?=\w{3})", "", letters)  # Arabic writes the article on to the word
    return _Word(letters, piece.isupper())


def _other_readings(chunks: list[list[str]], pieces: list[str]) -> Iterator[str]:
    """Yield words as they would be without hyphens, dots, spaces, look-alike letters and digits for letters."""
    for chunk in chunks:
        if len(chunk) > 1:
            yield "".join(chunk)
    for single, run in groupby(pieces, key=lambda piece: len(piece) == 1 and piece.isalpha()):
        if single:
            yield "".join(run)
    for piece in pieces:
        if not piece.isascii():  # before case folding: a small Cyrillic н no longer looks like the H it was
            twin = piece.translate(_LOOKALIKES)
            if twin.isascii():
                yield twin
        elif not piece.isalpha() and re.search(r"[A-Za-z]", piece) and not re.fullmatch(r"\d+[A-Za-z]{1,3}", piece):
            yield from (piece.translate(digits) for digits in _DIGITS)


# --- stems


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    whole: bool
    inside: bool
    capitals: bool

    def fits(self, word: _Word) -> bool:
        if self.capitals and not word.capitals:
            return False
        if self.whole:
            return word.letters == self.text
        if self.inside:
            return self.text in word.letters
        return word.letters != "" and word.letters.startswith(self.text)


@dataclass(frozen=True, slots=True)
class _Stem:
    finding: Finding
    parts: tuple[_Part, ...]

    def fits(self, words: list[_Word], start: int) -> bool:
        row = words[start : start + len(self.parts)]
        return len(row) == len(self.parts) and all(part.fits(word) for part, word in zip(self.parts, row, strict=True))


class _Stems:
    """Stems by how their first word begins, or by four letters that a word has to hold."""

    def __init__(self) -> None:
        self.starts: defaultdict[str, list[_Stem]] = defaultdict(list)
        self.insides: defaultdict[str, list[_Stem]] = defaultdict(list)

    def add(self, stem: _Stem) -> None:
        first = stem.parts[0]
        if first.inside:
            self.insides[first.text[:4]].append(stem)
        else:
            self.starts[first.text].append(stem)

    def at(self, words: list[_Word], start: int) -> Iterator[_Stem]:
        """Yield the stems that match from word ``start`` on."""
        letters = words[start].letters
        for end in range(2, len(letters) + 1):
            for stem in self.starts.get(letters[:end], ()):
                if stem.fits(words, start):
                    yield stem
        for begin in range(len(letters) - 3):
            for stem in self.insides.get(letters[begin : begin + 4], ()):
                if stem.fits(words, start):
                    yield stem
