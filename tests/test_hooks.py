"""The process that providers call, over real sockets: what it believes, what it says, what it keeps."""

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import urlencode

import fake_twilio
import pytest
from fake_twilio import TOKEN
from twilio.request_validator import RequestValidator
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from reminder_worker import hooks, keys, metrics, providers, store, words
from reminder_worker.connection import PATIENCE
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import NotSent, Reason, SettingsError, StoreUnavailable
from reminder_worker.hooks import BODY_LIMIT, Hooks
from reminder_worker.inbox import Inbox
from reminder_worker.job import State
from reminder_worker.ledger import Claim, Entry
from reminder_worker.ports import free_port
from reminder_worker.providers import Receipt, Role
from reminder_worker.receipts import new_reference
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys
from reminder_worker.settings import Settings
from reminder_worker.testing.outcomes import serving
from reminder_worker.webhooks import WebhookRequest

PUBLIC = "https://hooks.example/sms"
PHONE = "+33612340015"
ID = bytes(range(16))


class Served:
    """A hooks process in this one, with one attempt that waits for its receipt."""

    def __init__(self, schedule: Schedule, port: int) -> None:
        self.schedule, self.port = schedule, port
        schedule.add([Entry(ID, bytes(12), b"sealed", (datetime.now(UTC) - timedelta(seconds=1),))])
        claim = schedule.claim(schedule.take(0, capacity=10).wakes[0])
        assert isinstance(claim, Claim)
        self.reference = new_reference(claim.wake)
        schedule.intend(claim, "twilio", self.reference, lease=timedelta(minutes=1))

    def state(self) -> State:
        return self.schedule.show(ID)[0].state

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None
        finally:
            connection.close()

    def receipt(self, status: str = "delivered", *, signed_for: str | None = None, **headers: str) -> tuple[int, Any]:
        path = f"/v1/receipts/twilio/{self.reference}"
        form = {"MessageSid": "SM" + "0" * 32, "MessageStatus": status, "To": PHONE}
        signature = RequestValidator(TOKEN).compute_signature(signed_for or PUBLIC + path, form)
        return self.ask("POST", path, urlencode(form).encode(), X_Twilio_Signature=signature, **headers)

    def stop(self) -> tuple[int, Any]:
        form = {"MessageSid": "SM" + "1" * 32, "From": PHONE, "To": "+15005550006", "Body": "STOP"}
        signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/v1/replies/twilio", form)
        return self.ask("POST", "/v1/replies/twilio", urlencode(form).encode(), X_Twilio_Signature=signature)


@pytest.fixture
def schedule(client: store.Client) -> Schedule:
    return Schedule(client)


@pytest.fixture
def application(schedule: Schedule, tmp_path: Path) -> Hooks:
    keys.new_worker(tmp_path / "keys", datetime.now(UTC))
    (tmp_path / "token").write_text(TOKEN)
    table = {"account_sid": fake_twilio.ACCOUNT, "auth_token_file": str(tmp_path / "token"), "from": "+15005550006"}
    twilio = providers.load("twilio", table | {"callback_url": PUBLIC}, Role.HEAR)
    inbox = Inbox(schedule, lambda: PublicKeys.load(tmp_path / "keys" / "worker.pub.json"))
    return Hooks(schedule, inbox, {"twilio": twilio}, {"twilio": PUBLIC})


@pytest.fixture
def served(schedule: Schedule, application: Hooks) -> Iterator[Served]:
    with serving(application.app()) as port:
        yield Served(schedule, port)


def test_a_genuine_receipt_is_written_down(served: Served) -> None:
    assert served.receipt() == (200, None)
    assert served.state() is State.DELIVERED


def test_a_signature_counts_for_the_public_url_whatever_proxies_say(served: Served) -> None:
    path = f"/v1/receipts/twilio/{served.reference}"
    here = f"http://127.0.0.1:{served.port}{path}"
    forwarded = {"X_Forwarded_Host": f"127.0.0.1:{served.port}", "X_Forwarded_Proto": "http", "Host": "127.0.0.1"}
    status, document = served.receipt(signed_for=here, **forwarded)
    assert (status, document["type"]) == (403, "urn:reminder-worker:signature_invalid")
    assert served.state() is State.SENDING
    assert served.receipt(**forwarded)[0] == 200


