"""Alerts and dashboard: each names series that exist, fires for its fault, and is silent in a healthy hour."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from recorded import FOLDER, Recording, play
from test_gauges import SERIES
from test_metrics import NAMES

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "ops" / "alerts.yml"
RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
PAGE = (ROOT / "docs" / "operating.md").read_text()
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here (Debian: prometheus)"
)

HISTOGRAMS = {"reminder_lateness_seconds", "reminder_provider_seconds"}
EXIST = (
    {f"reminder_{name}" for name in SERIES}
    | {f"{name}_total" for name in set(NAMES) - HISTOGRAMS}
    | {f"{name}_{end}" for name in HISTOGRAMS for end in ("bucket", "count", "sum")}
)


def names(expression: str) -> set[str]:
    return set(re.findall(r"\breminder_\w+", expression))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_series_that_exist_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert names(rule["expr"])
    assert names(rule["expr"]) - EXIST == set()
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"
    section = re.search(rf"(?ms)^### {rule['alert']}\n(.*?)(?=^##|\Z)", PAGE)
    assert section, "needs a section in docs/operating.md"
    assert section[1].count("**") >= 4, "what to look at, and what to do"


def test_no_section_is_about_an_alert_that_is_gone() -> None:
    assert set(re.findall(r"(?m)^### (Reminder\w+)$", PAGE)) == {rule["alert"] for rule in RULES}


def test_every_series_is_explained() -> None:
    explained = set(re.findall(r"`(reminder_\w+)", PAGE))
    assert {name.removesuffix("_bucket") for name in EXIST if not name.endswith(("_count", "_sum"))} <= explained
    assert explained - EXIST - HISTOGRAMS == set()


@needs_promtool
def test_promtool_reads_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# What a real Prometheus saw of real faults: `python -m tests.faults.alarms` (docs/faults.md).

RECORDINGS = [Recording.read(file) for file in sorted(FOLDER.glob("*.json"))]
FAULTS = [one for one in RECORDINGS if one.allowed]


def test_each_alert_has_a_fault_that_fires_it() -> None:
    assert {alert for one in FAULTS for alert in one.fired} == {rule["alert"] for rule in RULES}
    assert all(one.fired.keys() == one.allowed.keys() for one in FAULTS)


def test_an_alert_s_words_name_what_it_is_told_apart_by() -> None:
    for rule in RULES:
        kept = {label for some in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for label in some.split(", ")}
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= kept


def test_a_recording_shows_every_series_that_alerts_read() -> None:
    read = {name for rule in RULES for name in names(rule["expr"])}
    for one in RECORDINGS:
        assert read - {name.partition("{")[0] for name in one.series} <= {"reminder_lateness_seconds_bucket"}, one.name


@needs_promtool
@pytest.mark.parametrize("recording", FAULTS, ids=lambda one: one.name)
def test_a_fault_is_told_in_time_and_nothing_else_is(tmp_path: Path, recording: Recording) -> None:
    done = play(tmp_path, ALERTS, recording)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_an_hour_of_20000_reminders_wakes_nobody(tmp_path: Path) -> None:
    (healthy,) = (one for one in RECORDINGS if not one.allowed)
    assert healthy.ended >= 3600
    sent = healthy.series['reminder_outcomes_total{instance="worker",provider="twilio",state="sent"}']
    assert len(sent.split()) > 30, "it goes up all the time"
    done = play(tmp_path, ALERTS, healthy)
    assert done.returncode == 0, done.stdout + done.stderr


# Made up, for it lasts longer than a recording: three healthy hours, and a process that was taken away on purpose.

HEALTHY = {
    'reminder_process_up{process="worker"}': "2x180",
    'reminder_process_up{process="scheduler"}': "1x180",
    'reminder_process_up{process="web"}': "1x180",
    'reminder_process_up{process="hooks"}': "1x180",
    "reminder_scheduled": "20000x180",
    "reminder_store_up": "1x180",
    'reminder_circuit_open{provider="twilio"}': "0x180",
    'reminder_lateness_seconds_bucket{le="1"}': "0+320x180",
    'reminder_lateness_seconds_bucket{le="300"}': "0+333x180",
    'reminder_lateness_seconds_bucket{le="+Inf"}': "0+333x180",
    'reminder_outcomes_total{state="sent",provider="twilio"}': "0+330x180",
    'reminder_outcomes_total{state="expired",provider="none"}': "0x60 1x60 3x60",
    'reminder_rejected_total{reason="damaged"}': "0x30 1x150",
    'reminder_attempts_total{provider="twilio",result="accepted"}': "0+330x180",
    'reminder_attempts_total{provider="twilio",result="ambiguous"}': "0+1x180",
    'reminder_receipts_total{provider="twilio",state="sent"}': "0x180",
    'reminder_receipts_total{provider="twilio",state="delivered"}': "0+320x180",
}


def made_up(allowed: dict[str, float], broken: int, ended: int, **changed: str) -> Recording:
    series = HEALTHY | {f'reminder_process_up{{process="{name}"}}': values for name, values in changed.items()}
    when = {"step": 60, "broken": broken, "mended": broken, "ended": ended}
    rest: dict[str, Any] = {"name": "", "fired": {}, "clears": 0.0 if allowed else None, "companions": [], "header": {}}
    return Recording(allowed=allowed, series=series, **when, **rest)


@needs_promtool
def test_receipts_of_three_hours_wake_nobody(tmp_path: Path) -> None:
    done = play(tmp_path, ALERTS, made_up({}, 10_800, 10_800))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_process_that_was_taken_away_on_purpose_is_quiet_after_an_hour(tmp_path: Path) -> None:
    done = play(tmp_path, ALERTS, made_up({"ReminderFrontDown": 180.0}, 1800, 1800 + 3720, hooks="1x29 0x150"))
    assert done.returncode == 0, done.stdout + done.stderr


# The dashboard.

DASHBOARD = json.loads((ROOT / "ops" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_series_that_exist_and_says_what_it_shows(panel: dict[str, Any]) -> None:
    expressions = [target["expr"] for target in panel["targets"]]
    assert all(names(one) for one in expressions)
    assert {name for one in expressions for name in names(one)} - EXIST == set()
    assert panel["description"]
    assert "platform" not in json.dumps(panel["targets"])


def test_the_dashboard_shows_everything_that_there_is() -> None:
    shown = {name for panel in PANELS for target in panel["targets"] for name in names(target["expr"])}
    left = EXIST - shown - {f"{name}_{end}" for name in HISTOGRAMS for end in ("count", "sum")}
    assert left == set()


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@needs_promtool
def test_promtool_reads_what_the_dashboard_asks(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    rules = [
        {"record": f"panel:{number}", "expr": one.replace("$__rate_interval", "5m")} for number, one in enumerate(asked)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
