"""Public keys that a root has signed, and what must be refused by whoever pins that root."""

import copy
import struct

from parts import CLINIC, NOW, POINTERS, STATES, STRANGER, WEAK, WEEK, WEEKS, Key, Signer, blake, kid, pae, text

ROOT = Signer("root", [])
OTHER = Signer("another root", [])
NEWEST = NOW - 86_400  # when the last document that was seen before was signed
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the Ed25519 base point


def fingerprint(public):
    alphabet, bits = "abcdefghijklmnopqrstuvwxyz234567", int.from_bytes(blake(public, 15, b"rw-fingerprint"), "big")
    letters = [alphabet[bits >> 5 * at & 31] for at in reversed(range(24))]
    return " ".join("".join(letters[at : at + 4]) for at in range(0, 24, 4))


def year():
    """The weeks of a year from the vectors' ratchet on."""
    state, weeks = STATES[WEEK - 1], {}
    for number in range(WEEK - 1, WEEK + 54):
        weeks[number] = Key(blake(state, 32, b"rw-envelope")).public
        state = blake(state, 32, b"rw-ratchet")
    return weeks


def signed(pointers, weeks, issued, context=b"reminder-worker/public-keys/v1"):
    first = b"".join(kid(key) + key for key in pointers)
    rest = b"".join(struct.pack(">I", number) + kid(key) + key for number, key in sorted(weeks.items()))
    return pae(context, struct.pack(">I", issued), first, rest)


def entry(key):
    return {"kid": text(kid(key)), "key": text(key)}


def document(pointers, weeks, issued=NOW, signer=ROOT, under=None, signature=None):
    said = signature or signer.sign(signed(pointers, weeks, issued) if under is None else under)
    return {
        "version": 1,
        "pointer": [entry(key) for key in pointers],
        "envelope": [entry(key) | {"week": number} for number, key in weeks.items()],
        "root": {"issued": issued, "signature": text(said)},
    }


def changed(made, *path, to):
    """Return the document with another value in one place."""
    made = copy.deepcopy(made)
    inside = made
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = to
    return made


KEYS = [key.public for key in POINTERS]
FEW = {number: key.public for number, key in WEEKS.items()}


def good(name, pointers, weeks, issued, made=None):
    under = signed(pointers, weeks, issued)
    made = made or document(pointers, weeks, issued)
    shown = {"signed": under.hex(), "signature": ROOT.sign(under).hex()}
    return {"name": name, "document": made, "last_day": "2027-12-05" if weeks is not FEW else "2026-12-27", **shown}


def bad():
    made, over = document(KEYS, FEW), {number: key for number, key in FEW.items() if number < WEEK}
    signature = ROOT.sign(signed(KEYS, FEW, NOW))
    half, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    twice = copy.deepcopy(made)
    twice["envelope"].append(entry(STRANGER.public) | {"week": WEEK})
    first = copy.deepcopy(made)
    first["envelope"].insert(0, entry(STRANGER.public) | {"week": WEEK})
    newest = POINTERS[1].public
    moved = {"kid": text(kid(newest) + newest[:1]), "key": text(newest[1:])}
    bare = {name: value for name, value in made.items() if name != "root"}
    return {
        "no signature": bare,
        "no signature's bytes": changed(made, "root", to={"issued": NOW}),
        "another root": document(KEYS, FEW, signer=OTHER),
        "signed as a job": document(KEYS, FEW, under=signed(KEYS, FEW, NOW, b"reminder-worker/job/v1")),
        "signed without a context": document(KEYS, FEW, under=signed(KEYS, FEW, NOW, b"")),
        "another pointer key": changed(made, "pointer", 1, to=entry(STRANGER.public)),
        "one pointer key more": changed(made, "pointer", to=[*made["pointer"], entry(STRANGER.public)]),
        "one pointer key less": changed(made, "pointer", to=made["pointer"][:1]),
        "pointer keys in another order": changed(made, "pointer", to=made["pointer"][::-1]),
        "no pointer key": document([], FEW),
        "another envelope key": changed(made, "envelope", 1, to=entry(STRANGER.public) | {"week": WEEK}),
        "a week moved": changed(made, "envelope", 5, "week", to=WEEK + 5),
        "one week less": changed(made, "envelope", to=made["envelope"][:-1]),
        "a week twice": twice,
        "a week twice, with the right key last": first,
        "a byte moved from a key to its name": changed(made, "pointer", 1, to=moved),
        "a name of another key": changed(made, "pointer", 1, "kid", to=text(kid(STRANGER.public))),
        "another time": changed(made, "root", "issued", to=NOW + 1),
        "a time that does not fit": changed(made, "root", "issued", to=NOW + 2**32),
        "a time with a fraction": changed(made, "root", "issued", to=NOW + 0.5),
        "a time in words": changed(made, "root", "issued", to=str(NOW)),
        "a signature cut by one": document(KEYS, FEW, signature=signature[:-1]),
        "a signature longer by one": document(KEYS, FEW, signature=signature + b"\0"),
        "a bit of the signature": document(KEYS, FEW, signature=bytes([signature[0] ^ 1]) + signature[1:]),
        "a signature above the order": document(KEYS, FEW, signature=half + (scalar + ORDER).to_bytes(32, "little")),
        "a platform's signature": document(KEYS, FEW, signer=CLINIC),
        "version 2": changed(made, "version", to=2),
        "older than what was seen before": document(KEYS, FEW, NEWEST - 1),
        "from two days ahead": document(KEYS, FEW, NOW + 172_800),
        "weeks that are over": document(KEYS, over),
        "no week": document(KEYS, {}),
    }


def public_keys():
    shuffled = dict(sorted(FEW.items(), reverse=True))
    more = document(KEYS, FEW, NOW - 3600)
    more["pointer"][0]["note"], more["more"] = "passed over", [1]
    return {
        "format": 1,
        "now": NOW,
        "newest": NEWEST,
        "root": {"seed": ROOT.seed.hex(), "verify": ROOT.verify.hex(), "text": text(ROOT.verify)},
        "weak_root": {"verify": WEAK.hex(), "text": text(WEAK)},
        "fingerprints": [
            {"key": key.hex(), "fingerprint": fingerprint(key)} for key in (ROOT.verify, *KEYS, bytes(32))
        ],
        "good": [
            good("a year", KEYS, year(), NOW),
            good("one pointer key, few weeks", KEYS[:1], FEW, NOW - 3600),
            good("weeks in another order", KEYS, FEW, NOW, document(KEYS, shuffled)),
            good("members that are not listed", KEYS, FEW, NOW - 3600, more),
            good("signed in the same second as what was seen before", KEYS, FEW, NEWEST),
        ],
        "bad": [{"name": name, "document": made} for name, made in bad().items()],
        "bad_for_a_weak_root": document(KEYS, FEW, signature=WEAK + bytes(32)),
    }
