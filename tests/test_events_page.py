"""docs/events.md is right because it runs: its programs know what is genuine, and nothing is missing."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from nacl.exceptions import BadSignatureError
from office import SECRET

from reminder_worker import keys
from reminder_worker.encoding import to_text
from reminder_worker.gateway import GatewayKeys
from reminder_worker.job import State
from reminder_worker.sealing import kid
from reminder_worker.signatures import Secret, sign

PAGE = (Path(__file__).parents[1] / "docs" / "events.md").read_text("utf-8")
OTHER = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PHP = """<?php
{}
$in = json_decode(file_get_contents('php://stdin'), true);
echo json_encode(array_map(fn($one) => genuine($in['secret'], $one[0], $one[1]), $in['requests']));
"""
NODE = """{}
const read = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(read.requests.map(([headers, body]) => genuine(read.secret, headers, body))));
"""
BODY = b'{"type": "reminder.sent", "data": {"reference": "\xc3\xa9 1"}}'


def block(language: str, name: str) -> str:
    """Return the program of the page that defines ``name``."""
    found = [one for one in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if name in one]
    assert len(found) == 1
    return found[0]


def requests() -> list[tuple[dict[str, str], bytes, bool]]:
    """Return headers, bodies and whether they are genuine."""
    now = int(time.time())
    good = sign(Secret.parse(SECRET), "evt_1", now, BODY)
    others = sign(Secret.parse(OTHER), "evt_1", now, BODY)
    both = {**good, "webhook-signature": f"v1a,x v1,AAAA {others['webhook-signature']} {good['webhook-signature']}"}
    cases = [(good, BODY, True), (both, BODY, True), (others, BODY, False), (good, BODY + b" ", False)]
    for age, genuine in ((290, True), (-290, True), (310, False), (-310, False)):
        cases.append((sign(Secret.parse(SECRET), "evt_1", now - age, BODY), BODY, genuine))
    for name, value in (
        ("webhook-id", "evt_2"),
        ("webhook-timestamp", str(now - 1)),
        ("webhook-timestamp", "soon"),
        ("webhook-timestamp", ""),
        ("webhook-signature", ""),
        ("webhook-signature", "v1"),
        ("webhook-signature", good["webhook-signature"].removeprefix("v1,")),
    ):
        cases.append((good | {name: value}, BODY, False))
    return [*cases, ({}, BODY, False)]


def test_the_python_of_the_page_knows_what_is_genuine() -> None:
    here: dict[str, object] = {}
    exec(block("python", "def genuine"), here)
    for headers, body, genuine in requests():
        assert here["genuine"](SECRET, headers, body) is genuine, headers  # type: ignore[operator]


@pytest.mark.parametrize(("language", "program", "words"), [("php", "php", PHP), ("js", "node", NODE)])
def test_the_other_languages_know_it_too(tmp_path: Path, language: str, program: str, words: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    script = tmp_path / f"page.{language}"
    script.write_text(words.replace("{}", block(language, "function genuine")))
    cases = requests()
    given = {"secret": SECRET, "requests": [(headers, body.decode()) for headers, body, _ in cases]}
    done = subprocess.run([program, script], input=json.dumps(given), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [genuine for *_, genuine in cases]


def test_the_record_is_read_with_the_key_of_the_page_s_document(tmp_path: Path) -> None:
    keys.new_gateway(tmp_path)
    gateway = GatewayKeys.load(tmp_path)
    here: dict[str, object] = {}
    exec(block("python", "def read"), here)
    public = bytes(gateway.records.verify_key)
    document = {"record": [{"kid": to_text(kid(public)), "key": to_text(public)}]}
    record = gateway.sign_record({"reference": "A-1"})
    assert here["read"](record, document) == {"reference": "A-1"}  # type: ignore[operator]
    header, _, signature = record.split(".")
    with pytest.raises(BadSignatureError):
        here["read"](f"{header}.e30.{signature}", document)  # type: ignore[operator]
    head = to_text(json.dumps({"alg": "EdDSA", "typ": "JWT", "kid": to_text(kid(public))}).encode())
    other = f"{head}.e30"  # something else that the same key has signed
    with pytest.raises(ValueError, match="not a record"):
        here["read"](f"{other}.{to_text(gateway.records.sign(other.encode()).signature)}", document)  # type: ignore[operator]


def test_every_event_is_on_the_page() -> None:
    told = set(State) - {"scheduled", "queued", "sending"} | {"confirmed", "cancel_requested"}
    assert set(re.findall(r"`reminder\.(\w+)`", PAGE)) == told
