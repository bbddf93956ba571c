"""The short form of an upgrade and a rollback."""

import subprocess

import pytest

from faults.upgrade import OLD, PROCESSES, ROOT, run


def has(revision: str) -> bool:
    """Tell whether the history reaches back to a revision: what is unpacked from an archive has none."""
    command = ["git", "-C", str(ROOT), "cat-file", "-e", f"{revision}^{{commit}}"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.timeout(300)
@pytest.mark.skipif(not has(OLD), reason="the history of this repository is not here")
def test_old_and_new_side_by_side_lose_nothing_and_text_nobody_twice() -> None:
    result = run(reminders=200, seed=5, window=15)
    assert result.whole, str(result)
    assert result.texts == 200
    assert result.codes == {0: 3 * len(PROCESSES)}  # the old, the new, and the old again
