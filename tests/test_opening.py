from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import BAD, GOOD, KEYS, NOW, body, h, named, platform, public, signers, worker
from nacl.public import PublicKey, SealedBox

from reminder_worker import keys as key_files
from reminder_worker.encoding import Body, pad, pae
from reminder_worker.errors import Reason, SettingsError, Unopenable
from reminder_worker.opening import WorkerKeys, load_signers, open_envelope, open_pointer
from reminder_worker.ratchet import Ratchet
from reminder_worker.sealing import PublicKeys, kid, seal_envelope, seal_pointer, signed_part, week

PLAIN = GOOD["envelopes"][0]
ID = h(PLAIN["id"])
WORKER = worker()
SIGNERS = signers()
WEEK_KEY = h(KEYS["ratchet"][1]["public"])


def reason_of(call, *arguments, **named_arguments) -> Reason:
    """Return why something did not open, having checked that the error says nothing else."""
    with pytest.raises(Unopenable) as caught:
        call(*arguments, **named_arguments)
    error = caught.value
    assert str(error) == error.reason.value
    assert error.args == (error.reason.value,)
    assert error.__cause__ is None
    assert error.__context__ is None
    return error.reason


@pytest.mark.parametrize("entry", **named(GOOD["envelopes"]))
def test_a_good_envelope_opens(entry):
    opened = open_envelope(WORKER, SIGNERS, h(entry["envelope"]), entry_id=h(entry["id"]))
    assert (opened.platform, opened.id, opened.body) == (entry["platform"], h(entry["id"]), body(entry))


@pytest.mark.parametrize("entry", **named(GOOD["pointers"]))
def test_a_good_pointer_opens(entry):
    address = open_pointer(WORKER, entry["platform"], h(entry["pointer"]))
    assert (address.uri, address.language) == (entry["uri"], entry["language"])


@pytest.mark.parametrize("entry", **named(BAD["envelopes"]))
def test_a_bad_envelope_is_refused_for_the_right_reason(entry):
    assert reason_of(open_envelope, WORKER, SIGNERS, h(entry["envelope"]), entry_id=h(entry["id"])) == entry["reason"]


@pytest.mark.parametrize("entry", **named(BAD["pointers"]))
def test_a_bad_pointer_is_refused_for_the_right_reason(entry):
    assert reason_of(open_pointer, WORKER, entry["platform"], h(entry["pointer"])) == entry["reason"]


def test_every_single_flipped_bit_of_an_envelope_is_refused():
    envelope = h(PLAIN["envelope"])
    for flipped in every_flip(envelope):
        assert reason_of(open_envelope, WORKER, SIGNERS, flipped, entry_id=ID)


def test_every_single_flipped_bit_of_a_pointer_is_refused():
    for flipped in every_flip(h(GOOD["pointers"][0]["pointer"])):
        assert reason_of(open_pointer, WORKER, "clinic", flipped)


def every_flip(data: bytes):
    for bit in range(len(data) * 8):
        yield (int.from_bytes(data, "big") ^ (1 << bit)).to_bytes(len(data), "big")


def sealed_to(key: bytes, plain: bytes) -> bytes:
    return b"\x01" + kid(key) + SealedBox(PublicKey(key)).encrypt(plain)


def tries(data: bytes) -> None:
    for call in (
        lambda: open_envelope(WORKER, SIGNERS, data, entry_id=ID),
        lambda: open_pointer(WORKER, "clinic", data),
    ):
        assert reason_of(call)


@given(st.binary(max_size=500))
def test_any_other_bytes_are_unopenable_and_nothing_else(data):
    tries(data)
    tries(b"\x01" + kid(WEEK_KEY) + data)


@given(st.binary(max_size=367), st.lists(st.binary(max_size=60), min_size=4, max_size=5))
def test_any_other_content_is_unopenable_and_nothing_else(data, parts):
    pointer_key = public().pointers[-1]
    for content in (data, pae(*parts)):
        tries(sealed_to(WEEK_KEY, pad(content, 368)))
        tries(sealed_to(pointer_key, pad(content[:95], 96)))


