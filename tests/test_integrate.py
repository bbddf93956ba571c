"""docs/integrate.md as a reader follows it: its own blocks, pasted one after the other into a shell."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reminder_worker import magic
from reminder_worker.ports import free_port

DOCUMENT = (Path(__file__).parents[1] / "docs" / "integrate.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def said(tmp_path: Path) -> str:
    """Run all blocks in an empty folder; another port than the page's, for that may be taken here."""
    if shutil.which("curl") is None or sys.platform == "darwin":
        pytest.skip("curl, or GNU date, is not here")
    port = free_port()
    script = "set -eu\n" + "\necho; echo ---\n".join(BLOCKS)
    script = script.replace("localhost:8080", f"localhost:{port}")
    script = script.replace("worker web &", f"worker web --port {port} &")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REMINDER_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    out, log = tmp_path / "said", tmp_path / "log"
    with out.open("wb") as to_out, log.open("wb") as to_log:
        shell = subprocess.Popen(
            ["bash", "-c", script], cwd=tmp_path, env=environment, stdout=to_out, stderr=to_log, start_new_session=True
        )
    try:
        code = shell.wait(90)
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
    assert code == 0, log.read_text()
    return out.read_text("utf-8")


def test_the_page_leads_to_the_first_text(said: str) -> None:
    keys, started, handed_in, shown, cancelled, from_python = said.split("---\n")
    assert "wrote keys/clinic.live." in keys
    assert started.strip() == ""
    assert handed_in.strip("\n") == '{"result": "added"}'  # as the page has it
    assert max(map(len, shown.splitlines())) < 1000  # no walls of blanks
    assert "  \n" not in shown + cancelled
    assert '"state": "sent"' in shown
    assert "12 rue des Lilas, Lyon" in shown
    assert shown.count("Lilas") == 1
    assert json.loads(cancelled)["title"] == "ended"
    assert from_python.strip() == "added scheduled scheduled"
    assert "`added scheduled scheduled`" in DOCUMENT


def test_what_the_page_says_about_magic_numbers_is_so() -> None:
    rows = dict(re.findall(r"\| `(\+1500555\d{4})`.*?\| `(\w+)` \|", DOCUMENT))
    assert rows == {number: part for part, number in magic.PARTS.items()}
