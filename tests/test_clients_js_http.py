"""clients/js against a gateway that records and fails: what is sent, what is asked again, and what an error tells."""

import json
import re
from urllib.parse import unquote

import pytest
from desk import opened
from javascript import MODULE, Node, document
from practice import ahead

from reminder_worker.padding import UNIT
from reminder_worker.testing.peer import Peer, Response

KEY = "rwk_test_00000000_" + "k" * 43
RECORD = {"time": "2027-03-15T14:30:00+01:00[Europe/Paris]", "location": "12 rue des Lilas", "pointer": "P" * 204}
SECRETS = ["A-1001", "Lilas", "14:30", "P" * 204, "k" * 43]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    return Node.prepare(tmp_path_factory.mktemp("node"))


@pytest.fixture
def gateway():
    with Peer() as peer:
        peer.answer = lambda *_: Response.of({"result": "added"}, 201)
        yield peer


@pytest.fixture
def call(node, gateway):
    """Return what became of one call, and how long was to be waited in between."""

    def run(action: str, **options: object):
        given = {"options": {"url": gateway.url, "key": KEY} | options, "record": RECORD, "reference": "A-1001"}
        code = f"""
        const outcome = await attempt(() => {{
          const client = new Client(given.options);
          return client.{action};
        }});
        say({{ ...outcome, waits }});
        """
        outcome = node.say(code, given)
        assert not [secret for secret in SECRETS if secret in outcome.get("shown", "")]
        return outcome

    return run


PUT = "put(given.reference, given.record)"


def problem(status: int, title: str, field: str | None = None, **headers: str) -> Response:
    return Response.of({"type": f"urn:x:{title}", "title": title, "status": status, "field": field}, status, **headers)


def test_a_put_carries_the_four_fields_and_the_key(gateway, call):
    assert call(PUT) == {"answer": {"result": "added"}, "waits": []}
    (request,) = gateway.requests
    assert (request.method, request.path) == ("PUT", "/v1/reminders/A-1001")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.json == RECORD


@pytest.mark.parametrize("record", [{}, {"location": "вул. Липова 12, Львів"}, {"leads": [f"{n}h" for n in range(8)]}])
def test_the_length_of_a_body_tells_nothing(gateway, call, record):
    call(f"put(given.reference, {{ ...given.record, ...{json.dumps(record)} }})")
    assert len(gateway.requests[0].body) == UNIT


@pytest.mark.parametrize(("items", "size"), [(0, 1), (1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (500, 512)])
def test_the_length_of_a_batch_tells_a_step(gateway, call, items, size):
    gateway.answer = lambda *_: Response.of({"results": []})
    call(f"batch(Array({items}).fill({{ reference: given.reference, ...given.record }}))")
    assert len(gateway.requests[0].body) == size * UNIT
    assert len(gateway.requests[0].json["reminders"]) == items


@pytest.mark.parametrize("url", ["/", "/behind/a/proxy", "/behind/a/proxy/"])
def test_the_gateway_may_lie_below_a_path(gateway, call, url):
    call(PUT, url=gateway.url + url)
    assert gateway.requests[0].path == f"{url.rstrip('/')}/v1/reminders/A-1001"


def test_get_and_cancel_name_the_reference(gateway, call):
    for action in ("get(given.reference)", "cancel(given.reference)"):
        assert call(action)["answer"] == {"result": "added"}
    assert [request.method for request in gateway.requests] == ["GET", "DELETE"]
    assert [request.path for request in gateway.requests] == ["/v1/reminders/A-1001"] * 2
    assert not any(request.body for request in gateway.requests)


def test_a_batch_returns_an_answer_each(gateway, call):
    results = [{"status": 201, "result": "added"}, {"status": 422, "title": "time_past", "field": "time"}]
    gateway.answer = lambda *_: Response.of({"results": results})
    assert call("batch([{ reference: given.reference, ...given.record }])")["answer"] == results
    (request,) = gateway.requests
    assert (request.method, request.path) == ("POST", "/v1/reminders:batch")
    assert request.json == {"reminders": [{"reference": "A-1001", **RECORD}]}


@pytest.mark.parametrize("reference", ["a/b", "a b?c#d&e=%41", "../up", "...", "Ä-😀", "\u007e~!*'()", "a\\b"])
def test_any_reference_arrives_as_it_is(gateway, node, reference):
    node.say(
        "say(await new Client(given.options).get(given.name));", {"options": {"url": gateway.url}, "name": reference}
    )
    (request,) = gateway.requests
    assert request.path.count("/") == 3
    assert unquote(request.path.removeprefix("/v1/reminders/")) == reference


@pytest.mark.parametrize("reference", ['"."', '".."', '""', '"\\ud800"', "null", "undefined", "7"])
def test_what_cannot_be_a_reference_is_not_sent(gateway, call, reference):
    error = call(f"cancel({reference})")["error"]
    assert (error["reason"], error["field"], gateway.requests) == ("reference_invalid", "reference", [])


@pytest.mark.parametrize(
    ("action", "reason", "field"),
    [
        ('put("A-1001", { ...given.record, reason: "Lilas" })', "unknown_field", "reason"),
        ('put("A-1001", { ...given.record, "14:30 Lilas": 1 })', "unknown_field", None),
        ('put("A-1001", { ...given.record, reference: "A-1001" })', "unknown_field", "reference"),
        ('put("A-1001", { ...given.record, time: new Date() })', "time_invalid", "time"),
        (
            "batch([{ ...given.record, reference: 'A-1001' }, { ...given.record, phone: 'Lilas' }])",
            "unknown_field",
            "phone",
        ),
    ],
)
def test_what_should_not_be_there_does_not_leave_the_machine(gateway, call, action, reason, field):
    error = call(action)["error"]
    assert (error["status"], error["reason"], error["field"], gateway.requests) == (0, reason, field, [])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(422, "time_past", "time"), (422, "time_past", "time", "time: time_past")),
        (problem(404, "missing"), (404, "missing", None, "missing")),
        (problem(409, "ended"), (409, "ended", None, "ended")),
        (problem(401, "key_unknown"), (401, "key_unknown", None, "key_unknown")),
        (problem(422, "12 rue des Lilas", "+33 A-1001"), (422, "http_422", None, "http_422")),
        (Response.of({"title": 7, "field": ["Lilas"]}, 400), (400, "http_400", None, "http_400")),
        (Response(413, b"<h1>Lilas</h1>"), (413, "http_413", None, "http_413")),
        (Response(500, b""), (500, "http_500", None, "http_500")),
        (Response(403, b"null"), (403, "http_403", None, "http_403")),
    ],
)
def test_a_refusal_is_an_error_with_its_reason_and_its_field_and_is_not_asked_again(gateway, call, answer, expected):
    gateway.respond(answer)
    error = call(PUT)["error"]
    assert (error["status"], error["reason"], error["field"], error["message"]) == expected
    assert len(gateway.requests) == 1


