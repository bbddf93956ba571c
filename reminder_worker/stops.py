"""A copy of the opt-out list as text, to be kept apart: a backup of the store is older than the last STOP.

A line holds a time, a tag, and on or off. A tag says nothing without the pepper, which nothing here holds. Of each
phone the last word counts, by when it was said.
"""

import re
from collections.abc import Iterable, Iterator

from redis.exceptions import ResponseError

from reminder_worker.errors import SettingsError
from reminder_worker.optouts import NAMED, Position, log_of, position_of, words
from reminder_worker.schedule import Schedule
from reminder_worker.store import answered

SAID = b"said"  # the field of a word that came back late: its place in the log is not when it was said
_FIRST = "reminder-worker opt-outs v1"
_LINE = re.compile(r"([0-9]{1,15})-([0-9]{1,9}) ([0-9a-f]{32}) ([01])", re.ASCII)

Words = dict[bytes, tuple[Position, bytes]]  # tag -> when the last word was said, and which: b"1" is stop


def export(schedule: Schedule) -> Iterator[str]:
    """Yield the lines of a copy, oldest first; also those of people who take texts again. Raises StoreUnavailable."""
    yield _FIRST
    for tag, ((ms, number), on) in sorted(_read(schedule).items(), key=lambda item: item[1]):
        yield f"{ms}-{number} {tag.hex()} {on.decode()}"


def bring_back(schedule: Schedule, lines: Iterable[str]) -> int:
    """Append what a copy has and the list lacks; return how many words that is. Raises SettingsError, StoreUnavailable.

    Newer words in the list stay. All lines are checked before anything is written.
    """
    copy, known = _parse(lines), _read(schedule)
    lost = sorted((said, tag, on) for tag, (said, on) in copy.items() if tag not in known or known[tag][0] < said)
    with answered():
        for said, tag, on in lost:
            _append(schedule, said, {b"tag": tag, b"on": on})
    return len(lost)


def _append(schedule: Schedule, said: Position, word: dict[bytes, bytes]) -> None:
    """Append a word as of when it was said, so that a later word from another copy still counts.

    If the list is further on, or has the word already because an answer was lost, it goes to the end and says when.
    """
    key, place = log_of(schedule), f"{said[0]}-{said[1]}"
    try:
        schedule.client.xadd(key, word, id=place)
    except ResponseError:
        schedule.client.xadd(key, word | {SAID: place.encode()})


def _parse(lines: Iterable[str]) -> Words:
    first, *rest = list(lines) or [""]
    if first != _FIRST:
        raise SettingsError("FILE: is not what optouts export wrote")
    last = Words()
    for number, line in enumerate(rest, 2):
        match = _LINE.fullmatch(line)
        if match is None:
            raise SettingsError(f"FILE: line {number} is damaged; nothing was brought back")
        last[bytes.fromhex(match[3])] = (int(match[1]), int(match[2])), match[4].encode()
    return last


def _read(schedule: Schedule) -> Words:
    """Read the list to its end."""
    last = Words()
    for name, fields in words(schedule):
        if NAMED not in fields:
            last[fields[b"tag"]] = position_of(fields.get(SAID, name)), fields[b"on"]
    return last
