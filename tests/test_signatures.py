"""Signatures: what Standard Webhooks' own library makes and takes, and what it must not."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker.errors import Reason, Refused, SettingsError
from reminder_worker.signatures import Secret, sign, verify

KEY = bytes(range(32))
WORD = f"whsec_{base64.b64encode(KEY).decode()}"
SECRET = Secret((KEY,))
ID, AT, BODY = "msg_2Zxy-9", 1_806_566_400, b'{"contact":"abc"}'
HEADERS = sign(SECRET, ID, AT, BODY)

_KEYS = st.binary(min_size=24, max_size=64)
_IDS = st.text("abcXYZ019_-", min_size=1, max_size=128)


def is_genuine(headers: dict[str, str], body: bytes = BODY, now: float = AT, secret: Secret = SECRET) -> bool:
    try:
        verify(secret, headers, body, now)
    except Refused:
        return False
    return True


def test_what_was_signed_is_genuine() -> None:
    assert is_genuine(HEADERS)


def test_a_refusal_repeats_nothing() -> None:
    with pytest.raises(Refused) as caught:
        verify(SECRET, HEADERS, b"another", AT)
    assert caught.value.reason is Reason.SIGNATURE_INVALID
    assert not [word for word in ("another", ID, str(AT)) if word in str(caught.value)]


@given(_KEYS, _IDS, st.text(max_size=300))
def test_the_published_library_agrees_in_both_directions(key: bytes, id_: str, text: str) -> None:
    standard = pytest.importorskip("standardwebhooks", reason="standardwebhooks is not installed")
    other = standard.Webhook(f"whsec_{base64.b64encode(key).decode()}")
    now, secret, body = datetime.now(UTC), Secret((key,)), text.encode()
    headers = sign(secret, id_, int(now.timestamp()), body)
    other.verify(body, headers, json_parse=False)
    assert other.sign(id_, now, text) == headers["webhook-signature"]
    verify(secret, headers | {"webhook-signature": other.sign(id_, now, text)}, body, now.timestamp())
    with pytest.raises(standard.WebhookVerificationError):
        other.verify(body + b" ", headers, json_parse=False)


def test_a_known_request_has_the_known_signature() -> None:
    """Worked out with OpenSSL: whoever changes the scheme breaks what platforms have built."""
    expected = {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": "v1,r/us4RgZtkIqVoy9ODuJMoWXtECTOzqhTbxvE7sQpbI=",
    }
    assert expected == HEADERS


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2Zxy-8"},
        {"webhook-timestamp": str(AT + 1)},
        {"webhook-timestamp": f"{AT}.0"},
        {"webhook-timestamp": f" {AT}"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,abc"},
        {"webhook-signature": "v1,ÿ"},
        {"webhook-signature": f"v1,{'A' * 43}="},
        {"webhook-signature": HEADERS["webhook-signature"].replace("v1,", "v2,")},
        {"webhook-signature": HEADERS["webhook-signature"].removeprefix("v1,")},
    ],
)
def test_what_was_changed_is_not_genuine(change: dict[str, str]) -> None:
    assert not is_genuine(HEADERS | change)


@pytest.mark.parametrize("missing", HEADERS)
def test_without_one_of_the_headers_nothing_is_genuine(missing: str) -> None:
    assert not is_genuine({name: value for name, value in HEADERS.items() if name != missing})


@given(st.binary(max_size=100))
def test_no_other_body_is_genuine(body: bytes) -> None:
    assert is_genuine(HEADERS, body) == (body == BODY)


def test_parts_cannot_slide_into_each_other() -> None:
    """What is signed is id, time and body with dots between: an id with a dot would read in two ways."""
    slid = sign(SECRET, "a", AT, f"{AT}.{{}}".encode())
    assert not is_genuine(slid | {"webhook-id": f"a.{AT}"}, b"{}")
    with pytest.raises(ValueError, match="id"):
        sign(SECRET, f"a.{AT}", AT, b"{}")


@pytest.mark.parametrize(("seconds", "genuine"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_a_request_is_genuine_for_five_minutes(seconds: int, *, genuine: bool) -> None:
    assert is_genuine(HEADERS, now=AT + seconds) is genuine


def test_while_a_secret_is_replaced_either_side_may_know_both() -> None:
    new = Secret((bytes(24),))
    both = Secret(SECRET.keys + new.keys)
    for signer, verifier in [(both, SECRET), (both, new), (SECRET, both), (new, both)]:
        assert is_genuine(sign(signer, ID, AT, BODY), secret=verifier)
    assert not is_genuine(sign(SECRET, ID, AT, BODY), secret=new)


def test_signatures_of_other_kinds_may_stand_beside_ours() -> None:
    assert is_genuine(HEADERS | {"webhook-signature": f"v1a,zzz {HEADERS['webhook-signature']}"})


# The file


def test_a_file_holds_one_secret_a_line(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{WORD}\n")
    assert Secret.load(file) == SECRET
    file.write_text(f"{WORD}\nwhsec_{base64.b64encode(bytes(64)).decode()}\n")
    assert Secret.load(file).keys == (KEY, bytes(64))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        WORD.removeprefix("whsec_"),
        WORD.upper(),
        WORD[:-1],
        f"whsec_{base64.b64encode(bytes(23)).decode()}",
        f"whsec_{base64.b64encode(bytes(65)).decode()}",
        "whsec_" + "-" * 44,
        f"{WORD}\n" * 5,
        f"{WORD}\nand another",
        "ÿ",
    ],
)
def test_a_file_with_anything_else_is_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Secret.load(file)
    assert str(file) in str(caught.value)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must be a readable file"):
        Secret.load(tmp_path / "none")


def test_a_secret_shows_nothing_of_itself() -> None:
    assert repr(SECRET) == "Secret()"
