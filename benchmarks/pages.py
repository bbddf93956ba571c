"""Where figures go: printed, and into docs/benchmarks.md between markers that have the benchmark's name."""

from pathlib import Path

from .capacity import machine
from .sizing import filled

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def show(name: str, table: str, rounds: int, *, write: bool) -> None:
    """Print figures with the machine that they are of; and put them onto the page where that is wanted."""
    where, *_ = machine(rounds).splitlines()
    said = f"{where}\n\n{table}"
    print(said)
    if write:
        PAGE.write_text(filled(PAGE.read_text("utf-8"), name, f"{said}\n"), "utf-8")
