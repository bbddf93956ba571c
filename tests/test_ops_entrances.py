"""Who gets in to the operator's page: sessions, tries, forms, proxies, and headers that keep pages in bounds."""

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from opspage import NAME, PASSWORD, Browser, opened, settings, wait_as
from pydantic import ValidationError
from starlette.requests import Request

from reminder_worker import acts, decisions
from reminder_worker.admission import Ops
from reminder_worker.ops import attempts, operators, pages, sessions
from reminder_worker.ops.attempts import Attempts, Turns
from reminder_worker.ops.entrances import Addresses
from reminder_worker.ops.sessions import Sessions
from reminder_worker.schedule import Schedule

PROXY = {"proxy_header": "X-Remote-User", "proxy_from": ["127.0.0.1"]}


class Hands:
    """A clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def browser(schedule: Schedule, tmp_path: Path) -> Iterator[Browser]:
    with opened(schedule, tmp_path) as found:
        yield found


@pytest.fixture
def behind(schedule: Schedule, tmp_path: Path) -> Iterator[Browser]:
    with opened(schedule, tmp_path, **PROXY) as found:
        yield found


# Sessions.


def test_a_session_is_found_by_its_token_only(hands: Hands) -> None:
    known = Sessions(hands)
    token = known.begin("ada", b"1")
    found = known.find(token)
    assert found is not None
    assert found.name == "ada"
    assert known.find(token[:-1] + ("A" if token[-1] != "A" else "B")) is None
    assert known.find("") is None
    assert token not in repr(vars(known))
    assert token.encode() not in found.key


def test_a_session_ends_where_nobody_uses_it_for_half_an_hour(hands: Hands) -> None:
    known = Sessions(hands)
    token = known.begin("ada", b"1")
    for _ in range(3):
        hands.now += sessions.IDLE - 1
        found = known.find(token)
        assert found is not None
        known.use(found)
    hands.now += sessions.IDLE
    assert known.find(token) is None


def test_a_session_that_is_used_all_day_ends_all_the_same(hands: Hands) -> None:
    known = Sessions(hands)
    token = known.begin("ada", b"1")
    while (found := known.find(token)) is not None:
        known.use(found)
        hands.now += 600
    assert hands.now - 1000 == sessions.LONGEST


def test_to_look_is_no_use(hands: Hands) -> None:
    known = Sessions(hands)
    token = known.begin("ada", b"1")
    hands.now += sessions.IDLE - 1
    assert known.find(token)
    hands.now += 2
    assert known.find(token) is None


def test_there_are_only_so_many_and_the_oldest_goes_first(hands: Hands) -> None:
    known = Sessions(hands)
    tokens = [known.begin("ada", b"1") for _ in range(sessions.MOST + 2)]
    assert [known.find(token) is None for token in tokens[:4]] == [True, True, False, False]
    assert known.find(tokens[-1])


# Tries.


def test_so_many_at_once_and_then_one_by_one(hands: Hands) -> None:
    turns = Turns(3, 10.0, hands)
    for _ in range(3):
        assert turns.wait("ada") == 0
        turns.take("ada")
    assert turns.wait("ada") == 10
    assert turns.wait("eva") == 0
    hands.now += 10
    assert turns.wait("ada") == 0
    hands.now += 1000
    for _ in range(3):
        turns.take("ada")
    assert turns.wait("ada") == 10


@pytest.mark.parametrize(
    ("names", "addresses", "most"),
    [
        (["ada"], [f"10.0.0.{number}" for number in range(50)], 5),
        ([f"name{number}" for number in range(50)], ["10.0.0.1"], 10),
        ([f"name{number}" for number in range(50)], [f"10.0.0.{number}" for number in range(50)], 20),
    ],
)
def test_names_addresses_and_all_together_are_limited(
    hands: Hands, names: list[str], addresses: list[str], most: int
) -> None:
    tries = Attempts(hands)
    waits = [tries.one_more(names[turn % len(names)], addresses[turn % len(addresses)]) for turn in range(50)]
    assert [wait == 0 for wait in waits].count(True) == most
    assert all(waits[most:])


def test_what_is_refused_makes_nobody_wait_longer(hands: Hands) -> None:
    tries = Attempts(hands)
    waits = [tries.one_more("ada", "10.0.0.1") for _ in range(20)]
    assert waits[-1] == waits[5] == 60
    hands.now += 60
    assert tries.one_more("ada", "10.0.0.1") == 0


def test_who_tries_names_without_end_fills_no_memory(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST_KNOWN", 10)
    turns = Turns(1, 60.0, hands)
    for number in range(100):
        turns.take(f"name{number}")
    assert len(turns._spread) <= 11
    hands.now += 10_000
    turns.take("ada")
    assert turns.wait("ada") == 60


# Logging in.


def test_nobody_sees_anything_before_they_have_logged_in(browser: Browser, schedule: Schedule) -> None:
    wait_as(schedule, "unknown", 7)
    status, headers, said = browser.ask("/ops")
    assert (status, headers["Location"], said) == (303, "/ops/login", "")
    assert browser.ask("/ops/events")[0] == 403
    for path in ("/ops/decisions/x-0/drop", "/ops"):
        assert browser.ask(path)[0] == 303
    assert browser.ask("/ops/decisions", {"name": "x", "decision": "drop"})[0] == 303


def test_the_right_password_opens_a_session(browser: Browser) -> None:
    status, headers, _ = browser.ask("/ops/login", {"name": f" {NAME.title()} ", "password": PASSWORD})
    assert (status, headers["Location"]) == (303, "/ops")
    cookie = headers["Set-Cookie"]
    assert re.fullmatch(r"__Host-reminder-ops=[\w-]{43}; Path=/; Secure; HttpOnly; SameSite=Strict", cookie)
    status, _, said = browser.ask("/ops")
    assert status == 200
    assert "Needs attention" in said
    assert NAME in said


def test_an_unknown_name_and_a_wrong_password_are_answered_alike(browser: Browser) -> None:
    answers = [
        browser.ask("/ops/login", {"name": name, "password": "a wrong password"})
        for name in (NAME, "eva", "<script>", "a" * 3000)
    ]
    assert {status for status, _, _ in answers} == {403}
    assert len({said for _, _, said in answers}) == 1
    assert "do not belong together" in answers[0][2]
    assert all(headers["Set-Cookie"] is None for _, headers, _ in answers)


def test_who_tries_too_often_waits_even_with_the_right_password(browser: Browser) -> None:
    assert [browser.log_in(password=f"wrong {number}") for number in range(6)] == [403] * 5 + [429]
    status, headers, said = browser.ask("/ops/login", {"name": NAME, "password": PASSWORD})
    assert status == 429
    assert 0 < int(headers["Retry-After"]) <= 60
    assert f"Wait for {headers['Retry-After']} seconds" in said


def test_a_name_that_its_owner_has_opened_begins_anew(browser: Browser) -> None:
    assert [browser.log_in(password=f"wrong {number}") for number in range(4)] == [403] * 4
    assert browser.log_in() == 303
    assert [browser.log_in(password=f"wrong {number}") for number in range(5)] == [403] * 5


def test_what_was_typed_is_in_no_log(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    browser.log_in(name="hunter22secret", password="hunter33secret")
    browser.log_in()
    assert {"login_refused", "logged_in"} <= {record.getMessage() for record in caplog.records}
    assert "secret" not in "".join(str(record.__dict__) for record in caplog.records)
    (entry,) = [record for record in caplog.records if record.getMessage() == "logged_in"]
    assert entry.__dict__["sudo_user"] == NAME


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "", "Origin": "null"},
        {"Sec_Fetch_Site": "", "Origin": "http://[evil"},
        {"Sec_Fetch_Site": ""},
    ],
)
def test_another_site_s_form_logs_nobody_in_and_decides_nothing(
    browser: Browser, schedule: Schedule, headers: dict[str, str]
) -> None:
    assert browser.log_in(**headers) == 403
    assert browser.log_in() == 303
    name = waiting_name(schedule)
    form = {"token": browser.token(), "name": name, "score": score(browser, name), "decision": "drop"}
    assert browser.ask("/ops/decisions", form, **headers)[0] == 403
    assert acts.read(schedule) == []
    assert browser.ask("/ops/logout", {"token": browser.token()}, **headers)[0] == 303
    assert browser.ask("/ops", Cookie=browser.cookie)[0] in {200, 303}


def test_a_browser_that_says_only_where_a_page_is_from_is_believed(browser: Browser) -> None:
    origin = f"http://127.0.0.1:{browser.port}"
    assert browser.log_in(Sec_Fetch_Site="", Origin=origin) == 303
    assert browser.log_in(Sec_Fetch_Site="", Origin=f"{origin}0") == 403


def test_logging_out_ends_the_session_for_everybody_who_has_its_token(browser: Browser) -> None:
    browser.log_in()
    kept = browser.cookie
    _, headers, _ = browser.ask("/ops/logout", {"token": browser.token()})
    assert headers["Location"] == "/ops/login"
    assert "Max-Age=0" in headers["Set-Cookie"]
    assert browser.ask("/ops", Cookie=kept)[0] == 303


def test_logging_out_needs_a_form_of_one_s_own(browser: Browser) -> None:
    browser.log_in()
    kept = browser.cookie
    for asked in ({"token": "0" * 64}, {}):
        assert (
            browser.ask("/ops/logout", asked)[1]["Set-Cookie"] is None
        )  # a form elsewhere brings no cookie, and takes none
    assert browser.ask("/ops", Cookie=kept)[0] == 200


def test_who_is_taken_out_of_the_file_is_out_at_once(browser: Browser, tmp_path: Path) -> None:
    browser.log_in()
    assert browser.ask("/ops")[0] == 200
    (tmp_path / operators.FILE).write_text("[]")
    assert browser.ask("/ops")[0] == 303


def test_another_password_ends_the_sessions_of_the_old_one(browser: Browser, tmp_path: Path) -> None:
    browser.log_in()
    operators.enter(tmp_path / operators.FILE, NAME, "quite another one", datetime.now(UTC))
    assert browser.ask("/ops")[0] == 303
    assert browser.log_in(password="quite another one") == 303


def test_without_the_file_nobody_gets_in_and_it_is_said(browser: Browser, tmp_path: Path) -> None:
    browser.log_in()
    form = {"token": browser.token()}
    (tmp_path / operators.FILE).unlink()
    for asked in (browser.ask("/ops"), browser.ask("/ops/logout", form)):
        status, _, said = asked
        assert (status, "cannot be read" in said) == (503, True)
        assert str(tmp_path) not in said
    assert browser.log_in() == 503


# Forms.


def waiting_name(schedule: Schedule) -> str:
    wait_as(schedule, "unknown", 7)
    return decisions.waiting(schedule)[0].name


def score(browser: Browser, name: str) -> str:
    found = re.search(r'name="score" value="(\d+)"', browser.ask(f"/ops/decisions/{name}/drop")[2])
    assert found
    return found[1]


def test_a_decision_needs_a_form_that_this_very_session_was_shown(browser: Browser, schedule: Schedule) -> None:
    name = waiting_name(schedule)
    browser.log_in()
    other = Browser(browser.port)
    other.log_in()
    fields = {"name": name, "score": score(browser, name), "decision": "drop"}
    for token in (other.token(), "", "é", "0" * 64):
        assert browser.ask("/ops/decisions", fields | {"token": token})[0] == 403
    assert browser.ask("/ops/decisions", fields)[0] == 403
    assert acts.read(schedule) == []
    assert browser.ask("/ops/decisions", fields | {"token": browser.token()})[0] == 303
    assert [one.what for one in acts.read(schedule)] == ["drop"]


@pytest.mark.parametrize("body", [b"\xff=1", b"&".join(b"a=%d" % number for number in range(50)), b"x" * 5000])
def test_what_is_no_form_of_ours_is_refused(browser: Browser, body: bytes) -> None:
    head = f"POST /ops/login HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", browser.port), timeout=20) as line:
        line.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        assert line.recv(12) == b"HTTP/1.1 403"


# A proxy.


def test_whom_the_proxy_names_is_let_in_and_noted(behind: Browser, schedule: Schedule) -> None:
    name = waiting_name(schedule)
    behind.headers = {"X-Remote-User": "eva@example.org"}
    assert behind.ask("/ops")[0] == 200
    token = behind.token(f"/ops/decisions/{name}/sent")
    fields = {"token": token, "name": name, "score": score(behind, name), "decision": "sent"}
    assert behind.ask("/ops/decisions", fields)[0] == 303
    ((what, account, operator),) = [(one.what, one.user, one.sudo_user) for one in acts.read(schedule)]
    assert (what, operator) == ("sent", "eva_example.org")
    assert account == acts.Who.here().user


def test_whom_the_proxy_does_not_name_is_nobody(behind: Browser) -> None:
    for name in ("", "eva|root", "eva lovelace", "e" * 65, "évà"):
        behind.headers = {"X-Remote-User": name.encode().decode("latin-1")}
        assert behind.ask("/ops")[0] == 403, name


def test_a_name_that_is_sent_twice_is_nobody_s(behind: Browser) -> None:
    head = "GET /ops HTTP/1.1\r\nHost: x\r\nX-Remote-User: eva\r\nX-Remote-User: ada\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", behind.port), timeout=20) as line:
        line.sendall(head.encode())
        assert line.recv(12) == b"HTTP/1.1 403"


def test_a_header_that_does_not_come_from_the_proxy_is_not_believed(schedule: Schedule, tmp_path: Path) -> None:
    with opened(schedule, tmp_path, proxy_header="X-Remote-User", proxy_from=["10.0.0.0/8", "::1"]) as browser:
        browser.headers = {"X-Remote-User": "eva", "X-Forwarded-For": "10.0.0.1"}
        assert browser.ask("/ops")[0] == 403
        assert browser.ask("/ops/events")[0] == 403


def test_behind_a_proxy_there_is_no_password_to_try(behind: Browser) -> None:
    assert behind.log_in() == 404
    behind.headers = {"X-Remote-User": "eva"}
    assert "Log out" not in behind.ask("/ops")[2]


def test_with_passwords_a_header_names_nobody(browser: Browser) -> None:
    browser.headers = {"X-Remote-User": NAME}
    assert browser.ask("/ops")[0] == 303


def test_tries_are_counted_by_who_makes_them_where_a_proxy_says_so(schedule: Schedule, tmp_path: Path) -> None:
    settings(tmp_path)
    table: dict[str, Any] = {"operators": tmp_path / operators.FILE, "proxy_from": ["127.0.0.1"]}
    with opened(schedule, tmp_path, **table) as browser:
        tries = [browser.log_in(f"name{turn}", X_Forwarded_For="9.9.9.9, 10.0.0.1") for turn in range(11)]
        assert tries == [403] * 10 + [429]
        assert browser.log_in(X_Forwarded_For="10.0.0.1, 10.0.0.2") == 303


@pytest.mark.parametrize(
    ("lines", "counted"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["192.0.2.1, 198.51.100.7"], "198.51.100.7"),
        (["192.0.2.1", "198.51.100.7"], "198.51.100.7"),  # a proxy that adds a line to those that were sent
        (["2001:db8:0:1::77"], "20010db800000001"),
        (["2001:db8:0:1:ffff::1"], "20010db800000001"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7:4711"], "127.0.0.1"),
        (["a" * 9000], "127.0.0.1"),  # counted by what it is, it would fill memory
        ([""], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
)
def test_whoever_tries_is_counted_by_the_address_that_the_proxy_saw(lines: list[str], counted: str) -> None:
    headers = [(b"x-forwarded-for", line.encode()) for line in lines]
    known = Addresses([ip_network("127.0.0.1/32")])
    request = Request({"type": "http", "client": ("127.0.0.1", 4711), "headers": headers})
    assert known.caller(request) == counted


def test_who_is_no_proxy_cannot_say_that_somebody_else_tries(browser: Browser) -> None:
    tries = [browser.log_in(f"name{turn}", X_Forwarded_For=f"10.0.0.{turn}") for turn in range(11)]
    assert tries == [403] * 10 + [429]


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"proxy_header": "X-Remote-User"},
        {"proxy_header": "X-Remote-User", "proxy_from": ["proxy.example"]},
        {"proxy_header": "X Remote", "proxy_from": ["127.0.0.1"]},
        {"operators": "x", **PROXY},
        {"operators": "x", "other": 1},
    ],
)
def test_settings_that_leave_a_door_open_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Ops(**table)


# Headers.


def test_every_answer_keeps_its_page_in_bounds(browser: Browser, schedule: Schedule) -> None:
    name = waiting_name(schedule)
    answers = [browser.ask("/ops"), browser.ask("/ops/login"), browser.ask("/ops/events"), browser.ask("/ops/assets/x")]
    browser.log_in()
    answers += [browser.ask("/ops"), browser.ask(f"/ops/decisions/{name}/drop"), browser.ask("/ops/decisions", {})]
    for _, headers, _ in answers:
        assert headers["Content-Security-Policy"] == pages.POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
    assert "'unsafe" not in pages.POLICY
    assert pages.POLICY.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")


def test_no_script_and_no_style_stands_in_a_page(browser: Browser, schedule: Schedule) -> None:
    name = waiting_name(schedule)
    browser.log_in()
    for path in ("/ops", "/ops/login", f"/ops/decisions/{name}/drop"):
        said = browser.ask(path)[2]
        assert not re.search(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=|https?:", said), path


def test_a_file_beside_the_page_is_kept_for_as_long_as_its_name_holds(browser: Browser) -> None:
    found = re.findall(r'(?:href|src)="(/ops/assets/[^"]+)"', browser.ask("/ops/login")[2])
    browser.log_in()
    found += re.findall(r'src="(/ops/assets/[^"]+)"', browser.ask("/ops")[2])
    assert [re.sub(r"\.\w{16}\.", ".", one) for one in found] == [f"/ops/assets/{one}" for one in ORDER]
    for path in found:
        status, headers, said = browser.ask(path)
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        assert len(said) > 100
        assert "://" not in said.replace("http://www.w3.org/2000/svg", "")
    assert browser.ask(found[0].replace(".svg", "0.svg"))[0] == 404


ORDER = ["icon.svg", "ops.css", "ops.js"]
