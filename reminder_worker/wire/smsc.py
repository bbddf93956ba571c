"""The line to an SMSC: connects, binds, reconnects when it breaks, and returns outcomes to the threads that ask.

It has an event loop in a thread of its own, started by the first use and again after a fork. aiosmpplib's session is
not used: it knows no TLS, can only accept a delivery, keeps numbers and texts until they are receipted, and logs
PDUs that it cannot read. Outcomes are values here, not exceptions: those would hold texts in their frames.
"""

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from aiosmpplib.protocol import BindTransceiver, DeliverSmResp, SubmitSm, Unbind
from aiosmpplib.state import SmppCommandStatus

from reminder_worker import sockets
from reminder_worker.errors import Reason
from reminder_worker.wire.link import PATIENCE, Answer, Link
from reminder_worker.wire.shortmessages import Delivery, read_delivery

BIND_REFUSED = frozenset({0x0D, 0x0E, 0x0F, 0x53})  # bind failed, wrong password, wrong system_id, wrong system_type
_GRACE = 1.0  # seconds after a text's deadline in which the loop has to report what became of it
_PARTING = 1.0  # seconds for the answer to an unbind
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0  # seconds between two tries to connect
_STEADY = 10.0  # seconds: a connection that lived longer is tried again after the shortest pause

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """Where to bind, and as whom."""

    name: str  # the provider's, for logs
    host: str
    port: int
    tls: bool
    system_id: str
    password: str = field(repr=False)
    system_type: str
    window: int  # requests that may wait for an answer
    idle: float  # seconds of silence before the SMSC is asked whether it is still there
    try_again: SmppCommandStatus  # the answer that makes this SMSC deliver again


class Bind:
    """The bind of one process; safe to share between threads, and to build before a fork."""

    def __init__(self, account: Account, hear: Callable[[Delivery], None]) -> None:
        self._account = account
        self._hear = hear
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self._inherited: _Session | None = None  # the parent's, never touched: its sockets are the parent's too
        self._closed = False

    def start(self) -> "_Session | None":
        """Connect in the background, unless already connecting or connected; None once closed."""
        with self._lock:
            if self._session is not None and self._session.pid != os.getpid():
                self._session, self._inherited = None, self._session
            if self._session is None and not self._closed:
                self._session = _Session(self._account, self._hear)
            return self._session

    def submit(self, message: SubmitSm, deadline: float) -> Answer | Reason:
        """Hand one message over and wait for its answer; NOT_SENT, MISCONFIGURED or AMBIGUOUS if none came."""
        session = self.start()
        return Reason.NOT_SENT if session is None else session.submit(message, deadline)

    def close(self) -> None:
        """Unbind, and do not connect again."""
        with self._lock:
            session, self._session, self._closed = self._session, None, True
        if session is not None and session.pid == os.getpid():
            session.close()


