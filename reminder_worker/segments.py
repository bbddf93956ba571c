"""How many SMS segments a text takes, and which spelling makes it take fewer; nothing of the text is kept.

Sources: 3GPP TS 23.038, 6.2.1 (alphabet, extension table, UCS2) and TS 23.040, 9.2.3.24 (joined segments).
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Encoding(StrEnum):
    """How the characters travel; one character outside the GSM alphabet turns the whole text into UCS-2."""

    GSM7 = "gsm7"  # 160 septets, or 153 in each of several segments
    UCS2 = "ucs2"  # 70 UTF-16 units, or 67 in each of several segments


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text costs."""

    count: int
    encoding: Encoding


EXTENSION = frozenset("\f^{}\\[~]|€")  # an escape and a letter: two septets
GSM = EXTENSION | frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Letters that Unicode does not decompose, and how they are written where they cannot be: L and D with a stroke,
# dotless I, joined OE, and the degree sign of "n°".
_SPELT = {"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "\u0131": "i", "œ": "oe", "Œ": "OE", "°": "o"}
_TYPOGRAPHY = {
    "\u2018\u2019\u201a\u201b\u2032\u2039\u203a\u02bc\u00b4`": "'",
    "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb": '"',
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212": "-",
    "\u2026": "...",
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000": " ",
    "\u00ad\u180e\u200b\u200c\u200d\u2060\ufeff": "",  # soft hyphen, joiners and spaces without width
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069": "",  # marks of direction
}
_TIDY = str.maketrans({odd: usual for odds, usual in _TYPOGRAPHY.items() for odd in odds})
_PLANE = 0xFFFF  # characters above it are two UTF-16 units


def measure(text: str) -> Segments:
    """Count the segments of a text; an empty one takes one."""
    if GSM.issuperset(text):
        if EXTENSION.isdisjoint(text) and len(text) <= 160:  # noqa: PLR2004
            return Segments(1, Encoding.GSM7)
        widths = [2 if character in EXTENSION else 1 for character in text]
        return Segments(_pack(widths, alone=160, joined=153), Encoding.GSM7)
    widths = [2 if ord(character) > _PLANE else 1 for character in text]
    return Segments(_pack(widths, alone=70, joined=67), Encoding.UCS2)


def _pack(widths: Iterable[int], *, alone: int, joined: int) -> int:
    """Fill one segment after another; a character of two units is never split over two segments."""
    total, count, free = 0, 1, joined
    for width in widths:
        total += width
        if width > free:
            count, free = count + 1, joined
        free -= width
    return count if total > alone else 1


def tidy(text: str) -> str:
    """Replace typographic characters that would turn a text into UCS-2, or that nobody sees."""
    return text.translate(_TIDY)


def plain(text: str) -> str | None:
    """Take the accents off what is outside the GSM alphabet; None if that does not bring the text into it."""
    composed = unicodedata.normalize("NFC", text)
    spelt = "".join(character if character in GSM else _bare(character) for character in composed)
    return spelt if GSM.issuperset(spelt) else None


@lru_cache(maxsize=2048)
def _bare(character: str) -> str:
    parts = unicodedata.normalize("NFKD", _SPELT.get(character, character))
    return "".join(part for part in parts if not unicodedata.combining(part))
