"""Runs work beside the requests of a process; it sees what the work itself sees, and logs only that it failed.

If such work ended unnoticed, a revoked key would stay valid for ever, or every request would hang.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

PAUSE = 1.0  # seconds before failed work is started again

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def running(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run work beside the requests, and start it again if it fails. It ends with them, however they end."""
    task = asyncio.create_task(_run(work))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            return await work()
        except Exception as error:  # noqa: BLE001 - no mistake of ours, and no shortage of threads, may end it
            log.error("background_failed", extra={"error": type(error).__name__})  # noqa: TRY400 - it may hold data
        await asyncio.sleep(PAUSE)
