"""The texts of the scripts in ``lua/``, and how to run one many times, or with commands that look at its writes."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from reminder_worker.lines import Command
from reminder_worker.store import Client


def _read() -> dict[str, tuple[str, str]]:
    """Read all scripts, with the shared part behind the first line of each, and their SHA-1.

    This happens at once, when a process begins. A script read only when it is needed might not open any more, or be of
    a later version, just when a provider has accepted a text and that has to be recorded.
    """
    found = {}
    texts = {file.name.removesuffix(".lua"): file.read_text() for file in (files("reminder_worker") / "lua").iterdir()}
    shared = texts.pop("ledger")
    for name, text in texts.items():
        first, _, rest = text.partition("\n")
        source = f"{first}\n{shared}\n{rest}"
        found[name] = source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return found


_SCRIPTS = _read()


def script(name: str) -> tuple[str, str]:
    """Return a script, and its SHA-1."""
    return _SCRIPTS[name]


def run_before(
    ask: Callable[..., list[Any]], text: tuple[str, str], words: Sequence[Any], *commands: Command
) -> list[Any]:
    """Run a script, then commands on its connection: one that waits for the disk waits for the script's own writes.

    ``ask`` sends commands in one piece. Return the answers, which may include errors of the commands. Raises
    RedisError.
    """
    source, digest = text
    replies = ask(("EVALSHA", digest, 1, *words), *commands)
    if isinstance(replies[0], NoScriptError):
        replies = ask(("EVAL", source, 1, *words), *commands)
    if isinstance(replies[0], RedisError):
        raise replies[0]
    return replies


def run_each(server: Client, text: tuple[str, str], key: bytes, calls: Sequence[Sequence[Any]]) -> list[Any]:
    """Run a script many times in one round trip; return the answer to each call. Raises RedisError."""
    source, digest = text
    with server.pipeline(transaction=False) as pipe:
        for run, named in ((pipe.evalsha, digest), (pipe.eval, source)):
            for words in calls:
                run(named, 1, key, *words)
            replies: list[Any] = pipe.execute(raise_on_error=False)
            if not any(isinstance(reply, NoScriptError) for reply in replies):
                break
    if errors := [reply for reply in replies if isinstance(reply, RedisError)]:
        raise errors[0]
    return replies
