import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import BAD, GOOD, KEYS, NOW, body, h, named, platform, public, signers, worker
from nacl.public import PrivateKey

from reminder_worker import sealing
from reminder_worker.encoding import pae
from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.opening import open_envelope, open_pointer
from reminder_worker.sealing import PlatformKeys, PublicKeys

PLAIN = GOOD["envelopes"][0]
ID = h(PLAIN["id"])


def seal(fields: dict, keys: PlatformKeys | None = None) -> bytes:
    return sealing.seal_envelope(public(), keys or platform(), ID, body(PLAIN | fields), NOW)


def test_key_names_are_as_published():
    for key in [*KEYS["pointers"], *KEYS["ratchet"]]:
        assert sealing.kid(h(key["public"])) == h(key["kid"])
    for signer in KEYS["signers"].values():
        assert sealing.kid(h(signer["verify"])) == h(signer["kid"])


@pytest.mark.parametrize("entry", GOOD["ids"], ids=lambda entry: entry["reference"][:20])
def test_ids_are_as_published(entry):
    assert sealing.make_id(platform(entry["signer"]), entry["reference"]) == h(entry["id"])


def test_two_platforms_never_share_an_id():
    assert sealing.make_id(platform("clinic"), "A-1") != sealing.make_id(platform("hospital"), "A-1")


@pytest.mark.parametrize("reference", ["", "x" * 201, "a\nb", "a\0", "\x7f", "\ud800"])
def test_a_reference_that_cannot_be_one_is_refused_without_repeating_it(reference):
    with pytest.raises(Refused) as caught:
        sealing.make_id(platform(), reference)
    assert (caught.value.reason, caught.value.field) == (Reason.REFERENCE_INVALID, "reference")
    assert reference == "" or reference not in str(caught.value)


@pytest.mark.parametrize("entry", GOOD["weeks"])
def test_weeks_begin_on_monday(entry):
    assert sealing.week(datetime.fromtimestamp(entry["seconds"], UTC)) == entry["week"]


def test_tags_are_as_published():
    for entry in GOOD["envelopes"]:
        keys = platform(entry["platform"], next(n for n, s in KEYS["signers"].items() if s["kid"] == entry["signer"]))
        assert sealing.content_tag(keys, h(entry["id"]), body(entry)) == h(entry["tag"])
    (entry,) = GOOD["tags"]
    made = sealing.content_tag(platform(), h(entry["id"]), body(entry), uri=entry["uri"], language=entry["language"])
    assert made == h(entry["tag"])


def test_the_tag_passes_over_the_sealing_and_the_moment():
    def tag(fields, **address):
        return sealing.content_tag(platform(), ID, body(PLAIN | fields), **address)

    other = GOOD["envelopes"][3]["pointer"]
    address = {"uri": "tel:+33639981234", "language": "fr"}
    assert tag({"issued": 1, "pointer": other}, **address) == tag({"issued": 2}, **address)
    assert tag({"pointer": other}) != tag({})
    assert tag({"location": "B"}) != tag({"location": "A"})
    assert tag({"leads": ["2h"]}) != tag({"leads": ["1h"]})
    assert tag({}, **address) != tag({}, uri=address["uri"], language="en")
    assert sealing.content_tag(platform(), bytes(16), body(PLAIN)) != tag({})


@pytest.mark.parametrize("entry", **named(GOOD["envelopes"]))
def test_signed_bytes_and_signatures_are_as_published(entry):
    key = public().envelopes[entry["week"]]
    signed = sealing.signed_part(key, entry["platform"].encode(), h(entry["id"]), h(entry["body"]))
    assert signed == h(entry["signed"])
    signer = next(name for name, one in KEYS["signers"].items() if one["kid"] == entry["signer"])
    assert platform(entry["platform"], signer).signing.sign(signed).signature == h(entry["signature"])


locations = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=70)
uris = st.from_regex(r"tel:\+[1-9][0-9]{4,14}", fullmatch=True) | st.from_regex(
    r"contact:[A-Za-z0-9._~-]{1,26}", fullmatch=True
)
languages = st.sampled_from(["fr", "en-GB", "pt-BR", "uk", "zh-Hant", "gsw", "es-419"])
names = st.from_regex(r"[a-z0-9-]{1,18}", fullmatch=True)


@given(names, uris, languages)
def test_a_sealed_pointer_opens_to_what_was_sealed_and_is_always_one_length(name, uri, language):
    pointer = sealing.seal_pointer(public(), name, uri, language)
    assert len(pointer) == 153
    address = open_pointer(worker(), name, pointer)
    assert (address.uri, address.language) == (uri, language)


@given(
    location=locations,
    issued=st.integers(0, 2**32 - 1),
    seconds=st.integers(0, 2**32 - 1),
    offset=st.integers(-1439, 1439),
)
def test_a_sealed_job_opens_to_what_was_sealed_and_is_always_one_length(location, issued, seconds, offset):
    time = {"seconds": seconds, "offset_minutes": offset, "zone": "Europe/Paris"}
    envelope = seal({"location": location, "issued": issued, "time": time})
    assert len(envelope) == sealing.ENVELOPE_BYTES
    opened = open_envelope(worker(), signers(), envelope, entry_id=ID)
    assert (opened.platform, opened.id) == ("clinic", ID)
    assert opened.body == body(PLAIN | {"location": location, "issued": issued, "time": time})


