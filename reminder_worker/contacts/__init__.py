"""From an opened pointer to a phone, at the last moment; what comes out lives in memory for one reminder."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from reminder_worker.contacts import http, tel
from reminder_worker.contacts.http import Resolver
from reminder_worker.errors import NotSent, Reason, Refused
from reminder_worker.optouts import OptOuts, Tags
from reminder_worker.schedule import Schedule
from reminder_worker.tables import Platform

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Contact:
    """A person's phone and language."""

    phone: str = field(repr=False)  # E.164
    language: str = field(repr=False)  # BCP 47
    # The platform was asked for the phone, and may name another one next time.
    may_change: bool = field(default=False, repr=False)


class Contacts:
    """Finds the person behind a pointer, and whether they want texts; safe to use from many threads."""

    def __init__(self, platforms: Mapping[str, Platform], resolvers: Mapping[str, Resolver], optouts: OptOuts) -> None:
        self._platforms = platforms
        self._resolvers = resolvers
        self._optouts = optouts

    @classmethod
    def load(cls, schedule: Schedule, tags: Tags, platforms: Mapping[str, Platform], optouts: OptOuts) -> Self:
        """Prepare to ask platforms. Raises SettingsError."""
        return cls(platforms, http.load(schedule, tags, platforms), optouts)

    def find(self, platform: str, uri: str, language: str, *, catch_up: bool = False) -> Contact:
        """Find the phone behind a pointer, if it wants texts; ``catch_up`` if no later step looks for the newest STOP.

        Raises Refused if nobody may be texted, NotSent if that is unknown for now; StoreUnavailable.
        """
        contact = resolve(uri, language, self._platforms[platform].countries, self._resolvers.get(platform))
        if catch_up:
            self._optouts.catch_up()
        if self._optouts.has(platform, contact.phone):
            raise Refused(Reason.OPTED_OUT, "phone", "wants no more texts")
        return contact


def resolve(uri: str, language: str, countries: Collection[str], resolver: Resolver | None = None) -> Contact:
    """Turn a pointer's URI into a contact, with the help of the platform's resolver for a token.

    Raises Refused if it leads to no phone that may be texted, NotSent if that is unknown for now.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "tel":
        return Contact(tel.phone(rest, countries), language)
    if scheme != "contact":
        raise Refused(Reason.POINTER_INVALID, "pointer", "only tel: and contact: can be resolved")
    if resolver is None:  # an operator can still fix the settings
        log.error("resolver_missing")
        raise NotSent(Reason.RESOLVER_MISSING)
    found = resolver.find(rest)
    return Contact(tel.phone(found.phone, countries), found.language or language, may_change=True)
