from pathlib import Path

import pytest

from reminder_worker import disclosure, lint
from reminder_worker.drafting import Templates
from reminder_worker.errors import SettingsError
from reminder_worker.lint import Checked

TEMPLATES = Path(__file__).parents[1] / "templates"


def check(texts=(), locations: Path | None = None, templates: Path | None = None) -> list[Checked]:
    return list(lint.run(texts, locations, templates))


def labels(folder: Path, data: bytes) -> list[tuple[int, bool]]:
    path = folder / "labels.txt"
    path.write_bytes(data)
    return [(one.line, one.rule is not None) for one in check(locations=path)]


def test_every_text_is_answered_in_order():
    found = check(["12 rue des Lilas", "Fertility clinic", ""])
    assert [(one.line, one.rule is None) for one in found] == [(1, True), (2, False), (3, True)]
    assert found[1].severity == "refuse"


def test_a_label_is_not_shown_by_what_was_found():
    assert "Fertility" not in repr(check(["Fertility clinic"]))


def test_a_file_holds_one_label_a_line(tmp_path):
    found = labels(tmp_path, "12 rue des Lilas\n\nHIV centre\nKönigstraße 1".encode())
    assert found == [(1, False), (2, False), (3, True), (4, False)]


def test_lines_may_end_as_on_windows_and_a_mark_may_begin_the_file(tmp_path):
    assert labels(tmp_path, b"\xef\xbb\xbf1 High Street\r\n2 High Street\r\n") == [(1, False), (2, False)]


@pytest.mark.parametrize("character", ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
def test_a_break_that_is_no_line_feed_stays_in_its_label_and_is_found(tmp_path, character):
    found = labels(tmp_path, f"1 High{character}Street\n2 High Street\n".encode())
    assert found == [(1, True), (2, False)]


@pytest.mark.parametrize("data", [b"\xff\xfeH\0", b"Caf\xe9\n"])
def test_a_file_that_is_not_utf_8_is_refused(tmp_path, data):
    with pytest.raises(SettingsError, match=r"^--locations: cannot be read as UTF-8 text$") as raised:
        labels(tmp_path, data)
    assert raised.value.__cause__ is None


def test_a_file_that_is_not_there_is_refused(tmp_path):
    for path, why in ((tmp_path / "none", "there is no such file"), (tmp_path, "cannot be read as UTF-8 text")):
        with pytest.raises(SettingsError, match=rf"^--locations: {why}$"):
            check(locations=path)


def test_every_shipped_text_is_checked_and_none_discloses_or_is_too_long():
    found = check(templates=TEMPLATES)
    assert len(found) == (2 * 6 + 1) * len(Templates.load(TEMPLATES).languages)
    assert [one for one in found if one.rule] == []


def changed(folder: Path, old: str, new: str) -> list[Checked]:
    """Check a folder with one English template in which something is changed."""
    text = (TEMPLATES / "en" / "reminder.txt").read_text("utf-8")
    assert old in text
    (folder / "en").mkdir()
    (folder / "en" / "reminder.txt").write_text(text.replace(old, new), "utf-8")
    return [one for one in check(templates=folder) if one.rule]


def test_a_template_that_discloses_is_found(tmp_path):
    found = changed(tmp_path, "ppointment", "ppointment for chemotherapy")
    assert found
    assert all(one.name.startswith("en ") and one.severity == "refuse" for one in found)


def test_a_number_that_only_a_value_completes_is_found(tmp_path):
    found = changed(tmp_path, "{time}", "+33 12345 {time}")
    assert {one.rule for one in found} == {disclosure.LONG_NUMBER}
    assert {one.name for one in found} >= {"en time long", "en place short"}
    assert {one.severity for one in found} == {"refuse"}


def test_texts_that_were_looked_at_are_not_looked_at_again_until_they_change(tmp_path, monkeypatch):
    lint.check_templates.cache_clear()
    first = check(templates=TEMPLATES)
    monkeypatch.setattr(disclosure, "find", lambda words: pytest.fail("it is looked at again"))
    assert check(templates=TEMPLATES) == first
    with pytest.raises(pytest.fail.Exception):
        changed(tmp_path, "ppointment", "ppointment again")


def test_a_short_text_of_two_segments_is_found(tmp_path):
    found = changed(tmp_path, "ppointment", "ppointment" + " at the usual place" * 8)
    assert {one.rule for one in found} == {lint.TOO_LONG}
    assert all("short" in one.name and one.severity == "warn" for one in found)


def test_a_folder_without_templates_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="templates: "):
        check(templates=tmp_path)
