"""Where a process is reached: said before it starts, and before anybody takes it for one that lives."""

import socket

import pytest

from reminder_worker import serving
from reminder_worker.errors import SettingsError


def test_a_port_in_use_and_an_address_of_others_are_refused_in_words() -> None:
    with serving.listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"^--port: {port} is in use; "):
            serving.listening("127.0.0.1", port)
    with pytest.raises(SettingsError, match="host: this machine has no such address"):
        serving.listening("192.0.2.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1"])
def test_whoever_connects_is_heard(host: str) -> None:
    try:
        entrance = serving.listening(host, 0)
    except SettingsError:
        assert host == "::1"
        pytest.skip("this machine has no IPv6")
    with entrance, socket.create_connection(entrance.getsockname()[:2], timeout=5), entrance.accept()[0]:
        pass
