"""The texts of the ledger's scripts: there from the beginning, whatever becomes of the files."""

import subprocess
import sys


def test_no_script_is_read_as_late_as_when_it_is_needed() -> None:
    code = """
import resource
from reminder_worker import schedule
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
print(schedule.script("settle")[1], schedule.script("note")[1])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [len(digest) for digest in told.stdout.split()] == [40, 40]
