"""What must not open, each with the reason."""

import struct

from parts import (
    BODY,
    CLINIC,
    FIELDS,
    GATEWAY,
    HOSPITAL,
    ID,
    POINTER,
    POINTERS,
    STRANGER,
    TIME,
    UNKNOWN,
    WEAK,
    WEEK,
    WEEKS,
    WORKER,
    Key,
    blake,
    body_parts,
    box,
    content,
    envelope,
    head,
    id_of,
    kid,
    make_pointer,
    pad,
    pae,
    pointer_content,
    secret,
    signed,
    text,
    weak_box,
)

ORDER = 2**252 + 27742317777372353535851937790883648493  # of the Ed25519 base point


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def bad_seals(sealed, stranger, oldest, other_kind):
    """Return what is wrong from outside, alike for pointers and envelopes."""
    return [
        ("empty", b"", "version_unknown"),
        ("version 2", b"\x02" + sealed[1:], "version_unknown"),
        ("version 0", b"\x00" + sealed[1:], "version_unknown"),
        ("only a version", sealed[:1], "key_unknown"),
        ("a cut key id", sealed[:8], "key_unknown"),
        ("a bit of the key id", flip(sealed, 4), "key_unknown"),
        ("another worker's key", stranger, "key_unknown"),
        ("a key of the other kind", other_kind, "key_unknown"),
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


BAD_ADDRESSES = {
    "another scheme": ("sms:+33639981234", "fr"),
    "a number without a plus": ("tel:33639981234", "fr"),
    "a number that begins with zero": ("tel:+0639981234", "fr"),
    "a number of four digits": ("tel:+1234", "fr"),
    "a number of sixteen digits": ("tel:+3363998123456789", "fr"),
    "a number with an extension": ("tel:+33639981234;ext=1", "fr"),
    "a scheme in capitals": ("TEL:+33639981234", "fr"),
    "a number with a newline behind": ("tel:+33639981234\n", "fr"),
    "a number in Arabic digits": ("tel:+٣٣٦٣٩٩٨", "fr"),
    "an empty token": ("contact:", "fr"),
    "a token with a slash": ("contact:a/b", "fr"),
    "a URL": ("http://127.0.0.1/", "fr"),
    "an empty uri": ("", "fr"),
    "an empty language": ("tel:+33639981234", ""),
    "a language of one character": ("tel:+33639981234", "f"),
    "a language with an underscore": ("tel:+33639981234", "fr_FR"),
    "a language of ten characters": ("tel:+33639981234", "zh-Hant-TW"),
    "a language with a hyphen behind": ("tel:+33639981234", "fr-"),
    "a language with a newline behind": ("tel:+33639981234", "fr\n"),
    "a subtag of one character": ("tel:+33639981234", "fr-x"),
    "a subtag of five characters": ("tel:+33639981234", "fr-Latin"),
}


def bad_pointers():
    key = POINTERS[1].public

    def sealed(plain):
        return head(key) + box(key, plain, "bad pointer")

    good = pointer_content("clinic", "tel:+33639981234", "fr")
    cases = bad_seals(
        POINTER, make_pointer(key=STRANGER), make_pointer(key=POINTERS[0]), other_kind=make_pointer(key=WORKER)
    )
    cases += [
        (f"an ephemeral key of low order, {number}", head(key) + weak_box(key, pad(good, 96), point), "damaged")
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
        (
            "three parts",
            sealed(pad(pae(b"reminder-worker/pointer/v1", b"clinic", b"tel:+33639981234"), 96)),
            "pointer_invalid",
        ),
        (
            "a job's context",
            sealed(pad(pointer_content("clinic", "tel:+33639981234", "fr", "reminder-worker/job/v1"), 96)),
            "pointer_invalid",
        ),
    ]
    cases += [
        (name, sealed(pad(pointer_content("clinic", uri, language), 96)), "pointer_invalid")
        for name, (uri, language) in BAD_ADDRESSES.items()
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
        "a body with a byte left over": BODY + b"x",
        "a body with a byte missing": BODY[:-1],
        "a body of four parts": pae(time, location, pointer, leads),
        "a body of six parts": pae(time, location, pointer, leads, issued, b""),
        "an empty body": b"",
        "a cut time": pae(time[:5], location, pointer, leads, issued),
        "an offset of a day": pae(times(offset=1440), location, pointer, leads, issued),
        "an offset of a day behind": pae(times(offset=-1440), location, pointer, leads, issued),
        "a zone with an absolute path": pae(times(b"/etc/localtime"), location, pointer, leads, issued),
        "a zone with a blank": pae(times(b"Europe /Paris"), location, pointer, leads, issued),
        "a zone with a newline behind": pae(times(b"Europe/Paris\n"), location, pointer, leads, issued),
        "a zone that is not ASCII": pae(times("Zürich".encode()), location, pointer, leads, issued),
        "a zone that is too long": pae(times(b"A" * 41), b"x", pointer, b"1h", issued),
        "an empty location": pae(time, b"", pointer, leads, issued),
        "a blank location": pae(time, b" ", pointer, leads, issued),
        "a location of a no-break space": pae(time, "\u00a0".encode(), pointer, leads, issued),
        "a location of a zero-width space": pae(time, "\u200b".encode(), pointer, leads, issued),
        "a location of a mark alone": pae(time, "\u0301".encode(), pointer, leads, issued),
        "a location of two lines": pae(time, b"a\nb", pointer, leads, issued),
        "a location with a line separator": pae(time, "a\u2028b".encode(), pointer, leads, issued),
        "a location with a paragraph separator": pae(time, "a\u2029b".encode(), pointer, leads, issued),
        "a location with a C1 control character": pae(time, "a\u0085b".encode(), pointer, leads, issued),
        "a location that is not UTF-8": pae(time, b"\xff", pointer, leads, issued),
        "a location with half a surrogate": pae(time, b"\xed\xa0\x80", pointer, leads, issued),
        "a location that is not NFC": pae(time, "e\u0301".encode(), pointer, leads, issued),
        "a shorter pointer": pae(time, location, pointer[:-1], leads, issued),
        "a longer pointer": pae(time, location, pointer + b"\0", leads, issued),
        "no lead": pae(time, location, pointer, b"", issued),
        "a lead of zero": pae(time, location, pointer, b"0h", issued),
        "a lead with a sign": pae(time, location, pointer, b"-1h", issued),
        "a lead of nine digits": pae(time, location, pointer, b"100000000s", issued),
        "a lead in weeks": pae(time, location, pointer, b"1w", issued),
        "a shorter lead first": pae(time, location, pointer, b"2h 24h", issued),
        "a shorter lead first, in another unit": pae(time, location, pointer, b"90m 2h", issued),
        "the same lead twice": pae(time, location, pointer, b"24h 24h", issued),
        "leads of one length": pae(time, location, pointer, b"24h 1d", issued),
        "two blanks between leads": pae(time, location, pointer, b"24h  2h", issued),
        "a blank after leads": pae(time, location, pointer, b"24h ", issued),
        "nine leads": pae(time, location, pointer, b"9h 8h 7h 6h 5h 4h 3h 2h 1h", issued),
        "a longer issue date": pae(time, location, pointer, leads, b"\0" + issued),
        "a shorter issue date": pae(time, location, pointer, leads, issued[1:]),
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
        first,
        envelope(content(worker=STRANGER), STRANGER),
        envelope(content(worker=WEEKS[WEEK - 1]), WEEKS[WEEK - 1]),
        other_kind=envelope(content(worker=POINTERS[1]), POINTERS[1]),
    )
    cases += [
        (
            f"an ephemeral key of low order, {number}",
            head(WORKER.public) + weak_box(WORKER.public, pad(good, 368), point),
            "damaged",
        )
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
        (
            "another's signature",
            envelope(content(signature=HOSPITAL.sign(signed("clinic", ID, BODY)))),
            "signature_invalid",
        ),
        ("a bit of the signature", envelope(content(signature=flip(signature, 3))), "signature_invalid"),
        ("a signature of zeros", envelope(content(signature=bytes(64))), "signature_invalid"),
        ("no signature", envelope(pae(kid(CLINIC.verify), b"clinic", ID, BODY, b"")), "signature_invalid"),
        ("a longer signature", envelope(content(signature=signature + b"\0")), "signature_invalid"),
        ("S plus the group order", envelope(content(signature=malleable(signature))), "signature_invalid"),
        (
            "a verify key of low order",
            envelope(content(signature=WEAK + bytes(32), signer_kid=kid(WEAK))),
            "signature_invalid",
        ),
        ("a swapped pointer", envelope(content(stolen, signature=signature)), "signature_invalid"),
        ("a moved time", envelope(content(moved, signature=signature)), "signature_invalid"),
        ("a swapped id", envelope(content(id_=other_id, signature=signature)), "signature_invalid"),
        (
            "a gateway's other platform",
            envelope(
                content(
                    platform="south", id_=north, signer=GATEWAY, signature=GATEWAY.sign(signed("north", north, BODY))
                )
            ),
            "signature_invalid",
        ),
        ("signed for another worker", envelope(content(worker=STRANGER)), "signature_invalid"),
        ("signed for another week", envelope(content(worker=WEEKS[WEEK + 1])), "signature_invalid"),
        (
            "signed without context",
            envelope(content(signature=CLINIC.sign(pae(WORKER.public, b"clinic", ID, BODY)))),
            "signature_invalid",
        ),
        ("another entry's envelope", envelope(content(id_=other_id)), "id_mismatch"),
        ("a cut id", envelope(content(id_=ID[:15])), "id_mismatch"),
    ]
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
            for encoded, count in (
                ("", 0),
                ("", 1),
                ("02010061", 1),
                ("0101", 1),
                ("01020061", 1),
                ("0101006162", 1),
                ("01000000", 1),
            )
        ],
        "unpad": ["", "00", "01", "6100", "618001"],
        "texts": [
            "",
            canonical[:-1],
            canonical + "A",
            canonical + "=",
            "+" + canonical[1:],
            " " + canonical[1:],
            canonical[:-1] + "é",
            text(b"\x02" + POINTER[1:]),
            text(make_pointer(key=STRANGER)),
        ],
    }
