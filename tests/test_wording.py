"""What the words of an installation tell is looked at before a worker starts."""

from pathlib import Path

import practice
import pytest

from reminder_worker import catalogue, disclosure, doctor, keys, settings
from reminder_worker.catalogue import Catalogue, Place
from reminder_worker.errors import SettingsError
from reminder_worker.findings import Finding, Grade
from reminder_worker.gateway import GatewayKeys
from reminder_worker.sealing import PlatformKeys

TEMPLATES = Path(__file__).parents[1] / "templates"
LANGUAGES = sorted(folder.name for folder in TEMPLATES.iterdir() if folder.is_dir())
SAFE = """
profile = "production"
[platforms.clinic]
verify_key = "keys/clinic.pub"
countries = ["FR"]
[providers.twilio]
account_sid = "AC00000000000000000000000000000000"
auth_token_file = "token"
from = "+15005550006"
callback_url = "https://hooks.example"
"""
CANARY = "Oncology"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    practice.make_keys(tmp_path / "keys")
    token = tmp_path / "token"
    token.write_text("0" * 32)
    token.chmod(0o600)
    return tmp_path


def read(shop: Path, text: str) -> settings.Settings:
    (shop / "reminder-worker.toml").write_text(text)
    return settings.read(shop / "reminder-worker.toml")


def found(shop: Path, text: str = SAFE) -> list[Finding]:
    """Return what production would be told; development is told the same and starts."""
    chosen, dev = read(shop, text), read(shop, text.replace("production", "dev"))
    told = list(doctor.check_worker(chosen))
    assert doctor.require(dev, iter(told)) == told
    if any(one.grade is Grade.UNSAFE for one in told):
        with pytest.raises(SettingsError) as raised:
            doctor.require(chosen, iter(told))
        assert CANARY not in str(raised.value)
    else:
        assert doctor.require(chosen, iter(told)) == told
    assert CANARY not in repr(told)
    return [one for one in told if one.code != "no_due_grid"]  # another page's


def codes(told: list[Finding]) -> list[tuple[str, Grade]]:
    return [(one.code, one.grade) for one in told]


def test_a_safe_installation_is_found_safe(shop: Path) -> None:
    assert found(shop) == []


# Senders.


def test_a_platform_s_sender_that_discloses_is_refused_whatever_the_profile(shop: Path) -> None:
    for text in (SAFE, SAFE.replace("production", "dev")):
        with pytest.raises(SettingsError, match=r"^platforms\.clinic\.sender: discloses") as raised:
            read(shop, text.replace("countries", f'sender = "{CANARY} Lyon"\ncountries'))
        assert CANARY not in str(raised.value)


def test_a_platform_s_sender_that_is_ambiguous_is_noted(shop: Path) -> None:
    [one] = found(shop, SAFE.replace("countries", 'sender = "Hospital North"\ncountries'))
    assert (one.code, one.grade) == ("sender_ambiguous", Grade.NOTE)


def test_a_sender_that_is_one_of_the_platform_s_own_names_is_found(shop: Path) -> None:
    told = found(shop, SAFE.replace("countries", 'sender = "Haus am See"\ndeny = ["Haus am See"]\ncountries'))
    assert codes(told) == [("sender_discloses", Grade.UNSAFE)]


def senders(shop: Path, sender: str) -> list[str]:
    return [one.code for one in found(shop, SAFE.replace("+15005550006", sender))]


@pytest.mark.parametrize(
    "sender",
    ["Oncology", "IVF", "+Oncology", "pool-oncology", "arn:aws:sms-voice:eu-west-1:123456789012:sender-id/Oncology/FR"],
)
def test_what_a_provider_shows_above_each_text_is_looked_at(shop: Path, sender: str) -> None:
    assert "sender_discloses" in senders(shop, sender)


@pytest.mark.parametrize("sender", ["+33700000001", "33700000001", "38100", "Studio Nord"])
def test_a_number_or_a_neutral_name_tells_nothing(shop: Path, sender: str) -> None:
    assert senders(shop, sender) == []


@pytest.mark.parametrize(
    "sender",
    [
        "pool-0123456789abcdef0",
        "phone-01234567890123456789012345678901",
        "arn:aws:sms-voice:eu-west-1:123456789012:pool/pool-0123456789abcdef0",
        "arn:aws:sms-voice:eu-west-1:123456789012:phone-number/phone-0123456789abcdef0",
        "arn:aws:sms-voice:eu-west-1:123456789012:sender-id/Studio/FR",
    ],
)
def test_how_a_sender_is_called_at_the_provider_is_shown_to_nobody(shop: Path, sender: str) -> None:
    assert "sender_discloses" not in senders(shop, sender)  # Twilio has no such names, and says so otherwise


