import runpy
import sys

import pytest
from known import FOLDER


@pytest.fixture
def made(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield runpy.run_path(str(FOLDER / "make.py"))["files"]()
    for name in ("parts", "good", "bad", "places", "publickeys"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["good.json", "bad.json", "places.json", "public_keys.json"])
def test_the_vectors_are_those_that_their_maker_makes(made, name):
    assert (FOLDER / name).read_text("utf-8") == made[name]
