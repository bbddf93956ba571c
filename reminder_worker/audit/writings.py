"""How a fact may appear in bytes: plain, escaped, encoded, packed, or hashed without a key that would protect it."""

import base64
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote, quote_plus

SHORTEST = 5  # bytes; anything shorter turns up by chance
WINDOW = 16  # bytes; a piece of ciphertext this long does not turn up by chance
_SIZES = 8, 12, 16, 20, 32, 64  # of digests, bytes
_BEGINNING = 6  # bytes by which a digest is recognised, however it was cut; fewer turn up by chance


def writings(text: str) -> set[bytes]:
    """Return the forms of a text in bytes: plain, escaped, encoded or hashed without a key."""
    raw = text.encode()
    ascii_json = json.dumps(text)[1:-1].encode()
    plain = {raw, text.lower().encode(), text.upper().encode(), text.encode("utf-16-le"), ascii_json}
    plain |= {
        quote(text, safe="").encode(),
        quote_plus(text).encode(),
        repr(text)[1:-1].encode(),
        ascii(text)[1:-1].encode(),
    }
    encoded = {raw.hex().encode(), raw.hex().upper().encode(), *_base64(raw)}
    kinds = hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512, hashlib.sha3_256, hashlib.blake2s
    return plain | encoded | _digests({kind(raw, usedforsecurity=False).digest() for kind in kinds})


def _digests(found: set[bytes]) -> set[bytes]:
    """Return the beginnings of digests: as bytes, in hexadecimal digits of either case, in base64."""
    begin = {digest[:_BEGINNING] for digest in found}
    texts = {form for one in begin for form in (one.hex(), one.hex().upper(), base64.b64encode(one).decode())}
    return begin | {text.encode() for text in texts} | {base64.urlsafe_b64encode(one) for one in begin}


def _base64(raw: bytes) -> Iterator[bytes]:
    """Encode at each of the three offsets that a text can have in a longer one, without the edges."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw)
        core = whole[(0, 2, 3)[before] : len(whole) - 4]
        yield from (core, core.replace(b"+", b"-").replace(b"/", b"_"))


def unkeyed(text: str) -> set[bytes]:
    """Return the digests of a text under this program's own names of hashes, as if the key had been forgotten."""
    raw = text.encode()
    persons = _persons() | {b""}
    return _digests({hashlib.blake2b(raw, digest_size=size, person=one).digest() for one in persons for size in _SIZES})


@cache
def _persons() -> frozenset[bytes]:
    """Return the names under which this program hashes anything, as found in its own source."""
    sources = Path(__file__).parents[1].rglob("*.py")
    return frozenset(
        name.encode() for path in sources for name in re.findall(r'b"(rw-[a-z-]{1,13})"', path.read_text())
    )


def phone_writings(phone: str) -> set[bytes]:
    """Return a French number (+33 and nine digits) in its usual notations; the shortest cover the longer ones."""
    digits = phone.removeprefix("+33")
    pairs = [digits[1:3], digits[3:5], digits[5:7], digits[7:9]]
    spelt = {digits, *(f"{digits[0]}{sign}{sign.join(pairs)}" for sign in (" ", ".", "-"))}
    found = set().union(*map(writings, spelt), writings(phone), writings(phone[1:]), writings(f"0{digits}"))
    for number in (int(phone[1:]), int(digits)):
        found |= {struct.pack(">Q", number), struct.pack("<Q", number)}
    return found


def time_writings(moment: datetime) -> set[bytes]:
    """Return an instant in its usual notations."""
    utc, seconds = moment.astimezone(UTC), int(moment.timestamp())
    texts = {f"{each:%Y-%m-%d{sign}%H:%M}" for each in (moment, utc) for sign in ("T", " ")}
    texts |= {f"{each:%Y%m%dT%H%M}" for each in (moment, utc)}
    texts |= {", ".join(map(str, (each.year, each.month, each.day, each.hour, each.minute))) for each in (moment, utc)}
    found = set().union(*map(writings, texts), {str(seconds).encode()})  # of milliseconds too
    for number in (seconds, seconds * 1000):
        found |= {struct.pack(form, number) for form in (">Q", "<Q", ">d", "<d")}
    offset = moment.utcoffset()
    assert offset is not None
    return found | {struct.pack(">Ih", seconds, int(offset.total_seconds()) // 60)}


def windows(data: bytes) -> set[bytes]:
    """Return every piece of sealed bytes that is long enough to be recognised."""
    return {data[start : start + WINDOW] for start in range(len(data) - WINDOW + 1)}
