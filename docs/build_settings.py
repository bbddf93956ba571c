"""Writes the tables of settings into the pages, out of the classes that read them: ``python docs/build_settings.py``.

What stands between ``<!-- settings: NAME -->`` and ``<!-- end -->`` comes from here, all else on a page is written by
hand. What a value is, in people's words, is the ``title`` of its field where the type does not tell; words for a
default that is computed are the field's too.
"""
# ruff: noqa: INP001, T201 - a script beside the pages

import re
import sys
from collections.abc import Iterator, Mapping
from enum import EnumType
from importlib.metadata import entry_points
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from reminder_worker.mistakes import inside
from reminder_worker.options import Options
from reminder_worker.providers import ENTRY_POINTS, Table

NUMBERS = {int: "whole number", float: "number"}
COMMAS_FROM = 10_000
DOCS = Path(__file__).parent
BLOCK = re.compile(r"(<!-- settings: (\S+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
HEAD = "| setting | value | default | meaning |\n|---|---|---|---|\n"


def pages() -> dict[Path, str]:
    """Return the pages with markers as they have to be. Raises SystemExit where a name has no place, or two."""
    words, places, found = tables(), [], {}
    for page in sorted([DOCS / "settings.md", DOCS / "providers.md", *DOCS.glob("providers/*.md")]):
        text = page.read_text("utf-8")
        places += [block[2] for block in BLOCK.finditer(text)]
        found[page] = BLOCK.sub(lambda block: block[1] + words.get(block[2], ""), text)
    if sorted(places) != sorted(words):
        wrong = sorted(set(words) ^ set(places)) or "names that stand twice"
        raise SystemExit(f"error: <!-- settings: NAME --> and <!-- end --> have to be on one page each, for {wrong}")
    return found


def tables() -> dict[str, str]:
    """Return what has to stand between the markers of each name."""
    return {"all": table(Options.model_fields) + "".join(sections())} | {
        name: table(own(model)) for name, model in providers().items()
    }


def providers() -> dict[str, type[Table]]:
    """Return the class that reads the table of each provider here."""
    found = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        if point.module.startswith("reminder_worker."):
            classes = [some for some in vars(sys.modules[point.load().__module__]).values() if isinstance(some, type)]
            (found[point.name],) = (some for some in classes if issubclass(some, Table) and some is not Table)
    return found


def own(model: type[Table]) -> dict[str, FieldInfo]:
    """Return what is set for one provider only, or means something of its own there."""
    common = {name: field.description for name, field in Table.model_fields.items()}
    return {name: field for name, field in model.model_fields.items() if common.get(name, "") != field.description}


def sections() -> Iterator[str]:
    """Yield a part of the page for each table inside the settings."""
    for name, field in Options.model_fields.items():
        model = Table if name == "providers" else inside(field.annotation)
        if model is not None:
            title = {dict: f"[{name}.NAME]", list: f"[[{name}]]"}.get(get_origin(field.annotation), f"[{name}]")
            words = (model.__doc__ or "").splitlines()[0].replace("``", "`")
            yield f"\n## {title}\n\n{words}\n\n{table(model.model_fields)}"
        if name == "providers":
            yield "\nAnd what each has of its own, explained on its page:\n\n| provider | settings |\n|---|---|\n"
            yield from map(listed, *zip(*providers().items(), strict=True))


def listed(name: str, model: type[Table]) -> str:
    """Return a line on one provider, with where its own settings are explained."""
    page = f"providers/{name}.md"
    page = page if (DOCS / page).exists() else f"providers.md#{name}"
    return f"| [{name}]({page}) | {', '.join(f'`{key}`' for key, _ in flat(own(model)) if '.' not in key)} |\n"


def flat(fields: Mapping[str, FieldInfo], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield settings with their names in TOML; those of a provider's table in a table come after it."""
    for key, field in fields.items():
        name = before + (field.alias or key)
        yield name, field
        model = inside(field.annotation)
        if model is not None and fields is not Options.model_fields:
            yield from flat(model.model_fields, f"{name}.")


def table(fields: Mapping[str, FieldInfo]) -> str:
    """Return settings as a table. Raises SystemExit where one says too little."""
    lines = [HEAD]
    for name, field in flat(fields):
        cells = [value(field.annotation, name, field), default(field), field.description]
        if not all(cells):
            raise SystemExit(f"error: {name}: needs Field(description=…), and a title= where its type says too little")
        lines.append(" | ".join([f"| `{name}`", *(str(cell).replace("|", "\\|") for cell in cells)]) + " |\n")
    return "".join(lines)


def value(kind: Any, name: str, field: FieldInfo) -> str:
    """Say what may be written for a setting; nothing where that takes words of its own."""
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        titles = [part.title for part in parts if isinstance(part, FieldInfo) and part.title]
        return field.title or next(iter(titles), "") or value(parts[0], name, field)
    if get_origin(kind) is Literal or isinstance(kind, EnumType):
        return field.title or either([f"`{choice}`" for choice in parts or kind])
    if kind in NUMBERS:
        return field.title or NUMBERS[kind] + bounds(field)
    alone = [part for part in parts if part is not NoneType]
    if len(alone) == 1 < len(parts):
        return value(alone[0], name, field)
    words = {bool: "`true` or `false`", Path: "file", str: "URL" if name.endswith("url") else "text"}
    return field.title or words.get(kind, "")


def bounds(field: FieldInfo) -> str:
    """Say from where to where a number may be."""
    found = {word: getattr(part, word) for part in field.metadata for word in ("ge", "gt", "le") if hasattr(part, word)}
    most = figure(found["le"]) if "le" in found else ""
    if "ge" in found:
        return f", {found['ge']} to {most}" if most else f", {found['ge']} or more"
    return f", over {found.get('gt')}" * ("gt" in found) + f", up to {most}" * bool(most)


def figure(number: float) -> str:
    """Write a number; a port's has no comma."""
    return f"{number:,.12g}" if number >= COMMAS_FROM else f"{number:g}"


def either(words: list[str]) -> str:
    """Join words by commas and an "or"."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def default(field: FieldInfo) -> str:
    """Say what a setting is where nobody sets it."""
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["default"])
    if field.is_required():
        return "needed"
    set_to = field.get_default(call_default_factory=True, validated_data={})
    if set_to is None or set_to in ("", [], {}):
        return "none"
    if isinstance(set_to, bool | float | int):
        return f"`{str(set_to).lower()}`" if isinstance(set_to, bool) else figure(set_to)
    return f"`{set_to}`"


def main() -> None:
    """Write the pages that are not as they have to be, and say which."""
    for page, text in pages().items():
        if text != page.read_text("utf-8"):
            page.write_text(text, "utf-8")
            print(page.relative_to(DOCS))


if __name__ == "__main__":
    main()
