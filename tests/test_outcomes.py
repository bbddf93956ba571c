"""docs/outcomes.md names every word that a platform may read."""

import re
from pathlib import Path

import pytest

from reminder_worker import serving, verdicts
from reminder_worker.errors import Reason
from reminder_worker.job import FailureClass, State

PAGE = (Path(__file__).parents[1] / "docs" / "outcomes.md").read_text("utf-8")
WORDS = set(re.findall(r"`([a-z_]+)`", PAGE))


@pytest.mark.parametrize("words", [State, FailureClass, Reason])
def test_every_word_is_on_the_page(words) -> None:
    assert {word.value for word in words} <= WORDS


def test_every_problem_is_on_the_page() -> None:
    sources = Path(verdicts.__file__).read_text() + Path(serving.__file__).read_text()
    titles = set(re.findall(r'problem(?:_document)?\(\d+, "([a-z_]+)"', sources)) | {"method_not_allowed", "not_found"}
    assert len(titles) > 8
    assert titles <= WORDS


def test_the_page_names_no_word_that_does_not_exist() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", PAGE.partition("## Refusals")[0], re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}
    assert named - {"state", "reason"} <= {word.value for words in (State, Reason) for word in words}
