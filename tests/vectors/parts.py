"""The format in few lines, and fixed keys, for the vectors.

Written from docs/format.md alone, without the program's own modules, and without chance: sealed boxes are put
together from crypto_box with a fixed ephemeral key, so that the same bytes come out each time.
"""

import base64
import hashlib
import struct

from nacl.bindings import crypto_box_easy, crypto_scalarmult_base, crypto_secretbox_easy, crypto_sign_seed_keypair
from nacl.signing import SigningKey

WEEK = 2968  # 2026-11-23 to 2026-11-29
NOW = 1_795_564_800  # in that week


def blake(data, size, person, key=b""):
    return hashlib.blake2b(data, digest_size=size, person=person, key=key).digest()


def secret(label):
    return hashlib.blake2b(label.encode(), digest_size=32, person=b"rw-vectors").digest()


def kid(public):
    return blake(public, 8, b"rw-kid")


def pae(*parts):
    return bytes([len(parts)]) + b"".join(struct.pack("<H", len(part)) + part for part in parts)


def pad(data, size):
    return data + b"\x80" + b"\0" * (size - len(data) - 1)


def text(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def head(public):
    return b"\x01" + kid(public)


def box(public, plain, label):
    """Seal as crypto_box_seal does, with an ephemeral key made from the label."""
    ephemeral = crypto_scalarmult_base(secret(label))
    nonce = hashlib.blake2b(ephemeral + public, digest_size=24).digest()
    return ephemeral + crypto_box_easy(plain, nonce, public, secret(label))


def weak_box(public, plain, low_order):
    """Seal under an ephemeral key of low order: every shared secret is zero, and anybody could open it."""
    nonce = hashlib.blake2b(low_order + public, digest_size=24).digest()
    return low_order + crypto_secretbox_easy(plain, nonce, hsalsa20(bytes(32), bytes(16)))


def hsalsa20(key, block):
    sigma, k, n = struct.unpack("<4I", b"expand 32-byte k"), struct.unpack("<8I", key), struct.unpack("<4I", block)
    x = [sigma[0], *k[:4], sigma[1], *n, sigma[2], *k[4:], sigma[3]]
    lines = [(0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)]
    lines += [(0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)]
    for _ in range(10):
        for a, b, c, d in lines:
            for to, left, right, turn in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
                total = (x[left] + x[right]) & 0xFFFFFFFF
                x[to] ^= ((total << turn) | (total >> (32 - turn))) & 0xFFFFFFFF
    return struct.pack("<8I", *(x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))


class Key:
    def __init__(self, private):
        self.private, self.public = private, crypto_scalarmult_base(private)

    def show(self):
        return {"private": self.private.hex(), "public": self.public.hex(), "kid": kid(self.public).hex()}


class Signer:
    def __init__(self, name, platforms):
        self.seed, self.index, self.platforms = secret(f"sign {name}"), secret(f"index {name}"), platforms
        self.verify = crypto_sign_seed_keypair(self.seed)[0]

    def sign(self, message):
        return SigningKey(self.seed).sign(message).signature

    def show(self):
        shown = {"seed": self.seed, "verify": self.verify, "kid": kid(self.verify), "index": self.index}
        return {name: value.hex() for name, value in shown.items()} | {"platforms": self.platforms}


STATES = {WEEK - 1: secret("ratchet")}
for number in range(WEEK, WEEK + 5):
    STATES[number] = blake(STATES[number - 1], 32, b"rw-ratchet")
WEEKS = {number: Key(blake(state, 32, b"rw-envelope")) for number, state in STATES.items()}
POINTERS = [Key(secret("pointer 1")), Key(secret("pointer 2"))]
STRANGER = Key(secret("another worker"))
CLINIC, HOSPITAL = Signer("clinic", ["clinic"]), Signer("hospital", ["hospital"])
GATEWAY = Signer("gateway", ["north", "south"])  # one key that may speak for two platforms
UNKNOWN = Signer("nobody", ["clinic"])
WEAK = bytes([1]) + bytes(31)  # the neutral element as a verify key
WORKER = WEEKS[WEEK]


def id_of(signer, reference):
    return blake(reference.encode(), 16, b"rw-id", signer.index)


def pointer_content(platform, uri, language, context="reminder-worker/pointer/v1"):
    return pae(context.encode(), platform.encode(), uri.encode(), language.encode())


def make_pointer(platform="clinic", uri="tel:+33639981234", language="fr", key=POINTERS[1], label="pointer"):
    return head(key.public) + box(key.public, pad(pointer_content(platform, uri, language), 96), label)


POINTER = make_pointer()
TIME = {"seconds": 1_795_690_800, "offset_minutes": 60, "zone": "Europe/Paris"}
FIELDS = {"time": TIME, "location": "12 rue des Lilas, Lyon", "leads": ["24h", "2h"], "issued": NOW}


def time_bytes(time):
    return struct.pack(">Ih", time["seconds"], time["offset_minutes"]) + time["zone"].encode()


def body_parts(fields, pointer=POINTER):
    leads, issued = " ".join(fields["leads"]).encode(), struct.pack(">I", fields["issued"])
    return [time_bytes(fields["time"]), fields["location"].encode(), pointer, leads, issued]


def signed(platform, id_, body, worker=WORKER):
    return pae(b"reminder-worker/job/v1", worker.public, platform.encode(), id_, body)


BODY = pae(*body_parts(FIELDS))
REFERENCE = "A-1001"
ID = id_of(CLINIC, REFERENCE)


def content(body=BODY, platform="clinic", id_=ID, signer=CLINIC, worker=WORKER, signature=None, signer_kid=None):
    signature = signature or signer.sign(signed(platform, id_, body, worker))
    return pae(signer_kid or kid(signer.verify), platform.encode(), id_, body, signature)


def envelope(plain, worker=WORKER, label="envelope", padded=None):
    return head(worker.public) + box(worker.public, padded or pad(plain, 368), label)


def tag(signer, id_, fields, contact):
    parts = body_parts(fields)
    whole = blake(pae(id_, parts[0], parts[1], contact, parts[3]), 8, b"rw-tag", signer.index)
    return whole + blake(pae(id_, parts[0], parts[1], parts[3]), 4, b"rw-tag", signer.index)
