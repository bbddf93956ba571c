"""Write HTML pages, parts of one, and the files beside it, each with the headers that confine it.

Everything comes from this machine. No page holds a script or a style: one that was injected would do nothing.
"""

import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from reminder_worker.ops import phrases, views

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a browser would not say which site its form is from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ASSETS = "/ops/assets/"
KINDS = {"ops.css": "text/css", "ops.js": "text/javascript", "icon.svg": "image/svg+xml"}
WORDS = {
    "buttons": phrases.BUTTONS,
    "meanings": phrases.MEANINGS,
    "kinds": phrases.KINDS,
    "groups": tuple(views.GROUPS),
    "choices": views.choices,
}
FOREVER = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}  # other content has another name


class Pages:
    """The templates and what they refer to."""

    def __init__(self) -> None:
        folder = files("reminder_worker.ops") / "assets"
        self._assets = {name: (folder / name).read_bytes() for name in KINDS}
        self._names = {_named(name, content): name for name, content in self._assets.items()}
        self._templates = Environment(
            loader=PackageLoader("reminder_worker.ops", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= phrases.FILTERS
        self._templates.globals |= WORDS
        self._templates.globals["asset"] = {name: ASSETS + shown for shown, name in self._names.items()}

    def part(self, name: str, **context: Any) -> str:
        """Write one part of the page."""
        return self._templates.get_template(f"parts/{name}.html").render(context)

    def page(self, name: str, status: int = 200, headers: dict[str, str] | None = None, **context: Any) -> Response:
        """Write a page."""
        text = self._templates.get_template(f"{name}.html").render(context)
        return Response(text, status, HEADERS | (headers or {}), "text/html; charset=utf-8")

    def asset(self, shown: str) -> Response:
        """Return a file beside the pages; its name depends on its content."""
        name = self._names.get(shown)
        if name is None:
            return Response(status_code=404, headers=HEADERS)
        return Response(self._assets[name], headers=FOREVER, media_type=KINDS[name])


def elsewhere(path: str) -> Response:
    """Redirect to another of our pages."""
    return Response(status_code=303, headers=HEADERS | {"Location": path})


def _named(name: str, content: bytes) -> str:
    stem, _, ending = name.partition(".")
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
