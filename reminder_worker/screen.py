"""What the command line shows: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Group

from reminder_worker.acts import Act
from reminder_worker.decisions import Waiting, meaning
from reminder_worker.findings import Finding, Grade
from reminder_worker.ledger import Answer, Reminder
from reminder_worker.status import Counts, Status
from reminder_worker.terminal import Rows, console, visible

if TYPE_CHECKING:  # showing things must not load what looks for numbers, or writes texts
    from reminder_worker.drafting import Draft
    from reminder_worker.enquiry import Found
    from reminder_worker.lint import Checked


BARS = " ▁▂▃▄▅▆▇█"
UNSEEN = (
    "not known: what still waits, for its number is sealed; what ended before a provider was to be asked; more than "
    "the last four tries of a day; what test keys sent"
)


def plain(value: Any) -> dict[str, Any]:
    """Turn a dataclass into what JSON can hold; times as RFC 3339 in UTC."""
    fields: dict[str, Any] = asdict(value)
    return {name: part.isoformat() if isinstance(part, datetime) else part for name, part in fields.items()}


def plain_status(now: Status) -> dict[str, Any]:
    """Turn the numbers into what JSON can hold; of the last day, only the ten minutes in which something ended."""
    recent = [plain(part) for part in now.recent if part.by]
    return plain(now) | {"recent": recent, "last_hour": now.last_hour, "last_day": now.last_day}


def print_json(value: Any) -> None:
    """Print one document."""
    print(json.dumps(value, indent=2))


def print_line(value: Any) -> None:
    """Print one line of JSON Lines."""
    print(json.dumps(value))


def _short(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def print_reminders(reminders: Iterable[Reminder]) -> None:
    """Print one row per lead."""
    table = Rows("lead", "state", "due", "ended", "provider", "attempts", "reason", "reply")
    for one in reminders:
        row = one.state, _short(one.due), _short(one.ended), one.provider or "", str(one.attempts), one.reason or ""
        table.add_row(str(one.lead), *row, one.reply or "")
    console.print(table if table.row_count else Answer.MISSING.value)


def print_status(now: Status) -> None:
    """Print the numbers once."""
    console.print(Group(*tables(now)))


def tables(now: Status) -> list[Rows]:
    """Return the numbers, table by table."""
    return [_pending(now), *_ended(now), *_health(now)]


def _pending(now: Status) -> Rows:
    oldest = f", the oldest for {timedelta(seconds=round(now.overdue_seconds))}" if now.overdue else ""
    pending = Rows("pending", "reminders", "", prose=("",))
    pending.add_row("scheduled", str(now.scheduled), f"next due {_short(now.next_due)}" if now.next_due else "")
    pending.add_row("overdue", str(now.overdue), f"of these{oldest}" if oldest else "of these")
    pending.add_row("due within an hour", str(sum(now.ahead)), f"{_bars(now.ahead)} each five minutes".strip())
    pending.add_row("queued", str(now.queued))
    pending.add_row("sending", str(now.sending))
    decide = "decide: reminder-worker dead list" if now.dead_letters or now.unknown else ""
    pending.add_row("dead letters", str(now.dead_letters), decide)
    pending.add_row("unknown", str(now.unknown))
    if now.replies_waiting or now.replies_unread:
        unread = f"and {now.replies_unread} set aside: they do not open" if now.replies_unread else ""
        pending.add_row("replies", str(now.replies_waiting), unread)
    return pending


def _ended(now: Status) -> Iterator[Rows]:
    """Yield tables of how reminders ended: within the retention, and lately by provider."""
    ended = Rows("ended as", "reminders", "by provider", prose=("by provider",))
    for state, number in now.ended.items():
        by = ", ".join(f"{name} {states[state]}" for name, states in now.by_provider.items() if state in states)
        ended.add_row(state, str(number), by)
    yield ended
    lately = Rows("provider", "circuit", "last hour", "last day", prose=("last hour", "last day"))
    for name in sorted(now.circuits.keys() | now.last_day.keys()):
        lately.add_row(
            name, now.circuits.get(name, ""), *(_counts(part, name) for part in (now.last_hour, now.last_day))
        )
    yield lately


def _health(now: Status) -> Iterator[Rows]:
    processes = Rows("process", "last heartbeat")
    for name, seconds in now.processes.items():
        processes.add_row(name, f"{seconds:.0f} s ago")
    yield processes
    if now.store is not None:
        store = Rows("store", "", prose=("",))
        limit = f" of {_megabytes(now.store.memory_limit_bytes)}" if now.store.memory_limit_bytes else ""
        store.add_row("memory", f"{_megabytes(now.store.memory_bytes)}{limit}")
        store.add_row("append-only file", "written" if now.store.durable else "OFF, or it cannot be written")
        store.add_row("when it is full", "DROPS KEYS" if now.store.evicts else "refuses writes")
        yield store


def _counts(part: Counts, provider: str) -> str:
    return ", ".join(f"{state} {number}" for state, number in part.get(provider, {}).items())


def _bars(numbers: list[int]) -> str:
    """Draw numbers as a row of bars, the highest one eight eighths high."""
    highest = max(numbers, default=0)
    return "".join(BARS[-(-number * 8 // highest)] for number in numbers) if highest else ""


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def plain_waiting(one: Waiting) -> dict[str, Any]:
    """Turn what waits for a decision into what JSON can hold: by its name, not by what stands for it in the store."""
    fields = plain(one)
    return {"id": fields.pop("name")} | {name: fields[name] for name in fields if name not in {"member", "score"}}


def print_waiting(found: Iterable[Waiting]) -> None:
    """Print one row for each reminder that waits for a decision."""
    table = Rows("id", "waits as", "reason", "since", "provider", "tries", "can be sent")
    for one in found:
        row = one.name, one.kind, one.reason, _short(one.since), one.provider or "", str(one.tries)
        table.add_row(*row, "yes" if one.can_retry else "no")
    console.print(table if table.row_count else "nothing waits for a decision")


def print_decidable(one: Waiting) -> None:
    """Print all that is known of a reminder that waits, and what can be done."""
    print_waiting([one])
    last = f", the last to {visible(one.provider or '')} at {_short(one.asked)}" if one.asked else ""
    due = f"it was due at {_short(one.due)}; " if one.due else ""
    console.print(f"{due}calls to providers: {one.attempts}{last}")
    console.print(meaning(one))


def print_found(found: "Found") -> None:
    """Print what became of a number's reminders; the number is not here to be printed."""
    console.print(f"opted out: {f'since {_short(found.opted_out)}' if found.opted_out else 'no'}")
    table = Rows("day (UTC)", "state", "provider", "asked", "ended", "reason")
    for one in found.traces:
        row = one.provider or "", _short(one.asked), _short(one.ended), one.reason or ""
        table.add_row(f"{one.day}", one.state, *row)
    console.print(table if table.row_count else f"no reminder was about to be sent in the last {found.days} days")
    console.print(UNSEEN)


