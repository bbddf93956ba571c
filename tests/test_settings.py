# Any value may be read or refused; what counts is what a refusal says.
# ruff: noqa: PT017

import json
import os
import re
from datetime import time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reminder_worker.errors import SettingsError
from reminder_worker.job import Level
from reminder_worker.ledger import Durability
from reminder_worker.plan import Lead, QuietHours
from reminder_worker.settings import CONFIG_VARIABLE, DEFAULT_FILE, Profile, Settings, read
from reminder_worker.tables import Platform, Route

CANARY = "Zx9Kanari+33612345678"
SAMPLE = """
profile   = "dev"
store_url = "redis://127.0.0.1:6379/0"
queue_url = "redis://127.0.0.1:6379/1"
keys      = "keys"
allow_numbers = ["+15005550006"]

[platforms.clinic]
verify_key   = "keys/clinic.pub"
leads        = ["24h"]
quiet_hours  = "21:00-08:00"
level        = "place"
locations    = "lint"
countries    = ["FR", "GB"]

[providers.outbox]
path = "outbox.jsonl"

[providers.twilio]
account_sid     = "AC0"
auth_token_file = "secrets/twilio"
from            = "+15005550006"
base_url        = "https://api.twilio.com"

[[routes]]
prefix    = "+33"
providers = ["twilio", "outbox"]
"""
PLATFORM = '[platforms.clinic]\nverify_key = "clinic.pub"\n'


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No variables and no file but the test's own."""
    for name in list(os.environ):
        if name.upper().startswith("REMINDER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(text, path=DEFAULT_FILE):
    path.write_text(text)
    return read()


def refusal(text="", path=DEFAULT_FILE):
    with pytest.raises(SettingsError) as caught:
        written(text, path)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_the_sample_of_the_design_is_read():
    settings = written(SAMPLE)
    assert (settings.profile, settings.production) == (Profile.DEV, False)
    assert settings.allow_numbers == ["+15005550006"]
    assert settings.keys == Path("keys")
    assert settings.platforms["clinic"] == Platform(
        verify_key=Path("keys/clinic.pub"),
        leads=["24h"],
        quiet_hours=QuietHours(time(21), time(8)),
        level=Level.PLACE,
        locations="lint",
        countries=["FR", "GB"],
    )
    assert list(settings.providers) == ["outbox", "twilio"]
    assert settings.providers["twilio"]["from"] == "+15005550006"
    assert settings.routes == [Route(prefix="+33", providers=["twilio", "outbox"])]


def test_without_a_file_there_are_defaults():
    settings = read()
    assert (settings.profile, settings.store_url, settings.queue_url) == (Profile.DEV, None, None)
    assert (settings.platforms, settings.providers, settings.routes) == ({}, {}, [])
    assert settings.retention == timedelta(days=30)
    assert settings.on_unknown == "hold"


def test_the_file_can_be_named_by_an_argument_or_a_variable(monkeypatch, tmp_path):
    for name, days in (("a.toml", 1), ("b.toml", 2)):
        (tmp_path / name).write_text(f"retention_days = {days}")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "a.toml"))
    assert read().retention_days == 1
    assert read(tmp_path / "b.toml").retention_days == 2


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_was_named_must_be_there(monkeypatch, name):
    with pytest.raises(SettingsError, match="there is no file"):
        read(Path(name))
    monkeypatch.setenv(CONFIG_VARIABLE, name)
    with pytest.raises(SettingsError, match="there is no file"):
        read()


def test_a_variable_wins_over_the_file(monkeypatch):
    monkeypatch.setenv("REMINDER_RETENTION_DAYS", "3")
    monkeypatch.setenv("REMINDER_ALLOW_NUMBERS", '["+15005550001"]')
    settings = written("retention_days = 7\nallow_numbers = []\nshards = 4")
    assert (settings.retention_days, settings.allow_numbers, settings.shards) == (3, ["+15005550001"], 4)


