"""A text as its reader sees it: words in plain small letters, whatever characters they were written with; no I/O."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, zip_longest

_BLANKS = "\u115f\u1160\u3164\uffa0\u0640"  # letters without ink; the Arabic stretcher
_UNSEEN = frozenset({"Mn", "Me", "Cf"})  # marks on letters; zero-width and direction marks
_LOOKALIKES = str.maketrans(
    # Cyrillic, Greek, Armenian
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγικνορτυχω" + "օոսՕՍ",  # noqa: RUF001 - these are the point
    "ABESIJKMHOPCTYXaesijopcyxhdqw" + "ABEZHIKMNOPTYXayikvoptuxw" + "onuOU",
)
_LETTERS = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "æ": "ae", "œ": "oe", "ɡ": "g", "ɑ": "a"}  # noqa: RUF001
    | dict(zip("ʙɢʜɪʟɴᴏʀʏᴀᴄᴅᴇᴊᴋᴍᴘᴛᴜᴠᴡᴢ", "bghilnoryacdejkmptuvwz", strict=True))
    | {"ة": "ه", "ى": "ي"}  # noqa: RUF001
)
_DIGITS = (str.maketrans("0134578", "oieastb"), str.maketrans("0134578", "oleastb"))
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}"  # British: CB7 5AA is not CBT
_ALPHABETS = (
    r"[A-Za-z\u00c0-\u02af\u1d00-\u1dbf\u1e00-\u1eff]",  # Latin
    r"[\u0370-\u03ff\u1f00-\u1fff]",  # Greek
    r"[\u0400-\u052f\u1c80-\u1c8f\ua640-\ua69f]",  # Cyrillic
    r"[\u0530-\u058f]",  # Armenian
    r"[\u13a0-\u13ff\uab70-\uabbf]",  # Cherokee
)


@dataclass(frozen=True, slots=True)
class Word:
    """One word, folded; ``capitals`` if it was written in capitals."""

    letters: str = field(repr=False)
    capitals: bool = False


GAP = Word("")  # stands between readings: no phrase reaches over it


def visible(text: str) -> str:
    """Remove what a reader does not see: zero-width and direction marks, accents, styles of letters."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text)
    return "".join(c for c in apart if c < "\x80" or (unicodedata.category(c) not in _UNSEEN and c not in _BLANKS))


def chunks(plain: str) -> list[list[str]]:
    """Return the words between spaces, each cut at its hyphens, dots and apostrophes."""
    return [[chunk] if chunk.isalnum() else re.findall(r"[^\W_]+", chunk) for chunk in plain.split()]


def mixes_scripts(piece: str) -> bool:
    """Return whether one word takes letters from two alphabets that look alike."""
    return not piece.isascii() and sum(bool(re.search(letters, piece)) for letters in _ALPHABETS) > 1


def fold(piece: str) -> Word:
    """Convert one piece to the letters that stems are written in."""
    if piece.isascii():
        return Word(piece.lower(), piece.isupper())
    letters = piece.casefold().translate(_LETTERS)
    if "\u0620" <= letters[0] <= "\u064a":
        letters = re.sub(r"^(?:[وف]?[بك]?ال|لل)(?=\w{3})", "", letters)  # Arabic joins the article to the word
    return Word(letters, piece.isupper())


def other_readings(chunks: list[list[str]]) -> Iterator[str]:
    """Yield words as they read without hyphens, dots, spaces, look-alike letters and digits for letters."""
    for chunk in chunks:
        if len(chunk) > 1:
            yield "".join(chunk)
    pieces = [piece for chunk in chunks for piece in chunk]
    for single, run in groupby(pieces, key=lambda piece: len(piece) == 1 and piece.isalpha()):
        if single and len(letters := "".join(run)) > 1:
            yield letters
    for piece, following in zip_longest(pieces, pieces[1:], fillvalue=""):
        if (not piece.isalpha() or not piece.isascii()) and not re.fullmatch(_POSTCODE, f"{piece} {following}"):
            yield from _respelled(piece)


def _respelled(piece: str) -> Iterator[str]:
    if not piece.isascii():  # before case folding: a small Cyrillic н no longer looks like the H it was
        twin = piece.translate(_LOOKALIKES)
        if twin.isascii():
            yield twin
    elif re.search(r"[A-Za-z]", piece) and not re.fullmatch(r"\d+[A-Za-z]{1,3}", piece):  # 1st, 22bis stay numbers
        yield from {piece.translate(digits) for digits in _DIGITS}
