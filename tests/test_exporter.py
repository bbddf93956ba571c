"""Where Prometheus asks: real processes, a real parser, and what is left when they end or are killed."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import desk
import practice
import pytest
from fake_twilio import FakeTwilio
from prometheus_client.parser import text_string_to_metric_families
from test_end_to_end import Installation, line
from test_layers import BLIND, OPENERS, load, seen

from reminder_worker import keys, metrics
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.ports import free_port
from reminder_worker.settings import Settings

ALERTS = Path(__file__).parents[1] / "ops" / "alerts.yml"
pytestmark = pytest.mark.timeout(300)

PORTS = {"worker": 0, "scheduler": 1, "web": 2, "hooks": 3, "ops": 4}


class Here(Installation):
    """An installation whose processes show their metrics, and whose temporary files are in a folder of their own."""

    def __init__(self, folder: Path, server: EmbeddedServer, twilio: FakeTwilio) -> None:
        super().__init__(folder, server, twilio)
        self.first, self.temporary = free_port(len(PORTS)), folder / "tmp"
        self.temporary.mkdir()
        settings = folder / "reminder-worker.toml"
        head = f'metrics_listen = "127.0.0.1:{self.first}"\nhooks_url = "https://hooks.example"\n'
        settings.write_text(head + settings.read_text())
        self.log = folder / "log.jsonl"

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "reminder_worker.cli", *words],
                cwd=self.folder, stdout=log, stderr=log, env=os.environ | {"TMPDIR": str(self.temporary)},
            )  # fmt: skip

    @contextlib.contextmanager
    def running(self, *commands: str) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
        started = {command.split()[0]: self.start(*command.split()) for command in commands}
        try:
            yield started
        finally:
            for process in started.values():
                process.terminate()
            for process in started.values():
                process.wait(30)

    def page(self, kind: str, path: str = "/metrics") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.first + PORTS[kind]}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def shown(self, kind: str) -> dict[str, float]:
        """Return what a scrape shows; nothing where nobody answers."""
        with contextlib.suppress(OSError):
            families = list(text_string_to_metric_families(self.page(kind)))
            return {
                " ".join([sample.name, *(sample.labels[label] for label in sorted(sample.labels))]): sample.value
                for family in families
                for sample in family.samples
            }
        return {}

    def folders(self) -> list[Path]:
        return list(self.temporary.glob("reminder-worker-metrics-*"))


@pytest.fixture
def twilio() -> Iterator[FakeTwilio]:
    with FakeTwilio() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, twilio: FakeTwilio) -> Iterator[Here]:
    with EmbeddedServer(tmp_path / "valkey") as server:
        made = Here(tmp_path, server, twilio)
        practice.make_keys(tmp_path / "keys")
        yield made


def until(found: Callable[[], Any], seconds: float = 100) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
    return answer


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def workers(master: int) -> list[int]:
    """Return the processes of a worker that take wake-ups: all but the one that answers Prometheus, and was last."""
    threads = {
        pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[17]) for pid in children(master)
    }
    return sorted(threads, key=threads.__getitem__)[1:]


BATCH = 20


def have_sent(here: Here) -> int:
    """Return how many processes of the worker have called the provider."""
    (folder,) = here.folders()
    return sum(b"reminder_segments_total" in path.read_bytes() for path in folder.glob("counter_*.db"))


def test_what_several_processes_of_a_worker_count_adds_up(here: Here) -> None:
    texts = 0
    with here.running("scheduler", "worker --processes 2 --threads 2") as started:
        until(lambda: here.shown("scheduler").get("reminder_process_up worker") == 2)
        until(lambda: len(workers(started["worker"].pid)) == 2)
        while have_sent(here) < 2:
            here.hand_in(*map(line, range(texts, texts + BATCH)))
            texts += BATCH
            until(lambda wanted=texts: here.shown("worker").get("reminder_outcomes_total twilio sent") == wanted)
        shown = here.shown("worker")
        assert shown["reminder_attempts_total twilio accepted"] == texts
        assert shown["reminder_lateness_seconds_count"] == texts
        assert shown["reminder_provider_seconds_count twilio"] == texts
        assert here.shown("scheduler")["reminder_ended sent"] == texts
        assert here.shown("scheduler")["reminder_woken_total"] >= texts
        assert "pid" not in here.page("worker")
    assert here.folders() == []


def test_a_killed_process_of_a_worker_leaves_no_series_behind(here: Here) -> None:
    with here.running("scheduler"):
        first = here.start("worker", "--processes", "2")
        until(lambda: "reminder_circuit_open twilio" in here.shown("worker") and len(workers(first.pid)) == 2)
        until(lambda: here.shown("scheduler").get("reminder_process_up worker") == 2)
        os.kill(workers(first.pid)[0], signal.SIGKILL)
        assert first.wait(30) != 0, "dramatiq ends the others, and whoever supervises it starts them again"
        until(lambda: here.shown("worker") == {})
        assert here.folders() == []
        with here.running("worker --processes 2"):
            shown = until(lambda: here.shown("worker"))
            assert shown["reminder_opt_outs_total"] == 0
            assert shown["reminder_outcomes_total twilio sent"] == 0
            until(lambda: here.shown("scheduler").get("reminder_process_up worker") == 2)


def test_a_worker_that_is_killed_as_a_whole_leaves_no_file_behind(here: Here) -> None:
    worker = here.start("worker")
    until(lambda: here.shown("worker"))
    assert len(here.folders()) == 1
    worker.kill()
    worker.wait(30)
    until(lambda: here.folders() == [] and here.shown("worker") == {})


def test_a_worker_that_is_stopped_as_soon_as_it_works_leaves_no_file_behind(here: Here) -> None:
    worker = here.start("worker")
    until(lambda: b"worker_started" in here.log.read_bytes())
    worker.terminate()
    assert worker.wait(60) == 0
    assert here.folders() == []


def test_what_alerts_ask_for_is_there_from_the_beginning(here: Here) -> None:
    """A rise from nothing is none to Prometheus: the first forged job, the first refusal would not be seen."""
    with here.running("scheduler", "worker", f"hooks --port {free_port()}"):
        worker = until(
            lambda: (shown := here.shown("worker")).get("reminder_attempts_total twilio accepted") == 0 and shown
        )
        for result in metrics.RESULTS:
            assert worker[f"reminder_attempts_total twilio {result}"] == 0
        for reason in metrics.LIMITS:
            assert worker[f"reminder_waits_total twilio {reason}"] == 0
        for reason in metrics.UNOPENABLE:
            assert worker[f"reminder_rejected_total {reason}"] == 0
        assert worker["reminder_outcomes_total none expired"] == worker["reminder_outcomes_total twilio sent"] == 0
        assert "reminder_receipts_total twilio delivered" not in worker, "hooks hears of them, and the worker does not"
        hooks = until(lambda: here.shown("hooks"))
        for state in ("sent", "delivered", "undelivered"):
            assert hooks[f"reminder_receipts_total twilio {state}"] == 0


def test_a_store_that_is_silent_is_told_of_before_prometheus_gives_up(
    here: Here, request: pytest.FixtureRequest
) -> None:
    with here.running("scheduler", "worker"):
        for kind in ("scheduler", "worker"):
            until(lambda kind=kind: here.shown(kind).get("reminder_store_up") == 1)
        os.kill(here.server.pid, signal.SIGSTOP)
        request.addfinalizer(lambda: os.kill(here.server.pid, signal.SIGCONT))
        for kind in ("scheduler", "worker"):
            began = time.monotonic()
            assert here.shown(kind)["reminder_store_up"] == 0
            assert time.monotonic() - began < 5, "the shortest time that docs/operating.md allows a scrape"
        os.kill(here.server.pid, signal.SIGCONT)
        until(lambda: here.shown("scheduler").get("reminder_store_up") == 1)


def test_who_answers_loads_nothing_that_opens_resolves_or_sends() -> None:
    assert seen(load("exporter"), BLIND, OPENERS) == []


def gateway(here: Here) -> None:
    """Make what web needs."""
    keys.new_gateway(here.folder / "keys")
    desk.new_key(here.folder / "keys")
    settings = here.folder / "reminder-worker.toml"
    settings.write_text(settings.read_text().replace("keys/clinic.pub", "keys/gateway.pub"))


def test_web_and_hooks_show_theirs_beside_the_port_that_is_open_to_the_world(here: Here) -> None:
    gateway(here)
    ports = {kind: free_port() for kind in ("web", "hooks")}
    with here.running(*(f"{kind} --port {port}" for kind, port in ports.items()), "scheduler"):
        for kind, port in ports.items():
            shown = until(lambda kind=kind: here.shown(kind))
            assert 300 < shown["reminder_published_keys_seconds"] / 86_400 < 400
            assert abs(shown["reminder_clock_skew_seconds"]) < 5
            assert "reminder_scheduled" not in shown
            assert until(lambda port=port: answer(port)) == 404
        until(lambda: here.shown("scheduler").get("reminder_process_up hooks") == 1)


def answer(port: int) -> int | None:
    """Return what the port that is open to the world says; nothing where it does not listen yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def test_nothing_is_shown_where_nobody_asked_for_it(here: Here) -> None:
    settings = here.folder / "reminder-worker.toml"
    settings.write_text("\n".join(settings.read_text().splitlines()[1:]))
    with here.running("scheduler", "worker") as started:
        until(lambda: {"scheduler", "worker"} <= {name.partition("/")[0] for name in here.beats()})
        assert [kind for kind in PORTS if here.shown(kind)] == []
        assert len(children(started["worker"].pid)) == 1
        assert here.folders() == []


