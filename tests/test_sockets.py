"""Lines that are given more than they take at once; deadlines and TLS are tested with ``https``."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from reminder_worker.sockets import Socket

MUCH = b"a reminder" * 400_000  # more than any buffer


@pytest.fixture
def ends() -> Iterator[tuple[Socket, socket.socket]]:
    """A line as it is once connected, and its other end."""
    near, far = socket.socketpair()
    with Socket(fileno=near.detach()) as line, far:
        line.settimeout(60)
        line.deadline = time.monotonic() + 60
        yield line, far


def test_all_of_it_leaves_however_little_a_line_takes_at_once(ends: tuple[Socket, socket.socket]) -> None:
    line, far = ends
    got = bytearray()

    def read() -> None:
        while piece := far.recv(65_536):
            got.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    line.sendall(MUCH)
    line.shutdown(socket.SHUT_WR)
    reader.join()
    assert got == MUCH


def test_nothing_leaves_after_the_deadline(ends: tuple[Socket, socket.socket]) -> None:
    line, far = ends
    line.deadline = time.monotonic()
    with pytest.raises(TimeoutError):
        line.sendall(b"late")
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(1)


def test_a_line_that_takes_no_more_is_left_at_the_deadline(ends: tuple[Socket, socket.socket]) -> None:
    line, _ = ends
    line.deadline = time.monotonic() + 0.3
    for _ in range(2):  # the second time it takes nothing at all
        with pytest.raises(TimeoutError):
            line.sendall(MUCH)


def test_between_the_clock_and_the_bytes_nothing_is_waited_for(
    ends: tuple[Socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's own ``sendall`` waits for its thread's turn once more, on a socket with a time-out."""
    line, far = ends
    monkeypatch.setattr(socket.socket, "sendall", None)
    line.sendall(b"at once")
    assert far.recv(100) == b"at once"
