"""Checks of what the store, its queue and its backups show, beside the facts of the matrix."""

import json
import re
import secrets
from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, date, datetime

from nacl.signing import SigningKey

from reminder_worker.audit.case import Case, where
from reminder_worker.audit.counterparts import SENDER_NUMBER
from reminder_worker.audit.evidence import keys_in, opened
from reminder_worker.audit.parties import keys_a_month_later
from reminder_worker.audit.people import PRACTICE
from reminder_worker.audit.writings import windows, writings
from reminder_worker.encoding import Body, Time
from reminder_worker.gateway import GatewayKeys, Mode, Ticket
from reminder_worker.keyfiles import KEY_BYTES
from reminder_worker.optouts import Tags
from reminder_worker.plan import EXPIRES_BEFORE
from reminder_worker.sealing import PlatformKeys, content_tag, make_id, seal_pointer

MIDDLEWARE = {"Pulse", "_WorkerMiddleware"}  # ours, and how dramatiq itself learns of its own broker
MESSAGE = {"queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"}
KWARGS, OPTIONS = {"id", "lead", "version"}, {"redis_message_id"}
NOTES = rb"RPUSH\r\n\$12\r\nrw:\{0\}:notes\r\n\$(\d+)\r\n"  # as a replica gets them
COMMAND = re.compile(rb"^\+(\d+)\.\d+ \[.*$", re.MULTILINE)  # as MONITOR shows it: when, by whom, what
SPAN = re.compile(rb'"(\d{3,12}(?:\.\d+)?)"')
NEAR = 3  # seconds between computing how long it is until something and sending it
LANGUAGES = re.compile(rb"^(?:fr|de|pt)(?:[-_][A-Za-z]{2})?$", re.MULTILINE)
SAMPLE = "+33612349398", "A-1", date(2027, 3, 16)


def equal_lengths(case: Case) -> Iterator[str]:
    """Everything of one kind that waits or is sent has the same length, whatever it holds."""
    kinds = {"appointments": {len(value) for value in case.story.waiting.values()}}
    kinds["queue messages"] = {len(message) for message in _messages(case)}
    kinds["notes of replies"] = {int(length) for length in re.findall(NOTES, case.story.writes.heard)}
    kinds["events"] = {len(one.wire) for one in case.story.world.events}
    kinds["questions to the platform"] = {len(one.wire) for one in case.story.world.questions}
    for call in case.story.platform.calls:
        kinds.setdefault(f"answers {call.status} to {call.method}", set()).add(len(call.answered))
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
    """Only our own middleware is loaded: any other keeps exceptions, results or messages."""
    files = list(case.story.here.ear.glob("*.middleware"))
    loaded = {name for path in files for name in path.read_text().split()}
    yield from sorted(loaded - MIDDLEWARE)
    yield from [] if "Pulse" in loaded else ["no worker was looked into"]


def nothing_left(case: Case) -> Iterator[str]:
    """Once a reminder has ended, nothing of its job is left in the store, not even sealed."""
    now = b"\n".join(piece.content for piece in case.story.last_store if " in database " in piece.where)
    for part in sorted(case.story.ended & set(case.story.waiting)):
        if any(window in now for window in windows(case.story.sealed(part))):
            yield f"of the one {part}"
    if not any(window in now for window in windows(case.story.sealed("pending"))):
        yield "nothing of the one that waits either: this check sees nothing"


def forward_secrecy(case: Case) -> Iterator[str]:
    """Today's backup opens with the worker's keys of today, and no longer with those of a month later."""
    here, content = case.story.here, b"\n".join(case.story.backups)
    for what, keys in (("today", keys_in(here.keys)), ("a month later", keys_a_month_later(here.keys))):
        opens = any(True for public in case.story.published() for _ in opened(content, public, keys, what))
        if opens != (what == "today"):
            yield f"keys of {what}"


def sealed_afresh(case: Case) -> Iterator[str]:
    """No two sealed values have anything in common, so nobody sees whether they hold the same."""
    sealed = {part: case.story.sealed(part)[16:] for part in sorted(case.story.waiting)}
    phone, _, _ = SAMPLE
    for name in ("a pointer", "the same pointer"):
        sealed[name] = seal_pointer(case.story.public, PRACTICE, f"tel:{phone}", "fr")[16:]
    parts = list(sealed)
    for number, one in enumerate(parts):
        others = b"\n".join(sealed[other] for other in parts[number + 1 :])
        if any(window in others for window in windows(sealed[one])):
            yield f"of {one}"


def keyed(case: Case) -> Iterator[str]:
    """Nothing that stands for a person, a platform or a sender in the store can be computed without a key."""
    names, others = (_names(secrets.token_bytes(KEY_BYTES)) for _ in range(2))
    yield from (what for what, name in names.items() if name == others[what])
    tags, (phone, _, day) = Tags(bytes(KEY_BYTES)), SAMPLE
    if tags.today(day, "phone", phone) == tags.today(day.replace(day=1), "phone", phone):
        yield "a phone's tag of a day, the same on all days"
    yield from where([*case.story.stored, case.story.monitored], writings(SENDER_NUMBER))


def _names(key: bytes) -> dict[str, bytes | str]:
    """Compute with a key everything that stands for a person, a platform or a sender in the store."""
    phone, reference, day = SAMPLE
    signing, tags = SigningKey(bytes(KEY_BYTES)), Tags(key)
    platform, gateway = PlatformKeys(PRACTICE, signing, key), GatewayKeys(signing, signing, signing, key)
    body = Body(Time(1, 0, ""), "a place", bytes(153), ("24h",), 1)
    return {
        "id": make_id(platform, reference),
        "fingerprint of a job": content_tag(platform, bytes(16), body, uri=f"tel:{phone}", language="fr"),
        "tag of an opt-out": tags.optout("*", phone),
        "tag of a day": tags.today(day, "phone", phone),
        "tag of a sender": tags.sender(SENDER_NUMBER),
        "what a phone was sent": tags.show(day, phone, bytes(40)),
        "tag of a platform": gateway.tag("add", PRACTICE),
        "ticket": gateway.ticket(bytes(16), Ticket(PRACTICE, Mode.LIVE, reference)),
    }


def spans(case: Case) -> Iterator[str]:
    """No command reveals how long it is until an appointment, or until its text is no longer of use."""
    times = [one.seen["time"] for one in case.story.people.values() if "time" in one.seen]
    moments = sorted(one.timestamp() for moment in times for one in (moment, moment - EXPIRES_BEFORE))
    for line in COMMAND.finditer(case.story.commands.heard):
        for span in SPAN.findall(line[0]):
            for unit in (1, 1000):
                then = int(line[1]) + float(span) / unit
                if bisect(moments, then - NEAR) != bisect(moments, then + NEAR):
                    yield f"at {datetime.fromtimestamp(int(line[1]), UTC):%H:%M:%S}, a number of {len(span)} digits"


def languages(case: Case) -> Iterator[str]:
    """No value in the store is a language."""
    values = (piece for piece in case.story.stored if piece.where.startswith("value"))
    yield from (piece.where for piece in values if LANGUAGES.search(piece.content))
