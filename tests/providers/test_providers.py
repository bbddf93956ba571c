"""The loader and the reading of settings tables."""

import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from reminder_worker import plugins, providers
from reminder_worker.errors import SettingsError
from reminder_worker.providers import Table, load, read_table
from reminder_worker.providers.outbox import Outbox


class Settings(Table):
    account: str = Field(pattern="^AC", title="AC and 32 hex digits")
    sender: int = Field(alias="from")
    region: str = Field(default="eu", pattern="^eu")


def test_a_provider_is_found_by_the_name_of_its_table(tmp_path: Path) -> None:
    provider = load("outbox", {"path": str(tmp_path / "outbox.jsonl")})
    assert isinstance(provider, Outbox)
    assert provider.name == "outbox"


def test_a_provider_is_found_by_its_type(tmp_path: Path) -> None:
    provider = load("drafts", {"type": "outbox", "path": str(tmp_path / "outbox.jsonl")})
    assert isinstance(provider, Outbox)
    assert provider.name == "drafts"


def test_the_name_of_what_a_test_key_is_played_to_is_taken(tmp_path: Path) -> None:
    """Real reminders that were given to it would reach nobody, and count as delivered."""
    with pytest.raises(SettingsError, match="choose another name"):
        load("rehearsal", {"type": "outbox", "path": str(tmp_path / "outbox.jsonl")})


def test_an_unknown_provider_is_told_which_there_are() -> None:
    with pytest.raises(SettingsError, match=r"providers\.carrier: no such provider; there are: .*outbox.*twilio"):
        load("carrier", {})


def test_a_missing_package_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == "twilio"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "reminder_worker.providers.twilio", raising=False)
    monkeypatch.setitem(sys.modules, "twilio.base.exceptions", None)
    with pytest.raises(SettingsError) as caught:
        load("clinic", {"type": "twilio"})
    assert str(caught.value) == "providers.clinic: run `pip install 'reminder-worker[twilio]'`"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("somebody_elses.module:Provider", "providers.other: run `pip install 'somebody_elses'`"),
        ("reminder_worker_acme:Provider", "providers.other: run `pip install 'reminder_worker_acme'`"),
        ("reminder_worker.no_such_module:Provider", None),
    ],
)
def test_a_plug_in_that_does_not_import_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str | None
) -> None:
    broken = EntryPoint("other", value, providers.ENTRY_POINTS)
    monkeypatch.setattr(plugins, "entry_points", lambda **_: (broken,))
    with pytest.raises(SettingsError if expected else ModuleNotFoundError) as caught:
        load("other", {})
    assert expected is None or str(caught.value) == expected


MADE = (
    "from reminder_worker.providers import Capabilities\n"
    "class Acme:\n name = 'acme'\n def __init__(self, *_): pass\n def prepare(self, _): pass\n"
    " capabilities = Capabilities({can})"
)
BROKEN = {
    "it raises": "raise ValueError('hush')",
    "a name that is not there": "from os import hush",
    "it cannot be read": "def (",
    "it would end the process": "raise SystemExit",
    "it has no such class": "",
    "it is built from a setting that is absent": "def Acme(name, table): table['hush']",
    "it would end the process once it is built": "def Acme(name, table): raise SystemExit",
    "its capabilities are words": MADE.format(can="deduplicates='no'"),
    "its capabilities have no unit": MADE.format(can="settles_within=600"),
    "it has no capabilities": "class Acme:\n name = 'acme'\n def __init__(self, *_): pass\n def prepare(self, _): pass",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_package_that_does_not_work_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "acme_that_fails.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "acme_that_fails", raising=False)
    broken = EntryPoint("acme", "acme_that_fails:Acme", providers.ENTRY_POINTS)
    monkeypatch.setattr(plugins, "entry_points", lambda **_: (broken,))
    with pytest.raises(
        SettingsError, match=r"^providers\.acme: the package acme_that_fails does not work \("
    ) as caught:
        load("acme", {})
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__
    sys.modules.pop("acme_that_fails", None)


def test_a_fault_of_a_provider_of_ours_stays_a_fault_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = EntryPoint("acme", "reminder_worker.providers:NoSuchClass", providers.ENTRY_POINTS)
    monkeypatch.setattr(plugins, "entry_points", lambda **_: (ours,))
    with pytest.raises(AttributeError):
        load("acme", {})


@pytest.mark.parametrize("second", ["reminder_worker.providers.outbox:Outbox", "theirs:Outbox"])
def test_of_two_packages_under_one_name_none_is_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, second: str
) -> None:
    """One that is installed twice, as a checkout may be, is one."""
    values = "reminder_worker.providers.outbox:Outbox", second
    found = tuple(EntryPoint("outbox", value, providers.ENTRY_POINTS) for value in values)
    monkeypatch.setattr(plugins, "entry_points", lambda **_: found)
    if second == values[0]:
        assert load("outbox", {"path": str(tmp_path / "outbox.jsonl")}).name == "outbox"
        return
    with pytest.raises(SettingsError, match="several packages say that they are outbox: reminder_worker, theirs;"):
        load("outbox", {"path": str(tmp_path / "outbox.jsonl")})


def test_a_wrong_table_names_every_setting_and_shows_no_value() -> None:
    with pytest.raises(SettingsError) as caught:
        read_table(Settings, "carrier", {"account": "secret-1", "from": "secret-2", "token": "secret-3"})
    message = str(caught.value)
    assert "secret" not in message
    assert all(f"providers.carrier.{name}: " in message for name in ("account", "from", "token"))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_table_that_is_read_in_another_way_shows_no_value_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"account": "secret-1", "from": 5})
    assert "secret" not in str(caught.value)


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^providers\.carrier\.from: is needed$"):
        read_table(Settings, "carrier", {"account": "AC1"})


def test_a_wrong_setting_is_told_what_is_wanted_and_a_misspelt_one_which_is_meant() -> None:
    with pytest.raises(SettingsError) as caught:
        read_table(Settings, "carrier", {"account": "x", "from": 1, "region": "x", "acount": "x", "form": 1})
    assert str(caught.value).split("; providers.") == [
        "providers.carrier.account: must be AC and 32 hex digits",
        "carrier.region: is written otherwise than this setting has to be",
        "carrier.acount: there is no such setting; did you mean account?",
        "carrier.form: there is no such setting; did you mean from?",
    ]


@pytest.mark.parametrize("name", sorted(entry_points(group=providers.ENTRY_POINTS).names))
def test_each_pattern_of_ours_has_words_that_say_what_is_wanted(name: str) -> None:
    module = sys.modules[entry_points(group=providers.ENTRY_POINTS)[name].load().__module__]
    models = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Table)]
    fields = {own: field for model in models for own, field in model.model_fields.items()}
    patterns = {own for own, field in fields.items() if any(getattr(part, "pattern", 0) for part in field.metadata)}
    assert {own for own in patterns if not fields[own].title} <= {"host", "system_type", "service_type"}


def test_the_modules_of_providers_are_loaded_only_when_they_are_used() -> None:
    program = "import sys, reminder_worker.providers; print([name for name in sys.modules if 'twilio' in name])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
