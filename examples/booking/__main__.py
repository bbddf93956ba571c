"""Start the whole example on this machine: python -m examples.booking. Ctrl-C ends it and leaves nothing behind."""

# ruff: noqa: T201 - it says what it does
import argparse
import signal
import socket
import sys
import time

from examples.booking.installation import Installation

PORT = 8700  # of the booking site; the page that watches has the next one


def main():
    parser = argparse.ArgumentParser(description="A booking platform that cannot read its appointments.")
    parser.add_argument("--port", type=int, default=PORT, help=f"of the booking site; the next one too ({PORT})")
    parser.add_argument("--keep", action="store_true", help="keep the folder with keys, databases and logs")
    arguments = parser.parse_args()
    if taken := [port for port in (arguments.port, arguments.port + 1) if is_taken(port)]:
        sys.exit(f"error: port {taken[0]} is in use\nhint: python -m examples.booking --port 8800")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(arguments)
    except KeyboardInterrupt:
        print("\nended.", flush=True)


def run(arguments):
    print("starting …", flush=True)
    with Installation(arguments.port, keep=arguments.keep) as booking:
        print(described(booking), flush=True)
        while not (died := booking.died()):
            time.sleep(1)
        sys.exit(f"error: {died[0]} has ended; its log says:\n{booking.log(died[0]).read_text()[-2000:]}")


def described(booking):
    site, lilas, wasserturm = booking.addresses["site"], *booking.practices["practices"]
    return f"""
  patient              {site}/
  practice             {site}/practice
  who sees what, live  {booking.addresses["watch"]}/

  {lilas["name"]} opens with the file      {booking.key_file}
  {wasserturm["name"]} opens with the words  {booking.passphrase}

  The reminder worker's key, as the pages have to show it:
    {booking.fingerprint}

  Texts go out ten seconds after a booking, into {booking.outbox}
  Everything is in {booking.folder}. Ctrl-C ends it{"" if booking.keep else " and removes that folder"}.
"""


def is_taken(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


if __name__ == "__main__":
    main()
