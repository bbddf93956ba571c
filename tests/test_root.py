import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import FOLDER, h, named
from nacl.signing import SigningKey

from reminder_worker import keys, root
from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import Kind, is_private, read_key_file
from reminder_worker.root import Published, Root, fingerprint, sign, signed_part
from reminder_worker.sealing import PublicKeys, week

VECTORS = json.loads((FOLDER / "public_keys.json").read_text("utf-8"))
NOW = datetime.fromtimestamp(VECTORS["now"], UTC)
KEY = SigningKey(h(VECTORS["root"]["seed"]))
GOOD = {one["name"]: json.dumps(one["document"]) for one in VECTORS["good"]}
YEAR = PublicKeys.from_json(GOOD["a year"])


def pinned() -> Root:
    """The root of the vectors, which was shown keys yesterday."""
    one = Root(VECTORS["root"]["text"])
    one._newest = VECTORS["newest"]
    return one


@pytest.mark.parametrize("entry", **named(VECTORS["good"]))
def test_keys_that_the_root_signed_are_taken(entry):
    public = PublicKeys.from_json(json.dumps(entry["document"]))
    assert pinned().check(public, NOW) is public
    assert signed_part(public, public.signature.issued) == h(entry["signed"])
    assert public.signature.value == h(entry["signature"])
    assert public.last_day == entry["last_day"]


@pytest.mark.parametrize("entry", **named(VECTORS["bad"]))
def test_any_others_are_refused(entry):
    with pytest.raises(SettingsError, match=r"^(root|public keys): ") as caught:
        pinned().check(PublicKeys.from_json(json.dumps(entry["document"])), NOW)
    assert caught.value.__cause__ is None
    assert len(str(caught.value)) < 120


def test_a_root_of_low_order_verifies_nothing():
    public = PublicKeys.from_json(json.dumps(VECTORS["bad_for_a_weak_root"]))
    with pytest.raises(SettingsError, match="not signed by the root"):
        Root(VECTORS["weak_root"]["text"]).check(public, NOW)


@given(st.integers(0, 63), st.integers(0, 7))
def test_no_bit_of_a_signature_may_be_another(at, bit):
    value = bytearray(YEAR.signature.value)
    value[at] ^= 1 << bit
    flipped = PublicKeys(YEAR.pointers, YEAR.envelopes, type(YEAR.signature)(YEAR.signature.issued, bytes(value)))
    with pytest.raises(SettingsError, match="not signed by the root"):
        pinned().check(flipped, NOW)


@given(
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=4),
    st.dictionaries(st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32), max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_what_is_signed_tells_all_values_apart(pointers, envelopes, issued):
    """Read back from the bytes alone: no two documents have the same."""
    data = signed_part(PublicKeys(tuple(pointers), envelopes), issued)
    context, when, first, rest = split(data)
    assert (context, int.from_bytes(when, "big")) == (root.CONTEXT, issued)
    assert [first[at + 8 : at + 40] for at in range(0, len(first), 40)] == pointers
    found = {int.from_bytes(rest[at : at + 4], "big"): rest[at + 12 : at + 44] for at in range(0, len(rest), 44)}
    assert found == envelopes


def split(data: bytes) -> list[bytes]:
    parts, at = [], 1
    for _ in range(data[0]):
        length = int.from_bytes(data[at : at + 2], "little")
        parts.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    assert at == len(data)
    return parts


def test_more_keys_than_can_be_signed_are_not_signed_by_anybody():
    many = PublicKeys(YEAR.pointers * 1000, YEAR.envelopes, YEAR.signature)
    with pytest.raises(SettingsError, match="not signed by the root"):
        pinned().check(many, NOW)


@pytest.mark.parametrize("number", [-1, 2**32, 0.5, "5", None])
def test_what_could_not_be_signed_is_not_read(number):
    """Whoever signs would fail on it in a worse way."""
    made = json.loads(GOOD["a year"])
    for change in (
        {"root": made["root"] | {"issued": number}},
        {"envelope": [made["envelope"][0] | {"week": number}]},
    ):
        with pytest.raises(SettingsError, match=r"^public keys: not the JSON"):
            PublicKeys.from_json(json.dumps(made | change))


