"""Check a worker's key files and the public keys that platforms seal to; nothing is changed, and no key is shown."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.findings import Finding, Grade, check_private, try_to_load, unsafe
from reminder_worker.keyfiles import Kind, is_kind
from reminder_worker.mistakes import named
from reminder_worker.settings import Settings
from reminder_worker.signatures import Secret
from reminder_worker.store import Client

FEWEST_WEEKS = 13  # of public keys ahead


def check_keys(folder: Path) -> Iterator[Finding]:
    """Check the keys and change nothing: a key forgotten because of a wrong clock would never come back."""
    yield from try_to_load("the worker's keys", partial(_load_keys, folder))
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.name.endswith((".key", ".ratchet", ".pepper", ".apikey", ".whsec")):
            yield from check_private(str(path), path, "whoever reads it can act with the rights that it gives")
        yield from _check_copy(path)
    yield from _check_opened(folder / "worker.pub.json")
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            Grade.NOTE,
            "keys_not_writable",
            f"{folder} cannot be written to by this user",
            "a worker of this user can neither forget a key nor remember the store that it knows",
            "give the folder to the worker's user, and mount it writable",
        )


def _check_copy(path: Path) -> Iterator[Finding]:
    """Find what an editor or a careful person has left beside the ratchet, except the file that will replace it."""
    if path.name != "worker.ratchet" and not path.name.startswith(".worker.ratchet.") and is_kind(path, Kind.RATCHET):
        yield unsafe(
            "ratchet_copied",
            f"{path} is a copy of the ratchet",
            "no worker turns the copy: with an old backup of the store it opens what was sent since",
            f"run: shred -u {path}",
        )


def check_restored(settings: Settings, client: Client) -> Iterator[Finding]:
    """Check that the ratchet is not older than the store remembers; another check reports a store that is away."""
    from reminder_worker.epochs import Epochs  # noqa: PLC0415 - not for blind processes
    from reminder_worker.ratchet import ratchet_file  # noqa: PLC0415
    from reminder_worker.schedule import Schedule  # noqa: PLC0415

    if not ratchet_file(settings.keys).is_file():
        return  # another check reports that
    epochs = Epochs(Schedule.of(settings, client), settings.keys)
    with suppress(StoreUnavailable):
        yield from try_to_load("the ratchet", partial(epochs.check, datetime.now(UTC)))


def _load_keys(folder: Path) -> None:
    from reminder_worker import opening, optouts, ratchet  # noqa: PLC0415 - not for blind processes

    opening.WorkerKeys.load(folder)
    optouts.Tags.load(folder)
    ratchet.turn(ratchet.Ratchet.load(folder), datetime.now(UTC))


def check_published(settings: Settings) -> Iterator[Finding]:
    """Check that `web`, `hooks` and workers have keys to seal to, and for how long; what is pending is in no danger."""
    from reminder_worker import root, sealing  # noqa: PLC0415 - not for blind processes

    path = settings.keys / "worker.pub.json"
    try:
        public = root.Published(settings.keys, settings.root).load()
    except SettingsError as error:
        yield unsafe(
            "not_published",
            f"{path}: {str(error).removeprefix(f'{path}: ')}",
            "nothing can be sealed to it, and neither web nor hooks nor a worker starts",
            "bring it from where it was made, or make it anew there, signed if the settings name a root (docs/keys.md)",
        )
        return
    left = max(public.envelopes, default=0) - sealing.week(datetime.now(UTC))
    if left < FEWEST_WEEKS:
        yield Finding(
            Grade.NOTE,
            "keys_run_out",
            f"the keys in {path} run out in {left} weeks",
            "appointments after that are refused",
            "run reminder-worker keys rotate, and hand the file to the platforms",
        )


def _check_opened(path: Path) -> Iterator[Finding]:
    """Check that this worker, once it has turned its ratchet, opens what is sealed to its public keys."""
    from reminder_worker import opening, sealing  # noqa: PLC0415 - not for blind processes
    from reminder_worker.ratchet import Ratchet, turn  # noqa: PLC0415

    try:
        public = sealing.PublicKeys.load(path)
        pointers = [opening.load_pointer_key(file) for file in opening.pointer_files(path.parent)]
        keys = opening.WorkerKeys(pointers, turn(Ratchet.load(path.parent), datetime.now(UTC)))  # in memory only
    except SettingsError:  # another check reports that
        return
    ahead = (key for week, key in public.envelopes.items() if week >= keys.week)
    envelopes = all(keys.envelope_box(sealing.kid(key)) for key in ahead)
    if not envelopes or not all(keys.pointer_box(sealing.kid(key)) for key in public.pointers):
        yield unsafe(
            "keys_differ",
            f"{path} has public keys whose private keys are not in this folder",
            "what is sealed to them is rejected here",
            "bring all worker.* keys from the machine where they were made, or run reminder-worker keys rotate here",
        )


def check_secret(where: str, path: Path | None) -> Iterator[Finding]:
    """Check the secret that we sign with, for one platform."""
    if path is not None:
        yield from check_private(f"{where}_secret_file: the file", path, "it lets others speak in your name")
        load = named(f"{where}_secret_file")(Secret.load)
        yield from try_to_load(f"{where}_url", partial(load, path))
