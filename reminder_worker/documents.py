"""JSON from strangers, read strictly: one object, no name twice, no number that JSON does not have.

A reader that verifies one value and acts on another has been fooled, so a duplicate name is refused, not resolved.
"""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from reminder_worker.errors import Reason, Refused
from reminder_worker.job import shown_name

MOST_VALUES = 20_000  # of one document, so that a small one does not become a large one in memory


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises Refused (malformed), which repeats nothing of it."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise Refused(Reason.MALFORMED, "body", "holds too many values")
    try:
        found = _strict.decode(body.decode())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(Reason.MALFORMED, "body", "is not a JSON object")
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Refused(Reason.MALFORMED, shown_name(name), "is there twice")
        found[name] = value
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError


_strict = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)
