import hashlib
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "disclosure_recall.py"
PAGE = ROOT / "docs" / "disclosure.md"


@pytest.fixture
def labels(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return import_module("labels")


@pytest.fixture
def halves(labels):
    return {half: labels.read(SCRIPT.parent / "heldout" / half) for half in ("open", "closed", "mended")}


def printed(*options: str) -> str:
    run = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.strip()


def test_the_page_has_the_figures_that_the_script_prints_now():
    _, between, _ = (
        PAGE.read_text(encoding="utf-8").replace("<!-- /figures -->", "<!-- figures -->").split("<!-- figures -->")
    )
    assert between.strip() == printed("--markdown"), f"paste what {SCRIPT.name} --markdown prints between the marks"


def test_no_label_of_the_closed_half_is_shown(halves):
    closed = {label for one in halves["closed"] for label in one.labels}
    shown = {label.split(": ")[-1] for line in printed("--missed").splitlines() for label in line.split(" | ")}
    assert closed
    assert len(shown) > 1
    assert not closed & shown
    assert not any(one.missed() for one in halves["closed"])


def test_a_label_is_in_the_half_that_its_hash_says(halves):
    for half, lists in halves.items():
        for label in (label for one in lists for label in one.labels if half != "mended"):
            even = int(hashlib.sha256(label.encode()).hexdigest()[0], 16) % 2 == 0
            assert half == ("open" if even else "closed")


def test_the_closed_half_stands_in_no_list_that_the_stems_are_mended_by(halves):
    mending = {label.casefold() for half in ("mended", "open") for one in halves[half] for label in one.labels}
    closed = {label.casefold() for one in halves["closed"] for label in one.labels}
    assert closed
    assert not closed & mending


def test_every_list_tells_how_it_did_at_the_first_try(halves):
    for one in (one for lists in halves.values() for one in lists):
        assert one.labels
        assert one.past["first try"].refused <= one.past["first try"].of <= len(one.labels), one


def test_every_language_has_a_hundred_labels(halves):
    for language in ("en", "fr", "de", "es", "it", "pt", "nl", "pl"):
        lists = [one for half in ("open", "closed") for one in halves[half] if one.language == language]
        assert sum(len(one.labels) for one in lists) >= 100


@pytest.mark.parametrize(
    ("found", "of", "low", "high"), [(8, 10, 0.490, 0.943), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0)]
)
def test_an_interval_is_wilsons(labels, found, of, low, high):
    assert labels.Tally(of, found).interval() == pytest.approx((low, high), abs=0.001)


def test_without_labels_nothing_is_known(labels):
    assert labels.Tally().interval() == (0.0, 1.0)
