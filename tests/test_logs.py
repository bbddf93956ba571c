import errno
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import traceback
import warnings
from enum import StrEnum
from multiprocessing import Pipe

import pytest
from dramatiq.compat import StreamablePipe
from hypothesis import given, settings
from hypothesis import strategies as st

from reminder_worker import logs, metrics
from reminder_worker.errors import NotSent, Reason
from reminder_worker.job import State

NUMBER = "+33612345678"
PLACE = "12 Rue de la Santé"
CANARY = f"{NUMBER} {PLACE}"


@pytest.fixture
def written(capfd):
    """What a process writes after ``set_up`` at the most talkative level; all is put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    before = root.handlers[:], root.level, ours.level, logging.raiseExceptions
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    lines = []

    def read():
        lines.extend(json.loads(line) for line in capfd.readouterr().err.splitlines())
        return lines

    logs.set_up("debug")
    yield read
    logging.captureWarnings(False)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    root.handlers[:], logging.raiseExceptions = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def assert_clean(lines):
    text = json.dumps(lines, ensure_ascii=False)
    assert "3361234" not in text
    assert "Rue" not in text
    assert "Sant" not in text


def fail_deep():
    try:
        try:
            int(CANARY)
        except ValueError as error:
            raise KeyError(PLACE) from error
    except KeyError:
        raise NotSent(Reason.NOT_SENT, CANARY)  # noqa: B904 - the chain has to be there


def test_an_event_of_ours_keeps_its_name_and_its_fields(written):
    log = logging.getLogger("reminder_worker.delivery")
    log.info("attempt", extra={"provider": "twilio", "state": State.SENT, "reason": Reason.NOT_SENT, "count": 3})
    log.info("swept", extra={"count": 0.25})
    attempt, slow = written()
    assert attempt["event"] == "attempt"
    assert (attempt["provider"], attempt["state"], attempt["reason"], attempt["count"]) == (
        "twilio",
        "sent",
        "not_sent",
        3,
    )
    assert attempt["level"] == "info"
    assert re.fullmatch(r"test_logs:\d+", attempt["where"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", attempt["at"])
    assert slow["count"] == 0.25


def test_a_field_without_a_value_is_left_out(written):
    logging.getLogger(logs.OURS).info("attempt", extra={"provider": "twilio", "reason": None})
    assert "reason" not in written()[0]


@pytest.mark.parametrize("name", ["reminder_worker", "reminder_worker.delivery"])
def test_a_message_of_ours_that_is_no_event_is_withheld(written, name):
    log = logging.getLogger(name)
    log.warning(CANARY)
    log.warning("sending to %s", CANARY)
    log.warning("sent %(to)s", {"to": CANARY})
    log.warning(ValueError(CANARY))
    log.warning({"to": CANARY})
    log.warning("Santé")
    log.warning("p33612345678")
    log.warning("attempt\n")
    assert [line["event"] for line in written()] == ["library"] * 8
    assert_clean(written())


@pytest.mark.parametrize(
    "name", ["root", "dramatiq", "dramatiq.worker.WorkerThread", "twilio.http_client", "urllib3.connectionpool"]
)
def test_what_libraries_say_is_withheld(written, name):
    log = logging.getLogger(name)
    log.setLevel(logging.DEBUG)
    try:
        log.debug("POST %s", CANARY)
        log.error("Failed to process message remind(%r)", CANARY, extra={"provider": PLACE, "to": CANARY})
        log.warning("attempt", extra={"reason": "landline"})
        try:
            fail_deep()
        except NotSent:
            log.exception(CANARY)
    finally:
        log.setLevel(logging.NOTSET)
    assert [line["event"] for line in written()] == ["library"] * 4
    assert {line["logger"] for line in written()} == {name}
    assert all("provider" not in line and "reason" not in line for line in written())
    assert_clean(written())


def test_of_an_exception_only_its_kind_and_its_place_are_written(written):
    try:
        fail_deep()
    except NotSent:
        logging.getLogger(logs.OURS).exception("attempt", stack_info=True)
    [line] = written()
    assert line["error"] == "NotSent"
    assert re.fullmatch(r"test_logs:\d+", line["raised"])
    assert line["raised"] != line["where"]
    assert set(line) == {"at", "level", "event", "where", "pid", "error", "raised"}
    assert_clean([line])


def test_a_word_that_is_no_event_of_ours_is_withheld(written):
    logging.getLogger(logs.OURS).warning("dupont")  # a name is one word, too
    [line] = written()
    assert (line["event"], line["withheld"]) == ("library", 1)
    assert "dupont" not in json.dumps(line)


@pytest.fixture
def counted():
    """What was left out of log lines since the test began."""

    def now():
        dropped = metrics.FIELDS_DROPPED
        return {what: dropped.labels(what)._value.get() for what in sorted(metrics.LABELS["what"])}

    before = now()
    return lambda: {what: number - before[what] for what, number in now().items() if number != before[what]}


@pytest.mark.parametrize(
    ("name", "message", "arguments", "extra", "expected"),
    [
        ("reminder_worker.worker", "attempt", (), {"provider": "twilio"}, {}),
        ("reminder_worker.worker", "attempt", (), {"phone": NUMBER, "place": None}, {"field": 2}),
        ("reminder_worker.worker", "attempt", (NUMBER, PLACE), {}, {"field": 2}),
        ("reminder_worker.worker", "attempt", ({"to": NUMBER},), {}, {"field": 1}),
        ("reminder_worker.worker", "attempt", (), {"code": NUMBER, "state": PLACE, "reason": None}, {"value": 2}),
        ("reminder_worker.worker", "attempt", (), {"code": logs.WITHHELD}, {}),
        ("reminder_worker.worker", CANARY, (), {}, {"message": 1}),
        ("reminder_worker.worker", CANARY, (), {"code": 33612345678, "to": 1}, {"message": 1, "value": 1, "field": 1}),
        ("twilio.http_client", "POST", (), {"code": 1, "to": NUMBER}, {"message": 1}),
        (PLACE, "POST", (), {}, {"message": 1, "value": 1}),
    ],
)
def test_what_is_left_out_is_counted_and_the_line_says_so(written, counted, name, message, arguments, extra, expected):
    logging.getLogger(name).warning(message, *arguments, extra=extra)
    [line] = written()
    assert counted() == expected
    assert line.get("withheld", 0) == sum(expected.values())
    assert_clean([line])


def test_what_a_formatter_of_somebody_else_adds_is_no_field_of_ours(written, counted, caplog):
    caplog.handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.getLogger().addHandler(caplog.handler)
    logging.getLogger(logs.OURS).info("attempt", exc_info=(ValueError, ValueError(CANARY), None))
    assert counted() == {}


def test_a_line_goes_out_where_nothing_can_be_counted(written, monkeypatch):
    def fail(*_, **__):
        raise OSError(CANARY)

    monkeypatch.setattr(metrics, "count", fail)
    logging.getLogger(logs.OURS).info("attempt", extra={"to": NUMBER})
    assert written()[0]["withheld"] == 1


# Which reminder a line is about.


def test_every_line_of_a_thread_names_the_reminder_that_it_is_about(written):
    def elsewhere():
        logging.getLogger(logs.OURS).info("swept")

    with logs.about("zyxwvutsrqpo-0"):
        logging.getLogger(logs.OURS).info("attempt")
        logging.getLogger("twilio").warning(CANARY)
        logging.getLogger(logs.OURS).info("act", extra={"reminder": "ponmlkzyxwvu-1"})
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    logging.getLogger(logs.OURS).info("swept")
    assert [line.get("reminder") for line in written()] == ["zyxwvutsrqpo-0"] * 2 + ["ponmlkzyxwvu-1", None, None]


def test_a_line_that_names_a_platform_names_no_reminder(written):
    with logs.about("zyxwvutsrqpo-0"):
        logging.getLogger(logs.OURS).error("circuit_opened", extra={"setting": "platforms.clinic.resolver_url"})
    [line] = written()
    assert line["setting"] == "platforms.clinic.resolver_url"
    assert "reminder" not in line


# For people to read.


def test_for_a_console_events_stand_below_each_other(capfd, written):
    logs.set_up("debug", "console")
    log = logging.getLogger("reminder_worker.delivery")
    log.info("settled", extra={"state": State.SENT, "provider": "twilio", "phone": NUMBER})
    log.error("circuit_opened", extra={"provider": PLACE})
    first, second = capfd.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} info     settled +where=test_logs:\d+ pid=\d+ provider=twilio state=sent withheld=1",
        first,
    )
    assert first.index("where=") == second.index("where=")
    assert second.endswith("provider=withheld withheld=1")


class Terminal:
    """What the system says of standard error, and of the environment."""

    def __init__(self, monkeypatch):
        self._patch = monkeypatch
        monkeypatch.delenv("NO_COLOR", raising=False)

    def write(self, form=None, *, there, **environment):
        self._patch.setattr("os.isatty", lambda number: there and number == 2)
        for name, value in environment.items():
            self._patch.setenv(name, value)
        record = logging.LogRecord(logs.OURS, logging.WARNING, __file__, 1, "attempt", (), None)
        return logs.Formatter(form).format(record)


@pytest.fixture
def terminal(monkeypatch):
    return Terminal(monkeypatch)


def test_a_terminal_gets_lines_to_read_in_colour_and_a_file_gets_json(terminal):
    assert terminal.write(there=True).startswith("\x1b[33m")
    assert json.loads(terminal.write(there=False))["event"] == "attempt"


def test_nobody_gets_colours_who_does_not_want_them_or_cannot_show_them(terminal):
    assert terminal.write("console", there=True).startswith("\x1b[33m")
    assert "\x1b" not in terminal.write("console", there=False)
    assert "\x1b" not in terminal.write("console", there=True, NO_COLOR="1")


def test_who_wants_json_gets_it_on_a_terminal_too(terminal):
    assert json.loads(terminal.write("json", there=True))["event"] == "attempt"


@pytest.mark.parametrize("level", ["debug", "info", "warning"])
def test_a_level_is_for_our_own_events_and_no_library_gets_more_talkative(written, level):
    logs.set_up(level, "json")
    for name in (logs.OURS, "twilio"):
        for said in ("debug", "info", "warning"):
            getattr(logging.getLogger(name), said)("attempt")
    lines = written()
    assert [line["level"] for line in lines if "logger" in line] == ["warning"]
    most = ["debug", "info", "warning"]
    assert [line["level"] for line in lines if "logger" not in line] == most[most.index(level) :]


def test_a_kind_of_exception_named_after_data_is_withheld(written):
    error = type(CANARY, (Exception,), {})()
    logging.getLogger(logs.OURS).error("attempt", exc_info=error)
    assert (written()[0]["error"], written()[0]["raised"]) == (logs.WITHHELD, "unknown")


@pytest.mark.parametrize("field", logs.FIELDS)
@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        NUMBER,
        "33612345678",
        "06.12.34.56.78",
        "2027-03-15T14:30:00",
        "Santé",
        "Rue de",
        "x" * 65,
        "sent\n",
        "",
        33612345678,
        -33612345678,
        33612345678.0,
        float("nan"),
        NUMBER.encode(),
        [NUMBER],
        {"to": NUMBER},
        ValueError(CANARY),
        StrEnum("Place", {"HERE": PLACE}).HERE,
    ],
)
def test_a_field_on_the_list_holds_single_words_and_small_numbers_only(written, field, value):
    logging.getLogger(logs.OURS).info("attempt", extra={field: value})
    assert written()[0][field] == logs.WITHHELD
    assert_clean(written())


@pytest.mark.parametrize(
    "value", ["twilio", "not_sent", "redis.exceptions:Busy", "redis://", "vonage-2", 0, 999_999, 0.5, True]
)
def test_words_and_small_numbers_pass(value):
    assert logs.plain(value) == value


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.lists(st.text())))
def test_no_field_ever_holds_seven_digits_or_a_space(value):
    text = str(logs.plain(value))
    if not isinstance(value, float):
        assert sum(map(str.isdigit, text)) <= 6
    assert not re.search(r"\s", text)
    assert len(text) <= 64


@pytest.mark.parametrize("field", ["to", "phone", "location", "body", "text", "message_id"])
def test_a_field_that_is_not_on_the_list_is_left_out(written, field):
    logging.getLogger(logs.OURS).info("attempt", extra={field: CANARY})
    assert set(written()[0]) == {"at", "level", "event", "where", "pid", "withheld"}


def test_info_of_libraries_is_not_written_at_all(written):
    logging.getLogger("twilio.http_client").info(CANARY)
    logging.getLogger("urllib3").debug(CANARY)
    assert written() == []


def test_other_handlers_of_the_root_are_gone(written):
    other = logging.StreamHandler(io.StringIO())
    logging.getLogger().addHandler(other)
    logs.set_up()
    logging.getLogger("dramatiq").error(CANARY)
    assert other.stream.getvalue() == ""
    assert len(logging.getLogger().handlers) == 1


def test_a_warning_is_written_without_its_text(written):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logs.set_up()
        warnings.warn(CANARY, stacklevel=1)
    [line] = written()
    assert (line["event"], line["logger"]) == ("library", "py.warnings")


def test_an_error_that_nobody_caught_is_written_without_its_text(written):
    thread = threading.Thread(target=fail_deep)
    thread.start()
    thread.join()
    try:
        fail_deep()
    except NotSent as error:
        sys.excepthook(type(error), error, error.__traceback__)
    lines = written()
    assert [(line["event"], line["error"]) for line in lines] == [("crashed", "NotSent")] * 2
    assert len({line["raised"] for line in lines}) == 1
    assert_clean(lines)


def test_an_error_in_a_destructor_is_written_without_its_text(written):
    class Broken:
        def __del__(self):
            raise ValueError(CANARY)

    Broken()
    assert [(line["event"], line["error"]) for line in written()] == [("crashed", "ValueError")]
    assert_clean(written())


def test_the_end_of_a_thread_by_exit_is_no_crash(written):
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    assert written() == []


def test_a_line_is_one_write(written, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "write", lambda *words: calls.append(words))
    logging.getLogger(logs.OURS).info("attempt")
    [(where, line)] = calls
    assert where == 2
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1


def gone(*_):
    raise OSError(CANARY)


def test_a_log_that_cannot_be_written_harms_nobody(written, monkeypatch):
    monkeypatch.setattr(os, "write", gone)
    logging.getLogger(logs.OURS).info("attempt")
    monkeypatch.undo()
    assert written() == []


def test_after_a_disk_that_was_full_a_line_is_not_glued_to_half_of_another(written, monkeypatch):
    taken, room = bytearray(), [300]

    def write(_, line):
        piece = line[: room[0]]
        if not piece:
            raise OSError(errno.ENOSPC, "full")
        room[0] -= len(piece)
        taken.extend(piece)
        return len(piece)

    monkeypatch.setattr(os, "write", write)
    for _ in range(5):
        logging.getLogger(logs.OURS).info("attempt")
    assert not taken.endswith(b"\n"), "it took half of a line"
    room[0] = 10_000
    for event in ("keys_behind", "settled"):
        logging.getLogger(logs.OURS).error(event)
    assert [json.loads(line)["event"] for line in taken.splitlines()[-2:]] == ["keys_behind", "settled"]


def test_lines_come_out_by_themselves_where_dramatiq_has_a_pipe_to_its_first_process(written, monkeypatch):
    reader, writer = Pipe(duplex=False)
    monkeypatch.setattr(sys, "stderr", StreamablePipe(writer))
    logging.getLogger(logs.OURS).info("attempt")
    assert not reader.poll()
    (line,) = written()
    assert line["event"] == "attempt"


def test_the_canary_would_be_seen(written):
    try:
        fail_deep()
    except NotSent:
        with pytest.raises(AssertionError):
            assert_clean([traceback.format_exc()])


# Who takes the lines.


def test_a_reader_that_stands_still_holds_nobody_up():
    code = """
import logging, os
from reminder_worker import logs, metrics
reader, writer = os.pipe()
os.dup2(writer, 2)
logs.set_up()
os.set_blocking(2, False)
try:
    while True:
        os.write(2, bytes(1024))
except BlockingIOError:
    os.set_blocking(2, True)
for _ in range(20):
    logging.getLogger("reminder_worker").info("attempt")
os.read(reader, 2**20)
logging.getLogger("reminder_worker").info("swept")
print(os.read(reader, 2**20).decode(), metrics.FIELDS_DROPPED.labels("line")._value.get())
"""
    told = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=30, check=True)
    line, lost = told.stdout.rsplit(maxsplit=1)
    assert json.loads(line)["event"] == "swept"
    assert float(lost) == 20


def test_what_a_process_opens_never_takes_the_number_of_a_stream_that_is_closed(tmp_path):
    words = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c"]
    opened = "cli.app = lambda **_: print(open(sys.argv[1], 'wb').fileno())"
    told = subprocess.run(
        [*words, f"import sys; from reminder_worker import cli; {opened}; cli.main()", tmp_path / "file"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=True,
    )
    assert int(told.stdout) > 2