@given(st.binary(max_size=200), st.lists(st.binary(max_size=40), min_size=5, max_size=5))
def test_any_other_body_is_malformed_though_well_signed(data, parts):
    for encoded in (data, pae(*parts)):
        keys = platform()
        signature = keys.signing.sign(signed_part(WEEK_KEY, b"clinic", ID, encoded)).signature
        content = pae(kid(bytes(keys.signing.verify_key)), b"clinic", ID, encoded, signature)
        sealed = sealed_to(WEEK_KEY, pad(content, 368))
        assert reason_of(open_envelope, WORKER, SIGNERS, sealed, entry_id=ID) == Reason.MALFORMED


def test_the_signature_is_checked_before_the_body_is_read(monkeypatch):
    monkeypatch.setattr(Body, "decode", lambda data: pytest.fail("read before it was verified"))
    forged = next(entry for entry in BAD["envelopes"] if entry["reason"] == "signature_invalid")
    assert reason_of(open_envelope, WORKER, SIGNERS, h(forged["envelope"]), entry_id=ID) == "signature_invalid"


def test_nothing_personal_and_no_secret_is_in_a_repr():
    opened = open_envelope(WORKER, SIGNERS, h(PLAIN["envelope"]), entry_id=ID)
    assert repr(opened) == f"OpenedJob(id={ID!r}, test=False)"
    assert repr(open_pointer(WORKER, "clinic", opened.body.pointer)) == "Address()"
    assert repr(Ratchet(1, b"s" * 32)) == "Ratchet(week=1)"
    assert "private" not in repr(WORKER).lower()


def test_last_week_still_opens_and_the_week_before_does_not():
    keys = worker()
    last, this = GOOD["envelopes"][1], PLAIN
    keys.advance(NOW)
    assert open_envelope(keys, SIGNERS, h(last["envelope"]), entry_id=ID)
    keys.advance(NOW + timedelta(weeks=1))
    assert reason_of(open_envelope, keys, SIGNERS, h(last["envelope"]), entry_id=ID) == Reason.KEY_UNKNOWN
    assert open_envelope(keys, SIGNERS, h(this["envelope"]), entry_id=ID)
    keys.advance(NOW + timedelta(weeks=2))
    assert reason_of(open_envelope, keys, SIGNERS, h(this["envelope"]), entry_id=ID) == Reason.KEY_UNKNOWN


def test_a_clock_that_goes_back_brings_nothing_back():
    keys = worker()
    keys.advance(NOW + timedelta(weeks=2))
    keys.advance(NOW)
    assert reason_of(open_envelope, keys, SIGNERS, h(PLAIN["envelope"]), entry_id=ID) == Reason.KEY_UNKNOWN


def test_a_clock_far_ahead_destroys_nothing():
    keys = worker()
    with pytest.raises(SettingsError, match="clock"):
        keys.advance(NOW + timedelta(weeks=60))
    assert open_envelope(keys, SIGNERS, h(PLAIN["envelope"]), entry_id=ID)


def test_unknown_key_names_cost_one_search_and_no_more(monkeypatch):
    keys = worker()
    keys.envelope_box(bytes(8))
    monkeypatch.setattr(Ratchet, "key", lambda self: pytest.fail("derived again"))
    assert keys.envelope_box(bytes(8)) is None


def test_every_published_week_opens(tmp_path):
    key_files.new_worker(tmp_path / "keys", NOW)
    published = key_files.PublicKeys.load(tmp_path / "keys" / "worker.pub.json")
    keys = WorkerKeys.load(tmp_path / "keys")
    assert len(published.envelopes) == 55
    for key in published.envelopes.values():
        assert keys.envelope_box(kid(key)) is not None


def test_a_running_worker_opens_weeks_published_later(tmp_path):
    folder = tmp_path / "keys"
    key_files.new_worker(folder, NOW)
    keys = WorkerKeys.load(folder)
    keys.envelope_box(bytes(8))
    later = NOW + timedelta(weeks=5)
    published = key_files.PublicKeys.from_json(key_files.public(folder, later))
    keys.advance(later)
    due = later + timedelta(weeks=53)
    envelope = seal_envelope(published, platform(), ID, body(PLAIN), due)
    assert open_envelope(keys, SIGNERS, envelope, entry_id=ID)


