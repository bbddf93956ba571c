"""The commands for support and for those who supervise operators, ``find`` and ``acts``; and what commands share.

``find`` is for the worker's machine, where the pepper is. The number is never an argument: other users could read it in
the list of processes and in a shell's history.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from reminder_worker.errors import SettingsError

REFUSED = 1  # exit code

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default: $REMINDER_CONFIG, else ./reminder-worker.toml.")
]
PlatformName = Annotated[str | None, typer.Option("--platform", help="Booking platform, as named in the settings.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def find(config: Config = None) -> None:
    """Ask for a number, hidden, and show what became of its reminders; on the worker's machine. It records who asked.

    Example: reminder-worker find

    Or: reminder-worker find < number.txt
    """
    from reminder_worker import enquiry, screen, settings  # noqa: PLC0415
    from reminder_worker.acts import Who  # noqa: PLC0415
    from reminder_worker.optouts import Tags  # noqa: PLC0415

    chosen, schedule = settings.read(config), open_ledger(config)
    tags, number = Tags.load(chosen.keys), _number()
    screen.print_found(enquiry.ask(schedule, tags, chosen.platforms, number, Who.here()))


def acts(json: Json = False, config: Config = None) -> None:
    """List what operators did: decisions about reminders, questions about numbers, restores, opt-outs brought back.

    Example: reminder-worker acts
    """
    from reminder_worker import acts as lines  # noqa: PLC0415
    from reminder_worker import screen  # noqa: PLC0415

    done = lines.read(open_ledger(config))
    screen.print_json([screen.plain(one) for one in done]) if json else screen.print_acts(done)


def open_ledger(config: Path | None) -> Any:
    """Connect to the ledger of the settings, and log as they say; a store that hangs is reported within seconds."""
    from reminder_worker import logs, settings, store  # noqa: PLC0415
    from reminder_worker.schedule import Schedule  # noqa: PLC0415

    chosen = settings.read(config)
    logs.set_up(chosen.log_level, chosen.log_format)
    if chosen.gateway is not None and chosen.store_url is None:
        raise SettingsError("store_url: this machine reaches a gateway only; run this where the worker is")
    schedule = Schedule.of(chosen, store.connect(store.existing_url_of(chosen), **store.impatient()))
    schedule.agreement.compare()  # which raises if the store is away: it is not waited for twice
    return schedule


def agreed(question: str) -> bool:
    """Ask once; if nobody can answer, ``--yes`` must have been given. Raises SettingsError."""
    if not sys.stdin.isatty():
        raise SettingsError("--yes: nobody can be asked here; give it if you agree")
    return answered(f"{question} [y/N] ", "n") in {"y", "yes"}


def answered(question: str, otherwise: str) -> str:
    """Ask, and return the answer in lower case; if there is none (Ctrl-D), return ``otherwise``."""
    try:
        return input(question).strip().lower()
    except EOFError:
        print()  # what is said next begins a line
        return otherwise


def _number() -> str:
    """Read one number: unseen from a terminal, or the first line of what is piped."""
    import getpass  # noqa: PLC0415

    try:
        return getpass.getpass("number, with + and country code (hidden): ") if sys.stdin.isatty() else _line()
    except EOFError:
        return ""


def _line() -> str:
    try:
        return sys.stdin.readline()
    except ValueError:  # not UTF-8: the error's own words would quote it
        return ""
