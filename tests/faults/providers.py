"""Send thousands of reminders through providers that lie, die and contradict themselves; count what came of it.

    python -m tests.faults.providers --reminders 5000 --seed 1

Real scheduler, worker and hooks processes, a real Valkey with its append-only file, and two providers of our own over
HTTP: one behind Twilio's interface, one behind a gateway described in the settings. Each request meets a fault drawn
by lot: accepted and never answered, accepted and answered 500, throttled, broken off, refused, refused with the
number in the words. Receipts come late, out of order, three times, and now and then not at all.
"""

import argparse
import base64
import contextlib
import hmac
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from reminder_worker import keys, status, store
from reminder_worker.client import Client
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ports import free_port
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, PublicKeys
from reminder_worker.testing.peer import Handler, Peer, Request, Response

from .harbour import hand_in, phone

ACCOUNT, TOKEN = "AC" + "0" * 32, "a-token-for-tests"
PUBLIC = "https://hooks.example"
PLACE = "rue des Lilas, Lyon"  # without its number
PATIENCE = 300.0  # seconds
HORIZON = 1200.0  # seconds, until what is in doubt has become unknown
SETTINGS = """\
profile = "production"
store_url = "{store}"
keys = "{folder}/keys"
durability = "none"
hooks_url = "{public}"
[platforms.clinic]
verify_key = "{folder}/keys/clinic.pub"
countries = ["FR"]
daily_cap = 1000000
[providers.twilio]
account_sid = "{account}"
auth_token_file = "{folder}/token"
from = "+15005550006"
base_url = "{twilio}"
timeout = 8.0
[providers.gateway]
type = "http"
timeout = 8.0
{gateway}
[[routes]]
providers = ["twilio", "gateway"]
weights = [2, 1]
"""
FATES = {  # how often each happens, in a hundred
    "accepted": 70,
    "accepted, no answer": 4,
    "accepted, answered 500": 4,
    "accepted, broken off": 3,
    "throttled": 6,
    "refused for now": 4,
    "refused for good": 4,
    "died before accepting": 5,
}
DOUBTFUL = {"accepted, no answer", "accepted, answered 500", "accepted, broken off", "died before accepting"}
ACCEPTS = {fate for fate in FATES if fate.startswith("accepted")}


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    reminders: int
    seed: int
    texts: int
    twice: int
    lost: int
    unexplained: int
    unheard: int
    leaks: list[str]
    states: dict[str, int]
    fates: dict[str, int]
    seconds: float

    @property
    def whole(self) -> bool:
        """Nobody twice, nothing lost, every unknown explained, nothing shown."""
        return not (self.twice or self.lost or self.unexplained or self.unheard or self.leaks)


@dataclass
class Carrier:
    """What both providers have in common: lots, who was texted, receipts that are still to be sent."""

    dice: random.Random
    late: float  # seconds that a receipt takes at the most
    hooks: int = 0  # port
    lock: threading.Lock = field(default_factory=threading.Lock)
    phones: Counter[str] = field(default_factory=Counter)
    fates: dict[str, list[str]] = field(default_factory=dict)  # by phone
    unheard: Counter[int] = field(default_factory=Counter)  # receipts that were answered with another status than 200
    pending: list[tuple[float, str, str, Request]] = field(default_factory=list)  # when, word, provider, text

    def draw(self, phone: str, provider: str, request: Request) -> str:
        """Decide what becomes of a request, and which receipts will follow."""
        with self.lock:
            (fate,) = self.dice.choices(list(FATES), list(FATES.values()))
            self.fates.setdefault(phone, []).append(fate)
            if fate in ACCEPTS:
                self.phones[phone] += 1
                if self.dice.random() < 0.85:  # some receipts never come
                    final = "delivered" if self.dice.random() < 0.9 else "undelivered"
                    for word in ["sent", final] * self.dice.choice([1, 1, 3]):
                        when = time.monotonic() + self.dice.choice([0.0, 0.01, 0.1, 0.5, 1.0]) * self.late
                        self.pending.append((when, word, provider, request))
            return fate

    def due(self) -> list[tuple[float, str, str, Request]]:
        """Take the receipts that are to be sent now, in no order."""
        with self.lock:
            now = time.monotonic()
            ready = [one for one in self.pending if one[0] <= now]
            self.pending = [one for one in self.pending if one[0] > now]
            self.dice.shuffle(ready)
            return ready


