"""What the named checks look at, and how they report."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from reminder_worker.audit.counterparts import TOKEN
from reminder_worker.audit.evidence import Piece, in_folder, keys_among, keys_in
from reminder_worker.audit.installation import SETTINGS
from reminder_worker.audit.matrix import Fact
from reminder_worker.audit.search import Search
from reminder_worker.audit.story import Story
from reminder_worker.audit.writings import writings
from reminder_worker.encoding import to_text

PUBLIC = ".pub", ".pub.json"  # how the names of files that are not secret end
OPEN = {Fact.PRACTICE, Fact.OUTCOME, Fact.DUE}  # may be shown if it is nobody's in particular


@dataclass(frozen=True)
class Case:
    """The story as it was played, and the search for everybody's facts."""

    story: Story
    search: Search

    def silent(self, content: bytes) -> bool:
        """Return whether some bytes hold nothing about anybody."""
        return not self.search.facts(content) - OPEN

    @cached_property
    def secrets(self) -> set[bytes]:
        """All private keys and credentials, as they may be written."""
        here = self.story.here
        folders = [here.folder / name for name in SETTINGS]
        public = keys_among(piece for one in folders for piece in in_folder(one) if piece.where.endswith(PUBLIC))
        keys = set().union(*map(keys_in, folders)) - public
        found = {
            form for key in keys for form in (key, to_text(key).encode(), key.hex().encode(), repr(key)[2:-1].encode())
        }
        found |= {form for word in (TOKEN, here.api_key) for form in writings(word)}
        return found | {path.read_bytes().strip() for path in here.folder.rglob("*.whsec")}


@dataclass(frozen=True, slots=True)
class Check:
    """What a check looked for, and where it found it; a ``note`` is not a failure."""

    name: str
    what: str
    found: tuple[str, ...] = field(default=())
    note: bool = False

    @property
    def ok(self) -> bool:
        """Return whether it holds."""
        return self.note or not self.found


def where(pieces: Iterable[Piece], forms: set[bytes]) -> Iterator[str]:
    """Return the places that hold any of these forms."""
    return (piece.where for piece in pieces if any(form in piece.content for form in forms))
