"""What a person does with a platform's catalogue: propose places, look at each, accept or remove it.

A label is shown to that person alone; an error names the rule that the label breaks and never the label.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reminder_worker import catalogue, disclosure, job
from reminder_worker.catalogue import Catalogue, Place, may_be_accepted
from reminder_worker.client.chosen import keys_of
from reminder_worker.disclosure import Severity
from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.names import Names
from reminder_worker.sealing import PlatformKeys
from reminder_worker.settings import Settings

SHOWN, WAITING, REFUSED = "shown", "waiting", "refused"


def state_of(place: Place) -> str:
    """Return whether a place is shown, waits for a person, or is refused by today's lint although it was reviewed."""
    if not place.reviewer:
        return WAITING
    return REFUSED if place.refused_by else SHOWN


@dataclass
class Desk:
    """One platform's catalogue, and the key that signs it."""

    path: Path
    keys: PlatformKeys
    catalogue: Catalogue
    held: int = 0  # the sequence that the file had when it was last read, or written here
    denied: Names = Names()  # noqa: RUF009 - it never changes

    @classmethod
    def open(cls, chosen: Settings, platform: str | None) -> "Desk":
        """Read the catalogue of a platform in the settings, or begin one. Raises SettingsError."""
        name, tenant = chosen.platform(platform)
        if tenant.locations_file is None:
            raise SettingsError(f"platforms.{name}.locations_file: say where the catalogue is kept")
        keys, path = keys_of(chosen, name), tenant.locations_file
        denied = Names(tenant.deny)
        if not path.exists():
            return cls(path, keys, Catalogue(name, 0, ()), denied=denied)
        found = catalogue.load(path, name, bytes(keys.signing.verify_key))
        return cls(path, keys, found, found.sequence, denied)

    @property
    def waiting(self) -> list[Place]:
        """Return the places that a person has to look at."""
        return [place for place in self.catalogue.places if state_of(place) != SHOWN]

    def propose(self, text: str) -> bool:
        """Add a place for review; False if it is already there. Raises Refused for one that can never be shown."""
        label = job.parse_location(text)
        found = disclosure.find(label)
        if found is not None and found.severity is Severity.REFUSE and not may_be_accepted(found.rule):
            raise _never(found.rule)
        self._check_names(label)
        if any(place.label == label for place in self.catalogue.places):
            return False
        self._change([*self.catalogue.places, Place(label)])
        return True

    def accept(self, text: str, reviewer: str, although: str | None = None) -> None:
        """Let a place be shown, in spite of one rule if that is named. Raises Refused, SettingsError."""
        label = self._known(text)
        self._check_names(label)
        found = disclosure.find(label)
        rule = found.rule if found is not None and found.severity is Severity.REFUSE else ""
        if rule and not may_be_accepted(rule):
            raise _never(rule)
        if rule and rule != although:
            advice = f"is refused by {rule}; leave it out, or accept it with --although {rule}"
            raise Refused(Reason.LOCATION_DISCLOSES, "location", advice)
        if not catalogue.is_reviewer(reviewer):
            raise SettingsError("--by: write a name of up to 40 characters that begins with a letter or a digit")
        reviewed = Place(label, reviewer, f"{datetime.now(UTC):%Y-%m-%d}", rule)
        self._change(reviewed if place.label == label else place for place in self.catalogue.places)

    def remove(self, texts: Collection[str]) -> None:
        """Remove places. Raises Refused, SettingsError, and removes none if one of them is not there."""
        gone = {self._known(text) for text in texts}
        self._change(place for place in self.catalogue.places if place.label not in gone)

    def save(self) -> None:
        """Sign and write the changes, unless the file was changed meanwhile. Raises SettingsError."""
        if self._in_the_file() != self.held:  # a review takes time, and would bring back what was removed meanwhile
            raise SettingsError(f"{self.path}: was changed by somebody else meanwhile; run this again")
        catalogue.save(self.catalogue, self.path, self.keys.signing)
        self.held = self.catalogue.sequence

    def _in_the_file(self) -> int:
        if not self.path.exists():
            return 0
        return catalogue.load(self.path, self.catalogue.platform, bytes(self.keys.signing.verify_key)).sequence

    def _check_names(self, label: str) -> None:
        if self.denied.are_in(label):
            raise Refused(Reason.LOCATION_DISCLOSES, "location", "holds a name on this platform's `deny`")

    def _known(self, text: str) -> str:
        label = job.parse_location(text)
        if not any(place.label == label for place in self.catalogue.places):
            raise SettingsError("LABEL: is not in the catalogue; see reminder-worker locations list")
        return label

    def _change(self, places: Iterable[Place]) -> None:
        self.catalogue = self.catalogue.changed(places, datetime.now(UTC))


def _never(rule: str) -> Refused:
    return Refused(Reason.LOCATION_DISCLOSES, "location", f"breaks {rule}, which nobody can accept")