def test_reading_the_keys_forgets_nothing_for_the_clock_may_be_wrong(tmp_path):
    key_files.new_worker(tmp_path, datetime.now(UTC) - timedelta(weeks=20))
    before = Ratchet.load(tmp_path)
    WorkerKeys.load(tmp_path)
    assert Ratchet.load(tmp_path) == before


def test_the_file_forgets_what_the_worker_forgets(tmp_path):
    folder = tmp_path / "keys"
    key_files.new_worker(folder, NOW)
    before = Ratchet.load(folder)
    keys = WorkerKeys.load(folder)
    keys.advance(NOW + timedelta(weeks=3))
    after = Ratchet.load(folder)
    assert after == before.at(before.week + 3)
    assert not keys.behind
    assert (folder / "worker.ratchet").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [
        "optouts.pepper",
        "worker.pointer.1.key",
        "worker.pub.json",
        "worker.ratchet",
    ]


def test_a_worker_goes_on_when_the_file_cannot_be_replaced_and_says_so(tmp_path, monkeypatch):
    folder = tmp_path / "keys"
    key_files.new_worker(folder, NOW)
    with monkeypatch.context() as full:
        full.setattr("reminder_worker.ratchet.replace_secret", refuse)
        keys = WorkerKeys.load(folder)
        keys.advance(NOW + timedelta(weeks=3))
    assert keys.behind
    assert Ratchet.load(folder).week == week(NOW) - 1
    keys.advance(NOW + timedelta(weeks=3))  # the next time it may go better
    assert not keys.behind
    assert Ratchet.load(folder).week == week(NOW) + 2


def test_another_worker_s_ratchet_is_not_replaced(tmp_path):
    """A running worker does not put its own in the place of one that was made anew meanwhile."""
    folder = tmp_path / "keys"
    key_files.new_worker(folder, NOW)
    keys = WorkerKeys.load(folder)
    (folder / "worker.ratchet").unlink()
    key_files.new_ratchet(folder, NOW)
    new = Ratchet.load(folder)
    keys.advance(NOW + timedelta(weeks=3))
    assert keys.behind
    assert Ratchet.load(folder) == new


def test_a_pointer_key_that_was_made_meanwhile_opens_in_a_running_worker(tmp_path):
    folder = tmp_path / "keys"
    key_files.new_worker(folder, NOW)
    keys = WorkerKeys.load(folder)
    key_files.rotate(folder, NOW)
    pointer = seal_pointer(PublicKeys.load(folder / "worker.pub.json"), "clinic", "tel:+33639981234", "fr")
    assert open_pointer(keys, "clinic", pointer).language == "fr"
    (folder / "worker.pointer.3.key").write_text("damaged")
    assert reason_of(open_pointer, keys, "clinic", pointer[:1] + bytes(8) + pointer[9:]) == Reason.KEY_UNKNOWN


def refuse(*_):
    raise PermissionError


def test_one_key_may_speak_for_several_platforms(tmp_path):
    _, verify = key_files.new_platform("gateway", tmp_path)
    _, other = key_files.new_platform("clinic", tmp_path)
    loaded = load_signers({"north": verify, "south": verify, "clinic": other})
    assert sorted(sorted(signer.platforms) for signer in loaded.values()) == [["clinic"], ["north", "south"]]


def test_a_private_key_in_place_of_a_verify_key_is_refused_by_name(tmp_path):
    private, _ = key_files.new_platform("clinic", tmp_path)
    with pytest.raises(SettingsError, match=r"clinic\.key: is not a reminder-worker platform verify key"):
        load_signers({"clinic": private})


def test_a_folder_without_keys_says_how_to_make_them(tmp_path):
    with pytest.raises(SettingsError, match="keys new worker"):
        WorkerKeys.load(tmp_path)
