"""docs/sealing.md is right because it runs: each program of the page seals what the vectors say, and hands it in."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from desk import opened
from javascript import ROOT, document
from known import GOOD, KEYS, h, named, public, worker
from nacl.public import PrivateKey, SealedBox
from practice import ahead

from reminder_worker.encoding import POINTER_BYTES, from_text
from reminder_worker.opening import open_pointer
from reminder_worker.testing.peer import Peer, Response

pytestmark = pytest.mark.timeout(300)  # Go compiles its library
PAGE = (ROOT / "docs/sealing.md").read_text("utf-8")
GO_PACKAGES = Path("/usr/share/gocode")  # where Debian puts them
JARS = [Path("/usr/share/java") / name for name in ("jna.jar", "gson.jar")]
API_KEY = "rwk_test_00000000_" + "k" * 43
APPOINTMENT = {
    "reference": "A/1001 ü",
    "time": "2027-03-15T14:30:00+01:00[Europe/Paris]",
    "location": "12 rue des Lilas, Évry",
    "uri": "tel:+33639981234",
    "language": "fr",
    "leads": ["24h", "2h"],
}

# What stands for chance is the ephemeral key of a vector: in libsodium, which lets itself be overlaid, and in Go.
OVERLAY = """
#include <stdio.h>
#include <stdlib.h>
void randombytes_buf(void *into, size_t size) {
    const char *key = getenv("EPHEMERAL");
    for (size_t i = 0; i < size; i++) sscanf(key + i % 32 * 2, "%2hhx", (unsigned char *) into + i);
}
"""
GO_CHANCE = """
package main

import ("bytes"; "crypto/rand"; "encoding/hex"; "os")

func init() {
	key, _ := hex.DecodeString(os.Getenv("EPHEMERAL"))
	rand.Reader = bytes.NewReader(key)
}
"""


def block(language: str) -> str:
    """Return the page's one program in a language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return text


def need(*tools: str, files: tuple[Path, ...] = ()) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None] + [
        str(path) for path in files if not path.exists()
    ]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def php(folder: Path) -> list[str | Path]:
    need("php")
    for extension in ("sodium", "curl"):
        loaded = subprocess.run(["php", "-r", f"exit((int) !extension_loaded('{extension}'));"], check=False)
        if loaded.returncode:
            pytest.skip(f"not installed: PHP's {extension}")
    (folder / "remind.php").write_text(block("php"))
    return ["php", folder / "remind.php"]


def go(folder: Path) -> list[str | Path]:
    need("go", files=(GO_PACKAGES / "src/golang.org/x/crypto/nacl/box",))
    (folder / "remind.go").write_text(block("go"))
    (folder / "chance.go").write_text(GO_CHANCE)
    settings = {"GO111MODULE": "off", "GOPATH": str(GO_PACKAGES), "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    subprocess.run(["go", "vet", "remind.go"], cwd=folder, env=os.environ | settings, check=True)
    subprocess.run(["go", "build", "remind.go", "chance.go"], cwd=folder, env=os.environ | settings, check=True)
    return [folder / "remind"]


def java(folder: Path) -> list[str | Path]:
    need("java", "javac", files=tuple(JARS))
    (folder / "Remind.java").write_text(block("java"))
    path = ":".join(map(str, [*JARS, folder]))
    subprocess.run(
        ["javac", "-Xlint:all,-serial,-path,-processing", "-Werror", "-cp", path, "Remind.java"], cwd=folder, check=True
    )
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, "Remind"]  # it starts, and ends


def python(folder: Path) -> list[str | Path]:
    (folder / "remind.py").write_text(block("python"))
    return [sys.executable, folder / "remind.py"]


LANGUAGES = [php, go, java, python]


@dataclass
class Program:
    """One program of the page, ready to run, beside a gateway that records."""

    command: list[str | Path]
    folder: Path
    gateway: Peer
    environment: dict[str, str] = field(default_factory=dict)
    api_key: str = API_KEY
    port: int = 0  # of another gateway

    def run(self, appointment: object, platform: str = "clinic", keys: Any = None, **settings: str) -> Any:
        """Run it with what is given, and return how it ended."""
        url = f"http://127.0.0.1:{self.port}" if self.port else self.gateway.url
        (self.folder / "api.key").write_text(self.api_key + "\n")
        (self.folder / "worker.pub.json").write_text(json.dumps(keys or json.loads(public().to_json())))
        given = [url, platform, self.folder / "api.key", self.folder / "worker.pub.json"]
        return subprocess.run(
            [*self.command, *given],
            input=appointment if isinstance(appointment, bytes) else json.dumps(appointment).encode(),
            env=os.environ | {"EPHEMERAL": "07" * 32} | self.environment | settings,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def seal(self, vector: dict[str, Any]) -> bytes:
        """Let it seal what a vector says, and return the pointer that arrived."""
        given = APPOINTMENT | {"uri": vector["uri"], "language": vector["language"]}
        keys = document(vector["kid"])
        done = self.run(given, vector["platform"], keys, EPHEMERAL=vector["ephemeral_private"])
        assert (done.returncode, done.stderr) == (0, b"")
        return from_text(self.gateway.requests[-1].json["pointer"], POINTER_BYTES)


@pytest.fixture(scope="module")
def chance(tmp_path_factory) -> dict[str, str]:
    """What overlays libsodium's chance, where a C compiler is at hand."""
    if shutil.which("cc") is None or sys.platform != "linux":
        return {}
    folder = tmp_path_factory.mktemp("overlay")
    (folder / "chance.c").write_text(OVERLAY)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "chance.so", "chance.c"], cwd=folder, check=True)
    return {"LD_PRELOAD": str(folder / "chance.so")}


