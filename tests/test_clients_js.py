"""clients/js, run by Node: seals byte for byte what the vectors say, verifies events, stays small and tells nothing."""

import gzip
import json
import re
import time

import pytest
from javascript import FIX_CHANCE, MODULE, ROOT, Node, document
from known import GOOD, named, public, worker

from reminder_worker.opening import open_pointer
from reminder_worker.sealing import pointer_from_text
from reminder_worker.signatures import Secret, sign

SOURCE = (MODULE / "index.js").read_text("utf-8")
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
EVENT = '{"type":"reminder.sent","data":{"reference":"Ä-1001"}}'


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    return Node.prepare(tmp_path_factory.mktemp("node"))


@pytest.mark.parametrize("vector", **named(GOOD["pointers"]))
def test_a_pointer_is_byte_for_byte_that_of_the_vectors(node, vector):
    code = "fix(given.ephemeral_private); say(await sealPointer(given.keys, ...given.parts));"
    parts = [vector["platform"], vector["uri"], vector["language"]]
    given = {"keys": document(vector["kid"]), "parts": parts, "ephemeral_private": vector["ephemeral_private"]}
    assert node.say(FIX_CHANCE + code, given) == vector["text"]


def test_the_snippet_of_the_format_seals_the_same(node):
    (snippet,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs/format.md").read_text("utf-8"), re.DOTALL)
    (node.folder / "snippet.mjs").write_text(snippet)
    code = """
    const { sealPointer: other } = await import("./snippet.mjs");
    const sealed = [];
    for (const seal of [sealPointer, other]) { fix("07".repeat(32)); sealed.push(await seal(...given)); }
    say(sealed);
    """
    module, page = node.say(FIX_CHANCE + code, [document(), "clinic", "contact:4f9c_Zk~1.-", "pt-BR"])
    assert module == page


@pytest.mark.parametrize("parts", [("clinic", "tel:+33639981234", "fr"), ("a" * 20, "contact:" + "z" * 26, "es-419")])
def test_the_worker_opens_what_is_sealed(node, parts):
    text = node.say("say(await sealPointer(...given));", [json.loads(public().to_json()), *parts])
    opened = open_pointer(worker(), parts[0], pointer_from_text(public(), text))
    assert (opened.uri, opened.language) == parts[1:]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        *(({"uri": uri}, "uri") for uri in ("tel:33639981234", "tel:+1234", "tel:+33639981234\n", "sms:+33639981234")),
        *(({"uri": uri}, "uri") for uri in ("tel:+3363998\u0661234", "contact:" + "z" * 27, "contact:", None, 7)),
        *(
            ({"uri": uri}, "uri")
            for uri in ("TEL:+33639981234", "tel:+0639981234", "tel:+" + "1" * 16, ["tel:+33639981234"])
        ),
        *(({"platform": name}, "platform") for name in ("Clinic", "clinic\n", "a" * 21, "", None)),
        *(({"language": tag}, "language") for tag in ("fr_FR", "zh-Hant-TW", "f", "fr\n", None)),
    ],
)
def test_what_is_not_of_its_form_is_refused_by_the_name_of_its_field(node, change, field):
    parts = {"platform": "a" * 20, "uri": "tel:+33639981234", "language": "es-419"} | change
    outcome = node.say("say(await attempt(() => sealPointer(...given)));", [document(), *parts.values()])
    error = outcome["error"]
    assert (error["name"], error["status"], error["reason"]) == ("ReminderError", 0, "pointer_invalid")
    assert (error["field"], error["message"]) == (field, f"{field}: pointer_invalid")
    assert "39981" not in outcome["shown"]


@pytest.mark.parametrize(
    "keys",
    [
        None,
        document() | {"version": 2},
        document() | {"pointer": []},
        document() | {"pointer": {}},
        document() | {"pointer": [None]},
        document() | {"pointer": [{"key": "A" * 43}]},
        document() | {"pointer": [{"kid": "A" * 11, "key": "A" * 42}]},
        document() | {"pointer": [{"kid": "A" * 10, "key": "m4ZBuw1G9qYm6K1NCvQIUyS6xnZcYlr6zx1O7hOgmxc"}]},
        document() | {"pointer": [{"kid": "A" * 11, "key": "A" * 43}]},  # of low order
        document()
        | {"pointer": [{"kid": "A" * 11, "key": "m4ZBuw1G9qYm6K1NCvQIUyS6xnZcYlr6zx1O7hOgmxd"}]},  # unused bits
        document() | {"pointer": [{"kid": "A" * 11, "key": "m4ZBuw1G9qYm6K1NCvQIUyS6xnZcYlr6zx1O7hOgmx="}]},
    ],
)
def test_nothing_is_sealed_to_keys_that_are_none(node, keys):
    code = 'say(await attempt(() => sealPointer(given, "clinic", "tel:+33639981234", "fr")));'
    error = node.say(code, keys)["error"]
    assert (error["reason"], error["field"]) == ("keys_invalid", "publicKeys")