LOST = [Peer.cut, Peer.truncate, Peer.reset_mid_reply, Peer.hang_after_accepting, Peer.hang_before_accepting]


@pytest.mark.parametrize("lose", LOST)
def test_a_lost_answer_is_asked_for_again(gateway, call, lose):
    lose(gateway)
    outcome = call(PUT, timeout=300)
    assert outcome["answer"] == {"result": "added"}
    assert [request.json for request in gateway.requests] == [RECORD] * 2


@pytest.mark.parametrize(("options", "milliseconds"), [({}, 10_000), ({"timeout": 700}, 700)])
def test_every_try_has_an_end(gateway, node, options, milliseconds):
    code = """
    const spans = [];
    AbortSignal.timeout = (span) => { spans.push(span); return AbortSignal.abort(); };
    const outcome = await attempt(() => new Client({ ...given, tries: 2 }).get("A-1001"));
    say([outcome.error.reason, spans]);
    """
    assert node.say(code, {"url": gateway.url, **options}) == ["no_answer", [milliseconds] * 2]
    assert gateway.requests == []


@pytest.mark.parametrize("action", [PUT, "get('A-1001')", "cancel('A-1001')", "keys()", "batch([])"])
def test_who_is_asked_to_wait_waits_and_asks_again(gateway, call, action):
    gateway.answer = lambda *_: Response.of({"results": []})
    for status in (429, 502, 503, 504):
        gateway.respond(problem(status, "busy", Retry_After="7"))
    outcome = call(action)
    assert "answer" in outcome
    assert len(outcome["waits"]) == 4
    assert all(7 <= wait < 9 for wait in outcome["waits"])
    assert len(set(outcome["waits"])) == 4  # whoever was turned away together does not come back together


def test_a_text_that_is_on_its_way_is_waited_for(gateway, call):
    gateway.respond(problem(409, "in_flight", Retry_After="1"), times=2)
    gateway.answer = lambda *_: Response.of({"result": "cancelled"})
    assert call("cancel('A-1001')")["answer"] == {"result": "cancelled"}
    assert len(gateway.requests) == 3


def test_waits_grow_where_nobody_says_how_long(gateway, call):
    gateway.respond(Response(503, b"", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), times=4)
    waits = call(PUT)["waits"]
    assert [0.2 * 2**attempt <= wait < 0.3 * 2**attempt for attempt, wait in enumerate(waits, 1)] == [True] * 4


@pytest.mark.parametrize(("options", "tries"), [({}, 5), ({"tries": 2}, 2), ({"tries": 1}, 1)])
def test_asking_again_has_an_end(gateway, call, options, tries):
    gateway.respond(problem(503, "store_unavailable", Retry_After="2"), times=9)
    error = call(PUT, **options)["error"]
    assert (error["status"], error["reason"], error["retryAfter"]) == (503, "store_unavailable", 2)
    assert len(gateway.requests) == tries


