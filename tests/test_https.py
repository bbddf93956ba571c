"""The transport under the HTTP providers: deadlines, TLS, connections. Answers are tested with the providers."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fake_twilio import ACCOUNT, TOKEN, FakeTwilio, _basic

from reminder_worker import https, sockets
from reminder_worker.errors import Ambiguous, NotSent, Reason
from reminder_worker.https import Answer, Site, check_url
from reminder_worker.testing.peer import Response

PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
LATE = 2.5  # seconds by which something may be late on a busy machine
FORM = urlencode({"To": "+33612345678", "Body": "Rappel", "From": "+15005550006"}).encode()
HEADERS = {"Authorization": _basic(ACCOUNT, TOKEN), "Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def server() -> Iterator[FakeTwilio]:
    with FakeTwilio() as fake:
        yield fake


@pytest.fixture
def site(server: FakeTwilio) -> Iterator[Site]:
    site = Site(server.url)
    yield site
    site.close()


def post(site: Site, seconds: float = 30.0, body: bytes = FORM) -> Answer:
    return site.call("POST", PATH, headers=HEADERS, body=body, deadline=time.monotonic() + seconds)


def test_threads_share_connections(server: FakeTwilio, site: Site) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: post(site), range(32)))
    assert {answer.status for answer in answers} == {201}
    assert len(server.requests) == 32
    assert server.connections <= 8


def test_one_thread_uses_one_connection(server: FakeTwilio, site: Site) -> None:
    for _ in range(5):
        post(site)
    assert server.connections == 1


def test_a_request_leaves_in_one_piece_and_is_not_kept(
    server: FakeTwilio, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []

    def sendall(line: socket.socket, data: bytes) -> None:
        pieces.append(data)
        line.send(data)

    monkeypatch.setattr(sockets.Socket, "sendall", sendall)
    assert post(site).status == 201
    (piece,) = pieces
    assert piece.startswith(b"POST ")
    assert piece.endswith(b"\r\n\r\n" + FORM)
    (idle,) = site._idle
    assert FORM not in b"".join(value for value in vars(idle).values() if isinstance(value, bytes))


def test_a_connection_that_was_closed_while_idle_is_not_used_again(server: FakeTwilio, site: Site) -> None:
    post(site)
    server.hang_up_idle()
    assert post(site).status == 201
    assert server.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    server: FakeTwilio, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(site)
    monkeypatch.setattr(https, "IDLE_LIMIT", 0.0)
    post(site)
    assert server.connections == 2


def test_a_connection_is_not_used_again_after_a_failure(server: FakeTwilio, site: Site) -> None:
    server.truncate()
    with pytest.raises(Ambiguous):
        post(site)
    assert post(site).status == 201
    assert server.connections == 2


@pytest.mark.parametrize("head", [False, True])
def test_a_dripping_answer_does_not_extend_the_deadline(server: FakeTwilio, site: Site, *, head: bool) -> None:
    server.drip(every=0.05, head=head)
    begin = time.monotonic()
    with pytest.raises(Ambiguous):
        post(site, 0.8)
    assert 0.3 < time.monotonic() - begin < 0.8 + LATE


def test_an_answer_that_drips_in_time_is_read(server: FakeTwilio, site: Site) -> None:
    server.drip(every=0.0001)
    assert post(site).status == 201


def test_a_connection_that_is_used_again_waits_until_the_later_deadline() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}")
        first = thread.submit(site.call, "GET", "/", headers={}, deadline=time.monotonic() + 1)
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)
            assert first.result().status == 200
            second = thread.submit(site.call, "GET", "/", headers={}, deadline=time.monotonic() + 20)
            connection.recv(1000)
            time.sleep(1.5)
            connection.sendall(answer)
            assert second.result().status == 200
        site.close()


def test_a_deadline_that_has_passed_sends_nothing(server: FakeTwilio, site: Site) -> None:
    with pytest.raises(NotSent):
        post(site, -1.0)
    post(site)
    with pytest.raises(NotSent):  # also where a connection is at hand
        post(site, -1.0)
    assert len(server.requests) == 1


def test_a_slow_name_server_cannot_make_a_request_leave_late(
    server: FakeTwilio, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def slowly(*arguments: object, **more: object) -> object:
        time.sleep(0.1)
        return look_up(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    with pytest.raises(NotSent):
        post(site, 0.05)
    assert server.connections == 0


def test_a_refused_connection_is_not_sent() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        site = Site(f"http://127.0.0.1:{reserved.getsockname()[1]}")
        with pytest.raises(NotSent):
            post(site)


def test_an_unknown_host_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(NotSent):
        post(Site("https://api.example.invalid"))


def test_the_next_address_is_tried_where_the_first_is_silent(
    server: FakeTwilio, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, port, **more: look_up(*full.getsockname(), **more) + look_up(host, port, **more),
        )
        assert post(site, 3.0).status == 201


def test_a_silent_address_is_not_sent_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        begin = time.monotonic()
        with pytest.raises(NotSent):
            post(Site(f"http://127.0.0.1:{full.getsockname()[1]}"), 0.3)
        assert time.monotonic() - begin < 0.3 + LATE


def test_a_stalled_handshake_is_not_sent_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        with pytest.raises(NotSent):
            post(Site(f"https://127.0.0.1:{silent.getsockname()[1]}"), 0.3)
        assert time.monotonic() - begin < 0.3 + LATE


def test_a_server_that_takes_nothing_in_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}")
        first = thread.submit(site.call, "GET", "/", headers={}, deadline=time.monotonic() + 20)
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert first.result().status == 200
            begin = time.monotonic()
            with pytest.raises(Ambiguous):  # on the connection that is open already
                site.call("POST", "/", headers={}, body=b"x" * 50_000_000, deadline=begin + 1.0)
            assert time.monotonic() - begin < 1.0 + LATE


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", PATH, {"X": "a\r\nHost: b"}),
        ("POST", PATH, {"X": "a\nb"}),
        ("POST", PATH, {"X": "a\0"}),
        ("POST", PATH, {"X": "\u2026"}),
        ("POST", PATH, {"X\r\nHost": "b"}),
        ("POST", PATH, {"X:Y": "b"}),
        ("POST", PATH, {"X Y": "b"}),
        ("POST", PATH, {"": "b"}),
        ("POST", f"{PATH} HTTP/1.1\r\nX:", {}),
        ("POST", f"{PATH}?a b", {}),
        ("POST", f"{PATH}?\xe9", {}),
        ("PO ST", PATH, {}),
        ("", PATH, {}),
    ],
)
def test_what_would_split_the_request_or_is_none_is_not_sent(
    server: FakeTwilio, site: Site, method: str, path: str, headers: dict[str, str]
) -> None:
    with pytest.raises(NotSent):
        site.call(method, path, headers=headers, deadline=time.monotonic() + 20)
    assert len(server.requests) == 0


def test_an_answer_over_the_limit_is_not_read(server: FakeTwilio, site: Site) -> None:
    server.respond(Response(201, b"x" * https.ANSWER_LIMIT))
    assert len(post(site).body) == https.ANSWER_LIMIT
    server.respond(Response(201, b"x" * (https.ANSWER_LIMIT + 1)))
    with pytest.raises(Ambiguous):
        post(site)


def test_an_answer_without_an_end_is_left_at_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}")
        call = thread.submit(site.call, "GET", "/", headers={}, deadline=time.monotonic() + 20)
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            begin = time.monotonic()
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (https.ANSWER_LIMIT + 1))
            assert isinstance(call.exception(), Ambiguous)
            assert time.monotonic() - begin < 4


def test_proxies_of_the_environment_are_not_used(
    server: FakeTwilio, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(site).status == 201


def test_an_abandoned_site_closes_its_connections(server: FakeTwilio) -> None:
    site = Site(server.url)
    post(site)
    connection = site._idle[0]
    del site
    assert connection.line is None


def test_a_closed_site_keeps_no_connection(server: FakeTwilio, site: Site) -> None:
    site.close()
    assert post(site).status == 201
    assert not site._idle


# TLS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Self-signed certificates with their keys: for this server, and for another name."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    return {name: _certificate(folder / name, name) for name in ("IP:127.0.0.1", "DNS:other.example")}


def _certificate(file: Path, name: str) -> Path:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test"
    options = ["-addext", f"subjectAltName={name}", "-keyout", f"{file}.key", "-out", f"{file}.crt"]
    subprocess.run([*command.split(), *options], check=True, capture_output=True)
    file.write_text(Path(f"{file}.key").read_text() + Path(f"{file}.crt").read_text())
    return file


def test_tls_connections_are_verified_and_shared(
    certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificates['IP:127.0.0.1']}.crt")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with FakeTwilio(certificate=certificates["IP:127.0.0.1"]) as server:
        site = Site(server.url)
        assert [post(site).status for _ in range(3)] == [201, 201, 201]
        assert server.connections == 1
        site.close()
    assert not (tmp_path / "keys").exists()


def test_all_of_it_leaves_over_tls_however_little_a_line_takes_at_once(
    certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificates['IP:127.0.0.1']}.crt")
    bodies = [FORM, FORM.replace(b"Rappel", b"Rappel" * 700_000), FORM]
    with FakeTwilio(certificate=certificates["IP:127.0.0.1"]) as server:
        site = Site(server.url, answer_limit=2**24)
        assert [post(site, body=body).status for body in bodies] == [201, 201, 201]
        assert [request.body for request in server.requests] == bodies
        assert server.connections == 1


def test_over_tls_too_nothing_is_waited_for_between_the_clock_and_the_bytes(
    certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a socket with a time-out, Python's own ``send`` waits for its thread's turn once more."""
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificates['IP:127.0.0.1']}.crt")
    seen: list[float | None] = []
    send = ssl.SSLSocket.send

    def seeing(line: ssl.SSLSocket, *args: Any) -> int:
        if isinstance(line, sockets.TLSSocket):  # and not the server's
            seen.append(line.gettimeout())
        return send(line, *args)

    monkeypatch.setattr(ssl.SSLSocket, "send", seeing)
    with FakeTwilio(certificate=certificates["IP:127.0.0.1"]) as server:
        site = Site(server.url)
        assert [post(site).status for _ in range(2)] == [201, 201]
        (connection,) = site._idle
        connection.line.deadline = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.line.sendall(b"late")
        assert seen == [0.0, 0.0]
        site.close()


