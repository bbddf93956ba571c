"""Every provider that is registered keeps the promises; one without a case fails here."""

import importlib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from reminder_worker.providers import ENTRY_POINTS
from reminder_worker.testing import ProviderContract

OURS = sorted(distribution("reminder-worker").entry_points.select(group=ENTRY_POINTS).names)


def cases(name: str) -> list[type]:
    """Return the contract's cases for a provider, from the test module of its name."""
    if not Path(__file__).with_name(f"test_{name}.py").exists():
        return []
    module = importlib.import_module(f"providers.test_{name}")
    known = [
        thing for thing in vars(module).values() if isinstance(thing, type) and issubclass(thing, ProviderContract)
    ]
    return [case for case in known if case is not ProviderContract and getattr(case, "plug_in", None) == name]


def test_there_are_as_many_as_the_documentation_says() -> None:
    pages = Path(__file__).parents[2] / "docs" / "providers"
    assert {path.stem for path in pages.glob("*.md")} == set(OURS) - {"outbox", "twilio"}


@pytest.mark.parametrize("name", OURS)
def test_a_registered_provider_has_a_case(name: str) -> None:
    assert cases(name), f"subclass ProviderContract in tests/providers/test_{name}.py"


def test_a_provider_without_a_case_would_be_seen() -> None:
    assert cases("carrier_pigeon") == []
