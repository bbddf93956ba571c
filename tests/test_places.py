# What a refusal says counts in each case.
# ruff: noqa: PT017

"""Which places a platform may show: asked when a job is handed in, and once more by the worker."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import desk
import practice as own
import pytest
from clock import Clock
from nacl.signing import SigningKey
from scripted import PLACE, Keys, Practice, Scripted

from reminder_worker import catalogue, disclosure
from reminder_worker.apikeys import Caller, Scope
from reminder_worker.catalogue import Catalogue, LiveCatalogue, Place
from reminder_worker.client import Appointment
from reminder_worker.errors import Reason, Refused
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.ledger import Answer, Entry
from reminder_worker.places import Places
from reminder_worker.reception import Reception
from reminder_worker.root import Published
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PlatformKeys, pointer_to_text, seal_pointer
from reminder_worker.tables import Platform

DAY = "2027-03-01"
WARD = "Entrée oncologie"
KEY = SigningKey(bytes(range(32)))
CARD = "Haus am See 3"


def reviewed(label: str = PLACE, although: str = "") -> Place:
    return Place(label, "m.durand", DAY, although)


def write(path: Path, key: SigningKey, *places: Place, sequence: int = 1, platform: str = "clinic") -> None:
    catalogue.save(Catalogue(platform, sequence, places), path, key)


def answer(places: Places, location: str) -> str:
    """Return what may be shown, or why nothing may."""
    try:
        return places.check(location)
    except Refused as refusal:
        assert refusal.field == "location"
        assert location not in str(refusal)
        return refusal.reason


# The rules.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clinic.places"


@pytest.fixture
def listed(path: Path) -> Places:
    write(path, KEY, reviewed("12 rue de l'Été"), Place("4 rue Neuve"))
    return Places(listed=LiveCatalogue(path, "clinic", lambda: bytes(KEY.verify_key)))


def test_without_a_catalogue_the_lint_decides() -> None:
    assert answer(Places(), PLACE) == PLACE
    assert answer(Places(), WARD) == Reason.LOCATION_DISCLOSES


@pytest.mark.parametrize("text", ["Haus am See 3", "haus-am-see, 2. Stock", "HAUS AM SEE"])
def test_a_platform_s_own_names_are_refused_too(text: str, path: Path) -> None:
    write(path, KEY, reviewed("Haus am See 3"))
    live = LiveCatalogue(path, "clinic", lambda: bytes(KEY.verify_key))
    assert answer(Places(deny=["Haus am See"]), text) == Reason.LOCATION_DISCLOSES
    assert answer(Places(deny=["Haus am See"], listed=live), text) == Reason.LOCATION_DISCLOSES
    assert answer(Places(deny=["Haus am Meer"]), text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("12 rue de l'Été", "12 rue de l'Été"),
        ("  12 rue\u00a0de  l'E\u0301te\u0301", "12 rue de l'Été"),  # blanks and NFC
        ("12 rue de l'Ete", Reason.LOCATION_NOT_LISTED),
        ("12 Rue de l'Été", Reason.LOCATION_NOT_LISTED),
        ("12 rue de l\u2019Été", Reason.LOCATION_NOT_LISTED),
        ("12 rue de\u200b l'Été", Reason.LOCATION_NOT_LISTED),
        ("12 rue de l'Été 4", Reason.LOCATION_NOT_LISTED),
        ("4 rue Neuve", Reason.LOCATION_NOT_LISTED),  # proposed, and not reviewed
        ("", Reason.LOCATION_INVALID),
    ],
)
def test_of_a_catalogue_exactly_what_was_reviewed_is_shown(listed: Places, text: str, shown: str) -> None:
    try:
        assert listed.check(text) == shown
    except Refused as refusal:
        assert refusal.reason == shown


def test_a_word_that_somebody_accepted_is_shown_and_no_other(path: Path) -> None:
    rule = disclosure.find(WARD).rule
    live = LiveCatalogue(path, "clinic", lambda: bytes(KEY.verify_key))
    for sequence, (although, shown) in enumerate([(rule, WARD), ("", Reason.LOCATION_DISCLOSES)], 1):
        write(path, KEY, reviewed(WARD, although), sequence=sequence)
        assert answer(Places(listed=live), WARD) == shown


def test_without_a_catalogue_to_trust_nothing_is_shown(listed: Places, path: Path) -> None:
    path.unlink()
    assert answer(listed, "12 rue de l'Été") == Reason.CATALOGUE_UNUSABLE


def test_the_settings_choose_what_decides(path: Path, tmp_path: Path) -> None:
    write(path, KEY, reviewed())
    table = {"verify_key": tmp_path / "none.pub", "locations_file": path, "deny": ["Haus am See"]}
    key = bytes(KEY.verify_key)
    assert answer(Places.of("clinic", Platform(**table), key), "1 High Street") == "1 High Street"
    told = Places.of("clinic", Platform(**table, locations="catalogue"), key)
    assert [answer(told, text) for text in (PLACE, "1 High Street")] == [PLACE, Reason.LOCATION_NOT_LISTED]
    assert answer(told, "Haus am See") == Reason.LOCATION_DISCLOSES
    other = Places.of("other", Platform(**table, locations="catalogue"), key)
    assert answer(other, PLACE) == Reason.CATALOGUE_UNUSABLE


# A job that is handed in.


def test_a_platform_with_keys_of_its_own_is_refused_what_nobody_reviewed(schedule: Schedule, tmp_path: Path) -> None:
    own.make_keys(tmp_path / "keys")
    keys = PlatformKeys.load(tmp_path / "keys" / "clinic.key")
    write(tmp_path / "places", keys.signing, reviewed())
    table = Platform(verify_key="x", locations="catalogue", locations_file=tmp_path / "places")
    client = own.make(schedule, tmp_path / "keys", places=Places.of("clinic", table, bytes(keys.signing.verify_key)))
    told = client.add(Appointment.parse(own.fields(place, location=place)) for place in (PLACE, "1 High Street"))
    assert told[0] is Answer.ADDED
    assert isinstance(told[1], Refused)
    assert told[1].reason is Reason.LOCATION_NOT_LISTED


def test_a_gateway_refuses_what_nobody_reviewed_and_follows_the_file(schedule: Schedule, tmp_path: Path) -> None:
    folder, places = tmp_path / "keys", tmp_path / "places"
    desk.make_keys(folder)
    signing = GatewayKeys.load(folder).live
    table = {"locations": "catalogue", "locations_file": places, "deny": [CARD]}
    with desk.opened(schedule, folder, **table) as one:

        def told(location: str, reference: str) -> tuple[int, str, str | None]:
            said = one.put(reference, location=location)
            assert location not in json.dumps(said.body)
            return said.status, said.body.get("title") or said.body["result"], said.body.get("field")

        assert told(PLACE, "A") == (422, "catalogue_unusable", "location")
        write(places, signing, reviewed(), reviewed(CARD))
        assert told(PLACE, "A") == (201, "added", None)
        assert told("1 High Street", "B") == (422, "location_not_listed", "location")
        assert told(CARD, "C") == (422, "location_discloses", "location")
        write(places, signing, reviewed("1 High Street"), sequence=2)
        assert told("1 High Street", "B") == (201, "added", None)
        assert told(PLACE, "D") == (422, "location_not_listed", "location")
        answers = one.batch(*({"reference": "E", **one.fields(location=place)} for place in (PLACE, "1 High Street")))
        assert [said["status"] for said in answers.body["results"]] == [422, 201]
        write(places, SigningKey.generate(), reviewed("1 High Street"), sequence=3)
        assert told("1 High Street", "F") == (422, "catalogue_unusable", "location")


def test_a_gateway_that_reads_its_keys_again_remembers_how_new_the_catalogue_was(
    schedule: Schedule, tmp_path: Path
) -> None:
    folder, places = tmp_path / "keys", tmp_path / "places"
    desk.make_keys(folder)
    gateway = GatewayKeys.load(folder)
    tenants = desk.settings(folder, locations="catalogue", locations_file=places).platforms
    reception = Reception(schedule, gateway, Published(folder), tenants, "web/1")
    caller = Caller("clinic", Mode.LIVE, frozenset(Scope), datetime.now(UTC))
    pointer = pointer_to_text(seal_pointer(reception.public, "clinic", "tel:+33612345678", "fr"))
    fields = {"time": own.ahead(days=3), "location": PLACE, "pointer": pointer}
    write(places, gateway.live, reviewed(), sequence=2)
    assert isinstance(reception.seal(caller, "A-1", fields), Entry)
    write(places, gateway.live, reviewed(), sequence=1)
    reception.refresh()
    with pytest.raises(Refused, match="the list of reviewed places cannot be used"):
        reception.seal(caller, "A-1", fields)


# The worker, which believes nobody.


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def provider() -> Scripted:
    return Scripted(finds_by_reference=True)


@pytest.fixture
def practice(schedule: Schedule, clock: Clock, keys: Keys, provider: Scripted, path: Path) -> Practice:
    """A practice whose own client does not know of the catalogue, so that everything gets to the worker."""
    table = {"locations": "catalogue", "locations_file": path, "deny": [CARD]}
    return Practice(schedule, clock, keys, provider, platform=table)


def sent(practice: Practice, provider: Scripted, **changes: Any) -> str:
    """Return the text of one more appointment."""
    reference = f"A-{len(provider.texts)}"
    practice.add(reference=reference, **changes)
    practice.work()
    assert practice.show(reference=reference).state == "sent"
    return provider.texts[-1].body


def test_a_reviewed_place_is_in_the_text(practice: Practice, provider: Scripted, keys: Keys, path: Path) -> None:
    write(path, keys.clinic.signing, reviewed())
    assert PLACE in sent(practice, provider)


def forged(path: Path, keys: Keys) -> None:
    write(path, keys.other.signing, reviewed())


def changed(path: Path, keys: Keys) -> None:
    write(path, keys.clinic.signing, reviewed("28 rue des Archives, Paris"))
    path.write_bytes(path.read_bytes().replace(b"28 rue", b"27 rue"))


UNUSABLE: dict[str, Callable[[Path, Keys], object]] = {
    "missing": lambda path, keys: None,
    "a stranger's": forged,
    "changed": changed,
    "another platform's": lambda path, keys: write(path, keys.other.signing, reviewed(), platform="other"),
    "unreadable": lambda path, keys: path.mkdir(),
    "cut off": lambda path, keys: (
        write(path, keys.clinic.signing, reviewed()),
        path.write_bytes(path.read_bytes()[:-1]),
    ),
}


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE)
def test_with_no_catalogue_to_trust_the_text_names_no_place(
    practice: Practice,
    provider: Scripted,
    keys: Keys,
    path: Path,
    make: Callable[[Path, Keys], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    make(path, keys)
    with caplog.at_level(logging.WARNING):
        body = sent(practice, provider)
    assert "Archives" not in body
    assert "Rappel" in body
    assert [(one.message, one.reason) for one in caplog.records] == [("place_withheld", "catalogue_unusable")]
    assert "Archives" not in caplog.text


@pytest.mark.parametrize(
    ("place", "reason"),
    [("1 High Street", "location_not_listed"), ("Waits 4", "location_not_listed"), (CARD, "location_discloses")],
)
def test_a_place_that_may_not_be_shown_is_left_out(
    practice: Practice,
    provider: Scripted,
    keys: Keys,
    path: Path,
    place: str,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(path, keys.clinic.signing, reviewed(), reviewed(CARD), Place("Waits 4"))
    with caplog.at_level(logging.WARNING):
        body = sent(practice, provider, location=place)
    assert place not in body
    assert [(one.message, one.reason) for one in caplog.records] == [("place_withheld", reason)]


def test_a_place_that_is_taken_out_is_left_out_from_the_next_text_on(
    practice: Practice, provider: Scripted, keys: Keys, path: Path
) -> None:
    write(path, keys.clinic.signing, reviewed())
    before = path.read_bytes()
    assert PLACE in sent(practice, provider)
    write(path, keys.clinic.signing, sequence=2)
    assert PLACE not in sent(practice, provider)
    path.write_bytes(before)  # somebody puts the old file back
    assert PLACE not in sent(practice, provider)
    write(path, keys.clinic.signing, reviewed(), sequence=3)
    assert PLACE in sent(practice, provider)


def test_what_a_phone_shows_is_the_label_that_was_reviewed(
    practice: Practice, provider: Scripted, keys: Keys, path: Path
) -> None:
    write(path, keys.clinic.signing, reviewed())
    assert PLACE in sent(practice, provider, location=PLACE.replace(" ", "\u2002"))


def test_at_the_level_that_names_no_place_no_catalogue_is_asked(
    schedule: Schedule, clock: Clock, keys: Keys, provider: Scripted, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"locations": "catalogue", "locations_file": path, "level": "time"}
    practice = Practice(schedule, clock, keys, provider, platform=table)
    with caplog.at_level(logging.WARNING):
        assert PLACE not in sent(practice, provider)
    assert not caplog.records


# Who may read places.


@pytest.mark.parametrize("module", ["scheduler", "hooks"])
def test_who_may_not_see_places_loads_nothing_that_reads_them(module: str) -> None:
    script = f"import json, sys, reminder_worker.{module}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert f"reminder_worker.{module}" in loaded
    assert not {"reminder_worker.catalogue", "reminder_worker.places"} & set(loaded)
