"""The events of the log: the list in the code, the table in docs/operating.md, and what the modules really say."""

import ast
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from test_layers import MODULES, imports

from reminder_worker.logs import FIELDS
from reminder_worker.vocabulary import EVENTS

PAGE = (Path(__file__).parents[1] / "docs" / "operating.md").read_text()
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
LEVELS |= {"critical": "critical"}
CRASH = {"error", "raised"}  # what a line tells of an exception by itself
ALWAYS = {"at", "level", "event", "where", "pid", "logger", "raised", "withheld"}
HAPPENING = {"reminder"}  # which a line names by itself, while something is done about one
ENTRANCES = {  # the modules that each process begins with, and those of plug-ins that it loads by name
    "worker": {"startup", "exporter", "providers."},
    "scheduler": {"scheduler", "exporter", "doctor", "broker"},
    "web": {"web"},
    "hooks": {"hooks", "providers."},
    "ops": {"ops.process"},
    "commands": {"deadcommands", "supportcommands"},
}


@dataclass(frozen=True)
class Said:
    """One call of a logger."""

    module: str
    event: str
    level: str
    fields: frozenset[str]


@dataclass
class Row:
    """One row of the table, and what modules say of its event."""

    levels: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def table() -> dict[str, Row]:
    section = PAGE.partition("\n## Logs\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| `(\w+)` \|([^|]+)\|([^|]+)\|([^|]*)\| [^|]+ \|$", section)
    cells = {event: Row(words(a), words(b), set(re.findall(r"`(\w+)`", c))) for event, a, b, c in rows}
    assert len(rows) == len(cells), "an event stands there twice"
    return cells


def words(cell: str) -> set[str]:
    return set(re.findall(r"\w+", cell))


def is_log(call: ast.AST) -> bool:
    """Tell whether this is a call of a module's logger, or of what looks like one."""
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {*LEVELS, "log", "warn", "fatal"}
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id.lower().strip("_") in {"log", "logger", "logging"}
    )


def read(text: str, module: str = "reminder_worker.one") -> Iterator[Said]:
    """Return what the loggers of a module are called with."""
    whole = ast.parse(text)
    for function in [*functions(whole), whole]:
        for call in ast.walk(function):
            if is_log(call) and not any(call in ast.walk(inner) for inner in functions(function) if inner != function):
                assert isinstance(call, ast.Call)
                assert isinstance(call.func, ast.Attribute)
                assert len(call.args) == 1, f"{module}:{call.lineno}: an event takes no arguments"
                for event in strings(call.args[0], whole):
                    yield Said(module, event, LEVELS[call.func.attr], frozenset(given(call, function)))


def functions(where: ast.AST) -> list[ast.AST]:
    return [node for node in ast.walk(where) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def strings(node: ast.expr, module: ast.Module) -> list[str]:
    """Return the words that an expression can be: one, one of two, or one of a table of the module."""
    match node:
        case ast.Constant(value=str(word)):
            return [word]
        case ast.IfExp():
            return [*strings(node.body, module), *strings(node.orelse, module)]
        case ast.Subscript(value=ast.Name(id=name)):
            (values,) = [one for one in assigned(name, module) if isinstance(one, ast.Dict)]
            return [word for value in values.values for word in strings(value, module)]
    raise AssertionError(f"line {node.lineno}: say the event as a word")


def given(call: ast.Call, function: ast.AST) -> set[str]:
    """Return the fields that a call names, by itself or in a dictionary that its function has made before."""
    named = {word.arg: word.value for word in call.keywords}
    assert named.keys() <= {"extra", "exc_info"}
    assert isinstance(call.func, ast.Attribute)
    crash = CRASH if "exc_info" in named or call.func.attr == "exception" else set()
    return crash | (keys(named["extra"], function) if "extra" in named else set())


def keys(node: ast.expr, function: ast.AST) -> set[str]:
    match node:
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {name for key, value in pairs for name in ([key.value] if key else keys(value, function))}
        case ast.IfExp():
            return keys(node.body, function) | keys(node.orelse, function)
        case ast.DictComp(generators=[ast.comprehension(iter=ast.Call(func=ast.Attribute(value=ast.Name(id=name))))]):
            return keys(ast.Name(name), function)
        case ast.Name(id=name) if found := assigned(name, function):
            return {key for value in found for key in keys(value, function)}
    raise AssertionError(f"line {node.lineno}: name the fields where the line is made")


def assigned(name: str, where: ast.AST) -> list[ast.expr]:
    return [
        node.value
        for node in ast.walk(where)
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in node.targets)
    ]