def answer(name: str, peer: Peer, carrier: Carrier, kind: "Twilio | Gateway") -> None:
    """Let every request of a peer meet its fate."""

    def fault(handler: Handler, request: Request) -> None:
        match carrier.draw(kind.phone(request), name, request):
            case "accepted":
                handler.reply(kind.yes(request))
            case "accepted, answered 500":
                handler.reply(kind.no(500, request))
            case "throttled":
                handler.reply(kind.no(429, request))
            case "refused for now":
                handler.reply(kind.no(400, request, final=False))
            case "refused for good":
                handler.reply(kind.no(400, request, final=True))
            case "accepted, no answer":
                handler.hang()
            case _:
                handler.hang_up(reset=True)

    peer.take = lambda: fault  # type: ignore[method-assign]


class Twilio:
    """Twilio's interface."""

    def phone(self, request: Request) -> str:
        return request.form["To"]

    def yes(self, request: Request) -> Response:
        return Response.of({"sid": self.sid(request), "num_segments": "1"}, 201)

    def no(self, code: int, request: Request, *, final: bool = False) -> Response:
        words = f"The number {request.form['To']} cannot be texted: {request.form['Body']}"
        known = {500: 20500, 429: 20429}.get(code, 21614 if final else 21612)
        headers = {"Retry-After": "1"} if code == 429 else {}
        return Response.of({"code": known, "message": words, "status": code}, code, **headers)

    def sid(self, request: Request) -> str:
        return "SM" + base64.b16encode(hmac.digest(b"", request.body, "md5")).decode().lower()

    def receipt(self, request: Request, word: str) -> tuple[str, bytes, dict[str, str]]:
        url = request.form["StatusCallback"]
        form = {"MessageSid": self.sid(request), "MessageStatus": word, "To": request.form["To"]}
        signed = url + "".join(name + form[name] for name in sorted(form))
        signature = base64.b64encode(hmac.digest(TOKEN.encode(), signed.encode(), "sha1")).decode()
        return urlsplit(url).path, urlencode(form).encode(), {"X-Twilio-Signature": signature}


class Gateway:
    """A gateway as somebody describes it in the settings."""

    TABLE = """\
url = "{url}/messages"
id = "message.id"
error = "error.code"
[providers.gateway.body]
to = "{{to}}"
text = "{{text}}"
report = "{{receipt_url}}"
ttl = "{{valid_seconds}}"
[providers.gateway.errors]
bad_number = "number_refused"
later = "not_sent"
[providers.gateway.receipts]
status = "status"
states = {{ sent = "sent", delivered = "delivered", undelivered = "undelivered" }}
"""

    def phone(self, request: Request) -> str:
        return str(request.json["to"])

    def yes(self, request: Request) -> Response:
        return Response.of({"message": {"id": hmac.digest(b"", request.body, "md5").hex()}})

    def no(self, code: int, request: Request, *, final: bool = False) -> Response:
        words = f"{request.json['to']}: {request.json['text']}"
        return Response.of({"error": {"code": "bad_number" if final else "later", "words": words}}, code)

    def receipt(self, request: Request, word: str) -> tuple[str, bytes, dict[str, str]]:
        return urlsplit(request.json["report"]).path, json.dumps({"status": word}).encode(), {}


