"""How many calls ``web`` and ``hooks`` answer in a second, over the number of callers at once.

    python -m benchmarks.serving [--count 4000] [--rounds 3] [--write]

One process each, as durable as in production, and callers that call again once they are answered, on the same cores.
The limit is how many calls that ask for nothing the same process answers. Each receipt is for a text that was sent.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from reminder_worker.ledger import Claim
from reminder_worker.receipts import new_reference
from tests.faults.installation import PLACE, ahead, path, percentile

from . import footprint
from .capacity import TAIL
from .load import call, request
from .pages import show
from .plant import Plant
from .plots import Scale, draw

CALLERS = (1, 4, 16, 32, 64)  # more callers of one platform are told to retry
PUT, RECEIPT, LIMIT = "PUT", "receipts", "a call for nothing"
LEASE = timedelta(minutes=10)

Rates = dict[str, tuple[float, float]]  # a second, and within how many milliseconds 99 of 100 were answered


def puts(plant: Plant, count: int) -> list[bytes]:
    """Return calls that hand in so many appointments."""
    fields = {"time": ahead(days=20), "location": PLACE, "pointer": plant.pointer()}
    key, body = plant.caller().key, json.dumps(fields).encode()
    return [request("PUT", path(f"A-{number}"), body, Authorization=f"Bearer {key}") for number in range(count)]


def receipts(plant: Plant, count: int) -> list[bytes]:
    """Record so many texts as sent in the ledger, and return what their provider would report."""
    schedule, calls = plant.schedule, []
    footprint.fill(schedule, count, 1, ahead=timedelta(days=-2))
    body = json.dumps({"status": "delivered"}).encode()
    while wakes := schedule.take(0, capacity=10**6).wakes:
        for wake in wakes:
            claim, reference = schedule.claim(wake), new_reference(wake)
            assert isinstance(claim, Claim)
            schedule.intend(claim, "carrier", reference, lease=LEASE)
            calls.append(request("POST", f"/v1/receipts/carrier/{reference}", body))
    return calls


def one_round(callers: int, count: int) -> Rates:
    """Measure each once."""
    with tempfile.TemporaryDirectory() as name, Plant(Path(name)) as plant:
        plant.start("web", "hooks")
        nothing = request("GET", "/livez", b"")
        return {
            PUT: _measured(plant.port, puts(plant, count), callers),
            RECEIPT: _measured(plant.hooks, receipts(plant, count), callers),
            LIMIT: _measured(plant.port, [nothing] * count, callers),
        }


def _measured(port: int, calls: Sequence[bytes], callers: int) -> tuple[float, float]:
    """Make calls; the first fifth warms up."""
    begin = len(calls) // 5
    call(port, calls[:begin], callers)
    rate, took = call(port, calls[begin:], callers)
    return rate, 1000 * percentile(took, TAIL)


def table(found: dict[int, list[Rates]]) -> str:
    """Write medians."""
    lines = [
        "| callers at once | PUT a second | 99 of 100, ms | receipts a second | 99 of 100, ms | of calls for nothing |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for callers, rounds in found.items():
        cells = [f"{callers}"]
        for name in (PUT, RECEIPT):
            cells += [f"{_middle(rounds, name):,.0f}", f"{statistics.median(one[name][1] for one in rounds):.0f}"]
        shares = [f"{statistics.median(one[name][0] / one[LIMIT][0] for one in rounds):.2f}" for name in (PUT, RECEIPT)]
        lines.append(f"| {' | '.join(cells)} | {', '.join(shares)} |")
    return "\n".join(lines) + "\n"


def plot(found: dict[int, list[Rates]]) -> str:
    """Draw how many are answered in a second, over callers at once."""
    lines = {
        name: [(callers, _middle(rounds, name)) for callers, rounds in found.items()] for name in (PUT, RECEIPT, LIMIT)
    }
    rate = Scale("answered in a second", [100, 300, 1_000, 3_000, 10_000, 30_000])
    return draw("Calls answered in a second over callers at once", Scale("callers at once", CALLERS), rate, lines)


def _middle(rounds: Sequence[Rates], name: str) -> float:
    return statistics.median(one[name][0] for one in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    chosen = parser.parse_args()
    found: dict[int, list[Rates]] = {callers: [] for callers in CALLERS}
    for _ in range(chosen.rounds):
        for callers, rounds in found.items():
            rounds.append(one_round(callers, chosen.count))
    show("serving", table(found), chosen.rounds, write=chosen.write, plots={"serving": plot(found)})


if __name__ == "__main__":
    main()
