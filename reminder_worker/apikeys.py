"""API keys: which platform calls, whether for real, and what it may do. Only hashes are kept.

A key has 256 random bits, so one fast hash protects it: nobody can try that many. The file holds no secret, and may be
changed while the gateway runs.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec

from reminder_worker.encoding import to_text
from reminder_worker.errors import SettingsError
from reminder_worker.gateway import Mode
from reminder_worker.keyfiles import PRIVATE, alone, create_file, is_private, replace_file
from reminder_worker.sealing import is_platform

LIVE_AT_ONCE = 2  # for each platform and mode: the old key and the new one, while clients change over
_NAME_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # read aloud, none is mistaken for another
_KEY = re.compile(r"rwk_(live|test)_([a-z0-9]{8})_[A-Za-z0-9_-]{43}", re.ASCII)


class Scope(StrEnum):
    """What a key may do."""

    ADD = "add"  # hand in and move
    CANCEL = "cancel"
    READ = "read"  # see what became of it


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key, without its secret."""

    name: str
    platform: str
    mode: Mode
    scopes: list[Scope]
    hash: str
    created: datetime
    expires: datetime

    def __repr__(self) -> str:
        """Show which key it is, but not its hash."""
        return f"ApiKey(name={self.name!r})"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as a valid key proves it."""

    platform: str = field(repr=False)
    mode: Mode
    scopes: frozenset[Scope]
    expires: datetime


class ApiKeys:
    """The keys that the gateway knows; a changed file is read again."""

    def __init__(self, folder: Path) -> None:
        self._path = key_list(folder)
        self._read_at: tuple[int, int] | None = None
        self._keys: dict[str, ApiKey] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the file if it has changed. Raises SettingsError."""
        try:
            stat = self._path.stat()
        except OSError:
            raise SettingsError(f"{self._path}: cannot be read; run reminder-worker keys new api NAME DIR") from None
        changed = stat.st_mtime_ns, stat.st_ino
        if changed != self._read_at:
            self._keys = {key.name: key for key in _read(self._path)}
            self._read_at = changed

    def caller(self, key: str, now: datetime) -> Caller | None:
        """Return the caller that a key stands for; None if it is unknown, revoked or expired."""
        match = _KEY.fullmatch(key)
        known = self._keys.get(match[2]) if match else None
        if known is None or not hmac.compare_digest(known.hash, _hash(key)) or known.expires <= now:
            return None
        return Caller(known.platform, known.mode, frozenset(known.scopes), known.expires)

    def platforms(self, now: datetime) -> set[str]:
        """Return the platforms that have a valid key."""
        return {key.platform for key in self._keys.values() if key.expires > now}


def new(platform: str, folder: Path, *, mode: Mode, scopes: Collection[Scope], lasts: timedelta, now: datetime) -> Path:
    """Make a key and return the file that holds it, meant for the platform alone. Raises SettingsError."""
    if not is_platform(platform):
        raise SettingsError("platform: a name has 1 to 20 of the characters a-z, 0-9 and -")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise SettingsError(f"{folder}: cannot be made") from None
    name = "".join(secrets.choice(_NAME_LETTERS) for _ in range(8))
    key = f"rwk_{mode}_{name}_{to_text(secrets.token_bytes(32))}"
    start = now.replace(microsecond=0)
    entry = ApiKey(name, platform, mode, sorted(scopes), _hash(key), start, start + lasts)
    file = folder / f"{platform}.{mode}.{name}.apikey"
    with _changing(folder) as path:
        known = [key for key in _read(path) if key.expires > now] if path.exists() else []
        _check_room(known, entry)
        create_file(file, f"{key}\n", PRIVATE)
        _write(path, [*known, entry])
    return file


def _check_room(known: Collection[ApiKey], new: ApiKey) -> None:
    """Refuse a third key. Raises SettingsError."""
    same = [key.name for key in known if (key.platform, key.mode) == (new.platform, new.mode)]
    if len(same) >= LIVE_AT_ONCE:
        raise SettingsError(
            f"{new.platform}: has two {new.mode} keys already ({', '.join(same)}); run reminder-worker keys revoke NAME"
        )


def listed(folder: Path) -> list[ApiKey]:
    """Return all keys, without their secrets. Raises SettingsError."""
    return _read(key_list(folder))


def read_key(path: Path) -> str:
    """Read the file that a platform was handed. Raises SettingsError."""
    try:
        key = path.read_text("ascii").strip()
    except (OSError, ValueError):
        key = ""
    if not _KEY.fullmatch(key):
        raise SettingsError(f"{path}: should hold a key that reminder-worker keys new api made")
    if not is_private(path):
        raise SettingsError(f"{path}: can be read by others; run: chmod 600 {path}")
    return key


def revoke(name: str, folder: Path) -> None:
    """Forget a key. Raises SettingsError if no key has that name."""
    with _changing(folder) as path:
        known = _read(path)
        kept = [key for key in known if key.name != name]
        if len(kept) == len(known):
            there = ", ".join(f"{key.name} ({key.platform}, {key.mode})" for key in known) or "none"
            raise SettingsError(f"NAME: there is no such key in {path}; there are: {there}")
        _write(path, kept)


@contextmanager
def _changing(folder: Path) -> Iterator[Path]:
    """Keep others from changing the list meanwhile: what they write would bring back a key that is being revoked."""
    path = key_list(folder)
    try:
        with alone(folder):
            yield path
    except OSError:
        raise SettingsError(f"{path}: cannot be read; it should hold the hashes of API keys") from None


def key_list(folder: Path) -> Path:
    """Return the path of the file that holds the hashes."""
    return folder / "api-keys.json"


def _read(path: Path) -> list[ApiKey]:
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=list[ApiKey])
    except OSError:
        raise SettingsError(f"{path}: cannot be read; it should hold the hashes of API keys") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SettingsError(f"{path}: is not what reminder-worker keys new api writes") from None
    if any(key.expires.tzinfo is None for key in keys):
        raise SettingsError(f"{path}: a time has no zone")
    return keys


def _write(path: Path, keys: list[ApiKey]) -> None:
    text = msgspec.json.format(msgspec.json.encode(keys), indent=1).decode()
    try:
        replace_file(path, f"{text}\n", PRIVATE)
    except OSError:
        raise SettingsError(f"{path}: cannot be written") from None


def _hash(key: str) -> str:
    return to_text(hashlib.blake2b(key.encode(), digest_size=32, person=b"rw-api-key").digest())
