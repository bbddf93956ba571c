"""What a terminal shows: tables, or a line for each cell if a row is wider than it; nothing moves its cursor."""

import os
import re
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table

PROSE = 24  # the fewest columns in which a sentence can be broken between its words
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # controls, and what turns text's direction


def _console() -> Console:
    """Make a console that breaks no word in output that no terminal shows, and shows labels as they are."""
    width = None if os.isatty(1) or "COLUMNS" in os.environ else 1000
    return Console(width=width, highlight=False, markup=False, emoji=False)


console = _console()


def visible(text: str) -> str:
    """Return what may be written to a terminal: what is in the store must not move the cursor."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


class Rows(Table):
    """Rows whose cells stay in one piece, however narrow a terminal is, except in the columns in ``prose``."""

    def __init__(self, *columns: str, prose: tuple[str, ...] = ()) -> None:
        """Begin without rows."""
        super().__init__(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            self.add_column(column, overflow="fold", no_wrap=column not in prose)

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row, as it may be shown."""
        super().add_row(*map(visible, cells), **options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table, or each row as a list if the table does not fit."""
        if not self.row_count or self._narrowest() <= options.max_width:
            yield from super().__rich_console__(console, options)
        else:
            yield from self._lists()

    def _narrowest(self) -> int:
        """Return how many columns of a terminal the table needs."""
        return sum(map(self._width, self.columns)) + 3 * len(self.columns) - 1  # a blank at each end, three in between

    def _width(self, column: Column) -> int:
        width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
        return width if column.no_wrap else min(width, PROSE)

    def _lists(self) -> RenderResult:
        """Yield a list of names and cells for each row."""
        for row in zip(*(column.cells for column in self.columns), strict=True):
            listed = Table.grid(padding=(0, 2))
            for column, cell in zip(self.columns, row, strict=True):
                if cell:
                    listed.add_row(str(column.header), cell)
            yield listed
            yield ""
