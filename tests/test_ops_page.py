"""What the operator's page shows, tells as it comes, and does; and what is never on it."""

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from desk import make_keys, new_key
from opspage import NAME, PASSWORD, Browser, a_day, due, ended, opened, settings, wait_as

from reminder_worker import acts, decisions, web
from reminder_worker.decisions import Answer, Decision
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.ops import facts, feed, operators, phrases, process, views
from reminder_worker.ops.feed import Feed
from reminder_worker.ops.pages import Pages
from reminder_worker.ports import free_port
from reminder_worker.schedule import Schedule
from reminder_worker.settings import Settings
from reminder_worker.store import connect
from reminder_worker.tables import Platform
from reminder_worker.testing.outcomes import serving


@pytest.fixture
def browser(schedule: Schedule, tmp_path: Path) -> Iterator[Browser]:
    with opened(schedule, tmp_path) as found:
        assert found.log_in() == 303
        yield found


def part(page: str, name: str) -> str:
    """Return the words of one part of the page."""
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    assert found, name
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])).strip()


def waiting(schedule: Schedule, name: str = "") -> decisions.Waiting:
    (one,) = [one for one in decisions.waiting(schedule) if name in one.name]
    return one


# What is shown.


def test_an_empty_ledger_says_that_nothing_is_sent(browser: Browser) -> None:
    page = browser.ask("/ops")[2]
    assert "No scheduler process is running: nothing is sent. No worker process is running: nothing is sent." in part(
        page, "alerts"
    )
    assert "No reminder is waiting for a decision." in part(page, "decide")
    assert "Nothing has been done by hand." in part(page, "acts")


def test_where_all_is_well_nothing_needs_anybody(browser: Browser, schedule: Schedule) -> None:
    for kind in ("scheduler/1-a", "worker/2-b"):
        schedule.beat(kind)
    assert "Nothing needs attention." in part(browser.ask("/ops")[2], "alerts")


def silent(schedule: Schedule, *names: str) -> None:
    """Have processes fall silent a minute ago."""
    schedule.client.zadd("rw:{0}:processes", {name: (time.time() - 60) * 1000 for name in names})


def test_who_fell_silent_is_not_red_where_others_of_its_kind_go_on(browser: Browser, schedule: Schedule) -> None:
    for kind in ("scheduler/1-a", "worker/2-b", "web/3-c"):
        schedule.beat(kind)
    silent(schedule, "worker/4-d", "web/5-e")
    page = browser.ask("/ops")[2]
    assert "Nothing needs attention." in part(page, "alerts")
    assert (page.count('class="count quiet"'), page.count('class="count bad"')) == (2, 0)


def test_who_fell_silent_and_is_missed_is_red_and_named(browser: Browser, schedule: Schedule) -> None:
    schedule.beat("scheduler/1-a")
    silent(schedule, "worker/2-b", "worker/4-d", "web/3-c", "hooks/6-f", "ops/7-g")
    page = browser.ask("/ops")[2]
    assert "No web process is running: platforms cannot hand in reminders." in part(page, "alerts")
    assert "No hooks process is running: receipts and STOP replies are refused." in part(page, "alerts")
    assert (page.count('class="count quiet"'), page.count('class="count bad"')) == (1, 4)


def test_who_ended_in_order_is_not_missed(browser: Browser, schedule: Schedule) -> None:
    for kind in ("scheduler/1-a", "worker/2-b", "web/3-c"):
        schedule.beat(kind)
    schedule.leave("web/3-c")
    page = browser.ask("/ops")[2]
    assert "Nothing needs attention." in part(page, "alerts")
    assert "3-c" not in page