class _Session:
    """One thread, its loop, and one connection after another; all but ``submit`` and ``close`` run in the loop."""

    def __init__(self, account: Account, hear: Callable[[Delivery], None]) -> None:
        self.pid = os.getpid()
        self._account = account
        self._hear = hear
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # it would log what may hold a text
        self._opening: asyncio.Future[Link | Reason] = self._loop.create_future()  # the outcome of the latest try
        self._window = asyncio.Semaphore(account.window)
        self._answering: set[asyncio.Task[None]] = set()
        self._hearing = ThreadPoolExecutor(1, "smpp-hear")  # one: what arrived first is heard first
        self._keeper = self._loop.create_task(self._keep())
        self._thread = threading.Thread(target=self._run, name="smpp", daemon=True)
        self._thread.start()

    def submit(self, message: SubmitSm, deadline: float) -> Answer | Reason:
        work = self._submit(message, deadline)
        try:
            job = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # closed meanwhile
            work.close()
            return Reason.NOT_SENT
        try:
            return job.result(max(0.0, deadline - time.monotonic()) + _GRACE)
        except (TimeoutError, CancelledError):
            job.cancel()
            return Reason.AMBIGUOUS

    def close(self) -> None:
        parting: Coroutine[Any, Any, None] = self._unbind()
        asyncio.run_coroutine_threadsafe(parting, self._loop)
        self._thread.join(PATIENCE)
        self._hearing.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        self._loop.run_until_complete(asyncio.wait({self._keeper}))
        self._loop.run_until_complete(self._finish())
        self._loop.close()

    async def _submit(self, message: SubmitSm, deadline: float) -> Answer | Reason:
        handed = False
        try:
            async with asyncio.timeout_at(deadline), self._window:
                link = await asyncio.shield(self._opening)
                if isinstance(link, Reason):
                    return link
                if link.is_ready() and time.monotonic() < deadline:
                    handed = True
                    return await link.ask(message) or Reason.AMBIGUOUS
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whatever it was, only this counts: did it leave?
            return Reason.AMBIGUOUS if handed else Reason.NOT_SENT
        return Reason.NOT_SENT

    async def _keep(self) -> None:
        """Connect, read until the line breaks, wait, and so on; the pauses grow."""
        pause = 0.0
        while True:
            began = time.monotonic()
            link = await self._open()
            self._opening.set_result(link)
            if isinstance(link, Link):
                await self._follow(link)
                self._opening = self._loop.create_future()  # from now on callers wait for the next try
            pause = 0.0 if time.monotonic() - began > PATIENCE + _STEADY else pause * 2
            pause = min(max(pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            if pause > _SHORTEST_PAUSE and not self._opening.done():
                self._opening.set_result(Reason.NOT_SENT)  # nobody has to wait that long
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that workers do not come in step
            if self._opening.done():
                self._opening = self._loop.create_future()

    async def _open(self) -> Link | Reason:
        account, link, status, failed = self._account, None, None, ""
        bind = BindTransceiver(system_id=account.system_id, password=account.password, system_type=account.system_type)
        try:
            async with asyncio.timeout(PATIENCE):
                tls = sockets.verifying() if account.tls else None
                link = Link(*await asyncio.open_connection(account.host, account.port, ssl=tls))
                status = await link.bind(bind)
            if status == SmppCommandStatus.ESME_ROK:
                return link
        except Exception as error:  # noqa: BLE001 - no connection, no trust, no answer: nothing was sent
            failed = type(error).__name__
        finally:
            if link is not None and status != SmppCommandStatus.ESME_ROK:
                link.close()
        shown = {"error": failed} if status is None else {"code": f"0x{status:02x}"}
        _LOG.warning("bind_failed", extra={"provider": account.name, **shown})
        return Reason.MISCONFIGURED if status in BIND_REFUSED else Reason.NOT_SENT

    async def _follow(self, link: Link) -> None:
        _LOG.info("line_up", extra={"provider": self._account.name})
        try:
            await link.read(self._account.idle, lambda number, body: self._take(link, number, body))
        except Exception:  # noqa: BLE001 - whatever it was, the line has to be made again
            _LOG.warning("line_down", extra={"provider": self._account.name})
        finally:
            link.close()

    def _take(self, link: Link, number: int, body: bytes) -> None:
        task = self._loop.create_task(self._answer(link, number, body))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, link: Link, number: int, body: bytes) -> None:
        """Answer a delivery after it was heard: the SMSC has to keep what we did not take."""
        status = await self._loop.run_in_executor(self._hearing, self._heard, body)
        link.send(DeliverSmResp(sequence_num=number, command_status=status))

    def _heard(self, body: bytes) -> SmppCommandStatus:
        try:
            delivery = read_delivery(body)
        except (ValueError, IndexError):
            _LOG.warning("delivery_unreadable", extra={"provider": self._account.name})
            return SmppCommandStatus.ESME_RX_P_APPN  # it would be no more readable the next time
        try:
            self._hear(delivery)
        except Exception as error:  # noqa: BLE001 - whatever it was, the delivery was not taken
            _LOG.warning("not_heard", extra={"provider": self._account.name, "error": type(error).__name__})
            return self._account.try_again
        return SmppCommandStatus.ESME_ROK

    async def _unbind(self) -> None:
        try:
            link = self._opening.result() if self._opening.done() else None
            if isinstance(link, Link) and link.is_ready():
                async with asyncio.timeout(_PARTING):
                    await link.ask(Unbind())
        except TimeoutError:
            pass
        finally:
            self._keeper.cancel()

    async def _finish(self) -> None:
        """End what still runs, and let the connection close."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)
