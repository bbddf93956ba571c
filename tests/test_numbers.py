# Any input may be read or refused; each test checks both.
# ruff: noqa: PT017

import re
import string
import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType

from reminder_worker.errors import Reason, Refused
from reminder_worker.numbers import normalise

MESSAGES = {
    "phone: write the number with + and its country code",
    "phone: is not a phone number",
    "phone: there is no such number; check its digits",
    "phone: is a premium-rate or shared-cost number",
    "phone: is a satellite or international network's number",
    "phone: its country is not on the platform's list",
}


def refusal(*arguments):
    with pytest.raises(Refused) as caught:
        normalise(*arguments)
    assert caught.value.field == "phone"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+33612345678", "+33612345678"),
        (" +33 6 12 34 56 78 ", "+33612345678"),
        ("+33 (0)6.12.34.56.78", "+33612345678"),
        ("+44 7400-123456", "+447400123456"),
        ("+390236618300", "+390236618300"),  # Italy keeps its zero
        ("+٣٣٦١٢٣٤٥٦٧٨", "+33612345678"),
        ("+15005550006", "+15005550006"),  # Twilio's number for tests that succeed
        ("+15005550001", "+15005550001"),  # and the one that does not
    ],
)
def test_a_number_is_written_as_e164(text, number):
    assert normalise(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "0612345678",
        "0033612345678",
        "33612345678",
        "tel:+33612345678",
        "+abc",
        None,
        33612345678,
        b"+33612345678",
    ],
)
def test_what_is_no_international_number_is_refused(text):
    assert refusal(text) is Reason.NUMBER_INVALID


@pytest.mark.parametrize(
    "text", ["+3361234567", "+336123456789", "+33012345678", "+999123456789", "+12425551234", "+112"]
)
def test_a_number_that_cannot_exist_is_refused(text):
    assert refusal(text) is Reason.NUMBER_INVALID


@pytest.mark.parametrize("text", ["+33612345678;ext=3", "+33612345678 x3", "+33612345678;phone-context=+44"])
def test_a_number_with_more_than_a_number_is_refused(text):
    assert refusal(text) is Reason.NUMBER_INVALID


@pytest.mark.parametrize(
    ("region", "kind"),
    [
        ("FR", PhoneNumberType.PREMIUM_RATE),
        ("GB", PhoneNumberType.PREMIUM_RATE),
        ("US", PhoneNumberType.PREMIUM_RATE),
        ("DE", PhoneNumberType.SHARED_COST),
        ("GB", PhoneNumberType.UAN),
    ],
)
def test_a_number_that_costs_more_is_refused(region, kind):
    example_number = phonenumbers.example_number_for_type(region, kind)
    text = phonenumbers.format_number(example_number, phonenumbers.PhoneNumberFormat.E164)
    assert refusal(text) is Reason.NUMBER_PREMIUM


SATELLITES = {
    "Inmarsat": "+870773111632",
    "Iridium": "+881612345678",
    "Iridium, its second range": "+881712345678",
    "Globalstar": "+881812345678",
    "Globalstar, its second range": "+881912345678",
    "international networks": "+882165123456",
    "more of them": "+883510012345",
    "more of them, long": "+883510001234567",
}


@pytest.mark.parametrize("countries", [(), ["FR"], ["001"]])
@pytest.mark.parametrize("text", SATELLITES.values(), ids=SATELLITES)
def test_a_number_of_a_satellite_or_of_no_country_s_network_is_refused(text, countries):
    assert phonenumbers.is_valid_number(phonenumbers.parse(text))
    assert refusal(text, countries) is Reason.NUMBER_SATELLITE


@pytest.mark.parametrize("code", [870, 881, 882, 883])
def test_the_package_s_own_example_of_each_of_these_networks_is_refused(code):
    example_number = phonenumbers.example_number_for_non_geo_entity(code)
    text = phonenumbers.format_number(example_number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    assert refusal(text) is Reason.NUMBER_SATELLITE


@pytest.mark.parametrize("text", ["+447012345678", "+44 70 1234 5678", "+44 (0)70 5345 6789"])
def test_a_british_070_number_is_refused_though_it_looks_like_a_mobile(text):
    assert refusal(text, ["GB"]) is Reason.NUMBER_PREMIUM


def test_a_personal_number_of_any_country_but_america_is_refused():
    refused = set()
    for region in phonenumbers.SUPPORTED_REGIONS:
        example_number = phonenumbers.example_number_for_type(region, PhoneNumberType.PERSONAL_NUMBER)
        if example_number is not None and example_number.country_code != 1:
            text = phonenumbers.format_number(example_number, phonenumbers.PhoneNumberFormat.E164)
            assert refusal(text) is Reason.NUMBER_PREMIUM
            refused.add(region)
    assert {"GB", "JE", "GG", "IM"} <= refused


@pytest.mark.parametrize("number", range(10))
def test_the_numbers_that_providers_use_for_tests_stay_fine(number):
    text = f"+1500555000{number}"
    assert phonenumbers.number_type(phonenumbers.parse(text)) == PhoneNumberType.PERSONAL_NUMBER
    assert normalise(text) == text


def test_only_countries_on_the_list_are_allowed():
    assert normalise("+33612345678", ["GB", "FR"]) == "+33612345678"
    assert refusal("+33612345678", ["GB"]) is Reason.COUNTRY_NOT_ALLOWED
    assert normalise("+447400123456", ["GB"]) == "+447400123456"


def test_countries_that_share_a_code_are_told_apart():
    assert normalise("+12042345678", ["CA"]) == "+12042345678"
    assert refusal("+12042345678", ["US"]) is Reason.COUNTRY_NOT_ALLOWED


def test_a_number_of_no_country_is_on_no_list():
    assert normalise("+80012345678") == "+80012345678"
    assert refusal("+80012345678", ["FR"]) is Reason.COUNTRY_NOT_ALLOWED


def test_a_premium_number_stays_refused_in_a_country_that_is_allowed():
    assert refusal("+33899123456", ["FR"]) is Reason.NUMBER_PREMIUM


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS - {"TA"}))  # Tristan da Cunha has none
def test_a_mobile_number_of_every_country_is_accepted_there(region):
    mobile = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    text = phonenumbers.format_number(mobile, phonenumbers.PhoneNumberFormat.E164)
    assert normalise(text, [region]) == text


LIKE_NUMBERS = st.text(alphabet=string.digits + "+-() ./;=extx#,\n٣\uff13", max_size=30).map("+".__add__)


@settings(deadline=None)
@given(
    st.one_of(LIKE_NUMBERS, st.text(), st.text(string.digits).map("+".__add__), st.none(), st.integers(), st.binary())
)
@example("+" + "1" * 300)
@example("+1;phone-context=")
@example("+\u0660")
def test_any_input_is_a_number_or_refused_without_being_repeated(text):
    try:
        number = normalise(text, ["FR", "US"])
    except Refused as error:
        assert str(error) in MESSAGES
    else:
        assert re.fullmatch(r"\+[1-9][0-9]{4,14}", number)
        assert normalise(number) == number


def test_nothing_is_read_later_than_at_the_start() -> None:
    """The library's lock stays taken where that fails, and then nobody is texted any more."""
    program = """
import sys
from reminder_worker import numbers
numbers.load()
before = set(sys.modules)
numbers.normalise("+33612345678", ["FR"])
print(sorted(name for name in set(sys.modules) - before if "phonenumbers" in name))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
