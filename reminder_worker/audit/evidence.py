"""Collect what a party could hold: everything in the store and its files, other files, logs, command lines, memory."""

import codecs
import contextlib
import re
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from reminder_worker import store
from reminder_worker.encoding import POINTER_BYTES, WEEKS_AHEAD, from_text
from reminder_worker.keyfiles import KEY_BYTES
from reminder_worker.notes import NOTE_BYTES
from reminder_worker.ratchet import Ratchet
from reminder_worker.sealing import ENVELOPE_BYTES, KID_BYTES, VERSION, PublicKeys, kid

DATABASES = 16
AROUND = 160  # bytes of memory that are kept on each side of a hit
QUESTIONS = "CLIENT LIST", "ACL LOG", "INFO everything", "CONFIG GET *", "LATENCY DOCTOR"
_SEALED = 1 + KID_BYTES  # where a sealed box begins


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that a party holds or, if not ``kept``, that only passes through it."""

    where: str
    content: bytes = field(repr=False)
    kept: bool = True


def in_store(url: str) -> Iterator[Piece]:
    """Return everything that a server holds, key by key, and what it records about its clients."""
    base = url.partition("?")[0]
    for database in range(DATABASES):
        with store.connect(f"{base}?db={database}") as client:
            for key in client.scan_iter(count=1000):
                yield Piece(f"key in database {database}", key)
                kind = client.type(key)
                yield Piece(f"value in database {database} ({kind.decode()})", flat(value_of(client, key, kind)))
                yield Piece(f"dump in database {database}", client.dump(key) or b"")
                yield Piece(f"end of a key in database {database}", flat(client.pexpiretime(key)))
    with store.connect(url) as client:
        yield Piece("slow log", flat(client.slowlog_get(-1)))
        for command in QUESTIONS:
            yield Piece(command.lower(), flat(client.execute_command(command)))


def value_of(client: store.Client, key: bytes, kind: bytes) -> Any:
    """Return the value of a key of this type."""
    readers = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"set": client.smembers,
        b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        b"stream": client.xrange,
        b"none": lambda _: b"",  # expired meanwhile
    }
    return readers[kind](key)


def flat(value: Any) -> bytes:
    """Write any answer of a server as bytes, one piece after another; add compressed content unpacked."""
    if isinstance(value, bytes):
        return value + unpacked(value)
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple | set):
        return b"\n".join(map(flat, value))
    return f"{value:.0f} {value}".encode() if isinstance(value, float) else str(value).encode()


def unpacked(value: bytes) -> bytes:
    """Return what was compressed, with a line break before it; nothing if it was not compressed."""
    for form in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # zlib or gzip; bare
        with contextlib.suppress(zlib.error):
            return b"\n" + zlib.decompress(value, form)
    return b""


def unescaped(shown: bytes) -> bytes:
    """Undo how MONITOR escapes what is not ASCII."""
    return codecs.escape_decode(shown)[0]


def in_folder(folder: Path) -> Iterator[Piece]:
    """Return the names and contents of all files."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder)
            yield Piece(f"file {folder.name}/{name}", bytes(name) + b"\n" + path.read_bytes())


def of_process(name: str, pids: Iterable[int]) -> Iterator[Piece]:
    """Return what everybody on the machine, or the process's owner, can see of it."""
    for pid in pids:
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                yield Piece(f"{part} of {name}", Path(f"/proc/{pid}/{part}").read_bytes().replace(b"\0", b"\n"))
        for thread in Path(f"/proc/{pid}/task").glob("*/comm"):
            with contextlib.suppress(OSError):
                yield Piece(f"thread of {name}", thread.read_bytes())


def mask_of_files(pid: int) -> int:
    """Return the bits that a process denies on each file that it makes; all of them if that cannot be read."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Umask:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1], 8)
    return 0o777


def limit_of_core(pid: int) -> int | None:
    """Return how many bytes of a process's memory a crash may write to disk; None if that cannot be read."""
    with contextlib.suppress(OSError):
        limits = re.search(r"^Max core file size +(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
        if limits is not None:
            return -1 if limits[1] == "unlimited" else int(limits[1])
    return None


def in_memory(pid: int, stems: Collection[bytes]) -> bytes | None:
    """Return what surrounds each stem in a process's memory; None if it cannot be read (only root may)."""
    wanted = re.compile(b"|".join(map(re.escape, stems)))
    found = []
    try:
        with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
            for start, end in _regions(pid):
                memory.seek(start)
                with contextlib.suppress(OSError):
                    region = memory.read(end - start)
                    hits = (match.span() for match in wanted.finditer(region))
                    found += [region[max(0, first - AROUND) : last + AROUND] for first, last in hits]
    except OSError:
        return None
    text = b"\n".join(found)
    return text + text.decode("latin-1").encode()  # as Python keeps texts, and as they are written


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, *_ = line.split()
        if rights.startswith("rw"):
            first, last = (int(edge, 16) for edge in span.split("-"))
            yield first, last


def keys_among(pieces: Iterable[Piece]) -> set[bytes]:
    """Return everything that has the form of a key."""
    words = {word for piece in pieces for word in re.findall(rb"(?<![\w-])[\w-]{43}(?![\w-])", piece.content)}
    found = set()
    for word in words:
        with contextlib.suppress(ValueError):
            found.add(from_text(word.decode(), KEY_BYTES))
    return found


def keys_in(folder: Path) -> set[bytes]:
    """Return everything in a folder's files that could be a private key, and the keys that its ratchet yields."""
    found = keys_among(in_folder(folder))
    for path in folder.rglob("worker.ratchet"):
        ratchet = Ratchet.load(path.parent)
        found |= {bytes(ratchet.at(ratchet.week + ahead).key()) for ahead in range(WEEKS_AHEAD)}
    return found


def sealed_in(content: bytes, public: PublicKeys) -> Iterator[bytes]:
    """Return everything that some bytes hold sealed to one of these keys: envelopes, notes, pointers."""
    lengths: dict[bytes, tuple[int, ...]] = {kid(key): (POINTER_BYTES,) for key in public.pointers}
    lengths |= {kid(key): (ENVELOPE_BYTES, NOTE_BYTES) for key in public.envelopes.values()}
    for match in re.finditer(b"|".join(re.escape(VERSION + name) for name in lengths), content):
        for length in lengths[match[0][1:]]:
            yield content[match.start() : match.start() + length]


def opened(content: bytes, public: PublicKeys, keys: Collection[bytes], what: str) -> Iterator[Piece]:
    """Try every key on everything sealed in some bytes, and on what is sealed inside it; return what opens."""
    left = list(set(sealed_in(content, public)))
    while left:
        one = left.pop()
        for key in keys:
            if (plain := _decrypted(one[_SEALED:], key)) is not None:
                yield Piece(what, plain)
                left += sealed_in(plain, public)


@cache
def _decrypted(sealed: bytes, key: bytes) -> bytes | None:
    """Try a key; cached, because many parties hold the same content and all keys are tried on it."""
    with contextlib.suppress(CryptoError, ValueError):
        return SealedBox(_private(key)).decrypt(sealed)
    return None


@cache
def _private(key: bytes) -> PrivateKey:
    return PrivateKey(key)
