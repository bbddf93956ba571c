"""docs/adding-a-provider.md is right because it runs: its files, installed, and the contract that stands in it."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/adding-a-provider.md"
BLOCK = re.compile(r"^`([a-z_.]+)`.*?\n\n```(?:toml|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def files() -> dict[str, str]:
    """The page's files, each by the name that begins the line above it."""
    text = PAGE.read_text()
    found = dict(BLOCK.findall(text))
    assert list(found) == ["pyproject.toml", "acme_reminders.py", "test_acme.py"]
    assert len(found) == text.count("```") / 2, "every block is one of the files"
    return found
