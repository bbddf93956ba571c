"""The contents of SMPP 3.4 short messages: a text as linked segments, and the text of what an SMSC delivers.

Segments are cut as ``segments`` counts them: aiosmpplib cuts by characters, not by septets, and so sends segments that
no phone can accept. Its GSM codec is right. Pure functions; nothing is kept.

Sources: SMPP 3.4, 4.6 (deliver_sm), 5.2.12 (esm_class), 5.2.19 (data_coding), 5.2.28 (message_state), appendix B
(receipts); 3GPP TS 23.040, 9.2.3.24.1 (joined segments).
"""

import random
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aiosmpplib.codec import GSM7BitCodec

from reminder_worker.segments import EXTENSION, Encoding, measure

HAS_HEADER = 0b0100_0000  # of esm_class: a header stands before the text
RECEIPT = 0b0010_0100  # of esm_class: a final receipt, or an intermediate one
DEFAULT, UCS2 = 0, 8  # of data_coding
_CODINGS = {1: "ascii", 3: "latin-1", 6: "iso8859-5", 7: "iso8859-8", UCS2: "utf-16-be"}
_ALONE = {Encoding.GSM7: 160, Encoding.UCS2: 70}  # units in a single segment
_JOINED = {Encoding.GSM7: 153, Encoding.UCS2: 67}  # ... and in each of several
_PLANE = 0xFFFF  # characters above it are two UTF-16 units
# Optional parameters; the payload holds the message if the message's own field is empty.
_MESSAGE_PAYLOAD, _RECEIPTED_MESSAGE_ID, _MESSAGE_STATE, _SEGMENT_NUMBER = 0x0424, 0x001E, 0x0427, 0x020F
_JOINS = {0x00: 3, 0x08: 4}  # elements of a header that join segments, and their lengths; the last byte counts from 1
_STATES = ("", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD")  # by number
_FIELD = re.compile(r"\b(id|stat):\s*([!-~]+)", re.IGNORECASE)
_SENT = re.compile(r"\btext:", re.IGNORECASE)  # from here on a receipt repeats what was sent
_PARAMETER = struct.Struct(">HH")  # tag, length
_GSM = GSM7BitCodec()


@dataclass(frozen=True, slots=True)
class Report:
    """What a receipt says; a part that it leaves out is empty."""

    named: str = field(repr=False)  # the text's id, as in the answer to its submit_sm
    named_in_text: str = field(repr=False)  # ... as in the receipt's words, where some SMSCs write it in another base
    state: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A deliver_sm: a receipt, or what a person wrote."""

    sender: str = field(repr=False)
    sender_type: int  # type of number
    esm_class: int
    data_coding: int
    message: bytes = field(repr=False)
    parameters: Mapping[int, bytes] = field(repr=False)  # the optional ones, by tag

    @property
    def is_receipt(self) -> bool:
        """Tell whether it is from the SMSC itself."""
        return bool(self.esm_class & RECEIPT)

    @property
    def head(self) -> int:
        """How many bytes stand before the text."""
        return 1 + self.message[0] if self.esm_class & HAS_HEADER and self.message else 0

    @property
    def segment(self) -> int:
        """Which segment of a long text this is, from 1; each is a delivery of its own."""
        number = int.from_bytes(self.parameters.get(_SEGMENT_NUMBER, b"\1"), "big")
        rest = self.message[1 : self.head]
        while len(rest) > 1:
            kind, size = rest[:2]
            if _JOINS.get(kind) == size < len(rest) - 1:
                number = rest[1 + size]
            rest = rest[2 + size :]
        return number

    def text(self, alphabet: str) -> str:
        """Return what was written; of a long text, in this segment."""
        head = self.head
        coding = _CODINGS.get(self.data_coding)
        if coding is None and alphabet == "gsm":
            return str(_GSM.decode(self.message[head:], "replace")[0])
        return self.message[head:].decode(coding or "latin-1", "replace")

    def report(self, alphabet: str) -> Report:
        """Read a receipt: optional parameters take precedence over its words, whose form each vendor chooses."""
        said = _SENT.split(self.text(alphabet))[0]
        fields = {name.lower(): value for name, value in reversed(_FIELD.findall(said))}  # the first of each counts
        named = self.parameters.get(_RECEIPTED_MESSAGE_ID, b"").rstrip(b"\0").decode("latin-1")
        number = int.from_bytes(self.parameters.get(_MESSAGE_STATE, b""), "big")
        state = _STATES[number] if number < len(_STATES) else ""
        return Report(named, fields.get("id", ""), state or fields.get("stat", ""))


def read_delivery(body: bytes) -> Delivery:
    """Read the body of a deliver_sm. Raises ValueError or IndexError."""
    _, rest = _word(body)  # service_type
    sender_type, (sender, rest) = rest[0], _word(rest[2:])
    _, rest = _word(rest[2:])  # the destination: we know our own number
    esm_class, (_, rest) = rest[0], _word(rest[3:])
    _, rest = _word(rest)
    data_coding, end = rest[2], 5 + rest[4]
    message, rest = rest[5:end], rest[end:]
    parameters: dict[int, bytes] = {}
    while len(rest) >= _PARAMETER.size:
        tag, size = _PARAMETER.unpack_from(rest)
        parameters[tag], rest = rest[4 : 4 + size], rest[4 + size :]
    message = message or parameters.get(_MESSAGE_PAYLOAD, b"")
    return Delivery(sender, sender_type, esm_class, data_coding, message, parameters)


def _word(rest: bytes) -> tuple[str, bytes]:
    """Split off a C string."""
    end = rest.index(0)
    return rest[:end].decode("latin-1"), rest[end + 1 :]


def encode(text: str, alphabet: str) -> tuple[int, list[bytes]]:
    """Return data_coding and the segments; if several, each with the header that joins them. Raises ValueError."""
    if not text:
        raise ValueError("nothing to send")
    encoding = measure(text).encoding
    if encoding is Encoding.GSM7:
        try:
            pieces = [_default(piece, alphabet) for piece in _cut(text, encoding)]
        except UnicodeEncodeError:  # Latin-1 has neither the euro nor Greek capitals
            encoding = Encoding.UCS2
    if encoding is Encoding.UCS2:
        pieces = [piece.encode("utf-16-be") for piece in _cut(text, encoding)]
    coding = UCS2 if encoding is Encoding.UCS2 else DEFAULT
    if len(pieces) == 1:
        return coding, pieces
    name = random.randrange(256)  # noqa: S311 - tells one text's parts from another's, and is no secret
    return coding, [bytes((5, 0, 3, name, len(pieces), place)) + piece for place, piece in enumerate(pieces, 1)]


def _default(piece: str, alphabet: str) -> bytes:
    return bytes(_GSM.encode(piece)[0]) if alphabet == "gsm" else piece.encode("latin-1")


def _cut(text: str, encoding: Encoding) -> Iterator[str]:
    """Fill one segment after another; a character of two units is never split over two segments."""
    widths = [2 if (c in EXTENSION if encoding is Encoding.GSM7 else ord(c) > _PLANE) else 1 for c in text]
    joined = _JOINED[encoding]
    if sum(widths) <= _ALONE[encoding]:
        yield text
        return
    start, free = 0, joined
    for place, width in enumerate(widths):
        if width > free:
            yield text[start:place]
            start, free = place, joined
        free -= width
    yield text[start:]
