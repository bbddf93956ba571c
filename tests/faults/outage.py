"""Nothing ran for six hours: what is sent of all that is overdue, in which order, how fast, and whose first.

    python -m tests.faults.outage --overdue 50000 --rate 300 --seed 1

Three platforms, the largest with 14 times as much as the smallest. Leads are of a day (half of them), two hours, and
half an hour: of the short ones most have expired. The provider may be called ``rate`` times a second: the settings say
so (``told``), or nothing but the provider does, which says "too many" to more (``untold``), or it does not know our
account for a minute more, and then says "too many" (``away``).
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reminder_worker.client import Client
from reminder_worker.job import State
from reminder_worker.plan import EXPIRES_BEFORE, Lead

from .harbour import Harbour, appointment

OUTAGE = timedelta(hours=6)
PLATFORMS = {"large": 0.70, "middle": 0.25, "small": 0.05}
LEADS = {"24h": 0.5, "2h": 0.4, "30m": 0.1}
PROVIDERS = "told", "untold", "away"
AWAY = 60.0  # seconds
SURE = timedelta(seconds=2)  # what expires just now may go either way


@dataclass(frozen=True)
class Overdue:
    """One reminder."""

    number: int
    platform: str
    lead: str
    due: datetime

    @property
    def expires(self) -> datetime:
        """Until when it is of use."""
        return self.due + Lead.parse(self.lead).length - EXPIRES_BEFORE


@dataclass
class Result:
    """What a run came to."""

    overdue: int
    rate: float
    expired: int = 0  # before anything ran again
    late: int = 0  # expired while it waited, or would have before its turn
    texts: int = 0
    lost: int = 0
    twice: int = 0
    strayed: int = 0
    useless: int = 0  # texts after they had expired
    fastest: int = 0  # texts that the provider took in one second
    refused: int = 0  # calls that it refused
    seconds: float = 0.0  # from the start of the processes to the last text
    waited: dict[str, float] = field(default_factory=dict)  # median seconds until the text, by platform and by lead
    order: float = 0.0  # rank correlation of due times and texts: 1 where what was due first went out first

    @property
    def whole(self) -> bool:
        """Nothing lost, nothing twice, nothing useless, and the provider is not run down."""
        return not (self.lost or self.twice or self.strayed or self.useless) and self.fastest <= self.rate * 1.3 + 5


def overdue(count: int, seed: int, now: datetime) -> list[Overdue]:
    """Choose what fell due while nothing ran."""
    dice = random.Random(seed)
    names = dice.choices([*PLATFORMS], [*PLATFORMS.values()], k=count)
    leads = dice.choices([*LEADS], [*LEADS.values()], k=count)
    return [
        Overdue(number, name, lead, (now - OUTAGE * dice.random()).replace(microsecond=0))
        for number, (name, lead) in enumerate(zip(names, leads, strict=True))
    ]


def hand_in(clients: dict[str, Client], every: list[Overdue]) -> None:
    """Hand everything in as it was before: each client believes that it is a minute before its text falls due."""
    batches = defaultdict(list)
    for one in every:
        lead = Lead.parse(one.lead)
        wanted = appointment(one.number, one.due + lead.length, (lead,))
        batches[one.platform].append(clients[one.platform].seal(wanted, one.due - timedelta(minutes=1)))
    for name, entries in batches.items():
        clients[name]._schedule.add(entries)


def run(*, count: int, rate: float, seed: int, workers: int = 2, provider: str = PROVIDERS[0]) -> Result:
    """Run it once."""
    result = Result(count, rate)
    with tempfile.TemporaryDirectory() as name, Harbour(Path(name)) as harbour:
        harbour.carrier.takes, harbour.patience = 0.0, 600 + 3 * count / rate
        limits = {"rate": rate} if provider == "told" else {}
        clients = dict(zip(PLATFORMS, harbour.found(*PLATFORMS, **limits), strict=True))
        every = overdue(count, seed, datetime.now(UTC))
        hand_in(clients, every)
        began = datetime.now(UTC)
        harbour.carrier.rate = None if provider == "told" else rate
        harbour.carrier.away_until = time.monotonic() + AWAY if provider == "away" else 0.0
        harbour.launch("scheduler")
        for _ in range(workers):
            harbour.launch("worker")
        harbour.wait()
        _judge(result, harbour, clients, every, began)
    return result


def _judge(result: Result, harbour: Harbour, clients: dict[str, Client], every: list[Overdue], began: datetime) -> None:
    got = harbour.carrier.by_place()
    waited, first = defaultdict(list), min((text.at for text in harbour.carrier.texts.values()), default=0.0)
    sent = []
    for one in every:
        texts = got.get(str(one.number), [])
        (row,) = clients[one.platform].show(f"A-{one.number}")
        result.twice += len(texts) > 1
        for text in texts:
            result.useless += text.at > (one.expires + SURE).timestamp()
            result.strayed += text.number[-6:] != f"{one.number:06d}"
            waited[one.platform].append(text.at - first)
            waited[one.lead].append(text.at - first)
            sent.append((one.due, text.at))
        result.expired += one.expires <= began
        result.late += one.expires > began and row.state is State.EXPIRED
        turns = timedelta(seconds=result.overdue / result.rate)  # whose turn comes too late has ended already
        result.lost += not texts and (row.state is not State.EXPIRED or one.expires > datetime.now(UTC) + turns)
    result.texts = len(harbour.carrier.texts)
    result.refused = harbour.carrier.refused
    result.fastest = max(harbour.carrier.arrivals.values(), default=0)
    result.seconds = max((text.at for text in harbour.carrier.texts.values()), default=0.0) - began.timestamp()
    result.waited = {name: round(statistics.median(times), 1) for name, times in sorted(waited.items())}
    by_due = [at for _, at in sorted(sent)]
    result.order = round(statistics.correlation(range(len(sent)), sorted(range(len(sent)), key=by_due.__getitem__)), 3)


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overdue", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--provider", choices=PROVIDERS, default=PROVIDERS[0])
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began = time.monotonic()
    result = run(
        count=chosen.overdue, rate=chosen.rate, seed=chosen.seed, workers=chosen.workers, provider=chosen.provider
    )
    print(f"seed {chosen.seed}: {result}, run in {time.monotonic() - began:.0f} s")
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
