"""The program's own formats, with the right keys: what is mutated lies inside the seals and under the signatures."""

import json
from collections.abc import Iterator
from dataclasses import replace

import known
from known import BAD, GOOD, NOW, h
from nacl.signing import SigningKey

from reminder_worker import broker, catalogue, documents, encoding, job, opening, root, sealing, signatures
from reminder_worker.catalogue import Catalogue
from reminder_worker.encoding import Body, Time, pad, to_text, unpae
from reminder_worker.gateway import GatewayKeys, Mode, Ticket
from reminder_worker.notes import NOTE_CONTENT, NOTE_CONTEXT, Note
from reminder_worker.root import Root
from reminder_worker.sealing import ENVELOPE_CONTENT, POINTER_CONTENT, POINTER_CONTEXT, PublicKeys, kid, seal

from .targets import NUMBER, PLACE, Finding, attempt, decoded, nested, target, texts

WORKER, PUBLIC, SIGNERS, CLINIC = known.worker(), known.public(), known.signers(), known.platform()
ENVELOPE_KEY, POINTER_KEY = PUBLIC.envelope_key(NOW), PUBLIC.pointers[-1]
YEAR = PublicKeys.from_json(
    json.dumps(json.loads((known.FOLDER / "public_keys.json").read_text())["good"][0]["document"])
)
GATEWAY = GatewayKeys(*(SigningKey(bytes([number]) * 32) for number in (1, 2, 3)), index=bytes(32))
ROOT = SigningKey(bytes(range(32)))
SECRET = signatures.Secret((bytes(range(32)), bytes(24)))
REFERENCE = "A-1001"
ID = sealing.make_id(CLINIC, REFERENCE)


# Texts


@target(
    "time",
    texts(
        "2027-03-15T14:30:00+01:00",
        "2027-03-15T14:30:00.123Z[Europe/Paris]",
        "2027-03-15t14:30:00-00:00[!Etc/GMT+5][u-ca=gregory]",
        "2027-03-15T14:30:00+01:00[+01:00]",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59[America/New_York]",
        "2027-03-15T14:30:00Z[posix/Europe/Paris]",
        "2027-03-15T14:30:00Z[a/../b]",
    ),
)
def parse_time(data: bytes) -> object:
    moment = job.parse_time(decoded(data))
    signed = job.to_time(moment)
    if job.from_time(signed).timestamp() != signed.seconds:
        raise Finding("time: signed as another instant")
    Time.decode(signed.encode())
    return signed


@target("location", texts("12 rue des Lilas, Lyon", PLACE, "e\u0301" * 80, "\u200b", "\u2028", "مركز 12", "\ud800"))
def parse_location(data: bytes) -> None:
    tidy = job.parse_location(decoded(data))
    if job.parse_location(tidy) != tidy:
        raise Finding("location: tidied twice it is another")


@target(
    "pointer-text",
    lambda: [to_text(h(one["pointer"])).encode() for one in (*GOOD["pointers"], *BAD["pointers"])],
)
def pointer_text(data: bytes) -> object:
    return len(sealing.pointer_from_text(PUBLIC, decoded(data)))


