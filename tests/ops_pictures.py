"""Takes the pictures of docs/operator-page.md: ``python -m tests.ops_pictures [FOLDER]``."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import chromium
import opspage

from reminder_worker import store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.schedule import Schedule

FOLDER = Path(__file__).parents[1] / "docs" / "images"
SHOTS = {"ops-phone-light": (chromium.PHONE, "light"), "ops-desktop-dark": (chromium.DESKTOP, "dark")}
MORE = {"ops-phone-dark": (chromium.PHONE, "dark"), "ops-desktop-light": (chromium.DESKTOP, "light")}


def main(folder: Path) -> None:
    """Fill a ledger, and look at the page and at a decision."""
    shots = SHOTS if folder == FOLDER else SHOTS | MORE
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name) / "store") as server:
        schedule = Schedule(store.connect(server.url()))
        opspage.a_day(schedule)
        with opspage.opened(schedule, Path(name)) as visitor, chromium.browser() as browser:
            for shot, (viewport, scheme) in shots.items():
                with chromium.Page(browser, visitor.port, viewport=viewport, color_scheme=scheme) as page:
                    page.log_in()
                    page.live()
                    chromium.picture(page, folder / f"{shot}.png", 2400 if viewport == chromium.DESKTOP else 1500)
                    if viewport == chromium.DESKTOP:
                        continue
                    page.tab.click("text=Send again")
                    page.tab.wait_for_url("**/resend")
                    chromium.picture(page, folder / f"{shot}-confirm.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
