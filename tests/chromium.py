"""Debian's Chromium, driven by Playwright, and axe; tests that want them skip where they are not."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from javascript import MODULES
from opspage import NAME, PASSWORD

AXE = MODULES / "axe-core" / "axe.min.js"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
KINDS = {"error", "warning"}  # of what a page says to its console


def program() -> str:
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Run a browser."""
    path = program()
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield started
        finally:
            started.close()


class Page:
    """One tab, and what it complained about."""

    def __init__(self, browser: Any, port: int, **options: Any) -> None:
        self.context = browser.new_context(base_url=f"http://127.0.0.1:{port}", **options)
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        self.tab.on("console", lambda said: self.complaints.append(said.text) if said.type in KINDS else None)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        assert (
            kind is not None or self.complaints == []
        )  # of a script, a style or an address that the policy forbids too

    def scrolls(self) -> bool:
        """Tell whether the page is wider than the screen."""
        return bool(self.tab.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def log_in(self) -> None:
        self.tab.goto("/ops")
        self.tab.fill("#name", NAME)
        self.tab.fill("#password", PASSWORD)
        self.tab.press("#password", "Enter")
        self.tab.wait_for_url("**/ops")

    def live(self) -> None:
        """Wait until it is told of changes."""
        self.tab.wait_for_selector("#live[data-state=on]")

    def violations(self) -> list[str]:
        """Ask axe what somebody could not read or reach."""
        if not AXE.is_file():
            pytest.skip("axe-core is not installed in tests/node or $TEST_NODE_MODULES")
        self.tab.evaluate(AXE.read_text())  # as a debugger does: the page's policy allows no script of others
        found = self.tab.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [f"{one['id']}: {node['html'][:120]}" for one in found["violations"] for node in one["nodes"]]


def picture(page: Page, file: Path, most: int = 2400) -> None:
    """Take a picture of a page from its top, but for what is further down than so many pixels."""
    height = min(most, page.tab.evaluate("document.documentElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": page.tab.viewport_size["width"], "height": height}
    page.tab.screenshot(path=str(file), full_page=True, clip=clip)
