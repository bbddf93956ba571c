"""Look for what must not be found: in the store, its files, logs, exceptions and reprs, in every usual writing."""

import logging
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from reminder_worker.audit import evidence
from reminder_worker.logs import Formatter

Place = tuple[str, bytes]  # where, and what is there


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
    return ((piece.where, piece.content) for piece in evidence.in_store(url))


def in_folder(folder: Path) -> Iterator[Place]:
    """Return the names and contents of all files."""
    return ((f"file {Path(piece.where).name}", piece.content) for piece in evidence.in_folder(folder))


def in_records(records: Iterable[logging.LogRecord]) -> Iterator[Place]:
    """Return what our formatters write, and all that another one could: only exceptions may hold data there."""
    formatters = [Formatter(form) for form in ("json", "console")]
    for record in list(records):
        yield "log line", "\n".join(formatter.format(record) for formatter in formatters).encode()
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
