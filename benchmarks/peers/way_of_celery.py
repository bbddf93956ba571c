"""Celery with an ETA for each reminder, with its number and its text.

    CELERY_URL=redis://… python way_of_celery.py add COUNT | burst COUNT SECONDS

Workers: ``celery -A way_of_celery worker``. What ran writes how late it was into the file $PEER_LATE, 8 bytes each.
"""

import json
import os
import struct
import sys
import time
from datetime import UTC, datetime, timedelta

from celery import Celery

app = Celery("way_of_celery", broker=os.environ["CELERY_URL"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
late = os.open(os.environ["PEER_LATE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT) if "PEER_LATE" in os.environ else 1


@app.task
def remind(phone: str, text: str, due: float) -> None:
    """Stand in for the call of a provider that answers at once."""
    os.write(late, struct.pack("d", time.time() - due))


TEXT = "Rappel : vous avez rendez-vous le mercredi 25 novembre à 09:15, 12 rue des Lilas, Lyon."


def main(mode: str, count: int, seconds: float = 0.0) -> None:
    """Add reminders, and say how long that took."""
    due = time.time() + seconds
    eta = datetime.now(UTC) + timedelta(days=30) if mode == "add" else datetime.fromtimestamp(due, UTC)
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        remind.apply_async((f"+33612{number:06d}", TEXT, due), eta=eta)
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "due": due}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