def test_a_process_works_where_its_port_is_taken_and_says_so(here: Here) -> None:
    with socket.create_server(("127.0.0.1", here.first + 1)), here.running("scheduler"):
        until(here.beats)
    events = [json.loads(text).get("event") for text in here.log.read_text().splitlines()]
    assert "metrics_not_served" in events


def test_a_worker_shows_its_metrics_once_nobody_else_has_its_port(here: Here) -> None:
    with socket.create_server(("127.0.0.1", here.first + PORTS["worker"])) as before, here.running("worker"):
        until(lambda: "metrics_not_served" in here.log.read_text())
        before.close()
        until(lambda: here.shown("worker"))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian: prometheus)")
def test_promtool_finds_nothing_wrong_with_what_is_shown(here: Here) -> None:
    with here.running("scheduler", "worker"):
        for kind in ("scheduler", "worker"):
            until(lambda kind=kind: here.shown(kind))
            done = subprocess.run(
                ["promtool", "check", "metrics"], input=here.page(kind), capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stdout + done.stderr) == (0, "")


PROMETHEUS = """
global: {{scrape_interval: 3s, evaluation_interval: 3s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: reminder-worker
    static_configs:
      - targets: {targets}
"""


@contextlib.contextmanager
def prometheus(here: Here) -> Iterator[Callable[[str], Any]]:
    """Run a real Prometheus with our rules, and return how to ask it."""
    port, file = free_port(), here.folder / "prometheus.yml"
    targets = json.dumps([f"127.0.0.1:{here.first + more}" for more in range(4)])  # all but the page
    file.write_text(PROMETHEUS.format(rules=ALERTS, targets=targets))
    words = f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path={here.folder}/tsdb"
    with (here.folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", f"--config.file={file}", *words], stdout=log, stderr=log)

    def ask(path: str) -> Any:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as answer,
        ):
            return json.load(answer)["data"]
        return None

    try:
        yield ask
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not here (Debian: prometheus)")
def test_a_real_prometheus_reads_all_four_and_tells_when_one_is_gone(here: Here) -> None:
    gateway(here)
    commands = "scheduler", "worker --processes 2", f"web --port {free_port()}", f"hooks --port {free_port()}"
    with here.running(*commands) as started, prometheus(here) as ask:
        until(lambda: healthy(ask("targets")) == 4)
        until(lambda: value(ask("query?query=count(reminder_process_up%3E0)")) == 4)
        alerts = {one["labels"]["alertname"] for one in ask("alerts")["alerts"] if one["state"] == "firing"}
        assert alerts == set()
        started["scheduler"].terminate()
        until(lambda: "ReminderSchedulerDown" in {one["labels"]["alertname"] for one in ask("alerts")["alerts"]})


def healthy(targets: Any) -> int:
    return sum(one["health"] == "up" for one in targets["activeTargets"]) if targets else 0


def value(answer: Any) -> float:
    return max((float(one["value"][1]) for one in answer["result"]), default=0.0) if answer else 0.0


@pytest.mark.parametrize("kind", PORTS)
def test_each_kind_of_process_has_a_port_of_its_own(kind: str) -> None:
    assert set(PORTS) == set(metrics.PROCESSES)
    assert Settings(metrics_listen="127.0.0.1:9464").metrics_address(kind) == ("127.0.0.1", 9464 + PORTS[kind])
    assert Settings(metrics_listen="[::1]:9464").metrics_address(kind) == ("::1", 9464 + PORTS[kind])


@pytest.mark.parametrize("wrong", ["9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65533", "host:99999", "a b:1", ":1"])
def test_an_address_without_room_for_four_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="metrics_listen"):
        Settings(metrics_listen=wrong)
