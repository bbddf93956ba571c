"""``tel:`` pointers (RFC 3966): the number is in the pointer, and no network is needed."""

import re
from collections.abc import Collection

from reminder_worker import numbers
from reminder_worker.errors import Reason, Refused

_GLOBAL = re.compile(r"\+\d{5,15}", re.ASCII)  # no extension, no phone-context, no visual separators


def phone(number: str, countries: Collection[str]) -> str:
    """Return the number as E.164. Raises Refused."""
    if not _GLOBAL.fullmatch(number):
        raise Refused(Reason.NUMBER_INVALID, "pointer", "its number is not a global one")
    return numbers.normalise(number, countries)
