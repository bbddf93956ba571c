"""Take the pictures in docs/images: python -m examples.booking.screenshots. Needs Chromium and playwright."""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from examples.booking.installation import ROOT, Installation

FOLDER = ROOT / "docs/images"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PATIENT = {"#name": "Camille Morel", "#reason": "Suite de la chimiothérapie", "#number": "06 12 34 56 78"}


class Camera:
    def __init__(self, browser, folder: Path):
        self._browser = browser
        self._folder = folder

    def open(self, url, screen, *, scheme="light", locale="en-GB"):
        context = self._browser.new_context(viewport=screen, color_scheme=scheme, locale=locale)
        page = context.new_page()
        page.goto(url)
        return page

    def take(self, page, name, **options):
        page.screenshot(path=self._folder / f"example-{name}.png", **options)


def take_all(booking, camera):
    site = booking.addresses["site"]
    patient = camera.open(site, PHONE, locale="fr-FR")
    patient.locator("[name=slot]").nth(2).check(force=True)
    for field, text in PATIENT.items():
        patient.fill(field, text)
    camera.take(patient, "book", full_page=True)
    patient.click("button.main")
    patient.get_by_text("Rappel envoyé").wait_for(timeout=60_000)
    camera.take(patient, "appointment", full_page=True)
    practice = camera.open(f"{site}/practice", PHONE, scheme="dark")
    practice.set_input_files("#file", booking.key_file)
    practice.click("#opening button")
    practice.locator(".visit").first.wait_for()
    camera.take(practice, "practice", full_page=True)
    id_ = patient.url.partition("#")[2].partition(".")[0]
    for scheme in ("light", "dark"):
        watch = camera.open(f"{booking.addresses['watch']}/#{id_}", DESKTOP, scheme=scheme)
        watch.locator("#phone p").first.wait_for()
        watch.fill("#text", PATIENT["#number"])
        watch.click("#searching button")
        watch.locator("#found li").nth(4).wait_for()
        watch.mouse.click(1, 1)
        camera.take(watch, f"watch-{scheme}", full_page=True)


def main():
    FOLDER.mkdir(exist_ok=True)
    with Installation() as booking, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take_all(booking, Camera(browser, FOLDER))
        browser.close()


if __name__ == "__main__":
    main()
