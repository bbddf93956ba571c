"""What a provider calls us with, before anybody believes it."""

import base64
import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker import webhooks
from reminder_worker.errors import Reason, Refused
from reminder_worker.webhooks import WebhookRequest, check_hmac, check_path, check_token, from_base64, from_hex

URL = "https://hooks.example/v1/replies/acme"
SECRET = "+33612340015 cardiologie"


def call(url: str = URL, *, body: bytes = b"", reference: str = "", **headers: str) -> WebhookRequest:
    return WebhookRequest("POST", url, headers, body, reference)


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def refusal(work: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        work()
    assert SECRET not in f"{caught.value!r} {caught.value}"
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


@pytest.mark.parametrize("body", [b"a=1&a=2", b"=", b"\xff", f"text={SECRET}&text=STOP".encode()])
def test_a_form_is_read_when_each_name_is_there_once(body: bytes) -> None:
    assert call(body=b"a=1&b=&c=%C3%A9+x").form() == {"a": "1", "b": "", "c": "é x"}
    if body != b"=":
        assert refusal(call(body=body).form).reason is Reason.MALFORMED


def test_a_query_is_read_when_each_name_is_there_once() -> None:
    assert call(f"{URL}?a=1&b=%2B33").query == {"a": "1", "b": "+33"}
    assert call(URL).query == {}
    assert refusal(lambda: call(f"{URL}?a=1&a=2").query).reason is Reason.MALFORMED


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1]", b"[" * 100_000, SECRET.encode(), b'{"a": "x"}'])
def test_json_of_another_shape_is_refused(body: bytes) -> None:
    shape = msgspec.defstruct("Shape", [("a", int)])
    assert call(body=b'{"a": 5, "b": 1}').json(shape).a == 5
    assert refusal(lambda: call(body=body).json(shape)).reason is Reason.MALFORMED


@given(st.binary(max_size=60))
def test_whatever_the_body_is_it_is_read_or_refused(body: bytes) -> None:
    for read in (call(body=body).form, lambda: call(body=body).json(dict[str, str])):
        with contextlib.suppress(Refused):
            assert isinstance(read(), dict)


def test_nothing_of_a_call_is_shown() -> None:
    shown = repr(call(f"{URL}?to={SECRET}", body=SECRET.encode(), reference=SECRET, authorization=SECRET))
    assert shown == "WebhookRequest(method='POST')"


@pytest.mark.parametrize(
    "shown",
    [
        call(f"{URL}?token=t-1"),
        call(authorization=basic("any:t-1")),
        call(authorization=basic("any:t-1").replace("Basic", "basic")),
    ],
)
def test_a_token_proves_a_provider_that_signs_nothing(shown: WebhookRequest) -> None:
    check_token(shown, "t-1")
    assert refusal(lambda: check_token(shown, "t-2")).reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("token", ["t-1", ""])
@pytest.mark.parametrize(
    "shown",
    [
        call(),
        call(f"{URL}?token="),
        call(f"{URL}?token=wrong"),
        call(f"{URL}?token=é"),
        call(authorization="Basic"),
        call(authorization="Basic !!"),
        call(authorization=basic("t-1")),
        call(authorization="Bearer t-1"),
    ],
)
def test_without_the_token_nobody_is_believed(shown: WebhookRequest, token: str) -> None:
    assert refusal(lambda: check_token(shown, token)).reason is Reason.SIGNATURE_INVALID


def test_the_path_proves_a_receipt_that_is_not_signed() -> None:
    assert check_path(call(reference="r-1")) == "r-1"
    assert check_path(call(reference="r-1"), "r-1") == "r-1"
    for shown, named in ((call(), None), (call(reference="r-1"), "r-2"), (call(reference="r-1"), "")):
        assert refusal(lambda shown=shown, named=named: check_path(shown, named)).reason is Reason.SIGNATURE_INVALID


def test_a_keyed_hash_is_compared() -> None:
    signature = from_hex("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8")
    content = b"The quick brown fox jumps over the lazy dog"
    check_hmac("sha256", b"key", content, signature)
    for key, said in ((b"kez", content), (b"key", content + b".")):
        assert refusal(lambda key=key, said=said: check_hmac("sha256", key, said, signature)).field == "signature"


@pytest.mark.parametrize("text", ["", "é", "zz", "A", "AA=A", "0x11"])
def test_a_signature_that_is_none_is_forged_and_no_crash(text: str) -> None:
    for read in (from_base64, from_hex):
        with contextlib.suppress(Refused):
            assert isinstance(read(text), bytes)


def test_both_refusals_name_a_field() -> None:
    assert (webhooks.forged().field, webhooks.malformed().field) == ("signature", "body")
