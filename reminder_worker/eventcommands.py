"""The commands under ``reminder-worker events``: what waits for platforms, sending it again, and who refuses events.

They open tickets with the gateway's keys, so they run where ``web`` does.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from reminder_worker.errors import Refused, SettingsError
from reminder_worker.supportcommands import Config, open_ledger

app = typer.Typer(
    no_args_is_help=True,
    help="Events that tell platforms what became of their reminders.\n\n"
    "Example: reminder-worker events replay --since 24h",
)

PlatformName = Annotated[str, typer.Argument(help="As in the settings.")]


@app.command()
def replay(
    since: Annotated[str, typer.Option("--since", help="How far back, such as 90m, 24h or 7d.")] = "24h",
    platform: Annotated[str | None, typer.Option("--platform", help="Only this booking platform.")] = None,
    config: Config = None,
) -> None:
    """Send platforms again what became of their reminders, as it stands now; the events get new names.

    Example: reminder-worker events replay --platform clinic --since 24h
    """
    span = _span(since)
    queue, keys, platforms = _open(config)
    wanted = None if platform is None else _of(keys, _known(platforms, platform))
    events = 0
    with _progress(queue.keys()) as advance:
        for looked_at, left in queue.replay(span, wanted):
            events += left
            advance(looked_at)
    print(f"events to be told again: {events}")


@app.command()
def pending(config: Config = None) -> None:
    """Show how many events wait, how many were given up, and which platforms refuse events.

    Example: reminder-worker events pending
    """
    queue, keys, platforms = _open(config)
    (waiting, dropped), muted = queue.count(), queue.muted()
    print(f"events that wait: {waiting}, given up: {dropped}")
    for name in platforms:
        if keys.tag("muted", name) in muted:
            print(f"{name} answered 410 Gone; to tell it again: reminder-worker events enable {name}")


@app.command()
def enable(platform: PlatformName, config: Config = None) -> None:
    """Send events again to a platform that answered 410 Gone; events replay brings back what it missed.

    Example: reminder-worker events enable clinic
    """
    queue, keys, platforms = _open(config)
    print("enabled" if queue.unmute(keys.tag("muted", _known(platforms, platform))) else "was enabled")


def _open(config: Path | None) -> Any:
    """Return the event queue of the settings' store, the gateway's keys and the platforms."""
    from reminder_worker import settings  # noqa: PLC0415
    from reminder_worker.eventqueue import EventQueue  # noqa: PLC0415
    from reminder_worker.gateway import GatewayKeys  # noqa: PLC0415

    chosen, schedule = settings.read(config), open_ledger(config)
    return EventQueue(schedule), GatewayKeys.load(chosen.keys), chosen.platforms


def _span(text: str) -> timedelta:
    from reminder_worker.plan import Lead  # noqa: PLC0415

    try:
        return Lead.parse(text).length
    except Refused:
        raise SettingsError("--since: write 90m, 24h or 7d, up to 30d") from None


def _known(platforms: Any, name: str) -> str:
    if name not in platforms:
        raise SettingsError("platform: name one of the platforms in the settings")
    return name


def _of(keys: Any, platform: str) -> Callable[[bytes, bytes], bool]:
    def wanted(id_: bytes, sealed: bytes) -> bool:
        ticket = keys.open_ticket(id_, sealed)
        return ticket is not None and ticket.platform == platform

    return wanted


@contextmanager
def _progress(keys: int) -> Iterator[Callable[[int], None]]:
    """Show how many of the store's keys have been looked at, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("looking at all reminders", total=keys)
        yield lambda looked_at: progress.advance(task, looked_at)
