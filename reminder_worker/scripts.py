"""The texts of the scripts in ``lua/``, and how one is run many times, or with a look at what became of its writes."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from reminder_worker.lines import Command
from reminder_worker.store import Client


def _read() -> dict[str, tuple[str, str]]:
    """Read all scripts, with the shared part behind the first line of each, and their SHA-1.

    At once, when a process begins: whoever reads one as late as when it is needed may find that no file can be opened
    any more, or a later version, when a provider has accepted a text and that has to be written down.
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
    """Run a script, and then commands on its connection: one that waits for the disk waits for its own writes.

    ``ask`` says commands in one piece. Return what was answered; errors of the commands stand among that. Raises
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
    """Run a script many times in one round trip; return what each was answered. Raises RedisError."""
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
