"""Break one thing after another in running installations, and look which alerts a real Prometheus fires, and when.

    python -m tests.faults.alarms --healthy --minutes 60 --reminders 20000
    python -m tests.faults.alarms --faults
    python -m tests.faults.alarms --faults --only "web dead"

Each installation has a scheduler, a worker of two processes, web and hooks, a Valkey with its append-only file, a
provider with receipts, and a Prometheus that asks every five seconds and has ``ops/alerts.yml``. Several stand side by
side, so that all faults fit into the time of the longest, 80 minutes. With ``--record`` what Prometheus saw is
written to ``tests/data/alarms``, where ``tests/test_alerts.py`` plays it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from .mishaps import LANES, Mishap
from .prometheus import ALERTS, EVERY, Prometheus, wait_for
from .station import KINDS, Station

RULES = {rule["alert"]: rule for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]}
NAMES = {name for rule in RULES.values() for name in re.findall(r"\breminder_\w+", rule["expr"])}
RECORDINGS = Path(__file__).parents[1] / "data" / "alarms"
UNITS = {"s": 1, "m": 60, "h": 3600}
LAG = 2 * EVERY + 5.0  # seconds: a scrape, a look at the rules, and whoever runs them is busy
STEADY = 15.0  # seconds that a fault stays after its alerts have told
RATE = 1.0  # reminders a second
BURST = 1500  # reminders at a quarter of an hour, in the healthy hour
HEALTHY = "healthy hour"


def lasts(alert: str) -> float:
    """Return a rule's ``for``, in seconds."""
    text = str(RULES[alert].get("for", "0s"))
    return float(text[:-1]) * UNITS[text[-1]]


@dataclass
class Found:
    """What one fault came to; all times in seconds since it began, ``resolved`` since it was mended."""

    name: str
    allowed: dict[str, float] = field(default_factory=dict)
    fired: dict[str, float] = field(default_factory=dict)
    resolved: float | None = None
    clears: float | None = None
    companions: dict[str, float] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    flapped: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    how: str = ""
    remark: str = ""
    recording: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def whole(self) -> bool:
        """Everything told in time, nothing else, and nothing for longer than it should."""
        late = [name for name, most in self.allowed.items() if self.fired.get(name, float("inf")) > most]
        lasting = self.clears is not None and (self.resolved is None or self.resolved > self.clears + LAG)
        return not (late or self.others or self.flapped or lasting)


def play(station: Station, prometheus: Prometheus, mishap: Mishap, seed: int) -> Found:
    """Break it, wait for those who should tell, mend it, wait until they are silent."""
    found = Found(mishap.name, clears=mishap.clears, how=mishap.how)
    found.allowed = {name: seen + lasts(name) + LAG for name, seen in mishap.alerts.items()}
    broken = time.time()
    mishap.breaks(station)
    heard: set[str] = set()
    most = broken + max(found.allowed.values()) + 60 - time.time()
    wait_for(lambda: heard.update(prometheus.alerts()) or mishap.alerts.keys() <= heard, most, 2)
    time.sleep(STEADY)
    mended = time.time()
    mishap.mends(station)
    if mishap.clears is not None:
        wait_for(lambda: not prometheus.alerts(), mishap.clears + 120, 2)
    time.sleep(STEADY * 2)
    _judge(found, prometheus, mishap, (broken, mended, time.time()))
    _record(found, prometheus, mishap, seed, (broken, mended, time.time()))
    return found


def _judge(found: Found, prometheus: Prometheus, mishap: Mishap, times: tuple[float, float, float]) -> None:
    broken, mended, ended = times
    found.pending = {*prometheus.spans(broken, ended, "pending")} - mishap.alerts.keys() - mishap.companions
    for alert, spans in prometheus.spans(broken, ended).items():
        after = round(spans[0][0] - broken)
        if alert in mishap.alerts:
            found.fired[alert] = after
            found.resolved = max(found.resolved or 0, round(spans[-1][1] + EVERY - mended))
            found.flapped |= {alert} if len(spans) > 1 else set()
        else:
            (found.companions if alert in mishap.companions else found.others)[alert] = after
    if mishap.clears is None:
        found.resolved = None


def _record(found: Found, prometheus: Prometheus, mishap: Mishap, seed: int, times: tuple[float, float, float]) -> None:
    broken, mended, ended = times
    began = broken - mishap.lead
    found.recording = {
        **header(mishap.name, seed),
        "how": mishap.how,
        "step": mishap.step,
        "broken": round(broken - began),
        "mended": round(mended - began),
        "ended": round(ended - began),
        "allowed": found.allowed,
        "fired": found.fired,
        "clears": mishap.clears,
        "companions": sorted(mishap.companions),
        "series": prometheus.recording(NAMES, began, ended, mishap.step),
    }


def header(name: str, seed: int) -> dict[str, Any]:
    """Say what a recording is of."""
    said = subprocess.run(["prometheus", "--version"], capture_output=True, text=True, check=True)
    told = re.search(r"version (\S+)", said.stdout + said.stderr)
    versions = {"program": version("reminder-worker"), "prometheus": told[1].partition("+")[0] if told else ""}
    return {"name": name, **versions, "date": f"{datetime.now(UTC):%Y-%m-%d}", "seed": seed}


def run_lane(lane: str, mishaps: list[Mishap], seed: int) -> list[Found]:
    """Run one installation, with one fault after another."""
    answers: list[Found] = []
    with (
        tempfile.TemporaryDirectory() as name,
        Station(Path(name), rate=RATE, seed=seed) as station,
        Prometheus(Path(name) / "prometheus", station.targets) as prometheus,
    ):
        _settle(station, prometheus)
        for mishap in mishaps:
            time.sleep(mishap.lead)
            try:
                answers.append(play(station, prometheus, mishap, seed))
            except Exception:  # noqa: BLE001 - the others are still to be played
                answers.append(Found(mishap.name, others={"broke off": 0.0}, remark=traceback.format_exc()))
            print(f"{datetime.now(UTC):%H:%M:%S} {lane}: {answers[-1]}", file=sys.stderr, flush=True)
        print(f"{lane}: {station.handed_in} handed in, {dict(station.carrier.fates)}", file=sys.stderr, flush=True)
    return answers


