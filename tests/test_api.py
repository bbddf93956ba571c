"""The HTTP API over real sockets and a real store: what it takes, what it says, whom it lets in, what it holds."""

import base64
import http.client
import json
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from clock import Clock
from desk import PHONE, PLACE, Desk, make_keys, new_key, opened, path, settings
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import VerifyKey
from openapi_spec_validator import validate
from practice import ahead, send

from reminder_worker import api, apikeys, durability, reception, serving, store, web
from reminder_worker.apikeys import Scope
from reminder_worker.client import direct
from reminder_worker.embedded import EmbeddedServer
from reminder_worker.errors import SettingsError, StoreUnavailable
from reminder_worker.gateway import GatewayKeys, Mode
from reminder_worker.job import FailureClass, State
from reminder_worker.ledger import HEAD_BYTES, Durability
from reminder_worker.opening import WorkerKeys, load_signers, open_envelope, open_pointer
from reminder_worker.schedule import Schedule
from reminder_worker.sealing import PublicKeys, make_id
from reminder_worker.testing.outcomes import serving as running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def desk(schedule: Schedule, folder: Path) -> Iterator[Desk]:
    with opened(schedule, folder) as one:
        yield one


def due(reference: str, desk: Desk) -> dict:
    return desk.get(reference).body["reminders"][0]


# What it takes


def test_the_same_again_changes_nothing_and_something_else_moves_it(desk: Desk) -> None:
    fields = desk.fields()
    answers = [desk.ask("PUT", path("A-1"), given) for given in (fields, fields, fields | {"time": ahead(days=4)})]
    assert [(one.status, one.body) for one in answers] == [
        (201, {"result": "added"}),
        (200, {"result": "unchanged"}),
        (200, {"result": "moved"}),
    ]


def test_a_platform_is_told_what_became_of_each_lead(desk: Desk) -> None:
    desk.put("A-1", leads=["24h", "2h"])
    shown = desk.get("A-1")
    assert (shown.status, shown.body["reference"]) == (200, "A-1")
    assert [(one["lead"], one["state"], one["attempts"]) for one in shown.body["reminders"]] == [
        (0, "scheduled", 0),
        (1, "scheduled", 0),
    ]
    assert shown.headers["Cache-Control"] == "no-store"


def test_what_is_told_is_signed_for_the_platform_to_keep(desk: Desk) -> None:
    desk.put("A-1")
    header, payload, signature = desk.get("A-1").body["record"].split(".")
    (key,) = desk.ask("GET", "/v1/keys").body["record"]
    VerifyKey(decode(key["key"])).verify(f"{header}.{payload}".encode(), decode(signature))
    content = json.loads(decode(payload))
    assert json.loads(decode(header))["kid"] == key["kid"]
    assert (content["platform"], content["reference"], content["test"]) == ("clinic", "A-1", False)
    assert [one["state"] for one in content["reminders"]] == ["scheduled"]
    assert PLACE not in str(content)


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_what_was_taken_back_is_not_sent_and_may_be_handed_in_again(desk: Desk, schedule: Schedule) -> None:
    fields = desk.fields(time=ahead(hours=2), leads=["3h"])
    desk.ask("PUT", path("A-1"), fields)
    assert [desk.cancel("A-1").body for _ in range(2)] == [{"result": "cancelled"}] * 2
    assert due("A-1", desk)["state"] == "cancelled"
    assert schedule.take(0, capacity=10).wakes == []
    assert desk.ask("PUT", path("A-1"), fields).status in {200, 201}
    assert len(schedule.take(0, capacity=10).wakes) == 1


def test_while_a_provider_is_called_nothing_is_moved_or_taken_back(desk: Desk, schedule: Schedule) -> None:
    desk.put("A-1", time=ahead(hours=2), leads=["3h"])
    send(schedule, finish=False)
    for answer in (desk.put("A-1"), desk.cancel("A-1")):
        assert (answer.status, answer.body["title"], answer.headers["Retry-After"]) == (409, "in_flight", "15")


def test_what_was_sent_cannot_be_taken_back(desk: Desk, schedule: Schedule) -> None:
    desk.put("A-1", time=ahead(hours=2), leads=["3h"])
    send(schedule)
    assert (desk.cancel("A-1").status, desk.cancel("A-1").body["title"]) == (409, "ended")
    assert due("A-1", desk)["state"] == "sent"


