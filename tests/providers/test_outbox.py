import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reminder_worker.errors import NotSent, SettingsError
from reminder_worker.providers import Provider, Sent, Text
from reminder_worker.providers.outbox import Outbox
from reminder_worker.testing import ProviderContract
from reminder_worker.testing.peer import Request
from reminder_worker.testing.promises import REFERENCE, send
from reminder_worker.testing.promises import text as a_text

NUMBER = "+33612345678"


def text(reference: str = "r1", body: str = "Rendez-vous à 14 h") -> Text:
    return Text(to=NUMBER, body=body, segments=1, reference=reference, valid_for=timedelta(hours=1))


def soon() -> float:
    return time.monotonic() + 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.jsonl"


@pytest.fixture
def outbox(path: Path) -> Outbox:
    return Outbox("outbox", {"path": str(path)})


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def test_a_text_is_one_line(outbox: Outbox, path: Path) -> None:
    sent = outbox.send(text(body="à\n\u2028 “x”"), deadline=soon())
    (line,) = lines(path)
    at = datetime.fromisoformat(str(line.pop("at")))
    assert at.utcoffset() == timedelta(0)
    assert line == {"to": NUMBER, "text": "à\n\u2028 “x”", "reference": "r1", "segments": 1}
    assert sent.segments == 1


