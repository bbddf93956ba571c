"""Inputs made from others by lot, for where atheris is not installed; the same seed makes the same inputs."""

import random
from collections.abc import Iterator, Sequence

from .targets import NUMBER, PLACE

TOKENS = (
    *(token.encode() for token in (NUMBER, PLACE, NUMBER[1:], "\ud7ff", "\u202e", "\u0301", "é", "\u0661\u0662", "👍")),
    *b'\xff|\xc3|\xed\xa0\x80|\0|\r\n|\n\n|\t| |%|%00|%ff|%zz|{|}|[|]|[[|{{|:|,|"|\\|\\ud800|null|true'.split(b"|"),
    *b"-1|0|1e999|99999999999999999999|NaN|Infinity|0x10|+|-|.|..|/|//|?|&|=|;|2099-12-31|{0}|{a.b}|{a!r}".split(b"|"),
    *b"0001-01-01T00:00:00+23:59|9999-12-31T23:59:59Z|BEGIN:VEVENT|RRULE:FREQ=DAILY;INTERVAL=0|TZID=".split(b"|"),
    b"\xef\xbb\xbf",
    b"9" * 5000,
    b"[" * 2000,
    b"a" * 1000,
)
MOST_STEPS = 4


def mutants(corpus: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield inputs without end."""
    lot = random.Random(seed)
    pool = list(corpus) or [b""]
    while True:
        data = lot.choice(pool)
        for _ in range(lot.randint(1, MOST_STEPS)):
            data = _changed(lot, data, pool)
        yield data


def _changed(lot: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    start, end = sorted((lot.randint(0, len(data)), lot.randint(0, len(data))))
    end = min(end, start + lot.choice((1, 4, 64, len(data))))
    token, other = lot.choice(TOKENS), lot.choice(pool)
    ways = (
        data[:start] + bytes([lot.randrange(256)]) + data[start + 1 :],
        data[:start] + token + data[start:],
        data[:start] + token + data[end:],
        data[:start] + data[end:],
        data[:end] + data[start:end] * lot.choice((1, 2, 50)) + data[end:],
        data[:start] + other[lot.randint(0, len(other)) :],
        data[:start] + lot.randbytes(lot.randint(1, 8)) + data[start:],
    )
    return lot.choice(ways)
