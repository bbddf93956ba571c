"""All threads of a process on one processor, and nobody else's with them: each in a process of its own."""

import os
import subprocess
import sys

import pytest

LINUX = hasattr(os, "sched_setaffinity")
several = pytest.mark.skipif(not LINUX or len(os.sched_getaffinity(0)) < 2, reason="there is but one processor")

CHILD = """\
import os, threading, time
from reminder_worker import affinity

affinity.EVERY = 0.02
allowed = os.sched_getaffinity(0)
more = threading.Event()
tids = []

def stay():
    tids.append(threading.get_native_id())
    more.wait()

def start():
    threading.Thread(target=stay, daemon=True).start()

def where():
    return {tuple(os.sched_getaffinity(tid)) for tid in (threading.get_native_id(), *tids)}
"""


def child(code: str) -> str:
    words = [sys.executable, "-c", CHILD + code]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@several
def test_all_threads_are_on_one_processor_also_those_that_begin_later() -> None:
    code = "affinity.EVERY = 60; start(); affinity.keep_together(); start(); time.sleep(0.1); print(*map(len, where()))"
    assert child(code) == "1\n"


@several
def test_a_process_goes_where_there_is_room() -> None:
    """Whoever is alone with a processor that another one wants is not there for long, once there is room elsewhere."""
    busy = "import os; os.sched_setaffinity(0, {here}); print(flush=True)\nwhile True: pass"
    code = f"""
start()
affinity.keep_together()
((here,),) = where()
import subprocess, sys
with subprocess.Popen([sys.executable, "-c", {busy!r}.format(here="{{%d}}" % here)], stdout=subprocess.PIPE) as other:
    other.stdout.readline()
    until = time.monotonic() + 100
    while not (moved := where() != {{(here,)}}) and time.monotonic() < until:
        time.sleep(0.01)
    other.kill()
print(moved)
"""
    assert child(code) == "True\n"


@several
def test_what_it_was_given_is_not_left() -> None:
    code = "os.sched_setaffinity(0, {max(allowed)}); start(); affinity.keep_together(); time.sleep(0.1); print(where())"
    assert child(code) == f"{{({max(os.sched_getaffinity(0))},)}}\n"


FORBIDDEN = """
def refused(tid, cpus):
    raise PermissionError

os.sched_setaffinity = refused
"""
UNKNOWN = "affinity.ctypes.CDLL = lambda _: object()\n"  # nobody says on which one a thread is


@several
@pytest.mark.parametrize("away", [FORBIDDEN, UNKNOWN], ids=["forbidden", "unknown"])
def test_where_that_is_forbidden_or_unknown_threads_may_be_anywhere(away: str) -> None:
    code = f"{away}start(); affinity.keep_together(); time.sleep(0.1); print(where() == {{tuple(allowed)}})"
    assert child(code) == "True\n"


def test_where_nobody_can_choose_nothing_is_done() -> None:
    code = "del os.sched_getaffinity; affinity.keep_together(); print(threading.active_count())"
    assert child(code if LINUX else code.partition("; ")[2]) == "1\n"
