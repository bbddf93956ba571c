"""Search what each party holds for every fact, and grade how readable it is there."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from reminder_worker.audit.evidence import Piece
from reminder_worker.audit.matrix import Cell, Fact, Grade, Party
from reminder_worker.audit.people import Person
from reminder_worker.audit.writings import writings

Forms = dict[Fact, set[bytes]]

BLOCK = 1 << 20  # bytes that are searched at once
EDGE = 4  # bytes at each end of a form, which are searched first: the size of a number in memory
OPENING = 45  # characters by which a text is recognised


def forms(people: Iterable[Person], texts: Iterable[str] = ()) -> Forms:
    """Return everything that would give a fact of anybody away."""
    found: Forms = {fact: set() for fact in Fact}
    for person in people:
        for fact, ways in person.facts().items():
            found[fact] |= ways
    for text in texts:
        for fact in (Fact.TEXT, Fact.LANGUAGE, Fact.EXISTENCE):  # anyone who reads it knows all three
            found[fact] |= writings(text[:OPENING])
    return found


def numbers(block: bytes) -> set[int]:
    """Return every ``EDGE`` bytes of a block, wherever they begin, as numbers."""
    found: set[int] = set()
    for start in range(min(EDGE, len(block))):
        end = len(block) - (len(block) - start) % EDGE
        found.update(memoryview(block)[start:end].cast("I"))
    return found


class Search:
    """Searches for all forms of all facts; the same content is searched once."""

    def __init__(self, wanted: Forms) -> None:
        self._wanted: dict[int, list[tuple[int, Fact, bytes]]] = defaultdict(list)
        for fact, forms in wanted.items():
            for form in forms:
                first, last = (int.from_bytes(edge, sys.byteorder) for edge in (form[:EDGE], form[-EDGE:]))
                self._wanted[first].append((last, fact, form))
        self._overlap = max((len(form) for forms in wanted.values() for form in forms), default=0)
        self._known: dict[bytes, set[Fact]] = {}

    def facts(self, content: bytes) -> set[Fact]:
        """Return the facts that some bytes contain."""
        if content not in self._known:
            starts = range(0, max(1, len(content)), BLOCK)
            blocks = (content[start : start + BLOCK + self._overlap] for start in starts)
            self._known[content] = set().union(*map(self._look, blocks))
        return self._known[content]

    def _look(self, block: bytes) -> set[Fact]:
        """Search a block; the first and last bytes, collected once, rule out most forms."""
        here = numbers(block)
        near = (one for first in here & self._wanted.keys() for one in self._wanted[first])
        return {fact for last, fact, form in near if last in here and form in block}

    def measure(self, holdings: Callable[[Party], list[Piece]]) -> Iterator[Cell]:
        """Fill in the matrix, party by party."""
        for party in Party:
            pieces = holdings(party)
            found = [(piece, self.facts(piece.content)) for piece in pieces]
            looked_at = tuple(dict.fromkeys(piece.where for piece in pieces))
            for fact in Fact:
                hits = [piece for piece, facts in found if fact in facts]
                grade = max((Grade.READABLE if hit.kept else Grade.PASSING for hit in hits), default=Grade.NEVER)
                yield Cell(fact, party, grade, looked_at, tuple(dict.fromkeys(hit.where for hit in hits)))
