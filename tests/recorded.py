"""What a real Prometheus saw in runs of ``faults/alarms.py``, played to promtool with the alerts as they are now."""

import json
import subprocess
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "data" / "alarms"
FIRING = 'ALERTS{{alertstate="firing",alertname{how}"{names}"}}'


@dataclass(frozen=True)
class Recording:
    """Series around one fault, a value every ``step`` seconds; times are seconds since the recording began."""

    name: str
    step: int
    broken: int
    mended: int
    ended: int
    allowed: dict[str, float]  # alert -> by when it has to fire, since the fault began
    fired: dict[str, float]
    clears: float | None  # by when nothing fires any more, since it was mended
    companions: list[str]
    series: dict[str, str]
    header: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> "Recording":
        """Read one."""
        fields = json.loads(file.read_text())
        known = {name: fields.pop(name) for name in cls.__dataclass_fields__ if name != "header"}
        return cls(**known, header=fields)

    def expectations(self) -> list[dict[str, Any]]:
        """Say what promtool has to find, and when: each alert by its time, and at no time another."""
        own, last = "|".join([*self.allowed, *self.companions]), self.ended // self.step
        nobody = [self._at(step, FIRING.format(how="!~", names=own)) for step in range(last + 1)]
        before = [self._at(step, FIRING.format(how="=~", names=".+")) for step in range(self.broken // self.step)]
        told = [self._told(alert, most) for alert, most in self.allowed.items()]
        silent = [self._at(last, FIRING.format(how="=~", names=own or "none"))] if self.clears is not None else []
        return [*nobody, *before, *told, *silent]

    def _told(self, alert: str, most: float) -> dict[str, Any]:
        """Look whether an alert fired between the fault and its time, or a value and a look at it later."""
        step = ceil((self.broken + most) / self.step) + 1
        firing = FIRING.format(how="=", names=alert)
        return self._at(step, f"max(max_over_time({firing}[{step * self.step - self.broken}s]))", 1)

    def _at(self, step: int, query: str, value: int | None = None) -> dict[str, Any]:
        found = [] if value is None else [{"labels": "{}", "value": value}]
        return {"expr": query, "eval_time": f"{step * self.step}s", "exp_samples": found}


def play(folder: Path, rules: Path, recording: Recording) -> "subprocess.CompletedProcess[str]":
    """Have promtool play it."""
    every = f"{recording.step}s"
    series = [{"series": name, "values": values} for name, values in recording.series.items()]
    played = {"interval": every, "input_series": series, "promql_expr_test": recording.expectations()}
    content = {"rule_files": [str(rules)], "evaluation_interval": every, "tests": [played]}
    (folder / "test.yml").write_text(yaml.safe_dump(content))
    return subprocess.run(
        ["promtool", "test", "rules", folder / "test.yml"], capture_output=True, text=True, check=False
    )
