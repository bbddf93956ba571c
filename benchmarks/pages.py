"""Print figures, and write them into docs/benchmarks.md between markers of the benchmark's name, plots beside it."""

from collections.abc import Mapping
from pathlib import Path

from .capacity import machine
from .sizing import filled

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PLOTS = PAGE.with_name("images")


def show(name: str, table: str, rounds: int, *, write: bool, plots: Mapping[str, str] | None = None) -> None:
    """Print figures with their machine; write them to the page, and plots beside it, if wanted."""
    where, *_ = machine(rounds).splitlines()
    said = f"{where}\n\n{table}"
    print(said)
    if write:
        PAGE.write_text(filled(PAGE.read_text("utf-8"), name, f"{said}\n"), "utf-8")
        for file, plot in (plots or {}).items():
            (PLOTS / f"{file}.svg").write_text(plot, "utf-8")
