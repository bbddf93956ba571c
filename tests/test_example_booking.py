"""examples/booking in a real browser: what it promises its patients, and where nothing of it may be found.

Everything between browser, site and gateway goes over relays that write down each byte.
"""

import asyncio
import contextlib
import hashlib
import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from door import Door, pass_on
from javascript import MODULES
from starlette.exceptions import HTTPException
from starlette.requests import Request

from examples.booking.installation import REMINDERS, Installation, free_port
from examples.booking.slots import TEXT_AFTER
from reminder_worker import store
from reminder_worker.audit.matrix import Fact
from reminder_worker.audit.search import Search
from reminder_worker.audit.writings import phone_writings, writings

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

ROOT = Path(__file__).parents[1]
AXE = MODULES / "axe-core/axe.min.js"
VENDOR = ROOT / "examples/booking/static/vendor"
PHONE, DESKTOP, NARROW = {"width": 390, "height": 844}, {"width": 1280, "height": 900}, {"width": 320, "height": 640}


@dataclass(frozen=True, eq=False)
class Patient:
    language: str
    name: str
    reason: str
    typed: str
    number: str
    practice: str
    screen: dict[str, int] = field(default_factory=dict)


FRENCH = Patient(
    "fr", "Öyvind Quastenflosser", "chimiothérapie, 3e cycle", "06 12 34 95 01", "+33612349501", "lilas", PHONE
)
ENGLISH = Patient(
    "en",
    "Wilhelmina Featherstonehaugh",
    "HIV test result, second one",
    "+44 7911 123517",
    "+447911123517",
    "lilas",
    DESKTOP,
)
GERMAN = Patient(
    "de", "Gwenaëlle Trébuchet", "Panikstörung, vierte Sitzung", "0151 23456719", "+4915123456719", "wasserturm", NARROW
)
HASTY = Patient("en", "Ebenezer Thistlewood", "burnout, sick note", "06 12 34 95 38", "+33612349538", "lilas", DESKTOP)
PATIENTS = FRENCH, ENGLISH, GERMAN, HASTY


def forms(patients: tuple[Patient, ...]) -> dict[Fact, set[bytes]]:
    """Everything that would give away what was typed in."""
    words = {word for one in patients for word in (one.name, one.reason, one.name.split()[1])}
    numbers = set().union(*(number_writings(one) for one in patients))
    return {Fact.REASON: set().union(*map(writings, words)), Fact.NUMBER: numbers}


def number_writings(patient: Patient) -> set[bytes]:
    if patient.number.startswith("+33"):
        return phone_writings(patient.number)
    national = patient.number[3:]
    return set().union(*map(writings, (patient.typed, patient.number, patient.number[1:], national, f"0{national}")))