def test_a_variable_reaches_into_a_table_and_leaves_the_rest_of_it(monkeypatch):
    monkeypatch.setenv("REMINDER_PLATFORMS__CLINIC__LEVEL", "time")
    monkeypatch.setenv("REMINDER_PLATFORMS__CLINIC__LEADS", '["2h"]')
    monkeypatch.setenv("REMINDER_PROVIDERS__TWILIO__BASE_URL", "https://api.dublin.ie1.twilio.com")
    settings = written(SAMPLE)
    clinic, twilio = settings.platforms["clinic"], settings.providers["twilio"]
    assert (clinic.level, clinic.leads, clinic.countries) == (Level.TIME, [Lead.parse("2h")], ["FR", "GB"])
    assert (twilio["base_url"], twilio["account_sid"]) == ("https://api.dublin.ie1.twilio.com", "AC0")


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("stor_url = 'x'", "stor_url", "store_url"),
        ("[platform.clinic]\nverify_key = 'x'", "platform", "platforms"),
        (PLATFORM + "resolver = 'x'", "platforms.clinic.resolver", "resolver_url"),
        (PLATFORM + "lead = ['2h']", "platforms.clinic.lead", "leads"),
        (SAMPLE + "weight = 3", "routes.0.weight", "weights"),
        ("[ops]\noperator = 'x'", "ops.operator", "operators"),
        ("config = 'x'", "config", ""),
        (PLATFORM + "shards = 2", "platforms.clinic.shards", ""),  # it is one, and not there
    ],
)
def test_an_unknown_name_is_an_error_at_every_depth(text, name, meant):
    said = f"{name}: there is no such setting{f'; did you mean {meant}?' * bool(meant)}"
    assert said in refusal(text).split("; ops")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REMINDER_PROFIL", "REMINDER_PROFILE"),
        ("REMINDER_STORE", "REMINDER_STORE_URL"),
        ("reminder_profil", "REMINDER_PROFILE"),
        ("Reminder_Shard", "REMINDER_SHARDS"),
        ("REMINDER_", ""),
        ("REMINDER__PROFILE", "REMINDER_PROFILE"),
        ("REMINDER_PROFILE__NAME", ""),
        ("REMINDER_PLATFORM__CLINIC__LEVEL", "REMINDER_PLATFORMS__…"),
        ("REMINDER_ROUTES__0__PREFIX", ""),
        ("REMINDER_ALLOW_NUMBERS__0", ""),
    ],
)
def test_a_misspelt_variable_is_an_error(monkeypatch, name, meant):
    monkeypatch.setenv(name, CANARY)
    assert refusal(SAMPLE) == f"{name}: there is no such setting{f'; did you mean {meant}?' * bool(meant)}"


def test_a_misspelt_variable_inside_a_table_is_an_error(monkeypatch):
    monkeypatch.setenv("REMINDER_PLATFORMS__CLINIC__LEVLE", "time")
    assert refusal(SAMPLE) == "platforms.clinic.levle: there is no such setting; did you mean level?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('metrics_listen = ":9464"', "metrics_listen: must be HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464"),
        ('metrics_listen = "127.0.0.1:9464\\n"', "metrics_listen: must be HOST:PORT, such as"),
        ('allow_numbers = ["0612345678"]', "allow_numbers.0: must be + and a number or its beginning, digits only"),
        (PLATFORM + 'countries = ["France"]', "platforms.clinic.countries.0: must be two capital letters such as FR"),
        (PLATFORM + 'not_you = "call us"', "platforms.clinic.not_you: must be reply, or + and a number of 7 to 15"),
        ('root = "x"', "root: must be a public key: 43 of A-Z, a-z, 0-9, _ and -"),
        ('[ops]\nproxy_header = "a b"', "ops.proxy_header: must be the name of a header"),
        ('[[routes]]\nprefix = "33"\nproviders = ["x"]', "routes.0.prefix: must be + and the first digits of numbers"),
        ("[platforms.Clinic]\nverify_key = 'x'", "must be a name of a-z, 0-9 and -, up to 20"),
    ],
)
def test_what_is_written_otherwise_is_told_what_is_wanted(text, said):
    message = refusal(text)
    assert said in message
    assert "pattern" not in message


