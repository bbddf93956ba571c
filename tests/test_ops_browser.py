"""The operator's page in a real Chromium: logging in, watching, deciding; on a phone, by keyboard, and read aloud."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import practice
import pytest
from chromium import DESKTOP, PHONE, Page
from opspage import NAME, Browser, a_day, opened, wait_as

from reminder_worker import acts, decisions
from reminder_worker.client import Appointment
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ops import operators
from reminder_worker.schedule import Schedule

SCREENS = [(PHONE, "light"), (PHONE, "dark"), (DESKTOP, "light"), (DESKTOP, "dark")]
NAMES = [f"{screen['width']}-{scheme}" for screen, scheme in SCREENS]
TARGETS = """[...document.querySelectorAll("a, button, input, summary")]
  .filter((one) => one.getClientRects().length)
  .map((one) => [one.textContent.trim(), one.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < 44 || height < 44)
  .map(([name]) => name)"""


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with chromium.browser() as running:
        yield running


@pytest.fixture
def served(schedule: Schedule, tmp_path: Path) -> Iterator[Browser]:
    with opened(schedule, tmp_path) as found:
        yield found


@pytest.fixture
def page(chrome: Any, served: Browser) -> Iterator[Page]:
    with Page(chrome, served.port, viewport=DESKTOP) as found:
        yield found


def focused(page: Page) -> str:
    return str(page.tab.evaluate("document.activeElement.textContent.trim().replace(/\\s+/g, ' ')"))


def tab_to(page: Page, text: str) -> None:
    """Press the tabulator until something is reached."""
    for _ in range(40):
        page.tab.keyboard.press("Tab")
        if focused(page).startswith(text):
            return
    pytest.fail(f"the keyboard does not reach {text}")


# What it takes to read and reach it.


@pytest.mark.parametrize(("screen", "scheme"), SCREENS, ids=NAMES)
def test_nothing_is_out_of_reach_or_hard_to_read(
    chrome: Any, served: Browser, schedule: Schedule, screen: dict[str, int], scheme: str
) -> None:
    a_day(schedule)
    with Page(chrome, served.port, viewport=screen, color_scheme=scheme) as page:
        page.tab.goto("/ops")
        looks = [("login", page.violations(), page.scrolls(), page.tab.evaluate(TARGETS))]
        page.log_in()
        page.live()
        looks.append(("page", page.violations(), page.scrolls(), page.tab.evaluate(TARGETS)))
        page.tab.click("summary")
        looks.append(("table", page.violations(), page.scrolls(), page.tab.evaluate(TARGETS)))
        page.tab.click("text=Send again")
        page.tab.wait_for_url("**/resend")
        looks.append(("confirm", page.violations(), page.scrolls(), page.tab.evaluate(TARGETS)))
    assert looks == [(name, [], False, []) for name in ("login", "page", "table", "confirm")]


def test_dark_and_light_are_both_there(chrome: Any, served: Browser) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with Page(chrome, served.port, color_scheme=scheme) as page:
            page.tab.goto("/ops")
            grounds.append(page.tab.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert grounds == ["rgb(251, 251, 248)", "rgb(19, 22, 21)"]


def test_without_scripts_everything_is_there_and_can_be_decided(
    chrome: Any, served: Browser, schedule: Schedule
) -> None:
    a_day(schedule)
    with Page(chrome, served.port, java_script_enabled=False, viewport=PHONE) as page:
        page.log_in()
        assert page.tab.text_content("#live") == "Reload for newer numbers"
        assert page.tab.locator("#ahead rect").count() == 12
        assert page.tab.locator("#outcomes rect").count() > 300
        page.tab.click("text=Retry")
        page.tab.click("button:has-text('Retry')")
        assert page.tab.text_content("#said") == "Retry: Done, and noted with your name."
    assert [(one.what, one.sudo_user) for one in acts.read(schedule)] == [("retry", NAME), ("find", "grace")]


def test_a_decision_is_made_by_keyboard_alone(page: Page, schedule: Schedule) -> None:
    name = decisions.name_of(wait_as(schedule, "unknown", 7))
    page.tab.goto("/ops")
    page.tab.keyboard.type(NAME)  # the first field has the focus
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.type(chromium.PASSWORD)
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_url("**/ops")
    page.live()
    tab_to(page, "Was sent")
    outline = page.tab.evaluate("getComputedStyle(document.activeElement).outline")
    assert "3px" in outline
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_url(f"**/ops/decisions/{name}/sent")
    tab_to(page, "Was sent")
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_url("**/ops?answer=done&decision=sent#said")
    page.tab.wait_for_function("() => document.activeElement.id === 'said'")
    assert focused(page) == "Was sent: Done, and noted with your name."
    assert "No reminder is waiting" in page.tab.text_content("#decide")
    assert [(one.what, one.reminder, one.sudo_user) for one in acts.read(schedule)] == [("sent", name, NAME)]


# What comes as it happens.


def test_what_is_delivered_is_seen_at_once(
    chrome: Any, served: Browser, schedule: Schedule, server: EmbeddedServer, tmp_path: Path
) -> None:
    client = practice.make(schedule, tmp_path / "keys")
    (tmp_path / "reminder-worker.toml").write_text(
        f'store_url = "{server.url()}"\n[platforms.{practice.NAME}]\nverify_key = "keys/{practice.NAME}.pub"\n'
        '[providers.outbox]\npath = "outbox.jsonl"\n'
    )
    with Page(chrome, served.port, viewport=DESKTOP) as page, (tmp_path / "log").open("wb") as log:
        page.log_in()
        page.live()
        assert "No worker process is running" in page.tab.text_content("#alerts")
        page.tab.evaluate("window.loadedOnce = true")
        command = [sys.executable, "-m", "reminder_worker.cli"]
        running = [
            subprocess.Popen([*command, kind], cwd=tmp_path, stdout=log, stderr=log) for kind in ("scheduler", "worker")
        ]
        try:
            page.tab.wait_for_selector("#alerts :text('Nothing needs attention.')")
            client.add([Appointment.parse(practice.due_now(f"A-{number}")) for number in range(5)])
            page.tab.wait_for_selector("#outcomes article:has-text('outbox') tr:has-text('sent') td:text-is('5')")
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)
        assert page.tab.evaluate("window.loadedOnce")


def test_what_changes_leaves_focus_scroll_and_open_tables_alone(page: Page, schedule: Schedule) -> None:
    for number in range(1, 9):
        wait_as(schedule, "unknown", number)
    page.log_in()
    page.live()
    page.tab.click("summary")
    link = page.tab.locator("#decide tr", has_text=decisions.waiting(schedule)[5].name).locator("text=Drop")
    link.focus()
    before = page.tab.evaluate("[scrollY, document.activeElement.href]")
    assert before[0] > 0
    decisions.decide(schedule, decisions.waiting(schedule)[7], decisions.Decision.SENT, acts.Who("bob"))
    page.tab.wait_for_selector("#acts :text('bob')")
    assert page.tab.locator("#decide tbody tr").count() == 7
    assert page.tab.evaluate("[scrollY, document.activeElement.href]") == before
    assert page.tab.evaluate("document.querySelector('details').open")


def test_who_holds_what_is_gone_is_led_to_the_heading(page: Page, schedule: Schedule) -> None:
    wait_as(schedule, "unknown", 1)
    wait_as(schedule, "unknown", 2)
    page.log_in()
    page.live()
    page.tab.locator("#decide tbody tr").first.locator("text=Drop").focus()
    decisions.decide(schedule, decisions.waiting(schedule)[0], decisions.Decision.SENT, acts.Who("bob"))
    page.tab.wait_for_function("() => document.querySelectorAll('#decide tbody tr').length === 1")
    assert focused(page) == "To decide"


def test_only_what_is_important_is_read_aloud(page: Page, schedule: Schedule) -> None:
    page.log_in()
    page.live()
    page.tab.evaluate("""window.read = [];
      new MutationObserver(() => read.push(document.getElementById("news").textContent))
        .observe(document.getElementById("news"), { childList: true, characterData: true, subtree: true })""")
    regions = page.tab.evaluate(
        "[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map(x => x.id)"
    )
    assert regions == ["news"]
    before = page.tab.text_content("#alerts time")
    page.tab.wait_for_function("(was) => document.querySelector('#alerts time').textContent !== was", arg=before)
    assert page.tab.evaluate("read") == []
    wait_as(schedule, "dead_letter", 1)
    page.tab.wait_for_function("() => read.length")
    assert page.tab.evaluate("read") == ["1 more dead letter."]


def test_who_is_logged_out_is_told(page: Page, tmp_path: Path) -> None:
    page.log_in()
    page.live()
    (tmp_path / operators.FILE).write_text("[]")
    page.tab.wait_for_selector("#live[data-state=over]")
    assert page.tab.text_content("#live") == "Not live: log in again"


def test_the_policy_is_in_force(page: Page) -> None:
    page.tab.goto("/ops/login")
    page.tab.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.hacked = 1";
      document.body.append(script);
      document.querySelector("h1").setAttribute("style", "color: red");
    }""")
    assert page.tab.evaluate("window.hacked ?? 0") == 0
    assert page.tab.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(255, 0, 0)"
    assert len(page.complaints) == 2
    assert all("Content Security Policy" in one for one in page.complaints)
    page.complaints.clear()
