"""Who may open the operator's page: names, with slow hashes of their passwords, in a file that only its owner reads.

A password can be guessed, unlike a key: each guess costs some seventy milliseconds and 32 MiB of memory (scrypt).
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec

from reminder_worker.errors import SettingsError
from reminder_worker.findings import Finding, try_to_load
from reminder_worker.keyfiles import PRIVATE, alone, is_private, replace_file
from reminder_worker.mistakes import named
from reminder_worker.settings import Settings

FILE = "operators.json"  # in a folder of keys
SHORTEST, LONGEST = 12, 256  # characters of a password
NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}", re.ASCII)
COST = 2**15  # of scrypt, as n; with r = 8 it takes 32 MiB
_MEMORY = 2**26  # bytes that scrypt may take
_SALT, _HASH = 16, 32  # bytes


class Operator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operator, without the password."""

    name: str
    cost: int
    salt: bytes
    hash: bytes
    made: datetime

    def __repr__(self) -> str:
        """Show the name, and no hash."""
        return f"Operator(name={self.name!r})"


NOBODY = Operator("", COST, bytes(_SALT), bytes(_HASH), datetime.min)  # noqa: DTZ901 - whose password nobody has


class Operators:
    """The operators of a file; a changed file is read again, so anyone removed from it is out at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._known: dict[str, Operator] = {}
        self.get("")

    def get(self, name: str) -> Operator | None:
        """Return an operator as the file has it now. Raises SettingsError."""
        try:
            stat = self._path.stat()
        except OSError:
            raise SettingsError(
                f"{self._path}: cannot be read; run reminder-worker keys new operator NAME FILE"
            ) from None
        changed = stat.st_mtime_ns, stat.st_ino
        if changed != self._read_at:
            self._known = {one.name: one for one in _read(self._path)}
            self._read_at = changed
        return self._known.get(name)


def opens(operator: Operator | None, password: str) -> bool:
    """Return whether this is the operator's password; for an unknown operator it takes as long."""
    known = operator or NOBODY
    given = _hash(password[:LONGEST], known.salt, known.cost)
    return hmac.compare_digest(given, known.hash) and operator is not None


def file_of(path: Path) -> Path:
    """Return the file of operators: the path itself, or the one in that folder."""
    return path / FILE if path.is_dir() else path


def find(path: Path, name: str) -> Operator | None:
    """Look an operator up, if there is a file already. Raises SettingsError."""
    if NAME.fullmatch(name) is None:
        raise SettingsError("NAME: has 1 to 32 of the characters a-z, 0-9, . _ and -, and begins with a letter")
    return Operators(path).get(name) if path.exists() else None


def enter(path: Path, name: str, password: str, now: datetime) -> None:
    """Write an operator into the file, replacing one of the same name. Raises SettingsError."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise SettingsError(f"password: has {SHORTEST} to {LONGEST} characters")
    salt = secrets.token_bytes(_SALT)
    entry = Operator(name, COST, salt, _hash(password, salt, COST), now.replace(microsecond=0))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(path.parent):  # two who are let in at once both are
            others = [one for one in _read(path) if one.name != name] if path.exists() else []
            text = msgspec.json.format(msgspec.json.encode([*others, entry]), indent=1).decode()
            replace_file(path, f"{text}\n", PRIVATE)
    except OSError:
        raise SettingsError(f"{path}: cannot be written") from None


def check(settings: Settings) -> Iterator[Finding]:
    """Check that this process can read the operators of the settings, and nobody else can."""
    if settings.ops is not None and settings.ops.operators is not None:
        load = named("ops.operators")(Operators)
        yield from try_to_load("ops.operators", partial(load, settings.ops.operators))


def _read(path: Path) -> list[Operator]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[Operator])
    except OSError:
        raise SettingsError(f"{path}: cannot be read; it should hold operators") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SettingsError(f"{path}: is not what reminder-worker keys new operator writes") from None
    if not is_private(path):
        raise SettingsError(f"{path}: can be read by others; run: chmod 600 {path}")
    return found


def _hash(password: str, salt: bytes, cost: int) -> bytes:
    """Hash a password, normalised: two keyboards may write one letter differently."""
    plain = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(plain, salt=salt, n=cost, r=8, p=1, maxmem=_MEMORY, dklen=_HASH)
