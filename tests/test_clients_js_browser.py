"""clients/js in a real Chromium, under a content security policy: the README's page, and every known pointer."""

import queue
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from javascript import FIX_CHANCE, MODULE, SODIUM, document, need_sodium
from known import GOOD, named, public, worker

from reminder_worker.opening import open_pointer
from reminder_worker.sealing import pointer_from_text
from reminder_worker.testing.peer import Peer, Request, Response

NONCE = "nonce-cGFnZQ"
POLICY = f"default-src 'none'; connect-src 'self'; script-src 'self' 'wasm-unsafe-eval' '{NONCE}'"
SCRIPTS = {
    "/js/reminder-worker.js": MODULE / "index.js",
    **{f"/js/{name}.mjs": path for name, path in SODIUM.items()},
}
UNDER_TEST = f"""
{FIX_CHANCE.replace("await sodium.ready;", "")}
import {{ Client, verifyEvent }} from "/js/reminder-worker.js";
const cases = await (await fetch("/cases")).json();
const sealed = [];
for (const {{ keys, parts, ephemeral_private }} of cases) {{
  fix(ephemeral_private);
  sealed.push(await sealPointer(keys, ...parts));
}}
const refused = await sealPointer(publicKeys, "clinic", "tel:0639981234", "fr").catch((error) => error.message);
const key = publicKeys.pointer.at(-1).key;
const fetched = await new Client({{ url: location.origin, pin: key }}).keys();
const forged = await verifyEvent("whsec_AAAA", new Headers(), "{{}}").catch((error) => error.message);
const pinned = fetched.pointer.at(-1).key === key;
const report = {{ pointer, sealed, refused, pinned, forged, title: document.title }};
await fetch("/report", {{ method: "POST", body: JSON.stringify(report) }});
"""


def page() -> bytes:
    """The README's page; at its end stand the lines under test, and before it a script that the policy forbids."""
    (lines,) = re.findall(r"```html\n(.*?)```", (MODULE / "README.md").read_text("utf-8"), re.DOTALL)
    *_, policy, lines = re.split(r"^(<meta[^\n]*>\n)", lines, flags=re.MULTILINE)
    assert "'wasm-unsafe-eval'" in policy
    head, tail = lines.replace("nonce-…", NONCE).replace("…", NONCE.removeprefix("nonce-")).rsplit("</script>", 1)
    forbidden = "<!doctype html><title>-</title><script>document.title = 'open'</script>"
    return f"{forbidden}{head}{UNDER_TEST}</script>{tail}".encode()


def serve(request: Request) -> Response | None:
    """Answer with a file of the page."""
    if request.path == "/":
        kind = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": POLICY,
            "Set-Cookie": "session=1",
        }
        return Response(200, page(), kind)
    if request.path in SCRIPTS:
        return Response(200, SCRIPTS[request.path].read_bytes(), {"Content-Type": "text/javascript"})
    if request.path in ("/worker.pub.json", "/v1/keys"):
        return Response(200, public().to_json().encode())
    if request.path == "/cases":
        return Response.of([case(vector) for vector in GOOD["pointers"]])
    return None if request.path == "/report" else Response(404)


def case(vector: dict[str, Any]) -> dict[str, Any]:
    parts = [vector["platform"], vector["uri"], vector["language"]]
    return {"keys": document(vector["kid"]), "parts": parts, "ephemeral_private": vector["ephemeral_private"]}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the page had to say."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    need_sodium()
    profile = tmp_path_factory.mktemp("chromium")
    reports: queue.Queue[Request] = queue.Queue()
    with Peer() as server:
        server.look = serve
        server.answer = lambda request, _: reports.put(request) or Response(204)
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        browser = subprocess.Popen([chromium, *options, "--remote-debugging-port=0", server.url], **quiet)
        try:
            report = reports.get(timeout=60).json
            yield report | {"cookies": {request.path: request.headers.get("cookie") for request in server.requests}}
        finally:
            browser.terminate()
            browser.wait(20)


@pytest.mark.parametrize("vector", **named(GOOD["pointers"]))
def test_a_pointer_is_byte_for_byte_that_of_the_vectors(report, vector):
    assert report["sealed"][GOOD["pointers"].index(vector)] == vector["text"]


def test_the_worker_opens_what_the_page_sealed(report):
    opened = open_pointer(worker(), "clinic", pointer_from_text(public(), report["pointer"]))
    assert (opened.uri, opened.language) == ("tel:+33639981234", "fr")


def test_the_page_refuses_and_pins_as_node_does(report):
    assert report["refused"] == "uri: pointer_invalid"
    assert report["forged"] == "signature: signature_invalid"
    assert report["pinned"]


def test_the_module_sends_no_cookies(report):
    assert report["cookies"]["/cases"] == "session=1"
    assert report["cookies"]["/v1/keys"] is None


def test_the_policy_was_in_force(report):
    assert report["title"] == "-"
