"""From an opened pointer to a phone, at the last moment; what comes out lives in memory for one reminder."""

from collections.abc import Collection
from dataclasses import dataclass, field

from reminder_worker.contacts import tel
from reminder_worker.errors import Reason, Refused


@dataclass(frozen=True, slots=True)
class Contact:
    """A person's phone and language."""

    phone: str = field(repr=False)  # E.164
    language: str = field(repr=False)  # BCP 47


def resolve(uri: str, language: str, countries: Collection[str]) -> Contact:
    """Turn a pointer's URI into a contact. Raises Refused where it names no phone that may be texted."""
    scheme, _, rest = uri.partition(":")
    if scheme != "tel":
        raise Refused(Reason.POINTER_INVALID, "pointer", "only tel: pointers can be resolved here")
    return Contact(tel.phone(rest, countries), language)
