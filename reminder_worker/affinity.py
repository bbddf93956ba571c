"""All threads of a process on one processor.

Python runs one of them at a time. Where they are on several processors, each that goes on finds nothing of what all of
them use in its processor's caches, and waking it there takes longer: a text costs half as much again, or more.
"""

import ctypes
import os
import threading
import time
from collections.abc import Set as AbstractSet
from contextlib import suppress

EVERY = 5.0  # seconds
_ELSEWHERE = 0.001  # seconds: who sleeps wakes up where there is room


def keep_together() -> None:
    """Do so for as long as this process lives; on Linux, and where there is more than one processor to choose from."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    if len(allowed) > 1:
        gather(allowed)  # threads that begin later are where the one is that begins them
        threading.Thread(target=_keep, args=(allowed,), name="affinity", daemon=True).start()


def _keep(allowed: AbstractSet[int]) -> None:
    while True:
        time.sleep(EVERY)
        gather(allowed)


def gather(allowed: AbstractSet[int]) -> None:
    """Bring all threads to where this one is put by the kernel, which knows what else wants a processor.

    So nobody stays where others have come to work. Where that is forbidden, or unknown, all may be anywhere.
    """
    with suppress(OSError, ValueError, AttributeError):  # of a libc without sched_getcpu, or a kernel without getcpu
        os.sched_setaffinity(0, allowed)
        time.sleep(_ELSEWHERE)
        here = {ctypes.CDLL(None).sched_getcpu()}
        for thread in threading.enumerate():
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(thread.native_id or 0, here)
