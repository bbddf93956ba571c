"""A whole installation under traffic: real processes, a provider with moods, and people who answer their texts."""

import base64
import contextlib
import hmac
import http.client
import itertools
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from reminder_worker.settings import Settings
from reminder_worker.testing.peer import Request, Response

from .installation import Crew, Installation, Refusals, free_port
from .providers import ACCOUNT, PUBLIC, TOKEN, Twilio

KINDS = "worker", "scheduler", "web", "hooks"
TICK = 5.0  # seconds between batches
AHEAD = 10  # seconds from handing in to the first that falls due
LEAD = timedelta(hours=2)
MOST = 500  # in one batch
TAKES = 3.0  # seconds for a call to a slow provider
BEHIND = "+33634"  # numbers that a gateway carries which reports nothing and cannot be asked
SETTINGS = """\
store_url = "{store}"
keys = "{folder}/keys"
durability = "none"
metrics_listen = "127.0.0.1:{first}"
phone_daily_cap = 100
allow_numbers = ["+336"]
[platforms.clinic]
verify_key = "{folder}/keys/gateway.pub"
daily_cap = 10000000
api_rate = 100000
[providers.twilio]
account_sid = "{account}"
auth_token_file = "{folder}/token"
from = "+15005550006"
base_url = "{url}"
callback_url = "{public}"
timeout = 8.0
price = 0.05
daily_spend = {spend}
[providers.gateway]
type = "http"
timeout = 4.0
url = "{url}/messages"
id = "id"
[providers.gateway.body]
to = "{{to}}"
text = "{{text}}"
[[routes]]
prefix = "+3363"
providers = ["gateway"]
[[routes]]
providers = ["twilio"]
"""
# A process whose machine's clock is fast: what compares it with the store's is told another time.
FAST = """
import sys
from datetime import datetime, timedelta
from reminder_worker import cli, gauges

class Fast(datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.now(zone) + timedelta(seconds=12)

gauges.datetime = Fast
cli.app(sys.argv[1:])
"""


