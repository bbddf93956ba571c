"""The conformance check of resolvers, and the example that passes it: what docs/contacts.md promises, looked at."""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from booking import PATH, SECRET, WORD, Booking
from clock import Clock
from scripted import Keys, Practice

from reminder_worker import sealing
from reminder_worker.contacts import http
from reminder_worker.job import State
from reminder_worker.ports import free_port
from reminder_worker.providers.outbox import Outbox
from reminder_worker.schedule import Schedule
from reminder_worker.signatures import sign
from reminder_worker.testing import resolver
from reminder_worker.testing.peer import Request, Response
from reminder_worker.testing.resolver import PROMISES, Bench, check

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "resolver.py"
PAGE = (ROOT / "docs" / "contacts.md").read_text()
PHONE, KNOWN, GONE = "+33612345678", "tok-1", "tok-2"
ALL = {promise.__name__.replace("_", " ") for promise in PROMISES}
ASKED = {name for name in ALL if not name.startswith("nothing")}  # what who signs properly is promised
REFUSED = ALL - ASKED


@pytest.fixture
def booking() -> Iterator[Booking]:
    with Booking() as running:
        running.people[KNOWN] = {"phone": PHONE, "language": "fr"}
        running.gone.add(GONE)
        yield running


def broken(booking: Booking) -> dict[str, str]:
    """Say which promises a resolver breaks, and how."""
    found = check(Bench(booking.url + PATH, SECRET, KNOWN, GONE))
    assert found.keys() == ALL
    assert not [word for word in (PHONE, KNOWN, GONE, WORD) if word in f"{found}"]
    return {promise: wrong for promise, wrong in found.items() if wrong}


# The check finds what is wrong


def test_a_good_resolver_breaks_no_promise(booking: Booking) -> None:
    assert broken(booking) == {}


def answering(booking: Booking, answer: Callable[[Request], Response]) -> None:
    booking.look = answer


def test_who_verifies_nothing_is_found(booking: Booking) -> None:
    answering(booking, lambda request: known(request.json["contact"]))
    assert broken(booking).keys() == REFUSED


def known(token: str) -> Response:
    return Response.of({"phone": PHONE}) if token == KNOWN else Response(410 if token == GONE else 404)


def test_who_looks_at_no_time_is_found(booking: Booking) -> None:
    def timeless(request: Request) -> Response:
        at = int(request.headers.get("webhook-timestamp", "0"))
        expected = sign(SECRET, request.headers.get("webhook-id", "x"), at, request.body)["webhook-signature"]
        genuine = expected in request.headers.get("webhook-signature", "")
        return known(request.json["contact"]) if genuine else Response(401)

    answering(booking, timeless)
    assert broken(booking).keys() == {"nothing is told to who kept a request", "nothing is told ahead of time"}


def test_who_compares_the_whole_header_is_found(booking: Booking) -> None:
    look = booking.look

    def whole(request: Request) -> Response | None:
        return Response(401) if " " in request.headers.get("webhook-signature", "") else look(request)

    booking.look = whole
    assert broken(booking).keys() == {"one good signature among several is enough"}


def test_who_calls_a_strangers_question_unknown_is_found(booking: Booking) -> None:
    """It would cancel reminders as soon as the secret is not the same on both sides."""
    look = booking.look

    def hides(request: Request) -> Response | None:
        answer = look(request)
        return Response(404) if answer is not None and answer.status == 401 else answer

    booking.look = hides
    assert broken(booking).keys() == REFUSED


def test_who_knows_everybody_is_found(booking: Booking) -> None:
    look = booking.look

    def generous(request: Request) -> Response | None:
        answer = look(request)
        return Response.of({"phone": PHONE}) if answer is not None and answer.status in {404, 410} else answer

    booking.look = generous
    assert broken(booking).keys() == {"a contact that was revoked is gone", "a contact that never was is gone"}


ODD = {
    "redirects": (Response.of({}, 308, Location="https://booking.example/"), "redirects are not followed"),
    "says too much": (Response(200, b'{"phone": "+33612345678"}'.ljust(1025)), "longer than 1024 bytes"),
    "says no content": (Response(204), "204"),
    "fails": (Response(500), "500"),
    "says no number": (Response.of({"phone": None}), "one JSON object"),
    "says it twice": (Response(200, b'{"phone": "+33612345678", "phone": "+33612345679"}'), "one JSON object"),
    "says a number without a country": (Response.of({"phone": "0612345678"}), "number_invalid"),
    "says a language of its own": (Response.of({"phone": PHONE, "language": "fr_FR"}), "language"),
}


@pytest.mark.parametrize(("response", "words"), ODD.values(), ids=ODD)
def test_who_answers_oddly_is_found(booking: Booking, response: Response, words: str) -> None:
    booking.respond(response)
    found = broken(booking)
    assert found.keys() == {"a known contact has a number"}
    assert words in found["a known contact has a number"]


