"""Reminders that never come back: told of, and the end of a process that has nothing else under way."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import Mock

import pytest

from reminder_worker.hanging import ENDED, PATIENCE, Hanging


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> Mock:
    found = Mock()
    monkeypatch.setattr(os, "_exit", found)
    return found


@contextmanager
def under_way(watch: Hanging, name: str) -> Iterator[None]:
    """Be about a reminder, in a thread of its own."""
    began, over = threading.Event(), threading.Event()

    def work() -> None:
        with watch.watched(name):
            began.set()
            over.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    began.wait(60)
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_process_whose_threads_all_hang_says_so_and_ends(end: Mock, caplog: pytest.LogCaptureFixture) -> None:
    watch = Hanging()
    with under_way(watch, "one"), under_way(watch, "other"):
        for _ in range(PATIENCE - 1):
            watch.look(2)
        assert not end.called
        watch.look(2)
    end.assert_called_once_with(ENDED)
    assert [record.message for record in caplog.records] == ["wake_hangs", "wake_hangs", "worker_hangs"]
    assert [vars(record)["reminder"] for record in caplog.records[:2]] == ["one", "other"]


def test_where_a_thread_is_left_it_goes_on(end: Mock) -> None:
    watch = Hanging()
    with under_way(watch, "one"):
        for _ in range(2 * PATIENCE):
            watch.look(2)
    assert not end.called


@pytest.mark.parametrize("others", [0, 1])
def test_at_the_end_it_waits_for_none_but_those_that_do_not_hang(end: Mock, others: int) -> None:
    watch = Hanging()
    with under_way(watch, "one"), ExitStack() as stack:
        for _ in range(PATIENCE):
            watch.look(8)
        for number in range(others):
            stack.enter_context(under_way(watch, str(number)))
        watch.look(0)
    assert end.called is (others == 0)


def test_what_came_back_does_not_hang(end: Mock) -> None:
    watch = Hanging()
    for _ in range(2 * PATIENCE):
        with watch.watched("one"):
            watch.look(1)
    assert not end.called