def test_all_faults_are_named_at_once():
    assert re.fullmatch(r"shards: .+; platforms\.clinic\.level: .+", refusal("shards = 0\n" + PLATFORM + "level = 'x'"))


SETTINGS = [
    *(name for name in Settings.model_fields if name not in {"platforms", "providers", "routes"}),
    "platforms",
    "platforms.clinic",
    *(f"platforms.clinic.{name}" for name in Platform.model_fields),
    "providers",
    "providers.outbox",
    "routes",
]


def with_value(name, value):
    """Return a file in which one setting has a value, and others what it takes to be read."""
    table, _, last = name.rpartition(".")
    head = f"{name} = {value}\n" if not table else ""
    rest = "" if name.startswith(("platforms.clinic", "platforms")) else PLATFORM
    if table:
        key = "" if last == "verify_key" or table != "platforms.clinic" else 'verify_key = "clinic.pub"\n'
        rest += f"[{table}]\n{key}{last} = {value}\n"
    return head + rest


@pytest.mark.parametrize("name", SETTINGS)
def test_no_error_holds_the_value_of_a_setting_in_the_file(name):
    for value in [
        f'"{CANARY}"',
        f'["{CANARY}"]',
        f'[["{CANARY}"]]',
        f'{{ x = "{CANARY}" }}',
        f'"{CANARY}',
        f"{CANARY}",
    ]:
        try:
            written(with_value(name, value))
        except SettingsError as error:
            assert "Kanari" not in str(error)
            assert "3361234" not in str(error)
    for value in ("33612345678", "-33612345678", "33612345678.5", "[33612345678]", "{ x = 33612345678 }"):
        try:
            written(with_value(name, value))
        except SettingsError as error:
            assert "3361234" not in str(error)


@pytest.mark.parametrize("name", SETTINGS)
def test_no_error_holds_the_value_of_a_variable(monkeypatch, name):
    variable = "REMINDER_" + name.upper().replace(".", "__")
    for value in (
        CANARY,
        json.dumps(CANARY),
        json.dumps([CANARY]),
        json.dumps({"x": CANARY}),
        "33612345678",
        f'["{CANARY}',
    ):
        monkeypatch.setenv(variable, value)
        try:
            written(PLATFORM)
        except SettingsError as error:
            assert "Kanari" not in str(error)
            assert "3361234" not in str(error)


@pytest.mark.parametrize(
    "value",
    [
        f'[{{ prefix = "{CANARY}", providers = ["x"] }}]',
        f'[{{ providers = ["{CANARY}"] }}]',
        f'[{{ providers = "{CANARY}" }}]',
    ],
)
def test_no_error_holds_what_a_route_says(value):
    assert "Kanari" not in refusal(f"routes = {value}")


@given(st.text(max_size=30), st.sampled_from(SETTINGS))
@hypothesis_settings(max_examples=200, deadline=None)
def test_any_text_is_a_value_or_refused(tmp_path_factory, value, name):
    path = tmp_path_factory.mktemp("any") / "any.toml"
    path.write_text(with_value(name, json.dumps(value)), errors="replace")
    try:
        read(path)
    except SettingsError as error:
        assert len(value) < 12 or value not in str(error)


@pytest.mark.parametrize(
    "variable", ["REMINDER_ROUTES", "REMINDER_ALLOW_NUMBERS", "REMINDER_PLATFORMS", "REMINDER_PROVIDERS"]
)
@pytest.mark.parametrize("value", [CANARY, "+15005550006", "{", "[", ""])
def test_a_variable_that_has_to_be_json_is_named(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    assert refusal() == f"{variable}: must be written as JSON"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (CANARY, r" \(at line 1, column 10\)"),
        (f"shards = 1\nprofile = {CANARY}\n", r" \(at line 2, column 11\)"),
        (PLATFORM + PLATFORM, r" \(at line 3, column 18\)"),
        ("shards = 1\nshards = 2\n", r" \(at line 2, column 11\)"),
        ('{"shards": 1}', r" \(at line 1, column 1\)"),
        ("\ufeffshards = 1", r" \(at line 1, column 1\)"),
    ],
)
def test_a_file_that_is_not_toml_is_named_with_the_place(content, place):
    assert re.fullmatch(rf"reminder-worker\.toml: is not TOML{place}", refusal(content))


