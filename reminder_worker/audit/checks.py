"""Named checks beside the matrix: what must hold whoever looks, each with where it does not."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial

from reminder_worker.audit import machine
from reminder_worker.audit.case import Case, Check, where
from reminder_worker.audit.evidence import Piece, in_folder
from reminder_worker.audit.matrix import Fact
from reminder_worker.audit.people import REPLY
from reminder_worker.audit.writings import windows, writings
from reminder_worker.https import check_url

MIDDLEWARE = {"Pulse", "_WorkerMiddleware"}  # ours, and how dramatiq itself hears of its own broker
MESSAGE = {"queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"}
KWARGS, OPTIONS = {"id", "lead", "version"}, {"redis_message_id"}
ELSEWHERE = "http://api.example.com", "http://10.0.0.1", "ftp://127.0.0.1"
NOTES = rb"RPUSH\r\n\$12\r\nrw:\{0\}:notes\r\n\$(\d+)\r\n"  # as a replica gets them
MOST_SHOWN = 5


def run(case: Case) -> Iterator[Check]:
    """Do them all."""
    return map(partial(_do, case), (*OF_THE_STORE, *OF_WHAT_IS_SAID, *OF_THE_MACHINE))


def _do(case: Case, look: Callable[[Case], Iterator[str]]) -> Check:
    what = (look.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return Check(look.__name__, what, tuple(dict.fromkeys(look(case)))[:MOST_SHOWN], note=look is machine.swap)


# What the store shows


def equal_lengths(case: Case) -> Iterator[str]:
    """Everything of one kind that waits is of one length, whatever it holds."""
    kinds = {"appointments": {len(value) for value in case.story.waiting.values()}}
    kinds["queue messages"] = {len(message) for message in _messages(case)}
    kinds["notes of replies"] = {int(length) for length in re.findall(NOTES, case.story.writes.heard)}
    yield from (f"{what}: {sorted(lengths)}" for what, lengths in kinds.items() if len(lengths) != 1)


def _messages(case: Case) -> set[bytes]:
    """Return every message that went to the queue, as MONITOR showed it."""
    found = re.findall(rb'"(\{\\"queue_name.*?\})"', case.story.commands.heard)
    return {one.replace(b'\\"', b'"').replace(b"\\\\", b"\\") for one in found}


def messages(case: Case) -> Iterator[str]:
    """Queue messages hold an id, a lead and a version, and nothing else."""
    for raw in _messages(case):
        try:
            message = json.loads(raw)
        except ValueError:
            yield "not JSON"
            continue
        unknown = (set(message) - MESSAGE) | (set(message["kwargs"]) - KWARGS) | (set(message["options"]) - OPTIONS)
        yield from (f"a field {name}" for name in sorted(unknown))
        yield from ["positional arguments"] if message["args"] else []


def middleware(case: Case) -> Iterator[str]:
    """Nothing but our own middleware is loaded: others keep exceptions, results or messages."""
    files = list(case.story.here.ear.glob("*.middleware"))
    loaded = {name for path in files for name in path.read_text().split()}
    yield from sorted(loaded - MIDDLEWARE)
    yield from [] if "Pulse" in loaded else ["no worker was looked into"]


def nothing_left(case: Case) -> Iterator[str]:
    """When a reminder has ended, nothing of its job is left in the store, not even sealed."""
    now = b"\n".join(piece.content for piece in case.story.last_store if " in database " in piece.where)
    for part in sorted(case.story.ended & set(case.story.waiting)):
        if any(window in now for window in windows(case.story.sealed(part))):
            yield f"of the one {part}"
    if not any(window in now for window in windows(case.story.sealed("pending"))):
        yield "nothing of the one that waits either: this check sees nothing"


def sealed_afresh(case: Case) -> Iterator[str]:
    """No two sealed values have anything in common, so that nobody sees that they hold the same."""
    parts = sorted(case.story.waiting)
    for number, one in enumerate(parts):
        others = b"\n".join(case.story.sealed(other)[16:] for other in parts[number + 1 :])
        if any(window in others for window in windows(case.story.sealed(one)[16:])):
            yield f"of the one {one}"


# What is written and answered


def reprs(case: Case) -> Iterator[str]:
    """No object of ours shows anything of anybody when it is printed."""
    files = list(case.story.here.ear.glob("*.reprs"))
    for path in files:
        for line in path.read_bytes().split(b"\n"):
            if not case.silent(line):
                yield line.partition(b" ")[0].decode("ascii", "replace")
    yield from [] if any(b"Order" in path.read_bytes() for path in files) else ["no text was looked at on its way"]


def answers(case: Case) -> Iterator[str]:
    """Nothing that is refused is repeated, in answers or on the screen; and it is refused."""
    taken = [call for call in case.story.platform.refused if call.status < 400]  # noqa: PLR2004
    yield from ["something was accepted"] if taken or not case.story.platform.refused else []
    calls = [*case.story.platform.refused, *case.story.webhooks]
    yield from ["an answer"] if not all(case.silent(call.answered) for call in calls) else []
    yield from ["a command"] if not all(map(case.silent, case.story.printed)) else []


def secrets(case: Case) -> Iterator[str]:
    """Keys and credentials stand in their files and nowhere else."""
    here = case.story.here
    pieces = [
        *case.story.stored,
        Piece("MONITOR", case.story.commands.heard),
        *in_folder(here.logs),
        *in_folder(here.ear),
    ]
    pieces += [Piece("what commands print", said) for said in case.story.printed]
    pieces += [Piece("pages", page) for page in case.story.measured]
    pieces += [Piece("answers", call.answered) for call in case.story.platform.calls]
    yield from where(pieces, case.secrets)


def events(case: Case) -> Iterator[str]:
    """Events tell a platform reference, state and time, and nothing else of anybody."""
    told = [Piece("an event", one.wire) for one in case.story.world.events]
    secret = {Fact.NUMBER, Fact.PLACE, Fact.TIME, Fact.LANGUAGE, Fact.REASON}
    known = [one.facts() for one in case.story.people.values()]
    yield from where(told, {form for facts in known for fact in secret for form in facts.get(fact, ())})
    yield from [] if told else ["nothing was told"]


def replies(case: Case) -> Iterator[str]:
    """Nothing that people write is kept anywhere."""
    here = case.story.here
    pieces = [*case.story.stored, *in_folder(here.server.folder), *in_folder(here.logs), *in_folder(here.ear)]
    yield from where([*pieces, Piece("MONITOR", case.story.commands.heard)], writings(REPLY) | writings("Gwenaëlle"))


def tls(_: Case) -> Iterator[str]:
    """No setting lets a number leave this machine without TLS."""
    for url in ELSEWHERE:
        try:
            check_url(url)
        except ValueError:
            continue
        yield "a URL without TLS"


OF_THE_STORE = equal_lengths, messages, middleware, nothing_left, sealed_afresh
OF_WHAT_IS_SAID = reprs, answers, secrets, events, replies, tls
OF_THE_MACHINE = (
    machine.command_lines,
    machine.files_written,
    machine.temporary_files,
    machine.key_files,
    machine.core_dumps,
    machine.swap,
)
