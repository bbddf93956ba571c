"""clients/js/root.js, run by Node: takes what a root signed as the vectors say, refuses all else, stays small."""

import gzip
import json
import re

import pytest
from javascript import MODULE, Node
from known import FOLDER, named

SOURCE = (MODULE / "root.js").read_text("utf-8")
VECTORS = json.loads((FOLDER / "public_keys.json").read_text("utf-8"))
ROOT, NEWEST, NOW = VECTORS["root"]["text"], VECTORS["newest"], VECTORS["now"] * 1000
CALL = """
import { verifyKeys } from "@reminder-worker/client/root";
const outcomes = [];
for (const [keys, root, options] of given) outcomes.push(await attempt(() => verifyKeys(keys, root, options)));
say(outcomes);
"""
REASONS = {
    "keys_not_signed": {
        "no signature",
        "another root",
        "signed as a job",
        "signed without a context",
        "another pointer key",
        "one pointer key more",
        "one pointer key less",
        "pointer keys in another order",
        "another envelope key",
        "a week moved",
        "one week less",
        "a name of another key",
        "another time",
        "a bit of the signature",
        "a signature above the order",
        "a platform's signature",
    },
    "keys_outdated": {"older than what was seen before", "from two days ahead", "weeks that are over", "no week"},
}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    return Node.prepare(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def outcomes(node):
    """What the module makes of each vector, in one run."""
    entries = [*VECTORS["good"], *VECTORS["bad"]]
    said = node.say(CALL, [[one["document"], ROOT, {"newest": NEWEST, "now": NOW}] for one in entries])
    return dict(zip((one["name"] for one in entries), said, strict=True))


@pytest.mark.parametrize("entry", **named(VECTORS["good"]))
def test_keys_that_the_root_signed_are_taken(outcomes, entry):
    assert outcomes[entry["name"]] == {"answer": entry["document"]}


@pytest.mark.parametrize("entry", **named(VECTORS["bad"]))
def test_any_others_are_refused(outcomes, entry):
    reason = next((reason for reason, names in REASONS.items() if entry["name"] in names), "keys_invalid")
    error = outcomes[entry["name"]]["error"]
    assert (error["name"], error["status"], error["reason"], error["field"]) == (
        "ReminderError",
        0,
        reason,
        "publicKeys",
    )


GOOD = VECTORS["good"][0]["document"]


@pytest.mark.parametrize(
    ("keys", "root", "reason"),
    [
        (VECTORS["bad_for_a_weak_root"], VECTORS["weak_root"]["text"], "keys_not_signed"),
        (GOOD, VECTORS["weak_root"]["text"], "keys_not_signed"),
        (GOOD, "", "keys_invalid"),
        (GOOD, None, "keys_invalid"),
        (GOOD, ROOT[:-1], "keys_invalid"),
        (GOOD, ROOT + "A", "keys_invalid"),
        (None, ROOT, "keys_invalid"),
        ([], ROOT, "keys_invalid"),
        (GOOD | {"pointer": None}, ROOT, "keys_invalid"),
        (GOOD | {"pointer": [None]}, ROOT, "keys_invalid"),
        (GOOD | {"pointer": {"length": 1}}, ROOT, "keys_invalid"),
        (GOOD | {"envelope": [None]}, ROOT, "keys_invalid"),
        (GOOD | {"root": 5}, ROOT, "keys_invalid"),
        (GOOD | {"root": {"signature": GOOD["root"]["signature"]}}, ROOT, "keys_invalid"),
    ],
)
def test_no_other_shape_of_keys_or_root_passes(node, keys, root, reason):
    (outcome,) = node.say(CALL, [[keys, root, {"now": NOW}]])
    assert outcome["error"]["reason"] == reason


def test_more_keys_than_can_be_signed_are_not_looked_at(node):
    many = "given[0][0].pointer = Array(2000).fill(given[0][0].pointer[0]);"
    (outcome,) = node.say(many + CALL, [[GOOD, ROOT, {"now": NOW}]])
    assert outcome["error"]["reason"] == "keys_invalid"


def test_who_gives_no_newest_takes_an_older_one(node):
    (older,) = (one["document"] for one in VECTORS["bad"] if one["name"] == "older than what was seen before")
    assert node.say(CALL, [[older, ROOT, {"now": NOW}]]) == [{"answer": older}]


def test_the_module_keeps_to_its_budget():
    assert len(SOURCE.encode()) <= 3_000
    assert len(gzip.compress(SOURCE.encode(), 9)) <= 1_300


def test_the_module_imports_its_neighbour_and_libsodium_alone_and_says_nothing():
    assert re.findall(r'from "([^"]+)"', SOURCE) == ["libsodium-wrappers", "./index.js"]
    assert not re.search(r"console|process\.|\balert\b|localStorage|document\b|import\(", SOURCE)


def test_the_types_name_what_the_module_exports():
    types = (MODULE / "root.d.ts").read_text("utf-8")
    exported = re.findall(r"^export (?:async )?function (\w+)", SOURCE, re.MULTILINE)
    assert re.findall(r"^export function (\w+)", types, re.MULTILINE) == exported == ["verifyKeys"]