class Carrier:
    """A provider behind Twilio's interface, and a gateway that reports nothing; ``mood`` says how it is today."""

    def __init__(self, seed: int) -> None:
        self.mood, self.reporting, self.port = "well", True, free_port()
        self.moods: dict[str, Any] = {"well": self._well, "slow": self._slow, "no account": self._no_account}
        self.moods |= {"one in four": self._one_in_four, "silent": self._silent}
        self.fates: Counter[str] = Counter()
        self.receipts: list[tuple[float, Request, str]] = []
        self.lock = threading.Lock()
        self._dice, self._number = random.Random(seed), itertools.count()
        self._server: _Server | None = None

    def open(self) -> None:
        """Listen."""
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def shut(self) -> None:
        """Listen no more, and hang up."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None

    def answer(self, request: Request) -> Response | None:
        """Answer a request; None: accepted, and not a word."""
        if request.method == "DELETE":
            return Response(204)
        with self.lock:
            fate, number = self._dice.random(), next(self._number)
        word, said = self.moods[self.mood](request, fate, number)
        with self.lock:
            self.fates[word] += 1
            if word.startswith("accepted") and "messages" not in request.path and self.reporting:
                final = "delivered" if self._dice.random() < 0.95 else "undelivered"
                self.receipts += [(time.monotonic() + late, request, told) for late, told in ((1, "sent"), (3, final))]
        return said

    def _well(self, request: Request, fate: float, number: int) -> tuple[str, Response | None]:
        """Accept, but for what happens to every provider every day."""
        if "messages" in request.path:
            return "accepted", Response.of({"id": str(number)})
        if fate < 0.01:
            return "refused for good", Twilio().no(400, request, final=True)
        if fate < 0.015:
            return "refused for now", Twilio().no(400, request)
        if fate < 0.016:
            return "accepted, no answer", None
        return "accepted", Twilio().yes(request)

    def _slow(self, request: Request, fate: float, number: int) -> tuple[str, Response | None]:
        time.sleep(TAKES)
        return self._well(request, fate, number)

    def _one_in_four(self, request: Request, fate: float, number: int) -> tuple[str, Response | None]:
        return ("refused for now", Twilio().no(400, request)) if number % 4 == 0 else self._well(request, fate, number)

    def _no_account(self, request: Request, *_: Any) -> tuple[str, Response | None]:
        refusal = {"code": 20003, "message": "Authenticate", "status": 401}
        return "no account", Response.of(refusal, 401)

    def _silent(self, *_: Any) -> tuple[str, Response | None]:
        return "accepted, no answer, no receipt", None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 100

    def __init__(self, carrier: Carrier) -> None:
        super().__init__(("127.0.0.1", carrier.port), _Handler)
        self.carrier, self.connections = carrier, set[socket.socket]()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for one in list(self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = self.server.carrier.answer(Request(self.command, self.path, dict(self.headers), body))
        if said is None:
            time.sleep(10)  # longer than anybody waits
            self.close_connection = True
            return
        head = {**said.headers, "Content-Length": str(len(said.body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self.wfile.write(f"HTTP/1.1 {said.status} Answer\r\n{lines}\r\n".encode() + said.body)

    do_DELETE = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Station(Installation):
    """Everything in one folder, with ``rate`` reminders a second handed in over HTTP and sent."""

    def __init__(self, folder: Path, *, rate: float, seed: int) -> None:
        super().__init__(folder)
        self.rate, self.carrier, self.hooks = rate, Carrier(seed), free_port()
        self.first, self.handed_in, self.refused = _ports(8), 0, 0
        self.taken: socket.socket | None = None
        self._numbers, self._crew, self._fast = itertools.count(), Crew(), set[str]()

    def __enter__(self) -> Self:
        super().__enter__()
        (self.folder / "token").write_text(TOKEN)
        (self.folder / "token").chmod(0o600)
        (self.folder / "tmp").mkdir()
        self.configure()
        self.carrier.open()
        self.start(*KINDS)
        self._crew.hire(self._trade)
        self._crew.hire(self._report)
        return self

    def __exit__(self, *details: object) -> None:
        self._crew.over.set()
        self._crew.join()
        self.carrier.shut()
        super().__exit__(*details)

    def configure(self, *, spend: float = 1e6) -> None:
        """Write the settings."""
        words = {"store": self.server.url(), "folder": self.folder, "first": self.first, "spend": spend}
        words |= {"account": ACCOUNT, "public": PUBLIC, "url": f"http://127.0.0.1:{self.carrier.port}"}
        self.config.write_text(SETTINGS.format(**words))

    @property
    def targets(self) -> dict[str, int]:
        """Where each kind of process shows its metrics."""
        settings = Settings(metrics_listen=f"127.0.0.1:{self.first}")
        return {kind: settings.metrics_address(kind)[1] for kind in KINDS}

    def scraped(self, name: str) -> bool:
        """Tell whether a process answers Prometheus."""
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.targets[name])) == 0

    def _start(self, name: str) -> None:
        worker = ["worker", "--processes", "2", "--threads", "4"]
        words = {
            "worker": worker,
            "web": ["web", "--port", str(self.port)],
            "hooks": ["hooks", "--port", str(self.hooks)],
        }
        how = ["-c", FAST] if name in self._fast else ["-m", "reminder_worker.cli"]
        environment = os.environ | {"REMINDER_CONFIG": str(self.config), "TMPDIR": str(self.folder / "tmp")}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *how, *words.get(name, [name])],
                env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def restart(self, name: str, *, fast: bool = False) -> None:
        """Stop a process as a supervisor does, and start it again; with a ``fast`` clock, where that is wanted."""
        process = self._running.pop(name)
        process.terminate()
        process.wait(60)
        self._fast = {name} if fast else set()
        self.start(name)

    def hand_in(self, count: int, within: float = TICK, *, ahead: float = AHEAD, **how: Any) -> None:
        """Hand in reminders that fall due within so many seconds, evenly."""
        lead, start = how.get("lead", LEAD), how.get("phones", "+33612")
        first = datetime.now(UTC) + lead + timedelta(seconds=ahead)
        caller = self.caller(timeout=10.0)
        for begin in range(0, count, MOST):
            batch = [
                {
                    "reference": f"A-{number}",
                    "time": (first + timedelta(seconds=within * place / count)).isoformat(),
                    "location": "12 rue des Lilas, Lyon",
                    "pointer": self.pointer(f"{start}{number % 10 ** (12 - len(start)):0{12 - len(start)}d}"),
                    "leads": how.get("leads", ["2h"]),
                }
                for place in range(begin, min(count, begin + MOST))
                for number in [next(self._numbers)]
            ]
            try:
                said = caller.ask("POST", "/v1/reminders:batch", {"reminders": batch})
                taken = sum(one["status"] < 300 for one in said.document["results"]) if said.status == 200 else 0
            except Refusals:
                taken = 0
            self.handed_in += taken
            self.refused += len(batch) - taken
        caller.close()

    def _trade(self) -> None:
        """Be the platform: every few seconds some more, whatever happens."""
        owed, began = 0.0, time.monotonic()
        for tick in itertools.count(1):
            owed += self.rate * TICK
            if count := int(owed):
                self.hand_in(count)
                owed -= count
            if self._crew.over.wait(max(0.0, began + tick * TICK - time.monotonic())):
                return

    def _report(self) -> None:
        """Be the provider that tells what became of texts."""
        while not self._crew.over.wait(0.2):
            with self.carrier.lock:
                now = time.monotonic()
                ready = [one for one in self.carrier.receipts if one[0] <= now]
                self.carrier.receipts = [one for one in self.carrier.receipts if one[0] > now]
            for when, request, word in ready:
                if not self._tell(*Twilio().receipt(request, word)):
                    with self.carrier.lock:
                        self.carrier.receipts.append((when + 5, request, word))

    def reply(self, phone: str, words: str) -> None:
        """Be somebody who answers a text."""
        path = "/v1/replies/twilio"
        form = {"From": phone, "Body": words, "To": "+15005550006", "MessageSid": f"SM{secrets.token_hex(16)}"}
        signed = f"{PUBLIC}{path}" + "".join(name + form[name] for name in sorted(form))
        signature = base64.b64encode(hmac.digest(TOKEN.encode(), signed.encode(), "sha1")).decode()
        assert self._tell(path, urlencode(form).encode(), {"X-Twilio-Signature": signature})

    def _tell(self, path: str, body: bytes, headers: dict[str, str]) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.hooks, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", path, body, headers | {"Content-Type": "application/x-www-form-urlencoded"})
            return connection.getresponse().status == http.client.OK
        return False


def _ports(number: int) -> int:
    """Return the first of some ports in a row that are free."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = free_port()
            for more in range(number):
                stack.enter_context(socket.create_server(("127.0.0.1", first + more)))
            return first
