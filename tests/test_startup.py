"""How a worker's processes come to be, each looked at from outside."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from reminder_worker import store
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.keys import new_worker, rotate
from reminder_worker.optouts import pepper_file

APART = """\
import sys
from reminder_worker.lifeline import apart

loaded = []

def work():
    loaded.append("a key")
    print("worked", flush=True)
    {ends}

apart(work)
print("goes on with", loaded)
"""


def run(ends: str) -> subprocess.CompletedProcess[str]:
    program = APART.format(ends=ends)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)


def test_what_is_loaded_apart_is_in_no_memory_afterwards() -> None:
    done = run("pass")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "worked\ngoes on with []\n"


def test_what_fails_apart_is_said_once_and_ends_both() -> None:
    done = run("sys.exit('it is wrong')")
    assert (done.returncode, done.stdout, done.stderr) == (1, "worked\n", "it is wrong\n")


LOOKS = """\
from reminder_worker import lint, settings, startup
startup.apart = lambda work: print(lint.check_templates.cache_info().currsize)
startup.cli.main = lambda words: 0
startup.run(settings.read(), 1, 1)
"""


def test_the_texts_are_looked_at_before_processes_are_made_that_share_it() -> None:
    url = {"REMINDER_STORE_URL": "redis://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", LOOKS], env=os.environ | url, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


ORPHAN = """\
import multiprocessing, os, signal, sys, time
from pathlib import Path
from reminder_worker.lifeline import end_with_first

def late():
    while os.getppid() == multiprocessing.parent_process().pid:
        time.sleep(0.01)
    said = Path(sys.argv[1])
    said.write_text("it is late")
    end_with_first()
    said.write_text("it goes on")

multiprocessing.get_context("fork").Process(target=late).start()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can ask for that")
def test_a_process_whose_first_one_died_while_it_started_ends(tmp_path: Path) -> None:
    said = tmp_path / "said"
    subprocess.run(
        [sys.executable, "-c", ORPHAN, said], capture_output=True, check=False
    )  # until its pipes are closed: both have ended
    assert said.read_text() == "it is late"


PRINTS = """\
import logging, sys
from reminder_worker import metrics, startup
from reminder_worker.errors import SettingsError

def loads_a_plug_in(chosen):
    print("+33612340015")
    logging.StreamHandler().emit(logging.makeLogRecord({"msg": "+33612340015"}))
    sys.stderr.write(f"{metrics.FIELDS_DROPPED.labels('print')._value.get()}")
    raise SettingsError("it is wrong")

startup._set_up, startup.confine = loads_a_plug_in, lambda: None
try:
    startup.setup()
finally:
    sys.__stdout__.write(f"{metrics.FIELDS_DROPPED.labels('print')._value.get()}")
"""


def test_what_a_plug_in_prints_is_counted_and_written_nowhere() -> None:
    done = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (2, "reminder-worker: error: it is wrong\n")
    assert float(done.stdout) == 3


FIRST = """\
import multiprocessing, os
from reminder_worker import settings, startup

prepare = startup.prepare

def seen(*given):
    print(os.getpid(), flush=True)
    return prepare(*given)

startup.prepare = seen
startup.cli.main = lambda words: print(os.getpid(), words.broker, multiprocessing.get_start_method()) or 0
multiprocessing.set_start_method("forkserver")  # as on Linux from Python 3.14 on
assert startup.run(settings.read(), 2, 8) == 0
"""


def make_worker(folder: Path, server: EmbeddedServer) -> None:
    new_worker(folder / "keys", datetime.now(UTC))
    (folder / "reminder-worker.toml").write_text(f'store_url = "{server.url()}"\n[providers.outbox]\npath = "outbox"\n')


@pytest.mark.usefixtures("client")
def test_a_worker_s_first_process_loads_no_key_and_forks_the_others(server: EmbeddedServer, tmp_path: Path) -> None:
    make_worker(tmp_path, server)
    command = [sys.executable, "-c", FIRST]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    prepared, first = (line.split() for line in done.stdout.splitlines())
    assert prepared[0] != first[0]
    assert first[1] == "reminder_worker.startup:setup"
    assert first[2] == ("fork" if sys.platform == "linux" else "forkserver")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone lets a process choose")
@pytest.mark.usefixtures("client")
def test_each_process_of_a_worker_is_on_one_processor(server: EmbeddedServer, tmp_path: Path) -> None:
    make_worker(tmp_path, server)
    ends = "import os, sys; sys.__stdout__.write(str(len(os.sched_getaffinity(0))))"
    command = [sys.executable, "-c", f"from reminder_worker import startup; startup.setup(); {ends}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "1"


def test_a_worker_whose_pepper_is_not_the_list_s_does_not_start(
    server: EmbeddedServer, client: store.Client, tmp_path: Path
) -> None:
    """Its opt-out list would be empty, and who said STOP would be texted."""
    make_worker(tmp_path, server)
    command = [sys.executable, "-c", "from reminder_worker import startup; startup.setup()"]
    start = partial(subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert [start().returncode for _ in range(2)] == [0, 0]
    pepper_file(tmp_path / "keys").unlink()
    rotate(tmp_path / "keys", datetime.now(UTC))  # makes one where there is none
    done = start()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "optouts.pepper: is not the key that the store's opt-out list is made with" in done.stderr
    assert client.xlen("rw:{0}:stops") == 1
