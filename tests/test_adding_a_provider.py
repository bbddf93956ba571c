"""docs/adding-a-provider.md is right because it runs: its files, installed, and the contract that stands in it."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/adding-a-provider.md"
BLOCK = re.compile(r"^`([a-z_.]+)`:[^`]*(?:`[^`\n]+`[^`]*)*```(?:toml|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ALONE = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # of pytest's plug-ins it needs none
NAMES = ["pyproject.toml", "acme_reminders.py", "test_acme.py"]


@pytest.fixture
def files() -> dict[str, str]:
    """The page's files, each named at the beginning of the paragraph above it."""
    page = PAGE.read_text()
    found = dict(BLOCK.findall(page))
    assert list(found) == NAMES
    assert page.count("```") == 2 * len(found), "every block is one of these files"
    return found


def install(files: Mapping[str, str], folder: Path) -> None:
    """Write what ``pip install`` would: the modules, and a folder that says which plug-ins they hold."""
    for name in NAMES[1:]:
        (folder / name).write_text(files[name])
    groups = tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]
    lines = [line for group, names in groups.items() for line in (f"[{group}]", *map(" = ".join, names.items()))]
    installed = folder / "acme_reminders-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-reminders\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("\n".join(lines) + "\n")


def run(folder: Path, *options: str) -> str:
    """Run the page's tests in a process of their own, where the plug-in is installed; return what pytest says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rsf"]
    done = subprocess.run(
        [*command, *options, "test_acme.py"],
        cwd=folder,
        env=os.environ | ALONE | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_provider_of_the_page_keeps_every_promise(files: dict[str, str], tmp_path: Path) -> None:
    install(files, tmp_path)
    said = run(tmp_path)
    passed, skipped = re.search(r"^(\d+) passed, (\d+) skipped in", said, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert int(passed) > 50, said
    assert int(skipped) == 7, "it cannot deduplicate, be asked (three promises), be searched (two), or forget"


@pytest.mark.parametrize(
    ("right", "wrong", "test"),
    [
        ("webhooks.check_hmac(", "str(", "forged"),
        ("CODES.get(said.code)", "CODES.get(said.code, Reason.NUMBER_REFUSED)", "nobody_knows"),
        ('"signing_key_file"\n', '"key_file"\n', "forged or language or meaning"),
        ("answers.read(answer.body, Answer) or Answer()", "Answer(**json.loads(answer.body))", "cannot_be_read"),
        ("int(text.valid_for.total_seconds())", "86400", "of_no_use"),
    ],
)
def test_a_mistake_in_it_is_found(files: dict[str, str], tmp_path: Path, right: str, wrong: str, test: str) -> None:
    module = files["acme_reminders.py"]
    assert module.count(right) == 1
    install({**files, "acme_reminders.py": module.replace(right, wrong)}, tmp_path)
    assert re.search(r"^\d+ failed", run(tmp_path, "-k", test), re.MULTILINE)


def test_it_is_short(files: dict[str, str]) -> None:
    lines = [line for content in files.values() for line in content.splitlines() if line.strip()]
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 120
