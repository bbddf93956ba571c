"""The JavaScript module beside its one dependency, run by Node."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from known import KEYS, h

from reminder_worker.encoding import to_text

ROOT = Path(__file__).parents[1]
MODULE = ROOT / "clients" / "js"
MODULES = Path(os.environ.get("TEST_NODE_MODULES", ROOT / "tests" / "node" / "node_modules"))
SODIUM = {name: MODULES / name / f"dist/modules-esm/{name}.mjs" for name in ("libsodium-wrappers", "libsodium")}

# In Node and in a browser: what libsodium takes for chance, byte by byte, is then the ephemeral key of a vector.
FIX_CHANCE = """
import sodium from "libsodium-wrappers";
await sodium.ready;
const chance = [];
crypto.getRandomValues = (into) => { into[0] = chance.shift(); return into; };
const fix = (hexadecimal) => chance.splice(0, Infinity, ...sodium.from_hex(hexadecimal));
"""

# What a test's own lines may use: `given`, `say`, `attempt`; `waits` holds the seconds that were not waited.
AROUND = """
import { inspect } from "node:util";
import * as client from "@reminder-worker/client";
const { sealPointer, pointerKey, Client, ReminderError, verifyEvent } = client;
const given = JSON.parse(process.argv[2]);
const say = (value) => process.stdout.write(JSON.stringify(value) + "\\n");
const waits = [];
const { setTimeout: later } = globalThis; // fetch uses it too; what only waits has a promise's own function
globalThis.setTimeout = (then, milliseconds, ...rest) => {
  if (!`${then}`.includes("[native code]")) return later(then, milliseconds, ...rest);
  waits.push(milliseconds / 1000);
  queueMicrotask(then);
};
async function attempt(action) {
  try {
    return { answer: await action() };
  } catch (error) {
    const { name, message, status, reason, field, retryAfter } = error;
    return { error: { name, message, status, reason, field, retryAfter }, shown: inspect(error, { depth: 9 }) };
  }
}
"""


@dataclass(frozen=True)
class Node:
    """A folder in which the module is installed."""

    folder: Path

    @classmethod
    def prepare(cls, folder: Path) -> "Node":
        if shutil.which("node") is None:
            pytest.skip("node is not installed")
        need_sodium()
        shutil.copytree(MODULE, folder / "node_modules/@reminder-worker/client")
        (folder / "node_modules/libsodium-wrappers").symlink_to((MODULES / "libsodium-wrappers").resolve())
        return cls(folder)

    def run(self, code: str, given: object = None) -> str:
        """Run lines as a module; what they print, and nothing but that, comes back."""
        (self.folder / "test.mjs").write_text(code)
        command = ["node", "test.mjs", json.dumps(given)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def say(self, code: str, given: object = None) -> Any:
        """Run lines that say one thing."""
        return json.loads(self.run(AROUND + code, given))


def need_sodium() -> None:
    if not all(path.is_file() for path in SODIUM.values()):
        pytest.skip("libsodium-wrappers is not installed in tests/node or $TEST_NODE_MODULES")


def document(kid: str = KEYS["pointers"][-1]["kid"]) -> dict[str, Any]:
    """The public keys of the vectors, as JSON has them; the pointer key of this name is the newest."""
    keys = sorted(KEYS["pointers"], key=lambda key: key["kid"] == kid)
    return {
        "version": 1,
        "pointer": [{"kid": to_text(h(key["kid"])), "key": to_text(h(key["public"]))} for key in keys],
        "envelope": [],
    }
