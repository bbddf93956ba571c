"""The disclosure matrix: which party learns which fact, as documented; the audit measures whether that is true.

*never*: nothing that the party holds or sees contains it. *passing*: it passes through the party and is not kept.
*readable*: anyone who looks there can read it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Fact(StrEnum):
    """What there is to know about one reminder."""

    NUMBER = "number"
    LANGUAGE = "language"
    PLACE = "place"
    TIME = "appointment time"
    DUE = "due time"
    EXISTENCE = "that this person has an appointment"
    PRACTICE = "practice"
    REASON = "reason, name"
    TEXT = "text"
    OUTCOME = "outcome"


class Party(StrEnum):
    """A party that could look."""

    PLATFORM = "platform server"
    WEB = "web"
    HOOKS = "hooks"
    SCHEDULER = "scheduler"
    STORE = "Redis operator"
    BACKUP = "backup holder, today"
    MONTH = "backup holder, a month later"
    LOGS = "log reader"
    METRICS = "metrics reader"
    WORKER = "worker root"
    NETWORK = "network observer"
    PROVIDER = "SMS provider"
    SCREEN = "lock screen"


class Grade(IntEnum):
    """How much a party learns; more is worse."""

    NEVER = 0
    PASSING = 1
    READABLE = 2

    def __str__(self) -> str:
        return ("never", "in passing", "readable")[self]


# A row per fact, a column per party in the order above: n(ever), p(assing), r(eadable).
_DOCUMENTED = {
    #                plat web hook sche stor back mont logs metr work netw prov scrn
    Fact.NUMBER:    "p    n   p    n    n    n    n    n    n    r    n    r    n",
    Fact.LANGUAGE:  "p    n   n    n    n    n    n    n    n    r    n    r    r",
    Fact.PLACE:     "r    p   n    n    n    n    n    n    n    r    n    r    r",
    Fact.TIME:      "r    p   n    n    n    n    n    n    n    r    n    r    r",
    Fact.DUE:       "r    r   r    r    r    r    r    r    r    r    r    r    r",
    Fact.EXISTENCE: "r    r   p    n    n    n    n    n    n    r    n    r    r",
    Fact.PRACTICE:  "r    r   n    n    n    n    n    n    n    r    n    n    n",
    Fact.REASON:    "n    n   n    n    n    n    n    n    n    n    n    n    n",
    Fact.TEXT:      "n    n   n    n    n    n    n    n    n    r    n    r    r",
    Fact.OUTCOME:   "r    r   r    r    r    r    r    r    r    r    r    r    r",
}  # fmt: skip
_GRADES = {"n": Grade.NEVER, "p": Grade.PASSING, "r": Grade.READABLE}
DOCUMENTED = {
    (fact, party): _GRADES[letter]
    for fact, row in _DOCUMENTED.items()
    for party, letter in zip(Party, row.split(), strict=True)
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as documented and as measured, with what was looked at and where it was found."""

    fact: Fact
    party: Party
    measured: Grade
    looked_at: tuple[str, ...]
    found_in: tuple[str, ...]  # places; never what was found

    @property
    def check(self) -> str:
        """The name of the check behind it."""
        return f"{self.party.name.lower()}.{self.fact.name.lower()}"

    @property
    def documented(self) -> Grade:
        """What the documentation says."""
        return DOCUMENTED[self.fact, self.party]

    @property
    def worse(self) -> bool:
        """Return whether more is disclosed than documented."""
        return self.measured > self.documented


def cells() -> Iterator[tuple[Fact, Party]]:
    """Return all cells, row by row."""
    return ((fact, party) for fact in Fact for party in Party)
