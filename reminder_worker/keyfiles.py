"""Key files: a first line that says what a file holds, then one named field a line.

An error names the file and what it should be, never what is in it.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from reminder_worker.encoding import from_text
from reminder_worker.errors import SettingsError

KEY_BYTES = 32
PRIVATE = 0o600
PUBLIC = 0o644


class Kind(StrEnum):
    """What a key file holds; its first line says so."""

    PLATFORM = "platform key"  # signs and makes ids
    VERIFY = "platform verify key"  # public
    POINTER = "worker pointer key"  # opens pointers
    RATCHET = "worker ratchet"  # opens envelopes
    PEPPER = "key of the opt-out list"  # makes the tags that stand for phones
    GATEWAY = "gateway key"  # signs for platforms that use the HTTP API
    GATEWAY_VERIFY = "gateway verify key"  # public
    ROOT = "root key"  # signs the worker's public keys, on another machine than the worker's
    ROOT_VERIFY = "root verify key"  # public
    EPOCH = "worker epoch"  # no secret: how far the ratchet beside it has got
    SEEN = "worker seen"  # no secret: when its worker last saw the store


def key_file(kind: Kind, **fields: str) -> str:
    """Return the text of a key file."""
    lines = [f"reminder-worker {kind} v1", *(f"{name} {value}" for name, value in fields.items())]
    return "\n".join(lines) + "\n"


def read_key_file(path: Path, kind: Kind, *names: str) -> list[str]:
    """Return the named fields of a key file. Raises SettingsError, which names the file and what it should be."""
    try:
        first, *lines = path.read_text("ascii").splitlines() or [""]
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file; it should be a {kind}") from None
    except (OSError, ValueError):
        raise SettingsError(f"{path}: cannot be read; it should be a {kind}") from None
    fields = [line.partition(" ") for line in lines]
    if first != f"reminder-worker {kind} v1" or [name for name, _, _ in fields] != list(names):
        raise SettingsError(f"{path}: is not a reminder-worker {kind}")
    return [value for _, _, value in fields]


def is_kind(path: Path, kind: Kind) -> bool:
    """Return whether a file's first line says that it holds this."""
    try:
        with path.open("r", encoding="ascii") as file:
            return file.readline().rstrip("\n") == f"reminder-worker {kind} v1"
    except (OSError, ValueError):
        return False


def key_from_file(path: Path, text: str) -> bytes:
    """Read a key as ``read_key_file`` returned it. Raises SettingsError."""
    try:
        return from_text(text, KEY_BYTES)
    except ValueError:
        raise SettingsError(f"{path}: is damaged") from None


def is_private(path: Path) -> bool:
    """Return whether only its owner can use a file or folder.

    A credential that systemd hands over is root's, with an ACL for the service; its mask shows as the group's bits.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    handed_over = credentials is not None and path.resolve().is_relative_to(credentials)
    return path.stat().st_mode & (0o007 if handed_over else 0o077) == 0


def create_file(path: Path, text: str, mode: int, *, like: Path | None = None) -> None:
    """Write a file that must not exist yet. Raises SettingsError.

    If root makes it, it gets the owner of ``like``: a process that runs as another user has to read it.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise SettingsError(f"{path}: is there already, and keys are never overwritten") from None
    except OSError:
        raise SettingsError(f"{path}: cannot be written") from None
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            if like is not None and os.geteuid() == 0:
                _give(handle, path, like)
            file.write(text)
            file.flush()
            os.fsync(handle)
    except OSError:
        path.unlink()
        raise SettingsError(f"{path}: cannot be written to its end, and was removed; is the disk full?") from None
    except BaseException:  # half a key is no key, and no worker starts beside one
        path.unlink()
        raise
    _sync(path.parent)


def _give(handle: int, path: Path, like: Path) -> None:
    beside = like.stat()
    try:
        os.fchown(handle, beside.st_uid, beside.st_gid)
    except OSError:
        raise SettingsError(f"{path}: cannot be given to the owner of {like.name}; run this as that user") from None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait for whoever else reads or replaces files of a folder like this, and keep others out. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace_file(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step, or not at all; it keeps its owner. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if path.exists():
                before = path.stat()
                os.fchown(handle, before.st_uid, before.st_gid)
            os.fchmod(handle, mode)
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    _sync(path.parent)


def replace_secret(path: Path, text: str) -> None:
    """Replace a private file as ``replace_file`` does, then overwrite what the old one held. Raises OSError.

    In this order, because a power cut in between must not cost the key. Copies that a disk, a copy-on-write file system
    or a snapshot keeps elsewhere are out of reach.
    """
    with path.open("r+b") as old:
        replace_file(path, text, PRIVATE)
        _overwrite(old)


def overwrite_leftovers(path: Path) -> None:
    """Overwrite and remove what interrupted replacements have left beside a file. Raises OSError."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        with leftover.open("r+b") as file:
            _overwrite(file)
        leftover.unlink()


def _overwrite(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    file.write(bytes(size))
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make the list of files in a folder durable on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
