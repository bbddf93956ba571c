"""How many SMS segments a text takes; it sees the text and keeps nothing of it.

Sources: 3GPP TS 23.038, 6.2.1 (alphabet, extension table, UCS2) and TS 23.040, 9.2.3.24 (joined segments).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


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
_PLANE = 0xFFFF  # characters above it are two UTF-16 units


def measure(text: str) -> Segments:
    """Count the segments of a text, an empty one being one."""
    if GSM.issuperset(text):
        if EXTENSION.isdisjoint(text) and len(text) <= 160:  # noqa: PLR2004
            return Segments(1, Encoding.GSM7)
        widths = [2 if character in EXTENSION else 1 for character in text]
        return Segments(_pack(widths, alone=160, joined=153), Encoding.GSM7)
    widths = [2 if ord(character) > _PLANE else 1 for character in text]
    return Segments(_pack(widths, alone=70, joined=67), Encoding.UCS2)


def _pack(widths: Iterable[int], *, alone: int, joined: int) -> int:
    """Fill one segment after another; what takes two units is never split over two segments."""
    total, count, free = 0, 1, joined
    for width in widths:
        total += width
        if width > free:
            count, free = count + 1, joined
        free -= width
    return count if total > alone else 1