class Office:
    """A whole installation, and its two providers."""

    def __init__(self, folder: Path, server: EmbeddedServer, reminders: int, seed: int, window: float) -> None:
        self.folder, self.server = folder, server
        self.carrier = Carrier(random.Random(seed), late=window / 4)
        self.peers = {"twilio": (Peer(), Twilio()), "gateway": (Peer(), Gateway())}
        for name, (peer, kind) in self.peers.items():
            answer(name, peer, self.carrier, kind)
        self.carrier.hooks = free_port()
        self.write_settings()
        self.schedule = Schedule(store.connect(server.url()))
        self.phones = [phone(number) for number in range(reminders)]
        platform = PlatformKeys.load(folder / "keys" / "clinic.key")
        self.client = Client(self.schedule, platform, PublicKeys.load(folder / "keys" / "worker.pub.json"), leads=[])
        hand_in(self.client, reminders, window)

    def write_settings(self) -> None:
        """Make keys and settings."""
        keys.new_worker(self.folder / "keys", datetime.now(UTC))
        keys.new_platform("clinic", self.folder / "keys")
        (self.folder / "token").write_text(TOKEN)
        (self.folder / "token").chmod(0o600)
        twilio, gateway = (peer.url for peer, _ in self.peers.values())
        values = {"store": self.server.url(), "folder": self.folder, "public": PUBLIC, "account": ACCOUNT}
        text = SETTINGS.format(**values, twilio=twilio, gateway=Gateway.TABLE.format(url=gateway))
        (self.folder / "reminder-worker.toml").write_text(text)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the processes as a supervisor would."""
        environment = os.environ | {"REMINDER_CONFIG": str(self.folder / "reminder-worker.toml")}
        commands = ["scheduler"], ["worker", "--processes", "2", "--threads", "16"], ["hooks", "--port"]
        commands[2].append(str(self.carrier.hooks))
        with (self.folder / "log.jsonl").open("ab") as log:
            started = [
                subprocess.Popen(
                    [sys.executable, "-m", "reminder_worker.cli", *words],
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                for words in commands
            ]
            reporting = threading.Event()
            reporter = threading.Thread(target=self.report, args=(reporting,))
            reporter.start()
            try:
                yield
            finally:
                reporting.set()
                reporter.join()
                for process in started:
                    os.killpg(process.pid, signal.SIGTERM)
                for process in started:
                    process.wait(30)
                for peer, _ in self.peers.values():
                    peer.close()

    def report(self, done: threading.Event) -> None:
        """Send receipts as they fall due, each on a connection of its own."""
        while not done.wait(0.02):
            for when, word, name, request in self.carrier.due():
                path, body, headers = self.peers[name][1].receipt(request, word)
                connection = http.client.HTTPConnection("127.0.0.1", self.carrier.hooks, timeout=10)
                try:
                    connection.request("POST", path, body, headers)
                    answered = connection.getresponse().status
                    self.carrier.unheard[answered] += answered != http.client.OK
                except OSError:  # not up yet, or busy: a provider tries again
                    with self.carrier.lock:
                        self.carrier.pending.append((when + 0.5, word, name, request))
                finally:
                    connection.close()

    def wait(self, *, horizon: bool) -> dict[str, int]:
        """Wait until everything has ended and all receipts are in, but for what is in doubt; return how it stands."""
        deadline = time.monotonic() + (HORIZON if horizon else PATIENCE)
        while True:
            now = status.read(self.schedule)
            doubtful = 0 if horizon else now.sending
            done = sum(now.ended.values()) + doubtful == len(self.phones) and not self.carrier.pending
            if done or time.monotonic() > deadline:
                open_ones = {"sending": now.sending, "scheduled": now.scheduled, "queued": now.queued}
                return now.ended | {state: count for state, count in open_ones.items() if count}
            time.sleep(0.5)

    def judge(self) -> tuple[int, int, int]:
        """Count who was texted twice, what was lost, and what is unknown without a reason."""
        lost = unexplained = 0
        for number, to in enumerate(self.phones):
            state, texts = self.client.show(f"A-{number}")[0].state, self.carrier.phones[to]
            fates = self.carrier.fates.get(to, [""])
            match state:
                case "sent" | "delivered" | "undelivered":
                    lost += texts == 0
                case "failed":
                    lost += texts == 0 and fates[-1] != "refused for good"
                case "unknown" | "sending":
                    unexplained += fates[-1] not in DOUBTFUL
                case _:
                    lost += texts == 0
        return sum(count > 1 for count in self.carrier.phones.values()), lost, unexplained

    def leaks(self) -> list[str]:
        """Look for a number or a place in the logs, in Redis and in its files."""
        shown = (self.folder / "log.jsonl").read_bytes()
        for number in (0, 1):
            client = store.connect(self.server.url(number))
            shown += b" ".join(key + (client.dump(key) or b"") for key in client.scan_iter(count=5000))
        shown += b"".join(path.read_bytes() for path in self.server.folder.rglob("*") if path.is_file())
        numbers = set(re.findall(rb"\d{8,11}", shown))
        found = {phone for phone in self.phones if {phone[1:].encode(), phone[4:].encode()} & numbers}
        return sorted(found) + [PLACE] * (PLACE.encode() in shown)


def run(*, reminders: int, seed: int, window: float, horizon: bool = False) -> Result:
    """Run it once; ``window`` is in seconds, from the first due time to the last.

    ``horizon``: wait until what is in doubt is ``unknown``, which takes ten minutes.
    """
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name) / "valkey") as server:
        office = Office(Path(name), server, reminders, seed, window)
        began = time.monotonic()
        with office.running():
            states = office.wait(horizon=horizon)
        twice, lost, unexplained = office.judge()
        fates = Counter(fate for some in office.carrier.fates.values() for fate in some)
        texts, spent, unheard = office.carrier.phones.total(), time.monotonic() - began, office.carrier.unheard.total()
        faults = twice, lost, unexplained, unheard, office.leaks()
        return Result(reminders, seed, texts, *faults, states, dict(fates), spent)


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reminders", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window", type=float, default=60.0)
    parser.add_argument("--horizon", action="store_true", help="wait until what is in doubt is unknown: ten minutes")
    chosen = parser.parse_args()
    result = run(reminders=chosen.reminders, seed=chosen.seed, window=chosen.window, horizon=chosen.horizon)
    print(result)
    sys.exit(0 if result.whole else 1)


if __name__ == "__main__":
    main()
