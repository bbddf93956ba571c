"""The one place that calls a provider: who may be reached is decided there, and how often a call is made."""

import ast
import inspect
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from clock import Clock
from scripted import PHONE, Keys, Practice, Scripted

import reminder_worker
from reminder_worker import metrics, sending
from reminder_worker.clocks import boot_time
from reminder_worker.errors import Ambiguous, Misconfigured, NotSent, Reason, Rejected, ReminderError, Throttled
from reminder_worker.providers import ENTRY_POINTS, Provider, Sent, Text
from reminder_worker.schedule import Schedule
from reminder_worker.sending import CALL, Carriers

USEFUL = timedelta(hours=1)
NOT_SENT = NotSent(Reason.NOT_SENT, left=False)


def text(to: str = PHONE, valid_for: timedelta = USEFUL) -> Text:
    return Text(to, "Rappel", 1, "ref-1", valid_for)


def carriers(*providers: Scripted, allow: list[str] | None = None) -> Carriers:
    return Carriers({one.name: one for one in providers}, allow_numbers=allow)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Do not wait between two tries; note how long it would have been."""
    asked: list[float] = []
    monkeypatch.setattr("reminder_worker.sending.time.sleep", asked.append)
    return asked


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Let this machine stand still, frozen, for so many seconds."""
    frozen = 0.0

    def freeze(span: float) -> None:
        nonlocal frozen
        frozen += span

    monkeypatch.setattr(sending, "boot_time", lambda: boot_time() + frozen)
    return freeze


# Who may be reached.

REACHED = {
    "no list": (None, PHONE, True),
    "an empty list": ([], PHONE, False),
    "the number": ([PHONE], PHONE, True),
    "its beginning": (["+4474", "+3361"], PHONE, True),
    "every number": (["+"], PHONE, True),
    "a longer number": ([PHONE + "1"], PHONE, False),
    "another country": (["+44"], PHONE, False),
    "its end": ([PHONE[1:]], PHONE, False),
    "no plus": (["336"], PHONE, False),
}


@pytest.mark.parametrize(("allow", "phone", "may"), REACHED.values(), ids=REACHED)
def test_outside_production_a_real_provider_reaches_allowed_numbers_only(
    allow: list[str] | None, phone: str, *, may: bool
) -> None:
    provider = Scripted()
    office = carriers(provider, allow=allow)
    assert office.may_reach(provider, phone) is may
    if may:
        assert office.send(provider, text(phone)) == Sent("id-1", 1)
    else:
        with pytest.raises(NotSent) as caught:
            office.send(provider, text(phone))
        assert caught.value.reason is Reason.NOT_ALLOWED_HERE
        assert phone not in str(caught.value)
    assert len(provider.texts) == may


@pytest.mark.parametrize("allow", [None, [], ["+44"]])
def test_a_provider_that_reaches_no_phone_is_never_asked_about(allow: list[str] | None) -> None:
    outbox = Scripted(reaches_phones=False)
    carriers(outbox, allow=allow).send(outbox, text())
    assert len(outbox.texts) == 1


def test_what_is_not_allowed_is_not_tried_twice(waits: list[float]) -> None:
    provider = Scripted()
    with pytest.raises(NotSent):
        carriers(provider, allow=[]).send(provider, text())
    assert not provider.deadlines
    assert not waits


# How often.


def test_a_call_that_did_not_leave_this_machine_is_made_once_more_after_a_moment(waits: list[float]) -> None:
    provider = Scripted(NOT_SENT)
    assert carriers(provider).send(provider, text()) == Sent("id-2", 1)
    assert provider.texts == [text()] * 2
    assert provider.deadlines[0] == provider.deadlines[1]
    assert waits == [0.2]


def test_a_call_is_made_twice_at_the_most() -> None:
    provider = Scripted(NOT_SENT, NOT_SENT, NOT_SENT)
    with pytest.raises(NotSent) as caught:
        carriers(provider).send(provider, text())
    assert caught.value is NOT_SENT
    assert len(provider.texts) == 2