def test_a_forged_receipt_is_told_so_without_a_word_of_it(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = urlencode({"MessageSid": "SM" + "0" * 32, "MessageStatus": "delivered", "To": PHONE}).encode()
    status, document = served.ask("POST", f"/v1/receipts/twilio/{served.reference}", body, X_Twilio_Signature="AAAA")
    assert status == 403
    assert document == {
        "type": "urn:reminder-worker:signature_invalid",
        "title": "signature_invalid",
        "status": 403,
        "detail": "signature: is not the provider's",
    }
    shown = caplog.text + " ".join(str(vars(record)) for record in caplog.records)
    assert not [secret for secret in (PHONE, PHONE[1:], served.reference, TOKEN) if secret in shown]
    assert served.state() is State.SENDING


def test_a_forged_receipt_is_counted(served: Served) -> None:
    metrics.know_providers(["twilio"])
    labels = {"provider": "twilio", "reason": "signature_invalid"}
    before = metrics.REGISTRY.get_sample_value("reminder_webhooks_refused_total", labels) or 0
    served.receipt(signed_for="https://elsewhere.example")
    assert metrics.REGISTRY.get_sample_value("reminder_webhooks_refused_total", labels) == before + 1


def test_a_receipt_of_an_attempt_that_nobody_made_is_answered_and_changes_nothing(served: Served) -> None:
    real = served.reference
    served.reference = "A" * 39
    assert served.receipt() == (200, None)  # else the provider would call again and again
    served.reference = real
    assert served.state() is State.SENDING


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/receipts/vonage/a", 404),
        ("POST", "/v1/replies/vonage", 404),
        ("POST", "/v1/replies/twilio", 403),
        ("GET", "/v1/receipts/twilio/a", 403),
        ("PUT", "/v1/receipts/twilio/a", 405),
        ("GET", "/", 404),
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
    ],
)
def test_every_route_answers(served: Served, method: str, path: str, expected: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request(method, path, b"a=b")
    assert connection.getresponse().status == expected
    connection.close()


def test_a_body_over_the_limit_is_not_read(served: Served) -> None:
    status, document = served.ask("POST", "/v1/replies/twilio", b"x" * (BODY_LIMIT + 1))
    assert (status, document["title"]) == (413, "too_large")


def test_a_body_that_drips_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reminder_worker.serving.PATIENCE", 0.1)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as slow:
        slow.sendall(b"POST /v1/replies/twilio HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na=")
        assert slow.recv(100).startswith(b"HTTP/1.1 413")


def test_connections_that_say_nothing_keep_nobody_out(served: Served, application: Hooks) -> None:
    application.receipts.most = 5
    idle = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(20)]
    assert served.receipt()[0] == 200
    for one in idle:
        one.close()


def test_a_connection_that_says_nothing_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reminder_worker.connection.PATIENCE", 0.1)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as silent:
        began = time.monotonic()
        assert silent.recv(1) == b""
        assert time.monotonic() - began < PATIENCE / 2  # it is the patience that was set


