import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from reminder_worker import keys
from reminder_worker.encoding import to_text
from reminder_worker.errors import Refused, SettingsError
from reminder_worker.gateway import GatewayKeys, Mode, Ticket, private_file
from reminder_worker.keyfiles import is_private
from reminder_worker.opening import load_signers
from reminder_worker.sealing import kid, make_id


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("gateway")
    keys.new_gateway(path)
    return path


@pytest.fixture(scope="module")
def gateway(folder):
    return GatewayKeys.load(folder)


def test_the_private_file_is_private_and_never_overwritten(folder):
    before = private_file(folder).read_bytes()
    assert is_private(private_file(folder))
    with pytest.raises(SettingsError, match="never overwritten"):
        keys.new_gateway(folder)
    (folder / "gateway.pub").rename(folder / "away")
    with pytest.raises(SettingsError, match="never overwritten"):
        keys.new_gateway(folder)
    (folder / "away").rename(folder / "gateway.pub")
    assert private_file(folder).read_bytes() == before


def test_a_worker_knows_both_keys_and_which_one_reaches_nobody(folder, gateway):
    signers = load_signers({"north": folder / "gateway.pub", "south": folder / "gateway.pub"})
    live, test = (signers[kid(bytes(key.verify_key))] for key in (gateway.live, gateway.test))
    assert (live.test, test.test) == (False, True)
    assert live.platforms == test.platforms == {"north", "south"}
    assert kid(bytes(gateway.records.verify_key)) not in signers


def test_platforms_and_modes_have_names_of_their_own_for_one_reference(gateway):
    chosen = [gateway.platform(name, mode) for name in ("north", "south") for mode in Mode]
    assert len({make_id(one, "A-1") for one in chosen}) == 4
    assert len({bytes(one.signing) for one in chosen}) == 2


def test_tags_name_nobody_and_differ_by_kind(gateway):
    assert len({gateway.tag(kind, name) for kind in ("rate", "muted") for name in ("north", "south")}) == 4
    assert gateway.tag("rate", "north") == gateway.tag("rate", "north")


references = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200)


@given(reference=references, name=st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), mode=st.sampled_from(Mode))
def test_a_ticket_tells_this_gateway_whose_appointment_it_is(gateway, reference, name, mode):
    id_ = make_id(gateway.platform(name, mode), reference)
    ticket = Ticket(name, mode, reference)
    sealed = gateway.ticket(id_, ticket)
    assert gateway.open_ticket(id_, sealed) == ticket
    assert len(sealed) in {80, 144, 272, 528, 1040}
    assert gateway.open_ticket(bytes(16), sealed) is None
    assert repr(ticket) == f"Ticket(mode={mode!r})"


def test_usual_tickets_have_one_length(gateway):
    lengths = set()
    for reference in ("1", "A-1001", "0d6f8a3e-9c1b-4b7e-8f55-2f4a90c1d2e3"):
        id_ = make_id(gateway.platform("clinic", Mode.LIVE), reference)
        lengths.add(len(gateway.ticket(id_, Ticket("clinic", Mode.LIVE, reference))))
    assert lengths == {80}


def test_a_ticket_of_another_gateway_damaged_or_moved_is_none(gateway, tmp_path):
    keys.new_gateway(tmp_path)
    other = GatewayKeys.load(tmp_path)
    id_ = make_id(gateway.platform("clinic", Mode.LIVE), "A-1")
    sealed = gateway.ticket(id_, Ticket("clinic", Mode.LIVE, "A-1"))
    assert other.open_ticket(id_, sealed) is None
    assert gateway.open_ticket(id_, sealed[:-1] + bytes([sealed[-1] ^ 1])) is None
    assert gateway.open_ticket(id_, b"") is None


def test_a_ticket_that_names_another_appointment_than_its_id_is_none(gateway):
    id_ = make_id(gateway.platform("clinic", Mode.LIVE), "A-1")
    assert gateway.open_ticket(id_, gateway.ticket(id_, Ticket("clinic", Mode.LIVE, "A-2"))) is None


def test_a_reference_that_cannot_be_one_is_refused(gateway):
    with pytest.raises(Refused):
        make_id(gateway.platform("clinic", Mode.LIVE), "")


def test_a_record_is_a_jws_that_the_published_key_verifies(gateway):
    content = {"reference": "A-1", "state": "sent"}
    record = gateway.sign_record(content)
    header, payload, signature = record.split(".")
    raw = [json.loads(_decode(part)) for part in (header, payload)]
    assert raw[0] == {
        "alg": "EdDSA",
        "typ": "reminder-record+jws",
        "kid": to_text(kid(bytes(gateway.records.verify_key))),
    }
    assert raw[1] == content
    key = VerifyKey(bytes(gateway.records.verify_key))
    key.verify(f"{header}.{payload}".encode(), _decode(signature))
    with pytest.raises(BadSignatureError):
        key.verify(f"{header}.{payload}A".encode(), _decode(signature))


def _decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_no_secret_is_in_a_repr(gateway):
    assert "SigningKey" not in repr(gateway)
    assert repr(gateway.index) not in repr(gateway)