class Relay(Door):
    """A line that passes everything on and writes it down, both ways."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.written = bytearray()
        self._lock = threading.Lock()
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, near: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as far:
            pass_on(near, far, self._write_down)

    def _write_down(self, data: bytes, _: socket.socket) -> bool:
        with self._lock:
            self.written += data
        return True


class Play:
    """The installation, the lines to it, and a browser."""

    def __init__(self, booking: Installation, browser: Any) -> None:
        self.booking = booking
        self._browser = browser
        self._redis = store.connect(booking.server.url())
        self.seen: dict[str, str] = {}  # what pages showed, by moment
        self.stored: set[bytes] = set()
        self.errors: list[str] = []

    def open(self, url: str, **options: Any) -> Any:
        page = self._browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB"} | options).new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        return page

    def fill(self, patient: Patient, **options: Any) -> Any:
        page = self.open(self.site.url, viewport=patient.screen, **options)
        page.locator(f".languages [lang={patient.language}]").click()
        page.locator(f"[name=practice][value={patient.practice}]").check(force=True)
        page.locator("[name=slot]").first.wait_for(state="attached")
        page.fill("#name", patient.name)
        page.fill("#reason", patient.reason)
        page.fill("#number", patient.typed)
        return page

    def book(self, patient: Patient, slot: int) -> Any:
        page = self.fill(patient)
        with page.expect_response(re.compile("/slots$")):  # of the practice that was chosen, whatever came before
            page.locator(f"[name=practice][value={patient.practice}]").dispatch_event("change")
        page.locator("[name=slot]").nth(slot).check(force=True)
        page.click("button.main")
        page.wait_for_url("**/appointment#*")
        page.locator("#when:not(:empty)").wait_for()
        self.look()
        return page

    def look(self) -> None:
        """Keep what the store holds at this moment."""
        for key in self._redis.scan_iter(count=1000):
            self.stored |= {key, self._redis.dump(key) or b""}

    def row(self, page: Any) -> dict[str, Any]:
        with contextlib.closing(sqlite3.connect(self.booking.folder / "site/booking.db")) as db:
            db.row_factory = sqlite3.Row
            return dict(db.execute("SELECT * FROM appointments WHERE id = ?", (id_of(page),)).fetchone())

    def answered(self, page: Any, answer: str) -> None:
        wait_for(lambda: (row := self.row(page))["told"] == row["version"] and row["answer"] == answer)

    def texts(self, patient: Patient) -> list[str]:
        lines = self.booking.outbox.read_text("utf-8").splitlines() if self.booking.outbox.exists() else []
        return [line["text"] for line in map(json.loads, lines) if line["to"] == patient.number]

    @property
    def site(self) -> Relay:
        return self.lines["the wire to the site"]

    lines: dict[str, Relay]


def id_of(page: Any) -> str:
    return page.url.partition("#")[2].partition(".")[0]


def wait_for(look: Any, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    """Everybody books; texts go out; both practices read their lists; some appointments are moved or cancelled."""
    booking = Installation()
    lines = {"the wire to the site": Relay(booking.ports["site"]), "the wire to web": Relay(booking.ports["web"])}
    booking.addresses["web"], booking.events = lines["the wire to web"].url, lines["the wire to the site"].url
    with booking, playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            played = Play(booking, browser)
            played.lines = lines
            story(played)
            yield played
        finally:
            browser.close()
            for line in lines.values():
                line.close()


def story(play: Play) -> None:
    play.pages = {one: play.book(one, slot) for slot, one in enumerate((FRENCH, ENGLISH, GERMAN))}
    hasty = play.book(HASTY, 5)
    hasty.click("#cancel")
    hasty.click("#cancel")  # asked whether they are sure
    play.answered(hasty, "cancelled")
    play.pages[HASTY] = hasty
    move_by_patient(play)
    lilas = play.lilas = play.open(f"{play.site.url}/practice")
    lilas.set_input_files("#file", play.booking.key_file)
    lilas.click("#opening button")
    lilas.get_by_text("reminder sent").first.wait_for()
    play.seen["lilas"] = lilas.inner_text("#days")
    change_by_practice(play)
    wait_for(lambda: len(play.texts(FRENCH)) == 2 and play.texts(ENGLISH))
    play.pages[FRENCH].get_by_text("Rappel envoyé").nth(1).wait_for()
    play.look()


def move_by_patient(play: Play) -> None:
    """Move an appointment that was reminded of."""
    page = play.pages[FRENCH]
    page.get_by_text("Rappel envoyé").wait_for()
    page.select_option("#slot", index=4)
    page.get_by_role("button", name="Déplacer").click()
    play.answered(page, "moved")
    play.look()


def change_by_practice(play: Play) -> None:
    """Move an appointment that was reminded of, and cancel it before its new text goes out."""
    wait_for(lambda: play.texts(GERMAN))
    wasserturm = play.wasserturm = play.open(f"{play.site.url}/practice", viewport=PHONE)
    wasserturm.select_option("#practice", "wasserturm")
    wasserturm.fill("#passphrase", play.booking.passphrase)
    wasserturm.click("#opening button")
    wasserturm.locator(".visit").wait_for()
    play.seen["wasserturm"] = wasserturm.inner_text("#days")
    before = play.row(play.pages[GERMAN])["slot"]
    wasserturm.select_option(".visit select", index=4)
    wasserturm.get_by_role("button", name="Move").click()
    play.answered(play.pages[GERMAN], "moved")
    assert play.row(play.pages[GERMAN])["slot"] != before
    wasserturm.get_by_text(re.compile("^handed")).wait_for()
    wasserturm.get_by_role("button", name="Cancel").click()
    wasserturm.get_by_role("button", name="Press again").click()
    play.answered(play.pages[GERMAN], "cancelled")
    play.too_late = time.monotonic() + TEXT_AFTER.total_seconds() + 2


# What it does


@pytest.mark.parametrize(
    ("patient", "word", "place"),
    [(FRENCH, "Rappel", "Lyon"), (ENGLISH, "Reminder", "Lyon"), (GERMAN, "Erinnerung", "Berlin")],
    ids=["fr", "en", "de"],
)
def test_each_phone_gets_a_text_in_its_language_without_name_or_reason(play, patient, word, place):
    text = play.texts(patient)[0]
    assert text.startswith(word)
    assert place in text
    assert not any(part in text for part in (*patient.name.split(), *re.findall(r"\w{4,}", patient.reason)))


def test_each_practice_reads_names_and_reasons_of_its_own_patients(play):
    for patient in (FRENCH, ENGLISH, HASTY):
        assert patient.name in play.seen["lilas"]
        assert patient.reason in play.seen["lilas"]
    assert GERMAN.name in play.seen["wasserturm"]
    assert GERMAN.reason in play.seen["wasserturm"]
    assert GERMAN.name not in play.seen["lilas"]
    assert "reminder sent" in play.seen["lilas"]


def test_a_moved_appointment_is_reminded_of_with_its_new_time(play):
    first, second = play.texts(FRENCH)
    slot = play.row(play.pages[FRENCH])["slot"]
    assert slot[11:16] in second
    assert first != second


def test_a_cancelled_slot_is_free_again(play):
    slot = play.row(play.pages[HASTY])["slot"]
    with urllib.request.urlopen(f"{play.site.url}/api/practices/lilas/slots") as response:
        assert slot in json.load(response)


def test_no_page_met_an_error(play):
    assert play.errors == []


# Who holds what


@pytest.fixture(scope="module")
def holdings(play) -> dict[str, list[bytes]]:
    """All that anybody holds after all this: every file of every process, the store, the wires, the metrics."""
    folder = play.booking.folder
    parties = ("site", "watch", *REMINDERS, "provider", "valkey")
    held = {name: [path.read_bytes() for path in (folder / name).rglob("*") if path.is_file()] for name in parties}
    held["valkey"] += play.stored
    held |= {name: [bytes(line.written)] for name, line in play.lines.items()}
    addresses = (f"http://127.0.0.1:{play.booking.metrics + at}/metrics" for at in range(len(REMINDERS)))
    return held | {"metrics": [urllib.request.urlopen(address).read() for address in addresses]}


def test_what_was_typed_is_nowhere_but_the_number_at_the_provider(holdings):
    search = Search(forms(PATIENTS))
    found = {party: set().union(*map(search.facts, pieces)) for party, pieces in holdings.items()}
    assert {party: facts for party, facts in found.items() if facts} == {"provider": {Fact.NUMBER}}


def test_every_place_was_really_looked_at(play, holdings):
    for word, party in (
        (play.row(play.pages[FRENCH])["card"].encode(), "site"),
        (b"uvicorn.access", "site"),
        (play.row(play.pages[FRENCH])["card"].encode(), "the wire to the site"),
        (b"reminder.sent", "the wire to the site"),
        (play.row(play.pages[FRENCH])["pointer"].encode(), "the wire to web"),
        (b"rw:{0}:a:", "valkey"),
        (b"settled", "worker"),
        (b"web_started", "web"),
        (b"hooks_started", "hooks"),
        (b"scheduler_started", "scheduler"),
        (b'attempts_total{provider="outbox"', "metrics"),
    ):
        assert any(word in piece for piece in holdings[party]), (word, party)


def test_a_careless_page_would_be_found_out(play, holdings):
    """A page that puts the reason into an address: it is on the wire, and in the site's log."""
    leak = Patient(
        "fr", "Ottoline Zwiebelfisch", "interruption de grossesse", "06 12 34 95 77", "+33612349577", "lilas"
    )
    page = play.open(play.site.url)
    page.evaluate(
        "([reason, number]) => fetch(`/?r=${encodeURIComponent(reason)}&n=${number}`)", [leak.reason, leak.number]
    )
    search = Search(forms((leak,)))
    wait_for(lambda: Fact.REASON in search.facts(play.booking.log("site").read_bytes()))
    assert search.facts(play.booking.log("site").read_bytes()) == {Fact.REASON, Fact.NUMBER}
    assert search.facts(bytes(play.site.written)) == {Fact.REASON, Fact.NUMBER}
    assert search.facts(bytes(play.lines["the wire to web"].written)) == set()


