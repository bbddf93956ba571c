"""The pages say of each setting what its class says, and what they show as an example is read."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from reminder_worker.options import Options
from reminder_worker.settings import read

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

import build_settings  # noqa: E402 - a script beside the pages

PAGE = (DOCS / "settings.md").read_text("utf-8")
EXAMPLE = re.compile(r"```toml\n(.*?)```", re.DOTALL)


def test_the_pages_are_as_the_classes_make_them():
    for page, text in build_settings.pages().items():
        assert page.read_text("utf-8") == text, f"run python docs/build_settings.py for {page.name}"


def test_every_setting_of_the_program_is_on_the_page():
    names = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE))
    assert set(Options.model_fields) <= names
    assert {"verify_key", "events_private", "daily_spend", "weights", "pinned"} <= names


class _Silent(BaseModel):
    mute: int = 1


class _Vague(BaseModel):
    which: list[str] = Field(default=[], description="which ones")


@pytest.mark.parametrize("model", [_Silent, _Vague])
def test_a_setting_that_says_too_little_is_refused(model):
    with pytest.raises(SystemExit, match="needs Field"):
        build_settings.table(model.model_fields)


def test_words_are_made_of_types_limits_and_defaults():
    class Some(BaseModel):
        one: int = Field(default=12_000, ge=1, le=20_000, description="a|b")
        two: float | None = Field(default=None, gt=0, alias="from", description="c")
        three: bool = Field(description="d")

    assert build_settings.table(Some.model_fields).splitlines()[2:] == [
        "| `one` | whole number, 1 to 20,000 | 12,000 | a\\|b |",
        "| `from` | number, over 0 | none | c |",
        "| `three` | `true` or `false` | needed | d |",
    ]


def test_a_page_without_its_marker_is_noticed(monkeypatch):
    monkeypatch.setattr(build_settings, "tables", lambda: {"all": "", "nowhere": ""})
    with pytest.raises(SystemExit, match="nowhere"):
        build_settings.pages()


@pytest.mark.parametrize("block", EXAMPLE.findall(PAGE))
def test_the_examples_of_the_page_are_settings(block, tmp_path):
    file = tmp_path / "reminder-worker.toml"
    file.write_text(block.replace("<43 characters>", "A" * 43))
    assert read(file).model_fields_set == set(tomllib.loads(block))


@pytest.mark.parametrize("page", sorted(DOCS.glob("providers/*.md")), ids=lambda page: page.stem)
def test_the_example_of_a_provider_knows_its_settings(page):
    (shown,) = tomllib.loads(EXAMPLE.findall(page.read_text("utf-8"))[0])["providers"].values()
    fields = build_settings.providers()[page.stem].model_fields
    assert set(shown) <= {field.alias or name for name, field in fields.items()}
