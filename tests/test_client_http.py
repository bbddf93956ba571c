"""The client that calls a gateway, against a real one: it answers as beside the ledger, and no number travels."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import practice
import pytest
from desk import Desk, make_keys, new_key, opened, path
from practice import due_now, fields, send

from reminder_worker import https, reception
from reminder_worker.client import Appointment, AsyncClient, Client, HttpClient, over_http
from reminder_worker.encoding import to_text
from reminder_worker.errors import Ambiguous, NotSent, Reason, Refused, SettingsError, StoreUnavailable
from reminder_worker.job import State
from reminder_worker.ledger import Answer
from reminder_worker.schedule import Schedule


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def desk(schedule: Schedule, folder: Path) -> Iterator[Desk]:
    with opened(schedule, folder) as one:
        yield one


def call(desk: Desk, **changed: object) -> HttpClient:
    options = {"platform": "clinic", "pinned": to_text(desk.public.pointers[-1]), "patience": 5.0} | changed
    return HttpClient(f"http://127.0.0.1:{desk.port}", options.pop("key", desk.key), **options)


@pytest.fixture
def client_(desk: Desk) -> HttpClient:
    return call(desk)


def appointment(*arguments: str, **changed: object) -> Appointment:
    return Appointment.parse(fields(*arguments, **changed))


def test_appointments_are_added_shown_and_taken_back(client_: HttpClient, schedule: Schedule) -> None:
    assert client_.add([appointment("A-1"), appointment("A-2", leads=["24h", "2h"])]) == [Answer.ADDED] * 2
    assert [(one.lead, one.state) for one in client_.show("A-2")] == [(0, State.SCHEDULED), (1, State.SCHEDULED)]
    assert client_.cancel("A-1") is Answer.CANCELLED
    assert client_.show("A-1")[0].state is State.CANCELLED
    assert (client_.show("A-9"), client_.cancel("A-9")) == ([], Answer.MISSING)
    assert schedule.show(b"\0" * 16) == []


def test_it_answers_as_the_client_beside_the_ledger_does(
    client_: HttpClient, schedule: Schedule, tmp_path: Path
) -> None:
    """The same records, one after the other: added, in flight, sent, refused."""
    direct: Client = practice.make(schedule, tmp_path / "other")
    told = []
    for one in (client_, direct):
        added = one.add([Appointment.parse(due_now()), appointment("A-3", location="Oncology ward")])
        send(schedule, finish=False)
        in_flight = one.add([appointment("A-1")])[0], one.cancel("A-1")
        (shown,) = one.show("A-1")
        told.append((added[0], added[1].reason, added[1].field, str(added[1]), in_flight, shown.state, shown.attempts))
    assert told[0] == told[1]


def test_no_number_and_no_language_travels(desk: Desk, client_: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    real = https.Site.call

    def listen(site, method, where, *, headers, body=None, deadline):
        sent.extend((where.encode(), str(headers).encode(), body or b""))
        return real(site, method, where, headers=headers, body=body, deadline=deadline)

    monkeypatch.setattr(https.Site, "call", listen)
    client_.add([appointment("A-1", phone="+33612345678", language="fr")])
    assert b"A-1" in b"".join(sent)
    assert b"612345678" not in b"".join(sent)
    assert set(json.loads(sent[-1])["reminders"][0]) == {"reference", "time", "location", "pointer"}


def test_time_and_zone_arrive_as_they_were(client_: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Appointment] = []
    real = reception.Appointment.parse.__func__
    monkeypatch.setattr(
        reception.Appointment, "parse", classmethod(lambda cls, given: seen.append(real(cls, given)) or seen[-1])
    )
    zoned = appointment("A-1", time="2027-03-15T14:30:00+01:00[Europe/Paris]", leads=["30d", "90m"])
    fixed = appointment("A-2", time="2027-03-15T14:30:00+01:00")
    client_.add([zoned, fixed])
    for before, after in zip((zoned, fixed), seen[-2:], strict=True):
        assert (before.time, before.time.tzinfo, before.leads) == (after.time, after.time.tzinfo, after.leads)


def test_refusals_stand_among_answers_in_their_order(client_: HttpClient) -> None:
    answers = client_.add(
        [appointment("A-1"), appointment("A-2", phone="+3312"), appointment("A-3", location="Oncology ward")]
    )
    assert answers[0] is Answer.ADDED
    assert [(one.reason, one.field) for one in answers[1:]] == [
        (Reason.NUMBER_INVALID, "phone"),
        (Reason.LOCATION_DISCLOSES, "location"),
    ]


def test_a_reference_with_half_a_character_is_refused_and_the_others_are_added(client_: HttpClient) -> None:
    answers = client_.add([appointment("A-\ud800"), appointment("A-2", location="вул. Липова 12")])
    assert (answers[0].reason, answers[0].field) == (Reason.REFERENCE_INVALID, "reference")
    assert answers[1] is Answer.ADDED


def test_many_go_in_batches(client_: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_http, "BATCH", 3)
    assert client_.add([appointment(f"A-{number}") for number in range(10)]) == [Answer.ADDED] * 10


def test_a_reference_of_any_kind_finds_its_own(client_: HttpClient) -> None:
    for reference in ("a/b", "é", "?", "...", "%2F"):
        assert client_.add([appointment(reference)]) == [Answer.ADDED]
        assert client_.cancel(reference) is Answer.CANCELLED
    with pytest.raises(Refused, match="reference"):
        client_.cancel("a\nb")
    with pytest.raises(Refused, match="reference"):
        client_.show("x" * 201)


def test_what_the_gateway_publishes_is_held_against_the_pinned_key(desk: Desk) -> None:
    stranger = call(desk, pinned=to_text(bytes(32)))
    with pytest.raises(SettingsError, match="pinned"):
        stranger.add([appointment("A-1")])
    assert desk.get("A-1").status == 404


def test_what_would_be_sealed_for_another_platform_is_not_handed_in(desk: Desk) -> None:
    with pytest.raises(SettingsError, match=r"^platform: the key is another platform's"):
        call(desk, platform="other").add([appointment("A-1")])
    assert desk.get("A-1").status == 404


@pytest.mark.parametrize("key", ["", "x", f"rwk_live_abcdefgh_{'A' * 43}"])
def test_a_key_that_is_not_accepted_is_said_so(desk: Desk, key: str) -> None:
    with pytest.raises(SettingsError, match=r"^key: "):
        call(desk, key=key).cancel("A-1")


def test_a_key_without_the_scope_is_said_so(schedule: Schedule, folder: Path) -> None:
    narrow = new_key(folder, scopes=["read"])
    with opened(schedule, folder) as desk, pytest.raises(SettingsError, match=r"^key: "):
        call(desk, key=narrow).add([appointment("A-1")])


@pytest.mark.parametrize("url", ["reminders.example", "http://reminders.example", "https://u:p@reminders.example"])
def test_a_url_that_others_could_read_along_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^url: "):
        HttpClient(url, "x", platform="clinic", pinned="")


def test_lost_answers_and_busy_gateways_are_called_again(
    client_: HttpClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call does not leave, the second one's answer is lost, the third is told to wait."""
    pauses: list[float] = []
    monkeypatch.setattr(over_http.time, "sleep", pauses.append)
    real, calls = https.Site.call, []

    def unlucky(site, method, where, **rest):
        if method != "POST":
            return real(site, method, where, **rest)
        calls.append(where)
        if len(calls) == 1:
            raise NotSent(Reason.NOT_SENT)
        answer = real(site, method, where, **rest)
        if len(calls) == 2:
            raise Ambiguous
        if len(calls) == 3:
            return https.Answer(503, {"Retry-After": "7"}, b"")
        return answer

    monkeypatch.setattr(https.Site, "call", unlucky)
    ready = fields("A-1", phone=None, language=None, pointer=desk.pointer())
    assert client_.add([Appointment.parse(ready)]) == [Answer.UNCHANGED]
    assert len(calls) == 4
    first, second, told = pauses
    assert 1 <= first <= 1.3  # a little apart from others
    assert 2 <= second <= 2.6  # twice as long each time
    assert 7 <= told <= 9.1