def test_a_pointer_that_is_sealed_anew_reminds_nobody_again(desk: Desk, schedule: Schedule) -> None:
    """As a nightly export does that seals each number once more."""
    fields = desk.fields(time=ahead(hours=2), leads=["3h"])
    desk.ask("PUT", path("A-1"), fields)
    assert desk.ask("PUT", path("A-1"), fields | {"pointer": desk.pointer()}).body == {"result": "moved"}
    send(schedule)
    again = desk.ask("PUT", path("A-1"), fields | {"pointer": desk.pointer()})
    assert (again.status, again.body) == (200, {"result": "unchanged"})
    assert schedule.take(0, capacity=10).wakes == []
    elsewhere = desk.ask("PUT", path("A-1"), fields | {"pointer": desk.pointer(), "location": "13 rue des Lilas"})
    assert elsewhere.body == {"result": "moved"}
    assert len(schedule.take(0, capacity=10).wakes) == 1


def test_a_pointer_that_is_sealed_anew_just_before_a_text_goes_out_reminds_nobody_twice(
    desk: Desk, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was planned while that text was still to come, and handed in when it was out."""
    fields = desk.fields(time=ahead(hours=24), leads=["24h", "2h"])

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(minutes=1)  # type: ignore[arg-type]

    with monkeypatch.context() as behind:
        behind.setattr(direct, "datetime", Earlier)
        assert desk.ask("PUT", path("A-1"), fields).status == 201
        send(schedule)
        assert desk.ask("PUT", path("A-1"), fields | {"pointer": desk.pointer()}).body == {"result": "moved"}
    assert schedule.take(0, capacity=10).wakes == []
    assert [one["state"] for one in desk.get("A-1").body["reminders"]] == ["sent", "scheduled"]


def test_what_was_sent_stays_on_record_when_the_rest_gets_another_pointer(desk: Desk, schedule: Schedule) -> None:
    """And one that waits, though it has fallen due, still goes out."""
    due = datetime.now(UTC) + timedelta(seconds=4)
    fields = desk.fields(time=(due + timedelta(hours=24)).isoformat(timespec="seconds"), leads=["24h", "2h"])
    desk.ask("PUT", path("A-1"), fields | {"leads": ["26h", "25h", "2h"]})
    assert [(one["lead"], one["state"]) for one in desk.get("A-1").body["reminders"]] == [(2, "scheduled")]
    desk.ask("PUT", path("A-2"), fields)
    before = desk.get("A-2").body["reminders"]
    time.sleep(max(0, (due - datetime.now(UTC)).total_seconds()))
    assert desk.ask("PUT", path("A-2"), fields | {"pointer": desk.pointer()}).body == {"result": "moved"}
    send(schedule)
    assert desk.ask("PUT", path("A-2"), fields | {"pointer": desk.pointer()}).body == {"result": "moved"}
    after = desk.get("A-2").body["reminders"]
    assert [(one["lead"], one["state"]) for one in after] == [(0, "sent"), (1, "scheduled")]
    assert before[1]["due"] == after[1]["due"]


def test_what_nobody_handed_in_is_missing(desk: Desk) -> None:
    assert [(one.status, one.body["title"]) for one in (desk.get("A-9"), desk.cancel("A-9"))] == [(404, "missing")] * 2


def test_a_batch_is_answered_one_by_one_in_order(desk: Desk) -> None:
    good = [{"reference": f"A-{number}", **desk.fields()} for number in range(3)]
    bad = [
        good[0] | {"location": "Oncology ward"},
        {"reference": "A-7"},
        "A-8",
        good[0] | {"reference": 4},
        good[0] | {"phone": PHONE},
        good[0] | {"reference": ".."},
    ]
    answer = desk.batch(*good, *bad, good[1])
    assert answer.status == 200
    assert [(one["status"], one.get("result") or one["title"]) for one in answer.body["results"]] == [
        *[(201, "added")] * 3,
        (422, "location_discloses"),
        (422, "missing_field"),
        (400, "malformed"),
        (422, "reference_invalid"),
        (422, "unknown_field"),
        (422, "reference_invalid"),
        (200, "unchanged"),
    ]


@pytest.mark.parametrize("items", [[], [{}] * 501, {}, None, "x"])
def test_a_batch_of_another_size_is_refused(desk: Desk, items: object) -> None:
    answer = desk.ask("POST", "/v1/reminders:batch", {"reminders": items})
    assert (answer.status, answer.body["field"]) == (400, "reminders")


def test_five_hundred_go_in_at_once(desk: Desk) -> None:
    items = [{"reference": f"A-{number}", **desk.fields()} for number in range(500)]
    assert {one["result"] for one in desk.batch(*items).body["results"]} == {"added"}


@pytest.mark.parametrize(
    "reference", ["A/1", "a b", "é", "%", "?", "#", "...", "a/../b", "A-1/", "\U0001d538", ";x=1", "+"]
)
def test_any_reference_is_one_appointment_s_and_comes_back(desk: Desk, reference: str) -> None:
    assert desk.put(reference).status == 201
    assert desk.get(reference).body["reference"] == reference
    assert desk.get(reference + "x").status == 404


@pytest.mark.parametrize(
    "raw", ["%ff", "..", "%2e", "a/b", "a/../b", "%C3%28", "%00", "%0A", "a%0Ab", "%ED%A0%80", "a" * 201, ""]
)
def test_what_cannot_be_a_reference_is_refused(desk: Desk, raw: str) -> None:
    answer = desk.ask("PUT", f"/v1/reminders/{raw}", desk.fields())
    assert (answer.status, answer.body["field"]) == (422, "reference")


# What it refuses


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"reason": "x"}, "unknown_field", "reason"),
        ({"phone": PHONE}, "unknown_field", "phone"),
        ({"time": None}, "missing_field", "time"),
        ({"pointer": None}, "missing_field", "pointer"),
        ({"pointer": "A" * 204}, "pointer_invalid", "pointer"),
        ({"pointer": 7}, "malformed", "pointer"),
        ({"pointer": PHONE}, "pointer_invalid", "pointer"),
        ({"location": "Oncology ward"}, "location_discloses", "location"),
        ({"location": 3}, "location_invalid", "location"),
        ({"time": "tomorrow"}, "time_invalid", "time"),
        ({"time": {"a": 1}}, "time_invalid", "time"),
        ({"time": "2020-01-01T00:00:00Z"}, "time_past", "time"),
        ({"leads": []}, "lead_invalid", "leads"),
        ({"leads": ["1y"]}, "lead_invalid", "leads"),
        ({"reference": "A-2"}, "unknown_field", "reference"),
    ],
)
def test_a_refusal_names_the_field_and_no_value(desk: Desk, changed: dict, reason: str, field: str) -> None:
    record = {**desk.fields(), **changed}
    answer = desk.ask("PUT", path("A-1"), {name: value for name, value in record.items() if value is not None})
    expected = 400 if reason == "malformed" else 422
    assert (answer.status, answer.body["title"], answer.body["field"]) == (expected, reason, field)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["type"] == f"urn:reminder-worker:{reason}"
    said = json.dumps(answer.body)
    assert not [value for value in (PHONE, PLACE, "Oncology", "tomorrow", "2020") if value in said]


def test_who_sends_a_number_is_told_what_to_do_with_it(desk: Desk) -> None:
    answer = desk.ask("PUT", path("A-1"), {"time": ahead(days=1), "location": PLACE, "phone": PHONE, "language": "fr"})
    assert answer.body["detail"] == "phone: numbers do not travel here: seal them into a pointer"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"a": NaN}',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"time": 1' + b"0" * 5000 + b"}",
        b"[" * 9000,
        b'{"a":' * 3000,
    ],
)
def test_what_is_no_json_object_is_refused(desk: Desk, body: bytes) -> None:
    answer = desk.ask("PUT", path("A-1"), body)
    assert (answer.status, answer.body["title"], answer.body["field"]) == (400, "malformed", "body")


def test_a_name_that_is_there_twice_is_refused(desk: Desk) -> None:
    text = json.dumps(desk.fields())[:-1] + f', "location": "{PLACE}"}}'
    answer = desk.ask("PUT", path("A-1"), text.encode())
    assert (answer.status, answer.body["detail"]) == (400, "location: is there twice")


def test_a_doubled_name_that_may_be_data_is_not_repeated(desk: Desk) -> None:
    answer = desk.ask("PUT", path("A-1"), f'{{"{PHONE}": 1, "{PHONE}": 2}}'.encode())
    assert answer.body["detail"] == "a field: is there twice"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/plain"},
        {"Content_Type": ""},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Encoding": "gzip"},
    ],
)
def test_another_kind_of_content_is_refused(desk: Desk, headers: dict) -> None:
    answer = desk.ask("PUT", path("A-1"), desk.fields(), **headers)
    assert (answer.status, answer.body["title"]) == (415, "media_type")


def test_a_charset_is_no_other_kind_of_content(desk: Desk) -> None:
    assert desk.ask("PUT", path("A-1"), desk.fields(), Content_Type="Application/JSON; charset=utf-8").status == 201


def test_a_body_over_the_limit_is_refused(desk: Desk) -> None:
    for method, where, limit in (
        ("PUT", path("A-1"), api.BODY_LIMIT),
        ("POST", "/v1/reminders:batch", api.BATCH_LIMIT),
    ):
        answer = desk.ask(method, where, b" " * (limit + 1))
        assert (answer.status, answer.body["title"]) == (413, "too_large")
        assert desk.ask(method, where, b" " * limit).status == 400


def test_a_body_that_drips_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.2)
    head = f"PUT /v1/reminders/A-1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {desk.key}\r\n"
    with socket.create_connection(("127.0.0.1", desk.port), timeout=30) as slow:
        slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 413")


# Whom it lets in


def test_a_caller_is_told_what_its_key_is(schedule: Schedule, folder: Path) -> None:
    narrow = new_key(folder, test=True, scopes=[Scope.CANCEL])
    with opened(schedule, folder) as desk:
        told = replace(desk, key=narrow).ask("GET", "/v1/key").body
        assert (told["platform"], told["test"], told["scopes"]) == ("clinic", True, ["cancel"])
        left = datetime.fromisoformat(told["expires"]) - datetime.now(UTC)
        assert timedelta(hours=23) < left < timedelta(hours=25)
        assert desk.ask("GET", "/v1/key", Authorization="Bearer x").status == 401


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic x", f"Bearer rwk_live_abcdefgh_{'A' * 43}"])
def test_who_has_no_key_is_not_let_in(desk: Desk, authorization: str) -> None:
    one, many = path("A"), "/v1/reminders:batch"
    for method, where in (("PUT", one), ("GET", one), ("DELETE", one), ("POST", many)):
        answer = desk.ask(method, where, {}, Authorization=authorization)
        assert (answer.status, answer.body["title"]) == (401, "unauthorised")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("scope", Scope)
def test_a_key_may_do_what_its_scope_says_and_nothing_else(schedule: Schedule, folder: Path, scope: Scope) -> None:
    narrow = new_key(folder, scopes=[scope])
    with opened(schedule, folder) as wide:
        wide.put("A-1")
        one = replace(wide, key=narrow)
        calls = {Scope.ADD: one.put, Scope.CANCEL: one.cancel, Scope.READ: one.get}
        statuses = {name: call("A-1").status for name, call in calls.items()}
        statuses["batch"] = one.batch({"reference": "A-2", **one.fields()}).status
    allowed = {name for name, status in statuses.items() if status != 403}
    assert allowed == ({scope, "batch"} if scope is Scope.ADD else {scope})


def test_one_platform_s_key_reaches_nothing_of_another_s(schedule: Schedule, folder: Path) -> None:
    alone = settings(folder)
    tenant = alone.platforms["clinic"]
    both = alone.model_copy(update={"platforms": {"clinic": tenant, "other": tenant}})
    keys_of = {name: new_key(folder, name) for name in ("clinic", "other")}
    with running(web.build(both, schedule)) as port:
        public = PublicKeys.load(folder / "worker.pub.json")
        mine, theirs = (Desk(port, keys_of[name], public, name) for name in ("clinic", "other"))
        assert mine.put("A-1").status == 201
        assert (theirs.get("A-1").status, theirs.cancel("A-1").status) == (404, 404)
        assert theirs.put("A-1").status == 201
        assert mine.cancel("A-1").status == 200
        assert theirs.get("A-1").body["reminders"][0]["state"] == "scheduled"


def test_keys_that_are_made_and_revoked_count_while_it_runs(
    schedule: Schedule, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "BEAT_EVERY", 0.05)
    with opened(schedule, folder) as desk:
        late = replace(desk, key=new_key(folder))
        wait_for(lambda: late.put("A-1").status == 201)
        apikeys.revoke(desk.key.split("_")[2], folder)
        wait_for(lambda: desk.get("A-1").status == 401)
        assert late.get("A-1").status == 200
        (folder / "api-keys.json").write_text("[")  # half written, say
        wait_for(lambda: late.get("A-1").status == 200)


def test_a_key_of_a_platform_that_the_settings_do_not_know_may_nothing(
    schedule: Schedule, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "BEAT_EVERY", 0.05)
    with opened(schedule, folder) as desk:
        stranger = replace(desk, key=new_key(folder, "stranger"))
        wait_for(lambda: stranger.get("A-1").status == 403)
        assert [stranger.put("A-1").status, stranger.cancel("A-1").status] == [403, 403]
        said = stranger.put("A-1").body
        assert (said["title"], said["field"]) == ("forbidden", "Authorization")
        assert "[platforms.NAME]" in said["detail"]  # what its operator has to add; no names but the API's own
        assert "stranger" not in said["detail"]


def wait_for(done, tries: int = 1500) -> None:
    for _ in range(tries):
        if done():
            return
        time.sleep(0.02)
    pytest.fail("it did not come about")


def test_api_keys_of_nobody_stop_it_from_starting(schedule: Schedule, folder: Path) -> None:
    new_key(folder, "stranger")
    with pytest.raises(SettingsError, match="add a table for stranger"):
        web.build(settings(folder), schedule)


# How much


def test_who_calls_too_often_is_told_when_to_come_back(schedule: Schedule, clock: Clock, folder: Path) -> None:
    clock.set(datetime.now(UTC))  # it moves only where that is said: a second would let another one in
    with opened(schedule, folder, api_rate=1) as desk:
        items = [{"reference": f"A-{number}", **desk.fields()} for number in range(500)]
        assert desk.batch(*items).status == 200
        answers = []
        for _ in range(3):
            answers.append(desk.batch(*items))
            clock.forward(seconds=0.3)
        assert {(one.status, one.body["title"]) for one in answers} == {(429, "too_many_requests")}
        waits = [int(one.headers["Retry-After"]) for one in answers]
        assert max(waits) <= 501
        assert waits == sorted(waits, reverse=True)  # asking too early costs nothing
        assert desk.put("A-1").status == 429
        assert (desk.cancel("A-1").status, desk.get("A-2").status) == (200, 200)  # they have rates of their own


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3)), max_size=30))
@effort(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_rate_is_kept_in_every_window(schedule: Schedule, clock: Clock, calls: list[tuple[int, int]]) -> None:
    """Of 10 a second and 5 at once, no more is granted in any span of time, and the wait that is told is enough."""
    schedule.client.delete(b"rw:{0}:k:tag")
    granted: list[tuple[float, int]] = []
    for pause, cost in calls:
        clock.forward(seconds=pause / 1000)
        (wait,) = schedule.run("rate", 0, b"tag", 100_000, 5, cost)
        if wait:
            clock.forward(seconds=wait / 1000)
            assert schedule.run("rate", 0, b"tag", 100_000, 5, cost) == [0]
        granted.append((clock.now.timestamp(), cost))
    for start, (begin, _) in enumerate(granted):
        for end in range(start, len(granted)):
            used = sum(cost for _, cost in granted[start : end + 1])
            assert used <= 5 + (granted[end][0] - begin) * 10 + 0.02


def test_nobody_waits_for_a_time_of_a_clock_that_was_ahead(schedule: Schedule, clock: Clock) -> None:
    before = clock.now
    clock.forward(hours=1)
    assert schedule.run("rate", 0, b"tag", 1_000_000, 5, 5) == [0]
    clock.set(before)
    assert [schedule.run("rate", 0, b"tag", 1_000_000, 5, 5) for _ in range(2)] == [[0], [5000]]


def test_a_clock_that_was_ahead_a_little_keeps_nobody_for_longer_than_all_at_once_take(
    schedule: Schedule, clock: Clock
) -> None:
    before = clock.now
    clock.forward(minutes=8)
    assert schedule.run("rate", 0, b"tag", 1_000_000, 5, 5) == [0]
    clock.set(before)
    assert schedule.run("rate", 0, b"tag", 1_000_000, 5, 2) == [2000]
    clock.forward(seconds=2)
    assert schedule.run("rate", 0, b"tag", 1_000_000, 5, 2) == [0]


def test_a_full_budget_is_busy_and_cancelling_has_its_own(desk_and_api: tuple[Desk, api.Api]) -> None:
    desk, served = desk_and_api
    desk.put("A-1")
    served.budgets["add"].most = served.budgets["batch"].most = served.budgets["read"].most = 0
    for answer in (desk.put("A-2"), desk.batch({"reference": "A-3", **desk.fields()}), desk.get("A-1")):
        assert (answer.status, answer.body["title"], answer.headers["Retry-After"]) == (503, "busy", "10")
    assert desk.cancel("A-1").status == 200


def test_one_platform_cannot_take_all_of_a_budget(desk_and_api: tuple[Desk, api.Api]) -> None:
    desk, served = desk_and_api
    served._shares["add", "clinic"] = serving.Budget(0)
    assert desk.put("A-1").body["title"] == "busy"
    assert desk.cancel("A-1").status == 404


@pytest.fixture
def desk_and_api(schedule: Schedule, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desk, api.Api]]:
    made: list[api.Api] = []

    class Kept(api.Api):
        def __init__(self, *parts: object) -> None:
            super().__init__(*parts)
            made.append(self)

    monkeypatch.setattr(web, "Api", Kept)
    with opened(schedule, folder) as desk:
        yield desk, made[0]


def test_a_nearly_full_store_takes_nothing_more_but_cancels(
    schedule: Schedule, client: store.Client, desk_and_api: tuple[Desk, api.Api]
) -> None:
    desk, served = desk_and_api
    desk.put("A-1")
    used = client.info("memory")["used_memory"]
    try:
        client.config_set("maxmemory", int(used / 0.85))
        served._pressure.look()
        for answer in (desk.put("A-2"), desk.batch({"reference": "A-3", **desk.fields()})):
            assert (answer.status, answer.body["title"], answer.headers["Retry-After"]) == (503, "store_full", "10")
        assert (desk.cancel("A-1").status, desk.get("A-1").status) == (200, 200)
        client.config_set("maxmemory", used * 4)
        served._pressure.look()
        assert desk.put("A-2").status == 201
    finally:
        client.config_set("maxmemory", 0)


def test_a_store_that_is_away_or_does_not_confirm_is_said_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(reception, "confirm", away)
    for answer in (desk.put("A-1"), desk.cancel("A-1"), desk.batch({"reference": "A-3", **desk.fields()})):
        assert (answer.status, answer.body["title"], answer.headers["Retry-After"]) == (503, "store_away", "10")
    monkeypatch.setattr(Schedule, "show", away)
    monkeypatch.setattr(Schedule, "now", away)
    assert (desk.get("A-1").status, desk.ask("GET", "/readyz").status) == (503, 503)
    assert desk.ask("GET", "/livez").status == 200


def test_an_answer_tells_that_it_is_on_disk(tmp_path: Path, folder: Path) -> None:
    """Where nothing is kept on disk, nothing is answered with 2xx."""
    with (
        EmbeddedServer(tmp_path / "valkey") as server,
        store.connect(server.url()) as client,
        opened(Schedule(client, durability=Durability.LOCAL), folder) as desk,
    ):
        assert desk.put("A-1").status == 201
        client.config_set("appendonly", "no")
        answer = desk.put("A-2")
        assert (answer.status, answer.body["title"]) == (503, "store_away")


def test_where_a_replica_must_have_it_too_and_there_is_none_nothing_is_promised(
    client: store.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "CONFIRM_MS", 20)
    with opened(Schedule(client, durability=Durability.REPLICA), folder) as desk:
        for answer in (desk.put("A-1"), desk.cancel("A-1")):
            assert (answer.status, answer.body["title"]) == (503, "store_away")


# What it says of itself


def test_the_description_is_a_valid_one_and_names_every_route(desk: Desk, schedule: Schedule, folder: Path) -> None:
    document = desk.ask("GET", "/openapi.json").body
    validate(document)
    new_key(folder)
    routes = {route.path.replace(":whole}", "}") for route in web.build(settings(folder), schedule).routes}
    assert set(document["paths"]) == routes - {"/openapi.json"}


def test_its_words_are_the_program_s_own() -> None:
    document = json.loads((Path(api.__file__).parent / "openapi.json").read_text())
    lead = document["components"]["schemas"]["Lead"]["properties"]
    assert lead["state"]["enum"] == [state.value for state in State]
    assert lead["failure_class"]["enum"] == [*[one.value for one in FailureClass], None]


def test_anybody_may_have_the_public_keys_and_seal_to_them(desk: Desk) -> None:
    answer = desk.ask("GET", "/v1/keys", Authorization="")
    document = answer.body
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    assert "Access-Control-Allow-Origin" not in desk.get("A-1").headers
    assert PublicKeys.from_json(json.dumps(document)) == desk.public
    assert [set(key) for key in document["record"]] == [{"kid", "key"}]


@pytest.mark.parametrize(
    ("method", "where", "status"), [("GET", "/", 404), ("PATCH", path("A"), 405), ("GET", "/v1/reminders:batch", 405)]
)
def test_what_is_no_route_is_a_problem_too(desk: Desk, method: str, where: str, status: int) -> None:
    answer = desk.ask(method, where)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")


def test_what_is_no_http_is_a_problem_too(desk: Desk) -> None:
    with socket.create_connection(("127.0.0.1", desk.port), timeout=30) as rude:
        rude.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = http.client.HTTPResponse(rude)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["title"]) == (400, "malformed")


def test_a_fault_of_ours_shows_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError(PLACE)

    monkeypatch.setattr(reception.Reception, "seal", fail)
    answer = desk.put("A-1")
    assert (answer.status, answer.body["title"]) == (500, "fault")
    assert PLACE not in json.dumps(answer.body)


# What it holds


def test_the_worker_opens_what_it_stored_and_the_gateway_s_keys_do_not(
    schedule: Schedule, folder: Path, client: store.Client
) -> None:
    with opened(schedule, folder) as desk:
        pointer = desk.pointer()
        desk.put("A-1", pointer=pointer)
    gateway = GatewayKeys.load(folder)
    id_ = make_id(gateway.platform("clinic", Mode.LIVE), "A-1")
    envelope = client.get(b"rw:{0}:a:" + id_)[HEAD_BYTES:]
    held = WorkerKeys.load(folder)
    job = open_envelope(held, load_signers({"clinic": folder / "gateway.pub"}), envelope, entry_id=id_)
    assert (job.platform, job.body.location, job.test) == ("clinic", PLACE, False)
    assert open_pointer(held, "clinic", job.body.pointer).uri == f"tel:{PHONE}"
    for part in (gateway.live, gateway.test, gateway.records):
        assert not opens(bytes(part), envelope)
        assert not opens(bytes(part), job.body.pointer)
    assert not opens(gateway.index, envelope)


def opens(secret: bytes, sealed: bytes) -> bool:
    try:
        SealedBox(PrivateKey(secret)).decrypt(sealed[9:])
    except CryptoError:
        return False
    return True


def test_nothing_of_a_request_is_in_the_store_or_the_log(
    desk: Desk, client: store.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk.put("Secret-Reference-7")
    desk.put("Secret-Reference-7", reason="x")
    desk.get("Secret-Reference-7")
    desk.cancel("Secret-Reference-7")
    held = b"\n".join(part for key in client.scan_iter() for part in (key, client.dump(key)))
    said = caplog.text + " ".join(str(vars(record)) for record in caplog.records)
    for fact in ("Secret-Reference-7", PLACE, PHONE, PHONE[1:], "clinic", desk.key, desk.key[18:]):
        assert fact.encode() not in held
        assert fact not in said
