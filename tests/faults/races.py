"""Take appointments back, and move them, at the very moment at which their texts go out; look at what was promised.

    python -m tests.faults.races --appointments 2000 --seed 1

Real web, scheduler and worker processes, and a gateway for texts that takes 50 ms for each. Who is answered
``cancelled`` is texted never more; who is answered ``moved`` is not told the old time any more.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reminder_worker.testing.peer import Peer, Request, Response

from .installation import Crew, Installation, is_under_way, numbered, path

TAKES = 0.05  # seconds for each text
CLIENTS = 16
CANCELLED, MOVED = "DELETE cancelled", "PUT moved"
EVERYTHING = {CANCELLED, MOVED, "DELETE in_flight", "DELETE ended", "PUT in_flight"}  # that may be answered
LEAD = ["3h"]  # of appointments in two hours: due at once
LATER = timedelta(minutes=17)  # what is moved
HESITATES = 0.6  # seconds at the most, between handing in and changing one's mind
PATIENCE = 60.0  # seconds
PROVIDER = """\
allow_numbers = ["+33612"]
{rest}
[providers.slow]
type = "http"
url = "{url}/messages"
id = "id"
[providers.slow.body]
to = "{{to}}"
text = "{{text}}"
"""


@dataclass
class Result:
    """What a run came to."""

    appointments: int
    seed: int
    answers: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    texted: Counter[str] = field(default_factory=Counter)  # appointments by what was answered, if they were texted
    broken: list[str] = field(default_factory=list)  # promises
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Every promise was kept, and no answer was another one."""
        return not self.broken and self.answers.keys() <= EVERYTHING


class Carrier:
    """Takes its time with each text, and notes when it has accepted it."""

    def __init__(self, peer: Peer) -> None:
        self.texts: dict[str, list[tuple[float, str]]] = defaultdict(list)  # by phone: when, what
        self._lock = threading.Lock()
        peer.answer = self._answer

    def _answer(self, request: Request, number: int) -> Response:
        time.sleep(TAKES)  # until it is accepted: that long nobody may be told that it will not go out
        with self._lock:
            self.texts[request.json["to"]].append((time.monotonic(), request.json["text"]))
        return Response.of({"id": f"T-{number}"})


@dataclass
class Race:
    """One appointment, and what was answered about it."""

    reference: str
    phone: str
    old: str  # wall clock of the first time
    new: str
    word: str = ""
    at: float = 0.0  # when it was answered


def run(*, appointments: int, seed: int) -> Result:
    """Run it once."""
    result, began = Result(appointments, seed), time.monotonic()
    with (
        tempfile.TemporaryDirectory() as name,
        Installation(Path(name)) as installation,
        Peer() as peer,
    ):
        carrier = Carrier(peer)
        installation.config.write_text(PROVIDER.format(url=peer.url, rest=_without_outbox(installation.config)))
        installation.start("web", "scheduler", "worker")
        races = _run(installation, appointments, seed)
        _wait(installation, races)
        _judge(installation, races, carrier, result)
    result.seconds = time.monotonic() - began
    return result


def _without_outbox(config: Path) -> str:
    before, _, after = config.read_text().partition("[providers.outbox]\n")
    return before + after.partition("\n")[2]


def _run(installation: Installation, appointments: int, seed: int) -> list[Race]:
    races: list[Race] = []
    phones, crew = numbered(), Crew()
    shares = [[(number, next(phones)) for number in range(start, appointments, CLIENTS)] for start in range(CLIENTS)]
    for share in shares:
        crew.hire(_race, installation, share, random.Random(f"{seed} {share[0][0]}"), races)
    crew.join()
    return races


def _race(installation: Installation, share: list[tuple[int, str]], dice: random.Random, races: list[Race]) -> None:
    """Be one client: hand in, and change one's mind within a moment."""
    caller = installation.caller()
    for number, phone in share:
        when = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=2)
        race = Race(f"A-{number}", phone, _clock(when), _clock(when + LATER))
        fields = installation.fields(time=when.isoformat(), leads=LEAD, pointer=installation.pointer(phone))
        assert caller.put(race.reference, fields).status == 201
        time.sleep(dice.uniform(0.0, HESITATES))
        method = dice.choice(["DELETE", "PUT"])
        changed = None if method == "DELETE" else fields | {"time": (when + LATER).isoformat()}
        said = caller.ask(method, path(race.reference), changed)
        race.at = time.monotonic()
        race.word = f"{method} {said.document.get('result') or said.document['title']}"
        races.append(race)
    caller.close()


def _clock(when: datetime) -> str:
    return f"{when:%H:%M}"


def _wait(installation: Installation, races: list[Race]) -> None:
    """Wait until nothing is under way."""
    deadline = time.monotonic() + PATIENCE
    while is_under_way(installation.schedule) and time.monotonic() < deadline:
        time.sleep(0.2)


def _judge(installation: Installation, races: list[Race], carrier: Carrier, result: Result) -> None:
    caller = installation.caller()
    for race in races:
        result.answers[race.word] += 1
        texts = carrier.texts.get(race.phone, [])
        result.texts += len(texts)
        result.texted[race.word] += bool(texts)
        state = caller.ask("GET", path(race.reference)).document["reminders"][0]["state"]
        for promise in _broken(race, texts, state):
            result.broken.append(f"{race.word}: {promise}")
    caller.close()


def _broken(race: Race, texts: list[tuple[float, str]], state: str) -> list[str]:
    """Say which promises an answer has broken."""
    old = [at for at, text in texts if race.old in text]
    new = [at for at, text in texts if race.new in text]
    cancelled, moved = race.word == CANCELLED, race.word == MOVED
    promises = {
        "a text of neither time": len(old) + len(new) < len(texts),
        "the old time twice": len(old) > 1,
        "the new time twice": len(new) > 1,
        "cancelled, and texted": cancelled and (bool(texts) or state != "cancelled"),
        "moved, and told the old time afterwards": moved and any(at > race.at for at in old),
        "moved, and not told the new time": moved and (len(new) != 1 or state != "sent"),
        "not moved, and told the new time": not moved and bool(new),
        "not cancelled, and not told at all": not cancelled and not moved and len(old) != 1,
    }
    return [promise for promise, is_broken in promises.items() if is_broken]


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--appointments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    result = run(appointments=chosen.appointments, seed=chosen.seed)
    print(result)
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
