"""The way of a provider's own tutorial: a delayed dramatiq message for each reminder, with its number and its text.

    PEER_URL=redis://… python way_of_dramatiq.py add COUNT | burst COUNT SECONDS [RATE] | plain COUNT

Workers: ``dramatiq way_of_dramatiq``. What ran writes how late it was into the file $PEER_LATE, 8 bytes each.
"""

import json
import math
import os
import struct
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

MONTH_MS = 30 * 86_400_000
dramatiq.set_broker(RedisBroker(url=os.environ["PEER_URL"]))
late = os.open(os.environ["PEER_LATE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT) if "PEER_LATE" in os.environ else 1


@dramatiq.actor
def remind(phone: str, text: str, due: float) -> None:
    """Stand in for the call of a provider that answers at once."""
    os.write(late, struct.pack("d", time.time() - due))


@dramatiq.actor
def nothing(due: float) -> None:
    """Do nothing: what a worker can do at the most."""
    os.write(late, struct.pack("d", time.time() - due))


TEXT = "Rappel : vous avez rendez-vous le mercredi 25 novembre à 09:15, 12 rue des Lilas, Lyon."


def main(mode: str, count: int, seconds: float = 0.0, rate: float = math.inf) -> None:
    """Add reminders, due so many a second, and say how long that took."""
    first = time.time() + seconds
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        phone, due = f"+33612{number:06d}", first + number / rate
        if mode == "plain":
            nothing.send(due)
        else:
            delay = MONTH_MS if mode == "add" else max(0, int((due - time.time()) * 1000))
            remind.send_with_options(args=(phone, TEXT, due), delay=delay)
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "due": first}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
