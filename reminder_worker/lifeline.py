"""How processes end: with whoever started them, so that nothing is left running, and in the middle of no call."""

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
    """Do the same as one of dramatiq's processes: its first one may have died before the kernel is asked."""
    end_with_parent()
    first = multiprocessing.parent_process()
    if first is not None and first.pid != os.getppid():
        signal.raise_signal(signal.SIGTERM)


def end_once() -> None:
    """Hear the first SIGTERM only. To dramatiq a second one is an order to drop the calls that are under way.

    It comes by itself where a supervisor tells a whole group of processes: dramatiq's parent passes on what it heard.
    And dramatiq logs it from within the signal's handler: a second one could wait for what the first one holds.
    The end of a terminal is the parent's to hear.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heed, told = signal.getsignal(signal.SIGTERM), False
    if not callable(heed):  # nobody would be asked to finish anything
        return

    def once(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            heed(number, frame)

    signal.signal(signal.SIGTERM, once)


def end_with_terminal() -> None:
    """Take the end of a terminal (SIGHUP) for SIGTERM; where ``nohup`` has it ignored, nothing ends."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def apart(work: Callable[[], object]) -> None:
    """Do some work in a process of its own, so that nothing it loads stays in this one's memory.

    An error goes its usual way there; here the same exit code follows it.
    """
    child = os.fork()
    if child == 0:
        end_with_parent()
        work()
        os._exit(0)  # what this process does at its end is not for a copy of it to do
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(code)
