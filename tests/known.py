"""The known answers in vectors/, and the keys that belong to them."""

import json
from datetime import UTC, datetime
from pathlib import Path

from nacl.public import PrivateKey
from nacl.signing import SigningKey, VerifyKey

from reminder_worker.encoding import Body, Time
from reminder_worker.opening import Signer, WorkerKeys
from reminder_worker.ratchet import Ratchet
from reminder_worker.sealing import PlatformKeys, PublicKeys

FOLDER = Path(__file__).parent / "vectors"
GOOD = json.loads((FOLDER / "good.json").read_text("utf-8"))
BAD = json.loads((FOLDER / "bad.json").read_text("utf-8"))
KEYS = GOOD["keys"]
NOW = datetime.fromtimestamp(GOOD["now"], UTC)
h = bytes.fromhex


def worker() -> WorkerKeys:
    first = KEYS["ratchet"][0]
    return WorkerKeys(
        [PrivateKey(h(key["private"])) for key in KEYS["pointers"]], Ratchet(first["week"], h(first["state"]))
    )


def public() -> PublicKeys:
    envelopes = {entry["week"]: h(entry["public"]) for entry in KEYS["ratchet"]}
    return PublicKeys(tuple(h(key["public"]) for key in KEYS["pointers"]), envelopes)


def signers() -> dict[bytes, Signer]:
    entries = [*KEYS["signers"].values(), KEYS["weak_signer"]]
    return {h(one["kid"]): Signer(VerifyKey(h(one["verify"])), frozenset(one["platforms"])) for one in entries}


def platform(name: str = "clinic", signer: str | None = None) -> PlatformKeys:
    keys = KEYS["signers"][signer or name]
    return PlatformKeys(name, SigningKey(h(keys["seed"])), h(keys["index"]))


def body(fields: dict) -> Body:
    pointer = h(fields.get("pointer", GOOD["pointers"][0]["pointer"]))
    return Body(Time(**fields["time"]), fields["location"], pointer, tuple(fields["leads"]), fields["issued"])


def named(entries: list[dict]) -> dict:
    """Parametrise with one case per vector, under its name."""
    return {"argvalues": entries, "ids": [entry["name"] for entry in entries]}
