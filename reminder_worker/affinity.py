"""Keeps all threads of a process on one processor.

Python runs only one of them at a time. If they are spread over several processors, a thread that resumes finds none of
their shared data in its processor's caches, and waking it takes longer: a text costs half as much again, or more.
"""

import ctypes
import os
import threading
import time
from collections.abc import Set as AbstractSet
from contextlib import suppress

EVERY = 5.0  # seconds
_ELSEWHERE = 0.001  # seconds: after a sleep the kernel wakes a thread where there is room


def keep_together() -> None:
    """Keep them together while this process lives; on Linux, if there is more than one processor to choose from."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    if len(allowed) > 1:
        gather(allowed)  # a thread that starts later runs on the processor of the thread that starts it
        threading.Thread(target=_keep, args=(allowed,), name="affinity", daemon=True).start()


def _keep(allowed: AbstractSet[int]) -> None:
    while True:
        time.sleep(EVERY)
        gather(allowed)


def gather(allowed: AbstractSet[int]) -> None:
    """Move all threads to the processor that the kernel, which knows what else wants one, picks for this thread.

    So they leave a processor that other processes have begun to use. If that is forbidden or unknown, all may run
    anywhere.
    """
    with suppress(OSError, ValueError, AttributeError):  # from a libc without sched_getcpu, or a kernel without getcpu
        os.sched_setaffinity(0, allowed)
        time.sleep(_ELSEWHERE)
        here = {ctypes.CDLL(None).sched_getcpu()}
        for thread in threading.enumerate():
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(thread.native_id or 0, here)
