"""The command line. Heavy imports stay inside the commands, so that ``--help`` is quick."""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from reminder_worker import backupcommands, deadcommands, eventcommands, keycommands, locationcommands, supportcommands
from reminder_worker.confinement import leave_no_image
from reminder_worker.errors import Refused, SettingsError, StoreUnavailable
from reminder_worker.logs import hold_streams, raised
from reminder_worker.supportcommands import REFUSED, Config, Json, PlatformName

WRONG_USE = 2  # exit code
_FULL = "a disk is full: that of this command's output, or of a file that it was to write; make room, and run it again"

app = typer.Typer(
    name="reminder-worker",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # tracebacks with locals would show people's data
    rich_markup_mode=None,
    help="SMS appointment reminders with minimal disclosure.\n\nTo see it work: reminder-worker demo",
)
app.add_typer(keycommands.app, name="keys")
app.add_typer(eventcommands.app, name="events")
app.add_typer(locationcommands.app, name="locations")
app.add_typer(deadcommands.app, name="dead")
app.add_typer(backupcommands.app, name="optouts")

Format = Annotated[
    str | None, typer.Option("--format", metavar="jsonl|csv|fhir|ics", help="docs/records.md; default: jsonl.")
]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")]


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder with keys, settings and what was sent.")
    ] = False,
) -> None:
    """Run the whole system on this machine, and show who learns what.

    Example: reminder-worker demo
    """
    from reminder_worker import demo as show  # noqa: PLC0415

    raise typer.Exit(show.run(keep=keep))


@app.command()
def audit(json: Json = False) -> None:
    """Run everything with planted facts, search all that anyone could hold, and show who learns what.

    Example: reminder-worker audit

    Exit code 1 if anyone learns more than docs/threat-model.md says.
    """
    from reminder_worker import audit as proof  # noqa: PLC0415

    raise typer.Exit(proof.run(json=json))


@app.command()
def worker(
    config: Config = None,
    processes: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads in each.")] = 8,
) -> None:
    """Open jobs and send texts; on SIGTERM, finish what is in flight.

    Example: reminder-worker worker --threads 16
    """
    import os  # noqa: PLC0415

    from reminder_worker import settings, sharing  # noqa: PLC0415
    from reminder_worker.confinement import confine  # noqa: PLC0415

    confine()
    chosen = settings.read(config)
    if config is not None:
        os.environ[settings.CONFIG_VARIABLE] = str(config)
    sharing.share(chosen)
    try:
        from reminder_worker import startup  # noqa: PLC0415 - metrics look for the shared folder when imported

        sys.exit(startup.run(chosen, processes, threads))
    finally:
        sharing.unshare()


@app.command()
def scheduler(config: Config = None) -> None:
    """Take what falls due and wake workers; any number of schedulers may run.

    Example: reminder-worker scheduler
    """
    from reminder_worker import broker, doctor, exporter, logs, settings, store  # noqa: PLC0415
    from reminder_worker import scheduler as process  # noqa: PLC0415
    from reminder_worker.confinement import confine  # noqa: PLC0415
    from reminder_worker.schedule import Schedule  # noqa: PLC0415

    confine()
    chosen = settings.read(config)
    logs.set_up(chosen.log_level, chosen.log_format)
    url = store.url_of(chosen)
    client = store.connect(url)
    doctor.warn(doctor.require(chosen, chain(doctor.check_passwords(chosen), doctor.check_store(client))))
    schedule = Schedule.of(chosen, client)
    exporter.serve("scheduler", chosen)
    process.run(schedule, broker.connect(store.queue_url_of(chosen, url), []))


@app.command()
def web(config: Config = None, host: Host = "127.0.0.1", port: Port = 8080) -> None:
    """Take reminders from booking platforms over HTTP; put it behind a proxy that speaks TLS.

    Example: reminder-worker web --port 8080
    """
    from reminder_worker import settings  # noqa: PLC0415
    from reminder_worker import web as process  # noqa: PLC0415
    from reminder_worker.confinement import confine  # noqa: PLC0415

    confine()
    process.run(settings.read(config), host, port)


@app.command()
def hooks(config: Config = None, host: Host = "127.0.0.1", port: Port = 8081) -> None:
    """Take providers' receipts and people's replies; put it behind the URL of the setting hooks_url.

    Example: reminder-worker hooks --port 8081
    """
    from reminder_worker import hooks as process  # noqa: PLC0415
    from reminder_worker import settings  # noqa: PLC0415
    from reminder_worker.confinement import confine  # noqa: PLC0415

    confine()
    process.run(settings.read(config), host, port)


