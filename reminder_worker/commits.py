"""Many requests, one write: items that arrive while the store is busy are written together, and answered together.

So each request waits for the disk once, instead of the process waiting once for each request.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from reminder_worker.errors import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")


class Commits(Generic[T, R]):
    """Collects items and writes them in the order in which they came; an answer means that its item is written."""

    def __init__(self, write: Callable[[Sequence[T]], Sequence[R]], *, most: int) -> None:
        self._write = write
        self._most = most  # items of one write
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._more = asyncio.Event()

    async def put(self, items: Sequence[T]) -> list[R]:
        """Write items, and return what became of each. Raises what writing them raised."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[R]] = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, futures, strict=True))
        self._more.set()
        if len(futures) == 1:  # the usual case, for which gather would cost as much as all the rest of this method
            return [await futures[0]]
        return [*await asyncio.gather(*futures)]

    async def run(self) -> None:
        """Write items as they come, for as long as the process serves."""
        thread = ThreadPoolExecutor(1, "commits")
        try:
            await self._run(thread)
        finally:
            thread.shutdown(wait=False)

    async def _run(self, thread: ThreadPoolExecutor) -> None:
        while True:
            await self._more.wait()
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if not self._waiting:
                self._more.clear()
            await self._write_down(batch, thread)

    async def _write_down(self, batch: list[tuple[T, "asyncio.Future[R]"]], thread: ThreadPoolExecutor) -> None:
        """Write a batch and answer each item. If one of them makes the whole write fail, each is written alone."""
        try:
            loop = asyncio.get_running_loop()
            answers = await loop.run_in_executor(thread, self._write, [item for item, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():  # its client may have gone
                    future.set_result(answer)
        except Exception as error:  # noqa: BLE001 - it is raised in the requests that wait
            if len(batch) > 1 and not isinstance(error, StoreUnavailable):
                for one in batch:
                    await self._write_down([one], thread)
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
