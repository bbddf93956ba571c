"""The commands under ``reminder-worker dead``: list the reminders that wait for a person's decision, and decide.

They open nothing: the operator's user of the store is enough, and no key.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reminder_worker.errors import SettingsError
from reminder_worker.supportcommands import REFUSED, Config, Json, Yes, agreed, open_ledger

if TYPE_CHECKING:
    from reminder_worker.decisions import Decision, Waiting

app = typer.Typer(
    no_args_is_help=True,
    help="What waits for a person's decision: dead letters, and what is unknown (docs/support.md).\n\n"
    "Example: reminder-worker dead list",
)

OrNames = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As dead list shows it.")]
Because = Annotated[str | None, typer.Option("--reason", help="All that wait for this reason, such as restored.")]

_SAID = {
    "settled": "no longer waits: it was decided, moved, cancelled or settled meanwhile",
    "gone": "its envelope was deleted, so there is nothing to send; its platform may hand it in again",
    "in_doubt": "a provider may have accepted it, so a second text may arrive: "
    "dead resolve it, or dead retry --although-it-may-arrive-twice",
    "certain": "it was surely not accepted, so there is nothing to settle: dead retry or dead drop it",
}


@app.command("list")
def list_waiting(json: Json = False, config: Config = None) -> None:
    """List what waits, oldest first.

    Example: reminder-worker dead list
    """
    from reminder_worker import decisions, screen  # noqa: PLC0415

    found = decisions.waiting(open_ledger(config))
    screen.print_json([screen.plain_waiting(one) for one in found]) if json else screen.print_waiting(found)


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="ID")], json: Json = False, config: Config = None) -> None:
    """Show all that is known of a reminder that waits, and what can be done about it.

    Example: reminder-worker dead show qpvuntsmwlqt-0
    """
    from reminder_worker import decisions, screen  # noqa: PLC0415

    (one,) = _chosen(decisions.waiting(open_ledger(config)), [name])
    screen.print_json(screen.plain_waiting(one)) if json else screen.print_decidable(one)


@app.command()
def retry(
    names: OrNames = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters; no unknown reminders.")] = False,
    although: Annotated[
        bool, typer.Option("--although-it-may-arrive-twice", help="Also what a provider may have accepted.")
    ] = False,
    reason: Because = None,
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Send reminders back to the schedule, if the envelope still exists; one that is no longer of use expires.

    Example: reminder-worker dead retry --all
    """
    from reminder_worker.decisions import Decision, Kind, waiting  # noqa: PLC0415

    if every + bool(names) + bool(reason) != 1 or (every and although):
        raise SettingsError("dead retry: name what to retry, or say --reason, or --all, which is for dead letters only")
    schedule = open_ledger(config)
    found = waiting(schedule)
    chosen = [one for one in found if one.kind is Kind.DEAD_LETTER] if every else _meant(found, names, reason)
    _decide(schedule, chosen, Decision.RESEND if although else Decision.RETRY, yes=yes)


@app.command()
def drop(names: OrNames = None, reason: Because = None, yes: Yes = False, config: Config = None) -> None:
    """Give up on reminders: they end as failed, and an envelope that nothing else needs is deleted.

    Example: reminder-worker dead drop qpvuntsmwlqt-0
    """
    from reminder_worker.decisions import Decision, waiting  # noqa: PLC0415

    schedule = open_ledger(config)
    _decide(schedule, _meant(waiting(schedule), names, reason), Decision.DROP, yes=yes)


@app.command()
def resolve(
    outcome: Annotated[str, typer.Option("--as", metavar="sent|failed", help="What the provider shows.")],
    names: OrNames = None,
    reason: Because = None,
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Record what became of unknown reminders, as found out at the provider.

    Example: reminder-worker dead resolve qpvuntsmwlqt-0 --as sent

    After a restore: reminder-worker dead resolve --reason restored --as sent
    """
    from reminder_worker.decisions import Decision, waiting  # noqa: PLC0415

    if outcome not in {Decision.SENT, Decision.FAILED}:
        raise SettingsError("--as: sent or failed")
    schedule = open_ledger(config)
    _decide(schedule, _meant(waiting(schedule), names, reason), Decision(outcome), yes=yes)


def _meant(found: Sequence["Waiting"], names: Sequence[str] | None, reason: str | None) -> list["Waiting"]:
    """Return the reminders of some names, or all that wait for a reason. Raises SettingsError."""
    if bool(names) == bool(reason):
        raise SettingsError("name what is meant, or say --reason; see reminder-worker dead list")
    return [one for one in found if one.reason == reason] if reason else _chosen(found, names or [])


def _chosen(found: Sequence["Waiting"], names: Sequence[str]) -> list["Waiting"]:
    """Return the reminders of some names. Raises SettingsError, which repeats no name, since it may be anything."""
    from reminder_worker.ledger import NAME  # noqa: PLC0415

    chosen = []
    for number, name in enumerate(dict.fromkeys(names), 1):
        meant = [one for one in found if one.name == name]
        if len(meant) != 1:
            what = "is the name of two that wait: decide when one of them is settled" if meant else "does not wait"
            what = what if NAME.fullmatch(name) else "is no id, which is twelve letters, a hyphen and a number"
            raise SettingsError(f"ID {number}: {what}; see reminder-worker dead list")
        chosen += meant
    return chosen


def _decide(schedule: Any, chosen: Sequence["Waiting"], decision: "Decision", *, yes: bool) -> None:
    """Ask, carry out the decision, and report what could not be done."""
    from reminder_worker import decisions  # noqa: PLC0415
    from reminder_worker.acts import Who  # noqa: PLC0415

    if not chosen:
        print("nothing of that waits; see reminder-worker dead list")
        return
    if not yes and not agreed(f"{decision}: {_named(chosen)}. Go on?"):
        print("nothing was done")
        raise typer.Exit(REFUSED)
    who, refused = Who.here(), 0
    for one in chosen:
        answer = decisions.decide(schedule, one, decision, who)
        if answer is not decisions.Answer.DONE:
            refused += 1
            print(f"{one.name}: {_SAID[answer]}", file=sys.stderr)
    print(f"{decision}: {len(chosen) - refused} done, {refused} refused")
    raise typer.Exit(REFUSED if refused else 0)


def _named(chosen: Sequence["Waiting"]) -> str:
    more = f" and {len(chosen) - 10} more" if len(chosen) > 10 else ""  # noqa: PLR2004
    return f"{', '.join(one.name for one in chosen[:10])}{more}"
