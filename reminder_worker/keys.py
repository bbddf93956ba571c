"""Makes, rotates and publishes key files; used by the command line alone.

A private key is written once with mode 0600, never printed and never overwritten.
"""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nacl.signing import SigningKey

from reminder_worker import gateway, root, signatures
from reminder_worker.encoding import WEEKS_AHEAD, to_text
from reminder_worker.errors import SettingsError
from reminder_worker.keyfiles import (
    KEY_BYTES,
    PRIVATE,
    PUBLIC,
    Kind,
    create_file,
    is_kind,
    key_file,
    key_from_file,
    read_key_file,
    replace_file,
)
from reminder_worker.opening import load_pointer_key, pointer_files
from reminder_worker.optouts import pepper_file
from reminder_worker.ratchet import GRACE_WEEKS, Ratchet, ratchet_file, save_ratchet, turn
from reminder_worker.sealing import PublicKeys, is_platform, kid, week


@dataclass(frozen=True, slots=True)
class Rotation:
    """What ``rotate`` did."""

    pointer_file: Path
    pointer_keys: int  # how many now open pointers
    weeks_forgotten: int
    public_file: Path
    unsigned: bool  # the published file has a root's signature, and stays in force until the root has signed this one


def new_worker(folder: Path, now: datetime) -> list[Path]:
    """Make a worker's keys and return the files. Raises SettingsError, writing nothing, if a worker has keys there."""
    pointer, ratchet = _pointer_file(folder, 1), ratchet_file(folder)
    if ratchet.exists():  # the pointer key, written first, guards itself
        raise SettingsError(f"{folder}: holds a worker's keys already, and keys are never overwritten")
    _make(folder)
    create_file(pointer, key_file(Kind.POINTER, private=_secret()), PRIVATE)
    first = Ratchet(week(now) - GRACE_WEEKS, secrets.token_bytes(KEY_BYTES))
    create_file(ratchet, first.to_file(), PRIVATE)
    return [pointer, ratchet, _make_pepper(folder), _publish(folder, now)]


def new_ratchet(folder: Path, now: datetime) -> tuple[Path, Path]:
    """Make a ratchet if a worker's was lost or is too old, and publish anew; return both files.

    What is sealed to the previous one can never be opened; pointers can. Raises SettingsError.
    """
    newest = pointer_files(folder)[-1]  # a folder without them is not a worker's
    path = ratchet_file(folder)
    ratchet = Ratchet(week(now) - GRACE_WEEKS, secrets.token_bytes(KEY_BYTES))
    create_file(path, ratchet.to_file(), PRIVATE, like=newest)
    return path, _publish(folder, now)


def new_root(folder: Path) -> tuple[Path, Path]:
    """Make the root that signs a worker's public keys; return its private file and the one that platforms pin.

    Its machine should be neither the worker's nor on a network. Raises SettingsError.
    """
    private, public = folder / "root.key", folder / "root.pub"
    if public.exists():
        raise SettingsError(f"{public}: is there already, and keys are never overwritten")
    _make(folder)
    key = SigningKey.generate()
    create_file(private, key_file(Kind.ROOT, signing=to_text(bytes(key))), PRIVATE)
    create_file(public, key_file(Kind.ROOT_VERIFY, verify=to_text(bytes(key.verify_key))), PUBLIC)
    return private, public


def sign(path: Path, root_file: Path, now: datetime) -> tuple[PublicKeys, bytes]:
    """Sign a file of public keys in place; return what is signed, and the root's public key. Raises SettingsError."""
    (text,) = read_key_file(root_file, Kind.ROOT, "signing")
    key = SigningKey(key_from_file(root_file, text))
    signed = root.sign(PublicKeys.load(path), key, now)
    _write(path, signed.to_json())
    return signed, bytes(key.verify_key)


def fingerprints(path: Path) -> dict[str, str]:
    """Return fingerprints of what is in a public file: pointer keys, the newest last, and all keys together."""
    if is_kind(path, Kind.ROOT_VERIFY):
        (text,) = read_key_file(path, Kind.ROOT_VERIFY, "verify")
        return {"root": root.fingerprint(key_from_file(path, text))}
    public = PublicKeys.load(path)
    pointers = {f"pointer {to_text(kid(key))}": root.fingerprint(key) for key in public.pointers}
    return pointers | {"all keys": root.fingerprint_of_all(public)}