def test_a_provider_whose_certificate_is_slow_holds_up_no_other_call(
    served: Served, application: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    twilio, begun, hold = application._carriers["twilio"], threading.Event(), threading.Event()
    parse = twilio.parse_receipt

    def slowly(call: WebhookRequest) -> Receipt:
        begun.set()
        assert hold.wait(10)
        return parse(call)

    monkeypatch.setattr(twilio, "parse_receipt", slowly)
    monkeypatch.setattr(twilio, "capabilities", replace(twilio.capabilities, fetches_to_verify=True))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(served.receipt)
        assert begun.wait(10)
        assert served.ask("GET", "/livez")[0] == 200
        assert not slow.done()
        hold.set()
        assert slow.result()[0] == 200


def test_too_many_calls_at_once_are_told_to_come_back(served: Served, application: Hooks) -> None:
    application.receipts.most = 0
    status, document = served.receipt()
    assert (status, document["title"]) == (503, "busy")


def test_a_flood_of_receipts_does_not_hold_up_a_stop(served: Served, application: Hooks) -> None:
    application.receipts.most = 0
    assert served.stop() == (200, None)
    assert served.schedule.client.llen(b"rw:{0}:notes") == 1


def test_nothing_leads_elsewhere(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("POST", "/v1/replies/twilio/", b"Body=STOP", {"Host": "evil.example"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers.get("Location")) == (404, None)
    connection.close()


def test_what_cannot_be_verified_now_is_called_again(
    served: Served, application: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise NotSent(Reason.NOT_SENT)

    monkeypatch.setattr(application._carriers["twilio"], "parse_receipt", fail)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("POST", f"/v1/receipts/twilio/{served.reference}", b"a=b")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
    connection.close()


@pytest.mark.parametrize("refused", [False, True])
def test_a_store_that_is_away_makes_the_provider_call_again(
    served: Served,
    schedule: Schedule,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    refused: bool,
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable(refused=refused)

    monkeypatch.setattr(schedule, "run_all", away)
    monkeypatch.setattr(schedule, "now", away)
    assert served.receipt()[0] == 503
    said = {one.message for one in caplog.records if getattr(one, "reason", "") == ("refused" if refused else "away")}
    assert said == {"store_away"}
    assert served.ask("GET", "/readyz")[0] == 503
    assert served.ask("GET", "/livez")[0] == 200


def test_a_fault_of_a_plug_in_shows_nothing(
    served: Served, application: Hooks, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise KeyError(PHONE)

    monkeypatch.setattr(application._carriers["twilio"], "parse_receipt", fail)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("POST", f"/v1/receipts/twilio/{served.reference}", b"a=b")
    answer = connection.getresponse()
    assert answer.status == 500
    assert PHONE not in answer.read().decode()
    connection.close()


def test_what_a_lack_of_memory_cuts_short_is_not_called_malformed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as without_memory:
        without_memory.setattr(HttpToolsProtocol, "on_body", fail)
        with pytest.raises(ConnectionError):  # a 400 would be final: nobody repeats what is malformed
            served.receipt()
    assert served.receipt() == (200, None)


def test_a_reply_is_answered_with_nothing_that_a_provider_would_text(served: Served) -> None:
    assert served.stop() == (200, None)
    assert served.schedule.client.llen(b"rw:{0}:notes") == 1


def test_keys_that_are_published_anew_are_sealed_to_without_a_restart(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks.serving, "BEAT_EVERY", 0.01)
    keys.new_worker(tmp_path / "keys", datetime.now(UTC))
    (tmp_path / "token").write_text(TOKEN)
    published = tmp_path / "keys" / "worker.pub.json"
    whole = published.read_text()
    published.write_text(replace(PublicKeys.load(published), envelopes={1: bytes(32)}).to_json())  # all weeks are over
    table = {"account_sid": fake_twilio.ACCOUNT, "auth_token_file": str(tmp_path / "token"), "from": "+15005550006"}
    chosen = Settings(keys=tmp_path / "keys", hooks_url=PUBLIC, providers={"twilio": table})
    with serving(hooks.build(chosen, schedule)) as port:
        served = Served(schedule, port)
        assert served.stop()[0] == 503
        published.write_text(whole)
        for _ in range(200):
            if served.stop()[0] == 200:
                break
            time.sleep(0.02)
        assert schedule.client.llen(b"rw:{0}:notes") == 1


# Starting


def test_without_a_public_url_it_does_not_start(schedule: Schedule, tmp_path: Path) -> None:
    chosen = Settings(keys=tmp_path, providers={"outbox": {"path": str(tmp_path / "outbox.jsonl")}})
    with pytest.raises(SettingsError, match=r"^hooks_url: "):
        hooks.build(chosen, schedule)


def test_what_replies_mean_is_read_before_it_serves(schedule: Schedule, tmp_path: Path) -> None:
    keys.new_worker(tmp_path, datetime.now(UTC))
    table = {"path": str(tmp_path / "outbox.jsonl"), "callback_url": PUBLIC}
    words.load.cache_clear()
    hooks.build(Settings(keys=tmp_path, providers={"outbox": table}), schedule)
    assert words.load.cache_info().currsize == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_it_starts_with_no_private_key_and_stops_when_told(server: EmbeddedServer, tmp_path: Path, form: str) -> None:
    keys.new_worker(tmp_path / "all", datetime.now(UTC))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "worker.pub.json").write_bytes((tmp_path / "all" / "worker.pub.json").read_bytes())
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "reminder-worker.toml").write_text(
        f'store_url = "{server.url()}"\nhooks_url = "{PUBLIC}"\n[providers.twilio]\n'
        f'account_sid = "{fake_twilio.ACCOUNT}"\nauth_token_file = "token"\nfrom = "+15005550006"\n'
    )
    port = free_port()
    command = [sys.executable, "-m", "reminder_worker.cli", "hooks", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REMINDER_")}
    environment |= {"REMINDER_LOG_FORMAT": form, "REMINDER_ACCESS_LOG": "true"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        served = Served.__new__(Served)
        served.port, served.reference = port, "A" * 39
        wait_until_alive(served)
        assert served.receipt()[0] == 200
        wait_until_it_beats(server, b"hooks/")
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert {line.startswith(b"{") for line in said.splitlines()} == {form == "json"}
    for word in (b"hooks_started", b"hooks_stopped", b"/v1/receipts/{provider}/{attempt}"):
        assert word in said
    assert TOKEN.encode() not in said
    assert b"A" * 39 not in said


def wait_until_it_beats(server: EmbeddedServer, kind: bytes) -> None:
    """The first beat is made beside the first requests."""
    deadline = time.monotonic() + 60
    with store.connect(server.url()) as client:
        while time.monotonic() < deadline:
            if any(name.startswith(kind) for name in client.zrange(b"rw:{0}:processes", 0, -1)):
                return
            time.sleep(0.05)
    pytest.fail("it does not beat")


def wait_until_alive(served: Served) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            assert served.ask("GET", "/livez")[0] == 200
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("it did not start")


def test_what_a_plug_in_prints_while_it_serves_is_written_nowhere(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def serve(*_: object, **__: object) -> None:
        sys.stdout.write("+33612340015\n")
        sys.stderr.write("+33612340015\n")

    for name in ("logs.set_up", "store", "doctor", "Schedule", "build", "exporter"):
        monkeypatch.setattr(f"reminder_worker.hooks.{name}", MagicMock())
    monkeypatch.setattr("reminder_worker.hooks.serving.run", serve)
    hooks.run(MagicMock(), "127.0.0.1", 1)
    sys.stderr.write("an error of ours is told\n")
    assert capfd.readouterr() == ("", "an error of ours is told\n")
