"""How a provider treats a connection that fails: certainly not sent, or in doubt, and never late."""

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from reminder_worker.errors import Ambiguous, Misconfigured, NotSent
from reminder_worker.providers import Provider, Role
from reminder_worker.testing.case import Case
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.testing.promises import failure, send, text

SPAN = 0.5  # seconds that a call gets
LATE = 1.5  # seconds that a call may be late on a busy machine
DOUBTS: dict[str, Callable[[Peer], None]] = {
    "hangs before accepting": Peer.hang_before_accepting,
    "hangs after accepting": Peer.hang_after_accepting,
    "drips": Peer.drip,
    "drips from the first byte": lambda peer: peer.drip(head=True),
    "resets in the middle": Peer.reset_mid_reply,
    "closes without a word": Peer.cut,
    "closes before the last byte": Peer.truncate,
    "fails after accepting": lambda peer: peer.respond(Response.of({"code": 1}, 500), accept=True),
    "is overloaded": lambda peer: peer.respond(Response.of({"code": 1}, 503), accept=True),
}
UNREADABLE = {
    "empty": b"",
    "HTML": b"<html>ok</html>",
    "an empty object": b"{}",
    "a list": b"[]",
    "null": b"null",
    "not UTF-8": b"\xff\xfe",
    "deep": b"[" * 60_000,
    "10 MB": b"x" * 10_000_000,
}


class Faults(Case):
    """Promises about connections, over real sockets."""

    @pytest.fixture(autouse=True)
    def _only_http(self, request: pytest.FixtureRequest) -> None:
        if request.function.__qualname__.startswith("Faults.") and not self.speaks_http:
            pytest.skip("this provider does not speak HTTP")

    @pytest.mark.parametrize("fault", DOUBTS)
    def test_what_may_have_left_is_in_doubt(self, provider: Provider, peer: Peer, fault: str) -> None:
        DOUBTS[fault](peer)
        began = time.monotonic()
        assert type(failure(provider, seconds=SPAN)) is Ambiguous
        assert time.monotonic() - began < SPAN + LATE
        assert len(peer.requests) == 1, "a text in doubt is not sent again"
        assert send(provider, text(reference="x" * 39)).segments == 1, "the next text is not disturbed"

    @pytest.mark.parametrize("body", UNREADABLE)
    @pytest.mark.parametrize("status", [200, 202])
    def test_an_acceptance_that_cannot_be_read_is_in_doubt(
        self, provider: Provider, peer: Peer, body: str, status: int
    ) -> None:
        peer.respond(Response(status, UNREADABLE[body]), accept=True)
        assert type(failure(provider)) is Ambiguous
        assert len(peer.requests) == 1

    @pytest.mark.parametrize("body", UNREADABLE)
    def test_a_refusal_that_cannot_be_read_is_in_doubt(self, provider: Provider, peer: Peer, body: str) -> None:
        peer.respond(Response(400, UNREADABLE[body]))
        assert type(failure(provider)) is Ambiguous

    def test_a_server_s_error_is_in_doubt_whatever_it_says(self, provider: Provider, peer: Peer) -> None:
        for response, _ in self.refusals.values():
            peer.respond(replace(response, status=500))
            assert type(failure(provider)) is Ambiguous
        peer.answer = lambda request, number: replace(self.yes(request, number), status=500)
        assert type(failure(provider)) is Ambiguous

    def test_a_text_arrives_as_it_is(self, provider: Provider, peer: Peer) -> None:
        body = "Ünï 👍 & = + % 50 " + "long " * 60 + "end"
        send(provider, text(body=body, segments=6))
        assert body in peer.accepted[0].words

    def test_an_acceptance_cut_short_is_in_doubt(self, provider: Provider, peer: Peer) -> None:
        if not self.shows_its_end:
            pytest.skip("this provider's answer does not show that it was cut")

        def cut(request: Request, number: int) -> Response:
            whole = self.yes(request, number)
            return replace(whole, body=whole.body[: len(whole.body) // 2])

        peer.answer = cut
        assert type(failure(provider)) is Ambiguous

    @pytest.mark.parametrize("status", [301, 307, 308])
    def test_a_redirect_is_not_followed(self, provider: Provider, peer: Peer, status: int) -> None:
        peer.respond(Response(status, b"", {"Location": f"{peer.url}/elsewhere"}))
        assert type(failure(provider)) in {Misconfigured, Ambiguous}
        assert len(peer.requests) == 1

    @pytest.mark.parametrize("status", [302, 303])
    def test_a_redirect_to_what_came_of_a_call_is_in_doubt(self, provider: Provider, peer: Peer, status: int) -> None:
        peer.respond(Response(status, b"", {"Location": f"{peer.url}/result"}), accept=True)
        assert type(failure(provider)) is Ambiguous
        assert len(peer.requests) == 1

    def test_the_time_out_of_the_settings_ends_a_call_before_the_deadline(self, peer: Peer, tmp_path: Path) -> None:
        for provider in self.build(peer.url, tmp_path, Role.SEND, timeout=SPAN):
            peer.hang_after_accepting()
            began = time.monotonic()
            assert type(failure(provider, seconds=60)) is Ambiguous
            assert time.monotonic() - began < SPAN + LATE

    def test_a_deadline_that_has_passed_sends_nothing(self, provider: Provider, peer: Peer) -> None:
        assert type(failure(provider, seconds=-1)) is NotSent
        assert not peer.requests

    def test_a_refused_connection_is_not_sent(self, tmp_path: Path) -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            self._is_not_sent(f"http://127.0.0.1:{reserved.getsockname()[1]}", tmp_path)

    def test_an_unknown_host_is_not_sent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        self._is_not_sent("https://api.acme.example", tmp_path)

    @pytest.mark.parametrize("fault", ["expired", "self-signed"])
    def test_a_certificate_that_proves_nothing_is_not_sent(
        self, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours, other = trustme.CA(), trustme.CA()
        ours.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        over = datetime(2020, 1, 1, tzinfo=UTC) if fault == "expired" else None
        certificate = (ours if fault == "expired" else other).issue_cert("127.0.0.1", not_after=over)
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
        with Peer(certificate=tmp_path / "server.pem") as peer:
            self._is_not_sent(peer.url, tmp_path / "secrets")
            assert not peer.requests

    def test_a_stalled_handshake_is_not_sent(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self._is_not_sent(f"https://127.0.0.1:{silent.getsockname()[1]}", tmp_path)

    def _is_not_sent(self, url: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for provider in self.build(url, folder, Role.SEND):
            began = time.monotonic()
            assert type(failure(provider, seconds=SPAN)) is NotSent
            assert time.monotonic() - began < SPAN + LATE
