"""Make the audit's own child processes report on themselves, including what they normally keep quiet about.

The processes that the audit starts load it as ``sitecustomize``; nothing else does. It records everything that any
logger says at DEBUG, with tracebacks, every file opened for writing, and every connection. It also records how each
object of this program prints, errors with all that they were raised from: when the object ends, or when told to look.
"""

import builtins
import contextlib
import ctypes
import enum
import gc
import logging
import os
import sys
import threading
import time
import traceback
from typing import Any

FOLDER = os.environ["AUDIT_EAR"]
EVERY = 0.1  # seconds between checks whether to look
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_DOINGS = {"socket.getaddrinfo", "socket.sendto", "os.putenv", "os.mkdir", "os.link", "os.symlink"}
_DOINGS |= {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system"}
_GET_DUMPABLE = 3  # prctl
_NOBODYS = {"exc_info", "exc_text", "created", "msecs", "relativeCreated", "process", "thread", "lineno"}  # of a record
_handle = logging.Logger.handle
_build = builtins.__build_class__
_said: set[int] = set()


def note(kind: str, text: str) -> None:
    """Write one entry in one call, so that entries of different threads do not mix."""
    path = os.path.join(FOLDER, f"{os.getpid()}.{kind}")  # noqa: PTH118 - pathlib would be recorded as well
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, text.encode("utf-8", "backslashreplace") + b"\n")
    finally:
        os.close(handle)


def hear(self: logging.Logger, record: logging.LogRecord) -> None:
    """Record a log record as fully as the most talkative handler could, then pass it on."""
    fields = {name: value for name, value in record.__dict__.items() if name not in _NOBODYS}
    trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - a record that cannot be formatted is still searched
        message = ""
    note("records", f"RECORD {record.name} {message} {fields!r} {trace}")
    _handle(self, record)


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Record what the process does to the world outside."""
    if event == "open":
        path, _, flags = arguments
        path = os.fsdecode(path) if isinstance(path, bytes) else path
        if isinstance(path, str) and flags & _WRITING and not path.startswith(FOLDER):
            note("doings", f"write {path}")
    elif event == "socket.connect":
        note("doings", f"{event} {arguments[-1]!r}")
    elif event in _DOINGS:
        note("doings", f"{event} {arguments!r}")


def look() -> None:
    """Record how every object of this program prints, including those that only a running function holds."""
    found = {id(one): one for one in gc.get_objects() if _is_ours(one)}
    for frame in sys._current_frames().values():  # noqa: SLF001 - there is no other way in
        running = (each for each, _ in traceback.walk_stack(frame))
        found |= {id(one): one for each in running for one in each.f_locals.values() if _is_ours(one)}
    for one in found.values():
        try_to_show(one)
    middleware = {type(one).__name__ for one in gc.get_objects() if _is_middleware(one)}
    note("middleware", " ".join(sorted(middleware)))
    if "reminder_worker.logs" in sys.modules:  # one of our processes, not what starts and stops them
        hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
        note("crashes", " ".join(hook.__module__ for hook in hooks))
        note("dumpable", str(ctypes.CDLL(None).prctl(_GET_DUMPABLE, 0, 0, 0, 0) if sys.platform == "linux" else 0))


def show(one: object) -> None:
    """Record once how an object prints."""
    text = f"{type(one).__qualname__} {one!r} {one}"
    if isinstance(one, BaseException):
        text += " " + "".join(traceback.format_exception(one))
    if hash(text) not in _said:
        _said.add(hash(text))
        note("reprs", text.replace("\n", " "))


def try_to_show(self: object) -> None:
    """Record how an object of this program prints, even while it is deleted."""
    with contextlib.suppress(Exception):  # it is still being made, or the process is ending too
        show(self)


def build(*arguments: Any, **words: Any) -> Any:
    """Make a class; if it is this program's, record how each of its objects prints once more when it is deleted."""
    made = _build(*arguments, **words)
    ours = isinstance(made, type) and made.__module__.startswith("reminder_worker.") and not issubclass(made, enum.Enum)
    if ours and made.__module__ != "reminder_worker.stems" and not getattr(made, "_is_protocol", False):
        with contextlib.suppress(TypeError, AttributeError):
            made.__del__ = try_to_show
    return made


def _is_ours(one: object) -> bool:
    module = str(type(one).__module__)
    ours = module.startswith("reminder_worker.") and module != "reminder_worker.stems"  # the lint's own words
    return ours and not isinstance(one, enum.Enum)


def _is_middleware(one: object) -> bool:
    return any(kind.__name__ == "Middleware" and kind.__module__.startswith("dramatiq") for kind in type(one).__mro__)


def wait() -> None:
    """Look each time that the audit asks for it from now on."""
    done = set(os.listdir(FOLDER))  # noqa: PTH208
    while True:
        time.sleep(EVERY)
        wanted = {name for name in os.listdir(FOLDER) if name.startswith("look")}  # noqa: PTH208
        for name in wanted - done:
            done.add(name)
            look()
            note(f"{name}.done", "looked")


def listen() -> None:
    """Start waiting, in this process and in those that it forks."""
    threading.Thread(target=wait, daemon=True, name="audit").start()


builtins.__build_class__ = build
logging.Logger.handle = hear  # type: ignore[method-assign]
logging.Logger.isEnabledFor = lambda _self, level: bool(level)  # type: ignore[assignment,method-assign]
sys.addaudithook(watch)
os.register_at_fork(after_in_child=listen)
listen()
