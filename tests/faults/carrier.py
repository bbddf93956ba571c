"""A provider over HTTP that counts: which text came to which number, how often, when, and whether it was that one's."""

import re
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from reminder_worker.testing.peer import Peer, Request, Response

KINDS = {  # what our settings say of it
    "asked": '[providers.carrier.find]\nurl = "{url}/messages?key={{reference}}"\nitems = "messages"\n'
    'reference = "key"\nid = "id"\nafter_minutes = {settles}\n',
    "deduplicates": "",
    "neither": "",
}
TABLE = """\
[providers.carrier]
type = "http"
url = "{url}/messages"
id = "id"
{more}
[providers.carrier.body]
to = "{{to}}"
text = "{{text}}"
key = "{{reference}}"
"""


@dataclass
class Text:
    """What was accepted."""

    number: str
    place: str  # the house number in it
    at: float


@dataclass
class Carrier:
    """Takes ``takes`` seconds before it accepts a text, and again before it says so."""

    kind: str = "asked"
    takes: float = 0.01
    texts: dict[str, Text] = field(default_factory=dict)  # by our reference
    arrivals: Counter[int] = field(default_factory=Counter)  # by second
    again: int = 0  # references that came once more
    asked: int = 0
    throttles: int = 0  # how many of the next texts are told to come back
    rate: float | None = None  # texts a second, a fifth of them at once; to more it says "too many"
    away_until: float = 0.0  # by the monotonic clock: no account is known before
    refused: int = 0  # calls that were one too many, or too early
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._spare, self._since = 0.0, time.monotonic()
        self.peer = Peer()
        self.peer._server.socket.listen(200)  # many connect at once when workers come back
        self.peer.answer = self._answer

    def table(self, settles: float, **more: float) -> str:
        """Return its table of the settings; ``settles``: minutes after which it tells what it knows."""
        said = "".join(f"{name} = {value}\n" for name, value in more.items())
        said += "deduplicates_hours = 24\n" if self.kind == "deduplicates" else ""
        return TABLE.format(url=self.peer.url, more=said) + KINDS[self.kind].format(url=self.peer.url, settles=settles)

    def _look(self, request: Request) -> Response | None:
        """Answer who asks for a reference; a text is let pass, or told to come back; half of one is none."""
        if request.method != "GET" and len(request.body) < int(request.headers["content-length"]):
            return Response.of({}, 400)
        if request.method != "GET":
            return self._refuse()
        (reference,) = parse_qs(urlsplit(request.path).query)["key"]
        with self.lock:
            self.asked += 1
            found = [{"key": reference, "id": reference}] if reference in self.texts else []
        return Response.of({"messages": found})

    def _refuse(self) -> Response | None:
        """Refuse a text that is one too many, or whose account is not known yet."""
        with self.lock:
            if self.throttles:
                self.throttles -= 1
                return Response.of({}, 429, Retry_After="0")
            now = time.monotonic()
            if now < self.away_until:
                self.refused += 1
                return Response.of({}, 401)
            if self.rate is None:
                return None
            self._spare = min(self.rate / 5, self._spare + (now - self._since) * self.rate)
            self._since = now
            if self._spare >= 1:
                self._spare -= 1
                return None
            self.refused += 1
            return Response.of({}, 429, Retry_After="1")

    def _answer(self, request: Request, _: int) -> Response:
        if said := self._look(request):
            return said
        time.sleep(self.takes)
        text = request.json
        (place,) = re.findall(r"\b(\d{1,6})(?= rue des Lilas)", text["text"]) or [""]
        with self.lock:
            self.arrivals[int(time.monotonic())] += 1
            self.again += text["key"] in self.texts
            self.texts.setdefault(text["key"], Text(text["to"], place, time.time()))
        time.sleep(self.takes)
        return Response.of({"id": text["key"]})

    def by_number(self) -> dict[str, list[Text]]:
        """Return who got what."""
        found = defaultdict(list)
        for text in list(self.texts.values()):
            found[text.number].append(text)
        return found

    def by_place(self) -> dict[str, list[Text]]:
        """Return who got what, by whose text it was."""
        found = defaultdict(list)
        for text in list(self.texts.values()):
            found[text.place].append(text)
        return found

    def close(self) -> None:
        """Listen no more."""
        self.peer.close()
