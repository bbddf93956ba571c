"""What is wrong with settings, in words that say what is wanted; pydantic's own show how its check is written.

No message contains a value.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import AfterValidator, BaseModel

from reminder_worker.errors import SettingsError

_NEAR = 0.7  # how similar two names have to be
_SAID = {
    "missing": "is needed",
    "string_pattern_mismatch": "is written otherwise than this setting has to be",
    "string_type": "must be text, in quotation marks",
    "path_type": "must be a path, in quotation marks",
    "list_type": "must be a list, in square brackets",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("dict_type", "model_type"), "must be a table"),
}


def like(pattern: str, wanted: str) -> AfterValidator:
    """Refuse a value that does not match the whole pattern, and say what is wanted."""
    whole = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if whole.fullmatch(value) is None:
            raise ValueError(f"must be {wanted}")
        return value

    return AfterValidator(check)


def told(errors: Sequence[Any], model: type[BaseModel], before: str = "") -> str:
    """Name each setting that pydantic found wrong, with ``before`` in front, and say what is wrong with it."""
    lines = []
    for error in errors:
        where = ".".join([before] * bool(before) + [str(part) for part in error["loc"]])
        lines.append(f"{where}: {_what(error, model)}" if where else _what(error, model))
    return "; ".join(lines)


def _what(error: Any, model: type[BaseModel]) -> str:
    """Say what is wrong; if a pattern does not match, the title of its setting says what is wanted."""
    for part in error["loc"][:-1]:
        known = {field.alias or name: field for name, field in model.model_fields.items()}
        model = (inside(known[part].annotation) if part in known else None) or model
    titles = {field.alias or name: field.title for name, field in model.model_fields.items()}
    kind, name = error["type"], ".".join(map(str, error["loc"][-1:]))
    if kind == "extra_forbidden":
        return unknown(name, titles)
    if kind == "string_pattern_mismatch" and titles.get(name):
        return f"must be {titles[name]}"
    return _SAID.get(kind) or str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be", 1)


def inside(annotation: Any) -> type[BaseModel] | None:
    """Return the class of the table that a setting holds, alone or within other types."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(inside, get_args(annotation))), None)


def unknown(name: str, known: Iterable[str], written: str = "{}") -> str:
    """Say that there is no such setting, and suggest one that may be meant, in the form ``written``."""
    near = get_close_matches(name, known, 1, _NEAR)
    return "there is no such setting" + "".join(f"; did you mean {written.format(one)}?" for one in near)


@contextmanager
def named(setting: str) -> Iterator[None]:
    """Put the setting that names a file in front of what is wrong with the file. Raises SettingsError."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"{setting}: {error}") from None