@pytest.mark.parametrize("second", [Throttled(3), Rejected(Reason.LANDLINE), Ambiguous(), Misconfigured()])
def test_the_second_answer_counts(second: ReminderError) -> None:
    provider = Scripted(NOT_SENT, second)
    with pytest.raises(type(second)) as caught:
        carriers(provider).send(provider, text())
    assert caught.value is second


@pytest.mark.parametrize(
    "error",
    [
        Throttled(),
        Throttled(0.1),
        Rejected(Reason.NUMBER_REFUSED),
        Rejected(Reason.OPTED_OUT),
        Ambiguous(),
        Misconfigured(),
        RuntimeError(),
        TimeoutError(),
        KeyboardInterrupt(),
    ],
)
def test_every_other_answer_is_passed_on_as_it_is(error: BaseException) -> None:
    provider = Scripted()
    provider.during = lambda _: (_ for _ in ()).throw(error)
    with pytest.raises(type(error)) as caught:
        carriers(provider).send(provider, text())
    assert caught.value is error
    assert len(provider.texts) == 1


class Narrow(NotSent):
    """A plug-in's own: nobody knows what it means by it."""


def test_a_plug_ins_own_kind_of_not_sent_is_not_tried_again() -> None:
    provider = Scripted(Narrow(Reason.NOT_SENT))
    with pytest.raises(Narrow):
        carriers(provider).send(provider, text())
    assert len(provider.texts) == 1


# How long.


def test_without_a_second_left_it_is_not_tried_again() -> None:
    provider = Scripted(NOT_SENT)
    with pytest.raises(NotSent):
        carriers(provider).send(provider, text(valid_for=timedelta(seconds=0.9)))
    assert len(provider.texts) == 1


@pytest.mark.parametrize("valid_for", [timedelta(), timedelta(seconds=-5)])
def test_a_text_that_is_of_no_use_any_more_is_not_sent(valid_for: timedelta) -> None:
    provider = Scripted()
    with pytest.raises(NotSent) as caught:
        carriers(provider).send(provider, text(valid_for=valid_for))
    assert caught.value.reason is Reason.TOO_LATE
    assert not provider.texts


def test_a_machine_that_was_frozen_meanwhile_does_not_try_again(boot: Callable[[float], None]) -> None:
    provider = Scripted(NOT_SENT)
    provider.during = lambda _: boot(CALL.total_seconds())
    with pytest.raises(NotSent) as caught:
        carriers(provider).send(provider, text())
    assert caught.value.reason is Reason.TOO_LATE
    assert len(provider.texts) == 1


@pytest.mark.parametrize(("valid_for", "span"), [(USEFUL, CALL), (timedelta(seconds=3), timedelta(seconds=3))])
def test_the_deadline_is_the_end_of_the_call_or_of_the_texts_use(valid_for: timedelta, span: timedelta) -> None:
    provider = Scripted()
    before = time.monotonic()
    carriers(provider).send(provider, text(valid_for=valid_for))
    assert before <= provider.deadlines[0] - span.total_seconds() <= time.monotonic()


# All providers.


@pytest.mark.parametrize("error", [OSError(), SystemExit()])
def test_all_are_closed_whatever_one_of_them_does_then(error: BaseException) -> None:
    class Closes(Scripted):
        closed = False

        def close(self) -> None:
            self.closed = True
            raise error

    found = [Closes(name="first"), Closes(name="second")]
    carriers(*found).close()
    assert [one.closed for one in found] == [True, True]


def test_providers_are_found_by_name_and_one_that_has_gone_is_none() -> None:
    first, second = Scripted(name="first"), Scripted(name="second")
    office = carriers(first, second)
    assert list(office) == [first, second]
    assert (office["second"], office.get("second"), office.get("third")) == (second, second, None)


# Whoever asks, asks here.

PACKAGE = Path(reminder_worker.__file__).parent
CALLERS = {"sending.py", "testing/promises.py"}  # the latter is for authors of a provider, and sends to fakes


