"""Look for what must not be found: in the store, its files, logs, exceptions and reprs, in every usual writing."""

import base64
import hashlib
import json
import logging
import struct
import traceback
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from reminder_worker import store
from reminder_worker.logs import Formatter

DATABASES = 16
WINDOW = 16  # bytes; a piece of ciphertext this long is there by no chance

Place = tuple[str, bytes]  # where, and what is there


def writings(text: str) -> set[bytes]:
    """Return a text as it may stand in bytes: plain, escaped, encoded or hashed without a key."""
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
    digests = {
        hash_(raw, usedforsecurity=False).digest()
        for hash_ in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.blake2b)
    }
    return plain | encoded | digests | {digest.hex().encode() for digest in digests}


def _base64(raw: bytes) -> Iterator[bytes]:
    """Encode at each of the three places that a text can have in a longer one, without the edges."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw)
        core = whole[(0, 2, 3)[before] : len(whole) - 4]
        yield from (core, core.replace(b"+", b"-").replace(b"/", b"_"))


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
    """Return every piece of sealed bytes that is long enough to be known again."""
    return {data[start : start + WINDOW] for start in range(len(data) - WINDOW + 1)}


def found(places: Iterable[Place], secrets: dict[str, set[bytes]]) -> set[tuple[str, str]]:
    """Say what stands where: the place, and the name of the secret."""
    return {
        (where, name)
        for where, content in places
        for name, forms in secrets.items()
        if any(form in content for form in forms)
    }


# Where to look.


def in_store(url: str) -> Iterator[Place]:
    """Return everything that a server holds: keys, values and what it notes about its clients."""
    base = url.partition("?")[0]
    for database in range(DATABASES):
        with store.connect(f"{base}?db={database}") as client:
            for key in client.scan_iter(count=1000):
                yield f"key in database {database}", key
                yield f"value in database {database}", _flat(_value(client, key))
                yield f"dump in database {database}", client.dump(key) or b""
    with store.connect(url) as client:
        yield "slow log", _flat(client.slowlog_get(-1))
        for command in ("CLIENT LIST", "ACL LOG", "INFO everything", "CONFIG GET *", "LATENCY DOCTOR"):
            yield command.lower(), _flat(client.execute_command(command))


def _value(client: store.Client, key: bytes) -> Any:
    readers = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"set": client.smembers,
        b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        b"stream": client.xrange,
        b"none": lambda _: b"",  # expired meanwhile
    }
    return readers[client.type(key)](key)


def _flat(value: Any) -> bytes:
    """Write anything that a server answers as bytes, one piece behind the other."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple | set):
        return b"\n".join(map(_flat, value))
    return f"{value:.0f} {value}".encode() if isinstance(value, float) else str(value).encode()


def in_folder(folder: Path) -> Iterator[Place]:
    """Return the names and contents of all files."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield f"file {path.name}", bytes(path.relative_to(folder)) + b"\n" + path.read_bytes()


def in_records(records: Iterable[logging.LogRecord]) -> Iterator[Place]:
    """Return what our formatter writes, and all that another one could: only exceptions may hold data there."""
    formatter = Formatter()
    for record in list(records):
        yield "log line", formatter.format(record).encode()
        fields = {name: value for name, value in record.__dict__.items() if name not in {"exc_info", "exc_text"}}
        yield f"record of {record.name}", f"{record.getMessage()}\n{fields!r}".encode()


def in_objects(*objects: object) -> Iterator[Place]:
    """Return how objects show themselves."""
    for one in objects:
        yield f"repr of {type(one).__name__}", f"{one!r}\n{one}".encode()


def in_exception(error: BaseException) -> Iterator[Place]:
    """Return what an exception tells to whoever prints it, and the arguments of all that it shows."""
    yield "traceback", "".join(traceback.format_exception(error)).encode()
    link: BaseException | None = error
    while link is not None:
        yield f"arguments of {type(link).__name__}", f"{link!r}\n{link.args!r}\n{vars(link)!r}".encode()
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