def _settle(station: Station, prometheus: Prometheus) -> None:
    """Wait until all processes live and are seen."""
    everybody = "count(up == 1) == 4 and count(reminder_process_up > 0) == 4"
    assert wait_for(lambda: prometheus.number(everybody), 120), "not all processes came up"
    assert wait_for(lambda: prometheus.number("sum(reminder_outcomes_total) > 3"), 60), "nothing is sent"
    assert not prometheus.alerts()
    station.handed_in = 0


def run_healthy(minutes: float, reminders: int, seed: int) -> Found:
    """Run an hour of every day: bursts at each quarter of an hour, people who answer, each process renewed once."""
    found, seconds, burst = Found(HEALTHY), minutes * 60, min(BURST, reminders // 8)
    with (
        tempfile.TemporaryDirectory() as name,
        Station(Path(name), rate=(reminders - 4 * burst) / seconds, seed=seed) as station,
        Prometheus(Path(name) / "prometheus", station.targets) as prometheus,
    ):
        _settle(station, prometheus)
        began = time.time()
        _live(station, began, seconds, burst)
        ended = time.time()
        found.others = {one: round(at[0][0] - began) for one, at in prometheus.spans(began, ended).items()}
        found.pending = {*prometheus.spans(began, ended, "pending")}
        found.remark = f"{station.handed_in} handed in, {station.refused} not; {dict(station.carrier.fates)}"
        ends = {"how": "", "step": 60, "broken": round(seconds), "mended": round(seconds), "ended": round(seconds)}
        series = prometheus.recording(NAMES, began, ended, 60)
        expected = {"allowed": {}, "fired": {}, "clears": None, "companions": []}
        found.recording = header(HEALTHY, seed) | ends | expected | {"series": series}
    return found


def _live(station: Station, began: float, seconds: float, burst: int) -> None:
    """Let an hour go by."""
    for quarter in range(4):
        station.hand_in(burst, within=1.0, ahead=30)
        station.reply(f"+3361200000{quarter}", "STOP")
        _until(began + seconds * (quarter + 0.5) / 4)
        station.restart(KINDS[quarter])
        _until(began + seconds * (quarter + 1) / 4)


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def run(*, healthy: tuple[float, int] | None, faults: bool, only: str | None, seed: int) -> list[Found]:
    """Run the healthy hour (minutes and reminders) and all lanes of faults side by side."""
    named = {lane: [one.name for one in mishaps if only in (None, lane, one.name)] for lane, mishaps in LANES.items()}
    chosen = {lane: names for lane, names in named.items() if names and faults}
    with ProcessPoolExecutor(1 + len(chosen)) as pool:
        hour = [pool.submit(run_healthy, *healthy, seed)] if healthy else []
        lanes = [pool.submit(_run_named, lane, names, seed) for lane, names in chosen.items()]
        return [*(one.result() for one in hour), *(found for one in lanes for found in one.result())]


def _run_named(lane: str, names: list[str], seed: int) -> list[Found]:
    return run_lane(lane, [one for one in LANES[lane] if one.name in names], seed)


def show(answers: list[Found]) -> None:
    """Print the table."""
    table = Table("fault", "alert", "fired after, s", "allowed, s", "resolved after, s", "others", "how")
    for found in answers:
        resolved = "not waited for" if found.resolved is None else f"{found.resolved}"
        others = [f"{name} {after}" for name, after in {**found.companions, **found.others}.items()]
        others += [f"{name} flapped" for name in sorted(found.flapped)]
        others += [f"({name} pending)" for name in sorted(found.pending)]
        for alert in found.allowed or {"none": 0.0}:
            fired = found.fired.get(alert, "never")
            words = alert, fired, round(found.allowed.get(alert, 0)), resolved, ", ".join(others), found.how
            table.add_row(found.name if found.whole else f"{found.name}: WRONG", *map(str, words))
    Console(width=220).print(table)


def write(answers: list[Found], folder: Path) -> None:
    """Keep what was recorded."""
    folder.mkdir(parents=True, exist_ok=True)
    for found in answers:
        file = folder / f"{re.sub(r'[^a-z0-9]+', '-', found.name)}.json"
        file.write_text(json.dumps(found.recording, indent=0) + "\n")


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--healthy", action="store_true", help="nothing goes wrong: nobody may be woken")
    parser.add_argument("--faults", action="store_true", help="one after another, all of them")
    parser.add_argument("--only", help="one fault, or one lane of them")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the healthy hour")
    parser.add_argument("--reminders", type=int, default=20_000, help="in the healthy hour")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", type=Path, nargs="?", const=RECORDINGS, help="write what was seen into a folder")
    chosen = parser.parse_args()
    began = datetime.now(UTC)
    healthy = (chosen.minutes, chosen.reminders) if chosen.healthy else None
    answers = run(healthy=healthy, faults=chosen.faults, only=chosen.only, seed=chosen.seed)
    show(answers)
    print(f"seed {chosen.seed}, {timedelta(seconds=round((datetime.now(UTC) - began).total_seconds()))}")
    print("\n".join(found.remark for found in answers if found.remark))
    if chosen.record:
        write(answers, chosen.record)
    sys.exit(0 if all(found.whole for found in answers) else 1)


if __name__ == "__main__":
    main()
