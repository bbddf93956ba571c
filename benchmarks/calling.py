"""What a text through Twilio's interface costs its caller: bare, with its SDK, with ours, and all that we do.

    python -m benchmarks.calling [--count 500] [--rounds 5] [--write]

The CPU is that of the calling thread; Twilio's stand-in is another process. "All of it" is a whole reminder: claimed,
opened, resolved, drafted, admitted, intended, called through Twilio's interface, settled.
"""

import argparse
import http.client
import json
import logging
import os
import statistics
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlencode

from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from reminder_worker import providers, settings, startup, store
from reminder_worker.ledger import Wake
from reminder_worker.providers import Text
from tests.fake_twilio import ACCOUNT, SENDER, TOKEN, FakeTwilio

from . import footprint
from .bursting import LEAD, Quick
from .capacity import due_at
from .pages import show
from .plots import Scale, draw

BODY = "Rappel : vous avez rendez-vous le mercredi 25 novembre à 09:15, 12 rue des Lilas, Lyon."
TABLE = """
[providers.twilio]
account_sid = "{account}"
auth_token_file = "{folder}/token"
from = "{sender}"
base_url = "{url}"
"""
SIZES = 1_000, 10_000, 100_000, 1_000_000
BARE, SDK, OURS, ALL = "bare request, http.client", "Twilio's SDK as it is", "Twilio's SDK over ours", "all of it"


class Here(TwilioHttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's own client, directed to the stand-in."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def request(self, method: str, url: str, **details: object) -> Response:
        """Call another host."""
        return super().request(method, url.replace("https://api.twilio.com", self._url), **details)


def serve(line: Connection) -> None:
    """Stand in for Twilio until a word comes; send the address, and at the end how many texts were accepted."""
    with FakeTwilio() as twilio:
        twilio.arrived = lambda _: None  # holding each request against the specification takes ten times as long
        line.send(twilio.url)
        line.recv()
        line.send(len(twilio.messages))


@contextmanager
def stand_in(texts: int) -> Iterator[str]:
    """Yield the address of a Twilio that must have accepted so many texts at the end."""
    here, there = Pipe()
    process = get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    yield here.recv()
    here.send("enough")
    accepted = here.recv()
    process.join()
    assert accepted == texts


def spent(call: Callable[[int], object], count: int) -> float:
    """Return the microseconds of this thread's CPU that a call takes."""
    call(0)
    began = time.thread_time()
    for number in range(1, count + 1):
        call(number)
    return 1e6 * (time.thread_time() - began) / count


def bare(url: str) -> Callable[[int], object]:
    """Post a form and read JSON."""
    connection = http.client.HTTPConnection(url.partition("://")[2])
    key = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    head = {"Authorization": f"Basic {key}", "Content-Type": "application/x-www-form-urlencoded"}

    def call(number: int) -> object:
        form = urlencode({"To": f"+33612{number:06d}", "From": SENDER, "Body": BODY})
        connection.request("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", form, head)
        return json.loads(connection.getresponse().read())

    return call


def as_it_is(url: str) -> Callable[[int], object]:
    """Call as Twilio's tutorial does."""
    client = Client(ACCOUNT, TOKEN, http_client=Here(url))
    return lambda number: client.messages.create(to=f"+33612{number:06d}", from_=SENDER, body=BODY)


def ours(url: str, folder: Path) -> Callable[[int], object]:
    """Call as the worker does."""
    (folder / "token").write_text(TOKEN)
    table = {"account_sid": ACCOUNT, "auth_token_file": str(folder / "token"), "from": SENDER, "base_url": url}
    provider = providers.load("twilio", table)

    def call(number: int) -> object:
        text = Text(f"+33612{number:06d}", BODY, 1, f"{number:039d}", timedelta(hours=1))
        return provider.send(text, deadline=time.monotonic() + 10)

    return call


def whole(url: str, plant: Quick, count: int) -> Callable[[int], object]:
    """Add due reminders, and return the function that handles one of them."""
    text, _, _ = plant.config.read_text().partition("[providers.outbox]")
    words = {"account": ACCOUNT, "sender": SENDER, "url": url, "folder": plant.folder}
    plant.config.write_text(text + TABLE.format(**words))
    chosen = settings.read(plant.config)
    works, _ = startup.prepare(chosen, store.url_of(chosen))
    first, client = datetime.now(UTC) + timedelta(seconds=1), plant.client()
    client.add([replace(one, time=first + LEAD) for one in due_at(first, 0, count + 1)])
    wakes: list[Wake] = []
    while len(wakes) <= count:
        wakes += plant.schedule.take(0, capacity=count + 1).wakes
    return lambda number: works.remind(wakes[number])


def one_round(count: int, pending: int = 0) -> dict[str, float]:
    """Measure each once, with so many other reminders pending."""
    with tempfile.TemporaryDirectory() as name, stand_in(4 * (count + 1)) as url, Quick(Path(name)) as plant:
        footprint.fill(plant.schedule, pending, 1)
        return {
            BARE: spent(bare(url), count),
            SDK: spent(as_it_is(url), count),
            OURS: spent(ours(url, plant.folder), count),
            ALL: spent(whole(url, plant, count), count),
        }


def table(rounds: Sequence[dict[str, float]]) -> str:
    """Write medians; ratios are of one round each."""
    lines = ["| what | CPU, microseconds | from, to | of the SDK as it is |", "|---|--:|--:|--:|"]
    for name in rounds[0]:
        costs = [one[name] for one in rounds]
        ratio = statistics.median(one[name] / one[SDK] for one in rounds)
        lines.append(f"| {name} | {statistics.median(costs):.0f} | {min(costs):.0f}, {max(costs):.0f} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def plot(found: dict[int, dict[str, float]]) -> str:
    """Draw what a text costs, over how many reminders are pending."""
    lines = {name: [(pending, costs[name]) for pending, costs in found.items()] for name in (BARE, SDK, OURS, ALL)}
    cost = Scale("microseconds of CPU for a text", range(0, 4001, 500), powers=False)
    return draw("CPU for a text over how many reminders are pending", Scale("reminders pending", SIZES), cost, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    chosen = parser.parse_args()
    logging.getLogger("reminder_worker").addHandler(logging.NullHandler())
    os.environ["REMINDER_LOG_FORMAT"] = "json"
    rounds = [one_round(chosen.count) for _ in range(chosen.rounds)]
    plots = {"calling": plot({size: one_round(chosen.count, size) for size in SIZES})} if chosen.write else {}
    show("calling", table(rounds), chosen.rounds, write=chosen.write, plots=plots)


if __name__ == "__main__":
    main()
