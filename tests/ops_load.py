"""Watches the operator's page while reminders are sent, and says what that cost: ``python -m tests.ops_load``.

Real processes on this machine, the outbox as provider; prints how fast the page appears, how large events are, and how
much of a core the page's own process takes, with somebody watching and with nobody.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import chromium
import practice
from opspage import Browser, settings

from reminder_worker import status, store
from reminder_worker.client import Appointment
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ports import free_port
from reminder_worker.schedule import Schedule

SETTINGS = """\
store_url = "{store}"
keys = "keys"
phone_daily_cap = 100
[platforms.clinic]
verify_key = "keys/clinic.pub"
daily_cap = 1000000
[providers.outbox]
path = "outbox.jsonl"
[ops]
operators = "operators.json"
"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
LATE = 300.0  # seconds


def cpu(pid: int) -> float:
    """Return how many seconds of a core a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def processes(folder: Path, port: int) -> Iterator[int]:
    """Run all that it takes; yield the page's own process."""
    kinds = ["ops", "--port", str(port)], ["scheduler"], ["worker", "--processes", "2"]
    with (folder / "log").open("wb") as log:
        started = [
            subprocess.Popen([sys.executable, "-m", "reminder_worker.cli", *words], cwd=folder, stdout=log, stderr=log)
            for words in kinds
        ]
    try:
        yield started[0].pid
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


def hand_in(schedule: Schedule, folder: Path, count: int, window: float) -> None:
    """Have so many reminders fall due within so many seconds from now."""
    client = practice.make(schedule, folder / "keys")
    now = datetime.now(UTC).replace(microsecond=0)
    for start in range(0, count, 500):
        batch = []
        for number in range(start, min(start + 500, count)):
            due = now + timedelta(seconds=15 + window * number / count)
            fields = practice.fields(f"A-{number}", phone=f"+336{number:08d}", leads=["2h"])
            batch.append(Appointment.parse(fields | {"time": (due + timedelta(hours=2)).isoformat(timespec="seconds")}))
        client.add(batch)


def watch(page: chromium.Page, schedule: Schedule, pid: int, count: int) -> dict[str, object]:
    """Watch until all is sent; return what was measured."""
    began, taken = time.monotonic(), cpu(pid)
    while status.read(schedule).ended.get("sent", 0) < count:
        page.tab.wait_for_timeout(500)
        if time.monotonic() - began > LATE:
            break
    seconds = time.monotonic() - began
    return {
        "sent": status.read(schedule).ended.get("sent", 0),
        "seconds": round(seconds, 1),
        "core_watched_percent": round(100 * (cpu(pid) - taken) / seconds, 1),
    }


def main() -> None:
    """Measure once and print one object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reminders", type=int, default=20_000)
    parser.add_argument("--window", type=float, default=60.0, help="seconds within which they fall due")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name) / "store") as server:
        folder, port = Path(name), free_port()
        settings(folder)
        (folder / "reminder-worker.toml").write_text(SETTINGS.format(store=server.url()))
        schedule = Schedule(store.connect(server.url()))
        practice.make_keys(folder / "keys")
        with processes(folder, port) as pid, chromium.browser() as browser:
            visitor = Browser(port)
            while True:
                with contextlib.suppress(OSError):
                    assert visitor.ask("/livez")[0] == 200
                    break
                time.sleep(0.1)
            print(json.dumps(measure(browser, port, folder, schedule, pid, chosen)))


def measure(
    browser: object, port: int, folder: Path, schedule: Schedule, pid: int, chosen: argparse.Namespace
) -> dict[str, object]:
    """Open the page, hand in, and watch."""
    with chromium.Page(browser, port, viewport=chromium.DESKTOP) as page:
        events: list[int] = []
        line = page.context.new_cdp_session(page.tab)
        line.send("Network.enable")
        line.on("Network.eventSourceMessageReceived", lambda said: events.append(len(said["data"])))
        page.log_in()
        page.live()
        hand_in(schedule, folder, chosen.reminders, chosen.window)
        measured = watch(page, schedule, pid, chosen.reminders)
        page.tab.reload()
        page.live()
        paint = page.tab.evaluate(PAINT)
        size = len(page.tab.content())
    quiet = cpu(pid)
    time.sleep(10)
    return measured | {
        "events": len(events),
        "event_bytes_median": sorted(events)[len(events) // 2],
        "event_bytes_largest": max(events),
        "page_bytes": size,
        "first_paint_ms": round(paint),
        "core_unwatched_percent": round(100 * (cpu(pid) - quiet) / 10, 1),
    }


if __name__ == "__main__":
    main()