@pytest.mark.parametrize("head", [False, True])
def test_a_dripping_answer_does_not_extend_the_deadline_over_tls(
    certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch, *, head: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificates['IP:127.0.0.1']}.crt")
    with FakeTwilio(certificate=certificates["IP:127.0.0.1"]) as server:
        server.drip(every=0.05, head=head)
        begin = time.monotonic()
        with pytest.raises(Ambiguous):
            post(Site(server.url), 0.8)
        assert 0.3 < time.monotonic() - begin < 0.8 + LATE


@pytest.mark.parametrize(
    ("shown", "trusted"),
    [("IP:127.0.0.1", "DNS:other.example"), ("DNS:other.example", "DNS:other.example")],
    ids=["unknown authority", "wrong host"],
)
def test_a_certificate_that_is_not_the_servers_is_not_sent(
    certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch, shown: str, trusted: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificates[trusted]}.crt")
    with FakeTwilio(certificate=certificates[shown]) as server:
        with pytest.raises(NotSent):
            post(Site(server.url))
        assert len(server.requests) == 0


def test_tls_before_1_2_is_refused() -> None:
    context = Site("https://api.example.com")._tls
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


# Where a name of somebody else's may lead

PUBLIC, OURS = "203.1.112.7", "127.0.0.1"