def test_a_state_of_a_day_is_shown_whole(browser: Browser, schedule: Schedule) -> None:
    a_day(schedule)
    page = browser.ask("/ops")[2]
    assert "The circuit for vonage is open: it is not called for now." in part(page, "alerts")
    assert "4 reminders wait for a decision." in part(page, "alerts")
    assert re.search(r"Scheduled 4,200 ", part(page, "pending"))
    assert "Dead letters 1 " in part(page, "pending")
    assert "Unknown 3 " in part(page, "pending")
    assert re.search(r"twilio closed \d+ 1,200 vonage open [\d.]+ none set", part(page, "providers"))
    assert "without a provider" in part(page, "outcomes")
    assert "delivered 1,300 17,119" in part(page, "outcomes")
    assert "scheduler 812-3f9a1c" in part(page, "processes")
    assert "yes, and it can write" in part(page, "store")
    assert "find reminders \u2013 support grace" in part(page, "acts")


def test_what_is_due_is_counted_by_five_minutes(browser: Browser, schedule: Schedule) -> None:
    due(schedule, -2, 2, 3, 7, 58, 70)
    page = browser.ask("/ops")[2]
    assert "at most 2 " in part(page, "ahead")
    assert "0 to 5 2 5 to 10 1 10 to 15 0 " in part(page, "ahead")
    assert "55 to 60 1" in part(page, "ahead")
    assert "Overdue 1 oldest by 2 min" in part(page, "pending")
    assert "Due within the hour 4 not counting overdue" in part(page, "pending")


def test_a_part_of_ten_minutes_that_was_corrected_is_no_bar_below_the_ground(
    browser: Browser, schedule: Schedule
) -> None:
    ended(schedule, 3, delivered__twilio=5, unknown__twilio=-2)
    heights = re.findall(r'<rect class="(\S+)" [^>]*height="(\S+)"', browser.ask("/ops")[2])
    assert [one for one in heights if one[0] != "ahead"] == [("accepted", "100.0")]


def test_at_most_so_many_rows_are_shown_and_how_many_more_there_are(
    browser: Browser, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "MOST_ROWS", 3)
    for number in range(1, 6):
        wait_as(schedule, "unknown" if number % 2 else "dead_letter", number, ago=timedelta(hours=number))
    page = browser.ask("/ops")[2]
    shown = re.findall(r'data-key="(\w+-0) ', page)
    assert shown == [one.name for one in decisions.waiting(schedule)[:3]]
    assert "And 2 more: reminder-worker dead list shows all." in part(page, "decide")


def test_what_has_no_envelope_cannot_be_sent(schedule: Schedule) -> None:
    for number, kind in enumerate(("dead_letter", "unknown"), 1):
        member = wait_as(schedule, kind, number)
        one = waiting(schedule, decisions.name_of(member))
        assert {Decision.RETRY, Decision.RESEND} & set(views.choices(one))
        schedule.client.delete(schedule.prefix(0) + b"a:" + member[:16])
        gone = waiting(schedule, decisions.name_of(member))
        assert not {Decision.RETRY, Decision.RESEND} & set(views.choices(gone))


def test_nothing_of_a_platform_a_phone_or_a_member_is_on_the_page(browser: Browser, schedule: Schedule) -> None:
    a_day(schedule)
    members = [one.member for one in decisions.waiting(schedule)]
    said = browser.ask("/ops")[2] + "".join(event(browser)["parts"].values())
    for member in members:
        for written in (member.hex(), member[:8].hex(), member.decode("latin-1")):
            assert written not in said
        assert decisions.name_of(member) in said


def test_what_somebody_left_in_the_store_is_shown_as_text(browser: Browser, schedule: Schedule) -> None:
    schedule.beat("web/<script>alert(1)</script>")
    acts.note(schedule, "find", "<b>bold</b>", acts.Who('"><i>'))
    said = browser.ask("/ops")[2] + json.dumps(event(browser)["parts"])
    assert "&lt;script&gt;alert(1)" in said
    assert "<script>alert" not in said
    assert "<b>" not in said
    assert "<i>" not in said


