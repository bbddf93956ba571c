"""Which installed package a settings table means, and what is reported if that package does not work.

The package is a third party's program, so its own words are not repeated: they may quote a secret. Nor may it end ours:
a check that ends halfway with success would be taken for one that found nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from reminder_worker.errors import SettingsError
from reminder_worker.logs import OURS, raised


def find(group: str, where: str, name: str) -> EntryPoint:
    """Return the plug-in of that name. Raises SettingsError if there is none, or it is unclear which one is meant."""
    found = tuple(entry_points(group=group, name=name))
    if not found:
        known = ", ".join(sorted(entry_points(group=group).names))
        raise SettingsError(f"{where}: no such provider; there are: {known}")
    if len({one.value for one in found}) > 1:  # chance decides which comes first, and it is given numbers and texts
        packages = ", ".join(sorted({_distribution(one) for one in found}))
        raise SettingsError(f"{where}: several packages say that they are {name}: {packages}; uninstall all but one")
    return found[0]


@contextmanager
def told(plug_in: EntryPoint, where: str) -> Iterator[None]:
    """Report whose fault it is if a plug-in cannot be loaded and built. Raises SettingsError."""
    try:
        yield
    except SettingsError:
        raise
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == OURS:
            raise  # ours to mend, not the operator's
        raise SettingsError(f"{where}: run `pip install '{_package(plug_in)}'`") from None
    except (Exception, SystemExit) as error:
        if plug_in.module.startswith(f"{OURS}."):
            raise
        what = f"{type(error).__name__} at {raised(error.__traceback__)}"
        package = _distribution(plug_in)
        raise SettingsError(f"{where}: the package {package} does not work ({what}); ask whoever made it") from None


def fits(made: object, kind: type[Any]) -> bool:
    """Tell whether ``made`` is of that kind and each value of its default's type: else it would fail when needed.

    `deduplicates = "no"` would even count as a yes.
    """
    alike = (isinstance(getattr(made, one.name), type(one.default)) for one in fields(kind))
    return isinstance(made, kind) and all(alike)


def _distribution(plug_in: EntryPoint) -> str:
    return plug_in.module.partition(".")[0] if plug_in.dist is None else plug_in.dist.name


def _package(plug_in: EntryPoint) -> str:
    """Name what to install so that a plug-in has all it imports: its package, with any extra of the same name."""
    extras = plug_in.dist.metadata.get_all("Provides-Extra") or () if plug_in.dist is not None else ()
    package = _distribution(plug_in)
    return f"{package}[{plug_in.name}]" if plug_in.name in extras else package
