"""The folder in which the processes of one worker count together: small files that hold names and numbers of series.

prometheus_client looks for it as soon as it is imported, so this comes before all that counts, and imports nothing
of it.
"""

import os
import shutil
import tempfile

from reminder_worker.settings import Settings

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's name for the folder
FOLDER = "reminder-worker-metrics-"


def share(chosen: Settings) -> None:
    """Let the processes of a worker count together; before they are started."""
    if chosen.metrics_listen is not None:
        os.environ[SHARED] = tempfile.mkdtemp(prefix=FOLDER, dir=os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - private


def unshare() -> None:
    """Remove what they shared. Whoever still counts does so in files without a name."""
    if folder := os.environ.get(SHARED):
        shutil.rmtree(folder, ignore_errors=True)