def test_words_in_the_address_say_nothing_of_their_own(browser: Browser) -> None:
    assert "Drop: Done, and noted with your name." in browser.ask("/ops?answer=done&decision=drop")[2]
    for query in ("answer=<b>hacked</b>", "answer=hacked&decision=drop", "decision=drop"):
        page = browser.ask(f"/ops?{query}".replace("<", "%3C"))[2]
        assert "hacked" not in page
        assert 'id="said"' not in page
    assert ">Done, and" in browser.ask("/ops?answer=done&decision=hacked")[2]


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3661, "1 h 1 min"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h"),
        (0.2, "0 s"),
    ],
)
def test_a_span_is_written_in_its_two_largest_units(seconds: float, written: str) -> None:
    assert phrases.span(seconds) == written


@pytest.mark.parametrize(
    ("count", "written"),
    [(0, "0 B"), (1023, "1,023 B"), (1536, "1.5 KiB"), (200 * 2**20, "200 MiB"), (5 * 2**50, "5,120 TiB")],
)
def test_an_amount_of_memory_is_written_in_its_unit(count: int, written: str) -> None:
    assert phrases.size(count) == written


# What is decided.


def fields(browser: Browser, name: str, decision: str) -> dict[str, str]:
    """Return what the page's own form would send."""
    said = browser.ask(f"/ops/decisions/{name}/{decision}")[2]
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', said))


@pytest.mark.parametrize(
    ("kind", "decision", "state", "reason"),
    [
        ("dead_letter", "retry", b"scheduled", b""),
        ("dead_letter", "drop", b"failed", b"dropped"),
        ("unknown", "resend", b"scheduled", b""),
        ("unknown", "sent", b"sent", b"resolved"),
        ("unknown", "failed", b"failed", b"resolved"),
        ("unknown", "drop", b"failed", b"dropped"),
    ],
)
def test_a_decision_is_shown_made_and_noted(
    browser: Browser, schedule: Schedule, kind: str, decision: str, state: bytes, reason: bytes
) -> None:
    member = wait_as(schedule, kind, 7)
    name = decisions.name_of(member)
    assert f'href="/ops/decisions/{name}/{decision}"' in browser.ask("/ops")[2]
    shown = browser.ask(f"/ops/decisions/{name}/{decision}")[2]
    assert phrases.MEANINGS[Decision(decision)] in shown
    assert ("twice" in shown) is (decision == "resend")
    status, headers, _ = browser.ask("/ops/decisions", fields(browser, name, decision))
    assert (status, headers["Location"]) == (303, f"/ops?answer=done&decision={decision}#said")
    row = schedule.client.hmget(schedule.prefix(0) + b"r:" + member, "state", "reason")
    assert row == [state, reason]
    page = browser.ask(headers["Location"].partition("#")[0])[2]
    assert "Done, and noted with your name." in page
    assert "No reminder is waiting for a decision." in part(page, "decide")
    assert f"{decision} {kind} {name}" in part(page, "acts")
    (act,) = acts.read(schedule)
    assert (act.what, act.reminder, act.sudo_user, act.user) == (decision, name, NAME, acts.Who.here().user)


def test_what_was_decided_meanwhile_is_left_alone(browser: Browser, schedule: Schedule) -> None:
    member = wait_as(schedule, "unknown", 7)
    name = decisions.name_of(member)
    form = fields(browser, name, "drop")
    decisions.decide(schedule, waiting(schedule), Decision.SENT, acts.Who("bob"))
    assert browser.ask("/ops/decisions", form)[1]["Location"] == "/ops?answer=settled#said"
    assert browser.ask(f"/ops/decisions/{name}/drop")[1]["Location"] == "/ops?answer=settled#said"
    assert [one.what for one in acts.read(schedule)] == ["sent"]