@cache
def said() -> tuple[Said, ...]:
    inside = {name: path for name, path in MODULES.items() if not name.startswith("reminder_worker.audit")}
    return tuple(one for name, path in inside.items() for one in read(path.read_text(), name))


def told() -> dict[str, Row]:
    """Return what all modules together say of each event."""
    rows: dict[str, Row] = defaultdict(Row)
    for one in said():
        rows[one.event].levels.add(one.level)
        rows[one.event].fields |= one.fields
    return rows


@cache
def loaded(process: str) -> set[str]:
    """Return all modules that a process can load."""
    starts = {f"reminder_worker.{name}" for name in ENTRANCES[process]}
    found = {
        name for name in MODULES if any(name == one or (one[-1] == "." and name.startswith(one)) for one in starts)
    }
    while more := {name for one in found for name in imports(MODULES[one])} & MODULES.keys() - found:
        found |= more
    return found


def test_the_list_the_table_and_what_is_said_are_the_same_events() -> None:
    assert {one.event for one in said()} == EVENTS
    assert table().keys() == EVENTS


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_an_event_is_said_as_the_table_has_it(event: str) -> None:
    row, real = table()[event], told()[event]
    assert row.levels == real.levels
    assert row.fields - HAPPENING == real.fields - HAPPENING
    assert real.fields - {"raised"} <= set(FIELDS)


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_a_process_that_the_table_names_can_say_it(event: str) -> None:
    processes = table()[event].processes
    assert processes
    assert processes <= ENTRANCES.keys()
    modules = {one.module for one in said() if one.event == event}
    assert all(modules & loaded(process) for process in processes)


def test_every_field_that_may_be_written_is_one_that_something_writes() -> None:
    assert {name for row in table().values() for name in row.fields} - {"raised"} == set(FIELDS)


def test_the_section_explains_what_every_line_has() -> None:
    section = PAGE.partition("\n## Logs\n")[2].partition("\n### Events\n")[0]
    assert set(re.findall(r"`(\w+)`", section)) >= ALWAYS


def test_no_field_is_one_of_python_s_own() -> None:
    assert not set(FIELDS) & set(vars(logging.makeLogRecord({})))


# The reader of modules reads what it should.


def test_a_call_is_read_with_its_words_and_fields_wherever_they_are_made() -> None:
    text = """
T = {"a": "first", "b": "second"}
def one(x):
    shown = {"provider": x, "status": 1}
    log.warning("left" if x else "right", extra=shown)
    log.info(T[x])
    def two():
        why = {"status": 1} if x else {"reason": 2}
        _LOG.exception("inner", extra={"code": 1, **why})
    log.critical("crashed", exc_info=x)
"""
    assert {(one.event, one.level, one.fields) for one in read(text)} == {
        ("left", "warning", frozenset({"provider", "status"})),
        ("right", "warning", frozenset({"provider", "status"})),
        ("first", "info", frozenset()),
        ("second", "info", frozenset()),
        ("inner", "error", frozenset({"code", "status", "reason", *CRASH})),
        ("crashed", "critical", frozenset(CRASH)),
    }


@pytest.mark.parametrize(
    "line",
    [
        'log.info(f"sent_{to}")',
        'log.info("sent to %s", to)',
        "log.info(event)",
        'log.info("sent", extra=fields())',
        'log.info("sent", extra=to)',
        'log.info("sent", stack_info=True)',
        'log.log(10, "sent")',
        'logging.warning("sent " + to)',
    ],
)
def test_what_cannot_be_read_is_not_let_through(line: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        list(read(f"def one(to, event):\n    {line}\n"))
