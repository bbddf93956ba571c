"""The commands under ``reminder-worker keys``: they make, publish and rotate key files, and print no secret."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from reminder_worker.errors import SettingsError

app = typer.Typer(
    no_args_is_help=True, help="Make, publish, sign and rotate keys.\n\nExample: reminder-worker keys rotate keys"
)
new_app = typer.Typer(
    no_args_is_help=True,
    help="Make keys, in files; none is printed, and none overwritten.\n\nExample: reminder-worker keys new worker keys",
)
app.add_typer(new_app, name="new")

Folder = Annotated[Path, typer.Argument(help="Folder for the key files.")]


@new_app.command("worker")
def new_worker(folder: Folder) -> None:
    """Make a worker's keys: they open pointers and jobs.

    Example: reminder-worker keys new worker keys
    """
    from reminder_worker import keys  # noqa: PLC0415

    for path in keys.new_worker(folder, datetime.now(UTC)):
        print(f"wrote {path}")


@new_app.command("ratchet")
def new_ratchet(folder: Folder) -> None:
    """Make a worker's ratchet anew if it was lost, or is over a year old; what waits for the old one is lost.

    Example: reminder-worker keys new ratchet keys
    """
    from reminder_worker import keys  # noqa: PLC0415

    for path in keys.new_ratchet(folder, datetime.now(UTC)):
        print(f"wrote {path}")


@new_app.command("root")
def new_root(folder: Folder) -> None:
    """Make the root that signs the worker's public keys; on a machine other than the worker's, best without a network.

    Example: reminder-worker keys new root root
    """
    from reminder_worker import keys  # noqa: PLC0415

    for path in keys.new_root(folder):
        print(f"wrote {path}")


@new_app.command("platform")
def new_platform(name: Annotated[str, typer.Argument(help="As in the settings, a-z 0-9 -.")], folder: Folder) -> None:
    """Make a booking platform's keys: they sign jobs and make ids.

    Example: reminder-worker keys new platform clinic keys
    """
    from reminder_worker import keys  # noqa: PLC0415

    for path in keys.new_platform(name, folder):
        print(f"wrote {path}")


@new_app.command("gateway")
def new_gateway(folder: Folder) -> None:
    """Make the keys of the HTTP API: it signs with them for platforms that hold no keys.

    Example: reminder-worker keys new gateway keys
    """
    from reminder_worker import keys  # noqa: PLC0415

    for path in keys.new_gateway(folder):
        print(f"wrote {path}")


@new_app.command("api")
def new_api(
    platform: Annotated[str, typer.Argument(help="As in the settings.")],
    folder: Folder,
    test: Annotated[bool, typer.Option("--test", help="A key that reaches nobody.")] = False,
    scopes: Annotated[list[str] | None, typer.Option("--scope", help="add, cancel or read; default: all.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="How long it is valid.")] = 365,
) -> None:
    """Make a key for the HTTP API, in a file to hand to the platform; only its hash is kept.

    Example: reminder-worker keys new api clinic keys --scope add --scope cancel
    """
    from reminder_worker import apikeys  # noqa: PLC0415
    from reminder_worker.gateway import Mode  # noqa: PLC0415

    if not set(scopes or []) <= set(apikeys.Scope):
        raise SettingsError(f"--scope: {', '.join(apikeys.Scope)}")
    kept, first = apikeys.key_list(folder), not apikeys.key_list(folder).exists()
    path = apikeys.new(
        platform,
        folder,
        mode=Mode.TEST if test else Mode.LIVE,
        scopes={apikeys.Scope(word) for word in scopes or apikeys.Scope},
        lasts=timedelta(days=days),
        now=datetime.now(UTC),
    )
    print(f"wrote {path}: hand it to the platform, then delete it; it cannot be made again")
    if first:  # in a wrong folder no gateway would ever find it
        print(f"wrote {kept}: a new list of keys; web reads the one in the folder of its setting keys")


@new_app.command("events")
def new_events(platform: Annotated[str, typer.Argument(help="As in the settings.")], folder: Folder) -> None:
    """Make the secret that signs events to a platform: for its settings here, and for the platform.

    Example: reminder-worker keys new events clinic keys
    """
    from reminder_worker import keys  # noqa: PLC0415

    print(f"wrote {keys.new_events(platform, folder)}: the platform verifies events with it")


@new_app.command("operator")
def new_operator(
    name: Annotated[str, typer.Argument(help="a-z 0-9 . _ -; it is noted with what is done.")],
    file: Annotated[Path, typer.Argument(help="The file of the setting ops.operators, or its folder.")],
) -> None:
    """Let a person open the operator's page; asks for a hidden password, twice. To change it, name its owner again.

    Example: reminder-worker keys new operator ada secrets/operators.json
    """
    from reminder_worker.ops import operators  # noqa: PLC0415

    path = operators.file_of(file)
    known = operators.find(path, name)
    if known is not None and not operators.opens(known, _hidden("present password: ")):
        raise SettingsError("password: is another one; only its owner changes it")
    password = _hidden("password, 12 characters or more: ")
    if password != _hidden("once more: "):
        raise SettingsError("password: the two are not the same")
    operators.enter(path, name, password, datetime.now(UTC))
    print(f"wrote {path}: {'its password is changed' if known else 'it is let in'}")


def _hidden(prompt: str) -> str:
    """Read a line: without echo from a terminal, or from what is piped in."""
    import getpass  # noqa: PLC0415
    import sys  # noqa: PLC0415

    try:
        return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    except (EOFError, ValueError):  # not UTF-8: the error's message would quote it
        return ""


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="The part between the second and third _ of the key.")], folder: Folder
) -> None:
    """Forget a key for the HTTP API; a running gateway refuses it from then on.

    Example: reminder-worker keys revoke k3m9x2ab keys
    """
    from reminder_worker import apikeys  # noqa: PLC0415

    apikeys.revoke(name, folder)
    print("revoked")


@app.command("public")
def keys_public(folder: Annotated[Path | None, typer.Argument(help="Default: the settings' keys.")] = None) -> None:
    """Print the JSON with the public keys that platforms need.

    Example: reminder-worker keys public keys > worker.pub.json
    """
    from reminder_worker import keys, settings  # noqa: PLC0415

    print(keys.public(folder or settings.read().keys, datetime.now(UTC)), end="")


@app.command("rotate")
def keys_rotate(folder: Annotated[Path | None, typer.Argument(help="Default: the settings' keys.")] = None) -> None:
    """Add a pointer key beside the old ones, and forget envelope keys of weeks that are over.

    Example: reminder-worker keys rotate keys
    """
    from reminder_worker import keys, settings  # noqa: PLC0415

    done = keys.rotate(folder or settings.read().keys, datetime.now(UTC))
    print(f"wrote {done.pointer_file}; {done.pointer_keys} pointer keys are opened now")
    print(f"forgot the envelope keys of {done.weeks_forgotten} weeks")
    signing = "have the root sign it, then put it in worker.pub.json's place"
    print(f"wrote {done.public_file}: {signing if done.unsigned else 'hand it to the platforms'}")


@app.command("turn")
def keys_turn(folder: Annotated[Path | None, typer.Argument(help="Default: the settings' keys.")] = None) -> None:
    """Forget envelope keys of weeks that are over; a running worker does so by itself.

    Example: reminder-worker keys turn keys
    """
    from reminder_worker import keys, settings  # noqa: PLC0415

    weeks = keys.forget(folder or settings.read().keys, datetime.now(UTC))
    print(f"forgot the envelope keys of {weeks} weeks")


@app.command("sign")
def keys_sign(
    file: Annotated[Path, typer.Argument(help="The file that keys rotate wrote; signed in place.")],
    root: Annotated[Path, typer.Option("--root", help="The root's private key file.")],
) -> None:
    """Sign the worker's public keys, on the root's machine: platforms that pin the root seal to no others.

    Example: reminder-worker keys sign worker.pub.json --root root/root.key
    """
    from reminder_worker import keys  # noqa: PLC0415
    from reminder_worker.root import fingerprint, fingerprint_of_all  # noqa: PLC0415

    signed, verify = keys.sign(file, root, datetime.now(UTC))
    print(f"signed {file}; it holds until {signed.last_day}")
    print(f"root: {fingerprint(verify)}")
    print(f"newest pointer key: {fingerprint(signed.pointers[-1])}")
    print(f"all keys: {fingerprint_of_all(signed)}")


@app.command("fingerprint")
def keys_fingerprint(file: Annotated[Path, typer.Argument(help="root.pub, or worker.pub.json.")]) -> None:
    """Print fingerprints to compare by voice, so that two people know they have the same public key.

    Example: reminder-worker keys fingerprint root/root.pub
    """
    from reminder_worker import keys  # noqa: PLC0415

    for name, shown in keys.fingerprints(file).items():
        print(f"{name}: {shown}")
