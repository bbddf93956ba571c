"""Make good.json and bad.json again: ``python tests/vectors/make.py``.

Written from docs/format.md alone, without the program's own modules, and without chance: sealed boxes are put
together from crypto_box with a fixed ephemeral key, so that the same bytes come out each time.
"""

import base64
import hashlib
import json
import struct
from pathlib import Path

from nacl.bindings import crypto_box_easy, crypto_scalarmult_base, crypto_secretbox_easy, crypto_sign_seed_keypair
from nacl.signing import SigningKey

HERE = Path(__file__).parent
WEEK = 2968  # 2026-11-23 to 2026-11-29
NOW = 1_795_564_800  # in that week
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the Ed25519 base point


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
    return blake(pae(id_, parts[0], parts[1], contact, parts[3]), 8, b"rw-tag", signer.index)


def good_pointer(name, platform, uri, language, key):
    plain = pointer_content(platform, uri, language)
    made = make_pointer(platform, uri, language, key, name)
    return {
        "name": name, "platform": platform, "uri": uri, "language": language, "content": plain.hex(),
        "padded": pad(plain, 96).hex(), "kid": kid(key.public).hex(), "ephemeral_private": secret(name).hex(),
        "pointer": made.hex(), "text": text(made),
    }  # fmt: skip


def good_envelope(name, signer, platform, reference, fields, pointer, week):
    worker, id_, body = WEEKS[week], id_of(signer, reference), pae(*body_parts(fields, pointer))
    under = signed(platform, id_, body, worker)
    plain = content(body, platform, id_, signer, worker)
    return {
        "name": name, "platform": platform, "signer": kid(signer.verify).hex(), "reference": reference,
        "id": id_.hex(), **fields, "pointer": pointer.hex(), "week": week, "body": body.hex(), "signed": under.hex(),
        "signature": signer.sign(under).hex(), "content": plain.hex(), "padded": pad(plain, 368).hex(),
        "tag": tag(signer, id_, fields, pointer).hex(), "ephemeral_private": secret(name).hex(),
        "envelope": envelope(plain, worker, name).hex(),
    }  # fmt: skip