# What the pages refuse


def test_nothing_is_sent_to_a_key_that_the_page_was_not_delivered_with(play):
    page = play.fill(HASTY)
    other = json.loads((play.booking.folder / "site/worker.pub.json").read_text())
    other["pointer"][-1]["key"] = other["envelope"][0]["key"]
    page.route("**/worker.pub.json", lambda route: route.fulfill(json=other))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.locator("[name=slot]").nth(7).check(force=True)
    page.click("button.main")
    page.get_by_text("Nothing was sent.").wait_for()
    assert "PUT" not in sent


def test_a_card_put_beside_another_appointment_is_not_shown(play):
    page = play.lilas
    answer = json.dumps([{**listed, "card": other["card"]} for listed, other in rotated(play)])
    page.route("**/api/practices/lilas/appointments", lambda route: route.fulfill(body=answer))
    page.get_by_text("Cannot be opened").first.wait_for()
    assert FRENCH.name not in page.inner_text("#days")
    page.unroute("**/api/practices/lilas/appointments")
    page.get_by_text(FRENCH.name).wait_for()


def rotated(play: Play) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    events = {"events": [], "cancelled": False, "told": True}
    rows = [play.row(play.pages[one]) | events for one in (FRENCH, ENGLISH)]
    return list(zip(rows, rows[::-1], strict=True))


