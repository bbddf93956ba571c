"""Everything that parses foreign bytes takes its seeds, what once failed, and some mutants of both (``fuzz/``)."""

import importlib.util
import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import time_machine
from fuzz import calls, formats, lines, sites, words
from fuzz.mutation import mutants
from fuzz.targets import FOUND, NUMBER, PLACE, TARGETS, Finding, Target, corpus, examine
from known import NOW

from reminder_worker.errors import Reason, Refused
from reminder_worker.opening import OpenedJob
from reminder_worker.providers import Receipt, Reply, Role

ROOT = Path(__file__).parents[1]
REPEATS = "odd: an error or a repr repeats a planted value"


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_is_a_finding(name: str) -> None:
    one = TARGETS[name]
    seeds = [*corpus(one)]
    assert seeds
    for data in (*seeds, *itertools.islice(mutants(seeds, 1), one.runs)):
        try:
            examine(one, data)
        except Finding as found:
            pytest.fail(f"{found}: {data[:200]!r}")


def test_what_once_failed_belongs_to_a_target() -> None:
    assert {path.name for path in FOUND.iterdir()} <= TARGETS.keys()


def test_the_same_seed_makes_the_same_mutants() -> None:
    first, second = (list(itertools.islice(mutants([b"one", b"two"], 7), 50)) for _ in range(2))
    assert first == second != list(itertools.islice(mutants([b"one", b"two"], 8), 50))


# What a finding is


def found(run: Callable[[bytes], object], **changes: Any) -> str:
    """Return what is found, or nothing."""
    try:
        examine(Target("odd", run, list, **changes), b"")
    except Finding as finding:
        return str(finding)
    return ""


def refuse(said: str) -> NoReturn:
    raise Refused(Reason.MALFORMED, "body", said)


def test_an_error_that_is_neither_ours_nor_documented_is_a_finding() -> None:
    assert found(lambda _: int("x")) == "odd: ValueError"
    assert not found(lambda _: int("x"), raises=(ValueError,))
    assert not found(lambda _: refuse("is odd"))


def test_a_value_that_is_repeated_is_a_finding() -> None:
    assert found(lambda _: refuse(NUMBER)) == REPEATS
    assert found(lambda _: PLACE) == REPEATS
    assert found(lambda _: int(f"{NUMBER}x"), raises=(ValueError,)) == REPEATS
    assert not found(lambda _: int(f"{NUMBER}x"), raises=(ValueError,), quotes=True)


def test_an_error_behind_an_error_is_looked_at_too() -> None:
    def chained(_: bytes) -> None:
        try:
            int(f"{NUMBER}x")
        except ValueError:
            refuse("is odd")

    assert found(chained) == REPEATS


def test_a_log_line_that_repeats_a_value_is_a_finding_though_it_would_be_withheld() -> None:
    log = logging.getLogger("reminder_worker.odd")
    said = "odd: a log line repeats a planted value"
    assert found(lambda _: log.debug("receipt", extra={"reason": NUMBER})) == said
    assert found(lambda _: log.debug(PLACE)) == said
    assert not found(lambda _: logging.getLogger("twilio").warning(NUMBER))  # a library's words are withheld


def test_what_takes_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.targets.SLOW", 0.001)
    assert found(lambda _: len(str(sum(range(500_000))))).startswith("odd: worked for")


def test_what_takes_much_memory_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter((100_000, 100_000 + 300 * 1024))
    monkeypatch.setattr("resource.getrusage", lambda _: SimpleNamespace(ru_maxrss=next(sizes)))
    assert found(lambda _: None) == "odd: grew by 300 MiB on 0 bytes"


# Inputs get to where they should


def test_a_job_that_is_sealed_and_signed_here_opens() -> None:
    data = next(one for one in formats.envelopes() if one[:1] == b"\2")
    assert isinstance(formats.envelope(data), OpenedJob)


def test_a_request_of_the_seeds_is_taken() -> None:
    with time_machine.travel(NOW):
        known = sites.gateway()
        data = next(sites.to_api()).replace(b"{key}", known.key.encode()).replace(b"{pointer}", known.pointer.encode())
        status, said = sites.loop().run_until_complete(sites.ask(known.app, data))
    assert (status, json.loads(said)) == (201, {"result": "added"})


def test_an_operator_of_the_seeds_may_look() -> None:
    with time_machine.travel(NOW):
        cookie, _ = sites.page().opened()
        status, said = sites.loop().run_until_complete(
            sites.ask(sites.page().app, b"GET /ops\ncookie: " + cookie.encode())
        )
    assert (status, b"abcdefgh" in said) == (200, True)


@pytest.mark.parametrize("name", ["twilio", "vonage", "sinch-signed", "plivo", "telnyx", "messagebird", "http"])
def test_a_call_with_a_wrong_signature_is_refused_and_read_when_it_is_believed(name: str) -> None:
    with time_machine.travel(NOW):
        seed = next(one for one in calls.calls(name) if one.startswith(b"reply") and b"STOP" in one)
        forged = seed.replace(b"STOP", b"STOQ")
        hearer = calls.provider(name, Role.HEAR)
        with pytest.raises(Refused) as caught:
            hearer.parse_reply(calls.read(forged)[1])
        assert caught.value.reason is Reason.SIGNATURE_INVALID
        heard, _ = calls.hear(hearer, forged)  # type: ignore[misc]
    assert (heard.sender, heard.text) == (NUMBER, "STOQ")


def test_a_message_of_sns_is_read_when_it_is_believed() -> None:
    receipt, reply = itertools.islice(calls._of_aws(), 2)
    with time_machine.travel(NOW):
        kinds = [type(calls.heard_of_aws(data)[0]) for data in (receipt, reply)]  # type: ignore[index]
    assert kinds == [Receipt, Reply]


def test_records_of_the_seeds_are_sealed() -> None:
    with time_machine.travel(NOW):
        shown = [
            str(words.read_records(name, next(iter(TARGETS[f"records-{name}"].seeds()))))
            for name in ("csv", "jsonl", "ics", "fhir")
        ]
    assert all("Entry(" in one for one in shown)


def test_a_delivery_of_the_seeds_is_heard() -> None:
    heard: list[object] = []
    provider = lines.smpp("gsm", "as-is")
    provider._hear, before = heard.append, provider._hear
    try:
        provider._deliver(lines.read_delivery(next(lines.deliveries())))
    finally:
        provider._hear = before
    assert heard == [Reply(NUMBER, "STOP")]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: make fuzz")
@pytest.mark.timeout(300)  # all that it imports is rewritten
def test_atheris_runs_a_target(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "time", "--seconds", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "stat::number_of_executed_units" in done.stderr
