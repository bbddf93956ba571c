"""The file of reviewed places: what verifies, what does not, and how a running process follows it."""

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import FOLDER, named
from nacl.signing import SigningKey

from reminder_worker import catalogue, disclosure, keys
from reminder_worker.catalogue import Catalogue, LiveCatalogue, Place, is_label, is_reviewer, may_be_accepted
from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import Kind, key_file

VECTORS = json.loads((FOLDER / "places.json").read_text("utf-8"))
KEY = SigningKey(bytes(range(32)))
VERIFY = bytes(KEY.verify_key)
STRANGER = SigningKey(bytes(32))
NOW = datetime(2027, 3, 1, tzinfo=UTC)
LILAS = Place("12 rue des Lilas", "m.durand", "2027-03-01")


def fields(place: Place) -> dict[str, str]:
    return {"label": place.label, "reviewer": place.reviewer, "date": place.date, "although": place.although}


# The format.


@pytest.mark.parametrize("vector", **named(VECTORS["good"]))
def test_a_good_catalogue_holds_what_was_signed(vector: dict) -> None:
    found = Catalogue.parse(vector["file"].encode(), vector["platform"], bytes.fromhex(vector["verify"]))
    assert (found.platform, found.sequence) == (vector["platform"], vector["sequence"])
    assert [fields(place) for place in found.places] == vector["places"]


@pytest.mark.parametrize("vector", **named(VECTORS["good"]))
def test_what_is_under_a_signature_is_that_of_the_vectors(vector: dict) -> None:
    rows = [[part.encode() for part in place.values()] for place in vector["places"]]
    assert catalogue.signed_part(vector["platform"].encode(), vector["sequence"], rows).hex() == vector["signed"]


@pytest.mark.parametrize("vector", **named(VECTORS["bad"]))
def test_a_bad_catalogue_is_none(vector: dict, tmp_path: Path) -> None:
    path = tmp_path / "places"
    path.write_bytes(vector["file"].encode())
    with pytest.raises(SettingsError, match=r"is damaged, or not signed by clinic$") as raised:
        catalogue.load(path, vector["platform"], bytes.fromhex(vector["verify"]))
    assert raised.value.__suppress_context__


WORDS = st.text(min_size=1, max_size=70).filter(is_label)
REVIEWERS = st.text(min_size=1, max_size=40).filter(is_reviewer)
RULES = st.one_of(st.just(""), st.text(max_size=40).filter(may_be_accepted))
DATES = st.dates(datetime(2026, 1, 1).date(), datetime(2999, 12, 31).date()).map(str)  # noqa: DTZ001 - no instants
PLACES = st.one_of(st.builds(Place, WORDS), st.builds(Place, WORDS, REVIEWERS, DATES, RULES))
CATALOGUES = st.builds(
    Catalogue,
    st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True),
    st.integers(1, 10**18 - 1),
    st.lists(PLACES, max_size=6, unique_by=lambda place: place.label).map(tuple),
)


@given(CATALOGUES)
def test_what_was_written_is_read(made: Catalogue) -> None:
    assert Catalogue.parse(made.to_file(KEY).encode(), made.platform, VERIFY) == made


@given(CATALOGUES, st.data())
def test_a_catalogue_with_one_byte_changed_is_none(made: Catalogue, data: st.DataObject) -> None:
    file = bytearray(made.to_file(KEY).encode())
    at = data.draw(st.integers(0, len(file) - 1))
    file[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):
        Catalogue.parse(bytes(file), made.platform, VERIFY)


@given(st.one_of(st.binary(max_size=300), CATALOGUES.map(lambda made: made.to_file(STRANGER).encode())))
def test_what_this_platform_did_not_sign_is_no_catalogue(data: bytes) -> None:
    with pytest.raises(ValueError):
        Catalogue.parse(data, "clinic", VERIFY)


@given(CATALOGUES, CATALOGUES)
def test_no_two_catalogues_are_signed_alike(one: Catalogue, other: Catalogue) -> None:
    def signed(made: Catalogue) -> bytes:
        rows = [[part.encode() for part in fields(place).values()] for place in made.places]
        return catalogue.signed_part(made.platform.encode(), made.sequence, rows)

    assert (signed(one) == signed(other)) is (one == other)


def test_a_border_between_two_fields_cannot_be_moved() -> None:
    assert catalogue.signed_part(b"clinic", 1, [[b"ab", b"c", b"", b""]]) != catalogue.signed_part(
        b"clinic", 1, [[b"a", b"bc", b"", b""]]
    )


@pytest.mark.parametrize(
    "rule", ["link", "long_number", "control_character", "address_sign", "mixed_script", "", "x", "a b/c", "/a"]
)
def test_what_is_no_word_cannot_be_accepted(rule: str) -> None:
    assert not may_be_accepted(rule)


@pytest.mark.parametrize("rule", ["speciality_ending", "fr/B/clinique+du+dos", "institutions/FR/A/gustave+roussy"])
def test_a_word_can_be_accepted(rule: str) -> None:
    assert may_be_accepted(rule)


def test_a_label_is_what_a_job_s_place_becomes() -> None:
    assert is_label("12 rue de l'Été")
    assert not any(
        map(is_label, ["", " 12 rue", "12  rue", "12\u00a0rue", "e\u0301te\u0301", "a\tb", "a\nb", "y" * 71])
    )


def test_nothing_shows_a_label_or_who_looked_at_it() -> None:
    made = Catalogue("clinic", 1, (LILAS,))
    assert not [word for word in ("Lilas", "durand") if word in f"{made!r}{LILAS!r}"]


