"""The commands for backups: ``restore``, and under ``optouts`` a copy of the opt-out list that is kept apart.

They open nothing. The list is made of tags, which reveal nothing without the pepper.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reminder_worker.errors import SettingsError
from reminder_worker.supportcommands import REFUSED, Config, Json, Yes, agreed, open_ledger

if TYPE_CHECKING:
    from reminder_worker.quarantine import Quarantined

app = typer.Typer(
    no_args_is_help=True,
    help="A copy of the opt-out list, kept apart from backups of the store (docs/backup.md).\n\n"
    "Example: reminder-worker optouts export > optouts.txt",
)

_EXPLAIN = (
    "restore: a backup lists as waiting what was sent after it was made. Put the store's files back, start the store "
    "and nothing else, then say --quarantine: what may have been sent is held for you to decide (docs/backup.md)"
)
_QUESTION = """\
All that is due, queued or being sent becomes unknown, and is not sent unless you say so for each.
Has the store been put back, and is no worker and no scheduler running?"""
_BOTH = "--quarantine, --end: one after the other; --end once all platforms have handed in again"
_NEXT = """\
next, in this order (docs/backup.md):
1. Opt-outs since the backup are LOST here, and people who said STOP since then would be texted again:
   reminder-worker optouts import FILE, from your last export; then what your providers list as stopped.
2. Appointments moved or cancelled since are as they were before: have all platforms hand in and cancel again.
   What they hand in late is held too, until reminder-worker restore --end says that it is new.
3. Start schedulers and workers, then reminder-worker dead list: providers' reports settle some by themselves."""


def restore(
    quarantine: Annotated[bool, typer.Option("--quarantine", help="Hold what may have been sent.")] = False,
    end: Annotated[
        bool, typer.Option("--end", help="All platforms have handed in again: what comes late from now on is new.")
    ] = False,
    yes: Yes = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Make a store that was put back from a backup safe to use; before any worker or scheduler starts.

    Example: reminder-worker restore --quarantine

    Later, when all platforms have handed in again: reminder-worker restore --end
    """
    from reminder_worker import quarantine as steps  # noqa: PLC0415
    from reminder_worker.acts import Who  # noqa: PLC0415

    if quarantine == end:
        raise SettingsError(_BOTH if end else _EXPLAIN)
    schedule = open_ledger(config)
    if end:
        print("ended" if steps.end(schedule, Who.here()) else "nothing was held back")
        return
    if not yes and not agreed(_QUESTION):
        print("nothing was done")
        raise typer.Exit(REFUSED)
    steps.wait_for_silence(schedule)
    _say(steps.quarantine(schedule, Who.here()), json=json)


def _say(done: "Quarantined", *, json: bool) -> None:
    from reminder_worker import screen  # noqa: PLC0415

    if json:
        screen.print_json(screen.plain(done) | {"held": done.held})
        return
    sign = f"about {done.newest_sign:%Y-%m-%d %H:%M:%SZ}" if done.newest_sign else "at an unknown time"
    print(f"the backup was made {sign}; what happened from then to {done.until:%Y-%m-%d %H:%M:%SZ} is not in it")
    held = f"{done.due} due, {done.queued} queued, {done.sending} sending, {done.dead_letters} dead letters"
    print(f"held, as unknown: {done.held} ({held})\nwait for a later time, and go out then: {done.waiting}\n{_NEXT}")


@app.command("export")
def export(config: Config = None) -> None:
    """Write the opt-out list: a line for each phone, by a tag that says nothing without the pepper.

    Example: reminder-worker optouts export > optouts.txt
    """
    from reminder_worker import stops  # noqa: PLC0415

    sys.stdout.writelines(f"{line}\n" for line in stops.export(open_ledger(config)))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The file that optouts export wrote.")],
    config: Config = None,
) -> None:
    """Bring back what the opt-out list has lost; a STOP or START later than the export stays as it is.

    Example: reminder-worker optouts import optouts.txt
    """
    from reminder_worker import acts, stops  # noqa: PLC0415

    try:
        lines = file.read_text("ascii").splitlines()
    except FileNotFoundError:
        raise SettingsError(f"{file}: there is no such file") from None
    except (OSError, ValueError):
        raise SettingsError(f"{file}: cannot be read as what optouts export wrote") from None
    schedule = open_ledger(config)
    print(f"{stops.bring_back(schedule, lines)} brought back")
    acts.note(schedule, "optouts", "imported", acts.Who.here())
