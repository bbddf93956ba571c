"""Lists of labels from files, and what the lint finds in them.

A file holds a label a line; `# list: NAME` begins a list, and a comment records what was found in it when it was first
tried. Labels of the closed half are counted and never shown: anyone who mends the stems must not know them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

from reminder_worker import disclosure

CLOSED = "closed"
_TRIED = re.compile(r"# (?P<when>before|first try)\b[^:]*: (?P<refused>\d+) refused(?:, (?P<warned>\d+) warned)?")
_OF = re.compile(r" of (\d+)")


@dataclass(frozen=True, slots=True)
class Tally:
    """How many labels were refused, and how many more were warned of."""

    of: int = 0
    refused: int = 0
    warned: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.of + other.of, self.refused + other.refused, self.warned + other.warned)

    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share that was refused."""
        if not self.of:
            return 0.0, 1.0
        z, share = 1.96, self.refused / self.of
        middle = share + z * z / (2 * self.of)
        reach = z * sqrt(share * (1 - share) / self.of + z * z / (4 * self.of * self.of))
        whole = 1 + z * z / self.of
        return (middle - reach) / whole, (middle + reach) / whole


@dataclass(slots=True)
class Labels:
    """One list of one language, and how it did when it was new."""

    half: str
    language: str
    name: str
    labels: list[str] = field(default_factory=list, repr=False)
    past: dict[str, Tally] = field(default_factory=dict)

    def tally(self) -> Tally:
        """Count what the lint says today."""
        found = [disclosure.find(label) for label in self.labels]
        refused = sum(one is not None and one.severity is disclosure.Severity.REFUSE for one in found)
        return Tally(len(found), refused, sum(one is not None for one in found) - refused)

    def missed(self) -> list[str]:
        """Name what was not refused, but nothing of the closed half."""
        return [] if self.half == CLOSED else [one for one in self.labels if not disclosure.discloses(one)]

    def named(self, severity: disclosure.Severity) -> list[str]:
        """Name what was found, each with its rule: only for lists of names that disclose nothing."""
        found = ((label, disclosure.find(label)) for label in self.labels)
        return [f"{label} ({one.rule})" for label, one in found if one and one.severity is severity]


def read(folder: Path) -> list[Labels]:
    """Read every list of a folder; its name is the half that they belong to."""
    return [one for path in sorted(folder.glob("*.txt")) for one in _file(folder.name, path)]


def _file(half: str, path: Path) -> Iterator[Labels]:
    current = Labels(half, path.stem, path.stem)
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# list: "):
            if current.labels:
                yield current
            current = Labels(half, path.stem, line.removeprefix("# list: "))
        elif match := _TRIED.match(line):
            current.past[match["when"]] = _past(match, line, current)
        elif line and not line.startswith("# "):
            current.labels.append(line)
    yield current


def _past(match: re.Match[str], line: str, current: Labels) -> Tally:
    of = _OF.search(line)
    assert of is not None, f"{current.half}/{current.language}: how many labels were there?"
    return Tally(int(of[1]), int(match["refused"]), int(match["warned"] or 0))


def total(tallies: Iterable[Tally]) -> Tally:
    return sum(tallies, Tally())