def test_sealing_twice_never_gives_the_same_bytes():
    assert seal({}) != seal({})
    assert sealing.seal_pointer(public(), "clinic", "tel:+33639981234", "fr") != sealing.seal_pointer(
        public(), "clinic", "tel:+33639981234", "fr"
    )


def test_the_newest_pointer_key_seals():
    pointer = sealing.seal_pointer(public(), "clinic", "tel:+33639981234", "fr")
    assert pointer[1:9] == h(KEYS["pointers"][-1]["kid"])


@pytest.mark.parametrize(
    ("name", "uri", "language"),
    [
        ("Clinic", "tel:+33639981234", "fr"),
        ("", "tel:+33639981234", "fr"),
        ("clinic", "tel:0639981234", "fr"),
        ("clinic", "tel:+33639981234\n", "fr"),
        ("clinic", "https://clinic.example/1", "fr"),
        ("clinic", "tel:+33639981234", "fr_FR"),
        ("clinic", "tel:+33639981234", "zh-Hant-TW"),
        ("clinic", "contact:" + "z" * 64, "fr"),
        ("a" * 20, "contact:" + "z" * 27, "es-419"),
    ],
)
def test_a_pointer_that_cannot_be_one_is_refused_without_repeating_it(name, uri, language):
    with pytest.raises(Refused) as caught:
        sealing.seal_pointer(public(), name, uri, language)
    assert (caught.value.reason, caught.value.field) == (Reason.POINTER_INVALID, "pointer")
    assert uri not in str(caught.value)


def test_the_longest_location_fits_and_a_longer_one_is_refused():
    longest = GOOD["envelopes"][4]["location"]
    assert len(seal({"location": longest})) == 425
    with pytest.raises(Refused) as caught:
        seal({"location": longest + "y"})
    assert (caught.value.reason, caught.value.field) == (Reason.LOCATION_TOO_LONG, "location")


def test_pointers_travel_as_text():
    for entry in GOOD["pointers"]:
        assert sealing.pointer_from_text(public(), entry["text"]) == h(entry["pointer"])
        assert sealing.pointer_to_text(h(entry["pointer"])) == entry["text"]


@pytest.mark.parametrize("text", BAD["texts"])
def test_a_text_that_is_no_pointer_is_refused(text):
    with pytest.raises(Refused) as caught:
        sealing.pointer_from_text(public(), text)
    assert (caught.value.reason, caught.value.field) == (Reason.POINTER_INVALID, "pointer")


@pytest.mark.parametrize("days", [-14, 42])
def test_no_key_is_published_for_a_week_too_far(days):
    with pytest.raises(Refused) as caught:
        public().envelope_key(NOW + timedelta(days=days))
    assert (caught.value.reason, caught.value.field) == (Reason.TIME_TOO_FAR, "time")


def test_public_keys_come_back_from_json():
    assert PublicKeys.from_json(public().to_json()) == public()


def test_public_keys_may_hold_more_than_is_known_here():
    document = json.loads(public().to_json()) | {"note": "later versions may say more"}
    assert PublicKeys.from_json(json.dumps(document)) == public()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"pointer": []},
        {"pointer": [{"kid": "AAAAAAAAAAA", "key": "A" * 43}]},
        {"pointer": [{"kid": "AAAAAAAAAAA", "key": "A" * 42}]},
        {"envelope": [{"kid": "AAAAAAAAAAA", "key": "A" * 43, "week": 1}]},
        {"envelope": "x"},
    ],
)
def test_other_json_is_refused(change):
    with pytest.raises(SettingsError, match="public keys"):
        PublicKeys.from_json(json.dumps(json.loads(public().to_json()) | change))


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[]"])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(SettingsError, match="public keys"):
        PublicKeys.from_json(text)


def test_a_missing_file_of_public_keys_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"worker\.pub\.json"):
        PublicKeys.load(tmp_path / "worker.pub.json")


def test_a_damaged_file_of_public_keys_is_named(tmp_path):
    (tmp_path / "worker.pub.json").touch()
    with pytest.raises(SettingsError, match=r"worker\.pub\.json: public keys: not the JSON"):
        PublicKeys.load(tmp_path / "worker.pub.json")


def test_a_platform_has_a_name_that_fits_the_format():
    with pytest.raises(SettingsError, match="platform: a name has"):
        PlatformKeys("Clinic", platform().signing, platform().index)


def test_no_secret_is_in_a_repr():
    keys = platform()
    shown = repr(keys)
    assert shown == "PlatformKeys(name='clinic')"
    assert bytes(keys.signing).hex() not in shown


def test_a_private_key_of_the_worker_is_not_needed():
    assert not any(isinstance(value, PrivateKey) for value in vars(sealing).values())
    assert not {"open_envelope", "PrivateKey"} & set(vars(sealing))


def test_parts_of_a_job_cannot_move_into_each_other():
    assert sealing.signed_part(b"w", b"ab", b"c", b"d") != sealing.signed_part(b"w", b"a", b"bc", b"d")
    assert sealing.signed_part(b"w", b"", b"", b"") != pae(b"w", b"", b"", b"")
