"""Checks of what is written, shown, answered and reported, beside the facts of the matrix."""

import logging
import re
from collections.abc import Iterator

from reminder_worker.audit.booking import refusal
from reminder_worker.audit.case import Case, where
from reminder_worker.audit.evidence import Piece, in_folder
from reminder_worker.audit.matrix import Fact
from reminder_worker.audit.people import NAME, REASON, REPLY
from reminder_worker.audit.writings import writings
from reminder_worker.encoding import to_text
from reminder_worker.logs import FIELDS, Formatter

FOUR_DIGITS = re.compile(rb"(?<!\d)\d{4}(?!\d)")
SEVERAL = 6  # people: four digits are sometimes somebody's by chance
TOLD = {Fact.EXISTENCE, Fact.PRACTICE, Fact.DUE, Fact.OUTCOME}  # to the platform, about its own appointments


def reprs(case: Case) -> Iterator[str]:
    """No object of ours shows anything about a person when it is printed."""
    files = list(case.story.here.ear.glob("*.reprs"))
    for content in (path.read_bytes() for path in files):
        lines = [] if case.silent(content) else content.split(b"\n")
        yield from (line.partition(b" ")[0].decode("ascii", "replace") for line in lines if not case.silent(line))
    yield from [] if any(b"Order" in path.read_bytes() for path in files) else ["no text was looked at on its way"]


def masked(case: Case) -> Iterator[str]:
    """No last four digits of a number are shown, as they often are when a number is meant to be hidden."""
    ends = {person.phone[-4:].encode() for person in case.story.people.values()}
    here = case.story.here
    stored = [piece for piece in case.story.stored if piece.where.startswith(("key", "value"))]  # the rest is counts
    pieces = [*stored, case.story.monitored, *in_folder(here.logs), *in_folder(here.ear)]
    shown = [(piece, ends & set(FOUR_DIGITS.findall(piece.content))) for piece in (*pieces, *case.story.printed)]
    if len(set[bytes]().union(*(some for _, some in shown))) >= SEVERAL:
        yield from (piece.where for piece, some in shown if some)


def log_lines(case: Case) -> Iterator[str]:
    """Whatever a library or a mistake of ours passes to the log, no log line shows it."""
    words = [form for person in case.story.people.values() for form in (person.phone, person.place)] + [NAME, REASON]
    for name in ("twilio", "reminder_worker.worker"):
        for word in words:
            crash = ValueError, ValueError(word), None
            record = logging.LogRecord(name, logging.ERROR, __file__, 1, f"to {word}: %s", (word,), crash)
            record.__dict__.update(dict.fromkeys((*FIELDS, "text"), word))
            lines = "\n".join(Formatter(form).format(record) for form in ("json", "console"))
            if not case.silent(lines.encode()):
                yield f"a record of {name}"


def answers(case: Case) -> Iterator[str]:
    """No answer repeats what it refuses, or says more about an appointment than what became of it."""
    taken = [call for call in case.story.platform.refused if call.status < 400]  # noqa: PLR2004
    yield from ["something was accepted"] if taken or not case.story.platform.refused else []
    calls = [*case.story.platform.refused, *case.story.webhooks]
    yield from (f"an answer: {refusal(call)}" for call in calls if not case.silent(call.answered))
    yield from (piece.where for piece in case.story.printed if not case.silent(piece.content))
    said = b"".join(piece.content for piece in case.story.printed)
    yield from [] if b"number_invalid" in said else ["no command was given anything bad"]
    told = [call.answered for call in case.story.platform.calls]
    yield from ["what became of it"] if any(case.search.facts(one) - TOLD for one in told) else []
    sealed = case.story.platform.pointers + [to_text(case.story.sealed(part)) for part in case.story.waiting]
    middles = {one[40:80].encode() for one in sealed}
    yield from ["something sealed"] if any(middle in one for one in told for middle in middles) else []


def secrets(case: Case) -> Iterator[str]:
    """Keys and credentials are in their files and nowhere else."""
    here = case.story.here
    pieces = [
        *case.story.stored,
        case.story.monitored,
        *in_folder(here.logs),
        *in_folder(here.ear),
    ]
    pieces += case.story.printed
    pieces += [Piece("pages", page) for page in case.story.measured]
    pieces += [Piece("answers", call.answered) for call in case.story.platform.calls]
    yield from where(pieces, case.secrets)


def events(case: Case) -> Iterator[str]:
    """Events tell a platform the reference, state and time, and nothing else about a person."""
    told = [one.wire for one in case.story.world.events]
    yield from sorted({fact for one in told for fact in case.search.facts(one) - TOLD})
    yield from [] if told else ["nothing was told"]


def replies(case: Case) -> Iterator[str]:
    """Nothing that people write in a reply is kept anywhere."""
    here = case.story.here
    pieces = [*case.story.stored, *in_folder(here.server.folder), *in_folder(here.logs), *in_folder(here.ear)]
    yield from where([*pieces, case.story.monitored], writings(REPLY) | writings("Gwenaëlle"))