def good():
    offset_only = {"seconds": 1_796_292_000, "offset_minutes": -210, "zone": ""}
    north = make_pointer("north", "contact:4f9c_Zk~1", "pt-BR", POINTERS[0], "north")
    long = "y" * (94 - len("clinic") - len("Europe/Paris") - len("24h 2h"))
    times = [TIME, offset_only, {"seconds": 2**32 - 1, "offset_minutes": 840, "zone": "Pacific/Kiritimati"}]
    return {
        "format": 1,
        "now": NOW,
        "keys": {
            "pointers": [key.show() for key in POINTERS],
            "ratchet": [{"week": week, "state": STATES[week].hex(), **key.show()} for week, key in WEEKS.items()],
            "signers": {"clinic": CLINIC.show(), "hospital": HOSPITAL.show(), "gateway": GATEWAY.show()},
            "weak_signer": {"verify": WEAK.hex(), "kid": kid(WEAK).hex(), "platforms": ["clinic"]},
        },
        "pae": [
            {"parts": [part.hex() for part in parts], "encoded": pae(*parts).hex()}
            for parts in ([], [b""], [b"a", b""], [b"", b"a"], [b"x" * 300, b"\x01\x00"])
        ],
        "pad": [
            {"data": data.hex(), "size": size, "padded": pad(data, size).hex()}
            for data, size in ((b"", 4), (b"abc", 4), (b"a\x80\0", 8))
        ],
        "weeks": [
            {"seconds": seconds, "week": (seconds - 345_600) // 604_800}
            for seconds in (345_600, 950_399, 950_400, NOW, (WEEK * 604_800) + 345_599, (WEEK * 604_800) + 345_600)
        ],
        "times": [{**time, "encoded": time_bytes(time).hex()} for time in times],
        "ids": [
            {"signer": "clinic", "reference": reference, "id": id_of(CLINIC, reference).hex()}
            for reference in (REFERENCE, "x", "rendez-vous été №7", "é" * 200)
        ],
        "tags": [
            {
                "signer": "clinic", "id": ID.hex(), **FIELDS, "uri": "tel:+33639981234", "language": "fr",
                "tag": tag(CLINIC, ID, FIELDS, pae(b"tel:+33639981234", b"fr")).hex(),
            }
        ],
        "pointers": [
            good_pointer("a number", "clinic", "tel:+33639981234", "fr", POINTERS[1]),
            good_pointer("an older pointer key", "clinic", "tel:+447700900123", "en-GB", POINTERS[0]),
            good_pointer("a contact token", "clinic", "contact:4f9c_Zk~1.-", "uk", POINTERS[1]),
            good_pointer("the longest", "a" * 20, "contact:" + "z" * 26, "es-419", POINTERS[1]),
        ],
        "envelopes": [
            good_envelope("plain", CLINIC, "clinic", REFERENCE, FIELDS, POINTER, WEEK),
            good_envelope("last week's key", CLINIC, "clinic", REFERENCE, FIELDS, POINTER, WEEK - 1),
            good_envelope(
                "an offset and no zone", HOSPITAL, "hospital", "é",
                FIELDS | {"time": offset_only, "location": "Поліклініка, вул. Садова 3", "leads": ["3d"]},
                make_pointer("hospital", label="hospital"), WEEK + 2,
            ),
            good_envelope("a gateway", GATEWAY, "north", "N/1", FIELDS, north, WEEK + 1),
            good_envelope("the longest location", CLINIC, "clinic", "L", FIELDS | {"location": long}, POINTER, WEEK),
        ],
    }  # fmt: skip


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def bad_seals(sealed, stranger, oldest):
    """Return what is wrong from outside, alike for pointers and envelopes."""
    return [
        ("empty", b"", "version_unknown"),
        ("version 2", b"\x02" + sealed[1:], "version_unknown"),
        ("version 0", b"\x00" + sealed[1:], "version_unknown"),
        ("only a version", sealed[:1], "key_unknown"),
        ("a cut key id", sealed[:8], "key_unknown"),
        ("a bit of the key id", flip(sealed, 4), "key_unknown"),
        ("another worker's key", stranger, "key_unknown"),
        ("another worker's key under our name", sealed[:9] + stranger[9:], "damaged"),
        ("another of our keys under this name", sealed[:9] + oldest[9:], "damaged"),
        ("nothing sealed", sealed[:9], "damaged"),
        ("cut by one", sealed[:-1], "damaged"),
        ("longer by one", sealed + b"\0", "damaged"),
        ("a bit of the ephemeral key", flip(sealed, 9), "damaged"),
        ("the unused bit of the ephemeral key", sealed[:40] + bytes([sealed[40] ^ 0x80]) + sealed[41:], "damaged"),
        ("a bit of the tag", flip(sealed, 41), "damaged"),
        ("a bit of the content", flip(sealed, 60), "damaged"),
        ("the last bit", flip(sealed, len(sealed) - 1), "damaged"),
    ]


LOW_ORDER = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
]


def bad_pointers():
    key = POINTERS[1].public

    def sealed(plain):
        return head(key) + box(key, plain, "bad pointer")

    good = pointer_content("clinic", "tel:+33639981234", "fr")
    cases = bad_seals(POINTER, make_pointer(key=STRANGER), make_pointer(key=POINTERS[0]))
    cases += [
        (f"low order {number}", head(key) + weak_box(key, pad(good, 96), point), "damaged")
        for number, point in enumerate(LOW_ORDER)
    ]
    cases += [
        ("another platform's", make_pointer("hospital"), "platform_mismatch"),
        ("a platform that begins alike", make_pointer("clinics"), "platform_mismatch"),
        ("shorter inside", sealed(pad(good, 95)), "damaged"),
        ("longer inside", sealed(pad(good, 97)), "damaged"),
        ("no padding", sealed(bytes(96)), "pointer_invalid"),
        ("padding of another kind", sealed(good + b"\x01" + bytes(95 - len(good))), "pointer_invalid"),
        ("a byte after the padding", sealed(pad(good, 95) + b"\x01"), "pointer_invalid"),
        ("a byte left over", sealed(pad(good + b"x", 96)), "pointer_invalid"),
        ("a byte missing", sealed(pad(good[:-1], 96)), "pointer_invalid"),
        ("three parts", sealed(pad(pae(b"reminder-worker/pointer/v1", b"clinic", b"tel:+33639981234"), 96)),
         "pointer_invalid"),
        ("a job's context", sealed(pad(pointer_content("clinic", "tel:+33639981234", "fr", "reminder-worker/job/v1"), 96)),
         "pointer_invalid"),
    ]  # fmt: skip
    addresses = [
        ("sms:+33639981234", "fr"), ("tel:33639981234", "fr"), ("tel:+0639981234", "fr"), ("tel:+3363998123456789", "fr"),
        ("tel:+33639981234;ext=1", "fr"), ("TEL:+33639981234", "fr"), ("tel:+33639981234\n", "fr"), ("tel:+٣٣٦٣٩٩٨", "fr"),
        ("contact:", "fr"), ("contact:a/b", "fr"), ("http://127.0.0.1/", "fr"), ("", "fr"), ("tel:+33639981234", ""),
        ("tel:+33639981234", "f"), ("tel:+33639981234", "fr_FR"), ("tel:+33639981234", "zh-Hant-TW"),
        ("tel:+33639981234", "fr-"), ("tel:+33639981234", "fr\n"),
    ]  # fmt: skip
    cases += [
        (f"address {number}", sealed(pad(pointer_content("clinic", uri, language), 96)), "pointer_invalid")
        for number, (uri, language) in enumerate(addresses)
    ]
    return [
        {"name": name, "platform": "clinic", "pointer": made.hex(), "reason": reason} for name, made, reason in cases
    ]