def test_who_has_seen_newer_keys_takes_no_older_ones():
    """They may name a pointer key that was stolen, and is withdrawn."""
    older, newer = (sign(PublicKeys(YEAR.pointers, YEAR.envelopes), KEY, NOW - timedelta(days=at)) for at in (2, 1))
    one = Root(VECTORS["root"]["text"])
    assert one.check(older, NOW) == older  # nobody could know better
    assert one.check(newer, NOW) == newer
    assert one.check(newer, NOW) == newer
    with pytest.raises(SettingsError, match="older than those before"):
        one.check(older, NOW)


def test_keys_that_are_refused_are_not_remembered():
    """Else whoever forges once could have all genuine ones refused."""
    one = Root(VECTORS["root"]["text"])
    forged = sign(PublicKeys(YEAR.pointers, YEAR.envelopes), SigningKey(bytes(32)), NOW + timedelta(hours=1))
    ahead = sign(PublicKeys(YEAR.pointers, YEAR.envelopes), KEY, NOW + timedelta(days=2))
    for other in (forged, ahead):
        with pytest.raises(SettingsError):
            one.check(other, NOW)
    assert one.check(YEAR, NOW) is YEAR


@pytest.mark.parametrize("text", ["", "x", "A" * 42, "A" * 44, "A" * 42 + "B", "é" * 43])
def test_what_is_no_public_key_cannot_be_pinned(text):
    with pytest.raises(SettingsError, match=r"^root: must be the 43 characters"):
        Root(text)


def test_a_year_ahead_is_the_least_that_is_signed():
    for weeks, reaches in ((51, False), (52, True)):
        held = {number: key for number, key in YEAR.envelopes.items() if number <= week(NOW) + weeks}
        public = PublicKeys(YEAR.pointers, held)
        if reaches:
            assert pinned().check(sign(public, KEY, NOW), NOW).envelopes == held
        else:
            with pytest.raises(SettingsError, match="less than 52 weeks ahead"):
                sign(public, KEY, NOW)


def test_a_clock_that_went_back_signs_nothing_that_would_be_refused():
    for back in (timedelta(0), timedelta(days=1)):
        with pytest.raises(SettingsError, match="later time already"):
            sign(YEAR, KEY, NOW - back)
    assert sign(YEAR, KEY, NOW + timedelta(seconds=1)).signature.issued == YEAR.signature.issued + 1


@pytest.mark.parametrize("entry", VECTORS["fingerprints"], ids=lambda entry: entry["key"][:8])
def test_fingerprints_are_as_published(entry):
    assert fingerprint(h(entry["key"])) == entry["fingerprint"]


def test_who_pins_no_root_reads_what_is_signed_as_before():
    bare = PublicKeys.from_json(GOOD["members that are not listed"])
    assert (bare.pointers, dict(bare.envelopes)) == (
        YEAR.pointers,
        {number: key for number, key in YEAR.envelopes.items() if number in bare.envelopes},
    )


def test_a_signature_outlives_reading_and_writing():
    again = PublicKeys.from_json(YEAR.to_json())
    assert again == YEAR
    assert pinned().check(again, NOW)
    assert "root" not in json.loads(PublicKeys(YEAR.pointers, YEAR.envelopes).to_json())
    assert "signature" not in repr(YEAR.signature)


# The files.


def test_a_new_root_is_private_and_never_overwritten(tmp_path):
    private, public = keys.new_root(tmp_path / "root")
    assert [private.name, public.name] == ["root.key", "root.pub"]
    assert (is_private(private), is_private(public)) == (True, False)
    before = private.read_bytes()
    with pytest.raises(SettingsError, match=r"root\.pub: .*never overwritten"):
        keys.new_root(tmp_path / "root")
    public.unlink()
    with pytest.raises(SettingsError, match=r"root\.key: .*never overwritten"):
        keys.new_root(tmp_path / "root")
    assert private.read_bytes() == before


