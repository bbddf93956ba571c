"""One look at the ledger every two seconds, however many people watch; none if nobody does.

Each look is written once, part by part. Each watcher is sent the parts that have changed since the last look it got.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from starlette.concurrency import run_in_threadpool

from reminder_worker.clocks import boot_time
from reminder_worker.errors import StoreUnavailable
from reminder_worker.ops import views
from reminder_worker.ops.facts import Facts, news
from reminder_worker.ops.pages import Pages

EVERY = 2.0  # seconds
LONGEST = 15 * 60.0  # seconds of a stream: then the browser reconnects, and a proxy in front checks who it is
MOST_NEWS = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows now; ``changed`` says with which look each part last changed."""

    look: int = 0
    at: float = float("-inf")
    facts: Facts | None = None
    away: str = ""  # why, if the store is
    parts: dict[str, str] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    news: tuple[tuple[int, str], ...] = ()


class Feed:
    """Reads the ledger and informs watchers; ``read`` returns the facts, or raises StoreUnavailable."""

    def __init__(self, read: Callable[[], Facts], pages: Pages) -> None:
        self._read, self._pages = read, pages
        self._shown = Shown()
        self._looking = asyncio.Lock()
        self._moved = asyncio.Condition()
        self._watched = asyncio.Event()
        self.watchers = 0
        self._ended = False

    async def run(self) -> None:
        """Look as long as anyone watches."""
        while True:
            await self._watched.wait()
            await self.shown()
            async with self._moved:
                self._moved.notify_all()
            await asyncio.sleep(EVERY)

    async def shown(self) -> Shown:
        """Return what there is to show, no older than two seconds."""
        async with self._looking:
            if boot_time() - self._shown.at >= EVERY * 0.9:
                self._shown = self._next(*await self._look())
            return self._shown

    def expire(self) -> None:
        """Have the next request look anew, because something was done."""
        self._shown = replace(self._shown, at=float("-inf"))

    async def events(self, may_watch: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield server-sent events to one watcher, as long as they may watch and this process serves."""
        known, heard, until = 0, self._shown.look, boot_time() + LONGEST
        self.watchers += 1
        self._watched.set()
        try:
            while (goes_on := not self._ended and boot_time() < until) and may_watch():
                shown = self._shown
                if shown.look > known and shown.parts:
                    yield _event(shown, known, heard)
                    known = heard = shown.look
                async with self._moved:
                    await self._moved.wait_for(lambda: self._ended or self._shown.look > known)  # noqa: B023
            yield "event: over\ndata: -\n\n" if goes_on else ""
        finally:
            self.watchers -= 1
            if not self.watchers:
                self._watched.clear()

    async def end(self) -> None:
        """End the streams of all watchers: the process is ending."""
        self._ended = True
        async with self._moved:
            self._moved.notify_all()

    async def _look(self) -> tuple[Facts | None, str]:
        try:
            return await run_in_threadpool(self._read), ""
        except StoreUnavailable as error:
            return None, error.why

    def _next(self, found: Facts | None, away: str) -> Shown:
        """Write one look; if the store is away, what was last seen stays."""
        before, look = self._shown, self._shown.look + 1
        facts = found or before.facts
        parts = self._write(facts, away=away)
        changed = {
            name: before.changed[name] if before.parts.get(name) == text else look for name, text in parts.items()
        }
        known = None if before.away else before.facts
        said = news(known, found, away) if before.look else []
        heard = (*before.news, *((look, text) for text in said))[-MOST_NEWS:]
        return Shown(look, boot_time(), facts, away, parts, changed, heard)

    def _write(self, facts: Facts | None, *, away: str) -> dict[str, str]:
        alerts = views.alerts(facts, away=away)
        written = {"alerts": self._pages.part("alerts", alerts=alerts, now=facts.now.now if facts else None)}
        if facts is not None:
            written |= {name: self._pages.part(name, **needs) for name, needs in views.parts(facts).items()}
        return written


def _event(shown: Shown, known: int, heard: int) -> str:
    """Write the parts that changed since look ``known``, and the news since look ``heard``."""
    parts = {name: text for name, text in shown.parts.items() if shown.changed[name] > known}
    said = [text for look, text in shown.news if look > heard]
    return f"event: facts\ndata: {json.dumps({'parts': parts, 'said': said})}\n\n"
