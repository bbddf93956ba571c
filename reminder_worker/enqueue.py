"""Hand in records of any number: sealed here, in batches, in constant memory, with progress on a terminal."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from reminder_worker import records
from reminder_worker.client import Appointment, Client
from reminder_worker.errors import Reason, Refused, StoreUnavailable
from reminder_worker.ledger import Answer

BATCH = 250


def run(client: Client, stream: BinaryIO, *, size: int | None) -> Counter[str]:
    """Read, seal and add everything; say each bad line on stderr; count what was added, moved, refused and so on.

    Raises StoreUnavailable with the line up to which everything is stored: running it again is safe.
    """
    counts: Counter[str] = Counter()
    batch: list[tuple[int, Appointment]] = []
    done = 0
    with _progress(size) as advance:
        for number, record in records.read(stream):
            try:
                if isinstance(record, Refused):
                    raise record
                batch.append((number, Appointment.parse(record)))
            except Refused as refusal:
                _refuse(counts, number, refusal)
            if len(batch) == BATCH:
                done = _add(client, batch, counts, done)
                advance(stream.tell() if size else 0)
        _add(client, batch, counts, done)
    return counts


def _add(client: Client, batch: list[tuple[int, Appointment]], counts: Counter[str], done: int) -> int:
    """Add a batch and empty it; return the number of its last line."""
    if not batch:
        return done
    try:
        answers = client.add([appointment for _, appointment in batch])
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error} Stored up to line {done}; run it again, that is safe") from None
    for (number, _), answer in zip(batch, answers, strict=True):
        if isinstance(answer, Refused):
            _refuse(counts, number, answer)
        elif answer is Answer.IN_FLIGHT:
            _refuse(counts, number, Refused(Reason.IN_FLIGHT, "reference", "is being sent; hand it in again shortly"))
        else:
            counts[answer.value] += 1
    done = batch[-1][0]
    batch.clear()
    return done


def _refuse(counts: Counter[str], number: int, refusal: Refused) -> None:
    counts["refused"] += 1
    sys.stderr.write(f"line {number}: {refusal.reason}: {refusal}\n")


@contextmanager
def _progress(size: int | None) -> Iterator[Callable[[int], None]]:
    """Show how much of the file is done, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = BarColumn(), DownloadColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=size)
        yield lambda done: progress.update(task, completed=done)