def test_a_change_is_newer_than_what_was_there_also_where_a_file_was_begun_anew() -> None:
    begun = Catalogue("clinic", 0, ()).changed([LILAS], NOW)
    assert begun.sequence == NOW.timestamp()
    assert begun.changed([], NOW).sequence == begun.sequence + 1
    assert Catalogue("clinic", 0, ()).changed([], datetime(2027, 4, 1, tzinfo=UTC)).sequence > begun.sequence + 1


def test_a_catalogue_has_an_end() -> None:
    many = [Place(f"{number} High Street") for number in range(catalogue.MOST_LABELS + 1)]
    made = Catalogue("clinic", 1, tuple(many))
    with pytest.raises(ValueError, match="too many"):
        Catalogue.parse(made.to_file(KEY).encode(), "clinic", VERIFY)
    with pytest.raises(SettingsError, match="at most 10000 places"):
        made.changed(many, NOW)
    fits = Catalogue("clinic", 1, tuple(many[:-1]))
    assert Catalogue.parse(fits.to_file(KEY).encode(), "clinic", VERIFY) == fits


# What today's lint says of a place.


WARD = "Oncology, entrance B"
RULE = disclosure.find(WARD).rule


@pytest.mark.parametrize(
    ("label", "although", "rule"),
    [
        (LILAS.label, "", None),
        (WARD, "", RULE),
        (WARD, RULE, None),
        (WARD, "en/A/another", RULE),
        ("www.clinic.example", "", "link"),
        ("12 rue de l'Hôpital", "", None),  # a warning
    ],
)
def test_only_the_rule_that_somebody_accepted_is_passed_over(label: str, although: str, rule: str | None) -> None:
    assert Place(label, "m.durand", "2027-03-01", although).refused_by == rule


# The file.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clinic.places"


@pytest.fixture
def live(path: Path) -> LiveCatalogue:
    write(path, 5, LILAS)
    return LiveCatalogue(path, "clinic", lambda: VERIFY)


def write(path: Path, sequence: int, *places: Place, key: SigningKey = KEY, platform: str = "clinic") -> None:
    catalogue.save(Catalogue(platform, sequence, places), path, key)


def knows(live: LiveCatalogue, label: str = LILAS.label) -> bool | None:
    """Tell whether a label is there; None where the catalogue cannot be used."""
    with suppress(SettingsError):
        return live.find(label) is not None
    return None


def test_a_file_is_for_its_owner_and_stays_readable_for_whom_it_was(path: Path) -> None:
    write(path, 1, LILAS)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    write(path, 2, LILAS)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_change_is_seen_without_a_restart(live: LiveCatalogue, path: Path) -> None:
    assert (knows(live), knows(live, "4 rue Neuve")) == (True, False)
    write(path, 6, Place("4 rue Neuve", "m.durand", "2027-03-02"))
    assert (knows(live), knows(live, "4 rue Neuve")) == (False, True)


def test_a_file_that_is_gone_is_no_catalogue_and_may_come_back(live: LiveCatalogue, path: Path) -> None:
    assert knows(live) is True
    path.rename(path.with_suffix(".away"))
    assert knows(live) is None
    path.with_suffix(".away").rename(path)
    assert knows(live) is True


@pytest.mark.parametrize(
    "forge",
    [
        lambda path: write(path, 6, LILAS, key=STRANGER),
        lambda path: write(path, 6, LILAS, platform="other"),
        lambda path: path.write_bytes(path.read_bytes().replace(b"Lilas", b"Roses")),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() + b"x" * catalogue.MOST_BYTES),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["a stranger's", "another platform's", "changed", "empty", "too long", "a folder"],
)
def test_a_forged_file_is_no_catalogue(live: LiveCatalogue, path: Path, forge) -> None:
    assert knows(live) is True
    forge(path)
    assert knows(live) is None
    assert knows(live) is None  # the second time, too


def test_an_older_one_that_is_put_back_is_no_catalogue(live: LiveCatalogue, path: Path) -> None:
    old = path.read_bytes()
    write(path, 6)
    assert knows(live) is False
    path.write_bytes(old)
    with pytest.raises(SettingsError, match=r"is older than the one that was here before$"):
        live.find(LILAS.label)
    write(path, 7, LILAS)
    assert knows(live) is True


def test_what_is_wrong_is_told_without_what_is_in_the_file(path: Path, live: LiveCatalogue) -> None:
    write(path, 6, LILAS, key=STRANGER)
    with pytest.raises(SettingsError) as raised:
        live.find(LILAS.label)
    assert "Lilas" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_file_that_has_not_changed_is_not_read_again(live: LiveCatalogue, path: Path) -> None:
    assert knows(live) is True
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(b"X" * 10)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert knows(live) is True


def test_a_verify_key_that_cannot_be_read_lets_nothing_in(path: Path, tmp_path: Path) -> None:
    write(path, 5, LILAS)
    live = LiveCatalogue(path, "clinic", lambda: catalogue.verify_key(tmp_path / "clinic.pub"))
    assert knows(live) is None
    (tmp_path / "clinic.pub").write_text(key_file(Kind.VERIFY, verify=catalogue.to_text(VERIFY)))
    assert knows(live) is True


def test_the_key_is_the_platform_s_or_that_of_its_gateway(tmp_path: Path) -> None:
    keys.new_platform("clinic", tmp_path)
    keys.new_gateway(tmp_path)
    own, gateway = (tmp_path / "clinic.pub").read_text().split(), (tmp_path / "gateway.pub").read_text().split()
    read = [catalogue.to_text(catalogue.verify_key(tmp_path / name)) for name in ("clinic.pub", "gateway.pub")]
    assert read == [own[-1], gateway[gateway.index("live") + 1]]
    with pytest.raises(SettingsError, match="is not a reminder-worker platform verify key"):
        catalogue.verify_key(tmp_path / "gateway.key")
