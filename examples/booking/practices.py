"""The two practices, and how each gets its key: one keeps it in a file, the other in a passphrase.

A practice's whole secret is a seed of 32 bytes, random or stretched from a passphrase. Two things come from it, and
neither leads back to it or to the other: the key pair that its patients seal to, and the token with which it asks the
platform. The platform gets the public key and a hash of the token.
"""

import hashlib
import json
import secrets
from pathlib import Path

from nacl import pwhash
from nacl.encoding import RawEncoder
from nacl.hash import blake2b
from nacl.public import PrivateKey

from reminder_worker.encoding import to_text
from reminder_worker.root import fingerprint

SEED_BYTES = 32
PASSES, MEMORY = 3, 64 * 1024 * 1024  # of argon2id: what each guess at the passphrase costs
PRACTICES = (
    {
        "id": "lilas",
        "name": "Cabinet des Lilas",
        "place": "12 rue des Lilas, Lyon",
        "zone": "Europe/Paris",
        "calling_code": "+33",
    },
    {
        "id": "wasserturm",
        "name": "Praxis am Wasserturm",
        "place": "Seestraße 14, Berlin",
        "zone": "Europe/Berlin",
        "calling_code": "+49",
    },
)


def derive(seed, what, length=32):
    return blake2b(f"booking/{what}".encode(), key=seed, digest_size=length, encoder=RawEncoder)


def token_hash(token):
    """Hash a token of 256 random bits: nobody can try that many, so one fast hash protects it."""
    return hashlib.blake2b(token.encode(), digest_size=32).hexdigest()


def published(practice, seed, **shown):
    """Return what everybody may know of a practice, and the hash of its token."""
    public = bytes(PrivateKey.from_seed(derive(seed, "box")).public_key)
    everybody = practice | shown | {"key": to_text(public), "fingerprint": fingerprint(public)}
    return everybody, token_hash(to_text(derive(seed, "token")))


def with_a_file(practice, folder):
    """Make a practice's key and the file that holds it: in production, on the practice's own machine."""
    seed = secrets.token_bytes(SEED_BYTES)
    path = folder / f"{practice['id']}.practice-key.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"practice": practice["id"], "seed": to_text(seed)}) + "\n")
    return published(practice, seed, opened_by="file"), path


def with_a_passphrase(practice):
    """Make a practice's key from a new passphrase, which is written nowhere."""
    passphrase, salt = new_passphrase(), secrets.token_bytes(pwhash.argon2id.SALTBYTES)
    seed = pwhash.argon2id.kdf(SEED_BYTES, passphrase.encode(), salt, opslimit=PASSES, memlimit=MEMORY)
    shown = {"opened_by": "passphrase", "salt": to_text(salt), "passes": PASSES, "memory": MEMORY}
    return published(practice, seed, **shown), passphrase


def new_passphrase():
    """Return six made-up words, 75 bits: anyone with the public key can try passphrases, at the cost of argon2id."""
    consonants, vowels = "bdfghklmnprstvwz", "aeiou"
    syllables = [secrets.choice(consonants) + secrets.choice(vowels) for _ in range(12)]
    return "-".join("".join(syllables[at : at + 2]) for at in range(0, 12, 2))


def make(folder: Path):
    """Make both practices; return what the platform gets, the key file of one and the passphrase of the other."""
    (lilas, lilas_hash), key_file = with_a_file(PRACTICES[0], folder)
    (wasserturm, wasserturm_hash), passphrase = with_a_passphrase(PRACTICES[1])
    hashes = {lilas["id"]: lilas_hash, wasserturm["id"]: wasserturm_hash}
    return {"practices": [lilas, wasserturm], "token_hashes": hashes}, key_file, passphrase
