"""A real server for every test that needs one; no test sleeps, none shares data with another."""

import contextlib
import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import engines
import hypothesis
import pytest
from clock import Clock, script

from reminder_worker import store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ledger import Durability
from reminder_worker.schedule import Schedule

# A slow machine is no failure.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")


# These files take longest. They begin first, so that at the end no process waits for one that has begun late.
LONGEST = """
test_audit faults/test_restore test_exporter faults/test_upgrade test_engines test_drain faults/test_storms
test_hardening test_example_booking test_snippets test_end_to_end test_adding_a_provider test_rabbit faults/test_engines
faults/test_providers test_ops_browser faults/test_kills test_confinement faults/test_clients faults/test_events
test_clients_js_http test_backupcommands test_wording test_plan test_resolving test_web test_ops_page test_procfile
test_cli providers/test_aws test_api test_supportcommands test_clients_js test_locations test_demo test_doctor
"""


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let what counts second tries send its small words at once: each test waited 40 ms for one."""
    line = getattr(getattr(config, "failures_db", None), "sock", None)
    if line is not None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    gc.disable()  # until all are collected: thousands of tests are made, and nothing of them is garbage


def pytest_collection_finish() -> None:
    """Collect garbage again."""
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files by how long they take; what is in a file keeps its order."""
    places = {name: place for place, name in enumerate(LONGEST.split())}
    here = Path(__file__).parent
    items.sort(key=lambda one: places.get(one.path.relative_to(here).with_suffix("").as_posix(), len(places)))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One Valkey for the session."""
    if request.config.getoption("--engine"):
        pytest.skip("what it tells is of one server")
    with EmbeddedServer(tmp_path_factory.mktemp("valkey")) as running:
        yield running


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the ledger's tests run on a store of several servers (test_engines.py does)."""
    parser.addoption("--engine", choices=engines.NAMES, help="what the ledger is on: by default one server")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine | None]:
    """The store that this session was told to run on; None for one server."""
    if name := request.config.getoption("--engine"):
        with engines.start(name, tmp_path_factory.mktemp(name)) as running:
            yield running
    else:
        yield None


@pytest.fixture
def client(request: pytest.FixtureRequest, engine: engines.Engine | None) -> Iterator[store.Client]:
    """A client of an empty store."""
    url = engine.url if engine else request.getfixturevalue("server").url()
    with contextlib.closing(store.connect(url)) as connected:
        connected.flushall()
        connected.script_flush()
        yield connected


@pytest.fixture
def schedule(client: store.Client) -> Schedule:
    """An empty schedule."""
    return Schedule(client, durability=Durability.NONE)


@pytest.fixture
def clock(client: store.Client, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that all scripts read instead of the server's own."""
    monkeypatch.setattr("reminder_worker.schedule.script", script)
    clock = Clock(client)
    for module in ("worker", "reconciling", "endpoint"):
        monkeypatch.setattr(f"reminder_worker.{module}.wall_time", lambda: clock.now)
    return clock
