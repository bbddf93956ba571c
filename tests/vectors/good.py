"""What must open, with every value on the way."""

from parts import (
    CLINIC,
    FIELDS,
    GATEWAY,
    HOSPITAL,
    ID,
    NOW,
    POINTER,
    POINTERS,
    REFERENCE,
    STATES,
    TIME,
    WEAK,
    WEEK,
    WEEKS,
    body_parts,
    content,
    envelope,
    id_of,
    kid,
    make_pointer,
    pad,
    pae,
    pointer_content,
    secret,
    signed,
    tag,
    text,
    time_bytes,
)


def good_pointer(name, platform, uri, language, key):
    plain = pointer_content(platform, uri, language)
    made = make_pointer(platform, uri, language, key, name)
    return {
        "name": name,
        "platform": platform,
        "uri": uri,
        "language": language,
        "content": plain.hex(),
        "padded": pad(plain, 96).hex(),
        "kid": kid(key.public).hex(),
        "ephemeral_private": secret(name).hex(),
        "pointer": made.hex(),
        "text": text(made),
    }


def good_envelope(name, signer, platform, reference, fields, pointer, week):
    worker, id_, body = WEEKS[week], id_of(signer, reference), pae(*body_parts(fields, pointer))
    under = signed(platform, id_, body, worker)
    plain = content(body, platform, id_, signer, worker)
    return {
        "name": name,
        "platform": platform,
        "signer": kid(signer.verify).hex(),
        "reference": reference,
        "id": id_.hex(),
        **fields,
        "pointer": pointer.hex(),
        "week": week,
        "body": body.hex(),
        "signed": under.hex(),
        "signature": signer.sign(under).hex(),
        "content": plain.hex(),
        "padded": pad(plain, 368).hex(),
        "tag": tag(signer, id_, fields, pointer).hex(),
        "ephemeral_private": secret(name).hex(),
        "envelope": envelope(plain, worker, name).hex(),
    }


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
                "signer": "clinic",
                "id": ID.hex(),
                **FIELDS,
                "uri": "tel:+33639981234",
                "language": "fr",
                "tag": tag(CLINIC, ID, FIELDS, pae(b"tel:+33639981234", b"fr")).hex(),
            }
        ],
        "pointers": [
            good_pointer("a number", "clinic", "tel:+33639981234", "fr", POINTERS[1]),
            good_pointer("an older pointer key", "clinic", "tel:+447700900123", "en-GB", POINTERS[0]),
            good_pointer("a contact token", "clinic", "contact:4f9c_Zk~1.-", "uk", POINTERS[1]),
            good_pointer("the longest", "a" * 20, "contact:" + "z" * 26, "es-419", POINTERS[1]),
            good_pointer("a number of five digits", "clinic", "tel:+12345", "fr", POINTERS[1]),
        ],
        "envelopes": [
            good_envelope("plain", CLINIC, "clinic", REFERENCE, FIELDS, POINTER, WEEK),
            good_envelope("last week's key", CLINIC, "clinic", REFERENCE, FIELDS, POINTER, WEEK - 1),
            good_envelope(
                "an offset and no zone",
                HOSPITAL,
                "hospital",
                "é",
                FIELDS | {"time": offset_only, "location": "Поліклініка, вул. Садова 3", "leads": ["3d"]},
                make_pointer("hospital", label="hospital"),
                WEEK + 2,
            ),
            good_envelope("a gateway", GATEWAY, "north", "N/1", FIELDS, north, WEEK + 1),
            good_envelope("the longest location", CLINIC, "clinic", "L", FIELDS | {"location": long}, POINTER, WEEK),
            good_envelope(
                "a joiner inside the location",
                CLINIC,
                "clinic",
                "J",
                FIELDS | {"location": "क्\u200dष भवन 3"},
                POINTER,
                WEEK,
            ),
            good_envelope(
                "eight leads in all units",
                CLINIC,
                "clinic",
                "8",
                FIELDS | {"leads": ["2d", "47h", "1d", "1439m", "2h", "119m", "1m", "59s"]},
                POINTER,
                WEEK,
            ),
        ],
    }