def test_who_is_slow_is_found(booking: Booking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DEADLINE", 1.0)
    look = booking.look

    def slowly(request: Request) -> Response | None:
        booking.look = look
        booking.closing.wait(1.2)
        return look(request)

    booking.look = slowly
    assert broken(booking) == {"a known contact has a number": "it took longer than 1 seconds"}


@pytest.mark.parametrize(("fault", "words"), [("hang_before_accepting", "whole answer"), ("truncate", "whole answer")])
def test_who_says_nothing_or_half_of_it_is_found(
    booking: Booking, monkeypatch: pytest.MonkeyPatch, fault: str, words: str
) -> None:
    monkeypatch.setattr(resolver, "PATIENCE", 0.3)
    booking.answer = lambda *_: Response.of({"phone": PHONE})
    getattr(booking, fault)()
    assert words in broken(booking)["a known contact has a number"]


def test_of_who_is_not_there_it_is_said_once() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        found = check(Bench(f"http://127.0.0.1:{reserved.getsockname()[1]}", SECRET, KNOWN, GONE))
    assert list(found.values()) == [resolver.UNHEARD]
    assert "there was no connection" in resolver.UNHEARD


def test_what_is_known_of_people_is_not_shown() -> None:
    assert f"{Bench('https://booking.example', SECRET, KNOWN, GONE)}".count("tok-") == 0


# As a command


def command(booking: Booking, folder: Path, *rest: str) -> subprocess.CompletedProcess[str]:
    file = folder / "secret"
    file.write_text(WORD)
    line = [sys.executable, "-m", "reminder_worker.testing.resolver", booking.url + PATH, str(file), *rest]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_command_says_what_is_kept_and_what_is_not(booking: Booking, tmp_path: Path) -> None:
    done = command(booking, tmp_path, "--known", KNOWN, "--gone", GONE)
    assert (done.returncode, done.stdout.count("kept    "), done.stderr) == (0, len(ALL), "")
    done = command(booking, tmp_path, "--known", "tok-3", "--gone", GONE)
    assert done.returncode == 1
    assert "BROKEN  a known contact has a number: it answered 404 in place of 200" in done.stdout
    assert "tok-3" not in done.stdout


def test_the_command_wants_a_secret_that_it_can_read_and_does_not_show_it(booking: Booking, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    line = ["resolver", booking.url, str(tmp_path / "secret"), "--known", KNOWN, "--gone", GONE]
    done = subprocess.run(
        [sys.executable, "-m", f"reminder_worker.testing.{line[0]}", *line[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "must be a readable file" in done.stderr
    assert "Traceback" not in done.stderr


# The example


# The example, with what a proxy in front of it would do.
PROXY = """
import runpy, ssl, sys
from wsgiref import simple_server
plain = simple_server.make_server
def over_tls(*given, **more):
    server, tls = plain(*given, **more), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    return server
simple_server.make_server = over_tls
example, certificate = sys.argv[1:3]
sys.argv[:] = [example, *sys.argv[3:]]
runpy.run_path(example, run_name="__main__")
"""


@contextlib.contextmanager
def running(folder: Path, *certificate: str) -> Iterator[int]:
    """Run the example as its own process; yield its port."""
    port = free_port()
    file = folder / "secret"
    file.write_text(f"{WORD}\n")
    start = ["-c", PROXY, str(EXAMPLE), *certificate] if certificate else [str(EXAMPLE)]
    process = subprocess.Popen(
        [sys.executable, *start, str(file), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        said, _ = process.communicate()
    assert said == b"", "it logs nothing"


def test_the_example_passes_the_check_and_logs_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as port:
        found = check(Bench(f"http://127.0.0.1:{port}/contacts", SECRET, KNOWN, GONE))
    assert found.keys() == ALL
    assert not any(found.values())


def test_the_example_is_short() -> None:
    _, _, program = EXAMPLE.read_text().partition('proxy that speaks TLS\n"""\n')
    assert 0 < len([line for line in program.splitlines() if line.strip()]) <= 30


def test_a_reminder_is_really_sent_to_whom_the_example_names_over_tls(
    schedule: Schedule, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    keys = Keys.make(tmp_path / "keys")
    outbox = tmp_path / "outbox.jsonl"
    with running(tmp_path, str(tmp_path / "server.pem")) as port:
        table: dict[str, Any] = {
            "resolver_url": f"https://127.0.0.1:{port}/contacts",
            "resolver_secret_file": tmp_path / "secret",
            "resolver_private": True,
        }
        practice = Practice(schedule, clock, keys, Outbox("outbox", {"path": str(outbox)}), platform=table)
        for number, token in enumerate((KNOWN, GONE, "tok-3")):
            pointer = sealing.seal_pointer(keys.public, "clinic", f"contact:{token}", "de")
            text = sealing.pointer_to_text(pointer)
            practice.add(reference=f"A-{number}", phone=None, language=None, pointer=text)
        practice.work()
    states = [practice.show(reference=f"A-{number}").state for number in range(3)]
    assert states == [State.SENT, State.CANCELLED, State.CANCELLED]
    sent = outbox.read_text()
    assert sent.count(PHONE) == 1
    assert "Rappel" in sent  # the language that was answered, not the pointer's


# The page


def test_the_vector_of_the_page_is_what_is_signed() -> None:
    body = b'{"contact":"tok-1"}'
    headers = sign(SECRET, "msg_2Zxy-9", 1_806_566_400, body)
    assert all(f"`{words}`" in PAGE for words in [*headers.values(), body.decode(), WORD])


def test_the_page_names_every_promise_and_every_limit() -> None:
    assert not [promise for promise in ALL if promise not in PAGE.lower()]
    for words in (f"{http.DEADLINE:.0f} seconds", f"{http.ANSWER_LIMIT} bytes", "five minutes"):
        assert words in PAGE


def test_the_curl_of_the_page_asks_as_a_worker_does(tmp_path: Path) -> None:
    """Run the page's own words against the example."""
    if missing := [name for name in ("bash", "curl", "openssl") if shutil.which(name) is None]:
        pytest.skip(f"not installed: {missing}")
    block = re.search(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    with running(tmp_path) as port:
        script = block[1].replace("https://booking.example/contacts", f"http://127.0.0.1:{port}/contacts")
        script = script.replace("secrets/resolver", str(tmp_path / "secret"))
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=False)
    assert '"phone": "+33612345678"' in done.stdout, done.stderr
