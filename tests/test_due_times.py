"""docs/traffic.md shows what its script prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "traffic.md").read_text("utf-8")
COMMANDS = re.findall(r"`python (benchmarks/due_times\.py [^`]*)`", PAGE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_shows_what_its_script_prints(command: str) -> None:
    said = subprocess.run(
        [sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert len(said.splitlines()) > 4
    assert said in PAGE


def test_the_page_names_its_scripts() -> None:
    assert len(COMMANDS) == 2
