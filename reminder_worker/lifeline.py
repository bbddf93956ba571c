"""How processes end: with the process that started them, so that nothing is left running, and never during a call."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when this process's parent dies (Linux; elsewhere the parent has to stop it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_first() -> None:
    """Do the same in one of dramatiq's processes: its first process may have died before the kernel was asked."""
    end_with_parent()
    first = multiprocessing.parent_process()
    if first is not None and first.pid != os.getppid():
        signal.raise_signal(signal.SIGTERM)


def end_once() -> None:
    """Heed only the first SIGTERM. To dramatiq a second one is an order to drop the calls in progress.

    A second comes by itself if a supervisor signals a whole group of processes: dramatiq's parent passes on its own.
    And dramatiq logs it inside the signal handler: a second one could wait for a lock that the first one holds.
    The end of a terminal is left to the parent.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heed, told = signal.getsignal(signal.SIGTERM), False
    if not callable(heed):  # there is no handler to finish anything
        return

    def once(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            heed(number, frame)

    signal.signal(signal.SIGTERM, once)


def end_with_terminal() -> None:
    """Treat the end of a terminal (SIGHUP) as SIGTERM; if ``nohup`` has it ignored, nothing ends."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def apart(work: Callable[[], object]) -> None:
    """Do some work in a process of its own, so that nothing it loads stays in this one's memory.

    An error takes its usual course there; this process then ends with the same exit code.
    """
    child = os.fork()
    if child == 0:
        end_with_parent()
        work()
        os._exit(0)  # a copy of this process must not do what this process does at its end
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(code)
