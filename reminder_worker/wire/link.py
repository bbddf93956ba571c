"""One connection to an SMSC over SMPP 3.4: bind, ask, and read until the other side closes it.

aiosmpplib packs what is sent; what arrives is read here, because aiosmpplib gives up a connection at a status or a
coding that is not in its lists, and cannot read a receipt without a text. All of it runs in one event loop. Nothing
that passes here is logged, or kept after it was answered.
"""

import asyncio
import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from aiosmpplib.protocol import (
    BindTransceiver,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    SmppMessage,
    UnbindResp,
)
from aiosmpplib.state import SmppCommand, SmppCommandStatus

PATIENCE = 10.0  # seconds for connecting, for binding, and for the answer to an enquire_link
_HEADER = struct.Struct(">IIII")  # length, command, status, sequence number
_LONGEST_PDU = 0x11000
_RESPONSE = 0x80000000


@dataclass(frozen=True, slots=True)
class Answer:
    """An SMSC's answer to one request."""

    status: int
    message_id: str = field(repr=False)


class Link:
    """One connection; lives in its event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}

    def is_ready(self) -> bool:
        """Tell whether a PDU would leave at once; one that waits in a buffer could leave too late."""
        transport = self._writer.transport
        return not transport.is_closing() and transport.get_write_buffer_size() == 0

    def send(self, message: SmppMessage) -> None:
        """Send an answer, or a request whose answer does not matter."""
        message.sequence_num = message.sequence_num or self._number()
        self._writer.write(message.pdu())

    async def ask(self, message: SmppMessage) -> Answer | None:
        """Send a request and wait for its answer; None if the connection ended first."""
        number = message.sequence_num = self._number()
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self.send(message)
            return await answer
        finally:
            del self._waiting[number]  # an answer that comes later is dropped

    async def bind(self, message: BindTransceiver) -> int:
        """Bind, and return the status. Raises OSError or EOFError."""
        self.send(message)
        command, status, _, _ = await self._next(PATIENCE)
        if command not in {SmppCommand.BIND_TRANSCEIVER_RESP, SmppCommand.GENERIC_NACK}:
            raise ConnectionError
        return status

    async def read(self, idle: float, take: Callable[[int, bytes], None]) -> None:
        """Read until the other side closes; after ``idle`` seconds of silence it is asked whether it is still there.

        ``take`` gets the number and the body of each delivery. Raises OSError or EOFError.
        """
        asked = False
        while True:
            try:
                command, status, number, body = await self._next(PATIENCE if asked else idle)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                self.send(EnquireLink())
                continue
            asked = False
            if command & _RESPONSE:
                self._answered(number, Answer(status, body.partition(b"\0")[0].decode("latin-1")))
            elif command == SmppCommand.DELIVER_SM:
                take(number, body)
            else:
                self._oblige(command, number)

    def close(self) -> None:
        """Hang up; callers that wait for an answer learn that none will come."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)
        self._writer.transport.abort()

    def _number(self) -> int:
        return next(self._numbers) % 0x7FFFFFFF + 1

    def _answered(self, number: int, answer: Answer) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _oblige(self, command: int, number: int) -> None:
        """Answer a request about the connection itself. Raises ConnectionError if the connection is to end."""
        if command == SmppCommand.ENQUIRE_LINK:
            self.send(EnquireLinkResp(sequence_num=number))
        elif command == SmppCommand.UNBIND:
            self.send(UnbindResp(sequence_num=number))
            raise ConnectionError
        else:
            self.send(GenericNack(sequence_num=number, command_status=SmppCommandStatus.ESME_RINVCMDID))

    async def _next(self, patience: float) -> tuple[int, int, int, bytes]:
        """Read one PDU: command, status, number, body. Raises OSError (so also TimeoutError) or EOFError."""
        async with asyncio.timeout(patience):
            header = await self._reader.readexactly(_HEADER.size)  # a time-out loses none of it
        length, command, status, number = _HEADER.unpack(header)
        if not _HEADER.size <= length <= _LONGEST_PDU:
            raise ConnectionError
        try:
            async with asyncio.timeout(PATIENCE):
                return command, status, number, await self._reader.readexactly(length - _HEADER.size)
        except TimeoutError:
            raise ConnectionError from None  # in the middle of a PDU: nothing shows where the next one begins
