"""FHIR R4: a Bundle, NDJSON of mixed resources, or the folder of a bulk export.

Appointments are read one by one; of patients and places only a phone, a language and an address are kept.
``resources.py`` says what is taken from a resource, and what is not.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from reminder_worker import job
from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.records import EXPORT, LONG_AGO, Cancelled, Defaults, Left, PassedOver, Record, resources
from reminder_worker.records.lines import Lines
from reminder_worker.records.resources import Elements, Person, Visit

LONGEST_LINE = 4 * 2**20  # bytes of one resource in NDJSON: a photograph may be inside
LONGEST_BUNDLE = 64 * 2**20  # bytes of a Bundle, which is held in memory
_PARTS = re.compile(r"(?:\d+\.)?(Location|Patient|Appointment)(?:[.-]\d+)?\.ndjson", re.ASCII)
_ORDER = "Location", "Patient", "Appointment"
_UTC = "Z", "z", "+00:00", "-00:00"

Found = tuple[str, str, Elements | Refused]  # its position, its full URL if it has one, and the resource
Taken = tuple[str, Visit | Refused]


class Reader:
    """Reads a stream or a folder; a stream that cannot be read twice is read whole before any visit is resolved."""

    passes_over = EXPORT

    def __init__(self, source: BinaryIO | Path, defaults: Defaults) -> None:
        self.left = Left()
        self.done = 0
        self._source = source
        self._zoned = defaults.zone is not None
        self._now = datetime.now(UTC)
        self._known: dict[str, Person | str | None] = {}  # None: two resources share this name
        self._absolute = False  # whether resources say which server they are on

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        if isinstance(self._source, Path):
            yield from self._folder(self._source)
            return
        start = 1
        while (head := self._source.readline(LONGEST_BUNDLE + 1)) and not head.strip():
            start += 1
        if head.rstrip().endswith(b"}") and not _is_bundle(head):
            yield from self._ndjson(self._source, start, head)
        elif head:
            yield from self._document(head + self._source.read(max(0, LONGEST_BUNDLE + 1 - len(head))))

    def _folder(self, folder: Path) -> Iterator[tuple[str, Record]]:
        """Read places, then patients, then appointments, from however many files there are."""
        parts = [(match[1], path) for path in sorted(folder.iterdir()) if (match := _PARTS.fullmatch(path.name))]
        if not any(kind == "Appointment" for kind, _ in parts):
            raise SettingsError("--format fhir: the folder has no Appointment.ndjson")
        for _, path in sorted(parts, key=lambda part: _ORDER.index(part[0])):
            with path.open("rb") as stream:
                yield from self._resolve(self._take(self._lines(stream, f"{path.name} line")))

    def _ndjson(self, stream: BinaryIO, start: int, head: bytes) -> Iterator[tuple[str, Record]]:
        """Read people and places first; if the stream cannot be read a second time, appointments wait in memory."""
        if stream.seekable():
            stream.seek(0)
            yield from self._resolve(self._take(self._lines(stream, "line"), visits=False))
            stream.seek(0)
            self.done = 0
            yield from self._resolve(self._take(self._lines(stream, "line"), others=False))
            return
        first = f"line {start}", "", _elements(head)
        rest = self._lines(stream, "line", start)
        yield from self._resolve([*self._take([first]), *self._take(rest)])

    def _document(self, document: bytes) -> Iterator[tuple[str, Record]]:
        """Read a Bundle, or a resource on its own."""
        elements = _elements(document)
        if len(document) > LONGEST_BUNDLE:
            reason = f"is longer than {LONGEST_BUNDLE >> 20} MiB; export it as NDJSON"
            yield "line 1", Refused(Reason.MALFORMED, "file", reason)
        elif isinstance(elements, Refused) or resources.kind_of(elements) != "Bundle":
            yield from self._resolve([*self._take([("entry 1", "", elements)])])
        else:
            resources.count_left(elements, {"resourceType", "entry"}, "Bundle", self.left)
            entries = resources.decode(elements.get("entry"), list[msgspec.Raw]) or []
            taken = [*self._take(self._entries(entries))]
            for number, one in enumerate(self._resolve(taken), 1):
                self.done = len(document) * number // len(taken)
                yield one

    def _lines(self, stream: BinaryIO, word: str, start: int = 0) -> Iterator[Found]:
        lines, before = Lines(stream, LONGEST_LINE), self.done
        for number, line in lines:
            self.done = before + lines.done
            if lines.is_cut(line):
                yield f"{word} {start + number}", "", lines.too_long()
            elif line.strip():
                yield f"{word} {start + number}", "", _elements(line)

    def _entries(self, entries: list[msgspec.Raw]) -> Iterator[Found]:
        for number, raw in enumerate(entries, 1):
            entry = resources.decode(raw, Elements) or {}
            resources.count_left(entry, {"fullUrl", "resource"}, "Bundle.entry", self.left)
            if "resource" in entry:  # other entries ask a server to delete a resource, or answer such a request
                yield f"entry {number}", resources.text(entry.get("fullUrl")), _elements(entry["resource"])

    def _take(self, found: Iterable[Found], *, visits: bool = True, others: bool = True) -> Iterator[Taken]:
        """Learn people and places (``others``), and take what a reminder needs from appointments (``visits``)."""
        for where, url, elements in found:
            kind = "" if isinstance(elements, Refused) else resources.kind_of(elements)
            try:
                if isinstance(elements, Refused):
                    if visits:
                        yield where, elements
                elif kind in {"Patient", "Location"}:
                    if others:
                        self._learn(kind, url, elements)
                elif kind == "Appointment" and visits:
                    yield where, resources.visit(elements, self.left, self._now.date())
                elif visits and not kind:
                    yield where, Refused(Reason.MALFORMED, "resource", "has no resourceType")
                elif visits:
                    self.left.count(kind)
            except Refused as refusal:
                yield where, refusal

    def _learn(self, kind: str, url: str, elements: Elements) -> None:
        """Keep what appointments need of a patient, or an address, under every name that leads to it."""
        known: Person | str
        if kind == "Patient":
            known = resources.person(elements, self.left, self._now.date())
        else:
            known = resources.place(elements, self.left)
        self._absolute |= "://" in url
        id_ = resources.text(elements.get("id"))
        for name in (url, f"{kind}/{id_}" if id_ else ""):
            if name:
                self._known[name] = known if self._known.get(name, known) == known else None

    def _resolve(self, taken: Iterable[Taken]) -> Iterator[tuple[str, Record]]:
        for where, visit in taken:
            try:
                yield where, visit if isinstance(visit, Refused) else self._record(visit)
            except Refused as refusal:
                yield where, refusal

    def _record(self, visit: Visit) -> Record:
        """Return what to hand in, or a cancellation. Raises Refused."""
        if self._is_over(visit.start):
            over = Refused(Reason.TIME_PAST, "start", "is over" if visit.status in resources.REMINDED else "")
            long_ago = self._now - job.parse_time(visit.start) > LONG_AGO
            return over if long_ago else PassedOver(visit.reference, over)
        if visit.status not in resources.REMINDED:
            return Cancelled(visit.reference)
        self._check_start(visit.start)
        people = {one for name in visit.patients if isinstance(one := self._find(visit, name), Person)}
        if len(people) != 1:
            reason = "is more than one" if people else "is not in the file, or two have its name"
            raise Refused(Reason.MISSING_FIELD, "patient", reason)
        [person] = people
        if person.deceased:
            return Cancelled(visit.reference)
        places = (found for name in visit.places if isinstance(found := self._find(visit, name), str) and found)
        fields = {
            "reference": visit.reference,
            "time": visit.start,
            "location": next(places, ""),
            "phone": person.phone,
            "language": person.language,
        }
        return {name: value for name, value in fields.items() if value}

    def _is_over(self, start: str) -> bool:
        """Tell whether nothing can be left to send; False for a start that cannot be read."""
        try:
            return job.parse_time(start) <= self._now
        except Refused:
            return False

    def _check_start(self, start: str) -> None:
        """Refuse what is no time, and a time without the clock that people read."""
        job.parse_time(start)
        if start.endswith(_UTC) and not self._zoned:
            raise Refused(Reason.TIME_INVALID, "start", "is in UTC; say with --zone which clock people read")

    def _find(self, visit: Visit, reference: str) -> Person | str | None:
        """Follow a reference; one to a server leads to a resource there, or to one in files that name no server."""
        if reference.startswith("#"):
            return visit.contained.get(reference)
        name = reference.partition("/_history/")[0]
        if "://" in name and name not in self._known and not self._absolute:
            name = "/".join(name.split("/")[-2:])
        return self._known.get(name)


def _elements(document: bytes | msgspec.Raw) -> Elements | Refused:
    raw = document.removeprefix(codecs.BOM_UTF8) if isinstance(document, bytes) else document
    found = resources.decode(raw, Elements)
    return Refused(Reason.MALFORMED, "resource", "is not a JSON object") if found is None else found


def _is_bundle(line: bytes) -> bool:
    elements = _elements(line)
    return not isinstance(elements, Refused) and resources.kind_of(elements) == "Bundle"
