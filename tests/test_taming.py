"""What other libraries say at their most talkative, spoken with for real: none of it comes out, in either form.

Every logger is forced to say all, also those that this program switches off. That each of them does say what was
planted is looked at as well: silence would prove nothing.
"""

import asyncio
import contextlib
import http.client
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import dramatiq
import fake_smsc
import fake_twilio
import pytest
import redis
import urllib3
from canaries import found
from dramatiq.brokers.redis import RedisBroker
from fake_smsc import PASSWORD, Node
from fake_twilio import FakeTwilio
from moto.server import ThreadedMotoServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client
from uvicorn import Config, Server

from reminder_worker import logs, providers, store
from reminder_worker.audit.writings import phone_writings, writings
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import ReminderError
from reminder_worker.providers import Role, Text
from reminder_worker.testing.peer import Peer

PHONE, PLACE, SECRET = "+33612349377", "93 quai des Brumes, Étretat", "hush-hush-8675309"
BODY = f"jeudi 4 mars, {PLACE}"
PLANTED = {
    "phone": phone_writings(PHONE),
    "place": writings(PLACE) | writings("quai des Brumes"),
    "text": writings(BODY),
    "secret": writings(SECRET) | writings(PASSWORD) | writings(fake_twilio.TOKEN),
}
PLANTED = {name: {form for form in forms if len(form) >= 5} for name, forms in PLANTED.items()}


class Everything:
    """All that any logger says, as it says it, and what comes out of this process meanwhile."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._said: list[tuple[str, str]] = []

    def hear(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            crash = repr(record.exc_info[1]) if record.exc_info else ""
            self._said.append((record.name, f"{record.getMessage()} {vars(record)!r} {crash}"))

    def told(self, *loggers: str) -> bool:
        """Tell whether these said something that was planted."""
        text = [(name, said.encode()) for name, said in list(self._said) if name.startswith(loggers)]
        return bool(found(text, PLANTED))

    def spoke(self, *loggers: str) -> bool:
        """Tell whether these said anything."""
        return any(name.startswith(loggers) for name, _ in list(self._said))

    def check(self, form: str) -> None:
        """Find nothing of it in what came out, and nothing but our lines."""
        out, err = self._capture.readouterr()
        assert found([("stdout", out.encode()), ("stderr", err.encode())], PLANTED) == set()
        assert err
        assert all(line.startswith("{") == (form == "json") for line in err.splitlines())


@pytest.fixture(params=["json", "console"])
def everything(
    request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Everything]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions, logging.getLogger(logs.OURS).level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    heard = Everything(capfd)

    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        heard.hear(record)
        self.callHandlers(record)

    logs.set_up("debug", request.param)
    monkeypatch.setattr(logging.Logger, "isEnabledFor", lambda _self, level: True)
    monkeypatch.setattr(logging.Logger, "handle", handle)
    yield heard
    monkeypatch.undo()
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)
    root.handlers[:], logging.raiseExceptions = before[0], before[2]
    root.setLevel(before[1])
    logging.getLogger(logs.OURS).setLevel(before[3])
    heard.check(request.param)


def until(done: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def text() -> Text:
    return Text(PHONE, BODY, 1, "an-attempt", timedelta(hours=1))


def send(provider: providers.Provider) -> None:
    with contextlib.suppress(ReminderError):
        provider.send(text(), deadline=time.monotonic() + 30)


# Twilio's SDK and what lies below it


class Elsewhere(TwilioHttpClient):
    """The SDK's own way to the network, to a server of ours."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def request(self, method: str, url: str, *rest: Any, **named: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self._url), *rest, **named)


@pytest.fixture
def twilio() -> Iterator[FakeTwilio]:
    with FakeTwilio() as running:
        yield running


def test_twilio_urllib3_and_requests(everything: Everything, twilio: FakeTwilio) -> None:
    client = Client(fake_twilio.ACCOUNT, fake_twilio.TOKEN, http_client=Elsewhere(twilio.url))
    client.messages.create(to=PHONE, body=BODY, from_=fake_twilio.SENDER)
    with pytest.raises(TwilioException):
        client.messages.list(to=PHONE)
    assert everything.told("twilio")
    assert everything.told("urllib3")
    client.http_client.session.close()


def test_twilio_as_we_use_it(everything: Everything, twilio: FakeTwilio, tmp_path: Path) -> None:
    provider = providers.load("twilio", twilio.table(tmp_path), Role.SEND)
    twilio.refuse(20003, 401)
    send(provider)
    provider.close()
    assert everything.spoke("reminder_worker.providers.twilio")
    assert not everything.told("twilio", "urllib3", "reminder_worker")


def test_urllib3_that_tries_again(everything: Everything) -> None:
    with Peer() as peer, urllib3.PoolManager(retries=2) as pool:
        pool.request("GET", f"{peer.url}/{PHONE}", fields={"place": PLACE})
        with pytest.raises(urllib3.exceptions.MaxRetryError):
            pool.request("GET", f"http://127.0.0.1:1/{PHONE}")
    assert everything.told("urllib3")


