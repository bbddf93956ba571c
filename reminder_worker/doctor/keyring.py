"""The key files of a worker, and the public ones that platforms seal to; nothing is changed and nothing shown."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from reminder_worker.errors import SettingsError
from reminder_worker.findings import Finding, Grade, check_private, try_to_load, unsafe
from reminder_worker.signatures import Secret

FEWEST_WEEKS = 13  # of public keys ahead


def check_keys(folder: Path) -> Iterator[Finding]:
    """Look at the keys and change nothing: what a wrong clock made them forget would never come back."""
    yield from try_to_load("the worker's keys", partial(_load_keys, folder))
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.name.endswith((".key", ".ratchet", ".pepper", ".apikey", ".whsec")):
            yield from check_private(str(path), path, "it opens or signs jobs")
    public = folder / "worker.pub.json"
    if public.is_file():
        yield from _check_public(public)


def _load_keys(folder: Path) -> None:
    from reminder_worker import opening, optouts, ratchet  # noqa: PLC0415 - not for blind processes

    opening.WorkerKeys.load(folder)
    optouts.Tags.load(folder)
    ratchet.turn(ratchet.Ratchet.load(folder), datetime.now(UTC))


def _check_public(path: Path) -> Iterator[Finding]:
    """Say early that the published keys run out: what is pending is not in danger."""
    from reminder_worker import sealing  # noqa: PLC0415 - not for blind processes

    try:
        last = max(sealing.PublicKeys.load(path).envelopes, default=0)
    except SettingsError as error:
        yield unsafe("unusable", str(error), "platforms cannot seal with it", "run reminder-worker keys rotate")
        return
    left = last - sealing.week(datetime.now(UTC))
    if left < FEWEST_WEEKS:
        yield Finding(
            Grade.NOTE,
            "keys_run_out",
            f"{path} ends in {left} weeks",
            "appointments after that are refused",
            "run reminder-worker keys rotate, and hand the file to the platforms",
        )


def check_secret(where: str, path: Path | None) -> Iterator[Finding]:
    """Look at what we sign with, for one platform."""
    if path is not None:
        yield from check_private(f"{where}_secret_file: the file", path, "it lets them speak in your name")
        yield from try_to_load(f"{where}_url", partial(Secret.load, path))
