"""A real Prometheus that reads an installation's processes, and what it saw, in the notation of promtool's tests."""

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any, Self

from .installation import free_port

ALERTS = Path(__file__).parents[2] / "ops" / "alerts.yml"
EVERY = 5  # seconds between scrapes, and between looks at the rules
CONFIG = """\
global: {{scrape_interval: {every}s, scrape_timeout: {every}s, evaluation_interval: {every}s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: reminder-worker
    static_configs:
{targets}
"""
TARGET = '      - {{targets: ["127.0.0.1:{port}"], labels: {{instance: {name}}}}}'


class Prometheus:
    """Scrapes ``targets`` (name and port) and looks at the alerts until it is left."""

    def __init__(self, folder: Path, targets: dict[str, int]) -> None:
        self._folder, self._port = folder, free_port()
        words = [TARGET.format(name=name, port=port) for name, port in targets.items()]
        config = CONFIG.format(every=EVERY, rules=ALERTS, targets="\n".join(words))
        folder.mkdir()
        (folder / "prometheus.yml").write_text(config)

    def __enter__(self) -> Self:
        options = f"--web.listen-address=127.0.0.1:{self._port}", f"--storage.tsdb.path={self._folder}/tsdb"
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["prometheus", f"--config.file={self._folder}/prometheus.yml", *options], stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def ask(self, path: str, **words: Any) -> Any:
        """Call its API; None where it does not answer."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
        return None

    def alerts(self, state: str = "firing") -> set[str]:
        """Return which alerts are in a state now."""
        found = self.ask("alerts") or {"alerts": []}
        return {one["labels"]["alertname"] for one in found["alerts"] if one["state"] == state}

    def number(self, query: str) -> float | None:
        """Return what a query comes to now, where it is one number."""
        found = (self.ask("query", query=query) or {"result": []})["result"]
        return float(found[0]["value"][1]) if found else None

    def spans(self, began: float, ended: float, state: str = "firing") -> dict[str, list[tuple[float, float]]]:
        """Return when alerts were in a state, by name."""
        query = f'max by (alertname) (ALERTS{{alertstate="{state}"}})'
        found = self.ask("query_range", query=query, start=began, end=ended, step=EVERY)["result"]
        spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for series in found:
            mine = spans[series["metric"]["alertname"]]
            for moment in (float(at) for at, _ in series["values"]):
                if mine and moment - mine[-1][1] <= EVERY * 1.5:
                    mine[-1] = mine[-1][0], moment
                else:
                    mine.append((moment, moment))
        return dict(spans)

    def recording(self, names: set[str], began: float, ended: float, step: int) -> dict[str, str]:
        """Return these series from one moment to another, as promtool's tests write them."""
        query = f'{{__name__=~"{"|".join(sorted(names))}"}}'
        found = self.ask("query_range", query=query, start=began, end=ended, step=step)["result"]
        times = [began + step * number for number in range(int((ended - began) // step) + 1)]
        return {
            _name(one["metric"]): notation(_sampled(one["values"], times, step))
            for one in sorted(found, key=lambda one: _name(one["metric"]))
            if not one["metric"]["__name__"].endswith("_bucket") or any(float(value) for _, value in one["values"])
        }


def _name(metric: dict[str, str]) -> str:
    labels = ",".join(f'{name}="{metric[name]}"' for name in sorted(metric.keys() - {"__name__", "job"}))
    return f"{metric['__name__']}{{{labels}}}"


def _sampled(values: list[tuple[float, str]], times: list[float], step: int) -> list[float | None]:
    at = {round((float(moment) - times[0]) / step): float(value) for moment, value in values}
    return [at.get(number) for number in range(len(times))]


def notation(values: list[float | None]) -> str:
    """Write a series down; a value that is missing after others went, as Prometheus marks what is gone."""
    words: list[tuple[str, int]] = []
    for number, value in enumerate(values):
        gone = value is None and number > 0 and values[number - 1] is not None
        word = "stale" if gone else "_" if value is None else f"{_short(value):g}"
        if words and words[-1][0] == word:
            words[-1] = word, words[-1][1] + 1
        else:
            words.append((word, 1))
    return " ".join(_repeated(word, times) for word, times in words)


def _repeated(word: str, times: int) -> str:
    if times == 1:
        return word
    return f"{word}x{times}" if word == "_" else f"{word}x{times - 1}"


def _short(value: float) -> float:
    """Round to what an alert could ever care about; counts stay whole."""
    return value if value == int(value) and abs(value) < 100_000 else float(f"{round(value, 2):.4g}") + 0.0


def wait_for(found: Any, seconds: float, pause: float = 1.0) -> Any:
    """Wait until something is found; return it, or nothing once the time is over."""
    deadline = time.monotonic() + seconds
    while not (answer := found()) and time.monotonic() < deadline:
        time.sleep(pause)
    return answer
