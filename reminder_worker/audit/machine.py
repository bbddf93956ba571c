"""What the machine shows of the processes to anyone who has an account there or takes its disk."""

import re
import ssl
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from reminder_worker.audit.case import Case, where
from reminder_worker.audit.evidence import Piece, in_folder, limit_of_core, mask_of_files, of_process
from reminder_worker.audit.installation import PROCESSES, SETTINGS
from reminder_worker.https import Site, check_url

ELSEWHERE = "http://api.example.com", "http://10.0.0.1", "ftp://127.0.0.1"
LOOPBACK = "'127.0.0.1'"
WRITTEN = (
    re.compile(r"^/dev/"),
    re.compile(r"/\.?worker\.(ratchet|epoch|seen)[^/]*$"),  # the key that a worker forgets, and that it has
    re.compile(r"/reminder-worker-metrics-[^/]*/\w+\.db$"),  # names and numbers of series, shared by its processes
)
DONE = "os.putenv ", "dramatiq", "reminder-worker-metrics-"  # variables, a worker's processes, their folder
PRIVATE = {".key", ".ratchet", ".pepper", ".whsec", ".token"}
LISTS = {"api-keys.json", "operators.json"}
OTHERS = 0o077  # what a private file grants nobody


def tls(_: Case) -> Iterator[str]:
    """No setting lets a number leave this machine without TLS, or reach a server that its certificate does not name."""
    for url in ELSEWHERE:
        with suppress(ValueError):
            check_url(url)
            yield "a URL without TLS"
    with closing(Site("https://api.example.com")) as site:
        context = site._tls  # noqa: SLF001 - what it would connect with
        strict = context is not None and context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
        yield from [] if strict else ["a certificate that is not verified"]


def connections(case: Case) -> Iterator[str]:
    """No process connects to anything but the store, the provider and the platforms."""
    known = {repr(str(case.story.here.server.socket)), repr(case.story.world.address)}
    doings = [line for line in _doings(case) if line.startswith("socket.")]
    for line in doings:
        action, _, target = line.partition(" ")
        if action == "socket.getaddrinfo" and not target.startswith(f"({LOOPBACK},"):
            yield "a name that is looked up"
        elif action != "socket.getaddrinfo" and (action != "socket.connect" or target not in known):
            yield action
    yield from [] if doings else ["nobody connected"]


def doings(case: Case) -> Iterator[str]:
    """No file name, environment, connection or child's command line holds a secret or anything about a person."""
    pieces = [Piece(line.partition(" ")[0], line.encode()) for line in _doings(case)]
    yield from where(pieces, case.secrets)
    yield from (piece.where for piece in pieces if not case.silent(piece.content))


def _doings(case: Case) -> Iterator[str]:
    """Return what processes did to the world outside, as they recorded it."""
    for path in sorted(case.story.here.ear.glob("*.doings")):
        yield from path.read_text(errors="replace").splitlines()


def command_lines(case: Case) -> Iterator[str]:
    """Command lines and environments hold no secret and nothing about a person."""
    pieces = [piece for name in PROCESSES for piece in of_process(name, case.story.here.pids(name))]
    yield from where(pieces, case.secrets)
    yield from (piece.where for piece in pieces if not case.silent(piece.content))
    yield from [] if pieces else ["no process was looked at"]


def files_written(case: Case) -> Iterator[str]:
    """No process writes a file, except the worker to forget a key, and what Python and the system need."""
    for line in _doings(case):
        action, _, target = line.partition(" ")
        if action == "write" and not any(known.search(target) for known in WRITTEN):
            yield f"write {Path(target).suffix}"  # the name could be a person's
        elif action.startswith(("os.", "subprocess.")) and not any(known in line for known in DONE):
            yield action


def temporary_files(case: Case) -> Iterator[str]:
    """No temporary file holds anything about a person."""
    yield from (piece.where for piece in in_folder(case.story.here.temporary) if not case.silent(piece.content))


def key_files(case: Case) -> Iterator[str]:
    """Only its owner can read a private file, or any file that a process may make."""
    for folder in SETTINGS:
        for path in (case.story.here.folder / folder).rglob("*"):
            private = path.suffix in PRIVATE or path.name in LISTS
            if private and stat.S_IMODE(path.stat().st_mode) & OTHERS:
                yield f"{folder}/{path.name}"
    for name in PROCESSES:
        masks = {mask_of_files(pid) for pid in case.story.here.pids(name)}
        yield from (f"files that {name} makes" for mask in masks if mask & OTHERS != OTHERS)


def crashes(case: Case) -> Iterator[str]:
    """Uncaught exceptions go to our log, which withholds what they say."""
    lines = {line for path in case.story.here.ear.glob("*.crashes") for line in path.read_text().splitlines()}
    yield from sorted(name for name in set(" ".join(lines).split()) if not name.startswith("reminder_worker"))
    yield from [] if lines else ["no process was looked into"]


def core_dumps(case: Case) -> Iterator[str]:
    """No crash writes a process's memory to a disk, and only root may read that memory."""
    lines = {line for path in case.story.here.ear.glob("*.dumpable") for line in path.read_text().splitlines()}
    yield from [] if lines == {"0"} else ["a process that others of its user may look into"]
    limits = {name: limit_of_core(pid) for name in PROCESSES for pid in case.story.here.pids(name)}
    yield from (f"{name} may write {limit} bytes" for name, limit in limits.items() if limit not in {0, None})


def swap(_: Case) -> Iterator[str]:
    """No memory is swapped to a disk; if it is, switch that off for the worker, or encrypt it."""
    try:
        yield from (line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:])
    except OSError:
        return
