"""Ports for short-lived servers: those of the demo, the audit, the example and the tests."""

import contextlib
import secrets
import socket

PORTS = range(20_000, 30_000)  # systems hand out others on their own: none of these is taken before it is used
_given: set[int] = set()


def free_port(in_a_row: int = 1) -> int:
    """Return the first of ``in_a_row`` ports that nobody listens on and that this process was not given before."""
    while True:
        first = PORTS[secrets.randbelow(len(PORTS) - in_a_row)]
        some = range(first, first + in_a_row)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in some:
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            if _given.isdisjoint(some):
                _given.update(some)
                return first
