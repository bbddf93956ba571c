"""Texts that people wrote: numbers, places, replies, records of other programs, and what operators put into files."""

import importlib
import itertools
import json
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC
from importlib.metadata import entry_points
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from reminder_worker import acts, disclosure, documents, keyfiles, numbers, records, replies, settings, stops, templates
from reminder_worker.apikeys import ApiKeys, key_list
from reminder_worker.client import Appointment, direct
from reminder_worker.errors import SettingsError
from reminder_worker.job import parse_time
from reminder_worker.keyfiles import Kind
from reminder_worker.ops import operators
from reminder_worker.plan import Lead
from reminder_worker.providers import ENTRY_POINTS, Limits, read_table
from reminder_worker.records import Cancelled, Defaults, PassedOver
from reminder_worker.tables import Platform
from reminder_worker.wire.gateway import Gateway

from .formats import CLINIC, YEAR
from .targets import NUMBER, PLACE, Finding, attempt, decoded, folder, holds, nested, target, texts

EXAMPLES = Path(__file__).parents[2] / "examples"
HL7 = Path(__file__).parents[1] / "data" / "hl7"
MOST_RECORDS = 2_000  # of one input that are looked at


def file(name: str, data: bytes) -> Path:
    """Write a file that is to be read."""
    path = folder("words") / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)
    return path


# Words


@target(
    "number",
    texts(NUMBER, "+44 (0)20 7946 0018;ext=3", "+1-800-FLOWERS", "tel:+33;phone-context=+1", "+٣٣٦٣٩", "+" * 300),
)
def number(data: bytes) -> None:
    text = decoded(data)
    for country in ("FR", "US", ""):
        attempt(numbers.internationalise, text, country)
    attempt(numbers.normalise, text, ("FR", "AX"))
    found = numbers.normalise(text)
    if numbers.normalise(found) != found:
        raise Finding("number: normalised twice it is another")


@target(
    "disclosure",
    texts(
        "Oncologie, 12 rue des Lilas",
        "K.a.r.d.i.o",
        "\u0441ardiology www.example.com",
        "CEP 12345678 06 39 98 12 34",
        "\ud800",
    ),
    longest=1_000,
)
def lint(data: bytes) -> object:
    text = decoded(data)
    return disclosure.find(text), disclosure.discloses(text)


@target(
    "reply",
    texts("STOP", "ST0P svp !", "> Rappel 14h30\nnon merci", "“" + "9" * 60 + "”", "نعم", "\ud800", "oui ? " * 200),
)
def reply(data: bytes) -> object:
    return replies.read(decoded(data))


# Records


def _client() -> direct.Client:
    leads = (Lead.parse("24h"), Lead.parse("2h"))
    return direct.Client(None, CLINIC, YEAR, leads=leads)  # type: ignore[arg-type] - nothing is handed in


CLIENT = _client()
SAID = (
    Defaults(),
    Defaults(zone=ZoneInfo("Europe/Paris"), country="FR", language="fr", location="12 rue des Lilas"),
)


def read_records(name: str, data: bytes, *, seal: bool = True) -> object:
    """Read records as the command does; each is sealed or refused for itself."""
    shown = []
    for said in SAID:
        reader = records.read(name, BytesIO(data), said)
        for place, record in itertools.islice(reader, MOST_RECORDS):
            shown.append(place)
            if isinstance(record, records.Refused):
                shown.append(f"{record}")
            elif isinstance(record, (Cancelled, PassedOver)):
                shown.append(repr(record))
            elif len(shown) < 20 and seal:
                shown.append(_refusal(said, record))
        shown.append(str(reader.left))
    return shown


def _refusal(said: Defaults, record: dict[str, object]) -> str:
    try:
        return repr(CLIENT.seal(Appointment.parse(said.fill(record))))
    except records.Refused as refusal:
        return f"{refusal}"


@target(
    "records-csv",
    lambda: [
        (EXAMPLES / "appointments.csv").read_bytes()[:2_000],
        b'reference;time;phone\n"a\nb";2027-01-01T10:00:00Z;' + NUMBER.encode() + b"\n\xff;\n",
        b'reference,time\n"' + b"x" * 20_000,
    ],
)
def read_csv(data: bytes) -> object:
    return read_records("csv", data)


RECORD = {
    "reference": "A-1",
    "time": "2026-12-01T10:00:00+01:00[Europe/Paris]",
    "location": PLACE,
    "phone": NUMBER,
    "language": "fr",
}


