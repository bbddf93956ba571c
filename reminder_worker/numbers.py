"""Phone numbers: which exist, which may be texted, and how they are written (E.164); no I/O."""

from collections.abc import Collection

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from reminder_worker.errors import Reason, Refused

_PREMIUM = {
    PhoneNumberType.PREMIUM_RATE,
    PhoneNumberType.SHARED_COST,
    PhoneNumberType.UAN,
    PhoneNumberType.VOICEMAIL,
}
_AMERICA = 1
_SATELLITE = {870, 881, 882, 883}  # Inmarsat, Iridium and Globalstar, international networks: no country's numbers


def load() -> None:
    """Read everything that is known about the world's numbers now.

    Otherwise phonenumbers reads it when it first meets a country, behind a lock that it keeps for ever if that fails.
    """
    phonenumbers.PhoneMetadata.load_all()


def has_numbers(country: str) -> bool:
    """Tell whether a country code (ISO 3166) has numbers: GB has, and UK is no such code."""
    return country in phonenumbers.SUPPORTED_REGIONS


def normalise(text: str, countries: Collection[str] = ()) -> str:
    """Return an international number as E.164; ``countries`` (ISO 3166), if given, are the only ones allowed.

    Raises Refused (number_invalid, number_premium, number_satellite, country_not_allowed).
    """
    if not isinstance(text, str) or not text.strip().startswith("+"):
        raise Refused(Reason.NUMBER_INVALID, "phone", "write the number with + and its country code")
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        raise Refused(Reason.NUMBER_INVALID, "phone", "is not a phone number") from None
    kind = phonenumbers.number_type(number)
    if number.extension or kind == PhoneNumberType.UNKNOWN:  # no pattern of a valid number fits
        raise Refused(Reason.NUMBER_INVALID, "phone", "there is no such number; check its digits")
    if number.country_code in _SATELLITE:
        raise Refused(Reason.NUMBER_SATELLITE, "phone", "is a satellite or international network's number")
    # British 070 numbers are forwarded at the sender's cost, and known for fraud; American 500 numbers are not.
    if kind in _PREMIUM or (kind == PhoneNumberType.PERSONAL_NUMBER and number.country_code != _AMERICA):
        raise Refused(Reason.NUMBER_PREMIUM, "phone", "is a premium-rate or shared-cost number")
    # Not by the number's one region: neighbours such as Finland and Åland share their numbers.
    if countries and not any(phonenumbers.is_valid_number_for_region(number, country) for country in countries):
        raise Refused(Reason.COUNTRY_NOT_ALLOWED, "phone", "its country is not on the platform's list")
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def internationalise(text: str, country: str) -> str:
    """Convert a number written as people in a country write it to E.164; what is no number stays as it is."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return text
    return text if number.extension else str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def is_country(text: str) -> bool:
    """Tell whether these two letters (ISO 3166) stand for a country with numbers of its own."""
    return text in phonenumbers.SUPPORTED_REGIONS