def test_a_file_that_is_not_utf8_is_named():
    DEFAULT_FILE.write_bytes(b'profile = "\xff"')
    with pytest.raises(SettingsError, match=r"\Areminder-worker\.toml: is not TOML\Z"):
        read()


def test_a_file_that_may_not_be_read_is_named(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, CANARY, CANARY)

    monkeypatch.setattr("tomllib.load", refuse)
    assert refusal() == "reminder-worker.toml: cannot be read (PermissionError)"


def test_a_route_leads_to_providers_that_have_a_table():
    assert refusal(SAMPLE.replace('"twilio", "outbox"]', '"twilio", "vonage"]')) == (
        "routes.0.providers: name only providers that have a table: outbox, twilio"
    )
    assert "add a table" in refusal('routes = [{ providers = ["outbox"] }]')
    assert refusal("routes = [{ providers = [] }]").startswith("routes.0.providers: ")


@pytest.mark.parametrize("number", ["", "+", "33", "+0", "+33 6", "*", "+336123456789012345", "+٣٣"])
def test_an_entry_of_allow_numbers_is_a_number_or_the_beginning_of_one(number):
    assert refusal(f'allow_numbers = ["+33", "{number}"]').startswith("allow_numbers.1: ")


@pytest.mark.parametrize(
    "line",
    [
        'leads = "24h"',
        "leads = []",
        "leads = [24]",
        'leads = ["24"]',
        'leads = ["31d"]',
        f"leads = {json.dumps([f'{hours}h' for hours in range(1, 10)])}",
        'quiet_hours = "21:00"',
        "quiet_hours = 21:00:00",
        'quiet_hours = { start = "21:00", end = "21:00" }',
        'quiet_hours = ["21:00-08:00"]',
        'due_grid = "7m"',
        'due_grid = "2h"',
        "due_grid = 15",
        'level = "all"',
        'level = "sender"',  # and no sender
        'locations = "none"',
        'locations = "catalogue"',  # and no file
        'deny = ["ab"]',
        'deny = ["Villa Sonnenschein", "- -"]',
        'deny = "Villa Sonnenschein"',
        'countries = ["France"]',
        'countries = ["fr"]',
        'countries = "FR"',
        f"sender = '{'x' * 31}'",
        'sender = "Oncology Centre"',
    ],
)
def test_a_platform_with_a_wrong_value_is_refused_by_name(line):
    message = refusal(PLATFORM + line)
    name = line.partition(" ")[0]
    assert message.startswith("platforms.clinic") or name in message
    assert name in message or "sender" in message


@pytest.mark.parametrize("name", ["Clinic", "clinic_a", "a" * 21, "", "kliniek é"])
def test_a_platforms_name_fits_the_format(name):
    assert "platforms." in refusal(f'[platforms."{name}"]\nverify_key = "x"')


@pytest.mark.parametrize(
    "line", ["shards = 0", "shards = 1025", "retention_days = 0", 'on_unknown = "ask"', 'profile = "prod"']
)
def test_a_value_out_of_range_is_refused_by_name(line):
    assert refusal(line).startswith(line.partition(" ")[0] + ": ")


def test_an_intent_is_confirmed_on_disk_in_production_and_as_set_elsewhere():
    assert written("").confirm is Durability.NONE
    assert written('profile = "production"').confirm is Durability.LOCAL
    assert written('profile = "production"\ndurability = "none"').confirm is Durability.NONE
    assert written('durability = "replica"').confirm is Durability.REPLICA


