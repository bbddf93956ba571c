"""Numbers that are refreshed on a terminal: as many lines as fit, and how many do not."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table

from reminder_worker import screen
from reminder_worker.errors import StoreUnavailable
from reminder_worker.status import Status
from reminder_worker.terminal import console

_BLANK = " ─"  # what a line that shows nothing is made of


@dataclass(frozen=True, slots=True)
class _Shown:
    """What was read last and, if it is old, why."""

    now: Status
    away: str = ""
    whole: bool = False  # however many rows the terminal has

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [*_lines(console, options, [self.away] * bool(self.away))]
        lines += _lines(console, options, _beside(console, options, screen.tables(self.now)))
        most = options.size.height
        if console.is_terminal and not self.whole and len(lines) > most:
            lines = [line for line in lines if any(part.text.strip(_BLANK) for part in line)]
            if (more := len(lines) - most + 1) > 1:
                said = f"… {more} lines more: on a taller or wider terminal, or by status without --watch"
                lines[most - 1 :] = [[Segment(said[: options.max_width])]]
        for line in lines:
            yield from line
            yield Segment.line()


def watch(read: Callable[[], Status]) -> None:
    """Refresh the numbers until interrupted; a store that goes away is waited for. Raises StoreUnavailable at first."""
    from rich.live import Live  # noqa: PLC0415 - a single look does not load it

    shown = _Shown(read())
    with Live(shown, console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(1)
                shown = _next(shown, read)
                live.update(shown, refresh=True)
        finally:
            live.update(_Shown(shown.now, shown.away, whole=True))


def _next(before: _Shown, read: Callable[[], Status]) -> _Shown:
    try:
        return _Shown(read())
    except StoreUnavailable as error:
        return _Shown(before.now, f"{error} What follows is of {before.now.now:%Y-%m-%d %H:%M:%SZ}.")


def _lines(
    console: Console, options: ConsoleOptions, parts: Sequence[RenderableType] | Iterator[RenderableType]
) -> Iterator[list[Segment]]:
    for part in parts:
        yield from console.render_lines(part, options, pad=False)


def _beside(console: Console, options: ConsoleOptions, tables: Sequence[Table]) -> Iterator[RenderableType]:
    """Yield rows of tables, as many beside each other as the width allows."""
    row: list[Table] = []
    for table in tables:
        widths = [Measurement.get(console, options, one).maximum for one in (*row, table)]
        if row and sum(widths) > options.max_width:
            yield _grid(row)
            row = []
        row.append(table)
    yield _grid(row)


def _grid(row: list[Table]) -> RenderableType:
    if len(row) == 1:
        return row[0]
    grid = Table.grid()
    grid.add_row(*row)
    return grid
