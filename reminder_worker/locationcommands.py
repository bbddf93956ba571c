"""The commands under ``reminder-worker locations``: the places that a platform may show, each reviewed by a person.

They print labels to the reviewer, on that person's own screen; a refusal names the rule and not the label.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from reminder_worker.errors import Refused, SettingsError
from reminder_worker.supportcommands import REFUSED, Config, PlatformName, answered

app = typer.Typer(
    no_args_is_help=True,
    help="Keep the catalogue of places that may be shown (docs/locations.md).\n\n"
    "Example: reminder-worker locations review --platform clinic",
)

YES, NO, LATER, QUIT = "y", "n", "", "q"

Labels = Annotated[list[str], typer.Argument(metavar="LABEL...")]


@app.command("add")
def add(
    labels: Annotated[list[str] | None, typer.Argument(metavar="[LABEL]...")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="One label a line.")] = None,
    platform: PlatformName = None,
    config: Config = None,
) -> None:
    """Propose places; none is shown before a person has reviewed it.

    Example: reminder-worker locations add "12 rue des Lilas" --platform clinic

    Or: reminder-worker locations add --file labels.txt
    """
    desk = _open(platform, config)
    if not labels and file is None:
        raise SettingsError("locations add: give a LABEL or --file FILE")
    added = there = 0
    refused: list[str] = []
    for number, label in _numbered(labels or [], file):
        try:
            new = desk.propose(label)
        except Refused as refusal:
            refused.append(f"{number}: {refusal.reason}: {refusal}")
        else:
            added, there = added + new, there + (not new)
    if added:
        desk.save()
    for line in refused:
        typer.echo(line, err=True)
    print(f"{added} added, {there} there already, {len(refused)} refused; {len(desk.waiting)} wait for review")
    raise typer.Exit(REFUSED if refused else 0)


def _numbered(labels: list[str], file: Path | None) -> Iterator[tuple[str, str]]:
    """Yield each label with its position."""
    from reminder_worker import lint  # noqa: PLC0415

    yield from ((f"label {number}", label) for number, label in enumerate(labels, 1))
    if file is not None:
        lines = enumerate(lint.lines(file, "--file"), 1)
        yield from ((f"line {number}", line) for number, line in lines if line.strip())


@app.command("review")
def review(
    accept: Annotated[list[str] | None, typer.Option("--accept", metavar="LABEL", help="Accept unasked.")] = None,
    reject: Annotated[list[str] | None, typer.Option("--reject", metavar="LABEL", help="Take out unasked.")] = None,
    although: Annotated[str | None, typer.Option("--although", metavar="RULE", help="Accept in spite of it.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who reviewed; default: the account.")] = None,
    platform: PlatformName = None,
    config: Config = None,
) -> None:
    """Review each place that waits, with the lint's finding beside it, and say whether it may be shown.

    Example: reminder-worker locations review --platform clinic

    Or: reminder-worker locations review --accept "12 rue des Lilas" --reject "Entrée oncologie"

    Or: reminder-worker locations review --accept "Clinique du Dos" --although fr/B/clinique+du+dos
    """
    desk, reviewer = _open(platform, config), by or _account()
    if not accept and not reject:
        _ask(desk, reviewer, although)
        return
    for label in accept or []:
        desk.accept(label, reviewer, although)
    desk.remove(reject or [])
    desk.save()
    print(f"{len(accept or [])} accepted, {len(reject or [])} taken out; {len(desk.waiting)} wait for review")


def _ask(desk: Any, reviewer: str, although: str | None) -> None:
    """Go through the places that wait; each answer takes effect at once."""
    waiting = desk.waiting
    for number, place in enumerate(waiting, 1):
        print(f"\n{number} of {len(waiting)}: {place.label}\n  {_finding(place.label)}")
        answer = _answer()
        if answer == QUIT:
            break
        try:
            if answer == YES:
                desk.accept(place.label, reviewer, although)
            elif answer == NO:
                desk.remove([place.label])
        except Refused as refusal:
            print(f"  not accepted: {refusal}")
        else:
            if answer != LATER:
                desk.save()
    print(f"{len(desk.waiting)} wait for review")


def _finding(label: str) -> str:
    from reminder_worker import disclosure  # noqa: PLC0415

    found = disclosure.find(label)
    return "the lint finds nothing" if found is None else f"the lint: {found.severity}, {found.rule}"


def _answer() -> str:
    """Ask until the answer is a known one; at the end of the input, stop."""
    while True:
        said = answered("  may it be shown? y: yes, n: no, take it out, Enter: later, q: stop  ", QUIT)
        if said in {YES, NO, LATER, QUIT}:
            return said


def _account() -> str:
    import getpass  # noqa: PLC0415

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        raise SettingsError("--by: say who looked at the places") from None


@app.command("list")
def list_places(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    platform: PlatformName = None,
    config: Config = None,
) -> None:
    """Show all places: which are shown, which wait for review, and which today's lint refuses.

    Example: reminder-worker locations list --platform clinic
    """
    from reminder_worker import screen  # noqa: PLC0415
    from reminder_worker.reviewing import state_of  # noqa: PLC0415

    places = [screen.plain(one) | {"state": state_of(one)} for one in _open(platform, config).catalogue.places]
    screen.print_json(places) if json else screen.print_places(places)


@app.command("remove")
def remove(labels: Labels, platform: PlatformName = None, config: Config = None) -> None:
    """Take places out; pending reminders go out without that place.

    Example: reminder-worker locations remove "12 rue des Lilas" --platform clinic
    """
    desk = _open(platform, config)
    desk.remove(labels)
    desk.save()
    print(f"{len(labels)} taken out")


def _open(platform: str | None, config: Path | None) -> Any:
    from reminder_worker import settings  # noqa: PLC0415
    from reminder_worker.reviewing import Desk  # noqa: PLC0415

    return Desk.open(settings.read(config), platform)