def _jsonl() -> Iterator[bytes]:
    changes: list[dict[str, object]] = [
        {"leads": ["24h", "90m"]},
        {NUMBER: 1},
        {"phone": 1},
        {"time": None},
        {"leads": [{}]},
    ]
    yield b"\n".join(json.dumps(RECORD | change).encode() for change in ({}, *changes))
    yield (EXAMPLES / "appointments.jsonl").read_bytes()[:2_000]
    yield from nested()


@target("records-jsonl", _jsonl)
def read_jsonl(data: bytes) -> object:
    return read_records("jsonl", data)


def _fhir() -> Iterator[bytes]:
    yield (EXAMPLES / "fhir-bundle.json").read_bytes()[:20_000]
    yield b"".join(path.read_bytes()[:4_000] for path in sorted((EXAMPLES / "fhir-bulk").iterdir()))
    yield from (path.read_bytes() for path in sorted(HL7.glob("*.json")))
    yield from nested()
    yield b'{"resourceType":"Bundle","entry":[{"resource":' + b"[" * 3_000


@target("records-fhir", _fhir)
def read_fhir(data: bytes) -> object:
    return read_records("fhir", data)


def _ics() -> Iterator[bytes]:
    yield (EXAMPLES / "calendar.ics").read_bytes()
    event = "BEGIN:VCALENDAR\nX-WR-TIMEZONE:Europe/Paris\nBEGIN:VEVENT\nUID:1\n{}\nEND:VEVENT\nEND:VCALENDAR\n"
    for lines in (
        f"DTSTART:20261201T100000Z\nATTENDEE;LANGUAGE=fr:tel:{NUMBER}\nLOCATION:{PLACE}",
        "DTSTART;TZID=Europe/Paris:20261201T100000\nRRULE:FREQ=MONTHLY;BYDAY=1MO,-1FR;BYSETPOS=-1\nEXDATE:20270101T100000",
        "DTSTART:20261201T100000\nRDATE;VALUE=PERIOD:20261202T100000Z/PT1H\nRECURRENCE-ID:20261201T100000",
        "DTSTART:00010101T000000Z\nRRULE:FREQ=YEARLY;INTERVAL=9999",
        "DTSTART:99991231T235959\nRRULE:FREQ=DAILY;COUNT=3",
        "DTSTART;VALUE=DATE:20261201\nSEQUENCE:-1\nSTATUS:CANCELLED",
    ):
        yield event.format(lines).replace("\n", "\r\n").encode()


@target("records-ics", _ics)
def read_ics(data: bytes) -> object:
    return read_records("ics", data)


# Files of operators


def _named(data: bytes, load: Callable[[str], object]) -> bool:
    """Tell whether something was planted in a name: names are said, for they are the operator's."""
    try:
        return _names(load(data.decode()))
    except (ValueError, RecursionError):
        return False


def _names(document: object) -> bool:
    if isinstance(document, dict):
        return any(holds(name) or _names(value) for name, value in document.items())
    return isinstance(document, list) and any(map(_names, document))


TEMPLATE = (templates.shipped() / "fr" / "reminder.txt").read_bytes()


@target(
    "template",
    lambda: [TEMPLATE, TEMPLATE.replace(b"{date}", b"{date!r:>99}{0.a}"), b"[place]\n{{}}\n[" + NUMBER.encode() + b"]"],
)
def template(data: bytes) -> object:
    return templates._read(file("fr/reminder.txt", data)).name


def _settings() -> Iterator[bytes]:
    yield (
        b'store_url = "redis://:hunter2@127.0.0.1:6379/0"\nprofile = "production"\nallow_numbers = ["+15005550006"]\n'
        b'[platforms.clinic]\nverify_key = "keys/clinic.pub"\nleads = ["24h"]\nquiet_hours = "21:00-08:00"\n'
        b'level = "place"\nlocations = "lint"\ncountries = ["FR"]\nresolver_url = "https://a.example/c"\n'
        b'[providers.outbox]\npath = "o"\n[[routes]]\nprefix = "+33"\nproviders = ["outbox"]\n'
    )
    yield b'metrics_listen = "[::1]:9"\nretention_days = 1e400\nlog_level = 3\n[ops]\nproxy_from = ["127.0.0.1/8"]\n'
    yield b"a = " + b"[" * 3_000
    yield b"a" + b".a" * 3_000 + b" = 1"
    names = [name for name in settings.Settings.model_fields if name not in (*settings._TABLES, "routes")]
    for value in (
        f'"{PLACE}"',
        f'["{NUMBER}"]',
        f'{{ a = "{PLACE}" }}',
        f'"https://{NUMBER}@[::1"',
        f'"21:00-{NUMBER}"',
    ):
        own, platform = ("".join(f"{name} = {value}\n" for name in some) for some in (names, Platform.model_fields))
        yield f"{own}[platforms.clinic]\n{platform}[[routes]]\nprefix = {value}\nproviders = {value}\n".encode()


