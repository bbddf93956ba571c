# Any input may be read or refused; each test checks both.
# ruff: noqa: PT017

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reminder_worker.contacts import Contact, resolve
from reminder_worker.errors import Reason, Refused


def refusal(uri, countries=()):
    with pytest.raises(Refused) as caught:
        resolve(uri, "fr", countries)
    return caught.value


def test_a_tel_pointer_leads_to_a_phone_and_a_language():
    contact = resolve("tel:+33612345678", "fr", ["FR"])
    assert (contact.phone, contact.language) == ("+33612345678", "fr")


def test_a_contact_shows_neither_phone_nor_language():
    assert repr(Contact("+33612345678", "fr")) == "Contact()"


@pytest.mark.parametrize("uri", ["", "+33612345678", "sms:+33612345678", "https://booking.example/33612345678"])
def test_a_pointer_of_another_kind_is_refused(uri):
    error = refusal(uri)
    assert (error.reason, error.field) == (Reason.POINTER_INVALID, "pointer")


@pytest.mark.parametrize(
    "number",
    [
        "",
        "0612345678",
        "+33-6-12-34-56-78",
        "+33612345678;ext=3",
        "+33612345678;phone-context=+44",
        "+33612345678\n",
        " +33612345678",
        "//+33612345678",
        "+٣٣٦١٢٣٤٥٦٧٨",
        "+1234567890123456",
    ],
)
def test_a_tel_pointer_holds_one_global_number_and_nothing_else(number):
    error = refusal(f"tel:{number}")
    assert (error.reason, error.field) == (Reason.NUMBER_INVALID, "pointer")


def test_a_number_that_may_not_be_texted_is_refused():
    assert refusal("tel:+3361234567").reason is Reason.NUMBER_INVALID
    assert refusal("tel:+33899123456").reason is Reason.NUMBER_PREMIUM
    assert refusal("tel:+33612345678", ["GB"]).reason is Reason.COUNTRY_NOT_ALLOWED


@settings(deadline=None)
@given(st.one_of(st.text(), st.text(string.digits + "+;=-", max_size=20).map("tel:+".__add__)))
def test_any_uri_is_resolved_or_refused_without_being_repeated(uri):
    try:
        assert resolve(uri, "fr", []).phone.startswith("+")
    except Refused as error:
        assert not any(character.isdigit() for character in str(error))