@pytest.fixture(scope="module", params=LANGUAGES, ids=lambda build: build.__name__)
def built(request, tmp_path_factory) -> tuple[Callable[[Path], list[str | Path]], list[str | Path], Path]:
    folder = tmp_path_factory.mktemp(request.param.__name__)
    return request.param, request.param(folder), folder


@pytest.fixture
def program(built, chance):
    build, command, folder = built
    with Peer() as gateway:
        gateway.answer = lambda *_: Response.of({"result": "added"}, 201)
        yield Program(command, folder, gateway, {} if build is go else chance)


@pytest.mark.parametrize("vector", **named(GOOD["pointers"]))
def test_what_is_sealed_is_that_of_the_vectors(program, vector):
    pointer = program.seal(vector)
    (private,) = [h(key["private"]) for key in KEYS["pointers"] if key["kid"] == vector["kid"]]
    assert pointer[:9].hex() == "01" + vector["kid"]
    assert SealedBox(PrivateKey(private)).decrypt(pointer[9:]).hex() == vector["padded"]
    opened = open_pointer(worker(), vector["platform"], pointer)
    assert (opened.uri, opened.language) == (vector["uri"], vector["language"])


@pytest.mark.parametrize("vector", **named(GOOD["pointers"]))
def test_with_the_vectors_ephemeral_key_every_byte_is_the_same(program, built, chance, vector):
    if built[0] is not go and not chance:
        pytest.skip("there is no C compiler to overlay libsodium's chance")
    assert program.seal(vector).hex() == vector["pointer"]


def test_a_reminder_is_handed_in_with_the_fields_that_it_needs(program):
    done = program.run(APPOINTMENT | {"reason": "chemotherapy"})
    assert (done.stdout, done.stderr, done.returncode) == (b"201 added\n", b"", 0)
    (request,) = program.gateway.requests
    assert (request.method, request.path) == ("PUT", "/v1/reminders/A%2F1001%20%C3%BC")
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers["content-type"].startswith("application/json")
    body = request.json
    assert set(body) == {"time", "location", "pointer", "leads"}
    assert {name: body[name] for name in body if name != "pointer"} == {
        name: APPOINTMENT[name] for name in ("time", "location", "leads")
    }


def test_leads_may_be_left_to_the_operator(program):
    program.run({name: value for name, value in APPOINTMENT.items() if name != "leads"})
    assert set(program.gateway.requests[0].json) == {"time", "location", "pointer"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"uri": "tel:33639981234"}, "uri: not of its form"),
        ({"uri": "tel:+33639981234\n"}, "uri: not of its form"),
        ({"uri": "xtel:+33639981234"}, "uri: not of its form"),
        ({"uri": "tel:+3363998\u0661234"}, "uri: not of its form"),
        ({"uri": "tel:+1234"}, "uri: not of its form"),
        ({"uri": "contact:" + "z" * 65}, "uri: not of its form"),
        ({"uri": None}, "uri: not of its form"),
        ({"platform": "a" * 20, "uri": "contact:" + "z" * 31}, "uri: the token is too long"),
        ({"platform": "Clinic"}, "platform: not of its form"),
        ({"platform": "clinic\n"}, "platform: not of its form"),
        ({"platform": "a" * 21}, "platform: not of its form"),
        ({"language": "fr_FR"}, "language: not of its form"),
        ({"language": "zh-Hant-TW"}, "language: not of its form"),
        ({"language": "f"}, "language: not of its form"),
        ({"language": "fr\n"}, "language: not of its form"),
        ({"language": ""}, "language: not of its form"),
    ],
)
def test_what_is_not_of_its_form_is_refused_by_its_name_before_anything_is_sent(program, change, complaint):
    given = APPOINTMENT | change
    done = program.run(given, given.pop("platform", "clinic"))
    assert (done.stderr.decode(), done.stdout, done.returncode) == (f"{complaint}\n", b"", 1)
    assert program.gateway.requests == []


@pytest.mark.parametrize("content", [b'{"uri": "tel:+33639981234", "lang', b"[]", b"", b'"tel:+33639981234"'])
def test_what_is_no_appointment_is_not_repeated(program, content):
    done = program.run(content)
    assert done.returncode != 0
    assert done.stderr.count(b"\n") == 1
    assert b"39981234" not in done.stdout + done.stderr
    assert program.gateway.requests == []


