"""Hands in any number of records: sealed here, in batches, with progress on a terminal.

What is taken from a record stays in memory until its batch is sealed; what is left behind is counted by name.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from reminder_worker import job, numbers, records, sealing
from reminder_worker.client import Appointment, Client, HttpClient
from reminder_worker.errors import Reason, Refused, SettingsError, StoreUnavailable
from reminder_worker.job import State
from reminder_worker.ledger import Answer, Reminder
from reminder_worker.records import Cancelled, Defaults, PassedOver, Reader

BATCH = 250
_SAFE = "run it again, that is safe"


def defaults(
    name: str | None, *, location: str | None, language: str | None, country: str | None, zone: str | None
) -> Defaults:
    """Check the format, and the defaults for all records. Raises SettingsError, which names the option."""
    if name is not None and name not in list(records.Format):
        raise SettingsError(f"--format: {', '.join(records.Format)}")
    try:
        place = None if location is None else job.parse_location(location)
        clock = None if zone is None else job.parse_time(f"2000-01-01T00:00:00Z[{zone}]").tzinfo
    except Refused as refusal:
        raise SettingsError(f"--{'location' if refusal.field == 'location' else 'zone'}: {refusal}") from None
    if language is not None and not sealing.is_address("tel:+33600000000", language):
        raise SettingsError("--language: write a tag such as fr or pt-BR")
    if country is not None and not numbers.is_country(country):
        raise SettingsError("--country: write two letters such as FR")
    if clock is not None and not isinstance(clock, ZoneInfo):
        raise SettingsError("--zone: write a name such as Europe/Paris")
    return Defaults(place, language, country, clock)


def hand_in(client: Client, file: Path, format_: str | None, said: Defaults) -> tuple[Counter[str], str]:
    """Hand in a file, standard input (``-``) or a folder; return the counts, and what was left behind.

    Raises SettingsError if it cannot be read, and StoreUnavailable.
    """
    name = _format(format_, file)
    _check_place(client, said)
    try:
        if str(file) == "-":
            reader = records.read(name, sys.stdin.buffer, said)
            return run(client, reader, said), str(reader.left)
        if name == records.Format.FHIR and file.is_dir():
            size = sum(path.stat().st_size for path in file.iterdir() if path.is_file())
            reader = records.read(name, file, said)
            return run(client, reader, said, size=size), str(reader.left)
        with file.open("rb") as stream:
            reader = records.read(name, stream, said)
            return run(client, reader, said, size=file.stat().st_size), str(reader.left)
    except FileNotFoundError:
        raise SettingsError(f"{file}: there is no such file") from None
    except IsADirectoryError:
        raise SettingsError(f"{file}: is a folder; only --format fhir reads one") from None
    except OSError:
        raise SettingsError(f"{file}: cannot be read") from None


def _format(said: str | None, file: Path) -> str:
    """Return the given format, or else JSON Lines. Raises SettingsError if the file's name suggests another."""
    ending = file.suffix.lower().removeprefix(".")
    if said is None and ending in {records.Format.CSV, records.Format.ICS}:
        raise SettingsError(f"--format: say {ending} for this file, or jsonl where that is what it holds")
    return said or records.Format.JSONL.value


def _check_place(client: Client | HttpClient, said: Defaults) -> None:
    """Refuse at once a place for which every record would be refused; only a gateway knows which places it takes."""
    if said.location is None or isinstance(client, HttpClient):
        return
    try:
        client.check_place(said.location)
    except Refused as refusal:
        raise SettingsError(f"--{refusal}") from None