def test_the_only_platform_needs_no_name():
    settings = written(SAMPLE)
    assert settings.platform(None) == settings.platform("clinic") == ("clinic", settings.platforms["clinic"])


@pytest.mark.parametrize(
    ("text", "name"), [(SAMPLE, "salon"), (SAMPLE + "[platforms.salon]\nverify_key = 'x'", None), ("", None)]
)
def test_a_platform_that_is_unknown_or_not_chosen_is_asked_for(text, name):
    with pytest.raises(SettingsError, match="--platform: "):
        written(text).platform(name)


def test_settings_do_not_show_numbers_or_passwords():
    shown = repr(written(SAMPLE.replace("redis://", "redis://user:hunter2@")))
    assert "hunter2" not in shown
    assert "allow_numbers" not in shown


def test_settings_cannot_be_changed():
    settings = written(SAMPLE)
    with pytest.raises(ValueError):
        settings.profile = Profile.PRODUCTION
    with pytest.raises(ValueError):
        settings.platforms["clinic"].countries = []


# Routes with weights.


def test_weights_are_read():
    (route,) = written(SAMPLE + "weights = [9, 1]").routes
    assert (route.providers, route.weights) == (["twilio", "outbox"], [9, 1])
    assert written(SAMPLE).routes[0].weights is None


@pytest.mark.parametrize("weights", ["[]", "[1]", "[1, 2, 3]", "[0, 0]"])
def test_there_is_a_weight_for_each_provider_and_one_that_is_not_zero(weights):
    assert (
        refusal(SAMPLE + f"weights = {weights}") == "routes.0: weights: give one for each provider, and not only zeros"
    )


@pytest.mark.parametrize("weight", ["-1", "1001", "0.5", '"x"'])
def test_a_weight_is_a_whole_number_up_to_a_thousand(weight):
    assert re.match(
        r"routes\.0\.weights\.1: |reminder-worker\.toml: is not TOML", refusal(SAMPLE + f"weights = [1, {weight}]")
    )


@pytest.mark.parametrize("weights", ["[0, 1]", "[1000, 0]"])
def test_some_weights_may_be_zero(weights):
    assert written(SAMPLE + f"weights = {weights}").routes[0].weights == json.loads(weights)


# Caps.


def test_there_are_caps_without_being_asked_for():
    settings = written(SAMPLE)
    assert (settings.platforms["clinic"].daily_cap, settings.phone_daily_cap) == (10_000, 10)


@pytest.mark.parametrize(("line", "cap"), [("phone_daily_cap = 1", 1), ("phone_daily_cap = 100", 100)])
def test_a_phones_cap_can_be_set(line, cap):
    assert written(line).phone_daily_cap == cap


@pytest.mark.parametrize("cap", ["0", "-1", "101", "1.5", '"many"'])
def test_a_phones_cap_is_between_one_and_a_hundred(cap):
    assert refusal(f"phone_daily_cap = {cap}").startswith("phone_daily_cap: ")


@pytest.mark.parametrize("cap", ["0", "-1", "1.5", '"many"', "[]", "10000001", "1" + "0" * 400])
def test_a_platforms_cap_is_at_least_one_and_no_number_beyond_all_texts(cap):
    assert refusal(PLATFORM + f"daily_cap = {cap}").startswith("platforms.clinic.daily_cap: ")
    assert written(PLATFORM + "daily_cap = 1").platforms["clinic"].daily_cap == 1


# Where providers reach us.


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://hooks.example.com", "https://hooks.example.com"),
        ("https://example.com:8443/reminders/", "https://example.com:8443/reminders"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_the_url_of_the_hooks_is_kept_without_its_last_slash(url, kept):
    assert written(f'hooks_url = "{url}"').hooks_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "ftp://example.com",
        "http://example.com",
        "https://",
        "https://user:hunter2@example.com",
        "https://example.com/?token=hunter2",
        "https://example.com/#hunter2",
        "https://exämple.com",
        "https://example.com:0",
        "https://example.com:99999",
        "https://example.com/a b",
    ],
)
def test_what_is_no_https_url_is_refused_and_not_shown(url):
    message = refusal(f'hooks_url = "{url}"')
    assert message.startswith("hooks_url: ")
    assert "hunter2" not in message
    assert "example.com/" not in message