def bad_bodies():
    """Return bodies that are signed as they should be and hold what they should not."""
    time, location, pointer, leads, issued = body_parts(FIELDS)

    def times(zone=b"Europe/Paris", offset=60):
        return struct.pack(">Ih", TIME["seconds"], offset) + zone

    return {
        "a byte left over": BODY + b"x",
        "a byte missing": BODY[:-1],
        "four parts": pae(time, location, pointer, leads),
        "six parts": pae(time, location, pointer, leads, issued, b""),
        "an empty body": b"",
        "a cut time": pae(time[:5], location, pointer, leads, issued),
        "an offset of a day": pae(times(offset=1440), location, pointer, leads, issued),
        "a zone with an absolute path": pae(times(b"/etc/localtime"), location, pointer, leads, issued),
        "a zone with a blank": pae(times(b"Europe /Paris"), location, pointer, leads, issued),
        "a zone that is not ASCII": pae(times("Zürich".encode()), location, pointer, leads, issued),
        "a zone that is too long": pae(times(b"A" * 41), b"x", pointer, b"1h", issued),
        "an empty location": pae(time, b"", pointer, leads, issued),
        "a blank location": pae(time, b" ", pointer, leads, issued),
        "a location of two lines": pae(time, b"a\nb", pointer, leads, issued),
        "a location with a line separator": pae(time, "a\u2028b".encode(), pointer, leads, issued),
        "a location that is not UTF-8": pae(time, b"\xff", pointer, leads, issued),
        "a location with half a surrogate": pae(time, b"\xed\xa0\x80", pointer, leads, issued),
        "a location that is not NFC": pae(time, "e\u0301".encode(), pointer, leads, issued),
        "a shorter pointer": pae(time, location, pointer[:-1], leads, issued),
        "a longer pointer": pae(time, location, pointer + b"\0", leads, issued),
        "no lead": pae(time, location, pointer, b"", issued),
        "a lead of zero": pae(time, location, pointer, b"0h", issued),
        "a lead with a sign": pae(time, location, pointer, b"-1h", issued),
        "two blanks between leads": pae(time, location, pointer, b"24h  2h", issued),
        "a blank after leads": pae(time, location, pointer, b"24h ", issued),
        "nine leads": pae(time, location, pointer, b"1h 2h 3h 4h 5h 6h 7h 8h 9h", issued),
        "a longer issue date": pae(time, location, pointer, leads, issued + b"\0"),
    }


def malleable(signature):
    """Add the group order to S: the same signature for an implementation that does not check."""
    value = int.from_bytes(signature[32:], "little") + ORDER
    return signature[:32] + value.to_bytes(32, "little")


