import json
import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from reminder_worker import screen, terminal
from reminder_worker.acts import Act
from reminder_worker.decisions import Kind, Waiting
from reminder_worker.drafting import Draft
from reminder_worker.findings import Finding, Grade
from reminder_worker.job import State
from reminder_worker.ledger import Reminder
from reminder_worker.lint import Checked
from reminder_worker.status import Ended, Status, Store

NOW = datetime(2027, 3, 1, 9, tzinfo=UTC)
EMPTY = Status(NOW, 0, 0, 0.0, None, 0, 0, 0, {}, {}, {})
BUSY = Status(
    now=NOW,
    scheduled=1204,
    overdue=3,
    overdue_seconds=61.4,
    next_due=NOW,
    queued=5,
    sending=2,
    dead_letters=1,
    ended={"expired": 4, "sent": 40},
    by_provider={"twilio": {"sent": 30}, "outbox": {"sent": 10, "failed": 1}},
    processes={"worker/1-ab": 1.6},
    circuits={"twilio": "half-open", "outbox": "closed"},
    replies_waiting=4,
    replies_unread=1,
    unknown=2,
    ahead=[0, 8, 16, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    recent=[
        Ended(NOW - timedelta(hours=3), {"twilio": {"sent": 30}}),
        *[Ended(NOW, {})] * 6,
        Ended(NOW, {"none": {"expired": 4}, "twilio": {"delivered": 2}}),
    ],
    store=Store(3_200_000, 100_000_000, durable=False, evicts=True),
)
SENT = Reminder(0, State.SENT, NOW, NOW, "twilio", 2, None, None)
WAITS = Reminder(1, State.SCHEDULED, NOW, None, None, 0, "not_sent", "temporary")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Leave a row on its line."""
    options = {"highlight": screen.console._highlight, "markup": screen.console._markup, "emoji": screen.console._emoji}
    monkeypatch.setattr(screen, "console", Console(width=200, **options))


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_circuits_and_replies_are_shown_where_there_are_any(capsys):
    screen.print_status(BUSY)
    shown = rows(capsys.readouterr().out)
    assert "outbox closed" in shown
    assert "replies 4 and 1 set aside: they do not open" in shown
    screen.print_status(EMPTY)
    assert "replies" not in capsys.readouterr().out


def test_json_holds_times_as_rfc_3339():
    shown = screen.plain(SENT)
    assert shown["due"] == "2027-03-01T09:00:00+00:00"
    assert json.loads(json.dumps(shown)) == shown


def test_status_as_json_can_be_written_and_read():
    for status in (EMPTY, BUSY):
        assert json.loads(json.dumps(screen.plain_status(status)))["now"] == "2027-03-01T09:00:00+00:00"
    shown = screen.plain_status(BUSY)
    assert [part["since"] for part in shown["recent"]] == ["2027-03-01T06:00:00+00:00", "2027-03-01T09:00:00+00:00"]
    assert shown["last_hour"] == {"none": {"expired": 4}, "twilio": {"delivered": 2}}
    assert shown["last_day"] == {"none": {"expired": 4}, "twilio": {"sent": 30, "delivered": 2}}
    assert shown["store"]["durable"] is False


def test_what_is_ahead_lately_and_wrong_with_the_store_is_shown(capsys):
    screen.print_status(BUSY)
    shown = rows(capsys.readouterr().out)
    assert "due within an hour 25 ▄█ ▁ each five minutes" in shown
    assert "twilio half-open delivered 2 sent 30, delivered 2" in shown
    assert "none expired 4 expired 4" in shown
    assert "memory 3.2 MB of 100.0 MB" in shown
    assert "append-only file OFF, or it cannot be written" in shown
    assert "when it is full DROPS KEYS" in shown


def test_a_document_is_one_document_and_a_line_one_line(capsys):
    screen.print_json([{"a": 1}])
    assert json.loads(capsys.readouterr().out) == [{"a": 1}]
    screen.print_line({"a": "x\ny"})
    assert capsys.readouterr().out == '{"a": "x\\ny"}\n'


def test_reminders_are_a_row_each(capsys):
    screen.print_reminders([SENT, WAITS])
    shown = rows(capsys.readouterr().out)
    assert "0 sent 2027-03-01 09:00:00Z 2027-03-01 09:00:00Z twilio 2" in shown
    assert "1 scheduled 2027-03-01 09:00:00Z 0 not_sent" in shown


@pytest.mark.parametrize("width", [40, 60, 76, 80, 91, 101, 200])  # 76, 91, 101: a table is a little wider than that
def test_nothing_but_prose_is_broken_on_a_narrow_terminal(monkeypatch, capsys, width):
    monkeypatch.setattr(screen, "console", Console(width=width, highlight=False, markup=False, emoji=False))
    seen = "ambiguous", NOW, "twilio", 0, 1, NOW, NOW
    screen.print_waiting([Waiting("qpvuntsmwlqt-0", Kind.UNKNOWN, *seen, can_retry=True, member=b"", score=0)])
    screen.print_acts([Act(NOW, "retry", "dead_letter", "kxnlvwsukzkz-1", "root", "ada")])
    screen.print_reminders([SENT, WAITS])
    screen.print_status(replace(BUSY, next_due=None))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert {"qpvuntsmwlqt-0", "kxnlvwsukzkz-1", "ambiguous", "dead_letter", "half-open"} <= set(shown.split())
    assert len(re.findall("2027-03-01 09:00:00Z", shown)) == 5


@pytest.mark.parametrize("width", [60, 80, 110, 116, 117, 200])  # the table needs 117
def test_a_long_name_is_in_one_piece_too(monkeypatch, capsys, width):
    monkeypatch.setattr(screen, "console", Console(width=width, highlight=False, markup=False, emoji=False))
    name = "a-provider-of-thirty-letters-n"
    seen = "ambiguous", NOW, name, 0, 1, NOW, NOW
    screen.print_waiting([Waiting("qpvuntsmwlqt-0", Kind.UNKNOWN, *seen, can_retry=True, member=b"", score=0)])
    shown = capsys.readouterr().out
    assert name in shown.split()
    assert ("waits as     unknown" in shown) is (width < 117)


def test_a_row_that_is_wider_than_the_terminal_is_a_list_of_what_it_holds(monkeypatch, capsys):
    monkeypatch.setattr(screen, "console", Console(width=60, highlight=False, markup=False, emoji=False))
    screen.print_reminders([SENT, WAITS])
    first, second = capsys.readouterr().out.strip().split("\n\n")
    ends = "due 2027-03-01 09:00:00Z", "ended 2027-03-01 09:00:00Z"
    assert rows(first) == ["lead 0", "state sent", *ends, "provider twilio", "attempts 2"]
    assert rows(second) == ["lead 1", "state scheduled", "due 2027-03-01 09:00:00Z", "attempts 0", "reason not_sent"]


def test_where_no_terminal_is_each_row_is_one_line_unless_columns_are_asked_for(monkeypatch, capsys):
    one = Act(NOW, "retry", "x" * 60, "kxnlvwsukzkz-1", "root", "ada")
    for columns, found in ((None, True), ("60", False)):
        monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.setattr(screen, "console", terminal._console())
        screen.print_acts([one])
        assert ("x" * 60 in capsys.readouterr().out) is found


def test_no_reminders_are_said_to_be_unknown(capsys):
    screen.print_reminders([])
    assert capsys.readouterr().out == "missing\n"


def test_status_shows_every_number(capsys):
    screen.print_status(BUSY)
    shown = rows(capsys.readouterr().out)
    assert "scheduled 1204 next due 2027-03-01 09:00:00Z" in shown
    assert "overdue 3 of these, the oldest for 0:01:01" in shown
    assert {
        "queued 5",
        "sending 2",
        "dead letters 1 decide: reminder-worker dead list",
        "unknown 2",
        "expired 4",
        "worker/1-ab 2 s ago",
    } <= set(shown)
    assert "sent 40 twilio 30, outbox 10" in shown


def test_an_empty_status_is_shown(capsys):
    screen.print_status(EMPTY)
    assert "scheduled 0" in rows(capsys.readouterr().out)


def test_only_what_breaks_a_rule_is_listed(capsys):
    screen.print_lint([Checked(1, None), Checked(2, "hiv", "refuse"), Checked(3, "long", "warn", "fr place.short")])
    shown = rows(capsys.readouterr().out)
    assert {"2 hiv refuse", "fr place.short long warn"} <= set(shown)
    assert not any(row.startswith("1 ") for row in shown)
    screen.print_lint([Checked(1, None)])
    assert capsys.readouterr().out == "nothing found\n"


@pytest.mark.parametrize("text", ["[/b] clinic", "[bold]clinic", "room :smile: clinic", "[link=x]clinic[/link]"])
def test_a_text_is_shown_letter_by_letter(capsys, text):
    screen.print_preview("en", {"long": Draft(text, 1)})
    assert text in capsys.readouterr().out


def test_a_preview_has_a_row_for_every_text(capsys):
    screen.print_preview("fr", {"long": Draft("Rappel", 1), "short": Draft("RDV", 2)})
    assert {"fr segments text", "long 1 Rappel", "short 2 RDV"} <= set(rows(capsys.readouterr().out))


def test_a_finding_says_what_why_and_how_to_mend_it(capsys):
    screen.print_findings([Finding(Grade.UNSAFE, "x", "A", "B", "C"), Finding(Grade.NOTE, "y", "D", "E", "F")])
    assert capsys.readouterr().out == "UNSAFE: A\n  why: B\n  fix: C\nnote: D\n  why: E\n  fix: F\n"


def test_no_finding_is_said_so(capsys):
    screen.print_findings(iter([]))
    assert capsys.readouterr().out == "nothing found: production would be safe to start\n"


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x1b]52;c;eA==\x07", "\x9b31m", "a\nb", "a\rb", "\u202ea"])
def test_what_somebody_left_in_the_store_moves_no_terminal(capsys, evil):
    waits = Waiting("a-0", Kind.UNKNOWN, evil, NOW, evil, 1, 1, NOW, NOW, can_retry=False, member=b"", score=0)
    screen.print_acts([Act(NOW, evil, evil, evil, evil, evil)])
    screen.print_decidable(waits)
    screen.print_status(replace(BUSY, processes={evil: 1.0}, circuits={evil: evil}, ended={evil: 1}))
    shown = capsys.readouterr().out
    assert shown.count("\N{REPLACEMENT CHARACTER}") >= 10
    assert evil not in shown
    assert not [one for one in shown if one != "\n" and unicodedata.category(one) in {"Cc", "Cf"}]