@target("settings", _settings, runs=8)
def read_settings(data: bytes) -> object:
    """Names are the operator's own and may be said; values never."""
    try:
        settings.read(file("reminder-worker.toml", data))
    except SettingsError:
        if not _named(data, tomllib.loads):
            raise


GATEWAY = (
    '{"url":"https://a.example/{reference}","body":{"to":"{to}","text":"{text}","{":"}"},"id":"a.0.b","headers":{"A":"{key}"},'
    '"secrets":{"key":"k"},"receipts":{"status":"s","states":{"a":"sent"},"reference":"r"},"signature":{"header":"X",'
    '"key_file":"k"},"find":{"url":"https://a.example/f/{reference}","reference":"r","id":"i"}}'
)


def _tables() -> Iterator[bytes]:
    yield b"http\n" + GATEWAY.encode()
    yield b"http\n" + GATEWAY.replace("{to}", "{to!r:>9}").encode()
    for name, model in MODELS.items():
        fields = [field.alias or key for key, field in model.model_fields.items()]
        for value in (PLACE, NUMBER, [NUMBER], {"a": PLACE}, f"https://{NUMBER}@x/{{{NUMBER}}}"):
            yield f"{name}\n{json.dumps(dict.fromkeys(fields, value))}".encode()
    yield from (b"http\n" + deep for deep in nested())


def _model(name: str) -> type[Limits]:
    module = importlib.import_module(f"reminder_worker.providers.{name}")
    found: type[Limits] = module.Gateway if name == "http" else module._Settings
    return found


MODELS = {point.name: _model(point.name) for point in entry_points(group=ENTRY_POINTS)}


@target("provider-table", _tables)
def provider_table(data: bytes) -> object:
    """Names are the operator's own here too."""
    name, _, rest = data.partition(b"\n")
    try:
        read_table(MODELS.get(name.decode("latin-1"), Gateway), "acme", documents.read_object(rest))
    except SettingsError:
        if not _named(rest, json.loads):
            raise


@target("act", texts("1795564800000|drop|unknown|abcdefgh|root|ada", "9" * 30 + "|a|b|c|d|e", "\u0661|a|b|c|d|e"))
def act(data: bytes) -> object:
    """A line of the store, which somebody else may have written."""
    return acts.Act.of(data) is not None


@target(
    "stops",
    texts(
        "reminder-worker opt-outs v1\n1795564800000-0 " + "0a" * 16 + " 1\n", "reminder-worker opt-outs v1\n" + NUMBER
    ),
)
def stops_file(data: bytes) -> object:
    stops._parse(decoded(data).splitlines())


@target(
    "key-file",
    lambda: (
        [keyfiles.key_file(kind, verify="A" * 43).encode() for kind in Kind] + [b"", b"\n", b"\xff", NUMBER.encode()]
    ),
)
def key_file(data: bytes) -> object:
    path = file("a.key", data)
    found = [keyfiles.is_kind(path, kind) for kind in Kind]
    for text in keyfiles.read_key_file(path, Kind.VERIFY, "verify"):
        keyfiles.key_from_file(path, text)
    return found


def _api_keys() -> Iterator[bytes]:
    yield (
        b'[{"name":"abcdefgh","platform":"clinic","mode":"live","scopes":["add"],"hash":"x",'
        b'"created":"2026-01-01T00:00:00Z","expires":"2027-01-01T00:00:00Z"}]'
    )
    yield from (b'[{"x":' + deep for deep in nested())


@target("api-key-file", _api_keys)
def api_keys(data: bytes) -> object:
    path = key_list(folder("words"))
    file(path.name, data)
    ApiKeys(path.parent).caller("rwk_live_abcdefgh_" + "A" * 43, parse_time("2026-11-25T00:00:00Z").astimezone(UTC))


def _operators() -> Iterator[bytes]:
    yield b'[{"name":"ada","cost":2,"salt":"AAAA","hash":"AAAA","made":"2026-01-01T00:00:00Z"}]'
    yield from (b'[{"name":' + deep for deep in nested())


@target("operators-file", _operators)
def operators_file(data: bytes) -> object:
    return operators.Operators(file("operators.json", data)).get("ada")