def test_what_waits_anew_since_it_was_shown_is_another_case(browser: Browser, schedule: Schedule) -> None:
    form = fields(browser, decisions.name_of(wait_as(schedule, "unknown", 7)), "drop")
    wait_as(schedule, "unknown", 7, ago=timedelta(minutes=1))
    assert browser.ask("/ops/decisions", form)[1]["Location"] == "/ops?answer=settled#said"
    assert acts.read(schedule) == []


def test_a_decision_that_was_not_offered_is_not_made(browser: Browser, schedule: Schedule) -> None:
    name = decisions.name_of(wait_as(schedule, "unknown", 7))
    form = fields(browser, name, "drop")
    for decision in ("retry", "explode", ""):
        assert browser.ask("/ops/decisions", form | {"decision": decision})[0] == 404
    for decision in ("retry", "explode"):
        assert browser.ask(f"/ops/decisions/{name}/{decision}")[0] == 404
    assert acts.read(schedule) == []


def test_an_answer_has_words_for_whatever_comes_of_a_decision() -> None:
    assert set(phrases.ANSWERS) == set(Answer)
    assert set(phrases.BUTTONS) == set(phrases.MEANINGS) == set(Decision)


# What comes as it happens.


class Stream(NamedTuple):
    """Server-sent events."""

    line: http.client.HTTPConnection
    answer: http.client.HTTPResponse

    def next(self) -> tuple[str, Any]:
        """Return the next event, as its name and what it says."""
        name = ""
        while (row := self.answer.readline()) not in {b"", b"\n"}:
            head, _, rest = row.decode().rstrip("\n").partition(": ")
            if head == "event":
                name = rest
            elif name == "facts":
                said = json.loads(rest)
        return name, said if name == "facts" else None


@contextlib.contextmanager
def watching(browser: Browser) -> Iterator[Stream]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", browser.port, timeout=20)) as line:
        line.request("GET", "/ops/events", headers={"Cookie": browser.cookie})
        answer = line.getresponse()
        try:
            yield Stream(line, answer)
        finally:
            answer.close()


def event(browser: Browser) -> Any:
    with watching(browser) as stream:
        return stream.next()[1]


def until(stream: Stream, found: Callable[[Any], bool]) -> Any:
    for _ in range(20):
        name, said = stream.next()
        assert name == "facts"
        if found(said):
            return said
    pytest.fail("it was not told")


def test_who_watches_is_told_of_what_changes_and_of_nothing_else(browser: Browser, schedule: Schedule) -> None:
    for kind in ("scheduler/1-a", "worker/2-b"):
        schedule.beat(kind)
    with watching(browser) as stream:
        assert stream.answer.headers["Content-Type"].startswith("text/event-stream")
        _, first = stream.next()
        assert set(first["parts"]) >= {"alerts", "pending", "decide", "ahead", "outcomes", "processes", "store", "acts"}
        assert first["said"] == []
        name = decisions.name_of(wait_as(schedule, "unknown", 7))
        told = until(stream, lambda said: "decide" in said["parts"])
        assert name in told["parts"]["decide"]
        assert told["said"] == ["1 more reminder with an unknown outcome."]
        assert {"acts", "outcomes"}.isdisjoint(told["parts"])
        for call in range(5):
            schedule.run("report", 0, "twilio", b"call-%d" % call, "failed", 30_000, 0, 0)
        assert until(stream, lambda said: bool(said["said"]))["said"] == ["The circuit for twilio is open."]


def test_however_many_watch_the_ledger_is_read_once(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, schedule: Schedule
) -> None:
    looks, look, began = [], facts.status.read, time.monotonic()
    monkeypatch.setattr(facts.status, "read", lambda *words: looks.append(1) or look(*words))
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(watching(browser)) for _ in range(5)]
        for _ in range(3):
            assert {stream.next()[0] for stream in streams} == {"facts"}
        assert len(looks) <= (time.monotonic() - began) / (feed.EVERY * 0.9) + 2
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        seen = len(looks)
        time.sleep(feed.EVERY * 1.5)
        if len(looks) == seen:  # nobody watches, nobody looks
            return
    pytest.fail("it looks for nobody")