# AWS's


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_boto3_and_botocore(everything: Everything, moto: str) -> None:
    session = boto3.Session(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key=SECRET)
    client = session.client("sns", endpoint_url=moto, region_name="eu-west-3")
    client.publish(PhoneNumber=PHONE, Message=BODY)
    with pytest.raises(client.exceptions.ClientError):
        client.publish(PhoneNumber=f"{PHONE}x", Message=BODY)
    client.close()
    assert everything.told("botocore")


def test_botocore_as_we_use_it_is_silent_and_would_be_if_it_were_not(
    everything: Everything, moto: str, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "key").chmod(0o600)
    table = {"service": "sns", "region": "eu-west-3", "base_url": moto, "from": "Clinic-1"}
    table |= {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key_file": str(tmp_path / "key")}
    provider = providers.load("aws", table, Role.SEND)
    send(provider)
    provider.close()
    assert everything.told("botocore")  # its loggers are off, and speak all the same here


# The queue, the store


def test_dramatiq_and_redis(everything: Everything, server: EmbeddedServer, client: store.Client) -> None:
    broker = RedisBroker(url=server.url(1), middleware=[])
    failed = threading.Event()

    def fail(number: str, *, place: str) -> None:
        failed.set()
        raise ValueError(f"{number} {place}")

    actor = dramatiq.actor(fail, broker=broker, queue_name="taming")
    actor.send(PHONE, place=PLACE)
    crew = dramatiq.Worker(broker, worker_threads=1, worker_timeout=10)
    crew.start()
    until(failed.is_set)
    broker.join("taming", interval=10, timeout=60_000)
    crew.stop()
    broker.flush_all()
    broker.close()
    broker.client.close()
    assert everything.told("dramatiq")


def test_redis_that_is_refused_and_away(everything: Everything, server: EmbeddedServer, client: store.Client) -> None:
    with redis.Redis.from_url(server.url()) as connection:
        connection.set(PHONE, PLACE)
        with pytest.raises(redis.ResponseError):
            connection.execute_command("SELECT", PHONE)
        with pytest.raises(redis.AuthenticationError):
            connection.execute_command("AUTH", "nobody", SECRET)
        connection.delete(PHONE)
    with redis.Redis(host="127.0.0.1", port=1, password=SECRET) as away, pytest.raises(redis.ConnectionError):
        away.get(PHONE)
    logging.getLogger("redis").warning("%s", PHONE)  # it says nothing itself


# HTTP servers


async def fail(request: Request) -> Response:
    raise ValueError(f"{request.url} {PHONE} {PLACE}")


async def forget(request: Request) -> Response:
    async def lost() -> None:
        raise ValueError(PLACE)

    asyncio.get_running_loop().create_task(lost(), name=PHONE)
    await asyncio.sleep(0)
    time.sleep(0.15)  # noqa: ASYNC251 - so slow that asyncio says what ran
    return Response()


@contextlib.contextmanager
def running(**options: Any) -> Iterator[int]:
    """Run an application with an access log and a talkative loop."""
    app = Starlette(debug=False, routes=[Route("/fail/{number}", fail), Route("/forget/{number}", forget)])
    server = Server(Config(app, port=0, log_config=None, **options))

    async def serve() -> None:
        asyncio.get_running_loop().set_debug(True)
        await server.serve()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def test_uvicorn_starlette_and_asyncio(everything: Everything) -> None:
    with running(access_log=True, http="h11", log_level="debug") as port:
        for path in ("fail", "forget", "nowhere"):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection.request("GET", f"/{path}/{quote(PHONE)}?place={quote(PLACE)}")
                connection.getresponse().read()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.sock = None
            connection.connect()
            connection.sock.sendall(f"{PHONE} {SECRET}\r\n\r\n".encode())
            connection.sock.recv(100)
    assert everything.told("uvicorn.access")
    assert everything.told("uvicorn.error")
    assert everything.told("asyncio")


# SMPP


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    running = fake_smsc.start()
    yield running
    running.close()


def test_aiosmpplib_as_we_use_it(everything: Everything, node: Node, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    table = {"host": "127.0.0.1", "tls": False, "system_id": "clinic", "password_file": str(tmp_path / "password")}
    with node.smsc() as smsc:
        provider = providers.load("smpp", {**table, "port": urlsplit(smsc.url).port, "from": "+33700000001"}, Role.SEND)
        assert isinstance(provider, providers.Line)
        provider.listen(lambda _: fail_to_hear())
        until(lambda: everything.spoke("reminder_worker.wire.smsc"))
        send(provider)
        smsc.deliver("reply", pdu={"source_addr": PHONE[1:], "source_addr_ton": 1}, hex=PLACE.encode("latin-1").hex())
        assert smsc.answer("reply")
        assert smsc.accepted
        provider.close()


def fail_to_hear() -> None:
    raise ValueError(PHONE)


# What Python itself says


def test_warnings_threads_and_destructors(everything: Everything) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError(BODY)

    def work() -> None:
        raise KeyError(PHONE)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn(f"{PHONE} {PLACE}", stacklevel=1)
    thread = threading.Thread(target=work, name=PHONE)
    thread.start()
    thread.join()
    Broken()
    assert everything.told("py.warnings")