def test_another_practices_passphrase_or_file_opens_nothing(play):
    page = play.open(f"{play.site.url}/practice")
    page.select_option("#practice", "wasserturm")
    page.fill("#passphrase", "not-the-words-at-all")
    page.click("#opening button")
    page.get_by_text("does not open").wait_for()
    assert page.locator(".visit").count() == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/appointments/{id}", None, 403),
        ("DELETE", "/api/appointments/{id}", None, 403),
        ("PUT", "/api/appointments/{id}/slot", {"slot": "2030-01-01T10:00:00+01:00[Europe/Paris]"}, 403),
        ("GET", "/api/practices/lilas/appointments", None, 403),
        ("PUT", "/api/appointments/" + "A" * 22, {"practice": "lilas", "reason": "clear text"}, 422),
        ("POST", "/reminder-events", {"type": "reminder.sent"}, 401),
    ],
)
def test_the_site_refuses_strangers_and_fields_that_it_does_not_have(play, method, path, body, status):
    url = play.site.url + path.format(id=id_of(play.pages[FRENCH]))
    headers = {"Authorization": f"Bearer {'A' * 43}"}
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers, method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value as answer:
        assert answer.code == status


def test_a_body_that_does_not_say_how_long_it_is_is_not_read_without_end():
    from examples.booking import site  # noqa: PLC0415

    pieces = iter([b"x" * 8192] * 20)

    async def receive():
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    request = Request({"type": "http", "headers": []}, receive)
    with ThreadPoolExecutor() as elsewhere:  # where no browser has a loop
        refused = elsewhere.submit(lambda: asyncio.run(site.read(request, site.FORMS))).exception()
    assert isinstance(refused, HTTPException)
    assert refused.status_code == 413
    assert len(list(pieces)) == 20 - site.BODY_LIMIT // 8192 - 1