@dataclass
class _Batch:
    """What has been read and not handed in yet, and how it went so far."""

    client: Client
    reader: Reader
    counts: Counter[str] = field(default_factory=Counter)
    waiting: list[tuple[str, Appointment]] = field(default_factory=list, repr=False)
    done: str = "line 0"
    said: str = field(default="", repr=False)

    def add(self) -> None:
        """Add what waits. Raises StoreUnavailable, whose message tells how far everything is stored."""
        if not self.waiting:
            return
        with self._saying_how_far():
            answers = self.client.add([appointment for _, appointment in self.waiting])
        handed_in, self.waiting = self.waiting, []
        last = {appointment.reference: number for number, (_, appointment) in enumerate(handed_in)}
        for number, ((where, appointment), answer) in enumerate(zip(handed_in, answers, strict=True)):
            if not isinstance(answer, Refused):
                self._note(where, answer, "hand it in")
            elif answer.reason in self.reader.passes_over and last[appointment.reference] == number:
                self.pass_over(where, PassedOver(appointment.reference, answer))
            else:
                self.refuse(where, answer)
        self.done = handed_in[-1][0]

    def cancel(self, where: str, reference: str, *, perhaps: bool) -> None:
        """Cancel an appointment, after adding what was read before it."""
        self.add()
        with self._saying_how_far():
            answer = self.client.cancel(reference)
        if answer in {Answer.MISSING, Answer.ENDED}:
            self.counts["skipped"] += not perhaps  # it was never handed in, or nothing of it is left to cancel
        else:
            self._note(where, answer, "take it back")
        self.done = where

    def pass_over(self, where: str, record: PassedOver) -> None:
        """Cancel what is still to come for another time of an appointment; if there is nothing, count it."""
        if any(appointment.reference == record.reference for _, appointment in self.waiting):
            self.add()
        with self._saying_how_far():
            reminders = self.client.show(record.reference)
        if any(_is_outdated(reminder, record.why) for reminder in reminders):
            self.cancel(where, record.reference, perhaps=False)
        else:
            self.refuse(where, record.why)

    def refuse(self, where: str, refusal: Refused) -> None:
        """Count a refusal, and print it on stderr: once for all of a series, and not what every export holds."""
        if refusal.reason in self.reader.passes_over:
            self.counts[self.reader.passes_over[refusal.reason]] += 1
            return
        self.counts["refused"] += 1
        message = f"{where}: {refusal.reason}: {refusal}\n"
        if message != self.said:
            sys.stderr.write(message)
        self.said = message

    def _note(self, where: str, answer: Answer, what: str) -> None:
        if answer is Answer.IN_FLIGHT:
            self.refuse(where, Refused(Reason.IN_FLIGHT, "reference", f"is being sent; {what} again shortly"))
        else:
            self.counts[answer.value] += 1

    @contextmanager
    def _saying_how_far(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error} Stored up to {self.done}; {_SAFE}") from None


def run(client: Client, reader: Reader, said: Defaults | None = None, *, size: int | None = None) -> Counter[str]:
    """Read, seal and add everything; name each bad record on stderr; count what was added, moved, refused and so on.

    Raises StoreUnavailable, whose message tells how far everything is stored: running it again is safe.
    """
    batch, said = _Batch(client, reader), said or Defaults()
    with _progress(size) as advance:
        for number, (where, record) in enumerate(reader, 1):
            if number % BATCH == 0:
                advance(reader.done)
            try:
                if isinstance(record, Refused):
                    raise record
                if isinstance(record, Cancelled):
                    batch.cancel(where, record.reference, perhaps=record.perhaps)
                    continue
                if isinstance(record, PassedOver):
                    batch.pass_over(where, record)
                    continue
                batch.waiting.append((where, _parse(record, said)))
            except Refused as refusal:
                batch.refuse(where, refusal)
            if len(batch.waiting) >= BATCH:
                batch.add()
        batch.add()
    return +batch.counts


def _is_outdated(reminder: Reminder, why: Refused) -> bool:
    """Tell whether a reminder is to come that belongs to another time of its appointment than the one refused.

    Where no slot is left, one that was tried and put off may be of this time: it goes out when quiet hours end.
    """
    if why.reason is not Reason.NO_SLOT:
        return reminder.state in {State.SCHEDULED, State.QUEUED}
    untried = reminder.state is State.SCHEDULED and reminder.reason is None
    return untried and reminder.due is not None and reminder.due > datetime.now(UTC)


def _parse(fields: dict[str, Any], said: Defaults) -> Appointment:
    return Appointment.parse(said.fill(fields))


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