@app.command()
def ops(config: Config = None, host: Host = "127.0.0.1", port: Port = 8082) -> None:
    """Serve the operator's page at /ops, alone; put it behind a proxy that speaks TLS (docs/operator-page.md).

    Example: reminder-worker ops --port 8082
    """
    from reminder_worker import settings  # noqa: PLC0415
    from reminder_worker.confinement import confine  # noqa: PLC0415
    from reminder_worker.ops import process  # noqa: PLC0415

    confine()
    process.run(settings.read(config), host, port)


@app.command()
def enqueue(
    file: Annotated[Path, typer.Argument(help="File to read; - for standard input. FHIR may be a folder.")],
    name: Format = None,
    location: Annotated[str | None, typer.Option("--location", help="For records without a place.")] = None,
    language: Annotated[str | None, typer.Option("--language", help="For records without a language.")] = None,
    country: Annotated[str | None, typer.Option("--country", help="For numbers without one, such as FR.")] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="For times that name none, such as Europe/Paris.")] = None,
    platform: PlatformName = None,
    config: Config = None,
) -> None:
    """Seal appointments on this machine and hand them in; report bad records and hand in the rest.

    Example: reminder-worker enqueue appointments.jsonl --platform clinic

    Or: reminder-worker enqueue appointments.csv --format csv --country FR

    Or: reminder-worker enqueue export/ --format fhir --zone Europe/Paris --language fr

    Or: reminder-worker enqueue calendar.ics --format ics --zone Europe/Paris

    A line: {"reference": "A-1", "time": "2027-03-15T14:30:00+01:00[Europe/Paris]", "location": "12 rue des Lilas",
    "phone": "+33612345678", "language": "fr", "leads": ["24h"]}, or "pointer" instead of phone and language.
    """
    from reminder_worker import enqueue as handing_in  # noqa: PLC0415

    said = handing_in.defaults(name, location=location, language=language, country=country, zone=zone)
    counts, left = handing_in.hand_in(_client(platform, config), file, name, said)
    print(", ".join(f"{number} {word}" for word, number in counts.items()) or "nothing to do")
    print(f"left behind: {left}\n" if left else "", end="")
    raise typer.Exit(REFUSED if counts["refused"] else 0)


@app.command()
def cancel(reference: str, platform: PlatformName = None, config: Config = None) -> None:
    """Cancel an appointment's reminders.

    Example: reminder-worker cancel A-1 --platform clinic
    """
    answer = _client(platform, config).cancel(reference)
    print(answer.value)
    raise typer.Exit(0 if answer.value == "cancelled" else REFUSED)


@app.command()
def show(reference: str, platform: PlatformName = None, json: Json = False, config: Config = None) -> None:
    """Show what became of an appointment's reminders.

    Example: reminder-worker show A-1 --platform clinic
    """
    from reminder_worker import screen  # noqa: PLC0415

    reminders = _client(platform, config).show(reference)
    screen.print_json([screen.plain(one) for one in reminders]) if json else screen.print_reminders(reminders)
    raise typer.Exit(0 if reminders else REFUSED)


@app.command()
def status(
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second until Ctrl-C.")] = False,
    config: Config = None,
) -> None:
    """Show what is due, overdue and in flight, and how the other reminders ended.

    Example: reminder-worker status --watch
    """
    from reminder_worker import screen, settings, watching  # noqa: PLC0415
    from reminder_worker import status as numbers  # noqa: PLC0415

    schedule, providers = supportcommands.open_ledger(config), settings.read(config).providers
    if watch:
        watching.watch(lambda: numbers.read(schedule, providers))
    now = numbers.read(schedule, providers)
    screen.print_json(screen.plain_status(now)) if json else screen.print_status(now)


@app.command()
def lint(
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...")] = None,
    templates: Annotated[Path | None, typer.Option("--templates", help="Check a folder of templates.")] = None,
    locations: Annotated[Path | None, typer.Option("--locations", help="Check a file with one label a line.")] = None,
    json: Json = False,
) -> None:
    """Look for words that reveal a reason or a speciality, and for texts that are too long.

    Example: reminder-worker lint "12 rue des Lilas" --locations labels.txt
    """
    from reminder_worker import lint as checks  # noqa: PLC0415
    from reminder_worker import screen  # noqa: PLC0415

    if not (texts or templates or locations):
        raise SettingsError("lint: give a TEXT, --locations FILE or --templates DIR")
    found = list(checks.run(texts or [], locations, templates))
    if json:
        for one in found:
            screen.print_line({"line": one.line, "rule": one.rule})
    else:
        screen.print_lint(found)
    raise typer.Exit(REFUSED if any(one.rule for one in found) else 0)