def test_the_file_is_for_its_owner_only(outbox: Outbox, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_was_sent_is_found(outbox: Outbox) -> None:
    assert outbox.find("r1") is None
    sent = outbox.send(text(), deadline=soon())
    assert outbox.find("r1") == sent
    assert outbox.find("r2") is None


def test_what_another_process_sent_is_found(outbox: Outbox, path: Path) -> None:
    assert outbox.find("r1") is None
    Outbox("outbox", {"path": str(path)}).send(text(), deadline=soon())
    assert outbox.find("r1") == Sent("outbox-r1", 1)


def test_a_torn_line_is_no_text_and_hides_no_other(outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole_write(file, data[:30]))  # the disk is full
    with pytest.raises(NotSent):
        outbox.send(text("torn"), deadline=soon())
    monkeypatch.undo()
    outbox.send(text("r2"), deadline=soon())
    assert [outbox.find(reference) is not None for reference in ("torn", "r2")] == [False, True]
    assert len(path.read_bytes().splitlines()) == 2


def test_every_text_is_one_line_though_many_append_at_once(path: Path) -> None:
    outboxes = [Outbox("outbox", {"path": str(path)}) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        for number in range(400):
            pool.submit(outboxes[number % 4].send, text(f"r{number}"), deadline=soon())
    assert {line["reference"] for line in lines(path)} == {f"r{number}" for number in range(400)}


def test_a_line_that_is_completed_later_is_found_then(outbox: Outbox, path: Path) -> None:
    line = json.dumps({"reference": "r1", "segments": 2}).encode()
    path.write_bytes(line[:10])
    assert outbox.find("r1") is None
    with path.open("ab") as file:
        file.write(line[10:] + b"\n")
    assert outbox.find("r1") == Sent("outbox-r1", 2)


def test_a_file_that_was_replaced_or_emptied_is_read_anew(outbox: Outbox, path: Path) -> None:
    outbox.send(text("r1"), deadline=soon())
    assert outbox.find("r1")
    path.write_bytes(b"")
    assert outbox.find("r1") is None
    outbox.send(text("r2"), deadline=soon())
    assert outbox.find("r2")
    path.unlink()
    assert outbox.find("r2") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_was_replaced_by_a_longer_one_is_read_anew(outbox: Outbox, path: Path, tmp_path: Path) -> None:
    outbox.send(text("r1"), deadline=soon())
    assert outbox.find("r1")
    other = tmp_path / "other"
    for reference in ("a longer reference", "r3"):
        Outbox("other", {"path": str(other)}).send(text(reference), deadline=soon())
    other.rename(path)
    assert outbox.find("a longer reference")
    assert outbox.find("r1") is None


def test_look_ups_read_only_what_is_new(outbox: Outbox, path: Path) -> None:
    with path.open("w") as file:
        for number in range(20_000):
            file.write(json.dumps({"to": NUMBER, "text": "x" * 60, "reference": f"r{number}", "segments": 1}) + "\n")
    assert outbox.find("r19999")
    begin = time.perf_counter()
    for number in range(1_000):
        assert outbox.find(f"r{number}")
    assert time.perf_counter() - begin < 4  # reading the whole file again takes 20 s for so many


def test_the_index_keeps_no_number_and_no_text(outbox: Outbox) -> None:
    outbox.send(text(), deadline=soon())
    outbox.find("r1")
    assert outbox._index._segments == {"r1": 1}


def test_a_deadline_that_has_passed_sends_nothing(outbox: Outbox, path: Path) -> None:
    with pytest.raises(NotSent):
        outbox.send(text(), deadline=time.monotonic() - 0.001)
    assert lines(path) == []


@pytest.mark.parametrize("written", [0, 20, None])
def test_a_full_disk_is_not_sent(outbox: Outbox, monkeypatch: pytest.MonkeyPatch, written: int | None) -> None:
    write = os.write

    def fail(file: int, data: bytes) -> int:
        if written is None:
            raise OSError(28, "No space left on device")
        return write(file, data[:written])

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(NotSent) as caught:
        outbox.send(text(), deadline=soon())
    monkeypatch.undo()
    assert caught.value.__context__ is None
    assert outbox.find("r1") is None
    outbox.send(text("r2"), deadline=soon())
    assert outbox.find("r2")


def test_threads_and_processes_append_whole_lines(outbox: Outbox, path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); import test_outbox as t\n"
        "o = t.Outbox('outbox', {'path': sys.argv[1]})\n"
        "for n in range(100): o.send(t.text(sys.argv[3] + str(n)), deadline=t.soon())\n"
    )
    here = str(Path(__file__).parent)
    others = [subprocess.Popen([sys.executable, "-c", program, path, here, name]) for name in ("a", "b")]
    threads = [
        threading.Thread(
            target=lambda name=name: [outbox.send(text(f"{name}{n}"), deadline=soon()) for n in range(100)]
        )
        for name in ("c", "d")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    assert {line["reference"] for line in lines(path)} == {f"{name}{n}" for name in "abcd" for n in range(100)}
    assert all(outbox.find(f"{name}{n}") for name in "abcd" for n in range(100))


def test_it_is_known_to_reach_no_phone(outbox: Outbox) -> None:
    assert not outbox.capabilities.reaches_phones
    assert outbox.capabilities.finds_by_reference
    assert outbox.capabilities.settles_within == timedelta(0)


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^providers\.outbox\.path: ") as caught:
        Outbox("outbox", {"path": str(tmp_path / "no-such-folder" / "outbox.jsonl")})
    assert "no-such-folder" not in str(caught.value)


# The contract


class Papers:
    """Where another provider's server would be: the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url, self.look = "", None

    @property
    def requests(self) -> list[Request]:
        return [Request("", "", {}, line) for line in self._path.read_bytes().splitlines()]

    accepted = requests


class TestOutbox(ProviderContract):
    plug_in = "outbox"
    speaks_http = False
    refuses = False
    hears_replies = False

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        return {"path": str(folder / "outbox.jsonl")}

    def message_id(self, number: int) -> str:
        return f"outbox-{REFERENCE if number == 1 else REFERENCE[:-1] + 'y'}"

    @pytest.fixture
    def peer(self, tmp_path: Path) -> Papers:
        return Papers(tmp_path / "outbox.jsonl")

    def test_two_texts_have_two_names(self, provider: Provider) -> None:
        assert len({send(provider, a_text(reference=name)).provider_message_id for name in "xy"}) == 2

    def test_a_look_up_finds_what_was_accepted(self, provider: Provider, tmp_path: Path) -> None:
        send(provider)
        assert provider.find(REFERENCE) == Sent(self.message_id(1), 1)
        assert provider.find("x" * 39) is None
        (tmp_path / "outbox.jsonl").unlink()
        (tmp_path / "outbox.jsonl").mkdir()
        with pytest.raises(OSError, match="directory"):  # no answer is not "not there"
            provider.find(REFERENCE)
