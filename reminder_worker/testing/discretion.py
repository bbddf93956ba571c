"""What a provider never shows and never keeps."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from reminder_worker.errors import SettingsError
from reminder_worker.providers import Provider, Role
from reminder_worker.testing.case import Case
from reminder_worker.testing.peer import Handler, Peer, Request, Response
from reminder_worker.testing.promises import BODY, NUMBER, REFERENCE, failure, leaks, secrets, send, strings
from reminder_worker.testing.reports import REPLIES


def _repeat(status: int, handler: Handler, request: Request) -> None:
    handler.reply(Response(status, f"{NUMBER} {BODY} {request.words}".encode()))


class Discretion(Case):
    """Promises about logs, output, memory and secrets."""

    @pytest.fixture(autouse=True)
    def _nothing_leaks(self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
        """Look through everything logged or printed during a promise, whatever happened to the provider."""
        caplog.set_level(logging.DEBUG)
        yield
        records = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
        logged = " ".join(f"{record.getMessage()} {vars(record)}" for record in records)
        shown = " ".join([logged, *capfd.readouterr()])
        assert not leaks(shown)
        assert REFERENCE not in shown

    def test_nothing_is_logged_of_a_text(
        self, provider: Provider, peer: Peer, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        caplog.set_level(logging.DEBUG)
        send(provider)
        for response, _ in self.refusals.values():
            peer.respond(response)
            failure(provider)
        shown = " ".join([caplog.text, *(str(vars(record)) for record in caplog.records)])
        assert not leaks(shown)
        assert not [secret for secret in secrets(tmp_path) if secret in shown]

    def test_nothing_is_kept_of_a_text(self, provider: Provider, peer: Peer) -> None:
        send(provider)
        for response, _ in list(self.refusals.values())[:1]:
            peer.respond(response)
            failure(provider)
        for heard in (peer.requests, peer.accepted):
            heard.clear()
        assert not leaks(" ".join(strings(provider, set())))

    def test_a_secret_is_in_no_repr(self, provider: Provider, tmp_path: Path) -> None:
        held = vars(provider).values() if hasattr(provider, "__dict__") else ()
        shown = f"{provider!r} {' '.join(repr(part) for part in held if not isinstance(part, str))}"
        assert not [secret for secret in secrets(tmp_path) if secret in shown]

    def test_a_missing_secret_is_named(self, tmp_path: Path) -> None:
        table = self.table("http://127.0.0.1:1", tmp_path)
        files = [name for name, value in table.items() if name.endswith("_file") and Path(str(value)).is_file()]
        if not files:
            pytest.skip("this provider has no secret")
        for name in files:
            (tmp_path / "other").write_text("two words")
            with pytest.raises(SettingsError, match=rf"providers\.acme\.{name}: ") as caught:
                self._load_all(tmp_path, **{name: str(tmp_path / "other")})
            assert caught.value.__context__ is None

    def test_an_answer_that_repeats_the_text_is_shown_to_nobody(self, provider: Provider, peer: Peer) -> None:
        if not self.speaks_http:
            pytest.skip("this provider does not speak HTTP")
        for status in (200, 202, 400, 401, 500):
            peer.plan(partial(_repeat, status))
            failure(provider)  # and the fixture above looks at what was logged
        peer.requests.clear()
        assert not leaks(" ".join(strings(provider, set())))

    def test_nothing_is_kept_of_a_reply(self, hearer: Provider) -> None:
        if not self.hears_replies:
            pytest.skip("this provider brings no replies")
        hearer.parse_reply(self.reply(REPLIES, NUMBER, BODY))
        assert not leaks(" ".join(strings(hearer, set())))

    def test_nothing_personal_stands_in_a_url(self, provider: Provider, peer: Peer) -> None:
        if not self.speaks_http or self.text_in_url:
            pytest.skip("this provider takes nothing else, or does not speak HTTP")
        send(provider)
        assert not leaks(" ".join([peer.requests[0].path, *peer.requests[0].query.values()]))

    def _load_all(self, folder: Path, **changes: str) -> None:
        for role in Role:
            for _ in self.build("http://127.0.0.1:1", folder, role, **changes):
                pass