def test_patience_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = call(desk, patience=0.0)
    monkeypatch.setattr(https.Site, "call", lambda *_, **__: https.Answer(503, {"Retry-After": "1"}, b""))
    with pytest.raises(StoreUnavailable, match="does not answer, or is too busy"):
        impatient.cancel("A-1")


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"", b"{}", b'{"reminders": [1], "results": []}', b'{"reminders": 1, "results": [{}, {}]}'],
)
def test_what_is_no_gateway_is_said_so(desk: Desk, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    client = call(desk)
    client.add([])
    monkeypatch.setattr(https.Site, "call", lambda *_, **__: https.Answer(200, {}, body))
    with pytest.raises(SettingsError, match="there is no gateway there"):
        client.show("A-1")
    with pytest.raises(SettingsError, match="there is no gateway there"):
        client._add([{}])


def test_either_client_can_be_awaited(client_: HttpClient, schedule: Schedule, tmp_path: Path) -> None:
    async def play(waiting: AsyncClient) -> list[object]:
        added = await asyncio.gather(*(waiting.add([appointment(f"A-{number}")]) for number in range(5)))
        shown = await waiting.show("A-1")
        return [added, shown[0].state, await waiting.cancel("A-1")]

    direct = practice.make(schedule, tmp_path / "other")
    for one in (client_, direct):
        assert asyncio.run(play(AsyncClient(one))) == [[[Answer.ADDED]] * 5, State.SCHEDULED, Answer.CANCELLED]


def test_no_secret_and_nothing_personal_is_in_a_repr_or_an_error(desk: Desk, client_: HttpClient) -> None:
    assert desk.key not in repr(vars(client_)["_site"])
    (refusal,) = client_.add([appointment("A-1", location="Oncology ward 7")])
    assert "Oncology" not in str(refusal)
    assert path("A-1") not in str(refusal)