def test_who_is_told_to_wait_for_long_decides_alone(gateway, call):
    gateway.respond(problem(429, "rate_limited", Retry_After="3600"))
    outcome = call(PUT)
    assert (outcome["error"]["retryAfter"], outcome["waits"], len(gateway.requests)) == (3600, [], 1)


def test_nobody_there_is_an_error_without_the_address(gateway, call):
    gateway.close()
    outcome = call(PUT)
    assert (outcome["error"]["status"], outcome["error"]["message"], len(outcome["waits"])) == (0, "no_answer", 4)
    assert gateway.url.removeprefix("http://") not in outcome["shown"]


def test_a_redirect_is_not_followed(gateway, call):
    with Peer() as elsewhere:
        gateway.respond(Response(307, b"", {"Location": f"{elsewhere.url}/v1/reminders/A-1001"}))
        assert call(PUT, tries=1)["error"]["reason"] == "no_answer"
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://reminders.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "//x",
        "",
        None,
        "ftp://localhost",
    ],
)
def test_the_key_does_not_go_out_in_clear(call, url):
    error = call(PUT, url=url)["error"]
    assert (error["reason"], error["field"]) == ("url_invalid", "url")


def test_the_key_is_not_shown(node):
    code = 'const c = new Client({ url: "https://x", key: given }); say([inspect(c, { showHidden: true }), c]);'
    assert KEY[-20:] not in str(node.say(code, KEY))


@pytest.mark.parametrize("pin", [None, document()["pointer"][-1]["key"], ["A" * 43, document()["pointer"][-1]["key"]]])
def test_public_keys_are_fetched_and_are_the_pinned_ones(gateway, call, pin):
    gateway.answer = lambda *_: Response.of(document())
    assert call("keys()", pin=pin)["answer"] == document()
    assert (gateway.requests[0].method, gateway.requests[0].path) == ("GET", "/v1/keys")


@pytest.mark.parametrize("pin", ["A" * 43, document()["pointer"][0]["key"], ["A" * 43]])
def test_other_public_keys_than_the_pinned_ones_are_refused(gateway, call, pin):
    gateway.answer = lambda *_: Response.of(document())
    error = call("keys()", pin=pin)["error"]
    assert (error["reason"], error["field"]) == ("key_not_pinned", "publicKeys")


def test_public_keys_need_no_api_key(gateway, call):
    gateway.answer = lambda *_: Response.of(document())
    call("keys()", key=None)
    assert "authorization" not in gateway.requests[0].headers


def test_the_lines_of_the_readme_run(gateway, node):
    text = (MODULE / "README.md").read_text("utf-8")
    lines = re.findall(r"```js\n(.*?)```", text, re.DOTALL)[0]
    assert document()["pointer"][-1]["key"] in lines
    (node.folder / "keys").mkdir()
    (node.folder / "clinic.apikey").write_text(KEY + "\n")
    gateway.answer = lambda request, _: Response.of(document() if request.path == "/v1/keys" else {"result": "added"})
    assert node.run(lines.replace("https://reminders.example", gateway.url)) == ""
    assert [request.method for request in gateway.requests] == ["GET", "PUT", "DELETE"]
    assert {request.headers["authorization"] for request in gateway.requests} == {f"Bearer {KEY}"}


def test_the_gateway_understands_the_module(node, schedule, tmp_path):
    code = """
    const clinic = new Client(given.options);
    const publicKeys = await clinic.keys();
    const pointer = await sealPointer(publicKeys, "clinic", "tel:+33612345678", "fr");
    const record = { time: given.time, location: "12 rue des Lilas", pointer, leads: ["24h", "2h"] };
    const late = { ...record, time: given.past };
    say([
      await clinic.put("A/1 ü", record),
      await clinic.put("A/1 ü", record),
      (await clinic.get("A/1 ü")).reminders.map(({ state }) => state),
      await clinic.batch([{ reference: "B", ...record }, { reference: "C", ...late }]),
      await clinic.cancel("A/1 ü"),
      (await attempt(() => clinic.put("D", late))).error,
      (await attempt(() => clinic.get("E"))).error.reason,
      (await attempt(() => new Client({ ...given.options, key: "rwk_none" }).get("B"))).error.status,
      waits,
    ]);
    """
    with opened(schedule, tmp_path / "keys") as desk:
        pin = json.loads(desk.public.to_json())["pointer"][-1]["key"]
        options = {"url": f"http://127.0.0.1:{desk.port}", "key": desk.key, "pin": pin}
        said = node.say(code, {"options": options, "time": ahead(days=3), "past": ahead(days=-3)})
    added, unchanged, states, (first, second), cancelled, refused, missing, stranger, waits = said
    assert (added, unchanged, cancelled) == ({"result": "added"}, {"result": "unchanged"}, {"result": "cancelled"})
    assert states == ["scheduled"] * 2
    assert first == {"status": 201, "result": "added"}
    assert (second["status"], second["title"], second["field"]) == (422, "time_past", "time")
    assert (refused["status"], refused["reason"], refused["field"]) == (422, "time_past", "time")
    assert (missing, stranger, waits) == ("missing", 401, [])
