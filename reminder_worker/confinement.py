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
    """Write no core dump and no session keys, let only root attach (Linux), and make files for this user only."""
    os.umask(0o077)
    os.environ.pop("SSLKEYLOGFILE", None)  # redis-py and providers' SDKs make contexts of their own
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # a core pattern that is a pipe ignores the limit
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
