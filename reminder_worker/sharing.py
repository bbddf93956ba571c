"""The folder in which the processes of one worker count together: small files that hold names and numbers of series.

prometheus_client looks for the folder as soon as it is imported. So this module comes before everything that counts,
and does not import prometheus_client.
"""

import os
import shutil
import tempfile
from contextlib import suppress

from reminder_worker.errors import SettingsError
from reminder_worker.settings import Settings

ROOM = 16 * 2**20  # bytes; a process counts in a few hundred KiB of memory that is backed by files
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's name for the folder
FOLDER = "reminder-worker-metrics-"


def share(chosen: Settings) -> None:
    """Let the processes of a worker count together; call this before they start. Raises SettingsError.

    A process that writes to such memory while its disk is full is killed by SIGBUS, and can report nothing more.
    """
    if chosen.metrics_listen is None:
        return
    place = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - what is made there is private
    with suppress(OSError):
        if shutil.disk_usage(place).free >= ROOM:
            os.environ[SHARED] = tempfile.mkdtemp(prefix=FOLDER, dir=place)
            return
    needed = f"needs a folder in which {ROOM >> 20} MiB can be written"
    raise SettingsError(f"metrics_listen: {needed}: make room in {place}, or set TMPDIR to another one")


def unshare() -> None:
    """Remove the folder that they shared. A process that still counts does so in files without a name."""
    if folder := os.environ.get(SHARED):
        shutil.rmtree(folder, ignore_errors=True)