def test_the_url_of_the_hooks_is_said_once_for_all_providers_and_a_tables_own_wins():
    text = 'hooks_url = "https://hooks.example.com"\n' + SAMPLE.replace(
        "[providers.outbox]", '[providers.outbox]\ncallback_url = "https://own.example.com"'
    )
    tables = written(text).provider_tables()
    assert tables["twilio"] == written(SAMPLE).providers["twilio"] | {"callback_url": "https://hooks.example.com"}
    assert tables["outbox"]["callback_url"] == "https://own.example.com"


def test_without_a_url_of_the_hooks_tables_stay_as_they_are():
    settings = written(SAMPLE)
    assert settings.provider_tables() == settings.providers
    assert list(settings.provider_tables()) == ["outbox", "twilio"]


def test_to_merge_the_tables_changes_none_of_them():
    settings = written('hooks_url = "https://hooks.example.com"\n' + SAMPLE)
    settings.provider_tables()["twilio"]["x"] = "y"
    assert "callback_url" not in settings.providers["twilio"]
    assert "x" not in settings.provider_tables()["twilio"]


# Where contacts are resolved.

RESOLVER = PLATFORM + 'resolver_secret_file = "secrets/resolver"\n'


@pytest.mark.parametrize("url", ["https://booking.example", "https://booking.example:8443/contacts/"])
def test_the_url_of_a_resolver_is_kept_as_it_is_written(url):
    clinic = written(f'{RESOLVER}resolver_url = "{url}"').platforms["clinic"]
    assert (clinic.resolver_url, clinic.resolver_private) == (url, False)


@pytest.mark.parametrize(
    "url", ["", "booking.example", "http://booking.example", "https://a:hunter2@booking.example", "https://a?hunter2=1"]
)
def test_a_resolver_that_others_could_listen_to_is_refused_and_not_shown(url):
    message = refusal(f'{RESOLVER}resolver_url = "{url}"\nresolver_private = true')
    assert message.startswith("platforms.clinic.resolver_url: ")
    assert "hunter2" not in message


EVENTS = PLATFORM + 'events_secret_file = "secrets/events"\n'


@pytest.mark.parametrize("url", ["https://booking.example", "https://booking.example:8443/events/"])
def test_the_url_for_events_is_kept_as_it_is_written(url):
    clinic = written(f'{EVENTS}events_url = "{url}"').platforms["clinic"]
    assert (clinic.events_url, clinic.events_private) == (url, False)


@pytest.mark.parametrize("line", ['events_secret_file = "x"', 'events_url = "https://booking.example"'])
def test_events_have_a_url_and_a_secret(line):
    assert "events_url and events_secret_file need each other" in refusal(PLATFORM + line)


def test_events_to_this_machine_have_to_be_meant():
    line = 'events_url = "http://127.0.0.1:8080/events"\n'
    assert "events_private" in refusal(EVENTS + line)
    assert written(EVENTS + line + "events_private = true").platforms["clinic"].events_private
    assert "https" in refusal(EVENTS + 'events_url = "http://booking.example"\nevents_private = true')


@pytest.mark.parametrize("line", ['resolver_secret_file = "x"', 'resolver_url = "https://booking.example"'])
def test_a_resolver_has_a_url_and_a_secret(line):
    assert "resolver_url and resolver_secret_file need each other" in refusal(PLATFORM + line)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]", "localhost"])
def test_a_resolver_on_this_machine_has_to_be_meant(host):
    line = f'resolver_url = "http://{host}/contacts"\n'
    assert "resolver_private" in refusal(RESOLVER + line)
    assert written(RESOLVER + line + "resolver_private = true").platforms["clinic"].resolver_private