@target("base64", texts("", "AA", "Cp_E3jUo2bM9BPbo6_4QReHQ63l_eWgbrw-i8E9CRYE", "é", "A\nA"), ValueError, quotes=True)
def base64(data: bytes) -> object:
    text = decoded(data)
    for length in (32, len(text) * 3 // 4):
        attempt_value(encoding.from_text, text, length)
    return encoding.from_text(text, 32)


# Bytes


@target("pae", lambda: [h(one["encoded"]) for one in GOOD["pae"]] + [h(one["padded"]) for one in GOOD["pad"]])
def parts(data: bytes) -> None:
    for count in (*range(7), data[0] if data else 0):
        found = attempt_value(unpae, data, count)
        if found is not None and encoding.pae(*found) != data:
            raise Finding("pae: split into what joins otherwise")
    attempt_value(encoding.unpad, data)


def attempt_value(run: object, *arguments: object) -> object:
    """Go on after the documented ValueError, which may hold data and goes nowhere."""
    try:
        return attempt(run, *arguments)  # type: ignore[arg-type]
    except ValueError:
        return None


@target("body", lambda: (h(one["body"]) for one in GOOD["envelopes"]), ValueError, quotes=True)
def body(data: bytes) -> object:
    found = Body.decode(data)
    if found.encode() != data:
        raise Finding("body: two spellings of one")
    return found, job.from_time(found.time).tzinfo is not None


@target("time-bytes", lambda: (h(one["encoded"]) for one in GOOD["times"]), ValueError, quotes=True)
def time_bytes(data: bytes) -> object:
    found = Time.decode(data)
    job.from_time(found)
    return found


def envelopes() -> Iterator[bytes]:
    """Yield, behind the number of its layer: an envelope, its content, a body."""
    for one in (*GOOD["envelopes"], *BAD["envelopes"]):
        yield b"\0" + h(one["envelope"])
    for one in GOOD["envelopes"]:
        yield b"\2" + h(one["body"])
    yield b"\1" + pad(signed(h(GOOD["envelopes"][0]["body"])), ENVELOPE_CONTENT)


def signed(encoded: bytes) -> bytes:
    """Return the content of an envelope whose body the clinic has signed, whatever it is."""
    name = CLINIC.name.encode()
    signature = CLINIC.signing.sign(sealing.signed_part(ENVELOPE_KEY, name, ID, encoded)).signature
    return encoding.pae(kid(bytes(CLINIC.signing.verify_key)), name, ID, encoded, signature)


@target("envelope", envelopes)
def envelope(data: bytes) -> object:
    layer, inner = data[:1], data[1:]
    sealed = inner
    if layer == b"\1":
        sealed = sealing.VERSION + kid(ENVELOPE_KEY) + seal_raw(ENVELOPE_KEY, inner)
    elif layer == b"\2":
        content = signed(inner[:1000])
        sealed = seal(ENVELOPE_KEY, content, max(ENVELOPE_CONTENT, len(content) + 1))
    return opening.open_envelope(WORKER, SIGNERS, sealed, entry_id=ID)


def seal_raw(key: bytes, content: bytes) -> bytes:
    return sealing.crypto_box_seal(content, key)


def pointers() -> Iterator[bytes]:
    for one in (*GOOD["pointers"], *BAD["pointers"]):
        yield b"\0" + h(one["pointer"])
    for one in GOOD["pointers"]:
        yield b"\1" + pad(h(one["content"]), POINTER_CONTENT)
    yield b"\2" + b"clinic|tel:" + NUMBER.encode() + b"|fr"
    yield b"\2" + b"clinic|contact:" + b"x" * 64 + b"|zh-Hant"


@target("pointer", pointers)
def pointer(data: bytes) -> object:
    layer, sealed = data[:1], data[1:]
    if layer == b"\1":
        sealed = sealing.VERSION + kid(POINTER_KEY) + seal_raw(POINTER_KEY, sealed)
    elif layer == b"\2":
        content = encoding.pae(POINTER_CONTEXT, *sealed[:400].split(b"|", 2))
        sealed = seal(POINTER_KEY, content, max(POINTER_CONTENT, len(content) + 1))
    return opening.open_pointer(WORKER, "clinic", sealed)


def notes() -> Iterator[bytes]:
    yield b"\0" + Note("twilio", NUMBER, "stop", "fr").seal(PUBLIC, NOW)
    yield b"\1" + pad(encoding.pae(NOTE_CONTEXT, b"twilio", NUMBER.encode(), b"stop", b"fr"), NOTE_CONTENT)
    yield b"\2twilio|" + NUMBER.encode() + b"|stop|fr"


@target("note", notes)
def note(data: bytes) -> object:
    layer, sealed = data[:1], data[1:]
    if layer == b"\1":
        sealed = sealing.VERSION + kid(ENVELOPE_KEY) + seal_raw(ENVELOPE_KEY, sealed)
    elif layer == b"\2":
        content = encoding.pae(NOTE_CONTEXT, *sealed[:400].split(b"|", 3))
        sealed = seal(ENVELOPE_KEY, content, max(NOTE_CONTENT, len(content) + 1))
    found = opening.open_note(WORKER, sealed)
    return replace(found, provider="")


def tickets() -> Iterator[bytes]:
    for mode in Mode:
        made = Ticket("clinic", mode, f"{REFERENCE} {NUMBER}")
        yield b"\0" + GATEWAY.ticket(ID, made)
    yield b"\1" + pad(encoding.pae(b"clinic", b"live", REFERENCE.encode()), 64)


@target("ticket", tickets)
def ticket(data: bytes) -> object:
    sealed = data[1:]
    if data[:1] == b"\1":
        sealed = GATEWAY._box().encrypt(sealed, ID.ljust(24, b"\0")).ciphertext
    return GATEWAY.open_ticket(ID, sealed)


# Documents


@target(
    "json",
    lambda: [*nested(), b'{"a": 1}', b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"\\ud800": "' + NUMBER.encode() + b'"}'],
)
def read_object(data: bytes) -> None:
    documents.read_object(data)


def public_documents() -> Iterator[bytes]:
    made = json.loads((known.FOLDER / "public_keys.json").read_text())
    for one in (*made["good"][-1:], *made["bad"]):
        yield json.dumps(one["document"]).encode()
    yield b'{"version": 1, "pointer": [], "envelope": []}'
    yield from nested()


@target("public-keys", public_documents)
def public_keys(data: bytes) -> object:
    found = PublicKeys.from_json(data)
    pinned = Root(to_text(bytes(ROOT.verify_key)))
    attempt(pinned.check, found, NOW)
    resigned = attempt(root.sign, replace(found, signature=None), ROOT, NOW)
    if resigned is not None:
        pinned.check(resigned, NOW)
    attempt(root.fingerprint_of_all, found)
    again = PublicKeys.from_json(found.to_json())
    if again.to_json() != found.to_json():
        raise Finding("public-keys: written and read they are others")
    return found, found.last_day


def catalogues() -> Iterator[bytes]:
    made = json.loads((known.FOLDER / "places.json").read_text("utf-8"))
    for one in (*made["good"], *made["bad"]):
        yield one["file"].encode()


@target("catalogue", catalogues, ValueError, quotes=True)
def read_catalogue(data: bytes) -> object:
    key = bytes(CLINIC.signing.verify_key)
    head, rest = catalogue._HEAD.match(data), data
    if head is not None:  # signed as it is now, so that what follows is reached
        rows = [line.split(b"\t") for line in data[head.end() :].split(b"\n")[:-1]]
        try:
            under = catalogue.signed_part(head[1], int(head[2]), rows)
        except (ValueError, OverflowError):
            under = b""
        signature = to_text(CLINIC.signing.sign(under).signature).encode()
        rest = data[: head.start(3)] + signature + data[head.end(3) :]
    found = Catalogue.parse(rest, "clinic", key)
    for place in found.places:
        _ = place.refused_by
    Catalogue.parse(found.to_file(CLINIC.signing).encode(), "clinic", key)
    return found


# What others send


@target(
    "standard-webhook",
    lambda: [
        "\n".join([*signatures.sign(SECRET, "msg_1", int(NOW.timestamp()), b"{}").values(), "{}"]).encode(),
        b"msg_1\n1795564800\nv1,AAAA v1a,x v1,\xff\n{}",
        b"msg.1\n" + b"9" * 13 + b"\n\n" + NUMBER.encode(),
    ],
)
def standard_webhook(data: bytes) -> None:
    id_, stamp, shown, content = (data.split(b"\n", 3) + [b""] * 4)[:4]
    values = (one.decode("latin-1") for one in (id_, stamp, shown))
    headers = dict(zip(("webhook-id", "webhook-timestamp", "webhook-signature"), values, strict=True))
    attempt(signatures.verify, SECRET, headers, content, NOW.timestamp())
    made = attempt_value(signatures.sign, SECRET, id_.decode("latin-1"), int(NOW.timestamp()), data)
    if isinstance(made, dict):
        signatures.verify(SECRET, made, data, NOW.timestamp())


def wakes() -> Iterator[bytes]:
    made = broker.write(broker.Wake(bytes(16), 0, 1))
    yield made.copy(options={"redis_message_id": "a"}).encode()
    yield made.encode()
    yield from nested()
    yield b'{"queue_name":"reminders","actor_name":"remind","args":[],"kwargs":' + b"[" * 3000
    yield made.encode().replace(b'"version":1', b'"version":' + b"9" * 5000)


@target("wake", wakes)
def wake(data: bytes) -> object:
    """The queue's messages, on Redis and on RabbitMQ."""
    return broker.is_wake(data), broker.is_wake(data, options=())


@target("webhook-secret", texts("whsec_" + "A" * 32, "whsec_é", "whsec_" + "A" * 43 + "="), ValueError, quotes=True)
def webhook_secret(data: bytes) -> object:
    return signatures.Secret.parse(decoded(data))
