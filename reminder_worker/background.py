"""Work that goes on beside the requests of a process; it sees what the work itself sees, and says only that it failed.

A revoked key would be valid for ever, or every request would hang, where such work ended and nobody noticed.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

PAUSE = 1.0  # seconds, until what failed is begun again

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def running(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run something beside the requests; where it fails it is begun again. It ends with them, however they end."""
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
        except Exception as error:  # noqa: BLE001 - no mistake of ours, and no lack of threads, may end it
            log.error("background_failed", extra={"error": type(error).__name__})  # noqa: TRY400 - it may hold data
        await asyncio.sleep(PAUSE)
