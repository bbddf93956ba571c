"""Who may do what in the store: what ``ops/redis`` grants, and what the scripts need, read from their text."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ACL = ROOT / "ops" / "redis"
LUA = ROOT / "reminder_worker" / "lua"

Grant = tuple[str, str]  # command, key pattern without the shard's prefix; no pattern: a command without keys

_PREFIX = "rw:{0}:"
_KEY = re.compile(r"(?:%(?:R|W|RW))?~(.+)")


def grants(user: str) -> set[Grant]:
    """Return what a file grants: each command with each key of its own pair of brackets, or without a key."""
    found: set[Grant] = set()
    brackets, rest = selectors(rules(user))
    for part in [*brackets, rest]:
        words = part.split()
        commands = [word[1:] for word in words if word.startswith("+")]
        keys = [match[1].removeprefix(_PREFIX) for word in words if (match := _KEY.fullmatch(word))]
        found |= {(command, key) for command in commands for key in keys or [""]}
    return found


def rules(user: str) -> str:
    """Return what a file says, in one line and without its comments, as ``ops/redis/join`` makes it."""
    lines = (ACL / f"{user}.acl").read_text().splitlines()
    return " ".join(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def selectors(text: str) -> tuple[list[str], str]:
    """Return what stands in each pair of brackets, and what stands outside."""
    return re.findall(r"\(([^)]*)\)", text), re.sub(r"\([^)]*\)", " ", text)


# What a script needs.


@cache
def needs(script: str) -> frozenset[Grant]:
    """Return every command that a script may call, with the pattern of its key."""
    shared, text = _functions((LUA / "ledger.lua").read_text()), (LUA / f"{script}.lua").read_text()
    chunks, waiting = {"": text}, [text]
    while waiting:
        body = waiting.pop()
        for name in shared.keys() - chunks.keys():
            if re.search(rf"\b{name}\(", body):
                chunks[name] = shared[name]
                waiting.append(shared[name])
    found = {need for name, body in chunks.items() for need in _calls(body, chunks)}
    return frozenset(found | {("time", "")})


def _functions(text: str) -> dict[str, str]:
    """Cut the shared part into its functions."""
    text = _code(text)
    pattern = r"(?ms)^local function (\w+)\((?:[^\n]* end$|.*?^end$)"
    return {match[1]: match[0] for match in re.finditer(pattern, text)}


def _code(text: str) -> str:
    return re.sub(r"--.*", "", text)


def _calls(body: str, chunks: dict[str, str]) -> Iterator[Grant]:
    body = _code(body)
    for match in re.finditer(r"redis\.call\(", body):
        command, *arguments = _arguments(body, match.end())
        name = command.strip("'\"").lower()
        if name == "time":
            continue
        for key in _keys(arguments[0], body, match.start(), chunks):
            yield name, key


def _arguments(text: str, start: int) -> list[str]:
    """Split what stands between brackets at its commas."""
    depth, parts = 1, [""]
    for character in text[start:]:
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(character, 0)
        if depth == 0:
            break
        if character == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _keys(expression: str, body: str, at: int, chunks: dict[str, str]) -> Iterator[str]:
    """Turn what names a key, at some place of a script, into the pattern that such keys have."""
    if match := re.match(r"(reminder|appointment|counts_of)\(", expression):
        yield {"reminder": "r:*", "appointment": "a:*", "counts_of": "n:*"}[match[1]]
    elif match := re.match(r"P \.\. '([\w.:]+)'(.*)", expression):
        yield match[1] + ("*" if match[2] else "")
    elif match := re.match(r"(\w+)\(", expression):  # the function says which key it used
        inside = chunks[match[1]]
        returned = re.search(r"return (\w+)\s+end", inside)
        assert returned, expression
        yield from _keys(returned[1], inside, returned.start(), chunks)
    elif expression.isupper():
        shared = _code((LUA / "ledger.lua").read_text())
        yield from _keys(_named(expression, shared, len(shared), chunks)[0], shared, 0, chunks)
    else:
        for meant in _named(expression, body, at, chunks):
            yield from _keys(meant, body, at, chunks)


def _named(name: str, body: str, at: int, chunks: dict[str, str]) -> list[str]:
    """Return what a name stands for at some place: what it was last set to, or what a function is given for it."""
    last: list[str] = []
    for match in re.finditer(r"local (?:function (\w+)\(([^)]*)\)|([\w, ]+) = )", body[:at]):
        names = [one.strip() for one in (match[2] or match[3] or "").split(",")]
        if name not in names:
            continue
        place = names.index(name)
        if match[1] is None:
            values = _arguments(body[match.end() :].split("\n", 1)[0] + ")", 0)
            last = values[place : place + 1]
        else:
            calls = re.finditer(rf"(?<!function )\b{match[1]}\(", body)
            last = [_arguments(body, call.end())[place] for call in calls]
    assert last, f"what is {name}?"
    return last
