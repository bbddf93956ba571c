"""The architecture is who may load what: by the text of the modules, and by what a fresh process has loaded."""

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "reminder_worker"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the top down; a module imports from its own layer or from those below. Not all of them have to exist.
LAYERS = [
    set(names.split())
    for names in (
        "cli keycommands eventcommands locationcommands deadcommands supportcommands backupcommands demo audit testing",
        """startup scheduler worker pulse exporter web api verdicts hooks serving access reception ops enqueue screen
        terminal watching""",
        "equipment connection",
        "delivery reconciling answering inbox receipts replies events client doctor lint reviewing",
        "rehearsal",
        """endpoint routes gate circuit wire sending drafting templates contacts providers keys status gauges crowd
        decisions enquiry acts quarantine watermark""",
        """sealing gateway apikeys opening ratchet epochs root keyfiles findings schedule scripts store broker
        redisqueue rabbit embedded optouts agreement notes catalogue places commits durability pressure eventqueue
        history topology lines stops""",
        """ledger job plan disclosure pairs streets stems folding names errors metrics settings tables logs numbers
        https encoding lifeline confinement words segments records dates clocks answers webhooks documents signatures
        addresses timeliness padding magic background admission parting vocabulary endings options sharing ports
        mistakes postponing problems sockets reading affinity platformsite plugins
        hanging""",
    )
]
LONGEST_MODULE, LONGEST_FUNCTION = 250, 30  # lines
LONGER = {
    "reminder_worker.cli": 387,  # a short function for each command; apart they would be twenty files of ten lines
    # A provider is one file: settings, send, receipts, replies and its tables of codes.
    **{f"reminder_worker.providers.{name}": 280 for name in ("aws", "infobip", "messagebird", "ovh", "sinch", "smpp")},
    **{f"reminder_worker.providers.{name}": 280 for name in ("telnyx", "vonage")},
    "reminder_worker.providers.twilio": 345,
    # One server and one list of promises, which their readers want to see whole.
    "reminder_worker.testing.peer": 290,
    "reminder_worker.testing.promises": 265,
}
VAGUE = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "service", "services", "misc"}

SECRETS = {"contacts", "delivery", "opening", "providers", "drafting", "worker", "keys", "ratchet"}
BLIND = SECRETS | {"numbers", "client", "sealing"}  # what handles neither keys nor numbers nor texts
OPENERS = {"twilio", "phonenumbers", "nacl", "babel"}
HEAVY = {"dramatiq", "nacl", "twilio", "babel", "phonenumbers", "redis", "pydantic", "pydantic_settings", "msgspec"}


def tree(path):
    return ast.parse(path.read_text())