def test_public_keys_of_another_version_are_refused(program):
    done = program.run(APPOINTMENT, keys=document() | {"version": 2})
    assert (done.stderr, program.gateway.requests) == (b"public keys: of an unknown version\n", [])


@pytest.mark.parametrize("key", ["A" * 43, "A" * 42, "A" * 44, ""])
def test_nothing_is_sealed_to_a_key_that_is_none(program, built, key):
    if built[0] is go and key == "A" * 43:
        pytest.skip("golang.org/x/crypto/nacl/box does not look for keys of low order")
    done = program.run(APPOINTMENT, keys=document() | {"pointer": [{"kid": "A" * 11, "key": key}]})
    assert (done.returncode != 0, done.stdout, program.gateway.requests) == (True, b"", [])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"type": "urn:x", "title": "time_past", "status": 422, "field": "time"}, "422 time_past time"),
        ({"type": "urn:x", "title": "in_flight", "status": 409}, "409 in_flight"),
        ({"type": "urn:x", "title": "forbidden", "status": 403, "field": None}, "403 forbidden"),
    ],
)
def test_a_refusal_is_told_by_status_reason_and_field(program, answer, said):
    program.gateway.respond(Response.of(answer, answer["status"]))
    done = program.run(APPOINTMENT)
    assert (done.stderr.decode(), done.stdout, done.returncode) == (f"{said}\n", b"", 1)


def test_an_answer_that_is_none_of_ours_is_told_by_its_status(program):
    program.gateway.respond(Response(404, b"<h1>Lilas</h1>", {"Content-Type": "text/html"}))
    done = program.run(APPOINTMENT)
    assert (done.stderr, done.stdout, done.returncode) == (b"404\n", b"", 1)


def test_a_lost_answer_is_asked_for_again_with_the_same_pointer(program):
    program.environment = {}  # so that another sealing would be seen
    program.gateway.cut()
    program.gateway.respond(Response.of({"title": "store_away"}, 503))
    done = program.run(APPOINTMENT)
    assert (done.stdout, done.stderr) == (b"201 added\n", b"")
    first, second, third = (request.body for request in program.gateway.requests)
    assert first == second == third


def test_a_pointer_that_was_kept_is_handed_in_as_it_is(program):
    kept = {name: APPOINTMENT[name] for name in ("reference", "time", "location")}
    assert program.run(kept | {"pointer": "P" * 204}).stdout == b"201 added\n"
    assert program.gateway.requests[0].json["pointer"] == "P" * 204


def test_where_nobody_answers_nothing_is_told(program):
    program.gateway.close()
    done = program.run(APPOINTMENT)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"no answer: run it again\n")


def test_a_redirect_is_not_followed(program):
    with Peer() as elsewhere:
        program.gateway.respond(Response(307, b"", {"Location": f"{elsewhere.url}/v1/reminders/x"}))
        done = program.run(APPOINTMENT)
        assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"307\n")
        assert elsewhere.requests == []


def test_the_gateway_takes_what_is_handed_in(program, schedule, tmp_path):
    with opened(schedule, tmp_path / "keys") as desk:
        program.port, program.api_key = desk.port, desk.key
        keys = json.loads(desk.public.to_json())
        given = APPOINTMENT | {"time": ahead(days=3), "uri": "tel:+33612345678"}
        for said, chance in ((b"201 added\n", "07"), (b"200 moved\n", "08")):  # sealed anew it is another
            done = program.run(given, keys=keys, EPHEMERAL=chance * 32)
            assert (done.stdout, done.stderr) == (said, b"")
        (first, _) = desk.get(APPOINTMENT["reference"]).body["reminders"]
        assert first["state"] == "scheduled"
        late = program.run(given | {"time": ahead(days=-3)}, keys=keys)
        assert (late.stdout, late.stderr) == (b"", b"422 time_past time\n")


def test_curl_hands_in_a_pointer_that_is_there_already(tmp_path):
    need("sh", "curl")
    body = {"time": APPOINTMENT["time"], "location": APPOINTMENT["location"], "pointer": GOOD["pointers"][0]["text"]}
    for name, text in {
        "remind.sh": block("sh"),
        "api.key": API_KEY + "\n",
        "appointment.json": json.dumps(body),
    }.items():
        (tmp_path / name).write_text(text)
    with Peer() as gateway:
        gateway.answer = lambda *_: Response.of({"result": "added"}, 201)
        command = ["sh", "remind.sh", gateway.url, "api.key", "appointment.json"]
        done = subprocess.run(command, cwd=tmp_path, input=b"A%2F1001\n", capture_output=True, timeout=60, check=True)
        assert json.loads(done.stdout) == {"result": "added"}
        (request,) = gateway.requests
        assert (request.method, request.path, request.json) == ("PUT", "/v1/reminders/A%2F1001", body)
        assert request.headers["authorization"] == f"Bearer {API_KEY}"
        gateway.respond(Response.of({"title": "missing"}, 404))
        again = subprocess.run(command, cwd=tmp_path, input=b"A\n", capture_output=True, timeout=60, check=False)
        assert again.returncode != 0
