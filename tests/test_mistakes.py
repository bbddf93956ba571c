"""What is wrong with a setting is said in its own words; a file that is missing is named by its setting, everywhere."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reminder_worker import contacts, doctor, events, opening
from reminder_worker.client.chosen import choose
from reminder_worker.doctor import keyring
from reminder_worker.errors import SettingsError
from reminder_worker.ops import operators
from reminder_worker.ops.site import Site
from reminder_worker.settings import Settings, read

SAMPLE = """
[platforms.clinic]
verify_key           = "gone"
resolver_url         = "https://booking.example/contacts"
resolver_secret_file = "gone"
events_url           = "https://booking.example/events"
events_secret_file   = "gone"
[ops]
operators = "gone"
[gateway]
url      = "https://reminders.example"
key_file = "gone"
platform = "clinic"
pinned   = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""


WRONG = {
    'shards = "many"': "shards: must be a whole number",
    'access_log = "perhaps"': "access_log: must be true or false",
    "keys = 3": "keys: must be a path, in quotation marks",
    "platforms = 3": "platforms: must be a table",
    'profile = "prod"': "profile: must be 'dev' or 'production'",
    "retention_days = 0": "retention_days: must be greater than or equal to 1",
}
WRONG_INSIDE = {
    'leads = "24h"': "leads: must be a list, in square brackets",
    "leads = [24]": "leads: write 24h, 2h or 3d, up to 30d",
    "sender = 3": "sender: must be text, in quotation marks",
    'sender = " "': "sender: must be a name, in one line",
    'sender = "Studio\\u0007Nord"': "sender: must be a name, in one line",
    'sender = "Studio\\nNord"': "sender: must be a name, in one line",
}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        *WRONG.items(),
        *((f'[platforms.a]\nverify_key = "a"\n{text}', f"platforms.a.{told}") for text, told in WRONG_INSIDE.items()),
    ],
)
def test_what_is_wanted_is_said_in_the_words_of_the_settings(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        read(tmp_path / "settings.toml")
    assert str(caught.value) == told


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reminder-worker.toml").write_text(SAMPLE)
    return read()


LOADS: dict[str, Callable[[Settings, Any], object]] = {
    "platforms.clinic.verify_key": lambda chosen, _: opening.load_signers(
        {name: one.verify_key for name, one in chosen.platforms.items()}
    ),
    "platforms.clinic.resolver_secret_file": lambda chosen, ledger: contacts.http.load(
        ledger, SimpleNamespace(), chosen.platforms
    ),
    "platforms.clinic.events_secret_file": lambda chosen, _: events.endpoints(chosen),
    "ops.operators": lambda chosen, ledger: Site(chosen, chosen.ops, ledger),
    "gateway.key_file": lambda chosen, _: choose(chosen, None),
}


@pytest.mark.parametrize("setting", LOADS)
def test_who_cannot_start_without_a_file_names_its_setting(chosen: Settings, setting: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{setting}: gone: ") as caught:
        LOADS[setting](chosen, SimpleNamespace())
    assert caught.value.__suppress_context__


def test_the_doctor_names_it_too(chosen: Settings) -> None:
    found = [one.what for one in (*doctor.check_worker(chosen), *operators.check(chosen))]
    found += [one.what for one in keyring.check_secret("platforms.clinic.events", Path("gone"))]
    for setting in set(LOADS) - {"gateway.key_file"}:
        assert any(what.startswith(f"{setting}: gone: ") for what in found), setting
