"""Every finding there is, by the text of the code: it says what, why it matters and how to mend it."""

import ast
from pathlib import Path

import pytest

from reminder_worker.errors import SettingsError
from reminder_worker.findings import Finding, check_private, try_to_load
from reminder_worker.logs import plain

ROOT = Path(__file__).parents[1]
SOURCES = [*sorted((ROOT / "reminder_worker/doctor").glob("*.py")), ROOT / "reminder_worker/findings.py"]
PARTS = ("code", "what", "why", "mend")
MENDS = {  # what somebody is told to do begins with what they are to do
    *("add", "bring", "choose", "copy", "free", "give", "list", "look", "mend", "read", "register", "run", "run:"),
    *("set", "start", "switch", "take", "upgrade", "use", "write"),
}


def texts(node: ast.expr) -> str | None:
    """Return a text of the code, an ellipsis for what is filled in; None where it is given from elsewhere."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else None


def made(path: Path) -> list[dict[str, str | None]]:
    """Return the parts of each finding that a module makes."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Finding", "unsafe"}:
            arguments = node.args[node.func.id == "Finding" :]
            assert len(arguments) == len(PARTS), ast.unparse(node)
            found.append(dict(zip(PARTS, map(texts, arguments), strict=True)))
    return found


FOUND = [one for path in SOURCES for one in made(path)]


def test_there_are_findings_to_walk_through() -> None:
    assert len({one["code"] for one in FOUND}) > 25


@pytest.mark.parametrize("one", FOUND, ids=lambda one: one["code"])
def test_a_finding_says_what_why_and_how_to_mend_it(one: dict[str, str | None]) -> None:
    assert one["code"] is not None
    assert plain(one["code"]) == one["code"]
    for name in ("what", "why", "mend"):
        text = one[name]
        assert text is None or (len(text.split()) > 1 and not text.endswith((".", " ")) and text == text.strip()), name
    assert one["why"] != one["what"]
    assert one["mend"] is not None
    assert one["mend"].split()[0] in MENDS


def test_no_part_of_a_finding_is_left_to_a_default() -> None:
    with pytest.raises(TypeError):
        Finding("unsafe", "code", "what")  # type: ignore[call-arg, arg-type]


def test_every_finding_is_looked_for_by_some_test() -> None:
    said = " ".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert sorted({str(one["code"]) for one in FOUND if f'"{one["code"]}"' not in said}) == []


def test_what_cannot_be_loaded_says_what_follows_from_that() -> None:
    def load() -> None:
        raise SettingsError("templates: there is no such folder")

    (found,) = try_to_load("templates", load)
    assert found.what == "templates: there is no such folder"
    assert found.why == "templates cannot be used, and no process that needs this starts"


def test_a_private_file_that_others_can_read_says_what_they_could_do(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2")
    file.chmod(0o644)
    (found,) = check_private("the file", file, "it opens all jobs")
    assert (found.why, found.mend) == ("it opens all jobs", f"run: chmod 600 {file}")