def new_platform(name: str, folder: Path) -> tuple[Path, Path]:
    """Make a platform's keys; return its private file and the one that the worker needs. Raises SettingsError."""
    if not is_platform(name):
        raise SettingsError("platform: a name has 1 to 20 of the characters a-z, 0-9 and -")
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    if public.exists():
        raise SettingsError(f"{public}: is there already, and keys are never overwritten")
    _make(folder)
    signing = SigningKey.generate()
    text = key_file(Kind.PLATFORM, name=name, signing=to_text(bytes(signing)), index=_secret())
    create_file(private, text, PRIVATE)
    create_file(public, key_file(Kind.VERIFY, verify=to_text(bytes(signing.verify_key))), PUBLIC)
    return private, public


def new_gateway(folder: Path) -> tuple[Path, Path]:
    """Make the gateway's keys; return its private file and the one that the worker needs. Raises SettingsError."""
    private, public = gateway.private_file(folder), folder / "gateway.pub"
    if public.exists():
        raise SettingsError(f"{public}: is there already, and keys are never overwritten")
    _make(folder)
    signing = {name: SigningKey.generate() for name in ("live", "test", "records")}
    secret_parts = {name: to_text(bytes(key)) for name, key in signing.items()}
    create_file(private, key_file(Kind.GATEWAY, **secret_parts, index=_secret()), PRIVATE)
    shown = {name: to_text(bytes(key.verify_key)) for name, key in signing.items()}
    create_file(public, key_file(Kind.GATEWAY_VERIFY, **shown), PUBLIC)
    return private, public


def new_events(platform: str, folder: Path) -> Path:
    """Make the secret that signs events to a platform; return its file. Raises SettingsError."""
    if not is_platform(platform):
        raise SettingsError("platform: a name has 1 to 20 of the characters a-z, 0-9 and -")
    path = folder / f"{platform}.whsec"
    _make(folder)
    create_file(path, signatures.PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n", PRIVATE)
    return path


def public(folder: Path, now: datetime) -> str:
    """Return the JSON that platforms need: pointer keys, and envelope keys from last week on. Raises SettingsError."""
    ratchet = turn(Ratchet.load(folder), now)
    pointers = tuple(bytes(load_pointer_key(path).public_key) for path in pointer_files(folder))
    envelopes = {}
    while ratchet.week <= week(now) + WEEKS_AHEAD:
        envelopes[ratchet.week] = bytes(ratchet.key().public_key)
        ratchet = ratchet.at(ratchet.week + 1)
    return PublicKeys(pointers, envelopes).to_json()


def forget(folder: Path, now: datetime) -> int:
    """Forget the envelope keys of weeks that are over, as workers do by themselves; return the number of weeks.

    Raises SettingsError.
    """
    before = Ratchet.load(folder)
    after = turn(before, now)
    if not save_ratchet(folder, after):
        raise SettingsError(f"{ratchet_file(folder)}: cannot be replaced")
    return after.week - before.week


def rotate(folder: Path, now: datetime) -> Rotation:
    """Add a pointer key beside the old ones, forget past weeks and publish anew. Raises SettingsError."""
    forgotten = forget(folder, now)
    files = pointer_files(folder)
    _make_pepper(folder, like=files[-1])
    path = _pointer_file(folder, int(files[-1].name.split(".")[2]) + 1)
    create_file(path, key_file(Kind.POINTER, private=_secret()), PRIVATE, like=files[-1])
    published = _publish(folder, now)
    return Rotation(path, len(files) + 1, forgotten, published, published != public_file(folder))


def _make_pepper(folder: Path, *, like: Path | None = None) -> Path:
    """Make the key of the opt-out list, once: with another key, everyone who said STOP would be forgotten."""
    path = pepper_file(folder)
    if not path.exists():
        create_file(path, key_file(Kind.PEPPER, pepper=_secret()), PRIVATE, like=like)
    return path


def public_file(folder: Path) -> Path:
    """Return the path of the file that platforms fetch."""
    return folder / "worker.pub.json"


def _publish(folder: Path, now: datetime) -> Path:
    """Write the public keys anew; beside those that a root has signed, which stay in force until it signs these."""
    path = public_file(folder)
    if _is_signed(path):
        path = folder / "worker.pub.new.json"
    return _write(path, public(folder, now))


def _is_signed(path: Path) -> bool:
    """Return whether a file can be used as a root has signed it; one that is damaged serves nobody."""
    try:
        return PublicKeys.load(path).signature is not None
    except SettingsError:
        return False


def _write(path: Path, text: str) -> Path:
    try:
        replace_file(path, text, PUBLIC)
    except OSError:
        raise SettingsError(f"{path}: cannot be written") from None
    return path


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise SettingsError(f"{folder}: cannot be made") from None


def _pointer_file(folder: Path, number: int) -> Path:
    return folder / f"worker.pointer.{number}.key"


def _secret() -> str:
    return to_text(secrets.token_bytes(KEY_BYTES))
