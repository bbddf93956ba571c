"""Catalogues of places: some that verify, and what must not be used."""

import hashlib
import re

from parts import CLINIC, GATEWAY, HOSPITAL, pae, text

ROWS = [
    ("12 rue des Lilas, Lyon", "m.durand", "2026-11-23", ""),
    ("Clinique du Dos", "m.durand", "2026-11-24", "fr/B/clinique+du+dos"),
    ("Поліклініка, вул. Садова 3", "", "", ""),
]


def digest(rows):
    joined = b"".join(pae(*(part.encode() for part in row)) for row in rows)
    return hashlib.blake2b(joined, digest_size=32, person=b"rw-places").digest()


def under(platform, sequence, rows, context=b"reminder-worker/places/v1"):
    return pae(context, platform.encode(), sequence.to_bytes(8, "big"), digest(rows))


def lines(rows):
    return "".join("\t".join(row) + "\n" for row in rows)


def file(platform="clinic", sequence=1_795_564_800, rows=ROWS, signer=CLINIC, version="v1", **signed):
    """Write a catalogue; ``signed``: what the signature is made over where that is something else."""
    under_it = under(**({"platform": platform, "sequence": sequence, "rows": rows} | signed))
    head = f"reminder-worker places {version}\nplatform {platform}\nsequence {sequence}\n"
    return f"{head}signature {text(signer.sign(under_it))}\n{lines(rows)}"


def good_catalogue(name, platform="clinic", sequence=1_795_564_800, rows=ROWS, signer=CLINIC):
    return {
        "name": name,
        "platform": platform,
        "verify": signer.verify.hex(),
        "sequence": sequence,
        "places": [dict(zip(("label", "reviewer", "date", "although"), row, strict=True)) for row in rows],
        "digest": digest(rows).hex(),
        "signed": under(platform, sequence, rows).hex(),
        "file": file(platform, sequence, rows, signer),
    }


def bad_rows():
    label, reviewer, date, _ = ROWS[0]
    good = (label, reviewer, date)
    return {
        "a label twice": [ROWS[0], ROWS[0]],
        "a label that is not in NFC": [("12 rue de l\u2019E\u0301te\u0301", reviewer, date, "")],
        "a label with two blanks": [("12  rue des Lilas", reviewer, date, "")],
        "a label that begins with a blank": [(" 12 rue des Lilas", reviewer, date, "")],
        "an empty label": [("", reviewer, date, "")],
        "a label of 71 characters": [("y" * 71, reviewer, date, "")],
        "a label with a carriage return": [("12 rue\r des Lilas", reviewer, date, "")],
        "three fields": [good],
        "five fields": [(*good, "", "")],
        "a date and no reviewer": [(label, "", date, "")],
        "a reviewer and no date": [(label, reviewer, "", "")],
        "a rule and no reviewer": [(label, "", "", "fr/B/clinique+du+dos")],
        "a date of another form": [(label, reviewer, "24.11.2026", "")],
        "a rule that nobody can accept": [(*good, "link")],
        "a rule with a blank": [(*good, "fr/B/clinique du dos")],
    }


def bad():
    whole = file()
    first, second = lines(ROWS[:1]), lines(ROWS[1:2])
    cases = {
        "empty": "",
        "only a head": whole.partition("signature")[0],
        "version 2": file(version="v2"),
        "no signature": "\n".join(line for line in whole.splitlines() if not line.startswith("signature")) + "\n",
        "cut off in the last line": whole[:-1],
        "without its last line": whole[: -len(lines(ROWS[-1:]))],
        "more, and no line feed behind it": whole + "4 rue Neuve",
        "one more line": whole + "4 rue Neuve, Lyon\tm.durand\t2026-11-24\t\n",
        "another label": whole.replace("12 rue des Lilas", "14 rue des Lilas"),
        "two lines that changed places": whole.replace(first + second, second + first),
        "another reviewer": whole.replace("m.durand", "m.dupont"),
        "a place that nobody reviewed, made one that somebody did": whole.replace(
            "Садова 3\t\t\t", "Садова 3\tm.durand\t2026-11-24\t"
        ),
        "another rule": whole.replace("clinique+du+dos", "clinique+de+la+main"),
        "another sequence": whole.replace("1795564800", "1795564801"),
        "a sequence that begins with zero": whole.replace("sequence 1", "sequence 01"),
        "a platform that did not sign it": file("hospital", signer=CLINIC),
        "another platform's": file("hospital", signer=HOSPITAL),
        "signed by another platform": file(signer=HOSPITAL),
        "signed in another context": file(context=b"reminder-worker/job/v1"),
        "a letter moved over a border": whole.replace("Lyon\tm.durand", "Lyonm\t.durand", 1),
        "lines that end as on Windows": whole.replace("\n", "\r\n"),
        "a blank behind the signature": re.sub(r"(signature \S+)", r"\1 ", whole),
    }
    cases |= {name: file(rows=rows) for name, rows in bad_rows().items()}
    return [
        {"name": name, "platform": "clinic", "verify": CLINIC.verify.hex(), "file": one} for name, one in cases.items()
    ]


def places():
    return {
        "format": 1,
        "good": [
            good_catalogue("plain"),
            good_catalogue("no places", rows=[], sequence=1),
            good_catalogue("a gateway signs for a platform", "north", rows=ROWS[:1], signer=GATEWAY),
            good_catalogue("the greatest sequence", sequence=999_999_999_999_999_999, rows=ROWS[:1]),
        ],
        "bad": bad(),
    }
