"""Alerts and dashboard: each names series that exist, fires for its fault, and is silent in a healthy hour."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
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


# A healthy hour of 20,000 reminders, minute by minute, and what each fault makes of it.

HEALTHY = {
    'reminder_process_up{process="worker"}': "2x120",
    'reminder_process_up{process="scheduler"}': "1x120",
    'reminder_process_up{process="web"}': "1x120",
    'reminder_process_up{process="hooks"}': "1x120",
    "reminder_scheduled": "20000-166x120",
    "reminder_overdue_seconds": "0 1 0 2 0x116",
    "reminder_store_up": "1x120",
    "reminder_store_memory_bytes": "3e7x120",
    "reminder_store_memory_limit_bytes": "1e8x120",
    "reminder_store_durable": "1x120",
    "reminder_store_evicts": "0x120",
    "reminder_clock_skew_seconds": "-0.01x120",
    'reminder_lateness_seconds_bucket{le="1"}': "0+320x120",
    'reminder_lateness_seconds_bucket{le="300"}': "0+333x120",
    'reminder_lateness_seconds_bucket{le="900"}': "0+333x120",
    'reminder_lateness_seconds_bucket{le="+Inf"}': "0+333x120",
    'reminder_outcomes_total{state="sent",provider="twilio"}': "0+330x120",
    'reminder_outcomes_total{state="delivered",provider="twilio"}': "0+320x120",
    'reminder_outcomes_total{state="failed",provider="twilio"}': "0+2x120",
    'reminder_outcomes_total{state="expired",provider="none"}': "0x60 1x60",
    'reminder_rejected_total{reason="damaged"}': "0x30 1x90",
    'reminder_circuit_open{provider="twilio"}': "0x120",
    'reminder_attempts_total{provider="twilio",result="accepted"}': "0+330x120",
    'reminder_attempts_total{provider="twilio",result="rejected"}': "0+3x120",
    'reminder_attempts_total{provider="twilio",result="ambiguous"}': "0+1x120",
    'reminder_receipts_total{provider="twilio",state="delivered"}': "0+320x120",
    'reminder_waits_total{provider="twilio",reason="rate_limited"}': "0+40x120",
    "reminder_unknown": "0x120",
    "reminder_unknown_oldest_seconds": "0x120",
    "reminder_dead_letters": "0x120",
    "reminder_replies_waiting": "0 3 2 1 0x116",
    "reminder_replies_unread": "0x120",
    "reminder_published_keys_seconds": "26e6x120",
    "reminder_key_epoch_lag": "1x120",
}
UP = "reminder_process_up"
ATTEMPTS = 'reminder_attempts_total{provider="twilio",result='
# What is otherwise, the alerts that follow, and by which minute; the fault is there from minute 30.
FAULTS: dict[str, tuple[dict[str, str | None], set[str], int]] = {
    "worker dead": (
        {f'{UP}{{process="worker"}}': "2x30 0x90", "reminder_overdue_seconds": "0x30 60+60x90"},
        {"ReminderWorkerDown"}, 33,
    ),
    "scheduler dead": ({"reminder_scheduled": "20000x30 _x90"}, {"ReminderSchedulerDown"}, 40),
    "hooks dead": ({f'{UP}{{process="hooks"}}': "1x30 0x90"}, {"ReminderFrontDown"}, 34),
    "store away": ({"reminder_store_up": "1x30 0x90", "reminder_scheduled": "1x30 _x90"}, {"ReminderStoreDown"}, 40),
    "store full": ({"reminder_store_memory_bytes": "3e7x30 8e7x90"}, {"ReminderStoreNearlyFull"}, 37),
    "disk full": ({"reminder_store_durable": "1x30 0x90"}, {"ReminderStoreUnsafe"}, 34),
    "evicting": ({"reminder_store_evicts": "0x30 1x90"}, {"ReminderStoreUnsafe"}, 34),
    "clock": ({"reminder_clock_skew_seconds": "0x30 -31x90"}, {"ReminderClocksDiffer"}, 34),
    "backlog": ({"reminder_overdue_seconds": "0x30 60+60x90"}, {"ReminderBacklog"}, 40),
    "late": (
        {'reminder_lateness_seconds_bucket{le="1"}': "0+320x30 9600x90",
         'reminder_lateness_seconds_bucket{le="300"}': "0+333x30 9990x90"},
        {"ReminderLate"}, 50,
    ),
    "expired": (
        {'reminder_outcomes_total{state="expired",provider="none"}': "0x30 0+30x90"}, {"ReminderExpired"}, 50,
    ),
    "forged": ({'reminder_rejected_total{reason="damaged"}': "0x30 0+2x90"}, {"ReminderRejected"}, 36),
    "circuit": ({'reminder_circuit_open{provider="twilio"}': "0x30 1x90"}, {"ReminderProviderDown"}, 34),
    "provider fails": ({f'{ATTEMPTS}"ambiguous"}}': "0+1x30 30+200x90"}, {"ReminderProviderFails"}, 40),
    "credentials": ({f'{ATTEMPTS}"misconfigured"}}': "0x30 0+1x90"}, {"ReminderProviderMisconfigured"}, 33),
    "spent": ({'reminder_waits_total{provider="twilio",reason="spend_capped"}': "0x30 0+5x90"}, {"ReminderCapped"}, 33),
    "no receipts": (
        {'reminder_receipts_total{provider="twilio",state="delivered"}': "0+320x1 320x119"},
        {"ReminderReceiptsLate"}, 115,
    ),
    "unknown": ({"reminder_unknown": "0x30 4x90"}, {"ReminderUnknown"}, 42),
    "unknown for a day": (
        {"reminder_unknown": "0x30 4x90", "reminder_unknown_oldest_seconds": "0x30 86401x90"},
        {"ReminderUnknown", "ReminderUnknownAges"}, 42,
    ),
    "poison": ({"reminder_dead_letters": "0x30 1x90"}, {"ReminderDeadLetters"}, 37),
    "replies wait": ({"reminder_replies_waiting": "0x30 5x90"}, {"ReminderRepliesWait"}, 43),
    "reply unread": ({"reminder_replies_unread": "0x30 1x90"}, {"ReminderRepliesUnread"}, 32),
    "keys run out": ({"reminder_published_keys_seconds": "26e6x30 5.1e6x90"}, {"ReminderKeysRunOut"}, 32),
    "ratchet stuck": ({"reminder_key_epoch_lag": "1x30 2x90"}, {"ReminderKeysBehind"}, 93),
}  # fmt: skip


def test_each_alert_has_a_fault_that_fires_it() -> None:
    fired = {alert for _, alerts, _ in FAULTS.values() for alert in alerts}
    assert fired == {rule["alert"] for rule in RULES}


def run(folder: Path, series: dict[str, str], expected: dict[str, list[int]]) -> "subprocess.CompletedProcess[str]":
    """Have promtool play two hours and compare, for each minute and alert, whether it fires."""
    (folder / "alerts.yml").write_text(ALERTS.read_text())
    given = [{"series": name, "values": values} for name, values in series.items()]
    labels = {rule["alert"]: rule for rule in RULES}
    tests = []
    for alert, minutes in expected.items():
        for minute in minutes:
            wanted = (
                [{"exp_labels": fired(labels[alert]), "exp_annotations": said(labels[alert])}] if minute > 0 else []
            )
            tests.append({"eval_time": f"{abs(minute)}m", "alertname": alert, "exp_alerts": wanted})
    content = {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": given, "alert_rule_test": tests}],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(content))
    return subprocess.run(
        ["promtool", "test", "rules", folder / "test.yml"], capture_output=True, text=True, check=False
    )


GROUPS = {"process": "hooks", "provider": "twilio", "reason": "spend_capped"}


def fired(rule: dict[str, Any]) -> dict[str, str]:
    by = re.search(r"by \(([\w, ]+)\)", rule["expr"])
    kept = [label for label in by[1].split(", ") if label in GROUPS] if by else []
    return {"severity": rule["labels"]["severity"]} | {label: GROUPS[label] for label in kept}


def said(rule: dict[str, Any]) -> dict[str, str]:
    return {
        name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: GROUPS[match[1]], text)
        for name, text in rule["annotations"].items()
    }


@needs_promtool
def test_a_healthy_hour_wakes_nobody(tmp_path: Path) -> None:
    never = {rule["alert"]: [-minute for minute in range(1, 120)] for rule in RULES}
    done = run(tmp_path, HEALTHY, never)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_time_and_nothing_else_is(tmp_path: Path, fault: str) -> None:
    changed, alerts, by = FAULTS[fault]
    follow = {"ReminderBacklog"} if fault == "worker dead" else set()  # is told as well, later
    expected = {rule["alert"]: [-minute for minute in (15, 29, by)] for rule in RULES if rule["alert"] not in follow}
    expected |= {alert: [-15, -29, by] for alert in alerts}
    series = {name: values for name, values in (HEALTHY | changed).items() if values is not None}
    done = run(tmp_path, series, expected)
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