def test_there_are_only_so_many_streams(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reminder_worker.ops.desk.MOST_STREAMS", 1)
    with watching(browser) as first:
        first.next()
        with watching(browser) as second:
            assert (second.answer.status, second.answer.headers["Retry-After"]) == (503, "10")


def test_a_session_that_ends_takes_its_stream_along(browser: Browser, tmp_path: Path) -> None:
    with watching(browser) as stream:
        stream.next()
        (tmp_path / operators.FILE).write_text("[]")
        names = [stream.next()[0] for _ in range(2)]
        assert "over" in names
        assert stream.answer.read() == b""


def test_a_stream_ends_by_itself_so_that_a_proxy_is_asked_again_who_it_is(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reminder_worker.ops.feed.LONGEST", 3.0)
    with watching(browser) as stream:
        names = iter(lambda: stream.next()[0], "")
        assert set(itertools.islice(names, 10)) == {"facts"}  # not over: the browser comes again
        assert stream.answer.read() == b""
    assert event(browser)["parts"]


def test_news_are_said_once_and_in_words() -> None:
    base: dict[str, Any] = {"waiting": [], "acts": [], "limits": {}}

    def stand(**changed: Any) -> facts.Facts:
        alive = {"scheduler/1": 1.0, "worker/1": 1.0}
        words = dict.fromkeys(["scheduled", "overdue", "queued", "sending", "dead_letters"], 0)
        fields: dict[str, Any] = {"now": datetime.now(UTC), "overdue_seconds": 0.0, "next_due": None, "ended": {}}
        fields |= {"by_provider": {}, "processes": alive} | words | changed
        return facts.Facts(facts.Status(**fields), **base)

    well = stand()
    assert facts.news(well, well) == []
    assert facts.news(well, stand(dead_letters=2)) == ["2 more dead letters."]
    assert facts.news(stand(dead_letters=2), stand(dead_letters=1)) == []
    assert facts.news(well, stand(unknown=2)) == ["2 more reminders with an unknown outcome."]
    broken = stand(circuits={"twilio": "open"})
    assert facts.news(well, broken) == ["The circuit for twilio is open."]
    assert facts.news(broken, well) == ["The circuit for twilio is closed again."]
    assert facts.news(well, stand(processes={"worker/1": 30.0})) == [
        "No scheduler process is running.",
        "No worker process is running.",
    ]
    assert facts.news(well, None, "away") == ["The store does not answer."]
    assert facts.news(well, None, "refused")[0].startswith("The store refuses this page: ")
    assert facts.news(None, None, "away") == []
    assert facts.news(None, well) == ["The store answers again."]


# When the store is away.


def test_when_the_store_is_away_what_was_last_seen_stays_and_it_is_said(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "store") as server:
        schedule = Schedule(connect(server.url(), retry=None))
        with opened(schedule, tmp_path) as browser:
            browser.log_in()
            wait_as(schedule, "unknown", 7)
            form = fields(browser, waiting(schedule).name, "drop")
            with watching(browser) as stream:
                stream.next()
                server.kill()
                told = until(stream, lambda said: bool(said["said"]))
                assert told["said"] == ["The store does not answer."]
                assert "may be out of date" in told["parts"]["alerts"]
            page = browser.ask("/ops")[2]
            assert "The store does not answer" in part(page, "alerts")
            assert form["name"] in part(page, "decide")
            status, _, said = browser.ask("/ops/decisions", form)
            assert (status, "The store does not answer" in said) == (503, True)


def test_a_store_that_refuses_the_page_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "store") as server:
        schedule = Schedule(connect(server.url(), retry=None))
        with opened(schedule, tmp_path) as browser:
            browser.log_in()
            wait_as(schedule, "unknown", 7)
            form = fields(browser, waiting(schedule).name, "drop")
            schedule.client.acl_setuser("default", enabled=True, nopass=True, commands=["-info", "-evalsha", "-eval"])
            status, _, said = browser.ask("/ops/decisions", form)
            assert (status, "The store refuses this page: its password is wrong" in said) == (503, True)
            time.sleep(feed.EVERY)
            page = part(browser.ask("/ops")[2], "alerts")
            assert "The store refuses this page: its password is wrong" in page
            assert "nothing is sent" not in page


def test_a_page_that_was_loaded_without_a_store_says_so(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "store") as server:
        schedule = Schedule(connect(server.url(), retry=None))
    with opened(schedule, tmp_path) as browser:
        browser.log_in()
        status, _, page = browser.ask("/ops")
        assert status == 200
        assert "The store does not answer" in part(page, "alerts")
        assert 'id="pending"' not in page


def test_what_was_just_read_is_not_read_again_but_after_something_was_done() -> None:
    looks: list[int] = []

    def away() -> facts.Facts:
        looks.append(1)
        raise StoreUnavailable("away")

    async def look() -> None:
        feed = Feed(away, Pages())
        await feed.shown()
        await feed.shown()
        assert len(looks) == 1
        feed.expire()
        await feed.shown()
        assert len(looks) == 2

    asyncio.run(look())


# The processes.


def test_web_serves_it_where_the_settings_have_a_table(schedule: Schedule, tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    new_key(tmp_path / "keys")
    tenant = {"clinic": Platform(verify_key=tmp_path / "keys" / "gateway.pub")}
    table = settings(tmp_path).ops
    for chosen, expected in ((None, 404), (table, 303)):
        built = web.build(Settings(keys=tmp_path / "keys", platforms=tenant, ops=chosen), schedule)
        with serving(built) as port:
            browser = Browser(port)
            assert browser.ask("/ops")[0] == expected
            assert browser.ask("/v1/keys")[0] == 200
            if chosen is not None:
                assert browser.log_in() == 303
                assert browser.ask("/ops")[0] == 200
                assert event(browser)["parts"]


def test_the_process_says_what_it_needs(schedule: Schedule, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"table \[ops\]"):
        process.build(Settings(), schedule)
    with pytest.raises(SettingsError, match="keys new operator"):
        process.build(Settings(ops={"operators": tmp_path / "none.json"}), schedule)


@pytest.fixture
def started(server: EmbeddedServer, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Browser]]:
    settings(tmp_path)
    (tmp_path / "reminder-worker.toml").write_text(
        f'store_url = "{server.url()}"\n[ops]\noperators = "{operators.FILE}"\n[providers.twilio]\nrate = 5\n'
    )
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REMINDER_")}
    command = [sys.executable, "-m", "reminder_worker.cli", "ops", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    browser, deadline = Browser(port), time.monotonic() + 60
    try:
        while True:
            with contextlib.suppress(OSError):
                assert browser.ask("/readyz")[0] == 200
                break
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield running, browser
    finally:
        running.kill()
        running.wait()


def test_a_stream_does_not_hold_up_the_end_of_the_process(
    started: "tuple[subprocess.Popen[bytes], Browser]", tmp_path: Path
) -> None:
    running, browser = started
    assert browser.log_in() == 303
    with watching(browser) as stream, watching(browser) as another:
        stream.next()
        another.next()
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
        assert time.monotonic() - began < 15
        assert stream.next()[0] in {"", "facts"}
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events[-1] == "ops_stopped"
    assert "logged_in" in events
    assert PASSWORD not in (tmp_path / "log").read_text()


def test_a_stream_outlives_what_is_patient_with_nobody(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reminder_worker.connection.PATIENCE", 1.0)
    with watching(browser) as stream:
        began = time.monotonic()
        while time.monotonic() - began < 5:
            assert stream.next()[0] == "facts"