def names(node):
    """What an import statement names, as full module names; an attribute of a module counts as the module."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    assert node.level == 0, "imports are absolute"
    return {full if (full := f"{node.module}.{alias.name}") in MODULES else node.module or "" for alias in node.names}


def imports(path):
    """All modules of the package that a module imports, inside functions as well."""
    found = [names(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {name for some in found for name in some if name.partition(".")[0] == PACKAGE.name}


def layer(module):
    part = module.split(".")[1]
    return next((number for number, members in enumerate(LAYERS) if part in members), None)


SHOWN = [name for name in MODULES if name != PACKAGE.name]


@pytest.mark.parametrize("module", SHOWN)
def test_every_module_has_a_layer(module):
    assert layer(module) is not None, f"give {module} its place in LAYERS"


@pytest.mark.parametrize("module", SHOWN)
def test_imports_run_downwards(module):
    known = {name for name in imports(MODULES[module]) if name in SHOWN and layer(name) is not None}
    upwards = {name for name in known if layer(name) < (layer(module) or 0)}
    assert not upwards


def test_there_are_no_cycles():
    graph = {module: imports(path) for module, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_imported_by_a_star(module):
    stars = [node for node in ast.walk(tree(MODULES[module])) if isinstance(node, ast.alias) and node.name == "*"]
    assert not stars


def test_the_package_itself_is_a_docstring():
    [statement] = tree(PACKAGE / "__init__.py").body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value.value, str)


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short_and_say_what_they_are_for(module):
    assert len(MODULES[module].read_text().splitlines()) <= LONGER.get(module, LONGEST_MODULE)
    assert ast.get_docstring(tree(MODULES[module]))
    assert module.rpartition(".")[2] not in VAGUE


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = [node for node in ast.walk(tree(MODULES[module])) if isinstance(node, kinds)]
    lengths = {one.name: (one.end_lineno or one.lineno) - one.lineno + 1 for one in functions}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


@cache
def loaded(statements):
    """Return the modules that a fresh process has after these statements."""
    script = f"import json, sys\n{statements}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(json.loads(done.stdout))


def load(module):
    if f"{PACKAGE.name}.{module}" not in MODULES:
        pytest.skip(f"there is no {module} yet")
    return loaded(f"import {PACKAGE.name}.{module}")


def seen(modules, forbidden, packages):
    """Which of these modules of ours, with all inside them, and which of these packages are there."""
    ours = {f"{PACKAGE.name}.{name}" for name in forbidden}
    inside = {name for name in modules if ".".join(name.split(".")[:2]) in ours}
    return sorted(inside | {name for name in modules if name in packages})


def command(name):
    """What a command of the command line imports, as statements; of a command with others below it, all of them do."""
    group = PACKAGE / f"{name}commands.py"
    if group.exists():
        return imported(tree(group))
    modules = [tree(PACKAGE / module) for module in ("cli.py", "supportcommands.py")]
    (found,) = [node for one in modules for node in one.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return imported(found)


def imported(where):
    """Write down what is imported somewhere, inside functions as well, but for types."""
    found = [part for part in ast.walk(where) if isinstance(part, ast.Import | ast.ImportFrom)]
    return f"import {PACKAGE.name}.cli\n" + "\n".join(map(ast.unparse, found))


def test_the_scheduler_loads_nothing_that_opens_resolves_or_sends():
    assert seen(load("scheduler"), BLIND, OPENERS) == []


def test_the_command_that_runs_the_scheduler_is_as_blind():
    statements = command("scheduler")
    assert f"{PACKAGE.name}.scheduler" in loaded(statements)
    assert seen(loaded(statements), BLIND, OPENERS) == []


@pytest.mark.parametrize("name", ["", "desk", "login", "process", "site"])
def test_the_operator_s_page_is_blind(name):
    assert seen(load(f"ops.{name}".rstrip(".")), BLIND | {"optouts", "apikeys"}, OPENERS | {"dramatiq"}) == []


def test_the_command_that_runs_the_operator_s_page_is_as_blind():
    statements = command("ops")
    assert f"{PACKAGE.name}.ops.process" in loaded(statements)
    assert seen(loaded(statements), BLIND | {"optouts", "apikeys"}, OPENERS | {"dramatiq"}) == []


def test_the_hooks_process_loads_nothing_that_opens_resolves_or_texts():
    forbidden = SECRETS - {"providers"} | {"numbers", "client", "sending", "optouts", "answering"}
    assert seen(load("hooks"), forbidden, (OPENERS | {"dramatiq"}) - {"nacl"}) == []


@pytest.mark.parametrize("name", ["status", "dead", "acts"])
def test_commands_for_operators_load_nothing_that_opens(name):
    forbidden = SECRETS - {"drafting"} | {"numbers", "optouts", "sealing"}
    assert seen(loaded(command(name)), forbidden, {"twilio", "nacl", "phonenumbers"}) == []


def test_the_command_for_support_knows_numbers_and_opens_nothing():
    known = loaded(command("find"))
    assert seen(known, SECRETS - {"drafting"} | {"sealing"}, {"twilio", "nacl"}) == []
    assert {"reminder_worker.numbers", "reminder_worker.optouts"} <= known


def test_a_booking_platform_loads_nothing_that_opens_or_sends():
    assert seen(load("client"), SECRETS, {"twilio", "babel", "dramatiq"}) == []


@pytest.mark.parametrize("module", ["web", "api"])
def test_the_gateway_loads_nothing_that_opens_or_sends(module):
    assert seen(load(module), SECRETS, {"twilio", "babel"}) == []


def test_the_command_line_starts_without_what_its_commands_need():
    assert seen(load("cli"), SECRETS | {"settings"}, HEAVY) == []


def test_the_worker_would_be_seen():
    assert {"reminder_worker.opening", "reminder_worker.providers", "nacl"} <= set(seen(load("worker"), BLIND, OPENERS))