@pytest.mark.parametrize("keys", [{"version": 2}, {"pointer": []}, {"pointer": [{"kid": "A" * 11, "key": "short"}]}])
def test_what_is_no_key_cannot_be_pinned(node, keys):
    error = node.say("say(await attempt(() => pointerKey(given)));", document() | keys)["error"]
    assert (error["reason"], error["field"]) == ("keys_invalid", "publicKeys")


def test_the_key_to_pin_is_the_one_that_is_sealed_to(node):
    assert node.say("say(pointerKey(given));", document()) == document()["pointer"][-1]["key"]


def signed(*secrets: str, at: float, body: str = EVENT) -> dict[str, str]:
    return sign(Secret.parse("\n".join(secrets)), "msg_1", int(at), body.encode())


@pytest.mark.parametrize("secrets", [[SECRET], [OTHER, SECRET], [SECRET, OTHER]])
@pytest.mark.parametrize(
    "call",
    [
        "given.secret, given.headers, given.body",
        "given.secret, new Headers(given.headers), given.body",
        "given.secret, given.headers, new TextEncoder().encode(given.body)",
    ],
)
def test_an_event_that_the_worker_signed_is_genuine(node, secrets, call):
    given = {"secret": SECRET, "headers": signed(*secrets, at=time.time()), "body": EVENT}
    assert node.say(f"say(await verifyEvent({call}));", given) == json.loads(EVENT)


@pytest.mark.parametrize(
    "change",
    [
        {"secret": OTHER},
        {"secret": "whsec_"},
        {"secret": "whsec_%"},
        {"secret": None},
        {"body": EVENT.replace("sent", "lost")},
        {"body": ""},
        {"headers": {}},
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": "1700000000"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,%"},
    ],
)
def test_any_other_event_is_refused_without_a_word_of_it(node, change):
    given = {"secret": SECRET, "headers": signed(SECRET, at=time.time()), "body": EVENT} | change
    given["headers"] |= {name: value for name, value in change.items() if name.startswith("webhook-")}
    refuses(node, given)


@pytest.mark.parametrize("seconds", [-330, 330])
def test_an_event_is_good_for_five_minutes(node, seconds):
    refuses(node, {"secret": SECRET, "headers": signed(SECRET, at=time.time() + seconds), "body": EVENT})


def test_a_genuine_request_that_is_no_json_is_no_event(node):
    cut = EVENT[:-1]
    refuses(node, {"secret": SECRET, "headers": signed(SECRET, at=time.time(), body=cut), "body": cut})


def refuses(node: Node, given: object) -> None:
    outcome = node.say("say(await attempt(() => verifyEvent(given.secret, given.headers, given.body)));", given)
    assert outcome["error"]["message"] == "signature: signature_invalid"
    assert "1001" not in outcome["shown"]
    assert "MfKQ" not in outcome["shown"]


def test_the_module_keeps_to_its_budget():
    assert len(SOURCE.encode()) <= 8_000
    assert len(gzip.compress(SOURCE.encode(), 9)) <= 3_000


def test_the_module_imports_libsodium_alone_and_says_nothing():
    package = json.loads((MODULE / "package.json").read_text("utf-8"))
    assert re.findall(r'from "([^"]+)"', SOURCE) == ["libsodium-wrappers"] == list(package["peerDependencies"])
    assert "import(" not in SOURCE
    assert "dependencies" not in package
    assert not re.search(r"console|process\.|\balert\b|localStorage|document\b", SOURCE.split("\n", 2)[2])
    assert all((MODULE / name).is_file() for name in package["files"])


def test_the_types_name_what_the_module_exports(node):
    types = (MODULE / "index.d.ts").read_text("utf-8")
    declared = re.findall(r"^export (?:class|function) (\w+)", types, re.MULTILINE)
    assert sorted(declared) == node.say("say(Object.keys(client).sort());")
    methods = node.say("say(Object.getOwnPropertyNames(Client.prototype));")
    (body,) = re.findall(r"^export class Client \{(.*?)^\}", types, re.MULTILINE | re.DOTALL)
    assert sorted(re.findall(r"^  (\w+)\(", body, re.MULTILINE)) == sorted(methods)