def look_up(*answers: list[str]) -> Callable[..., list[Any]]:
    """Stand in for the name server: one answer after the other, the last one again and again."""
    rest = list(answers)

    def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        addresses = rest.pop(0) if len(rest) > 1 else rest[0]
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in zip(families, addresses, strict=True)
        ]

    return getaddrinfo


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which addresses were connected to; nobody is there."""
    found: list[str] = []

    def connect(_: object, address: tuple[str, int]) -> None:
        found.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(sockets.Socket, "connect", connect)
    return found


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.1.1",
        "::1",
        "fd00::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_a_name_that_leads_into_our_own_network_is_not_connected_to(
    dialled: list[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", look_up([address]))
    with pytest.raises(NotSent) as caught:
        post(Site("https://booking.example", public_only=True))
    assert (caught.value.reason, caught.value.left, dialled) == (Reason.ADDRESS_PRIVATE, False, [])
    assert address not in str(caught.value)


def test_an_address_in_place_of_a_name_is_looked_at_as_well(dialled: list[str]) -> None:
    with pytest.raises(NotSent) as caught:
        post(Site("https://10.0.0.1", public_only=True))
    assert (caught.value.reason, dialled) == (Reason.ADDRESS_PRIVATE, [])


def test_of_several_addresses_only_public_ones_are_connected_to(
    dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", look_up([OURS, PUBLIC, "::1", "2606:4700::1"]))
    with pytest.raises(NotSent) as caught:
        post(Site("https://booking.example", public_only=True))
    assert (caught.value.reason, dialled) == (Reason.NOT_SENT, [PUBLIC, "2606:4700::1"])


def test_a_name_that_is_bound_anew_after_the_check_leads_nowhere_else(
    dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", look_up([PUBLIC], [OURS]))
    site = Site("https://booking.example", public_only=True)
    for _ in range(3):
        with pytest.raises(NotSent):
            post(site)
    assert dialled == [PUBLIC]


def test_where_it_is_not_forbidden_our_own_network_is_reached(
    dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", look_up([OURS]))
    with pytest.raises(NotSent):
        post(Site("https://api.example.com"))
    assert dialled == [OURS]


def test_an_answer_has_the_limit_that_was_asked_for(server: FakeTwilio) -> None:
    site = Site(server.url, answer_limit=10)
    server.respond(Response(200, b"x" * 10))
    assert post(site).body == b"x" * 10
    server.respond(Response(200, b"x" * 11))
    with pytest.raises(Ambiguous):
        post(site)


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com",
        "ftp://api.example.com",
        "http://api.example.com",
        "http://127.0.0.1.example.com",
        "https://user:pass@api.example.com",
        "https://api.example.com?query",
        "https://api.example.com#part",
        "https://",
        "https://api.example.com:0",
        "https://api.example.com:99999",
        "https://api.exämple.com",
        "https://api.example.com/a b",
    ],
)
def test_a_url_that_others_could_read_or_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_url(url)
    assert "example" not in str(caught.value) or "https://api.example.com" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:p4ssw0rd/x@api.example",  # the password is where a port would be
        "https://user:p4ssw0rd\u2100@api.example",
        "https://p4ssw0rd[@api.example",
        "https://[p4ssw0rd]/x",
    ],
)
def test_a_url_that_cannot_be_taken_apart_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_url(url)
    shown = "".join(traceback.format_exception_only(caught.value))
    assert shown == "ValueError: must be a URL such as https://api.example.com\n"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url", ["https://api.twilio.com", "https://api.example.com:8443/twilio", "http://127.0.0.1:1", "http://[::1]:80"]
)
def test_a_good_url_is_accepted(url: str) -> None:
    assert check_url(url + "/") == url


def test_no_thread_is_left_behind(server: FakeTwilio, site: Site) -> None:
    before = threading.active_count()
    post(site)
    assert threading.active_count() <= before + 1  # the server's, for its connection