@app.command()
def preview(
    language: Annotated[str | None, typer.Option("--language", "-l", help="Such as fr or pt-BR; default: all.")] = None,
    level: Annotated[str, typer.Option("--level", help="time, place or sender.")] = "place",
    templates: Annotated[Path | None, typer.Option("--templates", help="A folder of templates.")] = None,
) -> None:
    """Show what a phone would show.

    Example: reminder-worker preview --language fr --level time
    """
    from reminder_worker import screen  # noqa: PLC0415
    from reminder_worker.drafting import Templates  # noqa: PLC0415
    from reminder_worker.job import Level  # noqa: PLC0415

    if level not in list(Level):
        raise SettingsError("--level: time, place or sender")
    shipped = Templates.load(templates)
    for one in [language] if language else shipped.languages:
        screen.print_preview(one, shipped.preview(one, Level(level), sender="Studio Nord"))


@app.command()
def doctor(
    config: Config = None,
    process: Annotated[
        str | None, typer.Option("--process", help="Whose settings: web, hooks, scheduler, worker, ops.")
    ] = None,
) -> None:
    """Look for what would make production unsafe; say why it matters and how to fix it.

    Example: reminder-worker doctor

    If each process has settings of its own: reminder-worker doctor --process web --config web.toml
    """
    from reminder_worker import doctor as checks  # noqa: PLC0415
    from reminder_worker import screen, settings, store  # noqa: PLC0415
    from reminder_worker.findings import Grade  # noqa: PLC0415
    from reminder_worker.ops import operators  # noqa: PLC0415

    chosen = settings.read(config)
    client = store.connect(store.url_of(chosen))
    if process not in {None, "web", "hooks", "scheduler", "worker", "ops"}:
        raise SettingsError("--process: web, hooks, scheduler, worker or ops")
    found = list(checks.check_process(chosen, client, process))
    if process in {None, "web", "ops"}:
        found += operators.check(chosen)
    screen.print_findings(found)
    raise typer.Exit(REFUSED if any(one.grade is Grade.UNSAFE for one in found) else 0)


for command in supportcommands.find, supportcommands.acts, backupcommands.restore:
    app.command()(command)  # registered last, so that help lists them last


def _client(platform: str | None, config: Path | None) -> Any:
    """Return the client of a booking platform in the settings."""
    from reminder_worker import settings  # noqa: PLC0415
    from reminder_worker.client.chosen import choose  # noqa: PLC0415

    return choose(settings.read(config), platform)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Print an error in one line, without a traceback or a value."""
    try:
        yield
    except SettingsError as error:
        _say(error)
        sys.exit(WRONG_USE)
    except (Refused, StoreUnavailable) as error:
        _say(error)
        sys.exit(REFUSED)
    except typer.TyperException as error:
        _say_wrong_use(error.format_message())
        sys.exit(WRONG_USE)
    except Exception as error:  # noqa: BLE001 - a traceback would quote people's data
        full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
        if isinstance(error, OSError) and error.filename is not None and not full:
            _say(f"{error.filename}: cannot be used ({type(error).__name__}); check its rights, and its folders'")
            sys.exit(WRONG_USE)
        fault = f"this is a fault of the program: {type(error).__name__} at {raised(error.__traceback__)}"
        _say(_FULL if full else fault)
        sys.exit(REFUSED)


def _say(error: object) -> None:
    print(f"reminder-worker: error: {error}", file=sys.stderr)


def _say_wrong_use(message: str) -> None:
    """Print what was wrong with a command's arguments, or all of its help if there were none."""
    if "\n" in message:
        print(message, file=sys.stderr)
    else:
        _say(re.sub(r" \(.*", "", message).rstrip("."))  # words in brackets may be a person's name


def main() -> None:
    """Run the command line."""
    hold_streams()
    leave_no_image()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter shows a question mark
    with _one_line_errors():
        sys.exit(app(standalone_mode=False))


if __name__ == "__main__":
    main()
