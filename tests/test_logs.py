import io
import json
import logging
import re
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

from reminder_worker import logs
from reminder_worker.errors import NotSent, Reason
from reminder_worker.job import State

NUMBER = "+33612345678"
PLACE = "12 Rue de la Santé"
CANARY = f"{NUMBER} {PLACE}"


@pytest.fixture
def written(capsys):
    """What a process writes after ``set_up`` at the most talkative level; all is put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger(logs.OURS)
    before = root.handlers[:], root.level, ours.level, logging.raiseExceptions
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    lines = []

    def read():
        lines.extend(json.loads(line) for line in capsys.readouterr().err.splitlines())
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
    log.info("slow", extra={"count": 0.25})
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
    assert set(written()[0]) == {"at", "level", "event", "where", "pid"}


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


class Pieces(io.StringIO):
    """Remembers each call of ``write``."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def write(self, text):
        self.calls.append(text)
        return len(text)


def test_a_line_is_one_write(written, monkeypatch):
    stream = Pieces()
    monkeypatch.setattr(sys, "stderr", stream)
    logging.getLogger(logs.OURS).info("attempt")
    [line] = stream.calls
    assert line.endswith("}\n")
    assert line.count("\n") == 1


class Closed(io.StringIO):
    """A stream that is gone."""

    def write(self, text):
        raise OSError(text)


@pytest.mark.parametrize("stream", [Closed(), None])
def test_a_log_that_cannot_be_written_harms_nobody(written, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    logging.getLogger(logs.OURS).info("attempt")


def test_lines_reach_the_parent_through_the_pipe_of_dramatiq(written, monkeypatch):
    reader, writer = Pipe(duplex=False)
    monkeypatch.setattr(sys, "stderr", StreamablePipe(writer))
    logging.getLogger(logs.OURS).info("attempt")
    assert reader.poll(5)
    assert json.loads(reader.recv_bytes())["event"] == "attempt"


def test_the_canary_would_be_seen(written):
    try:
        fail_deep()
    except NotSent:
        with pytest.raises(AssertionError):
            assert_clean([traceback.format_exc()])
