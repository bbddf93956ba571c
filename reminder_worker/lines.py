"""Sends commands to the store in one piece, over each thread's own connection."""

import os
import threading
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.exceptions import ResponseError

from reminder_worker.store import Client
from reminder_worker.topology import is_one, server_of

Command = tuple[Any, ...]  # its name and its arguments


class Lines(threading.local):
    """A connection for each thread, which keeps it: borrowing one, and what a client does besides, is much of a call.

    If there are several servers, connections are borrowed: a kept one that is lost would reconnect to the server that
    it had, and a borrowed one goes to the server that is master by then.
    """

    def __init__(self, shared: Client) -> None:
        self._shared = shared
        self._borrows = not is_one(shared)
        self._process = 0

    def ask(self, key: bytes, *commands: Command) -> list[Any]:
        """Send commands in one piece to the server that has this key, and again if the connection is lost.

        Return the answers, errors among them. Raises RedisError.
        """
        if self._borrows:
            return self._borrow(key, commands)
        if self._process != os.getpid():  # a forked process needs connections of its own
            self._line, self._process = self._new(), os.getpid()
        line = self._line
        answers: list[Any] = line.retry.call_with_retry(lambda: _said(line, commands), lambda _: line.disconnect())
        return answers

    def _new(self) -> Any:
        """Make a connection outside the pool, which would count it even after it has ended with its thread."""
        pool = self._shared.connection_pool
        return pool.connection_class(**pool.connection_kwargs)

    def _borrow(self, key: bytes, commands: Sequence[Command]) -> list[Any]:
        if len(commands) > 1:
            with server_of(self._shared, key) as server:
                return piped(server, *commands)
        try:
            return [self._shared.execute_command(*commands[0])]
        except ResponseError as error:
            return [error]


def _said(line: Any, commands: Sequence[Command]) -> list[Any]:
    line.send_packed_command([b"".join(map(pack_command, commands))])
    return [_answer(line) for _ in commands]


def _answer(line: Any) -> Any:
    try:
        return line.read_response()
    except ResponseError as error:
        return error


def piped(server: Client, *commands: Command) -> list[Any]:
    """Send commands in one piece; return the answers, errors among them. Raises RedisError."""
    with server.pipeline(transaction=False) as pipe:
        for words in commands:
            pipe.execute_command(*words)
        answers: list[Any] = pipe.execute(raise_on_error=False)
    return answers
