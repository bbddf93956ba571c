"""What comes over the wire: SMPP from an SMSC, answers of resolvers to a worker, and of a gateway to a platform."""

import asyncio
import functools
import json
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from reminder_worker import answers
from reminder_worker.client import HttpClient
from reminder_worker.contacts.http import understand
from reminder_worker.encoding import to_text
from reminder_worker.errors import Refused, SettingsError, StoreUnavailable
from reminder_worker.https import Site
from reminder_worker.providers import Provider, Role, load
from reminder_worker.wire.link import Link
from reminder_worker.wire.shortmessages import encode, read_delivery

from .calls import answer_of
from .formats import PUBLIC
from .sites import loop
from .targets import NUMBER, PLACE, Finding, decoded, folder, nested, target, texts

PINNED = to_text(bytes(32))
PDU = struct.Struct(">IIII")
DELIVER, SUBMIT_RESP, ENQUIRE, UNBIND = 0x5, 0x80000004, 0x15, 0x6
RECEIPT = b"id:a1 sub:001 dlvrd:001 submit date:2611251330 done date:2611251331 stat:DELIVRD err:000 text:id:9 stat:X"


def delivery(message: bytes, esm_class: int = 0, coding: int = 0, *parameters: tuple[int, bytes]) -> bytes:
    """Write the body of a deliver_sm."""
    optional = b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in parameters)
    head = b"\0\1\1" + NUMBER[1:].encode() + b"\0\1\1" + b"33700000001\0"
    return head + bytes([esm_class, 0, 0]) + b"\0\0" + bytes([0, 0, coding, 0, len(message)]) + message + optional


def deliveries() -> Iterator[bytes]:
    yield delivery(b"STOP")
    yield delivery(RECEIPT, 4)
    yield delivery(RECEIPT, 4, 0, (0x1E, b"ff\0"), (0x427, b"\2"))
    yield delivery(b"", 4, 0, (0x424, RECEIPT))
    yield delivery(b"\5\0\3\1\2\1" + PLACE.encode(), 0x40)
    yield delivery(PLACE.encode("utf-16-be"), 0, 8)
    yield delivery(b"\x1b", 0, 0)
    yield delivery(b"\xff", 0x40)
    yield delivery("й".encode("iso8859-5"), 0, 6)
    yield delivery(RECEIPT.replace(b"id:a1", b"id:" + b"f" * 120), 4)


@functools.cache
def smpp(alphabet: str, ids: str) -> Any:
    """Return the provider; it connects to nobody until something is sent."""
    (folder("smpp") / "password").write_text("password")
    table = {
        "type": "smpp",
        "host": "127.0.0.1",
        "tls": False,
        "system_id": "us",
        "password_file": str(folder("smpp") / "password"),
    }
    made: Provider = load(
        "acme", {**table, "from": "AcmeInc", "default_alphabet": alphabet, "message_id": ids}, Role.SEND
    )
    made._hear = repr  # type: ignore[attr-defined]
    return made


@target("smpp-delivery", deliveries, ValueError, IndexError, quotes=True)
def heard(data: bytes) -> object:
    """A delivery may be unreadable, which its reader says with ValueError or IndexError; what is read is heard."""
    found = read_delivery(data)
    try:
        for alphabet in ("gsm", "latin1"):
            for ids in ("as-is", "hex", "decimal"):
                smpp(alphabet, ids)._deliver(found)
    except Exception as error:
        raise Finding(f"smpp-delivery: {type(error).__name__}") from error
    return found


def streams() -> Iterator[bytes]:
    bodies = [*deliveries()]
    whole = b"".join(PDU.pack(16 + len(body), DELIVER, 0, number) + body for number, body in enumerate(bodies))
    yield whole
    yield b"".join(PDU.pack(16, command, 0, 7) for command in (ENQUIRE, SUBMIT_RESP, 0x103, 0xFFFFFFFF, UNBIND))
    yield PDU.pack(0x11000, DELIVER, 0, 1) + b"\0" * 500
    yield PDU.pack(15, DELIVER, 0, 1)
    yield PDU.pack(20, SUBMIT_RESP, 0x0B, 1) + b"id\xff\0"


class _Writer:
    """The way out, which leads nowhere."""

    class transport:  # noqa: N801
        @staticmethod
        def abort() -> None:
            """Hang up."""

    @staticmethod
    def write(data: bytes) -> None:
        """Say something."""


@target("smpp-stream", streams, OSError, EOFError)
def read_stream(data: bytes) -> None:
    async def follow() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        link = Link(reader, _Writer())  # type: ignore[arg-type]

        def take(_: int, body: bytes) -> None:
            with suppress(ValueError, IndexError):
                read_delivery(body)

        await link.read(5, take)

    loop().run_until_complete(follow())


@target(
    "smpp-text",
    texts("Rappel : demain à 14 h 30", "€[]{}" * 60, "👍" * 80, "\ud800", "مركز" * 60),
    ValueError,
    quotes=True,
)
def segments(data: bytes) -> object:
    for alphabet in ("gsm", "latin1"):
        coding, pieces = encode(decoded(data), alphabet)
        if any(len(piece) > 160 for piece in pieces):
            raise Finding("smpp-text: a segment that no phone takes")
    return coding, len(pieces)


# Answers over HTTP


def resolved() -> Iterator[bytes]:
    yield b'200\n\n{"phone":"' + NUMBER.encode() + b'","language":"fr"}'
    yield b'200\n\n{"phone":1,"language":null}'
    yield b"429\nRetry-After: 5\n\n"
    yield b"503\nRetry-After: Wed, 25 Nov 2026 99:00:00 GMT\n\n"
    yield b"410\n\n"
    yield from (b"200\n\n" + body for body in nested())


@target("resolver", resolved)
def understood(data: bytes) -> object:
    return understand(answer_of(data))


@target(
    "retry-after",
    texts("5", "Wed, 25 Nov 2026 10:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", "\uff19", "1" * 12, "\x1c5"),
)
def retry_after(data: bytes) -> object:
    return answers.seconds(data.decode("latin-1"))


def told() -> Iterator[bytes]:
    lead = {"lead": 0, "state": "sent", "due": None, "ended": "2026-11-25T00:00:00Z", "attempts": 1, "reason": None}
    lead |= {"failure_class": None, "reply": None}
    yield b"200\n\n" + json.dumps({"reminders": [lead, lead | {"due": 1}], "reference": NUMBER}).encode()
    yield b'200\n\n{"results":[{"result":"added"}]}'
    yield b'200\n\n{"results":[{"title":"time_past","field":"time","detail":"time: is over"}]}'
    yield b'422\n\n{"title":"malformed","field":7,"detail":{}}'
    yield b'200\n\n{"result":["added"]}'
    yield b'200\n\n{"platform":"clinic"}'
    yield b"200\n\n" + PUBLIC.to_json().encode()
    yield from (b"200\n\n" + body for body in nested())


@target("gateway", told)
def platform(data: bytes) -> None:
    """What a gateway answers to a platform; it words refusals itself, so these are not looked at."""
    answer = answer_of(data)
    client = HttpClient("http://127.0.0.1:1", "rwk_live_x", platform="clinic", root=PINNED, patience=0)
    client._is_ours = True
    with patch.object(Site, "call", lambda *_, **__: answer), suppress(StoreUnavailable):
        for ask in (client.public_keys, client._check_platform, lambda: client.cancel("A"), lambda: client.show("A")):
            with suppress(Refused, SettingsError):
                ask()
        with suppress(Refused, SettingsError):
            client._add([{"reference": "A"}])
