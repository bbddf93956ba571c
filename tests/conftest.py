"""A real server for every test that needs one; no test sleeps, none shares data with another."""

import contextlib
from collections.abc import Iterator

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


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One Valkey for the session."""
    with EmbeddedServer(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[store.Client]:
    """A client of an empty server."""
    with contextlib.closing(store.connect(server.url())) as connected:
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
    return Clock(client)
