"""RQ's own scheduler, a job for each reminder, with its number and its text.

    PEER_URL=redis://… python way_of_rq.py add COUNT | burst COUNT SECONDS [RATE]

Workers: ``rq worker --with-scheduler``. What ran writes how late it was into the file $PEER_LATE, 8 bytes each.
"""

import json
import math
import os
import struct
import sys
import time
from datetime import UTC, datetime, timedelta

import way_of_rq
from redis import Redis
from rq import Queue

TEXT = "Rappel : vous avez rendez-vous le mercredi 25 novembre à 09:15, 12 rue des Lilas, Lyon."


def remind(phone: str, text: str, due: float) -> None:
    """Stand in for the call of a provider that answers at once."""
    late = os.open(os.environ["PEER_LATE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(late, struct.pack("d", time.time() - due))
    os.close(late)


def main(mode: str, count: int, seconds: float = 0.0, rate: float = math.inf) -> None:
    """Add reminders, due so many a second, and say how long that took."""
    queue = Queue(connection=Redis.from_url(os.environ["PEER_URL"]))
    first, far = time.time() + seconds, datetime.now(UTC) + timedelta(days=30)
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        due = first + number / rate
        when = far if mode == "add" else datetime.fromtimestamp(due, UTC)
        queue.enqueue_at(when, way_of_rq.remind, f"+33612{number:06d}", TEXT, due)
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "due": first}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
