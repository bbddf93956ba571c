"""What is counted, and that no label ever holds what somebody wrote."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY as EVERYBODY_S
from prometheus_client import Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from scripted import Keys, Practice, Scripted

from reminder_worker import metrics
from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Rejected, Throttled
from reminder_worker.inbox import Inbox
from reminder_worker.job import State
from reminder_worker.ledger import Answer
from reminder_worker.providers import Receipt, Reply
from reminder_worker.schedule import Schedule

# The vocabulary. A new label, or a new value of one, is a decision about what operators may learn.

NAMES = {
    "reminder_outcomes": ("state", "provider"),
    "reminder_attempts": ("provider", "result"),
    "reminder_segments": ("provider",),
    "reminder_waits": ("provider", "reason"),
    "reminder_rejected": ("reason",),
    "reminder_opt_outs": (),
    "reminder_receipts": ("provider", "state"),
    "reminder_webhooks_refused": ("provider", "reason"),
    "reminder_handed_in": ("answer",),
    "reminder_woken": (),
    "reminder_swept": (),
    "reminder_log_fields_dropped": ("what",),
    "reminder_lateness_seconds": (),
    "reminder_provider_seconds": ("provider",),
}


def every() -> Iterator[Counter | Histogram]:
    for one in vars(metrics).values():
        if isinstance(one, Counter | Histogram):
            yield one


def test_there_are_these_series_with_these_labels_and_no_others() -> None:
    assert {one._name: one._labelnames for one in every()} == NAMES
    assert set(metrics.LABELS) | {"provider"} == {label for labels in NAMES.values() for label in labels} | {"process"}


def test_the_values_of_a_label_are_the_program_s_own_words() -> None:
    pending = {State.SCHEDULED, State.QUEUED, State.SENDING}
    assert metrics.LABELS["state"] == set(State) - pending
    assert metrics.LABELS["reason"] == set(Reason)
    assert metrics.LABELS["answer"] == set(Answer)
    assert metrics.LABELS["process"] == {"worker", "scheduler", "web", "hooks", "ops"}
    assert metrics.LABELS["what"] == {"field", "value", "message", "line", "print"}
    assert metrics.LABELS["result"] == {
        "accepted", "rejected", "not_sent", "throttled", "misconfigured", "ambiguous",
    }  # fmt: skip


def test_what_begins_at_zero_is_all_that_can_happen() -> None:
    opening, worker, admit = (source(name) for name in ("opening.py", "worker.py", "lua/admit.lua"))
    assert {Reason[name] for name in re.findall(r"Unopenable\(Reason\.(\w+)", opening + worker)} == {
        *metrics.UNOPENABLE
    }
    assert {Reason[name] for name in re.findall(r"_split\(.*Reason\.(\w+)", opening)} <= {*metrics.UNOPENABLE}
    assert {*re.findall(r"answer\('(\w+)'", admit)} - {"ok"} == {*metrics.LIMITS}


def source(name: str) -> str:
    return (Path(metrics.__file__).parent / name).read_text()


@given(st.sampled_from([*metrics.LABELS, "provider"]), st.text())
def test_nothing_that_is_on_no_list_gets_into_a_label(label: str, text: str) -> None:
    found = metrics.known(label, text)
    assert found in metrics.LABELS.get(label, metrics._providers) | {metrics.OTHER}


@pytest.mark.parametrize("stranger", ["+33612345678", "clinic", "27 rue des Archives", "Twilio", "a" * 500])
def test_a_stranger_s_name_is_counted_and_not_shown(stranger: str) -> None:
    before = value("reminder_outcomes_total", state="sent", provider="other")
    metrics.ended("sent", stranger)
    assert value("reminder_outcomes_total", state="sent", provider="other") == before + 1
    metrics.ended(stranger, "twilio")
    assert stranger not in {text for sample in samples() for text in sample.labels.values()}


def samples() -> list[Any]:
    return [sample for family in metrics.REGISTRY.collect() for sample in family.samples]


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


# What happens is counted once, where it happens.


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def practice(schedule: Schedule, clock: Clock, keys: Keys) -> Practice:
    metrics.know_providers(["scripted", "second"])
    return Practice(schedule, clock, keys, Scripted(), Scripted(name="second"))


@pytest.fixture
def changed() -> Callable[[], dict[str, float]]:
    """Return what was counted since the test began, without zeros, times and sums."""

    def now() -> dict[str, float]:
        return {
            f"{one.name.removeprefix('reminder_')} {' '.join(one.labels.values())}".strip(): one.value
            for one in samples()
            if not one.name.endswith(("_created", "_bucket", "_sum"))
        }

    before = now()
    return lambda: {name: found - before.get(name, 0) for name, found in now().items() if found != before.get(name, 0)}


def test_a_text_that_is_accepted_counts_once_everywhere(practice: Practice, changed: Callable[[], Any]) -> None:
    practice.add()
    practice.work()
    assert changed() == {
        "attempts_total scripted accepted": 1,
        "segments_total scripted": 1,
        "outcomes_total sent scripted": 1,
        "provider_seconds_count scripted": 1,
        "lateness_seconds_count": 1,
    }


def test_how_late_a_text_is_counts_from_when_it_was_due(practice: Practice) -> None:
    before = value("reminder_lateness_seconds_sum")
    practice.add()
    practice.forward(seconds=40)
    assert 40 <= value("reminder_lateness_seconds_sum") - before < 45


ANSWERS = {
    "rejected": (Rejected(Reason.LANDLINE), {"outcomes_total failed scripted": 1}),
    "not_sent": (NotSent(Reason.NOT_SENT), None),
    "throttled": (Throttled(1.0), None),
    "misconfigured": (Misconfigured(), None),
    "ambiguous": (Ambiguous(), {}),
}


@pytest.mark.parametrize("result", ANSWERS)
def test_an_attempt_counts_by_how_it_went(practice: Practice, changed: Callable[[], Any], result: str) -> None:
    error, ended = ANSWERS[result]
    practice.office.carriers["scripted"]._answers.append(error)
    practice.add()
    practice.work()
    counted = changed()
    assert counted[f"attempts_total scripted {result}"] == 1
    outcomes = {name: number for name, number in counted.items() if name.startswith("outcomes")}
    assert outcomes == ({"outcomes_total sent second": 1} if ended is None else ended)


def test_a_plug_in_s_own_error_is_an_attempt_in_doubt(practice: Practice, changed: Callable[[], Any]) -> None:
    practice.office.carriers["scripted"]._answers.append(ValueError("+33612340015"))
    practice.add()
    practice.work()
    assert changed()["attempts_total scripted ambiguous"] == 1


def test_what_goes_back_to_the_schedule_has_not_ended(practice: Practice, changed: Callable[[], Any]) -> None:
    for name in ("scripted", "second"):
        practice.office.carriers[name]._answers.append(NotSent(Reason.NOT_SENT))
    practice.add()
    practice.work()
    assert [name for name in changed() if name.startswith("outcomes")] == []
    practice.forward(seconds=30)
    assert changed()["outcomes_total sent scripted"] == 1


def test_a_limit_of_our_own_counts_as_a_wait(
    schedule: Schedule, clock: Clock, keys: Keys, changed: Callable[[], Any]
) -> None:
    metrics.know_providers(["scripted"])
    practice = Practice(schedule, clock, keys, Scripted(), limits={"rate": 1})
    for number in range(3):
        practice.add(reference=f"A-{number}")
    practice.work()
    assert changed()["waits_total scripted rate_limited"] == 2


def test_a_job_that_does_not_open_counts_with_its_reason(practice: Practice, changed: Callable[[], Any]) -> None:
    entry = practice.add()
    practice.schedule.client.setrange(practice.schedule.prefix(0) + b"a:" + entry.id, 60, b"xx")
    practice.work()
    counted = changed()
    assert counted["outcomes_total rejected none"] == 1
    assert counted["rejected_total damaged"] == 1


def test_a_receipt_counts_once_it_is_somebody_s(practice: Practice, changed: Callable[[], Any]) -> None:
    scripted = practice.office.carriers["scripted"]
    practice.add()
    practice.work()
    practice.office.receipts.take(scripted, Receipt("x" * 39, State.DELIVERED))
    assert "receipts_total scripted delivered" not in changed()
    practice.office.receipts.take(scripted, Receipt(scripted.texts[0].reference, State.DELIVERED))
    assert changed()["receipts_total scripted delivered"] == 1
    assert changed()["outcomes_total delivered scripted"] == 1


def test_what_a_receipt_says_again_has_not_ended_again(practice: Practice, changed: Callable[[], Any]) -> None:
    scripted = practice.office.carriers["scripted"]
    practice.add()
    practice.work()
    for state in (State.SENT, State.DELIVERED, State.DELIVERED, State.SENT):
        assert practice.office.receipts.take(scripted, Receipt(scripted.texts[0].reference, state))
    counted = changed()
    assert counted["outcomes_total sent scripted"] == counted["outcomes_total delivered scripted"] == 1
    assert counted["receipts_total scripted delivered"] == counted["receipts_total scripted sent"] == 2


def test_an_attempt_that_is_found_counts_as_sent(practice: Practice, changed: Callable[[], Any]) -> None:
    found = Scripted(Ambiguous(), name="scripted", finds_by_reference=True)
    practice.office.carriers._providers["scripted"] = found
    practice.add()
    practice.work()
    practice.forward(seconds=20)
    assert "outcomes_total sent scripted" not in changed()
    practice.clock.forward(days=1)
    found.accepted[found.texts[0].reference] = found.send(found.texts[0], deadline=0)
    practice.work()
    assert changed()["outcomes_total sent scripted"] == 1


def test_who_says_stop_counts_once(practice: Practice, changed: Callable[[], Any]) -> None:
    for _ in range(2):
        practice.office.optouts.stop("+33612340015")
    assert changed() == {"opt_outs_total": 1}
    practice.add()
    practice.work()
    assert changed() == {"opt_outs_total": 1, "outcomes_total suppressed none": 1}


def test_an_attempt_that_is_given_up_counts_as_unknown(practice: Practice, changed: Callable[[], Any]) -> None:
    practice.office.carriers["scripted"]._answers.append(Ambiguous())
    practice.add()
    practice.work()
    for _ in range(5):
        practice.forward(days=2)
    assert changed()["outcomes_total unknown scripted"] == 1


def test_a_stop_that_is_read_twice_counts_once(
    practice: Practice, changed: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(practice.schedule, "now", lambda: practice.clock.now)
    inbox = Inbox(practice.schedule, lambda: practice.keys.public)
    for words in ("STOP", "STOP", "START"):
        inbox.take(practice.office.carriers["scripted"], Reply("+33612340015", words))
    practice.answering.read_all(practice.clock.now)
    assert changed() == {"opt_outs_total": 1}


def test_another_s_registry_is_left_alone() -> None:
    """Whoever imports our client into a program that has metrics of its own finds none of ours there."""
    assert metrics.REGISTRY is not EVERYBODY_S
    assert not [name for name in EVERYBODY_S._names_to_collectors if name.startswith("reminder_")]


def test_what_is_shown_is_read_by_a_parser() -> None:
    metrics.ended("sent", "twilio")
    families = {family.name for family in text_string_to_metric_families(generate_latest(metrics.REGISTRY).decode())}
    assert set(NAMES) <= families