def test_every_answer_carries_the_policy_and_it_holds(play):
    for path in ("/", "/appointment", "/practice", "/static/book.js", "/api/practices/lilas/slots"):
        with urllib.request.urlopen(play.site.url + path) as answer:
            policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self' 'wasm-unsafe-eval';" in policy
        assert "unsafe-inline" not in policy
    page = play.open(play.site.url)
    page.evaluate(
        "() => document.body.append(Object.assign(document.createElement('script'), { text: 'window.ran = true' }))"
    )
    assert page.evaluate("() => window.ran") is None


def test_the_gateway_being_away_loses_nothing(tmp_path):
    from examples.booking import errands  # noqa: PLC0415
    from examples.booking.register import Register  # noqa: PLC0415

    register = Register(tmp_path / "booking.db")
    row = dict.fromkeys(("id", "practice", "card", "pointer", "link_hash"), "x")
    register.book(row | {"slot": "2030-01-01T10:00:00+01:00[Europe/Paris]", "lead": "1h"})
    away = errands.Errands(
        register, {"x": "Lyon"}, gateway=f"http://127.0.0.1:{free_port()}", api_key="k", pinned="p", patience=0
    )
    away.run()
    assert [row["id"] for row in register.errands()] == ["x"]


# How they look


@pytest.fixture(scope="module")
def pages(play) -> dict[str, Any]:
    """All pages, with something on them."""
    watch = play.open(f"{play.booking.addresses['watch']}/#{id_of(play.pages[FRENCH])}")
    watch.locator("#phone p").first.wait_for()
    book, practice = play.open(play.site.url), play.open(f"{play.site.url}/practice")
    book.locator("#slots .choice").first.wait_for()
    practice.locator("#fingerprint:not(:empty)").wait_for()
    moved = {"moved": play.pages[FRENCH], "cancelled": play.pages[HASTY], "by file": play.lilas}
    return moved | {"by passphrase": play.wasserturm, "book": book, "practice": practice, "watch": watch}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_nothing_to_mend(pages, scheme, screen):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed in tests/node or $TEST_NODE_MODULES")
    for page in pages.values():
        page.set_viewport_size(screen)
        page.emulate_media(color_scheme=scheme)
    found = {name: violations for name, page in pages.items() if (violations := axe(page))}
    assert found == {}


def axe(page: Any) -> list[str]:
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    violations = page.evaluate("() => axe.run().then(({ violations }) => violations)")
    return [f"{one['id']}: {node['html']}" for one in violations for node in one["nodes"]]


def test_no_page_is_wider_than_the_narrowest_phone(pages):
    wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for page in pages.values():
        page.set_viewport_size(NARROW)
    assert {name: page.evaluate(wide) for name, page in pages.items()} == dict.fromkeys(pages, 0)