def test_the_published_file_is_signed_in_place(tmp_path):
    keys.new_worker(tmp_path / "keys", NOW)
    private, public = keys.new_root(tmp_path / "root")
    path = tmp_path / "keys" / "worker.pub.json"
    before = PublicKeys.load(path)
    signed, verify = keys.sign(path, private, NOW)
    assert PublicKeys.load(path) == signed
    assert (signed.pointers, signed.envelopes) == (before.pointers, before.envelopes)
    text = public.read_text().split()[-1]
    assert keys.to_text(verify) == text
    assert Root(text).check(PublicKeys.load(path), NOW)
    assert keys.fingerprints(public) == {"root": fingerprint(verify)}
    assert list(keys.fingerprints(path).values()) == [
        *(fingerprint(key) for key in signed.pointers),
        fingerprint(signed_part(before, 0)),
    ]
    assert private.read_text().split()[-1] not in path.read_text()


def test_what_is_no_root_signs_nothing(tmp_path):
    keys.new_worker(tmp_path, NOW)
    path = tmp_path / "worker.pub.json"
    before = path.read_bytes()
    with pytest.raises(SettingsError, match=r"worker\.pointer\.1\.key: is not a reminder-worker root key"):
        keys.sign(path, tmp_path / "worker.pointer.1.key", NOW)
    assert path.read_bytes() == before


def test_signed_keys_stay_published_until_the_new_ones_are_signed(tmp_path):
    """Between a rotation and the root's signature nobody who pins the root is left without keys."""
    keys.new_worker(tmp_path / "keys", NOW)
    private, public = keys.new_root(tmp_path / "root")
    path = tmp_path / "keys" / "worker.pub.json"
    keys.sign(path, private, NOW)
    before = path.read_bytes()
    done = keys.rotate(tmp_path / "keys", NOW + timedelta(weeks=12))
    assert (done.public_file.name, done.unsigned) == ("worker.pub.new.json", True)
    assert path.read_bytes() == before
    keys.sign(done.public_file, private, NOW + timedelta(weeks=12, days=2))
    done.public_file.replace(path)
    one = Root(public.read_text().split()[-1])
    assert len(one.check(PublicKeys.load(path), NOW + timedelta(weeks=12, days=2)).pointers) == 2
    assert week(NOW) + 12 + 52 <= max(PublicKeys.load(path).envelopes)


def test_unsigned_keys_are_published_at_once(tmp_path):
    keys.new_worker(tmp_path, NOW)
    done = keys.rotate(tmp_path, NOW)
    assert (done.public_file.name, done.unsigned) == ("worker.pub.json", False)
    assert len(PublicKeys.load(done.public_file).pointers) == 2


def test_public_keys_that_are_damaged_are_published_anew(tmp_path):
    """They serve nobody; a rotation that stopped at them would leave one more pointer key at each try."""
    keys.new_worker(tmp_path, NOW)
    (tmp_path / "worker.pub.json").write_text("{")
    done = keys.rotate(tmp_path, NOW)
    assert (done.public_file.name, done.pointer_keys) == ("worker.pub.json", 2)
    assert len(PublicKeys.load(done.public_file).pointers) == 2


def test_who_is_told_of_a_root_loads_no_keys_that_it_did_not_sign(tmp_path):
    keys.new_worker(tmp_path, datetime.now(UTC))
    private, public = keys.new_root(tmp_path / "root")
    [verify] = read_key_file(public, Kind.ROOT_VERIFY, "verify")
    assert Published(tmp_path).load().signature is None
    with pytest.raises(SettingsError, match="not signed by the root"):
        Published(tmp_path, verify).load()
    keys.sign(tmp_path / "worker.pub.json", private, datetime.now(UTC))
    assert Published(tmp_path, verify).load().signature is not None
