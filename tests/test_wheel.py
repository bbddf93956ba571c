"""What is installed elsewhere holds all that the program needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWN = {".html", ".css", ".js", ".svg"}


def test_the_wheel_holds_words_scripts_templates_and_examples(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    inside = [path for folder in ("lua", "stems") for path in (ROOT / "reminder_worker" / folder).rglob("*.[lt]*")]
    needed = {str(path.relative_to(ROOT)) for path in inside}
    needed |= {f"reminder_worker/{path.relative_to(ROOT)}" for path in (ROOT / "templates").glob("*/reminder.txt")}
    shown = [path for path in (ROOT / "reminder_worker" / "ops").rglob("*") if path.suffix in SHOWN]
    assert {path.suffix for path in shown} == SHOWN
    needed |= {str(path.relative_to(ROOT)) for path in shown}
    needed |= {"reminder_worker/examples/appointments.jsonl", "reminder_worker/py.typed"}
    assert len(needed) > 30
    assert needed <= held
    assert not any(name.startswith(("tests", "docs", "examples")) for name in held)
