"""What the machine shows of the processes, to whoever has an account there or takes its disk."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from reminder_worker.audit.case import Case, where
from reminder_worker.audit.evidence import in_folder, limit_of_core, of_process
from reminder_worker.audit.installation import PROCESSES

REWRITTEN = re.compile(r"/\.?worker\.(ratchet|epoch)[^/]*$")  # what a worker forgets, and that it did
PRIVATE = {".key", ".ratchet", ".pepper", ".whsec", ".token"}
OTHERS = 0o077  # what a private file grants nobody


def command_lines(case: Case) -> Iterator[str]:
    """Command lines and environments hold no secret and nothing of anybody."""
    pieces = [piece for name in PROCESSES for piece in of_process(name, case.story.here.pids(name))]
    yield from where(pieces, case.secrets)
    yield from (piece.where for piece in pieces if not case.silent(piece.content))
    yield from [] if pieces else ["no process was looked at"]


def files_written(case: Case) -> Iterator[str]:
    """No process writes a file but the worker, which forgets a key, and what Python and the system need."""
    for path in case.story.here.ear.glob("*.doings"):
        for line in path.read_text(errors="replace").splitlines():
            action, _, target = line.partition(" ")
            if action == "write" and not target.startswith("/dev/") and not REWRITTEN.search(target):
                yield Path(target).name
            elif action in {"subprocess.Popen", "os.exec"} and "dramatiq" not in target:
                yield f"a process {action}"


def temporary_files(case: Case) -> Iterator[str]:
    """No temporary file holds anything of anybody."""
    yield from (piece.where for piece in in_folder(case.story.here.temporary) if not case.silent(piece.content))


def key_files(case: Case) -> Iterator[str]:
    """Private files can be read by their owner alone."""
    for folder in PROCESSES:
        for path in (case.story.here.folder / folder).rglob("*"):
            private = path.suffix in PRIVATE or path.name == "api-keys.json"
            if private and stat.S_IMODE(path.stat().st_mode) & OTHERS:
                yield f"{folder}/{path.name}"


def core_dumps(case: Case) -> Iterator[str]:
    """No crash writes a process's memory to a disk."""
    limits = {name: limit_of_core(pid) for name in PROCESSES for pid in case.story.here.pids(name)}
    yield from (f"{name} may write {limit} bytes" for name, limit in limits.items() if limit not in {0, None})


def swap(_: Case) -> Iterator[str]:
    """No memory is swapped to a disk; where it is, switch that off for the worker, or encrypt it."""
    try:
        yield from (line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:])
    except OSError:
        return
