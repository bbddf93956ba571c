import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console
from test_screen import BUSY, EMPTY, rows

from reminder_worker import watching
from reminder_worker.errors import StoreUnavailable
from reminder_worker.status import Store

PROCESSES = {f"{kind}/4711-ab12cd": 1.0 for kind in ("worker", "scheduler", "web", "hooks", "ops")}
ENDED = {"delivered": 9, "expired": 4, "failed": 1, "sent": 40}
NORMAL = replace(BUSY, processes=PROCESSES, ended=ENDED, store=Store(3_200_000, 10**8, durable=True, evicts=False))
AWAY = StoreUnavailable("the store did not answer (TimeoutError); is it running and not full?")


@pytest.fixture
def terminal(monkeypatch):
    """Return what a terminal of some size is sent."""

    def of(width: int, height: int, **options: bool) -> io.StringIO:
        sent = io.StringIO()
        size = {"width": width, "height": height}
        made = Console(
            file=sent, color_system=None, highlight=False, markup=False, emoji=False, **size, **options, _environ={}
        )
        monkeypatch.setattr(watching, "console", made)
        return sent

    return of


def watched(monkeypatch, *answers):
    """Read these one after the other, then interrupt."""
    left = list(answers)

    def read():
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    def sleep(_):
        if not left:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(KeyboardInterrupt):
        watching.watch(read)


def drawn(shown):
    """Return the lines that one look is drawn as."""
    with watching.console.capture() as capture:
        watching.console.print(watching._Shown(shown), end="")
    return capture.get().splitlines()


def test_a_watched_status_is_read_again_until_interrupted(monkeypatch, terminal):
    sent = terminal(200, 50, force_terminal=True)
    watched(monkeypatch, *(replace(BUSY, scheduled=number) for number in (1204, 1205, 1206)))
    assert all(f"scheduled            {number}" in sent.getvalue() for number in (1204, 1205, 1206))


def test_a_store_that_goes_away_is_told_and_waited_for(monkeypatch, terminal):
    sent = terminal(200, 50, force_terminal=True)
    watched(monkeypatch, BUSY, AWAY, AWAY, replace(BUSY, scheduled=77))
    told = (
        "the store did not answer (TimeoutError); is it running and not full? What follows is of 2027-03-01 09:00:00Z."
    )
    assert sent.getvalue().count(told) == 2
    assert "scheduled            77" in sent.getvalue().rpartition(told)[2]


def test_a_store_that_is_away_at_first_is_not_waited_for():
    def read():
        raise AWAY

    with pytest.raises(StoreUnavailable):
        watching.watch(read)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_normal_installation_needs_no_more_than_24_rows(terminal, width):
    terminal(width, 24, force_terminal=True)
    lines = drawn(NORMAL)
    assert len(lines) <= 24
    text = "\n".join(lines)
    assert all(name in text for name in (*PROCESSES, "refuses writes"))
    assert max(map(len, lines)) <= width


def test_tables_stand_beside_each_other_where_there_is_room(terminal):
    terminal(80, 60, force_terminal=True)
    found = rows("\n".join(drawn(replace(EMPTY, processes=PROCESSES, store=Store(1, 0, durable=True, evicts=False)))))
    assert "worker/4711-ab12cd 1 s ago memory 0.0 MB" in found


def test_what_a_terminal_has_no_room_for_is_counted(terminal):
    terminal(80, 12, force_terminal=True)
    lines = drawn(NORMAL)
    whole = [line for line in lines if line.strip(" ─")]
    assert lines == whole
    assert len(lines) == 12
    terminal(80, 100, force_terminal=True)
    more = sum(bool(line.strip(" ─")) for line in drawn(NORMAL)) - 11
    assert lines[-1] == f"… {more} lines more: on a taller or wider terminal, or by status without --watch"


def test_where_no_terminal_is_and_at_the_end_all_is_shown(monkeypatch, terminal):
    terminal(80, 12)
    assert "lines more" not in "\n".join(drawn(NORMAL))
    sent = terminal(80, 12, force_terminal=True)
    watched(monkeypatch, NORMAL)
    assert "ops/4711-ab12cd" in sent.getvalue().rpartition("lines more")[2]
