"""What docs/format.md says is enough: its own snippet, run by Node, seals what the worker opens."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from known import FOLDER, KEYS, public, worker

from reminder_worker.opening import open_pointer
from reminder_worker.sealing import pointer_from_text

TESTS = Path(__file__).parent
DOCUMENT = (TESTS.parent / "docs" / "format.md").read_text("utf-8")
MODULES = Path(os.environ.get("TEST_NODE_MODULES", TESTS / "node" / "node_modules"))
ADDRESSES = [("clinic", "tel:+33639981234", "fr"), ("a" * 20, "contact:" + "z" * 26, "es-419")]


@pytest.fixture
def seal(tmp_path):
    """Return the document's own function, run by Node."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (MODULES / "libsodium-wrappers").is_dir():
        pytest.skip("libsodium-wrappers is not installed in tests/node or $TEST_NODE_MODULES")
    (snippet,) = re.findall(r"```js\n(.*?)```", DOCUMENT, re.DOTALL)
    call = "console.log(await sealPointer(...JSON.parse(process.argv[2])));"
    (tmp_path / "node_modules").symlink_to(MODULES.resolve())
    (tmp_path / "seal.mjs").write_text(f"{snippet}\n{call}\n")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["node", tmp_path / "seal.mjs", json.dumps(arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_worker_opens_what_node_sealed(seal, address):
    platform, uri, language = address
    done = seal(json.loads(public().to_json()), platform, uri, language)
    assert done.returncode == 0, done.stderr
    pointer = pointer_from_text(public(), done.stdout.strip())
    assert pointer[1:9].hex() == KEYS["pointers"][-1]["kid"]
    opened = open_pointer(worker(), platform, pointer)
    assert (opened.uri, opened.language) == (uri, language)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"uri": "contact:" + "z" * 27}, "the contact token is too long"),
        ({"uri": "tel:33639981234"}, "uri: not of its form"),
        ({"uri": "tel:+1234"}, "uri: not of its form"),
        ({"uri": "tel:+33639981234\n"}, "uri: not of its form"),
        ({"uri": "sms:tel:+33639981234"}, "uri: not of its form"),
        ({"uri": None}, "uri: not of its form"),
        ({"platform": "Clinic"}, "platform: not of its form"),
        ({"platform": None}, "platform: not of its form"),
        ({"language": "fr_FR"}, "language: not of its form"),
        ({"language": "zh-Hant-TW"}, "language: not of its form"),
        ({"version": 2}, "public keys of an unknown version"),
    ],
)
def test_node_refuses_what_does_not_fit(seal, change, complaint):
    given = {"version": 1, "platform": "a" * 20, "uri": "tel:+33639981234", "language": "es-419"} | change
    keys = json.loads(public().to_json()) | {"version": given.pop("version")}
    done = seal(keys, *given.values())
    assert done.returncode != 0
    assert f"RangeError: {complaint}\n" in done.stderr
    assert done.stdout == ""


def test_every_value_of_the_worked_example_is_a_known_answer():
    known = (FOLDER / "good.json").read_text("utf-8")
    blocks = re.findall(r"```\n([0-9a-f\s]+?)```", DOCUMENT)
    chunks = [chunk.split() for block in blocks for chunk in block.split("\n\n")]
    assert len(chunks) == 9
    for lines in chunks:
        assert "".join(lines) in known or all(f'"{line}"' in known for line in lines)
    for ephemeral in re.findall(r"`([0-9a-f]{64})`", DOCUMENT):
        assert f'"ephemeral_private": "{ephemeral}"' in known