def test_a_gateway_that_is_described_is_handed_no_telling_word(shop: Path) -> None:
    table = """
[providers.lantern]
type = "http"
url = "https://api.lantern.example/v1/messages"
id = "id"
[providers.lantern.body]
to = ["{to}"]
text = "{text}"
callback = "https://www.clinic.example/x"
extra = {inside = ["SENDER", 3]}
"""
    assert "body_discloses" not in [one.code for one in found(shop, SAFE + table)]
    for word in ("Fertility clinic", "{text} Oncology"):
        told = found(shop, SAFE + table.replace("SENDER", word))
        assert ("body_discloses", Grade.UNSAFE) in codes(told)


# Names that operators read.


def test_a_provider_s_table_is_not_called_by_a_speciality(shop: Path) -> None:
    told = found(shop, SAFE.replace("[providers.twilio]", '[providers.psychiatry]\ntype = "twilio"'))
    assert codes(told) == [("provider_name_discloses", Grade.UNSAFE)]
    assert "psychiatry" not in repr(told)


def test_a_platform_that_is_called_by_a_speciality_is_noted(shop: Path) -> None:
    told = found(shop, SAFE.replace("[platforms.clinic]", "[platforms.oncology-lyon]"))
    assert codes(told) == [("platform_name_discloses", Grade.NOTE)]
    assert "oncology" not in repr(told)


# Texts.


def templates(folder: Path, language: str, section: str, line: str) -> str:
    """Write one language with another line in one section, and return the settings that use it."""
    text = (TEMPLATES / language / "reminder.txt").read_text("utf-8")
    start = text.index(f"[{section}]\n") + len(section) + 3
    old, rest = text[start:].split("\n", 1)
    (folder / "texts" / language).mkdir(parents=True)
    changed = text[:start] + line.replace("OLD", old) + "\n" + rest
    (folder / "texts" / language / "reminder.txt").write_text(changed, "utf-8")
    return 'templates = "texts"\n' + SAFE


SECTIONS = ["place", "place.short", "time", "time.short", "not_you.reply", "not_you.reply.short"]
SECTIONS += ["not_you.call", "not_you.call.short", "help"]


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_every_language_is_looked_at(shop: Path, language: str, section: str) -> None:
    told = found(shop, templates(shop, language, section, f"{CANARY}. OLD"))
    assert ("template_discloses", Grade.UNSAFE) in codes(told)
    assert all(one.what.startswith(f"templates: {language} ") for one in told)


def test_what_only_a_value_completes_is_seen_as_a_phone_shows_it(shop: Path) -> None:
    assert disclosure.find("On at , .com") is None
    told = found(shop, templates(shop, "en", "place", "On {date} at {time}, {location}.com {not_you}"))
    assert ("template_discloses", Grade.UNSAFE) in codes(told)


def test_a_text_with_a_doubtful_word_is_noted(shop: Path) -> None:
    told = found(shop, templates(shop, "en", "help", "Hospital. OLD"))
    assert codes(told) == [("template_wording", Grade.NOTE)]


# Places.


def listed(shop: Path, *places: Place, platform: str = "clinic") -> str:
    signing = PlatformKeys.load(shop / "keys" / "clinic.key").signing
    catalogue.save(Catalogue(platform, 1, places), shop / "places", signing)
    return SAFE.replace("countries", 'locations = "catalogue"\nlocations_file = "places"\ncountries')


def test_a_catalogue_that_can_be_used_is_found_safe(shop: Path) -> None:
    assert found(shop, listed(shop, Place("12 rue des Lilas", "m.durand", "2027-03-01"), Place(f"{CANARY} ward"))) == []


def test_a_catalogue_that_cannot_be_used_is_unsafe(shop: Path) -> None:
    text = listed(shop, platform="other")
    assert codes(found(shop, text)) == [("catalogue_unusable", Grade.UNSAFE)]
    (shop / "places").unlink()
    assert codes(found(shop, text)) == [("catalogue_unusable", Grade.UNSAFE)]


def test_places_that_the_lint_refuses_today_are_counted(shop: Path) -> None:
    rule = disclosure.find(f"{CANARY} ward").rule
    places = Place(f"{CANARY} ward", "m.durand", "2027-03-01"), Place(f"{CANARY} 2", "m.durand", "2027-03-01", rule)
    [one] = found(shop, listed(shop, *places))
    assert (one.code, one.grade) == ("places_refused", Grade.NOTE)
    assert "refuses 1 places" in one.what


def test_a_gateway_looks_at_the_catalogues_of_those_it_signs_for(shop: Path) -> None:
    keys.new_gateway(shop / "keys")

    def told(text: str) -> list[str]:
        return [one.code for one in doctor.check_gateway(read(shop, text)) if one.code != "unusable"]

    text = listed(shop)
    assert told(text) == []  # it has keys of its own, and does not call
    for verify_key in ("gateway.pub", "on-another-machine.pub"):
        assert told(text.replace("clinic.pub", verify_key)) == ["catalogue_unusable"]
    catalogue.save(Catalogue("clinic", 1, ()), shop / "places", GatewayKeys.load(shop / "keys").live)
    assert told(text.replace("clinic.pub", "gateway.pub")) == []