def bad_envelopes():
    good, other_id = content(), id_of(CLINIC, "A-1002")
    signature = CLINIC.sign(signed("clinic", ID, BODY))
    stolen = pae(*body_parts(FIELDS, make_pointer(label="another person")))
    moved = pae(*body_parts(FIELDS | {"time": TIME | {"seconds": TIME["seconds"] + 60}}))
    north = id_of(GATEWAY, "N/1")
    old = Key(blake(secret("the week before last"), 32, b"rw-envelope"))
    first = envelope(good)
    cases = bad_seals(
        first, envelope(content(worker=STRANGER), STRANGER), envelope(content(worker=WEEKS[WEEK - 1]), WEEKS[WEEK - 1])
    )
    cases += [
        (f"low order {number}", head(WORKER.public) + weak_box(WORKER.public, pad(good, 368), point), "damaged")
        for number, point in enumerate(LOW_ORDER)
    ]
    cases += [
        ("a week that is over", envelope(content(worker=old), old), "key_unknown"),
        ("shorter inside", envelope(b"", padded=pad(good, 367)), "damaged"),
        ("no padding", envelope(b"", padded=bytes(368)), "malformed"),
        ("padding of another kind", envelope(b"", padded=good + b"\x01" + bytes(367 - len(good))), "malformed"),
        ("a byte after the padding", envelope(b"", padded=pad(good, 367) + b"\x01"), "malformed"),
        ("a byte left over", envelope(good + b"x"), "malformed"),
        ("four parts", envelope(pae(kid(CLINIC.verify), b"clinic", ID, BODY)), "malformed"),
        ("a signer nobody knows", envelope(content(signer=UNKNOWN)), "signer_unknown"),
        ("an empty signer", envelope(pae(b"", b"clinic", ID, BODY, signature)), "signer_unknown"),
        ("a signer for another platform", envelope(content(signer=HOSPITAL)), "platform_mismatch"),
        ("a platform that is not ASCII", envelope(content(platform="clinïc")), "platform_mismatch"),
        ("no platform", envelope(content(platform="")), "platform_mismatch"),
        ("another's signature", envelope(content(signature=HOSPITAL.sign(signed("clinic", ID, BODY)))), "signature_invalid"),
        ("a bit of the signature", envelope(content(signature=flip(signature, 3))), "signature_invalid"),
        ("a signature of zeros", envelope(content(signature=bytes(64))), "signature_invalid"),
        ("no signature", envelope(pae(kid(CLINIC.verify), b"clinic", ID, BODY, b"")), "signature_invalid"),
        ("a longer signature", envelope(content(signature=signature + b"\0")), "signature_invalid"),
        ("S plus the group order", envelope(content(signature=malleable(signature))), "signature_invalid"),
        ("a verify key of low order", envelope(content(signature=WEAK + bytes(32), signer_kid=kid(WEAK))), "signature_invalid"),
        ("a swapped pointer", envelope(content(stolen, signature=signature)), "signature_invalid"),
        ("a moved time", envelope(content(moved, signature=signature)), "signature_invalid"),
        ("a swapped id", envelope(content(id_=other_id, signature=signature)), "signature_invalid"),
        ("a gateway's other platform", envelope(content(
            platform="south", id_=north, signer=GATEWAY, signature=GATEWAY.sign(signed("north", north, BODY)))), "signature_invalid"),
        ("signed for another worker", envelope(content(worker=STRANGER)), "signature_invalid"),
        ("signed for another week", envelope(content(worker=WEEKS[WEEK + 1])), "signature_invalid"),
        ("signed without context", envelope(content(
            signature=CLINIC.sign(pae(WORKER.public, b"clinic", ID, BODY)))), "signature_invalid"),
        ("another entry's envelope", envelope(content(id_=other_id)), "id_mismatch"),
        ("a cut id", envelope(content(id_=ID[:15])), "id_mismatch"),
    ]  # fmt: skip
    cases += [(name, envelope(content(body)), "malformed") for name, body in bad_bodies().items()]
    return [{"name": name, "id": ID.hex(), "envelope": made.hex(), "reason": reason} for name, made, reason in cases]


def bad():
    canonical = text(POINTER)
    return {
        "format": 1,
        "pointers": bad_pointers(),
        "envelopes": bad_envelopes(),
        "pae": [
            {"encoded": encoded, "count": count}
            for encoded, count in (("", 0), ("", 1), ("02010061", 1), ("0101", 1), ("01020061", 1), ("0101006162", 1), ("01000000", 1))
        ],
        "unpad": ["", "00", "01", "6100", "618001"],
        "texts": ["", canonical[:-1], canonical + "A", canonical + "=", "+" + canonical[1:], " " + canonical[1:],
                  canonical[:-1] + "é", "Ag" + canonical[2:], text(make_pointer(key=STRANGER))],
    }  # fmt: skip


def files():
    """Return what belongs into each file."""
    return {
        name: json.dumps(made(), indent=1, ensure_ascii=False) + "\n"
        for name, made in (("good.json", good), ("bad.json", bad))
    }


if __name__ == "__main__":
    for name, made in files().items():
        (HERE / name).write_text(made, "utf-8")