def sends(path: Path) -> Iterator[int]:
    """Yield each line that calls a provider's ``send``, or hands it or its name to somebody who could.

    ``Provider.send`` takes its deadline by that name and no other way: what has none is another kind of ``send``.
    """
    tree = ast.parse(path.read_text())
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "send":
            call = called.get(id(node))
            if call is None or any(word.arg in ("deadline", None) for word in call.keywords):
                yield node.lineno
        elif isinstance(node, ast.Constant) and node.value == "send":
            yield node.lineno


def test_no_other_module_calls_a_provider() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): list(sends(path)) for path in PACKAGE.rglob("*.py")}
    named = {"providers/__init__.py": 1}  # the word of Role.SEND
    assert {name: len(lines) for name, lines in found.items() if lines and name not in CALLERS} == named
    assert len(found["sending.py"]) == 1


@pytest.mark.parametrize(
    "line",
    [
        "provider.send(text, deadline=1.0)",
        "self._carriers['x'].send(text, **more)",
        "send = provider.send",
        "partial(provider.send, text)",
        "getattr(provider, 'send')(text, deadline=1.0)",
        "methodcaller('send', text, deadline=1.0)(provider)",
    ],
)
def test_another_call_would_be_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"def f():\n    {line}\n")
    assert list(sends(path)) == [2]
    path.write_text("self._carriers.send(provider, text)\nlink.send(Unbind())\nsuper().send(*args)\n")
    assert not list(sends(path))


def classes() -> Iterator[Any]:
    yield pytest.param(Provider, id="Provider")
    for plug_in in entry_points(group=ENTRY_POINTS):
        if plug_in.value.startswith("reminder_worker."):
            yield pytest.param(plug_in, id=plug_in.name)


@pytest.mark.parametrize("plug_in", list(classes()))
def test_every_provider_takes_its_deadline_by_name_only(plug_in: Any) -> None:
    try:
        provider = plug_in if plug_in is Provider else plug_in.load()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    deadline = inspect.signature(provider.send).parameters["deadline"]
    assert deadline.kind is inspect.Parameter.KEYWORD_ONLY
    assert deadline.default is inspect.Parameter.empty


@pytest.mark.parametrize(("allow", "texts"), [(None, 1), ([PHONE], 1), ([], 0)])
def test_the_list_holds_for_whoever_looks_after_an_attempt(
    schedule: Schedule, clock: Clock, tmp_path: Path, allow: list[str] | None, texts: int
) -> None:
    """An attempt was left open where everybody could be reached; then the settings changed."""
    keys = Keys.make(tmp_path)
    before = Practice(schedule, clock, keys, Scripted(Ambiguous(), deduplicates=True))
    before.add()
    before.work()
    provider = Scripted(deduplicates=True)
    Practice(schedule, clock, keys, provider, allow=allow).forward(minutes=1)
    assert len(provider.texts) == texts


def test_a_refusal_by_answer_is_not_asked_again_under_the_same_name() -> None:
    provider = Scripted(NotSent(Reason.NOT_SENT))
    with pytest.raises(NotSent):
        Carriers({"scripted": provider}, allow_numbers=None).send(
            provider, Text("+33612340015", "Rappel", 1, "r", timedelta(hours=1))
        )
    assert len(provider.texts) == 1


@pytest.mark.parametrize("name", ["\ud800", None], ids=["half a character", "nothing"])
def test_an_id_that_nobody_can_write_down_is_no_answer(name: Any) -> None:
    provider = Scripted(Sent(name, 1))
    with pytest.raises(Ambiguous) as caught:
        Carriers({"scripted": provider}, allow_numbers=None).send(provider, text())
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("answer", [Sent, "id-1", None])
def test_what_is_no_acceptance_is_no_answer(answer: Any) -> None:
    provider = Scripted(answer)
    with pytest.raises(Ambiguous):
        carriers(provider).send(provider, text())


@pytest.mark.parametrize("said", ["2", None, -1, float("nan")])
def test_segments_that_nobody_can_count_make_no_doubt_of_what_was_accepted(
    said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    monkeypatch.setattr(metrics, "count", lambda counter, amount=1, **_: counted.append((counter, amount)))
    accepted = Sent("id-1", said)
    assert carriers(Scripted(accepted)).send(Scripted(accepted), text()) is accepted
    assert (metrics.SEGMENTS, text().segments) in counted