def test_everything_can_be_done_with_the_keyboard(play):
    page = play.open(play.site.url)
    page.locator("#slots .choice").first.wait_for()
    page.focus("[name=practice]:checked")
    for keys in (
        ("Tab", "Space"),
        ("Tab", "Gladys Nightingale"),
        ("Tab", "a knee"),
        ("Tab", "06 12 34 95 99"),
        ("Enter",),
    ):
        page.keyboard.press(keys[0])
        if keys[1:] == ("Space",):
            page.keyboard.press("Space")
        elif keys[1:]:
            page.keyboard.type(keys[1])
    page.wait_for_url("**/appointment#*")
    page.locator("#when:not(:empty)").wait_for()
    page.focus("#slot")
    for key in ("Tab", "Tab", "Enter", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("Cancelled").wait_for()


# Who sees what, live


def test_the_third_page_shows_the_real_things(play):
    page = play.open(f"{play.booking.addresses['watch']}/#{id_of(play.pages[FRENCH])}")
    page.locator("#phone p").nth(1).wait_for()
    row = play.row(play.pages[FRENCH])
    assert row["card"] in page.inner_text("#database")
    assert f"PUT /api/appointments/{row['id']}" in page.inner_text("#site")
    assert "rw:{0}:a:" in page.inner_text("#store")
    assert '"event": "settled"' in page.inner_text("#worker")
    assert FRENCH.number in page.inner_text("#provider")
    assert page.locator("#phone p").all_inner_texts() == play.texts(FRENCH)


@pytest.mark.parametrize(
    ("text", "found"),
    [(FRENCH.reason, 0), (ENGLISH.name, 0), (FRENCH.typed, 1), (ENGLISH.number, 1)],
    ids=["reason", "name", "number", "number again"],
)
def test_whoever_types_it_in_there_finds_it_nowhere_else(play, text, found):
    page = play.open(play.booking.addresses["watch"])
    page.fill("#text", text)
    page.click("#searching button")
    page.locator("#found li").nth(4).wait_for()
    there = page.locator("#found li.there").all_inner_texts()
    assert [line.partition(":")[0] for line in there] == ["The SMS provider"] * found
    assert text.encode() not in play.booking.log("watch").read_bytes()  # that page keeps nothing of it


def test_what_everybody_can_find_is_found_there(play):
    page = play.open(play.booking.addresses["watch"])
    page.fill("#text", id_of(play.pages[FRENCH]))
    page.click("#searching button")
    page.locator("#found li").nth(4).wait_for()
    there = page.locator("#found li.there").all_inner_texts()
    assert [line.partition(":")[0] for line in there] == ["The platform's database", "The platform's server log"]


# What does not happen


def test_no_text_follows_a_cancel(play):
    time.sleep(max(0, play.too_late - time.monotonic()))  # by then it would have gone out
    assert play.texts(HASTY) == []
    assert len(play.texts(GERMAN)) == 1  # of before
    assert "sends nothing more" in play.pages[HASTY].inner_text("#steps")


# What came with it


def test_one_command_starts_it_and_an_interrupt_leaves_nothing_behind():
    command = [sys.executable, "-m", "examples.booking", "--port", str(free_port(2))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as started:
        lines = until(started.stdout, "Ctrl-C")
        folder = Path(re.search(r"Everything is in (\S+)\. ", lines[-1])[1])
        processes = [path for path in Path("/proc").glob("[0-9]*") if cwd_of(path).is_relative_to(folder)]
        assert len(processes) > len(REMINDERS)
        started.send_signal(signal.SIGINT)
        assert started.wait(60) == 0
    assert not folder.exists()
    deadline = time.monotonic() + 20  # the last of them are told by the kernel that their parent has ended
    while (left := [path for path in processes if path.exists()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def until(stream: Any, word: str) -> list[str]:
    lines = [stream.readline()]
    while lines[-1] and word not in lines[-1]:
        lines.append(stream.readline())
    return lines


def cwd_of(process: Path) -> Path:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return Path("/")


def test_libsodium_is_as_it_was_published():
    digests = dict(
        reversed(line.split())
        for line in re.findall(r"^[0-9a-f]{64}  \S+", (VENDOR / "README.md").read_text(), re.MULTILINE)
    )
    assert digests == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.mjs")}
    assert "Permission to use, copy, modify" in (VENDOR / "LICENSE").read_text()
