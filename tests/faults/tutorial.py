"""The way of a provider's own tutorial, for contrast: a delayed message for each reminder, with dramatiq's defaults.

    PEER_URL=redis://… CARRIER=http://… python tutorial.py COUNT SECONDS

Workers: ``dramatiq tutorial``. It runs in the environment of the benchmarks' peers, and knows nothing of ours.
"""

import http.client
import json
import os
import sys
import time
import uuid
from urllib.parse import urlsplit

import dramatiq
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["PEER_URL"]))


def call(phone: str, text: str) -> None:
    """Ask the provider to send a text, as its client does."""
    connection = http.client.HTTPConnection(urlsplit(os.environ["CARRIER"]).netloc, timeout=10)
    body = json.dumps({"to": phone, "text": text, "key": uuid.uuid4().hex})
    connection.request("POST", "/messages", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != http.client.OK:
        raise RuntimeError(answer.status)


@dramatiq.actor
def remind(phone: str, text: str) -> None:
    """Send a reminder."""
    call(phone, text)


def main(count: int, seconds: float) -> None:
    """Hand in reminders that fall due within so many seconds from soon on."""
    first = time.time() + 3 + count / 2000
    for number in range(count):
        delay = first + seconds * number / count - time.time()
        words = f"+33612{number:06d}", f"Rappel : vous avez rendez-vous demain, {number} rue des Lilas, Lyon."
        remind.send_with_options(args=words, delay=max(0, int(delay * 1000)))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
