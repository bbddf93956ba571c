"""What each process gives up when it starts: no image of its memory is ever written, and its files are its user's only.

Nor are its TLS session keys written, which Python does if a variable asks for it. Keys, numbers and texts are in that
memory. Root can still look into it; another process of the same user cannot.
"""

import ctypes
import os
import resource
import sys

_PR_SET_DUMPABLE = 4


def confine() -> None:
    """Leave no image of the memory, and make files for this user only."""
    os.umask(0o077)
    leave_no_image()


def leave_no_image() -> None:
    """Write no core dump and no session keys, and let only root attach (Linux); for commands too.

    A command may hold as much: SIGQUIT at the question of ``find`` would write the pepper to a file.
    """
    os.environ.pop("SSLKEYLOGFILE", None)  # redis-py and providers' SDKs make contexts of their own
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # a core pattern that is a pipe ignores the limit
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
