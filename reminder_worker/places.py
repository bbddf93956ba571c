"""Which places a platform may show: none with a name that it denies, and only what the lint or its catalogue passes.

The same check runs when a job is handed in and once more before a text is written. A refusal gives a reason and never
repeats the place.
"""

from collections.abc import Collection
from functools import partial

from reminder_worker import catalogue, disclosure, job
from reminder_worker.catalogue import LiveCatalogue
from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.names import Names
from reminder_worker.tables import Platform

CATALOGUE = "catalogue"


class Places:
    """The rules of one platform; safe to use from many threads."""

    def __init__(self, *, deny: Collection[str] = (), listed: LiveCatalogue | None = None) -> None:
        self._denied = Names(deny)
        self._listed = listed

    @classmethod
    def of(cls, name: str, platform: Platform, key: bytes | None = None) -> "Places":
        """Return the rules of a platform in the settings; ``key`` verifies its catalogue, by default its verify key."""
        if platform.locations != CATALOGUE or platform.locations_file is None:
            return cls(deny=platform.deny)
        read_key = partial(catalogue.verify_key, platform.verify_key) if key is None else lambda: key
        return cls(deny=platform.deny, listed=LiveCatalogue(platform.locations_file, name, read_key))

    def check(self, location: str) -> str:
        """Return a place as it may be shown. Raises Refused."""
        if self._denied.are_in(location):
            raise _disclosing("contains a name that this platform knows to tell too much")
        if self._listed is not None:
            return self._find(self._listed, job.parse_location(location))
        if disclosure.discloses(location):
            raise _disclosing("discloses a reason or a speciality; give the address")
        return location

    def _find(self, listed: LiveCatalogue, label: str) -> str:
        try:
            place = listed.find(label)
        except SettingsError:
            message = "the list of reviewed places cannot be used; tell the operator"
            raise Refused(Reason.CATALOGUE_UNUSABLE, "location", message) from None
        if place is None or not place.reviewer:
            raise Refused(Reason.LOCATION_NOT_LISTED, "location", "is not on the list of reviewed places")
        if place.refused_by is not None:
            raise _disclosing("discloses a reason or a speciality, which nobody accepted for this place")
        return place.label


def _disclosing(why: str) -> Refused:
    return Refused(Reason.LOCATION_DISCLOSES, "location", why)