def print_acts(acts: Iterable[Act]) -> None:
    """Print one row for each thing that operators did."""
    table = Rows("when", "what", "of what", "reminder", "user", "sudo user")
    for one in acts:
        table.add_row(_short(one.at), one.what, one.result, one.reminder, one.user, one.sudo_user)
    console.print(table if table.row_count else "nothing was done by hand")


def print_lint(checked: "Iterable[Checked]") -> None:
    """Print one row per text that breaks a rule: where it stands and which rule, not what it says."""
    table = Rows("line", "rule", "")
    for one in checked:
        if one.rule:
            table.add_row(one.name or str(one.line), one.rule, one.severity or "")
    console.print(table if table.row_count else "nothing found")


def print_places(places: Iterable[Mapping[str, str]]) -> None:
    """Print one row per place of a catalogue."""
    columns = "label", "state", "reviewer", "date", "although"
    table = Rows(*columns, prose=("label", "although"))
    for one in places:
        table.add_row(*(one[name] for name in columns))
    console.print(table if table.row_count else "no places")


def print_preview(language: str, drafts: "Mapping[str, Draft]") -> None:
    """Print every text of a language."""
    table = Rows(language, "segments", "text", prose=("text",))
    for name, draft in drafts.items():
        table.add_row(name, str(draft.segments), draft.body)
    console.print(table)


def print_findings(findings: Iterable[Finding]) -> None:
    """Print what is wrong, why it matters and how to fix it."""
    count = 0
    for count, one in enumerate(findings, 1):  # noqa: B007
        mark = "UNSAFE" if one.grade is Grade.UNSAFE else "note"
        print(f"{mark}: {one.what}\n  why: {one.why}\n  fix: {one.mend}")
    if not count:
        print("nothing found: production would be safe to start")
