"""The bytes of format version 1 before anything is sealed (docs/format.md); no keys, no cryptography, no I/O.

What these classes accept when a job is made is exactly what they accept when one is opened.
"""

import base64
import re
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from reminder_worker.errors import Reason, Refused

POINTER_BYTES = 153  # 1 version, 8 key id, 48 sealed box, 96 padded content
MAX_LEADS = 8
WEEKS_AHEAD = 53  # for which public keys are published
SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}  # in each unit of a lead

_LENGTH = struct.Struct("<H").pack
_UINT32 = 2**32 - 1
_DAY = 24 * 60  # minutes
_ZONE = re.compile(r"(?=.{0,40}\Z)([A-Za-z._][A-Za-z0-9._+-]*(/[A-Za-z0-9._+-]+)*)?", re.ASCII)
_LEAD = re.compile(r"([1-9][0-9]{0,7})([dhms])", re.ASCII)
_BREAKS = {"Cc", "Cs", "Zl", "Zp"}  # control characters, half surrogates, line and paragraph separators
_VISIBLE = "LNPS"  # letters, numbers, punctuation, symbols: not blanks, nor marks and joiners alone


def pae(*parts: bytes) -> bytes:
    """Join parts so that no two lists of parts encode alike (PASETO's PAE, with narrower lengths).

    Raises OverflowError for a part of 64 KiB or more.
    """
    try:
        return bytes([len(parts)]) + b"".join([piece for part in parts for piece in (_LENGTH(len(part)), part)])
    except struct.error:
        raise OverflowError("a part is too long") from None


def unpae(data: bytes, count: int) -> list[bytes]:
    """Split what ``pae`` joined. Raises ValueError for another count, and for bytes missing or left over."""
    if data[:1] != bytes([count]):
        raise ValueError("another number of parts")
    parts, at = [], 1
    for _ in range(count):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "little")
        parts.append(data[start:at])
    if at != len(data):
        raise ValueError("bytes missing or left over")
    return parts


def pad(data: bytes, size: int) -> bytes:
    """Pad to ``size`` with 0x80 and zeros (ISO/IEC 7816-4). Raises ValueError if no byte is left for the padding."""
    if len(data) >= size:
        raise ValueError("too long")
    return data + b"\x80" + bytes(size - len(data) - 1)


def unpad(data: bytes) -> bytes:
    """Undo ``pad``. Raises ValueError."""
    content = data.rstrip(b"\0")
    if not content.endswith(b"\x80"):
        raise ValueError("wrong padding")
    return content[:-1]


def to_text(data: bytes) -> str:
    """Write bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_text(text: str, length: int) -> bytes:
    """Read exactly ``length`` bytes from base64url without padding. Raises ValueError for any other spelling."""
    if not isinstance(text, str) or len(text) != -(-length * 4 // 3):
        raise ValueError("not base64url of that length")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_text(data) != text:
        raise ValueError("another spelling")
    return data


def lead_seconds(text: str) -> int:
    """Return the length of a lead such as ``24h`` in seconds; 0 for anything else."""
    match = _LEAD.fullmatch(text)
    return int(match[1]) * SECONDS[match[2]] if match else 0


@dataclass(frozen=True, slots=True)
class Time:
    """An instant, and how the wall clock at the appointment reads it."""

    seconds: int = field(repr=False)  # since 1970, UTC
    offset_minutes: int = field(repr=False)  # of the wall clock from UTC
    zone: str = field(repr=False)  # IANA name; empty when only an offset was given

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= _UINT32 or not -_DAY < self.offset_minutes < _DAY or not _ZONE.fullmatch(self.zone):
            raise Refused(Reason.TIME_INVALID, "time", "does not fit the format")

    def encode(self) -> bytes:
        """Write 4 bytes of seconds, 2 bytes of offset, both big-endian, and the zone."""
        return struct.pack(">Ih", self.seconds, self.offset_minutes) + self.zone.encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> "Time":
        """Undo ``encode``. Raises ValueError or Refused."""
        if len(data) < 6:  # noqa: PLR2004
            raise ValueError("too short")
        seconds, offset_minutes = struct.unpack(">Ih", data[:6])
        return cls(seconds, offset_minutes, data[6:].decode("ascii"))


@dataclass(frozen=True, slots=True)
class Body:
    """The signed part of a job."""

    time: Time = field(repr=False)
    location: str = field(repr=False)  # one line, NFC
    pointer: bytes = field(repr=False)
    leads: tuple[str, ...]  # "24h", "2h": each longer than the next
    issued: int  # seconds since 1970, UTC

    def __post_init__(self) -> None:
        if not _is_line(self.location):
            raise Refused(Reason.LOCATION_INVALID, "location", "must be one line of text in NFC")
        if len(self.pointer) != POINTER_BYTES:
            raise Refused(Reason.POINTER_INVALID, "pointer", "has a wrong length")
        if not _fall(self.leads):
            raise Refused(Reason.LEAD_INVALID, "leads", f"write 1 to {MAX_LEADS}, the longest first: 24h, 2h")
        if not 0 <= self.issued <= _UINT32:
            raise Refused(Reason.TIME_INVALID, "issued", "does not fit the format")

    def encode(self) -> bytes:
        """Write the bytes that are signed."""
        leads, issued = " ".join(self.leads).encode("ascii"), self.issued.to_bytes(4, "big")
        return pae(self.time.encode(), self.location.encode(), self.pointer, leads, issued)

    @classmethod
    def decode(cls, data: bytes) -> "Body":
        """Undo ``encode``. Raises ValueError or Refused; a ValueError may hold data and must not be passed on."""
        time, location, pointer, leads, issued = unpae(data, 5)
        if len(issued) != 4:  # noqa: PLR2004
            raise ValueError("issued has a wrong length")
        texts = tuple(leads.decode("ascii").split(" "))
        return cls(Time.decode(time), location.decode("utf-8"), pointer, texts, int.from_bytes(issued, "big"))


def _is_line(text: str) -> bool:
    if text.isprintable() and any(map(str.isalnum, text)):  # the usual case: no breaks, and something visible
        return unicodedata.is_normalized("NFC", text)
    categories = {unicodedata.category(character) for character in text}
    visible = any(category[0] in _VISIBLE for category in categories)
    return visible and not categories & _BREAKS and unicodedata.is_normalized("NFC", text)


def _fall(leads: Sequence[str]) -> bool:
    """Return whether these are 1 to 8 leads, each longer than the next."""
    lengths = [lead_seconds(lead) for lead in leads]
    falling = all(longer > shorter for longer, shorter in pairwise(lengths))
    return 1 <= len(leads) <= MAX_LEADS and all(lengths) and falling
